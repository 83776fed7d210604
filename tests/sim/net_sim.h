/* tests/sim/net_sim.h - virtual TCP: sockets of the engine, connections, and what befalls them.
 *
 * A sock is a slot of one ring (core/io/io.h says when it is in use). A wire is a connection that
 * was established; it outlives its sock, so that a late event finds it. Bytes towards the receiver
 * go to server_sim.c when they arrive there; bytes towards the engine are put into wire.out by
 * server_sim.c and become readable (out_ready) at times it chooses.
 */
#ifndef TESTS_SIM_NET_SIM_H
#define TESTS_SIM_NET_SIM_H

#include "tests/sim/io_sim.h"

enum { NET_HOSTS_MAX = 48, NET_HOST_ADDRS_MAX = 8 };

/* Where a virtual receiver listens, and how it treats those who connect. */
struct net_host {
    struct addr addr[NET_HOST_ADDRS_MAX];
    uint32_t addrs_count;
    bool forbidden; /* no one may ever try to connect: the policy refuses it */
    bool refuses;   /* nothing listens there */
    uint32_t dead;  /* a bit for each address that is no good, though others are */
    bool blackhole; /* no packet ever comes back */
    uint32_t limit; /* connections at the same time that the engine was told to keep to */
    uint32_t open;  /* as the receiver counts them */
    uint32_t open_most;
    /* What the engine was told, for the referee. */
    uint32_t connects, established, refused, reset, unreachable, timed_out, no_resources, cancelled;
    bool slow_connect; /* a connect was in flight for as long as the engine's time limit */
};

struct truth_send; /* truth.h, as struct truth_reply */
struct truth_reply;

struct wire {
    struct net_sim *net;
    struct net_host *host;
    struct io *io;
    int32_t slot;        /* of io; -1 once the engine has closed it */
    uint64_t connect_ns; /* when the connect began */
    uint64_t close_ns;   /* when the engine asked for its close; 0: not yet */
    uint32_t number;     /* counts connections of this world, from 1 */
    bool counted;        /* in host->open */
    /* Towards the engine. */
    char *out; /* owned */
    size_t out_len, out_room, out_ready, out_read;
    bool fin_sent;   /* the receiver has closed: no byte follows out_ready */
    bool end_told;   /* the engine's receive has had its last call */
    bool dead;       /* reset: reads and writes fail */
    bool dead_drops; /* what was readable is lost with it */
    int dead_errno;
    /* Towards the receiver. */
    char *in; /* owned; the request that is being read */
    size_t in_len, in_room;
    bool in_deaf;                /* the receiver reads nothing any more */
    uint32_t requests;           /* complete ones */
    struct truth_send *exchange; /* the current one, owned by the truth; NULL before the first */
    bool tainted;                /* bytes that belong to no request were sent by the receiver */
    struct truth_reply *reply;   /* owned; how the script answers the current one; NULL: none */
};

/* A network without hosts; hosts are added before the run and found by index. */
struct net_sim *net_new(struct world *w);
void net_free(struct net_sim *n);
struct net_host *net_host_add(struct net_sim *n);
uint32_t net_hosts_count(const struct net_sim *n);
struct net_host *net_host(struct net_sim *n, uint32_t index);
uint32_t net_host_index(const struct net_sim *n, const struct net_host *h);

void net_attach(struct net_sim *n, struct io *io, uint32_t sockets);
void net_detach(struct net_sim *n, struct io *io); /* RULE: every slot is free */

/* The process dies, and its connections with it. */
void net_crash(struct net_sim *n, struct io *io);

/* Sockets in use, and sends in flight, of all rings. */
void net_count(const struct net_sim *n, uint32_t *sockets, uint32_t *sending);

/* For io_sim.c: an IO_CONNECT, IO_SEND, IO_RECV or IO_CLOSE begins, is cancelled, goes home. */
void net_submit(struct net_sim *n, struct pend *p);
void net_cancel(struct net_sim *n, struct pend *p);
void net_finish(struct net_sim *n, struct pend *p, int32_t res);

enum net_recv { NET_RECV_NOTHING, NET_RECV_PIECE, NET_RECV_LAST };
/* What a receive has to tell next: *res bytes in piece, or its last result. */
enum net_recv net_recv_next(struct net_sim *n, struct pend *p, char *piece, int32_t *res);

/* For server_sim.c: the receiver's side. */
void net_answer(struct wire *c, const void *bytes, size_t n);      /* not readable yet */
void net_readable(struct wire *c, uint64_t at_ns, size_t out_len); /* so far, from at_ns on */
void net_fin(struct wire *c, uint64_t at_ns);   /* everything is readable, then the end */
void net_reset(struct wire *c, uint64_t at_ns); /* RST */

#endif
