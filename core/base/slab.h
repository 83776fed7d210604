/* core/base/slab.h - bounded memory for objects of any size, without malloc on the hot path.
 *
 * Sizes are rounded up to a class (56 bytes, then powers of two and the halves between them).
 * Up to SLAB_PAGE_BYTES / 4 an object lies in a page of its class, taken from one reserved
 * region; a page whose last object is given back returns to the region for any class. Larger
 * objects are mapped and unmapped one by one. Everything counts against one limit; beyond it
 * slab_take() returns NULL, an ordinary condition that means "wait". Memory is touched only when
 * used. One thread.
 */
#ifndef CORE_BASE_SLAB_H
#define CORE_BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

enum { SLAB_PAGE_BYTES = 64 * 1024 };
#define SLAB_LIMIT_BYTES_MAX (UINT64_C(1) << 34)

struct slab;

/* NULL when the address space cannot be reserved; at most SLAB_LIMIT_BYTES_MAX. */
struct slab *slab_new(size_t limit_bytes);
void slab_free(struct slab *s); /* CHECKs that everything was given back */

/* Not cleared; 16-byte aligned, up to 56 bytes 8-byte aligned. NULL: wait. */
void *slab_take(struct slab *s, size_t bytes);
void slab_give(struct slab *s, void *ptr, size_t bytes); /* bytes as they were taken */

/* A short name for an object of at most SLAB_PAGE_BYTES / 4 while it is taken; never 0. */
uint32_t slab_handle(const struct slab *s, const void *ptr);
void *slab_at(const struct slab *s, uint32_t handle);

size_t slab_used_bytes(const struct slab *s); /* pages and mappings in use */
size_t slab_limit_bytes(const struct slab *s);
/* Lowers the limit to `bytes`, or as near as what is taken allows; what waits emptied goes back to
 * the kernel. Never raises it. */
void slab_limit_lower(struct slab *s, size_t bytes);
void slab_validate(const struct slab *s);

#endif
