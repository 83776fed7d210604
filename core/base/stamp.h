/* core/base/stamp.h - numbers and times as text, for every line that is logged.
 *
 * None of these writes a terminator; each says how many bytes it wrote or always writes. Own
 * arithmetic, because the libc's takes locks and reads the time zone. Several threads may write
 * at once, each with its own cache.
 */
#ifndef CORE_BASE_STAMP_H
#define CORE_BASE_STAMP_H

#include <stddef.h>
#include <stdint.h>

enum {
    STAMP_UTC_BYTES = 27,     /* "2026-11-21T01:02:03.123456Z" */
    STAMP_U64_BYTES_MAX = 20, /* "18446744073709551615" */
    STAMP_MS_BYTES_MAX = 18,  /* "18446744073709.551" */
};

/* The text of the last second seen. All zero is an empty cache. */
struct stamp_cache {
    uint64_t second_after; /* the cached second since 1970, plus one; 0 when empty */
    char text[20];         /* "2026-11-21T01:02:03." */
};

/* RFC 3339, UTC, microseconds (the rest is cut off); STAMP_UTC_BYTES bytes. */
void stamp_utc(struct stamp_cache *cache, char *out, uint64_t since_1970_ns);
/* Decimal, without leading zeros; returns the bytes written, 1 to STAMP_U64_BYTES_MAX. */
size_t stamp_u64(char *out, uint64_t value);
/* The bytes that stamp_u64() writes. */
size_t stamp_u64_size(uint64_t value);
/* Milliseconds with three decimals (the rest is cut off): 12345678 ns is "12.345". Returns the
 * bytes written, 5 to STAMP_MS_BYTES_MAX. */
size_t stamp_ms(char *out, uint64_t ns);

#endif
