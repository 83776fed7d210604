/* core/engine/refeed.c - records that waited when an earlier life of the run ended come back.
 *
 * The run's list has their places, in the order of the input. Each shard takes a piece of it at a
 * time, reads their lines and puts each record where it belongs: into its flow, parked until its
 * time, or, where it may have been delivered and may be delivered once only, to its end.
 */
#include "core/engine/shard_state.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

enum {
    PIECE = 64,
    PIECE_LARGE = 4096, /* whole pages of the list, so that their memory can be given back */
    PER_TURN = 512,
    READ_BYTES = 64 * 1024,
};

static uint32_t cap_of(uint32_t record_bytes_max) { return READ_BYTES + record_bytes_max + 1; }

uint64_t refeed_memory_bytes(uint32_t record_bytes_max)
{
    return cap_of(record_bytes_max) + RECORD_PADDING;
}

bool refeed_open(struct shard *s)
{
    struct refeed *r = &s->refeed;
    r->shard = s;
    if (s->run->durable.waiting.count == 0) return true;
    r->cap = cap_of(s->run->config->record_bytes_max);
    void *mem = mmap(NULL, (size_t)r->cap + RECORD_PADDING, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED) return false;
    r->mem = mem;
    return true;
}

void refeed_close(struct shard *s)
{
    struct refeed *r = &s->refeed;
    if (r->mem != NULL) munmap(r->mem, (size_t)r->cap + RECORD_PADDING);
    r->mem = NULL;
}

/* The next one of ours; NULL: there is none. */
static const struct journal_waiting *next_of(struct shard *s)
{
    struct refeed *r = &s->refeed;
    struct durable *u = &s->run->durable;
    if (r->mem == NULL) return NULL;
    if (r->next == r->end) {
        waitset_release(&u->waiting, r->first, r->end);
        r->first = r->next;
        if (load_rlx(&u->waiting_next) >= u->waiting.count) return NULL;
        uint64_t piece = u->waiting.count / s->run->shards_count < 4 * PIECE_LARGE ? PIECE
                                                                                   : PIECE_LARGE;
        r->next = add_rlx(&u->waiting_next, piece);
        r->end = r->next + piece;
        if (r->next > u->waiting.count) r->next = u->waiting.count;
        if (r->end > u->waiting.count) r->end = u->waiting.count;
        r->first = r->next;
        if (r->next == r->end) return NULL;
    }
    return &u->waiting.at[r->next];
}

uint64_t refeed_needs_bytes(const struct shard *s)
{
    const struct refeed *r = &s->refeed;
    const struct durable *u = &s->run->durable;
    if (r->mem == NULL) return 0;
    uint64_t taken = load_rlx(&u->waiting_next);
    uint64_t left = taken < u->waiting.count ? u->waiting.count - taken : 0;
    return (left / s->run->shards_count + r->end - r->next) * sizeof(struct parked);
}

bool refeed_over(const struct shard *s)
{
    const struct refeed *r = &s->refeed;
    const struct durable *u = &s->run->durable;
    if (r->op.in_flight) return false;
    if (r->mem == NULL || s->drained) return true;
    return r->next == r->end && load_rlx(&u->waiting_next) >= u->waiting.count;
}

/* ---- its line ----------------------------------------------------------------------------- */

static void read_done(struct io_op *op, int32_t res)
{
    struct refeed *r = CONTAINER_OF(op, struct refeed, op);
    if (res == -EINTR || res == -EAGAIN) return; /* asked for again */
    if (res > 0) r->len += (uint32_t)res;
    else r->error = res < 0 ? -res : -1;
}

static void read_more(struct shard *s)
{
    struct refeed *r = &s->refeed;
    uint64_t left = s->run->source.size_bytes - (r->offset + r->len);
    uint32_t want = r->len == 0 ? READ_BYTES : r->cap - r->len;
    if (want > left) want = (uint32_t)left;
    r->op.kind = IO_READ;
    r->op.done = read_done;
    r->op.fd = s->run->source.fd;
    r->op.buf = r->mem + r->len;
    r->op.len = want;
    r->op.offset = r->offset + r->len;
    io_submit(s->io, &r->op);
}

static void changed(struct shard *s, uint64_t line)
{
    run_fail(s->run, EXIT_INPUT,
             "%s: line %" PRIu64 " is not the record that waits in %s: the input must not change "
             "while its state is in use",
             input_name(s->run->config), line, s->run->config->state_path);
}

/* True: there it is. False: it is being read, or the run ends. */
static bool line_at(struct shard *s, const struct journal_waiting *w, struct span *line)
{
    struct refeed *r = &s->refeed;
    uint64_t size = s->run->source.size_bytes;
    if (r->op.in_flight) return false;
    if (r->error != 0 || w->offset >= size) {
        changed(s, w->line);
        return false;
    }
    if (w->offset < r->offset || w->offset >= r->offset + r->len) {
        r->offset = w->offset;
        r->len = 0;
        read_more(s);
        return false;
    }
    const char *from = r->mem + (w->offset - r->offset);
    size_t have = (size_t)(r->offset + r->len - w->offset);
    const char *nl = memchr(from, '\n', have);
    bool last = r->offset + r->len >= size;
    if (nl == NULL && !last && (r->offset != w->offset || r->len < r->cap)) {
        if (r->offset != w->offset) r->len = 0;
        r->offset = w->offset;
        read_more(s);
        return false;
    }
    *line = span_of(from, nl != NULL ? (size_t)(nl - from) : have);
    return true;
}

/* ---- the record --------------------------------------------------------------------------- */

/* A wall time that is past, on the monotonic clock. */
static uint64_t past_ns(const struct shard *s, uint64_t us)
{
    uint64_t now_ns = io_now_ns(s->io), wall_ns = io_wall_ns(s->io);
    uint64_t ago_ns = us * 1000 < wall_ns ? wall_ns - us * 1000 : 0;
    return ago_ns < now_ns - s->start_ns ? now_ns - ago_ns : s->start_ns + 1;
}

/* When it is due; 0: now. A clock that was set back makes nothing wait longer than it ever would.
 * */
static uint64_t due_of(const struct shard *s, const struct journal_waiting *w)
{
    const struct config *c = s->run->config;
    uint64_t wall_ns = io_wall_ns(s->io), most_ns = c->retry.answered.cap_ns;
    if (w->due_us * 1000 <= wall_ns) return 0;
    if (most_ns < c->retry.unreachable.cap_ns) most_ns = c->retry.unreachable.cap_ns;
    if (most_ns < c->max_hint_ns) most_ns = c->max_hint_ns;
    most_ns += most_ns / 10;
    uint64_t last_us = s->run->durable.last_us; /* no more than was left then */
    if (last_us > 0 && w->due_us <= last_us) return 0;
    if (last_us > 0 && (w->due_us - last_us) * 1000 < most_ns)
        most_ns = (w->due_us - last_us) * 1000;
    uint64_t wait_ns = w->due_us * 1000 - wall_ns;
    return io_now_ns(s->io) + (wait_ns < most_ns ? wait_ns : most_ns);
}

static void place(struct shard *s, struct delivery *d, const struct journal_waiting *w)
{
    struct flow *f = d->flow;
    uint64_t due_ns = due_of(s, w);
    s->live++;
    if (lane_refuses(f->lane, io_now_ns(s->io))) {
        intake_end(s, d, ERR_BLOCKED_ADDRESS, OUTCOME_FAILED);
    } else if (w->maybe && s->run->config->retry.at_most_once) {
        d->sent_now = SENT_MAYBE;
        intake_end(s, d, ERR_STOPPED, OUTCOME_FAILED);
    } else if (due_ns > 0) {
        wait_until(s, d, due_ns);
    } else {
        bool crowded = f->lane->held || f->blocked || f->queued >= flow_room(f);
        if (!crowded || !park(s, d, 0)) wait_turn(s, d);
        else flow_refill(s, f);
    }
    lane_update(&s->lanes, f->lane);
}

/* False: it waits for memory, or the run ends. */
static bool feed(struct shard *s, const struct journal_waiting *w, struct span line)
{
    struct reject why;
    uint64_t now_ns = io_now_ns(s->io);
    if (record_parse(s->parser, line, s->record, &why) != RECORD_OK) {
        changed(s, w->line);
        return false;
    }
    struct flow *f = intake_flow(s);
    if (f == NULL) return false;
    struct parking p = {.offset = w->offset,
                        .line = w->line,
                        .check = parked_check(line),
                        .attempts = w->attempts,
                        .why = w->why < ERR_COUNT ? w->why : (uint8_t)ERR_STOPPED,
                        .sent = w->maybe               ? SENT_MAYBE
                                : w->sent < SENT_COUNT ? w->sent
                                                       : SENT_MAYBE,
                        .retry = w->attempts > 0,
                        .told = w->told,
                        .first_attempt_ns = past_ns(s, w->first_us)};
    bool is_changed;
    struct delivery *d = intake_again(s, f, &p, line, &is_changed);
    if (d == NULL) {
        flow_settle(&s->lanes, f, now_ns);
        return false;
    }
    place(s, d, w);
    return true;
}

void refeed(struct shard *s)
{
    struct refeed *r = &s->refeed;
    const struct journal_waiting *w;
    struct span line;
    if (r->mem == NULL || s->drained) return;
    for (int i = 0; i < PER_TURN && intake_window_open(s, 0) && (w = next_of(s)) != NULL; i++) {
        if (s->untaken != NULL || !line_at(s, w, &line) || !feed(s, w, line)) return;
        r->next++;
    }
}
