/* tools/hookline/timeline.c - see timeline.h. */
#include "tools/hookline/timeline.h"

#include "core/base/check.h"

#include <stdlib.h>
#include <string.h>

#define MS  UINT64_C(1000000)
#define S   (1000 * MS)
#define MIN (60 * S)
#define H   (60 * MIN)
#define DAY (24 * H)

/* Round ones, each a multiple of the one before, so that merged steps begin where a longer one
 * does. All time until 2400 is less than TIMELINE_STEPS of the longest. */
static const uint64_t lengths[] = {
    1 * MS, 2 * MS,  10 * MS,  20 * MS,  100 * MS,  200 * MS,  1 * S,      2 * S, 10 * S,
    20 * S, 1 * MIN, 2 * MIN,  10 * MIN, 20 * MIN,  1 * H,     2 * H,      6 * H, 12 * H,
    DAY,    2 * DAY, 10 * DAY, 20 * DAY, 100 * DAY, 200 * DAY, 1000 * DAY,
};
enum { LENGTHS = sizeof lengths / sizeof lengths[0], GAPS = TIMELINE_PARTS - 1 };

uint64_t timeline_step_ns(const struct timeline *t) { return lengths[t->length]; }

void timeline_init(struct timeline *t)
{
    CHECK(t != NULL);
    memset(t, 0, sizeof *t);
}

static bool in_use(const struct timeline_step *s) { return s->delivered + s->other > 0; }

/* The step's slot, or the free one where it belongs. */
static struct timeline_step *slot_of(struct timeline *t, uint64_t number)
{
    uint64_t at = (number * UINT64_C(0x9e3779b97f4a7c15)) >> 32;
    while (in_use(&t->step[at % TIMELINE_SLOTS]) && t->step[at % TIMELINE_SLOTS].number != number)
        at++;
    return &t->step[at % TIMELINE_SLOTS];
}

static void step_add(struct timeline *t, struct timeline_step more)
{
    CHECK(in_use(&more));
    struct timeline_step *s = slot_of(t, more.number);
    if (!in_use(s)) {
        CHECK(t->count < TIMELINE_STEPS);
        t->count++;
        s->number = more.number;
    }
    s->delivered += more.delivered;
    s->other += more.other;
}

/* Puts the steps in use at the front; returns how many. */
static uint32_t gather(struct timeline_step *step, uint32_t slots)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < slots; i++)
        if (in_use(&step[i])) step[n++] = step[i];
    return n;
}

static uint64_t longer(struct timeline *t)
{
    CHECK(t->length + 1 < LENGTHS);
    t->length++;
    return lengths[t->length] / lengths[t->length - 1];
}

static void widen(struct timeline *t)
{
    struct timeline_step kept[TIMELINE_STEPS];
    uint32_t n = gather(t->step, TIMELINE_SLOTS);
    CHECK(n == t->count && n <= TIMELINE_STEPS);
    uint64_t factor = longer(t);
    memcpy(kept, t->step, n * sizeof kept[0]);
    memset(t->step, 0, sizeof t->step);
    t->count = 0;
    for (uint32_t i = 0; i < n; i++) {
        kept[i].number /= factor;
        step_add(t, kept[i]);
    }
}

void timeline_add(struct timeline *t, uint64_t ended_ns, bool delivered)
{
    CHECK(!t->closed);
    if (ended_ns > TIMELINE_END_NS) ended_ns = TIMELINE_END_NS;
    while (t->count == TIMELINE_STEPS && !in_use(slot_of(t, ended_ns / lengths[t->length])))
        widen(t);
    step_add(t, (struct timeline_step){ended_ns / lengths[t->length], delivered, !delivered});
}

/* ---- closed -------------------------------------------------------------------------------- */

static int by_number(const void *left, const void *right)
{
    const struct timeline_step *a = left, *b = right;
    return (a->number > b->number) - (a->number < b->number);
}

/* As widen(), of steps in order. */
static void merge(struct timeline *t)
{
    uint64_t factor = longer(t);
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        struct timeline_step s = t->step[i];
        s.number /= factor;
        if (n > 0 && t->step[n - 1].number == s.number) {
            t->step[n - 1].delivered += s.delivered;
            t->step[n - 1].other += s.other;
        } else {
            t->step[n++] = s;
        }
    }
    t->count = n;
}

/* Empty steps before this one. */
static uint64_t gap_before(const struct timeline *t, uint32_t i)
{
    return t->step[i].number - t->step[i - 1].number - 1;
}

/* The steps that follow the longest gaps, at most GAPS of them, the longest gap first. */
static uint32_t longest_gaps(const struct timeline *t, uint32_t after[GAPS])
{
    uint32_t count = 0;
    for (uint32_t i = 1; i < t->count; i++) {
        uint64_t gap = gap_before(t, i);
        if (gap * lengths[t->length] <= MIN) continue;
        uint32_t at = count < GAPS ? count++ : GAPS;
        for (; at > 0 && gap > gap_before(t, after[at - 1]); at--)
            if (at < GAPS) after[at] = after[at - 1];
        if (at < GAPS) after[at] = i;
    }
    return count;
}

static void make_parts(struct timeline *t)
{
    uint32_t after[GAPS], gaps = longest_gaps(t, after);
    uint64_t rest = t->step[t->count - 1].number - t->step[0].number + 1;
    for (uint32_t i = 0; i < gaps; i++) rest -= gap_before(t, after[i]);
    t->parts = 1;
    t->part[0] = (struct timeline_part){0, t->count - 1};
    for (uint32_t i = 1; i < t->count; i++) {
        for (uint32_t k = 0; k < gaps; k++) {
            if (after[k] != i || gap_before(t, i) / 3 <= rest) continue;
            t->part[t->parts - 1].last = i - 1;
            t->part[t->parts++] = (struct timeline_part){i, t->count - 1};
        }
    }
}

uint64_t timeline_part_columns(const struct timeline *t, uint32_t part)
{
    CHECK(t->closed);
    CHECK(part < t->parts);
    return t->step[t->part[part].last].number - t->step[t->part[part].first].number + 1;
}

uint64_t timeline_columns(const struct timeline *t)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < t->parts; i++) sum += timeline_part_columns(t, i);
    return sum;
}

void timeline_close(struct timeline *t, uint64_t columns)
{
    CHECK(!t->closed);
    CHECK(columns >= 240); /* of 1000 days: enough for all time */
    t->closed = true;
    if (t->count == 0) return;
    uint32_t n = gather(t->step, TIMELINE_SLOTS);
    CHECK(n == t->count);
    qsort(t->step, n, sizeof t->step[0], by_number);
    make_parts(t);
    while (timeline_columns(t) > columns) {
        merge(t);
        make_parts(t);
    }
}
