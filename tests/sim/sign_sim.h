/* tests/sim/sign_sim.h - verifies a signature of Standard Webhooks (v1) over the bytes of a request
 * as a receiver would, with SHA-256 and HMAC of its own, written from FIPS 180-4 and RFC 2104.
 */
#ifndef TESTS_SIM_SIGN_SIM_H
#define TESTS_SIM_SIGN_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIGN_SIM_KEY_BYTES = 24, SIGN_SIM_BODY_MAX = 64 * 1024 };

/* The key of every signing scene: its bytes are 0 to 23. */
#define SIGN_SIM_SECRET "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"

struct sign_sim {
    char id[300], stamp[32], value[128]; /* of the three fields; empty: not there */
};

/* Takes one line of a head if it is one of the three fields, each once. */
bool sign_sim_take(struct sign_sim *s, const char *line, size_t len);
/* Whether value is the signature over "id.stamp.body". */
bool sign_sim_true(const struct sign_sim *s, const char *body, size_t body_len);

#endif
