#include "tests/sim/net_sim.h"

#include "tests/sim/dns_sim.h"
#include "tests/sim/server_sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum sock_state {
    SOCK_FREE,
    SOCK_CONNECTING,
    SOCK_OPEN,
    SOCK_FAILED, /* the connect failed: only a close is legal */
    SOCK_CLOSING,
};

struct sock {
    enum sock_state state;
    struct wire *conn;             /* SOCK_OPEN, SOCK_CLOSING; NULL: never was one */
    struct pend *op[IO_CLOSE + 1]; /* in flight, one of each kind at most */
};

struct net_io {
    struct io *io;
    struct sock *sock; /* owned */
    uint32_t count;
};

struct net_sim {
    struct world *world;
    struct net_host host[NET_HOSTS_MAX];
    uint32_t hosts_count;
    struct net_io ios[WORLD_IOS_MAX];
    uint32_t ios_count;
    struct wire **conns; /* owned, each */
    uint32_t conns_count, conns_room;
};

enum {
    NET_TAIL_BITS = 23,   /* 8 s */
    CLOSE_TAIL_BITS = 18, /* 0.26 s */
    SYN_GIVE_UP_S = 127,  /* Linux, tcp_syn_retries 6 */
};

/* ---- life ---------------------------------------------------------------------------------- */

struct net_sim *net_new(struct world *w)
{
    struct net_sim *n = calloc(1, sizeof *n);
    CHECK(n != NULL);
    n->world = w;
    return n;
}

void net_free(struct net_sim *n)
{
    CHECK(n->ios_count == 0);
    for (uint32_t i = 0; i < n->conns_count; i++) {
        struct wire *c = n->conns[i];
        RULE(c->slot == -1, "connection %u was never closed", c->number);
        free(c->out);
        free(c->in);
        free(c->reply);
        free(c);
    }
    free(n->conns);
    free(n);
}

struct net_host *net_host_add(struct net_sim *n)
{
    CHECK(n->hosts_count < NET_HOSTS_MAX);
    return &n->host[n->hosts_count++];
}

uint32_t net_hosts_count(const struct net_sim *n) { return n->hosts_count; }

struct net_host *net_host(struct net_sim *n, uint32_t index)
{
    CHECK(index < n->hosts_count);
    return &n->host[index];
}

uint32_t net_host_index(const struct net_sim *n, const struct net_host *h)
{
    CHECK(h >= n->host && h < n->host + n->hosts_count);
    return (uint32_t)(h - n->host);
}

void net_attach(struct net_sim *n, struct io *io, uint32_t sockets)
{
    CHECK(n->ios_count < WORLD_IOS_MAX);
    struct net_io *a = &n->ios[n->ios_count++];
    *a = (struct net_io){io, calloc(sockets, sizeof(struct sock)), sockets};
    CHECK(a->sock != NULL);
}

static struct net_io *net_io_of(struct net_sim *n, const struct io *io)
{
    for (uint32_t i = 0; i < n->ios_count; i++)
        if (n->ios[i].io == io) return &n->ios[i];
    UNREACHABLE();
}

void net_detach(struct net_sim *n, struct io *io)
{
    struct net_io *a = net_io_of(n, io);
    for (uint32_t i = 0; i < a->count; i++)
        RULE(a->sock[i].state == SOCK_FREE, "socket %u was left open", i);
    free(a->sock);
    *a = n->ios[--n->ios_count];
}

void net_count(const struct net_sim *n, uint32_t *sockets, uint32_t *sending)
{
    for (uint32_t i = 0; i < n->ios_count; i++)
        for (uint32_t k = 0; k < n->ios[i].count; k++) {
            const struct sock *s = &n->ios[i].sock[k];
            *sockets += s->state != SOCK_FREE;
            *sending += s->op[IO_SEND] != NULL;
        }
}

static struct sock *sock_of(struct net_sim *n, const struct pend *p)
{
    struct net_io *a = net_io_of(n, p->io);
    int32_t fd = p->op->fd;
    RULE(fd >= 0 && (uint32_t)fd < a->count, "socket %d of %u", fd, a->count);
    return &a->sock[fd];
}

/* ---- connect ------------------------------------------------------------------------------- */

static bool addr_same(const struct addr *a, const struct addr *b)
{
    if (a->sa.sa_family != b->sa.sa_family) return false;
    if (a->sa.sa_family == AF_INET)
        return a->v4.sin_port == b->v4.sin_port && a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    return a->v6.sin6_port == b->v6.sin6_port &&
           memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof a->v6.sin6_addr) == 0;
}

static struct net_host *host_at(struct net_sim *n, const struct addr *to, uint32_t *which)
{
    for (uint32_t i = 0; i < n->hosts_count; i++)
        for (*which = 0; *which < n->host[i].addrs_count; ++*which)
            if (addr_same(&n->host[i].addr[*which], to)) return &n->host[i];
    char text[ADDR_TEXT_BYTES];
    addr_text(to, text);
    sim_fail("a connect to %s, where no record wants to go", text);
}

static struct net_host *host_of(struct net_sim *n, const struct addr *to)
{
    uint32_t which;
    return host_at(n, to, &which);
}

static struct wire *wire_new(struct net_sim *n, struct pend *p, struct net_host *host)
{
    if (n->conns_count == n->conns_room) {
        n->conns_room = n->conns_room ? 2 * n->conns_room : 64;
        n->conns = realloc(n->conns, n->conns_room * sizeof(struct wire *));
        CHECK(n->conns != NULL);
    }
    struct wire *c = calloc(1, sizeof *c);
    CHECK(c != NULL);
    n->conns[n->conns_count++] = c;
    *c = (struct wire){.net = n,
                       .host = host,
                       .io = p->io,
                       .slot = p->op->fd,
                       .number = n->conns_count,
                       .connect_ns = p->begun_ns,
                       .counted = true};
    host->established++;
    host->open++;
    if (host->open > host->open_most) host->open_most = host->open;
    if (host->open == host->limit) PROBE("a host's connections reached their limit");
    RULE(host->open <= host->limit, "%u connections to one host, %u are allowed", host->open,
         host->limit);
    return c;
}

/* The receiver no longer counts it. */
static void wire_uncount(struct wire *c)
{
    if (!c->counted) return;
    c->counted = false;
    CHECK(c->host->open > 0);
    c->host->open--;
}

void net_crash(struct net_sim *n, struct io *io)
{
    struct net_io *a = net_io_of(n, io);
    for (uint32_t i = 0; i < a->count; i++) {
        struct wire *c = a->sock[i].conn;
        if (c == NULL) continue;
        c->slot = -1;
        c->dead = true;
        wire_uncount(c);
        server_lost(n->world, c);
    }
    free(a->sock);
    *a = n->ios[--n->ios_count];
}

static void connect_effect(struct world *w, void *obj, uint64_t serial)
{
    struct pend *p = obj;
    if (!pend_is(p, serial) || p->ready) return;
    struct net_sim *n = w->net;
    struct sock *s = sock_of(n, p);
    CHECK(s->state == SOCK_CONNECTING);
    int32_t res = p->res;
    if (res == 0) {
        s->conn = p->conn = wire_new(n, p, host_of(n, p->op->addr));
        server_opened(w, p->conn);
        if (p->op->cancelled) PROBE("a connect succeeded after it was cancelled");
    }
    io_sim_ready(p, res);
}

/* What the network will say to this connect. */
static int32_t connect_draw(struct world *w, const struct net_host *host, uint32_t which)
{
    const struct knobs *k = &w->knobs;
    static const int nowhere[] = {ENETUNREACH, EHOSTUNREACH, ECONNRESET};
    static const int nothing_left[] = {EMFILE, ENFILE, EADDRNOTAVAIL, ENOBUFS};
    if (world_draw(w, k->connect_nores)) return -nothing_left[world_below(w, 4)];
    if (host->dead >> which & 1) return which % 2 == 0 ? -ECONNREFUSED : -ETIMEDOUT;
    if (host->blackhole || world_draw(w, k->connect_lost)) return -ETIMEDOUT;
    if (host->refuses || world_draw(w, k->connect_refused)) return -ECONNREFUSED;
    if (world_draw(w, k->connect_noroute)) return -nowhere[world_below(w, 3)];
    return 0;
}

static void connect_submit(struct net_sim *n, struct pend *p, struct sock *s)
{
    struct world *w = n->world;
    RULE(s->state == SOCK_FREE, "connect on socket %d, which is in use", p->op->fd);
    RULE(p->op->addr != NULL, "connect to nowhere");
    uint32_t which;
    struct net_host *host = host_at(n, p->op->addr, &which);
    RULE(!host->forbidden, "connect to an address that the policy refuses");
    dns_sim_connects(w->dns, p->io, net_host_index(n, host), which);
    host->connects++;
    s->state = SOCK_CONNECTING;
    p->res = connect_draw(w, host, which);
    uint64_t wait_ns = world_latency_ns(w, w->knobs.slow, NET_TAIL_BITS);
    /* Unanswered: most often for as long as the kernel tries, sometimes an ICMP comes early. */
    if (p->res == -ETIMEDOUT && !world_draw(w, 20)) wait_ns = SYN_GIVE_UP_S * UINT64_C(1000000000);
    world_at(w, w->now_ns + wait_ns, connect_effect, p, p->serial);
}

static void connect_finish(struct net_sim *n, struct pend *p, struct sock *s, int32_t res)
{
    struct net_host *host = host_of(n, p->op->addr);
    struct truth *t = n->world->truth;
    if (t->connect_within_ns > 0)
        RULE(n->world->now_ns - p->begun_ns <= t->connect_within_ns + n->world->stalled_ns,
             "a connect was in flight for %.3f s", (double)(n->world->now_ns - p->begun_ns) / 1e9);
    s->state = res == 0 ? SOCK_OPEN : SOCK_FAILED;
    if (res != 0)
        truth_log_add(t, net_host_index(n, host),
                      (struct truth_try){NULL, p->begun_ns, n->world->now_ns});
    if (res == -ECONNREFUSED) host->refused++;
    if (res == -ENETUNREACH || res == -EHOSTUNREACH) host->unreachable++;
    if (res == -ECONNRESET) host->reset++;
    if (res == -ETIMEDOUT) host->timed_out++;
    if (res == -EMFILE || res == -ENFILE || res == -EADDRNOTAVAIL || res == -ENOBUFS)
        host->no_resources++;
    if (res == -ECANCELED) host->cancelled++;
}

/* ---- send ---------------------------------------------------------------------------------- */

static void recv_wake(struct wire *c);
static world_fire_fn send_step;

static void wire_die(struct world *w, struct wire *c, int why)
{
    if (c->dead) return;
    world_trace(w, "connection dies", c->number, (uint64_t)why, 0);
    c->dead = true;
    c->dead_errno = why;
    c->dead_drops = world_draw(w, 50);
    wire_uncount(c);
    server_lost(w, c);
    if (c->slot < 0) return;
    struct pend *send = net_io_of(c->net, c->io)->sock[c->slot].op[IO_SEND];
    if (send != NULL) world_at(w, w->now_ns, send_step, send, send->serial);
    recv_wake(c);
}

/* As the kernel's io_send(): what was done counts more than why it ended, so that an error means
 * that not a byte has left. */
static void send_over(struct pend *p, int32_t why)
{
    io_sim_ready(p, p->moved > 0 ? (int32_t)p->moved : why);
}

static void send_step(struct world *w, void *obj, uint64_t serial)
{
    struct pend *p = obj;
    if (!pend_is(p, serial) || p->ready) return;
    struct wire *c = p->conn;
    pend_check_bytes(p);
    if (c->dead) {
        send_over(p, world_draw(w, 50) ? -EPIPE : -c->dead_errno);
        return;
    }
    if (c->fin_sent) { /* the kernel takes the bytes, the receiver answers them with RST */
        PROBE("a request was sent into a connection that the receiver had closed");
        bool takes = world_draw(w, 70);
        net_reset(c, w->now_ns + world_latency_ns(w, w->knobs.slow, NET_TAIL_BITS));
        if (takes) io_sim_ready(p, (int32_t)p->op->len);
        else send_over(p, -EPIPE);
        return;
    }
    uint32_t left = p->goal - p->moved, n = left;
    if (n > 1 && world_draw(w, w->knobs.send_pieces)) n = 1 + world_below(w, n);
    if (n > 0) {
        const char *from = (const char *)p->op->buf + p->moved;
        p->moved += n;
        server_bytes(w, c, from, n);
    }
    if (p->moved < p->goal) {
        uint64_t wait_ns = world_latency_ns(w, w->knobs.slow, NET_TAIL_BITS);
        world_at(w, w->now_ns + wait_ns, send_step, p, serial);
        return;
    }
    if (p->res == -EINPROGRESS) return; /* the window stays closed */
    if (p->res < 0 && p->res != -ENOBUFS) {
        wire_die(w, c, -p->res);
    } else if (p->res >= 0 && p->moved < p->op->len && world_draw(w, 60)) {
        net_reset(c, w->now_ns + world_latency_ns(w, w->knobs.slow, NET_TAIL_BITS));
    }
    send_over(p, p->res);
}

static void send_submit(struct net_sim *n, struct pend *p, struct sock *s)
{
    struct world *w = n->world;
    const struct knobs *k = &w->knobs;
    uint32_t len = p->op->len;
    RULE(s->state == SOCK_OPEN, "send on socket %d, which is not connected", p->op->fd);
    p->conn = s->conn;
    p->goal = len;
    p->res = 0;
    if (len > 1 && world_draw(w, k->send_short)) {
        p->goal = 1 + world_below(w, len - 1);
        PROBE("a send completed short");
    } else if (world_draw(w, k->send_fail)) {
        static const int why[] = {EPIPE, ECONNRESET, ENOBUFS, ETIMEDOUT};
        p->res = -why[world_below(w, 4)];
        p->goal = p->res == -ENOBUFS || world_draw(w, 40) ? 0 : world_below(w, len);
    } else if (world_draw(w, k->send_stall)) {
        p->res = -EINPROGRESS;
        p->goal = world_below(w, len);
    }
    server_request(w, p->conn, p->op->buf, len);
    world_at(w, w->now_ns + world_latency_ns(w, k->slow, NET_TAIL_BITS), send_step, p, p->serial);
}

static void send_cancel(struct world *w, struct pend *p)
{
    bool loses = world_draw(w, w->knobs.cancel_loses);
    if (p->conn->exchange != NULL && loses) PROBE("a cancelled send had its result already");
    if (loses && p->res == 0 && !p->conn->dead && !p->conn->fin_sent) { /* all of it went out */
        uint32_t n = p->goal - p->moved;
        const char *from = (const char *)p->op->buf + p->moved;
        p->moved = p->goal;
        pend_check_bytes(p);
        if (n > 0) server_bytes(w, p->conn, from, n);
        io_sim_ready(p, (int32_t)p->goal);
    } else {
        send_over(p, -ECANCELED);
    }
}

/* ---- receive ------------------------------------------------------------------------------- */

static bool recv_has_news(const struct pend *p)
{
    const struct wire *c = p->conn;
    return c->out_ready > c->out_read || c->dead || c->fin_sent || p->cancel_due;
}

static void recv_wake(struct wire *c)
{
    if (c->slot < 0) return;
    struct pend *p = net_io_of(c->net, c->io)->sock[c->slot].op[IO_RECV];
    if (p != NULL && recv_has_news(p)) io_sim_ready_recv(p);
}

static void recv_submit(struct net_sim *n, struct pend *p, struct sock *s)
{
    RULE(s->state == SOCK_OPEN, "receive on socket %d, which is not connected", p->op->fd);
    MAYBE(n->conns_count > 1);
    p->conn = s->conn;
    if (recv_has_news(p)) io_sim_ready_recv(p);
}

enum net_recv net_recv_next(struct net_sim *n, struct pend *p, char *piece, int32_t *res)
{
    struct world *w = n->world;
    struct wire *c = p->conn;
    size_t left = c->out_ready - c->out_read;
    bool dropped = c->dead && c->dead_drops;
    if (p->cancel_due && (left == 0 || dropped || !world_draw(w, w->knobs.cancel_loses))) {
        *res = -ECANCELED;
        return NET_RECV_LAST;
    }
    if (left > 0 && !dropped) {
        if (p->op->cancelled) PROBE("bytes arrived after the receive was cancelled");
        uint32_t most = io_sim_recv_bytes(p->io);
        uint32_t take = left < most ? (uint32_t)left : most;
        if (world_draw(w, w->knobs.recv_small)) take = 1 + world_below(w, take < 40 ? take : 40);
        memcpy(piece, c->out + c->out_read, take);
        c->out_read += take;
        if (!p->op->cancelled) server_read(w, c); /* else the engine has given it up */
        *res = (int32_t)take;
        return NET_RECV_PIECE;
    }
    if (c->dead) {
        *res = -c->dead_errno;
        return NET_RECV_LAST;
    }
    if (c->fin_sent) {
        *res = 0;
        return NET_RECV_LAST;
    }
    return NET_RECV_NOTHING;
}

/* ---- close --------------------------------------------------------------------------------- */

static void close_effect(struct world *w, void *obj, uint64_t serial)
{
    struct pend *p = obj;
    if (!pend_is(p, serial) || p->ready) return;
    struct sock *s = sock_of(w->net, p);
    struct wire *c = s->conn;
    CHECK(s->state == SOCK_CLOSING);
    if (c != NULL) {
        const struct truth *t = w->truth;
        const struct truth_send *e = c->exchange;
        if (e != NULL && t->close_within_ns > 0)
            RULE(w->now_ns - e->begun_ns <= t->close_within_ns + w->stalled_ns,
                 "connection %u stayed open %.3f s after its last request", c->number,
                 (double)(w->now_ns - e->begun_ns) / 1e9);
        c->slot = -1;
        wire_uncount(c);
        server_lost(w, c);
        s->conn = NULL;
    }
    io_sim_ready(p, world_draw(w, 5) ? -EIO : 0);
}

static void close_submit(struct net_sim *n, struct pend *p, struct sock *s)
{
    struct world *w = n->world;
    RULE(s->state == SOCK_OPEN || s->state == SOCK_FAILED, "close of socket %d, in state %d",
         p->op->fd, s->state);
    for (uint32_t k = 0; k < IO_CLOSE; k++)
        RULE(s->op[k] == NULL, "close of socket %d with an operation in flight", p->op->fd);
    s->state = SOCK_CLOSING;
    p->conn = s->conn;
    if (p->conn != NULL) p->conn->close_ns = w->now_ns;
    uint64_t wait_ns = world_latency_ns(w, w->knobs.close_late, CLOSE_TAIL_BITS);
    world_at(w, w->now_ns + wait_ns, close_effect, p, p->serial);
}

/* ---- for io_sim.c -------------------------------------------------------------------------- */

void net_submit(struct net_sim *n, struct pend *p)
{
    struct sock *s = sock_of(n, p);
    RULE(s->op[p->kind] == NULL, "two operations of kind %u on socket %d", p->kind, p->op->fd);
    switch ((enum io_kind)p->kind) {
    case IO_CONNECT: connect_submit(n, p, s); break;
    case IO_SEND: send_submit(n, p, s); break;
    case IO_RECV: recv_submit(n, p, s); break;
    case IO_CLOSE: close_submit(n, p, s); break;
    case IO_READ:
    case IO_WRITE:
    case IO_SYNC:
    case IO_POLL:
    case IO_KIND_COUNT: UNREACHABLE();
    }
    s->op[p->kind] = p;
}

void net_cancel(struct net_sim *n, struct pend *p)
{
    struct world *w = n->world;
    switch ((enum io_kind)p->kind) {
    case IO_CONNECT:
        if (p->res == 0 && world_draw(w, w->knobs.cancel_loses)) connect_effect(w, p, p->serial);
        else io_sim_ready(p, -ECANCELED);
        break;
    case IO_SEND: send_cancel(w, p); break;
    case IO_RECV:
        p->cancel_due = true;
        io_sim_ready_recv(p);
        break;
    case IO_CLOSE:
    case IO_READ:
    case IO_WRITE:
    case IO_SYNC:
    case IO_POLL:
    case IO_KIND_COUNT: UNREACHABLE();
    }
}

void net_finish(struct net_sim *n, struct pend *p, int32_t res)
{
    struct sock *s = sock_of(n, p);
    CHECK(s->op[p->kind] == p);
    s->op[p->kind] = NULL;
    if (p->kind == IO_CONNECT) connect_finish(n, p, s, res);
    if (p->kind == IO_CLOSE) s->state = SOCK_FREE;
    if (p->kind == IO_SEND) server_send_done(n->world, p->conn, res);
    if (p->kind == IO_RECV) p->conn->end_told = true;
    if (p->kind == IO_RECV && !p->op->cancelled) server_recv_done(n->world, p->conn, res);
}

/* ---- for server_sim.c ---------------------------------------------------------------------- */

void net_answer(struct wire *c, const void *bytes, size_t n)
{
    if (c->out_len + n > c->out_room) {
        c->out_room = 2 * c->out_room + n + 512;
        c->out = realloc(c->out, c->out_room);
        CHECK(c->out != NULL);
    }
    memcpy(c->out + c->out_len, bytes, n);
    c->out_len += n;
}

static void readable(struct world *w, void *obj, uint64_t out_len)
{
    struct wire *c = obj;
    if (c->dead || c->fin_sent || c->slot < 0 || out_len <= c->out_ready) return;
    CHECK(out_len <= c->out_len);
    world_trace(w, "answer arrives", c->number, c->out_ready, out_len);
    c->out_ready = out_len;
    server_arrived(w, c);
    recv_wake(c);
}

void net_readable(struct wire *c, uint64_t at_ns, size_t out_len)
{
    world_at(c->net->world, at_ns, readable, c, out_len);
}

static void fin(struct world *w, void *obj, uint64_t arg)
{
    struct wire *c = obj;
    MAYBE(arg > 0);
    if (c->dead || c->fin_sent || c->slot < 0) return;
    world_trace(w, "receiver closes", c->number, c->out_len, 0);
    if (c->out_ready < c->out_len) {
        c->out_ready = c->out_len;
        server_arrived(w, c);
    }
    c->fin_sent = true;
    wire_uncount(c);
    recv_wake(c);
}

void net_fin(struct wire *c, uint64_t at_ns) { world_at(c->net->world, at_ns, fin, c, 0); }

static void reset(struct world *w, void *obj, uint64_t arg)
{
    struct wire *c = obj;
    MAYBE(arg > 0);
    if (c->slot < 0) return;
    wire_die(w, c, ECONNRESET);
}

void net_reset(struct wire *c, uint64_t at_ns) { world_at(c->net->world, at_ns, reset, c, 0); }
