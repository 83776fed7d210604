/* sched/pace_blind.c - the pace for a receiver that says little; see pace_blind.h.
 */
#include "sched/pace_blind.h"

#include "core/base/check.h"

#include <stddef.h>

#define MS_NS     UINT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)
#define DAY_NS    (86400 * SECOND_NS)

#define GUARD_NS   (20 * MS_NS)  /* after a reset, before the first request */
#define PROBE_NS   (100 * MS_NS) /* between requests after a hold, until one is answered */
#define UNKNOWN_NS (1 * MS_NS)   /* the pace before the first cut, where nothing was measured */
#define FREE_NS    (2000)        /* a pace so fast is none */
/* Slower is what holds are for: the pace need not be, and would be so long after nonsense. */
#define TARGET_MAX_NS (10 * SECOND_NS)
#define SLICE_NS      (100 * MS_NS)     /* of what goes through while there is no limit */
#define MEMORY_NS     (60 * SECOND_NS)  /* what was taken longer ago tells nothing of a window */
#define FORGET_NS     (600 * SECOND_NS) /* without a refusal: the limit is dropped */
#define CYCLE_NS      (1 * SECOND_NS)   /* shorter ones are not told from a burst */

enum { SHORT_HOLDS_MAX = 6, PATIENCE = 10, CLIMB_MAX = 5, FEW = 20 };

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* A window's length from a cycle's: windows are whole seconds, and round numbers of them where that
 * fits what rounding may have added (a point in time rounded up, less a Date rounded down: 2 s) or
 * taken away. open_ns: so far into the cycle the window was still open. */
static uint64_t window_guess(uint64_t length_ns, uint64_t open_ns)
{
    static const uint32_t round[] = {3600, 1800, 900, 600, 300, 60, 30, 20, 15, 10, 5};
    uint64_t least_ns =
        length_ns > 2 * SECOND_NS + 5 * GUARD_NS ? length_ns - 2 * SECOND_NS - 5 * GUARD_NS : 0;
    uint64_t least = max_u64(least_ns, open_ns) / SECOND_NS + 1;
    uint64_t most = (length_ns + SECOND_NS) / SECOND_NS;
    for (size_t i = 0; i < sizeof round / sizeof round[0]; i++)
        if (most / round[i] * round[i] >= least) return most / round[i] * round[i] * SECOND_NS;
    return max_u64(length_ns / SECOND_NS, least) * SECOND_NS;
}

/* A request that began at began_ns was refused. */
static void blocked(struct pace_blind *b, uint64_t began_ns, uint64_t now_ns)
{
    if (b->blocked_ns == 0) {
        b->blocked_ns = now_ns;
        b->refused_ns = 0;
        b->cliff = b->count;
    }
    b->refused_ns = max_u64(b->refused_ns, began_ns);
}

/* Longest time between requests while it refuses: a probe a second, fewer when it goes on. */
static uint64_t probe_ns(const struct pace_blind *b, uint64_t now_ns)
{
    return min_u64(max_u64((now_ns - b->blocked_ns) / 8, SECOND_NS), MEMORY_NS);
}

uint64_t pace_blind_refused(struct pace_blind *b, uint64_t began_ns, uint64_t now_ns,
                            uint64_t interval_ns)
{
    CHECK_HOT(began_ns <= now_ns);
    blocked(b, began_ns, now_ns);
    b->rtt_ns = (uint32_t)min_u64(now_ns - began_ns, 4 * SECOND_NS);
    if (began_ns < b->cut_ns) return interval_ns;
    b->cut_ns = now_ns;
    if (interval_ns == 0) interval_ns = b->rate_ns > 0 ? b->rate_ns : UNKNOWN_NS;
    return max_u64(min_u64(2 * interval_ns, probe_ns(b, now_ns)), 1);
}

uint64_t pace_blind_exhausted(struct pace_blind *b, uint64_t now_ns, const struct pace_hint *h,
                              uint64_t interval_ns, uint64_t held_ns, uint64_t *hold_ns)
{
    if (b->blocked_ns != 0 && b->held && held_ns <= now_ns && b->short_holds < SHORT_HOLDS_MAX)
        b->short_holds++;
    blocked(b, h->began_ns, now_ns);
    b->held = true;
    if (h->has_limit) b->limit = (uint32_t)min_u64(h->limit, UINT32_MAX);
    *hold_ns = now_ns + min_u64(h->reset_ns, DAY_NS) + (GUARD_NS << b->short_holds);
    b->held_ns = max_u64(b->held_ns, *hold_ns);
    return max_u64(interval_ns, PROBE_NS);
}

/* What the window lets through on average, as far as it is known. One refusal after a few requests
 * may have any reason; two are a quota. */
static void window_learn(struct pace_blind *b)
{
    if (b->began_ns == 0 || b->count == 0 || b->held_ns <= b->began_ns) return;
    if (b->count < FEW && !b->warned) {
        b->warned = true;
        return;
    }
    uint64_t length_ns = window_guess(b->held_ns - b->began_ns, b->blocked_ns - b->began_ns);
    uint32_t count = b->limit > b->count && !b->windowed ? b->limit : b->count;
    b->target_ns = min_u64(length_ns / count, TARGET_MAX_NS);
    b->target_ns += b->target_ns / 400 + 1;
    b->windowed = true;
}

static void cycle_begin(struct pace_blind *b, uint64_t began_ns, uint32_t n)
{
    b->began_ns = began_ns;
    b->count = n;
    b->burst = false;
}

/* The cycle's average becomes the target, where it can be trusted. */
static void cycle_close(struct pace_blind *b, uint64_t now_ns, uint32_t n)
{
    uint64_t end_ns = b->held ? b->held_ns : now_ns;
    uint64_t length_ns = end_ns > b->began_ns ? end_ns - b->began_ns : 0;
    if (b->began_ns == 0 || b->count == 0) {
        cycle_begin(b, now_ns, n);
    } else if (b->held) {
        window_learn(b);
        cycle_begin(b, now_ns, n);
    } else if (length_ns >= CYCLE_NS) {
        b->target_ns = length_ns / b->count * 20 / 19 + 1;
        b->windowed = false;
        cycle_begin(b, now_ns, n);
    } else if (b->burst) { /* that with which it began tells little */
        cycle_begin(b, b->blocked_ns, n);
    } else {
        if (length_ns >= CYCLE_NS / 4 && b->target_ns != 0)
            b->target_ns = length_ns / b->count * 20 / 19 + 1;
        b->count += n;
    }
}

static uint64_t recovered(struct pace_blind *b, uint64_t now_ns, uint32_t n, uint64_t interval_ns)
{
    if (b->held && now_ns > b->held_ns)
        b->rtt_ns = (uint32_t)min_u64(now_ns - b->held_ns, SECOND_NS);
    cycle_close(b, now_ns, n);
    b->blocked_ns = 0;
    b->short_holds = 0;
    b->held = b->proven = false;
    b->raised_ns = now_ns;
    if (b->target_ns == 0) return interval_ns;
    return max_u64(b->target_ns, min_u64(interval_ns, 4 * b->target_ns));
}

/* No limit: measure, in case one must be set. */
static void measure(struct pace_blind *b, uint64_t now_ns, uint32_t n)
{
    if (b->began_ns == 0 || now_ns - b->began_ns > MEMORY_NS) {
        cycle_begin(b, now_ns, 0);
        b->raised_ns = now_ns;
        b->slice = 0;
    }
    b->burst = true;
    b->count += n;
    b->slice = (uint16_t)min_u64((uint64_t)b->slice + n, UINT16_MAX);
    uint64_t slice_ns = now_ns - b->raised_ns;
    if (slice_ns < SLICE_NS) return;
    b->rate_ns = (uint32_t)min_u64(slice_ns / b->slice, UINT32_MAX);
    b->raised_ns = now_ns;
    b->slice = 0;
}

/* A window whose length is a guess is taken to be over when more goes through than in the one
 * before: the first request beyond it goes alone. */
static uint64_t at_cliff(struct pace_blind *b, uint64_t interval_ns)
{
    if (!b->windowed || b->proven) return interval_ns;
    if (b->count > b->cliff) {
        b->proven = true;
        return max_u64(b->target_ns, 1);
    }
    uint64_t on_way = b->rtt_ns / b->target_ns + 1;
    if (b->count + on_way < b->cliff) return interval_ns;
    return max_u64(b->target_ns, min_u64(max_u64(b->rtt_ns, GUARD_NS), 2 * PROBE_NS));
}

/* Above the target, in steps that grow as long as nothing is refused. */
static uint64_t climb(struct pace_blind *b, uint64_t now_ns, uint64_t interval_ns)
{
    uint64_t since_ns = now_ns - b->began_ns, every_ns = SECOND_NS, steps;
    if (b->windowed) {
        every_ns = max_u64(b->target_ns * b->cliff, SECOND_NS);
        if (since_ns < PATIENCE * every_ns) return interval_ns;
        steps = 2 + since_ns / every_ns - PATIENCE;
    } else {
        steps = since_ns / (20 * every_ns);
    }
    if (now_ns - b->raised_ns < every_ns) return interval_ns;
    b->raised_ns = now_ns;
    return interval_ns - ((interval_ns / 200) << min_u64(steps, CLIMB_MAX));
}

static uint64_t rise(struct pace_blind *b, uint64_t now_ns, uint64_t interval_ns)
{
    uint64_t quiet_ns = now_ns - max_u64(b->cut_ns, min_u64(b->held_ns, now_ns));
    if (quiet_ns > FORGET_NS && quiet_ns > 3 * b->target_ns * b->cliff) interval_ns = 0;
    if (interval_ns > 0 && interval_ns < FREE_NS) interval_ns = 0;
    if (interval_ns == 0) {
        b->target_ns = 0;
        b->windowed = false;
        return 0;
    }
    uint64_t cautious_ns = at_cliff(b, interval_ns);
    if (cautious_ns != interval_ns) return cautious_ns;
    if (b->target_ns != 0 && interval_ns <= b->target_ns) return climb(b, now_ns, interval_ns);
    uint64_t step_ns = max_u64(b->rtt_ns, b->target_ns == 0 ? SLICE_NS / 2 : SLICE_NS / 10);
    if (now_ns - b->raised_ns < step_ns) return interval_ns;
    b->raised_ns = now_ns;
    return max_u64(interval_ns / 2, b->target_ns);
}

/* Was it sent after all that was refused? A later one may overtake an earlier one by a bit. */
static bool taken_again(const struct pace_blind *b, uint64_t began_ns, uint64_t now_ns)
{
    if (b->held && now_ns < b->held_ns) return false;
    return began_ns >= b->cut_ns && began_ns > b->refused_ns + b->rtt_ns / 8;
}

uint64_t pace_blind_taken(struct pace_blind *b, uint64_t began_ns, uint64_t now_ns, uint32_t n,
                          uint64_t interval_ns)
{
    if (b->blocked_ns != 0) {
        if (taken_again(b, began_ns, now_ns)) return recovered(b, now_ns, n, interval_ns);
        b->count += n;
        b->cliff = b->count;
        return interval_ns;
    }
    if (interval_ns == 0) {
        measure(b, now_ns, n);
        return 0;
    }
    if (b->began_ns == 0) b->began_ns = now_ns;
    b->count += n;
    return rise(b, now_ns, interval_ns);
}

void pace_blind_before(struct pace_blind *b, uint64_t since_ns, uint64_t now_ns, uint32_t n)
{
    if (b->target_ns != 0 || n == 0 || now_ns - since_ns > MEMORY_NS) return;
    if (b->began_ns == 0 || since_ns < b->began_ns) b->began_ns = since_ns;
    b->burst = true;
    b->count += n;
    if (b->blocked_ns != 0) b->cliff = b->count;
    b->rate_ns = (uint32_t)min_u64((now_ns - b->began_ns) / b->count + 1, UINT32_MAX);
}
