/* tests/fuzz/fuzz_url.c - goal: what the URL parser accepts has one reading, and no other reader
 * of hosts sees something else in it.
 *
 * Input: the text. Method: parts put together again must parse to the same parts; every part must
 * lie within the text, or where it was rewritten, and hold no byte that could end a request line or
 * a field; a name must not be an address to inet_aton(), inet_pton() or
 * getaddrinfo(AI_NUMERICHOST), and an address must be the one that those see. What url_parse()
 * takes, url_read() gives unchanged; what url_read() rewrites is in normal form and stays the same
 * when it is read again; a host that inet_aton() reads in the text is that address.
 */
#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/http/request.h"
#include "core/http/url.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct url_room room;

static bool within(struct span part, const char *first, size_t len)
{
    return part.ptr >= first && part.ptr + part.len <= first + len;
}

static void expect_clean(struct span text, struct span part)
{
    if (part.len == 0) return;
    CHECK(within(part, text.ptr, text.len) || within(part, room.bytes, sizeof room.bytes));
    for (size_t i = 0; i < part.len; i++) {
        CHECK((unsigned char)part.ptr[i] > ' ');
        CHECK((unsigned char)part.ptr[i] < 0x7f);
    }
}

static void expect_same(const struct url *a, const struct url *b)
{
    CHECK(a->scheme == b->scheme);
    CHECK(a->host_kind == b->host_kind);
    CHECK(a->port == b->port);
    CHECK(a->port_default == b->port_default);
    CHECK(a->has_userinfo == b->has_userinfo);
    CHECK(a->has_query == b->has_query);
    CHECK(span_eq(a->userinfo, b->userinfo));
    CHECK(span_eq(a->host, b->host));
    CHECK(span_eq(a->path, b->path));
    CHECK(span_eq(a->query, b->query));
}

static void expect_host(const struct url *u)
{
    char host[LIMIT_HOST_BYTES + 1];
    struct in_addr v4;
    struct in6_addr v6;
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST}, *found = NULL;

    CHECK(u->host.len > 0);
    CHECK(u->host.len <= LIMIT_HOST_BYTES);
    memcpy(host, u->host.ptr, u->host.len);
    host[u->host.len] = '\0';
    switch (u->host_kind) {
    case URL_HOST_NAME:
        CHECK(inet_aton(host, &v4) == 0);
        CHECK(inet_pton(AF_INET6, host, &v6) == 0);
        CHECK(getaddrinfo(host, NULL, &hints, &found) != 0);
        break;
    case URL_HOST_V4:
        CHECK(inet_aton(host, &v4) == 1);
        CHECK(v4.s_addr == u->v4.s_addr);
        CHECK(inet_pton(AF_INET, host, &v4) == 1);
        CHECK(v4.s_addr == u->v4.s_addr);
        break;
    case URL_HOST_V6:
        CHECK(inet_pton(AF_INET6, host, &v6) == 1);
        CHECK(memcmp(&v6, &u->v6, sizeof v6) == 0);
        break;
    }
}

static size_t put(char *to, size_t at, struct span s)
{
    if (s.len > 0) memcpy(to + at, s.ptr, s.len);
    return at + s.len;
}

static size_t recompose(const struct url *u, char *to)
{
    char port[8];
    bool v6 = u->host_kind == URL_HOST_V6;
    size_t len = 0;

    snprintf(port, sizeof port, ":%u", u->port);
    len = put(to, len, u->scheme == URL_HTTPS ? SPAN_LIT("https://") : SPAN_LIT("http://"));
    len = put(to, len, u->userinfo);
    len = put(to, len, u->has_userinfo ? SPAN_LIT("@") : SPAN_LIT(""));
    len = put(to, len, v6 ? SPAN_LIT("[") : SPAN_LIT(""));
    len = put(to, len, u->host);
    len = put(to, len, v6 ? SPAN_LIT("]") : SPAN_LIT(""));
    len = put(to, len, span_of(port, strlen(port)));
    len = put(to, len, u->path);
    len = put(to, len, u->has_query ? SPAN_LIT("?") : SPAN_LIT(""));
    return put(to, len, u->query);
}

/* The request of such a URL has one line end before its fields, and the announced size. */
static void expect_request(const struct url *u)
{
    static char out[4 * LIMIT_URL_BYTES];
    struct request q = {.method = REQUEST_GET, .url = u};
    size_t len = request_render(&q, out);
    CHECK(len == request_size(&q));
    const char *eol = memchr(out, '\r', len);
    CHECK(eol != NULL);
    CHECK(memcmp(eol - 9, " HTTP/1.1\r\nHost: ", 17) == 0);
}

/* What inet_aton() sees between "://" (or '@') and what ends a host. */
static void expect_legacy(struct span text, const struct url *u)
{
    char host[LIMIT_HOST_BYTES + 1];
    struct in_addr v4;
    const char *end = text.ptr + text.len, *p = memmem(text.ptr, text.len, "://", 3);
    CHECK(p != NULL);
    size_t len = 0;
    for (p += 3; p < end && memchr("/?#:", *p, 4) == NULL; p++) {
        if (*p == '@') len = 0;
        else if (len < LIMIT_HOST_BYTES) host[len++] = *p;
    }
    host[len] = '\0';
    if (p < end && *p == ':') return; /* a port or a userinfo */
    if (memchr(host, ' ', len) != NULL || strlen(host) != len || inet_aton(host, &v4) == 0) return;
    CHECK(u->host_kind == URL_HOST_V4);
    CHECK(u->v4.s_addr == v4.s_addr);
}

static void expect_good(struct span text, const struct url *u)
{
    static char again[2 * LIMIT_URL_BYTES];
    struct url reparsed;
    size_t at;
    expect_clean(text, u->userinfo);
    expect_clean(text, u->host);
    expect_clean(text, u->path);
    expect_clean(text, u->query);
    CHECK(u->path.len == 0 || u->path.ptr[0] == '/');
    CHECK(u->port > 0);
    CHECK(u->port_default == (u->port == (u->scheme == URL_HTTPS ? 443 : 80)));
    expect_host(u);
    expect_legacy(text, u);

    size_t len = recompose(u, again);
    if (len <= LIMIT_URL_BYTES) {
        CHECK(url_parse(span_of(again, len), &reparsed, &at) == URL_OK);
        expect_same(u, &reparsed);
    }
    expect_request(u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of(data, size);
    struct url u, read;
    size_t at = SIZE_MAX;

    memset(&u, 0x5a, sizeof u);
    enum url_error e = url_parse(text, &u, &at);
    CHECK(url_error_text(e) != NULL);
    if (e != URL_OK) {
        CHECK(at <= size);
        for (size_t i = 0; i < sizeof u; i++) CHECK(((unsigned char *)&u)[i] == 0x5a);
    } else {
        expect_good(text, &u);
    }
    enum url_error f = url_read(text, &room, &read, &at);
    CHECK(f == URL_OK || at <= size);
    CHECK(f != URL_NON_ASCII && f != URL_ENCODE && f != URL_DOTS);
    if (e == URL_OK) {
        CHECK(f == URL_OK);
        expect_same(&u, &read);
    } else if (f == URL_OK) {
        expect_good(text, &read);
    }
    return 0;
}
