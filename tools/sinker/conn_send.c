/* tools/sinker/conn_send.c - the output half of a connection.
 *
 * Answers gather in the shard's buffer; conn_push() sends them with one call. What the socket
 * does not take moves into the connection's own parcel, so that the buffer is free for the next
 * connection: it is empty whenever no connection is being handled.
 */
#include "core/base/slab.h"
#include "tools/sinker/shard.h"

#include <errno.h>
#include <sys/socket.h>

enum { FILL_BYTES = 64 * 1024 };

static char fill[FILL_BYTES];

__attribute__((constructor)) static void fill_init(void) { memset(fill, 'x', sizeof fill); }

bool parcel_take(struct shard *s, struct parcel *p, size_t bytes)
{
    CHECK(p->ptr == NULL);
    CHECK(bytes > 0);
    char *ptr = slab_take(s->slab, bytes);
    if (!ptr) return false;
    *p = (struct parcel){.ptr = ptr, .bytes = bytes};
    return true;
}

void parcel_give(struct shard *s, struct parcel *p)
{
    if (!p->ptr) return;
    slab_give(s->slab, p->ptr, p->bytes);
    *p = (struct parcel){0};
}

void conn_emit(struct shard *s, struct span bytes)
{
    CHECK(bytes.len <= SHARD_OUT_BYTES - s->out_bytes);
    if (bytes.len == 0) return;
    memcpy(s->out + s->out_bytes, bytes.ptr, bytes.len);
    s->out_bytes += bytes.len;
}

bool conn_stash(struct shard *s, struct conn *c)
{
    struct parcel old = c->unsent;
    size_t old_bytes = old.bytes - old.used, new_bytes = s->out_bytes;
    s->out_bytes = 0;
    if (new_bytes == 0) return true;
    c->unsent = (struct parcel){0};
    bool ok = parcel_take(s, &c->unsent, old_bytes + new_bytes);
    if (ok) {
        if (old_bytes) memcpy(c->unsent.ptr, old.ptr + old.used, old_bytes);
        memcpy(c->unsent.ptr + old_bytes, s->out, new_bytes);
    } else {
        s->stats.dropped++;
    }
    parcel_give(s, &old);
    return ok;
}

/* Sends from p and counts into *done. */
static enum push send_some(struct conn *c, const char *p, size_t len, size_t *done)
{
    while (*done < len) {
        ssize_t n = c->secure != NULL ? secure_send(c->secure, p + *done, len - *done)
                                      : send(c->fd, p + *done, len - *done, MSG_NOSIGNAL);
        if (n >= 0) *done += (size_t)n;
        else if (errno == EAGAIN || errno == EWOULDBLOCK) return PUSH_BLOCKED;
        else if (errno != EINTR) return PUSH_DEAD;
    }
    return PUSH_DONE;
}

static enum push push_unsent(struct shard *s, struct conn *c)
{
    struct parcel *u = &c->unsent;
    if (!u->ptr) return PUSH_DONE;
    enum push res = send_some(c, u->ptr, u->bytes, &u->used);
    if (res == PUSH_DONE) parcel_give(s, u);
    return res;
}

static enum push push_out(struct shard *s, struct conn *c)
{
    size_t done = 0;
    enum push res = send_some(c, s->out, s->out_bytes, &done);
    if (res == PUSH_BLOCKED && done > 0) {
        memmove(s->out, s->out + done, s->out_bytes - done);
        s->out_bytes -= done;
    }
    return res;
}

static enum push push_fill(struct conn *c)
{
    /* Bounded by what the socket buffer takes: the peer cannot keep this loop going for long. */
    while (c->fill_left > 0) {
        size_t n = c->fill_left < FILL_BYTES ? (size_t)c->fill_left : FILL_BYTES;
        size_t done = 0;
        enum push res = send_some(c, fill, n, &done);
        c->fill_left -= done;
        if (res != PUSH_DONE) return res;
    }
    return PUSH_DONE;
}

enum push conn_push(struct shard *s, struct conn *c)
{
    CHECK(c->state != CONN_FREE);
    enum push res = push_unsent(s, c);
    if (res == PUSH_DONE) res = push_out(s, c);
    if (res == PUSH_BLOCKED && !conn_stash(s, c)) res = PUSH_DEAD;
    s->out_bytes = 0;
    if (res == PUSH_DONE) res = push_fill(c);
    return res;
}

enum push conn_drip(struct shard *s, struct conn *c)
{
    struct parcel *u = &c->unsent;
    CHECK(c->state == CONN_DRIP);
    if (!u->ptr) return PUSH_DONE;
    size_t done = 0;
    enum push res = send_some(c, u->ptr + u->used, 1, &done);
    u->used += done;
    if (res != PUSH_DONE) return res;
    if (u->used < u->bytes) return PUSH_BLOCKED;
    parcel_give(s, u);
    return PUSH_DONE;
}
