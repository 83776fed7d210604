/* tests/unit/test_values.c - goal: what people write for durations, sizes, counts, backoffs
 * and truth is read exactly or refused whole, and what is printed can be read back.
 *
 * Method: tables of accepted texts with their values and of refused ones; round trips of the
 * printed forms over chosen and pseudo-random numbers. Out-parameters must not change on refusal.
 */
#include "tools/hookline/values.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

struct row {
    const char *text;
    uint64_t value;
};

static void check_rows(bool (*parse)(const char *, uint64_t *), const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t got = 77;
        cr_assert(parse(rows[i].text, &got), "%s refused", rows[i].text);
        cr_assert_eq(got, rows[i].value, "%s gave %" PRIu64, rows[i].text, got);
    }
}

static void check_refused(bool (*parse)(const char *, uint64_t *), const char *const *texts,
                          size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t got = 77;
        cr_assert_not(parse(texts[i], &got), "\"%s\" accepted", texts[i]);
        cr_assert_eq(got, 77, "\"%s\" wrote its result", texts[i]);
    }
}

Test(values, durations)
{
    static const struct row good[] = {
        {"0", 0},
        {"0s", 0},
        {"1ns", 1},
        {"7us", 7000},
        {"250ms", 250000000},
        {"90s", 90000000000},
        {"10m", 600000000000},
        {"24h", 86400000000000},
        {"1d", 86400000000000},
        {"1h30m", 5400000000000},
        {"1m1s1ms", 61001000000},
        {"18446744073709551615ns", UINT64_MAX},
    };
    static const char *const bad[] = {
        "",
        "90",
        "s",
        "-1s",
        "+1s",
        "1.5s",
        " 1s",
        "1s ",
        "1S",
        "1sec",
        "1h30",
        "1 s",
        "1s,2s",
        "0x10s",
        "1ss",
        "ms",
        "1mss",
        "1\n",
        "1e3s",
        "213504d",
        "18446744073709551616ns",
        "18446744073709551615ns1ns",
    };
    check_rows(value_duration, good, COUNT_OF(good));
    check_refused(value_duration, bad, COUNT_OF(bad));
}

Test(values, sizes)
{
    static const struct row good[] = {
        {"0", 0},
        {"1", 1},
        {"64K", 65536},
        {"64k", 65536},
        {"256M", 268435456},
        {"256MiB", 268435456},
        {"1G", 1073741824},
        {"2T", 2199023255552},
        {"16777215T", UINT64_C(18446742974197923840)},
    };
    static const char *const bad[] = {
        "",     "K",  "-1",        "1KB", "1 K",   "64KK", "64Ki",
        "1.5M", "1P", "16777216T", "1M ", "64K\n", "1B",
    };
    check_rows(value_size, good, COUNT_OF(good));
    check_refused(value_size, bad, COUNT_OF(bad));
}

Test(values, counts)
{
    static const struct row good[] = {
        {"0", 0}, {"007", 7}, {"4096", 4096}, {"18446744073709551615", UINT64_MAX}};
    static const char *const bad[] = {"",
                                      "-1",
                                      "+1",
                                      "1,000",
                                      "1 ",
                                      " 1",
                                      "0x10",
                                      "1e3",
                                      "18446744073709551616",
                                      "99999999999999999999"};
    check_rows(value_count, good, COUNT_OF(good));
    check_refused(value_count, bad, COUNT_OF(bad));
}

Test(values, truth)
{
    static const char *const yes[] = {"yes", "TRUE", "on", "1"};
    static const char *const no[] = {"no", "False", "OFF", "0"};
    static const char *const neither[] = {"", "y", "2", "yes ", "01", "oui"};
    bool got = false;
    for (size_t i = 0; i < COUNT_OF(yes); i++) cr_assert(value_bool(yes[i], &got) && got);
    for (size_t i = 0; i < COUNT_OF(no); i++) cr_assert(value_bool(no[i], &got) && !got);
    got = true;
    for (size_t i = 0; i < COUNT_OF(neither); i++) cr_assert_not(value_bool(neither[i], &got));
    cr_assert(got);
}

/* A small generator with a fixed start: xorshift64. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

Test(values, printed_values_read_back)
{
    uint64_t state = 88172645463325252u;
    for (int i = 0; i < 10000; i++) {
        uint64_t n = next_random(&state) >> (next_random(&state) % 64);
        uint64_t back = 0;
        char text[VALUES_TEXT_BYTES];
        cr_assert(value_duration(value_duration_text(n, text), &back), "%s", text);
        cr_assert_eq(back, n, "%s", text);
        if (n % 3 == 0) n &= ~UINT64_C(0xfffff); /* whole mebibytes as well */
        cr_assert(value_size(value_size_text(n, text), &back), "%s", text);
        cr_assert_eq(back, n, "%s", text);
    }
    char text[VALUES_TEXT_BYTES];
    cr_assert_str_eq(value_duration_text(UINT64_C(5400000000000), text), "1h30m");
    cr_assert_str_eq(value_duration_text(0, text), "0");
    cr_assert_str_eq(value_size_text(268435456, text), "256M");
    cr_assert_str_eq(value_size_text(1000, text), "1000");
}

Test(values, for_people)
{
    char text[VALUES_TEXT_BYTES];
    cr_assert_str_eq(value_grouped_text(0, text), "0");
    cr_assert_str_eq(value_grouped_text(999, text), "999");
    cr_assert_str_eq(value_grouped_text(1000, text), "1,000");
    cr_assert_str_eq(value_grouped_text(1234567, text), "1,234,567");
    cr_assert_str_eq(value_grouped_text(UINT64_MAX, text), "18,446,744,073,709,551,615");
    cr_assert_str_eq(value_latency_text(0, text), "0 ns");
    cr_assert_str_eq(value_latency_text(1234, text), "1.23 us");
    cr_assert_str_eq(value_latency_text(45600000, text), "45.6 ms");
    cr_assert_str_eq(value_latency_text(UINT64_C(123456789012), text), "123 s");
    cr_assert_str_eq(value_bytes_text(1023, text), "1023 B");
    cr_assert_str_eq(value_bytes_text(1536, text), "1.50 KiB");
    cr_assert_str_eq(value_bytes_text(UINT64_C(5) << 30, text), "5.00 GiB");
    cr_assert_str_eq(value_clock_text(UINT64_C(42999999999), text), "0:42");
    cr_assert_str_eq(value_clock_text(UINT64_C(3723000000000), text), "1:02:03");
}

static bool same_backoff(const struct backoff *a, const struct backoff *b)
{
    return a->base_ns == b->base_ns && a->cap_ns == b->cap_ns && a->factor_milli == b->factor_milli;
}

Test(values, backoffs)
{
    static const struct {
        const char *text;
        struct backoff want;
    } good[] = {
        {"10s,3,15m", {10000000000, 900000000000, 3000}},
        {"60s,4,6h", {60000000000, 21600000000000, 4000}},
        {"1ms,1,1ms", {1000000, 1000000, 1000}},
        {"24h,100,7d", {86400000000000, 604800000000000, 100000}},
        {"1m30s,1.5,2m", {90000000000, 120000000000, 1500}},
        {"1s,2.75,2s", {1000000000, 2000000000, 2750}},
        {"1s,1.001,2s", {1000000000, 2000000000, 1001}},
        {"1s,100.000,2s", {1000000000, 2000000000, 100000}},
    };
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "FACTOR is missing"},
        {"10s", "FACTOR is missing"},
        {"10s,3", "CAP is missing"},
        {",3,15m", "BASE is"},
        {"0,3,15m", "BASE is"},
        {"999us,3,15m", "BASE is"},
        {"25h,3,7d", "BASE is"},
        {"10,3,15m", "BASE is"},
        {" 10s,3,15m", "BASE is"},
        {"0000000000000000000000000000000000000000000000000000010s,3,15m", "BASE is"},
        {"10s,,15m", "FACTOR is a"},
        {"10s,0.999,15m", "FACTOR is a"},
        {"10s,100.001,15m", "FACTOR is a"},
        {"10s,99999999999999999999,15m", "FACTOR is a"},
        {"10s,1.0001,15m", "FACTOR is a"},
        {"10s,1.,15m", "FACTOR is a"},
        {"10s,.5,15m", "FACTOR is a"},
        {"10s,-3,15m", "FACTOR is a"},
        {"10s,3x,15m", "FACTOR is a"},
        {"10s, 3,15m", "FACTOR is a"},
        {"10s,1e3,15m", "FACTOR is a"},
        {"10s,nan,15m", "FACTOR is a"},
        {"10s,3,", "CAP is a time"},
        {"10s,3,8d", "CAP is a time"},
        {"10s,3,15m,", "CAP is a time"},
        {"10s,3,9s", "CAP is less than BASE"},
    };
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct backoff got;
        const char *why = value_backoff(good[i].text, &got);
        cr_assert_null(why, "%s: %s", good[i].text, why);
        cr_assert(same_backoff(&got, &good[i].want), "%s", good[i].text);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        static const struct backoff before = {7, 8, 9};
        struct backoff got = before;
        const char *why = value_backoff(bad[i].text, &got);
        cr_assert_not_null(why, "\"%s\" accepted", bad[i].text);
        cr_assert(strstr(why, bad[i].why) == why, "\"%s\": %s", bad[i].text, why);
        cr_assert(same_backoff(&got, &before), "\"%s\" wrote its result", bad[i].text);
    }
}

Test(values, budgets)
{
    static const struct {
        const char *text;
        uint32_t percent, per_s;
    } good[] = {{"20,10/s", 20, 10}, {"0,1/s", 0, 1}, {"100,1000000/s", 100, 1000000}};
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "PCT"},
        {"20", "FLOOR is missing"},
        {"101,1/s", "PCT"},
        {"-1,1/s", "PCT"},
        {"20%,1/s", "PCT"},
        {"20,", "FLOOR is from"},
        {"20,10", "FLOOR is from"},
        {"20,10/m", "FLOOR is from"},
        {"20,10/s ", "FLOOR is from"},
        {"20,0/s", "FLOOR is from"},
        {"20,1000001/s", "FLOOR is from"},
        {"20,99999999999999999999/s", "FLOOR is from"},
    };
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        uint32_t percent = 0, per_s = 0;
        const char *why = value_budget(good[i].text, &percent, &per_s);
        cr_assert_null(why, "%s: %s", good[i].text, why);
        cr_assert_eq(percent, good[i].percent);
        cr_assert_eq(per_s, good[i].per_s);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        uint32_t percent = 77, per_s = 78;
        const char *why = value_budget(bad[i].text, &percent, &per_s);
        cr_assert_not_null(why, "\"%s\" accepted", bad[i].text);
        cr_assert(strstr(why, bad[i].why) == why, "\"%s\": %s", bad[i].text, why);
        cr_assert(percent == 77 && per_s == 78, "\"%s\" wrote its result", bad[i].text);
    }
}

Test(values, servers)
{
    static const struct {
        const char *text;
        int family;
        uint16_t port;
    } good[] = {
        {"9.9.9.9", AF_INET, 53},          {"127.0.0.1:5353", AF_INET, 5353},
        {"1.2.3.4:65535", AF_INET, 65535}, {"::1", AF_INET6, 53},
        {"[::1]", AF_INET6, 53},           {"[2620:fe::fe]:1", AF_INET6, 1},
    };
    static const char *const bad[] = {
        "",           "ns.example", "9.9.9",   "9.9.9.9:", "9.9.9.9:0", "9.9.9.9:65536",
        "9.9.9.9:5 ", "9.9.9.9:+5", "[::1",    "[::1]5",   "[9.9.9.9]", "[::1]:",
        "::1:",       "1.2.3.4x",   " 1.2.3.4"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct addr a;
        cr_assert(value_server(good[i].text, &a), "%s", good[i].text);
        cr_expect_eq(a.sa.sa_family, good[i].family, "%s", good[i].text);
        uint16_t port = a.sa.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port;
        cr_expect_eq(ntohs(port), good[i].port, "%s", good[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct addr a, before;
        memset(&a, 0x5a, sizeof a);
        before = a;
        cr_expect(!value_server(bad[i], &a), "%s", bad[i]);
        cr_expect(memcmp(&a, &before, sizeof a) == 0, "%s", bad[i]);
    }
}
