/* core/io/io_uring.c - io.h over io_uring: one ring a shard, one io_uring_enter() a turn.
 *
 * A turn submits everything that was queued, waits, gathers the completions and only then runs
 * the done() functions: no recursion, and what they queue goes out with the next enter. SQEs are
 * never submitted in between unless the submission queue is full.
 *
 * user_data names the op by address (48 bits), its generation (16 bits) and a tag (3 bits, free
 * because ops are aligned). A completion whose generation is not the op's current one is counted
 * and dropped: it can only be a bug here or in the kernel, and must not reach another life.
 *
 * Sockets are direct descriptors: socket() and connect() are one linked chain, and the process's
 * descriptor table is neither used nor charged. Receives are multishot from one ring of provided
 * buffers, so an idle connection holds no buffer and a closing peer is noticed at once.
 *
 * TCP_NODELAY is not set: direct descriptors have no setsockopt before Linux 6.7, and Linux's
 * Nagle (Minshall's variant) holds a small segment back only behind another small one that is not
 * acknowledged yet; with one exchange at a time, written at once, there is none.
 *
 * Limits: 16-bit buffer ids; slots up to the descriptor limit. Thread: the one that opened it.
 */
#include "core/io/io.h"

#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Kernel ABI that liburing 2.3 does not name. */
#define FEAT_MIN_TIMEOUT (1U << 15) /* 6.12 */
struct getevents_arg {              /* io_uring_getevents_arg since 6.12 */
    uint64_t sigmask;
    uint32_t sigmask_sz;
    uint32_t min_wait_usec; /* "pad" before */
    uint64_t ts;
};

enum {
    SQ_ENTRIES = 4096,
    CQ_ENTRIES_MIN = 4096,
    CQ_ENTRIES_MAX = 65536,
    GATHER_MAX = 1024, /* completions handled in one go; more wait for the next round */
    BUFFER_GROUP = 0,
    MIN_WAIT_US = 100, /* how long a batch may be waited for; 50 to 200 measured alike */
    ERROR_PAUSE_NS = 1000000,
};

enum tag { TAG_OP, TAG_SOCKET, TAG_MASK = 7 };
#define UD_ADDRESS ((UINT64_C(1) << 48) - 1 - TAG_MASK)
#define UD_IGNORED 0 /* cancel requests: only the cancelled operation's own completion counts */

struct gathered {
    uint64_t user_data;
    int32_t res;
    uint32_t flags;
};

struct io {
    struct io_uring ring;
    uint64_t now_ns, wall_ns;
    uint64_t waited_ns; /* see io_waited_ns() */
    uint32_t in_flight;
    uint32_t sends_queued; /* since the last enter: they mostly complete inside it */
    bool enter_registered; /* the ring's own descriptor is registered too */
    struct io_op *ended;   /* done() is due without a completion; result in op->backend */
    struct io_op *starved; /* receives that found no buffer; armed again next turn */
    struct io_uring_buf_ring *buffers;
    char *buffers_mem;
    uint32_t buffers_count, buffers_bytes, buffers_pending;
    struct gathered gathered[GATHER_MAX];
};

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

static void clock_read(struct io *io)
{
    io->now_ns = IO_CLOCK_BASE_NS + clock_ns(CLOCK_MONOTONIC);
    io->wall_ns = clock_ns(CLOCK_REALTIME);
}

uint64_t io_now_ns(const struct io *io) { return io->now_ns; }
uint64_t io_wall_ns(const struct io *io) { return io->wall_ns; }
uint64_t io_waited_ns(const struct io *io) { return io->waited_ns; }
uint32_t io_in_flight(const struct io *io) { return io->in_flight; }

/* ---- opening ------------------------------------------------------------------------------ */

/* The best flags that this kernel takes. DEFER_TASKRUN (6.1) runs completions when we ask for
 * them instead of interrupting; older kernels get COOP_TASKRUN (5.19) or nothing. */
static int ring_open(struct io *io, uint32_t cq_entries)
{
    static const unsigned flag_sets[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        IORING_SETUP_COOP_TASKRUN,
        0,
    };
    int rc = -EINVAL;
    for (size_t i = 0; i < sizeof flag_sets / sizeof *flag_sets && rc == -EINVAL; i++) {
        struct io_uring_params p = {
            .flags =
                flag_sets[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL,
            .cq_entries = cq_entries,
        };
        rc = io_uring_queue_init_params(SQ_ENTRIES, &io->ring, &p);
    }
    return rc;
}

static int buffers_open(struct io *io, const struct io_config *config)
{
    io->buffers_count = config->recv_buffers;
    io->buffers_bytes = config->recv_bytes;
    size_t ring_bytes = io->buffers_count * sizeof(struct io_uring_buf);
    size_t mem_bytes = (size_t)io->buffers_count * io->buffers_bytes;
    int prot = PROT_READ | PROT_WRITE;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    void *ring = mmap(NULL, ring_bytes, prot, flags | MAP_POPULATE, -1, 0);
    if (ring == MAP_FAILED) return -ENOMEM;
    io->buffers = ring;
    void *mem = mmap(NULL, mem_bytes, prot, flags | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED) return -ENOMEM;
    io->buffers_mem = mem;
    struct io_uring_buf_reg reg = {
        .ring_addr = (uintptr_t)ring, .ring_entries = io->buffers_count, .bgid = BUFFER_GROUP};
    int rc = io_uring_register_buf_ring(&io->ring, &reg, 0);
    if (rc < 0) return rc;
    io_uring_buf_ring_init(io->buffers);
    int mask = io_uring_buf_ring_mask(io->buffers_count);
    for (uint32_t i = 0; i < io->buffers_count; i++)
        io_uring_buf_ring_add(io->buffers, io->buffers_mem + (size_t)i * io->buffers_bytes,
                              io->buffers_bytes, (uint16_t)i, mask, (int)i);
    io_uring_buf_ring_advance(io->buffers, (int)io->buffers_count);
    return 0;
}

/* A ring's memory is mapped and unmapped by raw system calls, which the thread sanitizer does not
 * see: without an order between one shard's end and another's start it takes the same address,
 * mapped anew, for shared. Start-up and end only. */
static pthread_mutex_t mapping = PTHREAD_MUTEX_INITIALIZER;

static void io_release(struct io *io)
{
    if (io->ring.ring_fd >= 0) {
        pthread_mutex_lock(&mapping);
        io_uring_queue_exit(&io->ring);
        pthread_mutex_unlock(&mapping);
    }
    if (io->buffers) munmap(io->buffers, io->buffers_count * sizeof(struct io_uring_buf));
    if (io->buffers_mem) munmap(io->buffers_mem, (size_t)io->buffers_count * io->buffers_bytes);
    free(io);
}

static uint32_t cq_entries_for(uint32_t sockets)
{
    /* A connection has at most a receive (several pieces), a send and a close under way. */
    uint32_t want = sockets > CQ_ENTRIES_MAX / 8 ? CQ_ENTRIES_MAX : sockets * 8;
    return want < CQ_ENTRIES_MIN ? CQ_ENTRIES_MIN : want;
}

int io_open(const struct io_config *config, struct io **out, const char **what)
{
    CHECK(config->sockets > 0);
    CHECK(config->recv_buffers > 0 && config->recv_buffers <= 32768);
    CHECK((config->recv_buffers & (config->recv_buffers - 1)) == 0);
    struct io *io = calloc(1, sizeof *io);
    *what = "memory for a ring";
    if (io == NULL) return -ENOMEM;
    io->ring.ring_fd = -1;
    *what = "io_uring_setup";
    pthread_mutex_lock(&mapping);
    int rc = ring_open(io, cq_entries_for(config->sockets));
    pthread_mutex_unlock(&mapping);
    if (rc == 0) {
        *what = "io_uring_register: slots for sockets";
        rc = io_uring_register_files_sparse(&io->ring, config->sockets);
    } else {
        io->ring.ring_fd = -1;
    }
    if (rc == 0) {
        *what = "io_uring_register: receive buffers";
        rc = buffers_open(io, config);
    }
    if (rc < 0) {
        io_release(io);
        return rc;
    }
    io->enter_registered = io_uring_register_ring_fd(&io->ring) == 1; /* 5.18; saves a look-up */
    clock_read(io);
    *out = io;
    return 0;
}

void io_close(struct io *io)
{
    CHECK(io->in_flight == 0);
    CHECK(io->ended == NULL);
    io_release(io);
}

/* ---- submitting --------------------------------------------------------------------------- */

static int enter(struct io *io, uint32_t wait_nr, uint32_t min_wait_us, uint64_t timeout_ns)
{
    struct io_uring_sq *sq = &io->ring.sq;
    sq->sqe_head = sq->sqe_tail; /* liburing 2.3 filled the index array once, at its opening */
    io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
    unsigned to_submit = sq->sqe_tail - __atomic_load_n(sq->khead, __ATOMIC_ACQUIRE);
    struct __kernel_timespec ts = {.tv_sec = (long long)(timeout_ns / 1000000000u),
                                   .tv_nsec = (long long)(timeout_ns % 1000000000u)};
    struct getevents_arg arg = {
        .sigmask_sz = _NSIG / 8, .min_wait_usec = min_wait_us, .ts = (uintptr_t)&ts};
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    if (io->enter_registered) flags |= IORING_ENTER_REGISTERED_RING;
    return io_uring_enter2((unsigned)io->ring.enter_ring_fd, to_submit, wait_nr, flags,
                           (void *)&arg, sizeof arg);
}

/* Room for n SQEs in a row, so that a linked chain is never cut by a flush. */
static void sq_room(struct io *io, unsigned n)
{
    if (io_uring_sq_space_left(&io->ring) >= n) return;
    for (int tries = 0; tries < 1000 && io_uring_sq_space_left(&io->ring) < n; tries++)
        (void)enter(io, 0, 0, 0);
    CHECK(io_uring_sq_space_left(&io->ring) >= n);
}

static uint64_t user_data_of(const struct io_op *op, enum tag tag)
{
    CHECK_HOT(((uintptr_t)op & ~UD_ADDRESS) == 0);
    return (uintptr_t)op | (uint64_t)tag | (uint64_t)op->generation << 48;
}

static struct io_uring_sqe *sqe_take(struct io *io)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&io->ring);
    CHECK(sqe != NULL); /* sq_room() came before */
    return sqe;
}

static void end_with(struct io *io, struct io_op *op, int32_t res)
{
    op->backend = (uint64_t)(uint32_t)res;
    op->next = io->ended;
    io->ended = op;
}

/* Binding has no ring operation before 6.11: make the socket here and move it into its slot. */
static int bound_socket(struct io *io, const struct io_op *op)
{
    int fd = socket(op->addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int one = 1, slot_fd = fd, rc = 0;
    /* The port is chosen at connect(), by the whole 4-tuple: 28,000 for each receiver, not each
     * source address. Advice: failing to set it costs ports, nothing else. */
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(fd, &op->bind_addr->sa, addr_len(op->bind_addr)) < 0) rc = -errno;
    if (rc == 0) rc = io_uring_register_files_update(&io->ring, (unsigned)op->fd, &slot_fd, 1);
    close(fd);
    return rc < 0 ? rc : 0;
}

static void submit_connect(struct io *io, struct io_op *op)
{
    struct io_uring_sqe *sqe;
    op->backend = 0;
    if (op->bind_addr) {
        int rc = bound_socket(io, op);
        if (rc < 0) {
            end_with(io, op, rc);
            return;
        }
    } else {
        sqe = sqe_take(io);
        io_uring_prep_socket_direct(sqe, op->addr->sa.sa_family, SOCK_STREAM, 0, (unsigned)op->fd,
                                    0);
        sqe->flags = IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
        sqe->user_data = user_data_of(op, TAG_SOCKET);
    }
    sqe = sqe_take(io);
    io_uring_prep_connect(sqe, op->fd, &op->addr->sa, addr_len(op->addr));
    sqe->flags = IOSQE_FIXED_FILE;
    sqe->user_data = user_data_of(op, TAG_OP);
}

static void submit_recv(struct io *io, struct io_op *op)
{
    struct io_uring_sqe *sqe = sqe_take(io);
    io_uring_prep_recv_multishot(sqe, op->fd, NULL, 0, 0);
    sqe->flags = IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    sqe->user_data = user_data_of(op, TAG_OP);
}

static void submit_one(struct io *io, struct io_op *op)
{
    struct io_uring_sqe *sqe = sqe_take(io);
    switch ((enum io_kind)op->kind) {
    case IO_SEND:
        /* WAITALL: the kernel itself goes on after a short send. */
        io_uring_prep_send(sqe, op->fd, op->buf, op->len, MSG_WAITALL | MSG_NOSIGNAL);
        sqe->flags = IOSQE_FIXED_FILE;
        io->sends_queued++;
        break;
    case IO_CLOSE: io_uring_prep_close_direct(sqe, (unsigned)op->fd); break;
    case IO_READ: io_uring_prep_read(sqe, op->fd, op->buf, op->len, op->offset); break;
    case IO_WRITE: io_uring_prep_write(sqe, op->fd, op->buf, op->len, op->offset); break;
    case IO_SYNC: io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC); break;
    case IO_POLL: io_uring_prep_poll_add(sqe, op->fd, op->len); break;
    case IO_CONNECT:
    case IO_RECV:
    case IO_KIND_COUNT: UNREACHABLE();
    }
    sqe->user_data = user_data_of(op, TAG_OP);
}

void io_submit(struct io *io, struct io_op *op)
{
    CHECK(!op->in_flight);
    CHECK(op->done != NULL);
    CHECK(op->kind < IO_KIND_COUNT);
    op->in_flight = true;
    op->cancelled = false;
    op->more = false;
    op->generation++;
    io->in_flight++;
    sq_room(io, 2);
    if (op->kind == IO_CONNECT) submit_connect(io, op);
    else if (op->kind == IO_RECV) submit_recv(io, op);
    else submit_one(io, op);
}

/* Takes op out of a singly linked list; false when it is not there. */
static bool unlink_op(struct io_op **list, struct io_op *op)
{
    for (struct io_op **at = list; *at != NULL; at = &(*at)->next)
        if (*at == op) {
            *at = op->next;
            return true;
        }
    return false;
}

void io_cancel(struct io *io, struct io_op *op)
{
    CHECK(op->in_flight);
    CHECK(op->kind != IO_CLOSE);
    if (op->cancelled) return;
    op->cancelled = true;
    if (op->kind == IO_RECV && unlink_op(&io->starved, op)) { /* not in the kernel's hands */
        end_with(io, op, -ECANCELED);
        return;
    }
    sq_room(io, 1);
    struct io_uring_sqe *sqe = sqe_take(io);
    io_uring_prep_cancel64(sqe, user_data_of(op, TAG_OP), 0);
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = UD_IGNORED;
}

/* ---- one turn ----------------------------------------------------------------------------- */

static void buffer_back(struct io *io, uint32_t id)
{
    CHECK(id < io->buffers_count);
    io_uring_buf_ring_add(io->buffers, io->buffers_mem + (size_t)id * io->buffers_bytes,
                          io->buffers_bytes, (uint16_t)id,
                          io_uring_buf_ring_mask(io->buffers_count), (int)io->buffers_pending++);
}

static void op_last(struct io *io, struct io_op *op, int32_t res)
{
    CHECK(io->in_flight > 0);
    io->in_flight--;
    op->in_flight = false;
    op->more = false;
    op->done(op, res);
}

/* A multishot receive may end for the kernel's own reasons; for the caller it goes on. */
static void recv_completed(struct io *io, struct io_op *op, int32_t res, uint32_t flags)
{
    bool kernel_ended = !(flags & IORING_CQE_F_MORE);
    if (res > 0) {
        uint32_t id = flags >> IORING_CQE_BUFFER_SHIFT;
        CHECK(flags & IORING_CQE_F_BUFFER);
        op->buf = io->buffers_mem + (size_t)id * io->buffers_bytes;
        op->more = true;
        op->done(op, res);
        buffer_back(io, id);
        if (!kernel_ended) return;
        if (op->cancelled) {
            op_last(io, op, -ECANCELED);
            return;
        }
        op->next = io->starved;
        io->starved = op;
        return;
    }
    CHECK(kernel_ended);
    if (ODD(res == -ENOBUFS) && !op->cancelled) { /* every buffer is in use: once some are back */
        op->next = io->starved;
        io->starved = op;
        return;
    }
    op_last(io, op, res == -ENOBUFS ? -ECANCELED : res);
}

static uint32_t completed(struct io *io, const struct gathered *g)
{
    if (g->user_data == UD_IGNORED) return 0;
    struct io_op *op = (struct io_op *)(uintptr_t)(g->user_data & UD_ADDRESS);
    uint16_t generation = (uint16_t)(g->user_data >> 48);
    if (ODD(op->generation != generation) || ODD(!op->in_flight)) return 0;
    if ((g->user_data & TAG_MASK) == TAG_SOCKET) { /* the connect follows, as cancelled */
        op->backend = (uint64_t)(uint32_t)g->res;
        return 0;
    }
    if (op->kind == IO_RECV) {
        recv_completed(io, op, g->res, g->flags);
        return 1;
    }
    int32_t res = g->res;
    if (op->kind == IO_CONNECT && res == -ECANCELED && op->backend != 0)
        res = (int32_t)(uint32_t)op->backend; /* the reason why there was no socket */
    op_last(io, op, res);
    return 1;
}

static void starved_again(struct io *io)
{
    struct io_op *list = io->starved;
    io->starved = NULL;
    while (list != NULL) {
        struct io_op *op = list;
        list = op->next;
        sq_room(io, 1);
        submit_recv(io, op);
    }
}

static uint32_t ended_run(struct io *io)
{
    uint32_t count = 0;
    struct io_op *list = io->ended;
    io->ended = NULL;
    while (list != NULL) {
        struct io_op *op = list;
        list = op->next;
        op_last(io, op, (int32_t)(uint32_t)op->backend);
        count++;
    }
    return count;
}

static void wait_for(struct io *io, uint64_t until_ns, uint32_t batch)
{
    uint64_t timeout_ns = until_ns > io->now_ns ? until_ns - io->now_ns : 0;
    uint32_t wait_nr = 0, min_wait_us = 0;
    if (timeout_ns > 0 && io->ended == NULL) {
        wait_nr = 1;
        if (io->ring.features & FEAT_MIN_TIMEOUT) {
            /* The sends queued here complete inside the enter and are not worth waking for. With
             * a minimum wait the count is a wish, not a condition: a send that blocks does not
             * hold us up for longer than that. */
            wait_nr = io->sends_queued + (batch > 1 ? batch : 1);
            min_wait_us = MIN_WAIT_US;
        }
    }
    io->sends_queued = 0;
    int rc = enter(io, wait_nr, min_wait_us, timeout_ns);
    bool expected = rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EBUSY || rc == -EAGAIN;
    if (ODD(!expected)) { /* nothing is lost: what was not taken is offered again */
        struct timespec pause = {.tv_nsec = ERROR_PAUSE_NS};
        nanosleep(&pause, NULL);
    }
}

uint32_t io_turn(struct io *io, uint64_t until_ns, uint32_t batch)
{
    if (io->buffers_pending > 0) {
        io_uring_buf_ring_advance(io->buffers, (int)io->buffers_pending);
        io->buffers_pending = 0;
    }
    if (io->starved != NULL) starved_again(io);
    uint64_t enter_ns = until_ns > io->now_ns ? IO_CLOCK_BASE_NS + clock_ns(CLOCK_MONOTONIC) : 0;
    wait_for(io, until_ns, batch);
    clock_read(io);
    io->waited_ns = enter_ns > 0 ? io->now_ns - enter_ns : 0;
    (void)ODD(IO_URING_READ_ONCE(*io->ring.cq.koverflow) > 0);
    uint32_t count = ended_run(io);
    unsigned head, n = 0;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&io->ring, head, cqe)
    {
        if (n == GATHER_MAX) break;
        io->gathered[n++] = (struct gathered){cqe->user_data, cqe->res, cqe->flags};
    }
    io_uring_cq_advance(&io->ring, n);
    for (unsigned i = 0; i < n; i++) count += completed(io, &io->gathered[i]);
    return count;
}

/* ---- watched sockets: the kernel's own, non-blocking; the ring only polls them -------------- */

int io_watched_open(struct io *io, int family, enum io_transport transport, int32_t *fd)
{
    CHECK(io != NULL);
    int type = transport == IO_STREAM ? SOCK_STREAM : SOCK_DGRAM;
    int opened = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (opened < 0) return -errno;
    *fd = opened;
    return 0;
}

int io_watched_connect(struct io *io, int32_t fd, const struct addr *to)
{
    CHECK(io != NULL && fd >= 0);
    return connect(fd, &to->sa, addr_len(to)) < 0 ? -errno : 0;
}

int64_t io_watched_send(struct io *io, int32_t fd, const struct iovec *pieces, uint32_t count)
{
    CHECK(io != NULL && fd >= 0);
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = count};
    ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

int64_t io_watched_recv(struct io *io, int32_t fd, void *buf, size_t bytes, struct addr *from)
{
    CHECK(io != NULL && fd >= 0);
    struct addr sender;
    socklen_t room = sizeof sender;
    ssize_t n = recvfrom(fd, buf, bytes, MSG_DONTWAIT, &sender.sa, &room);
    if (n < 0) return -errno;
    if (from != NULL) *from = sender;
    return n;
}

void io_watched_close(struct io *io, int32_t fd)
{
    CHECK(io != NULL && fd >= 0);
    close(fd);
}
