/* sched/shared_table.c - the search, the making and the eviction of entries; see shared_table.h.
 *
 *   refs:  0 nobody refers to it | n lanes do | LOCKED one thread fills it in
 *
 * Nobody waits inside: who meets a locked entry that may be the one it looks for gives up for now,
 * and its caller comes back in its next turn.
 *
 * A key is looked for from its group's first slot on, until a slot that was never used: so few keys
 * touch few pages. Slots are never emptied again, only taken over. So two threads that make the
 * same key meet in the same free slot: the one that locks it first makes the entry, the other sees
 * it locked, or made. Where a group has no free slot they may choose different victims: each looks
 * through the whole group once more after it has locked its own, and gives up when it finds another
 * locked one or the key itself. Those steps are sequentially consistent, so that at least one of
 * the two sees the other.
 */
#include "sched/shared_table.h"

#include "core/base/atomic.h"
#include "core/base/check.h"

#include <stddef.h>
#include <sys/mman.h>

/* Slots that a key may be in. With so many, and a third more slots than entries, no group of
 * 1,000,000 random keys is expected to overflow (mean 192 of 256, standard deviation 14). The test
 * that tries every interleaving has smaller ones. */
#ifndef SHARED_TABLE_GROUP
#define SHARED_TABLE_GROUP 256
#endif
enum { GROUP = SHARED_TABLE_GROUP };

#define LOCKED       UINT32_MAX
#define USED_SHIFT   30 /* ns to units of about a second */
#define INSTEAD_OF_0 UINT64_C(0x9e3779b97f4a7c15)

struct slot {
    struct shared_entry entry;
    uint64_t rest[14];
};
_Static_assert(sizeof(struct slot) == SHARED_ENTRY_BYTES, "a slot is an entry");
_Static_assert(offsetof(struct slot, rest) == sizeof(struct shared_entry), "no padding");

struct shared_table {
    struct slot *slots; /* owns; [groups * GROUP] */
    uint32_t groups;
    struct shared_table_ops ops;
    uint64_t count __attribute__((aligned(64))); /* atomic: slots in use */
};
_Static_assert(sizeof(struct shared_table) <= sizeof(struct slot), "it lives in the first slot");

struct shared_table *shared_table_new(uint32_t capacity, const struct shared_table_ops *ops)
{
    CHECK(capacity > 0);
    uint64_t groups = ((uint64_t)capacity * 4 / 3 + GROUP - 1) / GROUP;
    size_t bytes = (groups * GROUP + 1) * sizeof(struct slot);
    struct slot *slots = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slots == MAP_FAILED) return NULL;
    struct shared_table *t = (void *)slots;
    t->slots = slots + 1;
    t->groups = (uint32_t)groups;
    t->ops = *ops;
    return t;
}

void shared_table_free(struct shared_table *t)
{
    CHECK(t->groups > 0);
    munmap(t, ((size_t)t->groups * GROUP + 1) * sizeof(struct slot));
}

static struct slot *group_of(const struct shared_table *t, uint64_t hash)
{
    return &t->slots[(hash >> 32) * t->groups / (UINT64_C(1) << 32) * GROUP];
}

enum seen {
    SEEN_KEY,    /* there it is */
    SEEN_FREE,   /* it is nowhere; here is the slot for it */
    SEEN_LOCKED, /* another thread may be making it */
    SEEN_FULL,   /* it is nowhere, and its group has no free slot */
};

static enum seen look(const struct shared_table *t, uint64_t hash, struct slot **out)
{
    struct slot *group = group_of(t, hash);
    for (uint32_t i = 0; i < GROUP; i++) {
        struct slot *s = &group[i];
        uint64_t found = load_seq(&s->entry.hash);
        *out = s;
        if (found == hash) return SEEN_KEY;
        if (load_seq(&s->entry.refs) == LOCKED) return SEEN_LOCKED;
        if (found == 0) return SEEN_FREE;
    }
    return SEEN_FULL;
}

/* One reference more, if it is the key's and nobody fills it in. */
static bool refer(struct slot *s, uint64_t hash)
{
    uint32_t refs = load_acq(&s->entry.refs);
    do {
        if (refs == LOCKED) return false;
        CHECK(refs < LOCKED - 1);
    } while (!cas_acq_rel(&s->entry.refs, &refs, refs + 1));
    if (load_acq(&s->entry.hash) == hash) return true;
    (void)sub_rel(&s->entry.refs, 1); /* it was taken over meanwhile */
    return false;
}

static bool lock(struct slot *s)
{
    uint32_t none = 0;
    return cas_seq(&s->entry.refs, &none, LOCKED);
}

static void unlock(struct slot *s) { store_rel(&s->entry.refs, 0); }

/* Makes the locked slot the key's, with one reference. */
static void *publish(struct shared_table *t, struct slot *s, uint64_t hash)
{
    if (t->ops.init != NULL) t->ops.init(t->ops.ctx, s);
    store_rel(&s->entry.hash, hash);
    store_rel(&s->entry.refs, 1);
    return s;
}

static void *make(struct shared_table *t, struct slot *s, uint64_t hash)
{
    if (!lock(s)) return NULL;
    if (load_acq(&s->entry.hash) != 0) { /* another key came first */
        unlock(s);
        return NULL;
    }
    (void)add_rlx(&t->count, 1);
    return publish(t, s, hash);
}

static bool may_go(const struct shared_table *t, const struct slot *s, uint64_t now_ns)
{
    return t->ops.evictable == NULL || t->ops.evictable(s, now_ns);
}

/* The entry without references that was let go longest ago; NULL: none. */
static struct slot *victim(const struct shared_table *t, struct slot *group, uint64_t now_ns)
{
    struct slot *oldest = NULL;
    uint32_t now = (uint32_t)(now_ns >> USED_SHIFT), age = 0;
    for (uint32_t i = 0; i < GROUP; i++) {
        struct slot *s = &group[i];
        if (load_acq(&s->entry.refs) != 0 || !may_go(t, s, now_ns)) continue;
        uint32_t since = now - load_rlx(&s->entry.used);
        if (oldest != NULL && since <= age) continue;
        oldest = s;
        age = since;
    }
    return oldest;
}

/* Of all the group's slots: is one besides mine locked, or the key's? */
static bool contended(struct slot *group, const struct slot *mine, uint64_t hash)
{
    for (uint32_t i = 0; i < GROUP; i++) {
        struct slot *s = &group[i];
        if (s == mine) continue;
        if (load_seq(&s->entry.refs) == LOCKED) return true;
        if (load_seq(&s->entry.hash) == hash) return true;
    }
    return false;
}

static void *take_over(struct shared_table *t, uint64_t hash, uint64_t now_ns)
{
    struct slot *group = group_of(t, hash), *s = victim(t, group, now_ns);
    if (s == NULL || !lock(s)) return NULL;
    if (!may_go(t, s, now_ns) || contended(group, s, hash)) {
        unlock(s);
        return NULL;
    }
    if (t->ops.forget != NULL) t->ops.forget(t->ops.ctx, s);
    for (uint32_t i = 0; i < sizeof s->rest / sizeof s->rest[0]; i++) store_rlx(&s->rest[i], 0);
    return publish(t, s, hash);
}

void *shared_table_ref(struct shared_table *t, uint64_t hash, uint64_t now_ns)
{
    struct slot *s;
    if (hash == 0) hash = INSTEAD_OF_0;
    switch (look(t, hash, &s)) {
    case SEEN_KEY: return refer(s, hash) ? s : NULL;
    case SEEN_FREE: return make(t, s, hash);
    case SEEN_FULL: return take_over(t, hash, now_ns);
    case SEEN_LOCKED: break;
    }
    return NULL;
}

/* Locked ones are other keys': this one's is there already, or it is not to be found yet. */
void *shared_table_find(struct shared_table *t, uint64_t hash)
{
    if (hash == 0) hash = INSTEAD_OF_0;
    struct slot *group = group_of(t, hash);
    for (uint32_t i = 0; i < GROUP; i++) {
        struct slot *s = &group[i];
        uint64_t found = load_acq(&s->entry.hash);
        if (found == hash) return refer(s, hash) ? s : NULL;
        if (found == 0) break;
    }
    return NULL;
}

void shared_table_unref(struct shared_table *t, void *entry, uint64_t now_ns)
{
    struct slot *s = entry;
    CHECK(s >= t->slots);
    CHECK(s < t->slots + (size_t)t->groups * GROUP);
    store_rlx(&s->entry.used, (uint32_t)(now_ns >> USED_SHIFT));
    uint32_t before = sub_rel(&s->entry.refs, 1);
    CHECK(before > 0);
    CHECK(before < LOCKED);
}

uint64_t shared_table_count(const struct shared_table *t) { return load_rlx(&t->count); }
