/* core/base/json_text.h - any bytes as the inside of a JSON string, for logs, and back.
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

/* What the inside of a JSON string means: valid UTF-8 without NUL, terminated, in at most `room`
 * bytes, and cut where a character ends. What is no escape stays as it stands; U+FFFD stands for
 * NUL, for half a surrogate pair and for what is not UTF-8. Returns the bytes before the NUL. */
size_t json_text_read(char *out, size_t room, struct span text);

/* The character that a text, which is not empty, begins with: how many bytes it takes there, and
 * in *as what to write for it: itself, or U+FFFD for one maximal part of an invalid sequence. */
size_t json_text_character(struct span text, struct span *as);

#endif
