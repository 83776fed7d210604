/* core/http/request.h - renders one HTTP/1.1 request (RFC 9112 section 3) to bytes. Pure.
 *
 * Given headers go out first to last in the given order and spelling; Host, User-Agent,
 * Content-Type, Content-Length and Authorization (from the URL's userinfo) are added only where
 * delivery.md section 1 says so and the record has none of its own.
 */
#ifndef CORE_HTTP_REQUEST_H
#define CORE_HTTP_REQUEST_H

#include "core/base/span.h"
#include "core/http/url.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum request_method {
    REQUEST_GET,
    REQUEST_POST,
    REQUEST_PUT,
    REQUEST_DELETE,
    REQUEST_METHOD_COUNT
};

struct header {
    struct span name, value;
};

/* What a header name means to a sender. */
enum header_kind {
    HEADER_PLAIN,
    HEADER_HOST,
    HEADER_USER_AGENT,
    HEADER_CONTENT_TYPE,
    HEADER_AUTHORIZATION,
    HEADER_IDEMPOTENCY_KEY,
    HEADER_WEBHOOK_ID, /* this and the next two: refused where webhooks are signed */
    HEADER_WEBHOOK_TIMESTAMP,
    HEADER_WEBHOOK_SIGNATURE,
    HEADER_FRAMING, /* Content-Length, Transfer-Encoding, Connection, Upgrade, TE, Trailer,
                       Keep-Alive, Proxy-Connection: refused */
};

enum header_kind header_kind_of(struct span name);
/* RFC 9110 section 5.1: a token, not empty. */
bool header_name_ok(struct span name);
/* No CR, LF or NUL, and no other control character but HTAB. */
bool header_value_ok(struct span value);

struct request {
    enum request_method method;
    const struct url *url;
    const struct header *headers; /* in order; none of HEADER_FRAMING */
    uint32_t headers_count;
    uint32_t kinds_seen;          /* BIT(enum header_kind) for each kind among headers */
    bool has_body;                /* an empty body is a body: Content-Length: 0 */
    struct span body;
    struct span content_type;     /* added when has_body and the record has none */
    struct span user_agent;       /* len 0: none */
    struct span idempotency_key;  /* added as Idempotency-Key; len 0: none */
    struct span webhook_id;       /* added as webhook-id if signature_bytes is not 0 */
    size_t signature_bytes;       /* how long webhook-signature's value will be; 0: unsigned */
};

/* What is added for a signature, by Standard Webhooks: its fields stand last in the head. The value
 * of the timestamp and of the signature is room for them: each attempt has its own. */
enum { REQUEST_STAMP_BYTES = 10 };
struct request_signed {
    char *stamp, *signature; /* REQUEST_STAMP_BYTES and signature_bytes of room */
    char *id;                /* id_bytes of them */
    char *body;
};
/* Where they are in a request of len bytes that request_render() wrote with such fields. */
struct request_signed request_signed_parts(char *request, size_t len, size_t body_bytes,
                                           size_t id_bytes, size_t signature_bytes);

/* As it stands in a request line. */
struct span request_method_text(enum request_method m);

/* Exactly how many bytes request_render() will write. */
size_t request_size(const struct request *q);
/* Writes the request to out, which holds request_size(q) bytes; returns their number. */
size_t request_render(const struct request *q, char *out);

#endif
