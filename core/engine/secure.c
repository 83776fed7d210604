/* core/engine/secure.c - a shard's part in TLS: its memory, its context, and whom a connection must
 * be with.
 *
 * All of it comes with the first connection of an https lane: a run without one reads no
 * certificates and loses no time. Its memory is taken from what the deliveries may have: a little
 * is kept from the beginning, the rest is given up by them as they end.
 */
#include "core/engine/shard_state.h"

#include "core/net/trace.h"
#include "tls/pool.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static bool give_up(struct shard *s, const char *why)
{
    run_fail(s->run, EXIT_RESOURCES, "cannot begin with TLS: %s", why);
    return false;
}

static bool context_open(struct shard *s)
{
    struct run *r = s->run;
    char why[TLS_WHY_BYTES];
    if (run_failure(r) != NULL) return false; /* it was tried */
    if (r->plan.tls_bytes == 0) {
        snprintf(why, sizeof why, "--memory is too small, raise it to %lluM",
                 (unsigned long long)(r->plan.tls_needs >> 20) + 1);
        return give_up(s, why);
    }
    s->tls_pool = tls_pool_new(r->plan.tls_bytes);
    if (s->tls_pool == NULL) return give_up(s, "no memory");
    s->conns.plain = tls_pool_take(s->tls_pool, CONN_PLAIN_BYTES);
    if (s->conns.plain == NULL) return give_up(s, "no memory");
    s->conns.tls = tls_context_new(&r->config->tls, s->tls_pool, r->tickets, why);
    return s->conns.tls != NULL || give_up(s, why);
}

bool secure_room(struct shard *s)
{
    const struct memory_plan *plan = &s->run->plan;
    if (s->conns.tls == NULL && !context_open(s)) {
        secure_close(s);
        return false;
    }
    if (slab_limit_bytes(s->slab) > plan->slab_bytes - plan->tls_bytes)
        slab_limit_lower(s->slab, plan->slab_bytes - plan->tls_bytes);
    return tls_has_room(s->conns.tls, plan->slab_bytes - slab_limit_bytes(s->slab),
                        s->lanes.secure_conns);
}

/* The address that the text of a URL's host is; AF_UNSPEC if it is a name. */
static struct addr literal_of(struct span host)
{
    struct addr a = {.sa = {.sa_family = AF_UNSPEC}};
    char text[INET6_ADDRSTRLEN];
    if (host.len >= sizeof text) return a;
    memcpy(text, host.ptr, host.len);
    text[host.len] = 0;
    if (inet_pton(AF_INET, text, &a.v4.sin_addr) == 1) a.sa.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &a.v6.sin6_addr) == 1) a.sa.sa_family = AF_INET6;
    return a;
}

bool secure_peer(void *ctx, struct conn *c, struct tls_peer *peer)
{
    const struct lane *l = c->lane;
    MAYBE(ctx != NULL);
    if (!l->secure) return false;
    struct span name = lane_name(l), host = span_of(name.ptr, l->host_len);
    if (host.len > 2 && host.ptr[0] == '[') host = span_of(host.ptr + 1, host.len - 2);
    *peer = (struct tls_peer){.name = name, .host = host, .ip = literal_of(host)};
    if (c->ex != NULL && c->ex->trace != NULL) peer->chain = &c->ex->trace->chain;
    return true;
}

void secure_close(struct shard *s)
{
    if (s->conns.tls != NULL) tls_context_free(s->conns.tls);
    s->conns.tls = NULL;
    if (s->tls_pool == NULL) return;
    tls_pool_give(s->conns.plain);
    s->conns.plain = NULL;
    tls_pool_free(s->tls_pool);
    s->tls_pool = NULL;
}

uint64_t secure_used_bytes(const struct shard *s)
{
    return s->tls_pool != NULL ? tls_pool_used_bytes(s->tls_pool) : 0;
}
