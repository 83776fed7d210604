/* core/http/url_read.c - any URL, by rewriting it to the normal form that url_parse() takes.
 *
 * The steps are WHATWG's for a special scheme: spaces around the URL and the fragment are dropped;
 * userinfo, path and query are percent-encoded by their sets; dot segments are resolved; the host
 * is percent-decoded, goes through IDNA, and, if its last label is a number, through the IPv4
 * parser, which knows hexadecimal and octal numbers and fewer than four of them. url_parse() then
 * judges what came out, and nothing that it refuses gets through; what WHATWG accepts and we do not
 * is told at the head of url.h.
 *
 * This is the slow way: it runs for the few URLs that are not in normal form.
 */
#include "core/http/idna.h"
#include "core/http/url.h"
#include "core/http/url_parts.h"

#include "core/base/check.h"
#include "core/base/stamp.h"

#include <string.h>

enum part { PART_SCHEME, PART_USERINFO, PART_HOST, PART_PORT, PART_PATH, PART_COUNT };

struct rewrite {
    const char *p, *end; /* what is left of the text; on an error *p is the offending byte */
    char *to;
    struct url_room *room;
    const char *from[PART_COUNT]; /* where each part begins in the text */
    const char *into[PART_COUNT]; /* and in the room */
};

static void part_begin(struct rewrite *w, enum part part)
{
    w->from[part] = w->p;
    w->into[part] = w->to;
}

/* ---- percent-encoding ---- */

static bool visible(unsigned char c) { return c > ' ' && c < 0x7f; }

static bool plain_in_path(unsigned char c)
{
    return visible(c) && memchr("\"#<>?^`{}", c, 9) == NULL;
}

static bool plain_in_query(unsigned char c) { return visible(c) && memchr("\"#<>'", c, 5) == NULL; }

static bool plain_in_userinfo(unsigned char c)
{
    return visible(c) && memchr("\"#/<>?@[\\]^`{|}", c, 15) == NULL;
}

/* Moves the text up to stop, encoding what is not plain. A control character is refused. */
static enum url_error encode(struct rewrite *w, const char *stop, bool (*plain)(unsigned char))
{
    static const char digits[] = "0123456789ABCDEF";
    for (; w->p < stop; w->p++) {
        unsigned char c = (unsigned char)*w->p;
        if (c < ' ' || c == 0x7f) return URL_SPACE;
        if (plain(c)) {
            *w->to++ = (char)c;
            continue;
        }
        *w->to++ = '%';
        *w->to++ = digits[c >> 4];
        *w->to++ = digits[c & 15];
    }
    return URL_OK;
}

/* ---- hosts ---- */

/* One number of an IPv4 address, in WHATWG's spellings: 0x hexadecimal, 0 octal, else decimal.
 * False when it is none; one that is too large gives UINT32_MAX + 1 or more. */
static bool number_read(const char *p, const char *end, uint64_t *out)
{
    unsigned base = 10;
    uint64_t value = 0;
    if (p == end) return false;
    if (end - p >= 2 && p[0] == '0') {
        bool hex = (p[1] | 0x20) == 'x';
        base = hex ? 16 : 8;
        p += hex ? 2 : 1;
    }
    for (; p < end; p++) {
        unsigned digit = url_hex_of(*p);
        if (digit >= base) return false;
        if (value <= UINT32_MAX) value = value * base + digit;
    }
    *out = value;
    return true;
}

/* An IPv4 address of one to four numbers, the last of which fills what the others leave. */
static bool v4_read(const char *p, const char *end, uint32_t *out)
{
    uint64_t address = 0;
    if (end > p && end[-1] == '.') end--;
    for (unsigned left = 4;; left--) {
        uint64_t number;
        const char *dot = memchr(p, '.', (size_t)(end - p));
        if (left == 0 || !number_read(p, dot != NULL ? dot : end, &number)) return false;
        if (dot == NULL) {
            if (number >= UINT64_C(1) << 8 * left) return false;
            *out = (uint32_t)(address << 8 * left | number);
            return true;
        }
        if (number > 255) return false;
        address = address << 8 | number;
        p = dot + 1;
    }
}

/* IDNA, but for a name that came last time, too. */
static enum url_error name_to_ascii(struct url_room *room, struct span name, struct span *out)
{
    size_t len;
    if (name.len == room->name_len && memcmp(name.ptr, room->name, name.len) == 0)
        return *out = span_of(room->ascii, room->ascii_len), URL_OK;
    room->name_len = 0; /* not empty: it is outside ASCII */
    if (!idna_to_ascii(name, room->ascii, &len)) return URL_IDN;
    if (name.len <= sizeof room->name) {
        memcpy(room->name, name.ptr, name.len);
        room->name_len = (uint16_t)name.len;
    }
    room->ascii_len = (uint16_t)len;
    *out = span_of(room->ascii, len);
    return URL_OK;
}

/* Whether each byte is one that url_parse() takes for a host's: what IDNA or percent-decoding gave
 * must not become a port or a path. */
static bool name_clean(struct span name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i], lower = c | 0x20;
        bool letter = lower >= 'a' && lower <= 'z';
        if (!letter && !url_is_digit((char)c) && c != '.' && c != '-' && c != '_') return false;
    }
    return true;
}

/* Appends name as the host, an address in its one spelling. */
static enum url_error host_put(struct rewrite *w, struct span name)
{
    uint32_t v4;
    if (!name_clean(name)) return URL_HOST_BAD;
    if (!url_ends_in_number(name.ptr, name.ptr + name.len)) {
        w->to = span_put(w->to, name);
        return URL_OK;
    }
    if (!v4_read(name.ptr, name.ptr + name.len, &v4)) return URL_HOST_NUMERIC;
    for (int shift = 24; shift >= 0; shift -= 8) {
        w->to += stamp_u64(w->to, v4 >> shift & 255);
        if (shift > 0) *w->to++ = '.';
    }
    return URL_OK;
}

/* The host from w->p up to stop. */
static enum url_error host_rewrite(struct rewrite *w, const char *stop)
{
    char decoded[LIMIT_URL_BYTES];
    size_t len = 0;
    bool ascii = true;
    for (const char *p = w->p; p < stop; p++) {
        unsigned char c = (unsigned char)*p;
        if (c <= ' ' || c == 0x7f) return w->p = p, URL_SPACE;
        if (c == '%' && stop - p >= 3 && url_hex_of(p[1]) < 16 && url_hex_of(p[2]) < 16) {
            c = (unsigned char)(url_hex_of(p[1]) << 4 | url_hex_of(p[2]));
            p += 2;
        }
        ascii &= c < 128;
        decoded[len++] = (char)c;
    }
    struct span name = span_of(decoded, len);
    enum url_error e = ascii ? URL_OK : name_to_ascii(w->room, name, &name);
    if (e == URL_OK) e = host_put(w, name);
    if (e == URL_OK) w->p = stop;
    return e;
}

/* ---- the parts, in order ---- */

/* The first of "/?#" at or after p, or end. */
static const char *authority_end(const char *p, const char *end)
{
    while (p < end && *p != '/' && *p != '?' && *p != '#') p++;
    return p;
}

static const char *find(const char *p, const char *end, char c)
{
    const char *found = memchr(p, c, (size_t)(end - p));
    return found != NULL ? found : end;
}

/* As it stands; url_parse() judges it. */
static void copy(struct rewrite *w, const char *stop)
{
    w->to = span_put(w->to, span_of(w->p, (size_t)(stop - w->p)));
    w->p = stop;
}

static enum url_error authority_rewrite(struct rewrite *w)
{
    const char *stop = authority_end(w->p, w->end), *at = find(w->p, stop, '@');
    const char *backslash = find(w->p, stop, '\\');
    enum url_error e;
    if (backslash < stop) return w->p = backslash, URL_BACKSLASH;
    part_begin(w, PART_USERINFO);
    if (at < stop) {
        if ((e = encode(w, at, plain_in_userinfo)) != URL_OK) return e;
        copy(w, at + 1);
    }
    part_begin(w, PART_HOST);
    const char *host_end = stop;
    if (w->p < stop && *w->p == '[') copy(w, host_end = find(w->p, stop, ']'));
    else if ((e = host_rewrite(w, host_end = find(w->p, stop, ':'))) != URL_OK) return e;
    part_begin(w, PART_PORT);
    copy(w, stop);
    return URL_OK;
}

/* Resolves the dot segments of the path [first, w->to) in place. */
static void dots_resolve(struct rewrite *w, char *first)
{
    char *to = first;
    for (char *p = first, *end = w->to; p < end;) { /* *p is a slash */
        int dots = url_dots(p + 1, end);
        char *next = memchr(p + 1, '/', (size_t)(end - p - 1));
        if (next == NULL) next = end;
        if (dots == 0) {
            memmove(to, p, (size_t)(next - p));
            to += next - p;
        } else {
            while (dots == 2 && to > first && *--to != '/') continue;
            if (next == end) *to++ = '/';
        }
        p = next;
    }
    w->to = to;
}

static enum url_error rest_rewrite(struct rewrite *w)
{
    enum url_error e;
    const char *fragment = find(w->p, w->end, '#'), *query = find(w->p, fragment, '?');
    const char *backslash = find(w->p, query, '\\');
    char *first = w->to;
    part_begin(w, PART_PATH);
    if (backslash < query) return w->p = backslash, URL_BACKSLASH;
    if ((e = encode(w, query, plain_in_path)) != URL_OK) return e;
    if (url_dot_segment(first, w->to) != NULL) dots_resolve(w, first);
    if (query < fragment) {
        *w->to++ = '?';
        w->p++;
        if ((e = encode(w, fragment, plain_in_query)) != URL_OK) return e;
    }
    for (; w->p < w->end; w->p++) /* the fragment */
        if ((unsigned char)*w->p < ' ' || *w->p == 0x7f) return URL_SPACE;
    return URL_OK;
}

static enum url_error rewrite(struct rewrite *w)
{
    enum url_error e;
    while (w->p < w->end && *w->p == ' ') w->p++;
    while (w->end > w->p && w->end[-1] == ' ') w->end--;
    part_begin(w, PART_SCHEME);
    const char *mark = memmem(w->p, (size_t)(w->end - w->p), "://", 3);
    if (mark == NULL) return URL_SCHEME;
    copy(w, mark + 3);
    if ((e = authority_rewrite(w)) != URL_OK) return e;
    return rest_rewrite(w);
}

/* Where in the text an offset of the rewritten one is. */
static size_t offset_before(const struct rewrite *w, struct span text, size_t at)
{
    const char *place = w->room->bytes + at;
    int part = PART_COUNT - 1;
    while (part > 0 && w->into[part] > place) part--;
    /* The host was changed, and so may have been the userinfo: only their beginnings are known. */
    bool copied = part == PART_SCHEME || part == PART_PORT;
    size_t before = (size_t)(w->from[part] - text.ptr);
    if (copied) before += (size_t)(place - w->into[part]);
    return before < text.len ? before : text.len;
}

enum url_error url_read(struct span text, struct url_room *room, struct url *out, size_t *at)
{
    CHECK(room != NULL);
    enum url_error first = url_parse(text, out, at);
    if (first == URL_OK || first == URL_EMPTY || first == URL_TOO_LONG) return first;

    struct rewrite w = {.p = text.ptr, .end = text.ptr + text.len, .to = room->bytes, .room = room};
    enum url_error e = rewrite(&w);
    if (e == URL_SCHEME) return first;
    if (e != URL_OK) return *at = (size_t)(w.p - text.ptr), e;

    size_t len = (size_t)(w.to - room->bytes), wrong;
    CHECK(len <= sizeof room->bytes);
    struct span normal = span_of(room->bytes, len);
    if (span_eq(normal, text)) return first;
    e = url_parse(normal, out, &wrong);
    if (e == URL_TOO_LONG) *at = text.len;
    else if (e != URL_OK) *at = offset_before(&w, text, wrong);
    return e;
}
