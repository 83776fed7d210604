/* core/base/prng.h - pseudo-random numbers that repeat: xoshiro256** (Blackman and Vigna, 2018).
 *
 * For jitter, sampling and the simulator's dice; never for keys or tokens. The same seed gives
 * the same numbers on every machine. Entropy enters the program only through
 * prng_seed_from_os(), at start-up. One thread per struct.
 */
#ifndef CORE_BASE_PRNG_H
#define CORE_BASE_PRNG_H

#include "core/base/check.h"

#include <stdbool.h>
#include <stdint.h>

struct prng {
    uint64_t s[4]; /* never all zero */
};

/* Any seed is as good as another, 0 too: splitmix64 spreads it over the state. */
void prng_seed(struct prng *p, uint64_t seed);
/* Seeds from the kernel's entropy; false when it gives none. The only caller of getrandom(). */
MUST_USE bool prng_seed_from_os(struct prng *p);

/* 64 uniform bits. */
uint64_t prng_u64(struct prng *p);
/* Uniform in [0, bound), without bias; bound is not 0. */
uint64_t prng_below(struct prng *p, uint64_t bound);
/* True with a chance of `percent` in 100; always from 100 on. */
bool prng_percent(struct prng *p, uint32_t percent);

#endif
