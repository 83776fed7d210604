/* tools/hookline/axis.h - where the ticks of an axis are: always at round values. Pure. */
#ifndef TOOLS_HOOKLINE_AXIS_H
#define TOOLS_HOOKLINE_AXIS_H

#include <stdint.h>

/* The smallest 1, 2 or 5 times a power of ten of which at most `most` make up span, above 0. */
double axis_step(double span, uint32_t most);
/* The smallest round length of time from `least` on: 1, 2, 5 ... ms and s, then 10, 15, 30 s, the
 * same minutes, 1, 2, 3, 6, 12 h, 1, 2, 7, 14 days, and 1, 2, 5 times 10^n days from 30 on. */
uint64_t axis_time_step(uint64_t least_ns);

/* A logarithmic axis whose ends are ticks. Tick k is 1, 2 or 5 times 10^(k/3). */
struct axis_log {
    int32_t low, high; /* ticks; low < high */
};

/* One that holds both and is a decade long at least; 1 <= min <= max. */
void axis_log_init(struct axis_log *a, double min, double max);
/* Where a value stands: 0 at the low end, 1 at the high one; values beyond stand at the ends. */
double axis_log_at(const struct axis_log *a, double value);
/* The value there. */
double axis_log_value(const struct axis_log *a, double at);
double axis_tick_value(int32_t tick);
/* How many ticks on the next that is labelled stands, so that labels are at least `apart` of the
 * axis from one another: 1, or a multiple of 3 (and then ticks are multiples of it as well). */
int32_t axis_log_stride(const struct axis_log *a, double apart);

#endif
