/* core/input/record_time.h - the two spellings of a time in a record. Pure.
 *
 * Times run from 1970 to 2554, where nanoseconds end in 64 bits. Digits beyond the ninth of a
 * fraction are dropped. 1970-01-01T00:00:00Z itself becomes 1 ns, since 0 means "none".
 */
#ifndef CORE_INPUT_RECORD_TIME_H
#define CORE_INPUT_RECORD_TIME_H

#include "core/base/span.h"

#include <stdint.h>

/* "2026-11-21T10:00:00.5+01:00" (RFC 3339 section 5.6) to ns since 1970. NULL on success, else a
 * static clause that says what is wrong; *ns is untouched then. */
const char *record_time_text(struct span text, uint64_t *ns) __attribute__((warn_unused_result));

/* Epoch seconds, as a valid JSON number with or without fraction and exponent. */
const char *record_time_number(struct span number, uint64_t *ns)
    __attribute__((warn_unused_result));

#endif
