/* core/base/stamp.c - numbers and times as text; see stamp.h. */
#include "core/base/stamp.h"

#include "core/base/check.h"

#include <string.h>

enum { SECONDS_PER_DAY = 86400, US_PER_SECOND = 1000000, EIGHT_DIGITS = 100000000 };
#define NS_PER_SECOND UINT64_C(1000000000)

#define PAIRS_OF(tens) \
    tens "0" tens "1" tens "2" tens "3" tens "4" tens "5" tens "6" tens "7" tens "8" tens "9"
/* "00", "01" ... "99": one store for two digits. */
static const char pairs[] = PAIRS_OF("0") PAIRS_OF("1") PAIRS_OF("2") PAIRS_OF("3") PAIRS_OF("4")
    PAIRS_OF("5") PAIRS_OF("6") PAIRS_OF("7") PAIRS_OF("8") PAIRS_OF("9");

static void put_pair(char *out, uint32_t value) { memcpy(out, &pairs[(size_t)value * 2], 2); }

/* Year, month and day of a day since 1970-01-01, in the Gregorian calendar. Counts in eras of
 * 400 years of 146,097 days, with years that begin in March so that the leap day comes last
 * (Hinnant, "chrono-compatible low-level date algorithms"). */
static void put_date(char *out, uint32_t day_since_1970)
{
    uint32_t day = day_since_1970 + 719468; /* since 0000-03-01 */
    uint32_t era = day / 146097;
    uint32_t day_of_era = day % 146097;
    uint32_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t march_month = (5 * day_of_year + 2) / 153; /* 0 is March */
    uint32_t month = march_month < 10 ? march_month + 3 : march_month - 9;
    uint32_t year = year_of_era + era * 400 + (month <= 2);
    CHECK(year < 10000); /* 64 bits of nanoseconds end in 2554 */
    put_pair(out, year / 100);
    put_pair(out + 2, year % 100);
    out[4] = '-';
    put_pair(out + 5, month);
    out[7] = '-';
    put_pair(out + 8, day_of_year - (153 * march_month + 2) / 5 + 1);
}

static __attribute__((noinline)) void cache_fill(struct stamp_cache *cache, uint64_t second)
{
    uint32_t of_day = (uint32_t)(second % SECONDS_PER_DAY);
    char *out = cache->text;
    put_date(out, (uint32_t)(second / SECONDS_PER_DAY));
    out[10] = 'T';
    put_pair(out + 11, of_day / 3600);
    out[13] = ':';
    put_pair(out + 14, of_day / 60 % 60);
    out[16] = ':';
    put_pair(out + 17, of_day % 60);
    out[19] = '.';
    cache->second_after = second + 1;
}

void stamp_utc(struct stamp_cache *cache, char *out, uint64_t since_1970_ns)
{
    uint64_t second = since_1970_ns / NS_PER_SECOND;
    if (__builtin_expect(cache->second_after != second + 1, 0)) cache_fill(cache, second);
    uint32_t us = (uint32_t)(since_1970_ns - second * NS_PER_SECOND) / 1000;
    CHECK_HOT(us < US_PER_SECOND);
    memcpy(out, cache->text, sizeof cache->text);
    uint32_t hundreds = us / 100;
    put_pair(out + 20, hundreds / 100);
    put_pair(out + 22, hundreds % 100);
    put_pair(out + 24, us % 100);
    out[26] = 'Z';
}

/* clang-format off */
#define ROW(zeros) UINT64_C(1##zeros), UINT64_C(10##zeros), UINT64_C(100##zeros)
/* The smallest number of n + 1 digits; 0 in the first place, so that 0 itself has one digit. */
static const uint64_t power_of_ten[STAMP_U64_BYTES_MAX] = {
    0, 10, 100,
    ROW(000), ROW(000000), ROW(000000000), ROW(000000000000), ROW(000000000000000),
    UINT64_C(1000000000000000000), UINT64_C(10000000000000000000)};
#undef ROW
/* clang-format on */

static uint32_t digits_of(uint64_t value)
{
    /* Bits times log10(2) is right or one too few; the table tells which. */
    uint32_t bits = 64u - (uint32_t)__builtin_clzll(value | 1);
    uint32_t guess = bits * 1233 >> 12;
    return guess + (value >= power_of_ten[guess]);
}

size_t stamp_u64_size(uint64_t value) { return digits_of(value); }

static void put_four(char *out, uint32_t value)
{
    put_pair(out, value / 100);
    put_pair(out + 2, value % 100);
}

/* Of a value below 10000, without leading zeros; returns the bytes written. */
static size_t put_below_10000(char *out, uint32_t value)
{
    char *at = out;
    uint32_t hundreds = value / 100;
    if (value >= 1000) {
        put_pair(at, hundreds);
        at += 2;
    } else if (value >= 100) {
        *at++ = (char)('0' + hundreds);
    }
    if (value < 10) {
        *at = (char)('0' + value);
        return 1;
    }
    put_pair(at, value - hundreds * 100);
    return (size_t)(at - out) + 2;
}

/* Of a value of more than eight digits: at most twelve and eight. Apart, so that the usual number
 * does not pay for this one's registers. */
static __attribute__((noinline)) size_t put_large(char *out, uint64_t value)
{
    uint32_t last = (uint32_t)(value % EIGHT_DIGITS);
    size_t len = stamp_u64(out, value / EIGHT_DIGITS);
    put_four(out + len, last / 10000);
    put_four(out + len + 4, last % 10000);
    return len + 8;
}

size_t stamp_u64(char *out, uint64_t value)
{
    if (value < 10000) return put_below_10000(out, (uint32_t)value);
    if (value >= EIGHT_DIGITS) return put_large(out, value);
    size_t len = put_below_10000(out, (uint32_t)value / 10000);
    put_four(out + len, (uint32_t)value % 10000);
    return len + 4;
}

size_t stamp_ms(char *out, uint64_t ns)
{
    uint64_t us = ns / 1000;
    size_t len = stamp_u64(out, us / 1000);
    uint32_t rest = (uint32_t)(us % 1000);
    out[len] = '.';
    out[len + 1] = (char)('0' + rest / 100);
    put_pair(out + len + 2, rest % 100);
    return len + 4;
}
