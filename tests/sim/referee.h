/* tests/sim/referee.h - the judge of a run: compares what the engine told with what is true.
 *
 * It shares no code with the engine: it reads results, events, dead letters and rejects from the
 * virtual disk with its own dumb scanner, and knows from the receivers what reached them.
 */
#ifndef TESTS_SIM_REFEREE_H
#define TESTS_SIM_REFEREE_H

#include "tests/sim/scene.h"

struct run_end {
    bool stopped;              /* the operator asked for an end */
    bool cut;                  /* and not to wait for attempts in flight */
    uint64_t start_ns, end_ns; /* until the last shard left its loop */
    struct run_stats stats;
    uint64_t latencies;              /* attempts in the histogram */
    uint64_t attempts_at_stop;       /* begun when every shard had heard of the operator\'s wish */
    const struct run_error *failure; /* NULL: none */
};

/* Before the run: watches the results file, so that nothing is sent after its ending was told. */
void referee_watch(struct scene *s);
/* After the run. */
void referee_judge(struct scene *s, const struct run_end *v);

/* sched_judge.c: when attempts were made, by the receivers' own log. */
void sched_judge(const struct scene *s, const struct run_end *v);

/* Across all seeds: how often each ending was told. */
extern uint64_t referee_endings[ERR_COUNT];

#endif
