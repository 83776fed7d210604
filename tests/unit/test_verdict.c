/* tests/unit/test_verdict.c - goal: what follows from the end of an attempt is what delivery.md
 * section 2 says, for every ending in every circumstance; nothing but 2xx is ever delivered.
 *
 * Method: a table with a row for each ending and a column for each way on, filled from the text by
 * hand; every ending x sent x all 128 circumstances is compared with it. Then laws that must hold
 * for any table: what may be sent twice, and that an attempt cannot go on for ever.
 */
#include "core/engine/verdict.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>

enum { BITS = 7, CIRCUMSTANCES = 1 << BITS };

struct row {
    enum err why;
    enum verdict_kind kind; /* when no way on is open and a retry is left */
    enum outcome outcome;   /* VERDICT_OUTCOME */
    bool race;              /* a reused connection died: once more, on a fresh one */
    bool address;           /* never reached: the host's next address */
    bool no_room;           /* this machine's trouble: wait */
};

/* clang-format off */
static const struct row rows[] = {
    {ERR_OK,              VERDICT_OUTCOME, OUTCOME_DELIVERED, false, false, false},
    {ERR_STATUS_FINAL,    VERDICT_OUTCOME, OUTCOME_FAILED,    false, false, false},
    {ERR_STATUS_RETRY,    VERDICT_RETRY,   OUTCOME_COUNT,     false, false, false},
    {ERR_TIMEOUT,         VERDICT_RETRY,   OUTCOME_COUNT,     false, false, false},
    {ERR_BAD_RESPONSE,    VERDICT_RETRY,   OUTCOME_COUNT,     false, false, false},
    {ERR_DNS_FAILURE,     VERDICT_RETRY,   OUTCOME_COUNT,     false, true,  false},
    {ERR_DNS_TIMEOUT,     VERDICT_RETRY,   OUTCOME_COUNT,     false, true,  false},
    {ERR_CONNECT_REFUSED, VERDICT_RETRY,   OUTCOME_COUNT,     false, true,  false},
    {ERR_CONNECT_TIMEOUT, VERDICT_RETRY,   OUTCOME_COUNT,     false, true,  false},
    {ERR_NO_ROUTE,        VERDICT_RETRY,   OUTCOME_COUNT,     false, true,  false},
    {ERR_RESET,           VERDICT_RETRY,   OUTCOME_COUNT,     true,  true,  false},
    {ERR_CLOSED,          VERDICT_RETRY,   OUTCOME_COUNT,     true,  true,  false},
    {ERR_TLS_CERTIFICATE, VERDICT_OUTCOME, OUTCOME_FAILED,    false, false, false},
    {ERR_TLS_HANDSHAKE,   VERDICT_RETRY,   OUTCOME_COUNT,     false, true,  false},
    {ERR_TLS_TIMEOUT,     VERDICT_RETRY,   OUTCOME_COUNT,     false, true,  false},
    {ERR_TRUNCATED,       VERDICT_RETRY,   OUTCOME_COUNT,     false, false, false},
    {ERR_BLOCKED_ADDRESS, VERDICT_OUTCOME, OUTCOME_FAILED,    false, false, false},
    {ERR_EXPIRED,         VERDICT_OUTCOME, OUTCOME_FAILED,    false, false, false},
    {ERR_NO_RESOURCES,    VERDICT_RETRY,   OUTCOME_COUNT,     false, false, true},
    {ERR_STOPPED,         VERDICT_PENDING, OUTCOME_COUNT,     false, false, false},
};
/* clang-format on */

#define NOW_NS (UINT64_C(1000) * 1000000000)

static struct retry_rules rules;

/* Sets the rules too. */
static struct attempt attempt_of(enum err why, unsigned sent, unsigned bits)
{
    retry_rules_defaults(&rules);
    rules.at_most_once = bits & 16;
    uint64_t deadline_ns = bits & 64 ? NOW_NS + 1 : UINT64_MAX;
    return (struct attempt){
        .why = why,
        .sent = (enum sent)sent,
        .reused = bits & 1,
        .resent = bits & 2,
        .addresses_left = bits & 4,
        .in_time = bits & 8,
        .retry = {.attempts = bits & 32 ? rules.retries + 1 : 1,
                  .now_ns = NOW_NS,
                  .first_ns = NOW_NS,
                  .deadline_ns = deadline_ns},
    };
}

static struct verdict expected(const struct row *row, const struct attempt *a)
{
    bool race = row->race && a->reused && !a->resent && a->sent != SENT_YES && !rules.at_most_once;
    bool address = row->address && !a->reused && a->sent == SENT_NO && a->addresses_left;
    cr_assert(race + address + row->no_room <= 1, "the table is in doubt");
    if (a->in_time && race) return (struct verdict){.kind = VERDICT_RESEND};
    if (a->in_time && address) return (struct verdict){.kind = VERDICT_NEXT_ADDRESS};
    if (a->in_time && row->no_room) return (struct verdict){.kind = VERDICT_NO_ROOM};
    if (row->kind != VERDICT_RETRY) return (struct verdict){row->kind, row->outcome, 0};
    if (rules.at_most_once && a->sent != SENT_NO)
        return (struct verdict){VERDICT_OUTCOME, OUTCOME_FAILED, 0};
    if (a->retry.attempts > rules.retries || a->retry.deadline_ns != UINT64_MAX)
        return (struct verdict){VERDICT_OUTCOME, OUTCOME_EXHAUSTED, 0};
    return (struct verdict){.kind = VERDICT_RETRY};
}

static const char *shown(const struct attempt *a)
{
    static char text[192];
    snprintf(text, sizeof text, "%s, sent %s%s%s%s%s%s, attempts %u", err_label(a->why),
             sent_label(a->sent), a->reused ? ", reused" : "", a->resent ? ", resent" : "",
             a->addresses_left ? ", addresses left" : "", a->in_time ? ", in time" : "",
             rules.at_most_once ? ", at most once" : "", a->retry.attempts);
    return text;
}

Test(verdict, every_combination)
{
    cr_assert_eq(sizeof rows / sizeof rows[0], ERR_COUNT, "a new ending: add its row");
    for (unsigned e = 0; e < ERR_COUNT; e++) {
        cr_assert_eq(rows[e].why, (enum err)e);
        for (unsigned i = 0; i < SENT_COUNT * CIRCUMSTANCES; i++) {
            struct attempt a = attempt_of((enum err)e, i / CIRCUMSTANCES, i % CIRCUMSTANCES);
            struct verdict v = verdict_of(&rules, &a), want = expected(&rows[e], &a);
            cr_expect_eq(v.kind, want.kind, "%s: kind %d, not %d", shown(&a), v.kind, want.kind);
            if (want.kind == VERDICT_OUTCOME)
                cr_expect_eq(v.outcome, want.outcome, "%s", shown(&a));
        }
    }
}

/* Which of its rules the retry's time keeps to is the matter of test_backoff.c: here, its class. */
Test(verdict, when_a_retry_is_due)
{
    for (unsigned e = 0; e < ERR_COUNT; e++) {
        struct attempt a = attempt_of((enum err)e, SENT_NO, 0);
        struct verdict v = verdict_of(&rules, &a);
        if (v.kind != VERDICT_RETRY) continue;
        bool unreachable = err_class_of((enum err)e) == ERR_CLASS_UNREACHABLE;
        const struct backoff *b = unreachable ? &rules.unreachable : &rules.answered;
        cr_expect_geq(v.due_ns, NOW_NS + b->base_ns / 2, "%s", shown(&a));
        cr_expect_leq(v.due_ns, NOW_NS + b->base_ns, "%s", shown(&a));
    }
}

static void law(const struct attempt *a, const struct verdict *v)
{
    bool goes_on = v->kind == VERDICT_RESEND || v->kind == VERDICT_NEXT_ADDRESS ||
                   v->kind == VERDICT_NO_ROOM;
    bool delivered = v->kind == VERDICT_OUTCOME && v->outcome == OUTCOME_DELIVERED;
    cr_expect_eq(delivered, a->why == ERR_OK, "%s", shown(a));
    if (goes_on) cr_expect(a->in_time, "%s: for ever", shown(a));
    if (v->kind == VERDICT_RESEND) {
        cr_expect_not(a->resent, "%s: a second time", shown(a));
        cr_expect_neq(a->sent, SENT_YES, "%s: an answer came", shown(a));
    }
    if (v->kind == VERDICT_NEXT_ADDRESS) {
        cr_expect(a->addresses_left, "%s", shown(a));
        cr_expect_eq(a->sent, SENT_NO, "%s: another machine may have it", shown(a));
    }
    if (v->kind == VERDICT_RETRY) {
        cr_expect_gt(v->due_ns, NOW_NS, "%s", shown(a));
        cr_expect_leq(a->retry.attempts, rules.retries, "%s", shown(a));
    }
    bool again = v->kind == VERDICT_RETRY || v->kind == VERDICT_RESEND;
    if (again && rules.at_most_once) cr_expect_eq(a->sent, SENT_NO, "%s: twice", shown(a));
    if (a->why == ERR_STOPPED) cr_expect_eq(v->kind, VERDICT_PENDING);
}

Test(verdict, laws)
{
    unsigned kinds[VERDICT_PENDING + 1] = {0};
    for (unsigned e = 0; e < ERR_COUNT; e++) {
        for (unsigned i = 0; i < SENT_COUNT * CIRCUMSTANCES; i++) {
            struct attempt a = attempt_of((enum err)e, i / CIRCUMSTANCES, i % CIRCUMSTANCES);
            struct verdict v = verdict_of(&rules, &a);
            kinds[v.kind]++;
            law(&a, &v);
        }
    }
    for (int kind = 0; kind <= VERDICT_PENDING; kind++)
        cr_expect_gt(kinds[kind], 0, "kind %d is never given", kind);
}

Test(verdict, no_such_ending, .signal = SIGABRT)
{
    struct attempt a = {.why = ERR_COUNT};
    (void)verdict_of(&rules, &a);
}

Test(verdict, outcome_labels)
{
    static const char *const labels[] = {"delivered", "failed", "exhausted", "expired", "aborted"};
    cr_assert_eq(sizeof labels / sizeof labels[0], OUTCOME_COUNT);
    for (unsigned o = 0; o < OUTCOME_COUNT; o++)
        cr_expect_str_eq(outcome_label((enum outcome)o), labels[o]);
}

Test(verdict, no_such_outcome, .signal = SIGABRT) { (void)outcome_label(OUTCOME_COUNT); }
