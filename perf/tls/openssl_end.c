/* perf/tls/openssl_end.c - the server, OpenSSL as a client, and certificates; see end.h. */
#include "perf/tls/end.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

const char bench_host[] = "receiver.test";
const uint8_t bench_alpn[ALPN_BYTES] = "\x08http/1.1";

static void must(bool ok, const char *what)
{
    if (ok) return;
    ERR_print_errors_fp(stderr);
    bench_stop(what);
}

/* ---- certificates ------------------------------------------------------------------------- */

static EVP_PKEY *key_new(bool rsa)
{
    EVP_PKEY *key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    must(key != NULL, "OpenSSL makes no key");
    return key;
}

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(e != NULL && X509_add_ext(cert, e, -1) == 1, "OpenSSL makes no extension");
    X509_EXTENSION_free(e);
}

/* issuer NULL: its own. */
static X509 *cert_new(EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, const char *name)
{
    X509 *cert = X509_new();
    must(cert != NULL && X509_set_version(cert, 2) == 1, "OpenSSL makes no certificate");
    ASN1_INTEGER_set(X509_get_serialNumber(cert), issuer == NULL ? 1 : 2);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const uint8_t *)name, -1, -1, 0);
    X509 *by = issuer == NULL ? cert : issuer;
    X509_set_issuer_name(cert, X509_get_subject_name(by));
    if (issuer == NULL) {
        extend(cert, by, NID_basic_constraints, "critical,CA:TRUE");
        extend(cert, by, NID_key_usage, "critical,keyCertSign");
    } else {
        extend(cert, by, NID_basic_constraints, "critical,CA:FALSE");
        extend(cert, by, NID_ext_key_usage, "serverAuth");
        char san[64];
        snprintf(san, sizeof san, "DNS:%s", name);
        extend(cert, by, NID_subject_alt_name, san);
    }
    must(X509_sign(cert, issuer_key, EVP_sha256()) > 0, "OpenSSL signs nothing");
    return cert;
}

static void take_pem(BIO *bio, char out[PEM_BYTES])
{
    int len = BIO_read(bio, out, PEM_BYTES - 1);
    must(len > 0, "OpenSSL writes no PEM");
    out[len] = '\0';
    BIO_free(bio);
}

void credentials_make(struct credentials *c, bool rsa)
{
    EVP_PKEY *ca_key = key_new(rsa), *key = key_new(rsa);
    X509 *ca = cert_new(ca_key, NULL, ca_key, "Bench authority");
    X509 *cert = cert_new(key, ca, ca_key, bench_host);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, ca);
    take_pem(bio, c->ca);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, cert);
    take_pem(bio, c->certificate);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    take_pem(bio, c->key);
    X509_free(cert);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
}

/* ---- what both ends share ----------------------------------------------------------------- */

struct served {
    SSL *ssl;
    BIO *from, *to; /* the SSL's */
    struct pipe *in, *out;
    SSL_SESSION **kept; /* a client's context's */
};

/* Moves all that came into the SSL's reach. */
static void fill(struct served *c)
{
    uint8_t buf[16384];
    for (size_t got; (got = pipe_get(c->in, buf, sizeof buf)) > 0;)
        must(BIO_write(c->from, buf, (int)got) == (int)got, "a memory BIO is full");
}

static void drain(struct served *c)
{
    uint8_t buf[16384];
    for (int got; (got = BIO_read(c->to, buf, sizeof buf)) > 0;)
        pipe_put(c->out, buf, (size_t)got);
}

static SSL_CTX *ctx_new(const SSL_METHOD *method, const struct setup *s)
{
    int version = s->tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
    SSL_CTX *ctx = SSL_CTX_new(method);
    must(ctx != NULL, "OpenSSL makes no context");
    must(SSL_CTX_set_min_proto_version(ctx, version) == 1, "OpenSSL: version");
    must(SSL_CTX_set_max_proto_version(ctx, version) == 1, "OpenSSL: version");
    must(SSL_CTX_set1_groups_list(ctx, "X25519:P-256") == 1, "OpenSSL: groups");
    must((s->tls12 ? SSL_CTX_set_cipher_list : SSL_CTX_set_ciphersuites)(ctx, s->suite) == 1,
         "OpenSSL: suite");
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS); /* an idle connection keeps no buffer */
    return ctx;
}

static struct served *conn_of(SSL_CTX *ctx, struct pipe *in, struct pipe *out)
{
    struct served *c = OPENSSL_zalloc(sizeof *c);
    must(c != NULL, "no memory");
    c->ssl = SSL_new(ctx);
    c->from = BIO_new(BIO_s_mem());
    c->to = BIO_new(BIO_s_mem());
    must(c->ssl != NULL && c->from != NULL && c->to != NULL, "no memory");
    BIO_set_mem_eof_return(c->from, -1);
    SSL_set_bio(c->ssl, c->from, c->to);
    c->in = in;
    c->out = out;
    return c;
}

void served_free(struct served *c)
{
    SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* the ticket stays good */
    SSL_free(c->ssl);
    OPENSSL_free(c);
}

enum step served_handshake(struct served *c)
{
    fill(c);
    int result = SSL_do_handshake(c->ssl);
    drain(c);
    if (result == 1) return STEP_DONE;
    must(SSL_get_error(c->ssl, result) == SSL_ERROR_WANT_READ, "OpenSSL: the handshake failed");
    return STEP_AGAIN;
}

void served_write(struct served *c, const void *bytes, size_t len)
{
    must(SSL_write(c->ssl, bytes, (int)len) == (int)len, "OpenSSL: a write failed");
    drain(c);
}

size_t served_read(struct served *c, void *out, size_t room)
{
    fill(c);
    int got = SSL_read(c->ssl, out, (int)room);
    if (got > 0) return (size_t)got;
    must(SSL_get_error(c->ssl, got) == SSL_ERROR_WANT_READ, "OpenSSL: a read failed");
    return 0;
}

/* ---- server ------------------------------------------------------------------------------- */

struct server {
    SSL_CTX *ctx;
};

static int alpn_choose(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in,
                       unsigned in_len, void *arg)
{
    (void)ssl, (void)arg;
    uint8_t *chosen;
    int found = SSL_select_next_proto(&chosen, out_len, bench_alpn, ALPN_BYTES, in, in_len);
    *out = chosen;
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

struct server *server_new(const struct setup *s, const struct credentials *c)
{
    struct server *server = OPENSSL_zalloc(sizeof *server);
    must(server != NULL, "no memory");
    server->ctx = ctx_new(TLS_server_method(), s);
    BIO *bio = BIO_new_mem_buf(c->certificate, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    must(SSL_CTX_use_certificate(server->ctx, cert) == 1, "OpenSSL: certificate");
    X509_free(cert);
    BIO_free(bio);
    bio = BIO_new_mem_buf(c->key, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    must(SSL_CTX_use_PrivateKey(server->ctx, key) == 1, "OpenSSL: key");
    EVP_PKEY_free(key);
    BIO_free(bio);
    SSL_CTX_set_session_cache_mode(server->ctx, SSL_SESS_CACHE_OFF); /* tickets alone */
    SSL_CTX_set_alpn_select_cb(server->ctx, alpn_choose, NULL);
    return server;
}

void server_free(struct server *s)
{
    SSL_CTX_free(s->ctx);
    OPENSSL_free(s);
}

struct served *served_new(struct server *s, struct pipe *in, struct pipe *out)
{
    struct served *c = conn_of(s->ctx, in, out);
    SSL_set_accept_state(c->ssl);
    return c;
}

/* ---- client ------------------------------------------------------------------------------- */

struct client_context {
    SSL_CTX *ctx;
    SSL_SESSION *kept, *newest;
};

static int session_came(SSL *ssl, SSL_SESSION *session)
{
    struct client_context *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    SSL_SESSION_free(c->newest);
    c->newest = session;
    return 1;
}

static void *context_new(const struct setup *s, const struct credentials *credentials)
{
    struct client_context *c = OPENSSL_zalloc(sizeof *c);
    must(c != NULL, "no memory");
    c->ctx = ctx_new(TLS_client_method(), s);
    BIO *bio = BIO_new_mem_buf(credentials->ca, -1);
    X509 *ca = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    must(X509_STORE_add_cert(SSL_CTX_get_cert_store(c->ctx), ca) == 1, "OpenSSL: authority");
    X509_free(ca);
    BIO_free(bio);
    SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_app_data(c->ctx, c);
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c->ctx, session_came);
    return c;
}

static void context_free(void *context)
{
    struct client_context *c = context;
    SSL_SESSION_free(c->kept);
    SSL_SESSION_free(c->newest);
    SSL_CTX_free(c->ctx);
    OPENSSL_free(c);
}

static void *conn_new(void *context, struct pipe *in, struct pipe *out, bool resumes)
{
    struct client_context *ctx = context;
    struct served *c = conn_of(ctx->ctx, in, out);
    SSL_set_connect_state(c->ssl);
    must(SSL_set_tlsext_host_name(c->ssl, bench_host) == 1, "OpenSSL: SNI");
    must(SSL_set1_host(c->ssl, bench_host) == 1, "OpenSSL: name");
    must(SSL_set_alpn_protos(c->ssl, bench_alpn, ALPN_BYTES) == 0, "OpenSSL: ALPN");
    if (resumes) must(SSL_set_session(c->ssl, ctx->kept) == 1, "OpenSSL: session");
    return c;
}

static void conn_free(void *conn)
{
    served_free(conn);
}

static enum step handshake(void *conn)
{
    return served_handshake(conn);
}

static bool is_resumed(void *conn)
{
    return SSL_session_reused(((struct served *)conn)->ssl) == 1;
}

static void session_keep(void *conn)
{
    struct client_context *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(((struct served *)conn)->ssl));
    must(c->newest != NULL || c->kept != NULL, "OpenSSL: no ticket came");
    if (c->newest == NULL) return; /* TLS 1.2: the old one stays good */
    SSL_SESSION_free(c->kept);
    c->kept = c->newest;
    c->newest = NULL;
}

static void client_write(void *conn, const void *bytes, size_t len)
{
    served_write(conn, bytes, len);
}

static size_t client_read(void *conn, void *out, size_t room)
{
    return served_read(conn, out, room);
}

static const char *version(void)
{
    return OpenSSL_version(OPENSSL_VERSION_STRING);
}

const struct client client_openssl = {
    .name = "OpenSSL",
    .version = version,
    .context_new = context_new,
    .context_free = context_free,
    .conn_new = conn_new,
    .conn_free = conn_free,
    .handshake = handshake,
    .is_resumed = is_resumed,
    .session_keep = session_keep,
    .write = client_write,
    .read = client_read,
};
