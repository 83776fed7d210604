/* tests/unit/test_parked.c - goal: a record that waits takes 56 bytes, and all that was known of it
 * comes back; backlogs give records back in the order in which they came, whatever became of
 * those between them.
 *
 * Method: random records packed and read; the limits of each field; a million in a real slab and a
 * real wheel, with the bytes that ten million take; random backlogs against a plain list.
 */
#include "core/engine/parked.h"

#include "core/base/prng.h"
#include "core/net/exchange.h"
#include "tests/unit/must.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)
#define START_NS  (777 * SECOND_NS + 123456789)

static struct slab *slab;
static struct flow *flow;

static void setup(void)
{
    slab = slab_new(256 << 20);
    cr_assert_not_null(slab);
    flow = slab_take(slab, sizeof *flow);
    cr_assert_not_null(flow);
    memset(flow, 0, sizeof *flow);
}

static void teardown(void)
{
    slab_give(slab, flow, sizeof *flow);
    slab_validate(slab);
    slab_free(slab); /* CHECKs that nothing is left */
}

TestSuite(parked, .init = setup, .fini = teardown);

static struct parked *made(const struct parking *p)
{
    struct parked *k = parked_make(slab, flow, p, START_NS);
    MUST(k != NULL, "no memory");
    return k;
}

static struct parking random_parking(struct prng *dice)
{
    uint64_t bits = prng_u64(dice);
    struct parking p = {.offset =
                            prng_u64(dice) >> (64 - PARKED_OFFSET_BITS + prng_below(dice, 40)),
                        .line = prng_u64(dice) >> (64 - PARKED_LINE_BITS + prng_below(dice, 30)),
                        .check = (uint32_t)prng_below(dice, 1u << PARKED_CHECK_BITS),
                        .attempts = (uint32_t)prng_below(dice, PARKED_ATTEMPTS_MAX + 1),
                        .why = (uint8_t)prng_below(dice, ERR_COUNT),
                        .sent = (uint8_t)prng_below(dice, SENT_COUNT),
                        .retry = bits & 1,
                        .told = bits & 2,
                        .deadline_ns = UINT64_MAX};
    if (bits & 4) p.first_attempt_ns = START_NS + (prng_u64(dice) >> (12 + prng_below(dice, 30)));
    if (bits & 8) p.deadline_ns = START_NS + (prng_u64(dice) >> (11 + prng_below(dice, 30)));
    return p;
}

/* What is rounded is rounded to the careful side: the first attempt is never later than it was,
 * and the deadline never earlier. */
static void came_back(const struct parking *in, const struct parking *out, uint64_t seed)
{
    MUST(in->offset == out->offset && in->line == out->line && in->check == out->check,
         "seed %" PRIu64, seed);
    MUST(in->attempts == out->attempts && in->why == out->why && in->sent == out->sent,
         "seed %" PRIu64, seed);
    MUST(in->retry == out->retry && in->told == out->told, "seed %" PRIu64, seed);
    if (in->first_attempt_ns == 0) MUST(out->first_attempt_ns == 0, "seed %" PRIu64, seed);
    else
        MUST(out->first_attempt_ns <= in->first_attempt_ns &&
                 in->first_attempt_ns - out->first_attempt_ns < PARKED_FIRST_UNIT_NS,
             "seed %" PRIu64 ": first attempt %" PRIu64 " came back as %" PRIu64, seed,
             in->first_attempt_ns, out->first_attempt_ns);
    uint64_t far_ns = START_NS + ((UINT64_C(1) << PARKED_DEADLINE_BITS) - 1) * SECOND_NS;
    if (in->deadline_ns >= far_ns) MUST(out->deadline_ns == UINT64_MAX, "seed %" PRIu64, seed);
    else
        MUST(out->deadline_ns >= in->deadline_ns && out->deadline_ns - in->deadline_ns <= SECOND_NS,
             "seed %" PRIu64 ": deadline %" PRIu64 " came back as %" PRIu64, seed, in->deadline_ns,
             out->deadline_ns);
}

Test(parked, all_that_was_known_comes_back)
{
    for (uint64_t seed = 1; seed <= 100000; seed++) {
        struct prng dice;
        prng_seed(&dice, seed);
        struct parking in = random_parking(&dice), out;
        MUST(parked_fits(&in), "seed %" PRIu64, seed);
        struct parked *k = made(&in);
        parked_read(k, START_NS, &out);
        came_back(&in, &out, seed);
        MUST(parked_flow(slab, k) == flow);
        parked_free(slab, k);
    }
}

Test(parked, what_does_not_fit_is_said_to)
{
    struct parking p = {.deadline_ns = UINT64_MAX};
    cr_assert(parked_fits(&p));
    p.offset = (UINT64_C(1) << PARKED_OFFSET_BITS) - 1;
    p.line = (UINT64_C(1) << PARKED_LINE_BITS) - 1;
    p.attempts = PARKED_ATTEMPTS_MAX;
    cr_assert(parked_fits(&p));
    p.offset++;
    cr_assert_not(parked_fits(&p));
    p.offset--;
    p.line++;
    cr_assert_not(parked_fits(&p));
    p.line--;
    p.attempts++;
    cr_assert_not(parked_fits(&p));
}

/* A first attempt at the very start is one, and a deadline that is over is one as well. */
Test(parked, the_ends_of_time)
{
    struct parking in = {.first_attempt_ns = START_NS, .deadline_ns = 0}, out;
    struct parked *k = made(&in);
    parked_read(k, START_NS, &out);
    cr_assert_eq(out.first_attempt_ns, START_NS);
    cr_assert_eq(out.deadline_ns, START_NS + SECOND_NS);
    parked_free(slab, k);
    in = (struct parking){.first_attempt_ns = UINT64_MAX / 2, .deadline_ns = UINT64_MAX - 1};
    k = made(&in);
    parked_read(k, START_NS, &out);
    cr_assert_gt(out.first_attempt_ns, START_NS + 86400 * SECOND_NS);
    cr_assert_eq(out.deadline_ns, UINT64_MAX);
    parked_free(slab, k);
}

Test(parked, a_changed_line_shows)
{
    uint32_t first = parked_check(span_of("{\"url\":\"http://a/\"}", 18)), other = 0;
    cr_assert_eq(first, parked_check(span_of("{\"url\":\"http://a/\"}", 18)));
    char line[] = "{\"url\":\"http://a/\"}";
    for (char c = 'b'; c <= 'z'; c++) {
        line[15] = c;
        other += parked_check(span_of(line, 18)) != first;
    }
    cr_assert_geq(other, 24, "%u of 25 other lines have another check", other);
}

/* What the issue asks: 32 bytes besides the timer, ten million in 640 MB. A million are made, and
 * armed as they would be. */
Test(parked, ten_million_fit_in_640_mb)
{
    enum { MANY = 1000000 };
    static struct wheel wheel;
    struct parked **all = calloc(MANY, sizeof *all);
    size_t before = slab_used_bytes(slab);
    wheel_init(&wheel, START_NS);
    for (uint32_t i = 0; i < MANY; i++) {
        struct parking p = {.offset = i * UINT64_C(400), .line = i, .deadline_ns = UINT64_MAX};
        all[i] = made(&p);
        all[i]->state = PARKED_DELAYED;
        wheel_arm(&wheel, &all[i]->timer, START_NS + i * UINT64_C(1000003));
    }
    double bytes = (double)(slab_used_bytes(slab) - before) / MANY;
    printf("parked: %zu bytes besides the timer's %zu; %.2f bytes each of %d, 10,000,000 take "
           "%.0f MB\n",
           sizeof(struct parked) - sizeof(struct wheel_node), sizeof(struct wheel_node), bytes,
           MANY, bytes * 10);
    cr_assert_leq(sizeof(struct parked) - sizeof(struct wheel_node), 32);
    cr_assert_lt(bytes * 10000000, 640e6);
    for (uint32_t i = 0; i < MANY; i++) {
        wheel_cancel(&wheel, &all[i]->timer);
        parked_free(slab, all[i]);
    }
    free(all);
}

/* ---- backlogs ------------------------------------------------------------------------------ */

static struct parked *in_backlog(uint64_t line, bool retry)
{
    struct parking p = {.line = line, .retry = retry, .deadline_ns = UINT64_MAX};
    struct parked *k = made(&p);
    backlog_add(slab, k);
    return k;
}

static uint64_t next_line(enum flow_kind kind)
{
    struct parked *k = backlog_first(slab, flow, kind);
    if (k == NULL) return 0;
    uint64_t line = k->line;
    MUST(backlog_first(slab, flow, kind) == k, "looking takes it out");
    backlog_take(slab, flow, kind);
    parked_free(slab, k);
    return line;
}

Test(parked, first_in_first_out_each_kind_for_itself)
{
    for (uint64_t line = 1; line <= 10; line++) (void)in_backlog(line, line % 2 == 0);
    for (uint64_t line = 1; line <= 10; line += 2) cr_assert_eq(next_line(FLOW_FIRST), line);
    for (uint64_t line = 2; line <= 10; line += 2) cr_assert_eq(next_line(FLOW_RETRY), line);
    cr_assert_eq(next_line(FLOW_FIRST), 0);
    cr_assert_eq(next_line(FLOW_RETRY), 0);
    (void)in_backlog(11, false);
    cr_assert_eq(next_line(FLOW_FIRST), 11);
}

/* One whose time is over is let go, for whoever tells it; one that was told is freed. */
Test(parked, those_whose_time_is_over_are_passed_by)
{
    struct parked *over = in_backlog(1, false), *gone = in_backlog(2, false);
    (void)in_backlog(3, false);
    struct parked *last = in_backlog(4, false);
    over->state = PARKED_OVER;
    gone->state = PARKED_GONE;
    last->state = PARKED_OVER;
    cr_assert_eq(next_line(FLOW_FIRST), 3);
    cr_assert_eq((int)over->state, PARKED_LOOSE);
    cr_assert_eq((int)last->state, PARKED_OVER, "not passed yet");
    cr_assert_eq(next_line(FLOW_FIRST), 0);
    cr_assert_eq((int)last->state, PARKED_LOOSE);
    parked_free(slab, over);
    parked_free(slab, last);
}

Test(parked, random_backlogs)
{
    enum { STEPS = 20000 };
    static uint64_t lines[STEPS];
    static struct parked *at[STEPS];
    struct prng dice;
    prng_seed(&dice, 5);
    uint32_t head = 0, tail = 0;
    for (uint32_t step = 0; step < STEPS; step++) {
        if (prng_percent(&dice, 50)) {
            lines[tail] = step + 1;
            at[tail++] = in_backlog(step + 1, false);
        } else if (prng_percent(&dice, 30) && head < tail) {
            uint32_t i = head + (uint32_t)prng_below(&dice, tail - head);
            if (lines[i] != 0) at[i]->state = PARKED_GONE;
            lines[i] = 0;
        } else {
            while (head < tail && lines[head] == 0) head++;
            uint64_t expected = head < tail ? lines[head++] : 0;
            MUST(next_line(FLOW_FIRST) == expected, "step %u", step);
        }
    }
    while (next_line(FLOW_FIRST) != 0) {}
    cr_assert_eq(flow->queue[FLOW_FIRST].first, 0);
    cr_assert_eq(flow->queue[FLOW_FIRST].last, 0);
}
