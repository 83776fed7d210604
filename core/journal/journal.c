/* core/journal/journal.c - the byte format of a run's journal.
 *
 *   file    = head frame*
 *   head    = 80 bytes:
 *              0  8  "HOOKJRNL"
 *              8  4  version, 1
 *             12  4  CRC-32C of the head with these four bytes as 0
 *             16  8  epoch: greater than that of any journal of this state before it
 *             24  8  run id
 *             32  8  frames of the snapshot, the first ones in the file
 *             40 16  boot id of the machine
 *             56  1  enum journal_sync
 *             57 23  0
 *   frame   = length(4) check(4) entry*          length: bytes of the entries, 1 to 1 MiB
 *             check: CRC-32C of epoch(8) sequence(8) length(4) and the entries. The sequence number
 *             is not written: the first frame of a file is 1, and each one more than that before.
 *   entry   = tag fields        tag: enum journal_kind in the low four bits, its flags in the high
 *   numbers are little-endian or, inside entries, base-128 varints; a line and an offset are the
 *   difference from the one before in the same frame, the sign in bit 0.
 *
 * What counts. The frames from the first on, as long as each is whole and its check is right. What
 * stands behind the first that is not was never told to anyone, and is never looked at again:
 * opening a state always writes a new file, with a higher epoch, that begins with a snapshot of all
 * that counted; it is synced, renamed over the old one, and the folder synced, before anything new
 * begins. So no torn tail of an earlier life can come back, and no byte of an earlier file that
 * comes up in this one passes the check. A file with fewer good frames than its snapshot has is
 * damaged: nothing is taken from it.
 *
 * Frames and the lines that they speak of. A frame names, for each output file that has grown, its
 * new length and the CRC-32C of what was added (JOURNAL_FILE). The lines are written first, the
 * frame after them, and both are synced together later: the next frame's JOURNAL_COMMIT says up to
 * which frame all is known to be on disk. After a power loss a frame beyond that may be there
 * without its lines; then the checksum of the lines is wrong, and the journal ends before it.
 * Recovery cuts each output file to the last length that counts.
 */
#include "core/journal/journal.h"

#include "core/base/crc32c.h"

#include <string.h>

_Static_assert(JOURNAL_KIND_COUNT <= 16, "a kind has four bits");
_Static_assert(JOURNAL_ENDING_COUNT <= 16, "so has an ending");

/* ---- numbers ------------------------------------------------------------------------------ */

static uint8_t *put_le(uint8_t *out, uint64_t n, int bytes)
{
    for (int i = 0; i < bytes; i++) *out++ = (uint8_t)(n >> 8 * i);
    return out;
}

static uint64_t get_le(const uint8_t *in, int bytes)
{
    uint64_t n = 0;
    for (int i = 0; i < bytes; i++) n |= (uint64_t)in[i] << 8 * i;
    return n;
}

static uint8_t *put_varint(uint8_t *out, uint64_t n)
{
    for (; n >= 128; n >>= 7) *out++ = (uint8_t)(n | 128);
    *out++ = (uint8_t)n;
    return out;
}

static bool get_varint(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
    uint64_t n = 0;
    for (int shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        n |= (uint64_t)(byte & 127) << shift;
        if (byte >= 128) continue;
        *out = n;
        return true;
    }
    return false;
}

/* The difference between two numbers, small ones of either sign short. */
static uint64_t zigzag(uint64_t now, uint64_t before)
{
    uint64_t diff = now - before;
    return diff << 1 ^ (diff >> 63 ? UINT64_MAX : 0);
}

static uint64_t unzigzag(uint64_t coded, uint64_t before)
{
    return before + (coded >> 1 ^ (coded & 1 ? UINT64_MAX : 0));
}

/* ---- writing entries ---------------------------------------------------------------------- */

static uint8_t *put_place(struct journal_out *o, uint8_t *out, const struct journal_entry *e)
{
    out = put_varint(out, zigzag(e->offset, o->offset));
    out = put_varint(out, e->attempts);
    o->offset = e->offset;
    return out;
}

static uint8_t *put_line(struct journal_out *o, uint8_t *out, const struct journal_entry *e)
{
    out = put_varint(out, zigzag(e->line, o->line));
    o->line = e->line;
    return out;
}

static uint8_t *put_text(uint8_t *out, struct span text)
{
    out = put_varint(out, text.len);
    if (text.len > 0) memcpy(out, text.ptr, text.len);
    return out + text.len;
}

static uint8_t flags_of(const struct journal_entry *e)
{
    switch ((enum journal_kind)e->kind) {
    case JOURNAL_DONE:
    case JOURNAL_COUNT:
    case JOURNAL_HOLD: return e->ending;
    case JOURNAL_WAITING: return (uint8_t)(e->maybe | e->told << 1);
    case JOURNAL_FILE: return e->known;
    default: return 0;
    }
}

void journal_put(struct journal_out *o, const struct journal_entry *e)
{
    CHECK(e->kind > 0 && e->kind < JOURNAL_KIND_COUNT);
    CHECK(journal_fits(o, e->text.len));
    uint8_t *out = o->mem + o->len;
    *out++ = (uint8_t)(e->kind | flags_of(e) << 4);
    switch ((enum journal_kind)e->kind) {
    case JOURNAL_DONE: out = put_line(o, out, e); break;
    case JOURNAL_WAITING:
        out = put_place(o, put_line(o, out, e), e);
        *out++ = e->why;
        *out++ = e->sent;
        out = put_varint(put_varint(out, e->first_us), zigzag(e->due_us, e->first_us));
        break;
    case JOURNAL_BEGUN:
        out = put_place(o, put_line(o, out, e), e);
        out = put_varint(out, e->first_us);
        break;
    case JOURNAL_BLOCK:
    case JOURNAL_COMMIT: out = put_varint(put_varint(out, e->number), e->value); break;
    case JOURNAL_LEASE:
    case JOURNAL_COUNT: out = put_varint(out, e->value); break;
    case JOURNAL_END: out = put_varint(out, e->number); break;
    case JOURNAL_FILE:
        out = put_varint(put_varint(out, e->number), e->value);
        out = put_le(out, e->crc, 4);
        break;
    case JOURNAL_HOLD:
        out = put_varint(put_varint(out, e->number), e->value);
        out = put_text(out, e->text);
        break;
    case JOURNAL_META: out = put_text(out, e->text); break;
    case JOURNAL_BITS: out = put_text(put_varint(out, e->number), e->text); break;
    case JOURNAL_KIND_COUNT: UNREACHABLE();
    }
    o->len = (uint32_t)(out - o->mem);
    CHECK(o->len <= o->cap);
}

/* ---- reading entries ---------------------------------------------------------------------- */

static bool get_line(struct journal_in *in, struct journal_entry *e)
{
    uint64_t coded;
    if (!get_varint(&in->at, in->end, &coded)) return false;
    e->line = in->line = unzigzag(coded, in->line);
    return e->line > 0;
}

static bool get_place(struct journal_in *in, struct journal_entry *e)
{
    uint64_t coded, attempts;
    if (!get_line(in, e) || !get_varint(&in->at, in->end, &coded)) return false;
    if (!get_varint(&in->at, in->end, &attempts) || attempts > UINT16_MAX) return false;
    e->offset = in->offset = unzigzag(coded, in->offset);
    e->attempts = (uint32_t)attempts;
    return true;
}

static bool get_waiting(struct journal_in *in, struct journal_entry *e)
{
    uint64_t coded;
    if (!get_place(in, e) || in->end - in->at < 2) return false;
    e->why = *in->at++;
    e->sent = *in->at++;
    if (!get_varint(&in->at, in->end, &e->first_us) || !get_varint(&in->at, in->end, &coded))
        return false;
    e->due_us = unzigzag(coded, e->first_us);
    return true;
}

static bool get_text(struct journal_in *in, struct journal_entry *e)
{
    uint64_t len;
    if (!get_varint(&in->at, in->end, &len) || len > (uint64_t)(in->end - in->at)) return false;
    e->text = span_of((const char *)in->at, (size_t)len);
    in->at += len;
    return true;
}

static bool get_pair(struct journal_in *in, struct journal_entry *e)
{
    return get_varint(&in->at, in->end, &e->number) && get_varint(&in->at, in->end, &e->value);
}

static bool get_file(struct journal_in *in, struct journal_entry *e)
{
    if (!get_pair(in, e) || e->number >= JOURNAL_FILES || in->end - in->at < 4) return false;
    e->crc = (uint32_t)get_le(in->at, 4);
    in->at += 4;
    return true;
}

static bool get_fields(struct journal_in *in, struct journal_entry *e, uint8_t flags)
{
    switch ((enum journal_kind)e->kind) {
    case JOURNAL_DONE: e->ending = flags; return flags < JOURNAL_ENDING_COUNT && get_line(in, e);
    case JOURNAL_WAITING:
        e->maybe = flags & 1;
        e->told = flags >> 1 & 1;
        return get_waiting(in, e);
    case JOURNAL_BEGUN: return get_place(in, e) && get_varint(&in->at, in->end, &e->first_us);
    case JOURNAL_BLOCK:
    case JOURNAL_COMMIT: return get_pair(in, e);
    case JOURNAL_LEASE: return get_varint(&in->at, in->end, &e->value);
    case JOURNAL_COUNT:
        e->ending = flags;
        return flags < JOURNAL_ENDING_COUNT && get_varint(&in->at, in->end, &e->value);
    case JOURNAL_END: return get_varint(&in->at, in->end, &e->number);
    case JOURNAL_FILE: e->known = flags & 1; return get_file(in, e);
    case JOURNAL_HOLD:
        e->ending = flags;
        return flags <= JOURNAL_HOLD_PACE && get_pair(in, e) && get_text(in, e) &&
               e->text.len <= JOURNAL_NAME_BYTES_MAX;
    case JOURNAL_META: return get_text(in, e);
    case JOURNAL_BITS: return get_varint(&in->at, in->end, &e->number) && get_text(in, e);
    case JOURNAL_KIND_COUNT: break;
    }
    return false;
}

enum journal_step journal_take(struct journal_in *in, struct journal_entry *e)
{
    if (in->at >= in->end) return JOURNAL_OVER;
    uint8_t tag = *in->at++;
    memset(e, 0, sizeof *e);
    e->kind = tag & 15;
    return get_fields(in, e, tag >> 4) ? JOURNAL_ENTRY : JOURNAL_BAD;
}

/* ---- done lines as bits ------------------------------------------------------------------- */

/* A run is a varint, count << 2 | one of these, and for RUN_WORDS the words. */
enum { RUN_ZEROS, RUN_ONES, RUN_WORDS, RUN_BYTES_MAX = 10 };

static int run_kind(uint64_t word)
{
    return word == 0 ? RUN_ZEROS : word == UINT64_MAX ? RUN_ONES : RUN_WORDS;
}

uint64_t journal_bits_write(const uint64_t *words, uint64_t count, uint8_t *out, uint32_t room,
                            uint32_t *bytes)
{
    uint8_t *at = out, *end = out + room;
    uint64_t done = 0;
    while (done < count) {
        int kind = run_kind(words[done]);
        uint64_t n = 1, most = count - done;
        uint64_t left = (uint64_t)(end - at);
        if (left < RUN_BYTES_MAX + (kind == RUN_WORDS ? sizeof *words : 0)) break;
        if (kind == RUN_WORDS && most > (left - RUN_BYTES_MAX) / sizeof *words)
            most = (left - RUN_BYTES_MAX) / sizeof *words;
        while (n < most && run_kind(words[done + n]) == kind) n++;
        at = put_varint(at, n << 2 | (uint64_t)kind);
        for (uint64_t i = 0; kind == RUN_WORDS && i < n; i++) at = put_le(at, words[done + i], 8);
        done += n;
    }
    *bytes = (uint32_t)(at - out);
    return done;
}

bool journal_bits_read(struct span text, uint64_t first, uint64_t words_max,
                       void (*fn)(void *ctx, uint64_t index, uint64_t word), void *ctx)
{
    const uint8_t *at = (const uint8_t *)text.ptr, *end = at + text.len;
    while (at < end) {
        uint64_t coded;
        if (!get_varint(&at, end, &coded)) return false;
        uint64_t count = coded >> 2;
        int kind = (int)(coded & 3);
        if (first > words_max || count > words_max - first || kind > RUN_WORDS) return false;
        if (kind == RUN_WORDS && count > (uint64_t)(end - at) / 8) return false;
        for (uint64_t i = 0; kind != RUN_ZEROS && i < count; i++) {
            uint64_t word = kind == RUN_ONES ? UINT64_MAX : get_le(at, 8);
            if (kind == RUN_WORDS) at += 8;
            if (word != 0) fn(ctx, first + i, word);
        }
        first += count;
    }
    return true;
}

/* ---- frames and the file's head ----------------------------------------------------------- */

static const char magic[8] = {'H', 'O', 'O', 'K', 'J', 'R', 'N', 'L'};
enum { HEAD_CRC_AT = 12 };

static uint32_t head_crc(const uint8_t head[JOURNAL_HEAD_BYTES])
{
    uint8_t copy[JOURNAL_HEAD_BYTES];
    memcpy(copy, head, sizeof copy);
    memset(copy + HEAD_CRC_AT, 0, 4);
    return crc32c(0, copy, sizeof copy);
}

void journal_head_write(const struct journal_head *h, uint8_t out[JOURNAL_HEAD_BYTES])
{
    memset(out, 0, JOURNAL_HEAD_BYTES);
    memcpy(out, magic, sizeof magic);
    put_le(out + 8, JOURNAL_VERSION, 4);
    put_le(out + 16, h->epoch, 8);
    put_le(out + 24, h->run_id, 8);
    put_le(out + 32, h->frames, 8);
    memcpy(out + 40, h->boot_id, IO_BOOT_ID_BYTES);
    out[56] = h->sync;
    put_le(out + HEAD_CRC_AT, head_crc(out), 4);
}

bool journal_head_read(const uint8_t *bytes, size_t n, struct journal_head *out)
{
    if (n < JOURNAL_HEAD_BYTES || memcmp(bytes, magic, sizeof magic) != 0) return false;
    if (get_le(bytes + 8, 4) != JOURNAL_VERSION) return false;
    if (get_le(bytes + HEAD_CRC_AT, 4) != head_crc(bytes)) return false;
    out->epoch = get_le(bytes + 16, 8);
    out->run_id = get_le(bytes + 24, 8);
    out->frames = get_le(bytes + 32, 8);
    memcpy(out->boot_id, bytes + 40, IO_BOOT_ID_BYTES);
    out->sync = bytes[56];
    return true;
}

static uint32_t frame_crc(uint64_t epoch, uint64_t seq, const uint8_t *entries, uint32_t len)
{
    uint8_t before[20];
    put_le(put_le(put_le(before, epoch, 8), seq, 8), len, 4);
    return crc32c(crc32c(0, before, sizeof before), entries, len);
}

void journal_frame_seal(uint8_t head[JOURNAL_FRAME_HEAD_BYTES], uint64_t epoch, uint64_t seq,
                        const uint8_t *entries, uint32_t len)
{
    CHECK(len > 0 && len <= JOURNAL_FRAME_BYTES_MAX);
    put_le(head, len, 4);
    put_le(head + 4, frame_crc(epoch, seq, entries, len), 4);
}

bool journal_frame_length(const uint8_t head[JOURNAL_FRAME_HEAD_BYTES], uint32_t *len)
{
    uint32_t n = (uint32_t)get_le(head, 4);
    if (n == 0 || n > JOURNAL_FRAME_BYTES_MAX) return false;
    *len = n;
    return true;
}

bool journal_frame_ok(const uint8_t head[JOURNAL_FRAME_HEAD_BYTES], uint64_t epoch, uint64_t seq,
                      const uint8_t *entries, uint32_t len)
{
    return get_le(head, 4) == len && get_le(head + 4, 4) == frame_crc(epoch, seq, entries, len);
}
