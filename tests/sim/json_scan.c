#include "tests/sim/json_scan.h"

#include "tests/sim/world.h"

#include <string.h>

struct scan {
    const char *at, *end;
};

static char peek(const struct scan *s)
{
    RULE(s->at < s->end, "a line of JSON ends too early");
    return *s->at;
}

static void expect(struct scan *s, char c)
{
    RULE(peek(s) == c, "'%c' where '%c' was expected in JSON: %.*s", *s->at, c,
         (int)(s->end - s->at), s->at);
    s->at++;
}

static struct jscan_value string(struct scan *s)
{
    expect(s, '"');
    struct jscan_value v = {s->at, 0, true};
    while (peek(s) != '"') {
        RULE((unsigned char)*s->at >= 32, "a control character inside a JSON string");
        s->at += *s->at == '\\' ? 2 : 1;
    }
    v.len = (size_t)(s->at - v.at);
    s->at++;
    return v;
}

/* Any value: nested ones by counting brackets outside strings. */
static struct jscan_value value(struct scan *s)
{
    if (peek(s) == '"') return string(s);
    struct jscan_value v = {s->at, 0, false};
    int depth = 0;
    while (depth > 0 || (peek(s) != ',' && *s->at != '}')) {
        if (peek(s) == '"') {
            (void)string(s);
            continue;
        }
        if (*s->at == '{' || *s->at == '[') depth++;
        if (*s->at == '}' || *s->at == ']') depth--;
        s->at++;
    }
    v.len = (size_t)(s->at - v.at);
    RULE(v.len > 0, "a JSON key without a value");
    return v;
}

static bool same(const struct jscan_value *v, const char *text, size_t len)
{
    return v->len == len && memcmp(v->at, text, len) == 0;
}

void jscan_read(struct jscan *j, const char *text, size_t len)
{
    struct scan s = {text, text + len};
    j->text = text;
    j->len = len;
    j->count = 0;
    expect(&s, '{');
    while (peek(&s) != '}') {
        RULE(j->count < JSCAN_MEMBERS_MAX, "too many members: %.*s", (int)len, text);
        struct jscan_value key = string(&s);
        expect(&s, ':');
        for (uint32_t i = 0; i < j->count; i++)
            RULE(!same(&key, j->key[i].at, j->key[i].len), "a key twice: %.*s", (int)len, text);
        j->key[j->count] = key;
        j->value[j->count++] = value(&s);
        if (peek(&s) == ',') s.at++;
        else RULE(peek(&s) == '}', "no comma between JSON members: %.*s", (int)len, text);
    }
    expect(&s, '}');
    RULE(s.at == s.end, "bytes after a line's JSON object: %.*s", (int)len, text);
}

const struct jscan_value *jscan_find(const struct jscan *j, const char *key)
{
    size_t len = strlen(key);
    for (uint32_t i = 0; i < j->count; i++)
        if (same(&j->key[i], key, len)) return &j->value[i];
    return NULL;
}

bool jscan_is(const struct jscan *j, const char *key, const char *text)
{
    const struct jscan_value *v = jscan_find(j, key);
    return v != NULL && same(v, text, strlen(text));
}

static struct jscan_value must_find(const struct jscan *j, const char *key)
{
    const struct jscan_value *v = jscan_find(j, key);
    RULE(v != NULL, "no %s in %.*s", key, (int)j->len, j->text);
    return *v;
}

/* Digits from text[from]; stops at the first other byte, at most `most` of them. */
static uint64_t digits(struct jscan_value v, size_t from, size_t most, size_t *used)
{
    uint64_t n = 0;
    size_t i = from;
    for (; i < v.len && i - from < most && v.at[i] >= '0' && v.at[i] <= '9'; i++)
        n = n * 10 + (uint64_t)(v.at[i] - '0');
    *used = i - from;
    return n;
}

uint64_t jscan_number(const struct jscan *j, const char *key)
{
    struct jscan_value v = must_find(j, key);
    size_t used;
    uint64_t n = digits(v, 0, 20, &used);
    RULE(!v.string && used > 0 && used == v.len, "%s is no number: %.*s", key, (int)v.len, v.at);
    return n;
}

uint64_t jscan_ms(const struct jscan *j, const char *key)
{
    struct jscan_value v = must_find(j, key);
    size_t used, fraction_used = 0;
    uint64_t ms = digits(v, 0, 20, &used), fraction = 0;
    RULE(!v.string && used > 0, "%s is no number: %.*s", key, (int)v.len, v.at);
    if (used < v.len && v.at[used] == '.') {
        fraction = digits(v, used + 1, 6, &fraction_used);
        RULE(fraction_used > 0 && used + 1 + fraction_used == v.len, "%s: %.*s", key, (int)v.len,
             v.at);
    } else {
        RULE(used == v.len, "%s is no number: %.*s", key, (int)v.len, v.at);
    }
    for (size_t i = fraction_used; i < 6; i++) fraction *= 10;
    return ms * 1000000 + fraction;
}

uint64_t jscan_time(const struct jscan *j, const char *key)
{
    static const uint32_t days_before[] = {0,   31,  59,  90,  120, 151, 181,
                                           212, 243, 273, 304, 334, 365};
    static const struct {
        size_t at, count;
    } parts[] = {{0, 4}, {5, 2}, {8, 2}, {11, 2}, {14, 2}, {17, 2}, {20, 6}};
    struct jscan_value v = must_find(j, key);
    RULE(v.string && v.len == 27 && v.at[10] == 'T' && v.at[26] == 'Z', "%s: %.*s", key, (int)v.len,
         v.at);
    uint64_t n[7];
    for (size_t i = 0; i < 7; i++) {
        size_t used;
        n[i] = digits(v, parts[i].at, parts[i].count, &used);
        RULE(used == parts[i].count, "%s: %.*s", key, (int)v.len, v.at);
    }
    RULE(n[1] >= 1 && n[1] <= 12 && n[2] >= 1 && n[2] <= 31, "%s: %.*s", key, (int)v.len, v.at);
    uint64_t days = 0;
    for (uint64_t y = 1970; y < n[0]; y++)
        days += 365 + (y % 4 == 0 && (y % 100 != 0 || y % 400 == 0) ? 1 : 0);
    days += days_before[n[1] - 1] + n[2] - 1;
    if (n[1] > 2 && n[0] % 4 == 0 && (n[0] % 100 != 0 || n[0] % 400 == 0)) days++;
    return ((days * 24 + n[3]) * 60 + n[4]) * UINT64_C(60000000000) + n[5] * UINT64_C(1000000000) +
           n[6] * 1000;
}

size_t jscan_text(const struct jscan_value *v, char *out, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < v->len; i++) {
        char c = v->at[i];
        CHECK(n + 4 < room);
        if (c != '\\') {
            out[n++] = c;
            continue;
        }
        c = v->at[++i];
        if (c == 'u') {
            uint32_t code = 0;
            for (size_t k = 0; k < 4; k++) {
                char h = v->at[++i];
                code = code * 16 + (uint32_t)(h <= '9' ? h - '0' : (h | 32) - 'a' + 10);
            }
            RULE(code < 0x800, "the referee reads no \\u%04x", code);
            if (code < 0x80) {
                out[n++] = (char)code;
            } else {
                out[n++] = (char)(0xC0 | (code >> 6));
                out[n++] = (char)(0x80 | (code & 63));
            }
        } else {
            static const char from[] = "ntrbf\"\\/", to[] = "\n\t\r\b\f\"\\/";
            const char *at = memchr(from, c, sizeof from - 1);
            RULE(at != NULL, "an escape that JSON has not: \\%c", c);
            out[n++] = to[at - from];
        }
    }
    return n;
}
