/* tests/stress/sched.c - goal: with real threads on it, the shared table never has two entries of a
 * key and never gives a used one away, permits and probes are never given twice, holds are never
 * lost, no rate is exceeded, and no access is a race.
 *
 * Method: four threads for a fraction of a second each, on few keys, so that they meet; each checks
 * what it may rely on, and the sums are checked at the end. Meant for the thread sanitizer
 * (tests/run, stage tsan), which sees what the interleaver cannot: memory orders.
 */
#include "sched/host.h"
#include "sched/pace.h"
#include "sched/shared_table.h"

#include "core/base/atomic.h"
#include "core/base/prng.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define MS_NS     UINT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)
#define START_NS  (5000 * SECOND_NS)

enum { THREADS = 4, ROUNDS = 20000 };

struct worker {
    uint32_t index;
    struct prng dice;
    const char *wrong; /* what it saw; NULL: nothing */
    uint64_t sum;
};

static struct worker workers[THREADS];
static pthread_barrier_t barrier;

#define REQUIRE(x, ...) \
    do { \
        if (!(x)) required(#x, __LINE__, __VA_ARGS__); \
    } while (0)

static _Noreturn __attribute__((format(printf, 3, 4))) void required(const char *what, int line,
                                                                     const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "tests/stress/sched.c:%d: %s: ", line, what);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    exit(1);
}

#define MUST_BE(x) \
    do { \
        if (!(x) && w->wrong == NULL) w->wrong = #x; \
    } while (0)

static void run(void *(*work)(void *))
{
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.index = i};
        prng_seed(&workers[i].dice, i + 1);
        REQUIRE(pthread_create(&threads[i], NULL, work, &workers[i]) == 0, "no thread");
    }
    for (uint32_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (uint32_t i = 0; i < THREADS; i++)
        REQUIRE(workers[i].wrong == NULL, "thread %u: %s", i, workers[i].wrong);
}

/* Time goes on for all of them alike. */
static uint64_t clock_ns = START_NS;

static uint64_t now(struct worker *w) { return add_rlx(&clock_ns, prng_below(&w->dice, 2000)); }

/* ---- the table ----------------------------------------------------------------------------- */

enum { KEYS = 400 }; /* of one group: more than it has slots */

struct thing {
    struct shared_entry entry;
    uint64_t owner; /* atomic: the key it was made for, as its users know it */
    uint64_t users[13];
};
_Static_assert(sizeof(struct thing) == SHARED_ENTRY_BYTES, "an entry");

static struct shared_table *table;

static uint64_t key_of(uint32_t i) { return UINT64_C(0x7777000000000000) + 1 + i; }

static void *table_work(void *arg)
{
    struct worker *w = arg;
    struct thing *held[8] = {NULL};
    uint64_t key[8] = {0};
    pthread_barrier_wait(&barrier);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t i = (uint32_t)prng_below(&w->dice, 8);
        if (held[i] != NULL) {
            MUST_BE(load_acq(&held[i]->entry.hash) == key[i]);
            MUST_BE(load_rlx(&held[i]->owner) == key[i]);
            shared_table_unref(table, held[i], now(w));
            held[i] = NULL;
            continue;
        }
        key[i] = key_of((uint32_t)prng_below(&w->dice, KEYS));
        held[i] = prng_percent(&w->dice, 80) ? shared_table_ref(table, key[i], now(w))
                                             : shared_table_find(table, key[i]);
        if (held[i] == NULL) continue;
        uint64_t owner = load_rlx(&held[i]->owner);
        MUST_BE(owner == 0 || owner == key[i]);
        store_rlx(&held[i]->owner, key[i]);
        (void)add_rlx(&held[i]->users[w->index], 1);
        w->sum++;
    }
    for (int i = 0; i < 8; i++)
        if (held[i] != NULL) shared_table_unref(table, held[i], now(w));
    return NULL;
}

static void table_is_sound(void)
{
    static const struct shared_table_ops ops = {.ctx = NULL};
    table = shared_table_new(1, &ops);
    run(table_work);
    uint64_t found = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        struct thing *t = shared_table_find(table, key_of(i));
        if (t == NULL) continue;
        found++;
        REQUIRE(t->entry.refs == 1, "%u references to key %u", t->entry.refs - 1, i);
        REQUIRE(t->owner == 0 || t->owner == key_of(i), "key %u", i);
    }
    REQUIRE(found == shared_table_count(table), "a key has two entries");
    /* How often one thread is lucky depends on the machine; all together are. */
    uint64_t sum = 0;
    for (uint32_t i = 0; i < THREADS; i++) sum += workers[i].sum;
    REQUIRE(sum > ROUNDS / 8, "hardly anyone found room: %" PRIu64, sum);
    shared_table_free(table);
}

/* ---- one host ------------------------------------------------------------------------------ */

static struct host_rules rules;
static struct host_windows *windows;
static struct host host;
static uint32_t out, probes_out, conns;

static void host_use(struct worker *w, uint32_t *held)
{
    struct host_holder who = {.shard = w->index, .held = *held, .max = 8};
    uint64_t now_ns = now(w);
    uint32_t got = host_permits_take(&host, &who, 1 + (uint32_t)prng_below(&w->dice, 3), now_ns);
    uint32_t before = add_rlx(&out, got);
    MUST_BE(got == 0 || before + got <= 8);
    *held += got;
    if (got > 0) host_succeeded(&host, 8, got, true);
    else if (prng_percent(&w->dice, 5)) host_troubled(&host, now_ns - MS_NS, now_ns);
    who.held = *held;
    uint32_t back = host_permits_excess(&host, &who, now_ns);
    if (prng_percent(&w->dice, 50)) back = *held;
    (void)add_rlx(&out, 0 - back);
    host_permits_give(&host, back);
    *held -= back;
}

static void host_probe(struct worker *w)
{
    struct host_event event;
    uint64_t until_ns, now_ns = now(w);
    uint8_t round;
    switch (host_gate(&host, &rules, now_ns, &until_ns, &round)) {
    case HOST_PROBE:
        (void)add_rlx(&probes_out, 1);
        if (prng_percent(&w->dice, 10)) host_probe_unused(&host, round);
        else host_probe_ended(&host, &rules, round, now_ns, prng_percent(&w->dice, 70), &event);
        break;
    case HOST_OPEN:
        host_report(&host, windows, &rules, now_ns, 3, (uint32_t)prng_below(&w->dice, 4), 1,
                    &event);
        if (event.change == HOST_NOW_HELD) w->sum++;
        break;
    case HOST_HELD: (void)add_rlx(&clock_ns, rules.cooldown_ns / 8); break;
    }
}

static void *host_work(void *arg)
{
    struct worker *w = arg;
    uint32_t held = 0;
    uint64_t again_ns;
    pthread_barrier_wait(&barrier);
    for (int round = 0; round < ROUNDS; round++) {
        host_use(w, &held);
        host_probe(w);
        (void)host_retry_take(&host, &rules, now(w), &again_ns);
        (void)host_opened_ns(&host);
        if (host_conn_take(&host, 3)) {
            uint32_t before = add_rlx(&conns, 1);
            MUST_BE(before < 3);
            (void)add_rlx(&conns, UINT32_MAX);
            host_conn_give(&host);
        }
    }
    (void)add_rlx(&out, 0 - held);
    host_permits_give(&host, held);
    return NULL;
}

static void host_is_sound(void)
{
    host_rules_defaults(&rules);
    rules.cooldown_ns = 50 * MS_NS;
    rules.window_ns = 2 * SECOND_NS;
    rules.first_limit = 4;
    windows = host_windows_new(2, &rules);
    host = (struct host){.entry = {.refs = THREADS}};
    host_init(windows, &host);
    run(host_work);
    uint64_t holds = 0;
    for (uint32_t i = 0; i < THREADS; i++) holds += workers[i].sum;
    REQUIRE(holds > 0, "it was never held: nothing was tried");
    REQUIRE(probes_out > 0, "no probe was given out");
    REQUIRE(out == 0, "%u permits were lost", out);
    REQUIRE((host.flow & UINT16_MAX) == 0, "permits are out");
    REQUIRE((host.conns & INT32_MAX) == 0, "connections are out");
    host_windows_free(windows);
}

/* ---- one pace ------------------------------------------------------------------------------ */

static struct pace pace;
static uint64_t held_until_ns; /* the longest hold that was asked for */

static void raise_hold(uint64_t until_ns)
{
    uint64_t before = load_rlx(&held_until_ns);
    while (before < until_ns && !cas_rlx(&held_until_ns, &before, until_ns)) {}
}

static void *pace_work(void *arg)
{
    struct worker *w = arg;
    uint64_t again_ns;
    pthread_barrier_wait(&barrier);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t now_ns = now(w);
        struct pace_hint h = {.has_limit = true,
                              .has_remaining = true,
                              .has_reset = true,
                              .limit = 1000,
                              .remaining = prng_below(&w->dice, 1000),
                              .reset_ns = prng_below(&w->dice, SECOND_NS),
                              .reset_step_ns = MS_NS,
                              .began_ns = now_ns - MS_NS};
        switch (prng_below(&w->dice, 8)) {
        case 0: pace_hinted(&pace, now_ns, &h, 3, UINT64_MAX); break;
        case 1: pace_refused(&pace, now_ns - MS_NS, now_ns); break;
        case 2:
            raise_hold(now_ns + 1000);
            pace_hold(&pace, now_ns + 1000);
            break;
        case 3:
            raise_hold(now_ns + 2000);
            pace_retry_after(&pace, now_ns - MS_NS, now_ns, 2000, false);
            break;
        case 4: pace_taken(&pace, now_ns - MS_NS, now_ns, 1); break;
        case 5: (void)pace_look(&pace, now_ns, &again_ns); break;
        default: {
            uint32_t n = pace_take(&pace, now_ns, 3, &again_ns);
            w->sum += n;
            if (n > 0 && prng_percent(&w->dice, 30)) pace_give(&pace, 1);
        }
        }
    }
    return NULL;
}

static void pace_is_sound(void)
{
    pace_init(NULL, &pace);
    run(pace_work);
    REQUIRE(pace.lock == 0, "somebody went away with the lock");
    REQUIRE(pace.held_ns >= held_until_ns, "a hold was lost");
}

/* ---- one rate ------------------------------------------------------------------------------ */

static struct gcra rate;

static void *rate_work(void *arg)
{
    struct worker *w = arg;
    uint64_t again_ns;
    pthread_barrier_wait(&barrier);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t n = gcra_take(&rate, MS_NS, 10 * MS_NS, now(w), 4, &again_ns);
        if (n > 0 && prng_percent(&w->dice, 20)) {
            gcra_give(&rate, MS_NS, 1);
            n--;
        }
        w->sum += n;
    }
    return NULL;
}

static void rate_is_sound(void)
{
    uint64_t got = 0, began_ns = clock_ns;
    run(rate_work);
    for (uint32_t i = 0; i < THREADS; i++) got += workers[i].sum;
    uint64_t allowed = (clock_ns - began_ns) / MS_NS + 12;
    REQUIRE(got <= allowed && got + 50 >= allowed * 9 / 10, "%" PRIu64 " of %" PRIu64, got,
            allowed);
}

int main(void)
{
    table_is_sound();
    host_is_sound();
    pace_is_sound();
    rate_is_sound();
    printf("%d threads, %d rounds each\n", THREADS, ROUNDS);
    return 0;
}
