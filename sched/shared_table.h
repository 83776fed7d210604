/* sched/shared_table.h - a table of 128-byte entries shared by all shards, lock-free.
 *
 * Open addressing over 64-bit hashes: a key is looked for in one group of slots, so that a search
 * is bounded. An entry never moves: shards keep pointers to it, counted by entry->refs. One that
 * nobody refers to may be taken for another key when its group has no free slot; its owner says
 * through evictable() whether it still means something (a hold).
 * Two keys with the same 64-bit hash share an entry: they would share their receiver's state, and
 * nothing else.
 *
 * Memory is reserved for `capacity` entries and touched where used. Threads: any.
 */
#ifndef SCHED_SHARED_TABLE_H
#define SCHED_SHARED_TABLE_H

#include <stdbool.h>
#include <stdint.h>

enum { SHARED_ENTRY_BYTES = 128 };

/* The first two words of every entry. */
struct shared_entry {
    uint64_t hash; /* atomic; 0: free. Written by compare-exchange, acquire/release */
    uint32_t refs; /* atomic: lanes that point here */
    uint32_t used; /* atomic, relaxed: when it was last let go, in units of about a second */
};

struct shared_table;

/* What the entries' owner has to say; each may be NULL. */
struct shared_table_ops {
    /* Makes a fresh entry's other 112 bytes, zeroed before, ready. */
    void (*init)(void *ctx, void *entry);
    /* Whether an entry without references may go. */
    bool (*evictable)(const void *entry, uint64_t now_ns);
    /* The last one to see it before it is zeroed: gives back what it holds. */
    void (*forget)(void *ctx, void *entry);
    void *ctx;
};

/* NULL when the address space cannot be reserved. ops is copied. */
struct shared_table *shared_table_new(uint32_t capacity, const struct shared_table_ops *ops);
void shared_table_free(struct shared_table *t);

/* The entry of this hash, made at first sight, with one reference more. Any hash is legal (0 and
 * the like are mapped to another). NULL: its group is full of entries in use; wait. */
void *shared_table_ref(struct shared_table *t, uint64_t hash, uint64_t now_ns);
/* The entry if it is there, with one reference more, else NULL; never makes one. */
void *shared_table_find(struct shared_table *t, uint64_t hash);
void shared_table_unref(struct shared_table *t, void *entry, uint64_t now_ns);

uint64_t shared_table_count(const struct shared_table *t); /* keys known; while idle: exact */

#endif
