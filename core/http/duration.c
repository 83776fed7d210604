/* core/http/duration.c - chains and ISO 8601 durations; see duration.h. */
#include "core/http/duration.h"

#define NS_PER_S UINT64_C(1000000000)

struct unit {
    struct span name;
    uint64_t ns;
};

/* From large to small; of two that begin alike, the longer one first. */
static const struct unit chain_units[] = {
    {SPAN_LIT("d"), 86400 * NS_PER_S}, {SPAN_LIT("h"), 3600 * NS_PER_S}, {SPAN_LIT("ms"), 1000000},
    {SPAN_LIT("m"), 60 * NS_PER_S},    {SPAN_LIT("s"), NS_PER_S},        {SPAN_LIT("us"), 1000},
    {SPAN_LIT("\xc2\xb5s"), 1000},     {SPAN_LIT("\xce\xbcs"), 1000},    {SPAN_LIT("ns"), 1},
};
static const struct unit iso_day_units[] = {
    {SPAN_LIT("W"), 7 * 86400 * NS_PER_S},
    {SPAN_LIT("D"), 86400 * NS_PER_S},
};
static const struct unit iso_time_units[] = {
    {SPAN_LIT("H"), 3600 * NS_PER_S},
    {SPAN_LIT("M"), 60 * NS_PER_S},
    {SPAN_LIT("S"), NS_PER_S},
};

#define COUNT(table) (sizeof table / sizeof table[0])

struct sum {
    const char *p, *end;
    uint64_t ns, step_ns;
    uint64_t unit_ns; /* of the last number; 0: none yet */
    bool fraction;    /* it had one */
};

static bool is_digit(const struct sum *s) { return s->p < s->end && *s->p >= '0' && *s->p <= '9'; }

/* Reads digits into *value as long as they fit; *scale is the weight of the last that did. */
static bool fraction_digits(struct sum *s, uint64_t *value, uint64_t *scale)
{
    if (!is_digit(s)) return false;
    for (; is_digit(s); s->p++) {
        if (*scale == NS_PER_S) continue; /* beyond the ninth */
        *value = *value * 10 + (uint64_t)(*s->p - '0');
        *scale *= 10;
    }
    return true;
}

static const struct unit *unit_take(struct sum *s, const struct unit *units, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct span name = units[i].name;
        if ((size_t)(s->end - s->p) >= name.len && memcmp(s->p, name.ptr, name.len) == 0) {
            s->p += name.len;
            return &units[i];
        }
    }
    return NULL;
}

/* One number with its unit, which must be smaller than the one before it. */
static bool part(struct sum *s, const struct unit *units, size_t count, const char *points)
{
    uint64_t whole = 0, fraction = 0, scale = 1;
    if (!is_digit(s) || s->fraction) return false;
    for (; is_digit(s); s->p++) {
        if (__builtin_mul_overflow(whole, 10, &whole)) return false;
        if (__builtin_add_overflow(whole, (uint64_t)(*s->p - '0'), &whole)) return false;
    }
    if (s->p < s->end && *s->p != '\0' && strchr(points, *s->p) != NULL) {
        s->p++;
        s->fraction = true;
        if (!fraction_digits(s, &fraction, &scale)) return false;
    }
    const struct unit *unit = unit_take(s, units, count);
    if (unit == NULL || (s->unit_ns > 0 && unit->ns >= s->unit_ns)) return false;
    s->unit_ns = unit->ns;
    if (__builtin_mul_overflow(whole, unit->ns, &whole)) return false;
    uint64_t rest = (uint64_t)((unsigned __int128)fraction * unit->ns / scale);
    if (__builtin_add_overflow(s->ns, whole, &s->ns)) return false;
    if (__builtin_add_overflow(s->ns, rest, &s->ns)) return false;
    s->step_ns = unit->ns / scale;
    return true;
}

static bool iso(struct sum *s)
{
    s->p++;
    while (s->p < s->end && *s->p != 'T') {
        if (!part(s, iso_day_units, COUNT(iso_day_units), ".,")) return false;
    }
    if (s->p == s->end) return s->unit_ns > 0;
    s->p++;
    do {
        if (!part(s, iso_time_units, COUNT(iso_time_units), ".,")) return false;
    } while (s->p < s->end);
    return true;
}

static bool chain(struct sum *s)
{
    do {
        if (!part(s, chain_units, COUNT(chain_units), ".")) return false;
    } while (s->p < s->end);
    return true;
}

bool duration_parse(struct span text, uint64_t *ns, uint64_t *step_ns)
{
    if (text.len == 0) return false;
    struct sum s = {.p = text.ptr, .end = text.ptr + text.len};
    if (!(*s.p == 'P' ? iso(&s) : chain(&s))) return false;
    *ns = s.ns;
    *step_ns = s.step_ns > NS_PER_S ? NS_PER_S : s.step_ns > 0 ? s.step_ns : 1;
    return true;
}
