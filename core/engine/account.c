/* core/engine/account.c - outcomes are counted and told, each exactly once. */
#include "core/engine/shard_state.h"
#include "core/net/trace.h"

#include <stdio.h>
#include <string.h>

/* ---- exchanges ---------------------------------------------------------------------------- */

struct exchange *exchange_take(struct shard *s)
{
    struct exchange *ex = s->exchanges_free;
    if (ex != NULL) s->exchanges_free = ex->next;
    else if (s->exchanges_fresh < s->run->plan.connections)
        ex = &s->exchanges[s->exchanges_fresh++];
    if (ex != NULL) ex->next = NULL;
    return ex;
}

void exchange_give(struct shard *s, struct exchange *ex)
{
    ex->owner = NULL;
    ex->next = s->exchanges_free;
    s->exchanges_free = ex;
}

/* ---- telling ------------------------------------------------------------------------------ */

static bool wanted(const struct outbuf *b) { return b->file->path != NULL; }

static void raw_put(struct outbuf *b, const struct delivery *d)
{
    char *out = outbuf_at(b);
    memcpy(out, delivery_raw(d), d->raw_len);
    out[d->raw_len] = '\n';
    outbuf_add(b, d->raw_len + 1);
}

/* What the record's fate puts into which file. */
static bool keep_raw(const struct shard *s, const struct delivery *d)
{
    if (!wanted(&s->dead_letters)) return false;
    if (s->log.journal != NULL && d->fate >= OUTCOME_COUNT) return false; /* the state has it */
    return d->fate == FATE_RETRY ? s->drained : d->fate != OUTCOME_DELIVERED;
}

/* What exactly went wrong, if why does not say it all. out keeps what is written for it: what the
 * egress policy has against the delivery's host. */
static const char *detail_of(const struct shard *s, const struct delivery *d,
                             const struct exchange *ex, char out[POLICY_TEXT_BYTES])
{
    const struct lane *l = d->flow->lane;
    if (ex->why != ERR_BLOCKED_ADDRESS) return ex->detail;
    CHECK(l->refused != NULL || l->by_name);
    if (l->refused == NULL) return NULL; /* told late, and its name leads elsewhere now */
    policy_refusal_text(s->run->config->policy, lane_refused_addr(l), out);
    return out;
}

static void trace_end(struct trace *trace, const struct telling *t)
{
    const struct exchange *ex = t->exchange;
    if (trace == NULL || t->delivery->fate == FATE_RETRY) return;
    trace->told = true;
    trace->delivered = t->delivery->fate == OUTCOME_DELIVERED;
    trace->why = ex->why;
    trace->status = ex->answer.status;
    trace->sent = sent_label(ex->sent);
    snprintf(trace->detail, sizeof trace->detail, "%s", t->detail != NULL ? t->detail : "");
    trace_at(trace, TRACE_ENDED, ex->ended_ns);
}

/* Writes the lines of an end; false when one of the files has no room for them now. */
static bool tell(struct shard *s, struct delivery *d, const struct exchange *ex)
{
    uint64_t now_ns = io_now_ns(s->io), wall_ns = io_wall_ns(s->io);
    char detail[POLICY_TEXT_BYTES];
    struct telling t = {.delivery = d,
                        .exchange = ex,
                        .detail = detail_of(s, d, ex, detail),
                        .redact = &s->rules.redact,
                        .stamps = &s->stamps,
                        .since_wall_ns = wall_ns - (now_ns - d->since_ns),
                        .ended_wall_ns = wall_ns - (now_ns - ex->ended_ns)};
    bool result = d->fate < OUTCOME_COUNT && wanted(&s->results);
    bool event = d->fate != FATE_PENDING && wanted(&s->events);
    bool keep = keep_raw(s, d);
    size_t bytes = tell_size_max(&t);
    if (!note_fits(s)) return false;
    if (!outbuf_fits(&s->results, bytes) || !outbuf_fits(&s->events, bytes)) return false;
    if (keep && !outbuf_fits(&s->dead_letters, d->raw_len + 1)) return false;
    if (result) outbuf_add(&s->results, (uint32_t)tell_result(&t, outbuf_at(&s->results)));
    if (event) outbuf_add(&s->events, (uint32_t)tell_event(&t, outbuf_at(&s->events)));
    if (keep) raw_put(&s->dead_letters, d);
    trace_end(s->run->config->trace, &t);
    note_fate(s, d, d->fate == FATE_PENDING && ex->sent != SENT_NO);
    return true;
}

bool account_deferred(struct shard *s, struct delivery *d)
{
    struct exchange *ex = s->unsent;
    *ex = (struct exchange){.why = ERR_STOPPED};
    ex->ended_ns = io_now_ns(s->io);
    struct telling t = {.delivery = d,
                        .exchange = ex,
                        .redact = &s->rules.redact,
                        .stamps = &s->stamps,
                        .deferred = true,
                        .ended_wall_ns = io_wall_ns(s->io)};
    if (!wanted(&s->events)) return true;
    if (!outbuf_fits(&s->events, tell_size_max(&t))) return false;
    outbuf_add(&s->events, (uint32_t)tell_event(&t, outbuf_at(&s->events)));
    return true;
}

static void release(struct shard *s, struct delivery *d)
{
    CHECK(s->live > 0);
    CHECK(d->wait == DELIVERY_NO_WAIT);
    s->live--;
    if (d->spooled) spool_drop(&s->spool);
    delivery_free(s->slab, d);
}

/* Its end is told. Another attempt starts from nothing. */
static void told(struct shard *s, struct delivery *d)
{
    if (d->fate != FATE_RETRY || s->drained) {
        release(s, d);
        return;
    }
    if (d->sent < d->sent_now) d->sent = d->sent_now;
    d->sent_now = SENT_NO;
    d->tries = 0;
    d->resent = d->fresh = false;
    d->attempt_ns = 0;
    d->retry = true;
    d->fate = FATE_NONE;
    wait_until(s, d, d->due_ns);
}

static void end(struct shard *s, struct delivery *d, struct exchange *ex)
{
    if (s->untold_head == NULL && tell(s, d, ex)) {
        told(s, d);
        exchange_give(s, ex);
        return;
    }
    ex->next = NULL;
    d->flow->untold++;
    *(s->untold_tail ? &s->untold_tail->next : &s->untold_head) = ex;
    s->untold_tail = ex;
}

void account_untold(struct shard *s)
{
    struct exchange *ex;
    while ((ex = s->untold_head) != NULL && tell(s, ex->owner, ex)) {
        s->untold_head = ex->next;
        if (s->untold_head == NULL) s->untold_tail = NULL;
        struct delivery *d = ex->owner;
        struct flow *f = d->flow;
        struct lane *l = f->lane;
        f->untold--;
        told(s, d);
        exchange_give(s, ex);
        flow_settle(&s->lanes, f, io_now_ns(s->io));
        lane_update(&s->lanes, l);
    }
}

/* ---- counting ----------------------------------------------------------------------------- */

void account_outcome(struct shard *s, struct delivery *d, struct exchange *ex, enum outcome o)
{
    struct tally *t = &s->tally;
    CHECK(o < OUTCOME_COUNT);
    d->fate = (uint8_t)o;
    TALLY_ADD(t->outcomes[o], 1);
    end(s, d, ex);
}

void account_cut(struct shard *s, struct delivery *d, struct exchange *ex)
{
    d->fate = FATE_PENDING;
    if (ex->sent != SENT_NO) TALLY_ADD(s->tally.maybe_delivered, 1);
    end(s, d, ex);
}

void account_retry(struct shard *s, struct delivery *d, struct exchange *ex)
{
    d->fate = FATE_RETRY;
    end(s, d, ex);
}

bool account_unsent(struct shard *s, struct delivery *d, enum err why, uint8_t fate)
{
    struct exchange *ex = s->unsent;
    uint64_t ended_ns = io_now_ns(s->io);
    uint64_t limit_ns = d->attempt_ns + s->run->config->timeout_ns;
    if (d->attempt_ns != 0 && limit_ns < ended_ns) ended_ns = limit_ns; /* told later */
    *ex = (struct exchange){.why = why, .sent = (enum sent)d->sent_now, .ended_ns = ended_ns};
    d->fate = fate;
    if (s->untold_head != NULL || !tell(s, d, ex)) return false;
    if (fate < OUTCOME_COUNT) TALLY_ADD(s->tally.outcomes[fate], 1);
    if (d->attempts == 0) TALLY_ADD(s->tally.endings[why], 1);
    told(s, d);
    return true;
}

void account_pending(struct shard *s, struct delivery *d)
{
    if (s->log.journal == NULL && wanted(&s->dead_letters)) raw_put(&s->dead_letters, d);
    if (d->attempt_ns != 0) { /* it had begun, and waited for a connection */
        d->fate = FATE_PENDING;
        note_fate(s, d, d->sent_now != SENT_NO);
    }
    release(s, d);
}
