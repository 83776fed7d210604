/* tools/sinker/clock.h - the receiver's two clocks. It does not share the sender's seam (core/io),
 * so that no mistake there can hide on both sides at once.
 */
#ifndef TOOLS_SINKER_CLOCK_H
#define TOOLS_SINKER_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_mono_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Since 1970, UTC. */
static inline uint64_t clock_wall_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

#endif
