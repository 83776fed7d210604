/* tests/unit/test_span.c - goal: equality of spans looks at every byte and at nothing else.
 *
 * Method: all 65,536 pairs of bytes against the rule; lengths, emptiness, NULs, chosen cases.
 */
#include "core/base/span.h"

#include <criterion/criterion.h>

Test(span, equal_bytes)
{
    cr_assert(span_eq(SPAN_LIT(""), span_of(NULL, 0)));
    cr_assert(span_eq(SPAN_LIT("abc"), span_of("abcd", 3)));
    cr_assert_not(span_eq(SPAN_LIT("abc"), SPAN_LIT("abcd")));
    cr_assert_not(span_eq(SPAN_LIT("a\0b"), SPAN_LIT("a\0c")));
    cr_assert_not(span_eq(SPAN_LIT("abc"), SPAN_LIT("abC")));
    cr_assert_not(span_eq(SPAN_LIT("a"), span_of(NULL, 0)));
}

static unsigned ascii_lower(unsigned c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; }

Test(span, nocase_for_every_pair_of_bytes)
{
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            unsigned char x[3] = {'x', (unsigned char)a, 'y'}, y[3] = {'X', (unsigned char)b, 'Y'};
            bool same = ascii_lower(a) == ascii_lower(b);
            cr_assert_eq(span_eq_nocase(span_of(x, 3), span_of(y, 3)), same, "%u %u", a, b);
        }
    }
}

Test(span, nocase_lengths)
{
    cr_assert(span_eq_nocase(SPAN_LIT(""), span_of(NULL, 0)));
    cr_assert(span_eq_nocase(SPAN_LIT("Content-Length"), SPAN_LIT("cONTENT-lENGTH")));
    cr_assert_not(span_eq_nocase(SPAN_LIT("Content-Length"), SPAN_LIT("Content-Lengt")));
    cr_assert_not(span_eq_nocase(SPAN_LIT("Content-Length"), SPAN_LIT("Content-LengtX")));
    cr_assert_not(span_eq_nocase(SPAN_LIT("a@"), SPAN_LIT("a`")), "not letters, 32 apart");
}
