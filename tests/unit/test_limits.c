/* tests/unit/test_limits.c - goal: a file of limits means what it says for every host and port, or
 * is refused whole, at the right line and column; a rate is never faster than it was asked to be.
 *
 * Method: tables of texts with the limits that hosts must find, and of refused ones with the
 * trouble's place marked; rates against exact arithmetic; a table of 100,000 made-up hosts against
 * the rule they were made by.
 */
#include "sched/limits.h"

#include "tests/unit/must.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define MS          UINT64_C(1000000)

static struct span span_text(const char *text) { return span_of(text, strlen(text)); }

static struct limits *parse(const char *text)
{
    struct limits_error why;
    struct limits *l = limits_parse(span_text(text), &why);
    cr_assert_not_null(l, "%u:%u: %s", why.line, why.column, why.text);
    return l;
}

static void expect(const struct limits *l, const char *host, uint16_t port, uint64_t interval_ns,
                   uint32_t connections)
{
    struct limit got = limits_find(l, span_text(host), port);
    cr_assert_eq(got.interval_ns, interval_ns, "%s:%u: %" PRIu64 " ns", host, port,
                 got.interval_ns);
    cr_assert_eq(got.connections, connections, "%s:%u: %u connections", host, port,
                 got.connections);
}

Test(limits, hosts_ports_and_domains)
{
    struct limits *l = parse("# all kinds of lines\r\n"
                             "\n"
                             "api.example.com        rate=100/s  connections=8 # both\n"
                             "api.example.com:8443\tconnections=2\r\n"
                             "  *.Example.org  rate=5000/m\n"
                             "*.deep.example.org:81 connections=9\n"
                             "exact.example.org connections=1\n"
                             "[2001:DB8:0:0::1]:8080 connections=3\n"
                             "[::ffff:102:304] connections=4\n"
                             "192.0.2.7 rate=20/h\n"
                             "dotted.example. connections=5\n"
                             "localhost:65535 connections=32768");
    expect(l, "api.example.com", 80, 10 * MS, 8);
    expect(l, "api.example.com", 8443, 0, 2);
    expect(l, "api.example.com.", 8443, 0, 2);
    expect(l, "other.example.com", 80, 0, 0);
    expect(l, "xapi.example.com", 80, 0, 0);
    expect(l, "a.example.org", 80, 12 * MS, 0);
    expect(l, "a.b.example.org.", 80, 12 * MS, 0);
    expect(l, "example.org", 80, 0, 0);
    expect(l, "anexample.org", 80, 0, 0);
    expect(l, "exact.example.org", 443, 0, 1);
    expect(l, "a.deep.example.org", 81, 0, 9);
    expect(l, "a.deep.example.org", 82, 12 * MS, 0);
    expect(l, "deep.example.org", 81, 12 * MS, 0);
    expect(l, "[2001:db8::1]", 8080, 0, 3);
    expect(l, "[2001:db8::1]", 8081, 0, 0);
    expect(l, "[::ffff:1.2.3.4]", 80, 0, 4);
    expect(l, "192.0.2.7", 80, 180000 * MS, 0);
    expect(l, "192.0.2.70", 80, 0, 0);
    expect(l, "dotted.example", 80, 0, 5);
    expect(l, "localhost", 65535, 0, 32768);
    expect(l, "localhost", 80, 0, 0);
    expect(l, ".", 80, 0, 0);
    limits_free(l);
}

/* The line with the longest name counts alone: what it leaves out is not taken from another. */
Test(limits, one_line_counts)
{
    struct limits *l = parse("*.example.org rate=10/s connections=10\n"
                             "*.a.example.org connections=7\n"
                             "h.a.example.org:80 rate=1/s\n"
                             "*.b.example.org:80 rate=2/s\n");
    expect(l, "h.a.example.org", 80, 1000 * MS, 0);
    expect(l, "h.a.example.org", 81, 0, 7);
    expect(l, "x.a.example.org", 80, 0, 7);
    expect(l, "x.b.example.org", 80, 500 * MS, 0);
    expect(l, "x.b.example.org", 81, 100 * MS, 10);
    limits_free(l);
}

Test(limits, nothing_but_comments)
{
    static const char *const texts[] = {"", "\n", "\r\n\r\n", "# a=b\n#\n \t# c", " "};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct limits *l = parse(texts[i]);
        expect(l, "a.example", 80, 0, 0);
        limits_free(l);
    }
    struct limits_error why;
    struct limits *l = limits_parse((struct span){NULL, 0}, &why);
    cr_assert_not_null(l);
    limits_free(l);
}

/* Takes a '^' out of the text and tells its line and column. */
static size_t unmark(const char *marked, char *out, uint32_t *line, uint32_t *column)
{
    size_t len = strlen(marked), mark = strcspn(marked, "^");
    cr_assert_lt(mark, len, "%s", marked);
    *line = *column = 1;
    for (size_t i = 0; i < mark; i++) {
        *column = marked[i] == '\n' ? 1 : *column + 1;
        *line += marked[i] == '\n';
    }
    memcpy(out, marked, mark);
    memcpy(out + mark, marked + mark + 1, len - mark - 1);
    return len - 1;
}

static void expect_refused(const char *marked, const char *reason)
{
    char text[512];
    uint32_t line, column;
    struct limits_error why;
    size_t len = unmark(marked, text, &line, &column);
    struct limits *l = limits_parse(span_of(text, len), &why);
    cr_assert_null(l, "\"%s\" accepted", marked);
    cr_assert(strstr(why.text, reason) == why.text, "\"%s\": %s", marked, why.text);
    cr_assert_eq(why.line, line, "\"%s\": line %u", marked, why.line);
    cr_assert_eq(why.column, column, "\"%s\": column %u", marked, why.column);
}

#define LABEL_63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"
#define NAME_255 LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_63

Test(limits, refused_hosts)
{
    static const struct {
        const char *marked, *reason;
    } rows[] = {
        {"ok rate=1/s\n\n^http://a.example rate=1/s", "a host stands here without its scheme"},
        {"^* rate=1/s", "\"*\" stands for all names below a domain"},
        {"^*a.example rate=1/s", "\"*\" stands for all names below a domain"},
        {"a.^*.example rate=1/s", "\"*\" can only stand first"},
        {"*.^*.example rate=1/s", "\"*\" can only stand first"},
        {"*.^ rate=1/s", "a host's name must stand here"},
        {"*.^. rate=1/s", "an empty label"},
        {"^. rate=1/s", "an empty label"},
        {"a.^.b rate=1/s", "an empty label"},
        {"^.a rate=1/s", "an empty label"},
        {"a.^. rate=1/s", "an empty label"},
        {"^:80 rate=1/s", "a host's name must stand here"},
        {"a^/b rate=1/s", "a byte that no host's name has"},
        {"a^@b rate=1/s", "a byte that no host's name has"},
        {"a^# rate=1/s", "a byte that no host's name has"},
        {"a^\001 rate=1/s", "a byte that no host's name has"},
        {"b^\303\274cher.example rate=1/s", "a name outside ASCII"},
        {"^\357\273\277a rate=1/s", "a name outside ASCII"},
        {"^" LABEL_63 "h rate=1/s", "a label of a host's name has at most 63 bytes"},
        {"a.^" LABEL_63 "h.b rate=1/s", "a label of a host's name has at most 63 bytes"},
        {"^" NAME_255 ".a rate=1/s", "a host's name has at most 255 bytes"},
        {"^2001:db8::1 rate=1/s", "an IPv6 address stands in brackets"},
        {"^a:80:81 rate=1/s", "an IPv6 address stands in brackets"},
        {"^[2001:db8::1 rate=1/s", "\"]\" is missing"},
        {"^[] rate=1/s", "no IPv6 address"},
        {"^[1.2.3.4] rate=1/s", "no IPv6 address"},
        {"^[fe80::1%1] rate=1/s", "no IPv6 address"},
        {"^[0000:0000:0000:0000:0000:0000:255.255.255.2550] rate=1/s", "no IPv6 address"},
        {"[::1]^x rate=1/s", "a port or nothing can follow"},
        {"[::1]^80 rate=1/s", "a port or nothing can follow"},
        {"a:^ rate=1/s", "a port is a number"},
        {"a:^0 rate=1/s", "a port is a number"},
        {"a:^65536 rate=1/s", "a port is a number"},
        {"a:^99999999999999999999 rate=1/s", "a port is a number"},
        {"a:^80x rate=1/s", "a port is a number"},
        {"[::1]:^-1 rate=1/s", "a port is a number"},
        {"^1.2.3 rate=1/s", "an IPv4 address is four numbers"},
        {"^1.2.3.256 rate=1/s", "an IPv4 address is four numbers"},
        {"^1.2.3.04 rate=1/s", "an IPv4 address is four numbers"},
        {"^0x7f000001 rate=1/s", "an IPv4 address is four numbers"},
        {"^a.0x rate=1/s", "an IPv4 address is four numbers"},
        {"*.^0.0.1 rate=1/s", "an IPv4 address is four numbers"},
        {"*.^127.0.0.1 rate=1/s", "an IPv4 address is four numbers"},
        {"a rate=1/s\nb rate=1/s\n^A. rate=2/s", "the same host stands on line 1"},
        {"[::1] rate=1/s\n\n^[0::1] rate=1/s", "the same host stands on line 1"},
        {"*.a:80 rate=1/s\n^*.a:080 rate=1/s", "the same host stands on line 1"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) expect_refused(rows[i].marked, rows[i].reason);
}

Test(limits, refused_settings)
{
    static const struct {
        const char *marked, *reason;
    } rows[] = {
        {"a^", "a limit must follow the host"},
        {"a  ^", "a limit must follow the host"},
        {"a ^# rate=1/s", "a limit must follow the host"},
        {"a:80^\nb rate=1/s", "a limit must follow the host"},
        {"a ^b rate=1/s", "\"b\" is no limit"},
        {"a ^Rate=1/s", "\"Rate\" is no limit"},
        {"a rate=1/s ^=5", "\"\" is no limit"},
        {"a ^\033[31m=5", "\"?[31m\" is no limit"},
        {"a rate^", "\"=\" and a value must follow"},
        {"a rate^ = 5/s", "\"=\" and a value must follow"},
        {"a rate=^", "a rate is from 1/d to 10000000/s"},
        {"a rate=^0/s", "a rate is from 1/d to 10000000/s"},
        {"a rate=^off", "a rate is from 1/d to 10000000/s"},
        {"a rate=^5", "a rate is from 1/d to 10000000/s"},
        {"a connections=^0", "connections are from 1 to 32768"},
        {"a connections=^32769", "connections are from 1 to 32768"},
        {"a connections=^-1", "connections are from 1 to 32768"},
        {"a connections=^8,", "connections are from 1 to 32768"},
        {"a connections=^", "connections are from 1 to 32768"},
        {"a rate=1/s ^rate=1/s", "rate stands twice"},
        {"a connections=1 rate=1/s\t^connections=2", "connections stands twice"},
        {"a rate=^1/s\rb rate=1/s", "a rate is"}, /* a lone CR ends no line */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) expect_refused(rows[i].marked, rows[i].reason);
}

Test(limits, nul_bytes_and_length)
{
    struct limits_error why;
    cr_assert_null(limits_parse(span_of("a rate=1/s\n# \0\n", 15), &why));
    cr_assert(why.line == 2 && why.column == 3, "%u:%u", why.line, why.column);
    cr_assert_str_eq(why.text, "a NUL byte");
    static char none[1]; /* nothing of a text that is too long is looked at */
    cr_assert_null(limits_parse(span_of(none, (size_t)LIMITS_TEXT_BYTES_MAX + 1), &why));
    cr_assert_eq(why.line, 1);
}

Test(limits, rates)
{
    static const struct {
        const char *text;
        uint64_t interval_ns;
    } good[] = {
        {"1/s", 1000000000},    {"100/s", 10000000},     {"3/s", 333333334},
        {"10000000/s", 100},    {"7000000/s", 143},      {"9999999/s", 101},
        {"5000/m", 12000000},   {"600000000/m", 100},    {"20/h", 180000000000},
        {"36000000000/h", 100}, {"1/d", 86400000000000}, {"864000000000/d", 100},
        {"007/m", 8571428572},
    };
    static const char *const bad[] = {
        "",
        "/",
        "/s",
        "5",
        "5/",
        "s",
        "5s",
        "5/x",
        "5/S",
        "5/min",
        "5//s",
        " 5/s",
        "5/s ",
        "5 /s",
        "-5/s",
        "+5/s",
        "1.5/s",
        "1e3/s",
        "nan/s",
        "0/s",
        "000/d",
        "10000001/s",
        "600000001/m",
        "864000000001/d",
        "18446744073709551617/s",
        "99999999999999999999999/d",
        "5/s/s",
        "1,000/s",
        "\xc2\xb9/s",
    };
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        uint64_t got = 0;
        cr_assert(rate_parse(span_text(good[i].text), &got), "%s refused", good[i].text);
        cr_assert_eq(got, good[i].interval_ns, "%s: %" PRIu64, good[i].text, got);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        uint64_t got = 77;
        cr_assert_not(rate_parse(span_text(bad[i]), &got), "\"%s\" accepted", bad[i]);
        cr_assert_eq(got, 77, "\"%s\" wrote its result", bad[i]);
    }
}

/* interval * n is at least the unit, and less than one step of n above it. */
Test(limits, rates_are_never_faster_than_asked)
{
    static const uint64_t units[] = {1, 60, 3600, 86400};
    for (size_t u = 0; u < COUNT_OF(units); u++) {
        uint64_t unit_ns = units[u] * 1000000000;
        for (uint64_t n = 1; n <= unit_ns / 100; n += n / 7 + 1) {
            char text[40];
            uint64_t got;
            snprintf(text, sizeof text, "%" PRIu64 "/%c", n, "smhd"[u]);
            MUST(rate_parse(span_text(text), &got), "refused");
            MUST(got * n >= unit_ns, "too fast");
            MUST((got - 1) * n < unit_ns, "too slow");
        }
    }
}

Test(limits, many_hosts)
{
    enum { HOSTS = 100000 };
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    for (uint32_t i = 1; i <= HOSTS; i++) {
        if (i % 3 == 0) fprintf(out, "*.h%u.example rate=%u/s\n", i, i);
        else if (i % 3 == 1) fprintf(out, "h%u.example:%u connections=%u\n", i, 80, i % 1000 + 1);
        else fprintf(out, "10.%u.%u.%u connections=7\n", i >> 16, i >> 8 & 255, i & 255);
    }
    fclose(out);
    struct limits *l = parse(text);
    free(text); /* it was copied */
    for (uint32_t i = 1; i <= HOSTS + 10; i++) {
        char name[40];
        bool known = i <= HOSTS;
        snprintf(name, sizeof name, "%sh%u.example", i % 3 == 0 ? "a.b." : "", i);
        struct limit a = limits_find(l, span_text(name), 80);
        struct limit b = limits_find(l, span_text(name), 81);
        snprintf(name, sizeof name, "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
        struct limit c = limits_find(l, span_text(name), 81);
        MUST(a.interval_ns == (known && i % 3 == 0 ? (1000000000u + i - 1) / i : 0), "rate");
        MUST(a.connections == (known && i % 3 == 1 ? i % 1000 + 1 : 0), "connections");
        MUST(b.connections == 0 && b.interval_ns == a.interval_ns, "another port");
        MUST(c.connections == (known && i % 3 == 2 ? 7 : 0), "address");
    }
    limits_free(l);
}
