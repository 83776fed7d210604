/* sched/pace_quota.c - the window of a receiver that hints; see pace_quota.h.
 *
 * The pace. With r remaining, f in flight and T until the reset, what is left is r - f for T less a
 * round trip, since requests sent later than that arrive in the next window. The round trip is
 * taken as f times the interval: then, at a steady pace, r / T = (r - f) / (T - f * interval),
 * whatever f is, so that knowing only a part of the requests in flight does no harm either. At most
 * a quarter of T is counted as on the way, which keeps it stable as T goes to 0.
 * A receiver that counts late shows more than remains; by how much shows in the answers that it did
 * not count yet.
 * A few requests are left unused (1 in 800, and more when some were refused): that is how far the
 * estimate of the reset may be wrong without a refusal.
 */
#include "sched/pace_quota.h"

#include "core/base/check.h"

#define SECOND_NS UINT64_C(1000000000)
#define DAY_NS    (86400 * SECOND_NS)

/* Arrival times jitter by this much. */
#define JITTER_NS UINT64_C(30000000)
/* How long after a reset the first request goes, when nothing remained before it. */
#define GUARD_NS UINT64_C(20000000)
/* The last requests of a window are not squeezed into less than this. */
#define CLOSING_NS UINT64_C(20000000)
/* After a hold that was too short: until an answer says more. */
#define PROBE_NS UINT64_C(100000000)

enum {
    SLACK_SHARE = 800,
    SLACK_SHARE_MAX = 8,
    ODD_MIN = 8,
    SHORT_HOLDS_MAX = 6,
    MOVES_MIN = 4,
    MOVING_GAIN = 64
};

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* The estimate of when the window ends. */
static uint64_t quota_end(const struct pace_quota *q)
{
    if (!q->offset_known) return q->reset_ns + q->step_ns;
    if (q->offset_ns >= 0) return q->reset_ns + min_u64((uint64_t)q->offset_ns, q->step_ns);
    return q->reset_ns - min_u64(min_u64((uint64_t)-q->offset_ns, q->step_ns), q->reset_ns);
}

static bool rolled(const struct pace_quota *q, uint64_t now_ns, uint64_t x_ns, uint32_t remaining,
                   uint64_t in_flight)
{
    if (q->hinted_ns == 0) return true;
    if (x_ns > q->reset_ns + q->step_ns + JITTER_NS) return true;
    uint64_t soonest_ns = q->reset_ns + q->span_ns;
    uint64_t overtaken = max_u64(in_flight, q->flight) + 2;
    return remaining > q->least + overtaken && now_ns + JITTER_NS + q->step_ns >= soonest_ns;
}

/* How the window that now ends was seen to end teaches how the receiver rounds. */
static void offset_learn(struct pace_quota *q, uint64_t now_ns, uint64_t interval_ns)
{
    uint64_t gap_ns = max_u64(2 * JITTER_NS, min_u64(3 * interval_ns, SECOND_NS));
    if (q->hinted_ns == 0 || now_ns - q->hinted_ns > gap_ns) return; /* it may have been earlier */
    int64_t offset_ns = (int64_t)(now_ns - q->reset_ns), most_ns = q->step_ns + JITTER_NS;
    if (offset_ns > most_ns || offset_ns < -most_ns) return;
    q->offset_ns = (int32_t)offset_ns;
    q->offset_known = true;
}

static void window_begin(struct pace_quota *q, uint64_t now_ns, uint64_t x_ns, uint32_t step_ns,
                         uint32_t remaining, uint64_t in_flight)
{
    bool first = q->hinted_ns == 0;
    q->paced = !first;
    q->refused = false;
    uint64_t flight = first ? in_flight : max_u64(in_flight, q->flight);
    q->before = q->least;
    q->start_ns = now_ns;
    q->reset_ns = x_ns;
    q->span_ns = 0;
    q->step_ns = step_ns;
    q->most = q->least = remaining;
    q->answers = 0;
    q->stragglers = first ? 0 : (uint8_t)min_u64(flight, UINT8_MAX);
    q->flight = (uint16_t)min_u64(in_flight, UINT16_MAX);
    q->odd = 0;
    uint64_t end_ns = quota_end(q);
    q->partly = !first && remaining < q->limit / 2;
    if (q->partly && q->average_ns > 0) return; /* one that slides: what was learned holds */
    if (end_ns > now_ns) q->average_ns = (end_ns - now_ns) / ((uint64_t)remaining + 1);
}

/* An answer of the window before that was overtaken. */
static bool straggler(struct pace_quota *q, uint64_t x_ns, uint32_t remaining)
{
    if (q->stragglers > 0) {
        q->stragglers--;
        if (remaining < q->least && q->before < q->least && remaining >= q->before &&
            remaining - q->before < q->least - remaining)
            return true;
    }
    uint64_t latest_ns = q->reset_ns + q->span_ns;
    if (x_ns + q->step_ns + JITTER_NS >= latest_ns) {
        q->odd = 0;
        return false;
    }
    if (q->odd < max_u64(ODD_MIN, min_u64(q->flight, UINT8_MAX - 1))) {
        q->odd++;
        return true;
    }
    return false;
}

static void window_go_on(struct pace_quota *q, uint64_t x_ns, uint32_t step_ns, uint32_t remaining,
                         uint64_t in_flight)
{
    uint64_t latest_ns = max_u64(q->reset_ns + q->span_ns, x_ns);
    q->reset_ns = min_u64(q->reset_ns, x_ns);
    q->span_ns = (uint32_t)min_u64(latest_ns - q->reset_ns, UINT32_MAX);
    if (step_ns > q->step_ns) q->step_ns = step_ns;
    if (remaining < q->least) q->least = remaining;
    if (in_flight > q->flight) q->flight = (uint16_t)min_u64(in_flight, UINT16_MAX);
}

/* What remains, spread over the time until end_ns. */
static uint64_t spread(const struct pace_quota *q, uint64_t left_ns, uint64_t in_flight,
                       uint64_t interval_ns)
{
    uint64_t on_way = min_u64(in_flight, q->least);
    if (interval_ns > 0) on_way = min_u64(on_way, left_ns / 4 / interval_ns);
    uint64_t dropped = (uint64_t)q->most - q->least + 1;
    uint64_t behind = q->answers > dropped ? min_u64(q->answers - dropped, in_flight) : 0;
    uint64_t kept = q->slack + q->most / SLACK_SHARE + behind + on_way;
    uint64_t left = q->least > kept ? q->least - kept : 0;
    left_ns = max_u64(left_ns - on_way * interval_ns, CLOSING_NS);
    uint64_t even_ns = left > 0 ? left_ns / left : left_ns;
    return q->partly ? max_u64(even_ns, q->average_ns + q->average_ns / 256) : even_ns;
}

/* Of a window that was paced from its beginning, more is left unused from now on. */
static void refused(struct pace_quota *q)
{
    q->refused = true;
    if (q->paced && q->slack < q->most / SLACK_SHARE_MAX) q->slack++;
}

/* Nothing remains: until the reset. A hold after which still nothing remained was too short. */
static struct pace_quota_verdict exhausted(struct pace_quota *q, uint64_t now_ns, uint64_t end_ns,
                                           uint64_t held_ns, bool again)
{
    if (!q->offset_known && now_ns < q->reset_ns + q->step_ns) {
        /* Asked from the first moment on at which it may be over, so that the offset is learned. */
        uint64_t until_ns = max_u64(q->reset_ns, now_ns) + (again ? PROBE_NS : GUARD_NS);
        return (struct pace_quota_verdict){.interval_ns = PROBE_NS, .hold_ns = until_ns};
    }
    if (held_ns <= now_ns && again && q->short_holds < SHORT_HOLDS_MAX) q->short_holds++;
    uint64_t guard_ns = GUARD_NS << q->short_holds;
    return (struct pace_quota_verdict){
        .interval_ns = q->short_holds > 0 ? max_u64(q->average_ns, PROBE_NS) : q->average_ns,
        .hold_ns = max_u64(end_ns, now_ns) + guard_ns,
    };
}

/* The reset is put off although it was not reached: it moves on with what is sent (a sliding
 * window, a bucket). */
static bool put_off(const struct pace_quota *q, uint64_t now_ns)
{
    return q->hinted_ns > 0 && now_ns + q->step_ns + JITTER_NS < q->reset_ns;
}

/* Where the reset moves on: at most the limit in the time until the reset, and slower as the last
 * of it is used up. */
static struct pace_quota_verdict moving(struct pace_quota *q, uint64_t now_ns, uint64_t in_flight)
{
    uint64_t window_ns = max_u64(q->reset_ns - min_u64(now_ns, q->reset_ns), CLOSING_NS);
    uint64_t kept = q->slack + in_flight;
    uint64_t left = q->least > kept ? q->least - kept : 0;
    uint64_t even_ns = window_ns / max_u64(q->limit, 1);
    uint64_t last_ns = window_ns / (MOVING_GAIN * max_u64(left, 1));
    return (struct pace_quota_verdict){.interval_ns = max_u64(max_u64(even_ns, last_ns), 1)};
}

/* Places an answer in its window, an old one or a new. False: it is of a window that is over. */
static bool window_place(struct pace_quota *q, uint64_t now_ns, uint64_t x_ns, uint32_t step_ns,
                         uint32_t remaining, uint64_t in_flight, uint64_t interval_ns)
{
    if (!rolled(q, now_ns, x_ns, remaining, in_flight)) {
        if (straggler(q, x_ns, remaining)) return false;
        if (q->odd > 0) { /* the reset is sooner than it was said to be */
            q->moves = 0;
            window_begin(q, now_ns, x_ns, step_ns, remaining, in_flight);
        } else {
            window_go_on(q, x_ns, step_ns, remaining, in_flight);
        }
        return true;
    }
    if (put_off(q, now_ns)) {
        if (q->moves < MOVES_MIN) q->moves++;
    } else {
        q->moves = 0;
    }
    if (q->hinted_ns > 0) {
        offset_learn(q, now_ns, interval_ns);
        if (!q->refused) q->slack -= (uint16_t)((q->slack + 15) / 16);
    }
    window_begin(q, now_ns, x_ns, step_ns, remaining, in_flight);
    return true;
}

struct pace_quota_verdict pace_quota_hinted(struct pace_quota *q, uint64_t now_ns,
                                            const struct pace_hint *h, uint64_t in_flight,
                                            uint64_t all, uint64_t interval_ns, uint64_t held_ns)
{
    CHECK(h->has_remaining && h->has_reset);
    uint64_t x_ns = now_ns + min_u64(h->reset_ns, DAY_NS);
    uint32_t step_ns = (uint32_t)min_u64(max_u64(h->reset_step_ns, 1), SECOND_NS);
    uint32_t remaining = (uint32_t)min_u64(h->remaining, UINT32_MAX);
    bool zero_before = q->hinted_ns > 0 && q->least == 0;
    if (!window_place(q, now_ns, x_ns, step_ns, remaining, in_flight, interval_ns))
        return (struct pace_quota_verdict){.interval_ns = interval_ns};
    if (h->has_limit) q->limit = (uint32_t)min_u64(h->limit, UINT32_MAX);
    else if (q->most > q->limit) q->limit = q->most;
    q->hinted_ns = now_ns;
    q->answers++;
    if (h->refused || (remaining == 0 && zero_before)) refused(q);
    if (q->moves == MOVES_MIN) {
        q->least = remaining;
        return moving(q, now_ns, in_flight);
    }
    uint64_t end_ns = quota_end(q);
    if (q->least == 0) return exhausted(q, now_ns, end_ns, held_ns, zero_before);
    q->short_holds = 0;
    if (remaining == UINT32_MAX || (q->least >= in_flight && all <= q->least - in_flight))
        return (struct pace_quota_verdict){0};
    if (end_ns <= now_ns) end_ns = q->reset_ns + q->step_ns; /* it did not end: it must be later */
    if (end_ns <= now_ns && q->average_ns > 0)
        return (struct pace_quota_verdict){.interval_ns = q->average_ns};
    uint64_t left_ns = end_ns > now_ns ? end_ns - now_ns : CLOSING_NS;
    return (struct pace_quota_verdict){.interval_ns =
                                           max_u64(spread(q, left_ns, in_flight, interval_ns), 1)};
}

bool pace_quota_stale(const struct pace_quota *q, uint64_t now_ns)
{
    uint64_t end_ns = quota_end(q);
    uint64_t window_ns = end_ns > q->start_ns ? end_ns - q->start_ns : 0;
    return now_ns > q->hinted_ns && now_ns - q->hinted_ns > 2 * max_u64(window_ns, SECOND_NS);
}
