/* core/input/json_walk.c - follows the grammar of RFC 8259 over the tokens that json.cc found.
 *
 * What stage 1 has settled is not looked at again: a token that begins with a quote is a string
 * that is closed, holds valid UTF-8 and no control character. What is left: the order of tokens,
 * numbers, literals, and the escapes in strings. Most lines hold no backslash at all, so the
 * offset of the next one is kept and each string costs one comparison.
 *
 * Strictness: exactly the grammar. A lone surrogate escape ("\ud800") is in the grammar, so it
 * may stand in a body that is passed on as it is, but not in a string that must be unescaped.
 *
 * Limits: nesting to LIMIT_JSON_DEPTH. Pure but for the json's index; one thread.
 */
#include "core/base/check.h"
#include "core/input/json.h"

#include <string.h>

static bool fail_at(struct json_walk *w, size_t at, const char *why)
{
    w->why = why;
    w->why_at = (uint32_t)at;
    return false;
}

bool json_fail(struct json_walk *w, const char *why)
{
    if (json_at_end(w)) return fail_at(w, w->len, "the JSON ends too early");
    return fail_at(w, *w->token, why);
}

/* Sets w->escape to the first backslash at `from` or later. */
static void find_escape(struct json_walk *w, uint32_t from)
{
    const char *found = from < w->len ? memchr(w->text + from, '\\', w->len - from) : NULL;
    w->escape = found == NULL ? UINT32_MAX : (uint32_t)(found - w->text);
}

/* Bytes of the UTF-8 character at p, 0 if it is broken (Unicode 15, table 3-7). */
static size_t utf8_char(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80) return 1;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < n) return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if (p[0] == 0xe0 && p[1] < 0xa0) return 0; /* overlong */
    if (p[0] == 0xed && p[1] > 0x9f) return 0; /* surrogates */
    if (p[0] == 0xf0 && p[1] < 0x90) return 0; /* overlong */
    if (p[0] == 0xf4 && p[1] > 0x8f) return 0; /* beyond U+10FFFF */
    return n;
}

/* Stage 1 says that something is wrong, not what nor where: look again, byte by byte. */
static bool explain(struct json_walk *w)
{
    const unsigned char *text = (const unsigned char *)w->text;
    bool in_string = false;
    size_t opened = 0;
    for (size_t i = 0, n; i < w->len; i += n) {
        n = utf8_char(text + i, w->len - i);
        if (n == 0) return fail_at(w, i, "invalid UTF-8");
        unsigned char c = text[i];
        if (in_string && c < 0x20) return fail_at(w, i, "a control character in a string");
        if (!in_string && c == '\\') return fail_at(w, i, "a backslash outside a string");
        if (c == '"') {
            in_string = !in_string;
            opened = i;
        }
        /* An escaped byte that begins a character is judged by the next turn. */
        if (c == '\\' && i + 1 < w->len && (text[i + 1] == '"' || text[i + 1] == '\\')) n = 2;
    }
    if (in_string) return fail_at(w, opened, "a string that is not closed");
    return fail_at(w, w->len, "the JSON ends too early");
}

bool json_scan(struct json *j, struct span text, struct json_walk *w)
{
    CHECK(j != NULL);
    CHECK(text.len < UINT32_MAX);
    uint32_t count = 0;
    w->text = text.ptr;
    w->len = (uint32_t)text.len;
    w->why = NULL;
    if (text.len == 0) return fail_at(w, 0, "the JSON ends too early");
    if (!json_index(j, text.ptr, w->len, &w->token, &count)) return explain(w);
    w->end = w->token + count;
    find_escape(w, 0);
    return true;
}

static bool is_digit(char c) { return (unsigned char)(c - '0') < 10; }

/* The length of the number at p, 0 if it is none. A byte that is in no number follows. */
static uint32_t number_len(const char *p)
{
    const char *start = p;
    if (*p == '-') p++;
    if (!is_digit(*p)) return 0;
    if (*p == '0') p++;
    else
        while (is_digit(*p)) p++;
    if (*p == '.') {
        if (!is_digit(*++p)) return 0;
        while (is_digit(*p)) p++;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '+' || *p == '-') p++;
        if (!is_digit(*p)) return 0;
        while (is_digit(*p)) p++;
    }
    return (uint32_t)(p - start);
}

/* True when nothing but white space lies between offset `at` and the token after the next. A
 * digit or letter there belongs to no token of its own: "12x" is one token. */
static bool ends_clean(const struct json_walk *w, uint32_t at)
{
    for (; at < w->token[1]; at++)
        if (!json_is_space(w->text[at])) return false;
    return true;
}

/* The next token begins with neither bracket nor quote. The last token of a text is no concern
 * of this (see scalar_text_ok()), so a token follows it, whose
 * first byte ends every loop here. */
static bool scalar_ok(struct json_walk *w, uint32_t *len)
{
    if (w->token + 1 >= w->end) return fail_at(w, w->len, "the JSON ends too early");
    const char *p = w->text + *w->token;
    const char *why = "not a JSON value";
    *len = 0;
    switch (*p) {
    case 't':
        if (memcmp(p, "true", 4) == 0) *len = 4;
        break;
    case 'n':
        if (memcmp(p, "null", 4) == 0) *len = 4;
        break;
    case 'f':
        if (memcmp(p, "false", 5) == 0) *len = 5;
        break;
    case '-':
    case '0' ... '9':
        *len = number_len(p);
        why = "a malformed number";
        break;
    default: break;
    }
    if (*len == 0 || !ends_clean(w, *w->token + *len)) return json_fail(w, why);
    return true;
}

static int hex4(const char *p)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = is_digit(c)            ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* Bytes of the escape at p (a backslash; n bytes up to the closing quote), 0 if it is none. */
static uint32_t escape_len(const char *p, size_t n)
{
    if (n < 2) return 0;
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't': return 2;
    case 'u': return n >= 6 && hex4(p + 2) >= 0 ? 6 : 0;
    default: return 0;
    }
}

bool json_string_escapes(struct json_walk *w)
{
    uint32_t stop = w->token + 1 < w->end ? w->token[1] : w->len;
    while (w->escape < stop) {
        uint32_t n = escape_len(w->text + w->escape, stop - w->escape);
        if (n == 0) return fail_at(w, w->escape, "a broken escape in a string");
        find_escape(w, w->escape + n);
    }
    return true;
}

/* The key that is the next token, and its colon: the slow way, for escapes and for reasons. */
static bool skip_key(struct json_walk *w)
{
    if (json_next(w) != '"') return json_fail(w, "a key must stand here");
    if (w->token[1] > w->escape && !json_string_escapes(w)) return false;
    w->token++;
    if (json_next(w) != ':') return json_fail(w, "':' must stand here");
    w->token++;
    return true;
}

/* Most numbers are a few digits: true when all up to the token after t is that. The last token,
 * behind which stands itself once more, never is. */
static inline bool is_plain_number(const char *text, const uint32_t *t)
{
    const char *p = text + t[0], *stop = text + t[1];
    if (*p < '1') return false;
    while (p < stop && is_digit(*p)) p++;
    return p == stop;
}

static bool fail_token(struct json_walk *w, const uint32_t *t, const char *why)
{
    w->token = t;
    return json_fail(w, why);
}

/* One scalar at t that is neither the usual string nor a plain number. */
static bool scalar_slow(struct json_walk *w, const uint32_t *t)
{
    uint32_t len = 0;
    w->token = t;
    return w->text[*t] == '"' ? json_string_escapes(w) : scalar_ok(w, &len);
}

/* json_skip() of a container. The walk's place is kept in t, so that it stays in a register, and
 * the places in the grammar are labels: for a body of 66 tokens 760 instructions, where a loop on
 * w->token took 1,220. escapes is a constant: false when no backslash is left in the text. */
static inline __attribute__((always_inline)) bool skip_container(struct json_walk *w,
                                                                 uint32_t depth, bool escapes)
{
    char stack[LIMIT_JSON_DEPTH]; /* the containers around the one that is read */
    const char *const text = w->text;
    const uint32_t *t = w->token;
    const uint32_t base = depth;
    char c, top = 0; /* the bracket of the container that is read */

value:
    c = text[*t];
    if (c == '"') {
        if (escapes && t[1] > w->escape && !scalar_slow(w, t)) return false;
    } else if (c == '{' || c == '[') {
        if (t >= w->end) return fail_token(w, t, "");
        if (depth >= LIMIT_JSON_DEPTH) return fail_token(w, t, "nested deeper than 256");
        stack[depth++] = top;
        top = c;
        t++;
        if (text[*t] == top + 2) goto close; /* '{' + 2 is '}', '[' + 2 is ']' */
        if (top == '[') goto value;
        goto key;
    } else if (!is_plain_number(text, t) && !scalar_slow(w, t)) {
        return false;
    }
    t++;
after:
    c = text[*t];
    if (c != ',') {
        if (c == top + 2) goto close;
        return fail_token(w, t,
                          top == '{' ? "',' or '}' must stand here" : "',' or ']' must stand here");
    }
    t++;
    if (top == '[') goto value;
key:
    if (text[t[0]] == '"' && text[t[1]] == ':' && !(escapes && t[1] > w->escape)) {
        t += 2;
        goto value;
    }
    w->token = t;
    if (!skip_key(w)) return false;
    t = w->token;
    goto value;
close:
    if (t >= w->end) return fail_token(w, t, "");
    t++;
    top = stack[--depth];
    if (depth > base) goto after;
    w->token = t;
    return true;
}

bool json_skip(struct json_walk *w, uint32_t depth)
{
    CHECK_HOT(w->token <= w->end);
    CHECK_HOT(depth <= LIMIT_JSON_DEPTH);
    char c = json_next(w);
    if (c == '{' || c == '[')
        return w->escape == UINT32_MAX ? skip_container(w, depth, false)
                                       : skip_container(w, depth, true);
    if (!scalar_slow(w, w->token)) return false;
    w->token++;
    return true;
}
_Static_assert(LIMIT_JSON_DEPTH == 256, "a reason names it");

bool json_number(struct json_walk *w, struct span *raw)
{
    uint32_t len = 0;
    if (!scalar_ok(w, &len)) return false;
    *raw = span_of(w->text + *w->token, len);
    w->token++;
    return true;
}

static size_t utf8_put(uint32_t code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* The character of the \u escape at p, and the bytes it takes: 6, or 12 with its low surrogate.
 * 0 bytes: a lone surrogate, or broken. */
static uint32_t unicode_escape(const char *p, size_t n, uint32_t *code)
{
    int high = n >= 6 ? hex4(p + 2) : -1;
    if (high < 0) return 0;
    *code = (uint32_t)high;
    if (high < 0xd800 || high > 0xdfff) return 6;
    int low = high < 0xdc00 && n >= 12 && p[6] == '\\' && p[7] == 'u' ? hex4(p + 8) : -1;
    if (low < 0xdc00 || low > 0xdfff) return 0;
    *code = 0x10000 + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
    return 12;
}

/* One escape at p to out. Returns its bytes, 0 if it is broken. */
static uint32_t unescape_one(const char *p, size_t n, char *out, size_t *written)
{
    static const char to[256] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                 ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
    if (n < 2) return 0;
    if (p[1] == 'u') {
        uint32_t code = 0, used = unicode_escape(p, n, &code);
        if (used > 0) *written = utf8_put(code, out);
        return used;
    }
    *out = to[(unsigned char)p[1]];
    *written = 1;
    return *out != 0 ? 2 : 0;
}

bool json_unescape(struct span raw, char *out, size_t *out_len, size_t *bad)
{
    size_t in = 0, o = 0;
    while (in < raw.len) {
        const char *next = memchr(raw.ptr + in, '\\', raw.len - in);
        size_t plain = (next == NULL ? raw.len : (size_t)(next - raw.ptr)) - in;
        memcpy(out + o, raw.ptr + in, plain);
        in += plain;
        o += plain;
        /* Escapes often follow each other closely: look for the next one without memchr. */
        while (in < raw.len && raw.ptr[in] == '\\') {
            size_t written = 0;
            uint32_t used = unescape_one(raw.ptr + in, raw.len - in, out + o, &written);
            if (used == 0) {
                *bad = in;
                return false;
            }
            in += used;
            o += written;
        }
    }
    *out_len = o;
    return true;
}

/* A text that is one scalar: the walk relies on a token after it. */
static bool scalar_text_ok(const struct json_walk *w)
{
    char copy[512];
    struct span s = span_of(w->text + *w->token, w->len - *w->token);
    while (json_is_space(s.ptr[s.len - 1])) s.len--; /* the token itself is not space */
    if (*s.ptr == '"') {                             /* stage 1 has seen to the rest */
        struct json_walk one = *w;
        return json_string_escapes(&one);
    }
    if (span_eq(s, SPAN_LIT("true")) || span_eq(s, SPAN_LIT("false"))) return true;
    if (span_eq(s, SPAN_LIT("null"))) return true;
    if (s.len >= sizeof copy) return false; /* no number anybody sends */
    memcpy(copy, s.ptr, s.len);             /* bytes beyond the text may be digits */
    copy[s.len] = 0;
    return number_len(copy) == s.len;
}

bool json_valid(struct json *j, struct span text)
{
    struct json_walk w;
    if (!json_scan(j, text, &w)) return false;
    if (w.end - w.token == 1) return scalar_text_ok(&w);
    return json_skip(&w, 0) && json_at_end(&w);
}
