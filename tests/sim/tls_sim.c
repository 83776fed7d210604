#include "tests/sim/tls_sim.h"

#include "tests/sim/server_sim.h"
#include "tls/pool.h"

#include <wolfssl/options.h>

#include <wolfssl/ssl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tls_sim tls_sim;

enum { CERT_BYTES_MAX = 16384, PEERS_MAX = 4096, LATER_BITS = 20, PLAIN_MAX = 4096 };

/* The receiver's end of one connection. */
struct peer {
    struct wire *wire;
    WOLFSSL *wolf; /* owns; NULL: it does not speak TLS, or no more */
    char *in;      /* owns: ciphertext, used up to in_used */
    size_t in_len, in_used, in_room;
    char plain[PLAIN_MAX];
    size_t plain_len;
    size_t cut_at, change_at; /* bytes of what it says; SIZE_MAX: never */
    bool open, deaf;
};

static char folder[256];
static struct prng dice;
static WOLFSSL_CTX *contexts[TLS_HOST_COUNT];
static struct peer *peers[PEERS_MAX]; /* by wire.number */

void tls_sim_certs(const char *path) { snprintf(folder, sizeof folder, "%s", path); }
void tls_sim_seed(uint64_t seed) { prng_seed(&dice, seed); }

void tls_sim_random(unsigned char *out, unsigned n)
{
    for (unsigned i = 0; i < n; i++) out[i] = (unsigned char)prng_u64(&dice);
}

void tls_sim_forget(void)
{
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        if (peers[i] == NULL) continue;
        if (peers[i]->wolf != NULL) wolfSSL_free(peers[i]->wolf);
        free(peers[i]->in);
        free(peers[i]);
        peers[i] = NULL;
    }
    for (int k = 0; k < TLS_HOST_COUNT; k++) {
        if (contexts[k] != NULL) wolfSSL_CTX_free(contexts[k]);
        contexts[k] = NULL;
    }
}

/* ---- the server's side of wolfSSL ----------------------------------------------------------- */

static int peer_recv(WOLFSSL *wolf, char *to, int room, void *ctx)
{
    struct peer *p = ctx;
    CHECK(wolf == p->wolf && room > 0);
    size_t n = p->in_len - p->in_used;
    if (n == 0) return WOLFSSL_CBIO_ERR_WANT_READ;
    if (n > (size_t)room) n = (size_t)room;
    memcpy(to, p->in + p->in_used, n);
    p->in_used += n;
    return (int)n;
}

static void say(struct peer *p, const char *bytes, size_t n)
{
    struct wire *c = p->wire;
    struct world *w = world_current;
    if (c->dead || c->fin_sent || p->deaf) return;
    bool cut = c->out_len + n > p->cut_at;
    if (cut) n = p->cut_at - c->out_len;
    size_t from = c->out_len;
    net_answer(c, bytes, n);
    if (p->change_at >= from && p->change_at < c->out_len) {
        c->out[p->change_at] ^= 0x20;
        tls_sim.changed++;
        PROBE("a byte of a TLS record was changed");
    }
    world_trace_bytes(w, "record", c->out + from, n);
    net_readable(c, w->now_ns + world_latency_ns(w, w->knobs.slow, LATER_BITS), c->out_len);
    if (!cut) return;
    PROBE("what a receiver says was cut inside a TLS record");
    p->deaf = true;
    uint64_t at_ns = w->now_ns + world_latency_ns(w, 50, LATER_BITS);
    if (world_draw(w, 50)) net_fin(c, at_ns);
    else net_reset(c, at_ns);
}

static int peer_send(WOLFSSL *wolf, char *from, int n, void *ctx)
{
    CHECK(n >= 0 && wolf != NULL);
    say(ctx, from, (size_t)n);
    return n;
}

static void pem_read(const char *name, const char *ending, char *out, long *len)
{
    char path[320];
    snprintf(path, sizeof path, "%s/%s.%s", folder, name, ending);
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL);
    *len = (long)fread(out, 1, CERT_BYTES_MAX, f);
    (void)fclose(f);
}

static WOLFSSL_CTX *context_of(enum tls_host kind)
{
    static const char *const certs[TLS_HOST_COUNT] = {
        [TLS_HOST_GOOD] = "good",       [TLS_HOST_GOOD_12] = "good",
        [TLS_HOST_RSA] = "good-rsa",    [TLS_HOST_UNRELATED] = "unrelated",
        [TLS_HOST_EXPIRED] = "expired", [TLS_HOST_WRONG_NAME] = "wrong-name"};
    static char cert[CERT_BYTES_MAX], key[CERT_BYTES_MAX];
    long cert_len, key_len;
    if (contexts[kind] != NULL) return contexts[kind];
    bool old = kind == TLS_HOST_GOOD_12;
    WOLFSSL_CTX *c = wolfSSL_CTX_new(old ? wolfTLSv1_2_server_method() : wolfTLS_server_method());
    CHECK(c != NULL && certs[kind] != NULL);
    pem_read(certs[kind], "pem", cert, &cert_len);
    pem_read(certs[kind], "key", key, &key_len);
    CHECK(wolfSSL_CTX_use_certificate_chain_buffer(c, (const byte *)cert, cert_len) ==
          WOLFSSL_SUCCESS);
    CHECK(wolfSSL_CTX_use_PrivateKey_buffer(c, (const byte *)key, key_len, WOLFSSL_FILETYPE_PEM) ==
          WOLFSSL_SUCCESS);
    wolfSSL_CTX_set_session_cache_mode(c, WOLFSSL_SESS_CACHE_OFF);
    wolfSSL_CTX_SetIORecv(c, peer_recv);
    wolfSSL_CTX_SetIOSend(c, peer_send);
    return contexts[kind] = c;
}

/* ---- answering ------------------------------------------------------------------------------ */

static void write_text(struct peer *p, const char *text)
{
    (void)wolfSSL_write(p->wolf, text, (int)strlen(text));
}

static void end_soon(struct peer *p)
{
    struct world *w = world_current;
    p->deaf = true;
    net_fin(p->wire, w->now_ns + world_latency_ns(w, 50, LATER_BITS));
}

static enum tls_answer answer_draw(struct world *w)
{
    uint32_t sum = 0;
    for (int k = 0; k < TLS_ANSWER_COUNT; k++) sum += tls_sim.weight[k];
    uint32_t pick = world_below(w, sum);
    for (int k = 0; k < TLS_ANSWER_COUNT; k++) {
        if (pick < tls_sim.weight[k]) return (enum tls_answer)k;
        pick -= tls_sim.weight[k];
    }
    UNREACHABLE();
}

static void answer(struct peer *p, struct tls_record *r)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";
    static const char alert[] = {0x15, 3, 3, 0, 2, 2, 80};
    struct world *w = world_current;
    enum tls_answer kind = answer_draw(w);
    world_trace(w, "answer", p->wire->number, kind, 0);
    bool whole = p->cut_at == SIZE_MAX && p->change_at == SIZE_MAX;
    switch (kind) {
    case TLS_ANSWER_KEY_UPDATE:
        if (wolfSSL_version(p->wolf) == TLS1_3_VERSION &&
            wolfSSL_update_keys(p->wolf) == WOLFSSL_SUCCESS)
            PROBE("a receiver changed its keys");
        /* fall through */
    case TLS_ANSWER_OK:
        r->ok += 1;
        write_text(p, ok);
        return;
    case TLS_ANSWER_OK_CLOSE:
        r->ok += 1;
        write_text(p, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        (void)wolfSSL_shutdown(p->wolf);
        end_soon(p);
        return;
    case TLS_ANSWER_OK_UNTIL_CLOSE:
        r->ok += 1;
        write_text(p, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end");
        (void)wolfSSL_shutdown(p->wolf);
        if (!whole) r->cut_body++;
        end_soon(p);
        return;
    case TLS_ANSWER_CUT_BODY:
        r->cut_body++;
        write_text(p, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the");
        end_soon(p);
        return;
    case TLS_ANSWER_503: write_text(p, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"); return;
    case TLS_ANSWER_SILENT: return;
    case TLS_ANSWER_GOODBYE: (void)wolfSSL_shutdown(p->wolf); /* fall through */
    case TLS_ANSWER_END: end_soon(p); return;
    case TLS_ANSWER_ALERT: say(p, alert, sizeof alert); return;
    case TLS_ANSWER_COUNT: break;
    }
    UNREACHABLE();
}

/* The requests that are whole in what was decrypted. */
static void requests(struct peer *p)
{
    for (;;) {
        const char *end = memmem(p->plain, p->plain_len, "\r\n\r\n", 4);
        const char *at = memmem(p->plain, p->plain_len, " /t/", 4);
        const char *length = memmem(p->plain, p->plain_len, "Content-Length: ", 16);
        if (end == NULL) return;
        RULE(at != NULL && at < end && length != NULL && length < end, "what request is that?");
        size_t whole = (size_t)(end - p->plain) + 4 + strtoul(length + 16, NULL, 10);
        if (p->plain_len < whole) return;
        uint32_t number = (uint32_t)strtoul(at + 4, NULL, 10);
        RULE(number >= 1 && number <= tls_sim.records, "a request for record %u", number);
        struct tls_record *r = &tls_sim.record[number - 1];
        uint32_t host = net_host_index(p->wire->net, p->wire->host);
        RULE(r->host == host, "record %u came to host %u", number, host);
        RULE(!tls_host_is_false(tls_sim.kind[host]), "record %u was sent to an impostor", number);
        r->handled++;
        memmove(p->plain, p->plain + whole, p->plain_len - whole);
        p->plain_len -= whole;
        RULE(p->plain_len == 0, "a request before the answer to the last");
        answer(p, r);
    }
}

static void plain_count(struct peer *p)
{
    const char *at = memmem(p->plain, p->plain_len, " /t/", 4);
    uint32_t number = at != NULL ? (uint32_t)strtoul(at + 4, NULL, 10) : 0;
    if (number >= 1 && number <= tls_sim.records) tls_sim.record[number - 1].plain = 1;
}

static void peer_step(struct peer *p)
{
    int n;
    if (p->wolf == NULL) return;
    if (!p->open) p->open = wolfSSL_accept(p->wolf) == WOLFSSL_SUCCESS;
    if (!p->open) return;
    while (p->plain_len < PLAIN_MAX && (n = wolfSSL_read(p->wolf, p->plain + p->plain_len,
                                                         (int)(PLAIN_MAX - p->plain_len))) > 0) {
        p->plain_len += (size_t)n;
        plain_count(p);
        requests(p);
    }
    if (wolfSSL_session_reused(p->wolf) == 1) PROBE("a session was resumed");
    if ((wolfSSL_get_shutdown(p->wolf) & WOLFSSL_RECEIVED_SHUTDOWN) != 0)
        PROBE("the engine said goodbye");
}

/* ---- called by net_sim.c -------------------------------------------------------------------- */

void server_opened(struct world *w, struct wire *c)
{
    CHECK(c->number < PEERS_MAX && peers[c->number] == NULL);
    struct peer *p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    peers[c->number] = p;
    enum tls_host kind = tls_sim.kind[net_host_index(c->net, c->host)];
    p->wire = c;
    p->cut_at = world_draw(w, tls_sim.cut_percent) ? world_below(w, 2000) : SIZE_MAX;
    p->change_at = world_draw(w, tls_sim.change_percent) ? world_below(w, 2000) : SIZE_MAX;
    if (kind == TLS_HOST_MUTE || kind == TLS_HOST_GARBAGE) return;
    struct tls_pool *before = tls_pool_enter(NULL);
    p->wolf = wolfSSL_new(context_of(kind));
    CHECK(p->wolf != NULL);
    wolfSSL_SetIOReadCtx(p->wolf, p);
    wolfSSL_SetIOWriteCtx(p->wolf, p);
    tls_pool_leave(before);
}

void server_request(struct world *w, struct wire *c, const void *bytes, size_t n)
{
    world_trace_bytes(w, "ciphertext", bytes, n);
    RULE(memmem(bytes, n, "HTTP/1.1", 8) == NULL, "connection %u: a request in the clear",
         c->number);
}

void server_bytes(struct world *w, struct wire *c, const void *bytes, size_t n)
{
    struct peer *p = peers[c->number];
    if (p->deaf) return;
    if (tls_sim.kind[net_host_index(c->net, c->host)] == TLS_HOST_GARBAGE) {
        static const char text[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
        say(p, text, sizeof text - 1);
        return;
    }
    if (p->in_len + n > p->in_room) {
        p->in_room = 2 * p->in_room + n + 512;
        p->in = realloc(p->in, p->in_room);
        CHECK(p->in != NULL);
    }
    memcpy(p->in + p->in_len, bytes, n);
    p->in_len += n;
    struct tls_pool *before = tls_pool_enter(NULL);
    peer_step(p);
    tls_pool_leave(before);
    MAYBE(w->now_ns > 0);
}

void server_send_done(struct world *w, struct wire *c, int32_t res)
{
    world_trace(w, "send done", c->number, (uint64_t)(int64_t)res, 0);
}

void server_arrived(struct world *w, struct wire *c) { MAYBE(w != NULL && c != NULL); }
void server_read(struct world *w, struct wire *c) { MAYBE(w != NULL && c != NULL); }

void server_recv_done(struct world *w, struct wire *c, int32_t res)
{
    world_trace(w, "receive done", c->number, (uint64_t)(int64_t)res, 0);
}

void server_lost(struct world *w, struct wire *c)
{
    MAYBE(w != NULL);
    if (peers[c->number] != NULL) peers[c->number]->deaf = true;
}

void truth_log_add(struct truth *t, uint32_t host, struct truth_try entry)
{
    MAYBE(t != NULL && host > 0 && entry.end_ns > 0);
}
