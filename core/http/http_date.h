/* core/http/http_date.h - the dates of HTTP fields, to seconds since 1970 (negative before). Pure.
 *
 * Own arithmetic, since the libc's depends on locale and time zone.
 */
#ifndef CORE_HTTP_HTTP_DATE_H
#define CORE_HTTP_HTTP_DATE_H

#include "core/base/check.h"
#include "core/base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum { HTTP_DATE_BYTES_MAX = 33 }; /* "Wednesday, 09-Nov-94 08:49:37 GMT" */

/* The three forms of RFC 9110 section 5.6.7, case-sensitive as it demands; a day's name must be
 * one, but is not held against the date. A year of two digits is the last one that does not lie
 * more than 50 years after now_s. False, with *s untouched: none of them. */
bool http_date(struct span text, int64_t now_s, int64_t *s) MUST_USE;

/* "2026-11-21T10:00:00.5+01:00" (RFC 3339 section 5.6): whole seconds, and a fraction with the
 * weight of its last digit, at most 1 s; both in ns, digits beyond the ninth are dropped. */
bool http_date_rfc3339(struct span text, int64_t *s, uint32_t *ns, uint32_t *step_ns) MUST_USE;

#endif
