/* core/engine/logbook.h - what a shard tells the run's journal, and when that is on disk.
 *
 * An outcome's lines go into the shard's output buffers, and an entry that says so into its
 * logbook, both in one step. A commit takes all that is there, in this order: the lines into their
 * files, then one frame with the entries and the files' new lengths into the journal. So the files
 * and the journal never disagree by more than a tail that recovery cuts off. Commits of all shards
 * are in one order, by the journal's write token; syncs are made for all shards together.
 *
 * A commit is written when there is enough for one: 5 ms after its first entry, or 50 ms if there
 * are but a few, or at once with --sync always. Written, it outlives the process; once synced,
 * every 50 ms or 4,096 records, the machine. Without a journal (journal NULL) nothing here does
 * anything.
 *
 * Thread: its shard's.
 */
#ifndef CORE_ENGINE_LOGBOOK_H
#define CORE_ENGINE_LOGBOOK_H

#include "core/engine/output.h"
#include "core/journal/inflight.h"
#include "core/journal/writer.h"

enum {
    LOGBOOK_BYTES = 128 * 1024, /* of entries in one frame, at most */
    LOGBOOK_RECORDS = 4096,     /* worth a sync */
    LOGBOOK_FEW = 8,            /* worth a commit 5 ms after the first */
    LOGBOOK_UNDER_WAY = 256,    /* commits that are written and not durable */
};
#define LOGBOOK_GROUP_NS UINT64_C(50000000)
#define LOGBOOK_SOON_NS  UINT64_C(5000000)

enum logbook_step {
    LOGBOOK_IDLE,
    LOGBOOK_LINES,  /* output files are being written */
    LOGBOOK_FRAME,  /* the journal is */
    LOGBOOK_BROKEN, /* it failed: nothing is written any more */
};

struct logbook_sync {
    struct io_op op;
    struct logbook *owner;
    int32_t file; /* index, -1: the journal */
};

struct logbook {
    struct journal *journal; /* NULL: no state is kept */
    struct io *io;
    struct outbuf *outputs[JOURNAL_FILES];
    enum logbook_step step;
    bool token; /* the write token is ours */
    /* Entries: one frame is filled while the other is written. */
    uint8_t *mem[2]; /* own: a frame's head and entries */
    struct journal_out out;
    uint32_t filling;           /* index */
    uint32_t records[2];        /* endings in each */
    uint32_t slots[2];          /* lists of slots, by next: of attempts that ended in them */
    uint64_t oldest_ns;         /* when the first entry of the filled one came */
    uint32_t out_len, out_done; /* of the written frame */
    struct io_op op;
    /* Slots of attempts under way. */
    struct inflight_slot *slot; /* lent by the run; [0] is never used */
    uint32_t *next;             /* owns */
    uint32_t slots_count, free_slot;
    /* Batches: the filled one's number, and how far they are durable. */
    uint64_t batch, batch_durable, batch_seen; /* seen: before this turn's attempts began */
    struct {
        uint64_t batch, written; /* durable when j->durable reaches written */
        uint32_t slots;          /* list: free then, since a failed sync may take a frame back */
    } under_way[LOGBOOK_UNDER_WAY];
    uint32_t under_way_first, under_way_count;
    /* The sync that this shard makes. */
    struct logbook_sync sync[JOURNAL_FILES + 1]; /* the last one of the journal */
    uint32_t syncs_left;
    int32_t sync_error, sync_file;
    uint64_t sync_written, sync_records, sync_lease;
    bool syncing;
};

/* slot, slots: lent, at least 2. False: memory. journal NULL: all the rest may be. */
bool logbook_open(struct logbook *b, struct journal *j, struct io *io,
                  struct outbuf *const outputs[JOURNAL_FILES], struct inflight_slot *slot,
                  uint32_t slots) MUST_USE;
void logbook_close(struct logbook *b);
uint64_t logbook_memory_bytes(uint32_t slots); /* with the slots themselves */

/* Room for one more record's entry. */
static inline bool logbook_fits(const struct logbook *b)
{
    return b->journal == NULL || journal_fits(&b->out, 5 * JOURNAL_ENTRY_BYTES_MAX);
}
/* Adds an entry without a text, or with a short one; it must fit. slot: of the attempt that ended
 * with it, free once that is durable; 0: none. */
void logbook_add(struct logbook *b, const struct journal_entry *e, uint32_t slot);
/* A slot for an attempt. 0: none now, it must wait. */
uint32_t logbook_slot_take(struct logbook *b);
/* An attempt came to nothing before it began. */
void logbook_slot_give(struct logbook *b, uint32_t slot);
/* Up to which batch all is durable: what was added while b->batch had that number. */
static inline bool logbook_durable(const struct logbook *b, uint64_t batch)
{
    return batch <= b->batch_durable;
}

/* Once a turn, before attempts begin: finds out what has become durable since the last one. */
void logbook_look(struct logbook *b);
/* Once a turn: commits and syncs what is due, or `all`. Returns when to call again at the latest.
 * */
uint64_t logbook_tend(struct logbook *b, bool all);
/* Nothing is left to write, and no operation is in flight. */
bool logbook_idle(const struct logbook *b);

#endif
