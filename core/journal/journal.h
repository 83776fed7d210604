/* core/journal/journal.h - the bytes of a journal: what it says, and how that is written and read.
 *
 * The format and the rule that says which bytes count are at the head of journal.c. This file has
 * no I/O in it: values to bytes and back. state.h keeps what a journal adds up to, recover.h reads
 * one, writer.h makes one.
 */
#ifndef CORE_JOURNAL_JOURNAL_H
#define CORE_JOURNAL_JOURNAL_H

#include "core/base/check.h"
#include "core/base/span.h"
#include "core/io/io.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    JOURNAL_VERSION = 1,
    JOURNAL_HEAD_BYTES = 80,
    JOURNAL_FRAME_HEAD_BYTES = 8,
    JOURNAL_FRAME_BYTES_MAX = 1024 * 1024, /* of a frame's entries; a longer one is no frame */
    JOURNAL_ENTRY_BYTES_MAX = 96,          /* but for those with a text, which adds its own */
    JOURNAL_FILES = 4,                     /* output files whose lengths it keeps */
    JOURNAL_NAME_BYTES_MAX = 1024,         /* of a host on hold */
};

/* How a line of the input ended. The first five are the outcomes of records, in their order. */
enum journal_ending {
    JOURNAL_DELIVERED,
    JOURNAL_FAILED,
    JOURNAL_EXHAUSTED,
    JOURNAL_EXPIRED,
    JOURNAL_ABORTED,
    JOURNAL_REJECTED, /* no record */
    JOURNAL_BLANK,    /* nothing at all */
    JOURNAL_ENDING_COUNT
};

enum journal_kind {
    JOURNAL_DONE = 1, /* line, ending */
    JOURNAL_WAITING,  /* line, offset, attempts, first_us, due_us, why, sent, maybe, told */
    JOURNAL_BEGUN,    /* line, offset, attempts, first_us: an attempt may be under way */
    JOURNAL_BLOCK,    /* number, value: so many lines begin before that block of the input */
    JOURNAL_LEASE,    /* value: nothing at or beyond this offset of the input was begun */
    JOURNAL_FILE,     /* number, value, crc, known: that output file's length */
    JOURNAL_HOLD,     /* text, number, value, ending: held until then; text names the host */
    JOURNAL_COMMIT,   /* number, value: frames up to number are durable; wall time in us */
    JOURNAL_META,     /* text */
    JOURNAL_BITS,     /* number, text: lines that are done, from that word of 64 on */
    JOURNAL_COUNT,    /* ending, value: so many ended so */
    JOURNAL_END,      /* number: the run ended with this status */
    JOURNAL_KIND_COUNT
};

struct journal_entry {
    uint8_t kind;   /* enum journal_kind: which of the others mean something */
    uint8_t ending; /* enum journal_ending; HOLD: enum journal_hold */
    uint8_t why, sent;
    bool maybe; /* WAITING: its last attempt was cut off after bytes had been sent */
    bool told;  /* WAITING: events say that its host is on hold */
    bool known; /* FILE: its bytes are durable, and crc says nothing */
    uint32_t attempts;
    uint32_t crc; /* FILE: of the bytes since the entry before */
    uint64_t line, offset;
    uint64_t first_us, due_us; /* wall time, since 1970 */
    uint64_t number, value;
    struct span text; /* lent: by whoever writes; by the frame that is read */
};

enum journal_sync {
    JOURNAL_SYNC_GROUP,  /* every 50 ms or 4,096 records */
    JOURNAL_SYNC_ALWAYS, /* each frame; nothing is sent before it is known that it will be */
    JOURNAL_SYNC_NONE,   /* left to the operating system: survives the process, not the machine */
    JOURNAL_SYNC_COUNT
};

/* number: its hash in the run's table of hosts or of paces. */
enum journal_hold {
    JOURNAL_HOLD_HEALTH, /* a host, for its health */
    JOURNAL_HOLD_PACE,   /* a host, or one key's records for it, because it asked for that */
};

/* ---- entries ------------------------------------------------------------------------------ */

/* Entries on their way into one frame: numbers are written as differences from the one before. */
struct journal_out {
    uint8_t *mem; /* lent */
    uint32_t len, cap;
    uint64_t line, offset;
};

static inline void journal_out_reset(struct journal_out *o)
{
    o->len = 0;
    o->line = o->offset = 0;
}
/* Whether an entry with so long a text fits. */
static inline bool journal_fits(const struct journal_out *o, size_t text_bytes)
{
    return o->cap - o->len >= JOURNAL_ENTRY_BYTES_MAX + text_bytes;
}
/* It must fit. */
void journal_put(struct journal_out *o, const struct journal_entry *e);

struct journal_in {
    const uint8_t *at, *end; /* lent */
    uint64_t line, offset;
};

enum journal_step { JOURNAL_ENTRY, JOURNAL_OVER, JOURNAL_BAD };

static inline struct journal_in journal_in_of(const uint8_t *bytes, uint32_t len)
{
    return (struct journal_in){.at = bytes, .end = bytes + len};
}
/* The next entry; e->text points into the frame. */
enum journal_step journal_take(struct journal_in *in, struct journal_entry *e) MUST_USE;

/* ---- done lines as bits ------------------------------------------------------------------- */

/* Writes words as runs, as many as surely fit into `room` bytes; returns how many words those are
 * and sets *bytes. At least one word if room is 24 or more. */
uint64_t journal_bits_write(const uint64_t *words, uint64_t count, uint8_t *out, uint32_t room,
                            uint32_t *bytes);
/* Calls fn for each word that is not 0; false: no such runs, or beyond words_max. */
bool journal_bits_read(struct span text, uint64_t first, uint64_t words_max,
                       void (*fn)(void *ctx, uint64_t index, uint64_t word), void *ctx);

/* ---- frames and the file's head ----------------------------------------------------------- */

struct journal_head {
    uint64_t epoch;
    uint64_t run_id;
    uint64_t frames; /* of the snapshot that the file begins with */
    uint8_t sync;    /* enum journal_sync */
    uint8_t boot_id[IO_BOOT_ID_BYTES];
};

/* To bytes and back; false: no head of a journal, or damaged. */
void journal_head_write(const struct journal_head *h, uint8_t out[JOURNAL_HEAD_BYTES]);
bool journal_head_read(const uint8_t *bytes, size_t n, struct journal_head *out) MUST_USE;

/* The eight bytes before the entries of frame `seq` (from 1) of this epoch. */
void journal_frame_seal(uint8_t head[JOURNAL_FRAME_HEAD_BYTES], uint64_t epoch, uint64_t seq,
                        const uint8_t *entries, uint32_t len);
/* The length of the entries behind this head; false: there is none. */
bool journal_frame_length(const uint8_t head[JOURNAL_FRAME_HEAD_BYTES], uint32_t *len) MUST_USE;
bool journal_frame_ok(const uint8_t head[JOURNAL_FRAME_HEAD_BYTES], uint64_t epoch, uint64_t seq,
                      const uint8_t *entries, uint32_t len) MUST_USE;

#endif
