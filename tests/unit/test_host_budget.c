/* tests/unit/test_host_budget.c - goal: the retries of a failing host are a fifth of its attempts
 * and a few each second, those of a healthy one are free, and no retry waits for ever.
 *
 * Method: attempts and retries by the clock, counted against the contract.
 */
#include "sched/host.h"

#include "core/base/prng.h"
#include "tests/unit/must.h"

#include <criterion/criterion.h>

#define MS_NS     UINT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)
#define START_NS  (5000 * SECOND_NS)

static struct host_rules rules;
static struct host_windows *windows;
static struct host host;

static void setup(void)
{
    host_rules_defaults(&rules);
    rules.min_failures = UINT32_MAX;
    windows = host_windows_new(0, &rules);
    host = (struct host){.entry = {.refs = 1}};
    host_init(windows, &host);
}

static void teardown(void) { host_windows_free(windows); }

TestSuite(host_budget, .init = setup, .fini = teardown);

static void report(uint64_t now_ns, uint32_t attempts, uint32_t troubles)
{
    struct host_event event;
    host_report(&host, windows, &rules, now_ns, attempts, 0, troubles, &event);
    cr_assert_eq(event.change, HOST_SAME);
}

static bool retry(uint64_t now_ns)
{
    uint64_t again_ns = 0;
    if (host_retry_take(&host, &rules, now_ns, &again_ns)) return true;
    MUST(again_ns > now_ns, "look again at a time that is over");
    MUST(again_ns <= now_ns + 2 * SECOND_NS, "it is sent away for long");
    return false;
}

Test(host_budget, free_while_a_tenth_fails)
{
    for (uint64_t ms = 0; ms < 20000; ms += 10) {
        report(START_NS + ms * MS_NS, 10, 1);
        for (int i = 0; i < 5; i++) MUST(retry(START_NS + ms * MS_NS), "at %lu ms", ms);
    }
}

/* All fail, and only retries are sent: 10 a second, and what was saved at first. */
Test(host_budget, ten_a_second_when_nothing_else_is_sent)
{
    uint32_t retries = 0;
    report(START_NS, 100, 100);
    for (uint64_t ms = 0; ms < 60000; ms++)
        if (retry(START_NS + ms * MS_NS)) {
            report(START_NS + ms * MS_NS, 1, 1);
            retries++;
        }
    /* Each of them is an attempt, and earns a fifth of another. */
    cr_assert(retries >= 600 && retries <= 600 * 10 / 8 + 150, "%u retries in 60 s", retries);
}

Test(host_budget, a_fifth_of_many_attempts)
{
    uint32_t attempts = 0, retries = 0;
    for (uint64_t ms = 0; ms < 60000; ms += 10) {
        report(START_NS + ms * MS_NS, 10, 6);
        attempts += 10;
        for (int i = 0; i < 10; i++) retries += retry(START_NS + ms * MS_NS);
    }
    uint32_t budget = attempts / 5 + 600;
    cr_assert(retries <= budget + 150 && retries >= budget * 9 / 10, "%u of %u", retries, budget);
}

Test(host_budget, it_flows_again_once_the_host_is_well)
{
    for (uint64_t ms = 0; ms < 20000; ms += 10) report(START_NS + ms * MS_NS, 10, 10);
    uint64_t now_ns = START_NS + 20 * SECOND_NS;
    while (retry(now_ns)) {}
    for (uint64_t ms = 0; ms < 16000; ms += 10) report(now_ns + ms * MS_NS, 10, 0);
    now_ns += 16 * SECOND_NS;
    for (int i = 0; i < 1000; i++) MUST(retry(now_ns));
}

Test(host_budget, without_a_floor_only_attempts_earn)
{
    rules.budget_per_s = 0;
    report(START_NS, 100, 100);
    uint32_t first = 0, then = 0;
    while (retry(START_NS + SECOND_NS)) first++;
    cr_assert_leq(first, 200);
    for (int i = 0; i < 100; i++) then += retry(START_NS + 5 * SECOND_NS);
    cr_assert_eq(then, 0);
    report(START_NS + 6 * SECOND_NS, 50, 50);
    for (int i = 0; i < 100; i++) then += retry(START_NS + 6 * SECOND_NS);
    cr_assert(then >= 9 && then <= 10, "%u", then);
}

/* Clocks of shards differ a bit: time that goes back earns nothing twice. */
Test(host_budget, time_that_goes_back_earns_nothing)
{
    uint32_t retries = 0;
    report(START_NS, 100, 100);
    while (retry(START_NS)) {}
    for (int i = 0; i < 10000; i++) retries += retry(START_NS + (i % 2) * 3 * MS_NS);
    cr_assert_leq(retries, 1, "%u", retries);
}
