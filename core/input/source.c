#include "core/input/source.h"

#include "core/base/atomic.h"
#include "core/input/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* A line that begins in a block ends, as a rule, within this much of the next one. */
enum { AFTER_BLOCK_BYTES = 4096 };

enum block_state {
    BLOCK_EMPTY,   /* nothing in it */
    BLOCK_READING, /* op in flight */
    BLOCK_READ,    /* a read has ended; its bytes wait to be looked at */
    BLOCK_READY,   /* lines can be taken */
    BLOCK_PIECE,   /* a piece of a long line was given out; the next read waits for the next call */
};

/* ---- the shared part ---------------------------------------------------------------------- */

int source_open(struct source *s, const char *path, uint32_t block_bytes, uint32_t record_bytes_max)
{
    CHECK(block_bytes > 0 && record_bytes_max > 0);
    memset(s, 0, sizeof *s);
    s->path = path;
    s->block_bytes = block_bytes;
    s->record_bytes_max = record_bytes_max;
    int rc = io_file_open(path, IO_FILE_READ, &s->fd);
    if (rc < 0) return rc;
    struct io_file_info info;
    rc = io_file_info(s->fd, &info);
    /* Standard input may have been read from already: only its current place is sure. */
    s->regular = rc == 0 && info.regular && s->fd != 0;
    if (rc == 0 && s->regular) {
        s->size_bytes = info.size_bytes;
        s->blocks = (info.size_bytes + block_bytes - 1) / block_bytes;
        s->chain_known = 1; /* no line begins before block 0 */
    } else if (rc == 0) {
        s->carry = malloc((size_t)block_bytes + record_bytes_max + RECORD_PADDING);
        if (s->carry == NULL) rc = -ENOMEM;
    }
    if (rc < 0) io_file_close(s->fd);
    return rc;
}

void source_close(struct source *s)
{
    io_file_close(s->fd);
    free(s->carry);
    s->carry = NULL;
}

/* ---- memory ------------------------------------------------------------------------------- */

static uint32_t block_cap_of(uint32_t block_bytes, uint32_t record_bytes_max)
{
    return 1 + block_bytes + record_bytes_max + AFTER_BLOCK_BYTES;
}

uint64_t reader_memory_bytes(uint32_t block_bytes, uint32_t record_bytes_max)
{
    return 2 * ((uint64_t)block_cap_of(block_bytes, record_bytes_max) + RECORD_PADDING);
}

bool reader_open(struct reader *r, struct source *s, struct io *io)
{
    memset(r, 0, sizeof *r);
    r->source = s;
    r->io = io;
    r->block_cap = block_cap_of(s->block_bytes, s->record_bytes_max);
    for (int i = 0; i < 2; i++) {
        void *mem = mmap(NULL, (size_t)r->block_cap + RECORD_PADDING, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        r->block[i].reader = r;
        r->block[i].mem = mem == MAP_FAILED ? NULL : mem;
        r->block[i].state = BLOCK_EMPTY;
    }
    if (r->block[0].mem != NULL && r->block[1].mem != NULL) return true;
    reader_close(r);
    return false;
}

void reader_close(struct reader *r)
{
    CHECK(reader_idle(r));
    for (int i = 0; i < 2; i++) {
        if (r->block[i].mem != NULL) munmap(r->block[i].mem, (size_t)r->block_cap + RECORD_PADDING);
        r->block[i].mem = NULL;
    }
}

bool reader_idle(const struct reader *r)
{
    return !r->block[0].op.in_flight && !r->block[1].op.in_flight;
}

/* ---- reading ------------------------------------------------------------------------------ */

static void read_done(struct io_op *op, int32_t res);

static void token_give(struct source *s) { store_rel(&s->token, 0); }

static void fail(struct reader *r, int error, uint64_t offset)
{
    if (r->failed) return; /* first reason wins */
    r->error = error;
    r->error_offset = offset;
    r->failed = r->exhausted = true;
}

/* Reads up to `want` more bytes behind what the block holds. */
static void read_more(struct block *b, uint32_t want)
{
    struct reader *r = b->reader;
    struct source *s = r->source;
    CHECK(b->len < r->block_cap);
    uint64_t left = s->regular ? s->size_bytes - (b->offset + b->len) : UINT64_MAX;
    uint32_t room = r->block_cap - b->len;
    if (want > room) want = room;
    if (want > left) want = (uint32_t)left;
    CHECK(want > 0);
    b->op.kind = IO_READ;
    b->op.done = read_done;
    b->op.fd = s->fd;
    b->op.buf = b->mem + b->len;
    b->op.len = want;
    b->op.offset = s->regular ? b->offset + b->len : IO_OFFSET_NONE;
    b->state = BLOCK_READING;
    io_submit(r->io, &b->op);
}

/* How many of the n bytes that were read behind mem[len] are this block's own, and not read again
 * with its neighbours. */
static uint64_t own_bytes(const struct block *b, uint32_t n)
{
    const struct source *s = b->reader->source;
    if (!s->regular) return n;
    uint64_t from = b->offset + b->len, to = from + n, own = b->number * s->block_bytes;
    if (from < own) from = own;
    if (to > own + s->block_bytes) to = own + s->block_bytes;
    return to > from ? to - from : 0;
}

static void read_done(struct io_op *op, int32_t res)
{
    struct block *b = CONTAINER_OF(op, struct block, op);
    struct reader *r = b->reader;
    b->state = BLOCK_READ;
    if (r->stopped) return;
    if (res == -EINTR || res == -EAGAIN) {
        read_more(b, op->len);
        return;
    }
    if (res < 0 || (res == 0 && r->source->regular)) { /* 0: the file has shrunk */
        fail(r, -res, b->offset + b->len);
        return;
    }
    (void)add_rlx(&r->source->read_bytes, own_bytes(b, (uint32_t)res));
    b->len += (uint32_t)res;
    if (res == 0) b->eof = true;
    if (r->source->regular) b->eof = b->offset + b->len == r->source->size_bytes;
}

/* ---- regular files ------------------------------------------------------------------------ */

void source_know(struct source *s, const struct source_known *known)
{
    CHECK(s->regular);
    s->known = *known;
    uint64_t blocks = known->blocks <= s->blocks ? known->blocks : s->blocks + 1;
    s->known.blocks = blocks;
    if (blocks == 0) return;
    s->chain_known = blocks;
    s->lines_before[(blocks - 1) % SOURCE_CHAIN] = known->before[blocks - 1];
}

/* Every line that begins in block k is known. */
static bool block_known(const struct source *s, uint64_t k)
{
    const struct source_known *known = &s->known;
    if (k + 1 >= known->blocks) return false;
    for (uint64_t line = known->before[k] + 1; line <= known->before[k + 1];) {
        bool word = line % 64 == 0 && line + 63 <= known->before[k + 1] && line < known->lines;
        if (word ? known->bits[line / 64] != UINT64_MAX : !source_line_known(s, line)) return false;
        line += word ? 64 : 1;
    }
    return true;
}

static uint64_t next_block(struct source *s)
{
    uint64_t k = s->blocks;
    while (load_rlx(&s->next_block) < s->blocks) {
        k = add_rlx(&s->next_block, 1);
        if (k >= s->blocks || !block_known(s, k)) break;
        (void)add_rlx(&s->read_bytes, s->block_bytes); /* as far as the progress goes */
        k = s->blocks;
    }
    return k;
}

static void file_claim(struct reader *r, struct block *b)
{
    struct source *s = r->source;
    uint64_t k = next_block(s);
    if (k >= s->blocks) {
        r->exhausted = true;
        return;
    }
    b->number = k;
    b->offset = k * s->block_bytes;
    if (k > 0) b->offset--; /* one byte before tells whether a line begins at the first */
    b->owned_end = (k + 1) * s->block_bytes;
    b->len = b->at = 0;
    b->counted = b->eof = false;
    read_more(b, (uint32_t)(b->owned_end - b->offset) + AFTER_BLOCK_BYTES);
}

#ifdef __SSE2__
/* Counts in the first whole 64 bytes of n, and says in *seen how many bytes those are. */
static uint64_t count_newlines_64(const char *bytes, size_t n, size_t *seen)
{
    const __m128i newline = _mm_set1_epi8('\n'), zero = _mm_setzero_si128();
    __m128i total = zero; /* two numbers of 64 bits */
    size_t at = 0;
    for (; n - at >= 64; at += 64) {
        const __m128i *v = (const __m128i *)(const void *)(bytes + at);
        /* A byte that is equal is -1: the four sums stay above -5. */
        __m128i ab = _mm_add_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(v), newline),
                                  _mm_cmpeq_epi8(_mm_loadu_si128(v + 1), newline));
        __m128i cd = _mm_add_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(v + 2), newline),
                                  _mm_cmpeq_epi8(_mm_loadu_si128(v + 3), newline));
        __m128i counts = _mm_sub_epi8(zero, _mm_add_epi8(ab, cd));
        total = _mm_add_epi64(total, _mm_sad_epu8(counts, zero));
    }
    *seen = at;
    uint64_t lanes[2];
    _mm_storeu_si128((__m128i *)(void *)lanes, total);
    return lanes[0] + lanes[1];
}
#endif

static uint64_t count_newlines(const char *bytes, size_t n)
{
    size_t i = 0;
    uint64_t count = 0;
#ifdef __SSE2__
    count = count_newlines_64(bytes, n, &i);
#endif
    for (; i < n; i++) count += bytes[i] == '\n';
    return count;
}

/* Once the block's own bytes are there: learns how many lines are before it, and passes on how
 * many are before the next one. False: not known yet. */
static bool file_count(struct source *s, struct block *b)
{
    uint64_t k = b->number;
    if (load_acq(&s->chain_known) <= k) return false;
    uint64_t before = k < s->known.blocks ? s->known.before[k] : s->lines_before[k % SOURCE_CHAIN];
    /* A line begins behind each newline in [k*B - 1, (k+1)*B - 1), and at the very start. */
    uint64_t end = b->owned_end - 1 - b->offset;
    uint64_t own = count_newlines(b->mem, end < b->len ? end : b->len) + (k == 0 ? 1 : 0);
    if (k + 1 >= s->known.blocks) {
        s->lines_before[(k + 1) % SOURCE_CHAIN] = before + own;
        store_rel(&s->chain_known, k + 2);
    }
    b->lines_before = before;
    b->counted = true;
    if (k > 0) { /* skip the end of a line that another block owns */
        const char *nl = memchr(b->mem, '\n', b->len);
        b->at = nl != NULL ? (uint32_t)(nl - b->mem) + 1 : b->len;
    }
    return true;
}

/* Without room it is forgotten: whoever wants to know counts again. */
static void counted_note(struct reader *r, uint64_t block, uint64_t before)
{
    if (block < r->source->known.blocks || r->counted_count == 4) return;
    r->counted[r->counted_count].block = block;
    r->counted[r->counted_count++].before = before;
}

bool reader_counted(struct reader *r, uint64_t *block, uint64_t *before)
{
    if (r->counted_count == 0) return false;
    *block = r->counted[0].block;
    *before = r->counted[0].before;
    r->counted_count--;
    memmove(r->counted, r->counted + 1, r->counted_count * sizeof r->counted[0]);
    return true;
}

/* BLOCK_READ to BLOCK_READY, or another read. */
static void file_ready(struct reader *r, struct block *b)
{
    struct source *s = r->source;
    if (!b->counted) {
        if (!b->eof && b->offset + b->len < b->owned_end) { /* a short read */
            read_more(b, (uint32_t)(b->owned_end - b->offset) - b->len + AFTER_BLOCK_BYTES);
            return;
        }
        if (!file_count(s, b)) return;
        counted_note(r, b->number + 1, s->lines_before[(b->number + 1) % SOURCE_CHAIN]);
    }
    b->state = BLOCK_READY;
}

/* ---- pipes -------------------------------------------------------------------------------- */

static bool token_take(struct source *s)
{
    uint32_t free_token = 0;
    /* Acquire: what the last holder left in carry, lines and offset is ours to read. */
    return __atomic_compare_exchange_n(&s->token, &free_token, 1, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static void pipe_claim(struct reader *r, struct block *b)
{
    struct source *s = r->source;
    if (load_rlx(&s->token) != 0 || !token_take(s)) return;
    if (s->ended) {
        token_give(s);
        r->exhausted = true;
        return;
    }
    memcpy(b->mem, s->carry, s->carry_len);
    b->len = s->carry_len;
    b->at = 0;
    b->offset = s->offset;
    b->lines_before = s->lines;
    b->eof = false;
    s->carry_len = 0;
    read_more(b, s->block_bytes);
}

/* A read has ended while this shard holds the token: keep the whole lines, hand on the rest. */
static void pipe_ready(struct reader *r, struct block *b)
{
    struct source *s = r->source;
    uint32_t whole = b->len;
    if (!b->eof) {
        const char *nl = memrchr(b->mem, '\n', b->len);
        whole = nl != NULL ? (uint32_t)(nl - b->mem) + 1 : 0;
        if (whole == 0 && b->len <= s->record_bytes_max && !r->long_line) {
            read_more(b, s->block_bytes);
            return;
        }
        if (whole == 0) { /* a long line: taken in pieces, with the token held until it ends */
            b->owned_end = b->offset + b->len;
            b->state = BLOCK_READY;
            return;
        }
    }
    s->carry_len = b->len - whole;
    memcpy(s->carry, b->mem + whole, s->carry_len);
    s->offset = b->offset + whole;
    s->lines = b->lines_before + count_newlines(b->mem, whole);
    s->ended = b->eof;
    b->len = whole;
    b->eof = true; /* this shard's part is complete */
    b->owned_end = b->offset + whole;
    b->state = BLOCK_READY;
    token_give(s);
}

/* ---- taking lines ------------------------------------------------------------------------- */

static void claim_next(struct reader *r)
{
    struct block *b = &r->block[r->current ^ 1];
    if (r->exhausted || r->stopped || b->state != BLOCK_EMPTY) return;
    if (r->source->regular) file_claim(r, b);
    else if (!r->long_line) pipe_claim(r, b);
}

static void look_at(struct reader *r, struct block *b)
{
    if (b->state != BLOCK_READ || r->failed || r->stopped) return;
    if (r->source->regular) file_ready(r, b);
    else pipe_ready(r, b);
}

/* The bytes at b->at are not a whole line. Reads on, or gives a piece of an overlong one. */
static enum reader_step line_open(struct reader *r, struct block *b)
{
    uint32_t have = b->len - b->at;
    if (!r->long_line && have <= r->source->record_bytes_max) {
        read_more(b, AFTER_BLOCK_BYTES + have);
        return READER_WAIT;
    }
    r->line = span_of(b->mem + b->at, have);
    r->line_number = b->lines_before + 1;
    if (!r->long_line) r->line_offset = b->offset + b->at;
    r->long_line = true;
    r->piece_last = false;
    b->offset += b->len;
    b->len = b->at = 0;
    /* The piece stays readable: the read behind it is not submitted before the next call. */
    b->state = BLOCK_PIECE;
    return READER_PIECE;
}

static enum reader_step take_line(struct reader *r, struct block *b)
{
    const char *from = b->mem + b->at;
    uint32_t have = b->len - b->at;
    const char *nl = have > 0 ? memchr(from, '\n', have) : NULL;
    if (nl == NULL && !b->eof) return line_open(r, b);
    uint32_t len = nl != NULL ? (uint32_t)(nl - from) : have;
    bool piece = r->long_line || len > r->source->record_bytes_max;
    r->line = span_of(from, len);
    r->line_number = b->lines_before + 1;
    if (!r->long_line) r->line_offset = b->offset + b->at;
    b->at += len + (nl != NULL ? 1 : 0);
    b->lines_before++;
    r->piece_last = true;
    r->long_line = false;
    return piece ? READER_PIECE : READER_LINE;
}

/* Whether another line (or the rest of a long one) begins in this block for this shard. */
static bool block_has_line(const struct reader *r, const struct block *b)
{
    if (r->long_line) return true;
    return b->at < b->len && b->offset + b->at < b->owned_end;
}

static enum reader_step nothing_ready(struct reader *r)
{
    if (r->failed) return reader_idle(r) ? READER_ERROR : READER_WAIT;
    bool empty = r->block[0].state == BLOCK_EMPTY && r->block[1].state == BLOCK_EMPTY;
    if (empty && (r->exhausted || r->stopped)) return READER_END;
    return reader_idle(r) ? READER_POLL : READER_WAIT;
}

static void piece_read_on(struct reader *r, struct block *b)
{
    if (b->state == BLOCK_PIECE) read_more(b, r->source->block_bytes);
}

void reader_tend(struct reader *r)
{
    look_at(r, &r->block[r->current]); /* in the order in which they were claimed */
    look_at(r, &r->block[r->current ^ 1]);
}

enum reader_step reader_next(struct reader *r)
{
    if (r->stopped) return reader_idle(r) ? READER_END : READER_WAIT;
    for (;;) {
        struct block *b = &r->block[r->current];
        piece_read_on(r, b);
        reader_tend(r);
        if (b->state == BLOCK_READY && block_has_line(r, b)) {
            if (b->at >= b->len / 2) claim_next(r);
            return take_line(r, b);
        }
        if (b->state == BLOCK_READY) b->state = BLOCK_EMPTY;
        if (b->state != BLOCK_EMPTY) return nothing_ready(r);
        claim_next(r);
        if (r->block[r->current ^ 1].state == BLOCK_EMPTY) return nothing_ready(r);
        r->current ^= 1;
        if (r->block[r->current].state == BLOCK_READING) return nothing_ready(r);
    }
}

void reader_stop(struct reader *r)
{
    if (r->stopped) return;
    r->stopped = true;
    for (int i = 0; i < 2; i++)
        if (r->block[i].op.in_flight) io_cancel(r->io, &r->block[i].op);
}
