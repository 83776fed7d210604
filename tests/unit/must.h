/* tests/unit/must.h - an assertion for loops of millions: Criterion reports each one that holds to
 * its parent process, which is slow; this one says something only when it fails.
 */
#ifndef TESTS_UNIT_MUST_H
#define TESTS_UNIT_MUST_H

#include <criterion/criterion.h>
#include <stdio.h>

#define MUST(x, ...) \
    do { \
        if (!(x)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
            cr_assert_fail(__VA_ARGS__); \
        } \
    } while (0)

#endif
