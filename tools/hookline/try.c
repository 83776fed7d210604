/* tools/hookline/try.c - hookline try: one record, sent now, and all there is to see of it.
 *
 * It is a run of the engine as any other, with one record, one attempt and a trace: what is shown
 * is what hookline send does. The record comes to the run as a file in memory.
 */
#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/engine/run.h"
#include "core/net/trace.h"
#include "tools/hookline/commands.h"
#include "tools/hookline/lines.h"
#include "tools/hookline/settings.h"
#include "tools/hookline/try_show.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    TRY_ANSWER_BYTES = LIMIT_ANSWER_HEAD_BYTES + 16 * 1024, /* that are kept of an answer */
    TRY_HEAD_BYTES = 64 * 1024, /* what a request may have beyond its record: more than it can */
    TRY_CONNECTIONS = 8, /* several addresses of a name may compete */
    TRY_MEMORY_BYTES = 64 * 1024 * 1024,
};

struct
try {
    const struct settings *settings;
    struct config config;
    struct redact redact;
    struct trace trace;
    char *line; /* owned: the record */
    size_t line_len;
    int file;      /* in memory, holds the line; -1: none */
    char path[64]; /* under which the run opens it */
};

static bool is_url(const char *text)
{
    return strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0;
}

static bool line_room(struct try *t, size_t len)
{
    t->line = calloc(1, len + 1);
    if (t->line != NULL) return true;
    fputs("hookline try: no memory for the record\n", stderr);
    return false;
}

/* A record of nothing but the URL. */
static int line_of_url(struct try *t, const char *url)
{
    struct span text = span_of(url, strlen(url));
    if (!line_room(t, text.len * JSON_TEXT_GROWTH + 16)) return EXIT_RESOURCES;
    char *to = span_put(t->line, SPAN_LIT("{\"url\":\""));
    to += json_text_write(to, text);
    to = span_put(to, SPAN_LIT("\"}"));
    t->line_len = (size_t)(to - t->line);
    return 0;
}

static bool is_blank(struct span line)
{
    for (size_t i = 0; i < line.len; i++)
        if (strchr(" \t\r", line.ptr[i]) == NULL) return false;
    return true;
}

/* Keeps the line, behind as many empty ones as there were, so that what is said of it names its
 * place. */
static int line_keep(struct try *t, const struct lines *l)
{
    size_t before = (size_t)l->number - 1;
    if (!line_room(t, before + l->line.len)) return EXIT_RESOURCES;
    memset(t->line, '\n', before);
    memcpy(t->line + before, l->line.ptr, l->line.len);
    t->line_len = before + l->line.len;
    return 0;
}

/* The first record of a file. */
static int line_of_lines(struct try *t, struct lines *l, const char *name)
{
    enum lines_step step;
    int status = -1;
    while (status < 0 && (step = lines_next(l)) != LINES_END) {
        if (step == LINES_ERROR) {
            fprintf(stderr, "hookline try: cannot read %s: %s\n", name, strerror(l->error));
            return EXIT_INPUT;
        }
        if (step == LINES_PIECE) {
            fprintf(stderr, "hookline try: %s:%" PRIu64 ": the line is longer than --max-record\n",
                    name, l->number);
            return EXIT_INPUT;
        }
        if (!is_blank(l->line)) status = line_keep(t, l);
    }
    if (status < 0) {
        fprintf(stderr, "hookline try: %s: holds no record\n", name);
        return EXIT_INPUT;
    }
    if (lines_next(l) == LINES_LINE && !is_blank(l->line))
        fprintf(stderr, "hookline try: only the first record of %s is sent\n", name);
    return status;
}

static int line_of_file(struct try *t, const char *path)
{
    struct lines l;
    bool standard = strcmp(path, "-") == 0;
    const char *name = standard ? "standard input" : path;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "hookline try: cannot read %s: %s\n", path, strerror(errno));
        return EXIT_INPUT;
    }
    int status = EXIT_RESOURCES;
    if (lines_open(&l, fd, t->config.record_bytes_max) == 0) {
        status = line_of_lines(t, &l, name);
        lines_close(&l);
    } else {
        fputs("hookline try: no memory to read the record\n", stderr);
    }
    if (!standard) close(fd);
    t->config.input_name = name;
    return status;
}

/* The line as a file that the run can open. */
static int file_make(struct try *t)
{
    t->file = memfd_create("hookline-try", MFD_CLOEXEC);
    ssize_t wrote = t->file < 0 ? -1 : write(t->file, t->line, t->line_len);
    if (wrote != (ssize_t)t->line_len) {
        fprintf(stderr, "hookline try: cannot keep the record in memory: %s\n", strerror(errno));
        return EXIT_RESOURCES;
    }
    snprintf(t->path, sizeof t->path, "/proc/self/fd/%d", t->file);
    t->config.input_path = t->path;
    return 0;
}

static int trace_make(struct try *t)
{
    t->trace.request_room = t->line_len * 3 + TRY_HEAD_BYTES;
    t->trace.answer_room = TRY_ANSWER_BYTES;
    t->trace.request = malloc(t->trace.request_room);
    t->trace.answer = malloc(t->trace.answer_room);
    t->config.trace = &t->trace;
    if (t->trace.request != NULL && t->trace.answer != NULL) return 0;
    fputs("hookline try: no memory to keep what is sent\n", stderr);
    return EXIT_RESOURCES;
}

static void set_config(struct try *t, const struct settings *settings)
{
    struct config *c = &t->config;
    *c = settings->config;
    c->shards = 1;
    c->connections = TRY_CONNECTIONS;
    c->host_connections = TRY_CONNECTIONS;
    c->retry.retries = 0; /* one attempt */
    c->rejects_shown_max = 1;
    c->refused_shown_max = 0; /* the verdict says it */
    uint64_t memory = TRY_MEMORY_BYTES + 16 * (uint64_t)c->record_bytes_max;
    if (c->memory_bytes < memory) c->memory_bytes = memory;
    t->redact = (struct redact){.names = c->redact, .count = c->redact_count};
}

static int show(const struct try *t)
{
    const struct trace *trace = &t->trace;
    if (trace->request_bytes > 0) {
        try_show_request(trace, &t->redact, stdout);
        fputc('\n', stdout);
        try_show_answer(trace, &t->redact, stdout);
        if (trace->answer_bytes > 0) fputc('\n', stdout);
    }
    try_show_tls(trace, stdout);
    if (trace->why != ERR_BLOCKED_ADDRESS) {
        try_show_times(trace, stdout);
        fputc('\n', stdout);
    }
    try_show_verdict(trace, &t->settings->config.retry, stdout);
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        fputs("hookline try: standard output cannot be written\n", stderr);
        return EXIT_OUTPUT;
    }
    return trace->delivered ? EXIT_ALL_DELIVERED : EXIT_SOME_FAILED;
}

static int run_it(struct try *t)
{
    struct run_error why;
    struct run *run;
    trust_warn(&t->config.tls);
    if (run_open(&t->config, &run, &why) != 0) {
        fprintf(stderr, "hookline try: %s\n", why.text);
        return (int)why.status;
    }
    int status = 0;
    if (run_start(run, &why) != 0) {
        fprintf(stderr, "hookline try: %s\n", why.text);
        status = (int)why.status;
    } else {
        run_join(run);
        const struct run_error *failure = run_failure(run);
        if (failure != NULL) fprintf(stderr, "hookline try: %s\n", failure->text);
        if (failure != NULL) status = (int)failure->status;
        else if (!t->trace.told) status = EXIT_INPUT; /* a reject, which was printed */
    }
    run_free(run);
    return status;
}

int command_try(const struct settings *settings, const char *what)
{
    CHECK(settings != NULL);
    struct try t = {.settings = settings, .file = -1};
    set_config(&t, settings);
    int status;
    if (what == NULL) {
        fputs("hookline try: name what to send: a URL, a file, or - for standard input\n", stderr);
        return EXIT_USAGE;
    }
    t.config.input_name = "argument";
    status = is_url(what) ? line_of_url(&t, what) : line_of_file(&t, what);
    if (status == 0) status = file_make(&t);
    if (status == 0) status = trace_make(&t);
    if (status == 0) status = run_it(&t);
    if (status == 0) status = show(&t);
    if (t.file >= 0) close(t.file);
    free(t.trace.request);
    free(t.trace.answer);
    free(t.line);
    return status;
}
