/* tools/sinker/seen.c - see seen.h. Open addressing, linear probing, doubling at three quarters. */
#include "tools/sinker/seen.h"

#include "core/base/check.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { STRIPE_BITS = 8, STRIPES = 1 << STRIPE_BITS, SLOTS_MIN = 512, COUNT_MAX = 255 };
#define TAG_MASK (~(uint64_t)COUNT_MAX)
_Static_assert(STRIPES - 1 == COUNT_MAX, "a slot's count takes the place of the stripe's bits");

struct stripe {
    pthread_mutex_t lock; /* guards the rest */
    uint64_t *slots;      /* owned; tag and count, 0: free */
    uint32_t slots_count; /* a power of two, or 0 */
    uint32_t used;
} __attribute__((aligned(64)));

struct seen {
    struct stripe stripe[STRIPES];
};

struct seen *seen_new(void)
{
    struct seen *s = aligned_alloc(64, sizeof *s);
    if (!s) return NULL;
    for (unsigned i = 0; i < STRIPES; i++) {
        s->stripe[i] = (struct stripe){0};
        CHECK(pthread_mutex_init(&s->stripe[i].lock, NULL) == 0);
    }
    return s;
}

static void unmap_slots(uint64_t *slots, uint32_t count)
{
    if (slots) munmap(slots, count * sizeof *slots);
}

void seen_free(struct seen *s)
{
    if (!s) return;
    for (unsigned i = 0; i < STRIPES; i++)
        unmap_slots(s->stripe[i].slots, s->stripe[i].slots_count);
    free(s);
}

/* The slot of this tag, or the free one where it belongs. */
static uint64_t *find(uint64_t *slots, uint32_t count, uint64_t tag)
{
    for (uint32_t i = (uint32_t)(tag >> STRIPE_BITS);; i++) {
        uint64_t *slot = &slots[i & (count - 1)];
        if (*slot == 0 || (*slot & TAG_MASK) == tag) return slot;
    }
}

static bool grow(struct stripe *st)
{
    if (st->slots_count >= 1u << 30) return false;
    uint32_t count = st->slots_count ? st->slots_count * 2 : SLOTS_MIN;
    uint64_t *slots = mmap(NULL, count * sizeof *slots, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slots == MAP_FAILED) return false;
    for (uint32_t i = 0; i < st->slots_count; i++)
        if (st->slots[i]) *find(slots, count, st->slots[i] & TAG_MASK) = st->slots[i];
    unmap_slots(st->slots, st->slots_count);
    st->slots = slots;
    st->slots_count = count;
    return true;
}

static uint32_t count_locked(struct stripe *st, uint64_t tag)
{
    /* A table that cannot grow is still used, up to one free slot, which ends every search. */
    if (st->used + 1 > st->slots_count / 4 * 3 && !grow(st) && st->used + 2 > st->slots_count)
        return 0;
    uint64_t *slot = find(st->slots, st->slots_count, tag);
    if (*slot == 0) {
        *slot = tag;
        st->used++;
    }
    uint32_t count = (uint32_t)(*slot & COUNT_MAX);
    if (count < COUNT_MAX) *slot += 1;
    return count < COUNT_MAX ? count + 1 : count;
}

uint32_t seen_count(struct seen *s, uint64_t hash)
{
    CHECK(s != NULL);
    struct stripe *st = &s->stripe[hash & (STRIPES - 1)];
    CHECK(pthread_mutex_lock(&st->lock) == 0);
    uint32_t count = count_locked(st, hash & TAG_MASK);
    CHECK(pthread_mutex_unlock(&st->lock) == 0);
    return count;
}
