/* tests/unit/test_slices.c - goal: a slice's counts are what was added to it while it was within
 * the ring, and nothing of another time; ratios survive counts that are too large.
 *
 * Method: chosen cases at the ring's ends; random additions with jumps of time against exact sums
 * by slice number.
 */
#include "sched/slices.h"

#include "core/base/prng.h"
#include "tests/unit/must.h"

#include <criterion/criterion.h>
#include <string.h>

static void sum_is(struct slices s, uint64_t attempts, uint64_t failures)
{
    cr_assert_eq(s.attempts, attempts, "%lu attempts, expected %lu", s.attempts, attempts);
    cr_assert_eq(s.failures, failures, "%lu failures, expected %lu", s.failures, failures);
}

Test(slices, adds_up_within_the_ring)
{
    uint64_t words[4] = {0};
    slices_add(words, 4, 10, 5, 1);
    slices_add(words, 4, 10, 5, 2);
    slices_add(words, 4, 12, 7, 7);
    sum_is(slices_sum(words, 4, 12, 1), 7, 7);
    sum_is(slices_sum(words, 4, 12, 2), 7, 7);
    sum_is(slices_sum(words, 4, 12, 3), 17, 10);
    sum_is(slices_sum(words, 4, 13, 4), 17, 10);
    sum_is(slices_sum(words, 4, 14, 4), 7, 7);
}

Test(slices, newer_slice_replaces_the_word)
{
    uint64_t words[4] = {0};
    slices_add(words, 4, 2, 100, 100);
    slices_add(words, 4, 6, 1, 0);
    sum_is(slices_sum(words, 4, 6, 4), 1, 0);
}

/* Slices before the clock's start do not exist. */
Test(slices, start_of_the_clock)
{
    uint64_t words[4] = {0};
    slices_add(words, 4, 0, 3, 2);
    sum_is(slices_sum(words, 4, 0, 4), 3, 2);
    sum_is(slices_sum(words, 4, 1, 4), 3, 2);
    sum_is(slices_rolling(words, 4, 100, 99), 3, 2);
    sum_is(slices_rolling(words, 4, 100, 299), 3, 2);
}

Test(slices, end_of_the_clock)
{
    uint64_t words[4] = {0};
    slices_add(words, 4, UINT64_MAX, 3, 2);
    slices_add(words, 4, UINT64_MAX - 3, 30, 20);
    sum_is(slices_sum(words, 4, UINT64_MAX, 3), 3, 2);
    sum_is(slices_sum(words, 4, UINT64_MAX, 4), 33, 22);
}

/* As long as the head of slices.h says, and no longer. */
Test(slices, tag_comes_again_after_65536_rounds)
{
    uint64_t words[4] = {0};
    slices_add(words, 4, 5, 3, 2);
    for (uint64_t round = 1; round < 65536; round++)
        MUST(slices_sum(words, 4, 5 + 4 * round, 1).attempts == 0);
    sum_is(slices_sum(words, 4, 5 + 4 * 65536, 1), 3, 2);
}

/* Three whole slices and a quarter of the oldest. */
Test(slices, rolling_takes_the_oldest_in_part)
{
    uint64_t words[4] = {0};
    slices_add(words, 4, 10, 1000, 400);
    for (uint64_t now = 1000; now < 1300; now++)
        sum_is(slices_rolling(words, 4, 100, now), 1000, 400);
    sum_is(slices_rolling(words, 4, 100, 1300), 1000, 400);
    sum_is(slices_rolling(words, 4, 100, 1325), 750, 300);
    sum_is(slices_rolling(words, 4, 100, 1399), 10, 4);
    sum_is(slices_rolling(words, 4, 100, 1400), 0, 0);
    slices_add(words, 4, 13, 1, 1);
    sum_is(slices_rolling(words, 4, 100, 1350), 501, 201);
}

Test(slices, too_many_are_halved_together)
{
    uint64_t words[3] = {0};
    slices_add(words, 3, 7, SLICES_COUNT_MAX, SLICES_COUNT_MAX);
    sum_is(slices_sum(words, 3, 7, 1), SLICES_COUNT_MAX, SLICES_COUNT_MAX);
    slices_add(words, 3, 7, 1, 1);
    sum_is(slices_sum(words, 3, 7, 1), 1 << 23, 1 << 23);
    slices_add(words, 3, 8, UINT32_MAX, UINT32_MAX / 4);
    struct slices s = slices_sum(words, 3, 8, 1);
    cr_assert(s.attempts > SLICES_COUNT_MAX / 2 && s.attempts <= SLICES_COUNT_MAX);
    cr_assert_float_eq((double)s.failures / (double)s.attempts, 0.25, 1e-6);
    /* A hundred million, 30 % of them failures, in small steps. */
    for (int i = 0; i < 1000000; i++) slices_add(words, 3, 9, 100, 30);
    s = slices_sum(words, 3, 9, 1);
    cr_assert_float_eq((double)s.failures / (double)s.attempts, 0.3, 1e-4);
}

enum { RING = 64, SPAN = 400 };

/* The referee keeps every slice. */
Test(slices, random_additions)
{
    struct prng dice;
    prng_seed(&dice, 11);
    for (int round = 0; round < 2000; round++) {
        uint32_t n = 2 + (uint32_t)prng_below(&dice, RING - 1);
        uint64_t base = prng_u64(&dice) >> prng_below(&dice, 60);
        if (base > UINT64_MAX - SPAN) base -= SPAN;
        uint64_t words[RING] = {0};
        struct slices truth[SPAN] = {{0, 0}};
        for (uint64_t at = 0; at < SPAN;
             at += prng_below(&dice, prng_percent(&dice, 3) ? n * 2 : 2)) {
            uint32_t a = (uint32_t)prng_below(&dice, 100), f = (uint32_t)prng_below(&dice, a + 1);
            slices_add(words, n, base + at, a, f);
            truth[at].attempts += a;
            truth[at].failures += f;
            uint32_t whole = 1 + (uint32_t)prng_below(&dice, n);
            struct slices sum = {0}, seen = slices_sum(words, n, base + at, whole);
            for (uint32_t back = 0; back < whole && back <= at; back++) {
                sum.attempts += truth[at - back].attempts;
                sum.failures += truth[at - back].failures;
            }
            MUST(memcmp(&sum, &seen, sizeof sum) == 0);
        }
    }
}
