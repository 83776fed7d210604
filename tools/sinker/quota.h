/* tools/sinker/quota.h - the limits of /limit/RATE/DIALECT: who may pass, who may not, and how
 * many there were of both.
 *
 * One quota for each triple of listening address, rule and key, shared by all shards and exact:
 * every request is judged under one lock, in the order in which the shards come to it, and time
 * never goes back within a quota. Three kinds, for COUNT in WINDOW:
 *
 *   fixed    at most COUNT in a window; it begins with the first request after the last one ended
 *   sliding  at most COUNT in any stretch of time as long as the window
 *   bucket   holds COUNT at most, and COUNT flow in evenly in each window
 *
 * What passed and what did not is counted by windows, so that a scenario can tell what share of a
 * quota was used and how much had to be refused. For sliding and bucket a window of the count is
 * a stretch of that length, counted from the first request; those without a request are left out.
 */
#ifndef TOOLS_SINKER_QUOTA_H
#define TOOLS_SINKER_QUOTA_H

#include "core/base/check.h"
#include "core/base/span.h"

#include <stdint.h>

enum {
    QUOTA_COUNT_MAX = 1000000000,
    QUOTA_SLIDING_MAX = 1 << 20, /* a sliding quota remembers so many times */
    QUOTA_WINDOW_MS_MIN = 1,     /* at most 24 h, as every time here */
    QUOTA_KEY_BYTES = 63,        /* of a longer key the report shows so much */
    QUOTAS_MAX = 1 << 16,        /* keys are the peer's choice */
    QUOTA_RULE_TEXT_BYTES = 64,
};

enum quota_kind { QUOTA_FIXED, QUOTA_SLIDING, QUOTA_BUCKET, QUOTA_KIND_COUNT };

struct quota_rule {
    uint64_t window_ns;
    uint32_t count;
    uint32_t dialects; /* bits of dialect.h: rules that only differ in these are two */
    uint8_t kind;      /* enum quota_kind */
};

/* Reads "100-per-s", "2000-per-10s", "60-per-m-sliding" or "5-per-250ms-bucket"; dialects stays.
 * False: it is none, or beyond the limits above. */
MUST_USE bool quota_rule_parse(struct span text, struct quota_rule *out);
/* The rule as it is parsed, without dialects; returns its length. */
size_t quota_rule_text(const struct quota_rule *rule, char out[QUOTA_RULE_TEXT_BYTES]);

enum quota_verdict { QUOTA_NONE, QUOTA_ALLOWED, QUOTA_REFUSED, QUOTA_NO_ROOM };

/* What a request was told; times are monotonic. */
struct quota_pass {
    uint64_t next_ns;  /* from then on one more may pass; now, if remaining > 0 */
    uint64_t whole_ns; /* from then on the whole quota is there again, if no other comes */
    uint32_t remaining;
    uint8_t verdict; /* enum quota_verdict; QUOTA_NONE: no limit was asked for */
};

struct quota_ask {
    const struct quota_rule *rule;
    uint32_t listener;
    struct span key; /* empty: none */
    uint64_t now_ns; /* monotonic; may lie a little before that of an earlier ask */
};

struct quotas;

/* keep_windows: quotas_windows() will be called about once a second. NULL: no memory. */
struct quotas *quotas_new(bool keep_windows);
void quotas_free(struct quotas *q);

/* Judges and counts one request. Any thread. */
struct quota_pass quotas_pass(struct quotas *q, const struct quota_ask *ask);

/* Whose numbers these are; the same for every call about one quota. */
struct quota_name {
    struct quota_rule rule;
    uint32_t listener;
    struct span key; /* empty: none; lent until quotas_free() */
};

struct quota_window {
    uint64_t start_ns; /* monotonic */
    uint64_t allowed, refused;
    uint32_t index; /* counted from 0 */
    bool is_over;
};

struct quota_total {
    uint64_t allowed, refused;
    uint32_t windows_count; /* that had a request */
    uint32_t windows_lost;  /* that no memory was left to tell of */
};

typedef void quota_window_fn(void *ctx, const struct quota_name *name,
                             const struct quota_window *window);
typedef void quota_total_fn(void *ctx, const struct quota_name *name,
                            const struct quota_total *total);

/* Tells, once, of every window that has ended since the last call, quota by quota in the order in
 * which they came to be; is_end: then of the present ones as well. Any one thread. */
void quotas_windows(struct quotas *q, uint64_t now_ns, bool is_end, quota_window_fn *fn, void *ctx);
void quotas_totals(struct quotas *q, quota_total_fn *fn, void *ctx);
/* Requests that were answered without a verdict because there are too many quotas. */
uint64_t quotas_no_room(struct quotas *q);

#endif
