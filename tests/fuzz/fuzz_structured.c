/* tests/fuzz/fuzz_structured.c - goal: no field makes the parser of structured fields crash, read
 * beyond it, run on, or say something that it would not say of the same field written properly.
 *
 * Input: a byte that draws the kind, then the field. Method: what is told of a good field is
 * written out as RFC 9651 section 4.1 says, and read again: every event must be the same. Two good
 * lists are one good list with a comma between; a bad one spoils it.
 */
#include "core/base/check.h"
#include "core/http/structured.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELD_MAX = 4096, WRITTEN_MAX = 4 * FIELD_MAX + 64 };

/* A field, written properly. */
struct written {
    char bytes[WRITTEN_MAX];
    size_t len;
    size_t events;
};

static void put(struct written *w, const char *text, size_t len)
{
    CHECK(w->len + len <= sizeof w->bytes);
    memcpy(w->bytes + w->len, text, len);
    w->len += len;
}

static void put_text(struct written *w, const char *before, struct span text, const char *after)
{
    put(w, before, strlen(before));
    put(w, text.ptr, text.len);
    put(w, after, strlen(after));
}

static void put_number(struct written *w, const char *before, int64_t number)
{
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%s%" PRId64, before, number);
    CHECK(n > 0);
    put(w, digits, (size_t)n);
}

static void put_decimal(struct written *w, int64_t thousandths)
{
    char digits[32];
    uint64_t size = (uint64_t)(thousandths < 0 ? -thousandths : thousandths);
    int n = snprintf(digits, sizeof digits, "%s%" PRIu64 ".%03" PRIu64, thousandths < 0 ? "-" : "",
                     size / 1000, size % 1000);
    CHECK(n > 0);
    put(w, digits, (size_t)n);
}

static void put_value(struct written *w, const struct sf_value *v)
{
    switch ((enum sf_type)v->type) {
    case SF_NONE: UNREACHABLE();
    case SF_INTEGER: put_number(w, "", v->number); break;
    case SF_DECIMAL: put_decimal(w, v->number); break;
    case SF_STRING: put_text(w, "\"", v->text, "\""); break;
    case SF_TOKEN: put_text(w, "", v->text, ""); break;
    case SF_BYTES: put_text(w, ":", v->text, ":"); break;
    case SF_BOOLEAN: put_number(w, "?", v->number); break;
    case SF_DATE: put_number(w, "@", v->number); break;
    case SF_DISPLAY: put_text(w, "%\"", v->text, "\""); break;
    }
    CHECK(v->number <= INT64_C(999999999999999));
    CHECK(v->number >= -INT64_C(999999999999999));
}

static void expect_within(struct span part, struct span field)
{
    if (part.len == 0) return;
    CHECK(part.ptr >= field.ptr);
    CHECK(part.ptr + part.len <= field.ptr + field.len);
}

static void write_event(struct written *w, const struct sf *s, enum sf_event e, bool first)
{
    static const struct span none = {"", 0};
    bool named = s->kind == SF_KIND_DICTIONARY && !s->inner;
    if (e == SF_INNER_END) {
        put(w, ")", 1);
    } else if (e == SF_PARAM) {
        put_text(w, ";", s->key, "=");
        put_value(w, &s->value);
    } else {
        if (!first) put_text(w, s->inner && e == SF_ITEM ? " " : ",", none, "");
        if (named || e == SF_INNER) {
            if (s->kind == SF_KIND_DICTIONARY) put_text(w, "", s->key, "=");
        }
        if (e == SF_INNER) put(w, "(", 1);
        else put_value(w, &s->value);
    }
}

/* Reads a field, and writes it properly; false when it is bad. */
static bool read_field(struct written *w, enum sf_kind kind, struct span field)
{
    struct sf s;
    bool first = true;
    w->len = 0;
    w->events = 0;
    sf_begin(&s, kind, field);
    for (enum sf_event e = sf_next(&s); e != SF_END; e = sf_next(&s)) {
        if (e == SF_BAD) {
            CHECK(sf_next(&s) == SF_BAD);
            return false;
        }
        CHECK(++w->events <= field.len);
        expect_within(s.key, field);
        expect_within(s.value.text, field);
        write_event(w, &s, e, first);
        first = e == SF_INNER;
    }
    CHECK(sf_next(&s) == SF_END);
    return true;
}

/* From memory of exactly this size, so that the address sanitizer sees a read beyond it. */
static bool read_exact(struct written *w, enum sf_kind kind, const char *bytes, size_t len)
{
    char *exact = malloc(len > 0 ? len : 1);
    CHECK(exact != NULL);
    memcpy(exact, bytes, len);
    bool good = read_field(w, kind, span_of(exact, len));
    free(exact);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct written once, again;
    static char joined[2 * FIELD_MAX + 2];
    if (size < 1 || size > FIELD_MAX) return 0;
    enum sf_kind kind = (enum sf_kind)(data[0] % 3);
    const char *bytes = (const char *)data + 1;
    size_t len = size - 1;

    bool good = read_exact(&once, kind, bytes, len);
    if (good) {
        CHECK(read_field(&again, kind, span_of(once.bytes, once.len)));
        CHECK(again.events == once.events);
        CHECK(again.len == once.len);
        CHECK(memcmp(again.bytes, once.bytes, once.len) == 0);
    }
    if (kind == SF_KIND_ITEM) {
        CHECK(!good || read_exact(&again, SF_KIND_LIST, bytes, len));
        return 0;
    }
    if (once.events == 0 && good) return 0;
    memcpy(joined, bytes, len);
    joined[len] = ',';
    memcpy(joined + len + 1, bytes, len);
    bool both = read_exact(&again, kind, joined, 2 * len + 1);
    if (good && bytes[0] != ' ') {
        CHECK(both);
        CHECK(again.events == 2 * once.events);
    }
    /* A string or parenthesis that does not end may be ended by its own copy. */
    if (both) CHECK(good || memchr(bytes, '"', len) != NULL || memchr(bytes, '(', len) != NULL);
    return 0;
}
