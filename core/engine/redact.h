/* core/engine/redact.h - keeps secrets out of results and events (delivery.md section 7).
 *
 * Secret are the values of Authorization, Proxy-Authorization, Cookie and signature headers of
 * the request, userinfo in URLs, and whatever a --redact name names: a header of the request, a
 * query parameter, a JSON member. Pure; names are compared without regard to ASCII case.
 */
#ifndef CORE_ENGINE_REDACT_H
#define CORE_ENGINE_REDACT_H

#include "core/base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REDACT_MASK "[redacted]"

struct redact {
    const char *const *names; /* --redact, terminated strings */
    uint32_t count;
};

/* Writes a URL's query (without '?') with the values of named parameters masked; names may be
 * percent-encoded in the query. `out` holds redact_query_size_max(query.len) bytes. Returns the
 * bytes written. */
size_t redact_query(const struct redact *r, struct span query, char *out);
size_t redact_query_size_max(size_t query_len);

/* Whether the value of a request's header of that name is secret. */
bool redact_hides(const struct redact *r, struct span name);

/* Writes the answer's excerpt with every occurrence of a secret of this request masked (the
 * whole header value, and its part behind "Bearer " or "Basic " and the like; values shorter
 * than 4 bytes are left), and the values of named JSON members and name=value pairs masked, also
 * when the excerpt ends inside them. request is the rendered request: its head is read up to the
 * empty line. At most cap bytes are written (what is over is cut off, never a secret); returns
 * the bytes written. */
size_t redact_answer(const struct redact *r, struct span answer, struct span request, char *out,
                     size_t cap);

#endif
