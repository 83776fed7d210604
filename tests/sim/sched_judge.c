/* tests/sim/sched_judge.c - the referee's part on scheduling: when attempts were made.
 *
 * It knows the receivers' log, the bytes of their answers, and the configuration, and does its own
 * arithmetic. Where the log leaves something open (an attempt that no receiver saw, a request of
 * which it cannot be said whether it is a new attempt) it demands what holds in either case.
 */
#include "tests/sim/referee.h"

#include "tests/sim/dns_sim.h"
#include "tests/sim/server_sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MS     UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)
enum {
    DNS_BELIEVED_S = 30, /* the longest of what a name in trouble is told with, and then some */
    TOLERANCE_MS = 10, /* of a rate */
    SLACK_MS = 1000,   /* a cancel, a close, and the turns in between */
};

/* ---- the answers' bytes -------------------------------------------------------------------- */

/* The value of a header field that is there once; its length, 0: none, or several. */
static size_t field_find(const struct truth_send *e, const char *name, const char **value)
{
    const char *at = e->conn->out + e->from, *end = e->conn->out + e->end;
    size_t name_len = strlen(name), len = 0;
    uint32_t count = 0;
    while (at < end) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        if (eol == NULL || eol - at <= 1) break;
        if ((size_t)(eol - at) > name_len && strncasecmp(at, name, name_len) == 0 &&
            at[name_len] == ':') {
            const char *v = at + name_len + 1, *last = eol;
            while (v < last && (*v == ' ' || *v == '\t')) v++;
            while (last > v && (last[-1] == '\r' || last[-1] == ' ')) last--;
            *value = v;
            len = (size_t)(last - v);
            count++;
        }
        at = eol + 1;
    }
    return count == 1 ? len : 0;
}

static uint64_t number(const char *text, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') return UINT64_MAX;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    return value;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" in seconds since 1970; 0: it is none. */
static uint64_t date(const char *text, size_t len)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const uint32_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    if (len != 29 || memcmp(text + 25, " GMT", 4) != 0) return 0;
    const char *month = memmem(months, sizeof months, text + 8, 3);
    uint64_t day = number(text + 5, 2), year = number(text + 12, 4), hour = number(text + 17, 2),
             minute = number(text + 20, 2), second = number(text + 23, 2);
    if (month == NULL || day < 1 || day > 31 || year < 1970 || year > 9999) return 0;
    if (hour > 23 || minute > 59 || second > 59) return 0;
    uint32_t m = (uint32_t)(month - months) / 3;
    uint64_t days = before[m] + day - 1;
    for (uint64_t y = 1970; y < year; y++)
        days += y % 4 == 0 && (y % 100 != 0 || y % 400 == 0) ? 366 : 365;
    if (m > 1 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)) days++;
    return days * 86400 + hour * 3600 + minute * 60 + second;
}

/* What Retry-After asks for, at least; 0: nothing, or what it means is not for this reader. */
static uint64_t retry_after_ns(const struct scene *s, const struct truth_send *e)
{
    const char *value, *now;
    size_t len = field_find(e, "Retry-After", &value), now_len;
    if (len == 0) return 0;
    uint64_t ns = 0, most_ns = s->config.max_hint_ns;
    const char *dot = memchr(value, '.', len);
    if (len <= 7 && dot == NULL && number(value, len) != UINT64_MAX) {
        ns = number(value, len) * SECOND;
    } else if (len <= 11 && dot != NULL && dot > value && value + len - dot == 4) {
        uint64_t whole = number(value, (size_t)(dot - value)), ms = number(dot + 1, 3);
        if (whole != UINT64_MAX && ms != UINT64_MAX) ns = whole * SECOND + ms * MS;
    } else if (date(value, len) > 0) {
        now_len = field_find(e, "Date", &now);
        uint64_t from = now_len > 0 ? date(now, now_len) : 0, to = date(value, len);
        if (from > 0 && to > from) ns = (to - from) * SECOND;
    }
    return ns < most_ns ? ns : most_ns;
}

static bool retried_status(const struct truth_send *e)
{
    return e->status == 408 || e->status == 429 || e->status >= 500;
}

/* ---- attempts ------------------------------------------------------------------------------ */

/* The first request of the attempt that e belongs to. */
static const struct truth_send *attempt_of(const struct truth_send *e)
{
    while (e > e->line->send && e[-1].attempt == e->attempt) e--;
    return e;
}

/* Whether e's answer was read by the engine as what it is, well before the time limit. */
static bool was_read(const struct scene *s, const struct truth_send *e)
{
    const struct truth_send *first = attempt_of(e);
    return e->consumed && e->planned && !e->conn->tainted && !e->send_broke &&
           e->kind == ANSWER_RETRY && e->consumed_ns + MS < first->start_ns + s->config.timeout_ns;
}

/* The network may have had attempts of this host that its receiver did not see, or seen late. */
static bool clear_view(const struct scene *s, uint32_t host)
{
    const struct truth_log *log = &s->truth.log[host];
    const struct net_host *h = net_host(s->world->net, host);
    if (s->world->knobs.connect_nores > 0 || h->no_resources > 0) return false;
    /* A connect beside one that is slow begins later than its attempt. */
    if (h->addrs_count > 1 && !s->calm && !s->fair) return false;
    /* An attempt goes on after a connect that failed: at another address, or at the same one when
     * that has answered someone meanwhile. */
    for (uint32_t i = 0; i < log->count; i++)
        if (log->at[i].send == NULL) return false;
    return true;
}

static uint64_t full_delay_ns(const struct backoff *b, uint32_t n)
{
    double delay = (double)b->base_ns;
    for (uint32_t i = 1; i < n; i++) delay *= b->factor_milli / 1000.0;
    double cap = (double)b->cap_ns;
    return (uint64_t)(delay < cap ? delay : cap);
}

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* The shortest wait before what the receiver saw as attempt n + 1, or perhaps a later one. */
static uint64_t least_wait_ns(const struct scene *s, const struct truth_send *e, uint32_t n)
{
    const struct retry_rules *r = &s->config.retry;
    uint64_t answered_ns = full_delay_ns(&r->answered, n) / 2;
    uint64_t unreachable_ns = full_delay_ns(&r->unreachable, n) / 2;
    uint64_t any_ns = smaller(answered_ns, unreachable_ns);
    if (!was_read(s, e)) return any_ns;
    uint64_t again_ns =
        smaller(full_delay_ns(&r->answered, n + 1), full_delay_ns(&r->unreachable, n + 1)) / 2;
    /* Either it is the next attempt, or one that nobody saw lies between. */
    return smaller(answered_ns, any_ns + again_ns);
}

/* Attempt k + 1 of a record: not before its backoff, nor before what the answer asked for; not when
 * its time is over; and at most once when that was said. */
static void line_judge(const struct scene *s, const struct truth_line *l)
{
    const struct retry_rules *r = &s->config.retry;
    uint32_t arrived = 0, unsure = 0;
    for (uint32_t i = 0; i < l->sends; i++) {
        const struct truth_send *e = &l->send[i];
        unsure += e->unsure;
        RULE(e->attempt - unsure <= 1 + r->retries, "line %u: attempt %u", l->number, e->attempt);
        if (r->at_most_once)
            RULE(arrived == 0, "line %u was sent again, after bytes had arrived", l->number);
        arrived += e->moved > 0;
        if (i == 0 || e->unsure || e->attempt == e[-1].attempt) continue;
        uint64_t end_ns = was_read(s, &e[-1]) ? e[-1].consumed_ns : e[-1].begun_ns;
        uint64_t wait_ns = least_wait_ns(s, &e[-1], e[-1].attempt - unsure);
        PROBE("a record was tried again");
        RULE(e->start_ns + MS / 1000 >= end_ns + wait_ns,
             "line %u: attempt %u came %.6f s after the one before, not %.6f s", l->number,
             e->attempt, (double)(e->start_ns - end_ns) / 1e9, (double)wait_ns / 1e9);
        if (!was_read(s, &e[-1])) continue;
        uint64_t asked_ns = retry_after_ns(s, &e[-1]);
        if (asked_ns > wait_ns) PROBE("a retry waited for what its receiver had asked for");
        RULE(e->start_ns >= end_ns + asked_ns,
             "line %u: attempt %u came %.3f s after an answer that asked for %.3f s", l->number,
             e->attempt, (double)(e->start_ns - end_ns) / 1e9, (double)asked_ns / 1e9);
    }
}

/* Its window and its deadline; wall time has not jumped. */
static void time_judge(const struct scene *s, const struct truth_line *l)
{
    const struct retry_rules *r = &s->config.retry;
    uint64_t wall_ns = s->world->wall_ns, slack_ns = SLACK_MS * MS + s->world->stalled_ns;
    /* The first connect of several is not seen here if it came to nothing. */
    if (net_host(s->world->net, l->host)->addrs_count > 1) slack_ns += s->config.timeout_ns;
    uint64_t window_ns =
        r->window_ns > r->unreachable_window_ns ? r->window_ns : r->unreachable_window_ns;
    for (uint32_t i = 0; i < l->sends; i++) {
        const struct truth_send *e = attempt_of(&l->send[i]);
        if (l->not_before_wall_ns > 0)
            RULE(e->begun_ns + wall_ns >= l->not_before_wall_ns,
                 "line %u was sent %.3f s too early", l->number,
                 (double)(l->not_before_wall_ns - wall_ns - e->begun_ns) / 1e9);
        /* An attempt may have begun on a connection that never was, and waited for another. */
        uint64_t began_ns = e->start_ns - smaller(s->config.timeout_ns, e->start_ns);
        if (e->attempt == 1 && l->results > 0) began_ns = smaller(e->start_ns, l->first_ns);
        if (l->deadline_wall_ns > 0)
            RULE(began_ns + wall_ns <= l->deadline_wall_ns + slack_ns,
                 "line %u was sent %.3f s after its deadline", l->number,
                 (double)(e->start_ns + wall_ns - l->deadline_wall_ns) / 1e9);
        if (l->results > 0 && l->first_ns > 0 && e->attempt > 1)
            RULE(e->start_ns <= l->first_ns + window_ns + slack_ns,
                 "line %u was sent %.3f s after its window", l->number,
                 (double)(e->start_ns - l->first_ns - window_ns) / 1e9);
    }
}

/* Was there nothing else to do than to give it up? */
static void given_up_judge(const struct scene *s, const struct truth_line *l,
                           const struct run_end *v)
{
    const struct retry_rules *r = &s->config.retry;
    if (l->results == 0) return;
    uint64_t least_ns = smaller(r->window_ns, r->unreachable_window_ns);
    uint64_t since_ns = l->attempts > 0 ? l->first_ns : v->start_ns;
    uint64_t end_ns = since_ns + least_ns;
    if (l->deadline_wall_ns > 0) {
        uint64_t at_ns =
            l->deadline_wall_ns > s->world->wall_ns ? l->deadline_wall_ns - s->world->wall_ns : 0;
        end_ns = smaller(end_ns, at_ns);
        if (l->deadline_wall_ns <= l->not_before_wall_ns) end_ns = 0; /* it never could be sent */
    }
    uint64_t longest_ns = full_delay_ns(&r->answered, (uint32_t)l->attempts);
    uint64_t other_ns = full_delay_ns(&r->unreachable, (uint32_t)l->attempts);
    if (other_ns > longest_ns) longest_ns = other_ns;
    if (s->config.max_hint_ns * 11 / 10 > longest_ns) longest_ns = s->config.max_hint_ns * 11 / 10;
    if (l->outcome == OUTCOME_EXHAUSTED) {
        if (l->attempts > r->retries) PROBE("a record had no retries left");
        else PROBE("a record had no time left");
        RULE(l->attempts > r->retries || l->finished_ns + longest_ns + SLACK_MS * MS >= end_ns,
             "line %u was exhausted after %" PRIu64 " attempts, %.3f s before its time", l->number,
             l->attempts, (double)(end_ns - l->finished_ns) / 1e9);
    }
    if (l->outcome == OUTCOME_EXPIRED) {
        PROBE("a record expired while it waited");
        /* The order of reading is not known: one that was never tried waits since it was read. */
        RULE(l->finished_ns + SLACK_MS * MS >= end_ns, "line %u expired %.3f s before its time",
             l->number, (double)(end_ns - l->finished_ns) / 1e9);
    }
}

/* ---- holds --------------------------------------------------------------------------------- */

/* A receiver said until when it wants nothing. */
static void hold_judge(const struct scene *s, const struct truth_log *log,
                       const struct truth_send *e)
{
    uint64_t until_ns = e->consumed_ns + retry_after_ns(s, e);
    for (uint32_t i = 0; i < log->count; i++) {
        const struct truth_send *other = log->at[i].send;
        if (other == NULL || other->unsure || attempt_of(other) != other) continue;
        if (other->start_ns <= e->consumed_ns || other->start_ns >= until_ns) continue;
        if (e->status == 429 && other->line->key != e->line->key) {
            PROBE("while a key was held, another was sent");
            continue;
        }
        sim_fail("line %u was sent %.3f s before the end of the hold that the answer %u to line %u "
                 "asked for",
                 other->line->number, (double)(until_ns - other->start_ns) / 1e9, e->status,
                 e->line->number);
    }
}

static void holds_judge(const struct scene *s, uint32_t host)
{
    const struct truth_log *log = &s->truth.log[host];
    if (!clear_view(s, host)) return;
    for (uint32_t i = 0; i < log->count; i++) {
        const struct truth_send *e = log->at[i].send;
        if (e == NULL || !was_read(s, e) || !retried_status(e)) continue;
        if (retry_after_ns(s, e) == 0) continue;
        PROBE("a receiver asked to be left alone");
        hold_judge(s, log, e);
    }
}

/* ---- rates --------------------------------------------------------------------------------- */

static int by_time(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The starts of attempts at these hosts (all: UINT32_MAX), sorted; owned by the caller. */
static uint64_t *starts_of(const struct scene *s, uint32_t host, uint32_t *count)
{
    uint32_t hosts = net_hosts_count(s->world->net), room = 1;
    for (uint32_t h = 0; h < hosts; h++) room += s->truth.log[h].count;
    uint64_t *at = calloc(room, sizeof *at);
    CHECK(at != NULL);
    *count = 0;
    for (uint32_t h = 0; h < hosts; h++) {
        if ((host != UINT32_MAX && h != host) || !clear_view(s, h)) continue;
        for (uint32_t i = 0; i < s->truth.log[h].count; i++) {
            const struct truth_send *e = s->truth.log[h].at[i].send;
            if (e == NULL || e->unsure || attempt_of(e) != e) continue;
            at[(*count)++] = e->start_ns;
        }
    }
    qsort(at, *count, sizeof *at, by_time);
    return at;
}

/* No more than 1 + (T + tolerance) / interval in any T. */
static void rate_judge(const struct scene *s, uint32_t host, uint64_t interval_ns, const char *what)
{
    if (interval_ns == 0) return;
    uint32_t count;
    uint64_t *at = starts_of(s, host, &count), next_ns = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (next_ns < at[i]) next_ns = at[i];
        else if (next_ns > at[i]) PROBE("a request was a little early, within the tolerance");
        /* What began before a standstill goes out after it, beside what may begin then. */
        RULE(next_ns - at[i] <= TOLERANCE_MS * MS + s->world->stalled_ns,
             "%s: request %u of %u came %.6f s too early, where one in %.6f s is allowed", what,
             i + 1, count, (double)(next_ns - at[i]) / 1e9, (double)interval_ns / 1e9);
        next_ns += interval_ns;
    }
    free(at);
}

/* ---- health -------------------------------------------------------------------------------- */

struct ended {
    uint64_t at_ns;
    bool failed, perhaps; /* surely; perhaps */
};

static int by_end(const void *a, const void *b)
{
    return by_time(&((const struct ended *)a)->at_ns, &((const struct ended *)b)->at_ns);
}

static bool health_failure(const struct truth_send *e, bool *perhaps)
{
    *perhaps = e->kind != ANSWER_OK_LENGTH;
    if (e->kind == ANSWER_SILENT || e->kind == ANSWER_CLOSE || e->kind == ANSWER_RESET)
        return e->consumed || e->conn->close_ns > 0;
    static const uint16_t statuses[] = {408, 502, 503, 504, 529};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (e->consumed && e->status == statuses[i]) return true;
    return false;
}

/* The attempt went on with another request: this one's end was not its end. */
static bool went_again(const struct truth_send *e)
{
    bool last = e + 1 == e->line->send + e->line->sends;
    if (e->reused && (e->saw_end || e->saw_error) && e->read == 0) return true; /* or it waits to */
    return !last && (e[1].attempt == e->attempt || e[1].unsure);
}

/* The ends of this host's attempts, as the network knows them; owned by the caller. */
static struct ended *ends_of(const struct scene *s, uint32_t host, uint32_t *count)
{
    const struct truth_log *log = &s->truth.log[host];
    struct ended *list = calloc(log->count + 1, sizeof *list);
    CHECK(list != NULL);
    *count = 0;
    for (uint32_t i = 0; i < log->count; i++) {
        const struct truth_send *e = log->at[i].send;
        struct ended *d = &list[*count];
        if (e == NULL) {
            *d = (struct ended){log->at[i].end_ns, true, true};
        } else {
            *d = (struct ended){.at_ns = e->consumed ? e->consumed_ns : e->conn->close_ns};
            d->failed = health_failure(e, &d->perhaps) && !went_again(e);
            if (d->at_ns == 0) continue;
        }
        (*count)++;
    }
    qsort(list, *count, sizeof *list, by_end);
    return list;
}

/* Must the host be on hold when attempt k has ended, whatever is not known; or may it be? */
static bool unhealthy(const struct host_rules *r, const struct ended *list, uint32_t count,
                      uint32_t k, bool may)
{
    uint32_t failures = 0, attempts = 0;
    uint64_t slice_ns = r->window_ns / 15;
    bool failed = false;
    for (uint32_t i = 0; i <= k; i++) {
        uint64_t ago_ns = list[k].at_ns - list[i].at_ns;
        failed |= list[i].perhaps;
        /* Until its first failure a host is counted in thirds of the window. */
        uint64_t late_ns = failed ? slice_ns : r->window_ns / 3 + slice_ns;
        bool surely_in = ago_ns + slice_ns < r->window_ns,
             may_be_in = ago_ns < r->window_ns + late_ns;
        if (may ? may_be_in && list[i].perhaps : surely_in && list[i].failed) failures++;
        attempts += may ? surely_in && list[i].failed : may_be_in;
    }
    /* What ended at the same time may have been told before. */
    for (uint32_t i = k + 1; !may && i < count; i++)
        attempts += list[i].at_ns <= list[k].at_ns + TOLERANCE_MS * MS;
    if (r->absolute > 0 && failures >= r->absolute) return true;
    if (failures < r->min_failures) return false;
    return may || failures * 100 > r->ratio_pct * attempts;
}

/* Did an attempt of this host go on after a try that came to nothing? Such a one may go on during a
 * hold, within its time limit. */
static bool goes_on(const struct truth_log *log)
{
    for (uint32_t i = 0; i < log->count; i++) {
        const struct truth_send *e = log->at[i].send;
        if (e == NULL || e->send_broke || e->saw_end || e->saw_error) return true;
    }
    return false;
}

/* After the first time that the rules demand a hold, nothing begins for the cooldown. Later holds
 * depend on when the engine opened the host again; scenarios of their own look at those. */
static void health_judge(const struct scene *s, uint32_t host)
{
    const struct host_rules *r = &s->config.health;
    const struct truth_log *log = &s->truth.log[host];
    uint32_t count, must = 0, may = 0;
    if (!s->calm || !clear_view(s, host) || net_host(s->world->net, host)->addrs_count > 1) return;
    struct ended *list = ends_of(s, host, &count);
    while (may < count && !unhealthy(r, list, count, may, true)) may++;
    while (must < count && !unhealthy(r, list, count, must, false)) must++;
    if (must < count && list[must].at_ns - list[may].at_ns < r->cooldown_ns / 2) {
        PROBE("a host failed so much that it must be held");
        uint64_t from_ns = list[must].at_ns + TOLERANCE_MS * MS;
        if (goes_on(log)) from_ns += s->config.timeout_ns;
        /* The network sees the end of an attempt a little later than the engine does. */
        uint64_t to_ns = list[may].at_ns + r->cooldown_ns - SLACK_MS * MS / 10;
        for (uint32_t i = 0; i < log->count; i++) {
            const struct truth_send *e = log->at[i].send;
            if (e != NULL && attempt_of(e) != e) continue;
            uint64_t at_ns = e != NULL ? e->start_ns : log->at[i].start_ns;
            RULE(at_ns <= from_ns || at_ns >= to_ns,
                 "host %u was tried %.3f s before the end of its cooldown", host,
                 (double)(to_ns - at_ns) / 1e9);
        }
    }
    free(list);
}

/* ---- in the end, all is well --------------------------------------------------------------- */

/* What was still due when everything had healed is delivered, unless its time was over. */
static void liveness_judge(const struct scene *s, const struct truth_line *l)
{
    if (l->results == 0 || l->delivered) return;
    if (net_host(s->world->net, l->host)->forbidden) return;
    if (s->receivers.at[l->host].delay_ns + SLACK_MS * MS / 10 >= s->config.timeout_ns) return;
    uint64_t healed_ns = s->heal_ns + s->config.timeout_ns + SLACK_MS * MS + s->world->stalled_ns;
    const struct dns_name *n = dns_sim_of_host(s->world->dns, l->host);
    if (n != NULL) { /* what it said before may be believed */
        bool long_one = n->refused > 0 && n->set[0].ttl_s > DNS_BELIEVED_S;
        healed_ns += (long_one ? n->set[0].ttl_s : DNS_BELIEVED_S) * SECOND;
        healed_ns += 2 * s->config.dns_timeout_ns;
    }
    RULE(l->finished_ns <= healed_ns || l->outcome == OUTCOME_EXPIRED,
         "line %u of host %u ended as %s (%s), %.3f s after all was well", l->number, l->host,
         outcome_label((enum outcome)l->outcome), err_label(l->error),
         (double)(l->finished_ns - s->heal_ns) / 1e9);
}

static void liveness_probe(const struct scene *s)
{
    for (uint32_t i = 0; i < s->truth.lines_count; i++) {
        const struct truth_line *l = &s->truth.line[i];
        if (!l->delivered || l->finished_ns <= s->heal_ns) continue;
        if (l->attempts > 1) PROBE("a record that had failed was delivered when all was well");
        if (l->deferred > 0) PROBE("a record that was deferred was delivered when all was well");
    }
}

void sched_judge(const struct scene *s, const struct run_end *v)
{
    bool clock = s->results != NULL && !s->world->wall_jumped;
    for (uint32_t i = 0; i < s->truth.lines_count; i++) {
        const struct truth_line *l = &s->truth.line[i];
        if (l->kind != LINE_VALID) continue;
        line_judge(s, l);
        if (!s->world->wall_jumped) time_judge(s, l);
        if (clock) given_up_judge(s, l, v);
        if (clock && s->sched) liveness_judge(s, l);
    }
    rate_judge(s, UINT32_MAX, s->config.rate_interval_ns, "--rate");
    for (uint32_t host = 0; host < net_hosts_count(s->world->net); host++) {
        rate_judge(s, host, s->host_interval_ns[host], "a host's rate");
        holds_judge(s, host);
        if (s->sched) health_judge(s, host);
    }
    if (clock && s->sched) liveness_probe(s);
}
