/* core/net/dns_cache.h - what the DNS said of a name, for as long as it may be believed.
 *
 * An answer's time to live is kept to within DNS_TTL_MIN_S and DNS_TTL_MAX_S; that a name has no
 * address is believed for DNS_TTL_NONE_S, that no answer came for DNS_TTL_FAILED_S, so that a run
 * of records for a dead name asks once. Entries are bounded in number and live in the shard's slab:
 * when either is used up the one that was used longest ago goes.
 *
 * Pure but for the slab: time comes in as an argument. Thread: its shard's.
 */
#ifndef CORE_NET_DNS_CACHE_H
#define CORE_NET_DNS_CACHE_H

#include "core/base/addr.h"
#include "core/base/check.h"
#include "core/base/slab.h"
#include "core/base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    DNS_ADDRS_MAX = 64, /* of one name; more are not looked at */
    DNS_TTL_MIN_S = 1,  /* a receiver that says 0 is asked about once a second */
    DNS_TTL_MAX_S = 3600,
    DNS_TTL_NONE_S = 10,
    DNS_TTL_FAILED_S = 5,
};

enum dns_status {
    DNS_FOUND,   /* it has addresses */
    DNS_NONE,    /* it has none: NXDOMAIN, or no A and no AAAA record */
    DNS_FAILED,  /* no server gave an answer that can be used */
    DNS_TIMEOUT, /* nor within the time limit */
    DNS_STOPPED, /* the question was taken back */
};

struct dns_answer {
    enum dns_status status;
    uint32_t ttl_s;                   /* DNS_FOUND: the shortest of its records' */
    uint32_t count;                   /* of addrs; 0 unless DNS_FOUND */
    struct addr addrs[DNS_ADDRS_MAX]; /* port 0; each family as the server gave it */
};

/* How long it may be believed. */
uint64_t dns_answer_life_ns(const struct dns_answer *a);

struct dns_entry {
    struct dns_entry *chain, *newer, *older;
    uint64_t hash, until_ns, made_ns;
    uint32_t name_len;
    uint16_t count;
    uint8_t status;      /* enum dns_status */
    struct addr addrs[]; /* and behind them the name */
};

struct dns_cache {
    struct slab *slab;
    struct dns_entry **bucket; /* owned; a power of two of them */
    struct dns_entry *newest, *oldest;
    uint32_t buckets, count, count_max;
};

/* False when memory is short. */
bool dns_cache_open(struct dns_cache *c, struct slab *slab, uint32_t count_max) MUST_USE;
void dns_cache_close(struct dns_cache *c);

/* What is known and still to be believed; NULL: nothing. Valid until the next call. Names are
 * compared byte by byte: the caller writes them in one way. */
const struct dns_entry *dns_cache_find(struct dns_cache *c, struct span name, uint64_t now_ns);
/* Keeps an answer, instead of the one before. Not kept, for want of memory, is none. */
void dns_cache_put(struct dns_cache *c, struct span name, const struct dns_answer *a,
                   uint64_t now_ns);
/* It is no longer believed if it is older than that. */
void dns_cache_doubt(struct dns_cache *c, struct span name, uint64_t made_before_ns);
/* CHECKs every invariant; for tests. */
void dns_cache_validate(const struct dns_cache *c);

#endif
