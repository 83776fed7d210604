#include "tests/sim/play.h"

#include "core/engine/shard.h"
#include "tests/sim/dns_sim.h"
#include "tests/sim/io_sim.h"
#include "tests/sim/json_scan.h"
#include "tests/sim/net_sim.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_PORT = 8000,
    ROUNDS_MAX = 4000000,
    TURNS_IDLE_MAX = 1000000, /* rounds in which the clock stands still */
    LINE_BYTES_MAX = 512,
};
/* As gcra.h and pace.h have it, and what a double loses. */
#define TOLERANCE_S 0.0110 /* the pace's 10 ms, and how old a turn's clock may be */

static struct play *current;

static bool script(struct world *w, const struct truth_send *e, struct truth_reply *r)
{
    struct play *p = current;
    CHECK(p != NULL && p->world == w);
    r->kind = ANSWER_OK_LENGTH;
    r->status = 200;
    r->delay_ns = (uint64_t)(p->delay * 1e9);
    if (p->answer != NULL) p->answer(p, e, r);
    return true;
}

struct play *play_new(uint64_t seed)
{
    struct play *p = calloc(1, sizeof *p);
    CHECK(p != NULL && current == NULL);
    current = p;
    p->world = world_new(seed);
    p->world->truth = &p->truth;
    p->truth.script = script;
    p->truth.user_agent = "play/1";
    p->resolver = resolver_new();
    CHECK(p->resolver != NULL);
    CHECK(net_parse("10.0.0.0/8", &p->policy.allow[p->policy.allow_count++]));
    struct config *c = &p->config;
    config_defaults(c);
    c->input_path = "input";
    c->results_path = "results";
    c->events_path = "events";
    c->record_bytes_max = 1024;
    c->block_bytes = 4096;
    c->shards = 1 + world_below(p->world, 3);
    c->pin = false;
    c->connections = 64;
    c->memory_bytes = c->shards * UINT64_C(8388608);
    c->hosts_max = 1024;
    c->policy = &p->policy;
    c->resolver = p->resolver;
    c->dns_servers[0] = dns_sim_server();
    c->dns_servers_count = 1;
    c->user_agent = p->truth.user_agent;
    p->start_ns = p->world->now_ns;
    p->start_wall_ns = p->world->wall_ns + p->world->now_ns;
    return p;
}

void play_free(struct play *p)
{
    CHECK(p == current);
    p->world->truth = NULL;
    truth_logs_free(&p->truth);
    free(p->truth.line);
    free(p->told);
    free(p->text);
    resolver_free(p->resolver);
    world_free(p->world);
    free(p);
    current = NULL;
}

double play_s(const struct play *p, uint64_t ns)
{
    return ((double)ns - (double)p->start_ns) / 1e9;
}

double play_now(const struct play *p) { return play_s(p, p->world->now_ns); }

uint32_t play_host(struct play *p)
{
    uint32_t index = net_hosts_count(p->world->net);
    struct net_host *h = net_host_add(p->world->net);
    h->addrs_count = 1;
    h->limit = UINT32_MAX;
    h->addr[0].v4 = (struct sockaddr_in){.sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)(FIRST_PORT + index))};
    h->addr[0].v4.sin_addr.s_addr = htonl(0x0a000001 + index);
    return index;
}

uint32_t play_named(struct play *p, uint32_t addrs, struct dns_name **name)
{
    uint32_t index = net_hosts_count(p->world->net);
    struct net_host *h = net_host_add(p->world->net);
    char text[64];
    CHECK(addrs > 0 && addrs <= NET_HOST_ADDRS_MAX);
    h->addrs_count = addrs;
    h->limit = UINT32_MAX;
    for (uint32_t i = 0; i < addrs; i++) {
        h->addr[i].v4 = (struct sockaddr_in){.sin_family = AF_INET,
                                             .sin_port = htons((uint16_t)(FIRST_PORT + index))};
        h->addr[i].v4.sin_addr.s_addr = htonl(0x0a070000 + index * 256 + i);
    }
    snprintf(text, sizeof text, "host%u.test", index);
    *name = dns_sim_add(p->world->dns, text, index);
    (*name)->set[0] = (struct dns_set){.addrs = (1U << addrs) - 1, .ttl_s = 60};
    return index;
}

uint32_t play_record(struct play *p, uint32_t host, const char *more)
{
    struct truth *t = &p->truth;
    if (t->lines_count % 256 == 0) {
        size_t room = t->lines_count + 256;
        t->line = realloc(t->line, room * sizeof *t->line);
        CHECK(t->line != NULL && p->run == NULL); /* later, receivers point to them */
    }
    struct truth_line *l = &t->line[t->lines_count++];
    *l = (struct truth_line){
        .kind = LINE_VALID, .number = t->lines_count, .host = host, .method = "POST"};
    snprintf(l->id, sizeof l->id, "r%u", l->number);
    snprintf(l->target, sizeof l->target, "/t/%u", l->number);
    const struct dns_name *name = dns_sim_of_host(p->world->dns, host);
    if (name != NULL)
        snprintf(l->authority, sizeof l->authority, "%.60s:%u", name->name, FIRST_PORT + host);
    else snprintf(l->authority, sizeof l->authority, "10.0.0.%u:%u", host + 1, FIRST_PORT + host);
    if (p->text_room - p->text_len < LINE_BYTES_MAX) {
        p->text_room = 2 * p->text_room + 64 * 1024;
        p->text = realloc(p->text, p->text_room);
        CHECK(p->text != NULL);
    }
    l->offset = p->text_len;
    int n = snprintf(p->text + p->text_len, LINE_BYTES_MAX,
                     "{\"id\":\"%s\",\"url\":\"http://%s%s\"%s}\n", l->id, l->authority, l->target,
                     more);
    CHECK(n > 0 && n < LINE_BYTES_MAX);
    p->text_len += (size_t)n;
    l->len = (size_t)n - 1;
    return l->number;
}

uint32_t play_keyed(struct play *p, uint32_t host, const char *key)
{
    char more[64];
    snprintf(more, sizeof more, ",\"key\":\"%s\"", key);
    uint32_t line = play_record(p, host, more);
    p->truth.line[line - 1].key = (uint32_t)(key[0] - 'a') + 1;
    return line;
}

/* ---- the run ------------------------------------------------------------------------------- */

void play_at(struct play *p, double at, play_event_fn *fn)
{
    CHECK(p->events < PLAY_EVENTS_MAX);
    p->event[p->events++] = (struct play_event){at, fn};
}

static void event_fire(struct world *w, void *obj, uint64_t index)
{
    struct play *p = obj;
    CHECK(p->world == w);
    p->event[index].fn(p);
}

const char *play_stamp(const struct play *p, double at)
{
    static char texts[2][40];
    static int turn;
    char *text = texts[turn ^= 1]; /* so that one call's may hold two */
    uint64_t ns = p->start_wall_ns + (uint64_t)(at * 1e9);
    uint64_t s = ns / SECOND, days = s / 86400, year = 1970;
    static const uint32_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    for (;; year++) {
        uint64_t n = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 366 : 365;
        if (days < n) break;
        days -= n;
    }
    uint32_t month = 0;
    for (;; month++) {
        uint32_t n = month_days[month] + (month == 1 && year % 4 == 0 ? 1 : 0);
        if (days < n) break;
        days -= n;
    }
    snprintf(text, sizeof texts[0], "%04" PRIu64 "-%02u-%02" PRIu64 "T%02u:%02u:%02u.%09uZ", year,
             month + 1, days + 1, (uint32_t)(s / 3600 % 24), (uint32_t)(s / 60 % 60),
             (uint32_t)(s % 60), (uint32_t)(ns % SECOND));
    return text;
}

static void results_read(struct play *p)
{
    const struct file *f = p->results_file;
    p->told = calloc(p->truth.lines_count + 1, sizeof *p->told);
    CHECK(p->told != NULL);
    for (const char *at = f->data, *end = f->data + f->len; f->len > 0 && at < end;) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        RULE(eol != NULL, "results end inside a line");
        struct jscan j;
        jscan_read(&j, at, (size_t)(eol - at));
        uint64_t line = jscan_number(&j, "line");
        RULE(line >= 1 && line <= p->truth.lines_count, "a result for line %" PRIu64, line);
        struct play_told *t = &p->told[line - 1];
        RULE(!t->ended, "line %" PRIu64 " has two endings", line);
        *t = (struct play_told){.ended = true, .first = -1};
        (void)jscan_text(jscan_find(&j, "outcome"), t->outcome, sizeof t->outcome);
        if (!jscan_is(&j, "error", "null"))
            (void)jscan_text(jscan_find(&j, "error"), t->error, sizeof t->error);
        t->attempts = jscan_number(&j, "attempts");
        if (!jscan_is(&j, "status", "null")) t->status = jscan_number(&j, "status");
        t->finished = ((double)jscan_time(&j, "finished_at") - (double)p->start_wall_ns) / 1e9;
        t->total = (double)jscan_ms(&j, "total_ms") / 1e9;
        if (!jscan_is(&j, "first_attempt_at", "null"))
            t->first =
                ((double)jscan_time(&j, "first_attempt_at") - (double)p->start_wall_ns) / 1e9;
        at = eol + 1;
    }
}

/* Kills the run, whose memory is lost, and begins it anew. */
static void crash(struct play *p)
{
    static struct run *dead[PLAY_CRASHES_MAX]; /* so that it is not taken for a leak */
    struct run_error why;
    dead[p->crashes++] = p->run;
    MAYBE(dead[0] == NULL);
    world_crash(p->world);
    RULE(run_open(&p->config, &p->run, &why) == 0, "run_open() failed: %s", why.text);
    for (uint32_t i = 0; i < run_shards(p->run); i++)
        RULE(shard_begin(run_shard(p->run, i)) == 0, "shard %u did not begin", i);
}

static bool crash_is_due(const struct play *p)
{
    return p->crashes < PLAY_CRASHES_MAX && p->crash[p->crashes] > 0 &&
           play_now(p) >= p->crash[p->crashes];
}

static void drive(struct play *p, double within)
{
    struct world *w = p->world;
    uint32_t count = run_shards(p->run), left = count, idle = 0;
    bool alive[WORLD_IOS_MAX] = {0};
    CHECK(count <= WORLD_IOS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        RULE(shard_begin(run_shard(p->run, i)) == 0, "shard %u did not begin", i);
        alive[i] = true;
    }
    for (uint32_t rounds = 0; left > 0; rounds++) {
        RULE(play_now(p) <= within, "the run goes on after %.0f s", within);
        RULE(rounds < ROUNDS_MAX, "the run goes on and on");
        if (crash_is_due(p)) {
            crash(p);
            left = count;
            for (uint32_t i = 0; i < count; i++) alive[i] = true;
        }
        uint32_t first = world_below(w, count);
        uint64_t before_ns = w->now_ns;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t k = (first + i) % count;
            struct shard *shard = run_shard(p->run, k);
            if (!alive[k] || !io_sim_wakes(shard_io(shard), shard_sleeps_until(shard))) continue;
            alive[k] = shard_turn(shard);
            if (alive[k]) continue;
            shard_end(shard);
            left--;
        }
        if (rounds % 64 == 0) {
            run_stats(p->run, &p->stats);
            for (uint32_t k = 0; k < count; k++)
                if (alive[k]) shard_validate(run_shard(p->run, k));
        }
        if (left > 0) world_advance(w);
        idle = w->now_ns - before_ns < 100000 ? idle + 1 : 0;
        RULE(idle < TURNS_IDLE_MAX, "the run spins");
    }
}

/* One run, from its start to its end. False: its files failed it, and it has to be begun again. */
static bool lived(struct play *p, double within)
{
    struct run_error why;
    RULE(run_open(&p->config, &p->run, &why) == 0, "run_open() failed: %s", why.text);
    drive(p, within);
    p->lasted = play_now(p);
    run_join(p->run);
    run_stats(p->run, &p->stats);
    const struct run_error *failure = run_failure(p->run);
    if (failure == NULL) return true;
    RULE(p->failed != NULL && failure->status == EXIT_OUTPUT, "the run failed: %s", failure->text);
    RULE(p->failures++ < 20, "the run fails and fails");
    p->failed(p);
    run_free(p->run);
    return false;
}

void play_run(struct play *p, double within)
{
    struct world *w = p->world;
    p->truth.retry = &p->config.retry;
    p->truth.timeout_ns = p->config.timeout_ns;
    p->truth.dns_timeout_ns = p->config.dns_timeout_ns;
    for (uint32_t i = 0; i < net_hosts_count(w->net); i++)
        if (net_host(w->net, i)->limit == UINT32_MAX)
            net_host(w->net, i)->limit = p->config.host_connections;
    struct file *in = disk_file(w->disk, p->config.input_path);
    disk_fill(in, p->text, p->text_len);
    if (p->pipe) disk_pipe(w, in);
    for (uint32_t i = 0; i < p->events; i++)
        world_at(w, p->start_ns + (uint64_t)(p->event[i].at * 1e9), event_fire, p, i);
    while (!lived(p, within)) {}
    RULE(p->stats.pending == 0 && p->stats.waiting == 0 && p->stats.in_flight == 0,
         "%" PRIu64 " pending, %" PRIu64 " waiting at the end", p->stats.pending, p->stats.waiting);
    p->results_file = disk_file(w->disk, "results");
    p->events_file = disk_file(w->disk, "events");
    results_read(p);
    for (uint32_t i = 0; i < p->truth.lines_count; i++)
        RULE(p->told[i].ended, "line %u has no result", i + 1);
    /* Later events would point into what is freed. */
    run_free(p->run);
    p->run = NULL;
}

/* ---- what happened ------------------------------------------------------------------------- */

uint32_t play_sends(const struct play *p, uint32_t host, const struct truth_send **out,
                    uint32_t max)
{
    const struct truth_log *log = &p->truth.log[host];
    uint32_t n = 0;
    for (uint32_t i = 0; i < log->count; i++) {
        if (log->at[i].send == NULL) continue;
        CHECK(n < max);
        out[n++] = log->at[i].send;
    }
    return n;
}

uint32_t play_count(const struct play *p, uint32_t host, uint32_t key, double from, double to)
{
    const struct truth_log *log = &p->truth.log[host];
    uint32_t n = 0;
    for (uint32_t i = 0; i < log->count; i++) {
        const struct truth_send *e = log->at[i].send;
        if (e == NULL || (key != PLAY_ANY && e->line->key != key)) continue;
        double at = play_s(p, e->start_ns);
        n += at >= from && at < to;
    }
    return n;
}

const struct truth_line *play_line(const struct play *p, uint32_t line)
{
    CHECK(line >= 1 && line <= p->truth.lines_count);
    return &p->truth.line[line - 1];
}

const struct play_told *play_told(const struct play *p, uint32_t line)
{
    CHECK(line >= 1 && line <= p->truth.lines_count);
    return &p->told[line - 1];
}

uint32_t play_outcomes(const struct play *p, const char *outcome)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->truth.lines_count; i++)
        n += strcmp(p->told[i].outcome, outcome) == 0;
    return n;
}

double play_gap(const struct play *p, uint32_t line, uint32_t k)
{
    const struct truth_line *l = play_line(p, line);
    CHECK(k >= 2 && k <= l->sends);
    const struct truth_send *before = &l->send[k - 2];
    RULE(before->consumed, "line %u: attempt %u has no end", line, k - 1);
    return play_s(p, l->send[k - 1].start_ns) - play_s(p, before->consumed_ns);
}

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void play_rate_check(const struct play *p, uint32_t host, double interval, const char *what)
{
    uint32_t n = 0, room = 0;
    for (uint32_t h = 0; h < net_hosts_count(p->world->net); h++) room += p->truth.log[h].count;
    double *at = calloc(room + 1, sizeof *at), allowed = -1e9;
    CHECK(at != NULL);
    for (uint32_t h = 0; h < net_hosts_count(p->world->net); h++) {
        if (host != PLAY_ANY && h != host) continue;
        for (uint32_t i = 0; i < p->truth.log[h].count; i++)
            if (p->truth.log[h].at[i].send != NULL)
                at[n++] = play_s(p, p->truth.log[h].at[i].send->begun_ns);
    }
    qsort(at, n, sizeof *at, by_number);
    for (uint32_t i = 0; i < n; i++) {
        allowed = (allowed > at[i] ? allowed : at[i]);
        RULE(allowed - at[i] <= TOLERANCE_S, "%s: request %u came at %.4f s, %.4f s too early",
             what, i + 1, at[i], allowed - at[i]);
        allowed += interval;
    }
    free(at);
}

const struct limits *play_limits(const char *text)
{
    struct limits_error why;
    struct limits *l = limits_parse(span_of(text, strlen(text)), &why);
    RULE(l != NULL, "limits: %u:%u %s", why.line, why.column, why.text);
    return l;
}
