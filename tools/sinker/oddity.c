/* tools/sinker/oddity.c - the table of malformed and of rare answers; see oddity.h. */
#include "tools/sinker/oddity.h"

#include "core/base/check.h"

#define OK             "HTTP/1.1 200 OK\r\n"
#define LENGTH_3       "Content-Length: 3\r\n\r\nok\n"
#define CHUNKED        "Transfer-Encoding: chunked\r\n"
#define HTTP2_SETTINGS "\0\0\0\4\0\0\0\0\0" /* an empty SETTINGS frame */

#define ROW(group, row_name, code, then, text) \
    { \
        SPAN_LIT(row_name), SPAN_LIT(text), group, code, ODDITY_BYTES, AFTER_##then \
    }
#define SPECIAL(group, row_name, code, kind) \
    { \
        SPAN_LIT(row_name), {NULL, 0}, group, code, ODDITY_##kind, AFTER_NEXT \
    }
#define BAD           true
#define ODD_BUT_LEGAL false

/* clang-format off */
static const struct oddity table[] = {
    /* Which protocol is this? */
    ROW(BAD, "http09",        0,   CLOSE, "ok\n"),
    ROW(BAD, "http2",         0,   NEXT,  HTTP2_SETTINGS),
    ROW(BAD, "major",         200, NEXT,  "HTTP/2.0 200 OK\r\n" LENGTH_3),
    ROW(BAD, "no-answer",     0,   CLOSE, ""),
    ROW(BAD, "101",           101, NEXT,  "HTTP/1.1 101 Switching Protocols\r\n"
                                          "Upgrade: nothing\r\nConnection: Upgrade\r\n\r\n"),
    /* The status: three digits of 100 to 599. */
    ROW(BAD, "status",        0,   NEXT,  "HTTP/1.1 2x0 OK\r\n" LENGTH_3),
    ROW(BAD, "status-short",  0,   NEXT,  "HTTP/1.1 20 OK\r\n" LENGTH_3),
    ROW(BAD, "status-long",   0,   NEXT,  "HTTP/1.1 2000 OK\r\n" LENGTH_3),
    ROW(BAD, "status-low",    99,  NEXT,  "HTTP/1.1 099 OK\r\n" LENGTH_3),
    ROW(BAD, "status-high",   600, NEXT,  "HTTP/1.1 600 OK\r\n" LENGTH_3),
    ROW(BAD, "status-none",   0,   NEXT,  "HTTP/1.1\r\n" LENGTH_3),
    /* Field lines. */
    ROW(BAD, "bare-cr",       200, NEXT,  OK "X-Odd: a\rb\r\n" LENGTH_3),
    ROW(BAD, "nul",           200, NEXT,  OK "X-Odd: a\0b\r\n" LENGTH_3),
    ROW(BAD, "space-colon",   200, NEXT,  OK "X-Odd : a\r\n" LENGTH_3),
    ROW(BAD, "space-name",    200, NEXT,  OK "X Odd: a\r\n" LENGTH_3),
    ROW(BAD, "no-colon",      200, NEXT,  OK "X-Odd\r\n" LENGTH_3),
    ROW(BAD, "short-head",    200, CLOSE, OK "Content-Le"),
    SPECIAL(BAD, "big-head",  200, BIG_HEAD),
    /* Content-Length. */
    ROW(BAD, "cl-empty",      200, NEXT,  OK "Content-Length:\r\n\r\nok\n"),
    ROW(BAD, "cl-signed",     200, NEXT,  OK "Content-Length: +3\r\n\r\nok\n"),
    ROW(BAD, "cl-negative",   200, NEXT,  OK "Content-Length: -3\r\n\r\nok\n"),
    ROW(BAD, "cl-text",       200, NEXT,  OK "Content-Length: 0x3\r\n\r\nok\n"),
    ROW(BAD, "cl-huge",       200, NEXT,  OK "Content-Length: 36893488147419103235\r\n\r\nok\n"),
    ROW(BAD, "cl-twice",      200, NEXT,  OK "Content-Length: 5\r\n" LENGTH_3),
    ROW(BAD, "cl-list",       200, NEXT,  OK "Content-Length: 3, 5\r\n\r\nok\n"),
    ROW(BAD, "cl-te",         200, NEXT,  OK CHUNKED "Content-Length: 3\r\n\r\n"
                                          "3\r\nok\n\r\n0\r\n\r\n"),
    ROW(BAD, "short-body",    200, CLOSE, OK "Content-Length: 30\r\n\r\nok\n"),
    /* Transfer-Encoding and chunks. */
    ROW(BAD, "te-unknown",    200, NEXT,  OK "Transfer-Encoding: gzip\r\n\r\nok\n"),
    ROW(BAD, "te-order",      200, NEXT,  OK "Transfer-Encoding: chunked, gzip\r\n\r\n"
                                          "3\r\nok\n\r\n0\r\n\r\n"),
    ROW(BAD, "chunk-size",    200, NEXT,  OK CHUNKED "\r\nzz\r\nok\n\r\n0\r\n\r\n"),
    ROW(BAD, "chunk-empty",   200, NEXT,  OK CHUNKED "\r\n\r\nok\n\r\n0\r\n\r\n"),
    ROW(BAD, "chunk-huge",    200, NEXT,  OK CHUNKED "\r\n10000000000000003\r\nok\n\r\n0\r\n\r\n"),
    ROW(BAD, "chunk-signed",  200, NEXT,  OK CHUNKED "\r\n+3\r\nok\n\r\n0\r\n\r\n"),
    ROW(BAD, "chunk-end",     200, NEXT,  OK CHUNKED "\r\n3\r\nok\nab0\r\n\r\n"),
    ROW(BAD, "chunk-cut",     200, CLOSE, OK CHUNKED "\r\n3\r\nok\n\r\n"),
    /* A complete answer, then more: the verdict stands, the connection may not be used again. */
    ROW(BAD, "garbage-after", 200, NEXT,  OK LENGTH_3 "garbage"),
    ROW(BAD, "two-answers",   200, NEXT,  OK LENGTH_3 "HTTP/1.1 500 Oh\r\n" LENGTH_3),

    /* Legal, or forgiven by the sender. */
    ROW(ODD_BUT_LEGAL, "lf",         200, NEXT, "HTTP/1.1 200 OK\nContent-Length: 3\n\nok\n"),
    ROW(ODD_BUT_LEGAL, "no-reason",  200, NEXT, "HTTP/1.1 200\r\n" LENGTH_3),
    ROW(ODD_BUT_LEGAL, "folded",     200, NEXT, OK "X-Odd: a\r\n  b\r\n" LENGTH_3),
    ROW(ODD_BUT_LEGAL, "high-bytes", 200, NEXT, OK "X-Odd: \x01\x80\xff\r\n" LENGTH_3),
    ROW(ODD_BUT_LEGAL, "cl-same",    200, NEXT, OK "Content-Length: 3\r\n" LENGTH_3),
    ROW(ODD_BUT_LEGAL, "chunked",    200, NEXT, OK CHUNKED "\r\n1\r\no\r\n2\r\nk\n\r\n0\r\n\r\n"),
    ROW(ODD_BUT_LEGAL, "chunk-ext",  200, NEXT, OK CHUNKED "\r\n3;a=b\r\nok\n\r\n0;c\r\n\r\n"),
    ROW(ODD_BUT_LEGAL, "trailers",   200, NEXT, OK CHUNKED "\r\n3\r\nok\n\r\n"
                                                                   "0\r\nX-Odd: a\r\n\r\n"),
    ROW(ODD_BUT_LEGAL, "http10",     200, CLOSE, "HTTP/1.0 200 OK\r\n" LENGTH_3),
    ROW(ODD_BUT_LEGAL, "100-continue", 200, NEXT, "HTTP/1.1 100 Continue\r\n\r\n" OK LENGTH_3),
    ROW(ODD_BUT_LEGAL, "early-hints", 200, NEXT, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                                                 "HTTP/1.1 102 Processing\r\n\r\n" OK LENGTH_3),
    ROW(ODD_BUT_LEGAL, "close-delimited", 200, CLOSE, OK "Connection: close\r\n\r\nok\n"),
    SPECIAL(ODD_BUT_LEGAL, "early",      200, EARLY),
    SPECIAL(ODD_BUT_LEGAL, "slow-bytes", 200, DRIP),
};
/* clang-format on */

enum { TABLE_COUNT = sizeof table / sizeof table[0] };

const struct oddity *oddity_find(bool is_bad, struct span name)
{
    for (unsigned i = 0; i < TABLE_COUNT; i++)
        if (table[i].is_bad == is_bad && span_eq(table[i].name, name)) return &table[i];
    return NULL;
}

const struct oddity *oddity_at(unsigned index)
{
    return index < TABLE_COUNT ? &table[index] : NULL;
}
