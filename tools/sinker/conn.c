/* tools/sinker/conn.c - the state machine of a connection; see conn.h. */
#include "core/base/atomic.h"
#include "core/base/slab.h"
#include "tools/sinker/clock.h"
#include "tools/sinker/seen.h"
#include "tools/sinker/shard.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    TURNS_MAX = 16,           /* receives before other connections get their turn */
    DRIP_NS = 5 * 1000000,    /* between two bytes of /odd/slow-bytes */
    DRAIN_NS = 1000 * 1000000 /* a refused peer may keep its connection so long */
};

static bool is_reading(const struct conn *c)
{
    return c->state == CONN_HEAD || c->state == CONN_BODY || c->state == CONN_CHUNKS;
}

static void conn_goto(struct conn *c, enum conn_state to)
{
    enum { ANSWERING = BIT(CONN_HEAD) | BIT(CONN_WAIT) | BIT(CONN_SEND) | BIT(CONN_DRIP) };
    static const uint32_t legal[CONN_STATE_COUNT] = {
        [CONN_FREE] = BIT(CONN_HEAD),
        [CONN_HEAD] = ANSWERING | BIT(CONN_BODY) | BIT(CONN_CHUNKS) | BIT(CONN_CLOSED),
        [CONN_BODY] = ANSWERING | BIT(CONN_CLOSED),
        [CONN_CHUNKS] = ANSWERING | BIT(CONN_CLOSED),
        [CONN_WAIT] = BIT(CONN_HEAD) | BIT(CONN_SEND) | BIT(CONN_DRIP) | BIT(CONN_CLOSED),
        [CONN_SEND] = BIT(CONN_HEAD) | BIT(CONN_BODY) | BIT(CONN_CHUNKS) | BIT(CONN_HANG) |
                      BIT(CONN_DRAIN) | BIT(CONN_CLOSED),
        [CONN_DRIP] = BIT(CONN_SEND) | BIT(CONN_CLOSED),
        [CONN_HANG] = BIT(CONN_CLOSED),
        [CONN_DRAIN] = BIT(CONN_CLOSED),
        [CONN_CLOSED] = BIT(CONN_FREE),
    };
    CHECK(legal[c->state] & BIT(to));
    c->state = (uint8_t)to;
}

void conn_open(struct shard *s, int fd, uint32_t listener)
{
    CHECK((uint32_t)fd < s->sink->conns_max);
    struct conn *c = &s->sink->conns[fd];
    CHECK(load_acq(&c->taken) == 0);
    CHECK(c->state == CONN_FREE);
    memset(&c->timer, 0, offsetof(struct conn, hash) - offsetof(struct conn, timer));
    store_rlx(&c->taken, 1);
    c->fd = fd;
    c->listener = listener;
    conn_goto(c, CONN_HEAD);
    TAILQ_INSERT_TAIL(&s->open, c, open_link);
    /* One registration for good: the edge of EPOLLOUT only comes after a send that fell short. */
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                             .data.u64 = (uint64_t)fd};
    bool secures = s->sink->secure != NULL;
    if (secures) c->secure = secure_new(s->sink->secure, fd);
    if ((!secures || c->secure != NULL) && epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0)
        return;
    s->stats.dropped++;
    conn_close(s, c);
}

void conn_close(struct shard *s, struct conn *c)
{
    CHECK(c->state != CONN_FREE);
    CHECK(c->state != CONN_CLOSED);
    timers_drop(&s->timers, &c->timer);
    if (c->in_ready) TAILQ_REMOVE(&s->ready, c, link);
    c->in_ready = false;
    parcel_give(s, &c->held);
    parcel_give(s, &c->unsent);
    parcel_give(s, &c->names);
    s->out_bytes = 0;
    if (c->body_open) s->stats.incomplete++;
    c->body_open = false;
    conn_goto(c, CONN_CLOSED);
    TAILQ_REMOVE(&s->open, c, open_link);
    TAILQ_INSERT_TAIL(&s->closed, c, link);
}

void conn_free(struct conn *c)
{
    int fd = c->fd;
    secure_free(c->secure);
    c->secure = NULL;
    conn_goto(c, CONN_FREE);
    store_rel(&c->taken, 0);
    close(fd);
}

/* Puts the connection at the end of the list of those that go on without a new event. */
static void make_ready(struct shard *s, struct conn *c)
{
    if (c->in_ready) return;
    c->in_ready = true;
    TAILQ_INSERT_TAIL(&s->ready, c, link);
}

static void conn_reset(struct shard *s, struct conn *c)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    conn_close(s, c);
}

static void start_drain(struct shard *s, struct conn *c)
{
    conn_goto(c, CONN_DRAIN);
    if (c->secure != NULL) secure_goodbye(c->secure);
    shutdown(c->fd, SHUT_WR);
    parcel_give(s, &c->held);
    c->readable = true;
    timers_arm(&s->timers, &c->timer, clock_mono_ns() + DRAIN_NS);
}

/* All output is out: what was to happen then. */
static void conn_after(struct shard *s, struct conn *c)
{
    CHECK(c->state == CONN_SEND);
    /* An early answer: the body must be read before anything else may happen. */
    if (c->body_open) {
        conn_goto(c, c->chunked ? CONN_CHUNKS : CONN_BODY);
        return;
    }
    switch ((enum answer_after)c->after) {
    case AFTER_NEXT: conn_goto(c, CONN_HEAD); return;
    case AFTER_RESET: conn_reset(s, c); return;
    case AFTER_DRAIN: start_drain(s, c); return;
    case AFTER_CLOSE:
        if (c->secure != NULL) secure_goodbye(c->secure);
        conn_close(s, c);
        return;
    case AFTER_HANG:
        if (c->hung_up) conn_close(s, c);
        else conn_goto(c, CONN_HANG);
        return;
    }
    UNREACHABLE();
}

static void conn_send(struct shard *s, struct conn *c)
{
    CHECK(c->state == CONN_SEND);
    enum push res = conn_push(s, c);
    if (res == PUSH_DONE) conn_after(s, c);
    else if (res == PUSH_DEAD) conn_close(s, c);
}

static void start_drip(struct shard *s, struct conn *c)
{
    if (!conn_stash(s, c)) {
        conn_close(s, c);
        return;
    }
    conn_goto(c, CONN_DRIP);
    timers_arm(&s->timers, &c->timer, clock_mono_ns());
}

static void conn_answer(struct shard *s, struct conn *c, const struct answer *a)
{
    CHECK(c->fill_left == 0);
    conn_emit(s, a->bytes);
    conn_emit(s, a->tail);
    c->fill_left = a->fill_bytes;
    c->after = a->after;
    if (a->drip) {
        start_drip(s, c);
    } else if (a->after == AFTER_NEXT && a->fill_bytes == 0) {
        if (!c->body_open) conn_goto(c, CONN_HEAD);
    } else {
        conn_goto(c, CONN_SEND);
        conn_send(s, c);
    }
}

/* The same status for one request every time: chance and limit have spoken with the head. */
static void choose(struct shard *s, const struct conn *c, struct answer *a)
{
    struct answer_ask ask = {.behave = &c->behave,
                             .pass = &c->pass,
                             .failing = c->failing,
                             .is_head = c->is_head,
                             .http10 = c->http10,
                             .keep_alive = c->keep_alive,
                             .scratch = s->scratch};
    if (c->unknown) answer_unknown(s->sink->answers, &ask, a);
    else answer_choose(s->sink->answers, &ask, a);
}

static void log_request(struct shard *s, struct conn *c, uint16_t status)
{
    struct span id = c->id;
    if (c->id_decode) id = span_of(s->decoded_id, request_id_decode(id, s->decoded_id));
    if (c->hash_open) c->body_hash = XXH3_64bits_digest(&c->hash);
    else if (c->body_bytes == 0) c->body_hash = XXH3_64bits("", 0);
    struct record r = {.id = id,
                       .path = c->path,
                       .body_bytes = c->body_bytes,
                       .body_hash = c->body_hash,
                       .sender_attempt = c->sender_attempt,
                       .status = status};
    if (id.len) r.attempt = seen_count(s->sink->seen, XXH3_64bits(id.ptr, id.len));
    log_buffer_add(&s->log, &r);
}

/* The last byte of a request is there. */
static void request_done(struct shard *s, struct conn *c)
{
    struct answer a;
    choose(s, c, &a);
    c->body_open = false;
    s->stats.requests++;
    s->stats.status[a.status]++;
    if (s->sink->log) log_request(s, c, a.status);
    parcel_give(s, &c->names);
    if (c->answered) {
        conn_goto(c, CONN_SEND);
        conn_send(s, c);
    } else if (c->behave.delay_ns) {
        conn_goto(c, CONN_WAIT);
        timers_arm(&s->timers, &c->timer, clock_mono_ns() + c->behave.delay_ns);
    } else {
        conn_answer(s, c, &a);
    }
}

static void refuse(struct shard *s, struct conn *c, uint16_t status, const char *why)
{
    struct answer a;
    answer_refuse(status, why, s->scratch, &a);
    s->stats.malformed++;
    s->stats.status[status]++;
    c->body_open = false;
    conn_answer(s, c, &a);
}

static void choose_behaviour(struct shard *s, struct conn *c, const struct request *r)
{
    struct sink *k = s->sink;
    present_request(&k->present);
    const struct behave *whole = present_whole(&k->present);
    if (whole) c->behave = *whole;
    c->unknown = !whole && !present_path(&k->present, r->path, &c->behave);
    c->pass = (struct quota_pass){.verdict = QUOTA_NONE};
    if (c->behave.has_limit) {
        struct quota_ask ask = {.rule = &c->behave.limit,
                                .listener = c->listener,
                                .key = r->key,
                                .now_ns = clock_mono_ns()};
        c->pass = quotas_pass(k->quotas, &ask);
    }
    c->failing = c->behave.has_flaky && prng_below(&s->prng, BEHAVE_FLAKY_WHOLE) < c->behave.flaky;
}

/* Answers that come before the body has been read: /odd/early, and the permission to send it. */
static void answer_head(struct shard *s, struct conn *c, const struct request *r, bool body_is_here)
{
    const struct oddity *o = c->behave.oddity;
    if (o && o->special == ODDITY_EARLY && (!c->behave.has_flaky || c->failing)) {
        struct answer a;
        choose(s, c, &a);
        c->answered = true;
        conn_answer(s, c, &a);
    } else if (r->expect_continue && !body_is_here) {
        conn_emit(s, SPAN_LIT("HTTP/1.1 100 Continue\r\n\r\n"));
    }
}

static void head_done(struct shard *s, struct conn *c, const struct request *r, bool body_is_here)
{
    c->path = r->path;
    c->id = r->id;
    c->id_decode = r->id_source == REQUEST_ID_QUERY;
    c->sender_attempt = r->sender_attempt;
    c->is_head = r->is_head;
    c->http10 = r->http10;
    c->keep_alive = !r->close && (!r->http10 || r->keep_alive);
    c->chunked = r->chunked;
    c->body_left = r->content_length;
    c->body_bytes = 0;
    c->hash_open = false;
    c->answered = false;
    choose_behaviour(s, c, r);
    if (!c->chunked && c->body_left == 0) {
        request_done(s, c);
        return;
    }
    c->body_open = true;
    c->chunks = (struct chunks){0};
    conn_goto(c, c->chunked ? CONN_CHUNKS : CONN_BODY);
    answer_head(s, c, r, body_is_here);
}

static void body_take(struct shard *s, struct conn *c, struct span data, bool is_whole)
{
    c->body_bytes += data.len;
    if (!s->sink->log) return;
    if (is_whole && !c->hash_open) {
        c->body_hash = XXH3_64bits(data.ptr, data.len);
        return;
    }
    if (!c->hash_open) {
        CHECK(XXH3_64bits_reset(&c->hash) == XXH_OK);
        c->hash_open = true;
    }
    CHECK(XXH3_64bits_update(&c->hash, data.ptr, data.len) == XXH_OK);
}

/* The three feeders take bytes from the input and say how many; 0: more are needed. */

static size_t feed_head(struct shard *s, struct conn *c, const char *buf, size_t len)
{
    struct request r;
    switch (request_parse(buf, len, &r)) {
    case REQUEST_DONE: {
        if (r.head_bytes > REQUEST_HEAD_BYTES) break;
        head_done(s, c, &r, r.chunked || r.content_length <= len - r.head_bytes);
        return r.head_bytes;
    }
    case REQUEST_MORE:
        if (len > REQUEST_HEAD_BYTES) break;
        return 0;
    case REQUEST_BAD: refuse(s, c, 400, r.why); return len;
    }
    refuse(s, c, 431, "the request's head is over 64 KiB");
    return len;
}

static size_t feed_body(struct shard *s, struct conn *c, const char *buf, size_t len)
{
    size_t n = c->body_left < len ? (size_t)c->body_left : len;
    body_take(s, c, span_of(buf, n), n == c->body_left);
    c->body_left -= n;
    if (c->body_left == 0) request_done(s, c);
    return n;
}

static size_t feed_chunks(struct shard *s, struct conn *c, const char *buf, size_t len)
{
    size_t used = 0;
    struct span data;
    switch (chunks_feed(&c->chunks, buf, len, &used, &data)) {
    case CHUNKS_DATA: body_take(s, c, data, false); return used;
    case CHUNKS_MORE: return used;
    case CHUNKS_DONE: request_done(s, c); return used;
    case CHUNKS_BAD: refuse(s, c, 400, "the body's chunks are malformed"); return len;
    }
    UNREACHABLE();
}

/* Uses as much input as the connection can. Returns how much; the connection may be gone. */
static size_t conn_feed(struct shard *s, struct conn *c, const char *buf, size_t len)
{
    size_t at = 0;
    while (at < len && is_reading(c)) {
        size_t n = 0;
        if (c->state == CONN_HEAD) n = feed_head(s, c, buf + at, len - at);
        else if (c->state == CONN_BODY) n = feed_body(s, c, buf + at, len - at);
        else n = feed_chunks(s, c, buf + at, len - at);
        if (n == 0) break;
        at += n;
        if (s->out_bytes > SHARD_OUT_HIGH) {
            conn_goto(c, CONN_SEND);
            c->after = AFTER_NEXT;
            conn_send(s, c);
        }
    }
    return at;
}

/* A request whose body is still to come must not lose its names with the input buffer. */
static bool keep_names(struct shard *s, struct conn *c)
{
    size_t path_len = c->path.len, id_len = c->id.len;
    if (!s->sink->log || !c->body_open || c->names.ptr || path_len + id_len == 0) return true;
    if (!parcel_take(s, &c->names, path_len + id_len)) return false;
    memcpy(c->names.ptr, c->path.ptr, path_len);
    c->path.ptr = c->names.ptr;
    if (id_len) memcpy(c->names.ptr + path_len, c->id.ptr, id_len);
    c->id.ptr = c->names.ptr + path_len;
    return true;
}

/* Keeps the input that the next call has to begin with. */
static bool conn_hold(struct shard *s, struct conn *c, size_t have)
{
    if (have == 0) return true;
    if (!parcel_take(s, &c->held, have)) return false;
    memcpy(c->held.ptr, s->in, have);
    return true;
}

static void conn_drop(struct shard *s, struct conn *c)
{
    s->stats.dropped++;
    conn_close(s, c);
}

/* The peer will send no more: send what is still to be sent, then close. */
static void conn_eof(struct shard *s, struct conn *c, size_t have)
{
    if (have && !c->body_open) s->stats.incomplete++;
    if (c->body_open) s->stats.incomplete++;
    c->body_open = false;
    c->after = AFTER_CLOSE;
    conn_goto(c, CONN_SEND);
    conn_send(s, c);
}

static ssize_t socket_recv(struct conn *c, char *to, size_t room)
{
    return c->secure != NULL ? secure_recv(c->secure, to, room) : recv(c->fd, to, room, 0);
}

enum receive { RECEIVE_DATA, RECEIVE_NONE, RECEIVE_END };

static enum receive conn_receive(struct shard *s, struct conn *c, size_t *have)
{
    size_t room = SHARD_IN_BYTES - *have;
    CHECK(room > 0);
    ssize_t n = socket_recv(c, s->in + *have, room);
    if (n < 0 && errno == EINTR) return RECEIVE_DATA;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        c->readable = false;
        return RECEIVE_NONE;
    }
    if (n <= 0) return RECEIVE_END;
    /* A short receive has emptied the socket, and more input is a new edge; but an end of the
     * stream that was announced already is not announced again. */
    if ((size_t)n < room && !c->hung_up && c->secure == NULL) c->readable = false;
    *have += (size_t)n;
    return RECEIVE_DATA;
}

static size_t feed_and_shift(struct shard *s, struct conn *c, size_t have)
{
    size_t used = conn_feed(s, c, s->in, have);
    CHECK(used <= have);
    if (c->state == CONN_CLOSED) return 0;
    if (!keep_names(s, c)) {
        conn_drop(s, c);
        return 0;
    }
    if (used < have && used > 0) memmove(s->in, s->in + used, have - used);
    return have - used;
}

/* Sends what there is. True: all of it went out and the connection still reads. */
static bool conn_flush(struct shard *s, struct conn *c)
{
    enum push res = conn_push(s, c);
    if (res == PUSH_DEAD) {
        conn_close(s, c);
    } else if (res == PUSH_BLOCKED && is_reading(c)) {
        if (!c->body_open) c->after = AFTER_NEXT;
        conn_goto(c, CONN_SEND);
    }
    return is_reading(c);
}

/* The end of a turn: output goes out, input that cannot be used yet is kept. */
static void conn_settle(struct shard *s, struct conn *c, size_t have)
{
    if (!conn_hold(s, c, have)) conn_drop(s, c);
    else if (s->out_bytes) conn_flush(s, c);
}

/* Reads and answers until there is no more input or the connection has to wait. */
static void conn_run(struct shard *s, struct conn *c)
{
    CHECK(is_reading(c));
    size_t have = c->held.bytes;
    if (have) {
        memcpy(s->in, c->held.ptr, have);
        parcel_give(s, &c->held);
        have = feed_and_shift(s, c, have);
    }
    for (unsigned turn = 0; is_reading(c) && c->readable; turn++) {
        if (turn == TURNS_MAX) {
            make_ready(s, c);
            break;
        }
        enum receive res = conn_receive(s, c, &have);
        if (res == RECEIVE_END) {
            conn_eof(s, c, have);
            return;
        }
        if (res == RECEIVE_DATA) have = feed_and_shift(s, c, have);
    }
    if (c->state != CONN_CLOSED) conn_settle(s, c, have);
}

static void conn_drain(struct shard *s, struct conn *c)
{
    CHECK(c->state == CONN_DRAIN);
    for (unsigned turn = 0; turn < TURNS_MAX; turn++) {
        ssize_t n = socket_recv(c, s->in, SHARD_IN_BYTES);
        if (n > 0 || (n < 0 && errno == EINTR)) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        conn_close(s, c);
        return;
    }
    make_ready(s, c);
}

static void conn_writable(struct shard *s, struct conn *c)
{
    CHECK(c->state == CONN_SEND);
    conn_send(s, c);
    if (is_reading(c)) conn_run(s, c);
}

void conn_event(struct shard *s, struct conn *c, uint32_t events)
{
    CHECK(s->out_bytes == 0);
    bool gone = events & (EPOLLHUP | EPOLLERR);
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) c->readable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) c->hung_up = true;
    switch ((enum conn_state)c->state) {
    case CONN_HEAD:
    case CONN_BODY:
    case CONN_CHUNKS:
        if (c->readable) conn_run(s, c);
        return;
    case CONN_SEND: conn_writable(s, c); return;
    case CONN_WAIT:
        if (gone || (c->unsent.ptr && conn_push(s, c) == PUSH_DEAD)) conn_close(s, c);
        return;
    case CONN_DRIP:
        if (gone) conn_close(s, c);
        return;
    case CONN_HANG:
        if (c->hung_up) conn_close(s, c);
        return;
    case CONN_DRAIN: conn_drain(s, c); return;
    case CONN_FREE:
    case CONN_CLOSED:
    case CONN_STATE_COUNT: break;
    }
    UNREACHABLE();
}

void conn_ready(struct shard *s, struct conn *c)
{
    CHECK(s->out_bytes == 0);
    c->in_ready = false;
    if (is_reading(c)) conn_run(s, c);
    else if (c->state == CONN_DRAIN) conn_drain(s, c);
}

static void drip_timer(struct shard *s, struct conn *c)
{
    enum push res = conn_drip(s, c);
    if (res == PUSH_DEAD) {
        conn_close(s, c);
    } else if (res == PUSH_BLOCKED) {
        timers_arm(&s->timers, &c->timer, clock_mono_ns() + DRIP_NS);
    } else {
        conn_goto(c, CONN_SEND);
        conn_writable(s, c);
    }
}

void conn_timer(struct shard *s, struct conn *c)
{
    CHECK(s->out_bytes == 0);
    if (c->state == CONN_DRAIN) {
        conn_close(s, c);
    } else if (c->state == CONN_DRIP) {
        drip_timer(s, c);
    } else {
        CHECK(c->state == CONN_WAIT);
        struct answer a;
        choose(s, c, &a);
        conn_answer(s, c, &a);
        /* Not a further request before this answer is out, or output would pile up. */
        if (is_reading(c) && conn_flush(s, c)) conn_run(s, c);
    }
}
