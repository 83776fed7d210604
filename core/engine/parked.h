/* core/engine/parked.h - a record that waits with nothing in memory but where it stands.
 *
 * 56 bytes: a timer node and four words. Its line is read again when it may go. It is in one of
 * these states:
 *
 *   DELAYED    in the wheel until its own time: a retry's, or its not_before
 *   BACKLOG    due, in its flow's backlog; in the wheel until its time is over
 *   OVER       its time was over while it lay in the backlog; to be read and told (expired)
 *   LOOSE      the same, and its backlog has let go of it
 *   GONE       told; the memory goes when its backlog comes to it
 *
 * Times are kept as what fits: the first attempt in units of 10 us and the deadline in seconds
 * (rounded up), both since the run's start. The line itself has the exact deadline.
 * Thread: its shard's.
 */
#ifndef CORE_ENGINE_PARKED_H
#define CORE_ENGINE_PARKED_H

#include "core/base/slab.h"
#include "core/base/span.h"
#include "core/engine/lane.h"
#include "sched/wheel.h"

#include <stdbool.h>
#include <stdint.h>

enum parked_state {
    PARKED_DELAYED,
    PARKED_BACKLOG,
    PARKED_OVER,
    PARKED_LOOSE,
    PARKED_GONE,
};

enum {
    PARKED_OFFSET_BITS = 46,
    PARKED_LINE_BITS = 40,
    PARKED_FIRST_BITS = 40,
    PARKED_DEADLINE_BITS = 24,
    PARKED_CHECK_BITS = 13,
    PARKED_ATTEMPTS_MAX = 255,
};
#define PARKED_FIRST_UNIT_NS UINT64_C(10000)

struct parked {
    struct wheel_node timer;
    uint32_t next;                        /* in its flow's backlog: a handle, 0: the last */
    uint32_t flow;                        /* a handle */
    uint64_t offset : PARKED_OFFSET_BITS; /* of its line in the input, or in the spool */
    uint64_t check : PARKED_CHECK_BITS;   /* of the line's hash: has the input changed? */
    uint64_t state : 3;                   /* enum parked_state */
    uint64_t sent : 2;                    /* enum sent, of all attempts the most */
    uint64_t line : PARKED_LINE_BITS;     /* its number */
    uint64_t attempts : 8;
    uint64_t why : 6;                         /* enum err of the last attempt */
    uint64_t told : 1;                        /* that a host on hold deferred it */
    uint64_t retry : 1;                       /* which of its flow's backlogs */
    uint64_t first : PARKED_FIRST_BITS;       /* 0: no attempt yet */
    uint64_t deadline : PARKED_DEADLINE_BITS; /* 0: none, or too far away to say */
};
_Static_assert(sizeof(struct parked) - sizeof(struct wheel_node) <= 32,
               "there may be 10,000,000 of them");

/* A line's place and what became of it so far. */
struct parking {
    uint64_t offset, line;
    uint32_t check; /* parked_check() of the line */
    uint32_t attempts;
    uint8_t why, sent; /* of the last attempt; of all */
    bool retry, told;
    uint64_t first_attempt_ns; /* 0: none */
    uint64_t deadline_ns;      /* monotonic; UINT64_MAX: none */
};

uint32_t parked_check(struct span line);
/* Whether the place can be written down. Beyond: the record waits in memory. */
bool parked_fits(const struct parking *p);
/* NULL: no memory. start_ns: of the run. The flow's counts are the caller's. */
struct parked *parked_make(struct slab *slab, const struct flow *flow, const struct parking *p,
                           uint64_t start_ns);
void parked_read(const struct parked *k, uint64_t start_ns, struct parking *out);
void parked_free(struct slab *slab, struct parked *k);
static inline struct flow *parked_flow(const struct slab *slab, const struct parked *k)
{
    return slab_at(slab, k->flow);
}

/* Its flow's backlog: to the end; the first, which stays there, or NULL; the first is taken out.
 * Those that are GONE are freed on the way. The flow's counts are the caller's. */
void backlog_add(struct slab *slab, struct parked *k);
struct parked *backlog_first(struct slab *slab, struct flow *f, enum flow_kind kind);
void backlog_take(struct slab *slab, struct flow *f, enum flow_kind kind);

#endif
