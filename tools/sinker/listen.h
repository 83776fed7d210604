/* tools/sinker/listen.h - where the receiver listens: texts like 127.0.0.1:8080, [::1]:0,
 * 127.0.1.1-127.0.1.120:8080, 127.0.0.1:9000-9099 or 127.0.0.0/8:8080 (one socket for every
 * loopback address), and the sockets they stand for.
 */
#ifndef TOOLS_SINKER_LISTEN_H
#define TOOLS_SINKER_LISTEN_H

#include "core/base/addr.h"
#include "core/base/check.h"

enum {
    LISTEN_SPECS_MAX = 64,
    LISTEN_ADDRS_MAX = 16384, /* addresses times ports, of all texts together */
    LISTEN_SHARDS_MAX = 64,
};

struct listen_spec {
    const char *text;   /* lent by the command line */
    struct addr first;  /* with the first port; 0: the kernel chooses */
    uint32_t ips_count; /* more than 1: IPv4 only */
    uint32_t ports_count;
    bool is_network; /* 127.0.0.0/8: first is 127.0.0.0 */
};

/* Returns NULL, or a clause that says what is wrong with the text. */
const char *listen_parse(const char *text, struct listen_spec *out);

struct listeners {
    int *fds; /* owned; [shard * count + address] */
    uint32_t count, shards_count;
    int *plugs; /* owned; sockets that fill the queues of listen_plug(), plugs_count */
    uint32_t plugs_count;
};

/* Opens all sockets and sets the real port in specs that asked for port 0. False: one line was
 * said to stderr. */
MUST_USE bool listen_open(struct listeners *l, struct listen_spec *specs, uint32_t specs_count,
                          uint32_t shards_count);
/* Connects to every listener until it takes no more: who comes after that waits, for ever or until
 * listen_unplug(). Only with one shard, which may not accept meanwhile. False: errno says why. */
MUST_USE bool listen_plug(struct listeners *l);
void listen_unplug(struct listeners *l);
/* The address with that index in the rows of fds. */
struct addr listen_nth(const struct listen_spec *specs, uint32_t specs_count, uint32_t index);
void listen_close(struct listeners *l);

enum { LISTEN_TEXT_BYTES = 160 };
/* The text with the real port, for people and scripts. */
void listen_text(const struct listen_spec *spec, char *out);

#endif
