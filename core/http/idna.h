/* core/http/idna.h - an international domain name in ASCII, by libidn2. Pure. */
#ifndef CORE_HTTP_IDNA_H
#define CORE_HTTP_IDNA_H

#include "core/base/limits.h"
#include "core/base/span.h"

#include <stdbool.h>

/* Writes the name, which is UTF-8, as ASCII to out; false when IDNA refuses it, or it is too long.
 * What comes out may hold characters that no host name has: the caller must look. */
bool idna_to_ascii(struct span name, char out[LIMIT_HOST_BYTES], size_t *out_len)
    __attribute__((warn_unused_result));

#endif
