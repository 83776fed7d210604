/* tools/sinker/seen.h - how often each id was seen, for the log's "attempt".
 *
 * Eight bytes for each id: 56 bits of its hash, which with the choice of stripe make 64, and a
 * count that stays at 255. Two ids share a count with a probability of about n^2 / 2^65: one in
 * ten thousand runs of a hundred million ids. Shared by all threads, a lock for each stripe.
 */
#ifndef TOOLS_SINKER_SEEN_H
#define TOOLS_SINKER_SEEN_H

#include <stdint.h>

struct seen;

struct seen *seen_new(void); /* NULL: no memory */
void seen_free(struct seen *s);

/* Counts one more and returns the new count; 0 when there was no memory to count it. */
uint32_t seen_count(struct seen *s, uint64_t hash);

#endif
