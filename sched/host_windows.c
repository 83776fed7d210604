/* sched/host_windows.c - attempts and failures of the health window, and the pool of their slices.
 *
 * Until its first failure a host has coarse slices in its own entry: thirds of the window, the
 * oldest counted in part. Most hosts never have more. At the first failure it takes one-second
 * slices (60ths of the window) from the pool: the slice of now and the 59 before it are the window.
 * What the coarse slices hold is moved there, spread evenly over their time, and all that follows
 * is counted there; who came too late to see that counts in the coarse ones, so both are added up.
 * When the pool is empty the coarse slices go on doing it all.
 *
 * The pool: one mapping, touched where used; slices given back are on a stack, whose head is an
 * index and a tag that changes with every step (a head that was taken off and put back meanwhile is
 * not taken for the same). Whoever links slices to a host clears them first, so that the
 * compare-exchange on host->window publishes zeroes; the loser of a race gives its own back.
 */
#include "core/base/atomic.h"
#include "core/base/check.h"
#include "sched/host_parts.h"

#include <stddef.h>
#include <sys/mman.h>

enum { WINDOW_SLICES = 60, COARSE_WHOLE = HOST_COARSE - 1 };

_Static_assert((int)WINDOW_SLICES <= (int)HOST_SLICES, "the window fits into the ring");

struct host_windows {
    uint64_t free;  /* atomic: tag 32 | 1 + index of the first slices of the stack; 0: empty */
    uint32_t fresh; /* atomic: those from here on were never taken */
    /* Read only. */
    uint32_t count, first_limit;
    size_t map_bytes;
    uint64_t
        *words; /* [count][HOST_SLICES]; while on the stack the first is the next's index + 1 */
};

struct host_windows *host_windows_new(uint32_t count, const struct host_rules *r)
{
    CHECK(count < UINT32_MAX);
    size_t slices_bytes = (size_t)count * HOST_SLICES * sizeof(uint64_t);
    size_t head_bytes = HOST_SLICES * sizeof(uint64_t);
    _Static_assert(sizeof(struct host_windows) <= HOST_SLICES * sizeof(uint64_t), "head");
    struct host_windows *w = mmap(NULL, head_bytes + slices_bytes, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (w == MAP_FAILED) return NULL;
    w->count = count;
    w->first_limit = r->first_limit;
    w->map_bytes = head_bytes + slices_bytes;
    w->words = (uint64_t *)((char *)w + head_bytes);
    return w;
}

void host_windows_free(struct host_windows *w)
{
    if (w != NULL) munmap(w, w->map_bytes);
}

uint32_t host_windows_first_limit(const struct host_windows *w) { return w->first_limit; }

/* id is 1 + index, as everywhere below. */
static uint64_t *words_of(const struct host_windows *w, uint32_t id)
{
    CHECK(id > 0);
    CHECK(id <= w->count);
    return w->words + (size_t)(id - 1) * HOST_SLICES;
}

static uint64_t stack_head(uint64_t old, uint32_t id) { return ((old >> 32) + 1) << 32 | id; }

/* Slices that are all zero; 0: the pool is empty. */
static uint32_t pool_take(struct host_windows *w)
{
    uint64_t head = load_acq(&w->free);
    while ((uint32_t)head != 0) {
        uint64_t *words = words_of(w, (uint32_t)head);
        /* Another may have taken it meanwhile, and then this is any number: the tag says so. */
        uint32_t next = (uint32_t)load_rlx(&words[0]);
        if (!cas_acq_rel(&w->free, &head, stack_head(head, next))) continue;
        for (uint32_t i = 0; i < HOST_SLICES; i++) store_rlx(&words[i], 0);
        return (uint32_t)(words - w->words) / HOST_SLICES + 1;
    }
    uint32_t fresh = load_rlx(&w->fresh);
    while (fresh < w->count)
        if (cas_rlx(&w->fresh, &fresh, fresh + 1)) return fresh + 1;
    return 0;
}

static void pool_give(struct host_windows *w, uint32_t id)
{
    uint64_t *words = words_of(w, id);
    uint64_t head = load_acq(&w->free);
    do {
        store_rlx(&words[0], (uint32_t)head);
    } while (!cas_acq_rel(&w->free, &head, stack_head(head, id)));
}

static uint64_t fine_ns(const struct host_rules *r)
{
    return r->window_ns < WINDOW_SLICES ? 1 : r->window_ns / WINDOW_SLICES;
}

static uint64_t coarse_ns(const struct host_rules *r)
{
    return r->window_ns < COARSE_WHOLE ? 1 : r->window_ns / COARSE_WHOLE;
}

/* Counts as if they had come evenly in the fine slices from `first` to `last`; only those within
 * the window that ends with `now` are kept. */
static void spread(uint64_t *fine, uint64_t first, uint64_t last, uint64_t now, struct slices n)
{
    uint64_t parts = last - first + 1;
    for (uint64_t i = 0; i < parts; i++) {
        if (first + i + WINDOW_SLICES <= now) continue;
        uint64_t attempts = n.attempts * (i + 1) / parts - n.attempts * i / parts;
        uint64_t failures = n.failures * (i + 1) / parts - n.failures * i / parts;
        if (failures > attempts) failures = attempts;
        if (attempts > 0)
            slices_add(fine, HOST_SLICES, first + i, (uint32_t)attempts, (uint32_t)failures);
    }
}

/* From the coarse slices to fine ones that are just linked. For a moment both hold the counts,
 * never neither: attempts that are counted twice put no host on hold too soon. */
static void coarse_move(struct host *h, const struct host_rules *r, uint64_t *fine, uint64_t now_ns)
{
    uint64_t each_ns = coarse_ns(r), slice = now_ns / each_ns, now = now_ns / fine_ns(r);
    for (uint32_t back = 0; back < HOST_COARSE && back <= slice; back++) {
        struct slices n = slices_sum(h->coarse, HOST_COARSE, slice - back, 1);
        if (n.attempts == 0) continue;
        uint64_t first = (slice - back) * each_ns / fine_ns(r);
        uint64_t last = back == 0 ? now : ((slice - back + 1) * each_ns - 1) / fine_ns(r);
        spread(fine, first, last, now, n);
        slices_take(h->coarse, HOST_COARSE, slice - back, n);
    }
}

/* The host's one-second slices; NULL: it has none. */
static uint64_t *slices_of(struct host *h, struct host_windows *w)
{
    uint32_t id = load_acq(&h->window);
    return id == 0 ? NULL : words_of(w, id);
}

/* The same; it gets some. NULL: there are none left. */
static uint64_t *slices_make(struct host *h, struct host_windows *w, const struct host_rules *r,
                             uint64_t now_ns)
{
    uint32_t id = 0, mine = pool_take(w);
    if (mine == 0) return NULL;
    if (!cas_acq_rel(&h->window, &id, mine)) { /* another was quicker */
        pool_give(w, mine);
        return words_of(w, id);
    }
    coarse_move(h, r, words_of(w, mine), now_ns);
    return words_of(w, mine);
}

void host_window_add(struct host *h, struct host_windows *w, const struct host_rules *r,
                     uint64_t now_ns, uint32_t attempts, uint32_t failures)
{
    uint64_t *fine = slices_of(h, w);
    if (fine == NULL && failures > 0) fine = slices_make(h, w, r, now_ns);
    if (fine != NULL) slices_add(fine, HOST_SLICES, now_ns / fine_ns(r), attempts, failures);
    else slices_add(h->coarse, HOST_COARSE, now_ns / coarse_ns(r), attempts, failures);
}

struct slices host_window_sum(const struct host *h, const struct host_windows *w,
                              const struct host_rules *r, uint64_t now_ns)
{
    struct slices sum = slices_rolling(h->coarse, HOST_COARSE, coarse_ns(r), now_ns);
    uint32_t id = load_acq(&h->window);
    if (id == 0) return sum;
    struct slices fine =
        slices_sum(words_of(w, id), HOST_SLICES, now_ns / fine_ns(r), WINDOW_SLICES);
    sum.attempts += fine.attempts;
    sum.failures += fine.failures;
    return sum;
}

void host_window_clear(struct host *h, struct host_windows *w)
{
    for (uint32_t i = 0; i < HOST_COARSE; i++) store_rlx(&h->coarse[i], 0);
    uint64_t *fine = slices_of(h, w);
    for (uint32_t i = 0; fine != NULL && i < HOST_SLICES; i++) store_rlx(&fine[i], 0);
}

void host_window_detach(struct host *h, struct host_windows *w)
{
    uint32_t id = load_acq(&h->window);
    if (id == 0) return;
    store_rlx(&h->window, 0);
    pool_give(w, id);
}
