#include "core/net/conn_parts.h"

#include "core/net/trace.h"

#include <errno.h>
#include <sys/mman.h>

/* After a failed send the answer may still be on its way (a receiver that refuses a large body
 * answers and closes): this long the receive side may tell. */
#define SEND_FAILED_GRACE_NS UINT64_C(1000000000)

static const uint8_t next_ok[CONN_STATE_COUNT] = {
    [CONN_FREE] = BIT(CONN_CONNECTING),
    [CONN_CONNECTING] = BIT(CONN_SECURING) | BIT(CONN_BUSY) | BIT(CONN_CLOSING),
    [CONN_SECURING] = BIT(CONN_BUSY) | BIT(CONN_CLOSING),
    [CONN_BUSY] = BIT(CONN_IDLE) | BIT(CONN_CLOSING),
    [CONN_IDLE] = BIT(CONN_BUSY) | BIT(CONN_CLOSING),
    [CONN_CLOSING] = BIT(CONN_FREE),
};
_Static_assert(CONN_STATE_COUNT <= 8, "next_ok rows are one byte");

static io_done_fn connect_done, send_done, recv_done, close_done;

void conn_goto(struct conn *c, enum conn_state to)
{
    CHECK(next_ok[c->state] & BIT(to));
    c->state = (uint8_t)to;
}

/* ---- pool --------------------------------------------------------------------------------- */

bool conn_pool_open(struct conn_pool *p, uint32_t count)
{
    CHECK(count > 0);
    CHECK(p->io != NULL && p->events != NULL);
    void *mem = mmap(NULL, count * sizeof(struct conn), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED) return false;
    p->conns = mem; /* zeroed: every one is CONN_FREE, and untouched until it is first taken */
    p->count = count;
    p->free = NULL;
    p->open = p->opened = p->touched = 0;
    return true;
}

void conn_pool_close(struct conn_pool *p)
{
    CHECK(p->open == 0);
    if (p->conns != NULL) munmap(p->conns, p->count * sizeof(struct conn));
    p->conns = NULL;
}

struct conn *conn_take(struct conn_pool *p)
{
    if (p->open == p->count) return NULL;
    struct conn *c = p->free;
    if (c != NULL) {
        p->free = c->next;
    } else {
        c = &p->conns[p->touched];
        c->pool = p;
        c->op_out.fd = c->op_in.fd = (int32_t)p->touched++;
    }
    CHECK(c->state == CONN_FREE);
    p->open++;
    return c;
}

/* ---- deadlines ---------------------------------------------------------------------------- */

void conn_deadline_set(struct conn *c, uint64_t due_ns)
{
    c->deadline_ns = due_ns;
    c->pool->events->deadline(c->pool->ctx, c);
}

void conn_expired(struct conn *c)
{
    CHECK(c->state != CONN_FREE);
    if (c->deadline_ns > io_now_ns(c->pool->io)) return;
    CHECK(c->state != CONN_CLOSING);
    enum err why = c->send_failed ? ERR_RESET : ERR_TIMEOUT;
    if (c->state == CONN_IDLE) why = ERR_OK;
    if (c->state == CONN_SECURING && c->deadline_ns < c->ex->deadline_ns)
        why = c->send_failed ? ERR_TLS_HANDSHAKE : ERR_TLS_TIMEOUT;
    if (c->state == CONN_CONNECTING) {
        if (c->ex == NULL || c->deadline_ns < c->ex->deadline_ns) why = ERR_CONNECT_TIMEOUT;
        (void)c->pool->events->tried(c->pool->ctx, c, why);
    }
    conn_close(c, why);
}

/* ---- the one way out ---------------------------------------------------------------------- */

/* The request's memory is home: tell what became of the exchange. */
static void tell(struct conn *c)
{
    struct exchange *ex = c->ex;
    CHECK(!c->op_out.in_flight || c->tls != NULL); /* the session's bytes, not the request's */
    c->ex = NULL;
    ex->reused = c->served > 0;
    ex->stale = c->tls != NULL && tls_fault_of(c->tls) == TLS_FAULT_STALE;
    ex->ended_ns = io_now_ns(c->pool->io);
    ex->sent = response_begun(&ex->answer) ? SENT_YES : c->sent_some ? SENT_MAYBE : SENT_NO;
    c->pool->events->done(c->pool->ctx, c, ex);
}

void conn_closing_step(struct conn *c)
{
    CHECK(c->state == CONN_CLOSING);
    struct io *io = c->pool->io;
    if (c->op_in.in_flight) io_cancel(io, &c->op_in);
    if (c->op_out.in_flight) {
        if (!c->closed) io_cancel(io, &c->op_out);
        return;
    }
    if (c->ex != NULL) tell(c);
    if (c->op_in.in_flight) return; /* the kernel may still write through it */
    if (c->tls != NULL && conn_tls_goodbye(c)) return;
    if (!c->closed) {
        c->closed = true;
        c->op_out.kind = IO_CLOSE;
        c->op_out.done = close_done;
        io_submit(io, &c->op_out);
        return;
    }
    conn_goto(c, CONN_FREE);
    struct conn_pool *p = c->pool;
    CHECK(p->open > 0);
    p->open--;
    c->next = p->free;
    p->free = c;
    p->events->ended(p->ctx, c); /* may take it again at once */
}

/* Marks the end without taking the first step, so that no event runs inside the caller. */
static void conn_mark(struct conn *c, enum err why)
{
    if (c->ex != NULL) c->ex->why = why;
    if (c->state == CONN_IDLE) c->pool->events->leaving(c->pool->ctx, c);
    conn_deadline_set(c, CONN_NO_DEADLINE);
    conn_goto(c, CONN_CLOSING);
}

void conn_end(struct conn *c, enum err why)
{
    if (c->state != CONN_CLOSING) conn_mark(c, why);
    conn_closing_step(c);
}

void conn_close(struct conn *c, enum err why)
{
    CHECK(c->state != CONN_FREE);
    if (c->state == CONN_CLOSING) return; /* first reason wins */
    conn_mark(c, why);
    /* In every state but CLOSING something is in flight: its completion takes the next step. */
    CHECK(c->op_in.in_flight || c->op_out.in_flight);
    if (c->op_in.in_flight) io_cancel(c->pool->io, &c->op_in);
    if (c->op_out.in_flight) io_cancel(c->pool->io, &c->op_out);
}

/* ---- sending ------------------------------------------------------------------------------ */

static void exchange_attach(struct conn *c, struct exchange *ex)
{
    CHECK(c->ex == NULL);
    CHECK(ex->req_len > 0);
    c->ex = ex;
    c->sent_all = c->sent_some = c->send_failed = false;
    c->encrypted = 0;
    ex->why = ERR_OK;
    ex->detail = NULL;
    response_init(&ex->answer);
}

static void send_start(struct conn *c)
{
    CHECK(c->state == CONN_BUSY);
    if (c->tls != NULL) {
        conn_tls_send(c);
        return;
    }
    CHECK_HOT(!c->op_out.in_flight);
    c->op_out.kind = IO_SEND;
    c->op_out.done = send_done;
    c->op_out.buf = (void *)(uintptr_t)c->ex->req;
    c->op_out.len = c->ex->req_len;
    io_submit(c->pool->io, &c->op_out);
}

void conn_attach(struct conn *c, struct exchange *ex)
{
    CHECK(c->state == CONN_CONNECTING);
    exchange_attach(c, ex);
    if (ex->trace != NULL) ex->trace->addr = c->to;
    if (ex->deadline_ns < c->deadline_ns) conn_deadline_set(c, ex->deadline_ns);
}

struct exchange *conn_detach(struct conn *c)
{
    struct exchange *ex = c->ex;
    CHECK(c->state == CONN_CONNECTING);
    CHECK(ex != NULL);
    c->ex = NULL;
    return ex;
}

void conn_open(struct conn *c, const struct addr *to, const struct addr *from, struct exchange *ex)
{
    CHECK(c->state == CONN_FREE);
    CHECK(!c->op_out.in_flight && !c->op_in.in_flight);
    struct io *io = c->pool->io;
    c->served = 0;
    c->connected = c->closed = c->said_goodbye = false;
    c->to = *to;
    c->pool->opened++;
    conn_goto(c, CONN_CONNECTING);
    conn_deadline_set(c, io_now_ns(io) + c->pool->connect_timeout_ns);
    if (ex != NULL) conn_attach(c, ex);
    if (ex != NULL) trace_connecting(ex->trace, to, io_now_ns(io));
    c->op_out.kind = IO_CONNECT;
    c->op_out.done = connect_done;
    c->op_out.addr = &c->to;
    c->op_out.bind_addr = from;
    io_submit(io, &c->op_out);
}

void conn_send(struct conn *c, struct exchange *ex)
{
    CHECK(c->state == CONN_IDLE);
    CHECK_HOT(c->op_in.in_flight);
    conn_goto(c, CONN_BUSY);
    exchange_attach(c, ex);
    conn_deadline_set(c, ex->deadline_ns);
    send_start(c);
}

/* ---- completions -------------------------------------------------------------------------- */

static enum err err_of_connect(int32_t res)
{
    switch (-res) {
    case ECONNREFUSED: return ERR_CONNECT_REFUSED;
    case ETIMEDOUT: return ERR_CONNECT_TIMEOUT;
    case ECONNRESET: return ERR_RESET;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL: /* every local port towards this address is taken */
    case EAGAIN: return ERR_NO_RESOURCES;
    default: return ERR_NO_ROUTE; /* EHOSTUNREACH, ENETUNREACH, EACCES, EAFNOSUPPORT, ... */
    }
}

static void connect_done(struct io_op *op, int32_t res)
{
    struct conn *c = CONTAINER_OF(op, struct conn, op_out);
    if (c->state == CONN_CLOSING) {
        conn_closing_step(c);
        return;
    }
    CHECK(c->state == CONN_CONNECTING);
    enum err why = res < 0 ? err_of_connect(res) : ERR_OK;
    c->connected = why == ERR_OK;
    bool wanted = c->pool->events->tried(c->pool->ctx, c, why);
    if (!wanted || !c->connected) {
        conn_end(c, why);
        return;
    }
    CHECK(c->ex != NULL);
    trace_at(c->ex->trace, TRACE_CONNECTED, io_now_ns(c->pool->io));
    c->op_in.kind = IO_RECV;
    c->op_in.done = recv_done;
    io_submit(c->pool->io, &c->op_in);
    struct tls_peer peer;
    if (c->pool->events->peer(c->pool->ctx, c, &peer)) {
        conn_goto(c, CONN_SECURING);
        conn_tls_begin(c, &peer);
        return;
    }
    conn_goto(c, CONN_BUSY);
    conn_deadline_set(c, c->ex->deadline_ns);
    send_start(c);
}

void conn_send_failed(struct conn *c)
{
    c->send_failed = true;
    uint64_t due_ns = io_now_ns(c->pool->io) + SEND_FAILED_GRACE_NS;
    if (due_ns < c->deadline_ns) conn_deadline_set(c, due_ns);
}

static void send_done(struct io_op *op, int32_t res)
{
    struct conn *c = CONTAINER_OF(op, struct conn, op_out);
    if (res > 0) c->sent_some = true;
    if (c->state == CONN_CLOSING) {
        conn_closing_step(c);
        return;
    }
    CHECK(c->state == CONN_BUSY);
    if (res == (int32_t)op->len) {
        c->sent_all = true;
        trace_at(c->ex->trace, TRACE_SENT, io_now_ns(c->pool->io));
        return;
    }
    conn_send_failed(c);
}

void conn_answered(struct conn *c, bool clean)
{
    struct exchange *ex = c->ex;
    enum err why = exchange_err_of_status(ex->answer.status);
    if (!clean || !ex->answer.keep_alive || !c->sent_all) {
        conn_end(c, why);
        return;
    }
    ex->why = why;
    conn_goto(c, CONN_IDLE);
    c->idle_since_ns = io_now_ns(c->pool->io);
    conn_deadline_set(c, c->idle_since_ns + c->pool->idle_timeout_ns);
    tell(c);
    c->served++; /* after tell(): it asks whether this exchange was the first */
}

void conn_recv_ended(struct conn *c, int32_t res)
{
    struct response *r = &c->ex->answer;
    if (res == 0 && response_begun(r)) {
        if (response_eof(r) == RESPONSE_DONE) conn_answered(c, false);
        else conn_end(c, ERR_BAD_RESPONSE);
    } else if (response_begun(r)) {
        r->bad = "the connection broke inside the answer";
        conn_end(c, ERR_BAD_RESPONSE);
    } else {
        conn_end(c, res == 0 ? ERR_CLOSED : ERR_RESET);
    }
}

static void recv_done(struct io_op *op, int32_t res)
{
    struct conn *c = CONTAINER_OF(op, struct conn, op_in);
    if (c->state == CONN_CLOSING) {
        if (!op->more) conn_closing_step(c);
        return;
    }
    if (c->tls != NULL) {
        conn_tls_recv(c, op->buf, res);
        return;
    }
    if (c->state == CONN_IDLE) { /* closed by the peer, or bytes that nobody asked for */
        MAYBE(res > 0);
        conn_end(c, ERR_OK);
        return;
    }
    CHECK(c->state == CONN_BUSY);
    if (res <= 0) {
        CHECK(!op->more);
        conn_recv_ended(c, res);
        return;
    }
    trace_answer(c->ex->trace, op->buf, (size_t)res, io_now_ns(c->pool->io));
    size_t used;
    switch (response_feed(&c->ex->answer, op->buf, (size_t)res, &used)) {
    case RESPONSE_MORE: break;
    case RESPONSE_DONE: conn_answered(c, used == (size_t)res); break;
    case RESPONSE_BAD: conn_end(c, ERR_BAD_RESPONSE); break;
    }
}

static void close_done(struct io_op *op, int32_t res)
{
    struct conn *c = CONTAINER_OF(op, struct conn, op_out);
    MAYBE(res < 0); /* the slot is empty all the same, or was never filled */
    conn_closing_step(c);
}

void conn_validate(const struct conn *c)
{
    switch ((enum conn_state)c->state) {
    case CONN_FREE:
        CHECK(!c->op_in.in_flight && !c->op_out.in_flight);
        CHECK(c->ex == NULL && c->tls == NULL);
        break;
    case CONN_CONNECTING:
        CHECK(c->op_out.in_flight && !c->op_in.in_flight);
        CHECK(c->deadline_ns != CONN_NO_DEADLINE);
        break;
    case CONN_SECURING:
        CHECK(c->tls != NULL && !tls_open(c->tls));
        /* fall through */
    case CONN_BUSY:
        CHECK(c->ex != NULL && c->op_in.in_flight);
        CHECK(c->deadline_ns != CONN_NO_DEADLINE);
        break;
    case CONN_IDLE:
        CHECK(c->ex == NULL && c->op_in.in_flight);
        CHECK(!c->op_out.in_flight || c->tls != NULL);
        CHECK(c->deadline_ns != CONN_NO_DEADLINE);
        break;
    case CONN_CLOSING:
        CHECK(c->deadline_ns == CONN_NO_DEADLINE);
        CHECK(c->op_in.in_flight || c->op_out.in_flight);
        break;
    case CONN_STATE_COUNT: UNREACHABLE();
    }
}
