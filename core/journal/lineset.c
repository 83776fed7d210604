#include "core/journal/lineset.h"

#include "core/base/atomic.h"

#include <string.h>
#include <sys/mman.h>

static size_t bytes_of(uint64_t lines) { return (size_t)(lines / 64 + 1) * sizeof(uint64_t); }

bool lineset_open(struct lineset *s, uint64_t lines)
{
    CHECK(lines > 0 && lines <= LINESET_LINES_MAX);
    memset(s, 0, sizeof *s);
    void *mem = mmap(NULL, bytes_of(lines), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED) return false;
    s->words = mem;
    s->lines = lines;
    return true;
}

void lineset_close(struct lineset *s)
{
    if (s->words != NULL) munmap(s->words, bytes_of(s->lines));
    memset(s, 0, sizeof *s);
}

bool lineset_add(struct lineset *s, uint64_t line)
{
    CHECK(line < s->lines);
    uint64_t *word = &s->words[line / 64], bit = UINT64_C(1) << line % 64;
    if (*word & bit) return false;
    store_rlx(word, *word | bit);
    if (line / 64 >= s->used) s->used = line / 64 + 1;
    return true;
}

bool lineset_has(const struct lineset *s, uint64_t line)
{
    return line < s->lines && (load_rlx(&s->words[line / 64]) >> line % 64 & 1) != 0;
}

bool lineset_has_all(const struct lineset *s, uint64_t from, uint64_t to)
{
    if (to > s->lines) return from >= to;
    while (from < to) {
        if (from % 64 == 0 && to - from >= 64) {
            if (s->words[from / 64] != UINT64_MAX) return false;
            from += 64;
        } else {
            if (!lineset_has(s, from)) return false;
            from++;
        }
    }
    return true;
}

uint64_t lineset_count(const struct lineset *s)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < s->used; i++) count += (uint64_t)__builtin_popcountll(s->words[i]);
    return count;
}
