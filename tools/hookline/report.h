/* tools/hookline/report.h - what a results file or a state folder says, counted.
 *
 * Both may belong to a run that goes on: they are only read, and a last line that is not whole is
 * left out. Main thread.
 */
#ifndef TOOLS_HOOKLINE_REPORT_H
#define TOOLS_HOOKLINE_REPORT_H

#include "core/base/err.h"
#include "core/base/hist.h"
#include "core/engine/run.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { REPORT_HOSTS = 1024, REPORT_HOSTS_SHOWN = 10, REPORT_STATUSES = 600 };

struct report_host {
    char name[280];
    uint64_t records, delivered;
};

/* Of a results file. */
struct report_results {
    uint64_t lines, bytes, not_understood;
    uint64_t outcomes[OUTCOME_COUNT], errors[ERR_COUNT], statuses[REPORT_STATUSES];
    uint64_t attempts, retried;  /* retried: records with more than one attempt */
    char first[32], last[32];    /* RFC 3339: first attempt, last end; "": none */
    struct hist duration, total; /* ns: last attempts, and from the first attempt to the end */
    struct report_host hosts[REPORT_HOSTS]; /* open addressing by name; beyond: hosts_left */
    uint32_t hosts_count;
    uint64_t hosts_left; /* records of hosts that had no place */
};

/* Of a state folder. */
struct report_state {
    uint64_t ended[OUTCOME_COUNT], rejected, blank;
    uint64_t waiting, due;     /* records that were tried and wait; of them, whose time has come */
    uint64_t under_way, maybe; /* attempts under way; ends that nobody knows, of earlier lives */
    uint64_t next_due_us;      /* wall; 0: none */
    uint64_t held, input_bytes, read_bytes; /* hosts on hold; the input: all, and begun at most */
    uint64_t journal_bytes, epoch, wall_us;
    uint64_t run_id;
    bool over;
    uint64_t status;
    char results[4096]; /* path; "": none */
    char input[4096];
};

/* 0, or -errno. */
int report_read_results(const char *path, struct report_results *r)
    __attribute__((warn_unused_result));
/* 0, -errno, or -EBADMSG: it has no journal that can be read. */
int report_read_state(const char *folder, struct report_state *s)
    __attribute__((warn_unused_result));

#endif
