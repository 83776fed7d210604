/* core/base/span.h - a borrowed run of bytes: not terminated, not owned. */
#ifndef CORE_BASE_SPAN_H
#define CORE_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const char *ptr; /* may be NULL only when len is 0 */
    size_t len;      /* bytes */
};

#define SPAN_LIT(s) ((struct span){"" s, sizeof(s) - 1})

static inline struct span span_of(const void *ptr, size_t len)
{
    return (struct span){(const char *)ptr, len};
}

static inline bool span_eq(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Copies s to `to`, which does not overlap it; returns what follows the copy. Most texts here are
 * short: two moves that may overlap cost less than a call. */
static inline char *span_put(char *to, struct span s)
{
    const char *p = s.ptr;
    size_t n = s.len;
    if (n > 32) {
        memcpy(to, p, n);
    } else if (n >= 16) {
        memcpy(to, p, 16);
        memcpy(to + n - 16, p + n - 16, 16);
    } else if (n >= 8) {
        memcpy(to, p, 8);
        memcpy(to + n - 8, p + n - 8, 8);
    } else if (n >= 4) {
        memcpy(to, p, 4);
        memcpy(to + n - 4, p + n - 4, 4);
    } else if (n > 0) {
        to[0] = p[0];
        to[n / 2] = p[n / 2];
        to[n - 1] = p[n - 1];
    }
    return to + n;
}

/* ASCII case is ignored; bytes above 127 must be equal. */
bool span_eq_nocase(struct span a, struct span b);

#endif
