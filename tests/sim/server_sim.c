#include "tests/sim/server_sim.h"

#include "tests/sim/sign_sim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THINK_TAIL_BITS = 23, IDLE_TAIL_BITS = 21 };

uint64_t answer_counts[ANSWER_COUNT];

#define ANSWER_NAME(name, weight, verdicts, text) [ANSWER_##name] = #name,
const char *const answer_names[ANSWER_COUNT] = {ANSWER_TABLE(ANSWER_NAME)};
#undef ANSWER_NAME

uint32_t answer_verdicts(enum answer_kind kind)
{
#define ANSWER_VERDICTS(name, weight, verdicts, text) [ANSWER_##name] = (verdicts),
    static const uint32_t table[ANSWER_COUNT] = {ANSWER_TABLE(ANSWER_VERDICTS)};
#undef ANSWER_VERDICTS
    CHECK(kind < ANSWER_COUNT);
    return table[kind];
}

void truth_log_add(struct truth *t, uint32_t host, struct truth_try entry)
{
    struct truth_log *log = &t->log[host];
    if (log->count == log->room) {
        log->room = log->room ? 2 * log->room : 32;
        log->at = realloc(log->at, log->room * sizeof *log->at);
        CHECK(log->at != NULL);
    }
    log->at[log->count++] = entry;
}

void truth_logs_free(struct truth *t)
{
    for (uint32_t i = 0; i < NET_HOSTS_MAX; i++) free(t->log[i].at);
}

/* ---- requests ------------------------------------------------------------------------------ */

struct truth_line *truth_of_request(struct truth *t, const char *bytes, size_t n)
{
    static const char *const methods[] = {"GET ", "POST ", "PUT ", "DELETE "};
    bool begins = false;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        begins |= n > strlen(methods[i]) && memcmp(bytes, methods[i], strlen(methods[i])) == 0;
    if (!begins) return NULL;
    for (size_t i = 0; i + 2 < n && bytes[i] != '\r'; i++) {
        if (memcmp(bytes + i, "t/", 2) != 0) continue;
        uint32_t number = 0;
        for (i += 2; i < n && bytes[i] >= '0' && bytes[i] <= '9'; i++)
            number = number * 10 + (uint32_t)(bytes[i] - '0');
        RULE(number >= 1 && number <= t->lines_count, "a request for line %u", number);
        return &t->line[number - 1];
    }
    return NULL;
}

/* May this connection carry another request? */
static void reuse_check(const struct wire *c, const struct truth_send *before)
{
    RULE(before->consumed, "connection %u: a request before the answer to the last", c->number);
    RULE(before->keeps, "connection %u was used again after %s", c->number,
         answer_names[before->kind]);
    RULE(c->out_read == before->end, "connection %u was used again after bytes nobody asked for",
         c->number);
    RULE(!c->end_told, "connection %u was used again after its end", c->number);
    RULE(before->moved == before->given && !before->send_broke,
         "connection %u: a request before the last one was out", c->number);
}

/* Did an earlier request of the last attempt lose a keep-alive race? */
static bool raced_before(const struct truth_line *line)
{
    uint32_t attempt = line->send[line->sends - 1].attempt;
    for (uint32_t i = 0; i + 1 < line->sends; i++)
        if (line->send[i].attempt == attempt && line->send[i].reused) return true;
    return false;
}

#define TICK_NS UINT64_C(2000000) /* how late the engine may see that a time limit has passed */

/* Can it be a new attempt? Whether it was due is for the referee to say, when all is known.
 * start_ns: when its connection was begun, or, on a used one, now. */
static bool is_retry(const struct world *w, const struct truth_line *line, uint64_t start_ns,
                     bool *unsure)
{
    const struct truth *t = w->truth;
    const struct truth_send *last = &line->send[line->sends - 1];
    if (t->retry == NULL || t->retry->retries == 0) return false;
    const struct truth_send *first = last;
    while (first > line->send && first[-1].attempt == last->attempt) first--;
    bool ended = last->saw_end || last->saw_error || last->send_broke;
    bool again = ended && last->read == 0 &&
                 (last->reused ? !raced_before(line) : last->moved == 0) &&
                 start_ns <= first->begun_ns + t->timeout_ns + TICK_NS;
    const struct backoff *a = &t->retry->answered, *u = &t->retry->unreachable;
    uint64_t least_ns = (a->base_ns < u->base_ns ? a->base_ns : u->base_ns) / 2;
    bool retry = w->now_ns >= last->begun_ns + least_ns;
    *unsure = again && retry;
    return !again || retry;
}

/* A request goes out again only when the last try moved no byte, or when it was on a used
 * connection that died before a byte of the answer: that once. */
static void again_check(const struct truth_line *line, const struct truth_send *before)
{
    const struct truth_send *last = &line->send[line->sends - 1];
    RULE(last->saw_end || last->saw_error || last->send_broke,
         "line %u was sent again on no evidence", line->number);
    RULE(last->read == 0, "line %u was sent again after answer bytes", line->number);
    RULE(before == NULL, "line %u was sent again on a used connection", line->number);
    if (!last->reused) {
        RULE(last->moved == 0, "line %u was sent again, the last connection was fresh",
             line->number);
        PROBE("a request of which nothing had left went to the next address");
        return;
    }
    RULE(!raced_before(line), "line %u lost two keep-alive races", line->number);
    PROBE("a request was sent again on a fresh connection");
    if (last->handler_ran) PROBE("a request that was sent again had been handled before");
}

void server_request(struct world *w, struct wire *c, const void *bytes, size_t n)
{
    struct truth_send *before = c->exchange;
    struct truth_line *line = truth_of_request(w->truth, bytes, n);
    if (line == NULL) {
        RULE(before != NULL, "bytes on connection %u that begin no request", c->number);
        RULE(!before->request_whole, "connection %u: more bytes than the request", c->number);
        before->given += (uint32_t)n;
        return;
    }
    world_trace_bytes(w, "request", bytes, n);
    RULE(line->kind == LINE_VALID, "line %u is a reject, and was sent", line->number);
    RULE(!line->ended, "line %u was sent after its ending", line->number);
    RULE(net_host(w->net, line->host) == c->host, "line %u was sent to another host", line->number);
    if (before != NULL) reuse_check(c, before);
    RULE(line->sends < TRUTH_SENDS_MAX, "line %u was sent %u times", line->number, line->sends + 1);
    uint64_t start_ns = before != NULL ? w->now_ns : c->connect_ns;
    bool unsure = false, retry = line->sends > 0 && is_retry(w, line, start_ns, &unsure);
    if (line->sends > 0 && !retry) again_check(line, before);
    uint32_t attempts = line->sends > 0 ? line->send[line->sends - 1].attempt : 0;
    struct truth_send *e = &line->send[line->sends++];
    *e = (struct truth_send){.conn = c,
                             .line = line,
                             .begun_ns = w->now_ns,
                             .start_ns = start_ns,
                             .attempt = attempts + (attempts == 0 || retry ? 1 : 0),
                             .reused = before != NULL,
                             .unsure = unsure,
                             .read_from = c->out_read,
                             .given = (uint32_t)n,
                             .act_at = SIZE_MAX};
    c->exchange = e;
    truth_log_add(w->truth, line->host, (struct truth_try){.send = e});
    if (c->fin_sent) PROBE("a request began after the receiver had closed");
}

/* The length of a request that is there in full; 0: not yet. */
static size_t request_whole(const struct wire *c, size_t *head_len, size_t *body_len)
{
    const char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
    if (end == NULL) return 0;
    *head_len = (size_t)(end - c->in) + 4;
    *body_len = 0;
    const char *length = memmem(c->in, *head_len, "\r\nContent-Length: ", 18);
    for (const char *p = length ? length + 18 : end; *p >= '0' && *p <= '9'; p++)
        *body_len = *body_len * 10 + (size_t)(*p - '0');
    return c->in_len >= *head_len + *body_len ? *head_len + *body_len : 0;
}

/* ---- answering ----------------------------------------------------------------------------- */

static enum answer_kind kind_draw(struct world *w, const struct net_host *host)
{
    uint32_t index = net_host_index(w->net, host), sum = 0;
    const uint32_t *weight = w->truth->answer_weight[index];
    for (uint32_t k = 0; k < ANSWER_COUNT; k++) sum += weight[k];
    CHECK(sum > 0);
    uint32_t pick = world_below(w, sum);
    for (uint32_t k = 0; k < ANSWER_COUNT; k++) {
        if (pick < weight[k]) return (enum answer_kind)k;
        pick -= weight[k];
    }
    UNREACHABLE();
}

/* The answer's bytes become readable, in one or several steps; returns when the last one does. */
static uint64_t deliver(struct world *w, struct wire *c, size_t from, uint64_t after_ns)
{
    uint64_t at_ns = w->now_ns + after_ns + world_latency_ns(w, w->knobs.slow, THINK_TAIL_BITS);
    size_t n = c->out_len - from;
    if (world_draw(w, w->knobs.recv_small)) {
        uint32_t steps = n < 300 && world_draw(w, 20) ? (uint32_t)n : 1 + world_below(w, 4);
        for (uint32_t i = 1; i < steps; i++) {
            net_readable(c, at_ns, from + n * i / steps);
            at_ns += world_latency_ns(w, w->knobs.slow, THINK_TAIL_BITS);
        }
    }
    net_readable(c, at_ns, c->out_len);
    return at_ns;
}

/* An idle connection comes to its end; a request may be on its way just then. */
static void idle_close(struct world *w, void *obj, uint64_t requests)
{
    struct wire *c = obj;
    struct truth_send *e = c->exchange;
    if (c->slot < 0 || c->dead || c->fin_sent || c->in_deaf) return;
    bool raced = c->requests != requests || e->moved == 0 || !e->request_whole;
    if (raced) PROBE("an idle connection was closed while a request was on its way");
    if (e->acted && raced) return; /* too late: it is being answered */
    c->in_deaf = true;
    if (raced && e->moved > 0 && world_draw(w, 50)) net_reset(c, w->now_ns);
    else net_fin(c, w->now_ns);
}

static void idle_408(struct world *w, void *obj, uint64_t requests)
{
    struct wire *c = obj;
    if (c->slot < 0 || c->dead || c->fin_sent || c->in_deaf) return;
    const struct truth_send *e = c->exchange;
    bool next_arrives = c->requests != requests || (e->moved > 0 && !e->request_whole);
    if (next_arrives) return;
    if (e->moved == 0) PROBE("an unasked answer met a request on its way");
    PROBE("an idle connection got an answer that nobody asked for");
    static const char text[] = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
                               "Content-Length: 0\r\n\r\n";
    net_answer(c, text, sizeof text - 1);
    c->tainted = c->in_deaf = true;
    net_readable(c, w->now_ns, c->out_len);
    net_fin(c, w->now_ns + world_latency_ns(w, 50, 12));
}

static void after_answer(struct world *w, struct wire *c, struct truth_send *e, uint64_t at_ns)
{
    uint64_t later_ns = at_ns + world_latency_ns(w, 50, IDLE_TAIL_BITS);
    if (!e->keeps) c->in_deaf = true;
    if (e->needs_fin) {
        net_fin(c, later_ns);
        return;
    }
    switch (e->kind) {
    case ANSWER_RESET_INSIDE: net_reset(c, later_ns); break;
    case ANSWER_OK_IDLE_CLOSE: world_at(w, later_ns, idle_close, c, c->requests); break;
    case ANSWER_OK_IDLE_408: world_at(w, later_ns, idle_408, c, c->requests); break;
    case ANSWER_STALL: break;
    default:
        if (!e->keeps && world_draw(w, 60)) net_fin(c, later_ns);
        break;
    }
}

static void act(struct world *w, struct wire *c, struct truth_send *e)
{
    CHECK(!e->acted);
    e->acted = true;
    answer_counts[e->kind]++;
    if (!e->request_whole && e->kind == ANSWER_OK_EARLY) PROBE("an answer before the request");
    e->handler_ran = (answer_verdicts(e->kind) & BIT(ERR_OK)) != 0 || world_draw(w, 50);
    uint64_t after_ns = e->scripted ? c->reply->delay_ns : 0;
    uint64_t at_ns = w->now_ns + after_ns + world_latency_ns(w, w->knobs.slow, THINK_TAIL_BITS);
    switch (e->kind) {
    case ANSWER_SILENT: c->in_deaf = true; return;
    case ANSWER_CLOSE:
        c->in_deaf = true;
        net_fin(c, at_ns);
        return;
    case ANSWER_RESET:
        c->in_deaf = true;
        net_reset(c, at_ns);
        return;
    default: break;
    }
    size_t from = c->out_len;
    answer_write(w, c, e);
    e->planned = true;
    world_trace(w, answer_names[e->kind], c->number, e->line->number, e->status);
    at_ns = deliver(w, c, from, after_ns);
    after_answer(w, c, e, at_ns);
}

/* ---- events of the connection -------------------------------------------------------------- */

void server_opened(struct world *w, struct wire *c)
{
    MAYBE(c->exchange == NULL);
    if (!world_draw(w, w->knobs.send_fail) || !world_draw(w, 30)) return;
    PROBE("a connection ended soon after it was accepted");
    uint64_t at_ns = w->now_ns + world_latency_ns(w, 50, THINK_TAIL_BITS);
    if (world_draw(w, 50)) net_reset(c, at_ns);
    else net_fin(c, at_ns);
}

static void first_bytes(struct world *w, struct wire *c, struct truth_send *e)
{
    const struct truth *t = w->truth;
    if (t->script != NULL) {
        if (c->reply == NULL) c->reply = malloc(sizeof *c->reply);
        CHECK(c->reply != NULL);
        *c->reply = (struct truth_reply){0};
        e->scripted = t->script(w, e, c->reply);
        e->kind = c->reply->kind;
    }
    if (e->scripted) return;
    e->kind = kind_draw(w, c->host);
    bool early = e->kind == ANSWER_OK_EARLY || e->kind == ANSWER_RESET || e->kind == ANSWER_CLOSE ||
                 e->kind == ANSWER_REFUSE;
    if (early && world_draw(w, e->kind == ANSWER_OK_EARLY ? 100 : 30))
        e->act_at = 1 + world_below(w, e->given);
}

void server_bytes(struct world *w, struct wire *c, const void *bytes, size_t n)
{
    struct truth_send *e = c->exchange;
    CHECK(e != NULL);
    if (e->moved == 0) first_bytes(w, c, e);
    e->moved += n;
    if (c->in_deaf) return;
    if (c->in_len + n > c->in_room) {
        c->in_room = 2 * c->in_room + n + 512;
        c->in = realloc(c->in, c->in_room);
        CHECK(c->in != NULL);
    }
    memcpy(c->in + c->in_len, bytes, n);
    c->in_len += n;
    size_t head_len, body_len, whole = request_whole(c, &head_len, &body_len);
    if (whole > 0) {
        RULE(c->in_len == whole, "connection %u: bytes after the request", c->number);
        request_check(w->truth, e->line, c->in, head_len, body_len);
        if (w->truth->signs) signature_check(w, e, c->in, head_len, body_len);
        e->request_whole = true;
        c->requests++;
        c->in_len = 0;
    }
    if (!e->acted && (whole > 0 || c->in_len >= e->act_at)) act(w, c, e);
}

void server_send_done(struct world *w, struct wire *c, int32_t res)
{
    struct truth_send *e = c->exchange;
    CHECK(e != NULL);
    if (res != (int32_t)e->given) e->send_broke = true;
    else if (e->consumed) PROBE("an answer was read before the send was done");
    MAYBE(w->now_ns > e->begun_ns);
}

void server_arrived(struct world *w, struct wire *c)
{
    struct truth_send *e = c->exchange;
    if (e == NULL || !e->planned) return;
    if (c->out_ready >= e->end) e->arrived_whole = true;
    MAYBE(w->now_ns > e->begun_ns);
}

static void consume(struct world *w, struct truth_send *e)
{
    if (e->consumed) return;
    e->consumed = true;
    e->consumed_ns = w->now_ns;
}

void server_read(struct world *w, struct wire *c)
{
    struct truth_send *e = c->exchange;
    if (e == NULL) return;
    e->read = c->out_read - e->read_from;
    if (e->planned && !e->needs_fin && c->out_read >= e->enough) consume(w, e);
}

void server_recv_done(struct world *w, struct wire *c, int32_t res)
{
    struct truth_send *e = c->exchange;
    if (e == NULL || e->consumed) return;
    if (res == 0) e->saw_end = true;
    else e->saw_error = true;
    bool end = res == 0 && e->needs_fin && c->out_read == c->out_len;
    if (!e->planned && e->acted && e->read == 0)
        end = (e->kind == ANSWER_CLOSE && res == 0) || (e->kind == ANSWER_RESET && res < 0);
    if (end) consume(w, e);
}

void server_lost(struct world *w, struct wire *c)
{
    MAYBE(w->now_ns > 0);
    c->in_deaf = true;
}

/* ---- is it what the record asks for? ------------------------------------------------------- */

struct lines {
    const char *at, *end;
};

/* The next line of the head, without its end; false after the last. */
static bool line_next(struct lines *l, const char **text, size_t *len)
{
    if (l->at >= l->end) return false;
    const char *eol = memmem(l->at, (size_t)(l->end - l->at), "\r\n", 2);
    RULE(eol != NULL, "a line of the head without CR LF");
    *text = l->at;
    *len = (size_t)(eol - l->at);
    l->at = eol + 2;
    return *len > 0;
}

static bool is_header(const char *text, size_t len, const char *name, const char *value)
{
    size_t n = strlen(name), v = strlen(value);
    return len == n + 2 + v && memcmp(text, name, n) == 0 && memcmp(text + n, ": ", 2) == 0 &&
           memcmp(text + n + 2, value, v) == 0;
}

static bool has_own(const struct truth_line *line, const char *name)
{
    for (uint32_t i = 0; i < line->headers_count; i++)
        if (strcasecmp(line->header[i].name, name) == 0) return true;
    return false;
}

void request_check(const struct truth *t, const struct truth_line *line, const char *bytes,
                   size_t head_len, size_t body_len)
{
    struct lines l = {bytes, bytes + head_len};
    const char *text;
    size_t len;
    char want[256], length[16];
    snprintf(want, sizeof want, "%s %s HTTP/1.1", line->method, line->target);
    RULE(line_next(&l, &text, &len) && len == strlen(want) && memcmp(text, want, len) == 0,
         "line %u: the request line is not \"%s\"", line->number, want);
    bool length_due =
        line->has_body || strcmp(line->method, "POST") == 0 || strcmp(line->method, "PUT") == 0;
    snprintf(length, sizeof length, "%u", line->body_len);
    struct {
        const char *name, *value;
    } due[] = {{"Host", has_own(line, "Host") ? "" : line->authority},
               {"User-Agent", has_own(line, "User-Agent") ? "" : t->user_agent},
               {"Content-Type", line->content_type ? line->content_type : ""},
               {"Content-Length", length_due ? length : ""},
               {"Authorization", line->authorization},
               {"Idempotency-Key",
                t->idempotency_key && !has_own(line, "Idempotency-Key") ? line->id : ""}};
    uint32_t own = 0, seen = 0, dues = 0;
    enum { DUES = sizeof due / sizeof *due };
    while (line_next(&l, &text, &len)) {
        if (own < line->headers_count &&
            is_header(text, len, line->header[own].name, line->header[own].value)) {
            own++;
            continue;
        }
        if (t->signs && len > 8 && memcmp(text, "webhook-", 8) == 0) continue;
        uint32_t k = 0;
        while (k < DUES && !(due[k].value[0] && is_header(text, len, due[k].name, due[k].value)))
            k++;
        if (k == DUES && t->idempotency_key && line->id[0] == 0 && !has_own(line, due[5].name) &&
            len > 17 && memcmp(text, "Idempotency-Key: ", 17) == 0)
            continue; /* a derived id: its value is the engine's choice */
        RULE(k < DUES && !(seen & BIT(k)), "line %u: a header too many: %.*s", line->number,
             (int)len, text);
        seen |= BIT(k);
    }
    for (uint32_t k = 0; k < DUES; k++) dues += due[k].value[0] != 0;
    RULE(own == line->headers_count, "line %u: own header %u is missing or out of order",
         line->number, own);
    RULE((uint32_t)__builtin_popcount(seen) == dues, "line %u: a header is missing", line->number);
    bool same = body_len == line->body_len &&
                (body_len == 0 || memcmp(bytes + head_len, line->body, body_len) == 0);
    RULE(same, "line %u: another body", line->number);
}

void signature_check(const struct world *w, const struct truth_send *e, const char *bytes,
                     size_t head_len, size_t body_len)
{
    struct lines l = {bytes, bytes + head_len};
    struct sign_sim s = {.id = ""};
    const char *text;
    size_t len;
    uint32_t number = e->line->number, fields = 0;
    while (line_next(&l, &text, &len)) {
        if (len <= 8 || memcmp(text, "webhook-", 8) != 0) continue;
        RULE(sign_sim_take(&s, text, len), "line %u: a header too many: %.*s", number, (int)len,
             text);
        fields++;
    }
    RULE(fields == 3, "line %u: %u fields of a signature", number, fields);
    RULE(e->line->id[0] == 0 || strcmp(s.id, e->line->id) == 0, "line %u: webhook-id is %s", number,
         s.id);
    RULE(sign_sim_true(&s, bytes + head_len, body_len), "line %u: %s signs something else", number,
         s.value);
    const uint64_t second = UINT64_C(1000000000), wall_ns = w->wall_ns + e->begun_ns;
    uint64_t now_s = wall_ns / second;
    uint64_t oldest_s = (wall_ns - w->truth->timeout_ns) / second - 3; /* for knob stall */
    uint64_t stamp_s = strtoull(s.stamp, NULL, 10);
    PROBE("a signature was verified");
    RULE(strlen(s.stamp) == 10, "line %u: signed at %s", number, s.stamp);
    if (w->wall_jumped) return;
    RULE(stamp_s <= now_s, "line %u: signed at %s", number, s.stamp);
    RULE(w->truth->timeout_ns == 0 || stamp_s >= oldest_s, "line %u: signed %" PRIu64 " s ago",
         number, now_s - stamp_s);
}
