/* tools/hookline/report_read.c - see report.h. */
#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/input/record_time.h"
#include "core/journal/inflight.h"
#include "core/journal/recover.h"
#include "tools/hookline/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* As milliseconds 31 years. */
#define NUMBER_MAX UINT64_C(1000000000000)

/* ---- results ------------------------------------------------------------------------------- */

/* Where a field's value begins in one of our own lines. A quotation mark inside a text is written
 * with a backslash before it, so that ,"name": cannot stand in one. */
static const char *field(const char *line, size_t len, const char *name, size_t *left)
{
    char key[48];
    int n = snprintf(key, sizeof key, ",\"%s\":", name);
    CHECK(n > 0 && (size_t)n < sizeof key);
    const char *at = memmem(line, len, key, (size_t)n);
    if (at == NULL) return NULL;
    at += n;
    *left = len - (size_t)(at - line);
    return at;
}

/* A text's bytes between its quotation marks, as they stand; false: it is none. */
static bool text_of(const char *line, size_t len, const char *name, struct span *out)
{
    size_t left, n = 0;
    const char *at = field(line, len, name, &left);
    if (at == NULL || left == 0 || *at != '"') return false;
    for (at++, left--; n < left && at[n] != '"'; n++)
        if (at[n] == '\\') n++;
    if (n >= left) return false;
    *out = span_of(at, n);
    return true;
}

/* A text that is a time, in ns since 1970; 0: it is none. */
static uint64_t time_of(const char *line, size_t len, const char *name)
{
    struct span text;
    uint64_t ns;
    if (!text_of(line, len, name, &text)) return 0;
    return record_time_text(text, &ns) == NULL ? ns : 0;
}

static bool is(struct span text, const char *label)
{
    return span_eq(text, span_of(label, strlen(label)));
}

/* Of a number, as thousandths; UINT64_MAX: it is none, or one that no run would write. */
static uint64_t milli_of(const char *line, size_t len, const char *name)
{
    size_t left;
    const char *at = field(line, len, name, &left);
    uint64_t value = 0;
    size_t i = 0, decimals = 0;
    if (at == NULL || left == 0 || *at < '0' || *at > '9') return UINT64_MAX;
    for (; i < left && at[i] >= '0' && at[i] <= '9'; i++) {
        value = value * 10 + (uint64_t)(at[i] - '0');
        if (value > NUMBER_MAX) return UINT64_MAX;
    }
    if (i < left && at[i] == '.')
        for (i++; i < left && at[i] >= '0' && at[i] <= '9' && decimals < 3; i++, decimals++)
            value = value * 10 + (uint64_t)(at[i] - '0');
    for (; decimals < 3; decimals++) value *= 10;
    return value;
}

static void host_count(struct report_results *r, const char *name, bool delivered)
{
    uint64_t at = XXH3_64bits(name, strlen(name)) % REPORT_HOSTS;
    for (int tries = 0; tries < 64; tries++, at = (at + 1) % REPORT_HOSTS) {
        struct report_host *h = &r->hosts[at];
        if (h->records == 0) {
            snprintf(h->name, sizeof h->name, "%s", name);
            r->hosts_count++;
        } else if (strcmp(h->name, name) != 0) {
            continue;
        }
        h->records++;
        h->delivered += delivered;
        return;
    }
    r->hosts_left++;
}

static enum outcome outcome_find(struct span label)
{
    enum outcome o = 0;
    while (o < OUTCOME_COUNT && !is(label, outcome_label(o))) o++;
    return o;
}

static void attempts_count(struct report_results *r, const char *line, size_t len)
{
    uint64_t attempts = milli_of(line, len, "attempts"), total = milli_of(line, len, "total_ms");
    uint64_t duration = milli_of(line, len, "duration_ms");
    if (attempts != UINT64_MAX) r->attempts += attempts / 1000;
    if (attempts != UINT64_MAX && attempts > 1000) r->retried++;
    if (attempts == 0) return; /* nothing was sent that could have taken a time */
    if (duration != UINT64_MAX) hist_add(&r->duration, duration * 1000);
    if (total != UINT64_MAX) hist_add(&r->total, total * 1000);
}

static void times_count(struct report_results *r, const char *line, size_t len, bool delivered)
{
    uint64_t first_ns = time_of(line, len, "first_attempt_at");
    uint64_t ended_ns = time_of(line, len, "finished_at");
    if (first_ns != 0 && (r->first_ns == 0 || first_ns < r->first_ns)) r->first_ns = first_ns;
    if (ended_ns > r->last_ns) r->last_ns = ended_ns;
    if (ended_ns != 0) timeline_add(&r->ended, ended_ns, delivered);
}

static void line_count(struct report_results *r, const char *line, size_t len)
{
    struct span text;
    enum outcome o = OUTCOME_COUNT;
    if (text_of(line, len, "outcome", &text)) o = outcome_find(text);
    if (o == OUTCOME_COUNT) {
        r->not_understood++;
        return;
    }
    r->lines++;
    r->outcomes[o]++;
    if (text_of(line, len, "error", &text))
        for (enum err e = 0; e < ERR_COUNT; e++)
            if (is(text, err_label(e))) r->errors[e]++;
    uint64_t status = milli_of(line, len, "status");
    if (status != UINT64_MAX && status / 1000 < REPORT_STATUSES) r->statuses[status / 1000]++;
    attempts_count(r, line, len);
    times_count(r, line, len, o == OUTCOME_DELIVERED);
    if (text_of(line, len, "host", &text)) {
        char name[sizeof r->hosts[0].name];
        (void)json_text_read(name, sizeof name, text);
        host_count(r, name, o == OUTCOME_DELIVERED);
    }
}

int report_read_results(const char *path, struct report_results *r)
{
    memset(r, 0, sizeof *r);
    hist_init(&r->duration);
    hist_init(&r->total);
    timeline_init(&r->ended);
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (file == NULL) return -errno;
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    while ((n = getline(&line, &room, file)) > 0) {
        if (line[n - 1] != '\n') break; /* it is being written */
        r->bytes += (uint64_t)n;
        line_count(r, line, (size_t)n);
    }
    int rc = ferror(file) ? -EIO : 0;
    free(line);
    if (file != stdin) fclose(file);
    return rc;
}

static int by_failed(const void *left, const void *right)
{
    const struct report_host *a = left, *b = right;
    uint64_t x = a->records - a->delivered, y = b->records - b->delivered;
    if (x != y) return x < y ? 1 : -1;
    if (a->records != b->records) return a->records < b->records ? 1 : -1;
    return strcmp(a->name, b->name);
}

void report_rank_hosts(struct report_results *r)
{
    qsort(r->hosts, REPORT_HOSTS, sizeof r->hosts[0], by_failed);
}

/* ---- a state ------------------------------------------------------------------------------- */

static void meta_get(const char *meta, const char *name, char *out, size_t room)
{
    size_t n = strlen(name);
    out[0] = 0;
    for (const char *at = meta; at != NULL && *at != 0; at = strchr(at, '\n')) {
        if (*at == '\n') at++;
        if (strncmp(at, name, n) != 0 || at[n] != '=') continue;
        size_t len = strcspn(at + n + 1, "\n");
        if (len >= room) len = room - 1;
        memcpy(out, at + n + 1, len);
        out[len] = 0;
        return;
    }
}

static void state_count(const struct journal_state *j, struct report_state *s, uint64_t before)
{
    uint64_t now_us = io_wall_now() / 1000;
    char size[32];
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        s->ended[i] = j->ended[i];
        s->done += j->ended[i];
    }
    s->rejected = j->ended[JOURNAL_REJECTED];
    s->blank = j->ended[JOURNAL_BLANK];
    s->waiting = j->waiting.count;
    for (uint64_t i = 0; i < j->waiting.count; i++) {
        const struct journal_waiting *w = &j->waiting.at[i];
        s->maybe += w->maybe;
        s->due += w->due_us <= now_us;
        if (w->due_us > now_us && (s->next_due_us == 0 || w->due_us < s->next_due_us))
            s->next_due_us = w->due_us;
    }
    s->under_way = s->maybe - before;
    s->maybe = before;
    s->waiting -= s->under_way;
    for (uint32_t i = 0; i < j->held_count; i++) s->held += j->held[i].until_us > now_us;
    meta_get(j->meta, "results", s->results, sizeof s->results);
    meta_get(j->meta, "input", s->input, sizeof s->input);
    meta_get(j->meta, "input size", size, sizeof size);
    s->input_bytes = strtoull(size, NULL, 10);
    s->read_bytes = j->lease < s->input_bytes ? j->lease : s->input_bytes;
    s->journal_bytes = j->bytes;
    s->epoch = j->epoch;
    s->run_id = j->run_id;
    s->wall_us = j->wall_us;
    s->over = j->over;
    s->status = j->status;
}

static uint64_t maybe_count(const struct journal_state *j)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < j->waiting.count; i++) count += j->waiting.at[i].maybe;
    return count;
}

static int state_read(const char *folder, int32_t fd, struct report_state *s)
{
    struct journal_state j;
    struct journal_reading reading = {.fd = fd};
    char path[4200];
    uint8_t boot_id[IO_BOOT_ID_BYTES];
    if (!journal_state_open(&j, LINESET_LINES_MAX, true)) return -ENOMEM;
    io_boot_id(reading.boot_id);
    int rc = journal_recover(&reading, &j);
    uint64_t before = rc == 0 ? maybe_count(&j) : 0;
    io_boot_id(boot_id);
    snprintf(path, sizeof path, "%s/in-flight", folder);
    if (rc == 0) rc = inflight_recover(path, &j, boot_id);
    if (rc == 0) state_count(&j, s, before);
    journal_state_close(&j);
    return rc;
}

int report_read_state(const char *folder, struct report_state *s)
{
    char path[4200];
    int32_t fd;
    memset(s, 0, sizeof *s);
    if (strlen(folder) > 4096) return -ENAMETOOLONG;
    snprintf(path, sizeof path, "%s/journal", folder);
    int rc = io_file_open(path, IO_FILE_READ, &fd);
    if (rc < 0) return rc;
    rc = state_read(folder, fd, s);
    io_file_close(fd);
    return rc;
}

char *report_utc(uint64_t since_1970_ns, char out[REPORT_TIME_BYTES])
{
    struct stamp_cache cache = {.second_after = 0};
    stamp_utc(&cache, out, since_1970_ns);
    out[STAMP_UTC_BYTES] = 0;
    return out;
}
