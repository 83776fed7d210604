/* Goal: a URL has one reading or none, and a refusal names what is wrong and where.
 *
 * Method: two tables. Every URL of the first is taken apart, put together again and must give the
 * same parts; each of the second must give its error at its offset and leave the result alone.
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
    {"http://h//a/../b/./%2e%zz;x=y,@:&$!*'()\"<>[]^`{|}~", URL_HTTP, URL_HOST_NAME, NULL, "h", 80,
     true, "//a/../b/./%2e%zz;x=y,@:&$!*'()\"<>[]^`{|}~", NULL},
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
