/* core/net/conn.h - one TCP connection to a receiver and its life.
 *
 *   FREE --open--> CONNECTING --connected--> BUSY <--send / answer complete--> IDLE
 *     ^                |  |                  ^ |                                |
 *     |                |  '--> SECURING -----' |                                |
 *     |                | error,    | likewise  | likewise, no keep-alive        | closed by peer,
 *     |                v deadline  v           v                                v idle too long
 *     '--- all home -- CLOSING <---'-----------'--------------------------------'
 *
 * A connection that its owner wants secured makes a TLS handshake first (net/conn_tls.c). From then
 * on each part of a request is encrypted into memory that lives until its send completes, and what
 * arrives is decrypted before the parser sees it; a goodbye (close_notify) goes before the close.
 *
 * conn_goto() alone writes the state and CHECKs the step. There is one way out: CLOSING takes
 * every operation back from the kernel, closes the slot, and only then is the connection FREE;
 * the first reason wins. The exchange is reported as soon as its request's memory is home.
 *
 * A connection is a slot of its pool: its number is the socket's number in io.h. It keeps no timer
 * of its own: it says when it has a deadline, and its owner calls conn_expired() once that has
 * passed.
 *
 * Thread: its shard's.
 */
#ifndef CORE_NET_CONN_H
#define CORE_NET_CONN_H

#include "core/io/io.h"
#include "core/net/exchange.h"
#include "tls/tls.h"

#include <stdbool.h>
#include <stdint.h>

enum conn_state {
    CONN_FREE,
    CONN_CONNECTING,
    CONN_SECURING,
    CONN_BUSY,
    CONN_IDLE,
    CONN_CLOSING,
    CONN_STATE_COUNT
};

struct conn;

#define CONN_NO_DEADLINE UINT64_MAX

/* How the pool's owner hears of its connections; none may be NULL. Only deadline() and leaving()
 * are ever called from inside conn_open(), conn_send(), conn_attach() or conn_close(). */
struct conn_events {
    /* The connect has succeeded (ERR_OK), failed, or takes too long (ERR_TIMEOUT: for the attempt);
     * c is still CONN_CONNECTING and may be given an exchange, or be relieved of its own. False:
     * nobody wants the connection. */
    bool (*tried)(void *ctx, struct conn *c, enum err why);
    /* It is connected. True: its peer must prove by TLS to be *peer, which is lent as long as the
     * connection is not CONN_FREE, and the pool has a TLS context. False: it stays in the clear. */
    bool (*peer)(void *ctx, struct conn *c, struct tls_peer *peer);
    /* c->deadline_ns has changed; CONN_NO_DEADLINE: there is none any more. */
    void (*deadline)(void *ctx, struct conn *c);
    /* ex has ended, see ex->why. The connection is CONN_IDLE (and may be given a next exchange
     * at once) or CONN_CLOSING. */
    void (*done)(void *ctx, struct conn *c, struct exchange *ex);
    /* The connection is CONN_IDLE and about to be CONN_CLOSING, for whatever reason. */
    void (*leaving)(void *ctx, struct conn *c);
    /* The connection is CONN_FREE; last call on it before it is taken again. */
    void (*ended)(void *ctx, struct conn *c);
};

struct conn {
    struct conn_pool *pool;
    struct exchange *ex;      /* lent; SECURING and BUSY have one, CONNECTING and CLOSING may */
    void *lane;               /* whose connection it is; the owner's */
    void *race;               /* the connects that it competes with; the owner's */
    struct conn *next, *prev; /* owner's list of idle ones; pool's list of free ones (next) */
    uint64_t deadline_ns;     /* io_now_ns()'s clock; what happens then depends on the state */
    uint64_t idle_since_ns;   /* CONN_IDLE */
    struct tls_session *tls;  /* owns; NULL: in the clear, or not connected yet */
    uint32_t served;          /* exchanges that were completed here */
    uint32_t encrypted;       /* bytes of the request that went through tls */
    uint8_t state;            /* enum conn_state */
    bool connected;           /* the connect succeeded */
    bool closed;              /* IO_CLOSE was submitted */
    bool sent_all;            /* the kernel took the whole request */
    bool sent_some;           /* at least a byte of it */
    bool send_failed;         /* the rest is up to the receive side, for a short time */
    bool trying;              /* counted as under way; the owner's */
    bool sends_request;       /* tls: what op_out sends holds a part of the request */
    bool said_goodbye;        /* tls: close_notify, or the alert, was submitted */
    struct addr to;
    struct io_op op_out; /* connect, send, close: one at a time */
    struct io_op op_in;  /* the multishot receive */
};

enum { CONN_PLAIN_BYTES = 16384 }; /* a TLS record's most */

struct conn_pool {
    struct io *io;
    const struct conn_events *events;
    void *ctx; /* first argument of the events */
    uint64_t connect_timeout_ns, idle_timeout_ns, tls_timeout_ns;
    struct tls_context *tls; /* lent; NULL: none of its connections is to be secured yet */
    char *plain;             /* lent, of CONN_PLAIN_BYTES, with tls: what was just decrypted */
    struct conn *conns;      /* owns: count of them, by slot */
    struct conn *free;
    uint32_t count, open, opened; /* open: not FREE; opened: ever */
    uint32_t touched;             /* slots from here on were never used */
};

/* False when memory is short. Everything but conns, free and the counts is set by the caller. */
bool conn_pool_open(struct conn_pool *p, uint32_t count) MUST_USE;
void conn_pool_close(struct conn_pool *p); /* every connection must be FREE */

/* NULL when all are in use: wait. The caller must conn_open() it. */
struct conn *conn_take(struct conn_pool *p);

/* Connects to *to (from *from unless NULL, which is lent until that is over) and then sends ex,
 * which is lent until done(). NULL: there may be one to send when it is connected, see tried(). */
void conn_open(struct conn *c, const struct addr *to, const struct addr *from, struct exchange *ex);
/* Of one that is CONN_CONNECTING: gives it an exchange; takes it away, as if it had never been
 * there, after which the connection must be given another or be closed. */
void conn_attach(struct conn *c, struct exchange *ex);
struct exchange *conn_detach(struct conn *c);
/* Sends ex on a connection that is CONN_IDLE. */
void conn_send(struct conn *c, struct exchange *ex);
/* Ends it whatever it is doing: its exchange, if any, ends with `why`. CLOSING stays so. */
void conn_close(struct conn *c, enum err why);
/* The deadline may have passed: ends the connection if it has. */
void conn_expired(struct conn *c);

/* CHECKs every invariant of one connection; for tests. */
void conn_validate(const struct conn *c);

#endif
