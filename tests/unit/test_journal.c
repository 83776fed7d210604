/* tests/unit/test_journal.c - goal: what is written into a journal's frames is what is read out of
 * them; a byte that differs is noticed; CRC-32C is the one of RFC 3720; sets of lines hold lines.
 */
#include "core/base/crc32c.h"
#include "core/base/prng.h"
#include "core/journal/journal.h"
#include "core/journal/lineset.h"

#include <criterion/criterion.h>
#include <string.h>

Test(crc32c, has_the_values_of_rfc_3720)
{
    uint8_t zeros[32] = {0}, ones[32], up[32];
    memset(ones, 0xFF, sizeof ones);
    for (int i = 0; i < 32; i++) up[i] = (uint8_t)i;
    cr_assert_eq(crc32c(0, zeros, 32), 0x8A9136AAu);
    cr_assert_eq(crc32c(0, ones, 32), 0x62A8AB43u);
    cr_assert_eq(crc32c(0, up, 32), 0x46DD794Eu);
    cr_assert_eq(crc32c(0, "123456789", 9), 0xE3069283u);
}

Test(crc32c, is_the_same_by_table_and_in_pieces)
{
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 37 + 11);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        uint32_t whole = crc32c(0, bytes, n);
        cr_assert_eq(crc32c_by_table(0, bytes, n), whole);
        cr_assert_eq(crc32c(crc32c(0, bytes, n / 3), bytes + n / 3, n - n / 3), whole);
    }
}

static struct journal_entry entry_draw(struct prng *p)
{
    struct journal_entry e = {.kind = (uint8_t)(1 + prng_below(p, JOURNAL_KIND_COUNT - 1))};
    uint64_t wide = prng_u64(p) >> prng_below(p, 64);
    switch ((enum journal_kind)e.kind) {
    case JOURNAL_DONE: e.ending = (uint8_t)prng_below(p, JOURNAL_ENDING_COUNT); break;
    case JOURNAL_WAITING:
        e.why = (uint8_t)prng_u64(p);
        e.sent = (uint8_t)prng_u64(p);
        e.maybe = prng_percent(p, 50);
        e.told = prng_percent(p, 50);
        e.due_us = prng_u64(p);
        /* fall through */
    case JOURNAL_BEGUN:
        e.offset = prng_u64(p) >> prng_below(p, 64);
        e.attempts = (uint32_t)prng_below(p, 65536);
        e.first_us = wide;
        break;
    case JOURNAL_COUNT: e.ending = (uint8_t)prng_below(p, JOURNAL_ENDING_COUNT); /* fall through */
    case JOURNAL_LEASE: e.value = wide; break;
    case JOURNAL_END: e.number = wide; break;
    case JOURNAL_FILE:
        e.number = prng_below(p, JOURNAL_FILES);
        e.value = wide;
        e.crc = (uint32_t)prng_u64(p);
        e.known = prng_percent(p, 50);
        break;
    case JOURNAL_HOLD:
        e.ending = (uint8_t)prng_below(p, 2);
        e.text = SPAN_LIT("host.example:443"); /* fall through */
    case JOURNAL_BLOCK:
    case JOURNAL_COMMIT:
        e.number = wide;
        e.value = prng_u64(p);
        break;
    case JOURNAL_META: e.text = SPAN_LIT("run=1\n"); break;
    case JOURNAL_BITS:
        e.number = wide;
        e.text = SPAN_LIT("\x05\x00\x04");
        break;
    case JOURNAL_KIND_COUNT: break;
    }
    bool line = e.kind == JOURNAL_DONE || e.kind == JOURNAL_WAITING || e.kind == JOURNAL_BEGUN;
    if (line) e.line = 1 + (prng_u64(p) >> (1 + prng_below(p, 62)));
    return e;
}

static void same(const struct journal_entry *a, const struct journal_entry *b)
{
    cr_assert(span_eq(a->text, b->text));
    struct journal_entry c = *b;
    c.text = a->text;
    cr_assert_eq(a->kind, c.kind);
    cr_assert_eq(a->ending, c.ending);
    cr_assert_eq(a->why, c.why);
    cr_assert_eq(a->sent, c.sent);
    cr_assert_eq(a->maybe, c.maybe);
    cr_assert_eq(a->told, c.told);
    cr_assert_eq(a->known, c.known);
    cr_assert_eq(a->attempts, c.attempts);
    cr_assert_eq(a->crc, c.crc);
    cr_assert_eq(a->line, c.line, "kind %d", a->kind);
    cr_assert_eq(a->offset, c.offset);
    cr_assert_eq(a->first_us, c.first_us);
    cr_assert_eq(a->due_us, c.due_us);
    cr_assert_eq(a->number, c.number);
    cr_assert_eq(a->value, c.value);
}

Test(journal, entries_are_read_as_they_were_written)
{
    struct prng p;
    prng_seed(&p, 1);
    for (int round = 0; round < 2000; round++) {
        uint8_t mem[4096];
        struct journal_out out = {.mem = mem, .cap = sizeof mem};
        struct journal_entry said[16], heard;
        int count = 1 + (int)prng_below(&p, 16);
        for (int i = 0; i < count; i++) {
            said[i] = entry_draw(&p);
            cr_assert(journal_fits(&out, said[i].text.len));
            journal_put(&out, &said[i]);
        }
        struct journal_in in = journal_in_of(mem, out.len);
        for (int i = 0; i < count; i++) {
            cr_assert_eq(journal_take(&in, &heard), JOURNAL_ENTRY);
            same(&said[i], &heard);
        }
        cr_assert_eq(journal_take(&in, &heard), JOURNAL_OVER);
    }
}

Test(journal, a_delivered_record_takes_few_bytes)
{
    uint8_t mem[4096];
    struct journal_out out = {.mem = mem, .cap = sizeof mem};
    struct journal_entry e = {.kind = JOURNAL_DONE, .ending = JOURNAL_DELIVERED};
    for (int i = 0; i < 1000; i++) {
        e.line = (uint64_t)(5000000 + (i ^ 21));
        journal_put(&out, &e);
    }
    cr_assert_leq(out.len, 2100);
}

Test(journal, cut_entries_are_none)
{
    struct prng p;
    prng_seed(&p, 2);
    for (int round = 0; round < 2000; round++) {
        uint8_t mem[512];
        struct journal_out out = {.mem = mem, .cap = sizeof mem};
        struct journal_entry e = entry_draw(&p), heard;
        journal_put(&out, &e);
        for (uint32_t n = 1; n < out.len; n++) {
            struct journal_in in = journal_in_of(mem, n);
            cr_assert_eq(journal_take(&in, &heard), JOURNAL_BAD, "kind %d, %u of %u", e.kind, n,
                         out.len);
        }
    }
}

Test(journal, a_frame_is_of_its_epoch_and_place)
{
    uint8_t head[JOURNAL_FRAME_HEAD_BYTES], bytes[] = "entries";
    uint32_t len, n = sizeof bytes;
    journal_frame_seal(head, 3, 9, bytes, n);
    cr_assert(journal_frame_length(head, &len));
    cr_assert_eq(len, n);
    cr_assert(journal_frame_ok(head, 3, 9, bytes, n));
    cr_assert_not(journal_frame_ok(head, 4, 9, bytes, n));
    cr_assert_not(journal_frame_ok(head, 3, 8, bytes, n));
    cr_assert_not(journal_frame_ok(head, 3, 9, bytes, n - 1));
    for (uint32_t i = 0; i < 8 * n; i++) {
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        cr_assert_not(journal_frame_ok(head, 3, 9, bytes, n));
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    memset(head, 0, sizeof head);
    cr_assert_not(journal_frame_length(head, &len), "zeros are no frame");
}

Test(journal, a_head_is_whole_or_none)
{
    struct journal_head h = {.epoch = 5, .run_id = 77, .frames = 3, .boot_id = {1, 2}}, got;
    uint8_t bytes[JOURNAL_HEAD_BYTES];
    journal_head_write(&h, bytes);
    cr_assert(journal_head_read(bytes, sizeof bytes, &got));
    cr_assert_eq(got.epoch, 5);
    cr_assert_eq(got.run_id, 77);
    cr_assert_eq(got.frames, 3);
    cr_assert_arr_eq(got.boot_id, h.boot_id, IO_BOOT_ID_BYTES);
    cr_assert_not(journal_head_read(bytes, sizeof bytes - 1, &got));
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 0x10;
        cr_assert_not(journal_head_read(bytes, sizeof bytes, &got), "byte %zu", i);
        bytes[i] ^= 0x10;
    }
}

static void set_word(void *ctx, uint64_t index, uint64_t word) { ((uint64_t *)ctx)[index] = word; }

Test(journal, bits_are_read_as_they_were_written)
{
    struct prng p;
    prng_seed(&p, 3);
    for (int round = 0; round < 500; round++) {
        uint64_t words[200], got[200] = {0};
        for (int i = 0; i < 200; i++) {
            uint32_t kind = (uint32_t)prng_below(&p, 4);
            uint64_t same_as = i > 0 ? words[i - 1] : 0;
            words[i] = kind == 0 ? 0 : kind == 1 ? UINT64_MAX : kind == 2 ? same_as : prng_u64(&p);
        }
        uint8_t text[256];
        uint32_t room = 24 + (uint32_t)prng_below(&p, 200), bytes;
        for (uint64_t at = 0; at < 200;) {
            uint64_t n = journal_bits_write(words + at, 200 - at, text, room, &bytes);
            cr_assert_gt(n, 0);
            cr_assert_leq(bytes, room);
            cr_assert(journal_bits_read(span_of(text, bytes), at, 200, set_word, got));
            at += n;
        }
        cr_assert_arr_eq(words, got, sizeof words);
    }
}

Test(lineset, holds_what_was_added)
{
    struct lineset s;
    cr_assert(lineset_open(&s, 1000));
    cr_assert_not(lineset_has(&s, 5));
    cr_assert(lineset_add(&s, 5));
    cr_assert_not(lineset_add(&s, 5));
    cr_assert(lineset_has(&s, 5));
    cr_assert_not(lineset_has(&s, 6));
    cr_assert_not(lineset_has(&s, 1000000), "beyond its end nothing is in it");
    for (uint64_t i = 60; i < 400; i++) cr_assert(lineset_add(&s, i));
    cr_assert(lineset_has_all(&s, 60, 400));
    cr_assert_not(lineset_has_all(&s, 59, 400));
    cr_assert_not(lineset_has_all(&s, 60, 401));
    cr_assert(lineset_has_all(&s, 70, 70));
    cr_assert_eq(lineset_count(&s), 341);
    lineset_close(&s);
}
