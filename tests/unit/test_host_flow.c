/* tests/unit/test_host_flow.c - goal: requests in flight stay within a window that grows while it
 * is reached and shrinks when there is trouble; all shards get their part of it; connections within
 * their limit.
 *
 * Method: chosen cases; then shards that take, use and give back at random, checked against a plain
 * count, each of which must get its turn.
 */
#include "sched/host.h"

#include "core/base/prng.h"
#include "tests/unit/must.h"

#include <criterion/criterion.h>
#include <signal.h>

#define MS_NS     UINT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)
#define START_NS  (5000 * SECOND_NS)

static struct host_rules rules;
static struct host_windows *windows;
static struct host host;

static void setup(void)
{
    host_rules_defaults(&rules);
    windows = host_windows_new(1, &rules);
    host = (struct host){.entry = {.refs = 1}};
    host_init(windows, &host);
}

static void teardown(void) { host_windows_free(windows); }

TestSuite(host_flow, .init = setup, .fini = teardown);

static uint32_t take(uint32_t shard, uint32_t held, uint32_t want, uint64_t now_ns)
{
    struct host_holder who = {.shard = shard, .held = held, .max = 256};
    return host_permits_take(&host, &who, want, now_ns);
}

static uint32_t excess(uint32_t shard, uint32_t held, uint64_t now_ns)
{
    struct host_holder who = {.shard = shard, .held = held, .max = 256};
    return host_permits_excess(&host, &who, now_ns);
}

Test(host_flow, begins_with_four)
{
    cr_assert_eq(host_limit(&host), 4);
    cr_assert_eq(take(0, 0, 3, START_NS), 3);
    cr_assert_eq(take(0, 3, 3, START_NS), 1);
    cr_assert_eq(take(0, 4, 1, START_NS), 0);
    host_permits_give(&host, 2);
    cr_assert_eq(take(0, 2, 9, START_NS), 2);
    cr_assert_eq(take(0, 4, 0, START_NS), 0);
}

Test(host_flow, own_maximum_is_tighter)
{
    struct host_holder who = {.shard = 0, .held = 0, .max = 2};
    cr_assert_eq(host_permits_take(&host, &who, 9, START_NS), 2);
    who.max = 0; /* never none at all */
    host_permits_give(&host, 2);
    cr_assert_eq(host_permits_take(&host, &who, 9, START_NS), 1);
}

Test(host_flow, more_given_back_than_taken_stops_the_process, .signal = SIGABRT)
{
    (void)take(0, 0, 1, START_NS);
    host_permits_give(&host, 2);
}

/* Slow start: one more for each success, up to the maximum, and only while it is reached. */
Test(host_flow, doubles_each_round_trip_while_it_is_reached)
{
    host_succeeded(&host, 256, 4, false);
    cr_assert_eq(host_limit(&host), 4, "not reached, and it grew to %u", host_limit(&host));
    host_succeeded(&host, 256, 4, true);
    cr_assert_eq(host_limit(&host), 8);
    host_succeeded(&host, 256, 8, true);
    cr_assert_eq(host_limit(&host), 16);
    host_succeeded(&host, 20, 16, true);
    cr_assert_eq(host_limit(&host), 20);
}

Test(host_flow, after_trouble_one_more_each_round_trip)
{
    host_succeeded(&host, 256, 96, true);
    cr_assert_eq(host_limit(&host), 100);
    host_troubled(&host, START_NS - 50 * MS_NS, START_NS);
    cr_assert_eq(host_limit(&host), 90);
    for (int i = 0; i < 90; i++) host_succeeded(&host, 256, 1, true);
    cr_assert(host_limit(&host) >= 90 && host_limit(&host) <= 91, "%u", host_limit(&host));
    host_succeeded(&host, 256, 92, true);
    cr_assert(host_limit(&host) >= 91 && host_limit(&host) <= 92, "%u", host_limit(&host));
}

Test(host_flow, shrinks_once_for_what_was_sent_before)
{
    host_succeeded(&host, 256, 96, true);
    host_troubled(&host, START_NS - 50 * MS_NS, START_NS);
    for (int i = 0; i < 20; i++) host_troubled(&host, START_NS - 40 * MS_NS, START_NS + 5 * MS_NS);
    cr_assert_eq(host_limit(&host), 90);
    host_troubled(&host, START_NS + 2 * MS_NS, START_NS + 60 * MS_NS);
    cr_assert_eq(host_limit(&host), 81);
    for (uint64_t i = 2; i < 200; i++)
        host_troubled(&host, START_NS + i * SECOND_NS, START_NS + i * SECOND_NS + MS_NS);
    cr_assert_eq(host_limit(&host), 1, "never less than one");
}

/* What is out beyond a limit that shrank comes back, each shard's share of it. */
Test(host_flow, what_is_too_much_comes_back)
{
    host_succeeded(&host, 256, 96, true);
    host.entry.refs = 2;
    cr_assert_eq(take(0, 0, 60, START_NS), 60);
    cr_assert_eq(take(1, 0, 40, START_NS), 40);
    cr_assert_eq(excess(0, 60, START_NS), 0);
    for (uint64_t i = 0; i < 7; i++)
        host_troubled(&host, START_NS + i * SECOND_NS, START_NS + i * SECOND_NS + MS_NS);
    uint32_t limit = host_limit(&host), held[2] = {60, 40};
    for (int round = 0; round < 50; round++)
        for (uint32_t i = 0; i < 2; i++) {
            uint32_t n = excess(i, held[i], START_NS + 8 * SECOND_NS);
            cr_assert_leq(n, held[i]);
            host_permits_give(&host, n);
            held[i] -= n;
        }
    cr_assert_eq(held[0] + held[1], limit);
    cr_assert(held[0] > 0 && held[1] > 0, "%u and %u", held[0], held[1]);
}

/* Who has more than its part lets go for one who has nothing. */
Test(host_flow, a_shard_with_nothing_gets_its_part)
{
    host.entry.refs = 2;
    cr_assert_eq(take(0, 0, 4, START_NS), 4);
    cr_assert_eq(excess(0, 4, START_NS), 0);
    cr_assert_eq(take(1, 0, 4, START_NS), 0);
    cr_assert_eq(excess(0, 4, START_NS + MS_NS), 2);
    host_permits_give(&host, 2);
    cr_assert_eq(take(0, 2, 4, START_NS + 2 * MS_NS), 0, "it takes back what it let go");
    cr_assert_eq(take(1, 0, 4, START_NS + 2 * MS_NS), 2);
    cr_assert_eq(excess(0, 2, START_NS + 3 * MS_NS), 0);
}

/* A wish that is not renewed is forgotten. */
Test(host_flow, an_old_wish_counts_no_more)
{
    host.entry.refs = 2;
    cr_assert_eq(take(0, 0, 4, START_NS), 4);
    cr_assert_eq(take(1, 0, 4, START_NS), 0);
    cr_assert_eq(excess(0, 4, START_NS + 50 * MS_NS), 2);
    cr_assert_eq(excess(0, 4, START_NS + 200 * MS_NS), 0);
}

/* Three shards and a window of one: it goes round. */
Test(host_flow, one_permit_goes_round)
{
    uint32_t had[3] = {0}, held = UINT32_MAX;
    host.entry.refs = 3;
    for (uint64_t i = 0; i < 20; i++)
        host_troubled(&host, START_NS + i * SECOND_NS, START_NS + i * SECOND_NS + MS_NS);
    cr_assert_eq(host_limit(&host), 1);
    for (uint64_t now_ns = START_NS + 60 * SECOND_NS; now_ns < START_NS + 70 * SECOND_NS;
         now_ns += 5 * MS_NS) {
        for (uint32_t i = 0; i < 3; i++) {
            if (held == i && excess(i, 1, now_ns) > 0) {
                host_permits_give(&host, 1);
                held = UINT32_MAX;
            } else if (held != i && take(i, 0, 1, now_ns) > 0) {
                cr_assert_eq(held, UINT32_MAX);
                held = i;
            }
        }
        if (held < 3) had[held]++;
    }
    for (int i = 0; i < 3; i++)
        cr_assert(had[i] > 2000 / 10, "shard %d had it %u times of 2,000", i, had[i]);
}

Test(host_flow, random_shards_stay_within_the_limit)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct prng dice;
        uint32_t held[4] = {0}, most[4] = {0};
        uint64_t now_ns = START_NS;
        prng_seed(&dice, seed);
        setup();
        host.entry.refs = 4;
        for (int step = 0; step < 4000; step++) {
            uint32_t i = (uint32_t)prng_below(&dice, 4);
            uint32_t out = held[0] + held[1] + held[2] + held[3];
            switch (prng_below(&dice, 5)) {
            case 0:
            case 1: {
                uint32_t got = take(i, held[i], 1 + (uint32_t)prng_below(&dice, 8), now_ns);
                MUST(got == 0 || out + got <= host_limit(&host), "seed %lu", seed);
                held[i] += got;
                break;
            }
            case 2: {
                uint32_t n = (uint32_t)prng_below(&dice, held[i] + 1);
                host_permits_give(&host, n);
                held[i] -= n;
                break;
            }
            case 3: {
                uint32_t n = excess(i, held[i], now_ns);
                MUST(n <= held[i], "seed %lu", seed);
                host_permits_give(&host, n);
                held[i] -= n;
                break;
            }
            default:
                if (prng_percent(&dice, 80)) host_succeeded(&host, 32, 1, true);
                else host_troubled(&host, now_ns - 5 * MS_NS, now_ns);
            }
            if (held[i] > most[i]) most[i] = held[i];
            now_ns += prng_below(&dice, 10 * MS_NS);
        }
        for (int i = 0; i < 4; i++) MUST(most[i] > 0, "seed %lu: shard %d had none", seed, i);
        teardown();
    }
    setup();
}

Test(host_flow, connections_within_their_limit)
{
    cr_assert(host_conn_take(&host, 2));
    cr_assert(host_conn_take(&host, 2));
    cr_assert_not(host_conn_wanted(&host));
    cr_assert_not(host_conn_take(&host, 2));
    cr_assert(host_conn_wanted(&host), "one lacks a connection, and nobody knows");
    host_conn_give(&host);
    cr_assert_not(host_conn_wanted(&host));
    cr_assert(host_conn_take(&host, 2));
    host_conn_give(&host);
    host_conn_give(&host);
}

Test(host_flow, a_connection_too_many_given_back_stops_the_process, .signal = SIGABRT)
{
    host_conn_give(&host);
}
