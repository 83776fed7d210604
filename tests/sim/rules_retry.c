/* tests/sim/rules_retry.c - goal: attempts follow each other as delivery.md section 3 says.
 *
 * Method: fixed scenarios (rules.h): receivers that fail in one way, and times of their log.
 */
#include "tests/sim/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double answered_delay[] = {10, 30, 90, 270, 810};
static const double unreachable_delay[] = {60, 240, 960, 3840, 15360};

static void told_is(const struct play *p, uint32_t line, const char *outcome, uint64_t attempts)
{
    const struct play_told *t = play_told(p, line);
    RULE(strcmp(t->outcome, outcome) == 0, "line %u is %s, not %s", line, t->outcome, outcome);
    RULE(t->attempts == attempts, "line %u: %u attempts, not %u", line, (uint32_t)t->attempts,
         (uint32_t)attempts);
}

/* ---- backoff ------------------------------------------------------------------------------- */

static void backoff_judge(const struct play *p, uint32_t lines)
{
    double sum = 0, least = 1, most = 0;
    for (uint32_t line = 1; line <= lines; line++) {
        told_is(p, line, "exhausted", 6);
        RULE(play_line(p, line)->sends == 6, "line %u: %u requests", line,
             play_line(p, line)->sends);
        for (uint32_t k = 2; k <= 6; k++) {
            double delay = answered_delay[k - 2], gap = play_gap(p, line, k);
            WITHIN(gap, delay / 2, delay + SOON, "line %u: the wait before retry %u", line, k - 1);
            double part = gap / delay;
            sum += part;
            least = part < least ? part : least;
            most = part > most ? part : most;
        }
        const struct truth_send *last = &play_line(p, line)->send[5];
        WITHIN(play_told(p, line)->finished, play_s(p, last->consumed_ns) - 0.001,
               play_s(p, last->consumed_ns) + SOON, "line %u ended", line);
    }
    WITHIN(sum / (5 * lines), 0.71, 0.79, "the mean of all waits, as parts of the longest");
    WITHIN(least, 0.5, 0.56, "the shortest wait, as a part of the longest");
    WITHIN(most, 0.94, 1.02, "the longest wait");
}

static void backoff_play(uint64_t seed, bool pipe)
{
    enum { LINES = 60 };
    struct play *p = play_new(seed);
    p->pipe = pipe;
    p->answer = answer_500;
    play_no_health(p);
    uint32_t host = play_host(p);
    for (uint32_t i = 0; i < LINES; i++) (void)play_record(p, host, "");
    play_run(p, 1300);
    backoff_judge(p, LINES);
    play_free(p);
}

static void backoff(uint64_t seed) { backoff_play(seed, false); }
static void backoff_pipe(uint64_t seed) { backoff_play(seed, true); }

static void backoff_cap(uint64_t seed)
{
    struct play *p = play_new(seed);
    p->answer = answer_500;
    play_no_health(p);
    p->config.retry.retries = 9;
    p->config.retry.answered.cap_ns = 40 * SECOND;
    uint32_t line = play_record(p, play_host(p), "");
    play_run(p, 600);
    told_is(p, line, "exhausted", 10);
    for (uint32_t k = 4; k <= 10; k++)
        WITHIN(play_gap(p, line, k), 20, 40 + SOON, "the wait before retry %u", k - 1);
    play_free(p);
}

static void jump_forth(struct play *p) { p->world->wall_ns += 3600 * SECOND; }
static void jump_back(struct play *p) { p->world->wall_ns -= 7200 * SECOND; }

static void wall_jumps(uint64_t seed)
{
    struct play *p = play_new(seed);
    p->answer = answer_500;
    play_no_health(p);
    uint32_t line = play_record(p, play_host(p), "");
    for (uint32_t i = 0; i < 60; i++) play_at(p, 3 + 20 * i, i % 2 ? jump_forth : jump_back);
    play_run(p, 1300);
    told_is(p, line, "exhausted", 6);
    for (uint32_t k = 2; k <= 6; k++)
        WITHIN(play_gap(p, line, k), answered_delay[k - 2] / 2, answered_delay[k - 2] + SOON,
               "the wait before retry %u", k - 1);
    play_free(p);
}

/* ---- the unreachable class ----------------------------------------------------------------- */

static void refuses(const struct play *p, uint32_t host, bool yes)
{
    net_host(p->world->net, host)->refuses = yes;
}

static void recover_all(struct play *p)
{
    for (uint32_t i = 0; i < net_hosts_count(p->world->net); i++) refuses(p, i, false);
}

/* Connects that failed: start and end of each. */
static void tries_judge(const struct play *p, uint32_t host, uint32_t count)
{
    const struct truth_log *log = &p->truth.log[host];
    RULE(log->count == count, "%u tries at host %u, not %u", log->count, host, count);
    for (uint32_t i = 1; i < count; i++) {
        double gap = play_s(p, log->at[i].start_ns) - play_s(p, log->at[i - 1].end_ns);
        double delay = unreachable_delay[i - 1];
        WITHIN(gap, delay / 2, delay + SOON, "the wait before try %u at host %u", i + 1, host);
    }
}

static void unreachable(uint64_t seed)
{
    enum { HOSTS = 6 };
    struct play *p = play_new(seed);
    for (uint32_t i = 0; i < HOSTS; i++) {
        refuses(p, play_host(p), true);
        (void)play_record(p, i, "");
    }
    play_run(p, 21000);
    for (uint32_t i = 0; i < HOSTS; i++) {
        tries_judge(p, i, 6);
        told_is(p, i + 1, "exhausted", 6);
        RULE(play_told(p, i + 1)->status == 599, "status %u",
             (uint32_t)play_told(p, i + 1)->status);
    }
    RULE(p->lasted > 10000, "over after %.0f s", p->lasted);
    play_free(p);
}

static void unreachable_recovers(uint64_t seed)
{
    struct play *p = play_new(seed);
    uint32_t host = play_host(p);
    refuses(p, host, true);
    uint32_t line = play_record(p, host, "");
    play_at(p, 7200, recover_all);
    play_run(p, 21000);
    const struct play_told *t = play_told(p, line);
    RULE(strcmp(t->outcome, "delivered") == 0, "it is %s", t->outcome);
    WITHIN((double)t->attempts, 5, 6, "attempts");
    WITHIN(t->finished, 7200, 20500, "delivered");
    RULE(play_line(p, line)->sends == 1, "%u requests", play_line(p, line)->sends);
    play_free(p);
}

/* The window of the class of the last failure counts: an hour is too late for an answered one. */
static void unreachable_then_answered(uint64_t seed)
{
    struct play *p = play_new(seed);
    p->answer = answer_500;
    uint32_t host = play_host(p);
    refuses(p, host, true);
    uint32_t line = play_record(p, host, "");
    play_at(p, 3600, recover_all);
    play_run(p, 21000);
    RULE(play_line(p, line)->sends == 1, "%u requests", play_line(p, line)->sends);
    RULE(strcmp(play_told(p, line)->outcome, "exhausted") == 0, "it is %s",
         play_told(p, line)->outcome);
    play_free(p);
}

/* ---- windows, deadlines -------------------------------------------------------------------- */

static void window_ends(uint64_t seed)
{
    enum { LINES = 20 };
    struct play *p = play_new(seed);
    p->answer = answer_500;
    play_no_health(p);
    p->config.retry.retries = 22;
    p->config.retry.window_ns = 100 * SECOND;
    p->config.retry.answered.factor_milli = 1000;
    uint32_t host = play_host(p);
    for (uint32_t i = 0; i < LINES; i++) (void)play_record(p, host, "");
    play_run(p, 105);
    for (uint32_t line = 1; line <= LINES; line++) {
        const struct truth_line *l = play_line(p, line);
        told_is(p, line, "exhausted", l->sends);
        double first = play_s(p, l->send[0].start_ns);
        double end = play_s(p, l->send[l->sends - 1].consumed_ns);
        WITHIN(play_s(p, l->send[l->sends - 1].start_ns) - first, 90 - SOON, 100 + 0.001,
               "line %u: the last attempt, since the first", line);
        WITHIN(play_told(p, line)->finished, end - 0.001, end + SOON, "line %u ended", line);
    }
    play_free(p);
}

static void deadline(uint64_t seed)
{
    struct play *p = play_new(seed);
    char more[128];
    p->answer = answer_500;
    play_no_health(p);
    uint32_t host = play_host(p);
    snprintf(more, sizeof more, ",\"deadline\":\"%s\"", play_stamp(p, 25));
    uint32_t soon = play_record(p, host, more);
    snprintf(more, sizeof more, ",\"deadline\":\"%s\"", play_stamp(p, -1));
    uint32_t past = play_record(p, host, more);
    uint32_t epoch = play_record(p, host, ",\"deadline\":1000");
    snprintf(more, sizeof more, ",\"deadline\":\"%s\",\"not_before\":\"%s\"", play_stamp(p, 50),
             play_stamp(p, 60));
    uint32_t never = play_record(p, host, more);
    play_run(p, 60);
    const struct truth_line *l = play_line(p, soon);
    told_is(p, soon, "exhausted", l->sends);
    WITHIN(play_s(p, l->send[l->sends - 1].start_ns), 5, 25, "the last attempt");
    WITHIN(play_told(p, soon)->finished, 5, 25 + SOON, "it ended");
    told_is(p, past, "expired", 0);
    told_is(p, epoch, "expired", 0);
    told_is(p, never, "expired", 0);
    WITHIN(play_told(p, past)->finished, 0, SOON, "one that came too late ended");
    play_free(p);
}

static void not_before(uint64_t seed)
{
    enum { LINES = 50 };
    struct play *p = play_new(seed);
    char more[80];
    p->pipe = seed % 2 == 0;
    uint32_t host = play_host(p), line[LINES];
    for (uint32_t i = 0; i < LINES; i++) {
        snprintf(more, sizeof more, ",\"not_before\":\"%s\"", play_stamp(p, 100 + 70 * i));
        line[i] = play_record(p, host, i % 2 ? more : "");
    }
    uint32_t past = play_record(p, host, ",\"not_before\":\"2001-01-01T00:00:00Z\"");
    play_run(p, 100 + 70 * LINES);
    for (uint32_t i = 0; i < LINES; i++) {
        double due = i % 2 ? 100 + 70 * i : 0;
        told_is(p, line[i], "delivered", 1);
        WITHIN(play_s(p, play_line(p, line[i])->send[0].start_ns), due, due + SOON, "line %u began",
               line[i]);
    }
    WITHIN(play_s(p, play_line(p, past)->send[0].start_ns), 0, SOON, "one that was due began");
    play_free(p);
}

/* All in the same millisecond: no record is lost, and none goes late. */
static void many_due(uint64_t seed)
{
    enum { LINES = 3000 };
    struct play *p = play_new(seed);
    char more[80];
    p->pipe = seed % 2 == 0;
    p->config.memory_bytes = p->config.shards * UINT64_C(4194304);
    uint32_t hosts[4];
    for (uint32_t i = 0; i < 4; i++) hosts[i] = play_host(p);
    snprintf(more, sizeof more, ",\"not_before\":\"%s\"", play_stamp(p, 100));
    for (uint32_t i = 0; i < LINES; i++) (void)play_record(p, hosts[i % 4], more);
    play_run(p, 110);
    RULE(play_outcomes(p, "delivered") == LINES, "%u delivered", play_outcomes(p, "delivered"));
    for (uint32_t i = 0; i < 4; i++)
        RULE(play_count(p, hosts[i], PLAY_ANY, 0, 100) == 0, "some went too early");
    play_free(p);
}

/* ---- at most once -------------------------------------------------------------------------- */

static void answer_by_host(struct play *p, const struct truth_send *e, struct truth_reply *r)
{
    MAYBE(p->start_ns > 0);
    if (e->line->host == 0) answer_status(r, 503);
    if (e->line->host == 1) r->kind = ANSWER_CLOSE;
    if (e->line->host == 2) r->kind = ANSWER_SILENT;
    if (e->line->host == 3) r->kind = ANSWER_RESET;
}

static void at_most_once(uint64_t seed)
{
    struct play *p = play_new(seed);
    p->config.retry.at_most_once = true;
    p->answer = answer_by_host;
    for (uint32_t i = 0; i < 5; i++) (void)play_record(p, play_host(p), "");
    refuses(p, 4, true);
    play_at(p, 100, recover_all);
    play_run(p, 2000);
    for (uint32_t line = 1; line <= 4; line++) {
        RULE(play_line(p, line)->sends == 1, "line %u was sent %u times", line,
             play_line(p, line)->sends);
        RULE(strcmp(play_told(p, line)->outcome, "failed") == 0, "line %u is %s", line,
             play_told(p, line)->outcome);
        RULE(play_told(p, line)->attempts == 1, "line %u: attempts", line);
    }
    RULE(strcmp(play_told(p, 5)->outcome, "delivered") == 0, "line 5 is %s",
         play_told(p, 5)->outcome);
    play_free(p);
}

/* A final answer stays final, whatever fields it has. */
static void answer_final(struct play *p, const struct truth_send *e, struct truth_reply *r)
{
    static const uint16_t statuses[] = {301, 400, 401, 403, 404, 410, 422, 499};
    MAYBE(p->start_ns > 0);
    answer_status(r, statuses[e->line->host]);
    answer_field(r, "Retry-After: 5");
}

static void final_is_final(uint64_t seed)
{
    struct play *p = play_new(seed);
    p->answer = answer_final;
    for (uint32_t i = 0; i < 8; i++) (void)play_record(p, play_host(p), "");
    play_run(p, 10);
    for (uint32_t line = 1; line <= 8; line++) {
        told_is(p, line, "failed", 1);
        RULE(play_line(p, line)->sends == 1, "line %u was sent again", line);
    }
    play_free(p);
}

static void no_retries(uint64_t seed)
{
    struct play *p = play_new(seed);
    p->config.retry.retries = 0;
    p->answer = answer_500;
    uint32_t bad = play_record(p, play_host(p), ""), dead = play_record(p, play_host(p), "");
    refuses(p, 1, true);
    play_run(p, 10);
    told_is(p, bad, "exhausted", 1);
    told_is(p, dead, "exhausted", 1);
    play_free(p);
}

const struct rule rules_retry[] = {{"backoff", backoff},
                                   {"backoff_pipe", backoff_pipe},
                                   {"backoff_cap", backoff_cap},
                                   {"wall_jumps", wall_jumps},
                                   {"unreachable", unreachable},
                                   {"unreachable_recovers", unreachable_recovers},
                                   {"unreachable_then_answered", unreachable_then_answered},
                                   {"window_ends", window_ends},
                                   {"deadline", deadline},
                                   {"not_before", not_before},
                                   {"many_due", many_due},
                                   {"at_most_once", at_most_once},
                                   {"final_is_final", final_is_final},
                                   {"no_retries", no_retries},
                                   {NULL, NULL}};
