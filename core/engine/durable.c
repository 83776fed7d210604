#include "core/engine/durable.h"

#include "core/base/limits.h"
#include "core/engine/run_state.h"
#include "core/journal/recover.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

enum {
    META_BYTES = 16 * 1024,
    IDENTITY_BYTES = 64 * 1024, /* of the input's head and of its tail */
    SPOOL_BYTES = 1024 * 1024,
    LINE_BYTES_USUAL = 64, /* memory for the sets of lines is planned for lines of this length */
};
#define LOCK_WAIT_NS   UINT64_C(3000000000)
#define PROGRESS_BYTES UINT64_C(268435456)

static const char *const file_names[JOURNAL_FILES] = {"results", "events", "dead-letters",
                                                      "rejects"};

static const char *file_path(const struct config *c, int i)
{
    const char *const paths[JOURNAL_FILES] = {c->results_path, c->events_path, c->dead_letters_path,
                                              c->rejects_path};
    return paths[i];
}

static int path_put(char out[JOURNAL_PATH_BYTES], const struct config *c, const char *name)
{
    int n = snprintf(out, JOURNAL_PATH_BYTES, "%s/%s", c->state_path, name);
    return n > 0 && n < JOURNAL_PATH_BYTES ? 0 : -ENAMETOOLONG;
}

static int state_refuse(const struct config *c, struct run_error *why, const char *what, int rc)
{
    return run_refuse(why, EXIT_OUTPUT, "%s: cannot %s: %s", c->state_path, what,
                      strerrordesc_np(-rc));
}

/* ---- the folder --------------------------------------------------------------------------- */

static int lock_take(const struct config *c, int32_t *fd, struct run_error *why)
{
    char path[JOURNAL_PATH_BYTES];
    int rc = path_put(path, c, "lock");
    if (rc == 0) rc = io_folder_make(c->state_path);
    if (rc == 0) rc = io_file_open(path, IO_FILE_MAP, fd);
    if (rc < 0) return state_refuse(c, why, "keep a state there", rc);
    rc = io_file_lock(*fd, LOCK_WAIT_NS);
    if (rc == 0) return 0;
    io_file_close(*fd);
    if (rc != -EWOULDBLOCK) return state_refuse(c, why, "lock it", rc);
    return run_refuse(why, EXIT_OUTPUT,
                      "%s: another hookline is running on this state; 'hookline report %s' shows "
                      "how far it is",
                      c->state_path, c->state_path);
}

static bool exists(const char *path)
{
    int32_t fd;
    if (io_file_open(path, IO_FILE_READ, &fd) < 0) return false;
    io_file_close(fd);
    return true;
}

/* ---- a pipe's input ----------------------------------------------------------------------- */

static int spool_copy(int32_t from, int32_t to, uint64_t *bytes)
{
    char *mem = malloc(SPOOL_BYTES);
    int64_t n = mem != NULL ? 1 : -ENOMEM;
    uint64_t at = 0, told = PROGRESS_BYTES;
    while (n > 0) {
        n = io_file_take(from, mem, SPOOL_BYTES);
        if (n <= 0) break;
        int rc = io_file_write(to, mem, (size_t)n, at);
        if (rc < 0) n = rc;
        else at += (uint64_t)n;
        if (at < told) continue;
        fprintf(stderr, "hookline: taking the input into the state, %" PRIu64 " MiB so far\n",
                at >> 20);
        told += PROGRESS_BYTES;
    }
    if (n == 0) n = io_file_sync(to);
    free(mem);
    *bytes = at;
    return (int)n;
}

static int spool_make(const struct config *c, int32_t from, struct run_error *why)
{
    char path[JOURNAL_PATH_BYTES], path_new[JOURNAL_PATH_BYTES];
    int32_t to;
    uint64_t bytes = 0;
    int rc = path_put(path, c, "input");
    if (rc == 0) rc = path_put(path_new, c, "input.new");
    if (rc == 0) rc = io_file_open(path_new, IO_FILE_WRITE, &to);
    if (rc < 0) return state_refuse(c, why, "write the input there", rc);
    rc = spool_copy(from, to, &bytes);
    io_file_close(to);
    if (rc == 0) rc = io_file_rename(path_new, path);
    if (rc == 0) rc = io_folder_sync(c->state_path);
    if (rc < 0) (void)!io_file_remove(path_new);
    return rc == 0 ? 0 : state_refuse(c, why, "take the input into it", rc);
}

int durable_spool(const struct config *c, struct run_error *why)
{
    char path[JOURNAL_PATH_BYTES], journal[JOURNAL_PATH_BYTES];
    struct io_file_info info;
    int32_t lock, from;
    if (c->state_path == NULL) return 0;
    int rc = lock_take(c, &lock, why);
    if (rc < 0) return rc;
    rc = path_put(path, c, "input");
    if (rc == 0) rc = path_put(journal, c, "journal");
    if (rc < 0) rc = state_refuse(c, why, "use so long a name", rc);
    if (rc == 0 && !exists(path) && !exists(journal)) {
        rc = io_file_open(c->input_path, IO_FILE_READ, &from);
        if (rc == 0) rc = io_file_info(from, &info);
        if (rc < 0)
            rc = run_refuse(why, EXIT_INPUT, "cannot read %s: %s", c->input_path,
                            strerrordesc_np(-rc));
        else if (!info.regular || strcmp(c->input_path, "-") == 0) rc = spool_make(c, from, why);
    }
    io_file_close(lock);
    return rc;
}

/* ---- what belongs to a state -------------------------------------------------------------- */

struct meta {
    char text[META_BYTES];
    size_t len;
};

static void meta_put(struct meta *m, const char *name, const char *value)
{
    int n = snprintf(m->text + m->len, sizeof m->text - m->len, "%s=%s\n", name, value);
    CHECK(n > 0 && (size_t)n < sizeof m->text - m->len);
    m->len += (size_t)n;
}

static void meta_number(struct meta *m, const char *name, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, value);
    meta_put(m, name, text);
}

/* The input as it is: its size, when it was changed, and what it begins and ends with. */
static int identity(const struct source *source, uint64_t *mtime_ns, uint64_t *hash)
{
    struct io_file_info info;
    char *mem = malloc(2 * IDENTITY_BYTES);
    int rc = mem != NULL ? io_file_info(source->fd, &info) : -ENOMEM;
    int64_t head = 0, tail = 0;
    uint64_t from = source->size_bytes > IDENTITY_BYTES ? source->size_bytes - IDENTITY_BYTES : 0;
    if (rc == 0) head = io_file_read(source->fd, mem, IDENTITY_BYTES, 0);
    if (head >= 0 && rc == 0) tail = io_file_read(source->fd, mem + head, IDENTITY_BYTES, from);
    if (rc == 0) rc = head < 0 ? (int)head : tail < 0 ? (int)tail : 0;
    if (rc == 0) {
        *mtime_ns = info.mtime_ns;
        *hash = XXH3_64bits(mem, (size_t)(head + tail));
    }
    free(mem);
    return rc;
}

static int meta_make(const struct config *c, const struct source *source, struct meta *m)
{
    static const char *const sync[] = {"group", "always", "none"};
    uint64_t mtime_ns = 0, hash = 0;
    int rc = identity(source, &mtime_ns, &hash);
    if (rc < 0) return rc;
    m->len = 0;
    meta_put(m, "input", c->input_path);
    meta_number(m, "input size", source->size_bytes);
    meta_number(m, "input time", mtime_ns);
    meta_number(m, "input hash", hash);
    meta_number(m, "block bytes", c->block_bytes);
    meta_number(m, "max-record", c->record_bytes_max);
    meta_put(m, "key-field", c->key_field != NULL ? c->key_field : "key");
    meta_put(m, "delivery", c->retry.at_most_once ? "at-most-once" : "at-least-once");
    for (int i = 0; i < JOURNAL_FILES; i++) {
        const char *path = file_path(c, i);
        meta_put(m, file_names[i], path != NULL ? path : "");
    }
    meta_put(m, "sync", sync[c->sync]); /* for a person who reads it */
    return 0;
}

/* The value of a name, up to its newline; NULL: it is not there. */
static const char *meta_find(const char *text, const char *name, size_t *len)
{
    size_t name_len = strlen(name);
    for (const char *at = text; at != NULL && *at != 0; at = strchr(at, '\n')) {
        if (*at == '\n') at++;
        if (strncmp(at, name, name_len) != 0 || at[name_len] != '=') continue;
        const char *value = at + name_len + 1, *end = strchr(value, '\n');
        *len = end != NULL ? (size_t)(end - value) : strlen(value);
        return value;
    }
    return NULL;
}

static bool meta_same(const char *was, const char *is, const char *name, struct span out[2])
{
    size_t a_len = 0, b_len = 0;
    const char *a = meta_find(was, name, &a_len), *b = meta_find(is, name, &b_len);
    out[0] = span_of(a != NULL ? a : "", a_len);
    out[1] = span_of(b != NULL ? b : "", b_len);
    return span_eq(out[0], out[1]);
}

static int meta_check(const struct config *c, const char *was, const char *is,
                      struct run_error *why)
{
    static const char *const input[] = {"input size", "input time", "input hash"};
    static const char *const flags[] = {"max-record", "key-field",    "delivery", "results",
                                        "events",     "dead-letters", "rejects",  "block bytes"};
    struct span v[2];
    for (size_t i = 0; i < sizeof input / sizeof *input; i++)
        if (!meta_same(was, is, input[i], v))
            return run_refuse(why, EXIT_INPUT,
                              "%s is not the input that %s was begun with: its %s was %.*s and is "
                              "%.*s; put the old file back, or name another --state",
                              input_name(c), c->state_path, input[i] + 6, (int)v[0].len, v[0].ptr,
                              (int)v[1].len, v[1].ptr);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (!meta_same(was, is, flags[i], v))
            return run_refuse(why, EXIT_USAGE,
                              "%s was begun with --%s=%.*s, and this command says \"%.*s\": give "
                              "it the old value, or name another --state",
                              c->state_path, flags[i], (int)v[0].len, v[0].ptr, (int)v[1].len,
                              v[1].ptr);
    return 0;
}

/* ---- recovery ----------------------------------------------------------------------------- */

static void recover_progress(void *ctx, uint64_t done, uint64_t all)
{
    uint64_t *told = ctx;
    if (done < *told + PROGRESS_BYTES) return;
    *told = done;
    fprintf(stderr, "hookline: reading the state: %" PRIu64 " of %" PRIu64 " MiB\n", done >> 20,
            all >> 20);
}

static void reading_close(struct journal_reading *r)
{
    for (int i = 0; i < JOURNAL_FILES; i++)
        if (r->output_fd[i] >= 0) io_file_close(r->output_fd[i]);
    io_file_close(r->fd);
}

/* What the journal says. Lines of output files are looked at as far as they may be missing. */
static int journal_read(struct durable *u, const struct config *c, const char *path,
                        struct journal_state *s, struct run_error *why)
{
    uint64_t told = 0;
    struct io_file_info info;
    struct journal_reading r = {
        .check_lines = true, .progress = recover_progress, .ctx = &told, .fd = -1};
    for (int i = 0; i < JOURNAL_FILES; i++) r.output_fd[i] = -1;
    int rc = io_file_open(path, IO_FILE_READ, &r.fd);
    if (rc == -ENOENT) return 0;
    if (rc < 0) return state_refuse(c, why, "read its journal", rc);
    u->resumed = true;
    for (int i = 0; i < JOURNAL_FILES; i++) {
        const char *name = file_path(c, i);
        if (name == NULL || strcmp(name, "-") == 0) continue;
        if (io_file_open(name, IO_FILE_READ, &r.output_fd[i]) < 0) r.output_fd[i] = -1;
        else if (io_file_info(r.output_fd[i], &info) < 0 || !info.regular) {
            io_file_close(r.output_fd[i]);
            r.output_fd[i] = -1;
        }
    }
    io_boot_id(r.boot_id);
    rc = journal_recover(&r, s);
    reading_close(&r);
    if (rc == -EBADMSG)
        return run_refuse(why, EXIT_OUTPUT,
                          "%s: its journal is damaged, so that it does not say what was done; "
                          "keep the folder, and send the rest by hand",
                          c->state_path);
    return rc == 0 ? 0 : state_refuse(c, why, "read its journal", rc);
}

/* What a machine that went down took with it: since then anything that was due may be under way. */
static void power_loss(struct durable *u, struct journal_state *s, uint64_t wall_us)
{
    if (s->sync == JOURNAL_SYNC_ALWAYS) return;
    u->exact = false;
    u->maybe_below = s->lease;
    for (uint64_t i = 0; i < s->waiting.count; i++)
        if (s->waiting.at[i].due_us <= wall_us) s->waiting.at[i].maybe = true;
}

static int attempts_recover(struct durable *u, const struct config *c, struct journal_state *s,
                            const uint8_t boot_id[IO_BOOT_ID_BYTES], struct run_error *why)
{
    char path[JOURNAL_PATH_BYTES];
    int rc = path_put(path, c, "in-flight");
    if (rc == 0) rc = inflight_recover(path, s, boot_id);
    if (rc < 0) return state_refuse(c, why, "read which attempts were under way", rc);
    if (!s->same_boot) power_loss(u, s, io_wall_now() / 1000);
    return 0;
}

static int held_copy(struct durable *u, const struct journal_state *s)
{
    u->held = calloc(s->held_count > 0 ? s->held_count : 1, sizeof *u->held);
    if (u->held == NULL) return -ENOMEM;
    for (uint32_t i = 0; i < s->held_count; i++) {
        u->held[i] = s->held[i];
        u->held[i].name = NULL; /* the journal's */
    }
    u->held_count = s->held_count;
    return 0;
}

/* Which lines and blocks need not be looked at again. */
static int known_make(struct durable *u, struct journal_state *s)
{
    if (!u->resumed) return 0;
    if (!lineset_open(&u->known, s->done.lines)) return -ENOMEM;
    for (uint64_t i = 0; i < s->done.used; i++) u->known.words[i] = s->done.words[i];
    u->known.used = s->done.used;
    waitset_sort(&s->waiting);
    for (uint64_t i = 0; i < s->waiting.count; i++) {
        bool added = lineset_add(&u->known, s->waiting.at[i].line);
        CHECK(added);
        uint64_t first_us = s->waiting.at[i].first_us;
        if (first_us > 0 && (u->first_us == 0 || first_us < u->first_us)) u->first_us = first_us;
    }
    uint64_t blocks = journal_state_blocks_known(s);
    uint64_t *before = calloc(blocks > 0 ? blocks : 1, sizeof *before);
    if (before == NULL) return -ENOMEM;
    for (uint64_t k = 0; k < blocks; k++) before[k] = s->before[k] - 1;
    u->blocks = (struct source_known){
        .bits = u->known.words, .lines = s->done.lines, .before = before, .blocks = blocks};
    memcpy(u->ended, s->ended, sizeof u->ended);
    return held_copy(u, s);
}

/* ---- opening ------------------------------------------------------------------------------ */

static int input_open(struct durable *u, const struct config *c, struct source *source,
                      struct run_error *why)
{
    int rc = path_put(u->input_path, c, "input");
    if (rc < 0) return state_refuse(c, why, "use so long a name", rc);
    if (!exists(u->input_path)) snprintf(u->input_path, sizeof u->input_path, "%s", c->input_path);
    rc = source_open(source, u->input_path, c->block_bytes, c->record_bytes_max);
    if (rc < 0)
        return run_refuse(why, EXIT_INPUT, "cannot read %s: %s", u->input_path,
                          strerrordesc_np(-rc));
    if (source->regular) return 0;
    source_close(source);
    return run_refuse(why, EXIT_INPUT,
                      "%s: this state was begun with a file as its input: name that file",
                      c->state_path);
}

static int outputs_continue(const struct config *c, const struct journal_state *s,
                            struct outfile *const files[JOURNAL_FILES], struct run_error *why)
{
    for (int i = 0; i < JOURNAL_FILES; i++) {
        const char *path = file_path(c, i);
        int rc = outfile_continue(files[i], path, s->file[i].length);
        if (rc == 0 && files[i]->regular && s->file[i].known)
            rc = journal_renew(files[i]->fd, s->file[i].unsure, s->file[i].length);
        if (rc == 0) continue;
        if (rc == -ESTALE)
            return run_refuse(why, EXIT_OUTPUT,
                              "%s is shorter than the %" PRIu64 " bytes that %s knows of: put it "
                              "back, or name another --state",
                              path, s->file[i].length, c->state_path);
        return run_refuse(why, EXIT_OUTPUT, "cannot open %s for the %s: %s", path, file_names[i],
                          strerrordesc_np(-rc));
    }
    return 0;
}

static int journal_begin(struct durable *u, const struct config *c, struct journal_state *s,
                         struct outfile *const files[JOURNAL_FILES],
                         const uint8_t boot_id[IO_BOOT_ID_BYTES], struct run_error *why)
{
    char path[JOURNAL_PATH_BYTES];
    int32_t fd[JOURNAL_FILES];
    for (int i = 0; i < JOURNAL_FILES; i++) fd[i] = files[i]->regular ? files[i]->fd : -1;
    int rc = journal_open(&u->journal, c->state_path, c->sync, s, boot_id, fd);
    if (rc < 0) return state_refuse(c, why, "begin a journal", rc);
    u->slots = c->connections + c->inflight_slots;
    u->journal.compact_bytes = c->compact_bytes;
    rc = path_put(path, c, "in-flight");
    if (rc == 0) rc = inflight_open(&u->inflight, path, 1 + c->shards * u->slots, boot_id);
    if (rc == 0) rc = io_folder_sync(c->state_path);
    return rc == 0 ? 0 : state_refuse(c, why, "note attempts under way", rc);
}

static int recovered_open(struct durable *u, const struct config *c, struct source *source,
                          struct journal_state *s, struct outfile *const files[JOURNAL_FILES],
                          struct run_error *why)
{
    static struct meta meta; /* too large for the stack; one run begins at a time */
    char path[JOURNAL_PATH_BYTES];
    uint8_t boot_id[IO_BOOT_ID_BYTES];
    io_boot_id(boot_id);
    int rc = path_put(path, c, "journal");
    if (rc == 0) rc = meta_make(c, source, &meta);
    if (rc < 0) return state_refuse(c, why, "look at the input", rc);
    rc = journal_read(u, c, path, s, why);
    if (rc == 0 && u->resumed) rc = meta_check(c, s->meta != NULL ? s->meta : "", meta.text, why);
    if (rc == 0 && u->resumed) rc = attempts_recover(u, c, s, boot_id, why);
    if (rc < 0) return rc;
    if (!u->resumed) s->run_id = c->run_id;
    if (c->sync == JOURNAL_SYNC_ALWAYS) s->lease = UINT64_MAX;
    else if (s->lease == UINT64_MAX) s->lease = source->size_bytes; /* it was always, before */
    struct journal_entry e = {.kind = JOURNAL_META, .text = span_of(meta.text, meta.len)};
    rc = journal_state_apply(s, &e);
    u->last_us = s->wall_us;
    s->wall_us = io_wall_now() / 1000;
    if (rc == 0) rc = known_make(u, s);
    if (rc == 0 && u->resumed) rc = maybe_list(u, c, source, s, s->wall_us);
    if (rc < 0) return state_refuse(c, why, "list what may have been delivered", rc);
    if (u->resumed) source_know(source, &u->blocks);
    rc = outputs_continue(c, s, files, why);
    if (rc == 0) rc = journal_begin(u, c, s, files, boot_id, why);
    return rc;
}

int durable_open(struct durable *u, const struct config *c, struct source *source,
                 struct outfile *const files[JOURNAL_FILES], struct run_error *why)
{
    struct journal_state s;
    memset(u, 0, sizeof *u);
    u->journal.fd = u->lock_fd = -1;
    u->exact = true;
    int rc = lock_take(c, &u->lock_fd, why);
    if (rc < 0) return rc;
    u->on = true;
    rc = input_open(u, c, source, why);
    if (rc < 0) return rc;
    /* The input may be another one than the state's: that is to be said, whatever its size. */
    uint64_t lines_max = source->size_bytes + 2;
    if (lines_max > LINESET_LINES_MAX) lines_max = LINESET_LINES_MAX;
    if (!journal_state_open(&s, LINESET_LINES_MAX, true) &&
        !journal_state_open(&s, lines_max, true))
        return run_refuse(why, EXIT_RESOURCES, "no memory for the state");
    rc = recovered_open(u, c, source, &s, files, why);
    u->waiting = s.waiting;
    s.waiting = (struct waitset){.at = NULL};
    journal_state_close(&s);
    if (rc == 0) return 0;
    source_close(source);
    for (int i = 0; i < JOURNAL_FILES; i++) outfile_close(files[i]);
    return rc;
}

uint64_t durable_since(const struct durable *u, uint64_t now_ns, uint64_t wall_ns)
{
    uint64_t first_ns = u->first_us * 1000;
    uint64_t ago_ns = u->on && first_ns > 0 && first_ns < wall_ns ? wall_ns - first_ns : 0;
    return ago_ns < now_ns ? now_ns - ago_ns : 1;
}

uint64_t durable_memory_bytes(const struct durable *u, const struct source *source)
{
    if (!u->on) return 0;
    uint64_t sets = 2 * (source->size_bytes / LINE_BYTES_USUAL / 8);
    return sets + u->blocks.blocks * 16;
}

int durable_end(struct durable *u, bool over, uint64_t status)
{
    return u->on ? journal_end(&u->journal, over, status) : 0;
}

void durable_close(struct durable *u)
{
    if (!u->on) return;
    journal_close(&u->journal);
    inflight_close(&u->inflight);
    lineset_close(&u->known);
    free((void *)(uintptr_t)u->blocks.before);
    waitset_close(&u->waiting);
    free(u->held);
    io_file_close(u->lock_fd);
    u->on = false;
}
