#include "core/journal/recover.h"

#include "core/base/crc32c.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WALK_BYTES = 2 * (JOURNAL_FRAME_BYTES_MAX + JOURNAL_FRAME_HEAD_BYTES) };

int journal_renew(int32_t fd, uint64_t from, uint64_t to)
{
    uint8_t *mem = from < to ? malloc(JOURNAL_FRAME_BYTES_MAX) : NULL;
    if (from >= to) return 0;
    int rc = mem != NULL ? 0 : -ENOMEM;
    while (rc == 0 && from < to) {
        uint64_t n = to - from < JOURNAL_FRAME_BYTES_MAX ? to - from : JOURNAL_FRAME_BYTES_MAX;
        int64_t got = io_file_read(fd, mem, (size_t)n, from);
        if (got < 0) rc = (int)got;
        else if ((uint64_t)got < n) rc = -EIO;
        else rc = io_file_write(fd, mem, (size_t)n, from);
        from += n;
    }
    free(mem);
    return rc;
}

/* ---- frames in a row ---------------------------------------------------------------------- */

int journal_head_of(int32_t fd, struct journal_head *out)
{
    uint8_t head[JOURNAL_HEAD_BYTES];
    int64_t n = io_file_read(fd, head, sizeof head, 0);
    if (n < 0) return (int)n;
    return journal_head_read(head, (size_t)n, out) ? 0 : -EBADMSG;
}

int journal_walk_open(struct journal_walk *w, int32_t fd, uint64_t epoch)
{
    *w = (struct journal_walk){.fd = fd, .at = JOURNAL_HEAD_BYTES, .epoch = epoch, .seq = 1};
    w->mem = malloc(WALK_BYTES);
    return w->mem != NULL ? 0 : -ENOMEM;
}

void journal_walk_close(struct journal_walk *w)
{
    free(w->mem);
    w->mem = NULL;
}

/* Moves what is left to the front and reads on. */
static int refill(struct journal_walk *w)
{
    memmove(w->mem, w->mem + w->used, w->len - w->used);
    w->at += w->used;
    w->len -= w->used;
    w->used = 0;
    int64_t n = io_file_read(w->fd, w->mem + w->len, WALK_BYTES - w->len, w->at + w->len);
    if (n < 0) return (int)n;
    w->len += (uint32_t)n;
    return 0;
}

int journal_walk_next(struct journal_walk *w, const uint8_t **entries, uint32_t *len)
{
    uint32_t most = JOURNAL_FRAME_BYTES_MAX + JOURNAL_FRAME_HEAD_BYTES;
    if (w->len - w->used < most) {
        int rc = refill(w);
        if (rc < 0) return rc;
    }
    const uint8_t *head = w->mem + w->used, *body = head + JOURNAL_FRAME_HEAD_BYTES;
    uint32_t left = w->len - w->used, n;
    if (left < JOURNAL_FRAME_HEAD_BYTES || !journal_frame_length(head, &n)) return 0;
    if (n > left - JOURNAL_FRAME_HEAD_BYTES) return 0;
    if (!journal_frame_ok(head, w->epoch, w->seq, body, n)) return 0;
    w->seq++;
    w->used += JOURNAL_FRAME_HEAD_BYTES + n;
    *entries = body;
    *len = n;
    return 1;
}

/* ---- which frames count ------------------------------------------------------------------- */

/* Lines that a frame speaks of and that may not be there. */
struct claim {
    uint64_t seq, from, to;
    uint32_t file, crc;
};

struct claims {
    struct claim *at; /* owns */
    uint64_t count, room;
    uint64_t length[JOURNAL_FILES];
    uint64_t durable;
};

static int claim_add(struct claims *c, const struct journal_entry *e, uint64_t seq)
{
    uint64_t from = c->length[e->number];
    c->length[e->number] = e->value;
    if (e->known) return 0;
    if (e->value < from) return -EBADMSG;
    if (c->count == c->room) {
        uint64_t room = c->room > 0 ? 2 * c->room : 1024;
        struct claim *larger = realloc(c->at, room * sizeof *larger);
        if (larger == NULL) return -ENOMEM;
        c->at = larger;
        c->room = room;
    }
    c->at[c->count++] = (struct claim){
        .seq = seq, .from = from, .to = e->value, .file = (uint32_t)e->number, .crc = e->crc};
    return 0;
}

/* 0; -EBADMSG: it ends before this frame. */
static int claims_of_frame(struct claims *c, const uint8_t *entries, uint32_t len, uint64_t seq)
{
    struct journal_in in = journal_in_of(entries, len);
    struct journal_entry e;
    enum journal_step step;
    int rc = 0;
    while (rc == 0 && (step = journal_take(&in, &e)) != JOURNAL_OVER) {
        if (step == JOURNAL_BAD) return -EBADMSG;
        if (e.kind == JOURNAL_FILE) rc = claim_add(c, &e, seq);
        if (e.kind == JOURNAL_COMMIT && e.number < seq && e.number > c->durable)
            c->durable = e.number;
    }
    return rc;
}

/* 1: the lines are there; 0: not. */
static int claim_holds(const struct claim *c, int32_t fd, uint8_t *mem)
{
    uint32_t crc = 0;
    for (uint64_t at = c->from; at < c->to;) {
        uint64_t n = c->to - at < WALK_BYTES ? c->to - at : WALK_BYTES;
        int64_t got = io_file_read(fd, mem, (size_t)n, at);
        if (got < 0) return (int)got;
        if ((uint64_t)got < n) return 0;
        crc = crc32c(crc, mem, (size_t)n);
        at += n;
    }
    return crc == c->crc;
}

/* How many frames count, as far as the lines say. */
static int claims_check(const struct claims *c, const struct journal_reading *r, uint8_t *mem,
                        uint64_t *frames)
{
    for (uint64_t i = 0; i < c->count; i++) {
        const struct claim *claim = &c->at[i];
        if (claim->seq <= c->durable || r->output_fd[claim->file] < 0) continue;
        int rc = claim_holds(claim, r->output_fd[claim->file], mem);
        if (rc < 0) return rc;
        if (rc > 0) continue;
        *frames = claim->seq - 1;
        return 0;
    }
    return 0;
}

static void unsure_from(const struct claims *c, struct journal_state *s)
{
    for (uint64_t i = c->count; i > 0; i--)
        if (c->at[i - 1].seq > c->durable) s->file[c->at[i - 1].file].unsure = c->at[i - 1].from;
}

static int frames_count(const struct journal_reading *r, const struct journal_head *head,
                        struct journal_state *s, uint64_t *frames)
{
    struct journal_walk w;
    struct claims c = {.at = NULL};
    const uint8_t *entries;
    uint32_t len;
    int rc = journal_walk_open(&w, r->fd, head->epoch);
    if (rc < 0) return rc;
    while ((rc = journal_walk_next(&w, &entries, &len)) > 0) {
        int bad = claims_of_frame(&c, entries, len, w.seq - 1);
        if (bad == -EBADMSG) {
            w.seq--;
            rc = 0;
            break;
        }
        if (bad < 0) {
            rc = bad;
            break;
        }
    }
    *frames = w.seq - 1;
    unsure_from(&c, s);
    if (rc == 0) rc = claims_check(&c, r, w.mem, frames);
    free(c.at);
    journal_walk_close(&w);
    return rc;
}

/* ---- what they add up to ------------------------------------------------------------------ */

static int frame_apply(struct journal_state *s, const uint8_t *entries, uint32_t len)
{
    struct journal_in in = journal_in_of(entries, len);
    struct journal_entry e;
    enum journal_step step;
    int rc = 0;
    while (rc == 0 && (step = journal_take(&in, &e)) != JOURNAL_OVER)
        rc = step == JOURNAL_BAD ? -EBADMSG : journal_state_apply(s, &e);
    return rc;
}

static int frames_apply(const struct journal_reading *r, uint64_t frames, struct journal_state *s)
{
    struct journal_walk w;
    struct io_file_info info;
    const uint8_t *entries;
    uint32_t len;
    int rc = io_file_info(r->fd, &info);
    if (rc == 0) rc = journal_walk_open(&w, r->fd, s->epoch);
    if (rc < 0) return rc;
    while (s->frames < frames && (rc = journal_walk_next(&w, &entries, &len)) > 0) {
        rc = frame_apply(s, entries, len);
        if (rc < 0) break;
        s->frames++;
        s->bytes = w.at + w.used;
        if (r->progress != NULL && s->frames % 64 == 0)
            r->progress(r->ctx, s->bytes, info.size_bytes);
    }
    journal_walk_close(&w);
    return rc < 0 ? rc : 0;
}

int journal_recover(const struct journal_reading *r, struct journal_state *s)
{
    struct journal_head head;
    int rc = journal_head_of(r->fd, &head);
    if (rc < 0) return rc;
    s->run_id = head.run_id;
    s->epoch = head.epoch;
    s->bytes = JOURNAL_HEAD_BYTES;
    memcpy(s->boot_id, head.boot_id, IO_BOOT_ID_BYTES);
    s->sync = head.sync;
    uint64_t frames = UINT64_MAX;
    /* Then all of the output files would have to be read, and the page cache has all of it. */
    static const uint8_t unknown[IO_BOOT_ID_BYTES];
    s->same_boot = memcmp(head.boot_id, r->boot_id, IO_BOOT_ID_BYTES) == 0 &&
                   memcmp(r->boot_id, unknown, IO_BOOT_ID_BYTES) != 0;
    bool believed = head.sync == JOURNAL_SYNC_NONE && s->same_boot;
    for (int i = 0; i < JOURNAL_FILES; i++) s->file[i].unsure = UINT64_MAX;
    if (r->check_lines && !believed) rc = frames_count(r, &head, s, &frames);
    if (rc == 0 && frames < head.frames) rc = -EBADMSG;
    if (rc == 0) rc = frames_apply(r, frames, s);
    if (rc == 0 && s->frames < head.frames) rc = -EBADMSG;
    return rc;
}
