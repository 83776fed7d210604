/* tests/unit/test_lane_flows.c - goal: whatever is pushed, taken, parked, blocked, connected and
 * forgotten in whatever order, a flow that can use a turn is in its lane's ring and a lane that can
 * begin something is on the ready list, both are served in turn, each queue keeps its order, who
 * must wait is on no list, and only what nobody uses is given back (lanes: the oldest first).
 *
 * Method: random operations on the lanes and on a dumb model (arrays) at once. After every step
 * all queues, rings and lists and their order are compared, and lanes_validate() runs. What the
 * engine does to a flow's counts by itself (parked records, attempts) is done here as it does it.
 * Then chosen cases: turns, reasons to be kept, many keys.
 */
#include "core/engine/lane.h"

#include "core/base/prng.h"
#include "tests/unit/lane_world.h"

enum {
    HOSTS = 16,
    KEYS = 4, /* flows of a host; the first is its own */
    DELIVERIES = 60,
    CONNS = 40,
    UNUSED_MAX = 4,
    SEEDS = 500,
    STEPS = 1000,
};

/* ---- the model: arrays, first element first ----------------------------------------------- */

struct list {
    uint32_t at[DELIVERIES + CONNS + HOSTS], count;
};

static void list_insert(struct list *l, uint32_t where, uint32_t value)
{
    memmove(&l->at[where + 1], &l->at[where], (l->count - where) * sizeof *l->at);
    l->at[where] = value;
    l->count++;
}

static void list_append(struct list *l, uint32_t value) { list_insert(l, l->count, value); }

static uint32_t list_take(struct list *l, uint32_t where)
{
    uint32_t value = l->at[where];
    l->count--;
    memmove(&l->at[where], &l->at[where + 1], (l->count - where) * sizeof *l->at);
    return value;
}

static uint32_t list_where(const struct list *l, uint32_t value)
{
    uint32_t i = 0;
    while (i < l->count && l->at[i] != value) i++;
    return i;
}

/* The value is in the list, at its end if it was not before, or is not. */
static void list_set(struct list *l, uint32_t value, bool in)
{
    uint32_t i = list_where(l, value);
    if (in && i == l->count) list_append(l, value);
    if (!in && i < l->count) (void)list_take(l, i);
}

struct flow_model {
    struct flow *flow;                    /* NULL: not known */
    struct list queue[FLOW_KINDS], loose; /* deliveries; those in no queue, to be told */
    uint32_t backlog, delayed, in_flight;
    bool blocked, in_recall;
};

struct host_model {
    struct lane *lane; /* NULL: not known */
    struct flow_model flows[KEYS];
    struct list ring, idle, busy; /* keys; connections, of the idle ones the last used first */
    bool blocked, dirty;
};

static struct {
    struct prng dice;
    struct host_model hosts[HOSTS];
    struct list ready, unused, deliveries, conns; /* hosts; hosts; free ones */
    struct delivery delivery[DELIVERIES];
    struct conn conn[CONNS];
    uint64_t evictions, settled, stale, blocked_turns;
} m;

static uint32_t below(uint64_t bound) { return (uint32_t)prng_below(&m.dice, bound); }

static uint32_t queued_of(const struct flow_model *f)
{
    return f->queue[FLOW_FIRST].count + f->queue[FLOW_RETRY].count;
}

static bool is_empty(const struct flow_model *f)
{
    return queued_of(f) + f->loose.count + f->backlog + f->delayed + f->in_flight == 0 &&
           !f->in_recall;
}

static bool can_begin(const struct host_model *h) { return h->ring.count > 0 && !h->blocked; }

/* Puts everything of this host where its state says that it belongs. */
static void update(uint32_t i)
{
    struct host_model *h = &m.hosts[i];
    bool used = h->idle.count + h->busy.count > 0 || h->dirty || !is_empty(&h->flows[0]);
    for (uint32_t k = 0; k < KEYS; k++) {
        const struct flow_model *f = &h->flows[k];
        bool something = queued_of(f) > 0 || (f->backlog > 0 && !f->in_recall);
        list_set(&h->ring, k, something && !f->blocked);
        used = used || (k > 0 && f->flow != NULL);
    }
    if (can_begin(h)) list_set(&m.ready, i, true);
    list_set(&m.unused, i, !used && list_where(&m.ready, i) == m.ready.count);
}

static void forget(uint32_t where)
{
    uint32_t i = list_take(&m.unused, where);
    memset(&m.hosts[i], 0, sizeof m.hosts[i]);
    m.evictions++;
}

/* ---- operations on both ------------------------------------------------------------------- */

static void do_find(uint32_t i)
{
    struct host_model *h = &m.hosts[i];
    bool known = h->lane != NULL;
    if (!known && m.unused.count >= UNUSED_MAX) forget(0);
    struct lane *l = find_number(i);
    if (known) MUST(h->lane == l, "one host, two lanes");
    h->lane = l;
    h->flows[0].flow = l->own;
    if (!known) update(i);
}

static void do_flow(uint32_t i, uint32_t k)
{
    struct host_model *h = &m.hosts[i];
    struct flow *f = flow_of(h->lane, k);
    if (h->flows[k].flow != NULL) MUST(f == h->flows[k].flow, "one key, two flows");
    MUST(f->lane == h->lane && f->key == k, "another's flow");
    h->flows[k].flow = f;
    update(i);
}

static void do_push(uint32_t i, uint32_t k, enum flow_kind kind, bool front)
{
    struct flow_model *f = &m.hosts[i].flows[k];
    bool loose = f->loose.count > 0;
    if (!loose && m.deliveries.count == 0) return;
    uint32_t d = list_take(loose ? &f->loose : &m.deliveries, 0);
    f->flow->untold = f->loose.count;
    if (front) flow_push_front(&w.lanes, f->flow, kind, &m.delivery[d]);
    else flow_push(&w.lanes, f->flow, kind, &m.delivery[d]);
    list_insert(&f->queue[kind], front ? 0 : f->queue[kind].count, d);
    update(i);
}

/* Out of its queue, the first one or any; it lives on. */
static void do_take(uint32_t i, uint32_t k, enum flow_kind kind, bool first)
{
    struct flow_model *f = &m.hosts[i].flows[k];
    struct list *q = &f->queue[kind];
    if (q->count == 0) return;
    uint32_t d = list_take(q, first ? 0 : below(q->count));
    if (first) MUST(flow_pop(&w.lanes, f->flow, kind) == &m.delivery[d], "not the first");
    else flow_remove(&w.lanes, f->flow, kind, &m.delivery[d]);
    MUST(m.delivery[d].next == NULL, "still linked");
    list_append(&f->loose, d);
    f->flow->untold = f->loose.count;
    lane_update(&w.lanes, f->flow->lane);
    update(i);
}

static void do_release(uint32_t i, uint32_t k)
{
    struct flow_model *f = &m.hosts[i].flows[k];
    if (f->loose.count == 0) return;
    list_append(&m.deliveries, list_take(&f->loose, 0));
    f->flow->untold = f->loose.count;
    lane_update(&w.lanes, f->flow->lane);
    update(i);
}

static void do_settle(uint32_t i, uint32_t k)
{
    struct flow_model *f = &m.hosts[i].flows[k];
    flow_settle(&w.lanes, f->flow, w.now_ns);
    if (k > 0 && is_empty(f)) {
        memset(f, 0, sizeof *f);
        m.settled++;
    }
    update(i);
}

enum parking_step { PARKS, COMES_DUE, ASKS_OR_HAS_ENOUGH, IS_GONE, PARKING_STEPS };

static void do_park(uint32_t i, uint32_t k, enum parking_step step)
{
    struct flow_model *f = &m.hosts[i].flows[k];
    struct lane *l = m.hosts[i].lane;
    if (step == COMES_DUE && f->delayed == 0) return;
    if (step == IS_GONE && f->backlog == 0) return;
    l->parked += step == PARKS ? 1u : step == IS_GONE ? UINT32_MAX : 0;
    f->delayed += step == PARKS ? 1u : step == COMES_DUE ? UINT32_MAX : 0;
    f->backlog += step == COMES_DUE ? 1u : step == IS_GONE ? UINT32_MAX : 0;
    if (step == ASKS_OR_HAS_ENOUGH) f->in_recall = !f->in_recall && f->backlog > 0;
    f->flow->delayed = f->delayed;
    f->flow->backlog = f->backlog;
    f->flow->in_recall = f->in_recall;
    flow_update(&w.lanes, f->flow);
    update(i);
}

static void do_attempt(uint32_t i, uint32_t k, bool begins)
{
    struct flow_model *f = &m.hosts[i].flows[k];
    if (!begins && f->in_flight == 0) return;
    f->in_flight += begins ? 1 : UINT32_MAX;
    f->flow->in_flight = f->in_flight;
    lane_update(&w.lanes, m.hosts[i].lane);
    update(i);
}

static void do_block(uint32_t i, uint32_t k)
{
    struct flow_model *f = &m.hosts[i].flows[k];
    f->blocked = below(2) == 0;
    wheel_cancel(&w.wheel, &f->flow->timer);
    if (f->blocked) {
        flow_block(&w.lanes, f->flow);
        wheel_arm(&w.wheel, &f->flow->timer, w.now_ns + SECOND_NS);
    } else {
        flow_wake(&w.lanes, f->flow);
    }
    update(i);
}

static void do_block_lane(uint32_t i, bool blocks)
{
    struct host_model *h = &m.hosts[i];
    h->lane->blocked = h->blocked = blocks;
    wheel_cancel(&w.wheel, &h->lane->timer);
    if (blocks) wheel_arm(&w.wheel, &h->lane->timer, w.now_ns + SECOND_NS);
    lane_update(&w.lanes, h->lane);
    update(i);
}

static void do_dirty(uint32_t i, bool dirty)
{
    m.hosts[i].lane->dirty = m.hosts[i].dirty = dirty;
    lane_update(&w.lanes, m.hosts[i].lane);
    update(i);
}

static void do_connect(uint32_t i)
{
    struct host_model *h = &m.hosts[i];
    if (m.conns.count == 0 || !host_conn_take(h->lane->host, CONNS_MAX)) {
        MUST(m.conns.count == 0 || h->idle.count + h->busy.count == CONNS_MAX, "connections");
        return;
    }
    list_append(&h->busy, list_take(&m.conns, 0));
    lane_conn_added(&w.lanes, h->lane);
    update(i);
}

static void do_disconnect(uint32_t i)
{
    struct host_model *h = &m.hosts[i];
    if (h->busy.count == 0) return;
    list_append(&m.conns, list_take(&h->busy, 0));
    lane_conn_gone(&w.lanes, h->lane);
    update(i);
}

static void do_idle(uint32_t i)
{
    struct host_model *h = &m.hosts[i];
    if (h->busy.count == 0) return;
    uint32_t c = list_take(&h->busy, below(h->busy.count));
    lane_idle_add(&w.lanes, h->lane, &m.conn[c]);
    list_insert(&h->idle, 0, c);
    update(i);
}

static void do_unidle(uint32_t i)
{
    struct host_model *h = &m.hosts[i];
    if (h->idle.count == 0) return;
    uint32_t c = list_take(&h->idle, below(h->idle.count));
    lane_idle_remove(h->lane, &m.conn[c]);
    MUST(m.conn[c].next == NULL && m.conn[c].prev == NULL, "still linked");
    list_append(&h->busy, c);
}

static void do_rotate(uint32_t i, uint32_t k)
{
    struct list *ring = &m.hosts[i].ring;
    uint32_t where = list_where(ring, k);
    lane_rotate(m.hosts[i].flows[k].flow);
    if (where < ring->count) list_append(ring, list_take(ring, where));
}

/* The first ready lane that still has a reason to be there: the flow at the head of its ring takes
 * a turn, or is found to have to wait, or the lane is. */
static void do_next(void)
{
    uint32_t i = HOSTS;
    while (i == HOSTS && m.ready.count > 0) {
        uint32_t first = list_take(&m.ready, 0);
        if (can_begin(&m.hosts[first])) i = first;
        else update(first);
        m.stale += i == HOSTS;
    }
    struct lane *l = lanes_next_ready(&w.lanes);
    MUST(l == (i < HOSTS ? m.hosts[i].lane : NULL), "not the first ready lane");
    if (l == NULL) return;
    uint32_t k = m.hosts[i].ring.at[0], dice = below(100);
    MUST(l->ring == m.hosts[i].flows[k].flow, "not the first flow");
    if (dice < 70) do_take(i, k, below(2) == 0 ? FLOW_FIRST : FLOW_RETRY, true);
    else if (dice < 80) do_block(i, k);
    else if (dice < 90) do_block_lane(i, true);
    m.blocked_turns += dice >= 80 && dice < 90;
    do_rotate(i, k);
    lane_update(&w.lanes, l);
    update(i);
}

static void do_evict(uint32_t keep)
{
    uint32_t where = m.unused.count > 0 && m.unused.at[0] == keep ? 1 : 0;
    bool expected = where < m.unused.count;
    MUST(lanes_evict(&w.lanes, m.hosts[keep].lane, w.now_ns) == expected, "evicted");
    if (expected) forget(where);
}

/* ---- comparing ---------------------------------------------------------------------------- */

static void compare_flow(const struct flow_model *f)
{
    for (int kind = 0; kind < FLOW_KINDS; kind++) {
        const struct list *q = &f->queue[kind];
        const struct delivery *last = NULL;
        uint32_t n = 0;
        for (const struct delivery *d = f->flow->queue[kind].head; d; last = d, d = d->next, n++)
            MUST(n < q->count && d == &m.delivery[q->at[n]], "queue %d at %u", kind, n);
        MUST(n == q->count && f->flow->queue[kind].tail == last, "%u queued", n);
    }
    MUST(f->flow->queued == queued_of(f), "%u queued", f->flow->queued);
    MUST(f->flow->untold == f->loose.count, "%u untold", f->flow->untold);
    MUST(f->flow->blocked == f->blocked, "blocked");
}

static void compare_ring(const struct host_model *h)
{
    uint32_t n = 0;
    for (const struct flow *f = h->lane->ring; f != NULL; f = f->ring_next, n++)
        MUST(n < h->ring.count && f == h->flows[h->ring.at[n]].flow, "ring at %u", n);
    MUST(n == h->ring.count, "%u in the ring, not %u", n, h->ring.count);
}

static void compare_host(const struct host_model *h)
{
    const struct lane *l = h->lane;
    uint32_t n = 0, queued = 0, keyed = 0;
    for (uint32_t k = 0; k < KEYS; k++) {
        if (h->flows[k].flow == NULL) continue;
        compare_flow(&h->flows[k]);
        queued += queued_of(&h->flows[k]);
        keyed += k > 0;
    }
    compare_ring(h);
    MUST(l->queued == queued && l->flows == keyed, "%u queued, %u flows", l->queued, l->flows);
    const struct conn *before = NULL;
    for (const struct conn *c = l->idle; c != NULL; before = c, c = c->next, n++)
        MUST(n < h->idle.count && c == &m.conn[h->idle.at[n]] && c->prev == before, "idle %u", n);
    MUST(n == h->idle.count && l->conns == n + h->busy.count, "%u connections", l->conns);
    MUST(l->host->entry.refs == 1 && l->host->conns << 1 >> 1 == l->conns, "its host's counts");
}

static void compare_lists(void)
{
    uint32_t n = 0;
    for (const struct lane *l = w.lanes.ready_head; l != NULL; l = l->ready_next, n++)
        MUST(n < m.ready.count && l == m.hosts[m.ready.at[n]].lane && l->ready, "ready %u", n);
    MUST(n == m.ready.count, "%u ready, not %u", n, m.ready.count);
    n = 0;
    const struct lane *before = NULL;
    for (const struct lane *l = w.lanes.oldest; l != NULL; before = l, l = l->newer, n++)
        MUST(n < m.unused.count && l == m.hosts[m.unused.at[n]].lane && l->older == before,
             "unused %u", n);
    MUST(n == m.unused.count && w.lanes.newest == before, "%u unused, not %u", n, m.unused.count);
}

static void compare(void)
{
    uint32_t known = 0, timers = 0;
    lanes_validate(&w.lanes);
    for (uint32_t i = 0; i < HOSTS; i++) {
        const struct host_model *h = &m.hosts[i];
        if (h->lane == NULL) continue;
        known++;
        timers += h->blocked;
        for (uint32_t k = 0; k < KEYS; k++) timers += h->flows[k].blocked;
        compare_host(h);
    }
    MUST(known == w.lanes.count, "%u lanes, %u hosts", w.lanes.count, known);
    MUST(timers == w.wheel.count, "%lu timers, %u blocked", w.wheel.count, timers);
    compare_lists();
}

/* ---- all together ------------------------------------------------------------------------- */

static void operate_flow(uint32_t i, uint32_t k)
{
    enum flow_kind kind = below(2) == 0 ? FLOW_FIRST : FLOW_RETRY;
    uint32_t what = below(100);
    if (m.hosts[i].flows[k].flow == NULL) do_flow(i, k);
    else if (what < 25) do_push(i, k, kind, false);
    else if (what < 32) do_push(i, k, kind, true);
    else if (what < 40) do_take(i, k, kind, true);
    else if (what < 48) do_take(i, k, kind, false);
    else if (what < 62) do_release(i, k);
    else if (what < 72) do_park(i, k, (enum parking_step)below(PARKING_STEPS));
    else if (what < 78) do_attempt(i, k, below(2) == 0);
    else if (what < 86) do_block(i, k);
    else if (what < 96) do_settle(i, k);
    else do_rotate(i, k);
}

static void operate(void)
{
    uint32_t i = below(HOSTS), what = below(100);
    if (what < 6 || m.hosts[i].lane == NULL) do_find(i);
    else if (what < 60) operate_flow(i, below(KEYS));
    else if (what < 66) do_connect(i);
    else if (what < 72) do_disconnect(i);
    else if (what < 76) do_idle(i);
    else if (what < 80) do_unidle(i);
    else if (what < 84) do_block_lane(i, below(3) == 0);
    else if (what < 86) do_dirty(i, below(2) == 0);
    else if (what < 97) do_next();
    else do_evict(i);
}

static void flow_empty_out(uint32_t i, uint32_t k)
{
    struct flow_model *f = &m.hosts[i].flows[k];
    for (int kind = 0; kind < FLOW_KINDS; kind++)
        while (f->queue[kind].count > 0) do_take(i, k, (enum flow_kind)kind, true);
    while (f->loose.count > 0) do_release(i, k);
    if (f->in_recall) do_park(i, k, ASKS_OR_HAS_ENOUGH);
    while (f->delayed > 0) do_park(i, k, COMES_DUE);
    while (f->backlog > 0) do_park(i, k, IS_GONE);
    while (f->in_flight > 0) do_attempt(i, k, false);
    do_settle(i, k);
}

static void empty_all(void)
{
    for (uint32_t i = 0; i < HOSTS; i++) {
        struct host_model *h = &m.hosts[i];
        if (h->lane == NULL) continue;
        for (uint32_t k = 0; k < KEYS; k++)
            if (h->flows[k].flow != NULL) flow_empty_out(i, k);
        while (h->idle.count > 0) do_unidle(i);
        while (h->busy.count > 0) do_disconnect(i);
        do_dirty(i, false);
    }
    while (m.ready.count > 0) do_next();
}

static void random_run(uint64_t seed)
{
    memset(m.hosts, 0, sizeof m.hosts);
    m.ready.count = m.unused.count = m.deliveries.count = m.conns.count = 0;
    prng_seed(&m.dice, seed);
    for (uint32_t i = 0; i < DELIVERIES; i++) list_append(&m.deliveries, i);
    for (uint32_t i = 0; i < CONNS; i++) list_append(&m.conns, i);
    for (uint32_t step = 0; step < STEPS; step++) {
        operate();
        compare();
    }
    empty_all();
    compare();
    MUST(m.unused.count == w.lanes.count && w.lanes.keyed == 0, "all are unused");
    while (lanes_evict(&w.lanes, NULL, w.now_ns)) forget(0);
    compare();
    MUST(w.lanes.count == 0, "all are forgotten");
}

TestSuite(lane_flows, .init = world_begin);

Test(lane_flows, random_operations)
{
    w.lanes.unused_max = UNUSED_MAX;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) random_run(seed);
    cr_assert_gt(m.evictions, 1000, "hardly anything was evicted");
    cr_assert_gt(m.settled, 1000, "hardly a flow was given back");
    cr_assert_gt(m.stale, 100, "no lane ever lost its reason to be ready");
    cr_assert_gt(m.blocked_turns, 100, "no lane was blocked in its turn");
    slab_validate(w.slab);
    world_close();
}

/* ---- chosen cases ------------------------------------------------------------------------- */

/* Queues of very different length: no flow is served twice in a row before another one that has
 * something. One that has nothing left after its turn has left the ring, and lane_rotate() must not
 * send the next one to its end for that. */
Test(lane_flows, each_flow_in_its_turn)
{
    enum { FLOWS = 7 };
    static const uint32_t lengths[FLOWS] = {1, 50, 1, 40, 1, 30, 2};
    struct lane *l = find_number(0);
    struct flow *f[FLOWS];
    uint32_t served[FLOWS] = {0};
    for (uint32_t i = 0; i < FLOWS; i++) {
        f[i] = flow_of(l, i);
        for (uint32_t n = 0; n < lengths[i]; n++) (void)push_new(f[i], FLOW_RETRY);
    }
    for (uint32_t turn = 0; l->ring != NULL; turn++) {
        uint32_t i = 0;
        while (f[i] != l->ring) i++;
        if (turn < FLOWS) cr_expect_eq(i, turn, "flow %u in turn %u", i, turn);
        free(flow_pop(&w.lanes, f[i], FLOW_RETRY));
        lane_rotate(f[i]);
        lanes_validate(&w.lanes);
        served[i]++;
        for (uint32_t k = 0; k < FLOWS; k++)
            MUST(served[k] == lengths[k] || served[k] + 1 >= served[i], "%u waits for %u", k, i);
    }
    for (uint32_t i = 0; i < FLOWS; i++) {
        cr_expect_eq(served[i], lengths[i]);
        flow_settle(&w.lanes, f[i], w.now_ns);
    }
    cr_expect_eq(l->flows, 0);
    world_close();
}

/* What is parked and due gives its flow turns as well, until it is asked for. */
Test(lane_flows, a_backlog_is_a_reason)
{
    struct lane *l = find_number(0);
    l->parked = 1;
    l->own->backlog = 1;
    flow_update(&w.lanes, l->own);
    cr_assert_eq(lanes_next_ready(&w.lanes), l);
    l->own->in_recall = true;
    flow_update(&w.lanes, l->own);
    cr_assert_null(lanes_next_ready(&w.lanes));
    cr_assert_null(l->ring);
    l->own->in_recall = false;
    flow_block(&w.lanes, l->own);
    cr_assert_null(l->ring);
    flow_wake(&w.lanes, l->own);
    cr_assert_eq(lanes_next_ready(&w.lanes), l);
    l->parked = l->own->backlog = 0;
    flow_update(&w.lanes, l->own);
    cr_assert(l->unused);
    world_close();
}

/* Each single thing that a keyed flow may be needed for, and nothing else, keeps it. */
Test(lane_flows, a_flow_is_given_back_when_nothing_is_left)
{
    struct lane *l = find_number(0);
    struct flow *f = flow_of(l, 7);
    uint32_t *counts[] = {&f->untold, &f->backlog, &f->delayed, &f->in_flight,
                          &f->queue[FLOW_FIRST].first};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        *counts[i] = 1;
        flow_settle(&w.lanes, f, w.now_ns);
        cr_assert_eq(w.lanes.keyed, 1, "count %zu", i);
        *counts[i] = 0;
    }
    f->in_recall = true;
    flow_settle(&w.lanes, f, w.now_ns);
    cr_assert_eq(w.lanes.keyed, 1);
    f->in_recall = false;
    flow_block(&w.lanes, f); /* that alone is nothing to wait for: its timer goes with it */
    wheel_arm(&w.wheel, &f->timer, w.now_ns + SECOND_NS);
    flow_settle(&w.lanes, f, w.now_ns);
    cr_assert_eq(w.lanes.keyed, 0);
    cr_assert_eq(w.wheel.count, 0);
    cr_assert(l->unused);
    flow_settle(&w.lanes, l->own, w.now_ns);
    cr_assert_eq(flow_of(l, 0), l->own, "a lane's own flow stays");
    world_close();
}

/* Keys of two hosts: each is found where it was, also after the buckets grew; all are given back,
 * and so are they while the ring is long and in any order. */
Test(lane_flows, many_keys)
{
    enum { MANY = 5000, STEP = 1237 /* has no factor in common with MANY */ };
    static struct flow *all[MANY];
    struct lane *l[2] = {find_number(0), find_number(1)};
    for (uint32_t i = 0; i < MANY; i++) {
        all[i] = flow_of(l[i & 1], 1 + i / 2);
        (void)push_new(all[i], FLOW_FIRST);
    }
    lanes_validate(&w.lanes);
    cr_assert_geq(w.lanes.buckets, MANY / 2);
    for (uint32_t i = 0; i < MANY; i++) MUST(flow_of(l[i & 1], 1 + i / 2) == all[i], "key %u", i);
    for (uint32_t n = 0, i = 0; n < MANY; n++, i = (i + STEP) % MANY) {
        pop_old(all[i], FLOW_FIRST);
        if (n % 100 == 0) lanes_validate(&w.lanes);
    }
    cr_assert_eq(w.lanes.keyed, 0);
    cr_assert_null(lanes_next_ready(&w.lanes));
    cr_assert(l[0]->unused && l[1]->unused);
    world_close();
}
