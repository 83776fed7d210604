/* sched/gcra.h - the generic cell rate algorithm in one 64-bit word (ITU-T I.371, virtual
 * scheduling): a rate, evenly spaced, with a small tolerance for lateness.
 *
 * The word is the theoretical arrival time (TAT) of the next request, on the caller's monotonic
 * clock. A request conforms at `now` when TAT <= now, and moves the TAT to
 * max(TAT, now - tolerance) + interval: the tolerance is what a sender that woke up late may catch
 * up on, and so bounds a burst to tolerance / interval + 1.
 * Lock-free; any thread. Pure: time comes in as an argument.
 */
#ifndef SCHED_GCRA_H
#define SCHED_GCRA_H

#include <stdint.h>

struct gcra {
    uint64_t tat_ns; /* atomic: compare-exchange by all, relaxed: it orders nothing else */
};

/* Takes up to `want` permits; returns how many (0: none before *again_ns). An interval of 0 has no
 * limit: gives `want`. */
uint32_t gcra_take(struct gcra *g, uint64_t interval_ns, uint64_t tolerance_ns, uint64_t now_ns,
                   uint32_t want, uint64_t *again_ns);
/* Gives back n permits that were taken and not used. */
void gcra_give(struct gcra *g, uint64_t interval_ns, uint32_t n);

#endif
