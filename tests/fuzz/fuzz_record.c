/* tests/fuzz/fuzz_record.c - goal: a record is accepted exactly for what stands in its line, and
 * an accepted one can be sent as it was meant.
 *
 * Input: one line. Method: a second JSON checker, slow and recursive, must agree with json_valid()
 * on every input, and must find every accepted record and its object body valid. The verdict, the
 * column and the reason must not depend on what follows the line. An accepted record keeps the
 * rules of delivery.md section 1, survives being written anew and parsed again, and renders to a
 * request with no line end where none belongs.
 */
#include "core/base/check.h"
#include "core/http/request.h"
#include "core/input/json.h"
#include "core/input/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINE_BYTES_MAX = 1 << 16, AGAIN_BYTES_MAX = 8 * LINE_BYTES_MAX };

/* ---- the second checker: each function returns where its part ends, NULL when it is none ---- */

struct text {
    const unsigned char *end;
    unsigned depth;
};

static const unsigned char *space(const struct text *t, const unsigned char *p)
{
    while (p < t->end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
    return p;
}

static const unsigned char *word(const struct text *t, const unsigned char *p, const char *w)
{
    for (; *w != 0; w++, p++)
        if (p >= t->end || *p != (unsigned char)*w) return NULL;
    return p;
}

static const unsigned char *digits(const struct text *t, const unsigned char *p)
{
    const unsigned char *start = p;
    while (p < t->end && *p >= '0' && *p <= '9') p++;
    return p > start ? p : NULL;
}

static const unsigned char *number(const struct text *t, const unsigned char *p)
{
    if (p < t->end && *p == '-') p++;
    if (p < t->end && *p == '0') p++;
    else p = digits(t, p);
    if (p == NULL) return NULL;
    if (p < t->end && *p == '.') p = digits(t, p + 1);
    if (p == NULL) return NULL;
    if (p < t->end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < t->end && (*p == '+' || *p == '-')) p++;
        p = digits(t, p);
    }
    return p;
}

/* One UTF-8 character, decoded to be judged. */
static const unsigned char *character(const struct text *t, const unsigned char *p)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    int n = *p < 0x80             ? 1
            : (*p & 0xe0) == 0xc0 ? 2
            : (*p & 0xf0) == 0xe0 ? 3
            : (*p & 0xf8) == 0xf0 ? 4
                                  : 0;
    if (n == 0 || t->end - p < n) return NULL;
    uint32_t code = n == 1 ? *p : *p & (0x7fu >> n);
    for (int i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) return NULL;
        code = code << 6 | (p[i] & 0x3f);
    }
    if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return NULL;
    return p + n;
}

static const unsigned char *string(const struct text *t, const unsigned char *p)
{
    if (p >= t->end || *p++ != '"') return NULL;
    while (p != NULL && p < t->end) {
        if (*p == '"') return p + 1;
        if (*p < 0x20) return NULL;
        if (*p != '\\') {
            p = character(t, p);
            continue;
        }
        if (t->end - p < 2) return NULL;
        if (p[1] == 'u') {
            if (t->end - p < 6) return NULL;
            for (int i = 2; i < 6; i++)
                if (strchr("0123456789abcdefABCDEF", p[i]) == NULL || p[i] == 0) return NULL;
            p += 6;
        } else {
            if (strchr("\"\\/bfnrt", p[1]) == NULL || p[1] == 0) return NULL;
            p += 2;
        }
    }
    return NULL;
}

static const unsigned char *value(struct text *t, const unsigned char *p);

static const unsigned char *items(struct text *t, const unsigned char *p, char close)
{
    if (++t->depth > LIMIT_JSON_DEPTH) return NULL;
    p = space(t, p + 1);
    if (p < t->end && *p == (unsigned char)close) {
        t->depth--;
        return p + 1;
    }
    for (;;) {
        if (close == '}') {
            p = string(t, space(t, p));
            if (p == NULL) return NULL;
            p = space(t, p);
            if (p >= t->end || *p++ != ':') return NULL;
        }
        p = value(t, p);
        if (p == NULL || p >= t->end) return NULL;
        if (*p == (unsigned char)close) {
            t->depth--;
            return p + 1;
        }
        if (*p++ != ',') return NULL;
    }
}

/* With the white space around it. */
static const unsigned char *value(struct text *t, const unsigned char *p)
{
    p = space(t, p);
    if (p >= t->end) return NULL;
    switch (*p) {
    case '{': p = items(t, p, '}'); break;
    case '[': p = items(t, p, ']'); break;
    case '"': p = string(t, p); break;
    case 't': p = word(t, p, "true"); break;
    case 'f': p = word(t, p, "false"); break;
    case 'n': p = word(t, p, "null"); break;
    default: p = number(t, p); break;
    }
    return p != NULL ? space(t, p) : NULL;
}

static bool valid(struct span s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    struct text t = {p + s.len, 0};
    return s.len > 0 && value(&t, p) == t.end;
}

/* ---- parsing, with different bytes behind the line ---- */

/* A copy of exactly the bytes that may be read. The caller frees it. */
static char *line_with(const uint8_t *data, size_t size, unsigned char filler, int step)
{
    char *line = malloc(size + RECORD_PADDING);
    CHECK(line != NULL);
    if (size > 0) memcpy(line, data, size);
    for (int i = 0; i < RECORD_PADDING; i++) line[size + (size_t)i] = (char)(filler + i * step);
    return line;
}

static bool in(struct span part, struct span whole)
{
    return part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len;
}

static void expect_same(const struct record *a, const struct record *b)
{
    CHECK(span_eq(a->id, b->id));
    CHECK(span_eq(a->key, b->key));
    CHECK(span_eq(a->url_text, b->url_text));
    CHECK(a->method == b->method);
    CHECK(a->headers_count == b->headers_count);
    CHECK(a->header_kinds == b->header_kinds);
    for (uint32_t i = 0; i < a->headers_count; i++) {
        CHECK(span_eq(a->headers[i].name, b->headers[i].name));
        CHECK(span_eq(a->headers[i].value, b->headers[i].value));
    }
    CHECK(a->has_body == b->has_body);
    CHECK(span_eq(a->body, b->body));
    CHECK(span_eq(a->content_type, b->content_type));
    CHECK(a->not_before_ns == b->not_before_ns);
    CHECK(a->deadline_ns == b->deadline_ns);
}

static void expect_reason(const struct reject *why, size_t size)
{
    size_t n = strnlen(why->reason, sizeof why->reason);
    CHECK(n > 0);
    CHECK(n < sizeof why->reason);
    for (size_t i = 0; i < n; i++) CHECK(why->reason[i] >= ' ' && why->reason[i] < 0x7f);
    CHECK(why->column >= 1);
    CHECK(why->column <= size + 1);
}

/* ---- rules of an accepted record ---- */

static void expect_rules(const struct record *r, struct span line)
{
    CHECK(r->url_text.len > 0);
    CHECK(r->url.port > 0);
    CHECK(r->id.len <= LIMIT_ID_BYTES);
    CHECK(header_value_ok(r->id));
    CHECK(header_value_ok(r->key));
    CHECK(r->headers_count <= LIMIT_RECORD_HEADERS);
    for (uint32_t i = 0; i < r->headers_count; i++) {
        const struct header *h = &r->headers[i];
        enum header_kind kind = header_kind_of(h->name);
        CHECK(header_name_ok(h->name));
        CHECK(header_value_ok(h->value));
        CHECK(kind != HEADER_FRAMING);
        CHECK((r->header_kinds & BIT(kind)) != 0);
        for (uint32_t k = 0; k < i; k++) {
            CHECK(!span_eq(h->name, r->headers[k].name));
            CHECK(kind == HEADER_PLAIN || kind != header_kind_of(r->headers[k].name));
        }
    }
    CHECK(!r->has_body || r->method != REQUEST_GET);
    bool json_type = span_eq(r->content_type, SPAN_LIT("application/json"));
    if (r->has_body && in(r->body, line) && r->body.ptr[-1] != '"') {
        CHECK(r->body.ptr[0] == '{');
        CHECK(valid(r->body));
        CHECK(json_type);
    } else if (r->has_body && (r->header_kinds & BIT(HEADER_CONTENT_TYPE)) == 0) {
        CHECK(json_type == valid(r->body) || r->body.len > 500); /* numbers of that length */
    }
}

static struct span user_agent(void) { return SPAN_LIT("hookline/fuzz"); }

static void expect_renders(const struct record *r)
{
    struct request q = {.method = r->method,
                        .url = &r->url,
                        .headers = r->headers,
                        .headers_count = r->headers_count,
                        .kinds_seen = r->header_kinds,
                        .has_body = r->has_body,
                        .body = r->body,
                        .content_type = r->content_type,
                        .user_agent = user_agent(),
                        .idempotency_key = r->id};
    size_t size = request_size(&q);
    char *out = malloc(size);
    CHECK(out != NULL);
    CHECK(request_render(&q, out) == size);
    size_t head = size - (r->has_body ? r->body.len : 0);
    CHECK(head >= 4);
    CHECK(memcmp(out + head - 4, "\r\n\r\n", 4) == 0);
    for (size_t i = 0; i < head; i++) {
        CHECK(out[i] != 0);
        if (out[i] == '\r') CHECK(out[i + 1] == '\n');
        if (out[i] == '\n') CHECK(out[i - 1] == '\r');
        if (i + 4 < head) CHECK(memcmp(out + i, "\r\n\r\n", 4) != 0);
    }
    free(out);
}

/* ---- writing it anew ---- */

static char again[AGAIN_BYTES_MAX + RECORD_PADDING];
static size_t again_len;

static void put(const char *bytes, size_t n)
{
    CHECK(again_len + n <= AGAIN_BYTES_MAX);
    memcpy(again + again_len, bytes, n);
    again_len += n;
}

static void put_text(const char *text) { put(text, strlen(text)); }

static void put_string(struct span s)
{
    put_text("\"");
    for (size_t i = 0; i < s.len; i++) {
        char escape[8];
        unsigned char c = (unsigned char)s.ptr[i];
        int n = snprintf(escape, sizeof escape,
                         c < 0x20 || c == '"' || c == '\\' ? "\\u%04x" : "%c", c);
        put(escape, (size_t)n);
    }
    put_text("\"");
}

static void put_time(const char *name, uint64_t ns)
{
    char text[64];
    if (ns == 0) return;
    snprintf(text, sizeof text, ", \"%s\" : %llu.%09llu", name,
             (unsigned long long)(ns / 1000000000), (unsigned long long)(ns % 1000000000));
    put_text(text);
}

static void write_anew(const struct record *r, bool object_body)
{
    again_len = 0;
    put_text(" { \"request_headers\" : {");
    for (uint32_t i = 0; i < r->headers_count; i++) {
        if (i > 0) put_text(" , ");
        put_string(r->headers[i].name);
        put_text(" :");
        put_string(r->headers[i].value);
    }
    put_text("}, \"request_method\":");
    put_string(request_method_text(r->method));
    put_text(",\"url\":");
    put_string(r->url_text);
    put_text(",\"id\":");
    put_string(r->id);
    put_text(",\"key\":");
    put_string(r->key);
    put_time("not_before", r->not_before_ns);
    put_time("deadline", r->deadline_ns);
    if (r->has_body) put_text(",\"body\":");
    if (r->has_body && object_body) put(r->body.ptr, r->body.len);
    else if (r->has_body) put_string(r->body);
    put_text("}\r");
    memset(again + again_len, '}', RECORD_PADDING);
}

static void expect_survives(const struct record *r, struct span line, struct record_parser *p)
{
    static struct record second;
    struct reject why;
    write_anew(r, r->has_body && in(r->body, line) && r->body.ptr[-1] != '"');
    CHECK(record_parse(p, span_of(again, again_len), &second, &why) == RECORD_OK);
    expect_same(r, &second);
}

/* ---- */

static struct record_parser *first_parser, *second_parser, *third_parser;
static struct json *json;

static void set_up(void)
{
    struct record_rules rules = {.record_bytes_max = LINE_BYTES_MAX};
    first_parser = record_parser_new(&rules);
    second_parser = record_parser_new(&rules);
    rules.record_bytes_max = AGAIN_BYTES_MAX;
    third_parser = record_parser_new(&rules);
    json = json_new(LINE_BYTES_MAX);
    CHECK(first_parser != NULL);
    CHECK(second_parser != NULL);
    CHECK(third_parser != NULL);
    CHECK(json != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct record a, b;
    struct reject why_a = {0}, why_b = {0};
    if (size > LINE_BYTES_MAX) return 0;
    if (first_parser == NULL) set_up();

    char *line_a = line_with(data, size, 0, 0), *line_b = line_with(data, size, '"', 11);
    enum record_status s = record_parse(first_parser, span_of(line_a, size), &a, &why_a);
    CHECK(record_parse(second_parser, span_of(line_b, size), &b, &why_b) == s);

    bool is_json = valid(span_of(line_a, size));
    if (size < 500) { /* a longer text may be one long number, which json_valid() refuses */
        CHECK(json_valid(json, span_of(line_a, size)) == is_json);
        CHECK(json_valid(json, span_of(line_b, size)) == is_json);
    }
    if (s == RECORD_REJECT) {
        CHECK(why_a.column == why_b.column);
        CHECK(strcmp(why_a.reason, why_b.reason) == 0);
        expect_reason(&why_a, size);
    } else if (s == RECORD_OK) {
        CHECK(is_json);
        expect_same(&a, &b);
        expect_rules(&a, span_of(line_a, size));
        expect_renders(&a);
        expect_survives(&a, span_of(line_a, size), third_parser);
    }
    free(line_a);
    free(line_b);
    return 0;
}
