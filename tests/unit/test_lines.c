/* tests/unit/test_lines.c - goal: whatever the sizes of lines and of reads, the lines that come
 * out are those that went in, numbered, and none longer than the limit is held whole.
 *
 * Method: texts through a pipe in pieces of drawn sizes, and from a file in reads as large as the
 * buffer, compared with a naive cut at each '\n'.
 */
#include "core/input/record.h"
#include "tools/hookline/lines.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct text {
    char *bytes;
    size_t len, pieces_max;
    int fd; /* written to and closed by the feeder */
    unsigned seed;
};

static void *feed(void *ctx)
{
    struct text *t = ctx;
    for (size_t at = 0; at < t->len;) {
        size_t piece = (size_t)rand_r(&t->seed) % t->pieces_max + 1;
        if (piece > t->len - at) piece = t->len - at;
        ssize_t wrote = write(t->fd, t->bytes + at, piece);
        if (wrote <= 0) break;
        at += (size_t)wrote;
    }
    close(t->fd);
    return NULL;
}

/* Takes all lines from fd and compares; returns how many came in pieces. */
static uint64_t compare(const struct text *t, int fd, size_t bytes_max)
{
    struct lines l;
    cr_assert_eq(lines_open(&l, fd, bytes_max), 0);
    uint64_t number = 0, long_lines = 0;
    size_t at = 0;
    while (at < t->len) {
        const char *newline = memchr(t->bytes + at, '\n', t->len - at);
        size_t len = newline == NULL ? t->len - at : (size_t)(newline - (t->bytes + at));
        size_t seen = 0;
        number++;
        for (bool whole = false; !whole;) {
            enum lines_step step = lines_next(&l);
            cr_assert_eq(step, len > bytes_max ? LINES_PIECE : LINES_LINE);
            cr_assert_eq(l.number, number);
            cr_assert_leq(seen + l.line.len, len);
            cr_assert_eq(memcmp(l.line.ptr, t->bytes + at + seen, l.line.len), 0);
            cr_assert(step == LINES_LINE || l.piece_first == (seen == 0));
            cr_assert(step == LINES_LINE || !l.piece_first || l.line.len > bytes_max);
            /* All of the padding can be read: the sanitizer would say if not. */
            char padding[RECORD_PADDING];
            memcpy(padding, l.line.ptr + l.line.len, sizeof padding);
            seen += l.line.len;
            whole = step == LINES_LINE || l.piece_last;
        }
        cr_assert_eq(seen, len);
        long_lines += len > bytes_max;
        at += len + 1;
    }
    cr_assert_eq(lines_next(&l), LINES_END);
    cr_assert_eq(lines_next(&l), LINES_END);
    cr_assert_eq(l.bytes, t->len);
    cr_assert_eq(l.number, number);
    lines_close(&l);
    return long_lines;
}

static uint64_t check_text(struct text *t, size_t bytes_max)
{
    int fds[2];
    pthread_t feeder;
    cr_assert_eq(pipe(fds), 0);
    t->fd = fds[1];
    cr_assert_eq(pthread_create(&feeder, NULL, feed, t), 0);
    uint64_t long_lines = compare(t, fds[0], bytes_max);
    close(fds[0]);
    pthread_join(feeder, NULL);
    FILE *file = tmpfile();
    cr_assert_not_null(file);
    fwrite(t->bytes, 1, t->len, file);
    cr_assert_eq(fseek(file, 0, SEEK_SET), 0);
    cr_assert_eq(compare(t, fileno(file), bytes_max), long_lines);
    fclose(file);
    return long_lines;
}

static uint64_t check_literal(const char *text, size_t bytes_max)
{
    struct text t = {(char *)text, strlen(text), 3, -1, 1};
    return check_text(&t, bytes_max);
}

Test(lines, small_texts)
{
    cr_assert_eq(check_literal("", 8), 0);
    cr_assert_eq(check_literal("\n", 8), 0);
    cr_assert_eq(check_literal("\n\n\n", 8), 0);
    cr_assert_eq(check_literal("a", 8), 0);
    cr_assert_eq(check_literal("a\nbc\r\n\ndef", 8), 0);
    cr_assert_eq(check_literal("12345678\n123456789\n12345678", 8), 1);
    cr_assert_eq(check_literal("123456789", 8), 1);
}

Test(lines, drawn_texts)
{
    uint64_t long_lines = 0;
    for (unsigned seed = 1; seed <= 40; seed++) {
        unsigned dice = seed;
        struct text t = {.len = (size_t)rand_r(&dice) % 900000, .seed = seed};
        size_t bytes_max = (size_t)rand_r(&dice) % 300000 + 1;
        size_t usual = (size_t)rand_r(&dice) % 400000 + 1;
        t.pieces_max = (size_t)rand_r(&dice) % 200000 + 1;
        t.bytes = malloc(t.len + 1);
        for (size_t i = 0; i < t.len; i++)
            t.bytes[i] = (size_t)rand_r(&dice) % usual == 0 ? '\n' : (char)('a' + i % 26);
        long_lines += check_text(&t, bytes_max);
        free(t.bytes);
    }
    cr_assert_gt(long_lines, 10, "too few long lines were drawn to mean anything");
}

Test(lines, a_read_that_fails)
{
    struct lines l;
    cr_assert_eq(lines_open(&l, -1, 100), 0);
    cr_assert_eq(lines_next(&l), LINES_ERROR);
    cr_assert_eq(l.error, EBADF);
    lines_close(&l);
}
