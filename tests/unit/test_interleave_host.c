/* tests/unit/test_interleave_host.c - goal: however the steps of two or three shards on one host
 * fall: permits, connections, probes and retry tokens are never given twice, no count is lost, a
 * change of state is told to exactly one, and one-second slices are taken once.
 *
 * Method: every interleaving of their atomic accesses (interleave.h), each scene as small as shows
 * what it is about.
 */
#include "tests/unit/interleave.h"

#include "sched/host.c"
#include "sched/host_budget.c"
#include "sched/host_flow.c"
#include "sched/host_windows.c"
#include "sched/slices.c"

#include <criterion/criterion.h>

static struct host host;
static struct host_rules rules;
static struct host_windows *windows;
static uint32_t got[INTERLEAVE_THREADS];
static struct host_event events[INTERLEAVE_THREADS];

#define NOW_NS (5000 * SECOND_NS + 100 * HOST_MS_NS)

static void fresh(void)
{
    host_rules_defaults(&rules);
    host = (struct host){.entry = {.refs = 3}};
    memset(got, 0, sizeof got);
    memset(events, 0, sizeof events);
    host_flow_begin(&host, rules.first_limit);
}

static void pass(struct interleave *x)
{
    cr_assert(interleave_all(x), "%s", x->why);
    cr_assert_geq(x->schedules, 2, "%s: nothing was interleaved", x->name);
}

static uint32_t sum(void) { return got[0] + got[1] + got[2]; }

static uint32_t changes(enum host_change change)
{
    uint32_t n = 0;
    for (int i = 0; i < INTERLEAVE_THREADS; i++) n += events[i].change == change;
    return n;
}

/* ---- permits ------------------------------------------------------------------------------- */

static void permits_setup(void *ctx)
{
    (void)ctx;
    fresh();
}

static void take(int i, uint32_t want)
{
    struct host_holder who = {.shard = (uint32_t)i, .max = 256};
    got[i] += host_permits_take(&host, &who, want, NOW_NS);
}

static void take_2_a(void *ctx) { (void)ctx, take(0, 2); }
static void take_2_b(void *ctx) { (void)ctx, take(1, 2); }
static void take_3_c(void *ctx) { (void)ctx, take(2, 3); }

static bool permits_check(void *ctx)
{
    (void)ctx;
    union flow f = {.word = host.flow};
    return sum() <= 4 && f.out == sum() && sum() >= 2;
}

Test(interleave_host, permits_are_not_given_twice)
{
    struct interleave x = {.name = "permits",
                           .setup = permits_setup,
                           .threads = {take_2_a, take_2_b, take_3_c},
                           .check = permits_check};
    pass(&x);
}

static void take_and_give(void *ctx)
{
    (void)ctx;
    take(0, 1);
    host_permits_give(&host, got[0]);
    got[0] = 0;
}

static void trouble(void *ctx) { (void)ctx, host_troubled(&host, NOW_NS - SECOND_NS, NOW_NS); }
static void success(void *ctx) { (void)ctx, host_succeeded(&host, 256, 2, true); }

static bool limit_check(void *ctx)
{
    (void)ctx;
    union flow f = {.word = host.flow};
    return f.out == sum() && f.slow == 0 && host_limit(&host) >= 3 && host_limit(&host) <= 6;
}

Test(interleave_host, limit_and_permits_share_a_word)
{
    struct interleave x = {.name = "limit and permits",
                           .setup = permits_setup,
                           .threads = {take_and_give, trouble, success},
                           .check = limit_check};
    pass(&x);
}

/* The limit begins anew beside permits that come and go. */
static void one_out(void *ctx)
{
    permits_setup(ctx);
    take(0, 1);
}

static void give_a(void *ctx)
{
    (void)ctx;
    host_permits_give(&host, 1);
    got[0] = 0;
}

static void begin_8(void *ctx) { (void)ctx, host_flow_begin(&host, 8); }

static bool begun(void *ctx)
{
    (void)ctx;
    union flow f = {.word = host.flow};
    return f.out == got[1] && got[1] >= 1 && host_limit(&host) == 8 && f.slow == 1;
}

Test(interleave_host, a_new_limit_loses_no_permit)
{
    struct interleave x = {.name = "new limit",
                           .setup = one_out,
                           .threads = {give_a, take_2_b, begin_8},
                           .check = begun};
    pass(&x);
}

/* x0.9 at most once each round trip, however many saw the same trouble. */
static bool one_decrease(void *ctx)
{
    (void)ctx;
    union flow f = {.word = host.flow};
    return f.limit == (limit_fixed(4) * 90 / 100);
}

Test(interleave_host, one_trouble_decreases_once)
{
    struct interleave x = {.name = "one decrease",
                           .setup = permits_setup,
                           .threads = {trouble, trouble, trouble},
                           .check = one_decrease};
    pass(&x);
}

static void conn_a(void *ctx) { (void)ctx, got[0] = host_conn_take(&host, 1); }
static void conn_b(void *ctx) { (void)ctx, got[1] = host_conn_take(&host, 1); }
static void conn_c(void *ctx)
{
    (void)ctx;
    if (host_conn_take(&host, 1)) host_conn_give(&host);
}

static bool conns_check(void *ctx)
{
    (void)ctx;
    uint32_t open = host.conns & ~CONN_WANTED;
    return got[0] + got[1] <= 1 && open == got[0] + got[1];
}

Test(interleave_host, connections_are_not_given_twice)
{
    struct interleave x = {.name = "connections",
                           .setup = permits_setup,
                           .threads = {conn_a, conn_b, conn_c},
                           .check = conns_check};
    pass(&x);
}

static void conn_open(void *ctx)
{
    permits_setup(ctx);
    got[0] = host_conn_take(&host, 2);
}

static void conn_end_a(void *ctx)
{
    (void)ctx;
    host_conn_give(&host);
    got[0] = 0;
}

static void conn_of_2(void *ctx) { (void)ctx, got[1] = host_conn_take(&host, 2); }

static bool one_conn(void *ctx)
{
    (void)ctx;
    return got[1] == 1 && (host.conns & ~CONN_WANTED) == 1;
}

Test(interleave_host, a_connection_ends_while_another_begins)
{
    struct interleave x = {.name = "connection ends",
                           .setup = conn_open,
                           .threads = {conn_end_a, conn_of_2},
                           .check = one_conn};
    pass(&x);
}

/* ---- probes -------------------------------------------------------------------------------- */

static uint8_t rounds[INTERLEAVE_THREADS];

static void cooled_setup(void *ctx)
{
    (void)ctx;
    fresh();
    rules.probes = 2;
    union health x = {.state = STATE_HELD, .level = 1, .ms = NOW_NS / HOST_MS_NS & MS_MASK};
    host.health = x.word;
}

static void probe(int i)
{
    uint64_t until_ns = 0;
    got[i] = host_gate(&host, &rules, NOW_NS, &until_ns, &rounds[i]) == HOST_PROBE;
}

static void probe_a(void *ctx) { (void)ctx, probe(0); }
static void probe_b(void *ctx) { (void)ctx, probe(1); }
static void probe_c(void *ctx) { (void)ctx, probe(2); }

static bool two_probes(void *ctx)
{
    (void)ctx;
    union health x = {.word = host.health};
    for (int i = 0; i < 3; i++)
        if (got[i] && rounds[i] != 1) return false;
    return sum() == 2 && x.state == STATE_PROBING && x.given == 2 && x.ok == 0;
}

Test(interleave_host, probes_are_counted_across_shards)
{
    struct interleave x = {.name = "probes",
                           .setup = cooled_setup,
                           .threads = {probe_a, probe_b, probe_c},
                           .check = two_probes};
    pass(&x);
}

static void probing_setup(void *ctx)
{
    cooled_setup(ctx);
    probe(0);
    probe(1);
}

static void end_ok(int i)
{
    host_probe_ended(&host, &rules, rounds[i], NOW_NS + SECOND_NS, true, &events[i]);
}

static void ok_a(void *ctx) { (void)ctx, end_ok(0); }
static void ok_b(void *ctx) { (void)ctx, end_ok(1); }
static void bad_b(void *ctx)
{
    (void)ctx;
    host_probe_ended(&host, &rules, rounds[1], NOW_NS + SECOND_NS, false, &events[1]);
}

/* Who sees it open sees what was written before it opened. */
static void look_c(void *ctx)
{
    (void)ctx;
    uint64_t until_ns, opened_ns = host_opened_ns(&host);
    if (host_look(&host, &rules, NOW_NS + SECOND_NS, &until_ns) != HOST_OPEN) return;
    INTERLEAVE_MUST(host_limit(&host) == 2);
    INTERLEAVE_MUST(opened_ns == UINT64_MAX || opened_ns == NOW_NS + SECOND_NS);
    INTERLEAVE_MUST(host_opened_ns(&host) == NOW_NS + SECOND_NS);
}

static bool opened_once(void *ctx)
{
    (void)ctx;
    union health x = {.word = host.health};
    return x.state == STATE_OPEN && changes(HOST_NOW_OPEN) == 1 && changes(HOST_NOW_HELD) == 0;
}

Test(interleave_host, opening_is_told_once)
{
    struct interleave x = {.name = "opening",
                           .setup = probing_setup,
                           .threads = {ok_a, ok_b, look_c},
                           .check = opened_once};
    pass(&x);
}

static bool held_again_once(void *ctx)
{
    (void)ctx;
    union health x = {.word = host.health};
    return x.state == STATE_HELD && changes(HOST_NOW_HELD) == 1 && changes(HOST_NOW_OPEN) == 0;
}

Test(interleave_host, one_bad_probe_holds_it_again)
{
    struct interleave x = {.name = "one bad probe",
                           .setup = probing_setup,
                           .threads = {ok_a, bad_b},
                           .check = held_again_once};
    pass(&x);
}

/* One probe of two is given back while a third shard asks for one. */
static void unused_a(void *ctx) { (void)ctx, host_probe_unused(&host, rounds[0]); }

static bool unused_check(void *ctx)
{
    (void)ctx;
    union health x = {.word = host.health};
    return x.state == STATE_PROBING && x.given == 1 + got[2] && x.ok == 1;
}

Test(interleave_host, an_unused_probe_goes_to_another)
{
    struct interleave x = {.name = "unused probe",
                           .setup = probing_setup,
                           .threads = {unused_a, ok_b, probe_c},
                           .check = unused_check};
    pass(&x);
}

/* ---- failures ------------------------------------------------------------------------------ */

/* Without one-second slices: the coarse ones judge, and their words are few. */
static void report_setup(void *ctx)
{
    (void)ctx;
    fresh();
    if (windows == NULL) windows = host_windows_new(0, &rules);
    windows->free = windows->fresh = 0;
    rules.min_failures = 4;
}

static void fail_3(int i) { host_report(&host, windows, &rules, NOW_NS, 3, 3, 3, &events[i]); }

static void fail_a(void *ctx) { (void)ctx, fail_3(0); }
static void fail_b(void *ctx) { (void)ctx, fail_3(1); }

static bool held_once(void *ctx)
{
    (void)ctx;
    union health x = {.word = host.health};
    return x.state == STATE_HELD && changes(HOST_NOW_HELD) == 1;
}

Test(interleave_host, a_hold_is_told_once)
{
    struct interleave x = {
        .name = "hold", .setup = report_setup, .threads = {fail_a, fail_b}, .check = held_once};
    pass(&x);
}

/* The first failures of all come to two shards at once: one ring of slices is taken, with all that
 * was counted in it, and the other goes back. */
static void attach_setup(void *ctx)
{
    (void)ctx;
    fresh();
    if (windows == NULL) windows = host_windows_new(2, &rules);
    memset(windows->words, 0, 2 * HOST_SLICES * sizeof(uint64_t));
    windows->free = windows->fresh = 0;
}

static void first_a(void *ctx)
{
    (void)ctx;
    host_window_add(&host, windows, &rules, NOW_NS, 5, 2);
}

static void first_b(void *ctx)
{
    (void)ctx;
    host_window_add(&host, windows, &rules, NOW_NS, 3, 1);
}

static bool attached_once(void *ctx)
{
    (void)ctx;
    uint32_t on_stack = 0;
    for (uint32_t id = (uint32_t)windows->free; id != 0 && on_stack < 3; on_stack++)
        id = (uint32_t)words_of(windows, id)[0];
    struct slices sum_now = host_window_sum(&host, windows, &rules, NOW_NS);
    return host.window != 0 && windows->fresh == on_stack + 1 && sum_now.attempts == 8 &&
           sum_now.failures == 3;
}

Test(interleave_host, slices_are_taken_once)
{
    struct interleave x = {.name = "first failures",
                           .setup = attach_setup,
                           .threads = {first_a, first_b},
                           .check = attached_once};
    pass(&x);
}

/* The pool's stack: one host gives its slices back while two others take some. */
static struct host others[3];

static void pool_setup(void *ctx)
{
    (void)ctx;
    fresh();
    if (windows == NULL) windows = host_windows_new(3, &rules);
    memset(windows->words, 0, 3 * HOST_SLICES * sizeof(uint64_t));
    windows->free = windows->fresh = 0;
    memset(others, 0, sizeof others);
    for (int i = 0; i < 3; i++) host_window_add(&others[i], windows, &rules, NOW_NS, 1, 1);
    host_window_detach(&others[2], windows); /* one is on the stack */
}

static void detach_a(void *ctx) { (void)ctx, host_window_detach(&others[0], windows); }
static void detach_b(void *ctx) { (void)ctx, host_window_detach(&others[1], windows); }

static void attach_c(void *ctx)
{
    (void)ctx;
    host_window_add(&host, windows, &rules, NOW_NS, 1, 1);
}

/* Three in all: those on the stack and those that hosts have, each once. */
static bool all_three(void *ctx)
{
    (void)ctx;
    uint32_t seen = 0, on_stack = 0;
    for (uint32_t id = (uint32_t)windows->free; id != 0 && on_stack < 4; on_stack++) {
        seen |= 1u << id;
        id = (uint32_t)words_of(windows, id)[0];
    }
    if (host.window != 0) seen |= 1u << host.window;
    return host.window != 0 && on_stack == 2 && seen == 0xe;
}

Test(interleave_host, slices_are_given_back_once)
{
    struct interleave x = {.name = "pool of slices",
                           .setup = pool_setup,
                           .threads = {detach_a, detach_b, attach_c},
                           .check = all_three};
    pass(&x);
}

/* ---- counts, tokens ------------------------------------------------------------------------ */

static uint64_t words[4];

static void words_setup(void *ctx)
{
    (void)ctx;
    memset(words, 0, sizeof words);
    slices_add(words, 4, 3, 9, 9); /* an old slice, in the word of 7 */
}

static void add_a(void *ctx) { (void)ctx, slices_add(words, 4, 7, 5, 1); }
static void add_b(void *ctx) { (void)ctx, slices_add(words, 4, 7, 3, 2); }
static void add_c(void *ctx) { (void)ctx, slices_add(words, 4, 7, 2, 0); }

static bool counts_check(void *ctx)
{
    (void)ctx;
    struct slices s = slices_sum(words, 4, 7, 1);
    return s.attempts == 10 && s.failures == 3;
}

Test(interleave_host, no_count_is_lost)
{
    struct interleave x = {.name = "slices",
                           .setup = words_setup,
                           .threads = {add_a, add_b, add_c},
                           .check = counts_check};
    pass(&x);
}

static void token_setup(void *ctx)
{
    (void)ctx;
    fresh();
    rules.budget_per_s = 0;
    slices_add(host.recent, HOST_RECENT, NOW_NS / RECENT_SLICE_NS, 100, 100);
    union budget b = {.ms = (uint32_t)(NOW_NS / HOST_MS_NS), .tokens = 2 * TOKEN};
    host.budget = b.word;
}

static void token(int i)
{
    uint64_t again_ns;
    got[i] = host_retry_take(&host, &rules, NOW_NS, &again_ns);
}

static void token_a(void *ctx) { (void)ctx, token(0); }
static void token_b(void *ctx) { (void)ctx, token(1); }
static void token_c(void *ctx) { (void)ctx, token(2); }

static bool two_tokens(void *ctx)
{
    (void)ctx;
    return sum() == 2 && ((union budget){.word = host.budget}).tokens == 0;
}

Test(interleave_host, retry_tokens_are_not_given_twice)
{
    struct interleave x = {.name = "retry tokens",
                           .setup = token_setup,
                           .threads = {token_a, token_b, token_c},
                           .check = two_tokens};
    pass(&x);
}

/* Attempts earn a token while one is spent. */
static void earn(void *ctx) { (void)ctx, host_budget_report(&host, &rules, NOW_NS, 5, 5); }

static bool two_left(void *ctx)
{
    (void)ctx;
    return got[0] == 1 && ((union budget){.word = host.budget}).tokens == 2 * TOKEN;
}

Test(interleave_host, what_is_earned_is_not_lost)
{
    struct interleave x = {
        .name = "earned", .setup = token_setup, .threads = {token_a, earn}, .check = two_left};
    pass(&x);
}
