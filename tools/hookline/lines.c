/* tools/hookline/lines.c - see lines.h. */
#include "tools/hookline/lines.h"

#include "core/base/check.h"
#include "core/input/record.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { LINES_READ_BYTES = 256 * 1024 };

int lines_open(struct lines *l, int32_t fd, size_t bytes_max)
{
    CHECK(l != NULL);
    CHECK(bytes_max > 0);
    *l = (struct lines){.fd = fd, .bytes_max = bytes_max, .cap = bytes_max + LINES_READ_BYTES};
    l->mem = malloc(l->cap + RECORD_PADDING);
    return l->mem == NULL ? -ENOMEM : 0;
}

void lines_close(struct lines *l)
{
    CHECK(l != NULL);
    free(l->mem);
    l->mem = NULL;
}

/* Makes room and reads once. False on an error. */
static bool fill(struct lines *l)
{
    memmove(l->mem, l->mem + l->at, l->len - l->at);
    l->len -= l->at;
    l->at = 0;
    CHECK(l->len < l->cap);
    ssize_t got;
    do got = read(l->fd, l->mem + l->len, l->cap - l->len);
    while (got < 0 && errno == EINTR);
    if (got < 0) {
        l->error = errno;
        return false;
    }
    l->eof = got == 0;
    l->len += (size_t)got;
    l->bytes += (uint64_t)got;
    return true;
}

static enum lines_step give(struct lines *l, size_t len, bool ends)
{
    bool piece = l->in_long_line || len > l->bytes_max;
    l->line = span_of(l->mem + l->at, len);
    l->piece_first = piece && !l->in_long_line;
    l->piece_last = ends;
    if (!l->in_long_line) l->number++;
    l->in_long_line = piece && !ends;
    l->at += len + (ends && l->at + len < l->len); /* the newline, if there is one */
    return piece ? LINES_PIECE : LINES_LINE;
}

enum lines_step lines_next(struct lines *l)
{
    CHECK(l != NULL);
    CHECK(l->mem != NULL);
    size_t looked = 0; /* bytes after at that hold no newline */
    for (;;) {
        const char *from = l->mem + l->at;
        const char *newline = memchr(from + looked, '\n', l->len - l->at - looked);
        if (newline != NULL) return give(l, (size_t)(newline - from), true);
        looked = l->len - l->at;
        if (looked > l->bytes_max) return give(l, looked, false);
        if (l->eof && (looked > 0 || l->in_long_line)) return give(l, looked, true);
        if (l->eof) return LINES_END;
        if (!fill(l)) return LINES_ERROR;
    }
}
