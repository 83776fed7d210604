/* tests/unit/test_waitset.c - goal: a set of waiting records holds what a plain array would,
 * through any order of making and removing, and takes no more memory than its header says.
 */
#include "core/base/prng.h"
#include "core/journal/waitset.h"

#include <criterion/criterion.h>
#include <string.h>

enum { LINES = 5000 };

static void same(const struct waitset *s, const uint64_t *model)
{
    uint64_t count = 0;
    for (uint64_t line = 1; line < LINES; line++) {
        const struct journal_waiting *w = waitset_find(s, line);
        count += model[line] != 0;
        cr_assert_eq(w != NULL, model[line] != 0, "line %lu", line);
        if (w == NULL) continue;
        cr_assert_eq(w->line, line);
        cr_assert_eq(w->offset, model[line], "line %lu", line);
    }
    cr_assert_eq(s->count, count);
}

static void step(struct waitset *s, uint64_t *model, struct prng *p, uint32_t makes)
{
    uint64_t line = 1 + prng_below(p, LINES - 1);
    if (!prng_percent(p, makes)) {
        waitset_remove(s, line);
        model[line] = 0;
        return;
    }
    struct journal_waiting *w;
    cr_assert_eq(waitset_make(s, line, &w), 0);
    cr_assert_eq(w->line, line);
    cr_assert_eq(w->offset, model[line], "a new one is 0, an old one as it was");
    model[line] = w->offset = 1 + prng_u64(p) / 2;
}

Test(waitset, holds_what_an_array_would)
{
    static uint64_t model[LINES];
    struct prng p;
    prng_seed(&p, 7);
    struct waitset s;
    cr_assert(waitset_open(&s));
    cr_assert_null(waitset_find(&s, 1));
    waitset_remove(&s, 1);
    for (int round = 0; round < 40; round++) {
        uint32_t makes = round % 4 == 3 ? 10 : 70; /* nearly empty from time to time */
        for (int i = 0; i < 4000; i++) step(&s, model, &p, makes);
        same(&s, model);
    }
    waitset_sort(&s);
    uint64_t k = 0;
    for (uint64_t line = 1; line < LINES; line++)
        if (model[line] != 0) cr_assert_eq(s.at[k++].line, line);
    cr_assert_eq(k, s.count);
    waitset_close(&s);
    waitset_close(&s);
}

Test(waitset, gives_back_whole_pages_of_what_is_not_needed)
{
    enum { RECORDS = 40000 };
    struct waitset s;
    struct journal_waiting *w;
    cr_assert(waitset_open(&s));
    for (uint64_t line = RECORDS; line > 0; line--) {
        cr_assert_eq(waitset_make(&s, line, &w), 0);
        w->offset = line;
    }
    waitset_sort(&s);
    waitset_release(&s, 0, 0);
    waitset_release(&s, 10, 20); /* no whole page */
    waitset_release(&s, 4096, 8192);
    for (uint64_t i = 0; i < RECORDS; i++) {
        bool kept = i < 4096 || i >= 8192;
        cr_assert_eq(s.at[i].offset, kept ? i + 1 : 0, "%lu", i);
    }
    waitset_close(&s);
}

Test(waitset, takes_the_memory_that_it_says)
{
    struct waitset s;
    struct journal_waiting *w;
    cr_assert(waitset_open(&s));
    cr_assert_eq(sizeof *w, 40);
    for (uint64_t line = 1; line <= 300000; line++) {
        cr_assert_eq(waitset_make(&s, line * 97, &w), 0);
        /* While the index grows, the old one and the new one are there. */
        uint64_t index = (s.index_room + s.index_room / 2) * sizeof *s.index;
        cr_assert(line < 3000 || index <= 16 * line, "%lu bytes for %lu", index, line);
    }
    for (uint64_t line = 1; line <= 300000; line++) cr_assert_not_null(waitset_find(&s, line * 97));
    waitset_close(&s);
}
