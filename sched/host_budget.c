/* sched/host_budget.c - the retry budget of a host: a failing host is not hit harder than a healthy
 * one.
 *
 * Retries are free while at most a tenth of the attempts of the last 10 s had trouble; that is
 * counted in host->recent, three slices of 5 s, the oldest in part. Otherwise each costs a token:
 *
 *   budget:  tokens 32 (in thousandths) | 32 low bits of the ms at which they were counted
 *
 * Attempts earn budget_pct hundredths of a token, time budget_per_s tokens a second, up to 1 s
 * worth of the latter (at least 20 tokens, so that a small floor does not cap what a turn's
 * attempts earn): more would let a host that begins to fail be hit by all that was saved before.
 * 0 is the word of a fresh host: full. While it is full nothing is written, so that a healthy host
 * costs one load here.
 *
 * A host whose budget earns nothing (0 % and 0/s) gets its retries when it has been quiet for 10 s:
 * nothing waits for ever.
 */
#include "core/base/atomic.h"
#include "sched/host_parts.h"

#define RECENT_SLICE_NS UINT64_C(5000000000)

enum { TOKEN = 1000, TOKENS_MIN = 20, FLOOR_S = 1, LOOK_AGAIN_MS = 1000 };

union budget {
    uint64_t word;
    struct {
        uint32_t ms;
        uint32_t tokens;
    };
};

static uint64_t tokens_full(const struct host_rules *r)
{
    uint64_t full = (uint64_t)r->budget_per_s * FLOOR_S;
    if (full < TOKENS_MIN) full = TOKENS_MIN;
    full *= TOKEN;
    return full < UINT32_MAX ? full : UINT32_MAX;
}

/* The tokens of now: those of then, what time has earned since, and `more`. */
static uint64_t tokens_now(union budget b, const struct host_rules *r, uint64_t now_ms,
                           uint64_t more)
{
    uint64_t full = tokens_full(r);
    if (b.word == 0) return full;
    uint64_t tokens = b.tokens + (uint64_t)host_ms_since(now_ms, b.ms) * r->budget_per_s + more;
    return tokens < full ? tokens : full;
}

/* Time never goes back: what it has earned would be earned again. */
static union budget budget_of(uint64_t tokens, union budget old, uint64_t now_ms)
{
    bool forward = old.word == 0 || host_ms_since(now_ms, old.ms) > 0;
    union budget b = {.ms = forward ? (uint32_t)now_ms : old.ms, .tokens = (uint32_t)tokens};
    if (b.word == 0) b.ms = 1;
    return b;
}

void host_budget_report(struct host *h, const struct host_rules *r, uint64_t now_ns,
                        uint32_t attempts, uint32_t troubles)
{
    slices_add(h->recent, HOST_RECENT, now_ns / RECENT_SLICE_NS, attempts, troubles);
    uint64_t now_ms = now_ns / HOST_MS_NS;
    uint64_t earned = (uint64_t)attempts * r->budget_pct * TOKEN / 100;
    union budget old = {.word = load_rlx(&h->budget)}, new;
    do {
        if (tokens_now(old, r, now_ms, 0) == tokens_full(r)) return;
        new = budget_of(tokens_now(old, r, now_ms, earned), old, now_ms);
    } while (!cas_rlx(&h->budget, &old.word, new.word));
}

bool host_retry_take(struct host *h, const struct host_rules *r, uint64_t now_ns,
                     uint64_t *again_ns)
{
    struct slices recent = slices_rolling(h->recent, HOST_RECENT, RECENT_SLICE_NS, now_ns);
    if (recent.failures * 10 <= recent.attempts) return true;
    uint64_t now_ms = now_ns / HOST_MS_NS;
    union budget old = {.word = load_rlx(&h->budget)}, new;
    do {
        uint64_t tokens = tokens_now(old, r, now_ms, 0);
        if (tokens < TOKEN) {
            uint64_t wait_ms = LOOK_AGAIN_MS;
            if (r->budget_per_s > 0)
                wait_ms = (TOKEN - tokens + r->budget_per_s - 1) / r->budget_per_s;
            *again_ns = host_ns_of_ms(now_ms + wait_ms);
            return false;
        }
        new = budget_of(tokens - TOKEN, old, now_ms);
    } while (!cas_rlx(&h->budget, &old.word, new.word));
    return true;
}
