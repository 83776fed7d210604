/* core/base/hist.h - a log-linear histogram of 64-bit values (HdrHistogram's idea).
 *
 * 32 steps for each power of two, so a percentile is at most 3.2 % above the truth. Fixed size,
 * about 15 KiB; adding is a count-leading-zeros and an increment. One writer, no locks; to read
 * the histograms of several threads, merge them after the threads have ended.
 */
#ifndef CORE_BASE_HIST_H
#define CORE_BASE_HIST_H

#include <stdbool.h>
#include <stdint.h>

enum { HIST_SUB_BITS = 5, HIST_BUCKETS = (64 - HIST_SUB_BITS + 1) << HIST_SUB_BITS };

struct hist {
    uint64_t count, sum, max, min; /* min is UINT64_MAX while count is 0 */
    uint64_t bucket[HIST_BUCKETS];
};

void hist_init(struct hist *h);
void hist_add(struct hist *h, uint64_t value);
void hist_merge(struct hist *into, const struct hist *from);
/* The value that `percent` (0..100) of all values do not exceed; at most max. 0 when empty. */
uint64_t hist_percentile(const struct hist *h, double percent);

/* One bucket that is not empty: `count` values were from low to high. */
struct hist_step {
    uint64_t low, high, count;
};
/* The first such bucket from *at on, which begins as 0 and moves on; false: none is left. Together
 * they hold every value once, in order, and none reaches beyond min and max. */
bool hist_next(const struct hist *h, uint32_t *at, struct hist_step *step);

#endif
