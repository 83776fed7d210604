/* tests/unit/test_axis.c - goal: ticks are at round values, as many as there is room for, and an
 * axis holds what it was made for.
 *
 * Method: ends of every magnitude; roundness is judged by the digits of a printed number.
 */
#include "tools/hookline/axis.h"

#include "core/base/prng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* One digit that is not 0, and that is 1, 2 or 5. */
static bool is_round(double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.6e", value);
    return strchr("125", text[0]) != NULL && strncmp(text + 1, ".000000e", 8) == 0;
}

Test(axis, steps_are_round_and_enough)
{
    struct prng dice;
    prng_seed(&dice, 1);
    for (int i = 0; i < 20000; i++) {
        double span =
            (double)(1 + prng_below(&dice, 100000)) * pow(10, (double)prng_below(&dice, 20) - 10);
        uint32_t most = 1 + (uint32_t)prng_below(&dice, 12);
        double step = axis_step(span, most);
        cr_assert(is_round(step), "%g for %g", step, span);
        cr_assert_leq(span / step, most * (1 + 1e-6));
        cr_assert_gt(span / step, most / 2.6, "%g is too much for %g in %u", step, span, most);
    }
    cr_assert_float_eq(axis_step(1, 5), 0.2, 1e-12);
    cr_assert_float_eq(axis_step(1, 10), 0.1, 1e-12);
    cr_assert_float_eq(axis_step(0.5, 5), 0.1, 1e-12);
    cr_assert_eq(axis_step(5, 5), 1);
    cr_assert_eq(axis_step(5.1, 5), 2);
    cr_assert_eq(axis_step(1000000, 1), 1000000);
}

Test(axis, time_steps)
{
    static const uint64_t ms = 1000000, s = 1000 * ms, min = 60 * s, day = 1440 * min;
    cr_assert_eq(axis_time_step(1), ms);
    cr_assert_eq(axis_time_step(3 * ms), 5 * ms);
    cr_assert_eq(axis_time_step(7 * s), 10 * s);
    cr_assert_eq(axis_time_step(11 * s), 15 * s);
    cr_assert_eq(axis_time_step(15 * s), 15 * s);
    cr_assert_eq(axis_time_step(31 * min), 60 * min);
    cr_assert_eq(axis_time_step(13 * 60 * min), day);
    cr_assert_eq(axis_time_step(15 * day), 30 * day);
    cr_assert_eq(axis_time_step(60 * day), 100 * day);
    cr_assert_eq(axis_time_step(1500 * day), 2000 * day);
}

Test(axis, log_ticks)
{
    for (int32_t tick = 0; tick < 60; tick++) {
        cr_assert(is_round(axis_tick_value(tick)), "%g", axis_tick_value(tick));
        cr_assert_gt(axis_tick_value(tick + 1), axis_tick_value(tick));
    }
}

static void check_log(double min, double max)
{
    struct axis_log a;
    axis_log_init(&a, min, max);
    cr_assert_leq(axis_tick_value(a.low), min);
    cr_assert_geq(axis_tick_value(a.high), max);
    cr_assert_geq(a.high - a.low, 3);
    cr_assert_eq(axis_log_at(&a, axis_tick_value(a.low)), 0);
    cr_assert_eq(axis_log_at(&a, axis_tick_value(a.high)), 1);
    cr_assert_eq(axis_log_at(&a, 0), 0);
    cr_assert(axis_log_at(&a, min) >= 0 && axis_log_at(&a, max) <= 1);
    for (double at = 0; at <= 1; at += 0.125)
        cr_assert_float_eq(axis_log_at(&a, axis_log_value(&a, at)), at, 1e-9);
    double last = -1;
    int labels = 0;
    int32_t stride = axis_log_stride(&a, 0.08);
    for (int32_t tick = a.low; tick <= a.high; tick++) {
        if (tick % stride != 0) continue;
        double at = axis_log_at(&a, axis_tick_value(tick));
        cr_assert(last < 0 || at - last >= 0.08 - 1e-9, "%g after %g", at, last);
        last = at;
        labels++;
    }
    cr_assert_geq(labels, 2, "from %g to %g", min, max);
}

Test(axis, log_axes)
{
    struct prng dice;
    prng_seed(&dice, 2);
    check_log(1, 1);
    check_log(1000, 1000);
    check_log(1, 1.8446744073709552e19);
    check_log(1.8446744073709552e19, 1.8446744073709552e19);
    for (int i = 0; i < 5000; i++) {
        uint64_t a = 1 + (prng_u64(&dice) >> prng_below(&dice, 64));
        uint64_t b = 1 + (prng_u64(&dice) >> prng_below(&dice, 64));
        check_log((double)(a < b ? a : b), (double)(a < b ? b : a));
    }
}
