#include "tests/sim/referee.h"

#include "tests/sim/dns_sim.h"
#include "tests/sim/json_scan.h"
#include "tests/sim/server_sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t referee_endings[ERR_COUNT];

#define MS UINT64_C(1000000)
enum { SLACK_MS = 1000 }; /* between a deadline and the end: a cancel, and turns */

/* One line of the results file, as the engine told it. */
struct told {
    const struct truth_line *line;
    enum err error;
    enum outcome outcome;
    char sent[8];
    uint64_t status, attempts, duration_ns, total_ns, first_ns, finished_ns;
};

/* ---- lines of a file ----------------------------------------------------------------------- */

struct lines {
    const char *at, *end;
};

/* The next whole line, without its '\n'; false when none is left. A last one that is not whole
 * stays in l. */
static bool line_next(struct lines *l, const char **text, size_t *len)
{
    if (l->at == l->end) return false;
    const char *eol = memchr(l->at, '\n', (size_t)(l->end - l->at));
    if (eol == NULL) return false;
    *text = l->at;
    *len = (size_t)(eol - l->at);
    l->at = eol + 1;
    return true;
}

static struct lines lines_of(const struct file *f)
{
    if (f == NULL || f->len == 0) return (struct lines){NULL, NULL};
    RULE(f->pipe || memchr(f->data, 0, f->len) == NULL || f->name[0] == 'r', "a gap in file %s",
         f->name);
    return (struct lines){f->data, f->data + f->len};
}

/* A file has whole lines only, also when the disk was full; what has left through standard output
 * cannot be taken back. */
static void whole_check(const struct lines *l, const struct file *f)
{
    if (f == NULL || l->at == l->end) return;
    RULE(f->failed_write && strcmp(f->name, "stdout") == 0, "%s ends inside a line", f->name);
    PROBE("standard output ends inside a line");
}

/* ---- while the run goes on ----------------------------------------------------------------- */

static size_t watched;      /* bytes of the results file that were looked at */
static uint64_t watched_ns; /* when it last grew */

static void results_written(struct file *f)
{
    struct truth *t = world_current->truth;
    watched_ns = world_current->now_ns;
    struct lines l = {f->data + watched, f->data + f->len};
    const char *text;
    size_t len;
    while (line_next(&l, &text, &len)) {
        if (memchr(text, 0, len) != NULL) break; /* a gap that is written later */
        struct jscan j;
        jscan_read(&j, text, len);
        uint64_t number = jscan_number(&j, "line");
        RULE(number >= 1 && number <= t->lines_count, "a result for line %" PRIu64, number);
        t->line[number - 1].ended = true;
        watched = (size_t)(text + len + 1 - f->data);
    }
}

void referee_watch(struct scene *s)
{
    watched = 0;
    watched_ns = s->world->now_ns;
    if (s->results != NULL) s->results->written = results_written;
}

/* ---- results ------------------------------------------------------------------------------- */

static enum err err_of_label(const char *text, size_t len)
{
#define LABEL(name, label, class, words) {label, ERR_##name},
    static const struct {
        const char *label;
        enum err e;
    } labels[] = {ERR_TABLE(LABEL)};
#undef LABEL
    for (size_t i = 0; i < ERR_COUNT; i++)
        if (strlen(labels[i].label) == len && memcmp(labels[i].label, text, len) == 0)
            return labels[i].e;
    sim_fail("no such error: %.*s", (int)len, text);
}

static enum outcome outcome_of(const struct jscan *j)
{
    static const char *const words[OUTCOME_COUNT] = {"delivered", "failed", "exhausted", "expired",
                                                     "aborted"};
    for (int o = 0; o < OUTCOME_COUNT; o++)
        if (jscan_is(j, "outcome", words[o])) return (enum outcome)o;
    sim_fail("no such outcome: %.*s", (int)j->len, j->text);
}

static void word(const struct jscan *j, const char *key, char *out, size_t room)
{
    const struct jscan_value *v = jscan_find(j, key);
    RULE(v != NULL && v->string && v->len < room, "%s: %.*s", key, (int)j->len, j->text);
    memcpy(out, v->at, v->len);
    out[v->len] = 0;
}

/* 0: null, because no attempt began. */
static uint64_t time_or_null(const struct jscan *j, const char *key)
{
    return jscan_is(j, key, "null") ? 0 : jscan_time(j, key);
}

static enum err error_of(const struct jscan *j)
{
    const struct jscan_value *v = jscan_find(j, "error");
    return v != NULL && v->string ? err_of_label(v->at, v->len) : ERR_OK;
}

static uint64_t number_or_null(const struct jscan *j, const char *key)
{
    return jscan_is(j, key, "null") ? 0 : jscan_number(j, key);
}

static void place_check(const struct truth_line *l, const struct jscan *j)
{
    char want[320], told[640];
    int n = snprintf(want, sizeof want, "http://%s%s", l->authority, l->target);
    CHECK(n > 0 && (size_t)n < sizeof want);
    const struct jscan_value *v = jscan_find(j, "url");
    RULE(v != NULL && jscan_text(v, told, sizeof told) == (size_t)n &&
             memcmp(told, want, (size_t)n) == 0,
         "line %u: the url is not %s: %.*s", l->number, want, (int)j->len, j->text);
    n = snprintf(want, sizeof want, "%s%s", l->authority, l->port_is_default ? ":80" : "");
    for (char *p = want; *p; p++)
        if (*p >= 'A' && *p <= 'Z') *p = (char)(*p + 32);
    RULE(jscan_is(j, "host", want), "line %u: the host is not %s: %.*s", l->number, want,
         (int)j->len, j->text);
}

static struct told told_read(const struct truth *t, const char *text, size_t len)
{
    struct jscan j;
    jscan_read(&j, text, len);
    uint64_t number = jscan_number(&j, "line");
    RULE(number >= 1 && number <= t->lines_count, "a result for line %" PRIu64, number);
    struct told r = {.line = &t->line[number - 1],
                     .error = error_of(&j),
                     .status = number_or_null(&j, "status"),
                     .attempts = jscan_number(&j, "attempts"),
                     .duration_ns =
                         jscan_is(&j, "duration_ms", "null") ? 0 : jscan_ms(&j, "duration_ms"),
                     .total_ns = jscan_ms(&j, "total_ms"),
                     .first_ns = time_or_null(&j, "first_attempt_at"),
                     .finished_ns = jscan_time(&j, "finished_at")};
    r.outcome = outcome_of(&j);
    word(&j, "sent", r.sent, sizeof r.sent);
    const struct truth_line *l = r.line;
    RULE(l->kind == LINE_VALID, "a result for line %u, which is no record", l->number);
    place_check(l, &j);
    RULE(r.outcome != OUTCOME_DELIVERED || jscan_find(&j, "answer") == NULL,
         "line %u was delivered, and its result shows the answer", l->number);
    const struct jscan_value *id = jscan_find(&j, "id");
    RULE(id != NULL && id->string && id->len > 0, "line %u has no id", l->number);
    if (l->id[0] != 0)
        RULE(jscan_is(&j, "id", l->id), "line %u: another id: %.*s", l->number, (int)len, text);
    return r;
}

/* What the receivers know about the record's last request; NULL: none began. */
static const struct truth_send *last_send(const struct truth_line *l)
{
    return l->sends > 0 ? &l->send[l->sends - 1] : NULL;
}

/* A request whose first try came to nothing (not a byte left; or it lost a keep-alive race): what
 * came after it, on a fresh connection, tells the ending. */
static bool may_go_again(const struct truth_send *e)
{
    return (e->reused || e->moved == 0) && e->read == 0 &&
           (e->saw_end || e->saw_error || e->send_broke);
}

/* The number of the attempt that the record's last request was of, at least. */
static uint64_t attempt_least(const struct truth_line *l)
{
    uint64_t least = l->sends > 0 ? last_send(l)->attempt : 0;
    for (uint32_t i = 0; i < l->sends; i++) least -= l->send[i].unsure;
    return least;
}

/* Is there a reason in this world for such an ending? */
static bool explained(const struct told *r, const struct truth_send *e, const struct net_host *h,
                      const struct config *c)
{
    const struct world *w = world_current;
    const struct dns_name *n = dns_sim_of_host(w->dns, r->line->host);
    bool dns_fails = n != NULL && (n->lost + n->failed > 0 || w->knobs.dns_bad > 0);
    bool before_send = e == NULL || may_go_again(e) || r->attempts > attempt_least(r->line);
    switch (r->error) {
    case ERR_OK: return e != NULL && e->consumed && e->handler_ran;
    case ERR_STATUS_FINAL: return e != NULL && e->consumed;
    case ERR_STATUS_RETRY: return e != NULL && (e->consumed || e->conn->tainted);
    case ERR_TIMEOUT: return r->duration_ns + MS >= c->timeout_ns;
    case ERR_BAD_RESPONSE: return e != NULL && e->read > 0;
    case ERR_CONNECT_REFUSED: return before_send && h->refused > 0;
    case ERR_CONNECT_TIMEOUT:
        return before_send && (h->timed_out > 0 || r->duration_ns + MS >= c->connect_timeout_ns);
    case ERR_NO_ROUTE: return before_send && h->unreachable > 0;
    case ERR_NO_RESOURCES: return before_send && h->no_resources > 0;
    case ERR_RESET:
        return (before_send && h->reset > 0) || (e != NULL && (e->saw_error || e->send_broke));
    case ERR_CLOSED: return e != NULL && e->saw_end && e->read == 0;
    case ERR_TLS_CERTIFICATE:
    case ERR_TLS_HANDSHAKE:
    case ERR_TLS_TIMEOUT:
    case ERR_TRUNCATED: return false; /* no receiver here speaks TLS */
    case ERR_BLOCKED_ADDRESS: return h->forbidden || (n != NULL && n->refused > 0);
    case ERR_DNS_FAILURE: return before_send && n != NULL && (n->none > 0 || dns_fails);
    case ERR_DNS_TIMEOUT: /* or the process stood still until it was too late */
        return before_send && n != NULL && (dns_fails || w->stalled_ns > 0);
    case ERR_EXPIRED: return false; /* told as expired, which is judged elsewhere */
    case ERR_STOPPED: return false; /* such records stay pending */
    case ERR_COUNT: break;
    }
    return false;
}

/* An answer that was read whole decides; only a deadline may have come before. */
static void answer_check(const struct told *r, const struct truth_send *e, const struct config *c)
{
    if (e == NULL || !e->consumed || r->attempts > attempt_least(r->line)) return;
    if (r->error == ERR_BLOCKED_ADDRESS) return; /* it was to be tried again, and could not be */
    uint32_t due = answer_verdicts(e->kind);
    if (e->conn->tainted) due |= BIT(ERR_BAD_RESPONSE) | BIT(ERR_STATUS_RETRY);
    if (due & BIT(r->error)) {
        if (e->status != 0 && e->planned && r->error != ERR_BAD_RESPONSE && !e->conn->tainted)
            RULE(r->status == e->status, "line %u: status %" PRIu64 ", the answer was %u",
                 r->line->number, r->status, e->status);
        return;
    }
    bool late = r->error == ERR_TIMEOUT && r->duration_ns + MS >= c->timeout_ns;
    bool gave_up = r->error == ERR_RESET && e->send_broke;
    bool went_again = may_go_again(e);
    RULE(late || gave_up || went_again, "line %u ended as %s; the answer %s was read whole",
         r->line->number, err_label(r->error), answer_names[e->kind]);
}

/* Of all attempts the most. */
static void sent_check(const struct told *r)
{
    const struct truth_line *l = r->line;
    size_t moved = 0, read = 0;
    bool all_dead = true;
    for (uint32_t i = 0; i < l->sends; i++) {
        moved += l->send[i].moved;
        read += l->send[i].read;
        if (l->send[i].read > 0 && !l->send[i].conn->dead) all_dead = false;
    }
    if (strcmp(r->sent, "no") == 0) {
        RULE(moved == 0, "line %u: sent=no, and %zu bytes reached the receiver", l->number, moved);
    } else if (strcmp(r->sent, "yes") == 0) {
        RULE(read > 0, "line %u: sent=yes, and no answer byte was read", l->number);
    } else {
        RULE(strcmp(r->sent, "maybe") == 0, "line %u: sent=%s", l->number, r->sent);
        RULE(l->sends > 0, "line %u: sent=maybe, and no send was asked for", l->number);
        RULE(all_dead, "line %u: sent=maybe, and an answer was read", l->number);
    }
}

/* Which word goes with which end; sched_judge() asks whether there was nothing else to do. */
static void word_check(const struct told *r, const struct config *c)
{
    const struct truth_line *l = r->line;
    bool final = err_class_of(r->error) == ERR_CLASS_FINAL;
    enum outcome want = r->error == ERR_OK ? OUTCOME_DELIVERED : OUTCOME_FAILED;
    if (!final && c->retry.at_most_once && strcmp(r->sent, "no") != 0) final = true;
    bool right = final ? r->outcome == want
                       : r->outcome == OUTCOME_EXHAUSTED || r->outcome == OUTCOME_EXPIRED;
    RULE(right, "line %u ended as %s, and is told as %s", l->number, err_label(r->error),
         outcome_label(r->outcome));
}

static void attempts_check(const struct told *r, const struct scene *s)
{
    const struct truth_line *l = r->line;
    const struct net_host *h = net_host(s->world->net, l->host);
    uint64_t least = attempt_least(l);
    uint64_t most = 1 + s->config.retry.retries;
    bool blocked = r->error == ERR_BLOCKED_ADDRESS; /* its name leads there now */
    if (r->outcome != OUTCOME_EXPIRED && !blocked && least == 0) least = 1;
    if (h->forbidden) least = most = 0;
    RULE(r->attempts >= least && r->attempts <= most,
         "line %u: %" PRIu64 " attempts; at the receiver %" PRIu64 ", at most %" PRIu64, l->number,
         r->attempts, least, most);
    RULE((r->first_ns == 0) == (r->attempts == 0), "line %u: when did it begin?", l->number);
}

static void outcome_check(const struct told *r, const struct scene *s)
{
    const struct truth_line *l = r->line;
    const struct truth_send *e = last_send(l);
    const struct net_host *h = net_host(s->world->net, l->host);
    attempts_check(r, s);
    if (r->outcome != OUTCOME_EXPIRED) {
        RULE(explained(r, e, h, &s->config), "line %u ended as %s, and nothing explains it",
             l->number, err_label(r->error));
        answer_check(r, e, &s->config);
        word_check(r, &s->config);
    }
    sent_check(r);
    bool unreachable = err_class_of(r->error) == ERR_CLASS_UNREACHABLE;
    RULE(unreachable == (r->status == 599) || (e != NULL && e->status == 599),
         "line %u ended as %s with status %" PRIu64, l->number, err_label(r->error), r->status);
    RULE(!h->forbidden || r->error == ERR_BLOCKED_ADDRESS || r->outcome == OUTCOME_EXPIRED,
         "line %u to a forbidden host ended as %s", l->number, err_label(r->error));
    uint64_t most_ns = s->config.timeout_ns + SLACK_MS * MS + s->world->stalled_ns;
    RULE(r->duration_ns <= most_ns, "line %u: the attempt took %.3f s", l->number,
         (double)r->duration_ns / 1e9);
    RULE(r->total_ns >= r->duration_ns, "line %u: total less than the attempt", l->number);
    if (s->world->wall_jumped) return;
    RULE(r->first_ns <= r->finished_ns, "line %u finished before it began", l->number);
}

/* What the results file says, for later. */
static void told_keep(struct truth_line *line, const struct told *r, const struct world *w)
{
    line->delivered = r->outcome == OUTCOME_DELIVERED;
    line->error = r->error;
    line->status = r->status;
    line->attempts = r->attempts;
    line->outcome = r->outcome;
    line->first_ns = r->first_ns > 0 ? r->first_ns - w->wall_ns : 0;
    line->finished_ns = r->finished_ns - w->wall_ns;
}

static uint64_t results_judge(struct scene *s)
{
    struct lines l = lines_of(s->results);
    const char *text;
    size_t len;
    uint64_t results = 0;
    while (line_next(&l, &text, &len)) {
        struct told r = told_read(&s->truth, text, len);
        struct truth_line *line = &s->truth.line[r.line->number - 1];
        line->results++;
        told_keep(line, &r, s->world);
        RULE(line->results == 1, "line %u has two endings", line->number);
        outcome_check(&r, s);
        referee_endings[r.error]++;
        results++;
    }
    whole_check(&l, s->results);
    return results;
}

/* ---- dead letters and rejects -------------------------------------------------------------- */

static bool same_line(const struct scene *s, const struct truth_line *l, const char *text,
                      size_t len)
{
    return l->len == len && memcmp(s->text + l->offset, text, len) == 0;
}

static void dead_letters_judge(struct scene *s, const struct run_end *v)
{
    struct lines l = lines_of(s->dead_letters);
    const char *text;
    size_t len;
    while (line_next(&l, &text, &len)) {
        uint32_t i = 0;
        while (i < s->truth.lines_count && !same_line(s, &s->truth.line[i], text, len)) i++;
        RULE(i < s->truth.lines_count, "a dead letter that was never in the input: %.*s", (int)len,
             text);
        struct truth_line *line = &s->truth.line[i];
        RULE(line->kind == LINE_VALID, "line %u is no record, and a dead letter", line->number);
        RULE(++line->dead_letters == 1, "line %u is a dead letter twice", line->number);
        RULE(!line->delivered, "line %u was delivered, and is a dead letter", line->number);
    }
    whole_check(&l, s->dead_letters);
    if (s->dead_letters == NULL || s->results == NULL || v->failure != NULL) return;
    for (uint32_t i = 0; i < s->truth.lines_count; i++) {
        const struct truth_line *line = &s->truth.line[i];
        if (line->results == 1 && !line->delivered)
            RULE(line->dead_letters == 1, "line %u failed, and is no dead letter", line->number);
    }
}

/* The reject that this line of the file is; whole, or as far as it was read: then the shortest that
   it may be, so that a longer piece which begins alike finds its own. */
static struct truth_line *reject_find(struct scene *s, const char *text, size_t len, bool whole)
{
    struct truth_line *best = NULL;
    for (uint32_t i = 0; i < s->truth.lines_count; i++) {
        struct truth_line *l = &s->truth.line[i];
        if (l->kind != LINE_REJECT || l->rejects > 0) continue;
        if (whole && same_line(s, l, text, len)) return l;
        bool begins = l->len > len && l->len > s->config.record_bytes_max &&
                      memcmp(s->text + l->offset, text, len) == 0;
        if (!whole && begins && (best == NULL || l->len < best->len)) best = l;
    }
    return best;
}

static void rejects_judge(struct scene *s, const struct run_end *v)
{
    bool whole_run = !v->stopped && v->failure == NULL && !s->input_changed;
    bool *known = calloc(s->truth.lines_count + 1, sizeof *known); /* lines of the file */
    CHECK(known != NULL);
    struct lines l;
    for (int whole = 1; whole >= 0; whole--) { /* exact ones first */
        const char *text;
        size_t len;
        l = lines_of(s->rejects);
        for (uint32_t i = 0; line_next(&l, &text, &len); i++) {
            RULE(i < s->truth.lines_count, "more rejects than lines");
            struct truth_line *line = known[i] ? NULL : reject_find(s, text, len, whole);
            if (line != NULL) line->rejects++;
            if (line != NULL) known[i] = true;
            /* An overlong line whose rest was not read any more is there as far as it was. */
            bool may_be_cut = (whole && !whole_run) || s->input_changed;
            RULE(known[i] || may_be_cut, "a reject that was not in the input, or twice: %.*s",
                 (int)len, text);
        }
    }
    free(known);
    whole_check(&l, s->rejects);
    if (s->rejects == NULL || !whole_run) return;
    for (uint32_t i = 0; i < s->truth.lines_count; i++) {
        const struct truth_line *line = &s->truth.line[i];
        if (line->kind == LINE_REJECT)
            RULE(line->rejects == 1, "line %u is not in the rejects file", line->number);
    }
}

/* ---- events -------------------------------------------------------------------------------- */

/* A line for each attempt, the last of which is terminal; and one for each time that a host on hold
 * deferred the record, which is none. A record that expired may end with a line that is no attempt.
 */
static void event_check(struct truth_line *l, const struct jscan *j)
{
    uint64_t status = number_or_null(j, "http_status_code"),
             retries = jscan_number(j, "retry_count");
    bool terminal = jscan_is(j, "is_terminal", "true");
    RULE(terminal || jscan_is(j, "is_terminal", "false"), "line %u: terminal?", l->number);
    RULE(!l->event_terminal, "line %u: an event after the terminal one", l->number);
    RULE(jscan_number(j, "content_length") == l->body_len, "line %u: another length", l->number);
    if (status == 598 && !terminal) {
        l->deferred++;
        RULE(retries == l->attempt_events, "line %u: deferred, retry %" PRIu64 " after %u attempts",
             l->number, retries, l->attempt_events);
        return;
    }
    enum err e = error_of(j);
    l->event_terminal = terminal;
    /* Where the result could not be written: it repeats the number of the last attempt. */
    bool repeats = l->results == 0 && retries + 1 == l->attempt_events;
    bool blocked = l->results > 0 && l->error == ERR_BLOCKED_ADDRESS;
    bool over = terminal &&
                (repeats || (l->results > 0 && (l->outcome == OUTCOME_EXPIRED || blocked)));
    bool attempt = !over && (l->results == 0 || l->attempts > 0);
    if (attempt) {
        RULE(retries == l->attempt_events, "line %u: retry %" PRIu64 " after %u attempts",
             l->number, retries, l->attempt_events);
        l->attempt_events++;
    }
    RULE(terminal || e != ERR_OK, "line %u was delivered, and goes on", l->number);
    RULE(!terminal || l->results == 0 || over || (e == l->error && status == l->status),
         "line %u: its event says %s, its result %s", l->number, err_label(e), err_label(l->error));
}

static void events_judge(struct scene *s, const struct run_end *v)
{
    struct lines l = lines_of(s->events);
    const char *text;
    size_t len;
    while (line_next(&l, &text, &len)) {
        struct jscan j;
        jscan_read(&j, text, len);
        uint64_t number = jscan_number(&j, "line");
        RULE(number >= 1 && number <= s->truth.lines_count, "an event for line %" PRIu64, number);
        struct truth_line *line = &s->truth.line[number - 1];
        RULE(line->kind == LINE_VALID, "an event for line %u, which is no record", line->number);
        line->events++;
        event_check(line, &j);
    }
    whole_check(&l, s->events);
    if (s->events == NULL || s->results == NULL || v->failure != NULL) return;
    for (uint32_t i = 0; i < s->truth.lines_count; i++) {
        const struct truth_line *line = &s->truth.line[i];
        RULE(line->event_terminal == (line->results > 0), "line %u: events and result differ",
             i + 1);
        if (line->results > 0)
            RULE(line->attempt_events == line->attempts,
                 "line %u: %u attempts in events, %" PRIu64 " in the result", i + 1,
                 line->attempt_events, line->attempts);
    }
}

/* ---- sums ---------------------------------------------------------------------------------- */

/* Its last attempt was not over when the operator cut it off, as far as the network knows. */
static bool was_cut(const struct truth_line *l)
{
    const struct truth_send *e = last_send(l);
    return e != NULL && e->moved > 0 && !e->consumed && !e->saw_end && !e->saw_error &&
           !e->send_broke && !e->conn->tainted;
}

/* A stop leaves records pending: they are kept, and those that may have arrived are counted: all
 * that were cut off, and none that wait for a retry. */
static void pending_judge(const struct scene *s, const struct run_end *v)
{
    uint64_t kept = 0, moved = 0, sent = 0;
    if (s->results == NULL || v->failure != NULL) return;
    for (uint32_t i = 0; i < s->truth.lines_count; i++) {
        const struct truth_line *l = &s->truth.line[i];
        if (l->kind != LINE_VALID || l->results > 0) continue;
        kept += l->dead_letters;
        sent += l->sends > 0;
        moved += s->config.retry.retries == 0 && was_cut(l);
    }
    const struct run_stats *st = &v->stats;
    if (s->dead_letters != NULL)
        RULE(kept == st->pending, "%" PRIu64 " pending, %" PRIu64 " of them kept", st->pending,
             kept);
    RULE(st->maybe_delivered >= moved && st->maybe_delivered <= sent,
         "%" PRIu64 " maybe delivered; of %" PRIu64 " bytes were sent, of %" PRIu64 " they arrived",
         st->maybe_delivered, sent, moved);
    if (moved > 0) PROBE("an attempt whose bytes had arrived was cut off");
}

/* What the results say of attempts is what was counted. */
static void attempts_judge(const struct scene *s, const struct run_end *v)
{
    const struct run_stats *st = &v->stats;
    uint64_t attempts = 0, records = 0;
    if (s->results == NULL || v->failure != NULL || v->stopped) return;
    for (uint32_t i = 0; i < s->truth.lines_count; i++) {
        attempts += s->truth.line[i].attempts;
        records += s->truth.line[i].attempts > 0;
    }
    RULE(st->attempts == attempts, "%" PRIu64 " attempts; results tell %" PRIu64, st->attempts,
         attempts);
    RULE(st->retries == attempts - records, "%" PRIu64 " retries of %" PRIu64 " attempts",
         st->retries, attempts);
}

static void sums_judge(const struct scene *s, const struct run_end *v, uint64_t results)
{
    const struct run_stats *st = &v->stats;
    uint64_t told = 0, endings = 0, connects = 0;
    for (int o = 0; o < OUTCOME_COUNT; o++) told += st->outcomes[o];
    for (int e = 0; e < ERR_COUNT; e++) endings += st->endings[e];
    for (uint32_t i = 0; i < net_hosts_count(s->world->net); i++)
        connects += net_host(s->world->net, i)->connects;
    RULE(connects == st->connections_opened, "%" PRIu64 " connections opened, %" PRIu64 " told",
         connects, st->connections_opened);
    if (s->results != NULL && v->failure == NULL)
        RULE(told == results, "%" PRIu64 " outcomes, %" PRIu64 " results", told, results);
    RULE(st->in_flight == 0, "%" PRIu64 " attempts in flight at the end", st->in_flight);
    RULE(st->connections_open == 0, "%" PRIu64 " connections open at the end",
         st->connections_open);
    if (!v->stopped && v->failure == NULL && !s->input_changed) {
        RULE(st->accepted == s->valid, "%" PRIu64 " accepted of %u", st->accepted, s->valid);
        RULE(st->rejected == s->rejected, "%" PRIu64 " rejected of %u", st->rejected, s->rejected);
        RULE(st->pending == 0, "%" PRIu64 " pending at the end", st->pending);
    }
    RULE(st->maybe_delivered <= st->pending, "more maybe delivered than pending");
    if (s->config.retry.retries == 0 && st->outcomes[OUTCOME_EXPIRED] == 0)
        RULE(endings == told + st->endings[ERR_STOPPED],
             "%" PRIu64 " endings, %" PRIu64 " outcomes", endings, told);
    attempts_judge(s, v);
    /* These were no attempts. */
    uint64_t ended = endings - st->endings[ERR_BLOCKED_ADDRESS] - st->endings[ERR_EXPIRED];
    RULE(v->cut ? ended <= st->attempts : ended == st->attempts,
         "%" PRIu64 " endings of %" PRIu64 " attempts", ended, st->attempts);
    RULE(v->latencies == ended, "%" PRIu64 " latencies of %" PRIu64 " attempts", v->latencies,
         ended);
    referee_endings[ERR_STOPPED] += st->endings[ERR_STOPPED]; /* no result tells of it */
}

static void failure_judge(const struct scene *s, const struct run_end *v)
{
    bool write_failed = disk_failed_write(s->world->disk);
    bool read_failed = disk_failed_read(s->world->disk);
    if (v->failure == NULL) {
        RULE(!write_failed, "an output could not be written, and the run says nothing");
        RULE(!read_failed || v->stopped, "the input could not be read, and the run says nothing");
        return;
    }
    const char *text = v->failure->text;
    RULE(strlen(text) > 10 && strchr(text, '\n') == NULL, "no clear line: %s", text);
    if (v->failure->status == EXIT_RESOURCES) {
        PROBE("the run ended for want of a ring");
        RULE(s->world->io_open_error != 0, "the run failed for nothing: %s", text);
    } else if (write_failed) {
        PROBE("the run ended for an output that could not be written");
        RULE(v->failure->status == EXIT_OUTPUT || v->failure->status == EXIT_INPUT,
             "exit status %d: %s", v->failure->status, text);
    } else {
        PROBE("the run ended for its input");
        RULE(read_failed || s->input_changed || (s->config.strict && s->rejected > 0),
             "the run failed for nothing: %s", text);
        RULE(v->failure->status == EXIT_INPUT, "exit status %d: %s", v->failure->status, text);
    }
}

/* Without faults everything is delivered, and without waiting for anything but the network. */
static void fair_judge(const struct scene *s, const struct run_end *v)
{
    if (!s->fair) return;
    uint64_t due = 0, records = s->valid + s->rejected;
    for (uint32_t i = 0; i < s->truth.lines_count; i++) {
        const struct truth_line *l = &s->truth.line[i];
        due += l->kind == LINE_VALID && !net_host(s->world->net, l->host)->forbidden;
    }
    RULE(v->stats.outcomes[OUTCOME_DELIVERED] == due,
         "%" PRIu64 " delivered of %" PRIu64 " in fair weather",
         v->stats.outcomes[OUTCOME_DELIVERED], due);
    /* Shards pass on line numbers from block to block, and look for them once a millisecond. */
    uint64_t blocks = s->input->len / s->config.block_bytes;
    RULE(v->end_ns - v->start_ns <= (200 + 4 * records + blocks) * MS,
         "%" PRIu64 " records took %.3f s in fair weather", records,
         (double)(v->end_ns - v->start_ns) / 1e9);
}

/* When everything is told, nothing is left to wait for. */
static void end_judge(const struct scene *s, const struct run_end *v)
{
    bool slow = s->slow_files || s->input->pipe;
    if (s->results == NULL || slow || v->stopped || v->failure != NULL) return;
    RULE(v->end_ns - watched_ns <= SLACK_MS * MS + s->world->stalled_ns,
         "the run went on for %.3f s after its last result",
         (double)(v->end_ns - watched_ns) / 1e9);
}

void referee_judge(struct scene *s, const struct run_end *v)
{
    failure_judge(s, v);
    uint64_t results = results_judge(s);
    events_judge(s, v);
    dead_letters_judge(s, v);
    rejects_judge(s, v);
    sums_judge(s, v, results);
    pending_judge(s, v);
    sched_judge(s, v);
    end_judge(s, v);
    fair_judge(s, v);
    world_trace(s->world, "judged", results, v->stats.accepted, v->stats.pending);
}
