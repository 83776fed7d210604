#include "core/engine/spool.h"

#include "core/base/check.h"

#include <errno.h>

#include <string.h>

int spool_open(struct spool *p, const char *folder, struct io *io, uint32_t buffer_bytes,
               uint64_t bytes_max)
{
    memset(p, 0, sizeof *p);
    int rc = io_file_open(folder, IO_FILE_TEMP, &p->file.fd);
    if (rc < 0) return rc;
    p->file.regular = p->file.keep = true;
    p->file.path = folder;
    p->open = true;
    p->bytes_max = bytes_max;
    return outbuf_open(&p->buf, &p->file, io, buffer_bytes) ? 0 : -ENOMEM;
}

void spool_close(struct spool *p)
{
    if (!p->open) return;
    outbuf_close(&p->buf);
    outfile_close(&p->file);
    p->open = false;
}

uint64_t spool_length(const struct spool *p) { return p->file.length; }

bool spool_add(struct spool *p, struct span line, uint64_t *offset)
{
    CHECK(p->open);
    if (outfile_failed(&p->file) != 0 || outbuf_room(&p->buf) < line.len + 1) return false;
    uint64_t end = p->file.length + p->buf.out_len + p->buf.len;
    if (end + line.len + 1 > p->bytes_max) return false;
    *offset = end;
    char *out = outbuf_at(&p->buf);
    memcpy(out, line.ptr, line.len);
    out[line.len] = '\n';
    outbuf_add(&p->buf, (uint32_t)line.len + 1);
    p->refs++;
    return true;
}

void spool_drop(struct spool *p)
{
    CHECK(p->refs > 0);
    if (--p->refs > 0 || !outbuf_idle(&p->buf) || outfile_failed(&p->file) != 0) return;
    if (p->file.length == 0 || io_file_truncate(p->file.fd, 0) < 0) return;
    p->file.length = p->file.whole = 0;
    p->life++;
}

static bool find_in(const char *mem, uint32_t len, uint64_t at, struct span *line)
{
    if (at >= len) return false;
    const char *nl = memchr(mem + at, '\n', len - at);
    CHECK(nl != NULL); /* lines are added whole */
    *line = span_of(mem + at, (size_t)(nl - mem) - at);
    return true;
}

bool spool_find(const struct spool *p, uint64_t offset, struct span *line)
{
    const struct outbuf *b = &p->buf;
    if (offset < p->file.length) return false;
    uint64_t at = offset - p->file.length;
    if (at < b->out_len) return find_in(b->mem[b->filling ^ 1], b->out_len, at, line);
    return find_in(b->mem[b->filling], b->len, at - b->out_len, line);
}
