/* tests/sim/sim_tls.c - goal: whatever the network does to TLS records, nothing is delivered that
 * no receiver confirmed, nothing of a request reaches one that did not prove who it is, and nothing
 * stays behind.
 *
 * Method: the engine that ships, with wolfSSL on both sides, on the simulated kernel. A seed draws
 * receivers (honest ones, impostors, mute ones, some that speak no TLS), faults of the network at
 * every byte, and how answers end. The receivers keep what they decrypted; the results file is
 * compared with that. The same seed must be the same run, byte for byte: also wolfSSL's dice and
 * clocks are the simulator's.
 *
 *   sim_tls [--from SEED] [--seeds N]   seeds from 1; every fifth is run twice
 *   sim_tls SEED [--trace]              one seed, twice
 */
#include "core/engine/run.h"
#include "core/engine/shard.h"
#include "tests/sim/io_sim.h"
#include "tests/sim/disk_sim.h"
#include "tests/sim/dns_sim.h"
#include "tests/sim/json_scan.h"
#include "tests/sim/tls_sim.h"
#include "tls/pool.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

enum {
    ROUNDS_MAX = 400000,
    SEED_SECONDS_MAX = 60, /* of real time */
    TEXT_BYTES_MAX = 32768,
    PORT = 8443,
    COVERAGE_SEEDS = 200,
};

static uint64_t seed_now, endings[ERR_COUNT], handshakes, resumed;

/* ---- a scene -------------------------------------------------------------------------------- */

struct scene {
    struct world *world;
    struct truth truth;
    struct config config;
    struct policy policy;
    struct resolver *resolver;
    char input[TEXT_BYTES_MAX];
    size_t input_len;
};

static char trusted[65536]; /* PEM */
static size_t trusted_len;

static void host_add(struct scene *s, uint32_t i)
{
    struct world *w = s->world;
    struct net_host *h = net_host_add(w->net);
    char line[64];
    tls_sim.kind[i] = world_draw(w, 60) ? TLS_HOST_GOOD : world_below(w, TLS_HOST_COUNT);
    h->addrs_count = 1;
    h->limit = s->config.host_connections;
    h->addr[0].v4 =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)(PORT + i))};
    h->addr[0].v4.sin_addr.s_addr = htonl(0x0a000001 + i);
    snprintf(line, sizeof line, "hook.example:%u:10.0.0.%u", PORT + i, i + 1);
    CHECK(resolver_add(s->resolver, line) == NULL);
}

static void records_draw(struct scene *s, uint32_t hosts)
{
    struct world *w = s->world;
    tls_sim.records = 1 + world_below(w, 24);
    for (uint32_t i = 0; i < tls_sim.records; i++) {
        struct tls_record *r = &tls_sim.record[i];
        *r = (struct tls_record){.host = world_below(w, hosts)};
        char *to = s->input + s->input_len;
        uint32_t pad = world_draw(w, 10) ? world_below(w, 900) : world_below(w, 40);
        int n = snprintf(to, TEXT_BYTES_MAX - s->input_len,
                         "{\"id\":\"r%u\",\"url\":\"https://hook.example:%u/t/%u\","
                         "\"body\":\"%0*u\"}\n",
                         i + 1, PORT + r->host, i + 1, (int)pad, 0);
        CHECK(n > 0 && (size_t)n < TEXT_BYTES_MAX - s->input_len);
        s->input_len += (size_t)n;
    }
}

static void config_draw(struct scene *s)
{
    struct world *w = s->world;
    struct config *c = &s->config;
    config_defaults(c);
    c->input_path = "input";
    c->results_path = "results";
    c->record_bytes_max = 2048;
    c->block_bytes = 2048;
    c->shards = 1 + world_below(w, 2);
    c->pin = false;
    c->connections = 1 + world_below(w, 8);
    c->host_connections = 1 + world_below(w, 4);
    c->memory_bytes = c->shards * UINT64_C(33554432);
    c->hosts_max = 1024;
    c->timeout_ns = MS * (2000 + world_below(w, 6000));
    c->connect_timeout_ns = MS * (500 + world_below(w, 2000));
    c->tls_timeout_ns = MS * (100 + world_below(w, 1500));
    c->idle_timeout_ns = MS * (10 + world_below(w, 3000));
    c->retry.retries = world_below(w, 3);
    c->turn_wait_ns = 10000 * MS; /* nobody asks for a stop */
    c->policy = &s->policy;
    c->resolver = s->resolver;
    c->dns_servers[0] = dns_sim_server();
    c->dns_servers_count = 1;
    c->user_agent = "sim/1";
    c->run_id = prng_u64(&w->dice);
    c->tls.trusted = span_of(trusted, trusted_len);
    CHECK(net_parse("10.0.0.0/8", &s->policy.allow[s->policy.allow_count++]));
    s->truth.dns_timeout_ns = c->dns_timeout_ns;
}

static struct scene *scene_new(uint64_t seed)
{
    struct scene *s = calloc(1, sizeof *s);
    CHECK(s != NULL);
    tls_sim = (struct tls_sim){.records = 0};
    tls_sim_seed(seed);
    struct world *w = s->world = world_new(seed);
    w->truth = &s->truth;
    s->resolver = resolver_new();
    CHECK(s->resolver != NULL);
    if (world_draw(w, 75)) world_draw_knobs(w);
    w->knobs.wall_jump = 0; /* certificates would expire */
    config_draw(s);
    tls_sim.cut_percent = world_draw(w, 50) ? 0 : world_below(w, 50);
    tls_sim.change_percent = world_draw(w, 70) ? 0 : world_below(w, 40);
    for (int k = 0; k < TLS_ANSWER_COUNT; k++)
        tls_sim.weight[k] = world_draw(w, 60) ? 0 : 1 + world_below(w, 10);
    tls_sim.weight[TLS_ANSWER_OK] += 5 + world_below(w, 30);
    uint32_t hosts = 1 + world_below(w, 4);
    for (uint32_t i = 0; i < hosts; i++) host_add(s, i);
    records_draw(s, hosts);
    disk_fill(disk_file(w->disk, "input"), s->input, s->input_len);
    return s;
}

static void scene_free(struct scene *s)
{
    s->world->truth = NULL;
    resolver_free(s->resolver);
    tls_sim_forget();
    world_free(s->world);
    free(s);
}

/* ---- the run -------------------------------------------------------------------------------- */

static void drive(struct scene *s, struct run *run)
{
    uint32_t count = run_shards(run), left = count;
    bool alive[WORLD_IOS_MAX] = {0};
    for (uint32_t i = 0; i < count; i++) {
        RULE(shard_begin(run_shard(run, i)) == 0, "shard %u did not begin", i);
        alive[i] = true;
    }
    for (uint32_t rounds = 0; left > 0; rounds++) {
        RULE(rounds < ROUNDS_MAX, "the run goes on and on");
        uint32_t first = world_below(s->world, count);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t k = (first + i) % count;
            if (!alive[k]) continue;
            struct shard *shard = run_shard(run, k);
            if (!io_sim_wakes(shard_io(shard), shard_sleeps_until(shard))) continue;
            if (rounds % 16 == 0) shard_validate(shard);
            alive[k] = shard_turn(shard);
            if (alive[k]) continue;
            shard_end(shard);
            left--;
        }
        if (left > 0) world_advance(s->world);
    }
}

/* ---- the referee ---------------------------------------------------------------------------- */

static enum err error_of(const struct jscan *j)
{
    if (jscan_is(j, "error", "null")) return ERR_OK;
    for (int e = 1; e < ERR_COUNT; e++)
        if (jscan_is(j, "error", err_label((enum err)e))) return (enum err)e;
    sim_fail("no such error");
}

static void result_check(const struct scene *s, const struct jscan *j)
{
    uint64_t number = jscan_number(j, "line");
    RULE(number >= 1 && number <= tls_sim.records, "a result for line %" PRIu64, number);
    const struct tls_record *r = &tls_sim.record[number - 1];
    enum tls_host kind = tls_sim.kind[r->host];
    enum err error = error_of(j);
    bool delivered = jscan_is(j, "outcome", "delivered");
    endings[error]++;
    RULE(delivered == (error == ERR_OK), "line %" PRIu64 ": outcome and error differ", number);
    RULE(!delivered || r->ok > 0, "line %" PRIu64 " is delivered, and no one said so", number);
    RULE(!jscan_is(j, "sent", "no") || r->plain == 0,
         "line %" PRIu64 ": sent=no, and a receiver read some of it", number);
    RULE(!tls_host_is_false(kind) || !delivered, "line %" PRIu64 ": an impostor", number);
    RULE(!tls_host_is_false(kind) || jscan_is(j, "sent", "no"),
         "line %" PRIu64 " may have been sent to an impostor", number);
    if (error == ERR_TLS_CERTIFICATE)
        RULE(tls_host_is_false(kind) || tls_sim.changed > 0,
             "line %" PRIu64 ": the certificate is fine", number);
    if (error == ERR_TRUNCATED)
        RULE(r->cut_body > 0, "line %" PRIu64 ": its answer was whole", number);
    if (error == ERR_TLS_TIMEOUT && jscan_number(j, "attempts") == 1)
        RULE(jscan_ms(j, "duration_ms") + MS >= s->config.tls_timeout_ns,
             "line %" PRIu64 ": tls_timeout too early", number);
    bool honest = kind != TLS_HOST_MUTE && kind != TLS_HOST_GARBAGE && !tls_host_is_false(kind);
    RULE(honest || r->handled == 0, "line %" PRIu64 " was handled", number);
}

static void results_check(const struct scene *s)
{
    const struct file *f = disk_file(s->world->disk, "results");
    bool seen[TLS_RECORDS_MAX] = {0};
    uint32_t count = 0;
    for (const char *at = f->data, *end = f->data + f->len; at < end; count++) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        RULE(eol != NULL, "results end inside a line");
        struct jscan j;
        jscan_read(&j, at, (size_t)(eol - at));
        result_check(s, &j);
        uint64_t number = jscan_number(&j, "line");
        RULE(!seen[number - 1], "line %" PRIu64 " has two endings", number);
        seen[number - 1] = true;
        at = eol + 1;
    }
    RULE(count == tls_sim.records, "%u results of %u", count, tls_sim.records);
}

static uint64_t run_seed(uint64_t seed)
{
    struct run *run;
    struct run_error why;
    struct run_stats stats;
    alarm(SEED_SECONDS_MAX);
    seed_now = seed;
    struct scene *s = scene_new(seed);
    RULE(run_open(&s->config, &run, &why) == 0, "run_open() failed: %s", why.text);
    drive(s, run);
    run_join(run);
    run_stats(run, &stats);
    const struct run_error *failure = run_failure(run);
    RULE(failure == NULL, "the run failed: %s", failure->text);
    RULE(stats.pending == 0, "%" PRIu64 " records are pending", stats.pending);
    RULE(stats.tls_resumed <= stats.tls_handshakes, "more resumed than made");
    handshakes += stats.tls_handshakes;
    resumed += stats.tls_resumed;
    results_check(s);
    run_free(run);
    uint64_t trace = s->world->trace;
    scene_free(s);
    return trace;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static uint32_t missing;

static void probe_print(const struct probe *p)
{
    /* net_sim.c marks more than there is here. */
    bool ours = strstr(p->text, "TLS record") != NULL || strstr(p->text, "resumed") != NULL ||
                strstr(p->text, "keys") != NULL || strstr(p->text, "goodbye") != NULL;
    if (!ours) return;
    printf("  %8" PRIu64 "  %s%s\n", p->count, p->text, p->count ? "" : "   <- never reached");
    missing += p->count == 0;
}

static int coverage(uint64_t seeds)
{
    static const enum err due[] = {ERR_OK,          ERR_STATUS_RETRY, ERR_TLS_CERTIFICATE,
                                   ERR_TLS_TIMEOUT, ERR_TRUNCATED,    ERR_TLS_HANDSHAKE,
                                   ERR_RESET,       ERR_CLOSED,       ERR_TIMEOUT};
    for (size_t i = 0; i < sizeof due / sizeof *due; i++) {
        printf("  %8" PRIu64 "  %s\n", endings[due[i]], err_label(due[i]));
        missing += endings[due[i]] == 0;
    }
    probe_each(probe_print);
    printf("%" PRIu64 " seeds, %" PRIu64 " handshakes, %" PRIu64 " resumed\n", seeds, handshakes,
           resumed);
    if (missing == 0 || seeds < COVERAGE_SEEDS) return 0;
    printf("FAILED: %u rows or marks were never reached\n", missing);
    return 1;
}

static char certs[] = "/tmp/hookline-sim-XXXXXX";

static void certs_make(void)
{
    char command[512];
    CHECK(mkdtemp(certs) != NULL);
    snprintf(command, sizeof command, "'%s/tests/certs/make' %s", SOURCE_FOLDER, certs);
    CHECK(system(command) == 0);
    tls_sim_certs(certs);
    snprintf(command, sizeof command, "%s/trusted.pem", certs);
    FILE *f = fopen(command, "rb");
    CHECK(f != NULL);
    trusted_len = fread(trusted, 1, sizeof trusted, f);
    (void)fclose(f);
}

static void certs_drop(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", certs);
    (void)!system(command);
}

/* A broken rule, a CHECK, a sanitizer's word or the alarm: which seed it was. */
static void on_failure(int number)
{
    fprintf(stderr, "sim_tls: seed %" PRIu64 " failed\n", seed_now);
    certs_drop();
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigaction(number, &standard, NULL);
    raise(number);
}

int main(int argc, char **argv)
{
    uint64_t from = 1, seeds = 300, one = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) world_trace_on = true;
        else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc)
            seeds = strtoull(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--from") == 0 && i + 1 < argc)
            from = strtoull(argv[++i], NULL, 0);
        else one = strtoull(argv[i], NULL, 0);
    }
    certs_make();
    tls_sim_seed(1);
    CHECK(tls_pool_install()); /* not in the first seed only */
    (void)atexit(certs_drop);
    struct sigaction action = {.sa_handler = on_failure};
    static const int numbers[] = {SIGABRT, SIGSEGV, SIGALRM};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaction(numbers[i], &action, NULL);
    if (one != 0) {
        uint64_t a = run_seed(one);
        world_trace_on = false;
        uint64_t b = run_seed(one);
        printf("seed=%" PRIu64 " trace=%016" PRIx64 " %016" PRIx64 "\n", one, a, b);
        return a == b ? 0 : 1;
    }
    for (uint64_t seed = from; seed - from < seeds; seed++) {
        uint64_t a = run_seed(seed);
        if (seed % 5 == 0 && run_seed(seed) != a) {
            printf("FAILED: seed %" PRIu64 " was two runs\n", seed);
            return 1;
        }
    }
    alarm(0);
    return coverage(seeds);
}
