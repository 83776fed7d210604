/* core/engine/intake.c - from a line of the input to a delivery in its lane, or to a reject.
 *
 * Lines are taken in while there is room for more live deliveries. That window grows with the
 * connections that are open: enough to find work for every host, and small enough that a record
 * is still in the processor's cache when it is sent. A record whose flow has enough in memory, or
 * must wait, is parked: at once where its host is on hold, held back by its pace, or stalled; where
 * its host is just slower than the input, in such time as the shard has to spare.
 */
#include "core/engine/shard_state.h"
#include "core/net/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

enum { LIVE_FIRST = 256, LIVE_PER_CONNECTION = 8, PARKED_PER_TURN = 64 };
#define STALLED_AFTER_NS UINT64_C(100000000)
/* Five times what it costs to park a line and to read it again: finds what other hosts could take
 * at 100,000 lines a second, and leaves the machine its idle time. */
#define READ_AHEAD_NS    UINT64_C(10000)

bool intake_window_open(const struct shard *s, uint64_t kept_bytes)
{
    if (s->untold_head != NULL || !note_fits(s)) return false;
    /* What is parked, or will be, must leave room for what goes on. */
    uint64_t used_bytes = slab_used_bytes(s->slab) + kept_bytes;
    bool parked = s->parked > 0 || kept_bytes > 0;
    if (parked && used_bytes > slab_limit_bytes(s->slab) / 4 * 3) return false;
    return s->live < LIVE_FIRST + LIVE_PER_CONNECTION * s->conns.open;
}

/* ---- rejects ------------------------------------------------------------------------------ */

static void reject_count(struct shard *s, const struct reject *why)
{
    struct run *run = s->run;
    const struct config *c = run->config;
    const char *path = input_name(c);
    uint64_t line = s->reader.line_number;
    TALLY_ADD(s->tally.rejected, 1);
    if (c->rejects_shown_max > 0) {
        uint32_t shown = add_rlx(&run->rejects_shown, 1);
        if (shown < c->rejects_shown_max)
            fprintf(stderr, "hookline: %s:%" PRIu64 ":%u: rejected: %s\n", path, line, why->column,
                    why->reason);
        else if (shown == c->rejects_shown_max)
            fprintf(stderr, "hookline: further rejects are counted, not shown; "
                            "'hookline check' names them all\n");
    }
    if (c->strict)
        run_fail(run, EXIT_INPUT, "%s:%" PRIu64 ":%u: %s (--strict stops at the first reject)",
                 path, line, why->column, why->reason);
}

/* Copies what is there of the line to the rejects file, as it came. True: all of it. */
static bool reject_copy(struct shard *s, bool last)
{
    struct outbuf *b = &s->rejects;
    const struct span *line = &s->reader.line;
    if (b->file->path == NULL) return true;
    outbuf_hold(b, true);
    while (s->reject_done < line->len) {
        uint32_t room = outbuf_room(b);
        if (room == 0) return false;
        size_t n = line->len - s->reject_done;
        if (n > room) n = room;
        memcpy(outbuf_at(b), line->ptr + s->reject_done, n);
        outbuf_add(b, (uint32_t)n);
        s->reject_done += n;
    }
    if (!last) return true;
    if (outbuf_room(b) == 0) return false;
    *outbuf_at(b) = '\n';
    outbuf_add(b, 1);
    outbuf_hold(b, false);
    return true;
}

/* A line, or a piece of an overlong one, that is a reject. True: done with it. */
static bool reject_take(struct shard *s, const struct reject *why, bool last)
{
    if (!s->reject_open) {
        reject_count(s, why);
        s->reject_open = true;
        s->reject_done = 0;
    }
    if (!reject_copy(s, last)) return false;
    if (last) note_line(s, s->reader.line_number, true);
    s->reject_open = !last;
    s->reject_done = 0;
    return true;
}

static bool piece_take(struct shard *s)
{
    struct reject why = {.column = s->run->config->record_bytes_max + 1};
    snprintf(why.reason, sizeof why.reason, "the line is longer than --max-record (%u bytes)",
             s->run->config->record_bytes_max);
    return reject_take(s, &why, s->reader.piece_last);
}

static bool reject_because(struct shard *s, const char *reason)
{
    struct reject why = {.column = 1};
    snprintf(why.reason, sizeof why.reason, "%s", reason);
    return reject_take(s, &why, true);
}

/* ---- accepted records --------------------------------------------------------------------- */

/* An id that every receiver reads as it was signed: the specification forbids a '.', which stands
 * between the parts; white space at the ends is not part of a field's value, and what is beyond
 * ASCII is read in different ways. */
static bool signable_id(struct span id)
{
    for (size_t i = 0; i < id.len; i++) {
        unsigned char c = (unsigned char)id.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '.') return false;
    }
    return true;
}

static const char *unsignable(const struct record *r)
{
    const uint32_t own =
        BIT(HEADER_WEBHOOK_ID) | BIT(HEADER_WEBHOOK_TIMESTAMP) | BIT(HEADER_WEBHOOK_SIGNATURE);
    if ((r->header_kinds & own) != 0)
        return "\"headers\": webhook-id, -timestamp and -signature are set by signing";
    if (!signable_id(r->id)) return "\"id\" cannot be signed: only visible ASCII without '.' can";
    return NULL;
}

/* What only this run, and not the record alone, makes impossible. NULL: nothing. */
static const char *impossible(const struct shard *s, const struct record *r)
{
    if (s->rules.idempotency_key && !header_value_ok(r->id))
        return "\"id\" cannot be sent as Idempotency-Key: it holds a control character";
    return s->rules.signer != NULL ? unsignable(r) : NULL;
}

/* A time of the record's, on the monotonic clock. */
static uint64_t monotonic(const struct shard *s, uint64_t wall_ns)
{
    uint64_t now_ns = io_now_ns(s->io), wall_now_ns = io_wall_ns(s->io);
    return wall_ns > wall_now_ns ? now_ns + (wall_ns - wall_now_ns) : now_ns;
}

static uint64_t key_of(const struct record *r)
{
    uint64_t hash = r->key.len > 0 ? XXH3_64bits(r->key.ptr, r->key.len) : 0;
    return r->key.len > 0 && hash == 0 ? 1 : hash;
}

/* NULL: no memory now; *never: nor at any other time. */
static struct delivery *make(struct shard *s, struct flow *f, struct span line, uint64_t number,
                             bool *never)
{
    const struct record *r = s->record;
    struct delivery *d;
    do d = delivery_make(s->slab, &s->rules, r, line, number, lane_name(f->lane), never);
    while (d == NULL && !*never && lanes_evict(&s->lanes, f->lane, io_now_ns(s->io)));
    if (d == NULL) return NULL;
    d->flow = f;
    d->line = number;
    d->check = (uint16_t)parked_check(line);
    d->fate = FATE_NONE;
    d->since_ns = io_now_ns(s->io);
    d->deadline_ns = r->deadline_ns != 0 ? monotonic(s, r->deadline_ns) : UINT64_MAX;
    return d;
}

struct delivery *intake_again(struct shard *s, struct flow *f, const struct parking *p,
                              struct span line, bool *changed)
{
    struct reject why;
    bool never;
    *changed = parked_check(line) != p->check ||
               record_parse(s->parser, line, s->record, &why) != RECORD_OK;
    if (*changed) return NULL;
    struct delivery *d = make(s, f, line, p->line, &never);
    if (d == NULL) return NULL;
    d->offset = p->offset;
    d->spooled = s->spool.open;
    d->attempts = (uint16_t)p->attempts;
    d->why = p->why;
    d->sent = p->sent;
    d->retry = p->retry;
    d->deferred = p->told;
    d->since_ns = p->first_attempt_ns;
    return d;
}

static void accepted(struct shard *s)
{
    TALLY_ADD(s->tally.accepted, 1);
    trace_at(s->run->config->trace, TRACE_BEGUN, io_now_ns(s->io));
}

/* Its fate is decided before it is sent: now, or as soon as that can be told. */
void intake_end(struct shard *s, struct delivery *d, enum err why, enum outcome outcome)
{
    s->untaken_why = why;
    s->untaken_outcome = outcome;
    struct flow *f = d->flow;
    if (account_unsent(s, d, why, (uint8_t)outcome)) {
        flow_settle(&s->lanes, f, io_now_ns(s->io));
        return;
    }
    s->untaken = d;
    f->untold++;
}

enum placing { PLACE_QUEUE, PLACE_BACKLOG, PLACE_NONE /* not now */ };

/* Where a record goes that may be sent at once, if its flow lets it. */
static enum placing place_of(struct shard *s, const struct flow *f)
{
    const struct lane *l = f->lane;
    uint64_t now_ns = io_now_ns(s->io);
    if (!l->held && !f->blocked && f->backlog == 0 && f->queued < flow_room(f)) return PLACE_QUEUE;
    bool waits = l->held || f->blocked || l->moved_ns + STALLED_AFTER_NS < now_ns;
    if (!waits && s->idle_ns < READ_AHEAD_NS) return PLACE_NONE;
    if (s->parked_now++ >= PARKED_PER_TURN) { /* goes on in the next turn, without waiting */
        s->read_ahead = true;
        return PLACE_NONE;
    }
    if (!waits) s->idle_ns -= READ_AHEAD_NS;
    return PLACE_BACKLOG;
}

/* Can the line be parked without being rendered first? */
static bool line_parks(const struct shard *s, const struct lane *l, size_t len)
{
    bool told = l->held && s->events.file->path != NULL; /* the event shows the record */
    return !told && 8 * len + 8192 < slab_limit_bytes(s->slab);
}

static bool record_park(struct shard *s, struct flow *f, uint64_t due_ns)
{
    const struct record *r = s->record;
    uint64_t deadline_ns = r->deadline_ns != 0 ? monotonic(s, r->deadline_ns) : UINT64_MAX;
    bool deferred = due_ns == 0 && f->lane->held;
    if (!park_line(s, f, deadline_ns, due_ns, deferred)) return false;
    if (deferred) feedback_deferred(s, f->lane);
    lane_update(&s->lanes, f->lane);
    accepted(s);
    return true;
}

/* How many hosts were shown before this one, which is now; UINT32_MAX: it was, by any shard, or
 * there have been too many. */
static uint32_t refusals_before(struct run *run, uint64_t name_hash)
{
    uint64_t mine = name_hash != 0 ? name_hash : 1;
    for (uint32_t i = 0; i < RUN_REFUSALS_SHOWN; i++) {
        uint64_t there = load_rlx(&run->refusals_shown[i]);
        if (there == 0 && cas_rlx(&run->refusals_shown[i], &there, mine)) return i;
        if (there == mine) return UINT32_MAX;
    }
    return UINT32_MAX;
}

void refusal_show(struct shard *s, struct lane *l)
{
    struct run *run = s->run;
    char why[POLICY_TEXT_BYTES];
    uint32_t max = run->config->refused_shown_max;
    if (l->refusal_told || max == 0) return;
    l->refusal_told = true;
    uint32_t shown = refusals_before(run, l->name_hash);
    if (shown > max) return;
    if (shown == max) {
        fprintf(stderr, "hookline: further hosts that are refused are in the results only\n");
        return;
    }
    struct span name = lane_name(l);
    policy_refusal_text(run->config->policy, lane_refused_addr(l), why);
    fprintf(stderr, "hookline: %.*s: refused by the egress policy: %s\n", (int)name.len, name.ptr,
            why);
}

/* late: its deadline is over, or will be before it may be sent. */
static void record_accept(struct shard *s, struct delivery *d, bool late, uint64_t due_ns,
                          enum placing place)
{
    struct lane *l = d->flow->lane;
    s->live++;
    accepted(s);
    if (lane_refuses(l, io_now_ns(s->io))) {
        refusal_show(s, l);
        intake_end(s, d, ERR_BLOCKED_ADDRESS, OUTCOME_FAILED);
    } else if (late) {
        intake_end(s, d, ERR_EXPIRED, OUTCOME_EXPIRED);
    } else if (d->offset < s->run->durable.maybe_below && s->run->config->retry.at_most_once) {
        d->sent_now = SENT_MAYBE; /* nobody knows, and it may be sent once only */
        intake_end(s, d, ERR_STOPPED, OUTCOME_FAILED);
    } else if (due_ns > 0) {
        wait_until(s, d, due_ns);
    } else {
        wait_turn(s, d);
        if (place == PLACE_BACKLOG) (void)park_flow(s, d->flow);
    }
    lane_update(&s->lanes, l);
}

struct flow *intake_flow(struct shard *s)
{
    const struct config *c = s->run->config;
    const struct record *r = s->record;
    struct lane *l;
    uint64_t now_ns = io_now_ns(s->io);
    if (lanes_find(&s->lanes, &r->url, c->resolver, c->policy, now_ns, &l) != LANE_FOUND)
        return NULL;
    return lanes_flow(&s->lanes, l, key_of(r), now_ns);
}

/* True: done with the line. False: it waits for memory, room or time. */
static bool record_take(struct shard *s)
{
    const struct config *c = s->run->config;
    const struct record *r = s->record;
    const struct reader *in = &s->reader;
    const char *reason = impossible(s, r);
    if (reason != NULL) return reject_because(s, reason);
    struct lane *l;
    uint64_t now_ns = io_now_ns(s->io);
    switch (lanes_find(&s->lanes, &r->url, c->resolver, c->policy, now_ns, &l)) {
    case LANE_FOUND: break;
    case LANE_NO_MEMORY: return false;
    }
    struct flow *f = lanes_flow(&s->lanes, l, key_of(r), now_ns);
    if (f == NULL) return false;
    bool early = c->trace == NULL && r->not_before_ns > io_wall_ns(s->io);
    uint64_t due_ns = early ? monotonic(s, r->not_before_ns) : 0;
    bool late = r->deadline_ns != 0 && (monotonic(s, r->deadline_ns) <= now_ns ||
                                        (due_ns > 0 && r->deadline_ns <= r->not_before_ns));
    bool once = c->retry.at_most_once && in->line_offset < s->run->durable.maybe_below;
    bool over = lane_refuses(l, now_ns) || late || once;
    enum placing place = over || due_ns > 0 ? PLACE_QUEUE : place_of(s, f);
    if (place == PLACE_NONE) {
        flow_settle(&s->lanes, f, now_ns);
        return false;
    }
    bool parks = !over && (due_ns > 0 || place == PLACE_BACKLOG);
    if (parks && line_parks(s, l, in->line.len) && record_park(s, f, due_ns)) return true;
    bool never;
    struct delivery *d = make(s, f, in->line, in->line_number, &never);
    if (d != NULL) {
        d->offset = in->line_offset;
        record_accept(s, d, late, due_ns, place);
        return true;
    }
    bool hopeless = never || (s->live == 0 && s->parked == 0);
    flow_settle(&s->lanes, f, now_ns);
    if (!hopeless) return false;
    return reject_because(s, "the record needs more memory than --memory leaves for one");
}

static bool reject_rest(struct shard *s)
{
    if (!reject_copy(s, true)) return false;
    note_line(s, s->reader.line_number, true);
    s->reject_open = false;
    return true;
}

static bool line_take(struct shard *s)
{
    if (s->reject_open) return reject_rest(s);
    struct reject why;
    switch (record_parse(s->parser, s->reader.line, s->record, &why)) {
    case RECORD_BLANK: note_line(s, s->reader.line_number, false); return true;
    case RECORD_REJECT: return reject_take(s, &why, true);
    case RECORD_OK: return record_take(s);
    }
    UNREACHABLE();
}

static void input_failed(struct shard *s)
{
    const struct reader *r = &s->reader;
    const char *path = input_name(s->run->config);
    if (r->error == 0)
        run_fail(s->run, EXIT_INPUT, "%s: the file shrank to %" PRIu64 " bytes while it was read",
                 path, r->error_offset);
    else
        run_fail(s->run, EXIT_INPUT, "%s: cannot read at byte %" PRIu64 ": %s", path,
                 r->error_offset, strerrordesc_np(r->error));
}

bool intake_inside(const struct shard *s) { return s->log.journal != NULL && s->reject_open; }

void intake(struct shard *s)
{
    reader_tend(&s->reader);
    note_blocks(s);
    if (s->untaken != NULL) {
        struct flow *f = s->untaken->flow;
        struct lane *l = f->lane;
        if (!account_unsent(s, s->untaken, s->untaken_why, (uint8_t)s->untaken_outcome)) return;
        f->untold--;
        flow_settle(&s->lanes, f, io_now_ns(s->io));
        lane_update(&s->lanes, l);
        s->untaken = NULL;
    }
    if (s->drained) return;
    s->parked_now = 0;
    s->read_ahead = false;
    while (intake_window_open(s, refeed_needs_bytes(s)) && s->untaken == NULL) {
        if (!s->line_waits) {
            s->input = reader_next(&s->reader);
            if (s->input == READER_ERROR) input_failed(s);
            if (s->input != READER_LINE && s->input != READER_PIECE) return;
        }
        if (source_line_known(&s->run->source, s->reader.line_number)) continue;
        if (!note_leased(s, s->reader.line_offset)) {
            s->line_waits = true;
            return;
        }
        s->line_waits = s->input == READER_LINE ? !line_take(s) : !piece_take(s);
        bool stop = load_rlx(&s->run->stop) != RUN_GO && !intake_inside(s);
        if (s->line_waits || stop) return;
    }
}

void intake_stop(struct shard *s)
{
    s->drained = true;
    s->line_waits = false; /* it was not accepted, and is not counted */
    reader_stop(&s->reader);
    if (!s->reject_open) return;
    s->reject_open = false;
    if (s->rejects.file->path == NULL) return;
    if (outbuf_room(&s->rejects) > 0) { /* the rest of an overlong line is not read */
        *outbuf_at(&s->rejects) = '\n';
        outbuf_add(&s->rejects, 1);
    } else {
        outbuf_at(&s->rejects)[-1] = '\n';
    }
    outbuf_hold(&s->rejects, false);
}

bool intake_over(const struct shard *s)
{
    if (s->untaken != NULL || s->line_waits || !reader_idle(&s->reader)) return false;
    return s->drained || s->input == READER_END;
}
