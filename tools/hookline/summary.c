/* tools/hookline/summary.c - see summary.h. */
#include "tools/hookline/summary.h"

#include "core/base/check.h"
#include "tools/hookline/values.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

int64_t summary_gap(const struct run_stats *stats)
{
    CHECK(stats != NULL);
    uint64_t sum = stats->pending;
    for (int i = 0; i < OUTCOME_COUNT; i++) sum += stats->outcomes[i];
    return (int64_t)(stats->accepted - sum);
}

static void row(FILE *out, const char *name, uint64_t value, const char *note)
{
    char text[VALUES_TEXT_BYTES];
    fprintf(out, "  %-20s %15s%s%s\n", name, value_grouped_text(value, text),
            note[0] == '\0' ? "" : "  ", note);
}

static void row_share(FILE *out, const char *name, uint64_t value, uint64_t of)
{
    char note[32] = "";
    if (of > 0) snprintf(note, sizeof note, "%6.2f %%", 100.0 * (double)value / (double)of);
    row(out, name, value, note);
}

static void print_outcomes(const struct summary *s, FILE *out)
{
    const struct run_stats *n = &s->stats;
    char name[32];
    for (enum outcome o = 0; o < OUTCOME_COUNT; o++) {
        bool always = o == OUTCOME_DELIVERED || o == OUTCOME_FAILED;
        if (!always && n->outcomes[o] == 0) continue;
        snprintf(name, sizeof name, "%s %s", o == OUTCOME_DELIVERED ? " " : "+", outcome_label(o));
        row_share(out, name, n->outcomes[o], n->accepted);
    }
    row_share(out, "+ pending", n->pending, n->accepted);
    row(out, "= accepted", n->accepted, "");
    int64_t gap = summary_gap(n);
    if (gap != 0)
        fprintf(out, "  These do not add up: %" PRId64 " records are missing. This is a bug.\n",
                gap);
    if (n->resumed) {
        row(out, "before this start", n->before_ended, "of accepted: had an outcome");
        row(out, "waited then", n->before_waiting, "tried, and without an outcome");
        row(out, "never tried then", n->accepted - n->before_ended - n->before_waiting,
            n->input_left ? "of what is read by now" : "");
    }
    if (n->before_maybe > 0)
        row(out, "maybe delivered then", n->before_maybe,
            "cut off when it ended: DIR/maybe-delivered.ndjson");
    if (n->maybe_delivered > 0)
        row(out, "maybe delivered", n->maybe_delivered, "of pending: cut off after they were sent");
    if (n->rejected > 0)
        row(out, "rejected", n->rejected,
            s->config->rejects_path != NULL ? "lines that are no webhook"
                                            : "lines that are no webhook; hookline check says why");
}

static void print_attempts(const struct run_stats *n, FILE *out)
{
    char name[64];
    row(out, "attempts", n->attempts, "");
    if (n->retries > 0) row(out, "  retries", n->retries, "attempts after a record's first");
    for (enum err e = 0; e < ERR_COUNT; e++) {
        if (n->endings[e] == 0 || e == ERR_BLOCKED_ADDRESS || e == ERR_EXPIRED) continue;
        snprintf(name, sizeof name, "  %s", err_label(e));
        row(out, name, n->endings[e], err_text(e));
    }
    if (n->endings[ERR_BLOCKED_ADDRESS] > 0)
        row(out, "not attempted", n->endings[ERR_BLOCKED_ADDRESS], err_text(ERR_BLOCKED_ADDRESS));
    if (n->endings[ERR_EXPIRED] > 0)
        row(out, "not attempted", n->endings[ERR_EXPIRED], err_text(ERR_EXPIRED));
    for (int class = 1; class < 6; class ++) {
        if (n->statuses[class] == 0) continue;
        snprintf(name, sizeof name, "answers %dxx", class);
        row(out, name, n->statuses[class], "");
    }
    if (n->resent > 0)
        row(out, "sent again", n->resent, "a kept connection had closed; not counted as attempts");
    row(out, "connections opened", n->connections_opened, "");
    if (n->tls_handshakes > 0) row(out, "tls handshakes", n->tls_handshakes, "");
    if (n->tls_handshakes > 0) row(out, "tls resumed", n->tls_resumed, "by a ticket");
}

/* Who was on hold, and what the receivers' own wishes came to. */
static void print_scheduling(const struct summary *s, FILE *out)
{
    const struct run_stats *n = &s->stats;
    char text[VALUES_TEXT_BYTES];
    if (n->hints > 0) row(out, "answers with hints", n->hints, "Retry-After, rate limit fields");
    if (n->hints_ignored > 0)
        row(out, "hints ignored", n->hints_ignored, "fields of them that made no sense");
    uint32_t shown = s->held_count < SUMMARY_HELD_MAX ? s->held_count : SUMMARY_HELD_MAX;
    for (uint32_t i = 0; i < shown; i++) {
        const struct run_held *h = &s->held[i];
        fprintf(out, "  host %s held %u time%s, %.0f s in all, %s records deferred\n", h->host,
                h->times, h->times == 1 ? "" : "s", (double)h->held_ns / 1e9,
                value_grouped_text(h->deferred, text));
    }
    if (s->held_count > shown)
        fprintf(out, "  and %u more hosts were on hold\n", s->held_count - shown);
}

static void print_latency(const struct hist *h, FILE *out)
{
    static const double percents[] = {50, 90, 99, 99.9};
    char text[VALUES_TEXT_BYTES];
    if (h->count == 0) return;
    fputs("  attempt took        ", out);
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++)
        fprintf(out, " p%g %s,", percents[i],
                value_latency_text(hist_percentile(h, percents[i]), text));
    fprintf(out, " max %s\n", value_latency_text(h->max, text));
}

static void print_odd(void *ctx, const struct odd_site *site)
{
    const char *name = strrchr(site->file, '/');
    fprintf(ctx, "  odd: %s:%u: %s (%u times)\n", name == NULL ? site->file : name + 1, site->line,
            site->expr, site->count);
}

static void print_files(const struct config *c, FILE *out)
{
    const struct {
        const char *name, *path;
    } files[] = {
        {"results", c->results_path},
        {"dead letters", c->dead_letters_path},
        {"events", c->events_path},
        {"rejects", c->rejects_path},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (files[i].path == NULL) continue;
        bool standard = strcmp(files[i].path, "-") == 0;
        fprintf(out, "  %-20s  %s\n", files[i].name, standard ? "standard output" : files[i].path);
    }
}

void summary_print(const struct summary *s, FILE *out)
{
    CHECK(s != NULL);
    CHECK(out != NULL);
    const struct run_stats *n = &s->stats;
    char a[VALUES_TEXT_BYTES], b[VALUES_TEXT_BYTES];
    uint64_t done = n->accepted - n->pending;
    double seconds = (double)s->elapsed_ns / 1e9;
    double rate = seconds > 0 ? (double)(done - n->before_ended) / seconds : 0;
    fprintf(out, "hookline: %s of %s records have an outcome, ", value_grouped_text(done, a),
            value_grouped_text(n->accepted, b));
    fprintf(out, "in %s, %s a second\n", value_latency_text(s->elapsed_ns, a),
            value_grouped_text((uint64_t)rate, b));
    print_outcomes(s, out);
    print_attempts(n, out);
    print_scheduling(s, out);
    print_latency(&s->latency, out);
    fprintf(out, "  %-20s  read %s, sent %s\n", "bytes", value_bytes_text(n->input_bytes, a),
            value_bytes_text(n->request_bytes, b));
    print_files(s->config, out);
    odd_each(print_odd, out);
}

static const char *signal_name(int number)
{
    return number == SIGINT ? "SIGINT" : number == SIGTERM ? "SIGTERM" : "SIGHUP";
}

/* Where the records are that did not arrive, or how to keep them next time. */
static void dead_letter_note(const struct config *c, char *out, size_t size)
{
    if (c->dead_letters_path != NULL)
        snprintf(out, size, "%.200s holds the failed ones, ready to be sent again",
                 c->dead_letters_path);
    else snprintf(out, size, "--dead-letters FILE would keep them");
}

static const char *input_note(const struct run_stats *n)
{
    return n->input_left ? ", and the input was not read to its end" : "";
}

/* What became of them. */
static const char *kept_note(const struct config *c)
{
    if (c->state_path != NULL) return "; the state keeps them: the same command goes on";
    return c->dead_letters_path != NULL ? "; those that were read are among the dead letters" : "";
}

int summary_status(const struct summary *s, char text[640])
{
    CHECK(s != NULL);
    CHECK(text != NULL);
    const struct run_stats *n = &s->stats;
    char a[VALUES_TEXT_BYTES], b[VALUES_TEXT_BYTES], note[300];
    if (s->failure != NULL) {
        snprintf(text, 640, "%s", s->failure->text);
        return (int)s->failure->status;
    }
    if (s->signal != 0) {
        snprintf(text, 640, "stopped by %s: %s of %s accepted records are without an outcome%s%s",
                 signal_name(s->signal), value_grouped_text(n->pending, a),
                 value_grouped_text(n->accepted, b), input_note(n), kept_note(s->config));
        return 128 + s->signal;
    }
    if (n->pending > 0 || n->input_left) {
        snprintf(text, 640, "%s%s%s%s of %s accepted records are without an outcome%s%s",
                 s->stopped_by != NULL ? "stopped by " : "",
                 s->stopped_by != NULL ? s->stopped_by : "", s->stopped_by != NULL ? ": " : "",
                 value_grouped_text(n->pending, a), value_grouped_text(n->accepted, b),
                 input_note(n), kept_note(s->config));
        return EXIT_STILL_WAITING;
    }
    uint64_t missed = n->accepted - n->outcomes[OUTCOME_DELIVERED];
    if (missed == 0) {
        text[0] = '\0';
        return EXIT_ALL_DELIVERED;
    }
    dead_letter_note(s->config, note, sizeof note);
    snprintf(text, 640, "%s of %s records were not delivered; %s", value_grouped_text(missed, a),
             value_grouped_text(n->accepted, b), note);
    return EXIT_SOME_FAILED;
}
