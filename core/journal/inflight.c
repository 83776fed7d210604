#include "core/journal/inflight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { READ_SLOTS = 4096 };

_Static_assert(sizeof(struct inflight_slot) == 24, "as it lies in the file");

static struct inflight_slot head_of(const uint8_t boot_id[IO_BOOT_ID_BYTES])
{
    struct inflight_slot head = {.line_attempt = UINT64_MAX};
    memcpy(&head, boot_id, IO_BOOT_ID_BYTES);
    return head;
}

int inflight_open(struct inflight *f, const char *path, uint32_t count,
                  const uint8_t boot_id[IO_BOOT_ID_BYTES])
{
    CHECK(count > 1);
    void *mem;
    int32_t fd;
    int rc = io_file_open(path, IO_FILE_NEW, &fd);
    if (rc < 0) return rc;
    rc = io_file_map(fd, count * sizeof *f->slot, &mem);
    if (rc < 0) {
        io_file_close(fd);
        return rc;
    }
    *f = (struct inflight){.slot = mem, .count = count, .fd = fd};
    f->slot[0] = head_of(boot_id);
    return 0;
}

void inflight_close(struct inflight *f)
{
    if (f->slot == NULL) return;
    io_file_unmap(f->slot, f->count * sizeof *f->slot);
    io_file_close(f->fd);
    f->slot = NULL;
}

static int slots_apply(const struct inflight_slot *slot, size_t count, struct journal_state *s)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct journal_entry e = {.kind = JOURNAL_BEGUN,
                                  .line = slot[i].line_attempt >> 16,
                                  .offset = slot[i].offset,
                                  .attempts = slot[i].line_attempt & 65535,
                                  .first_us = slot[i].first_us};
        if (e.line == 0 || ODD(e.attempts == 0) || ODD(e.line >= s->done.lines)) continue;
        rc = journal_state_begun(s, &e);
    }
    return rc;
}

/* Whether what is in the file is what the processes of this start of the machine stored. */
static int is_of(int32_t fd, const uint8_t boot_id[IO_BOOT_ID_BYTES])
{
    struct inflight_slot head, want = head_of(boot_id);
    int64_t n = io_file_read(fd, &head, sizeof head, 0);
    if (n < 0) return (int)n;
    return n == sizeof head && memcmp(&head, &want, sizeof head) == 0;
}

int inflight_recover(const char *path, struct journal_state *s,
                     const uint8_t boot_id[IO_BOOT_ID_BYTES])
{
    int32_t fd;
    int rc = io_file_open(path, IO_FILE_READ, &fd);
    if (rc == -ENOENT) return 0;
    if (rc < 0) return rc;
    rc = is_of(fd, boot_id);
    if (rc <= 0) {
        io_file_close(fd);
        return rc;
    }
    struct inflight_slot *slots = calloc(READ_SLOTS, sizeof *slots);
    rc = slots != NULL ? 0 : -ENOMEM;
    for (uint64_t at = sizeof *slots; rc == 0;) {
        int64_t n = io_file_read(fd, slots, READ_SLOTS * sizeof *slots, at);
        if (n < 0) rc = (int)n;
        if (n <= 0) break;
        rc = slots_apply(slots, (size_t)n / sizeof *slots, s);
        at += (uint64_t)n;
    }
    free(slots);
    io_file_close(fd);
    return rc;
}
