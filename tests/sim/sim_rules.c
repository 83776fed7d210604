/* tests/sim/sim_rules.c - goal: every rule of scheduling holds, each shown by name in a scenario
 * that is made for it and lasts for virtual minutes to hours.
 *
 * Method: the engine that ships on the simulated kernel, as in sim_send, but nothing is left to the
 * dice except latencies, jitter and the number of shards: what a rule says can be demanded to the
 * millisecond, from the receivers' own log. Each scenario runs in a process of its own, so that one
 * broken rule does not hide another.
 *
 *   sim_rules [--seeds N] [NAME...]      all scenarios, or those whose names begin so
 *   sim_rules --seed SEED NAME [--trace] one, in this process
 */
#include "tests/sim/rules.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SEEDS = 4, SECONDS_MAX = 60 }; /* of real time, for one scenario */

static const struct rule *const books[] = {rules_retry, rules_pace, rules_health, rules_names,
                                           rules_state, rules_output};

/* ---- for the scenarios --------------------------------------------------------------------- */

void within_fail(double x, double low, double high, const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sim_fail("%s: %.4f, not %.4f to %.4f", text, x, low, high);
}

void answer_status(struct truth_reply *r, uint16_t status)
{
    r->status = status;
    bool retried = status == 408 || status == 429 || status >= 500;
    r->kind = status < 300   ? ANSWER_OK_LENGTH
              : status < 400 ? ANSWER_REDIRECT
              : retried      ? ANSWER_RETRY
                             : ANSWER_REFUSE;
}

void answer_field(struct truth_reply *r, const char *format, ...)
{
    size_t used = strlen(r->fields), room = sizeof r->fields - used;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(r->fields + used, room, format, args);
    va_end(args);
    CHECK(n >= 0 && (size_t)n + 3 < room);
    memcpy(r->fields + used + n, "\r\n", 3);
}

void answer_500(struct play *p, const struct truth_send *e, struct truth_reply *r)
{
    MAYBE(p != NULL && e != NULL);
    answer_status(r, 500);
}

void play_no_health(struct play *p)
{
    p->config.health.min_failures = 1000000;
    p->config.health.absolute = 0;
    p->config.health.budget_per_s = 1000000;
}

/* ---- running them -------------------------------------------------------------------------- */

static uint32_t failures, runs;

static void run_apart(const struct rule *r, uint64_t seed)
{
    fflush(stdout);
    runs++;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(SECONDS_MAX);
        r->play(seed);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
    failures++;
    printf("FAILED: %s, seed %" PRIu64 "%s; again: sim_rules --seed %" PRIu64 " %s\n", r->name,
           seed, WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? " (hangs)" : "", seed,
           r->name);
}

static bool chosen(const struct rule *r, char **names, int count)
{
    for (int i = 0; i < count; i++)
        if (strncmp(r->name, names[i], strlen(names[i])) == 0) return true;
    return count == 0;
}

static const struct rule *find(const char *name)
{
    for (size_t b = 0; b < sizeof books / sizeof *books; b++)
        for (const struct rule *r = books[b]; r->name != NULL; r++)
            if (strcmp(r->name, name) == 0) return r;
    return NULL;
}

static int run_one(const char *name, uint64_t seed, bool trace)
{
    const struct rule *r = find(name);
    if (r == NULL) {
        fprintf(stderr, "sim_rules: no such scenario: %s\n", name);
        return 2;
    }
    world_trace_on = trace;
    r->play(seed);
    printf("%s, seed %" PRIu64 ": kept\n", name, seed);
    return 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: sim_rules [--seeds N] [NAME...] | --seed SEED NAME [--trace]\n");
    return 2;
}

int main(int argc, char **argv)
{
    uint64_t seeds = SEEDS, one = 0;
    bool trace = false;
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (value == NULL) return usage();
        if (strcmp(argv[i], "--seeds") == 0) seeds = strtoull(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--seed") == 0) one = strtoull(argv[++i], NULL, 0);
        else return usage();
    }
    if (argc > i + 1 && strcmp(argv[argc - 1], "--trace") == 0) {
        trace = true;
        argc--;
    }
    if (one > 0) return i < argc ? run_one(argv[i], one, trace) : usage();
    for (size_t b = 0; b < sizeof books / sizeof *books; b++)
        for (const struct rule *r = books[b]; r->name != NULL; r++)
            for (uint64_t seed = 1; seed <= seeds && chosen(r, argv + i, argc - i); seed++)
                run_apart(r, seed);
    printf("%u scenarios played, %u broke their rule\n", runs, failures);
    return failures > 0 || runs == 0 ? 1 : 0;
}
