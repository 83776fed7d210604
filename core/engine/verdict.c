#include "core/engine/verdict.h"

#include "core/base/check.h"

const char *outcome_label(enum outcome o)
{
    static const char *const labels[OUTCOME_COUNT] = {"delivered", "failed", "exhausted", "expired",
                                                      "aborted"};
    CHECK(o < OUTCOME_COUNT);
    return labels[o];
}

/* RFC 9112 section 9.3.1: a reused connection that dies before the first byte of the answer was,
 * as a rule, being closed by the receiver while the request was on its way. */
static bool keep_alive_race(const struct attempt *a)
{
    return (a->why == ERR_RESET || a->why == ERR_CLOSED) && a->reused && !a->resent &&
           a->sent != SENT_YES;
}

/* At most once: an answer ends it, and so does anything that may have reached the receiver. */
static bool may_try_again(const struct retry_rules *rules, const struct attempt *a)
{
    if (err_class_of(a->why) == ERR_CLASS_FINAL) return false;
    return !rules->at_most_once || a->sent == SENT_NO;
}

struct verdict verdict_of(const struct retry_rules *rules, const struct attempt *a)
{
    CHECK(a->why < ERR_COUNT);
    if (a->why == ERR_OK) return (struct verdict){VERDICT_OUTCOME, OUTCOME_DELIVERED, 0};
    if (a->why == ERR_STOPPED) return (struct verdict){.kind = VERDICT_PENDING};
    if (a->why == ERR_NO_RESOURCES && a->in_time) return (struct verdict){.kind = VERDICT_NO_ROOM};
    if (keep_alive_race(a) && a->in_time && !rules->at_most_once)
        return (struct verdict){.kind = VERDICT_RESEND};
    bool unreachable = err_class_of(a->why) == ERR_CLASS_UNREACHABLE;
    if (unreachable && a->sent == SENT_NO && !a->reused && a->addresses_left && a->in_time)
        return (struct verdict){.kind = VERDICT_NEXT_ADDRESS};
    if (!may_try_again(rules, a)) return (struct verdict){VERDICT_OUTCOME, OUTCOME_FAILED, 0};
    struct retry_case c = a->retry;
    c.unreachable = unreachable;
    uint64_t due_ns = retry_due_ns(rules, &c);
    if (due_ns == 0) return (struct verdict){VERDICT_OUTCOME, OUTCOME_EXHAUSTED, 0};
    return (struct verdict){.kind = VERDICT_RETRY, .due_ns = due_ns};
}
