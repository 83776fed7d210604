/* core/engine/maybe.c - the list of what may have been delivered without anyone knowing: written
 * when a state is opened, before anything is sent again.
 *
 * Exactly the attempts that were under way, when only the process has died: they are found by their
 * places. After a power loss also whatever the lease allowed to be begun and is not known to have
 * ended: these lines are looked for in the input.
 */
#include "core/base/json_text.h"
#include "core/base/stamp.h"
#include "core/engine/delivery.h"
#include "core/engine/durable.h"
#include "core/engine/run_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRY_BYTES = JSON_TEXT_GROWTH * LIMIT_ID_BYTES + 256, BUFFER_BYTES = 256 * 1024 };

struct maybe {
    int32_t fd;
    uint64_t length;
    char *out; /* owns: BUFFER_BYTES */
    size_t len;
    struct record_parser *parser;
    struct record *record;
    uint64_t run_id;
    uint64_t wall_us;
    struct stamp_cache stamps;
    int error;
};

static void flush(struct maybe *m)
{
    if (m->error == 0 && m->len > 0) m->error = io_file_write(m->fd, m->out, m->len, m->length);
    m->length += m->len;
    m->len = 0;
}

/* attempt 0: it is not known to have had one. */
static void entry(struct maybe *m, struct span line, uint64_t number, uint32_t attempt)
{
    struct reject why;
    char derived[DELIVERY_ID_BYTES];
    if (record_parse(m->parser, line, m->record, &why) != RECORD_OK) return;
    if (m->len + ENTRY_BYTES > BUFFER_BYTES) flush(m);
    struct span id = delivery_id(m->record, m->run_id, number, derived);
    char *at = m->out + m->len;
    at = span_put(at, SPAN_LIT("{\"id\":\""));
    at += json_text_write(at, id);
    at = span_put(at, SPAN_LIT("\",\"line\":"));
    at += stamp_u64(at, number);
    at = span_put(at, SPAN_LIT(",\"attempt\":"));
    at += stamp_u64(at, attempt);
    at = span_put(at, attempt > 0 ? SPAN_LIT(",\"begun\":true") : SPAN_LIT(",\"begun\":null"));
    at = span_put(at, SPAN_LIT(",\"found_at\":\""));
    stamp_utc(&m->stamps, at, m->wall_us * 1000);
    at = span_put(at + STAMP_UTC_BYTES, SPAN_LIT("\"}\n"));
    m->len = (size_t)(at - m->out);
}

/* ---- lines of the input ------------------------------------------------------------------- */

struct window {
    const struct source *source;
    char *mem; /* owns: cap bytes and RECORD_PADDING */
    uint64_t offset;
    size_t len, cap;
};

static int window_load(struct window *w, uint64_t offset)
{
    int64_t n = io_file_read(w->source->fd, w->mem, w->cap, offset);
    w->offset = offset;
    w->len = n > 0 ? (size_t)n : 0;
    return n < 0 ? (int)n : 0;
}

/* The line that begins at offset. Longer than a record may be: what is there of it. */
static int window_line(struct window *w, uint64_t offset, struct span *line)
{
    for (int tries = 0; tries < 2; tries++) {
        if (offset >= w->offset && offset < w->offset + w->len) {
            const char *from = w->mem + (offset - w->offset);
            size_t have = w->len - (size_t)(offset - w->offset);
            const char *nl = memchr(from, '\n', have);
            bool last = w->offset + w->len >= w->source->size_bytes || tries > 0;
            if (nl != NULL || last) {
                *line = span_of(from, nl != NULL ? (size_t)(nl - from) : have);
                return 0;
            }
        }
        int rc = window_load(w, offset);
        if (rc < 0) return rc;
    }
    *line = span_of(w->mem, 0);
    return 0;
}

static bool window_open(struct window *w, const struct source *source)
{
    size_t cap = source->record_bytes_max + 1u;
    if (cap < BUFFER_BYTES) cap = BUFFER_BYTES;
    *w = (struct window){.source = source, .cap = cap, .mem = malloc(cap + RECORD_PADDING)};
    return w->mem != NULL;
}

static void window_close(struct window *w) { free(w->mem); }

/* Lines below the lease that nobody knows: from the first block that has one. */
static void beyond_list(struct durable *u, struct maybe *m, struct window *w)
{
    const struct source *source = w->source;
    uint64_t block = 0, line = 1, offset = 0;
    const struct source_known *known = &u->blocks;
    while (block + 1 < known->blocks &&
           lineset_has_all(&u->known, known->before[block] + 1, known->before[block + 1] + 1))
        block++;
    struct span text;
    if (block > 0) { /* a line begins behind the first newline from one byte before the block on */
        offset = block * source->block_bytes - 1;
        m->error = window_line(w, offset, &text);
        offset += text.len + 1;
        line = known->before[block] + 1;
    }
    while (m->error == 0 && offset < u->maybe_below && offset < source->size_bytes) {
        m->error = window_line(w, offset, &text);
        if (m->error != 0) return;
        if (!lineset_has(&u->known, line)) {
            uint64_t before = m->len + m->length;
            entry(m, text, line, 0);
            u->maybe += m->len + m->length > before;
        }
        offset += text.len + 1;
        line++;
    }
}

/* ---- all of it ---------------------------------------------------------------------------- */

static void list(struct durable *u, struct maybe *m, struct window *w,
                 const struct journal_state *s)
{
    for (uint64_t i = 0; i < s->waiting.count && m->error == 0; i++) {
        const struct journal_waiting *k = &s->waiting.at[i];
        struct span text;
        if (!k->maybe) continue;
        m->error = window_line(w, k->offset, &text);
        if (m->error != 0) return;
        entry(m, text, k->line, k->attempts);
        u->maybe++;
    }
    if (u->maybe_below > 0) beyond_list(u, m, w);
    flush(m);
    if (m->error == 0) m->error = io_file_sync(m->fd);
}

/* Behind the last whole line. */
static int end_find(struct maybe *m)
{
    struct io_file_info info;
    int rc = io_file_info(m->fd, &info);
    if (rc < 0) return rc;
    uint64_t from = info.size_bytes > BUFFER_BYTES ? info.size_bytes - BUFFER_BYTES : 0;
    int64_t n = io_file_read(m->fd, m->out, BUFFER_BYTES, from);
    if (n < 0) return (int)n;
    const char *nl = n > 0 ? memrchr(m->out, '\n', (size_t)n) : NULL;
    m->length = nl != NULL ? from + (uint64_t)(nl - m->out) + 1 : from;
    return m->length < info.size_bytes ? io_file_truncate(m->fd, m->length) : 0;
}

static void maybe_close(struct maybe *m)
{
    if (m->fd >= 0) io_file_close(m->fd);
    if (m->parser != NULL) record_parser_free(m->parser);
    free(m->record);
    free(m->out);
}

static int maybe_open(struct maybe *m, const struct config *c, const struct journal_state *s)
{
    char path[JOURNAL_PATH_BYTES];
    const struct record_rules rules = run_record_rules(c);
    *m = (struct maybe){.fd = -1, .run_id = s->run_id};
    int n = snprintf(path, sizeof path, "%s/maybe-delivered.ndjson", c->state_path);
    if (n < 0 || (size_t)n >= sizeof path) return -ENAMETOOLONG;
    m->out = malloc(BUFFER_BYTES);
    m->record = calloc(1, sizeof *m->record);
    m->parser = record_parser_new(&rules);
    if (m->out == NULL || m->record == NULL || m->parser == NULL) return -ENOMEM;
    int rc = io_file_open(path, IO_FILE_MAP, &m->fd);
    return rc == 0 ? end_find(m) : rc;
}

int maybe_list(struct durable *u, const struct config *c, const struct source *source,
               struct journal_state *s, uint64_t wall_us)
{
    struct maybe m;
    struct window w = {.mem = NULL};
    int rc = maybe_open(&m, c, s);
    m.wall_us = wall_us;
    if (rc == 0 && !window_open(&w, source)) rc = -ENOMEM;
    if (rc == 0) {
        list(u, &m, &w, s);
        rc = m.error;
    }
    window_close(&w);
    maybe_close(&m);
    return rc;
}
