/* tests/sim/tls_sim.h - virtual receivers that speak TLS: wolfSSL's server behind net_sim.c.
 *
 * They take the place of server_sim.c: what arrives is decrypted, requests are read by a dumb
 * parser of their own, and the answer is one of those below, encrypted again. The network may cut
 * or change what they say at any byte. They know which request of which record they have read, and
 * which answers they have said to the end.
 *
 * With tls_sim_seed() and the definitions in tls_env_sim.c nothing in either side is left to
 * chance: a seed is the same run, byte for byte.
 */
#ifndef TESTS_SIM_TLS_SIM_H
#define TESTS_SIM_TLS_SIM_H

#include "tests/sim/truth.h"

/* What kind of receiver a host is. */
enum tls_host {
    TLS_HOST_GOOD,
    TLS_HOST_GOOD_12, /* TLS 1.2 only */
    TLS_HOST_RSA,
    TLS_HOST_UNRELATED, /* signed by someone else */
    TLS_HOST_EXPIRED,
    TLS_HOST_WRONG_NAME,
    TLS_HOST_MUTE,    /* takes connections and says nothing */
    TLS_HOST_GARBAGE, /* answers the first bytes with what is no TLS */
    TLS_HOST_COUNT
};

static inline bool tls_host_is_false(enum tls_host k)
{
    return k == TLS_HOST_UNRELATED || k == TLS_HOST_EXPIRED || k == TLS_HOST_WRONG_NAME;
}

enum tls_answer {
    TLS_ANSWER_OK,
    TLS_ANSWER_OK_CLOSE,       /* Connection: close, and a goodbye */
    TLS_ANSWER_OK_UNTIL_CLOSE, /* the body ends with a goodbye */
    TLS_ANSWER_CUT_BODY,       /* the same without it */
    TLS_ANSWER_KEY_UPDATE,     /* TLS 1.3: new keys, then OK */
    TLS_ANSWER_503,
    TLS_ANSWER_SILENT,
    TLS_ANSWER_GOODBYE, /* and nothing else */
    TLS_ANSWER_END,     /* of the connection, without a word */
    TLS_ANSWER_ALERT,   /* a fatal one, in the clear: nobody can authenticate it */
    TLS_ANSWER_COUNT
};

enum { TLS_RECORDS_MAX = 64 };

/* What one record has come to, as the receivers know it. */
struct tls_record {
    uint32_t host;
    uint32_t plain;    /* bytes of its requests that a receiver decrypted */
    uint32_t handled;  /* its requests that were read whole */
    uint32_t ok;       /* its 200s that were said to the end, goodbye included where it is needed */
    uint32_t cut_body; /* its answers that ended without the goodbye they needed */
};

struct tls_sim {
    enum tls_host kind[NET_HOSTS_MAX];
    struct tls_record record[TLS_RECORDS_MAX];
    uint32_t records;
    uint32_t weight[TLS_ANSWER_COUNT];
    uint32_t cut_percent, change_percent; /* of connections: their answers end early, are changed */
    uint32_t changed;                     /* connections that were */
};

extern struct tls_sim tls_sim;

/* The folder with the certificates of tests/certs/make. */
void tls_sim_certs(const char *folder);
/* Both sides' dice, for what they would ask the machine. */
void tls_sim_seed(uint64_t seed);
/* After a seed: the servers' contexts. */
void tls_sim_forget(void);
/* Mixes the seed's dice; see tls_env_sim.c. */
void tls_sim_random(unsigned char *out, unsigned n);

#endif
