/* tools/hookline/send.c - hookline send: one run from start to summary.
 *
 * The engine's shards have their own threads. This one takes the signals (blocked everywhere, and
 * received here between two looks at the run), draws the progress, and speaks to the person. A
 * run of a few records should not wait for it: the first looks come fast.
 */
#include "core/base/check.h"
#include "core/engine/run.h"
#include "tls/build.h"
#include "tools/hookline/commands.h"
#include "tools/hookline/progress.h"
#include "tools/hookline/settings.h"
#include "tools/hookline/summary.h"
#include "tools/hookline/values.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const uint64_t look_first_ns = 2 * UINT64_C(1000000);
static const uint64_t look_later_ns = 50 * UINT64_C(1000000);
static const uint64_t first_ns = 1000 * UINT64_C(1000000); /* how long the looks come fast */

/* What SIGPIPE would say an output's writer learns from EPIPE. A hang-up stops the run as SIGTERM
 * does, unless the caller (nohup) has it ignored. */
static void take_signals(sigset_t *taken)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, old;
    sigaction(SIGPIPE, &ignore, NULL);
    sigemptyset(taken);
    sigaddset(taken, SIGINT);
    sigaddset(taken, SIGTERM);
    if (sigaction(SIGHUP, NULL, &old) == 0 && old.sa_handler != SIG_IGN) sigaddset(taken, SIGHUP);
    int blocked = pthread_sigmask(SIG_BLOCK, taken, NULL);
    CHECK(blocked == 0);
}

/* An output that is the input would empty it before it is read. */
static int check_not_input(const struct config *c)
{
    const char *const outputs[] = {c->results_path, c->dead_letters_path, c->events_path,
                                   c->rejects_path};
    struct stat in, out;
    int failed =
        strcmp(c->input_path, "-") == 0 ? fstat(STDIN_FILENO, &in) : stat(c->input_path, &in);
    if (failed != 0 || !S_ISREG(in.st_mode)) return 0; /* the run says what is wrong, if it is */
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0]; i++) {
        if (outputs[i] == NULL || strcmp(outputs[i], "-") == 0) continue;
        if (stat(outputs[i], &out) != 0) continue;
        if (out.st_dev != in.st_dev || out.st_ino != in.st_ino) continue;
        fprintf(stderr, "hookline send: \"%s\" is the input: writing there would destroy it\n",
                outputs[i]);
        return -1;
    }
    return 0;
}

static void on_signal(struct run *run, struct progress *p, int number, int *first)
{
    struct run_stats stats;
    char text[VALUES_TEXT_BYTES];
    run_stats(run, &stats);
    progress_clear(p);
    if (isatty(STDERR_FILENO) == 1) fputc('\r', stderr); /* over the terminal's ^C */
    value_grouped_text(stats.in_flight, text);
    if (*first == 0) {
        *first = number;
        fprintf(stderr,
                "hookline: stopping: nothing more is taken in, %s attempts in flight may finish; "
                "a second signal stops now\n",
                text);
        run_stop(run, RUN_STOP_DRAIN);
    } else {
        fprintf(stderr, "hookline: stopping now: %s attempts in flight are cut off\n", text);
        run_stop(run, RUN_STOP_NOW);
    }
}

/* What the user wanted to end the run by itself; NULL: nothing yet. */
static const char *time_is_up(struct run *run, const struct settings *s, uint64_t running_ns)
{
    struct run_stats stats;
    const char *why = NULL;
    if (s->run_time_ns > 0 && running_ns >= s->run_time_ns) why = "--run-time";
    if (why == NULL && s->config.max_wait_ns > 0) {
        run_stats(run, &stats);
        bool waits = stats.quiet_ns != UINT64_MAX && stats.quiet_ns > s->config.max_wait_ns;
        if (waits) why = "--max-wait";
    }
    if (why != NULL) run_stop(run, RUN_STOP_DRAIN);
    return why;
}

/* Until every shard has left its loop. Returns the first signal, or 0. */
static int watch(struct run *run, const struct settings *s, struct progress *p,
                 const sigset_t *taken, const char **stopped_by)
{
    int first_signal = 0;
    while (!run_ended(run)) {
        uint64_t now_ns = progress_now_ns();
        uint64_t wait_ns = now_ns - p->start_ns < first_ns ? look_first_ns : look_later_ns;
        struct timespec wait = {.tv_nsec = (long)wait_ns};
        int number = sigtimedwait(taken, NULL, &wait);
        if (number > 0) {
            on_signal(run, p, number, &first_signal);
            continue;
        }
        now_ns = progress_now_ns();
        if (*stopped_by == NULL && first_signal == 0)
            *stopped_by = time_is_up(run, s, now_ns - p->start_ns);
        if (p->mode == PROGRESS_NONE || now_ns < p->next_ns) continue;
        struct run_stats stats;
        run_stats(run, &stats);
        progress_update(p, &stats, now_ns);
    }
    progress_clear(p);
    return first_signal;
}

/* After the run has ended: says what happened. Returns the exit status. */
static int report(struct run *run, struct summary *s)
{
    char text[640];
    run_join(run);
    run_stats(run, &s->stats);
    run_latency(run, &s->latency);
    s->failure = run_failure(run);
    s->held_count = run_held_hosts(run, s->held, SUMMARY_HELD_MAX);
    /* A run that could not begin has one thing to say. */
    bool began = s->stats.accepted + s->stats.rejected > 0;
    if (began || s->failure == NULL) summary_print(s, stderr);
    int status = summary_status(s, text);
    if (status != 0) fprintf(stderr, "hookline send: %s\n", text);
    return status;
}

/* The run's first line, before a shard can say anything. */
static void introduce(void)
{
    char tls[TLS_BUILD_TEXT_BYTES];
    fprintf(stderr, "hookline %s, TLS by %s\n", HOOKLINE_VERSION, tls_build_text(tls));
}

/* What earlier lives of the run left. */
static void resumed(const struct run *run, const struct config *c)
{
    struct run_stats n;
    char a[VALUES_TEXT_BYTES], b[VALUES_TEXT_BYTES], d[VALUES_TEXT_BYTES];
    run_stats(run, &n);
    if (!n.resumed) return;
    fprintf(stderr, "hookline: resumed from %s: %s records are done, %s were tried and wait",
            c->state_path, value_grouped_text(n.before_ended, a),
            value_grouped_text(n.before_waiting, b));
    if (n.before_maybe > 0)
        fprintf(stderr,
                "; %s may have been delivered without our knowing: %s/maybe-delivered.ndjson",
                value_grouped_text(n.before_maybe, d), c->state_path);
    fputc('\n', stderr);
}

static int refused(const struct run_error *why)
{
    fprintf(stderr, "hookline send: %s\n", why->text);
    return (int)why->status;
}

int command_send(const struct settings *settings)
{
    CHECK(settings != NULL);
    const struct config *c = &settings->config;
    struct run_error why;
    struct run *run;
    struct progress progress;
    sigset_t taken;
    if (check_not_input(c) != 0) return EXIT_USAGE;
    if (strcmp(c->input_path, "-") == 0 && isatty(STDIN_FILENO) == 1)
        fputs("hookline: reading records from the terminal, one JSON object on each line; "
              "end with Ctrl-D\n",
              stderr);
    trust_warn(&c->tls);
    if (run_prepare(c, &why) != 0) return refused(&why);
    take_signals(&taken);
    uint64_t start_ns = progress_now_ns();
    if (run_open(c, &run, &why) != 0) return refused(&why);
    progress_init(&progress, settings->progress, start_ns);
    introduce();
    resumed(run, c);
    if (run_start(run, &why) != 0) {
        fprintf(stderr, "hookline send: %s\n", why.text);
        run_free(run);
        return (int)why.status;
    }
    static struct summary summary; /* its histogram is too large for the stack's taste */
    summary.config = c;
    summary.stopped_by = NULL;
    summary.signal = watch(run, settings, &progress, &taken, &summary.stopped_by);
    summary.elapsed_ns = progress_now_ns() - start_ns;
    int status = report(run, &summary);
    run_free(run);
    return status;
}
