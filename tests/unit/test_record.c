/* tests/unit/test_record.c - goal: every good line becomes the webhook that delivery.md section 1
 * describes, every bad one a reject with the right column and a clause that names no secret; and
 * what follows a line in its buffer changes nothing.
 *
 * Method: tables of lines with what must come out. Each line is parsed several times, with other
 * bytes after it each time, and every time the same must come out. The JSON itself is
 * test_json.c's business.
 */
#include "core/base/check.h"
#include "core/input/record.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define U           "\"url\":\"http://h/\""
#define LINE_MAX_   (1u << 20)

static struct record rec;
static struct reject why;
static char *buffer; /* the line parsed last */

static struct record_parser *parser_with(struct record_rules rules)
{
    if (rules.record_bytes_max == 0) rules.record_bytes_max = LINE_MAX_;
    struct record_parser *p = record_parser_new(&rules);
    cr_assert_not_null(p);
    return p;
}

static struct record_parser *parser(void)
{
    return parser_with((struct record_rules){.record_bytes_max = 0});
}

/* What may stand behind a line: other lines, mostly. The last is the one the caller sees. */
static const char *const followers[] = {"}}}}}}}}",
                                        "]]]]]]",
                                        ",\"a\":1}",
                                        "\"\"\"\"",
                                        "123456789",
                                        "\xff\xff",
                                        "{\"url\":\"http://other/\"}"};

static enum record_status parse(struct record_parser *p, const char *line, size_t len)
{
    enum record_status first = RECORD_OK, status = RECORD_OK;
    struct reject first_why = {0};
    for (size_t i = 0; i < COUNT_OF(followers); i++) {
        free(buffer);
        buffer = malloc(len + RECORD_PADDING);
        cr_assert_not_null(buffer);
        memcpy(buffer, line, len);
        size_t n = strlen(followers[i]);
        for (size_t k = 0; k < RECORD_PADDING; k++) buffer[len + k] = followers[i][k % n];
        memset(&why, 0, sizeof why);
        status = record_parse(p, span_of(buffer, len), &rec, &why);
        if (i == 0) {
            first = status;
            first_why = why;
        }
        cr_assert_eq(status, first, "%.200s: depends on what follows it", line);
        if (status != RECORD_REJECT) continue;
        cr_assert_eq(why.column, first_why.column, "%.200s: columns %u, %u", line, why.column,
                     first_why.column);
        cr_assert_str_eq(why.reason, first_why.reason);
    }
    return status;
}

static enum record_status parse_text(struct record_parser *p, const char *line)
{
    return parse(p, line, strlen(line));
}

static void expect_ok(struct record_parser *p, const char *line)
{
    enum record_status s = parse_text(p, line);
    cr_assert_eq(s, RECORD_OK, "%.300s: status %d, column %u: %s", line, (int)s, why.column,
                 why.reason);
}

static void expect_span(struct span got, const char *want)
{
    cr_assert(span_eq(got, span_of(want, strlen(want))), "\"%.*s\" is not \"%s\"", (int)got.len,
              got.ptr, want);
}

struct bad {
    const char *line; /* with a '^', which is taken out, before the byte that the column names */
    const char *reason;
};

static void expect_bad(struct record_parser *p, const struct bad *rows, size_t n)
{
    char line[512];
    for (size_t i = 0; i < n; i++) {
        const struct bad *b = &rows[i];
        size_t at = strcspn(b->line, "^");
        snprintf(line, sizeof line, "%.*s%s", (int)at, b->line, b->line + at + 1);
        enum record_status s = parse_text(p, line);
        cr_assert_eq(s, RECORD_REJECT, "%s: status %d", line, (int)s);
        cr_assert_str_eq(why.reason, b->reason, "%s: %s", line, why.reason);
        cr_assert_eq(why.column, at + 1, "%s: column %u: %s", line, why.column, why.reason);
    }
}

/* ---- good records ---- */

Test(record, all_fields)
{
    struct record_parser *p = parser();
    expect_ok(p, "{\"id\":\"a1\",\"url\":\"https://u:p@Example.com:8443/p?q=1\",\"method\":\"PUT\","
                 "\"headers\":{\"X-A\":\"1\",\"content-TYPE\":\"text/x\"},\"body\":{\"a\": [1, 2]},"
                 "\"key\":\"acct\",\"not_before\":1700000000,\"deadline\":1700000060.5}");
    expect_span(rec.id, "a1");
    expect_span(rec.url_text, "https://u:p@Example.com:8443/p?q=1");
    expect_span(rec.url.host, "Example.com");
    cr_assert_eq(rec.url.port, 8443);
    cr_assert_eq(rec.method, REQUEST_PUT);
    cr_assert_eq(rec.headers_count, 2);
    expect_span(rec.headers[0].name, "X-A");
    expect_span(rec.headers[0].value, "1");
    expect_span(rec.headers[1].name, "content-TYPE");
    expect_span(rec.headers[1].value, "text/x");
    cr_assert_eq(rec.header_kinds, BIT(HEADER_PLAIN) | BIT(HEADER_CONTENT_TYPE));
    cr_assert(rec.has_body);
    expect_span(rec.body, "{\"a\": [1, 2]}");
    expect_span(rec.key, "acct");
    cr_assert_eq(rec.not_before_ns, UINT64_C(1700000000000000000));
    cr_assert_eq(rec.deadline_ns, UINT64_C(1700000060500000000));
    record_parser_free(p);
}

Test(record, defaults_and_no_memory_of_the_last_record)
{
    struct record_parser *p = parser();
    expect_ok(p, "{\"id\":\"x\"," U ",\"method\":\"PUT\",\"headers\":{\"Host\":\"b\"},\"body\":{},"
                 "\"key\":\"k\",\"not_before\":1,\"deadline\":2}");
    expect_ok(p, "{" U "}");
    cr_assert_eq(rec.id.len, 0);
    cr_assert_eq(rec.key.len, 0);
    cr_assert_eq(rec.method, REQUEST_POST);
    cr_assert_eq(rec.headers_count, 0);
    cr_assert_eq(rec.header_kinds, 0);
    cr_assert_not(rec.has_body);
    cr_assert_eq(rec.not_before_ns, 0);
    cr_assert_eq(rec.deadline_ns, 0);
    record_parser_free(p);
}

Test(record, spans_point_into_the_line)
{
    struct record_parser *p = parser();
    expect_ok(p, "{" U ",\"body\":\"plain\",\"id\":\"i\"}");
    size_t len = strlen("{" U ",\"body\":\"plain\",\"id\":\"i\"}");
    cr_assert(rec.body.ptr > buffer && rec.body.ptr < buffer + len);
    cr_assert(rec.id.ptr > buffer && rec.id.ptr < buffer + len);
    cr_assert(rec.url_text.ptr > buffer && rec.url_text.ptr < buffer + len);
    record_parser_free(p);
}

Test(record, white_space_and_line_ends)
{
    struct record_parser *p = parser();
    expect_ok(p, " {\t" U " , \"body\" : {\"a\" : 1 } \t, \"id\" : \"i\" , \"headers\" : { } } \r");
    expect_span(rec.body, "{\"a\" : 1 }");
    expect_span(rec.id, "i");
    expect_ok(p, "{\"headers\" : { \"A\" : \"1\" , \"B\" : \"2\" } ," U ",\"method\" : \"GET\"}\r");
    cr_assert_eq(rec.headers_count, 2);
    cr_assert_eq(rec.method, REQUEST_GET);
    static const char *const blank[] = {"", " ", "\r", "\t \r", "        \r\n"};
    for (size_t i = 0; i < COUNT_OF(blank); i++)
        cr_assert_eq(parse_text(p, blank[i]), RECORD_BLANK);
    record_parser_free(p);
}

Test(record, methods_and_braze_names)
{
    struct record_parser *p = parser();
    expect_ok(p, "{" U ",\"request_method\":\"DELETE\",\"request_headers\":{\"A\":\"b\"}}");
    cr_assert_eq(rec.method, REQUEST_DELETE);
    cr_assert_eq(rec.headers_count, 1);
    expect_ok(p, "{" U ",\"method\":\"GET\",\"headers\":{}}");
    cr_assert_eq(rec.method, REQUEST_GET);
    expect_ok(p, "{" U ",\"method\":\"POST\"}");
    cr_assert_eq(rec.method, REQUEST_POST);
    record_parser_free(p);
}

Test(record, escapes)
{
    struct record_parser *p = parser();
    expect_ok(p, "{\"\\u0075rl\":\"http:\\/\\/h\\/a\",\"id\":\"\\u00e4\\u20ac\\ud83d\\ude00\","
                 "\"headers\":{\"X\\u002dA\":\"tab\\there \\\"q\\\"\"},"
                 "\"body\":\"l1\\nl2\\r\\b\\f\\\\\\u0000.\"}");
    expect_span(rec.url_text, "http://h/a");
    expect_span(rec.id, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    expect_span(rec.headers[0].name, "X-A");
    expect_span(rec.headers[0].value, "tab\there \"q\"");
    cr_assert(span_eq(rec.body, span_of("l1\nl2\r\b\f\\\0.", 11)));
    record_parser_free(p);
}

Test(record, body_is_sent_as_it_stands)
{
    static const char *const bodies[] = {
        "{}",
        "{ }",
        "{\"a\":1,\"a\":2}",
        "{\"a\":\"\\u00e9\\/\\ud800\",\"b\":[{},[],[[]],-0,1E+2,1.0e-3,true,false,null,\"\"]}",
        "{ \"x\" :\t{ \"y\" : [ 1 , 2 ] } }",
        "{\"caf\xc3\xa9\":\"\xf0\x9f\x98\x80\"}",
        "{\"\":\"\\\\\",\"q\":\"\\\"\"}",
    };
    struct record_parser *p = parser();
    char line[512];
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        snprintf(line, sizeof line, "{\"body\":%s ," U ",\"id\":\"\\u0041\"}", bodies[i]);
        expect_ok(p, line);
        expect_span(rec.body, bodies[i]);
        expect_span(rec.content_type, "application/json");
        expect_span(rec.id, "A");
    }
    record_parser_free(p);
}

Test(record, content_type_of_text)
{
    static const struct {
        const char *body, *type;
    } rows[] = {
        {"", "text/plain; charset=utf-8"},
        {" ", "text/plain; charset=utf-8"},
        {"hello", "text/plain; charset=utf-8"},
        {"{\\\"a\\\":1}", "application/json"},
        {" [1, 2, {}] ", "application/json"},
        {"[1, 2", "text/plain; charset=utf-8"},
        {"[1] x", "text/plain; charset=utf-8"},
        {"{a:1}", "text/plain; charset=utf-8"},
        {"12", "application/json"},
        {"12 ", "application/json"},
        {"1.5e3", "application/json"},
        {"12x", "text/plain; charset=utf-8"},
        {"-", "text/plain; charset=utf-8"},
        {"1 2", "text/plain; charset=utf-8"},
        {"true", "application/json"},
        {"\\nnull\\n", "application/json"},
        {"nullx", "text/plain; charset=utf-8"},
        {"null\\u0000", "text/plain; charset=utf-8"},
        {"fals", "text/plain; charset=utf-8"},
        {"f", "text/plain; charset=utf-8"},
        {"\\\"text\\\"", "application/json"},
        {"\\\"bad \\\\q\\\"", "text/plain; charset=utf-8"},
        {"\\\"open", "text/plain; charset=utf-8"},
        {"[\\\"\\n\\\"]", "text/plain; charset=utf-8"},
    };
    struct record_parser *p = parser();
    char line[256];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        snprintf(line, sizeof line, "{" U ",\"body\":\"%s\"}", rows[i].body);
        expect_ok(p, line);
        cr_assert(rec.has_body);
        cr_assert(span_eq(rec.content_type, span_of(rows[i].type, strlen(rows[i].type))),
                  "\"%s\" became %.*s", rows[i].body, (int)rec.content_type.len,
                  rec.content_type.ptr);
    }
    record_parser_free(p);
}

Test(record, key_field)
{
    struct record_parser *p = parser_with((struct record_rules){.key_field = "account"});
    expect_ok(p, "{" U ",\"account\":\"a\"}");
    expect_span(rec.key, "a");
    static const struct bad rows[] = {
        {"{" U ",^\"key\":\"a\"}", "unknown key \"key\""},
        {"{" U ",\"account\":\"a\",^\"account\":\"a\"}", "duplicate key \"account\""},
        {"{" U ",\"account\":^1}", "\"account\" must be a string"},
    };
    expect_bad(p, rows, COUNT_OF(rows));
    record_parser_free(p);
    cr_assert(record_key_field_ok("key"));
    cr_assert(record_key_field_ok("tenant id"));
    cr_assert_not(record_key_field_ok(""));
    cr_assert_not(record_key_field_ok("url"));
    cr_assert_not(record_key_field_ok("request_method"));
}

/* ---- rejects ---- */

Test(record, rejects_of_structure)
{
    static const struct bad rows[] = {
        {"^[]", "the record is not a JSON object"},
        {"  ^\"a\"", "the record is not a JSON object"},
        {"^x", "the record is not a JSON object"},
        {"^\xef\xbb\xbf{" U "}", "the record is not a JSON object"},
        {"^{}", "\"url\" is missing"},
        {"{^", "the JSON ends too early"},
        {"{" U "^", "\"url\": the JSON ends too early"},
        {"{\"url\"^", "the JSON ends too early"},
        {"{\"url\":^", "the JSON ends too early"},
        {"{" U ",^", "the JSON ends too early"},
        {"{" U ",^}", "a key must stand here"},
        {"{^,}", "a key must stand here"},
        {"{^url:1}", "a key must stand here"},
        {"{\"url\" ^\"http://h/\"}", "':' must stand here"},
        {"{" U " ^\"id\":\"1\"}", "',' or '}' must stand here"},
        {"{" U "^]", "',' or '}' must stand here"},
        {"{" U "} ^x", "something follows the record's object"},
        {"{" U "}^{" U "}", "something follows the record's object"},
        {"{" U "}^}", "something follows the record's object"},
        {"{\"url\":^\"http://h/", "a string that is not closed"},
        {"{" U ",\"id\":\"a^\tb\"}", "a control character in a string"},
        {"{" U ",\"id\":\"^\xff\"}", "invalid UTF-8"},
        {"{" U ",\"id\":\"^\xed\xa0\x80\"}", "invalid UTF-8"},
        {"{" U ",\"id\":\"^\xc0\xaf\"}", "invalid UTF-8"},
        {"{" U ",\"id\":\"^\xf4\x90\x80\x80\"}", "invalid UTF-8"},
        {"{" U ",\"id\":\"^\xe2\x82\"}", "invalid UTF-8"},
        {"{" U ",\"id\":\"^\\q\"}", "\"id\": a broken escape in a string"},
        {"{" U ",\"id\":\"a^\\u12g4\"}", "\"id\": a broken escape in a string"},
        {"{" U ",\"id\":\"^\\ud800\"}", "\"id\": an escape that stands for no character"},
        {"{" U ",\"id\":\"^\\udc00\\ud800\"}", "\"id\": an escape that stands for no character"},
    };
    struct record_parser *p = parser();
    expect_bad(p, rows, COUNT_OF(rows));
    record_parser_free(p);
}

Test(record, rejects_of_fields)
{
    static const struct bad rows[] = {
        {"{" U ",^\"colour\":1}", "unknown key \"colour\""},
        {"{" U ",^\"URL\":1}", "unknown key \"URL\""},
        {"{" U ",^\"a\\n\\\"b\xc3\xa4\":1}", "unknown key \"a\\x0a\\x22b\\xc3\\xa4\""},
        {"{" U ",^\"0123456789012345678901234567890123456789xyz\":1}",
         "unknown key \"0123456789012345678901234567890123456789...\""},
        {"{" U ",^\"\":1}", "unknown key \"\""},
        {"{" U ","
         "^" U "}",
         "duplicate key \"url\""},
        {"{" U ",^\"ur\\u006c\":\"http://x/\"}", "duplicate key \"url\""},
        {"{" U ",\"method\":\"PUT\",^\"request_method\":\"PUT\"}",
         "duplicate key \"request_method\", another name of one that was given"},
        {"{" U ",\"request_headers\":{},^\"headers\":{}}", "duplicate key \"headers\""},
        {"{" U ",\"id\":^7}", "\"id\" must be a string"},
        {"{" U ",\"id\":^null}", "\"id\" must be a string"},
        {"{" U ",\"id\":^\"a\\r\\nb\"}", "\"id\" has a control character"},
        {"{" U ",\"key\":^[]}", "\"key\" must be a string"},
        {"{\"url\":^{}}", "\"url\" must be a string"},
        {"{" U ",\"method\":^\"post\"}", "\"method\" must be GET, POST, PUT or DELETE"},
        {"{" U ",\"method\":^\"PATCH\"}", "\"method\" must be GET, POST, PUT or DELETE"},
        {"{" U ",\"method\":^1}", "\"method\" must be a string"},
        {"{" U ",\"headers\":^[]}", "\"headers\" must be an object"},
        {"{" U ",\"headers\":^null}", "\"headers\" must be an object"},
        {"{" U ",\"body\":^null}", "\"body\" must be an object or a string"},
        {"{" U ",\"body\":^7}", "\"body\" must be an object or a string"},
        {"{" U ",\"body\":^true}", "\"body\" must be an object or a string"},
        {"{" U ",\"body\":^[{}]}", "\"body\" is an array; it must be an object or a string"},
        {"{\"body\":^{}," U ",\"method\":\"GET\"}", "\"body\" is given, but GET carries none"},
        {"{\"body\":^\"\"," U ",\"method\":\"GET\"}", "\"body\" is given, but GET carries none"},
        {"{" U ",\"deadline\":^true}", "\"deadline\" must be an RFC 3339 time or epoch seconds"},
        {"{" U ",\"deadline\":^-1}", "\"deadline\" lies before 1970"},
        {"{" U ",\"deadline\":^01}", "\"deadline\": a malformed number"},
        {"{" U ",\"not_before\":^\"tomorrow\"}",
         "\"not_before\" is not an RFC 3339 time such as 2026-11-21T10:00:00Z"},
        {"{" U ",\"not_before\":^1700000000000}",
         "\"not_before\" lies beyond the year 2554 (epoch times are in seconds)"},
    };
    struct record_parser *p = parser();
    expect_bad(p, rows, COUNT_OF(rows));
    record_parser_free(p);
}

Test(record, rejects_of_headers)
{
#define H U ",\"headers\":{"
    static const struct bad rows[] = {
        {"{" H "\"A\":^1}}", "header \"A\" must be a string"},
        {"{" H "\"A\":^null}}", "header \"A\" must be a string"},
        {"{" H "^\"\":\"1\"}}", "header name \"\" is not a token"},
        {"{" H "^\"A B\":\"1\"}}", "header name \"A B\" is not a token"},
        {"{" H "^\"A:\":\"1\"}}", "header name \"A:\" is not a token"},
        {"{" H "^\"A\\r\\nB\":\"1\"}}", "header name \"A\\x0d\\x0aB\" is not a token"},
        {"{" H "\"A\":^\"s3cret\\r\\nX: 1\"}}",
         "header \"A\" has a control character in its value"},
        {"{" H "\"A\":^\"s3cret\\u0000\"}}", "header \"A\" has a control character in its value"},
        {"{" H "\"A\":^\"s3cret\\n\"}}", "header \"A\" has a control character in its value"},
        {"{" H "\"A\":^\"s3cret\x7f\"}}", "header \"A\" has a control character in its value"},
        {"{" H "^\"Content-Length\":\"1\"}}",
         "header \"Content-Length\" frames the message and may not be set"},
        {"{" H "^\"transfer-encoding\":\"x\"}}",
         "header \"transfer-encoding\" frames the message and may not be set"},
        {"{" H "^\"TE\":\"x\"}}", "header \"TE\" frames the message and may not be set"},
        {"{" H "\"A\":\"1\",^\"A\":\"2\"}}", "header \"A\" is a duplicate key"},
        {"{" H "\"A\":\"1\",^\"\\u0041\":\"2\"}}", "header \"A\" is a duplicate key"},
        {"{" H "\"Host\":\"a\",^\"hOST\":\"b\"}}", "header \"hOST\" is given twice"},
        {"{" H "\"A\":\"1\",^}}", "\"headers\": a key must stand here"},
        {"{" H "\"A\":\"1\" ^\"B\":\"2\"}}", "\"headers\": ',' or '}' must stand here"},
        {"{" H "\"A\":\"1\"^", "\"headers\": the JSON ends too early"},
        {"{" H "\"A\":\"1\"}^", "the JSON ends too early"},
    };
    struct record_parser *p = parser();
    expect_bad(p, rows, COUNT_OF(rows));
    expect_ok(p, "{" H "\"a\":\"1\",\"A\":\"2\"}}"); /* two spellings are two keys */
    cr_assert_eq(rec.headers_count, 2);
    record_parser_free(p);
}

Test(record, rejects_of_urls)
{
    static const struct {
        const char *url; /* marked as the lines above */
        enum url_error error;
    } rows[] = {
        {"^", URL_EMPTY},
        {"http://^", URL_NO_HOST},
        {"http://^/p", URL_NO_HOST},
        {"^ftp://h/", URL_SCHEME},
        {"http://h:^0/", URL_PORT},
        {"http://h:^70000/", URL_PORT},
        {"http://h^ /a", URL_SPACE},
        {"http://^\xe2\x98\x95/", URL_IDN},
        {"http://^1.2.3.256/", URL_HOST_NUMERIC},
        {"http://[fe80::1^%25eth0]/", URL_ZONE},
    };
    struct record_parser *p = parser();
    char line[256], reason[LIMIT_REJECT_REASON_BYTES];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        snprintf(line, sizeof line, "{\"url\":\"%s\"}", rows[i].url);
        snprintf(reason, sizeof reason, "\"url\": %s", url_error_text(rows[i].error));
        struct bad b = {line, reason};
        expect_bad(p, &b, 1);
    }
    /* Behind an escape a column in the URL has no place in the line: the value's own is told. */
    snprintf(reason, sizeof reason, "\"url\": %s", url_error_text(URL_SPACE));
    struct bad escaped = {"{\"url\":^\"http:\\/\\/h\\/\\tx\"}", reason};
    expect_bad(p, &escaped, 1);
    expect_ok(p, "{\"url\":\"http://user:pw@h/\"}");
    expect_ok(p, "{\"url\":\"http://[2001:db8::1]:8080/\"}");
    record_parser_free(p);
}

/* A URL that is not in normal form is sent in it, whichever way it stands in the line. */
Test(record, urls_rewritten)
{
    struct record_parser *p = parser();
    expect_ok(p, "{\"url\":\"http://B\xc3\xbc"
                 "cher.example/a b/../\xe2\x82\xac?'\"}");
    expect_span(rec.url.host, "xn--bcher-kva.example");
    expect_span(rec.url.path, "/%E2%82%AC");
    expect_span(rec.url.query, "%27");
    expect_ok(p, "{\"url\":\"http:\\/\\/0x7f.1\\/\\u00e4\"}");
    expect_span(rec.url.host, "127.0.0.1");
    expect_span(rec.url.path, "/%C3%A4");
    cr_assert_eq(rec.url.host_kind, URL_HOST_V4);
    record_parser_free(p);
}

Test(record, schemes_and_ports)
{
    static uint8_t ports[8192];
    ports[443 / 8] |= (uint8_t)BIT(443 % 8);
    ports[8080 / 8] |= (uint8_t)BIT(8080 % 8);
    struct record_parser *p = parser_with((struct record_rules){.ports = ports});
    static const struct bad rows[] = {
        {"{\"url\":^\"http://h/\"}", "\"url\": port 80 is not among --ports"},
        {"{\"url\":^\"http://h:8081/\"}", "\"url\": port 8081 is not among --ports"},
        {"{\"url\":^\"https://h:80/\"}", "\"url\": port 80 is not among --ports"},
    };
    expect_bad(p, rows, COUNT_OF(rows));
    expect_ok(p, "{\"url\":\"http://h:8080/\"}");
    expect_ok(p, "{\"url\":\"https://h/\"}");
    record_parser_free(p);
}

Test(record, nul_bytes)
{
    struct record_parser *p = parser();
    static const char in_string[] = "{" U ",\"id\":\"a\0b\"}", outside[] = "{" U "\0}";
    cr_assert_eq(parse(p, in_string, sizeof in_string - 1), RECORD_REJECT);
    cr_assert_str_eq(why.reason, "a control character in a string");
    cr_assert_eq(why.column, 27);
    cr_assert_eq(parse(p, outside, sizeof outside - 1), RECORD_REJECT);
    cr_assert_str_eq(why.reason, "',' or '}' must stand here");
    cr_assert_eq(why.column, 19);
    record_parser_free(p);
}

Test(record, no_reason_tells_a_value)
{
    static const char *const lines[] = {
        "{" U ",\"headers\":{\"Authorization\":\"s3cret\\n\"}}",
        "{" U ",\"headers\":{\"Authorization\":[\"s3cret\"]}}",
        "{" U ",\"method\":\"s3cret\"}",
        "{" U ",\"deadline\":\"s3cret\"}",
        "{" U ",\"id\":\"s3cret\\n\"}",
        "{\"url\":\"http://u:s3cret@h:0/\"}",
        "{\"url\":\"s3cret\"}",
        "{" U ",\"body\":{\"a\":s3cret}}",
        "{" U ",\"body\":{\"s3cret\":\"s3cret\"",
        "{" U ",\"body\":[\"s3cret\"]}",
        "s3cret",
    };
    struct record_parser *p = parser();
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        cr_assert_eq(parse_text(p, lines[i]), RECORD_REJECT);
        cr_assert_null(strstr(why.reason, "s3cret"), "%s", why.reason);
    }
    record_parser_free(p);
}

/* ---- limits ---- */

static char *big; /* built line; NUL-terminated */
static size_t big_len;

static void big_start(void)
{
    big = realloc(big, 4 * LINE_MAX_);
    cr_assert_not_null(big);
    big_len = 0;
}

static void big_add(const char *text, size_t times)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < times; i++, big_len += n) memcpy(big + big_len, text, n);
    big[big_len] = 0;
}

Test(record, deep_nesting)
{
    struct record_parser *p = parser();
    static const struct {
        size_t depth; /* of arrays in the body, which is itself at depth 2 */
        bool ok;
    } rows[] = {{1, true}, {254, true}, {255, false}, {100000, false}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (int closed = 0; closed < 2; closed++) {
            big_start();
            big_add("{" U ",\"body\":{\"a\":", 1);
            big_add("[", rows[i].depth);
            if (closed) big_add("]", rows[i].depth);
            if (closed) big_add("}}", 1);
            enum record_status s = parse(p, big, big_len);
            cr_assert_eq(s, rows[i].ok && closed ? RECORD_OK : RECORD_REJECT, "%zu: %s",
                         rows[i].depth, why.reason);
            if (rows[i].ok) continue;
            cr_assert_str_eq(why.reason, "\"body\": nested deeper than 256");
            cr_assert_eq(why.column, 32 + 254);
        }
    }
    big_start(); /* objects count as well */
    big_add("{" U ",\"body\":", 1);
    big_add("{\"a\":", 100000);
    cr_assert_eq(parse(p, big, big_len), RECORD_REJECT);
    cr_assert_str_eq(why.reason, "\"body\": nested deeper than 256");
    big_start();
    big_add("[", 100000);
    cr_assert_eq(parse(p, big, big_len), RECORD_REJECT);
    cr_assert_eq(why.column, 1);
    record_parser_free(p);
}

Test(record, header_count)
{
    struct record_parser *p = parser();
    for (int n = 127; n <= 129; n++) {
        big_start();
        big_add("{" U ",\"headers\":{", 1);
        for (int i = 0; i < n; i++) {
            char item[32];
            snprintf(item, sizeof item, "%s\"H%d\":\"v\"", i > 0 ? "," : "", i);
            big_add(item, 1);
        }
        big_add("}}", 1);
        enum record_status s = parse(p, big, big_len);
        cr_assert_eq(s, n <= 128 ? RECORD_OK : RECORD_REJECT, "%d headers: %s", n, why.reason);
        if (s == RECORD_REJECT) cr_assert_str_eq(why.reason, "more than 128 headers");
        else cr_assert_eq(rec.headers_count, (uint32_t)n);
    }
    record_parser_free(p);
}

Test(record, lengths)
{
    struct record_parser *p = parser();
    for (size_t n = 255; n <= 257; n++) {
        big_start();
        big_add("{" U ",\"id\":\"", 1);
        big_add("i", n);
        big_add("\"}", 1);
        cr_assert_eq(parse(p, big, big_len), n <= 256 ? RECORD_OK : RECORD_REJECT);
    }
    cr_assert_str_eq(why.reason, "\"id\" is longer than 256 bytes");
    record_parser_free(p);
    /* The longest line, all of it used, all of it escaped; and one byte more. */
    p = parser_with((struct record_rules){.record_bytes_max = 4096});
    for (int more = 0; more < 2; more++) {
        big_start();
        big_add("{" U ",\"body\":\"", 1);
        while (big_len + 4 <= 4096) big_add("\\n", 1);
        big_add(" ", 4096 - 2 - big_len + (size_t)more);
        big_add("\"}", 1);
        enum record_status s = parse(p, big, big_len);
        cr_assert_eq(s, more ? RECORD_REJECT : RECORD_OK, "%s", why.reason);
    }
    cr_assert_str_eq(why.reason, "the line has 4097 bytes, --max-record is 4096");
    cr_assert_eq(why.column, 4097);
    record_parser_free(p);
}
