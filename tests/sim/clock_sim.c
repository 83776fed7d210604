/* tests/sim/clock_sim.c - clock_gettime() of the simulated world, for libraries that read the time
 * by themselves (c-ares): a definition in the program wins over the C library's. Without a world it
 * is the machine's clock.
 */
#include "tests/sim/world.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *ts)
{
    const struct world *w = world_current;
    if (w == NULL) return (int)syscall(SYS_clock_gettime, clock, ts);
    uint64_t ns = w->now_ns + (clock == CLOCK_REALTIME ? w->wall_ns : 0);
    ts->tv_sec = (time_t)(ns / 1000000000);
    ts->tv_nsec = (long)(ns % 1000000000);
    return 0;
}
