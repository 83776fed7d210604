/* core/engine/config.h - everything a run can be told, already parsed and checked.
 *
 * Filled by tools/hookline/options.c (flags, environment, file, defaults) or by a test; read
 * only once the run has started, by all shards. Strings are borrowed for the time of the run.
 */
#ifndef CORE_ENGINE_CONFIG_H
#define CORE_ENGINE_CONFIG_H

#include "core/base/addr.h"
#include "core/journal/journal.h"
#include "core/net/policy.h"
#include "core/net/resolver.h"
#include "sched/backoff.h"
#include "sched/host.h"
#include "sched/limits.h"
#include "tls/tls.h"

#include <stdbool.h>
#include <stdint.h>

struct signer;
struct trace;

enum { CONFIG_REDACT_MAX = 32, CONFIG_SOURCE_IPS_MAX = 32, CONFIG_DNS_SERVERS_MAX = 8 };

struct config {
    /* input */
    const char *input_path;     /* "-": standard input */
    const char *input_name;     /* in messages; NULL: by its path */
    uint32_t rejects_shown_max; /* reasons that are printed to stderr; the rest is counted */
    uint32_t holds_shown_max;   /* likewise of hosts that are put on hold */
    uint32_t refused_shown_max; /* likewise of hosts that the egress policy refuses */
    bool strict;                /* the first reject stops the intake; exit status 3 */
    uint32_t record_bytes_max;  /* --max-record */
    uint32_t block_bytes;       /* input is read in blocks of this; 256 KiB, less in tests */
    const char *key_field;      /* NULL: "key" */
    const char *spool_folder;   /* for what waits of a pipe; "/var/tmp" */
    /* durable runs */
    const char *state_path;  /* --state: a folder; NULL: none is kept */
    enum journal_sync sync;  /* --sync */
    uint32_t inflight_slots; /* of each shard: attempts whose end is not on disk; less in tests */
    uint64_t compact_bytes;  /* what a journal grows by before it is compacted */
    uint64_t max_wait_ns;    /* --max-wait: stop when all that is left waits longer; 0: off */
    /* output; NULL: none; "-": standard output */
    const char *results_path, *dead_letters_path, *events_path, *rejects_path;
    const char *redact[CONFIG_REDACT_MAX]; /* header and JSON field names whose values are secret */
    uint32_t redact_count;
    /* speed */
    uint32_t shards;
    bool pin;                  /* one CPU for each shard */
    uint32_t connections;      /* for each shard */
    uint32_t host_connections; /* for each host, in the whole process */
    uint64_t memory_bytes;     /* for the whole process */
    uint32_t hosts_max;        /* in the shared table; more wait. 1,048,576, less in tests */
    /* pace */
    uint64_t rate_interval_ns;      /* --rate: between any two requests of the run; 0: no limit */
    uint64_t host_rate_interval_ns; /* --host-rate: of each host; 0: no limit */
    const struct limits *limits;    /* --limits; NULL: none */
    uint64_t max_hint_ns;           /* longest wait that a receiver is granted */
    /* retries and health */
    struct retry_rules retry;
    struct host_rules health;
    /* attempts */
    uint64_t timeout_ns, connect_timeout_ns, idle_timeout_ns, dns_timeout_ns, tls_timeout_ns;
    uint64_t turn_wait_ns; /* the longest sleep, so that a stop is seen: 50 ms, more in tests */
    /* network */
    const struct policy *policy;
    const struct resolver *resolver;
    const uint8_t *ports;                          /* NULL: all; else a bit for each */
    struct addr source_ips[CONFIG_SOURCE_IPS_MAX]; /* taken in turn; port 0 */
    uint32_t source_ips_count;
    struct addr dns_servers[CONFIG_DNS_SERVERS_MAX]; /* with their ports */
    uint32_t dns_servers_count;                      /* 0: those of /etc/resolv.conf */
    struct tls_rules tls; /* --ca-file and so on, read */
    const char *user_agent;
    bool idempotency_key;
    const struct signer *signer; /* NULL: requests are not signed */
    uint64_t run_id; /* part of derived ids */
    struct trace *trace; /* of a run of one record, sent now; NULL: none */
};

/* The defaults of cli.md; no input, no outputs, no policy. */
void config_defaults(struct config *c);

#endif
