#include "core/engine/lane.h"

#include "core/base/atomic.h"
#include "core/base/limits.h"
#include "core/base/stamp.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
    SLOTS_FIRST = 64,
    UNUSED_MAX = 65536, /* about 20 MB of lanes that may be asked for again */
    HOST_TRIES = 64,    /* unused lanes that go, in one go, for an entry of the hosts' table */
    NAME_BYTES_MAX = LIMIT_HOST_BYTES + ADDR_TEXT_BYTES,
};
#define PACE_OF_ALL_KEYS UINT64_C(0x616c6c206b657973)

bool lanes_open(struct lanes *t, struct slab *slab, struct wheel *wheel,
                const struct lane_rules *rules)
{
    CHECK(rules->conns_max > 0);
    memset(t, 0, sizeof *t);
    t->slab = slab;
    t->wheel = wheel;
    t->rules = *rules;
    t->unused_max = UNUSED_MAX;
    t->slots = t->buckets = SLOTS_FIRST;
    t->slot = calloc(t->slots, sizeof *t->slot);
    t->bucket = calloc(t->buckets, sizeof *t->bucket);
    return t->slot != NULL && t->bucket != NULL;
}

/* ---- the table ---------------------------------------------------------------------------- */

static uint32_t slot_of(const struct lanes *t, uint64_t hash)
{
    return (uint32_t)hash & (t->slots - 1);
}

static void slot_put(struct lanes *t, struct lane *l)
{
    uint32_t i = slot_of(t, l->name_hash);
    while (t->slot[i] != NULL) i = (i + 1) & (t->slots - 1);
    t->slot[i] = l;
}

/* Fills the gap so that every lane stays reachable from its own slot (Knuth 6.4, algorithm R). */
static void slot_clear(struct lanes *t, uint32_t gap)
{
    uint32_t mask = t->slots - 1;
    t->slot[gap] = NULL;
    for (uint32_t i = (gap + 1) & mask; t->slot[i] != NULL; i = (i + 1) & mask) {
        uint32_t home = slot_of(t, t->slot[i]->name_hash);
        if (((i - home) & mask) < ((i - gap) & mask)) continue;
        t->slot[gap] = t->slot[i];
        t->slot[i] = NULL;
        gap = i;
    }
}

static bool table_open(struct lanes *t, uint32_t slots)
{
    struct lane **old = t->slot;
    uint32_t old_slots = t->slots;
    struct lane **fresh = calloc(slots, sizeof *fresh);
    if (fresh == NULL) return false;
    t->slot = fresh;
    t->slots = slots;
    for (uint32_t i = 0; i < old_slots; i++)
        if (old[i] != NULL) slot_put(t, old[i]);
    free(old);
    return true;
}

static size_t lane_bytes(const struct lane *l) { return (size_t)l->name_at + l->name_len; }

/* ---- flows -------------------------------------------------------------------------------- */

static uint64_t pace_hash(const struct lane *l, uint64_t key)
{
    uint64_t both[2] = {l->name_hash, key};
    return XXH3_64bits(both, sizeof both);
}

static uint32_t bucket_of(const struct lanes *t, const struct lane *l, uint64_t key)
{
    return (uint32_t)pace_hash(l, key) & (t->buckets - 1);
}

/* A table of `count` buckets, with all that is in the one before. */
static void buckets_open(struct lanes *t, uint32_t count)
{
    struct flow **fresh = calloc(count, sizeof *fresh), *f;
    if (fresh == NULL) return; /* chains get longer, nothing else */
    struct flow **old = t->bucket;
    uint32_t old_count = t->buckets;
    t->bucket = fresh;
    t->buckets = count;
    for (uint32_t i = 0; i < old_count; i++)
        while ((f = old[i]) != NULL) {
            old[i] = f->bucket_next;
            struct flow **head = &t->bucket[bucket_of(t, f->lane, f->key)];
            f->bucket_next = *head;
            *head = f;
        }
    free(old);
}

static struct flow *flow_new(struct lanes *t, struct lane *l, uint64_t key, uint64_t now_ns)
{
    struct flow *f;
    do f = slab_take(t->slab, sizeof *f);
    while (f == NULL && lanes_evict(t, l, now_ns));
    if (f == NULL) return NULL;
    memset(f, 0, sizeof *f);
    f->lane = l;
    f->key = key;
    f->paces_seen = t->rules.paces_kept ? UINT32_MAX : 0;
    return f;
}

static void flow_free(struct lanes *t, struct flow *f, uint64_t now_ns)
{
    CHECK(!f->in_ring && !f->in_recall);
    wheel_cancel(t->wheel, &f->timer);
    if (f->pace != NULL) {
        (void)add_rlx(&f->pace->waiting, 0 - f->waiting_told);
        shared_table_unref(t->rules.paces, f->pace, now_ns);
    }
    slab_give(t->slab, f, sizeof *f);
}

static bool flow_empty(const struct flow *f)
{
    return f->queued + f->backlog + f->delayed + f->untold + f->in_flight == 0 &&
           f->queue[FLOW_FIRST].first + f->queue[FLOW_RETRY].first == 0;
}

struct flow *lanes_flow(struct lanes *t, struct lane *l, uint64_t key, uint64_t now_ns)
{
    if (key == 0) return l->own;
    struct flow **head = &t->bucket[bucket_of(t, l, key)];
    for (struct flow *f = *head; f != NULL; f = f->bucket_next)
        if (f->lane == l && f->key == key) return f;
    struct flow *f = flow_new(t, l, key, now_ns);
    if (f == NULL) return NULL;
    f->bucket_next = *head;
    *head = f;
    l->flows++;
    if (++t->keyed > t->buckets) buckets_open(t, t->buckets * 2);
    lane_update(t, l);
    return f;
}

/* ---- paces -------------------------------------------------------------------------------- */

void lane_paces_look(struct lanes *t, struct lane *l, struct flow *f)
{
    uint32_t made = load_acq(&l->host->paces);
    if (l->paces_seen != made) {
        l->paces_seen = made;
        if (l->pace == NULL)
            l->pace = shared_table_find(t->rules.paces, pace_hash(l, PACE_OF_ALL_KEYS));
    }
    if (f->paces_seen != made) {
        f->paces_seen = made;
        if (f->pace == NULL) f->pace = shared_table_find(t->rules.paces, pace_hash(l, f->key));
    }
}

uint64_t lane_pace_hash(const struct lane *l, const struct flow *f)
{
    return pace_hash(l, f != NULL ? f->key : PACE_OF_ALL_KEYS);
}

struct pace *lane_pace_make(struct lanes *t, struct lane *l, struct flow *f, uint64_t now_ns)
{
    struct pace **at = f != NULL ? &f->pace : &l->pace;
    if (*at != NULL) return *at;
    *at = shared_table_ref(t->rules.paces, lane_pace_hash(l, f), now_ns);
    uint32_t made = load_rlx(&l->host->paces);
    /* Release: who sees the new number finds the entry. */
    if (*at != NULL)
        while (!cas_acq_rel(&l->host->paces, &made, made + 1)) {}
    return *at;
}

/* ---- lists -------------------------------------------------------------------------------- */

static void unused_remove(struct lanes *t, struct lane *l)
{
    *(l->older ? &l->older->newer : &t->oldest) = l->newer;
    *(l->newer ? &l->newer->older : &t->newest) = l->older;
    l->older = l->newer = NULL;
    l->unused = false;
    t->unused_count--;
}

static void unused_add(struct lanes *t, struct lane *l)
{
    l->older = t->newest;
    l->newer = NULL;
    *(t->newest ? &t->newest->newer : &t->oldest) = l;
    t->newest = l;
    l->unused = true;
    t->unused_count++;
}

static void lane_free(struct lanes *t, struct lane *l, uint64_t now_ns)
{
    wheel_cancel(t->wheel, &l->timer);
    if (l->permits > 0) host_permits_give(l->host, l->permits);
    if (l->own != NULL) flow_free(t, l->own, now_ns);
    if (l->pace != NULL) shared_table_unref(t->rules.paces, l->pace, now_ns);
    if (l->host != NULL) shared_table_unref(t->rules.hosts, l->host, now_ns);
    if (l->by_name) lane_places_drop(t, l);
    slab_give(t->slab, l, lane_bytes(l));
}

static void lane_evict(struct lanes *t, struct lane *l, uint64_t now_ns)
{
    CHECK(l->unused && !l->ready && !l->dirty);
    unused_remove(t, l);
    if (t->last == l) t->last = NULL;
    uint32_t i = slot_of(t, l->name_hash);
    while (t->slot[i] != l) i = (i + 1) & (t->slots - 1);
    slot_clear(t, i);
    t->count--;
    lane_free(t, l, now_ns);
}

bool lanes_evict(struct lanes *t, const struct lane *keep, uint64_t now_ns)
{
    struct lane *l = t->oldest;
    if (l != NULL && l == keep) l = l->newer;
    if (l == NULL) return false;
    lane_evict(t, l, now_ns);
    return true;
}

static bool can_begin(const struct lane *l) { return l->ring != NULL && !l->blocked; }

static bool is_asking(const struct naming *n) { return n->lookup != NULL || n->in_line; }

static bool is_unused(const struct lane *l)
{
    return l->queued == 0 && l->parked == 0 && l->conns == 0 && l->in_flight == 0 &&
           l->flows == 0 && !l->ready && !l->dirty && flow_empty(l->own) && !l->own->in_recall &&
           (!l->by_name || !is_asking((const struct naming *)(l + 1)));
}

void lane_update(struct lanes *t, struct lane *l)
{
    if (!l->ready && can_begin(l)) {
        l->ready = true;
        l->ready_next = NULL;
        *(t->ready_tail ? &t->ready_tail->ready_next : &t->ready_head) = l;
        t->ready_tail = l;
    }
    bool unused = is_unused(l);
    if (unused && !l->unused) unused_add(t, l);
    if (!unused && l->unused) unused_remove(t, l);
}

void flow_settle(struct lanes *t, struct flow *f, uint64_t now_ns)
{
    if (f->key == 0 || !flow_empty(f) || f->in_ring || f->in_recall) return;
    struct flow **at = &t->bucket[bucket_of(t, f->lane, f->key)];
    while (*at != f) at = &(*at)->bucket_next;
    *at = f->bucket_next;
    struct lane *l = f->lane;
    t->keyed--;
    l->flows--;
    flow_free(t, f, now_ns);
    lane_update(t, l);
}

struct lane *lanes_next_ready(struct lanes *t)
{
    struct lane *l;
    while ((l = t->ready_head) != NULL) {
        t->ready_head = l->ready_next;
        if (t->ready_head == NULL) t->ready_tail = NULL;
        l->ready = false;
        l->ready_next = NULL;
        if (can_begin(l)) return l;
        lane_update(t, l); /* what made it ready was used up meanwhile */
    }
    return NULL;
}

void lanes_close(struct lanes *t, uint64_t now_ns)
{
    const struct lane *busy = lanes_next_ready(t); /* takes those off that lost their reason */
    CHECK(busy == NULL);
    while (t->oldest != NULL) lane_evict(t, t->oldest, now_ns);
    CHECK(t->count == 0 && t->keyed == 0);
    free(t->slot);
    free(t->bucket);
    t->slot = NULL;
    t->bucket = NULL;
}

/* ---- finding and making ------------------------------------------------------------------- */

static uint32_t name_of(const struct url *u, char name[NAME_BYTES_MAX])
{
    if (u->host_kind == URL_HOST_NAME) {
        CHECK(u->host.len <= LIMIT_HOST_BYTES);
        for (size_t i = 0; i < u->host.len; i++) {
            char c = u->host.ptr[i];
            name[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
        }
        name[u->host.len] = ':';
        return (uint32_t)(u->host.len + 1 + stamp_u64(name + u->host.len + 1, u->port));
    }
    if (u->host_kind == URL_HOST_V4) { /* exact dotted decimal: as written is canonical */
        memcpy(name, u->host.ptr, u->host.len);
        name[u->host.len] = ':';
        return (uint32_t)(u->host.len + 1 + stamp_u64(name + u->host.len + 1, u->port));
    }
    struct addr a = {
        .v6 = {.sin6_family = AF_INET6, .sin6_addr = u->v6, .sin6_port = htons(u->port)}};
    addr_text(&a, name);
    return (uint32_t)strlen(name);
}

struct vetted {
    struct addr addrs[PLACES_MAX];
    uint32_t count;
    const char *refused; /* all: then the first of them is the only one here */
};
_Static_assert((int)RESOLVER_ADDRS_MAX <= (int)PLACES_MAX, "what the resolver finds has a place");

/* Keeps the addresses that the policy lets through. */
static void vet(struct vetted *v, const struct policy *policy, const struct addr *found,
                uint32_t count)
{
    CHECK(count <= PLACES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const char *rule = policy ? policy_refuses(policy, &found[i]) : NULL;
        if (rule == NULL) v->addrs[v->count++] = found[i];
        else if (v->refused == NULL) v->refused = rule;
    }
    if (v->count > 0) v->refused = NULL;
    else v->addrs[0] = found[0];
}

static void *lane_take(struct lanes *t, size_t bytes, uint64_t now_ns)
{
    struct lane *l;
    if (t->unused_count >= t->unused_max) lane_evict(t, t->oldest, now_ns);
    while ((l = slab_take(t->slab, bytes)) == NULL && t->oldest != NULL)
        lane_evict(t, t->oldest, now_ns);
    return l;
}

/* Of "host:port". */
static uint32_t host_len_of(const char *name, uint32_t len)
{
    const char *colon = memrchr(name, ':', len);
    CHECK(colon != NULL);
    return (uint32_t)(colon - name);
}

/* Whether u's host, as written, is surely that of l. A name has its last ':' before the port, and
 * an IPv6 address has brackets there but not in u: such a one is never found this way. */
static bool is_plainly_of(const struct lane *l, const struct url *u)
{
    return l->port == u->port && l->secure == (u->scheme == URL_HTTPS) &&
           l->host_len == u->host.len && memcmp(lane_name(l).ptr, u->host.ptr, u->host.len) == 0;
}

/* The operator's limits for this host. */
static void lane_limit(const struct lanes *t, struct lane *l)
{
    l->conns_max = t->rules.conns_max;
    l->interval_ns = t->rules.interval_ns;
    if (t->rules.limits == NULL) return;
    struct limit own =
        limits_find(t->rules.limits, span_of(lane_name(l).ptr, l->host_len), l->port);
    if (own.connections != 0 && own.connections < l->conns_max) l->conns_max = own.connections;
    if (own.interval_ns > l->interval_ns) l->interval_ns = own.interval_ns;
}

/* Its entry in the table of hosts. Unused lanes hold entries too, perhaps all of its group's. */
static struct host *host_ref(struct lanes *t, uint64_t hash, uint64_t now_ns)
{
    struct host *h;
    int tries = 0;
    do h = shared_table_ref(t->rules.hosts, hash, now_ns);
    while (h == NULL && tries++ < HOST_TRIES && lanes_evict(t, NULL, now_ns));
    return h;
}

static struct places *one_of(struct lane *l) { return (struct places *)lane_naming(l)->one; }

void lane_places_drop(struct lanes *t, struct lane *l)
{
    CHECK(l->by_name);
    if (l->places != NULL && l->places != one_of(l))
        slab_give(t->slab, l->places, places_bytes(l->places->room));
    l->places = NULL;
}

/* Room for as many as can be had; the old ones stay where they are. */
static struct places *places_room(struct lanes *t, struct lane *l, uint32_t *count, uint64_t now_ns)
{
    struct places *p = NULL;
    while (*count > 1 && (p = slab_take(t->slab, places_bytes(*count))) == NULL)
        if (!lanes_evict(t, l, now_ns)) *count = 1;
    return p != NULL ? p : one_of(l);
}

void lane_places_set(struct lanes *t, struct lane *l, const struct policy *policy,
                     const struct addr *addrs, uint32_t count, uint64_t now_ns)
{
    struct vetted v = {.count = 0};
    struct places *p = NULL, *before = l->places;
    uint64_t old_one[LANE_ONE_WORDS];
    CHECK(l->by_name && count > 0);
    vet(&v, policy, addrs, count);
    for (uint32_t i = 0; i < v.count || i == 0; i++) { /* the first of the refused, too */
        struct addr *a = &v.addrs[i];
        *(a->sa.sa_family == AF_INET ? &a->v4.sin_port : &a->v6.sin6_port) = htons(l->port);
    }
    if (v.count > 0) {
        places_interleave(v.addrs, v.count);
        p = places_room(t, l, &v.count, now_ns);
        if (p == before) before = memcpy(old_one, before, sizeof old_one);
        places_make(p, v.addrs, v.count, before);
    }
    if (p != l->places) lane_places_drop(t, l);
    if (p == NULL) places_make(one_of(l), v.addrs, 1, NULL); /* to be shown, never connected to */
    l->places = p;
    l->refused = v.refused;
}

/* v: its addresses, vetted; NULL: they need the DNS. */
static struct lane *lane_make(struct lanes *t, const struct url *url, struct span name,
                              uint64_t hash, const struct vetted *v, uint64_t now_ns)
{
    bool by_name = v == NULL;
    uint32_t count = by_name || v->refused != NULL ? 1 : v->count;
    size_t behind = by_name ? sizeof(struct naming) : places_bytes(count);
    size_t name_at = sizeof(struct lane) + behind;
    struct lane *l = lane_take(t, name_at + name.len, now_ns);
    if (l == NULL) return NULL;
    memset(l, 0, name_at);
    l->name_hash = hash;
    l->paces_seen = t->rules.paces_kept ? UINT32_MAX : 0;
    l->moved_ns = now_ns; /* it has not stalled before it began */
    l->name_len = (uint16_t)name.len;
    l->host_len = (uint16_t)host_len_of(name.ptr, (uint32_t)name.len);
    l->port = url->port;
    l->secure = url->scheme == URL_HTTPS;
    l->name_at = (uint16_t)name_at;
    l->by_name = by_name;
    memcpy((char *)l + name_at, name.ptr, name.len);
    if (!by_name) {
        l->refused = v->refused;
        if (v->refused == NULL) l->places = (struct places *)(l + 1);
        places_make((struct places *)(l + 1), v->addrs, count, NULL);
    }
    lane_limit(t, l);
    l->own = flow_new(t, l, 0, now_ns);
    if (l->own != NULL) l->host = host_ref(t, hash, now_ns);
    if (l->host != NULL) return l;
    lane_free(t, l, now_ns);
    return NULL;
}

enum lane_found lanes_find(struct lanes *t, const struct url *url, const struct resolver *resolver,
                           const struct policy *policy, uint64_t now_ns, struct lane **out)
{
    if (t->last != NULL && is_plainly_of(t->last, url)) {
        *out = t->last;
        return LANE_FOUND;
    }
    char name[NAME_BYTES_MAX];
    uint32_t len = name_of(url, name);
    bool secure = url->scheme == URL_HTTPS;
    uint64_t hash = XXH3_64bits_withSeed(name, len, secure);
    for (uint32_t i = slot_of(t, hash); t->slot[i] != NULL; i = (i + 1) & (t->slots - 1)) {
        struct lane *l = t->slot[i];
        if (l->name_hash != hash || l->secure != secure || l->name_len != len ||
            memcmp(lane_name(l).ptr, name, len) != 0)
            continue;
        *out = t->last = l;
        return LANE_FOUND;
    }
    struct addr found[RESOLVER_ADDRS_MAX];
    uint32_t count = resolver_find(resolver, url, found);
    if ((t->count + 1) * 2 > t->slots && !table_open(t, t->slots * 2)) return LANE_NO_MEMORY;
    struct vetted v = {.count = 0};
    vet(&v, policy, found, count);
    struct vetted *known = count > 0 ? &v : NULL;
    struct lane *l = lane_make(t, url, span_of(name, len), hash, known, now_ns);
    if (l == NULL) return LANE_NO_MEMORY;
    slot_put(t, l);
    t->count++;
    lane_update(t, l);
    *out = l;
    return LANE_FOUND;
}

/* ---- the ring ----------------------------------------------------------------------------- */

static void ring_add(struct lane *l, struct flow *f)
{
    f->ring_next = NULL;
    f->ring_prev = l->ring_tail;
    *(l->ring_tail ? &l->ring_tail->ring_next : &l->ring) = f;
    l->ring_tail = f;
    f->in_ring = true;
}

static void ring_remove(struct lane *l, struct flow *f)
{
    *(f->ring_prev ? &f->ring_prev->ring_next : &l->ring) = f->ring_next;
    *(f->ring_next ? &f->ring_next->ring_prev : &l->ring_tail) = f->ring_prev;
    f->ring_next = f->ring_prev = NULL;
    f->in_ring = false;
}

void lane_rotate(struct flow *f)
{
    if (!f->in_ring || f->ring_next == NULL) return;
    ring_remove(f->lane, f);
    ring_add(f->lane, f);
}

static bool belongs_in_ring(const struct flow *f)
{
    return !f->blocked && (f->queued > 0 || (f->backlog > 0 && !f->in_recall));
}

void flow_update(struct lanes *t, struct flow *f)
{
    bool belongs = belongs_in_ring(f);
    if (belongs && !f->in_ring) ring_add(f->lane, f);
    if (!belongs && f->in_ring) ring_remove(f->lane, f);
    lane_update(t, f->lane);
}

void flow_block(struct lanes *t, struct flow *f)
{
    f->blocked = true;
    flow_update(t, f);
}

void flow_wake(struct lanes *t, struct flow *f)
{
    f->blocked = false;
    flow_update(t, f);
}

/* ---- deliveries and connections ----------------------------------------------------------- */

static void count_in(struct lanes *t, struct flow *f)
{
    f->lane->queued++;
    if (f->queued++ == 0) flow_update(t, f);
}

static void count_out(struct lanes *t, struct flow *f)
{
    CHECK(f->queued > 0 && f->lane->queued > 0);
    f->lane->queued--;
    if (--f->queued == 0) flow_update(t, f);
}

void flow_push(struct lanes *t, struct flow *f, enum flow_kind kind, struct delivery *d)
{
    struct flow_queue *q = &f->queue[kind];
    d->next = NULL;
    *(q->tail ? &q->tail->next : &q->head) = d;
    q->tail = d;
    f->retries += kind == FLOW_RETRY;
    count_in(t, f);
}

void flow_push_front(struct lanes *t, struct flow *f, enum flow_kind kind, struct delivery *d)
{
    struct flow_queue *q = &f->queue[kind];
    d->next = q->head;
    q->head = d;
    if (q->tail == NULL) q->tail = d;
    f->retries += kind == FLOW_RETRY;
    count_in(t, f);
}

struct delivery *flow_pop(struct lanes *t, struct flow *f, enum flow_kind kind)
{
    struct flow_queue *q = &f->queue[kind];
    struct delivery *d = q->head;
    CHECK(d != NULL);
    q->head = d->next;
    if (q->head == NULL) q->tail = NULL;
    d->next = NULL;
    f->retries -= kind == FLOW_RETRY;
    count_out(t, f);
    return d;
}

void flow_remove(struct lanes *t, struct flow *f, enum flow_kind kind, struct delivery *d)
{
    struct flow_queue *q = &f->queue[kind];
    struct delivery *before = NULL, *at = q->head;
    while (at != NULL && at != d) {
        before = at;
        at = at->next;
    }
    CHECK(at == d);
    *(before ? &before->next : &q->head) = d->next;
    if (q->tail == d) q->tail = before;
    d->next = NULL;
    f->retries -= kind == FLOW_RETRY;
    count_out(t, f);
}

void lane_conn_added(struct lanes *t, struct lane *l)
{
    l->conns++;
    t->secure_conns += l->secure;
    lane_update(t, l);
}

void lane_conn_gone(struct lanes *t, struct lane *l)
{
    CHECK(l->conns > 0);
    l->conns--;
    t->secure_conns -= l->secure;
    host_conn_give(l->host);
    lane_update(t, l);
}

void lane_idle_add(struct lanes *t, struct lane *l, struct conn *c)
{
    c->next = l->idle;
    c->prev = NULL;
    if (l->idle) l->idle->prev = c;
    l->idle = c;
    lane_update(t, l);
}

void lane_idle_remove(struct lane *l, struct conn *c)
{
    *(c->prev ? &c->prev->next : &l->idle) = c->next;
    if (c->next) c->next->prev = c->prev;
    c->next = c->prev = NULL;
}

/* ---- tests -------------------------------------------------------------------------------- */

struct flow_sums {
    uint32_t flows, queued, in_ring;
};

static void flow_validate(const struct flow *f, struct flow_sums *sums)
{
    uint32_t count = 0;
    for (int k = 0; k < FLOW_KINDS; k++) {
        CHECK(k != FLOW_RETRY || count == f->queued - f->retries);
        const struct delivery *last = NULL;
        for (const struct delivery *d = f->queue[k].head; d != NULL; last = d, d = d->next) count++;
        CHECK(f->queue[k].tail == last);
    }
    CHECK(count == f->queued);
    CHECK(f->in_ring == belongs_in_ring(f));
    sums->flows++;
    sums->queued += f->queued;
    sums->in_ring += f->in_ring;
}

static uint32_t ring_validate(const struct lane *l)
{
    uint32_t count = 0;
    const struct flow *last = NULL;
    for (const struct flow *f = l->ring; f != NULL; last = f, f = f->ring_next, count++) {
        CHECK(f->lane == l);
        CHECK(f->in_ring);
        CHECK(f->ring_prev == last);
    }
    CHECK(l->ring_tail == last);
    return count;
}

static void keyed_validate(const struct lanes *t, struct flow_sums *sums)
{
    for (uint32_t i = 0; i < t->buckets; i++)
        for (const struct flow *f = t->bucket[i]; f != NULL; f = f->bucket_next) {
            CHECK(f->key != 0);
            CHECK(bucket_of(t, f->lane, f->key) == i);
            flow_validate(f, sums);
        }
    CHECK(sums->flows == t->keyed);
}

void lanes_validate(const struct lanes *t)
{
    uint32_t count = 0, ready = 0, unused = 0, in_rings = 0;
    struct flow_sums own = {0}, keyed = {0}, lanes = {0};
    for (uint32_t i = 0; i < t->slots; i++) {
        const struct lane *l = t->slot[i];
        if (l == NULL) continue;
        count++;
        CHECK(l->own->lane == l);
        CHECK(l->own->key == 0);
        flow_validate(l->own, &own);
        in_rings += ring_validate(l);
        CHECK(l->in_flight <= l->permits);
        if (can_begin(l)) CHECK(l->ready);
        CHECK(l->unused == is_unused(l));
        ready += l->ready;
        unused += l->unused;
        lanes.flows += l->flows;
        lanes.queued += l->queued;
    }
    keyed_validate(t, &keyed);
    CHECK(lanes.flows == keyed.flows);
    CHECK(lanes.queued == own.queued + keyed.queued);
    CHECK(in_rings == own.in_ring + keyed.in_ring);
    CHECK(count == t->count);
    CHECK(unused == t->unused_count);
    for (const struct lane *l = t->ready_head; l != NULL; l = l->ready_next) ready--;
    CHECK(ready == 0);
    for (const struct lane *l = t->oldest; l != NULL; l = l->newer) unused--;
    CHECK(unused == 0);
}
