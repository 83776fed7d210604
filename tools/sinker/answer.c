/* tools/sinker/answer.c - see answer.h. */
#include "tools/sinker/answer.h"

#include "core/base/stamp.h"
#include "tools/sinker/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    STATUS_MIN = 100,
    STATUS_MAX = 599,
    USUAL_BYTES = 160, /* the longest usual answer */
};

struct answers {
    struct span usual[STATUS_MAX + 1];  /* point into text */
    uint8_t usual_head[STATUS_MAX + 1]; /* bytes of the head in each, with its empty line */
    struct span big_head;               /* points into text */
    struct span unknown_body;           /* points into text */
    char text[(STATUS_MAX + 1 - STATUS_MIN) * USUAL_BYTES + ANSWER_BYTES_MAX + BEHAVE_HELP_BYTES +
              128];
};

static const char *reason_of(unsigned status)
{
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 408: return "Request Timeout";
    case 410: return "Gone";
    case 413: return "Content Too Large";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "Status";
    }
}

/* RFC 9110 section 6.4.1 */
static bool has_no_body(unsigned status) { return status < 200 || status == 204 || status == 304; }

struct head {
    unsigned status;
    const char *connection; /* a whole field line, or empty */
    uint64_t length;        /* bytes */
};

static size_t write_head(char *out, size_t size, struct head h)
{
    int n;
    if (has_no_body(h.status))
        n = snprintf(out, size, "HTTP/1.1 %u %s\r\nServer: sinker\r\n%s\r\n", h.status,
                     reason_of(h.status), h.connection);
    else
        n = snprintf(out, size,
                     "HTTP/1.1 %u %s\r\nServer: sinker\r\nContent-Type: text/plain\r\n"
                     "%sContent-Length: %llu\r\n\r\n",
                     h.status, reason_of(h.status), h.connection, (unsigned long long)h.length);
    CHECK(n > 0);
    CHECK((size_t)n < size);
    return (size_t)n;
}

static size_t write_body(char *out, size_t size, unsigned status)
{
    int n = snprintf(out, size, "%u %s from sinker\n", status, reason_of(status));
    CHECK(n > 0);
    CHECK((size_t)n < size);
    return (size_t)n;
}

static struct span usual_new(char *out, unsigned status, uint8_t *head_bytes)
{
    char body[64];
    size_t body_bytes = write_body(body, sizeof body, status);
    struct head h = {status, "", body_bytes};
    size_t n = write_head(out, USUAL_BYTES, h);
    *head_bytes = (uint8_t)n;
    if (!has_no_body(status)) {
        CHECK(n + body_bytes <= USUAL_BYTES);
        memcpy(out + n, body, body_bytes);
        n += body_bytes;
    }
    return span_of(out, n);
}

/* Fields of 1 KiB each until the head is over the 64 KiB that a sender has to take. */
static struct span big_head_new(char *out)
{
    size_t n = (size_t)snprintf(out, 64, "HTTP/1.1 200 OK\r\n");
    for (unsigned i = 0; i < 66; i++) {
        n += (size_t)snprintf(out + n, 64, "X-Big-%02u: ", i);
        memset(out + n, 'x', 1014);
        n += 1014;
        n += (size_t)snprintf(out + n, 64, "\r\n");
    }
    n += (size_t)snprintf(out + n, 64, "Content-Length: 3\r\n\r\nok\n");
    CHECK(n <= ANSWER_BYTES_MAX);
    return span_of(out, n);
}

struct answers *answers_new(void)
{
    struct answers *a = calloc(1, sizeof *a);
    if (!a) return NULL;
    char *at = a->text;
    for (unsigned status = STATUS_MIN; status <= STATUS_MAX; status++) {
        a->usual[status] = usual_new(at, status, &a->usual_head[status]);
        at += USUAL_BYTES;
    }
    CHECK(a->usual[200].len == 100);
    a->big_head = big_head_new(at);
    at += ANSWER_BYTES_MAX;
    size_t n = (size_t)snprintf(at, 128, "No such behaviour. These exist, combined with '+':\n");
    n += behave_help(at + n, BEHAVE_HELP_BYTES);
    a->unknown_body = span_of(at, n);
    return a;
}

void answers_free(struct answers *a) { free(a); }

static const char *connection_field(const struct answer_ask *ask, bool closes)
{
    if (closes) return "Connection: close\r\n";
    return ask->http10 ? "Connection: keep-alive\r\n" : "";
}

static bool is_limited(const struct answer_ask *ask)
{
    if (!ask->behave->has_limit) return false;
    return ask->pass->verdict == QUOTA_ALLOWED || ask->pass->verdict == QUOTA_REFUSED;
}

static bool tells_retry_after(const struct behave *b, unsigned status)
{
    return b->has_retry_after && status / 100 != 2;
}

/* "Retry-After: 30" or "Retry-After: 0.5" */
static char *put_retry_after(char *out, uint32_t ms)
{
    out = span_put(out, SPAN_LIT("Retry-After: "));
    out += stamp_u64(out, ms / 1000);
    if (ms % 1000) {
        *out++ = '.';
        for (uint32_t unit = 100; unit && ms % (unit * 10); unit /= 10)
            *out++ = (char)('0' + ms / unit % 10);
    }
    return span_put(out, SPAN_LIT("\r\n"));
}

/* Puts what a limit and /retry-after tell before the empty line of the head of n bytes in the
 * scratch. Returns its new length. */
static size_t add_fields(const struct answer_ask *ask, unsigned status, size_t n)
{
    const struct behave *b = ask->behave;
    char *out = ask->scratch + n - 2;
    if (is_limited(ask)) {
        struct dialect_view v = {.rule = &b->limit,
                                 .pass = ask->pass,
                                 .now_ns = clock_mono_ns(),
                                 .wall_ns = clock_wall_ns() + (uint64_t)b->skew_ns};
        out += dialect_fields(out, &v);
    }
    if (tells_retry_after(b, status)) out = put_retry_after(out, b->retry_after_ms);
    return (size_t)(span_put(out, SPAN_LIT("\r\n")) - ask->scratch);
}

/* The usual answer; with more fields, if there are any, in the scratch. */
static struct span usual_for(const struct answers *a, const struct answer_ask *ask, unsigned status)
{
    struct span s = a->usual[status];
    if (!is_limited(ask) && !tells_retry_after(ask->behave, status)) return s;
    size_t head_bytes = a->usual_head[status];
    memcpy(ask->scratch, s.ptr, head_bytes);
    size_t n = add_fields(ask, status, head_bytes);
    memcpy(ask->scratch + n, s.ptr + head_bytes, s.len - head_bytes);
    return span_of(ask->scratch, n + s.len - head_bytes);
}

/* Head into the scratch, then the standing text or as many 'x' as were asked for. */
static void render(const struct answer_ask *ask, unsigned status, bool closes, struct answer *out)
{
    const struct behave *b = ask->behave;
    char body[64];
    struct head h = {status, connection_field(ask, closes), b->body_bytes};
    size_t body_bytes = 0;
    if (!b->has_body) h.length = body_bytes = write_body(body, sizeof body, status);
    size_t n = write_head(ask->scratch, ANSWER_SCRATCH_BYTES, h);
    n = add_fields(ask, status, n);
    if (!ask->is_head && !has_no_body(status)) {
        CHECK(n + body_bytes <= ANSWER_SCRATCH_BYTES);
        memcpy(ask->scratch + n, body, body_bytes);
        n += body_bytes;
        if (b->has_body) out->fill_bytes = b->body_bytes;
    }
    out->bytes = span_of(ask->scratch, n);
}

/* What comes before a hang or a reset: half the head, or the head and half the body. */
static void render_half(const struct answer_ask *ask, unsigned status, enum behave_phase phase,
                        struct answer *out)
{
    struct head h = {status, "", ask->behave->has_body ? ask->behave->body_bytes : 64};
    size_t n = write_head(ask->scratch, ANSWER_SCRATCH_BYTES, h);
    n = add_fields(ask, status, n);
    out->status = (uint16_t)status;
    out->bytes = span_of(ask->scratch, phase == PHASE_MID_HEAD ? n / 2 : n);
    if (phase == PHASE_BODY && !has_no_body(status)) out->fill_bytes = h.length / 2;
}

static bool choose_broken(const struct answer_ask *ask, struct answer *out)
{
    const struct behave *b = ask->behave;
    if (b->hang != PHASE_NONE) out->after = AFTER_HANG;
    else if (b->reset != PHASE_NONE) out->after = AFTER_RESET;
    else return false;
    enum behave_phase phase = b->hang != PHASE_NONE ? b->hang : b->reset;
    if (phase == PHASE_MID_HEAD || phase == PHASE_BODY)
        render_half(ask, b->status ? b->status : 200, phase, out);
    return true;
}

static bool choose_odd(const struct answers *a, const struct oddity *o, struct answer *out)
{
    if (!o || o->special == ODDITY_EARLY) return false;
    if (o->special == ODDITY_DRIP) {
        out->drip = true;
        return false;
    }
    out->bytes = o->special == ODDITY_BIG_HEAD ? a->big_head : o->bytes;
    out->status = o->status;
    out->after = o->after;
    return true;
}

void answer_choose(const struct answers *a, const struct answer_ask *ask, struct answer *out)
{
    CHECK(ask->behave != NULL);
    CHECK(ask->scratch != NULL);
    const struct behave *b = ask->behave;
    *out = (struct answer){.after = AFTER_NEXT};
    bool refused = is_limited(ask) && ask->pass->verdict == QUOTA_REFUSED;
    bool spared = b->has_flaky && !ask->failing;
    if (!spared && !refused) {
        if (choose_broken(ask, out)) return;
        if (choose_odd(a, b->oddity, out)) {
            if (b->close || b->close_silent) out->after = AFTER_CLOSE;
            return;
        }
    }
    unsigned status = b->status && !spared ? b->status : 200;
    if (b->has_flaky && !spared && !b->status && !b->oddity) status = 503;
    if (refused) status = b->limit_status ? b->limit_status : 429;
    out->status = (uint16_t)status;
    bool closes = b->close || !ask->keep_alive;
    if (closes || b->close_silent) out->after = AFTER_CLOSE;
    if (!closes && !b->has_body && !ask->is_head && !ask->http10)
        out->bytes = usual_for(a, ask, status);
    else render(ask, status, closes, out);
}

void answer_unknown(const struct answers *a, const struct answer_ask *ask, struct answer *out)
{
    CHECK(ask->scratch != NULL);
    *out = (struct answer){.after = ask->keep_alive ? AFTER_NEXT : AFTER_CLOSE, .status = 404};
    struct head h = {404, connection_field(ask, !ask->keep_alive), a->unknown_body.len};
    size_t n = write_head(ask->scratch, ANSWER_SCRATCH_BYTES, h);
    out->bytes = span_of(ask->scratch, n);
    if (!ask->is_head) out->tail = a->unknown_body;
}

void answer_refuse(uint16_t status, const char *why, char *scratch, struct answer *out)
{
    CHECK(why != NULL);
    CHECK(status >= STATUS_MIN);
    *out = (struct answer){.after = AFTER_DRAIN, .status = status};
    struct head h = {status, "Connection: close\r\n", strlen(why) + 1};
    size_t n = write_head(scratch, ANSWER_SCRATCH_BYTES, h);
    n += (size_t)snprintf(scratch + n, ANSWER_SCRATCH_BYTES - n, "%s\n", why);
    CHECK(n < ANSWER_SCRATCH_BYTES);
    out->bytes = span_of(scratch, n);
}
