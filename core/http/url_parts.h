/* core/http/url_parts.h - what url.c and url_read.c both know of a URL's parts. Pure. */
#ifndef CORE_HTTP_URL_PARTS_H
#define CORE_HTTP_URL_PARTS_H

#include <stdbool.h>

static inline bool url_is_digit(char c) { return c >= '0' && c <= '9'; }

/* 10 or more: none. */
static inline unsigned url_digit_of(char c) { return (unsigned)(unsigned char)c - '0'; }

/* 16: none. */
static inline unsigned url_hex_of(char c)
{
    unsigned char lower = (unsigned char)c | 0x20;
    if (url_is_digit(c)) return (unsigned)(c - '0');
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10u : 16;
}

/* WHATWG: the last label, of "a.b" as of "a.b.", is all digits, or 0x with hexadecimal digits. */
bool url_ends_in_number(const char *p, const char *end);

/* Of the path segment that begins at p: the dots it consists of, 1 or 2, each written as itself or
 * as %2e; 0: it is no dot segment. */
static inline int url_dots(const char *p, const char *end)
{
    int dots = 0;
    for (; p < end && *p != '/'; dots++) {
        bool encoded = end - p >= 3 && p[0] == '%' && p[1] == '2' && (p[2] | 0x20) == 'e';
        if ((*p != '.' && !encoded) || dots == 2) return 0;
        p += encoded ? 3 : 1;
    }
    return dots;
}

/* The first dot segment of a path, or NULL. */
const char *url_dot_segment(const char *p, const char *end);

#endif
