/* sched/backoff.c - delays, windows and the last moment of a retry; see backoff.h.
 *
 * Every sum saturates: a time beyond the end of the clock is "never", later than any window or
 * deadline.
 */
#include "sched/backoff.h"

#include "core/base/check.h"

#define SECOND_NS UINT64_C(1000000000)

void retry_rules_defaults(struct retry_rules *r)
{
    *r = (struct retry_rules){
        .retries = 5,
        .window_ns = 30 * 60 * SECOND_NS,
        .unreachable_window_ns = 24 * 3600 * SECOND_NS,
        .answered = {.base_ns = 10 * SECOND_NS,
                     .cap_ns = 15 * 60 * SECOND_NS,
                     .factor_milli = 3000},
        .unreachable = {.base_ns = 60 * SECOND_NS,
                        .cap_ns = 6 * 3600 * SECOND_NS,
                        .factor_milli = 4000},
    };
}

static uint64_t add_sat(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Uniform in [0, top], of 64 random bits. */
static uint64_t spread(uint64_t draw, uint64_t top)
{
    return (uint64_t)(((unsigned __int128)draw * ((unsigned __int128)top + 1)) >> 64);
}

/* Other random bits from the same draw, so that two choices made of it do not lean on each other
 * (the finaliser of splitmix64). */
static uint64_t redraw(uint64_t draw)
{
    draw = (draw ^ (draw >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    draw = (draw ^ (draw >> 27)) * UINT64_C(0x94d049bb133111eb);
    return draw ^ (draw >> 31);
}

/* min(cap, base * factor^(n-1)). A factor below 1 counts as 1: a wait never gets shorter. The loop
 * ends when the cap is reached, at the latest after as many steps as a factor of 1.001 needs from
 * 1,000 ns to 2^64 ns: about 38,000. */
static uint64_t delay_full_ns(const struct backoff *b, uint32_t n)
{
    uint64_t delay = smaller(b->base_ns, b->cap_ns);
    for (uint32_t i = 1; i < n && delay < b->cap_ns; i++) {
        unsigned __int128 longer = (unsigned __int128)delay * b->factor_milli / 1000;
        if (longer <= delay) break;
        delay = longer < b->cap_ns ? (uint64_t)longer : b->cap_ns;
    }
    return delay;
}

uint64_t backoff_delay_ns(const struct backoff *b, uint32_t n, uint64_t draw)
{
    CHECK(n > 0);
    uint64_t delay = delay_full_ns(b, n);
    uint64_t least = delay / 2;
    return least + spread(draw, delay - least);
}

uint64_t retry_due_ns(const struct retry_rules *r, const struct retry_case *c)
{
    CHECK(c->attempts > 0);
    if (c->attempts > r->retries) return 0;
    const struct backoff *b = c->unreachable ? &r->unreachable : &r->answered;
    uint64_t wait = backoff_delay_ns(b, c->attempts, c->draw);
    if (c->hint_ns > 0 && c->hint_ns >= wait)
        wait = add_sat(c->hint_ns, spread(redraw(c->draw), c->hint_ns / 10));
    uint64_t due = larger(add_sat(c->now_ns, wait), 1); /* 0 has another meaning */
    uint64_t end = retry_expiry_ns(r, c->unreachable, true, c->first_ns, c->deadline_ns);
    return due > end || due == UINT64_MAX ? 0 : due;
}

uint64_t retry_expiry_ns(const struct retry_rules *r, bool unreachable, bool tried,
                         uint64_t since_ns, uint64_t deadline_ns)
{
    uint64_t window = unreachable ? r->unreachable_window_ns : r->window_ns;
    if (!tried) window = larger(r->window_ns, r->unreachable_window_ns);
    return smaller(add_sat(since_ns, window), deadline_ns);
}
