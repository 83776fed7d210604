/* core/engine/run_state.h - what a run's shards share. Private to core/engine. */
#ifndef CORE_ENGINE_RUN_STATE_H
#define CORE_ENGINE_RUN_STATE_H

#include "core/base/atomic.h"
#include "core/engine/durable.h"
#include "core/engine/output.h"
#include "core/engine/run.h"
#include "core/input/record.h"
#include "core/input/source.h"
#include "sched/gcra.h"
#include "sched/pace.h"
#include "sched/shared_table.h"
#include "tls/tickets.h"

#include <pthread.h>

/* One shard's counts. Written by its thread alone, with plain relaxed stores; read by any. */
struct tally {
    uint64_t accepted, rejected, outcomes[OUTCOME_COUNT], in_flight, maybe_delivered, attempts,
        resent, endings[ERR_COUNT], statuses[6], connections_opened, connections_open,
        request_bytes, hosts, memory_used_bytes, quiet_ns, retries, waiting, deferred, holds,
        closes, opens, hints, hints_ignored, tls_handshakes, tls_resumed;
} __attribute__((aligned(64)));

/* For a counter of the calling thread's own tally. */
#define TALLY_ADD(counter, n) store_rlx(&(counter), (counter) + (uint64_t)(n))

/* Bytes of each part of a shard, so that together they keep to config.memory_bytes. */
struct memory_plan {
    uint32_t connections, recv_buffers, recv_bytes, outbuf_bytes, rawbuf_bytes;
    uint32_t names_bytes, lookups; /* the cache of names; questions to the DNS at the same time */
    uint64_t fixed_bytes; /* at most, when all of it is touched */
    uint64_t slab_bytes; /* deliveries and lanes; and TLS, which may have tls_bytes of it */
    uint64_t tls_bytes;  /* 0: too little for any */
    uint64_t tls_needs;  /* bytes of --memory with which there is some */
};

struct held_host;

enum { RUN_REFUSALS_SHOWN = 32 }; /* at most, whatever the configuration says */

struct run {
    const struct config *config; /* read only */
    struct memory_plan plan;     /* read only after run_open() */
    struct record_rules record_rules;
    struct source source;
    struct shared_table *hosts, *paces; /* owns; shared as sched/host.h and sched/pace.h say */
    struct host_windows *windows;       /* owns; likewise */
    struct tls_tickets *tickets;        /* owns; shared as tls/tickets.h says */
    struct gcra rate;                   /* --rate; shared */
    uint32_t readers;                   /* shards whose input is not over; relaxed */
    uint32_t input_left;                /* a shard stopped before its input was over; relaxed */
    uint64_t refusals_shown[RUN_REFUSALS_SHOWN]; /* hashes of refused hosts' names, from the first
                                                    on; 0: none; compare-exchange, relaxed */
    uint32_t holds_shown;               /* lines about holds printed so far; relaxed add */
    uint32_t conns_wanted; /* grows when a shard needs a connection that others have; relaxed */
    struct outfile results, events, dead_letters, rejects;
    struct durable durable; /* its `on`: whether a state is kept */
    struct shard **shards;
    uint32_t shards_count;
    pthread_t *threads;
    bool started, state_ended;

    uint32_t stop;          /* enum run_stop; only ever raised, by compare-exchange, relaxed */
    uint32_t ended;         /* shards that have left their loop; add by each, release; acquire */
    uint32_t sources_next;  /* source_ips taken in turn by all shards; relaxed */
    uint32_t rejects_shown; /* reasons printed so far; relaxed add */
    uint32_t failed; /* 0, 1: failure is being written, 2: it can be read (release, acquire) */
    struct run_error failure;
};

/* The first reason wins; the run stops taking in records. Any thread. */
void run_fail(struct run *run, enum exit_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Likewise, because the state could not be kept. errno. */
void run_state_failed(struct run *run, int error);

/* Fills *why and gives -1; before shards run. */
int run_refuse(struct run_error *why, enum exit_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* How a person knows the input. */
const char *input_name(const struct config *c);
struct record_rules run_record_rules(const struct config *c);

/* Part of derived ids: the same in every life of a run. */
uint64_t run_id(const struct run *run);

/* shard.c, for run.c. */
struct shard *shard_new(struct run *run, uint32_t index); /* NULL: memory */
void shard_free(struct shard *s);
size_t shard_connection_bytes(void); /* for each of its connections, with its exchange */
struct run *shard_run(const struct shard *s);
uint32_t shard_index(const struct shard *s);
const struct held_host *shard_held(const struct shard *s);
const struct tally *shard_tally(const struct shard *s);
const struct hist *shard_latency(const struct shard *s);

#endif
