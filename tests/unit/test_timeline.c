/* tests/unit/test_timeline.c - goal: whatever ends when, in whatever order, every record is in the
 * step of its time; memory and columns stay bounded; gaps and wrong clocks cost no resolution.
 *
 * Method: times from several kinds of runs, added in order and shuffled, and a plain count of the
 * same times beside it.
 */
#include "tools/hookline/timeline.h"

#include "core/base/prng.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

#define S    UINT64_C(1000000000)
#define HOUR (3600 * S)
#define DAY  (24 * HOUR)

enum { TIMES = 60000, COLUMNS = 240 };

/* Not on a border of any step. */
static const uint64_t start_ns = UINT64_C(1795834502) * S + 123456789;

static struct timeline t;
static uint64_t times[TIMES];

static bool delivered(uint64_t ns) { return ns / 1000 % 3 != 0; }

static void add_all(uint32_t count)
{
    timeline_init(&t);
    for (uint32_t i = 0; i < count; i++) timeline_add(&t, times[i], delivered(times[i]));
}

static void shuffle(struct prng *dice, uint32_t count)
{
    for (uint32_t i = count; i > 1; i--) {
        uint64_t k = prng_below(dice, i), kept = times[i - 1];
        times[i - 1] = times[k];
        times[k] = kept;
    }
}

/* Steps are in order and hold what belongs to them, parts hold all steps. */
static void check(uint32_t count)
{
    uint64_t step_ns = timeline_step_ns(&t), sum = 0;
    cr_assert_leq(t.count, TIMELINE_STEPS);
    cr_assert_leq(timeline_columns(&t), COLUMNS);
    cr_assert(t.parts >= 1 && t.parts <= TIMELINE_PARTS);
    for (uint32_t i = 0; i < t.count; i++) {
        const struct timeline_step *s = &t.step[i];
        cr_assert(i == 0 || s->number > t.step[i - 1].number);
        cr_assert_gt(s->delivered + s->other, 0);
        sum += s->delivered + s->other;
    }
    cr_assert_eq(sum, count);
    for (uint32_t i = 0; i < t.count; i += 1 + t.count / 7) {
        uint64_t good = 0, bad = 0;
        for (uint32_t k = 0; k < count; k++) {
            if (times[k] / step_ns != t.step[i].number) continue;
            good += delivered(times[k]);
            bad += !delivered(times[k]);
        }
        cr_assert_eq(t.step[i].delivered, good);
        cr_assert_eq(t.step[i].other, bad);
    }
    cr_assert_eq(t.part[0].first, 0);
    cr_assert_eq(t.part[t.parts - 1].last, t.count - 1);
    for (uint32_t i = 1; i < t.parts; i++) cr_assert_eq(t.part[i].first, t.part[i - 1].last + 1);
}

Test(timeline, any_length_in_any_order)
{
    static struct timeline first;
    struct prng dice;
    prng_seed(&dice, 5);
    const uint64_t lengths[] = {400000, 3 * S, 600 * S, 9 * DAY, 400 * DAY, 90000 * DAY};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (uint32_t k = 0; k < TIMES; k++)
            times[k] = start_ns + (uint64_t)((double)lengths[i] * k / TIMES);
        add_all(TIMES);
        timeline_close(&t, COLUMNS);
        check(TIMES);
        cr_assert_eq(t.parts, 1);
        if (lengths[i] > S) cr_assert_gt(timeline_columns(&t), COLUMNS / 7);
        memcpy(&first, &t, sizeof t);
        shuffle(&dice, TIMES);
        add_all(TIMES);
        timeline_close(&t, COLUMNS);
        check(TIMES);
        cr_assert_eq(t.length, first.length);
        cr_assert_eq(memcmp(t.step, first.step, t.count * sizeof t.step[0]), 0);
    }
}

/* Two sessions of a minute, a night between them, and some lines with the clock of 1970. */
Test(timeline, gaps_cost_no_resolution)
{
    struct prng dice;
    prng_seed(&dice, 6);
    for (uint32_t i = 0; i < TIMES; i++) {
        uint64_t begun = i % 2 ? start_ns : start_ns + 9 * HOUR;
        times[i] = i < 10 ? S + i : begun + prng_below(&dice, 60 * S);
    }
    shuffle(&dice, TIMES);
    add_all(TIMES);
    timeline_close(&t, COLUMNS);
    check(TIMES);
    cr_assert_eq(t.parts, 3);
    cr_assert_eq(timeline_part_columns(&t, 0), 1);
    cr_assert_leq(timeline_step_ns(&t), S);
}

/* What is waited for between retries is part of the run. */
Test(timeline, pauses_are_shown)
{
    uint32_t count = 0;
    for (; count < 144; count++) times[count] = start_ns + count * 600 * S;
    add_all(count);
    timeline_close(&t, COLUMNS);
    check(count);
    cr_assert_eq(t.parts, 1);
    cr_assert_eq(timeline_step_ns(&t), 600 * S);
    cr_assert_eq(timeline_columns(&t), 144);
}

/* Nor is less than a minute left out, however short the rest is. */
Test(timeline, short_pauses)
{
    for (uint32_t i = 0; i < 20; i++) times[i] = start_ns + i / 10 * (55 * S + i % 10);
    add_all(20);
    timeline_close(&t, COLUMNS);
    check(20);
    cr_assert_eq(t.parts, 1);
}

/* No more than some gaps are left out. */
Test(timeline, many_gaps)
{
    for (uint32_t i = 0; i < 1000; i++) times[i] = start_ns + i / 50 * (7 * DAY + i * HOUR) + i;
    add_all(1000);
    timeline_close(&t, COLUMNS);
    check(1000);
}

Test(timeline, one_and_none)
{
    times[0] = start_ns;
    add_all(1);
    timeline_close(&t, COLUMNS);
    check(1);
    cr_assert_eq(timeline_columns(&t), 1);
    timeline_init(&t);
    timeline_close(&t, COLUMNS);
    cr_assert_eq(timeline_columns(&t), 0);
    cr_assert_eq(t.parts, 0);
}

Test(timeline, the_ends_of_time)
{
    for (uint32_t i = 0; i < 9000; i++) times[i] = i * (TIMELINE_END_NS / 9000);
    add_all(9000);
    timeline_add(&t, UINT64_MAX, true);
    timeline_close(&t, COLUMNS);
    uint64_t last = t.step[t.count - 1].number * timeline_step_ns(&t);
    cr_assert_leq(last, TIMELINE_END_NS);
    cr_assert_leq(timeline_columns(&t), COLUMNS);
}
