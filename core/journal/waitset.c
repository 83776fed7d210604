#include "core/journal/waitset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ROOM_FIRST = 1024, INDEX_ROOM_FIRST = 2048 };

bool waitset_open(struct waitset *s)
{
    memset(s, 0, sizeof *s);
    void *mem = mmap(NULL, ROOM_FIRST * sizeof *s->at, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED) return false;
    s->at = mem;
    s->room = ROOM_FIRST;
    s->index_room = INDEX_ROOM_FIRST;
    s->index = calloc(s->index_room, sizeof *s->index);
    if (s->index != NULL) return true;
    waitset_close(s);
    return false;
}

void waitset_close(struct waitset *s)
{
    if (s->at != NULL) munmap(s->at, s->room * sizeof *s->at);
    free(s->index);
    memset(s, 0, sizeof *s);
}

/* ---- the index ---------------------------------------------------------------------------- */

static uint64_t home_of(const struct waitset *s, uint64_t line)
{
    return line * UINT64_C(0x9E3779B97F4A7C15) >> 20 & (s->index_room - 1);
}

/* Where the line's place is told, or would be. */
static uint32_t *slot_of(const struct waitset *s, uint64_t line)
{
    CHECK(s->index != NULL);
    uint64_t i = home_of(s, line);
    while (s->index[i] != 0 && s->at[s->index[i] - 1].line != line)
        i = (i + 1) & (s->index_room - 1);
    return &s->index[i];
}

static int index_grow(struct waitset *s)
{
    uint32_t *old = s->index, *larger = calloc(2 * s->index_room, sizeof *larger);
    if (larger == NULL) return -ENOMEM;
    s->index = larger;
    s->index_room *= 2;
    for (uint64_t k = 0; k < s->count; k++) *slot_of(s, s->at[k].line) = 1 + (uint32_t)k;
    free(old);
    return 0;
}

/* Those behind the slot that would not be found any more move up. */
static void index_remove(struct waitset *s, const uint32_t *slot)
{
    uint64_t mask = s->index_room - 1, hole = (uint64_t)(slot - s->index);
    for (uint64_t i = (hole + 1) & mask; s->index[i] != 0; i = (i + 1) & mask) {
        uint64_t home = home_of(s, s->at[s->index[i] - 1].line);
        if (((i - home) & mask) < ((i - hole) & mask)) continue;
        s->index[hole] = s->index[i];
        hole = i;
    }
    s->index[hole] = 0;
}

/* ---- the records -------------------------------------------------------------------------- */

static int room_grow(struct waitset *s)
{
    if (s->room > UINT32_MAX / 2) return -ENOMEM; /* the index has no larger numbers */
    size_t bytes = s->room * sizeof *s->at;
    void *mem = mremap(s->at, bytes, 2 * bytes, MREMAP_MAYMOVE);
    if (mem == MAP_FAILED) return -ENOMEM;
    s->at = mem;
    s->room *= 2;
    return 0;
}

struct journal_waiting *waitset_find(const struct waitset *s, uint64_t line)
{
    if (s->count == 0) return NULL;
    uint32_t place = *slot_of(s, line);
    return place != 0 ? &s->at[place - 1] : NULL;
}

int waitset_make(struct waitset *s, uint64_t line, struct journal_waiting **out)
{
    CHECK(line > 0);
    uint32_t *slot = slot_of(s, line);
    if (*slot != 0) {
        *out = &s->at[*slot - 1];
        return 0;
    }
    int rc = s->count == s->room ? room_grow(s) : 0;
    if (rc == 0 && s->count >= s->index_room / 4 * 3) {
        rc = index_grow(s);
        slot = slot_of(s, line);
    }
    if (rc < 0) return rc;
    *out = &s->at[s->count++];
    **out = (struct journal_waiting){.line = line};
    *slot = (uint32_t)s->count;
    return 0;
}

void waitset_remove(struct waitset *s, uint64_t line)
{
    if (s->count == 0) return;
    uint32_t *slot = slot_of(s, line);
    if (*slot == 0) return;
    struct journal_waiting *gone = &s->at[*slot - 1], *last = &s->at[s->count - 1];
    *slot_of(s, last->line) = *slot; /* which is itself, if it is the last one */
    *gone = *last;
    index_remove(s, slot);
    s->count--;
}

static int by_line(const void *left, const void *right)
{
    const struct journal_waiting *a = left, *b = right;
    return a->line < b->line ? -1 : a->line > b->line;
}

void waitset_release(const struct waitset *s, uint64_t from, uint64_t to)
{
    CHECK(s->index == NULL && from <= to && to <= s->count);
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t first = (from * sizeof *s->at + page - 1) / page * page;
    uint64_t last = to * sizeof *s->at / page * page;
    if (first < last) (void)madvise((char *)s->at + first, last - first, MADV_DONTNEED);
}

void waitset_sort(struct waitset *s)
{
    CHECK(s->at != NULL);
    free(s->index);
    s->index = NULL;
    qsort(s->at, s->count, sizeof *s->at, by_line);
}
