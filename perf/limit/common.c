#include "perf/limit/common.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

volatile bool stopping;

void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static void *map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                   -1, 0);
    if (p == MAP_FAILED) die("mmap of %zu bytes: %s", bytes, strerror(errno));
    return p;
}

static uint8_t *buffer_at(const struct ring *r, unsigned id)
{
    return r->memory + (size_t)id * RING_BUFFER_BYTES;
}

static void buffers_open(struct ring *r)
{
    r->buffers = map(RING_BUFFERS * sizeof(struct io_uring_buf));
    r->memory = map((size_t)RING_BUFFERS * RING_BUFFER_BYTES);
    struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)r->buffers,
                                   .ring_entries = RING_BUFFERS};
    int rc = io_uring_register_buf_ring(&r->uring, &reg, 0);
    if (rc < 0) die("registering receive buffers: %s", strerror(-rc));
    io_uring_buf_ring_init(r->buffers);
    for (unsigned id = 0; id < RING_BUFFERS; id++) {
        io_uring_buf_ring_add(r->buffers, buffer_at(r, id), RING_BUFFER_BYTES, (uint16_t)id,
                              io_uring_buf_ring_mask(RING_BUFFERS), (int)id);
    }
    io_uring_buf_ring_advance(r->buffers, RING_BUFFERS);
}

void ring_open(struct ring *r, unsigned files)
{
    memset(r, 0, sizeof *r);
    struct io_uring_params p = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE |
                 IORING_SETUP_SUBMIT_ALL,
        .cq_entries = RING_CQ_ENTRIES,
    };
    int rc = io_uring_queue_init_params(RING_SQ_ENTRIES, &r->uring, &p);
    if (rc < 0) die("io_uring_setup: %s (see sysctl kernel.io_uring_disabled)", strerror(-rc));
    rc = io_uring_register_ring_fd(&r->uring);
    if (rc < 0) die("registering the ring's descriptor: %s", strerror(-rc));
    rc = io_uring_register_files_sparse(&r->uring, files);
    if (rc < 0) die("registering %u direct descriptors: %s", files, strerror(-rc));
    buffers_open(r);
}

struct io_uring_sqe *ring_sqe(struct ring *r)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);
    while (!sqe) {
        int rc = io_uring_submit(&r->uring);
        if (rc < 0 && rc != -EINTR) die("io_uring_enter: %s", strerror(-rc));
        sqe = io_uring_get_sqe(&r->uring);
    }
    return sqe;
}

void ring_recv(struct ring *r, unsigned file, uint64_t user_data)
{
    struct io_uring_sqe *sqe = ring_sqe(r);
    io_uring_prep_recv_multishot(sqe, (int)file, NULL, 0, 0);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    io_uring_sqe_set_data64(sqe, user_data);
}

void ring_send(struct ring *r, unsigned file, const void *bytes, unsigned len, uint64_t user_data)
{
    struct io_uring_sqe *sqe = ring_sqe(r);
    io_uring_prep_send(sqe, (int)file, bytes, len, MSG_WAITALL | MSG_NOSIGNAL);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, user_data);
}

static unsigned buffer_id(const struct io_uring_cqe *cqe)
{
    return cqe->flags >> IORING_CQE_BUFFER_SHIFT;
}

uint8_t *ring_buffer(const struct ring *r, const struct io_uring_cqe *cqe)
{
    return buffer_at(r, buffer_id(cqe));
}

void ring_return(struct ring *r, const struct io_uring_cqe *cqe)
{
    unsigned id = buffer_id(cqe);
    io_uring_buf_ring_add(r->buffers, buffer_at(r, id), RING_BUFFER_BYTES, (uint16_t)id,
                          io_uring_buf_ring_mask(RING_BUFFERS), (int)r->returned++);
}

void ring_turn(struct ring *r)
{
    if (r->returned > 0) io_uring_buf_ring_advance(r->buffers, (int)r->returned);
    r->returned = 0;
    struct __kernel_timespec limit = {.tv_nsec = RING_WAIT_MS * 1000000ll};
    struct io_uring_cqe *first;
    int rc = io_uring_submit_and_wait_timeout(&r->uring, &first, 1, &limit, NULL);
    if (rc < 0 && rc != -ETIME && rc != -EINTR) die("io_uring_enter: %s", strerror(-rc));
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t wall_now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

uint64_t cpu_now_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }

void pin_to_cpu(int cpu)
{
    if (cpu < 0) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) die("CPU %d: %s", cpu, strerror(errno));
}

void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) die("descriptor limit: %s", strerror(errno));
}

static void on_signal(int sig)
{
    (void)sig;
    stopping = true;
}

void stop_on_signals(void)
{
    struct sigaction stop = {.sa_handler = on_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

long number_arg(const char *text, const char *what, long min, long max)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || n < min || n > max) {
        die("%s: '%s' is not a number from %ld to %ld", what, text, min, max);
    }
    return n;
}
