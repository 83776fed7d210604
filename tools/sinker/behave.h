/* tools/sinker/behave.h - what the receiver is asked to do with a request, as a text like
 * "delay/250ms+status/503" in the request's path or in --behave, and as a struct.
 *
 * All behaviours are rows of one table in behave.c: a name, its number of arguments, a function
 * that reads them into struct behave, and its line of help. To add one: a row, a field here, and
 * the place in answer.c or conn.c that acts on the field.
 */
#ifndef TOOLS_SINKER_BEHAVE_H
#define TOOLS_SINKER_BEHAVE_H

#include "core/base/check.h"
#include "tools/sinker/oddity.h"
#include "tools/sinker/quota.h"

enum {
    BEHAVE_FLAKY_WHOLE = 10000,    /* flaky is counted in hundredths of a percent */
    BEHAVE_HELP_BYTES = 16 * 1024, /* behave_help() */
};
#define BEHAVE_BODY_BYTES_MAX (1ull << 40) /* /body */

/* Where it hangs or resets: before the connection, before anything is read, before an answer, in
 * the middle of its head, in the middle of its body. */
enum behave_phase {
    PHASE_NONE,
    PHASE_CONNECT,
    PHASE_ACCEPT,
    PHASE_HEAD,
    PHASE_MID_HEAD,
    PHASE_BODY
};

struct behave {
    struct quota_rule limit;     /* valid if has_limit */
    struct span script;          /* name of a part of the script; lent from the parsed text */
    uint64_t after_ns;           /* before that time all of this is not so */
    uint64_t until_ns;           /* from then on likewise; 0: for ever */
    int64_t skew_ns;             /* of the clock that the answers tell */
    uint64_t delay_ns;           /* before the answer */
    uint32_t retry_after_ms;     /* valid if has_retry_after */
    uint16_t limit_status;       /* of what the limit refuses; 0: 429 */
    uint64_t body_bytes;         /* of the answer; valid if has_body */
    const struct oddity *oddity; /* the whole answer; NULL: none */
    uint16_t status;             /* 0: 200 */
    uint16_t flaky;              /* share that fails; valid if has_flaky */
    uint8_t hang, reset;         /* enum behave_phase */
    bool has_limit, has_retry_after, has_body, has_flaky, close, close_silent;
};

/* Where the text stands: in a request's path, in --behave or the part of a script that is for
 * every request, in a part of a script that paths name. */
enum behave_scope { BEHAVE_PATH, BEHAVE_OPTION, BEHAVE_PART };

/* BEHAVE_PLAIN: the text does not begin with the name of a behaviour. */
enum behave_result { BEHAVE_DONE, BEHAVE_PLAIN, BEHAVE_UNKNOWN };

/* Reads "NAME/ARG+NAME/ARG". In a path a rest after a further slash is of no interest; elsewhere
 * there may be none. *wrong (may be NULL): what is not understood, unless it is
 * BEHAVE_DONE. */
MUST_USE enum behave_result behave_parse(enum behave_scope scope, struct span text,
                                         struct behave *out, struct span *wrong);

/* Writes the list of behaviours, one on a line, and returns its length. */
size_t behave_help(char *out, size_t size);

#endif
