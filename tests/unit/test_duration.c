/* tests/unit/test_duration.c - goal: each spelling of a span of time gives its nanoseconds, and
 * nothing else is taken for one.
 *
 * Method: a table; a refused text must leave its results alone.
 */
#include "core/http/duration.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

#define COUNT(table) (sizeof table / sizeof table[0])
#define S            UINT64_C(1000000000)
#define MS           UINT64_C(1000000)

Test(duration, taken)
{
    static const struct {
        const char *text;
        uint64_t ns, step_ns;
    } rows[] = {
        {"0s", 0, S},
        {"1s", S, S},
        {"20ms", 20 * MS, MS},
        {"1m30s", 90 * S, S},
        {"6m0s", 360 * S, S},
        {"1h", 3600 * S, S},
        {"1h2m3s", 3723 * S, S},
        {"2d", 172800 * S, S},
        {"1d1h1m1s1ms1us1ns", 90061 * S + 1001001, 1},
        {"1m30.951s", 90951 * MS, MS},
        {"1.5h", 5400 * S, S},
        {"0.000001s", 1000, 1000},
        {"1.0000000009s", S, 1},
        {"1.5ns", 1, 1},
        {"123us", 123000, 1000},
        {"123\xc2\xb5s", 123000, 1000},
        {"123\xce\xbcs", 123000, 1000},
        {"0000000000000000000000000001s", S, S},
        {"18446744073s", 18446744073 * S, S},
        {"18446744073709551615ns", UINT64_MAX, 1},
        {"PT1M30S", 90 * S, S},
        {"PT0S", 0, S},
        {"PT20.5S", 20500 * MS, 100 * MS},
        {"PT20,5S", 20500 * MS, 100 * MS},
        {"PT0.020S", 20 * MS, MS},
        {"PT1H", 3600 * S, S},
        {"PT1H1S", 3601 * S, S},
        {"PT36H", 129600 * S, S},
        {"P1D", 86400 * S, S},
        {"P1DT12H", 129600 * S, S},
        {"P2W", 1209600 * S, S},
        {"P0.5D", 43200 * S, S},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t ns = 77, step = 77;
        bool good = duration_parse(span_of(rows[i].text, strlen(rows[i].text)), &ns, &step);
        cr_expect(good, "%s", rows[i].text);
        cr_expect(ns == rows[i].ns, "%s: %" PRIu64, rows[i].text, ns);
        cr_expect(step == rows[i].step_ns, "%s: step %" PRIu64, rows[i].text, step);
    }
}

static const char *const refused[] = {
    "",
    "s",
    "1",
    "1.5",
    "-1s",
    "+1s",
    "1 s",
    "1s ",
    " 1s",
    "1S",
    "1M",
    "1min",
    "1sec",
    "1x",
    "30s1m",
    "1s1s",
    "1ms1s",
    "1m1m",
    "1us1us",
    "1.s",
    ".5s",
    "1..5s",
    "1.5m30s",
    "1,5s",
    "1s,2s",
    "1e3s",
    "0x1s",
    "NaNs",
    "infs",
    "18446744074s",
    "99999999999999999999ns",
    "18446744073709551616ns",
    "300000d",
    "18446744073s1000ms",
    "18446744073s709551616ns",
    "P",
    "PT",
    "P1",
    "PT1",
    "P1S",
    "PT1D",
    "P1DT",
    "T1S",
    "pt1s",
    "PT1s",
    "P1Y",
    "P1M",
    "PT1S1M",
    "PT1M1M",
    "P1D1W",
    "PT-1S",
    "-PT1S",
    "PT 1S",
    "PT1S ",
    "PT.5S",
    "PT1.S",
    "PT1.5M1S",
    "P0.5DT1H",
    "PTS",
    "PT1SPT1S",
    "PT1STT",
    "P99999999999999D",
};

Test(duration, refused)
{
    for (size_t i = 0; i < COUNT(refused); i++) {
        uint64_t ns = 77, step = 78;
        bool good = duration_parse(span_of(refused[i], strlen(refused[i])), &ns, &step);
        cr_expect_not(good, "%s: %" PRIu64, refused[i], ns);
        cr_expect(ns == 77 && step == 78, "%s", refused[i]);
    }
    uint64_t ns, step;
    cr_assert_not(duration_parse(SPAN_LIT("1s\0"), &ns, &step));
    cr_assert_not(duration_parse(SPAN_LIT("1\0s"), &ns, &step));
    cr_assert_not(duration_parse(span_of(NULL, 0), &ns, &step));
}
