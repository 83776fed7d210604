/* tools/hookline/trust.h - the files that TLS needs, read at start: whom to trust, and who we are.
 *
 * The engine gets texts. What the operator named must be usable, and is tried at once; the system's
 * own bundle is read but not taken apart before the first https connection, since that costs more
 * than a small run. Main thread, start-up only.
 */
#ifndef TOOLS_HOOKLINE_TRUST_H
#define TOOLS_HOOKLINE_TRUST_H

#include "tls/tls.h"
#include "tools/hookline/options.h"

struct trust {
    char *trusted, *certificate, *key; /* own; NULL: none */
    size_t trusted_len, certificate_len, key_len;
};

/* Fills *out, whose texts are those of *t. 0, or -1 with one line in error. */
int trust_read(const struct options *o, struct trust *t, struct tls_rules *out,
               char error[OPTION_ERROR_BYTES]) __attribute__((warn_unused_result));
/* Says on stderr, loudly, that nothing is verified, if that is so. */
void trust_warn(const struct tls_rules *rules);
/* The key is wiped. */
void trust_free(struct trust *t);

#endif
