/* tests/unit/test_json_text.c - goal: whatever bytes come, the output is the inside of a valid
 * JSON string that means the same text, with U+FFFD for what is not UTF-8; its size is foretold.
 *
 * Method: every byte alone and between others; vectors of the Unicode standard; and pseudo-random
 * bytes whose output is read back by a plain unescaper here and compared with a plain decoder
 * that shares nothing with the code: it tries code points by arithmetic.
 */
#include "core/base/json_text.h"

#include "core/base/prng.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { TEXT_BYTES_MAX = 300 };

/* The text as code points. */
struct decoded {
    uint32_t point[TEXT_BYTES_MAX];
    size_t count;
};

/* The value of a whole, shortest, allowed sequence of exactly len bytes; -1 when it is none. */
static int64_t whole_sequence(const unsigned char *p, size_t len)
{
    static const unsigned char mark[5] = {0, 0x00, 0xc0, 0xe0, 0xf0};
    static const unsigned char keep[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if ((p[0] & (unsigned char)~keep[len]) != mark[len]) return -1;
    uint32_t point = p[0] & keep[len];
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) return -1;
        point = point << 6 | (p[i] & 0x3f);
    }
    bool surrogate = point >= 0xd800 && point <= 0xdfff;
    return point < least[len] || point > 0x10ffff || surrogate ? -1 : (int64_t)point;
}

/* Could these bytes begin a sequence? If any ending makes one, the lowest or the highest does. */
static bool may_begin(const unsigned char *p, size_t len)
{
    for (size_t whole = len; whole <= 4; whole++) {
        unsigned char low[4] = {0x80, 0x80, 0x80, 0x80}, high[4] = {0xbf, 0xbf, 0xbf, 0xbf};
        memcpy(low, p, len);
        memcpy(high, p, len);
        if (whole_sequence(low, whole) >= 0 || whole_sequence(high, whole) >= 0) return true;
    }
    return false;
}

static void decode(struct decoded *d, const unsigned char *p, size_t len)
{
    d->count = 0;
    while (len > 0) {
        int64_t point = -1;
        size_t take = 1;
        for (size_t n = 1; n <= 4 && n <= len && point < 0; n++) {
            point = whole_sequence(p, n);
            if (point >= 0) take = n;
        }
        if (point < 0)
            for (size_t n = 2; n <= 3 && n <= len; n++)
                if (may_begin(p, n)) take = n;
        d->point[d->count++] = point < 0 ? 0xfffd : (uint32_t)point;
        p += take;
        len -= take;
    }
}

/* Undoes JSON's escapes; returns the bytes. Fails on what may not stand in a JSON string. */
static size_t unescape(unsigned char *out, const char *p, size_t len)
{
    size_t written = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)p[i];
        cr_assert(c >= 0x20 && c != '"', "raw byte %u", c);
        if (c == '\\') {
            cr_assert_lt(i + 1, len);
            char digits[5] = {0}, *end;
            unsigned long value;
            switch (p[++i]) {
            case 'n': c = '\n'; break;
            case 'r': c = '\r'; break;
            case 't': c = '\t'; break;
            case 'u':
                cr_assert_leq(i + 4, len - 1);
                memcpy(digits, p + i + 1, 4);
                value = strtoul(digits, &end, 16);
                cr_assert(end == digits + 4 && value < 0x20, "\\u%s", digits);
                c = (unsigned char)value;
                i += 4;
                break;
            default:
                cr_assert(p[i] == '"' || p[i] == '\\', "escape %c", p[i]);
                c = (unsigned char)p[i];
            }
        }
        out[written++] = c;
    }
    return written;
}

/* Read back it is the same text, but for NUL, in whatever room: as many whole characters as fit. */
static void check_read(struct span escaped, struct decoded *want)
{
    static struct decoded got;
    for (size_t i = 0; i < want->count; i++)
        if (want->point[i] == 0) want->point[i] = 0xfffd;
    for (size_t room = escaped.len * 3 + 1; room > 0; room /= 2) {
        char *out = malloc(room);
        size_t len = json_text_read(out, room, escaped);
        cr_assert_lt(len, room);
        cr_assert_eq(strlen(out), len);
        decode(&got, (unsigned char *)out, len);
        cr_assert(got.count <= want->count && (len + 4 >= room || got.count == want->count));
        cr_assert_eq(memcmp(got.point, want->point, got.count * sizeof got.point[0]), 0);
        free(out);
    }
}

/* The property. Input and output lie in memory of exactly their size, for the sanitizers. */
static void check(const void *bytes, size_t len)
{
    static struct decoded want, got;
    unsigned char *text = malloc(len + (len == 0)), *back = malloc(len * 6 + 1);
    memcpy(text, bytes, len);
    size_t size = json_text_size(span_of(text, len));
    cr_assert_leq(size, len * JSON_TEXT_GROWTH);
    char *out = malloc(size + (size == 0));
    cr_assert_eq(json_text_write(out, span_of(text, len)), size);
    decode(&want, text, len);
    decode(&got, back, unescape(back, out, size));
    cr_assert_eq(got.count, want.count);
    cr_assert_eq(memcmp(got.point, want.point, want.count * sizeof want.point[0]), 0);
    check_read(span_of(out, size), &want);
    free(out);
    free(back);
    free(text);
}

Test(json_text, vectors)
{
    static const struct {
        struct span text;
        const char *want; /* with ? for U+FFFD */
    } rows[] = {
        {SPAN_LIT(""), ""},
        {SPAN_LIT("plain text / with 'all' of it: {}[]<>&~\x7f"),
         "plain text / with 'all' of it: {}[]<>&~\x7f"},
        {SPAN_LIT("say \"hi\" \\ bye"), "say \\\"hi\\\" \\\\ bye"},
        {SPAN_LIT("a\nb\rc\td\be\ff\0g\x1fh"), "a\\nb\\rc\\td\\u0008e\\u000cf\\u0000g\\u001fh"},
        {SPAN_LIT("\x80"), "?"},
        {SPAN_LIT("\xbf"), "?"},
        {SPAN_LIT("\xc0\xaf"), "??"},
        {SPAN_LIT("\xc1\xbf"), "??"},
        {SPAN_LIT("\xc2"), "?"},
        {SPAN_LIT("\xc2"
                  "A"),
         "?A"},
        {SPAN_LIT("\xe0\x80\xaf"), "???"},
        {SPAN_LIT("\xe0\xa0"), "?"},
        {SPAN_LIT("\xe0\x9f\xbf"), "???"},
        {SPAN_LIT("\xed\xa0\x80"), "???"},
        {SPAN_LIT("\xed\x9f\xbf"), "\xed\x9f\xbf"},
        {SPAN_LIT("\xef\xbf\xbf"), "\xef\xbf\xbf"},
        {SPAN_LIT("\xf0\x80\x80\xaf"), "????"},
        {SPAN_LIT("\xf0\x90\x80"), "?"},
        {SPAN_LIT("\xf0\x8f\xbf\xbf"), "????"},
        {SPAN_LIT("\xf4\x8f\xbf\xbf"), "\xf4\x8f\xbf\xbf"},
        {SPAN_LIT("\xf4\x90\x80\x80"), "????"},
        {SPAN_LIT("\xf5\x80\x80\x80"), "????"},
        {SPAN_LIT("\xff\xfe"), "??"},
        {SPAN_LIT("\xf1\x80\x80\xe1\x80\xc2"
                  "b\x80"
                  "c\x80\xbf"
                  "d"),
         "???b?c??d"},
        {SPAN_LIT("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf"
                  "A"),
         "????A"},
        {SPAN_LIT("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[256], got[256];
        size_t len = json_text_write(out, rows[i].text), n = 0;
        for (size_t k = 0; k < len; k++) {
            bool replaced = len - k >= 3 && memcmp(out + k, "\xef\xbf\xbd", 3) == 0;
            got[n++] = replaced ? '?' : out[k];
            if (replaced) k += 2;
        }
        got[n] = 0;
        cr_assert_str_eq(got, rows[i].want, "row %zu: %s", i, got);
        cr_assert_eq(json_text_size(rows[i].text), len);
    }
    cr_assert_eq(json_text_size(span_of(NULL, 0)), 0);
}

/* Escapes that json_text_write() does not write, and what is none. */
Test(json_text, read_vectors)
{
    static const char *const rows[][2] = {
        {"\\u003cscript\\u003E", "<script>"},
        {"\\/\\b\\f\\t", "/\b\f\t"},
        {"\\ud83d\\ude00", "\xf0\x9f\x98\x80"},
        {"\\u00e4\\u20ac", "\xc3\xa4\xe2\x82\xac"},
        {"\\u0000", "\xef\xbf\xbd"},
        {"\\ud83dx\\ude00", "\xef\xbf\xbdx\xef\xbf\xbd"},
        {"\\ud83d\\u0041", "\xef\xbf\xbd"
                           "A"},
        {"\\u12", "\\u12"},
        {"\\u12g4", "\\u12g4"},
        {"\\x\\", "\\x\\"},
        {"a\x80"
         "b",
         "a\xef\xbf\xbd"
         "b"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[64];
        json_text_read(out, sizeof out, span_of(rows[i][0], strlen(rows[i][0])));
        cr_assert_str_eq(out, rows[i][1], "row %zu: %s", i, out);
    }
    char small[4];
    cr_assert_eq(json_text_read(small, sizeof small, SPAN_LIT("ab\xc3\xa4")), 2);
    cr_assert_eq(json_text_read(small, 1, SPAN_LIT("ab")), 0);
    cr_assert_str_eq(small, "");
}

/* Each byte at each place of texts of each length around the width of the fast path. */
Test(json_text, every_byte_at_every_place)
{
    char text[40];
    for (size_t len = 1; len <= sizeof text; len++) {
        for (size_t at = 0; at < len; at++) {
            for (unsigned c = 0; c < 256; c++) {
                memset(text, 'x', len);
                text[at] = (char)c;
                check(text, len);
            }
        }
    }
}

Test(json_text, every_two_bytes)
{
    for (unsigned pair = 0; pair < 65536; pair++) {
        unsigned char text[4] = {(unsigned char)(pair >> 8), (unsigned char)pair, 0x80, 'x'};
        check(text, 2);
        check(text, 4);
    }
}

/* Valid characters of all lengths, cut, joined and damaged, among plain runs. */
Test(json_text, random_texts)
{
    static const char *const parts[] = {"plain run of some length",
                                        "\xc3\xa4",
                                        "\xe2\x82\xac",
                                        "\"",
                                        "\xf0\x9f\x98\x80",
                                        "\\",
                                        "\n",
                                        "x",
                                        "\xed\x9f\xbf"};
    struct prng dice;
    prng_seed(&dice, 8);
    for (int i = 0; i < 40000; i++) {
        char text[TEXT_BYTES_MAX];
        size_t len = 0, limit = prng_below(&dice, TEXT_BYTES_MAX - 30);
        while (len < limit) {
            const char *part = parts[prng_below(&dice, sizeof parts / sizeof parts[0])];
            size_t n = strlen(part);
            if (prng_percent(&dice, 10)) n = prng_below(&dice, n + 1);
            memcpy(text + len, part, n);
            len += n;
            if (prng_percent(&dice, 5)) text[len++] = (char)prng_u64(&dice);
        }
        check(text, len);
    }
}
