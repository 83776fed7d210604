/* core/journal/writer.h - the journal of a run under way: one file that all shards append to.
 *
 * A shard that has something to say takes the write token, writes its lines to the output files and
 * then its frame behind the last one, and gives the token back. Frames become durable together: a
 * shard that finds it due takes the sync token, syncs the output files and the journal through its
 * ring, and says up to which frame. The I/O itself is in core/engine/logbook.c; here are the file,
 * its numbers, and what waits for the disk: making it, compacting it, ending it.
 *
 * A failed write or sync is final. A sync is never tried again: the kernel may have thrown away
 * what it could not write, and a second one would succeed.
 *
 * Threads: see the fields. The write token orders all that its holder reads and writes.
 */
#ifndef CORE_JOURNAL_WRITER_H
#define CORE_JOURNAL_WRITER_H

#include "core/base/atomic.h"
#include "core/journal/state.h"

enum { JOURNAL_PATH_BYTES = 4096 };
#define JOURNAL_COMPACT_BYTES \
    UINT64_C(33554432) /* a journal grows by this, or its snapshot, first */
#define JOURNAL_RESERVE_BYTES UINT64_C(2097152) /* room that is taken ahead */
#define JOURNAL_RESERVE_LEAST UINT64_C(262144)  /* for the endings of what is under way */

struct journal {
    /* Immutable while shards run. */
    char folder[JOURNAL_PATH_BYTES], path[JOURNAL_PATH_BYTES], path_new[JOURNAL_PATH_BYTES];
    enum journal_sync sync;
    int32_t output_fd[JOURNAL_FILES]; /* -1: none, or it cannot be synced */
    uint64_t compact_bytes;

    /* Write token: taken by compare-exchange with acquire, given back with release. Its holder's:
     * */
    uint32_t token __attribute__((aligned(64)));
    int32_t fd;
    uint64_t epoch;
    uint64_t seq;       /* of the next frame */
    uint64_t seq_shift; /* seq - 1 - written: from counts that only grow to this file's; modulo */
    uint64_t length;    /* bytes in the file */
    uint64_t reserved;  /* bytes that have room on the disk */
    uint64_t compact_at;
    struct journal_state live; /* without records that wait */

    /* Sync token: likewise. */
    uint32_t syncing __attribute__((aligned(64)));
    /* Frames written and durable, in this life. Written by the tokens' holders with release, read
     * by all with acquire. */
    uint64_t written, durable;
    uint64_t records_written, records_durable; /* endings in them; relaxed */
    uint64_t sync_due_ns;                      /* by the sync token's holder, or, without syncs, the
                                                  write token's; relaxed */
    uint64_t lease;                            /* durable: see JOURNAL_LEASE; release, acquire */
    /* In frames up to `written`, stored after it; to be read before it. Release, acquire. */
    uint64_t lease_written;
    uint64_t lease_wish;   /* how far the input would be read; only raised, by all, relaxed */
    uint32_t lease_blocks; /* how much more the next wish asks for; relaxed */
    int32_t failed;        /* errno of the first failure, 0: none; release, acquire */
    int32_t full;          /* errno: there is no more room ahead; what goes on may end. Relaxed */
    int32_t failed_file;   /* index of the output file that failed; -1: the journal */
};

/* Makes the first file of this life in the folder, out of what is known: records that wait from the
 * state's table, which stays the caller's; all else of the state moves into j->live. The output
 * files (-1: none), cut to the lengths that the state says, are synced first. 0 or -errno with
 * nothing changed on disk that counts. */
int journal_open(struct journal *j, const char *folder, enum journal_sync sync,
                 struct journal_state *state, const uint8_t boot_id[IO_BOOT_ID_BYTES],
                 const int32_t output_fd[JOURNAL_FILES]) MUST_USE;
/* After the shards: with the run's exit status if there is nothing left to do, else without. 0 or
 * -errno; closes in any case. */
int journal_end(struct journal *j, bool over, uint64_t status) MUST_USE;
void journal_close(struct journal *j);

/* False: another shard has it. */
bool journal_token_take(struct journal *j);
void journal_token_give(struct journal *j);
bool journal_sync_take(struct journal *j);
void journal_sync_give(struct journal *j);

/* Write token. The frame of these entries was written behind the last one. */
void journal_wrote(struct journal *j, const uint8_t *entries, uint32_t len, uint64_t records);
/* Write token. Takes room ahead for n bytes and what must be kept for endings. -ENOSPC,
 * -EDQUOT, -EFBIG: there is no more. */
int journal_reserve(struct journal *j, uint64_t bytes) MUST_USE;
/* Both tokens. Writes a new file with all that still matters, if the present one is large enough.
 * 0, or -errno: the run must end. */
int journal_compact(struct journal *j) MUST_USE;
/* How far the input may be read without asking. */
static inline bool journal_leased(const struct journal *j, uint64_t offset)
{
    return offset < load_acq(&j->lease);
}
/* What is durable now: frames up to `written`, and what they say. Sync token. */
void journal_synced(struct journal *j, uint64_t written, uint64_t records, uint64_t lease);
/* First reason wins. Any thread. file: index, -1: the journal. */
void journal_fail(struct journal *j, int error, int32_t file);
int journal_failed(const struct journal *j);

#endif
