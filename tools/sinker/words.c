/* tools/sinker/words.c - see words.h. */
#include "tools/sinker/words.h"

#include <stdio.h>

static const struct {
    struct span name;
    uint64_t ns;
} units[] = {
    {SPAN_LIT("h"), 3600000000000ull}, {SPAN_LIT("m"), 60000000000ull}, {SPAN_LIT("s"), 1000000000},
    {SPAN_LIT("ms"), 1000000},         {SPAN_LIT("us"), 1000},          {SPAN_LIT("ns"), 1}};

enum { UNITS_COUNT = sizeof units / sizeof units[0] };

bool words_number(struct span s, uint64_t scale, uint64_t *value, struct span *rest)
{
    uint64_t v = 0;
    size_t i = 0;
    while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9') {
        if (i >= 15) return false;
        v = v * 10 + (uint64_t)(s.ptr[i++] - '0');
    }
    if (i == 0) return false;
    if (__builtin_mul_overflow(v, scale, &v)) return false;
    if (i + 1 < s.len && s.ptr[i] == '.') {
        for (i++; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++) {
            scale /= 10;
            v += scale * (uint64_t)(s.ptr[i] - '0');
        }
    }
    *value = v;
    *rest = span_of(s.ptr + i, s.len - i);
    return true;
}

bool words_duration(struct span s, uint64_t *ns)
{
    for (unsigned i = 0; i < UNITS_COUNT; i++) {
        struct span rest;
        if (!words_number(s, units[i].ns, ns, &rest)) continue;
        if (span_eq(rest, units[i].name)) return *ns <= WORDS_DURATION_S_MAX * 1000000000ull;
    }
    return false;
}

bool words_unit(struct span s, uint64_t *ns)
{
    for (unsigned i = 0; i < UNITS_COUNT; i++) {
        if (!span_eq(s, units[i].name)) continue;
        *ns = units[i].ns;
        return true;
    }
    return false;
}

size_t words_duration_text(uint64_t ns, char out[WORDS_DURATION_BYTES])
{
    unsigned i = 0;
    while (i + 1 < UNITS_COUNT && (ns == 0 || ns % units[i].ns != 0)) i++;
    int n = snprintf(out, WORDS_DURATION_BYTES, "%llu%s", (unsigned long long)(ns / units[i].ns),
                     units[i].name.ptr);
    CHECK(n > 0);
    CHECK(n < WORDS_DURATION_BYTES);
    return (size_t)n;
}
