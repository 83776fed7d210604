/* tests/sim/receiver_sim.h - virtual receivers with a will of their own: quotas, told in one of the
 * dialects there are, outages that begin and end, and recovery.
 *
 * They answer through truth.script. What they refuse and why is theirs to know: the referee reads
 * the bytes of their answers as any client would.
 */
#ifndef TESTS_SIM_RECEIVER_SIM_H
#define TESTS_SIM_RECEIVER_SIM_H

#include "tests/sim/truth.h"

/* How a receiver says how fast it may be sent to. */
#define DIALECT_TABLE(X) \
    X(SILENT, "nothing is said") \
    X(RETRY_AFTER, "Retry-After in seconds, on refusals") \
    X(RETRY_AFTER_DECIMAL, "Retry-After with a fraction") \
    X(RETRY_AFTER_DATE, "Retry-After as a date") \
    X(X_RATELIMIT, "X-RateLimit-*, reset in seconds") \
    X(X_RATE_LIMIT, "X-Rate-Limit-*, reset as an epoch") \
    X(X_RATELIMIT_MS, "X-RateLimit-*, reset as an epoch in milliseconds") \
    X(RATELIMIT, "RateLimit-Limit and so on, and Retry-After") \
    X(STRUCTURED, "RateLimit and RateLimit-Policy") \
    X(CONTRADICTORY, "several, and they disagree") \
    X(NONSENSE, "values that mean nothing")

#define DIALECT_ENUM(name, text) DIALECT_##name,
enum dialect { DIALECT_TABLE(DIALECT_ENUM) DIALECT_COUNT };
#undef DIALECT_ENUM

enum outage_kind {
    OUTAGE_503,
    OUTAGE_HINTED, /* 429 or 503, with Retry-After */
    OUTAGE_500,
    OUTAGE_SILENT,
    OUTAGE_CLOSES,
    OUTAGE_REFUSES, /* connections, all of them */
    OUTAGE_BLACKHOLE,
    OUTAGE_KINDS,
};

struct outage {
    uint64_t from_ns, to_ns;
    enum outage_kind kind;
    uint32_t percent; /* of requests */
};

enum { RECEIVER_OUTAGES_MAX = 3, RECEIVER_KEYS = 4 };

struct receiver {
    bool scripted; /* else it answers as truth.answer_weight says, until all is healed */
    enum dialect dialect;
    bool token_bucket; /* else a fixed window */
    uint32_t quota;    /* requests of one key in each window; 0: no limit */
    uint64_t window_ns;
    int64_t skew_s;    /* of its clock */
    uint64_t delay_ns; /* at most, before each answer */
    struct outage outage[RECEIVER_OUTAGES_MAX];
    uint32_t outages;
    /* What happens. */
    uint64_t window[RECEIVER_KEYS]; /* fixed: its number; bucket: when it was last filled */
    double left[RECEIVER_KEYS];
    uint64_t served, refused, failed;
};

struct receivers {
    struct receiver at[NET_HOSTS_MAX]; /* by the host's index */
    bool healed;                       /* all is well from now on, and everything is allowed */
};

/* Draws a receiver's habits; its outages lie between now and heal_ns. */
void receiver_draw(struct world *w, struct receivers *all, uint32_t host, uint64_t heal_ns);
/* truth.script, with truth.script_of the struct receivers. */
bool receiver_script(struct world *w, const struct truth_send *e, struct truth_reply *r);
void receivers_heal(struct world *w, struct receivers *all);
void receivers_print(const struct world *w, const struct receivers *all);

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
void http_date_write(char *out, size_t room, uint64_t epoch_s);

#endif
