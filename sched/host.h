/* sched/host.h - what all shards know together of one host: its health, how many requests it may
 * have at once, its retry budget, its own rate (delivery.md sections 3, 5, 6).
 *
 * One struct host is a shared_table entry: 128 bytes, atomics only, never locked. Each fact is one
 * 64-bit word that changes by compare-exchange; the words are independent, so a reader may see one
 * new and another old, and every function is right for that. Pure: time comes in as an argument.
 *
 * Health. Attempts and failures are counted in slices of time: coarse ones in the entry itself, and
 * from the first failure on in one-second slices (host_windows, a pool beside the table). OPEN
 * becomes HELD when, in the window and since it last opened, failures are at least `min_failures`
 * and more than `ratio_pct` % of attempts, or reach `absolute`. When the cooldown is over, PROBING
 * gives out `probes` permits in the whole process. All succeed: OPEN, with the concurrency window
 * at the probes' number and slow start from there. One fails: HELD again, `cooldown_growth_milli`
 * longer each time, up to cooldown_max_ns; a window's time without a hold forgets the growth.
 *
 * Concurrency. `limit` requests may be in flight in the whole process; shards hold permits of it.
 * Slow start (one more for each success, so twice as many each round trip) until the first trouble;
 * then one more each round trip, and x0.9 at most once each round trip. The limit grows only while
 * it is reached.
 *
 * Threads: any.
 */
#ifndef SCHED_HOST_H
#define SCHED_HOST_H

#include "sched/gcra.h"
#include "sched/shared_table.h"

#include <stdbool.h>
#include <stdint.h>

enum { HOST_COARSE = 4, HOST_RECENT = 3, HOST_SLICES = 64 };

struct host_rules {
    uint64_t window_ns;    /* 60 s; a one-second slice is a 60th of it */
    uint32_t ratio_pct;    /* 50: the host is held when more than this share failed */
    uint32_t min_failures; /* 20 */
    uint32_t absolute;     /* failures in the window, whatever the share; 0: off */
    uint64_t cooldown_ns, cooldown_max_ns; /* 60 s, 600 s */
    uint32_t cooldown_growth_milli;        /* 1500 */
    uint32_t probes;                       /* 3 */
    uint32_t first_limit;                  /* 4: where slow start begins */
    uint32_t budget_pct, budget_per_s;     /* 20, 10: retries of attempts, and beyond them */
};

/* delivery.md sections 3, 5, 6. */
void host_rules_defaults(struct host_rules *r);

struct host {
    struct shared_entry entry;
    uint64_t health;    /* state, round, growth, probes given and succeeded, a time; see host.c */
    uint64_t opened_ns; /* since when it is open; 0: always */
    uint64_t flow;      /* permits out, limit, slow start, who lacks one; see host_flow.c */
    uint64_t budget;    /* retry tokens and when they were counted; see host_budget.c */
    struct gcra rate;   /* --host-rate */
    uint32_t window;    /* 1 + index of its one-second slices; 0: none yet */
    uint32_t paces;     /* how often a pace was made for one of its keys: look again if changed */
    uint32_t conns;     /* open in the whole process; bit 31: a shard lacks one */
    uint32_t decreased; /* when the limit last shrank, in ms; 0: never */
    uint64_t recent[HOST_RECENT]; /* all failures, for the budget; slices of 5 s */
    uint64_t coarse[HOST_COARSE]; /* for health, while there are no one-second slices */
};
_Static_assert(sizeof(struct host) == SHARED_ENTRY_BYTES, "128 bytes a host");

/* The pool of one-second slices, and what a fresh host needs to know of the rules. A host whose
 * first failure finds the pool empty is judged by coarse slices. */
struct host_windows;
/* Slices for `count` hosts, 512 bytes each, touched where used. NULL: no address space. */
struct host_windows *host_windows_new(uint32_t count, const struct host_rules *r);
void host_windows_free(struct host_windows *w);

/* For struct shared_table_ops; ctx is the struct host_windows. */
void host_init(void *ctx, void *entry);
bool host_evictable(const void *entry, uint64_t now_ns);
void host_forget(void *ctx, void *entry);

enum host_gate {
    HOST_OPEN,
    HOST_PROBE, /* this once: one probe is the caller's, who must report its end */
    HOST_HELD,  /* nothing may be sent; look again at *until_ns */
};
/* May an attempt begin? HOST_PROBE: *round is to be told to host_probe_ended(). */
enum host_gate host_gate(struct host *h, const struct host_rules *r, uint64_t now_ns,
                         uint64_t *until_ns, uint8_t *round);
/* As host_gate(), without taking a probe: HOST_PROBE means that one could be had. */
enum host_gate host_look(const struct host *h, const struct host_rules *r, uint64_t now_ns,
                         uint64_t *until_ns);

enum host_change {
    HOST_SAME,
    HOST_NOW_HELD, /* this call did it: log it once */
    HOST_NOW_OPEN,
};
struct host_event {
    enum host_change change;
    uint64_t until_ns;           /* HOST_NOW_HELD: end of the cooldown */
    uint64_t attempts, failures; /* HOST_NOW_HELD by the window: what it saw */
};

/* Counts ended attempts that are no probes. failures: those that count for health; troubles: all
 * that may be retried, for the budget; both are among the attempts. Attempts that began before
 * the host was last opened are not to be reported (host_opened_ns()). */
void host_report(struct host *h, struct host_windows *w, const struct host_rules *r,
                 uint64_t now_ns, uint32_t attempts, uint32_t failures, uint32_t troubles,
                 struct host_event *event);
/* A probe of that round has ended. One that came to nothing (never sent) is given back instead.
 * What remains of earlier rounds changes nothing. */
void host_probe_ended(struct host *h, const struct host_rules *r, uint8_t round, uint64_t now_ns,
                      bool ok, struct host_event *event);
void host_probe_unused(struct host *h, uint8_t round);
/* It was on hold before this process began, until then; one that is not fresh stays as it is. */
void host_hold(struct host *h, uint64_t until_ns);
/* Since when the host is open; 0: always. UINT64_MAX while it is not open. */
uint64_t host_opened_ns(const struct host *h);

/* Who takes permits to have requests in flight. */
struct host_holder {
    uint32_t shard; /* below 255; above, some shards pass for one another */
    uint32_t held;  /* permits that the shard has, used or not */
    uint32_t max;   /* --host-connections or the limits file's; the same for all shards */
};
/* Gives 0 to `want`. When it gives 0 while others have some, the wish is remembered for as long as
 * the caller asks again at least every 50 ms: others then let go, and keep off what was let go
 * (what they may take meanwhile is 0 as well). */
uint32_t host_permits_take(struct host *h, const struct host_holder *who, uint32_t want,
                           uint64_t now_ns);
void host_permits_give(struct host *h, uint32_t n);
/* How many of who->held the caller should give back as soon as it can: the limit has shrunk, or
 * another shard lacks some while the caller has more than its part (the limit divided by the
 * entry's references). With fewer permits than shards they go round, 20 ms for each at least. To be
 * asked whenever a request ends. */
uint32_t host_permits_excess(const struct host *h, const struct host_holder *who, uint64_t now_ns);
/* n exchanges ended well while the caller was using all the permits it could get (full). */
void host_succeeded(struct host *h, uint32_t max, uint32_t n, bool full);
/* One ended badly: decreases, unless the attempt began before the last decrease (to the
 * millisecond). */
void host_troubled(struct host *h, uint64_t began_ns, uint64_t now_ns);
uint32_t host_limit(const struct host *h);

/* A connection may be opened: true, and it is counted. */
bool host_conn_take(struct host *h, uint32_t max);
void host_conn_give(struct host *h);
/* Another shard has no connection and needs one: a caller with an idle one should close it. */
bool host_conn_wanted(const struct host *h);

/* May a retry begin? Free while at most a tenth of the recent attempts had trouble; else it costs a
 * token, which attempts and time earn. False: not before *again_ns. */
bool host_retry_take(struct host *h, const struct host_rules *r, uint64_t now_ns,
                     uint64_t *again_ns);

#endif
