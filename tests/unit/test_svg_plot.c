/* tests/unit/test_svg_plot.c - goal: nothing that is written as text can be markup or break the
 * page's encoding; no coordinate is outside of a plot; numbers at an axis are short.
 *
 * Method: vectors, all single bytes and pseudo-random ones for the escaping; shapes that reach
 * beyond every side for the rest.
 */
#include "tools/hookline/svg_plot.h"

#include "core/base/prng.h"
#include "tools/hookline/markup.h"

#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* The caller frees it. */
static char *escaped(const char *text)
{
    char *out = NULL;
    size_t bytes;
    FILE *file = open_memstream(&out, &bytes);
    markup_text(file, text);
    fclose(file);
    return out;
}

Test(markup, vectors)
{
    static const char *const rows[][2] = {
        {"", ""},
        {"plain / text, 1 = 1", "plain / text, 1 = 1"},
        {"<script>alert(\"1\")</script>", "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;"},
        {"a&amp;'b'", "a&amp;amp;&#39;b&#39;"},
        {"\x1b[31m\n\x7f", "\xe2\x90\x9b[31m\xe2\x90\x8a\xe2\x90\xa1"},
        {"\xc2\x85\xc2\xa0", "\xef\xbf\xbd\xc2\xa0"},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\xc0\xbcscript>", "\xef\xbf\xbd\xef\xbf\xbdscript&gt;"},
        {"a\xf0\x9f", "a\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *out = escaped(rows[i][0]);
        cr_assert_str_eq(out, rows[i][1], "row %zu: %s", i, out);
        free(out);
    }
}

/* No byte of markup comes through, and every & begins one of five references. */
static void check_harmless(const char *out)
{
    cr_assert_eq(strcspn(out, "<>\"'"), strlen(out), "%s", out);
    for (const char *at = out; *at != 0; at++) {
        cr_assert((unsigned char)*at >= 0x20 && *at != 0x7f, "%s", out);
        if (*at != '&') continue;
        cr_assert(strncmp(at, "&amp;", 5) == 0 || strncmp(at, "&lt;", 4) == 0 ||
                  strncmp(at, "&gt;", 4) == 0 || strncmp(at, "&quot;", 6) == 0 ||
                  strncmp(at, "&#39;", 5) == 0);
    }
}

Test(markup, any_bytes)
{
    static const char likely[] = "<>&\"';x/\x1b\xc2\x80\xe2\xf0\xbf";
    struct prng dice;
    prng_seed(&dice, 4);
    for (int i = 0; i < 20000; i++) {
        char text[40];
        size_t len = prng_below(&dice, sizeof text);
        for (size_t k = 0; k < len; k++)
            text[k] = prng_percent(&dice, 70) ? likely[prng_below(&dice, sizeof likely - 1)]
                                              : (char)(1 + prng_below(&dice, 255));
        text[len] = 0;
        char *out = escaped(text);
        check_harmless(out);
        free(out);
    }
}

/* ---- plots --------------------------------------------------------------------------------- */

static struct svg_plot plot = {
    .width = 100, .height = 50, .left = 20, .top = 5, .right = 95, .bottom = 40};

static char *out;
static size_t out_bytes;

static void open_plot(void) { plot.out = open_memstream(&out, &out_bytes); }

static void close_plot(void)
{
    fclose(plot.out);
    plot.out = NULL;
}

Test(svg_plot, nothing_is_outside, .init = open_plot)
{
    svg_rect(&plot, "a", -5, -5, 200, 200);
    svg_rect(&plot, "b", 99.999, 10, 7, 3);
    svg_line(&plot, "c", -1e9, 1, 1e9, 60);
    svg_text(&plot, SVG_END, 101, -3, "<&>");
    close_plot();
    cr_assert_str_eq(out,
                     "<rect class=\"a\" x=\"0.00\" y=\"0.00\" width=\"100.00\" height=\"50.00\"/>"
                     "<rect class=\"b\" x=\"100.00\" y=\"10.00\" width=\"0.00\" height=\"3.00\"/>"
                     "<line class=\"c\" x1=\"0.00\" y1=\"1.00\" x2=\"100.00\" y2=\"50.00\"/>\n"
                     "<text x=\"100.00\" y=\"0.00\" text-anchor=\"end\">&lt;&amp;&gt;</text>\n");
    free(out);
}

Test(svg_plot, what_is_no_number, .init = open_plot, .signal = SIGABRT)
{
    svg_line(&plot, "c", 0, 0, NAN, 0);
}

Test(svg_plot, y_axis, .init = open_plot)
{
    cr_assert_eq(svg_axis_y(&plot, 0, 1), 1);
    cr_assert_eq(svg_axis_y(&plot, 1, 1), 1);
    cr_assert_eq(svg_axis_y(&plot, 3, 1), 3);
    cr_assert_eq(svg_axis_y(&plot, 37, 1), 40);
    cr_assert_eq(svg_axis_y(&plot, 131.5, 0), 150);
    cr_assert_float_eq(svg_axis_y(&plot, 0.37, 0), 0.4, 1e-12);
    cr_assert_eq(svg_axis_y(&plot, 7e7, 1), 8e7);
    close_plot();
    cr_assert(strstr(out, ">80 M<") != NULL);
    free(out);
}

Test(svg_plot, numbers)
{
    char text[VALUES_TEXT_BYTES];
    cr_assert_str_eq(svg_number_text(0, text), "0");
    cr_assert_str_eq(svg_number_text(0.5, text), "0.5");
    cr_assert_str_eq(svg_number_text(0.2 * 3, text), "0.6");
    cr_assert_str_eq(svg_number_text(1500, text), "1,500");
    cr_assert_str_eq(svg_number_text(500000, text), "500,000");
    cr_assert_str_eq(svg_number_text(2500000, text), "2.5 M");
}
