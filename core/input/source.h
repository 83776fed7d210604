/* core/input/source.h - who gives records: one input, read in blocks by all shards.
 *
 * A regular file is claimed block by block with one atomic cursor: block k is the lines that
 * begin in bytes [k*B, (k+1)*B). Whoever claims a block reads it, and a little more for its last
 * line. Line numbers need the number of lines in all blocks before: each reader passes the sum on
 * as soon as it has read its block (source_chain), so nobody waits for another's deliveries.
 *
 * Anything else (a pipe, a terminal) is read by one shard at a time, which holds the source's
 * token while its read is under way, keeps the whole lines and leaves the rest for the next.
 *
 * Memory is bounded by the block size and the longest record. A file that shrinks while it is
 * read, or fails, ends the intake with an error; what was read before stays valid.
 *
 * Threads: struct source is shared, see the fields. A struct reader belongs to one shard.
 */
#ifndef CORE_INPUT_SOURCE_H
#define CORE_INPUT_SOURCE_H

#include "core/base/span.h"
#include "core/io/io.h"

#include <stdbool.h>
#include <stdint.h>

enum { SOURCE_CHAIN = 1024 }; /* blocks whose line counts may be under way at once */

/* What earlier lives of a run know of a regular file: lines that need not be taken again, and how
 * many lines begin before each of its first blocks. Lent by the caller. */
struct source_known {
    const uint64_t *bits; /* a bit for each line number; NULL: nothing is known */
    uint64_t lines;       /* numbers below this have one */
    const uint64_t *before;
    uint64_t blocks;
};

struct source {
    struct source_known known; /* set before any reader is opened */
    /* Immutable after source_open(). */
    const char *path;
    int32_t fd;
    bool regular;
    uint64_t size_bytes; /* of a regular file, at its opening: what is appended later is not read */
    uint64_t blocks;     /* of a regular file */
    uint32_t block_bytes, record_bytes_max;

    /* The cursor. Written by any shard with fetch-add, relaxed: it orders nothing else. */
    uint64_t next_block __attribute__((aligned(64)));
    /* How many entries of lines_before are known. Written by the one shard whose turn it is in
     * the chain, with release; read by all with acquire. */
    uint64_t chain_known __attribute__((aligned(64)));
    uint64_t lines_before[SOURCE_CHAIN]; /* of block k, at k % SOURCE_CHAIN */

    /* Pipe: 1 while a shard reads. Taken by compare-exchange with acquire, given back with
     * release; carry, carry_len, lines, offset and ended belong to the holder. */
    uint32_t token __attribute__((aligned(64)));
    char *carry; /* owns: the beginning of a line that is not whole yet */
    uint32_t carry_len;
    uint64_t lines, offset;
    bool ended;

    uint64_t read_bytes; /* relaxed add by all; read by the reporter */
};

/* 0, or -errno with the file untouched. */
int source_open(struct source *s, const char *path, uint32_t block_bytes,
                uint32_t record_bytes_max) MUST_USE;
void source_close(struct source *s);

enum reader_step {
    READER_LINE,  /* a whole line is in reader->line */
    READER_PIECE, /* a piece of a line longer than record_bytes_max; see reader->piece_last */
    READER_WAIT,  /* a read is under way, or another shard's is awaited: ask again next turn */
    READER_POLL,  /* nothing under way: ask again in some milliseconds */
    READER_END,   /* no more lines for this shard */
    READER_ERROR, /* reader->error (-errno; 0: the file shrank) at reader->error_offset */
};

struct block {
    struct io_op op;
    struct reader *reader;
    char *mem;             /* owns: reader->block_cap bytes and RECORD_PADDING more */
    uint64_t number;       /* regular file: which block */
    uint64_t offset;       /* of mem[0] in the input */
    uint64_t owned_end;    /* offset: lines that begin at or after it are another block's */
    uint32_t len;          /* bytes read into mem */
    uint32_t at;           /* of the next line */
    uint64_t lines_before; /* lines that begin before mem[at] */
    uint8_t state;         /* enum block_state, in source.c */
    bool counted;          /* its lines were passed on along the chain */
    bool eof;              /* nothing follows mem[len - 1] */
};

struct reader {
    struct source *source;
    struct io *io;
    struct block block[2]; /* one is taken apart while the other is read ahead */
    uint32_t current;      /* index of the one that is taken apart */
    uint32_t block_cap;
    bool long_line; /* in the middle of a line that is too long */
    bool stopped, exhausted;
    bool failed; /* error and error_offset are valid */
    int error;
    uint64_t error_offset;
    /* Results of reader_next(). */
    struct span line;     /* without '\n'; RECORD_PADDING readable bytes follow */
    bool piece_last;      /* READER_PIECE: the line ends here */
    uint64_t line_number; /* from 1 */
    uint64_t line_offset; /* of its first byte in the input; for the first piece likewise */
    /* Blocks whose lines were counted since reader_counted() was last asked, oldest first. */
    struct {
        uint64_t block, before;
    } counted[4];
    uint32_t counted_count;
};

bool reader_open(struct reader *r, struct source *s, struct io *io) MUST_USE; /* memory */
/* Bytes that one reader maps (not all of it is touched). */
uint64_t reader_memory_bytes(uint32_t block_bytes, uint32_t record_bytes_max);
/* Looks after reads that have ended; call it every turn, also while no line is wanted: other
 * shards wait for this one's line counts. */
void reader_tend(struct reader *r);
enum reader_step reader_next(struct reader *r) MUST_USE;
/* The next block of a regular file whose number of lines before it is known now; false: none. */
bool reader_counted(struct reader *r, uint64_t *block, uint64_t *before);
/* The line needs not be taken again. */
static inline bool source_line_known(const struct source *s, uint64_t line)
{
    return line < s->known.lines && (s->known.bits[line / 64] >> line % 64 & 1) != 0;
}
/* To be called between source_open() and the first reader. */
void source_know(struct source *s, const struct source_known *known);
/* Gives up what is under way; READER_END follows once reader_idle(). */
void reader_stop(struct reader *r);
bool reader_idle(const struct reader *r); /* no operation is in flight */
void reader_close(struct reader *r);

#endif
