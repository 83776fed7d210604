/* sched/gcra.c - the generic cell rate algorithm; see gcra.h.
 *
 * With one interval the TAT is never later than now + interval: a grant of n leaves it at most
 * there. Where it is found further ahead, it was left by a longer interval, and is brought back, so
 * that a faster pace shows soon; or by a thread whose clock is ahead of ours, since ours is as old
 * as our turn, which may have been interrupted: hence the allowance. Without it each interruption
 * would give away as much of the rate as it lasted (tests/stress/sched.c).
 */
#include "sched/gcra.h"

#include "core/base/atomic.h"
#include "core/base/check.h"

#include <stdbool.h>

#define OLD_CLOCK_NS UINT64_C(250000000) /* how far a turn's clock may be behind another's */

static uint64_t add_capped(uint64_t a, uint64_t b) { return a + b < a ? UINT64_MAX : a + b; }

static uint64_t mul_capped(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

uint32_t gcra_take(struct gcra *g, uint64_t interval_ns, uint64_t tolerance_ns, uint64_t now_ns,
                   uint32_t want, uint64_t *again_ns)
{
    CHECK_HOT(g != NULL && again_ns != NULL);
    if (interval_ns == 0 || want == 0) return want;
    uint64_t latest = add_capped(now_ns, interval_ns);
    uint64_t tat = load_rlx(&g->tat_ns);
    for (;;) { /* each round that fails means that another thread went on */
        uint64_t from = tat;
        if (from > add_capped(latest, OLD_CLOCK_NS)) from = latest;
        if (from > now_ns) {
            if (from == tat || cas_rlx(&g->tat_ns, &tat, from)) {
                *again_ns = from;
                return 0;
            }
            continue;
        }
        if (now_ns - from > tolerance_ns) from = now_ns - tolerance_ns;
        uint64_t fit = (now_ns - from) / interval_ns + 1;
        uint32_t n = fit < want ? (uint32_t)fit : want;
        uint64_t next = add_capped(from, mul_capped(interval_ns, n));
        if (cas_rlx(&g->tat_ns, &tat, next)) return n;
    }
}

void gcra_give(struct gcra *g, uint64_t interval_ns, uint32_t n)
{
    CHECK_HOT(g != NULL);
    uint64_t back = mul_capped(interval_ns, n);
    uint64_t tat = load_rlx(&g->tat_ns);
    while (back > 0 && !cas_rlx(&g->tat_ns, &tat, tat > back ? tat - back : 0)) {}
}
