/* tools/hookline/axis.c - see axis.h. */
#include "tools/hookline/axis.h"

#include "core/base/check.h"

#include <math.h>

static const double round_digits[] = {1, 2, 5};

double axis_step(double span, uint32_t most)
{
    CHECK(isfinite(span));
    CHECK(span > 0);
    CHECK(most > 0);
    double least = span / most, power = pow(10, floor(log10(least)));
    for (int i = 0; i < 3; i++) /* a little less is enough: 0.1 is no double */
        if (round_digits[i] * power >= least * (1 - 1e-9)) return round_digits[i] * power;
    return 10 * power;
}

#define MS  UINT64_C(1000000)
#define S   (1000 * MS)
#define MIN (60 * S)
#define H   (60 * MIN)
#define DAY (24 * H)

static const uint64_t time_steps[] = {
    MS,       2 * MS, 5 * MS, 10 * MS, 20 * MS, 50 * MS, 100 * MS, 200 * MS, 500 * MS, S,
    2 * S,    5 * S,  10 * S, 15 * S,  30 * S,  MIN,     2 * MIN,  5 * MIN,  10 * MIN, 15 * MIN,
    30 * MIN, H,      2 * H,  3 * H,   6 * H,   12 * H,  DAY,      2 * DAY,  7 * DAY,  14 * DAY,
};

uint64_t axis_time_step(uint64_t least_ns)
{
    for (uint32_t i = 0; i < sizeof time_steps / sizeof time_steps[0]; i++)
        if (time_steps[i] >= least_ns) return time_steps[i];
    double days = axis_step((double)least_ns / (double)DAY, 1);
    return (uint64_t)(days < 30 ? 30 : days) * DAY;
}

/* ---- logarithmic --------------------------------------------------------------------------- */

double axis_tick_value(int32_t tick)
{
    CHECK(tick >= 0);
    return round_digits[tick % 3] * pow(10, tick / 3);
}

void axis_log_init(struct axis_log *a, double min, double max)
{
    CHECK(min >= 1);
    CHECK(max >= min);
    CHECK(isfinite(max));
    a->low = 0;
    while (axis_tick_value(a->low + 1) <= min) a->low++;
    a->high = a->low + 1;
    while (axis_tick_value(a->high) < max) a->high++;
    while (a->high - a->low < 3) {
        a->high++;
        if (a->low > 0) a->low--;
    }
}

double axis_log_at(const struct axis_log *a, double value)
{
    double low = axis_tick_value(a->low), high = axis_tick_value(a->high);
    if (value <= low) return 0;
    return value >= high ? 1 : log10(value / low) / log10(high / low);
}

double axis_log_value(const struct axis_log *a, double at)
{
    double low = axis_tick_value(a->low), high = axis_tick_value(a->high);
    return low * pow(high / low, at);
}

int32_t axis_log_stride(const struct axis_log *a, double apart)
{
    double decades = log10(axis_tick_value(a->high) / axis_tick_value(a->low));
    if (log10(2) / decades >= apart) return 1;
    return 3 * (int32_t)fmax(1, ceil(apart * decades));
}
