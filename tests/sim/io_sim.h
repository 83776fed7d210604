/* tests/sim/io_sim.h - what the other parts of the simulator may ask of the backend in io_sim.c. */
#ifndef TESTS_SIM_IO_SIM_H
#define TESTS_SIM_IO_SIM_H

#include "core/io/io.h"
#include "tests/sim/world.h"

/* An operation in flight. Slots are reused; `serial` changes when one is, so that an event meant
 * for an earlier life is ignored. */
struct pend {
    struct io *io;
    struct io_op *op;  /* NULL: free */
    struct wire *conn; /* net_sim's; NULL for files and before a connect took effect */
    struct file *file; /* IO_READ, IO_WRITE, IO_SYNC */
    uint64_t serial;
    uint64_t begun_ns;
    uint64_t sum;    /* IO_SEND, IO_WRITE: of the lent bytes, which must not change */
    uint32_t moved;  /* IO_SEND: bytes at the receiver */
    uint32_t goal;   /* IO_SEND: bytes that shall get there */
    int32_t res;     /* what done() will be told, once ready */
    uint8_t kind;    /* enum io_kind */
    bool ready;      /* in the io's list of things to hand out */
    bool cancel_due; /* IO_RECV: the cancel has reached the kernel */
    bool waits;      /* IO_READ: on a pipe */
};

enum { PENDS_MAX = 256 };

/* Whether an io_turn() until then would return now. If not, the shard sleeps: it is not turned, and
 * the clock moves no further than until_ns. */
bool io_sim_wakes(struct io *io, uint64_t until_ns);
/* Until when it sleeps; 0: it is to be asked (io_sim_wakes()). */
uint64_t io_sim_wish_ns(const struct io *io);
/* The result is known: done() will be told in one of the next turns. */
void io_sim_ready(struct pend *p, int32_t res);
/* A receive has something to tell (net_sim knows what). */
void io_sim_ready_recv(struct pend *p);
/* Whether the event's operation is still the one that is meant. */
static inline bool pend_is(const struct pend *p, uint64_t serial)
{
    return p->op != NULL && p->serial == serial;
}
/* RULE: the bytes lent with an IO_SEND or IO_WRITE are as they were. */
void pend_check_bytes(const struct pend *p);
uint32_t io_sim_recv_bytes(const struct io *io);
/* The process dies: what is in flight on files takes effect, in part, or not; nothing comes home.
 * */
void io_sim_crash(struct io *io);
/* For world_free(). */
void io_sim_free_closed(struct world *w);
/* Index of the io among the world's, for traces. */
uint32_t io_sim_index(const struct io *io);

#endif
