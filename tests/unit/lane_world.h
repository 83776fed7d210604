/* tests/unit/lane_world.h - what the tests of lanes stand on: a slab, a wheel, a resolver, the
 * shared tables of hosts and paces, and the lanes of one shard over them.
 */
#ifndef TESTS_UNIT_LANE_WORLD_H
#define TESTS_UNIT_LANE_WORLD_H

#include "core/engine/lane.h"
#include "tests/unit/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)

enum { CONNS_MAX = 3 /* for each host */ };

static struct {
    struct slab *slab;
    struct resolver *resolver;
    struct wheel wheel;
    struct host_windows *windows;
    struct lane_rules rules;
    struct lanes lanes;
    uint64_t now_ns;
} w;

/* hosts: how many the shared table has room for, rounded up to a group. */
static void world_open(size_t slab_bytes, uint32_t hosts)
{
    struct host_rules rules;
    host_rules_defaults(&rules);
    memset(&w, 0, sizeof w);
    w.now_ns = 3600 * SECOND_NS;
    w.slab = slab_new(slab_bytes);
    w.resolver = resolver_new();
    w.windows = host_windows_new(16, &rules);
    wheel_init(&w.wheel, w.now_ns);
    const struct shared_table_ops of_hosts = {
        .init = host_init, .evictable = host_evictable, .forget = host_forget, .ctx = w.windows};
    const struct shared_table_ops of_paces = {.init = pace_init, .evictable = pace_evictable};
    w.rules = (struct lane_rules){.hosts = shared_table_new(hosts, &of_hosts),
                                  .paces = shared_table_new(1024, &of_paces),
                                  .conns_max = CONNS_MAX};
    cr_assert(w.slab && w.resolver && w.windows && w.rules.hosts && w.rules.paces);
    cr_assert(lanes_open(&w.lanes, w.slab, &w.wheel, &w.rules));
}

/* With room enough. */
__attribute__((unused)) static void world_begin(void) { world_open(16 << 20, 16384); }

/* CHECKs on its way that every lane, flow and timer was given back. */
static void world_close(void)
{
    lanes_close(&w.lanes, w.now_ns);
    cr_assert_eq(w.wheel.count, 0, "a timer of what is no more");
    slab_free(w.slab);
    resolver_free(w.resolver);
    shared_table_free(w.rules.hosts);
    shared_table_free(w.rules.paces);
    host_windows_free(w.windows);
}

__attribute__((unused)) static enum lane_found
find_in(struct lanes *t, const char *text, const struct policy *policy, struct lane **out)
{
    struct url url;
    size_t at;
    enum url_error e = url_parse(span_of(text, strlen(text)), &url, &at);
    MUST(e == URL_OK, "%s: %s", text, url_error_text(e));
    return lanes_find(t, &url, w.resolver, policy, w.now_ns, out);
}

__attribute__((unused)) static struct lane *find(const char *text)
{
    struct lane *l = NULL;
    enum lane_found found = find_in(&w.lanes, text, NULL, &l);
    MUST(found == LANE_FOUND, "%s: %d", text, (int)found);
    return l;
}

/* The lane of host n; NULL: wait for memory. */
__attribute__((unused)) static struct lane *try_number(uint32_t n)
{
    char text[64];
    struct lane *l = NULL;
    snprintf(text, sizeof text, "http://10.%u.%u.%u/", n >> 16 & 255, n >> 8 & 255, n & 255);
    return find_in(&w.lanes, text, NULL, &l) == LANE_FOUND ? l : NULL;
}

__attribute__((unused)) static struct lane *find_number(uint32_t n)
{
    struct lane *l = try_number(n);
    MUST(l != NULL, "host %u", n);
    return l;
}

__attribute__((unused)) static struct flow *flow_of(struct lane *l, uint64_t key)
{
    struct flow *f = lanes_flow(&w.lanes, l, key, w.now_ns);
    MUST(f != NULL, "key %lu", key);
    return f;
}

/* A delivery of that flow, in its queue. */
__attribute__((unused)) static struct delivery *push_new(struct flow *f, enum flow_kind kind)
{
    struct delivery *d = calloc(1, sizeof *d);
    MUST(d != NULL, "memory");
    d->flow = f;
    flow_push(&w.lanes, f, kind, d);
    return d;
}

/* The first of that queue is no more, and its flow perhaps neither. */
__attribute__((unused)) static void pop_old(struct flow *f, enum flow_kind kind)
{
    struct delivery *d = flow_pop(&w.lanes, f, kind);
    flow_settle(&w.lanes, f, w.now_ns);
    free(d);
}

#endif
