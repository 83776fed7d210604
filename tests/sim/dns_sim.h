/* tests/sim/dns_sim.h - virtual DNS: io.h's watched sockets, and the server that they ask.
 *
 * A dns_name says what the server answers for a name: a set of the addresses of a host, perhaps
 * another one from some time on, and what it does instead of answering. It keeps what each ring was
 * told, so that a connect to an address which the engine should no longer believe in breaks a RULE.
 *
 * Messages are read and written here by a second, dumber parser than c-ares'. Their 16-bit ids are
 * c-ares' own dice and enter neither the trace nor any decision.
 */
#ifndef TESTS_SIM_DNS_SIM_H
#define TESTS_SIM_DNS_SIM_H

#include "tests/sim/net_sim.h"

enum { DNS_SIM_NAMES_MAX = 48, DNS_SIM_PRIVATE_MAX = 2 };

/* What the server says of a name at some time. */
struct dns_set {
    uint32_t addrs;    /* a bit for each of the host's addresses */
    uint32_t privates; /* and so many that no policy lets through */
    bool none;         /* NXDOMAIN */
    uint32_t ttl_s;
};

/* What one ring was told of a name. */
struct dns_seen {
    const struct io *io;
    uint64_t believed_ns[NET_HOST_ADDRS_MAX]; /* each address may be used until then */
    uint32_t latest[2];                       /* addresses of the last answer; IPv4, IPv6 */
    uint64_t answered_ns[2];                  /* when it came; what was asked before is over */
    uint64_t begun_ns[2];                     /* when it was first asked for since its answer */
    uint64_t pause_ns;                        /* no question for A is due before */
};

struct dns_name {
    char name[64];
    uint32_t host; /* net_host() */
    struct dns_set set[2];
    uint64_t moves_ns;  /* from then on set[1]; UINT64_MAX: never */
    uint64_t delay_ns;  /* of every answer */
    bool silent;        /* never answers */
    uint64_t silent_ns; /* from then on; 0: never */
    /* What happened. */
    uint32_t questions, found, none, failed, lost, refused;
    struct dns_seen seen[WORLD_IOS_MAX];
    uint32_t seen_count;
};

struct dns_sim;
struct dns_sim *dns_sim_new(struct world *w);
void dns_sim_free(struct dns_sim *d); /* RULE: every watched socket was closed */
struct dns_name *dns_sim_add(struct dns_sim *d, const char *name, uint32_t host);
/* The name of a host; NULL: it has none. */
struct dns_name *dns_sim_of_host(struct dns_sim *d, uint32_t host);
/* Every name has all its addresses again, and is answered for. */
void dns_sim_heal(struct dns_sim *d);
/* Where the server listens. */
struct addr dns_sim_server(void);

/* A connect to an address of a host begins: RULE: the ring has reason to believe in it. */
void dns_sim_connects(struct dns_sim *d, const struct io *io, uint32_t host, uint32_t addr);

/* For io_sim.c: an IO_POLL begins, is cancelled, goes home. */
void dns_sim_poll(struct dns_sim *d, struct pend *p);
void dns_sim_poll_cancel(struct pend *p);
void dns_sim_poll_home(struct dns_sim *d, struct pend *p);

#endif
