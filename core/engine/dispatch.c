/* core/engine/dispatch.c - from a waiting delivery to a connection.
 *
 * Goes round the ready lanes by deficit round robin (Shreedhar and Varghese, 1995), in bytes of
 * requests; within a lane its flows take turns, within a flow first attempts and retries.
 */
#include "core/engine/shard_state.h"
#include "core/net/trace.h"

enum {
    EVICT_LOOKS = 64, /* connections looked at, in one go, for an idle one to close */
    QUANTUM_BYTES = 8192,
    TURN_EXCHANGES = 32, /* that a lane may have on a connection before another lane may close it */
};
#define CONN_POLL_NS UINT64_C(5000000) /* other shards have all the connections of a host */

/* ---- beginning an attempt ----------------------------------------------------------------- */

/* The lane that it belongs to does not need it now, or has had its turn. */
static bool can_spare(const struct lane *l, const struct conn *c)
{
    return l->queued == 0 || l->blocked || c->served >= TURN_EXCHANGES;
}

/* Closes a connection that idles, for some other host's sake: of a lane with more than its share,
 * or, for a lane that has none (any), one that its lane can spare. */
static void evict_one(struct shard *s, uint32_t share, bool any)
{
    for (int i = 0; i < EVICT_LOOKS; i++) {
        struct conn *c = &s->conns.conns[s->evict_hand];
        s->evict_hand = (s->evict_hand + 1) % s->conns.touched;
        const struct lane *l = c->lane;
        if (c->state != CONN_IDLE || (l->conns <= share && !(any && can_spare(l, c)))) continue;
        conn_close(c, ERR_OK);
        return;
    }
}

static void attempt_begin(struct shard *s, struct delivery *d, struct exchange *ex)
{
    uint64_t now_ns = io_now_ns(s->io);
    if (d->attempt_ns == 0) { /* not a re-send, and not the same attempt at another address */
        if (d->attempts == 0) d->since_ns = now_ns;
        else TALLY_ADD(s->tally.retries, 1);
        d->attempt_ns = now_ns;
        d->attempts++;
        if (s->rules.signer != NULL)
            delivery_sign(d, s->rules.signer, io_wall_ns(s->io) / UINT64_C(1000000000));
        note_begun(s, d);
        d->flow->in_flight++;
        TALLY_ADD(s->tally.attempts, 1);
    }
    ex->req = delivery_request(d);
    ex->req_len = d->request_len;
    ex->owner = d;
    ex->trace = s->run->config->trace;
    trace_request(ex->trace, ex->req, ex->req_len);
    ex->deadline_ns = d->attempt_ns + s->run->config->timeout_ns;
    s->busy++;
}

/* Of the host's connections, the part of one of the shards that know it. */
static uint32_t conns_share(const struct lane *l)
{
    uint32_t shards = load_rlx(&l->host->entry.refs);
    return shards <= 1 ? l->conns_max : l->conns_max < shards ? 1 : l->conns_max / shards;
}

/* Of the shard's connections, the part of one lane while they are scarce. What one lane opens
 * beyond it another one must close, and open again when its next record comes: that costs each of
 * them several times what a delivery does. */
static uint32_t scarce_share(const struct shard *s)
{
    if (s->conns.open < s->conns.count / 2) return UINT32_MAX;
    uint32_t lanes = s->lanes.count - s->lanes.unused_count;
    return s->conns.count > lanes && lanes > 0 ? s->conns.count / lanes : 1;
}

/* False: the host has as many as it may. *c stays NULL if the shard has. */
static bool new_conn(struct shard *s, struct lane *l, struct conn **c)
{
    if (l->conns >= scarce_share(s) || l->conns >= conns_share(l)) return false;
    if (!host_conn_take(l->host, l->conns_max)) return false;
    *c = conn_take(&s->conns);
    if (*c == NULL) host_conn_give(l->host);
    return true;
}

/* TLS has no memory for one more connection now: the lane's own will do, or another one's goes. */
static void wait_for_room(struct shard *s, struct lane *l)
{
    if (l->idle != NULL) conn_close(l->idle, ERR_OK); /* a new one is needed */
    if (l->conns > 0) gate_lane_block(s, l, UINT64_MAX);
    else if (s->conns.touched > 0) evict_one(s, 1, true);
}

/* A connection for the delivery: idle or new. NULL: it must wait; the lane may be blocked now. */
static struct conn *conn_for(struct shard *s, struct lane *l, const struct delivery *d)
{
    if (l->idle != NULL && !d->fresh) {
        struct conn *c = l->idle;
        lane_idle_remove(l, c);
        return c;
    }
    if (io_now_ns(s->io) < s->no_room_until_ns) return NULL;
    if (l->secure && !secure_room(s)) {
        wait_for_room(s, l);
        return NULL;
    }
    struct conn *c = NULL;
    if (!new_conn(s, l, &c)) {
        if (l->idle != NULL) conn_close(l->idle, ERR_OK); /* a new one is needed */
        if (l->conns == 0) (void)add_rlx(&s->run->conns_wanted, 1);
        gate_lane_block(s, l, l->conns > 0 ? UINT64_MAX : io_now_ns(s->io) + CONN_POLL_NS);
        return NULL;
    }
    if (c == NULL) evict_one(s, scarce_share(s), l->conns == 0);
    return c;
}

struct conn *dispatch_conn(struct shard *s, struct lane *l)
{
    struct conn *c = NULL;
    bool allowed = io_now_ns(s->io) >= s->no_room_until_ns && new_conn(s, l, &c);
    return allowed ? c : NULL;
}

static enum flow_kind kind_of(const struct delivery *d)
{
    return d->retry ? FLOW_RETRY : FLOW_FIRST;
}

/* Its turn has come: it leaves its queue, and its attempt begins. */
static void begin_attempt(struct shard *s, struct flow *f, struct delivery *d, struct exchange *ex)
{
    enum flow_kind kind = kind_of(d);
    struct delivery *popped = flow_pop(&s->lanes, f, kind);
    CHECK(popped == d);
    wheel_cancel(&s->wheel, &d->timer);
    d->wait = DELIVERY_NO_WAIT;
    f->retry_next = kind == FLOW_FIRST;
    attempt_begin(s, d, ex);
    f->lane->moved_ns = io_now_ns(s->io);
}

static void begin(struct shard *s, struct flow *f, struct delivery *d, struct exchange *ex,
                  struct conn *c)
{
    begin_attempt(s, f, d, ex);
    f->lane->in_flight++;
    if (c->state == CONN_IDLE) {
        conn_send(c, ex);
        return;
    }
    d->fresh = false;
    race_open(s, c, f->lane, ex);
}

/* There is no address to send it to: an attempt that ends as it begins. */
static void begin_nowhere(struct shard *s, struct flow *f, struct delivery *d, struct exchange *ex)
{
    begin_attempt(s, f, d, ex);
    CHECK(s->busy > 0);
    s->busy--;
    ex->why = (enum err)lane_naming(f->lane)->why;
    ex->sent = SENT_NO;
    ex->reused = false;
    ex->ended_ns = io_now_ns(s->io);
    response_init(&ex->answer);
    follow(s, d, ex);
}

/* The policy refuses all addresses that its name has now. False: no room to tell it. */
static bool end_refused(struct shard *s, struct flow *f, struct delivery *d)
{
    struct delivery *popped = flow_pop(&s->lanes, f, kind_of(d));
    CHECK(popped == d);
    uint8_t wait = d->wait;
    uint64_t due_ns = d->timer.due_ns;
    bool armed = wheel_armed(&d->timer);
    wheel_cancel(&s->wheel, &d->timer);
    d->wait = DELIVERY_NO_WAIT;
    if (account_unsent(s, d, ERR_BLOCKED_ADDRESS, OUTCOME_FAILED)) return true;
    d->wait = wait;
    d->fate = FATE_NONE;
    if (armed) wheel_arm(&s->wheel, &d->timer, due_ns);
    flow_push_front(&s->lanes, f, kind_of(d), d);
    return false;
}

/* First attempts and retries take turns, but no retry is a probe while a first attempt can be one:
 * the few records that were tried already would use up all their attempts on holds. */
static enum flow_kind turn_of(const struct flow *f)
{
    if (!f->retry_next) return FLOW_FIRST;
    if (f->queue[FLOW_FIRST].head == NULL || host_opened_ns(f->lane->host) != UINT64_MAX)
        return FLOW_RETRY;
    return FLOW_FIRST;
}

/* Whose turn it is in the flow. NULL: nobody's now, and the flow has left the ring. */
static struct delivery *candidate(struct shard *s, struct flow *f)
{
    flow_refill(s, f);
    enum flow_kind first = turn_of(f);
    uint64_t now_ns = io_now_ns(s->io);
    for (int i = 0; i < FLOW_KINDS; i++) {
        enum flow_kind kind = i == 0 ? first : first == FLOW_RETRY ? FLOW_FIRST : FLOW_RETRY;
        struct delivery *d = f->queue[kind].head;
        if (d == NULL) continue;
        bool over_budget = kind == FLOW_RETRY && now_ns < f->retry_until_ns;
        if (!over_budget || d->attempt_ns != 0) return d;
    }
    if (f->queued > 0) gate_flow_block(s, f, f->retry_until_ns);
    return NULL;
}

static bool budget_pass(struct shard *s, struct flow *f, const struct delivery *d)
{
    if (!d->retry || d->attempt_ns != 0) return true;
    return host_retry_take(f->lane->host, &s->run->config->health, io_now_ns(s->io),
                           &f->retry_until_ns);
}

enum visit {
    VISIT_OVER,  /* of this delivery: another one's turn */
    VISIT_ENDED, /* the lane has had its turn */
    VISIT_STUCK, /* what the shard has is used up */
};

/* The lane's name leads nowhere now. */
static enum visit end_one(struct shard *s, struct flow *f, struct delivery *d, struct lease *lease,
                          enum naming_look names)
{
    if (s->untold_head != NULL) return VISIT_STUCK;
    if (d->attempt_ns != 0) { /* it has failed before at an address that is no more */
        gate_end(s, lease);
        follow_waited_too_long(s, d);
        return VISIT_ENDED;
    }
    if (names == NAMES_REFUSED) {
        gate_end(s, lease);
        if (!end_refused(s, f, d)) return VISIT_STUCK;
        flow_settle(&s->lanes, f, io_now_ns(s->io));
        return VISIT_ENDED;
    }
    struct exchange *ex = exchange_take(s);
    if (ex == NULL) return VISIT_STUCK;
    enum gate g = gate_pass(s, f, d, lease);
    bool open = g == GATE_OPEN && budget_pass(s, f, d);
    if (open) {
        gate_end(s, lease);
        begin_nowhere(s, f, d, ex);
        return VISIT_ENDED;
    }
    if (g == GATE_OPEN) gate_undo(s, f, d, lease);
    exchange_give(s, ex);
    return g == GATE_SHARD ? VISIT_STUCK : VISIT_OVER;
}

static enum visit begin_one(struct shard *s, struct flow *f, struct delivery *d,
                            struct lease *lease)
{
    struct lane *l = f->lane;
    enum naming_look names = names_look(s, l, d);
    if (names == NAMES_WAIT) return VISIT_OVER;
    if (names != NAMES_READY) return end_one(s, f, d, lease, names);
    struct exchange *ex = exchange_take(s);
    if (ex == NULL) return VISIT_STUCK;
    enum gate g = gate_pass(s, f, d, lease);
    if (g == GATE_OPEN && !budget_pass(s, f, d)) {
        gate_undo(s, f, d, lease);
        exchange_give(s, ex);
        return VISIT_OVER;
    }
    struct conn *c = g == GATE_OPEN ? conn_for(s, l, d) : NULL;
    if (c != NULL) {
        begin(s, f, d, ex, c);
        l->deficit -= d->request_len;
        lane_rotate(f);
        return VISIT_OVER;
    }
    if (g == GATE_OPEN) gate_undo(s, f, d, lease);
    exchange_give(s, ex);
    bool stuck = g == GATE_SHARD || (g == GATE_OPEN && !l->blocked);
    return stuck ? VISIT_STUCK : VISIT_OVER;
}

/* After a stop only what has begun goes on; the rest waits for room to be given up. */
static bool may_begin(struct shard *s, struct delivery *d)
{
    return (!s->drained || d->attempt_ns != 0) && note_may_begin(s, d);
}

static enum visit visit(struct shard *s, struct lane *l)
{
    struct lease lease = {.flow = NULL};
    enum visit v = VISIT_OVER;
    uint32_t before = l->deficit;
    l->deficit += QUANTUM_BYTES;
    while (l->ring != NULL && !l->blocked && v == VISIT_OVER) {
        struct delivery *d = candidate(s, l->ring);
        if (d == NULL) continue;
        if (d->request_len > l->deficit) break;
        v = may_begin(s, d) ? begin_one(s, l->ring, d, &lease) : VISIT_STUCK;
    }
    gate_end(s, &lease);
    if (l->ring == NULL || l->blocked) l->deficit = 0;
    if (v == VISIT_STUCK && l->deficit > before) l->deficit = before; /* it was no visit */
    return v;
}

void dispatch(struct shard *s)
{
    if (s->untold_head != NULL || io_now_ns(s->io) < s->rate_until_ns) return;
    struct lane *l, *stuck = NULL, *stuck_tail = NULL;
    uint32_t fruitless = 0;
    while (fruitless < EVICT_LOOKS && (l = lanes_next_ready(&s->lanes)) != NULL) {
        l->ready = true; /* in our hands: nothing puts it on the list before we do */
        if (visit(s, l) != VISIT_STUCK) {
            l->ready = false;
            lane_update(&s->lanes, l); /* to the end of the list */
            continue;
        }
        fruitless++;
        l->ready_next = NULL;
        *(stuck_tail ? &stuck_tail->ready_next : &stuck) = l;
        stuck_tail = l;
        if (io_now_ns(s->io) < s->rate_until_ns) break;
    }
    while ((l = stuck) != NULL) {
        stuck = l->ready_next;
        l->ready = false;
        lane_update(&s->lanes, l);
    }
}

/* ---- connections and timers --------------------------------------------------------------- */

/* Of connections, while another shard has none: more than our part is for it, and those that we
 * cannot use now. */
static bool has_enough(const struct lane *l)
{
    uint32_t share = conns_share(l);
    return l->conns > share || l->queued == 0 || share == l->conns_max || l->permits == 0;
}

static void exchange_done(void *ctx, struct conn *c, struct exchange *ex)
{
    struct shard *s = ctx;
    struct lane *l = c->lane;
    CHECK(s->busy > 0 && l->in_flight > 0);
    s->busy--;
    l->in_flight--;
    l->moved_ns = io_now_ns(s->io);
    if (l->blocked && !l->held) gate_lane_timer(s, l); /* there is a permit, or will be */
    if (ex->why != ERR_NO_RESOURCES) s->no_room_wait_ns = 0;
    race_exchange_done(s, c, ex);
    follow(s, ex->owner, ex);
    if (c->state != CONN_IDLE) return;
    lane_idle_add(&s->lanes, l, c);
    if (host_conn_wanted(l->host) && has_enough(l)) conn_close(c, ERR_OK);
}

void dispatch_share(struct shard *s)
{
    uint32_t wanted = load_rlx(&s->run->conns_wanted);
    if (wanted == s->conns_wanted) return;
    s->conns_wanted = wanted;
    for (uint32_t i = 0; i < s->conns.touched; i++) {
        struct conn *c = &s->conns.conns[i];
        if (c->state != CONN_IDLE) continue;
        const struct lane *l = c->lane;
        if (host_conn_wanted(l->host) && has_enough(l)) conn_close(c, ERR_OK);
    }
}

static void conn_ended(void *ctx, struct conn *c)
{
    struct shard *s = ctx;
    struct lane *l = c->lane;
    race_conn_ended(s, c);
    c->lane = NULL;
    if (l->blocked && !l->held) gate_lane_timer(s, l);
    lane_conn_gone(&s->lanes, l);
}

static void conn_leaving(void *ctx, struct conn *c)
{
    (void)ctx;
    lane_idle_remove(c->lane, c);
}

/* Lazy: the node is left where it is while the deadline only moves away, and is armed again when
 * it fires too early; so a keep-alive exchange costs no timer operation. */
static void conn_deadline(void *ctx, struct conn *c)
{
    struct shard *s = ctx;
    struct wheel_node *n = &s->timers[c - s->conns.conns];
    if (wheel_armed(n)) {
        if (n->due_ns <= c->deadline_ns && c->deadline_ns != CONN_NO_DEADLINE) return;
        wheel_cancel(&s->wheel, n);
    }
    if (c->deadline_ns != CONN_NO_DEADLINE) timer_arm(s, n, TIMER_CONN, c->deadline_ns);
}

const struct conn_events dispatch_events = {.tried = race_tried,
                                            .peer = secure_peer,
                                            .deadline = conn_deadline,
                                            .done = exchange_done,
                                            .leaving = conn_leaving,
                                            .ended = conn_ended};

static void conn_timer(struct shard *s, struct wheel_node *n)
{
    struct conn *c = &s->conns.conns[n - s->timers];
    conn_expired(c);
    if (!wheel_armed(n)) conn_deadline(s, c);
}

void dispatch_timer(struct shard *s, struct wheel_node *n)
{
    switch (timer_kind(n)) {
    case TIMER_CONN: conn_timer(s, n); return;
    case TIMER_DELIVERY: waiting_delivery_timer(s, CONTAINER_OF(n, struct delivery, timer)); return;
    case TIMER_PARKED: waiting_parked_timer(s, CONTAINER_OF(n, struct parked, timer)); return;
    case TIMER_FLOW: gate_flow_timer(s, CONTAINER_OF(n, struct flow, timer)); return;
    case TIMER_LANE: gate_lane_timer(s, CONTAINER_OF(n, struct lane, timer)); return;
    case TIMER_NAMES: return; /* names_tend() comes next */
    case TIMER_RACE: race_timer(s, n); return;
    }
    UNREACHABLE();
}

/* ---- stopping ----------------------------------------------------------------------------- */

void dispatch_close_idle(struct shard *s)
{
    for (uint32_t i = 0; i < s->conns.touched; i++) {
        struct conn *c = &s->conns.conns[i];
        if (c->state == CONN_IDLE) conn_close(c, ERR_OK);
    }
}

/* Given up, unless its attempt has begun. False: no room for its record now. */
static bool give_up(struct shard *s, struct delivery *d)
{
    if (d->attempt_ns != 0 && !s->cut) return true;
    if (!outbuf_fits(&s->dead_letters, d->raw_len + 1) || !note_fits(s)) return false;
    struct flow *f = d->flow;
    if (d->attempt_ns != 0) f->in_flight--;
    if (d->attempt_ns != 0 && d->sent_now != SENT_NO) TALLY_ADD(s->tally.maybe_delivered, 1);
    wait_over(s, d);
    account_pending(s, d);
    return true;
}

static bool flow_drain(struct shard *s, struct flow *f)
{
    for (int kind = 0; kind < FLOW_KINDS; kind++) {
        struct delivery *d = f->queue[kind].head, *next;
        for (; d != NULL; d = next) {
            next = d->next;
            if (!give_up(s, d)) return false;
        }
    }
    return true;
}

/* Those that wait for a time of their own, because they could not be parked. */
static bool waiting_give_up(struct wheel_node *n, void *ctx)
{
    struct shard *s = ctx;
    if (timer_kind(n) != TIMER_DELIVERY) return true;
    struct delivery *d = CONTAINER_OF(n, struct delivery, timer);
    struct flow *f = d->flow;
    struct lane *l = f->lane;
    if (d->wait != DELIVERY_WAITS_RETRY) return true;
    if (!give_up(s, d)) return false;
    flow_settle(&s->lanes, f, io_now_ns(s->io));
    lane_update(&s->lanes, l);
    return true;
}

void dispatch_drain(struct shard *s)
{
    for (uint32_t i = 0; i < s->lanes.slots; i++) {
        struct lane *l = s->lanes.slot[i];
        if (l != NULL && l->queued > 0 && !flow_drain(s, l->own)) return;
    }
    for (uint32_t i = 0; i < s->lanes.buckets; i++) {
        struct flow *f = s->lanes.bucket[i], *next;
        for (; f != NULL; f = next) {
            next = f->bucket_next;
            if (f->queued > 0 && !flow_drain(s, f)) return;
            flow_settle(&s->lanes, f, io_now_ns(s->io));
        }
    }
    wheel_each(&s->wheel, waiting_give_up, s);
}

void dispatch_cut(struct shard *s)
{
    for (uint32_t i = 0; i < s->conns.touched; i++) {
        struct conn *c = &s->conns.conns[i];
        if (c->state == CONN_CONNECTING) race_cut(s, c);
        if (c->state == CONN_CONNECTING || c->state == CONN_SECURING || c->state == CONN_BUSY)
            conn_close(c, ERR_STOPPED);
    }
}
