/* tools/sinker/quota.c - see quota.h. A table with chains under one lock: judging takes some tens
 * of nanoseconds, which even several shards at full speed do not have to wait for noticeably.
 */
#include "tools/sinker/quota.h"

#include "tools/sinker/words.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { BUCKETS = 1 << 14 };

struct quota {
    struct quota *next; /* in its chain */
    struct quota_rule rule;
    uint32_t listener;
    uint32_t key_len;  /* of key */
    uint64_t key_hash; /* of the whole key */
    uint64_t last_ns;  /* time does not go back behind this */

    struct quota_window window; /* the present one; valid if windows_count > 0 */
    struct quota_total total;
    struct quota_window *over; /* owned; windows that are over and not yet told of */
    uint32_t over_count, over_max;

    uint64_t *times;       /* sliding; owned, a ring of rule.count */
    uint32_t oldest, used; /* in it */
    uint64_t credit;       /* bucket; a request costs window_ns, each ns earns rule.count */
    uint64_t credit_ns;    /* as of when */
    char key[QUOTA_KEY_BYTES];
};

struct quotas {
    pthread_mutex_t lock; /* guards the rest, and all quotas */
    uint32_t count;
    bool keep_windows;
    uint64_t no_room;
    struct quota *chains[BUCKETS];
    struct quota *all[QUOTAS_MAX]; /* owns them; in the order in which they came to be */
};

static const struct span kind_suffix[QUOTA_KIND_COUNT] = {
    [QUOTA_FIXED] = SPAN_LIT(""),
    [QUOTA_SLIDING] = SPAN_LIT("-sliding"),
    [QUOTA_BUCKET] = SPAN_LIT("-bucket"),
};

static bool is_possible(const struct quota_rule *r)
{
    uint64_t credit;
    if (r->count == 0 || r->window_ns < QUOTA_WINDOW_MS_MIN * 1000000ull) return false;
    if (r->kind == QUOTA_SLIDING) return r->count <= QUOTA_SLIDING_MAX;
    if (r->kind != QUOTA_BUCKET) return true;
    return !__builtin_mul_overflow(r->window_ns, (uint64_t)r->count, &credit) &&
           credit <= INT64_MAX;
}

bool quota_rule_parse(struct span text, struct quota_rule *out)
{
    static const struct span per = SPAN_LIT("-per-");
    struct quota_rule r = {.dialects = out->dialects};
    uint64_t count;
    struct span rest;
    if (!words_number(text, 1, &count, &rest) || count > QUOTA_COUNT_MAX) return false;
    if (rest.len < per.len || memcmp(rest.ptr, per.ptr, per.len) != 0) return false;
    rest = span_of(rest.ptr + per.len, rest.len - per.len);
    for (unsigned kind = 1; kind < QUOTA_KIND_COUNT; kind++) {
        struct span suffix = kind_suffix[kind];
        if (rest.len <= suffix.len) continue;
        if (memcmp(rest.ptr + rest.len - suffix.len, suffix.ptr, suffix.len) != 0) continue;
        rest.len -= suffix.len;
        r.kind = (uint8_t)kind;
        break;
    }
    if (!words_unit(rest, &r.window_ns) && !words_duration(rest, &r.window_ns)) return false;
    r.count = (uint32_t)count;
    if (!is_possible(&r)) return false;
    *out = r;
    return true;
}

size_t quota_rule_text(const struct quota_rule *rule, char out[QUOTA_RULE_TEXT_BYTES])
{
    char window[WORDS_DURATION_BYTES];
    size_t len = words_duration_text(rule->window_ns, window);
    bool is_unit = len == 2 && window[0] == '1';
    int n = snprintf(out, QUOTA_RULE_TEXT_BYTES, "%u-per-%s%s", rule->count, window + is_unit,
                     kind_suffix[rule->kind].ptr);
    CHECK(n > 0);
    CHECK(n < QUOTA_RULE_TEXT_BYTES);
    return (size_t)n;
}

struct quotas *quotas_new(bool keep_windows)
{
    struct quotas *q = calloc(1, sizeof *q);
    if (!q) return NULL;
    q->keep_windows = keep_windows;
    CHECK(pthread_mutex_init(&q->lock, NULL) == 0);
    return q;
}

void quotas_free(struct quotas *q)
{
    if (!q) return;
    for (uint32_t i = 0; i < q->count; i++) {
        free(q->all[i]->over);
        free(q->all[i]->times);
        free(q->all[i]);
    }
    free(q);
}

static bool same_rule(const struct quota_rule *a, const struct quota_rule *b)
{
    return a->window_ns == b->window_ns && a->count == b->count && a->dialects == b->dialects &&
           a->kind == b->kind;
}

static struct quota *quota_new(const struct quota_ask *ask, uint64_t key_hash)
{
    struct quota *q = calloc(1, sizeof *q);
    if (!q) return NULL;
    q->rule = *ask->rule;
    q->listener = ask->listener;
    q->key_hash = key_hash;
    q->key_len = (uint32_t)(ask->key.len < QUOTA_KEY_BYTES ? ask->key.len : QUOTA_KEY_BYTES);
    if (q->key_len) memcpy(q->key, ask->key.ptr, q->key_len);
    q->last_ns = q->credit_ns = ask->now_ns;
    if (q->rule.kind == QUOTA_BUCKET) q->credit = q->rule.count * q->rule.window_ns;
    if (q->rule.kind != QUOTA_SLIDING) return q;
    q->times = malloc(q->rule.count * sizeof *q->times);
    if (q->times) return q;
    free(q);
    return NULL;
}

/* The quota that is asked for, made if need be. NULL: no room. */
static struct quota *find(struct quotas *q, const struct quota_ask *ask)
{
    uint64_t key_hash = ask->key.len ? XXH3_64bits(ask->key.ptr, ask->key.len) : 0;
    uint64_t h = key_hash ^ ask->listener ^ (uint64_t)ask->rule->count << 20 ^
                 ask->rule->window_ns ^ (uint64_t)ask->rule->dialects << 32 ^ ask->rule->kind;
    struct quota **chain = &q->chains[h * 0x9e3779b97f4a7c15ull >> 50];
    for (struct quota *p = *chain; p; p = p->next)
        if (p->key_hash == key_hash && p->listener == ask->listener &&
            same_rule(&p->rule, ask->rule))
            return p;
    if (q->count == QUOTAS_MAX) return NULL;
    struct quota *p = quota_new(ask, key_hash);
    if (!p) return NULL;
    p->next = *chain;
    *chain = p;
    return q->all[q->count++] = p;
}

/* The present window is over: kept until it is told of. */
static void window_end(struct quota *p)
{
    if (p->over_count == p->over_max) {
        uint32_t max = p->over_max ? 2 * p->over_max : 8;
        struct quota_window *more = realloc(p->over, max * sizeof *more);
        if (!more) {
            p->total.windows_lost++;
            return;
        }
        p->over = more;
        p->over_max = max;
    }
    p->over[p->over_count] = p->window;
    p->over[p->over_count++].is_over = true;
}

/* Makes window the one that now_ns lies in. */
static void window_turn(const struct quotas *q, struct quota *p, uint64_t now_ns)
{
    struct quota_window *w = &p->window;
    uint64_t length = p->rule.window_ns;
    if (p->total.windows_count == 0) {
        *w = (struct quota_window){.start_ns = now_ns};
    } else if (now_ns - w->start_ns >= length) {
        if (q->keep_windows) window_end(p);
        bool is_fixed = p->rule.kind == QUOTA_FIXED;
        uint64_t steps = is_fixed ? 1 : (now_ns - w->start_ns) / length;
        *w = (struct quota_window){.start_ns = is_fixed ? now_ns : w->start_ns + steps * length,
                                   .index = w->index + (uint32_t)steps};
    } else {
        return;
    }
    p->total.windows_count++;
}

static struct quota_pass pass_fixed(struct quota *p, uint64_t now_ns)
{
    uint64_t used = p->window.allowed, end_ns = p->window.start_ns + p->rule.window_ns;
    CHECK(used <= p->rule.count);
    struct quota_pass out = {.whole_ns = end_ns, .verdict = QUOTA_REFUSED};
    if (used < p->rule.count) {
        out.verdict = QUOTA_ALLOWED;
        out.remaining = p->rule.count - (uint32_t)used - 1;
    }
    out.next_ns = out.remaining ? now_ns : end_ns;
    return out;
}

static struct quota_pass pass_sliding(struct quota *p, uint64_t now_ns)
{
    uint32_t count = p->rule.count;
    while (p->used > 0 && now_ns - p->times[p->oldest] >= p->rule.window_ns) {
        p->oldest = p->oldest + 1 < count ? p->oldest + 1 : 0;
        p->used--;
    }
    struct quota_pass out = {.verdict = QUOTA_REFUSED};
    if (p->used < count) {
        out.verdict = QUOTA_ALLOWED;
        p->times[(p->oldest + p->used) % count] = now_ns;
        p->used++;
        out.remaining = count - p->used;
    }
    out.next_ns = out.remaining ? now_ns : p->times[p->oldest] + p->rule.window_ns;
    out.whole_ns = p->times[(p->oldest + p->used - 1) % count] + p->rule.window_ns;
    return out;
}

static struct quota_pass pass_bucket(struct quota *p, uint64_t now_ns)
{
    uint64_t cost = p->rule.window_ns, count = p->rule.count, full = cost * count;
    uint64_t idle_ns = now_ns - p->credit_ns;
    p->credit_ns = now_ns;
    if (idle_ns >= cost || idle_ns * count >= full - p->credit) p->credit = full;
    else p->credit += idle_ns * count;
    struct quota_pass out = {.verdict = QUOTA_REFUSED};
    if (p->credit >= cost) {
        out.verdict = QUOTA_ALLOWED;
        p->credit -= cost;
        out.remaining = (uint32_t)(p->credit / cost);
    }
    out.next_ns = now_ns;
    if (p->credit < cost) out.next_ns += (cost - p->credit + count - 1) / count;
    out.whole_ns = now_ns + (full - p->credit + count - 1) / count;
    return out;
}

static struct quota_pass pass_locked(struct quotas *q, const struct quota_ask *ask)
{
    struct quota *p = find(q, ask);
    if (!p) {
        q->no_room++;
        return (struct quota_pass){.verdict = QUOTA_NO_ROOM};
    }
    /* Another shard may have read its clock later and come first. */
    uint64_t now_ns = ask->now_ns > p->last_ns ? ask->now_ns : p->last_ns;
    p->last_ns = now_ns;
    window_turn(q, p, now_ns);
    struct quota_pass out = {0};
    switch ((enum quota_kind)p->rule.kind) {
    case QUOTA_FIXED: out = pass_fixed(p, now_ns); break;
    case QUOTA_SLIDING: out = pass_sliding(p, now_ns); break;
    case QUOTA_BUCKET: out = pass_bucket(p, now_ns); break;
    case QUOTA_KIND_COUNT: UNREACHABLE();
    }
    bool allowed = out.verdict == QUOTA_ALLOWED;
    p->window.allowed += allowed;
    p->window.refused += !allowed;
    p->total.allowed += allowed;
    p->total.refused += !allowed;
    return out;
}

struct quota_pass quotas_pass(struct quotas *q, const struct quota_ask *ask)
{
    CHECK(ask->rule->count > 0);
    CHECK(ask->rule->window_ns > 0);
    CHECK(pthread_mutex_lock(&q->lock) == 0);
    struct quota_pass out = pass_locked(q, ask);
    CHECK(pthread_mutex_unlock(&q->lock) == 0);
    return out;
}

static struct quota_name name_of(const struct quota *p)
{
    return (struct quota_name){p->rule, p->listener, span_of(p->key, p->key_len)};
}

/* What there is to tell of one quota, taken out of it. */
struct taken {
    struct quota_window *over; /* owned */
    struct quota_window present;
    uint32_t over_count;
    bool has_present;
};

static struct taken take(struct quota *p, uint64_t now_ns, bool is_end)
{
    struct taken t = {.over = p->over, .over_count = p->over_count, .present = p->window};
    p->over = NULL;
    p->over_count = p->over_max = 0;
    t.has_present = is_end && p->total.windows_count > 0;
    /* A shard's reading of the clock may be newer than the caller's. */
    t.present.is_over =
        now_ns > t.present.start_ns && now_ns - t.present.start_ns >= p->rule.window_ns;
    return t;
}

static uint32_t count_of(struct quotas *q)
{
    CHECK(pthread_mutex_lock(&q->lock) == 0);
    uint32_t count = q->count;
    CHECK(pthread_mutex_unlock(&q->lock) == 0);
    return count;
}

void quotas_windows(struct quotas *q, uint64_t now_ns, bool is_end, quota_window_fn *fn, void *ctx)
{
    CHECK(q->keep_windows);
    uint32_t count = count_of(q);
    for (uint32_t i = 0; i < count; i++) {
        /* Told of without the lock: fn may write to a disk. */
        CHECK(pthread_mutex_lock(&q->lock) == 0);
        struct quota_name name = name_of(q->all[i]);
        struct taken t = take(q->all[i], now_ns, is_end);
        CHECK(pthread_mutex_unlock(&q->lock) == 0);
        for (uint32_t k = 0; k < t.over_count; k++) fn(ctx, &name, &t.over[k]);
        if (t.has_present) fn(ctx, &name, &t.present);
        free(t.over);
    }
}

void quotas_totals(struct quotas *q, quota_total_fn *fn, void *ctx)
{
    uint32_t count = count_of(q);
    for (uint32_t i = 0; i < count; i++) {
        CHECK(pthread_mutex_lock(&q->lock) == 0);
        struct quota_name name = name_of(q->all[i]);
        struct quota_total total = q->all[i]->total;
        CHECK(pthread_mutex_unlock(&q->lock) == 0);
        fn(ctx, &name, &total);
    }
}

uint64_t quotas_no_room(struct quotas *q)
{
    CHECK(pthread_mutex_lock(&q->lock) == 0);
    uint64_t n = q->no_room;
    CHECK(pthread_mutex_unlock(&q->lock) == 0);
    return n;
}
