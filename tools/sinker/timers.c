/* tools/sinker/timers.c - see timers.h. */
#include "tools/sinker/timers.h"

#include "core/base/check.h"

#include <sys/mman.h>

static size_t heap_bytes(uint32_t max) { return ((size_t)max + 1) * sizeof(struct timer *); }

bool timers_init(struct timers *t, uint32_t max)
{
    CHECK(max > 0);
    /* Sized for every descriptor there can be; memory comes with the first touch. */
    void *heap = mmap(NULL, heap_bytes(max), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (heap == MAP_FAILED) return false;
    *t = (struct timers){.heap = heap, .max = max};
    return true;
}

void timers_exit(struct timers *t)
{
    if (t->heap) munmap(t->heap, heap_bytes(t->max));
    *t = (struct timers){0};
}

static void put(struct timers *t, uint32_t place, struct timer *timer)
{
    t->heap[place] = timer;
    timer->place = place;
}

static void rise(struct timers *t, uint32_t place, struct timer *timer)
{
    while (place > 1 && t->heap[place / 2]->due_ns > timer->due_ns) {
        put(t, place, t->heap[place / 2]);
        place /= 2;
    }
    put(t, place, timer);
}

static void sink(struct timers *t, uint32_t place, struct timer *timer)
{
    for (;;) {
        uint32_t child = place * 2;
        if (child > t->count) break;
        if (child < t->count && t->heap[child + 1]->due_ns < t->heap[child]->due_ns) child++;
        if (t->heap[child]->due_ns >= timer->due_ns) break;
        put(t, place, t->heap[child]);
        place = child;
    }
    put(t, place, timer);
}

void timers_arm(struct timers *t, struct timer *timer, uint64_t due_ns)
{
    CHECK(timer->place == 0);
    CHECK(t->count < t->max);
    timer->due_ns = due_ns;
    rise(t, ++t->count, timer);
}

void timers_drop(struct timers *t, struct timer *timer)
{
    uint32_t place = timer->place;
    if (place == 0) return;
    CHECK(t->heap[place] == timer);
    timer->place = 0;
    struct timer *last = t->heap[t->count--];
    if (last == timer) return;
    if (place > 1 && t->heap[place / 2]->due_ns > last->due_ns) rise(t, place, last);
    else sink(t, place, last);
}

struct timer *timers_due(struct timers *t, uint64_t now_ns)
{
    if (t->count == 0 || t->heap[1]->due_ns > now_ns) return NULL;
    struct timer *first = t->heap[1];
    timers_drop(t, first);
    return first;
}

uint64_t timers_next_ns(const struct timers *t)
{
    return t->count ? t->heap[1]->due_ns : UINT64_MAX;
}
