/* tools/hookline/markup.h - any bytes as text of an HTML page: nothing in them can be markup.
 *
 * Good for what stands between tags and for values of attributes in quotation marks of either
 * kind. Invalid UTF-8 becomes U+FFFD, a control character its picture (U+2400 and following), so
 * that the page is valid whatever a file or a path holds.
 */
#ifndef TOOLS_HOOKLINE_MARKUP_H
#define TOOLS_HOOKLINE_MARKUP_H

#include <stdio.h>

/* Writes the terminated text, escaped. */
void markup_text(FILE *out, const char *text);

#endif
