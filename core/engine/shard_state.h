/* core/engine/shard_state.h - the inside of a shard, shared by the files that make one turn.
 *
 *   shard.c     opens, turns, ends
 *   intake.c    records become deliveries and join their flows, or are parked
 *   waiting.c   what must wait is parked, and comes back in time
 *   recall.c    the lines of parked records are read again
 *   dispatch.c  deliveries become exchanges on connections
 *   names.c     lanes learn the addresses of their hosts from the DNS
 *   race.c      new connections find an address that works
 *   gate.c      may the next one of a flow begin now?
 *   follow.c    what the end of an exchange leads to
 *   feedback.c  what it says about its host
 *   account.c   outcomes are told and counted
 *   note.c      what of it is noted for the state, if one is kept
 *   refeed.c    records that waited in an earlier life come back
 */
#ifndef CORE_ENGINE_SHARD_STATE_H
#define CORE_ENGINE_SHARD_STATE_H

#include "core/base/hist.h"
#include "core/base/prng.h"
#include "core/base/slab.h"
#include "core/base/stamp.h"
#include "core/engine/delivery.h"
#include "core/engine/lane.h"
#include "core/engine/logbook.h"
#include "core/engine/names.h"
#include "core/engine/parked.h"
#include "core/engine/recall.h"
#include "core/engine/run_state.h"
#include "core/engine/shard.h"
#include "core/engine/spool.h"
#include "core/engine/tell.h"
#include "sched/wheel.h"

/* Records that waited when an earlier life ended, on their way into flows: a piece of the run's
 * list, and a window on the input. */
struct refeed {
    struct io_op op;
    struct shard *shard;
    char *mem;          /* owns; NULL: there is nothing to feed */
    uint64_t offset;    /* of mem[0] in the input */
    uint64_t first, next, end; /* of run->durable.waiting: our piece, and how far it is fed */
    uint32_t len, cap;
    int32_t error; /* errno of a read, -1: the file is shorter than it was; 0: none */
};

/* Whose a wheel node is: the low three bits of its due_ns, which the wheel does not look at. */
enum timer_kind {
    TIMER_CONN,
    TIMER_DELIVERY,
    TIMER_PARKED,
    TIMER_FLOW,
    TIMER_LANE,
    TIMER_NAMES,
    TIMER_RACE,
};

/* A host that was on hold, as far as this shard put it there or deferred records for it. */
struct held_host {
    struct held_host *next;
    uint64_t name_hash, held_ns, deferred;
    uint32_t times;
    char name[];
};

struct shard {
    struct run *run;
    uint32_t index;
    struct io *io;
    uint64_t start_ns; /* on io_now_ns()'s clock: nothing that waits was first tried before */
    struct prng dice;  /* jitter */
    struct wheel wheel;
    struct slab *slab; /* deliveries and lanes */
    struct lanes lanes;
    struct names names;
    struct conn_pool conns;
    struct tls_pool *tls_pool; /* owns; made with the first https connection, as conns.tls is */
    struct wheel_node *timers; /* owns: one for each connection, by slot */
    uint32_t evict_hand;       /* where the search for an idle connection goes on */
    uint32_t conns_wanted;     /* run->conns_wanted when idle ones were last looked through */

    struct exchange *exchanges; /* owns: one for each connection slot */
    struct exchange *exchanges_free;
    uint32_t exchanges_fresh; /* those from here on were never used */
    struct race *races;       /* owns: as many */
    struct race *races_free;
    uint32_t races_touched;

    struct reader reader;
    struct record_parser *parser;
    struct record *record; /* owns: the one that is being taken in */
    struct delivery_rules rules;
    enum reader_step input;   /* the reader's last answer */
    struct delivery *untaken; /* made, but blocked by the policy and not yet told */
    enum err untaken_why;     /* what it ends in */
    enum outcome untaken_outcome;
    uint32_t parked_now;  /* lines that were parked in this turn */
    bool line_waits;      /* reader.line was not taken in yet: memory or room is short */
    bool reject_open;     /* a long line is being copied to the rejects file */
    uint64_t reject_done; /* bytes of reader.line that are in that file already */

    struct recall recall;
    struct spool spool; /* open if the input is a pipe */

    struct logbook log; /* its journal is NULL where no state is kept */
    struct refeed refeed;

    struct outbuf results, events, dead_letters, rejects;
    struct stamp_cache stamps;
    /* Ended exchanges whose lines had no room yet, oldest first; meanwhile nothing begins. */
    struct exchange *untold_head, *untold_tail;
    struct exchange *unsent; /* owns: stands for the exchange of a record that has none */

    uint32_t live;      /* deliveries with memory: queued, under way or untold */
    uint64_t parked;    /* records without */
    uint64_t idle_ns;   /* slept of late, and not yet spent on reading ahead */
    bool read_ahead;    /* parking from the input was given up in this turn, to go on in the next */
    struct lane *dirty; /* lanes with counts for their hosts */
    struct held_host *held; /* owns */
    uint32_t held_count;
    uint64_t rate_until_ns;    /* the run's rate lets nothing begin before */
    uint32_t busy;             /* exchanges on connections */
    uint32_t batch_seen;       /* exchanges that ended together in the last turns */
    uint64_t no_room_until_ns; /* no connection is opened before: ports or files were short */
    uint64_t no_room_wait_ns;
    uint64_t outputs_due_ns;
    uint64_t quiet_since_ns; /* with --max-wait: since when nothing but timers is waited for */
    bool begun, drained, cut, read_over /* run->readers knows that its input is over */
        ;                               /* cut: RUN_STOP_NOW was carried out */
    struct hist latency;                /* attempts, ns */
    struct tally tally;
};

static inline void timer_arm(struct shard *s, struct wheel_node *n, enum timer_kind kind,
                             uint64_t due_ns)
{
    if (due_ns == UINT64_MAX) return;
    /* Never early, but for a connection's: that one looks at the time itself. */
    if (kind != TIMER_CONN) due_ns += 7;
    wheel_arm(&s->wheel, n, (due_ns & ~UINT64_C(7)) | kind);
}
static inline enum timer_kind timer_kind(const struct wheel_node *n)
{
    return (enum timer_kind)(n->due_ns & 7);
}

/* intake.c: takes in lines while there is room and use for them. */
void intake(struct shard *s);
/* The operator stopped, or the input failed: nothing more is read. */
void intake_stop(struct shard *s);
/* No line will ever come again, and nothing of the input is under way. */
bool intake_over(const struct shard *s);
/* In the middle of a line that has to be copied to its end before the run can stop. */
bool intake_inside(const struct shard *s);
/* There is room and use for more live deliveries, beside kept_bytes of memory for other things. */
bool intake_window_open(const struct shard *s, uint64_t kept_bytes);
/* The flow of the record that was parsed last. NULL: no memory now, or no address. */
struct flow *intake_flow(struct shard *s);
/* The record's fate is decided without an attempt: told now, or as soon as there is room. */
void intake_end(struct shard *s, struct delivery *d, enum err why, enum outcome outcome);
/* Makes a delivery of a parked record's line, which was parsed before; *changed: it is not the line
 * that it was. NULL: no memory now, or *changed. */
struct delivery *intake_again(struct shard *s, struct flow *f, const struct parking *p,
                              struct span line, bool *changed);

/* Which address of the lane's host is refused, and why; once while the lane is known. */
void refusal_show(struct shard *s, struct lane *l);

/* waiting.c */
/* Parks a delivery that waits in no queue: in its flow's backlog (due_ns 0) or until due_ns. False:
 * it cannot be now, and stays as it was. */
bool park(struct shard *s, struct delivery *d, uint64_t due_ns);
/* Parks the reader's line, whose record was accepted; likewise. */
bool park_line(struct shard *s, struct flow *f, uint64_t deadline_ns, uint64_t due_ns,
               bool deferred);
/* The delivery waits for due_ns, parked if that can be. */
void wait_until(struct shard *s, struct delivery *d, uint64_t due_ns);
/* The delivery goes to its flow's queue. */
void wait_turn(struct shard *s, struct delivery *d);
/* It leaves its queue, or whatever its timer was armed for. */
void wait_over(struct shard *s, struct delivery *d);
/* What waits in the queues of the lane's flows is parked: the host is on hold until then. */
void park_lane(struct shard *s, struct lane *l);
/* Likewise of one flow. False: one could not be parked now, and the rest were not tried. */
bool park_flow(struct shard *s, struct flow *f);
void waiting_parked_timer(struct shard *s, struct parked *k);
void waiting_delivery_timer(struct shard *s, struct delivery *d);
/* A parked record is no more: it is a delivery again, or was told. */
void unpark(struct shard *s, struct parked *k);
/* Asks for some of the flow's backlog if it can use it. */
void flow_refill(struct shard *s, struct flow *f);
/* The run stops: all that is parked is given up, as pending. */
void waiting_drain(struct shard *s);
/* The deliveries that a flow may have in its queues. */
uint32_t flow_room(const struct flow *f);

/* note.c. All entries need room: ask note_fits() before what they tell is told. */
bool note_fits(const struct shard *s);
/* The delivery waits in a queue: with --sync always that it may begin is made durable first. */
void note_queued(struct shard *s, struct delivery *d);
/* Whether a new attempt of it may begin now, as far as the state goes. */
bool note_may_begin(struct shard *s, struct delivery *d);
void note_begun(struct shard *s, struct delivery *d);
/* Its fate is told: done, another attempt, or pending; maybe: its last attempt may have arrived. */
void note_fate(struct shard *s, struct delivery *d, bool maybe);
/* A line that is no record is done with. */
void note_line(struct shard *s, uint64_t line, bool rejected);
/* Blocks whose lines were counted. */
void note_blocks(struct shard *s);
/* Whether what begins at this offset of the input may be sent; if not, that is asked for. */
bool note_leased(struct shard *s, uint64_t offset);
/* The lane's host is on hold until then, 0: no longer; or sends to it (flow NULL), or to that flow
 * of it, are. */
void note_hold(struct shard *s, const struct lane *l, uint64_t until_ns);
void note_pace(struct shard *s, const struct lane *l, const struct flow *f, uint64_t until_ns);
/* What earlier lives knew of that. Once, before anything is sent. */
void note_holds_restore(struct shard *s);

/* refeed.c */
bool refeed_open(struct shard *s) MUST_USE; /* memory */
void refeed_close(struct shard *s);
uint64_t refeed_memory_bytes(uint32_t record_bytes_max);
/* Once a turn: takes some of the records that waited, while there is room. */
void refeed(struct shard *s);
/* Memory that those still to come will take of this shard, if they come evenly. */
uint64_t refeed_needs_bytes(const struct shard *s);
/* None is left for this shard, and no operation is in flight. */
bool refeed_over(const struct shard *s);

/* gate.c */
enum gate {
    GATE_OPEN,
    GATE_FLOW,  /* the flow is blocked now */
    GATE_LANE,  /* its lane is */
    GATE_SHARD, /* nothing can begin in this shard, but what an idle connection takes */
};
/* Permits of the operator's rates and the receiver's pace, taken together and given back unused. */
struct lease {
    struct flow *flow;
    uint32_t run, host, all_keys, own;
};
enum gate gate_pass(struct shard *s, struct flow *f, struct delivery *d, struct lease *lease);
/* What gate_pass() let through begins after all not. */
void gate_undo(struct shard *s, struct flow *f, struct delivery *d, struct lease *lease);
void gate_end(struct shard *s, struct lease *lease);
void gate_lane_block(struct shard *s, struct lane *l, uint64_t until_ns);
void gate_lane_timer(struct shard *s, struct lane *l);
void gate_flow_block(struct shard *s, struct flow *f, uint64_t until_ns);
void gate_flow_timer(struct shard *s, struct flow *f);

/* names.c */
/* False: *why is a clause that says what is wrong. */
bool names_open(struct shard *s, const char **why) MUST_USE;
void names_close(struct shard *s);
/* Once a turn, after the timers: answers reach their lanes. */
void names_tend(struct shard *s);
/* Nothing is to be asked any more; names_idle(): and nothing is under way. */
void names_stop(struct shard *s);
bool names_idle(const struct shard *s);
/* Whether the turn may wait: nothing was asked since names_tend(). */
bool names_wait(const struct shard *s);
enum naming_look {
    NAMES_READY,   /* the lane has addresses, or a connection that needs none */
    NAMES_WAIT,    /* they are being asked for; the lane is blocked */
    NAMES_NOWHERE, /* there are none, see its naming's `why` */
    NAMES_REFUSED, /* the policy refuses all of them */
};
/* Whether the delivery, which is next in its lane, has an address to go to. */
enum naming_look names_look(struct shard *s, struct lane *l, const struct delivery *d);
/* Connects to all its addresses failed: they may have moved. */
void names_doubt(struct lane *l);

/* race.c */
size_t race_bytes(void);
/* Connects c for ex, whose delivery is one of the lane's. */
void race_open(struct shard *s, struct conn *c, struct lane *l, struct exchange *ex);
void race_timer(struct shard *s, struct wheel_node *n);
bool race_tried(void *ctx, struct conn *c, enum err why); /* struct conn_events */
void race_exchange_done(struct shard *s, struct conn *c, const struct exchange *ex);
void race_conn_ended(struct shard *s, struct conn *c);
/* Only the connect that has the exchange goes on. */
void race_cut(struct shard *s, struct conn *c);
/* Whether the delivery's attempt has an address left that did not fail since it began. */
bool race_addresses_left(const struct delivery *d);

/* dispatch.c */
/* A new connection for the lane; NULL: none is free for it. */
struct conn *dispatch_conn(struct shard *s, struct lane *l);
extern const struct conn_events dispatch_events;
void dispatch(struct shard *s);
/* A wheel node has expired. */
void dispatch_timer(struct shard *s, struct wheel_node *n);
/* Closes idle connections that another shard needs more. Once a turn. */
void dispatch_share(struct shard *s);
/* Closes connections that nothing will use any more. */
void dispatch_close_idle(struct shard *s);
/* The run stops: what waits and has not begun is given up, as pending. To be called every turn,
 * since there may be no room for it at once. */
void dispatch_drain(struct shard *s);
/* RUN_STOP_NOW: cuts every attempt off. */
void dispatch_cut(struct shard *s);

/* secure.c: TLS, from the first connection of an https lane on. */
/* Whether one more such connection may be opened now: there is memory, and a context. */
bool secure_room(struct shard *s);
/* As conn_events.peer. */
bool secure_peer(void *ctx, struct conn *c, struct tls_peer *peer);
void secure_close(struct shard *s);
/* Bytes of memory that TLS uses. */
uint64_t secure_used_bytes(const struct shard *s);

/* follow.c: an exchange has ended. */
void follow(struct shard *s, struct delivery *d, struct exchange *ex);
/* The time limit of an attempt passed while it waited to go on. */
void follow_waited_too_long(struct shard *s, struct delivery *d);

/* feedback.c: an attempt has truly ended; ex says how. */
void feedback(struct shard *s, struct delivery *d, const struct exchange *ex,
              const struct hint *hint);
/* The lane may have permits that it does not need any more. */
void feedback_dirty(struct shard *s, struct lane *l);
/* Once a turn: what it says about hosts is told to them. */
void feedback_flush(struct shard *s);
void feedback_deferred(struct shard *s, struct lane *l);

/* account.c: ex, taken from exchange_take(), has ended d's last attempt. Counts the outcome and
 * tells it, at once or as soon as there is room; then gives both back. */
void account_outcome(struct shard *s, struct delivery *d, struct exchange *ex, enum outcome o);
/* Likewise for an attempt that the operator cut off: its record stays pending. */
void account_cut(struct shard *s, struct delivery *d, struct exchange *ex);
/* Likewise for an attempt that is followed by another one, at d->due_ns. */
void account_retry(struct shard *s, struct delivery *d, struct exchange *ex);
/* A record whose fate is decided while it is on no connection: refused by the policy, an attempt
 * whose time passed while it waited to go on, or one whose time was over before its turn came.
 * False: no room now, ask again. */
bool account_unsent(struct shard *s, struct delivery *d, enum err why, uint8_t fate) MUST_USE;
/* A record that this run will not begin: kept as it came, if dead letters are wanted, which must
 * have room for it. */
void account_pending(struct shard *s, struct delivery *d);
/* That its host is on hold; false: no room now. */
bool account_deferred(struct shard *s, struct delivery *d) MUST_USE;
/* Tells what waits, while there is room. */
void account_untold(struct shard *s);
struct exchange *exchange_take(struct shard *s); /* NULL: none free */
void exchange_give(struct shard *s, struct exchange *ex);

#endif
