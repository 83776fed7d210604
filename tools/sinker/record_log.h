/* tools/sinker/record_log.h - the --log file: one NDJSON line for each request received.
 *
 *   {"id":"r-17","path":"/status/503","attempt":2,"status":503,
 *    "time":"2026-03-01T12:00:00.123456Z","body_bytes":230,"body_hash":"0f3c...",
 *    "sender_attempt":2}
 *
 * on one line. id is null when the request named none; attempt is how often this receiver has
 * seen that id (0: no id, 255: that often or more); status is 0 when no status is sent;
 * sender_attempt stands there only if the request said so.
 *
 * Each shard gathers whole lines in a buffer of its own and writes it at once, under a lock, so
 * lines are never mixed or torn: a write that fails part-way is cut off again, and from then on
 * nothing more is written, only counted.
 */
#ifndef TOOLS_SINKER_RECORD_LOG_H
#define TOOLS_SINKER_RECORD_LOG_H

#include "core/base/span.h"
#include "core/base/stamp.h"

#include <pthread.h>

struct record_log; /* the file, shared by all shards */

/* Empties the file. NULL: errno says why. */
struct record_log *record_log_open(const char *path);
/* How many lines could not be written; closes the file. */
uint64_t record_log_close(struct record_log *log);

struct record {
    struct span id; /* empty: none */
    struct span path;
    uint64_t body_bytes, body_hash;
    uint32_t attempt, sender_attempt;
    uint16_t status;
};

/* One shard's side of the log. One thread. */
struct log_buffer {
    struct record_log *log; /* not owned; NULL: there is no log */
    char *lines;            /* owned */
    size_t bytes, lines_count;
    struct stamp_cache stamp;
};

bool log_buffer_init(struct log_buffer *b, struct record_log *log); /* false: no memory */
void log_buffer_exit(struct log_buffer *b);                         /* flushes */
void log_buffer_add(struct log_buffer *b, const struct record *r);
void log_buffer_flush(struct log_buffer *b);

#endif
