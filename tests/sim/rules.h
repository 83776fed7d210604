/* tests/sim/rules.h - the fixed scenarios: each plays one rule of scheduling, and demands it.
 *
 * A scenario takes a seed, for latencies, jitter and the number of shards, and ends as sim_fail()
 * does when the rule is broken.
 */
#ifndef TESTS_SIM_RULES_H
#define TESTS_SIM_RULES_H

#include "tests/sim/play.h"

struct rule {
    const char *name;
    void (*play)(uint64_t seed);
};

/* Ended by a name of NULL. */
extern const struct rule rules_retry[], rules_pace[], rules_health[], rules_names[],
    rules_state[], rules_output[];

/* How late a thing that is due may begin: turns, a read of the input, a connect. */
#define SOON 0.1

/* RULE: low <= x <= high. */
#define WITHIN(x, low, high, ...) \
    do { \
        double x_ = (x), low_ = (low), high_ = (high); \
        if (!(x_ >= low_ && x_ <= high_)) within_fail(x_, low_, high_, __VA_ARGS__); \
    } while (0)
/* Says what was not within, and ends the scenario. */
_Noreturn void within_fail(double x, double low, double high, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Answers. */
void answer_status(struct truth_reply *r, uint16_t status);
void answer_field(struct truth_reply *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
play_answer_fn answer_500;

/* Health and the retry budget never step in. */
void play_no_health(struct play *p);

#endif
