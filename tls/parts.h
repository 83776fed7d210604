/* tls/parts.h - the inside of contexts and sessions. Private to tls/. */
#ifndef TLS_PARTS_H
#define TLS_PARTS_H

#include "tls/pool.h"
#include "tls/tls.h"

#include <wolfssl/options.h>

#include <wolfssl/ssl.h>

/* Without these the checks below would not run, or nothing could be resumed; a library of one's own
 * is built with them by tools/build-wolfssl. */
#if !defined(WOLFSSL_ALWAYS_VERIFY_CB)
#error "wolfSSL must be built with -DWOLFSSL_ALWAYS_VERIFY_CB"
#endif
#if !defined(HAVE_EXT_CACHE) || !defined(HAVE_SESSION_TICKET)
#error "wolfSSL must be built with -DHAVE_EXT_CACHE and --enable-session-ticket"
#endif
#if !defined(HAVE_SNI) || !defined(HAVE_ALPN) || !defined(WOLFSSL_TLS13) || \
    !defined(HAVE_CURVE25519) || !defined(HAVE_CHACHA) || !defined(HAVE_AESGCM)
#error "wolfSSL must be built with SNI, ALPN, TLS 1.3, X25519, ChaCha20-Poly1305 and AES-GCM"
#endif

struct tls_context {
    WOLFSSL_CTX *wolf; /* owns; NULL while it is being made */
    struct tls_pool *pool;
    struct tls_tickets *tickets; /* shared; may be NULL */
    enum tls_version oldest;
    bool insecure;
    uint32_t sessions, open; /* open: of them those whose handshake is complete */
    struct tls_numbers numbers;
};

/* Ciphertext on its way to the peer; owns ptr, of the pool. */
struct tls_buffer {
    char *ptr;
    uint32_t len, room;
};

struct tls_session {
    WOLFSSL *wolf; /* owns */
    struct tls_context *context;
    struct tls_peer peer;
    struct span in;             /* fed and not yet used; lent by tls_feed()'s caller */
    struct tls_buffer out;      /* gathers */
    struct tls_buffer lent;     /* by tls_out() */
    enum tls_fault fault;       /* the first one */
    enum tls_fault cert_fault;  /* found by our part of the verification */
    uint8_t alert;              /* that the peer ended it with */
    bool alerted;               /* it did */
    bool leaf_checked;          /* the whole verification said yes to the peer's certificate */
    bool offered;               /* a ticket of this host was offered */
    bool open, closed, resumed; /* closed: we said goodbye */
    bool peer_closed;
};

/* session.c: wolfSSL's calls back. */
int tls_session_verify(int preverify, WOLFSSL_X509_STORE_CTX *store);
int tls_session_recv(WOLFSSL *wolf, char *to, int room, void *ctx);
int tls_session_send(WOLFSSL *wolf, char *from, int len, void *ctx);
int tls_session_ticket(WOLFSSL *wolf, WOLFSSL_SESSION *session);

/* context.c: whether the suite, by its number on the wire, is one that we offer for the version. */
bool tls_suite_offered(enum tls_version version, int suite);
/* Empties the library's list of past errors, which grows otherwise. */
void tls_errors_forget(void);

#endif
