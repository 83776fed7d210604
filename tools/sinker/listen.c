/* tools/sinker/listen.c - see listen.h. */
#include "tools/sinker/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096, PORT_TRIES = 16, PLUGS_EACH = 2 };

/* A decimal port at *p, which is moved behind it. */
static bool read_port(const char **p, uint32_t *port)
{
    uint32_t v = 0;
    const char *start = *p;
    for (; **p >= '0' && **p <= '9'; (*p)++) {
        v = v * 10 + (uint32_t)(**p - '0');
        if (v > 65535) return false;
    }
    *port = v;
    return *p > start;
}

static const char *parse_ports(const char *p, struct listen_spec *out, uint32_t *first)
{
    uint32_t last;
    if (!read_port(&p, first)) return "the port is not a number of 0 to 65535";
    last = *first;
    if (*p == '-') {
        p++;
        if (!read_port(&p, &last)) return "the last port is not a number of 0 to 65535";
        if (*first == 0) return "port 0 cannot begin a range";
        if (last < *first) return "the last port is below the first";
    }
    if (*p) return "there is something behind the port";
    out->ports_count = last - *first + 1;
    return NULL;
}

static const char *parse_v6(const char *text, struct listen_spec *out)
{
    const char *end = strchr(text, ']');
    if (!end || end[1] != ':') return "an IPv6 address is written [ADDR]:PORT";
    char ip[INET6_ADDRSTRLEN];
    size_t len = (size_t)(end - text) - 1;
    if (len >= sizeof ip) return "the IPv6 address is too long";
    memcpy(ip, text + 1, len);
    ip[len] = 0;
    uint32_t port;
    const char *why = parse_ports(end + 2, out, &port);
    if (why) return why;
    out->first.v6 =
        (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET6, ip, &out->first.v6.sin6_addr) != 1)
        return "the IPv6 address is not valid";
    return NULL;
}

/* "A" or "A-B" of len bytes. */
static const char *parse_v4_range(const char *text, size_t len, struct listen_spec *out)
{
    char ips[2 * INET_ADDRSTRLEN];
    if (len >= sizeof ips) return "the address is neither an IPv4 address nor a range of two";
    memcpy(ips, text, len);
    ips[len] = 0;
    char *dash = strchr(ips, '-');
    if (dash) *dash = 0;
    struct in_addr a, b;
    if (inet_pton(AF_INET, ips, &a) != 1) return "the address is not numeric IPv4 or [IPv6]";
    b = a;
    if (dash && inet_pton(AF_INET, dash + 1, &b) != 1)
        return "the last address of the range is not a numeric IPv4 address";
    if (ntohl(b.s_addr) < ntohl(a.s_addr)) return "the last address is below the first";
    if (ntohl(b.s_addr) - ntohl(a.s_addr) >= LISTEN_ADDRS_MAX)
        return "the address range is too large";
    out->first.v4.sin_addr = a;
    out->ips_count = ntohl(b.s_addr) - ntohl(a.s_addr) + 1;
    return NULL;
}

const char *listen_parse(const char *text, struct listen_spec *out)
{
    CHECK(text != NULL);
    *out = (struct listen_spec){.text = text, .ips_count = 1};
    if (*text == '[') return parse_v6(text, out);
    static const char network[] = "127.0.0.0/8";
    const char *colon = strchr(text, ':');
    if (!colon) return "there is no port";
    uint32_t port;
    const char *why = parse_ports(colon + 1, out, &port);
    if (why) return why;
    out->first.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    size_t len = (size_t)(colon - text);
    out->is_network = len == sizeof network - 1 && memcmp(text, network, len) == 0;
    return parse_v4_range(text, out->is_network ? len - 2 : len, out);
}

static uint16_t port_of(const struct addr *a)
{
    return ntohs(a->sa.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port);
}

static void set_port(struct addr *a, uint32_t port)
{
    if (a->sa.sa_family == AF_INET) a->v4.sin_port = htons((uint16_t)port);
    else a->v6.sin6_port = htons((uint16_t)port);
}

static struct addr nth(const struct listen_spec *spec, uint32_t ip, uint32_t port)
{
    struct addr a = spec->first;
    if (a.sa.sa_family == AF_INET)
        a.v4.sin_addr.s_addr = htonl(ntohl(spec->first.v4.sin_addr.s_addr) + ip);
    set_port(&a, port_of(&spec->first) + port);
    return a;
}

struct addr listen_nth(const struct listen_spec *specs, uint32_t specs_count, uint32_t index)
{
    for (uint32_t i = 0; i < specs_count; i++) {
        uint32_t count = specs[i].ips_count * specs[i].ports_count;
        if (index < count)
            return nth(&specs[i], index / specs[i].ports_count, index % specs[i].ports_count);
        index -= count;
    }
    UNREACHABLE();
}

void listen_text(const struct listen_spec *spec, char *out)
{
    struct addr last = nth(spec, spec->ips_count - 1, 0);
    char ip[INET6_ADDRSTRLEN], ip_last[INET_ADDRSTRLEN];
    int n;
    if (spec->first.sa.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &spec->first.v6.sin6_addr, ip, sizeof ip);
        n = snprintf(out, LISTEN_TEXT_BYTES, "[%s]", ip);
    } else {
        inet_ntop(AF_INET, &spec->first.v4.sin_addr, ip, sizeof ip);
        inet_ntop(AF_INET, &last.v4.sin_addr, ip_last, sizeof ip_last);
        n = snprintf(out, LISTEN_TEXT_BYTES, spec->ips_count > 1 ? "%s-%s" : "%s", ip, ip_last);
        if (spec->is_network) n = snprintf(out, LISTEN_TEXT_BYTES, "%s/8", ip);
    }
    uint32_t port = port_of(&spec->first);
    snprintf(out + n, (size_t)(LISTEN_TEXT_BYTES - n), spec->ports_count > 1 ? ":%u-%u" : ":%u",
             port, port + spec->ports_count - 1);
}

enum { BOUND_SHARED = 1, BOUND_NETWORK = 2 };

/* Returns the descriptor, or -errno. BOUND_NETWORK: to all that comes over the loopback device,
 * whatever the address, and to nothing else. */
static int bound_socket(const struct addr *a, unsigned how)
{
    struct addr any = *a;
    int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    const int on = 1;
    if (how & BOUND_NETWORK) any.v4.sin_addr.s_addr = htonl(INADDR_ANY);
    /* Accepted sockets inherit TCP_NODELAY, which saves a system call for each. */
    bool ok =
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
        (!(how & BOUND_SHARED) || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
        (!(how & BOUND_NETWORK) ||
         setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof "lo") == 0) &&
        bind(fd, &any.sa, addr_len(a)) == 0;
    if (ok) return fd;
    int error = errno;
    close(fd);
    return -error;
}

/* SO_REUSEPORT would let two receivers of one user share a port without a word. A socket without
 * it finds out first whether somebody listens there. With port 0 it also chooses the port. */
static int probe(struct addr *a, unsigned how)
{
    int fd = bound_socket(a, how);
    if (fd < 0) return fd;
    int res = listen(fd, 1) == 0 ? 0 : -errno;
    struct addr bound;
    socklen_t len = sizeof bound;
    if (res == 0 && getsockname(fd, &bound.sa, &len) != 0) res = -errno;
    if (res == 0) set_port(a, port_of(&bound));
    close(fd);
    return res;
}

static int open_one(const struct addr *a, unsigned how)
{
    int fd = bound_socket(a, how | BOUND_SHARED);
    if (fd < 0) return fd;
    if (listen(fd, BACKLOG) == 0) return fd;
    int error = errno;
    close(fd);
    return -error;
}

/* All addresses of one spec for all shards, from column `at` of the table on. Returns 0, or
 * -errno with *failed the address; what was opened is in the table. */
static int open_spec(struct listeners *l, const struct listen_spec *spec, uint32_t at,
                     struct addr *failed)
{
    unsigned how = spec->is_network ? BOUND_NETWORK : 0;
    for (uint32_t i = 0; i < spec->ips_count * spec->ports_count; i++) {
        struct addr a = nth(spec, i / spec->ports_count, i % spec->ports_count);
        *failed = a;
        int res = probe(&a, how);
        for (uint32_t shard = 0; res >= 0 && shard < l->shards_count; shard++) {
            res = open_one(&a, how);
            if (res >= 0) l->fds[shard * l->count + at + i] = res;
        }
        if (res < 0) return res;
    }
    return 0;
}

static void close_columns(struct listeners *l, uint32_t at, uint32_t count)
{
    for (uint32_t shard = 0; shard < l->shards_count; shard++) {
        for (uint32_t i = at; i < at + count; i++) {
            int *fd = &l->fds[shard * l->count + i];
            if (*fd >= 0) close(*fd);
            *fd = -1;
        }
    }
}

/* As open_spec(); a port that the kernel chose for the first address may be taken on another. */
static int open_spec_any_port(struct listeners *l, struct listen_spec *spec, uint32_t at,
                              struct addr *failed)
{
    if (port_of(&spec->first) != 0) return open_spec(l, spec, at, failed);
    int res = 0;
    for (unsigned i = 0; i < PORT_TRIES; i++) {
        set_port(&spec->first, 0);
        *failed = spec->first;
        if ((res = probe(&spec->first, spec->is_network ? BOUND_NETWORK : 0)) < 0) return res;
        res = open_spec(l, spec, at, failed);
        if (res != -EADDRINUSE) return res;
        close_columns(l, at, spec->ips_count * spec->ports_count);
    }
    return res;
}

static const char *advice(int error)
{
    switch (error) {
    case EADDRINUSE: return "; something listens there already: choose another port, or 0";
    case EADDRNOTAVAIL: return "; this machine has no such address";
    case EACCES: return "; ports below 1024 need a privilege";
    case EMFILE: return "; raise the limit of open files (ulimit -n)";
    default: return "";
    }
}

bool listen_open(struct listeners *l, struct listen_spec *specs, uint32_t specs_count,
                 uint32_t shards_count)
{
    CHECK(specs_count > 0);
    CHECK(shards_count > 0);
    uint32_t count = 0;
    for (uint32_t i = 0; i < specs_count; i++) count += specs[i].ips_count * specs[i].ports_count;
    size_t cells = (size_t)count * shards_count;
    *l = (struct listeners){.count = count, .shards_count = shards_count};
    l->fds = malloc(cells * sizeof *l->fds);
    if (!l->fds) {
        fprintf(stderr, "sinker: no memory for %zu listeners\n", cells);
        return false;
    }
    for (size_t i = 0; i < cells; i++) l->fds[i] = -1;
    uint32_t at = 0;
    for (uint32_t i = 0; i < specs_count; i++) {
        struct addr failed;
        int res = open_spec_any_port(l, &specs[i], at, &failed);
        if (res < 0) {
            char text[ADDR_TEXT_BYTES];
            addr_text(&failed, text);
            fprintf(stderr, "sinker: cannot listen on %s: %s%s\n", text, strerror(-res),
                    advice(-res));
            return false;
        }
        at += specs[i].ips_count * specs[i].ports_count;
    }
    return true;
}

bool listen_plug(struct listeners *l)
{
    CHECK(l->shards_count == 1);
    CHECK(l->plugs == NULL);
    l->plugs = malloc((size_t)l->count * PLUGS_EACH * sizeof *l->plugs);
    if (!l->plugs) return false;
    for (uint32_t i = 0; i < l->count * PLUGS_EACH; i++) {
        struct addr a = {0};
        socklen_t len = sizeof a;
        if (i % PLUGS_EACH == 0 && listen(l->fds[i / PLUGS_EACH], 0) != 0) return false;
        if (getsockname(l->fds[i / PLUGS_EACH], &a.sa, &len) != 0) return false;
        int fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) return false;
        l->plugs[l->plugs_count++] = fd;
        /* A queue of length 0 holds one connection; the second one finds it full, and is there
         * for kernels that count otherwise. */
        if (connect(fd, &a.sa, len) != 0 && errno != EINPROGRESS) return false;
    }
    return true;
}

void listen_unplug(struct listeners *l)
{
    for (uint32_t i = 0; i < l->plugs_count; i++) close(l->plugs[i]);
    free(l->plugs);
    l->plugs = NULL;
    l->plugs_count = 0;
    for (uint32_t i = 0; i < l->count; i++) CHECK(listen(l->fds[i], BACKLOG) == 0);
}

void listen_close(struct listeners *l)
{
    if (l->plugs) listen_unplug(l);
    if (l->fds) close_columns(l, 0, l->count);
    free(l->fds);
    *l = (struct listeners){0};
}
