/* tests/unit/test_host.c - goal: a host is put on hold exactly when delivery.md section 5 says,
 * gets nothing but its probes until they all succeed, and each change is told to one caller.
 *
 * Method: each rule by name with exact times and both sides of its boundary, from several starts
 * of the clock; then random histories against a referee that keeps every failure in a list.
 */
#include "sched/host.h"

#include "core/base/prng.h"
#include "tests/unit/must.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#define MS UINT64_C(1000000)
#define S  (1000 * MS)

/* The clock's start; an hour; half a minute before 32 and 37 bits of milliseconds wrap; centuries.
 * Whole seconds. */
static const uint64_t starts[] = {
    0,
    3600 * S,
    ((UINT64_C(1) << 32) / 1000 - 30) * S,
    ((UINT64_C(1) << 37) / 1000 - 30) * S,
    UINT64_MAX / S *S - 86400 * S,
};
#define EACH_START(t) \
    for (uint32_t i_ = 0; i_ < sizeof starts / sizeof starts[0]; i_++) \
        for (uint64_t t = starts[i_], once_ = 1; once_; once_ = 0)

static struct host_rules r;
static struct host_windows *windows;

static void setup(void)
{
    host_rules_defaults(&r);
    windows = host_windows_new(16, &r);
}

static void teardown(void) { host_windows_free(windows); }

TestSuite(host, .init = setup, .fini = teardown);

static struct host host_new(void)
{
    struct host h = {0};
    h.entry.refs = 1;
    host_init(windows, &h);
    return h;
}

static struct host_event report(struct host *h, uint64_t now, uint32_t attempts, uint32_t failures)
{
    struct host_event e;
    host_report(h, windows, &r, now, attempts, failures, failures, &e);
    return e;
}

static struct host_event probe_ended(struct host *h, uint8_t round, uint64_t now, bool ok)
{
    struct host_event e;
    host_probe_ended(h, &r, round, now, ok, &e);
    return e;
}

/* The gate says HELD until exactly then. */
static void held_until(struct host *h, uint64_t now, uint64_t until)
{
    uint64_t at = 0;
    uint8_t round;
    cr_assert_eq(host_gate(h, &r, now, &at, &round), HOST_HELD);
    cr_assert_eq(at, until, "held until %lu, expected %lu", at, until);
    at = 0;
    cr_assert_eq(host_look(h, &r, now, &at), HOST_HELD);
    cr_assert_eq(at, until);
    cr_assert_eq(host_opened_ns(h), UINT64_MAX);
}

static uint8_t probe(struct host *h, uint64_t now)
{
    uint64_t until = 0;
    uint8_t round = 0;
    cr_assert_eq(host_look(h, &r, now, &until), HOST_PROBE);
    cr_assert_eq(host_gate(h, &r, now, &until, &round), HOST_PROBE);
    return round;
}

static void open_now(struct host *h, uint64_t now)
{
    uint64_t until;
    uint8_t round;
    cr_assert_eq(host_gate(h, &r, now, &until, &round), HOST_OPEN);
    cr_assert_eq(host_look(h, &r, now, &until), HOST_OPEN);
}

/* 20 failures of 20; returns the hold's end. */
static uint64_t hold(struct host *h, uint64_t now)
{
    struct host_event e = report(h, now, 20, 20);
    cr_assert_eq(e.change, HOST_NOW_HELD);
    return e.until_ns;
}

/* All probes succeed, at that time. */
static void reopen(struct host *h, uint64_t now)
{
    uint8_t round = 0;
    for (uint32_t i = 0; i < r.probes; i++) round = probe(h, now);
    for (uint32_t i = 1; i < r.probes; i++)
        cr_assert_eq(probe_ended(h, round, now, true).change, HOST_SAME);
    cr_assert_eq(probe_ended(h, round, now, true).change, HOST_NOW_OPEN);
    open_now(h, now);
}

Test(host, defaults_are_the_contract)
{
    cr_assert_eq(r.window_ns, 60 * S);
    cr_assert_eq(r.ratio_pct, 50);
    cr_assert_eq(r.min_failures, 20);
    cr_assert_eq(r.absolute, 0);
    cr_assert_eq(r.cooldown_ns, 60 * S);
    cr_assert_eq(r.cooldown_max_ns, 600 * S);
    cr_assert_eq(r.cooldown_growth_milli, 1500);
    cr_assert_eq(r.probes, 3);
    cr_assert_eq(r.first_limit, 4);
    cr_assert_eq(r.budget_pct, 20);
    cr_assert_eq(r.budget_per_s, 10);
}

Test(host, fresh_host_is_open)
{
    struct host h = host_new();
    open_now(&h, 0);
    open_now(&h, UINT64_MAX);
    cr_assert_eq(host_opened_ns(&h), 0);
    cr_assert_eq(host_limit(&h), 4);
}

/* 50 % is not the majority; one more is. */
Test(host, held_when_more_than_half_failed)
{
    EACH_START(t)
    {
        struct host h = host_new();
        cr_assert_eq(report(&h, t, 400, 200).change, HOST_SAME);
        open_now(&h, t);
        struct host_event e = report(&h, t + 1, 1, 1);
        cr_assert_eq(e.change, HOST_NOW_HELD);
        cr_assert_eq(e.attempts, 401);
        cr_assert_eq(e.failures, 201);
        host_forget(windows, &h);
    }
}

Test(host, other_ratios)
{
    r.ratio_pct = 90;
    struct host h = host_new();
    cr_assert_eq(report(&h, 0, 1000, 900).change, HOST_SAME);
    cr_assert_eq(report(&h, 0, 1, 1).change, HOST_NOW_HELD);
    r.ratio_pct = 100; /* not even all of them are more than all */
    struct host g = host_new();
    cr_assert_eq(report(&g, 0, 100000, 100000).change, HOST_SAME);
    r.ratio_pct = 0;
    struct host f = host_new();
    cr_assert_eq(report(&f, 0, 100000, 19).change, HOST_SAME);
    cr_assert_eq(report(&f, 0, 1, 1).change, HOST_NOW_HELD);
}

Test(host, not_before_20_failures)
{
    struct host h = host_new();
    for (int i = 0; i < 19; i++) cr_assert_eq(report(&h, 7 * S, 1, 1).change, HOST_SAME);
    struct host_event e = report(&h, 7 * S, 1, 1);
    cr_assert_eq(e.change, HOST_NOW_HELD);
    cr_assert_eq(e.failures, 20);
}

/* It takes a failure: successes after the 19th do not hold the host, nor does time. */
Test(host, absolute_rule)
{
    r.absolute = 3000;
    struct host h = host_new();
    cr_assert_eq(report(&h, 7 * S, 1000000, 2999).change, HOST_SAME);
    struct host_event e = report(&h, 8 * S, 1, 1);
    cr_assert_eq(e.change, HOST_NOW_HELD);
    cr_assert_eq(e.failures, 3000);
    r.absolute = 5; /* below the least number of the other rule */
    struct host g = host_new();
    cr_assert_eq(report(&g, 7 * S, 1000, 4).change, HOST_SAME);
    cr_assert_eq(report(&g, 7 * S, 1, 1).change, HOST_NOW_HELD);
}

Test(host, absolute_rule_is_off_by_default)
{
    struct host h = host_new();
    for (int i = 0; i < 1000; i++) cr_assert_eq(report(&h, 7 * S, 20000, 9000).change, HOST_SAME);
}

/* 19 failures, and the 20th when they are about to leave the window, or have left it. */
Test(host, failures_leave_the_window)
{
    EACH_START(t)
    {
        struct host h = host_new();
        report(&h, t + S - 1, 19, 19);
        cr_assert_eq(report(&h, t + 60 * S - 1, 1, 1).change, HOST_NOW_HELD);
        struct host g = host_new();
        report(&g, t + S - 1, 19, 19);
        cr_assert_eq(report(&g, t + 60 * S, 1, 1).change, HOST_SAME);
        host_forget(windows, &h);
        host_forget(windows, &g);
    }
}

/* So do successes: 1,000 of them outweigh 300 failures only as long as they are in the window. */
Test(host, successes_leave_the_window)
{
    struct host h = host_new();
    report(&h, 100 * S, 1000, 1);
    for (uint64_t at = 101; at < 160; at++)
        cr_assert_eq(report(&h, at * S, 5, 5).change, HOST_SAME);
    cr_assert_eq(report(&h, 160 * S, 5, 5).change, HOST_NOW_HELD);
}

/* A receiver that fails 60 % is on hold within one window, whatever its rate, pool or none. */
Test(host, majority_is_found_within_one_window)
{
    struct host_windows *with = windows, *without = host_windows_new(0, &r);
    for (uint32_t per_s = 1; per_s <= 1000; per_s *= 10) {
        for (int pool = 0; pool < 2; pool++) {
            windows = pool ? with : without;
            struct host h = host_new();
            for (uint64_t at = 0; at < 3600; at++)
                cr_assert_eq(report(&h, at * S, 10 * per_s, per_s).change, HOST_SAME);
            uint64_t at = 3600;
            while (report(&h, at * S, 10 * per_s, 6 * per_s).change == HOST_SAME) at++;
            cr_assert_leq(at, 3659, "after %lu s", at - 3600);
            host_forget(windows, &h);
        }
    }
    windows = with;
    host_windows_free(without);
}

Test(host, held_for_the_cooldown_to_the_nanosecond)
{
    EACH_START(t)
    {
        struct host h = host_new();
        uint64_t until = hold(&h, t);
        cr_assert_eq(until, t + 60 * S);
        held_until(&h, t, until);
        held_until(&h, until - 1, until);
        probe(&h, until);
        host_forget(windows, &h);
    }
}

/* Times are kept in milliseconds: a hold is never shorter for that. */
Test(host, hold_is_rounded_up_to_a_millisecond)
{
    struct host h = host_new();
    uint64_t until = hold(&h, 5 * S + 1);
    cr_assert_eq(until, 65 * S + MS);
    held_until(&h, 65 * S + MS - 1, until);
    probe(&h, 65 * S + MS);
}

Test(host, failures_during_a_hold_count_for_nothing)
{
    struct host h = host_new();
    uint64_t until = hold(&h, 0);
    cr_assert_eq(report(&h, 30 * S, 1000, 1000).change, HOST_SAME);
    held_until(&h, 30 * S, until);
    probe(&h, until);
    cr_assert_eq(report(&h, until, 1000, 1000).change, HOST_SAME);
    uint64_t again = 0;
    uint8_t round;
    cr_assert_eq(host_gate(&h, &r, until, &again, &round), HOST_PROBE);
}

Test(host, three_probes_in_all)
{
    EACH_START(t)
    {
        struct host h = host_new();
        uint64_t until = hold(&h, t);
        for (int i = 0; i < 3; i++) probe(&h, until + S);
        held_until(&h, until + 2 * S, until + 2 * S + 20 * MS);
        held_until(&h, until + 90 * S, until + 90 * S + 20 * MS);
        host_forget(windows, &h);
    }
}

Test(host, opens_when_all_probes_succeeded)
{
    EACH_START(t)
    {
        struct host h = host_new();
        uint64_t until = hold(&h, t);
        uint8_t round = 0;
        for (int i = 0; i < 3; i++) round = probe(&h, until);
        cr_assert_eq(probe_ended(&h, round, until + 1, true).change, HOST_SAME);
        cr_assert_eq(probe_ended(&h, round, until + 2, true).change, HOST_SAME);
        held_until(&h, until + 2, until + 2 + 20 * MS);
        struct host_event e = probe_ended(&h, round, until + 3, true);
        cr_assert_eq(e.change, HOST_NOW_OPEN);
        open_now(&h, until + 3);
        cr_assert_eq(host_opened_ns(&h), until + 3);
        host_forget(windows, &h);
    }
}

/* From the probes' number, twice as many each round trip, whatever the limit was before. */
Test(host, ramps_up_from_the_probes)
{
    struct host h = host_new();
    host_succeeded(&h, 256, 100, true);
    host_troubled(&h, 0, S);
    cr_assert_gt(host_limit(&h), 50);
    uint64_t until = hold(&h, 2 * S);
    cr_assert_gt(host_limit(&h), 50);
    reopen(&h, until);
    cr_assert_eq(host_limit(&h), 3);
    host_succeeded(&h, 256, 3, true);
    cr_assert_eq(host_limit(&h), 6);
    host_succeeded(&h, 256, 6, true);
    cr_assert_eq(host_limit(&h), 12);
}

Test(host, one_failed_probe_holds_again)
{
    struct host h = host_new();
    uint64_t until = hold(&h, 0);
    uint8_t round = 0;
    for (int i = 0; i < 3; i++) round = probe(&h, until);
    cr_assert_eq(probe_ended(&h, round, until + S, true).change, HOST_SAME);
    struct host_event e = probe_ended(&h, round, until + 2 * S, false);
    cr_assert_eq(e.change, HOST_NOW_HELD);
    cr_assert_eq(e.until_ns, until + 92 * S);
    cr_assert_eq(e.attempts, 0);
    held_until(&h, until + 2 * S, until + 92 * S);
    /* The one that is still out tells of a time before. */
    cr_assert_eq(probe_ended(&h, round, until + 3 * S, true).change, HOST_SAME);
    cr_assert_eq(probe_ended(&h, round, until + 3 * S, false).change, HOST_SAME);
    held_until(&h, until + 3 * S, until + 92 * S);
}

/* 60 s, each 1.5 times longer, up to 10 minutes. */
Test(host, cooldowns_grow)
{
    static const uint64_t expected_ms[] = {60000,  90000,  135000, 202500, 303750,
                                           455625, 600000, 600000, 600000};
    EACH_START(t)
    {
        struct host h = host_new();
        uint64_t now = t, until = hold(&h, t);
        for (int i = 0; i < 9; i++) {
            cr_assert_eq(until - now, expected_ms[i] * MS, "hold %d: %lu", i, until - now);
            now = until;
            uint8_t round = probe(&h, now);
            struct host_event e = probe_ended(&h, round, now, false);
            cr_assert_eq(e.change, HOST_NOW_HELD);
            until = e.until_ns;
        }
        host_forget(windows, &h);
    }
}

Test(host, growth_has_an_end)
{
    struct host h = host_new();
    uint64_t now = hold(&h, 0);
    for (int i = 0; i < 1000; i++) now = probe_ended(&h, probe(&h, now), now, false).until_ns;
    uint64_t until = probe_ended(&h, probe(&h, now), now, false).until_ns;
    cr_assert_eq(until, now + 600 * S);
}

Test(host, a_windows_quiet_forgets_the_growth)
{
    EACH_START(t)
    {
        struct host h = host_new();
        uint64_t opened = hold(&h, t);
        reopen(&h, opened);
        uint64_t now = opened + 60 * S - MS;
        opened = hold(&h, now);
        cr_assert_eq(opened, now + 90 * S);
        reopen(&h, opened);
        now = opened + 60 * S;
        cr_assert_eq(hold(&h, now), now + 60 * S);
        host_forget(windows, &h);
    }
}

Test(host, probes_of_an_earlier_round_change_nothing)
{
    struct host h = host_new();
    uint64_t until = hold(&h, 0);
    uint8_t first = 0, second;
    for (int i = 0; i < 3; i++) first = probe(&h, until);
    until = probe_ended(&h, first, until, false).until_ns;
    second = probe(&h, until);
    cr_assert_neq(first, second);
    for (int i = 0; i < 5; i++) cr_assert_eq(probe_ended(&h, first, until, true).change, HOST_SAME);
    cr_assert_eq(probe_ended(&h, first, until, false).change, HOST_SAME);
    host_probe_unused(&h, first);
    for (int i = 0; i < 2; i++) cr_assert_eq(probe(&h, until), second);
    held_until(&h, until, until + 20 * MS);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(probe_ended(&h, second, until, true).change, HOST_SAME);
    cr_assert_eq(probe_ended(&h, second, until, true).change, HOST_NOW_OPEN);
    cr_assert_eq(probe_ended(&h, second, until, false).change, HOST_SAME);
    host_probe_unused(&h, second);
    open_now(&h, until);
}

Test(host, unused_probe_goes_to_another)
{
    struct host h = host_new();
    uint64_t until = hold(&h, 0);
    uint8_t round = 0;
    for (int i = 0; i < 3; i++) round = probe(&h, until);
    host_probe_unused(&h, round);
    cr_assert_eq(probe(&h, until), round);
    held_until(&h, until, until + 20 * MS);
    for (int i = 0; i < 2; i++) probe_ended(&h, round, until, true);
    host_probe_unused(&h, round);
    cr_assert_eq(probe(&h, until), round);
    cr_assert_eq(probe_ended(&h, round, until, true).change, HOST_NOW_OPEN);
}

/* With a cooldown shorter than the window, what put the host on hold is still within it. */
Test(host, failures_before_the_hold_are_forgotten)
{
    struct host_windows *with = windows, *without = host_windows_new(0, &r);
    r.cooldown_ns = S;
    for (int pool = 0; pool < 2; pool++) {
        windows = pool ? with : without;
        struct host h = host_new();
        report(&h, 10 * S, 1000, 400);
        uint64_t until = report(&h, 10 * S, 1000, 1000).until_ns;
        cr_assert_eq(until, 11 * S);
        reopen(&h, until);
        cr_assert_eq(report(&h, until, 19, 19).change, HOST_SAME);
        cr_assert_eq(report(&h, until, 1, 1).attempts, 20);
        host_forget(windows, &h);
    }
    windows = with;
    host_windows_free(without);
}

Test(host, opened_is_told_only_while_open)
{
    struct host h = host_new();
    cr_assert_eq(host_opened_ns(&h), 0);
    uint64_t until = hold(&h, 0);
    cr_assert_eq(host_opened_ns(&h), UINT64_MAX);
    reopen(&h, until);
    cr_assert_eq(host_opened_ns(&h), until);
    r.cooldown_ns = 0;
    struct host g = host_new();
    reopen(&g, hold(&g, 0));
    cr_assert_eq(host_opened_ns(&g), 1); /* 0 would be always */
}

Test(host, looking_takes_nothing)
{
    struct host h = host_new();
    uint64_t until = hold(&h, 0), at;
    struct host before = h;
    for (int i = 0; i < 10; i++) cr_assert_eq(host_look(&h, &r, until, &at), HOST_PROBE);
    cr_assert_eq(memcmp(&before, &h, sizeof h), 0);
}

Test(host, evictable_when_it_means_nothing_any_more)
{
    EACH_START(t)
    {
        struct host h = host_new();
        cr_assert(host_evictable(&h, t));
        report(&h, t, 19, 19);
        cr_assert(host_evictable(&h, t));
        uint64_t until = hold(&h, t);
        cr_assert_not(host_evictable(&h, t));
        cr_assert_not(host_evictable(&h, until + 600 * S - 1));
        cr_assert(host_evictable(&h, until + 600 * S));
        probe(&h, until + 900 * S);
        cr_assert_not(host_evictable(&h, until + 900 * S));
        host_forget(windows, &h);
        struct host g = host_new();
        g.rate.tat_ns = t + 1;
        cr_assert_not(host_evictable(&g, t));
        cr_assert(host_evictable(&g, t + 1));
    }
}

Test(host, absurd_rules)
{
    r.probes = 0; /* one */
    struct host h = host_new();
    uint64_t until = hold(&h, 0);
    uint8_t round = probe(&h, until);
    held_until(&h, until, until + 20 * MS);
    cr_assert_eq(probe_ended(&h, round, until, true).change, HOST_NOW_OPEN);
    r.probes = 1000; /* 63 */
    struct host g = host_new();
    until = hold(&g, 0);
    for (int i = 0; i < 63; i++) round = probe(&g, until);
    held_until(&g, until, until + 20 * MS);
    for (int i = 0; i < 62; i++)
        cr_assert_eq(probe_ended(&g, round, until, true).change, HOST_SAME);
    cr_assert_eq(probe_ended(&g, round, until, true).change, HOST_NOW_OPEN);
    cr_assert_eq(host_limit(&g), 63);
}

static uint64_t second_hold(uint64_t cooldown, uint64_t max, uint32_t growth)
{
    r.cooldown_ns = cooldown;
    r.cooldown_max_ns = max;
    r.cooldown_growth_milli = growth;
    struct host h = host_new();
    uint64_t until = hold(&h, S);
    uint64_t again = probe_ended(&h, probe(&h, until), until, false).until_ns;
    host_forget(windows, &h);
    return again - until;
}

Test(host, absurd_cooldowns)
{
    cr_assert_eq(second_hold(0, 0, 0), 0);
    cr_assert_eq(second_hold(60 * S, 600 * S, 0), 60 * S); /* never shorter */
    cr_assert_eq(second_hold(60 * S, 600 * S, 1000), 60 * S);
    cr_assert_eq(second_hold(60 * S, 600 * S, UINT32_MAX), 600 * S);
    cr_assert_eq(second_hold(900 * S, 600 * S, 1500), 900 * S); /* the longer one is the most */
    uint64_t year = 365 * 86400 * S;
    cr_assert_eq(second_hold(UINT64_MAX, UINT64_MAX, UINT32_MAX), year);
}

Test(host, no_attempts_no_report)
{
    struct host h = host_new(), before = h;
    cr_assert_eq(report(&h, 5 * S, 0, 0).change, HOST_SAME);
    cr_assert_eq(memcmp(&before, &h, sizeof h), 0);
}

Test(host, more_failures_than_attempts_stop_the_process, .signal = SIGABRT)
{
    struct host h = host_new();
    report(&h, 5 * S, 1, 2);
}

/* The referee of random histories: every report in a list, health as delivery.md says it. */
enum { REPORTS = 4096 };
struct referee {
    uint64_t second[REPORTS];
    uint32_t attempts[REPORTS], failures[REPORTS], count;
    enum { OPEN, HELD, PROBING } state;
    uint64_t until, opened, cooldown;
    uint32_t out, ok;
};

static bool majority(const struct referee *f, uint64_t now)
{
    uint64_t attempts = 0, failures = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->second[i] + 60 <= now / S) continue;
        attempts += f->attempts[i];
        failures += f->failures[i];
    }
    return failures >= r.min_failures && 2 * failures > attempts;
}

static void referee_hold(struct referee *f, uint64_t now)
{
    f->state = HELD;
    f->until = now + f->cooldown;
    f->cooldown = f->cooldown * 3 / 2 < 600 * S ? f->cooldown * 3 / 2 : 600 * S;
    f->count = f->out = f->ok = 0;
}

static void some_report(struct host *h, struct referee *f, uint64_t now, struct prng *dice,
                        uint32_t bad_pct)
{
    uint32_t attempts = 1 + (uint32_t)prng_below(dice, 8), failures = 0;
    for (uint32_t i = 0; i < attempts; i++) failures += prng_percent(dice, bad_pct);
    struct host_event e = report(h, now, attempts, failures);
    bool now_held = false;
    if (f->state == OPEN) {
        MUST(f->count < REPORTS);
        f->second[f->count] = now / S;
        f->attempts[f->count] = attempts;
        f->failures[f->count++] = failures;
        now_held = failures > 0 && majority(f, now);
    }
    MUST((e.change == HOST_NOW_HELD) == now_held);
    if (!now_held) return;
    if (now - f->opened >= 60 * S) f->cooldown = 60 * S;
    referee_hold(f, now);
    MUST(e.until_ns == f->until);
}

static void some_probe(struct host *h, struct referee *f, uint64_t now, struct prng *dice,
                       uint8_t *round, uint32_t bad_pct)
{
    uint64_t until = 0;
    if (f->out > 0 && prng_percent(dice, 40)) {
        bool ok = !prng_percent(dice, bad_pct);
        struct host_event e = probe_ended(h, *round, now, ok);
        f->out--;
        if (!ok) {
            referee_hold(f, now);
            MUST(e.change == HOST_NOW_HELD && e.until_ns == f->until);
        } else if (++f->ok == 3) {
            f->state = OPEN;
            f->opened = now;
            f->count = 0;
            MUST(e.change == HOST_NOW_OPEN && host_opened_ns(h) == now);
        } else {
            MUST(e.change == HOST_SAME);
        }
        return;
    }
    if (f->out > 0 && prng_percent(dice, 10)) {
        host_probe_unused(h, *round);
        f->out--;
        return;
    }
    enum host_gate gate = host_gate(h, &r, now, &until, round);
    if (f->state == OPEN) {
        MUST(gate == HOST_OPEN);
    } else if (f->state == HELD && now < f->until) {
        MUST(gate == HOST_HELD && until == f->until);
    } else if (f->state == PROBING && f->out + f->ok == 3) {
        MUST(gate == HOST_HELD && until == now + 20 * MS);
    } else {
        MUST(gate == HOST_PROBE);
        if (f->state == HELD) f->out = f->ok = 0;
        f->state = PROBING;
        f->out++;
    }
}

Test(host, random_histories, .timeout = 120)
{
    struct prng dice;
    prng_seed(&dice, 21);
    static struct referee f;
    uint64_t holds = 0, opens = 0;
    for (int life = 0; life < 200; life++) {
        struct host h = host_new();
        memset(&f, 0, sizeof f);
        f.cooldown = 60 * S;
        uint64_t now = starts[prng_below(&dice, 5)];
        /* A failure first: then all is counted by the second, as the referee does. */
        uint32_t bad_pct = 100;
        some_report(&h, &f, now, &dice, bad_pct);
        uint8_t round = 0;
        for (int step = 0; step < 2000; step++) {
            if (prng_percent(&dice, 2)) bad_pct = (uint32_t)prng_below(&dice, 101);
            now += prng_below(&dice, prng_percent(&dice, 1) ? 100000 : 700) * MS;
            unsigned was = f.state;
            if (f.state == OPEN || prng_percent(&dice, 20))
                some_report(&h, &f, now, &dice, bad_pct);
            else some_probe(&h, &f, now, &dice, &round, bad_pct);
            holds += was != HELD && f.state == HELD;
            opens += was == PROBING && f.state == OPEN;
        }
        host_forget(windows, &h);
    }
    cr_assert_gt(holds, 1000, "%lu", holds);
    cr_assert_gt(opens, 300, "%lu", opens);
}
