/* tests/sim/rules_names.c - goal: a name is asked for when it is needed and as often as it must be;
 * what is slow or dead about it costs its own host alone; every answer is vetted; and of several
 * addresses one that works is found in time and remembered.
 *
 * Method: fixed scenarios (rules.h) with names whose answers are fixed too.
 */
#include "tests/sim/rules.h"

#include <string.h>

enum { SENDS_MAX = 4000 };

static const struct truth_send *list[SENDS_MAX];

static double first_start(const struct play *p, uint32_t host)
{
    uint32_t n = play_sends(p, host, list, SENDS_MAX);
    RULE(n > 0, "host %u was never sent to", host);
    return play_s(p, list[0]->start_ns);
}

static double last_start(const struct play *p, uint32_t host)
{
    uint32_t n = play_sends(p, host, list, SENDS_MAX);
    RULE(n > 0, "host %u was never sent to", host);
    return play_s(p, list[n - 1]->start_ns);
}

/* A request on a connection of its own. */
static void then_close(struct play *p, const struct truth_send *e, struct truth_reply *r)
{
    MAYBE(p != NULL && e != NULL);
    r->kind = ANSWER_OK_CLOSE;
    answer_field(r, "Connection: close");
}

static uint32_t connects(const struct play *p, uint32_t host)
{
    return net_host(p->world->net, host)->connects;
}

static void ended_as(const struct play *p, uint32_t line, const char *outcome, const char *error)
{
    const struct play_told *t = play_told(p, line);
    RULE(strcmp(t->outcome, outcome) == 0 && strcmp(t->error, error) == 0,
         "line %u ended as %s, %s", line, t->outcome, t->error);
}

/* ---- asking -------------------------------------------------------------------------------- */

static void slow_resolver(uint64_t seed)
{
    struct play *p = play_new(seed);
    struct dns_name *slow, *quick;
    uint32_t hosts[3] = {play_named(p, 1, &slow), play_named(p, 1, &quick), play_host(p)};
    slow->delay_ns = 3 * SECOND;
    p->config.connections = 8; /* fewer than the records of one host */
    p->config.memory_bytes = p->config.shards * UINT64_C(4194304);
    for (int i = 0; i < 900; i++) (void)play_record(p, hosts[i % 3], "");
    play_run(p, 60);
    RULE(play_outcomes(p, "delivered") == 900, "not all were delivered");
    WITHIN(first_start(p, hosts[0]), 3, 3 + SOON, "the slow host begins");
    for (int k = 1; k < 3; k++)
        RULE(last_start(p, hosts[k]) < 2.5, "host %d was still sent to at %.3f s", k,
             last_start(p, hosts[k]));
    play_free(p);
}

static void silent_resolver(uint64_t seed)
{
    struct play *p = play_new(seed);
    struct dns_name *silent;
    uint32_t host = play_named(p, 1, &silent), other = play_host(p);
    silent->silent = true;
    p->config.retry.retries = 1;
    p->config.retry.unreachable = (struct backoff){60 * SECOND, 60 * SECOND, 1000};
    for (int i = 0; i < 10; i++) (void)play_record(p, host, "");
    uint32_t fine = play_record(p, other, "");
    play_run(p, 600);
    WITHIN(play_told(p, fine)->finished, 0, SOON, "the other host's record");
    for (uint32_t line = 1; line <= 10; line++) {
        const struct play_told *t = play_told(p, line);
        ended_as(p, line, "exhausted", "dns_timeout");
        RULE(t->status == 599 && t->attempts == 2, "line %u: %d, %d attempts", line, (int)t->status,
             (int)t->attempts);
        WITHIN(t->first, 5, 5 + SOON, "its first attempt ends with the time limit");
        WITHIN(t->finished, 35 + 5, 65 + 5 + 2 * SOON, "its second attempt");
    }
    /* Three tries of two types for each of two rounds, in each shard. */
    RULE(silent->questions <= 12 * p->config.shards * 2, "%u questions", silent->questions);
    play_free(p);
}

/* More names than may be asked for at once, most of them silent: the others get their turn. */
static void many_names(uint64_t seed)
{
    enum { SILENT = 40, FINE = 7 };
    struct play *p = play_new(seed);
    struct dns_name *name;
    p->config.shards = 1;
    p->config.connections = 16;
    p->config.memory_bytes = 2359296; /* about 30 questions */
    p->config.retry.retries = 0;
    for (int i = 0; i < SILENT + FINE; i++) {
        uint32_t host = play_named(p, 1, &name);
        name->silent = i < SILENT;
        (void)play_record(p, host, "");
    }
    play_run(p, 120);
    for (uint32_t line = 1; line <= SILENT; line++) ended_as(p, line, "exhausted", "dns_timeout");
    for (uint32_t line = SILENT + 1; line <= SILENT + FINE; line++) {
        ended_as(p, line, "delivered", "");
        WITHIN(play_told(p, line)->finished, 0, 10, "line %u", line); /* c-ares gives up: 8.75 s */
    }
    play_free(p);
}

static void no_such_name(uint64_t seed)
{
    struct play *p = play_new(seed);
    struct dns_name *gone;
    uint32_t host = play_named(p, 1, &gone);
    play_no_health(p);
    gone->set[0].none = true;
    p->config.retry.retries = 0;
    for (int i = 0; i < 300; i++) (void)play_record(p, host, "");
    play_run(p, 60);
    for (uint32_t line = 1; line <= 300; line++) ended_as(p, line, "exhausted", "dns_failure");
    RULE(gone->questions <= 2 * p->config.shards, "%u questions for a name that is not there",
         gone->questions);
    RULE(connects(p, host) == 0, "a connect to a host without address");
    play_free(p);
}

/* Asked again when its time is over and a connection is needed, not before. */
static void time_to_live(uint64_t seed)
{
    struct play *p = play_new(seed);
    struct dns_name *name;
    uint32_t host = play_named(p, 1, &name);
    p->config.shards = 1;
    p->answer = then_close;
    name->set[0].ttl_s = 10;
    p->config.host_rate_interval_ns = SECOND;
    for (int i = 0; i < 61; i++) (void)play_record(p, host, "");
    play_run(p, 600);
    RULE(play_outcomes(p, "delivered") == 61, "not all were delivered");
    WITHIN(name->questions, 2 * 6, 2 * 7, "questions in 60 s"); /* of both types */
    play_free(p);
}

/* ---- where it leads ------------------------------------------------------------------------ */

/* A private address the second time; nothing is sent there, nor to the old address. */
static void rebinding(uint64_t seed)
{
    struct play *p = play_new(seed);
    struct dns_name *name;
    uint32_t host = play_named(p, 1, &name);
    p->answer = then_close;
    name->set[0].ttl_s = 2;
    name->set[1] = (struct dns_set){.privates = 1, .ttl_s = 600};
    name->moves_ns = p->start_ns + 10 * SECOND;
    p->config.host_rate_interval_ns = SECOND;
    for (int i = 0; i < 30; i++) (void)play_record(p, host, "");
    play_run(p, 600);
    uint32_t delivered = play_outcomes(p, "delivered");
    WITHIN(delivered, 10, 13 + 3, "delivered before it moved");
    RULE(play_outcomes(p, "failed") == 30 - delivered, "the others did not fail");
    for (uint32_t line = 1; line <= 30; line++)
        if (strcmp(play_told(p, line)->outcome, "failed") == 0)
            ended_as(p, line, "failed", "blocked_address");
    WITHIN(last_start(p, host), 0, 12 + SOON, "the last connect");
    play_free(p);
}

/* Of an answer with private addresses only the others are used. */
static void mixed_answer(uint64_t seed)
{
    struct play *p = play_new(seed);
    struct dns_name *name;
    uint32_t host = play_named(p, 2, &name);
    p->answer = then_close;
    name->set[0].privates = DNS_SIM_PRIVATE_MAX;
    for (int i = 0; i < 40; i++) (void)play_record(p, host, "");
    play_run(p, 60);
    RULE(play_outcomes(p, "delivered") == 40, "not all were delivered");
    RULE(connects(p, host) == 40, "%u connects for 40 requests", connects(p, host));
    play_free(p);
}

/* ---- several addresses --------------------------------------------------------------------- */

/* The first refuses, the second does not answer, the third works: tried at once and after 250 ms;
 * connections that come later begin with the one that works. */
static void race(uint64_t seed)
{
    struct play *p = play_new(seed);
    struct dns_name *name;
    uint32_t host = play_named(p, 3, &name);
    p->config.shards = 1;
    p->config.health.first_limit = 1;
    p->answer = then_close;
    net_host(p->world->net, host)->dead = 3;
    p->config.host_rate_interval_ns = SECOND;
    for (int i = 0; i < 20; i++) (void)play_record(p, host, "");
    play_run(p, 600);
    RULE(play_outcomes(p, "delivered") == 20, "not all were delivered");
    bool told = net_host(p->world->net, host)->timed_out > 0; /* that there is none, by ICMP */
    WITHIN(first_start(p, host), told ? 0 : 0.25, 0.25 + 0.02, "the third address is tried");
    uint32_t n = play_sends(p, host, list, SENDS_MAX);
    for (uint32_t i = 1; i < n; i++) {
        const struct play_told *t = play_told(p, list[i]->line->number);
        WITHIN(t->total, 0, 0.05, "line %u begins with the one that works", list[i]->line->number);
    }
    WITHIN(connects(p, host), 22, 23, "connects");
    play_free(p);
}

/* Seven of eight are dead, three of them silently: one attempt finds the eighth. */
static void mostly_dead(uint64_t seed)
{
    struct play *p = play_new(seed);
    struct dns_name *name;
    uint32_t host = play_named(p, 8, &name);
    p->answer = then_close;
    name->set[0].ttl_s = 3600;
    net_host(p->world->net, host)->dead = 0x7f;
    for (int i = 0; i < 200; i++) (void)play_record(p, host, "");
    play_run(p, 60);
    RULE(play_outcomes(p, "delivered") == 200, "not all were delivered");
    for (uint32_t line = 1; line <= 200; line++) {
        const struct play_told *t = play_told(p, line);
        RULE(t->attempts == 1, "line %u took %d attempts", line, (int)t->attempts);
        WITHIN(t->total, 0, 2, "line %u", line);
    }
    /* Those that begin before the first has found it may meet each dead address once. */
    RULE(connects(p, host) <= 200 + 12 * 7 * p->config.shards, "%u connects", connects(p, host));
    play_free(p);
}

/* One connection at a time is allowed: then there is no race, and the addresses take turns. */
static void one_by_one(uint64_t seed)
{
    struct play *p = play_new(seed);
    struct dns_name *name;
    uint32_t host = play_named(p, 3, &name);
    p->config.shards = 1;
    p->config.host_connections = 1;
    p->config.connect_timeout_ns = SECOND;
    net_host(p->world->net, host)->dead = 3;
    for (int i = 0; i < 5; i++) (void)play_record(p, host, "");
    play_run(p, 60);
    RULE(play_outcomes(p, "delivered") == 5, "not all were delivered");
    bool told = net_host(p->world->net, host)->timed_out > 0;
    WITHIN(first_start(p, host), told ? 0 : 1, 1 + SOON, "after the silent one's time limit");
    RULE(net_host(p->world->net, host)->open_most == 1, "two connections at once");
    play_free(p);
}

/* It has moved while its old address was still believed in: asked again, once that is 10 s old. */
static void moved(uint64_t seed)
{
    struct play *p = play_new(seed);
    struct dns_name *name;
    uint32_t host = play_named(p, 2, &name);
    play_no_health(p);
    p->config.shards = 1;
    p->config.retry.unreachable = (struct backoff){30 * SECOND, 30 * SECOND, 1000};
    net_host(p->world->net, host)->dead = 1;
    name->set[0] = (struct dns_set){.addrs = 1, .ttl_s = 3600};
    name->set[1] = (struct dns_set){.addrs = 2, .ttl_s = 3600};
    name->moves_ns = p->start_ns + SECOND;
    for (int i = 0; i < 20; i++) (void)play_record(p, host, "");
    play_run(p, 600);
    RULE(play_outcomes(p, "delivered") == 20, "not all were delivered");
    for (uint32_t line = 1; line <= 20; line++)
        RULE(play_told(p, line)->attempts == 2, "line %u took %d attempts", line,
             (int)play_told(p, line)->attempts);
    RULE(name->questions == 4, "%u questions", name->questions);
    play_free(p);
}

/* The DNS falls silent when the answer's time is over: the old address goes on to be used. */
static void stale(uint64_t seed)
{
    struct play *p = play_new(seed);
    struct dns_name *name;
    uint32_t host = play_named(p, 1, &name);
    p->answer = then_close;
    name->set[0].ttl_s = 2;
    name->silent_ns = p->start_ns + SECOND;
    p->config.host_rate_interval_ns = SECOND;
    for (int i = 0; i < 60; i++) (void)play_record(p, host, "");
    play_run(p, 600);
    RULE(play_outcomes(p, "delivered") == 60, "not all were delivered");
    WITHIN(p->lasted, 58.9, 75,
           "the run"); /* it waits for the first question that is not answered */
    play_free(p);
}

const struct rule rules_names[] = {
    {"names_slow_resolver", slow_resolver},
    {"names_silent_resolver", silent_resolver},
    {"names_none", no_such_name},
    {"names_time_to_live", time_to_live},
    {"names_rebinding", rebinding},
    {"names_mixed_answer", mixed_answer},
    {"names_race", race},
    {"names_mostly_dead", mostly_dead},
    {"names_one_by_one", one_by_one},
    {"names_moved", moved},
    {"names_many", many_names},
    {"names_stale", stale},
    {NULL, NULL},
};
