/* tests/unit/test_prng.c - goal: the same seed gives the same numbers everywhere; ranges are
 * unbiased; the kernel's entropy differs from call to call.
 *
 * Method: published first outputs of splitmix64 and xoshiro256** by a second writing of the
 * algorithms; counts in ranges against what chance allows (seeds are fixed: never flaky).
 */
#include "core/base/prng.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

/* splitmix64's first outputs from state 1234567 (Vigna's reference, as widely published). */
Test(prng, state_is_splitmix64)
{
    static const uint64_t expected[4] = {6457827717110365317u, 3203168211198807973u,
                                         9817491932198370423u, 4593380528125082431u};
    struct prng p;
    prng_seed(&p, 1234567);
    cr_assert_eq(memcmp(p.s, expected, sizeof expected), 0);
}

/* xoshiro256**'s first outputs from the state 1, 2, 3, 4 (as in other projects' test vectors). */
Test(prng, output_is_xoshiro256starstar)
{
    static const uint64_t expected[] = {11520u,
                                        0u,
                                        1509978240u,
                                        1215971899390074240u,
                                        1216172134540287360u,
                                        607988272756665600u,
                                        16172922978634559625u,
                                        8476171486693032832u,
                                        10595114339597558777u,
                                        2904607092377533576u};
    struct prng p = {{1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        cr_assert_eq(prng_u64(&p), expected[i], "output %zu", i);
}

Test(prng, same_seed_same_numbers)
{
    struct prng a, b, c;
    prng_seed(&a, 0);
    prng_seed(&b, 0);
    prng_seed(&c, 1);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t x = prng_u64(&a);
        cr_assert_eq(x, prng_u64(&b));
        same += x == prng_u64(&c);
    }
    cr_assert_eq(same, 0);
}

/* 2/3 of 2^64 as bound: a plain modulo would give the lower half of the range twice as often. */
Test(prng, below_is_unbiased)
{
    struct prng p;
    prng_seed(&p, 5);
    uint64_t bound = UINT64_MAX / 3 * 2;
    int low = 0;
    for (int i = 0; i < 100000; i++) {
        uint64_t x = prng_below(&p, bound);
        cr_assert_lt(x, bound);
        low += x < bound / 2;
    }
    cr_assert(low > 49000 && low < 51000, "%d of 100000", low);

    int seen[7] = {0};
    for (int i = 0; i < 70000; i++) seen[prng_below(&p, 7)]++;
    for (int i = 0; i < 7; i++) cr_assert(seen[i] > 9500 && seen[i] < 10500, "%d: %d", i, seen[i]);
    for (int i = 0; i < 100; i++) cr_assert_eq(prng_below(&p, 1), 0);
}

Test(prng, percent)
{
    struct prng p;
    prng_seed(&p, 9);
    int hits = 0;
    for (int i = 0; i < 100000; i++) {
        cr_assert_not(prng_percent(&p, 0));
        cr_assert(prng_percent(&p, 100));
        hits += prng_percent(&p, 30);
    }
    cr_assert(hits > 29000 && hits < 31000, "%d of 100000", hits);
}

Test(prng, entropy_differs)
{
    struct prng a, b;
    cr_assert(prng_seed_from_os(&a));
    cr_assert(prng_seed_from_os(&b));
    cr_assert_neq(memcmp(&a, &b, sizeof a), 0);
}

Test(prng, bound_of_zero, .signal = SIGABRT)
{
    struct prng p;
    prng_seed(&p, 1);
    prng_below(&p, 0);
}
