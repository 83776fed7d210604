/* core/engine/follow.c - what the end of an exchange leads to. The rules are in verdict.c. */
#include "core/engine/shard_state.h"
#include "core/engine/verdict.h"

#define TELL_AGAIN_NS         UINT64_C(1000000)
#define NO_ROOM_WAIT_FIRST_NS UINT64_C(5000000)
#define NO_ROOM_WAIT_MAX_NS   UINT64_C(500000000)

/* The attempt is not over: it goes on with the next connection that its lane gets, unless its time
 * limit passes before. */
static void again(struct shard *s, struct delivery *d, struct exchange *ex)
{
    d->fresh = true;
    d->why = (uint8_t)ex->why;
    d->wait = DELIVERY_WAITS_CONN;
    timer_arm(s, &d->timer, TIMER_DELIVERY, ex->deadline_ns);
    exchange_give(s, ex);
    flow_push_front(&s->lanes, d->flow, d->retry ? FLOW_RETRY : FLOW_FIRST, d);
}

static void no_room(struct shard *s)
{
    uint64_t wait_ns = s->no_room_wait_ns * 2;
    if (wait_ns < NO_ROOM_WAIT_FIRST_NS) wait_ns = NO_ROOM_WAIT_FIRST_NS;
    if (wait_ns > NO_ROOM_WAIT_MAX_NS) wait_ns = NO_ROOM_WAIT_MAX_NS;
    s->no_room_wait_ns = wait_ns;
    s->no_room_until_ns = io_now_ns(s->io) + wait_ns;
}

static void count_ending(struct shard *s, const struct delivery *d, const struct exchange *ex)
{
    struct tally *t = &s->tally;
    TALLY_ADD(t->endings[ex->why], 1);
    if (ex->answer.status != 0) TALLY_ADD(t->statuses[ex->answer.status / 100], 1);
    if (ex->sent != SENT_NO) TALLY_ADD(t->request_bytes, d->request_len);
    hist_add(&s->latency, ex->ended_ns - d->attempt_ns);
}

static struct hint hint_of(struct shard *s, const struct exchange *ex)
{
    struct hint hint = {.has_reset = false};
    const struct hints *h = &ex->answer.hints;
    if (ex->answer.status == 0 || !h->any) return hint;
    hints_resolve(h, io_wall_ns(s->io), s->run->config->max_hint_ns, &hint);
    TALLY_ADD(s->tally.hints, 1);
    if (h->ignored > 0) TALLY_ADD(s->tally.hints_ignored, h->ignored);
    return hint;
}

static struct attempt attempt_of(struct shard *s, const struct delivery *d,
                                 const struct exchange *ex, const struct hint *hint, bool in_time)
{
    return (struct attempt){
        .why = ex->why,
        .sent = ex->sent,
        .reused = ex->reused || ex->stale,
        .resent = d->resent && !ex->stale,
        .addresses_left = race_addresses_left(d),
        .in_time = in_time && !s->cut,
        .retry = {.attempts = d->attempts,
                  .now_ns = io_now_ns(s->io),
                  .first_ns = d->since_ns,
                  .deadline_ns = d->deadline_ns,
                  .hint_ns = hint->has_retry_after ? hint->retry_after_ns : 0,
                  .draw = prng_u64(&s->dice)},
    };
}

static void attempt_over(struct delivery *d, const struct exchange *ex)
{
    d->flow->in_flight--;
    d->why = (uint8_t)ex->why;
    if (d->sent < (uint8_t)ex->sent) d->sent = (uint8_t)ex->sent;
    d->sent_now = SENT_NO;
}

/* The keyed flow may have been waiting for nothing but this. */
static void settle(struct shard *s, struct flow *f)
{
    struct lane *l = f->lane;
    flow_settle(&s->lanes, f, io_now_ns(s->io));
    lane_update(&s->lanes, l);
}

static bool not_connected(const struct exchange *ex)
{
    return ex->why == ERR_CONNECT_REFUSED || ex->why == ERR_CONNECT_TIMEOUT ||
           ex->why == ERR_NO_ROUTE;
}

void follow(struct shard *s, struct delivery *d, struct exchange *ex)
{
    struct flow *f = d->flow;
    if (ex->sent < (enum sent)d->sent_now) ex->sent = (enum sent)d->sent_now; /* lost sending */
    struct hint hint = hint_of(s, ex);
    struct attempt a = attempt_of(s, d, ex, &hint, io_now_ns(s->io) < ex->deadline_ns);
    struct verdict v = verdict_of(&s->run->config->retry, &a);
    switch (v.kind) {
    case VERDICT_OUTCOME:
        count_ending(s, d, ex);
        if (not_connected(ex)) names_doubt(f->lane);
        attempt_over(d, ex);
        feedback(s, d, ex, &hint);
        account_outcome(s, d, ex, v.outcome);
        settle(s, f);
        return;
    case VERDICT_RETRY:
        count_ending(s, d, ex);
        if (not_connected(ex)) names_doubt(f->lane);
        attempt_over(d, ex);
        feedback(s, d, ex, &hint);
        d->due_ns = v.due_ns;
        account_retry(s, d, ex);
        settle(s, f);
        return;
    case VERDICT_PENDING:
        count_ending(s, d, ex);
        attempt_over(d, ex);
        account_cut(s, d, ex);
        settle(s, f);
        return;
    case VERDICT_RESEND:
        TALLY_ADD(s->tally.resent, 1);
        if (!ex->stale) d->resent = true;
        d->sent_now = (uint8_t)ex->sent;
        again(s, d, ex);
        return;
    case VERDICT_NEXT_ADDRESS: again(s, d, ex); return;
    case VERDICT_NO_ROOM:
        no_room(s);
        again(s, d, ex);
        return;
    }
    UNREACHABLE();
}

/* It ends by the way in which it last failed. While its lines have no room, its timer alone keeps
 * it. */
void follow_waited_too_long(struct shard *s, struct delivery *d)
{
    struct exchange *ex = s->unsent;
    struct flow *f = d->flow;
    wait_over(s, d);
    ex->why = (enum err)d->why;
    ex->sent = (enum sent)d->sent_now;
    ex->reused = false;
    ex->ended_ns = d->attempt_ns + s->run->config->timeout_ns;
    if (ex->ended_ns > io_now_ns(s->io)) ex->ended_ns = io_now_ns(s->io);
    struct hint none = {.has_reset = false};
    struct attempt a = attempt_of(s, d, ex, &none, false);
    struct verdict v = verdict_of(&s->run->config->retry, &a);
    uint8_t fate = v.kind == VERDICT_RETRY ? (uint8_t)FATE_RETRY : (uint8_t)v.outcome;
    d->due_ns = v.due_ns;
    uint64_t took_ns = ex->ended_ns - d->attempt_ns;
    struct delivery ended = *d; /* as it was, should it be given back */
    if (!account_unsent(s, d, ex->why, fate)) {
        d->wait = DELIVERY_WAITS_TOLD;
        timer_arm(s, &d->timer, TIMER_DELIVERY, io_now_ns(s->io) + TELL_AGAIN_NS);
        return;
    }
    TALLY_ADD(s->tally.endings[ex->why], 1);
    hist_add(&s->latency, took_ns);
    feedback(s, &ended, ex, &none);
    f->in_flight--;
    settle(s, f);
}
