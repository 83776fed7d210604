/* tools/hookline/whole_file.c - see whole_file.h. */
#include "tools/hookline/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of a file that is made now, as open() would give it. */
static mode_t new_mode(void)
{
    mode_t mask = umask(0);
    umask(mask);
    return 0666 & ~mask;
}

static int open_in_place(struct whole_file *w, const char *path)
{
    w->temp[0] = 0;
    w->out = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    return w->out == NULL ? -errno : 0;
}

static int open_beside(struct whole_file *w, mode_t mode)
{
    int len = snprintf(w->temp, sizeof w->temp, "%s.XXXXXX", w->path);
    if (len < 0 || (size_t)len >= sizeof w->temp) return -ENAMETOOLONG;
    int fd = mkostemp(w->temp, O_CLOEXEC);
    if (fd < 0) return -errno;
    w->out = fchmod(fd, mode) == 0 ? fdopen(fd, "w") : NULL;
    if (w->out != NULL) return 0;
    int rc = -errno;
    close(fd);
    (void)unlink(w->temp);
    return rc;
}

int whole_file_open(struct whole_file *w, const char *path)
{
    CHECK(w != NULL);
    CHECK(path != NULL);
    struct stat st;
    if (strcmp(path, "-") == 0) return open_in_place(w, path);
    if (strlen(path) >= sizeof w->path) return -ENAMETOOLONG;
    if (stat(path, &st) < 0) {
        if (errno != ENOENT) return -errno;
        memcpy(w->path, path, strlen(path) + 1);
        return open_beside(w, new_mode());
    }
    if (S_ISDIR(st.st_mode)) return -EISDIR;
    if (!S_ISREG(st.st_mode)) return open_in_place(w, path);
    if (access(path, W_OK) < 0 || realpath(path, w->path) == NULL) return -errno;
    return open_beside(w, st.st_mode & 0777);
}

int whole_file_close(struct whole_file *w)
{
    CHECK(w->out != NULL);
    bool failed = ferror(w->out) != 0;
    int rc = fflush(w->out) != 0 ? -errno : failed ? -EIO : 0;
    if (rc == 0 && w->temp[0] != 0 && fsync(fileno(w->out)) < 0) rc = -errno;
    if (w->out != stdout && fclose(w->out) != 0 && rc == 0) rc = -errno;
    w->out = NULL;
    if (w->temp[0] == 0) return rc;
    if (rc == 0 && rename(w->temp, w->path) < 0) rc = -errno;
    if (rc < 0) (void)unlink(w->temp);
    return rc;
}
