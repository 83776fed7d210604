/* tests/unit/test_host_windows.c - goal: what a host did in its window is counted, by the second
 * from its first failure on, by thirds of the window without; the pool loses nothing and gives
 * nobody another's counts.
 *
 * Method: exact times at both ends of the window and of its slices; the pool taken empty and given
 * back in random order.
 */
#include "sched/host_parts.h"

#include "core/base/prng.h"
#include "tests/unit/must.h"

#include <criterion/criterion.h>
#include <string.h>

#define S UINT64_C(1000000000)

static struct host_rules rules(void)
{
    struct host_rules r;
    host_rules_defaults(&r);
    return r;
}

static void sum_is(struct slices s, uint64_t attempts, uint64_t failures)
{
    cr_assert_eq(s.attempts, attempts, "%lu attempts, expected %lu", s.attempts, attempts);
    cr_assert_eq(s.failures, failures, "%lu failures, expected %lu", s.failures, failures);
}

/* Whatever the clock: its start, an hour, years, its end. */
static const uint64_t starts[] = {0, 3600 * S, 86400 * 1000 * S, UINT64_MAX / S *S - 600 * S};
#define EACH_START(t) \
    for (uint32_t i_ = 0; i_ < sizeof starts / sizeof starts[0]; i_++) \
        for (uint64_t t = starts[i_], once_ = 1; once_; once_ = 0)

Test(host_windows, successes_alone_take_no_slices)
{
    struct host_rules r = rules();
    struct host_windows *w = host_windows_new(1, &r);
    struct host h = {0};
    host_window_add(&h, w, &r, 5 * S, 1000, 0);
    cr_assert_eq(h.window, 0);
    sum_is(host_window_sum(&h, w, &r, 5 * S), 1000, 0);
    host_window_add(&h, w, &r, 5 * S, 1, 1);
    cr_assert_eq(h.window, 1);
    host_window_add(&h, w, &r, 5 * S, 10, 0);
    sum_is(host_window_sum(&h, w, &r, 5 * S), 1011, 1);
    sum_is(slices_sum(h.coarse, HOST_COARSE, 0, 1), 0, 0); /* moved */
    host_windows_free(w);
}

/* What came evenly before the first failure leaves the window as evenly. */
Test(host_windows, what_was_coarse_leaves_in_time)
{
    struct host_rules r = rules();
    struct host_windows *w = host_windows_new(1, &r);
    EACH_START(start)
    {
        uint64_t t = start + 13 * S; /* anywhere in a third */
        struct host h = {0};
        for (uint64_t i = 0; i < 90; i++) host_window_add(&h, w, &r, t + i * S, 10, 0);
        host_window_add(&h, w, &r, t + 90 * S, 1, 1);
        for (uint64_t after = 0; after < 59; after++) {
            struct slices sum = host_window_sum(&h, w, &r, t + (90 + after) * S);
            uint64_t right = (59 - after) * 10 + 1;
            cr_assert(sum.attempts + 12 >= right, "%lu after %lu s", sum.attempts, after);
            cr_assert(sum.attempts <= right + 12, "%lu after %lu s", sum.attempts, after);
            cr_assert_eq(sum.failures, 1);
        }
        sum_is(host_window_sum(&h, w, &r, t + 150 * S), 0, 0);
        host_window_detach(&h, w);
    }
    host_windows_free(w);
}

/* The second of a failure and the 59 after it. */
Test(host_windows, a_failure_counts_for_its_second_and_59_more)
{
    struct host_rules r = rules();
    struct host_windows *w = host_windows_new(4, &r);
    EACH_START(t)
    {
        struct host h = {0};
        host_window_add(&h, w, &r, t + S - 1, 1, 1);
        sum_is(host_window_sum(&h, w, &r, t + S - 1), 1, 1);
        sum_is(host_window_sum(&h, w, &r, t + 60 * S - 1), 1, 1);
        sum_is(host_window_sum(&h, w, &r, t + 60 * S), 0, 0);
        struct host g = {0};
        host_window_add(&g, w, &r, t, 1, 1);
        sum_is(host_window_sum(&g, w, &r, t + 60 * S - 1), 1, 1);
        sum_is(host_window_sum(&g, w, &r, t + 60 * S), 0, 0);
        host_window_detach(&h, w);
        host_window_detach(&g, w);
    }
    host_windows_free(w);
}

/* One failure in each of 200 seconds: never more than 60 of them, never fewer. */
Test(host_windows, slides_by_the_second)
{
    struct host_rules r = rules();
    struct host_windows *w = host_windows_new(1, &r);
    EACH_START(t)
    {
        struct host h = {0};
        for (uint64_t i = 0; i < 200; i++) {
            host_window_add(&h, w, &r, t + i * S, 2, 1);
            uint64_t seconds = i < 59 ? i + 1 : 60;
            sum_is(host_window_sum(&h, w, &r, t + i * S + S - 1), 2 * seconds, seconds);
        }
        host_window_detach(&h, w);
    }
    host_windows_free(w);
}

/* Thirds of the window: whole for 60 s from their beginning on, then less and less for 20 s. */
Test(host_windows, coarse_when_the_pool_is_empty)
{
    struct host_rules r = rules();
    struct host_windows *w = host_windows_new(0, &r);
    EACH_START(start)
    {
        uint64_t t = start / (20 * S) * (20 * S);
        struct host h = {0};
        host_window_add(&h, w, &r, t + 7 * S, 100, 80);
        cr_assert_eq(h.window, 0);
        sum_is(host_window_sum(&h, w, &r, t + 7 * S), 100, 80);
        sum_is(host_window_sum(&h, w, &r, t + 60 * S), 100, 80);
        sum_is(host_window_sum(&h, w, &r, t + 65 * S), 75, 60);
        sum_is(host_window_sum(&h, w, &r, t + 79 * S), 5, 4);
        sum_is(host_window_sum(&h, w, &r, t + 80 * S), 0, 0);
    }
    host_windows_free(w);
}

Test(host_windows, other_lengths)
{
    struct host_rules r = rules();
    struct host_windows *w = host_windows_new(8, &r);
    r.window_ns = 6 * S; /* slices of 100 ms */
    struct host h = {0};
    host_window_add(&h, w, &r, 1000 * S, 1, 1);
    sum_is(host_window_sum(&h, w, &r, 1006 * S - 1), 1, 1);
    sum_is(host_window_sum(&h, w, &r, 1006 * S), 0, 0);
    static const uint64_t odd[] = {0, 1, 2, 59, 61, UINT64_MAX};
    for (uint32_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        r.window_ns = odd[i];
        struct host g = {0};
        host_window_add(&g, w, &r, 1000 * S, 2, 0);
        host_window_add(&g, w, &r, 1000 * S, 1, 1);
        sum_is(host_window_sum(&g, w, &r, 1000 * S), 3, 1);
    }
    host_windows_free(w);
}

Test(host_windows, clear_forgets_all)
{
    struct host_rules r = rules();
    struct host_windows *w = host_windows_new(1, &r);
    struct host h = {0};
    host_window_add(&h, w, &r, 5 * S, 1000, 0);
    for (uint64_t i = 0; i < 64; i++) host_window_add(&h, w, &r, (6 + i) * S, 1, 1);
    host_window_clear(&h, w);
    for (uint64_t at = 5; at < 140; at++) sum_is(host_window_sum(&h, w, &r, at * S), 0, 0);
    cr_assert_eq(h.window, 1);
    host_windows_free(w);
}

enum { POOL = 100 };

/* Every host gets slices of its own, all zero, as long as there are some; none are lost. */
Test(host_windows, pool_gives_each_once_and_clean)
{
    struct host_rules r = rules();
    struct host_windows *w = host_windows_new(POOL, &r);
    struct prng dice;
    prng_seed(&dice, 12);
    static struct host hosts[2 * POOL];
    memset(hosts, 0, sizeof hosts);
    uint32_t owner[POOL + 1] = {0}, taken = 0;
    for (uint64_t step = 0; step < 300000; step++) {
        uint32_t i = (uint32_t)prng_below(&dice, 2 * POOL);
        struct host *h = &hosts[i];
        uint64_t now = (step / 3000) * S;
        if (h->window != 0) {
            MUST(owner[h->window] == i + 1);
            owner[h->window] = 0;
            taken--;
            host_forget(w, h);
            MUST(h->window == 0);
            continue;
        }
        memset(h, 0, sizeof *h);
        host_window_add(h, w, &r, now, 1, 1);
        struct slices sum = host_window_sum(h, w, &r, now);
        MUST(sum.attempts == 1 && sum.failures == 1, "another's counts");
        MUST((h->window != 0) == (taken < POOL));
        if (h->window == 0) continue;
        MUST(h->window <= POOL && owner[h->window] == 0);
        owner[h->window] = i + 1;
        taken++;
    }
    host_windows_free(w);
}

/* Two million hosts are a gigabyte of address space, of which next to nothing is touched. */
Test(host_windows, large_pool)
{
    struct host_rules r = rules();
    struct host_windows *w = host_windows_new(2000000, &r);
    cr_assert_not_null(w);
    struct host h = {0};
    host_window_add(&h, w, &r, 5 * S, 1, 1);
    sum_is(host_window_sum(&h, w, &r, 5 * S), 1, 1);
    host_windows_free(w);
    host_windows_free(NULL);
}
