/* tests/unit/test_lane.c - goal: one host is one lane and one key one flow, each with what is its
 * own and with what all shards share of it; turns are fair; what waits anywhere keeps its lane and
 * its flow; memory and the tables of hosts may be full at any time, which means "wait" and no more.
 *
 * Method: chosen cases, each with the numbers that decide it; a second struct lanes over the same
 * shared tables stands for a second shard. Mistakes must stop the process, and faults planted in
 * the structures must be seen. Random operations are in test_lane_flows.c.
 */
#include "core/engine/lane.h"

#include "tests/unit/lane_world.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <signal.h>

TestSuite(lane, .init = world_begin);

/* ---- sizes -------------------------------------------------------------------------------- */

/* A host with one address and a name of usual length, with what the slab rounds up; a key; and the
 * shared entries. */
Test(lane, sizes)
{
    static const char name[] = "hooks.customer.example:65535";
    size_t lane = sizeof(struct lane) + places_bytes(1);
    size_t named = sizeof(struct lane) + sizeof(struct naming) + sizeof name - 1;
    printf("bytes: lane %zu, with an address %zu, of a name for the DNS %zu with it, flow %zu, "
           "host %zu, pace %zu\n",
           sizeof(struct lane), lane, named, sizeof(struct flow), sizeof(struct host),
           sizeof(struct pace));
    cr_assert_leq(lane, 256);
    cr_assert_leq(named, 384, "one class of the slab up");
    cr_assert_leq(sizeof(struct flow), 256);
    cr_assert_eq(sizeof(struct host), 128);
    cr_assert_eq(sizeof(struct pace), 128);
    world_close();
}

/* ---- turns -------------------------------------------------------------------------------- */

/* Queues of very different length: while two lanes are ready, neither is served twice in a row
 * before the other; and all are served. */
Test(lane, each_in_its_turn)
{
    enum { LANES = 7 };
    static const uint32_t lengths[LANES] = {1, 500, 3, 40, 1, 200, 2};
    struct lane *l[LANES], *next;
    uint32_t served[LANES] = {0}, total = 0;
    for (uint32_t i = 0; i < LANES; i++) {
        l[i] = find_number(i);
        for (uint32_t n = 0; n < lengths[i]; n++) (void)push_new(l[i]->own, FLOW_FIRST);
    }
    while ((next = lanes_next_ready(&w.lanes)) != NULL) {
        uint32_t i = 0;
        while (l[i] != next) i++;
        pop_old(next->own, FLOW_FIRST);
        lane_update(&w.lanes, next);
        served[i]++;
        total++;
        for (uint32_t k = 0; k < LANES; k++)
            MUST(served[k] == lengths[k] || served[k] + 1 >= served[i], "%u waits for %u", k, i);
    }
    cr_assert_eq(total, 1 + 500 + 3 + 40 + 1 + 200 + 2);
    world_close();
}

/* A lane that is blocked, or whose flows all are, is on no list, however much waits; it is back
 * with the first reason to be. */
Test(lane, who_must_wait_costs_nothing)
{
    struct lane *l = find_number(0);
    struct flow *f = flow_of(l, 1);
    (void)push_new(l->own, FLOW_FIRST);
    (void)push_new(f, FLOW_FIRST);
    flow_block(&w.lanes, l->own);
    cr_assert_eq(l->ring, f, "the other flow goes on");
    cr_assert_eq(lanes_next_ready(&w.lanes), l);
    flow_block(&w.lanes, f);
    lane_update(&w.lanes, l);
    cr_assert_null(lanes_next_ready(&w.lanes));
    cr_assert_null(l->ring);
    cr_assert_not(l->unused);
    flow_wake(&w.lanes, f);
    l->blocked = true;
    cr_assert_null(lanes_next_ready(&w.lanes));
    lane_update(&w.lanes, l);
    cr_assert_null(lanes_next_ready(&w.lanes));
    cr_assert_not(l->unused);
    l->blocked = false;
    lane_update(&w.lanes, l);
    cr_assert_eq(lanes_next_ready(&w.lanes), l);
    flow_wake(&w.lanes, l->own);
    pop_old(f, FLOW_FIRST);
    pop_old(l->own, FLOW_FIRST);
    cr_assert_null(lanes_next_ready(&w.lanes));
    cr_assert(l->unused);
    world_close();
}

/* ---- what is in use ----------------------------------------------------------------------- */

static void stays(struct lane *l, const char *why)
{
    lane_update(&w.lanes, l);
    cr_expect_not(l->unused, "%s", why);
    cr_expect_not(lanes_evict(&w.lanes, NULL, w.now_ns), "%s", why);
}

/* Each single thing that a lane may be needed for, and nothing else, keeps it. */
Test(lane, in_use_for_each_reason)
{
    struct lane *l = find_number(0);
    struct flow *own = l->own;
    stays((l->queued = 1, l), "queued"), l->queued = 0;
    stays((l->parked = 1, l), "parked"), l->parked = 0;
    stays((l->conns = 1, l), "a connection"), l->conns = 0;
    stays((l->in_flight = l->permits = 1, l), "in flight"), l->in_flight = l->permits = 0;
    stays((l->dirty = true, l), "counts for its host"), l->dirty = false;
    stays((own->untold = 1, l), "a delivery that is to be told"), own->untold = 0;
    stays((own->delayed = 1, l), "one that waits for its time"), own->delayed = 0;
    stays((own->in_flight = 1, l), "an attempt"), own->in_flight = 0;
    stays((own->in_recall = true, l), "to be read"), own->in_recall = false;
    stays((own->queue[FLOW_RETRY].first = 1, l), "told, not freed");
    own->queue[FLOW_RETRY].first = 0;
    struct flow *f = flow_of(l, 1);
    stays(l, "a key");
    flow_settle(&w.lanes, f, w.now_ns);
    cr_assert(l->unused);
    lanes_validate(&w.lanes);
    cr_assert(lanes_evict(&w.lanes, NULL, w.now_ns));
    cr_assert_eq(w.lanes.count, 0);
    world_close();
}

/* What a forgotten lane had of its host goes back to it. */
Test(lane, permits_and_references_are_given_back)
{
    struct lane *l = find_number(0);
    struct host *h = l->host;
    struct host_holder who = {.shard = 0, .held = 0, .max = CONNS_MAX};
    l->permits = host_permits_take(h, &who, 100, w.now_ns);
    cr_assert_eq(l->permits, CONNS_MAX);
    who.shard = 1;
    cr_assert_eq(host_permits_take(h, &who, 1, w.now_ns), 0);
    cr_assert(host_conn_take(h, 1));
    lane_conn_added(&w.lanes, l);
    cr_assert_not(lanes_evict(&w.lanes, NULL, w.now_ns));
    lane_conn_gone(&w.lanes, l);
    cr_assert(host_conn_take(h, 1), "the connection is given back");
    host_conn_give(h);
    wheel_arm(&w.wheel, &l->timer, w.now_ns + SECOND_NS);
    cr_assert_eq(h->entry.refs, 1);
    cr_assert(lanes_evict(&w.lanes, NULL, w.now_ns));
    cr_assert_eq(h->entry.refs, 0);
    cr_assert_eq(w.wheel.count, 0);
    cr_assert_eq(host_permits_take(h, &who, 100, w.now_ns), CONNS_MAX);
    world_close();
}

/* ---- names and addresses ------------------------------------------------------------------ */

static const struct {
    const char *url, *name;
} names[] = {
    {"http://localhost/", "localhost:80"},
    {"http://LocalHost:80/a/b?c", "localhost:80"},
    {"http://user:pass@LOCALHOST/", "localhost:80"},
    {"https://localhost/", "localhost:443"},
    {"http://localhost:8080/", "localhost:8080"},
    {"http://A-z.9.localhost:65535/", "a-z.9.localhost:65535"},
    {"http://127.0.0.1/", "127.0.0.1:80"},
    {"http://127.0.0.1:1/", "127.0.0.1:1"},
    {"http://255.255.255.255:65535/", "255.255.255.255:65535"},
    {"http://[::1]/", "[::1]:80"},
    {"http://[0:0:0:0:0:0:0:1]:80/", "[::1]:80"},
    {"http://[2001:DB8::0:1]:8080/", "[2001:db8::1]:8080"},
    {"http://[1111:2222:3333:4444:5555:6666:7777:8888]:65535/",
     "[1111:2222:3333:4444:5555:6666:7777:8888]:65535"},
};

Test(lane, names_are_canonical)
{
    enum { COUNT = sizeof names / sizeof names[0] };
    struct lane *found[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        found[i] = find(names[i].url);
        struct span name = lane_name(found[i]);
        cr_expect(span_eq(name, span_of(names[i].name, strlen(names[i].name))), "%s is %.*s",
                  names[i].url, (int)name.len, name.ptr);
        for (size_t k = 0; k < i; k++)
            cr_expect_eq(found[k] == found[i], strcmp(names[k].name, names[i].name) == 0,
                         "%s and %s", names[k].url, names[i].url);
    }
    lanes_validate(&w.lanes);
    world_close();
}

/* The longest host that a URL may have, of labels of up to 63 bytes. */
Test(lane, the_longest_name)
{
    enum { HOST_BYTES = 253, BELOW = HOST_BYTES - sizeof "localhost" };
    char url[320] = "http://", name[300];
    for (size_t i = 0; i < BELOW; i++) url[7 + i] = i % 64 == 63 ? '.' : 'X';
    snprintf(url + 7 + BELOW, sizeof url - 7 - BELOW, ".localhost:65535/");
    snprintf(name, sizeof name, "%.*s", HOST_BYTES + 6, url + 7);
    for (char *c = name; *c != 0; c++) *c = *c == 'X' ? 'x' : *c;
    struct lane *l = find(url);
    struct span got = lane_name(l);
    cr_assert(span_eq(got, span_of(name, strlen(name))), "%.*s", (int)got.len, got.ptr);
    cr_assert_eq(find(url), l);
    world_close();
}

static void net_add(struct net *to, uint32_t *count, const char *text)
{
    cr_assert(net_parse(text, &to[*count]));
    (*count)++;
}

/* Those that the policy lets through, in their order; a rule is named only if none is left. */
Test(lane, addresses_are_vetted)
{
    struct policy policy = {0};
    struct lane *l;
    char text[ADDR_TEXT_BYTES];
    net_add(policy.allow, &policy.allow_count, "10.0.0.0/8");
    net_add(policy.deny, &policy.deny_count, "10.9.0.0/16");
    cr_assert_null(resolver_add(w.resolver, "mixed.test:80:127.0.0.1,10.0.0.1,10.9.0.1,10.0.0.2"));
    cr_assert_null(resolver_add(w.resolver, "bad.test:80:10.9.0.1,127.0.0.1"));
    cr_assert_eq(find_in(&w.lanes, "http://mixed.test/", &policy, &l), LANE_FOUND);
    cr_assert_not_null(l->places);
    cr_assert_eq(l->places->count, 2);
    cr_assert_null(l->refused);
    addr_text(&l->places->at[0].addr, text);
    cr_expect_str_eq(text, "10.0.0.1:80");
    addr_text(&l->places->at[1].addr, text);
    cr_expect_str_eq(text, "10.0.0.2:80");
    cr_assert_eq(find_in(&w.lanes, "http://bad.test/", &policy, &l), LANE_FOUND);
    cr_expect_null(l->places);
    cr_expect_str_eq(l->refused, "--deny-net");
    addr_text(lane_refused_addr(l), text);
    cr_expect_str_eq(text, "10.9.0.1:80");
    cr_assert_eq(find_in(&w.lanes, "http://[::1]/", &policy, &l), LANE_FOUND);
    cr_expect_not_null(strstr(l->refused, "::1/128"), "%s", l->refused);
    cr_assert_eq(find_in(&w.lanes, "http://mixed.test:81/", &policy, &l), LANE_FOUND);
    cr_expect(l->by_name, "it needs the DNS");
    cr_expect_null(l->places);
    cr_expect_null(l->refused);
    world_close();
}

/* What the DNS says is vetted like anything else, gets the lane's port, and replaces what it said
 * before; what is known of addresses that stay is kept. */
Test(lane, addresses_by_name)
{
    struct policy policy = {0};
    struct lane *l;
    char text[ADDR_TEXT_BYTES];
    struct addr said[5];
    memset(said, 0, sizeof said);
    net_add(policy.allow, &policy.allow_count, "10.0.0.0/8");
    for (int i = 0; i < 4; i++) {
        said[i].v4.sin_family = AF_INET;
        said[i].v4.sin_addr.s_addr = htonl((i < 2 ? 0x7f000001 : 0x0a000000) + (uint32_t)i);
    }
    said[4].v6.sin6_family = AF_INET6;
    said[4].v6.sin6_addr.s6_addr[0] = 0x2a;
    cr_assert_eq(find_in(&w.lanes, "http://hook.example:8080/", &policy, &l), LANE_FOUND);
    lane_places_set(&w.lanes, l, &policy, said, 5, 1);
    cr_assert_null(l->refused);
    cr_assert_not_null(l->places);
    cr_assert_eq(l->places->count, 3);
    addr_text(&l->places->at[0].addr, text);
    cr_expect_str_eq(text, "[2a00::]:8080");
    addr_text(&l->places->at[1].addr, text);
    cr_expect_str_eq(text, "10.0.0.2:8080");
    l->places->at[1].failed_ns = 77;
    lane_places_set(&w.lanes, l, &policy, said + 2, 1, 1);
    cr_assert_eq(l->places->count, 1);
    cr_expect_eq(l->places->at[0].failed_ns, 77);
    lane_places_set(&w.lanes, l, &policy, said + 2, 1, 1); /* in the same place */
    cr_expect_eq(l->places->at[0].failed_ns, 77);
    lane_places_set(&w.lanes, l, &policy, said, 2, 1);
    cr_expect_null(l->places, "what was allowed before is of no use now");
    cr_expect_not_null(strstr(l->refused, "127.0.0.0/8"), "%s", l->refused);
    addr_text(lane_refused_addr(l), text);
    cr_expect_str_eq(text, "127.0.0.1:8080");
    lane_places_set(&w.lanes, l, &policy, said, 5, 1);
    cr_expect_null(l->refused);
    lane_places_drop(&w.lanes, l);
    cr_expect_null(l->places);
    world_close();
}

/* ---- what the shards share ---------------------------------------------------------------- */

/* The operator's limits: the tightest of the run's own and the host's line. */
Test(lane, limits_of_single_hosts)
{
    static const char text[] = "10.0.0.1 rate=100/s connections=2\n"
                               "10.0.0.2:81 rate=1/s\n"
                               "10.0.0.3 rate=1000000/s connections=9\n"
                               "[2001:db8::1] connections=1\n"
                               "*.localhost connections=2\n";
    static const struct {
        const char *url;
        uint32_t conns;
        uint64_t interval_ns;
    } rows[] = {
        {"http://10.0.0.1/", 2, SECOND_NS / 100},
        {"http://10.0.0.1:99/", 2, SECOND_NS / 100},
        {"http://10.0.0.2/", CONNS_MAX, SECOND_NS / 1000},
        {"http://10.0.0.2:81/", CONNS_MAX, SECOND_NS},
        {"http://10.0.0.3/", CONNS_MAX, SECOND_NS / 1000}, /* the run's are tighter */
        {"http://[2001:DB8:0::1]/", 1, SECOND_NS / 1000},
        {"http://A.LocalHost/", 2, SECOND_NS / 1000},
        {"http://localhost/", CONNS_MAX, SECOND_NS / 1000},
    };
    struct limits_error why;
    struct limits *limits = limits_parse(span_of(text, sizeof text - 1), &why);
    cr_assert_not_null(limits, "%u:%u: %s", why.line, why.column, why.text);
    w.lanes.rules.limits = limits;
    w.lanes.rules.interval_ns = SECOND_NS / 1000;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct lane *l = find(rows[i].url);
        cr_expect_eq(l->conns_max, rows[i].conns, "%s: %u", rows[i].url, l->conns_max);
        cr_expect_eq(l->interval_ns, rows[i].interval_ns, "%s: %" PRIu64, rows[i].url,
                     l->interval_ns);
    }
    limits_free(limits);
    world_close();
}

/* Two shards have a lane each for a host and a flow each for its key: what is known of the host
 * and how fast its key may be sent to is in one place, made by either, seen by both. */
Test(lane, a_second_shard_sees_the_same)
{
    struct lanes other;
    struct lane *a = find_number(1), *b, *far = find_number(2);
    cr_assert(lanes_open(&other, w.slab, &w.wheel, &w.rules));
    cr_assert_eq(find_in(&other, "http://10.0.0.1/", NULL, &b), LANE_FOUND);
    cr_assert_neq(a, b);
    cr_assert_eq(a->host, b->host);
    cr_assert_eq(a->host->entry.refs, 2);
    struct flow *fa = flow_of(a, 5), *fb = lanes_flow(&other, b, 5, w.now_ns);
    lane_paces_look(&other, b, fb);
    cr_assert_null(fb->pace, "nobody said anything");
    struct pace *key = lane_pace_make(&w.lanes, a, fa, w.now_ns);
    cr_assert_not_null(key);
    cr_assert_eq(lane_pace_make(&w.lanes, a, fa, w.now_ns), key, "made once");
    lane_paces_look(&other, b, fb);
    lane_paces_look(&other, b, b->own);
    cr_expect_eq(fb->pace, key);
    cr_expect_null(b->pace);
    cr_expect_null(b->own->pace);
    struct pace *all = lane_pace_make(&other, b, NULL, w.now_ns);
    struct pace *own = lane_pace_make(&other, b, b->own, w.now_ns);
    cr_assert(all != NULL && own != NULL && all != own && all != key && own != key);
    lane_paces_look(&w.lanes, a, fa);
    lane_paces_look(&w.lanes, a, a->own);
    cr_expect_eq(a->pace, all);
    cr_expect_eq(a->own->pace, own);
    cr_expect_eq(fa->pace, key);
    struct flow *stranger = flow_of(far, 5);
    lane_paces_look(&w.lanes, far, stranger);
    cr_expect(far->pace == NULL && stranger->pace == NULL, "the same key of another host");
    struct pace *theirs = lane_pace_make(&w.lanes, far, stranger, w.now_ns);
    cr_assert(theirs != NULL && theirs != key && theirs != own && theirs != all);
    cr_expect_eq(key->entry.refs, 2);
    flow_settle(&w.lanes, stranger, w.now_ns);
    flow_settle(&w.lanes, fa, w.now_ns);
    cr_expect_eq(key->entry.refs, 1);
    flow_settle(&other, fb, w.now_ns);
    lanes_close(&other, w.now_ns);
    cr_expect_eq(a->host->entry.refs, 1);
    cr_expect_eq(all->entry.refs, 1);
    while (lanes_evict(&w.lanes, NULL, w.now_ns)) {}
    cr_expect_eq(key->entry.refs + all->entry.refs + own->entry.refs, 0);
    world_close();
}

/* A hold outlives the flow and the lane that heard of it: made anew, they find it. */
Test(lane, a_pace_outlives_its_flow)
{
    struct lane *l = find_number(0);
    struct flow *f = flow_of(l, 3);
    uint64_t until_ns = w.now_ns + 100 * SECOND_NS, again_ns = 0;
    struct pace *p = lane_pace_make(&w.lanes, l, f, w.now_ns);
    cr_assert_not_null(p);
    pace_hold(p, until_ns);
    f->waiting_told = 4;
    p->waiting = 6; /* two of them in another shard */
    flow_settle(&w.lanes, f, w.now_ns);
    cr_expect_eq(p->waiting, 2, "what waited here waits no more");
    cr_assert(lanes_evict(&w.lanes, NULL, w.now_ns));
    l = find_number(0);
    f = flow_of(l, 3);
    cr_assert_null(f->pace);
    lane_paces_look(&w.lanes, l, f);
    cr_assert_eq(f->pace, p);
    cr_assert_eq(pace_take(f->pace, w.now_ns, 1, &again_ns), 0);
    cr_assert_eq(again_ns, until_ns);
    flow_settle(&w.lanes, f, w.now_ns);
    world_close();
}

/* Looking costs a search only after somebody has made a pace for one of the host's keys. */
Test(lane, paces_are_looked_for_once)
{
    struct lane *l = find_number(0);
    struct flow *f = flow_of(l, 3), *g = flow_of(l, 4);
    (void)lane_pace_make(&w.lanes, l, f, w.now_ns);
    cr_assert_eq(l->host->paces, 1);
    lane_paces_look(&w.lanes, l, g);
    cr_assert_null(g->pace);
    (void)lane_pace_make(&w.lanes, l, g, w.now_ns);
    shared_table_unref(w.rules.paces, g->pace, w.now_ns);
    g->pace = NULL; /* behind its back: nothing new was made since it looked */
    g->paces_seen = l->host->paces;
    lane_paces_look(&w.lanes, l, g);
    cr_assert_null(g->pace);
    l->host->paces++;
    lane_paces_look(&w.lanes, l, g);
    cr_assert_not_null(g->pace);
    flow_settle(&w.lanes, f, w.now_ns);
    flow_settle(&w.lanes, g, w.now_ns);
    world_close();
}

/* ---- many and too many -------------------------------------------------------------------- */

/* The table grows and is thinned out; each lane is found where it was. */
Test(lane, many_hosts)
{
    enum { MANY = 5000 };
    static struct lane *all[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        all[i] = find_number(i);
        if (i % 3 == 0) (void)push_new(all[i]->own, FLOW_FIRST);
    }
    lanes_validate(&w.lanes);
    for (uint32_t i = 0; i < MANY; i++) MUST(find_number(i) == all[i], "host %u", i);
    for (uint32_t i = 0; i < 3000; i++) MUST(lanes_evict(&w.lanes, NULL, w.now_ns), "no %u", i);
    lanes_validate(&w.lanes);
    cr_assert_eq(w.lanes.count, MANY - 3000);
    for (uint32_t i = 0; i < MANY; i += 3) {
        MUST(find_number(i) == all[i], "host %u was in use", i);
        pop_old(all[i]->own, FLOW_FIRST);
    }
    while (lanes_next_ready(&w.lanes) != NULL) MUST(false, "nothing is ready");
    world_close();
}

static void small_world(uint32_t pages, uint32_t hosts)
{
    world_close();
    world_open(pages * SLAB_PAGE_BYTES, hosts);
}

/* A full slab: unused lanes make room, used ones do not, and "wait" changes nothing. */
Test(lane, no_memory)
{
    small_world(2, 16384);
    uint32_t n = 0, used = 0;
    while (n < 1000) (void)find_number(n++); /* far more than fit: the oldest go */
    cr_assert_lt(w.lanes.count, 1000);
    cr_assert_gt(w.lanes.count, 50);
    for (; n < 3000; n++) {
        struct lane *l = try_number(n);
        if (l == NULL) break;
        lane_conn_added(&w.lanes, l);
        l->host->conns++;
        used++;
    }
    cr_assert_eq(w.lanes.count, used);
    cr_assert_lt(n, 3000);
    lanes_validate(&w.lanes);
    cr_assert_null(try_number(5000));
    cr_assert_eq(w.lanes.count, used);
    cr_assert_not(lanes_evict(&w.lanes, NULL, w.now_ns));
    lanes_validate(&w.lanes);
    for (uint32_t i = 0; i < w.lanes.slots; i++)
        if (w.lanes.slot[i] != NULL) lane_conn_gone(&w.lanes, w.lanes.slot[i]);
    cr_assert_not_null(try_number(5000));
    world_close();
}

/* Keys are many where lanes lie unused: those go, but not the one that the key is for. */
Test(lane, no_memory_for_a_key)
{
    small_world(2, 16384);
    uint32_t n = 0, keys = 0;
    while (n < 1000) (void)find_number(n++);
    struct lane *l = find_number(n);
    struct flow *f = NULL;
    while (keys < 3000 && (f = lanes_flow(&w.lanes, l, keys + 1, w.now_ns)) != NULL) keys++;
    cr_assert_null(f);
    cr_assert_gt(keys, 200, "%u keys only", keys);
    cr_assert_eq(w.lanes.count, 1, "unused ones went first");
    cr_assert_eq(find_number(n), l);
    lanes_validate(&w.lanes);
    for (uint32_t k = 1; k <= keys; k++) flow_settle(&w.lanes, flow_of(l, k), w.now_ns);
    cr_assert(l->unused);
    static void *all[3000];
    uint32_t count = 0;
    while (count < 3000 && (all[count] = slab_take(w.slab, sizeof *f)) != NULL) count++;
    cr_assert_null(lanes_flow(&w.lanes, l, 1, w.now_ns));
    cr_assert_eq(find_number(n), l, "the key's own lane went");
    while (count > 0) slab_give(w.slab, all[--count], sizeof *f);
    world_close();
}

/* A lane refers to its host's entry in the shared table: where that is full, unused ones let go. */
Test(lane, no_entry_for_a_host)
{
    enum { TABLE = 256 };
    small_world(64, TABLE / 4);
    uint32_t used = 0;
    for (uint32_t n = 0; n < 4 * TABLE; n++) MUST(try_number(n) != NULL, "host %u", n);
    cr_assert_leq(w.lanes.count, TABLE);
    for (uint32_t n = 0; n < 4 * TABLE; n++) {
        struct lane *l = try_number(100000 + n);
        if (l == NULL) break;
        l->conns++;
        l->host->conns++;
        lane_update(&w.lanes, l);
        used++;
    }
    cr_assert_eq(used, TABLE, "each entry is in use");
    cr_assert_eq(w.lanes.count, TABLE);
    cr_assert_null(try_number(7));
    lanes_validate(&w.lanes);
    for (uint32_t i = 0; i < w.lanes.slots; i++)
        if (w.lanes.slot[i] != NULL) lane_conn_gone(&w.lanes, w.lanes.slot[i]);
    cr_assert_not_null(try_number(7));
    world_close();
}

/* The end of a run: what is on the ready list though its reason went is no obstacle. */
Test(lane, closed_while_on_the_ready_list)
{
    struct lane *l = find_number(0);
    pop_old((push_new(l->own, FLOW_FIRST), l->own), FLOW_FIRST);
    cr_assert(l->ready);
    cr_assert_not(l->unused);
    world_close();
}

/* ---- mistakes ----------------------------------------------------------------------------- */

static struct delivery stray;

Test(lane, nothing_to_take, .signal = SIGABRT)
{
    (void)flow_pop(&w.lanes, find_number(0)->own, FLOW_FIRST);
}

Test(lane, taken_from_the_other_queue, .signal = SIGABRT)
{
    struct flow *f = find_number(0)->own;
    (void)push_new(f, FLOW_FIRST);
    (void)flow_pop(&w.lanes, f, FLOW_RETRY);
}

Test(lane, removed_from_where_it_is_not, .signal = SIGABRT)
{
    struct flow *f = find_number(0)->own;
    (void)push_new(f, FLOW_FIRST);
    flow_remove(&w.lanes, f, FLOW_FIRST, &stray);
}

Test(lane, more_connections_end_than_were_made, .signal = SIGABRT)
{
    lane_conn_gone(&w.lanes, find_number(0));
}

Test(lane, no_connections_at_all, .signal = SIGABRT)
{
    struct lanes other;
    w.rules.conns_max = 0;
    bool opened = lanes_open(&other, w.slab, &w.wheel, &w.rules);
    cr_assert(opened);
}

Test(lane, closed_while_a_connection_is_open, .signal = SIGABRT)
{
    lane_conn_added(&w.lanes, find_number(0));
    lanes_close(&w.lanes, w.now_ns);
}

Test(lane, closed_while_a_key_is_known, .signal = SIGABRT)
{
    (void)flow_of(find_number(0), 1);
    lanes_close(&w.lanes, w.now_ns);
}

Test(lane, closed_while_a_record_waits, .signal = SIGABRT)
{
    (void)push_new(find_number(0)->own, FLOW_RETRY);
    lanes_close(&w.lanes, w.now_ns);
}

/* ---- the check itself --------------------------------------------------------------------- */

/* A lane with two flows that have something, sound. */
static struct lane *sound(void)
{
    struct lane *l = find_number(0);
    (void)push_new(l->own, FLOW_FIRST);
    (void)push_new(l->own, FLOW_FIRST);
    (void)push_new(flow_of(l, 1), FLOW_RETRY);
    (void)find_number(1);
    lanes_validate(&w.lanes);
    return l;
}

Test(lane, validate_takes_what_is_sound)
{
    struct lane *l = sound();
    pop_old(flow_of(l, 1), FLOW_RETRY);
    pop_old(l->own, FLOW_FIRST);
    pop_old(l->own, FLOW_FIRST);
    lanes_validate(&w.lanes);
    world_close();
}

#define SEEN(name, fault) \
    Test(lane, validate_sees_##name, .signal = SIGABRT) \
    { \
        struct lane *l = sound(); \
        MAYBE(l->ready); \
        fault; \
        lanes_validate(&w.lanes); \
    }

SEEN(a_lane_on_no_list, l->ready = false)
SEEN(a_lane_lost_from_the_ready_list, w.lanes.ready_head = NULL)
SEEN(a_wrong_count_in_the_lane, l->queued = 1)
SEEN(a_wrong_count_in_a_flow, l->own->queued = 1)
SEEN(a_blocked_flow_in_the_ring, l->own->blocked = true)
SEEN(a_flow_outside_the_ring, l->ring = l->ring->ring_next)
SEEN(a_ring_that_does_not_lead_back, l->ring_tail->ring_prev = NULL)
SEEN(a_wrong_tail_of_the_ring, l->ring_tail = l->ring)
SEEN(a_wrong_tail_of_a_queue, l->own->queue[FLOW_FIRST].tail = l->own->queue[FLOW_FIRST].head)
SEEN(a_flow_of_another_lane, l->own->lane = find_number(1))
SEEN(a_used_lane_among_the_unused, l->unused = true)
SEEN(an_unused_lane_on_no_list, w.lanes.oldest = NULL)
SEEN(more_in_flight_than_permits, l->in_flight = 1)
SEEN(a_wrong_number_of_lanes, w.lanes.count++)
SEEN(a_wrong_number_of_keys, w.lanes.keyed++)
SEEN(a_wrong_number_of_keys_in_the_lane, l->flows++)
SEEN(a_key_in_the_wrong_bucket, l->ring->ring_next->key++)
