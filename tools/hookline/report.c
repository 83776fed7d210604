/* tools/hookline/report.c - hookline report: a results file or a state folder, summed up as text or
 * as one JSON object. */
#include "tools/hookline/report.h"

#include "core/base/check.h"
#include "core/base/stamp.h"
#include "core/io/io.h"
#include "tools/hookline/commands.h"
#include "tools/hookline/values.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const double percents[] = {50, 90, 99, 99.9};
enum { PERCENTS = sizeof percents / sizeof percents[0] };

static int by_failed(const void *left, const void *right)
{
    const struct report_host *a = left, *b = right;
    uint64_t x = a->records - a->delivered, y = b->records - b->delivered;
    if (x != y) return x < y ? 1 : -1;
    if (a->records != b->records) return a->records < b->records ? 1 : -1;
    return strcmp(a->name, b->name);
}

static uint64_t hosts_shown(struct report_results *r)
{
    qsort(r->hosts, REPORT_HOSTS, sizeof r->hosts[0], by_failed);
    return r->hosts_count < REPORT_HOSTS_SHOWN ? r->hosts_count : REPORT_HOSTS_SHOWN;
}

static void utc(uint64_t us, char out[STAMP_UTC_BYTES + 1])
{
    struct stamp_cache cache = {.second_after = 0};
    stamp_utc(&cache, out, us * 1000);
    out[STAMP_UTC_BYTES] = 0;
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
    for (size_t i = 0; i < PERCENTS; i++)
        printf(" p%g %s,", percents[i], value_latency_text(hist_percentile(h, percents[i]), text));
    printf(" max %s\n", value_latency_text(h->max, text));
}

static void results_text(const char *path, struct report_results *r)
{
    char a[VALUES_TEXT_BYTES], name[64];
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
    if (r->first[0]) printf("  %-20s %s to %s\n", "time", r->first, r->last);
    if (r->not_understood > 0) row("not understood", r->not_understood, "lines");
    uint64_t shown = hosts_shown(r);
    if (shown > 0) printf("  hosts, most failures first:\n");
    for (uint64_t i = 0; i < shown; i++) {
        const struct report_host *h = &r->hosts[i];
        char b[VALUES_TEXT_BYTES];
        printf("    %-40s %s of %s delivered\n", h->name, value_grouped_text(h->delivered, a),
               value_grouped_text(h->records, b));
    }
}

static void state_text(const char *folder, const struct report_state *s)
{
    char a[VALUES_TEXT_BYTES], b[VALUES_TEXT_BYTES], when[STAMP_UTC_BYTES + 1];
    uint64_t done = 0;
    for (int i = 0; i < OUTCOME_COUNT; i++) done += s->ended[i];
    utc(s->wall_us, when);
    printf("%s: %s records are done, written last at %s\n", folder, value_grouped_text(done, a),
           when);
    outcome_rows(s->ended, done);
    row("wait", s->waiting, "tried, and to be tried again");
    if (s->waiting > 0) row("  now", s->due, "of them: their time has come");
    if (s->next_due_us > 0) {
        utc(s->next_due_us, when);
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
    for (size_t i = 0; h->count > 0 && i < PERCENTS; i++)
        printf(",\"p%g\":%.3f", percents[i], (double)hist_percentile(h, percents[i]) / 1e6);
    if (h->count > 0) printf(",\"max\":%.3f", (double)h->max / 1e6);
    printf("}");
}

static void results_json(struct report_results *r)
{
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
    if (r->first[0])
        printf(",\"first_attempt_at\":\"%s\",\"finished_at\":\"%s\"", r->first, r->last);
    printf(",\"not_understood\":%" PRIu64 ",\"hosts\":[", r->not_understood);
    uint64_t shown = hosts_shown(r);
    for (uint64_t i = 0; i < shown; i++) /* names stand there as they are escaped in the file */
        printf("%s{\"host\":\"%s\",\"records\":%" PRIu64 ",\"delivered\":%" PRIu64 "}",
               i > 0 ? "," : "", r->hosts[i].name, r->hosts[i].records, r->hosts[i].delivered);
    printf("]}");
}

static void state_json(const struct report_state *s)
{
    char when[STAMP_UTC_BYTES + 1];
    utc(s->wall_us, when);
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

static int report_folder(const char *folder, struct report_results *r, bool json)
{
    static struct report_state s;
    int rc = report_read_state(folder, &s);
    if (rc < 0) return cannot(folder, rc);
    bool results =
        s.results[0] != 0 && strcmp(s.results, "-") != 0 && report_read_results(s.results, r) == 0;
    if (json) {
        printf("{\"state\":");
        state_json(&s);
        if (results) printf(",\"results\":");
        if (results) results_json(r);
        printf("}\n");
    } else {
        state_text(folder, &s);
        if (results) results_text(s.results, r);
    }
    return 0;
}

int command_report(const char *what, bool json)
{
    static struct report_results r; /* too large for the stack's taste */
    struct stat st;
    if (what == NULL) {
        fputs("hookline report: name a results file or a state folder\n", stderr);
        return EXIT_USAGE;
    }
    int status = 0;
    if (strcmp(what, "-") != 0 && stat(what, &st) == 0 && S_ISDIR(st.st_mode)) {
        status = report_folder(what, &r, json);
    } else {
        int rc = report_read_results(what, &r);
        if (rc < 0) return cannot(what, rc);
        if (json) results_json(&r);
        else results_text(what, &r);
        if (json) printf("\n");
    }
    if (status != 0) return status;
    if (fflush(stdout) == 0 && ferror(stdout) == 0) return 0;
    fputs("hookline report: standard output cannot be written\n", stderr);
    return EXIT_OUTPUT;
}
