/* tests/unit/test_source.c - goal: however the input is cut into blocks, however short and late the
 * reads are, and whoever asks when, every line is given to exactly one reader, with its number,
 * its offset and its bytes; and an input that fails or is given up ends cleanly.
 *
 * Method: core/io/io.h is played by this file: reads come from memory in short pieces, complete in
 * any order, and the bytes behind a short read are full of newlines. One to three readers are
 * asked in random order, lines are held while other reads complete. The referee is a dumb split.
 * Every case is a row of numbers that is shown when it fails.
 */
#include "core/input/source.h"

#include "core/base/prng.h"
#include "core/input/record.h"
#include "tests/unit/must.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    FD = 7,
    READERS_MAX = 3,
    OPS_MAX = 2 * READERS_MAX,
    INPUT_MAX = 1 << 15,
    BLOCK_MAX = 64,
};
#define NOWHERE UINT64_MAX

/* ---- the case, and the world it needs ----------------------------------------------------- */

struct scene {
    const char *bytes;
    size_t size;
    uint32_t block_bytes, record_bytes_max, readers;
    bool pipe;
    uint64_t seed;
    uint64_t ends_at;  /* reads from here on give 0; NOWHERE: at size */
    uint64_t fails_at; /* reads from here on give -EIO */
    uint32_t stop_in;  /* steps until all readers are stopped; 0: never */
};

/* The io of all readers: operations wait here until the dice complete them. */
struct io {
    const struct scene *scene;
    struct prng dice;
    struct io_op *ops[OPS_MAX];
    uint32_t ops_count, files_open, piece_max;
    uint64_t pipe_at;
};

static struct io world;
static int open_error, info_error;

static const char *shown(void)
{
    static char text[256];
    const struct scene *s = world.scene;
    snprintf(text, sizeof text,
             "%s of %zu bytes \"%.20s\", block %u, record %u, readers %u, seed %" PRIu64
             ", ends %" PRId64 ", fails %" PRId64 ", stop %u",
             s->pipe ? "pipe" : "file", s->size, s->bytes, s->block_bytes, s->record_bytes_max,
             s->readers, s->seed, (int64_t)s->ends_at, (int64_t)s->fails_at, s->stop_in);
    return text;
}

int io_file_open(const char *path, enum io_file_mode mode, int32_t *fd)
{
    MUST(mode == IO_FILE_READ);
    if (open_error < 0) return open_error;
    world.files_open++;
    *fd = strcmp(path, "-") == 0 ? 0 : FD;
    return 0;
}

int io_file_info(int32_t fd, struct io_file_info *info)
{
    MUST(fd == FD || fd == 0);
    if (info_error < 0) return info_error;
    info->regular = !world.scene->pipe;
    info->size_bytes = world.scene->pipe ? 0 : world.scene->size;
    return 0;
}

void io_file_close(int32_t fd)
{
    MUST(fd == FD || fd == 0);
    MUST(world.files_open > 0);
    world.files_open--;
}

void io_submit(struct io *io, struct io_op *op)
{
    const struct scene *s = io->scene;
    MUST(op->kind == IO_READ && !op->in_flight && op->fd == FD, "%s", shown());
    MUST(op->len > 0 && io->ops_count < OPS_MAX, "%s", shown());
    if (s->pipe) MUST(op->offset == IO_OFFSET_NONE && io->ops_count == 0, "%s", shown());
    else MUST(op->offset + op->len <= s->size, "%s", shown()); /* what is appended is not read */
    op->in_flight = true;
    op->cancelled = false;
    memset(op->buf, '\n', op->len);
    io->ops[io->ops_count++] = op;
}

void io_cancel(struct io *io, struct io_op *op)
{
    (void)io;
    MUST(op->in_flight);
    op->cancelled = true;
}

static int32_t read_result(struct io *io, const struct io_op *op)
{
    const struct scene *s = io->scene;
    uint64_t at = s->pipe ? io->pipe_at : op->offset;
    uint64_t end = s->ends_at < s->size ? s->ends_at : s->size;
    if (op->cancelled && prng_percent(&io->dice, 70)) return -ECANCELED;
    if (prng_percent(&io->dice, 4)) return prng_percent(&io->dice, 50) ? -EINTR : -EAGAIN;
    if (at >= s->fails_at) return -EIO;
    if (end > s->fails_at) end = s->fails_at;
    if (at >= end) return 0;
    uint64_t n = op->len < end - at ? op->len : end - at;
    if (n > io->piece_max) n = 1 + prng_below(&io->dice, io->piece_max);
    memcpy(op->buf, s->bytes + at, n);
    if (s->pipe) io->pipe_at += n;
    return (int32_t)n;
}

static void complete_one(struct io *io)
{
    if (io->ops_count == 0) return;
    uint32_t i = (uint32_t)prng_below(&io->dice, io->ops_count);
    struct io_op *op = io->ops[i];
    int32_t res = read_result(io, op);
    io->ops[i] = io->ops[--io->ops_count];
    op->in_flight = false;
    op->done(op, res);
}

/* ---- the referee: a dumb split ------------------------------------------------------------ */

struct line {
    uint64_t offset, len;
    bool seen;
};

static struct line lines[INPUT_MAX + 1];
static uint64_t lines_count;

static void split(const struct scene *s)
{
    uint64_t from = 0;
    lines_count = 0;
    for (uint64_t i = 0; i < s->size; i++) {
        if (s->bytes[i] != '\n') continue;
        lines[lines_count++] = (struct line){from, i - from, false};
        from = i + 1;
    }
    if (from < s->size) lines[lines_count++] = (struct line){from, s->size - from, false};
}

/* ---- readers that are watched ------------------------------------------------------------- */

struct taker {
    struct reader reader;
    uint64_t last_number; /* of the last whole line */
    uint64_t piece_done;  /* bytes of the long line that is being given out */
    bool in_piece, ended;
    uint32_t eagerness; /* how often it is asked, against the others */
};

static struct source source;
static struct taker takers[READERS_MAX];

static void tend_all(void)
{
    for (uint32_t i = 0; i < world.scene->readers; i++) reader_tend(&takers[i].reader);
}

/* What reader_next() gave must be the next bytes of a line that nobody else had. */
static void note(struct taker *t, enum reader_step step)
{
    const struct reader *r = &t->reader;
    MUST(r->line_number >= 1 && r->line_number <= lines_count, "line %" PRIu64 " of %s",
         r->line_number, shown());
    struct line *l = &lines[r->line_number - 1];
    MUST(!l->seen && r->line_number > t->last_number, "line %" PRIu64 " twice or out of order: %s",
         r->line_number, shown());
    MUST(r->line_offset == l->offset, "line %" PRIu64 " at %" PRIu64 ", not %" PRIu64 ": %s",
         r->line_number, r->line_offset, l->offset, shown());
    MUST(t->piece_done + r->line.len <= l->len, "line %" PRIu64 ": %s", r->line_number, shown());
    MUST(memcmp(r->line.ptr, world.scene->bytes + l->offset + t->piece_done, r->line.len) == 0,
         "bytes of line %" PRIu64 ": %s", r->line_number, shown());
    volatile char padding = 0;
    for (int i = 0; i < RECORD_PADDING; i++) padding = r->line.ptr[r->line.len + (size_t)i];
    (void)padding;
    bool piece = step == READER_PIECE;
    MUST(piece == (l->len > world.scene->record_bytes_max), "%s", shown());
    t->piece_done += r->line.len;
    t->in_piece = piece && !r->piece_last;
    if (t->in_piece) return;
    MUST(t->piece_done == l->len, "line %" PRIu64 " ends early: %s", r->line_number, shown());
    t->piece_done = 0;
    t->last_number = r->line_number;
    l->seen = true;
}

/* Asks once. A reader that says "wait" must have something to wait for. */
static enum reader_step ask(struct taker *t)
{
    struct reader *r = &t->reader;
    enum reader_step step = reader_next(r);
    switch (step) {
    case READER_LINE:
    case READER_PIECE:
        MUST(!r->stopped, "a line after the stop: %s", shown());
        for (uint64_t held = prng_below(&world.dice, 8); held < 3; held++) {
            complete_one(&world); /* the line stays what it is while other reads complete */
            tend_all();
        }
        note(t, step);
        break;
    case READER_WAIT: MUST(!reader_idle(r), "waits for nothing: %s", shown()); break;
    case READER_POLL:
        MUST(reader_idle(r), "%s", shown());
        MUST(world.scene->readers > 1, "nobody else to wait for: %s", shown());
        break;
    case READER_END:
        MUST(reader_idle(r) && (r->stopped || !t->in_piece), "%s", shown());
        t->ended = true;
        break;
    case READER_ERROR: MUST(reader_idle(r) || r->failed, "%s", shown()); break;
    }
    return step;
}

static void begin(const struct scene *s)
{
    memset(&world, 0, sizeof world);
    world.scene = s;
    prng_seed(&world.dice, s->seed);
    world.piece_max = 1u << prng_below(&world.dice, 14);
    split(s);
    int rc = source_open(&source, "input", s->block_bytes, s->record_bytes_max);
    MUST(rc == 0 && source.regular == !s->pipe, "%s", shown());
    memset(takers, 0, sizeof takers);
    for (uint32_t i = 0; i < s->readers; i++) {
        MUST(reader_open(&takers[i].reader, &source, &world), "%s", shown());
        takers[i].eagerness = 1u << prng_below(&world.dice, 6);
    }
}

static void finish(void)
{
    MUST(world.ops_count == 0, "%s", shown());
    for (uint32_t i = 0; i < world.scene->readers; i++) {
        MUST(ask(&takers[i]) == READER_END, "ended, and goes on: %s", shown());
        reader_close(&takers[i].reader);
    }
    source_close(&source);
    MUST(world.files_open == 0);
}

static struct taker *draw_taker(void)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < world.scene->readers; i++) sum += takers[i].eagerness;
    uint64_t draw = prng_below(&world.dice, sum);
    uint32_t i = 0;
    while (draw >= takers[i].eagerness) draw -= takers[i++].eagerness;
    return &takers[i];
}

static void stop_all(void)
{
    for (uint32_t i = 0; i < world.scene->readers; i++) reader_stop(&takers[i].reader);
}

/* Until every reader has ended, or one of them has failed: that one is given back. */
static struct taker *drive(void)
{
    const struct scene *s = world.scene;
    uint64_t steps_max = 400 * (s->size + 64) * s->readers + 100000;
    for (uint64_t step = 1; step <= steps_max; step++) {
        struct taker *t = draw_taker();
        if (step == s->stop_in) stop_all();
        if (prng_percent(&world.dice, 40)) complete_one(&world);
        if (prng_percent(&world.dice, 25)) reader_tend(&draw_taker()->reader);
        if (t->ended) t->eagerness = 1;
        else if (ask(t) == READER_ERROR) return t;
        bool ended = true;
        for (uint32_t i = 0; i < s->readers; i++) ended = ended && takers[i].ended;
        if (ended) return NULL;
        if (step % 64 == 0) tend_all();
    }
    MUST(false, "does not end: %s", shown());
    return NULL;
}

static void run_whole(const struct scene *s)
{
    begin(s);
    MUST(drive() == NULL, "%s", shown());
    for (uint64_t i = 0; i < lines_count; i++)
        MUST(lines[i].seen, "line %" PRIu64 " is lost: %s", i + 1, shown());
    if (s->pipe) MUST(source.read_bytes == s->size, "%s", shown());
    else MUST(source.read_bytes >= s->size, "%s", shown());
    finish();
}

/* ---- inputs ------------------------------------------------------------------------------- */

static const char *const chosen[] = {
    "",
    "\n",
    "a",
    "a\n",
    "\n\n\n",
    "a\nb",
    "\na",
    "a\n\n",
    "aa\r\nbbb\r\n",
    "\r\n\r\n\r",
    "\n\na\n\n\nbcd\n\n",
    "{\"url\":\"http://h/\"}\n{\"url\":\"http://h/2\"}\n\n{\"url\":\"http://h/3\"}",
    "a line that is longer than any record here may be, though not than every block\nb\nc\n",
    "b\nc\na line that is longer than any record here may be, and has no newline at its end",
    "one\ntwo, which is long, long, long, long\nthree, which is long, long, long, long\nfour",
};
enum { CHOSEN = sizeof chosen / sizeof chosen[0] };

static char memory[INPUT_MAX];

/* Lines of up to max bytes, some empty, some "\r\n". */
static size_t random_input(uint64_t seed, size_t size, uint32_t max)
{
    struct prng dice;
    prng_seed(&dice, seed);
    MUST(size <= sizeof memory);
    for (size_t i = 0; i < size;) {
        uint64_t len = prng_percent(&dice, 20) ? 0 : prng_below(&dice, max + 1);
        for (; len > 0 && i < size; len--) memory[i++] = (char)('a' + prng_below(&dice, 26));
        if (i + 1 < size && prng_percent(&dice, 20)) memory[i++] = '\r';
        if (i < size) memory[i++] = '\n';
    }
    if (size > 0 && prng_percent(&dice, 50)) memory[size - 1] = 'z';
    return size;
}

static struct scene scene_of(const char *bytes, size_t size, uint64_t seed)
{
    return (struct scene){.bytes = bytes,
                          .size = size,
                          .block_bytes = 1,
                          .record_bytes_max = 1000,
                          .readers = 1,
                          .seed = seed,
                          .ends_at = NOWHERE,
                          .fails_at = NOWHERE};
}

/* ---- the property ------------------------------------------------------------------------- */

static const uint32_t record_sizes[] = {1, 7, 30, 1000};
enum { RECORD_SIZES = sizeof record_sizes / sizeof record_sizes[0] };

static void every_small_case(bool pipe)
{
    uint64_t seed = 1;
    for (uint32_t block = 1; block <= BLOCK_MAX; block++) {
        for (uint32_t i = 0; i < CHOSEN * RECORD_SIZES * READERS_MAX; i++) {
            const char *bytes = chosen[i % CHOSEN];
            struct scene s = scene_of(bytes, strlen(bytes), seed++);
            s.block_bytes = block;
            s.record_bytes_max = record_sizes[i / CHOSEN % RECORD_SIZES];
            s.readers = 1 + i / (CHOSEN * RECORD_SIZES);
            s.pipe = pipe;
            run_whole(&s);
        }
    }
}

Test(source, file_of_every_block_size) { every_small_case(false); }
Test(source, pipe_of_every_block_size) { every_small_case(true); }

static void random_cases(bool pipe)
{
    for (uint64_t seed = 1; seed <= 600; seed++) {
        struct prng dice;
        prng_seed(&dice, seed * 2 + pipe);
        uint32_t longest = 1u << prng_below(&dice, 8);
        struct scene s =
            scene_of(memory, random_input(seed, prng_below(&dice, 2000), longest), seed);
        s.block_bytes = 1 + (uint32_t)prng_below(&dice, 1u << prng_below(&dice, 10));
        s.record_bytes_max = 1 + (uint32_t)prng_below(&dice, 2 * longest);
        s.readers = 1 + (uint32_t)prng_below(&dice, READERS_MAX);
        s.pipe = pipe;
        run_whole(&s);
    }
}

Test(source, file_of_random_lines) { random_cases(false); }
Test(source, pipe_of_random_lines) { random_cases(true); }

/* Lines of several reads each, and more of them than fit behind a block. */
static void large_cases(bool pipe)
{
    static const uint32_t blocks[] = {5, 64, 65, 300, 1000, 4095, 4096, 4097, 20000};
    static const uint32_t longest[] = {200, 3000, 9000}, records[] = {100, 5000, 10000};
    uint64_t seed = 1;
    for (size_t b = 0; b < sizeof blocks / sizeof blocks[0]; b++) {
        for (uint32_t i = 0; i < 27; i++, seed++) {
            size_t size = random_input(seed, INPUT_MAX - i, longest[i % 3]);
            struct scene s = scene_of(memory, size, seed);
            s.block_bytes = blocks[b];
            s.record_bytes_max = records[i / 3 % 3];
            s.readers = 1 + i / 9;
            s.pipe = pipe;
            run_whole(&s);
        }
    }
}

Test(source, file_of_long_lines) { large_cases(false); }
Test(source, pipe_of_long_lines) { large_cases(true); }

/* The chain of line counts goes round its ring several times, also behind a slow reader. */
Test(source, more_blocks_than_the_chain_holds)
{
    for (uint32_t readers = 1; readers <= READERS_MAX; readers++) {
        struct scene s = scene_of(memory, random_input(readers, 3 * SOURCE_CHAIN + 5, 3), readers);
        s.readers = readers;
        run_whole(&s);
        memset(memory, '\n', s.size);
        run_whole(&s);
    }
}

/* ---- trouble ------------------------------------------------------------------------------ */

/* The first error is told with its place; what was given until then was whole and before it. */
static void run_broken(const struct scene *s, int error, uint64_t at)
{
    begin(s);
    struct taker *t = drive();
    MUST(t != NULL, "nobody noticed: %s", shown());
    const struct reader *r = &t->reader;
    MUST(r->error == error, "error %d, not %d: %s", r->error, error, shown());
    MUST(r->error_offset >= at, "told at %" PRIu64 ": %s", r->error_offset, shown());
    if (s->readers == 1)
        MUST(r->error_offset == at, "told at %" PRIu64 ": %s", r->error_offset, shown());
    for (uint64_t i = 0; i < lines_count; i++)
        if (lines[i].seen)
            MUST(lines[i].offset + lines[i].len < at, "line %" PRIu64 ": %s", i + 1, shown());
    MUST(reader_next(&t->reader) == READER_ERROR || !reader_idle(&t->reader), "%s", shown());
    stop_all();
    MUST(drive() == NULL, "%s", shown());
    finish();
}

static void every_break(bool pipe, bool shrinks)
{
    size_t size = random_input(7, 90, 12);
    uint64_t seed = 1;
    for (uint32_t block = 1; block <= 40; block += 3) {
        for (uint64_t at = 0; at < size; at++) {
            for (uint32_t readers = 1; readers <= READERS_MAX; readers++) {
                struct scene s = scene_of(memory, size, seed++);
                s.block_bytes = block;
                s.record_bytes_max = 8;
                s.readers = readers;
                s.pipe = pipe;
                *(shrinks ? &s.ends_at : &s.fails_at) = at;
                run_broken(&s, shrinks ? 0 : EIO, at);
            }
        }
    }
}

Test(source, file_that_shrinks) { every_break(false, true); }
Test(source, file_that_fails) { every_break(false, false); }
Test(source, pipe_that_fails) { every_break(true, false); }

/* A pipe that breaks where it would have ended: an error all the same. */
Test(source, pipe_that_fails_at_its_end)
{
    struct scene s = scene_of("a\nb\n", 4, 1);
    s.pipe = true;
    s.fails_at = s.size;
    run_broken(&s, EIO, s.size);
}

/* Given up at every moment: nothing is given out any more, and everything comes home. */
static void every_stop(bool pipe)
{
    size_t size = random_input(9, 150, 20);
    for (uint32_t stop_in = 1; stop_in <= 400; stop_in++) {
        for (uint32_t readers = 1; readers <= READERS_MAX; readers++) {
            struct scene s = scene_of(memory, size, stop_in);
            s.block_bytes = 1 + stop_in % 50;
            s.record_bytes_max = 12;
            s.readers = readers;
            s.pipe = pipe;
            s.stop_in = stop_in;
            begin(&s);
            struct taker *failed = drive();
            MUST(failed == NULL, "%s", shown());
            finish();
        }
    }
}

Test(source, file_given_up) { every_stop(false); }
Test(source, pipe_given_up) { every_stop(true); }

/* ---- opening ------------------------------------------------------------------------------ */

static int open_source(const struct scene *s, const char *path)
{
    memset(&world, 0, sizeof world);
    world.scene = s;
    return source_open(&source, path, 16, 16);
}

Test(source, cannot_be_opened)
{
    struct scene s = scene_of("a\n", 2, 1);
    open_error = -ENOENT;
    cr_assert_eq(open_source(&s, "input"), -ENOENT);
    open_error = 0;
    info_error = -EIO;
    cr_assert_eq(open_source(&s, "input"), -EIO);
    cr_assert_eq(world.files_open, 0, "left open");
}

/* Whoever started the program may have read some of it already: offsets mean nothing. */
Test(source, standard_input_is_never_taken_for_a_file)
{
    struct scene s = scene_of("a\n", 2, 1);
    cr_assert_eq(open_source(&s, "-"), 0);
    cr_assert_not(source.regular);
    source_close(&source);
}

Test(source, file_has_a_size_and_blocks)
{
    static const struct {
        size_t size;
        uint64_t blocks;
    } rows[] = {{0, 0}, {1, 1}, {15, 1}, {16, 1}, {17, 2}, {32, 2}, {33, 3}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scene s = scene_of(memory, rows[i].size, 1);
        cr_assert_eq(open_source(&s, "input"), 0);
        cr_expect_eq(source.blocks, rows[i].blocks, "%zu bytes", rows[i].size);
        cr_expect_eq(source.size_bytes, rows[i].size);
        source_close(&source);
    }
}

/* The plan of memory counts what a reader really maps. */
Test(source, memory_is_what_was_promised)
{
    struct scene s = scene_of("a\n", 2, 1);
    s.block_bytes = 256 * 1024;
    s.record_bytes_max = 1024 * 1024;
    begin(&s);
    const struct reader *r = &takers[0].reader;
    cr_assert_eq(reader_memory_bytes(s.block_bytes, s.record_bytes_max),
                 2 * ((uint64_t)r->block_cap + RECORD_PADDING));
    cr_assert_null(drive());
    finish();
}
