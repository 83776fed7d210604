#include "tests/sim/crash_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    FILES_MAX = 24,
    NAMES_MAX = 16,
    FDS_MAX = 64,
    SECTORS = CRASH_FILE_BYTES / CRASH_SECTOR,
    OPS_MAX = 64,
    NAME_BYTES = 48,
    FD_FIRST = 100
};

struct inode {
    bool used, map;
    uint8_t disk[CRASH_FILE_BYTES];
    uint8_t cache[CRASH_FILE_BYTES] __attribute__((aligned(64))); /* it may be mapped */
    uint32_t disk_len, len;
    bool dirty[SECTORS];
    uint32_t high; /* bytes beyond this were never touched */
};

struct name {
    char text[NAME_BYTES];
    int now, disk; /* index of an inode; -1: none */
};

struct io {
    uint64_t now_ns;
    struct io_op *op[OPS_MAX];
    uint32_t count;
};

static struct {
    struct prng *dice;
    struct crash_faults faults;
    struct inode inode[FILES_MAX];
    struct name name[NAMES_MAX];
    uint32_t names;
    int fd[FDS_MAX]; /* index of an inode; -1: closed */
    uint8_t boot;
    struct io io;
} d;

uint64_t crash_errors_told;

static uint32_t below(uint32_t n) { return (uint32_t)prng_below(d.dice, n); }
static bool draw(uint32_t percent) { return percent > 0 && prng_percent(d.dice, percent); }

/* ---- names and inodes --------------------------------------------------------------------- */

void crash_disk_new(struct prng *dice, const struct crash_faults *faults)
{
    for (int i = 0; i < FILES_MAX; i++) {
        struct inode *n = &d.inode[i];
        memset(n->disk, 0, n->high);
        memset(n->cache, 0, n->high);
        memset(n->dirty, 0, sizeof n->dirty);
        n->used = n->map = false;
        n->disk_len = n->len = n->high = 0;
    }
    d.dice = dice;
    d.faults = *faults;
    d.names = 0;
    for (int i = 0; i < FDS_MAX; i++) d.fd[i] = -1;
    d.boot = 1;
    d.io = (struct io){.now_ns = UINT64_C(1000000000000)};
}

void crash_disk_faults(const struct crash_faults *faults) { d.faults = *faults; }
void crash_disk_heal(void) { memset(&d.faults, 0, sizeof d.faults); }

static struct name *name_of(const char *path)
{
    for (uint32_t i = 0; i < d.names; i++)
        if (strcmp(d.name[i].text, path) == 0) return &d.name[i];
    CHECK(d.names < NAMES_MAX && strlen(path) < NAME_BYTES);
    struct name *n = &d.name[d.names++];
    memcpy(n->text, path, strlen(path) + 1);
    n->now = n->disk = -1;
    return n;
}

static bool inode_named(int i)
{
    for (uint32_t k = 0; k < d.names; k++)
        if (d.name[k].now == i || d.name[k].disk == i) return true;
    for (int k = 0; k < FDS_MAX; k++)
        if (d.fd[k] == i) return true;
    return false;
}

static int inode_new(void)
{
    for (int i = 0; i < FILES_MAX; i++) {
        struct inode *n = &d.inode[i];
        if (n->used && inode_named(i)) continue;
        memset(n->disk, 0, n->high);
        memset(n->cache, 0, n->high);
        memset(n->dirty, 0, sizeof n->dirty);
        n->used = true;
        n->map = false;
        n->disk_len = n->len = n->high = 0;
        return i;
    }
    UNREACHABLE();
}

static struct inode *inode_of(int32_t fd)
{
    CHECK(fd >= FD_FIRST && fd < FD_FIRST + FDS_MAX && d.fd[fd - FD_FIRST] >= 0);
    return &d.inode[d.fd[fd - FD_FIRST]];
}

static uint32_t all_bytes(void)
{
    uint32_t sum = 0;
    for (int i = 0; i < FILES_MAX; i++)
        if (d.inode[i].used && inode_named(i)) sum += d.inode[i].len;
    return sum;
}

/* ---- operations --------------------------------------------------------------------------- */

static void touch(struct inode *n, uint32_t from, uint32_t to)
{
    for (uint32_t s = from / CRASH_SECTOR; s < (to + CRASH_SECTOR - 1) / CRASH_SECTOR; s++)
        n->dirty[s] = true;
    if (to > n->high) n->high = to;
}

static int32_t put(struct inode *n, const void *buf, uint32_t len, uint64_t at)
{
    if (draw(d.faults.write_error)) {
        crash_errors_told++;
        return -EIO;
    }
    if (len > 1 && draw(d.faults.write_short)) len = 1 + below(len - 1);
    bool full = d.faults.full_at > 0 && all_bytes() + len > d.faults.full_at;
    if (full || at + len > CRASH_FILE_BYTES) {
        crash_errors_told++;
        return -ENOSPC;
    }
    memcpy(n->cache + at, buf, len);
    touch(n, (uint32_t)at, (uint32_t)at + len);
    if (at + len > n->len) n->len = (uint32_t)at + len;
    return (int32_t)len;
}

static uint32_t sector_end(uint32_t s, uint32_t high)
{
    uint32_t end = (s + 1) * CRASH_SECTOR;
    return end < high ? end : high;
}

static int sync_inode(struct inode *n)
{
    uint32_t sectors = (n->high + CRASH_SECTOR - 1) / CRASH_SECTOR;
    bool fails = draw(d.faults.sync_error);
    for (uint32_t s = 0; s < sectors; s++) {
        if (!n->dirty[s]) continue;
        uint32_t from = s * CRASH_SECTOR, bytes = CRASH_SECTOR;
        if (!fails) memcpy(n->disk + from, n->cache + from, bytes);
        else if (draw(50)) memcpy(n->cache + from, n->disk + from, bytes); /* read again later */
        n->dirty[s] = false;
    }
    if (fails) crash_errors_told++;
    else n->disk_len = n->len;
    return fails ? -EIO : 0;
}

/* ---- crashes ------------------------------------------------------------------------------ */

/* What was in flight has taken effect, or not, or its beginning has. */
static void ops_die(void)
{
    struct crash_faults faults = d.faults;
    d.faults = (struct crash_faults){.full_at = faults.full_at};
    for (uint32_t i = 0; i < d.io.count; i++) {
        const struct io_op *op = d.io.op[i];
        if (op->kind == IO_WRITE && draw(50)) {
            uint32_t len = draw(30) ? 1 + below(op->len) : op->len;
            (void)put(inode_of(op->fd), op->buf, len, op->offset);
        }
        if (op->kind == IO_SYNC && draw(30)) (void)sync_inode(inode_of(op->fd));
    }
    d.faults = faults;
    d.io.count = 0;
}

void crash_process_dies(void)
{
    ops_die();
    for (int i = 0; i < FDS_MAX; i++) d.fd[i] = -1;
}

static void sector_dies(struct inode *n, uint32_t s)
{
    uint32_t from = s * CRASH_SECTOR, keep = below(CRASH_SECTOR);
    switch (below(4)) {
    case 0:
    case 1: memcpy(n->disk + from, n->cache + from, CRASH_SECTOR); break;
    case 2: break;
    case 3:
        memcpy(n->disk + from, n->cache + from, keep);
        if (!draw(50)) break;
        for (uint32_t i = from + keep; i < from + CRASH_SECTOR; i++)
            if (i >= n->disk_len) n->disk[i] = (uint8_t)prng_u64(d.dice);
        break;
    }
    n->dirty[s] = false;
}

static void inode_dies(struct inode *n)
{
    uint32_t high = n->high;
    for (uint32_t s = 0; s < (high + CRASH_SECTOR - 1) / CRASH_SECTOR; s++)
        if (n->dirty[s] || (n->map && draw(20))) sector_dies(n, s);
    n->high = sector_end(high > 0 ? (high - 1) / CRASH_SECTOR : 0, CRASH_FILE_BYTES);
    if (n->len > n->disk_len) {
        uint32_t more = n->len - n->disk_len;
        if (draw(40)) n->disk_len += more;
        else if (draw(60)) n->disk_len += below(more);
    } else if (draw(50)) {
        n->disk_len = n->len; /* it was cut, and that is on the disk */
    }
    memcpy(n->cache, n->disk, n->high);
    n->len = n->disk_len;
}

void crash_power_goes(void)
{
    ops_die();
    for (int i = 0; i < FDS_MAX; i++) d.fd[i] = -1;
    for (int i = 0; i < FILES_MAX; i++)
        if (d.inode[i].used) inode_dies(&d.inode[i]);
    for (uint32_t i = 0; i < d.names; i++) {
        struct name *n = &d.name[i];
        if (draw(50)) n->now = n->disk;
        else n->disk = n->now;
    }
    d.boot++;
}

const uint8_t *crash_file(const char *name, uint32_t *len)
{
    const struct name *n = name_of(name);
    if (n->now < 0) return NULL;
    *len = d.inode[n->now].len;
    return d.inode[n->now].cache;
}

/* ---- core/io/io.h ------------------------------------------------------------------------- */

struct io *crash_io(void) { return &d.io; }
void crash_clock(uint64_t ns) { d.io.now_ns += ns; }
uint64_t io_now_ns(const struct io *io) { return io->now_ns; }
uint64_t io_wall_ns(const struct io *io) { return UINT64_C(1790000000000000000) + io->now_ns; }

void io_submit(struct io *io, struct io_op *op)
{
    CHECK(!op->in_flight && io->count < OPS_MAX);
    op->in_flight = true;
    io->op[io->count++] = op;
}

static void complete(struct io *io, uint32_t i)
{
    struct io_op *op = io->op[i];
    int32_t res;
    io->op[i] = io->op[--io->count];
    if (draw(d.faults.again)) res = draw(50) ? -EINTR : -EAGAIN;
    else if (op->kind == IO_WRITE) res = put(inode_of(op->fd), op->buf, op->len, op->offset);
    else res = sync_inode(inode_of(op->fd));
    op->in_flight = false;
    op->done(op, res);
}

void crash_pump(struct io *io)
{
    for (uint32_t n = io->count > 0 ? 1 + below(io->count) : 0; n > 0 && io->count > 0; n--)
        complete(io, below(io->count));
}

int io_file_open(const char *path, enum io_file_mode mode, int32_t *fd)
{
    struct name *n = name_of(path);
    if (n->now < 0 && mode == IO_FILE_READ) return -ENOENT;
    if (n->now < 0) n->now = inode_new();
    struct inode *node = &d.inode[n->now];
    if (mode == IO_FILE_NEW || mode == IO_FILE_WRITE) {
        memset(node->cache, 0, node->high);
        touch(node, 0, node->high);
        node->len = 0;
    }
    for (int i = 0; i < FDS_MAX; i++) {
        if (d.fd[i] >= 0) continue;
        d.fd[i] = n->now;
        *fd = FD_FIRST + i;
        return 0;
    }
    UNREACHABLE();
}

int io_file_info(int32_t fd, struct io_file_info *info)
{
    *info = (struct io_file_info){.size_bytes = inode_of(fd)->len, .regular = true};
    return 0;
}

int io_file_truncate(int32_t fd, uint64_t bytes)
{
    struct inode *n = inode_of(fd);
    CHECK(bytes <= n->len);
    memset(n->cache + bytes, 0, n->high - bytes);
    touch(n, (uint32_t)bytes, n->high);
    n->len = (uint32_t)bytes;
    return 0;
}

void io_file_close(int32_t fd)
{
    (void)inode_of(fd);
    d.fd[fd - FD_FIRST] = -1;
}

int64_t io_file_read(int32_t fd, void *buf, size_t len, uint64_t offset)
{
    const struct inode *n = inode_of(fd);
    if (offset >= n->len) return 0;
    if (len > n->len - offset) len = n->len - offset;
    memcpy(buf, n->cache + offset, len);
    return (int64_t)len;
}

int io_file_write(int32_t fd, const void *buf, size_t len, uint64_t offset)
{
    size_t done = 0;
    while (done < len) {
        int32_t n =
            put(inode_of(fd), (const char *)buf + done, (uint32_t)(len - done), offset + done);
        if (n < 0) return n;
        done += (size_t)n;
    }
    return 0;
}

int io_file_sync(int32_t fd) { return sync_inode(inode_of(fd)); }

int io_file_reserve(int32_t fd, uint64_t offset, uint64_t len)
{
    (void)inode_of(fd);
    MAYBE(offset + len > CRASH_FILE_BYTES);
    return d.faults.full_at > 0 && all_bytes() > d.faults.full_at / 4 * 3 ? -ENOSPC : -EOPNOTSUPP;
}

int io_file_rename(const char *from, const char *to)
{
    struct name *a = name_of(from), *b = name_of(to);
    if (a->now < 0) return -ENOENT;
    b->now = a->now;
    a->now = -1;
    return 0;
}

int io_file_remove(const char *path)
{
    struct name *n = name_of(path);
    if (n->now < 0) return -ENOENT;
    n->now = -1;
    return 0;
}

int io_folder_sync(const char *path)
{
    MAYBE(path != NULL);
    if (draw(d.faults.sync_error)) {
        crash_errors_told++;
        return -EIO;
    }
    for (uint32_t i = 0; i < d.names; i++) d.name[i].disk = d.name[i].now;
    return 0;
}

bool io_file_is(const char *path, int32_t fd)
{
    return name_of(path)->now == d.fd[fd - FD_FIRST];
}

int io_file_map(int32_t fd, size_t bytes, void **mem)
{
    struct inode *n = inode_of(fd);
    CHECK(bytes <= CRASH_FILE_BYTES);
    n->map = true;
    n->len = (uint32_t)bytes;
    touch(n, 0, n->len);
    *mem = n->cache;
    return 0;
}

void io_file_unmap(void *mem, size_t bytes) { CHECK(mem != NULL && bytes > 0); }

uint64_t io_wall_now(void) { return io_wall_ns(&d.io); }
void io_boot_id(uint8_t id[IO_BOOT_ID_BYTES]) { memset(id, d.boot, IO_BOOT_ID_BYTES); }
