/* tools/hookline/values.h - what people write for durations, sizes and counts, and back.
 *
 * Every parser takes the whole text or refuses it: no sign, no space, no rest, no overflow, and
 * nothing is written to *out on failure. Pure; any thread.
 */
#ifndef TOOLS_HOOKLINE_VALUES_H
#define TOOLS_HOOKLINE_VALUES_H

#include "core/base/addr.h"
#include "sched/backoff.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VALUES_TEXT_BYTES = 48 };

/* One or more NUMBER UNIT, such as 90s, 250ms or 1h30m; units ns us ms s m h d. "0" needs none. */
bool value_duration(const char *text, uint64_t *ns);
/* NUMBER with nothing (bytes), K, M, G or T after it (powers of 1024; "KiB" is fine as well). */
bool value_size(const char *text, uint64_t *bytes);
/* Decimal digits. */
bool value_count(const char *text, uint64_t *count);
/* yes no true false on off 1 0, in any case. */
bool value_bool(const char *text, bool *out);

/* "10s,3,15m": base, factor (up to three decimals), cap. NULL, or in one clause what is wrong; then
 * *out is untouched. */
const char *value_backoff(const char *text, struct backoff *out);
/* "20,10/s": percent, a second. Likewise. */
const char *value_budget(const char *text, uint32_t *percent, uint32_t *per_s);

/* "9.9.9.9", "127.0.0.1:5353", "2620:fe::fe", "[::1]:53": an address with its port, 53 unless it is
 * given. */
bool value_server(const char *text, struct addr *out);

/* Each writes a terminated text of at most VALUES_TEXT_BYTES to out, and returns out. */
char *value_duration_text(uint64_t ns, char *out); /* exact, as value_duration() reads: 1h30m */
char *value_size_text(uint64_t bytes, char *out);  /* exact, as value_size() reads: 256M */
char *value_grouped_text(uint64_t n, char *out);   /* 1,234,567 */
char *value_latency_text(uint64_t ns, char *out);  /* three digits: 1.23 ms */
char *value_bytes_text(uint64_t bytes, char *out); /* three digits: 1.23 GiB */
char *value_clock_text(uint64_t ns, char *out);    /* whole seconds: 0:42, 1:02:03 */

#endif
