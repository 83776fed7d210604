/* tools/hookline/report_html.c - hookline report as a page: see report.h.
 *
 * One file that needs nothing else: its style and its plots are inside, and it has no scripts; a
 * policy in its head forbids the reader's browser to load or run anything. Whatever comes from
 * results, from a state or from the command line goes through markup_text(). Main thread.
 */
#include "core/base/check.h"
#include "core/io/io.h"
#include "tools/hookline/markup.h"
#include "tools/hookline/report.h"
#include "tools/hookline/report_plots.h"
#include "tools/hookline/values.h"

#include <inttypes.h>
#include <string.h>

/* The colours of outcomes can be told apart by eyes that see no red or no green (Okabe and Ito). */
static const char style[] =
    ":root{color-scheme:light dark;--text:#1c1c1c;--soft:#5f5f5f;--back:#fff;--line:#ddd;"
    "--band:#eeeeee;--delivered:#0072b2;--failed:#d55e00;--exhausted:#e69f00;--expired:#b65f96;"
    "--aborted:#808080}\n"
    "@media(prefers-color-scheme:dark){:root{--text:#e4e4e4;--soft:#a3a3a3;--back:#171717;"
    "--line:#3d3d3d;--band:#2e2e2e;--delivered:#4aa8e0;--failed:#ea7c2b;--exhausted:#e9b43c;"
    "--expired:#d58cba;--aborted:#9a9a9a}}\n"
    "@media print{:root{--text:#000;--soft:#444;--back:#fff;--line:#ccc;--band:#eeeeee}"
    "h2{break-after:avoid}.plot,tr{break-inside:avoid}.plot{overflow:visible}}\n"
    "*{box-sizing:border-box;-webkit-print-color-adjust:exact;print-color-adjust:exact}\n"
    "body{margin:0 auto;max-width:52rem;padding:1rem;background:var(--back);color:var(--text);"
    "font:15px/1.45 system-ui,sans-serif}\n"
    "h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.4rem 0}\n"
    ".what,bdi{overflow-wrap:anywhere}.lead{font-size:1.15rem}.soft,footer{color:var(--soft)}\n"
    "footer{margin-top:2rem;font-size:.85rem}\n"
    "table{border-collapse:collapse;margin:.5rem 0;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.2rem .8rem .2rem .3rem;text-align:left;vertical-align:top;font-weight:400;"
    "border-bottom:1px solid var(--line)}\n"
    "thead th{color:var(--soft);font-size:.85rem}td.n,th.n{text-align:right;white-space:nowrap}\n"
    ".wide{overflow-x:auto}.pair{display:flex;flex-wrap:wrap;gap:0 3rem}\n"
    ".plot{overflow-x:auto}.plot svg{display:block;width:100%;min-width:34rem;height:auto;"
    "font:12px system-ui,sans-serif}.plot text{fill:var(--soft)}\n"
    "#outcomes svg{min-width:0}\n"
    ".plot rect{shape-rendering:crispEdges}.plot .hover{fill:none;pointer-events:all}\n"
    ".plot g:hover .hover{fill:var(--band)}.plot .gap{fill:var(--band)}\n"
    ".plot .axis{stroke:var(--soft)}.plot .grid{stroke:var(--line)}\n"
    ".plot .mark{stroke:var(--text);stroke-dasharray:3 2}.plot .latency{fill:var(--delivered)}\n"
    ".plot .delivered{fill:var(--delivered)}.plot .failed{fill:var(--failed)}"
    ".plot .exhausted{fill:var(--exhausted)}.plot .expired{fill:var(--expired)}"
    ".plot .aborted{fill:var(--aborted)}\n"
    ".key span{display:inline-block;width:.8em;height:.8em;margin:0 .35em 0 .6em}\n"
    "span.delivered{background:var(--delivered)}span.failed{background:var(--failed)}"
    "span.gap{background:var(--band);border:1px solid var(--line)}"
    "span.exhausted{background:var(--exhausted)}span.expired{background:var(--expired)}"
    "span.aborted{background:var(--aborted)}\n";

/* ---- pieces -------------------------------------------------------------------------------- */

/* A text of others, kept apart from the direction in which the rest is written. */
static void foreign(FILE *out, const char *text)
{
    fputs("<bdi>", out);
    markup_text(out, text);
    fputs("</bdi>", out);
}

static void section(FILE *out, const char *id, const char *title)
{
    fprintf(out, "<section id=\"%s\">\n<h2>%s</h2>\n", id, title);
}

static void section_end(FILE *out) { fputs("</section>\n", out); }

static const char *records(uint64_t n) { return n == 1 ? "record" : "records"; }

/* heads: between them |; a head that begins with # stands above numbers. */
static void table(FILE *out, const char *heads)
{
    fputs("<div class=\"wide\"><table>\n<thead><tr>", out);
    for (const char *at = heads; *at != 0;) {
        int number = *at == '#', len = (int)strcspn(at + number, "|");
        fprintf(out, "<th scope=\"col\"%s>%.*s</th>", number ? " class=\"n\"" : "", len,
                at + number);
        at += number + len;
        if (*at == '|') at++;
    }
    fputs("</tr></thead>\n<tbody>\n", out);
}

static void table_end(FILE *out) { fputs("</tbody></table></div>\n", out); }

static void row_begin(FILE *out, const char *name)
{
    fputs("<tr><th scope=\"row\">", out);
    markup_text(out, name);
    fputs("</th>", out);
}

static void row_end(FILE *out) { fputs("</tr>\n", out); }

static void cell_count(FILE *out, uint64_t n)
{
    char text[VALUES_TEXT_BYTES];
    fprintf(out, "<td class=\"n\">%s</td>", value_grouped_text(n, text));
}

static void cell_text(FILE *out, const char *text)
{
    fputs("<td>", out);
    markup_text(out, text);
    fputs("</td>", out);
}

static double percent(uint64_t part, uint64_t of)
{
    return of > 0 ? 100.0 * (double)part / (double)of : 0;
}

static void cell_percent(FILE *out, uint64_t part, uint64_t of)
{
    fprintf(out, "<td class=\"n\">%.2f %%</td>", percent(part, of));
}

static void row_count(FILE *out, const char *name, uint64_t n, const char *note)
{
    row_begin(out, name);
    cell_count(out, n);
    cell_text(out, note);
    row_end(out);
}

/* ---- a state ------------------------------------------------------------------------------- */

static void state_times(FILE *out, const struct report_state *s)
{
    char when[REPORT_TIME_BYTES];
    fprintf(out, "<p>Epoch %" PRIu64 " of run %016" PRIx64 ", written last at %s. ", s->epoch,
            s->run_id, report_utc(s->wall_us * 1000, when));
    if (s->over) fprintf(out, "It is over, with exit status %" PRIu64 ".", s->status);
    else fputs("It is not over: the same command goes on with it.", out);
    if (s->next_due_us > 0)
        fprintf(out, " The next retry is due at %s.", report_utc(s->next_due_us * 1000, when));
    fputs("</p>\n", out);
}

static void state_input(FILE *out, const struct report_state *s)
{
    char a[VALUES_TEXT_BYTES], b[VALUES_TEXT_BYTES], c[VALUES_TEXT_BYTES];
    fprintf(out,
            "<p>Of the input, %s of %s are begun (%.1f %%): ", value_bytes_text(s->read_bytes, a),
            value_bytes_text(s->input_bytes, b), percent(s->read_bytes, s->input_bytes));
    foreign(out, s->input);
    fprintf(out, ". The journal has %s.</p>\n", value_bytes_text(s->journal_bytes, c));
}

static void state_page(FILE *out, const struct report_state *s)
{
    section(out, "state", "State");
    state_times(out, s);
    state_input(out, s);
    table(out, "|#count|meaning");
    row_count(out, "done", s->done, "records that have an outcome");
    row_count(out, "waiting", s->waiting, "tried, and to be tried again");
    row_count(out, "due", s->due, "of them: their time has come");
    row_count(out, "under way", s->under_way, "attempts, if the run goes on; else maybe delivered");
    row_count(out, "maybe delivered", s->maybe, "cut off in an earlier life, and waiting");
    row_count(out, "rejected", s->rejected, "lines that are no webhook");
    row_count(out, "holds", s->held, "hosts or keys that are on hold");
    table_end(out);
    section_end(out);
}

/* ---- results ------------------------------------------------------------------------------- */

static void outcomes_page(FILE *out, const uint64_t outcomes[OUTCOME_COUNT], uint64_t of)
{
    section(out, "outcomes", "Outcomes");
    if (of > 0) plot_outcomes(out, outcomes, of);
    table(out, "|#records|#share");
    for (enum outcome o = 0; o < OUTCOME_COUNT; o++) {
        if (outcomes[o] == 0 && o > OUTCOME_FAILED) continue;
        fprintf(out, "<tr><th scope=\"row\" class=\"key\"><span class=\"%s\"></span>%s</th>",
                outcome_label(o), outcome_label(o));
        cell_count(out, outcomes[o]);
        cell_percent(out, outcomes[o], of);
        row_end(out);
    }
    table_end(out);
    section_end(out);
}

static void attempts_text(FILE *out, const struct report_results *r)
{
    char a[VALUES_TEXT_BYTES];
    fprintf(out, "<p>Attempts: %s", value_grouped_text(r->attempts, a));
    fprintf(out, "; records that were tried more than once: %s.",
            value_grouped_text(r->retried, a));
    if (r->not_understood > 0)
        fprintf(out, " Lines that were not understood, and are in none of these numbers: %s.",
                value_grouped_text(r->not_understood, a));
    fputs("</p>\n", out);
}

static void times_page(FILE *out, struct report_results *r)
{
    section(out, "time", "Over time");
    timeline_close(&r->ended, REPORT_COLUMNS);
    if (r->ended.count > 0) plot_time(out, &r->ended);
    else fputs("<p>No record says when it ended.</p>\n", out);
    section_end(out);
}

static void latency_row(FILE *out, const char *name, const struct hist *h)
{
    char text[VALUES_TEXT_BYTES];
    row_begin(out, name);
    cell_count(out, h->count);
    for (int i = 0; i <= REPORT_PERCENTS; i++) {
        bool max = i == REPORT_PERCENTS;
        value_latency_text(max ? h->max : hist_percentile(h, report_percents[i]), text);
        fprintf(out, "<td class=\"n\">%s</td>", h->count > 0 ? text : "");
    }
    row_end(out);
}

static void latency_page(FILE *out, const struct report_results *r)
{
    char heads[128] = "|#records";
    for (int i = 0; i < REPORT_PERCENTS; i++) {
        size_t len = strlen(heads);
        snprintf(heads + len, sizeof heads - len, "|#p%g", report_percents[i]);
    }
    size_t len = strlen(heads);
    snprintf(heads + len, sizeof heads - len, "|#max");
    section(out, "latency", "How long it took");
    if (r->duration.count > 0) {
        fputs("<p class=\"key\">Records by the time that their last attempt took</p>\n", out);
        plot_latency(out, &r->duration);
    }
    table(out, heads);
    latency_row(out, "last attempt", &r->duration);
    latency_row(out, "first attempt to outcome", &r->total);
    table_end(out);
    section_end(out);
}

static void errors_page(FILE *out, const struct report_results *r)
{
    uint64_t sum = 0;
    for (enum err e = 0; e < ERR_COUNT; e++) sum += r->errors[e];
    section(out, "errors", "Errors");
    if (sum == 0) fputs("<p>None.</p>\n", out);
    if (sum > 0) table(out, "|#records|meaning");
    for (enum err e = 0; e < ERR_COUNT; e++)
        if (r->errors[e] > 0) row_count(out, err_label(e), r->errors[e], err_text(e));
    if (sum > 0) table_end(out);
    section_end(out);
}

static void statuses_page(FILE *out, const struct report_results *r)
{
    section(out, "statuses", "Statuses");
    table(out, "|#records|note");
    for (int i = 100; i < REPORT_STATUSES; i++) {
        char name[16];
        if (r->statuses[i] == 0) continue;
        snprintf(name, sizeof name, "%d", i);
        row_count(out, name, r->statuses[i], i == ERR_STATUS_UNREACHABLE ? "unreachable" : "");
    }
    table_end(out);
    section_end(out);
}

static void host_row(FILE *out, const struct report_host *h)
{
    fputs("<tr><th scope=\"row\">", out);
    foreign(out, h->name);
    fputs("</th>", out);
    cell_count(out, h->records);
    cell_count(out, h->delivered);
    cell_count(out, h->records - h->delivered);
    cell_percent(out, h->delivered, h->records);
    row_end(out);
}

static void hosts_page(FILE *out, const struct report_results *r)
{
    char a[VALUES_TEXT_BYTES], b[VALUES_TEXT_BYTES];
    uint32_t shown = r->hosts_count < REPORT_HOSTS_PAGE ? r->hosts_count : REPORT_HOSTS_PAGE;
    section(out, "hosts", "Hosts, most failures first");
    table(out, "|#records|#delivered|#not|#share delivered");
    for (uint32_t i = 0; i < shown; i++) host_row(out, &r->hosts[i]);
    table_end(out);
    uint64_t rest = 0, failed = 0;
    for (uint32_t i = shown; i < r->hosts_count; i++) {
        rest += r->hosts[i].records;
        failed += r->hosts[i].records - r->hosts[i].delivered;
    }
    if (rest > 0) {
        fprintf(out, "<p>Hosts beyond these: %s, with %s %s",
                value_grouped_text(r->hosts_count - shown, a), value_grouped_text(rest, b),
                records(rest));
        fprintf(out, ", of which %s not delivered.</p>\n", value_grouped_text(failed, a));
    }
    if (r->hosts_left > 0)
        fprintf(out, "<p>%s %s of further hosts, which were not told apart.</p>\n",
                value_grouped_text(r->hosts_left, a), records(r->hosts_left));
    section_end(out);
}

static void results_page(FILE *out, struct report_results *r)
{
    outcomes_page(out, r->outcomes, r->lines);
    if (r->lines == 0) return;
    times_page(out, r);
    latency_page(out, r);
    fputs("<div class=\"pair\">\n", out);
    errors_page(out, r);
    statuses_page(out, r);
    fputs("</div>\n", out);
    hosts_page(out, r);
}

/* ---- the page ------------------------------------------------------------------------------ */

static void head(FILE *out, const char *what)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" "
          "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta name=\"color-scheme\" content=\"light dark\">\n<title>",
          out);
    markup_text(out, what);
    fprintf(out, " - hookline report</title>\n<style>\n%s</style>\n</head>\n<body>\n", style);
}

static void results_lead(FILE *out, const struct report *r)
{
    char a[VALUES_TEXT_BYTES], from[REPORT_TIME_BYTES], to[REPORT_TIME_BYTES];
    const struct report_results *results = &r->results;
    if (r->of_state) {
        fputs("<p class=\"what\">Results: ", out);
        foreign(out, r->state.results);
        fputs("</p>\n", out);
    }
    fprintf(out, "<p class=\"lead\"><strong>%s</strong> %s with an outcome",
            value_grouped_text(results->lines, a), records(results->lines));
    if (results->lines > 0)
        fprintf(out, ", <strong>%.2f %%</strong> delivered",
                percent(results->outcomes[OUTCOME_DELIVERED], results->lines));
    fputs("</p>\n", out);
    if (results->first_ns > 0 && results->last_ns > 0)
        fprintf(out, "<p>From %s to %s.</p>\n", report_utc(results->first_ns, from),
                report_utc(results->last_ns, to));
    attempts_text(out, results);
}

/* A state knows outcomes too, where its results went to a place that cannot be read. */
static void outcomes_of_state(FILE *out, const struct report_state *s)
{
    outcomes_page(out, s->ended, s->done);
    fputs("<p>There is no results file that can be read.</p>\n", out);
}

void report_html(FILE *out, struct report *r)
{
    char now[REPORT_TIME_BYTES];
    CHECK(r->of_state || r->of_results);
    head(out, strcmp(r->what, "-") == 0 ? "standard input" : r->what);
    fputs("<header>\n<h1>hookline report</h1>\n<p class=\"what\">", out);
    foreign(out, strcmp(r->what, "-") == 0 ? "standard input" : r->what);
    fputs("</p>\n</header>\n<main>\n", out);
    if (r->of_results) results_lead(out, r);
    if (r->of_state) state_page(out, &r->state);
    if (r->of_results) results_page(out, &r->results);
    else outcomes_of_state(out, &r->state);
    fprintf(out, "</main>\n<footer>hookline %s, %s</footer>\n</body>\n</html>\n", HOOKLINE_VERSION,
            report_utc(io_wall_now(), now));
}
