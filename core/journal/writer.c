#include "core/journal/writer.h"

#include "core/journal/recover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SNAPSHOT_FRAME_BYTES = 256 * 1024, BITS_BYTES_MAX = 128 * 1024 };

/* ---- tokens ------------------------------------------------------------------------------- */

static bool take(uint32_t *token)
{
    uint32_t none = 0;
    /* Acquire: what the last holder left is ours to read. */
    return load_rlx(token) == 0 &&
           __atomic_compare_exchange_n(token, &none, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

bool journal_token_take(struct journal *j) { return take(&j->token); }
void journal_token_give(struct journal *j) { store_rel(&j->token, 0); }
bool journal_sync_take(struct journal *j) { return take(&j->syncing); }
void journal_sync_give(struct journal *j) { store_rel(&j->syncing, 0); }

void journal_fail(struct journal *j, int error, int32_t file)
{
    int32_t none = 0;
    CHECK(error > 0);
    /* One wins; the file is told after the error, by the same thread, and read after the join. */
    if (__atomic_compare_exchange_n(&j->failed, &none, error, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        store_rlx(&j->failed_file, file);
}

int journal_failed(const struct journal *j) { return load_acq(&j->failed); }

/* ---- a snapshot --------------------------------------------------------------------------- */

struct snapshot {
    int32_t fd;
    uint8_t sync;
    uint64_t epoch, seq, length;
    uint8_t *mem; /* owns: a frame's head and entries */
    struct journal_out out;
    int error;
};

static void snapshot_flush(struct snapshot *n)
{
    if (n->out.len == 0 || n->error != 0) return;
    journal_frame_seal(n->mem, n->epoch, n->seq, n->out.mem, n->out.len);
    size_t bytes = JOURNAL_FRAME_HEAD_BYTES + n->out.len;
    n->error = io_file_write(n->fd, n->mem, bytes, n->length);
    n->length += bytes;
    n->seq++;
    journal_out_reset(&n->out);
}

static void snapshot_put(struct snapshot *n, const struct journal_entry *e)
{
    if (!journal_fits(&n->out, e->text.len)) snapshot_flush(n);
    journal_put(&n->out, e);
}

static void put_bits(struct snapshot *n, const struct lineset *done)
{
    static const uint32_t room = BITS_BYTES_MAX;
    uint8_t *text = malloc(room);
    if (text == NULL) n->error = -ENOMEM;
    for (uint64_t at = 0; n->error == 0 && at < done->used;) {
        uint32_t bytes;
        uint64_t words = journal_bits_write(done->words + at, done->used - at, text, room, &bytes);
        CHECK(words > 0);
        snapshot_put(n, &(struct journal_entry){
                            .kind = JOURNAL_BITS, .number = at, .text = span_of(text, bytes)});
        at += words;
    }
    free(text);
}

static void put_known(struct snapshot *n, const struct journal_state *s)
{
    if (s->meta != NULL)
        snapshot_put(n, &(struct journal_entry){.kind = JOURNAL_META,
                                                .text = span_of(s->meta, s->meta_len)});
    for (uint8_t i = 0; i < JOURNAL_ENDING_COUNT; i++)
        snapshot_put(
            n, &(struct journal_entry){.kind = JOURNAL_COUNT, .ending = i, .value = s->ended[i]});
    for (uint64_t i = 0; i < JOURNAL_FILES; i++)
        if (s->file[i].known)
            snapshot_put(n, &(struct journal_entry){.kind = JOURNAL_FILE,
                                                    .known = true,
                                                    .number = i,
                                                    .value = s->file[i].length});
    snapshot_put(n, &(struct journal_entry){.kind = JOURNAL_LEASE, .value = s->lease});
    for (uint64_t k = 0; k < s->blocks; k++)
        if (s->before[k] != 0)
            snapshot_put(n, &(struct journal_entry){
                                .kind = JOURNAL_BLOCK, .number = k, .value = s->before[k] - 1});
    for (uint32_t i = 0; i < s->held_count; i++) {
        const struct journal_held *h = &s->held[i];
        snapshot_put(n, &(struct journal_entry){.kind = JOURNAL_HOLD,
                                                .ending = h->what,
                                                .number = h->key,
                                                .value = h->until_us,
                                                .text = span_of(h->name, h->name_len)});
    }
    put_bits(n, &s->done);
}

static void put_waiting(struct snapshot *n, const struct journal_waiting *w)
{
    struct journal_entry e = {.kind = JOURNAL_WAITING,
                              .line = w->line,
                              .offset = w->offset,
                              .attempts = w->attempts,
                              .first_us = w->first_us,
                              .due_us = w->due_us,
                              .why = w->why,
                              .sent = w->sent,
                              .maybe = w->maybe,
                              .told = w->told};
    snapshot_put(n, &e);
}

/* What waits, out of the file that the snapshot replaces. What is out of date by a later entry of
 * the same line is copied with it, in the same order. */
static void put_waiting_of(struct snapshot *n, const struct journal *j)
{
    struct journal_walk w;
    const uint8_t *entries;
    uint32_t len;
    uint64_t frames = 0;
    n->error = journal_walk_open(&w, j->fd, j->epoch);
    if (n->error != 0) return;
    while (n->error == 0 && frames + 1 < j->seq) {
        int rc = journal_walk_next(&w, &entries, &len);
        if (rc <= 0) n->error = rc < 0 ? rc : -EIO; /* what was written is not there */
        if (rc <= 0) break;
        struct journal_in in = journal_in_of(entries, len);
        struct journal_entry e;
        while (journal_take(&in, &e) == JOURNAL_ENTRY) {
            bool waits = e.kind == JOURNAL_WAITING || e.kind == JOURNAL_BEGUN;
            if (waits && !lineset_has(&j->live.done, e.line)) snapshot_put(n, &e);
        }
        frames++;
    }
    journal_walk_close(&w);
}

/* The head last: only now is it known how many frames there are. */
static void snapshot_end(struct snapshot *n, const struct journal_state *s,
                         const uint8_t boot_id[IO_BOOT_ID_BYTES])
{
    snapshot_put(
        n, &(struct journal_entry){.kind = JOURNAL_COMMIT, .number = n->seq, .value = s->wall_us});
    snapshot_flush(n);
    if (n->error != 0) return;
    struct journal_head head = {
        .epoch = n->epoch, .run_id = s->run_id, .frames = n->seq - 1, .sync = n->sync};
    uint8_t bytes[JOURNAL_HEAD_BYTES];
    memcpy(head.boot_id, boot_id, IO_BOOT_ID_BYTES);
    journal_head_write(&head, bytes);
    n->error = io_file_write(n->fd, bytes, sizeof bytes, 0);
}

static int snapshot_open(struct snapshot *n, const struct journal *j, uint64_t epoch)
{
    *n = (struct snapshot){
        .fd = -1, .sync = (uint8_t)j->sync, .epoch = epoch, .seq = 1, .length = JOURNAL_HEAD_BYTES};
    n->mem = malloc(JOURNAL_FRAME_HEAD_BYTES + SNAPSHOT_FRAME_BYTES);
    if (n->mem == NULL) return -ENOMEM;
    n->out =
        (struct journal_out){.mem = n->mem + JOURNAL_FRAME_HEAD_BYTES, .cap = SNAPSHOT_FRAME_BYTES};
    return io_file_open(j->path_new, IO_FILE_NEW, &n->fd);
}

/* Synced, and then under the journal's name; until then nothing has happened. */
static int snapshot_publish(struct snapshot *n, const struct journal *j)
{
    if (n->error == 0) n->error = io_file_sync(n->fd);
    if (n->error == 0) n->error = io_file_rename(j->path_new, j->path);
    if (n->error == 0) n->error = io_folder_sync(j->folder);
    return n->error;
}

static void snapshot_close(struct snapshot *n, const struct journal *j)
{
    free(n->mem);
    n->mem = NULL;
    if (n->error == 0 || n->fd < 0) return;
    io_file_close(n->fd);
    (void)!io_file_remove(j->path_new);
}

/* The new file is the journal from now on. */
static void adopt(struct journal *j, const struct snapshot *n)
{
    j->fd = n->fd;
    j->epoch = n->epoch;
    j->seq = n->seq;
    j->seq_shift = n->seq - 1 - j->written;
    j->length = j->reserved = n->length;
    j->compact_at = n->length + (n->length > j->compact_bytes ? n->length : j->compact_bytes);
    j->live.durable = n->seq - 1;
}

/* ---- opening, compacting, ending ---------------------------------------------------------- */

static bool path_put(char out[JOURNAL_PATH_BYTES], const char *folder, const char *name)
{
    int n = snprintf(out, JOURNAL_PATH_BYTES, "%s%s", folder, name);
    return n > 0 && n < JOURNAL_PATH_BYTES;
}

static int outputs_sync(const struct journal *j)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < JOURNAL_FILES; i++)
        if (j->output_fd[i] >= 0) rc = io_file_sync(j->output_fd[i]);
    return rc;
}

int journal_open(struct journal *j, const char *folder, enum journal_sync sync,
                 struct journal_state *state, const uint8_t boot_id[IO_BOOT_ID_BYTES],
                 const int32_t output_fd[JOURNAL_FILES])
{
    memset(j, 0, sizeof *j);
    j->fd = -1;
    j->failed_file = -1;
    j->sync = sync;
    j->compact_bytes = JOURNAL_COMPACT_BYTES;
    memcpy(j->output_fd, output_fd, sizeof j->output_fd);
    if (!path_put(j->folder, folder, "") || !path_put(j->path, folder, "/journal") ||
        !path_put(j->path_new, folder, "/journal.new"))
        return -ENAMETOOLONG;
    struct snapshot n;
    int rc = outputs_sync(j); /* as in journal_compact() */
    if (rc < 0) return rc;
    n.error = snapshot_open(&n, j, state->epoch + 1);
    if (n.error == 0) {
        put_known(&n, state);
        for (uint64_t i = 0; i < state->waiting.count; i++) put_waiting(&n, &state->waiting.at[i]);
        snapshot_end(&n, state, boot_id);
        (void)!snapshot_publish(&n, j);
    }
    snapshot_close(&n, j);
    if (n.error != 0) return n.error;
    j->live = *state;
    j->live.waiting = (struct waitset){.at = NULL};
    *state = (struct journal_state){.waiting = state->waiting};
    memcpy(j->live.boot_id, boot_id, IO_BOOT_ID_BYTES);
    j->live.over = false;
    j->lease = j->lease_written = j->live.lease;
    adopt(j, &n);
    return 0;
}

int journal_compact(struct journal *j)
{
    CHECK(j->token == 1 && j->syncing == 1);
    if (j->length < j->compact_at || journal_failed(j) != 0) return 0;
    struct snapshot n;
    int rc = outputs_sync(j); /* the snapshot says that their lengths are known */
    if (rc < 0) return rc;
    n.error = snapshot_open(&n, j, j->epoch + 1);
    if (n.error == 0) {
        put_known(&n, &j->live);
        put_waiting_of(&n, j);
        snapshot_end(&n, &j->live, j->live.boot_id);
        (void)!snapshot_publish(&n, j);
    }
    snapshot_close(&n, j);
    if (io_file_full(n.error)) { /* the present one goes on */
        j->compact_at = j->length + j->compact_bytes;
        return 0;
    }
    if (n.error != 0) return n.error;
    io_file_close(j->fd);
    adopt(j, &n);
    journal_synced(j, j->written, j->records_written, j->live.lease);
    return 0;
}

void journal_synced(struct journal *j, uint64_t written, uint64_t records, uint64_t lease)
{
    CHECK(j->syncing == 1);
    store_rlx(&j->records_durable, records);
    store_rel(&j->durable, written);
    store_rel(&j->lease, lease);
}

int journal_reserve(struct journal *j, uint64_t bytes)
{
    if (j->length + bytes + JOURNAL_RESERVE_LEAST <= j->reserved) return 0;
    uint64_t len = bytes + JOURNAL_RESERVE_BYTES;
    int rc = io_file_reserve(j->fd, j->length, len);
    if (io_file_full(rc)) { /* a disk with less room than that may have enough for the rest */
        len = bytes + JOURNAL_RESERVE_LEAST;
        rc = io_file_reserve(j->fd, j->length, len);
    }
    if (io_file_full(rc)) return rc;
    j->reserved = j->length + len; /* or it cannot be reserved here at all */
    return 0;
}

void journal_wrote(struct journal *j, const uint8_t *entries, uint32_t len, uint64_t records)
{
    struct journal_in in = journal_in_of(entries, len);
    struct journal_entry e;
    enum journal_step step;
    while ((step = journal_take(&in, &e)) == JOURNAL_ENTRY) {
        int rc = journal_state_apply(&j->live, &e);
        (void)ODD(rc < 0); /* memory: of a hold or a block, which can be found out again */
    }
    CHECK(step == JOURNAL_OVER);
    j->length += JOURNAL_FRAME_HEAD_BYTES + len;
    j->seq++;
    store_rlx(&j->records_written, j->records_written + records);
    store_rel(&j->written, j->written + 1);
    store_rel(&j->lease_written, j->live.lease);
    if (j->sync == JOURNAL_SYNC_NONE) store_rel(&j->lease, j->live.lease);
}

int journal_end(struct journal *j, bool over, uint64_t status)
{
    uint8_t mem[JOURNAL_FRAME_HEAD_BYTES + 4 * JOURNAL_ENTRY_BYTES_MAX];
    struct journal_out out = {.mem = mem + JOURNAL_FRAME_HEAD_BYTES,
                              .cap = sizeof mem - JOURNAL_FRAME_HEAD_BYTES};
    int rc = journal_failed(j) != 0 ? -journal_failed(j) : outputs_sync(j);
    if (rc == 0) rc = io_file_sync(j->fd);
    if (over) journal_put(&out, &(struct journal_entry){.kind = JOURNAL_END, .number = status});
    journal_put(&out, &(struct journal_entry){.kind = JOURNAL_COMMIT, /* all of it is on disk */
                                              .number = j->seq - 1,
                                              .value = io_wall_now() / 1000});
    journal_frame_seal(mem, j->epoch, j->seq, out.mem, out.len);
    if (rc == 0) rc = io_file_write(j->fd, mem, JOURNAL_FRAME_HEAD_BYTES + out.len, j->length);
    if (rc == 0) rc = io_file_sync(j->fd);
    if (rc == 0 && !io_file_is(j->path, j->fd)) rc = -ENOENT;
    journal_close(j);
    return rc;
}

void journal_close(struct journal *j)
{
    if (j->fd >= 0) io_file_close(j->fd);
    j->fd = -1;
    journal_state_close(&j->live);
}
