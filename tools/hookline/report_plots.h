/* tools/hookline/report_plots.h - the plots of the page that hookline report writes. Main thread.
 */
#ifndef TOOLS_HOOKLINE_REPORT_PLOTS_H
#define TOOLS_HOOKLINE_REPORT_PLOTS_H

#include "core/base/hist.h"
#include "core/engine/run.h"
#include "tools/hookline/timeline.h"

#include <stdint.h>
#include <stdio.h>

enum { REPORT_COLUMNS = 240 }; /* what plot_time() has room for */

/* All outcomes beside one another in one bar; `of` is their sum, above 0. */
void plot_outcomes(FILE *out, const uint64_t outcomes[OUTCOME_COUNT], uint64_t of);
/* What ended when. t is closed, with REPORT_COLUMNS, and not empty. */
void plot_time(FILE *out, const struct timeline *t);
/* How long it took, with percentiles; h is not empty. */
void plot_latency(FILE *out, const struct hist *h);

#endif
