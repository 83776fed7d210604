/* tests/unit/pace_world.h - a receiver with a quota and a sender with a pace, in virtual time.
 *
 * The receiver counts, answers 200 or 429, and tells its quota in one dialect, by its own clock.
 * The sender has one or two shards: each wakes up late by up to a millisecond, takes in the
 * answers that came, in one batch, as the engine does (core/engine), and sends what the pace and
 * its concurrency window let go. The network delays each message by half a round trip and a bit of
 * jitter, so that answers overtake each other. All randomness comes from the seed.
 *
 * What is measured is measured at the receiver: accepted and refused requests, window by window.
 */
#ifndef TESTS_UNIT_PACE_WORLD_H
#define TESTS_UNIT_PACE_WORLD_H

#include "core/base/prng.h"
#include "sched/pace.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define MS_NS     UINT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)

enum receiver_kind {
    FIXED_AT_FIRST, /* a window begins with the first request after the last one's end */
    FIXED_ALIGNED,  /* windows begin at multiples of their length on the receiver's clock */
    SLIDING,        /* at most `limit` in any `window_ns`; reset: when all of it is there again */
    SLIDING_NEXT,   /* the same; reset: when one more than now remains */
    BUCKET,         /* `limit` in each window_ns on average, `burst` at once */
};

enum reset_form {
    RESET_NONE,
    RESET_UP, /* delta in units of unit_ns */
    RESET_DOWN,
    RESET_NEAREST,
    RESET_EPOCH_UP, /* a point in time in whole units; the answer has a Date of whole seconds */
    RESET_EPOCH_DOWN,
    RESET_EPOCH_UP_NO_DATE, /* as above, by the sender's wall clock */
    RESET_EPOCH_DOWN_NO_DATE,
};

struct world_case {
    const char *name;
    enum receiver_kind kind;
    enum reset_form reset;
    uint64_t unit_ns; /* of the reset */
    bool only_on_429, no_limit, tells_window, retry_after;
    bool stale;      /* remaining is as of one round trip ago */
    bool ignorant;   /* the sender could not count what it sent before the first hint */
    bool own_flight; /* each shard knows only of its own requests in flight */
    uint32_t limit, burst;
    uint64_t window_ns, phase_ns; /* phase: how far into an aligned window the run begins */
    uint64_t rtt_ns, jitter_ns;
    uint32_t shards, concurrency, windows;
    uint64_t seed;
    uint64_t demand_ns; /* a new record each; 0: always enough */
};

struct world_result {
    uint64_t accepted, refused;             /* in all */
    uint64_t accepted_later, refused_later; /* after the first window */
    uint64_t allowed;                       /* what the receiver would have taken */
    uint64_t longest_gap_ns;                /* between two requests that arrived */
};

enum { WORLD_CONCURRENCY_MAX = 256, WORLD_SHARDS = 2, WORLD_EVENTS = 8192 };

enum event_kind { EVENT_ARRIVAL, EVENT_ANSWER, EVENT_WAKE };

struct event {
    uint64_t at_ns;
    uint64_t order; /* makes equal times deterministic */
    enum event_kind kind;
    uint32_t shard;
    uint64_t began_ns;
    uint64_t remaining, reset_ns, retry_after_ns, window_ns; /* as the sender reads them */
    bool refused, hinted;
};

struct world_shard {
    uint64_t wake_ns; /* the one wake-up that counts; UINT64_MAX: none */
    uint64_t busy_until_ns;
    struct event *answers; /* came, not taken in yet */
    uint32_t answers_count, in_flight;
    uint64_t since_ns; /* before it knew of the pace */
    uint32_t taken;
    bool knows;
};

struct world {
    const struct world_case *c;
    struct prng prng;
    struct pace pace;
    bool paced; /* someone made the pace */
    struct event *heap;
    uint32_t heap_count;
    uint64_t order;
    struct world_shard shard[WORLD_SHARDS];
    uint32_t permits, in_flight;
    uint64_t end_ns, first_end_ns, skew_ns;
    uint64_t sent, last_arrival_ns;
    /* the receiver */
    uint64_t window_began_ns, count;
    bool window_open;
    uint64_t *log; /* sliding: times of the accepted ones, a ring of `limit` */
    uint64_t log_at, log_tail;
    uint64_t tokens_ns; /* bucket: level, as time to earn it */
    uint64_t tokens_at_ns;
    struct stale {
        uint64_t at_ns, remaining;
    } stale[4096];
    uint32_t stale_at;
    struct world_result result;
    void (*watch)(struct world *w,
                  const struct event *e); /* NULL, or sees each arrival's verdict */
};

static inline bool event_before(const struct event *a, const struct event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static inline void event_put(struct world *w, struct event e)
{
    cr_assert(w->heap_count < WORLD_EVENTS);
    e.order = w->order++;
    uint32_t at = w->heap_count++;
    while (at > 0 && event_before(&e, &w->heap[(at - 1) / 2])) {
        w->heap[at] = w->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    w->heap[at] = e;
}

static inline struct event event_take(struct world *w)
{
    struct event first = w->heap[0], last = w->heap[--w->heap_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = at * 2 + 1;
        if (child >= w->heap_count) break;
        if (child + 1 < w->heap_count && event_before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!event_before(&w->heap[child], &last)) break;
        w->heap[at] = w->heap[child];
        at = child;
    }
    w->heap[at] = last;
    return first;
}

/* ---- the receiver ------------------------------------------------------------------------- */

static inline uint64_t receiver_clock(const struct world *w, uint64_t now_ns)
{
    return now_ns + w->skew_ns;
}

/* Takes a request or not; *remaining and *reset_at_ns (on our clock) are the truth after it. */
static inline bool receiver_fixed(struct world *w, uint64_t now_ns, uint64_t *remaining,
                                  uint64_t *reset_at_ns)
{
    const struct world_case *c = w->c;
    uint64_t began_ns = now_ns;
    if (c->kind == FIXED_ALIGNED) began_ns = now_ns - (now_ns + c->phase_ns) % c->window_ns;
    if (!w->window_open ||
        (c->kind == FIXED_ALIGNED ? began_ns != w->window_began_ns
                                  : now_ns >= w->window_began_ns + c->window_ns)) {
        if (!w->window_open) w->first_end_ns = began_ns + c->window_ns;
        w->window_open = true;
        w->window_began_ns = began_ns;
        w->count = 0;
    }
    bool taken = w->count < c->limit;
    if (taken) w->count++;
    *remaining = c->limit - w->count;
    *reset_at_ns = w->window_began_ns + c->window_ns;
    return taken;
}

static inline bool receiver_sliding(struct world *w, uint64_t now_ns, uint64_t *remaining,
                                    uint64_t *reset_at_ns, uint64_t *next_at_ns)
{
    const struct world_case *c = w->c;
    while (w->log_tail < w->log_at && w->log[w->log_tail % c->limit] + c->window_ns <= now_ns)
        w->log_tail++;
    bool taken = w->log_at - w->log_tail < c->limit;
    if (taken) w->log[w->log_at++ % c->limit] = now_ns;
    uint64_t in_window = w->log_at - w->log_tail;
    *remaining = c->limit - in_window;
    uint64_t of = c->kind == SLIDING ? w->log_at - 1 : w->log_at - in_window;
    *reset_at_ns = w->log[of % c->limit] + c->window_ns;
    *next_at_ns = w->log[(w->log_at - in_window) % c->limit] + c->window_ns;
    return taken;
}

static inline bool receiver_bucket(struct world *w, uint64_t now_ns, uint64_t *remaining,
                                   uint64_t *reset_at_ns, uint64_t *next_at_ns)
{
    const struct world_case *c = w->c;
    uint64_t each_ns = c->window_ns / c->limit, full_ns = each_ns * c->burst;
    w->tokens_ns += now_ns - w->tokens_at_ns;
    w->tokens_at_ns = now_ns;
    if (w->tokens_ns > full_ns) w->tokens_ns = full_ns;
    bool taken = w->tokens_ns >= each_ns;
    if (taken) w->tokens_ns -= each_ns;
    *remaining = w->tokens_ns / each_ns;
    *reset_at_ns = now_ns + full_ns - w->tokens_ns;
    *next_at_ns = w->tokens_ns < each_ns ? now_ns + each_ns - w->tokens_ns : now_ns;
    return taken;
}

static inline uint64_t rounded(uint64_t ns, uint64_t unit_ns, int way)
{
    uint64_t plus = way > 0 ? unit_ns - 1 : way == 0 ? unit_ns / 2 : 0;
    return (ns + plus) / unit_ns * unit_ns;
}

/* What the sender makes of the reset field that the receiver writes at now_ns (core/http/hints.c),
 * in times from now on; the receiver's clock runs skew_ns ahead of ours. */
static inline uint64_t receiver_reset(const struct world *w, uint64_t now_ns, uint64_t at_ns)
{
    uint64_t clock = receiver_clock(w, now_ns), at_clock = receiver_clock(w, at_ns), read_ns = 0;
    uint64_t unit_ns = w->c->unit_ns, date_ns = rounded(clock, SECOND_NS, -1);
    switch (w->c->reset) {
    case RESET_UP: return rounded(at_ns - now_ns, unit_ns, 1);
    case RESET_DOWN: return rounded(at_ns - now_ns, unit_ns, -1);
    case RESET_NEAREST: return rounded(at_ns - now_ns, unit_ns, 0);
    case RESET_EPOCH_UP: read_ns = rounded(at_clock, unit_ns, 1) - date_ns; break;
    case RESET_EPOCH_DOWN: read_ns = rounded(at_clock, unit_ns, -1) - date_ns; break;
    case RESET_EPOCH_UP_NO_DATE: read_ns = rounded(at_clock, unit_ns, 1) - clock; break;
    case RESET_EPOCH_DOWN_NO_DATE: read_ns = rounded(at_clock, unit_ns, -1) - clock; break;
    case RESET_NONE: return 0;
    }
    return read_ns > INT64_MAX ? 0 : read_ns; /* past is 0 */
}

static inline void receiver_stale(struct world *w, uint64_t now_ns, uint64_t *remaining)
{
    const uint32_t ring = sizeof w->stale / sizeof w->stale[0];
    w->stale[w->stale_at++ % ring] = (struct stale){now_ns, *remaining};
    uint64_t best = w->c->limit - 1;
    for (uint32_t i = 0; i < ring && i < w->stale_at; i++) {
        const struct stale *s = &w->stale[(w->stale_at - 1 - i) % ring];
        if (s->at_ns < w->window_began_ns) break;
        best = s->remaining;
        if (s->at_ns + w->c->rtt_ns <= now_ns) break;
        best = w->c->limit - 1;
    }
    *remaining = best;
}

static inline void receiver_arrival(struct world *w, struct event *e)
{
    const struct world_case *c = w->c;
    uint64_t now_ns = e->at_ns, reset_at_ns = now_ns, next_at_ns = now_ns;
    bool taken = false;
    if (c->kind == SLIDING || c->kind == SLIDING_NEXT)
        taken = receiver_sliding(w, now_ns, &e->remaining, &reset_at_ns, &next_at_ns);
    else if (c->kind == BUCKET)
        taken = receiver_bucket(w, now_ns, &e->remaining, &reset_at_ns, &next_at_ns);
    else {
        taken = receiver_fixed(w, now_ns, &e->remaining, &reset_at_ns);
        next_at_ns = reset_at_ns;
    }
    if (c->stale) receiver_stale(w, now_ns, &e->remaining);
    e->refused = !taken;
    e->hinted = c->reset != RESET_NONE && (!c->only_on_429 || e->refused);
    e->reset_ns = receiver_reset(w, now_ns, reset_at_ns);
    e->retry_after_ns =
        c->retry_after && e->refused ? rounded(next_at_ns - now_ns, SECOND_NS, 1) : 0;
    uint64_t gap_ns = now_ns - w->last_arrival_ns;
    if (w->last_arrival_ns > 0 && gap_ns > w->result.longest_gap_ns)
        w->result.longest_gap_ns = gap_ns;
    w->last_arrival_ns = now_ns;
    if (w->first_end_ns == UINT64_MAX) w->first_end_ns = now_ns + c->window_ns;
    bool later = now_ns >= w->first_end_ns;
    *(taken ? &w->result.accepted : &w->result.refused) += 1;
    *(taken ? &w->result.accepted_later : &w->result.refused_later) += later;
    if (w->watch != NULL) w->watch(w, e);
}

/* ---- the sender --------------------------------------------------------------------------- */

static inline uint64_t world_random(struct world *w, uint64_t below)
{
    return below == 0 ? 0 : prng_u64(&w->prng) % below;
}

static inline void shard_wake_at(struct world *w, uint32_t shard, uint64_t at_ns)
{
    struct world_shard *s = &w->shard[shard];
    if (at_ns < s->busy_until_ns) at_ns = s->busy_until_ns;
    if (at_ns >= s->wake_ns) return;
    s->wake_ns = at_ns;
    event_put(w, (struct event){.at_ns = at_ns, .kind = EVENT_WAKE, .shard = shard});
}

static inline void shard_answer(struct world *w, struct world_shard *s, uint64_t now_ns,
                                const struct event *e)
{
    const struct world_case *c = w->c;
    w->in_flight--;
    s->in_flight--;
    bool usable = e->hinted || e->retry_after_ns > 0;
    if (!e->refused && w->permits < c->concurrency) w->permits++;
    if (!w->paced && !e->refused && !e->hinted) {
        if (s->taken++ == 0) s->since_ns = e->began_ns;
        return;
    }
    w->paced = true;
    if (!s->knows) {
        s->knows = true;
        if (!c->ignorant && s->taken > 0) pace_before(&w->pace, s->since_ns, now_ns, s->taken);
    }
    if (e->retry_after_ns > 0)
        pace_retry_after(&w->pace, e->began_ns, now_ns, e->retry_after_ns, e->hinted);
    if (e->hinted) { /* a Date of whole seconds makes the answer coarser */
        bool dated = c->reset == RESET_EPOCH_UP || c->reset == RESET_EPOCH_DOWN;
        struct pace_hint h = {.has_limit = !c->no_limit,
                              .has_remaining = true,
                              .has_reset = true,
                              .limit = c->kind == BUCKET ? c->burst : c->limit,
                              .remaining = e->remaining,
                              .reset_ns = e->reset_ns,
                              .reset_step_ns = dated ? SECOND_NS : c->unit_ns,
                              .refused = e->refused,
                              .began_ns = e->began_ns,
                              .window_ns = c->tells_window ? c->window_ns : 0};
        pace_hinted(&w->pace, now_ns, &h, c->own_flight ? s->in_flight : w->in_flight, UINT64_MAX);
    }
    if (e->refused && !usable) pace_refused(&w->pace, e->began_ns, now_ns);
    if (!e->refused && !e->hinted) pace_taken(&w->pace, e->began_ns, now_ns, 1);
}

static inline void shard_send(struct world *w, uint32_t shard, uint64_t now_ns)
{
    struct world_shard *s = &w->shard[shard];
    uint64_t send_ns = now_ns + world_random(w, w->c->jitter_ns + 1) + w->c->rtt_ns / 2;
    s->in_flight++;
    w->in_flight++;
    w->sent++;
    event_put(w, (struct event){
                     .at_ns = send_ns, .kind = EVENT_ARRIVAL, .shard = shard, .began_ns = now_ns});
}

static inline void shard_turn(struct world *w, uint32_t shard, uint64_t now_ns)
{
    struct world_shard *s = &w->shard[shard];
    s->wake_ns = UINT64_MAX;
    for (uint32_t i = 0; i < s->answers_count; i++) shard_answer(w, s, now_ns, &s->answers[i]);
    s->answers_count = 0;
    if (w->paced && !s->knows) {
        s->knows = true;
        if (!w->c->ignorant && s->taken > 0) pace_before(&w->pace, s->since_ns, now_ns, s->taken);
    }
    uint64_t again_ns = 0, spent_ns = 0;
    /* One turn sends a few; each costs 20 us. */
    for (uint32_t i = 0; i < 32 && w->in_flight < w->permits; i++) {
        if (w->c->demand_ns > 0 && now_ns < w->c->demand_ns * w->sent) {
            again_ns = w->c->demand_ns * w->sent;
            break;
        }
        if (w->paced && (!pace_look(&w->pace, now_ns, &again_ns) ||
                         pace_take(&w->pace, now_ns, 1, &again_ns) == 0))
            break;
        again_ns = 0;
        spent_ns += 20000;
        shard_send(w, shard, now_ns + spent_ns);
    }
    s->busy_until_ns = now_ns + spent_ns;
    if (again_ns >
        0) { /* the timer wheel's ticks, and the kernel's and the other lanes' lateness */
        uint64_t tick_ns = UINT64_C(1) << 20;
        again_ns = (again_ns / tick_ns + 1) * tick_ns;
        shard_wake_at(w, shard, again_ns + world_random(w, MS_NS));
    } else if (w->in_flight < w->permits) shard_wake_at(w, shard, s->busy_until_ns);
}

static inline void world_step(struct world *w)
{
    struct event e = event_take(w);
    if (e.kind == EVENT_ARRIVAL) {
        receiver_arrival(w, &e);
        e.kind = EVENT_ANSWER;
        e.at_ns += w->c->rtt_ns / 2 + world_random(w, w->c->jitter_ns + 1);
        event_put(w, e);
    } else if (e.kind == EVENT_ANSWER) {
        struct world_shard *s = &w->shard[e.shard];
        s->answers[s->answers_count++] = e;
        shard_wake_at(w, e.shard, e.at_ns + world_random(w, 100000));
        /* A free permit may be used by the other shard too. */
        for (uint32_t i = 0; i < w->c->shards; i++)
            if (i != e.shard && w->shard[i].wake_ns == UINT64_MAX)
                shard_wake_at(w, i, e.at_ns + world_random(w, MS_NS));
    } else if (e.at_ns == w->shard[e.shard].wake_ns) {
        shard_turn(w, e.shard, e.at_ns);
    }
}

static inline struct world *world_new(const struct world_case *c)
{
    struct world *w = calloc(1, sizeof *w);
    cr_assert_not_null(w);
    w->c = c;
    prng_seed(&w->prng, c->seed);
    w->heap = calloc(WORLD_EVENTS, sizeof *w->heap);
    w->log = calloc(c->limit, sizeof *w->log);
    for (uint32_t i = 0; i < WORLD_SHARDS; i++) {
        w->shard[i].answers = calloc(WORLD_CONCURRENCY_MAX, sizeof(struct event));
        w->shard[i].wake_ns = UINT64_MAX;
    }
    w->skew_ns = UINT64_C(1700000000) * SECOND_NS + world_random(w, SECOND_NS);
    if (c->kind == FIXED_ALIGNED) /* windows begin at whole seconds of the receiver's clock */
        w->skew_ns = w->skew_ns / SECOND_NS * SECOND_NS + c->phase_ns % SECOND_NS;
    w->permits = c->concurrency < 4 ? c->concurrency : 4;
    w->tokens_ns = UINT64_MAX / 2;
    w->first_end_ns = UINT64_MAX;
    pace_init(NULL, &w->pace);
    return w;
}

static inline void world_free(struct world *w)
{
    for (uint32_t i = 0; i < WORLD_SHARDS; i++) free(w->shard[i].answers);
    free(w->heap);
    free(w->log);
    free(w);
}

static inline struct world_result world_run(const struct world_case *c,
                                            void (*watch)(struct world *, const struct event *))
{
    struct world *w = world_new(c);
    w->watch = watch;
    uint64_t start_ns = SECOND_NS * 1000;
    uint64_t into_ns = c->kind == FIXED_ALIGNED ? (start_ns + c->phase_ns) % c->window_ns : 0;
    uint64_t windows = c->windows + (into_ns > 0);
    w->end_ns = start_ns - into_ns + windows * c->window_ns;
    w->tokens_at_ns = start_ns;
    for (uint32_t i = 0; i < c->shards; i++) shard_wake_at(w, i, start_ns + i);
    while (w->heap_count > 0 && w->heap[0].at_ns < w->end_ns) world_step(w);
    struct world_result r = w->result;
    r.allowed = windows * c->limit;
    if (w->end_ns - w->last_arrival_ns > r.longest_gap_ns)
        r.longest_gap_ns = w->end_ns - w->last_arrival_ns;
    world_free(w);
    return r;
}

#endif
