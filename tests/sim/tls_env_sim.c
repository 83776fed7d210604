/* tests/sim/tls_env_sim.c - the time and the entropy that wolfSSL asks the machine for. A
 * definition in the program wins over the library's, if the program exports it (-rdynamic).
 */
#include "tests/sim/tls_sim.h"

#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/random.h>

#include <sys/time.h>
#include <time.h>

static uint64_t wall_ns(void)
{
    const struct world *w = world_current;
    return w != NULL ? w->wall_ns + w->now_ns : UINT64_C(1750000000000000000);
}

time_t time(time_t *out)
{
    time_t now = (time_t)(wall_ns() / 1000000000);
    if (out != NULL) *out = now;
    return now;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    MAYBE(zone != NULL);
    uint64_t ns = wall_ns();
    out->tv_sec = (time_t)(ns / 1000000000);
    out->tv_usec = (suseconds_t)(ns % 1000000000 / 1000);
    return 0;
}

int wc_GenerateSeed(OS_Seed *os, byte *out, word32 n)
{
    MAYBE(os != NULL);
    tls_sim_random(out, n);
    return 0;
}
