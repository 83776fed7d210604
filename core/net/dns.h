/* core/net/dns.h - names to addresses by the DNS, through c-ares and core/io/io.h.
 *
 * One for each shard, on its thread, like its ring: c-ares' channels are not to be shared. A
 * question for a name asks for its A and its AAAA records at the same time; its answer has both,
 * except that IPv6 addresses which come much later than the IPv4 ones are not waited for (RFC 8305
 * section 3). c-ares makes, repeats and reads the messages, over UDP and, for long answers, TCP;
 * its sockets are watched sockets of io.h, so that nothing here ever blocks. It gets no time of its
 * own: the owner asks dns_due_ns() and calls dns_tend() then.
 *
 * c-ares reads no file but /etc/resolv.conf, and this only in dns_open().
 *
 * Limits: answers are as trustworthy as the way to the server. c-ares checks an answer's sender,
 * its 16-bit id and its question; 1.18 keeps one UDP socket, and so one source port, for as long as
 * questions are under way. What c-ares allocates for a question is not counted in --memory.
 */
#ifndef CORE_NET_DNS_H
#define CORE_NET_DNS_H

#include "core/io/io.h"
#include "core/net/dns_cache.h"

#include <stdbool.h>
#include <stdint.h>

/* A server that is asked for hundreds of names at once drops questions: 256 of them, two for a
 * name, fill a socket's buffer as Linux makes it. So only so many (young_max; DNS_YOUNG_ALL in the
 * whole process) may have been begun within the last DNS_YOUNG_NS and have no answer yet; those
 * that are older, of servers that are slow or dead, keep no room from the others. */
#define DNS_YOUNG_NS UINT64_C(250000000)
enum {
    DNS_LOOKUPS_MAX = 1024,
    DNS_YOUNG_ALL = 128,
    DNS_SERVERS_MAX = 8,
};

struct dns;

struct dns_config {
    const struct addr *servers; /* with their ports */
    uint32_t servers_count;     /* 0: those of the system */
    uint64_t timeout_ns;        /* for one whole question */
    uint32_t lookups_max;       /* questions at the same time, DNS_LOOKUPS_MAX at most */
    uint32_t young_max;         /* of these, not answered and younger than DNS_YOUNG_NS */
};

/* What became of a question. Called inside dns_tend() only, once or twice: the second time, when
 * the first was too early for it, with what came late; a NULL: nothing that was not told before.
 * The call with `last` is the last one. It must not ask. */
typedef void dns_done_fn(void *ctx, const struct dns_answer *a, bool last);

size_t dns_lookup_bytes(void); /* of one question under way, without what c-ares takes for it */

/* NULL when memory is short or c-ares cannot be set up: *why is then a static clause. */
struct dns *dns_open(struct io *io, const struct dns_config *config, const char **why) MUST_USE;
/* After dns_stop(), and once nothing of it is in flight. */
void dns_close(struct dns *d);

/* Whether one more may be asked; if not, answers or a little time make room again. */
bool dns_has_room(const struct dns *d);
/* Asks for the addresses of a name, which is terminated. There must be room. */
void dns_ask(struct dns *d, const char *name, dns_done_fn *done, void *ctx);

/* When dns_tend() must be called at the latest; UINT64_MAX: never. */
uint64_t dns_due_ns(const struct dns *d);
/* To be called once a turn: repeats what was not answered, ends what took too long, and calls
 * done() for what has ended. */
void dns_tend(struct dns *d);

/* Ends all questions, as DNS_STOPPED, in the next dns_tend(). */
void dns_stop(struct dns *d);
/* No question, no socket, no operation. */
bool dns_idle(const struct dns *d);

#endif
