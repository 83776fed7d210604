/* sched/wheel.h - a hierarchical timer wheel (Varghese and Lauck, 1987, scheme 7).
 *
 * Arming and cancelling are O(1); advancing costs a bounded number of steps, however far time
 * jumped and however many timers are due: at most WHEEL_MOVES change their level in one call. One
 * tick is about 1 ms (WHEEL_TICK_NS). A timer never fires early; it fires at most one tick late,
 * counted from the wheel_advance() that could first see it; of a crowd that must change its level
 * each next WHEEL_MOVES one call later. Nodes live in the caller's structs. Pure: time comes in as
 * an argument. One thread.
 */
#ifndef SCHED_WHEEL_H
#define SCHED_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

enum {
    WHEEL_LEVELS = 8,
    WHEEL_SLOT_BITS = 6,
    WHEEL_SLOTS = 1 << WHEEL_SLOT_BITS,
    WHEEL_MOVES = 4096
};
#define WHEEL_TICK_NS (UINT64_C(1) << 20)
#define WHEEL_NEVER   UINT64_MAX

struct wheel_node {
    struct wheel_node *next, *prev; /* NULL when not armed */
    uint64_t due_ns;
};

struct wheel {
    uint64_t now_tick;
    uint64_t occupied[WHEEL_LEVELS]; /* a bit for each slot that holds a node */
    uint64_t count;
    struct wheel_node slot[WHEEL_LEVELS][WHEEL_SLOTS]; /* list heads */
    struct wheel_node expired;                         /* due, not yet handed out */
    struct wheel_node moving; /* now's slot was theirs: due, or of a lower level */
};

void wheel_init(struct wheel *w, uint64_t now_ns);
/* The node must not be armed. A time in the past fires at the next wheel_advance(). */
void wheel_arm(struct wheel *w, struct wheel_node *n, uint64_t due_ns);
/* A node that is not armed is left alone. */
void wheel_cancel(struct wheel *w, struct wheel_node *n);
static inline bool wheel_armed(const struct wheel_node *n) { return n->next != 0; }

/* Moves time on. Call wheel_expired() afterwards until it gives NULL or the turn's budget ends:
 * what is left stays due and comes first next time. */
void wheel_advance(struct wheel *w, uint64_t now_ns);
/* Takes the next due node out of the wheel; NULL when there is none. */
struct wheel_node *wheel_expired(struct wheel *w);

/* No timer fires before this time (a lower bound, exact to the slot of its level; wake then and
 * ask again); a time in the past when some are due already; WHEEL_NEVER when empty. */
uint64_t wheel_next_ns(const struct wheel *w);

/* Calls fn for each node, the due ones too, in no order; fn may cancel the node that it is given
 * and no other, and arm none. Stops when it gives false. */
void wheel_each(struct wheel *w, bool (*fn)(struct wheel_node *n, void *ctx), void *ctx);

/* CHECKs every invariant: links, occupancy bits, count, each node in the slot its time demands. */
void wheel_validate(const struct wheel *w);

#endif
