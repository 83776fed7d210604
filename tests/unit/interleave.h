/* tests/unit/interleave.h - runs code of two or three threads in every order of its atomic steps.
 *
 *   #include "tests/unit/interleave.h"
 *   #include "sched/module.c"            the code under test, its atomics now under control
 *
 *   static void setup(void *ctx) { ... }    before every schedule: all state anew
 *   static void first(void *ctx) { ... }    a thread; INTERLEAVE_MUST(x) inside
 *   static bool check(void *ctx) { ... }    after every schedule that ran to its end
 *   struct interleave x = {.name = "two takers", .setup = setup, .threads = {first, second},
 *                          .check = check, .ctx = &state};
 *   cr_assert(interleave_all(&x), "%s", x.why);
 *
 * Method: stateless model checking. The threads are coroutines that stop before each access through
 * core/base/atomic.h; a schedule says whose access comes next at each stop. Depth first, every
 * schedule is run from the start. Two accesses that do not touch each other's memory, or only read,
 * give the same in both orders: of schedules that differ in such orders only, one is run (sleep
 * sets: P. Godefroid, Partial-Order Methods, 1996), so nothing that can be told apart is left out.
 * all_orders switches that off.
 *
 * What it assumes: memory that is not accessed through atomic.h is ordered by that which is, as
 * TSan checks. Where that is in question, interleave_touch() makes a plain access a step.
 * What it does not see: orders that a processor weaker than sequential consistency allows. The
 * reasons for memory orders stand in the code under test.
 * Limits: each thread's steps (steps_max) and the number of schedules (schedules_max); reaching
 * one is a failure, for then it was not everything. A thread's first part, before its first step,
 * runs before all else. One harness at a time; main thread.
 */
#ifndef TESTS_UNIT_INTERLEAVE_H
#define TESTS_UNIT_INTERLEAVE_H

#include "core/base/atomic.h"

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define INTERLEAVE_ASAN
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define INTERLEAVE_ASAN
#endif
#ifdef INTERLEAVE_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

enum {
    INTERLEAVE_THREADS = 3,
    INTERLEAVE_DEPTH = 4096, /* steps in one schedule, all threads */
    INTERLEAVE_STACK_BYTES = 256 * 1024,
    INTERLEAVE_STEPS_MAX = 1000,
    INTERLEAVE_SCHEDULES_MAX = 20 * 1000 * 1000,
};

struct interleave {
    const char *name;
    void (*setup)(void *ctx);                       /* may be NULL */
    void (*threads[INTERLEAVE_THREADS])(void *ctx); /* those not NULL, from the first */
    bool (*check)(void *ctx);                       /* may be NULL */
    void (*teardown)(void *ctx); /* may be NULL; also after a schedule that was left half-way */
    void *ctx;
    uint32_t steps_max;     /* of one thread; 0: INTERLEAVE_STEPS_MAX */
    uint64_t schedules_max; /* 0: INTERLEAVE_SCHEDULES_MAX */
    bool all_orders;        /* runs schedules too that cannot differ in their outcome */
    const char *only;       /* runs this one schedule, as a failure printed it */
    /* Results. */
    uint64_t schedules; /* run to the end */
    uint64_t redundant; /* left half-way: another one stands for it */
    uint32_t longest;   /* steps */
    char why[512];      /* what failed, and in which schedule */
};

/* An access that a thread is about to make. */
struct interleave_access {
    uintptr_t at; /* 0: unknown, so it depends on every other */
    uint32_t bytes;
    bool writes;
};

/* One step of the current schedule: what could be chosen, and what was. Masks are of threads. */
struct interleave_node {
    struct interleave_access next[INTERLEAVE_THREADS];
    uint8_t enabled, asleep, done; /* asleep, done: need no run from here, another covers it */
    uint8_t chosen;
};

enum interleave_end { INTERLEAVE_RUNS, INTERLEAVE_ENDED, INTERLEAVE_REDUNDANT, INTERLEAVE_FAILED };

static struct {
    struct interleave *x;
    ucontext_t main, context[INTERLEAVE_THREADS];
    struct interleave_access next[INTERLEAVE_THREADS];
    uint32_t steps[INTERLEAVE_THREADS];
    uint8_t alive;         /* mask */
    int current;           /* -1: main */
    uint32_t depth, known; /* steps made; nodes filled */
    enum interleave_end end;
    const char *failed;
    const void *main_stack;
    size_t main_stack_bytes;
    struct interleave_node nodes[INTERLEAVE_DEPTH];
    _Alignas(64) char stacks[INTERLEAVE_THREADS][INTERLEAVE_STACK_BYTES];
} interleave_now;

/* From one coroutine to another (-1: main). The sanitizer wants to know whose stack it is. */
static void interleave_switch(int to)
{
    int from = interleave_now.current;
    ucontext_t *source = from < 0 ? &interleave_now.main : &interleave_now.context[from];
    ucontext_t *target = to < 0 ? &interleave_now.main : &interleave_now.context[to];
    interleave_now.current = to;
#ifdef INTERLEAVE_ASAN
    void *fake = NULL;
    __sanitizer_start_switch_fiber(
        &fake, to < 0 ? interleave_now.main_stack : interleave_now.stacks[to],
        to < 0 ? interleave_now.main_stack_bytes : (size_t)INTERLEAVE_STACK_BYTES);
#endif
    if (swapcontext(source, target) != 0) _exit(2);
#ifdef INTERLEAVE_ASAN
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
}

static bool interleave_independent(const struct interleave_access *a,
                                   const struct interleave_access *b)
{
    if (a->at == 0 || b->at == 0) return false;
    if (!a->writes && !b->writes) return true;
    return a->at + a->bytes <= b->at || b->at + b->bytes <= a->at;
}

/* Who need not be chosen after this node's choice: another branch has had them here already, and
 * the chosen access makes no difference to theirs. */
static uint8_t interleave_sleepers(const struct interleave_node *n)
{
    uint8_t asleep = 0;
    for (int i = 0; i < INTERLEAVE_THREADS; i++)
        if ((n->asleep | n->done) & 1 << i &&
            interleave_independent(&n->next[i], &n->next[n->chosen]))
            asleep |= (uint8_t)(1 << i);
    return asleep;
}

/* The thread that goes next; -1: this schedule is over, and `end` says how. */
static int interleave_choose(void)
{
    if (interleave_now.failed != NULL) return interleave_now.end = INTERLEAVE_FAILED, -1;
    if (interleave_now.alive == 0) return interleave_now.end = INTERLEAVE_ENDED, -1;
    if (interleave_now.depth == INTERLEAVE_DEPTH) {
        interleave_now.failed = "more steps than a schedule may have";
        return interleave_now.end = INTERLEAVE_FAILED, -1;
    }
    struct interleave_node *n = &interleave_now.nodes[interleave_now.depth];
    if (interleave_now.depth == interleave_now.known) {
        memset(n, 0, sizeof *n);
        memcpy(n->next, interleave_now.next, sizeof n->next);
        n->enabled = interleave_now.alive;
        if (interleave_now.depth > 0) n->asleep = interleave_sleepers(n - 1);
        int want = interleave_now.current;
        const char *only = interleave_now.x->only;
        if (only != NULL) {
            want = interleave_now.depth < strlen(only) ? only[interleave_now.depth] - '0' : 0;
            n->asleep = 0;
        }
        uint8_t open = n->enabled & (uint8_t)~n->asleep;
        if (open == 0) return interleave_now.end = INTERLEAVE_REDUNDANT, -1;
        n->chosen = want >= 0 && open & 1 << want ? (uint8_t)want : (uint8_t)__builtin_ctz(open);
        interleave_now.known++;
    } else if (n->enabled != interleave_now.alive) {
        interleave_now.failed = "not the same twice: the code or setup depends on something else";
        return interleave_now.end = INTERLEAVE_FAILED, -1;
    }
    interleave_now.depth++;
    return n->chosen;
}

/* The current thread is about to access this memory, which the code under test tells by itself
 * for atomics. Returns when it is its turn. Outside of threads (setup, check) it does nothing. */
__attribute__((unused)) static void interleave_touch(const volatile void *at, size_t bytes,
                                                     bool writes)
{
    int self = interleave_now.current;
    if (self < 0) return;
    uint32_t limit = interleave_now.x->steps_max;
    if (interleave_now.steps[self]++ == (limit > 0 ? limit : INTERLEAVE_STEPS_MAX))
        interleave_now.failed = "a thread made more steps than steps_max";
    bool known = !interleave_now.x->all_orders;
    interleave_now.next[self] =
        (struct interleave_access){known ? (uintptr_t)at : 0, (uint32_t)bytes, writes};
    if (interleave_now.steps[self] == 1 && interleave_now.depth == 0) {
        interleave_switch(-1); /* the start: all come to their first step */
        return;
    }
    int next = interleave_choose();
    if (next != self) interleave_switch(next);
}

/* Ends this schedule as a failure; from a thread it does not return. */
__attribute__((unused)) static void interleave_fail(const char *text)
{
    if (interleave_now.failed == NULL) interleave_now.failed = text;
    interleave_now.end = INTERLEAVE_FAILED;
    if (interleave_now.current >= 0) interleave_switch(-1);
}

#define INTERLEAVE_TEXT_(x) #x
#define INTERLEAVE_TEXT(x)  INTERLEAVE_TEXT_(x)
#define INTERLEAVE_MUST(x) \
    do { \
        if (!(x)) interleave_fail(__FILE__ ":" INTERLEAVE_TEXT(__LINE__) ": " #x); \
    } while (0)

static void interleave_thread(void)
{
    int self = interleave_now.current;
#ifdef INTERLEAVE_ASAN
    const void *stack;
    size_t bytes;
    __sanitizer_finish_switch_fiber(NULL, &stack, &bytes);
    if (interleave_now.depth == 0) { /* comes from main, whose stack is now known */
        interleave_now.main_stack = stack;
        interleave_now.main_stack_bytes = bytes;
    }
#endif
    interleave_now.x->threads[self](interleave_now.x->ctx);
    interleave_now.alive &= (uint8_t) ~(1 << self);
    interleave_switch(interleave_now.depth == 0 ? -1 : interleave_choose());
    _exit(2); /* nobody goes back to a thread that has ended */
}

/* Every thread runs to its first step; then the first choice is made, and the rest follows. */
static void interleave_run_once(void)
{
    interleave_now.alive = 0;
    interleave_now.depth = 0;
    interleave_now.end = INTERLEAVE_RUNS;
    memset(interleave_now.steps, 0, sizeof interleave_now.steps);
    if (interleave_now.x->setup) interleave_now.x->setup(interleave_now.x->ctx);
    for (int i = 0; i < INTERLEAVE_THREADS && interleave_now.x->threads[i]; i++) {
        ucontext_t *c = &interleave_now.context[i];
#ifdef INTERLEAVE_ASAN
        ASAN_UNPOISON_MEMORY_REGION(interleave_now.stacks[i], INTERLEAVE_STACK_BYTES);
#endif
        if (getcontext(c) != 0) _exit(2);
        c->uc_stack.ss_sp = interleave_now.stacks[i];
        c->uc_stack.ss_size = INTERLEAVE_STACK_BYTES;
        c->uc_link = NULL;
        makecontext(c, interleave_thread, 0);
        interleave_now.alive |= (uint8_t)(1 << i);
        interleave_switch(i);
        if (interleave_now.failed != NULL) return;
    }
    int first = interleave_choose();
    if (first >= 0) interleave_switch(first);
}

/* The schedule up to here as digits: whose step it was. */
static void interleave_tell(char *text, size_t bytes)
{
    size_t len = 0;
    for (; len < interleave_now.depth && len + 1 < bytes; len++)
        text[len] = (char)('0' + interleave_now.nodes[len].chosen);
    text[len] = '\0';
}

/* A CHECK of the code under test is about to end the process: which schedule was it? */
static void interleave_on_abort(int sig)
{
    char line[INTERLEAVE_DEPTH + 64];
    int n = snprintf(line, sizeof line, "interleave: %s: ", interleave_now.x->name);
    interleave_tell(line + n, sizeof line - (size_t)n - 1);
    size_t len = strlen(line);
    line[len++] = '\n';
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    sigaction(sig, &dfl, NULL);
    if (write(2, line, len) < 0) return;
    raise(sig);
}

/* On to the deepest choice that has an alternative left; false: all were run. */
static bool interleave_next_schedule(void)
{
    while (interleave_now.known > 0) {
        struct interleave_node *n = &interleave_now.nodes[interleave_now.known - 1];
        n->done |= (uint8_t)(1 << n->chosen);
        uint8_t open = n->enabled & (uint8_t) ~(n->asleep | n->done);
        if (open != 0) {
            n->chosen = (uint8_t)__builtin_ctz(open);
            return true;
        }
        interleave_now.known--;
    }
    return false;
}

/* Runs all schedules; true: none failed, and nothing was left out. Prints one line. */
__attribute__((unused)) static bool interleave_all(struct interleave *x)
{
    uint64_t limit = x->schedules_max > 0 ? x->schedules_max : INTERLEAVE_SCHEDULES_MAX;
    struct sigaction before, on_abort = {.sa_handler = interleave_on_abort};
    interleave_now.x = x;
    interleave_now.current = -1;
    interleave_now.known = 0;
    interleave_now.failed = NULL;
    x->schedules = x->redundant = 0;
    x->longest = 0;
    x->why[0] = '\0';
    sigaction(SIGABRT, &on_abort, &before);
    do {
        interleave_run_once();
        if (interleave_now.end == INTERLEAVE_ENDED) {
            x->schedules++;
            if (x->check && !x->check(x->ctx)) interleave_fail("check() after the schedule");
        } else if (interleave_now.end == INTERLEAVE_REDUNDANT) {
            x->redundant++;
        }
        if (x->longest < interleave_now.depth) x->longest = interleave_now.depth;
        if (x->teardown) x->teardown(x->ctx);
        if (x->schedules + x->redundant == limit)
            interleave_fail("schedules_max reached: not all were run");
    } while (interleave_now.failed == NULL && x->only == NULL && interleave_next_schedule());
    sigaction(SIGABRT, &before, NULL);
    if (interleave_now.failed != NULL) {
        int n =
            snprintf(x->why, sizeof x->why, "%s: %s; schedule ", x->name, interleave_now.failed);
        if (n > 0 && (size_t)n < sizeof x->why)
            interleave_tell(x->why + n, sizeof x->why - (size_t)n);
    }
    printf("interleave: %s: %" PRIu64 " schedules, %" PRIu64 " redundant, at most %u steps%s\n",
           x->name, x->schedules, x->redundant, x->longest,
           interleave_now.failed != NULL ? ", FAILED" : "");
    return interleave_now.failed == NULL;
}

/* core/base/atomic.h again, with what each one accesses. What is not named here stops as well,
 * through ATOMIC_STEP(), as an access to unknown memory. */
#undef ATOMIC_STEP
#undef load_acq
#undef store_rel
#undef add_rlx
#undef load_rlx
#undef store_rlx
#undef cas_rlx
#undef cas_acq_rel
#undef sub_rel
#undef load_seq
#undef cas_seq
#define ATOMIC_STEP()     interleave_touch(NULL, 0, true)
#define INTERLEAVE_R(ptr) interleave_touch((ptr), sizeof *(ptr), false)
#define INTERLEAVE_W(ptr) interleave_touch((ptr), sizeof *(ptr), true)
#define load_acq(ptr)     (INTERLEAVE_R(ptr), __atomic_load_n((ptr), __ATOMIC_ACQUIRE))
#define load_rlx(ptr)     (INTERLEAVE_R(ptr), __atomic_load_n((ptr), __ATOMIC_RELAXED))
#define store_rel(ptr, value) \
    (INTERLEAVE_W(ptr), __atomic_store_n((ptr), (value), __ATOMIC_RELEASE))
#define store_rlx(ptr, value) \
    (INTERLEAVE_W(ptr), __atomic_store_n((ptr), (value), __ATOMIC_RELAXED))
#define add_rlx(ptr, value) \
    (INTERLEAVE_W(ptr), __atomic_fetch_add((ptr), (value), __ATOMIC_RELAXED))
#define cas_rlx(ptr, old, value) \
    (INTERLEAVE_W(ptr), __atomic_compare_exchange_n((ptr), (old), (value), false, \
                                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
#define cas_acq_rel(ptr, old, value) \
    (INTERLEAVE_W(ptr), __atomic_compare_exchange_n((ptr), (old), (value), false, \
                                                    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
#define sub_rel(ptr, value) \
    (INTERLEAVE_W(ptr), __atomic_fetch_sub((ptr), (value), __ATOMIC_RELEASE))
#define load_seq(ptr) (INTERLEAVE_R(ptr), __atomic_load_n((ptr), __ATOMIC_SEQ_CST))
#define cas_seq(ptr, old, value) \
    (INTERLEAVE_W(ptr), __atomic_compare_exchange_n((ptr), (old), (value), false, \
                                                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))

#endif
