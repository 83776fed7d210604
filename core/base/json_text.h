/* core/base/json_text.h - any bytes as the inside of a JSON string, for logs.
 *
 * Escaped are the quotation mark, the backslash and control characters; everything else of valid
 * UTF-8 stays. Each maximal part of an invalid sequence becomes one U+FFFD (Unicode 15, 3.9,
 * "Substitution of Maximal Subparts", as browsers do), so that whatever a receiver answered, the
 * log line is valid JSON. Pure functions.
 */
#ifndef CORE_BASE_JSON_TEXT_H
#define CORE_BASE_JSON_TEXT_H

#include "core/base/span.h"

enum { JSON_TEXT_GROWTH = 6 }; /* no byte becomes more than "\u001f" */

/* The bytes that json_text_write() will write. */
size_t json_text_size(struct span text);
/* Writes the escaped text without quotation marks or terminator; returns the bytes written. `out`
 * has room for json_text_size(text), or for JSON_TEXT_GROWTH * text.len, and does not overlap. */
size_t json_text_write(char *out, struct span text);

#endif
