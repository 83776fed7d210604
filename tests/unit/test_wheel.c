/* tests/unit/test_wheel.c - goal: no timer is lost, fires early, fires twice, or more than a tick
 * late, however arms, cancels and jumps of time mix; a sleeper who trusts wheel_next_ns() misses
 * nothing and is not woken for ever.
 *
 * Method: random operations on the wheel and on a sorted array of (tick, timer) at once, which
 * must give the same set at every advance; wheel_validate() along the way. Then chosen cases.
 */
#include "sched/wheel.h"

#include "core/base/prng.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { TIMERS = 300 };
#define SECOND_NS UINT64_C(1000000000)
#define HOUR_NS   (3600 * SECOND_NS)
#define YEAR_NS   (8766 * HOUR_NS)

struct timer {
    struct wheel_node node;
    bool armed; /* by the referee's books */
};

/* The referee: ticks in ascending order, and whose they are. */
struct entry {
    uint64_t tick;
    uint32_t timer;
};

struct pair {
    struct wheel wheel;
    struct timer timers[TIMERS];
    struct entry sorted[TIMERS];
    uint32_t count;
    uint64_t now_ns;
};

static uint64_t tick_up(uint64_t ns) { return ns / WHEEL_TICK_NS + (ns % WHEEL_TICK_NS > 0); }

static void pair_arm(struct pair *p, uint32_t timer, uint64_t due_ns)
{
    uint64_t tick = tick_up(due_ns);
    uint32_t at = p->count;
    while (at > 0 && p->sorted[at - 1].tick > tick) {
        p->sorted[at] = p->sorted[at - 1];
        at--;
    }
    p->sorted[at] = (struct entry){tick, timer};
    p->count++;
    p->timers[timer].armed = true;
    wheel_arm(&p->wheel, &p->timers[timer].node, due_ns);
}

static void pair_forget(struct pair *p, uint32_t timer)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->count; i++)
        if (p->sorted[i].timer != timer) p->sorted[kept++] = p->sorted[i];
    cr_assert_eq(kept + 1, p->count);
    p->count = kept;
    p->timers[timer].armed = false;
}

static void pair_cancel(struct pair *p, uint32_t timer)
{
    wheel_cancel(&p->wheel, &p->timers[timer].node);
    cr_assert_not(wheel_armed(&p->timers[timer].node));
    if (p->timers[timer].armed) pair_forget(p, timer);
}

static void pair_advance(struct pair *p, uint64_t now_ns)
{
    p->now_ns = now_ns;
    wheel_advance(&p->wheel, now_ns);
}

/* Takes up to `budget` expired timers; with budget to spare, all that are due must have come. */
static void pair_drain(struct pair *p, uint32_t budget)
{
    uint64_t now_tick = p->now_ns / WHEEL_TICK_NS;
    for (; budget > 0; budget--) {
        struct wheel_node *n = wheel_expired(&p->wheel);
        if (n == NULL) break;
        struct timer *t = (struct timer *)n;
        cr_assert(t->armed, "a timer fired that was not armed");
        cr_assert_not(wheel_armed(n));
        cr_assert_leq(n->due_ns, p->now_ns, "early");
        pair_forget(p, (uint32_t)(t - p->timers));
    }
    if (budget > 0 && p->count > 0)
        cr_assert_gt(p->sorted[0].tick, now_tick, "due at tick %" PRIu64 ", not fired at %" PRIu64,
                     p->sorted[0].tick, now_tick);
}

/* A lower bound for every timer, ahead of now unless one is due. */
static void pair_check_next(const struct pair *p)
{
    uint64_t next_ns = wheel_next_ns(&p->wheel);
    if (p->count == 0) {
        cr_assert_eq(next_ns, WHEEL_NEVER);
        return;
    }
    uint64_t first = p->sorted[0].tick, now_tick = p->now_ns / WHEEL_TICK_NS;
    if (first <= now_tick) cr_assert_leq(next_ns, p->now_ns);
    else if (next_ns == WHEEL_NEVER) cr_assert_gt(first, UINT64_MAX / WHEEL_TICK_NS);
    else cr_assert(next_ns / WHEEL_TICK_NS <= first && next_ns > p->now_ns);
}

/* Spans of time of every order of magnitude, from less than a tick to decades. */
static uint64_t draw_ns(struct prng *dice)
{
    switch (prng_below(dice, 8)) {
    case 0: return prng_below(dice, 4);
    case 1: return prng_below(dice, WHEEL_TICK_NS);
    case 2: return prng_below(dice, 8) * WHEEL_TICK_NS;
    case 3: return prng_below(dice, 90 * SECOND_NS);
    case 4: return prng_below(dice, HOUR_NS);
    case 5: return prng_below(dice, 100 * HOUR_NS);
    case 6: return prng_below(dice, 30 * YEAR_NS);
    default: return UINT64_C(1) << prng_below(dice, 60);
    }
}

static void pair_step(struct pair *p, struct prng *dice, uint32_t reach)
{
    uint32_t timer = (uint32_t)prng_below(dice, TIMERS);
    uint64_t span = draw_ns(dice) >> prng_below(dice, reach);
    switch (prng_below(dice, 10)) {
    case 0: /* a time in the past, and the ends of time */
        if (p->timers[timer].armed) pair_cancel(p, timer);
        if (prng_percent(dice, 80)) span = p->now_ns - span % (p->now_ns + 1);
        else span = prng_percent(dice, 50) ? 0 : UINT64_MAX - span;
        pair_arm(p, timer, span);
        break;
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
        if (p->timers[timer].armed) pair_cancel(p, timer);
        pair_arm(p, timer, p->now_ns + span);
        break;
    case 6:
    case 7: pair_cancel(p, timer); break;
    case 8:
        pair_advance(p, p->now_ns + span);
        pair_drain(p, prng_percent(dice, 70) ? UINT32_MAX : (uint32_t)prng_below(dice, 5));
        break;
    default: /* what a sleeper would do */
        span = wheel_next_ns(&p->wheel);
        if (span < p->now_ns || span - p->now_ns > YEAR_NS) span = p->now_ns;
        pair_advance(p, span);
        pair_drain(p, (uint32_t)prng_below(dice, 3));
        break;
    }
}

Test(wheel, does_what_a_sorted_array_does)
{
    struct pair *p = calloc(1, sizeof *p);
    struct prng dice;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        prng_seed(&dice, seed);
        memset(p, 0, sizeof *p);
        p->now_ns = draw_ns(&dice);
        wheel_init(&p->wheel, p->now_ns);
        uint32_t reach = 1 + (uint32_t)prng_below(&dice, 40); /* some seeds stay in one second */
        for (int step = 0; step < 2000 && p->now_ns < 400 * YEAR_NS; step++) {
            pair_step(p, &dice, reach);
            cr_assert_eq(p->wheel.count, p->count);
            pair_check_next(p);
            if (step % 16 == 0) wheel_validate(&p->wheel);
        }
        for (uint32_t i = 0; i < TIMERS; i++) pair_cancel(p, i);
        wheel_validate(&p->wheel);
        cr_assert_eq(p->wheel.count, 0);
        cr_assert_eq(wheel_next_ns(&p->wheel), WHEEL_NEVER);
    }
    free(p);
}

Test(wheel, a_sleeper_reaches_every_timer_in_few_steps)
{
    static struct wheel w;
    static struct wheel_node nodes[200];
    struct prng dice;
    prng_seed(&dice, 7);
    uint64_t now_ns = 5 * HOUR_NS + 12345;
    wheel_init(&w, now_ns);
    for (int i = 0; i < 200; i++) wheel_arm(&w, &nodes[i], now_ns + draw_ns(&dice));
    int steps = 0, fired = 0;
    while (fired < 200) {
        uint64_t next_ns = wheel_next_ns(&w);
        cr_assert_neq(next_ns, WHEEL_NEVER);
        if (next_ns > now_ns) now_ns = next_ns;
        wheel_advance(&w, now_ns);
        for (struct wheel_node *n; (n = wheel_expired(&w)) != NULL; fired++) {
            cr_assert_leq(n->due_ns, now_ns);
            cr_assert_lt(now_ns - n->due_ns, 2 * WHEEL_TICK_NS);
        }
        steps++;
        cr_assert_leq(steps, 200 * WHEEL_LEVELS);
    }
    wheel_validate(&w);
}

/* Exactly one tick of lateness, no earliness, at every distance in ns around tick borders. */
Test(wheel, borders_of_ticks)
{
    static struct wheel w;
    for (uint64_t level = 0; level < 7; level++) {
        for (int64_t off = -2; off <= 2; off++) {
            uint64_t due_ns = (WHEEL_TICK_NS << (6 * level)) + (uint64_t)off;
            uint64_t fires_ns = tick_up(due_ns) * WHEEL_TICK_NS;
            struct wheel_node n = {0};
            wheel_init(&w, 1);
            wheel_arm(&w, &n, due_ns);
            wheel_advance(&w, fires_ns - 1);
            cr_assert_null(wheel_expired(&w));
            wheel_validate(&w);
            wheel_advance(&w, fires_ns);
            cr_assert_eq(wheel_expired(&w), &n);
        }
    }
}

Test(wheel, a_handler_that_arms_for_the_past_does_not_spin)
{
    static struct wheel w;
    struct wheel_node n = {0};
    wheel_init(&w, HOUR_NS);
    wheel_arm(&w, &n, 3);
    cr_assert_null(wheel_expired(&w), "only after an advance");
    cr_assert_leq(wheel_next_ns(&w), HOUR_NS);
    for (int turn = 0; turn < 3; turn++) {
        wheel_advance(&w, HOUR_NS); /* time need not move */
        cr_assert_eq(wheel_expired(&w), &n);
        wheel_arm(&w, &n, 3);
        cr_assert_null(wheel_expired(&w));
        wheel_validate(&w);
    }
}

Test(wheel, what_a_budget_leaves_comes_first_and_can_be_cancelled)
{
    static struct wheel w;
    struct wheel_node a = {0}, b = {0}, c = {0};
    wheel_init(&w, 0);
    wheel_arm(&w, &a, SECOND_NS);
    wheel_arm(&w, &b, 2 * SECOND_NS);
    wheel_arm(&w, &c, 3 * SECOND_NS);
    wheel_advance(&w, 2 * SECOND_NS + WHEEL_TICK_NS);
    cr_assert_eq(wheel_next_ns(&w) / SECOND_NS, 2);
    cr_assert_eq(wheel_expired(&w), &a);
    wheel_advance(&w, 4 * SECOND_NS);
    cr_assert_eq(w.count, 2);
    wheel_validate(&w);
    wheel_cancel(&w, &b);
    wheel_cancel(&w, &b); /* a second time is nothing */
    cr_assert_eq(wheel_expired(&w), &c);
    cr_assert_null(wheel_expired(&w));
    cr_assert_eq(w.count, 0);
    wheel_validate(&w);
}

/* They lie in one slot of a high level until time enters it. No call may take long: what it does is
 * bounded by WHEEL_MOVES and by what the caller takes out. */
Test(wheel, a_million_timers_in_one_millisecond)
{
    enum { MANY = 1000000, TAKEN = 2048, TURNS = 1 + MANY / TAKEN };
    static struct wheel w;
    struct wheel_node *nodes = calloc(MANY, sizeof *nodes), *n;
    wheel_init(&w, SECOND_NS);
    for (int i = 0; i < MANY; i++) wheel_arm(&w, &nodes[i], HOUR_NS + (uint64_t)(i % 1000));
    wheel_validate(&w);
    for (int i = 0; i < MANY; i += 2) wheel_cancel(&w, &nodes[i]);
    wheel_advance(&w, HOUR_NS - 1);
    cr_assert_null(wheel_expired(&w));
    uint64_t now_ns = HOUR_NS + 2 * WHEEL_TICK_NS;
    int fired = 0, turns = 0;
    while (w.count > 0) {
        cr_assert_leq(wheel_next_ns(&w), now_ns + 2 * WHEEL_TICK_NS, "a sleeper would be late");
        wheel_advance(&w, now_ns);
        for (int i = 0; i < TAKEN && (n = wheel_expired(&w)) != NULL; i++) fired++;
        if (++turns % 50 == 0) wheel_validate(&w);
        cr_assert_leq(turns, TURNS, "it goes on and on");
    }
    cr_assert_eq(fired, MANY / 2);
    free(nodes);
}

/* Time enters a slot of a million that are due later, each at its own time: they move down in
 * parts, none fires early, and those that were not moved yet can be cancelled. */
Test(wheel, a_crowd_moves_down_in_parts)
{
    enum { MANY = 1000000 };
    static struct wheel w;
    struct wheel_node *nodes = calloc(MANY, sizeof *nodes), *n;
    uint64_t now_ns = HOUR_NS, count = MANY;
    wheel_init(&w, SECOND_NS);
    for (uint64_t i = 0; i < MANY; i++) wheel_arm(&w, &nodes[i], HOUR_NS + i * 200000);
    wheel_advance(&w, now_ns);
    uint64_t moved = 0;
    for (const struct wheel_node *m = w.moving.next; m != &w.moving; m = m->next) moved++;
    cr_assert_eq(moved, MANY - WHEEL_MOVES, "no crowd: %" PRIu64 " wait", moved);
    for (int i = MANY / 2; i < MANY; i += 2) {
        wheel_cancel(&w, &nodes[i]);
        count--;
    }
    wheel_validate(&w);
    for (int turn = 0; w.count > 0; turn++) {
        while ((n = wheel_expired(&w)) != NULL) {
            if (n->due_ns > now_ns || now_ns - n->due_ns > SECOND_NS)
                cr_assert_fail("due at %" PRIu64 ", fired at %" PRIu64, n->due_ns, now_ns);
            count--;
        }
        uint64_t next_ns = wheel_next_ns(&w);
        if (next_ns > now_ns) now_ns = next_ns;
        wheel_advance(&w, now_ns);
        cr_assert(turn < 10 * MANY);
    }
    cr_assert_eq(count, 0);
    free(nodes);
}

/* A jump of 500 years with an empty or a sparse wheel must not walk ticks: it would take days. */
Test(wheel, jumps_cost_nothing)
{
    static struct wheel w;
    struct wheel_node n = {0}, never = {0};
    wheel_init(&w, 0);
    wheel_arm(&w, &n, 499 * YEAR_NS);
    wheel_arm(&w, &never, UINT64_MAX);
    wheel_advance(&w, 500 * YEAR_NS);
    cr_assert_eq(wheel_expired(&w), &n);
    wheel_advance(&w, UINT64_MAX);
    cr_assert_null(wheel_expired(&w), "the last tick never ends");
    wheel_validate(&w);
    wheel_cancel(&w, &never);
    cr_assert_eq(w.count, 0);
}
