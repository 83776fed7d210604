/* tests/unit/test_pace.c - goal: whatever way a receiver tells its quota, or does not tell it, what
 * it allows is used and next to nothing more is sent.
 *
 * Method: pace_world.h: a receiver that allows 2,000 requests in 10 s, ten windows of it, with one
 * shard and two and with three round-trip times. Each row of the tables is a test of its own. The
 * figures that every fixed window must meet: with hints 98 % used and 0.1 % refused after the first
 * window, with none 85 % and 5 %. Where a row asks for less, what the receiver says is what costs
 * it, and the row says how. Then other quotas, partial knowledge, and the functions one by one.
 */
#include "tests/unit/pace_world.h"

#include "tests/unit/must.h"

#include <stdint.h>

/* ---- politeness ---------------------------------------------------------------------------- */

struct figures {
    double used_pct, refused_pct; /* at least; at most, after the first window */
};

static void one_is_polite(const struct world_case *c, struct figures want)
{
    struct world_result r = world_run(c, NULL);
    uint64_t later = r.accepted_later + r.refused_later;
    double used_pct = 100.0 * (double)r.accepted / (double)r.allowed;
    double refused_pct = later == 0 ? 0 : 100.0 * (double)r.refused_later / (double)later;
    MUST(
        used_pct >= want.used_pct && refused_pct <= want.refused_pct,
        "%s, %u shards, round trip %.1f ms, seed %lu: used %.2f %% of %lu (at least %.1f), refused "
        "%.3f %% after the first window (at most %.2f; %lu in all)",
        c->name, c->shards, (double)c->rtt_ns / 1e6, c->seed, used_pct, r.allowed, want.used_pct,
        refused_pct, want.refused_pct, r.refused);
}

static void is_polite(struct world_case c, struct figures want)
{
    static const uint64_t rtts[] = {200000, 5000000, 40000000, 150000000};
    if (c.limit == 0) c.limit = 2000;
    if (c.window_ns == 0) c.window_ns = 10 * SECOND_NS;
    if (c.unit_ns == 0) c.unit_ns = SECOND_NS;
    if (c.concurrency == 0) c.concurrency = WORLD_CONCURRENCY_MAX;
    c.burst = c.limit;
    uint64_t jitter_ns = c.jitter_ns;
    c.windows = 10;
    c.phase_ns = c.window_ns / 100 * 37;
    for (c.shards = 1; c.shards <= 2; c.shards++) {
        for (size_t i = 0; i < sizeof rtts / sizeof rtts[0]; i++) {
            c.rtt_ns = rtts[i];
            c.jitter_ns = jitter_ns > 0 ? jitter_ns : rtts[i] / 10;
            c.seed = c.shards * 100 + i;
            one_is_polite(&c, want);
        }
    }
}

#define POLITE(test, used, refused, ...) \
    Test(pace, test) \
    { \
        is_polite((struct world_case){.name = #test, __VA_ARGS__}, \
                  (struct figures){used, refused}); \
    }

/* All ways to tell the reset. */
#define POLITE_IN_ALL_FORMS(test, used, refused, ...) \
    POLITE(test##_up, used, refused, .reset = RESET_UP, __VA_ARGS__) \
    POLITE(test##_down, used, refused, .reset = RESET_DOWN, __VA_ARGS__) \
    POLITE(test##_nearest, used, refused, .reset = RESET_NEAREST, __VA_ARGS__) \
    POLITE(test##_ms, used, refused, .reset = RESET_UP, .unit_ns = MS_NS, __VA_ARGS__) \
    POLITE(test##_epoch_up, used, refused, .reset = RESET_EPOCH_UP, __VA_ARGS__) \
    POLITE(test##_epoch_down, used, refused, .reset = RESET_EPOCH_DOWN, __VA_ARGS__) \
    POLITE(test##_epoch_ms, used, refused, .reset = RESET_EPOCH_UP, .unit_ns = MS_NS, __VA_ARGS__) \
    POLITE(test##_epoch_up_no_date, used, refused, .reset = RESET_EPOCH_UP_NO_DATE, __VA_ARGS__) \
    POLITE(test##_epoch_down_no_date, used, refused, .reset = RESET_EPOCH_DOWN_NO_DATE, __VA_ARGS__)

/* Hints on every answer. A sliding window is never used up to its last few, since what is in flight
 * is not in the answer yet. Where the reset is that of the next one alone, each time that nothing
 * remains costs as much as its unit. */
POLITE_IN_ALL_FORMS(all_fixed, 98, 0.1, .kind = FIXED_AT_FIRST)
POLITE_IN_ALL_FORMS(all_aligned, 98, 0.1, .kind = FIXED_ALIGNED)
POLITE_IN_ALL_FORMS(all_bucket, 98, 0.1, .kind = BUCKET)
POLITE_IN_ALL_FORMS(all_sliding, 93, 0.1, .kind = SLIDING)
POLITE_IN_ALL_FORMS(all_sliding_next, 82, 0.2, .kind = SLIDING_NEXT)

/* A busy machine, or a network that is: answers come up to 30 ms late, each way. */
POLITE_IN_ALL_FORMS(busy_fixed, 97.5, 0.1, .kind = FIXED_AT_FIRST, .jitter_ns = 30 * MS_NS)
POLITE_IN_ALL_FORMS(busy_aligned, 97.5, 0.1, .kind = FIXED_ALIGNED, .jitter_ns = 30 * MS_NS)

/* And Retry-After where it refuses. */
POLITE_IN_ALL_FORMS(both_fixed, 98, 0.1, .kind = FIXED_AT_FIRST, .retry_after = true)
POLITE_IN_ALL_FORMS(both_aligned, 98, 0.1, .kind = FIXED_ALIGNED, .retry_after = true)

/* Hints where it refuses, and nowhere else. A point in time rounded up, less a Date rounded down,
 * says up to 2 s more than is true, once: 2 % of ten windows. A bucket or a sliding window that
 * says when all of it is there again is left alone for as long. */
#define LATE_FORMS(test, used, refused, late, ...) \
    POLITE(test##_up, used, refused, .reset = RESET_UP, __VA_ARGS__) \
    POLITE(test##_down, used, refused, .reset = RESET_DOWN, __VA_ARGS__) \
    POLITE(test##_nearest, used, refused, .reset = RESET_NEAREST, __VA_ARGS__) \
    POLITE(test##_ms, used, refused, .reset = RESET_UP, .unit_ns = MS_NS, __VA_ARGS__) \
    POLITE(test##_epoch_up, late, refused, .reset = RESET_EPOCH_UP, __VA_ARGS__) \
    POLITE(test##_epoch_down, used, refused, .reset = RESET_EPOCH_DOWN, __VA_ARGS__) \
    POLITE(test##_epoch_up_no_date, late, refused, .reset = RESET_EPOCH_UP_NO_DATE, __VA_ARGS__) \
    POLITE(test##_epoch_down_no_date, used, refused, .reset = RESET_EPOCH_DOWN_NO_DATE, __VA_ARGS__)

LATE_FORMS(refusals_fixed, 98, 0.1, 97, .kind = FIXED_AT_FIRST, .only_on_429 = true)
LATE_FORMS(refusals_aligned, 98, 0.1, 98, .kind = FIXED_ALIGNED, .only_on_429 = true)
LATE_FORMS(refusals_sliding_next, 98, 0.1, 97, .kind = SLIDING_NEXT, .only_on_429 = true)
LATE_FORMS(refusals_bucket, 90, 0.11, 90, .kind = BUCKET, .only_on_429 = true)
LATE_FORMS(refusals_sliding, 75, 0.1, 75, .kind = SLIDING, .only_on_429 = true)

POLITE(retry_after_fixed, 98, 0.1, .kind = FIXED_AT_FIRST, .retry_after = true)
POLITE(retry_after_aligned, 98, 0.1, .kind = FIXED_ALIGNED, .retry_after = true)
POLITE(retry_after_sliding, 98, 0.1, .kind = SLIDING, .retry_after = true)
POLITE(retry_after_bucket, 98, 0.1, .kind = BUCKET, .retry_after = true)

POLITE(silent_fixed, 85, 5, .kind = FIXED_AT_FIRST)
POLITE(silent_aligned, 85, 5, .kind = FIXED_ALIGNED)
POLITE(silent_sliding, 85, 5, .kind = SLIDING)
POLITE(silent_bucket, 85, 5, .kind = BUCKET)

/* ---- other quotas, and knowing less --------------------------------------------------------
 *
 * What is in flight when a quota ends is refused, and what is asked once a second while nothing is
 * taken: with many in flight, or with a quota of one a second, that is a greater share. */

POLITE(all_60_in_a_minute, 97, 0.2, .kind = FIXED_ALIGNED, .reset = RESET_UP, .limit = 60,
       .window_ns = 60 * SECOND_NS)
POLITE(all_10_in_a_second, 90, 0.2, .kind = FIXED_ALIGNED, .reset = RESET_UP, .unit_ns = MS_NS,
       .limit = 10, .window_ns = SECOND_NS)
POLITE(all_10000, 98, 0.1, .kind = FIXED_ALIGNED, .reset = RESET_UP, .limit = 10000)
POLITE(all_5000_in_an_hour, 98, 0.1, .kind = FIXED_ALIGNED, .reset = RESET_EPOCH_UP, .limit = 5000,
       .window_ns = 3600 * SECOND_NS)
POLITE(refusals_60_in_a_minute, 98, 0.2, .kind = FIXED_ALIGNED, .reset = RESET_UP,
       .only_on_429 = true, .limit = 60, .window_ns = 60 * SECOND_NS)
POLITE(retry_after_60_in_a_minute, 98, 0.2, .kind = FIXED_ALIGNED, .retry_after = true, .limit = 60,
       .window_ns = 60 * SECOND_NS)
POLITE(retry_after_10000, 96, 0.6, .kind = FIXED_ALIGNED, .retry_after = true, .limit = 10000)
POLITE(silent_10000, 85, 5, .kind = FIXED_ALIGNED, .limit = 10000)
POLITE(silent_60_in_a_minute, 85, 20, .kind = FIXED_ALIGNED, .limit = 60,
       .window_ns = 60 * SECOND_NS)
POLITE(all_own_flight, 98, 0.1, .kind = FIXED_ALIGNED, .reset = RESET_UP, .own_flight = true)
POLITE(all_no_limit, 98, 0.1, .kind = FIXED_ALIGNED, .reset = RESET_UP, .no_limit = true)
POLITE(all_stale, 98, 0.1, .kind = FIXED_ALIGNED, .reset = RESET_UP, .stale = true)
POLITE(all_tells_window, 98, 0.1, .kind = FIXED_ALIGNED, .reset = RESET_UP, .tells_window = true)
POLITE(refusals_no_limit, 98, 0.1, .kind = FIXED_ALIGNED, .reset = RESET_UP, .only_on_429 = true,
       .no_limit = true)
POLITE(refusals_ignorant, 97, 2, .kind = FIXED_ALIGNED, .reset = RESET_UP, .only_on_429 = true,
       .ignorant = true)
POLITE(retry_after_ignorant, 97, 2, .kind = FIXED_ALIGNED, .retry_after = true, .ignorant = true)

/* Records come at a third of what is allowed: none waits, none is refused. */
Test(pace, less_than_the_quota_flows_freely)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct world_case c = {.name = "demand",
                               .kind = FIXED_ALIGNED,
                               .reset = RESET_UP,
                               .unit_ns = SECOND_NS,
                               .limit = 2000,
                               .window_ns = 10 * SECOND_NS,
                               .phase_ns = 3700 * MS_NS,
                               .rtt_ns = 5 * MS_NS,
                               .shards = 2,
                               .concurrency = 256,
                               .windows = 10,
                               .seed = seed,
                               .demand_ns = 15 * MS_NS};
        struct world_result r = world_run(&c, NULL);
        MUST(r.refused == 0, "%lu", r.refused);
        MUST(r.accepted > 6500, "%lu", r.accepted);
        MUST(r.longest_gap_ns < 100 * MS_NS, "%lu ns", r.longest_gap_ns);
    }
}

/* ---- one call at a time -------------------------------------------------------------------- */

#define START_NS (1000 * SECOND_NS)

static struct pace_hint quota_of_answer(uint64_t remaining, uint64_t reset_ns)
{
    return (struct pace_hint){.has_limit = true,
                              .has_remaining = true,
                              .has_reset = true,
                              .limit = 100,
                              .remaining = remaining,
                              .reset_ns = reset_ns,
                              .reset_step_ns = SECOND_NS,
                              .began_ns = START_NS - MS_NS};
}

Test(pace, knows_no_limit_at_first)
{
    struct pace p = {.mode = 0};
    uint64_t again_ns = 0;
    pace_init(NULL, &p);
    cr_assert(pace_look(&p, START_NS, &again_ns));
    cr_assert_eq(pace_take(&p, START_NS, 1000, &again_ns), 1000);
    cr_assert_eq(pace_per_second(&p), 0);
    cr_assert(pace_evictable(&p, START_NS));
}

Test(pace, a_hold_is_only_raised)
{
    struct pace p = {.mode = 0};
    uint64_t again_ns = 0;
    pace_hold(&p, START_NS + 5 * SECOND_NS);
    pace_hold(&p, START_NS + 2 * SECOND_NS);
    cr_assert_not(pace_evictable(&p, START_NS));
    cr_assert_not(pace_look(&p, START_NS + 3 * SECOND_NS, &again_ns));
    cr_assert_eq(again_ns, START_NS + 5 * SECOND_NS);
    cr_assert_eq(pace_take(&p, START_NS + 5 * SECOND_NS - 1, 1, &again_ns), 0);
    cr_assert_eq(again_ns, START_NS + 5 * SECOND_NS);
    cr_assert_eq(pace_take(&p, START_NS + 5 * SECOND_NS, 1, &again_ns), 1);
}

Test(pace, what_remains_is_spread_over_the_time_that_is_left)
{
    struct pace p = {.mode = 0};
    struct pace_hint h = quota_of_answer(50, 10 * SECOND_NS);
    h.reset_step_ns = 1;
    pace_hinted(&p, START_NS, &h, 0, UINT64_MAX);
    uint64_t per_10_s = pace_per_second(&p) * 10, again_ns = 0;
    cr_assert(per_10_s == 50, "%lu in 10 s", per_10_s);
    uint32_t taken = 0; /* by one who asks each millisecond */
    for (uint64_t t = START_NS; t < START_NS + 10 * SECOND_NS; t += MS_NS)
        taken += pace_take(&p, t, 1, &again_ns);
    cr_assert(taken >= 48 && taken <= 51, "%u", taken); /* one more by the tolerance */
}

Test(pace, goes_at_once_if_all_that_waits_fits)
{
    struct pace p = {.mode = 0};
    uint64_t again_ns = 0;
    struct pace_hint h = quota_of_answer(50, 10 * SECOND_NS);
    pace_hinted(&p, START_NS, &h, 10, 40);
    cr_assert_eq(pace_take(&p, START_NS, 40, &again_ns), 40);
    pace_hinted(&p, START_NS + 1, &h, 10, 41);
    cr_assert_lt(pace_take(&p, START_NS + 1, 40, &again_ns), 40);
}

Test(pace, nothing_remains_until_the_reset)
{
    struct pace p = {.mode = 0};
    uint64_t again_ns = 0;
    struct pace_hint h = quota_of_answer(0, 10 * SECOND_NS);
    pace_hinted(&p, START_NS, &h, 0, 1);
    cr_assert_eq(pace_take(&p, START_NS + 9 * SECOND_NS, 1, &again_ns), 0);
    cr_assert_geq(again_ns, START_NS + 10 * SECOND_NS);
    cr_assert_leq(again_ns, START_NS + 12 * SECOND_NS);
}

/* Whoever finds the lock taken does not wait; what it has to say about a hold is not lost. */
Test(pace, a_taken_lock_loses_no_hold)
{
    struct pace p = {.lock = 1};
    uint64_t again_ns = 0;
    struct pace_hint h = quota_of_answer(0, 10 * SECOND_NS);
    pace_hinted(&p, START_NS, &h, 0, UINT64_MAX);
    cr_assert_eq(pace_take(&p, START_NS + 9 * SECOND_NS, 1, &again_ns), 0);
    pace_retry_after(&p, START_NS - 1, START_NS, 20 * SECOND_NS, false);
    cr_assert_eq(pace_take(&p, START_NS + 19 * SECOND_NS, 1, &again_ns), 0);
    pace_taken(&p, START_NS, START_NS, 3);
    cr_assert_eq(p.missed, 3);
    cr_assert_eq(p.lock, 1);
}

Test(pace, a_policy_alone_gives_an_even_pace)
{
    struct pace p = {.mode = 0};
    struct pace_hint h = {.has_limit = true, .limit = 600, .window_ns = 60 * SECOND_NS};
    pace_hinted(&p, START_NS, &h, 0, UINT64_MAX);
    uint64_t rate = pace_per_second(&p);
    cr_assert(rate == 10, "%lu a second", rate);
}

/* A 429 that says nothing halves the pace, at most once each round trip. */
Test(pace, refusals_halve_it_once_each_round_trip)
{
    struct pace p = {.mode = 0};
    pace_before(&p, START_NS - 10 * SECOND_NS, START_NS, 10000); /* 1,000 a second */
    pace_refused(&p, START_NS - 50 * MS_NS, START_NS);
    uint64_t once = pace_per_second(&p);
    cr_assert(once >= 490 && once <= 510, "%lu", once);
    for (int i = 0; i < 100; i++) pace_refused(&p, START_NS - 40 * MS_NS, START_NS + 10 * MS_NS);
    cr_assert_eq(pace_per_second(&p), once, "began before it was halved: %lu", pace_per_second(&p));
    pace_refused(&p, START_NS + MS_NS, START_NS + 51 * MS_NS);
    uint64_t twice = pace_per_second(&p);
    cr_assert(twice >= 245 && twice <= 255, "%lu", twice);
}

/* After ten minutes without a refusal the limit is forgotten. */
Test(pace, a_silent_receiver_that_refuses_no_more_is_set_free)
{
    struct pace p = {.mode = 0};
    uint64_t again_ns = 0, now_ns = START_NS;
    pace_before(&p, START_NS - 10 * SECOND_NS, START_NS, 1000);
    pace_refused(&p, START_NS - MS_NS, START_NS);
    cr_assert_gt(pace_per_second(&p), 0);
    for (; now_ns < START_NS + 700 * SECOND_NS; now_ns += 10 * MS_NS)
        if (pace_take(&p, now_ns, 1, &again_ns) > 0) pace_taken(&p, now_ns, now_ns + 5 * MS_NS, 1);
    cr_assert_eq(pace_per_second(&p), 0, "%lu", pace_per_second(&p));
}

/* Also where next to nothing was sent meanwhile, so that the pace did not climb. */
Test(pace, a_limit_is_forgotten_after_ten_minutes)
{
    struct pace p = {.mode = 0};
    pace_before(&p, START_NS - 10 * SECOND_NS, START_NS, 1000);
    pace_refused(&p, START_NS - MS_NS, START_NS);
    uint64_t now_ns = START_NS + SECOND_NS;
    pace_taken(&p, now_ns - MS_NS, now_ns, 1);
    now_ns = START_NS + 590 * SECOND_NS;
    pace_taken(&p, now_ns - MS_NS, now_ns, 1);
    cr_assert_gt(pace_per_second(&p), 0);
    now_ns = START_NS + 610 * SECOND_NS;
    pace_taken(&p, now_ns - MS_NS, now_ns, 1);
    cr_assert_eq(pace_per_second(&p), 0, "%lu a second", pace_per_second(&p));
}

/* It says that 500 remain, always, and takes 10 a second: what it says is not believed for long. */
Test(pace, a_quota_that_is_refused_is_not_believed)
{
    struct pace p = {.mode = 0};
    uint64_t again_ns = 0, refused = 0, refused_late = 0, taken_late = 0, credit_ns = 0;
    for (uint64_t ms = 0; ms < 120000; ms++) {
        uint64_t now_ns = START_NS + ms * MS_NS;
        credit_ns += MS_NS;
        if (pace_take(&p, now_ns, 1, &again_ns) == 0) continue;
        struct pace_hint h = quota_of_answer(500, 10 * SECOND_NS);
        h.limit = 500;
        h.began_ns = now_ns;
        h.refused = credit_ns < 100 * MS_NS;
        if (!h.refused) credit_ns -= 100 * MS_NS;
        if (credit_ns > SECOND_NS) credit_ns = SECOND_NS;
        pace_hinted(&p, now_ns + MS_NS / 2, &h, 0, UINT64_MAX);
        refused += h.refused;
        if (ms < 60000) continue;
        refused_late += h.refused;
        taken_late += !h.refused;
    }
    cr_assert(refused < 400, "%lu refused in 120 s, %lu of them late", refused, refused_late);
    cr_assert(refused_late * 10 < taken_late, "%lu refused, %lu taken", refused_late, taken_late);
}

/* Random hints, times and counts of every size: nothing waits longer than the longest hint and what
 * is kept on top of it, and a pace is never stuck. */
Test(pace, no_hint_whatever_stops_it_for_good)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct prng prng;
        prng_seed(&prng, seed);
        struct pace p = {.mode = 0};
        uint64_t now_ns = START_NS, again_ns = 0, latest_ns = 0;
        for (int i = 0; i < 200; i++) {
            uint64_t word = prng_u64(&prng);
            struct pace_hint h = {.refused = word & 1,
                                  .has_limit = word & 2,
                                  .has_remaining = word & 4,
                                  .has_reset = word & 8,
                                  .limit = prng_u64(&prng) >> (prng_u64(&prng) % 64),
                                  .remaining = prng_u64(&prng) >> (prng_u64(&prng) % 64),
                                  .reset_ns = (prng_u64(&prng) % (3600 * SECOND_NS)) >>
                                              (prng_u64(&prng) % 42),
                                  .reset_step_ns = prng_u64(&prng) % (2 * SECOND_NS),
                                  .window_ns = prng_u64(&prng) >> (prng_u64(&prng) % 64),
                                  .began_ns = now_ns - prng_u64(&prng) % SECOND_NS};
            if (word & 16) h.remaining = 0;
            if (word & 32) pace_hinted(&p, now_ns, &h, prng_u64(&prng) % 300, UINT64_MAX);
            if (word & 64 && word & 128) pace_refused(&p, h.began_ns, now_ns);
            if (word & 256) pace_taken(&p, h.began_ns, now_ns, 1 + (uint32_t)(word >> 60));
            if (word & 512 && word & 1024)
                pace_retry_after(&p, h.began_ns, now_ns, h.reset_ns, word & 2048);
            if (pace_take(&p, now_ns, 1, &again_ns) == 0) {
                MUST(again_ns > now_ns, "seed %lu", seed);
                if (again_ns - now_ns > latest_ns) latest_ns = again_ns - now_ns;
            }
            now_ns += prng_u64(&prng) >> (24 + prng_u64(&prng) % 30);
        }
        MUST(latest_ns <= 3610 * SECOND_NS, "seed %lu: %lu s", seed, latest_ns / SECOND_NS);
    }
}
