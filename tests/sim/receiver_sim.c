#include "tests/sim/receiver_sim.h"

#include "tests/sim/dns_sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MS     UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

#define DIALECT_TEXT(name, text) [DIALECT_##name] = text,
static const char *const dialects[DIALECT_COUNT] = {DIALECT_TABLE(DIALECT_TEXT)};
#undef DIALECT_TEXT

static const char *const kinds[OUTAGE_KINDS] = {
    "503",    "429 or 503 with Retry-After", "500",         "silence",
    "closes", "refuses connections",         "a black hole"};

static void __attribute__((format(printf, 2, 3)))
field(struct truth_reply *r, const char *format, ...)
{
    size_t used = strlen(r->fields), room = sizeof r->fields - used;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(r->fields + used, room, format, args);
    va_end(args);
    CHECK(n >= 0 && (size_t)n + 3 < room);
    memcpy(r->fields + used + n, "\r\n", 3);
}

void http_date_write(char *out, size_t room, uint64_t epoch_s)
{
    static const char *const days[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    static const uint32_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t day = epoch_s / 86400, year = 1970, second = epoch_s % 86400;
    const char *name = days[day % 7];
    for (;; year++) {
        uint64_t n = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 366 : 365;
        if (day < n) break;
        day -= n;
    }
    uint32_t month = 0;
    for (;; month++) {
        bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        uint32_t n = lengths[month] + (month == 1 && leap ? 1 : 0);
        if (day < n) break;
        day -= n;
    }
    int n = snprintf(out, room, "%s, %02" PRIu64 " %s %04" PRIu64 " %02u:%02u:%02u GMT", name,
                     day + 1, months[month], year, (uint32_t)(second / 3600),
                     (uint32_t)(second / 60 % 60), (uint32_t)(second % 60));
    CHECK(n > 0 && (size_t)n < room);
}

/* ---- habits -------------------------------------------------------------------------------- */

static void switch_host(struct world *w, void *obj, uint64_t what)
{
    struct net_host *h = obj;
    const struct receivers *all = w->truth->script_of;
    if (all->healed) return;
    if (what / 2 == OUTAGE_REFUSES) h->refuses = what % 2 != 0;
    else h->blackhole = what % 2 != 0;
}

static void outage_draw(struct world *w, struct receiver *r, struct net_host *h, uint64_t heal_ns)
{
    struct outage *o = &r->outage[r->outages++];
    uint64_t span_ns = heal_ns - w->now_ns;
    o->kind = (enum outage_kind)world_below(w, OUTAGE_KINDS);
    o->percent = world_draw(w, 50) ? 100 : 20 + world_below(w, 80);
    o->from_ns = w->now_ns + (world_draw(w, 50) ? 0 : prng_below(&w->dice, span_ns));
    o->to_ns = o->from_ns + prng_below(&w->dice, heal_ns - o->from_ns + 1);
    if (o->kind != OUTAGE_REFUSES && o->kind != OUTAGE_BLACKHOLE) return;
    o->percent = 100;
    world_at(w, o->from_ns, switch_host, h, 2 * o->kind + 1);
    world_at(w, o->to_ns, switch_host, h, 2 * o->kind);
}

void receiver_draw(struct world *w, struct receivers *all, uint32_t host, uint64_t heal_ns)
{
    struct receiver *r = &all->at[host];
    struct net_host *h = net_host(w->net, host);
    r->scripted = world_draw(w, 85);
    r->delay_ns = MS << world_below(w, 10);
    if (h->forbidden || !r->scripted) return;
    h->refuses = h->blackhole = false;
    r->skew_s = world_draw(w, 50) ? 0 : (int64_t)world_below(w, 7200) - 3600;
    if (world_draw(w, 50)) {
        r->dialect = (enum dialect)world_below(w, DIALECT_COUNT);
        r->token_bucket = world_draw(w, 30);
        r->quota = 1 + world_below(w, world_draw(w, 50) ? 10 : 200);
        r->window_ns = SECOND * (1 + world_below(w, 20));
    }
    while (r->outages < RECEIVER_OUTAGES_MAX && world_draw(w, 45)) outage_draw(w, r, h, heal_ns);
}

void receivers_print(const struct world *w, const struct receivers *all)
{
    for (uint32_t i = 0; i < net_hosts_count(w->net); i++) {
        const struct receiver *r = &all->at[i];
        if (!r->scripted) continue;
        printf("  receiver %u answers within %" PRIu64 " ms; %" PRIu64 " served, %" PRIu64
               " refused, %" PRIu64 " failed\n",
               i, r->delay_ns / MS, r->served, r->refused, r->failed);
        if (r->quota > 0)
            printf("    allows %u in %" PRIu64 " s (%s): %s; clock %+" PRId64 " s\n", r->quota,
                   r->window_ns / SECOND, r->token_bucket ? "bucket" : "windows",
                   dialects[r->dialect], r->skew_s);
        for (uint32_t k = 0; k < r->outages; k++)
            printf("    from %.3f ms to %.3f ms: %s, %u %%\n",
                   (double)(r->outage[k].from_ns % (UINT64_C(1) << 40)) / 1e6,
                   (double)(r->outage[k].to_ns % (UINT64_C(1) << 40)) / 1e6,
                   kinds[r->outage[k].kind], r->outage[k].percent);
    }
}

void receivers_heal(struct world *w, struct receivers *all)
{
    all->healed = true;
    w->knobs = (struct knobs){0};
    for (uint32_t i = 0; i < net_hosts_count(w->net); i++) {
        net_host(w->net, i)->refuses = false;
        net_host(w->net, i)->blackhole = false;
        net_host(w->net, i)->dead = 0;
    }
    dns_sim_heal(w->dns);
}

/* ---- quotas -------------------------------------------------------------------------------- */

/* Is there room for one more of this key? *reset_ns: until the quota is whole again, or until there
 * is room for one. */
static bool quota_take(const struct world *w, struct receiver *r, uint32_t key, uint64_t *reset_ns)
{
    double *left = &r->left[key];
    if (r->token_bucket) {
        double per_ns = (double)r->quota / (double)r->window_ns;
        *left += (double)(w->now_ns - r->window[key]) * per_ns;
        if (*left > r->quota || r->window[key] == 0) *left = r->quota;
        r->window[key] = w->now_ns;
        bool takes = *left >= 1;
        if (takes) *left -= 1;
        *reset_ns =
            *left >= 1 ? (uint64_t)((r->quota - *left) / per_ns) : (uint64_t)((1 - *left) / per_ns);
        return takes;
    }
    uint64_t number = w->now_ns / r->window_ns;
    if (r->window[key] != number) *left = r->quota;
    r->window[key] = number;
    *reset_ns = (number + 1) * r->window_ns - w->now_ns;
    if (*left < 1) return false;
    *left -= 1;
    return true;
}

static void put_date(const struct world *w, const struct receiver *r, struct truth_reply *reply,
                     const char *name, uint64_t in_s)
{
    char text[48];
    uint64_t wall_s = (w->wall_ns + w->now_ns) / SECOND + (uint64_t)r->skew_s + in_s;
    http_date_write(text, sizeof text, wall_s);
    field(reply, "%s: %s", name, text);
}

static void put_nonsense(struct world *w, struct truth_reply *reply)
{
    static const char *const fields[] = {
        "Retry-After: -1",
        "Retry-After: ",
        "Retry-After: 99999999999999999999",
        "Retry-After: NaN",
        "Retry-After: 1,2,3",
        "Retry-After: Mon, 32 Foo 2025 25:61:61 GMT",
        "X-RateLimit-Remaining: -5",
        "X-RateLimit-Reset: 18446744073709551616",
        "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: soon",
        "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 0",
        "X-RateLimit-Limit: 0\r\nX-RateLimit-Remaining: 7\r\nX-RateLimit-Reset: 1",
        "X-Rate-Limit-Remaining: 0\r\nX-Rate-Limit-Reset: 9999999999999",
        "RateLimit: \"a\";r=-1;t=x",
        "RateLimit: \"a\";r=0;t=3, \"b\";r=5;t=1",
        "RateLimit: (((",
        "RateLimit-Policy: \"a\";q=0;w=0",
        "RateLimit-Remaining: 18446744073709551615\r\nRateLimit-Reset: 1",
        "Date: never",
    };
    do field(reply, "%s", fields[world_below(w, sizeof fields / sizeof *fields)]);
    while (strlen(reply->fields) < 100 && world_draw(w, 50));
}

static void put_hints(struct world *w, const struct receiver *r, struct truth_reply *reply,
                      double left, uint64_t reset_ns, bool refused)
{
    uint64_t up_s = (reset_ns + SECOND - 1) / SECOND, n = left > 0 ? (uint64_t)left : 0;
    uint64_t wall_ns = w->wall_ns + w->now_ns + (uint64_t)r->skew_s * SECOND + reset_ns;
    switch (r->dialect) {
    case DIALECT_RETRY_AFTER:
        if (refused) field(reply, "Retry-After: %" PRIu64, up_s);
        break;
    case DIALECT_RETRY_AFTER_DECIMAL:
        if (refused)
            field(reply, "Retry-After: %" PRIu64 ".%03" PRIu64, reset_ns / SECOND,
                  reset_ns / MS % 1000);
        break;
    case DIALECT_RETRY_AFTER_DATE:
        put_date(w, r, reply, "Date", 0);
        if (refused) put_date(w, r, reply, "Retry-After", up_s);
        break;
    case DIALECT_X_RATELIMIT:
        field(reply, "X-RateLimit-Limit: %u\r\nX-RateLimit-Remaining: %" PRIu64, r->quota, n);
        field(reply, "X-RateLimit-Reset: %" PRIu64, up_s);
        break;
    case DIALECT_X_RATE_LIMIT:
        put_date(w, r, reply, "Date", 0);
        field(reply, "X-Rate-Limit-Limit: %u\r\nX-Rate-Limit-Remaining: %" PRIu64, r->quota, n);
        field(reply, "X-Rate-Limit-Reset: %" PRIu64, (wall_ns + SECOND - 1) / SECOND);
        break;
    case DIALECT_X_RATELIMIT_MS:
        put_date(w, r, reply, "Date", 0);
        field(reply, "x-ratelimit-remaining: %" PRIu64 "\r\nx-ratelimit-reset: %" PRIu64, n,
              wall_ns / MS);
        break;
    case DIALECT_RATELIMIT:
        field(reply, "RateLimit-Limit: %u\r\nRateLimit-Remaining: %" PRIu64, r->quota, n);
        field(reply, "RateLimit-Reset: %" PRIu64, up_s);
        if (refused) field(reply, "Retry-After: %" PRIu64, up_s);
        break;
    case DIALECT_STRUCTURED:
        field(reply, "RateLimit-Policy: \"p\";q=%u;w=%" PRIu64, r->quota, r->window_ns / SECOND);
        field(reply, "RateLimit: \"p\";r=%" PRIu64 ";t=%" PRIu64, n, up_s);
        break;
    case DIALECT_CONTRADICTORY:
        field(reply, "Retry-After: %u", world_below(w, 30));
        field(reply, "X-RateLimit-Remaining: %u", world_below(w, 3));
        field(reply, "RateLimit-Remaining: %u", world_below(w, 300));
        field(reply, "RateLimit-Reset: %u\r\nX-Rate-Limit-Reset: %u", world_below(w, 10),
              world_below(w, 100));
        break;
    case DIALECT_NONSENSE: put_nonsense(w, reply); break;
    case DIALECT_SILENT:
    case DIALECT_COUNT: break;
    }
}

/* ---- answering ----------------------------------------------------------------------------- */

static bool outage_answers(struct world *w, const struct receiver *r, struct truth_reply *reply)
{
    static const uint16_t statuses[] = {503, 502, 504, 529, 408};
    for (uint32_t i = 0; i < r->outages; i++) {
        const struct outage *o = &r->outage[i];
        if (w->now_ns < o->from_ns || w->now_ns >= o->to_ns || !world_draw(w, o->percent)) continue;
        reply->kind = ANSWER_RETRY;
        reply->status = statuses[world_below(w, 5)];
        if (o->kind == OUTAGE_500) reply->status = 500;
        if (o->kind == OUTAGE_SILENT) reply->kind = ANSWER_SILENT;
        if (o->kind == OUTAGE_CLOSES) reply->kind = world_draw(w, 50) ? ANSWER_CLOSE : ANSWER_RESET;
        if (o->kind == OUTAGE_HINTED) {
            if (world_draw(w, 50)) reply->status = 429;
            field(reply, "Retry-After: %u", 1 + world_below(w, 60));
        }
        return true;
    }
    return false;
}

bool receiver_script(struct world *w, const struct truth_send *e, struct truth_reply *reply)
{
    struct receivers *all = w->truth->script_of;
    struct receiver *r = &all->at[e->line->host];
    if (!r->scripted && !all->healed) return false;
    reply->kind = ANSWER_OK_LENGTH;
    reply->status = world_draw(w, 80) ? 200 : 204;
    reply->delay_ns = 1 + prng_below(&w->dice, r->delay_ns);
    if (!all->healed && outage_answers(w, r, reply)) {
        r->failed++;
        return true;
    }
    if (r->quota == 0 || all->healed) {
        r->served++;
        return true;
    }
    uint64_t reset_ns = 0;
    uint32_t key = e->line->key % RECEIVER_KEYS;
    bool takes = quota_take(w, r, key, &reset_ns);
    if (takes) {
        r->served++;
    } else {
        r->refused++;
        reply->kind = ANSWER_RETRY;
        reply->status = 429;
        PROBE("a receiver refused what was beyond its quota");
    }
    put_hints(w, r, reply, r->left[key], reset_ns, !takes);
    return true;
}
