/* tools/sinker/limit_log.h - what limits let pass and what they refused: the --limit-log file and
 * the lines of the summary.
 *
 *   {"listener":"127.0.0.1:9000","limit":"2000-per-10s/retry-after","key":"k1","window":3,
 *    "start":"2026-03-01T12:00:30.000123Z","over":true,"allowed":2000,"refused":4}
 *
 * on one line, for each window of a limit that had a request; written within a second after a
 * later request or the end closes it. key is null when requests named none; over is false for a
 * window that the receiver's own end has cut short. One thread.
 */
#ifndef TOOLS_SINKER_LIMIT_LOG_H
#define TOOLS_SINKER_LIMIT_LOG_H

#include "tools/sinker/listen.h"
#include "tools/sinker/quota.h"

#include <stdio.h>

struct limit_log {
    struct quotas *quotas;           /* lent */
    const struct listen_spec *specs; /* lent, with their real ports */
    uint32_t specs_count;
    FILE *file;       /* owned; NULL: no log */
    uint64_t wall_ns; /* what the wall clock said when the monotonic one said mono_ns */
    uint64_t mono_ns;
    uint32_t told; /* lines of the summary */
};

/* Empties the file; path may be NULL. False: errno says why. */
MUST_USE bool limit_log_open(struct limit_log *log, const char *path);
/* Writes what is over; is_end: the present windows as well. */
void limit_log_write(struct limit_log *log, bool is_end);
/* One line on stderr for each limit, not more than a screen of them. */
void limit_log_sum_up(struct limit_log *log);
/* False: not everything could be written. */
bool limit_log_close(struct limit_log *log);

#endif
