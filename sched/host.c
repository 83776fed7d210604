/* sched/host.c - rules, the table's hooks and the health of a host; see host.h.
 *
 *   health:  state 2 | round 8 | level 5 | given 6 | ok 6 | ms 37
 *
 *             failures                 cooldown over: the first who asks
 *   OPEN ───────────────────► HELD ───────────────────────────────────► PROBING
 *    ▲                         ▲                                         │   │
 *    │                         └──────────── a probe failed ─────────────┘   │
 *    └──────────────────────────────── all probes succeeded ─────────────────┘
 *
 * Each arrow is one compare-exchange, and whoever made it is told so (enum host_change). 0 is the
 * word of a fresh host: open.
 *   round  counts the times of PROBING: results of probes of an earlier one change nothing. 256 of
 *          them are at least as many cooldowns, longer than any probe takes
 *   level  holds without a window's time of quiet between them: the cooldown's growth
 *   given  probes out and probes that succeeded; ok: those that succeeded
 *   ms     HELD: when the cooldown ends, rounded up; PROBING, OPEN: since when. Its low 37 bits are
 *          compared by their difference to now: right for what is less than 2.1 years away. A host
 *          on hold that nobody has asked about for longer may wait as long again
 *
 * Failures are counted while the host is open. Who puts it on hold clears the counts, so that
 * those from before are not held against it when it opens again.
 */
#include "sched/host.h"

#include "core/base/atomic.h"
#include "core/base/check.h"
#include "sched/host_parts.h"

#define SECOND_NS       UINT64_C(1000000000)
#define COOLDOWN_NS_MAX (UINT64_C(365) * 24 * 3600 * SECOND_NS)
#define MS_BITS         37
#define MS_MASK         ((UINT64_C(1) << MS_BITS) - 1)
/* All probes are out: they end by their attempts' time limit, or soon. */
#define PROBES_OUT_NS (20 * HOST_MS_NS)
/* What is known of a hold is kept for so long after its cooldown, with no lane to refer to it. */
#define KEEP_MS (UINT64_C(600) * 1000)

enum { STATE_OPEN, STATE_HELD, STATE_PROBING };
enum { PROBES_MAX = 63, LEVEL_MAX = 31 };

union health {
    uint64_t word;
    struct {
        uint64_t state : 2;
        uint64_t round : 8;
        uint64_t level : 5;
        uint64_t given : 6;
        uint64_t ok : 6;
        uint64_t ms : MS_BITS;
    };
};

void host_rules_defaults(struct host_rules *r)
{
    *r = (struct host_rules){
        .window_ns = 60 * SECOND_NS,
        .ratio_pct = 50,
        .min_failures = 20,
        .absolute = 0,
        .cooldown_ns = 60 * SECOND_NS,
        .cooldown_max_ns = 600 * SECOND_NS,
        .cooldown_growth_milli = 1500,
        .probes = 3,
        .first_limit = 4,
        .budget_pct = 20,
        .budget_per_s = 10,
    };
}

/* then - now in ms, of a time of which the low bits are known. */
static int64_t ms_until(union health x, uint64_t now_ns)
{
    uint64_t ahead = (x.ms - now_ns / HOST_MS_NS) & MS_MASK;
    return ahead <= MS_MASK / 2 ? (int64_t)ahead : (int64_t)ahead - (int64_t)MS_MASK - 1;
}

void host_init(void *ctx, void *entry) { host_flow_begin(entry, host_windows_first_limit(ctx)); }

/* Without lanes it still means something while its rate or a hold, or the growth of the next one,
 * would be forgotten with it. */
bool host_evictable(const void *entry, uint64_t now_ns)
{
    const struct host *h = entry;
    if (load_rlx(&h->rate.tat_ns) > now_ns) return false;
    union health x = {.word = load_rlx(&h->health)};
    return x.word == 0 || ms_until(x, now_ns) <= -(int64_t)KEEP_MS;
}

void host_forget(void *ctx, void *entry) { host_window_detach(entry, ctx); }

static uint32_t probes_of(const struct host_rules *r)
{
    if (r->probes == 0) return 1;
    return r->probes < PROBES_MAX ? r->probes : PROBES_MAX;
}

static enum host_gate look(union health x, const struct host_rules *r, uint64_t now_ns,
                           uint64_t *until_ns)
{
    if (x.state == STATE_OPEN) return HOST_OPEN;
    if (x.state == STATE_HELD) {
        int64_t left_ms = ms_until(x, now_ns);
        if (left_ms <= 0) return HOST_PROBE;
        *until_ns = host_ns_of_ms(now_ns / HOST_MS_NS + (uint64_t)left_ms);
        return HOST_HELD;
    }
    if (x.given < probes_of(r)) return HOST_PROBE;
    *until_ns = host_add_ns(now_ns, PROBES_OUT_NS);
    return HOST_HELD;
}

enum host_gate host_look(const struct host *h, const struct host_rules *r, uint64_t now_ns,
                         uint64_t *until_ns)
{
    return look((union health){.word = load_rlx(&h->health)}, r, now_ns, until_ns);
}

enum host_gate host_gate(struct host *h, const struct host_rules *r, uint64_t now_ns,
                         uint64_t *until_ns, uint8_t *round)
{
    union health old = {.word = load_rlx(&h->health)}, new;
    do {
        enum host_gate gate = look(old, r, now_ns, until_ns);
        if (gate != HOST_PROBE) return gate;
        new = old;
        if (old.state == STATE_HELD) {
            new.state = STATE_PROBING;
            new.round = (old.round + 1u) & UINT8_MAX;
            new.given = new.ok = 0;
            new.ms = now_ns / HOST_MS_NS &MS_MASK;
        }
        new.given = (new.given + 1u) & PROBES_MAX;
    } while (!cas_rlx(&h->health, &old.word, new.word));
    *round = (uint8_t) new.round;
    /* The window may have shrunk to less than the probes on the way here. */
    if (old.state == STATE_HELD) host_flow_begin(h, probes_of(r));
    return HOST_PROBE;
}

/* cooldown * growth^level, at most the longest one; a growth below 1 counts as 1. */
static uint64_t cooldown_at(const struct host_rules *r, uint32_t level)
{
    uint64_t cap = r->cooldown_max_ns > r->cooldown_ns ? r->cooldown_max_ns : r->cooldown_ns;
    if (cap > COOLDOWN_NS_MAX) cap = COOLDOWN_NS_MAX;
    uint64_t cooldown = r->cooldown_ns < cap ? r->cooldown_ns : cap;
    for (uint32_t i = 0; i < level && cooldown < cap && r->cooldown_growth_milli > 1000; i++) {
        unsigned __int128 longer = (unsigned __int128)cooldown * r->cooldown_growth_milli / 1000;
        cooldown = longer < cap ? (uint64_t)longer : cap;
    }
    return cooldown;
}

static union health held(union health x, const struct host_rules *r, uint32_t level,
                         uint64_t now_ns, struct host_event *event)
{
    uint64_t until_ns = host_add_ns(now_ns, cooldown_at(r, level));
    uint64_t until_ms = until_ns / HOST_MS_NS + (until_ns % HOST_MS_NS != 0);
    *event = (struct host_event){.change = HOST_NOW_HELD, .until_ns = host_ns_of_ms(until_ms)};
    x.state = STATE_HELD;
    x.level = (level < LEVEL_MAX ? level + 1 : LEVEL_MAX) & LEVEL_MAX;
    x.given = x.ok = 0;
    x.ms = until_ms & MS_MASK;
    return x;
}

static bool unhealthy(const struct host_rules *r, struct slices sum)
{
    if (r->absolute > 0 && sum.failures >= r->absolute) return true;
    return sum.failures >= r->min_failures && sum.failures * 100 > sum.attempts * r->ratio_pct;
}

void host_report(struct host *h, struct host_windows *w, const struct host_rules *r,
                 uint64_t now_ns, uint32_t attempts, uint32_t failures, uint32_t troubles,
                 struct host_event *event)
{
    CHECK(failures <= attempts);
    CHECK(troubles <= attempts);
    *event = (struct host_event){.change = HOST_SAME};
    if (attempts == 0) return;
    host_budget_report(h, r, now_ns, attempts, troubles);
    union health old = {.word = load_acq(&h->health)};
    if (old.state != STATE_OPEN) return;
    host_window_add(h, w, r, now_ns, attempts, failures);
    if (failures == 0) return;
    struct slices sum = host_window_sum(h, w, r, now_ns);
    if (!unhealthy(r, sum)) return;
    uint64_t opened_ns = load_rlx(&h->opened_ns);
    uint64_t open_ns = now_ns > opened_ns ? now_ns - opened_ns : 0;
    uint32_t level = open_ns < r->window_ns ? (uint32_t)old.level : 0;
    struct host_event hold;
    union health new = held(old, r, level, now_ns, &hold);
    /* If it fails, another has put it on hold, and what was counted here belongs to before. */
    if (!cas_rlx(&h->health, &old.word, new.word)) return;
    host_window_clear(h, w);
    *event = hold;
    event->attempts = sum.attempts;
    event->failures = sum.failures;
}

/* The probe in question is still one of the present round. */
static bool probe_counts(union health x, uint8_t round)
{
    if (x.state != STATE_PROBING || x.round != round) return false;
    CHECK(x.given > x.ok);
    return true;
}

void host_hold(struct host *h, uint64_t until_ns)
{
    uint64_t until_ms = until_ns / HOST_MS_NS + (until_ns % HOST_MS_NS != 0);
    union health fresh = {.word = 0};
    union health x = {.state = STATE_HELD, .level = 1, .ms = until_ms & MS_MASK};
    (void)cas_rlx(&h->health, &fresh.word, x.word);
}

/* The last probe has succeeded; all others are home, so that nobody else changes the host now, and
 * what is written here is in force before anyone can see it open. */
static union health opened(struct host *h, union health x, const struct host_rules *r,
                           uint64_t now_ns)
{
    host_flow_begin(h, probes_of(r));
    store_rlx(&h->opened_ns, now_ns > 0 ? now_ns : 1);
    x.state = STATE_OPEN;
    x.given = x.ok = 0;
    x.ms = now_ns / HOST_MS_NS & MS_MASK;
    return x;
}

void host_probe_ended(struct host *h, const struct host_rules *r, uint8_t round, uint64_t now_ns,
                      bool ok, struct host_event *event)
{
    *event = (struct host_event){.change = HOST_SAME};
    union health old = {.word = load_rlx(&h->health)}, new;
    struct host_event change;
    do {
        if (!probe_counts(old, round)) return;
        change = (struct host_event){.change = HOST_SAME};
        new = old;
        if (!ok) {
            new = held(old, r, (uint32_t)old.level, now_ns, &change);
        } else if (old.ok + 1u < probes_of(r)) {
            new.ok = (old.ok + 1u) & PROBES_MAX;
        } else {
            new = opened(h, old, r, now_ns);
            change.change = HOST_NOW_OPEN;
        }
    } while (!cas_acq_rel(&h->health, &old.word, new.word));
    *event = change;
}

void host_probe_unused(struct host *h, uint8_t round)
{
    union health old = {.word = load_rlx(&h->health)}, new;
    do {
        if (!probe_counts(old, round)) return;
        new = old;
        new.given = (old.given - 1u) & PROBES_MAX;
    } while (!cas_rlx(&h->health, &old.word, new.word));
}

uint64_t host_opened_ns(const struct host *h)
{
    union health x = {.word = load_acq(&h->health)};
    return x.state == STATE_OPEN ? load_rlx(&h->opened_ns) : UINT64_MAX;
}
