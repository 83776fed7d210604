/* sched/pace_blind.h - the pace for a receiver that says little: 429s without hints, with
 * Retry-After, or with hints on the 429s alone; part of pace.c.
 *
 * A cycle is the time from when requests are taken again after refusals to the next such moment.
 * What was taken in it, over its whole length, is what the receiver lets through on average, and
 * what the pace goes back to. Where a hold told when the cycle ends, its length is a window's, as a
 * whole number of seconds, and the average is taken nearly whole; else the pace goes to 0.95 of it
 * and feels its way up.
 *
 *            refused                       taken again
 *   FREE ------------> BLOCKED (halving) ------------> RISING (doubling) -> STEADY (climbing)
 *     ^                   ^                               |                    |    |
 *     |                   +------------- refused ---------+--------------------+    |
 *     +------------------ ten minutes without a refusal ----------------------------+
 *
 * Belongs to the holder of the pace's lock. Pure.
 */
#ifndef SCHED_PACE_BLIND_H
#define SCHED_PACE_BLIND_H

#include "sched/pace.h"

#include <stdbool.h>
#include <stdint.h>

struct pace_blind {
    uint64_t began_ns;   /* the cycle; 0: nothing was taken yet */
    uint64_t blocked_ns; /* first refusal since something was taken; 0: not blocked */
    uint64_t cut_ns;     /* when the pace was last halved */
    uint64_t target_ns;  /* interval to go back to; 0: unknown */
    uint64_t held_ns;    /* the last hold that was seen */
    union {
        uint64_t raised_ns; /* when the pace last went up; FREE: where the slice of rate_ns began */
        uint64_t refused_ns; /* BLOCKED: when the latest of those that were refused began */
    };
    uint32_t count;      /* taken in this cycle */
    uint32_t cliff;      /* taken in the cycle before, until it was refused */
    uint32_t limit;      /* as a hint told it; 0: it did not */
    uint32_t rtt_ns;     /* a round trip */
    uint32_t rate_ns;    /* FREE: between requests that were taken of late; 0: unknown */
    uint16_t slice;      /* FREE: taken in this slice, up to 65535 */
    uint8_t short_holds; /* holds in a row that ended in another refusal */
    bool burst : 1;      /* this cycle began without a limit */
    bool warned : 1;     /* refused after a few requests, once */
    bool held : 1;       /* a hold came in this cycle */
    bool windowed : 1;   /* target_ns comes from a window's length */
    bool proven : 1;     /* more than `cliff` was taken in this cycle */
};
_Static_assert(sizeof(struct pace_blind) <= sizeof(((struct pace *)0)->state), "fits");

/* They return the interval from now on. held_ns: the pace's hold, interval_ns: as it is. */
uint64_t pace_blind_refused(struct pace_blind *b, uint64_t began_ns, uint64_t now_ns,
                            uint64_t interval_ns);
uint64_t pace_blind_taken(struct pace_blind *b, uint64_t began_ns, uint64_t now_ns, uint32_t n,
                          uint64_t interval_ns);
/* A 429 with a hint: nothing remains until reset_ns, as an answer at now_ns says. */
uint64_t pace_blind_exhausted(struct pace_blind *b, uint64_t now_ns, const struct pace_hint *h,
                              uint64_t interval_ns, uint64_t held_ns, uint64_t *hold_ns);
void pace_blind_before(struct pace_blind *b, uint64_t since_ns, uint64_t now_ns, uint32_t n);

#endif
