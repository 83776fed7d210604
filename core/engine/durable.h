/* core/engine/durable.h - a run's state folder: what earlier lives of the run left in it, and what
 * this life adds.
 *
 *   lock                   held by the process that runs
 *   journal                core/journal: what is done, what waits
 *   in-flight              core/journal/inflight.h: attempts under way
 *   input                  the whole input, if it was a pipe
 *   maybe-delivered.ndjson attempts that were under way when a life ended, one on a line
 *
 * Opening it recovers what is there, refuses what does not belong to it (another input, other
 * files), lists what may have been delivered, cuts the output files to what counts, and begins a
 * new journal. Thread: the run's, before and after its shards; what shards read meanwhile does not
 * change.
 */
#ifndef CORE_ENGINE_DURABLE_H
#define CORE_ENGINE_DURABLE_H

#include "core/engine/output.h"
#include "core/engine/run.h"
#include "core/input/source.h"
#include "core/journal/inflight.h"
#include "core/journal/writer.h"

struct durable {
    bool on; /* a state is kept; otherwise nothing below means anything */
    int32_t lock_fd;
    char input_path[JOURNAL_PATH_BYTES]; /* what is read: the given file, or the one in here */
    struct journal journal;
    struct inflight inflight;
    uint32_t slots; /* of each shard */
    /* Of earlier lives. */
    bool resumed;
    struct lineset known;            /* lines that are done or wait: not to be taken in again */
    struct source_known blocks;      /* and blocks with nothing else in them */
    struct waitset waiting;          /* records that wait, sorted */
    uint64_t waiting_next; /* the first that no shard has taken; add by all, relaxed */
    uint64_t first_us;     /* of them, the first attempt of all: wall time; 0: none */
    uint64_t ended[JOURNAL_ENDING_COUNT]; /* lines */
    struct journal_held *held;            /* owns: hosts that were on hold, without their names */
    uint32_t held_count;
    uint64_t maybe;       /* of them and of `ended`, maybe delivered: see the list */
    uint64_t maybe_below; /* what is not known and begins before this offset may be, too */
    uint64_t last_us;     /* wall time when the last life last wrote; 0: unknown */
    bool exact;           /* the list holds none that was surely not under way */
};

/* Before a run, while signals still end the process: a pipe's whole input is written into the
 * folder. Nothing to do without a state, or with a file. */
int durable_spool(const struct config *c, struct run_error *why) MUST_USE;

/* Opens the source and the output files as well: files[] in the order of JOURNAL_FILES. 0, or -1
 * with *why filled. */
int durable_open(struct durable *u, const struct config *c, struct source *source,
                 struct outfile *const files[JOURNAL_FILES], struct run_error *why) MUST_USE;
/* over: all is done, with this exit status. 0 or -errno of what could not be written. */
int durable_end(struct durable *u, bool over, uint64_t status) MUST_USE;
void durable_close(struct durable *u);
/* When the first attempt began of all that waits, on a clock that is now at now_ns. */
uint64_t durable_since(const struct durable *u, uint64_t now_ns, uint64_t wall_ns);
/* Bytes that it may use, over all shards. Not those of the records that wait: as these are fed to
 * the shards their list goes, and what comes of them is larger. */
uint64_t durable_memory_bytes(const struct durable *u, const struct source *source);

/* maybe.c: appends to the list what may have been delivered; counts them. 0 or -errno. */
int maybe_list(struct durable *u, const struct config *c, const struct source *source,
               struct journal_state *s, uint64_t wall_us) MUST_USE;

#endif
