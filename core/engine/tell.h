/* core/engine/tell.h - one line for each outcome and each attempt (delivery.md section 7). Pure.
 */
#ifndef CORE_ENGINE_TELL_H
#define CORE_ENGINE_TELL_H

#include "core/base/stamp.h"
#include "core/engine/delivery.h"
#include "core/engine/run.h"
#include "core/net/exchange.h"

#include <stddef.h>

struct telling {
    const struct delivery *delivery;
    const struct exchange *exchange; /* of the last attempt; or of none (a refused address) */
    const struct redact *redact;
    struct stamp_cache *stamps;
    const char *detail;     /* more on the error, plain text of less than 256 bytes; or NULL */
    bool deferred;          /* an event without an attempt: the host is on hold */
    uint64_t since_wall_ns; /* of its first attempt, since 1970 */
    uint64_t ended_wall_ns; /* since 1970 */
};

/* Bytes that neither line of this delivery exceeds. */
size_t tell_size_max(const struct telling *t);
/* Write a line with its newline; return its bytes. */
size_t tell_result(const struct telling *t, char *out);
size_t tell_event(const struct telling *t, char *out);

#endif
