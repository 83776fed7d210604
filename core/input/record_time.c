/* core/input/record_time.c - RFC 3339 and epoch seconds; see the header. No floating point: it
 * would lose nanoseconds. */
#include "core/input/record_time.h"

#include "core/base/check.h"
#include "core/http/http_date.h"

#include <stdbool.h>

#define NS_PER_S   1000000000u
#define DAY_S      86400
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

static const char *combine(int64_t seconds, uint32_t ns, uint64_t *out)
{
    if (seconds < 0) return TOO_EARLY;
    if ((uint64_t)seconds > EPOCH_MAX) return TOO_LATE;
    uint64_t sum = (uint64_t)seconds * NS_PER_S + ns;
    *out = sum == 0 ? 1 : sum;
    return NULL;
}

const char *record_time_text(struct span text, uint64_t *ns)
{
    CHECK(ns != NULL);
    int64_t seconds;
    uint32_t part_ns, step_ns;
    if (!http_date_rfc3339(text, &seconds, &part_ns, &step_ns)) return NOT_A_TIME;
    /* A leap second is the last of a UTC day; it counts as the next day's first. */
    bool leap_second = text.ptr[sizeof "2026-11-21T10:00:" - 1] == '6';
    if (leap_second && seconds % DAY_S != 0) return NOT_A_TIME;
    return combine(seconds, part_ns, ns);
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
