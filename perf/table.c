/* perf/table.c - `perf-table`: operations a second on the table of hosts that all shards share.
 *
 * Three loads, each with the given number of threads for -d milliseconds:
 *
 *   hot_each   one host, and for every delivery all that may be asked of it: gate, permit, pace,
 *              report, permit back
 *   hot        the same host as a shard uses it: a look at its health for every delivery, permits
 *              kept, the pace in leases of 16, one report for a turn of 32 deliveries
 *   find       a million hosts, found in random order, with a reference taken and let go
 *
 * Prints one JSON object. Nothing is sent; time goes on by itself, a microsecond a delivery.
 */
#include "core/base/atomic.h"
#include "core/base/check.h"
#include "core/base/prng.h"
#include "sched/host.h"
#include "sched/pace.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS_MAX = 64, HOSTS = 1000000, TURN = 32, LEASE = 16, BATCH = 1024, CONNS_MAX = 256 };

enum load { LOAD_HOT_EACH, LOAD_HOT, LOAD_FIND, LOAD_COUNT };
static const char *const load_name[LOAD_COUNT] = {"hot_each", "hot", "find"};

static struct {
    struct host_rules rules;
    struct host_windows *windows;
    struct shared_table *hosts, *paces;
    struct host *host;
    struct pace *pace;
    enum load load;
    bool stop; /* written by main() with store_rel(), read by the workers with load_acq() */
} bench;

struct worker {
    pthread_t thread;
    uint32_t index;
    uint64_t done;   /* written by its thread, read when that has ended */
    uint64_t now_ns; /* its clock */
    struct prng prng;
    uint32_t permits;
} __attribute__((aligned(64)));

static struct worker workers[THREADS_MAX];

static _Noreturn void die(const char *why)
{
    fprintf(stderr, "perf-table: %s\n", why);
    exit(2);
}

static void report(struct worker *w, uint32_t attempts)
{
    struct host_event event;
    host_report(bench.host, bench.windows, &bench.rules, w->now_ns, attempts, 0, 0, &event);
    host_succeeded(bench.host, CONNS_MAX, attempts, false);
}

static void hot_each(struct worker *w)
{
    struct host_holder who = {.shard = w->index, .held = w->permits, .max = CONNS_MAX};
    uint64_t again_ns;
    uint8_t round;
    w->now_ns += 1000;
    CHECK(host_gate(bench.host, &bench.rules, w->now_ns, &again_ns, &round) == HOST_OPEN);
    w->permits = host_permits_take(bench.host, &who, 1, w->now_ns);
    CHECK(pace_take(bench.pace, w->now_ns, 1, &again_ns) == 1);
    report(w, 1);
    if (w->permits > 0) host_permits_give(bench.host, w->permits);
    w->permits = 0;
}

static void hot(struct worker *w)
{
    uint64_t again_ns;
    for (uint32_t i = 0; i < TURN; i++) {
        w->now_ns += 1000;
        CHECK(host_look(bench.host, &bench.rules, w->now_ns, &again_ns) == HOST_OPEN);
        if (i % LEASE == 0) CHECK(pace_take(bench.pace, w->now_ns, LEASE, &again_ns) == LEASE);
    }
    report(w, TURN);
}

static void find(struct worker *w)
{
    uint64_t hash = (1 + prng_below(&w->prng, HOSTS)) * UINT64_C(0x9e3779b97f4a7c15);
    void *entry = shared_table_ref(bench.hosts, hash, w->now_ns);
    if (entry == NULL) return; /* another thread holds it at this moment */
    shared_table_unref(bench.hosts, entry, w->now_ns);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    while (!load_acq(&bench.stop)) {
        for (uint32_t i = 0; i < BATCH; i++) {
            if (bench.load == LOAD_HOT_EACH) hot_each(w);
            else if (bench.load == LOAD_HOT) hot(w);
            else find(w);
        }
        w->done += bench.load == LOAD_HOT ? (uint64_t)BATCH * TURN : BATCH;
    }
    return NULL;
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Operations a second of all threads together. */
static double measure(enum load load, uint32_t threads, int ms)
{
    bench.load = load;
    bench.stop = false;
    double began = seconds_now();
    for (uint32_t i = 0; i < threads; i++) {
        struct worker *w = &workers[i];
        *w = (struct worker){.index = i, .now_ns = UINT64_C(3600000000000)};
        prng_seed(&w->prng, i);
        if (pthread_create(&w->thread, NULL, work, w) != 0) die("cannot start a thread");
    }
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
    store_rel(&bench.stop, true);
    double done = 0;
    for (uint32_t i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        done += (double)workers[i].done;
    }
    return done / (seconds_now() - began);
}

static void set_up(void)
{
    host_rules_defaults(&bench.rules);
    bench.windows = host_windows_new(HOSTS, &bench.rules);
    if (bench.windows == NULL) die("no address space");
    const struct shared_table_ops hosts = {host_init, host_evictable, host_forget, bench.windows};
    const struct shared_table_ops paces = {.init = pace_init, .evictable = pace_evictable};
    bench.hosts = shared_table_new(HOSTS + 1, &hosts);
    bench.paces = shared_table_new(1, &paces);
    if (bench.hosts == NULL || bench.paces == NULL) die("no address space");
    for (uint64_t i = 1; i <= HOSTS; i++) {
        void *entry = shared_table_ref(bench.hosts, i * UINT64_C(0x9e3779b97f4a7c15), 1);
        if (entry == NULL) die("the table is full");
        shared_table_unref(bench.hosts, entry, 1);
    }
    bench.host = shared_table_ref(bench.hosts, UINT64_C(0x1234567), 1);
    bench.pace = shared_table_ref(bench.paces, 1, 1);
    if (bench.host == NULL || bench.pace == NULL) die("the table is full");
}

int main(int argc, char **argv)
{
    int ms = 1000;
    uint32_t threads_max = 2;
    if (argc == 3 && strcmp(argv[1], "-d") == 0) ms = (int)strtol(argv[2], NULL, 10);
    else if (argc != 1) die("usage: perf-table [-d MILLISECONDS]");
    if (ms < 1 || ms > 60000) die("-d: 1 to 60000");
    set_up();
    printf("{");
    for (enum load load = 0; load < LOAD_COUNT; load++) {
        printf("%s\"%s\": {", load > 0 ? ", " : "", load_name[load]);
        for (uint32_t threads = 1; threads <= threads_max; threads++)
            printf("%s\"%" PRIu32 "\": %.0f", threads > 1 ? ", " : "", threads,
                   measure(load, threads, ms));
        printf("}");
    }
    printf("}\n");
    return 0;
}
