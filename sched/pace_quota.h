/* sched/pace_quota.h - a receiver's window as its hints on every answer tell it; part of pace.c.
 *
 * Each answer gives a point x = arrival + reset. Within one window all x lie within one rounding
 * step of each other, so their least and their span are kept; an x further on, or a remaining that
 * rises when the window may be over, shows a new window. The moment at which a window is seen to
 * begin, less the old window's least x, is the receiver's way of rounding (0: up, a step: down; a
 * point in time rounded up, with or without a Date rounded down: as much as a step less than 0). It
 * is remembered, and until it is known the later end is assumed.
 *
 * All times are on the sender's clock as answers arrive, so a round trip after the request that
 * they speak of was sent. Belongs to the holder of the pace's lock. Pure.
 */
#ifndef SCHED_PACE_QUOTA_H
#define SCHED_PACE_QUOTA_H

#include "sched/pace.h"

#include <stdbool.h>
#include <stdint.h>

struct pace_quota {
    uint64_t start_ns;   /* first answer of this window */
    uint64_t hinted_ns;  /* last answer with hints; 0: none yet */
    uint64_t reset_ns;   /* least x of this window */
    uint64_t average_ns; /* between requests, at an even pace through a whole window; 0: unknown */
    uint32_t span_ns;    /* greatest x less the least */
    uint32_t step_ns;    /* rounding step, the coarsest of this window */
    int32_t offset_ns;   /* true reset less reset_ns; see offset_known */
    uint32_t most;       /* remaining when the window began */
    uint32_t least;      /* least remaining in this window */
    uint32_t before;     /* least remaining of the window before */
    uint32_t answers;    /* with hints, in this window */
    uint32_t limit;      /* as told, else the most that was seen to remain */
    uint16_t slack;      /* kept unused in each window, learned from refusals */
    uint16_t flight;     /* most requests seen in flight in this window */
    uint8_t stragglers;  /* answers of the window before that may still come */
    uint8_t odd;         /* answers in a row that speak of an earlier reset */
    uint8_t short_holds; /* holds in a row after which nothing remained */
    bool offset_known : 1;
    bool paced : 1;    /* this window, from its beginning */
    bool refused : 1;  /* something, in this window */
    bool partly : 1;   /* the reset brought back less than half of the limit */
    uint8_t moves : 3; /* in a row, of a reset that was put off before it was reached */
};
_Static_assert(sizeof(struct pace_quota) <= sizeof(((struct pace *)0)->state), "fits");

/* What comes of an answer. */
struct pace_quota_verdict {
    uint64_t interval_ns; /* from now on */
    uint64_t hold_ns;     /* nothing before; 0: no hold */
};

/* An answer with remaining and reset. interval_ns: as it is now; held_ns: the last hold. */
struct pace_quota_verdict pace_quota_hinted(struct pace_quota *q, uint64_t now_ns,
                                            const struct pace_hint *h, uint64_t in_flight,
                                            uint64_t all, uint64_t interval_ns, uint64_t held_ns);
/* Hints have stopped coming: what they said is no longer true. */
bool pace_quota_stale(const struct pace_quota *q, uint64_t now_ns);

#endif
