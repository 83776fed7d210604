/* Goal: the sixteen-bytes-at-a-time scans see what the plain ones see, and nothing outside their
 * input.
 *
 * Method: inputs of every length up to a few blocks, at every offset, of random bytes that are
 * rich in the ones that matter, lying against a page that cannot be read.
 */
#include "core/http/scan.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BYTES_MAX = 200, ROUNDS = 40 };

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

static void fill(char *bytes, size_t len, uint32_t seed)
{
    static const char rich[] = "\r\n\0\t\x0b\x0c\x0e :-azAZ09/@[`{^_\x7f\x80\xad\xff";
    for (size_t i = 0; i < len; i++) {
        uint32_t r = next_random(&seed);
        bytes[i] = r % 8 ? (char)('a' + r % 26) : rich[r / 8 % (sizeof rich - 1)];
    }
}

/* The end of what can be read. */
static char *fence(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(map != MAP_FAILED);
    cr_assert(mprotect(map + page, page, PROT_NONE) == 0);
    return map + page;
}

Test(scan, same_as_plain)
{
    char *end = fence();
    for (size_t len = 1; len <= BYTES_MAX; len++) {
        for (uint32_t round = 0; round < ROUNDS; round++) {
            char *low = end - len;
            fill(low, len, round * 1000 + (uint32_t)len);
            for (char *p = low; p < end; p++) {
                size_t left = (size_t)(end - p);
                cr_assert(scan_controls(low, p, end) ==
                          scan_controls_plain(p, left < 64 ? left : 64));
                if (len >= 16) cr_assert(scan_name(p, end) == scan_name_plain(p, end));
            }
        }
    }
}

Test(scan, next_gives_each_control_in_order)
{
    char *end = fence();
    for (size_t len = 0; len <= BYTES_MAX; len++) {
        char *low = end - len;
        fill(low, len, (uint32_t)len);
        struct scan s = scan_begin(low, end);
        const char *at = low;
        for (const char *p = low; p < end; p++) {
            if ((unsigned char)*p > '\r') continue;
            cr_assert(scan_next(&s, at) == p);
            cr_assert(scan_next(&s, p) == p);
            scan_pass(&s);
            at = p + 1;
        }
        cr_assert(scan_next(&s, at) == end);
        cr_assert(scan_next(&s, end) == end);
    }
}

/* As the parser uses it: a CRLF is passed as one, wherever the blocks meet. */
Test(scan, crlf_in_pairs)
{
    char *end = fence();
    for (size_t len = 2; len <= BYTES_MAX; len++) {
        char *low = end - len;
        for (size_t line = 2; line <= len; line++) {
            for (size_t i = 0; i < len; i++) {
                low[i] = i % line == line - 2 ? '\r' : i % line == line - 1 ? '\n' : 'x';
            }
            struct scan s = scan_begin(low, end);
            const char *p = low;
            for (; (size_t)(end - p) >= line; p += line) {
                cr_assert(scan_next(&s, p) == p + line - 2);
                scan_pass(&s);
                scan_pass(&s);
            }
            const char *last = (size_t)(end - p) == line - 1 ? end - 1 : end;
            cr_assert(scan_next(&s, p) == last);
        }
    }
}

Test(scan, token_bytes)
{
    static const char tokens[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (int c = 0; c < 256; c++) {
        bool is = c != 0 && strchr(tokens, c) != NULL;
        cr_assert(scan_is_token((unsigned char)c) == is, "byte %d", c);
    }
}

Test(scan, is)
{
    cr_assert(scan_is("cOnTeNt-LeNgTh", "content-length", 14));
    cr_assert(scan_is("Transfer-Encoding", "transfer-encoding", 17));
    cr_assert(scan_is("CLOSE", "close", 5));
    cr_assert(scan_is("Chunked", "chunked", 7));
    cr_assert(scan_is("KEEP-alive", "keep-alive", 10));
    const char *words[] = {"close", "chunked", "keep-alive", "content-length", "transfer-encoding"};
    for (size_t w = 0; w < 5; w++) {
        char text[32];
        size_t len = strlen(words[w]);
        for (size_t i = 0; i < len; i++) {
            for (int c = 0; c < 256; c++) {
                bool same = c == words[w][i] || (c == (words[w][i] & ~0x20) && words[w][i] != '-');
                if (c == '\r') continue; /* excluded by contract */
                memcpy(text, words[w], len);
                text[i] = (char)c;
                bool is = w == 0   ? scan_is(text, "close", 5)
                          : w == 1 ? scan_is(text, "chunked", 7)
                          : w == 2 ? scan_is(text, "keep-alive", 10)
                          : w == 3 ? scan_is(text, "content-length", 14)
                                   : scan_is(text, "transfer-encoding", 17);
                cr_assert(is == same, "%s byte %zu is %d", words[w], i, c);
            }
        }
    }
}
