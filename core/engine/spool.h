/* core/engine/spool.h - the lines of a pipe that must be read again: a nameless file of its own.
 *
 * A line is added when its record is parked for the first time; it is in the buffer until it is
 * written. When nothing refers to the spool any more it is cut to nothing, so that an endless pipe
 * does not fill the disk. Thread: its shard's.
 */
#ifndef CORE_ENGINE_SPOOL_H
#define CORE_ENGINE_SPOOL_H

#include "core/base/span.h"
#include "core/engine/output.h"

#include <stdbool.h>
#include <stdint.h>

struct spool {
    struct outfile file;
    struct outbuf buf;
    uint64_t refs; /* parked records and deliveries whose line is in it */
    uint64_t life; /* counts the times that it was cut: offsets of an earlier life mean nothing */
    uint64_t bytes_max; /* so that a pipe is read no further than what can be kept of it */
    bool open;
};

/* A file in folder of at most bytes_max, and two buffers of buffer_bytes. 0 or -errno. */
int spool_open(struct spool *p, const char *folder, struct io *io, uint32_t buffer_bytes,
               uint64_t bytes_max) MUST_USE;
void spool_close(struct spool *p);
/* Adds a line; false: no room now. *offset is its place. It is referred to once. */
bool spool_add(struct spool *p, struct span line, uint64_t *offset);
void spool_drop(struct spool *p); /* one reference less */
/* The line, if it is still in memory: without its newline. */
bool spool_find(const struct spool *p, uint64_t offset, struct span *line);
uint64_t spool_length(const struct spool *p); /* bytes in the file */

#endif
