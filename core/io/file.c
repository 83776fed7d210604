/* core/io/file.c - the synchronous half of io.h: files are opened and closed at start and end. */
#include "core/io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

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
