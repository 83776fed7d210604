/* tests/sim/world.h - the simulated world: one clock, one set of dice, one queue of events.
 *
 * Everything that can happen to the engine happens here, in an order that follows from the seed
 * alone. The pieces: io_sim.c (core/io/io.h without a kernel), net_sim.c (connections),
 * server_sim.c (receivers), disk_sim.c (files). One world exists at a time, world_current;
 * io_open() and io_file_open() attach to it, since their callers know of no world.
 *
 * Time moves only in world_advance(), which the scenario calls once every shard was turned and none
 * had anything to do; each shard that sleeps has left its wish, until when (io_sim_wakes()).
 *
 * Faults are knobs: percentages drawn for each seed, each off with 50 % ("swarm").
 * One thread.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "core/base/check.h"
#include "core/base/prng.h"

#include <stdbool.h>
#include <stdint.h>

/*   name             most  what the dice decide with it */
/* clang-format off */
#define KNOB_TABLE(X) \
    X(slow,            12, "an operation on the network takes up to 8 s") \
    X(connect_refused, 25, "RST to our SYN") \
    X(connect_lost,    20, "no answer to our SYN") \
    X(connect_noroute, 15, "ENETUNREACH, EHOSTUNREACH, ECONNRESET") \
    X(connect_nores,   15, "EMFILE, ENFILE, EADDRNOTAVAIL") \
    X(send_pieces,     60, "the receiver gets a request in pieces, each after its own delay") \
    X(send_short,      15, "a send completes short") \
    X(send_fail,       15, "EPIPE, ECONNRESET, ENOBUFS, some bytes gone before") \
    X(send_stall,      10, "the receiver's window closes for good") \
    X(recv_small,      80, "an answer arrives in small pieces") \
    X(recv_hold,       40, "the rest of what has arrived is given in a later turn") \
    X(cancel_loses,    60, "the result overtakes the cancel") \
    X(cancel_late,     40, "a cancel takes its time") \
    X(close_late,      50, "a close takes up to a quarter of a second") \
    X(late_done,       30, "a completion is handed out a turn later than it could be") \
    X(read_slow,       30, "reading from a file takes up to 4 s") \
    X(write_slow,      30, "writing to a file takes up to 4 s") \
    X(read_short,      60, "a file or pipe gives less than was asked for") \
    X(write_short,     40, "a file takes less than was given") \
    X(disk_again,      20, "a file operation ends with EINTR or EAGAIN, nothing done") \
    X(stall,            5, "the process is not scheduled for up to 2 s") \
    X(oversleep,       50, "a sleep ends up to 5 ms late") \
    X(wall_jump,        3, "wall time jumps by up to an hour, either way") \
    X(dns_lost,        40, "a question to the DNS, or its answer, is lost") \
    X(dns_slow,        30, "the DNS takes up to 16 s") \
    X(dns_bad,         30, "SERVFAIL, REFUSED, nonsense, an answer cut short, no socket")
/* clang-format on */

#define KNOB_FIELD(name, most, text) uint32_t name;
struct knobs {
    KNOB_TABLE(KNOB_FIELD)
};
#undef KNOB_FIELD

struct world;
struct net_sim;
struct dns_sim;
struct disk;
struct truth;
struct io;

/* obj and arg as given to world_at(). */
typedef void world_fire_fn(struct world *w, void *obj, uint64_t arg);

struct world_event {
    uint64_t at_ns, sequence;
    world_fire_fn *fire;
    void *obj;
    uint64_t arg;
};

enum { WORLD_IOS_MAX = 8 };

struct world {
    uint64_t now_ns;  /* monotonic */
    uint64_t wall_ns; /* since 1970 at now_ns 0; knob wall_jump moves it */
    bool wall_jumped;
    uint64_t wall_jump_ns; /* how far, modulo 2^64 */
    uint64_t stalled_ns; /* time that passed while the process could not act */
    struct prng dice;
    struct knobs knobs;
    uint64_t trace;       /* hash of all that happened; equal for equal seeds */
    uint64_t completions; /* done() calls */
    struct world_event *heap;
    uint32_t events_count, events_room;
    uint64_t events_sequence;
    struct io *ios[WORLD_IOS_MAX]; /* open ones first */
    uint32_t ios_count;
    int io_open_error;      /* errno that one io_open() gives; 0: none */
    uint32_t io_opens_left; /* before that one */
    struct io *ios_closed;  /* owned: their memory stays until the end */
    struct net_sim *net;    /* owned */
    struct dns_sim *dns;    /* owned */
    struct disk *disk;      /* owned */
    struct truth *truth;    /* lent by the scenario; may be NULL (self test) */
};

extern struct world *world_current;

struct world *world_new(uint64_t seed);
/* Everything must be home: no io, no connection's socket, no descriptor. */
void world_free(struct world *w);

/* The engine's process is killed, as by SIGKILL: whatever it had open is gone. */
void world_crash(struct world *w);

/* Each knob off with 50 %, else up to its most. */
void world_draw_knobs(struct world *w);
void world_print_knobs(const struct world *w);

/* Fires at at_ns (or now, if that is past), in order of time and then of asking. */
void world_at(struct world *w, uint64_t at_ns, world_fire_fn *fire, void *obj, uint64_t arg);
/* Runs all events that are due by now. */
void world_run_due(struct world *w);
/* Time of the next event; UINT64_MAX when there is none. */
uint64_t world_next_ns(const struct world *w);
/* After a round of turns: moves the clock to the next event or the earliest wish of an io, a
 * little when some io asked not to wait. */
void world_advance(struct world *w);

static inline bool world_draw(struct world *w, uint32_t percent)
{
    return percent > 0 && prng_percent(&w->dice, percent);
}
static inline uint32_t world_below(struct world *w, uint32_t bound)
{
    return (uint32_t)prng_below(&w->dice, bound);
}
/* Mostly microseconds; with `tail` percent up to 2^tail_bits microseconds, each power of two as
 * likely as another. */
uint64_t world_latency_ns(struct world *w, uint32_t tail, uint32_t tail_bits);

/* Mixes into the trace hash, and prints when tracing. */
void world_trace(struct world *w, const char *what, uint64_t a, uint64_t b, uint64_t c);
void world_trace_bytes(struct world *w, const char *what, const void *bytes, size_t n);
extern bool world_trace_on;

/* The engine broke a rule: says which, then ends as a failed CHECK does (sim_send catches it). */
_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define RULE(cond, ...) \
    do { \
        if (__builtin_expect(!(cond), 0)) sim_fail(__VA_ARGS__); \
    } while (0)

/* Marks a place that some seed must reach, or the simulator does not test what it claims. */
struct probe {
    const char *text;
    uint64_t count;
} __attribute__((aligned(16)));
#define PROBE(words) \
    do { \
        static struct probe probe_ __attribute__((section("probes"), used)) = {words, 0}; \
        probe_.count++; \
    } while (0)
/* Calls fn for every PROBE in the program. */
void probe_each(void (*fn)(const struct probe *p));

#endif
