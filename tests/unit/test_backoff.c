/* tests/unit/test_backoff.c - goal: a retry comes when delivery.md section 3 says, to the
 * nanosecond at both ends of the jitter, and never outside its window or behind its deadline,
 * whatever numbers come in.
 *
 * Method: the lowest and the highest draw give the ends of each range, known sums what must come
 * out; boundaries from both sides; random rules and cases against the rule written down again in
 * 128 bits.
 */
#include "sched/backoff.h"

#include "core/base/prng.h"
#include "tests/unit/must.h"

#include <criterion/criterion.h>

#define S     UINT64_C(1000000000)
#define NEVER UINT64_MAX

static struct retry_rules rules(void)
{
    struct retry_rules r;
    retry_rules_defaults(&r);
    return r;
}

static struct retry_case first_failure(void)
{
    return (struct retry_case){
        .attempts = 1, .first_ns = 1000 * S, .now_ns = 1001 * S, .deadline_ns = NEVER};
}

Test(backoff, defaults_are_the_contract)
{
    struct retry_rules r = rules();
    cr_assert_eq(r.retries, 5);
    cr_assert_eq(r.window_ns, 1800 * S);
    cr_assert_eq(r.unreachable_window_ns, 86400 * S);
    cr_assert_eq(r.answered.base_ns, 10 * S);
    cr_assert_eq(r.answered.factor_milli, 3000);
    cr_assert_eq(r.answered.cap_ns, 900 * S);
    cr_assert_eq(r.unreachable.base_ns, 60 * S);
    cr_assert_eq(r.unreachable.factor_milli, 4000);
    cr_assert_eq(r.unreachable.cap_ns, 21600 * S);
    cr_assert_not(r.at_most_once);
}

/* Before retry n: half of it with the lowest draw, all of it with the highest. */
static void delays_are(const struct backoff *b, const uint64_t *seconds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t full = seconds[i] * S;
        cr_assert_eq(backoff_delay_ns(b, i + 1, 0), full / 2, "retry %u", i + 1);
        cr_assert_eq(backoff_delay_ns(b, i + 1, UINT64_MAX), full, "retry %u", i + 1);
    }
}

Test(backoff, answered_10_30_90_270_810_then_the_cap)
{
    struct retry_rules r = rules();
    static const uint64_t seconds[] = {10, 30, 90, 270, 810, 900, 900};
    delays_are(&r.answered, seconds, 7);
}

Test(backoff, unreachable_1_4_16_64_256_minutes_then_6_hours)
{
    struct retry_rules r = rules();
    static const uint64_t seconds[] = {60, 240, 960, 3840, 15360, 21600, 21600};
    delays_are(&r.unreachable, seconds, 7);
}

/* The mean of uniform [5, 10] is 7.5; of 100,000 draws it is within 0.02 of that; each tenth of the
 * range gets a tenth of them. */
Test(backoff, jitter_is_uniform_in_the_upper_half)
{
    struct retry_rules r = rules();
    struct prng dice;
    prng_seed(&dice, 3);
    double sum = 0;
    uint32_t tenth[10] = {0};
    for (int i = 0; i < 100000; i++) {
        uint64_t d = backoff_delay_ns(&r.answered, 1, prng_u64(&dice));
        MUST(d >= 5 * S && d <= 10 * S);
        sum += (double)d / (double)S;
        uint64_t part = (d - 5 * S) * 10 / (5 * S + 1);
        tenth[part]++;
    }
    cr_assert_float_eq(sum / 100000, 7.5, 0.02);
    for (int i = 0; i < 10; i++) cr_assert(tenth[i] > 9600 && tenth[i] < 10400, "%u", tenth[i]);
}

Test(backoff, odd_numbers_do_no_harm)
{
    struct backoff zero = {0};
    cr_assert_eq(backoff_delay_ns(&zero, 1, UINT64_MAX), 0);
    struct backoff one = {.base_ns = 1, .cap_ns = 1, .factor_milli = 1000};
    cr_assert_eq(backoff_delay_ns(&one, 1, 0), 0);
    cr_assert_eq(backoff_delay_ns(&one, 1, UINT64_MAX), 1);
    struct backoff vast = {.base_ns = 1, .cap_ns = UINT64_MAX, .factor_milli = UINT32_MAX};
    cr_assert_eq(backoff_delay_ns(&vast, UINT32_MAX, UINT64_MAX), UINT64_MAX);
    cr_assert_eq(backoff_delay_ns(&vast, UINT32_MAX, 0), UINT64_MAX / 2);
    struct backoff base_over_cap = {.base_ns = 10, .cap_ns = 4, .factor_milli = 2000};
    cr_assert_eq(backoff_delay_ns(&base_over_cap, 1, UINT64_MAX), 4);
    /* A wait does not get shorter, and a search for the 4,000,000,000th ends at once. */
    struct backoff shrinks = {.base_ns = 8 * S, .cap_ns = 100 * S, .factor_milli = 500};
    cr_assert_eq(backoff_delay_ns(&shrinks, UINT32_MAX, UINT64_MAX), 8 * S);
    struct backoff level = {.base_ns = 8 * S, .cap_ns = 100 * S, .factor_milli = 1000};
    cr_assert_eq(backoff_delay_ns(&level, UINT32_MAX, UINT64_MAX), 8 * S);
    struct backoff slow = {.base_ns = 1000, .cap_ns = UINT64_MAX, .factor_milli = 1001};
    cr_assert_eq(backoff_delay_ns(&slow, UINT32_MAX, UINT64_MAX), UINT64_MAX);
}

Test(backoff, due_after_the_delay)
{
    struct retry_rules r = rules();
    struct retry_case c = first_failure();
    cr_assert_eq(retry_due_ns(&r, &c), c.now_ns + 5 * S);
    c.draw = UINT64_MAX;
    cr_assert_eq(retry_due_ns(&r, &c), c.now_ns + 10 * S);
    c.attempts = 3;
    cr_assert_eq(retry_due_ns(&r, &c), c.now_ns + 90 * S);
    c.unreachable = true;
    cr_assert_eq(retry_due_ns(&r, &c), c.now_ns + 960 * S);
}

Test(backoff, five_retries_and_no_more)
{
    struct retry_rules r = rules();
    struct retry_case c = first_failure();
    c.attempts = 5;
    cr_assert_neq(retry_due_ns(&r, &c), 0);
    c.attempts = 6;
    cr_assert_eq(retry_due_ns(&r, &c), 0);
    c.unreachable = true;
    cr_assert_eq(retry_due_ns(&r, &c), 0);
    r.retries = 0;
    c.attempts = 1;
    cr_assert_eq(retry_due_ns(&r, &c), 0);
}

/* The delay of the highest draw ends exactly with the window, one nanosecond later it is over. */
Test(backoff, not_after_the_window)
{
    struct retry_rules r = rules();
    struct retry_case c = first_failure();
    c.draw = UINT64_MAX;
    c.now_ns = c.first_ns + 1790 * S;
    cr_assert_eq(retry_due_ns(&r, &c), c.first_ns + 1800 * S);
    c.now_ns++;
    cr_assert_eq(retry_due_ns(&r, &c), 0);
    c.unreachable = true; /* the class of the last failure decides */
    cr_assert_eq(retry_due_ns(&r, &c), c.now_ns + 60 * S);
    c.now_ns = c.first_ns + 86340 * S;
    cr_assert_eq(retry_due_ns(&r, &c), c.first_ns + 86400 * S);
    c.now_ns++;
    cr_assert_eq(retry_due_ns(&r, &c), 0);
}

Test(backoff, not_after_the_deadline)
{
    struct retry_rules r = rules();
    struct retry_case c = first_failure();
    c.deadline_ns = c.now_ns + 5 * S;
    cr_assert_eq(retry_due_ns(&r, &c), c.deadline_ns);
    c.deadline_ns--;
    cr_assert_eq(retry_due_ns(&r, &c), 0);
}

/* A hint makes the wait longer, never shorter, and up to 10 % longer than it says. */
Test(backoff, hint_is_the_least_wait)
{
    struct retry_rules r = rules();
    struct retry_case c = first_failure();
    c.draw = UINT64_MAX;
    c.hint_ns = 10 * S - 1;
    cr_assert_eq(retry_due_ns(&r, &c), c.now_ns + 10 * S);
    struct prng dice;
    prng_seed(&dice, 4);
    c.hint_ns = 100 * S;
    uint64_t least = NEVER, most = 0;
    for (int i = 0; i < 100000; i++) {
        c.draw = prng_u64(&dice);
        uint64_t wait = retry_due_ns(&r, &c) - c.now_ns;
        MUST(wait >= 100 * S && wait <= 110 * S);
        if (wait < least) least = wait;
        if (wait > most) most = wait;
    }
    cr_assert(least < 100 * S + S / 100 && most > 110 * S - S / 100);
}

/* A hint between the ends of the jitter is chosen for low draws only; what comes on top of it must
 * be spread over its whole range all the same. */
Test(backoff, hint_has_dice_of_its_own)
{
    struct retry_rules r = rules();
    struct retry_case c = first_failure();
    struct prng dice;
    prng_seed(&dice, 5);
    c.hint_ns = 6 * S;
    double sum = 0;
    uint32_t count = 0;
    for (int i = 0; i < 100000; i++) {
        c.draw = prng_u64(&dice);
        if (backoff_delay_ns(&r.answered, 1, c.draw) > c.hint_ns) continue;
        sum += (double)(retry_due_ns(&r, &c) - c.now_ns - c.hint_ns) / (double)S;
        count++;
    }
    cr_assert(count > 19000 && count < 21000);
    cr_assert_float_eq(sum / count, 0.3, 0.01);
}

Test(backoff, hint_beyond_the_window_is_exhausted)
{
    struct retry_rules r = rules();
    struct retry_case c = first_failure();
    c.hint_ns = 1800 * S;
    cr_assert_eq(retry_due_ns(&r, &c), 0);
    c.hint_ns = UINT64_MAX;
    cr_assert_eq(retry_due_ns(&r, &c), 0);
    r.window_ns = UINT64_MAX; /* and "never" is after any window */
    cr_assert_eq(retry_due_ns(&r, &c), 0);
}

/* 0 means not at all, so a retry at the clock's very start is told as 1. */
Test(backoff, due_is_never_zero)
{
    struct retry_rules r = rules();
    r.answered.base_ns = 0;
    struct retry_case c = {.attempts = 1, .deadline_ns = NEVER};
    cr_assert_eq(retry_due_ns(&r, &c), 1);
}

Test(backoff, expiry)
{
    struct retry_rules r = rules();
    cr_assert_eq(retry_expiry_ns(&r, false, true, 7 * S, NEVER), 1807 * S);
    cr_assert_eq(retry_expiry_ns(&r, true, true, 7 * S, NEVER), 86407 * S);
    /* Not tried: the longer of both, whichever that is. */
    cr_assert_eq(retry_expiry_ns(&r, false, false, 7 * S, NEVER), 86407 * S);
    r.window_ns = 100000 * S;
    cr_assert_eq(retry_expiry_ns(&r, true, false, 7 * S, NEVER), 100007 * S);
    cr_assert_eq(retry_expiry_ns(&r, true, true, 7 * S, 86406 * S), 86406 * S);
    cr_assert_eq(retry_expiry_ns(&r, true, true, 7 * S, 86408 * S), 86407 * S);
    r.window_ns = UINT64_MAX;
    cr_assert_eq(retry_expiry_ns(&r, false, true, 7 * S, NEVER), NEVER);
}

/* The rule once more: the range in which a due time must lie. */
static void referee(const struct retry_rules *r, const struct retry_case *c)
{
    typedef unsigned __int128 wide;
    const struct backoff *b = c->unreachable ? &r->unreachable : &r->answered;
    wide full = b->base_ns;
    for (uint32_t i = 1; i < c->attempts && full < b->cap_ns; i++)
        full = full * b->factor_milli / 1000;
    if (full > b->cap_ns) full = b->cap_ns;
    wide least = full / 2, most = full, hint = c->hint_ns;
    if (hint > most) most = hint;
    if (hint > 0 && hint + hint / 10 > most && hint >= least) most = hint + hint / 10;
    if (hint > least) least = hint;
    wide end = (wide)c->first_ns + (c->unreachable ? r->unreachable_window_ns : r->window_ns);
    if (end > c->deadline_ns) end = c->deadline_ns;
    uint64_t due = retry_due_ns(r, c);
    if (due == 0) {
        MUST(c->attempts > r->retries || (wide)c->now_ns + most > end);
        return;
    }
    MUST(c->attempts <= r->retries);
    MUST(due >= c->now_ns + least && due <= c->now_ns + most && due <= end);
}

Test(backoff, any_rules_any_case)
{
    struct prng dice;
    prng_seed(&dice, 6);
    for (int i = 0; i < 1000000; i++) {
        struct retry_rules r = {
            .retries = (uint32_t)prng_below(&dice, 12),
            .window_ns = prng_u64(&dice) >> prng_below(&dice, 40),
            .unreachable_window_ns = prng_u64(&dice) >> prng_below(&dice, 40),
            .answered = {.base_ns = prng_u64(&dice) >> (20 + prng_below(&dice, 44)),
                         .cap_ns = prng_u64(&dice) >> prng_below(&dice, 64),
                         .factor_milli = 1000 + (uint32_t)prng_below(&dice, 9000)},
        };
        r.unreachable = r.answered;
        r.unreachable.cap_ns = prng_u64(&dice) >> prng_below(&dice, 64);
        struct retry_case c = {
            .unreachable = prng_percent(&dice, 50),
            .attempts = 1 + (uint32_t)prng_below(&dice, 12),
            .first_ns = prng_u64(&dice) >> (1 + prng_below(&dice, 30)),
            .deadline_ns = prng_percent(&dice, 50) ? NEVER : prng_u64(&dice),
            .hint_ns = prng_percent(&dice, 50) ? 0 : prng_u64(&dice) >> prng_below(&dice, 64),
            .draw = prng_u64(&dice),
        };
        c.now_ns = c.first_ns + (prng_u64(&dice) >> (2 + prng_below(&dice, 50)));
        referee(&r, &c);
    }
}
