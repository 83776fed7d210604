/* core/journal/waitset.h - records that were tried, or are to be, and have no ending: by line.
 *
 * They lie densely in one array, in any order until it is sorted; an index of four bytes a place,
 * open addressing by line, finds them. The array grows by being mapped anew, not by being copied,
 * so that no more than 40 bytes a record and 16 of index are ever touched at once.
 *
 * Thread: one at a time.
 */
#ifndef CORE_JOURNAL_WAITSET_H
#define CORE_JOURNAL_WAITSET_H

#include "core/base/check.h"

#include <stdbool.h>
#include <stdint.h>

struct journal_waiting {
    uint64_t line, offset;     /* line is never 0 */
    uint64_t first_us, due_us; /* wall time; due 0: at once */
    uint16_t attempts;         /* that began */
    uint8_t why, sent;         /* of the last that ended; of all */
    bool maybe;                /* the last one may have arrived, and nobody knows its end */
    bool told;
};

struct waitset {
    struct journal_waiting *at; /* owns; NULL: closed */
    uint64_t count, room;
    uint32_t *index; /* owns: 1 + place in `at`, 0: free; NULL: sorted, and no more changes */
    uint64_t index_room; /* a power of two */
};

bool waitset_open(struct waitset *s) MUST_USE; /* false: memory */
void waitset_close(struct waitset *s);         /* a closed one may be closed again */

/* NULL: it is not in. Lent until the next change. */
struct journal_waiting *waitset_find(const struct waitset *s, uint64_t line);
/* The one of that line, which is above 0; a new one is all 0 but for it. 0 or -ENOMEM. */
int waitset_make(struct waitset *s, uint64_t line, struct journal_waiting **out) MUST_USE;
void waitset_remove(struct waitset *s, uint64_t line); /* nothing if it is not in */
/* By line, and without its index: nothing may be found, made or removed afterwards. */
void waitset_sort(struct waitset *s);
/* Of a sorted one: the records at [from, to) are not looked at any more. The memory of the whole
 * pages among them goes; any thread, for records of its own. */
void waitset_release(const struct waitset *s, uint64_t from, uint64_t to);

#endif
