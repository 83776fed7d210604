/* Goal: a URL has one reading or none, and a refusal names what is wrong and where.
 *
 * Method: tables. Every URL of the first is taken apart, put together again and must give the same
 * parts; each of the second must give its error at its offset and leave the result alone. Two more
 * for url_read(): what each URL becomes, by WHATWG's algorithm on paper, and what it refuses.
 */
#include "core/base/limits.h"
#include "core/http/url.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>

#define COUNT(table) (sizeof table / sizeof table[0])

struct accepted {
    const char *text;
    enum url_scheme scheme;
    enum url_host_kind kind;
    const char *userinfo, *host; /* userinfo NULL: none */
    unsigned port;
    bool port_default;
    const char *path, *query; /* query NULL: none */
};

static const struct accepted accepted[] = {
    {"http://h", URL_HTTP, URL_HOST_NAME, NULL, "h", 80, true, "", NULL},
    {"http://h/", URL_HTTP, URL_HOST_NAME, NULL, "h", 80, true, "/", NULL},
    {"https://h", URL_HTTPS, URL_HOST_NAME, NULL, "h", 443, true, "", NULL},
    {"HTTPS://Example.COM/A", URL_HTTPS, URL_HOST_NAME, NULL, "Example.COM", 443, true, "/A", NULL},
    {"hTTp://h:8080/p", URL_HTTP, URL_HOST_NAME, NULL, "h", 8080, false, "/p", NULL},
    {"http://h:80/", URL_HTTP, URL_HOST_NAME, NULL, "h", 80, true, "/", NULL},
    {"https://h:80/", URL_HTTPS, URL_HOST_NAME, NULL, "h", 80, false, "/", NULL},
    {"https://h:443", URL_HTTPS, URL_HOST_NAME, NULL, "h", 443, true, "", NULL},
    {"http://h:1", URL_HTTP, URL_HOST_NAME, NULL, "h", 1, false, "", NULL},
    {"http://h:65535", URL_HTTP, URL_HOST_NAME, NULL, "h", 65535, false, "", NULL},
    {"http://h:000000008080", URL_HTTP, URL_HOST_NAME, NULL, "h", 8080, false, "", NULL},
    {"http://h:", URL_HTTP, URL_HOST_NAME, NULL, "h", 80, true, "", NULL},
    {"http://h:/p", URL_HTTP, URL_HOST_NAME, NULL, "h", 80, true, "/p", NULL},

    {"http://h?", URL_HTTP, URL_HOST_NAME, NULL, "h", 80, true, "", ""},
    {"http://h?a=b", URL_HTTP, URL_HOST_NAME, NULL, "h", 80, true, "", "a=b"},
    {"http://h/p?a?b/c", URL_HTTP, URL_HOST_NAME, NULL, "h", 80, true, "/p", "a?b/c"},
    {"http://h/p#f", URL_HTTP, URL_HOST_NAME, NULL, "h", 80, true, "/p", NULL},
    {"http://h#f", URL_HTTP, URL_HOST_NAME, NULL, "h", 80, true, "", NULL},
    {"http://h/p?q#f?g#\\\xc3\xa4", URL_HTTP, URL_HOST_NAME, NULL, "h", 80, true, "/p", "q"},
    {"http://h/p?a\\b", URL_HTTP, URL_HOST_NAME, NULL, "h", 80, true, "/p", "a\\b"},
    {"http://h//a/.../b/.c/%2ed/%zz;x=y,@:&$!*'()[]|~", URL_HTTP, URL_HOST_NAME, NULL, "h", 80,
     true, "//a/.../b/.c/%2ed/%zz;x=y,@:&$!*'()[]|~", NULL},
    {"http://h/p?./../a^`{|}[]~%zz", URL_HTTP, URL_HOST_NAME, NULL, "h", 80, true, "/p",
     "./../a^`{|}[]~%zz"},
    {"http://h/p@q:r", URL_HTTP, URL_HOST_NAME, NULL, "h", 80, true, "/p@q:r", NULL},
    {"http://h?x@y", URL_HTTP, URL_HOST_NAME, NULL, "h", 80, true, "", "x@y"},

    {"http://a-b_c.d9.", URL_HTTP, URL_HOST_NAME, NULL, "a-b_c.d9.", 80, true, "", NULL},
    {"http://-h-.x", URL_HTTP, URL_HOST_NAME, NULL, "-h-.x", 80, true, "", NULL},
    {"http://xn--bcher-kva.example", URL_HTTP, URL_HOST_NAME, NULL, "xn--bcher-kva.example", 80,
     true, "", NULL},
    {"http://127.0.0.1.nip.io", URL_HTTP, URL_HOST_NAME, NULL, "127.0.0.1.nip.io", 80, true, "",
     NULL},
    {"http://0xg", URL_HTTP, URL_HOST_NAME, NULL, "0xg", 80, true, "", NULL},
    {"http://1.2.3.4x", URL_HTTP, URL_HOST_NAME, NULL, "1.2.3.4x", 80, true, "", NULL},
    {"http://00x1", URL_HTTP, URL_HOST_NAME, NULL, "00x1", 80, true, "", NULL},
    {"http://12ab", URL_HTTP, URL_HOST_NAME, NULL, "12ab", 80, true, "", NULL},
    {"http://abc", URL_HTTP, URL_HOST_NAME, NULL, "abc", 80, true, "", NULL},

    {"http://127.0.0.1/", URL_HTTP, URL_HOST_V4, NULL, "127.0.0.1", 80, true, "/", NULL},
    {"http://0.0.0.0:1/", URL_HTTP, URL_HOST_V4, NULL, "0.0.0.0", 1, false, "/", NULL},
    {"http://255.255.255.255", URL_HTTP, URL_HOST_V4, NULL, "255.255.255.255", 80, true, "", NULL},
    {"http://[::1]:8080/p", URL_HTTP, URL_HOST_V6, NULL, "::1", 8080, false, "/p", NULL},
    {"https://[2001:DB8::a]", URL_HTTPS, URL_HOST_V6, NULL, "2001:DB8::a", 443, true, "", NULL},
    {"http://[::ffff:1.2.3.4]?q", URL_HTTP, URL_HOST_V6, NULL, "::ffff:1.2.3.4", 80, true, "", "q"},
    {"http://[1111:2222:3333:4444:5555:6666:123.123.123.123]", URL_HTTP, URL_HOST_V6, NULL,
     "1111:2222:3333:4444:5555:6666:123.123.123.123", 80, true, "", NULL},

    {"http://u@h/", URL_HTTP, URL_HOST_NAME, "u", "h", 80, true, "/", NULL},
    {"http://u:p@h:81/", URL_HTTP, URL_HOST_NAME, "u:p", "h", 81, false, "/", NULL},
    {"http://u:80@h", URL_HTTP, URL_HOST_NAME, "u:80", "h", 80, true, "", NULL},
    {"http://u:p:q@h", URL_HTTP, URL_HOST_NAME, "u:p:q", "h", 80, true, "", NULL},
    {"http://:p@h", URL_HTTP, URL_HOST_NAME, ":p", "h", 80, true, "", NULL},
    {"http://@h", URL_HTTP, URL_HOST_NAME, "", "h", 80, true, "", NULL},
    {"http://1.2.3@h", URL_HTTP, URL_HOST_NAME, "1.2.3", "h", 80, true, "", NULL},
    {"http://a%40b:%3A%ff@[::1]/", URL_HTTP, URL_HOST_V6, "a%40b:%3A%ff", "::1", 80, true, "/",
     NULL},
    {"http://~-._!$&'()*+,;=:u@h", URL_HTTP, URL_HOST_NAME, "~-._!$&'()*+,;=:u", "h", 80, true, "",
     NULL},
};

struct refused {
    struct span text;
    enum url_error error;
    size_t at;
};

static const struct refused refused[] = {
    {SPAN_LIT(""), URL_EMPTY, 0},

    {SPAN_LIT("h"), URL_SCHEME, 1},
    {SPAN_LIT("http"), URL_SCHEME, 4},
    {SPAN_LIT("http:"), URL_SCHEME, 5},
    {SPAN_LIT("http:/"), URL_SCHEME, 6},
    {SPAN_LIT("http:h"), URL_SCHEME, 5},
    {SPAN_LIT("http:/h"), URL_SCHEME, 6},
    {SPAN_LIT("httpx://h"), URL_SCHEME, 4},
    {SPAN_LIT("httpss://h"), URL_SCHEME, 5},
    {SPAN_LIT("ftp://h"), URL_SCHEME, 0},
    {SPAN_LIT("//h/p"), URL_SCHEME, 0},
    {SPAN_LIT("/p"), URL_SCHEME, 0},
    {SPAN_LIT("example.com/p"), URL_SCHEME, 0},
    {SPAN_LIT("javascript:alert(1)"), URL_SCHEME, 0},

    {SPAN_LIT("http://"), URL_NO_HOST, 7},
    {SPAN_LIT("http:///p"), URL_NO_HOST, 7},
    {SPAN_LIT("http://?q"), URL_NO_HOST, 7},
    {SPAN_LIT("http://#f"), URL_NO_HOST, 7},
    {SPAN_LIT("http://:80/"), URL_NO_HOST, 7},
    {SPAN_LIT("http://u@"), URL_NO_HOST, 9},
    {SPAN_LIT("http://u@/p"), URL_NO_HOST, 9},
    {SPAN_LIT("http://u:p@:80"), URL_NO_HOST, 11},
    {SPAN_LIT("http://::1/"), URL_NO_HOST, 7},

    {SPAN_LIT("http://h:0"), URL_PORT, 9},
    {SPAN_LIT("http://h:00/"), URL_PORT, 9},
    {SPAN_LIT("http://h:65536"), URL_PORT, 9},
    {SPAN_LIT("http://h:70000/"), URL_PORT, 9},
    {SPAN_LIT("http://h:4294967376/"), URL_PORT, 9},
    {SPAN_LIT("http://h:99999999999999999999/"), URL_PORT, 9},
    {SPAN_LIT("http://h:-1"), URL_PORT, 9},
    {SPAN_LIT("http://h:+80"), URL_PORT, 9},
    {SPAN_LIT("http://h:80x/"), URL_PORT, 11},
    {SPAN_LIT("http://h:x/"), URL_PORT, 9},
    {SPAN_LIT("http://h:80:80/"), URL_PORT, 11},
    {SPAN_LIT("http://[::1]:0/"), URL_PORT, 13},
    {SPAN_LIT("http://fe80::1/"), URL_PORT, 12},
    {SPAN_LIT("http://h:8\xc3\xa4"), URL_PORT, 10},

    {SPAN_LIT("http://a..b/"), URL_HOST_BAD, 9},
    {SPAN_LIT("http://.a/"), URL_HOST_BAD, 7},
    {SPAN_LIT("http://./"), URL_HOST_BAD, 7},
    {SPAN_LIT("http://a../"), URL_HOST_BAD, 9},
    {SPAN_LIT("http://%31.example"), URL_HOST_BAD, 7},
    {SPAN_LIT("http://ex%61mple"), URL_HOST_BAD, 9},
    {SPAN_LIT("http://a|b/"), URL_HOST_BAD, 8},
    {SPAN_LIT("http://a,b/"), URL_HOST_BAD, 8},
    {SPAN_LIT("http://a[::1]/"), URL_HOST_BAD, 8},
    {SPAN_LIT("http://[::1]a/"), URL_HOST_BAD, 12},
    {SPAN_LIT("http://[::1][::1]/"), URL_HOST_BAD, 12},
    {SPAN_LIT("http://a@b@c/"), URL_HOST_BAD, 10},
    {SPAN_LIT("http://a@b:c@d/"), URL_PORT, 11},
    {SPAN_LIT("http://user@a..b/"), URL_HOST_BAD, 14},

    {SPAN_LIT("http://127.1/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://2130706433/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://0x7f000001/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://0x7F.1/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://0x/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://0177.0.0.1/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://127.0.0.01/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://00.0.0.0/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://127.0.0.1./"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://1.2.3.256/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://1.2.3.1000/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://1.2.3.4.5/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://1.2.3/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://0/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://1.2.3.0x4/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://example.1/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://example.0xfe./"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://u:p@127.1/"), URL_HOST_NUMERIC, 11},

    {SPAN_LIT("http://[]/"), URL_HOST_V6_BAD, 8},
    {SPAN_LIT("http://[::1"), URL_HOST_V6_BAD, 11},
    {SPAN_LIT("http://["), URL_HOST_V6_BAD, 8},
    {SPAN_LIT("http://[::1/p"), URL_HOST_V6_BAD, 11},
    {SPAN_LIT("http://[:::1]/"), URL_HOST_V6_BAD, 8},
    {SPAN_LIT("http://[1:2:3:4:5:6:7]/"), URL_HOST_V6_BAD, 8},
    {SPAN_LIT("http://[1:2:3:4:5:6:7:8:9]/"), URL_HOST_V6_BAD, 8},
    {SPAN_LIT("http://[12345::]/"), URL_HOST_V6_BAD, 8},
    {SPAN_LIT("http://[::1.2.3]/"), URL_HOST_V6_BAD, 8},
    {SPAN_LIT("http://[127.0.0.1]/"), URL_HOST_V6_BAD, 8},
    {SPAN_LIT("http://[v1.x]/"), URL_HOST_V6_BAD, 8},
    {SPAN_LIT("http://[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]/"), URL_HOST_V6_BAD, 8},
    {SPAN_LIT("http://[fe80::1%eth0]/"), URL_ZONE, 15},
    {SPAN_LIT("http://[fe80::1%25eth0]:80/"), URL_ZONE, 15},
    {SPAN_LIT("http://u@[fe80::1%1]/"), URL_ZONE, 17},

    {SPAN_LIT("http://b\xc3\xbc"
              "cher.example/"),
     URL_IDN, 8},
    {SPAN_LIT("http://\xe2\x92\x88.example/"), URL_IDN, 7},
    {SPAN_LIT("http://a\xe3\x80\x82"
              "b/"),
     URL_IDN, 8},
    {SPAN_LIT("http://u@\xc3\xa4/"), URL_IDN, 9},

    {SPAN_LIT(" http://h/"), URL_SPACE, 0},
    {SPAN_LIT("ht tp://h/"), URL_SPACE, 2},
    {SPAN_LIT("http ://h/"), URL_SPACE, 4},
    {SPAN_LIT("http: //h/"), URL_SPACE, 5},
    {SPAN_LIT("http:// h/"), URL_SPACE, 7},
    {SPAN_LIT("http://h /"), URL_SPACE, 8},
    {SPAN_LIT("http://h: 80/"), URL_SPACE, 9},
    {SPAN_LIT("http://h:80 /"), URL_SPACE, 11},
    {SPAN_LIT("http://[::1 ]/"), URL_SPACE, 11},
    {SPAN_LIT("http://a b@h/"), URL_SPACE, 8},
    {SPAN_LIT("http://h/a b"), URL_SPACE, 10},
    {SPAN_LIT("http://h/?a b"), URL_SPACE, 11},
    {SPAN_LIT("http://h/#a b"), URL_SPACE, 11},
    {SPAN_LIT("http://h/p "), URL_SPACE, 10},
    {SPAN_LIT("http://h/\tp"), URL_SPACE, 9},
    {SPAN_LIT("http://h/p\r\nX: y"), URL_SPACE, 10},
    {SPAN_LIT("http://h/p\0"), URL_SPACE, 10},
    {SPAN_LIT("http://h\n/"), URL_SPACE, 8},
    {SPAN_LIT("http://h/\x7f"), URL_SPACE, 9},
    {SPAN_LIT("http://h/?\x01"), URL_SPACE, 10},

    {SPAN_LIT("http:\\\\h/"), URL_BACKSLASH, 5},
    {SPAN_LIT("http://h\\p"), URL_BACKSLASH, 8},
    {SPAN_LIT("http://good\\@evil/"), URL_BACKSLASH, 11},
    {SPAN_LIT("http://h:80\\@evil/"), URL_BACKSLASH, 11},
    {SPAN_LIT("http://\\h/"), URL_BACKSLASH, 7},
    {SPAN_LIT("http://u@h\\p"), URL_BACKSLASH, 10},
    {SPAN_LIT("http://h/a\\b"), URL_BACKSLASH, 10},

    {SPAN_LIT("http://h/\xc3\xa4"), URL_NON_ASCII, 9},
    {SPAN_LIT("http://h/?\xff"), URL_NON_ASCII, 10},
    {SPAN_LIT("http://\xc3\xa4@h/"), URL_NON_ASCII, 7},

    {SPAN_LIT("http://h/\""), URL_ENCODE, 9},
    {SPAN_LIT("http://h/a<b"), URL_ENCODE, 10},
    {SPAN_LIT("http://h/>"), URL_ENCODE, 9},
    {SPAN_LIT("http://h/^"), URL_ENCODE, 9},
    {SPAN_LIT("http://h/`"), URL_ENCODE, 9},
    {SPAN_LIT("http://h/{"), URL_ENCODE, 9},
    {SPAN_LIT("http://h/0123456789abcdef0123456789}"), URL_ENCODE, 35},
    {SPAN_LIT("http://h/?'"), URL_ENCODE, 10},
    {SPAN_LIT("http://h/?a\""), URL_ENCODE, 11},
    {SPAN_LIT("http://h/?<"), URL_ENCODE, 10},
    {SPAN_LIT("http://h/?>"), URL_ENCODE, 10},

    {SPAN_LIT("http://h/."), URL_DOTS, 9},
    {SPAN_LIT("http://h/./p"), URL_DOTS, 9},
    {SPAN_LIT("http://h/a/.."), URL_DOTS, 11},
    {SPAN_LIT("http://h/a/%2e"), URL_DOTS, 11},
    {SPAN_LIT("http://h/a/%2E%2e/"), URL_DOTS, 11},
    {SPAN_LIT("http://h/a/.%2e?q"), URL_DOTS, 11},
    {SPAN_LIT("http://h/0123456789abcdef/../x"), URL_DOTS, 26},

    {SPAN_LIT("http://a%@h/"), URL_USERINFO_BAD, 8},
    {SPAN_LIT("http://a%4@h/"), URL_USERINFO_BAD, 8},
    {SPAN_LIT("http://a%4g@h/"), URL_USERINFO_BAD, 8},
    {SPAN_LIT("http://a%0d%0a@h/"), URL_USERINFO_BAD, 8},
    {SPAN_LIT("http://a:%00@h/"), URL_USERINFO_BAD, 9},
    {SPAN_LIT("http://a:%7F@h/"), URL_USERINFO_BAD, 9},
    {SPAN_LIT("http://a|b@h/"), URL_USERINFO_BAD, 8},
    {SPAN_LIT("http://[::1]@h/"), URL_USERINFO_BAD, 7},
};

static void expect_span(struct span s, const char *text, const char *what, const char *url)
{
    cr_assert(span_eq(s, span_of(text, strlen(text))), "%s: %s is %.*s", url, what, (int)s.len,
              s.ptr);
}

static void expect_parts(const struct url *u, const struct accepted *v, const char *url)
{
    cr_assert(u->scheme == v->scheme, "%s: scheme", url);
    cr_assert(u->host_kind == v->kind, "%s: kind of host", url);
    cr_assert(u->port == v->port, "%s: port %u", url, u->port);
    cr_assert(u->port_default == v->port_default, "%s: default port", url);
    cr_assert(u->has_userinfo == (v->userinfo != NULL), "%s: userinfo", url);
    cr_assert(u->has_query == (v->query != NULL), "%s: query", url);
    expect_span(u->host, v->host, "host", url);
    expect_span(u->path, v->path, "path", url);
    expect_span(u->userinfo, v->userinfo ? v->userinfo : "", "userinfo", url);
    expect_span(u->query, v->query ? v->query : "", "query", url);
    if (v->kind == URL_HOST_V4) {
        struct in_addr a;
        cr_assert(inet_pton(AF_INET, v->host, &a) == 1);
        cr_assert(a.s_addr == u->v4.s_addr, "%s: address", url);
    } else if (v->kind == URL_HOST_V6) {
        struct in6_addr a;
        cr_assert(inet_pton(AF_INET6, v->host, &a) == 1);
        cr_assert(memcmp(&a, &u->v6, sizeof a) == 0, "%s: address", url);
    }
}

Test(url, accepted)
{
    for (size_t i = 0; i < COUNT(accepted); i++) {
        const struct accepted *v = &accepted[i];
        struct url u;
        size_t at;
        enum url_error e = url_parse(span_of(v->text, strlen(v->text)), &u, &at);
        cr_assert(e == URL_OK, "%s: %s at %zu", v->text, url_error_text(e), at);
        expect_parts(&u, v, v->text);

        char again[512];
        bool v6 = u.host_kind == URL_HOST_V6;
        snprintf(again, sizeof again, "%s://%s%s%s%s%s:%u%s%s%s",
                 v->scheme == URL_HTTPS ? "https" : "http", v->userinfo ? v->userinfo : "",
                 v->userinfo ? "@" : "", v6 ? "[" : "", v->host, v6 ? "]" : "", v->port, v->path,
                 v->query ? "?" : "", v->query ? v->query : "");
        cr_assert(url_parse(span_of(again, strlen(again)), &u, &at) == URL_OK, "%s", again);
        expect_parts(&u, v, again);
    }
}

Test(url, refused)
{
    for (size_t i = 0; i < COUNT(refused); i++) {
        const struct refused *v = &refused[i];
        struct url u, untouched;
        size_t at;
        memset(&u, 0x5a, sizeof u);
        memcpy(&untouched, &u, sizeof u);
        enum url_error e = url_parse(v->text, &u, &at);
        cr_assert(e == v->error, "%s: %s at %zu", v->text.ptr, url_error_text(e), at);
        cr_assert(at == v->at, "%s: %s at %zu", v->text.ptr, url_error_text(e), at);
        cr_assert(memcmp(&u, &untouched, sizeof u) == 0, "%s: touched", v->text.ptr);
    }
}

/* Names of every length: what is too long is refused at its first byte too many. */
Test(url, name_lengths)
{
    char text[400] = "http://";
    struct url u;
    size_t at;
    memset(text + 7, 'a', 63);
    cr_assert(url_parse(span_of(text, 7 + 63), &u, &at) == URL_OK);
    text[7 + 63] = 'a';
    cr_assert(url_parse(span_of(text, 7 + 64), &u, &at) == URL_HOST_BAD);
    cr_assert(at == 7 + 63);

    for (size_t i = 0; i < 300; i++) text[7 + i] = i % 50 == 49 ? '.' : 'a';
    cr_assert(url_parse(span_of(text, 7 + 253), &u, &at) == URL_OK);
    cr_assert(url_parse(span_of(text, 7 + 254), &u, &at) == URL_HOST_BAD);
    cr_assert(at == 7 + 253);
    text[7 + 253] = '.'; /* the root's dot does not count */
    cr_assert(url_parse(span_of(text, 7 + 254), &u, &at) == URL_OK);
    text[7 + 254] = 'a';
    cr_assert(url_parse(span_of(text, 7 + 255), &u, &at) == URL_HOST_BAD);
    cr_assert(at == 7 + 254);
}

Test(url, length)
{
    static char text[LIMIT_URL_BYTES + 1] = "http://h/";
    struct url u;
    size_t at;
    memset(text + 9, 'p', sizeof text - 9);
    cr_assert(url_parse(span_of(text, LIMIT_URL_BYTES), &u, &at) == URL_OK);
    cr_assert(u.path.len == LIMIT_URL_BYTES - 8);
    cr_assert(url_parse(span_of(text, LIMIT_URL_BYTES + 1), &u, &at) == URL_TOO_LONG);
    cr_assert(at == LIMIT_URL_BYTES);
}

/* Each byte value in each part: none that could end a request line or a field gets through. */
Test(url, every_byte_everywhere)
{
    static const char *const parts[] = {"http://a*b/", "http://u*v@h/", "http://h/p*q",
                                        "http://h/?p*q", "http://h/#p*q"};
    for (size_t part = 0; part < COUNT(parts); part++) {
        for (int c = 0; c < 256; c++) {
            char text[32];
            size_t len = strlen(parts[part]), at, star = strcspn(parts[part], "*");
            struct url u;
            memcpy(text, parts[part], len);
            text[star] = (char)c;
            bool ok = url_parse(span_of(text, len), &u, &at) == URL_OK;
            bool control = c <= ' ' || c == 0x7f;
            cr_assert(!(ok && control), "byte %d in part %zu", c, part);
            cr_assert(!(ok && c > 127 && part < 4), "byte %d in part %zu", c, part);
            cr_assert(!(ok && c == '\\' && part < 3), "byte %d in part %zu", c, part);
            cr_assert(ok || at == star || strchr("%:[@", c) != NULL, "byte %d, part %zu at %zu", c,
                      part, at);
            if (c == '.' || c == '-' || c == '7' || c == 'Z' || c == '_') cr_assert(ok);
        }
    }
}

/* ---- url_read() ---- */

static const char *const readings[][2] = {
    /* In normal form already. */
    {"http://h", "http://h"},
    {"HTTPS://u:p@Host.example:8443/a/b?q=1", "https://u:p@Host.example:8443/a/b?q=1"},
    {"http://h/p#fragment", "http://h/p"},
    {"http://h:80/p", "http://h/p"},
    {"https://[2001:DB8::1]:443/", "https://[2001:DB8::1]/"},

    /* Percent-encoding: path, query, userinfo, each by its set; what is encoded stays. */
    {"http://h/a b", "http://h/a%20b"},
    {"http://h/\"<>^`{}", "http://h/%22%3C%3E%5E%60%7B%7D"},
    {"http://h/|[]~'%zz%", "http://h/|[]~'%zz%"},
    {"http://h/b\xc3\xbc"
     "cher?\xe2\x82\xac",
     "http://h/b%C3%BCcher?%E2%82%AC"},
    {"http://h?a b'c\"d<e>", "http://h?a%20b%27c%22d%3Ce%3E"},
    {"http://h?^`{|}\\%zz?", "http://h?^`{|}\\%zz?"},
    {"http://a b|c:\xc3\xa4[@h/", "http://a%20b%7Cc:%C3%A4%5B@h/"},
    {"http://h/p?q#a b\xc3\xa4", "http://h/p?q"},
    {"  http://h/p  ", "http://h/p"},
    {"http://h/p #f", "http://h/p%20"},

    /* Dot segments. */
    {"http://h/.", "http://h/"},
    {"http://h/..", "http://h/"},
    {"http://h/./a", "http://h/a"},
    {"http://h/../../a", "http://h/a"},
    {"http://h/a/..", "http://h/"},
    {"http://h/a/.", "http://h/a/"},
    {"http://h/a/b/../c", "http://h/a/c"},
    {"http://h/a/b/..", "http://h/a/"},
    {"http://h/a//../b", "http://h/a/b"},
    {"http://h//..", "http://h/"},
    {"http://h/a/%2e%2E/b/%2e/c", "http://h/b/c"},
    {"http://h/a/.%2e/b?/../x", "http://h/b?/../x"},
    {"http://h/.../..a/a./.a", "http://h/.../..a/a./.a"},

    /* IPv4 addresses in every spelling that inet_aton() or a browser knows. */
    {"http://127.1/", "http://127.0.0.1/"},
    {"http://127.0.1/", "http://127.0.0.1/"},
    {"http://2130706433/", "http://127.0.0.1/"},
    {"http://0x7f000001/", "http://127.0.0.1/"},
    {"http://0X7F.1:8080", "http://127.0.0.1:8080"},
    {"http://0177.0.0.01/", "http://127.0.0.1/"},
    {"http://017700000001/", "http://127.0.0.1/"},
    {"http://0x7f.0.0.0x1/", "http://127.0.0.1/"},
    {"http://127.0.0.1./", "http://127.0.0.1/"},
    {"http://127.65535/", "http://127.0.255.255/"},
    {"http://1.2.65535/", "http://1.2.255.255/"},
    {"http://4294967295", "http://255.255.255.255"},
    {"http://0/", "http://0.0.0.0/"},
    {"http://0x/", "http://0.0.0.0/"},
    {"http://0x.0x.0x.0x/", "http://0.0.0.0/"},
    {"http://00000000000000000000000000000177.1/", "http://127.0.0.1/"},
    {"http://%31%32%37.0.0.1/", "http://127.0.0.1/"},
    {"http://127%2e1/", "http://127.0.0.1/"},
    {"http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/", "http://127.0.0.1/"}, /* fullwidth */
    {"http://127\xe3\x80\x82"
     "1/",
     "http://127.0.0.1/"}, /* ideographic full stop */
    {"http://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.1/", "http://127.0.0.1/"}, /* circled */
    {"http://%EF%BC%91%EF%BC%92%EF%BC%97.1/", "http://127.0.0.1/"},
    {"http://u:p@0x7f.1:81/x", "http://u:p@127.0.0.1:81/x"},

    /* Names outside ASCII. */
    {"http://b\xc3\xbc"
     "cher.example/",
     "http://xn--bcher-kva.example/"},
    {"http://B\xc3\x9c"
     "CHER.Example/",
     "http://xn--bcher-kva.example/"},
    {"http://bu\xcc\x88"
     "cher.example/",
     "http://xn--bcher-kva.example/"},                            /* decomposed */
    {"http://fa\xc3\x9f.example/", "http://xn--fa-hia.example/"}, /* not "fass" */
    {"http://b%C3%BCcher.example:81", "http://xn--bcher-kva.example:81"},
    {"http://a\xe3\x80\x82"
     "b/",
     "http://a.b/"},
    {"http://ex%61mple.com", "http://example.com"},
    {"http://u@\xc3\xa4.example?q", "http://u@xn--4ca.example?q"},
    {"http://xn--bcher-kva.example/", "http://xn--bcher-kva.example/"},
};

static size_t write_again(const struct url *u, char *out, size_t size)
{
    bool v6 = u->host_kind == URL_HOST_V6;
    char port[8] = "";
    if (!u->port_default) snprintf(port, sizeof port, ":%u", u->port);
    return (size_t)snprintf(out, size, "%s://%.*s%s%s%.*s%s%s%.*s%s%.*s",
                            u->scheme == URL_HTTPS ? "https" : "http", (int)u->userinfo.len,
                            u->userinfo.ptr, u->has_userinfo ? "@" : "", v6 ? "[" : "",
                            (int)u->host.len, u->host.ptr, v6 ? "]" : "", port, (int)u->path.len,
                            u->path.ptr, u->has_query ? "?" : "", (int)u->query.len, u->query.ptr);
}

Test(url, readings)
{
    static struct url_room room;
    for (size_t i = 0; i < COUNT(readings); i++) {
        const char *text = readings[i][0];
        char again[512];
        struct url u;
        size_t at;
        enum url_error e = url_read(span_of(text, strlen(text)), &room, &u, &at);
        cr_assert(e == URL_OK, "%s: %s at %zu", text, url_error_text(e), at);
        write_again(&u, again, sizeof again);
        cr_assert_str_eq(again, readings[i][1], "%s became %s", text, again);

        /* What came out is in normal form, and its address is the one that is written there. */
        cr_assert(url_parse(span_of(again, strlen(again)), &u, &at) == URL_OK, "%s", again);
        struct in_addr v4;
        char host[64] = "";
        if (u.host_kind != URL_HOST_V4) continue;
        memcpy(host, u.host.ptr, u.host.len);
        cr_assert(inet_pton(AF_INET, host, &v4) == 1 && v4.s_addr == u.v4.s_addr, "%s", again);
    }
}

static const struct refused unread[] = {
    {SPAN_LIT(""), URL_EMPTY, 0},
    {SPAN_LIT(" "), URL_SPACE, 0},
    {SPAN_LIT("  h"), URL_SPACE, 0},
    {SPAN_LIT("h"), URL_SCHEME, 1},
    {SPAN_LIT("http:h"), URL_SCHEME, 5},
    {SPAN_LIT("http:/h"), URL_SCHEME, 6},
    {SPAN_LIT("http:\\\\h"), URL_BACKSLASH, 5},
    {SPAN_LIT(" ftp://h/"), URL_SCHEME, 1},
    {SPAN_LIT("ht tp://h/"), URL_SPACE, 2},
    {SPAN_LIT("mailto:x://"), URL_SCHEME, 0},
    {SPAN_LIT("http://"), URL_NO_HOST, 7},
    {SPAN_LIT("http://?a b"), URL_NO_HOST, 7},
    {SPAN_LIT("http://\xc2\xad/"), URL_NO_HOST, 9}, /* a soft hyphen is nothing */

    /* Control characters, wherever: WHATWG drops tabs and line ends. */
    {SPAN_LIT("http://h/a\tb"), URL_SPACE, 10},
    {SPAN_LIT("http://h/a b\r\nX: y"), URL_SPACE, 12},
    {SPAN_LIT("ht\ntp://h/"), URL_SPACE, 2},
    {SPAN_LIT("\thttp://h/"), URL_SPACE, 0},
    {SPAN_LIT("http://h/\n"), URL_SPACE, 9},
    {SPAN_LIT("http://h/ ?\x01"), URL_SPACE, 11},
    {SPAN_LIT("http://h/ #\x7f"), URL_SPACE, 11},
    {SPAN_LIT("http://h/\0"), URL_SPACE, 9},
    {SPAN_LIT("http://a\tb@h/"), URL_SPACE, 8},
    {SPAN_LIT("http://h\t/"), URL_SPACE, 8},
    {SPAN_LIT("http://h a/"), URL_SPACE, 8},
    {SPAN_LIT("http://h: 80/ "), URL_SPACE, 9},

    {SPAN_LIT("http://good\\@evil/a b"), URL_BACKSLASH, 11},
    {SPAN_LIT("http://h\\p"), URL_BACKSLASH, 8},
    {SPAN_LIT("http://h/a b\\"), URL_BACKSLASH, 12},
    {SPAN_LIT("http://\xc3\xa4@a@b/"), URL_HOST_BAD, 10},
    {SPAN_LIT("http://a@b@c/"), URL_HOST_BAD, 9},
    {SPAN_LIT("http://a%@h/a b"), URL_USERINFO_BAD, 7},
    {SPAN_LIT("http://a%0a@h/a b"), URL_USERINFO_BAD, 7},
    {SPAN_LIT("http://h:0/a b"), URL_PORT, 9},
    {SPAN_LIT("http://\xc3\xa4:70000/"), URL_PORT, 10},
    {SPAN_LIT("http://127.1:x/"), URL_PORT, 13},
    {SPAN_LIT("http://[::1%25lo]/a b"), URL_ZONE, 7},
    {SPAN_LIT("http://[::1/a b"), URL_HOST_V6_BAD, 11},
    {SPAN_LIT("http://[::g]/a b"), URL_HOST_V6_BAD, 7},

    /* No address, though WHATWG's rule says that it must be one. */
    {SPAN_LIT("http://1.2.3.256/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://256.1.1.1/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://1.2.3.4.5/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://1.2.65536/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://1.16777216/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://4294967296/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://0x100000000/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://99999999999999999999999999999999/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://18446744073709551617/"), URL_HOST_NUMERIC, 7}, /* 2^64 + 1 */
    {SPAN_LIT("http://0128.1/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://example.1/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://1.0xg.1/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://1..1/"), URL_HOST_NUMERIC, 7},
    {SPAN_LIT("http://.1/"), URL_HOST_NUMERIC, 7},

    /* What IDNA or percent-decoding makes of a host stays a host. */
    {SPAN_LIT("http://\xe2\x84\x80.x/"), URL_HOST_BAD, 7}, /* becomes a/c */
    {SPAN_LIT("http://\xef\xbc\x9a/"), URL_HOST_BAD, 7},   /* a fullwidth colon */
    {SPAN_LIT("http://a%2fb/"), URL_HOST_BAD, 7},
    {SPAN_LIT("http://a%40b/"), URL_HOST_BAD, 7},
    {SPAN_LIT("http://a%3a80/"), URL_HOST_BAD, 7},
    {SPAN_LIT("http://a%00b/"), URL_HOST_BAD, 7},
    {SPAN_LIT("http://a%0d%0ab/"), URL_HOST_BAD, 7},
    {SPAN_LIT("http://a%zz/"), URL_HOST_BAD, 7},
    {SPAN_LIT("http://a%25%36%31/"), URL_HOST_BAD, 7}, /* decoded once only */
    {SPAN_LIT("http://\xc3\xa4%00/"), URL_IDN, 7},
    {SPAN_LIT("http://\xff/"), URL_IDN, 7},                 /* no UTF-8 */
    {SPAN_LIT("http://\xe2\x98\x95.example/"), URL_IDN, 7}, /* an emoji */
    {SPAN_LIT("http://xn--a.\xc3\xa4/"), URL_IDN, 7},
    {SPAN_LIT("http://a..\xc3\xa4/"), URL_HOST_BAD, 7},
};

Test(url, unread)
{
    static struct url_room room;
    for (size_t i = 0; i < COUNT(unread); i++) {
        const struct refused *v = &unread[i];
        struct url u, untouched;
        size_t at;
        memset(&u, 0x5a, sizeof u);
        memcpy(&untouched, &u, sizeof u);
        enum url_error e = url_read(v->text, &room, &u, &at);
        cr_assert(e == v->error, "%s: %s at %zu", v->text.ptr, url_error_text(e), at);
        cr_assert(at == v->at, "%s: %s at %zu", v->text.ptr, url_error_text(e), at);
        cr_assert(memcmp(&u, &untouched, sizeof u) == 0, "%s: touched", v->text.ptr);
    }
}

/* A URL that grows too long when it is encoded is as long as one that was given so. */
Test(url, read_length)
{
    static char text[LIMIT_URL_BYTES] = "http://h/";
    static struct url_room room;
    struct url u;
    size_t at, fits = (LIMIT_URL_BYTES - 9) / 3;
    memset(text + 9, '"', sizeof text - 9);
    cr_assert(url_read(span_of(text, 9 + fits), &room, &u, &at) == URL_OK);
    cr_assert(u.path.len == 1 + 3 * fits);
    cr_assert(url_read(span_of(text, 9 + fits + 1), &room, &u, &at) == URL_TOO_LONG);
    cr_assert(url_read(span_of(text, sizeof text), &room, &u, &at) == URL_TOO_LONG);
    cr_assert(at == sizeof text);
}

/* The room remembers one name: whichever came before, each gets its own. */
Test(url, read_names_in_turn)
{
    static struct url_room room;
    static const char *const names[][2] = {
        {"http://\xc3\xa4.x", "xn--4ca.x"}, {"http://\xc3\xb6.x", "xn--nda.x"},
        {"http://\xc3\xa4.x", "xn--4ca.x"}, {"http://\xff.x", NULL},
        {"http://\xc3\xa4.x", "xn--4ca.x"}, {"http://\xc3\xa4.x", "xn--4ca.x"},
    };
    for (size_t i = 0; i < COUNT(names); i++) {
        struct url u;
        size_t at;
        enum url_error e = url_read(span_of(names[i][0], strlen(names[i][0])), &room, &u, &at);
        cr_assert((e == URL_OK) == (names[i][1] != NULL), "%zu", i);
        if (e == URL_OK) expect_span(u.host, names[i][1], "host", names[i][0]);
    }
}

Test(url, every_error_has_a_text)
{
    for (int e = 0; e < URL_ERROR_COUNT; e++) {
        cr_assert(url_error_text((enum url_error)e) != NULL, "%d", e);
        for (int f = 0; f < e; f++) {
            cr_assert_str_neq(url_error_text((enum url_error)e), url_error_text((enum url_error)f));
        }
    }
}

Test(url, userinfo_decode)
{
    static const struct {
        const char *userinfo;
        struct span decoded;
    } cases[] = {
        {"", SPAN_LIT("")},         {"u", SPAN_LIT("u")},
        {"u:p", SPAN_LIT("u:p")},   {"a%40b:%3A%fF%25", SPAN_LIT("a@b::\xff%")},
        {"%41%61", SPAN_LIT("Aa")}, {"a+b", SPAN_LIT("a+b")},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[64];
        struct span in = span_of(cases[i].userinfo, strlen(cases[i].userinfo));
        size_t len = url_userinfo_decode(in, out);
        cr_assert(len <= in.len);
        cr_assert(span_eq(span_of(out, len), cases[i].decoded), "%s: %.*s", cases[i].userinfo,
                  (int)len, out);
    }
}
