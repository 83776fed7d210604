#include "core/engine/recall.h"

#include "core/engine/shard_state.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

enum {
    FLOWS_PER_TURN = 64, /* looked at; the rest comes first in the next turn */
    OVER_PER_TURN = 1024,
    LIVE_RECALLED_MAX = 65536,
};

enum look { LOOK_FOUND, LOOK_WAITS /* a read is under way, or no slot is free */, LOOK_LOST };

/* ---- memory ------------------------------------------------------------------------------- */

static uint32_t cap_of(uint32_t record_bytes_max) { return RECALL_BYTES + record_bytes_max + 1; }

uint64_t recall_memory_bytes(uint32_t record_bytes_max)
{
    return (uint64_t)RECALL_LONG * (cap_of(record_bytes_max) + RECORD_PADDING) +
           (uint64_t)RECALL_SHORT * (RECALL_BYTES + RECORD_PADDING);
}

bool recall_open(struct shard *s)
{
    struct recall *r = &s->recall;
    for (int i = 0; i < RECALL_SLOTS; i++) {
        bool is_long = i < RECALL_LONG;
        uint32_t cap = is_long ? cap_of(s->run->config->record_bytes_max) : RECALL_BYTES;
        void *mem = mmap(NULL, (size_t)cap + RECORD_PADDING, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mem == MAP_FAILED) return false;
        r->slot[i] = (struct recall_slot){.shard = s, .mem = mem, .cap = cap};
    }
    return true;
}

void recall_close(struct shard *s)
{
    for (int i = 0; i < RECALL_SLOTS; i++)
        if (s->recall.slot[i].mem != NULL)
            munmap(s->recall.slot[i].mem, (size_t)s->recall.slot[i].cap + RECORD_PADDING);
}

/* ---- reading ------------------------------------------------------------------------------ */

/* How many bytes of the file may be read: those that were there, or are written by now. */
static uint64_t file_bytes(const struct shard *s)
{
    return s->spool.open ? spool_length(&s->spool) : s->run->source.size_bytes;
}

static void read_done(struct io_op *op, int32_t res);

static void read_more(struct recall_slot *slot, uint32_t want)
{
    struct shard *s = slot->shard;
    uint64_t left = file_bytes(s) - (slot->offset + slot->len);
    uint32_t room = slot->cap - slot->len;
    if (want > room) want = room;
    if (want > left) want = (uint32_t)left;
    CHECK(want > 0);
    slot->op.kind = IO_READ;
    slot->op.done = read_done;
    slot->op.fd = s->spool.open ? s->spool.file.fd : s->run->source.fd;
    slot->op.buf = slot->mem + slot->len;
    slot->op.len = want;
    slot->op.offset = slot->offset + slot->len;
    slot->state = RECALL_READING;
    s->recall.reading++;
    io_submit(s->io, &slot->op);
}

static void read_done(struct io_op *op, int32_t res)
{
    struct recall_slot *slot = CONTAINER_OF(op, struct recall_slot, op);
    struct shard *s = slot->shard;
    s->recall.reading--;
    bool stale = slot->life != s->spool.life; /* there may be nothing there any more */
    if ((res == -EINTR || res == -EAGAIN) && !stale) {
        read_more(slot, op->len);
        return;
    }
    slot->state = res > 0 ? RECALL_READ : RECALL_FAILED;
    if (res > 0) slot->len += (uint32_t)res;
    else slot->error = -res; /* 0: the file is shorter than it was */
}

/* The line that begins at `offset`, if the slot has all of it. */
static bool slot_line(const struct shard *s, const struct recall_slot *slot, uint64_t offset,
                      struct span *line)
{
    if (offset < slot->offset || offset >= slot->offset + slot->len) return false;
    const char *from = slot->mem + (offset - slot->offset);
    size_t have = (size_t)(slot->offset + slot->len - offset);
    const char *nl = memchr(from, '\n', have);
    bool eof = nl == NULL && slot->offset + slot->len == file_bytes(s);
    if (nl == NULL && !eof) return false;
    *line = span_of(from, nl != NULL ? (size_t)(nl - from) : have);
    return true;
}

/* One with room for so much. NULL: all of them are being read, or wait to be used. */
static struct recall_slot *slot_free(struct recall *r, size_t bytes)
{
    struct recall_slot *best = NULL;
    int count = bytes > RECALL_BYTES ? RECALL_LONG : RECALL_SLOTS;
    for (int i = 0; i < count; i++) {
        struct recall_slot *slot = &r->slot[i];
        if (slot->state != RECALL_EMPTY && slot->state != RECALL_LOADED) continue;
        if (best == NULL || slot->used < best->used) best = slot;
    }
    return best;
}

/* A line of the spool that is still in memory: copied, since bytes behind it must be readable. */
static bool from_memory(struct shard *s, uint64_t offset, struct span *line)
{
    struct span found;
    if (!s->spool.open || !spool_find(&s->spool, offset, &found)) return false;
    struct recall_slot *slot = slot_free(&s->recall, found.len + 1);
    if (slot == NULL) return false;
    memcpy(slot->mem, found.ptr, found.len);
    slot->mem[found.len] = '\n';
    slot->offset = offset;
    slot->life = s->spool.life;
    slot->len = (uint32_t)found.len + 1;
    slot->state = RECALL_LOADED;
    *line = span_of(slot->mem, found.len);
    return true;
}

/* Looks for the line in what is loaded; begins to read it for `target` if it is nowhere. */
static enum look look_for(struct shard *s, uint64_t offset, struct flow *target, struct span *line)
{
    struct recall *r = &s->recall;
    size_t bytes = RECALL_BYTES;
    for (int i = 0; i < RECALL_SLOTS; i++) {
        struct recall_slot *slot = &r->slot[i];
        bool usable = slot->state == RECALL_LOADED || slot->state == RECALL_READ;
        if (!usable || slot->life != s->spool.life) continue;
        if (slot->offset == offset && slot->len >= slot->cap && !slot_line(s, slot, offset, line)) {
            if (i < RECALL_LONG) return LOOK_LOST; /* longer than any record: not what it was */
            bytes = RECALL_BYTES + 1;
        }
        if (!slot_line(s, slot, offset, line)) continue;
        slot->used = ++r->looks;
        return LOOK_FOUND;
    }
    if (from_memory(s, offset, line)) return LOOK_FOUND;
    struct recall_slot *slot = slot_free(r, bytes);
    if (slot == NULL) return LOOK_WAITS;
    if (offset >= file_bytes(s)) { /* its write is under way, or it never was a place in there */
        return s->spool.open ? LOOK_WAITS : LOOK_LOST;
    }
    slot->offset = offset;
    slot->life = s->spool.life;
    slot->len = 0;
    slot->target = target;
    slot->used = ++r->looks;
    read_more(slot, RECALL_BYTES);
    return LOOK_WAITS;
}

/* ---- flows -------------------------------------------------------------------------------- */

static void list_add(struct recall *r, struct flow *f)
{
    f->recall_next = NULL;
    *(r->tail ? &r->tail->recall_next : &r->head) = f;
    r->tail = f;
}

void recall_want(struct shard *s, struct flow *f)
{
    if (f->in_recall || s->drained) return;
    f->in_recall = true;
    list_add(&s->recall, f);
    flow_update(&s->lanes, f);
}

/* The last call on a flow that has nothing left. */
static void enough(struct shard *s, struct flow *f)
{
    f->in_recall = false;
    flow_update(&s->lanes, f);
    flow_settle(&s->lanes, f, io_now_ns(s->io));
}

static bool wants(const struct shard *s, const struct flow *f)
{
    return f->backlog > 0 && !f->blocked && !f->lane->blocked && f->queued < flow_room(f) &&
           !s->drained && s->live < LIVE_RECALLED_MAX;
}

/* The input is not what it was: said once; the record stays pending. */
static void changed(struct shard *s, uint64_t line, int error)
{
    const char *path = input_name(s->run->config);
    if (error != 0)
        run_fail(s->run, s->spool.open ? EXIT_OUTPUT : EXIT_INPUT,
                 "%s: cannot read line %" PRIu64 " again: %s", path, line, strerrordesc_np(error));
    else
        run_fail(s->run, EXIT_INPUT,
                 "%s: line %" PRIu64 " is not what it was: the input must not change while its "
                 "records wait",
                 path, line);
}

/* The backlog whose turn it is: the one whose queue is shorter. But retries that are over budget,
 * or whose host is not open, stay where they are; and at any time at most a quarter of the room is
 * theirs, lest they fill it when they are. */
static struct parked *next_of(struct shard *s, struct flow *f, enum flow_kind *kind)
{
    bool stay = io_now_ns(s->io) < f->retry_until_ns || f->retries >= flow_room(f) / 4;
    bool open = host_opened_ns(f->lane->host) != UINT64_MAX;
    enum flow_kind order[FLOW_KINDS] = {FLOW_FIRST, FLOW_RETRY};
    if (open && (f->retries == 0 || (!stay && f->retries <= f->queued / 2)))
        order[0] = FLOW_RETRY, order[1] = FLOW_FIRST;
    for (int i = 0; i < FLOW_KINDS; i++) {
        struct parked *k = backlog_first(s->slab, f, order[i]);
        *kind = order[i];
        if (k != NULL) return k;
    }
    return NULL;
}

/* Frees what is GONE and was left in the queues. */
static void sweep(struct shard *s, struct flow *f)
{
    for (int kind = 0; kind < FLOW_KINDS; kind++)
        (void)backlog_first(s->slab, f, (enum flow_kind)kind);
}

static void take_out(struct shard *s, struct flow *f, struct parked *k, enum flow_kind kind)
{
    backlog_take(s->slab, f, kind);
    f->backlog--;
    wheel_cancel(&s->wheel, &k->timer);
    if (f->backlog == 0) sweep(s, f);
}

/* One record of the flow's backlog becomes a delivery. */
static enum look recall_one(struct shard *s, struct flow *f)
{
    enum flow_kind kind;
    struct parked *k = next_of(s, f, &kind);
    CHECK(k != NULL); /* its backlog is not empty */
    struct span line;
    enum look found = look_for(s, k->offset, f, &line);
    if (found == LOOK_WAITS) return found;
    struct parking p;
    parked_read(k, s->start_ns, &p);
    bool is_changed = found == LOOK_LOST;
    struct delivery *d = is_changed ? NULL : intake_again(s, f, &p, line, &is_changed);
    if (d == NULL && !is_changed) return LOOK_WAITS; /* no memory */
    take_out(s, f, k, kind);
    unpark(s, k);
    if (is_changed) {
        if (s->spool.open) spool_drop(&s->spool);
        changed(s, p.line, 0);
        return LOOK_LOST;
    }
    s->live++;
    wait_turn(s, d);
    return LOOK_FOUND;
}

/* True: the flow has what it wants; false: it waits, and is in a slot or goes on the list again. */
static bool serve(struct shard *s, struct flow *f)
{
    while (wants(s, f)) {
        enum look found = recall_one(s, f);
        if (found == LOOK_WAITS) return false;
    }
    return true;
}

static bool is_target(const struct recall *r, const struct flow *f)
{
    for (int i = 0; i < RECALL_SLOTS; i++)
        if (r->slot[i].state == RECALL_READING && r->slot[i].target == f) return true;
    return false;
}

/* False: it waits. */
static bool serve_next(struct shard *s, struct flow *f)
{
    bool served = serve(s, f);
    if (served) enough(s, f);
    else if (!is_target(&s->recall, f)) list_add(&s->recall, f);
    return served;
}

/* ---- what is over ------------------------------------------------------------------------- */

static void over_add(struct recall *r, struct slab *slab, struct parked *k)
{
    uint32_t handle = slab_handle(slab, k);
    k->timer.due_ns = 0;
    if (r->over_last != 0) {
        struct parked *last = slab_at(slab, r->over_last);
        last->timer.due_ns = handle;
    } else {
        r->over = handle;
    }
    r->over_last = handle;
}

void recall_over(struct shard *s, struct parked *k)
{
    parked_flow(s->slab, k)->untold++;
    over_add(&s->recall, s->slab, k);
}

/* The first of them is told, kept or lost. */
static void over_done(struct shard *s, struct parked *k)
{
    struct recall *r = &s->recall;
    struct flow *f = parked_flow(s->slab, k);
    struct lane *l = f->lane;
    r->over = (uint32_t)k->timer.due_ns;
    if (r->over == 0) r->over_last = 0;
    CHECK(s->parked > 0 && l->parked > 0);
    CHECK(f->untold > 0);
    f->untold--;
    s->parked--;
    l->parked--;
    if (k->state == PARKED_LOOSE) parked_free(s->slab, k);
    else k->state = PARKED_GONE;
    if (f->backlog == 0) sweep(s, f);
    flow_settle(&s->lanes, f, io_now_ns(s->io));
    lane_update(&s->lanes, l);
}

/* Told as expired. False: no memory or no room now. */
static bool over_expire(struct shard *s, struct parked *k, struct span line)
{
    struct recall *r = &s->recall;
    struct parking p;
    parked_read(k, s->start_ns, &p);
    if (r->over_made == NULL) {
        bool is_changed = false;
        r->over_made = intake_again(s, parked_flow(s->slab, k), &p, line, &is_changed);
        if (is_changed) {
            changed(s, p.line, 0);
            if (s->spool.open) spool_drop(&s->spool);
            return true;
        }
        if (r->over_made == NULL) return false;
        s->live++;
    }
    struct delivery *d = r->over_made;
    enum err why = d->attempts > 0 ? (enum err)d->why : ERR_EXPIRED;
    if (!account_unsent(s, d, why, OUTCOME_EXPIRED)) return false;
    r->over_made = NULL;
    return true;
}

/* Kept as it came, where dead letters are wanted. False: no room now. */
static bool over_keep(struct shard *s, struct parked *k, struct span line)
{
    if (parked_check(line) != k->check) {
        changed(s, k->line, 0);
        return true;
    }
    struct outbuf *b = &s->dead_letters;
    if (!outbuf_fits(b, line.len + 1)) return false;
    char *out = outbuf_at(b);
    memcpy(out, line.ptr, line.len);
    out[line.len] = '\n';
    outbuf_add(b, (uint32_t)line.len + 1);
    return true;
}

/* False: it waits. */
static bool over_one(struct shard *s, struct parked *k)
{
    bool made = s->recall.over_made != NULL,
         kept = s->dead_letters.file->path != NULL && s->log.journal == NULL;
    struct span line = {"", 0};
    enum look found = LOOK_FOUND;
    if (!made && (!s->drained || kept)) found = look_for(s, k->offset, NULL, &line);
    if (found == LOOK_WAITS) return false;
    if (found == LOOK_LOST) changed(s, k->line, 0);
    else if (made || !s->drained) {
        if (!over_expire(s, k, line)) return false;
        over_done(s, k);
        return true;
    } else if (kept && !over_keep(s, k, line)) {
        return false;
    }
    if (s->spool.open) spool_drop(&s->spool);
    over_done(s, k);
    return true;
}

static void serve_over(struct shard *s)
{
    struct recall *r = &s->recall;
    for (int i = 0; i < OVER_PER_TURN && r->over != 0; i++)
        if (!over_one(s, slab_at(s->slab, r->over))) return;
    r->more = r->over != 0;
}

/* ---- once a turn -------------------------------------------------------------------------- */

/* A line that is longer than what was read at first: more of it, at the same place. */
static bool read_on(struct shard *s, struct recall_slot *slot)
{
    struct span line;
    if (slot_line(s, slot, slot->offset, &line) || slot->len >= slot->cap) return false;
    read_more(slot, slot->len);
    return true;
}

static struct parked *first_wanted(struct shard *s, struct flow *f)
{
    enum flow_kind kind;
    if (f != NULL) return next_of(s, f, &kind);
    return s->recall.over != 0 ? slab_at(s->slab, s->recall.over) : NULL;
}

/* The slot could not be read. */
static void lose_target(struct shard *s, struct recall_slot *slot, struct flow *f)
{
    struct parked *k = first_wanted(s, f);
    if (k == NULL || k->offset != slot->offset) { /* what it was read for was had elsewhere */
        if (f != NULL) (void)serve_next(s, f);
        return;
    }
    changed(s, k->line, slot->error);
    if (f != NULL) { /* the run ends; the others are given up in the same way */
        enough(s, f);
    } else {
        if (s->spool.open) spool_drop(&s->spool);
        over_done(s, k);
    }
}

static void slot_tend(struct shard *s, struct recall_slot *slot)
{
    bool failed = slot->state == RECALL_FAILED;
    if (slot->state != RECALL_READ && !failed) return;
    bool stale = slot->life != s->spool.life;
    if (!stale && !failed && read_on(s, slot)) return;
    struct flow *target = slot->target;
    slot->target = NULL; /* before it is served: that may take this very slot for its next read */
    slot->state = stale || failed ? RECALL_EMPTY : RECALL_LOADED;
    if (failed && !stale) lose_target(s, slot, target);
    else if (target != NULL) (void)serve_next(s, target);
}

void recall_tend(struct shard *s)
{
    struct recall *r = &s->recall;
    r->more = false;
    for (int i = 0; i < RECALL_SLOTS; i++) slot_tend(s, &r->slot[i]);
    if (r->over != 0) serve_over(s);
    bool any = false; /* else the others wait for the same, most likely */
    for (int i = 0; i < FLOWS_PER_TURN && r->head != NULL; i++) {
        struct flow *f = r->head, *tail = r->tail;
        r->head = f->recall_next;
        if (r->head == NULL) r->tail = NULL;
        f->recall_next = NULL;
        if (serve_next(s, f)) any = true;
        if (f == tail) return;
    }
    if (any && r->head != NULL) r->more = true;
}

void recall_stop(struct shard *s)
{
    struct recall *r = &s->recall;
    struct flow *f;
    while ((f = r->head) != NULL) {
        r->head = f->recall_next;
        f->recall_next = NULL;
        enough(s, f);
    }
    r->tail = NULL;
}

bool recall_idle(const struct shard *s) { return s->recall.reading == 0; }
