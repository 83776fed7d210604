/* core/engine/delivery.h - one accepted record on its way, rendered once.
 *
 * One block of the shard's slab holds the struct and behind it: the beginning of its log lines
 * (id, line, url, host, already escaped and redacted), the request's bytes, and, when failed
 * records are to be kept, the record as it came. Thread: its shard's.
 */
#ifndef CORE_ENGINE_DELIVERY_H
#define CORE_ENGINE_DELIVERY_H

#include "core/base/slab.h"
#include "core/base/span.h"
#include "core/engine/redact.h"
#include "core/engine/run.h"
#include "core/input/record.h"
#include "sched/wheel.h"

#include <stdbool.h>
#include <stdint.h>

struct flow;
struct signer;

/* What its timer is armed for. */
enum delivery_wait {
    DELIVERY_NO_WAIT,
    DELIVERY_WAITS_CONN,  /* a begun attempt waits for a connection: until its time limit */
    DELIVERY_WAITS_RETRY, /* its retry's time, or its not_before, is not yet there */
    DELIVERY_WAITS_TURN,  /* in a queue: until its time is over */
    DELIVERY_WAITS_TOLD,  /* its end is to be told, and there was no room */
};

/* What it is about to end in, besides an enum outcome. */
enum delivery_fate {
    FATE_PENDING = OUTCOME_COUNT, /* given up when the run stopped */
    FATE_RETRY,                   /* another attempt */
    FATE_NONE,
};

struct delivery {
    struct delivery *next; /* in its flow's queue */
    struct flow *flow;
    uint64_t since_ns;    /* monotonic: its first attempt began; before that: it was taken in */
    uint64_t attempt_ns;  /* monotonic: the present attempt began; 0: none */
    uint64_t deadline_ns; /* monotonic; UINT64_MAX: none */
    uint64_t due_ns;      /* of its retry, while that is being told */
    uint64_t line;        /* its number in the input */
    uint64_t offset;      /* of its line in the input, or in the spool */
    uint64_t mark;        /* --sync always: it may begin when this batch is durable; 0: none yet */
    uint32_t block_bytes; /* as taken from the slab */
    uint32_t log_len, request_len, raw_len;
    uint32_t path_at, path_len; /* the URL's path inside the log text */
    uint32_t body_len;          /* of the request */
    uint16_t id_len;            /* of webhook-id; 0: it is not signed */
    uint32_t slot;              /* of its attempt under way, in the state's list; 0: none */
    uint16_t attempts;
    uint16_t check;          /* parked_check() of its line */
    struct wheel_node timer; /* see wait */
    uint8_t wait;            /* enum delivery_wait */
    uint8_t fate;            /* enum outcome once it has one; else see enum delivery_fate */
    uint8_t tries;           /* addresses that this attempt has tried; UINT8_MAX: or more */
    uint8_t why;             /* enum err of its last attempt, or what it waits because of */
    uint8_t sent;            /* enum sent: of all its ended attempts the most */
    uint8_t sent_now;        /* enum sent: of the present attempt, before this exchange */
    bool retry;              /* which of its flow's queues it belongs to */
    bool probe;              /* the present attempt is its host's probe */
    uint8_t probe_round;     /* host_gate() gave it */
    bool resent;             /* this attempt lost a keep-alive race already */
    bool fresh;              /* must go out on a new connection */
    bool spooled;            /* of a pipe: offset is its place in the spool */
    bool deferred;           /* it was told that its host is on hold */
    char bytes[];            /* log text, request, raw record */
};

static inline const char *delivery_log(const struct delivery *d) { return d->bytes; }
static inline const char *delivery_request(const struct delivery *d)
{
    return d->bytes + d->log_len;
}
static inline const char *delivery_raw(const struct delivery *d)
{
    return d->bytes + d->log_len + d->request_len;
}

/* What every delivery of a run has in common. */
struct delivery_rules {
    const struct signer *signer; /* NULL: requests are not signed */
    struct span user_agent;
    struct redact redact;
    uint64_t run_id;
    bool idempotency_key;
    bool keep_raw; /* dead letters are wanted, or it may have to be spooled */
};

enum { DELIVERY_ID_BYTES = 16 + 1 + 20 };
/* The record's id, or one made of run and line: the same on every attempt and in every life. */
struct span delivery_id(const struct record *r, uint64_t run_id, uint64_t line,
                        char derived[DELIVERY_ID_BYTES]);

/* Makes a delivery of a record whose line is raw, in line number `line` of the input, for the
 * lane that is called host ("name:port"). NULL: no memory now, try again when some is given back;
 * or never, if it is more than the slab has: then *never is true. */
struct delivery *delivery_make(struct slab *slab, const struct delivery_rules *rules,
                               const struct record *record, struct span raw, uint64_t line,
                               struct span host, bool *never);
/* Writes an attempt's time, in seconds since 1970, and its signatures into the request, which must
 * be nobody else's now. */
void delivery_sign(struct delivery *d, const struct signer *signer, uint64_t wall_s);
void delivery_free(struct slab *slab, struct delivery *d);

#endif
