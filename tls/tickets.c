/* tls/tickets.c - a hash table with chains, and one list by age; see tickets.h. */
#include "tls/tickets.h"

#include "core/base/atomic.h"
#include "core/base/check.h"
#include "core/base/slab.h"

#include <stdlib.h>
#include <string.h>

enum {
    LOCK_TRIES = 200, /* some microseconds: longer than it is ever held by one */
    ENTRY_BYTES_USUAL = 512,
    BUCKETS_MIN = 64,
    NAME_BYTES_MAX = 512,
};

struct entry {
    struct entry *chain; /* in its bucket, newest first */
    struct entry *older, *newer;
    uint32_t hash;
    uint16_t name_len, len;
    char bytes[]; /* name, session */
};

/* All fields are written under the lock; count is also read without it, as a hint. */
struct tls_tickets {
    uint32_t lock; /* 1: held. Taken by exchange (acquire), given by store_rel */
    uint32_t buckets, count;
    struct slab *slab;
    struct entry **bucket;
    struct entry *oldest, *newest;
};

static bool lock(struct tls_tickets *t)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        /* Acquire: what the last holder wrote is seen. */
        if (load_rlx(&t->lock) == 0 && __atomic_exchange_n(&t->lock, 1, __ATOMIC_ACQUIRE) == 0)
            return true;
        __builtin_ia32_pause();
    }
    return false;
}

static void unlock(struct tls_tickets *t) { store_rel(&t->lock, 0); }

/* FNV-1a: names are short, and nothing is decided by it. */
static uint32_t hash_of(struct span name)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < name.len; i++) h = (h ^ (uint8_t)name.ptr[i]) * 16777619u;
    return h;
}

struct tls_tickets *tls_tickets_new(size_t bytes)
{
    struct tls_tickets *t = calloc(1, sizeof *t);
    if (t == NULL) return NULL;
    t->buckets = BUCKETS_MIN;
    while (t->buckets < bytes / ENTRY_BYTES_USUAL) t->buckets *= 2;
    t->slab = slab_new(bytes);
    t->bucket = calloc(t->buckets, sizeof(struct entry *));
    if (t->slab != NULL && t->bucket != NULL) return t;
    if (t->slab != NULL) slab_free(t->slab);
    free(t->bucket);
    free(t);
    return NULL;
}

static size_t entry_bytes(const struct entry *e) { return sizeof *e + e->name_len + e->len; }

/* Forgets an entry, and the keys in it. */
static void drop(struct tls_tickets *t, struct entry *e)
{
    struct entry **at = &t->bucket[e->hash & (t->buckets - 1)];
    while (*at != e) at = &(*at)->chain;
    *at = e->chain;
    *(e->older ? &e->older->newer : &t->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &t->newest) = e->older;
    CHECK(t->count > 0);
    store_rlx(&t->count, t->count - 1);
    size_t bytes = entry_bytes(e);
    explicit_bzero(e->bytes, bytes - sizeof *e);
    slab_give(t->slab, e, bytes);
}

void tls_tickets_free(struct tls_tickets *t)
{
    CHECK(t->lock == 0);
    while (t->oldest != NULL) drop(t, t->oldest);
    slab_free(t->slab);
    free(t->bucket);
    free(t);
}

static bool is_of(const struct entry *e, uint32_t hash, struct span host)
{
    return e->hash == hash && e->name_len == host.len && memcmp(e->bytes, host.ptr, host.len) == 0;
}

/* The host's entries but its newest `keep`. */
static void drop_old(struct tls_tickets *t, uint32_t hash, struct span host, uint32_t keep)
{
    uint32_t kept = 0;
    for (struct entry *e = t->bucket[hash & (t->buckets - 1)], *next; e != NULL; e = next) {
        next = e->chain;
        if (is_of(e, hash, host) && ++kept > keep) drop(t, e);
    }
}

static void put(struct tls_tickets *t, struct span host, const void *session, size_t bytes)
{
    uint32_t hash = hash_of(host);
    drop_old(t, hash, host, TLS_TICKETS_OF_HOST - 1);
    struct entry *e;
    while ((e = slab_take(t->slab, sizeof *e + host.len + bytes)) == NULL && t->oldest != NULL)
        drop(t, t->oldest);
    if (e == NULL) return;
    struct entry **head = &t->bucket[hash & (t->buckets - 1)];
    *e = (struct entry){.chain = *head,
                        .older = t->newest,
                        .hash = hash,
                        .name_len = (uint16_t)host.len,
                        .len = (uint16_t)bytes};
    memcpy(e->bytes, host.ptr, host.len);
    memcpy(e->bytes + host.len, session, bytes);
    *head = e;
    *(t->newest ? &t->newest->newer : &t->oldest) = e;
    t->newest = e;
    store_rlx(&t->count, t->count + 1);
}

void tls_tickets_put(struct tls_tickets *t, struct span host, const void *session, size_t bytes)
{
    CHECK(host.len > 0);
    if (bytes == 0 || bytes > TLS_TICKET_BYTES_MAX || host.len > NAME_BYTES_MAX) return;
    if (!lock(t)) return;
    put(t, host, session, bytes);
    unlock(t);
}

size_t tls_tickets_take(struct tls_tickets *t, struct span host, void *out)
{
    CHECK(host.len > 0);
    uint32_t hash = hash_of(host);
    size_t bytes = 0;
    if (load_rlx(&t->count) == 0 || !lock(t)) return 0;
    struct entry *e = t->bucket[hash & (t->buckets - 1)];
    while (e != NULL && !is_of(e, hash, host)) e = e->chain;
    if (e != NULL) {
        bytes = e->len;
        memcpy(out, e->bytes + e->name_len, bytes);
        drop(t, e);
    }
    unlock(t);
    return bytes;
}

void tls_tickets_forget(struct tls_tickets *t, struct span host)
{
    if (!lock(t)) return;
    drop_old(t, hash_of(host), host, 0);
    unlock(t);
}

uint32_t tls_tickets_count(const struct tls_tickets *t) { return load_rlx(&t->count); }
