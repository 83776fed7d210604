#include "core/engine/output.h"

#include "core/base/atomic.h"
#include "core/base/crc32c.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum {
    WRITE_BYTES = 256 * 1024, /* worth a write at once: each may be a worker thread's job */
    RESERVE_BYTES = 8 * 1024 * 1024,
    RESERVE_LEAST = 512 * 1024, /* for the lines of what is under way when the disk is full */
};
#define WRITE_AFTER_NS UINT64_C(200000000) /* so that a run can be followed while it goes on */
#define TOKEN_POLL_NS  UINT64_C(1000000)

/* ---- the file ----------------------------------------------------------------------------- */

static int file_open(struct outfile *f, const char *path, enum io_file_mode mode)
{
    memset(f, 0, sizeof *f);
    f->fd = -1;
    if (path == NULL) return 0;
    int rc = io_file_open(path, mode, &f->fd);
    if (rc < 0) return rc;
    struct io_file_info info;
    rc = io_file_info(f->fd, &info);
    if (rc < 0) {
        io_file_close(f->fd);
        return rc;
    }
    /* Standard output may be a file that others write to: only append. */
    f->regular = info.regular && strcmp(path, "-") != 0;
    f->path = path;
    return 0;
}

int outfile_open(struct outfile *f, const char *path) { return file_open(f, path, IO_FILE_WRITE); }

int outfile_continue(struct outfile *f, const char *path, uint64_t length)
{
    int rc = file_open(f, path, IO_FILE_MAP);
    if (rc < 0 || !f->regular) return rc;
    struct io_file_info info;
    rc = io_file_info(f->fd, &info);
    if (rc == 0 && info.size_bytes < length) rc = -ESTALE;
    if (rc == 0 && info.size_bytes > length) rc = io_file_truncate(f->fd, length);
    if (rc < 0) outfile_close(f);
    else f->length = f->whole = length;
    return rc;
}

int outfile_reserve(struct outfile *f, uint64_t bytes)
{
    if (!f->regular || f->length + bytes + RESERVE_LEAST <= f->reserved) return 0;
    uint64_t len = bytes + RESERVE_BYTES;
    int rc = io_file_reserve(f->fd, f->length, len);
    if (io_file_full(rc)) { /* a disk with less room than that may have enough for the rest */
        len = bytes + RESERVE_LEAST;
        rc = io_file_reserve(f->fd, f->length, len);
    }
    if (io_file_full(rc)) {
        store_rlx(&f->full, -rc);
        return rc;
    }
    f->reserved = f->length + len;
    return 0;
}

int outfile_full(const struct outfile *f) { return load_rlx(&f->full); }

void outfile_close(struct outfile *f)
{
    /* What was reserved and not used. */
    if (f->path != NULL && f->reserved > f->length && outfile_failed(f) == 0)
        (void)!io_file_truncate(f->fd, f->length);
    if (f->path != NULL) io_file_close(f->fd);
    f->path = NULL;
}

int outfile_failed(const struct outfile *f) { return load_acq(&f->failed); }

void outfile_fail(struct outfile *f, int error)
{
    CHECK(error > 0);
    if (outfile_failed(f) == 0) store_rel(&f->failed, error);
}

static bool token_take(struct outfile *f)
{
    uint32_t free_token = 0;
    /* Acquire: the length that the last holder left is ours to read. */
    return __atomic_compare_exchange_n(&f->token, &free_token, 1, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

/* ---- a shard's buffer --------------------------------------------------------------------- */

bool outbuf_open(struct outbuf *b, struct outfile *f, struct io *io, uint32_t cap)
{
    CHECK(cap > 0);
    memset(b, 0, sizeof *b);
    b->file = f;
    b->io = io;
    b->cap = cap;
    if (f->path == NULL) return true;
    char *mem = mmap(NULL, 2 * (size_t)cap, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED) return false;
    b->mem[0] = mem;
    b->mem[1] = mem + cap;
    return true;
}

void outbuf_close(struct outbuf *b)
{
    CHECK(!b->op.in_flight);
    char *first = b->mem[0] < b->mem[1] ? b->mem[0] : b->mem[1];
    if (first != NULL) munmap(first, 2 * (size_t)b->cap);
    b->mem[0] = b->mem[1] = NULL;
}

uint32_t outbuf_room(const struct outbuf *b) { return b->cap - b->len; }

bool outbuf_fits(const struct outbuf *b, size_t bytes)
{
    return b->file->path == NULL || outbuf_room(b) >= bytes;
}

char *outbuf_at(struct outbuf *b)
{
    CHECK(b->file->path != NULL);
    return b->mem[b->filling] + b->len;
}

void outbuf_add(struct outbuf *b, uint32_t n)
{
    CHECK(n <= b->cap - b->len);
    if (b->len == 0) b->oldest_ns = io_now_ns(b->io);
    b->len += n;
    if (outfile_failed(b->file) != 0 && !b->file->keep) b->len = 0; /* nobody will read it */
}

void outbuf_hold(struct outbuf *b, bool open_line) { b->hold = open_line; }

/* ---- writing ------------------------------------------------------------------------------ */

static void write_done(struct io_op *op, int32_t res);

static void write_rest(struct outbuf *b)
{
    struct outfile *f = b->file;
    b->op.kind = IO_WRITE;
    b->op.done = write_done;
    b->op.fd = f->fd;
    b->op.buf = b->mem[b->filling ^ 1] + b->out_done;
    b->op.len = b->out_len - b->out_done;
    b->op.offset = f->regular ? f->length + b->out_done : IO_OFFSET_NONE;
    io_submit(b->io, &b->op);
}

/* Where the last whole line ends, in the file, of the first n bytes that are being written. */
static uint64_t whole_end(const struct outbuf *b, uint32_t n)
{
    const char *mem = b->mem[b->filling ^ 1];
    const char *nl = n > 0 ? memrchr(mem, '\n', n) : NULL;
    return nl != NULL ? b->file->length + (uint64_t)(nl - mem) + 1 : b->file->whole;
}

/* Whole lines of what got through stay; half a line would be a lie. */
static void write_failed(struct outbuf *b, int error)
{
    struct outfile *f = b->file;
    if (f->regular) (void)ODD(io_file_truncate(f->fd, whole_end(b, b->out_done)) < 0);
    if (!f->keep) b->len = b->out_len = b->out_done = 0;
    store_rel(&f->failed, error);
}

static void write_done(struct io_op *op, int32_t res)
{
    struct outbuf *b = CONTAINER_OF(op, struct outbuf, op);
    struct outfile *f = b->file;
    if (res == -EINTR || res == -EAGAIN) {
        write_rest(b);
        return;
    }
    if (res <= 0) {
        write_failed(b, res < 0 ? -res : EIO);
        return;
    }
    b->out_done += (uint32_t)res;
    if (b->out_done < b->out_len) {
        write_rest(b);
        return;
    }
    f->whole = whole_end(b, b->out_len);
    f->length += b->out_len;
    b->out_len = b->out_done = 0;
    if (b->out_open) return; /* the rest of the line comes next */
    b->token = false;
    store_rel(&f->token, 0);
}

uint64_t outbuf_tend(struct outbuf *b, bool all)
{
    struct outfile *f = b->file;
    bool failed = f->path != NULL && outfile_failed(f) != 0;
    if (failed && !f->keep) b->len = 0;
    if ((failed && f->keep) || b->len == 0 || b->op.in_flight) return UINT64_MAX;
    uint64_t now_ns = io_now_ns(b->io), due_ns = b->oldest_ns + WRITE_AFTER_NS;
    uint32_t enough = b->cap / 2 < WRITE_BYTES ? b->cap / 2 : WRITE_BYTES;
    if (!all && !b->hold && b->len < enough && now_ns < due_ns) return due_ns;
    if (!b->token && !token_take(f)) return now_ns + TOKEN_POLL_NS;
    b->token = true;
    b->out_len = b->len;
    b->out_done = 0;
    b->out_open = b->hold;
    b->len = 0;
    b->filling ^= 1;
    write_rest(b);
    return UINT64_MAX;
}

bool outbuf_claim(struct outbuf *b, uint64_t *length, uint32_t *crc)
{
    struct outfile *f = b->file;
    const char *mem = b->mem[b->filling];
    const char *nl = b->len > 0 ? memrchr(mem, '\n', b->len) : NULL;
    uint32_t whole = nl != NULL ? (uint32_t)(nl - mem) + 1 : 0;
    f->crc = crc32c(f->crc, mem, whole > 0 ? whole : b->len);
    if (whole == 0) return false;
    *length = f->length + whole;
    *crc = f->crc;
    f->crc = crc32c(0, mem + whole, b->len - whole);
    return true;
}

bool outbuf_idle(const struct outbuf *b) { return b->len == 0 && !b->op.in_flight; }
