/* tests/unit/test_interleave_table.c - goal: however the steps of two or three shards fall: a key
 * never has two entries, an entry that somebody refers to is never another key's, references are
 * counted, and who got nothing gets it when it asks again.
 *
 * Method: every interleaving of their atomic accesses (interleave.h), in a table of one group of
 * three slots.
 */
#include "tests/unit/interleave.h"

#define SHARED_TABLE_GROUP 3
#include "sched/shared_table.c"

#include <criterion/criterion.h>

static struct shared_table *table;
static struct slot *got[INTERLEAVE_THREADS];
static uint32_t made, forgotten;

enum { A = 1001, B = 2002, C = 3003, D = 4004 };

static void count_made(void *ctx, void *entry)
{
    struct slot *s = entry;
    (void)ctx;
    made++;
    store_rlx(&s->rest[0], UINT64_C(77));
}

static void count_forgotten(void *ctx, void *entry)
{
    (void)ctx;
    (void)entry;
    forgotten++;
}

static void pass(struct interleave *x)
{
    cr_assert(interleave_all(x), "%s", x->why);
    cr_assert_geq(x->schedules, 2, "%s: nothing was interleaved", x->name);
}

static void empty(void *ctx)
{
    static const struct shared_table_ops ops = {.init = count_made, .forget = count_forgotten};
    (void)ctx;
    if (table == NULL) table = shared_table_new(1, &ops);
    memset(table->slots, 0, GROUP * sizeof *table->slots);
    table->count = 0;
    memset(got, 0, sizeof got);
    made = forgotten = 0;
}

static void full(void *ctx)
{
    empty(ctx);
    for (uint64_t key = A; key <= C; key += B - A)
        shared_table_unref(table, shared_table_ref(table, key, 0), key << USED_SHIFT);
    made = 0;
}

static void ref(int i, uint64_t hash)
{
    got[i] = shared_table_ref(table, hash, 0);
    if (got[i] == NULL) return;
    INTERLEAVE_MUST(load_acq(&got[i]->entry.hash) == hash);
    INTERLEAVE_MUST(load_rlx(&got[i]->rest[0]) == 77); /* it was made ready before */
}

static void ref_a_0(void *ctx) { (void)ctx, ref(0, A); }
static void ref_a_1(void *ctx) { (void)ctx, ref(1, A); }
static void ref_a_2(void *ctx) { (void)ctx, ref(2, A); }
static void ref_b_1(void *ctx) { (void)ctx, ref(1, B); }
static void ref_d_0(void *ctx) { (void)ctx, ref(0, D); }
static void ref_d_1(void *ctx) { (void)ctx, ref(1, D); }

/* Every key has one entry; every reference is counted; nothing stays locked. */
static bool sound(void)
{
    for (int i = 0; i < GROUP; i++) {
        struct slot *s = &table->slots[i];
        uint32_t refs = 0;
        for (int k = 0; k < INTERLEAVE_THREADS; k++) refs += got[k] == s;
        if (s->entry.refs != refs) return false;
        for (int k = i + 1; k < GROUP; k++)
            if (s->entry.hash != 0 && s->entry.hash == table->slots[k].entry.hash) return false;
    }
    return true;
}

/* Those who got nothing ask again, with nobody beside them. */
static bool all_get_it(const uint64_t *keys, int count)
{
    for (int i = 0; i < count; i++)
        if (got[i] == NULL) ref(i, keys[i]);
    for (int i = 0; i < count; i++)
        if (got[i] == NULL || got[i]->entry.hash != keys[i]) return false;
    return sound();
}

static bool same_entry(void *ctx)
{
    static const uint64_t keys[] = {A, A, A};
    (void)ctx;
    return sound() && all_get_it(keys, 3) && made == 1 && table->count == 1;
}

Test(interleave_table, one_key_is_made_once)
{
    struct interleave x = {.name = "one new key",
                           .setup = empty,
                           .threads = {ref_a_0, ref_a_1, ref_a_2},
                           .check = same_entry};
    pass(&x);
}

static bool two_entries(void *ctx)
{
    static const uint64_t keys[] = {A, B, A};
    (void)ctx;
    return sound() && all_get_it(keys, 3) && made == 2 && table->count == 2;
}

Test(interleave_table, two_keys_for_one_free_slot)
{
    struct interleave x = {.name = "two new keys",
                           .setup = empty,
                           .threads = {ref_a_0, ref_b_1, ref_a_2},
                           .check = two_entries};
    pass(&x);
}

/* The group is full: both take over, whichever victims they choose. */
static bool taken_over_once(void *ctx)
{
    static const uint64_t keys[] = {D, D};
    (void)ctx;
    return sound() && all_get_it(keys, 2) && made == 1 && forgotten == 1 && table->count == 3;
}

Test(interleave_table, one_key_takes_over_one_slot)
{
    struct interleave x = {.name = "one key takes over",
                           .setup = full,
                           .threads = {ref_d_0, ref_d_1},
                           .check = taken_over_once};
    pass(&x);
}

/* The victim is wanted again at the same time. */
static bool victim_or_not(void *ctx)
{
    (void)ctx;
    return sound();
}

Test(interleave_table, a_victim_that_is_wanted)
{
    struct interleave x = {.name = "wanted victim",
                           .setup = full,
                           .threads = {ref_d_0, ref_a_1},
                           .check = victim_or_not};
    pass(&x);
}

/* It is let go, and found, while another key wants its slot. */
static void held(void *ctx)
{
    full(ctx);
    got[1] = shared_table_ref(table, A, 0);
    (void)shared_table_ref(table, B, 0);
    (void)shared_table_ref(table, C, 0);
}

static void unref_a(void *ctx)
{
    (void)ctx;
    INTERLEAVE_MUST(load_acq(&got[1]->entry.hash) == A);
    struct slot *s = got[1];
    got[1] = NULL;
    shared_table_unref(table, s, 0);
}

static void find_a(void *ctx)
{
    (void)ctx;
    got[2] = shared_table_find(table, A);
    if (got[2] != NULL) INTERLEAVE_MUST(load_acq(&got[2]->entry.hash) == A);
}

static bool let_go(void *ctx)
{
    (void)ctx;
    struct slot *s = table->slots;
    for (int i = 0; i < GROUP; i++)
        if (s[i].entry.hash == B || s[i].entry.hash == C) s[i].entry.refs--;
    return sound() && (got[0] == NULL || got[2] == NULL);
}

Test(interleave_table, let_go_found_and_wanted)
{
    struct interleave x = {
        .name = "let go", .setup = held, .threads = {ref_d_0, unref_a, find_a}, .check = let_go};
    pass(&x);
}
