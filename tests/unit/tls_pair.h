/* tests/unit/tls_pair.h - a client of tls/tls.h and a server, joined by two buffers in memory.
 *
 * The server is wolfSSL's own, set up by hand from the certificates that tests/certs/make makes
 * once for the whole executable. It keeps what it decrypts, so that a test can demand that nothing
 * did.
 */
#ifndef TESTS_UNIT_TLS_PAIR_H
#define TESTS_UNIT_TLS_PAIR_H

#include "tls/pool.h"
#include "tls/tickets.h"
#include "tls/tls.h"

#include <wolfssl/options.h>

#include <wolfssl/ssl.h>

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- certificates ------------------------------------------------------------------------- */

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    (void)tests;
    static char folder[] = "/tmp/hookline-certs-XXXXXX";
    char command[256];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(command, sizeof command, "tests/certs/make %s", folder);
    CHECK(system(command) == 0);
    setenv("CERTS", folder, 1);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    char command[256];
    snprintf(command, sizeof command, "rm -r %s", getenv("CERTS"));
    CHECK(system(command) == 0);
}

/* A file of the folder, read whole; the caller frees it, or the process does. */
static inline struct span cert_file(const char *name, const char *ending)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s%s", getenv("CERTS"), name, ending);
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL);
    char *text = malloc(1 << 20);
    CHECK(text != NULL);
    size_t len = fread(text, 1, 1 << 20, f);
    fclose(f);
    return span_of(text, len);
}

/* ---- the pair ----------------------------------------------------------------------------- */

enum { PIPE_BYTES = 1 << 20 };

struct pipe_buffer {
    char bytes[PIPE_BYTES];
    size_t read, written;
};

struct pair {
    struct tls_pool *pool;
    struct tls_context *context;
    struct tls_session *client;
    WOLFSSL_CTX *server_context;
    WOLFSSL *server;
    struct pipe_buffer to_server, to_client;
    char got[65536]; /* what the server decrypted */
    size_t got_len;
    size_t pieces; /* the client is fed in pieces of this; 0: all at once */
    bool server_open, server_closed;
};

static inline int server_recv(WOLFSSL *wolf, char *to, int room, void *ctx)
{
    struct pipe_buffer *b = &((struct pair *)ctx)->to_server;
    (void)wolf;
    size_t n = b->written - b->read;
    if (n == 0) return WOLFSSL_CBIO_ERR_WANT_READ;
    if (n > (size_t)room) n = (size_t)room;
    memcpy(to, b->bytes + b->read, n);
    b->read += n;
    return (int)n;
}

static inline int server_send(WOLFSSL *wolf, char *from, int len, void *ctx)
{
    struct pipe_buffer *b = &((struct pair *)ctx)->to_client;
    (void)wolf;
    CHECK(b->written + (size_t)len <= sizeof b->bytes);
    memcpy(b->bytes + b->written, from, (size_t)len);
    b->written += (size_t)len;
    return len;
}

/* How one test's two sides differ from the usual. */
struct pair_setup {
    const char *cert;    /* the server's; NULL: good */
    const char *trusted; /* the client's; NULL: trusted.pem */
    const char *host;    /* NULL: hook.example */
    const char *ip;      /* the URL names this address instead */
    const char *client_cert;
    WOLFSSL_METHOD *(*server_method)(void); /* NULL: any version */
    const char *server_suites;
    const char *server_alpn;
    enum tls_version oldest;
    bool insecure;
    bool server_asks; /* for a client certificate */
    struct tls_tickets *tickets;
    size_t pool_bytes; /* 0: plenty */
};

static inline void server_make(struct pair *p, const struct pair_setup *how)
{
    const char *cert = how->cert ? how->cert : "good";
    struct span pem = cert_file(cert, ".pem"), key = cert_file(cert, ".key");
    CHECK(tls_pool_install());
    p->server_context =
        wolfSSL_CTX_new(how->server_method ? how->server_method() : wolfTLS_server_method());
    WOLFSSL_CTX *c = p->server_context;
    CHECK(c != NULL);
    CHECK(wolfSSL_CTX_SetMinRsaKey_Sz(c, 1024) == WOLFSSL_SUCCESS);
    CHECK(wolfSSL_CTX_use_certificate_chain_buffer(c, (const void *)pem.ptr, (long)pem.len) ==
          WOLFSSL_SUCCESS);
    CHECK(wolfSSL_CTX_use_PrivateKey_buffer(c, (const void *)key.ptr, (long)key.len,
                                            WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS);
    if (how->server_suites != NULL)
        CHECK(wolfSSL_CTX_set_cipher_list(c, how->server_suites) == WOLFSSL_SUCCESS);
    if (how->server_asks) {
        struct span ca = cert_file("trusted", ".pem");
        wolfSSL_CTX_set_verify(c, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        CHECK(wolfSSL_CTX_load_verify_buffer(c, (const void *)ca.ptr, (long)ca.len,
                                             WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS);
    }
    /* The library's cache is the process's: another server would find the sessions in it. */
    wolfSSL_CTX_set_session_cache_mode(c, WOLFSSL_SESS_CACHE_OFF);
    wolfSSL_CTX_SetIORecv(c, server_recv);
    wolfSSL_CTX_SetIOSend(c, server_send);
}

static inline void server_begin(struct pair *p, const struct pair_setup *how)
{
    p->server = wolfSSL_new(p->server_context);
    CHECK(p->server != NULL);
    wolfSSL_SetIOReadCtx(p->server, p);
    wolfSSL_SetIOWriteCtx(p->server, p);
    if (how->server_alpn != NULL)
        CHECK(wolfSSL_UseALPN(p->server, (char *)(uintptr_t)how->server_alpn,
                              (unsigned)strlen(how->server_alpn),
                              WOLFSSL_ALPN_FAILED_ON_MISMATCH) == WOLFSSL_SUCCESS);
    p->server_open = p->server_closed = false;
    p->got_len = 0;
    p->to_server.read = p->to_server.written = p->to_client.read = p->to_client.written = 0;
}

static inline bool client_context_make(struct pair *p, const struct pair_setup *how, char *why)
{
    struct tls_rules rules = {.trusted = cert_file(how->trusted ? how->trusted : "trusted", ".pem"),
                              .oldest = how->oldest,
                              .insecure = how->insecure};
    if (how->client_cert != NULL) {
        rules.certificate = cert_file(how->client_cert, ".pem");
        rules.key = cert_file(how->client_cert, ".key");
    }
    p->pool = tls_pool_new(how->pool_bytes ? how->pool_bytes : 64 << 20);
    CHECK(p->pool != NULL);
    p->context = tls_context_new(&rules, p->pool, how->tickets, why);
    return p->context != NULL;
}

static inline bool client_begin(struct pair *p, const struct pair_setup *how)
{
    struct addr ip = {.sa = {.sa_family = AF_UNSPEC}};
    static char name[300];
    const char *host = how->host ? how->host : "hook.example";
    if (how->ip != NULL) {
        if (inet_pton(AF_INET, how->ip, &ip.v4.sin_addr) == 1) ip.sa.sa_family = AF_INET;
        else if (inet_pton(AF_INET6, how->ip, &ip.v6.sin6_addr) == 1) ip.sa.sa_family = AF_INET6;
        else CHECK(false);
        host = how->ip;
    }
    snprintf(name, sizeof name, "%s:443", host);
    struct tls_peer peer = {
        .name = span_of(name, strlen(name)), .host = span_of(name, strlen(host)), .ip = ip};
    p->client = tls_new(p->context, &peer);
    return p->client != NULL;
}

/* Both sides, ready to begin. */
static inline struct pair *pair_new(const struct pair_setup *how)
{
    char why[TLS_WHY_BYTES];
    struct pair *p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    server_make(p, how);
    server_begin(p, how);
    cr_assert(client_context_make(p, how, why), "%s", why);
    cr_assert(client_begin(p, how));
    return p;
}

/* The connection ends, the two contexts stay. */
static inline void pair_end(struct pair *p)
{
    if (p->client != NULL) tls_free(p->client);
    wolfSSL_free(p->server);
    p->client = NULL;
    p->server = NULL;
}

/* All goes, and the pool must be empty. */
static inline void pair_free(struct pair *p)
{
    if (p->server != NULL) pair_end(p);
    tls_context_free(p->context);
    cr_assert_eq(tls_pool_blocks(p->pool), 0, "%llu blocks are left",
                 (unsigned long long)tls_pool_blocks(p->pool));
    tls_pool_free(p->pool);
    wolfSSL_CTX_free(p->server_context);
    free(p);
}

/* ---- moving bytes ------------------------------------------------------------------------- */

static inline bool client_flush(struct pair *p)
{
    struct span out = tls_out(p->client);
    CHECK(p->to_server.written + out.len <= sizeof p->to_server.bytes);
    if (out.len > 0) memcpy(p->to_server.bytes + p->to_server.written, out.ptr, out.len);
    p->to_server.written += out.len;
    tls_out_home(p->client);
    return out.len > 0;
}

static inline void server_step(struct pair *p)
{
    if (!p->server_open) p->server_open = wolfSSL_accept(p->server) == WOLFSSL_SUCCESS;
    if (!p->server_open) return;
    int n;
    while ((n = wolfSSL_read(p->server, p->got + p->got_len, (int)(sizeof p->got - p->got_len))) >
           0)
        p->got_len += (size_t)n;
    if (wolfSSL_get_error(p->server, n) == WOLFSSL_ERROR_ZERO_RETURN) p->server_closed = true;
}

/* Bytes for the client that it has not seen. */
static inline struct span client_news(struct pair *p)
{
    struct pipe_buffer *b = &p->to_client;
    size_t n = b->written - b->read;
    if (p->pieces > 0 && n > p->pieces) n = p->pieces;
    struct span s = span_of(b->bytes + b->read, n);
    b->read += n;
    return s;
}

/* Goes on with the handshake until neither side has anything to say. */
static inline enum tls_step pair_shake(struct pair *p)
{
    enum tls_step step = tls_handshake(p->client);
    for (int i = 0; i < 100000; i++) {
        bool moved = client_flush(p);
        server_step(p);
        if (step != TLS_AGAIN) break;
        struct span news = client_news(p);
        if (news.len == 0 && !moved) break;
        if (news.len == 0) continue;
        tls_feed(p->client, news.ptr, news.len);
        step = tls_handshake(p->client);
    }
    return step;
}

static inline void client_say(struct pair *p, const char *text, size_t len)
{
    while (len > 0) {
        size_t taken = 0;
        cr_assert_eq(tls_write(p->client, text, len, &taken), TLS_DONE);
        text += taken;
        len -= taken;
        client_flush(p);
        server_step(p);
    }
}

/* What the client can read now, and why it cannot read on. */
static inline size_t client_hear(struct pair *p, char *out, size_t room, enum tls_step *last)
{
    size_t all = 0, got = 0;
    for (*last = TLS_AGAIN;;) {
        while (all < room && (*last = tls_read(p->client, out + all, room - all, &got)) == TLS_DONE)
            all += got;
        if (*last != TLS_AGAIN) return all;
        struct span news = client_news(p);
        if (news.len == 0) return all;
        tls_feed(p->client, news.ptr, news.len);
    }
}

#endif
