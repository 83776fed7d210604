/* core/net/conn_tls.c - the part of a connection's life that is TLS; see conn.h.
 *
 * There is one send at a time. What it sends is lent by the session until it completes; what the
 * library wants to say meanwhile gathers there, and goes out next. A request is encrypted in pieces
 * of at most TLS_PIECE_BYTES, the next when the last one is sent, so that a connection never holds
 * more than one record of it twice.
 */
#include "core/net/conn_parts.h"

#include "core/net/trace.h"

static io_done_fn tls_send_done;

/* ---- out ---------------------------------------------------------------------------------- */

/* Sends what the session has to say, unless a send is under way. False: nothing to say. */
static bool flush(struct conn *c)
{
    CHECK(!c->op_out.in_flight);
    struct span out = tls_out(c->tls);
    if (out.len == 0) {
        tls_out_home(c->tls);
        return false;
    }
    c->op_out.kind = IO_SEND;
    c->op_out.done = tls_send_done;
    c->op_out.buf = (void *)(uintptr_t)out.ptr;
    c->op_out.len = (uint32_t)out.len;
    io_submit(c->pool->io, &c->op_out);
    return true;
}

/* The session has failed: its alert goes out with the close. */
static void fail(struct conn *c)
{
    CHECK(c->ex != NULL);
    enum err why = tls_fault_err(tls_fault_of(c->tls));
    bool rejected = why == ERR_RESET && c->served == 0 && tls_fault_of(c->tls) != TLS_FAULT_BROKEN;
    c->ex->detail = tls_detail(c->tls);
    if (response_begun(&c->ex->answer)) {
        c->ex->answer.bad = "the connection broke inside the answer";
        why = ERR_BAD_RESPONSE;
    } else if (rejected && tls_open(c->tls)) {
        why = ERR_TLS_HANDSHAKE; /* TLS 1.3: only now the peer says what it thinks of us */
    } else if (why == ERR_NO_RESOURCES && c->encrypted > 0) {
        why = ERR_RESET; /* it may have been sent: not this same attempt once more */
    }
    conn_close(c, why); /* not conn_end(): it may be the owner that wants to send */
}

void conn_tls_send(struct conn *c)
{
    CHECK(c->state == CONN_BUSY);
    size_t taken = 0;
    if (c->encrypted == 0) c->sends_request = false;
    if (c->op_out.in_flight) return; /* its completion comes here again */
    if (c->encrypted < c->ex->req_len) {
        if (tls_write(c->tls, c->ex->req + c->encrypted, c->ex->req_len - c->encrypted, &taken) !=
            TLS_DONE) {
            fail(c);
            return;
        }
        c->encrypted += (uint32_t)taken;
        c->sends_request = true;
    }
    bool sends = flush(c);
    CHECK(sends);
}

static void tls_send_done(struct io_op *op, int32_t res)
{
    struct conn *c = CONTAINER_OF(op, struct conn, op_out);
    tls_out_home(c->tls);
    if (res > 0 && c->sends_request) c->sent_some = true;
    bool whole = res == (int32_t)op->len;
    if (!whole) c->said_goodbye = true; /* in the middle of a record: nothing can follow */
    if (c->state == CONN_CLOSING) {
        conn_closing_step(c);
        return;
    }
    if (!whole) {
        if (c->state == CONN_IDLE) conn_end(c, ERR_OK);
        else conn_send_failed(c);
        return;
    }
    if (c->state == CONN_BUSY && c->encrypted < c->ex->req_len) {
        conn_tls_send(c);
        return;
    }
    if (c->state == CONN_BUSY && c->sends_request) {
        c->sent_all = true;
        trace_at(c->ex->trace, TRACE_SENT, io_now_ns(c->pool->io));
    }
    c->sends_request = false;
    (void)flush(c);
}

bool conn_tls_goodbye(struct conn *c)
{
    CHECK(c->state == CONN_CLOSING);
    CHECK(!c->op_out.in_flight);
    if (!c->said_goodbye) {
        c->said_goodbye = true;
        c->sends_request = false;
        tls_close(c->tls);
        if (flush(c)) {
            io_cancel(c->pool->io, &c->op_out); /* now or never: nobody waits for it */
            return true;
        }
    }
    tls_free(c->tls);
    c->tls = NULL;
    return false;
}

/* ---- in ----------------------------------------------------------------------------------- */

/* The peer is who it should be. */
static void secured(struct conn *c)
{
    struct trace *trace = c->ex->trace;
    trace_at(trace, TRACE_SECURED, io_now_ns(c->pool->io));
    if (trace != NULL) tls_describe(c->tls, trace->tls, sizeof trace->tls);
    conn_goto(c, CONN_BUSY);
    conn_deadline_set(c, c->ex->deadline_ns);
    conn_tls_send(c);
}

static void shake(struct conn *c)
{
    switch (tls_handshake(c->tls)) {
    case TLS_DONE: secured(c); return;
    case TLS_AGAIN:
        if (!c->op_out.in_flight) (void)flush(c);
        return;
    case TLS_CLOSED:
    case TLS_ERROR: fail(c); return;
    }
}

void conn_tls_begin(struct conn *c, const struct tls_peer *peer)
{
    CHECK(c->state == CONN_SECURING);
    CHECK(c->tls == NULL && c->pool->tls != NULL);
    uint64_t due_ns = io_now_ns(c->pool->io) + c->pool->tls_timeout_ns;
    conn_deadline_set(c, due_ns < c->ex->deadline_ns ? due_ns : c->ex->deadline_ns);
    c->sends_request = false;
    c->tls = tls_new(c->pool->tls, peer);
    if (c->tls != NULL) shake(c);
    else conn_end(c, ERR_NO_RESOURCES);
}

/* The end of what arrives, without a goodbye. */
static void ended(struct conn *c, int32_t res)
{
    if (c->state == CONN_IDLE) {
        conn_end(c, ERR_OK);
        return;
    }
    if (c->state == CONN_SECURING) {
        c->ex->detail = tls_fault_text(TLS_FAULT_CLOSED);
        conn_end(c, ERR_TLS_HANDSHAKE);
        return;
    }
    struct response *r = &c->ex->answer;
    /* Anyone on the way could have ended it here. */
    if (res == 0 && response_begun(r) && response_eof(r) == RESPONSE_DONE)
        conn_end(c, ERR_TRUNCATED);
    else conn_recv_ended(c, res);
}

/* Whether nothing follows the answer in what has arrived. */
static bool nothing_left(struct conn *c)
{
    size_t got;
    return tls_read(c->tls, c->pool->plain, CONN_PLAIN_BYTES, &got) == TLS_AGAIN;
}

/* False: the connection has gone on to something else; not to be looked at any more. */
static bool plain(struct conn *c, size_t got)
{
    size_t used;
    if (c->state == CONN_IDLE) { /* bytes that nobody asked for */
        conn_end(c, ERR_OK);
        return false;
    }
    trace_answer(c->ex->trace, c->pool->plain, got, io_now_ns(c->pool->io));
    switch (response_feed(&c->ex->answer, c->pool->plain, got, &used)) {
    case RESPONSE_MORE: return true;
    case RESPONSE_DONE: conn_answered(c, used == got && nothing_left(c)); return false;
    case RESPONSE_BAD: conn_end(c, ERR_BAD_RESPONSE); return false;
    }
    UNREACHABLE();
}

void conn_tls_recv(struct conn *c, const char *bytes, int32_t res)
{
    if (res <= 0) {
        ended(c, res);
        return;
    }
    tls_feed(c->tls, bytes, (size_t)res);
    if (c->state == CONN_SECURING) shake(c);
    for (;;) {
        size_t got;
        if (c->state != CONN_BUSY && c->state != CONN_IDLE) return;
        switch (tls_read(c->tls, c->pool->plain, CONN_PLAIN_BYTES, &got)) {
        case TLS_DONE:
            if (!plain(c, got)) return;
            break;
        case TLS_AGAIN:
            if (!c->op_out.in_flight) (void)flush(c); /* the answer to a key update, say */
            return;
        case TLS_CLOSED:
            if (c->state == CONN_IDLE) conn_end(c, ERR_OK);
            else conn_recv_ended(c, 0);
            return;
        case TLS_ERROR:
            if (c->state == CONN_IDLE) conn_end(c, ERR_OK);
            else fail(c);
            return;
        }
    }
}
