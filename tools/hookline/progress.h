/* tools/hookline/progress.h - what a person sees of a run while it goes on, on standard error.
 *
 * On a terminal one line, drawn again and again; elsewhere a plain line every few seconds. What is
 * drawn is made by progress_line(), which is pure. Main thread.
 */
#ifndef TOOLS_HOOKLINE_PROGRESS_H
#define TOOLS_HOOKLINE_PROGRESS_H

#include "core/engine/run.h"
#include "tools/hookline/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROGRESS_LINE_BYTES = 1024, PROGRESS_WIDTH_MAX = 160 };

struct progress {
    enum progress_mode mode; /* never PROGRESS_AUTO */
    bool utf8, colour;
    bool drawn;                 /* a bar stands below the cursor's line */
    uint32_t width;             /* columns of the terminal */
    uint64_t start_ns, last_ns; /* monotonic; last_ns: of the last look at the numbers */
    uint64_t next_ns;           /* when to draw again */
    uint64_t last_done;
    double rate; /* outcomes a second, smoothed; below 0: not known yet */
};

/* Decides how from what standard error is, and from TERM, NO_COLOR, LC_ALL, LC_CTYPE and LANG. */
void progress_init(struct progress *p, enum progress_mode wanted, uint64_t now_ns);
/* Draws when it is time to. */
void progress_update(struct progress *p, const struct run_stats *stats, uint64_t now_ns);
/* Takes the bar away, so that other lines can be written. */
void progress_clear(struct progress *p);

/* Writes one line without newline to out, which holds PROGRESS_LINE_BYTES. */
void progress_line(const struct progress *p, const struct run_stats *stats, uint64_t now_ns,
                   char *out);
/* How much of the input is done, 0 to 1; below 0 when its size is not known. */
double progress_fraction(const struct run_stats *stats);

/* Monotonic, for this program's own timing. */
uint64_t progress_now_ns(void);

#endif
