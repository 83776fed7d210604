/* perf/limit/common.h - what the two ends of the raw ping-pong share: a ring, its receive buffers,
 * the clock, and numbers from the command line.
 *
 * The pair measures what this machine's loopback TCP allows when a sender does nothing else: no
 * record is read, no answer is parsed, nothing is logged. It uses no code of the engine, so that
 * a mistake there cannot lower the limit that the engine is compared with.
 *
 * Failures end the process with one line: there is nothing to save. One thread.
 */
#ifndef PERF_LIMIT_COMMON_H
#define PERF_LIMIT_COMMON_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    RING_SQ_ENTRIES = 4096,
    RING_CQ_ENTRIES = 65536, /* every connection may complete at once: the CQ must not overflow */
    RING_BUFFERS = 4096,     /* a power of two */
    RING_BUFFER_BYTES = 4096,
    RING_WAIT_MS = 100, /* longest sleep, so that a stop is seen */
};

struct ring {
    struct io_uring uring;
    struct io_uring_buf_ring *buffers; /* mapped, never unmapped */
    uint8_t *memory;                   /* RING_BUFFERS of RING_BUFFER_BYTES */
    unsigned returned;                 /* buffers added since the last ring_turn() */
};

/* SINGLE_ISSUER, DEFER_TASKRUN, registered ring descriptor, `files` direct descriptors. */
void ring_open(struct ring *r, unsigned files);
/* Never NULL: a full queue is submitted first. The entry is cleared by the prep call. */
struct io_uring_sqe *ring_sqe(struct ring *r);
/* Queues a multishot receive on a direct descriptor. */
void ring_recv(struct ring *r, unsigned file, uint64_t user_data);
/* Queues a send that the kernel completes as a whole and that is silent unless it fails. */
void ring_send(struct ring *r, unsigned file, const void *bytes, unsigned len, uint64_t user_data);
/* Bytes of a completed receive; ring_return() gives the buffer back. */
uint8_t *ring_buffer(const struct ring *r, const struct io_uring_cqe *cqe);
void ring_return(struct ring *r, const struct io_uring_cqe *cqe);
/* Submits and waits for at least one completion or RING_WAIT_MS. */
void ring_turn(struct ring *r);

uint64_t wall_now_ns(void); /* monotonic */
uint64_t cpu_now_ns(void);  /* of this process, user and system */

void pin_to_cpu(int cpu); /* below 0: leave it to the kernel */
void raise_descriptor_limit(void);
void stop_on_signals(void); /* SIGINT and SIGTERM set `stopping`; SIGPIPE is ignored */
extern volatile bool stopping;

/* A number of [min, max] or the end: `what` names the option. */
long number_arg(const char *text, const char *what, long min, long max);
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
