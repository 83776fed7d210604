/* tools/sinker/timers.h - the times at which connections want to be woken: a binary heap.
 *
 * Only delayed and dripped answers use it, so logarithmic cost is no matter. A timer lives inside
 * its owner and knows its own place, so that it can be removed. One thread.
 */
#ifndef TOOLS_SINKER_TIMERS_H
#define TOOLS_SINKER_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
    uint64_t due_ns; /* monotonic */
    uint32_t place;  /* in the heap, counted from 1; 0: not armed */
};

struct timers {
    struct timer **heap; /* owns the array, not the timers; heap[0] is unused */
    uint32_t count, max;
};

bool timers_init(struct timers *t, uint32_t max); /* false: no memory */
void timers_exit(struct timers *t);
void timers_arm(struct timers *t, struct timer *timer, uint64_t due_ns); /* must not be armed */
void timers_drop(struct timers *t, struct timer *timer);                 /* may be not armed */
struct timer *timers_due(struct timers *t, uint64_t now_ns); /* removes and returns one, or NULL */
uint64_t timers_next_ns(const struct timers *t);             /* UINT64_MAX: none */

#endif
