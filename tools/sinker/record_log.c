/* tools/sinker/record_log.c - see record_log.h. Lines are written by hand rather than by
 * snprintf(), which alone would cost half of what the whole request may.
 */
#include "tools/sinker/record_log.h"

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "tools/sinker/clock.h"
#include "tools/sinker/request.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LINE_BYTES = JSON_TEXT_GROWTH * REQUEST_HEAD_BYTES + 512,
    FLUSH_BYTES = 128 * 1024,
    BUFFER_BYTES = FLUSH_BYTES + LINE_BYTES,
};

struct record_log {
    pthread_mutex_t lock; /* guards the rest */
    uint64_t lost_lines;
    uint64_t file_bytes; /* whole lines written */
    int fd;
    bool broken;
};

struct record_log *record_log_open(const char *path)
{
    CHECK(path != NULL);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) return NULL;
    struct record_log *log = calloc(1, sizeof *log);
    if (!log) {
        close(fd);
        errno = ENOMEM;
        return NULL;
    }
    CHECK(pthread_mutex_init(&log->lock, NULL) == 0);
    log->fd = fd;
    return log;
}

uint64_t record_log_close(struct record_log *log)
{
    if (!log) return 0;
    uint64_t lost = log->lost_lines;
    close(log->fd);
    free(log);
    return lost;
}

/* Returns 0, or errno with *done saying how much went out. */
static int write_all(int fd, const char *p, size_t len, size_t *done)
{
    *done = 0;
    while (*done < len) {
        ssize_t n = write(fd, p + *done, len - *done);
        if (n > 0) *done += (size_t)n;
        else if (n < 0 && errno != EINTR) return errno;
    }
    return 0;
}

static void write_locked(struct record_log *log, const struct log_buffer *b)
{
    if (!log->broken) {
        size_t done;
        int error = write_all(log->fd, b->lines, b->bytes, &done);
        if (error == 0) {
            log->file_bytes += b->bytes;
            return;
        }
        log->broken = true;
        /* Not every file can be cut (a pipe, a device): then the torn line stays. */
        if (done && ftruncate(log->fd, (off_t)log->file_bytes) != 0) errno = 0;
        fprintf(stderr, "sinker: cannot write the log: %s; requests are no longer logged\n",
                strerror(error));
    }
    log->lost_lines += b->lines_count;
}

void log_buffer_flush(struct log_buffer *b)
{
    if (!b->log || b->bytes == 0) return;
    CHECK(pthread_mutex_lock(&b->log->lock) == 0);
    write_locked(b->log, b);
    CHECK(pthread_mutex_unlock(&b->log->lock) == 0);
    b->bytes = 0;
    b->lines_count = 0;
}

bool log_buffer_init(struct log_buffer *b, struct record_log *log)
{
    *b = (struct log_buffer){.log = log};
    if (!log) return true;
    b->lines = malloc(BUFFER_BYTES);
    return b->lines != NULL;
}

void log_buffer_exit(struct log_buffer *b)
{
    log_buffer_flush(b);
    free(b->lines);
    *b = (struct log_buffer){0};
}

static char *put(char *out, const char *text, size_t len)
{
    memcpy(out, text, len);
    return out + len;
}

#define PUT(out, literal) put((out), (literal), sizeof(literal) - 1)

static char *put_hash(char *out, uint64_t hash)
{
    static const char digits[] = "0123456789abcdef";
    for (int shift = 60; shift >= 0; shift -= 4) *out++ = digits[hash >> shift & 15];
    return out;
}

void log_buffer_add(struct log_buffer *b, const struct record *r)
{
    CHECK(b->log != NULL);
    CHECK(b->bytes <= FLUSH_BYTES);
    char *out = b->lines + b->bytes;
    if (r->id.len) {
        out = PUT(out, "{\"id\":\"");
        out += json_text_write(out, r->id);
        out = PUT(out, "\",\"path\":\"");
    } else {
        out = PUT(out, "{\"id\":null,\"path\":\"");
    }
    out += json_text_write(out, r->path);
    out = PUT(out, "\",\"attempt\":");
    out += stamp_u64(out, r->attempt);
    out = PUT(out, ",\"status\":");
    out += stamp_u64(out, r->status);
    out = PUT(out, ",\"time\":\"");
    stamp_utc(&b->stamp, out, clock_wall_ns());
    out += STAMP_UTC_BYTES;
    out = PUT(out, "\",\"body_bytes\":");
    out += stamp_u64(out, r->body_bytes);
    out = PUT(out, ",\"body_hash\":\"");
    out = put_hash(out, r->body_hash);
    *out++ = '"';
    if (r->sender_attempt) {
        out = PUT(out, ",\"sender_attempt\":");
        out += stamp_u64(out, r->sender_attempt);
    }
    out = PUT(out, "}\n");
    b->bytes = (size_t)(out - b->lines);
    b->lines_count++;
    CHECK(b->bytes <= BUFFER_BYTES);
    if (b->bytes > FLUSH_BYTES) log_buffer_flush(b);
}
