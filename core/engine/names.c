/* core/engine/names.c - where a lane whose host is a name gets its addresses from.
 *
 * A lane needs addresses when a connection is to be opened; idle connections go on without. Then
 * the cache is asked, or the DNS, and the lane waits, alone: it is blocked like one that waits for
 * a permit, and what is queued in it is parked if the answer takes long. Lanes that wait for one
 * name share the question. An answer holds for its time to live; then it is asked for again. So it
 * is when connects to all addresses failed, which may have moved, but not within AGAIN_NS of the
 * answer.
 *
 * Each answer goes through the egress policy, the second as the first: a name that now leads into a
 * private network has blocked its records, whatever it was before. Old addresses are used for
 * STALE_MAX_NS beyond their time when the DNS does not answer, as RFC 8767 has it; not when it says
 * that there are none.
 */
#include "core/engine/names.h"

#include "core/base/limits.h"
#include "core/engine/shard_state.h"

#include <stdlib.h>
#include <string.h>

#define LINE_NS       UINT64_C(20000000)
#define PARK_AFTER_NS UINT64_C(100000000)
#define AGAIN_NS      UINT64_C(10000000000)
#define STALE_MAX_NS  UINT64_C(3600000000000)

enum {
    TURNS_AT_ONCE = 32, /* lanes that leave the line together */
    YOUNG_LEAST = 8,
};

/* A question under way, and the lanes that wait for its answer. */
struct name_lookup {
    struct name_lookup *chain;
    struct shard *shard;
    struct lane *waiting;
    uint64_t begun_ns;
    uint32_t name_len;
    uint64_t told_ns;
    bool late; /* it was answered, but not in full; out of the table, nobody waits for it */
    char name[LIMIT_HOST_BYTES + 1]; /* terminated */
};

/* ---- life --------------------------------------------------------------------------------- */

size_t names_lookup_bytes(void) { return sizeof(struct name_lookup) + dns_lookup_bytes(); }

bool names_open(struct shard *s, const char **why)
{
    struct names *n = &s->names;
    const struct config *c = s->run->config;
    uint32_t young = DNS_YOUNG_ALL / c->shards;
    const struct dns_config dns = {.servers = c->dns_servers,
                                   .servers_count = c->dns_servers_count,
                                   .timeout_ns = c->dns_timeout_ns,
                                   .lookups_max = s->run->plan.lookups,
                                   .young_max = young > YOUNG_LEAST ? young : YOUNG_LEAST};
    *why = "no memory";
    n->slab = slab_new(s->run->plan.names_bytes);
    uint32_t known_max = s->run->plan.names_bytes / NAMES_ENTRY_BYTES;
    if (n->slab == NULL || !dns_cache_open(&n->cache, n->slab, known_max)) return false;
    n->lookup = calloc(dns.lookups_max, sizeof *n->lookup); /* large: there once it is touched */
    if (n->lookup == NULL) return false;
    n->dns = dns_open(s->io, &dns, why);
    return n->dns != NULL;
}

void names_close(struct shard *s)
{
    struct names *n = &s->names;
    if (n->dns != NULL) dns_close(n->dns);
    if (n->cache.bucket != NULL) dns_cache_close(&n->cache);
    if (n->slab != NULL) slab_free(n->slab);
    free(n->lookup);
    wheel_cancel(&s->wheel, &n->timer);
}

static void wake(struct shard *s, struct lane *l)
{
    if (l->blocked && !l->held) gate_lane_timer(s, l);
    else lane_update(&s->lanes, l);
}

static void line_add(struct shard *s, struct lane *l)
{
    struct names *n = &s->names;
    lane_naming(l)->in_line = true;
    lane_naming(l)->next = NULL;
    if (n->line_head == NULL) { /* it is looked at again before long, whatever the DNS does */
        n->line_due_ns = io_now_ns(s->io) + LINE_NS;
        wheel_cancel(&s->wheel, &n->timer);
        timer_arm(s, &n->timer, TIMER_NAMES, n->line_due_ns);
    }
    *(n->line_tail ? &lane_naming(n->line_tail)->next : &n->line_head) = l;
    n->line_tail = l;
    lane_update(&s->lanes, l);
}

/* NULL: nobody is in line. */
static struct lane *line_take(struct shard *s)
{
    struct names *n = &s->names;
    struct lane *l = n->line_head;
    if (l == NULL) return NULL;
    n->line_head = lane_naming(l)->next;
    if (n->line_head == NULL) n->line_tail = NULL;
    lane_naming(l)->next = NULL;
    lane_naming(l)->in_line = false;
    return l;
}

static void line_serve(struct shard *s)
{
    struct lane *l;
    if (!dns_has_room(s->names.dns)) return;
    for (int i = 0; i < TURNS_AT_ONCE && (l = line_take(s)) != NULL; i++) {
        lane_naming(l)->turn = true;
        wake(s, l);
    }
}

void names_tend(struct shard *s)
{
    struct names *n = &s->names;
    uint64_t now_ns = io_now_ns(s->io), due_ns = dns_due_ns(n->dns);
    bool waits = n->line_head != NULL;
    if (due_ns > now_ns && !(waits && n->line_due_ns <= now_ns)) return;
    dns_tend(n->dns);
    if (waits) line_serve(s);
    n->line_due_ns = n->line_head != NULL ? now_ns + LINE_NS : UINT64_MAX;
    due_ns = dns_due_ns(n->dns);
    wheel_cancel(&s->wheel, &n->timer);
    timer_arm(s, &n->timer, TIMER_NAMES, due_ns < n->line_due_ns ? due_ns : n->line_due_ns);
}

void names_stop(struct shard *s)
{
    struct lane *l;
    while ((l = line_take(s)) != NULL) lane_update(&s->lanes, l);
    dns_stop(s->names.dns);
    names_tend(s);
}

bool names_idle(const struct shard *s)
{
    return s->names.line_head == NULL && dns_idle(s->names.dns);
}
bool names_wait(const struct shard *s) { return dns_due_ns(s->names.dns) > 0; }

/* ---- answers ------------------------------------------------------------------------------ */

struct known {
    enum dns_status status;
    const struct addr *addrs;
    uint32_t count;
    uint64_t made_ns, until_ns;
};

static void nowhere(struct shard *s, struct lane *l, enum dns_status status)
{
    lane_places_drop(&s->lanes, l);
    l->refused = NULL;
    lane_naming(l)->why = status == DNS_TIMEOUT ? ERR_DNS_TIMEOUT : ERR_DNS_FAILURE;
}

/* Makes the lane know what the DNS said. */
static void learn(struct shard *s, struct lane *l, const struct known *k)
{
    struct naming *n = lane_naming(l);
    uint64_t now_ns = io_now_ns(s->io);
    const struct policy *policy = s->run->config->policy;
    n->made_ns = k->made_ns;
    n->until_ns = k->until_ns;
    switch (k->status) {
    case DNS_FOUND:
        n->stale = false;
        lane_places_set(&s->lanes, l, policy, k->addrs, k->count, now_ns);
        n->why = ERR_OK;
        n->good_until_ns = k->until_ns;
        return;
    case DNS_NONE: nowhere(s, l, k->status); return;
    case DNS_FAILED:
    case DNS_TIMEOUT:
        n->stale = l->places != NULL && now_ns < n->good_until_ns + STALE_MAX_NS;
        if (!n->stale) nowhere(s, l, k->status);
        return;
    case DNS_STOPPED: break;
    }
    UNREACHABLE();
}

static struct name_lookup **place_of(struct names *n, struct span name)
{
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < name.len; i++) hash = (hash ^ (unsigned char)name.ptr[i]) * 16777619U;
    struct name_lookup **at = &n->bucket[hash % NAMES_BUCKETS];
    while (*at != NULL && !span_eq(span_of((*at)->name, (*at)->name_len), name)) at = &(*at)->chain;
    return at;
}

/* Whoever asks for the name from now on asks anew. */
static void lookup_unlink(struct shard *s, struct name_lookup *q)
{
    struct name_lookup **at = place_of(&s->names, span_of(q->name, q->name_len));
    CHECK(*at == q);
    *at = q->chain;
}

/* What came too late for those who waited is kept for others, unless newer is known. */
static void late_answer(struct shard *s, const struct name_lookup *q, const struct dns_answer *a)
{
    struct span name = span_of(q->name, q->name_len);
    uint64_t now_ns = io_now_ns(s->io);
    const struct dns_entry *e = dns_cache_find(&s->names.cache, name, now_ns);
    if (a->status != DNS_FOUND || (e != NULL && e->made_ns > q->told_ns)) return;
    dns_cache_put(&s->names.cache, name, a, now_ns);
}

/* NULL: the question was taken back. */
static void waiting_learn(struct shard *s, struct name_lookup *q, const struct dns_answer *a)
{
    uint64_t now_ns = io_now_ns(s->io);
    struct known k = {.made_ns = now_ns};
    if (a != NULL) {
        dns_cache_put(&s->names.cache, span_of(q->name, q->name_len), a, now_ns);
        k.status = a->status;
        k.addrs = a->addrs;
        k.count = a->count;
        k.until_ns = now_ns + dns_answer_life_ns(a);
    }
    struct lane *l;
    while ((l = q->waiting) != NULL) {
        struct naming *n = lane_naming(l);
        q->waiting = n->next;
        n->next = NULL;
        n->lookup = NULL;
        if (a != NULL) learn(s, l, &k);
        wake(s, l);
    }
}

static void lookup_done(void *ctx, const struct dns_answer *a, bool last)
{
    struct name_lookup *q = ctx;
    struct shard *s = q->shard;
    if (a != NULL && a->status == DNS_STOPPED) a = NULL;
    if (!q->late) {
        lookup_unlink(s, q);
        q->late = true;
        q->told_ns = io_now_ns(s->io);
        waiting_learn(s, q, a);
    } else if (a != NULL) {
        late_answer(s, q, a);
    }
    if (!last) return;
    q->chain = s->names.free;
    s->names.free = q;
}

/* ---- questions ---------------------------------------------------------------------------- */

static struct span name_of(struct lane *l) { return span_of(lane_name(l).ptr, l->host_len); }

static struct name_lookup *lookup_begin(struct shard *s, struct span name, struct name_lookup **at)
{
    struct names *n = &s->names;
    struct name_lookup *q = n->free;
    if (q != NULL) n->free = q->chain;
    else q = &n->lookup[n->touched++];
    CHECK(n->touched <= s->run->plan.lookups); /* dns_has_room() counts the same */
    CHECK(name.len < sizeof q->name);
    q->chain = NULL;
    q->shard = s;
    q->waiting = NULL;
    q->begun_ns = io_now_ns(s->io);
    q->name_len = (uint32_t)name.len;
    q->late = false;
    memcpy(q->name, name.ptr, name.len);
    q->name[name.len] = 0;
    *at = q;
    dns_ask(n->dns, q->name, lookup_done, q);
    return q;
}

/* From the cache at once, or from the DNS later; when there is no room, in line. */
static void ask(struct shard *s, struct lane *l)
{
    struct naming *n = lane_naming(l);
    if (n->doubted) dns_cache_doubt(&s->names.cache, name_of(l), io_now_ns(s->io) - AGAIN_NS + 1);
    n->doubted = false;
    const struct dns_entry *e = dns_cache_find(&s->names.cache, name_of(l), io_now_ns(s->io));
    if (e != NULL) {
        struct dns_answer a; /* a copy: entries may go while memory is taken */
        a.status = (enum dns_status)e->status;
        a.count = e->count;
        memcpy(a.addrs, e->addrs, e->count * sizeof e->addrs[0]);
        struct known k = {a.status, a.addrs, a.count, e->made_ns, e->until_ns};
        learn(s, l, &k);
        return;
    }
    struct name_lookup **at = place_of(&s->names, name_of(l));
    bool may = dns_has_room(s->names.dns) && (n->turn || s->names.line_head == NULL);
    n->turn = false;
    if (*at == NULL && !may) {
        line_add(s, l);
        return;
    }
    n->lookup = *at != NULL ? *at : lookup_begin(s, name_of(l), at);
    n->next = n->lookup->waiting;
    n->lookup->waiting = l;
    lane_update(&s->lanes, l);
}

/* q: NULL while it is in line. */
static void wait_for(struct shard *s, struct lane *l, const struct name_lookup *q)
{
    uint64_t now_ns = io_now_ns(s->io);
    uint64_t long_ns = (q != NULL ? q->begun_ns : l->moved_ns) + PARK_AFTER_NS;
    gate_lane_block(s, l, now_ns < long_ns ? long_ns : UINT64_MAX);
    if (now_ns >= long_ns) park_lane(s, l);
}

enum naming_look names_look(struct shard *s, struct lane *l, const struct delivery *d)
{
    struct naming *n = lane_naming(l);
    uint64_t now_ns = io_now_ns(s->io);
    if (n == NULL || (l->idle != NULL && !d->fresh)) return NAMES_READY;
    if (n->until_ns <= now_ns && n->lookup == NULL && !n->in_line) ask(s, l);
    if (n->until_ns <= now_ns) {
        if (n->stale && l->places != NULL) return NAMES_READY;
        wait_for(s, l, n->lookup);
        return NAMES_WAIT;
    }
    if (l->refused != NULL) return NAMES_REFUSED;
    return n->why != ERR_OK ? NAMES_NOWHERE : NAMES_READY;
}

void names_doubt(struct lane *l)
{
    struct naming *n = lane_naming(l);
    if (n == NULL) return;
    n->doubted = true;
    if (n->until_ns > n->made_ns + AGAIN_NS) n->until_ns = n->made_ns + AGAIN_NS;
}
