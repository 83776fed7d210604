/* tools/sinker/secure.c - see secure.h. */
#include "tools/sinker/secure.h"

#include "core/base/check.h"

#include <wolfssl/options.h>

#include <wolfssl/ssl.h>
#ifdef FP_ECC
#include <wolfssl/wolfcrypt/ecc.h>
#endif

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { READ_AHEAD_BYTES = 4096, PATH_BYTES_MAX = 1024, PIECE_BYTES_MAX = 1 << 20 };

struct secure_context {
    WOLFSSL_CTX *wolf;
};

struct secure {
    WOLFSSL *wolf;
    int fd;
    int error; /* errno of the last receive or send; 0: the stream has ended */
    bool open, said_goodbye;
    size_t used, len; /* of ahead */
    char ahead[READ_AHEAD_BYTES];
};

/* ---- the socket --------------------------------------------------------------------------- */

/* wolfSSL asks for five bytes, then for a record: one receive for both. */
static int fd_recv(WOLFSSL *wolf, char *to, int room, void *ctx)
{
    struct secure *s = ctx;
    (void)wolf;
    if (s->used == s->len) {
        ssize_t n;
        do n = recv(s->fd, s->ahead, sizeof s->ahead, 0);
        while (n < 0 && errno == EINTR);
        s->error = n < 0 ? errno : 0;
        if (n <= 0 && (s->error == EAGAIN || s->error == EWOULDBLOCK))
            return WOLFSSL_CBIO_ERR_WANT_READ;
        if (n <= 0) return WOLFSSL_CBIO_ERR_CONN_CLOSE;
        s->used = 0;
        s->len = (size_t)n;
    }
    size_t n = s->len - s->used < (size_t)room ? s->len - s->used : (size_t)room;
    memcpy(to, s->ahead + s->used, n);
    s->used += n;
    return (int)n;
}

static int fd_send(WOLFSSL *wolf, char *from, int len, void *ctx)
{
    struct secure *s = ctx;
    ssize_t n;
    (void)wolf;
    do n = send(s->fd, from, (size_t)len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0) return (int)n;
    s->error = errno;
    bool full = errno == EAGAIN || errno == EWOULDBLOCK;
    return full ? WOLFSSL_CBIO_ERR_WANT_WRITE : WOLFSSL_CBIO_ERR_CONN_RST;
}

/* ---- contexts ----------------------------------------------------------------------------- */

static bool files_load(WOLFSSL_CTX *wolf, const char *files, const char **why)
{
    char cert[PATH_BYTES_MAX];
    const char *comma = strchr(files, ',');
    size_t len = comma != NULL ? (size_t)(comma - files) : 0;
    *why = "not CERT,KEY";
    if (len == 0 || len >= sizeof cert || comma[1] == '\0') return false;
    memcpy(cert, files, len);
    cert[len] = '\0';
    *why = "the certificate cannot be read";
    if (wolfSSL_CTX_use_certificate_chain_file(wolf, cert) != WOLFSSL_SUCCESS) return false;
    *why = "the key cannot be read, or is not the certificate's";
    return wolfSSL_CTX_use_PrivateKey_file(wolf, comma + 1, WOLFSSL_FILETYPE_PEM) ==
           WOLFSSL_SUCCESS;
}

struct secure_context *secure_context_new(const char *files, const char **why)
{
    *why = "no memory for TLS";
    if (wolfSSL_Init() != WOLFSSL_SUCCESS) return NULL;
    struct secure_context *c = calloc(1, sizeof *c);
    if (c == NULL) return NULL;
    c->wolf = wolfSSL_CTX_new(wolfTLS_server_method());
    if (c->wolf != NULL && wolfSSL_CTX_SetMinVersion(c->wolf, WOLFSSL_TLSV1_2) == WOLFSSL_SUCCESS &&
        files_load(c->wolf, files, why)) {
        /* Tickets, not a cache that all threads would share. */
        wolfSSL_CTX_set_session_cache_mode(c->wolf, WOLFSSL_SESS_CACHE_OFF);
        wolfSSL_CTX_SetIORecv(c->wolf, fd_recv);
        wolfSSL_CTX_SetIOSend(c->wolf, fd_send);
        return c;
    }
    secure_context_free(c);
    return NULL;
}

void secure_context_free(struct secure_context *c)
{
    if (c == NULL) return;
    if (c->wolf != NULL) wolfSSL_CTX_free(c->wolf);
    free(c);
}

void secure_thread_end(void)
{
#ifdef FP_ECC
    wc_ecc_fp_free();
#endif
}

/* ---- sessions ----------------------------------------------------------------------------- */

struct secure *secure_new(struct secure_context *c, int fd)
{
    static const char alpn[] = "http/1.1";
    struct secure *s = malloc(sizeof *s);
    if (s == NULL) return NULL;
    memset(s, 0, offsetof(struct secure, ahead));
    s->fd = fd;
    s->wolf = wolfSSL_new(c->wolf);
    if (s->wolf == NULL) {
        free(s);
        return NULL;
    }
    wolfSSL_SetIOReadCtx(s->wolf, s);
    wolfSSL_SetIOWriteCtx(s->wolf, s);
    (void)wolfSSL_UseALPN(s->wolf, (char *)(uintptr_t)alpn, sizeof alpn - 1,
                          WOLFSSL_ALPN_CONTINUE_ON_MISMATCH);
    return s;
}

void secure_free(struct secure *s)
{
    if (s == NULL) return;
    wolfSSL_free(s->wolf);
    free(s);
}

/* What a call's result means, as recv() and send() put it. */
static ssize_t outcome(struct secure *s, int result)
{
    switch (wolfSSL_get_error(s->wolf, result)) {
    case WOLFSSL_ERROR_WANT_READ:
    case WOLFSSL_ERROR_WANT_WRITE: errno = EAGAIN; return -1;
    case WOLFSSL_ERROR_ZERO_RETURN: return 0;
    default: errno = s->error != 0 && s->error != EAGAIN ? s->error : EPROTO; return -1;
    }
}

/* 1: the handshake is complete; else as outcome(). */
static ssize_t shake(struct secure *s)
{
    if (s->open) return 1;
    int rc = wolfSSL_accept(s->wolf);
    s->open = rc == WOLFSSL_SUCCESS;
    return s->open ? 1 : outcome(s, rc);
}

ssize_t secure_recv(struct secure *s, void *to, size_t room)
{
    CHECK(room > 0);
    ssize_t ready = shake(s);
    if (ready != 1) return ready;
    int n = wolfSSL_read(s->wolf, to, room < PIECE_BYTES_MAX ? (int)room : PIECE_BYTES_MAX);
    return n > 0 ? n : outcome(s, n);
}

ssize_t secure_send(struct secure *s, const void *from, size_t len)
{
    CHECK(len > 0);
    ssize_t ready = shake(s);
    if (ready != 1) return ready;
    int n = wolfSSL_write(s->wolf, from, len < PIECE_BYTES_MAX ? (int)len : PIECE_BYTES_MAX);
    return n > 0 ? n : outcome(s, n);
}

void secure_goodbye(struct secure *s)
{
    if (!s->open || s->said_goodbye) return;
    s->said_goodbye = true;
    (void)wolfSSL_shutdown(s->wolf);
}
