/* core/journal/state.h - what a journal adds up to: which lines are done, what waits, who is held.
 *
 * Recovery fills one from a file. A running journal keeps one as well, up to date with what was
 * written, but for the records that wait: these the shards know, and a snapshot copies them from
 * the file that it replaces.
 *
 * Memory: one bit a line; what waitset.h says for each record that waits, during recovery only;
 * eight bytes for each block of the input. Thread: one at a time.
 */
#ifndef CORE_JOURNAL_STATE_H
#define CORE_JOURNAL_STATE_H

#include "core/journal/journal.h"
#include "core/journal/lineset.h"
#include "core/journal/waitset.h"

enum { JOURNAL_HOLDS_MAX = 4096 /* beyond: forgotten, the host is found out anew */ };

struct journal_held {
    char *name; /* owns */
    uint32_t name_len;
    uint8_t what; /* enum journal_hold */
    uint64_t key, until_us;
};

struct journal_state {
    uint64_t run_id, epoch;
    uint8_t boot_id[IO_BOOT_ID_BYTES]; /* of the machine that wrote it */
    uint8_t sync;                      /* enum journal_sync of that life */
    bool same_boot; /* it is the machine of now, not started anew: slots (inflight.h) are exact, and
                       JOURNAL_BEGUN says nothing */
    uint64_t frames, bytes;            /* that count */
    struct lineset done;
    uint64_t ended[JOURNAL_ENDING_COUNT];
    struct waitset waiting; /* closed: not kept */
    uint64_t *before; /* owns: 1 + lines before block k; 0: not known */
    uint64_t blocks, blocks_room;
    struct journal_held *held; /* owns */
    uint32_t held_count;
    struct {
        uint64_t length;
        uint64_t unsure; /* after a recovery that checks lines: from here on they may not be on the
                            disk, though they can be read */
        bool known;      /* it was told at all */
    } file[JOURNAL_FILES];
    uint64_t lease;
    uint64_t durable; /* frames that were known to be on disk */
    uint64_t wall_us; /* when it was last written to */
    char *meta;       /* owns; terminated */
    size_t meta_len;
    bool over; /* the run ended by itself, with this status: */
    uint64_t status;
};

/* Empty, for an input of so many lines at most; keep_waiting: see above. False: memory. */
bool journal_state_open(struct journal_state *s, uint64_t lines_max, bool keep_waiting) MUST_USE;
void journal_state_close(struct journal_state *s);

/* What the entry says becomes part of the state. -ENOMEM, or -EBADMSG: it cannot be true. */
int journal_state_apply(struct journal_state *s, const struct journal_entry *e) MUST_USE;

/* An attempt of that line was begun and nothing is known of its end, unless the state knows better:
 * then nothing changes. -ENOMEM. */
int journal_state_begun(struct journal_state *s, const struct journal_entry *e) MUST_USE;
/* NULL: it does not wait. */
struct journal_waiting *journal_state_find(struct journal_state *s, uint64_t line);
/* How many blocks from the first on have a known number of lines before them. */
uint64_t journal_state_blocks_known(const struct journal_state *s);

#endif
