/* sched/wheel.c - the timer wheel; see wheel.h.
 *
 * A tick number is read as eight digits of six bits. A node lies at the level of the highest
 * digit in which its due tick differs from now, in the slot of its own digit there. So, at every
 * level, all nodes lie in slots beyond now's digit, all of level L is due before all of level
 * L + 1, and slots never wrap around. When time moves from `old` to `now` and H is the highest
 * digit that changes:
 *   levels below H          everything is due: each slot is spliced to the expired list, O(1)
 *   level H, before now's   due as well
 *   level H, now's slot     spliced to the moving list, O(1), whose nodes are placed anew: due now,
 *                           or at a lower level; WHEEL_MOVES of them at each advance
 *   levels above H          untouched
 * A node moves down at most seven times in its life, and a jump of years costs what a jump of one
 * slot costs. Level 0 alone also uses now's own slot: for nodes armed with a time in the past.
 *
 * Due times round up to a tick and now rounds down, hence never early.
 */
#include "sched/wheel.h"

#include "core/base/check.h"

#include <stddef.h>

enum { TICK_SHIFT = 20, DIGIT_MASK = WHEEL_SLOTS - 1, SLOTS_TOTAL = WHEEL_LEVELS * WHEEL_SLOTS };

_Static_assert(WHEEL_TICK_NS == UINT64_C(1) << TICK_SHIFT, "ticks are shifts");
_Static_assert(WHEEL_SLOTS == 64, "a slot for each bit of occupied[]");
_Static_assert(WHEEL_LEVELS *WHEEL_SLOT_BITS + TICK_SHIFT > 64, "any time in ns has a slot");
_Static_assert(offsetof(struct wheel, expired) > offsetof(struct wheel, slot), "see slot_emptied");

static void list_init(struct wheel_node *head) { head->next = head->prev = head; }

static void list_append(struct wheel_node *head, struct wheel_node *n)
{
    n->next = head;
    n->prev = head->prev;
    head->prev->next = n;
    head->prev = n;
}

/* Moves all of `from`, which is not empty, to the end of `to`, keeping its order. */
static void list_splice(struct wheel_node *to, struct wheel_node *from)
{
    CHECK_HOT(from->next != from);
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

static uint64_t due_tick(uint64_t due_ns)
{
    return (due_ns >> TICK_SHIFT) + ((due_ns & (WHEEL_TICK_NS - 1)) != 0);
}

/* The highest digit in which two ticks differ, given their exclusive or; 0 when equal. */
static unsigned level_of(uint64_t difference)
{
    return (63u - (unsigned)__builtin_clzll(difference | 1)) / WHEEL_SLOT_BITS;
}

static unsigned digit_of(uint64_t tick, unsigned level)
{
    return (unsigned)(tick >> (level * WHEEL_SLOT_BITS)) & DIGIT_MASK;
}

/* Links a node that is not due before now into the slot its time demands. */
static void place(struct wheel *w, struct wheel_node *n, uint64_t tick)
{
    unsigned level = level_of(tick ^ w->now_tick);
    unsigned slot = digit_of(tick, level);
    CHECK_HOT(tick >= w->now_tick);
    CHECK_HOT(level < WHEEL_LEVELS);
    list_append(&w->slot[level][slot], n);
    w->occupied[level] |= UINT64_C(1) << slot;
}

void wheel_init(struct wheel *w, uint64_t now_ns)
{
    CHECK(w != NULL);
    w->now_tick = now_ns >> TICK_SHIFT;
    w->count = 0;
    list_init(&w->expired);
    list_init(&w->moving);
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        w->occupied[level] = 0;
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++) list_init(&w->slot[level][slot]);
    }
}

void wheel_arm(struct wheel *w, struct wheel_node *n, uint64_t due_ns)
{
    CHECK(!wheel_armed(n));
    uint64_t tick = due_tick(due_ns);
    n->due_ns = due_ns;
    w->count++;
    /* The past goes to now's slot, not to the expired list: a handler that arms for the past
     * while the caller drains wheel_expired() must not keep it there for ever. */
    place(w, n, tick > w->now_tick ? tick : w->now_tick);
}

/* Clears the bit of a slot whose head is now alone. The lists that follow the slots in memory have
 * no bit. */
static void slot_emptied(struct wheel *w, const struct wheel_node *head)
{
    size_t index = ((size_t)((const char *)head - (const char *)w->slot)) / sizeof *head;
    if (index >= SLOTS_TOTAL) {
        CHECK(head == &w->expired || head == &w->moving);
        return;
    }
    w->occupied[index / WHEEL_SLOTS] &= ~(UINT64_C(1) << (index % WHEEL_SLOTS));
}

void wheel_cancel(struct wheel *w, struct wheel_node *n)
{
    if (!wheel_armed(n)) return;
    struct wheel_node *next = n->next, *prev = n->prev;
    CHECK(next->prev == n);
    CHECK(w->count > 0);
    next->prev = prev;
    prev->next = next;
    n->next = n->prev = NULL;
    w->count--;
    if (next == prev) slot_emptied(w, next); /* only a head has the same node on both sides */
}

/* Everything in the slots of `mask` at this level is due. Lowest slot first: nearly in order. */
static void expire_slots(struct wheel *w, unsigned level, uint64_t mask)
{
    uint64_t due = w->occupied[level] & mask;
    w->occupied[level] &= ~mask;
    for (; due != 0; due &= due - 1)
        list_splice(&w->expired, &w->slot[level][__builtin_ctzll(due)]);
}

/* Time has entered this slot: its nodes are due or belong to a lower level. */
static void cascade(struct wheel *w, unsigned level, unsigned slot)
{
    uint64_t bit = UINT64_C(1) << slot;
    if (!(w->occupied[level] & bit)) return;
    w->occupied[level] &= ~bit;
    list_splice(&w->moving, &w->slot[level][slot]);
}

/* Places the first of those that move. */
static void move_some(struct wheel *w)
{
    struct wheel_node *n;
    for (int i = 0; i < WHEEL_MOVES && (n = w->moving.next) != &w->moving; i++) {
        w->moving.next = n->next;
        n->next->prev = &w->moving;
        uint64_t tick = due_tick(n->due_ns);
        if (tick <= w->now_tick) list_append(&w->expired, n);
        else place(w, n, tick);
    }
}

void wheel_advance(struct wheel *w, uint64_t now_ns)
{
    uint64_t old = w->now_tick, now = now_ns >> TICK_SHIFT;
    CHECK(now >= old);
    unsigned high = level_of(old ^ now);
    unsigned slot = digit_of(now, high);
    w->now_tick = now;
    for (unsigned level = 0; level < high; level++) expire_slots(w, level, UINT64_MAX);
    expire_slots(w, high, (UINT64_C(1) << slot) - 1);
    if (high == 0) expire_slots(w, 0, UINT64_C(1) << slot);
    else cascade(w, high, slot);
    move_some(w);
}

struct wheel_node *wheel_expired(struct wheel *w)
{
    struct wheel_node *n = w->expired.next;
    if (n == &w->expired) return NULL;
    CHECK(w->count > 0);
    w->expired.next = n->next;
    n->next->prev = &w->expired;
    n->next = n->prev = NULL;
    w->count--;
    return n;
}

uint64_t wheel_next_ns(const struct wheel *w)
{
    bool waits = w->expired.next != &w->expired || w->moving.next != &w->moving;
    if (waits) return w->now_tick << TICK_SHIFT;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        if (w->occupied[level] == 0) continue;
        unsigned shift = level * WHEEL_SLOT_BITS;
        uint64_t above = w->now_tick >> shift >> WHEEL_SLOT_BITS << WHEEL_SLOT_BITS;
        uint64_t tick = (above | (uint64_t)__builtin_ctzll(w->occupied[level])) << shift;
        CHECK_HOT(tick >= w->now_tick);
        return tick > UINT64_MAX >> TICK_SHIFT ? WHEEL_NEVER : tick << TICK_SHIFT;
    }
    return WHEEL_NEVER;
}

static bool each_in(struct wheel_node *head, bool (*fn)(struct wheel_node *n, void *ctx), void *ctx)
{
    struct wheel_node *next;
    for (struct wheel_node *n = head->next; n != head; n = next) {
        next = n->next;
        if (!fn(n, ctx)) return false;
    }
    return true;
}

void wheel_each(struct wheel *w, bool (*fn)(struct wheel_node *n, void *ctx), void *ctx)
{
    if (!each_in(&w->expired, fn, ctx) || !each_in(&w->moving, fn, ctx)) return;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++)
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
            if ((w->occupied[level] >> slot & 1) != 0 && !each_in(&w->slot[level][slot], fn, ctx))
                return;
}

/* Walks one list, CHECKing its links; returns its length. At most `max` nodes are expected. */
static uint64_t validate_list(const struct wheel_node *head, uint64_t max)
{
    uint64_t length = 0;
    for (const struct wheel_node *n = head->next; n != head; n = n->next) {
        CHECK(n != NULL);
        CHECK(n->next->prev == n);
        CHECK(n->prev->next == n);
        length++;
        CHECK(length <= max);
    }
    CHECK(head->next->prev == head);
    return length;
}

static void validate_slot(const struct wheel *w, unsigned level, unsigned slot)
{
    const struct wheel_node *head = &w->slot[level][slot];
    unsigned now_digit = digit_of(w->now_tick, level);
    CHECK(slot > now_digit || (level == 0 && slot == now_digit));
    for (const struct wheel_node *n = head->next; n != head; n = n->next) {
        uint64_t tick = due_tick(n->due_ns);
        if (tick < w->now_tick) tick = w->now_tick;
        CHECK(level_of(tick ^ w->now_tick) == level);
        CHECK(digit_of(tick, level) == slot);
    }
}

void wheel_validate(const struct wheel *w)
{
    uint64_t seen = validate_list(&w->expired, w->count);
    for (const struct wheel_node *n = w->expired.next; n != &w->expired; n = n->next)
        CHECK(due_tick(n->due_ns) <= w->now_tick);
    seen += validate_list(&w->moving, w->count - seen);
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++) {
            uint64_t length = validate_list(&w->slot[level][slot], w->count - seen);
            CHECK((length > 0) == ((w->occupied[level] >> slot & 1) != 0));
            if (length > 0) validate_slot(w, level, slot);
            seen += length;
        }
    }
    CHECK(seen == w->count);
}
