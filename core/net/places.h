/* core/net/places.h - the addresses of one receiver: in which order they are tried, and what came
 * of it.
 *
 * Order is that of RFC 8305 section 4, families in turn and IPv6 first, unless it was given. An
 * address that refused, did not answer or lost against a later one is remembered as failed, for
 * PLACE_FAILED_NS and twice as long each time again, up to PLACE_FAILED_MAX_NS: until then those
 * that did not fail come first, so that 49 dead addresses of 50 are not tried over and over. Among
 * the failed, the one that failed longest ago comes first. One that nobody has connected to and
 * somebody is just trying stands behind its equals, so that several connections try several.
 *
 * Pure: time comes in as an argument. Thread: its shard's.
 */
#ifndef CORE_NET_PLACES_H
#define CORE_NET_PLACES_H

#include "core/base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLACES_MAX = 64 };
#define PLACE_FAILED_NS     UINT64_C(60000000000)
#define PLACE_FAILED_MAX_NS UINT64_C(960000000000)

struct place {
    struct addr addr;
    uint16_t trying;    /* connects under way */
    uint8_t fails;      /* in a row */
    bool proven;        /* it was connected to since it last failed */
    uint64_t failed_ns; /* when it last failed; 0: not since it was last connected to */
};

struct places {
    uint32_t count; /* at least 1 */
    uint32_t room;  /* as many were given to places_make() */
    struct place at[];
};

static inline size_t places_bytes(uint32_t count)
{
    return sizeof(struct places) + count * sizeof(struct place);
}

bool addr_same(const struct addr *a, const struct addr *b);
/* Brings IPv6 and IPv4 addresses into turns, each family in the order that it has. */
void places_interleave(struct addr *addrs, uint32_t count);
/* Makes p of these; `before`, which may be NULL, says what is known of those that stay. */
void places_make(struct places *p, const struct addr *addrs, uint32_t count,
                 const struct places *before);

/* The one to try next, of those that are not among `except`; NULL: none. */
struct place *places_pick(struct places *p, uint64_t now_ns, const struct addr *const *except,
                          uint32_t except_count);
/* Whether one is left that has not failed since then and is not among `except`. */
bool places_left(const struct places *p, uint64_t since_ns, const struct addr *const *except,
                 uint32_t except_count);

/* A connect to that address begins, succeeded, failed, was given up. One that is no longer among
 * them is not minded. */
void places_trying(struct places *p, const struct addr *a);
void places_connected(struct places *p, const struct addr *a);
void places_failed(struct places *p, const struct addr *a, uint64_t now_ns);
void places_given_up(struct places *p, const struct addr *a);
/* A connection to it broke before anything could be sent. */
void places_blame(struct places *p, const struct addr *a, uint64_t now_ns);

#endif
