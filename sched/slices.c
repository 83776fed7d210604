/* sched/slices.c - the arithmetic of slice words; see slices.h. */
#include "sched/slices.h"

#include "core/base/atomic.h"
#include "core/base/check.h"

enum { FAILURES_BITS = 24, TAG_SHIFT = 48 };

_Static_assert(SLICES_COUNT_MAX == (1 << FAILURES_BITS) - 1, "both counts have as many bits");

static uint64_t tag_of(uint64_t slice, uint32_t n) { return slice / n << TAG_SHIFT; }

static struct slices counts_of(uint64_t word)
{
    return (struct slices){.attempts = word >> FAILURES_BITS & SLICES_COUNT_MAX,
                           .failures = word & SLICES_COUNT_MAX};
}

void slices_add(uint64_t *words, uint32_t n, uint64_t slice, uint32_t attempts, uint32_t failures)
{
    CHECK(failures <= attempts);
    uint64_t *word = &words[slice % n];
    uint64_t tag = tag_of(slice, n);
    uint64_t old = load_rlx(word), new;
    do {
        struct slices sum = {.attempts = attempts, .failures = failures};
        if (old >> TAG_SHIFT == tag >> TAG_SHIFT) {
            sum.attempts += counts_of(old).attempts;
            sum.failures += counts_of(old).failures;
        }
        while (sum.attempts > SLICES_COUNT_MAX) {
            sum.attempts /= 2;
            sum.failures /= 2;
        }
        new = tag | sum.attempts << FAILURES_BITS | sum.failures;
    } while (!cas_rlx(word, &old, new));
}

void slices_take(uint64_t *words, uint32_t n, uint64_t slice, struct slices counts)
{
    uint64_t *word = &words[slice % n];
    uint64_t tag = tag_of(slice, n), old = load_rlx(word), new;
    do {
        if (old >> TAG_SHIFT != tag >> TAG_SHIFT) return; /* a newer one is there */
        struct slices left = counts_of(old);
        left.attempts -= left.attempts < counts.attempts ? left.attempts : counts.attempts;
        left.failures -= left.failures < counts.failures ? left.failures : counts.failures;
        if (left.failures > left.attempts) left.failures = left.attempts; /* they were halved */
        new = tag | left.attempts << FAILURES_BITS | left.failures;
    } while (!cas_rlx(word, &old, new));
}

static struct slices slice_read(const uint64_t *words, uint32_t n, uint64_t slice)
{
    uint64_t word = load_rlx(&words[slice % n]);
    if (word >> TAG_SHIFT != tag_of(slice, n) >> TAG_SHIFT) return (struct slices){0};
    return counts_of(word);
}

struct slices slices_sum(const uint64_t *words, uint32_t n, uint64_t slice, uint32_t whole)
{
    CHECK_HOT(whole <= n);
    struct slices sum = {0};
    for (uint32_t back = 0; back < whole && back <= slice; back++) {
        struct slices one = slice_read(words, n, slice - back);
        sum.attempts += one.attempts;
        sum.failures += one.failures;
    }
    return sum;
}

struct slices slices_rolling(const uint64_t *words, uint32_t n, uint64_t slice_ns, uint64_t now_ns)
{
    uint64_t slice = now_ns / slice_ns;
    struct slices sum = slices_sum(words, n, slice, n - 1);
    if (slice < n - 1) return sum;
    struct slices oldest = slice_read(words, n, slice - (n - 1));
    uint64_t within_ns = slice_ns - now_ns % slice_ns;
    sum.attempts += (uint64_t)((unsigned __int128)oldest.attempts * within_ns / slice_ns);
    sum.failures += (uint64_t)((unsigned __int128)oldest.failures * within_ns / slice_ns);
    return sum;
}
