/* tools/hookline/summary.h - what a finished run says: a table that adds up, and an exit status.
 *
 * accepted = the sum of outcomes + pending; the table shows both sides. Main thread.
 */
#ifndef TOOLS_HOOKLINE_SUMMARY_H
#define TOOLS_HOOKLINE_SUMMARY_H

#include "core/base/hist.h"
#include "core/engine/config.h"
#include "core/engine/run.h"

#include <stdint.h>
#include <stdio.h>

enum { SUMMARY_HELD_MAX = 10 }; /* hosts on hold that are named */

struct summary {
    const struct config *config;
    struct run_stats stats;          /* after run_join() */
    struct hist latency;             /* attempts, ns */
    const struct run_error *failure; /* lent by the run; NULL: none */
    struct run_held held[SUMMARY_HELD_MAX]; /* those with the most deferred records first */
    uint32_t held_count;                    /* of all that were on hold */
    uint64_t elapsed_ns;
    int signal; /* the first that stopped the run; 0: none */
    const char *stopped_by; /* the option that ended the run; NULL: none */
};

/* accepted - (outcomes + pending); not 0 is a bug of ours, which the table then says. */
int64_t summary_gap(const struct run_stats *stats);

/* Writes the whole account for a person. */
void summary_print(const struct summary *s, FILE *out);

/* The exit status (delivery.md section 8), and in text (empty when it is 0) why, in one line. */
int summary_status(const struct summary *s, char text[640]);

#endif
