/* tests/fuzz/fuzz_hints.c - goal: no fields make the reading of hints crash, read beyond them, or
 * come to a hint that is beyond all bounds.
 *
 * Input: two bytes that draw our clock and the longest hint, then field lines, "Name: value\n".
 * Method: what is resolved must keep to the header's bounds, and to plain facts: nonsense is
 * counted at most once a line; what hints_wants() does not want has no effect; the same lines,
 * each twice, say the same; a clock that stands later never makes a wait longer.
 */
#include "core/base/check.h"
#include "core/http/hints.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DRAWN_BYTES = 2 };
#define NS UINT64_C(1000000000)

static void expect_same(const struct hint *a, const struct hint *b)
{
    CHECK(a->has_retry_after == b->has_retry_after);
    CHECK(a->retry_after_ns == b->retry_after_ns);
    CHECK(a->has_limit == b->has_limit);
    CHECK(a->limit == b->limit);
    CHECK(a->window_ns == b->window_ns);
    CHECK(a->has_remaining == b->has_remaining);
    CHECK(a->remaining == b->remaining);
    CHECK(a->has_reset == b->has_reset);
    CHECK(a->reset_ns == b->reset_ns);
    CHECK(a->reset_step_ns == b->reset_step_ns);
}

/* From memory of exactly this size, so that the address sanitizer sees a read beyond it. */
static char *exact(const char *bytes, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    CHECK(copy != NULL);
    memcpy(copy, bytes, len);
    return copy;
}

/* As the parser of answers hands fields over: a name is a token and not empty, the value has no
 * white space around it. */
static void field(struct hints *h, const char *p, const char *end, int times)
{
    const char *colon = p;
    while (colon < end && *colon != ':') colon++;
    if (colon == end || colon == p || scan_token(p, colon) != colon) return;
    const char *value = colon + 1;
    while (value < end && *value == ' ') value++;
    while (end > value && end[-1] == ' ') end--;

    struct span name = span_of(p, (size_t)(colon - p));
    char *copied_name = exact(p, name.len);
    name.ptr = copied_name;
    bool any = h->any;
    unsigned ignored = h->ignored;
    for (int i = 0; i < times; i++) {
        char *copy = exact(value, (size_t)(end - value));
        hints_field(h, name, span_of(copy, (size_t)(end - value)));
        free(copy);
    }
    CHECK(h->any || !any);
    CHECK(h->any || h->ignored == 0);
    CHECK(h->ignored >= ignored);
    CHECK(h->ignored <= ignored + (unsigned)times);
    if (!hints_wants(name)) {
        CHECK(h->any == any);
        CHECK(h->ignored == ignored);
    }
    free(copied_name);
}

static void head(struct hints *h, const char *bytes, size_t len, int times)
{
    memset(h, 0x5a, sizeof *h);
    hints_init(h);
    for (const char *p = bytes, *end = bytes + len; p < end;) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        if (eol == NULL) eol = end;
        field(h, p, eol, times);
        p = eol + 1;
    }
}

static void expect_bounds(const struct hint *t, uint64_t max_ns)
{
    CHECK(t->retry_after_ns <= max_ns);
    CHECK(t->reset_ns <= max_ns);
    CHECK(t->window_ns <= HINT_WINDOW_MAX);
    CHECK(t->limit <= HINT_COUNT_MAX);
    CHECK(t->remaining <= HINT_COUNT_MAX);
    CHECK(t->has_reset == (t->reset_step_ns > 0));
    CHECK(t->reset_step_ns <= NS);
    CHECK(t->has_limit || t->limit == 0);
    CHECK(t->has_limit || t->window_ns == 0);
    CHECK(t->has_remaining || t->remaining == 0);
    CHECK(t->has_retry_after || t->retry_after_ns == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hints once, twice;
    struct hint hint, other;
    if (size < DRAWN_BYTES) return 0;
    uint64_t wall_ns = (1699999900 + data[0]) * NS;
    uint64_t max_ns = data[1] == 255 ? UINT64_MAX : data[1] * 60 * NS;
    const char *bytes = (const char *)data + DRAWN_BYTES;
    size_t len = size - DRAWN_BYTES;

    head(&once, bytes, len, 1);
    hints_resolve(&once, wall_ns, max_ns, &hint);
    expect_bounds(&hint, max_ns);
    if (!once.any) {
        CHECK(!hint.has_retry_after && !hint.has_limit && !hint.has_remaining && !hint.has_reset);
    }
    hints_resolve(&once, wall_ns + 5 * NS, max_ns, &other);
    CHECK(other.retry_after_ns <= hint.retry_after_ns);
    CHECK(other.reset_ns <= hint.reset_ns);
    CHECK(other.has_reset == hint.has_reset);
    CHECK(other.remaining == hint.remaining);

    head(&twice, bytes, len, 2);
    CHECK(twice.any == once.any);
    hints_resolve(&twice, wall_ns, max_ns, &other);
    expect_same(&hint, &other);
    return 0;
}
