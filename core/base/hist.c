/* core/base/hist.c - bucket arithmetic of the log-linear histogram; see hist.h.
 *
 * Values below 32 have a bucket each. From there on, a value whose highest set bit is bit e falls
 * into one of 32 buckets of 2^(e-5) values; bucket i of that row starts at (32 + i) * 2^(e-5).
 */
#include "core/base/hist.h"

#include "core/base/check.h"

#include <string.h>

enum { SUBS = 1 << HIST_SUB_BITS };

_Static_assert(HIST_BUCKETS == 1920, "rows for bits 5..63 and the row of single values");

static uint32_t bucket_of(uint64_t value)
{
    if (value < SUBS) return (uint32_t)value;
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(value) - HIST_SUB_BITS;
    /* value >> shift is in [SUBS, 2 * SUBS): adding it skips the row of single values. */
    return (shift << HIST_SUB_BITS) + (uint32_t)(value >> shift);
}

/* The largest value that falls into a bucket. */
static uint64_t bucket_top(uint32_t bucket)
{
    if (bucket < SUBS) return bucket;
    uint32_t shift = (bucket >> HIST_SUB_BITS) - 1;
    uint64_t step = SUBS + (bucket & (SUBS - 1));
    return (step << shift) + ((UINT64_C(1) << shift) - 1);
}

/* A sum that would wrap stays at the end: a mean that is too small by a little, not absurd. */
static uint64_t add_saturated(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

void hist_init(struct hist *h)
{
    CHECK(h != NULL);
    memset(h, 0, sizeof *h);
    h->min = UINT64_MAX;
}

void hist_add(struct hist *h, uint64_t value)
{
    uint32_t bucket = bucket_of(value);
    CHECK_HOT(bucket < HIST_BUCKETS);
    h->bucket[bucket]++;
    h->count++;
    h->sum = add_saturated(h->sum, value);
    if (value > h->max) h->max = value;
    if (value < h->min) h->min = value;
}

void hist_merge(struct hist *into, const struct hist *from)
{
    CHECK(into != NULL);
    CHECK(from != NULL);
    for (uint32_t i = 0; i < HIST_BUCKETS; i++) into->bucket[i] += from->bucket[i];
    into->count += from->count;
    into->sum = add_saturated(into->sum, from->sum);
    if (from->max > into->max) into->max = from->max;
    if (from->min < into->min) into->min = from->min;
}

/* How many of `count` values make up `percent` of them, rounded up, at least one. */
static uint64_t rank_of(uint64_t count, double percent)
{
    double exact = percent * (double)count / 100.0;
    if (exact >= (double)count) return count;
    uint64_t rank = (uint64_t)exact;
    /* 99.9 has no exact double: without the tolerance 99.9 % of 1,000 would be all of them. */
    if (exact - (double)rank > 1e-9) rank++;
    return rank == 0 ? 1 : rank;
}

uint64_t hist_percentile(const struct hist *h, double percent)
{
    CHECK(percent >= 0.0);
    CHECK(percent <= 100.0);
    if (h->count == 0) return 0;
    uint64_t rank = rank_of(h->count, percent);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen < rank) continue;
        uint64_t top = bucket_top(i);
        return top < h->max ? top : h->max;
    }
    return h->max;
}

bool hist_next(const struct hist *h, uint32_t *at, struct hist_step *step)
{
    CHECK(step != NULL);
    while (*at < HIST_BUCKETS && h->bucket[*at] == 0) ++*at;
    if (*at >= HIST_BUCKETS) return false;
    uint32_t i = (*at)++;
    uint64_t low = i == 0 ? 0 : bucket_top(i - 1) + 1, high = bucket_top(i);
    step->low = low > h->min ? low : h->min;
    step->high = high < h->max ? high : h->max;
    step->count = h->bucket[i];
    return true;
}
