/* core/input/record.c - one line to one webhook: fields, types, limits, and the clause that says
 * what is wrong. The JSON is json.h's business, the meaning of a header core/http's.
 *
 * A reject names keys and header names (printable, cut), never a value: values hold secrets.
 * The first trouble in the line's order wins, but for what only the whole record can show (no
 * url, a body on GET), which comes last.
 *
 * Decisions that delivery.md leaves open: a header name given twice in the same spelling is a
 * duplicate key; in another spelling only where two make no sense (Host, Content-Type, ...).
 * Repeated keys inside a body are the receiver's business, its bytes are passed on. An empty id
 * or key counts as none. Method names are upper case, as in RFC 9110.
 *
 * Memory: strings without escapes are spans of the line, the others are unescaped into one
 * buffer as long as the longest line. Nothing is allocated after record_parser_new().
 * Threads: a parser belongs to one shard.
 */
#include "core/input/record.h"

#include "core/base/check.h"
#include "core/input/json.h"
#include "core/input/record_time.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum field {
    FIELD_ID,
    FIELD_URL,
    FIELD_METHOD,
    FIELD_HEADERS,
    FIELD_BODY,
    FIELD_NOT_BEFORE,
    FIELD_DEADLINE,
    FIELD_KEY,
    FIELD_UNKNOWN,
};

enum { NAMES_KEPT = 16, NAME_KEPT_BYTES = 46 };

/* A header name that was found good. */
struct kept_name {
    uint8_t len; /* 0: none */
    uint8_t kind;
    char bytes[NAME_KEPT_BYTES];
};

struct record_parser {
    struct record_rules rules;
    struct span key_field; /* the name of FIELD_KEY */
    struct json *json;     /* owned */
    char *text;            /* owned: unescaped strings of the record last parsed */
    /* The record being parsed. */
    struct json_walk walk;
    size_t text_used;    /* bytes of text[] */
    struct record *out;  /* lent by record_parse()'s caller */
    struct reject *why;  /* lent by record_parse()'s caller */
    uint32_t seen;       /* BIT(enum field) */
    uint32_t body_at;    /* offset of the body's value */
    const char *context; /* the field whose value is read, NULL outside any */
    /* The names of the records before, each at its place among the headers: the next record has
     * mostly the same, and comparing costs a fifth of judging anew. */
    struct kept_name names[NAMES_KEPT];
    struct url_room url_room; /* for a URL that must be rewritten */
};

enum { NAME_SHOWN_BYTES = 40, NAME_TEXT_BYTES = 4 * NAME_SHOWN_BYTES + 8 };

static const struct span type_json = {"application/json", 16};
static const struct span type_text = {"text/plain; charset=utf-8", 25};

static enum field fixed_field(struct span name)
{
#define IS(lit) (memcmp(name.ptr, "" lit, sizeof(lit) - 1) == 0)
    switch (name.len) {
    case 2: return IS("id") ? FIELD_ID : FIELD_UNKNOWN;
    case 3: return IS("url") ? FIELD_URL : FIELD_UNKNOWN;
    case 4: return IS("body") ? FIELD_BODY : FIELD_UNKNOWN;
    case 6: return IS("method") ? FIELD_METHOD : FIELD_UNKNOWN;
    case 7: return IS("headers") ? FIELD_HEADERS : FIELD_UNKNOWN;
    case 8: return IS("deadline") ? FIELD_DEADLINE : FIELD_UNKNOWN;
    case 10: return IS("not_before") ? FIELD_NOT_BEFORE : FIELD_UNKNOWN;
    case 14: return IS("request_method") ? FIELD_METHOD : FIELD_UNKNOWN; /* Braze's names */
    case 15: return IS("request_headers") ? FIELD_HEADERS : FIELD_UNKNOWN;
    default: return FIELD_UNKNOWN;
    }
#undef IS
}

bool record_key_field_ok(const char *name)
{
    CHECK(name != NULL);
    struct span s = span_of(name, strlen(name));
    return s.len > 0 && s.len <= LIMIT_ID_BYTES && fixed_field(s) == FIELD_UNKNOWN;
}

struct record_parser *record_parser_new(const struct record_rules *rules)
{
    CHECK(rules != NULL);
    CHECK(rules->record_bytes_max > 0);
    const char *key = rules->key_field != NULL ? rules->key_field : "key";
    CHECK(record_key_field_ok(key));
    struct record_parser *p = calloc(1, sizeof *p);
    if (p == NULL) return NULL;
    p->rules = *rules;
    p->key_field = span_of(key, strlen(key));
    p->json = json_new(rules->record_bytes_max);
    p->text = malloc((size_t)rules->record_bytes_max + RECORD_PADDING);
    if (p->json == NULL || p->text == NULL) {
        record_parser_free(p);
        return NULL;
    }
    /* The padding is read (not judged) behind a text that fills the whole buffer. */
    memset(p->text + rules->record_bytes_max, 0, RECORD_PADDING);
    return p;
}

void record_parser_free(struct record_parser *p)
{
    if (p == NULL) return;
    if (p->json != NULL) json_free(p->json);
    free(p->text);
    free(p);
}

/* ---- telling what is wrong ---- */

static bool reject(struct record_parser *p, size_t at, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/* Returns false, so that a caller can return it. */
static bool reject(struct record_parser *p, size_t at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(p->why->reason, sizeof p->why->reason, format, args);
    va_end(args);
    p->why->column = at < UINT32_MAX ? (uint32_t)at + 1 : UINT32_MAX;
    return false;
}

/* The reason that the walk left. */
static bool reject_json(struct record_parser *p)
{
    const struct json_walk *w = &p->walk;
    CHECK(w->why != NULL);
    if (p->context != NULL) return reject(p, w->why_at, "\"%s\": %s", p->context, w->why);
    return reject(p, w->why_at, "%s", w->why);
}

/* A name as text on one line: other than printable ASCII as \xNN, cut. Returns out. */
static const char *name_text(struct span name, char out[NAME_TEXT_BYTES])
{
    size_t o = 0;
    for (size_t i = 0; i < name.len && i < NAME_SHOWN_BYTES; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
            out[o++] = (char)c;
        } else {
            snprintf(out + o, 5, "\\x%02x", c);
            o += 4;
        }
    }
    if (name.len > NAME_SHOWN_BYTES)
        for (int i = 0; i < 3; i++) out[o++] = '.';
    out[o] = 0;
    return out;
}

/* A clause with a name in it. Apart from its callers, so that they need no room for the text. */
static __attribute__((noinline, cold)) bool reject_name(struct record_parser *p, size_t at,
                                                        const char *before, struct span name,
                                                        const char *after)
{
    char shown[NAME_TEXT_BYTES];
    return reject(p, at, "%s \"%s\"%s", before, name_text(name, shown), after);
}

/* ---- strings ---- */

static uint32_t offset_of(const struct record_parser *p, const char *ptr)
{
    return (uint32_t)(ptr - p->walk.text);
}

/* raw without its escapes, in the parser's own memory. */
static __attribute__((noinline)) bool unescape(struct record_parser *p, struct span raw,
                                               struct span *out)
{
    size_t bad = 0;
    out->ptr = p->text + p->text_used;
    if (!json_unescape(raw, p->text + p->text_used, &out->len, &bad)) {
        p->walk.why = "an escape that stands for no character";
        p->walk.why_at = offset_of(p, raw.ptr) + (uint32_t)bad;
        return reject_json(p);
    }
    p->text_used += out->len;
    CHECK_HOT(p->text_used <= p->rules.record_bytes_max);
    return true;
}

/* The string that is the next token, without its escapes. *exact: its bytes are the line's, so
 * that they hold no control character but perhaps DEL: stage 1 has seen to that. */
static inline bool take_string(struct record_parser *p, struct span *out, bool *exact)
{
    struct span raw;
    bool escaped = false;
    if (!json_string(&p->walk, &raw, &escaped)) return reject_json(p);
    *exact = !escaped;
    *out = raw;
    return !escaped || unescape(p, raw, out);
}

/* header_value_ok() of what take_string() gave: a quarter of its cost for the usual string. */
static bool value_ok(struct span value, bool exact)
{
    if (!exact) return header_value_ok(value);
    return value.len == 0 || memchr(value.ptr, 0x7f, value.len) == NULL;
}

/* The same for the value of a field. */
static bool field_string(struct record_parser *p, struct span *out, bool *exact)
{
    if (json_next(&p->walk) != '"')
        return reject(p, *p->walk.token, "\"%s\" must be a string", p->context);
    return take_string(p, out, exact);
}

/* A key and its colon; a value, or at least a token, follows. */
static inline __attribute__((always_inline)) bool take_key(struct record_parser *p,
                                                           struct span *name)
{
    bool exact = false;
    if (json_next(&p->walk) != '"') {
        json_fail(&p->walk, "a key must stand here");
        return reject_json(p);
    }
    if (!take_string(p, name, &exact)) return false;
    if (json_next(&p->walk) != ':') {
        json_fail(&p->walk, "':' must stand here");
        return reject_json(p);
    }
    p->walk.token++;
    if (json_at_end(&p->walk)) { /* so that no field complains of a missing value's type */
        json_fail(&p->walk, "");
        return reject_json(p);
    }
    return true;
}

enum after { AFTER_BAD, AFTER_MORE, AFTER_END };

/* Steps over what follows a value in an object. */
static enum after take_after(struct record_parser *p)
{
    struct json_walk *w = &p->walk;
    char c = json_next(w);
    if ((c == ',' || c == '}') && !json_at_end(w)) {
        w->token++;
        return c == ',' ? AFTER_MORE : AFTER_END;
    }
    json_fail(w, "',' or '}' must stand here");
    reject_json(p);
    return AFTER_BAD;
}

/* Steps into the object that is the next token; false: it is empty, and stepped over. */
static bool open_object(struct record_parser *p)
{
    struct json_walk *w = &p->walk;
    CHECK_HOT(json_next(w) == '{');
    w->token++;
    if (json_next(w) != '}' || json_at_end(w)) return true;
    w->token++;
    return false;
}

/* ---- fields ---- */

/* An id or a key: both may be written into a header or a log line. */
static bool take_name(struct record_parser *p, struct span *out)
{
    uint32_t at = *p->walk.token;
    bool exact = false;
    if (!field_string(p, out, &exact)) return false;
    if (out->len > LIMIT_ID_BYTES)
        return reject(p, at, "\"%s\" is longer than %d bytes", p->context, LIMIT_ID_BYTES);
    if (!value_ok(*out, exact)) return reject(p, at, "\"%s\" has a control character", p->context);
    return true;
}

static bool take_url(struct record_parser *p)
{
    struct record *r = p->out;
    uint32_t at = *p->walk.token;
    bool exact = false;
    size_t bad = 0;
    if (json_next(&p->walk) != '"') return reject(p, at, "\"url\" must be a string");
    if (!take_string(p, &r->url_text, &exact)) return false;
    enum url_error e = url_read(r->url_text, &p->url_room, &r->url, &bad);
    if (e != URL_OK) return reject(p, at + (exact ? 1 + bad : 0), "\"url\": %s", url_error_text(e));
    const uint8_t *ports = p->rules.ports;
    uint32_t port = r->url.port;
    if (ports != NULL && (ports[port / 8] & BIT(port % 8)) == 0)
        return reject(p, at, "\"url\": port %u is not among --ports", port);
    return true;
}

static bool take_method(struct record_parser *p)
{
    struct span text;
    uint32_t at = *p->walk.token;
    bool exact = false;
    if (!field_string(p, &text, &exact)) return false;
    for (int m = 0; m < REQUEST_METHOD_COUNT; m++) {
        if (span_eq(text, request_method_text((enum request_method)m))) {
            p->out->method = (enum request_method)m;
            return true;
        }
    }
    return reject(p, at, "\"%s\" must be GET, POST, PUT or DELETE", p->context);
}

/* NULL: the name may be added to those before it. Otherwise why not. */
static const char *name_refused(const struct record *r, struct span name, enum header_kind kind)
{
    if (kind == HEADER_FRAMING) return " frames the message and may not be set";
    if (kind != HEADER_PLAIN && (r->header_kinds & BIT(kind)) != 0) return " is given twice";
    for (uint32_t i = 0; i < r->headers_count; i++)
        if (span_eq(r->headers[i].name, name)) return " is a duplicate key";
    return NULL;
}

/* False: name is no header name. Otherwise its kind, for the header at this place. */
static bool name_kind(struct record_parser *p, uint32_t place, struct span name,
                      enum header_kind *kind)
{
    struct kept_name *k = &p->names[place % NAMES_KEPT];
    if (name.len == k->len && name.len > 0 && memcmp(name.ptr, k->bytes, name.len) == 0) {
        *kind = k->kind;
        return true;
    }
    if (!header_name_ok(name)) return false;
    *kind = header_kind_of(name);
    if (name.len <= NAME_KEPT_BYTES) {
        k->len = (uint8_t)name.len;
        k->kind = (uint8_t)*kind;
        memcpy(k->bytes, name.ptr, name.len);
    }
    return true;
}

static bool take_header(struct record_parser *p)
{
    struct record *r = p->out;
    struct header *h = &r->headers[r->headers_count];
    bool exact = false;
    uint32_t at = *p->walk.token;
    if (!take_key(p, &h->name)) return false;
    enum header_kind kind;
    if (!name_kind(p, r->headers_count, h->name, &kind))
        return reject_name(p, at, "header name", h->name, " is not a token");
    const char *refused = name_refused(r, h->name, kind);
    if (refused != NULL) return reject_name(p, at, "header", h->name, refused);
    at = *p->walk.token;
    if (json_next(&p->walk) != '"')
        return reject_name(p, at, "header", h->name, " must be a string");
    if (!take_string(p, &h->value, &exact)) return false;
    if (!value_ok(h->value, exact))
        return reject_name(p, at, "header", h->name, " has a control character in its value");
    r->header_kinds |= BIT(kind);
    r->headers_count++;
    return true;
}

static bool take_headers(struct record_parser *p)
{
    if (json_next(&p->walk) != '{')
        return reject(p, *p->walk.token, "\"%s\" must be an object", p->context);
    if (!open_object(p)) return true;
    for (;;) { /* ends with the tokens */
        if (p->out->headers_count == LIMIT_RECORD_HEADERS)
            return reject(p, *p->walk.token, "more than %d headers", LIMIT_RECORD_HEADERS);
        if (!take_header(p)) return false;
        enum after after = take_after(p);
        if (after != AFTER_MORE) return after == AFTER_END;
    }
}

static bool take_body(struct record_parser *p)
{
    struct json_walk *w = &p->walk;
    struct record *r = p->out;
    bool exact = false;
    p->body_at = *w->token;
    r->has_body = true;
    r->content_type = type_json;
    switch (json_next(w)) {
    case '{':
        if (!json_skip(w, 1)) return reject_json(p);
        r->body = span_of(w->text + p->body_at, w->token[-1] + 1 - p->body_at);
        return true;
    case '"': r->content_type = type_text; return field_string(p, &r->body, &exact);
    case '[':
        return reject(p, p->body_at, "\"body\" is an array; it must be an object or a string");
    default: return reject(p, p->body_at, "\"body\" must be an object or a string");
    }
}

static bool take_time(struct record_parser *p, uint64_t *ns)
{
    struct span text;
    uint32_t at = *p->walk.token;
    const char *wrong;
    bool exact = false;
    char c = json_next(&p->walk);
    if (c == '"') {
        if (!field_string(p, &text, &exact)) return false;
        wrong = record_time_text(text, ns);
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        if (!json_number(&p->walk, &text)) return reject_json(p);
        wrong = record_time_number(text, ns);
    } else {
        return reject(p, at, "\"%s\" must be an RFC 3339 time or epoch seconds", p->context);
    }
    return wrong == NULL || reject(p, at, "\"%s\" %s", p->context, wrong);
}

static bool take_value(struct record_parser *p, enum field f)
{
    struct record *r = p->out;
    switch (f) {
    case FIELD_ID: return take_name(p, &r->id);
    case FIELD_URL: return take_url(p);
    case FIELD_METHOD: return take_method(p);
    case FIELD_HEADERS: return take_headers(p);
    case FIELD_BODY: return take_body(p);
    case FIELD_NOT_BEFORE: return take_time(p, &r->not_before_ns);
    case FIELD_DEADLINE: return take_time(p, &r->deadline_ns);
    case FIELD_KEY: return take_name(p, &r->key);
    case FIELD_UNKNOWN: break;
    }
    UNREACHABLE();
}

static const char *field_name(const struct record_parser *p, enum field f)
{
    static const char *const names[] = {
        [FIELD_ID] = "id",
        [FIELD_URL] = "url",
        [FIELD_METHOD] = "method",
        [FIELD_HEADERS] = "headers",
        [FIELD_BODY] = "body",
        [FIELD_NOT_BEFORE] = "not_before",
        [FIELD_DEADLINE] = "deadline",
    };
    return f == FIELD_KEY ? p->key_field.ptr : names[f];
}

static bool take_field(struct record_parser *p)
{
    struct span name;
    uint32_t at = *p->walk.token;
    p->context = NULL;
    if (!take_key(p, &name)) return false;
    enum field f = fixed_field(name);
    if (f == FIELD_UNKNOWN && span_eq(name, p->key_field)) f = FIELD_KEY;
    if (f == FIELD_UNKNOWN) return reject_name(p, at, "unknown key", name, "");
    p->context = field_name(p, f);
    if ((p->seen & BIT(f)) != 0) {
        bool other = !span_eq(name, span_of(p->context, strlen(p->context)));
        return reject_name(p, at, "duplicate key", name,
                           other ? ", another name of one that was given" : "");
    }
    p->seen |= BIT(f);
    return take_value(p, f);
}

/* ---- the record ---- */

static void record_init(struct record *r)
{
    r->id = r->key = r->body = r->content_type = r->url_text = span_of(NULL, 0);
    r->method = REQUEST_POST;
    r->headers_count = 0;
    r->header_kinds = 0;
    r->has_body = false;
    r->not_before_ns = r->deadline_ns = 0;
}

static bool take_record(struct record_parser *p)
{
    struct json_walk *w = &p->walk;
    p->context = NULL;
    if (json_next(w) != '{') return reject(p, *w->token, "the record is not a JSON object");
    if (open_object(p)) {
        enum after after;
        do {
            if (!take_field(p)) return false;
            p->context = NULL;
            after = take_after(p);
        } while (after == AFTER_MORE);
        if (after == AFTER_BAD) return false;
    }
    if (!json_at_end(w)) return reject(p, *w->token, "something follows the record's object");
    return true;
}

/* True when a raw text is to be labelled as JSON. The first byte rules out most other text. */
static bool text_is_json(struct record_parser *p, struct span text)
{
    size_t i = 0;
    while (i < text.len && json_is_space(text.ptr[i])) i++;
    if (i == text.len || memchr("{[\"-0123456789tfn", text.ptr[i], 17) == NULL) return false;
    return json_valid(p->json, text);
}

/* What only the whole record can show. */
static bool judge(struct record_parser *p)
{
    struct record *r = p->out;
    if ((p->seen & BIT(FIELD_URL)) == 0) return reject(p, 0, "\"url\" is missing");
    if (r->has_body && r->method == REQUEST_GET)
        return reject(p, p->body_at, "\"body\" is given, but GET carries none");
    if (!r->has_body || (r->header_kinds & BIT(HEADER_CONTENT_TYPE)) != 0) return true;
    if (r->content_type.ptr == type_text.ptr && text_is_json(p, r->body))
        r->content_type = type_json;
    return true;
}

static bool is_blank(struct span line)
{
    for (size_t i = 0; i < line.len; i++)
        if (!json_is_space(line.ptr[i])) return false;
    return true;
}

enum record_status record_parse(struct record_parser *p, struct span line, struct record *out,
                                struct reject *why)
{
    CHECK(p != NULL);
    CHECK(out != NULL);
    CHECK(why != NULL);
    if (is_blank(line)) return RECORD_BLANK;
    p->out = out;
    p->why = why;
    p->seen = 0;
    p->text_used = 0;
    p->context = NULL;
    record_init(out);
    if (line.len > p->rules.record_bytes_max) {
        reject(p, p->rules.record_bytes_max, "the line has %zu bytes, --max-record is %u", line.len,
               p->rules.record_bytes_max);
        return RECORD_REJECT;
    }
    if (!json_scan(p->json, line, &p->walk)) {
        reject_json(p);
        return RECORD_REJECT;
    }
    return take_record(p) && judge(p) ? RECORD_OK : RECORD_REJECT;
}
