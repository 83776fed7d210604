/* tls/sign.h - signatures of webhooks by the Standard Webhooks specification 1.0.0.
 *
 * Signed is "ID.TIMESTAMP.BODY", under every key of the run, so that a receiver that knows the old
 * secret or the new one finds a signature that it can verify. Of an HMAC key the two hash states
 * behind its padded blocks are computed once; the secret itself is not kept. The memory with the
 * keys is one mapping that goes into no core dump and is wiped when it is given back.
 *
 * Threads: a signer is made and freed by one thread, and then only read, by all shards.
 */
#ifndef TLS_SIGN_H
#define TLS_SIGN_H

#include "core/base/span.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    SIGN_KEYS_MAX = 8,     /* an old and a new one is what rotation needs */
    SIGN_STAMP_BYTES = 10, /* seconds since 1970 are that long until 2286 */
    SIGN_VALUE_BYTES_MAX = SIGN_KEYS_MAX * 93, /* of webhook-signature: "v1a," and 88 each */
};

struct signer;

/* No keys. NULL when memory is short. */
struct signer *signer_new(void);
/* Wipes the keys. */
void signer_free(struct signer *s);

/* Adds "whsec_" and the base64 of 24 to 64 bytes (HMAC-SHA256, "v1"), or "whsk_" and that of a
 * 32-byte ed25519 seed, with or without its public key behind it ("v1a"). NULL; or what is wrong
 * with it, a static clause that holds nothing of it. */
const char *signer_add(struct signer *s, struct span secret) __attribute__((warn_unused_result));
size_t signer_count(const struct signer *s);

/* How long the value of webhook-signature is; the same for every webhook. */
size_t signer_value_bytes(const struct signer *s);
/* Writes that value for a message "ID.TIMESTAMP.BODY". False: the library failed. */
bool signer_sign(const struct signer *s, struct span message, char *out)
    __attribute__((warn_unused_result));

#endif
