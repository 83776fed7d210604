/* tls/tickets.h - sessions that can be resumed, kept for each host, by all shards together.
 *
 * An entry is what wolfSSL wrote of one session: keys and the server's ticket. It is found by the
 * host's whole name ("host:port"), never by a hash alone, and taken out by the one that uses it:
 * with TLS 1.3 a ticket that is used twice can be linked, and some servers refuse it (RFC 8446,
 * C.4). The rules (what is trusted, which certificate we show) are the same for a whole run, and a
 * cache belongs to one run: so nothing can be resumed under other rules.
 *
 * Threads: any. One lock word; it is held while an entry is found and copied. Who does not get it
 * after a few attempts does without: a ticket is lost, or a full handshake made.
 */
#ifndef TLS_TICKETS_H
#define TLS_TICKETS_H

#include "core/base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TLS_TICKET_BYTES_MAX = 4096, /* a longer session is not kept */
    /* The oldest goes first. As many as a host has connections, as a rule: all that a server closes
     * at once can be resumed at once. */
    TLS_TICKETS_OF_HOST = 256,
};

struct tls_tickets;

/* NULL: no memory. bytes: at most, for entries; the least recently stored go first. */
struct tls_tickets *tls_tickets_new(size_t bytes);
void tls_tickets_free(struct tls_tickets *t);

/* Keeps a copy of the session. */
void tls_tickets_put(struct tls_tickets *t, struct span host, const void *session, size_t bytes);
/* Takes the newest session of the host out of the cache into out, which holds TLS_TICKET_BYTES_MAX.
 * Returns its bytes; 0: there is none. */
size_t tls_tickets_take(struct tls_tickets *t, struct span host, void *out);

/* Its tickets are of no use any more. */
void tls_tickets_forget(struct tls_tickets *t, struct span host);

/* For tests: entries held. */
uint32_t tls_tickets_count(const struct tls_tickets *t);

#endif
