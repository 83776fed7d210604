/* tests/unit/test_places.c - goal: addresses are tried in the order of RFC 8305, and what is known
 * of them changes it as places.h says: 49 dead ones of 50 cost one try each.
 *
 * Method: each rule by itself, at the edges of its times; then a receiver with 50 addresses of
 * which one works, connected to again and again.
 */
#include "core/net/places.h"

#include "core/base/check.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)
#define T0        (UINT64_C(5000) * SECOND_NS)

static struct addr v4(uint32_t n)
{
    struct addr a;
    memset(&a, 0, sizeof a);
    a.v4.sin_family = AF_INET;
    a.v4.sin_port = htons(80);
    a.v4.sin_addr.s_addr = htonl(0x0a000000 + n);
    return a;
}

static struct addr v6(uint8_t n)
{
    struct addr a;
    memset(&a, 0, sizeof a);
    a.v6.sin6_family = AF_INET6;
    a.v6.sin6_port = htons(80);
    a.v6.sin6_addr.s6_addr[15] = n;
    return a;
}

static struct places *make(uint32_t count, const struct places *before)
{
    struct addr addrs[PLACES_MAX];
    struct places *p = calloc(1, places_bytes(PLACES_MAX));
    cr_assert_not_null(p);
    for (uint32_t i = 0; i < count; i++) addrs[i] = v4(i);
    places_make(p, addrs, count, before);
    return p;
}

static uint32_t pick(struct places *p, uint64_t now_ns)
{
    const struct place *at = places_pick(p, now_ns, NULL, 0);
    cr_assert_not_null(at);
    return (uint32_t)(at - p->at);
}

static void fail(struct places *p, uint32_t i, uint64_t now_ns)
{
    places_trying(p, &p->at[i].addr);
    places_failed(p, &p->at[i].addr, now_ns);
}

static void connect_to(struct places *p, uint32_t i)
{
    places_trying(p, &p->at[i].addr);
    places_connected(p, &p->at[i].addr);
}

Test(places, families_take_turns_ipv6_first)
{
    struct addr a[] = {v4(1), v4(2), v4(3), v6(1), v6(2)};
    struct addr want[] = {v6(1), v4(1), v6(2), v4(2), v4(3)};
    places_interleave(a, 5);
    for (int i = 0; i < 5; i++) cr_expect(addr_same(&a[i], &want[i]), "place %d", i);
    struct addr only[] = {v4(7), v4(8)};
    places_interleave(only, 2);
    cr_expect(addr_same(&only[0], &(struct addr[]){v4(7)}[0]));
    places_interleave(only, 0);
}

Test(places, addresses_are_the_same_with_port_and_family)
{
    struct addr a = v4(1), b = v4(1), c = v4(2), d = v6(1);
    cr_expect(addr_same(&a, &b));
    cr_expect(!addr_same(&a, &c));
    cr_expect(!addr_same(&a, &d));
    b.v4.sin_port = htons(81);
    cr_expect(!addr_same(&a, &b));
}

Test(places, an_address_named_twice_is_one)
{
    struct addr a[] = {v4(1), v4(2), v4(1)};
    struct places *p = calloc(1, places_bytes(3));
    places_make(p, a, 3, NULL);
    cr_expect_eq(p->count, 2);
    cr_expect_eq(p->room, 3);
    free(p);
}

Test(places, the_first_is_tried_first_and_the_failed_last)
{
    struct places *p = make(3, NULL);
    cr_expect_eq(pick(p, T0), 0);
    fail(p, 0, T0);
    cr_expect_eq(pick(p, T0), 1);
    fail(p, 1, T0 + 1);
    cr_expect_eq(pick(p, T0 + 1), 2);
    fail(p, 2, T0 + 2);
    cr_expect_eq(pick(p, T0 + 2), 0, "of the failed the one that failed first");
    fail(p, 0, T0 + 3);
    cr_expect_eq(pick(p, T0 + 3), 1);
    free(p);
}

Test(places, a_failure_is_forgotten_in_time_and_later_each_time)
{
    struct places *p = make(2, NULL);
    uint64_t now_ns = T0, memory_ns = PLACE_FAILED_NS;
    for (int i = 0; i < 12; i++) {
        fail(p, 0, now_ns);
        cr_expect_eq(pick(p, now_ns + memory_ns - 1), 1, "failure %d", i);
        cr_expect_eq(pick(p, now_ns + memory_ns), 0, "failure %d", i);
        now_ns += memory_ns;
        memory_ns = memory_ns * 2 < PLACE_FAILED_MAX_NS ? memory_ns * 2 : PLACE_FAILED_MAX_NS;
    }
    connect_to(p, 0);
    cr_expect_eq(pick(p, now_ns), 0);
    fail(p, 0, now_ns);
    cr_expect_eq(pick(p, now_ns + PLACE_FAILED_NS), 0, "a success starts the count anew");
    free(p);
}

Test(places, what_is_being_tried_and_unproven_stands_behind_its_equals)
{
    struct places *p = make(3, NULL);
    places_trying(p, &p->at[0].addr);
    cr_expect_eq(pick(p, T0), 1);
    places_connected(p, &p->at[0].addr);
    places_trying(p, &p->at[0].addr);
    cr_expect_eq(pick(p, T0), 0, "it works: several may go there");
    places_given_up(p, &p->at[0].addr);
    cr_expect_eq(p->at[0].trying, 0);
    free(p);
}

Test(places, exceptions_are_not_picked)
{
    struct places *p = make(2, NULL);
    const struct addr *racing[] = {&p->at[0].addr, &p->at[1].addr};
    const struct place *at = places_pick(p, T0, racing, 1);
    cr_assert_not_null(at);
    cr_expect_eq(at - p->at, 1);
    cr_expect_null(places_pick(p, T0, racing, 2));
    cr_expect(places_left(p, T0, racing, 1));
    cr_expect(!places_left(p, T0, racing, 2));
    free(p);
}

Test(places, an_attempt_has_one_left_until_each_has_failed_since_it_began)
{
    struct places *p = make(3, NULL);
    fail(p, 1, T0 - 1); /* before: may be tried again */
    fail(p, 0, T0);
    fail(p, 2, T0 + 5);
    cr_expect(places_left(p, T0, NULL, 0));
    cr_expect_eq(pick(p, T0 + 5), 1);
    fail(p, 1, T0 + 6);
    cr_expect(!places_left(p, T0, NULL, 0));
    cr_expect(places_left(p, T0 + 7, NULL, 0), "for a later attempt all are");
    free(p);
}

Test(places, a_new_answer_keeps_what_is_known)
{
    struct places *p = make(4, NULL);
    fail(p, 0, T0);
    connect_to(p, 2);
    places_trying(p, &p->at[3].addr);
    struct addr next[] = {v4(3), v4(0), v4(9)};
    struct places *q = calloc(1, places_bytes(3));
    places_make(q, next, 3, p);
    cr_expect_eq(q->at[0].trying, 1);
    cr_expect_eq(q->at[1].failed_ns, T0);
    cr_expect_eq(q->at[2].failed_ns, 0);
    places_failed(q, &p->at[2].addr, T0); /* is no longer among them */
    places_connected(q, &next[0]);
    cr_expect(q->at[0].proven);
    cr_expect_eq(q->at[0].trying, 0);
    places_given_up(q, &next[0]); /* one too many is not minded */
    cr_expect_eq(q->at[0].trying, 0);
    free(p);
    free(q);
}

Test(places, blame_falls_on_one_that_breaks_after_connecting)
{
    struct places *p = make(2, NULL);
    connect_to(p, 0);
    cr_expect_eq(pick(p, T0), 0);
    places_blame(p, &p->at[0].addr, T0);
    cr_expect_eq(pick(p, T0), 1);
    free(p);
}

Test(places, dead_ones_are_tried_once_each_and_then_left_alone)
{
    enum { COUNT = 50, GOOD = 37, CONNECTIONS = 1000 };
    struct places *p = make(COUNT, NULL);
    uint32_t tries = 0;
    uint64_t now_ns = T0;
    for (int c = 0; c < CONNECTIONS; c++) {
        for (;;) {
            uint32_t i = pick(p, now_ns);
            tries++;
            if (i == GOOD) {
                connect_to(p, i);
                break;
            }
            fail(p, i, now_ns);
            cr_assert(tries < 100000);
        }
        now_ns += SECOND_NS / 100;
    }
    cr_expect_eq(tries, GOOD + CONNECTIONS, "%u tries", tries);
    free(p);
}
