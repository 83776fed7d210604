/* tests/sim/scene.h - one seed's scenario: receivers, an input, a configuration, and when to stop.
 *
 * Everything is drawn from the world's dice. What the engine will be told goes into config and the
 * virtual disk; what is true about it goes into truth.
 */
#ifndef TESTS_SIM_SCENE_H
#define TESTS_SIM_SCENE_H

#include "core/engine/config.h"
#include "core/engine/run.h"
#include "tests/sim/disk_sim.h"
#include "tests/sim/receiver_sim.h"
#include "tests/sim/truth.h"

struct scene {
    struct world *world;
    bool slow_files; /* at first: the knobs are turned back when all is well */
    struct truth truth;
    struct config config;
    struct policy policy;
    struct resolver *resolver;                                      /* owned */
    struct signer *signer;                                          /* owned; NULL: none */
    struct file *input, *results, *dead_letters, *events, *rejects; /* NULL: not asked for */
    uint32_t valid, rejected, blank;                                /* lines of each kind */
    bool disk_fails;  /* an output file has a fault that the engine may meet */
    bool input_fails; /* so has the input */
    bool open_fails;  /* a file cannot be opened */
    bool crowd;       /* many more records and hosts than the engine can hold at once */
    bool tight;       /* as little memory as run_open() takes */
    bool fair;        /* fair weather: no fault, and receivers that answer well and soon */
    /* Scheduling: retries, quotas, outages; at heal_ns all is well. */
    bool sched;
    bool calm; /* sched, and only receivers make trouble: what they saw is all there was */
    uint64_t heal_ns;
    struct receivers receivers;
    struct limits *limits;                    /* owned; NULL: none */
    uint64_t host_interval_ns[NET_HOSTS_MAX]; /* between requests; 0: no limit */
    bool hints;                               /* answers may have hints */
    uint64_t virtual_ns_max;                  /* how long the run may take */
    uint64_t input_changes_ns;                /* UINT64_MAX: never */
    bool input_changed;
    const char *text; /* of the input, before it changed */
    /* The operator: from these times on; UINT64_MAX: never. */
    uint64_t drain_at_ns, now_at_ns;
};

/* Makes the scenario of the world's seed. */
struct scene *scene_new(struct world *w);
void scene_free(struct scene *s);
void scene_print(const struct scene *s);

/* ---- for scene_sched.c and scene_lines.c ---- */
/* A host as records name it. */
struct scene_host {
    char name[48]; /* as it stands in a URL */
    uint16_t port;
    bool port_is_default;
};
/* What is said of it in config, before and after the hosts are known. */
void scene_sched_config(struct scene *s);
void scene_sched_hosts(struct scene *s, const struct scene_host *hosts, uint32_t hosts_count);
void scene_sched_print(const struct scene *s);
/* Draws the input's lines into text (owned by the caller), and the truth about each. */
void scene_lines(struct scene *s, const struct scene_host *hosts, uint32_t hosts_count, char *text,
                 size_t room, size_t *len);

#endif
