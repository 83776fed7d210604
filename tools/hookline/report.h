/* tools/hookline/report.h - what a results file or a state folder says, counted, and as a page.
 *
 * Both may belong to a run that goes on: they are only read, and a last line that is not whole is
 * left out. Main thread.
 */
#ifndef TOOLS_HOOKLINE_REPORT_H
#define TOOLS_HOOKLINE_REPORT_H

#include "core/base/err.h"
#include "core/base/hist.h"
#include "core/base/stamp.h"
#include "core/engine/run.h"
#include "tools/hookline/timeline.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
    REPORT_HOSTS = 1024,
    REPORT_HOSTS_SHOWN = 10,
    REPORT_HOSTS_PAGE = 50,
    REPORT_STATUSES = 600,
    REPORT_PERCENTS = 4,
    REPORT_TIME_BYTES = STAMP_UTC_BYTES + 1,
};

/* Of times, that are told: 50, 90, 99, 99.9. */
extern const double report_percents[REPORT_PERCENTS];

struct report_host {
    char name[280]; /* what the file's JSON string means, in valid UTF-8: anything may be in it */
    uint64_t records, delivered;
};

/* Of a results file. */
struct report_results {
    uint64_t lines, bytes, not_understood;
    uint64_t outcomes[OUTCOME_COUNT], errors[ERR_COUNT], statuses[REPORT_STATUSES];
    uint64_t attempts, retried;  /* retried: records with more than one attempt */
    uint64_t first_ns, last_ns;  /* since 1970: first attempt, last end; 0: none */
    struct hist duration, total; /* ns: last attempts, and from the first attempt to the end */
    struct timeline ended;
    /* Open addressing by name; beyond: hosts_left. After report_rank_hosts() the first hosts_count
     * are in use, most failures first. */
    struct report_host hosts[REPORT_HOSTS];
    uint32_t hosts_count;
    uint64_t hosts_left; /* records of hosts that had no place */
};

/* Of a state folder. */
struct report_state {
    uint64_t ended[OUTCOME_COUNT], rejected, blank;
    uint64_t done;             /* the sum of ended */
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

/* All that is told. */
struct report {
    const char *what;          /* the path that was given */
    bool of_state, of_results; /* which of the two is filled in; of a state, perhaps both */
    struct report_state state;
    struct report_results results;
};

/* 0, or -errno. */
int report_read_results(const char *path, struct report_results *r)
    __attribute__((warn_unused_result));
/* Puts the hosts in order; nothing can be read into r afterwards. */
void report_rank_hosts(struct report_results *r);
/* 0, -errno, or -EBADMSG: it has no journal that can be read. */
int report_read_state(const char *folder, struct report_state *s)
    __attribute__((warn_unused_result));

/* RFC 3339, terminated; returns out. */
char *report_utc(uint64_t since_1970_ns, char out[REPORT_TIME_BYTES]);
/* Writes one page of HTML that needs nothing else; ends r->results.ended. Errors are out's. */
void report_html(FILE *out, struct report *r);

#endif
