/* tools/hookline/check.c - hookline check: reads all of an input and sends nothing.
 *
 * Uses the very parser, resolver and egress policy that a run uses, so that what it says is what
 * a run would do. Rejects and problems go to standard error, the account to standard output.
 */
#include "core/base/check.h"
#include "core/engine/run.h"
#include "core/input/record.h"
#include "core/io/io.h"
#include "core/net/policy.h"
#include "core/net/resolver.h"
#include "tools/hookline/commands.h"
#include "tools/hookline/hosts.h"
#include "tools/hookline/lines.h"
#include "tools/hookline/settings.h"
#include "tools/hookline/values.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CHECK_HOSTS_SHOWN = 20,
    CHECK_DELIVERIES_PER_CORE = 100000, /* a second, without TLS: for the estimate */
    CHECK_LATENCY_MS = 50,              /* of an answer: for the estimate */
};

struct check {
    const struct settings *settings;
    const char *name; /* of the input, for people */
    struct record_parser *parser;
    struct hosts *hosts;
    struct lines lines;
    FILE *rejects; /* NULL: none wanted */
    FILE *account; /* standard output; standard error when the rejects go there */
    uint64_t accepted, rejected, blank, body_bytes, unsendable;
    uint64_t methods[REQUEST_METHOD_COUNT];
    uint64_t now_ns; /* since 1970, UTC: when it began */
    int status;      /* so far */
};

static int fail(struct check *k, int status, const char *what, const char *path, int error)
{
    fprintf(stderr, "hookline check: cannot %s \"%.300s\": %s\n", what, path, strerror(error));
    k->status = status;
    return -1;
}

/* ---- rejects ------------------------------------------------------------------------------- */

static void tell_reject(struct check *k, const struct reject *why)
{
    k->rejected++;
    fprintf(stderr, "%s:%" PRIu64 ":%u: %s\n", k->name, k->lines.number, why->column, why->reason);
}

/* The bytes of the line as they came; its last piece ends it. */
static void keep_reject(struct check *k, struct span piece, bool last)
{
    if (k->rejects == NULL) return;
    fwrite(piece.ptr, 1, piece.len, k->rejects);
    if (last) fputc('\n', k->rejects);
}

/* ---- records ------------------------------------------------------------------------------- */

/* What makes a sound record one that a run, if it began now, would reject; else NULL. Leaves the
 * host's addresses in found. */
static const char *impossible(const struct check *k, const struct record *r,
                              struct addr found[RESOLVER_ADDRS_MAX], uint32_t *count)
{
    if (r->not_before_ns > k->now_ns)
        return "\"not_before\" lies in the future, and this version keeps no record waiting";
    if (r->deadline_ns != 0 && r->deadline_ns <= k->now_ns) return "\"deadline\" has passed";
    *count = resolver_find(k->settings->resolver, &r->url, found); /* 0: a run asks the DNS */
    return NULL;
}

/* The rule that refuses all addresses of a host, or NULL. */
static const char *refused(const struct check *k, const struct addr *found, uint32_t count)
{
    const char *why = NULL;
    for (uint32_t i = 0; i < count; i++) {
        why = policy_refuses(&k->settings->policy, &found[i]);
        if (why == NULL) return NULL;
    }
    return why;
}

static void take_record(struct check *k, const struct record *r)
{
    struct addr found[RESOLVER_ADDRS_MAX];
    uint32_t count;
    bool fresh;
    struct reject why = {.column = 1};
    const char *reason = impossible(k, r, found, &count);
    if (reason != NULL) {
        snprintf(why.reason, sizeof why.reason, "%s", reason);
        tell_reject(k, &why);
        keep_reject(k, k->lines.line, true);
        return;
    }
    k->accepted++;
    k->methods[r->method]++;
    k->body_bytes += r->has_body ? r->body.len : 0;
    struct host_count *h = hosts_count(k->hosts, &r->url, &fresh);
    if (h == NULL) {
        k->unsendable += refused(k, found, count) != NULL;
        return;
    }
    if (fresh) h->refused = refused(k, found, count);
    k->unsendable += h->refused != NULL;
}

/* One whole line, or the first piece of one that is too long for a record. */
static void take_line(struct check *k, enum lines_step step)
{
    struct record record;
    struct reject why;
    struct span line = k->lines.line;
    if (step == LINES_PIECE) {
        why.column = (uint32_t)k->lines.bytes_max + 1;
        snprintf(why.reason, sizeof why.reason, "the line is longer than --max-record (%zu bytes)",
                 k->lines.bytes_max);
        tell_reject(k, &why);
        keep_reject(k, line, k->lines.piece_last);
        return;
    }
    switch (record_parse(k->parser, line, &record, &why)) {
    case RECORD_OK: take_record(k, &record); return;
    case RECORD_BLANK: k->blank++; return;
    case RECORD_REJECT:
        tell_reject(k, &why);
        keep_reject(k, line, true);
        return;
    }
    UNREACHABLE();
}

static int read_all(struct check *k)
{
    for (;;) {
        enum lines_step step = lines_next(&k->lines);
        if (step == LINES_END) return 0;
        if (step == LINES_ERROR) return fail(k, EXIT_INPUT, "read", k->name, k->lines.error);
        if (step == LINES_LINE || k->lines.piece_first) take_line(k, step);
        else keep_reject(k, k->lines.line, k->lines.piece_last);
        if (k->rejected > 0 && k->settings->config.strict && k->lines.piece_last) return 0;
    }
}

/* ---- the account --------------------------------------------------------------------------- */

static void row(const struct check *k, const char *name, uint64_t value, const char *note)
{
    char text[VALUES_TEXT_BYTES];
    fprintf(k->account, "  %-20s %15s%s%s\n", name, value_grouped_text(value, text),
            note[0] == '\0' ? "" : "  ", note);
}

static void print_host(const struct check *k, const struct host_count *h)
{
    char text[VALUES_TEXT_BYTES];
    fprintf(k->account, "  %36s  %.*s:%u%s%s\n", value_grouped_text(h->records, text),
            (int)h->name_len, h->name, h->port,
            h->refused == NULL ? "" : "  refused: ", h->refused == NULL ? "" : h->refused);
}

static void print_hosts(const struct host_count *hosts, uint64_t count, const struct check *k)
{
    uint64_t shown = count < CHECK_HOSTS_SHOWN ? count : CHECK_HOSTS_SHOWN;
    row(k, "hosts", count, count > shown ? "those with most records:" : "");
    for (uint64_t i = 0; i < shown; i++) print_host(k, &hosts[i]);
    if (hosts_left_out(k->hosts) > 0)
        row(k, "", hosts_left_out(k->hosts), "records of hosts beyond those this table can hold");
    if (k->unsendable == 0) return;
    row(k, "refused", k->unsendable, "records would fail: no address of their hosts may be used");
    uint64_t more = 0; /* refused hosts that are not among those above */
    for (uint64_t i = shown; i < count && more < CHECK_HOSTS_SHOWN; i++) {
        if (hosts[i].refused == NULL) continue;
        print_host(k, &hosts[i]);
        more++;
    }
}

/* Three bounds; the largest decides: the cores, the busiest host, all connections together. */
static void print_estimate(const struct host_count *hosts, uint64_t count, const struct check *k)
{
    const struct config *c = &k->settings->config;
    char text[VALUES_TEXT_BYTES], more[VALUES_TEXT_BYTES];
    uint64_t sendable = k->accepted - k->unsendable;
    if (sendable == 0) return;
    uint64_t connections = 0, busiest = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (hosts[i].refused != NULL) continue;
        if (busiest == 0) busiest = hosts[i].records;
        uint64_t most =
            hosts[i].records < c->host_connections ? hosts[i].records : c->host_connections;
        connections += most;
    }
    uint64_t all = (uint64_t)c->shards * c->connections;
    if (connections > all) connections = all;
    if (connections == 0) return;
    double latency_s = CHECK_LATENCY_MS / 1e3;
    double by_cores = (double)sendable / ((double)CHECK_DELIVERIES_PER_CORE * c->shards);
    double by_host = (double)busiest * latency_s / c->host_connections;
    double by_connections = (double)sendable * latency_s / (double)connections;
    double longest = by_cores > by_host ? by_cores : by_host;
    if (by_connections > longest) longest = by_connections;
    const char *bound = longest == by_cores  ? "the shards"
                        : longest == by_host ? "the busiest host's connections"
                                             : "all connections";
    fprintf(k->account, "  estimate: about %s over at most %s connections, bound by %s\n",
            value_latency_text((uint64_t)(longest * 1e9), text),
            value_grouped_text(connections, more), bound);
    fprintf(k->account,
            "    assumed: answers within %d ms, %s deliveries a second for each of %u shards, "
            "nothing fails\n",
            CHECK_LATENCY_MS, value_grouped_text(CHECK_DELIVERIES_PER_CORE, text), c->shards);
}

static void print_account(struct check *k)
{
    char note[160], a[VALUES_TEXT_BYTES], b[VALUES_TEXT_BYTES];
    fprintf(k->account, "%s: %s lines, %s\n", k->name, value_grouped_text(k->lines.number, a),
            value_bytes_text(k->lines.bytes, b));
    snprintf(note, sizeof note, "bodies %s", value_bytes_text(k->body_bytes, a));
    row(k, "records", k->accepted, note);
    for (enum request_method m = 0; m < REQUEST_METHOD_COUNT; m++) {
        struct span text = request_method_text(m);
        char name[32];
        if (k->methods[m] == 0) continue;
        snprintf(name, sizeof name, "  %.*s", (int)text.len, text.ptr);
        row(k, name, k->methods[m], "");
    }
    row(k, "rejected", k->rejected,
        k->rejected > 0 && k->settings->config.strict ? "the rest was not read: --strict" : "");
    if (k->blank > 0) row(k, "blank lines", k->blank, "");
    uint64_t count;
    const struct host_count *hosts = hosts_sorted(k->hosts, &count);
    print_hosts(hosts, count, k);
    print_estimate(hosts, count, k);
}

/* ---- start and end ------------------------------------------------------------------------- */

static int open_rejects(struct check *k)
{
    const char *path = k->settings->config.rejects_path;
    int32_t fd;
    if (path == NULL) return 0;
    int failed = io_file_open(path, IO_FILE_WRITE, &fd);
    if (failed != 0) return fail(k, EXIT_OUTPUT, "write", path, -failed);
    if (fd == STDOUT_FILENO) {
        k->rejects = stdout;
        k->account = stderr;
        return 0;
    }
    k->rejects = fdopen(fd, "w");
    if (k->rejects == NULL) return fail(k, EXIT_OUTPUT, "write", path, errno);
    return 0;
}

static int flush_output(struct check *k, FILE *file, const char *path)
{
    if (fflush(file) == 0 && ferror(file) == 0) return 0;
    return fail(k, EXIT_OUTPUT, "write", path, errno != 0 ? errno : EIO);
}

static int check_open(struct check *k, int32_t fd)
{
    const struct config *c = &k->settings->config;
    struct record_rules rules = {.record_bytes_max = c->record_bytes_max,
                                 .key_field = c->key_field,
                                 .ports = c->ports};
    k->parser = record_parser_new(&rules);
    k->hosts = hosts_new();
    if (lines_open(&k->lines, fd, c->record_bytes_max) == 0 && k->parser != NULL &&
        k->hosts != NULL)
        return 0;
    fputs("hookline check: no memory to begin with; a smaller --max-record needs less\n", stderr);
    k->status = EXIT_RESOURCES;
    return -1;
}

static void check_close(struct check *k)
{
    if (k->parser != NULL) record_parser_free(k->parser);
    if (k->hosts != NULL) hosts_free(k->hosts);
    if (k->lines.mem != NULL) lines_close(&k->lines);
    if (k->rejects != NULL && k->rejects != stdout) fclose(k->rejects);
}

static int check_input(struct check *k, int32_t fd)
{
    if (check_open(k, fd) != 0 || open_rejects(k) != 0) return k->status;
    if (strcmp(k->settings->config.input_path, "-") == 0 && isatty(STDIN_FILENO) == 1)
        fputs("hookline: reading records from the terminal, one JSON object on each line; "
              "end with Ctrl-D\n",
              stderr);
    if (read_all(k) == 0 && k->rejected > 0) {
        k->status = EXIT_INPUT;
        fprintf(stderr, "hookline check: %" PRIu64 " of %" PRIu64 " lines are rejected\n",
                k->rejected, k->lines.number);
    }
    print_account(k);
    if (k->rejects != NULL) (void)flush_output(k, k->rejects, k->settings->config.rejects_path);
    if (k->rejects != stdout) (void)flush_output(k, stdout, "standard output");
    return k->status;
}

int command_check(const struct settings *settings)
{
    CHECK(settings != NULL);
    const char *path = settings->config.input_path;
    struct check k = {.settings = settings,
                      .name = strcmp(path, "-") == 0 ? "standard input" : path,
                      .account = stdout,
                      .status = EXIT_ALL_DELIVERED};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    k.now_ns = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
    int32_t fd;
    int failed = io_file_open(path, IO_FILE_READ, &fd);
    if (failed != 0) {
        (void)fail(&k, EXIT_INPUT, "read", path, -failed);
        return k.status;
    }
    int status = check_input(&k, fd);
    check_close(&k);
    io_file_close(fd);
    return status;
}
