/* sched/backoff.h - when a failed attempt may be tried again (delivery.md section 3). Pure.
 */
#ifndef SCHED_BACKOFF_H
#define SCHED_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

struct backoff {
    uint64_t base_ns, cap_ns;
    uint32_t factor_milli; /* 3000: three times longer for each retry */
};

struct retry_rules {
    uint32_t retries;                          /* after the first attempt; 0: none */
    uint64_t window_ns, unreachable_window_ns; /* from the first attempt on */
    struct backoff answered, unreachable;
    bool at_most_once; /* any answer is final; only what was surely not sent is tried again */
};

/* delivery.md section 3. */
void retry_rules_defaults(struct retry_rules *r);

/* Before retry n (1: the first): min(cap, base * factor^(n-1)), then uniform in [delay/2, delay].
 * draw: 64 random bits. Never overflows. */
uint64_t backoff_delay_ns(const struct backoff *b, uint32_t n, uint64_t draw);

struct retry_case {
    bool unreachable;     /* the class of the last failure */
    uint32_t attempts;    /* made so far, at least 1 */
    uint64_t now_ns;      /* the last attempt's end */
    uint64_t first_ns;    /* when the first attempt began */
    uint64_t deadline_ns; /* the record's own, on the same clock; UINT64_MAX: none */
    uint64_t hint_ns;     /* the receiver asked for at least this wait; 0: it did not */
    uint64_t draw;
};

/* When to try again: max(backoff, hint), plus up to 10 % above a hint; 0: not at all, since no
 * retries are left or it would fall after the window or the deadline ("exhausted"). */
uint64_t retry_due_ns(const struct retry_rules *r, const struct retry_case *c);

/* When the record's time is over: the window of its class from its first attempt on (from since_ns
 * when there was none, and then the longer window), or its deadline if that is sooner. */
uint64_t retry_expiry_ns(const struct retry_rules *r, bool unreachable, bool tried,
                         uint64_t since_ns, uint64_t deadline_ns);

#endif
