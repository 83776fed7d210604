/* tests/fuzz/fuzz_wheel.c - goal: no sequence of operations makes the wheel differ from a plain
 * table of due ticks, break an invariant, or answer wheel_next_ns() too late.
 *
 * Input: operations of three bytes: what and which timer, then a span of time as mantissa and
 * exponent. Method: both are driven at once; after each operation wheel_validate(), the count and
 * the bound of wheel_next_ns(); after each advance the same set must expire.
 */
#include "core/base/check.h"
#include "sched/wheel.h"

#include <stddef.h>
#include <string.h>

enum { TIMERS = 32, OP_BYTES = 3 };

static struct wheel wheel;
static struct wheel_node nodes[TIMERS];
static uint64_t ticks[TIMERS]; /* the referee's: due tick, or NOT_ARMED */
static uint64_t now_ns;

#define NOT_ARMED UINT64_MAX

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t first_tick(void)
{
    uint64_t first = NOT_ARMED;
    for (int i = 0; i < TIMERS; i++)
        if (ticks[i] < first) first = ticks[i];
    return first;
}

static void arm(unsigned timer, uint64_t due_ns)
{
    wheel_cancel(&wheel, &nodes[timer]);
    wheel_arm(&wheel, &nodes[timer], due_ns);
    ticks[timer] = due_ns / WHEEL_TICK_NS + (due_ns % WHEEL_TICK_NS > 0);
}

static void advance(uint64_t to_ns)
{
    if (to_ns < now_ns) to_ns = UINT64_MAX; /* the sum wrapped: the end of time */
    now_ns = to_ns;
    wheel_advance(&wheel, now_ns);
}

/* Takes what has expired, at most `budget`; all of it must be due, and with budget to spare
 * nothing due may be left. Only right after an advance. */
static void drain(unsigned budget)
{
    uint64_t now_tick = now_ns / WHEEL_TICK_NS;
    for (; budget > 0; budget--) {
        struct wheel_node *n = wheel_expired(&wheel);
        if (n == NULL) break;
        CHECK(!wheel_armed(n));
        CHECK(ticks[n - nodes] <= now_tick);
        ticks[n - nodes] = NOT_ARMED;
    }
    if (budget > 0) CHECK(first_tick() > now_tick);
}

static void check_books(void)
{
    uint64_t count = 0, first = first_tick(), next_ns = wheel_next_ns(&wheel);
    for (int i = 0; i < TIMERS; i++) {
        CHECK(wheel_armed(&nodes[i]) == (ticks[i] != NOT_ARMED));
        count += ticks[i] != NOT_ARMED;
    }
    CHECK(count == wheel.count);
    wheel_validate(&wheel);
    if (count == 0) CHECK(next_ns == WHEEL_NEVER);
    else if (first <= now_ns / WHEEL_TICK_NS) CHECK(next_ns <= now_ns);
    else CHECK(next_ns / WHEEL_TICK_NS <= first && (next_ns > now_ns || next_ns == WHEEL_NEVER));
}

static void operate(const uint8_t *op)
{
    unsigned timer = op[0] % TIMERS;
    uint64_t span = (uint64_t)op[1] << (op[2] % 57);
    switch (op[0] / TIMERS) {
    case 0:
    case 1: arm(timer, now_ns + span); break; /* may wrap: then it is the past */
    case 2: arm(timer, now_ns > span ? now_ns - span : 0); break;
    case 3:
        wheel_cancel(&wheel, &nodes[timer]);
        ticks[timer] = NOT_ARMED;
        break;
    case 4:
    case 5:
        advance(now_ns + span);
        drain(TIMERS + 1);
        break;
    case 6:
        advance(now_ns + span);
        drain(timer);
        break;
    default:
        span = wheel_next_ns(&wheel);
        advance(span > now_ns ? span : now_ns);
        drain(TIMERS + 1);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    memset(nodes, 0, sizeof nodes);
    memset(ticks, 0xff, sizeof ticks);
    now_ns = 0;
    wheel_init(&wheel, now_ns);
    for (size_t at = 0; at + OP_BYTES <= size; at += OP_BYTES) {
        operate(data + at);
        check_books();
    }
    return 0;
}
