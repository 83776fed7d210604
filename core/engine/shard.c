/* core/engine/shard.c - opens a shard, makes its turns, takes it apart. One turn, numbered as in
 * core/README.md:
 *
 *   1. io_turn(): what the last turn queued is submitted; completions are gathered, then handled
 *      (connections, exchanges, file reads and writes).
 *   2. The wheel moves on: connections whose time has come are ended, parked records that are due
 *      join their backlogs, what was blocked is looked at again.
 *      Names that the DNS has answered for become addresses.
 *   3. What the ended exchanges say about their hosts is told to the shared table.
 *   4. Outcomes that had no room in a file's buffer are told.
 *   5. The operator's wish to stop is carried out.
 *   6. recall_tend(): backlogs become deliveries again, where their flows can use them.
 *   7. intake(): lines become deliveries or are parked, while there is room.
 *   8. dispatch(): ready lanes begin exchanges.
 *   9. Output buffers that are due are written.
 */
#include "core/engine/shard_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    TIMERS_PER_TURN = 1024, /* what is left comes first in the next turn */
    BATCH_SHARE = 4,        /* of the exchanges under way: worth waiting for together */
    BATCH_MAX = 64,
};
#define CHAIN_POLL_NS  UINT64_C(1000000)  /* another shard is about to pass on a line count */
#define PIPE_POLL_NS   UINT64_C(5000000)  /* another shard reads the pipe */
#define RECALL_POLL_NS UINT64_C(20000000) /* what is to be read again waits for memory or room */
/* Roughly what a completion costs with all that follows: time beyond that was idle. */
#define COMPLETION_NS  UINT64_C(5000)
#define IDLE_MAX_NS    UINT64_C(10000000)
#define QUIET_CLOSE_NS UINT64_C(1000000000)

/* ---- opening ------------------------------------------------------------------------------ */

size_t shard_connection_bytes(void)
{
    return sizeof(struct conn) + sizeof(struct exchange) + sizeof(struct wheel_node) + race_bytes();
}

void shard_free(struct shard *s)
{
    struct held_host *h;
    while ((h = s->held) != NULL) {
        s->held = h->next;
        free(h);
    }
    free(s->record);
    free(s->unsent);
    free(s);
}

struct shard *shard_new(struct run *run, uint32_t index)
{
    struct shard *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    const struct config *c = run->config;
    s->run = run;
    s->index = index;
    s->rules = (struct delivery_rules){
        .user_agent = span_of(c->user_agent, strlen(c->user_agent)),
        .redact = {.names = c->redact, .count = c->redact_count},
        .run_id = run_id(run),
        .idempotency_key = c->idempotency_key,
        .signer = c->signer,
        .keep_raw = c->dead_letters_path != NULL || !run->source.regular,
    };
    prng_seed(&s->dice, c->run_id + index);
    hist_init(&s->latency);
    s->record = calloc(1, sizeof *s->record);
    s->unsent = calloc(1, sizeof *s->unsent);
    if (s->record != NULL && s->unsent != NULL) return s;
    shard_free(s);
    return NULL;
}

struct run *shard_run(const struct shard *s) { return s->run; }
uint32_t shard_index(const struct shard *s) { return s->index; }
const struct tally *shard_tally(const struct shard *s) { return &s->tally; }
const struct hist *shard_latency(const struct shard *s) { return &s->latency; }
const struct held_host *shard_held(const struct shard *s) { return s->held; }
struct io *shard_io(struct shard *s) { return s->io; }

static int memory_short(struct shard *s, const char *what)
{
    run_fail(s->run, EXIT_RESOURCES, "no memory for %s: lower --memory or --connections", what);
    return -1;
}

static int ring_open(struct shard *s)
{
    const struct memory_plan *plan = &s->run->plan;
    struct io_config ioc = {.sockets = plan->connections,
                            .recv_buffers = plan->recv_buffers,
                            .recv_bytes = plan->recv_bytes};
    const char *what;
    int rc = io_open(&ioc, &s->io, &what);
    if (rc == 0) return 0;
    s->io = NULL;
    if (rc == -EPERM || rc == -ENOSYS || rc == -EACCES)
        run_fail(s->run, EXIT_RESOURCES,
                 "io_uring is not permitted here (%s: %s): see sysctl kernel.io_uring_disabled, "
                 "and the seccomp profile when in a container",
                 what, strerrordesc_np(-rc));
    else
        run_fail(s->run, EXIT_RESOURCES,
                 "cannot open an io_uring (%s: %s): lower --connections or raise ulimit -n and -l",
                 what, strerrordesc_np(-rc));
    return -1;
}

static int outputs_open(struct shard *s)
{
    struct run *r = s->run;
    uint32_t text = r->plan.outbuf_bytes, raw = r->plan.rawbuf_bytes;
    return outbuf_open(&s->results, &r->results, s->io, text) &&
                   outbuf_open(&s->events, &r->events, s->io, text) &&
                   outbuf_open(&s->dead_letters, &r->dead_letters, s->io, raw) &&
                   outbuf_open(&s->rejects, &r->rejects, s->io, raw)
               ? 0
               : memory_short(s, "the output buffers");
}

static int state_open(struct shard *s)
{
    struct durable *u = &s->run->durable;
    if (!u->on) return 0;
    struct outbuf *const outputs[JOURNAL_FILES] = {&s->results, &s->events, &s->dead_letters,
                                                   &s->rejects};
    struct inflight_slot *slot = u->inflight.slot + 1 + s->index * u->slots;
    return logbook_open(&s->log, &u->journal, s->io, outputs, slot, u->slots)
               ? 0
               : memory_short(s, "the state's entries");
}

/* Zeroed memory that is not there before it is used. */
static void *untouched(size_t bytes)
{
    void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return mem == MAP_FAILED ? NULL : mem;
}

static int conns_open(struct shard *s)
{
    struct run *r = s->run;
    const struct config *c = r->config;
    uint32_t count = r->plan.connections;
    s->conns = (struct conn_pool){.io = s->io,
                                  .events = &dispatch_events,
                                  .ctx = s,
                                  .connect_timeout_ns = c->connect_timeout_ns,
                                  .tls_timeout_ns = c->tls_timeout_ns,
                                  .idle_timeout_ns = c->idle_timeout_ns};
    s->exchanges = untouched(count * sizeof *s->exchanges);
    s->timers = untouched(count * sizeof *s->timers);
    s->races = untouched(count * race_bytes());
    if (s->exchanges == NULL || s->timers == NULL || s->races == NULL ||
        !conn_pool_open(&s->conns, count))
        return memory_short(s, "the connections");
    const struct lane_rules rules = {.hosts = r->hosts,
                                     .paces = r->paces,
                                     .limits = c->limits,
                                     .interval_ns = c->host_rate_interval_ns,
                                     .conns_max = c->host_connections,
                                     .paces_kept = r->durable.held_count > 0};
    /* What the first TLS connection needs is kept for it from the beginning. */
    size_t reserve = r->plan.tls_bytes > 0 ? tls_memory_least() : 0;
    s->slab = slab_new(r->plan.slab_bytes - reserve);
    if (s->slab == NULL || !lanes_open(&s->lanes, s->slab, &s->wheel, &rules))
        return memory_short(s, "the deliveries");
    const char *why;
    if (names_open(s, &why)) return 0;
    run_fail(r, EXIT_RESOURCES, "cannot set up the DNS: %s", why);
    return -1;
}

int shard_begin(struct shard *s)
{
    struct run *r = s->run;
    if (ring_open(s) < 0) return -1;
    s->start_ns = durable_since(&r->durable, io_now_ns(s->io), io_wall_ns(s->io));
    wheel_init(&s->wheel, io_now_ns(s->io));
    if (outputs_open(s) < 0 || state_open(s) < 0 || conns_open(s) < 0) return -1;
    s->parser = record_parser_new(&r->record_rules);
    if (s->parser == NULL) return memory_short(s, "a record");
    if (!reader_open(&s->reader, &r->source, s->io) || !recall_open(s) || !refeed_open(s))
        return memory_short(s, "the input's blocks");
    if (!r->source.regular) {
        int rc = spool_open(&s->spool, r->config->spool_folder, s->io, r->plan.rawbuf_bytes,
                            r->config->memory_bytes / r->shards_count);
        if (rc < 0) {
            run_fail(
                r, EXIT_OUTPUT,
                "cannot make a temporary file in %s for what waits of a pipe: %s; name another "
                "folder in TMPDIR",
                r->config->spool_folder, strerrordesc_np(-rc));
            return -1;
        }
    }
    note_holds_restore(s);
    s->input = READER_WAIT;
    s->begun = true;
    return 0;
}

void shard_end(struct shard *s)
{
    if (s->begun) reader_close(&s->reader);
    recall_close(s);
    refeed_close(s);
    logbook_close(&s->log);
    spool_close(&s->spool);
    if (s->parser != NULL) record_parser_free(s->parser);
    names_close(s);
    if (s->lanes.slot != NULL) lanes_close(&s->lanes, io_now_ns(s->io));
    if (s->slab != NULL) slab_free(s->slab);
    if (s->conns.conns != NULL) conn_pool_close(&s->conns);
    secure_close(s);
    uint32_t count = s->run->plan.connections;
    if (s->exchanges != NULL) munmap(s->exchanges, count * sizeof *s->exchanges);
    if (s->timers != NULL) munmap(s->timers, count * sizeof *s->timers);
    if (s->races != NULL) munmap(s->races, count * race_bytes());
    struct outbuf *outputs[] = {&s->results, &s->events, &s->dead_letters, &s->rejects};
    for (int i = 0; i < 4; i++)
        if (outputs[i]->file != NULL) outbuf_close(outputs[i]);
    if (s->io != NULL) io_close(s->io);
    s->io = NULL;
    __atomic_fetch_add(&s->run->ended, 1, __ATOMIC_RELEASE); /* its tally is complete */
}

/* ---- one turn ----------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

uint64_t shard_sleeps_until(const struct shard *s)
{
    uint64_t now_ns = io_now_ns(s->io);
    uint64_t until_ns = earlier(now_ns + s->run->config->turn_wait_ns, wheel_next_ns(&s->wheel));
    until_ns = earlier(until_ns, s->outputs_due_ns);
    if (s->input == READER_POLL && !s->drained)
        until_ns =
            earlier(until_ns, now_ns + (s->run->source.regular ? CHAIN_POLL_NS : PIPE_POLL_NS));
    if (s->no_room_until_ns > now_ns) until_ns = earlier(until_ns, s->no_room_until_ns);
    if (s->rate_until_ns > now_ns) until_ns = earlier(until_ns, s->rate_until_ns);
    if (s->recall.head != NULL || s->recall.over != 0)
        until_ns = earlier(until_ns, s->recall.more ? 0 : now_ns + RECALL_POLL_NS);
    if (s->read_ahead || !names_wait(s)) until_ns = 0;
    return until_ns;
}

static void timers(struct shard *s)
{
    wheel_advance(&s->wheel, io_now_ns(s->io));
    struct wheel_node *n;
    for (int i = 0; i < TIMERS_PER_TURN && (n = wheel_expired(&s->wheel)) != NULL; i++)
        dispatch_timer(s, n);
}

static void outputs_failed(struct shard *s, const struct outbuf *b)
{
    int error = outfile_failed(b->file);
    if (error == 0) error = outfile_full(b->file);
    if (error == 0) return;
    run_fail(s->run, EXIT_OUTPUT,
             "cannot write %s: %s; no more records were taken in, and the file ends with its last "
             "whole line",
             strcmp(b->file->path, "-") == 0 ? "standard output" : b->file->path,
             strerrordesc_np(error));
}

static void spool_tend(struct shard *s)
{
    if (!s->spool.open) return;
    s->outputs_due_ns = earlier(s->outputs_due_ns, outbuf_tend(&s->spool.buf, false));
    int error = outfile_failed(&s->spool.file);
    if (error != 0)
        run_fail(s->run, EXIT_OUTPUT,
                 "cannot write the temporary file for what waits of a pipe (in %s): %s",
                 s->spool.file.path, strerrordesc_np(error));
}

static void state_failed(struct shard *s)
{
    const struct journal *j = &s->run->durable.journal;
    int error = journal_failed(j), full = load_rlx(&j->full);
    if (error == 0 && full == 0) return;
    run_state_failed(s->run, error != 0 ? error : full);
}

static void outputs(struct shard *s, bool all)
{
    struct outbuf *each[] = {&s->results, &s->events, &s->dead_letters, &s->rejects};
    bool state = s->log.journal != NULL;
    s->outputs_due_ns = logbook_tend(&s->log, all);
    for (int i = 0; i < 4; i++) {
        if (each[i]->file->path == NULL) continue;
        if (!state) s->outputs_due_ns = earlier(s->outputs_due_ns, outbuf_tend(each[i], all));
        outputs_failed(s, each[i]);
    }
    if (state) state_failed(s);
    spool_tend(s);
}

static bool outputs_idle(const struct shard *s)
{
    return recall_idle(s) && logbook_idle(&s->log) && outbuf_idle(&s->results) &&
           outbuf_idle(&s->events) && outbuf_idle(&s->dead_letters) && outbuf_idle(&s->rejects);
}

static void stopping(struct shard *s)
{
    uint32_t stop = load_rlx(&s->run->stop);
    if (stop == RUN_GO) return;
    if (!s->drained && intake_inside(s)) return;
    if (!s->drained) {
        bool left = s->input != READER_END || s->line_waits || !refeed_over(s);
        if (left) store_rlx(&s->run->input_left, 1);
        intake_stop(s);
        recall_stop(s);
        waiting_drain(s);
    }
    if (stop == RUN_STOP_NOW && !s->cut) {
        s->cut = true;
        dispatch_cut(s);
    }
    dispatch_drain(s);
}

/* Until its next timer, if nothing else can happen before; else 0. */
static uint64_t quiet_ns(const struct shard *s, bool over)
{
    if (over) return UINT64_MAX;
    bool busy = s->busy > 0 || !intake_over(s) || !refeed_over(s) || s->untold_head != NULL ||
                s->recall.head != NULL || s->recall.over != 0 || s->lanes.ready_head != NULL;
    uint64_t now_ns = io_now_ns(s->io), next_ns = wheel_next_ns(&s->wheel);
    return busy || next_ns <= now_ns ? 0 : next_ns - now_ns;
}

/* --max-wait is about records: connections that idle meanwhile would be something to wait for. */
static void quiet_close(struct shard *s)
{
    uint64_t now_ns = io_now_ns(s->io);
    if (s->run->config->max_wait_ns == 0 || s->tally.quiet_ns == 0) s->quiet_since_ns = now_ns;
    else if (now_ns - s->quiet_since_ns > QUIET_CLOSE_NS && s->conns.open > 0)
        dispatch_close_idle(s);
}

static void tally_now(struct shard *s, bool over)
{
    store_rlx(&s->tally.quiet_ns, quiet_ns(s, over));
    struct tally *t = &s->tally;
    store_rlx(&t->in_flight, s->busy);
    store_rlx(&t->connections_open, s->conns.open);
    store_rlx(&t->hosts, s->lanes.count);
    store_rlx(&t->memory_used_bytes, slab_used_bytes(s->slab) + secure_used_bytes(s));
    if (s->conns.tls != NULL) {
        store_rlx(&t->tls_handshakes, tls_numbers(s->conns.tls)->handshakes);
        store_rlx(&t->tls_resumed, tls_numbers(s->conns.tls)->resumed);
    }
    store_rlx(&t->waiting, s->parked);
}

/* The time in the kernel that the turn's completions do not account for: it does its own work of a
 * delivery there. */
static void count_idle(struct shard *s, uint32_t completions)
{
    uint64_t took_ns = io_waited_ns(s->io), busy_ns = completions * COMPLETION_NS;
    s->idle_ns += took_ns > busy_ns ? took_ns - busy_ns : 0;
    if (s->idle_ns > IDLE_MAX_NS) s->idle_ns = IDLE_MAX_NS;
}

static uint32_t min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Waits for a share of the exchanges under way, as far as so many have been coming: where most of
 * them hang, waiting for a share of all would hold up the few that go on. */
static void wait_together(struct shard *s)
{
    uint32_t batch = min_u32(min_u32(s->busy / BATCH_SHARE, BATCH_MAX), s->batch_seen);
    uint32_t busy = s->busy;
    uint32_t completions = io_turn(s->io, shard_sleeps_until(s), batch);
    CHECK(s->busy <= busy);
    uint32_t ended = busy - s->busy;
    s->batch_seen = ended < batch ? ended : ended + ended / 4 + 1;
    count_idle(s, completions);
}

bool shard_turn(struct shard *s)
{
    CHECK(s->begun);
    wait_together(s);
    timers(s);
    logbook_look(&s->log);
    names_tend(s);
    feedback_flush(s);
    account_untold(s);
    stopping(s);
    recall_tend(s);
    refeed(s);
    intake(s);
    if (intake_over(s) && refeed_over(s) && !s->read_over) {
        s->read_over = true;
        (void)add_rlx(&s->run->readers, UINT32_MAX);
    }
    dispatch(s);
    dispatch_share(s);
    bool over = intake_over(s) && refeed_over(s) && s->live == 0 && s->parked == 0;
    feedback_flush(s); /* of attempts that ended as they began, and permits of no use any more */
    if (over && s->conns.open > 0) dispatch_close_idle(s);
    if (over && !names_idle(s)) names_stop(s);
    outputs(s, over);
    tally_now(s, over);
    quiet_close(s);
    return !over || s->conns.open > 0 || !outputs_idle(s) || !names_idle(s) ||
           io_in_flight(s->io) > 0;
}

void shard_validate(const struct shard *s)
{
    wheel_validate(&s->wheel);
    lanes_validate(&s->lanes);
    dns_cache_validate(&s->names.cache);
    slab_validate(s->slab);
    uint32_t busy = 0;
    for (uint32_t i = 0; i < s->conns.touched; i++) {
        const struct conn *c = &s->conns.conns[i];
        conn_validate(c);
        bool due = c->state != CONN_FREE && c->deadline_ns != CONN_NO_DEADLINE;
        CHECK(wheel_armed(&s->timers[i]) == due);
        if (due) CHECK(s->timers[i].due_ns <= c->deadline_ns);
        if (s->conns.conns[i].ex != NULL) busy++;
    }
    CHECK(busy == s->busy);
    CHECK(s->busy <= s->live);
}
