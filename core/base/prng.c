/* core/base/prng.c - xoshiro256** and Lemire's unbiased range; see prng.h. */
#include "core/base/prng.h"

#include <sys/random.h>

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t x, unsigned by) { return (x << by) | (x >> (64 - by)); }

void prng_seed(struct prng *p, uint64_t seed)
{
    CHECK(p != NULL);
    /* Four steps of a bijection of distinct states: at most one of the words can be zero. */
    for (int i = 0; i < 4; i++) p->s[i] = splitmix64(&seed);
    CHECK((p->s[0] | p->s[1]) != 0);
}

bool prng_seed_from_os(struct prng *p)
{
    CHECK(p != NULL);
    uint64_t seed;
    /* Requests of up to 256 bytes are neither cut short nor interrupted (getrandom(2)). */
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) return false;
    prng_seed(p, seed);
    return true;
}

uint64_t prng_u64(struct prng *p)
{
    uint64_t *s = p->s;
    CHECK_HOT((s[0] | s[1] | s[2] | s[3]) != 0);
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* Lemire, "Fast random integer generation in an interval", 2019: the high half of a 128-bit
 * product is uniform once the few low halves below 2^64 mod bound are thrown again. */
uint64_t prng_below(struct prng *p, uint64_t bound)
{
    CHECK(bound > 0);
    unsigned __int128 product = (unsigned __int128)prng_u64(p) * bound;
    if ((uint64_t)product < bound) {
        uint64_t reject_below = -bound % bound;
        while ((uint64_t)product < reject_below) product = (unsigned __int128)prng_u64(p) * bound;
    }
    CHECK_HOT((uint64_t)(product >> 64) < bound);
    return (uint64_t)(product >> 64);
}

bool prng_percent(struct prng *p, uint32_t percent)
{
    CHECK(p != NULL);
    return prng_below(p, 100) < percent;
}
