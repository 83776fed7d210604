/* tests/unit/test_delivery.c - goal: a record is rendered once and rightly: the log text is the
 * beginning of valid JSON without secrets, the request is what the renderer makes of the record,
 * the record is kept as it came only if wanted, and memory is asked for and given back exactly.
 *
 * Method: a table of records with their log texts; random URLs against a dumb rendering, read back
 * by a strict reader; requests against request_render(); full and too small memory.
 */
#include "core/engine/delivery.h"

#include "core/base/prng.h"
#include "tests/unit/json_line.h"
#include "tests/unit/one_delivery.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(table) (sizeof table / sizeof table[0])

static struct maker maker;
static struct json_line parsed;

/* ---- the log text ------------------------------------------------------------------------- */

static const char *const names[] = {"token", "pin"};

static const struct {
    const char *line, *log;
} rows[] = {
    {"{\"url\":\"http://Example.com\"}",
     "{\"id\":\"00000000000000ab-7\",\"line\":7,\"url\":\"http://Example.com/\",\"host\":\"h:80\""},
    {"{\"url\":\"https://example.com:443/a\",\"id\":\"x\"}",
     "{\"id\":\"x\",\"line\":7,\"url\":\"https://example.com/a\",\"host\":\"h:80\""},
    {"{\"url\":\"https://example.com:80/a\",\"id\":\"x\"}",
     "{\"id\":\"x\",\"line\":7,\"url\":\"https://example.com:80/a\",\"host\":\"h:80\""},
    {"{\"url\":\"http://user:pass@[2001:DB8::1]:8080/a/b?c=d#e\",\"id\":\"x\"}",
     "{\"id\":\"x\",\"line\":7,\"url\":\"http://[2001:DB8::1]:8080/a/b?c=d\",\"host\":\"h:80\""},
    {"{\"url\":\"http://[::1]/?\",\"id\":\"x\"}",
     "{\"id\":\"x\",\"line\":7,\"url\":\"http://[::1]/?\",\"host\":\"h:80\""},
    {"{\"url\":\"http://1.2.3.4?token=1&PIN=22&a=3\",\"id\":\"x\"}",
     "{\"id\":\"x\",\"line\":7,\"url\":\"http://1.2.3.4/?token=[redacted]&PIN=[redacted]&a=3\","
     "\"host\":\"h:80\""},
    {"{\"url\":\"http://1.2.3.4/\\\"?\\\"\\\\&token=\\\"&a=\\\"\",\"id\":\"a\\\"b\\\\c\xc3\xa9\"}",
     "{\"id\":\"a\\\"b\\\\c\xc3\xa9\",\"line\":7,\"url\":\"http://1.2.3.4/"
     "%22?%22\\\\&token=[redacted]&a=%22\",\"host\":\"h:80\""},
};

Test(delivery, log_texts)
{
    maker.rules.run_id = 0xab;
    maker.rules.redact = (struct redact){names, COUNT(names)};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct delivery *d = maker_make(&maker, rows[i].line, 7, "h:80");
        struct span got = span_of(delivery_log(d), d->log_len);
        cr_expect(span_eq(got, span_of(rows[i].log, strlen(rows[i].log))), "%s\nis %.*s\nnot %s",
                  rows[i].line, (int)got.len, got.ptr, rows[i].log);
        delivery_free(maker.slab, d);
    }
    maker_end(&maker);
}

/* Nothing of an earlier life of the memory is left; nothing has happened to it yet. */
Test(delivery, begins_blank)
{
    for (int life = 0; life < 3; life++) {
        struct delivery *d = maker_make(&maker, "{\"url\":\"http://1.2.3.4/\"}", 1, "h:80");
        cr_expect_null(d->next);
        cr_expect_null(d->flow);
        cr_expect_eq(d->attempts, 0);
        cr_expect_eq(d->attempt_ns, 0);
        cr_expect_eq(d->since_ns, 0);
        cr_expect_eq(d->sent, 0);
        cr_expect_eq(d->tries, 0);
        cr_expect_eq(d->body_len, 0);
        cr_expect_not(d->resent);
        cr_expect_not(d->fresh);
        cr_expect_not(wheel_armed(&d->timer));
        d->body_len = d->attempts = 7;
        d->tries = d->sent = 7;
        d->attempt_ns = d->since_ns = 7;
        d->resent = d->fresh = true;
        delivery_free(maker.slab, d);
    }
    maker_end(&maker);
}

/* The same on every attempt and after every start: the run and the line decide, nothing else. */
Test(delivery, derived_ids)
{
    static const struct {
        uint64_t run_id, line;
        const char *id;
    } ids[] = {
        {0, 1, "0000000000000000-1"},
        {1, 1, "0000000000000001-1"},
        {UINT64_C(0xfedcba9876543210), 12345, "fedcba9876543210-12345"},
        {UINT64_MAX, UINT64_MAX, "ffffffffffffffff-18446744073709551615"},
    };
    maker.rules.idempotency_key = true;
    for (size_t i = 0; i < COUNT(ids); i++) {
        char begin[96], header[96];
        maker.rules.run_id = ids[i].run_id;
        struct delivery *d = maker_make(&maker, "{\"url\":\"http://h/\"}", ids[i].line, "h:80");
        int n = snprintf(begin, sizeof begin, "{\"id\":\"%s\",\"line\":%" PRIu64 ",", ids[i].id,
                         ids[i].line);
        cr_expect_eq(memcmp(delivery_log(d), begin, (size_t)n), 0, "%.*s", (int)d->log_len,
                     delivery_log(d));
        n = snprintf(header, sizeof header, "\r\nIdempotency-Key: %s\r\n", ids[i].id);
        cr_expect_not_null(memmem(delivery_request(d), d->request_len, header, (size_t)n), "%.*s",
                           (int)d->request_len, delivery_request(d));
        delivery_free(maker.slab, d);
    }
    maker_end(&maker);
}

/* ---- random URLs -------------------------------------------------------------------------- */

/* What stays as it is in a path and in a query. */
static const char path_bytes[] = "abcXYZ019-_~!$&()*+,;=:@/%[]|";

static size_t draw_text(struct prng *dice, char *out, size_t max, const char *more)
{
    size_t n = prng_below(dice, max + 1), kinds = sizeof path_bytes - 1 + strlen(more);
    for (size_t i = 0; i < n; i++) {
        size_t k = prng_below(dice, kinds);
        out[i] = k < sizeof path_bytes - 1 ? path_bytes[k] : more[k - (sizeof path_bytes - 1)];
    }
    out[n] = 0;
    return n;
}

/* As the inside of a JSON string. */
static void escape(const char *text, char *out)
{
    for (; *text != 0; text++) {
        if (*text == '"' || *text == '\\') *out++ = '\\';
        *out++ = *text;
    }
    *out = 0;
}

static void check_url(struct prng *dice, bool redacted)
{
    static char path[3000], query[3000], url[8000], escaped[16000], line[16100], log[32768];
    (void)draw_text(dice, path + 1, prng_percent(dice, 20) ? 2500 : 20, "'");
    path[0] = '/';
    bool has_query = prng_percent(dice, 70);
    (void)draw_text(dice, query, prng_percent(dice, 20) ? 2500 : 20, "\\\\?.^`{}");
    snprintf(url, sizeof url, "http://h.test:81%s%s%s", path, has_query ? "?" : "",
             has_query ? query : "");
    escape(url, escaped);
    snprintf(line, sizeof line, "{\"url\":\"%s\"}", escaped);
    maker.rules.redact = (struct redact){names, redacted ? COUNT(names) : 0};
    struct delivery *d = maker_make(&maker, line, 1, "h.test:81");
    MUST(d->log_len + 2 <= sizeof log);
    memcpy(log, delivery_log(d), d->log_len);
    memcpy(log + d->log_len, "}\n", 2);
    json_line_read(&parsed, log, d->log_len + 2);
    const struct json_member *m = json_find(&parsed, "url");
    MUST(m != NULL && strcmp(m->text, url) == 0, "%s is told as %s", url, m->text);
    escape(path, escaped);
    MUST(d->path_len == strlen(escaped), "%s", url);
    MUST(memcmp(delivery_log(d) + d->path_at, escaped, d->path_len) == 0, "%s", url);
    delivery_free(maker.slab, d);
}

Test(delivery, urls_of_any_bytes)
{
    struct prng dice;
    prng_seed(&dice, 1);
    for (int i = 0; i < 4000; i++) check_url(&dice, i % 2);
    maker_end(&maker);
}

/* ---- the request and the record ----------------------------------------------------------- */

static const char *const lines[] = {
    "{\"url\":\"http://1.2.3.4/\"}",
    "{\"url\":\"http://1.2.3.4/\",\"method\":\"GET\",\"id\":\"x\"}",
    "{\"url\":\"http://u:p@1.2.3.4:81/a?b\",\"method\":\"PUT\",\"body\":\"text \\u00e9\"}",
    "{\"url\":\"http://1.2.3.4/\",\"body\":{\"a\": [1, 2]},\"headers\":{\"X-A\":\"1\"}}",
    "{\"url\":\"http://1.2.3.4/\",\"headers\":{\"User-Agent\":\"me\",\"Idempotency-Key\":\"k\"}}",
    "{\"url\":\"http://1.2.3.4/\",\"body\":\"\"}",
};

static void check_request(const char *line, bool keep_raw, bool key)
{
    maker.rules.user_agent = SPAN_LIT("agent/1");
    maker.rules.keep_raw = keep_raw;
    maker.rules.idempotency_key = key;
    struct delivery *d = maker_make(&maker, line, 9, "1.2.3.4:80");
    const struct record *r = &maker.record;
    struct request q = {.method = r->method,
                        .url = &r->url,
                        .headers = r->headers,
                        .headers_count = r->headers_count,
                        .kinds_seen = r->header_kinds,
                        .has_body = r->has_body,
                        .body = r->body,
                        .content_type = r->content_type,
                        .user_agent = SPAN_LIT("agent/1")};
    if (key) q.idempotency_key = r->id.len > 0 ? r->id : SPAN_LIT("0000000000000000-9");
    size_t size = request_size(&q);
    char *expected = malloc(size);
    cr_assert_not_null(expected);
    cr_assert_eq(request_render(&q, expected), size);
    struct span got = span_of(delivery_request(d), d->request_len);
    cr_expect(span_eq(got, span_of(expected, size)), "%.*s", (int)got.len, got.ptr);
    cr_expect_eq(d->body_len, r->has_body ? r->body.len : 0);
    struct span raw = span_of(delivery_raw(d), d->raw_len);
    cr_expect(span_eq(raw, span_of(line, keep_raw ? strlen(line) : 0)), "%.*s", (int)raw.len,
              raw.ptr);
    free(expected);
    delivery_free(maker.slab, d);
}

Test(delivery, requests_and_records)
{
    for (size_t i = 0; i < COUNT(lines); i++)
        for (int bits = 0; bits < 4; bits++) check_request(lines[i], bits & 1, bits & 2);
    maker_end(&maker);
}

/* ---- memory ------------------------------------------------------------------------------- */

/* Full: NULL, and not for ever; whatever is given back can be had again. */
Test(delivery, waits_for_memory)
{
    enum { MANY = 2000 };
    static struct delivery *all[MANY];
    struct span line = SPAN_LIT("{\"url\":\"http://1.2.3.4/\",\"body\":{\"k\":1}}");
    size_t n = 0;
    maker.slab = slab_new(2 * SLAB_PAGE_BYTES);
    while (n < MANY && (all[n] = maker_try(&maker, line, n, "1.2.3.4:80")) != NULL) n++;
    cr_assert_lt(n, MANY);
    cr_assert_gt(n, 20);
    cr_assert_not(maker.never);
    delivery_free(maker.slab, all[n / 2]);
    all[n / 2] = maker_try(&maker, line, n, "1.2.3.4:80");
    cr_assert_not_null(all[n / 2]);
    cr_assert_null(maker_try(&maker, line, n, "1.2.3.4:80"));
    slab_validate(maker.slab);
    while (n > 0) delivery_free(maker.slab, all[--n]);
    maker_end(&maker);
}

/* Around the size from which a record never fits: "never" is said of what is refused by an empty
 * slab, and only of that. */
Test(delivery, too_large_for_ever)
{
    static char line[4 * SLAB_PAGE_BYTES];
    unsigned fits = 0, never = 0;
    maker.slab = slab_new(4 * SLAB_PAGE_BYTES);
    for (size_t body = 1; body < 3 * SLAB_PAGE_BYTES; body += 1009) {
        memset(line, 'x', sizeof line);
        int n = snprintf(line, sizeof line, "{\"url\":\"http://1.2.3.4/\",\"body\":\"");
        line[n] = 'x';
        memcpy(line + (size_t)n + body, "\"}", 3);
        struct delivery *d = maker_try(&maker, span_of(line, strlen(line)), 1, "1.2.3.4:80");
        MUST((d == NULL) == maker.never, "%zu bytes", body);
        MUST(d == NULL || never == 0, "%zu bytes fit, fewer did not", body);
        fits += d != NULL;
        never += d == NULL;
        if (d != NULL) delivery_free(maker.slab, d);
    }
    cr_assert_gt(fits, 50);
    cr_assert_gt(never, 50);
    maker_end(&maker);
}

Test(delivery, freeing_nothing, .signal = SIGABRT) { delivery_free(NULL, NULL); }
