/* core/http/http_date.c - dates, digit by digit; see http_date.h. */
#include "core/http/http_date.h"

enum { NS_PER_S = 1000000000, DAY_S = 86400 };
#define YEAR_S      INT64_C(31556952) /* the mean one of the Gregorian calendar */
#define YEAR_9999_S INT64_C(253370764800)

struct cursor {
    const char *p, *end;
};

struct civil {
    uint32_t year, month, day, hour, minute, second;
};

static struct cursor cursor_of(struct span text)
{
    return (struct cursor){text.ptr, text.len > 0 ? text.ptr + text.len : text.ptr};
}

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

static bool literal(struct cursor *c, struct span text)
{
    if ((size_t)(c->end - c->p) < text.len || memcmp(c->p, text.ptr, text.len) != 0) return false;
    c->p += text.len;
    return true;
}

static bool one_of(struct cursor *c, const char *any)
{
    if (c->p >= c->end || *c->p == '\0' || strchr(any, *c->p) == NULL) return false;
    c->p++;
    return true;
}

static const struct span day_names[7] = {
    SPAN_LIT("Monday"), SPAN_LIT("Tuesday"),  SPAN_LIT("Wednesday"), SPAN_LIT("Thursday"),
    SPAN_LIT("Friday"), SPAN_LIT("Saturday"), SPAN_LIT("Sunday"),
};

static bool day_name(struct cursor *c, bool whole)
{
    for (int i = 0; i < 7; i++) {
        struct span name = day_names[i];
        if (!whole) name.len = 3;
        if (literal(c, name)) return true;
    }
    return false;
}

static bool month_name(struct cursor *c, uint32_t *month)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (*month = 1; *month <= 12; ++*month) {
        if (literal(c, span_of(names + (*month - 1) * 3, 3))) return true;
    }
    return false;
}

static bool clock_time(struct cursor *c, struct civil *t)
{
    return digits(c, 2, &t->hour) && literal(c, SPAN_LIT(":")) && digits(c, 2, &t->minute) &&
           literal(c, SPAN_LIT(":")) && digits(c, 2, &t->second);
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

static int64_t seconds_of(const struct civil *t)
{
    return days_from_civil(t->year, t->month, t->day) * DAY_S + t->hour * 3600 + t->minute * 60 +
           t->second;
}

/* A second 60 is the next minute's first. */
static bool civil_ok(const struct civil *t)
{
    return t->year >= 1 && t->month >= 1 && t->month <= 12 && t->day >= 1 &&
           t->day <= days_in_month(t->year, t->month) && t->hour <= 23 && t->minute <= 59 &&
           t->second <= 60;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool imf_fixdate(struct cursor c, struct civil *t)
{
    return day_name(&c, false) && literal(&c, SPAN_LIT(", ")) && digits(&c, 2, &t->day) &&
           literal(&c, SPAN_LIT(" ")) && month_name(&c, &t->month) && literal(&c, SPAN_LIT(" ")) &&
           digits(&c, 4, &t->year) && literal(&c, SPAN_LIT(" ")) && clock_time(&c, t) &&
           literal(&c, SPAN_LIT(" GMT")) && c.p == c.end;
}

/* "Sun Nov  6 08:49:37 1994" */
static bool asctime_date(struct cursor c, struct civil *t)
{
    if (!day_name(&c, false) || !literal(&c, SPAN_LIT(" ")) || !month_name(&c, &t->month) ||
        !literal(&c, SPAN_LIT(" "))) {
        return false;
    }
    if (!digits(&c, literal(&c, SPAN_LIT(" ")) ? 1 : 2, &t->day)) return false;
    return literal(&c, SPAN_LIT(" ")) && clock_time(&c, t) && literal(&c, SPAN_LIT(" ")) &&
           digits(&c, 4, &t->year) && c.p == c.end;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT", of which t->year is the last two digits. */
static bool rfc850_date(struct cursor c, struct civil *t)
{
    return day_name(&c, true) && literal(&c, SPAN_LIT(", ")) && digits(&c, 2, &t->day) &&
           literal(&c, SPAN_LIT("-")) && month_name(&c, &t->month) && literal(&c, SPAN_LIT("-")) &&
           digits(&c, 2, &t->year) && literal(&c, SPAN_LIT(" ")) && clock_time(&c, t) &&
           literal(&c, SPAN_LIT(" GMT")) && c.p == c.end;
}

static void century_set(struct civil *t, int64_t now_s)
{
    /* No clock shows less than 1970 or more than year 9999. */
    if (now_s < 0) now_s = 0;
    if (now_s > YEAR_9999_S) now_s = YEAR_9999_S;
    t->year += (uint32_t)(1970 + now_s / YEAR_S) / 100 * 100 + 100;
    while (seconds_of(t) > now_s + 50 * YEAR_S) t->year -= 100;
}

bool http_date(struct span text, int64_t now_s, int64_t *s)
{
    struct civil t = {0};
    struct cursor c = cursor_of(text);
    if (rfc850_date(c, &t)) {
        century_set(&t, now_s);
    } else if (!imf_fixdate(c, &t) && !asctime_date(c, &t)) {
        return false;
    }
    if (!civil_ok(&t)) return false;
    *s = seconds_of(&t);
    return true;
}

/* Fraction digits up to the first that is none; at least one. */
static bool fraction(struct cursor *c, uint32_t *ns, uint32_t *step_ns)
{
    uint32_t value = 0, unit = NS_PER_S, step = NS_PER_S;
    if (!digit_next(c)) return false;
    for (; digit_next(c); c->p++) {
        unit /= 10;
        if (unit > 0) step = unit;
        value += unit * (uint32_t)(*c->p - '0');
    }
    *ns = value;
    *step_ns = step;
    return true;
}

static bool offset(struct cursor *c, int64_t *s)
{
    uint32_t hour, minute;
    if (one_of(c, "Zz")) {
        *s = 0;
        return true;
    }
    int64_t sign = c->p < c->end && *c->p == '-' ? -1 : 1;
    if (!one_of(c, "+-") || !digits(c, 2, &hour) || !literal(c, SPAN_LIT(":")) ||
        !digits(c, 2, &minute) || hour > 23 || minute > 59) {
        return false;
    }
    *s = sign * (int64_t)(hour * 3600 + minute * 60);
    return true;
}

bool http_date_rfc3339(struct span text, int64_t *s, uint32_t *ns, uint32_t *step_ns)
{
    struct cursor c = cursor_of(text);
    struct civil t = {0};
    uint32_t frac = 0, step = NS_PER_S;
    int64_t zone;
    if (!digits(&c, 4, &t.year) || !literal(&c, SPAN_LIT("-")) || !digits(&c, 2, &t.month) ||
        !literal(&c, SPAN_LIT("-")) || !digits(&c, 2, &t.day) || !one_of(&c, "Tt ") ||
        !clock_time(&c, &t)) {
        return false;
    }
    if (literal(&c, SPAN_LIT(".")) && !fraction(&c, &frac, &step)) return false;
    if (!offset(&c, &zone) || c.p != c.end || !civil_ok(&t)) return false;
    *s = seconds_of(&t) - zone;
    *ns = frac;
    *step_ns = step;
    return true;
}
