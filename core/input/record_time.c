/* core/input/record_time.c - RFC 3339 and epoch seconds, digit by digit; see the header.
 *
 * No strptime, timegm or floating point: they depend on locale and time zone, take more than the
 * RFC does, or lose nanoseconds.
 */
#include "core/input/record_time.h"

#include "core/base/check.h"

#include <stdbool.h>

#define NS_PER_S   1000000000u
#define EPOCH_MAX  (UINT64_MAX / NS_PER_S - 1) /* seconds */
#define TOO_EARLY  "lies before 1970"
#define TOO_LATE   "lies beyond the year 2554 (epoch times are in seconds)"
#define NOT_A_TIME "is not an RFC 3339 time such as 2026-11-21T10:00:00Z"

struct cursor {
    const char *p, *end;
};

static bool digit_next(const struct cursor *c)
{
    return c->p < c->end && *c->p >= '0' && *c->p <= '9';
}

/* Exactly n digits. */
static bool digits(struct cursor *c, int n, uint32_t *out)
{
    uint32_t value = 0;
    for (int i = 0; i < n; i++, c->p++) {
        if (!digit_next(c)) return false;
        value = value * 10 + (uint32_t)(*c->p - '0');
    }
    *out = value;
    return true;
}

static bool literal(struct cursor *c, const char *any)
{
    if (c->p >= c->end) return false;
    for (; *any != 0; any++) {
        if (*c->p == *any) {
            c->p++;
            return true;
        }
    }
    return false;
}

/* Days from 1970-01-01 to a date of the proleptic Gregorian calendar, year 1 or later. */
static int64_t days_from_civil(uint32_t year, uint32_t month, uint32_t day)
{
    /* Years begin in March, so that the leap day comes last (H. Hinnant's algorithm). */
    int64_t y = (int64_t)year - (month <= 2);
    int64_t era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static uint32_t days_in_month(uint32_t year, uint32_t month)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : days[month - 1];
}

static const char *combine(int64_t seconds, uint32_t ns, uint64_t *out)
{
    if (seconds < 0) return TOO_EARLY;
    if ((uint64_t)seconds > EPOCH_MAX) return TOO_LATE;
    uint64_t sum = (uint64_t)seconds * NS_PER_S + ns;
    *out = sum == 0 ? 1 : sum;
    return NULL;
}

static bool date(struct cursor *c, int64_t *days)
{
    uint32_t year, month, day;
    if (!digits(c, 4, &year) || !literal(c, "-") || !digits(c, 2, &month)) return false;
    if (!literal(c, "-") || !digits(c, 2, &day)) return false;
    if (year < 1 || month < 1 || month > 12) return false;
    if (day < 1 || day > days_in_month(year, month)) return false;
    *days = days_from_civil(year, month, day);
    return true;
}

/* Fraction digits up to the first that is none, as nanoseconds; at least one. */
static bool fraction(struct cursor *c, uint32_t *ns)
{
    uint32_t value = 0, unit = NS_PER_S;
    if (!digit_next(c)) return false;
    for (; digit_next(c); c->p++) {
        unit /= 10;
        value += unit * (uint32_t)(*c->p - '0');
    }
    *ns = value;
    return true;
}

static bool offset(struct cursor *c, int64_t *seconds)
{
    if (literal(c, "Zz")) {
        *seconds = 0;
        return true;
    }
    uint32_t hour, minute;
    bool west = c->p < c->end && *c->p == '-';
    if (!literal(c, "+-") || !digits(c, 2, &hour) || !literal(c, ":")) return false;
    if (!digits(c, 2, &minute) || hour > 23 || minute > 59) return false;
    *seconds = (int64_t)(hour * 3600 + minute * 60) * (west ? -1 : 1);
    return true;
}

const char *record_time_text(struct span text, uint64_t *ns)
{
    CHECK(ns != NULL);
    struct cursor c = {text.ptr, text.ptr + text.len};
    int64_t days, zone;
    uint32_t hour, minute, second, frac = 0;
    if (!date(&c, &days) || !literal(&c, "Tt ")) return NOT_A_TIME;
    if (!digits(&c, 2, &hour) || !literal(&c, ":") || !digits(&c, 2, &minute)) return NOT_A_TIME;
    if (!literal(&c, ":") || !digits(&c, 2, &second)) return NOT_A_TIME;
    if (literal(&c, ".") && !fraction(&c, &frac)) return NOT_A_TIME;
    if (!offset(&c, &zone) || c.p != c.end) return NOT_A_TIME;
    if (hour > 23 || minute > 59 || second > 60) return NOT_A_TIME;
    int64_t sum = days * 86400 + hour * 3600 + minute * 60 + second - zone;
    /* A leap second is the last of a UTC day; it counts as the next day's first. */
    if (second == 60 && sum % 86400 != 0) return NOT_A_TIME;
    return combine(sum, frac, ns);
}

const char *record_time_number(struct span number, uint64_t *ns)
{
    CHECK(ns != NULL);
    CHECK(number.len > 0);
    struct cursor c = {number.ptr, number.ptr + number.len};
    if (*c.p == '-') return TOO_EARLY;
    /* The value is mantissa * 10^scale; digits beyond 64 bits' worth only move the scale. */
    uint64_t mantissa = 0;
    int64_t scale = 0, exponent = 0;
    bool point = false;
    for (; digit_next(&c) || (c.p < c.end && *c.p == '.'); c.p++) {
        if (*c.p == '.') {
            point = true;
            continue;
        }
        bool fits = mantissa < UINT64_MAX / 10 - 1;
        if (fits) mantissa = mantissa * 10 + (uint64_t)(*c.p - '0');
        scale += (int64_t)!fits - (int64_t)point;
    }
    if (literal(&c, "eE")) {
        bool negative = c.p < c.end && *c.p == '-';
        (void)literal(&c, "+-");
        for (; digit_next(&c); c.p++)
            if (exponent < 1000000) exponent = exponent * 10 + (*c.p - '0');
        if (negative) exponent = -exponent;
    }
    CHECK(c.p == c.end);
    scale += exponent + 9; /* to nanoseconds */
    for (; scale > 0 && mantissa > 0; scale--) {
        if (mantissa > UINT64_MAX / 10) return TOO_LATE;
        mantissa *= 10;
    }
    for (; scale < 0 && mantissa > 0; scale++) mantissa /= 10;
    return combine((int64_t)(mantissa / NS_PER_S), (uint32_t)(mantissa % NS_PER_S), ns);
}
