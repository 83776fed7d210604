/* tests/unit/test_odd.c - goal: the four checks of core/base/check.h do what their names say:
 * ODD counts at its own line and goes on, CHECK stops, CHECK_HOT and MAYBE cost nothing.
 *
 * Method: sites in this file are driven and then looked up by their text through odd_each(); the
 * compiler lays the sites out, so each compiler and sanitizer is a case of its own.
 */
#include "core/base/check.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

struct wanted {
    const char *expr;
    uint32_t count, line; /* the sums over the sites with this text */
    uint32_t sites;
};

static void look(void *ctx, const struct odd_site *site)
{
    struct wanted *w = ctx;
    cr_assert_not_null(site->expr);
    cr_assert_gt(site->count, 0, "only sites that were hit");
    if (strcmp(site->expr, w->expr) != 0) return;
    cr_assert_not_null(strstr(site->file, "test_odd.c"));
    w->count += site->count;
    w->line = site->line;
    w->sites++;
}

static struct wanted find(const char *expr)
{
    struct wanted w = {.expr = expr};
    odd_each(look, &w);
    return w;
}

Test(odd, counts_at_its_line)
{
    uint32_t line = 0;
    for (int step = 0; step < 10; step++) {
        bool odd = ODD(step % 3 == 1), expected = step == 1 || step == 4 || step == 7;
        cr_assert_eq(odd, expected);
        line = __LINE__ - 2;
    }
    struct wanted w = find("step % 3 == 1");
    cr_assert_eq(w.sites, 1);
    cr_assert_eq(w.count, 3);
    cr_assert_eq(w.line, line);
}

Test(odd, what_never_happened_is_not_reported)
{
    int never = 0;
    cr_assert_not(ODD(never > 0));
    cr_assert_eq(find("never > 0").sites, 0);
}

/* Values other than 0 and 1, and expressions that are evaluated once. */
Test(odd, takes_any_scalar_and_evaluates_once)
{
    int calls = 0;
    cr_assert(ODD(calls += 256));
    cr_assert_eq(calls, 256);
    cr_assert_eq(find("calls += 256").count, 1);
    cr_assert_not(ODD((char *)NULL));
}

static void hit_once(int i)
{
    if (ODD(i >= 0)) return;
    cr_assert_fail("odd, and true");
}

static void *hit_often(void *unused)
{
    for (int i = 0; i < 100000; i++) hit_once(i);
    return unused;
}

Test(odd, threads_do_not_lose_counts)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) cr_assert_eq(pthread_create(&threads[i], NULL, hit_often, NULL), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    cr_assert_eq(find("i >= 0").count, 400000);
}

Test(check, maybe_and_cold_checks_do_not_evaluate)
{
    int calls = 0;
    MAYBE(++calls);
    cr_assert_eq(calls, 0);
    CHECK(++calls == 1);
    cr_assert_eq(calls, 1);
#ifdef CHECKS_HOT
    CHECK_HOT(++calls == 2);
    cr_assert_eq(calls, 2);
#else
    CHECK_HOT(++calls == 77);
    cr_assert_eq(calls, 1);
#endif
}

Test(check, container_of)
{
    struct outer {
        int a;
        struct wanted inner;
    } o;
    cr_assert_eq(CONTAINER_OF(&o.inner, struct outer, inner), &o);
}

Test(check, false_stops, .signal = SIGABRT) { CHECK(1 > 2); }

Test(check, unreachable_stops, .signal = SIGABRT) { UNREACHABLE(); }
