/* tls/tickets.c - a hash table of hosts with their tickets, and a list of all by age; see
 * tickets.h. */
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

/* A host with tickets. */
struct holder {
    struct holder *chain; /* in its bucket */
    struct entry *oldest, *newest;
    uint32_t hash, count;
    uint16_t name_len;
    char name[];
};

struct entry {
    struct holder *holder;
    struct entry *older, *newer;         /* of its host */
    struct entry *older_all, *newer_all; /* of all */
    uint16_t len;
    char bytes[];
};

/* All fields are written under the lock; count is also read without it, as a hint. */
struct tls_tickets {
    uint32_t lock; /* 1: held. Taken by exchange (acquire), given by store_rel */
    uint32_t buckets, count;
    struct slab *slab;
    struct holder **bucket;
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
    t->bucket = calloc(t->buckets, sizeof(struct holder *));
    if (t->slab != NULL && t->bucket != NULL) return t;
    if (t->slab != NULL) slab_free(t->slab);
    free(t->bucket);
    free(t);
    return NULL;
}

static void holder_drop(struct tls_tickets *t, struct holder *h)
{
    CHECK(h->count == 0);
    struct holder **at = &t->bucket[h->hash & (t->buckets - 1)];
    while (*at != h) at = &(*at)->chain;
    *at = h->chain;
    slab_give(t->slab, h, sizeof *h + h->name_len);
}

/* Forgets an entry, and the keys in it; and its host with the last one. */
static void drop(struct tls_tickets *t, struct entry *e)
{
    struct holder *h = e->holder;
    *(e->older ? &e->older->newer : &h->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &h->newest) = e->older;
    *(e->older_all ? &e->older_all->newer_all : &t->oldest) = e->newer_all;
    *(e->newer_all ? &e->newer_all->older_all : &t->newest) = e->older_all;
    CHECK(t->count > 0 && h->count > 0);
    store_rlx(&t->count, t->count - 1);
    size_t len = e->len;
    explicit_bzero(e->bytes, len);
    slab_give(t->slab, e, sizeof *e + len);
    if (--h->count == 0) holder_drop(t, h);
}

void tls_tickets_free(struct tls_tickets *t)
{
    CHECK(t->lock == 0);
    while (t->oldest != NULL) drop(t, t->oldest);
    slab_free(t->slab);
    free(t->bucket);
    free(t);
}

static struct holder *holder_find(const struct tls_tickets *t, struct span host)
{
    uint32_t hash = hash_of(host);
    struct holder *h = t->bucket[hash & (t->buckets - 1)];
    while (h != NULL && (h->hash != hash || !span_eq(span_of(h->name, h->name_len), host)))
        h = h->chain;
    return h;
}

static struct holder *holder_make(struct tls_tickets *t, struct span host)
{
    struct holder *h = slab_take(t->slab, sizeof *h + host.len);
    if (h == NULL) return NULL;
    uint32_t hash = hash_of(host);
    struct holder **head = &t->bucket[hash & (t->buckets - 1)];
    *h = (struct holder){.chain = *head, .hash = hash, .name_len = (uint16_t)host.len};
    memcpy(h->name, host.ptr, host.len);
    *head = h;
    return h;
}

static void put(struct tls_tickets *t, struct span host, const void *session, size_t bytes)
{
    struct entry *e;
    while ((e = slab_take(t->slab, sizeof *e + bytes)) == NULL && t->oldest != NULL)
        drop(t, t->oldest);
    if (e == NULL) return;
    struct holder *h = holder_find(t, host);
    while (h == NULL && (h = holder_make(t, host)) == NULL && t->oldest != NULL) drop(t, t->oldest);
    if (h == NULL) {
        slab_give(t->slab, e, sizeof *e + bytes);
        return;
    }
    *e = (struct entry){
        .holder = h, .older = h->newest, .older_all = t->newest, .len = (uint16_t)bytes};
    memcpy(e->bytes, session, bytes);
    *(h->newest ? &h->newest->newer : &h->oldest) = e;
    h->newest = e;
    *(t->newest ? &t->newest->newer_all : &t->oldest) = e;
    t->newest = e;
    store_rlx(&t->count, t->count + 1);
    if (++h->count > TLS_TICKETS_OF_HOST) drop(t, h->oldest);
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
    size_t bytes = 0;
    if (load_rlx(&t->count) == 0 || !lock(t)) return 0;
    struct holder *h = holder_find(t, host);
    if (h != NULL) {
        bytes = h->newest->len;
        memcpy(out, h->newest->bytes, bytes);
        drop(t, h->newest);
    }
    unlock(t);
    return bytes;
}

void tls_tickets_forget(struct tls_tickets *t, struct span host)
{
    if (!lock(t)) return;
    struct holder *h = holder_find(t, host);
    for (uint32_t left = h != NULL ? h->count : 0; left > 0; left--) drop(t, h->oldest);
    unlock(t);
}

uint32_t tls_tickets_count(const struct tls_tickets *t) { return load_rlx(&t->count); }
