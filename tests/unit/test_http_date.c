/* tests/unit/test_http_date.c - goal: each form of date that a field may hold gives its second, and
 * nothing else is taken for one.
 *
 * Method: tables with the seconds worked out by date(1); a refused text must leave its results
 * alone. Every day of 400 years is written in each form and read back, against a plain count.
 */
#include "core/http/http_date.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define COUNT(table) (sizeof table / sizeof table[0])
#define NOW          INT64_C(1795255200) /* 2026-11-21T10:00:00Z */
#define REFUSED      INT64_C(77)

struct row {
    const char *text;
    int64_t s;
};

static void expect(const char *text, int64_t now_s, int64_t want)
{
    int64_t s = REFUSED;
    bool good = http_date(span_of(text, strlen(text)), now_s, &s);
    cr_expect(good == (want != REFUSED), "%s: %s", text, good ? "taken" : "refused");
    cr_expect(s == want, "%s: %lld", text, (long long)s);
}

Test(http_date, three_forms)
{
    static const struct row rows[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Sun Nov 06 08:49:37 1994", 784111777},
        {"Wed Nov 16 08:49:37 1994", 784975777},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Wed, 31 Dec 1969 23:59:59 GMT", -1},
        {"Mon, 01 Jan 0001 00:00:00 GMT", -62135596800},
        {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
        {"Tue, 29 Feb 2000 12:00:00 GMT", 951825600},
        {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},
        {"Mon, 06 Nov 1994 08:49:37 GMT", 784111777}, /* a wrong day's name is no matter */
        {"Wednesday, 09-Nov-94 08:49:37 GMT", 784370977},
    };
    for (size_t i = 0; i < COUNT(rows); i++) expect(rows[i].text, NOW, rows[i].s);
}

Test(http_date, refused)
{
    static const char *const texts[] = {
        "",
        "S",
        "Sun",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GM",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 gmt",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 November 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun,  06 Nov 1994 08:49:37 GMT",
        "Sun 06 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov -994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37",
        "Sunday, 6-Nov-94 08:49:37 GMT",
        "Sunday, 31-Nov-94 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov   6 08:49:37 1994",
        "Sun Nov  66 08:49:37 1994",
        "Sun Nov  0 08:49:37 1994",
        "Sun Nov  6 08:49:37 94",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sunday Nov  6 08:49:37 1994",
        "1994-11-06T08:49:37Z",
        "784111777",
    };
    for (size_t i = 0; i < COUNT(texts); i++) expect(texts[i], NOW, REFUSED);
    int64_t s = REFUSED;
    cr_assert_not(http_date(SPAN_LIT("Sun, 06 Nov 1994 08:49:37 GM\0"), NOW, &s));
    cr_assert_not(http_date(span_of(NULL, 0), NOW, &s));
    cr_assert(s == REFUSED);
}

Test(http_date, two_digits_of_a_year)
{
    /* The last such year that is at most 50 years ahead. */
    expect("Monday, 21-Nov-26 10:00:00 GMT", NOW, NOW);
    expect("Monday, 01-Jan-76 00:00:00 GMT", NOW, 3345062400); /* 2076 */
    expect("Monday, 31-Dec-76 00:00:00 GMT", NOW, 220838400);  /* 1976: 50 years and a month */
    expect("Monday, 01-Jan-77 00:00:00 GMT", NOW, 220924800);
    expect("Monday, 01-Jan-99 00:00:00 GMT", NOW, 915148800);
    expect("Monday, 01-Jan-00 00:00:00 GMT", NOW, 946684800);
    expect("Monday, 29-Feb-00 00:00:00 GMT", NOW, 951782400);                  /* 2100 has none */
    expect("Monday, 01-Jan-00 00:00:00 GMT", INT64_C(4070908800), 4102444800); /* 2099: 2100 */
    expect("Monday, 01-Jan-70 00:00:00 GMT", 0, 0);
    expect("Monday, 01-Jan-70 00:00:00 GMT", INT64_MIN, 0);
    expect("Monday, 01-Jan-70 00:00:00 GMT", INT64_MAX, 252455616000); /* 9970 */
}

/* The one that the others are measured against: counts days. */
static unsigned month_days(unsigned year, unsigned month)
{
    if (month == 2) return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28;
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

Test(http_date, every_day)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t s = 0;
    for (unsigned year = 1970; year < 2370; year++) {
        for (unsigned month = 1; month <= 12; month++) {
            for (unsigned day = 1; day <= month_days(year, month); day++, s += 86400) {
                char text[64];
                const char *name = months + (month - 1) * 3;
                snprintf(text, sizeof text, "Sun, %02u %.3s %u 00:00:00 GMT", day, name, year);
                expect(text, NOW, s);
                snprintf(text, sizeof text, "Sun %.3s %2u 00:00:00 %u", name, day, year);
                expect(text, NOW, s);
                snprintf(text, sizeof text, "Sunday, %02u-%.3s-%02u 00:00:00 GMT", day, name,
                         year % 100);
                expect(text, s, s);
                int64_t got = REFUSED;
                uint32_t ns, step;
                snprintf(text, sizeof text, "%u-%02u-%02uT00:00:00Z", year, month, day);
                cr_assert(http_date_rfc3339(span_of(text, strlen(text)), &got, &ns, &step));
                cr_assert(got == s, "%s", text);
            }
        }
    }
    cr_assert(s == INT64_C(12622780800)); /* 2370-01-01 */
}

Test(http_date, rfc3339)
{
    static const struct {
        const char *text;
        int64_t s;
        uint32_t ns, step_ns;
    } rows[] = {
        {"2026-11-21T10:00:00Z", NOW, 0, 1000000000},
        {"2026-11-21t10:00:00z", NOW, 0, 1000000000},
        {"2026-11-21 10:00:00Z", NOW, 0, 1000000000},
        {"2026-11-21T10:00:00.5Z", NOW, 500000000, 100000000},
        {"2026-11-21T10:00:00.050Z", NOW, 50000000, 1000000},
        {"2026-11-21T10:00:00.1234567899Z", NOW, 123456789, 1},
        {"2026-11-21T12:30:00+02:30", NOW, 0, 1000000000},
        {"2026-11-21T00:00:00-10:00", NOW, 0, 1000000000},
        {"1969-12-31T23:59:59Z", -1, 0, 1000000000},
        {"9999-12-31T23:59:59Z", 253402300799, 0, 1000000000},
        {"2026-11-21", REFUSED, 0, 0},
        {"2026-11-21T10:00Z", REFUSED, 0, 0},
        {"2026-11-21T10:00:00", REFUSED, 0, 0},
        {"2026-11-21T10:00:00.Z", REFUSED, 0, 0},
        {"2026-11-21T10:00:00,5Z", REFUSED, 0, 0},
        {"2026-11-21T10:00:00Z ", REFUSED, 0, 0},
        {"2026-11-21T10:00:00ZZ", REFUSED, 0, 0},
        {"2026-11-21T24:00:00Z", REFUSED, 0, 0},
        {"2026-13-01T00:00:00Z", REFUSED, 0, 0},
        {"2026-02-29T00:00:00Z", REFUSED, 0, 0},
        {"2026-00-01T00:00:00Z", REFUSED, 0, 0},
        {"2026-11-21T10:00:00+24:00", REFUSED, 0, 0},
        {"2026-11-21T10:00:00+01:60", REFUSED, 0, 0},
        {"2026-11-21T10:00:00+0100", REFUSED, 0, 0},
        {"+2026-11-21T10:00:00Z", REFUSED, 0, 0},
        {"26-11-21T10:00:00Z", REFUSED, 0, 0},
        {"", REFUSED, 0, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t s = REFUSED;
        uint32_t ns = 0, step = 0;
        const char *text = rows[i].text;
        bool good = http_date_rfc3339(span_of(text, strlen(text)), &s, &ns, &step);
        cr_expect(good == (rows[i].s != REFUSED), "%s", text);
        cr_expect(s == rows[i].s && ns == rows[i].ns && step == rows[i].step_ns, "%s: %lld.%09u %u",
                  text, (long long)s, ns, step);
    }
}
