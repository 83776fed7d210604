/* core/http/scan.h - the byte scans that answers are read with.
 *
 * The two that matter for speed exist twice: sixteen bytes at a time with SSE2, which every
 * x86-64 has, and plain, for other machines and for inputs of a few bytes.
 * tests/unit/test_scan.c holds both to the same results. No scan reads a byte outside the input:
 * its last bytes are seen through a load that ends with it and reaches back before p.
 */
#ifndef CORE_HTTP_SCAN_H
#define CORE_HTTP_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define SCAN_BIT(c) (UINT64_C(1) << ((c)&63))

/* RFC 9110 section 5.6.2: tchar. */
static inline bool scan_is_token(unsigned char c)
{
    const uint64_t low = SCAN_BIT('!') | SCAN_BIT('#') | SCAN_BIT('$') | SCAN_BIT('%') |
                         SCAN_BIT('&') | SCAN_BIT('\'') | SCAN_BIT('*') | SCAN_BIT('+') |
                         SCAN_BIT('-') | SCAN_BIT('.') | UINT64_C(0x3ff) << '0';
    const uint64_t high = UINT64_C(0x3ffffff) << ('A' - 64) | UINT64_C(0x3ffffff) << ('a' - 64) |
                          SCAN_BIT('^') | SCAN_BIT('_') | SCAN_BIT('`') | SCAN_BIT('|') |
                          SCAN_BIT('~');
    return c < 128 && (((c < 64 ? low : high) >> (c & 63)) & 1) != 0;
}

/* The first byte that is no token byte, or end. */
static inline const char *scan_token(const char *p, const char *end)
{
    while (p < end && scan_is_token((unsigned char)*p)) p++;
    return p;
}

/* The first NUL, CR or LF, or end. */
static inline const char *scan_line_end(const char *p, const char *end)
{
    while (p < end && *p != '\0' && *p != '\r' && *p != '\n') p++;
    return p;
}

/* The first byte that is no ASCII letter, digit or '-', or end. The rarer bytes that a field name
 * may hold are left to scan_token(). */
static inline const char *scan_name_plain(const char *p, const char *end)
{
    for (; p < end; p++) {
        unsigned char c = (unsigned char)*p, lower = c | 0x20;
        if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && c != '-') break;
    }
    return p;
}

/* Bit i is set when p[i] is a control character up to CR: a line end, a NUL, or one of the rarer
 * ones, such as a tab. len is at most 64. */
static inline uint64_t scan_controls_plain(const char *p, size_t len)
{
    uint64_t mask = 0;
    for (size_t i = 0; i < len; i++) mask |= (uint64_t)((unsigned char)p[i] <= '\r') << i;
    return mask;
}

#ifdef __SSE2__

static inline __m128i scan_load(const char *p) { return _mm_loadu_si128((const __m128i *)p); }

/* All ones in each byte of v that is at most max, as unsigned numbers. */
static inline __m128i scan_at_most(__m128i v, char max)
{
    return _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(max)), v);
}

static inline uint64_t scan_controls_16(const char *p)
{
    return (unsigned)_mm_movemask_epi8(scan_at_most(scan_load(p), '\r'));
}

static inline uint64_t scan_controls_64(const char *p)
{
    return scan_controls_16(p) | scan_controls_16(p + 16) << 16 | scan_controls_16(p + 32) << 32 |
           scan_controls_16(p + 48) << 48;
}

/* scan_controls_plain() of the up to 64 bytes from p on; low <= p < end, [low, end) is readable. */
static inline uint64_t scan_controls(const char *low, const char *p, const char *end)
{
    size_t len = (size_t)(end - p);
    if (len >= 64) return scan_controls_64(p);
    if (end - low >= 64) return scan_controls_64(end - 64) >> (64 - len);
    if (end - low < 16) return scan_controls_plain(p, len);
    uint64_t mask = scan_controls_16(end - 16);
    size_t at = len < 16 ? 0 : len - 16; /* where that load begins, seen from p */
    mask = len < 16 ? mask >> (16 - len) : mask << at;
    for (size_t i = 0; i < at; i += 16) mask |= scan_controls_16(p + i) << i;
    return mask;
}

/* scan_name_plain(); the 16 bytes before end, at least, are readable. */
static inline const char *scan_name(const char *p, const char *end)
{
    const char *at = p <= end - 16 ? p : end - 16;
    __m128i v = scan_load(at), lower = _mm_or_si128(v, _mm_set1_epi8(0x20));
    __m128i letter = scan_at_most(_mm_sub_epi8(lower, _mm_set1_epi8('a')), 'z' - 'a');
    __m128i digit = scan_at_most(_mm_sub_epi8(v, _mm_set1_epi8('0')), 9);
    __m128i dash = _mm_cmpeq_epi8(v, _mm_set1_epi8('-'));
    __m128i name = _mm_or_si128(_mm_or_si128(letter, digit), dash);
    unsigned others = ((unsigned)_mm_movemask_epi8(name) ^ 0xffff) >> (p - at);
    return others ? p + __builtin_ctz(others) : scan_name_plain(at + 16, end);
}

#else

static inline uint64_t scan_controls(const char *low, const char *p, const char *end)
{
    (void)low;
    return scan_controls_plain(p, end - p < 64 ? (size_t)(end - p) : 64);
}

static inline const char *scan_name(const char *p, const char *end)
{
    return scan_name_plain(p, end);
}

#endif

/* Walks over the control characters of [low, end) in order, 64 bytes at a time. */
struct scan {
    const char *low, *end;
    const char *at; /* what bit 0 of mask stands for */
    uint64_t mask;  /* those that are not yet passed */
};

static inline struct scan scan_begin(const char *low, const char *end)
{
    return (struct scan){low, end, low, low < end ? scan_controls(low, low, end) : 0};
}

/* The first one that is not passed and lies at p or after it, or end. p never goes back, and
 * since the last call goes at most two bytes past what that gave. */
static inline const char *scan_next(struct scan *s, const char *p)
{
    while (s->mask == 0) {
        if (s->end - s->at <= 64) return s->end;
        s->at += 64;
        s->mask = scan_controls(s->low, s->at, s->end);
        if (p > s->at) s->mask &= ~UINT64_C(0) << (p - s->at);
    }
    return s->at + __builtin_ctzll(s->mask);
}

/* Passes what scan_next() gave. */
static inline void scan_pass(struct scan *s) { s->mask &= s->mask - 1; }

/* ASCII case is ignored: text, of which n bytes are readable, against n lower-case letters and
 * '-'. Setting bit 5 makes no other byte equal to those but CR, which text must not hold. n is a
 * constant of 4 or more, so that this becomes two or three word-wide compares. */
static inline __attribute__((always_inline)) bool scan_is(const char *text, const char *lower,
                                                          unsigned n)
{
    const uint64_t bit5 = UINT64_C(0x2020202020202020);
    uint64_t a, b, differ = 0;
    if (n < 8) {
        uint32_t head, head_lower, tail, tail_lower;
        __builtin_memcpy(&head, text, 4);
        __builtin_memcpy(&head_lower, lower, 4);
        __builtin_memcpy(&tail, text + n - 4, 4);
        __builtin_memcpy(&tail_lower, lower + n - 4, 4);
        return (((head | (uint32_t)bit5) ^ head_lower) | ((tail | (uint32_t)bit5) ^ tail_lower)) ==
               0;
    }
    for (unsigned i = 0; i + 8 <= n; i += 8) {
        __builtin_memcpy(&a, text + i, 8);
        __builtin_memcpy(&b, lower + i, 8);
        differ |= (a | bit5) ^ b;
    }
    __builtin_memcpy(&a, text + n - 8, 8);
    __builtin_memcpy(&b, lower + n - 8, 8);
    return (differ | ((a | bit5) ^ b)) == 0;
}

#endif
