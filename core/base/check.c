/* core/base/check.c - how a failed check ends, and who counts the odd; see check.h. */
#include "core/base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *expr, const char *file, int line, const char *func)
{
    fprintf(stderr, "%s:%d: %s: CHECK(%s)\n", file, line, func, expr);
    abort();
}

/* Weak: a program without any ODD() has no such section. */
extern struct odd_site __start_odd_sites[] __attribute__((weak, visibility("hidden")));
extern struct odd_site __stop_odd_sites[] __attribute__((weak, visibility("hidden")));

void odd_each(void (*fn)(void *ctx, const struct odd_site *site), void *ctx)
{
    CHECK(fn != NULL);
    for (struct odd_site *s = __start_odd_sites; s < __stop_odd_sites; s++)
        if (__atomic_load_n(&s->count, __ATOMIC_RELAXED) > 0) fn(ctx, s);
}
