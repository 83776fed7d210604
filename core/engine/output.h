/* core/engine/output.h - results, events, dead letters and rejects: files written by all shards.
 *
 * Each shard fills a buffer of whole lines and writes it through its ring while it fills a
 * second one. A file is written by one shard at a time, which holds the file's token until its
 * buffer is in it: lines never mix, not even after a short write, on files and pipes alike. A
 * line too long for a buffer keeps the token over several buffers (outbuf_hold()).
 *
 * Where a state is kept, room is taken on the disk ahead of what is written (outfile_reserve()),
 * so that a disk that fills up is noticed while there is room for the lines of what is under way.
 *
 * A write error is final: the file is cut back to its last whole line where it can be, every
 * shard stops writing to it, and the run ends with exit status 4.
 *
 * Threads: struct outfile is shared, see the fields; a struct outbuf belongs to one shard.
 */
#ifndef CORE_ENGINE_OUTPUT_H
#define CORE_ENGINE_OUTPUT_H

#include "core/io/io.h"

#include <stdbool.h>
#include <stdint.h>

struct outfile {
    const char *path; /* NULL: not wanted; what is written to it is dropped */
    int32_t fd;
    bool regular;
    bool keep; /* what could not be written stays in its buffer */
    /* 1 while a shard writes. Taken by compare-exchange with acquire, given back with release. */
    uint32_t token __attribute__((aligned(64)));
    uint64_t length; /* token holder: bytes in the file */
    uint64_t whole;  /* token holder: of them, up to the end of the last whole line */
    uint64_t reserved; /* token holder: up to here there is room on the disk */
    int32_t full;    /* errno: no more room can be taken ahead; relaxed */
    uint32_t crc;    /* of what is in it behind the last length that a journal was told */
    int32_t failed;  /* errno of the first failed write, 0: none. Release by the token holder,
                        which keeps the token for good; acquire by all */
};

/* 0 or -errno. path NULL is fine. */
int outfile_open(struct outfile *f, const char *path) MUST_USE;
/* Goes on with a file of an earlier life, which is cut to `length`: that much of it counts.
 * -ESTALE: it is shorter. What is no regular file is opened as by outfile_open(). */
int outfile_continue(struct outfile *f, const char *path, uint64_t length) MUST_USE;
void outfile_close(struct outfile *f);
/* 0, or the errno that ended the writing. */
int outfile_failed(const struct outfile *f);
/* Before so many bytes are written, by whoever may write: takes more room on the disk when what was
 * taken is nearly used up. -ENOSPC, -EDQUOT, -EFBIG: there is no more, beyond half a megabyte for
 * the lines of attempts under way; `full` says so to all. Other failures are none: the file system
 * does not do that. */
int outfile_reserve(struct outfile *f, uint64_t bytes);
/* 0, or the errno of outfile_reserve(). */
int outfile_full(const struct outfile *f);
/* Nothing more is written to it, because of this errno; for a run that ends. Any thread. */
void outfile_fail(struct outfile *f, int error);

struct outbuf {
    struct outfile *file;
    struct io *io;
    struct io_op op;
    char *mem[2];               /* owns: cap bytes each; one is filled, the other written */
    uint32_t cap, len;          /* len: bytes in the one that is filled */
    uint32_t filling;           /* index */
    uint32_t out_len, out_done; /* of the one that is written */
    uint64_t oldest_ns;         /* when the first byte of the filled one came */
    bool token;                 /* this shard holds the file's */
    bool hold;                  /* what was added ends inside a line */
    bool out_open;              /* what is being written does */
};

/* At start and end; false: memory. Nothing may be in flight at the end. */
bool outbuf_open(struct outbuf *b, struct outfile *f, struct io *io, uint32_t cap) MUST_USE;
void outbuf_close(struct outbuf *b);

/* Bytes that can be added now. */
uint32_t outbuf_room(const struct outbuf *b);
/* There is room for so many bytes, or nobody wants them. */
bool outbuf_fits(const struct outbuf *b, size_t bytes);
/* Where the next outbuf_room() bytes go. */
char *outbuf_at(struct outbuf *b);
/* That n bytes were written there. */
void outbuf_add(struct outbuf *b, uint32_t n);
/* The bytes added so far end inside a line: after writing them keep the token (true), or they
 * end with a line again (false). */
void outbuf_hold(struct outbuf *b, bool open_line);

/* Once a turn: starts a write when there is enough, when it has waited long, or when `all`.
 * Returns when to call again at the latest: io_now_ns()'s clock, UINT64_MAX: no need. */
uint64_t outbuf_tend(struct outbuf *b, bool all);
/* Before outbuf_tend(b, true), by whoever may write: where the file's last whole line will end, and
 * the CRC-32C of what is whole since the last call that was true. False: no line ends in it. */
bool outbuf_claim(struct outbuf *b, uint64_t *length, uint32_t *crc);
/* What was handed to the ring is in the file, or has failed. */
static inline bool outbuf_written(const struct outbuf *b) { return !b->op.in_flight; }
/* Nothing is left to write and no operation is in flight. */
bool outbuf_idle(const struct outbuf *b);

#endif
