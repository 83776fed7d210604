/* core/engine/gate.c - may the next delivery of a flow begin now?
 *
 * In this order: the host is not on hold; its window has a permit for it; a retry is within the
 * budget; the run's rate, the host's own, and the paces that receivers asked for let it through;
 * and the host is still not on hold. Whoever says no blocks the flow or its lane until a time that
 * it knows, or until an exchange of the lane ends. What was taken of the others is then given back.
 */
#include "core/engine/shard_state.h"

enum {
    LEASE_MAX = 16, /* permits of a rate that are taken at once */
    PERMITS_MAX = 16,
};
#define POLL_NS       UINT64_C(5000000)   /* another shard holds all the permits or connections */
#define PARK_AFTER_NS UINT64_C(100000000) /* a wait that is worth giving memory back for */

/* ---- blocking ----------------------------------------------------------------------------- */

void gate_lane_block(struct shard *s, struct lane *l, uint64_t until_ns)
{
    l->blocked = true;
    wheel_cancel(&s->wheel, &l->timer);
    timer_arm(s, &l->timer, TIMER_LANE, until_ns);
}

void gate_lane_timer(struct shard *s, struct lane *l)
{
    l->blocked = l->held = false;
    lane_update(&s->lanes, l);
}

void gate_flow_block(struct shard *s, struct flow *f, uint64_t until_ns)
{
    flow_block(&s->lanes, f);
    wheel_cancel(&s->wheel, &f->timer);
    timer_arm(s, &f->timer, TIMER_FLOW, until_ns);
    if (until_ns > io_now_ns(s->io) + PARK_AFTER_NS) (void)park_flow(s, f);
    struct lane *l = f->lane;
    /* Permits that nothing here can use now may be of use to another shard, for another key. */
    if (l->ring == NULL && l->permits > l->in_flight) feedback_dirty(s, l);
}

void gate_flow_timer(struct shard *s, struct flow *f)
{
    flow_wake(&s->lanes, f);
    flow_settle(&s->lanes, f, io_now_ns(s->io));
}

static enum gate lane_held(struct shard *s, struct lane *l, uint64_t until_ns)
{
    bool long_one = until_ns > io_now_ns(s->io) + PARK_AFTER_NS;
    l->held = true;
    feedback_dirty(s, l); /* its permits are of no use here */
    gate_lane_block(s, l, until_ns);
    if (long_one) park_lane(s, l);
    return GATE_LANE;
}

/* ---- one after the other ------------------------------------------------------------------ */

static enum gate permit(struct shard *s, struct lane *l)
{
    if (l->in_flight < l->permits) return GATE_OPEN;
    uint32_t want = l->queued < PERMITS_MAX ? l->queued : PERMITS_MAX;
    struct host_holder who = {.shard = s->index, .held = l->permits, .max = l->conns_max};
    uint32_t got = host_permits_take(l->host, &who, want, io_now_ns(s->io));
    l->permits += got;
    if (got < want) l->full = true;
    if (got > 0) return GATE_OPEN;
    gate_lane_block(s, l, l->in_flight > 0 ? UINT64_MAX : io_now_ns(s->io) + POLL_NS);
    return GATE_LANE;
}

/* One of a rate: out of the lease, or taken with some more for the visit. */
static bool rate_take(struct gcra *g, uint64_t interval_ns, uint64_t now_ns, uint32_t want,
                      uint32_t *lease, uint64_t *again_ns)
{
    if (interval_ns == 0) return true;
    if (*lease == 0) *lease = gcra_take(g, interval_ns, PACE_TOLERANCE_NS, now_ns, want, again_ns);
    if (*lease == 0) return false;
    --*lease;
    return true;
}

static bool pace_take_one(struct pace *p, uint64_t now_ns, uint32_t want, uint32_t *lease,
                          uint64_t *again_ns)
{
    if (p == NULL) return true;
    if (*lease == 0) *lease = pace_take(p, now_ns, want, again_ns);
    if (*lease == 0) return false;
    --*lease;
    return true;
}

static enum gate rates(struct shard *s, struct flow *f, struct lease *lease)
{
    struct lane *l = f->lane;
    uint64_t now_ns = io_now_ns(s->io), again_ns = 0;
    uint32_t want = f->queued < LEASE_MAX ? f->queued : LEASE_MAX;
    const struct config *c = s->run->config;
    if (!rate_take(&s->run->rate, c->rate_interval_ns, now_ns, want, &lease->run, &again_ns)) {
        s->rate_until_ns = again_ns;
        return GATE_SHARD;
    }
    if (!rate_take(&l->host->rate, l->interval_ns, now_ns, want, &lease->host, &again_ns)) {
        if (c->rate_interval_ns != 0) lease->run++;
        gate_lane_block(s, l, again_ns);
        return GATE_LANE;
    }
    if (!pace_take_one(l->pace, now_ns, want, &lease->all_keys, &again_ns)) {
        if (c->rate_interval_ns != 0) lease->run++;
        if (l->interval_ns != 0) lease->host++;
        return lane_held(s, l, again_ns);
    }
    if (!pace_take_one(f->pace, now_ns, want, &lease->own, &again_ns)) {
        if (c->rate_interval_ns != 0) lease->run++;
        if (l->interval_ns != 0) lease->host++;
        if (l->pace != NULL) lease->all_keys++;
        gate_flow_block(s, f, again_ns);
        return GATE_FLOW;
    }
    return GATE_OPEN;
}

void gate_end(struct shard *s, struct lease *lease)
{
    struct flow *f = lease->flow;
    if (f == NULL) return;
    if (lease->run > 0) gcra_give(&s->run->rate, s->run->config->rate_interval_ns, lease->run);
    if (lease->host > 0) gcra_give(&f->lane->host->rate, f->lane->interval_ns, lease->host);
    if (lease->all_keys > 0) pace_give(f->lane->pace, lease->all_keys);
    if (lease->own > 0) pace_give(f->pace, lease->own);
    *lease = (struct lease){.flow = NULL};
}

static void rates_undo(struct shard *s, struct flow *f, struct lease *lease)
{
    if (s->run->config->rate_interval_ns != 0) lease->run++;
    if (f->lane->interval_ns != 0) lease->host++;
    if (f->lane->pace != NULL) lease->all_keys++;
    if (f->pace != NULL) lease->own++;
}

enum gate gate_pass(struct shard *s, struct flow *f, struct delivery *d, struct lease *lease)
{
    struct lane *l = f->lane;
    const struct host_rules *rules = &s->run->config->health;
    uint64_t now_ns = io_now_ns(s->io), until_ns = 0;
    bool begun = d->attempt_ns != 0; /* what has begun goes on */
    if (!begun && host_look(l->host, rules, now_ns, &until_ns) == HOST_HELD)
        return lane_held(s, l, until_ns);
    enum gate g = permit(s, l);
    if (g != GATE_OPEN || begun) return g;
    if (lease->flow != f) gate_end(s, lease);
    lane_paces_look(&s->lanes, l, f);
    lease->flow = f;
    g = rates(s, f, lease);
    if (g != GATE_OPEN) {
        gate_end(s, lease);
        return g;
    }
    switch (host_gate(l->host, rules, now_ns, &until_ns, &d->probe_round)) {
    case HOST_OPEN: d->probe = false; return GATE_OPEN;
    case HOST_PROBE: d->probe = true; return GATE_OPEN;
    case HOST_HELD: break;
    }
    rates_undo(s, f, lease);
    gate_end(s, lease);
    return lane_held(s, l, until_ns);
}

void gate_undo(struct shard *s, struct flow *f, struct delivery *d, struct lease *lease)
{
    if (d->attempt_ns != 0) return;
    rates_undo(s, f, lease);
    if (d->probe) host_probe_unused(f->lane->host, d->probe_round);
    d->probe = false;
}
