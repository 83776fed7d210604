/* core/engine/lane.h - one receiver as one shard sees it: its queues and its connections.
 *
 * A lane is a host, known by its scheme and canonical "host:port"; it points to what all shards
 * know of that host (sched/host.h). Its records wait in flows: one for those without a key, and one
 * for each key (whose quota at the receiver is used), since hints are for a (host, key) and health
 * is for the host. A flow has two queues, first attempts and retries, which take turns. A record
 * waits in one of them as a delivery, in memory, or parked, in a backlog (engine/parked.h).
 *
 * A flow is in its lane's ring while something in it may go: a delivery, or a backlog to be read; a
 * lane is on the shard's ready list while its ring is not empty and nothing blocks the lane. What
 * must wait is on no list: a timer or the end of an exchange brings it back. Lanes with neither
 * records nor connections stay known, up to a number that is looked at when one is made, least
 * recently used first to go.
 * Thread: its shard's.
 */
#ifndef CORE_ENGINE_LANE_H
#define CORE_ENGINE_LANE_H

#include "core/base/slab.h"
#include "core/engine/delivery.h"
#include "core/net/conn.h"
#include "core/net/places.h"
#include "core/net/policy.h"
#include "core/net/resolver.h"
#include "sched/host.h"
#include "sched/limits.h"
#include "sched/pace.h"
#include "sched/shared_table.h"
#include "sched/wheel.h"

#include <stdbool.h>
#include <stdint.h>

enum flow_kind { FLOW_FIRST, FLOW_RETRY, FLOW_KINDS };

/* First in, first out. */
struct flow_queue {
    struct delivery *head, *tail;
    uint32_t first, last; /* its backlog of parked records: handles, 0: none */
};

struct flow {
    struct lane *lane;
    struct flow *ring_next, *ring_prev; /* in its lane's ring */
    struct flow *recall_next; /* in the shard's list of those that want parked records read */
    struct flow *bucket_next; /* among keyed ones */
    struct pace *pace;        /* how fast it may be sent to; NULL: nobody said */
    struct flow_queue queue[FLOW_KINDS];
    uint64_t key;            /* hash; 0: records without a key */
    uint64_t retry_until_ns; /* no retry before: over budget */
    struct wheel_node timer; /* armed while blocked */
    uint32_t queued;         /* deliveries in its queues, */
    uint32_t retries;        /* and of those in the queue of retries */
    uint32_t backlog;        /* parked and due */
    uint32_t delayed;        /* parked until a time of their own */
    uint32_t untold;         /* over, and not told yet: deliveries on no queue, and parked ones */
    uint32_t in_flight;      /* exchanges, and attempts that wait to go on */
    uint32_t paces_seen;     /* host->paces when pace was last looked for */
    uint32_t waiting_told;   /* of pace->waiting, ours */
    uint32_t taken;          /* answers other than 429 while it had no pace, */
    uint64_t taken_ns;       /* since then */
    bool in_ring, in_recall, blocked;
    bool retry_next; /* whose turn it is */
};
_Static_assert(sizeof(struct flow) <= 256, "a flow must stay small: there may be 1,000,000");

struct name_lookup;

enum { LANE_ONE_WORDS = (sizeof(struct places) + sizeof(struct place)) / sizeof(uint64_t) };

/* What a lane has besides if its host is a name for the DNS; see names.c. */
struct naming {
    struct name_lookup *lookup; /* that it waits for; NULL: none */
    struct lane *next;          /* of those that wait for the same, or in line */
    uint64_t until_ns;          /* what is known is to be believed until then; 0: nothing is */
    uint64_t made_ns;           /* when the DNS was asked for it */
    uint64_t good_until_ns;     /* of the last answer with addresses */
    uint8_t why;                /* enum err: there are no addresses, because of that */
    bool in_line;               /* it waits until there is room for its question */
    bool turn;                  /* it has come to the head of the line */
    bool doubted;               /* connects failed: the cache must have newer addresses */
    bool stale;                 /* the addresses are old: the DNS does not answer */
    /* Its places, if that is one: most names have one, and where memory is short one must do. */
    uint64_t one[LANE_ONE_WORDS];
};

struct lane {
    struct lane *ready_next;    /* in the ready list */
    struct lane *older, *newer; /* in the list of unused ones */
    struct lane *dirty_next;    /* among those with counts for the host */
    struct host *host;          /* shared; one reference is ours */
    struct pace *pace;          /* for all keys; NULL: none */
    struct flow *own;           /* owns: records without a key */
    struct flow *ring, *ring_tail;
    struct conn *idle;     /* last in, first out, by conn->next and ->prev */
    struct places *places; /* owns: the addresses that may be connected to; NULL: none are known */
    const char *refused;   /* the egress rule that refuses all its addresses; else NULL */
    uint64_t moved_ns;     /* when one of its exchanges last began or ended; 0: never */
    uint64_t name_hash;
    uint64_t interval_ns;        /* --host-rate or the limits file; 0: none */
    struct wheel_node timer;     /* armed while blocked */
    uint32_t conns_max;          /* in the whole process */
    uint32_t conns;              /* not CONN_FREE */
    uint32_t permits, in_flight; /* of the host's window: held, used */
    uint32_t deficit;            /* bytes that it may send in this visit */
    uint32_t queued;             /* deliveries in its flows' queues */
    uint32_t parked;             /* in its flows, in whatever state */
    uint32_t flows;              /* keyed ones */
    uint32_t paces_seen;         /* as a flow's */
    /* For the host, since the last flush. */
    uint16_t ended, failed, troubled, succeeded;
    uint32_t deferred;
    bool secure : 1;             /* https: each of its connections is a TLS session */
    bool by_name : 1;            /* its addresses come from the DNS */
    bool ready, unused, dirty;   /* on that list */
    bool blocked;                /* by its host's health, or for want of a permit or connection */
    bool held;                   /* blocked by its health or by a hint for all its keys */
    bool refusal_told;           /* what refuses its addresses was printed */
    bool full;                   /* it could have used more permits since the last flush */
    uint16_t name_len, host_len; /* of name, and of what stands before its last ':' */
    uint16_t name_at;            /* bytes from its start: "host:port", lower case, canonical */
    uint16_t port;
    /* Behind it stands a struct naming, or else its places; then the name. */
};
_Static_assert(sizeof(struct lane) + sizeof(struct places) + sizeof(struct place) <= 256,
               "a lane must stay small: there may be 1,000,000");

struct lane_rules {
    struct shared_table *hosts, *paces;
    const struct limits *limits; /* NULL: none */
    uint64_t interval_ns;        /* --host-rate; 0: none */
    uint32_t conns_max;          /* --host-connections */
    bool paces_kept;             /* an earlier life left paces: look for them at first sight */
};

struct lanes {
    struct slab *slab;
    struct wheel *wheel; /* for the timers of lanes and flows that are given back */
    struct lane_rules rules;
    struct lane **slot; /* open addressing, linear probing; owned; a power of two of them */
    uint32_t slots, count;
    struct flow **bucket; /* keyed flows, chained; owned; a power of two of them */
    uint32_t buckets, keyed;
    uint32_t unused_count, unused_max;
    uint32_t secure_conns;        /* connections of https lanes, whatever they are doing */
    struct lane *oldest, *newest; /* unused ones */
    struct lane *ready_head, *ready_tail;
    struct lane *last; /* found last, or NULL: records come in runs for one receiver */
};

bool lanes_open(struct lanes *t, struct slab *slab, struct wheel *wheel,
                const struct lane_rules *rules) MUST_USE;
void lanes_close(struct lanes *t, uint64_t now_ns); /* every lane must be unused */

enum lane_found { LANE_FOUND, LANE_NO_MEMORY /* wait */ };

/* The lane of url's host; made at first sight, and vetted unless its addresses need the DNS. */
enum lane_found lanes_find(struct lanes *t, const struct url *url, const struct resolver *resolver,
                           const struct policy *policy, uint64_t now_ns,
                           struct lane **out) MUST_USE;
/* The flow of a key (its hash; 0: none) in a lane, made at first sight. NULL: wait for memory. */
struct flow *lanes_flow(struct lanes *t, struct lane *l, uint64_t key, uint64_t now_ns);

/* Forgets the oldest unused lane that is not `keep`; false: there is none. */
bool lanes_evict(struct lanes *t, const struct lane *keep, uint64_t now_ns);

static inline struct span lane_name(const struct lane *l)
{
    return span_of((const char *)l + l->name_at, l->name_len);
}
/* NULL: its addresses need no DNS. */
static inline struct naming *lane_naming(struct lane *l)
{
    return l->by_name ? (struct naming *)(l + 1) : NULL;
}
/* Of one that is refused: the first of its addresses. */
static inline const struct addr *lane_refused_addr(const struct lane *l)
{
    const void *places = l + 1;
    if (l->by_name) places = ((const struct naming *)places)->one;
    return &((const struct places *)places)->at[0].addr;
}
/* Whether it is known now that its records may be sent nowhere. */
static inline bool lane_refuses(struct lane *l, uint64_t now_ns)
{
    return l->refused != NULL && (!l->by_name || lane_naming(l)->until_ns > now_ns);
}

/* The addresses that the policy lets through, with the lane's port, are its own from now on, and
 * `refused` says why if there are none. Where memory is short, only the first of them. */
void lane_places_set(struct lanes *t, struct lane *l, const struct policy *policy,
                     const struct addr *addrs, uint32_t count, uint64_t now_ns);
void lane_places_drop(struct lanes *t, struct lane *l);

/* The paces of a flow and of its host, once someone has made them; `make` makes the flow's, or, for
 * flow NULL, the lane's for all keys. */
void lane_paces_look(struct lanes *t, struct lane *l, struct flow *f);
struct pace *lane_pace_make(struct lanes *t, struct lane *l, struct flow *f, uint64_t now_ns);

/* The hash of the flow's pace, or, for NULL, the lane's, in the shared table. */
uint64_t lane_pace_hash(const struct lane *l, const struct flow *f);

void flow_push(struct lanes *t, struct flow *f, enum flow_kind kind, struct delivery *d);
void flow_push_front(struct lanes *t, struct flow *f, enum flow_kind kind, struct delivery *d);
/* Takes the first delivery of that queue, which must not be empty. */
struct delivery *flow_pop(struct lanes *t, struct flow *f, enum flow_kind kind);
/* Takes out one that waits anywhere in that queue. */
void flow_remove(struct lanes *t, struct flow *f, enum flow_kind kind, struct delivery *d);
/* A keyed flow with nothing left in it is given back: the last call on it, perhaps. */
void flow_settle(struct lanes *t, struct flow *f, uint64_t now_ns);

/* The flow has had its turn: to the end of its lane's ring, unless it has left that already. */
void lane_rotate(struct flow *f);
/* It must wait: out of the ring. flow_wake(): back when it has something. */
void flow_block(struct lanes *t, struct flow *f);
void flow_wake(struct lanes *t, struct flow *f);
/* Puts the flow where its state says it belongs, and its lane with it. */
void flow_update(struct lanes *t, struct flow *f);

/* One of its connections is taken, is free again, idles, idles no more. */
void lane_conn_added(struct lanes *t, struct lane *l);
void lane_conn_gone(struct lanes *t, struct lane *l);
void lane_idle_add(struct lanes *t, struct lane *l, struct conn *c);
void lane_idle_remove(struct lane *l, struct conn *c);

/* Takes the first ready lane off the list; NULL: none. lane_update() puts it back. */
struct lane *lanes_next_ready(struct lanes *t);
/* Puts the lane on the lists where its state says it belongs. */
void lane_update(struct lanes *t, struct lane *l);
void lanes_validate(const struct lanes *t);

#endif
