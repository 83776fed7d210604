#include "core/net/dns.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum {
    SOCKETS_MAX = 4 * DNS_SERVERS_MAX, /* c-ares has one of each kind for each server */
    TRIES = 3,                         /* after 1/4, 3/4 and 7/4 of the time limit it gives up */
    UDP_BYTES = 1232,                  /* DNS Flag Day 2020: no fragments; beyond: TCP */
};
#define LATE_V6_NS UINT64_C(50000000) /* RFC 8305 section 8: Resolution Delay */

enum part { PART_V4, PART_V6, PARTS };
enum part_state { PART_ASKED, PART_FOUND, PART_NONE, PART_FAILED, PART_TIMEOUT, PART_STOPPED };

struct lookup {
    struct lookup *next; /* among the free ones, or those under way */
    struct dns *dns;
    dns_done_fn *done;
    void *ctx;
    bool told;           /* once, and c-ares still holds it */
    uint32_t told_count; /* addresses that were told then */
    uint64_t begun_ns, due_ns;
    uint8_t part[PARTS]; /* enum part_state */
    struct dns_answer answer;
};

/* A socket of c-ares'. It is polled while c-ares wants something of it, one poll at a time; a
 * closed one is kept until its poll is home. */
struct dns_socket {
    struct io_op op;
    struct dns *dns;
    int32_t fd;  /* -1: free */
    short wants; /* events */
    bool closed;
};

struct dns {
    struct io *io;
    ares_channel channel;
    uint64_t timeout_ns, due_ns;
    bool changed; /* something happened since due_ns was found */
    struct dns_socket socket[SOCKETS_MAX];
    struct lookup *free, *under_way;
    struct lookup *lookup; /* owned; untouched until they are used */
    uint32_t touched, lookups_max, young_max;
};

size_t dns_lookup_bytes(void) { return sizeof(struct lookup); }

/* ---- sockets for c-ares ------------------------------------------------------------------- */

static struct dns_socket *socket_of(struct dns *d, ares_socket_t fd)
{
    for (int i = 0; i < SOCKETS_MAX; i++)
        if (d->socket[i].fd == fd && !d->socket[i].closed) return &d->socket[i];
    return NULL;
}

static void poll_done(struct io_op *op, int32_t res);

static void poll_arm(struct dns_socket *s)
{
    if (s->closed || s->wants == 0) return;
    if (s->op.in_flight) { /* asks for less than is wanted now: again, when it is home */
        if ((s->op.len & (uint32_t)s->wants) != (uint32_t)s->wants) io_cancel(s->dns->io, &s->op);
        return;
    }
    s->op.kind = IO_POLL;
    s->op.done = poll_done;
    s->op.fd = s->fd;
    s->op.len = (uint32_t)s->wants;
    io_submit(s->dns->io, &s->op);
}

static void socket_free(struct dns_socket *s)
{
    io_watched_close(s->dns->io, s->fd);
    s->fd = -1;
    s->closed = false;
}

static void poll_done(struct io_op *op, int32_t res)
{
    struct dns_socket *s = CONTAINER_OF(op, struct dns_socket, op);
    struct dns *d = s->dns;
    if (s->closed) {
        socket_free(s);
        return;
    }
    if (res > 0) {
        bool broken = (res & (POLLERR | POLLHUP | POLLNVAL)) != 0;
        bool in = (res & POLLIN) != 0 || broken, out = (res & POLLOUT) != 0 || broken;
        ares_process_fd(d->channel, in ? s->fd : ARES_SOCKET_BAD, out ? s->fd : ARES_SOCKET_BAD);
        d->changed = true;
    }
    if (s->fd >= 0) poll_arm(s);
}

static void state_changed(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct dns_socket *s = socket_of(ctx, fd);
    if (s == NULL) return; /* it is being opened or closed */
    s->wants = (short)((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));
    poll_arm(s);
}

static int failed(int64_t res)
{
    errno = (int)-res;
    return -1;
}

static ares_socket_t open_one(int family, int type, int protocol, void *ctx)
{
    struct dns *d = ctx;
    struct dns_socket *s = NULL;
    MAYBE(protocol != 0);
    for (int i = 0; i < SOCKETS_MAX && s == NULL; i++)
        if (d->socket[i].fd < 0) s = &d->socket[i];
    if (s == NULL) return failed(-EMFILE);
    int32_t fd;
    int rc = io_watched_open(d->io, family, type == SOCK_STREAM ? IO_STREAM : IO_DATAGRAM, &fd);
    if (rc < 0) return failed(rc);
    s->fd = fd;
    s->wants = 0;
    s->closed = false;
    return fd;
}

static int close_one(ares_socket_t fd, void *ctx)
{
    struct dns_socket *s = socket_of(ctx, fd);
    CHECK(s != NULL);
    s->closed = true;
    if (!s->op.in_flight) socket_free(s);
    else if (!s->op.cancelled) io_cancel(s->dns->io, &s->op);
    return 0;
}

static int connect_one(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t len, void *ctx)
{
    struct dns *d = ctx;
    struct addr a;
    if (len > sizeof a) return failed(-EINVAL);
    memset(&a, 0, sizeof a);
    memcpy(&a, to, len);
    int rc = io_watched_connect(d->io, fd, &a);
    return rc < 0 ? failed(rc) : 0;
}

static ares_ssize_t recv_one(ares_socket_t fd, void *buf, size_t bytes, int flags,
                             struct sockaddr *from, ares_socklen_t *from_len, void *ctx)
{
    struct dns *d = ctx;
    struct addr sender;
    MAYBE(flags != 0);
    int64_t n = io_watched_recv(d->io, fd, buf, bytes, from != NULL ? &sender : NULL);
    if (n < 0) return failed(n);
    if (from != NULL && from_len != NULL) {
        if (*from_len > addr_len(&sender)) *from_len = addr_len(&sender);
        memcpy(from, &sender, *from_len);
    }
    return (ares_ssize_t)n;
}

static ares_ssize_t send_one(ares_socket_t fd, const struct iovec *pieces, int count, void *ctx)
{
    struct dns *d = ctx;
    int64_t n = io_watched_send(d->io, fd, pieces, (uint32_t)count);
    return n < 0 ? failed(n) : (ares_ssize_t)n;
}

static const struct ares_socket_functions functions = {
    .asocket = open_one,
    .aclose = close_one,
    .aconnect = connect_one,
    .arecvfrom = recv_one,
    .asendv = send_one,
};

/* ---- opening ------------------------------------------------------------------------------ */

static int servers_set(ares_channel channel, const struct dns_config *config)
{
    struct ares_addr_port_node node[DNS_SERVERS_MAX];
    memset(node, 0, sizeof node);
    for (uint32_t i = 0; i < config->servers_count; i++) {
        const struct addr *a = &config->servers[i];
        node[i].next = i + 1 < config->servers_count ? &node[i + 1] : NULL;
        node[i].family = a->sa.sa_family;
        node[i].udp_port = node[i].tcp_port =
            ntohs(a->sa.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port);
        if (a->sa.sa_family == AF_INET) node[i].addr.addr4 = a->v4.sin_addr;
        else memcpy(&node[i].addr.addr6, &a->v6.sin6_addr, sizeof node[i].addr.addr6);
    }
    return ares_set_servers_ports(channel, node);
}

static int channel_open(struct dns *d, const struct dns_config *config)
{
    char lookups[] = "b"; /* the DNS alone: /etc/hosts is the resolver's */
    uint64_t try_ms = config->timeout_ns / 4000000;
    struct ares_options options = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
        .timeout = try_ms < 1 ? 1 : (int)try_ms,
        .tries = TRIES,
        .ndots = 1,
        .lookups = lookups,
        .sock_state_cb = state_changed,
        .sock_state_cb_data = d,
        .ednspsz = UDP_BYTES,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
               ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_EDNSPSZ | ARES_OPT_DOMAINS |
               ARES_OPT_SORTLIST;
    if (config->servers_count > 0) mask |= ARES_OPT_SERVERS; /* then no file is read */
    int rc = ares_init_options(&d->channel, &options, mask);
    if (rc != ARES_SUCCESS) return rc;
    ares_set_socket_functions(d->channel, &functions, d);
    if (config->servers_count > 0) rc = servers_set(d->channel, config);
    if (rc != ARES_SUCCESS) ares_destroy(d->channel);
    return rc;
}

struct dns *dns_open(struct io *io, const struct dns_config *config, const char **why)
{
    CHECK(config->servers_count <= DNS_SERVERS_MAX);
    CHECK(config->timeout_ns > 0 && config->young_max > 0);
    CHECK(config->lookups_max > 0 && config->lookups_max <= DNS_LOOKUPS_MAX);
    *why = "no memory";
    struct dns *d = calloc(1, sizeof *d);
    if (d == NULL) return NULL;
    d->lookup = calloc(config->lookups_max, sizeof *d->lookup);
    if (d->lookup == NULL) {
        free(d);
        return NULL;
    }
    d->lookups_max = config->lookups_max;
    d->young_max = config->young_max;
    d->io = io;
    d->timeout_ns = config->timeout_ns;
    d->due_ns = UINT64_MAX;
    for (int i = 0; i < SOCKETS_MAX; i++) d->socket[i] = (struct dns_socket){.dns = d, .fd = -1};
    int rc = channel_open(d, config);
    if (rc == ARES_SUCCESS) return d;
    *why = ares_strerror(rc);
    free(d->lookup);
    free(d);
    return NULL;
}

void dns_close(struct dns *d)
{
    CHECK(dns_idle(d));
    ares_destroy(d->channel);
    free(d->lookup);
    free(d);
}

/* ---- answers ------------------------------------------------------------------------------ */

static void ttl_take(struct dns_answer *a, int ttl)
{
    uint32_t ttl_s = ttl > 0 ? (uint32_t)ttl : 0;
    if (a->count == 0 || ttl_s < a->ttl_s) a->ttl_s = ttl_s;
}

/* False: these bytes are no answer. */
static bool parse_v4(struct dns_answer *a, const unsigned char *bytes, int len)
{
    struct ares_addrttl found[DNS_ADDRS_MAX];
    int count = DNS_ADDRS_MAX;
    int rc = ares_parse_a_reply(bytes, len, NULL, found, &count);
    if (rc != ARES_SUCCESS && rc != ARES_ENODATA) return false;
    for (int i = 0; i < count && rc == ARES_SUCCESS && a->count < DNS_ADDRS_MAX; i++) {
        ttl_take(a, found[i].ttl);
        struct addr *to = &a->addrs[a->count++];
        memset(to, 0, sizeof *to);
        to->v4.sin_family = AF_INET;
        to->v4.sin_addr = found[i].ipaddr;
    }
    return true;
}

static bool parse_v6(struct dns_answer *a, const unsigned char *bytes, int len)
{
    struct ares_addr6ttl found[DNS_ADDRS_MAX];
    int count = DNS_ADDRS_MAX;
    int rc = ares_parse_aaaa_reply(bytes, len, NULL, found, &count);
    if (rc != ARES_SUCCESS && rc != ARES_ENODATA) return false;
    for (int i = 0; i < count && rc == ARES_SUCCESS && a->count < DNS_ADDRS_MAX; i++) {
        ttl_take(a, found[i].ttl);
        struct addr *to = &a->addrs[a->count++];
        memset(to, 0, sizeof *to);
        to->v6.sin6_family = AF_INET6;
        memcpy(&to->v6.sin6_addr, &found[i].ip6addr, sizeof to->v6.sin6_addr);
    }
    return true;
}

static enum part_state state_of(int status)
{
    switch (status) {
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_EBADNAME: return PART_NONE;
    case ARES_ETIMEOUT: return PART_TIMEOUT;
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION: return PART_STOPPED;
    default: return PART_FAILED;
    }
}

static void part_done(struct lookup *l, enum part part, int status, const unsigned char *bytes,
                      int len)
{
    struct dns_answer *a = &l->answer;
    uint32_t before = a->count;
    CHECK(l->part[part] == PART_ASKED);
    l->dns->changed = true;
    l->part[part] = (uint8_t)state_of(status);
    if (status != ARES_SUCCESS) return;
    bool read = part == PART_V4 ? parse_v4(a, bytes, len) : parse_v6(a, bytes, len);
    l->part[part] = !read ? PART_FAILED : a->count > before ? PART_FOUND : PART_NONE;
    if (part != PART_V4 || l->part[PART_V4] != PART_FOUND || l->part[PART_V6] != PART_ASKED) return;
    uint64_t late_ns = io_now_ns(l->dns->io) + LATE_V6_NS;
    if (late_ns < l->due_ns) l->due_ns = late_ns;
}

static void v4_done(void *ctx, int status, int timeouts, unsigned char *bytes, int len)
{
    MAYBE(timeouts > 0);
    part_done(ctx, PART_V4, status, bytes, len);
}

static void v6_done(void *ctx, int status, int timeouts, unsigned char *bytes, int len)
{
    MAYBE(timeouts > 0);
    part_done(ctx, PART_V6, status, bytes, len);
}

/* ---- questions ---------------------------------------------------------------------------- */

/* Those under way are listed from the youngest. */
bool dns_has_room(const struct dns *d)
{
    uint64_t now_ns = io_now_ns(d->io);
    uint32_t young = 0;
    if (d->free == NULL && d->touched == d->lookups_max) return false;
    for (const struct lookup *l = d->under_way; l != NULL && young < d->young_max; l = l->next) {
        if (l->begun_ns + DNS_YOUNG_NS <= now_ns) break;
        young += !l->told;
    }
    return young < d->young_max;
}

void dns_ask(struct dns *d, const char *name, dns_done_fn *done, void *ctx)
{
    CHECK(done != NULL);
    CHECK(dns_has_room(d));
    struct lookup *l = d->free;
    if (l != NULL) d->free = l->next;
    else l = &d->lookup[d->touched++];
    l->dns = d;
    l->done = done;
    l->ctx = ctx;
    l->told = false;
    l->told_count = 0;
    l->begun_ns = io_now_ns(d->io);
    l->due_ns = l->begun_ns + d->timeout_ns;
    l->answer.count = l->answer.ttl_s = 0;
    l->part[PART_V4] = l->part[PART_V6] = PART_ASKED;
    l->next = d->under_way;
    d->under_way = l;
    d->changed = true;
    ares_query(d->channel, name, ns_c_in, ns_t_aaaa, v6_done, l);
    ares_query(d->channel, name, ns_c_in, ns_t_a, v4_done, l);
}

static bool has_part(const struct lookup *l, enum part_state state)
{
    return l->part[PART_V4] == state || l->part[PART_V6] == state;
}

static enum dns_status status_of(const struct lookup *l)
{
    if (l->answer.count > 0) return DNS_FOUND;
    if (has_part(l, PART_STOPPED)) return DNS_STOPPED;
    if (has_part(l, PART_ASKED) || has_part(l, PART_TIMEOUT)) return DNS_TIMEOUT;
    return has_part(l, PART_FAILED) ? DNS_FAILED : DNS_NONE;
}

static void tell(struct lookup *l, bool last)
{
    struct dns_answer *a = &l->answer;
    bool news = !l->told || a->count > l->told_count;
    a->status = status_of(l);
    l->told = true;
    l->told_count = a->count;
    l->done(l->ctx, news ? a : NULL, last);
}

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* c-ares counts from the moment itself, which lies a little behind this turn's time: it may be
 * asked too early, and is then asked again. */
static uint64_t ares_due_ns(struct dns *d)
{
    struct timeval tv, *next = ares_timeout(d->channel, NULL, &tv);
    if (next == NULL) return UINT64_MAX;
    uint64_t wait_ns =
        (uint64_t)next->tv_sec * UINT64_C(1000000000) + (uint64_t)next->tv_usec * UINT64_C(1000);
    return io_now_ns(d->io) + wait_ns;
}

uint64_t dns_due_ns(const struct dns *d) { return d->changed ? 0 : d->due_ns; }

void dns_tend(struct dns *d)
{
    uint64_t now_ns = io_now_ns(d->io);
    if (!d->changed && now_ns < d->due_ns) return;
    ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    d->changed = false;
    uint64_t due_ns = UINT64_MAX;
    for (struct lookup **at = &d->under_way, *l; (l = *at) != NULL;) {
        bool held = has_part(l, PART_ASKED); /* by c-ares */
        if (!held || (!l->told && l->due_ns <= now_ns)) tell(l, !held);
        if (!l->told) due_ns = earlier(due_ns, l->due_ns);
        if (held) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        l->next = d->free;
        d->free = l;
    }
    d->due_ns = earlier(due_ns, ares_due_ns(d));
}

void dns_stop(struct dns *d)
{
    if (d->under_way != NULL) ares_cancel(d->channel);
}

bool dns_idle(const struct dns *d)
{
    if (d->under_way != NULL) return false;
    for (int i = 0; i < SOCKETS_MAX; i++)
        if (d->socket[i].fd >= 0) return false;
    return true;
}
