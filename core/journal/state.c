#include "core/journal/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS_ROOM_FIRST = 1024 };
/* An input of 2^60 bytes in the smallest blocks: more is no journal of ours. */
#define BLOCKS_MAX (UINT64_C(1) << 40)

bool journal_state_open(struct journal_state *s, uint64_t lines_max, bool keep_waiting)
{
    memset(s, 0, sizeof *s);
    if (!lineset_open(&s->done, lines_max)) return false;
    s->held = calloc(JOURNAL_HOLDS_MAX, sizeof *s->held);
    if (s->held != NULL && (!keep_waiting || waitset_open(&s->waiting))) return true;
    journal_state_close(s);
    return false;
}

void journal_state_close(struct journal_state *s)
{
    for (uint32_t i = 0; i < s->held_count; i++) free(s->held[i].name);
    free(s->held);
    waitset_close(&s->waiting);
    free(s->before);
    free(s->meta);
    lineset_close(&s->done);
    memset(s, 0, sizeof *s);
}

struct journal_waiting *journal_state_find(struct journal_state *s, uint64_t line)
{
    return waitset_find(&s->waiting, line);
}

/* ---- what entries say --------------------------------------------------------------------- */

static int done_apply(struct journal_state *s, const struct journal_entry *e)
{
    if (e->line >= s->done.lines) return -EBADMSG;
    waitset_remove(&s->waiting, e->line);
    if (!ODD(!lineset_add(&s->done, e->line))) s->ended[e->ending]++;
    return 0;
}

static int waiting_apply(struct journal_state *s, const struct journal_entry *e)
{
    if (e->line == 0 || e->line >= s->done.lines) return -EBADMSG;
    if (s->waiting.at == NULL || ODD(lineset_has(&s->done, e->line))) return 0;
    struct journal_waiting *w;
    int rc = waitset_make(&s->waiting, e->line, &w);
    if (rc < 0) return rc;
    *w = (struct journal_waiting){.line = e->line,
                                  .offset = e->offset,
                                  .first_us = e->first_us,
                                  .due_us = e->due_us,
                                  .attempts = (uint16_t)e->attempts,
                                  .why = e->why,
                                  .sent = e->sent,
                                  .maybe = e->maybe,
                                  .told = e->told};
    return 0;
}

int journal_state_begun(struct journal_state *s, const struct journal_entry *e)
{
    if (e->line == 0 || e->line >= s->done.lines) return -EBADMSG;
    if (s->waiting.at == NULL || lineset_has(&s->done, e->line)) return 0;
    struct journal_waiting *w = journal_state_find(s, e->line);
    if (w != NULL && w->attempts >= e->attempts) return 0;
    int rc = waitset_make(&s->waiting, e->line, &w);
    if (rc < 0) return rc;
    if (w->attempts == 0) w->first_us = e->first_us;
    w->offset = e->offset;
    w->attempts = (uint16_t)e->attempts;
    w->due_us = 0;
    w->maybe = true;
    return 0;
}

static int block_apply(struct journal_state *s, const struct journal_entry *e)
{
    if (e->number >= BLOCKS_MAX || e->value >= s->done.lines) return -EBADMSG;
    if (e->number >= s->blocks_room) {
        uint64_t room = s->blocks_room > 0 ? s->blocks_room : BLOCKS_ROOM_FIRST;
        while (room <= e->number) room *= 2;
        if (room > 16 * s->blocks_room + 16 * s->done.lines + BLOCKS_ROOM_FIRST) return -EBADMSG;
        uint64_t *larger = realloc(s->before, room * sizeof *larger);
        if (larger == NULL) return -ENOMEM;
        memset(larger + s->blocks_room, 0, (room - s->blocks_room) * sizeof *larger);
        s->before = larger;
        s->blocks_room = room;
        s->before[0] = 1; /* none is before the first */
    }
    s->before[e->number] = 1 + e->value;
    if (e->number >= s->blocks) s->blocks = e->number + 1;
    return 0;
}

uint64_t journal_state_blocks_known(const struct journal_state *s)
{
    uint64_t k = 0;
    while (k < s->blocks && s->before[k] != 0) k++;
    return k;
}

/* A hold that is known is prolonged; when all places are taken, the one that ends first goes. */
static int hold_apply(struct journal_state *s, const struct journal_entry *e)
{
    struct journal_held *first = NULL;
    for (uint32_t i = 0; i < s->held_count; i++) {
        struct journal_held *h = &s->held[i];
        if (first == NULL || h->until_us < first->until_us) first = h;
        if (h->what != e->ending || h->key != e->number || h->name_len != e->text.len) continue;
        if (memcmp(h->name, e->text.ptr, e->text.len) != 0) continue;
        h->until_us = e->value;
        return 0;
    }
    char *name = malloc(e->text.len + 1);
    if (name == NULL) return -ENOMEM;
    memcpy(name, e->text.ptr, e->text.len);
    name[e->text.len] = 0;
    struct journal_held *h = first;
    if (s->held_count < JOURNAL_HOLDS_MAX) h = &s->held[s->held_count++];
    else free(first->name);
    *h = (struct journal_held){.name = name,
                               .name_len = (uint32_t)e->text.len,
                               .what = e->ending,
                               .key = e->number,
                               .until_us = e->value};
    return 0;
}

static int meta_apply(struct journal_state *s, const struct journal_entry *e)
{
    char *meta = malloc(e->text.len + 1);
    if (meta == NULL) return -ENOMEM;
    memcpy(meta, e->text.ptr, e->text.len);
    meta[e->text.len] = 0;
    free(s->meta);
    s->meta = meta;
    s->meta_len = e->text.len;
    return 0;
}

static void word_apply(void *ctx, uint64_t index, uint64_t word)
{
    struct journal_state *s = ctx;
    s->done.words[index] |= word;
    if (index >= s->done.used) s->done.used = index + 1;
    /* In a snapshot of ours nothing waits yet. */
    for (uint64_t left = word; left != 0 && s->waiting.count > 0; left &= left - 1)
        waitset_remove(&s->waiting, index * 64 + (uint64_t)__builtin_ctzll(left));
}

static int bits_apply(struct journal_state *s, const struct journal_entry *e)
{
    uint64_t words_max = s->done.lines / 64 + 1;
    bool ok = journal_bits_read(e->text, e->number, words_max, word_apply, s);
    return ok ? 0 : -EBADMSG;
}

static void file_apply(struct journal_state *s, const struct journal_entry *e)
{
    s->file[e->number].length = e->value;
    s->file[e->number].known = true;
}

int journal_state_apply(struct journal_state *s, const struct journal_entry *e)
{
    switch ((enum journal_kind)e->kind) {
    case JOURNAL_DONE: return done_apply(s, e);
    case JOURNAL_WAITING: return waiting_apply(s, e);
    case JOURNAL_BEGUN: return s->same_boot ? 0 : journal_state_begun(s, e);
    case JOURNAL_BLOCK: return block_apply(s, e);
    case JOURNAL_LEASE: s->lease = e->value; return 0;
    case JOURNAL_FILE: file_apply(s, e); return 0;
    case JOURNAL_HOLD: return hold_apply(s, e);
    case JOURNAL_COMMIT:
        if (e->number > s->durable) s->durable = e->number;
        s->wall_us = e->value;
        return 0;
    case JOURNAL_META: return meta_apply(s, e);
    case JOURNAL_BITS: return bits_apply(s, e);
    case JOURNAL_COUNT: s->ended[e->ending] = e->value; return 0;
    case JOURNAL_END:
        s->over = true;
        s->status = e->number;
        return 0;
    case JOURNAL_KIND_COUNT: break;
    }
    return -EBADMSG;
}
