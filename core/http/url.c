/* core/http/url.c - taking an http or https URL in normal form apart.
 *
 * One pass from left to right for the usual URL: scheme, host, port, path, query. Only when the
 * host or port is followed by something else is the authority looked at as a whole, since a
 * userinfo, or what is wrong, can only be told from there.
 *
 * The danger in URLs is two parsers that see two hosts in one text. So every text that common
 * parsers are known to read in different ways is refused: backslashes before the query, white
 * space and control characters anywhere, a second '@', percent-encoding in the host, dot segments,
 * and hosts that inet_aton() or a browser would take for an IPv4 address though they are not four
 * plain decimal numbers (WHATWG's rule: the last label is a number). What of that has a reading
 * that can be sent, url_read.c rewrites.
 */
#include "core/http/url.h"

#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/http/scan.h"
#include "core/http/url_parts.h"

#include <arpa/inet.h>
#include <string.h>

enum { LABEL_BYTES_MAX = 63, NAME_BYTES_MAX = 253 }; /* RFC 1035 section 2.3.4, as text */

enum class {
    CLASS_HOST = BIT(0),     /* letters, digits, '-', '_', '.' */
    CLASS_USERINFO = BIT(1), /* RFC 3986: unreserved, sub-delims, ':' and '%' */
    CLASS_PATH = BIT(2),     /* visible ASCII but WHATWG's path percent-encode set and '\\' */
    CLASS_QUERY = BIT(3),    /* visible ASCII but WHATWG's special-query percent-encode set */
    CLASS_FRAGMENT = BIT(4), /* any but white space and control characters */
};

#define REST (CLASS_PATH | CLASS_QUERY | CLASS_FRAGMENT)
#define TAIL (CLASS_QUERY | CLASS_FRAGMENT)
#define USER (CLASS_USERINFO | REST)
#define ALL  (CLASS_HOST | USER)

/* Control characters, the space and DEL are in no class. */
static const uint8_t classes[256] = {
    ['!'] = USER,
    ['"' ... '#'] = CLASS_FRAGMENT,
    ['$' ... '&'] = USER,
    ['\''] = CLASS_USERINFO | CLASS_PATH | CLASS_FRAGMENT,
    ['(' ... ','] = USER,
    ['-' ... '.'] = ALL,
    ['/'] = REST,
    ['0' ... '9'] = ALL,
    [':' ... ';'] = USER,
    ['<'] = CLASS_FRAGMENT,
    ['='] = USER,
    ['>'] = CLASS_FRAGMENT,
    ['?'] = TAIL,
    ['@'] = REST,
    ['A' ... 'Z'] = ALL,
    ['['] = REST,
    ['\\'] = TAIL,
    [']'] = REST,
    ['^'] = TAIL,
    ['_'] = ALL,
    ['`'] = TAIL,
    ['a' ... 'z'] = ALL,
    ['{'] = TAIL,
    ['|'] = REST,
    ['}'] = TAIL,
    ['~'] = USER,
    [128 ... 255] = CLASS_FRAGMENT,
};

static const char *skip(const char *p, const char *end, enum class class)
{
    while (p < end && (classes[(unsigned char)*p] & class)) p++;
    return p;
}

#ifdef __SSE2__
/* A bit for each of 16 bytes that is not in CLASS_PATH. Two that differ in one bit are found by
 * one comparison. *dots gets bits if a dot segment may begin among them; p[-1] is readable. */
static unsigned path_others(const char *p, unsigned *dots)
{
    __m128i v = scan_load(p), low = _mm_or_si128(v, _mm_set1_epi8(1));
    __m128i second = _mm_or_si128(v, _mm_set1_epi8(2));
    __m128i other = _mm_cmplt_epi8(v, _mm_set1_epi8('!')); /* signed: from 128 on, too */
    other = _mm_or_si128(other, _mm_cmpeq_epi8(low, _mm_set1_epi8('#')));       /* and '"' */
    other = _mm_or_si128(other, _mm_cmpeq_epi8(low, _mm_set1_epi8('?')));       /* and '>' */
    other = _mm_or_si128(other, _mm_cmpeq_epi8(second, _mm_set1_epi8('^')));    /* and '\\' */
    other = _mm_or_si128(other, _mm_cmpeq_epi8(second, _mm_set1_epi8('\x7f'))); /* and '}' */
    other = _mm_or_si128(other, _mm_cmpeq_epi8(v, _mm_set1_epi8('<')));
    other = _mm_or_si128(other, _mm_cmpeq_epi8(v, _mm_set1_epi8('`')));
    other = _mm_or_si128(other, _mm_cmpeq_epi8(v, _mm_set1_epi8('{')));

    __m128i dot = _mm_cmpeq_epi8(v, _mm_set1_epi8('.'));
    dot = _mm_or_si128(dot, _mm_cmpeq_epi8(v, _mm_set1_epi8('%')));
    __m128i slash_before = _mm_cmpeq_epi8(scan_load(p - 1), _mm_set1_epi8('/'));
    *dots |= (unsigned)_mm_movemask_epi8(_mm_and_si128(slash_before, dot));
    return (unsigned)_mm_movemask_epi8(other);
}

/* A bit for each of 16 bytes that is in CLASS_HOST, and for each that is a dot. */
static unsigned host_mask(const char *p, unsigned *dots)
{
    __m128i v = scan_load(p), lower = _mm_or_si128(v, _mm_set1_epi8(0x20));
    __m128i dot = _mm_cmpeq_epi8(v, _mm_set1_epi8('.'));
    __m128i in = scan_at_most(_mm_sub_epi8(lower, _mm_set1_epi8('a')), 'z' - 'a');
    in = _mm_or_si128(in, scan_at_most(_mm_sub_epi8(v, _mm_set1_epi8('0')), 9));
    in = _mm_or_si128(in, _mm_or_si128(dot, _mm_cmpeq_epi8(v, _mm_set1_epi8('-'))));
    in = _mm_or_si128(in, _mm_cmpeq_epi8(v, _mm_set1_epi8('_')));
    *dots = (unsigned)_mm_movemask_epi8(dot);
    return (unsigned)_mm_movemask_epi8(in);
}
#endif

/* skip() of CLASS_PATH; [low, end) is readable, and p > low. *dots is 0 if no segment of the path
 * can be a dot segment. */
static const char *skip_path(const char *low, const char *p, const char *end, unsigned *dots)
{
    *dots = 0;
#ifdef __SSE2__
    unsigned others;
    for (; end - p >= 16; p += 16)
        if ((others = path_others(p, dots)) != 0) return p + __builtin_ctz(others);
    if (end - low > 16) {
        others = path_others(end - 16, dots) >> (16 - (end - p));
        return others != 0 ? p + __builtin_ctz(others) : end;
    }
#endif
    (void)low;
    *dots = 1;
    return skip(p, end, CLASS_PATH);
}

/* skip() of CLASS_HOST; [low, end) is readable. *dots has bit i set when p[i] is a dot before what
 * is returned, for the first 64 bytes. */
static const char *skip_host(const char *low, const char *p, const char *end, uint64_t *dots)
{
    const char *at = p;
    (void)low;
    *dots = 0;
#ifdef __SSE2__
    for (unsigned run = 16; end - low >= 16 && at - p < 64; at += run) {
        const char *from = end - at >= 16 ? at : end - 16;
        unsigned past = (unsigned)(at - from), dots_here;
        run = (unsigned)__builtin_ctz(~(host_mask(from, &dots_here) >> past));
        *dots |= (uint64_t)(dots_here >> past & (BIT(run) - 1)) << (at - p);
        if (run < 16) return at + run;
    }
#endif
    for (; at < end && (classes[(unsigned char)*at] & CLASS_HOST); at++)
        if (*at == '.' && at - p < 64) *dots |= UINT64_C(1) << (at - p);
    return at;
}

/* Why the byte at p cannot stand there; otherwise says so for a byte that is merely misplaced. */
static enum url_error why_not(const char *p, enum url_error otherwise)
{
    unsigned char c = (unsigned char)*p;
    if (c <= ' ' || c == 0x7f) return URL_SPACE;
    return c == '\\' ? URL_BACKSLASH : otherwise;
}

/* A parse under way. */
struct parse {
    const char *low, *end; /* the whole text */
    const char *p;         /* *p is the next byte; on an error the offending one */
    struct url u;
};

/* Begins s->u with what follows from the scheme alone. */
static void url_begin(struct parse *s, enum url_scheme scheme)
{
    s->u = (struct url){
        .scheme = scheme, .port = scheme == URL_HTTPS ? 443 : 80, .port_default = true};
}

/* What is wrong with a scheme that is neither "http://" nor "https://". */
static enum url_error scheme_error(struct parse *s)
{
    static const char https[5] = "https";
    size_t i = 0;

    while (i < sizeof https && s->p < s->end && (*s->p | 0x20) == https[i]) s->p++, i++;
    if (i < 4) return s->p == s->end ? URL_SCHEME : why_not(s->p, URL_SCHEME);
    for (const char *mark = "://"; *mark; mark++, s->p++) {
        if (s->p == s->end) return URL_SCHEME;
        if (*s->p != *mark) return why_not(s->p, URL_SCHEME);
    }
    UNREACHABLE();
}

static enum url_error scheme_take(struct parse *s)
{
    size_t have = (size_t)(s->end - s->p);
    bool tls = have > 4 && (s->p[4] | 0x20) == 's';
    size_t len = tls ? 5 : 4;

    if (have < len + 3 || !scan_is(s->p, "http", 4) || memcmp(s->p + len, "://", 3) != 0)
        return scheme_error(s);
    url_begin(s, tls ? URL_HTTPS : URL_HTTP);
    s->p += len + 3;
    return URL_OK;
}

/* After ':'. At most five digits after any zeros; RFC 3986 lets the port be empty. */
static enum url_error port_take(struct parse *s)
{
    const char *first = s->p, *p = first;
    uint32_t port = 0;
    for (unsigned digit; p < s->end && (digit = url_digit_of(*p)) < 10; p++) {
        port = port * 10 + digit;
        if (port > UINT16_MAX) return URL_PORT;
    }
    if (p == first) return URL_OK;
    if (port == 0) return URL_PORT;
    s->p = p;
    s->u.port_default = port == s->u.port;
    s->u.port = (uint16_t)port;
    return URL_OK;
}

/* After '['. */
static enum url_error v6_take(struct parse *s)
{
    char text[INET6_ADDRSTRLEN];
    const char *first = s->p;
    while (s->p < s->end && (url_hex_of(*s->p) < 16 || *s->p == ':' || *s->p == '.')) s->p++;
    if (s->p == s->end) return URL_HOST_V6_BAD;
    if (*s->p == '%') return URL_ZONE;
    if (*s->p != ']') return why_not(s->p, URL_HOST_V6_BAD);

    size_t len = (size_t)(s->p - first);
    if (len >= sizeof text) return s->p = first, URL_HOST_V6_BAD;
    memcpy(text, first, len);
    text[len] = '\0';
    if (inet_pton(AF_INET6, text, &s->u.v6) != 1) return s->p = first, URL_HOST_V6_BAD;
    s->u.host_kind = URL_HOST_V6;
    s->u.host = span_of(first, len);
    s->p++;
    return URL_OK;
}

/* A decimal number up to 255 without leading zeros; returns what follows it, or NULL. A digit that
 * may not follow is left there: it is no dot. */
static const char *octet_read(const char *p, const char *end, uint32_t *out)
{
    uint32_t number, digit;
    if (p == end || (number = url_digit_of(*p++)) > 9) return NULL;
    if (number > 0 && p < end && (digit = url_digit_of(*p)) < 10) {
        number = number * 10 + digit;
        p++;
        if (p < end && (digit = url_digit_of(*p)) < 10) {
            number = number * 10 + digit;
            p++;
        }
    }
    *out = number;
    return number <= 255 ? p : NULL;
}

/* Exactly four of them. */
static bool v4_read(const char *p, const char *end, struct in_addr *out)
{
    uint32_t address = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t number;
        if (i > 0 && (p == end || *p++ != '.')) return false;
        if ((p = octet_read(p, end, &number)) == NULL) return false;
        address = address << 8 | number;
    }
    if (p != end) return false;
    out->s_addr = htonl(address);
    return true;
}

bool url_ends_in_number(const char *p, const char *end)
{
    if (end > p && end[-1] == '.') end--;
    const char *label = end;
    while (label > p && label[-1] != '.') label--;
    if (label == end || !url_is_digit(*label)) return false;

    const char *c = label;
    while (c < end && url_is_digit(*c)) c++;
    if (c == end) return true;
    if (c != label + 1 || *label != '0' || (*c | 0x20) != 'x') return false;
    for (c++; c < end && url_hex_of(*c) < 16;) c++;
    return c == end;
}

/* The first byte of [p, end) that breaks the rules of a host name, or end. dots as skip_host()
 * gives them. */
static const char *name_check(const char *p, const char *end, uint64_t dots)
{
    const char *first = p, *label = p;
    /* Too short for a label that is too long: then only an empty one can be wrong. */
    if (end - p <= LABEL_BYTES_MAX && (dots & (dots << 1 | 1)) == 0) return end;
    for (; p < end; p++) {
        if (*p != '.') {
            if (p - label >= LABEL_BYTES_MAX || p - first >= NAME_BYTES_MAX) return p;
        } else if (p == label) {
            return p;
        } else {
            label = p + 1;
        }
    }
    return end;
}

/* A name or an IPv4 address. */
static enum url_error name_take(struct parse *s)
{
    uint64_t dots;
    const char *first = s->p, *end = skip_host(s->low, first, s->end, &dots);
    if (end == first) return URL_NO_HOST;

    const char *wrong = name_check(first, end, dots);
    if (wrong < end) return s->p = wrong, URL_HOST_BAD;
    s->u.host_kind = URL_HOST_NAME;
    if (url_ends_in_number(first, end)) {
        if (!v4_read(first, end, &s->u.v4)) return URL_HOST_NUMERIC;
        s->u.host_kind = URL_HOST_V4;
    }
    s->u.host = span_of(first, (size_t)(end - first));
    s->p = end;
    return URL_OK;
}

/* Whether nothing but a path, a query or a fragment can follow. */
static bool at_host_end(const struct parse *s)
{
    return s->p == s->end || *s->p == '/' || *s->p == '?' || *s->p == '#';
}

static enum url_error host_port_take(struct parse *s)
{
    enum url_error e;
    bool v6 = s->p < s->end && *s->p == '[';
    if (v6) s->p++;
    if ((e = v6 ? v6_take(s) : name_take(s)) != URL_OK) {
        /* No host at all, or a byte that a host cannot begin with? */
        if (e != URL_NO_HOST || at_host_end(s) || *s->p == ':') return e;
    } else {
        bool port = s->p < s->end && *s->p == ':';
        if (port) s->p++;
        if (port && (e = port_take(s)) != URL_OK) return e;
        if (at_host_end(s)) return URL_OK;
        if (port) return why_not(s->p, URL_PORT);
    }
    return why_not(s->p, (unsigned char)*s->p >= 128 ? URL_IDN : URL_HOST_BAD);
}

/* RFC 7617 section 2: no control characters in a user-id or password. */
static enum url_error userinfo_check(struct parse *s, const char *end)
{
    for (; s->p < end; s->p++) {
        if (!(classes[(unsigned char)*s->p] & CLASS_USERINFO)) {
            bool ascii = (unsigned char)*s->p < 128;
            return why_not(s->p, ascii ? URL_USERINFO_BAD : URL_NON_ASCII);
        }
        if (*s->p != '%') continue;
        if (end - s->p < 3 || url_hex_of(s->p[1]) > 15 || url_hex_of(s->p[2]) > 15)
            return URL_USERINFO_BAD;
        unsigned byte = url_hex_of(s->p[1]) << 4 | url_hex_of(s->p[2]);
        if (byte < ' ' || byte == 0x7f) return URL_USERINFO_BAD;
        s->p += 2;
    }
    return URL_OK;
}

static enum url_error authority_take(struct parse *s)
{
    const char *first = s->p, *at = first;
    enum url_error e = host_port_take(s);
    if (e == URL_OK) return URL_OK;
    /* Perhaps that was a userinfo: then all is to be seen anew. */
    while (at < s->end && *at != '@' && *at != '/' && *at != '?' && *at != '#') at++;
    if (at == s->end || *at != '@') return e;
    url_begin(s, s->u.scheme);
    s->p = first;
    if ((e = userinfo_check(s, at)) != URL_OK) return e;
    s->u.has_userinfo = true;
    s->u.userinfo = span_of(first, (size_t)(at - first));
    s->p = at + 1;
    return host_port_take(s);
}

const char *url_dot_segment(const char *p, const char *end)
{
    for (; (p = memchr(p, '/', (size_t)(end - p))) != NULL; p++)
        if (url_dots(p + 1, end) != 0) return p + 1;
    return NULL;
}

/* Path, query and fragment. */
static enum url_error rest_take(struct parse *s)
{
    const char *first = s->p;
    unsigned dots;
    s->p = skip_path(s->low, first, s->end, &dots);
    s->u.path = span_of(first, (size_t)(s->p - first));
    const char *wrong = dots != 0 ? url_dot_segment(first, s->p) : NULL;
    if (wrong != NULL) return s->p = wrong, URL_DOTS;
    if (s->p < s->end && *s->p == '?') {
        first = ++s->p;
        s->p = skip(first, s->end, CLASS_QUERY);
        s->u.has_query = true;
        s->u.query = span_of(first, (size_t)(s->p - first));
    }
    if (s->p < s->end && *s->p == '#') s->p = skip(s->p, s->end, CLASS_FRAGMENT);
    if (s->p == s->end) return URL_OK;
    return why_not(s->p, (unsigned char)*s->p < 128 ? URL_ENCODE : URL_NON_ASCII);
}

enum url_error url_parse(struct span text, struct url *out, size_t *at)
{
    struct parse s; /* s.u is begun by scheme_take() */
    enum url_error e;
    s.low = s.p = text.ptr;
    s.end = text.ptr + text.len;

    *at = 0;
    if (text.len == 0) return URL_EMPTY;
    if (text.len > LIMIT_URL_BYTES) {
        *at = LIMIT_URL_BYTES;
        return URL_TOO_LONG;
    }
    if ((e = scheme_take(&s)) == URL_OK && (e = authority_take(&s)) == URL_OK &&
        (e = rest_take(&s)) == URL_OK) {
        *out = s.u;
        return URL_OK;
    }
    *at = (size_t)(s.p - text.ptr);
    CHECK(*at <= text.len);
    return e;
}

const char *url_error_text(enum url_error e)
{
    static const char *const texts[URL_ERROR_COUNT] = {
        [URL_OK] = "the URL is fine",
        [URL_EMPTY] = "the URL is empty",
        [URL_TOO_LONG] = "the URL is over 8192 bytes",
        [URL_SCHEME] = "the URL does not begin with http:// or https://",
        [URL_NO_HOST] = "the URL has no host",
        [URL_HOST_BAD] = "the URL's host is no host name",
        [URL_HOST_NUMERIC] = "the URL's host is a number but no IPv4 address",
        [URL_HOST_V6_BAD] = "the URL's host is no IPv6 address",
        [URL_ZONE] = "the URL's host has an IPv6 zone",
        [URL_IDN] = "the URL's host is no name by IDNA 2008 (its xn-- form may still be known)",
        [URL_PORT] = "the URL's port is not a number from 1 to 65535",
        [URL_SPACE] = "the URL has white space or a control character where none may be",
        [URL_BACKSLASH] = "the URL has a backslash before its query",
        [URL_NON_ASCII] = "the URL is not ASCII (percent-encode it)",
        [URL_ENCODE] = "the URL has a character that must be percent-encoded",
        [URL_DOTS] = "the URL's path has a dot segment",
        [URL_USERINFO_BAD] = "the URL's user name or password is not properly percent-encoded",
    };
    CHECK(e < URL_ERROR_COUNT);
    return texts[e];
}

size_t url_userinfo_decode(struct span userinfo, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < userinfo.len; i++) {
        char c = userinfo.ptr[i];
        if (c == '%') {
            CHECK(userinfo.len - i >= 3);
            unsigned high = url_hex_of(userinfo.ptr[i + 1]), low = url_hex_of(userinfo.ptr[i + 2]);
            CHECK(high < 16);
            CHECK(low < 16);
            c = (char)(unsigned char)(high << 4 | low);
            i += 2;
        }
        out[len++] = c;
    }
    return len;
}
