/* tools/hookline/timeline.h - how many records ended when, in memory that is the same for any run.
 *
 * Time is cut into steps of one length. Those in which something ended are kept, at most
 * TIMELINE_STEPS of them; when there would be more, all become longer, and neighbours are merged.
 * Ends come in any order. What is empty takes nothing: neither the night before a run was resumed
 * nor a clock that stood at 1970 for a while makes the steps of the rest longer.
 *
 *   timeline_init -> timeline_add ... -> timeline_close -> steps and parts can be read
 *
 * Main thread.
 */
#ifndef TOOLS_HOOKLINE_TIMELINE_H
#define TOOLS_HOOKLINE_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    TIMELINE_STEPS = 4096,
    TIMELINE_SLOTS = 2 * TIMELINE_STEPS,
    TIMELINE_PARTS = 6,
};

struct timeline_step {
    uint64_t number; /* it begins at number * timeline_step_ns() since 1970 */
    uint64_t delivered, other;
};

/* The beginning of 2400; what ended later counts as then: arithmetic with times needs room. */
#define TIMELINE_END_NS UINT64_C(13569465600000000000)

/* A stretch without a long gap in it: its first and last step by their place in step[]. */
struct timeline_part {
    uint32_t first, last;
};

struct timeline {
    uint32_t length; /* index into the lengths that a step can have */
    uint32_t count;  /* steps in use */
    bool closed;
    /* Open addressing by number; when closed, the first `count` in order of time. A step in which
     * nothing ended is free. */
    struct timeline_step step[TIMELINE_SLOTS];
    struct timeline_part part[TIMELINE_PARTS]; /* when closed; none if count is 0 */
    uint32_t parts;
};

void timeline_init(struct timeline *t);
void timeline_add(struct timeline *t, uint64_t ended_ns, bool delivered);
/* Ends the adding, and makes steps longer until all parts together have at most `columns`, with
 * the empty ones between. A gap ends a part when it is longer than a minute and than three times
 * all that is left without the longest gaps. */
void timeline_close(struct timeline *t, uint64_t columns);

uint64_t timeline_step_ns(const struct timeline *t);
/* Steps from the first to the last of a part, empty ones as well. */
uint64_t timeline_part_columns(const struct timeline *t, uint32_t part);
uint64_t timeline_columns(const struct timeline *t); /* of all parts */

#endif
