/* tests/unit/test_hosts_file.c - goal: /etc/hosts is read as hosts(5) says, whatever stands in it.
 *
 * Method: a file with every oddity that such files have, looked up name by name; then random bytes,
 * and a file of 20,000 names in any order.
 */
#include "core/net/hosts_file.h"
#include "core/net/resolver.h"

#include "core/base/prng.h"
#include "tests/unit/must.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char text[] = "# a comment\n"
                           "127.0.0.1\tlocalhost\n"
                           "::1     localhost ip6-localhost ip6-loopback\n"
                           "\n"
                           "   10.0.0.1   One.Example one   # uno\n"
                           "10.0.0.2 two.example\r\n"
                           "10.0.0.3 two.example.\n"
                           "2001:db8::2 two.example\n"
                           "nonsense three.example\n"
                           "fe80::1%eth0 four.example\n"
                           "10.0.0.5\n"
                           "10.0.0.6#six.example\n"
                           "10.0.0.7 last.example";

static struct hosts_file *file;

static void begin(void)
{
    file = hosts_file_new(span_of(text, sizeof text - 1));
    cr_assert_not_null(file);
}
static void end(void) { hosts_file_free(file); }

TestSuite(hosts_file, .init = begin, .fini = end);

/* All its addresses, with blanks between. */
static const char *found(const char *name)
{
    static char all[400];
    struct addr a[8];
    uint32_t n = hosts_file_find(file, span_of(name, strlen(name)), a, 8);
    all[0] = 0;
    for (uint32_t i = 0; i < n; i++) {
        char one[ADDR_TEXT_BYTES];
        addr_text(&a[i], one);
        strncat(all, one, sizeof all - strlen(all) - 2);
        if (i + 1 < n) strncat(all, " ", 2);
    }
    return all;
}

Test(hosts_file, names)
{
    cr_expect_str_eq(found("localhost"), "127.0.0.1:0 [::1]:0");
    cr_expect_str_eq(found("one.example"), "10.0.0.1:0");
    cr_expect_str_eq(found("ONE.EXAMPLE."), "10.0.0.1:0");
    cr_expect_str_eq(found("one"), "10.0.0.1:0");
    cr_expect_str_eq(found("two.example"), "10.0.0.2:0 10.0.0.3:0 [2001:db8::2]:0");
    cr_expect_str_eq(found("last.example"), "10.0.0.7:0", "a last line without an end");
}

Test(hosts_file, what_is_not_there)
{
    static const char *const none[] = {"",     "uno",          "#",           "three.example",
                                       "on",   "four.example", "six.example", "10.0.0.5",
                                       "one.", "one.exampl",   "zzz"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (strcmp(none[i], "one.") != 0) cr_expect_str_eq(found(none[i]), "", "%s", none[i]);
    char longest[400];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    cr_expect_str_eq(found(longest), "");
}

Test(hosts_file, no_more_than_there_is_room_for)
{
    struct addr a[2];
    cr_expect_eq(hosts_file_find(file, SPAN_LIT("two.example"), a, 2), 2);
    cr_expect_eq(hosts_file_find(file, SPAN_LIT("two.example"), a, 0), 0);
}

Test(hosts_file, an_empty_file)
{
    struct hosts_file *empty = hosts_file_new(span_of("", 0));
    struct addr a;
    cr_assert_not_null(empty);
    cr_expect_eq(hosts_file_find(empty, SPAN_LIT("localhost"), &a, 1), 0);
    hosts_file_free(empty);
}

Test(hosts_file, many_names_and_random_bytes)
{
    enum { NAMES = 20000, LINE = 40 };
    struct prng dice;
    prng_seed(&dice, 99);
    char *big = malloc(NAMES * LINE);
    size_t len = 0;
    for (uint32_t i = 0; i < NAMES; i++) {
        uint32_t k = (uint32_t)((uint64_t)i * 7919 % NAMES);
        len += (size_t)snprintf(big + len, LINE, "10.%u.%u.%u host%u.example\n", k >> 16,
                                k >> 8 & 255, k & 255, k);
    }
    struct hosts_file *h = hosts_file_new(span_of(big, len));
    cr_assert_not_null(h);
    for (uint32_t k = 0; k < NAMES; k++) {
        char name[32];
        struct addr a;
        int n = snprintf(name, sizeof name, "host%u.example", k);
        MUST(hosts_file_find(h, span_of(name, (size_t)n), &a, 1) == 1);
        MUST(a.v4.sin_addr.s_addr == htonl(0x0a000000 + k));
    }
    hosts_file_free(h);
    for (int round = 0; round < 2000; round++) {
        static const char bytes[] = "1.:af \t\n#\r\0\xff";
        size_t n = prng_below(&dice, 200);
        for (size_t i = 0; i < n; i++) big[i] = bytes[prng_below(&dice, sizeof bytes)];
        h = hosts_file_new(span_of(big, n));
        cr_assert_not_null(h);
        hosts_file_free(h);
    }
    free(big);
}

/* In the order of what wins: --resolve, localhost by definition, this file. */
Test(hosts_file, the_resolver_asks_it)
{
    struct resolver *r = resolver_new();
    struct addr a[RESOLVER_ADDRS_MAX];
    struct url u;
    size_t at;
    cr_assert(resolver_hosts(r, span_of(text, sizeof text - 1)));
    cr_assert_null(resolver_add(r, "one.example:80:10.9.9.9"));
    cr_assert_eq(url_parse(SPAN_LIT("http://two.example:81/"), &u, &at), URL_OK);
    cr_assert_eq(resolver_find(r, &u, a), 3);
    char one[ADDR_TEXT_BYTES];
    addr_text(&a[2], one);
    cr_expect_str_eq(one, "[2001:db8::2]:81");
    cr_assert_eq(url_parse(SPAN_LIT("http://one.example/"), &u, &at), URL_OK);
    cr_assert_eq(resolver_find(r, &u, a), 1);
    cr_expect_eq(a[0].v4.sin_addr.s_addr, htonl(0x0a090909));
    cr_assert_eq(url_parse(SPAN_LIT("http://one.example:81/"), &u, &at), URL_OK);
    cr_assert_eq(resolver_find(r, &u, a), 1);
    cr_expect_eq(a[0].v4.sin_addr.s_addr, htonl(0x0a000001));
    cr_assert_eq(url_parse(SPAN_LIT("http://three.example/"), &u, &at), URL_OK);
    cr_expect_eq(resolver_find(r, &u, a), 0);
    resolver_free(r);
}
