/* tests/unit/test_slab.c - goal: what is taken is ours alone until given, aligned, and counted;
 * the limit holds; everything given back can be used again for any size; misuse stops.
 *
 * Method: random takes and gives of random sizes, each object filled with its own pattern that
 * must still be there when it is given; slab_validate() along the way. Misuse must abort.
 */
#include "core/base/slab.h"

#include "core/base/prng.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MIB = 1024 * 1024, OBJECTS = 2000 };

struct taken {
    unsigned char *ptr;
    size_t bytes;
    unsigned char fill;
};

static size_t draw_bytes(struct prng *dice)
{
    switch (prng_below(dice, 5)) {
    case 0: return prng_below(dice, 65);
    case 1: return prng_below(dice, 1025);
    case 2: return (size_t)1 << prng_below(dice, 15);
    case 3: return prng_below(dice, SLAB_PAGE_BYTES / 4 + 1);
    default: return prng_percent(dice, 10) ? prng_below(dice, 300000) : prng_below(dice, 400);
    }
}

static void give_checked(struct slab *s, struct taken *t)
{
    for (size_t i = 0; i < t->bytes; i++)
        cr_assert_eq(t->ptr[i], t->fill, "byte %zu of %zu was overwritten", i, t->bytes);
    slab_give(s, t->ptr, t->bytes);
    t->ptr = NULL;
}

/* Returns how many takes the limit refused. */
static unsigned churn(struct slab *s, struct taken *objects, uint64_t seed, int steps)
{
    struct prng dice;
    unsigned refused = 0;
    prng_seed(&dice, seed);
    for (int step = 0; step < steps; step++) {
        struct taken *t = &objects[prng_below(&dice, OBJECTS)];
        if (t->ptr != NULL) {
            give_checked(s, t);
        } else {
            t->bytes = draw_bytes(&dice);
            t->fill = (unsigned char)prng_u64(&dice);
            t->ptr = slab_take(s, t->bytes);
            refused += t->ptr == NULL;
            cr_assert_eq((uintptr_t)t->ptr % (t->bytes <= 56 ? 8 : 16), 0);
            if (t->ptr != NULL && t->bytes <= SLAB_PAGE_BYTES / 4)
                cr_assert_eq((unsigned char *)slab_at(s, slab_handle(s, t->ptr)), t->ptr);
            if (t->ptr != NULL) memset(t->ptr, t->fill, t->bytes);
        }
        cr_assert_leq(slab_used_bytes(s), slab_limit_bytes(s));
        if (step % 64 == 0) slab_validate(s);
    }
    for (int i = 0; i < OBJECTS; i++)
        if (objects[i].ptr != NULL) give_checked(s, &objects[i]);
    slab_validate(s);
    cr_assert_eq(slab_used_bytes(s), 0);
    return refused;
}

Test(slab, objects_keep_their_bytes)
{
    static struct taken objects[OBJECTS];
    static const size_t limits[] = {0, 4096, 65536, 100000, 256 * 1024, 3 * MIB + 5, 64 * MIB};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct slab *s = slab_new(limits[i]);
        cr_assert_not_null(s);
        cr_assert_eq(slab_limit_bytes(s), limits[i]);
        unsigned refused = churn(s, objects, 11 + i, 20000);
        refused += churn(s, objects, 99 + i, 20000);
        cr_assert((refused > 0) == (limits[i] < 64 * MIB), "limit %zu", limits[i]);
        slab_free(s);
    }
}

/* Every size fits its class: the neighbours of each border, side by side in one page. */
Test(slab, sizes_at_class_borders)
{
    struct slab *s = slab_new(8 * MIB);
    for (size_t bytes = 0; bytes <= SLAB_PAGE_BYTES / 4 + 64; bytes++) {
        unsigned char *a = slab_take(s, bytes), *b = slab_take(s, bytes);
        cr_assert(a != NULL && b != NULL);
        memset(a, 1, bytes);
        memset(b, 2, bytes);
        cr_assert(bytes == 0 || (a[0] == 1 && a[bytes - 1] == 1), "%zu overlap", bytes);
        slab_give(s, a, bytes);
        slab_give(s, b, bytes);
    }
    cr_assert_eq(slab_used_bytes(s), 0);
    slab_free(s);
}

/* Fills the limit with one size, frees it, and fills it with another: no class keeps a page. */
Test(slab, emptied_pages_serve_any_class)
{
    static const size_t sizes[] = {64, 16384, 100, 6000, 1536, 64};
    static void *held[4 * SLAB_PAGE_BYTES / 64 + 1];
    struct slab *s = slab_new(4 * SLAB_PAGE_BYTES);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t count = 0;
        while ((held[count] = slab_take(s, sizes[i])) != NULL) count++;
        cr_assert_geq(count * sizes[i], 4 * SLAB_PAGE_BYTES * 7 / 10, "%zu", sizes[i]);
        cr_assert_eq(slab_used_bytes(s), 4 * SLAB_PAGE_BYTES);
        slab_validate(s);
        /* Every second object first, so that pages empty late and in another order. */
        for (size_t k = 0; k < count; k += 2) slab_give(s, held[k], sizes[i]);
        cr_assert_not_null(held[0] = slab_take(s, sizes[i]));
        slab_give(s, held[0], sizes[i]);
        slab_validate(s);
        for (size_t k = 1; k < count; k += 2) slab_give(s, held[k], sizes[i]);
        slab_validate(s);
        cr_assert_eq(slab_used_bytes(s), 0);
    }
    slab_free(s);
}

/* Pages of the process that are in memory, from the kernel. */
static size_t resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long size = 0, resident = 0;
    cr_assert_not_null(f);
    cr_assert_eq(fscanf(f, "%lu %lu", &size, &resident), 2);
    fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* Idle pages give their memory up when large mappings take their place. */
Test(slab, memory_in_use_stays_below_the_limit)
{
    enum { LIMIT = 64 * MIB, SMALL = 1000, LARGE = 4 * MIB };
    static void *held[LIMIT / SMALL + 1];
    struct slab *s = slab_new(LIMIT);
    size_t before = resident_bytes();
    for (int round = 0; round < 3; round++) {
        size_t count = 0;
        while ((held[count] = slab_take(s, SMALL)) != NULL) memset(held[count++], 1, SMALL);
        for (size_t i = 0; i < count; i++) slab_give(s, held[i], SMALL);
        size_t large = 0;
        while ((held[large] = slab_take(s, LARGE)) != NULL) memset(held[large++], 1, LARGE);
        cr_assert_eq(large, LIMIT / LARGE);
        slab_validate(s);
        size_t grown = resident_bytes() - before;
        cr_assert_leq(grown, LIMIT + LIMIT / 2, "%zu bytes resident", grown);
        for (size_t i = 0; i < large; i++) slab_give(s, held[i], LARGE);
    }
    slab_free(s);
}

Test(slab, refuses_what_cannot_be)
{
    struct slab *s = slab_new(MIB);
    cr_assert_null(slab_take(s, MIB + 1));
    cr_assert_null(slab_take(s, SIZE_MAX));
    cr_assert_null(slab_take(s, SIZE_MAX - 4000));
    void *all = slab_take(s, MIB);
    cr_assert_not_null(all);
    cr_assert_null(slab_take(s, 1));
    slab_give(s, all, MIB);
    slab_free(s);
    cr_assert_null(slab_new(SIZE_MAX));
    slab_free(NULL);
}

Test(slab, a_limit_that_is_lowered)
{
    struct slab *s = slab_new(MIB);
    void *all[16];
    for (int i = 0; i < 16; i++) all[i] = slab_take(s, SLAB_PAGE_BYTES / 4);
    slab_limit_lower(s, MIB / 2);
    cr_assert_eq(slab_limit_bytes(s), MIB / 2);
    slab_limit_lower(s, MIB); /* never up */
    cr_assert_eq(slab_limit_bytes(s), MIB / 2);
    slab_limit_lower(s, 0); /* as near as what is taken allows */
    cr_assert_eq(slab_limit_bytes(s), 4 * SLAB_PAGE_BYTES);
    cr_assert_null(slab_take(s, SLAB_PAGE_BYTES / 4));
    cr_assert_null(slab_take(s, 100));
    slab_validate(s);
    for (int i = 0; i < 16; i++) slab_give(s, all[i], SLAB_PAGE_BYTES / 4);
    slab_validate(s);
    slab_limit_lower(s, SLAB_PAGE_BYTES);
    slab_validate(s);
    cr_assert_eq(slab_limit_bytes(s), SLAB_PAGE_BYTES);
    void *p = slab_take(s, 100);
    cr_assert_not_null(p);
    cr_assert_null(slab_take(s, 1000));
    slab_give(s, p, 100);
    slab_free(s);
}

Test(slab, given_twice, .signal = SIGABRT)
{
    struct slab *s = slab_new(MIB);
    void *keep = slab_take(s, 100), *p = slab_take(s, 100);
    (void)keep;
    slab_give(s, p, 100);
    slab_give(s, p, 100);
}

Test(slab, given_with_another_size, .signal = SIGABRT)
{
    struct slab *s = slab_new(MIB);
    slab_give(s, slab_take(s, 100), 1000);
}

Test(slab, given_but_never_taken, .signal = SIGABRT)
{
    struct slab *s = slab_new(MIB);
    slab_give(s, s, 100);
}

Test(slab, freed_with_objects_out, .signal = SIGABRT)
{
    struct slab *s = slab_new(MIB);
    cr_assert_not_null(slab_take(s, 5));
    slab_free(s);
}
