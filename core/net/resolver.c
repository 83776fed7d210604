/* core/net/resolver.c - see resolver.h.
 *
 * Hosts are compared as the URL parser reads them: --resolve's HOST goes through url_read(), so
 * that [::1] and [0:0::1] are one host, and names are equal in any case, with or without a last
 * dot. A list searched from end to end: it is asked once for each host and shard, not for each
 * delivery, and a later override of the same HOST:PORT replaces an earlier one.
 */
#include "core/net/resolver.h"

#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/net/hosts_file.h"

#include <arpa/inet.h>
#include <stdlib.h>

struct override {
    char url[LIMIT_HOST_BYTES + 32]; /* "http://HOST:PORT" at first, then HOST */
    struct url host;                 /* of url; name spans point into it */
    struct addr addrs[RESOLVER_ADDRS_MAX];
    uint32_t addrs_count;
};

struct resolver {
    struct override **overrides; /* owned, each; they do not move, for their spans */
    uint32_t count;
    struct hosts_file *hosts; /* owned; NULL: none */
};

struct resolver *resolver_new(void) { return calloc(1, sizeof(struct resolver)); }

void resolver_free(struct resolver *r)
{
    if (r == NULL) return;
    for (uint32_t i = 0; i < r->count; i++) free(r->overrides[i]);
    free(r->overrides);
    hosts_file_free(r->hosts);
    free(r);
}

static struct addr addr_v4(struct in_addr ip, uint16_t port)
{
    struct addr a;
    memset(&a, 0, sizeof a);
    a.v4.sin_family = AF_INET;
    a.v4.sin_port = htons(port);
    a.v4.sin_addr = ip;
    return a;
}

static struct addr addr_v6(const struct in6_addr *ip, uint16_t port)
{
    struct addr a;
    memset(&a, 0, sizeof a);
    a.v6.sin6_family = AF_INET6;
    a.v6.sin6_port = htons(port);
    a.v6.sin6_addr = *ip;
    return a;
}

static struct span without_last_dot(struct span name)
{
    if (name.len > 1 && name.ptr[name.len - 1] == '.') name.len--;
    return name;
}

static bool same_host(const struct url *a, const struct url *b)
{
    if (a->host_kind != b->host_kind) return false;
    switch (a->host_kind) {
    case URL_HOST_V4: return a->v4.s_addr == b->v4.s_addr;
    case URL_HOST_V6: return memcmp(&a->v6, &b->v6, sizeof a->v6) == 0;
    case URL_HOST_NAME: return span_eq_nocase(without_last_dot(a->host), without_last_dot(b->host));
    }
    UNREACHABLE();
}

/* The last override of url's host and port, NULL if there is none. */
static struct override *override_of(const struct resolver *r, const struct url *url)
{
    for (uint32_t i = r->count; i > 0; i--) {
        struct override *o = r->overrides[i - 1];
        if (o->host.port == url->port && same_host(&o->host, url)) return o;
    }
    return NULL;
}

/* "ADDR" or "[ADDR]", n bytes. */
static bool addr_parse(const char *text, size_t n, uint16_t port, struct addr *out)
{
    char copy[INET6_ADDRSTRLEN];
    struct in_addr v4;
    struct in6_addr v6;
    bool brackets = n >= 2 && text[0] == '[' && text[n - 1] == ']';
    if (brackets) {
        text++;
        n -= 2;
    }
    if (n >= sizeof copy) return false;
    memcpy(copy, text, n);
    copy[n] = 0;
    if (!brackets && inet_pton(AF_INET, copy, &v4) == 1) {
        *out = addr_v4(v4, port);
        return true;
    }
    if (inet_pton(AF_INET6, copy, &v6) != 1) return false;
    *out = addr_v6(&v6, port);
    return true;
}

static const char *addrs_parse(const char *text, struct override *o)
{
    for (;;) { /* ends with the text */
        size_t n = strcspn(text, ",");
        if (o->addrs_count == RESOLVER_ADDRS_MAX) return "more than 4 addresses for one host";
        if (!addr_parse(text, n, o->host.port, &o->addrs[o->addrs_count]))
            return "ADDR is not an IP address";
        o->addrs_count++;
        if (text[n] == 0) return NULL;
        text += n + 1;
    }
}
_Static_assert(RESOLVER_ADDRS_MAX == 4, "a reason names it");

static const char *override_parse(const char *text, struct override *o)
{
    const char *host_end = text + strcspn(text, ":");
    if (*text == '[') {
        host_end = strchr(text, ']');
        if (host_end == NULL) return "HOST has no closing bracket";
        host_end++;
    }
    size_t host_len = (size_t)(host_end - text);
    if (host_len > LIMIT_HOST_BYTES) return "HOST is longer than any host name";
    if (*host_end != ':') return "not of the form HOST:PORT:ADDR";
    size_t port_len = strspn(host_end + 1, "0123456789");
    if (host_end[1 + port_len] != ':') return "not of the form HOST:PORT:ADDR";
    if (port_len == 0 || port_len > 5) return "PORT is not 1 to 65535";
    size_t n = host_len + 1 + port_len, at = 0;
    if (strcspn(text, "@/?#\\") < host_len) return "HOST is not a host name"; /* or more than one */
    memcpy(o->url, "http://", 7);
    memcpy(o->url + 7, text, n);
    struct url_room room = {.name_len = 0};
    enum url_error e = url_read(span_of(o->url, n + 7), &room, &o->host, &at);
    if (e == URL_PORT) return "PORT is not 1 to 65535";
    if (e != URL_OK) return "HOST is not a host name";
    memmove(o->url, o->host.host.ptr, o->host.host.len); /* out of the room, if it is there */
    o->host.host = span_of(o->url, o->host.host.len);
    o->addrs_count = 0;
    return addrs_parse(host_end + 1 + port_len + 1, o);
}

const char *resolver_add(struct resolver *r, const char *text)
{
    CHECK(r != NULL);
    CHECK(text != NULL);
    struct override *o = malloc(sizeof *o);
    if (o == NULL) return "memory is short";
    const char *wrong = override_parse(text, o);
    struct override **grown = NULL;
    if (wrong == NULL) {
        grown = realloc(r->overrides, (r->count + 1) * sizeof *grown);
        if (grown == NULL) wrong = "memory is short";
    }
    if (wrong != NULL) {
        free(o);
        return wrong;
    }
    r->overrides = grown;
    r->overrides[r->count++] = o;
    return NULL;
}

/* "localhost" and every name below it (RFC 6761 section 6.3). */
static bool is_localhost(struct span name)
{
    const struct span local = SPAN_LIT("localhost");
    name = without_last_dot(name);
    if (name.len < local.len) return false;
    size_t below = name.len - local.len;
    if (below > 0 && name.ptr[below - 1] != '.') return false;
    return span_eq_nocase(span_of(name.ptr + below, local.len), local);
}

bool resolver_hosts(struct resolver *r, struct span text)
{
    CHECK(r->hosts == NULL);
    r->hosts = hosts_file_new(text);
    return r->hosts != NULL;
}

static uint32_t of_hosts(const struct resolver *r, const struct url *url,
                         struct addr out[RESOLVER_ADDRS_MAX])
{
    if (r->hosts == NULL) return 0;
    uint32_t count = hosts_file_find(r->hosts, url->host, out, RESOLVER_ADDRS_MAX);
    for (uint32_t i = 0; i < count; i++)
        *(out[i].sa.sa_family == AF_INET ? &out[i].v4.sin_port : &out[i].v6.sin6_port) =
            htons(url->port);
    return count;
}

uint32_t resolver_find(const struct resolver *r, const struct url *url,
                       struct addr out[RESOLVER_ADDRS_MAX])
{
    CHECK(r != NULL);
    CHECK(url != NULL);
    const struct override *o = override_of(r, url);
    if (o != NULL) {
        memcpy(out, o->addrs, o->addrs_count * sizeof *out);
        return o->addrs_count;
    }
    switch (url->host_kind) {
    case URL_HOST_V4: out[0] = addr_v4(url->v4, url->port); return 1;
    case URL_HOST_V6: out[0] = addr_v6(&url->v6, url->port); return 1;
    case URL_HOST_NAME: break;
    }
    if (!is_localhost(url->host)) return of_hosts(r, url, out);
    struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
    out[0] = addr_v4(loopback, url->port);
    out[1] = addr_v6(&in6addr_loopback, url->port);
    return 2;
}
