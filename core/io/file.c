/* core/io/file.c - the synchronous half of io.h: files are opened and closed at start and end. */
#include "core/io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_POLL_NS = 10000000 };

/* A file without a name; on file systems that know no such thing, one that loses it at once. */
static int open_nameless(const char *folder)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)) return fd;
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s/hookline.XXXXXX", folder);
    if (len < 0 || (size_t)len >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) (void)unlink(path);
    return fd;
}

int io_file_open(const char *path, enum io_file_mode mode, int32_t *fd)
{
    CHECK(path != NULL);
    CHECK(fd != NULL);
    int got;
    if (strcmp(path, "-") == 0) {
        got = mode == IO_FILE_READ ? STDIN_FILENO : STDOUT_FILENO;
        if (fcntl(got, F_GETFD) < 0) return -errno; /* closed by whoever started us */
    } else {
        static const int flags[] = {
            [IO_FILE_READ] = O_RDONLY,
            [IO_FILE_WRITE] = O_WRONLY | O_CREAT | O_TRUNC,
            [IO_FILE_APPEND] = O_WRONLY | O_CREAT,
            [IO_FILE_MAP] = O_RDWR | O_CREAT,
            [IO_FILE_NEW] = O_RDWR | O_CREAT | O_TRUNC,
        };
        do
            got = mode == IO_FILE_TEMP ? open_nameless(path)
                                       : open(path, flags[mode] | O_CLOEXEC | O_NOCTTY, 0666);
        while (got < 0 && errno == EINTR);
        if (got < 0) return -errno;
        if (got <= STDERR_FILENO) { /* started with a standard stream closed: leave its number */
            int moved = fcntl(got, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), error = errno;
            close(got);
            if (moved < 0) return -error;
            got = moved;
        }
    }
    struct stat st;
    int failed = fstat(got, &st) < 0 ? errno : S_ISDIR(st.st_mode) ? EISDIR : 0;
    if (failed != 0) {
        io_file_close(got);
        return -failed;
    }
    *fd = got;
    return 0;
}

int io_file_info(int32_t fd, struct io_file_info *info)
{
    CHECK(info != NULL);
    struct stat st;
    if (fstat(fd, &st) < 0) return -errno;
    info->regular = S_ISREG(st.st_mode);
    info->size_bytes = info->regular ? (uint64_t)st.st_size : 0;
    info->mtime_ns =
        (uint64_t)st.st_mtim.tv_sec * UINT64_C(1000000000) + (uint64_t)st.st_mtim.tv_nsec;
    return 0;
}

int io_file_truncate(int32_t fd, uint64_t bytes)
{
    return ftruncate(fd, (off_t)bytes) < 0 ? -errno : 0;
}

void io_file_close(int32_t fd)
{
    if (fd > STDERR_FILENO) close(fd);
}

/* ---- what waits for the disk -------------------------------------------------------------- */

int64_t io_file_read(int32_t fd, void *buf, size_t len, uint64_t offset)
{
    CHECK(buf != NULL || len == 0);
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) break;
        done += (size_t)n;
    }
    return (int64_t)done;
}

int64_t io_file_take(int32_t fd, void *buf, size_t len)
{
    CHECK(buf != NULL && len > 0);
    ssize_t n;
    do n = read(fd, buf, len);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int io_file_write(int32_t fd, const void *buf, size_t len, uint64_t offset)
{
    CHECK(buf != NULL || len == 0);
    size_t done = 0;
    while (done < len) {
        ssize_t n = pwrite(fd, (const char *)buf + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) return -EIO;
        done += (size_t)n;
    }
    return 0;
}

int io_file_sync(int32_t fd) { return fdatasync(fd) < 0 ? -errno : 0; }

int io_file_reserve(int32_t fd, uint64_t offset, uint64_t len)
{
    CHECK(len > 0);
    int rc;
    do rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

int io_file_rename(const char *from, const char *to) { return rename(from, to) < 0 ? -errno : 0; }

int io_file_remove(const char *path) { return unlink(path) < 0 ? -errno : 0; }

int io_folder_make(const char *path)
{
    if (mkdir(path, 0777) == 0) return 0;
    struct stat st;
    int error = errno;
    if (error != EEXIST || stat(path, &st) < 0) return -error;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int io_folder_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int rc = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

bool io_file_is(const char *path, int32_t fd)
{
    struct stat a, b;
    return stat(path, &a) == 0 && fstat(fd, &b) == 0 && a.st_ino == b.st_ino &&
           a.st_dev == b.st_dev;
}

int io_file_lock(int32_t fd, uint64_t wait_ns)
{
    const struct timespec pause = {.tv_nsec = LOCK_POLL_NS};
    for (uint64_t waited_ns = 0;; waited_ns += LOCK_POLL_NS) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) return 0;
        if (errno != EWOULDBLOCK || waited_ns >= wait_ns) return -errno;
        (void)nanosleep(&pause, NULL);
    }
}

int io_file_map(int32_t fd, size_t bytes, void **mem)
{
    CHECK(bytes > 0);
    int error = posix_fallocate(fd, 0, (off_t)bytes); /* a store to a hole on a full disk: SIGBUS */
    if (error != 0) return -error;
    void *got = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (got == MAP_FAILED) return -errno;
    (void)mlock(got, bytes); /* advice: pages that stay need not be read again */
    *mem = got;
    return 0;
}

void io_file_unmap(void *mem, size_t bytes) { munmap(mem, bytes); }

uint64_t io_wall_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

void io_boot_id(uint8_t id[IO_BOOT_ID_BYTES])
{
    char text[64] = {0};
    memset(id, 0, IO_BOOT_ID_BYTES);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    for (ssize_t i = 0, digit = 0; i < n && digit < 2 * IO_BOOT_ID_BYTES; i++) {
        char c = text[i];
        int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (value < 0) continue;
        id[digit / 2] = (uint8_t)(id[digit / 2] << 4 | value);
        digit++;
    }
}

uint32_t io_descriptor_limit(void)
{
    struct rlimit lim;
    if (getrlimit(RLIMIT_NOFILE, &lim) < 0) return 0;
    if (lim.rlim_cur < lim.rlim_max) {
        struct rlimit raised = {.rlim_cur = lim.rlim_max, .rlim_max = lim.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) lim = raised;
    }
    return lim.rlim_cur > UINT32_MAX ? UINT32_MAX : (uint32_t)lim.rlim_cur;
}
