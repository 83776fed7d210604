/* tools/hookline/svg_plot.h - the parts of a plot, as inline SVG for a page.
 *
 * Coordinates are those of the viewBox, with y downwards; what reaches beyond it is cut off here,
 * so that none is ever outside. Colours are the page's: each part has a class of its style sheet.
 * Texts are escaped. Main thread.
 */
#ifndef TOOLS_HOOKLINE_SVG_PLOT_H
#define TOOLS_HOOKLINE_SVG_PLOT_H

#include "tools/hookline/values.h"

#include <stdint.h>
#include <stdio.h>

enum { SVG_TEXT_SIZE = 12 };

struct svg_plot {
    FILE *out;
    double width, height;            /* of the viewBox */
    double left, top, right, bottom; /* between the axes */
};

enum svg_anchor { SVG_START, SVG_MIDDLE, SVG_END };

/* label: what a reader who does not see it is told. */
void svg_begin(const struct svg_plot *p, const char *label);
void svg_end(const struct svg_plot *p);
void svg_rect(const struct svg_plot *p, const char *class, double x, double y, double width,
              double height);
void svg_line(const struct svg_plot *p, const char *class, double x1, double y1, double x2,
              double y2);
/* y: of the base line. */
void svg_text(const struct svg_plot *p, enum svg_anchor anchor, double x, double y,
              const char *text);
/* Begins a group that shows a text to the pointer; svg_group_end() ends it. */
void svg_group(const struct svg_plot *p, const char *text);
void svg_group_end(const struct svg_plot *p);

/* At least what the text takes, in any font that a page is likely to get. */
double svg_text_width(const char *text);

/* Draws the grid, the ticks and the labels from 0 to the first tick that is not below max; at most
 * 5 steps, none below `least`. Returns the value at the top. */
double svg_axis_y(const struct svg_plot *p, double max, double least);
/* How a number stands at an axis: 0.5, 200, 1,500, 2.5 M. Returns out. */
char *svg_number_text(double value, char out[VALUES_TEXT_BYTES]);

#endif
