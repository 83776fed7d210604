/* core/journal/inflight.h - which attempts are under way: a file of slots in shared memory.
 *
 * A slot is filled before its attempt's first byte is sent, with three stores and no system call,
 * and is used again only when the end of that attempt is durable in the journal. The file's pages
 * outlive the process: after a kill, slots that name an attempt whose end the journal does not know
 * are exactly those that may have been delivered. They do not outlive the machine; then leases (or,
 * with --sync always, JOURNAL_BEGUN) say which may have been.
 *
 * A slot has 24 bytes: the offset of the line in the input, when its first attempt began (us since
 * 1970), and line << 16 | attempt, stored last; 0: never used. The first slot names the start of
 * the machine in which the file was made. Thread: each shard has slots of its own.
 */
#ifndef CORE_JOURNAL_INFLIGHT_H
#define CORE_JOURNAL_INFLIGHT_H

#include "core/journal/state.h"

struct inflight_slot {
    uint64_t offset, first_us, line_attempt;
};

struct inflight {
    struct inflight_slot *slot; /* owns: mapped */
    uint32_t count;
    int32_t fd;
};

/* Makes the file with so many slots, all unused; slot[0] may not be used. 0 or -errno. */
int inflight_open(struct inflight *f, const char *path, uint32_t count,
                  const uint8_t boot_id[IO_BOOT_ID_BYTES]) MUST_USE;
void inflight_close(struct inflight *f);
/* What the file of an earlier life says becomes part of the state, if the machine has not been
 * started anew since. No file: nothing. 0 or -errno. */
int inflight_recover(const char *path, struct journal_state *s,
                     const uint8_t boot_id[IO_BOOT_ID_BYTES]) MUST_USE;

static inline void inflight_set(struct inflight_slot *slot, uint64_t offset, uint64_t first_us,
                                uint64_t line, uint32_t attempt)
{
    slot->offset = offset;
    slot->first_us = first_us;
    /* Release: whoever reads it after a kill finds the two above. */
    __atomic_store_n(&slot->line_attempt, line << 16 | (attempt & 65535), __ATOMIC_RELEASE);
}

#endif
