/* core/base/check.h - assertions that stay on, and counters for the merely odd.
 *
 *   CHECK(x)      programmer error if false: stops the process, in every build.
 *   CHECK_HOT(x)  same meaning, compiled out unless CHECKS_HOT (tests, simulator, sanitizers).
 *   MAYBE(x)      documents that both values are legal here; never fails.
 *   ODD(x)        true is survivable but worth counting; returns x. One counter per call site.
 *
 * A full queue, a refused connection or a malformed answer is none of these: it is an enum err.
 */
#ifndef CORE_BASE_CHECK_H
#define CORE_BASE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Prints where and what to stderr, then aborts. Never returns. */
_Noreturn void check_failed(const char *expr, const char *file, int line, const char *func);

#define CHECK(x) \
    do { \
        if (__builtin_expect(!(x), 0)) check_failed(#x, __FILE__, __LINE__, __func__); \
    } while (0)

#ifdef CHECKS_HOT
#define CHECK_HOT(x) CHECK(x)
#else
#define CHECK_HOT(x) ((void)sizeof(!(x)))
#endif

#define MAYBE(x)      ((void)sizeof(!(x)))
#define UNREACHABLE() check_failed("unreachable", __FILE__, __LINE__, __func__)

struct odd_site {
    const char *expr, *file;
    uint32_t line;
    uint32_t count; /* relaxed; any thread adds, the reporter reads */
} __attribute__((aligned(32)));

/* The linker gathers every site into one array, so that a report needs no registration. */
#define ODD(x) \
    ({ \
        static struct odd_site site_ \
            __attribute__((section("odd_sites"), used)) = {#x, __FILE__, __LINE__, 0}; \
        bool odd_ = __builtin_expect(!!(x), 0); \
        if (odd_) __atomic_fetch_add(&site_.count, 1, __ATOMIC_RELAXED); \
        odd_; \
    })

/* Calls fn for every ODD site that was hit at least once. */
void odd_each(void (*fn)(void *ctx, const struct odd_site *site), void *ctx);

#define BIT(n)                          (1u << (n))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define MUST_USE                        __attribute__((warn_unused_result))

#endif
