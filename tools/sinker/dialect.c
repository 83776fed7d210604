/* tools/sinker/dialect.c - see dialect.h. Written by hand rather than by snprintf(): a limited
 * answer has to come nearly as fast as a usual one.
 */
#include "tools/sinker/dialect.h"

#include "core/base/stamp.h"

#define NS_PER_MS 1000000u
#define NS_PER_S  1000000000u

/* What a dialect consists of. */
enum shape {
    SHAPE_SILENT,
    SHAPE_DATE,        /* Date */
    SHAPE_RETRY_AFTER, /* where refused */
    SHAPE_TRIPLE,      /* NAME-Limit, NAME-Remaining, NAME-Reset */
    SHAPE_LIST,        /* the same, but Limit tells the policy as well, as drafts up to 3 did */
    SHAPE_DRAFT7,      /* RateLimit: limit=, remaining=, reset= */
    SHAPE_STRUCTURED,  /* RateLimit and RateLimit-Policy as structured fields */
};

enum form {
    FORM_NONE,
    FORM_DELTA_UP,   /* whole seconds from now on */
    FORM_DELTA_DOWN, /* the same, cut off */
    FORM_DELTA_MS,   /* seconds with three decimals */
    FORM_EPOCH,      /* seconds since 1970 */
    FORM_EPOCH_MS,   /* milliseconds since 1970 */
    FORM_DURATION,   /* 6m0s, 1.5s, 20ms */
    FORM_HTTP_DATE,
    FORM_RFC3339,
};

struct dialect {
    struct span name;
    uint8_t shape, form;
    bool has_date;
    struct span prefix, suffix; /* of the fields of SHAPE_TRIPLE */
    const char *help;
};

#define NO SPAN_LIT("")

/* clang-format off */
static const struct dialect table[] = {
    {SPAN_LIT("none"), SHAPE_SILENT, FORM_NONE, false, NO, NO, "nothing but the status"},
    {SPAN_LIT("date"), SHAPE_DATE, FORM_HTTP_DATE, false, NO, NO, "Date, to be joined with others"},
    {SPAN_LIT("retry-after"), SHAPE_RETRY_AFTER, FORM_DELTA_UP, false, NO, NO,
     "Retry-After: 3, only with 429"},
    {SPAN_LIT("retry-after-decimal"), SHAPE_RETRY_AFTER, FORM_DELTA_MS, false, NO, NO,
     "Retry-After: 2.718, only with 429"},
    {SPAN_LIT("retry-after-date"), SHAPE_RETRY_AFTER, FORM_HTTP_DATE, true, NO, NO,
     "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT and Date"},
    {SPAN_LIT("x-rate-limit"), SHAPE_TRIPLE, FORM_EPOCH, false, SPAN_LIT("X-Rate-Limit-"), NO,
     "X-Rate-Limit-Limit, -Remaining, -Reset; Reset in epoch seconds"},
    {SPAN_LIT("x-ratelimit"), SHAPE_TRIPLE, FORM_DELTA_UP, false, SPAN_LIT("X-RateLimit-"), NO,
     "X-RateLimit-Limit, -Remaining, -Reset; Reset in seconds from now"},
    {SPAN_LIT("x-ratelimit-decimal"), SHAPE_TRIPLE, FORM_DELTA_MS, false,
     SPAN_LIT("X-RateLimit-"), NO, "the same with three decimals"},
    {SPAN_LIT("x-ratelimit-epoch"), SHAPE_TRIPLE, FORM_EPOCH, true, SPAN_LIT("X-RateLimit-"), NO,
     "the same in epoch seconds, and Date, as GitHub does"},
    {SPAN_LIT("x-ratelimit-ms"), SHAPE_TRIPLE, FORM_EPOCH_MS, false, SPAN_LIT("X-RateLimit-"), NO,
     "the same in epoch milliseconds"},
    {SPAN_LIT("x-ratelimit-duration"), SHAPE_TRIPLE, FORM_DURATION, false,
     SPAN_LIT("X-RateLimit-"), NO, "the same as 6m0s, 1.5s or 20ms"},
    {SPAN_LIT("x-ratelimit-date"), SHAPE_TRIPLE, FORM_HTTP_DATE, false,
     SPAN_LIT("X-RateLimit-"), NO, "the same as an HTTP date"},
    {SPAN_LIT("x-ratelimit-iso"), SHAPE_TRIPLE, FORM_RFC3339, false, SPAN_LIT("X-RateLimit-"), NO,
     "the same as 1994-11-06T08:49:37.123456Z"},
    {SPAN_LIT("openai"), SHAPE_TRIPLE, FORM_DURATION, false, SPAN_LIT("x-ratelimit-"),
     SPAN_LIT("-requests"), "x-ratelimit-limit-requests and so on, as 6m0s"},
    {SPAN_LIT("ratelimit"), SHAPE_TRIPLE, FORM_DELTA_UP, false, SPAN_LIT("RateLimit-"), NO,
     "RateLimit-Limit, -Remaining, -Reset; Reset in seconds from now"},
    {SPAN_LIT("ratelimit-floor"), SHAPE_TRIPLE, FORM_DELTA_DOWN, false, SPAN_LIT("RateLimit-"), NO,
     "the same rounded down: who trusts it comes too early"},
    {SPAN_LIT("draft3"), SHAPE_LIST, FORM_DELTA_UP, false, SPAN_LIT("RateLimit-"), NO,
     "the same with RateLimit-Limit: 100, 100;w=60"},
    {SPAN_LIT("draft7"), SHAPE_DRAFT7, FORM_DELTA_UP, false, NO, NO,
     "RateLimit: limit=100, remaining=50, reset=30; RateLimit-Policy: 100;w=60"},
    {SPAN_LIT("structured"), SHAPE_STRUCTURED, FORM_DELTA_UP, false, NO, NO,
     "RateLimit: \"default\";r=50;t=30; RateLimit-Policy: \"default\";q=100;w=60"},
};
/* clang-format on */

enum { TABLE_COUNT = sizeof table / sizeof table[0] };
_Static_assert(TABLE_COUNT <= 32, "a dialect is a bit of 32");

static const struct dialect *find(struct span name, uint32_t *bit)
{
    for (unsigned i = 0; i < TABLE_COUNT; i++) {
        if (!span_eq(table[i].name, name)) continue;
        *bit = BIT(i);
        return &table[i];
    }
    return NULL;
}

bool dialect_parse(struct span text, uint32_t *dialects)
{
    uint32_t bits = 0, bit;
    const char *p = text.ptr, *end = text.ptr + text.len;
    for (;;) {
        const char *comma = p < end ? memchr(p, ',', (size_t)(end - p)) : NULL;
        if (!find(span_of(p, (size_t)((comma ? comma : end) - p)), &bit)) return false;
        bits |= bit;
        if (!comma) break;
        p = comma + 1;
    }
    *dialects = bits;
    return true;
}

size_t dialect_text(uint32_t dialects, char out[DIALECT_TEXT_BYTES])
{
    char *p = out;
    for (unsigned i = 0; i < TABLE_COUNT; i++) {
        if (!(dialects & BIT(i))) continue;
        if (p > out) *p++ = ',';
        p = span_put(p, table[i].name);
        CHECK(p < out + DIALECT_TEXT_BYTES);
    }
    *p = 0;
    return (size_t)(p - out);
}

const char *dialect_name(unsigned index)
{
    return index < TABLE_COUNT ? table[index].name.ptr : NULL;
}

const char *dialect_help(unsigned index) { return index < TABLE_COUNT ? table[index].help : NULL; }

#define PUT(out, literal) span_put((out), SPAN_LIT(literal))

static char *put_u64(char *out, uint64_t value) { return out + stamp_u64(out, value); }

static char *put_3_digits(char *out, uint64_t value)
{
    *out++ = (char)('0' + value / 100);
    *out++ = (char)('0' + value / 10 % 10);
    *out++ = (char)('0' + value % 10);
    return out;
}

/* Go's way: 1h2m0s, 2m3.5s, 20ms. */
static char *put_duration(char *out, uint64_t ms)
{
    if (ms < 1000) {
        out = put_u64(out, ms);
        return ms ? PUT(out, "ms") : PUT(out, "s");
    }
    uint64_t s = ms / 1000;
    ms %= 1000;
    if (s >= 3600) {
        out = put_u64(out, s / 3600);
        *out++ = 'h';
    }
    if (s >= 60) {
        out = put_u64(out, s / 60 % 60);
        *out++ = 'm';
    }
    out = put_u64(out, s % 60);
    if (ms) {
        *out++ = '.';
        out = put_3_digits(out, ms);
        while (out[-1] == '0') out--;
    }
    *out++ = 's';
    return out;
}

void dialect_http_date(char *out, uint64_t since_1970_s)
{
    static const char days[7][6] = {"Thu, ", "Fri, ", "Sat, ", "Sun, ", "Mon, ", "Tue, ", "Wed, "};
    static const char months[12][6] = {" Jan ", " Feb ", " Mar ", " Apr ", " May ", " Jun ",
                                       " Jul ", " Aug ", " Sep ", " Oct ", " Nov ", " Dec "};
    struct stamp_cache cache = {0};
    char iso[STAMP_UTC_BYTES]; /* "1994-11-06T08:49:37.000000Z" */
    stamp_utc(&cache, iso, since_1970_s * NS_PER_S);
    unsigned month = (unsigned)(iso[5] - '0') * 10 + (unsigned)(iso[6] - '0') - 1;
    CHECK(month < 12);
    memcpy(out, days[since_1970_s / 86400 % 7], 5);
    memcpy(out + 5, iso + 8, 2);
    memcpy(out + 7, months[month], 5);
    memcpy(out + 12, iso, 4);
    out[16] = ' ';
    memcpy(out + 17, iso + 11, 8);
    memcpy(out + 25, " GMT", 4);
}

static uint64_t up(uint64_t ns, uint64_t unit_ns) { return (ns + unit_ns - 1) / unit_ns; }

/* A moment of the monotonic clock, or how long it is until then. */
static char *put_time(char *out, enum form form, const struct dialect_view *v, uint64_t at_ns)
{
    uint64_t delta_ns = at_ns > v->now_ns ? at_ns - v->now_ns : 0;
    uint64_t epoch_ns = v->wall_ns + delta_ns, ms;
    struct stamp_cache cache = {0};
    switch (form) {
    case FORM_DELTA_UP: return put_u64(out, up(delta_ns, NS_PER_S));
    case FORM_DELTA_DOWN: return put_u64(out, delta_ns / NS_PER_S);
    case FORM_DELTA_MS:
        ms = up(delta_ns, NS_PER_MS);
        out = put_u64(out, ms / 1000);
        *out++ = '.';
        return put_3_digits(out, ms % 1000);
    case FORM_EPOCH: return put_u64(out, up(epoch_ns, NS_PER_S));
    case FORM_EPOCH_MS: return put_u64(out, up(epoch_ns, NS_PER_MS));
    case FORM_DURATION: return put_duration(out, up(delta_ns, NS_PER_MS));
    case FORM_HTTP_DATE:
        dialect_http_date(out, up(epoch_ns, NS_PER_S));
        return out + DIALECT_DATE_BYTES;
    case FORM_RFC3339: stamp_utc(&cache, out, epoch_ns + 999); return out + STAMP_UTC_BYTES;
    case FORM_NONE: break;
    }
    UNREACHABLE();
}

static char *put_date(char *out, const struct dialect_view *v)
{
    out = PUT(out, "Date: ");
    dialect_http_date(out, v->wall_ns / NS_PER_S);
    return PUT(out + DIALECT_DATE_BYTES, "\r\n");
}

/* ";w=60"; a window that is no whole number of seconds cannot be told. */
static char *put_window(char *out, const struct dialect_view *v)
{
    if (v->rule->window_ns % NS_PER_S == 0)
        out = put_u64(PUT(out, ";w="), v->rule->window_ns / NS_PER_S);
    return PUT(out, "\r\n");
}

static char *put_triple(char *out, const struct dialect *d, const struct dialect_view *v)
{
    out = PUT(span_put(out, d->prefix), "Limit");
    out = put_u64(PUT(span_put(out, d->suffix), ": "), v->rule->count);
    if (d->shape == SHAPE_LIST) {
        out = put_u64(PUT(out, ", "), v->rule->count);
        out = put_window(out, v);
    } else {
        out = PUT(out, "\r\n");
    }
    out = PUT(span_put(out, d->prefix), "Remaining");
    out = put_u64(PUT(span_put(out, d->suffix), ": "), v->pass->remaining);
    out = PUT(span_put(PUT(out, "\r\n"), d->prefix), "Reset");
    out = put_time(PUT(span_put(out, d->suffix), ": "), d->form, v, v->pass->whole_ns);
    return PUT(out, "\r\n");
}

static char *put_draft7(char *out, const struct dialect_view *v)
{
    out = put_u64(PUT(out, "RateLimit: limit="), v->rule->count);
    out = put_u64(PUT(out, ", remaining="), v->pass->remaining);
    out = put_time(PUT(out, ", reset="), FORM_DELTA_UP, v, v->pass->whole_ns);
    out = put_u64(PUT(out, "\r\nRateLimit-Policy: "), v->rule->count);
    return put_window(out, v);
}

static char *put_structured(char *out, const struct dialect_view *v)
{
    out = put_u64(PUT(out, "RateLimit-Policy: \"default\";q="), v->rule->count);
    out = put_window(out, v);
    out = put_u64(PUT(out, "RateLimit: \"default\";r="), v->pass->remaining);
    out = put_time(PUT(out, ";t="), FORM_DELTA_UP, v, v->pass->whole_ns);
    return PUT(out, "\r\n");
}

static char *put_one(char *out, const struct dialect *d, const struct dialect_view *v)
{
    switch ((enum shape)d->shape) {
    case SHAPE_SILENT:
    case SHAPE_DATE: return out;
    case SHAPE_RETRY_AFTER:
        if (v->pass->verdict != QUOTA_REFUSED) return out;
        out = put_time(PUT(out, "Retry-After: "), d->form, v, v->pass->next_ns);
        return PUT(out, "\r\n");
    case SHAPE_TRIPLE:
    case SHAPE_LIST: return put_triple(out, d, v);
    case SHAPE_DRAFT7: return put_draft7(out, v);
    case SHAPE_STRUCTURED: return put_structured(out, v);
    }
    UNREACHABLE();
}

size_t dialect_fields(char *out, const struct dialect_view *v)
{
    CHECK(v->pass->verdict == QUOTA_ALLOWED || v->pass->verdict == QUOTA_REFUSED);
    char *p = out;
    bool has_date = false;
    for (uint32_t left = v->rule->dialects; left; left &= left - 1) {
        const struct dialect *d = &table[__builtin_ctz(left)];
        has_date |= d->has_date || d->shape == SHAPE_DATE;
        p = put_one(p, d, v);
    }
    if (has_date) p = put_date(p, v);
    CHECK(p <= out + DIALECT_BYTES_MAX);
    return (size_t)(p - out);
}
