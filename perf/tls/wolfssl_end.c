/* perf/tls/wolfssl_end.c - the wolfSSL that hookline is linked with, as a client; see end.h. */
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "perf/tls/end.h"
#include "tls/build.h"

#include <stdlib.h>
#include <string.h>

struct context {
    WOLFSSL_CTX *ctx;
    WOLFSSL_SESSION *kept;
    bool tls12;
};

struct conn {
    WOLFSSL *ssl;
    struct context *context;
    struct pipe *in, *out;
};

static void must(bool ok, const char *what)
{
    if (!ok) bench_stop(what);
}

static int io_recv(WOLFSSL *ssl, char *buf, int room, void *arg)
{
    (void)ssl;
    size_t got = pipe_get(((struct conn *)arg)->in, buf, (size_t)room);
    return got == 0 ? WOLFSSL_CBIO_ERR_WANT_READ : (int)got;
}

static int io_send(WOLFSSL *ssl, char *buf, int len, void *arg)
{
    (void)ssl;
    pipe_put(((struct conn *)arg)->out, buf, (size_t)len);
    return len;
}

/* wolfSSL's name of a suite of which the setup has OpenSSL's. */
static const char *suite_name(const char *suite)
{
    if (strcmp(suite, "TLS_AES_128_GCM_SHA256") == 0) return "TLS13-AES128-GCM-SHA256";
    if (strcmp(suite, "TLS_CHACHA20_POLY1305_SHA256") == 0) return "TLS13-CHACHA20-POLY1305-SHA256";
    return suite;
}

static void *context_new(const struct setup *s, const struct credentials *credentials)
{
    int groups[] = {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1};
    struct context *c = calloc(1, sizeof *c);
    must(c != NULL && wolfSSL_Init() == WOLFSSL_SUCCESS, "wolfSSL does not begin");
    c->tls12 = s->tls12;
    c->ctx = wolfSSL_CTX_new(s->tls12 ? wolfTLSv1_2_client_method() : wolfTLSv1_3_client_method());
    must(c->ctx != NULL, "wolfSSL makes no context");
    wolfSSL_CTX_set_verify(c->ctx, WOLFSSL_VERIFY_PEER, NULL);
    must(wolfSSL_CTX_load_verify_buffer(c->ctx, (const uint8_t *)credentials->ca,
                                        (long)strlen(credentials->ca),
                                        WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS,
         "wolfSSL: authority");
    must(wolfSSL_CTX_set_cipher_list(c->ctx, suite_name(s->suite)) == WOLFSSL_SUCCESS,
         "wolfSSL: suite");
    if (s->tls12)
        must(wolfSSL_CTX_UseSupportedCurve(c->ctx, WOLFSSL_ECC_X25519) == WOLFSSL_SUCCESS &&
                 wolfSSL_CTX_UseSupportedCurve(c->ctx, WOLFSSL_ECC_SECP256R1) == WOLFSSL_SUCCESS,
             "wolfSSL: groups");
    else must(wolfSSL_CTX_set_groups(c->ctx, groups, 2) == WOLFSSL_SUCCESS, "wolfSSL: groups");
    wolfSSL_CTX_SetIORecv(c->ctx, io_recv);
    wolfSSL_CTX_SetIOSend(c->ctx, io_send);
    /* Not SESS_CACHE_OFF: a library without OPENSSL_EXTRA then refuses to be given a session. */
    wolfSSL_CTX_set_session_cache_mode(c->ctx, WOLFSSL_SESS_CACHE_NO_INTERNAL);
    return c;
}

static void context_free(void *context)
{
    struct context *c = context;
    if (c->kept != NULL) wolfSSL_SESSION_free(c->kept);
    wolfSSL_CTX_free(c->ctx);
    free(c);
    wolfSSL_Cleanup();
}

static void *conn_new(void *context, struct pipe *in, struct pipe *out, bool resumes)
{
    struct conn *c = calloc(1, sizeof *c);
    must(c != NULL, "no memory");
    *c = (struct conn){.context = context, .in = in, .out = out};
    c->ssl = wolfSSL_new(c->context->ctx);
    must(c->ssl != NULL, "wolfSSL makes no connection");
    wolfSSL_SetIOReadCtx(c->ssl, c);
    wolfSSL_SetIOWriteCtx(c->ssl, c);
    must(wolfSSL_check_domain_name(c->ssl, bench_host) == WOLFSSL_SUCCESS, "wolfSSL: name");
    must(wolfSSL_UseSNI(c->ssl, WOLFSSL_SNI_HOST_NAME, bench_host,
                        (unsigned short)strlen(bench_host)) == WOLFSSL_SUCCESS,
         "wolfSSL: SNI");
    char alpn[] = "http/1.1";
    must(wolfSSL_UseALPN(c->ssl, alpn, sizeof alpn - 1, WOLFSSL_ALPN_FAILED_ON_MISMATCH) ==
             WOLFSSL_SUCCESS,
         "wolfSSL: ALPN");
    if (!c->context->tls12)
        must(wolfSSL_UseKeyShare(c->ssl, WOLFSSL_ECC_X25519) == WOLFSSL_SUCCESS, "wolfSSL: share");
    must(wolfSSL_UseSessionTicket(c->ssl) == WOLFSSL_SUCCESS, "wolfSSL: tickets");
    if (resumes)
        must(wolfSSL_set_session(c->ssl, c->context->kept) == WOLFSSL_SUCCESS, "wolfSSL: session");
    return c;
}

static void conn_free(void *conn)
{
    struct conn *c = conn;
    wolfSSL_free(c->ssl);
    free(c);
}

static enum step handshake(void *conn)
{
    struct conn *c = conn;
    int result = wolfSSL_connect(c->ssl);
    if (result == WOLFSSL_SUCCESS) return STEP_DONE;
    must(wolfSSL_get_error(c->ssl, result) == WOLFSSL_ERROR_WANT_READ,
         "wolfSSL: the handshake failed");
    return STEP_AGAIN;
}

static bool is_resumed(void *conn)
{
    return wolfSSL_session_reused(((struct conn *)conn)->ssl) == 1;
}

static void session_keep(void *conn)
{
    struct conn *c = conn;
    if (c->context->kept != NULL) wolfSSL_SESSION_free(c->context->kept);
    c->context->kept = wolfSSL_get1_session(c->ssl);
    must(c->context->kept != NULL, "wolfSSL: no session");
}

static void conn_write(void *conn, const void *bytes, size_t len)
{
    must(wolfSSL_write(((struct conn *)conn)->ssl, bytes, (int)len) == (int)len,
         "wolfSSL: a write failed");
}

static size_t conn_read(void *conn, void *out, size_t room)
{
    struct conn *c = conn;
    int got = wolfSSL_read(c->ssl, out, (int)room);
    if (got > 0) return (size_t)got;
    must(wolfSSL_get_error(c->ssl, got) == WOLFSSL_ERROR_WANT_READ, "wolfSSL: a read failed");
    return 0;
}

const struct client client_wolfssl = {
    .name = "wolfSSL",
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
};
