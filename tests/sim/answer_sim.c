/* tests/sim/answer_sim.c - the bytes that virtual receivers answer with: good, sloppy and broken.
 *
 * What each must come to is decided here by the writer of the bytes (delivery.md section 2), and
 * compared with what the engine made of them by the referee. No parser is involved.
 */
#include "tests/sim/server_sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { HUGE_BYTES = 70000, LIMIT_BYTES = 64 * 1024 };

static void __attribute__((format(printf, 2, 3))) put(struct wire *c, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    CHECK(n >= 0 && (size_t)n < sizeof text);
    net_answer(c, text, (size_t)n);
}

static void put_body(struct world *w, struct wire *c, uint32_t n)
{
    char text[2048];
    CHECK(n <= sizeof text);
    for (uint32_t i = 0; i < n; i++) text[i] = (char)('a' + (i * 7 + n) % 26);
    if (n > 4 && world_draw(w, 30)) memcpy(text, "\"\\\n\r", 4);
    if (n > 1000) memset(text, 1, n); /* each byte becomes six in a log line */
    net_answer(c, text, n);
}

static void put_noise(struct world *w, struct wire *c)
{
    static const char *const noise[] = {
        "Retry-After: 120\r\n",
        "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 9999999999\r\n",
        "RateLimit: \"default\";r=0;t=10\r\n",
        "Server: sim\r\n",
        "Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n",
        "Set-Cookie: a=\"b\"; Path=/; HttpOnly\r\n",
        "Content-Type: application/json\r\n",
        "X-Empty:\r\n",
        "Keep-Alive: timeout=5\r\n",
        "Connection: keep-alive\r\n",
        "Vary: Transfer-Encoding, Content-Length\r\n",
    };
    uint32_t hints = w->truth->no_hints ? 3 : 0, count = sizeof noise / sizeof *noise;
    while (world_draw(w, 50)) put(c, "%s", noise[hints + world_below(w, count - hints)]);
}

static void put_chunks(struct world *w, struct wire *c)
{
    for (uint32_t k = world_below(w, 4); k > 0; k--) {
        uint32_t n = 1 + world_below(w, 100);
        put(c, world_draw(w, 50) ? "%x" : "0%X", n);
        put(c, "%s\r\n", world_draw(w, 20) ? ";name=\"value\"" : "");
        put_body(w, c, n);
        put(c, "\r\n");
    }
    put(c, "0\r\n%s\r\n", world_draw(w, 20) ? "X-Trailer: t\r\n" : "");
}

/* An answer that is whole and well made; how its body ends is drawn. */
static void put_whole(struct world *w, struct wire *c, struct truth_send *e, uint32_t ends_by_close)
{
    static const char *const te[] = {"Transfer-Encoding: chunked", "transfer-encoding:chunked",
                                     "TRANSFER-ENCODING: Chunked"};
    uint32_t n = world_draw(w, 3) ? 1001 + world_below(w, 1000) : world_below(w, 200);
    put(c, "HTTP/1.1 %u %s\r\n", e->status, world_draw(w, 80) ? "Some Reason" : "");
    put_noise(w, c);
    bool close = world_draw(w, 15);
    if (e->status == 204 || e->status == 304) {
        if (e->status == 304) put(c, "Content-Length: %u\r\n", n);
        n = 0;
    } else if (world_draw(w, ends_by_close)) {
        e->needs_fin = true;
    } else if (world_draw(w, 25)) {
        put(c, "%s\r\n\r\n", te[world_below(w, 3)]);
        put_chunks(w, c);
        return;
    } else {
        put(c, "Content-Length: %s%u\r\n", world_draw(w, 10) ? "00" : "", n);
    }
    if (close || e->needs_fin) put(c, "Connection: close\r\n");
    e->keeps = !close && !e->needs_fin;
    put(c, "\r\n");
    put_body(w, c, n);
}

static const char *const lenient[] = {
    "HTTP/1.1 200\nContent-Length: 2\n\nok",
    "HTTP/1.1 200 \r\nX-Folded: a\r\n b\r\n\tc\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\ncontent-LENGTH:\t 2 \r\nX: \xE9\xFF\x01\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b;c=\"d\"\r\nok\r\n0\r\nA: b\r\n\r\n",
    "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nConnection: foo , CLOSE\r\nContent-Length: 2\r\n\r\nok",
};

static void put_lenient(struct world *w, struct wire *c, struct truth_send *e)
{
    uint32_t k = world_below(w, sizeof lenient / sizeof *lenient);
    put(c, "%s", lenient[k]);
    e->keeps = k != 5 && k != 7;
    if (k == 0) PROBE("an answer with bare line feeds");
}

#define TEXT_LEN(s) \
    { \
        s, sizeof(s) - 1 \
    }
static const struct {
    const char *text;
    size_t len;
} bad[] = {
    TEXT_LEN("HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    TEXT_LEN("HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 600 No\r\nContent-Length: 0\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n"),
    TEXT_LEN("ICY 200 OK\r\nContent-Length: 0\r\n\r\n"),
    TEXT_LEN("http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    TEXT_LEN("<html>200 OK</html>\r\n\r\n"),
    TEXT_LEN("\x15\x03\x01\x00\x02\x02\x46\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    TEXT_LEN("HTTP/1.1 103 Early\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"),
    TEXT_LEN("HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello"),
    TEXT_LEN("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello"),
    TEXT_LEN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nhello"),
    TEXT_LEN("HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello"),
    TEXT_LEN("HTTP/1.1 200 OK\r\nNo Colon\r\nContent-Length: 0\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 200 OK\r\n: empty\r\nContent-Length: 0\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n"),
    TEXT_LEN("HTTP/1.1 200 OK\r\nA: b\rContent-Length: 0\r\n\r\n"),
};

static void put_huge(struct world *w, struct wire *c, struct truth_send *e)
{
    static char filler[HUGE_BYTES];
    memset(filler, 'h', sizeof filler);
    if (e->kind == ANSWER_HEAD_HUGE) {
        put(c, "HTTP/1.1 200 OK\r\n");
        for (size_t n = 0; n < sizeof filler; n += 1000) {
            put(c, "X-%zu: ", n);
            net_answer(c, filler, 1000);
            put(c, "\r\n");
        }
        put(c, "Content-Length: 0\r\n\r\n");
    } else {
        /* With a length it is known that more would follow the last byte that is read. */
        bool has_length = world_draw(w, 50);
        if (has_length) put(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", HUGE_BYTES);
        else put(c, "HTTP/1.1 200 OK\r\n\r\n");
        e->enough = c->out_len + LIMIT_BYTES + (has_length ? 0 : 1);
        net_answer(c, filler, sizeof filler);
    }
    e->keeps = false;
}

/* Writes a whole answer and takes some of its end back. */
static void put_cut(struct world *w, struct wire *c, struct truth_send *e)
{
    put_whole(w, c, e, 0);
    CHECK(!e->needs_fin);
    uint32_t n = (uint32_t)(c->out_len - e->from);
    c->out_len = e->from + 1 + world_below(w, n - 1);
    e->keeps = false;
    e->needs_fin = e->kind == ANSWER_TRUNCATED;
    if (e->kind != ANSWER_TRUNCATED) e->enough = SIZE_MAX; /* never */
}

static uint16_t status_draw(struct world *w, enum answer_kind kind)
{
    static const uint16_t good[] = {200, 200, 201, 202, 203, 206, 226, 299};
    static const uint16_t redirects[] = {300, 301, 302, 303, 304, 307, 308, 399};
    static const uint16_t refusals[] = {400, 401, 403, 404, 407, 410, 413, 499};
    static const uint16_t retries[] = {408, 429, 500, 501, 502, 503, 529, 599};
    uint32_t k = world_below(w, 8);
    if (kind == ANSWER_OK_EMPTY) return 204;
    if (kind == ANSWER_REDIRECT) return redirects[k];
    if (kind == ANSWER_REFUSE) return refusals[k];
    if (kind == ANSWER_RETRY) return retries[k];
    return kind == ANSWER_BAD || kind == ANSWER_HEAD_HUGE ? 0 : good[k];
}

static void put_interim(struct world *w, struct wire *c)
{
    static const char *const interim[] = {
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 102 \r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n",
    };
    do put(c, "%s", interim[world_below(w, 3)]);
    while (world_draw(w, 30));
}

static void put_garbage(struct world *w, struct wire *c)
{
    static const char *const garbage[] = {"x", "garbage\r\n\r\n", "HTTP/1.1 OK\r\n\r\n",
                                          "{\"ok\":true}\n"};
    put(c, "%s", garbage[world_below(w, 4)]);
    c->tainted = true;
}

/* What a script asks for: its status and its fields, and a short body. */
static void put_scripted(struct world *w, struct wire *c, struct truth_send *e)
{
    const struct truth_reply *r = c->reply;
    e->status = r->status;
    put(c, "HTTP/1.1 %u Scripted\r\n%s", r->status, r->fields);
    if (r->status == 204 || r->status == 304) {
        put(c, "\r\n");
    } else {
        uint32_t n = world_below(w, 40);
        put(c, "Content-Length: %u\r\n\r\n", n);
        put_body(w, c, n);
    }
    if (e->kind == ANSWER_STALL) {
        c->out_len -= 1 + world_below(w, 20);
        e->keeps = false;
        e->enough = SIZE_MAX;
    }
    e->end = c->out_len;
    if (e->enough == 0) e->enough = e->end;
}

void answer_write(struct world *w, struct wire *c, struct truth_send *e)
{
    e->from = c->out_len;
    e->enough = e->end = 0;
    e->keeps = true;
    if (e->scripted) {
        put_scripted(w, c, e);
        return;
    }
    e->status = status_draw(w, e->kind);
    switch (e->kind) {
    case ANSWER_OK_INTERIM:
        put_interim(w, c);
        put_whole(w, c, e, 0);
        break;
    case ANSWER_OK_UNTIL_CLOSE: put_whole(w, c, e, 100); break;
    case ANSWER_OK_LENIENT:
        e->status = 200;
        put_lenient(w, c, e);
        break;
    case ANSWER_OK_HUGE:
        e->status = 200;
        put_huge(w, c, e);
        break;
    case ANSWER_HEAD_HUGE: put_huge(w, c, e); break;
    case ANSWER_OK_CHUNKED:
        put(c, "HTTP/1.1 %u OK\r\nTransfer-Encoding: chunked\r\n\r\n", e->status);
        put_chunks(w, c);
        break;
    case ANSWER_OK_CLOSE:
        put(c, "HTTP/1.1 %u OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", e->status);
        e->keeps = false;
        break;
    case ANSWER_BAD: {
        uint32_t k = world_below(w, sizeof bad / sizeof *bad);
        net_answer(c, bad[k].text, bad[k].len);
        e->keeps = false;
        break;
    }
    case ANSWER_TRUNCATED:
    case ANSWER_STALL:
    case ANSWER_RESET_INSIDE: put_cut(w, c, e); break;
    case ANSWER_REDIRECT:
    case ANSWER_REFUSE:
    case ANSWER_RETRY: put_whole(w, c, e, 10); break;
    default: put_whole(w, c, e, 0); break;
    }
    e->end = c->out_len;
    if (e->enough == 0) e->enough = e->end;
    if (e->kind == ANSWER_OK_GARBAGE) put_garbage(w, c);
}
