/* core/engine/names.h - what a shard knows of names and asks the DNS for; see names.c.
 * Thread: its shard's.
 */
#ifndef CORE_ENGINE_NAMES_H
#define CORE_ENGINE_NAMES_H

#include "core/net/dns.h"
#include "core/net/dns_cache.h"
#include "sched/wheel.h"

struct shard;

enum {
    NAMES_ENTRY_BYTES = 128, /* of one that is known, about */
    NAMES_BUCKETS = 512,
};

struct names {
    struct slab *slab;          /* owns: the cache's, so that it takes nothing from records */
    struct dns *dns;            /* owns */
    struct dns_cache cache;     /* owns */
    struct name_lookup *lookup; /* owns: plan.lookups of them */
    struct name_lookup *free;
    uint32_t touched;
    struct name_lookup *bucket[NAMES_BUCKETS]; /* under way, by name */
    uint64_t line_due_ns;
    struct lane *line_head, *line_tail; /* lanes whose questions have no room yet */
    struct wheel_node timer;            /* armed for dns_due_ns() */
};

/* Of one question under way. */
size_t names_lookup_bytes(void);

#endif
