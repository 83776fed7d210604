/* core/engine/recall.h - lines of parked records are read again.
 *
 * A flow that can use more deliveries than it has in memory asks; its backlog's first line is read,
 * with whatever stands behind it, which as a rule holds the next ones too. Also read are records
 * whose time was over while they were parked, to be told as expired, and, when the operator stops
 * the run, those that are to be kept as dead letters.
 *
 * The lines of a file are read from the input itself; those of a pipe from the shard's spool.
 * Thread: its shard's.
 */
#ifndef CORE_ENGINE_RECALL_H
#define CORE_ENGINE_RECALL_H

#include "core/base/span.h"
#include "core/io/io.h"

#include <stdbool.h>
#include <stdint.h>

struct flow;
struct parked;
struct shard;

enum {
    RECALL_LONG = 2,   /* slots that are as long as a record may be, */
    RECALL_SHORT = 16, /* and of RECALL_BYTES: flows whose lines lie far apart need one each */
    RECALL_SLOTS = RECALL_LONG + RECALL_SHORT,
    RECALL_BYTES = 32 * 1024, /* read at once */
};

enum recall_state { RECALL_EMPTY, RECALL_READING, RECALL_READ, RECALL_LOADED, RECALL_FAILED };

struct recall_slot {
    struct io_op op;
    struct shard *shard;
    char *mem;           /* owns: cap bytes and some more */
    uint64_t offset;     /* of mem[0] in the file */
    uint64_t life;       /* of the spool that it was read from */
    uint64_t used;       /* when something was last found in it, in looks */
    struct flow *target; /* for whom it was read: served first; NULL: for those that are over */
    uint32_t len, cap;
    int32_t error; /* RECALL_FAILED */
    uint8_t state; /* enum recall_state */
};

struct recall {
    struct recall_slot slot[RECALL_SLOTS];
    uint64_t looks;
    struct flow *head, *tail;   /* flows that want some of their backlog */
    uint32_t over, over_last;   /* parked records to be told or kept: handles, by timer.due_ns */
    struct delivery *over_made; /* of the first of them, told as soon as there is room */
    uint32_t reading;           /* slots under way */
    bool more;                  /* the turn's share was done; what is left waits for nothing else */
};

bool recall_open(struct shard *s) MUST_USE; /* memory */
void recall_close(struct shard *s);
uint64_t recall_memory_bytes(uint32_t record_bytes_max);

/* The flow can use more of its backlog. */
void recall_want(struct shard *s, struct flow *f);
/* The time of a parked record is over, or the run stops: its line is wanted once more. */
void recall_over(struct shard *s, struct parked *k);
/* Once a turn. */
void recall_tend(struct shard *s);
/* The run stops: flows want nothing any more. */
void recall_stop(struct shard *s);
bool recall_idle(const struct shard *s);

#endif
