/* core/engine/note.c - what a shard notes in its logbook: attempts, outcomes, lines that are no
 * records, holds, how far the input is read. Without a state all of it is nothing.
 */
#include "core/engine/shard_state.h"

_Static_assert((int)JOURNAL_DELIVERED == (int)OUTCOME_DELIVERED, "endings are outcomes, and more");
_Static_assert((int)JOURNAL_ABORTED == (int)OUTCOME_ABORTED, "endings are outcomes, and more");

enum { LEASE_BLOCKS_FIRST = 2, LEASE_BLOCKS_MAX = 128 };
#define HOLD_WORTH_NS UINT64_C(1000000000) /* shorter ones are over before a run resumes */

/* A time on io_now_ns()'s clock as wall time, in us. */
static uint64_t wall_us(const struct shard *s, uint64_t ns)
{
    uint64_t now_ns = io_now_ns(s->io), wall_ns = io_wall_ns(s->io);
    return (ns <= now_ns ? wall_ns - (now_ns - ns) : wall_ns + (ns - now_ns)) / 1000;
}

bool note_fits(const struct shard *s) { return logbook_fits(&s->log); }

static struct journal_entry entry_of(const struct shard *s, const struct delivery *d)
{
    return (struct journal_entry){.line = d->line,
                                  .offset = d->offset,
                                  .attempts = d->attempts,
                                  .first_us = wall_us(s, d->since_ns),
                                  .why = d->why,
                                  .sent = d->sent,
                                  .told = d->deferred};
}

/* ---- attempts ----------------------------------------------------------------------------- */

static void mark(struct shard *s, struct delivery *d)
{
    struct journal_entry e = entry_of(s, d);
    if (!note_fits(s)) return;
    e.kind = JOURNAL_BEGUN;
    e.attempts++;
    if (d->attempts == 0) e.first_us = wall_us(s, io_now_ns(s->io));
    logbook_add(&s->log, &e, 0);
    d->mark = s->log.batch;
}

void note_queued(struct shard *s, struct delivery *d)
{
    if (s->log.journal == NULL || s->log.journal->sync != JOURNAL_SYNC_ALWAYS) return;
    if (d->attempt_ns == 0) mark(s, d);
}

bool note_may_begin(struct shard *s, struct delivery *d)
{
    if (s->log.journal == NULL || d->attempt_ns != 0) return true;
    if (s->log.free_slot == 0 || s->log.step == LOGBOOK_BROKEN) return false;
    if (s->log.journal->sync != JOURNAL_SYNC_ALWAYS) return true;
    if (d->mark == 0) mark(s, d);
    return d->mark != 0 && logbook_durable(&s->log, d->mark);
}

void note_begun(struct shard *s, struct delivery *d)
{
    if (s->log.journal == NULL) return;
    CHECK(d->slot == 0);
    d->slot = logbook_slot_take(&s->log);
    CHECK(d->slot != 0);
    inflight_set(&s->log.slot[d->slot], d->offset, wall_us(s, d->since_ns), d->line, d->attempts);
    d->mark = 0;
}

void note_fate(struct shard *s, struct delivery *d, bool maybe)
{
    if (s->log.journal == NULL) return;
    struct journal_entry e = entry_of(s, d);
    e.kind = d->fate < OUTCOME_COUNT ? JOURNAL_DONE : JOURNAL_WAITING;
    e.ending = d->fate;
    e.due_us = d->fate == FATE_RETRY ? wall_us(s, d->due_ns) : 0;
    e.maybe = maybe;
    bool tried = e.kind == JOURNAL_DONE || d->attempts > 0;
    if (tried) logbook_add(&s->log, &e, d->slot);
    d->slot = 0;
}

/* ---- the input ---------------------------------------------------------------------------- */

void note_line(struct shard *s, uint64_t line, bool rejected)
{
    struct journal_entry e = {
        .kind = JOURNAL_DONE, .line = line, .ending = rejected ? JOURNAL_REJECTED : JOURNAL_BLANK};
    logbook_add(&s->log, &e, 0);
}

void note_blocks(struct shard *s)
{
    struct journal_entry e = {.kind = JOURNAL_BLOCK};
    if (s->log.journal == NULL) return;
    while (note_fits(s) && reader_counted(&s->reader, &e.number, &e.value))
        logbook_add(&s->log, &e, 0);
}

bool note_leased(struct shard *s, uint64_t offset)
{
    struct journal *j = s->log.journal;
    if (j == NULL || journal_leased(j, offset)) return true;
    /* Twice as much each time that somebody had to wait: little where little is sent. */
    uint32_t blocks = load_rlx(&j->lease_blocks);
    if (blocks == 0) blocks = LEASE_BLOCKS_FIRST;
    uint64_t wish = offset + (uint64_t)blocks * s->run->config->block_bytes;
    uint64_t now = load_rlx(&j->lease_wish);
    if (now > offset) return false; /* it was asked for already */
    if (cas_rlx(&j->lease_wish, &now, wish) && blocks < LEASE_BLOCKS_MAX)
        store_rlx(&j->lease_blocks, blocks * 2);
    return false;
}

/* ---- holds -------------------------------------------------------------------------------- */

static void hold(struct shard *s, const struct lane *l, enum journal_hold what, uint64_t hash,
                 uint64_t until_ns)
{
    struct journal_entry e = {.kind = JOURNAL_HOLD,
                              .ending = (uint8_t)what,
                              .number = hash,
                              .value = until_ns > 0 ? wall_us(s, until_ns) : 0,
                              .text = lane_name(l)};
    if (s->log.journal == NULL || !journal_fits(&s->log.out, e.text.len + JOURNAL_ENTRY_BYTES_MAX))
        return; /* it will be found out anew */
    logbook_add(&s->log, &e, 0);
}

void note_hold(struct shard *s, const struct lane *l, uint64_t until_ns)
{
    hold(s, l, JOURNAL_HOLD_HEALTH, l->name_hash, until_ns);
}

void note_pace(struct shard *s, const struct lane *l, const struct flow *f, uint64_t until_ns)
{
    if (until_ns < io_now_ns(s->io) + HOLD_WORTH_NS) return;
    hold(s, l, JOURNAL_HOLD_PACE, lane_pace_hash(l, f), until_ns);
}

/* Each shard does so, since each begins when it likes; the second time changes nothing. */
void note_holds_restore(struct shard *s)
{
    const struct durable *u = &s->run->durable;
    uint64_t now_ns = io_now_ns(s->io), wall_ns = io_wall_ns(s->io);
    const struct config *c = s->run->config;
    for (uint32_t i = 0; i < u->held_count; i++) {
        const struct journal_held *h = &u->held[i];
        bool health = h->what == JOURNAL_HOLD_HEALTH;
        uint64_t most_ns = health ? c->health.cooldown_max_ns : c->max_hint_ns;
        if (h->until_us <= wall_ns / 1000) continue;
        uint64_t left_ns = (h->until_us - wall_ns / 1000) * 1000;
        uint64_t until_ns = now_ns + (left_ns < most_ns ? left_ns : most_ns);
        struct shared_table *t = health ? s->run->hosts : s->run->paces;
        void *entry = shared_table_ref(t, h->key, now_ns);
        if (entry == NULL) continue;
        if (health) host_hold(entry, until_ns);
        else pace_hold(entry, until_ns);
        shared_table_unref(t, entry, now_ns);
    }
}
