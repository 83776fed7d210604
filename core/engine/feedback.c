/* core/engine/feedback.c - what the end of an attempt says about its host: health, window, pace.
 *
 * Counts are added up in the lane and told to the shared table once a turn; probes, holds and
 * hints at once.
 */
#include "core/engine/shard_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELD_HOSTS_MAX = 4096 };
#define TAKEN_NS UINT64_C(60000000000) /* what was taken longer ago tells nothing of a window */

/* delivery.md section 5: what counts as a failure of the host. */
static bool is_failure(const struct exchange *ex, bool paced)
{
    switch (ex->why) {
    case ERR_STATUS_RETRY: break;
    case ERR_TIMEOUT: return true;
    default: return err_class_of(ex->why) == ERR_CLASS_UNREACHABLE;
    }
    switch (ex->answer.status) {
    case 429: return !paced;
    case 408:
    case 502:
    case 503:
    case 504:
    case 529: return true;
    default: return false;
    }
}

void feedback_dirty(struct shard *s, struct lane *l)
{
    if (l->dirty) return;
    l->dirty = true;
    l->dirty_next = s->dirty;
    s->dirty = l;
    if (l->unused) lane_update(&s->lanes, l); /* it may not be forgotten before it is flushed */
}

/* ---- holds -------------------------------------------------------------------------------- */

/* From the heap: there are few, and they outlive the slab. NULL: no memory; the host is missing in
 * the summary, and nowhere else. */
static struct held_host *held_new(struct shard *s, const struct lane *l)
{
    struct held_host *h = calloc(1, sizeof *h + l->name_len + 1u);
    if (h == NULL) return NULL;
    memcpy(h->name, lane_name(l).ptr, l->name_len);
    h->name_hash = l->name_hash;
    h->next = s->held;
    s->held = h;
    s->held_count++;
    return h;
}

static struct held_host *held_find(struct shard *s, const struct lane *l)
{
    for (struct held_host *h = s->held; h != NULL; h = h->next)
        if (h->name_hash == l->name_hash) return h;
    return s->held_count < HELD_HOSTS_MAX ? held_new(s, l) : NULL;
}

static void event_show(struct shard *s, const struct lane *l, const struct host_event *e)
{
    struct run *run = s->run;
    uint32_t max = run->config->holds_shown_max;
    if (max == 0) return;
    uint32_t shown = add_rlx(&run->holds_shown, 1);
    if (shown > max) return;
    if (shown == max) {
        fprintf(stderr, "hookline: further hosts on hold are counted, not shown\n");
        return;
    }
    struct span name = lane_name(l);
    if (e->change == HOST_NOW_OPEN)
        fprintf(stderr, "hookline: %.*s answers again: no longer on hold\n", (int)name.len,
                name.ptr);
    else if (e->attempts > 0)
        fprintf(stderr,
                "hookline: %.*s is on hold for %.0f s: %" PRIu64 " of its last %" PRIu64
                " attempts failed\n",
                (int)name.len, name.ptr, (double)(e->until_ns - io_now_ns(s->io)) / 1e9,
                e->failures, e->attempts);
    else
        fprintf(stderr, "hookline: %.*s stays on hold for %.0f s more: a probe failed\n",
                (int)name.len, name.ptr, (double)(e->until_ns - io_now_ns(s->io)) / 1e9);
}

static void event_take(struct shard *s, struct lane *l, const struct host_event *e)
{
    if (e->change == HOST_SAME) return;
    event_show(s, l, e);
    if (e->change == HOST_NOW_OPEN) {
        note_hold(s, l, 0);
        TALLY_ADD(s->tally.opens, 1);
        if (l->held) gate_lane_timer(s, l);
        return;
    }
    note_hold(s, l, e->until_ns);
    TALLY_ADD(s->tally.holds, 1);
    if (e->attempts > 0) TALLY_ADD(s->tally.closes, 1); /* it was open */
    struct held_host *h = held_find(s, l);
    if (h == NULL) return;
    h->times++;
    h->held_ns += e->until_ns - io_now_ns(s->io);
}

void feedback_deferred(struct shard *s, struct lane *l)
{
    TALLY_ADD(s->tally.deferred, 1);
    l->deferred++;
    feedback_dirty(s, l);
}

/* ---- hints -------------------------------------------------------------------------------- */

static uint64_t flow_waiting(const struct flow *f)
{
    return (uint64_t)f->queued + f->backlog + f->delayed;
}

/* All that waits for the pace, if that is known: when no shard has any input left. */
static uint64_t all_waiting(struct shard *s, struct flow *f)
{
    uint32_t now = (uint32_t)flow_waiting(f);
    (void)add_rlx(&f->pace->waiting, now - f->waiting_told);
    f->waiting_told = now;
    return load_rlx(&s->run->readers) == 0 ? load_rlx(&f->pace->waiting) : UINT64_MAX;
}

/* Counts what was taken while there is no pace that would: a minute of it, older ones fading. */
static void taken_before(struct flow *f, uint64_t began_ns, uint64_t now_ns)
{
    if (f->taken == 0) f->taken_ns = began_ns;
    if (f->taken < UINT32_MAX) f->taken++;
    if (now_ns - f->taken_ns < TAKEN_NS) return;
    f->taken /= 2;
    f->taken_ns = now_ns - TAKEN_NS / 2;
}

/* The flow's pace, made if need be, which is then told what was taken before. NULL: the table is
 * full of paces in use; none for this one. */
static struct pace *flow_pace(struct shard *s, struct flow *f)
{
    uint64_t now_ns = io_now_ns(s->io);
    struct pace *p = lane_pace_make(&s->lanes, f->lane, f, now_ns);
    if (p == NULL || f->taken == 0) return p;
    pace_before(p, f->taken_ns, now_ns, f->taken);
    f->taken = 0;
    return p;
}

/* A 429 that tells when it will be over says that nothing remains. */
static bool is_quota(const struct hint *hint, bool refused)
{
    return hint->has_reset && (hint->has_remaining || refused);
}

/* A limit for each window, and no more. */
static bool is_policy(const struct hint *hint, bool refused)
{
    return hint->has_limit && hint->window_ns > 0 && !hint->has_remaining && !refused;
}

static void quota(struct shard *s, struct pace *p, const struct delivery *d, bool refused,
                  const struct hint *hint)
{
    struct flow *f = d->flow;
    struct pace_hint h = {.refused = refused,
                          .has_limit = hint->has_limit,
                          .has_remaining = hint->has_remaining || refused,
                          .has_reset = hint->has_reset,
                          .limit = hint->limit,
                          .remaining = hint->has_remaining ? hint->remaining : 0,
                          .reset_ns = hint->reset_ns,
                          .reset_step_ns = hint->reset_step_ns,
                          .window_ns = hint->window_ns,
                          .began_ns = d->attempt_ns};
    pace_hinted(p, io_now_ns(s->io), &h, f->in_flight, all_waiting(s, f));
}

/* Retry-After on a retriable answer other than 429 speaks for the host and not for a key. */
static void host_retry_after(struct shard *s, struct lane *l, uint64_t wait_ns)
{
    uint64_t now_ns = io_now_ns(s->io);
    struct pace *p = lane_pace_make(&s->lanes, l, NULL, now_ns);
    if (p == NULL) return;
    pace_hold(p, now_ns + wait_ns);
    note_pace(s, l, NULL, now_ns + wait_ns);
}

static void pace_feedback(struct shard *s, struct delivery *d, const struct exchange *ex,
                          const struct hint *hint)
{
    struct flow *f = d->flow;
    uint64_t now_ns = io_now_ns(s->io);
    bool refused = ex->answer.status == 429,
         told = is_quota(hint, refused) || is_policy(hint, refused);
    if (ex->why == ERR_STATUS_RETRY && !refused && hint->has_retry_after)
        host_retry_after(s, f->lane, hint->retry_after_ns);
    if (!told && !refused && f->pace == NULL) {
        taken_before(f, d->attempt_ns, now_ns);
        return;
    }
    struct pace *p = flow_pace(s, f);
    if (p == NULL) return;
    if (refused && hint->has_retry_after) {
        pace_retry_after(p, d->attempt_ns, now_ns, hint->retry_after_ns, told);
        note_pace(s, f->lane, f, now_ns + hint->retry_after_ns);
    }
    if (told) quota(s, p, d, refused, hint);
    else if (!refused) pace_taken(p, d->attempt_ns, now_ns, 1);
    else if (!hint->has_retry_after) pace_refused(p, d->attempt_ns, now_ns);
}

/* ---- all together ------------------------------------------------------------------------- */

void feedback(struct shard *s, struct delivery *d, const struct exchange *ex,
              const struct hint *hint)
{
    struct lane *l = d->flow->lane;
    uint64_t now_ns = io_now_ns(s->io);
    struct host_event event = {.change = HOST_SAME};
    if (ex->why == ERR_NO_RESOURCES || ex->why == ERR_STOPPED) { /* not the host's doing */
        if (d->probe) host_probe_unused(l->host, d->probe_round);
        return;
    }
    bool paced = hint->has_retry_after || is_quota(hint, ex->answer.status == 429);
    bool failed = is_failure(ex, paced);
    if (d->probe) {
        host_probe_ended(l->host, &s->run->config->health, d->probe_round, now_ns, !failed, &event);
        event_take(s, l, &event);
    } else if (d->attempt_ns >= host_opened_ns(l->host)) {
        l->ended++;
        if (failed) l->failed++;
        if (err_class_of(ex->why) != ERR_CLASS_FINAL) l->troubled++;
    }
    if (failed) host_troubled(l->host, d->attempt_ns, now_ns);
    else l->succeeded++;
    feedback_dirty(s, l);
    if (ex->answer.status != 0) pace_feedback(s, d, ex, hint);
}

static void permits_settle(struct shard *s, struct lane *l)
{
    struct host_holder who = {.shard = s->index, .held = l->permits, .max = l->conns_max};
    uint32_t unused = l->permits - l->in_flight;
    uint32_t give = host_permits_excess(l->host, &who, io_now_ns(s->io));
    if (l->queued == 0 || l->ring == NULL || l->held) give = unused;
    if (give > unused) give = unused;
    if (give == 0) return;
    l->permits -= give;
    host_permits_give(l->host, give);
}

static void lane_flush(struct shard *s, struct lane *l)
{
    const struct host_rules *rules = &s->run->config->health;
    uint64_t now_ns = io_now_ns(s->io);
    struct host_event event = {.change = HOST_SAME};
    if (l->ended > 0)
        host_report(l->host, s->run->windows, rules, now_ns, l->ended, l->failed, l->troubled,
                    &event);
    if (l->succeeded > 0) host_succeeded(l->host, l->conns_max, l->succeeded, l->full);
    l->ended = l->failed = l->troubled = l->succeeded = 0;
    l->full = l->dirty = false;
    event_take(s, l, &event);
    struct held_host *h = l->deferred > 0 ? held_find(s, l) : NULL;
    if (h != NULL) h->deferred += l->deferred;
    l->deferred = 0;
    permits_settle(s, l);
    lane_update(&s->lanes, l);
}

void feedback_flush(struct shard *s)
{
    struct lane *l;
    while ((l = s->dirty) != NULL) {
        s->dirty = l->dirty_next;
        l->dirty_next = NULL;
        lane_flush(s, l);
    }
}
