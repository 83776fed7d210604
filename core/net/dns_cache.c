#include "core/net/dns_cache.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS_LEAST = 16 };
#define SECOND_NS UINT64_C(1000000000)

uint64_t dns_answer_life_ns(const struct dns_answer *a)
{
    switch (a->status) {
    case DNS_FOUND:
        if (a->ttl_s < DNS_TTL_MIN_S) return DNS_TTL_MIN_S * SECOND_NS;
        return (a->ttl_s < DNS_TTL_MAX_S ? a->ttl_s : DNS_TTL_MAX_S) * SECOND_NS;
    case DNS_NONE: return DNS_TTL_NONE_S * SECOND_NS;
    case DNS_FAILED:
    case DNS_TIMEOUT: return DNS_TTL_FAILED_S * SECOND_NS;
    case DNS_STOPPED: return 0;
    }
    UNREACHABLE();
}

bool dns_cache_open(struct dns_cache *c, struct slab *slab, uint32_t count_max)
{
    CHECK(slab != NULL);
    CHECK(count_max > 0);
    uint32_t buckets = BUCKETS_LEAST;
    while (buckets < count_max / 2) buckets *= 2;
    *c = (struct dns_cache){.slab = slab, .buckets = buckets, .count_max = count_max};
    c->bucket = calloc(buckets, sizeof(struct dns_entry *));
    return c->bucket != NULL;
}

/* FNV-1a: names are short, and asked about once for each host and shard. */
static uint64_t hash_of(struct span name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (unsigned char)name.ptr[i]) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 32;
}

static struct span name_of(const struct dns_entry *e)
{
    return span_of(e->addrs + e->count, e->name_len);
}

static size_t bytes_of(const struct dns_entry *e)
{
    return sizeof *e + e->count * sizeof e->addrs[0] + e->name_len;
}

static struct dns_entry **place_of(struct dns_cache *c, struct span name, uint64_t hash)
{
    struct dns_entry **at = &c->bucket[hash & (c->buckets - 1)];
    while (*at != NULL && !((*at)->hash == hash && span_eq(name_of(*at), name))) at = &(*at)->chain;
    return at;
}

static void unlink_use(struct dns_cache *c, struct dns_entry *e)
{
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void link_newest(struct dns_cache *c, struct dns_entry *e)
{
    e->newer = NULL;
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

static void drop(struct dns_cache *c, struct dns_entry **at)
{
    struct dns_entry *e = *at;
    CHECK(c->count > 0);
    *at = e->chain;
    unlink_use(c, e);
    c->count--;
    slab_give(c->slab, e, bytes_of(e));
}

static void drop_oldest(struct dns_cache *c)
{
    struct dns_entry **at = place_of(c, name_of(c->oldest), c->oldest->hash);
    CHECK(*at == c->oldest);
    drop(c, at);
}

void dns_cache_close(struct dns_cache *c)
{
    while (c->oldest != NULL) drop_oldest(c);
    CHECK(c->count == 0);
    free(c->bucket);
    c->bucket = NULL;
}

const struct dns_entry *dns_cache_find(struct dns_cache *c, struct span name, uint64_t now_ns)
{
    struct dns_entry **at = place_of(c, name, hash_of(name)), *e = *at;
    if (e == NULL) return NULL;
    if (e->until_ns <= now_ns) {
        drop(c, at);
        return NULL;
    }
    unlink_use(c, e);
    link_newest(c, e);
    return e;
}

static struct dns_entry *entry_take(struct dns_cache *c, size_t bytes)
{
    struct dns_entry *e;
    if (c->count == c->count_max) drop_oldest(c);
    while ((e = slab_take(c->slab, bytes)) == NULL && c->oldest != NULL) drop_oldest(c);
    return e;
}

void dns_cache_put(struct dns_cache *c, struct span name, const struct dns_answer *a,
                   uint64_t now_ns)
{
    CHECK(a->count <= DNS_ADDRS_MAX);
    CHECK((a->count > 0) == (a->status == DNS_FOUND));
    uint64_t hash = hash_of(name);
    struct dns_entry **at = place_of(c, name, hash);
    if (*at != NULL) drop(c, at);
    size_t bytes = sizeof(struct dns_entry) + a->count * sizeof a->addrs[0] + name.len;
    struct dns_entry *e = entry_take(c, bytes);
    if (e == NULL) return;
    *e = (struct dns_entry){.hash = hash,
                            .until_ns = now_ns + dns_answer_life_ns(a),
                            .made_ns = now_ns,
                            .name_len = (uint32_t)name.len,
                            .count = (uint16_t)a->count,
                            .status = (uint8_t)a->status};
    memcpy(e->addrs, a->addrs, a->count * sizeof a->addrs[0]);
    memcpy(e->addrs + a->count, name.ptr, name.len);
    at = &c->bucket[hash & (c->buckets - 1)];
    e->chain = *at;
    *at = e;
    link_newest(c, e);
    c->count++;
}

void dns_cache_doubt(struct dns_cache *c, struct span name, uint64_t made_before_ns)
{
    struct dns_entry **at = place_of(c, name, hash_of(name));
    if (*at != NULL && (*at)->made_ns < made_before_ns) drop(c, at);
}

void dns_cache_validate(const struct dns_cache *c)
{
    uint32_t chained = 0, used = 0;
    for (uint32_t i = 0; i < c->buckets; i++)
        for (const struct dns_entry *e = c->bucket[i]; e != NULL; e = e->chain) {
            CHECK((e->hash & (c->buckets - 1)) == i);
            CHECK(e->hash == hash_of(name_of(e)));
            CHECK((e->count > 0) == (e->status == DNS_FOUND));
            chained++;
        }
    for (const struct dns_entry *e = c->newest; e != NULL; e = e->older) {
        CHECK(e->older != NULL ? e->older->newer == e : c->oldest == e);
        used++;
    }
    CHECK(chained == c->count && used == c->count && c->count <= c->count_max);
}
