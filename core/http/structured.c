/* core/http/structured.c - the algorithms of RFC 9651 section 4.2, named after it.
 *
 *   FIRST ──► PARAMS ──► OVER          PARAMS: a member was read; round again for each ';', ','
 *     │        ▲  │                    any error ──► FAILED
 *     └► INNER ┴──┘
 *
 * Every call moves on by at least one byte or ends the field, so that reading is linear.
 */
#include "core/http/structured.h"

#include "core/http/scan.h"

enum state {
    FIRST,  /* nothing was read */
    PARAMS, /* after an item or inner list, or one of its parameters */
    INNER,  /* in parentheses, before an item or ')' */
    OVER,
    FAILED,
};

enum { INTEGER_DIGITS = 15, DECIMAL_DIGITS = 12, FRACTION_DIGITS = 3 };

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_alpha(char c) { return is_lower((char)(c | 0x20)) && (unsigned char)c < 128; }
/* What a string or display string may hold as it stands. */
static bool is_visible(char c) { return c >= 0x20 && c <= 0x7e; }

static bool over(const struct sf *s) { return s->p == s->end; }
static bool at(const struct sf *s, char c) { return !over(s) && *s->p == c; }

static bool consume(struct sf *s, char c)
{
    if (!at(s, c)) return false;
    s->p++;
    return true;
}

static void discard_sp(struct sf *s)
{
    while (at(s, ' ')) s->p++;
}

static void discard_ows(struct sf *s)
{
    while (at(s, ' ') || at(s, '\t')) s->p++;
}

static enum sf_event fail(struct sf *s)
{
    s->state = FAILED;
    return SF_BAD;
}

/* ---- Bare items. Each is called at its first byte; false: the field is bad. ---- */

/* Digits at s->p: their value and how many; false beyond max of them. */
static bool digits(struct sf *s, int max, int64_t *value, int *count)
{
    *value = 0;
    for (*count = 0; !over(s) && is_digit(*s->p); s->p++) {
        if (++*count > max) return false;
        *value = *value * 10 + (*s->p - '0');
    }
    return true;
}

static bool number(struct sf *s, struct sf_value *v)
{
    int64_t whole, fraction;
    int count;
    bool negative = consume(s, '-');
    if (!digits(s, INTEGER_DIGITS, &whole, &count) || count == 0) return false;
    v->type = SF_INTEGER;
    if (at(s, '.')) {
        s->p++;
        if (count > DECIMAL_DIGITS) return false;
        if (!digits(s, FRACTION_DIGITS, &fraction, &count) || count == 0) return false;
        for (; count < FRACTION_DIGITS; count++) fraction *= 10;
        v->type = SF_DECIMAL;
        whole = whole * 1000 + fraction;
    }
    v->number = negative ? -whole : whole;
    return true;
}

static bool string(struct sf *s, struct sf_value *v)
{
    const char *first = ++s->p;
    for (; !over(s) && is_visible(*s->p); s->p++) {
        if (*s->p == '"') {
            v->type = SF_STRING;
            v->text = span_of(first, (size_t)(s->p++ - first));
            return true;
        }
        if (*s->p == '\\') {
            s->p++;
            if (!at(s, '"') && !at(s, '\\')) return false;
        }
    }
    return false;
}

static bool token(struct sf *s, struct sf_value *v)
{
    const char *first = s->p;
    while (!over(s) && (scan_is_token((unsigned char)*s->p) || *s->p == ':' || *s->p == '/')) {
        s->p++;
    }
    v->type = SF_TOKEN;
    v->text = span_of(first, (size_t)(s->p - first));
    return true;
}

/* Padding may be missing, but what is there must be right; bits beyond the last byte may be any:
 * as section 4.2.7 recommends. */
static bool bytes(struct sf *s, struct sf_value *v)
{
    const char *first = ++s->p;
    while (!over(s) && (is_alpha(*s->p) || is_digit(*s->p) || *s->p == '+' || *s->p == '/')) {
        s->p++;
    }
    size_t data = (size_t)(s->p - first), padded = data;
    while (at(s, '=')) {
        s->p++;
        padded++;
    }
    if (data % 4 == 1 || (padded > data && (padded % 4 != 0 || padded - data > 2))) return false;
    v->type = SF_BYTES;
    v->text = span_of(first, padded);
    return consume(s, ':');
}

static bool boolean(struct sf *s, struct sf_value *v)
{
    s->p++;
    if (!at(s, '0') && !at(s, '1')) return false;
    v->type = SF_BOOLEAN;
    v->number = *s->p++ - '0';
    return true;
}

static bool date(struct sf *s, struct sf_value *v)
{
    s->p++;
    if (!number(s, v) || v->type != SF_INTEGER) return false;
    v->type = SF_DATE;
    return true;
}

/* What the next byte of well-formed UTF-8 (RFC 3629 section 4) may be. */
struct utf8 {
    unsigned left; /* bytes that are due in this character */
    uint8_t low, high;
};

static bool utf8_next(struct utf8 *u, uint8_t byte)
{
    if (u->left > 0) {
        bool good = byte >= u->low && byte <= u->high;
        *u = (struct utf8){u->left - 1, 0x80, 0xbf};
        return good;
    }
    if (byte < 0x80) return true;
    if (byte < 0xc2 || byte > 0xf4) return false;
    *u = (struct utf8){byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3, 0x80, 0xbf};
    if (byte == 0xe0) u->low = 0xa0;  /* else it would be longer than needed */
    if (byte == 0xed) u->high = 0x9f; /* else a surrogate */
    if (byte == 0xf0) u->low = 0x90;
    if (byte == 0xf4) u->high = 0x8f; /* else beyond U+10FFFF */
    return true;
}

/* A lower-case hexadecimal digit, or -1. */
static int hex(const struct sf *s, size_t offset)
{
    if ((size_t)(s->end - s->p) <= offset) return -1;
    char c = s->p[offset];
    if (is_digit(c)) return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool display(struct sf *s, struct sf_value *v)
{
    struct utf8 u = {0, 0, 0};
    s->p++;
    if (!consume(s, '"')) return false;
    const char *first = s->p;
    while (!over(s) && is_visible(*s->p)) {
        char c = *s->p++;
        if (c == '"') {
            v->type = SF_DISPLAY;
            v->text = span_of(first, (size_t)(s->p - 1 - first));
            return u.left == 0;
        }
        uint8_t byte = (uint8_t)c;
        if (c == '%') {
            int high = hex(s, 0), low = hex(s, 1);
            if (high < 0 || low < 0) return false;
            byte = (uint8_t)(high << 4 | low);
            s->p += 2;
        }
        if (!utf8_next(&u, byte)) return false;
    }
    return false;
}

static bool bare_item(struct sf *s, struct sf_value *v)
{
    *v = (struct sf_value){SF_NONE, 0, {NULL, 0}};
    if (over(s)) return false;
    switch (*s->p) {
    case '"': return string(s, v);
    case ':': return bytes(s, v);
    case '?': return boolean(s, v);
    case '@': return date(s, v);
    case '%': return display(s, v);
    default:
        if (*s->p == '-' || is_digit(*s->p)) return number(s, v);
        return (*s->p == '*' || is_alpha(*s->p)) && token(s, v);
    }
}

/* ---- What they are put together to. ---- */

static bool key(struct sf *s)
{
    const char *first = s->p;
    if (over(s) || !(is_lower(*s->p) || *s->p == '*')) return false;
    while (!over(s) && (is_lower(*s->p) || is_digit(*s->p) || *s->p == '_' || *s->p == '-' ||
                        *s->p == '.' || *s->p == '*')) {
        s->p++;
    }
    s->key = span_of(first, (size_t)(s->p - first));
    return true;
}

static enum sf_event item(struct sf *s)
{
    s->state = PARAMS;
    return bare_item(s, &s->value) ? SF_ITEM : fail(s);
}

static enum sf_event member(struct sf *s)
{
    if (s->kind == SF_KIND_DICTIONARY) {
        if (!key(s)) return fail(s);
        if (!consume(s, '=')) {
            s->value = (struct sf_value){SF_BOOLEAN, 1, {NULL, 0}};
            s->state = PARAMS;
            return SF_ITEM;
        }
    }
    if (s->kind != SF_KIND_ITEM && consume(s, '(')) {
        s->inner = true;
        s->state = INNER;
        return SF_INNER;
    }
    return item(s);
}

static enum sf_event inner_next(struct sf *s)
{
    discard_sp(s);
    if (!consume(s, ')')) return item(s);
    s->inner = false;
    s->state = PARAMS;
    return SF_INNER_END;
}

static enum sf_event param(struct sf *s)
{
    s->p++;
    discard_sp(s);
    if (!key(s)) return fail(s);
    s->value = (struct sf_value){SF_BOOLEAN, 1, {NULL, 0}};
    if (consume(s, '=') && !bare_item(s, &s->value)) return fail(s);
    return SF_PARAM;
}

/* No parameter follows. */
static enum sf_event params_over(struct sf *s)
{
    if (s->inner) return at(s, ' ') || at(s, ')') ? inner_next(s) : fail(s);
    if (s->kind == SF_KIND_ITEM) {
        discard_sp(s);
    } else {
        discard_ows(s);
    }
    if (over(s)) {
        s->state = OVER;
        return SF_END;
    }
    if (s->kind == SF_KIND_ITEM || !consume(s, ',')) return fail(s);
    discard_ows(s);
    return over(s) ? fail(s) : member(s);
}

void sf_begin(struct sf *s, enum sf_kind kind, struct span field)
{
    CHECK(field.ptr != NULL || field.len == 0);
    memset(s, 0, sizeof *s);
    s->kind = (uint8_t)kind;
    s->state = FIRST;
    s->p = field.len > 0 ? field.ptr : "";
    s->end = s->p + field.len;
}

enum sf_event sf_next(struct sf *s)
{
    CHECK_HOT(s->p <= s->end);
    switch ((enum state)s->state) {
    case FIRST:
        discard_sp(s);
        if (over(s) && s->kind != SF_KIND_ITEM) {
            s->state = OVER; /* an empty list is one */
            return SF_END;
        }
        return member(s);
    case PARAMS: return at(s, ';') ? param(s) : params_over(s);
    case INNER: return inner_next(s);
    case OVER: return SF_END;
    case FAILED: return SF_BAD;
    }
    UNREACHABLE();
}
