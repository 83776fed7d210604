/* perf/tls/hookline_end.c - hookline's own TLS layer (tls/tls.h) as a client; see end.h.
 *
 * Its memory is a pool, which the heap's figures do not show. Tickets are kept by the peer's name:
 * a connection that shall not resume gets a name that no other had.
 */
#include "perf/tls/end.h"
#include "tls/build.h"
#include "tls/pool.h"
#include "tls/tickets.h"
#include "tls/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POOL_BYTES = 256 << 20, TICKETS_BYTES = 4 << 20, NAME_BYTES = 32 };

struct context {
    struct tls_pool *pool;
    struct tls_tickets *tickets;
    struct tls_context *tls;
    char kept[NAME_BYTES]; /* the name of the connection whose tickets shall be taken */
    uint64_t names;
};

struct conn {
    struct tls_session *tls;
    struct context *context;
    struct pipe *in, *out;
    char name[NAME_BYTES];
    uint8_t fed[16384]; /* lent to the session until it asks for more */
};

static void must(bool ok, const char *what)
{
    if (!ok) bench_stop(what);
}

static void *context_new(const struct setup *s, const struct credentials *credentials)
{
    char why[TLS_WHY_BYTES];
    struct context *c = calloc(1, sizeof *c);
    must(c != NULL, "no memory");
    struct tls_rules rules = {.trusted = span_of(credentials->ca, strlen(credentials->ca)),
                              .oldest = s->tls12 ? TLS_1_2 : TLS_1_3};
    c->pool = tls_pool_new(POOL_BYTES);
    c->tickets = tls_tickets_new(TICKETS_BYTES);
    must(c->pool != NULL && c->tickets != NULL, "no memory");
    c->tls = tls_context_new(&rules, c->pool, c->tickets, why);
    must(c->tls != NULL, why);
    return c;
}

static void context_free(void *context)
{
    struct context *c = context;
    tls_context_free(c->tls);
    tls_tickets_free(c->tickets);
    tls_pool_free(c->pool);
    free(c);
}

static void *conn_new(void *context, struct pipe *in, struct pipe *out, bool resumes)
{
    struct conn *c = calloc(1, sizeof *c);
    must(c != NULL, "no memory");
    c->context = context;
    c->in = in;
    c->out = out;
    if (resumes) memcpy(c->name, c->context->kept, sizeof c->name);
    else snprintf(c->name, sizeof c->name, "%llu:443", (unsigned long long)++c->context->names);
    struct tls_peer peer = {.name = span_of(c->name, strlen(c->name)),
                            .host = span_of(bench_host, strlen(bench_host))};
    c->tls = tls_new(c->context->tls, &peer);
    must(c->tls != NULL, "hookline: no memory for a session");
    return c;
}

static void conn_free(void *conn)
{
    struct conn *c = conn;
    tls_free(c->tls);
    free(c);
}

static void drain(struct conn *c)
{
    for (struct span out; (out = tls_out(c->tls)).len > 0;) {
        pipe_put(c->out, out.ptr, out.len);
        tls_out_home(c->tls);
    }
}

/* False: nothing has come. Only when all that was fed is used up. */
static bool feed(struct conn *c)
{
    size_t len = pipe_get(c->in, c->fed, sizeof c->fed);
    if (len > 0) tls_feed(c->tls, c->fed, len);
    return len > 0;
}

static enum step handshake(void *conn)
{
    struct conn *c = conn;
    enum tls_step step;
    while ((step = tls_handshake(c->tls)) == TLS_AGAIN) {
        drain(c);
        if (!feed(c)) return STEP_AGAIN;
    }
    must(step == TLS_DONE, tls_detail(c->tls));
    drain(c);
    return STEP_DONE;
}

static bool is_resumed(void *conn)
{
    return tls_resumed(((struct conn *)conn)->tls);
}

static void session_keep(void *conn)
{
    struct conn *c = conn;
    memcpy(c->context->kept, c->name, sizeof c->name);
}

static void conn_write(void *conn, const void *bytes, size_t len)
{
    struct conn *c = conn;
    size_t taken = 0;
    must(tls_write(c->tls, bytes, len, &taken) == TLS_DONE && taken == len,
         "hookline: a write failed");
    drain(c);
}

static size_t conn_read(void *conn, void *out, size_t room)
{
    struct conn *c = conn;
    size_t got = 0;
    enum tls_step step;
    while ((step = tls_read(c->tls, out, room, &got)) == TLS_AGAIN)
        if (!feed(c)) return 0;
    must(step == TLS_DONE, tls_detail(c->tls));
    return got;
}

static size_t held_bytes(void *context)
{
    return tls_pool_used_bytes(((struct context *)context)->pool);
}

const struct client client_hookline = {
    .name = "hookline on wolfSSL",
    .version = tls_build_version,
    .context_new = context_new,
    .context_free = context_free,
    .conn_new = conn_new,
    .conn_free = conn_free,
    .handshake = handshake,
    .is_resumed = is_resumed,
    .session_keep = session_keep,
    .write = conn_write,
    .read = conn_read,
    .held_bytes = held_bytes,
};
