/* sched/limits.h - the operator's own limits for single hosts (--limits FILE).
 *
 *   # a comment
 *   api.example.com        rate=100/s  connections=8
 *   *.example.org          rate=5000/m
 *   [2001:db8::1]:8080     connections=1
 *
 * A line names a host (all its ports), a host and port, or with *. all names below a domain, but
 * not the domain itself. One line counts for a host, whole: the one with the longest name, and of
 * these the one with the port. A host stands once. All or nothing: with an error nothing of the
 * file applies. Read only after it was parsed: any thread.
 */
#ifndef SCHED_LIMITS_H
#define SCHED_LIMITS_H

#include "core/base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    LIMITS_TEXT_BYTES_MAX = 64 << 20, /* beyond: an error */
    LIMITS_CONNECTIONS_MAX = 32768,   /* as many as one shard can have */
};

struct limit {
    uint64_t interval_ns; /* between requests; 0: not limited here */
    uint32_t connections; /* 0: not limited here */
};

struct limits;

struct limits_error {
    uint32_t line, column; /* from 1 */
    char text[160];        /* one clause */
};

/* NULL with *why filled; line 0: no memory. The text is copied. Start-up only. */
struct limits *limits_parse(struct span text, struct limits_error *why);
void limits_free(struct limits *l);
/* host: lower case, IPv6 in brackets as inet_ntop() writes it; port is not 0. Zeroes when no line
 * is for it. */
struct limit limits_find(const struct limits *l, struct span host, uint16_t port);

/* "100/s", "5000/m", "20/h" as nanoseconds between requests; false: not a rate, or beyond 1 a day
 * to 10,000,000 a second. */
bool rate_parse(struct span text, uint64_t *interval_ns);

#endif
