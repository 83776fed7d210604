/* tests/unit/test_record_time.c - goal: the times of records are read to the nanosecond or refused.
 *
 * Method: tables of RFC 3339 texts and JSON numbers with the nanoseconds they stand for (worked
 * out with date(1)); a refused one must leave its result alone.
 */
#include "core/input/record_time.h"

#include <criterion/criterion.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

Test(record_time, text)
{
    static const struct {
        const char *text;
        uint64_t ns; /* 0: refused */
    } rows[] = {
        {"1970-01-01T00:00:00Z", 1},
        {"1970-01-01T00:00:00.000000007Z", 7},
        {"1970-01-01T00:00:01Z", 1000000000},
        {"2000-02-29T12:00:00Z", 951825600000000000},
        {"2026-11-21T10:00:00Z", 1795255200000000000},
        {"2026-11-21t10:00:00z", 1795255200000000000},
        {"2026-11-21 10:00:00Z", 1795255200000000000},
        {"2026-11-21T10:00:00.5Z", 1795255200500000000},
        {"2026-11-21T10:00:00.1234567899Z", 1795255200123456789},
        {"2026-11-21T12:30:00+02:30", 1795255200000000000},
        {"2026-11-21T00:00:00-10:00", 1795255200000000000},
        {"2016-12-31T23:59:60Z", 1483228800000000000},
        {"2017-01-01T00:59:60+01:00", 1483228800000000000},
        {"2554-01-01T00:00:00Z", 18429292800000000000u},
        {"", 0},
        {"2026-11-21", 0},
        {"2026-11-21T10:00Z", 0},
        {"2026-11-21T10:00:00", 0},
        {"2026-11-21T10:00:00.Z", 0},
        {"2026-11-21T10:00:00Z ", 0},
        {" 2026-11-21T10:00:00Z", 0},
        {"2026-11-21T24:00:00Z", 0},
        {"2026-11-21T10:60:00Z", 0},
        {"2026-11-21T10:00:61Z", 0},
        {"2026-11-21T10:00:60Z", 0},
        {"2026-13-01T00:00:00Z", 0},
        {"2026-00-01T00:00:00Z", 0},
        {"2026-02-29T00:00:00Z", 0},
        {"2100-02-29T00:00:00Z", 0},
        {"2026-04-31T00:00:00Z", 0},
        {"2026-11-21T10:00:00+24:00", 0},
        {"2026-11-21T10:00:00+0100", 0},
        {"+2026-11-21T10:00:00Z", 0},
        {"1969-12-31T23:59:59Z", 0},
        {"1970-01-01T00:00:00+00:01", 0},
        {"9999-12-31T23:59:59Z", 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint64_t got = 77;
        const char *wrong = record_time_text(span_of(rows[i].text, strlen(rows[i].text)), &got);
        cr_assert_eq(wrong == NULL, rows[i].ns != 0, "%s: %s", rows[i].text, wrong);
        cr_assert_eq(got, rows[i].ns != 0 ? rows[i].ns : 77, "%s: %llu", rows[i].text,
                     (unsigned long long)got);
    }
}

Test(record_time, number)
{
    static const struct {
        const char *text;
        uint64_t ns; /* 0: refused */
    } rows[] = {
        {"0", 1},
        {"0.0e5", 1},
        {"0e999999999999999999999", 1},
        {"1", 1000000000},
        {"1700000000", 1700000000000000000},
        {"1700000000.123456789999", 1700000000123456789},
        {"1.7e9", 1700000000000000000},
        {"17000000000E-1", 1700000000000000000},
        {"1700000000.000000000000000000000000000000000001", 1700000000000000000},
        {"0.0000000000000000000000000000000000000000000017e54", 1700000000000000000},
        {"1e-999999999999999999999", 1},
        {"18446744072", 18446744072000000000u},
        {"18446744073", 0},
        {"1700000000000", 0},
        {"123456789012345678901234567890", 0},
        {"1e999999999999999999999", 0},
        {"-1", 0},
        {"-0", 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint64_t got = 77;
        const char *wrong = record_time_number(span_of(rows[i].text, strlen(rows[i].text)), &got);
        cr_assert_eq(wrong == NULL, rows[i].ns != 0, "%s: %s", rows[i].text, wrong);
        cr_assert_eq(got, rows[i].ns != 0 ? rows[i].ns : 77, "%s: %llu", rows[i].text,
                     (unsigned long long)got);
    }
}
