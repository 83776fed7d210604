/* core/net/trace.h - one attempt as it is seen by the person who runs `hookline try`: when each of
 * its phases was reached, and the bytes that went out and came back.
 *
 * An exchange has none as a rule, and then nothing here costs more than a look at a pointer.
 * Whoever owns the trace gives it its buffers, and reads it when the run has ended; meanwhile the
 * run's one shard writes it.
 */
#ifndef CORE_NET_TRACE_H
#define CORE_NET_TRACE_H

#include "core/base/addr.h"
#include "core/base/err.h"
#include "tls/show.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trace_phase {
    TRACE_BEGUN,      /* the record was taken in */
    TRACE_CONNECTING, /* an address is known, and vetted */
    TRACE_CONNECTED,
    TRACE_SECURED, /* the TLS handshake is complete */
    TRACE_SENT,    /* the kernel has all of the request */
    TRACE_FIRST_BYTE,
    TRACE_ENDED,
    TRACE_PHASES
};

enum { TRACE_DETAIL_BYTES = 256, TRACE_TLS_BYTES = 128 };

struct trace {
    uint64_t at_ns[TRACE_PHASES]; /* io_now_ns()'s clock; 0: not reached. A second try of the same
                                     attempt overwrites what it reaches */
    struct addr addr;             /* connected to; family 0: to none */
    char *request, *answer;       /* lent by the owner: room for what is kept */
    size_t request_room, answer_room;
    size_t request_len, answer_len;       /* kept; no more than the room */
    uint64_t request_bytes, answer_bytes; /* in all */
    /* Of a TLS connection. */
    struct tls_chain chain;
    char tls[TRACE_TLS_BYTES]; /* version and suite; empty: no session came about */
    /* How it ended. */
    bool told;
    bool delivered;
    enum err why;
    uint16_t status;                 /* 0: no answer */
    const char *sent;                /* sent_label() */
    char detail[TRACE_DETAIL_BYTES]; /* more on why, or empty */
};

/* The phase is reached now; t may be NULL, as in all of these. */
static inline void trace_at(struct trace *t, enum trace_phase phase, uint64_t now_ns)
{
    if (t != NULL) t->at_ns[phase] = now_ns;
}

/* An attempt begins to connect to *to: what came later in an earlier one is forgotten. */
void trace_connecting(struct trace *t, const struct addr *to, uint64_t now_ns);
/* The request, as it will be sent. */
void trace_request(struct trace *t, const char *bytes, size_t len);
/* More of the answer, as it came (without its encryption). */
void trace_answer(struct trace *t, const void *bytes, size_t len, uint64_t now_ns);

#endif
