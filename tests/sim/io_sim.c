/* tests/sim/io_sim.c - the other implementation of core/io/io.h: nothing here touches the kernel.
 *
 * An io_submit() makes a pend; an event of the world lets it take effect (net_sim.c for sockets,
 * disk_sim.c for files) and makes it ready; io_turn() hands out what is ready, in any order, some
 * of it a turn late. io_turn() never waits: a shard that would is not turned (io_sim_wakes()).
 *
 * Every way in which a caller could break the contract of io.h is a RULE here.
 */
#include "tests/sim/io_sim.h"

#include "tests/sim/disk_sim.h"
#include "tests/sim/dns_sim.h"
#include "tests/sim/net_sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CANCEL_TAIL_BITS = 17, FILE_TAIL_BITS = 22 }; /* powers of two of a microsecond */

struct io {
    struct world *world;
    struct io *closed_next;
    uint64_t now_ns, wish_ns, waited_ns;
    uint32_t recv_bytes;
    uint32_t in_flight;
    uint32_t free_count, ready_count;
    bool inside_turn;
    struct pend *free_list[PENDS_MAX], *ready_list[PENDS_MAX], *turn_list[PENDS_MAX];
    struct pend pend[PENDS_MAX];
};

int io_open(const struct io_config *config, struct io **out, const char **what)
{
    struct world *w = world_current;
    CHECK(w != NULL);
    RULE(config->sockets > 0, "a ring without sockets");
    RULE(config->recv_buffers > 0 && (config->recv_buffers & (config->recv_buffers - 1)) == 0,
         "%u receive buffers: no power of two", config->recv_buffers);
    RULE(config->recv_bytes > 0, "receive buffers of no size");
    RULE(w->ios_count < WORLD_IOS_MAX, "too many rings");
    if (w->io_open_error != 0 && w->io_opens_left-- == 0) {
        *what = "simulated";
        return -w->io_open_error;
    }
    struct io *io = malloc(sizeof *io);
    CHECK(io != NULL);
    *io = (struct io){
        .world = w, .now_ns = w->now_ns, .recv_bytes = config->recv_bytes, .free_count = PENDS_MAX};
    for (uint32_t i = 0; i < PENDS_MAX; i++) {
        io->pend[i] = (struct pend){.io = io};
        io->free_list[i] = &io->pend[PENDS_MAX - 1 - i];
    }
    w->ios[w->ios_count++] = io;
    net_attach(w->net, io, config->sockets);
    *out = io;
    return 0;
}

void io_close(struct io *io)
{
    struct world *w = io->world;
    RULE(io->in_flight == 0, "a ring was closed with %u operations in flight", io->in_flight);
    net_detach(w->net, io);
    uint32_t i = io_sim_index(io);
    w->ios[i] = w->ios[--w->ios_count];
    io->closed_next = w->ios_closed; /* events may still name its operations */
    w->ios_closed = io;
}

static void pend_dies(struct world *w, struct pend *p)
{
    if (p->op == NULL) return;
    if (p->kind == IO_WRITE && !p->ready && world_draw(w, 50))
        (void)disk_write(w, p->file, p->op->buf, p->op->len, p->op->offset);
    if (p->file != NULL) p->file->ops--;
    *p = (struct pend){.io = p->io, .serial = p->serial + 1};
}

void io_sim_crash(struct io *io)
{
    struct world *w = io->world;
    net_crash(w->net, io);
    for (uint32_t i = 0; i < PENDS_MAX; i++) pend_dies(w, &io->pend[i]);
    uint32_t i = io_sim_index(io);
    w->ios[i] = w->ios[--w->ios_count];
    io->closed_next = w->ios_closed;
    w->ios_closed = io;
}

void io_sim_free_closed(struct world *w)
{
    while (w->ios_closed != NULL) {
        struct io *io = w->ios_closed;
        w->ios_closed = io->closed_next;
        free(io);
    }
}

uint32_t io_sim_index(const struct io *io)
{
    for (uint32_t i = 0; i < io->world->ios_count; i++)
        if (io->world->ios[i] == io) return i;
    UNREACHABLE();
}

uint64_t io_now_ns(const struct io *io) { return io->now_ns; }
uint64_t io_waited_ns(const struct io *io) { return io->waited_ns; }
uint64_t io_wall_ns(const struct io *io) { return io->world->wall_ns + io->now_ns; }
uint32_t io_in_flight(const struct io *io) { return io->in_flight; }
uint64_t io_sim_wish_ns(const struct io *io) { return io->wish_ns; }
uint32_t io_sim_recv_bytes(const struct io *io) { return io->recv_bytes; }

static uint64_t bytes_sum(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint64_t sum = n, word = 0;
    for (; n >= sizeof word; n -= sizeof word, p += sizeof word) {
        memcpy(&word, p, sizeof word);
        sum = (sum ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        sum ^= sum >> 32;
    }
    for (; n > 0; n--, p++) sum = (sum ^ *p) * UINT64_C(0x9E3779B97F4A7C15);
    return sum;
}

void pend_check_bytes(const struct pend *p)
{
    RULE(bytes_sum(p->op->buf, p->op->len) == p->sum,
         "bytes lent to an operation of kind %u changed before its end", p->kind);
}

static void make_ready(struct pend *p)
{
    CHECK(!p->ready);
    CHECK(p->io->ready_count < PENDS_MAX);
    p->ready = true;
    p->io->ready_list[p->io->ready_count++] = p;
}

void io_sim_ready(struct pend *p, int32_t res)
{
    CHECK(p->op != NULL);
    p->res = res;
    make_ready(p);
}

void io_sim_ready_recv(struct pend *p)
{
    CHECK(p->kind == IO_RECV);
    if (!p->ready) make_ready(p);
}

/* ---- files --------------------------------------------------------------------------------- */

static void file_effect(struct world *w, void *obj, uint64_t serial)
{
    struct pend *p = obj;
    if (!pend_is(p, serial) || p->ready) return;
    p->waits = false;
    const struct io_op *op = p->op;
    int32_t res = 0;
    bool again = p->kind != IO_SYNC && world_draw(w, w->knobs.disk_again);
    if (again) {
        res = world_draw(w, 50) ? -EINTR : -EAGAIN;
    } else if (p->kind == IO_READ) {
        if (disk_would_wait(p->file)) {
            p->waits = true;
            disk_wait(p->file, file_effect, p, serial);
            return;
        }
        res = disk_read(w, p->file, op->buf, op->len, op->offset);
    } else if (p->kind == IO_WRITE) {
        pend_check_bytes(p);
        res = disk_write(w, p->file, op->buf, op->len, op->offset);
    } else if (p->kind == IO_SYNC) {
        res = disk_sync(p->file);
    }
    io_sim_ready(p, res);
}

static void file_submit(struct world *w, struct pend *p)
{
    p->file = disk_of_fd(w->disk, p->op->fd);
    p->file->ops++;
    if (p->kind != IO_SYNC) RULE(p->op->len > 0, "a file operation on nothing");
    uint32_t slow = p->kind == IO_READ ? w->knobs.read_slow : w->knobs.write_slow;
    world_at(w, w->now_ns + world_latency_ns(w, slow, FILE_TAIL_BITS), file_effect, p, p->serial);
}

static void file_cancel(struct world *w, struct pend *p)
{
    if (p->waits) {
        CHECK(p->file->waiter_obj == p);
        p->file->waiter = NULL;
        io_sim_ready(p, -ECANCELED);
    } else if (!world_draw(w, w->knobs.cancel_loses)) {
        PROBE("a file operation was cancelled before it began");
        io_sim_ready(p, -ECANCELED);
    }
}

/* ---- submit and cancel --------------------------------------------------------------------- */

void io_submit(struct io *io, struct io_op *op)
{
    struct world *w = io->world;
    RULE(!op->in_flight, "an operation was submitted while in flight");
    RULE(op->kind < IO_KIND_COUNT, "kind %u", op->kind);
    RULE(op->done != NULL, "an operation without done()");
    RULE(io->free_count > 0, "more than %d operations in flight", PENDS_MAX);
    struct pend *p = io->free_list[--io->free_count];
    CHECK(p->op == NULL);
    p->op = op;
    p->begun_ns = w->now_ns;
    p->kind = op->kind;
    op->in_flight = true;
    op->cancelled = false;
    op->more = false;
    op->generation++;
    op->backend = (uint64_t)(p - io->pend);
    io->in_flight++;
    if (op->kind == IO_SEND || op->kind == IO_WRITE) {
        RULE(op->buf != NULL && op->len > 0, "sending or writing nothing");
        p->sum = bytes_sum(op->buf, op->len);
    }
    world_trace(w, "submit", op->kind, (uint64_t)(int64_t)op->fd, op->len);
    if (op->kind == IO_READ || op->kind == IO_WRITE || op->kind == IO_SYNC) file_submit(w, p);
    else if (op->kind == IO_POLL) dns_sim_poll(w->dns, p);
    else net_submit(w->net, p);
}

static void cancel_effect(struct world *w, void *obj, uint64_t serial)
{
    struct pend *p = obj;
    if (!pend_is(p, serial)) return;
    world_trace(w, "cancel effect", p->kind, (uint64_t)(int64_t)p->op->fd, p->ready);
    if (p->ready && p->kind != IO_RECV) {
        PROBE("the result was on its way when the cancel came");
        return;
    }
    if (p->kind == IO_READ || p->kind == IO_WRITE || p->kind == IO_SYNC) file_cancel(w, p);
    else if (p->kind == IO_POLL) dns_sim_poll_cancel(p);
    else net_cancel(w->net, p);
}

void io_cancel(struct io *io, struct io_op *op)
{
    struct world *w = io->world;
    RULE(op->in_flight, "cancel of an operation that is not in flight");
    RULE(op->kind != IO_CLOSE, "cancel of a close");
    if (op->cancelled) return;
    op->cancelled = true;
    CHECK(op->backend < PENDS_MAX);
    struct pend *p = &io->pend[op->backend];
    CHECK(p->op == op);
    world_trace(w, "cancel", op->kind, (uint64_t)(int64_t)op->fd, 0);
    uint64_t wait_ns = world_latency_ns(w, w->knobs.cancel_late, CANCEL_TAIL_BITS);
    world_at(w, w->now_ns + wait_ns, cancel_effect, p, p->serial);
}

/* ---- the turn ------------------------------------------------------------------------------ */

/* The operation goes home: from here on its memory is the caller's again. */
static struct io_op *pend_give(struct pend *p)
{
    struct io *io = p->io;
    struct io_op *op = p->op;
    CHECK(op != NULL);
    CHECK(io->in_flight > 0);
    if (p->kind == IO_SEND || p->kind == IO_WRITE) pend_check_bytes(p);
    if (p->file != NULL) p->file->ops--;
    uint64_t serial = p->serial + 1;
    *p = (struct pend){.io = io, .serial = serial};
    io->free_list[io->free_count++] = p;
    io->in_flight--;
    op->in_flight = false;
    op->more = false;
    return op;
}

static void finish(struct pend *p, int32_t res)
{
    struct world *w = p->io->world;
    if (p->kind == IO_POLL) dns_sim_poll_home(w->dns, p);
    else if (p->kind != IO_READ && p->kind != IO_WRITE && p->kind != IO_SYNC)
        net_finish(w->net, p, res);
    world_trace(w, "done", p->kind, (uint64_t)(int64_t)res, (uint64_t)(int64_t)p->op->fd);
    w->completions++;
    struct io_op *op = pend_give(p);
    op->done(op, res);
}

/* A piece of an answer, in memory that is spoilt as soon as done() is back. Returns false when the
 * receive has nothing more to say in this turn. */
static bool recv_piece(struct pend *p, char *piece)
{
    struct io *io = p->io;
    struct world *w = io->world;
    struct io_op *op = p->op;
    int32_t res = 0;
    enum net_recv what = net_recv_next(w->net, p, piece, &res);
    if (what == NET_RECV_NOTHING) return false;
    if (what == NET_RECV_LAST) {
        finish(p, res);
        return false;
    }
    CHECK(res > 0);
    op->buf = piece;
    op->more = true;
    world_trace_bytes(w, "received", piece, (size_t)res);
    w->completions++;
    op->done(op, res);
    RULE(p->op == op && op->in_flight, "a multishot receive ended by itself");
    memset(piece, 0xDB, (size_t)res);
    return true;
}

static void recv_run(struct pend *p)
{
    char piece[16 * 1024];
    CHECK(p->io->recv_bytes <= sizeof piece);
    struct world *w = p->io->world;
    uint64_t serial = p->serial;
    while (recv_piece(p, piece)) {
        if (!pend_is(p, serial)) return;
        if (!world_draw(w, w->knobs.recv_hold)) continue;
        PROBE("a receive gave a part in this turn and the rest in a later one");
        io_sim_ready_recv(p);
        return;
    }
}

static void shuffle(struct world *w, struct pend **list, uint32_t n)
{
    for (uint32_t i = n; i > 1; i--) {
        uint32_t k = world_below(w, i);
        struct pend *swap = list[i - 1];
        list[i - 1] = list[k];
        list[k] = swap;
    }
}

bool io_sim_wakes(struct io *io, uint64_t until_ns)
{
    struct world *w = io->world;
    world_run_due(w);
    bool wakes = io->ready_count > 0 || until_ns <= w->now_ns;
    io->wish_ns = wakes ? 0 : until_ns;
    return wakes;
}

uint32_t io_turn(struct io *io, uint64_t until_ns, uint32_t batch)
{
    struct world *w = io->world;
    MAYBE(until_ns > w->now_ns); /* it has slept: see io_sim_wakes() */
    RULE(!io->inside_turn, "io_turn() was called from a done()");
    MAYBE(batch > 1); /* a wish for more completions, which cannot be seen here */
    io->inside_turn = true;
    world_run_due(w);
    io->waited_ns = w->now_ns - io->now_ns;
    io->now_ns = w->now_ns;
    uint32_t n = io->ready_count;
    uint64_t completions = w->completions;
    memcpy(io->turn_list, io->ready_list, n * sizeof(struct pend *));
    io->ready_count = 0;
    shuffle(w, io->turn_list, n);
    for (uint32_t i = 0; i < n; i++) {
        struct pend *p = io->turn_list[i];
        CHECK(p->ready);
        p->ready = false;
        if (world_draw(w, w->knobs.late_done)) make_ready(p);
        else if (p->kind == IO_RECV) recv_run(p);
        else finish(p, p->res);
    }
    io->inside_turn = false;
    io->wish_ns = 0;
    return (uint32_t)(w->completions - completions);
}
