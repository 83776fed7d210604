/* core/net/exchange.h - one request and its answer, on whatever connection carries it.
 *
 * An exchange is not a connection: over HTTP/1.1 a connection has one at a time, over HTTP/2 it
 * would have many. It belongs to its delivery's owner (the engine); from conn_open() or
 * conn_send() until events->done() it is lent to the connection, and the request's bytes to the
 * kernel: when done() runs, they are home.
 */
#ifndef CORE_NET_EXCHANGE_H
#define CORE_NET_EXCHANGE_H

#include "core/base/err.h"
#include "core/http/response.h"

#include <stdbool.h>
#include <stdint.h>

enum sent {
    SENT_NO,    /* surely no byte reached the receiver */
    SENT_MAYBE, /* the kernel took bytes, and no answer began */
    SENT_YES,   /* an answer began */
    SENT_COUNT
};

/* As results and events show it. */
const char *sent_label(enum sent s);

struct trace;

struct exchange {
    /* The request; set by the owner. */
    const char *req;      /* lent by the owner until done() */
    uint32_t req_len;     /* bytes */
    void *owner;          /* whose it is; not looked at here */
    uint64_t deadline_ns; /* end of the attempt */
    struct trace *trace;  /* NULL, but in hookline try */
    /* What became of it; valid in done(). */
    enum err why;
    enum sent sent;
    const char *detail; /* what exactly went wrong, one clause; static; NULL: why says it all */
    bool reused;        /* went out on a connection that had carried another exchange */
    bool stale;         /* its TLS session was not resumed after all; nothing was sent */
    uint64_t ended_ns;
    struct response answer; /* answer.status 0: none */
    struct exchange *next;  /* owner's */
};

/* Pure: how an attempt that got a complete answer with this status ended. */
enum err exchange_err_of_status(uint16_t status);

#endif
