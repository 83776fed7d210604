/* tests/fuzz/fuzz_redact.c - goal: whatever a request's head, a receiver's answer and a URL's
 * query look like, no secret of the head and no value of a named parameter is told, and outputs
 * keep to their bounds.
 *
 * Input: a request, a NUL, and an answer; all of it once more as a query. Method: the head is read
 * here a second time, in the plainest way. What was told of the answer is parted at the masks; no
 * part may hold a secret of 4 bytes or more, or end with 4 or more of its first ones, and the
 * parts must be in the answer in this order. A smaller cap must tell the beginning of the same. In
 * a query each named parameter must be masked or empty, and masking once more changes nothing.
 */
#include "core/base/check.h"
#include "core/engine/redact.h"

#include <stdlib.h>
#include <string.h>

enum { SECRET_BYTES_MIN = 4, MASK_BYTES = sizeof REDACT_MASK - 1 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"token", "X-Secret", "k"};
static const struct redact redact = {names, 3};

static bool in(struct span text, struct span word)
{
    return text.len > 0 && memmem(text.ptr, text.len, word.ptr, word.len) != NULL;
}

/* The first mask at or after `at`, or the end. */
static size_t mask_at(struct span told, size_t at)
{
    const char *mask =
        at < told.len ? memmem(told.ptr + at, told.len - at, REDACT_MASK, MASK_BYTES) : NULL;
    return mask ? (size_t)(mask - told.ptr) : told.len;
}

static void expect_untold(struct span told, struct span secret)
{
    if (secret.len < SECRET_BYTES_MIN) return;
    for (size_t at = 0, mask; at < told.len; at = mask + MASK_BYTES) {
        mask = mask_at(told, at);
        CHECK(!in(span_of(told.ptr + at, mask - at), secret));
        if (mask < told.len) continue;
        for (size_t n = SECRET_BYTES_MIN; n < secret.len && n <= mask - at; n++) {
            CHECK(memcmp(told.ptr + mask - n, secret.ptr, n) != 0);
        }
    }
}

static bool hides(struct span name)
{
    return span_eq_nocase(name, SPAN_LIT("Authorization")) ||
           span_eq_nocase(name, SPAN_LIT("Proxy-Authorization")) ||
           span_eq_nocase(name, SPAN_LIT("Cookie")) ||
           span_eq_nocase(name, SPAN_LIT("Webhook-Signature")) ||
           span_eq_nocase(name, SPAN_LIT("X-Secret"));
}

static void expect_head_untold(struct span request, struct span told)
{
    size_t line = 0;
    for (bool first = true; line < request.len; first = false) {
        size_t end = line, colon, from;
        while (end < request.len && request.ptr[end] != '\n') end++;
        size_t next = end + 1;
        if (end > line && request.ptr[end - 1] == '\r') end--;
        if (end == line) return;
        for (colon = line; colon < end && request.ptr[colon] != ':';) colon++;
        for (from = colon + 1; from < end && strchr(" \t\r", request.ptr[from]) != NULL;) from++;
        while (end > from && strchr(" \t\r", request.ptr[end - 1]) != NULL) end--;
        if (!first && from < end && hides(span_of(request.ptr + line, colon - line))) {
            expect_untold(told, span_of(request.ptr + from, end - from));
        }
        line = next;
    }
}

/* The parts between the masks stand in the answer, one behind the other. */
static void expect_parts(struct span told, struct span answer)
{
    size_t seen = 0;
    for (size_t at = 0; at < told.len;) {
        size_t mask = mask_at(told, at), len = mask - at;
        if (len > 0) {
            const char *part = memmem(answer.ptr + seen, answer.len - seen, told.ptr + at, len);
            CHECK(part != NULL);
            seen = (size_t)(part - answer.ptr) + len;
        }
        at = mask + MASK_BYTES;
    }
}

static void check_answer(struct span request, struct span answer)
{
    size_t cap = answer.len * MASK_BYTES + MASK_BYTES;
    char *all = malloc(cap);
    CHECK(all != NULL);
    struct span told = span_of(all, redact_answer(&redact, answer, request, all, cap));
    CHECK(told.len < cap);
    expect_head_untold(request, told);
    expect_parts(told, answer);

    size_t caps[] = {0, 1, told.len / 2, told.len - (told.len > 0), told.len};
    for (size_t i = 0; i < sizeof caps / sizeof caps[0]; i++) {
        char *out = malloc(caps[i]);
        CHECK(out != NULL || caps[i] == 0);
        size_t len = redact_answer(&redact, answer, request, out, caps[i]);
        CHECK(len == (caps[i] < told.len ? caps[i] : told.len));
        CHECK(len == 0 || memcmp(out, all, len) == 0);
        free(out);
    }
    free(all);
}

static bool is_masked(struct span parameter)
{
    for (size_t i = 0; i < redact.count; i++) {
        size_t len = strlen(names[i]);
        if (parameter.len <= len || parameter.ptr[len] != '=') continue;
        if (!span_eq_nocase(span_of(parameter.ptr, len), span_of(names[i], len))) continue;
        struct span value = span_of(parameter.ptr + len + 1, parameter.len - len - 1);
        if (value.len > 0 && !span_eq(value, SPAN_LIT(REDACT_MASK))) return false;
    }
    return true;
}

static void check_query(struct span query)
{
    size_t room = redact_query_size_max(query.len);
    char *out = malloc(room);
    CHECK(out != NULL || room == 0);
    size_t len = redact_query(&redact, query, out);
    CHECK(len <= room);
    for (size_t at = 0, end; at < len; at = end + 1) {
        for (end = at; end < len && out[end] != '&';) end++;
        CHECK(is_masked(span_of(out + at, end - at)));
    }
    char *again = malloc(redact_query_size_max(len));
    CHECK(again != NULL || len == 0);
    CHECK(redact_query(&redact, span_of(out, len), again) == len);
    CHECK(len == 0 || memcmp(again, out, len) == 0);
    free(again);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *nul = size > 0 ? memchr(data, '\0', size) : NULL;
    size_t head = nul ? (size_t)(nul - text) : size;
    check_query(span_of(text, size));
    if (nul) check_answer(span_of(text, head), span_of(nul + 1, size - head - 1));
    return 0;
}
