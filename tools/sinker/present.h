/* tools/sinker/present.h - what the receiver does at this moment: --behave, --script and the
 * request's path, each with its times.
 *
 * Times count from the receiver's start or from its first request (--time-from). Any thread.
 */
#ifndef TOOLS_SINKER_PRESENT_H
#define TOOLS_SINKER_PRESENT_H

#include "tools/sinker/script.h"

struct present {
    const struct behave
        *behave; /* --behave, of every request; NULL: none. At most one of the two */
    const struct script *script; /* NULL: none */
    bool from_first;             /* --time-from first-request */
    /* When times began, monotonic; 0: not yet. Written before the threads start, or with
     * cas_rlx() by whichever thread has the first request; read by all with load_rlx(). It is a
     * fact by itself. */
    uint64_t epoch_ns;
};

/* A request is there: from the first one on times count, if they are to count so. */
void present_request(struct present *p);

/* What every request and connection gets now; NULL: each request says so by its path. */
const struct behave *present_whole(const struct present *p);

/* What this path asks for now. False: it asks for something that does not exist; *out is 200. */
MUST_USE bool present_path(const struct present *p, struct span path, struct behave *out);

/* Whether connections are at times not to be accepted, or not even to come about. */
bool present_may_hang_accept(const struct present *p);
bool present_may_hang_connect(const struct present *p);
/* Now? */
bool present_hangs_accept(const struct present *p);
bool present_hangs_connect(const struct present *p);

#endif
