#include "tests/sim/scene.h"

#include "tests/sim/dns_sim.h"
#include "tests/sim/server_sim.h"
#include "tests/sim/sign_sim.h"
#include "tls/sign.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    INPUT_BYTES_MAX = 4 * 1024 * 1024,
    SLACK_MS = 1000, /* cancel, close and the turns in between */
};
#define MS UINT64_C(1000000)

/* ---- receivers ----------------------------------------------------------------------------- */

enum place {
    PLACE_V4,
    PLACE_V6,
    PLACE_NAME,
    PLACE_LOCALHOST,
    PLACE_PUBLIC,
    PLACE_DNS,
    PLACE_COUNT
};

static void addr_put(struct net_host *h, const char *text, uint16_t port)
{
    struct addr *a = &h->addr[h->addrs_count++];
    if (strchr(text, ':') != NULL) {
        a->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
        CHECK(inet_pton(AF_INET6, text, &a->v6.sin6_addr) == 1);
    } else {
        a->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
        CHECK(inet_pton(AF_INET, text, &a->v4.sin_addr) == 1);
    }
}

static void allow(struct scene *s, const char *net)
{
    struct policy *p = &s->policy;
    CHECK(p->allow_count < POLICY_NETS_MAX);
    CHECK(net_parse(net, &p->allow[p->allow_count++]));
}

/* What the DNS says from some time on: other addresses, none, or some that the policy refuses. */
static void name_moves(struct scene *s, struct dns_name *n, uint32_t all)
{
    struct world *w = s->world;
    uint64_t within_ns = s->sched ? s->heal_ns - w->now_ns : MS * (1 + world_below(w, 8000));
    n->moves_ns = w->now_ns + prng_below(&w->dice, within_ns + 1);
    n->set[0].ttl_s = world_below(w, 5);
    n->set[1] = n->set[0];
    switch (world_below(w, 4)) {
    case 0: n->set[1].addrs = all & ~n->set[0].addrs; break;
    case 1: n->set[1].none = true; break;
    case 2: n->set[1].addrs = 0; break;
    default: n->set[1].addrs = all; break;
    }
    if (n->set[1].addrs == 0) n->set[1].privates = 1;
    if (world_draw(w, 30)) n->set[1].privates = 1 + world_below(w, DNS_SIM_PRIVATE_MAX);
    if (world_draw(w, 30)) { /* the other way round */
        struct dns_set swap = n->set[0];
        n->set[0] = n->set[1];
        n->set[1] = swap;
    }
}

/* One whose addresses the DNS has: several, mostly dead ones among them. */
static void host_by_name(struct scene *s, struct net_host *h, struct scene_host *name, uint32_t i)
{
    struct world *w = s->world;
    bool trouble = !s->fair && !s->calm;
    char text[48];
    uint32_t count = world_draw(w, 40) ? 1 : 1 + world_below(w, NET_HOST_ADDRS_MAX);
    for (uint32_t k = 0; k < count; k++) {
        bool v6 = world_draw(w, 30);
        snprintf(text, sizeof text, v6 ? "fd00:3:%x::%x" : "10.3.%u.%u", i + 1, k + 1);
        addr_put(h, text, name->port);
    }
    if (trouble && count > 1 && world_draw(w, 60))
        h->dead = ((1U << count) - 1) & ~BIT(world_below(w, count));
    snprintf(name->name, sizeof name->name, "svc%u.dns.test", i);
    struct dns_name *n = dns_sim_add(w->dns, name->name, i);
    uint32_t all = (1U << count) - 1;
    n->set[0] =
        (struct dns_set){.addrs = all, .ttl_s = world_draw(w, 50) ? world_below(w, 5) : 600};
    if (!trouble) return;
    if (count > 2 && world_draw(w, 30)) n->set[0].addrs = all & 0x2d;
    if (n->set[0].addrs == 0) n->set[0].addrs = all;
    if (world_draw(w, 30)) name_moves(s, n, all);
    if (world_draw(w, 15)) n->set[0].privates = 1;
    n->silent = world_draw(w, 4);
    if (world_draw(w, 8)) n->delay_ns = MS * world_below(w, 8000);
}

/* One that may be connected to. */
static void host_open(struct scene *s, struct net_host *h, struct scene_host *name, uint32_t i)
{
    struct world *w = s->world;
    char text[48], line[128];
    switch ((enum place)world_below(w, PLACE_COUNT)) {
    case PLACE_V4:
        snprintf(name->name, sizeof name->name, "10.0.0.%u", i + 1);
        addr_put(h, name->name, name->port);
        break;
    case PLACE_V6:
        snprintf(text, sizeof text, "fd00::%u", i + 1);
        snprintf(name->name, sizeof name->name, "[%.40s]", text);
        addr_put(h, text, name->port);
        break;
    case PLACE_NAME:
        snprintf(name->name, sizeof name->name, "hook%u.test", i);
        snprintf(text, sizeof text, "10.1.0.%u", i + 1);
        snprintf(line, sizeof line, "%.40s:%u:%.40s", name->name, name->port, text);
        CHECK(resolver_add(s->resolver, line) == NULL);
        addr_put(h, text, name->port);
        break;
    case PLACE_LOCALHOST:
        snprintf(name->name, sizeof name->name, "localhost");
        name->port = (uint16_t)(9000 + i);
        name->port_is_default = false;
        addr_put(h, "127.0.0.1", name->port);
        addr_put(h, "::1", name->port);
        break;
    case PLACE_DNS: host_by_name(s, h, name, i); break;
    case PLACE_PUBLIC:
    case PLACE_COUNT:
        snprintf(name->name, sizeof name->name, "1.2.3.%u", i + 1);
        addr_put(h, name->name, name->port);
        break;
    }
}

/* One that the policy refuses. */
static void host_forbidden(struct scene *s, struct net_host *h, struct scene_host *name, uint32_t i)
{
    static const char *const nets[] = {"192.168.7.%u", "169.254.169.%u", "10.99.0.%u",
                                       "100.64.0.%u", "[::ffff:192.168.9.%u]"};
    uint32_t k = world_below(s->world, sizeof nets / sizeof *nets);
    char text[48];
    snprintf(text, sizeof text, nets[k], i + 1);
    memcpy(name->name, text, sizeof text);
    h->forbidden = true;
    if (text[0] == '[') {
        text[strlen(text) - 1] = 0;
        addr_put(h, text + 1, name->port);
    } else {
        addr_put(h, text, name->port);
    }
}

static void manners(struct scene *s, uint32_t host, const uint32_t *weight)
{
    static const uint32_t soon = BIT(ANSWER_OK_LENGTH) | BIT(ANSWER_OK_CHUNKED) |
                                 BIT(ANSWER_OK_EMPTY) | BIT(ANSWER_OK_INTERIM) |
                                 BIT(ANSWER_OK_LENIENT) | BIT(ANSWER_OK_CLOSE);
    bool good = s->fair || world_draw(s->world, 35);
    for (uint32_t k = 0; k < ANSWER_COUNT; k++) {
        bool fine = (answer_verdicts((enum answer_kind)k) & BIT(ERR_OK)) != 0;
        if (s->fair) fine = (soon & BIT(k)) != 0;
        s->truth.answer_weight[host][k] = good && !fine ? 0 : weight[k];
    }
    s->truth.answer_weight[host][ANSWER_OK_LENGTH]++;
}

static uint32_t hosts_draw(struct scene *s, struct scene_host *names)
{
#define ANSWER_WEIGHT(name, weight, verdicts, text) weight,
    static const uint32_t weights[ANSWER_COUNT] = {ANSWER_TABLE(ANSWER_WEIGHT)};
#undef ANSWER_WEIGHT
    struct world *w = s->world;
    uint32_t count = 1 + world_below(w, s->crowd ? NET_HOSTS_MAX : 6), weight[ANSWER_COUNT];
    for (uint32_t k = 0; k < ANSWER_COUNT; k++) weight[k] = world_draw(w, 50) ? 0 : weights[k];
    for (uint32_t i = 0; i < count; i++) {
        struct net_host *h = net_host_add(w->net);
        names[i].port_is_default = world_draw(w, 20);
        names[i].port = names[i].port_is_default ? 80 : (uint16_t)(8000 + i);
        if (world_draw(w, 12)) host_forbidden(s, h, &names[i], i);
        else host_open(s, h, &names[i], i);
        h->limit = s->config.host_connections;
        h->refuses = !s->fair && world_draw(w, 8);
        h->blackhole = !s->fair && world_draw(w, 5);
        manners(s, i, weight);
    }
    return count;
}

/* ---- configuration ------------------------------------------------------------------------- */

static void sign(struct scene *s)
{
    s->signer = signer_new();
    CHECK(s->signer != NULL);
    const char *wrong = signer_add(s->signer, SPAN_LIT(SIGN_SIM_SECRET));
    CHECK(wrong == NULL);
    s->config.signer = s->signer;
    s->truth.signs = true;
}

static void config_draw(struct scene *s)
{
    struct world *w = s->world;
    struct config *c = &s->config;
    config_defaults(c);
    c->input_path = "input";
    c->strict = !s->fair && world_draw(w, 8);
    c->record_bytes_max = s->crowd ? 40 * 1024 : 2048;
    c->block_bytes = 512u << world_below(w, s->crowd ? 8 : 4);
    c->shards = 1 + world_below(w, 3);
    c->pin = false;
    c->connections = 1 + world_below(w, 16);
    c->host_connections = 1 + world_below(w, 6);
    s->tight = world_draw(w, s->crowd ? 50 : 10);
    uint64_t most = UINT64_C(2621440) + 65536 * world_below(w, 16);
    c->memory_bytes = c->shards * (s->tight ? UINT64_C(262144) : most);
    c->timeout_ns = MS * (100 + world_below(w, 4000));
    c->connect_timeout_ns = MS * (50 + world_below(w, 2000));
    c->idle_timeout_ns = MS * (10 + world_below(w, 3000));
    s->truth.connect_within_ns = c->connect_timeout_ns + SLACK_MS * MS;
    s->truth.close_within_ns = c->timeout_ns + c->idle_timeout_ns + SLACK_MS * MS;
    c->dns_timeout_ns = s->truth.dns_timeout_ns = MS * (40 + world_below(w, 5000));
    c->dns_servers[0] = dns_sim_server();
    c->dns_servers_count = 1;
    c->policy = &s->policy;
    c->resolver = s->resolver;
    c->user_agent = s->truth.user_agent = "sim/1";
    c->idempotency_key = s->truth.idempotency_key = world_draw(w, 20);
    if (world_draw(w, 20)) c->redact[c->redact_count++] = "no_such_name";
    c->run_id = prng_u64(&w->dice);
    /* Not drawn, so that the seeds that once failed still draw what they drew. */
    if (c->run_id % 8 == 0) sign(s);
    if (world_draw(w, 15)) {
        CHECK(inet_pton(AF_INET, "10.200.0.1", &c->source_ips[0].v4.sin_addr) == 1);
        c->source_ips[0].v4.sin_family = AF_INET;
        c->source_ips_count = 1;
    }
    allow(s, "10.0.0.0/8");
    allow(s, "fd00::/8");
    allow(s, "127.0.0.0/8");
    allow(s, "::1/128");
    s->policy.deny_count = 1;
    CHECK(net_parse("10.99.0.0/16", &s->policy.deny[0]));
}

/* What an output file has in store. */
static struct file *output(struct scene *s, const char **path, const char *name, uint32_t wanted)
{
    struct world *w = s->world;
    if (!world_draw(w, wanted)) return NULL;
    bool standard = strcmp(name, "results") == 0 && world_draw(w, 10);
    *path = standard ? "-" : name;
    struct file *f = disk_file(w->disk, standard ? "stdout" : name);
    if (s->fair || world_draw(w, standard ? 80 : 97)) return f;
    if (world_draw(w, 20)) {
        f->open_error = world_draw(w, 50) ? EACCES : ENOENT;
        s->open_fails = true;
    } else if (world_draw(w, 50)) {
        f->full_at = world_below(w, 6000);
        s->disk_fails = true;
    } else {
        f->write_eio_in = 1 + world_below(w, 8);
        s->disk_fails = true;
    }
    return f;
}

static void input_draw(struct scene *s, const char *text, size_t len)
{
    struct world *w = s->world;
    bool pipe = world_draw(w, 25);
    if (pipe && world_draw(w, 50)) s->config.input_path = "-";
    s->input = disk_file(w->disk, s->config.input_path[0] == '-' ? "stdin" : "input");
    disk_fill(s->input, text, len);
    if (pipe) disk_pipe(w, s->input);
    if (s->fair) return;
    if (world_draw(w, 4)) {
        s->input->eio_at = world_below(w, (uint32_t)len + 1);
        s->input_fails = true;
    } else if (!pipe && world_draw(w, 4)) {
        s->input->size_said += 1 + world_below(w, 3000);
        s->input_fails = true;
    } else if (world_draw(w, 1)) {
        s->input->open_error = world_draw(w, 50) ? EISDIR : EACCES;
        s->open_fails = true;
    }
}

static void operator_draw(struct scene *s)
{
    struct world *w = s->world;
    s->drain_at_ns = s->now_at_ns = UINT64_MAX;
    if (s->fair || !world_draw(w, 25)) return;
    uint64_t at_ns = w->now_ns + 1000 * (UINT64_C(1) << world_below(w, 24));
    if (world_draw(w, 75)) s->drain_at_ns = at_ns;
    else s->now_at_ns = at_ns;
    if (world_draw(w, 60) && s->now_at_ns == UINT64_MAX)
        s->now_at_ns = at_ns + 1000 * (UINT64_C(1) << world_below(w, 24));
}

struct scene *scene_new(struct world *w)
{
    struct scene *s = calloc(1, sizeof *s);
    CHECK(s != NULL);
    s->world = w;
    s->resolver = resolver_new();
    CHECK(s->resolver != NULL);
    w->truth = &s->truth;
    s->crowd = world_draw(w, 1);
    s->fair = world_draw(w, 6);
    if (s->fair) w->knobs = (struct knobs){0};
    s->truth.no_hints = s->fair;
    s->virtual_ns_max = 3600 * UINT64_C(1000000000);
    s->input_changes_ns = UINT64_MAX;
    s->sched = !s->fair && world_draw(w, 60);
    /* So slow that buffers fill: what is told must wait, and nothing may be lost meanwhile. */
    if (s->crowd && !s->fair && world_draw(w, 50)) w->knobs.write_slow = 100;
    config_draw(s);
    scene_sched_config(s);
    struct scene_host names[NET_HOSTS_MAX] = {0};
    uint32_t hosts = hosts_draw(s, names);
    scene_sched_hosts(s, names, hosts);
    static char text[INPUT_BYTES_MAX];
    size_t len = 0;
    scene_lines(s, names, hosts, text, sizeof text, &len);
    input_draw(s, text, len);
    s->text = text;
    s->results = output(s, &s->config.results_path, "results", 97);
    s->dead_letters = output(s, &s->config.dead_letters_path, "dead", 60);
    s->events = output(s, &s->config.events_path, "events", 50);
    s->rejects = output(s, &s->config.rejects_path, "rejects", 60);
    operator_draw(s);
    s->slow_files = w->knobs.write_slow > 0 || w->knobs.read_slow > 0;
    bool operated = s->drain_at_ns != UINT64_MAX || s->now_at_ns != UINT64_MAX;
    if (!operated) s->config.turn_wait_ns = 10000 * MS;
    if (!s->fair && world_draw(w, 1)) {
        static const int why[] = {EPERM, ENOSYS, ENOMEM, EMFILE};
        w->io_open_error = why[world_below(w, 4)];
        w->io_opens_left = world_below(w, s->config.shards);
    }
    return s;
}

void scene_free(struct scene *s)
{
    s->world->truth = NULL;
    resolver_free(s->resolver);
    if (s->limits != NULL) limits_free(s->limits);
    signer_free(s->signer);
    truth_logs_free(&s->truth);
    free(s->truth.line);
    free(s);
}

void scene_print(const struct scene *s)
{
    const struct config *c = &s->config;
    if (s->fair) printf("fair weather: ");
    printf("%u records, %u rejects, %u blank lines; %zu bytes of input, blocks of %u%s\n", s->valid,
           s->rejected, s->blank, s->input->len, c->block_bytes, s->input->pipe ? ", a pipe" : "");
    printf("%u shards, %u connections each, %u for a host; limits: attempt %" PRIu64
           " ms, connect %" PRIu64 " ms, idle %" PRIu64 " ms%s\n",
           c->shards, c->connections, c->host_connections, c->timeout_ns / MS,
           c->connect_timeout_ns / MS, c->idle_timeout_ns / MS, c->strict ? "; strict" : "");
    for (uint32_t i = 0; i < net_hosts_count(s->world->net); i++) {
        const struct net_host *h = net_host(s->world->net, i);
        char text[ADDR_TEXT_BYTES];
        addr_text(&h->addr[0], text);
        printf("  receiver %u at %s%s%s%s\n", i, text, h->forbidden ? ", forbidden" : "",
               h->refuses ? ", refuses" : "", h->blackhole ? ", a black hole" : "");
    }
    scene_sched_print(s);
    const struct file *files[] = {s->input, s->results, s->dead_letters, s->events, s->rejects};
    for (uint32_t i = 0; i < sizeof files / sizeof *files; i++) {
        const struct file *f = files[i];
        if (f == NULL) continue;
        if (f->open_error != 0) printf("  %s cannot be opened\n", f->name);
        if (f->eio_at != UINT64_MAX) printf("  %s: EIO at %" PRIu64 "\n", f->name, f->eio_at);
        if (f->size_said > f->len && f == s->input) printf("  %s has shrunk\n", f->name);
        if (f->full_at != UINT64_MAX) printf("  %s: full at %" PRIu64 "\n", f->name, f->full_at);
        if (f->write_eio_in > 0) printf("  %s: a write fails\n", f->name);
    }
    if (s->drain_at_ns != UINT64_MAX) printf("  drain at %.3f ms\n", (double)s->drain_at_ns / 1e6);
    if (s->now_at_ns != UINT64_MAX) printf("  stop at %.3f ms\n", (double)s->now_at_ns / 1e6);
}
