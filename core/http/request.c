/* core/http/request.c - rendering one request.
 *
 * request_size() and request_render() walk through the same parts in the same order; a field that
 * one of them adds and the other does not is caught by the check at the end of rendering. Both
 * run once for each record, so that everything is a copy of bytes that lie ready.
 *
 * The base64 of RFC 4648 is written out here, since Basic authentication is its only user in this
 * layer, which knows no library of ciphers.
 */
#include "core/http/request.h"

#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/stamp.h"
#include "core/http/scan.h"

#include <string.h>

static const struct span methods[REQUEST_METHOD_COUNT] = {
    [REQUEST_GET] = {"GET", 3},
    [REQUEST_POST] = {"POST", 4},
    [REQUEST_PUT] = {"PUT", 3},
    [REQUEST_DELETE] = {"DELETE", 6},
};

struct span request_method_text(enum request_method m)
{
    CHECK(m < REQUEST_METHOD_COUNT);
    return methods[m];
}

enum header_kind header_kind_of(struct span name)
{
    static const struct {
        struct span name;
        enum header_kind kind;
    } known[] = {
        {{"host", 4}, HEADER_HOST},
        {{"user-agent", 10}, HEADER_USER_AGENT},
        {{"content-type", 12}, HEADER_CONTENT_TYPE},
        {{"authorization", 13}, HEADER_AUTHORIZATION},
        {{"idempotency-key", 15}, HEADER_IDEMPOTENCY_KEY},
        {{"webhook-id", 10}, HEADER_WEBHOOK_ID},
        {{"webhook-timestamp", 17}, HEADER_WEBHOOK_TIMESTAMP},
        {{"webhook-signature", 17}, HEADER_WEBHOOK_SIGNATURE},
        {{"content-length", 14}, HEADER_FRAMING},
        {{"transfer-encoding", 17}, HEADER_FRAMING},
        {{"connection", 10}, HEADER_FRAMING},
        {{"upgrade", 7}, HEADER_FRAMING},
        {{"te", 2}, HEADER_FRAMING},
        {{"trailer", 7}, HEADER_FRAMING},
        {{"keep-alive", 10}, HEADER_FRAMING},
        {{"proxy-connection", 16}, HEADER_FRAMING},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (name.len == known[i].name.len && span_eq_nocase(name, known[i].name)) {
            return known[i].kind;
        }
    }
    return HEADER_PLAIN;
}

bool header_name_ok(struct span name)
{
    return name.len > 0 && scan_token(name.ptr, name.ptr + name.len) == name.ptr + name.len;
}

bool header_value_ok(struct span value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

/* ---- What is added. ---- */

static bool lacks(const struct request *q, enum header_kind kind)
{
    return !(q->kinds_seen & BIT(kind));
}

static bool adds_user_agent(const struct request *q)
{
    return q->user_agent.len > 0 && lacks(q, HEADER_USER_AGENT);
}

static bool adds_content_type(const struct request *q)
{
    return q->has_body && q->content_type.len > 0 && lacks(q, HEADER_CONTENT_TYPE);
}

/* RFC 9110 section 8.6: a method that anticipates content says so even when there is none. */
static bool adds_content_length(const struct request *q)
{
    return q->has_body || q->method == REQUEST_POST || q->method == REQUEST_PUT;
}

static bool adds_authorization(const struct request *q)
{
    return q->url->has_userinfo && q->url->userinfo.len > 0 && lacks(q, HEADER_AUTHORIZATION);
}

static bool adds_idempotency_key(const struct request *q)
{
    return q->idempotency_key.len > 0 && lacks(q, HEADER_IDEMPOTENCY_KEY);
}

static bool adds_signature(const struct request *q) { return q->signature_bytes > 0; }

/* ---- Sizes. ---- */

/* Of "user:password", decoded; the ':' is added when the URL has none (RFC 7617 section 2). */
static size_t credentials_size(struct span userinfo)
{
    size_t encoded = 0;
    bool colon = false;
    for (size_t i = 0; i < userinfo.len; i++) {
        encoded += userinfo.ptr[i] == '%';
        colon |= userinfo.ptr[i] == ':';
    }
    return userinfo.len - 2 * encoded + !colon;
}

static size_t base64_size(size_t bytes) { return (bytes + 2) / 3 * 4; }

static size_t host_size(const struct url *u)
{
    return u->host.len + (u->host_kind == URL_HOST_V6 ? 2 : 0) +
           (u->port_default ? 0 : 1 + stamp_u64_size(u->port));
}

/* ": " and the line's end. */
static size_t field_size(size_t name, size_t value) { return name + value + 4; }

static size_t signature_size(const struct request *q)
{
    return field_size(sizeof "webhook-id" - 1, q->webhook_id.len) +
           field_size(sizeof "webhook-timestamp" - 1, REQUEST_STAMP_BYTES) +
           field_size(sizeof "webhook-signature" - 1, q->signature_bytes);
}

size_t request_size(const struct request *q)
{
    const struct url *u = q->url;
    size_t size = methods[q->method].len + sizeof "  HTTP/1.1\r\n" - 1;
    size += u->path.len > 0 ? u->path.len : 1;
    if (u->has_query) size += 1 + u->query.len;
    if (lacks(q, HEADER_HOST)) size += field_size(sizeof "Host" - 1, host_size(u));
    for (uint32_t i = 0; i < q->headers_count; i++) {
        size += field_size(q->headers[i].name.len, q->headers[i].value.len);
    }
    if (adds_user_agent(q)) size += field_size(sizeof "User-Agent" - 1, q->user_agent.len);
    if (adds_content_type(q)) size += field_size(sizeof "Content-Type" - 1, q->content_type.len);
    if (adds_content_length(q)) {
        size += field_size(sizeof "Content-Length" - 1, stamp_u64_size(q->body.len));
    }
    if (adds_authorization(q)) {
        size_t credentials = base64_size(credentials_size(u->userinfo));
        size += field_size(sizeof "Authorization" - 1, sizeof "Basic " - 1 + credentials);
    }
    if (adds_idempotency_key(q)) {
        size += field_size(sizeof "Idempotency-Key" - 1, q->idempotency_key.len);
    }
    if (adds_signature(q)) size += signature_size(q);
    return size + 2 + q->body.len;
}

/* ---- Rendering. Each part writes at `to` and returns what follows it. ---- */

/* A string literal: the compiler knows its length and copies it in registers. */
#define PUT_LIT(to, literal) \
    (memcpy((to), "" literal, sizeof(literal) - 1), (to) + sizeof(literal) - 1)

static char *put_decimal(char *to, uint64_t n) { return to + stamp_u64(to, n); }

static char *put_base64(char *to, const char *bytes, size_t len)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        uint32_t three = (uint32_t)(unsigned char)bytes[i] << 16;
        if (i + 1 < len) three |= (uint32_t)(unsigned char)bytes[i + 1] << 8;
        if (i + 2 < len) three |= (unsigned char)bytes[i + 2];
        *to++ = letters[three >> 18];
        *to++ = letters[three >> 12 & 63];
        *to++ = i + 1 < len ? letters[three >> 6 & 63] : '=';
        *to++ = i + 2 < len ? letters[three & 63] : '=';
    }
    return to;
}

static char *put_authorization(char *to, struct span userinfo)
{
    char credentials[LIMIT_URL_BYTES + 1];
    CHECK(userinfo.len <= LIMIT_URL_BYTES);

    size_t len = url_userinfo_decode(userinfo, credentials);
    if (memchr(userinfo.ptr, ':', userinfo.len) == NULL) credentials[len++] = ':';
    to = PUT_LIT(to, "Authorization: Basic ");
    to = put_base64(to, credentials, len);
    return PUT_LIT(to, "\r\n");
}

static char *put_host(char *to, const struct url *u)
{
    to = PUT_LIT(to, "Host: ");
    if (u->host_kind == URL_HOST_V6) *to++ = '[';
    to = span_put(to, u->host);
    if (u->host_kind == URL_HOST_V6) *to++ = ']';
    if (!u->port_default) {
        *to++ = ':';
        to = put_decimal(to, u->port);
    }
    return PUT_LIT(to, "\r\n");
}

static char *put_request_line(char *to, const struct request *q)
{
    to = span_put(to, methods[q->method]);
    *to++ = ' ';
    if (q->url->path.len > 0) {
        to = span_put(to, q->url->path);
    } else {
        *to++ = '/';
    }
    if (q->url->has_query) {
        *to++ = '?';
        to = span_put(to, q->url->query);
    }
    return PUT_LIT(to, " HTTP/1.1\r\n");
}

static inline char *put_header(char *to, struct span name, struct span value)
{
    to = span_put(to, name);
    to = PUT_LIT(to, ": ");
    to = span_put(to, value);
    return PUT_LIT(to, "\r\n");
}

/* With zeros for what the attempt fills in. */
static char *put_signature(char *to, const struct request *q)
{
    to = put_header(to, SPAN_LIT("webhook-id"), q->webhook_id);
    to = PUT_LIT(to, "webhook-timestamp: ");
    memset(to, '0', REQUEST_STAMP_BYTES);
    to = PUT_LIT(to + REQUEST_STAMP_BYTES, "\r\nwebhook-signature: ");
    memset(to, '0', q->signature_bytes);
    return PUT_LIT(to + q->signature_bytes, "\r\n");
}

struct request_signed request_signed_parts(char *request, size_t len, size_t body_bytes,
                                           size_t id_bytes, size_t signature_bytes)
{
    struct request_signed p;
    CHECK(len > body_bytes + id_bytes + signature_bytes);
    p.body = request + len - body_bytes;
    p.signature = p.body - 4 - signature_bytes;
    p.stamp = p.signature - (sizeof "\r\nwebhook-signature: " - 1) - REQUEST_STAMP_BYTES;
    p.id = p.stamp - (sizeof "\r\nwebhook-timestamp: " - 1) - id_bytes;
    CHECK(p.id > request);
    return p;
}

size_t request_render(const struct request *q, char *out)
{
    char *to = out;
    CHECK(q->method < REQUEST_METHOD_COUNT);
    CHECK(lacks(q, HEADER_FRAMING));
    CHECK(q->has_body || q->body.len == 0);

    to = put_request_line(to, q);
    if (lacks(q, HEADER_HOST)) to = put_host(to, q->url);
    for (uint32_t i = 0; i < q->headers_count; i++) {
        to = put_header(to, q->headers[i].name, q->headers[i].value);
    }
    if (adds_user_agent(q)) to = put_header(to, SPAN_LIT("User-Agent"), q->user_agent);
    if (adds_content_type(q)) to = put_header(to, SPAN_LIT("Content-Type"), q->content_type);
    if (adds_content_length(q)) {
        to = PUT_LIT(to, "Content-Length: ");
        to = put_decimal(to, q->body.len);
        to = PUT_LIT(to, "\r\n");
    }
    if (adds_authorization(q)) to = put_authorization(to, q->url->userinfo);
    if (adds_idempotency_key(q)) {
        to = put_header(to, SPAN_LIT("Idempotency-Key"), q->idempotency_key);
    }
    if (adds_signature(q)) to = put_signature(to, q);
    to = PUT_LIT(to, "\r\n");
    to = span_put(to, q->body);
    CHECK_HOT((size_t)(to - out) == request_size(q));
    return (size_t)(to - out);
}
