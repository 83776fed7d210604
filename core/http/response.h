/* core/http/response.h - an incremental parser of one HTTP/1.1 answer (RFC 9112).
 *
 * Strict on framing, lenient on text, as delivery.md section 2 lists it: any doubt about where
 * the answer ends is RESPONSE_BAD. Pure: bytes in, values out; it may be fed in pieces of any
 * size and gives the same verdict for every split. No allocation; about 2.1 KiB, of which a
 * whole answer that arrives in one piece touches only the first cache lines.
 *
 * What the final answer's head (not a 1xx, not a trailer) says about how fast to go on is in
 * hints; it never changes the verdict.
 *
 * Interim answers (1xx but 101) are skipped inside. No request that hookline sends is HEAD or
 * CONNECT, so that only 204, 304 and 1xx have no body (RFC 9112 section 6.3).
 */
#ifndef CORE_HTTP_RESPONSE_H
#define CORE_HTTP_RESPONSE_H

#include "core/base/limits.h"
#include "core/base/span.h"
#include "core/http/hints.h"

#include <stdbool.h>
#include <stdint.h>

enum response_step {
    RESPONSE_MORE, /* feed more */
    RESPONSE_DONE, /* complete: status, keep_alive and body are valid */
    RESPONSE_BAD,  /* r->bad says why; the connection must be closed */
};

struct response {
    /* Results. */
    uint16_t status;     /* 0 until a final status line was read */
    bool keep_alive;     /* RESPONSE_DONE: the connection may carry another request */
    bool body_cut;       /* the body went over LIMIT_ANSWER_BODY_BYTES: DONE, keep_alive false */
    uint16_t body_kept;  /* bytes in body[] */
    uint32_t body_bytes; /* decoded, read so far */
    const char *bad;     /* RESPONSE_BAD: a static clause */
    /* Parser state: nobody else's business (see response.c). */
    uint8_t state;
    uint8_t flags;
    uint8_t minor;
    uint8_t interim;   /* 1xx answers skipped */
    uint16_t line_len; /* bytes in line[] */
    uint32_t head_bytes;
    uint32_t line_bytes; /* bytes of the current line, kept or not */
    uint64_t content_length;
    uint64_t chunk_left;
    struct hints hints;                 /* a result: RESPONSE_DONE: valid */
    char line[LIMIT_ANSWER_LINE_KEEP];  /* a head line that is not whole yet */
    char body[LIMIT_ANSWER_KEEP_BYTES]; /* the body's first bytes, decoded */
};

/* Starts anew; touches only the fields before line[], and of hints only the first few. */
void response_init(struct response *r);

/* Reads at most n bytes. *used is how many belong to this answer: less than n only with
 * RESPONSE_DONE (what follows is garbage before a next request) or RESPONSE_BAD. */
enum response_step response_feed(struct response *r, const char *bytes, size_t n, size_t *used)
    __attribute__((warn_unused_result));

/* The connection's read side has ended: DONE for a close-delimited body, else BAD. */
enum response_step response_eof(struct response *r) __attribute__((warn_unused_result));

/* True once any byte of a final or interim answer has been fed. */
bool response_begun(const struct response *r);

#endif
