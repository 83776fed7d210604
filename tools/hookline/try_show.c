/* tools/hookline/try_show.c - see try_show.h.
 *
 * What a receiver sent goes to a terminal: control characters are shown as \xHH, so that none of
 * them does anything there.
 */
#include "tools/hookline/try_show.h"

#include "core/base/check.h"
#include "tools/hookline/values.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_BODY_BYTES = 4096 };

/* ---- bytes -------------------------------------------------------------------------------- */

/* How many bytes at p can be shown as they are: a tab or a visible character of ASCII, or one whole
 * character of UTF-8 that is no control character (U+0080 to U+009F). 0: none. */
static size_t shown_bytes(const char *p, size_t left)
{
    unsigned char c = (unsigned char)*p;
    if (c < 0x80) return (c >= ' ' || c == '\t') && c != 0x7f ? 1 : 0;
    size_t len = c >= 0xf5 ? 0 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;
    if (len == 0 || len > left) return 0;
    for (size_t i = 1; i < len; i++)
        if (((unsigned char)p[i] & 0xc0) != 0x80) return 0;
    return c == 0xc2 && (unsigned char)p[1] < 0xa0 ? 0 : len;
}

static void put_safe(struct span s, FILE *out)
{
    for (size_t i = 0; i < s.len;) {
        size_t len = shown_bytes(s.ptr + i, s.len - i);
        if (len > 0) fwrite(s.ptr + i, 1, len, out);
        else fprintf(out, "\\x%02x", (unsigned char)s.ptr[i]);
        i += len > 0 ? len : 1;
    }
}

/* Each line behind the mark; a CR at its end is not shown. */
static void put_lines(struct span text, char mark, FILE *out)
{
    const char *p = text.ptr, *end = p + text.len;
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *last = newline != NULL ? newline : end;
        size_t len = (size_t)(last - p);
        if (len > 0 && newline != NULL && p[len - 1] == '\r') len--;
        fprintf(out, "%c%s", mark, len > 0 ? " " : "");
        put_safe(span_of(p, len), out);
        fputc('\n', out);
        p = last + (newline != NULL);
    }
}

/* A body or an answer, at most so much of it; all is how long it is altogether. */
static void put_excerpt(struct span text, uint64_t all, char mark, FILE *out)
{
    put_lines(text, mark, out);
    if (all > text.len) fprintf(out, "%c ... and %" PRIu64 " bytes more\n", mark, all - text.len);
}

/* How long the head is, with the empty line behind it; all of it when there is none. */
static size_t head_bytes(struct span bytes)
{
    const char *end = memmem(bytes.ptr, bytes.len, "\r\n\r\n", 4);
    return end == NULL ? bytes.len : (size_t)(end + 4 - bytes.ptr);
}

/* Masked by redact_answer() with what the request has of secrets. The copy is owned by the caller;
 * NULL: no memory. */
static char *masked(const struct trace *t, const struct redact *r, struct span text, size_t *len)
{
    size_t room = 2 * text.len + 64;
    char *copy = malloc(room);
    if (copy == NULL) return NULL;
    *len = redact_answer(r, text, span_of(t->request, t->request_len), copy, room);
    return copy;
}

static void put_masked(const struct trace *t, const struct redact *r, struct span text,
                       uint64_t all, char mark, FILE *out)
{
    size_t len = 0;
    uint64_t more = all - text.len;
    char *copy = text.len > 0 ? masked(t, r, text, &len) : NULL;
    if (copy != NULL) put_excerpt(span_of(copy, len), len + more, mark, out);
    free(copy);
}

/* ---- the request -------------------------------------------------------------------------- */

/* "POST /path?query HTTP/1.1", the query's secrets masked. */
static void put_request_line(struct span line, const struct redact *r, FILE *out)
{
    const char *query = memchr(line.ptr, '?', line.len);
    const char *version = memrchr(line.ptr, ' ', line.len), *end = line.ptr + line.len;
    char *copy = NULL;
    size_t len = 0, query_len = 0;
    if (query != NULL && version != NULL && version > query) {
        query_len = (size_t)(version - query - 1);
        copy = malloc(redact_query_size_max(query_len) + 1);
    }
    if (copy != NULL) len = redact_query(r, span_of(query + 1, query_len), copy);
    fputs("> ", out);
    if (copy == NULL) {
        put_safe(query == NULL ? line : span_of(line.ptr, (size_t)(query - line.ptr)), out);
    } else {
        put_safe(span_of(line.ptr, (size_t)(query + 1 - line.ptr)), out);
        put_safe(span_of(copy, len), out);
        put_safe(span_of(version, (size_t)(end - version)), out);
    }
    fputc('\n', out);
    free(copy);
}

static void put_field(struct span line, const struct redact *r, FILE *out)
{
    const char *colon = memchr(line.ptr, ':', line.len);
    size_t name = colon == NULL ? line.len : (size_t)(colon - line.ptr);
    fputs("> ", out);
    if (colon != NULL && redact_hides(r, span_of(line.ptr, name)))
        fprintf(out, "%.*s: " REDACT_MASK, (int)name, line.ptr);
    else put_safe(line, out);
    fputc('\n', out);
}

void try_show_request(const struct trace *t, const struct redact *r, FILE *out)
{
    CHECK(t != NULL);
    CHECK(out != NULL);
    struct span request = span_of(t->request, t->request_len);
    size_t head = head_bytes(request);
    const char *p = request.ptr, *end = p + head;
    bool first = true;
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        CHECK(newline != NULL); /* a request of ours: its head is smaller than the room */
        struct span line = span_of(p, (size_t)(newline - p) - 1);
        if (first) put_request_line(line, r, out);
        else if (line.len > 0) put_field(line, r, out);
        else fputs(">\n", out);
        first = false;
        p = newline + 1;
    }
    struct span body = span_of(request.ptr + head, request.len - head);
    if (body.len > SHOWN_BODY_BYTES) body.len = SHOWN_BODY_BYTES;
    put_masked(t, r, body, t->request_bytes - head, '>', out);
}

void try_show_answer(const struct trace *t, const struct redact *r, FILE *out)
{
    CHECK(t != NULL);
    CHECK(out != NULL);
    if (t->answer_bytes == 0) return;
    struct span answer = span_of(t->answer, t->answer_len);
    size_t most = head_bytes(answer) + SHOWN_BODY_BYTES;
    if (answer.len > most) answer.len = most;
    put_masked(t, r, answer, t->answer_bytes, '<', out);
}

/* ---- TLS ---------------------------------------------------------------------------------- */

static void put_fact(const char *name, const char *text, FILE *out)
{
    fprintf(out, "    %-8s  ", name);
    put_safe(span_of(text, strlen(text)), out);
    fputc('\n', out);
}

static void put_certificate(struct span der, uint32_t number, FILE *out)
{
    struct tls_cert_text c;
    fprintf(out, "  certificate %u\n", number);
    if (!tls_cert_show(der, &c)) {
        put_fact("?", "it cannot be read", out);
        return;
    }
    put_fact("subject", c.subject, out);
    put_fact("issuer", c.issuer, out);
    fprintf(out, "    %-8s  %s to %s\n", "valid", c.from, c.until);
    if (c.names[0] != '\0') put_fact("names", c.names, out);
}

void try_show_tls(const struct trace *t, FILE *out)
{
    CHECK(t != NULL);
    CHECK(out != NULL);
    if (t->tls[0] != '\0') fprintf(out, "  %-14s  %s\n", "TLS", t->tls);
    for (uint32_t i = 0; i < t->chain.count; i++)
        put_certificate(tls_chain_at(&t->chain, i), i + 1, out);
    if (t->chain.shown > t->chain.count)
        fprintf(out, "  and %u certificates more\n", t->chain.shown - t->chain.count);
    if (t->tls[0] != '\0' || t->chain.shown > 0) fputc('\n', out);
}

/* ---- times -------------------------------------------------------------------------------- */

static void put_row(const char *name, const char *value, const char *note, FILE *out)
{
    fprintf(out, "  %-14s  %10s%s%s\n", name, value, *note != '\0' ? "  " : "", note);
}

static void put_span(const char *name, uint64_t from_ns, uint64_t to_ns, const char *note,
                     FILE *out)
{
    char text[VALUES_TEXT_BYTES];
    CHECK(to_ns >= from_ns);
    /* Time is read once a turn: what took no turn of its own took no time that is known. */
    put_row(name, to_ns == from_ns ? "at once" : value_latency_text(to_ns - from_ns, text), note,
            out);
}

/* With a complete answer. */
static bool is_answered(const struct trace *t)
{
    return t->why == ERR_OK || t->why == ERR_STATUS_FINAL || t->why == ERR_STATUS_RETRY;
}

void try_show_times(const struct trace *t, FILE *out)
{
    CHECK(t != NULL);
    CHECK(t->told);
    static const char *const names[TRACE_PHASES] = {
        [TRACE_CONNECTING] = "DNS",        [TRACE_CONNECTED] = "connect",
        [TRACE_SECURED] = "TLS",           [TRACE_SENT] = "send",
        [TRACE_FIRST_BYTE] = "first byte", [TRACE_ENDED] = "rest of answer"};
    char addr[ADDR_TEXT_BYTES] = "";
    if (t->addr.sa.sa_family != 0) addr_text(&t->addr, addr);
    uint64_t last_ns = t->at_ns[TRACE_BEGUN];
    bool over = false; /* the phase that it ended in was shown */
    for (int phase = TRACE_CONNECTING; phase < TRACE_PHASES && !over; phase++) {
        uint64_t at_ns = t->at_ns[phase];
        if (phase == TRACE_SECURED && at_ns == 0 && t->at_ns[TRACE_SENT] != 0) continue;
        /* The answer may come before all of the request is known to be sent, or be seen in the same
         * turn: then the time was the receiver's. */
        uint64_t first_ns = t->at_ns[TRACE_FIRST_BYTE];
        if (phase == TRACE_SENT && first_ns != 0 && (at_ns == 0 || at_ns == first_ns)) continue;
        over = at_ns == 0 || (phase == TRACE_ENDED && !is_answered(t));
        if (at_ns == 0) at_ns = t->at_ns[TRACE_ENDED];
        if (at_ns < last_ns) at_ns = last_ns;
        const char *note = phase == TRACE_CONNECTED ? addr : "";
        put_span(names[phase], last_ns, at_ns, over ? "and there it ended" : note, out);
        last_ns = at_ns;
    }
    put_span("total", t->at_ns[TRACE_BEGUN], t->at_ns[TRACE_ENDED], "", out);
}

/* ---- the verdict -------------------------------------------------------------------------- */

static const char *sent_words(const char *sent)
{
    if (strcmp(sent, "no") == 0) return "Nothing of the request reached the receiver.";
    if (strcmp(sent, "maybe") == 0) return "The receiver may have got the request.";
    return "The receiver got the request.";
}

void try_show_verdict(const struct trace *t, const struct retry_rules *rules, FILE *out)
{
    CHECK(t != NULL);
    CHECK(t->told);
    if (t->delivered) {
        fprintf(out, "delivered: the receiver answered %u\n", t->status);
        return;
    }
    fprintf(out, "failed: %s: ", err_label(t->why));
    if (is_answered(t)) fprintf(out, "the receiver answered %u", t->status);
    else fputs(err_text(t->why), out);
    if (t->detail[0] != '\0') fprintf(out, " (%s)", t->detail);
    fprintf(out, "\n%s ", sent_words(t->sent));
    char window[VALUES_TEXT_BYTES];
    enum err_class class = err_class_of(t->why);
    if (class == ERR_CLASS_FINAL) {
        fputs("hookline send would not try again.\n", out);
        return;
    }
    uint64_t window_ns =
        class == ERR_CLASS_UNREACHABLE ? rules->unreachable_window_ns : rules->window_ns;
    fprintf(out, "By default hookline send would try again, at most %u times within %s.\n",
            rules->retries, value_duration_text(window_ns, window));
}
