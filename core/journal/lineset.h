/* core/journal/lineset.h - a set of line numbers: one bit for each line of the input.
 *
 * Address space is reserved for all the lines that there can be, and touched where it is used: 12.5
 * MB for 100,000,000 lines. Writers: one at a time, see the owner. Readers that run beside it see
 * each line in or not in it.
 */
#ifndef CORE_JOURNAL_LINESET_H
#define CORE_JOURNAL_LINESET_H

#include "core/base/check.h"

#include <stdbool.h>
#include <stdint.h>

/* The most lines that a state can keep: 8 GiB of bits. */
#define LINESET_LINES_MAX (UINT64_C(1) << 36)

struct lineset {
    uint64_t *words; /* owns; NULL: empty and closed */
    uint64_t lines;  /* numbers below this have a bit */
    uint64_t used;   /* words below this may be other than 0 */
};

/* For lines below `lines`, at most LINESET_LINES_MAX. False: no address space. */
bool lineset_open(struct lineset *s, uint64_t lines) MUST_USE;
void lineset_close(struct lineset *s);
/* False: it was in already. The line must be below lines. */
bool lineset_add(struct lineset *s, uint64_t line);
bool lineset_has(const struct lineset *s, uint64_t line);
/* All lines of [from, to) are in it. */
bool lineset_has_all(const struct lineset *s, uint64_t from, uint64_t to);
uint64_t lineset_count(const struct lineset *s);

#endif
