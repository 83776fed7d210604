/* tools/hookline/lines.h - an input read line by line, in bounded memory, by blocking reads.
 *
 * For hookline check, which has nothing to do but read. One thread.
 */
#ifndef TOOLS_HOOKLINE_LINES_H
#define TOOLS_HOOKLINE_LINES_H

#include "core/base/span.h"

#include <stdint.h>

enum lines_step {
    LINES_LINE,  /* a whole line in ->line */
    LINES_PIECE, /* a piece of a line longer than bytes_max; the first is longer than that */
    LINES_END,
    LINES_ERROR, /* errno in ->error */
};

struct lines {
    struct span line;             /* without '\n'; RECORD_PADDING readable bytes follow */
    bool piece_first, piece_last; /* LINES_PIECE */
    uint64_t number;              /* of the line, from 1 */
    uint64_t bytes;               /* read so far */
    int error;
    /* Own. */
    int32_t fd;
    char *mem; /* owns: cap bytes and RECORD_PADDING more */
    size_t cap, at, len;
    size_t bytes_max;
    bool eof, in_long_line;
};

/* -ENOMEM or 0. fd stays the caller's. */
int lines_open(struct lines *l, int32_t fd, size_t bytes_max) __attribute__((warn_unused_result));
void lines_close(struct lines *l);
enum lines_step lines_next(struct lines *l) __attribute__((warn_unused_result));

#endif
