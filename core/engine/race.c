/* core/engine/race.c - which address a new connection goes to, and what happens if it does not
 * come about at once: RFC 8305, Happy Eyeballs.
 *
 * The addresses are the lane's places (core/net/places.h), all of which the egress policy has let
 * through. The first connect carries the exchange. If it has not succeeded after NEXT_AFTER_NS, or
 * has failed, the next address is tried beside it, and so on; the first that connects gets the
 * exchange and the others are closed. At most RACERS connects compete: the oldest is then given up
 * for the next one. Each takes a connection of the host's limit; where none is free the connects go
 * one after the other.
 *
 * Those that failed, and those that lost in spite of their start, are remembered by the places, so
 * that the next connection begins with one that works.
 */
#include "core/engine/shard_state.h"

enum { RACERS = 4 };
#define NEXT_AFTER_NS UINT64_C(250000000) /* RFC 8305 section 8: Connection Attempt Delay */

struct race {
    struct wheel_node timer;
    struct conn *conn[RACERS]; /* CONN_CONNECTING, oldest first; one of them has the exchange */
    uint64_t begun_ns[RACERS];
    uint32_t count;
    struct race *next; /* among the free ones */
};

size_t race_bytes(void) { return sizeof(struct race); }

/* ---- one connect -------------------------------------------------------------------------- */

static const struct addr *source_ip(struct shard *s)
{
    const struct config *c = s->run->config;
    if (c->source_ips_count == 0) return NULL;
    uint32_t turn = add_rlx(&s->run->sources_next, 1);
    return &c->source_ips[turn % c->source_ips_count];
}

static void connect_begin(struct shard *s, struct lane *l, struct conn *c, const struct addr *to,
                          struct exchange *ex)
{
    const struct policy *policy = s->run->config->policy;
    CHECK(policy == NULL || policy_refuses(policy, to) == NULL); /* on each attempt, once more */
    c->lane = l;
    c->race = NULL;
    c->trying = true;
    places_trying(l->places, to);
    lane_conn_added(&s->lanes, l);
    conn_open(c, to, source_ip(s), ex);
    TALLY_ADD(s->tally.connections_opened, 1);
}

/* It no longer counts as under way; what is learnt of its address is said by `how`. */
static void connect_over(struct conn *c, void (*how)(struct places *p, const struct addr *a))
{
    struct lane *l = c->lane;
    if (c->trying && l->places != NULL) how(l->places, &c->to);
    c->trying = false;
}

static void connect_failed(struct shard *s, struct conn *c)
{
    struct lane *l = c->lane;
    if (c->trying && l->places != NULL) places_failed(l->places, &c->to, io_now_ns(s->io));
    c->trying = false;
}

/* ---- races -------------------------------------------------------------------------------- */

static void race_free(struct shard *s, struct race *r)
{
    CHECK(r->count == 0);
    wheel_cancel(&s->wheel, &r->timer);
    r->next = s->races_free;
    s->races_free = r;
}

/* There is one for each connection. */
static struct race *race_new(struct shard *s)
{
    struct race *r = s->races_free;
    if (r != NULL) s->races_free = r->next;
    else r = &s->races[s->races_touched++];
    CHECK(s->races_touched <= s->run->plan.connections);
    r->count = 0;
    return r;
}

static void race_add(struct shard *s, struct race *r, struct conn *c)
{
    CHECK(r->count < RACERS);
    r->begun_ns[r->count] = io_now_ns(s->io);
    r->conn[r->count++] = c;
    c->race = r;
}

static void race_remove(struct race *r, struct conn *c)
{
    uint32_t i = 0;
    while (i < r->count && r->conn[i] != c) i++;
    CHECK(i < r->count);
    c->race = NULL;
    r->count--;
    for (; i < r->count; i++) {
        r->conn[i] = r->conn[i + 1];
        r->begun_ns[i] = r->begun_ns[i + 1];
    }
}

static struct conn *holder_of(const struct race *r)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (r->conn[i]->ex != NULL) return r->conn[i];
    return NULL;
}

static uint32_t addrs_of(const struct race *r, const struct addr *out[RACERS])
{
    for (uint32_t i = 0; i < r->count; i++) out[i] = &r->conn[i]->to;
    return r->count;
}

/* Closes those that are left in it. */
static void race_over(struct shard *s, struct race *r)
{
    while (r->count > 0) {
        struct conn *c = r->conn[0];
        bool slow = r->begun_ns[0] + NEXT_AFTER_NS <= io_now_ns(s->io);
        race_remove(r, c);
        if (slow) connect_failed(s, c);
        else connect_over(c, places_given_up);
        conn_close(c, ERR_OK);
    }
    race_free(s, r);
}

static void give_up_oldest(struct shard *s, struct race *r)
{
    struct conn *c = r->conn[0];
    race_remove(r, c);
    if (c->ex != NULL) conn_attach(r->conn[0], conn_detach(c));
    connect_failed(s, c);
    conn_close(c, ERR_OK);
}

/* The next address joins, if there is one. */
static void race_next(struct shard *s, struct race *r)
{
    const struct addr *racing[RACERS];
    struct conn *holder = holder_of(r), *c = NULL;
    CHECK(holder != NULL);
    struct lane *l = holder->lane;
    struct delivery *d = holder->ex->owner;
    uint64_t now_ns = io_now_ns(s->io);
    wheel_cancel(&s->wheel, &r->timer);
    if (l->places == NULL || d->tries == UINT8_MAX) return;
    if (!places_left(l->places, d->attempt_ns, racing, addrs_of(r, racing))) return;
    if (r->count == RACERS) give_up_oldest(s, r);
    const struct place *p = places_pick(l->places, now_ns, racing, addrs_of(r, racing));
    if (p != NULL) c = dispatch_conn(s, l);
    if (c != NULL) {
        d->tries++;
        connect_begin(s, l, c, &p->addr, NULL);
        race_add(s, r, c);
    }
    timer_arm(s, &r->timer, TIMER_RACE, now_ns + NEXT_AFTER_NS);
}

void race_timer(struct shard *s, struct wheel_node *n)
{
    race_next(s, CONTAINER_OF(n, struct race, timer));
}

void race_open(struct shard *s, struct conn *c, struct lane *l, struct exchange *ex)
{
    struct delivery *d = ex->owner;
    uint64_t now_ns = io_now_ns(s->io);
    CHECK(l->places != NULL);
    const struct place *p = places_pick(l->places, now_ns, NULL, 0);
    CHECK(p != NULL);
    if (d->tries < UINT8_MAX) d->tries++;
    connect_begin(s, l, c, &p->addr, ex);
    if (l->places->count == 1) return;
    struct race *r = race_new(s);
    race_add(s, r, c);
    timer_arm(s, &r->timer, TIMER_RACE, now_ns + NEXT_AFTER_NS);
}

void race_cut(struct shard *s, struct conn *c)
{
    struct race *r = c->race;
    if (r == NULL) return;
    struct conn *holder = holder_of(r);
    CHECK(holder != NULL);
    race_remove(r, holder);
    race_over(s, r);
}

static void race_won(struct shard *s, struct race *r, struct conn *c)
{
    struct conn *holder = holder_of(r);
    CHECK(holder != NULL);
    if (holder != c) conn_attach(c, conn_detach(holder));
    race_remove(r, c);
    race_over(s, r);
}

static void race_lost(struct shard *s, struct race *r, struct conn *c)
{
    race_remove(r, c);
    if (r->count == 0) { /* it keeps its exchange, which goes on as follow() says */
        race_free(s, r);
        return;
    }
    if (c->ex != NULL) conn_attach(r->conn[0], conn_detach(c));
    race_next(s, r);
}

bool race_tried(void *ctx, struct conn *c, enum err why)
{
    struct shard *s = ctx;
    struct race *r = c->race;
    if (why == ERR_OK) connect_over(c, places_connected);
    else if (why == ERR_NO_RESOURCES) connect_over(c, places_given_up);
    else connect_failed(s, c);
    if (r == NULL) return c->ex != NULL;
    if (why == ERR_OK) race_won(s, r, c);
    else if (why == ERR_TIMEOUT) race_cut(s, c); /* the attempt's time is over */
    else race_lost(s, r, c);
    return true;
}

void race_exchange_done(struct shard *s, struct conn *c, const struct exchange *ex)
{
    struct lane *l = c->lane;
    CHECK(c->race == NULL);
    bool blame = c->connected && c->served == 0 && ex->sent == SENT_NO &&
                 err_class_of(ex->why) == ERR_CLASS_UNREACHABLE;
    if (blame && l->places != NULL) places_blame(l->places, &c->to, io_now_ns(s->io));
}

void race_conn_ended(struct shard *s, struct conn *c)
{
    MAYBE(s->drained);
    CHECK(c->race == NULL);
    connect_over(c, places_given_up);
}

bool race_addresses_left(const struct delivery *d)
{
    const struct lane *l = d->flow->lane;
    return l->places != NULL && d->tries < UINT8_MAX &&
           places_left(l->places, d->attempt_ns, NULL, 0);
}
