/* tls/pool.c - a slab with a header before each block; see pool.h. */
#include "tls/pool.h"

#include "core/base/check.h"
#include "core/base/slab.h"

#include <wolfssl/options.h>

#include <wolfssl/ssl.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct tls_pool {
    struct slab *slab;
    uint64_t blocks, asked, refused;
    uint64_t fail_at; /* tls_pool_fail(): refused when asked reaches it; 0: never */
    bool fail_all;
};

/* Before each block: 16 bytes, so that what follows is aligned as malloc() would. */
struct head {
    struct tls_pool *pool; /* NULL: the C library's */
    size_t bytes;          /* of head and block */
};
_Static_assert(sizeof(struct head) == 16, "blocks are aligned to 16");

enum { BLOCK_BYTES_MIN = 64 }; /* the slab aligns smaller ones to 8 only */

static _Thread_local struct tls_pool *entered;

/* ---- blocks ------------------------------------------------------------------------------- */

static bool must_fail(struct tls_pool *p)
{
    p->asked++;
    if (p->fail_at == 0 || p->asked < p->fail_at) return false;
    return p->fail_all || p->asked == p->fail_at;
}

static void *block_new(struct tls_pool *p, size_t bytes)
{
    size_t all = bytes + sizeof(struct head);
    if (all < bytes) return NULL;
    if (all < BLOCK_BYTES_MIN) all = BLOCK_BYTES_MIN;
    struct head *h = p == NULL ? malloc(all) : must_fail(p) ? NULL : slab_take(p->slab, all);
    if (h == NULL && p != NULL) p->refused++;
    if (h == NULL) return NULL;
    *h = (struct head){p, all};
    if (p != NULL) p->blocks++;
    return h + 1;
}

static void block_free(void *block)
{
    if (block == NULL) return;
    struct head *h = (struct head *)block - 1;
    struct tls_pool *p = h->pool;
    if (p == NULL) {
        free(h);
        return;
    }
    CHECK(p->blocks > 0);
    p->blocks--;
    slab_give(p->slab, h, h->bytes);
}

static void *block_resize(void *block, size_t bytes)
{
    if (block == NULL) return block_new(entered, bytes);
    const struct head *h = (const struct head *)block - 1;
    size_t held = h->bytes - sizeof *h;
    if (bytes <= held && held - bytes < held / 2) return block;
    void *fresh = block_new(h->pool, bytes);
    if (fresh == NULL) return NULL;
    memcpy(fresh, block, held < bytes ? held : bytes);
    block_free(block);
    return fresh;
}

void *tls_pool_take(struct tls_pool *p, size_t bytes)
{
    CHECK(p != NULL);
    return block_new(p, bytes);
}

void tls_pool_give(void *block) { block_free(block); }

/* ---- wolfSSL's side ----------------------------------------------------------------------- */

static void *wolf_malloc(size_t bytes) { return block_new(entered, bytes); }
static void wolf_free(void *block) { block_free(block); }
static void *wolf_realloc(void *block, size_t bytes) { return block_resize(block, bytes); }

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool installed; /* written inside the pthread_once(), read after it */

static void install(void)
{
    installed = wolfSSL_SetAllocators(wolf_malloc, wolf_free, wolf_realloc) == 0 &&
                wolfSSL_Init() == WOLFSSL_SUCCESS;
}

bool tls_pool_install(void)
{
    struct tls_pool *before = tls_pool_enter(NULL); /* what it keeps is nobody's */
    int failed = pthread_once(&once, install);
    tls_pool_leave(before);
    return failed == 0 && installed;
}

struct tls_pool *tls_pool_enter(struct tls_pool *p)
{
    struct tls_pool *before = entered;
    entered = p;
    return before;
}

void tls_pool_leave(struct tls_pool *before) { entered = before; }

/* ---- pools -------------------------------------------------------------------------------- */

struct tls_pool *tls_pool_new(size_t limit_bytes)
{
    struct tls_pool *p = calloc(1, sizeof *p);
    if (p == NULL) return NULL;
    p->slab = slab_new(limit_bytes);
    if (p->slab != NULL) return p;
    free(p);
    return NULL;
}

void tls_pool_free(struct tls_pool *p)
{
    CHECK(p->blocks == 0);
    CHECK(entered != p);
    slab_free(p->slab);
    free(p);
}

size_t tls_pool_used_bytes(const struct tls_pool *p) { return slab_used_bytes(p->slab); }
size_t tls_pool_limit_bytes(const struct tls_pool *p) { return slab_limit_bytes(p->slab); }
uint64_t tls_pool_blocks(const struct tls_pool *p) { return p->blocks; }
uint64_t tls_pool_asked(const struct tls_pool *p) { return p->asked; }
uint64_t tls_pool_refused(const struct tls_pool *p) { return p->refused; }

void tls_pool_fail(struct tls_pool *p, uint64_t nth, bool all)
{
    p->fail_at = nth == 0 ? 0 : p->asked + nth;
    p->fail_all = all;
}
