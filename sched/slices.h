/* sched/slices.h - counts of attempts and failures in slices of time, lock-free.
 *
 * Time is cut into slices, numbered from the clock's start; a ring of n words holds those of the
 * last n slices, slice i in word i % n. A word carries the tag of its slice and both counts, so it
 * needs no clearing: the first count of a newer slice replaces what is there, and a reader takes
 * only what is of the slice it looks for.
 *
 *   tag 16 | attempts 24 | failures 24      the tag is slice / n, its low 16 bits
 *
 * A tag comes again after 65,536 rounds of the ring: 45 days for 60 words of a second, 11 days for
 * 3 of 5 seconds. A host that was idle for exactly that long, to the slice, would see the counts of
 * then once more; so would one whose clock does not start at 0, from words never written: zeroes.
 * Counts that outgrow their bits are halved together: their ratio, which is what is judged, stays.
 *
 * Pure: time comes in as a slice's number. Threads: any; relaxed, a word is a whole fact.
 */
#ifndef SCHED_SLICES_H
#define SCHED_SLICES_H

#include <stdint.h>

enum { SLICES_COUNT_MAX = (1 << 24) - 1 };

struct slices {
    uint64_t attempts, failures;
};

/* failures are among the attempts. */
void slices_add(uint64_t *words, uint32_t n, uint64_t slice, uint32_t attempts, uint32_t failures);

/* Takes away counts that were read from that slice; those that came meanwhile stay. */
void slices_take(uint64_t *words, uint32_t n, uint64_t slice, struct slices counts);

/* What was counted in `slice` and in the whole - 1 slices before it. */
struct slices slices_sum(const uint64_t *words, uint32_t n, uint64_t slice, uint32_t whole);

/* What was counted in the last (n - 1) * slice_ns before now: all of the ring but its oldest slice,
 * and of that the part of its counts that is the part of its time still within. */
struct slices slices_rolling(const uint64_t *words, uint32_t n, uint64_t slice_ns, uint64_t now_ns);

#endif
