/* tls/context.c - what the connections of a shard share; see tls.h.
 *
 * Debian's wolfSSL has OpenSSL's defaults: a new context verifies nothing, takes TLS 1.1, and
 * offers suites without authentication. So everything is said here, and a context that could not
 * be told one of these things is not handed out.
 *
 * wolfSSL_CTX_load_verify_locations() is avoided: in that build it makes each certificate of the
 * file a trusted peer too, whose chain is not verified. The authorities come as text instead, and
 * one by one, so that the failure of one is seen.
 */
#include "tls/parts.h"

#include "tls/build.h"

#include <stdio.h>
#include <string.h>

#ifdef FP_ECC
#include <wolfssl/wolfcrypt/ecc.h>
#endif
#include <wolfssl/wolfcrypt/error-crypt.h>

#define SUITES_AES \
    "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:" \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
#define SUITES_CHACHA \
    "TLS13-CHACHA20-POLY1305-SHA256:" \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

enum {
    RSA_BITS_MIN = 2048,
    ECC_BITS_MIN = 256,
    PEM_CERTS_MAX = 10000,       /* of one bundle */
    CONTEXT_BYTES = 1536 * 1024, /* with the usual bundle of authorities */
    /* With its handshake. An idle one has 90 KB with OPENSSL_ALL, 5 KB else; but each size of block
     * that a handshake asks for may need a page of the slab of its own. */
    SESSION_BYTES = 512 * 1024,
#ifdef OPENSSL_ALL
    MORE_BYTES = 128 * 1024, /* for each further one */
#else
    MORE_BYTES = 32 * 1024,
#endif
#ifdef FP_ECC
    TABLES_BYTES = 4 * 1024 * 1024, /* 1 MB for each key used again, those of a handshake */
#else
    TABLES_BYTES = 0,
#endif
};

bool tls_suite_offered(enum tls_version version, int suite)
{
    switch (suite) {
    case 0x1301: /* AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305 */
    case 0x1302:
    case 0x1303: return version == TLS_1_3;
    case 0xc02b: /* ECDHE with AES-128-GCM: ECDSA, RSA */
    case 0xc02f:
    case 0xc02c: /* AES-256-GCM */
    case 0xc030:
    case 0xcca9: /* ChaCha20-Poly1305 */
    case 0xcca8: return version == TLS_1_2;
    default: return false;
    }
}

void tls_errors_forget(void)
{
#ifdef OPENSSL_EXTRA
    wolfSSL_ERR_clear_error();
#endif
}

/* ---- trust -------------------------------------------------------------------------------- */

/* Takes the next certificate off a PEM text; false: there is none. */
static bool pem_next(struct span *text, struct span *out)
{
    static const char begin[] = "-----BEGIN ", end[] = "-----END ";
    if (text->len == 0) return false; /* a system without a store has no text at all */
    const char *from = memmem(text->ptr, text->len, begin, sizeof begin - 1);
    if (from == NULL) return false;
    size_t left = text->len - (size_t)(from - text->ptr);
    const char *to = memmem(from, left, end, sizeof end - 1);
    if (to == NULL) return false;
    const char *line = memchr(to, '\n', left - (size_t)(to - from));
    const char *after = line != NULL ? line + 1 : from + left;
    *out = span_of(from, (size_t)(after - from));
    *text = span_of(after, left - out->len);
    return true;
}

/* Loads every authority that can be used. False: there is none, or memory ran out. */
static bool trust_load(WOLFSSL_CTX *wolf, struct span text, char *why)
{
    uint32_t loaded = 0;
    struct span one;
    for (int i = 0; i < PEM_CERTS_MAX && pem_next(&text, &one); i++) {
        int rc = wolfSSL_CTX_load_verify_buffer(wolf, (const unsigned char *)one.ptr, (long)one.len,
                                                WOLFSSL_FILETYPE_PEM);
        tls_errors_forget();
        if (rc == WOLFSSL_SUCCESS) loaded++;
        if (rc != MEMORY_E) continue; /* expired, or too weak: one less is trusted */
        snprintf(why, TLS_WHY_BYTES, "no memory for the trusted certificates");
        return false;
    }
    if (loaded == 0) snprintf(why, TLS_WHY_BYTES, "there is no usable trusted certificate");
    return loaded > 0;
}

/* ---- making it ---------------------------------------------------------------------------- */

/* Without AES-NI, AES-GCM is the slower one by far. */
static const char *suites(void)
{
    return tls_build_aes_first() ? SUITES_AES ":" SUITES_CHACHA : SUITES_CHACHA ":" SUITES_AES;
}

static bool versions_set(WOLFSSL_CTX *wolf, const struct tls_rules *rules)
{
    int groups[] = {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1, WOLFSSL_ECC_SECP384R1};
    int oldest = rules->oldest == TLS_1_3 ? WOLFSSL_TLSV1_3 : WOLFSSL_TLSV1_2;
    bool ok = wolfSSL_CTX_SetMinVersion(wolf, oldest) == WOLFSSL_SUCCESS;
    ok = ok && wolfSSL_CTX_set_cipher_list(wolf, suites()) == WOLFSSL_SUCCESS;
    ok = ok && wolfSSL_CTX_set_groups(wolf, groups, 3) == WOLFSSL_SUCCESS;
#ifdef OPENSSL_EXTRA /* otherwise SHA-1 is not among them to begin with */
    ok = ok && wolfSSL_CTX_set1_sigalgs_list(
                   wolf, "ECDSA+SHA256:RSA-PSS+SHA256:RSA+SHA256:ECDSA+SHA384:RSA-PSS+SHA384:"
                         "RSA+SHA384:ECDSA+SHA512:RSA-PSS+SHA512:RSA+SHA512") == WOLFSSL_SUCCESS;
#endif
    return ok;
}

static bool verification_set(WOLFSSL_CTX *wolf, const struct tls_rules *rules, char *why)
{
    bool ok = wolfSSL_CTX_SetMinRsaKey_Sz(wolf, RSA_BITS_MIN) == WOLFSSL_SUCCESS &&
              wolfSSL_CTX_SetMinEccKey_Sz(wolf, ECC_BITS_MIN) == WOLFSSL_SUCCESS;
    if (!ok) return false;
    if (rules->insecure) {
        wolfSSL_CTX_set_verify(wolf, WOLFSSL_VERIFY_NONE, NULL);
        return true;
    }
    wolfSSL_CTX_set_verify(wolf, WOLFSSL_VERIFY_PEER, tls_session_verify);
    return trust_load(wolf, rules->trusted, why);
}

static bool certificate_set(WOLFSSL_CTX *wolf, const struct tls_rules *rules, char *why)
{
    if (rules->certificate.len == 0) return true;
    if (wolfSSL_CTX_use_certificate_chain_buffer(wolf,
                                                 (const unsigned char *)rules->certificate.ptr,
                                                 (long)rules->certificate.len) != WOLFSSL_SUCCESS) {
        snprintf(why, TLS_WHY_BYTES, "the client certificate cannot be read");
        return false;
    }
    if (wolfSSL_CTX_use_PrivateKey_buffer(wolf, (const unsigned char *)rules->key.ptr,
                                          (long)rules->key.len,
                                          WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS) {
        snprintf(why, TLS_WHY_BYTES, "the client certificate's key cannot be read");
        return false;
    }
#ifdef OPENSSL_EXTRA
    if (wolfSSL_CTX_check_private_key(wolf) != WOLFSSL_SUCCESS) {
        snprintf(why, TLS_WHY_BYTES, "the key is not the client certificate's");
        return false;
    }
#endif
    return true;
}

static bool wolf_set(struct tls_context *c, const struct tls_rules *rules, char *why)
{
    snprintf(why, TLS_WHY_BYTES, "wolfSSL refused a setting, or there is no memory");
    c->wolf = wolfSSL_CTX_new(wolfTLS_client_method());
    if (c->wolf == NULL) return false;
    if (!versions_set(c->wolf, rules) || !verification_set(c->wolf, rules, why)) return false;
    if (!certificate_set(c->wolf, rules, why)) return false;
    wolfSSL_CTX_SetIORecv(c->wolf, tls_session_recv);
    wolfSSL_CTX_SetIOSend(c->wolf, tls_session_send);
    if (wolfSSL_CTX_UseSessionTicket(c->wolf) != WOLFSSL_SUCCESS) return false; /* TLS 1.2 */
    /* A client's sessions are in no cache of the library's; each new one is told to us. */
    wolfSSL_CTX_sess_set_new_cb(c->wolf, tls_session_ticket);
    return true;
}

struct tls_context *tls_context_new(const struct tls_rules *rules, struct tls_pool *pool,
                                    struct tls_tickets *tickets, char *why)
{
    CHECK(pool != NULL);
    CHECK(rules->certificate.len == 0 || rules->key.len > 0);
    snprintf(why, TLS_WHY_BYTES, "no memory for TLS");
    if (!tls_pool_install()) return NULL;
    struct tls_context *c = tls_pool_take(pool, sizeof *c);
    if (c == NULL) return NULL;
    *c = (struct tls_context){
        .pool = pool, .tickets = tickets, .oldest = rules->oldest, .insecure = rules->insecure};
    uint64_t refused = tls_pool_refused(pool);
    struct tls_pool *before = tls_pool_enter(pool);
    bool ok = wolf_set(c, rules, why);
    tls_errors_forget();
    tls_pool_leave(before);
    if (ok && tls_pool_refused(pool) == refused) return c;
    if (ok) snprintf(why, TLS_WHY_BYTES, "no memory for TLS"); /* told or not, a part is missing */
    tls_context_free(c);
    return NULL;
}

/* What the library keeps for this thread. */
static void thread_forget(void)
{
#ifdef FP_ECC
    wc_ecc_fp_free();
#endif
    tls_errors_forget();
}

void tls_context_free(struct tls_context *c)
{
    CHECK(c->sessions == 0);
    struct tls_pool *before = tls_pool_enter(c->pool);
    if (c->wolf != NULL) wolfSSL_CTX_free(c->wolf);
    thread_forget();
    tls_pool_leave(before);
    tls_pool_give(c);
}

const struct tls_numbers *tls_numbers(const struct tls_context *c) { return &c->numbers; }

/* ---- memory ------------------------------------------------------------------------------- */

static bool room_now(const struct tls_context *c, size_t limit_bytes, uint32_t more)
{
    size_t most = tls_pool_used_bytes(c->pool) + SESSION_BYTES + TABLES_BYTES;
    most += more * (size_t)MORE_BYTES;
    return most <= limit_bytes && most <= tls_pool_limit_bytes(c->pool);
}

bool tls_has_room(struct tls_context *c, size_t limit_bytes, uint32_t connections)
{
    uint32_t begun = connections > c->open ? connections - c->open : 0;
    if (room_now(c, limit_bytes, begun)) return true;
    struct tls_pool *before = tls_pool_enter(c->pool);
    thread_forget(); /* first of all those tables */
    tls_pool_leave(before);
    return room_now(c, limit_bytes, begun);
}

size_t tls_memory_least(void) { return CONTEXT_BYTES + SESSION_BYTES + TABLES_BYTES; }
