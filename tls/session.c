/* tls/session.c - one connection's TLS; see tls.h. */
#include "tls/parts.h"

#include "tls/cert.h"
#include "tls/show.h"
#include "tls/tickets.h"

#include <wolfssl/error-ssl.h>

#include <stdio.h>
#include <string.h>

enum {
    OUT_ROOM_MIN = 512,
    HEAD_BYTES = 16, /* the pool's, before a block: rooms are chosen so that both fill a class */
};

/* ---- faults ------------------------------------------------------------------------------- */

/* RFC 8446 section 6.2; what else there is in older versions is not worth a name. */
#define ALERTS(X) \
    X(10, "unexpected_message") \
    X(20, "bad_record_mac") \
    X(22, "record_overflow") \
    X(40, "handshake_failure") \
    X(42, "bad_certificate") \
    X(43, "unsupported_certificate") \
    X(44, "certificate_revoked") \
    X(45, "certificate_expired") \
    X(46, "certificate_unknown") \
    X(47, "illegal_parameter") \
    X(48, "unknown_ca") \
    X(49, "access_denied") \
    X(50, "decode_error") \
    X(51, "decrypt_error") \
    X(70, "protocol_version") \
    X(71, "insufficient_security") \
    X(80, "internal_error") \
    X(86, "inappropriate_fallback") \
    X(90, "user_canceled") \
    X(109, "missing_extension") \
    X(110, "unsupported_extension") \
    X(112, "unrecognized_name") \
    X(116, "certificate_required") \
    X(120, "no_application_protocol")

#define ALERT_ROW(number, name) \
    case number: return "the receiver ended the session with the alert " name;
static const char *alert_text(uint8_t alert)
{
    switch (alert) {
        ALERTS(ALERT_ROW)
    default: return "the receiver ended the session with an alert of no known meaning";
    }
}
#undef ALERT_ROW

const char *tls_detail(const struct tls_session *s)
{
    return s->alerted ? alert_text(s->alert) : tls_fault_text(s->fault);
}

/* The peer's alert, if it was one that ends a session. */
static void alert_look(struct tls_session *s)
{
    WOLFSSL_ALERT_HISTORY seen;
    if (wolfSSL_get_alert_history(s->wolf, &seen) != WOLFSSL_SUCCESS) return;
    if (seen.last_rx.level != alert_fatal || seen.last_rx.code < 0) return;
    s->alert = (uint8_t)seen.last_rx.code;
    s->alerted = true;
}

static enum tls_step failed(struct tls_session *s, enum tls_fault fault)
{
    CHECK(fault != TLS_FAULT_NONE);
    if (s->fault == TLS_FAULT_NONE) s->fault = fault;
    return TLS_ERROR;
}

/* wolfSSL 5.5.4, TLS 1.2: after it has offered a ticket a client takes any ServerHello for a yes,
 * and what a server sends that has lost the ticket's key for out of order (internal.c,
 * DSH_CheckSessionId). Another connection, without a ticket, finds out who is there. */
static enum tls_fault ticket_declined(struct tls_session *s)
{
    tls_tickets_forget(s->context->tickets, s->peer.name);
    return TLS_FAULT_STALE;
}

/* ---- entering the library ----------------------------------------------------------------- */

struct visit {
    struct tls_pool *before;
    uint64_t refused;
};

static struct visit visit_begin(struct tls_session *s)
{
    struct tls_pool *p = s->context->pool;
    return (struct visit){tls_pool_enter(p), tls_pool_refused(p)};
}

/* What a call's result means, if it was not what was hoped for. */
static enum tls_step visit_end(struct tls_session *s, const struct visit *v, int result)
{
    int code = wolfSSL_get_error(s->wolf, result);
    bool short_of_memory = tls_pool_refused(s->context->pool) != v->refused;
    enum tls_step step = TLS_ERROR;
    if (code == WOLFSSL_ERROR_WANT_READ && !short_of_memory) {
        CHECK(s->in.len == 0);
        step = TLS_AGAIN;
    } else if (code == WOLFSSL_ERROR_ZERO_RETURN) {
        s->peer_closed = true;
        step = s->open ? TLS_CLOSED : failed(s, TLS_FAULT_CLOSED);
    } else if (short_of_memory) {
        failed(s, TLS_FAULT_MEMORY); /* whatever the library made of it */
    } else if (s->cert_fault != TLS_FAULT_NONE && !s->open) {
        failed(s, s->cert_fault);
    } else {
        enum tls_fault fault = tls_fault_of_code(code != 0 ? code : -1, s->open);
        if (code == OUT_OF_ORDER_E && s->offered && !s->open) fault = ticket_declined(s);
        if (fault == TLS_FAULT_ALERT || fault == TLS_FAULT_ALERT_LATER) alert_look(s);
        failed(s, fault);
    }
    tls_errors_forget();
    tls_pool_leave(v->before);
    return step;
}

/* ---- wolfSSL's calls back ----------------------------------------------------------------- */

int tls_session_recv(WOLFSSL *wolf, char *to, int room, void *ctx)
{
    struct tls_session *s = ctx;
    (void)wolf;
    CHECK(room >= 0);
    if (s->in.len == 0) return WOLFSSL_CBIO_ERR_WANT_READ;
    size_t n = (size_t)room < s->in.len ? (size_t)room : s->in.len;
    memcpy(to, s->in.ptr, n);
    s->in = span_of(s->in.ptr + n, s->in.len - n);
    return (int)n;
}

static bool buffer_grow(struct tls_session *s, struct tls_buffer *b, uint32_t more)
{
    uint32_t all = OUT_ROOM_MIN;
    while (all - HEAD_BYTES < b->len + more) all *= 2;
    char *ptr = tls_pool_take(s->context->pool, all - HEAD_BYTES);
    if (ptr == NULL) return false;
    if (b->len > 0) memcpy(ptr, b->ptr, b->len);
    tls_pool_give(b->ptr);
    b->ptr = ptr;
    b->room = all - HEAD_BYTES;
    return true;
}

int tls_session_send(WOLFSSL *wolf, char *from, int len, void *ctx)
{
    struct tls_session *s = ctx;
    struct tls_buffer *b = &s->out;
    (void)wolf;
    CHECK(len >= 0 && len < 1 << 20);
    if ((uint32_t)len > b->room - b->len && !buffer_grow(s, b, (uint32_t)len))
        return WOLFSSL_CBIO_ERR_GENERAL;
    memcpy(b->ptr + b->len, from, (size_t)len);
    b->len += (uint32_t)len;
    return len;
}

/* Of each certificate that was sent and is not a root: its signature is relied on. */
static enum tls_fault signatures(const WOLFSSL_X509_STORE_CTX *store)
{
    for (int i = 0; i < store->totalCerts; i++) {
        struct span der = span_of(store->certs[i].buffer, store->certs[i].length);
        enum tls_fault fault = tls_cert_signature(der);
        if (fault != TLS_FAULT_NONE) return fault;
    }
    return TLS_FAULT_NONE;
}

/* What is wrong with a certificate above the peer's own. The library goes on, and would only say
 * that the peer's is not signed by anyone it knows. */
static enum tls_fault issuer_fault(int error)
{
    switch (error) {
#ifdef OPENSSL_EXTRA
    case X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD: return TLS_FAULT_EXPIRED;
    case X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD: return TLS_FAULT_NOT_YET;
    case X509_V_ERR_PATH_LENGTH_EXCEEDED: return TLS_FAULT_CHAIN;
#endif
    default:
        if (error >= 0) return TLS_FAULT_NONE;
        enum tls_fault fault = tls_fault_of_code(error, false);
        bool is_certificate = tls_fault_err(fault) == ERR_TLS_CERTIFICATE;
        return is_certificate && fault != TLS_FAULT_UNTRUSTED ? fault : TLS_FAULT_NONE;
    }
}

/* Why the peer's own certificate was refused, where the library's word is too general: only a build
 * with OPENSSL_ALL tells a self-signed one from one whose authority is unknown. */
static enum tls_fault leaf_fault(const WOLFSSL_X509_STORE_CTX *store)
{
    if (store->error != ASN_NO_SIGNER_E || store->totalCerts < 1) return TLS_FAULT_NONE;
    struct span leaf = span_of(store->certs[0].buffer, store->certs[0].length);
    return tls_cert_is_self_issued(leaf) ? TLS_FAULT_SELF_SIGNED : TLS_FAULT_NONE;
}

static bool by_ip(const struct tls_peer *p) { return p->ip.sa.sa_family != AF_UNSPEC; }

/* For a person to look at; whatever the verdict will be. */
static void chain_keep(struct tls_chain *chain, const WOLFSSL_X509_STORE_CTX *store)
{
    if (chain->shown > 0 || store->certs == NULL) return; /* this is called for each of them */
    for (int i = 0; i < store->totalCerts; i++)
        tls_chain_add(chain, span_of(store->certs[i].buffer, store->certs[i].length));
}

/* Our part of the verification: called for the peer's certificate when the library has said its
 * word, and for others. It may turn a yes into a no, never the other way. */
int tls_session_verify(int preverify, WOLFSSL_X509_STORE_CTX *store)
{
    struct tls_session *s = store->userCtx;
    store->discardSessionCerts = 1; /* a ticket is kept without the chain */
    if (s != NULL && s->peer.chain != NULL) chain_keep(s->peer.chain, store);
    if (preverify != 1 && s != NULL && s->cert_fault == TLS_FAULT_NONE && store->error_depth > 0)
        s->cert_fault = issuer_fault(store->error);
    if (preverify != 1 && s != NULL && s->cert_fault == TLS_FAULT_NONE)
        s->cert_fault = leaf_fault(store);
    if (preverify != 1) return 0;
    if (store->error_depth != 0) return 1;
    if (s == NULL || s->cert_fault != TLS_FAULT_NONE || store->totalCerts < 1 ||
        store->certs == NULL)
        return 0;
    struct span leaf = span_of(store->certs[0].buffer, store->certs[0].length);
    s->cert_fault = tls_cert_is_for(leaf, s->peer.host, by_ip(&s->peer) ? &s->peer.ip : NULL);
    if (s->cert_fault == TLS_FAULT_NONE) s->cert_fault = signatures(store);
    s->leaf_checked = s->cert_fault == TLS_FAULT_NONE;
    return s->leaf_checked;
}

/* ---- tickets ------------------------------------------------------------------------------ */

static void ticket_keep(struct tls_session *s, WOLFSSL_SESSION *session)
{
    unsigned char bytes[TLS_TICKET_BYTES_MAX], *to = bytes;
    if (s->context->tickets == NULL) return;
    int len = wolfSSL_i2d_SSL_SESSION(session, NULL);
    if (len <= 0 || len > TLS_TICKET_BYTES_MAX) return;
    if (wolfSSL_i2d_SSL_SESSION(session, &to) != len) return;
    tls_tickets_put(s->context->tickets, s->peer.name, bytes, (size_t)len);
    s->context->numbers.tickets++;
    explicit_bzero(bytes, (size_t)len);
}

/* The library has a session that can be resumed. During the handshake it is not ours yet. */
int tls_session_ticket(WOLFSSL *wolf, WOLFSSL_SESSION *session)
{
    struct tls_session *s = wolfSSL_GetIOReadCtx(wolf);
    if (s != NULL && s->open) ticket_keep(s, session);
    return 0; /* we keep no reference */
}

static bool ticket_offer(struct tls_session *s)
{
    unsigned char bytes[TLS_TICKET_BYTES_MAX];
    const unsigned char *from = bytes;
    size_t len = tls_tickets_take(s->context->tickets, s->peer.name, bytes);
    if (len == 0) return true;
    WOLFSSL_SESSION *session = wolfSSL_d2i_SSL_SESSION(NULL, &from, (long)len);
    explicit_bzero(bytes, len);
    if (session == NULL) return false;
    s->offered = wolfSSL_set_session(s->wolf, session) == WOLFSSL_SUCCESS;
    wolfSSL_SESSION_free(session);
    return s->offered;
}

/* ---- life --------------------------------------------------------------------------------- */

static bool wolf_set(struct tls_session *s)
{
    static const char alpn[] = "http/1.1";
    WOLFSSL *wolf = s->wolf;
    wolfSSL_SetIOReadCtx(wolf, s);
    wolfSSL_SetIOWriteCtx(wolf, s);
    wolfSSL_SetCertCbCtx(wolf, s);
    struct span host = s->peer.host;
    if (host.len > 0 && host.ptr[host.len - 1] == '.') host.len--;
    if (!by_ip(&s->peer) && wolfSSL_UseSNI(wolf, WOLFSSL_SNI_HOST_NAME, host.ptr,
                                           (unsigned short)host.len) != WOLFSSL_SUCCESS)
        return false;
    if (wolfSSL_UseALPN(wolf, (char *)(uintptr_t)alpn, sizeof alpn - 1,
                        WOLFSSL_ALPN_FAILED_ON_MISMATCH) != WOLFSSL_SUCCESS)
        return false;
    /* One share only: making one for P-256 too would cost more than all the rest. */
    if (wolfSSL_UseKeyShare(wolf, WOLFSSL_ECC_X25519) != WOLFSSL_SUCCESS) return false;
    return s->context->tickets == NULL || ticket_offer(s);
}

struct tls_session *tls_new(struct tls_context *c, const struct tls_peer *peer)
{
    CHECK(peer->name.len > 0);
    CHECK(by_ip(peer) || peer->host.len > 0);
    struct tls_session *s = tls_pool_take(c->pool, sizeof *s);
    if (s == NULL) return NULL;
    *s = (struct tls_session){.context = c, .peer = *peer};
    c->sessions++;
    struct visit v = visit_begin(s);
    s->wolf = wolfSSL_new(c->wolf);
    bool ok = s->wolf != NULL && wolf_set(s);
    ok = ok && tls_pool_refused(c->pool) == v.refused;
    tls_errors_forget();
    tls_pool_leave(v.before);
    if (ok) return s;
    tls_free(s);
    return NULL;
}

void tls_free(struct tls_session *s)
{
    struct tls_context *c = s->context;
    CHECK(c->sessions > 0);
    CHECK(s->lent.ptr == NULL);
    struct visit v = visit_begin(s);
    if (s->wolf != NULL) wolfSSL_free(s->wolf);
    tls_pool_leave(v.before);
    c->sessions--;
    c->open -= s->open;
    tls_pool_give(s->out.ptr);
    tls_pool_give(s);
}

void tls_feed(struct tls_session *s, const void *bytes, size_t len)
{
    CHECK(s->in.len == 0);
    s->in = span_of(bytes, len);
}

/* ---- the handshake ------------------------------------------------------------------------ */

/* What was agreed on, against what was offered; nothing is taken on trust. */
static enum tls_fault agreement(struct tls_session *s)
{
    char *protocol = NULL;
    unsigned short len = 0;
    const struct tls_context *c = s->context;
    int number = wolfSSL_version(s->wolf);
    if (number != TLS1_3_VERSION && (number != TLS1_2_VERSION || c->oldest != TLS_1_2))
        return TLS_FAULT_VERSION;
    enum tls_version version = number == TLS1_3_VERSION ? TLS_1_3 : TLS_1_2;
    if (!tls_suite_offered(version, wolfSSL_get_current_cipher_suite(s->wolf)))
        return TLS_FAULT_SUITE;
    if (wolfSSL_ALPN_GetProtocol(s->wolf, &protocol, &len) == WOLFSSL_SUCCESS &&
        !span_eq(span_of(protocol, len), SPAN_LIT("http/1.1")))
        return TLS_FAULT_ALPN;
    s->resumed = s->offered && wolfSSL_session_reused(s->wolf) == 1;
    if (c->insecure || s->resumed || s->leaf_checked) return TLS_FAULT_NONE;
    return TLS_FAULT_UNTRUSTED;
}

/* TLS 1.2 gives its ticket during the handshake, and a session may be resumed more than once. */
static void ticket_of_12(struct tls_session *s)
{
    if (s->context->tickets == NULL || wolfSSL_version(s->wolf) != TLS1_2_VERSION) return;
    WOLFSSL_SESSION *session = wolfSSL_get1_session(s->wolf);
    if (session == NULL) return;
    ticket_keep(s, session);
    wolfSSL_SESSION_free(session);
}

enum tls_step tls_handshake(struct tls_session *s)
{
    CHECK(!s->open);
    if (s->fault != TLS_FAULT_NONE) return TLS_ERROR;
    struct visit v = visit_begin(s);
    int rc = wolfSSL_connect(s->wolf);
    if (rc != WOLFSSL_SUCCESS) return visit_end(s, &v, rc);
    enum tls_fault fault = agreement(s);
    if (fault == TLS_FAULT_NONE && tls_pool_refused(s->context->pool) != v.refused)
        fault = TLS_FAULT_MEMORY;
    if (fault == TLS_FAULT_NONE) {
        s->open = true;
        s->context->open++;
        ticket_of_12(s);
        s->context->numbers.handshakes++;
        s->context->numbers.resumed += s->resumed;
    }
    tls_errors_forget();
    tls_pool_leave(v.before);
    return fault == TLS_FAULT_NONE ? TLS_DONE : failed(s, fault);
}

/* ---- bytes -------------------------------------------------------------------------------- */

enum tls_step tls_read(struct tls_session *s, void *out, size_t room, size_t *got)
{
    CHECK(s->open);
    CHECK(room > 0);
    if (s->fault != TLS_FAULT_NONE) return TLS_ERROR;
    if (s->peer_closed) return TLS_CLOSED;
    struct visit v = visit_begin(s);
    int n = wolfSSL_read(s->wolf, out, room < INT32_MAX ? (int)room : INT32_MAX);
    if (n <= 0) return visit_end(s, &v, n);
    tls_pool_leave(v.before);
    *got = (size_t)n;
    return TLS_DONE;
}

enum tls_step tls_write(struct tls_session *s, const void *bytes, size_t len, size_t *taken)
{
    CHECK(s->open);
    CHECK(len > 0);
    CHECK(!s->closed);
    if (s->fault != TLS_FAULT_NONE) return TLS_ERROR;
    struct visit v = visit_begin(s);
    int n = wolfSSL_write(s->wolf, bytes, len < TLS_PIECE_BYTES ? (int)len : TLS_PIECE_BYTES);
    if (n <= 0) return visit_end(s, &v, n);
    tls_pool_leave(v.before);
    *taken = (size_t)n;
    return TLS_DONE;
}

void tls_close(struct tls_session *s)
{
    if (!s->open || s->closed || s->fault != TLS_FAULT_NONE) return;
    s->closed = true;
    s->in = span_of(NULL, 0);
    struct visit v = visit_begin(s);
    (void)wolfSSL_shutdown(s->wolf); /* it is a courtesy: without memory it is left out */
    tls_errors_forget();
    tls_pool_leave(v.before);
}

struct span tls_out(struct tls_session *s)
{
    CHECK(s->lent.ptr == NULL);
    s->lent = s->out;
    s->out = (struct tls_buffer){.ptr = NULL};
    return span_of(s->lent.ptr, s->lent.len);
}

void tls_out_home(struct tls_session *s)
{
    tls_pool_give(s->lent.ptr);
    s->lent = (struct tls_buffer){.ptr = NULL};
}

/* ---- what it is --------------------------------------------------------------------------- */

bool tls_open(const struct tls_session *s) { return s->open; }
bool tls_resumed(const struct tls_session *s) { return s->resumed; }
bool tls_peer_closed(const struct tls_session *s) { return s->peer_closed; }
enum tls_fault tls_fault_of(const struct tls_session *s) { return s->fault; }

void tls_describe(const struct tls_session *s, char *out, size_t room)
{
    CHECK(s->open);
    snprintf(out, room, "%s %s", wolfSSL_get_version(s->wolf), wolfSSL_get_cipher(s->wolf));
}
