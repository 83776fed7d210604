#include "tests/sim/disk_sim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FD_FIRST = 1000 };

struct disk {
    struct world *world;
    struct file file[DISK_FILES_MAX]; /* descriptor FD_FIRST + index */
    uint32_t count;
    uint32_t temps; /* made so far */
};

struct disk *disk_new(struct world *w)
{
    struct disk *d = calloc(1, sizeof *d);
    CHECK(d != NULL);
    d->world = w;
    return d;
}

void disk_free(struct disk *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        RULE(d->file[i].open_count == 0, "file %s was left open", d->file[i].name);
        free(d->file[i].data);
    }
    free(d);
}

struct file *disk_file(struct disk *d, const char *name)
{
    for (uint32_t i = 0; i < d->count; i++)
        if (strcmp(d->file[i].name, name) == 0) return &d->file[i];
    CHECK(d->count < DISK_FILES_MAX);
    struct file *f = &d->file[d->count++];
    CHECK(strlen(name) < sizeof f->name);
    memcpy(f->name, name, strlen(name) + 1);
    f->eio_at = f->full_at = UINT64_MAX;
    return f;
}

/* A gap that is left before `at` reads as zeros; only such a gap may be written to later. */
static void put(struct file *f, uint64_t at, const void *bytes, size_t n)
{
    size_t end = at + n;
    if (end > f->room) {
        f->room = 2 * end + 1024;
        f->data = realloc(f->data, f->room);
        CHECK(f->data != NULL);
    }
    if (end > f->len) {
        memset(f->data + f->len, 0, end - f->len);
        f->len = end;
    }
    for (size_t i = 0; i < n && !f->rewritten; i++)
        RULE(f->data[at + i] == 0, "%s was written twice at %zu", f->name, at + i);
    if (n > 0) memcpy(f->data + at, bytes, n);
}

void disk_fill(struct file *f, const void *bytes, size_t n)
{
    f->exists = true;
    put(f, f->len, bytes, n);
    f->size_said = f->len;
}

bool disk_failed_write(const struct disk *d)
{
    bool failed = false;
    for (uint32_t i = 0; i < d->count; i++) failed |= d->file[i].failed_write;
    return failed;
}

bool disk_failed_read(const struct disk *d)
{
    bool failed = false;
    for (uint32_t i = 0; i < d->count; i++) failed |= d->file[i].failed_read;
    return failed;
}

void disk_crash(struct disk *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        CHECK(d->file[i].ops == 0);
        d->file[i].open_count = 0;
    }
}

static void pipe_arrives(struct world *w, void *obj, uint64_t arg)
{
    struct file *f = obj;
    MAYBE(arg > 0);
    if (f->arrived == f->len) {
        f->closed = true;
    } else {
        size_t left = f->len - f->arrived;
        size_t most = left < 4096 ? left : 4096;
        f->arrived += world_draw(w, 30) ? most : 1 + world_below(w, (uint32_t)most);
        world_at(w, w->now_ns + world_latency_ns(w, w->knobs.slow, 21), pipe_arrives, f, 0);
    }
    if (f->waiter == NULL) return;
    world_fire_fn *fire = f->waiter;
    f->waiter = NULL;
    fire(w, f->waiter_obj, f->waiter_arg);
}

void disk_pipe(struct world *w, struct file *f)
{
    f->pipe = true;
    world_at(w, w->now_ns + world_latency_ns(w, w->knobs.slow, 21), pipe_arrives, f, 0);
}

struct file *disk_of_fd(struct disk *d, int32_t fd)
{
    RULE(fd >= FD_FIRST && (uint32_t)(fd - FD_FIRST) < d->count, "descriptor %d is no file", fd);
    struct file *f = &d->file[fd - FD_FIRST];
    RULE(f->open_count > 0, "descriptor %d (%s) is not open", fd, f->name);
    return f;
}

bool disk_would_wait(const struct file *f)
{
    return f->pipe && f->taken == f->arrived && !f->closed;
}

void disk_wait(struct file *f, world_fire_fn *fire, void *obj, uint64_t arg)
{
    RULE(f->waiter == NULL, "two reads wait on pipe %s", f->name);
    f->waiter = fire;
    f->waiter_obj = obj;
    f->waiter_arg = arg;
}

int32_t disk_read(struct world *w, struct file *f, void *buf, uint32_t len, uint64_t offset)
{
    RULE(f->pipe == (offset == IO_OFFSET_NONE), "%s read with the wrong kind of offset", f->name);
    uint64_t from = f->pipe ? f->taken : offset;
    uint64_t end = f->pipe ? f->arrived : f->len;
    if (from >= f->eio_at) {
        f->failed_read = true;
        PROBE("a read failed");
        return -EIO;
    }
    if (end > f->eio_at) end = f->eio_at;
    if (from >= end) {
        if (!f->pipe && from < f->size_said) {
            f->failed_read = true;
            PROBE("the input had shrunk");
        }
        return 0;
    }
    uint64_t n = end - from < len ? end - from : len;
    if (n > 1 && world_draw(w, w->knobs.read_short)) n = 1 + world_below(w, (uint32_t)n - 1);
    memcpy(buf, f->data + from, n);
    if (f->pipe) f->taken += n;
    return (int32_t)n;
}

int32_t disk_write(struct world *w, struct file *f, const void *buf, uint32_t len, uint64_t offset)
{
    uint64_t at = offset == IO_OFFSET_NONE ? f->len : offset;
    if (f->write_eio_in > 0 && --f->write_eio_in == 0) {
        f->failed_write = true;
        PROBE("a write failed once");
        return -EIO;
    }
    if (at >= f->full_at) {
        f->failed_write = true;
        PROBE("the disk was full");
        return -ENOSPC;
    }
    uint64_t n = len;
    if (n > 1 && world_draw(w, w->knobs.write_short)) n = 1 + world_below(w, (uint32_t)n - 1);
    if (n > f->full_at - at) n = f->full_at - at;
    put(f, at, buf, n);
    if (f->written != NULL) f->written(f);
    return (int32_t)n;
}

int32_t disk_sync(struct file *f)
{
    if (f->sync_eio_in == 0 || --f->sync_eio_in > 0) return 0;
    f->failed_write = true;
    return -EIO;
}

/* ---- core/io/io.h, the part about files ---------------------------------------------------- */

int io_file_open(const char *path, enum io_file_mode mode, int32_t *fd)
{
    struct world *w = world_current;
    const char *name = path;
    char temp[32];
    if (strcmp(path, "-") == 0) name = mode == IO_FILE_READ ? "stdin" : "stdout";
    if (mode == IO_FILE_TEMP) {
        snprintf(temp, sizeof temp, "temp-%u", w->disk->temps++);
        name = temp;
    }
    struct file *f = disk_file(w->disk, name);
    f->temp = mode == IO_FILE_TEMP;
    world_trace(w, "open", (uint64_t)mode, (uint64_t)f->open_error, f->open_count);
    if (f->open_error != 0) return -f->open_error;
    if (mode == IO_FILE_READ && !f->exists) return -ENOENT;
    if (mode == IO_FILE_WRITE || mode == IO_FILE_TEMP || mode == IO_FILE_NEW) f->len = 0;
    f->exists = true;
    f->open_count++;
    *fd = FD_FIRST + (int32_t)(f - w->disk->file);
    return 0;
}

int io_file_info(int32_t fd, struct io_file_info *info)
{
    const struct file *f = disk_of_fd(world_current->disk, fd);
    uint64_t bytes = f->size_said > f->len ? f->size_said : f->len;
    *info = (struct io_file_info){.size_bytes = f->pipe ? 0 : bytes, .regular = !f->pipe};
    return 0;
}

int io_file_truncate(int32_t fd, uint64_t bytes)
{
    struct file *f = disk_of_fd(world_current->disk, fd);
    world_trace(world_current, "truncate", (uint64_t)fd, f->len, bytes);
    RULE(bytes <= f->len, "%s of %zu bytes is to be cut to %" PRIu64, f->name, f->len, bytes);
    f->len = bytes;
    return 0;
}

uint32_t io_descriptor_limit(void) { return 1024; }

void io_file_close(int32_t fd)
{
    struct file *f = disk_of_fd(world_current->disk, fd);
    RULE(f->ops == 0, "%s was closed with %u operations in flight", f->name, f->ops);
    f->open_count--;
    world_trace(world_current, "close file", (uint64_t)fd, f->len, 0);
}

/* ---- what waits for the disk --------------------------------------------------------------- */

int64_t io_file_read(int32_t fd, void *buf, size_t len, uint64_t offset)
{
    const struct file *f = disk_of_fd(world_current->disk, fd);
    if (offset >= f->len) return 0;
    if (len > f->len - offset) len = f->len - offset;
    memcpy(buf, f->data + offset, len);
    return (int64_t)len;
}

int64_t io_file_take(int32_t fd, void *buf, size_t len)
{
    MAYBE(fd >= 0 && buf != NULL && len > 0);
    sim_fail("a pipe is read to its end before the run, which no scenario has");
}

int io_file_write(int32_t fd, const void *buf, size_t len, uint64_t offset)
{
    struct file *f = disk_of_fd(world_current->disk, fd);
    f->rewritten = true; /* a journal's head, lines that are made dirty again */
    put(f, offset, buf, len);
    return 0;
}

int io_file_sync(int32_t fd)
{
    (void)disk_of_fd(world_current->disk, fd);
    return 0;
}

int io_file_reserve(int32_t fd, uint64_t offset, uint64_t len)
{
    const struct file *f = disk_of_fd(world_current->disk, fd);
    return offset + len > f->full_at ? -ENOSPC : -EOPNOTSUPP;
}

int io_file_rename(const char *from, const char *to)
{
    struct disk *d = world_current->disk;
    struct file *a = disk_file(d, from), *b = disk_file(d, to);
    if (!a->exists) return -ENOENT;
    char name[sizeof a->name];
    memcpy(name, a->name, sizeof name);
    memcpy(a->name, b->name, sizeof name);
    memcpy(b->name, name, sizeof name);
    b->exists = false;
    world_trace(world_current, "rename", a->len, b->len, 0);
    return 0;
}

int io_file_remove(const char *path)
{
    struct file *f = disk_file(world_current->disk, path);
    if (!f->exists) return -ENOENT;
    f->exists = false;
    return 0;
}

int io_folder_make(const char *path)
{
    MAYBE(path != NULL);
    return 0;
}

int io_folder_sync(const char *path)
{
    MAYBE(path != NULL);
    return 0;
}

bool io_file_is(const char *path, int32_t fd)
{
    return strcmp(disk_of_fd(world_current->disk, fd)->name, path) == 0;
}

int io_file_lock(int32_t fd, uint64_t wait_ns)
{
    (void)wait_ns;
    (void)disk_of_fd(world_current->disk, fd);
    return 0;
}

int io_file_map(int32_t fd, size_t bytes, void **mem)
{
    struct file *f = disk_of_fd(world_current->disk, fd);
    char *zeros = calloc(1, bytes);
    CHECK(zeros != NULL);
    put(f, 0, zeros, bytes);
    free(zeros);
    f->rewritten = true;
    *mem = f->data;
    return 0;
}

void io_file_unmap(void *mem, size_t bytes) { CHECK(mem != NULL && bytes > 0); }

uint64_t io_wall_now(void) { return world_current->wall_ns + world_current->now_ns; }
void io_boot_id(uint8_t id[IO_BOOT_ID_BYTES]) { memset(id, 1, IO_BOOT_ID_BYTES); }
