/* tests/sim/sim_send.c - goal: no seed makes the engine lose a record, tell an ending twice or a
 * wrong one, send when it must not, break a limit, hang, or leave anything behind.
 *
 * Method: the engine that ships, on the backend of io_sim.c. A seed draws receivers, an input, a
 * configuration, faults, and perhaps an operator who stops the run (scene.c); the shards are turned
 * by hand in an order that the dice choose; the referee judges. Across seeds, every row of
 * ERR_TABLE and every PROBE must have been reached, or the simulator does not test what it claims.
 *
 *   sim_send                                   seeds from 1, for 2 seconds
 *   sim_send [--from SEED] [--seeds N] [--seconds S]
 *   sim_send --list FILE                       the seeds that a file names (tests/seeds.txt)
 *   sim_send SEED [--trace]                    one seed twice: the trace hash must be the same
 *
 * A failing seed is run once more with its trace; the last lines of it are printed.
 */
#include "core/engine/shard.h"
#include "tests/sim/io_sim.h"
#include "tests/sim/referee.h"
#include "tests/sim/server_sim.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    ROUNDS_MAX = 400000,
    SEED_SECONDS_MAX = 30, /* of real time: a seed that takes longer hangs */
    COVERAGE_SEEDS = 2000, /* with fewer, unreached rows are only printed */
};

/* A long run may have a round for each so much of virtual time besides. */
#define ROUND_NS UINT64_C(20000000)

static struct {
    uint64_t seed;
    bool once; /* one seed: not run again when it fails */
    uint64_t seeds, records, rounds, virtual_ns, completions;
} sim;

/* ---- one seed ------------------------------------------------------------------------------ */

static void stats_check(const struct run *run, const struct scene *s, struct run_stats *stats)
{
    run_stats(run, stats);
    uint64_t ended = 0;
    for (int o = 0; o < OUTCOME_COUNT; o++) ended += stats->outcomes[o];
    RULE(stats->accepted == ended + stats->pending,
         "accepted %" PRIu64 " is not outcomes %" PRIu64 " + pending %" PRIu64, stats->accepted,
         ended, stats->pending);
    RULE(stats->accepted <= s->valid, "%" PRIu64 " accepted of %u", stats->accepted, s->valid);
    RULE(stats->in_flight <= (uint64_t)s->config.shards * s->config.connections,
         "%" PRIu64 " attempts in flight", stats->in_flight);
    uint32_t sockets = 0, sending = 0; /* a connect may be one of several for an attempt */
    net_count(s->world->net, &sockets, &sending);
    RULE(stats->connections_open == sockets, "%" PRIu64 " connections open of %u",
         stats->connections_open, sockets);
    RULE(stats->in_flight >= sending, "%" PRIu64 " attempts in flight, %u are being sent",
         stats->in_flight, sending);
    RULE(stats->memory_used_bytes <= s->config.memory_bytes, "%" PRIu64 " bytes of memory in use",
         stats->memory_used_bytes);
}

static void operator_acts(struct scene *s, struct run *run, struct run_end *v)
{
    uint64_t now_ns = s->world->now_ns;
    if (now_ns >= s->drain_at_ns && !v->stopped) {
        PROBE("the operator asked for an end");
        v->stopped = true;
        run_stop(run, RUN_STOP_DRAIN);
    }
    if (now_ns >= s->now_at_ns && !v->cut) {
        PROBE("the operator asked for an end at once");
        v->stopped = v->cut = true;
        run_stop(run, RUN_STOP_NOW);
        run_stop(run, RUN_STOP_DRAIN); /* a weaker wish changes nothing */
    }
}

/* What must hold soon after the operator has spoken. */
static void stop_check(const struct scene *s, const struct run_end *v)
{
    const struct world *w = s->world;
    RULE(v->stats.attempts == v->attempts_at_stop, "an attempt began after the operator's stop");
    uint64_t soon_ns = s->now_at_ns + UINT64_C(1500000000) + w->stalled_ns;
    if (v->cut && w->now_ns > soon_ns)
        RULE(v->stats.in_flight == 0, "attempts go on after a stop at once");
}

/* Turns the shards that are awake, or all, in an order of the dice; returns how many go on. */
static uint32_t round_of_turns(struct scene *s, struct run *run, bool *alive, bool all)
{
    uint32_t count = run_shards(run), first = world_below(s->world, count), left = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = (first + i) % count;
        if (!alive[k]) continue;
        struct shard *shard = run_shard(run, k);
        bool wakes = io_sim_wakes(shard_io(shard), shard_sleeps_until(shard));
        if (wakes || all) alive[k] = shard_turn(shard);
        if (alive[k]) left++;
        else shard_end(shard);
    }
    return left;
}

static void drive(struct scene *s, struct run *run, struct run_end *v)
{
    struct world *w = s->world;
    bool alive[WORLD_IOS_MAX] = {0};
    uint32_t left = run_shards(run);
    CHECK(left <= WORLD_IOS_MAX);
    for (uint32_t i = 0; i < run_shards(run); i++) {
        alive[i] = shard_begin(run_shard(run, i)) == 0;
        if (alive[i]) continue;
        RULE(w->io_open_error != 0, "shard %u did not begin", i);
        shard_end(run_shard(run, i));
        left--;
    }
    uint64_t start_ns = v->start_ns = w->now_ns;
    for (uint32_t rounds = 0; left > 0; rounds++) {
        RULE(rounds < ROUNDS_MAX + (w->now_ns - start_ns) / ROUND_NS, "the run goes on and on");
        RULE(w->now_ns - start_ns < s->virtual_ns_max, "the run goes on after %.1f hours",
             (double)s->virtual_ns_max / 3.6e12);
        bool stopped = v->stopped;
        operator_acts(s, run, v);
        left = round_of_turns(s, run, alive, v->stopped != stopped); /* they hear of it at once */
        if (v->stopped) {
            stats_check(run, s, &v->stats);
            if (!stopped) v->attempts_at_stop = v->stats.attempts;
            stop_check(s, v);
        }
        if (rounds % 16 == 0) {
            stats_check(run, s, &v->stats);
            for (uint32_t i = 0; i < run_shards(run); i++)
                if (alive[i]) shard_validate(run_shard(run, i));
        }
        if (left > 0) world_advance(w);
        sim.rounds++;
    }
    v->end_ns = w->now_ns;
    sim.virtual_ns += w->now_ns - start_ns;
}

/* A run that could not be opened has sent nothing, and says why. */
static void judge_unopened(const struct scene *s, const struct run_error *why)
{
    RULE(s->open_fails, "run_open() failed: %s", why->text);
    PROBE("a run could not be opened");
    enum exit_status want = s->input->open_error != 0 ? EXIT_INPUT : EXIT_OUTPUT;
    RULE(why->status == want || why->status == EXIT_OUTPUT, "exit status %d: %s", why->status,
         why->text);
    RULE(strlen(why->text) > 10 && strchr(why->text, '\n') == NULL, "no clear line: %s", why->text);
}

static uint64_t run_seed(uint64_t seed, bool print)
{
    struct world *w = world_new(seed);
    world_draw_knobs(w);
    struct scene *s = scene_new(w);
    if (print) {
        scene_print(s);
        world_print_knobs(w);
    }
    referee_watch(s);
    struct run *run = NULL;
    struct run_error why = {0};
    int opened = run_open(&s->config, &run, &why);
    while (opened < 0 && s->tight && why.status == EXIT_RESOURCES) {
        PROBE("a run that has not enough memory is refused");
        s->config.memory_bytes += 16384;
        opened = run_open(&s->config, &run, &why);
    }
    if (opened == 0) {
        struct run_end v = {0};
        drive(s, run, &v);
        run_join(run);
        stats_check(run, s, &v.stats);
        v.failure = run_failure(run);
        static struct hist latency;
        run_latency(run, &latency);
        v.latencies = latency.count;
        referee_judge(s, &v);
        sim.records += v.stats.accepted;
        run_free(run);
    } else {
        judge_unopened(s, &why);
    }
    uint64_t trace = w->trace;
    sim.completions += w->completions;
    sim.seeds++;
    scene_free(s);
    world_free(w);
    return trace;
}

/* ---- many seeds ---------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* After a failed rule, a failed CHECK, a fault or a hang: names the seed and shows it. */
static void failed(int number)
{
    static char text[32];
    char note[160];
    int n = snprintf(note, sizeof note,
                     "\nsim_send: seed %" PRIu64 " failed (signal %d): sim_send "
                     "%" PRIu64 " --trace\n",
                     sim.seed, number, sim.seed);
    fflush(stdout);
    if (n > 0 && write(STDERR_FILENO, note, (size_t)n) < 0) _exit(1);
    if (!sim.once) {
        snprintf(text, sizeof text, "%" PRIu64, sim.seed);
        execl("/proc/self/exe", "sim_send", text, "--tail", (char *)NULL);
    }
    _exit(1);
}

/* A sanitizer that ends the process sends no signal. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));
static void sanitizer_ends(void)
{
    fprintf(stderr, "sim_send: seed %" PRIu64 " failed\n", sim.seed);
}

static void catch_failures(void)
{
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(sanitizer_ends);
    struct sigaction a = {.sa_handler = failed, .sa_flags = (int)SA_RESETHAND};
    static const int numbers[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGALRM};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        int rc = sigaction(numbers[i], &a, NULL);
        CHECK(rc == 0);
    }
}

static uint32_t missing;

static void probe_print(const struct probe *p)
{
    printf("  %8" PRIu64 "  %s%s\n", p->count, p->text, p->count ? "" : "   <- never reached");
    missing += p->count == 0;
}

static void odd_print(void *ctx, const struct odd_site *site)
{
    MAYBE(ctx != NULL);
    printf("  %8u  %s:%u %s\n", site->count, site->file, site->line, site->expr);
}

/* What the seeds reached; false when there is a row that they never did. */
static bool coverage(void)
{
    missing = 0;
    printf("endings:\n");
    for (int e = 0; e < ERR_COUNT; e++) {
        printf("  %8" PRIu64 "  %s%s\n", referee_endings[e], err_label((enum err)e),
               referee_endings[e] ? "" : "   <- never reached");
        bool by_tls = e >= ERR_TLS_CERTIFICATE && e <= ERR_TRUNCATED; /* not simulated yet */
        missing += referee_endings[e] == 0 && !by_tls;
    }
    printf("answers:\n");
    for (int k = 0; k < ANSWER_COUNT; k++) {
        printf("  %8" PRIu64 "  %s%s\n", answer_counts[k], answer_names[k],
               answer_counts[k] ? "" : "   <- never reached");
        missing += answer_counts[k] == 0;
    }
    printf("marks:\n");
    probe_each(probe_print);
    printf("odd:\n");
    odd_each(odd_print, NULL);
    return missing == 0 || sim.seeds < COVERAGE_SEEDS;
}

static int run_many(uint64_t from, uint64_t seeds, double limit_s)
{
    double start_s = seconds(), now_s = start_s;
    for (sim.seed = from; sim.seed - from < seeds; sim.seed++) {
        if (sim.seed % 64 == 0) {
            now_s = seconds();
            if (now_s - start_s >= limit_s) break;
            alarm(SEED_SECONDS_MAX);
        }
        (void)run_seed(sim.seed, false);
    }
    alarm(0);
    now_s = seconds() - start_s;
    bool covered = coverage();
    printf("%" PRIu64 " seeds from %" PRIu64 " in %.2f s: %.0f a second; %.1f records each, %.1f "
           "virtual hours, %" PRIu64 " completions\n",
           sim.seeds, from, now_s, (double)sim.seeds / now_s,
           (double)sim.records / (double)(sim.seeds ? sim.seeds : 1),
           (double)sim.virtual_ns / 3.6e12, sim.completions);
    if (!covered) printf("FAILED: %u rows or marks were never reached\n", missing);
    return covered ? 0 : 1;
}

static int run_one(uint64_t seed, bool trace)
{
    sim.seed = seed;
    sim.once = true;
    alarm(SEED_SECONDS_MAX);
    world_trace_on = trace;
    uint64_t a = run_seed(seed, true);
    world_trace_on = false;
    uint64_t b = run_seed(seed, false);
    RULE(a == b, "the same seed was two runs: %016" PRIx64 " %016" PRIx64, a, b);
    printf("seed=%" PRIu64 " trace=%016" PRIx64 "\n", seed, a);
    return 0;
}

/* Runs the seed again, traced, in a child; prints the end of what it says. */
static int run_tail(const char *seed)
{
    char command[160];
    snprintf(command, sizeof command, "'/proc/%d/exe' %" PRIu64 " --trace 2>&1 | tail -n 120",
             (int)getpid(), (uint64_t)strtoull(seed, NULL, 0));
    fflush(stdout);
    (void)!system(command);
    return 1;
}

/* Every seed that a file names: the first word of each line that is no comment. */
static int run_list(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[512];
    uint32_t count = 0;
    if (f == NULL) {
        perror(path);
        return 2;
    }
    while (fgets(line, sizeof line, f) != NULL) {
        char *end;
        uint64_t seed = strtoull(line, &end, 10);
        if (line[0] == '#' || end == line) continue;
        sim.seed = seed;
        alarm(SEED_SECONDS_MAX);
        uint64_t a = run_seed(seed, false), b = run_seed(seed, false);
        RULE(a == b, "the same seed was two runs: %016" PRIx64 " %016" PRIx64, a, b);
        count++;
    }
    (void)fclose(f);
    printf("%u seeds of %s, each twice\n", count, path);
    return count > 0 ? 0 : 1;
}

static int usage(void)
{
    fprintf(stderr, "usage: sim_send [--from SEED] [--seeds N] [--seconds S] | --list FILE | "
                    "SEED [--trace]\n");
    return 2;
}

int main(int argc, char **argv)
{
    uint64_t from = 1, seeds = UINT64_MAX;
    double limit_s = 2;
    const char *one = NULL, *list = NULL;
    bool trace = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--trace") == 0) {
            trace = true;
        } else if (strcmp(argv[i], "--tail") == 0 && one != NULL) {
            return run_tail(one);
        } else if (argv[i][0] != '-' && one == NULL) {
            one = argv[i];
        } else if (value != NULL && strcmp(argv[i], "--from") == 0) {
            from = strtoull(argv[++i], NULL, 0);
        } else if (value != NULL && strcmp(argv[i], "--list") == 0) {
            list = argv[++i];
        } else if (value != NULL && strcmp(argv[i], "--seeds") == 0) {
            seeds = strtoull(argv[++i], NULL, 0);
            limit_s = 1e9;
        } else if (value != NULL && strcmp(argv[i], "--seconds") == 0) {
            limit_s = strtod(argv[++i], NULL);
        } else {
            return usage();
        }
    }
    catch_failures();
    if (list != NULL) return run_list(list);
    return one != NULL ? run_one(strtoull(one, NULL, 0), trace) : run_many(from, seeds, limit_s);
}
