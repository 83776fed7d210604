/* core/journal/recover.h - reads a journal: which of its bytes count, and what they add up to.
 *
 * Twice, where lines are to be checked: once to find where it ends, once to apply it. Time is
 * proportional to the file and to what was not known to be on disk of the output files; a life with
 * --sync none that ended with its process is believed. Reads only;
 * any thread; may be used on a journal that another process is writing.
 */
#ifndef CORE_JOURNAL_RECOVER_H
#define CORE_JOURNAL_RECOVER_H

#include "core/journal/state.h"

struct journal_reading {
    int32_t fd;                        /* of the journal */
    bool check_lines;                  /* of frames that were not known to be on disk: in these: */
    int32_t output_fd[JOURNAL_FILES];  /* -1: cannot be read again */
    uint8_t boot_id[IO_BOOT_ID_BYTES]; /* of the machine now */
    /* Called now and then with bytes done and all. May be NULL. */
    void (*progress)(void *ctx, uint64_t done, uint64_t all);
    void *ctx;
};

/* Fills an opened state. 0; -EBADMSG: the file is no journal, or its snapshot is damaged; -ENOMEM;
 * or what reading it gave. */
int journal_recover(const struct journal_reading *r, struct journal_state *s) MUST_USE;

/* Writes again, into a file that is open for both, what can be read and may not be on the disk:
 * pages that a failed sync left clean are dirty again, and the next sync means what it says. 0 or
 * -errno. */
int journal_renew(int32_t fd, uint64_t from, uint64_t to) MUST_USE;

/* The head alone: likewise. */
int journal_head_of(int32_t fd, struct journal_head *out) MUST_USE;

/* Frames in a row. */
struct journal_walk {
    int32_t fd;
    uint8_t *mem;        /* owns */
    uint64_t at;         /* of mem[0] in the file */
    uint32_t len;        /* bytes in it */
    uint32_t used;       /* of them, taken */
    uint64_t epoch, seq; /* of the next frame */
};
int journal_walk_open(struct journal_walk *w, int32_t fd, uint64_t epoch) MUST_USE;
void journal_walk_close(struct journal_walk *w);
/* 1 and the frame's entries, lent until the next call; 0: no frame there; or -errno. */
int journal_walk_next(struct journal_walk *w, const uint8_t **entries, uint32_t *len) MUST_USE;

#endif
