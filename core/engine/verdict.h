/* core/engine/verdict.h - what follows from the end of one attempt. Pure.
 *
 * The one place where the rules of delivery.md sections 2 and 3 become a decision.
 */
#ifndef CORE_ENGINE_VERDICT_H
#define CORE_ENGINE_VERDICT_H

#include "core/base/err.h"
#include "core/engine/run.h"
#include "core/net/exchange.h"
#include "sched/backoff.h"

#include <stdbool.h>

enum verdict_kind {
    VERDICT_OUTCOME,      /* it is over: see outcome */
    VERDICT_RETRY,        /* another attempt, at due_ns */
    VERDICT_RESEND,       /* the keep-alive race: at once, once, on a fresh connection */
    VERDICT_NEXT_ADDRESS, /* nothing was sent: the same attempt goes on at the next address */
    VERDICT_NO_ROOM, /* this machine is short of ports or files: the attempt waits and goes on */
    VERDICT_PENDING, /* cut off by the operator: stays pending, maybe delivered */
};

struct attempt {
    enum err why;
    enum sent sent;
    bool reused;             /* the connection had carried another exchange */
    bool resent;             /* this attempt was sent again already */
    bool addresses_left;     /* the host has an address that this attempt has not tried */
    bool in_time;            /* the attempt's time limit has not passed */
    struct retry_case retry; /* attempts, times and the hint; the class is filled in here */
};

struct verdict {
    enum verdict_kind kind;
    enum outcome outcome; /* VERDICT_OUTCOME */
    uint64_t due_ns;      /* VERDICT_RETRY */
};

/* What follows from the end of this attempt. */
struct verdict verdict_of(const struct retry_rules *rules, const struct attempt *a);

#endif
