/* tests/unit/test_dns_cache.c - goal: an answer is believed for its time to live, kept within
 * bounds, and no longer; the cache never holds more than it may, and what was used last stays.
 *
 * Method: fixed cases at the exact edges of times; then 200,000 random operations against a plain
 * array, validated all the while, in a slab that is too small for all of them.
 */
#include "core/net/dns_cache.h"

#include "core/base/prng.h"
#include "tests/unit/must.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)
#define T0        (UINT64_C(5000) * SECOND_NS)

static struct slab *slab;
static struct dns_cache cache;

static void begin(void)
{
    slab = slab_new(64 * SLAB_PAGE_BYTES);
    cr_assert(dns_cache_open(&cache, slab, 8));
}

static void end(void)
{
    dns_cache_close(&cache);
    slab_free(slab); /* CHECKs that all was given back */
}

TestSuite(dns_cache, .init = begin, .fini = end);

static struct dns_answer found(uint32_t ttl_s, uint32_t count)
{
    struct dns_answer a = {.status = DNS_FOUND, .ttl_s = ttl_s, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        a.addrs[i].v4.sin_family = AF_INET;
        a.addrs[i].v4.sin_addr.s_addr = htonl(0x0a000000 + i);
    }
    return a;
}

static struct span name(const char *text) { return span_of(text, strlen(text)); }

Test(dns_cache, an_answer_holds_for_its_time_and_not_a_nanosecond_longer)
{
    struct dns_answer a = found(30, 2);
    dns_cache_put(&cache, name("a.test"), &a, T0);
    const struct dns_entry *e = dns_cache_find(&cache, name("a.test"), T0 + 30 * SECOND_NS - 1);
    cr_assert_not_null(e);
    cr_expect_eq(e->status, DNS_FOUND);
    cr_expect_eq(e->count, 2);
    cr_expect_eq(e->made_ns, T0);
    cr_expect_eq(e->until_ns, T0 + 30 * SECOND_NS);
    cr_expect_eq(e->addrs[1].v4.sin_addr.s_addr, htonl(0x0a000001));
    cr_expect_null(dns_cache_find(&cache, name("a.test"), T0 + 30 * SECOND_NS));
    cr_expect_eq(cache.count, 0, "what is over is given back");
}

Test(dns_cache, lives_are_bounded)
{
    struct dns_answer a = found(0, 1);
    cr_expect_eq(dns_answer_life_ns(&a), DNS_TTL_MIN_S * SECOND_NS);
    a.ttl_s = UINT32_MAX;
    cr_expect_eq(dns_answer_life_ns(&a), DNS_TTL_MAX_S * SECOND_NS);
    a.ttl_s = 77;
    cr_expect_eq(dns_answer_life_ns(&a), 77 * SECOND_NS);
    a = (struct dns_answer){.status = DNS_NONE, .ttl_s = 9999};
    cr_expect_eq(dns_answer_life_ns(&a), DNS_TTL_NONE_S * SECOND_NS);
    a.status = DNS_TIMEOUT;
    cr_expect_eq(dns_answer_life_ns(&a), DNS_TTL_FAILED_S * SECOND_NS);
    a.status = DNS_FAILED;
    cr_expect_eq(dns_answer_life_ns(&a), DNS_TTL_FAILED_S * SECOND_NS);
}

Test(dns_cache, that_there_is_none_is_remembered_too)
{
    struct dns_answer a = {.status = DNS_NONE};
    dns_cache_put(&cache, name("nx.test"), &a, T0);
    const struct dns_entry *e = dns_cache_find(&cache, name("nx.test"), T0 + 1);
    cr_assert_not_null(e);
    cr_expect_eq(e->status, DNS_NONE);
    cr_expect_eq(e->count, 0);
}

Test(dns_cache, a_new_answer_replaces_the_old_one)
{
    struct dns_answer a = found(30, 3), b = found(5, 1);
    dns_cache_put(&cache, name("a.test"), &a, T0);
    dns_cache_put(&cache, name("a.test"), &b, T0 + SECOND_NS);
    const struct dns_entry *e = dns_cache_find(&cache, name("a.test"), T0 + 2 * SECOND_NS);
    cr_assert_not_null(e);
    cr_expect_eq(e->count, 1);
    cr_expect_eq(e->until_ns, T0 + 6 * SECOND_NS);
    cr_expect_eq(cache.count, 1);
}

Test(dns_cache, names_are_whole)
{
    struct dns_answer a = found(30, 1);
    dns_cache_put(&cache, name("a.test"), &a, T0);
    cr_expect_null(dns_cache_find(&cache, name("a.tes"), T0));
    cr_expect_null(dns_cache_find(&cache, name("a.test."), T0));
    cr_expect_null(dns_cache_find(&cache, name("b.test"), T0));
}

Test(dns_cache, the_one_used_longest_ago_goes)
{
    char text[16];
    struct dns_answer a = found(60, 1);
    for (uint32_t i = 0; i < 8; i++) {
        snprintf(text, sizeof text, "n%u", i);
        dns_cache_put(&cache, name(text), &a, T0);
    }
    cr_assert_not_null(dns_cache_find(&cache, name("n0"), T0)); /* used: n1 is the oldest now */
    dns_cache_put(&cache, name("new"), &a, T0);
    cr_expect_eq(cache.count, 8);
    cr_expect_not_null(dns_cache_find(&cache, name("n0"), T0));
    cr_expect_null(dns_cache_find(&cache, name("n1"), T0));
    cr_expect_not_null(dns_cache_find(&cache, name("new"), T0));
}

Test(dns_cache, doubt_reaches_older_answers_only)
{
    struct dns_answer a = found(600, 1);
    dns_cache_put(&cache, name("a.test"), &a, T0);
    dns_cache_doubt(&cache, name("a.test"), T0);
    cr_expect_not_null(dns_cache_find(&cache, name("a.test"), T0 + 1));
    dns_cache_doubt(&cache, name("a.test"), T0 + 1);
    cr_expect_null(dns_cache_find(&cache, name("a.test"), T0 + 1));
    dns_cache_doubt(&cache, name("unknown.test"), T0 + 1);
}

Test(dns_cache, random_use_agrees_with_a_plain_array)
{
    enum { NAMES = 24, OPS = 200000 };
    struct prng dice;
    struct slab *small = slab_new(4 * SLAB_PAGE_BYTES); /* a page for each class, at best */
    struct dns_cache c;
    struct {
        uint64_t until_ns;
        uint32_t count;
    } want[NAMES] = {{0, 0}};
    uint32_t hits = 0, forgotten = 0;
    prng_seed(&dice, 4711);
    cr_assert(dns_cache_open(&c, small, 12));
    uint64_t now_ns = T0;
    for (uint32_t i = 0; i < OPS; i++) {
        char text[16];
        uint32_t k = (uint32_t)prng_below(&dice, NAMES);
        snprintf(text, sizeof text, "name%u", k);
        now_ns += prng_below(&dice, SECOND_NS);
        if (prng_percent(&dice, 40)) {
            struct dns_answer a = found((uint32_t)prng_below(&dice, 20),
                                        1 + (uint32_t)prng_below(&dice, DNS_ADDRS_MAX));
            if (prng_percent(&dice, 20)) a = (struct dns_answer){.status = DNS_NONE};
            dns_cache_put(&c, name(text), &a, now_ns);
            want[k].until_ns = now_ns + dns_answer_life_ns(&a);
            want[k].count = a.count;
        } else {
            const struct dns_entry *e = dns_cache_find(&c, name(text), now_ns);
            bool known = want[k].until_ns > now_ns;
            if (e != NULL) {
                MUST(known && e->count == want[k].count && e->until_ns == want[k].until_ns);
                for (uint32_t n = 0; n < e->count; n++)
                    MUST(e->addrs[n].v4.sin_addr.s_addr == htonl(0x0a000000 + n));
                hits++;
            } else if (known) {
                forgotten++; /* for want of room: allowed, as long as it is not the rule */
            }
        }
        if (i % 64 == 0) {
            dns_cache_validate(&c);
            slab_validate(small);
        }
    }
    cr_expect_gt(hits, 10000);
    cr_expect_gt(forgotten, 0);
    cr_expect_lt(forgotten, hits * 3);
    dns_cache_close(&c);
    slab_free(small);
}
