/* tools/sinker/request.h - one HTTP/1.1 request: its head, and a chunked body's framing.
 *
 * Pure functions: bytes in, facts out. Stricter than a public server would be (CR LF only, one
 * Host, no repeated Content-Length): the receiver is a witness, and a request that a strict
 * reader would refuse is a mistake of the sender that must show.
 */
#ifndef TOOLS_SINKER_REQUEST_H
#define TOOLS_SINKER_REQUEST_H

#include "core/base/check.h"
#include "core/base/span.h"

enum {
    REQUEST_HEAD_BYTES = 64 * 1024, /* a longer head is answered with 431 */
    CHUNK_LINE_BYTES = 1024,        /* size, extensions and each trailer; longer: 400 */
};

/* Where the id came from; a lower number wins. */
enum request_id_source {
    REQUEST_ID_WEBHOOK,     /* webhook-id */
    REQUEST_ID_HOOKLINE,    /* X-Hookline-Id */
    REQUEST_ID_IDEMPOTENCY, /* Idempotency-Key */
    REQUEST_ID_QUERY,       /* ?id= */
    REQUEST_ID_NONE
};

struct request {
    struct span path;  /* as it stands in the request line, without the query; lent from the head */
    struct span query; /* without the question mark; may be empty */
    struct span id;    /* not percent-decoded; empty when id_source is REQUEST_ID_NONE */
    enum request_id_source id_source;
    struct span key;         /* the field X-Key, else ?key=, as it stands there; empty: neither */
    const char *why;         /* one clause, set with REQUEST_BAD */
    uint64_t content_length; /* bytes, 0 when there is none */
    size_t head_bytes;       /* the head with its empty line */
    uint32_t sender_attempt; /* from X-Hookline-Attempt; 0: not given */
    uint32_t hosts_count;
    bool has_length, chunked, is_head, http10, close, keep_alive, expect_continue;
};

enum request_result { REQUEST_DONE, REQUEST_MORE, REQUEST_BAD };

/* Reads the head at the start of buf. REQUEST_MORE: it does not end within len bytes. */
MUST_USE enum request_result request_parse(const char *buf, size_t len, struct request *r);

/* Resolves %XX in an id taken from the query. Returns its length; out holds id.len bytes. */
size_t request_id_decode(struct span id, char *out);

/* Where the reader stands in a chunked body; all zero at its start. */
struct chunks {
    uint64_t left; /* bytes of the present chunk still to come, or its size while it is read */
    uint32_t line_bytes;
    uint8_t state;
    uint8_t digits;
};

enum chunks_result { CHUNKS_DATA, CHUNKS_MORE, CHUNKS_DONE, CHUNKS_BAD };

/* Takes bytes from buf until one piece of data (CHUNKS_DATA, *data is lent from buf), the end of
 * the body, an error, or the end of buf. *used is how many were taken. */
MUST_USE enum chunks_result chunks_feed(struct chunks *c, const char *buf, size_t len, size_t *used,
                                        struct span *data);

#endif
