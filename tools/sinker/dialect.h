/* tools/sinker/dialect.h - how a limit is told: the header fields that servers on the net write.
 *
 * One row for each dialect; several may be joined ("x-ratelimit,retry-after"). A dialect writes
 * on every answer or only where a request is refused. Limit is the rule's count. Remaining is what
 * may still pass. Reset is when the whole quota is there again, Retry-After when the next request
 * may pass. A time that is told in whole units is rounded up, so that who waits as told is never
 * refused, unless the row says otherwise. Pure: values in, bytes out.
 */
#ifndef TOOLS_SINKER_DIALECT_H
#define TOOLS_SINKER_DIALECT_H

#include "core/base/check.h"
#include "core/base/span.h"
#include "tools/sinker/quota.h"

enum { DIALECT_BYTES_MAX = 4096 }; /* all of them at once */

/* Reads "NAME,NAME" into bits; false: one of the names is none. */
MUST_USE bool dialect_parse(struct span text, uint32_t *dialects);
/* Writes "NAME,NAME" and returns its length. */
enum { DIALECT_TEXT_BYTES = 384 };
size_t dialect_text(uint32_t dialects, char out[DIALECT_TEXT_BYTES]);

/* Row by row for the help text; NULL after the last. */
const char *dialect_name(unsigned index);
const char *dialect_help(unsigned index);

struct dialect_view {
    const struct quota_rule *rule;
    const struct quota_pass *pass;
    uint64_t now_ns;  /* monotonic */
    uint64_t wall_ns; /* since 1970, by the clock that the receiver pretends to have */
};

/* Writes whole field lines into out, DIALECT_BYTES_MAX; returns their length. */
size_t dialect_fields(char *out, const struct dialect_view *v);

enum { DIALECT_DATE_BYTES = 29 };
/* "Sun, 06 Nov 1994 08:49:37 GMT" */
void dialect_http_date(char *out, uint64_t since_1970_s);

#endif
