#include "tests/sim/sign_sim.h"

#include "core/base/check.h"

#include <stdio.h>
#include <string.h>

static const uint32_t k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turn(uint32_t x, int by) { return x >> by | x << (32 - by); }

static void block(uint32_t h[8], const uint8_t *p)
{
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
               (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] + (turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3) +
               (turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(v, h, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t one = v[7] + (turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25)) +
                       ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
        uint32_t two = (turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22)) +
                       ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof v[0]);
        v[4] += one;
        v[0] = one + two;
    }
    for (int i = 0; i < 8; i++) h[i] += v[i];
}

/* bytes has 72 bytes of room behind len. */
static void sha256(uint8_t *bytes, size_t len, uint8_t out[32])
{
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint64_t bits = 8 * (uint64_t)len;
    bytes[len++] = 0x80;
    while (len % 64 != 56) bytes[len++] = 0;
    for (int i = 0; i < 8; i++) bytes[len++] = (uint8_t)(bits >> (56 - 8 * i));
    for (size_t at = 0; at < len; at += 64) block(h, bytes + at);
    for (int i = 0; i < 32; i++) out[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static void pad(uint8_t *out, uint8_t with)
{
    for (int i = 0; i < 64; i++) out[i] = (uint8_t)((i < SIGN_SIM_KEY_BYTES ? i : 0) ^ with);
}

static bool put(char *out, size_t room, const char *line, size_t len, const char *name)
{
    size_t n = strlen(name);
    if (len < n || memcmp(line, name, n) != 0) return false;
    CHECK(out[0] == 0 && len - n < room);
    memcpy(out, line + n, len - n);
    out[len - n] = 0;
    return true;
}

bool sign_sim_take(struct sign_sim *s, const char *line, size_t len)
{
    return put(s->id, sizeof s->id, line, len, "webhook-id: ") ||
           put(s->stamp, sizeof s->stamp, line, len, "webhook-timestamp: ") ||
           put(s->value, sizeof s->value, line, len, "webhook-signature: ");
}

bool sign_sim_true(const struct sign_sim *s, const char *body, size_t body_len)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static uint8_t bytes[SIGN_SIM_BODY_MAX + 512];
    uint8_t outer[64 + 32 + 72], sum[33] = {0};
    char want[48] = "v1,";
    CHECK(body_len <= SIGN_SIM_BODY_MAX);
    pad(bytes, 0x36);
    size_t len = 64;
    len += (size_t)snprintf((char *)bytes + len, 340, "%s.%s.", s->id, s->stamp);
    if (body_len > 0) memcpy(bytes + len, body, body_len);
    sha256(bytes, len + body_len, sum);
    pad(outer, 0x5c);
    memcpy(outer + 64, sum, 32);
    sha256(outer, 96, sum);
    for (int i = 0; i < 43; i++) {
        int bit = 6 * i, at = bit / 8;
        uint32_t two = (uint32_t)sum[at] << 8 | sum[at + 1];
        want[3 + i] = letters[two >> (10 - bit % 8) & 63];
    }
    want[46] = '=';
    return strcmp(s->value, want) == 0;
}
