/* tests/unit/test_redact.c - goal: no secret of a request is told in a query or in the excerpt of
 * an answer, however the receiver writes it and wherever the excerpt is cut; and what is no secret
 * is told as it came.
 *
 * Method: tables of texts and of what must become of them, all with the same few names. Then
 * every prefix of an answer, every cap, and more secrets than there is room for. Outputs have
 * memory of exactly the promised size.
 */
#include "core/engine/redact.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(table) (sizeof table / sizeof table[0])

static const char *const names[] = {"token", "X-Secret", "pin", "a.b", "c%41"};
static const struct redact redact = {names, COUNT(names)};
static const struct redact nameless = {NULL, 0};

/* ---- Queries. ---- */

struct query_row {
    const char *query, *expected;
};

static const struct query_row queries[] = {
    {"", ""},
    {"token", "token"},
    {"token=", "token="},
    {"token=&x=1", "token=&x=1"},
    {"token=abc", "token=[redacted]"},
    {"token=1", "token=[redacted]"},
    {"x=1&token=abc&y=2", "x=1&token=[redacted]&y=2"},
    {"token=abc&token=def&", "token=[redacted]&token=[redacted]&"},
    {"&&token=abc&&", "&&token=[redacted]&&"},
    {"TOKEN=abc&x-SECRET=d", "TOKEN=[redacted]&x-SECRET=[redacted]"},
    {"tokens=abc&atoken=abc&toke=n&token", "tokens=abc&atoken=abc&toke=n&token"},
    {"token=a=b=c&x", "token=[redacted]&x"},
    {"token==", "token=[redacted]"},
    {"%74oken=abc", "%74oken=[redacted]"},
    {"%54%4f%4B%65%6e=abc", "%54%4f%4B%65%6e=[redacted]"},
    {"to%6=abc&to%zzen=d", "to%6=abc&to%zzen=d"},
    {"x%2Dsecret=abc", "x%2Dsecret=[redacted]"},
    {"a.b=1&a%2eb=2&a.c=3", "a.b=[redacted]&a%2eb=[redacted]&a.c=3"},
    {"c%41=1&c%2541=2&cA=3", "c%41=[redacted]&c%2541=[redacted]&cA=3"},
    {"x=1;token=abc;def&y", "x=1;token=[redacted]&y"},
    {"token=abc;token=def", "token=[redacted]"},
    {"x=token&=token&=abc", "x=token&=token&=abc"},
    {"pin=1&pin=2&pin=3", "pin=[redacted]&pin=[redacted]&pin=[redacted]"},
    {"token=[redacted]", "token=[redacted]"},
};

static void check_query(const struct redact *r, const char *query, const char *expected)
{
    size_t len = strlen(query), room = redact_query_size_max(len);
    char *out = malloc(room ? room : 1);
    size_t written = redact_query(r, span_of(query, len), out);
    cr_assert_leq(written, room, "%s", query);
    cr_expect(span_eq(span_of(out, written), span_of(expected, strlen(expected))),
              "query %s\nbecame %.*s\nnot %s", query, (int)written, out, expected);
    free(out);
}

Test(redact, queries)
{
    for (size_t i = 0; i < COUNT(queries); i++) {
        check_query(&redact, queries[i].query, queries[i].expected);
        check_query(&nameless, queries[i].query, queries[i].query);
    }
    cr_assert_eq(redact_query(&redact, (struct span){NULL, 0}, NULL), 0);
}

/* Nothing grows more than parameters of one letter with values of one letter. */
Test(redact, the_shortest_parameters_fill_the_bound)
{
    const char *const letter[] = {"k"};
    const struct redact r = {letter, 1};
    cr_assert_eq(redact_query_size_max(0), 0);
    check_query(&r, "k=v", "k=[redacted]");
    check_query(&r, "k=v&k=v", "k=[redacted]&k=[redacted]");
    cr_assert_eq(redact_query_size_max(3), strlen("k=[redacted]"));
    cr_assert_eq(redact_query_size_max(7), strlen("k=[redacted]&k=[redacted]"));
}

Test(redact, a_name_without_letters_names_nothing)
{
    const char *const empty[] = {""};
    const struct redact r = {empty, 1};
    check_query(&r, "=abc&x=1&", "=abc&x=1&");
}

/* ---- Answers. ---- */

enum { OUT_BYTES = 4096 };

static void check_answer(const struct redact *r, const char *request, const char *answer,
                         const char *expected)
{
    char *out = malloc(OUT_BYTES);
    size_t len = strlen(answer);
    char *exact = malloc(len ? len : 1), *head = malloc(strlen(request));
    memcpy(exact, answer, len);
    memcpy(head, request, strlen(request));
    size_t written =
        redact_answer(r, span_of(exact, len), span_of(head, strlen(request)), out, OUT_BYTES);
    cr_expect(span_eq(span_of(out, written), span_of(expected, strlen(expected))),
              "answer %s\nto %s\nbecame %.*s\nnot %s", answer, request, (int)written, out,
              expected);
    free(head);
    free(exact);
    free(out);
}

struct field_row {
    const char *fields; /* of the request, behind its Host */
    const char *answer, *expected;
};

static const struct field_row by_field[] = {
    /* The whole value, and what is behind the scheme. */
    {"Authorization: Bearer hushhush\r\n", "no Bearer hushhush here", "no [redacted] here"},
    {"Authorization: Bearer hushhush\r\n", "no hushhush here", "no [redacted] here"},
    {"Authorization: Bearer hushhush\r\n", "Bearer HUSHHUSH", "Bearer HUSHHUSH"},
    {"aUTHORIZATION:hushhush\r\n", "hushhush", "[redacted]"},
    {"Authorization: \t hushhush \t\r\n", "<hushhush>", "<[redacted]>"},
    {"Proxy-Authorization: Token hushhush\r\n", "hushhush", "[redacted]"},
    {"Authorization: Bearer   hushhush\r\n", "hushhush", "[redacted]"},
    {"Authorization: hushhush\n", "hushhush", "[redacted]"},
    {"Authorization: hushhush", "hushhush", "[redacted]"},
    {"X-Authorization: hushhush\r\n", "hushhush", "hushhush"},
    {"Content-Type: text/plain\r\n", "text/plain", "text/plain"},
    {"X-Plain\r\nAuthorization: hushhush\r\n", "X-Plain hushhush", "X-Plain [redacted]"},
    {"A: b\r\nAuthorization: hush\r\nCookie: mush\r\n", "b hush mush b",
     "b [redacted] [redacted] b"},
    {"\r\nAuthorization: hushhush\r\n", "body: hushhush", "body: hushhush"},
    /* Short ones are left; parts of a secret are no secret. */
    {"Authorization: abc\r\n", "abc", "abc"},
    {"Authorization: abcd\r\n", "abcd abc bcd abcabcd", "[redacted] abc bcd abc[redacted]"},
    {"Authorization: Bearer abc\r\n", "abc Bearer abc", "abc [redacted]"},
    {"Authorization:\r\n", "nothing", "nothing"},
    /* Side by side, and overlapping: nothing is left of either. */
    {"Authorization: abcd\r\n", "abcdabcd", "[redacted]"},
    {"Authorization: abcd\r\nCookie: cdefg\r\n", "-abcdefg-", "-[redacted]-"},
    {"Authorization: abcabca\r\n", "-abcabcabca-", "-[redacted]-"},
    /* userinfo: bob:hushhush, key: and bobby:x:yzzy */
    {"Authorization: Basic Ym9iOmh1c2hodXNo\r\n", "Ym9iOmh1c2hodXNo", "[redacted]"},
    {"Authorization: Basic Ym9iOmh1c2hodXNo\r\n", "no bob:hushhush", "no [redacted]"},
    {"Authorization: basic Ym9iOmh1c2hodXNo\r\n", "no bob has hushhush", "no bob has [redacted]"},
    {"Authorization: Basic c2VjcmV0a2V5Og==\r\n", "no secretkey", "no [redacted]"},
    {"Authorization: Basic Ym9iYnk6eDp5enp5\r\n", "bobby x:yzzy x", "[redacted] [redacted] x"},
    {"Authorization: Basic !!!!\r\n", "a !!!! b", "a [redacted] b"},
    /* Parameters. */
    {"Authorization: Digest username=\"mufasa\", response=\"6629fae4\", qop=auth\r\n",
     "{mufasa} 6629fae4", "{[redacted]} [redacted]"},
    {"Authorization: AWS4-HMAC-SHA256 Credential=AKID/x,Signature=fe5f80f7\r\n",
     "wrong fe5f80f7 for AKID/x", "wrong [redacted] for [redacted]"},
    /* Cookies. */
    {"Cookie: c=hushhush\r\n", "c=hushhush", "[redacted]"},
    {"Cookie: c=hushhush; d=\"mushmush\";e=1234\r\n",
     "{\"c\":\"hushhush\",\"d\":\"mushmush\"} 1234",
     "{\"c\":\"[redacted]\",\"d\":\"[redacted]\"} [redacted]"},
    {"Cookie: ab=c\r\n", "ab=c c", "[redacted] c"},
    /* Signatures. */
    {"X-Hub-Signature-256: sha256=0a1b2c3d\r\n", "got 0a1b2c3d", "got [redacted]"},
    {"webhook-signature: v1,g0hM9SsE= v1,bm9uZQ==\r\n", "got g0hM9SsE= or bm9uZQ== not v1",
     "got [redacted] or [redacted] not v1"},
    {"Stripe-Signature: t=1492774577,v1=5257a869\r\n", "5257a869 v1", "[redacted] v1"},
    {"X-Shopify-Hmac-Sha256: 0a1b2c3d\r\n", "0a1b2c3d", "[redacted]"},
    {"X-Resigned: 0a1b2c3d\r\n", "0a1b2c3d", "0a1b2c3d"},
    /* Named ones. */
    {"X-SECRET: hushhush\r\n", "hushhush", "[redacted]"},
    {"Pin: Key 987654\r\n", "987654", "[redacted]"},
    {"X-Secret: \"hushhush\"\r\n", "hushhush \"hushhush\"", "[redacted] [redacted]"},
    {"X-Secrets: hushhush\r\n", "hushhush", "hushhush"},
    /* Written in another way. */
    {"Authorization: a/b+c==\r\n", "a\\/b+c==", "[redacted]"},
    {"Authorization: a/b+c==\r\n", "a\\u002fb\\u002Bc\\u003d\\u003D!", "[redacted]!"},
    {"Authorization: a/b+c==\r\n", "x%61%2fb%2Bc%3d%3D!", "x[redacted]!"},
    {"Authorization: a\"b\\c\r\n", "<a\"b\\c> <a\\\"b\\\\c>", "<[redacted]> <[redacted]>"},
    {"Authorization: \\\\\\\\\r\n", "<\\\\\\\\> <\\\\\\>", "<[redacted]> <\\\\\\>"},
    {"Authorization: \\\\\\\\\\\\\r\n", "<\\\\\\\\\\", "<[redacted]"}, /* cut */
    {"Authorization: a%41/b\r\n", "<a%41\\/b>", "<[redacted]>"},
    {"Authorization: %41%42\r\n", "<%41%42> <%2541%2542>", "<[redacted]> <[redacted]>"},
    {"Authorization: a/b+c==\r\n", "a\\/b+c=", "[redacted]"}, /* cut */
    {"Authorization: a/b+c==\r\n", "a\\/b+c=!", "a\\/b+c=!"},
};

Test(redact, secrets_of_the_head)
{
    for (size_t i = 0; i < COUNT(by_field); i++) {
        char request[1024];
        snprintf(request, sizeof request, "POST / HTTP/1.1\r\nHost: h\r\n%s", by_field[i].fields);
        check_answer(&redact, request, by_field[i].answer, by_field[i].expected);
        strncat(request, "\r\n{\"a\":1}", sizeof request - strlen(request) - 1);
        check_answer(&redact, request, by_field[i].answer, by_field[i].expected);
    }
}

/* Of the request line: values of named parameters, as they are and decoded. */
static const struct field_row by_target[] = {
    {"POST /?token=hushhush HTTP/1.1\r\n\r\n", "got hushhush", "got [redacted]"},
    {"POST /?x=1&token=hushhush&y=mushmush HTTP/1.1\r\n\r\n", "hushhush mushmush",
     "[redacted] mushmush"},
    {"POST /?%74oken=hu%2Fsh+x HTTP/1.1\r\n\r\n", "<hu%2Fsh+x> <hu/sh+x> <hu/sh x>",
     "<[redacted]> <[redacted]> <[redacted]>"},
    {"POST /?token=hush HTTP/1.1\r\n\r\n", "HTTP/1.1", "HTTP/1.1"},
    {"POST /token=hushhush HTTP/1.1\r\n\r\n", "hushhush", "hushhush"},
    {"POST /?tokens=hushhush HTTP/1.1\r\n\r\n", "hushhush", "hushhush"},
    {"POST /?token= HTTP/1.1\r\n\r\n", "hushhush", "hushhush"},
    {"POST /?token=hushhush", "hushhush", "hushhush"}, /* no request line */
};

Test(redact, secrets_of_the_request_line)
{
    for (size_t i = 0; i < COUNT(by_target); i++) {
        check_answer(&redact, by_target[i].fields, by_target[i].answer, by_target[i].expected);
    }
    check_answer(&nameless, by_target[0].fields, by_target[0].answer, by_target[0].answer);
}

static const char plain_request[] = "POST /x?y=1 HTTP/1.1\r\nHost: h\r\n\r\n";

static const struct query_row by_name[] = {
    {"", ""},
    {"token", "token"},
    /* Members of JSON. */
    {"{\"token\":\"abc\",\"x\":\"y\"}", "{\"token\":\"[redacted]\",\"x\":\"y\"}"},
    {"{\"x\":1, \"Token\" : \"abc\"}", "{\"x\":1, \"Token\" : \"[redacted]\"}"},
    {"{\"token\"\r\n\t:\r\n\t\"abc\"}", "{\"token\"\r\n\t:\r\n\t\"[redacted]\"}"},
    {"{\"token\":\"\"}", "{\"token\":\"\"}"},
    {"{\"token\":\"a\\\"b\\\\\",\"x\":1}", "{\"token\":\"[redacted]\",\"x\":1}"},
    {"{\"token\":\"a\\\\\\\"b\",\"x\":1}", "{\"token\":\"[redacted]\",\"x\":1}"},
    {"{\"token\":123,\"x\":1}", "{\"token\":[redacted],\"x\":1}"},
    {"{\"token\":-1.5e3}", "{\"token\":[redacted]}"},
    {"[{\"token\":null}]", "[{\"token\":[redacted]}]"},
    {"[\"token\",\"x\"]", "[\"token\",\"x\"]"},
    {"{\"x\":\"token\",\"y\":\"abc\"}", "{\"x\":\"token\",\"y\":\"abc\"}"},
    {"{\"tokens\":\"abc\",\"a_token\":\"abc\"}", "{\"tokens\":\"abc\",\"a_token\":\"abc\"}"},
    {"{\"\\u0074o\\u006Ben\":\"abc\"}", "{\"\\u0074o\\u006Ben\":\"[redacted]\"}"},
    {"{\"a.b\":\"abc\",\"aXb\":\"abc\"}", "{\"a.b\":\"[redacted]\",\"aXb\":\"abc\"}"},
    {"{\"token\":{\"k\":\"}\",\"l\":[1,{}]},\"x\":1}", "{\"token\":[redacted],\"x\":1}"},
    {"{\"token\":[\"a\",\"]\\\"]\",[]],\"x\":1}", "{\"token\":[redacted],\"x\":1}"},
    {"{\"token\":[],\"x\":1}", "{\"token\":[redacted],\"x\":1}"},
    {"{\"token\":\"pin=1 \\\"pin\\\":2\",\"pin\":3}",
     "{\"token\":\"[redacted]\",\"pin\":[redacted]}"},
    {"{'token': 'a pin=b', 'x': 1}", "{'token': '[redacted]', 'x': 1}"},
    {"\"token':\"abc\"", "\"token':\"abc\""},
    {"{'token': 'abc', 'x': 'y'}", "{'token': '[redacted]', 'x': 'y'}"},
    {"{\"token\"=>\"abc\", \"x\"=>1}", "{\"token\"=>\"[redacted]\", \"x\"=>1}"},
    /* JSON in a string of JSON, and once more. */
    {"{\"data\":\"{\\\"token\\\":\\\"a\\\\\\\"bc\\\",\\\"x\\\":1}\"}",
     "{\"data\":\"{\\\"token\\\":\\\"[redacted]\\\",\\\"x\\\":1}\"}"},
    {"{\"data\":\"{\\\"token\\\": 123}\"}", "{\"data\":\"{\\\"token\\\": [redacted]}\"}"},
    {"\"{\\\"d\\\":\\\"{\\\\\\\"token\\\\\\\":\\\\\\\"abc\\\\\\\",\\\\\\\"x\\\\\\\":1}\\\"}\"",
     "\"{\\\"d\\\":\\\"{\\\\\\\"token\\\\\\\":\\\\\\\""
     "[redacted]\\\\\\\",\\\\\\\"x\\\\\\\":1}\\\"}\""},
    {"\"{\\u0022token\\u0022:\\u0022a\\\\\\u0022bc\\u0022,\\u0022x\\u0022:1}\"",
     "\"{\\u0022token\\u0022:\\u0022[redacted]\\u0022,\\u0022x\\u0022:1}\""},
    {"\"{\\\"token\\\":\\\"abc\",\"x\":1", "\"{\\\"token\\\":\\\"[redacted]\",\"x\":1"},
    /* Pairs. */
    {"token=abc", "token=[redacted]"},
    {"x=1&token=abc&y=2", "x=1&token=[redacted]&y=2"},
    {"Cannot POST /hook?token=abc now", "Cannot POST /hook?token=[redacted] now"},
    {"{\"url\":\"/?token=abc\",\"x\":1}", "{\"url\":\"/?token=[redacted]\",\"x\":1}"},
    {"<a href=\"?token=abc\">token</a>", "<a href=\"?token=[redacted]\">token</a>"},
    {"<a token=\"a bc\">x", "<a token=\"[redacted]\">x"},
    {"token=it's,so;b=c) x", "token=[redacted] x"},
    {"TOKEN = abc x", "TOKEN = [redacted] x"},
    {"mytoken=abc my-token=abc my_token=abc tokens=abc",
     "mytoken=abc my-token=abc my_token=abc tokens=abc"},
    {"my.token=abc", "my.token=[redacted]"},
    {"token=", "token="},
    {"token=&x", "token=&x"},
    {"token: abc", "token: abc"},
    {"token\n=abc", "token\n=abc"},
    {"x\\u0026token=abc y", "x\\u0026token=[redacted] y"},
    {"x\\u003ftoken\\u003dabc y", "x\\u003ftoken\\u003d[redacted] y"},
    {"r=h%3Ftoken%3Dabc&y", "r=h%3Ftoken%3D[redacted]&y"},
    {"line\\ntoken=abc y", "line\\ntoken=[redacted] y"},
    {"%41token=abc", "%41token=abc"},
    {"token=abc\ntoken=def\n", "token=[redacted]\ntoken=[redacted]\n"},
    /* Cut. */
    {"{\"token\":\"ab", "{\"token\":\"[redacted]"},
    {"{\"token\":\"ab\\", "{\"token\":\"[redacted]"},
    {"{\"token\":12", "{\"token\":[redacted]"},
    {"{\"token\":{\"a\":[1", "{\"token\":[redacted]"},
    {"{\"token\":\"", "{\"token\":\""},
    {"{\"token\":", "{\"token\":"},
    {"{\"token\"", "{\"token\""},
    {"{\"tok", "{\"tok"},
};

Test(redact, values_by_name)
{
    for (size_t i = 0; i < COUNT(by_name); i++) {
        check_answer(&redact, plain_request, by_name[i].query, by_name[i].expected);
        check_answer(&nameless, plain_request, by_name[i].query, by_name[i].query);
    }
}

/* A name that is a secret too is still a name. */
Test(redact, a_secret_that_is_a_name)
{
    static const char request[] = "GET / HTTP/1.1\r\nCookie: c=token\r\n\r\n";
    check_answer(&redact, request, "token=abc x", "[redacted]=[redacted] x");
    check_answer(&redact, request, "\"token\":\"abc\"", "\"[redacted]\":\"[redacted]\"");
}

Test(redact, any_bytes_are_told)
{
    char answer[512], out[512];
    for (size_t i = 0; i < sizeof answer; i++) answer[i] = (char)(i * 7);
    cr_assert_eq(
        redact_answer(&redact, span_of(answer, sizeof answer), span_of(NULL, 0), out, sizeof out),
        sizeof answer);
    cr_assert_eq(memcmp(out, answer, sizeof answer), 0);
    cr_assert_eq(redact_answer(&redact, span_of(NULL, 0), span_of(NULL, 0), NULL, 0), 0);
}

/* Bytes of every value within a secret, the request's end at its end. */
Test(redact, a_secret_of_any_bytes)
{
    char request[512] = "GET / HTTP/1.1\r\nCookie: ", out[512];
    size_t at = strlen(request), start = at;
    for (int c = 0x21; c < 256; c++) request[at++] = (char)c;
    struct span secret = span_of(request + start, at - start);
    cr_assert_eq(redact_answer(&redact, secret, span_of(request, at), out, sizeof out),
                 strlen(REDACT_MASK));
    cr_assert_eq(memcmp(out, REDACT_MASK, strlen(REDACT_MASK)), 0);
}

/* Wherever the excerpt is cut, at most three bytes of a secret are told. */
Test(redact, every_cut)
{
    static const char request[] =
        "GET / HTTP/1.1\r\nAuthorization: Bearer hush-hush\r\nCookie: c=my\"s/h\r\n\r\n";
    static const char answer[] =
        "{\"h\":\"hush-hush\",\"c\":\"my\\\"s\\/h\",\"token\":\"zzzz\"} my%22s%2fh";
    static const char *const never[] = {"hush", "my\"s", "my\\\"s", "my%22s", "zz", "z\""};
    for (size_t len = 0; len <= strlen(answer); len++) {
        char out[OUT_BYTES], *exact = malloc(len ? len : 1);
        memcpy(exact, answer, len);
        size_t written = redact_answer(&redact, span_of(exact, len),
                                       span_of(request, strlen(request)), out, sizeof out - 1);
        out[written] = '\0';
        for (size_t i = 0; i < COUNT(never); i++) {
            cr_expect_null(strstr(out, never[i]), "%zu bytes: %s", len, out);
        }
        free(exact);
    }
}

/* A smaller cap gives the beginning of what a larger one gives, and no byte more. */
Test(redact, every_cap)
{
    static const char request[] = "GET / HTTP/1.1\r\nAuthorization: hush\r\n\r\n";
    static const char answer[] = "a hush b token=c&d {\"pin\":\"1\"} hush";
    static const char expected[] = "a [redacted] b token=[redacted]&d {\"pin\":\"[redacted]\"} "
                                   "[redacted]";
    for (size_t cap = 0; cap <= sizeof expected + 5; cap++) {
        size_t most = cap < strlen(expected) ? cap : strlen(expected);
        char *out = malloc(cap ? cap : 1);
        size_t written = redact_answer(&redact, span_of(answer, strlen(answer)),
                                       span_of(request, strlen(request)), out, cap);
        cr_assert_eq(written, most);
        cr_assert_eq(memcmp(out, expected, most), 0, "%.*s", (int)written, out);
        free(out);
    }
}

/* ---- No room for all secrets: nothing is told. ---- */

static void check_crowd(int cookies, const char *expected)
{
    enum { REQUEST_BYTES = 64 * 1024 };
    char *request = malloc(REQUEST_BYTES);
    size_t at = (size_t)snprintf(request, REQUEST_BYTES, "GET / HTTP/1.1\r\nCookie: ");
    for (int i = 0; i < cookies; i++) {
        at += (size_t)snprintf(request + at, REQUEST_BYTES - at, "c=%d; ", 10000 + i);
        cr_assert_lt(at, REQUEST_BYTES - 8);
    }
    snprintf(request + at, REQUEST_BYTES - at, "\r\n\r\n");
    check_answer(&nameless, request, "<10000> <10100>", expected);
    free(request);
}

Test(redact, more_secrets_than_room)
{
    check_crowd(1, "<[redacted]> <10100>");
    check_crowd(200, "<[redacted]> <[redacted]>");
    check_crowd(511, "<[redacted]> <[redacted]>");
    check_crowd(512, "[redacted]");
    check_crowd(2000, "[redacted]");
}

/* One value takes one place, though it is found in two ways. */
Test(redact, room_for_many_fields)
{
    enum { FIELDS = 300, FIELD_BYTES = 40 };
    char *request = malloc(FIELDS * FIELD_BYTES);
    size_t at = (size_t)snprintf(request, FIELD_BYTES, "GET / HTTP/1.1\r\n");
    for (int i = 1; i < FIELDS; i++) {
        at += (size_t)snprintf(request + at, FIELD_BYTES, "X-Secret: %d\r\n", 10000 + i);
    }
    check_answer(&redact, request, "<10001> <10000> <10299>", "<[redacted]> <10000> <[redacted]>");
    free(request);
}

Test(redact, a_password_longer_than_room)
{
    enum { LETTERS = 40000 };
    char *request = malloc(LETTERS + 100);
    size_t head = (size_t)snprintf(request, 100, "GET / HTTP/1.1\r\nAuthorization: Basic ");
    memset(request + head, 'Q', LETTERS);
    snprintf(request + head + LETTERS, 50, "\r\n\r\n");
    check_answer(&redact, request, "anything", "[redacted]");
    free(request);
}

/* The same names as those whose values are masked in an answer. */
Test(redact, hides)
{
    static const char *const own[] = {"X-Api-Key"};
    static const struct redact r = {.names = own, .count = 1};
    static const struct {
        const char *name;
        bool hidden;
    } rows[] = {
        {"Authorization", true},
        {"proxy-authorization", true},
        {"COOKIE", true},
        {"webhook-signature", true},
        {"X-Hub-Signature-256", true},
        {"X-Shopify-Hmac-Sha256", true},
        {"x-api-key", true},
        {"X-Api-Key-Id", false},
        {"webhook-id", false},
        {"webhook-timestamp", false},
        {"Host", false},
        {"Content-Type", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_eq(redact_hides(&r, span_of(rows[i].name, strlen(rows[i].name))), rows[i].hidden,
                     "%s", rows[i].name);
}
