/* tests/fuzz/fuzz_journal.c - goal: whatever entries a journal's frames hold, recovery gives an
 * error or a state that the entries say, no more; and a journal made of that state is recovered as
 * the same.
 *
 * Input: how many frames are the snapshot, how many bytes the file lost at its end, then frames of
 * entries, each with its length in a byte. The target seals them as a writer would: what is tried
 * is not whether a checksum finds a flipped bit (test_journal.c), but what lies behind it. The
 * expected state is worked out here in the plainest way. Files are in memory: this is a backend of
 * io.h.
 */
#include "core/journal/recover.h"
#include "core/journal/writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES = 1 << 16, FRAMES_MAX = 64, FILE_BYTES = 4 << 20, FILES = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- files in memory: 0 "d/journal", 1 "d/journal.new" -----------------------------------------
 * */

static struct {
    uint8_t bytes[FILE_BYTES];
    size_t len;
} file[FILES];

static int index_of(const char *path) { return strcmp(path, "d/journal") == 0 ? 0 : 1; }

int io_file_open(const char *path, enum io_file_mode mode, int32_t *fd)
{
    *fd = index_of(path);
    if (mode == IO_FILE_NEW) file[*fd].len = 0;
    return 0;
}
void io_file_close(int32_t fd) { CHECK(fd >= 0 && fd < FILES); }
int io_file_info(int32_t fd, struct io_file_info *info)
{
    *info = (struct io_file_info){.size_bytes = file[fd].len, .regular = true};
    return 0;
}
int64_t io_file_read(int32_t fd, void *buf, size_t len, uint64_t offset)
{
    if (offset >= file[fd].len) return 0;
    if (len > file[fd].len - offset) len = file[fd].len - (size_t)offset;
    memcpy(buf, file[fd].bytes + offset, len);
    return (int64_t)len;
}
int io_file_write(int32_t fd, const void *buf, size_t len, uint64_t offset)
{
    CHECK(offset + len <= FILE_BYTES);
    memcpy(file[fd].bytes + offset, buf, len);
    if (offset + len > file[fd].len) file[fd].len = (size_t)offset + len;
    return 0;
}
int io_file_sync(int32_t fd) { return fd < 0 ? -EBADF : 0; }
int io_file_reserve(int32_t fd, uint64_t offset, uint64_t len)
{
    return fd < 0 || offset + len == 0 ? -EBADF : 0;
}
int io_file_rename(const char *from, const char *to)
{
    CHECK(index_of(from) == 1 && index_of(to) == 0);
    memcpy(file[0].bytes, file[1].bytes, file[1].len);
    file[0].len = file[1].len;
    return 0;
}
int io_file_remove(const char *path) { return path != NULL ? 0 : -ENOENT; }
bool io_file_is(const char *path, int32_t fd) { return path != NULL && fd >= 0 && fd < FILES; }
int io_folder_sync(const char *path) { return path != NULL ? 0 : -ENOENT; }
int io_file_map(int32_t fd, size_t bytes, void **mem)
{
    return fd < 0 || bytes == 0 || mem == NULL ? -EBADF : -ENOSYS;
}
void io_file_unmap(void *mem, size_t bytes) { CHECK(mem != NULL && bytes > 0); }
uint64_t io_wall_now(void) { return 1; }

/* ---- the file that the input describes ---------------------------------------------------------
 * */

struct frames {
    const uint8_t *at[FRAMES_MAX];
    uint32_t len[FRAMES_MAX], count;
};

static void file_make(const struct frames *f, uint32_t snapshot, size_t lost)
{
    struct journal_head head = {.epoch = 3, .run_id = 9, .frames = snapshot};
    uint8_t *out = file[0].bytes;
    journal_head_write(&head, out);
    size_t len = JOURNAL_HEAD_BYTES;
    for (uint32_t i = 0; i < f->count; i++) {
        journal_frame_seal(out + len, 3, i + 1, f->at[i], f->len[i]);
        memcpy(out + len + JOURNAL_FRAME_HEAD_BYTES, f->at[i], f->len[i]);
        len += JOURNAL_FRAME_HEAD_BYTES + f->len[i];
    }
    file[0].len = lost < len ? len - lost : 0;
}

/* ---- what the entries say ----------------------------------------------------------------------
 * */

static struct {
    bool done[LINES + 64], waits[LINES + 64];
} want;

static void want_word(void *ctx, uint64_t index, uint64_t word)
{
    MAYBE(ctx != NULL);
    for (int b = 0; b < 64; b++)
        if (word >> b & 1) want.done[index * 64 + (uint64_t)b] = true;
}

static void want_frames(const struct frames *f, uint64_t count)
{
    memset(&want, 0, sizeof want);
    for (uint64_t i = 0; i < count; i++) {
        struct journal_in in = journal_in_of(f->at[i], f->len[i]);
        struct journal_entry e;
        while (journal_take(&in, &e) == JOURNAL_ENTRY) {
            bool waits = e.kind == JOURNAL_WAITING || e.kind == JOURNAL_BEGUN;
            if (e.kind == JOURNAL_DONE) want.done[e.line] = true;
            if (e.kind == JOURNAL_BITS)
                CHECK(journal_bits_read(e.text, e.number, LINES / 64 + 1, want_word, NULL));
            if (waits) want.waits[e.line] = true;
        }
    }
}

/* Nothing is in the state that no entry said, and nothing that one said is missing. */
static void said_check(struct journal_state *s)
{
    for (uint64_t line = 0; line < LINES; line++) {
        CHECK(lineset_has(&s->done, line) == want.done[line]);
        bool waits = line > 0 && journal_state_find(s, line) != NULL;
        CHECK(!waits || want.waits[line]);
        CHECK(waits || want.done[line] || !want.waits[line]);
    }
}

static void same_check(struct journal_state *a, struct journal_state *b)
{
    CHECK(a->waiting.count == b->waiting.count);
    CHECK(a->lease == b->lease);
    CHECK(a->held_count == b->held_count);
    CHECK(memcmp(a->ended, b->ended, sizeof a->ended) == 0);
    CHECK(a->meta_len == b->meta_len && (a->meta == NULL || strcmp(a->meta, b->meta) == 0));
    for (int i = 0; i < JOURNAL_FILES; i++)
        CHECK(a->file[i].known == b->file[i].known && a->file[i].length == b->file[i].length);
    for (uint64_t i = 0; i < LINES / 64; i++) CHECK(a->done.words[i] == b->done.words[i]);
    for (uint64_t i = 0; i < a->waiting.count; i++) {
        const struct journal_waiting *w = &a->waiting.at[i];
        const struct journal_waiting *v = journal_state_find(b, w->line);
        CHECK(v != NULL && v->offset == w->offset && v->attempts == w->attempts);
        CHECK(v->due_us == w->due_us && v->maybe == w->maybe && v->first_us == w->first_us);
    }
    CHECK(journal_state_blocks_known(a) == journal_state_blocks_known(b));
}

/* ---- the target --------------------------------------------------------------------------------
 * */

static bool checks; /* as for a run, or as for a report */

static int recover(struct journal_state *s)
{
    struct journal_reading r = {.fd = 0, .check_lines = checks, .output_fd = {-1, -1, -1, -1}};
    CHECK(journal_state_open(s, LINES, true));
    return journal_recover(&r, s);
}

/* A copy of the state, since journal_open() takes it. */
static void again_check(struct journal_state *first)
{
    struct journal_state moved, second;
    struct journal j;
    uint8_t boot_id[IO_BOOT_ID_BYTES] = {0};
    const int32_t none[JOURNAL_FILES] = {-1, -1, -1, -1};
    CHECK(recover(&moved) == 0);
    CHECK(journal_open(&j, "d", JOURNAL_SYNC_GROUP, &moved, boot_id, none) == 0);
    CHECK(j.epoch == first->epoch + 1);
    CHECK(recover(&second) == 0);
    same_check(first, &second);
    journal_state_close(&moved);
    journal_state_close(&second);
    journal_close(&j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frames f = {.count = 0};
    if (size < 2) return 0;
    uint32_t snapshot = data[0] % 4;
    checks = (data[0] & 4) == 0;
    size_t lost = data[1] < 128 ? 0 : data[1] - 128u;
    for (size_t at = 2; at < size && f.count < FRAMES_MAX;) {
        uint32_t len = data[at++];
        if (len > size - at) len = (uint32_t)(size - at);
        if (len == 0) continue;
        f.at[f.count] = data + at;
        f.len[f.count++] = len;
        at += len;
    }
    file_make(&f, snapshot, lost);
    struct journal_state s;
    int rc = recover(&s);
    CHECK(rc == 0 || rc == -EBADMSG);
    if (rc == 0) {
        CHECK(s.frames >= snapshot && s.frames <= f.count);
        want_frames(&f, s.frames);
        said_check(&s);
        again_check(&s);
    }
    journal_state_close(&s);
    return 0;
}
