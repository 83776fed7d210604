/* Goal: a request is byte for byte what delivery.md section 1 says, and exactly as long as
 * request_size() announced.
 *
 * Method: a table of requests and their bytes; then every header name's meaning, and every byte
 * in names and values.
 */
#include "core/base/check.h"
#include "core/http/request.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define S(literal)   SPAN_LIT(literal)
#define COUNT(table) (sizeof table / sizeof table[0])
#define NO_HEADERS \
    { \
        { \
            {NULL, 0}, { NULL, 0 } \
        } \
    }
#define UA "User-Agent: hookline/1\r\n"

struct vector {
    const char *url;
    enum request_method method;
    struct header headers[4];
    const char *body; /* NULL: none */
    const char *key;  /* idempotency key; NULL: none */
    const char *bytes;
};

static const struct vector vectors[] = {
    {"http://h", REQUEST_GET, NO_HEADERS, NULL, NULL, "GET / HTTP/1.1\r\nHost: h\r\n" UA "\r\n"},
    {"http://h/p", REQUEST_DELETE, NO_HEADERS, NULL, NULL,
     "DELETE /p HTTP/1.1\r\nHost: h\r\n" UA "\r\n"},
    {"http://h/p", REQUEST_POST, NO_HEADERS, NULL, NULL,
     "POST /p HTTP/1.1\r\nHost: h\r\n" UA "Content-Length: 0\r\n\r\n"},
    {"http://h/p", REQUEST_PUT, NO_HEADERS, NULL, NULL,
     "PUT /p HTTP/1.1\r\nHost: h\r\n" UA "Content-Length: 0\r\n\r\n"},
    {"http://h/p", REQUEST_POST, NO_HEADERS, "{\"a\":1}", NULL,
     "POST /p HTTP/1.1\r\nHost: h\r\n" UA
     "Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}"},
    {"http://h/p", REQUEST_PUT, NO_HEADERS, "0123456789", NULL,
     "PUT /p HTTP/1.1\r\nHost: h\r\n" UA
     "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n0123456789"},
    {"http://h/p", REQUEST_DELETE, NO_HEADERS, "x", NULL,
     "DELETE /p HTTP/1.1\r\nHost: h\r\n" UA
     "Content-Type: application/json\r\nContent-Length: 1\r\n\r\nx"},
    {"http://h/p", REQUEST_POST, NO_HEADERS, "", NULL,
     "POST /p HTTP/1.1\r\nHost: h\r\n" UA
     "Content-Type: application/json\r\nContent-Length: 0\r\n\r\n"},

    /* Target and Host. */
    {"http://Host.Example:8080?", REQUEST_GET, NO_HEADERS, NULL, NULL,
     "GET /? HTTP/1.1\r\nHost: Host.Example:8080\r\n" UA "\r\n"},
    {"https://h:443/a/b?c=d&e#f", REQUEST_GET, NO_HEADERS, NULL, NULL,
     "GET /a/b?c=d&e HTTP/1.1\r\nHost: h\r\n" UA "\r\n"},
    {"https://h:80/", REQUEST_GET, NO_HEADERS, NULL, NULL,
     "GET / HTTP/1.1\r\nHost: h:80\r\n" UA "\r\n"},
    {"http://[2001:DB8::1]:1/", REQUEST_GET, NO_HEADERS, NULL, NULL,
     "GET / HTTP/1.1\r\nHost: [2001:DB8::1]:1\r\n" UA "\r\n"},
    {"http://[::1]/", REQUEST_GET, NO_HEADERS, NULL, NULL,
     "GET / HTTP/1.1\r\nHost: [::1]\r\n" UA "\r\n"},
    {"http://10.0.0.1:65535/", REQUEST_GET, NO_HEADERS, NULL, NULL,
     "GET / HTTP/1.1\r\nHost: 10.0.0.1:65535\r\n" UA "\r\n"},

    /* Given headers: order and spelling stay, and nothing is added that is there. */
    {"http://h/",
     REQUEST_GET,
     {{S("x-B"), S("1")}, {S("X-a"), S("")}, {S("x-B"), S(" 2\t")}},
     NULL,
     NULL,
     "GET / HTTP/1.1\r\nHost: h\r\nx-B: 1\r\nX-a: \r\nx-B:  2\t\r\n" UA "\r\n"},
    {"http://h/",
     REQUEST_GET,
     {{S("X"), S("1")}, {S("hOST"), S("other")}},
     NULL,
     NULL,
     "GET / HTTP/1.1\r\nX: 1\r\nhOST: other\r\n" UA "\r\n"},
    {"http://h/",
     REQUEST_POST,
     {{S("user-agent"), S("me")}, {S("content-TYPE"), S("text/x")}},
     "x",
     NULL,
     "POST / HTTP/1.1\r\nHost: h\r\nuser-agent: me\r\ncontent-TYPE: text/x\r\n"
     "Content-Length: 1\r\n\r\nx"},

    /* Userinfo. */
    {"http://user:pass@h/", REQUEST_GET, NO_HEADERS, NULL, NULL,
     "GET / HTTP/1.1\r\nHost: h\r\n" UA "Authorization: Basic dXNlcjpwYXNz\r\n\r\n"},
    {"http://Aladdin:open%20sesame@h/", REQUEST_GET, NO_HEADERS, NULL, NULL,
     "GET / HTTP/1.1\r\nHost: h\r\n" UA
     "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"},
    {"http://token@h/", REQUEST_GET, NO_HEADERS, NULL, NULL,
     "GET / HTTP/1.1\r\nHost: h\r\n" UA "Authorization: Basic dG9rZW46\r\n\r\n"},
    {"http://u:%FF%fe%fd@h/", REQUEST_GET, NO_HEADERS, NULL, NULL,
     "GET / HTTP/1.1\r\nHost: h\r\n" UA "Authorization: Basic dTr//v0=\r\n\r\n"},
    {"http://u%3Av@h/", REQUEST_GET, NO_HEADERS, NULL, NULL,
     "GET / HTTP/1.1\r\nHost: h\r\n" UA "Authorization: Basic dTp2Og==\r\n\r\n"},
    {"http://:@h/", REQUEST_GET, NO_HEADERS, NULL, NULL,
     "GET / HTTP/1.1\r\nHost: h\r\n" UA "Authorization: Basic Og==\r\n\r\n"},
    {"http://@h/", REQUEST_GET, NO_HEADERS, NULL, NULL, "GET / HTTP/1.1\r\nHost: h\r\n" UA "\r\n"},
    {"http://user:pass@h/",
     REQUEST_GET,
     {{S("Authorization"), S("Bearer x")}},
     NULL,
     NULL,
     "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer x\r\n" UA "\r\n"},

    /* Idempotency key. */
    {"http://h/", REQUEST_POST, NO_HEADERS, "x", "run-17",
     "POST / HTTP/1.1\r\nHost: h\r\n" UA
     "Content-Type: application/json\r\nContent-Length: 1\r\nIdempotency-Key: run-17\r\n\r\nx"},
    {"http://h/",
     REQUEST_GET,
     {{S("idempotency-KEY"), S("own")}},
     NULL,
     "run-17",
     "GET / HTTP/1.1\r\nHost: h\r\nidempotency-KEY: own\r\n" UA "\r\n"},
    {"http://u:p@h:81/a?b",
     REQUEST_PUT,
     {{S("X"), S("y")}},
     "body",
     "k",
     "PUT /a?b HTTP/1.1\r\nHost: h:81\r\nX: y\r\n" UA
     "Content-Type: application/json\r\nContent-Length: 4\r\nAuthorization: Basic dTpw\r\n"
     "Idempotency-Key: k\r\n\r\nbody"},
};

static void expect_request(const struct vector *v)
{
    struct url u;
    size_t at;
    cr_assert(url_parse(span_of(v->url, strlen(v->url)), &u, &at) == URL_OK, "%s", v->url);
    struct request q = {
        .method = v->method,
        .url = &u,
        .headers = v->headers,
        .has_body = v->body != NULL,
        .body = span_of(v->body, v->body ? strlen(v->body) : 0),
        .content_type = S("application/json"),
        .user_agent = S("hookline/1"),
        .idempotency_key = span_of(v->key, v->key ? strlen(v->key) : 0),
    };
    while (q.headers_count < COUNT(v->headers) && v->headers[q.headers_count].name.len > 0) {
        q.kinds_seen |= BIT(header_kind_of(v->headers[q.headers_count].name));
        q.headers_count++;
    }
    char out[1024];
    memset(out, '#', sizeof out);
    size_t size = request_size(&q), len = request_render(&q, out);
    cr_assert(size == strlen(v->bytes), "size %zu of\n%s", size, v->bytes);
    cr_assert(len == size, "rendered %zu, announced %zu:\n%s", len, size, v->bytes);
    cr_assert(memcmp(out, v->bytes, len) == 0, "%.*s\ninstead of\n%s", (int)len, out, v->bytes);
    cr_assert(out[len] == '#', "wrote beyond its size:\n%s", v->bytes);
}

Test(request, vectors)
{
    for (size_t i = 0; i < COUNT(vectors); i++) expect_request(&vectors[i]);
}

/* Without a default type or an agent, no empty field is sent. */
Test(request, nothing_to_add)
{
    struct url u;
    size_t at;
    char out[256];
    cr_assert(url_parse(S("http://h/"), &u, &at) == URL_OK);
    struct request q = {.method = REQUEST_POST, .url = &u, .has_body = true, .body = S("x")};
    size_t len = request_render(&q, out);
    cr_assert(len == request_size(&q));
    cr_assert(
        span_eq(span_of(out, len), S("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")));
}

/* The length of Content-Length itself: 9 to 10, 99 to 100 bytes and so on. */
Test(request, body_sizes)
{
    static char body[100001], out[100512];
    static const size_t sizes[] = {0, 1, 9, 10, 11, 99, 100, 999, 1000, 9999, 10000, 99999, 100000};
    struct url u;
    size_t at;
    memset(body, 'b', sizeof body);
    cr_assert(url_parse(S("http://h/"), &u, &at) == URL_OK);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        char expected[64];
        struct request q = {
            .method = REQUEST_POST, .url = &u, .has_body = true, .body = span_of(body, sizes[i])};
        memset(out, '#', sizeof out);
        size_t len = request_render(&q, out);
        cr_assert(len == request_size(&q), "%zu", sizes[i]);
        cr_assert(out[len] == '#' && out[len - 1] == (sizes[i] > 0 ? 'b' : '\n'), "%zu", sizes[i]);
        snprintf(expected, sizeof expected, "Content-Length: %zu\r\n\r\n", sizes[i]);
        cr_assert(memmem(out, len, expected, strlen(expected)) != NULL, "%zu", sizes[i]);
    }
}

/* RFC 4648 section 10, as passwords of an empty user. */
Test(request, base64)
{
    static const struct {
        const char *url, *base64;
    } cases[] = {
        {"http://:f@h/", "Basic OmY=\r\n"},
        {"http://:fo@h/", "Basic OmZv\r\n"},
        {"http://:foo@h/", "Basic OmZvbw==\r\n"},
        {"http://:foob@h/", "Basic OmZvb2I=\r\n"},
        {"http://:%00@h/", NULL},
        {"http://%fb%ef%be:%ff%ff%ff@h/", "Basic ++++Ov///w==\r\n"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct url u;
        size_t at;
        char out[512];
        enum url_error e = url_parse(span_of(cases[i].url, strlen(cases[i].url)), &u, &at);
        cr_assert((e == URL_OK) == (cases[i].base64 != NULL), "%s", cases[i].url);
        if (e != URL_OK) continue;
        struct request q = {.method = REQUEST_GET, .url = &u};
        size_t len = request_render(&q, out);
        cr_assert(len == request_size(&q), "%s", cases[i].url);
        cr_assert(memmem(out, len, cases[i].base64, strlen(cases[i].base64)) != NULL, "%s: %.*s",
                  cases[i].url, (int)len, out);
    }
}

Test(request, header_kinds)
{
    static const struct {
        const char *name;
        enum header_kind kind;
    } cases[] = {
        {"Host", HEADER_HOST},
        {"hOST", HEADER_HOST},
        {"User-Agent", HEADER_USER_AGENT},
        {"content-type", HEADER_CONTENT_TYPE},
        {"AUTHORIZATION", HEADER_AUTHORIZATION},
        {"Idempotency-Key", HEADER_IDEMPOTENCY_KEY},
        {"Webhook-Id", HEADER_WEBHOOK_ID},
        {"webhook-timestamp", HEADER_WEBHOOK_TIMESTAMP},
        {"WEBHOOK-SIGNATURE", HEADER_WEBHOOK_SIGNATURE},
        {"webhook-ids", HEADER_PLAIN},
        {"Content-Length", HEADER_FRAMING},
        {"transfer-ENCODING", HEADER_FRAMING},
        {"Connection", HEADER_FRAMING},
        {"Upgrade", HEADER_FRAMING},
        {"TE", HEADER_FRAMING},
        {"te", HEADER_FRAMING},
        {"Trailer", HEADER_FRAMING},
        {"Keep-Alive", HEADER_FRAMING},
        {"Proxy-Connection", HEADER_FRAMING},
        {"", HEADER_PLAIN},
        {"T", HEADER_PLAIN},
        {"Trailers", HEADER_PLAIN},
        {"Hosts", HEADER_PLAIN},
        {"X-Host", HEADER_PLAIN},
        {"Content_Length", HEADER_PLAIN},
        {"Content-Encoding", HEADER_PLAIN},
        {"Cookie", HEADER_PLAIN},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct span name = span_of(cases[i].name, strlen(cases[i].name));
        cr_assert(header_kind_of(name) == cases[i].kind, "%s", cases[i].name);
    }
}

Test(request, header_bytes)
{
    for (int c = 0; c < 256; c++) {
        char text[3] = {'a', (char)c, 'b'};
        bool control = c < ' ' || c == 0x7f;
        bool token = c > ' ' && c < 0x7f && strchr("\"(),/:;<=>?@[\\]{}", c) == NULL;
        cr_assert(header_name_ok(span_of(text, 3)) == token, "byte %d in a name", c);
        cr_assert(header_name_ok(span_of(text + 1, 1)) == token, "byte %d as a name", c);
        bool value_ok = !control || c == '\t';
        cr_assert(header_value_ok(span_of(text, 3)) == value_ok, "byte %d in a value", c);
    }
    cr_assert_not(header_name_ok(S("")));
    cr_assert(header_value_ok(S("")));
}

Test(request, method_texts)
{
    cr_assert(span_eq(request_method_text(REQUEST_GET), S("GET")));
    cr_assert(span_eq(request_method_text(REQUEST_POST), S("POST")));
    cr_assert(span_eq(request_method_text(REQUEST_PUT), S("PUT")));
    cr_assert(span_eq(request_method_text(REQUEST_DELETE), S("DELETE")));
}
