/* tools/sinker/shard.h - one thread of the receiver: an epoll set with its own listeners (one
 * SO_REUSEPORT socket for each address, so that the kernel spreads connections over the shards)
 * and all connections that they accept. Shards share only struct sink.
 */
#ifndef TOOLS_SINKER_SHARD_H
#define TOOLS_SINKER_SHARD_H

#include "core/base/prng.h"
#include "tools/sinker/conn.h"
#include "tools/sinker/present.h"
#include "tools/sinker/record_log.h"

#include <pthread.h>

struct answers;
struct quotas;
struct seen;
struct slab;

enum {
    SHARD_IN_BYTES = 2 * REQUEST_HEAD_BYTES, /* a head that is held, and as much again */
    SHARD_OUT_BYTES = 256 * 1024,
    SHARD_OUT_HIGH = SHARD_OUT_BYTES - 2 * ANSWER_BYTES_MAX, /* send before a further answer */
    SHARD_FLUSH_MS = 200, /* a log line is in the file after this at the latest */
    STATUS_SLOTS = 601,   /* 0 to 600: /bad/status-high sends one that is out of range */
};

/* What all shards share. Written before they start, read-only then, but for what locks itself. */
struct sink {
    struct present present; /* what requests get now */
    const struct answers *answers;
    struct quotas *quotas;
    struct secure_context *secure; /* NULL: without TLS */
    struct record_log *log; /* NULL: no log */
    struct seen *seen;      /* NULL without a log */
    struct conn *conns;     /* by descriptor; see conn.h for who owns an entry */
    uint32_t conns_max;
    int stop_fd; /* an eventfd that becomes readable when the shards are to stop */
};

/* Written by its shard; read when the thread has ended. */
struct shard_stats {
    uint64_t connections, requests;
    uint64_t malformed;            /* answered with 400 or 431 */
    uint64_t incomplete;           /* requests whose connection ended before they did */
    uint64_t dropped;              /* connections closed because memory or descriptors ran out */
    uint64_t status[STATUS_SLOTS]; /* 0: no status was sent */
};

struct shard {
    struct sink *sink;
    const int *listen_fds; /* not owned */
    uint32_t listen_count;
    pthread_t thread;
    int epoll_fd;
    bool stopping;
    bool may_hang_accept; /* connections are at times not to be accepted */
    bool accept_again; /* accept4() failed for want of descriptors, or it hangs: try again soon */
    char *in, *out;    /* owned; SHARD_IN_BYTES, SHARD_OUT_BYTES */
    size_t out_bytes;  /* 0 whenever no connection is being handled */
    struct slab *slab; /* parcels */
    struct timers timers;
    struct prng prng;
    TAILQ_HEAD(open_list, conn) open;     /* all that are neither free nor closed */
    TAILQ_HEAD(ready_list, conn) ready;   /* to go on without a new event */
    TAILQ_HEAD(closed_list, conn) closed; /* to be freed at the end of the turn */
    struct log_buffer log;
    uint64_t log_flushed_ns;
    struct shard_stats stats;
    char scratch[ANSWER_SCRATCH_BYTES];
    char decoded_id[REQUEST_HEAD_BYTES];
};

/* NULL: no memory or descriptors. listen_fds must outlive the shard. */
struct shard *shard_new(struct sink *sink, uint32_t index, const int *listen_fds, uint32_t count);
void shard_free(struct shard *s);
void *shard_main(void *shard); /* the thread's function */

#endif
