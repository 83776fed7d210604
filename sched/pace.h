/* sched/pace.h - how fast one (host, key) may be sent to, as its receiver's hints say
 * (delivery.md section 4). A shared_table entry: 128 bytes, shared by all shards.
 *
 * Sending looks at two atomics: held_ns, until when nothing may be sent, and the GCRA's TAT with
 * its interval. Hints are digested under a try-lock that is never waited for: whoever finds it
 * taken leaves its hint to the next answer; a hold is never lost that way.
 *
 * A quota (limit, remaining, reset) says how much may still be sent until when. What is left is
 * spread evenly over the time that is left. Receivers round the reset to their unit (a second, as
 * a rule), some up and some down: where it truly lies is narrowed down over the answers of one
 * window, and which way a receiver rounds is learned when its window is seen to begin anew.
 *
 * Without hints, a 429 halves the pace at most once each round trip; when the receiver takes
 * requests again the pace goes back quickly to just under what it was seen to take on average, and
 * then on upwards step by step.
 *
 * Pure: time comes in as an argument. Threads: any.
 */
#ifndef SCHED_PACE_H
#define SCHED_PACE_H

#include "sched/gcra.h"
#include "sched/shared_table.h"

#include <stdbool.h>
#include <stdint.h>

#define PACE_TOLERANCE_NS UINT64_C(10000000)

/* An answer's hints, as times from its arrival (core/http/hints.h makes it). */
struct pace_hint {
    bool refused; /* it was a 429 */
    bool has_limit, has_remaining, has_reset;
    uint64_t limit, remaining;
    uint64_t reset_ns;      /* until the quota is whole again */
    uint64_t reset_step_ns; /* the unit it was given in: 1 s, as a rule; 1 ms, 1 ns */
    uint64_t window_ns;     /* length of the window, if told; 0: not */
    uint64_t began_ns;      /* when the attempt that it answers began; 0: unknown */
};

struct pace {
    struct shared_entry entry;
    uint64_t held_ns; /* atomic, only raised */
    struct gcra gcra;
    uint64_t interval_ns; /* atomic; 0: as fast as it goes */
    uint32_t lock;        /* 0, 1: held by the one who digests a hint */
    uint32_t waiting;  /* atomic: records known to wait for it, all shards; for quotas that fit */
    uint32_t missed;   /* atomic: taken requests that came while the lock was held */
    uint16_t mode;     /* belongs to the lock's holder, as does: */
    uint16_t doubt;    /* in a quota, which grows with refusals that it did not foresee */
    uint64_t state[9]; /* struct pace_quota or struct pace_blind */
};
_Static_assert(sizeof(struct pace) == SHARED_ENTRY_BYTES, "128 bytes a pace");

/* For struct shared_table_ops. */
void pace_init(void *ctx, void *entry);
bool pace_evictable(const void *entry, uint64_t now_ns);

/* Takes up to `want` permits; 0: none before *again_ns. */
uint32_t pace_take(struct pace *p, uint64_t now_ns, uint32_t want, uint64_t *again_ns);
void pace_give(struct pace *p, uint32_t n);
/* Whether one could be had now; takes nothing. */
bool pace_look(const struct pace *p, uint64_t now_ns, uint64_t *again_ns);

/* Nothing before until_ns. */
void pace_hold(struct pace *p, uint64_t until_ns);
/* An answer with hints came. in_flight: requests under way to it that are not answered yet; all:
 * how many records wait for it if that is known to be all (the input is at its end), else
 * UINT64_MAX. */
void pace_hinted(struct pace *p, uint64_t now_ns, const struct pace_hint *h, uint64_t in_flight,
                 uint64_t all);
/* A 429 with a Retry-After came, to an attempt that began at began_ns: nothing before now_ns +
 * wait_ns. hinted: it told a quota too, which pace_hinted() is given. */
void pace_retry_after(struct pace *p, uint64_t began_ns, uint64_t now_ns, uint64_t wait_ns,
                      bool hinted);
/* A 429 without a usable hint came, to an attempt that began at began_ns. */
void pace_refused(struct pace *p, uint64_t began_ns, uint64_t now_ns);
/* n requests that began at began_ns or later were taken (any answer but a 429), with answers that
 * had no hints. */
void pace_taken(struct pace *p, uint64_t began_ns, uint64_t now_ns, uint32_t n);
/* n requests were taken from since_ns on, before this shard knew of the pace. Told once, when it
 * first sees it; without it a receiver that says nothing is learned one cycle later. */
void pace_before(struct pace *p, uint64_t since_ns, uint64_t now_ns, uint32_t n);
/* Requests a second that it lets through now; 0: no limit. For the summary. */
uint64_t pace_per_second(const struct pace *p);

#endif
