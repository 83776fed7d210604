/* tests/unit/test_stamp.c - goal: every number and every moment is written as the libc writes it.
 *
 * Method: compared with snprintf() and gmtime_r() for every day of the range, all borders of
 * digits, and pseudo-random values; bytes beyond the promised length stay untouched.
 */
#include "core/base/stamp.h"

#include "core/base/prng.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_SECOND UINT64_C(1000000000)

static void check_utc(struct stamp_cache *cache, uint64_t ns)
{
    char got[STAMP_UTC_BYTES + 2], want[64], date[32];
    time_t second = (time_t)(ns / NS_PER_SECOND);
    struct tm tm;
    cr_assert_not_null(gmtime_r(&second, &tm));
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(want, sizeof want, "%s.%06uZ", date, (unsigned)(ns % NS_PER_SECOND / 1000));
    memset(got, '#', sizeof got);
    stamp_utc(cache, got, ns);
    cr_assert_eq(got[STAMP_UTC_BYTES], '#');
    got[STAMP_UTC_BYTES] = 0;
    cr_assert_str_eq(got, want);
}

Test(stamp, utc_known)
{
    struct stamp_cache cache = {0};
    char text[STAMP_UTC_BYTES];
    stamp_utc(&cache, text, UINT64_C(1795222923) * NS_PER_SECOND + 123456789);
    cr_assert_eq(memcmp(text, "2026-11-21T01:02:03.123456Z", sizeof text), 0);
    stamp_utc(&cache, text, 0);
    cr_assert_eq(memcmp(text, "1970-01-01T00:00:00.000000Z", sizeof text), 0);
}

/* The first second, from an empty cache, is not mistaken for a cached one. */
Test(stamp, utc_empty_cache)
{
    struct stamp_cache cache = {0};
    check_utc(&cache, 999999999);
    check_utc(&cache, 0);
}

Test(stamp, utc_every_day)
{
    struct stamp_cache cache = {0};
    uint64_t day_ns = 86400 * NS_PER_SECOND;
    for (uint64_t day = 0; day < UINT64_MAX / day_ns; day++) {
        check_utc(&cache, day * day_ns + (day * UINT64_C(86000123456789) % day_ns));
        check_utc(&cache, (day + 1) * day_ns - 1);
    }
    check_utc(&cache, UINT64_MAX);
}

/* Time goes on by small steps, and now and then back: the cache must follow. */
Test(stamp, utc_cache_follows)
{
    struct stamp_cache cache = {0};
    struct prng dice;
    prng_seed(&dice, 2);
    uint64_t ns = UINT64_C(1795222900) * NS_PER_SECOND;
    for (int i = 0; i < 50000; i++) {
        ns += prng_below(&dice, 100000000);
        if (prng_percent(&dice, 1)) ns -= prng_below(&dice, 5 * NS_PER_SECOND);
        check_utc(&cache, ns);
    }
}

static void check_numbers(uint64_t value)
{
    char got[32], want[32];
    snprintf(want, sizeof want, "%" PRIu64, value);
    memset(got, '#', sizeof got);
    size_t len = stamp_u64(got, value);
    cr_assert_leq(len, STAMP_U64_BYTES_MAX);
    cr_assert_eq(got[len], '#');
    got[len] = 0;
    cr_assert_str_eq(got, want);

    snprintf(want, sizeof want, "%" PRIu64 ".%03u", value / 1000000,
             (unsigned)(value / 1000 % 1000));
    memset(got, '#', sizeof got);
    len = stamp_ms(got, value);
    cr_assert_leq(len, STAMP_MS_BYTES_MAX);
    cr_assert_eq(got[len], '#');
    got[len] = 0;
    cr_assert_str_eq(got, want);
}

Test(stamp, numbers)
{
    struct prng dice;
    prng_seed(&dice, 1);
    for (uint64_t v = 0; v < 100100; v++) check_numbers(v);
    for (uint64_t power = 1, i = 0; i < 20; i++, power *= 10) {
        check_numbers(power - 1);
        check_numbers(power);
        check_numbers(power + 1);
    }
    for (uint32_t bit = 0; bit < 64; bit++) check_numbers((UINT64_C(1) << bit) - 1);
    check_numbers(UINT64_MAX);
    for (int i = 0; i < 100000; i++) check_numbers(prng_u64(&dice) >> prng_below(&dice, 64));
}
