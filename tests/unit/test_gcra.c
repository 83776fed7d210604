/* tests/unit/test_gcra.c - goal: no more than 1 + (T + tolerance) / interval requests in any T,
 * whoever asks when and for how many, and nearly as many when there is always one who asks.
 *
 * Method: chosen cases; then random askers, and all pairs of grants measured against the rule.
 */
#include "sched/gcra.h"

#include "core/base/prng.h"
#include "tests/unit/must.h"

#include <criterion/criterion.h>
#include <stdint.h>

#define MS_NS     UINT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)
#define START_NS  (50 * SECOND_NS)

static uint32_t take(struct gcra *g, uint64_t interval_ns, uint64_t now_ns, uint32_t want)
{
    uint64_t again_ns = 0;
    uint32_t n = gcra_take(g, interval_ns, 10 * MS_NS, now_ns, want, &again_ns);
    MUST(n <= want);
    if (n == 0 && want > 0) MUST(again_ns > now_ns, "look again at a time that is over");
    return n;
}

Test(gcra, no_interval_no_limit)
{
    struct gcra g = {0};
    uint64_t again_ns;
    cr_assert_eq(gcra_take(&g, 0, 10 * MS_NS, START_NS, UINT32_MAX, &again_ns), UINT32_MAX);
    cr_assert_eq(g.tat_ns, 0);
}

Test(gcra, wanting_none_takes_none)
{
    struct gcra g = {0};
    cr_assert_eq(take(&g, SECOND_NS, START_NS, 0), 0);
    cr_assert_eq(g.tat_ns, 0);
}

Test(gcra, one_each_interval)
{
    struct gcra g = {0};
    uint64_t again_ns = 0;
    cr_assert_eq(take(&g, SECOND_NS, START_NS, 5), 1);
    cr_assert_eq(gcra_take(&g, SECOND_NS, 0, START_NS + MS_NS, 5, &again_ns), 0);
    cr_assert_leq(again_ns, START_NS + SECOND_NS);
    cr_assert_geq(again_ns, START_NS + SECOND_NS - 10 * MS_NS);
    cr_assert_eq(take(&g, SECOND_NS, again_ns - 1, 5), 0);
    cr_assert_eq(take(&g, SECOND_NS, again_ns, 5), 1);
}

/* Who comes late catches up on the tolerance and no more. */
Test(gcra, lateness_is_caught_up_within_the_tolerance)
{
    struct gcra g = {0};
    cr_assert_eq(take(&g, MS_NS, START_NS, 100), 11);
    cr_assert_eq(take(&g, MS_NS, START_NS, 100), 0);
    cr_assert_eq(take(&g, MS_NS, START_NS + 5 * MS_NS, 100), 5);
    cr_assert_eq(take(&g, MS_NS, START_NS + SECOND_NS, 100), 11);
}

Test(gcra, what_is_given_back_can_be_taken_again)
{
    struct gcra g = {0};
    cr_assert_eq(take(&g, MS_NS, START_NS, 11), 11);
    gcra_give(&g, MS_NS, 4);
    cr_assert_eq(take(&g, MS_NS, START_NS, 100), 4);
    gcra_give(&g, MS_NS, 0);
    cr_assert_eq(take(&g, MS_NS, START_NS, 100), 0);
    gcra_give(&g, UINT64_MAX, 1000); /* more than there is: a fresh one */
    cr_assert_eq(g.tat_ns, 0);
}

/* A pace that becomes faster shows at once, though the last grant was at a slow one. */
Test(gcra, a_shorter_interval_counts_at_once)
{
    struct gcra g = {0};
    cr_assert_eq(take(&g, 3600 * SECOND_NS, START_NS, 1), 1);
    cr_assert_eq(take(&g, SECOND_NS, START_NS + MS_NS, 1), 0);
    cr_assert_eq(take(&g, SECOND_NS, START_NS + SECOND_NS + 2 * MS_NS, 1), 1);
}

Test(gcra, absurd_intervals_do_not_wrap)
{
    struct gcra g = {0};
    cr_assert_eq(take(&g, UINT64_MAX, START_NS, 1000), 1);
    cr_assert_eq(g.tat_ns, UINT64_MAX);
    uint64_t again_ns = 0;
    cr_assert_eq(gcra_take(&g, UINT64_MAX, MS_NS, START_NS + 1, 1, &again_ns), 0);
    cr_assert_eq(again_ns, UINT64_MAX);
    gcra_give(&g, UINT64_MAX, UINT32_MAX);
    cr_assert_eq(g.tat_ns, 0);
}

enum { GRANTS = 4000 };

/* Of sorted grants: no more than 1 + (T + tolerance) / interval within any T. */
static void conforms(const uint64_t *at, uint32_t count, uint64_t interval_ns, uint64_t seed)
{
    uint64_t allowed_ns = 0; /* virtual scheduling, told once more */
    for (uint32_t i = 0; i < count; i++) {
        MUST(at[i] + 10 * MS_NS >= allowed_ns, "seed %lu: grant %u came %lu ns too early", seed, i,
             allowed_ns - at[i]);
        allowed_ns = (allowed_ns > at[i] ? allowed_ns : at[i]) + interval_ns;
    }
}

Test(gcra, random_askers_never_get_more)
{
    static uint64_t at[GRANTS + 64];
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct prng dice;
        prng_seed(&dice, seed);
        struct gcra g = {0};
        uint64_t interval_ns = 1 + (prng_u64(&dice) >> (34 + prng_below(&dice, 20)));
        uint64_t now_ns = START_NS;
        uint32_t count = 0;
        while (count < GRANTS) {
            uint32_t n = take(&g, interval_ns, now_ns, (uint32_t)prng_below(&dice, 33));
            uint32_t back = n > 0 && prng_percent(&dice, 20) ? (uint32_t)prng_below(&dice, n) : 0;
            gcra_give(&g, interval_ns, back);
            for (uint32_t i = 0; i < n - back; i++) at[count++] = now_ns;
            now_ns += prng_below(&dice, 4 * interval_ns + 2);
        }
        conforms(at, count, interval_ns, seed);
    }
}

/* One who asks again when it is told to gets all of the rate, however late it wakes up. */
Test(gcra, one_who_waits_as_told_gets_all_of_it)
{
    static const uint64_t intervals[] = {MS_NS / 10, MS_NS, 5 * MS_NS, 100 * MS_NS};
    for (size_t i = 0; i < sizeof intervals / sizeof intervals[0]; i++) {
        struct prng dice;
        struct gcra g = {0};
        uint64_t now_ns = START_NS, again_ns = 0, got = 0, expected = 60 * SECOND_NS / intervals[i];
        prng_seed(&dice, i + 1);
        while (now_ns < START_NS + 60 * SECOND_NS) {
            uint32_t n = gcra_take(&g, intervals[i], 10 * MS_NS, now_ns, 1000, &again_ns);
            got += n;
            if (n == 0) now_ns = again_ns + prng_below(&dice, 3 * MS_NS);
        }
        uint64_t most = expected + 1 + 10 * MS_NS / intervals[i];
        MUST(got <= most && got + expected / 100 >= expected, "%lu of %lu", got, expected);
    }
}
