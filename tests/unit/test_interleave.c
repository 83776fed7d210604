/* tests/unit/test_interleave.c - goal: the harness that tries every order of steps does try every
 * order, leaves out none that could end otherwise, and says which one failed.
 *
 * Method: numbers of schedules that can be counted by hand; a lost update and an endless loop that
 * it must find; and random small programs, whose outcomes over the schedules it runs must be the
 * same set as over all schedules.
 */
#include "tests/unit/interleave.h"

#include "core/base/prng.h"
#include "tests/unit/must.h"

#include <criterion/criterion.h>

static uint64_t cells[4], results[INTERLEAVE_THREADS];

static void zero(void *ctx)
{
    (void)ctx;
    memset(cells, 0, sizeof cells);
    memset(results, 0, sizeof results);
}

static void three_on_0(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < 3; i++) add_rlx(&cells[0], 1);
}

static void three_on_1(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < 3; i++) add_rlx(&cells[1], 1);
}

static bool all_six(void *ctx)
{
    (void)ctx;
    return cells[0] + cells[1] == 6;
}

Test(interleave, counts_of_schedules)
{
    struct interleave x = {.name = "two apart, all orders",
                           .setup = zero,
                           .threads = {three_on_0, three_on_1},
                           .check = all_six,
                           .all_orders = true};
    cr_assert(interleave_all(&x), "%s", x.why);
    cr_assert_eq(x.schedules, 20); /* 6 over 3 */
    cr_assert_eq(x.longest, 6);
    x.name = "two apart";
    x.all_orders = false;
    cr_assert(interleave_all(&x), "%s", x.why);
    cr_assert_eq(x.schedules, 1);
    x.name = "two on one";
    x.threads[1] = three_on_0;
    cr_assert(interleave_all(&x), "%s", x.why);
    cr_assert_eq(x.schedules, 20);
    cr_assert_eq(x.redundant, 0);
}

static void add_badly(void *ctx)
{
    (void)ctx;
    uint64_t seen = load_rlx(&cells[0]);
    store_rlx(&cells[0], seen + 1);
}

static bool none_lost(void *ctx)
{
    (void)ctx;
    return cells[0] == 2;
}

Test(interleave, finds_a_lost_update_and_replays_it)
{
    struct interleave x = {.name = "lost update",
                           .setup = zero,
                           .threads = {add_badly, add_badly},
                           .check = none_lost};
    cr_assert_not(interleave_all(&x));
    const char *schedule = strrchr(x.why, ' ') + 1;
    cr_assert_eq(strlen(schedule), 4);
    char only[8];
    memcpy(only, schedule, 5);
    x.only = only;
    cr_assert_not(interleave_all(&x), "the schedule does not fail again");
    cr_assert_eq(x.schedules, 1);
    x.only = "0011";
    cr_assert(interleave_all(&x), "one after the other loses nothing: %s", x.why);
}

static void wait_for_1(void *ctx)
{
    (void)ctx;
    while (load_acq(&cells[0]) == 0) continue;
    INTERLEAVE_MUST(cells[0] == 1);
}

static void set_to_1(void *ctx)
{
    (void)ctx;
    store_rel(&cells[0], UINT64_C(1));
}

static void set_to_2(void *ctx)
{
    (void)ctx;
    store_rel(&cells[0], UINT64_C(2));
}

Test(interleave, an_endless_wait_is_no_pass)
{
    struct interleave x = {
        .name = "waits", .setup = zero, .threads = {wait_for_1, set_to_1}, .steps_max = 50};
    cr_assert_not(interleave_all(&x));
    cr_assert(strstr(x.why, "steps_max"), "%s", x.why);
}

static void look_once(void *ctx)
{
    (void)ctx;
    uint64_t seen = load_acq(&cells[0]);
    INTERLEAVE_MUST(seen != 2);
}

Test(interleave, a_failure_inside_a_thread_is_told)
{
    struct interleave x = {
        .name = "sees 2", .setup = zero, .threads = {look_once, set_to_1, set_to_2}};
    cr_assert_not(interleave_all(&x));
    cr_assert(strstr(x.why, "seen != 2"), "%s", x.why);
    x.name = "too many schedules";
    x.threads[2] = set_to_1;
    x.schedules_max = 2;
    cr_assert_not(interleave_all(&x));
    cr_assert(strstr(x.why, "schedules_max"), "%s", x.why);
}

/* Random programs: each step reads, writes, adds or exchanges; a result folds in all it read. */
enum { STEPS = 4, OUTCOMES = 4096 };
static struct program {
    uint8_t what[INTERLEAVE_THREADS][STEPS], where[INTERLEAVE_THREADS][STEPS];
} program;
static uint64_t outcomes[2][OUTCOMES];
static uint32_t outcome_count[2];
static int side;

static void run_program(int self)
{
    uint64_t r = (uint64_t)self + 1;
    for (int i = 0; i < STEPS; i++) {
        uint64_t *cell = &cells[program.where[self][i]], old = r & 1;
        switch (program.what[self][i]) {
        case 0: r = r * 31 + load_acq(cell); break;
        case 1: store_rel(cell, r); break;
        case 2: r = r * 31 + add_rlx(cell, UINT64_C(1)); break;
        case 3: r = r * 31 + cas_acq_rel(cell, &old, r) + old; break;
        default: break; /* a shorter thread */
        }
    }
    results[self] = r;
}

static void program_0(void *ctx) { (void)ctx, run_program(0); }
static void program_1(void *ctx) { (void)ctx, run_program(1); }
static void program_2(void *ctx) { (void)ctx, run_program(2); }

static bool note_outcome(void *ctx)
{
    (void)ctx;
    uint64_t sum = 0;
    for (int i = 0; i < 4; i++) sum = sum * UINT64_C(0x9e3779b97f4a7c15) + cells[i];
    for (int i = 0; i < INTERLEAVE_THREADS; i++)
        sum = sum * UINT64_C(0x9e3779b97f4a7c15) + results[i];
    uint64_t *seen = outcomes[side];
    for (uint32_t i = 0; i < outcome_count[side]; i++)
        if (seen[i] == sum) return true;
    if (outcome_count[side] == OUTCOMES) return false;
    seen[outcome_count[side]++] = sum;
    return true;
}

static void same_outcomes(struct prng *p)
{
    struct interleave x = {.name = "random program",
                           .setup = zero,
                           .threads = {program_0, program_1, program_2},
                           .check = note_outcome};
    for (int t = 0; t < INTERLEAVE_THREADS; t++)
        for (int i = 0; i < STEPS; i++) {
            program.what[t][i] = t == 2 && i > 1 ? 4 : (uint8_t)prng_below(p, 4);
            program.where[t][i] = (uint8_t)prng_below(p, 3);
        }
    uint64_t runs[2];
    for (side = 0; side < 2; side++) {
        outcome_count[side] = 0;
        x.all_orders = side == 0;
        MUST(interleave_all(&x), "%s", x.why);
        runs[side] = x.schedules;
    }
    MUST(runs[0] == 3150, "10! / (4! 4! 2!) orders, not %" PRIu64, runs[0]);
    MUST(runs[1] <= runs[0]);
    MUST(outcome_count[0] == outcome_count[1], "%u outcomes in all, %u in those that were run",
         outcome_count[0], outcome_count[1]);
}

Test(interleave, leaves_out_no_outcome)
{
    struct prng p;
    prng_seed(&p, 7);
    for (int i = 0; i < 60; i++) same_outcomes(&p);
}
