/* tests/sim/crash_disk.h - a disk that crashes: core/io/io.h, its part about files, for
 * crash_journal.c. Own, small and fast, so that 100,000 crashes fit into seconds.
 *
 * Every file has what was written (the page cache) and what is on the disk; a sync makes the second
 * like the first. Names as well: what a folder holds is on the disk when the folder was synced.
 *
 *   The process dies: operations in flight have taken effect, or not, or in part; the rest stays.
 *   The power goes: besides, each sector that was not synced is kept, lost or torn (its beginning
 *   new, then what was there before, or noise), the file's length lies between the synced one and
 *   the written one, and each name is as it was or as it is.
 *   A sync fails: the pages are clean and not on the disk, as Linux has it; and sometimes what is
 *   read later is what the disk has.
 */
#ifndef TESTS_SIM_CRASH_DISK_H
#define TESTS_SIM_CRASH_DISK_H

#include "core/base/prng.h"
#include "core/io/io.h"

enum { CRASH_FILE_BYTES = 192 * 1024, CRASH_SECTOR = 512 };

/* Percentages; 0: never. */
struct crash_faults {
    uint32_t write_error, write_short, sync_error, again;
    uint32_t full_at; /* bytes of all files together; 0: no limit */
};

void crash_disk_new(struct prng *dice, const struct crash_faults *faults);
/* From now on these; heal: none. */
void crash_disk_faults(const struct crash_faults *faults);
void crash_disk_heal(void);
void crash_process_dies(void);
void crash_power_goes(void);
/* Bytes of a file as they are read now; NULL: no such file. */
const uint8_t *crash_file(const char *name, uint32_t *len);
/* Lets some of what is in flight complete. */
void crash_pump(struct io *io);
struct io *crash_io(void);
void crash_clock(uint64_t ns); /* forward by so much */
/* Faults that were met: for marks. */
extern uint64_t crash_errors_told;

#endif
