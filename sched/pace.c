/* sched/pace.c - how fast one (host, key) may be sent to; see pace.h.
 *
 * Two ways to know: a receiver whose answers all carry a quota (pace_quota.c), and one that says
 * something only when it refuses (pace_blind.c). Both are digested here, under the try-lock, into
 * the two words that senders read. Lost to a taken lock: one quota of many, or one refusal, which
 * halves the pace no more than the one being digested does. Not lost: holds, which need no lock,
 * and the number of requests taken.
 */
#include "sched/pace.h"

#include "core/base/atomic.h"
#include "core/base/check.h"
#include "sched/pace_blind.h"
#include "sched/pace_quota.h"

#include <stddef.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)
#define DAY_NS    (86400 * SECOND_NS)

/* A shard that waits for its turn looks again at least so often: another may have sped it up. */
#define LOOK_NS SECOND_NS
/* A pace that was not asked for so long is worth less than a slot for another. */
#define KEEP_NS (60 * SECOND_NS)
/* Quotas do not count for so long after 429s came that they did not foresee. */
#define DISTRUST_NS (600 * SECOND_NS)

/* So many refusals, more than one in DOUBT_SHARE answers, and a quota does not count. */
enum { DOUBT_MAX = 64, DOUBT_SHARE = 512 };

enum pace_mode { MODE_BLIND, MODE_QUOTA };

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }

static struct pace_quota *quota_of(struct pace *p) { return (void *)p->state; }
static struct pace_blind *blind_of(struct pace *p) { return (void *)p->state; }

static bool digest_try(struct pace *p)
{
    uint32_t unlocked = 0;
    return load_rlx(&p->lock) == 0 && cas_acq_rel(&p->lock, &unlocked, 1);
}

/* Publishes what came of it. */
static void digest_end(struct pace *p, uint64_t interval_ns)
{
    if (interval_ns != load_rlx(&p->interval_ns)) store_rlx(&p->interval_ns, interval_ns);
    store_rel(&p->lock, 0);
}

static void mode_set(struct pace *p, enum pace_mode mode)
{
    memset(p->state, 0, sizeof p->state);
    p->mode = (uint16_t)mode;
}

void pace_init(void *ctx, void *entry)
{
    struct pace *p = entry;
    (void)ctx;
    CHECK(p->lock == 0);
    CHECK(p->mode == MODE_BLIND); /* zeroed: no hold, no limit, nothing known */
}

bool pace_evictable(const void *entry, uint64_t now_ns)
{
    const struct pace *p = entry;
    if (load_rlx(&p->held_ns) > now_ns) return false;
    return load_rlx(&p->interval_ns) == 0 || load_rlx(&p->gcra.tat_ns) + KEEP_NS <= now_ns;
}

uint32_t pace_take(struct pace *p, uint64_t now_ns, uint32_t want, uint64_t *again_ns)
{
    uint64_t held_ns = load_rlx(&p->held_ns);
    if (held_ns > now_ns) {
        *again_ns = held_ns;
        return 0;
    }
    uint64_t interval_ns = load_rlx(&p->interval_ns);
    uint32_t n = gcra_take(&p->gcra, interval_ns, PACE_TOLERANCE_NS, now_ns, want, again_ns);
    if (n == 0 && want > 0) *again_ns = min_u64(*again_ns, now_ns + LOOK_NS);
    return n;
}

void pace_give(struct pace *p, uint32_t n) { gcra_give(&p->gcra, load_rlx(&p->interval_ns), n); }

bool pace_look(const struct pace *p, uint64_t now_ns, uint64_t *again_ns)
{
    uint64_t at_ns = load_rlx(&p->held_ns);
    uint64_t interval_ns = load_rlx(&p->interval_ns);
    if (at_ns <= now_ns && interval_ns > 0) {
        at_ns = min_u64(load_rlx(&p->gcra.tat_ns), now_ns + interval_ns);
        at_ns = min_u64(at_ns, now_ns + LOOK_NS);
    }
    if (at_ns <= now_ns) return true;
    *again_ns = at_ns;
    return false;
}

void pace_hold(struct pace *p, uint64_t until_ns)
{
    uint64_t held_ns = load_rlx(&p->held_ns);
    while (held_ns < until_ns && !cas_rlx(&p->held_ns, &held_ns, until_ns)) {}
}

/* Counts the refusals of those who went by the quota; the first window's burst did not. */
static void doubt(struct pace *p, uint64_t now_ns, const struct pace_hint *h)
{
    if (!h->refused) {
        if (p->doubt > 0) p->doubt--;
        return;
    }
    if (!quota_of(p)->paced) return;
    p->doubt += DOUBT_SHARE;
    if (p->doubt < DOUBT_MAX * DOUBT_SHARE) return;
    mode_set(p, MODE_BLIND);
    blind_of(p)->cut_ns = now_ns;
    p->doubt = 0;
}

/* A quota that was refused, or that refusals came beside, is no quota. */
static bool quota_wanted(struct pace *p, uint64_t now_ns, const struct pace_hint *h)
{
    if (p->mode == MODE_QUOTA) doubt(p, now_ns, h);
    if (p->mode == MODE_QUOTA) return true;
    const struct pace_blind *b = blind_of(p);
    if (h->has_remaining && h->remaining == 0) return false;
    return b->cut_ns == 0 || now_ns - b->cut_ns > DISTRUST_NS;
}

/* A limit and its window, and no more: an even pace. */
static uint64_t policy_hinted(struct pace_quota *q, uint64_t now_ns, const struct pace_hint *h)
{
    uint64_t window_ns = min_u64(h->window_ns, DAY_NS);
    q->hinted_ns = q->start_ns = now_ns;
    q->reset_ns = now_ns + window_ns;
    q->average_ns = window_ns / h->limit;
    q->paced = true;
    return q->average_ns + q->average_ns / 64;
}

void pace_hinted(struct pace *p, uint64_t now_ns, const struct pace_hint *h, uint64_t in_flight,
                 uint64_t all)
{
    bool quota = h->has_remaining && h->has_reset;
    bool policy = !h->has_remaining && h->has_limit && h->limit > 0 && h->window_ns > 0;
    if (!quota && !policy) return;
    if (!digest_try(p)) {
        if (quota && h->remaining == 0) pace_hold(p, now_ns + min_u64(h->reset_ns, DAY_NS));
        return;
    }
    uint64_t interval_ns = load_rlx(&p->interval_ns), held_ns = load_rlx(&p->held_ns), hold_ns = 0;
    if (quota_wanted(p, now_ns, h)) {
        if (p->mode != MODE_QUOTA) mode_set(p, MODE_QUOTA);
        struct pace_quota_verdict v = {0};
        if (quota)
            v = pace_quota_hinted(quota_of(p), now_ns, h, in_flight, all, interval_ns, held_ns);
        else v.interval_ns = policy_hinted(quota_of(p), now_ns, h);
        interval_ns = v.interval_ns;
        hold_ns = v.hold_ns;
    } else if (quota && h->refused) {
        interval_ns = pace_blind_exhausted(blind_of(p), now_ns, h, interval_ns, held_ns, &hold_ns);
    } else {
        interval_ns = pace_blind_taken(blind_of(p), h->began_ns, now_ns, 1, interval_ns);
        if (quota && h->remaining == 0) hold_ns = now_ns + min_u64(h->reset_ns, DAY_NS);
    }
    if (hold_ns > 0) pace_hold(p, hold_ns);
    digest_end(p, interval_ns);
}

void pace_retry_after(struct pace *p, uint64_t began_ns, uint64_t now_ns, uint64_t wait_ns,
                      bool hinted)
{
    pace_hold(p, now_ns + min_u64(wait_ns, DAY_NS));
    if (hinted || !digest_try(p)) return;
    uint64_t interval_ns = load_rlx(&p->interval_ns), held_ns = load_rlx(&p->held_ns), hold_ns = 0;
    struct pace_hint h = {.refused = true,
                          .has_remaining = true,
                          .has_reset = true,
                          .reset_ns = wait_ns,
                          .reset_step_ns = SECOND_NS,
                          .began_ns = began_ns};
    if (p->mode == MODE_QUOTA) doubt(p, now_ns, &h);
    if (p->mode == MODE_BLIND)
        interval_ns = pace_blind_exhausted(blind_of(p), now_ns, &h, interval_ns, held_ns, &hold_ns);
    if (hold_ns > 0) pace_hold(p, hold_ns);
    digest_end(p, interval_ns);
}

void pace_refused(struct pace *p, uint64_t began_ns, uint64_t now_ns)
{
    if (!digest_try(p)) return;
    if (p->mode != MODE_BLIND) mode_set(p, MODE_BLIND);
    digest_end(p, pace_blind_refused(blind_of(p), began_ns, now_ns, load_rlx(&p->interval_ns)));
}

static uint32_t missed_take(struct pace *p)
{
    uint32_t missed = load_rlx(&p->missed);
    while (missed > 0 && !cas_rlx(&p->missed, &missed, 0)) {}
    return missed;
}

void pace_taken(struct pace *p, uint64_t began_ns, uint64_t now_ns, uint32_t n)
{
    if (n == 0) return;
    if (!digest_try(p)) {
        (void)add_rlx(&p->missed, n);
        return;
    }
    uint64_t interval_ns = load_rlx(&p->interval_ns);
    n += missed_take(p);
    if (p->mode == MODE_QUOTA && pace_quota_stale(quota_of(p), now_ns)) {
        mode_set(p, MODE_BLIND);
        interval_ns = 0;
    }
    if (p->mode == MODE_BLIND)
        interval_ns = pace_blind_taken(blind_of(p), began_ns, now_ns, n, interval_ns);
    digest_end(p, interval_ns);
}

void pace_before(struct pace *p, uint64_t since_ns, uint64_t now_ns, uint32_t n)
{
    if (!digest_try(p)) return;
    if (p->mode == MODE_BLIND) pace_blind_before(blind_of(p), since_ns, now_ns, n);
    digest_end(p, load_rlx(&p->interval_ns));
}

uint64_t pace_per_second(const struct pace *p)
{
    uint64_t interval_ns = load_rlx(&p->interval_ns);
    return interval_ns == 0 ? 0 : (SECOND_NS + interval_ns - 1) / interval_ns;
}
