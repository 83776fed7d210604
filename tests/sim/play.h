/* tests/sim/play.h - a fixed scenario: receivers, records and a configuration as one rule of
 * delivery.md needs them, and what happened, to be looked at.
 *
 * A play is written as: play_new(), change config, play_host(), play_record(), play_at(),
 * play_run(); then sends() and told() say what reached the receivers and what the results say.
 * Nothing fails that the play does not let fail, and the network takes microseconds, so that times
 * can be demanded exactly. Times are seconds since the play began. One play exists at a time.
 */
#ifndef TESTS_SIM_PLAY_H
#define TESTS_SIM_PLAY_H

#include "core/engine/config.h"
#include "core/engine/run.h"
#include "tests/sim/disk_sim.h"
#include "tests/sim/dns_sim.h"
#include "tests/sim/truth.h"

#define SECOND UINT64_C(1000000000)
#define MILLI  UINT64_C(1000000)

struct play;

/* What a receiver says to a request: *r is 200 without fields when it is called. */
typedef void play_answer_fn(struct play *p, const struct truth_send *e, struct truth_reply *r);
typedef void play_event_fn(struct play *p);

/* How a record ended, as the results file says. */
struct play_told {
    bool ended;
    char outcome[16];
    char error[32]; /* "": null */
    uint64_t attempts, status;
    double finished, first; /* seconds; first -1: no attempt began */
    double total;
};

struct play_event {
    double at;
    play_event_fn *fn;
};

enum { PLAY_EVENTS_MAX = 512, PLAY_CRASHES_MAX = 16 };

struct play {
    struct world *world;
    struct truth truth;
    struct config config;
    struct policy policy;
    play_answer_fn *answer;         /* NULL: 200 at once */
    double delay;                   /* of every answer, in seconds */
    bool pipe;                      /* the input is a pipe */
    double crash[PLAY_CRASHES_MAX]; /* when the process is killed and begun anew; 0: no more */
    uint32_t crashes;               /* so far */
    play_event_fn
        *failed;       /* the run ended because of its files: puts that right; NULL: it must not */
    uint32_t failures; /* so far */
    uint64_t start_ns, start_wall_ns;
    double lasted;
    struct run_stats stats; /* at the end; while it runs, of the last round */
    struct run *run;        /* while it runs */
    int state[8];           /* the scenario's own */
    double number[8];
    struct play_told *told; /* one for each line */
    uint32_t told_room;
    char *text; /* the input */
    size_t text_len, text_room;
    struct resolver *resolver;
    struct play_event event[PLAY_EVENTS_MAX];
    uint32_t events;
    struct file *events_file, *results_file;
};

/* shards are drawn from the seed: 1 to 3. */
struct play *play_new(uint64_t seed);
void play_free(struct play *p);
/* Adds a receiver and returns its index, from 0. */
uint32_t play_host(struct play *p);
/* Adds one whose host is a name, with that many addresses; what the DNS says of it may be changed
 * in *name, which is all of them for 60 s as it comes. */
uint32_t play_named(struct play *p, uint32_t addrs, struct dns_name **name);
/* Adds a record to that receiver; more: further members of its JSON object, each after a comma, or
 * "". Returns its line. */
uint32_t play_record(struct play *p, uint32_t host, const char *more);
uint32_t play_keyed(struct play *p, uint32_t host, const char *key);
void play_at(struct play *p, double at, play_event_fn *fn);
/* RFC 3339, UTC, of that time on the world's clock as it is now. */
const char *play_stamp(const struct play *p, double at);
/* Until the run ends by itself; RULE: within that many virtual seconds. */
void play_run(struct play *p, double within);

double play_now(const struct play *p);
/* Of a time on the world's clock. */
double play_s(const struct play *p, uint64_t ns);

/* Requests, in the order in which they were begun, of one host. */
uint32_t play_sends(const struct play *p, uint32_t host, const struct truth_send **out,
                    uint32_t max);
/* Begun in [from, to). key: 0 to n, or PLAY_ANY. */
enum { PLAY_ANY = UINT32_MAX };
uint32_t play_count(const struct play *p, uint32_t host, uint32_t key, double from, double to);
const struct truth_line *play_line(const struct play *p, uint32_t line);
const struct play_told *play_told(const struct play *p, uint32_t line);
uint32_t play_outcomes(const struct play *p, const char *outcome);
/* Between attempt k and the one before it, from the end of its answer to the start; k from 2. */
double play_gap(const struct play *p, uint32_t line, uint32_t k);
/* RULE: of these starts, sorted, no more than 1 + (T + tolerance) / interval lie in any T. */
void play_rate_check(const struct play *p, uint32_t host, double interval, const char *what);

/* A limits file. */
const struct limits *play_limits(const char *text);

#endif
