/* core/engine/shard.h - one thread's whole engine: a ring, its connections, lanes and timers.
 *
 * The numbered turn of its loop is in core/README.md and in shard.c. A shard's structures belong
 * to its thread; what it shares is named in run.h.
 */
#ifndef CORE_ENGINE_SHARD_H
#define CORE_ENGINE_SHARD_H

#include <stdbool.h>
#include <stdint.h>

struct shard;
struct io;

/* Opens what must be opened on the shard's own thread (the ring). 0 or -1; the run then knows. */
int shard_begin(struct shard *s) __attribute__((warn_unused_result));
/* One turn; false when the shard has nothing left to do and everything is home. */
bool shard_turn(struct shard *s);
/* Until when the next turn will sleep if nothing completes, on io_now_ns()'s clock. */
uint64_t shard_sleeps_until(const struct shard *s);
/* After the last turn: gives everything back. */
void shard_end(struct shard *s);
/* CHECKs every structure of the shard; for tests. */
void shard_validate(const struct shard *s);
struct io *shard_io(struct shard *s);

#endif
