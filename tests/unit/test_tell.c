/* tests/unit/test_tell.c - goal: every line that is told is one valid line of JSON with the
 * documented fields in their order and the right values, within the promised size, whatever the
 * receiver answered; and no secret is in it.
 *
 * Method: lines are read back by a strict reader (json_line.h) and compared field by field with
 * what a dumb table says, for every ending, sent, outcome and number of attempts. Then answers of
 * random bytes, the longest lines there can be in memory of exactly the promised size, and answers
 * that give back all of the request's secrets.
 */
#include "core/engine/tell.h"

#include "core/base/prng.h"
#include "tests/unit/json_line.h"
#include "tests/unit/one_delivery.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WALL_NS     UINT64_C(1795222923123456789) /* 2026-11-21T01:02:03.123456789Z */
#define WALL_TEXT   "2026-11-21T01:02:03.123456Z"
#define ENDED_NS    (WALL_NS + UINT64_C(61000001000))
#define ENDED_TEXT  "2026-11-21T01:03:04.123457Z"
#define DURATION_NS UINT64_C(12345678)
#define DURATION_MS "12.345"
#define TOTAL_NS    UINT64_C(61000001999)
#define TOTAL_MS    "61000.001"
#define LINE \
    "{\"url\":\"http://127.0.0.1:81/ab?\\\\q=1\",\"id\":\"i \\\"1\\\"\",\"body\":{\"k\":1}}"
#define HOST "127.0.0.1:81"

static const char *const result_names[] = {
    "id",          "line",        "url",      "host",     "outcome",
    "status",      "error",       "sent",     "attempts", "first_attempt_at",
    "finished_at", "duration_ms", "total_ms", "answer"};
static const char *const event_names[] = {"id",
                                          "line",
                                          "url",
                                          "host",
                                          "url_path",
                                          "is_terminal",
                                          "retry_count",
                                          "http_status_code",
                                          "error",
                                          "sent",
                                          "content_length",
                                          "webhook_duration",
                                          "finished_at",
                                          "raw_response"};
enum {
    RESULT_NAMES = sizeof result_names / sizeof result_names[0],
    EVENT_NAMES = sizeof event_names / sizeof event_names[0],
};

static struct maker maker;
static struct delivery *d;
static struct exchange ex;
static struct stamp_cache stamps;
static struct telling t;
static struct json_line result, event;

static void tell_begin(const char *line)
{
    d = maker_make(&maker, line, 4711, HOST);
    t = (struct telling){.delivery = d,
                         .exchange = &ex,
                         .redact = &maker.rules.redact,
                         .stamps = &stamps,
                         .since_wall_ns = WALL_NS,
                         .ended_wall_ns = ENDED_NS};
    d->attempts = 1;
    d->fate = OUTCOME_FAILED;
    d->since_ns = 1000;
    ex.ended_ns = d->since_ns + TOTAL_NS;
    d->attempt_ns = ex.ended_ns - DURATION_NS;
    ex.why = ERR_STATUS_RETRY;
    ex.sent = SENT_YES;
    ex.answer.status = 503;
}

static void tell_end(void)
{
    delivery_free(maker.slab, d);
    maker_end(&maker);
}

static void answer_is(const void *bytes, size_t len)
{
    MUST(len <= sizeof ex.answer.body);
    memset(ex.answer.body, '#', sizeof ex.answer.body);
    if (len > 0) memcpy(ex.answer.body, bytes, len);
    ex.answer.body_kept = (uint16_t)len;
}

/* Both lines, each in memory of exactly the promised size, read back. */
static void tell_both(void)
{
    size_t room = tell_size_max(&t);
    char *line = malloc(room);
    MUST(line != NULL);
    size_t len = tell_result(&t, line);
    MUST(len <= room);
    json_line_read(&result, line, len);
    free(line);
    line = malloc(room);
    MUST(line != NULL);
    len = tell_event(&t, line);
    MUST(len <= room);
    json_line_read(&event, line, len);
    free(line);
}

static void names_are(const struct json_line *j, const char *const *names, size_t count)
{
    MUST(j->count == count, "%zu fields: %s", j->count, j->begin);
    for (size_t i = 0; i < count; i++)
        MUST(strcmp(j->member[i].name, names[i]) == 0, "field %zu is %s, not %s", i,
             j->member[i].name, names[i]);
}

/* text NULL: the word null. A number or another word: as it stands. */
static void value_is(const struct json_line *j, const char *name, bool string, const char *text)
{
    const struct json_member *m = json_find(j, name);
    MUST(m != NULL, "no %s", name);
    MUST(m->string == (string && text != NULL), "%s: %s", name, m->text);
    MUST(strcmp(m->text, text != NULL ? text : "null") == 0, "%s is %s, not %s", name, m->text,
         text != NULL ? text : "null");
}

static void text_is(const struct json_line *j, const char *name, const char *text)
{
    value_is(j, name, true, text);
}

static void number_is(const struct json_line *j, const char *name, const char *text)
{
    value_is(j, name, false, text);
}

/* ---- every field -------------------------------------------------------------------------- */

/* The status that is shown, when the answer's own is 503. */
static const char *const statuses[ERR_COUNT] = {
    [ERR_OK] = "503",
    [ERR_STATUS_FINAL] = "503",
    [ERR_STATUS_RETRY] = "503",
    [ERR_TIMEOUT] = NULL,
    [ERR_BAD_RESPONSE] = NULL,
    [ERR_DNS_FAILURE] = "599",
    [ERR_DNS_TIMEOUT] = "599",
    [ERR_CONNECT_REFUSED] = "599",
    [ERR_CONNECT_TIMEOUT] = "599",
    [ERR_NO_ROUTE] = "599",
    [ERR_RESET] = "599",
    [ERR_CLOSED] = "599",
    [ERR_TLS_CERTIFICATE] = NULL,
    [ERR_TLS_HANDSHAKE] = "599",
    [ERR_TLS_TIMEOUT] = "599",
    [ERR_TRUNCATED] = NULL,
    [ERR_BLOCKED_ADDRESS] = NULL,
    [ERR_NO_RESOURCES] = NULL,
    [ERR_STOPPED] = NULL,
};

static void check_common(const struct json_line *j)
{
    text_is(j, "id", "i \"1\"");
    number_is(j, "line", "4711");
    text_is(j, "url", "http://127.0.0.1:81/ab?\\q=1");
    text_is(j, "host", HOST);
    text_is(j, "error", ex.why == ERR_OK ? NULL : err_label(ex.why));
    text_is(j, "sent", sent_label(ex.sent));
    text_is(j, "finished_at", ENDED_TEXT);
}

static void check_all(void)
{
    char number[8];
    bool answered = ex.answer.body_kept > 0, tried = d->attempts > 0;
    bool excerpt = answered && (enum outcome)d->fate != OUTCOME_DELIVERED;
    tell_both();
    names_are(&result, result_names, RESULT_NAMES - !excerpt);
    check_common(&result);
    text_is(&result, "outcome", outcome_label((enum outcome)d->fate));
    number_is(&result, "status", statuses[ex.why]);
    snprintf(number, sizeof number, "%u", d->attempts);
    number_is(&result, "attempts", number);
    text_is(&result, "first_attempt_at", tried ? WALL_TEXT : NULL);
    number_is(&result, "duration_ms", tried ? DURATION_MS : "0.000");
    number_is(&result, "total_ms", tried ? TOTAL_MS : "0.000");
    if (excerpt) text_is(&result, "answer", "no \"way\"\n");
    names_are(&event, event_names, EVENT_NAMES);
    check_common(&event);
    text_is(&event, "url_path", "/ab");
    number_is(&event, "is_terminal", "true");
    snprintf(number, sizeof number, "%u", tried ? d->attempts - 1 : 0);
    number_is(&event, "retry_count", number);
    number_is(&event, "http_status_code", statuses[ex.why]);
    number_is(&event, "content_length", "7");
    number_is(&event, "webhook_duration", tried ? DURATION_MS : "0.000");
    text_is(&event, "raw_response", answered ? "no \"way\"\n" : NULL);
}

Test(tell, every_ending)
{
    tell_begin(LINE);
    for (unsigned i = 0; i < ERR_COUNT * SENT_COUNT * OUTCOME_COUNT * 3 * 2; i++) {
        static const uint16_t attempts[] = {0, 1, 65535};
        unsigned k = i / ERR_COUNT;
        ex.why = (enum err)(i % ERR_COUNT);
        ex.sent = (enum sent)(k % SENT_COUNT);
        d->fate = (uint8_t)(k / SENT_COUNT % OUTCOME_COUNT);
        d->attempts = attempts[k / SENT_COUNT / OUTCOME_COUNT % 3];
        answer_is("no \"way\"\n", k / SENT_COUNT / OUTCOME_COUNT / 3 ? 9 : 0);
        check_all();
    }
    tell_end();
}

/* A status is shown as it came; one that was read before the answer broke is not shown. */
Test(tell, statuses_of_answers)
{
    static const struct {
        enum err why;
        uint16_t status;
        const char *shown;
    } rows[] = {
        {ERR_OK, 200, "200"},           {ERR_OK, 299, "299"},
        {ERR_STATUS_FINAL, 301, "301"}, {ERR_STATUS_FINAL, 404, "404"},
        {ERR_STATUS_RETRY, 429, "429"}, {ERR_STATUS_RETRY, 599, "599"},
        {ERR_TIMEOUT, 200, NULL},       {ERR_BAD_RESPONSE, 200, NULL},
        {ERR_TIMEOUT, 0, NULL},         {ERR_CONNECT_REFUSED, 0, "599"},
        {ERR_BLOCKED_ADDRESS, 0, NULL},
    };
    tell_begin(LINE);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ex.why = rows[i].why;
        ex.answer.status = rows[i].status;
        tell_both();
        number_is(&result, "status", rows[i].shown);
        number_is(&event, "http_status_code", rows[i].shown);
    }
    tell_end();
}

/* What there is to say about an error stands behind it, and nowhere else. */
Test(tell, detail)
{
    tell_begin(LINE);
    ex.why = ERR_BLOCKED_ADDRESS;
    t.detail = "10.0.0.1: private 10.0.0.0/8 (RFC 1918)";
    tell_both();
    text_is(&result, "detail", t.detail);
    text_is(&event, "detail", t.detail);
    t.detail = NULL;
    tell_both();
    cr_assert_null(json_find(&result, "detail"));
    cr_assert_null(json_find(&event, "detail"));
    tell_end();
}

/* The two lines begin alike, so that they can be joined. */
Test(tell, url_path)
{
    static const struct {
        const char *line, *url, *path;
    } rows[] = {
        {"{\"url\":\"http://127.0.0.1\"}", "http://127.0.0.1/", "/"},
        {"{\"url\":\"http://127.0.0.1?x\"}", "http://127.0.0.1/?x", "/"},
        {"{\"url\":\"http://u:p@127.0.0.1/x/y?z#f\"}", "http://127.0.0.1/x/y?z", "/x/y"},
        {"{\"url\":\"http://[::1]:82/%22\"}", "http://[::1]:82/%22", "/%22"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tell_begin(rows[i].line);
        tell_both();
        text_is(&event, "url_path", rows[i].path);
        text_is(&event, "url", rows[i].url);
        text_is(&result, "url", rows[i].url);
        number_is(&event, "content_length", "0");
        delivery_free(maker.slab, d);
    }
    maker_end(&maker);
}

/* ---- any answer --------------------------------------------------------------------------- */

Test(tell, answers_of_any_bytes)
{
    struct prng dice;
    char bytes[LIMIT_ANSWER_KEEP_BYTES];
    tell_begin(LINE);
    prng_seed(&dice, 1);
    for (int i = 0; i < 3000; i++) {
        size_t len = 1 + prng_below(&dice, i % 2 ? sizeof bytes : 6);
        uint64_t span = i % 3 == 0 ? 128 : 256, from = i % 5 == 0 ? 256 - 64 : 0;
        for (size_t k = 0; k < len; k++) bytes[k] = (char)(from + prng_below(&dice, span));
        answer_is(bytes, len);
        tell_both();
        const struct json_member *m = json_find(&result, "answer");
        MUST(m != NULL && m->len > 0);
        MUST(m->len == json_find(&event, "raw_response")->len);
        if (from == 0 && span == 128)
            MUST(m->len == len && memcmp(m->text, bytes, len) == 0, "ASCII is told as it came");
    }
    tell_end();
}

/* Everything as long as it can become, and the bound not by far: it is taken from a buffer. */
Test(tell, the_longest_lines)
{
    static char line[2 * 8192 + 2 * 256 + 64];
    const char *const names[] = {"k"};
    size_t n = (size_t)snprintf(line, sizeof line, "{\"id\":\"");
    for (int i = 0; i < LIMIT_ID_BYTES; i++)
        n += (size_t)snprintf(line + n, sizeof line - n, "\\\"");
    n += (size_t)snprintf(line + n, sizeof line - n, "\",\"url\":\"http://127.0.0.1:65535/");
    for (int i = 0; i < 1000; i++) n += (size_t)snprintf(line + n, sizeof line - n, "\\\"");
    n += (size_t)snprintf(line + n, sizeof line - n, "?");
    for (int i = 0; i < 1000; i++) n += (size_t)snprintf(line + n, sizeof line - n, "k=1&");
    for (int i = 0; i < 1000; i++) n += (size_t)snprintf(line + n, sizeof line - n, "\\\\");
    snprintf(line + n, sizeof line - n, "\"}");
    maker.rules.redact = (struct redact){names, 1};
    tell_begin(line);
    d->attempts = UINT16_MAX;
    d->fate = (uint8_t)OUTCOME_EXHAUSTED;
    t.ended_wall_ns = UINT64_MAX;
    ex.why = ERR_CLOSED;
    ex.sent = SENT_MAYBE;
    ex.ended_ns = UINT64_MAX;
    char detail[256] = "";
    memset(detail, 'd', sizeof detail - 1);
    t.detail = detail;
    d->attempt_ns = d->since_ns = 0;
    char answer[LIMIT_ANSWER_KEEP_BYTES];
    memset(answer, 1, sizeof answer);
    answer_is(answer, sizeof answer);
    tell_both();
    cr_assert_eq(json_find(&result, "answer")->len, sizeof answer);
    for (size_t i = 0; i < sizeof answer; i++) answer[i] = "k=1&"[i % 4];
    answer_is(answer, sizeof answer);
    tell_both();
    cr_assert_not_null(strstr(json_find(&result, "answer")->text, "k=[redacted]&k=[redacted]"));
    tell_end();
}

/* ---- secrets ------------------------------------------------------------------------------ */

#define SECRETS_LINE \
    "{\"url\":\"http://alice:wonderland@127.0.0.1/p?token=querysecret&x=1\",\"headers\":{" \
    "\"Cookie\":\"session=cookiesecret\",\"X-Signature\":\"signaturesecret\"," \
    "\"X-Mine\":\"minesecret\"},\"body\":{\"k\":1}}"

/* YWxpY2U6d29uZGVybGFuZA== is the userinfo in Base64, as it was sent. */
static const char *const secrets[] = {"YWxpY2U6d29uZGVybGFuZA", "wonderland",      "querysecret",
                                      "cookiesecret",           "signaturesecret", "minesecret"};
static const char echo[] =
    "you sent Authorization: Basic YWxpY2U6d29uZGVybGFuZA== and Cookie: session=cookiesecret, "
    "X-Signature: signaturesecret, \"x-mine\":\"minesecret\", ?token=querysecret&x=1 "
    "{\"token\":\"querysecret\"} end";

static void no_secret(const struct json_line *j, size_t cut)
{
    for (size_t s = 0; s < sizeof secrets / sizeof secrets[0]; s++)
        for (const char *p = j->begin; p + strlen(secrets[s]) <= j->end; p++)
            MUST(memcmp(p, secrets[s], strlen(secrets[s])) != 0, "%s is told, cut at %zu: %.*s",
                 secrets[s], cut, (int)(j->end - j->begin), j->begin);
}

static void tell_and_search(size_t cut)
{
    size_t room = tell_size_max(&t);
    char *line = malloc(room);
    MUST(line != NULL);
    json_line_read(&result, line, tell_result(&t, line));
    no_secret(&result, cut);
    json_line_read(&event, line, tell_event(&t, line));
    no_secret(&event, cut);
    free(line);
}

Test(tell, no_secret_is_told)
{
    static const char *const names[] = {"token", "X-Mine"};
    maker.rules.redact = (struct redact){names, 2};
    tell_begin(SECRETS_LINE);
    for (size_t cut = 0; cut < sizeof echo; cut++) {
        answer_is(echo, cut);
        tell_and_search(cut);
    }
    text_is(&result, "url", "http://127.0.0.1/p?token=[redacted]&x=1");
    const struct json_member *m = json_find(&result, "answer");
    cr_expect(strncmp(m->text, "you sent Authorization: Basic [redacted]", 40) == 0 ||
                  strncmp(m->text, "you sent Authorization: [redacted]", 34) == 0,
              "%s", m->text);
    cr_expect_str_eq(m->text + m->len - 4, " end", "%s", m->text);
    tell_end();
}
