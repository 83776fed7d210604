/* tests/unit/test_interleave_pace.c - goal: however the steps of two or three shards on one pace
 * fall: no permit is given twice, no hold is lost or shortened, no taken request is left uncounted,
 * and the lock is free in the end.
 *
 * Method: every interleaving of their atomic accesses (interleave.h).
 */
#include "tests/unit/interleave.h"

#include "sched/gcra.c"
#include "sched/pace.c"

#include <criterion/criterion.h>

static struct gcra gcra;
static struct pace pace;
static uint32_t got[INTERLEAVE_THREADS];

#define START_NS (1000 * SECOND_NS)

static void pass(struct interleave *x)
{
    cr_assert(interleave_all(x), "%s", x->why);
    cr_assert_geq(x->schedules, 2, "%s: nothing was interleaved", x->name);
}

static void setup(void *ctx)
{
    (void)ctx;
    gcra = (struct gcra){0};
    pace = (struct pace){.mode = MODE_BLIND};
    memset(got, 0, sizeof got);
}

/* ---- permits ------------------------------------------------------------------------------- */

static void take(int i, uint32_t want)
{
    uint64_t again_ns;
    got[i] += gcra_take(&gcra, SECOND_NS, 2 * SECOND_NS, START_NS, want, &again_ns);
}

static void take_a(void *ctx) { (void)ctx, take(0, 2); }
static void take_b(void *ctx) { (void)ctx, take(1, 2); }
static void take_c(void *ctx) { (void)ctx, take(2, 1); }

/* A burst of tolerance / interval + 1. */
static bool three_in_all(void *ctx)
{
    (void)ctx;
    return got[0] + got[1] + got[2] == 3 && gcra.tat_ns == START_NS + SECOND_NS;
}

Test(interleave_pace, permits_of_a_rate_are_not_given_twice)
{
    struct interleave x = {
        .name = "gcra", .setup = setup, .threads = {take_a, take_b, take_c}, .check = three_in_all};
    pass(&x);
}

static void take_and_give(void *ctx)
{
    (void)ctx;
    take(0, 2);
    if (got[0] == 0) return;
    gcra_give(&gcra, SECOND_NS, 1);
    got[0]--;
}

static bool what_was_given_back_is_there(void *ctx)
{
    (void)ctx;
    uint64_t used = (gcra.tat_ns - (START_NS - 2 * SECOND_NS)) / SECOND_NS;
    return used == got[0] + got[1] && used >= 2 && used <= 3;
}

Test(interleave_pace, what_is_given_back_is_not_lost)
{
    struct interleave x = {.name = "gcra, given back",
                           .setup = setup,
                           .threads = {take_and_give, take_b},
                           .check = what_was_given_back_is_there};
    pass(&x);
}

/* A longer interval before left a late TAT; both bring it back, and one goes. */
static void late_setup(void *ctx)
{
    setup(ctx);
    gcra.tat_ns = START_NS + 3600 * SECOND_NS;
}

static void soon_a(void *ctx)
{
    (void)ctx;
    uint64_t again_ns = 0;
    got[0] = gcra_take(&gcra, SECOND_NS, 0, START_NS, 1, &again_ns);
    INTERLEAVE_MUST(got[0] == 0 && again_ns <= START_NS + SECOND_NS);
}

static bool brought_back(void *ctx)
{
    (void)ctx;
    return gcra.tat_ns == START_NS + SECOND_NS;
}

Test(interleave_pace, a_late_tat_is_brought_back_once)
{
    struct interleave x = {.name = "gcra, brought back",
                           .setup = late_setup,
                           .threads = {soon_a, soon_a},
                           .check = brought_back};
    pass(&x);
}

/* While one brings it back the other does so too, and takes one when that is due. */
#define TENTH_NS (SECOND_NS / 10)

static void back_a(void *ctx)
{
    (void)ctx;
    uint64_t again_ns;
    (void)gcra_take(&gcra, TENTH_NS, TENTH_NS, START_NS, 1, &again_ns);
}

static void back_and_take_b(void *ctx)
{
    (void)ctx;
    uint64_t again_ns;
    (void)gcra_take(&gcra, TENTH_NS, TENTH_NS, START_NS, 1, &again_ns);
    got[1] = gcra_take(&gcra, TENTH_NS, TENTH_NS, START_NS + TENTH_NS, 1, &again_ns);
}

static bool taken_stays_taken(void *ctx)
{
    (void)ctx;
    return got[1] == 1 && gcra.tat_ns == START_NS + 2 * TENTH_NS;
}

Test(interleave_pace, bringing_back_undoes_no_grant)
{
    struct interleave x = {.name = "gcra, brought back and taken",
                           .setup = late_setup,
                           .threads = {back_a, back_and_take_b},
                           .check = taken_stays_taken};
    pass(&x);
}

/* ---- holds --------------------------------------------------------------------------------- */

static void hold_5(void *ctx) { (void)ctx, pace_hold(&pace, START_NS + 5 * SECOND_NS); }
static void hold_9(void *ctx) { (void)ctx, pace_hold(&pace, START_NS + 9 * SECOND_NS); }

/* A hint that finds the lock taken leaves its hold all the same. */
static void exhausted_7(void *ctx)
{
    (void)ctx;
    struct pace_hint h = {.refused = true,
                          .has_remaining = true,
                          .has_reset = true,
                          .reset_ns = 7 * SECOND_NS,
                          .reset_step_ns = 1,
                          .began_ns = START_NS - 1};
    pace_hinted(&pace, START_NS, &h, 1, UINT64_MAX);
}

static void refused(void *ctx) { (void)ctx, pace_refused(&pace, START_NS - 1, START_NS); }

static bool held_9(void *ctx)
{
    (void)ctx;
    return pace.held_ns == START_NS + 9 * SECOND_NS && pace.lock == 0;
}

Test(interleave_pace, the_longest_hold_stays)
{
    struct interleave x = {
        .name = "holds", .setup = setup, .threads = {hold_5, hold_9, exhausted_7}, .check = held_9};
    pass(&x);
}

static bool held_7(void *ctx)
{
    (void)ctx;
    return pace.held_ns >= START_NS + 7 * SECOND_NS && pace.held_ns < START_NS + 8 * SECOND_NS &&
           pace.lock == 0;
}

Test(interleave_pace, a_hold_needs_no_lock)
{
    struct interleave x = {.name = "hold beside the lock",
                           .setup = setup,
                           .threads = {exhausted_7, refused},
                           .check = held_7};
    pass(&x);
}

/* ---- counts -------------------------------------------------------------------------------- */

static void taken_setup(void *ctx)
{
    setup(ctx);
    pace.interval_ns = SECOND_NS; /* it has a limit, so that it counts */
    blind_of(&pace)->target_ns = SECOND_NS;
}

static void taken_2(void *ctx) { (void)ctx, pace_taken(&pace, START_NS, START_NS, 2); }
static void taken_3(void *ctx) { (void)ctx, pace_taken(&pace, START_NS, START_NS, 3); }

static bool seven_counted(void *ctx)
{
    (void)ctx;
    return blind_of(&pace)->count + pace.missed == 7 && pace.lock == 0;
}

Test(interleave_pace, no_taken_request_is_left_uncounted)
{
    struct interleave x = {.name = "taken",
                           .setup = taken_setup,
                           .threads = {taken_2, taken_2, taken_3},
                           .check = seven_counted};
    pass(&x);
}

/* Two that were refused in one round trip halve it once. */
static bool halved_once(void *ctx)
{
    (void)ctx;
    return pace.interval_ns == 2 * UINT64_C(1000000) && pace.lock == 0;
}

Test(interleave_pace, one_round_trip_halves_it_once)
{
    struct interleave x = {.name = "halved",
                           .setup = setup,
                           .threads = {refused, refused, refused},
                           .check = halved_once};
    pass(&x);
}
