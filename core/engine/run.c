#include "core/engine/run_state.h"

#include "core/base/json_text.h"
#include "core/base/limits.h"
#include "core/base/slab.h"
#include "core/engine/recall.h"
#include "core/engine/shard.h"
#include "core/engine/shard_state.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECV_BYTES = 2048, /* an answer of a webhook receiver fits, as a rule */
    RECV_BUFFERS_MIN = 8,
    RECV_BUFFERS_MAX = 4096,
    OUTBUF_MIN = 16 * 1024, /* holds at least the longest result line, see tell.c */
    OUTBUF_MAX = 512 * 1024,
    OUTBUF_SHARE = 64, /* of a shard's memory */
    /* A page for each size that lanes come in (256 to 768 bytes), for flows, for parked records,
     * and one for a delivery: with less, what is parked could keep out what it waits for. */
    SLAB_MIN = 8 * SLAB_PAGE_BYTES,
    NAMES_MIN = 4 * SLAB_PAGE_BYTES,
    NAMES_MAX = 8 * 1024 * 1024,
    NAMES_SHARE = 32,  /* of a shard's memory, for names known, and as much for names asked for */
    WINDOWS_SHARE = 8, /* of the hosts may have one-second slices at once */
    DESCRIPTORS_MIN = 16, /* rings, files, standard streams and some to spare */
    TICKETS_SHARE = 64,   /* of the memory; untouched without TLS */
};

/* ---- opening ------------------------------------------------------------------------------ */

int run_refuse(struct run_error *why, enum exit_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    why->status = status;
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    return -1;
}

static uint32_t clamp(uint64_t value, uint32_t min, uint32_t max)
{
    return value < min ? min : value > max ? max : (uint32_t)value;
}

static uint32_t power_of_two_from(uint32_t n)
{
    uint32_t p = 1;
    while (p < n) p *= 2;
    return p;
}

/* The longest result or event line: id and URL escaped, and an answer's excerpt. */
static uint32_t line_bytes_max(void)
{
    return 2048 + JSON_TEXT_GROWTH * (LIMIT_ID_BYTES + LIMIT_URL_BYTES) + LIMIT_URL_BYTES +
           2 * JSON_TEXT_GROWTH * LIMIT_ANSWER_KEEP_BYTES;
}

static unsigned long long mib_of(uint64_t bytes) { return bytes / (1024 * 1024); }

static int plan_memory(struct run *r, struct run_error *why)
{
    const struct config *c = r->config;
    struct memory_plan *p = &r->plan;
    uint32_t limit = io_descriptor_limit();
    if (limit < DESCRIPTORS_MIN)
        return run_refuse(why, EXIT_RESOURCES,
                          "the limit of %u open files is too low: raise it with ulimit -n", limit);
    uint64_t state = durable_memory_bytes(&r->durable, &r->source);
    uint64_t share = (state < c->memory_bytes ? c->memory_bytes - state : 0) / r->shards_count;
    p->connections = c->connections < limit ? c->connections : limit;
    p->recv_bytes = RECV_BYTES;
    p->recv_buffers = power_of_two_from(clamp(p->connections, RECV_BUFFERS_MIN, RECV_BUFFERS_MAX));
    uint32_t least = line_bytes_max() < OUTBUF_MIN ? OUTBUF_MIN : line_bytes_max();
    p->outbuf_bytes = clamp(share / OUTBUF_SHARE, least, OUTBUF_MAX);
    p->rawbuf_bytes =
        p->outbuf_bytes > c->record_bytes_max ? p->outbuf_bytes : c->record_bytes_max + 1;
    p->names_bytes = clamp(share / NAMES_SHARE, NAMES_MIN, NAMES_MAX);
    p->lookups = clamp(share / NAMES_SHARE / names_lookup_bytes(), 16, DNS_LOOKUPS_MAX);
    p->fixed_bytes = (uint64_t)p->recv_buffers * p->recv_bytes +
                     p->connections * (uint64_t)shard_connection_bytes() +
                     reader_memory_bytes(c->block_bytes, c->record_bytes_max) + p->names_bytes +
                     p->lookups * (uint64_t)names_lookup_bytes() +
                     recall_memory_bytes(c->record_bytes_max) +
                     (r->source.regular ? 0 : 2 * (uint64_t)p->rawbuf_bytes) +
                     (c->results_path ? 2 * (uint64_t)p->outbuf_bytes : 0) +
                     (c->events_path ? 2 * (uint64_t)p->outbuf_bytes : 0) +
                     (c->dead_letters_path ? 2 * (uint64_t)p->rawbuf_bytes : 0) +
                     (c->rejects_path ? 2 * (uint64_t)p->rawbuf_bytes : 0) +
                     (r->durable.on ? logbook_memory_bytes(r->durable.slots) : 0);
    uint64_t least_bytes = p->fixed_bytes + SLAB_MIN;
    /* A run that began within its memory is not kept from going on by what it left behind. */
    if (r->durable.resumed && share < least_bytes &&
        least_bytes * r->shards_count <= c->memory_bytes)
        share = least_bytes;
    if (share < least_bytes)
        return run_refuse(
            why, EXIT_RESOURCES,
            "--memory %lluM is too small: %u shards with %u connections each need %lluM; "
            "raise it, or lower --connections, --shards or --max-record",
            mib_of(c->memory_bytes), r->shards_count, p->connections,
            mib_of(least_bytes * r->shards_count + state) + 1);
    p->slab_bytes = share - p->fixed_bytes;
    if (p->slab_bytes > SLAB_LIMIT_BYTES_MAX) p->slab_bytes = SLAB_LIMIT_BYTES_MAX;
    p->tls_needs = (p->fixed_bytes + tls_memory_least() + SLAB_MIN) * r->shards_count;
    p->tls_needs += p->tls_needs / 4; /* output buffers grow with it */
    bool tls_fits = tls_memory_least() + SLAB_MIN <= p->slab_bytes;
    p->tls_bytes = p->slab_bytes / 2;
    if (p->tls_bytes < tls_memory_least()) p->tls_bytes = tls_fits ? tls_memory_least() : 0;
    return 0;
}

const char *input_name(const struct config *c)
{
    if (c->input_name != NULL) return c->input_name;
    return strcmp(c->input_path, "-") == 0 ? "standard input" : c->input_path;
}

struct record_rules run_record_rules(const struct config *c)
{
    return (struct record_rules){.record_bytes_max = c->record_bytes_max,
                                 .key_field = c->key_field,
                                 .ports = c->ports};
}

/* Input and outputs, with or without a state. */
static int files_open(struct run *r, struct run_error *why)
{
    const struct config *c = r->config;
    struct outfile *const files[JOURNAL_FILES] = {&r->results, &r->events, &r->dead_letters,
                                                  &r->rejects};
    if (c->state_path != NULL) return durable_open(&r->durable, c, &r->source, files, why);
    int rc = source_open(&r->source, c->input_path, c->block_bytes, c->record_bytes_max);
    if (rc == 0) return 0;
    return run_refuse(why, EXIT_INPUT, "cannot read %s: %s", c->input_path, strerrordesc_np(-rc));
}

static int outputs_open(struct run *r, struct run_error *why)
{
    if (r->durable.on) return 0; /* they are */
    const struct config *c = r->config;
    struct {
        struct outfile *file;
        const char *path, *what;
    } each[] = {{&r->results, c->results_path, "results"},
                {&r->events, c->events_path, "events"},
                {&r->dead_letters, c->dead_letters_path, "dead letters"},
                {&r->rejects, c->rejects_path, "rejects"}};
    for (int i = 0; i < 4; i++) {
        int rc = outfile_open(each[i].file, each[i].path);
        if (rc == 0) continue;
        bool standard = strcmp(each[i].path, "-") == 0;
        return run_refuse(why, EXIT_OUTPUT, "cannot open %s for the %s: %s",
                          standard ? "standard output" : each[i].path, each[i].what,
                          strerrordesc_np(-rc));
    }
    return 0;
}

/* What all shards know of hosts: touched only where it is used. */
static int tables_open(struct run *r, struct run_error *why)
{
    uint32_t count = r->config->hosts_max;
    r->windows = host_windows_new(count / WINDOWS_SHARE + 1, &r->config->health);
    const struct shared_table_ops hosts = {
        .init = host_init, .evictable = host_evictable, .forget = host_forget, .ctx = r->windows};
    const struct shared_table_ops paces = {.init = pace_init, .evictable = pace_evictable};
    r->hosts = shared_table_new(count, &hosts);
    r->paces = shared_table_new(count, &paces);
    r->tickets = tls_tickets_new(r->config->memory_bytes / TICKETS_SHARE);
    bool ok = r->windows != NULL && r->hosts != NULL && r->paces != NULL && r->tickets != NULL;
    return ok ? 0 : run_refuse(why, EXIT_RESOURCES, "no memory for the table of hosts");
}

static int shards_open(struct run *r, struct run_error *why)
{
    r->shards = calloc(r->shards_count, sizeof *r->shards);
    r->threads = calloc(r->shards_count, sizeof *r->threads);
    bool short_of_memory = r->shards == NULL || r->threads == NULL;
    for (uint32_t i = 0; !short_of_memory && i < r->shards_count; i++) {
        r->shards[i] = shard_new(r, i);
        short_of_memory = r->shards[i] == NULL;
    }
    return short_of_memory ? run_refuse(why, EXIT_RESOURCES, "no memory for the shards") : 0;
}

int run_prepare(const struct config *config, struct run_error *why)
{
    return durable_spool(config, why);
}

int run_open(const struct config *config, struct run **out, struct run_error *why)
{
    CHECK(config->shards > 0 && config->connections > 0 && config->host_connections > 0);
    CHECK(config->resolver != NULL);
    struct run *r = calloc(1, sizeof *r);
    if (r == NULL) return run_refuse(why, EXIT_RESOURCES, "no memory for a run");
    r->config = config;
    r->shards_count = r->readers = config->shards;
    r->record_rules = run_record_rules(config);
    int rc = files_open(r, why);
    if (rc < 0) {
        durable_close(&r->durable);
        free(r);
        return rc;
    }
    rc = plan_memory(r, why);
    if (rc == 0) rc = outputs_open(r, why);
    if (rc == 0) rc = tables_open(r, why);
    if (rc == 0) rc = shards_open(r, why);
    if (rc < 0) {
        run_free(r);
        return rc;
    }
    *out = r;
    return 0;
}

void run_free(struct run *r)
{
    for (uint32_t i = 0; r->shards != NULL && i < r->shards_count; i++)
        if (r->shards[i] != NULL) shard_free(r->shards[i]);
    free(r->shards);
    free(r->threads);
    if (r->hosts != NULL) shared_table_free(r->hosts);
    if (r->paces != NULL) shared_table_free(r->paces);
    if (r->windows != NULL) host_windows_free(r->windows);
    if (r->tickets != NULL) tls_tickets_free(r->tickets);
    source_close(&r->source);
    outfile_close(&r->results);
    outfile_close(&r->events);
    outfile_close(&r->dead_letters);
    outfile_close(&r->rejects);
    durable_close(&r->durable);
    free(r);
}

/* ---- threads ------------------------------------------------------------------------------ */

/* The shard's own CPU, when there is one for each. Advice: a run works without. */
static void pin(const struct run *r, uint32_t index)
{
    cpu_set_t allowed, one;
    if (!r->config->pin || sched_getaffinity(0, sizeof allowed, &allowed) < 0) return;
    if ((uint32_t)CPU_COUNT(&allowed) < r->shards_count) return;
    uint32_t left = index;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed)) continue;
        if (left-- > 0) continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        (void)sched_setaffinity(0, sizeof one, &one);
        return;
    }
}

static void *thread_main(void *ctx)
{
    struct shard *s = ctx;
    pin(shard_run(s), shard_index(s));
    if (shard_begin(s) == 0)
        while (shard_turn(s)) {}
    shard_end(s);
    return NULL;
}

int run_start(struct run *r, struct run_error *why)
{
    CHECK(!r->started);
    r->started = true;
    for (uint32_t i = 0; i < r->shards_count; i++) {
        int error = pthread_create(&r->threads[i], NULL, thread_main, r->shards[i]);
        if (error == 0) continue;
        run_refuse(why, EXIT_RESOURCES, "cannot start a thread: %s", strerrordesc_np(error));
        run_stop(r, RUN_STOP_NOW);
        for (uint32_t k = 0; k < i; k++) pthread_join(r->threads[k], NULL);
        r->started = false;
        return -1;
    }
    return 0;
}

void run_state_failed(struct run *r, int error)
{
    const char *path = r->config->state_path, *why = strerrordesc_np(error);
    if (error == ENOENT)
        run_fail(r, EXIT_OUTPUT,
                 "the state in %s is gone: %s; no more records were taken in, the outputs say what "
                 "was done, and the same command would begin anew",
                 path, why);
    else
        run_fail(r, EXIT_OUTPUT,
                 "cannot write the state in %s: %s; no more records were taken in, and the same "
                 "command goes on once that is put right",
                 path, why);
}

/* What is known is on disk now; and whether anything is left to do. */
static void state_end(struct run *r)
{
    struct run_stats n;
    run_stats(r, &n);
    bool over = load_rlx(&r->stop) == RUN_GO && n.pending == 0;
    uint64_t missed = n.accepted - n.outcomes[OUTCOME_DELIVERED];
    int rc = durable_end(&r->durable, over, missed > 0 ? EXIT_SOME_FAILED : EXIT_ALL_DELIVERED);
    if (rc < 0) run_state_failed(r, -rc);
}

void run_join(struct run *r)
{
    for (uint32_t i = 0; r->started && i < r->shards_count; i++) pthread_join(r->threads[i], NULL);
    r->started = false;
    if (r->durable.on && !r->state_ended) state_end(r);
    r->state_ended = true;
}

uint64_t run_id(const struct run *r)
{
    return r->durable.on ? r->durable.journal.live.run_id : r->config->run_id;
}

/* ---- stopping ----------------------------------------------------------------------------- */

void run_stop(struct run *r, enum run_stop how)
{
    uint32_t now = load_rlx(&r->stop);
    while (now < (uint32_t)how &&
           !__atomic_compare_exchange_n(&r->stop, &now, (uint32_t)how, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {}
}

bool run_ended(const struct run *r) { return load_acq(&r->ended) == r->shards_count; }

void run_fail(struct run *r, enum exit_status status, const char *format, ...)
{
    uint32_t none = 0;
    /* One thread wins and writes; relaxed, since nothing is read through the 1. */
    if (__atomic_compare_exchange_n(&r->failed, &none, 1, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED)) {
        va_list args;
        va_start(args, format);
        r->failure.status = status;
        vsnprintf(r->failure.text, sizeof r->failure.text, format, args);
        va_end(args);
        store_rel(&r->failed, 2);
    }
    run_stop(r, RUN_STOP_DRAIN);
}

const struct run_error *run_failure(const struct run *r)
{
    return load_acq(&r->failed) == 2 ? &r->failure : NULL;
}

/* ---- numbers ------------------------------------------------------------------------------ */

static void stats_add(struct run_stats *out, const struct tally *t)
{
    out->accepted += load_rlx(&t->accepted);
    out->rejected += load_rlx(&t->rejected);
    for (int i = 0; i < OUTCOME_COUNT; i++) out->outcomes[i] += load_rlx(&t->outcomes[i]);
    for (int i = 0; i < ERR_COUNT; i++) out->endings[i] += load_rlx(&t->endings[i]);
    for (int i = 0; i < 6; i++) out->statuses[i] += load_rlx(&t->statuses[i]);
    out->in_flight += load_rlx(&t->in_flight);
    out->maybe_delivered += load_rlx(&t->maybe_delivered);
    out->attempts += load_rlx(&t->attempts);
    out->resent += load_rlx(&t->resent);
    out->retries += load_rlx(&t->retries);
    out->waiting += load_rlx(&t->waiting);
    out->deferred += load_rlx(&t->deferred);
    out->holds += load_rlx(&t->holds);
    out->hosts_held += load_rlx(&t->closes) - load_rlx(&t->opens);
    out->hints += load_rlx(&t->hints);
    out->hints_ignored += load_rlx(&t->hints_ignored);
    out->connections_opened += load_rlx(&t->connections_opened);
    out->connections_open += load_rlx(&t->connections_open);
    out->request_bytes += load_rlx(&t->request_bytes);
    uint64_t quiet_ns = load_rlx(&t->quiet_ns);
    if (quiet_ns < out->quiet_ns) out->quiet_ns = quiet_ns;
    out->tls_handshakes += load_rlx(&t->tls_handshakes);
    out->tls_resumed += load_rlx(&t->tls_resumed);
    out->hosts += load_rlx(&t->hosts);
    out->memory_used_bytes += load_rlx(&t->memory_used_bytes);
}

/* What earlier lives of the run did. */
static void stats_before(struct run_stats *out, const struct durable *u)
{
    out->accepted += u->waiting.count;
    out->before_waiting = u->waiting.count;
    uint64_t fed = load_rlx(&u->waiting_next); /* the others wait where they are */
    if (fed < u->waiting.count) out->waiting += u->waiting.count - fed;
    out->before_maybe = u->maybe;
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        out->accepted += u->ended[i];
        out->outcomes[i] += u->ended[i];
        out->before_ended += u->ended[i];
    }
    out->rejected += u->ended[JOURNAL_REJECTED];
    out->resumed = u->resumed;
}

void run_stats(const struct run *r, struct run_stats *out)
{
    memset(out, 0, sizeof *out);
    out->quiet_ns = UINT64_MAX;
    for (uint32_t i = 0; i < r->shards_count; i++) stats_add(out, shard_tally(r->shards[i]));
    uint64_t ended = 0;
    if (r->durable.on) stats_before(out, &r->durable);
    for (int i = 0; i < OUTCOME_COUNT; i++) ended += out->outcomes[i];
    /* While it goes on the counters of one delivery are not read at the same instant. */
    out->pending = out->accepted > ended ? out->accepted - ended : 0;
    out->memory_used_bytes += r->plan.fixed_bytes * r->shards_count;
    out->input_bytes = load_rlx(&r->source.read_bytes);
    out->input_bytes_total = r->source.regular ? r->source.size_bytes : 0;
    out->input_done = run_ended(r);
    out->input_left = load_rlx(&r->input_left) != 0;
}

void run_latency(const struct run *r, struct hist *into)
{
    hist_init(into);
    for (uint32_t i = 0; i < r->shards_count; i++) hist_merge(into, shard_latency(r->shards[i]));
}

static struct run_held *held_find(struct run_held *all, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(all[i].host, name) == 0) return &all[i];
    return NULL;
}

static int by_deferred(const void *left, const void *right)
{
    const struct run_held *a = left, *b = right;
    if (a->deferred != b->deferred) return a->deferred < b->deferred ? 1 : -1;
    if (a->held_ns != b->held_ns) return a->held_ns < b->held_ns ? 1 : -1;
    return strcmp(a->host, b->host);
}

/* The hosts of all shards, each once; owned by the caller. NULL: none, or no memory. */
static struct run_held *held_list_new(const struct run *r, uint32_t *count)
{
    uint32_t room = 0;
    *count = 0;
    for (uint32_t i = 0; i < r->shards_count; i++)
        for (const struct held_host *h = shard_held(r->shards[i]); h != NULL; h = h->next) room++;
    struct run_held *all = room > 0 ? calloc(room, sizeof *all) : NULL;
    if (all == NULL) return NULL;
    for (uint32_t i = 0; i < r->shards_count; i++)
        for (const struct held_host *h = shard_held(r->shards[i]); h != NULL; h = h->next) {
            struct run_held *at = held_find(all, *count, h->name);
            if (at == NULL) at = &all[(*count)++];
            snprintf(at->host, sizeof at->host, "%s", h->name);
            at->times += h->times;
            at->held_ns += h->held_ns;
            at->deferred += h->deferred;
        }
    return all;
}

static void held_list_free(struct run_held *all) { free(all); }

uint32_t run_held_hosts(const struct run *r, struct run_held *out, uint32_t max)
{
    uint32_t count;
    struct run_held *all = held_list_new(r, &count);
    if (all == NULL) return 0;
    qsort(all, count, sizeof *all, by_deferred);
    for (uint32_t i = 0; i < count && i < max; i++) out[i] = all[i];
    held_list_free(all);
    return count;
}

uint32_t run_shards(const struct run *r) { return r->shards_count; }

struct shard *run_shard(struct run *r, uint32_t index)
{
    CHECK(index < r->shards_count);
    return r->shards[index];
}
