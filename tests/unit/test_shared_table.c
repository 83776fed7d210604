/* tests/unit/test_shared_table.c - goal: one entry for each key, found by all, in the same place
 * for as long as somebody refers to it; room for as many keys as were asked for; idle entries give
 * way, longest unused first, unless their owner says no.
 *
 * Method: chosen cases within one group; random references against a plain model; as many random
 * keys as the capacity, with the bytes that they take.
 */
#include "sched/shared_table.h"

#include "core/base/prng.h"
#include "tests/unit/must.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)

enum { GROUP = 256 };

struct thing {
    struct shared_entry entry;
    uint64_t made;  /* which making of an entry it was; 0: none */
    uint64_t state; /* its owner's */
    uint64_t rest[12];
};
_Static_assert(sizeof(struct thing) == SHARED_ENTRY_BYTES, "an entry");

static struct counts {
    uint64_t made, forgotten;
    uint64_t last_forgotten; /* its `made` */
} counts;
static bool all_stay;

static void thing_init(void *ctx, void *entry)
{
    struct counts *c = ctx;
    struct thing *t = entry;
    static const struct thing zero;
    MUST(memcmp(&t->made, &zero.made, sizeof *t - sizeof t->entry) == 0, "not zeroed");
    t->made = ++c->made;
    t->rest[11] = t->made;
}

static bool thing_evictable(const void *entry, uint64_t now_ns)
{
    const struct thing *t = entry;
    return !all_stay && t->state <= now_ns;
}

static void thing_forget(void *ctx, void *entry)
{
    struct counts *c = ctx;
    const struct thing *t = entry;
    MUST(t->made != 0 && t->rest[11] == t->made, "forgotten and not made");
    c->forgotten++;
    c->last_forgotten = t->made;
}

static struct shared_table *table_new(uint32_t capacity)
{
    static const struct shared_table_ops ops = {
        .init = thing_init, .evictable = thing_evictable, .forget = thing_forget, .ctx = &counts};
    struct shared_table *t = shared_table_new(capacity, &ops);
    cr_assert_not_null(t);
    return t;
}

/* Keys that share a group in any table: the same upper half. */
static uint64_t key_in_group(uint32_t i) { return UINT64_C(0x1234567800000000) + i; }

Test(shared_table, one_entry_for_each_key)
{
    struct shared_table *t = table_new(1000);
    cr_assert_null(shared_table_find(t, 7));
    struct thing *a = shared_table_ref(t, 7, 0), *b = shared_table_ref(t, 8, 0);
    cr_assert(a != NULL && b != NULL && a != b);
    cr_assert_eq(shared_table_ref(t, 7, 0), a);
    cr_assert_eq(shared_table_find(t, 7), a);
    cr_assert_eq(a->entry.refs, 3);
    cr_assert_eq(b->entry.refs, 1);
    cr_assert_eq(counts.made, 2);
    cr_assert_eq(shared_table_count(t), 2);
    for (int i = 0; i < 3; i++) shared_table_unref(t, a, 0);
    cr_assert_eq(shared_table_find(t, 7), a, "it stays known while there is room");
    cr_assert_eq(counts.made, 2);
    shared_table_free(t);
}

Test(shared_table, any_hash_is_legal)
{
    struct shared_table *t = table_new(1000);
    void *zero = shared_table_ref(t, 0, 0), *most = shared_table_ref(t, UINT64_MAX, 0);
    cr_assert(zero != NULL && most != NULL && zero != most);
    cr_assert_eq(shared_table_find(t, 0), zero);
    cr_assert_eq(shared_table_find(t, UINT64_MAX), most);
    shared_table_free(t);
}

Test(shared_table, one_reference_too_few_stops_the_process, .signal = SIGABRT)
{
    struct shared_table *t = table_new(1000);
    void *a = shared_table_ref(t, 7, 0);
    shared_table_unref(t, a, 0);
    shared_table_unref(t, a, 0);
}

/* A group full of entries that are referred to has no room for one more. */
static void fill_group(struct shared_table *t, void **out)
{
    for (uint32_t i = 0; i < GROUP; i++) {
        out[i] = shared_table_ref(t, key_in_group(i), 0);
        cr_assert_not_null(out[i]);
    }
    cr_assert_null(shared_table_ref(t, key_in_group(GROUP), 0));
}

Test(shared_table, what_is_referred_to_stays)
{
    struct shared_table *t = table_new(1000);
    void *in[GROUP];
    fill_group(t, in);
    for (uint32_t i = 0; i < GROUP; i++) {
        cr_assert_eq(shared_table_ref(t, key_in_group(i), 0), in[i]);
        shared_table_unref(t, in[i], 0);
    }
    cr_assert_eq(counts.forgotten, 0);
    cr_assert_not_null(shared_table_ref(t, ~key_in_group(0), 0), "another group has room");
    shared_table_free(t);
}

Test(shared_table, the_longest_unused_gives_way)
{
    struct shared_table *t = table_new(1000);
    void *in[GROUP];
    fill_group(t, in);
    shared_table_unref(t, in[10], 300 * SECOND_NS);
    shared_table_unref(t, in[20], 100 * SECOND_NS);
    shared_table_unref(t, in[30], 200 * SECOND_NS);
    uint64_t made = ((struct thing *)in[20])->made;
    cr_assert_eq(shared_table_ref(t, key_in_group(GROUP), 400 * SECOND_NS), in[20]);
    cr_assert_eq(counts.last_forgotten, made);
    cr_assert_eq(((struct thing *)in[20])->entry.hash, key_in_group(GROUP));
    cr_assert_null(shared_table_find(t, key_in_group(20)));
    cr_assert_eq(shared_table_ref(t, key_in_group(GROUP + 1), 400 * SECOND_NS), in[30]);
    cr_assert_eq(shared_table_ref(t, key_in_group(GROUP + 2), 400 * SECOND_NS), in[10]);
    cr_assert_null(shared_table_ref(t, key_in_group(GROUP + 3), 400 * SECOND_NS));
    cr_assert_eq(counts.made, GROUP + 3);
    cr_assert_eq(counts.forgotten, 3);
    cr_assert_eq(shared_table_count(t), GROUP);
    shared_table_free(t);
}

Test(shared_table, the_owner_has_a_say)
{
    struct shared_table *t = table_new(1000);
    void *in[GROUP];
    fill_group(t, in);
    ((struct thing *)in[5])->state = 60 * SECOND_NS; /* a hold, say */
    shared_table_unref(t, in[5], 0);
    cr_assert_null(shared_table_ref(t, key_in_group(GROUP), 59 * SECOND_NS));
    cr_assert_eq(shared_table_find(t, key_in_group(5)), in[5]);
    shared_table_unref(t, in[5], 0);
    cr_assert_eq(shared_table_ref(t, key_in_group(GROUP), 60 * SECOND_NS), in[5]);
    shared_table_free(t);
}

/* As many random keys as were asked for fit, all at once. */
static void takes(uint32_t capacity)
{
    struct shared_table *t = table_new(capacity);
    void **in = calloc(capacity, sizeof *in);
    struct prng dice;
    prng_seed(&dice, capacity);
    for (uint32_t i = 0; i < capacity; i++) {
        in[i] = shared_table_ref(t, prng_u64(&dice), 0);
        MUST(in[i] != NULL, "key %u of %u has no room", i, capacity);
    }
    cr_assert_eq(shared_table_count(t), capacity);
    prng_seed(&dice, capacity);
    for (uint32_t i = 0; i < capacity; i++)
        MUST(shared_table_find(t, prng_u64(&dice)) == in[i], "key %u", i);
    free(in);
    shared_table_free(t);
}

Test(shared_table, a_million_hosts_fit)
{
    all_stay = true;
    takes(1000000);
    printf("shared_table: %d bytes an entry, of slots a third more\n", SHARED_ENTRY_BYTES);
    _Static_assert(SHARED_ENTRY_BYTES <= 128, "at most 128 bytes a host");
}

Test(shared_table, small_tables_hold_what_they_say)
{
    all_stay = true;
    takes(1);
    takes(100);
    takes(10000);
}

/* References come and go; who holds one finds its entry unchanged. */
Test(shared_table, random_references)
{
    enum { KEYS = 700, STEPS = 200000 };
    struct prng dice;
    struct shared_table *t = table_new(1); /* one group: much pressure */
    static struct thing *held[KEYS];
    static uint32_t refs[KEYS];
    static uint64_t made[KEYS];
    uint32_t live = 0;
    prng_seed(&dice, 3);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t k = (uint32_t)prng_below(&dice, KEYS);
        uint64_t now_ns = step * SECOND_NS / 10;
        if (refs[k] > 0) MUST(held[k]->made == made[k] && held[k]->entry.refs == refs[k], "%u", k);
        if (prng_percent(&dice, live < GROUP - 20 ? 60 : 40)) {
            struct thing *e = shared_table_ref(t, key_in_group(k), now_ns);
            if (e == NULL) {
                MUST(refs[k] == 0 && live == GROUP, "no room at %u in use", live);
                continue;
            }
            MUST(refs[k] == 0 || e == held[k], "another entry");
            live += refs[k]++ == 0;
            held[k] = e;
            made[k] = e->made;
        } else if (refs[k] > 0) {
            live -= --refs[k] == 0;
            shared_table_unref(t, held[k], now_ns);
        }
    }
    cr_assert_gt(counts.forgotten, 1000);
    cr_assert_leq(shared_table_count(t), GROUP);
    shared_table_free(t);
}
