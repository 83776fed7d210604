/* tools/hookline/report.c - hookline report: a results file or a state folder, summed up as text or
 * as one JSON object. As a page: report_html.c. */
#include "tools/hookline/report.h"

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/io/io.h"
#include "tools/hookline/commands.h"
#include "tools/hookline/values.h"
#include "tools/hookline/whole_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const double report_percents[REPORT_PERCENTS] = {50, 90, 99, 99.9};

static uint32_t hosts_shown(const struct report_results *r)
{
    return r->hosts_count < REPORT_HOSTS_SHOWN ? r->hosts_count : REPORT_HOSTS_SHOWN;
}

/* A host's name as it stands in a results file: it may hold anything, and so cannot do harm in a
 * terminal either. */
static const char *escaped(const struct report_host *h)
{
    static char out[sizeof h->name * JSON_TEXT_GROWTH + 1];
    out[json_text_write(out, span_of(h->name, strlen(h->name)))] = 0;
    return out;
}

/* ---- as text ------------------------------------------------------------------------------- */

static void row(const char *name, uint64_t value, const char *note)
{
    char text[VALUES_TEXT_BYTES];
    printf("  %-20s %15s%s%s\n", name, value_grouped_text(value, text), note[0] ? "  " : "", note);
}

static void outcome_rows(const uint64_t outcomes[OUTCOME_COUNT], uint64_t of)
{
    char note[32];
    for (enum outcome o = 0; o < OUTCOME_COUNT; o++) {
        if (outcomes[o] == 0 && o > OUTCOME_FAILED) continue;
        snprintf(note, sizeof note, "%6.2f %%",
                 of ? 100.0 * (double)outcomes[o] / (double)of : 0.0);
        row(outcome_label(o), outcomes[o], note);
    }
}

static void latency_row(const char *name, const struct hist *h)
{
    char text[VALUES_TEXT_BYTES];
    if (h->count == 0) return;
    printf("  %-20s", name);
    for (size_t i = 0; i < REPORT_PERCENTS; i++)
        printf(" p%g %s,", report_percents[i],
               value_latency_text(hist_percentile(h, report_percents[i]), text));
    printf(" max %s\n", value_latency_text(h->max, text));
}

static void results_text(const char *path, const struct report_results *r)
{
    char a[VALUES_TEXT_BYTES], name[64], first[REPORT_TIME_BYTES], last[REPORT_TIME_BYTES];
    printf("%s: %s records have an outcome\n", path, value_grouped_text(r->lines, a));
    outcome_rows(r->outcomes, r->lines);
    row("attempts", r->attempts, "");
    if (r->retried > 0) row("tried again", r->retried, "records");
    for (enum err e = 0; e < ERR_COUNT; e++) {
        if (r->errors[e] == 0) continue;
        snprintf(name, sizeof name, "  %s", err_label(e));
        row(name, r->errors[e], err_text(e));
    }
    for (int i = 100; i < REPORT_STATUSES; i++) {
        if (r->statuses[i] == 0) continue;
        snprintf(name, sizeof name, "status %d", i);
        row(name, r->statuses[i], i == 599 ? "unreachable" : "");
    }
    latency_row("last attempt took", &r->duration);
    latency_row("first to last took", &r->total);
    if (r->first_ns > 0 && r->last_ns > 0)
        printf("  %-20s %s to %s\n", "time", report_utc(r->first_ns, first),
               report_utc(r->last_ns, last));
    if (r->not_understood > 0) row("not understood", r->not_understood, "lines");
    uint32_t shown = hosts_shown(r);
    if (shown > 0) printf("  hosts, most failures first:\n");
    for (uint32_t i = 0; i < shown; i++) {
        const struct report_host *h = &r->hosts[i];
        char b[VALUES_TEXT_BYTES];
        printf("    %-40s %s of %s delivered\n", escaped(h), value_grouped_text(h->delivered, a),
               value_grouped_text(h->records, b));
    }
    if (r->hosts_left > 0) row("of other hosts", r->hosts_left, "records: the table is full");
}

static void state_text(const char *folder, const struct report_state *s)
{
    char a[VALUES_TEXT_BYTES], b[VALUES_TEXT_BYTES], when[REPORT_TIME_BYTES];
    report_utc(s->wall_us * 1000, when);
    printf("%s: %s records are done, written last at %s\n", folder, value_grouped_text(s->done, a),
           when);
    outcome_rows(s->ended, s->done);
    row("wait", s->waiting, "tried, and to be tried again");
    if (s->waiting > 0) row("  now", s->due, "of them: their time has come");
    if (s->next_due_us > 0) {
        report_utc(s->next_due_us * 1000, when);
        printf("  %-20s %s\n", "  next at", when);
    }
    row("under way", s->under_way, "attempts, if the run goes on; else maybe delivered");
    if (s->maybe > 0) row("maybe delivered", s->maybe, "cut off in an earlier life, and waiting");
    if (s->rejected > 0) row("rejected", s->rejected, "lines that are no webhook");
    if (s->held > 0) row("holds", s->held, "hosts or keys that are on hold");
    printf("  %-20s %s of %s begun: %s\n", "input", value_bytes_text(s->read_bytes, a),
           value_bytes_text(s->input_bytes, b), s->input);
    printf("  %-20s %s, epoch %" PRIu64 " of run %016" PRIx64 "\n", "journal",
           value_bytes_text(s->journal_bytes, a), s->epoch, s->run_id);
    if (s->over) printf("  %-20s with exit status %" PRIu64 "\n", "over", s->status);
}

/* ---- as JSON ------------------------------------------------------------------------------- */

static void outcomes_json(const uint64_t outcomes[OUTCOME_COUNT])
{
    printf("\"outcomes\":{");
    for (enum outcome o = 0; o < OUTCOME_COUNT; o++)
        printf("%s\"%s\":%" PRIu64, o > 0 ? "," : "", outcome_label(o), outcomes[o]);
    printf("}");
}

static void latency_json(const char *name, const struct hist *h)
{
    printf(",\"%s\":{\"count\":%" PRIu64, name, h->count);
    for (size_t i = 0; h->count > 0 && i < REPORT_PERCENTS; i++)
        printf(",\"p%g\":%.3f", report_percents[i],
               (double)hist_percentile(h, report_percents[i]) / 1e6);
    if (h->count > 0) printf(",\"max\":%.3f", (double)h->max / 1e6);
    printf("}");
}

static void results_json(const struct report_results *r)
{
    char first[REPORT_TIME_BYTES], last[REPORT_TIME_BYTES];
    printf("{\"records\":%" PRIu64 ",", r->lines);
    outcomes_json(r->outcomes);
    printf(",\"attempts\":%" PRIu64 ",\"retried\":%" PRIu64 ",\"errors\":{", r->attempts,
           r->retried);
    const char *comma = "";
    for (enum err e = 0; e < ERR_COUNT; e++) {
        if (r->errors[e] == 0) continue;
        printf("%s\"%s\":%" PRIu64, comma, err_label(e), r->errors[e]);
        comma = ",";
    }
    printf("},\"statuses\":{");
    comma = "";
    for (int i = 0; i < REPORT_STATUSES; i++) {
        if (r->statuses[i] == 0) continue;
        printf("%s\"%d\":%" PRIu64, comma, i, r->statuses[i]);
        comma = ",";
    }
    printf("}");
    latency_json("duration_ms", &r->duration);
    latency_json("total_ms", &r->total);
    if (r->first_ns > 0 && r->last_ns > 0)
        printf(",\"first_attempt_at\":\"%s\",\"finished_at\":\"%s\"",
               report_utc(r->first_ns, first), report_utc(r->last_ns, last));
    printf(",\"not_understood\":%" PRIu64 ",\"hosts\":[", r->not_understood);
    uint32_t shown = hosts_shown(r);
    for (uint32_t i = 0; i < shown; i++)
        printf("%s{\"host\":\"%s\",\"records\":%" PRIu64 ",\"delivered\":%" PRIu64 "}",
               i > 0 ? "," : "", escaped(&r->hosts[i]), r->hosts[i].records, r->hosts[i].delivered);
    printf("],\"hosts_left\":%" PRIu64 "}", r->hosts_left);
}

static void state_json(const struct report_state *s)
{
    char when[REPORT_TIME_BYTES];
    report_utc(s->wall_us * 1000, when);
    printf("{\"written_at\":\"%s\",", when);
    outcomes_json(s->ended);
    printf(",\"waiting\":%" PRIu64 ",\"due\":%" PRIu64 ",\"under_way\":%" PRIu64
           ",\"maybe_delivered\":%" PRIu64 ",\"rejected\":%" PRIu64 ",\"blank\":%" PRIu64
           ",\"holds\":%" PRIu64,
           s->waiting, s->due, s->under_way, s->maybe, s->rejected, s->blank, s->held);
    printf(",\"input_bytes\":%" PRIu64 ",\"begun_bytes\":%" PRIu64 ",\"journal_bytes\":%" PRIu64
           ",\"epoch\":%" PRIu64 ",\"run_id\":\"%016" PRIx64 "\"",
           s->input_bytes, s->read_bytes, s->journal_bytes, s->epoch, s->run_id);
    if (s->over) printf(",\"over\":true,\"status\":%" PRIu64 "}", s->status);
    else printf(",\"over\":false}");
}

/* ---- the command --------------------------------------------------------------------------- */

static int cannot(const char *what, int rc)
{
    if (rc == -EBADMSG)
        fprintf(stderr, "hookline report: %s: its journal is damaged, or none of ours\n", what);
    else fprintf(stderr, "hookline report: cannot read %s: %s\n", what, strerrordesc_np(-rc));
    return EXIT_INPUT;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return strcmp(path, "-") != 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* 0, or the exit status after a line that says why. */
static int report_read(struct report *r)
{
    const char *path = r->what;
    r->of_state = is_folder(r->what);
    if (r->of_state) {
        int rc = report_read_state(r->what, &r->state);
        if (rc < 0) return cannot(r->what, rc);
        path = r->state.results;
        if (path[0] == 0 || strcmp(path, "-") == 0) return 0;
    }
    int rc = report_read_results(path, &r->results);
    r->of_results = rc == 0;
    if (rc == 0) report_rank_hosts(&r->results);
    return rc < 0 && !r->of_state ? cannot(path, rc) : 0;
}

static void report_text(const struct report *r)
{
    if (r->of_state) state_text(r->what, &r->state);
    if (r->of_results) results_text(r->of_state ? r->state.results : r->what, &r->results);
}

static void report_json(const struct report *r)
{
    if (r->of_state) printf("{\"state\":");
    if (r->of_state) state_json(&r->state);
    if (r->of_state && r->of_results) printf(",\"results\":");
    if (r->of_results) results_json(&r->results);
    printf(r->of_state ? "}\n" : "\n");
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* A page in place of what it is about is a slip of the hand. */
static bool is_read(const struct report *r, const char *path)
{
    if (strcmp(path, "-") == 0) return false;
    if (!r->of_state) return same_file(path, r->what);
    return same_file(path, r->state.results) || same_file(path, r->state.input);
}

static int page_write(struct report *r, const char *path)
{
    static struct whole_file file; /* too large for the stack's taste */
    if (is_read(r, path)) {
        fprintf(stderr, "hookline report: %s is what the report is about: name another FILE\n",
                path);
        return EXIT_USAGE;
    }
    int rc = whole_file_open(&file, path);
    if (rc == 0) {
        report_html(file.out, r);
        rc = whole_file_close(&file);
    }
    if (rc == 0) return 0;
    fprintf(stderr, "hookline report: %s cannot be written: %s\n",
            strcmp(path, "-") == 0 ? "standard output" : path, strerrordesc_np(-rc));
    return EXIT_OUTPUT;
}

int command_report(const char *what, bool json, const char *html)
{
    static struct report r = {0}; /* likewise */
    if (what == NULL) {
        fputs("hookline report: name a results file or a state folder\n", stderr);
        return EXIT_USAGE;
    }
    if (json && html != NULL) {
        fputs("hookline report: --json and --html exclude one another\n", stderr);
        return EXIT_USAGE;
    }
    r.what = what;
    int status = report_read(&r);
    if (status != 0) return status;
    if (html != NULL) return page_write(&r, html);
    if (json) report_json(&r);
    else report_text(&r);
    if (fflush(stdout) == 0 && ferror(stdout) == 0) return 0;
    fputs("hookline report: standard output cannot be written\n", stderr);
    return EXIT_OUTPUT;
}
