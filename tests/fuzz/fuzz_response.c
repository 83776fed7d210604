/* tests/fuzz/fuzz_response.c - goal: no bytes and no way of cutting them into pieces make the
 * answer parser crash, read beyond a piece, or say two things about one answer.
 *
 * Input: four bytes that draw the cuts, then the bytes of the connection, at whose end it closes.
 * Method: fed whole, byte by byte and cut as drawn; all must agree in everything that the header
 * promises. Then: an answer that is done needs all of its `used` bytes and nothing after them, and
 * has a body that lies within what was used, or is just that when its length was announced.
 */
#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/http/response.h"

#include <stdlib.h>
#include <string.h>

enum { CUT_BYTES = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum response_step step;
    bool at_eof;
    size_t used;
    struct response r;
};

static void begin(struct outcome *o)
{
    memset(o, 0x5a, sizeof *o);
    o->step = RESPONSE_MORE;
    o->used = 0;
    response_init(&o->r);
    CHECK(!response_begun(&o->r));
}

/* From memory of exactly this size, so that the address sanitizer sees a read beyond it. */
static void feed_piece(struct outcome *o, const char *bytes, size_t len)
{
    size_t used;
    if (o->step != RESPONSE_MORE) return;
    char *exact = malloc(len);
    CHECK(exact != NULL);
    memcpy(exact, bytes, len);
    o->step = response_feed(&o->r, exact, len, &used);
    free(exact);
    CHECK(response_begun(&o->r));
    CHECK(used <= len);
    CHECK(used == len || o->step != RESPONSE_MORE);
    o->used += used;
}

static void end(struct outcome *o)
{
    o->at_eof = o->step == RESPONSE_MORE;
    if (o->at_eof) o->step = response_eof(&o->r);
    CHECK(o->step != RESPONSE_MORE);
}

/* In pieces of 1 to `most` bytes, drawn from the seed; all of one byte when most is 1. */
static void feed(struct outcome *o, const char *bytes, size_t len, uint32_t seed, uint32_t most)
{
    begin(o);
    for (size_t at = 0, piece; at < len; at += piece) {
        seed = seed * 1664525 + 1013904223;
        piece = 1 + (seed >> 8) % most;
        if (piece > len - at) piece = len - at;
        feed_piece(o, bytes + at, piece);
    }
    end(o);
}

static void expect_same_hints(const struct hints *a, const struct hints *b)
{
    struct hint x, y;
    memset(&x, 0, sizeof x);
    memset(&y, 0, sizeof y);
    hints_resolve(a, 0, UINT64_MAX, &x);
    hints_resolve(b, 0, UINT64_MAX, &y);
    CHECK(a->any == b->any);
    CHECK(a->ignored == b->ignored);
    CHECK(a->date_len == b->date_len);
    CHECK(memcmp(a->date, b->date, a->date_len) == 0);
    CHECK(memcmp(&x, &y, sizeof x) == 0);
}

static void expect_same(const struct outcome *a, const struct outcome *b)
{
    CHECK(a->step == b->step);
    CHECK(a->at_eof == b->at_eof);
    CHECK(a->r.status == b->r.status);
    CHECK(a->r.body_bytes == b->r.body_bytes);
    CHECK(a->r.body_kept == b->r.body_kept);
    CHECK(memcmp(a->r.body, b->r.body, a->r.body_kept) == 0);
    if (a->step == RESPONSE_BAD) {
        CHECK(strcmp(a->r.bad, b->r.bad) == 0);
    } else {
        CHECK(a->used == b->used);
        CHECK(a->r.keep_alive == b->r.keep_alive);
        CHECK(a->r.body_cut == b->r.body_cut);
        expect_same_hints(&a->r.hints, &b->r.hints);
    }
}

static void expect_done(const struct outcome *o, const char *bytes, size_t len)
{
    const struct response *r = &o->r;
    static struct outcome other;

    CHECK(r->status >= 200);
    CHECK(r->status <= 599);
    CHECK(r->body_bytes <= LIMIT_ANSWER_BODY_BYTES);
    CHECK(r->body_bytes < o->used);
    CHECK(r->body_kept <= LIMIT_ANSWER_KEEP_BYTES);
    CHECK(r->body_kept == r->body_bytes || r->body_kept == LIMIT_ANSWER_KEEP_BYTES);
    CHECK(!(r->body_cut && r->keep_alive));
    CHECK(!(o->at_eof && r->keep_alive));
    CHECK(!(o->at_eof && o->used != len));
    CHECK(!((r->status == 204 || r->status == 304) && r->body_bytes > 0));
    if (o->at_eof || r->body_cut) return;

    /* No body, an announced one that ends it, or a last chunk: each ends in its own way. */
    if (r->body_bytes > 0 && bytes[o->used - 1] != '\n') {
        size_t kept_to = r->body_kept == r->body_bytes ? r->body_kept : 0;
        CHECK(memcmp(bytes + o->used - r->body_bytes, r->body, kept_to) == 0);
    }
    feed(&other, bytes, o->used, 0, UINT32_MAX / 2);
    expect_same(o, &other);
    feed(&other, bytes, o->used - 1, 0, UINT32_MAX / 2);
    CHECK(other.step == RESPONSE_BAD);
    CHECK(other.at_eof);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct outcome whole, other;
    uint32_t seed;
    if (size <= CUT_BYTES) return 0;
    memcpy(&seed, data, sizeof seed);
    const char *bytes = (const char *)data + CUT_BYTES;
    size_t len = size - CUT_BYTES;

    begin(&whole);
    feed_piece(&whole, bytes, len);
    end(&whole);
    feed(&other, bytes, len, seed, 1);
    expect_same(&whole, &other);
    feed(&other, bytes, len, seed, 1 + seed % 97);
    expect_same(&whole, &other);
    size_t cut = seed % len;
    begin(&other);
    if (cut > 0) feed_piece(&other, bytes, cut);
    feed_piece(&other, bytes + cut, len - cut);
    end(&other);
    expect_same(&whole, &other);

    if (whole.step == RESPONSE_DONE) expect_done(&whole, bytes, len);
    return 0;
}
