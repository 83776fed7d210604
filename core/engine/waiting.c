/* core/engine/waiting.c - what must wait is parked, and comes back in time.
 *
 * A record waits for one of: its own time (a retry's, not_before), its host (on hold, no permit),
 * its pace. Wherever it waits for long it is parked; where it cannot be parked now (no memory, no
 * room in the spool) it waits as the delivery that it is, which is the same but for the memory.
 */
#include "core/engine/shard_state.h"

#include <string.h>

enum {
    ROOM_LEAST = 16, /* deliveries in a flow's queues, so that a turn finds enough */
    ROOM_PER_PERMIT = 2,
    DRAIN_PER_TURN = 4096,
};
#define AGAIN_NS UINT64_C(1000000)

uint32_t flow_room(const struct flow *f) { return ROOM_LEAST + ROOM_PER_PERMIT * f->lane->permits; }

/* ---- parking ------------------------------------------------------------------------------ */

static uint64_t expiry_of(const struct shard *s, const struct parking *p)
{
    bool unreachable = err_class_of((enum err)p->why) == ERR_CLASS_UNREACHABLE;
    return retry_expiry_ns(&s->run->config->retry, unreachable, p->attempts > 0,
                           p->first_attempt_ns, p->deadline_ns);
}

static struct parking parking_of(const struct delivery *d)
{
    return (struct parking){.offset = d->offset,
                            .line = d->line,
                            .check = d->check,
                            .attempts = d->attempts,
                            .why = d->why,
                            .sent = d->sent,
                            .retry = d->retry,
                            .told = d->deferred,
                            .first_attempt_ns = d->since_ns,
                            .deadline_ns = d->deadline_ns};
}

static void backlog_put(struct shard *s, struct flow *f, struct parked *k)
{
    struct parking p;
    backlog_add(s->slab, k);
    f->backlog++;
    parked_read(k, s->start_ns, &p);
    timer_arm(s, &k->timer, TIMER_PARKED, expiry_of(s, &p));
}

static bool put(struct shard *s, struct flow *f, const struct parking *p, uint64_t due_ns)
{
    if (!parked_fits(p)) return false;
    struct parked *k = parked_make(s->slab, f, p, s->start_ns);
    if (k == NULL) return false;
    s->parked++;
    f->lane->parked++;
    if (due_ns > 0) {
        k->state = PARKED_DELAYED;
        f->delayed++;
        timer_arm(s, &k->timer, TIMER_PARKED, due_ns);
    } else {
        backlog_put(s, f, k);
        flow_update(&s->lanes, f);
    }
    return true;
}

bool park(struct shard *s, struct delivery *d, uint64_t due_ns)
{
    struct flow *f = d->flow;
    CHECK(d->wait == DELIVERY_NO_WAIT);
    if (s->drained) return false; /* nothing would read it again */
    if (s->spool.open && !d->spooled) {
        struct span raw = span_of(delivery_raw(d), d->raw_len);
        if (!spool_add(&s->spool, raw, &d->offset)) return false;
        d->spooled = true;
    }
    struct parking p = parking_of(d);
    if (!put(s, f, &p, due_ns)) return false;
    feedback_dirty(s, f->lane);
    s->live--;
    delivery_free(s->slab, d);
    return true;
}

bool park_line(struct shard *s, struct flow *f, uint64_t deadline_ns, uint64_t due_ns,
               bool deferred)
{
    const struct reader *r = &s->reader;
    struct parking p = {.offset = r->line_offset,
                        .line = r->line_number,
                        .check = parked_check(r->line),
                        .told = deferred,
                        .first_attempt_ns = io_now_ns(s->io),
                        .deadline_ns = deadline_ns};
    if (s->spool.open && !spool_add(&s->spool, r->line, &p.offset)) return false;
    if (!put(s, f, &p, due_ns)) {
        if (s->spool.open) spool_drop(&s->spool);
        return false;
    }
    return true;
}

void unpark(struct shard *s, struct parked *k)
{
    struct flow *f = parked_flow(s->slab, k);
    CHECK(s->parked > 0 && f->lane->parked > 0);
    s->parked--;
    f->lane->parked--;
    parked_free(s->slab, k);
}

/* ---- deliveries that wait ----------------------------------------------------------------- */

static enum flow_kind kind_of(const struct delivery *d)
{
    return d->retry ? FLOW_RETRY : FLOW_FIRST;
}

static void wait_for(struct shard *s, struct delivery *d, enum delivery_wait why, uint64_t due_ns)
{
    d->wait = (uint8_t)why;
    timer_arm(s, &d->timer, TIMER_DELIVERY, due_ns);
}

void wait_until(struct shard *s, struct delivery *d, uint64_t due_ns)
{
    if (park(s, d, due_ns)) return;
    d->flow->delayed++;
    wait_for(s, d, DELIVERY_WAITS_RETRY, due_ns);
    lane_update(&s->lanes, d->flow->lane);
}

void wait_turn(struct shard *s, struct delivery *d)
{
    flow_push(&s->lanes, d->flow, kind_of(d), d);
    d->wait = DELIVERY_WAITS_TURN;
    note_queued(s, d);
    struct parking p = parking_of(d);
    timer_arm(s, &d->timer, TIMER_DELIVERY, expiry_of(s, &p));
}

void wait_over(struct shard *s, struct delivery *d)
{
    if (d->wait == DELIVERY_WAITS_TURN) flow_remove(&s->lanes, d->flow, kind_of(d), d);
    if (d->wait == DELIVERY_WAITS_CONN) flow_remove(&s->lanes, d->flow, kind_of(d), d);
    if (d->wait == DELIVERY_WAITS_RETRY) d->flow->delayed--;
    wheel_cancel(&s->wheel, &d->timer);
    d->wait = DELIVERY_NO_WAIT;
    struct lane *l = d->flow->lane;
    if (l->queued == 0 && l->permits > l->in_flight) feedback_dirty(s, l);
}

/* Its time was over before its turn came. */
static void expire(struct shard *s, struct delivery *d)
{
    struct flow *f = d->flow;
    struct lane *l = f->lane;
    enum err why = d->attempts > 0 ? (enum err)d->why : ERR_EXPIRED;
    wait_over(s, d);
    feedback_dirty(s, l);
    d->attempt_ns = 0;
    if (!account_unsent(s, d, why, OUTCOME_EXPIRED)) {
        f->untold++;
        wait_for(s, d, DELIVERY_WAITS_TOLD, io_now_ns(s->io) + AGAIN_NS);
        return;
    }
    flow_settle(&s->lanes, f, io_now_ns(s->io));
    lane_update(&s->lanes, l);
}

void waiting_delivery_timer(struct shard *s, struct delivery *d)
{
    switch ((enum delivery_wait)d->wait) {
    case DELIVERY_WAITS_CONN: follow_waited_too_long(s, d); return;
    case DELIVERY_WAITS_RETRY:
        wait_over(s, d);
        wait_turn(s, d);
        return;
    case DELIVERY_WAITS_TURN: expire(s, d); return;
    case DELIVERY_WAITS_TOLD:
        d->wait = DELIVERY_NO_WAIT;
        if (d->attempt_ns != 0) {
            follow_waited_too_long(s, d);
        } else {
            d->flow->untold--;
            expire(s, d);
        }
        return;
    case DELIVERY_NO_WAIT: break;
    }
    UNREACHABLE();
}

/* ---- parked records that wait ------------------------------------------------------------- */

void waiting_parked_timer(struct shard *s, struct parked *k)
{
    struct flow *f = parked_flow(s->slab, k);
    if (k->state == PARKED_DELAYED) {
        f->delayed--;
        backlog_put(s, f, k);
        if (f->lane->held && !k->told) {
            feedback_deferred(s, f->lane);
            k->told = true;
        }
        flow_refill(s, f);
        return;
    }
    CHECK(k->state == PARKED_BACKLOG);
    f->backlog--;
    k->state = PARKED_OVER;
    flow_update(&s->lanes, f);
    recall_over(s, k);
}

void flow_refill(struct shard *s, struct flow *f)
{
    bool blocked = f->blocked || f->lane->blocked;
    if (f->backlog > 0 && !blocked && f->queued <= flow_room(f) / 2) recall_want(s, f);
    else flow_update(&s->lanes, f);
}

/* ---- a host on hold ----------------------------------------------------------------------- */

static bool park_queued(struct shard *s, struct delivery *d, bool held)
{
    if (held && !d->deferred) {
        if (!account_deferred(s, d)) return false;
        d->deferred = true;
        feedback_deferred(s, d->flow->lane);
    }
    wait_over(s, d);
    if (park(s, d, 0)) return true;
    wait_turn(s, d);
    return false;
}

bool park_flow(struct shard *s, struct flow *f)
{
    bool held = f->lane->held;
    for (int kind = 0; kind < FLOW_KINDS; kind++) {
        struct delivery *d = f->queue[kind].head, *next;
        for (; d != NULL; d = next) {
            next = d->next;
            if (d->wait != DELIVERY_WAITS_TURN) continue; /* its attempt has begun */
            if (!park_queued(s, d, held)) return false;
        }
    }
    return true;
}

void park_lane(struct shard *s, struct lane *l)
{
    struct flow *f = l->ring, *next;
    for (; f != NULL; f = next) {
        next = f->ring_next;
        if (!park_flow(s, f)) return;
    }
}

/* ---- the end ------------------------------------------------------------------------------ */

/* Everything in the wheel that is parked: OVER, in the order in which it is found. */
static bool give_up(struct wheel_node *n, void *ctx)
{
    struct shard *s = ctx;
    if (timer_kind(n) != TIMER_PARKED) return true;
    struct parked *k = CONTAINER_OF(n, struct parked, timer);
    struct flow *f = parked_flow(s->slab, k);
    wheel_cancel(&s->wheel, n);
    if (k->state == PARKED_DELAYED) {
        f->delayed--;
        k->state = PARKED_LOOSE;
    } else {
        f->backlog--;
        k->state = PARKED_OVER;
        flow_update(&s->lanes, f);
    }
    recall_over(s, k);
    return true;
}

void waiting_drain(struct shard *s) { wheel_each(&s->wheel, give_up, s); }
