/* core/http/duration.h - spans of time as receivers spell them. Pure.
 *
 * A chain of numbers with units, from large to small: 1h, 1m30s, 20ms, 6m0.5s; units d h m s ms us
 * ns, and both signs for micro. Or ISO 8601: PT1M30S, P1DT12H, P2W, PT0.5S; years and months have
 * no fixed length and are refused. Only the last number may have a fraction. No signs, no spaces.
 */
#ifndef CORE_HTTP_DURATION_H
#define CORE_HTTP_DURATION_H

#include "core/base/check.h"
#include "core/base/span.h"

#include <stdbool.h>
#include <stdint.h>

/* *step_ns: the weight of the last digit, but at most 1 s, since who writes 1m may mean 1m0s.
 * False, with both untouched: no such text, or more than 64 bits of ns. */
bool duration_parse(struct span text, uint64_t *ns, uint64_t *step_ns) MUST_USE;

#endif
