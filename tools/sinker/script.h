/* tools/sinker/script.h - behaviour that changes over time: the --script file.
 *
 *   # for every request, whatever its path
 *   0s     ok
 *   20s    flaky/60+status/503
 *   1.5m   ok
 *
 *   # for paths that begin with /script/busy
 *   [busy]
 *   0s     hang/head
 *   30s    limit/100-per-s/retry-after
 *
 * A line is empty, a comment, the name of a part, or a time and what holds from then on until the
 * next line's time; "ok" is a plain 200, which also holds before the first time. Times count as
 * --time-from says and go up within a part. Lines before the first [NAME] are for all requests.
 * Read once at start; read-only then.
 */
#ifndef TOOLS_SINKER_SCRIPT_H
#define TOOLS_SINKER_SCRIPT_H

#include "tools/sinker/behave.h"

enum {
    SCRIPT_BYTES_MAX = 1 << 20,
    SCRIPT_PARTS_MAX = 256,
    SCRIPT_STEPS_MAX = 4096, /* of all parts together */
};

struct script;

/* Where the text is wrong, counted from 1, and how; line 0: the file could not be read. */
struct script_wrong {
    unsigned line, column;
    char why[160];
};

/* NULL: see *wrong. */
struct script *script_read(const char *path, struct script_wrong *wrong);
void script_free(struct script *s); /* may be NULL */

/* Whether there are lines for every request. */
bool script_has_whole(const struct script *s);
/* What holds for every request then; never NULL. Only if there are such lines. */
const struct behave *script_whole(const struct script *s, uint64_t elapsed_ns);
/* What the named part says; NULL: there is no such part. */
const struct behave *script_part(const struct script *s, struct span name, uint64_t elapsed_ns);
/* Whether one of the lines for every request asks for that. */
bool script_hangs(const struct script *s, enum behave_phase phase);

#endif
