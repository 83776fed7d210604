#include "tests/sim/dns_sim.h"

#include "tests/sim/truth.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SOCKETS_MAX = 64,
    FIRST_FD = 5000,
    QUEUE_MAX = 32,
    MESSAGE_MAX = 4096,
    UDP_MAX = 1232,
    SLOW_TAIL_BITS = 24, /* 16 s */
    TAIL_BITS = 20,
    NAMES_KEPT = 4, /* of so few every one is, in the least memory */
    SERVER_PORT = 53,
    HEADER_BYTES = 12,
    TYPE_A = 1,
    TYPE_AAAA = 28,
};
#define SECOND_NS UINT64_C(1000000000)

struct message {
    unsigned char *at; /* owned */
    size_t len, read;
    int error; /* errno instead of bytes; 0: none */
    /* What it tells, once it is read. */
    struct dns_name *name;
    uint64_t asked_ns;
    int family; /* 0: IPv4, 1: IPv6 */
    bool sure;  /* the engine cannot but believe it */
    bool answers;
    uint32_t addrs;
    bool privates, none;
    uint32_t ttl_s;
};

struct watched {
    struct dns_sim *sim;
    struct io *io;
    uint64_t serial; /* changes when it is closed */
    bool used, stream, connected;
    struct pend *poll;
    struct message queue[QUEUE_MAX]; /* arrived */
    uint32_t queued;
    unsigned char out[MESSAGE_MAX]; /* stream: the question that is being sent */
    size_t out_len;
};

/* A message on its way. */
struct flight {
    struct flight *next; /* of all that ever were: events may name them until the end */
    struct watched *to;
    uint64_t serial;
    struct message message;
    bool over; /* its message is no longer its own */
};

struct dns_sim {
    struct world *world;
    struct flight *flights; /* owned */
    struct dns_name name[DNS_SIM_NAMES_MAX];
    uint32_t names_count;
    struct watched socket[SOCKETS_MAX];
};

/* ---- life ---------------------------------------------------------------------------------- */

struct dns_sim *dns_sim_new(struct world *w)
{
    struct dns_sim *d = calloc(1, sizeof *d);
    CHECK(d != NULL);
    d->world = w;
    return d;
}

static void queue_clear(struct watched *s)
{
    for (uint32_t i = 0; i < s->queued; i++) free(s->queue[i].at);
    s->queued = 0;
}

void dns_sim_free(struct dns_sim *d)
{
    for (int i = 0; i < SOCKETS_MAX; i++)
        RULE(!d->socket[i].used, "watched socket %d was never closed", i);
    struct flight *f;
    while ((f = d->flights) != NULL) {
        d->flights = f->next;
        if (!f->over) free(f->message.at);
        free(f);
    }
    free(d);
}

struct dns_name *dns_sim_add(struct dns_sim *d, const char *name, uint32_t host)
{
    CHECK(d->names_count < DNS_SIM_NAMES_MAX);
    struct dns_name *n = &d->name[d->names_count++];
    *n = (struct dns_name){.host = host, .moves_ns = UINT64_MAX};
    snprintf(n->name, sizeof n->name, "%s", name);
    return n;
}

struct dns_name *dns_sim_of_host(struct dns_sim *d, uint32_t host)
{
    for (uint32_t i = 0; i < d->names_count; i++)
        if (d->name[i].host == host) return &d->name[i];
    return NULL;
}

void dns_sim_heal(struct dns_sim *d)
{
    for (uint32_t i = 0; i < d->names_count; i++) {
        struct dns_name *n = &d->name[i];
        uint32_t all = (1U << net_host(d->world->net, n->host)->addrs_count) - 1;
        n->set[0] = n->set[1] = (struct dns_set){.addrs = all, .ttl_s = n->set[0].ttl_s};
        n->silent = false;
        n->delay_ns = 0;
    }
}

struct addr dns_sim_server(void)
{
    struct addr a = {.v4 = {.sin_family = AF_INET, .sin_port = htons(SERVER_PORT)}};
    a.v4.sin_addr.s_addr = htonl(0x0a350035);
    return a;
}

/* ---- what the engine may believe ----------------------------------------------------------- */

static struct dns_seen *seen_of(struct dns_name *n, const struct io *io)
{
    for (uint32_t i = 0; i < n->seen_count; i++)
        if (n->seen[i].io == io) return &n->seen[i];
    CHECK(n->seen_count < WORLD_IOS_MAX);
    struct dns_seen *s = &n->seen[n->seen_count++];
    *s = (struct dns_seen){.io = io};
    return s;
}

static uint64_t life_ns(uint32_t ttl_s)
{
    return (ttl_s < 1 ? 1 : ttl_s < 3600 ? ttl_s : 3600) * SECOND_NS;
}

/* The engine has read it. */
static void told(struct world *w, const struct io *io, const struct message *m)
{
    struct dns_name *n = m->name;
    if (n == NULL || !m->answers) return;
    struct dns_seen *s = seen_of(n, io);
    for (uint32_t i = 0; i < NET_HOST_ADDRS_MAX; i++)
        if (m->addrs >> i & 1) s->believed_ns[i] = w->now_ns + life_ns(m->ttl_s);
    if (m->asked_ns <= s->answered_ns[m->family]) return; /* asked twice, and answered before */
    s->answered_ns[m->family] = w->now_ns;
    n->found += m->addrs != 0;
    n->none += m->addrs == 0 && !m->privates;
    n->refused += m->privates;
    if (!m->sure) { /* it may have come too late for c-ares */
        s->latest[m->family] |= m->addrs;
        return;
    }
    s->latest[m->family] = m->addrs;
    /* In time for the question, which is then answered: what comes late for the other family does
     * not hold it up. */
    bool in_time = s->begun_ns[0] + w->truth->dns_timeout_ns > w->now_ns;
    if (m->family == 0 && in_time) s->pause_ns = w->now_ns + SECOND_NS;
}

/* The last question of this family has no answer, or got it too late to count. */
static bool unanswered(const struct world *w, const struct dns_seen *s, int family)
{
    return s->begun_ns[family] > s->answered_ns[family] ||
           s->answered_ns[family] - s->begun_ns[family] >= w->truth->dns_timeout_ns;
}

/* Half of an answer does not end the use of old addresses: what one family's answer says counts
 * when the other's question is answered as well. */
static bool half_answered(const struct world *w, const struct dns_seen *s)
{
    return unanswered(w, s, 0) || unanswered(w, s, 1);
}

void dns_sim_connects(struct dns_sim *d, const struct io *io, uint32_t host, uint32_t addr)
{
    struct dns_name *n = dns_sim_of_host(d, host);
    if (n == NULL) return;
    struct world *w = d->world;
    struct dns_seen *s = seen_of(n, io);
    RULE(s->believed_ns[addr] > 0, "a connect to an address of %s that the DNS never told",
         n->name);
    bool latest = ((s->latest[0] | s->latest[1]) >> addr & 1) != 0;
    /* An answer may be under way, and what was begun before it goes on. */
    uint64_t until_ns =
        s->believed_ns[addr] + 2 * SECOND_NS + w->truth->dns_timeout_ns + w->stalled_ns;
    RULE(latest || w->now_ns <= until_ns || half_answered(w, s),
         "a connect to an address that %s no longer has", n->name);
    if (latest && w->now_ns > until_ns) PROBE("an old address was used while the DNS was silent");
}

/* ---- messages ------------------------------------------------------------------------------ */

static bool question_read(const unsigned char *at, size_t len, char name[64], uint32_t *type,
                          size_t *end)
{
    size_t i = HEADER_BYTES, n = 0;
    if (len < HEADER_BYTES) return false;
    while (i < len && at[i] != 0) {
        size_t label = at[i++];
        if (label > 63 || i + label >= len || n + label + 2 > 64) return false;
        memcpy(name + n, at + i, label);
        n += label;
        name[n++] = '.';
        i += label;
    }
    if (n == 0 || i + 5 > len) return false;
    name[n - 1] = 0;
    *type = (uint32_t)at[i + 1] << 8 | at[i + 2];
    *end = i + 5;
    return true;
}

static void put16(unsigned char *at, uint32_t v)
{
    at[0] = (unsigned char)(v >> 8);
    at[1] = (unsigned char)v;
}

static size_t record_put(unsigned char *at, uint32_t type, uint32_t ttl_s, const void *data,
                         uint32_t len)
{
    put16(at, 0xC00C); /* the question's name */
    put16(at + 2, type);
    put16(at + 4, 1);
    put16(at + 6, ttl_s >> 16);
    put16(at + 8, ttl_s & 0xFFFF);
    put16(at + 10, len);
    memcpy(at + 12, data, len);
    return 12 + len;
}

/* Appends the records of one family, and says in *m what they tell. */
static size_t records_put(struct dns_sim *d, const struct dns_name *n, struct message *m,
                          uint32_t type, unsigned char *at, uint32_t *count)
{
    const struct dns_set *set = &n->set[d->world->now_ns >= n->moves_ns];
    const struct net_host *h = net_host(d->world->net, n->host);
    size_t len = 0;
    *count = 0;
    m->ttl_s = set->ttl_s;
    m->none = set->none;
    if (set->none) return 0;
    for (uint32_t i = 0; i < h->addrs_count; i++) {
        const struct addr *a = &h->addr[i];
        bool v4 = a->sa.sa_family == AF_INET;
        if ((set->addrs >> i & 1) == 0 || v4 != (type == TYPE_A)) continue;
        len += v4 ? record_put(at + len, type, set->ttl_s, &a->v4.sin_addr, 4)
                  : record_put(at + len, type, set->ttl_s, &a->v6.sin6_addr, 16);
        m->addrs |= BIT(i);
        ++*count;
    }
    for (uint32_t i = 0; i < set->privates && type == TYPE_A; i++) {
        struct in_addr private = {htonl(0xc0a83200 + i)}; /* 192.168.50.0 */
        len += record_put(at + len, type, set->ttl_s, &private, 4);
        m->privates = true;
        ++*count;
    }
    return len;
}

enum fault { FAULT_NONE, FAULT_SERVFAIL, FAULT_REFUSED, FAULT_GARBAGE, FAULT_OTHER_ID, FAULT_ICMP };

/* The answer to a question, with `prefix` bytes free before it. */
static struct message answer_make(struct dns_sim *d, const unsigned char *question, size_t len,
                                  size_t prefix, enum fault fault)
{
    struct message m = {.at = calloc(1, MESSAGE_MAX)};
    char name[64];
    uint32_t type = 0, count = 0;
    size_t end;
    CHECK(m.at != NULL);
    RULE(question_read(question, len, name, &type, &end), "a DNS message that is no question");
    RULE(type == TYPE_A || type == TYPE_AAAA, "a question for type %u", type);
    for (uint32_t i = 0; i < d->names_count && m.name == NULL; i++)
        if (strcmp(d->name[i].name, name) == 0) m.name = &d->name[i];
    RULE(m.name != NULL, "a question for %s, which no record has", name);
    unsigned char *at = m.at + prefix;
    memcpy(at, question, end);
    m.family = type == TYPE_AAAA;
    m.answers = fault == FAULT_NONE;
    m.len = prefix + end;
    if (m.answers) m.len += records_put(d, m.name, &m, type, at + end, &count);
    if (!m.answers) m.name->failed++;
    if (fault == FAULT_OTHER_ID) at[0] ^= 0x55;
    uint32_t code = fault == FAULT_SERVFAIL ? 2 : fault == FAULT_REFUSED ? 5 : m.none ? 3 : 0;
    put16(at + 2, 0x8180 | code);
    put16(at + 6, count);
    put16(at + 8, 0);
    put16(at + 10, 0);
    if (fault == FAULT_GARBAGE) memset(at + 2, 0x5A, end - 2);
    return m;
}

/* ---- arrival ------------------------------------------------------------------------------- */

static int events_of(const struct watched *s)
{
    int events = 0;
    if (s->queued > 0) events |= POLLIN;
    if (s->connected) events |= POLLOUT;
    return events;
}

static void poll_wake(struct watched *s)
{
    struct pend *p = s->poll;
    if (p == NULL || p->ready) return;
    int events = events_of(s) & (int)p->op->len;
    if (events != 0) io_sim_ready(p, events);
}

static void arrive(struct world *w, void *obj, uint64_t arg)
{
    struct flight *f = obj;
    MAYBE(arg > 0);
    struct watched *s = f->to;
    bool lost = !s->used || s->serial != f->serial || s->queued == QUEUE_MAX;
    world_trace(w, "dns arrives", f->message.len, (uint64_t)f->message.family, lost);
    if (lost) free(f->message.at);
    else s->queue[s->queued++] = f->message;
    if (!lost) poll_wake(s);
    f->over = true;
}

static void fly(struct watched *s, struct message m, uint64_t at_ns)
{
    struct flight *f = malloc(sizeof *f);
    CHECK(f != NULL);
    *f = (struct flight){s->sim->flights, s, s->serial, m, false};
    s->sim->flights = f;
    world_at(s->sim->world, at_ns, arrive, f, 0);
}

static void connected(struct world *w, void *obj, uint64_t serial)
{
    struct watched *s = obj;
    MAYBE(w->now_ns > 0);
    if (!s->used || s->serial != serial) return;
    s->connected = true;
    poll_wake(s);
}

static enum fault fault_draw(struct world *w, bool stream)
{
    if (!world_draw(w, w->knobs.dns_bad)) return FAULT_NONE;
    enum fault f = (enum fault)(1 + world_below(w, FAULT_ICMP));
    return stream && f == FAULT_ICMP ? FAULT_NONE : f;
}

/* A whole question has reached the server. */
static void question(struct watched *s, const unsigned char *bytes, size_t len)
{
    struct dns_sim *d = s->sim;
    struct world *w = d->world;
    enum fault fault = fault_draw(w, s->stream);
    size_t prefix = s->stream ? 2 : 0;
    struct message m = answer_make(d, bytes, len, prefix, fault);
    m.asked_ns = w->now_ns;
    struct dns_name *n = m.name;
    struct dns_seen *seen = seen_of(n, s->io);
    uint64_t wait_ns = world_latency_ns(w, w->knobs.dns_slow, SLOW_TAIL_BITS) + n->delay_ns;
    world_trace_bytes(w, "dns question", n->name, strlen(n->name));
    n->questions++;
    if (seen->begun_ns[m.family] <= seen->answered_ns[m.family])
        seen->begun_ns[m.family] = w->now_ns;
    /* Where memory is short, what is known of many names is not kept. */
    bool kept = d->names_count <= NAMES_KEPT && w->knobs.dns_bad == 0;
    RULE(m.family != 0 || w->now_ns + w->stalled_ns >= seen->pause_ns || !kept,
         "%s is asked for again %.3f s after its answer", n->name,
         (double)(w->now_ns - seen->answered_ns[m.family]) / 1e9);
    bool silent = n->silent || (n->silent_ns != 0 && w->now_ns >= n->silent_ns);
    if (silent || world_draw(w, w->knobs.dns_lost)) {
        n->lost++;
        free(m.at);
        return;
    }
    if (fault == FAULT_ICMP) m.error = ECONNREFUSED;
    uint64_t timeout_ns = w->truth != NULL ? w->truth->dns_timeout_ns : 0;
    m.sure = wait_ns < timeout_ns / 4;
    if (!m.sure) n->lost++;
    bool cut = !s->stream && m.len > UDP_MAX;
    if (!s->stream && m.answers && (cut || world_draw(w, w->knobs.dns_bad / 2))) {
        PROBE("an answer was cut short, and asked for again over TCP");
        put16(m.at + 2, 0x8380);
        m.len = HEADER_BYTES + (len - HEADER_BYTES < 200 ? len - HEADER_BYTES : 200);
        memcpy(m.at + HEADER_BYTES, bytes + HEADER_BYTES, m.len - HEADER_BYTES);
        put16(m.at + 6, 0);
        put16(m.at + 10, 0);
        size_t end;
        char name[64];
        uint32_t type;
        CHECK(question_read(bytes, len, name, &type, &end));
        m.len = end;
        m.answers = false;
    }
    if (s->stream) put16(m.at, (uint32_t)(m.len - prefix));
    fly(s, m, w->now_ns + wait_ns);
}

/* ---- io.h ---------------------------------------------------------------------------------- */

static struct watched *watched_of(int32_t fd)
{
    struct dns_sim *d = world_current->dns;
    RULE(fd >= FIRST_FD && fd < FIRST_FD + SOCKETS_MAX, "watched socket %d", fd);
    struct watched *s = &d->socket[fd - FIRST_FD];
    RULE(s->used, "watched socket %d is not open", fd);
    return s;
}

int io_watched_open(struct io *io, int family, enum io_transport transport, int32_t *fd)
{
    struct world *w = world_current;
    struct dns_sim *d = w->dns;
    RULE(family == AF_INET || family == AF_INET6, "family %d", family);
    if (world_draw(w, w->knobs.dns_bad / 4)) return world_draw(w, 50) ? -EMFILE : -ENOBUFS;
    int i = 0;
    while (i < SOCKETS_MAX && d->socket[i].used) i++;
    RULE(i < SOCKETS_MAX, "too many watched sockets");
    struct watched *s = &d->socket[i];
    uint64_t serial = s->serial + 1;
    *s = (struct watched){
        .sim = d, .io = io, .serial = serial, .used = true, .stream = transport == IO_STREAM};
    *fd = FIRST_FD + i;
    return 0;
}

int io_watched_connect(struct io *io, int32_t fd, const struct addr *to)
{
    struct watched *s = watched_of(fd);
    struct world *w = s->sim->world;
    struct addr server = dns_sim_server();
    RULE(s->io == io, "another ring's socket");
    RULE(to->sa.sa_family == AF_INET && to->v4.sin_port == server.v4.sin_port &&
             to->v4.sin_addr.s_addr == server.v4.sin_addr.s_addr,
         "a watched socket to somewhere else");
    if (!s->stream) {
        s->connected = true;
        return 0;
    }
    PROBE("the DNS was asked over TCP");
    world_at(w, w->now_ns + world_latency_ns(w, w->knobs.dns_slow, TAIL_BITS), connected, s,
             s->serial);
    return -EINPROGRESS;
}

static void stream_take(struct watched *s, const unsigned char *at, size_t len)
{
    RULE(s->out_len + len <= sizeof s->out, "a question of %zu bytes", s->out_len + len);
    memcpy(s->out + s->out_len, at, len);
    s->out_len += len;
    while (s->out_len >= 2) {
        size_t want = (size_t)s->out[0] << 8 | s->out[1];
        if (s->out_len < 2 + want) return;
        question(s, s->out + 2, want);
        s->out_len -= 2 + want;
        memmove(s->out, s->out + 2 + want, s->out_len);
    }
}

int64_t io_watched_send(struct io *io, int32_t fd, const struct iovec *pieces, uint32_t count)
{
    struct watched *s = watched_of(fd);
    RULE(s->io == io, "another ring's socket");
    if (!s->connected) return -EAGAIN;
    unsigned char bytes[MESSAGE_MAX];
    size_t len = 0;
    for (uint32_t i = 0; i < count; i++) {
        RULE(len + pieces[i].iov_len <= sizeof bytes, "a message of more than %zu bytes", len);
        memcpy(bytes + len, pieces[i].iov_base, pieces[i].iov_len);
        len += pieces[i].iov_len;
    }
    if (s->stream) stream_take(s, bytes, len);
    else question(s, bytes, len);
    return (int64_t)len;
}

int64_t io_watched_recv(struct io *io, int32_t fd, void *buf, size_t bytes, struct addr *from)
{
    struct watched *s = watched_of(fd);
    struct world *w = s->sim->world;
    RULE(s->io == io, "another ring's socket");
    if (s->queued == 0) return -EAGAIN;
    struct message *m = &s->queue[0];
    size_t n = m->len - m->read;
    if (n > bytes) n = bytes;
    if (s->stream && n > 1 && world_draw(w, w->knobs.recv_small))
        n = 1 + world_below(w, (uint32_t)n);
    int64_t res = m->error != 0 ? -m->error : (int64_t)n;
    memcpy(buf, m->at + m->read, n);
    m->read += n;
    if (from != NULL) *from = dns_sim_server();
    if (s->stream && m->read < m->len && m->error == 0) return res;
    if (m->error == 0) told(w, io, m);
    free(m->at);
    s->queued--;
    memmove(s->queue, s->queue + 1, s->queued * sizeof *m);
    return res;
}

void io_watched_close(struct io *io, int32_t fd)
{
    struct watched *s = watched_of(fd);
    RULE(s->io == io, "another ring's socket");
    RULE(s->poll == NULL, "close of a watched socket that is being polled");
    queue_clear(s);
    s->used = false;
    s->serial++;
}

/* ---- for io_sim.c -------------------------------------------------------------------------- */

void dns_sim_poll(struct dns_sim *d, struct pend *p)
{
    struct watched *s = watched_of(p->op->fd);
    CHECK(s->sim == d);
    RULE(s->poll == NULL, "two polls of one socket");
    RULE(p->op->len != 0 && (p->op->len & ~(uint32_t)(POLLIN | POLLOUT)) == 0, "events %u",
         p->op->len);
    s->poll = p;
    poll_wake(s);
}

void dns_sim_poll_cancel(struct pend *p) { io_sim_ready(p, -ECANCELED); }

void dns_sim_poll_home(struct dns_sim *d, struct pend *p)
{
    struct watched *s = watched_of(p->op->fd);
    CHECK(s->sim == d);
    CHECK(s->poll == p);
    s->poll = NULL;
}
