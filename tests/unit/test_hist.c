/* tests/unit/test_hist.c - goal: a percentile is never below the true one, and at most 3.2 %
 * above; counts, sums and ends are exact; merging equals having added everything to one.
 *
 * Method: random values of every magnitude, compared with the sorted array of the same values,
 * whose ranks are computed in whole numbers.
 */
#include "core/base/hist.h"

#include "core/base/prng.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES = 20000 };

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Compares at every tenth of a percent with the value of rank ceil(count * tenths / 1000). */
static void check_percentiles(const struct hist *h, const uint64_t *sorted, uint64_t count)
{
    for (uint64_t tenths = 0; tenths <= 1000; tenths++) {
        uint64_t rank = (count * tenths + 999) / 1000;
        uint64_t truth = sorted[rank == 0 ? 0 : rank - 1];
        uint64_t got = hist_percentile(h, (double)tenths / 10);
        cr_assert_geq(got, truth, "p%" PRIu64 "/10: %" PRIu64 " < %" PRIu64, tenths, got, truth);
        cr_assert_leq(got - truth, truth / 32, "p%" PRIu64 "/10: %" PRIu64 " for %" PRIu64, tenths,
                      got, truth);
    }
}

/* The steps hold every sorted value once, and have no bounds beyond the ends. */
static void check_steps(const struct hist *h, const uint64_t *sorted, uint64_t count)
{
    struct hist_step step;
    uint64_t seen = 0, last = 0;
    for (uint32_t at = 0; hist_next(h, &at, &step); last = step.high) {
        cr_assert_gt(step.count, 0);
        cr_assert_leq(step.low, step.high);
        cr_assert(seen == 0 || step.low > last);
        for (uint64_t i = 0; i < step.count; i++, seen++) {
            cr_assert_lt(seen, count);
            cr_assert(sorted[seen] >= step.low && sorted[seen] <= step.high);
        }
    }
    cr_assert_eq(seen, count);
    cr_assert_eq(last, sorted[count - 1]);
}

Test(hist, percentiles_of_random_values)
{
    static struct hist h;
    static uint64_t values[VALUES];
    struct prng dice;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        prng_seed(&dice, seed);
        hist_init(&h);
        uint64_t count = 1 + prng_below(&dice, VALUES), sum = 0;
        for (uint64_t i = 0; i < count; i++) {
            values[i] = prng_u64(&dice) >> (12 + prng_below(&dice, seed % 2 ? 52 : 8));
            sum += values[i];
            hist_add(&h, values[i]);
        }
        qsort(values, count, sizeof values[0], compare);
        cr_assert_eq(h.count, count);
        cr_assert_eq(h.sum, sum < h.sum ? h.sum : sum);
        cr_assert_eq(h.min, values[0]);
        cr_assert_eq(h.max, values[count - 1]);
        check_percentiles(&h, values, count);
        check_steps(&h, values, count);
    }
}

/* Every border between buckets: one value alone must come back exactly, being the maximum, and
 * with a larger one beside it within the promise. */
Test(hist, every_power_of_two_and_its_neighbours)
{
    static struct hist h;
    for (uint32_t bit = 0; bit < 64; bit++) {
        for (int64_t off = -1; off <= 1; off++) {
            uint64_t value = (UINT64_C(1) << bit) + (uint64_t)off;
            hist_init(&h);
            hist_add(&h, value);
            cr_assert_eq(hist_percentile(&h, 50), value);
            hist_add(&h, UINT64_MAX);
            uint64_t got = hist_percentile(&h, 50);
            cr_assert(got >= value && got - value <= value / 32, "%" PRIu64 " for %" PRIu64, got,
                      value);
            cr_assert_eq(hist_percentile(&h, 100), UINT64_MAX);
        }
    }
}

Test(hist, small_values_are_exact)
{
    static struct hist h;
    hist_init(&h);
    for (uint64_t v = 0; v < 64; v++) hist_add(&h, v);
    hist_add(&h, 1000000);
    for (uint64_t v = 0; v < 64; v++)
        cr_assert_eq(hist_percentile(&h, (double)(v + 1) * 100 / 65), v);
}

/* 64.4 % of 250 is 161, but in doubles a little more: the 162nd value is not asked for. */
Test(hist, a_rank_is_not_rounded_up_by_noise)
{
    static struct hist h;
    hist_init(&h);
    for (int i = 0; i < 250; i++) hist_add(&h, i < 161 ? 0 : 1000);
    cr_assert_eq(hist_percentile(&h, 64.4), 0);
    cr_assert_eq(hist_percentile(&h, 64.5), 1000);
}

Test(hist, empty)
{
    static struct hist h;
    struct hist_step step;
    uint32_t at = 0;
    hist_init(&h);
    cr_assert_not(hist_next(&h, &at, &step));
    cr_assert_eq(hist_percentile(&h, 99), 0);
    cr_assert_eq(h.min, UINT64_MAX);
    cr_assert_eq(h.max, 0);
}

Test(hist, merging_is_adding)
{
    static struct hist a, b, all;
    struct prng dice;
    prng_seed(&dice, 3);
    hist_init(&a);
    hist_init(&b);
    hist_init(&all);
    hist_merge(&a, &b);
    cr_assert_eq(a.min, UINT64_MAX);
    for (int i = 0; i < VALUES; i++) {
        uint64_t value = prng_u64(&dice) >> (16 + prng_below(&dice, 48));
        hist_add(prng_percent(&dice, 30) ? &a : &b, value);
        hist_add(&all, value);
    }
    static struct hist b_then_a;
    b_then_a = b;
    hist_merge(&b_then_a, &a);
    hist_merge(&a, &b);
    cr_assert_eq(memcmp(&a, &all, sizeof a), 0);
    cr_assert_eq(memcmp(&b_then_a, &all, sizeof a), 0);
}

Test(hist, a_sum_does_not_wrap)
{
    static struct hist a, b;
    hist_init(&a);
    hist_init(&b);
    hist_add(&a, UINT64_MAX - 1);
    hist_add(&b, 2);
    hist_merge(&b, &a);
    hist_add(&a, 2);
    cr_assert_eq(a.sum, UINT64_MAX);
    cr_assert_eq(b.sum, UINT64_MAX);
}

Test(hist, a_percentage_beyond_100, .signal = SIGABRT)
{
    static struct hist h;
    hist_init(&h);
    hist_percentile(&h, 100.5);
}
