/* tests/fuzz/fuzz_http_date.c - goal: no text makes the parsers of dates and durations crash, read
 * beyond it, or take it for another time than it says.
 *
 * Input: eight bytes, now; then the text. Method: a date that was taken is written again from its
 * seconds, counted here in another way, and must be the same text but for what the header leaves
 * open (the day's name, a second 60, the century); all its forms must give the same seconds. A
 * duration must be worth as much in nanoseconds.
 */
#include "core/base/check.h"
#include "core/http/duration.h"
#include "core/http/http_date.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW_BYTES = 8, TEXT_MAX = 256, DAY_S = 86400 };

static const char *const months[12] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct civil {
    unsigned year, month, day, hour, minute, second;
};

static bool is_leap(unsigned year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

static unsigned month_days(unsigned year, unsigned month)
{
    static const unsigned days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year));
}

/* Year by year and month by month from the year 1 on. */
static struct civil civil_of(int64_t s)
{
    uint64_t since = (uint64_t)(s + INT64_C(62135596800)), days = since / DAY_S;
    unsigned rest = (unsigned)(since % DAY_S);
    struct civil t = {1, 1, 1, rest / 3600, rest / 60 % 60, rest % 60};
    for (; days >= 365u + is_leap(t.year); t.year++) days -= 365u + is_leap(t.year);
    for (; days >= month_days(t.year, t.month); t.month++) days -= month_days(t.year, t.month);
    t.day += (unsigned)days;
    return t;
}

static void expect_date(const char *text, int64_t now_s, int64_t want)
{
    int64_t s;
    CHECK(http_date(span_of(text, strlen(text)), now_s, &s));
    CHECK(s == want);
}

/* Equal but for the day's name and a time that ends in a second 60. */
static void expect_written(struct span text, int64_t s)
{
    char again[3][64];
    struct civil t = civil_of(s), before = civil_of(s > -INT64_C(62135596800) ? s - 1 : s);
    bool same = false;
    for (int leap = 0; leap < 2; leap++) {
        const struct civil *c = leap ? &before : &t;
        unsigned second = leap ? 60 : t.second;
        const char *month = months[c->month - 1];
        snprintf(again[0], sizeof again[0], ", %02u %s %04u %02u:%02u:%02u GMT", c->day, month,
                 c->year, c->hour, c->minute, second);
        snprintf(again[1], sizeof again[1], ", %02u-%s-%02u %02u:%02u:%02u GMT", c->day, month,
                 c->year % 100, c->hour, c->minute, second);
        snprintf(again[2], sizeof again[2], " %s %2u %02u:%02u:%02u %04u", month, c->day, c->hour,
                 c->minute, second, c->year);
        for (int i = 0; i < 3; i++) {
            size_t len = strlen(again[i]);
            same |= text.len > len && memcmp(text.ptr + text.len - len, again[i], len) == 0;
            /* "Nov 06" is the same as "Nov  6". */
            if (i != 2 || c->day > 9 || text.len <= len) continue;
            again[i][5] = '0';
            same |= memcmp(text.ptr + text.len - len, again[i], len) == 0;
        }
    }
    CHECK(same);
}

static void expect_forms(int64_t s, int64_t now_s)
{
    char text[64];
    uint32_t ns, step;
    int64_t got;
    struct civil t = civil_of(s);
    snprintf(text, sizeof text, "Mon, %02u %s %04u %02u:%02u:%02u GMT", t.day, months[t.month - 1],
             t.year, t.hour, t.minute, t.second);
    expect_date(text, now_s, s);
    snprintf(text, sizeof text, "Mon %s %2u %02u:%02u:%02u %04u", months[t.month - 1], t.day,
             t.hour, t.minute, t.second, t.year);
    expect_date(text, now_s, s);
    snprintf(text, sizeof text, "%04u-%02u-%02uT%02u:%02u:%02uZ", t.year, t.month, t.day, t.hour,
             t.minute, t.second);
    CHECK(http_date_rfc3339(span_of(text, strlen(text)), &got, &ns, &step));
    CHECK(got == s);
    if (s < 0) return;
    snprintf(text, sizeof text, "Monday, %02u-%s-%02u %02u:%02u:%02u GMT", t.day,
             months[t.month - 1], t.year % 100, t.hour, t.minute, t.second);
    expect_date(text, s, s);
}

static void expect_duration(struct span text)
{
    char again[32];
    uint64_t ns, step, same, same_step;
    if (!duration_parse(text, &ns, &step)) return;
    CHECK(step >= 1);
    CHECK(step <= 1000000000);
    int n = snprintf(again, sizeof again, "%" PRIu64 "ns", ns);
    CHECK(duration_parse(span_of(again, (size_t)n), &same, &same_step));
    CHECK(same == ns);
    CHECK(same_step == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t now_s, s;
    uint32_t ns, step;
    if (size < NOW_BYTES || size > NOW_BYTES + TEXT_MAX) return 0;
    memcpy(&now_s, data, sizeof now_s);
    size_t len = size - NOW_BYTES;
    /* Of exactly this size, so that the address sanitizer sees a read beyond it. */
    char *exact = malloc(len > 0 ? len : 1);
    CHECK(exact != NULL);
    memcpy(exact, data + NOW_BYTES, len);
    struct span text = span_of(exact, len);

    if (http_date(text, now_s, &s)) {
        expect_written(text, s);
        if (s < INT64_C(253402300800)) expect_forms(s, now_s);
    }
    if (http_date_rfc3339(text, &s, &ns, &step)) {
        CHECK(ns < 1000000000);
        CHECK(step >= 1);
        CHECK(ns % step == 0);
        if (s >= -INT64_C(62135596800) && s < INT64_C(253402300800)) expect_forms(s, now_s);
    }
    expect_duration(text);
    free(exact);
    return 0;
}
