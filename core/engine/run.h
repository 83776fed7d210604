/* core/engine/run.h - one run of hookline send: start, watch, stop, sum up.
 *
 * A run owns the shared pieces (input source, output files) and its shards. run_open() builds it
 * all; then either run_start() gives every shard a thread (the product), or a test calls
 * shard_turn() on each itself (the simulator).
 *
 * Threads: run_stop(), run_ended() and run_stats() may be called by any thread while it goes on;
 * everything else by the thread that opened it.
 */
#ifndef CORE_ENGINE_RUN_H
#define CORE_ENGINE_RUN_H

#include "core/base/err.h"
#include "core/base/hist.h"
#include "core/engine/config.h"

#include <stdbool.h>
#include <stdint.h>

struct run;
struct shard;

/* Every accepted record ends in exactly one of these (delivery.md section 7). */
enum outcome {
    OUTCOME_DELIVERED,
    OUTCOME_FAILED,    /* a final answer */
    OUTCOME_EXHAUSTED, /* no retry left */
    OUTCOME_EXPIRED,   /* its deadline or window passed while it waited */
    OUTCOME_ABORTED,   /* the operator stopped the run and said not to keep it */
    OUTCOME_COUNT
};
/* As results show it. */
const char *outcome_label(enum outcome o);

/* delivery.md section 8; BSD's sysexits are not used. */
enum exit_status {
    EXIT_ALL_DELIVERED = 0,
    EXIT_SOME_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_INPUT = 3,
    EXIT_OUTPUT = 4,
    EXIT_RESOURCES = 5,
    EXIT_STILL_WAITING = 6,
};

struct run_error {
    enum exit_status status;
    char text[512]; /* one line without newline: what happened, to what, what to do */
};

enum run_stop {
    RUN_GO,
    RUN_STOP_DRAIN, /* take in nothing more; attempts in flight may finish */
    RUN_STOP_NOW,   /* cut attempts off; their records stay pending, maybe delivered */
};

/* Numbers only ever grow but for those marked "now". accepted = sum of outcomes + pending. */
struct run_stats {
    uint64_t accepted, rejected, outcomes[OUTCOME_COUNT];
    uint64_t pending;              /* now: accepted and without an outcome */
    uint64_t in_flight;            /* now: attempts under way */
    uint64_t maybe_delivered;      /* of pending: cut off by RUN_STOP_NOW after bytes were sent */
    uint64_t attempts;             /* requests begun, re-sends of the keep-alive race not counted */
    uint64_t retries;              /* of attempts: those that were not a record's first */
    uint64_t waiting;              /* now: of pending, parked: for a retry's time or a host */
    uint64_t deferred;             /* records that had to wait for a host on hold, once each hold */
    uint64_t holds;                /* times that a host was put on hold */
    uint64_t hosts_held;           /* now */
    uint64_t hints, hints_ignored; /* answers with hints; fields in them that made no sense */
    uint64_t resent;               /* keep-alive races: sent again on a fresh connection */
    uint64_t endings[ERR_COUNT];   /* of attempts */
    uint64_t statuses[6];          /* answers by class: [2] is 2xx; [0] unused */
    uint64_t tls_handshakes, tls_resumed; /* complete ones; of them those by a ticket */
    uint64_t connections_opened, connections_open /* now */;
    uint64_t request_bytes, input_bytes; /* sent; read */
    uint64_t input_bytes_total;          /* 0: a pipe, not known */
    uint64_t hosts;                      /* now: with a lane in some shard */
    uint64_t memory_used_bytes;          /* now: of config.memory_bytes */
    bool input_done;
    bool input_left;   /* the run was stopped before all of the input was read */
    uint64_t quiet_ns; /* now: nothing will happen for so long, unless by what is not known yet */
    /* Of earlier lives of the run, where a state is kept; all but the last are counted above. */
    bool resumed;
    uint64_t before_ended, before_waiting;
    uint64_t before_maybe; /* records that the list of maybe delivered ones was given */
};

int run_open(const struct config *config, struct run **run, struct run_error *why)
    __attribute__((warn_unused_result)); /* 0, or -1 with *why filled */
/* Before signals are taken: with a state, all of a pipe's input is written there first. */
int run_prepare(const struct config *config, struct run_error *why)
    __attribute__((warn_unused_result));
int run_start(struct run *run, struct run_error *why) __attribute__((warn_unused_result));
/* Asks; a stronger wish replaces a weaker one, never the other way round. Async-signal-safe. */
void run_stop(struct run *run, enum run_stop how);
bool run_ended(const struct run *run); /* every shard has left its loop */
void run_stats(const struct run *run, struct run_stats *out);
/* Waits for the threads; then latencies and errors are complete. */
void run_join(struct run *run);
/* After run_join(): why the run ended early, or NULL. Output and input errors, --strict. */
const struct run_error *run_failure(const struct run *run);
/* After run_join(): attempts' durations in ns, of all shards; *into is initialised by the call. */
void run_latency(const struct run *run, struct hist *into);
/* After run_join(): the hosts that were on hold, most deferred records first. Returns how many
 * there were; fills at most max. */
struct run_held {
    char host[280]; /* "name:port" */
    uint32_t times;
    uint64_t held_ns, deferred;
};
uint32_t run_held_hosts(const struct run *run, struct run_held *out, uint32_t max);
void run_free(struct run *run);

/* For tests that drive shards by hand instead of run_start(). */
uint32_t run_shards(const struct run *run);
struct shard *run_shard(struct run *run, uint32_t index);

#endif
