/* core/base/json_text.c - escaping for JSON strings, and back; see json_text.h.
 *
 * Runs of plain ASCII are found sixteen bytes at a time and copied; what stops a run is handled
 * one character at a time. Nearly every text that is logged is one run.
 */
#include "core/base/json_text.h"

#include "core/base/check.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* One character as it will be written. */
struct piece {
    uint8_t consumed; /* bytes of the text, 1 to 4 */
    uint8_t len;      /* bytes written, 1 to JSON_TEXT_GROWTH */
    char bytes[JSON_TEXT_GROWTH];
};

static bool is_plain(unsigned char c) { return c >= 0x20 && c < 0x80 && c != '"' && c != '\\'; }

#ifdef __SSE2__
/* A bit for each of sixteen bytes that is not plain. */
static uint32_t special_mask(__m128i v)
{
    /* Signed, so that one comparison finds control characters and everything from 0x80 on. */
    __m128i special = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20));
    special = _mm_or_si128(special, _mm_cmpeq_epi8(v, _mm_set1_epi8('"')));
    special = _mm_or_si128(special, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    return (uint32_t)_mm_movemask_epi8(special);
}

static uint32_t special_mask_16(const char *p)
{
    return special_mask(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* Whether 4 to 15 bytes are all plain: looks at two parts that together are all of them. */
static bool short_is_plain(const char *p, size_t len)
{
    uint64_t low, high;
    if (len >= 8) {
        memcpy(&low, p, 8);
        memcpy(&high, p + len - 8, 8);
    } else {
        uint32_t first, last;
        memcpy(&first, p, 4);
        memcpy(&last, p + len - 4, 4);
        low = high = first | (uint64_t)last << 32;
    }
    return special_mask(_mm_set_epi64x((long long)high, (long long)low)) == 0;
}
#endif

/* How many bytes from p on are plain. */
static size_t plain_run(const char *p, size_t len)
{
    size_t at = 0;
#ifdef __SSE2__
    for (; len - at >= 16; at += 16) {
        uint32_t mask = special_mask_16(p + at);
        if (mask != 0) return at + (size_t)__builtin_ctz(mask);
    }
    if (at > 0 && at < len) { /* the tail, together with bytes that are known to be plain */
        uint32_t mask = special_mask_16(p + len - 16);
        return mask != 0 ? len - 16 + (size_t)__builtin_ctz(mask) : len;
    }
    if (at == 0 && len >= 4 && short_is_plain(p, len)) return len;
#endif
    while (at < len && is_plain((unsigned char)p[at])) at++;
    return at;
}

/* How many bytes follow this lead byte, and the range of the first of them (Unicode table 3-7);
 * 0 when it cannot lead. */
static unsigned utf8_follow(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    *high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) return 1;
    if (lead >= 0xe0 && lead <= 0xef) return 2;
    if (lead >= 0xf0 && lead <= 0xf4) return 3;
    return 0;
}

/* A character that begins with a byte from 0x80 on. */
static struct piece utf8_piece(const unsigned char *p, size_t len)
{
    unsigned char low, high;
    unsigned follow = utf8_follow(p[0], &low, &high);
    unsigned good = 1; /* bytes of a sequence that may still become valid */
    while (good <= follow && good < len && p[good] >= low && p[good] <= high) {
        good++;
        low = 0x80;
        high = 0xbf;
    }
    struct piece piece = {.consumed = (uint8_t)good, .len = 3, .bytes = "\xef\xbf\xbd"};
    if (follow > 0 && good == follow + 1) {
        piece.len = (uint8_t)good;
        memcpy(piece.bytes, p, good);
    }
    return piece;
}

/* The character at p, which is not plain. */
static struct piece special_piece(const char *p, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char c = (unsigned char)p[0];
    CHECK_HOT(len > 0);
    CHECK_HOT(!is_plain(c));
    switch (c) {
    case '"': return (struct piece){1, 2, "\\\""};
    case '\\': return (struct piece){1, 2, "\\\\"};
    case '\n': return (struct piece){1, 2, "\\n"};
    case '\r': return (struct piece){1, 2, "\\r"};
    case '\t': return (struct piece){1, 2, "\\t"};
    default: break;
    }
    if (c >= 0x80) return utf8_piece((const unsigned char *)p, len);
    return (struct piece){1, 6, {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}};
}

/* Of a text whose first `run` bytes are plain, and which does not end there. Apart, so that the
 * usual text does not pay for this one's registers. */
static __attribute__((noinline)) size_t mixed_size(struct span text, size_t run)
{
    size_t size = 0;
    for (size_t at = 0;;) {
        size += run;
        at += run;
        if (at == text.len) return size;
        struct piece piece = special_piece(text.ptr + at, text.len - at);
        size += piece.len;
        at += piece.consumed;
        run = plain_run(text.ptr + at, text.len - at);
    }
}

static __attribute__((noinline)) size_t mixed_write(char *out, struct span text, size_t run)
{
    char *end = out;
    for (size_t at = 0;;) {
        memcpy(end, text.ptr + at, run);
        end += run;
        at += run;
        if (at == text.len) break;
        struct piece piece = special_piece(text.ptr + at, text.len - at);
        memcpy(end, piece.bytes, piece.len);
        end += piece.len;
        at += piece.consumed;
        run = plain_run(text.ptr + at, text.len - at);
    }
    CHECK_HOT((size_t)(end - out) <= text.len * JSON_TEXT_GROWTH);
    return (size_t)(end - out);
}

size_t json_text_size(struct span text)
{
    size_t run = plain_run(text.ptr, text.len);
    return run == text.len ? run : mixed_size(text, run);
}

size_t json_text_write(char *out, struct span text)
{
    size_t run = plain_run(text.ptr, text.len);
    if (run < text.len) return mixed_write(out, text, run);
    span_put(out, text);
    return run;
}

/* ---- and back ------------------------------------------------------------------------------ */

enum { NO_CHARACTER = 0xfffd };

size_t json_text_character(struct span text, struct span *as)
{
    CHECK(text.len > 0);
    *as = span_of(text.ptr, 1);
    if ((unsigned char)text.ptr[0] < 0x80) return 1;
    struct piece piece = utf8_piece((const unsigned char *)text.ptr, text.len);
    bool whole = piece.len == piece.consumed && memcmp(piece.bytes, text.ptr, piece.len) == 0;
    *as = whole ? span_of(text.ptr, piece.len) : SPAN_LIT("\xef\xbf\xbd");
    return piece.consumed;
}

static bool hex_four(const char *p, size_t len, uint32_t *unit)
{
    uint32_t value = 0;
    if (len < 4) return false;
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)p[i], lower = c | 0x20;
        bool digit = c >= '0' && c <= '9';
        if (!digit && (lower < 'a' || lower > 'f')) return false;
        value = value << 4 | (uint32_t)(digit ? c - '0' : lower - 'a' + 10);
    }
    *unit = value;
    return true;
}

/* The code point of "\uXXXX" or of a pair of them; returns its bytes, 0 when it is none. */
static size_t read_unit(const char *p, size_t len, uint32_t *point)
{
    uint32_t low;
    if (len < 6 || p[1] != 'u' || !hex_four(p + 2, len - 2, point)) return 0;
    bool pair = *point >= 0xd800 && *point <= 0xdbff && len >= 12 && p[6] == '\\' && p[7] == 'u' &&
                hex_four(p + 8, len - 8, &low) && low >= 0xdc00 && low <= 0xdfff;
    if (pair) *point = 0x10000 + ((*point - 0xd800) << 10) + (low - 0xdc00);
    else if (*point == 0 || (*point >= 0xd800 && *point <= 0xdfff)) *point = NO_CHARACTER;
    return pair ? 12 : 6;
}

static uint8_t put_point(char *out, uint32_t point)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    uint8_t follow = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[follow] | point >> (6 * follow));
    for (int i = 1; i <= follow; i++) out[i] = (char)(0x80 | (point >> (6 * (follow - i)) & 0x3f));
    return (uint8_t)(follow + 1);
}

/* The character at a backslash. */
static struct piece read_escape(const char *p, size_t len)
{
    static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    uint32_t point;
    struct piece piece = {.consumed = 1, .len = 1, .bytes = "\\"};
    size_t unit = read_unit(p, len, &point);
    const char *name = len > 1 && p[1] != 0 ? strchr(names, p[1]) : NULL;
    if (unit > 0) {
        piece.consumed = (uint8_t)unit;
        piece.len = put_point(piece.bytes, point);
    } else if (name != NULL) {
        piece.consumed = 2;
        piece.bytes[0] = means[name - names];
    }
    return piece;
}

static struct piece read_piece(const char *p, size_t len)
{
    unsigned char c = (unsigned char)p[0];
    if (c == '\\') return read_escape(p, len);
    if (c >= 0x80) return utf8_piece((const unsigned char *)p, len);
    struct piece piece = {.consumed = 1, .len = c == 0 ? 3 : 1, .bytes = "\xef\xbf\xbd"};
    if (c != 0) piece.bytes[0] = p[0];
    return piece;
}

size_t json_text_read(char *out, size_t room, struct span text)
{
    CHECK(room > 0);
    size_t used = plain_run(text.ptr, text.len < room ? text.len : room - 1);
    if (used > 0) memcpy(out, text.ptr, used);
    for (size_t at = used; at < text.len;) {
        struct piece piece = read_piece(text.ptr + at, text.len - at);
        if (piece.len >= room - used) break;
        memcpy(out + used, piece.bytes, piece.len);
        used += piece.len;
        at += piece.consumed;
    }
    out[used] = 0;
    return used;
}
