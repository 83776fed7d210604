/* core/io/io.h - asynchronous I/O as the rest of the program sees it: the one seam to the world.
 *
 * Two implementations share this header and are chosen by the linker, not by a pointer:
 *   core/io/io_uring.c   the kernel; the product and perf/
 *   tests/sim/io_sim.c   a virtual clock, network and disk, and a seed; tests/ only
 *
 * Sockets are slots: numbers 0..sockets-1 that the caller chooses and owns, as io_uring's direct
 * descriptors are. A slot is in use from io_submit() of an IO_CONNECT until the done() of its
 * IO_CLOSE, whatever the connect's result was; IO_CLOSE is also how a failed connect is undone.
 *
 * Ownership: an io_op belongs to the caller, lives inside the caller's own struct (no allocation
 * per operation) and is lent to the backend from io_submit() until its last done(). Memory named
 * by an op must stay put for that whole time. done() never runs inside io_submit()/io_cancel().
 *
 * done() runs exactly once per submit, with one exception: an IO_RECV is multishot. It stays in
 * flight and calls done() with op->more true for each piece that arrives; the last call (end of
 * stream: res 0; an error; or -ECANCELED) has op->more false. op->buf then names the bytes: the
 * backend's memory, lent for the time of that one call.
 *
 * Threads: one io per shard thread; nothing here may be called from another thread. io_file_*()
 * may be called from any thread; two threads must not use one file's offset at the same time.
 */
#ifndef CORE_IO_IO_H
#define CORE_IO_IO_H

#include "core/base/addr.h"
#include "core/base/check.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct io;
struct io_op;

/* res: bytes >= 0 (0 for connect, close, sync), or -errno. */
typedef void io_done_fn(struct io_op *op, int32_t res);

enum io_kind {
    IO_CONNECT, /* socket fd := new TCP connection to *addr, from *bind_addr unless NULL */
    IO_SEND,    /* buf, len: completes when all is accepted by the kernel; short means trouble */
    IO_RECV,    /* multishot, see above */
    IO_CLOSE,   /* nothing else may be in flight on the slot; res is of no interest */
    IO_READ,    /* file fd at offset (IO_OFFSET_NONE: a pipe's current place); may be short */
    IO_WRITE,   /* file fd at offset (IO_OFFSET_NONE: a pipe or append); may be short */
    IO_SYNC,    /* fdatasync of file fd */
    IO_POLL,    /* watched socket fd, see below: res is those of events that are there, or more */
    IO_KIND_COUNT
};

#define IO_OFFSET_NONE UINT64_MAX

struct io_op {
    io_done_fn *done;
    struct io_op *next; /* backend's, while in flight */
    void *buf;          /* IO_SEND, IO_WRITE: not written. IO_READ: filled. IO_RECV: see above */
    const struct addr *addr;      /* IO_CONNECT */
    const struct addr *bind_addr; /* IO_CONNECT; NULL: the kernel chooses */
    uint64_t offset;              /* IO_READ, IO_WRITE: bytes from the start, or IO_OFFSET_NONE */
    uint64_t backend;             /* backend's own */
    uint32_t len;                 /* bytes; IO_POLL: events, POLLIN and POLLOUT of <poll.h> */
    int32_t fd;                   /* slot (sockets) or descriptor (files, watched sockets) */
    uint16_t generation;          /* backend's: counts submits, so that a stale completion shows */
    uint8_t kind;                 /* enum io_kind */
    bool in_flight;               /* backend's; read by all */
    bool more;                    /* backend's; valid inside done() */
    bool cancelled;               /* backend's: io_cancel() was called since the submit */
};

struct io_config {
    uint32_t sockets;      /* slots */
    uint32_t recv_buffers; /* power of two, at most 32768; shared by all connections */
    uint32_t recv_bytes;   /* size of each */
};

/* On failure *io is untouched and the result is -errno of the step named by *what (a static
 * string). Must be called on the thread that will use it. */
int io_open(const struct io_config *config, struct io **io, const char **what) MUST_USE;
/* Nothing may be in flight. */
void io_close(struct io *io);

/* The monotonic clock begins this far from 0, so that it can name times before the machine started:
 * a first attempt in an earlier life. */
#define IO_CLOCK_BASE_NS (UINT64_C(60) * 86400 * 1000000000)
uint64_t io_now_ns(const struct io *io);  /* monotonic; constant within one io_turn() */
uint64_t io_wall_ns(const struct io *io); /* since 1970, UTC; for logs and dates only */

void io_submit(struct io *io, struct io_op *op);
/* A wish: done() still runs a last time, with -ECANCELED or, if the result was on its way, with
 * that. Cancelling twice is harmless. Not for IO_CLOSE. */
void io_cancel(struct io *io, struct io_op *op);

/* One turn: submits what is queued, waits for a completion but not beyond until_ns (on
 * io_now_ns()'s clock; 0: do not wait), reads the clock, runs done() of all that completed.
 * batch: how many more completions are worth waiting for, up to some 100 us, when the machine is
 * busy; 1: none. Returns the number of done() calls. */
uint32_t io_turn(struct io *io, uint64_t until_ns, uint32_t batch);
/* How long the last turn that was allowed to wait was in the kernel; 0 for one that was not. */
uint64_t io_waited_ns(const struct io *io);
uint32_t io_in_flight(const struct io *io);

/* ---- watched sockets: for a library that sends and receives by itself ----------------------- */

/* Never blocking; IO_POLL says when there is something to do. For few bytes now and then (the DNS):
 * each call is a system call of its own. Results are 0, a count, or -errno. */
enum io_transport { IO_DATAGRAM, IO_STREAM };
int io_watched_open(struct io *io, int family, enum io_transport transport, int32_t *fd) MUST_USE;
/* -EINPROGRESS: it will be writable once it is connected, or has failed to. */
int io_watched_connect(struct io *io, int32_t fd, const struct addr *to) MUST_USE;
/* Bytes taken or given; -EAGAIN: none now. from: whom they are from, unless NULL. */
int64_t io_watched_send(struct io *io, int32_t fd, const struct iovec *pieces, uint32_t count);
int64_t io_watched_recv(struct io *io, int32_t fd, void *buf, size_t bytes, struct addr *from);
void io_watched_close(struct io *io, int32_t fd); /* no IO_POLL of it may be in flight */

/* ---- files: opened and closed synchronously, at start and end only ------------------------ */

enum io_file_mode {
    IO_FILE_READ,
    IO_FILE_WRITE,  /* created or truncated */
    IO_FILE_APPEND, /* created or continued */
    IO_FILE_TEMP,   /* path is a folder: a nameless file in it, for reading and writing */
    IO_FILE_MAP,    /* created or continued, for reading and writing: io_file_map() */
    IO_FILE_NEW,    /* created or emptied, for reading and writing */
};

struct io_file_info {
    uint64_t size_bytes; /* regular files */
    uint64_t mtime_ns;   /* since 1970 */
    bool regular;        /* has a size and offsets; otherwise a pipe, terminal or socket */
};

/* "-" is standard input or standard output. *fd >= 0 on success; else -errno (-EISDIR for a
 * directory, also when reading). */
int io_file_open(const char *path, enum io_file_mode mode, int32_t *fd) MUST_USE;
int io_file_info(int32_t fd, struct io_file_info *info) MUST_USE;
/* Cuts a regular file to `bytes`; 0 or -errno. */
int io_file_truncate(int32_t fd, uint64_t bytes) MUST_USE;
/* Standard descriptors are left open. */
void io_file_close(int32_t fd);

/* At start and end, and while a journal is compacted; they wait for the disk. Each is 0 or -errno
 * unless it says otherwise. Reading gives the bytes read, less than len at the file's end only. */
int64_t io_file_read(int32_t fd, void *buf, size_t len, uint64_t offset) MUST_USE;
int io_file_write(int32_t fd, const void *buf, size_t len, uint64_t offset) MUST_USE;
/* From a pipe's present place, or standard input's: some bytes, 0 at its end. */
int64_t io_file_take(int32_t fd, void *buf, size_t len) MUST_USE;
int io_file_sync(int32_t fd) MUST_USE;
/* Takes room on the disk for these bytes, which need not be in the file yet. -EOPNOTSUPP where the
 * file system knows no such thing. */
int io_file_reserve(int32_t fd, uint64_t offset, uint64_t len) MUST_USE;
/* What an operation on a file said: there is no room on the disk, in the quota or below a limit. */
static inline bool io_file_full(int rc) { return rc == -ENOSPC || rc == -EDQUOT || rc == -EFBIG; }
/* Replaces `to` if it is there. Durable once the folder is synced. */
int io_file_rename(const char *from, const char *to) MUST_USE;
int io_file_remove(const char *path) MUST_USE;
/* -EEXIST is 0: it is there. */
int io_folder_make(const char *path) MUST_USE;
int io_folder_sync(const char *path) MUST_USE;
/* Whether the path still names the open file: it was neither removed nor replaced. */
bool io_file_is(const char *path, int32_t fd);
/* For as long as the descriptor is open, and gone with the process; with one that has a ring, a
 * moment later, when the kernel has taken that apart. Blocks the thread for up to wait_ns.
 * -EWOULDBLOCK: another process still has it then. */
int io_file_lock(int32_t fd, uint64_t wait_ns) MUST_USE;
/* The file's first `bytes`, shared with the file: what is stored there outlives the process, though
 * not the machine. The room is taken on the disk first. */
int io_file_map(int32_t fd, size_t bytes, void **mem) MUST_USE;
void io_file_unmap(void *mem, size_t bytes);

enum { IO_BOOT_ID_BYTES = 16 };
/* Wall time without a ring: since 1970, UTC. */
uint64_t io_wall_now(void);
/* Differs after each start of the machine; all zero if it cannot be known. */
void io_boot_id(uint8_t id[IO_BOOT_ID_BYTES]);

/* Raises the soft limit of open descriptors to the hard one and returns it. Sockets are not
 * charged to it, but no ring may have more slots than this. */
uint32_t io_descriptor_limit(void);

#endif
