/* tools/sinker/limit_log.c - see limit_log.h. */
#include "tools/sinker/limit_log.h"

#include "core/base/json_text.h"
#include "core/base/stamp.h"
#include "tools/sinker/clock.h"
#include "tools/sinker/dialect.h"

enum { SUM_LINES_MAX = 20 };

/* A quota's name as texts. */
struct names {
    char listener[ADDR_TEXT_BYTES];
    char rule[QUOTA_RULE_TEXT_BYTES];
    char dialects[DIALECT_TEXT_BYTES];
    char key[JSON_TEXT_GROWTH * QUOTA_KEY_BYTES + 3]; /* quoted, or null */
};

static void names_of(const struct limit_log *log, const struct quota_name *name, struct names *out)
{
    struct addr a = listen_nth(log->specs, log->specs_count, name->listener);
    addr_text(&a, out->listener);
    quota_rule_text(&name->rule, out->rule);
    dialect_text(name->rule.dialects, out->dialects);
    char *p = out->key;
    if (name->key.len) {
        *p++ = '"';
        p += json_text_write(p, name->key);
        *p++ = '"';
    } else {
        p = span_put(p, SPAN_LIT("null"));
    }
    *p = 0;
}

bool limit_log_open(struct limit_log *log, const char *path)
{
    log->wall_ns = clock_wall_ns();
    log->mono_ns = clock_mono_ns();
    if (!path) return true;
    log->file = fopen(path, "we");
    return log->file != NULL;
}

static void write_window(void *ctx, const struct quota_name *name, const struct quota_window *w)
{
    struct limit_log *log = ctx;
    struct names n;
    struct stamp_cache cache = {0};
    char start[STAMP_UTC_BYTES];
    names_of(log, name, &n);
    stamp_utc(&cache, start, log->wall_ns + (w->start_ns - log->mono_ns));
    fprintf(log->file,
            "{\"listener\":\"%s\",\"limit\":\"%s/%s\",\"key\":%s,\"window\":%u,"
            "\"start\":\"%.*s\",\"over\":%s,\"allowed\":%llu,\"refused\":%llu}\n",
            n.listener, n.rule, n.dialects, n.key, w->index, STAMP_UTC_BYTES, start,
            w->is_over ? "true" : "false", (unsigned long long)w->allowed,
            (unsigned long long)w->refused);
}

void limit_log_write(struct limit_log *log, bool is_end)
{
    if (!log->file) return;
    quotas_windows(log->quotas, clock_mono_ns(), is_end, write_window, log);
    fflush(log->file); /* a failure shows in ferror() at the end */
}

static void say_total(void *ctx, const struct quota_name *name, const struct quota_total *t)
{
    struct limit_log *log = ctx;
    struct names n;
    if (log->told++ >= SUM_LINES_MAX) return;
    names_of(log, name, &n);
    fprintf(stderr, "sinker: limit %s/%s on %s", n.rule, n.dialects, n.listener);
    if (name->key.len) fprintf(stderr, ", key %s", n.key);
    fprintf(stderr, ": %llu allowed, %llu refused in %u windows\n", (unsigned long long)t->allowed,
            (unsigned long long)t->refused, t->windows_count);
    if (t->windows_lost)
        fprintf(stderr, "sinker: %u windows of that are not in the log\n", t->windows_lost);
}

void limit_log_sum_up(struct limit_log *log)
{
    quotas_totals(log->quotas, say_total, log);
    if (log->told > SUM_LINES_MAX)
        fprintf(stderr, "sinker: and %u more limits\n", log->told - SUM_LINES_MAX);
    uint64_t lost = quotas_no_room(log->quotas);
    if (lost)
        fprintf(stderr, "sinker: %llu requests passed uncounted: there are %d limits already\n",
                (unsigned long long)lost, QUOTAS_MAX);
}

bool limit_log_close(struct limit_log *log)
{
    if (!log->file) return true;
    bool ok = !ferror(log->file);
    if (fclose(log->file) != 0) ok = false;
    log->file = NULL;
    return ok;
}
