/* tools/sinker/words.h - the numbers and times that behaviours, limits and scripts are made of. */
#ifndef TOOLS_SINKER_WORDS_H
#define TOOLS_SINKER_WORDS_H

#include "core/base/check.h"
#include "core/base/span.h"

enum { WORDS_DURATION_S_MAX = 24 * 60 * 60 };

/* Reads "12.34" at the start of s: times scale, what is left of it cut off; *rest is what
 * follows. */
MUST_USE bool words_number(struct span s, uint64_t scale, uint64_t *value, struct span *rest);
/* Reads "250ms", "1.5s", "2m", at most 24 hours. */
MUST_USE bool words_duration(struct span s, uint64_t *ns);
/* Reads "s", "m": one of that unit. */
MUST_USE bool words_unit(struct span s, uint64_t *ns);

enum { WORDS_DURATION_BYTES = 32 };
/* Writes it in the largest unit that keeps it whole; returns the length. */
size_t words_duration_text(uint64_t ns, char out[WORDS_DURATION_BYTES]);

#endif
