/* sched/host_parts.h - what the files behind sched/host.h need of each other.
 *
 *   host.c          rules, the table's hooks, health: open, held, probing
 *   host_windows.c  attempts and failures of the health window, and the pool of their slices
 *   host_flow.c     permits, the limit of requests in flight, connections
 *   host_budget.c   the retry budget
 */
#ifndef SCHED_HOST_PARTS_H
#define SCHED_HOST_PARTS_H

#include "sched/host.h"
#include "sched/slices.h"

#define HOST_MS_NS UINT64_C(1000000)

static inline uint64_t host_add_ns(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static inline uint64_t host_ns_of_ms(uint64_t ms)
{
    uint64_t ns;
    return __builtin_mul_overflow(ms, HOST_MS_NS, &ns) ? UINT64_MAX : ns;
}

/* How long ago a time in ms was of which only the low 32 bits are known. Shards read their clocks
 * at different moments, so that it may be ahead of now, by less than a minute: that is 0. */
static inline uint32_t host_ms_since(uint64_t now_ms, uint32_t then_ms)
{
    uint32_t since = (uint32_t)now_ms - then_ms;
    return since > UINT32_MAX - 60 * 1000 ? 0 : since;
}

/* host_windows.c */
/* Counts for health. The first failure brings the one-second slices. */
void host_window_add(struct host *h, struct host_windows *w, const struct host_rules *r,
                     uint64_t now_ns, uint32_t attempts, uint32_t failures);
/* What was counted within the window. */
struct slices host_window_sum(const struct host *h, const struct host_windows *w,
                              const struct host_rules *r, uint64_t now_ns);
/* Forgets all counts. */
void host_window_clear(struct host *h, struct host_windows *w);
/* Gives the one-second slices back to the pool. */
void host_window_detach(struct host *h, struct host_windows *w);
uint32_t host_windows_first_limit(const struct host_windows *w);

/* host_flow.c: slow start begins, from `limit`. */
void host_flow_begin(struct host *h, uint32_t limit);

/* host_budget.c */
void host_budget_report(struct host *h, const struct host_rules *r, uint64_t now_ns,
                        uint32_t attempts, uint32_t troubles);

#endif
