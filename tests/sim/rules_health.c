/* tests/sim/rules_health.c - goal: a failing host is held, probed and brought back as delivery.md
 * section 5 says, takes nothing from the others (section 6), and is not hit harder than a healthy
 * one (the retry budget of section 3).
 *
 * Method: fixed scenarios (rules.h): receivers that fail by script, and times of their log.
 */
#include "tests/sim/rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SENDS_MAX = 20000 };

static uint32_t sends_of(const struct play *p, uint32_t host, const struct truth_send ***out)
{
    static const struct truth_send *list[SENDS_MAX];
    *out = list;
    return play_sends(p, host, list, SENDS_MAX);
}

static double start_of(const struct play *p, const struct truth_send *e)
{
    return play_s(p, e->start_ns);
}

static double end_of(const struct play *p, const struct truth_send *e)
{
    return play_s(p, e->consumed_ns);
}

static void all_delivered(const struct play *p)
{
    uint32_t n = play_outcomes(p, "delivered");
    RULE(n == p->truth.lines_count, "%u delivered of %u", n, p->truth.lines_count);
}

/* ---- when a host is held ------------------------------------------------------------------- */

/* Answers by the order of arrival: good ones from state[1] on for state[2], bad ones before. */
static void in_order(struct play *p, const struct truth_send *e, struct truth_reply *r)
{
    int n = p->state[0]++;
    MAYBE(e->begun_ns > 0);
    bool bad = p->state[3] ? n >= p->state[1] && n < p->state[1] + p->state[2] : n < p->state[1];
    if (!bad) return;
    answer_status(r, (uint16_t)p->state[4]);
    if (p->state[4] == 0) r->kind = ANSWER_CLOSE;
    if (p->state[4] == 1) r->kind = ANSWER_SILENT;
    if (p->state[5]) answer_field(r, "Retry-After: 0.1");
}

/* One request at a time, so that the order of ends is the order of starts; good first, then bad,
 * then good again. */
static struct play *order_play(uint64_t seed, int good, int bad, int status)
{
    struct play *p = play_new(seed);
    p->answer = in_order;
    p->config.retry.retries = 0;
    p->config.host_connections = 1;
    p->config.timeout_ns = SECOND;
    p->state[1] = good;
    p->state[2] = bad;
    p->state[3] = 1;
    p->state[4] = status;
    uint32_t host = play_host(p);
    for (int i = 0; i < good + bad + 15; i++) (void)play_record(p, host, "");
    return p;
}

static void held_after(const struct play *p, uint32_t n)
{
    const struct truth_send **e;
    uint32_t count = sends_of(p, 0, &e);
    RULE(p->stats.holds == 1, "%" PRIu64 " holds, not one", p->stats.holds);
    RULE(count > n, "%u requests", count);
    WITHIN(start_of(p, e[n]) - end_of(p, e[n - 1]), 60, 60 + SOON, "the cooldown after failure %u",
           n);
    for (uint32_t i = 1; i < count; i++)
        RULE(i == n || start_of(p, e[i]) - end_of(p, e[i - 1]) < 10, "a wait after request %u", i);
}

static void never_held(const struct play *p)
{
    RULE(p->stats.holds == 0 && p->stats.deferred == 0, "%" PRIu64 " holds", p->stats.holds);
    RULE(p->lasted < 59, "it lasted %.3f s", p->lasted);
}

static void majority_20(uint64_t seed)
{
    struct play *p = order_play(seed, 0, 20, 503);
    play_run(p, 100);
    held_after(p, 20);
    RULE(p->stats.deferred > 0, "nothing was deferred");
    play_free(p);
}

static void majority_19(uint64_t seed)
{
    struct play *p = order_play(seed, 0, 19, 503);
    play_run(p, 100);
    never_held(p);
    play_free(p);
}

/* Half is no majority; one more is. */
static void majority_half(uint64_t seed)
{
    struct play *p = order_play(seed, 25, 25, 503);
    play_run(p, 100);
    never_held(p);
    play_free(p);
    p = order_play(seed, 25, 26, 503);
    play_run(p, 100);
    held_after(p, 51);
    play_free(p);
}

/* 19 failures, a pause, and 19 again: those of more than a window ago count no more. */
static struct play *twice_19(uint64_t seed, double pause)
{
    struct play *p = order_play(seed, 0, 38, 503);
    p->truth.lines_count = 0;
    p->text_len = 0;
    char more[80] = "";
    for (uint32_t i = 0; i < 19 + 24; i++) {
        if (i == 19) snprintf(more, sizeof more, ",\"not_before\":\"%s\"", play_stamp(p, pause));
        (void)play_record(p, 0, more);
    }
    return p;
}

static void window_forgets(uint64_t seed)
{
    struct play *p = twice_19(seed, 70);
    play_run(p, 100);
    RULE(p->stats.holds == 0, "%" PRIu64 " holds", p->stats.holds);
    play_free(p);
    p = twice_19(seed, 40);
    play_run(p, 12000); /* each probe is one of the other 18 bad answers */
    RULE(p->stats.holds >= 1, "no hold, and 20 failures within 60 s");
    play_free(p);
}

static void what_counts(uint64_t seed)
{
    static const struct {
        int status;
        bool counts;
    } rows[] = {{408, true},  {429, true},  {502, true},  {503, true},  {504, true},
                {529, true},  {0, true},    {1, true},    {500, false}, {501, false},
                {404, false}, {410, false}, {301, false}, {505, false}, {400, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct play *p = order_play(seed, 0, 25, rows[i].status);
        play_run(p, 3000);
        RULE((p->stats.holds > 0) == rows[i].counts, "status %d: %" PRIu64 " holds", rows[i].status,
             p->stats.holds);
        play_free(p);
    }
}

static void refusal_counts(uint64_t seed)
{
    struct play *p = order_play(seed, 0, 10, 503);
    net_host(p->world->net, 0)->refuses = true;
    p->config.retry.window_ns = p->config.retry.unreachable_window_ns = 300 * SECOND;
    play_run(p, 400);
    RULE(p->stats.holds > 0, "a host that refuses connections is not held");
    RULE(p->truth.log[0].count < 25 + 15, "%u tries", p->truth.log[0].count);
    play_free(p);
}

static void hinted_429(uint64_t seed)
{
    struct play *p = order_play(seed, 0, 40, 429);
    p->state[5] = 1;
    play_run(p, 100);
    never_held(p);
    play_free(p);
}

static void absolute(uint64_t seed)
{
    enum { FAILURES = 30 };
    struct play *p = order_play(seed, 0, FAILURES, 503);
    p->config.health.absolute = FAILURES;
    p->config.health.min_failures = 1000;
    play_run(p, 100);
    held_after(p, FAILURES);
    play_free(p);
    p = order_play(seed, 0, FAILURES - 1, 503);
    p->config.health.absolute = FAILURES;
    p->config.health.min_failures = 1000;
    play_run(p, 100);
    never_held(p);
    play_free(p);
    p = order_play(seed, 100, FAILURES, 503); /* no majority is needed */
    p->config.health.absolute = FAILURES;
    play_run(p, 100);
    held_after(p, 100 + FAILURES);
    play_free(p);
}

/* ---- cooldown, probes, ramp ---------------------------------------------------------------- */

static void dead_until(struct play *p, const struct truth_send *e, struct truth_reply *r)
{
    MAYBE(e->begun_ns > 0);
    if (play_now(p) < p->number[0]) answer_status(r, 503);
}

static struct play *dead_play(uint64_t seed, double until, uint32_t records)
{
    struct play *p = play_new(seed);
    p->answer = dead_until;
    p->number[0] = until;
    p->delay = 0.1;
    p->config.retry.window_ns = 36000 * SECOND;
    p->config.health.budget_per_s = 100000;
    uint32_t host = play_host(p);
    for (uint32_t i = 0; i < records; i++) (void)play_record(p, host, "");
    return p;
}

/* When the failure that is one too many was read. */
static double hold_begins(const struct play *p, const struct truth_send **e, uint32_t count,
                          uint32_t failures)
{
    double last = -1;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < count && seen < failures; i++) {
        RULE(e[i]->status == 503, "the host had recovered");
        seen++;
        if (end_of(p, e[i]) > last) last = end_of(p, e[i]);
    }
    return last;
}

static void cooldown_probes_ramp(uint64_t seed)
{
    struct play *p = dead_play(seed, 30, 600);
    const struct truth_send **e;
    play_run(p, 200);
    uint32_t count = sends_of(p, 0, &e);
    double held = hold_begins(p, e, count, 20);
    RULE(p->stats.holds == 1, "%" PRIu64 " holds", p->stats.holds);
    RULE(play_count(p, 0, PLAY_ANY, held + 0.005, held + 60) == 0, "%u requests while it was held",
         play_count(p, 0, PLAY_ANY, held + 0.005, held + 60));
    double probes = 1e9;
    for (uint32_t i = 0; i < count; i++)
        if (start_of(p, e[i]) > held + 0.005 && start_of(p, e[i]) < probes)
            probes = start_of(p, e[i]);
    WITHIN(probes - held, 60, 60 + SOON, "the cooldown");
    RULE(play_count(p, 0, PLAY_ANY, probes, probes + 0.1) == 3, "%u probes",
         play_count(p, 0, PLAY_ANY, probes, probes + 0.1));
    double from = probes + 0.1;
    uint32_t most = 6;
    for (int round = 1; round <= 4; round++) {
        uint32_t n = play_count(p, 0, PLAY_ANY, from, from + 0.1);
        WITHIN((double)n, most / 4.0, most + 2, "requests in round %d after the probes", round);
        from += 0.1;
        most *= 2;
    }
    all_delivered(p);
    WITHIN(p->lasted, 60, 130, "all of it");
    play_free(p);
}

/* The longer it lasts, the longer the waits: 60, 90, 135 ... 600, with three probes between. */
static void cooldown_grows(uint64_t seed)
{
    struct play *p = dead_play(seed, 5000, 400);
    const struct truth_send **e;
    play_run(p, 6000);
    uint32_t count = sends_of(p, 0, &e), bursts = 0, in_burst = 0;
    double wait = 60, last = hold_begins(p, e, count, 20), began = -1;
    for (uint32_t i = 0; i < count && start_of(p, e[i]) < 5000; i++) {
        double at = start_of(p, e[i]);
        if (at <= last + 0.005) continue;
        if (began < 0 || at > began + 5) {
            RULE(bursts == 0 || in_burst <= 3, "%u probes at %.1f s", in_burst, began);
            if (bursts > 0) wait = wait * 1.5 < 600 ? wait * 1.5 : 600;
            WITHIN(at - last, wait, wait + 0.3, "cooldown %u, at %.1f s", bursts + 1, at);
            bursts++;
            in_burst = 0;
            began = at;
            last = end_of(p, e[i]);
        }
        in_burst++;
    }
    WITHIN((double)bursts, 9, 13, "times that it was probed");
    all_delivered(p);
    WITHIN(p->lasted, 5000, 5000 + 600 + 60, "it was brought back");
    play_free(p);
}

/* When it was well for a window, the next cooldown is a short one again. */
static void revive(struct play *p) { p->number[0] = play_now(p) + 45; }

static void growth_is_forgotten(uint64_t seed)
{
    struct play *p = dead_play(seed, 400, 200);
    const struct truth_send **e;
    char more[80];
    for (uint32_t i = 0; i < 3000; i++) {
        snprintf(more, sizeof more, ",\"not_before\":\"%s\"", play_stamp(p, 700 + 0.2 * i));
        (void)play_record(p, 0, more);
    }
    play_at(p, 1000, revive);
    play_run(p, 2000);
    uint32_t count = sends_of(p, 0, &e);
    double longest = 0, last = 1000;
    for (uint32_t i = 0; i < count; i++) {
        double at = start_of(p, e[i]);
        if (at < 1000) continue;
        if (at - last > longest) longest = at - last;
        last = at;
    }
    WITHIN(longest, 59, 62, "the cooldown of the second outage");
    all_delivered(p);
    play_free(p);
}

/* What began before a hold and ends after it says nothing of the host as it is now. */
enum { OLD_GOOD = 120, OLD_HANG = 30, OLD_BAD = 30 };

static void good_hang_bad_good(struct play *p, const struct truth_send *e, struct truth_reply *r)
{
    int n = p->state[0]++ - OLD_GOOD;
    MAYBE(e->begun_ns > 0);
    if (n >= 0 && n < OLD_HANG) r->kind = ANSWER_SILENT;
    if (n >= OLD_HANG && n < OLD_HANG + OLD_BAD) answer_status(r, 503);
}

static void old_attempts(uint64_t seed)
{
    struct play *p = play_new(seed);
    p->answer = good_hang_bad_good;
    p->delay = 0.05;
    p->config.connections = 256;
    p->config.timeout_ns = 100 * SECOND;
    p->config.health.absolute = 25;
    p->config.health.budget_per_s = 100000;
    uint32_t host = play_host(p);
    for (int i = 0; i < OLD_GOOD + OLD_HANG + OLD_BAD + 40; i++) (void)play_record(p, host, "");
    play_run(p, 400);
    all_delivered(p);
    RULE(p->lasted > 100, "nothing hung");
    RULE(p->stats.holds == 1, "%" PRIu64 " holds", p->stats.holds);
    play_free(p);
}

static void hold_keeps_retries(uint64_t seed)
{
    struct play *p = dead_play(seed, 3600, 300);
    p->config.retry.retries = 2;
    play_run(p, 5000);
    all_delivered(p);
    RULE(p->stats.holds >= 6 && p->stats.deferred > 0, "%" PRIu64 " holds", p->stats.holds);
    play_free(p);
}

static void expired_on_hold(uint64_t seed)
{
    enum { LINES = 100 };
    struct play *p = dead_play(seed, 1e9, LINES);
    char more[80];
    p->config.retry.window_ns = p->config.retry.unreachable_window_ns = 300 * SECOND;
    snprintf(more, sizeof more, ",\"deadline\":\"%s\"", play_stamp(p, 50));
    uint32_t hasty = play_record(p, 0, more);
    play_run(p, 610); /* one that was a probe shortly before 300 s has as long again */
    uint32_t expired = 0;
    for (uint32_t line = 1; line <= LINES; line++) {
        const struct play_told *t = play_told(p, line);
        if (strcmp(t->outcome, "exhausted") == 0) {
            WITHIN(t->finished, 5, 300, "line %u was exhausted", line);
            continue;
        }
        RULE(strcmp(t->outcome, "expired") == 0, "line %u is %s", line, t->outcome);
        double first = t->attempts > 0 ? t->first : 0;
        WITHIN(t->finished, first + 299.99, first + 300 + 1, "line %u expired", line);
        RULE(t->attempts == play_line(p, line)->sends, "line %u: attempts", line);
        expired++;
    }
    RULE(expired >= 80, "%u expired", expired);
    RULE(strcmp(play_told(p, hasty)->outcome, "expired") == 0, "it is %s",
         play_told(p, hasty)->outcome);
    WITHIN(play_told(p, hasty)->finished, 50, 51 + SOON, "the one with a deadline expired");
    play_free(p);
}

/* ---- the retry budget ---------------------------------------------------------------------- */

static void bad_until(struct play *p, const struct truth_send *e, struct truth_reply *r)
{
    MAYBE(e->begun_ns > 0);
    if (play_now(p) < p->number[0]) answer_status(r, 500);
}

static void budget(uint64_t seed)
{
    enum { LINES = 2500 };
    struct play *p = play_new(seed);
    p->answer = bad_until;
    p->number[0] = 100;
    p->delay = 0.001;
    p->config.health.min_failures = 1000000;
    uint32_t host = play_host(p);
    for (uint32_t i = 0; i < LINES; i++) (void)play_record(p, host, "");
    play_run(p, 1000);
    const struct truth_send **e;
    uint32_t count = sends_of(p, 0, &e);
    for (double from = 0; from < 90; from += 5) {
        uint32_t attempts = 0, retries = 0;
        for (uint32_t i = 0; i < count; i++) {
            if (start_of(p, e[i]) < from || start_of(p, e[i]) >= from + 10) continue;
            attempts++;
            retries += e[i]->attempt > 1;
        }
        RULE(retries <= 0.2 * attempts + 10 * 10 + 30,
             "%u retries of %u attempts in 10 s at %.0f s", retries, attempts, from);
        if (from >= 20) RULE(retries >= 80, "only %u retries in 10 s at %.0f s", retries, from);
    }
    all_delivered(p);
    WITHIN(p->lasted, 100, 100 + 60, "the backlog flows once the host is well");
    play_free(p);
}

/* ---- isolation ----------------------------------------------------------------------------- */

static void host_0_hangs(struct play *p, const struct truth_send *e, struct truth_reply *r)
{
    MAYBE(p->start_ns > 0);
    if (e->line->host == 0) r->kind = ANSWER_SILENT;
    if (e->line->host == 1) answer_status(r, 503);
}

/* Host 0 hangs, 1 answers 503, 2 refuses connections, 3 is held by a hint; each has thousands of
 * records before and among those of host 4, and there is little memory and few connections. */
static void isolation(uint64_t seed)
{
    enum { BAD = 4, EACH = 500, GOOD = 100 };
    struct play *p = play_new(seed);
    p->answer = host_0_hangs;
    p->pipe = seed % 2 == 0;
    p->config.connections = 16;
    p->config.memory_bytes = p->config.shards * UINT64_C(3145728);
    p->config.retry.retries = 1;
    p->config.retry.window_ns = p->config.retry.unreachable_window_ns = 900 * SECOND;
    p->config.idle_timeout_ns = 5 * SECOND;
    for (uint32_t i = 0; i <= BAD; i++) (void)play_host(p);
    net_host(p->world->net, 2)->refuses = true;
    net_host(p->world->net, 3)->blackhole = true;
    uint32_t good[GOOD];
    for (uint32_t i = 0; i < GOOD; i++) {
        for (uint32_t k = 0; k < BAD * EACH / GOOD; k++) (void)play_record(p, k % BAD, "");
        good[i] = play_record(p, BAD, "");
    }
    play_run(p, 2000);
    for (uint32_t i = 0; i < GOOD; i++) {
        const struct play_told *t = play_told(p, good[i]);
        RULE(strcmp(t->outcome, "delivered") == 0, "line %u is %s", good[i], t->outcome);
        WITHIN(t->finished, 0, 3, "line %u was delivered", good[i]);
    }
    play_free(p);
}

const struct rule rules_health[] = {{"majority_20", majority_20},
                                    {"majority_19", majority_19},
                                    {"majority_half", majority_half},
                                    {"window_forgets", window_forgets},
                                    {"what_counts", what_counts},
                                    {"refusal_counts", refusal_counts},
                                    {"hinted_429", hinted_429},
                                    {"absolute", absolute},
                                    {"cooldown_probes_ramp", cooldown_probes_ramp},
                                    {"cooldown_grows", cooldown_grows},
                                    {"growth_is_forgotten", growth_is_forgotten},
                                    {"old_attempts", old_attempts},
                                    {"hold_keeps_retries", hold_keeps_retries},
                                    {"expired_on_hold", expired_on_hold},
                                    {"budget", budget},
                                    {"isolation", isolation},
                                    {NULL, NULL}};
