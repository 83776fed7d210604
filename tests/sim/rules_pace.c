/* tests/sim/rules_pace.c - goal: hints and the operator's limits set the speed as delivery.md
 * section 4 says.
 *
 * Method: fixed scenarios (rules.h): receivers with quotas that say so in each dialect, and times
 * of their log.
 */
#include "tests/sim/rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void all_delivered(const struct play *p)
{
    uint32_t n = play_outcomes(p, "delivered");
    RULE(n == p->truth.lines_count, "%u delivered of %u", n, p->truth.lines_count);
}

/* ---- Retry-After --------------------------------------------------------------------------- */

/* The first request of key a after one second is refused with these fields, once. */
static uint16_t refusal_status;
static const char *refusal_fields;

static void refuse_once(struct play *p, const struct truth_send *e, struct truth_reply *r)
{
    if (p->state[0] != 0 || e->line->key != 1 || play_now(p) < 1) return;
    p->state[0] = (int)e->line->number;
    answer_status(r, refusal_status);
    answer_field(r, "%s", refusal_fields);
}

/* Two keys of one host, one request at a time, a tenth of a second each. Returns when the refusal
 * had been read. */
static struct play *refusal_play(uint64_t seed, uint16_t status, const char *fields)
{
    struct play *p = play_new(seed);
    refusal_status = status;
    refusal_fields = fields;
    p->answer = refuse_once;
    p->delay = 0.1;
    p->config.host_connections = 1;
    uint32_t host = play_host(p);
    for (uint32_t i = 0; i < 30; i++) (void)play_keyed(p, host, i % 2 ? "b" : "a");
    return p;
}

static double refusal_end(const struct play *p)
{
    RULE(p->state[0] != 0, "nothing was refused");
    return play_s(p, play_line(p, (uint32_t)p->state[0])->send[0].consumed_ns);
}

static double first_after(const struct play *p, uint32_t key, double from)
{
    double first = 1e9;
    for (uint32_t i = 0; i < p->truth.log[0].count; i++) {
        const struct truth_send *e = p->truth.log[0].at[i].send;
        double at = e == NULL ? 0 : play_s(p, e->start_ns);
        if (at > from && at < first && (key == PLAY_ANY || e->line->key == key)) first = at;
    }
    return first;
}

/* The answered record waits up to a tenth longer, the others go when the hold ends. */
static void held_100_s(const struct play *p, uint32_t key)
{
    double from = refusal_end(p);
    uint32_t line = (uint32_t)p->state[0];
    RULE(play_count(p, 0, key, from + 0.0001, from + 100) == 0, "%u requests during the hold",
         play_count(p, 0, key, from + 0.0001, from + 100));
    WITHIN(play_gap(p, line, 2), 100, 110 + 2, "the refused record went again");
    WITHIN(first_after(p, key, from) - from, 100, 101, "the hold ended");
    all_delivered(p);
    RULE(play_told(p, line)->attempts == 2, "attempts of the refused record");
    for (uint32_t i = 1; i <= p->truth.lines_count; i++)
        RULE(i == line || play_told(p, i)->attempts == 1, "line %u: attempts", i);
    RULE(p->stats.holds == 0, "a hint is no failure");
}

static void retry_after_holds_key(uint64_t seed)
{
    struct play *p = refusal_play(seed, 429, "Retry-After: 100");
    play_run(p, 130);
    held_100_s(p, 1);
    double from = refusal_end(p);
    RULE(play_count(p, 0, 2, from, from + 5) >= 7, "the other key waits too");
    play_free(p);
}

static void retry_after_holds_host(uint64_t seed)
{
    struct play *p = refusal_play(seed, 503, "Retry-After: 100");
    play_run(p, 130);
    held_100_s(p, PLAY_ANY);
    play_free(p);
}

/* The receiver's clock is decades behind: its own Date tells. */
static void retry_after_date(uint64_t seed)
{
    struct play *p = refusal_play(seed, 503,
                                  "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                                  "Retry-After: Sun, 06 Nov 1994 08:51:17 GMT");
    play_run(p, 130);
    held_100_s(p, PLAY_ANY);
    play_free(p);
}

static void retry_after_decimal(uint64_t seed)
{
    struct play *p = refusal_play(seed, 429, "retry-after:  100.0  ");
    play_run(p, 130);
    held_100_s(p, 1);
    play_free(p);
}

static void structured_t_holds(uint64_t seed)
{
    struct play *p = refusal_play(seed, 429, "RateLimit: \"burst\";r=0;t=100");
    play_run(p, 140);
    double from = refusal_end(p);
    RULE(play_count(p, 0, 1, from + 0.0001, from + 99) == 0, "%u requests during the hold",
         play_count(p, 0, 1, from + 0.0001, from + 99));
    RULE(play_count(p, 0, 2, from, from + 5) >= 7, "the other key waits too");
    all_delivered(p);
    play_free(p);
}

/* ---- Remaining and Reset ------------------------------------------------------------------- */

static void remaining_zero(uint64_t seed)
{
    static const char *const fields[] = {
        "X-RateLimit-Limit: 10\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 60",
        "X-Rate-Limit-Limit: 10\r\nX-Rate-Limit-Remaining: 0\r\nX-Rate-Limit-Reset: 1m0s",
        "RateLimit-Limit: 10\r\nRateLimit-Remaining: 0\r\nRateLimit-Reset: 60",
        "RateLimit-Policy: \"q\";q=10;w=60\r\nRateLimit: \"q\";r=0;t=60",
        ("Date: Sat, 28 Nov 2026 00:00:00 GMT\r\nX-RateLimit-Limit: 10\r\n"
         "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1795824060"),
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct play *p = refusal_play(seed, 200, fields[i]);
        play_run(p, 400);
        double from = refusal_end(p);
        WITHIN(first_after(p, 1, from) - from, 59, 62, "the key went on after \"%s\"", fields[i]);
        RULE(play_count(p, 0, 2, from, from + 5) >= 7, "the other key waits too");
        all_delivered(p);
        play_free(p);
    }
}

/* A quota of `limit` in each fixed window of 10 s; what is beyond it is refused, and counted. */
enum dialect { DIALECT_X, DIALECT_X_EPOCH, DIALECT_RL, DIALECT_SF, DIALECT_COUNT };
enum { QUOTA = 100, QUOTA_WINDOW_S = 10 };

static void quota_answer(struct play *p, const struct truth_send *e, struct truth_reply *r)
{
    double now = play_now(p);
    int window = (int)(now / QUOTA_WINDOW_S);
    MAYBE(e->begun_ns > 0);
    if (window != p->state[0]) p->state[1] = 0;
    p->state[0] = window;
    if (p->state[1] >= QUOTA) {
        answer_status(r, 429);
        p->state[2]++;
        if (window > 0) p->state[3]++;
    } else {
        p->state[1]++;
    }
    int left = QUOTA - p->state[1], reset = (window + 1) * QUOTA_WINDOW_S - (int)now;
    switch ((enum dialect)p->state[4]) {
    case DIALECT_X:
        answer_field(r, "X-RateLimit-Limit: %d\r\nX-RateLimit-Remaining: %d", QUOTA, left);
        answer_field(r, "X-RateLimit-Reset: %d", reset);
        break;
    case DIALECT_X_EPOCH:
        answer_field(r, "Date: Sat, 28 Nov 2026 00:%02d:%02d GMT", (int)now / 60,
                     (int)now % 60);
        answer_field(r, "X-Rate-Limit-Limit: %d\r\nX-Rate-Limit-Remaining: %d", QUOTA, left);
        answer_field(r, "X-Rate-Limit-Reset: %d", 1795824000 + (window + 1) * QUOTA_WINDOW_S);
        break;
    case DIALECT_RL:
        answer_field(r, "RateLimit-Limit: %d\r\nRateLimit-Remaining: %d", QUOTA, left);
        answer_field(r, "RateLimit-Reset: %d", reset);
        break;
    case DIALECT_SF:
    case DIALECT_COUNT:
        answer_field(r, "RateLimit-Policy: \"d\";q=%d;w=%d", QUOTA, QUOTA_WINDOW_S);
        answer_field(r, "RateLimit: \"d\";r=%d;t=%d", left, reset);
        break;
    }
}

static void quota_spread_in(uint64_t seed, enum dialect d)
{
    enum { LINES = 600 };
    struct play *p = play_new(seed);
    p->answer = quota_answer;
    p->delay = 0.02;
    p->state[4] = (int)d;
    uint32_t host = play_host(p);
    for (uint32_t i = 0; i < LINES; i++) (void)play_record(p, host, "");
    play_run(p, 600);
    all_delivered(p);
    RULE(p->state[3] <= 3, "dialect %d: %d requests refused after the first window, %d in all",
         (int)d, p->state[3], p->state[2]);
    WITHIN(p->lasted, 40, 76, "dialect %d: time for %d records", (int)d, LINES);
    for (int second = 20; second < 40; second++)
        WITHIN((double)play_count(p, host, PLAY_ANY, second, second + 1), 3, 20,
               "dialect %d: requests in second %d", (int)d, second);
    play_free(p);
}

static void quota_spread(uint64_t seed)
{
    for (int d = 0; d < DIALECT_COUNT; d++) quota_spread_in(seed, (enum dialect)d);
}

static void plenty(struct play *p, const struct truth_send *e, struct truth_reply *r)
{
    MAYBE(e->begun_ns > 0);
    answer_field(r, "X-RateLimit-Limit: 500\r\nX-RateLimit-Remaining: %d", 450 - p->state[0]++);
    answer_field(r, "X-RateLimit-Reset: 600");
}

/* What fits goes at once. */
static void quota_fits(uint64_t seed)
{
    struct play *p = play_new(seed);
    p->answer = plenty;
    p->delay = 0.01;
    uint32_t host = play_host(p);
    for (uint32_t i = 0; i < 60; i++) (void)play_record(p, host, "");
    play_run(p, 1000);
    all_delivered(p);
    WITHIN(p->lasted, 0, 5, "time for 60 records where 450 are allowed");
    play_free(p);
}

/* ---- what is too long, and what is nonsense ------------------------------------------------ */

static void max_hint(uint64_t seed)
{
    struct play *p = refusal_play(seed, 503, "Retry-After: 999999");
    p->config.retry.window_ns = 36000 * SECOND;
    play_run(p, 4100);
    double from = refusal_end(p);
    RULE(play_count(p, 0, PLAY_ANY, from + 0.0001, from + 3600) == 0, "some went before an hour");
    WITHIN(play_gap(p, (uint32_t)p->state[0], 2), 3600, 3962, "the refused record went again");
    WITHIN(first_after(p, PLAY_ANY, from) - from, 3600, 3601, "the hold ended");
    all_delivered(p);
    play_free(p);
}

static void nonsense(uint64_t seed)
{
    static const char *const fields[] = {
        "Retry-After:",
        "Retry-After: -5",
        "Retry-After: NaN",
        "Retry-After: 0x10",
        "Retry-After: inf",
        "Retry-After: 1e400",
        "Retry-After: soon",
        "Retry-After: Sun, 99 Nov 1994 08:51:17 GMT",
        "X-RateLimit-Remaining: -1\r\nX-RateLimit-Reset: -60",
        "RateLimit: \"d\";r=;t=",
        "RateLimit: ;;;,,,",
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct play *p = refusal_play(seed, 503, fields[i]);
        play_run(p, 60);
        WITHIN(play_gap(p, (uint32_t)p->state[0], 2), 5, 10 + SOON, "the retry after \"%s\"",
               fields[i]);
        RULE(p->stats.hints_ignored >= 1, "\"%s\" was not counted", fields[i]);
        all_delivered(p);
        play_free(p);
    }
}

/* Whatever they mean together: nothing waits for ever, and not longer than the longest hint. */
static void absurd(uint64_t seed)
{
    static const char *const fields[] = {
        "Retry-After: 99999999999999999999999999",
        "Retry-After: 5\r\nRetry-After: 70000",
        "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT",
        "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 18446744073709551615",
        "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 99999999999",
        "RateLimit: \"d\";r=0;t=999999999999999",
        "X-RateLimit-Limit: 0\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 0",
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct play *p = refusal_play(seed, 503, fields[i]);
        p->config.retry.window_ns = 36000 * SECOND;
        play_run(p, 9000);
        all_delivered(p);
        play_free(p);
    }
}

/* ---- the operator's limits ----------------------------------------------------------------- */

static void rate_run(uint64_t seed)
{
    struct play *p = play_new(seed);
    p->config.rate_interval_ns = SECOND / 10;
    for (uint32_t i = 0; i < 3; i++) (void)play_host(p);
    for (uint32_t i = 0; i < 100; i++) (void)play_record(p, i % 3, "");
    play_run(p, 30);
    play_rate_check(p, PLAY_ANY, 0.1, "--rate");
    WITHIN(p->lasted, 9.7, 10.6, "100 records at 10 a second");
    all_delivered(p);
    play_free(p);
}

static void rate_host(uint64_t seed)
{
    struct play *p = play_new(seed);
    p->config.host_rate_interval_ns = SECOND / 20;
    for (uint32_t i = 0; i < 3; i++) (void)play_host(p);
    for (uint32_t i = 0; i < 300; i++) (void)play_record(p, i % 3, "");
    play_run(p, 30);
    for (uint32_t i = 0; i < 3; i++) play_rate_check(p, i, 0.05, "--host-rate");
    WITHIN(p->lasted, 4.7, 5.6, "100 records for each of three hosts, at 20 a second");
    all_delivered(p);
    play_free(p);
}

static void limits_file(uint64_t seed)
{
    struct play *p = play_new(seed);
    p->delay = 0.02;
    p->config.rate_interval_ns = SECOND / 25;
    p->config.host_rate_interval_ns = SECOND / 15;
    p->config.limits = play_limits("# ours\n10.0.0.1 rate=5/s connections=1\n"
                                   "10.0.0.2:8001 rate=600/m connections=2\n");
    for (uint32_t i = 0; i < 3; i++) (void)play_host(p);
    net_host(p->world->net, 0)->limit = 1;
    net_host(p->world->net, 1)->limit = 2;
    for (uint32_t i = 0; i < 150; i++) (void)play_record(p, i % 3, "");
    play_run(p, 60);
    play_rate_check(p, 0, 0.2, "5/s in the limits file");
    play_rate_check(p, 1, 0.1, "600/m in the limits file");
    play_rate_check(p, 2, 1.0 / 15, "--host-rate");
    play_rate_check(p, PLAY_ANY, 0.04, "--rate");
    WITHIN(p->lasted, 9.7, 11, "50 records at 5 a second");
    all_delivered(p);
    limits_free((struct limits *)(uintptr_t)p->config.limits);
    play_free(p);
}

/* A rate below one a minute is held over the hours. */
static void rate_slow(uint64_t seed)
{
    struct play *p = play_new(seed);
    p->config.rate_interval_ns = 180 * SECOND;
    for (uint32_t i = 0; i < 2; i++) (void)play_host(p);
    for (uint32_t i = 0; i < 40; i++) (void)play_record(p, i % 2, "");
    play_run(p, 7300);
    play_rate_check(p, PLAY_ANY, 180, "--rate 20/h");
    WITHIN(p->lasted, 39 * 180 - SOON, 39 * 180 + 10, "40 records at 20 an hour");
    all_delivered(p);
    play_free(p);
}

const struct rule rules_pace[] = {{"retry_after_holds_key", retry_after_holds_key},
                                  {"retry_after_holds_host", retry_after_holds_host},
                                  {"retry_after_date", retry_after_date},
                                  {"retry_after_decimal", retry_after_decimal},
                                  {"structured_t_holds", structured_t_holds},
                                  {"remaining_zero", remaining_zero},
                                  {"quota_spread", quota_spread},
                                  {"quota_fits", quota_fits},
                                  {"max_hint", max_hint},
                                  {"nonsense", nonsense},
                                  {"absurd", absurd},
                                  {"rate_run", rate_run},
                                  {"rate_host", rate_host},
                                  {"limits_file", limits_file},
                                  {"rate_slow", rate_slow},
                                  {NULL, NULL}};
