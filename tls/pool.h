/* tls/pool.h - wolfSSL's memory: one bounded pool for each shard.
 *
 * The library calls malloc() for everything. Once tls_pool_install() was called it gets its memory
 * from the pool that the calling thread has entered, and from the C library where none is (what it
 * keeps for the whole process). Each block knows its pool, so that it goes back to where it came
 * from whatever is entered then. A full pool gives NULL: the step of the handshake fails with
 * no_resources, an ordinary condition.
 *
 * Thread: a pool's own; tls_pool_install() any.
 */
#ifndef TLS_POOL_H
#define TLS_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_pool;

/* Hands wolfSSL its allocators, and readies the library; once for the process, whoever asks. False:
 * it cannot be used. */
bool tls_pool_install(void);

/* NULL: no address space. */
struct tls_pool *tls_pool_new(size_t limit_bytes);
/* All that was taken from it must have been given back. */
void tls_pool_free(struct tls_pool *p);

/* Until the matching leave, this thread's wolfSSL takes from p. Returns what was entered before. */
struct tls_pool *tls_pool_enter(struct tls_pool *p);
void tls_pool_leave(struct tls_pool *before);

/* For this layer's own structs. NULL: full. Not cleared; aligned to 16. */
void *tls_pool_take(struct tls_pool *p, size_t bytes);
void tls_pool_give(void *block); /* NULL is fine */

size_t tls_pool_used_bytes(const struct tls_pool *p); /* pages and mappings in use */
size_t tls_pool_limit_bytes(const struct tls_pool *p);
/* Blocks out, and that were ever taken or asked for. */
uint64_t tls_pool_blocks(const struct tls_pool *p);
uint64_t tls_pool_asked(const struct tls_pool *p);
/* Requests that got NULL so far: tells a step that failed for want of memory from others. */
uint64_t tls_pool_refused(const struct tls_pool *p);

/* For tests: the nth request from now on (1: the next) is refused, and all after it if `all`; 0:
 * none any more. */
void tls_pool_fail(struct tls_pool *p, uint64_t nth, bool all);

#endif
