#include "core/engine/logbook.h"

#include "core/base/atomic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define TOKEN_POLL_NS UINT64_C(500000)

/* What a commit adds by itself: a length for each file, a lease, its own mark. */
enum {
    COMMIT_BYTES = (JOURNAL_FILES + 2) * JOURNAL_ENTRY_BYTES_MAX,
    FRAME_BYTES = JOURNAL_FRAME_HEAD_BYTES + LOGBOOK_BYTES + COMMIT_BYTES,
    WORTH_BYTES = 256 * 1024, /* lines that are worth a commit before its time */
};

/* ---- opening ------------------------------------------------------------------------------ */

uint64_t logbook_memory_bytes(uint32_t slots)
{
    return 2 * FRAME_BYTES + slots * (uint64_t)(sizeof(uint32_t) + sizeof(struct inflight_slot));
}

static void frame_begin(struct logbook *b)
{
    b->out.mem = b->mem[b->filling] + JOURNAL_FRAME_HEAD_BYTES;
    b->out.cap = LOGBOOK_BYTES;
    journal_out_reset(&b->out);
    b->records[b->filling] = 0;
    b->slots[b->filling] = 0;
}

bool logbook_open(struct logbook *b, struct journal *j, struct io *io,
                  struct outbuf *const outputs[JOURNAL_FILES], struct inflight_slot *slot,
                  uint32_t slots)
{
    memset(b, 0, sizeof *b);
    b->journal = j;
    b->io = io;
    if (j == NULL) return true;
    CHECK(slots >= 2 && slot != NULL);
    memcpy(b->outputs, outputs, sizeof b->outputs);
    uint8_t *mem = mmap(NULL, 2 * FRAME_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    b->next = calloc(slots, sizeof *b->next);
    b->mem[0] = mem == MAP_FAILED ? NULL : mem;
    if (b->mem[0] == NULL || b->next == NULL) {
        logbook_close(b);
        return false;
    }
    b->mem[1] = b->mem[0] + FRAME_BYTES;
    b->slot = slot;
    b->slots_count = slots;
    for (uint32_t i = 1; i + 1 < slots; i++) b->next[i] = i + 1;
    b->free_slot = 1;
    b->batch = 1;
    frame_begin(b);
    return true;
}

void logbook_close(struct logbook *b)
{
    uint8_t *first = b->mem[0];
    if (first != NULL) munmap(first, 2 * FRAME_BYTES);
    free(b->next);
    memset(b, 0, sizeof *b);
}

/* ---- entries and slots -------------------------------------------------------------------- */

uint32_t logbook_slot_take(struct logbook *b)
{
    uint32_t i = b->free_slot;
    if (i != 0) b->free_slot = b->next[i];
    return i;
}

void logbook_slot_give(struct logbook *b, uint32_t slot)
{
    CHECK(slot > 0 && slot < b->slots_count);
    b->next[slot] = b->free_slot;
    b->free_slot = slot;
}

void logbook_add(struct logbook *b, const struct journal_entry *e, uint32_t slot)
{
    if (b->journal == NULL) return;
    if (b->out.len == 0) b->oldest_ns = io_now_ns(b->io);
    if (slot != 0) {
        b->next[slot] = b->slots[b->filling];
        b->slots[b->filling] = slot;
    }
    if (b->step == LOGBOOK_BROKEN) return; /* nobody will read it */
    journal_put(&b->out, e);
    if (e->kind == JOURNAL_DONE) b->records[b->filling]++;
}

static void slots_free(struct logbook *b, uint32_t list)
{
    while (list != 0) {
        uint32_t i = list;
        list = b->next[i];
        logbook_slot_give(b, i);
    }
}

/* ---- a commit ----------------------------------------------------------------------------- */

static void frame_write(struct logbook *b);

/* Nothing more is written; the write token stays where it is, for good, and so do the slots of
 * attempts whose end was not written: they say that these may have been delivered. */
static void broken(struct logbook *b, int error, int32_t file)
{
    journal_fail(b->journal, error, file);
    for (int i = 0; i < JOURNAL_FILES; i++) {
        struct outfile *f = b->outputs[i]->file;
        if (f->path != NULL) outfile_fail(f, error);
    }
    b->step = LOGBOOK_BROKEN;
    journal_out_reset(&b->out);
}

static void commit_end(struct logbook *b, uint32_t which)
{
    struct journal *j = b->journal;
    const uint8_t *entries = b->mem[which] + JOURNAL_FRAME_HEAD_BYTES;
    journal_wrote(j, entries, b->out_len - JOURNAL_FRAME_HEAD_BYTES, b->records[which]);
    uint32_t at = (b->under_way_first + b->under_way_count++) % LOGBOOK_UNDER_WAY;
    b->under_way[at].batch = b->batch - 1;
    b->under_way[at].written = load_rlx(&j->written);
    b->under_way[at].slots = b->slots[which];
    b->slots[which] = 0;
    b->step = LOGBOOK_IDLE;
    for (int i = 0; i < JOURNAL_FILES; i++)
        if (b->outputs[i]->token) return; /* in the middle of a long line: its rest comes first */
    b->token = false;
    journal_token_give(j);
}

static void frame_done(struct io_op *op, int32_t res)
{
    struct logbook *b = CONTAINER_OF(op, struct logbook, op);
    if (res != -EINTR && res != -EAGAIN) {
        if (res <= 0) {
            broken(b, res < 0 ? -res : EIO, -1);
            return;
        }
        b->out_done += (uint32_t)res;
    }
    if (b->out_done < b->out_len) frame_write(b);
    else commit_end(b, b->filling ^ 1);
}

static void frame_write(struct logbook *b)
{
    b->op.kind = IO_WRITE;
    b->op.done = frame_done;
    b->op.fd = b->journal->fd;
    b->op.buf = b->mem[b->filling ^ 1] + b->out_done;
    b->op.len = b->out_len - b->out_done;
    b->op.offset = b->journal->length + b->out_done;
    io_submit(b->io, &b->op);
}

/* The lines are in their files: the frame may say so. */
static void lines_done(struct logbook *b)
{
    for (int i = 0; i < JOURNAL_FILES; i++) {
        const struct outbuf *o = b->outputs[i];
        if (o->file->path == NULL) continue;
        if (!outbuf_written(o)) return;
        int error = outfile_failed(o->file);
        if (error == 0) continue;
        broken(b, error, i);
        return;
    }
    if (journal_failed(b->journal) != 0) { /* by a sync */
        broken(b, journal_failed(b->journal), -1);
        return;
    }
    b->step = LOGBOOK_FRAME;
    frame_write(b);
}

/* Ends the entries with what this commit says of files and input. */
static void frame_finish(struct logbook *b)
{
    struct journal *j = b->journal;
    b->out.cap += COMMIT_BYTES;
    for (uint64_t i = 0; i < JOURNAL_FILES; i++) {
        struct journal_entry e = {.kind = JOURNAL_FILE, .number = i};
        struct outbuf *o = b->outputs[i];
        if (o->file->path == NULL || o->len == 0 || !o->file->regular) continue;
        if (outbuf_claim(o, &e.value, &e.crc)) journal_put(&b->out, &e);
    }
    uint64_t wish = load_rlx(&j->lease_wish);
    if (wish > j->live.lease)
        journal_put(&b->out, &(struct journal_entry){.kind = JOURNAL_LEASE, .value = wish});
    journal_put(&b->out, &(struct journal_entry){.kind = JOURNAL_COMMIT,
                                                 .number = load_acq(&j->durable) + j->seq_shift,
                                                 .value = io_wall_ns(b->io) / 1000});
}

static void commit_begin(struct logbook *b)
{
    struct journal *j = b->journal;
    frame_finish(b);
    uint8_t *mem = b->mem[b->filling];
    journal_frame_seal(mem, j->epoch, j->seq, b->out.mem, b->out.len);
    b->out_len = JOURNAL_FRAME_HEAD_BYTES + b->out.len;
    b->out_done = 0;
    b->filling ^= 1;
    b->batch++;
    frame_begin(b);
    for (int i = 0; i < JOURNAL_FILES; i++)
        if (b->outputs[i]->file->path != NULL) (void)outbuf_tend(b->outputs[i], true);
    b->step = LOGBOOK_LINES;
    lines_done(b);
}

/* Both tokens, if they can be had now. */
static void compact(struct logbook *b)
{
    struct journal *j = b->journal;
    if (j->length < j->compact_at || !journal_sync_take(j)) return;
    int rc = journal_compact(j);
    if (rc == 0) journal_sync_give(j);
    else broken(b, -rc, -1); /* its syncs are syncs, too: none is tried again */
}

/* What there is to commit: the time of its first byte, or UINT64_MAX. */
static uint64_t oldest(const struct logbook *b)
{
    uint64_t ns = b->out.len > 0 ? b->oldest_ns : UINT64_MAX;
    for (int i = 0; i < JOURNAL_FILES; i++) {
        const struct outbuf *o = b->outputs[i];
        if (o->file->path != NULL && o->len > 0 && o->oldest_ns < ns) ns = o->oldest_ns;
    }
    return ns;
}

static bool enough(const struct logbook *b)
{
    if (b->journal->sync == JOURNAL_SYNC_ALWAYS) return true;
    if (b->out.len >= LOGBOOK_BYTES / 2 || b->records[b->filling] >= LOGBOOK_RECORDS) return true;
    if (load_rlx(&b->journal->lease_wish) > load_acq(&b->journal->lease_written)) return true;
    for (int i = 0; i < JOURNAL_FILES; i++) {
        const struct outbuf *o = b->outputs[i];
        if (o->file->path == NULL) continue;
        uint32_t worth = o->cap / 2 < WORTH_BYTES ? o->cap / 2 : WORTH_BYTES;
        if (o->hold || o->len >= worth) return true;
    }
    return false;
}

/* When there is no more room the run ends, and what was reserved takes the endings. */
static void reserve(struct logbook *b)
{
    int rc = journal_reserve(b->journal, FRAME_BYTES);
    if (rc < 0) store_rlx(&b->journal->full, -rc);
    for (int i = 0; i < JOURNAL_FILES; i++) {
        const struct outbuf *o = b->outputs[i];
        if (o->file->path != NULL && o->len > 0) (void)!outfile_reserve(o->file, o->len);
    }
}

/* Where nothing is synced, nobody else looks whether the journal is still where it will be looked
 * for. */
static bool gone(const struct logbook *b)
{
    struct journal *j = b->journal;
    uint64_t now_ns = io_now_ns(b->io);
    if (j->sync != JOURNAL_SYNC_NONE || now_ns < load_rlx(&j->sync_due_ns)) return false;
    store_rlx(&j->sync_due_ns, now_ns + LOGBOOK_GROUP_NS);
    return !io_file_is(j->path, j->fd);
}

static uint64_t commit_tend(struct logbook *b, bool all)
{
    struct journal *j = b->journal;
    uint64_t now_ns = io_now_ns(b->io), since_ns = oldest(b);
    bool wish = load_rlx(&j->lease_wish) > load_acq(&j->lease_written);
    if (since_ns == UINT64_MAX && !wish) return UINT64_MAX;
    bool few = b->records[b->filling] < LOGBOOK_FEW;
    uint64_t due_ns = since_ns + (few ? LOGBOOK_GROUP_NS : LOGBOOK_SOON_NS);
    if (!all && !enough(b) && now_ns < due_ns) return due_ns;
    if (b->under_way_count == LOGBOOK_UNDER_WAY) return UINT64_MAX; /* a sync comes first */
    if (!b->token && !journal_token_take(j)) return now_ns + TOKEN_POLL_NS;
    b->token = true;
    if (gone(b)) broken(b, ENOENT, -1);
    else compact(b);
    if (b->step == LOGBOOK_BROKEN) return UINT64_MAX;
    reserve(b);
    commit_begin(b);
    return UINT64_MAX;
}

/* ---- a sync ------------------------------------------------------------------------------- */

static void sync_done(struct io_op *op, int32_t res);

static void sync_submit(struct logbook *b, struct logbook_sync *sync, int32_t fd)
{
    sync->owner = b;
    sync->op.kind = IO_SYNC;
    sync->op.done = sync_done;
    sync->op.fd = fd;
    b->syncs_left++;
    io_submit(b->io, &sync->op);
}

static void sync_end(struct logbook *b)
{
    struct journal *j = b->journal;
    b->syncing = false;
    if (b->sync_error != 0) { /* never again: the token stays where it is */
        journal_fail(j, b->sync_error, b->sync_file);
        return;
    }
    journal_synced(j, b->sync_written, b->sync_records, b->sync_lease);
    journal_sync_give(j);
}

static void sync_done(struct io_op *op, int32_t res)
{
    struct logbook_sync *sync = CONTAINER_OF(op, struct logbook_sync, op);
    struct logbook *b = sync->owner;
    b->syncs_left--;
    if (res == -EINTR || res == -EAGAIN) { /* it was not begun */
        sync_submit(b, sync, op->fd);
        return;
    }
    if (res < 0 && b->sync_error == 0) {
        b->sync_error = -res;
        b->sync_file = sync->file;
    }
    if (b->syncs_left == 0) sync_end(b);
}

static void sync_begin(struct logbook *b)
{
    struct journal *j = b->journal;
    if (!io_file_is(j->path, j->fd)) { /* what is synced there nobody will find again */
        journal_fail(j, ENOENT, -1);
        return;
    }
    b->syncing = true;
    b->sync_error = 0;
    b->sync_lease = load_acq(&j->lease_written); /* before `written`: see there */
    b->sync_written = load_acq(&j->written);
    b->sync_records = load_rlx(&j->records_written);
    store_rlx(&j->sync_due_ns, io_now_ns(b->io) + LOGBOOK_GROUP_NS);
    b->syncs_left = 0;
    for (int i = 0; i <= JOURNAL_FILES; i++) {
        int32_t fd = i < JOURNAL_FILES ? j->output_fd[i] : j->fd;
        b->sync[i].file = i < JOURNAL_FILES ? i : -1;
        if (fd >= 0) sync_submit(b, &b->sync[i], fd);
    }
}

static uint64_t sync_tend(struct logbook *b, bool all)
{
    struct journal *j = b->journal;
    uint64_t written = load_acq(&j->written), now_ns = io_now_ns(b->io);
    if (j->sync == JOURNAL_SYNC_NONE || b->syncing || written == load_acq(&j->durable))
        return UINT64_MAX;
    if (journal_failed(j) != 0) return UINT64_MAX;
    uint64_t due_ns = load_rlx(&j->sync_due_ns);
    uint64_t records = load_rlx(&j->records_written) - load_rlx(&j->records_durable);
    bool lease = load_acq(&j->lease_written) > load_acq(&j->lease);
    bool due = all || lease || j->sync == JOURNAL_SYNC_ALWAYS || records >= LOGBOOK_RECORDS;
    if (!due && now_ns < due_ns) return due_ns;
    if (!journal_sync_take(j)) return now_ns + TOKEN_POLL_NS;
    sync_begin(b);
    return UINT64_MAX;
}

/* ---- once a turn -------------------------------------------------------------------------- */

static void durable_tend(struct logbook *b)
{
    uint64_t durable = load_acq(&b->journal->durable);
    bool none = b->journal->sync == JOURNAL_SYNC_NONE;
    while (b->under_way_count > 0) {
        uint32_t at = b->under_way_first;
        if (!none && b->under_way[at].written > durable) return;
        b->batch_durable = b->under_way[at].batch;
        slots_free(b, b->under_way[at].slots);
        b->under_way_first = (at + 1) % LOGBOOK_UNDER_WAY;
        b->under_way_count--;
    }
}

void logbook_look(struct logbook *b)
{
    if (b->journal == NULL) return;
    durable_tend(b);
    b->batch_seen = b->batch_durable;
}

uint64_t logbook_tend(struct logbook *b, bool all)
{
    struct journal *j = b->journal;
    if (j == NULL) return UINT64_MAX;
    if (b->step == LOGBOOK_LINES) lines_done(b);
    durable_tend(b);
    if (b->step == LOGBOOK_BROKEN) {
        for (int i = 0; i < JOURNAL_FILES; i++)
            if (b->outputs[i]->file->path != NULL) (void)outbuf_tend(b->outputs[i], true);
        return UINT64_MAX;
    }
    if (journal_failed(j) != 0) {
        if (b->step == LOGBOOK_IDLE) broken(b, journal_failed(j), -1);
        return UINT64_MAX;
    }
    uint64_t due_ns = b->step == LOGBOOK_IDLE ? commit_tend(b, all) : UINT64_MAX;
    uint64_t sync_ns = sync_tend(b, false);
    durable_tend(b); /* another shard's sync may have ended meanwhile, which wakes only that one */
    if (b->batch_durable != b->batch_seen) return 0;
    return due_ns < sync_ns ? due_ns : sync_ns;
}

bool logbook_idle(const struct logbook *b)
{
    if (b->journal == NULL) return true;
    if (b->op.in_flight || b->syncing) return false;
    return b->step == LOGBOOK_BROKEN || (b->step == LOGBOOK_IDLE && oldest(b) == UINT64_MAX);
}
