#include "tests/sim/world.h"

#include "tests/sim/disk_sim.h"
#include "tests/sim/dns_sim.h"
#include "tests/sim/io_sim.h"
#include "tests/sim/net_sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world *world_current;
bool world_trace_on;

enum { WALL_START_S = 1750000000, US = 1000, MS = 1000 * US };

struct world *world_new(uint64_t seed)
{
    CHECK(world_current == NULL);
    struct world *w = calloc(1, sizeof *w);
    CHECK(w != NULL);
    prng_seed(&w->dice, seed);
    w->now_ns = 1 + prng_below(&w->dice, UINT64_C(1) << 40);
    w->wall_ns = (uint64_t)WALL_START_S * 1000 * MS + prng_below(&w->dice, UINT64_C(1) << 50);
    w->trace = UINT64_C(1469598103934665603);
    w->net = net_new(w);
    w->dns = dns_sim_new(w);
    w->disk = disk_new(w);
    world_current = w;
    return w;
}

void world_free(struct world *w)
{
    CHECK(w == world_current);
    RULE(w->ios_count == 0, "%u rings were never closed", w->ios_count);
    io_sim_free_closed(w);
    dns_sim_free(w->dns);
    net_free(w->net);
    disk_free(w->disk);
    free(w->heap);
    free(w);
    world_current = NULL;
}

void world_crash(struct world *w)
{
    world_trace(w, "crash", w->ios_count, 0, 0);
    while (w->ios_count > 0) io_sim_crash(w->ios[0]);
    disk_crash(w->disk);
}

void world_draw_knobs(struct world *w)
{
#define KNOB_DRAW(name, most, text) \
    w->knobs.name = world_draw(w, 50) ? 0 : 1 + world_below(w, most);
    KNOB_TABLE(KNOB_DRAW)
#undef KNOB_DRAW
}

void world_print_knobs(const struct world *w)
{
#define KNOB_PRINT(name, most, text) \
    if (w->knobs.name > 0) printf("  %3u %% %-16s %s\n", w->knobs.name, #name, text);
    KNOB_TABLE(KNOB_PRINT)
#undef KNOB_PRINT
}

static bool before(const struct world_event *a, const struct world_event *b)
{
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->sequence < b->sequence);
}

void world_at(struct world *w, uint64_t at_ns, world_fire_fn *fire, void *obj, uint64_t arg)
{
    if (w->events_count == w->events_room) {
        w->events_room = w->events_room ? 2 * w->events_room : 256;
        w->heap = realloc(w->heap, w->events_room * sizeof *w->heap);
        CHECK(w->heap != NULL);
    }
    struct world_event e = {at_ns < w->now_ns ? w->now_ns : at_ns, w->events_sequence++, fire, obj,
                            arg};
    uint32_t i = w->events_count++;
    for (; i > 0 && before(&e, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = e;
}

static struct world_event heap_pop(struct world *w)
{
    CHECK(w->events_count > 0);
    struct world_event top = w->heap[0], last = w->heap[--w->events_count];
    uint32_t i = 0, n = w->events_count;
    for (uint32_t child = 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && before(&w->heap[child + 1], &w->heap[child])) child++;
        if (!before(&w->heap[child], &last)) break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = last;
    return top;
}

uint64_t world_next_ns(const struct world *w)
{
    return w->events_count > 0 ? w->heap[0].at_ns : UINT64_MAX;
}

void world_run_due(struct world *w)
{
    while (world_next_ns(w) <= w->now_ns) {
        struct world_event e = heap_pop(w);
        e.fire(w, e.obj, e.arg);
    }
}

void world_advance(struct world *w)
{
    uint64_t to = world_next_ns(w);
    for (uint32_t i = 0; i < w->ios_count; i++) {
        uint64_t wish = io_sim_wish_ns(w->ios[i]);
        if (wish < to) to = wish;
    }
    RULE(to != UINT64_MAX, "every shard sleeps for ever and nothing is under way");
    if (to > w->now_ns && world_draw(w, w->knobs.oversleep)) to += world_below(w, 5 * MS);
    if (world_draw(w, w->knobs.stall) && world_draw(w, 5)) {
        PROBE("the process was stopped for a while");
        uint64_t stall_ns = prng_below(&w->dice, 2000 * (uint64_t)MS);
        to = (to > w->now_ns ? to : w->now_ns) + stall_ns;
        w->stalled_ns += stall_ns;
    }
    if (world_draw(w, w->knobs.wall_jump) && world_draw(w, 5)) {
        PROBE("wall time jumped");
        w->wall_jumped = true;
        w->wall_ns -= w->wall_jump_ns; /* from where it would be, so that jumps do not add up */
        w->wall_jump_ns = prng_below(&w->dice, 7200 * UINT64_C(1000000000));
        w->wall_jump_ns -= 3600 * UINT64_C(1000000000);
        w->wall_ns += w->wall_jump_ns;
    }
    /* Even a turn that did not wait took some time. */
    uint64_t least = w->now_ns + US * (1 + (uint64_t)world_below(w, 20));
    w->now_ns = to > least ? to : least;
}

uint64_t world_latency_ns(struct world *w, uint32_t tail, uint32_t tail_bits)
{
    uint32_t bits = world_draw(w, tail) ? world_below(w, tail_bits + 1) : world_below(w, 9);
    return US * (1 + prng_below(&w->dice, UINT64_C(1) << bits));
}

static uint64_t mix(uint64_t hash, uint64_t v)
{
    hash ^= v;
    hash *= UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ (hash >> 29);
}

void world_trace(struct world *w, const char *what, uint64_t a, uint64_t b, uint64_t c)
{
    w->trace = mix(mix(mix(mix(w->trace, w->now_ns), a), b), c);
    if (world_trace_on)
        printf("%14.6f ms  %-24s %" PRId64 " %" PRId64 " %" PRId64 "\n",
               (double)(w->now_ns % (UINT64_C(1) << 40)) / 1e6, what, (int64_t)a, (int64_t)b,
               (int64_t)c);
}

void world_trace_bytes(struct world *w, const char *what, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint64_t hash = n, word = 0;
    size_t i = 0;
    for (; i + sizeof word <= n; i += sizeof word) {
        memcpy(&word, p + i, sizeof word);
        hash = mix(hash, word);
    }
    for (; i < n; i++) hash = mix(hash, p[i]);
    world_trace(w, what, n, hash >> 32, 0);
    if (!world_trace_on) return;
    printf("    |");
    for (i = 0; i < n && i < 160; i++) printf(p[i] >= ' ' && p[i] < 127 ? "%c" : "\\x%02x", p[i]);
    printf("|\n");
}

void sim_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    char text[500];
    vsnprintf(text, sizeof text, format, args);
    fprintf(stderr, "sim: rule broken: %s\n", text);
    va_end(args);
    abort();
}

extern struct probe __start_probes[], __stop_probes[];

void probe_each(void (*fn)(const struct probe *p))
{
    for (struct probe *p = __start_probes; p < __stop_probes; p++) fn(p);
}
