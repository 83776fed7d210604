/* core/http/hints.h - the fields of an answer that say how fast to go on (delivery.md section 4):
 * Retry-After, X-Rate-Limit-*, X-RateLimit-*, RateLimit-*, and the structured fields RateLimit and
 * RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers, RFC 9651; its drafts up to 7 as well).
 * Pure: bytes in, values out.
 *
 * A field is read as it comes (hints_field()); what the values mean is known when the head is
 * whole, since the answer's own Date tells the receiver's clock (hints_resolve()).
 *
 * A time is: seconds or an epoch in digits, with a fraction or without (above 1e11 milliseconds
 * since 1970, above 1e9 seconds since 1970, else seconds from now on); a duration (duration.h); an
 * HTTP date; an RFC 3339 time. A count is digits; its fraction is cut off. Anything else is
 * ignored and counted: empty, negative, not a number, a list where none belongs, beyond all
 * measure (counts above HINT_COUNT_MAX, times that are no 64 bits of ns).
 *
 * A repetition with another value is counted too, and the more careful value stays: the smaller
 * limit and remaining, the later time. So does one that several proxies on the way each wrote
 * leave the tightest of their limits.
 */
#ifndef CORE_HTTP_HINTS_H
#define CORE_HTTP_HINTS_H

#include "core/base/span.h"
#include "core/http/http_date.h"
#include "core/http/scan.h"

#include <stdbool.h>
#include <stdint.h>

#define HINT_COUNT_MAX  UINT64_C(999999999999999) /* as RFC 9651's integers */
#define HINT_WINDOW_MAX (UINT64_C(1) << 62)       /* ns */

enum {
    HINT_ITEMS_MAX = 4,    /* in RateLimit; of more, the tightest stay */
    HINT_POLICIES_MAX = 4, /* more are ignored and counted */
};

/* Which fields of plain numbers belong together, in the order of preference. */
enum hint_family { HINT_RATELIMIT, HINT_X_RATELIMIT, HINT_X_RATE_LIMIT, HINT_FAMILY_COUNT };

/* One field may have told both, in two lines. A step is the last digit's weight; 0: not told. */
struct hint_time {
    uint64_t delta_ns, delta_step_ns; /* from the answer on */
    uint64_t epoch_ns, epoch_step_ns; /* since 1970 */
};

struct hint_quota {
    struct hint_time reset;
    uint64_t limit, remaining;
    bool has_limit, has_remaining;
};

/* A member of RateLimit. */
struct hint_item {
    uint64_t limit, remaining, t_ns; /* limit: of a draft up to 7 */
    uint32_t name;                   /* hash; 0: has none */
    uint32_t t_step_ns;              /* 0: no t */
    bool has_limit;
};

/* A member of RateLimit-Policy, or of the list that a *-Limit field may be. */
struct hint_policy {
    uint64_t q, w_ns; /* w_ns 0: not told */
    uint32_t name;    /* hash; 0: has none */
    bool requests;    /* and not bytes or anything else */
};

/* What was read so far. hints_init() is enough to begin, and so is zeroing. */
struct hints {
    bool any; /* a field was there, though it may have made no sense; else the rest is not valid */
    uint8_t ignored;  /* fields that made no sense; stays at 255 */
    uint8_t date_len; /* date is valid without any: it nearly always comes first */
    char date[HTTP_DATE_BYTES_MAX];
    uint8_t items_count, policies_count;
    bool items_bad, policies_bad; /* a line broke the rules: the whole field does not count */
    struct hint_time retry_after;
    struct hint_quota quotas[HINT_FAMILY_COUNT];
    struct hint_item items[HINT_ITEMS_MAX];
    struct hint_policy policies[HINT_POLICIES_MAX];
};

static inline void hints_init(struct hints *h)
{
    h->any = false;
    h->ignored = 0;
    h->date_len = 0;
}

/* Does hints_field() want this field? For every field of every answer, so it is cheap and says yes
 * to a few others too, which hints_field() leaves alone. */
static inline bool hints_wants(struct span name)
{
    if (name.len < 4) return false;
    switch (*name.ptr | 0x20) {
    case 'd': return name.len == 4 && scan_is(name.ptr, "date", 4);
    case 'r':
        return name.len >= 9 && (scan_is(name.ptr, "ratelimit", 9) ||
                                 (name.len == 11 && scan_is(name.ptr, "retry-after", 11)));
    case 'x': return name.len >= 17 && scan_is(name.ptr, "x-rate", 6);
    default: return false;
    }
}

/* Takes Date's value, without white space around it: of each answer, so it is only copied here, and
 * read when it is needed. The first one counts. */
static inline void hints_date(struct hints *h, struct span value)
{
    if (h->date_len > 0 || value.len > sizeof h->date) return;
    h->date_len = (uint8_t)value.len;
    (void)span_put(h->date, value);
}

/* One field line, its value without white space around it. */
void hints_field(struct hints *h, struct span name, struct span value);
/* One field line whose value was too long to keep: it is ignored and counted. */
void hints_field_cut(struct hints *h, struct span name);

/* In times from the answer's arrival, each at most max_ns. */
struct hint {
    bool has_retry_after, has_limit, has_remaining, has_reset;
    uint64_t retry_after_ns;
    uint64_t limit, remaining;
    uint64_t reset_ns;
    uint64_t reset_step_ns; /* how finely it is known: its own unit, and Date's if that was used */
    uint64_t window_ns;     /* 0: not told; a length, at most HINT_WINDOW_MAX, not max_ns */
};

/* wall_ns: our clock at the answer's arrival, used where the answer has no Date. Past is 0.
 *
 * Limit, remaining and reset are of one source, so that they fit together: the one with the
 * smallest remaining, of equal ones RateLimit (its item with the longest t) before RateLimit-*
 * before X-RateLimit-*; what it does not tell is taken from the others in that order, and last of
 * all, if RateLimit names none, a limit from the tightest policy. */
void hints_resolve(const struct hints *h, uint64_t wall_ns, uint64_t max_ns, struct hint *out);

#endif
