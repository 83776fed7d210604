/* perf/tls/end.h - the two ends of a TLS connection in memory, for perf/tls/bench.c.
 *
 * The server is OpenSSL's for every client, so that what a client has to do is the same. Bytes go
 * through two pipes; nothing is a socket. One thread; no end ever waits.
 */
#ifndef PERF_TLS_END_H
#define PERF_TLS_END_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ciphertext on its way, one direction. Empty: both are 0. */
struct pipe {
    uint8_t *buf; /* PIPE_BYTES, owned by who made the pipe */
    size_t from, to;
};
enum { PIPE_BYTES = 8 << 20, PEM_BYTES = 8192, ALPN_BYTES = 9 };

/* Appends; a pipe is made large enough for all that the bench does. */
void pipe_put(struct pipe *p, const void *bytes, size_t len);
/* Takes up to room bytes; 0: it is empty. */
size_t pipe_get(struct pipe *p, void *out, size_t room);

enum step { STEP_DONE, STEP_AGAIN };

/* What both ends are made for. */
struct setup {
    const char *suite; /* OpenSSL's name of the only one that the server takes */
    bool tls12, rsa;   /* else TLS 1.3, ECDSA P-256 */
};

/* An authority and a certificate for bench_host by it, made anew in every run, as PEM. */
struct credentials {
    char ca[PEM_BYTES], certificate[PEM_BYTES], key[PEM_BYTES];
};
extern const char bench_host[];
extern const uint8_t bench_alpn[ALPN_BYTES]; /* in wire form */
void credentials_make(struct credentials *c, bool rsa);

/* ---- server ------------------------------------------------------------------------------- */

struct server;
struct served; /* one connection */
struct server *server_new(const struct setup *s, const struct credentials *c);
void server_free(struct server *s);
struct served *served_new(struct server *s, struct pipe *in, struct pipe *out);
void served_free(struct served *c);
enum step served_handshake(struct served *c);
void served_write(struct served *c, const void *bytes, size_t len); /* in one record */
size_t served_read(struct served *c, void *out, size_t room);       /* 0: nothing is there */

/* ---- clients ------------------------------------------------------------------------------ */

/* A context keeps the session that was last kept; a connection that resumes takes it. */
struct client {
    const char *name;
    const char *(*version)(void);
    void *(*context_new)(const struct setup *s, const struct credentials *c);
    void (*context_free)(void *context);
    void *(*conn_new)(void *context, struct pipe *in, struct pipe *out, bool resumes);
    void (*conn_free)(void *conn);
    enum step (*handshake)(void *conn);
    bool (*is_resumed)(void *conn);
    void (*session_keep)(void *conn);
    void (*write)(void *conn, const void *bytes, size_t len);
    size_t (*read)(void *conn, void *out, size_t room); /* 0: nothing is there */
    size_t (*held_bytes)(void *context); /* of its connections; NULL: they are on the heap */
};
extern const struct client client_openssl, client_wolfssl, client_hookline;

/* Ends the program with one line. */
_Noreturn void bench_stop(const char *what);

#endif
