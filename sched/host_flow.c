/* sched/host_flow.c - permits, the limit of requests in flight, connections; see host.h.
 *
 *   flow:  out 16 | limit 16 and 15 bits of fraction | slow start 1 | wisher 8 | wished 8
 *
 * out: permits that shards hold. It never grows beyond the limit, which may shrink below it.
 *
 * wisher: 1 + the shard that got no permit, 0: nobody; wished: since when, in units of 4.2 ms. One
 * wish is remembered at a time; whoever is not remembered asks again. While a wish is fresh,
 *   - a shard that holds less than its part (limit / shards) may take, and so may the wisher;
 *   - the others let go of what they have beyond their part, as far as that is not free already.
 * With fewer permits than shards a part is 0: whoever holds one gives it up, but only when the wish
 * is 20 ms old, since each change of hands costs the time until the wisher asks again.
 * A wisher that asks again keeps its wish fresh, and due. One that does not is forgotten after
 * 100 ms; units come round after 1.07 s, when an old wish that nobody has touched since is fresh
 * once more: someone may then give a permit back for nothing, and take it again 100 ms later.
 */
#include "core/base/atomic.h"
#include "core/base/check.h"
#include "sched/host_parts.h"

enum {
    LIMIT_SHIFT = 15, /* bits of fraction */
    PERMITS_MAX = UINT16_MAX,
    SHARDS_MAX = UINT8_MAX,
    WISH_UNIT_SHIFT = 22,
    /* In units. */
    WISH_DUE = 5,     /* 21 ms: a turn's length */
    WISH_RENEW = 8,   /* 34 ms */
    WISH_STALE = 24,  /* 101 ms; asking every 50 ms finds the time between */
    WISH_AHEAD = 240, /* from here on: the wisher's clock was read later than ours */
    DECREASE_PCT = 90,
};
#define CONN_WANTED (UINT32_C(1) << 31)

union flow {
    uint64_t word;
    struct {
        uint64_t out : 16;
        uint64_t limit : 31;
        uint64_t slow : 1;
        uint64_t wisher : 8;
        uint64_t wished : 8;
    };
};

static union flow flow_load(const struct host *h)
{
    return (union flow){.word = load_rlx(&h->flow)};
}

static uint32_t limit_whole(union flow f) { return (uint32_t)(f.limit >> LIMIT_SHIFT); }

static uint64_t limit_fixed(uint32_t whole)
{
    if (whole < 1) whole = 1;
    return (uint64_t)(whole < PERMITS_MAX ? whole : PERMITS_MAX) << LIMIT_SHIFT;
}

static union flow with_limit(union flow f, uint64_t fixed)
{
    f.limit = fixed & ((UINT64_C(1) << 31) - 1);
    return f;
}

/* The limit under the caller's own maximum. */
static uint32_t limit_for(union flow f, uint32_t max)
{
    uint32_t limit = limit_whole(f);
    if (limit > max) limit = max;
    return limit > 0 ? limit : 1;
}

static uint32_t wisher_of(uint32_t shard) { return 1 + shard % SHARDS_MAX; }

/* In units; WISH_STALE when there is no wish that counts. */
static uint32_t wish_age(union flow f, uint64_t now_ns)
{
    if (f.wisher == 0) return WISH_STALE;
    uint32_t age = ((uint32_t)(now_ns >> WISH_UNIT_SHIFT) - f.wished) & UINT8_MAX;
    if (age >= WISH_AHEAD) return 0;
    return age < WISH_STALE ? age : WISH_STALE;
}

static union flow with_wish(union flow f, uint32_t shard, uint64_t since_units)
{
    f.wisher = wisher_of(shard) & UINT8_MAX;
    f.wished = since_units & UINT8_MAX;
    return f;
}

/* Every shard's part of the permits. refs are the lanes that point to the host, one a shard. */
static uint32_t part_of(const struct host *h, uint32_t limit)
{
    uint32_t refs = load_rlx(&h->entry.refs);
    return limit / (refs > 0 ? refs : 1);
}

void host_flow_begin(struct host *h, uint32_t limit)
{
    union flow old = flow_load(h), new;
    do {
        new = with_limit(old, limit_fixed(limit));
        new.slow = 1;
    } while (!cas_rlx(&h->flow, &old.word, new.word));
}

/* The word after a vain attempt: the wish remembered, or kept fresh. */
static union flow wish_made(union flow f, const struct host_holder *who, uint64_t now_ns)
{
    uint64_t units = now_ns >> WISH_UNIT_SHIFT;
    uint32_t age = wish_age(f, now_ns);
    if (who->held >= f.out) return f; /* nobody else has one */
    if (age == WISH_STALE) return with_wish(f, who->shard, units);
    if (f.wisher == wisher_of(who->shard) && age >= WISH_RENEW)
        return with_wish(f, who->shard, units - WISH_DUE);
    return f;
}

uint32_t host_permits_take(struct host *h, const struct host_holder *who, uint32_t want,
                           uint64_t now_ns)
{
    if (want == 0) return 0;
    union flow old = flow_load(h), new;
    uint32_t got;
    do {
        uint32_t limit = limit_for(old, who->max);
        bool mine = old.wisher == wisher_of(who->shard);
        bool pending = wish_age(old, now_ns) < WISH_STALE;
        uint32_t room = limit > old.out ? limit - (uint32_t)old.out : 0;
        if (pending && !mine && who->held >= part_of(h, limit)) room = 0;
        got = want < room ? want : room;
        if (got == 0) {
            new = wish_made(old, who, now_ns);
            if (new.word == old.word) return 0;
        } else {
            new = old;
            new.out = (old.out + got) & UINT16_MAX;
            if (mine || !pending) new.wisher = 0;
        }
    } while (!cas_rlx(&h->flow, &old.word, new.word));
    return got;
}

void host_permits_give(struct host *h, uint32_t n)
{
    if (n == 0) return;
    union flow old = flow_load(h), new;
    do {
        CHECK(n <= old.out);
        new = old;
        new.out = (old.out - n) & UINT16_MAX;
    } while (!cas_rlx(&h->flow, &old.word, new.word));
}

/* What the caller has beyond its part, and is not free already, while another shard lacks some. */
static uint32_t wished_from(const struct host *h, union flow f, const struct host_holder *who,
                            uint32_t limit, uint64_t now_ns)
{
    uint32_t age = wish_age(f, now_ns);
    if (age == WISH_STALE || f.wisher == wisher_of(who->shard)) return 0;
    uint32_t part = part_of(h, limit);
    if (who->held <= part) return 0;
    if (part == 0 && age < WISH_DUE) return 0;
    uint32_t free = limit - (uint32_t)f.out;
    uint32_t needed = part > 0 ? part : 1;
    if (free >= needed) return 0;
    uint32_t surplus = who->held - part;
    return surplus < needed - free ? surplus : needed - free;
}

uint32_t host_permits_excess(const struct host *h, const struct host_holder *who, uint64_t now_ns)
{
    union flow f = flow_load(h);
    uint32_t limit = limit_for(f, who->max);
    uint32_t out = (uint32_t)f.out;
    if (out <= limit) return f.wisher == 0 ? 0 : wished_from(h, f, who, limit, now_ns);
    /* The caller's share of what is too much, rounded up: all of it comes back in the end. */
    uint64_t share = ((uint64_t)(out - limit) * who->held + out - 1) / out;
    return share < who->held ? (uint32_t)share : who->held;
}

void host_succeeded(struct host *h, uint32_t max, uint32_t n, bool full)
{
    if (n == 0 || !full) return;
    uint64_t top = limit_fixed(max);
    union flow old = flow_load(h), new;
    do {
        if (old.limit >= top) return;
        uint64_t more = (uint64_t)n << LIMIT_SHIFT;
        /* Rounded up, so that as many successes as the limit is make one whole step. */
        if (!old.slow) more = (more + limit_whole(old) - 1) / limit_whole(old);
        new = with_limit(old, old.limit + more < top ? old.limit + more : top);
    } while (!cas_rlx(&h->flow, &old.word, new.word));
}

/* True for one caller in each round trip: the attempt began after the last decrease. */
static bool decrease_claim(struct host *h, uint64_t began_ns, uint64_t now_ns)
{
    uint64_t now_ms = now_ns / HOST_MS_NS, began_ms = began_ns / HOST_MS_NS;
    uint64_t ran_ms = now_ms > began_ms ? now_ms - began_ms : 0;
    uint32_t last = load_rlx(&h->decreased);
    uint32_t mark = (uint32_t)now_ms != 0 ? (uint32_t)now_ms : 1; /* 0: never */
    do {
        if (last != 0 && host_ms_since(now_ms, last) <= ran_ms) return false;
    } while (!cas_rlx(&h->decreased, &last, mark));
    return true;
}

void host_troubled(struct host *h, uint64_t began_ns, uint64_t now_ns)
{
    if (!decrease_claim(h, began_ns, now_ns)) return;
    union flow old = flow_load(h), new;
    do {
        uint64_t less = old.limit * DECREASE_PCT / 100;
        new = with_limit(old, less > limit_fixed(1) ? less : limit_fixed(1));
        new.slow = 0;
    } while (!cas_rlx(&h->flow, &old.word, new.word));
}

uint32_t host_limit(const struct host *h) { return limit_whole(flow_load(h)); }

bool host_conn_take(struct host *h, uint32_t max)
{
    uint32_t old = load_rlx(&h->conns), new;
    bool room;
    do {
        uint32_t open = old & ~CONN_WANTED;
        room = open < max;
        new = room ? open + 1 : old | CONN_WANTED;
        if (new == old) return false;
    } while (!cas_rlx(&h->conns, &old, new));
    return room;
}

/* The one that lacks it finds room now, or says so again. */
void host_conn_give(struct host *h)
{
    uint32_t old = load_rlx(&h->conns), new;
    do {
        CHECK((old & ~CONN_WANTED) > 0);
        new = (old & ~CONN_WANTED) - 1;
    } while (!cas_rlx(&h->conns, &old, new));
}

bool host_conn_wanted(const struct host *h) { return (load_rlx(&h->conns) & CONN_WANTED) != 0; }
