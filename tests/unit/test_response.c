/* Goal: every rule of the framing policy (RFC 9112 and the choices in response.c), one vector
 * each, with the same outcome however the bytes arrive.
 *
 * Method: two tables, of what is accepted and of what is refused with which reason, and one of
 * hints. Each vector is fed whole, byte by byte and cut in two at every point; every piece lies
 * against a page that cannot be read, so that a read beyond it crashes. Vectors too large for a
 * table are built below.
 */
#include "core/base/limits.h"
#include "core/http/response.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define S(literal) SPAN_LIT(literal)
#define OK         "HTTP/1.1 200 OK\r\n"
#define CHUNKED    OK "Transfer-Encoding: chunked\r\n\r\n"

enum ending { KEEP, CLOSE, AT_EOF }; /* AT_EOF: done at the connection's end, so not kept alive */

struct accepted {
    const char *name;
    struct span bytes;
    unsigned status;
    enum ending ending;
    const char *body;
    size_t spare; /* bytes that follow the answer */
};

static const struct accepted accepted[] = {
    {"length", S(OK "Content-Length: 2\r\n\r\nok"), 200, KEEP, "ok", 0},
    {"as nginx writes it",
     S(OK "Server: nginx/1.22.1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
          "Content-Type: application/json\r\nContent-Length: 15\r\n"
          "Connection: keep-alive\r\n\r\n{\"status\":\"ok\"}"),
     200, KEEP, "{\"status\":\"ok\"}", 0},
    {"length 0", S(OK "Content-Length: 0\r\n\r\n"), 200, KEEP, "", 0},
    {"a head of 17 bytes", S("HTTP/1.1 200\nX:\n\n"), 200, AT_EOF, "", 0},
    {"a head of 14 bytes", S("HTTP/1.1 200\n\n"), 200, AT_EOF, "", 0},
    {"bytes after the answer", S(OK "Content-Length: 2\r\n\r\nokHTTP/1.1"), 200, KEEP, "ok", 8},
    {"bytes after a 204", S("HTTP/1.1 204 No Content\r\n\r\nx"), 204, KEEP, "", 1},

    /* Line ends and folding. */
    {"bare LF", S("HTTP/1.1 200 OK\nContent-Length: 2\nX: y\n\nok"), 200, KEEP, "ok", 0},
    {"bare LF and CRLF mixed", S(OK "X: y\nContent-Length: 2\r\nZ: z\n\r\nok"), 200, KEEP, "ok", 0},
    {"CRLF, then a bare LF ends the head", S(OK "Content-Length: 2\r\n\nok"), 200, KEEP, "ok", 0},
    {"folded line", S(OK "X: a\r\n b\r\n\tc\r\nContent-Length: 2\r\n\r\nok"), 200, KEEP, "ok", 0},
    {"folded with bare LF", S(OK "X: a\n b\nContent-Length: 2\n\nok"), 200, KEEP, "ok", 0},
    {"folded with white space only", S(OK "X: a\r\n \r\nContent-Length: 2\r\n\r\nok"), 200, KEEP,
     "ok", 0},
    {"folded Content-Length", S(OK "Content-Length:\r\n 2\r\n\r\nok"), 200, KEEP, "ok", 0},
    {"folded twice, Content-Length", S(OK "Content-Length:\r\n \r\n\t2\r\n\r\nok"), 200, KEEP, "ok",
     0},
    {"folded Transfer-Encoding",
     S(OK "Transfer-Encoding: gzip,\r\n\tchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), 200, KEEP, "ok", 0},
    {"folded Connection", S(OK "Connection:\r\n close\r\nContent-Length: 2\r\n\r\nok"), 200, CLOSE,
     "ok", 0},
    {"what is folded is no field",
     S(OK "X: a\r\n Content-Length: 9\r\nContent-Length: 2\r\n\r\nok"), 200, KEEP, "ok", 0},

    /* Status lines. */
    {"no reason", S("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"), 200, KEEP, "ok", 0},
    {"no reason, no space", S("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"), 200, KEEP, "ok", 0},
    {"any bytes in the reason",
     S("HTTP/1.1 200 \x01\t\x7f\xff  n\xc3\xa4\r\nContent-Length: 2\r\n\r\nok"), 200, KEEP, "ok",
     0},
    {"a higher minor version", S("HTTP/1.9 200 OK\r\nContent-Length: 2\r\n\r\nok"), 200, KEEP, "ok",
     0},
    {"status 599", S("HTTP/1.1 599 x\r\nContent-Length: 0\r\n\r\n"), 599, KEEP, "", 0},
    {"status 205 may have a body", S("HTTP/1.1 205 x\r\nContent-Length: 2\r\n\r\nok"), 205, KEEP,
     "ok", 0},

    /* HTTP/1.0 and Connection. */
    {"HTTP/1.0", S("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"), 200, CLOSE, "ok", 0},
    {"HTTP/1.0 keep-alive",
     S("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok"), 200, KEEP, "ok",
     0},
    {"HTTP/1.0 keep-alive and close",
     S("HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 0\r\n\r\n"), 200, CLOSE,
     "", 0},
    {"HTTP/1.0 to the end", S("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nok"), 200, AT_EOF,
     "ok", 0},
    {"close", S(OK "Connection: close\r\nContent-Length: 2\r\n\r\nok"), 200, CLOSE, "ok", 0},
    {"close without a space", S(OK "connection:close\r\nContent-Length: 0\r\n\r\n"), 200, CLOSE, "",
     0},
    {"Close in a list", S(OK "Connection: ,x,\t, Close ,y\r\nContent-Length: 0\r\n\r\n"), 200,
     CLOSE, "", 0},
    {"close in a second line",
     S(OK "Connection: keep-alive\r\nX: y\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), 200,
     CLOSE, "", 0},
    {"close with white space after it", S(OK "Connection: close \r\nContent-Length: 0\r\n\r\n"),
     200, CLOSE, "", 0},
    {"not quite close", S(OK "Connection: clos, closed, x-close\r\nContent-Length: 0\r\n\r\n"), 200,
     KEEP, "", 0},
    {"close in another field", S(OK "Connectiom: close\r\nContent-Length: 0\r\n\r\n"), 200, KEEP,
     "", 0},

    /* Fields. */
    {"any bytes in a value",
     S(OK "X: \x01\x0b\x0c\x1f\x7f\x80\xff\t\r\nContent-Length: 2\r\n\r\nok"), 200, KEEP, "ok", 0},
    {"empty values", S(OK "X:\r\nY: \r\nContent-Length:2\r\n\r\nok"), 200, KEEP, "ok", 0},
    {"every token byte in a name", S(OK "a!#$%&'*+-.^_`|~9Z: y\r\nContent-Length: 2\r\n\r\nok"),
     200, KEEP, "ok", 0},
    {"a name of 40 bytes",
     S(OK "A-Name-That-Is-Longer-Than-Thirty-Two-Byte: y\r\nContent-Length: 2\r\n\r\nok"), 200,
     KEEP, "ok", 0},
    {"names in any case", S(OK "cONTENT-lENGTH: 2\r\nCONNECTION: CLOSE\r\n\r\nok"), 200, CLOSE,
     "ok", 0},
    {"names nearly Content-Length",
     S(OK "Content-Lengths: 9\r\nXontent-Length: 9\r\nContent_Length: 9\r\nContent-Lengt: 9\r\n"
          "Content-Length: 2\r\n\r\nok"),
     200, KEEP, "ok", 0},
    {"names nearly Transfer-Encoding",
     S(OK "Transfer-Encodin: x\r\nTransfer-Encoding2: x\r\nTransfer_Encoding: x\r\nTE: x\r\n"
          "Content-Length: 2\r\n\r\nok"),
     200, KEEP, "ok", 0},

    /* Content-Length. */
    {"white space around a length", S(OK "Content-Length:\t 2 \t\r\n\r\nok"), 200, KEEP, "ok", 0},
    {"equal lengths in two lines", S(OK "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok"), 200,
     KEEP, "ok", 0},
    {"equal lengths in one line", S(OK "Content-Length: 2, 2\t,02\r\n\r\nok"), 200, KEEP, "ok", 0},
    {"zeros before a length", S(OK "Content-Length: 000000000000000000000000000002\r\n\r\nok"), 200,
     KEEP, "ok", 0},

    /* Chunked. */
    {"chunked", S(CHUNKED "2\r\nok\r\n0\r\n\r\n"), 200, KEEP, "ok", 0},
    {"chunked, bytes after it", S(CHUNKED "2\r\nok\r\n0\r\n\r\nHTTP"), 200, KEEP, "ok", 4},
    {"chunked, empty", S(CHUNKED "0\r\n\r\n"), 200, KEEP, "", 0},
    {"several chunks", S(CHUNKED "1\r\na\r\n002\r\nbc\r\nA\r\n0123456789\r\n0000\r\n\r\n"), 200,
     KEEP, "abc0123456789", 0},
    {"digits of both cases", S(CHUNKED "0a\r\n0123456789\r\n0B\r\nabcdefghijk\r\n0\r\n\r\n"), 200,
     KEEP, "0123456789abcdefghijk", 0},
    {"a size of 20 digits", S(CHUNKED "00000000000000000002\r\nok\r\n0\r\n\r\n"), 200, KEEP, "ok",
     0},
    {"chunk extensions",
     S(CHUNKED "2;a\r\nok\r\n2 ;a=b;c=\"d;\\\"\"\r\nok\r\n2\t; \r\nok\r\n0;z=\xff\t\r\n\r\n"), 200,
     KEEP, "okokok", 0},
    {"a trailer", S(CHUNKED "2\r\nok\r\n0\r\nX: y\r\nContent-Length: 99\r\nZ:\r\n\r\n"), 200, KEEP,
     "ok", 0},
    {"a folded trailer", S(CHUNKED "2\r\nok\r\n0\r\nX: y\r\n z\r\n\r\n"), 200, KEEP, "ok", 0},
    {"chunk data like framing", S(CHUNKED "7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"), 200, KEEP,
     "\r\n0\r\n\r\n", 0},
    {"chunked and close", S(OK "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
     200, CLOSE, "", 0},
    {"Chunked in any case", S(OK "transfer-encoding:CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n"), 200,
     KEEP, "ok", 0},
    {"another coding before chunked",
     S(OK "Transfer-Encoding: gzip , chunked \r\n\r\n2\r\nok\r\n0\r\n\r\n"), 200, KEEP, "ok", 0},
    {"codings in two lines",
     S(OK "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), 200,
     KEEP, "ok", 0},

    /* Up to the end of the connection. */
    {"to the end", S(OK "X: y\r\n\r\nok"), 200, AT_EOF, "ok", 0},
    {"to the end, nothing", S(OK "\r\n"), 200, AT_EOF, "", 0},
    {"to the end, though keep-alive", S(OK "Connection: keep-alive\r\n\r\nok"), 200, AT_EOF, "ok",
     0},

    /* No body. */
    {"204", S("HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n"), 204, KEEP, "", 0},
    {"204 with length 0", S("HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n"), 204, KEEP, "", 0},
    {"204 that announces a body", S("HTTP/1.1 204 x\r\nContent-Length: 2\r\n\r\nok"), 204, CLOSE,
     "", 2},
    {"204 that is chunked", S("HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 204,
     CLOSE, "", 5},
    {"304 with the other answer's length", S("HTTP/1.1 304 x\r\nContent-Length: 2\r\n\r\n"), 304,
     KEEP, "", 0},

    /* 1xx. */
    {"100", S("HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 2\r\n\r\nok"), 200, KEEP, "ok",
     0},
    {"103 with fields, 102 without",
     S("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX: y\r\n\r\nHTTP/1.1 102\n\n" OK
       "Content-Length: 2\r\n\r\nok"),
     200, KEEP, "ok", 0},
    {"100 with length 0",
     S("HTTP/1.1 100 x\r\nContent-Length: 0\r\n\r\n" OK "Content-Length: 2\r\n\r\nok"), 200, KEEP,
     "ok", 0},
    {"close in a 1xx",
     S("HTTP/1.1 100 x\r\nConnection: close\r\n\r\n" OK "Content-Length: 0\r\n\r\n"), 200, CLOSE,
     "", 0},
    {"keep-alive in a 1xx is not the answer's",
     S("HTTP/1.0 100 x\r\nConnection: keep-alive\r\n\r\n"
       "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
     200, CLOSE, "", 0},
};

struct refused {
    const char *name;
    struct span bytes;
    const char *why; /* in r->bad */
    bool eof;        /* only when the connection ends there */
};

static const char begins[] = "does not begin as HTTP/1.x";
static const char digits[] = "not three digits";
static const char not_decimal[] = "not a decimal number";
static const char too_large[] = "too large";
static const char not_hex[] = "not a hexadecimal number";
static const char cut[] = "ended inside";

static const struct refused refused[] = {
    /* What is no HTTP/1.x. */
    {"HTTP/0.9", S("<html>ok</html>"), begins, false},
    {"HTTP/0.9 named", S("HTTP/0.9 200 OK\r\n\r\n"), begins, false},
    {"HTTP/2 named", S("HTTP/2 200 OK\r\n\r\n"), begins, false},
    {"HTTP/2.0 named", S("HTTP/2.0 200 OK\r\n\r\n"), begins, false},
    {"HTTP/3.0 named", S("HTTP/3.0 200 OK\r\n\r\n"), begins, false},
    {"an HTTP/2 SETTINGS frame", S("\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x80"), "NUL in the head", false},
    {"an HTTP/2 GOAWAY frame", S("\1\0\x08\7\0\0\0\0\0"), begins, false},
    {"a TLS alert", S("\x15\3\3\0\2\2\x46"), begins, false},
    {"ICY", S("ICY 200 OK\r\n\r\n"), begins, false},
    {"http in lower case", S("http/1.1 200 OK\r\n\r\n"), begins, false},
    {"a minor version of two digits", S("HTTP/1.10 200 OK\r\n\r\n"), begins, false},
    {"no minor version", S("HTTP/1. 200 OK\r\n\r\n"), begins, false},
    {"a letter as minor version", S("HTTP/1.x 200 OK\r\n\r\n"), begins, false},
    {"a tab after the version", S("HTTP/1.1\t200 OK\r\n\r\n"), begins, false},
    {"no space after the version", S("HTTP/1.1200 OK\r\n\r\n"), begins, false},
    {"nothing after the version", S("HTTP/1.1\r\n\r\n"), begins, false},
    {"an empty line first", S("\r\n" OK "\r\n"), begins, false},
    {"a bare LF first", S("\n" OK "\r\n"), begins, false},
    {"a space first", S(" " OK "\r\n"), begins, false},

    /* Status. */
    {"no status", S("HTTP/1.1 \r\n\r\n"), digits, false},
    {"a status of two digits", S("HTTP/1.1 20\r\n\r\n"), digits, false},
    {"a status of two digits, reason", S("HTTP/1.1 20 OK\r\n\r\n"), digits, false},
    {"a status of four digits", S("HTTP/1.1 2000 OK\r\n\r\n"), digits, false},
    {"a status with a letter", S("HTTP/1.1 20x OK\r\n\r\n"), digits, false},
    {"a signed status", S("HTTP/1.1 +20 OK\r\n\r\n"), digits, false},
    {"two spaces before the status", S("HTTP/1.1  200 OK\r\n\r\n"), digits, false},
    {"no space after the status", S("HTTP/1.1 200OK\r\n\r\n"), digits, false},
    {"a tab after the status", S("HTTP/1.1 200\tOK\r\n\r\n"), digits, false},
    {"status 000", S("HTTP/1.1 000 x\r\n\r\n"), "not 100 to 599", false},
    {"status 099", S("HTTP/1.1 099 x\r\n\r\n"), "not 100 to 599", false},
    {"status 600", S("HTTP/1.1 600 x\r\n\r\n"), "not 100 to 599", false},
    {"status 999", S("HTTP/1.1 999 x\r\n\r\n"), "not 100 to 599", false},
    {"101", S("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), "switches protocols",
     false},
    {"101 after 100", S("HTTP/1.1 100 x\r\n\r\nHTTP/1.1 101 x\r\n\r\n"), "switches", false},

    /* Bare CR and NUL. */
    {"bare CR in the status line", S("HTTP/1.1 200 O\rK\r\n\r\n"), "bare CR", false},
    {"bare CR ends the status line", S("HTTP/1.1 200 OK\rX: y\r\n\r\n"), "bare CR", false},
    {"bare CR in a name", S(OK "X\rY: y\r\n\r\n"), "bare CR", false},
    {"bare CR in a value", S(OK "X: a\rb\r\n\r\n"), "bare CR", false},
    {"CR CR LF after a field", S(OK "X: a\r\r\n\r\n"), "bare CR", false},
    {"CR CR LF ends the head", S(OK "X: a\r\n\r\r\n"), "bare CR", false},
    {"bare CR in a folded line", S(OK "X: a\r\n b\rc\r\n\r\n"), "bare CR", false},
    {"NUL in the status line", S("HTTP/1.1 200 O\0K\r\n\r\n"), "NUL", false},
    {"NUL in a name", S(OK "X\0: a\r\n\r\n"), "NUL", false},
    {"NUL in a value", S(OK "X: a\0b\r\nContent-Length: 0\r\n\r\n"), "NUL", false},
    {"NUL in a length", S(OK "Content-Length: 2\0\r\n\r\nok"), "NUL", false},

    /* Field names. */
    {"space before the colon", S(OK "Content-Length : 2\r\n\r\nok"), "white space in", false},
    {"tab before the colon", S(OK "X\t: y\r\n\r\n"), "white space in", false},
    {"space in a name", S(OK "X Y: y\r\n\r\n"), "white space in", false},
    {"a line folded inside a name", S(OK "Content-\r\n Length: 2\r\n\r\nok"), "white space in",
     false},
    {"a folded line first", S(OK " X: y\r\n\r\n"), "before the first field", false},
    {"a line of white space first", S(OK "\t\r\n\r\n"), "before the first field", false},
    {"no colon", S(OK "Content-Length\r\n\r\n"), "no colon", false},
    {"no name", S(OK ": y\r\n\r\n"), "no name", false},
    {"a bracket in a name", S(OK "X(: y\r\n\r\n"), "no token", false},
    {"a control character in a name", S(OK "Content-Length\x0b: 2\r\n\r\nok"), "no token", false},
    {"a byte above 127 in a name", S(OK "X\xc3\xa4: y\r\n\r\n"), "no token", false},

    /* Content-Length. */
    {"empty length", S(OK "Content-Length:\r\n\r\n"), not_decimal, false},
    {"blank length", S(OK "Content-Length: \t \r\n\r\n"), not_decimal, false},
    {"plus", S(OK "Content-Length: +2\r\n\r\nok"), not_decimal, false},
    {"minus", S(OK "Content-Length: -2\r\n\r\nok"), not_decimal, false},
    {"a fraction", S(OK "Content-Length: 2.0\r\n\r\nok"), not_decimal, false},
    {"hexadecimal", S(OK "Content-Length: 0x2\r\n\r\nok"), not_decimal, false},
    {"a letter", S(OK "Content-Length: 2a\r\n\r\nok"), not_decimal, false},
    {"a unit", S(OK "Content-Length: 2 bytes\r\n\r\nok"), not_decimal, false},
    {"two numbers without a comma", S(OK "Content-Length: 2 2\r\n\r\nok"), not_decimal, false},
    {"comma last", S(OK "Content-Length: 2,\r\n\r\nok"), not_decimal, false},
    {"comma first", S(OK "Content-Length: ,2\r\n\r\nok"), not_decimal, false},
    {"two commas", S(OK "Content-Length: 2,,2\r\n\r\nok"), not_decimal, false},
    {"quoted", S(OK "Content-Length: \"2\"\r\n\r\nok"), not_decimal, false},
    {"a vertical tab",
     S(OK "Content-Length: \x0b"
          "2\r\n\r\nok"),
     not_decimal, false},
    {"digits joined by a fold", S(OK "Content-Length: 1\r\n 0\r\n\r\n"), not_decimal, false},
    {"20 digits", S(OK "Content-Length: 10000000000000000000\r\n\r\n"), too_large, false},
    {"2^64 + 2", S(OK "Content-Length: 18446744073709551618\r\n\r\nok"), too_large, false},
    {"40 digits", S(OK "Content-Length: 9999999999999999999999999999999999999999\r\n\r\n"),
     too_large, false},
    {"contradictory in one line", S(OK "Content-Length: 2, 3\r\n\r\nok"), "contradicts", false},
    {"contradictory in two", S(OK "Content-Length: 2\r\nX: y\r\nContent-Length: 3\r\n\r\nok"),
     "contradicts", false},
    {"contradictory with 0", S(OK "Content-Length: 0\r\nContent-Length: 3\r\n\r\nabc"),
     "contradicts", false},
    {"a 204 is not excused", S("HTTP/1.1 204 x\r\nContent-Length: x\r\n\r\n"), not_decimal, false},

    /* Transfer-Encoding. */
    {"with a length after it",
     S(OK "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n"), "together with",
     false},
    {"with a length before it",
     S(OK "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "together with",
     false},
    {"with a length in a 204",
     S("HTTP/1.1 204 x\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"),
     "together with", false},
    {"gzip", S(OK "Transfer-Encoding: gzip\r\n\r\nok"), "not chunked", false},
    {"identity", S(OK "Transfer-Encoding: identity\r\n\r\nok"), "not chunked", false},
    {"nearly chunked", S(OK "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), "not chunked", false},
    {"chunked, gzip", S(OK "Transfer-Encoding: chunked, gzip\r\n\r\n"), "follows chunked", false},
    {"chunked twice", S(OK "Transfer-Encoding: chunked, chunked\r\n\r\n"), "follows chunked",
     false},
    {"chunked, gzip in two lines",
     S(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n"), "follows chunked",
     false},
    {"chunked in two lines",
     S(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), "follows chunked",
     false},
    {"empty coding", S(OK "Transfer-Encoding:\r\n\r\n"), "not a list", false},
    {"empty element first", S(OK "Transfer-Encoding: , chunked\r\n\r\n0\r\n\r\n"), "not a list",
     false},
    {"empty element last", S(OK "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n"), "not a list",
     false},
    {"a parameter", S(OK "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"), "not a list", false},
    {"quoted chunked", S(OK "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"), "not a list",
     false},
    {"a vertical tab before chunked",
     S(OK "Transfer-Encoding: \x0b"
          "chunked\r\n\r\n0\r\n\r\n"),
     "not a list", false},
    {"chunked in two by a fold", S(OK "Transfer-Encoding: chun\r\n ked\r\n\r\n0\r\n\r\n"),
     "not a list", false},
    {"chunked in HTTP/1.0", S("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
     "in HTTP/1.0", false},

    /* Chunks. */
    {"no size", S(CHUNKED "\r\n"), not_hex, false},
    {"no size, extension", S(CHUNKED ";a\r\n"), not_hex, false},
    {"no hexadecimal digit", S(CHUNKED "g\r\n"), not_hex, false},
    {"space before the size", S(CHUNKED " 2\r\nok\r\n0\r\n\r\n"), not_hex, false},
    {"space after the size", S(CHUNKED "2 \r\nok\r\n0\r\n\r\n"), not_hex, false},
    {"space in the size", S(CHUNKED "2 0\r\nok\r\n0\r\n\r\n"), not_hex, false},
    {"0x size", S(CHUNKED "0x2\r\nok\r\n0\r\n\r\n"), not_hex, false},
    {"signed size", S(CHUNKED "+2\r\nok\r\n0\r\n\r\n"), not_hex, false},
    {"negative size", S(CHUNKED "-2\r\nok\r\n0\r\n\r\n"), not_hex, false},
    {"comma after the size", S(CHUNKED "2,\r\nok\r\n0\r\n\r\n"), not_hex, false},
    {"size of 17 digits", S(CHUNKED "10000000000000002\r\nok\r\n0\r\n\r\n"), "size is too large",
     false},
    {"size of 2^63", S(CHUNKED "8000000000000000\r\nok"), "size is too large", false},
    {"bare LF after the size", S(CHUNKED "2\nok\r\n0\r\n\r\n"), not_hex, false},
    {"bare CR after the size", S(CHUNKED "2\rok\r\n0\r\n\r\n"), "bare CR", false},
    {"bare LF in an extension", S(CHUNKED "2;a\nok\r\n0\r\n\r\n"), "chunk extension", false},
    {"bare CR in an extension", S(CHUNKED "2;a\rb\r\nok\r\n0\r\n\r\n"), "bare CR", false},
    {"NUL in an extension", S(CHUNKED "2;a\0\r\nok\r\n0\r\n\r\n"), "chunk extension", false},
    {"a chunk longer than its size", S(CHUNKED "2\r\nokay\r\n0\r\n\r\n"), "does not end", false},
    {"a chunk shorter than its size", S(CHUNKED "3\r\nok\r\n0\r\n\r\n"), "does not end", false},
    {"no line end after a chunk", S(CHUNKED "2\r\nok0\r\n\r\n"), "does not end", false},
    {"bare LF after a chunk", S(CHUNKED "2\r\nok\n0\r\n\r\n"), "does not end", false},
    {"bare CR after a chunk", S(CHUNKED "2\r\nok\r0\r\n\r\n"), "does not end", false},
    {"bare LF ends the answer", S(CHUNKED "0\r\n\n"), "bare LF in the trailer", false},
    {"bare LF in the trailer", S(CHUNKED "0\r\nX: y\n\r\n"), "bare LF in the trailer", false},
    {"bare CR in the trailer", S(CHUNKED "0\r\nX: y\rz\r\n\r\n"), "bare CR", false},
    {"NUL in the trailer", S(CHUNKED "0\r\nX: \0\r\n\r\n"), "NUL", false},
    {"no colon in the trailer", S(CHUNKED "0\r\nX\r\n\r\n"), "no colon", false},
    {"space before a trailer's colon", S(CHUNKED "0\r\nX : y\r\n\r\n"), "white space in", false},
    {"a folded line first in the trailer", S(CHUNKED "0\r\n X: y\r\n\r\n"), "before the first",
     false},
    {"another answer instead of a trailer", S(CHUNKED "0\r\nHTTP/1.1 200 OK\r\n\r\n"), "no token",
     false},

    /* 1xx. */
    {"1xx with a length", S("HTTP/1.1 100 x\r\nContent-Length: 2\r\n\r\nok" OK "\r\n"),
     "announces a body", false},
    {"1xx chunked", S("HTTP/1.1 100 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" OK "\r\n"),
     "announces a body", false},

    /* The end of the connection. */
    {"nothing at all", S(""), "ended before", true},
    {"cut in the version", S("HTT"), cut, true},
    {"cut in the status line", S("HTTP/1.1 200 OK"), cut, true},
    {"cut after the status line", S(OK), cut, true},
    {"cut in a field", S(OK "Content-Le"), cut, true},
    {"cut after a field", S(OK "Content-Length: 0\r\n"), cut, true},
    {"cut in the empty line", S(OK "Content-Length: 0\r\n\r"), cut, true},
    {"cut before the body", S(OK "Content-Length: 2\r\n\r\n"), cut, true},
    {"cut in the body", S(OK "Content-Length: 2\r\n\r\no"), cut, true},
    {"cut after a 1xx", S("HTTP/1.1 100 Continue\r\n\r\n"), cut, true},
    {"cut before a chunk", S(CHUNKED), cut, true},
    {"cut in a chunk line", S(CHUNKED "2"), cut, true},
    {"cut in a chunk", S(CHUNKED "2\r\no"), cut, true},
    {"cut after a chunk", S(CHUNKED "2\r\nok"), cut, true},
    {"cut before the last chunk", S(CHUNKED "2\r\nok\r\n"), cut, true},
    {"cut before the trailer", S(CHUNKED "2\r\nok\r\n0\r\n"), cut, true},
    {"cut in the trailer", S(CHUNKED "2\r\nok\r\n0\r\nX: y\r\n"), cut, true},
};

#define COUNT(table) (sizeof table / sizeof table[0])

/* ---- Feeding. ---- */

enum { PIECE_MAX = 256 * 1024 };

/* len bytes whose end is the end of what can be read. */
static const char *fenced(const char *bytes, size_t len)
{
    static char *fence;
    if (fence == NULL) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *map = mmap(NULL, PIECE_MAX + page, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        cr_assert(map != MAP_FAILED);
        cr_assert(mprotect(map + PIECE_MAX, page, PROT_NONE) == 0);
        fence = map + PIECE_MAX;
    }
    cr_assert(len <= PIECE_MAX);
    return len > 0 ? memcpy(fence - len, bytes, len) : fence;
}

struct outcome {
    enum response_step step;
    bool at_eof;
    size_t used;
    struct response r;
};

static void feed_piece(struct outcome *o, const char *bytes, size_t len)
{
    size_t used;
    if (o->step != RESPONSE_MORE) return;
    o->step = response_feed(&o->r, fenced(bytes, len), len, &used);
    cr_assert(used <= len);
    cr_assert(used == len || o->step != RESPONSE_MORE);
    o->used += used;
}

/* Pieces of `first` bytes and then of `rest` bytes each; after them the end of the connection. */
static void feed(struct outcome *o, struct span bytes, size_t first, size_t rest)
{
    memset(o, 0xa5, sizeof *o); /* response_init() must not need zeroes */
    o->used = 0;
    o->step = RESPONSE_MORE;
    response_init(&o->r);
    cr_assert_not(response_begun(&o->r));
    for (size_t at = 0, len = first; at < bytes.len; at += len, len = rest) {
        if (len > bytes.len - at) len = bytes.len - at;
        feed_piece(o, bytes.ptr + at, len);
        cr_assert(response_begun(&o->r));
    }
    o->at_eof = o->step == RESPONSE_MORE;
    if (o->at_eof) o->step = response_eof(&o->r);
}

/* Hints say the same, whatever is stored where. */
static void expect_same_hints(const struct hints *a, const struct hints *b, const char *name)
{
    struct hint x, y;
    memset(&x, 0, sizeof x);
    memset(&y, 0, sizeof y);
    hints_resolve(a, 1000, UINT64_MAX, &x);
    hints_resolve(b, 1000, UINT64_MAX, &y);
    cr_assert(a->any == b->any, "%s: hints", name);
    cr_assert(a->ignored == b->ignored, "%s: hints ignored: %u, %u", name, a->ignored, b->ignored);
    cr_assert(a->date_len == b->date_len, "%s: Date", name);
    cr_assert(memcmp(a->date, b->date, a->date_len) == 0, "%s: Date", name);
    cr_assert(memcmp(&x, &y, sizeof x) == 0, "%s: hints", name);
}

static void expect_same(const struct outcome *a, const struct outcome *b, const char *name,
                        size_t first, size_t rest)
{
    cr_assert(a->step == b->step, "%s: cut %zu/%zu: step %d, whole %d", name, first, rest, b->step,
              a->step);
    cr_assert(a->at_eof == b->at_eof, "%s: cut %zu/%zu: at the end", name, first, rest);
    cr_assert(a->r.status == b->r.status, "%s: cut %zu/%zu: status", name, first, rest);
    cr_assert(a->r.body_bytes == b->r.body_bytes, "%s: cut %zu/%zu: body", name, first, rest);
    cr_assert(a->r.body_kept == b->r.body_kept, "%s: cut %zu/%zu: body", name, first, rest);
    cr_assert(memcmp(a->r.body, b->r.body, a->r.body_kept) == 0, "%s: cut %zu/%zu: body", name,
              first, rest);
    if (a->step == RESPONSE_BAD) {
        cr_assert_str_eq(a->r.bad, b->r.bad, "%s: cut %zu/%zu: %s, whole: %s", name, first, rest,
                         b->r.bad, a->r.bad);
    } else {
        cr_assert(a->used == b->used, "%s: cut %zu/%zu: used", name, first, rest);
        cr_assert(a->r.keep_alive == b->r.keep_alive, "%s: cut %zu/%zu", name, first, rest);
        cr_assert(a->r.body_cut == b->r.body_cut, "%s: cut %zu/%zu", name, first, rest);
        expect_same_hints(&a->r.hints, &b->r.hints, name);
    }
}

/* Feeds whole into *o, and then in every other way, `step` cuts apart. */
static void feed_all_ways(struct outcome *o, const char *name, struct span bytes, size_t step)
{
    static struct outcome other;
    feed(o, bytes, bytes.len, bytes.len);
    feed(&other, bytes, 1, 1);
    expect_same(o, &other, name, 1, 1);
    for (size_t at = 1; at < bytes.len; at += step) {
        feed(&other, bytes, at, bytes.len);
        expect_same(o, &other, name, at, bytes.len - at);
    }
    for (size_t rest = 2; rest < 70 && rest < bytes.len; rest += 5) {
        feed(&other, bytes, rest, rest);
        expect_same(o, &other, name, rest, rest);
    }
}

Test(response, accepted)
{
    static struct outcome o;
    for (size_t i = 0; i < COUNT(accepted); i++) {
        const struct accepted *v = &accepted[i];
        feed_all_ways(&o, v->name, v->bytes, 1);
        cr_assert(o.step == RESPONSE_DONE, "%s: %s", v->name,
                  o.step == RESPONSE_BAD ? o.r.bad : "not done");
        cr_assert(o.r.status == v->status, "%s: status %u", v->name, o.r.status);
        cr_assert(o.at_eof == (v->ending == AT_EOF), "%s: at the end", v->name);
        cr_assert(o.r.keep_alive == (v->ending == KEEP), "%s: keep_alive", v->name);
        cr_assert(o.used == v->bytes.len - v->spare, "%s: used %zu", v->name, o.used);
        cr_assert(span_eq(span_of(o.r.body, o.r.body_kept), span_of(v->body, strlen(v->body))),
                  "%s: body %.*s", v->name, (int)o.r.body_kept, o.r.body);
        cr_assert(o.r.body_bytes == o.r.body_kept, "%s: body bytes", v->name);
        cr_assert_not(o.r.body_cut, "%s: body cut", v->name);
    }
}

Test(response, refused)
{
    static struct outcome o;
    for (size_t i = 0; i < COUNT(refused); i++) {
        const struct refused *v = &refused[i];
        feed_all_ways(&o, v->name, v->bytes, 1);
        cr_assert(o.step == RESPONSE_BAD, "%s: accepted", v->name);
        cr_assert(o.at_eof == v->eof, "%s: at the end: %s", v->name, o.r.bad);
        cr_assert(strstr(o.r.bad, v->why) != NULL, "%s: %s", v->name, o.r.bad);
    }
}

/* ---- Hints. ---- */

#define EMPTY     "Content-Length: 0\r\n\r\n"
#define LATER     "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n" /* 1700000000 */
#define RESET     "X-RateLimit-Remaining: 4\r\nX-RateLimit-Reset: 1700000005\r\n"
#define NOT_TOLD  UINT64_MAX
#define SECOND_NS UINT64_C(1000000000)

struct hinted {
    const char *name;
    struct span bytes;
    uint64_t retry_after_s, remaining, reset_s;
    unsigned ignored;
};

static const struct hinted hinted[] = {
    {"none", S(OK "Server: x\r\n" LATER EMPTY), NOT_TOLD, NOT_TOLD, NOT_TOLD, 0},
    {"Date first", S(OK LATER RESET EMPTY), NOT_TOLD, 4, 5, 0},
    {"Date last", S(OK RESET "Content-Length: 0\r\n" LATER "\r\n"), NOT_TOLD, 4, 5, 0},
    {"with a 429", S("HTTP/1.1 429 x\r\nRetry-After: 7\r\n" EMPTY), 7, NOT_TOLD, NOT_TOLD, 0},
    {"white space around", S(OK "Retry-After:\t 7 \t\r\n" EMPTY), 7, NOT_TOLD, NOT_TOLD, 0},
    {"no white space", S(OK "Retry-After:7\n" EMPTY), 7, NOT_TOLD, NOT_TOLD, 0},
    {"folded", S(OK "Retry-After:\r\n  7\r\n \r\n" EMPTY), 7, NOT_TOLD, NOT_TOLD, 0},
    {"a folded list", S(OK "RateLimit: \"a\";r=5;t=3,\r\n\t\"b\";r=4;\r\n t=2\r\n" EMPTY), NOT_TOLD,
     4, 2, 0},
    {"a folded Date", S(OK "Date:\r\n Tue, 14 Nov 2023\r\n 22:13:20 GMT\r\n" RESET EMPTY), NOT_TOLD,
     4, 5, 0},
    {"nonsense", S(OK "Retry-After: soon\r\nX-RateLimit-Remaining: 3\r\n" EMPTY), NOT_TOLD, 3,
     NOT_TOLD, 1},
    {"any bytes", S(OK "Retry-After: \x01\xff\r\nRateLimit: \"\xc3\xa4\";r=1\r\n" EMPTY), NOT_TOLD,
     NOT_TOLD, NOT_TOLD, 2},
    {"empty", S(OK "Retry-After:\r\nX-RateLimit-Reset: \r\n" EMPTY), NOT_TOLD, NOT_TOLD, NOT_TOLD,
     2},
    {"of a 1xx",
     S("HTTP/1.1 103 x\r\nRetry-After: 7\r\nX-RateLimit-Reset: x\r\n"
       "Date: Tue, 14 Nov 2023 22:13:24 GMT\r\n\r\n" OK LATER RESET EMPTY),
     NOT_TOLD, 4, 5, 0},
    {"of a trailer", S(CHUNKED "0\r\nRetry-After: 7\r\n\r\n"), NOT_TOLD, NOT_TOLD, NOT_TOLD, 0},
    {"after what is folded onto another field",
     S(OK "X: y\r\n Retry-After: 9\r\nRetry-After: 7\r\n" EMPTY), 7, NOT_TOLD, NOT_TOLD, 0},
    {"up to the end", S(OK "Retry-After: 7\r\n\r\nok"), 7, NOT_TOLD, NOT_TOLD, 0},
};

static void expect_hints(const struct hinted *v, const struct outcome *o)
{
    struct hint hint;
    cr_assert(o->step == RESPONSE_DONE, "%s", v->name);
    hints_resolve(&o->r.hints, 0, 3600 * SECOND_NS, &hint);
    uint64_t retry_s = hint.has_retry_after ? hint.retry_after_ns / SECOND_NS : NOT_TOLD;
    uint64_t reset_s = hint.has_reset ? hint.reset_ns / SECOND_NS : NOT_TOLD;
    cr_expect(retry_s == v->retry_after_s, "%s: Retry-After %lld", v->name, (long long)retry_s);
    cr_expect(reset_s == v->reset_s, "%s: reset %lld", v->name, (long long)reset_s);
    cr_expect((hint.has_remaining ? hint.remaining : NOT_TOLD) == v->remaining, "%s", v->name);
    cr_expect(o->r.hints.ignored == v->ignored, "%s: ignored %u", v->name, o->r.hints.ignored);
}

Test(response, hints)
{
    static struct outcome o;
    for (size_t i = 0; i < COUNT(hinted); i++) {
        feed_all_ways(&o, hinted[i].name, hinted[i].bytes, 1);
        expect_hints(&hinted[i], &o);
    }
}

/* No hint, sensible or not, changes what an answer comes to. */
Test(response, hints_change_nothing)
{
    static const struct span hints =
        S("Retry-After: 9\r\nRateLimit: \"x\r\nX-RateLimit-Reset: -1\r\n"
          "Date: x\r\nRateLimit-Policy: a;q=1;w=2\r\n");
    static struct outcome o, other;
    char bytes[2048];
    for (size_t i = 0; i < COUNT(accepted) + COUNT(refused); i++) {
        bool good = i < COUNT(accepted);
        struct span v = good ? accepted[i].bytes : refused[i - COUNT(accepted)].bytes;
        const char *name = good ? accepted[i].name : refused[i - COUNT(accepted)].name;
        if (v.len < sizeof OK - 1 || memcmp(v.ptr, OK, sizeof OK - 1) != 0) continue;
        if (v.ptr[sizeof OK - 1] == ' ' || v.ptr[sizeof OK - 1] == '\t') continue; /* folded */
        cr_assert(v.len + hints.len <= sizeof bytes);
        char *at = span_put(span_put(bytes, S(OK)), hints);
        at = span_put(at, span_of(v.ptr + sizeof OK - 1, v.len - (sizeof OK - 1)));
        feed(&o, v, v.len, 1);
        feed(&other, span_of(bytes, (size_t)(at - bytes)), sizeof bytes, 1);
        o.used += o.step == RESPONSE_DONE ? hints.len : 0;
        o.r.hints = other.r.hints;
        expect_same(&o, &other, name, v.len, 1);
        if (good) cr_assert(o.r.hints.any, "%s", name);
    }
}

/* Whatever follows an answer, its verdict is the same. */
Test(response, bytes_after)
{
    static const char after[] = "HTTP/1.1 500 x\r\n\r\n\0\r\n";
    static struct outcome o;
    char bytes[1024];
    for (size_t i = 0; i < COUNT(accepted); i++) {
        const struct accepted *v = &accepted[i];
        if (v->ending == AT_EOF) continue;
        size_t len = v->bytes.len - v->spare;
        memcpy(bytes, v->bytes.ptr, len);
        memcpy(bytes + len, after, sizeof after);
        feed(&o, span_of(bytes, len + sizeof after), sizeof bytes, 1);
        cr_assert(o.step == RESPONSE_DONE, "%s", v->name);
        cr_assert(o.r.status == v->status, "%s", v->name);
        cr_assert(o.used == len, "%s: used %zu", v->name, o.used);
        feed(&o, span_of(bytes, len - 1), sizeof bytes, 1);
        cr_assert(o.at_eof, "%s: done too early", v->name);
    }
}

/* ---- What is too large for a table. ---- */

static char big[PIECE_MAX];
static size_t big_len;

static void add(const char *text)
{
    size_t len = strlen(text);
    cr_assert(big_len + len <= sizeof big);
    memcpy(big + big_len, text, len);
    big_len += len;
}

static void add_many(char c, size_t count)
{
    cr_assert(big_len + count <= sizeof big);
    memset(big + big_len, c, count);
    big_len += count;
}

/* Feeds big[] in many ways, forgets it, and expects a refusal for `why`, or none if NULL. */
static const struct outcome *feed_big(const char *name, const char *why)
{
    static struct outcome o;
    feed_all_ways(&o, name, span_of(big, big_len), big_len / 64 + 1);
    if (why == NULL) {
        cr_assert(o.step == RESPONSE_DONE, "%s: %s", name, o.r.bad);
    } else {
        cr_assert(o.step == RESPONSE_BAD, "%s: accepted", name);
        cr_assert(strstr(o.r.bad, why) != NULL, "%s: %s", name, o.r.bad);
    }
    big_len = 0;
    return &o;
}

/* A field line of bytes bytes without its line end. */
static void add_field(const char *name_value, char fill, size_t bytes)
{
    size_t from = big_len;
    add(name_value);
    add_many(fill, bytes - (big_len - from));
    add("\r\n");
}

Test(response, long_lines)
{
    struct {
        const char *name, *line, *rest;
    } framing[] = {
        {"Content-Length", "Content-Length: 2", "\r\nok"},
        {"Connection", "Connection: close", "Content-Length: 2\r\n\r\nok"},
        {"Transfer-Encoding", "Transfer-Encoding: chunked", "\r\n2\r\nok\r\n0\r\n\r\n"},
    };
    for (size_t i = 0; i < COUNT(framing); i++) {
        for (int over = 0; over < 2; over++) {
            add(OK);
            add_field(framing[i].line, ' ', LIMIT_ANSWER_LINE_KEEP + (size_t)over);
            add(framing[i].rest);
            feed_big(framing[i].name, over ? "framing field is too long" : NULL);
        }
    }
    add(OK);
    add_field("X: ", '\xff', 3000);
    add_field("Content-Lengthy: ", ' ', 3000);
    add("Content-Length: 2\r\n\r\nok");
    feed_big("long lines that do not matter", NULL);

    add("HTTP/1.1 200 ");
    add_many('K', 3000);
    add("\r\nContent-Length: 2\r\n\r\nok");
    feed_big("a long reason", NULL);

    add(OK "Retry-After: 5\r\n");
    add_field("Date: Tue, 14 Nov 2023 22:13:20 GMT", ' ', LIMIT_ANSWER_LINE_KEEP + 1);
    add_field("X-RateLimit-Remaining: 7", ' ', LIMIT_ANSWER_LINE_KEEP + 1);
    add_field("X-RateLimit-Remaining: 9", ' ', LIMIT_ANSWER_LINE_KEEP);
    add("Content-Length: 2\r\n\r\nok");
    const struct hints *hints = &feed_big("a hint too long is ignored", NULL)->r.hints;
    cr_assert(hints->any && hints->ignored == 1 && hints->date_len == 0);
    cr_assert(hints->quotas[HINT_X_RATELIMIT].remaining == 9);

    add(OK);
    add_field("X: ", 'x', 2000);
    add(" Content-Length: 3\r\nContent-Length: 2\r\n\r\nok");
    feed_big("a long line with one folded onto it", NULL);

    add(OK "Content-Length:\r\n");
    add_many(' ', LIMIT_ANSWER_LINE_KEEP - 15);
    add("2\r\n\r\nok");
    feed_big("a framing field too long by folding", "framing field is too long");

    add(OK);
    add_field("X: ", 'x', 2000);
    big[big_len - 100] = '\0';
    add("\r\n");
    feed_big("NUL far into a line", "NUL");

    add(OK);
    add_field("X: ", 'x', 2000);
    big[big_len - 100] = '\r';
    add("\r\n");
    feed_big("a bare CR far into a line", "bare CR");
}

Test(response, long_names)
{
    add(OK);
    add_many('x', LIMIT_ANSWER_LINE_KEEP - 1);
    add(": y\r\nContent-Length: 2\r\n\r\nok");
    feed_big("the longest name", NULL);

    add(OK);
    add_many('x', LIMIT_ANSWER_LINE_KEEP);
    add(": y\r\nContent-Length: 2\r\n\r\nok");
    feed_big("a name too long", "name is too long");
}

/* The head's size counts up to and with its empty line. */
static void add_head(size_t bytes)
{
    size_t from = big_len;
    add(OK "Content-Length: 2\r\n");
    while (bytes - (big_len - from) > 1000) add_field("X: ", 'y', 498);
    add_field("Z: ", 'z', bytes - (big_len - from) - 4);
    add("\r\n");
    cr_assert(big_len - from == bytes);
}

Test(response, head_limit)
{
    add_head(LIMIT_ANSWER_HEAD_BYTES);
    add("ok");
    feed_big("the longest head", NULL);

    add_head(LIMIT_ANSWER_HEAD_BYTES + 1);
    add("ok");
    feed_big("a head too long", "over 64 KiB");

    add("HTTP/1.1 200 ");
    add_many('K', LIMIT_ANSWER_HEAD_BYTES);
    feed_big("a status line too long", "over 64 KiB");

    add(OK "X: ");
    add_many('y', LIMIT_ANSWER_HEAD_BYTES);
    add("\r\n\r\n");
    feed_big("a field line too long", "over 64 KiB");

    add(CHUNKED "2\r\nok\r\n0\r\nX: ");
    add_many('y', LIMIT_ANSWER_HEAD_BYTES);
    add("\r\n\r\n");
    feed_big("a trailer too long", "over 64 KiB");
}

/* The head's limit holds when a head that just fits is chunked: head and trailer are one. */
Test(response, head_limit_chunked)
{
    for (size_t over = 0; over < 2; over++) {
        add(OK "Transfer-Encoding: chunked\r\n");
        add_field("X: ", 'x', LIMIT_ANSWER_HEAD_BYTES - big_len - 6 + over);
        add("\r\n2\r\nok\r\n0\r\n\r\n");
        feed_big("head and trailer", over ? "over 64 KiB" : NULL);
    }
}

Test(response, interim_limits)
{
    for (int count = 16; count <= 17; count++) {
        for (int i = 0; i < count; i++) add("HTTP/1.1 102 Processing\r\nX: y\r\n\r\n");
        add(OK "Content-Length: 2\r\n\r\nok");
        feed_big("many 1xx", count > 16 ? "too many 1xx" : NULL);
    }
    for (int i = 0; i < 3; i++) {
        add("HTTP/1.1 103 x\r\n");
        add_field("X: ", 'x', 40000);
        add("\r\n");
    }
    add(OK "Content-Length: 2\r\n\r\nok");
    feed_big("the head's limit is each head's", NULL);
}

Test(response, chunk_line_limit)
{
    for (size_t over = 0; over < 2; over++) {
        add(CHUNKED "2;");
        add_many('x', LIMIT_CHUNK_LINE_BYTES - 2 + over);
        add("\r\nok\r\n0\r\n\r\n");
        feed_big("extension", over ? "chunk line is too long" : NULL);

        add(CHUNKED);
        add_many('0', LIMIT_CHUNK_LINE_BYTES - 1 + over);
        add("2\r\nok\r\n0\r\n\r\n");
        feed_big("zeros", over ? "chunk line is too long" : NULL);
    }
}

/* ---- The body's limit. ---- */

static void add_body(size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) big[big_len++] = (char)('a' + i % 23);
}

static void expect_body(const struct outcome *o, const char *name, size_t bytes, bool is_cut)
{
    cr_assert(o->r.body_bytes == bytes, "%s: %u bytes", name, o->r.body_bytes);
    cr_assert(o->r.body_cut == is_cut, "%s: cut", name);
    cr_assert(o->r.body_kept == LIMIT_ANSWER_KEEP_BYTES, "%s: kept", name);
    for (size_t i = 0; i < o->r.body_kept; i++) {
        cr_assert(o->r.body[i] == (char)('a' + i % 23), "%s: byte %zu", name, i);
    }
    cr_assert(!is_cut || !o->r.keep_alive, "%s: cut and kept alive", name);
    cr_assert(o->r.status == 200);
}

enum { LIMIT = LIMIT_ANSWER_BODY_BYTES };

Test(response, body_limit_length)
{
    for (size_t over = 0; over < 2; over++) {
        char head[64];
        snprintf(head, sizeof head, OK "Content-Length: %zu\r\n\r\n", LIMIT + over);
        add(head);
        add_body(LIMIT + over);
        const struct outcome *o = feed_big("length", NULL);
        expect_body(o, "length", LIMIT, over > 0);
        cr_assert(o->r.keep_alive == (over == 0));
        cr_assert(o->used == strlen(head) + LIMIT);
    }
    add(OK "Content-Length: 9999999999999999999\r\n\r\n");
    add_body(LIMIT);
    expect_body(feed_big("the largest length", NULL), "the largest length", LIMIT, true);
}

Test(response, body_limit_eof)
{
    for (size_t over = 0; over < 2; over++) {
        add(OK "\r\n");
        add_body(LIMIT + over);
        const struct outcome *o = feed_big("to the end", NULL);
        expect_body(o, "to the end", LIMIT, over > 0);
        cr_assert_not(o->r.keep_alive);
        cr_assert(o->at_eof == (over == 0));
    }
}

Test(response, body_limit_chunked)
{
    add(CHUNKED "10000\r\n");
    add_body(LIMIT);
    add("\r\n0\r\n\r\n");
    const struct outcome *o = feed_big("one chunk", NULL);
    expect_body(o, "one chunk", LIMIT, false);
    cr_assert(o->r.keep_alive);

    add(CHUNKED "10001\r\n");
    add_body(LIMIT + 1);
    expect_body(feed_big("one chunk too large", NULL), "one chunk too large", LIMIT, true);

    add(CHUNKED "10000\r\n");
    add_body(LIMIT);
    add("\r\n1\r\nx\r\n0\r\n\r\n");
    expect_body(feed_big("a chunk too many", NULL), "a chunk too many", LIMIT, true);
}

/* Every answer that is cut off anywhere is told as such, never as done. */
Test(response, every_prefix_is_unfinished)
{
    static struct outcome o;
    for (size_t i = 0; i < COUNT(accepted); i++) {
        const struct accepted *v = &accepted[i];
        if (v->ending == AT_EOF) continue;
        for (size_t len = 0; len < v->bytes.len - v->spare; len++) {
            feed(&o, span_of(v->bytes.ptr, len), v->bytes.len, 1);
            cr_assert(o.step == RESPONSE_BAD, "%s: done after %zu bytes", v->name, len);
        }
    }
}
