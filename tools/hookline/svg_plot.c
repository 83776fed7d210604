/* tools/hookline/svg_plot.c - see svg_plot.h. */
#include "tools/hookline/svg_plot.h"

#include "core/base/check.h"
#include "tools/hookline/axis.h"
#include "tools/hookline/markup.h"

#include <math.h>
#include <string.h>

enum { Y_STEPS_MAX = 5 };

/* A coordinate inside, with two decimals: enough for any screen. */
static double inside(double at, double end)
{
    CHECK(isfinite(at));
    return at < 0 ? 0 : at > end ? end : round(at * 100) / 100;
}

void svg_begin(const struct svg_plot *p, const char *label)
{
    CHECK(p->left < p->right && p->right <= p->width);
    CHECK(p->top < p->bottom && p->bottom <= p->height);
    fprintf(p->out, "<div class=\"plot\"><svg viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"",
            p->width, p->height);
    markup_text(p->out, label);
    fputs("\">\n", p->out);
}

void svg_end(const struct svg_plot *p) { fputs("</svg></div>\n", p->out); }

void svg_rect(const struct svg_plot *p, const char *class, double x, double y, double width,
              double height)
{
    double right = inside(x + width, p->width), bottom = inside(y + height, p->height);
    x = inside(x, p->width);
    y = inside(y, p->height);
    CHECK(right >= x);
    CHECK(bottom >= y);
    fprintf(p->out, "<rect class=\"%s\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>",
            class, x, y, right - x, bottom - y);
}

void svg_line(const struct svg_plot *p, const char *class, double x1, double y1, double x2,
              double y2)
{
    fprintf(p->out, "<line class=\"%s\" x1=\"%.2f\" y1=\"%.2f\" x2=\"%.2f\" y2=\"%.2f\"/>\n", class,
            inside(x1, p->width), inside(y1, p->height), inside(x2, p->width),
            inside(y2, p->height));
}

void svg_text(const struct svg_plot *p, enum svg_anchor anchor, double x, double y,
              const char *text)
{
    static const char *const names[] = {"start", "middle", "end"};
    fprintf(p->out, "<text x=\"%.2f\" y=\"%.2f\" text-anchor=\"%s\">", inside(x, p->width),
            inside(y, p->height), names[anchor]);
    markup_text(p->out, text);
    fputs("</text>\n", p->out);
}

void svg_group(const struct svg_plot *p, const char *text)
{
    fputs("<g><title>", p->out);
    markup_text(p->out, text);
    fputs("</title>", p->out);
}

void svg_group_end(const struct svg_plot *p) { fputs("</g>\n", p->out); }

double svg_text_width(const char *text)
{
    return (double)strlen(text) * SVG_TEXT_SIZE * 0.64; /* a digit of DejaVu Sans, which is wide */
}

char *svg_number_text(double value, char out[VALUES_TEXT_BYTES])
{
    if (value >= 1e6) snprintf(out, VALUES_TEXT_BYTES, "%g M", value / 1e6);
    else if (value >= 1000) value_grouped_text((uint64_t)llround(value), out);
    else snprintf(out, VALUES_TEXT_BYTES, "%g", value);
    return out;
}

double svg_axis_y(const struct svg_plot *p, double max, double least)
{
    char text[VALUES_TEXT_BYTES];
    double step = axis_step(max > 0 ? max : 1, Y_STEPS_MAX);
    if (step < least) step = least;
    int steps = (int)fmax(1, ceil(max / step * (1 - 1e-9)));
    for (int i = 0; i <= steps; i++) {
        double y = p->bottom - (p->bottom - p->top) * i / steps;
        svg_line(p, i == 0 ? "axis" : "grid", p->left, y, p->right, y);
        svg_text(p, SVG_END, p->left - 6, y + 4, svg_number_text(step * i, text));
    }
    return step * steps;
}
