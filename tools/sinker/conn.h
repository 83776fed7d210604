/* tools/sinker/conn.h - one accepted connection: reads requests, answers them as they ask to be.
 *
 *                  +-------------------- keep-alive ---------------------+
 *                  v                                                     |
 *   FREE -------> HEAD ---> BODY or CHUNKS ---> WAIT ---> SEND or DRIP --+-> HANG --+
 *                  |             |                ^           ^          +-> DRAIN -+
 *                  +-------------+----------------+-----------+          +----------+-> CLOSED
 *                                              (delay)    (no delay)
 *
 * and from every state to CLOSED, from there to FREE.
 * The usual request goes HEAD -> HEAD within one call: its answer is put into the shard's output
 * buffer, which is sent once for all that one receive brought. SEND is left at once unless the
 * socket is full or the answer is more than those bytes. Only conn_goto() writes the state.
 *
 * Bytes that could not be used yet (a head in two pieces, requests behind one that waits) are
 * held in slab memory until the connection can go on; so are bytes that could not be sent.
 *
 * Connections live in one array indexed by descriptor. An entry belongs to the shard that
 * accepted the descriptor until it closes it, and then at once to whichever shard the kernel
 * gives that number to. So conn_close() only marks the end, and conn_free() at the end of the
 * turn, when nobody looks at the entry any more, has close() as its last act.
 */
#ifndef TOOLS_SINKER_CONN_H
#define TOOLS_SINKER_CONN_H

#include "tools/sinker/answer.h"
#include "tools/sinker/request.h"
#include "tools/sinker/secure.h"
#include "tools/sinker/timers.h"

#include <sys/queue.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum conn_state {
    CONN_FREE,
    CONN_HEAD,   /* reads a head, or idles between two requests */
    CONN_BODY,   /* reads a body with a Content-Length */
    CONN_CHUNKS, /* reads a chunked body */
    CONN_WAIT,   /* the request is complete, its answer is due when the timer fires */
    CONN_SEND,   /* an answer is on its way; no input is read */
    CONN_DRIP,   /* an answer goes out one byte at each timer */
    CONN_HANG,   /* silent for good */
    CONN_DRAIN,  /* refused; discards input so that the refusal is not lost in a reset */
    CONN_CLOSED, /* over; the descriptor is closed at the end of the shard's turn */
    CONN_STATE_COUNT
};

/* Bytes in slab memory; ptr is NULL when there are none. */
struct parcel {
    char *ptr;
    size_t bytes; /* as taken from the slab */
    size_t used;  /* of those, so many are done with */
};

struct conn {
    /* 1 from conn_open() to conn_free(), which hands the entry on to the next shard: store_rel()
     * by the old owner, load_acq() by the new one. All else is the owner's alone. */
    uint32_t taken;
    struct timer timer;          /* from here on cleared by conn_open() */
    TAILQ_ENTRY(conn) open_link; /* in the shard's open list */
    TAILQ_ENTRY(conn) link;      /* in the shard's ready list (if in_ready) or its closed list */
    int fd;
    struct secure *secure; /* owns; NULL: without TLS */
    uint32_t listener;     /* index of the address it came to */
    uint8_t state;         /* enum conn_state */
    uint8_t after;         /* enum answer_after, once the output is sent */
    bool readable;         /* there may be input that no event will announce again */
    bool hung_up;          /* the peer has ended its side, or reset */
    bool in_ready;         /* more input is there than one turn takes */

    /* Input and output that wait. */
    struct parcel held;   /* input */
    struct parcel unsent; /* output */
    uint64_t fill_left;   /* 'x' to send after unsent */

    /* The present request, from its head to the end of its answer. */
    struct behave behave;
    struct quota_pass pass; /* what its limit said; QUOTA_NONE: there is none */
    struct span path, id;   /* lent from the input buffer, or from names */
    struct parcel names;    /* path and id of a request whose body came later than its head */
    struct chunks chunks;
    uint64_t body_left;  /* bytes, in CONN_BODY */
    uint64_t body_bytes; /* received so far */
    uint64_t body_hash;  /* valid when the body is complete */
    uint32_t sender_attempt;
    bool is_head, http10, keep_alive, chunked, id_decode;
    bool unknown;   /* the path asks for a behaviour that does not exist */
    bool failing;   /* drawn by /flaky */
    bool body_open; /* the head is there, the body is not yet complete */
    bool answered;  /* the answer went out before the body came */
    bool hash_open; /* hash is in use: the body comes in pieces */

    XXH3_state_t hash; /* must stay last: conn_open() does not clear it */
};

struct shard;

/* A descriptor that accept4() gave, and the index of the address. Takes it over. */
void conn_open(struct shard *s, int fd, uint32_t listener);
void conn_event(struct shard *s, struct conn *c, uint32_t events);
void conn_timer(struct shard *s, struct conn *c);
void conn_ready(struct shard *s, struct conn *c); /* its turn in the ready list, already removed */
void conn_close(struct shard *s, struct conn *c);
void conn_free(struct conn *c); /* after conn_close(), removed from the closed list */

/* conn_send.c: the output half. */
enum push { PUSH_DONE, PUSH_BLOCKED, PUSH_DEAD };

void conn_emit(struct shard *s, struct span bytes); /* CHECKs that there is room */
/* Sends all output. PUSH_BLOCKED: the rest is in c->unsent and c->fill_left. */
MUST_USE enum push conn_push(struct shard *s, struct conn *c);
/* Moves the shard's buffer to the end of c->unsent; false: no memory, the output is lost. */
MUST_USE bool conn_stash(struct shard *s, struct conn *c);
/* Sends one byte of c->unsent. */
MUST_USE enum push conn_drip(struct shard *s, struct conn *c);

MUST_USE bool parcel_take(struct shard *s, struct parcel *p, size_t bytes); /* false: no memory */
void parcel_give(struct shard *s, struct parcel *p);                        /* may be empty */

#endif
