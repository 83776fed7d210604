/* tests/unit/test_summary.c - goal: the summary adds up or says that it does not, and the exit
 * status is that of delivery's rules; the progress line shows what the numbers say.
 *
 * Method: made-up numbers in, text and status out.
 */
#include "tools/hookline/progress.h"
#include "tools/hookline/summary.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const struct config plain_config = {.input_path = "in"};

static struct summary *sample(void)
{
    struct summary *s = calloc(1, sizeof *s);
    s->config = &plain_config;
    s->elapsed_ns = UINT64_C(2000000000);
    hist_init(&s->latency);
    hist_add(&s->latency, 1000000);
    s->stats.accepted = 1000;
    s->stats.outcomes[OUTCOME_DELIVERED] = 1000;
    s->stats.attempts = 1000;
    s->stats.endings[ERR_OK] = 1000;
    s->stats.statuses[2] = 1000;
    s->stats.input_done = true;
    return s;
}

static char *print(const struct summary *s)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    summary_print(s, out);
    fclose(out);
    return text;
}

Test(summary, all_delivered)
{
    struct summary *s = sample();
    char text[640], *printed = print(s);
    cr_assert_eq(summary_status(s, text), 0);
    cr_assert_str_eq(text, "");
    cr_assert(strstr(printed, "1,000 of 1,000 records") != NULL, "%s", printed);
    cr_assert(strstr(printed, "500 a second") != NULL, "%s", printed);
    cr_assert_null(strstr(printed, "do not add up"), "%s", printed);
    cr_assert_null(strstr(printed, "exhausted"), "%s", printed);
    free(printed);
    free(s);
}

Test(summary, some_failed)
{
    struct summary *s = sample();
    char text[640], *printed;
    s->stats.outcomes[OUTCOME_DELIVERED] = 900;
    s->stats.outcomes[OUTCOME_FAILED] = 60;
    s->stats.outcomes[OUTCOME_EXHAUSTED] = 40;
    s->stats.endings[ERR_OK] = 900;
    s->stats.endings[ERR_TIMEOUT] = 100;
    printed = print(s);
    cr_assert_eq(summary_status(s, text), 1);
    cr_assert(strstr(text, "100 of 1,000") != NULL, "%s", text);
    cr_assert(strstr(text, "--dead-letters") != NULL, "%s", text);
    cr_assert(strstr(printed, "exhausted") != NULL, "%s", printed);
    cr_assert(strstr(printed, err_text(ERR_TIMEOUT)) != NULL, "%s", printed);
    cr_assert_null(strstr(printed, err_label(ERR_RESET)), "%s", printed);
    cr_assert_null(strstr(printed, "do not add up"), "%s", printed);
    free(printed);
    free(s);
}

Test(summary, holds_and_retries)
{
    struct summary *s = sample();
    s->stats.retries = 77;
    s->stats.hints = 12345;
    s->stats.endings[ERR_EXPIRED] = 3;
    for (uint32_t i = 0; i < SUMMARY_HELD_MAX; i++)
        s->held[i] = (struct run_held){
            .host = "a.test:80", .times = i, .held_ns = UINT64_C(184000000000), .deferred = 1204};
    char *printed = print(s);
    cr_assert_null(strstr(printed, "held"), "%s", printed);
    free(printed);
    s->held_count = SUMMARY_HELD_MAX + 5;
    printed = print(s);
    const char *line = "host a.test:80 held 3 times, 184 s in all, 1,204 records deferred\n";
    cr_assert_not_null(strstr(printed, line), "%s", printed);
    cr_assert_not_null(strstr(printed, "held 1 time, "), "%s", printed);
    cr_assert_not_null(strstr(printed, "and 5 more hosts"), "%s", printed);
    cr_assert_not_null(strstr(printed, "12,345"), "%s", printed);
    cr_assert_not_null(strstr(printed, "retries"), "%s", printed);
    cr_assert_not_null(strstr(printed, err_text(ERR_EXPIRED)), "%s", printed);
    free(printed);
    free(s);
}

Test(summary, a_gap_is_told)
{
    struct summary *s = sample();
    s->stats.outcomes[OUTCOME_DELIVERED] = 997;
    cr_assert_eq(summary_gap(&s->stats), 3);
    char *printed = print(s);
    cr_assert(strstr(printed, "do not add up: 3 records") != NULL, "%s", printed);
    s->stats.pending = 3;
    cr_assert_eq(summary_gap(&s->stats), 0);
    free(printed);
    free(s);
}

Test(summary, exit_statuses_and_which_wins)
{
    struct summary *s = sample();
    char text[640];
    s->stats.outcomes[OUTCOME_DELIVERED] = 990;
    s->stats.pending = 10;
    cr_assert_eq(summary_status(s, text), 6);
    cr_assert_neq(text[0], '\0');
    s->signal = SIGINT;
    cr_assert_eq(summary_status(s, text), 130);
    cr_assert(strstr(text, "SIGINT") != NULL, "%s", text);
    cr_assert(strstr(text, "10 of 1,000") != NULL, "%s", text);
    s->signal = SIGTERM;
    cr_assert_eq(summary_status(s, text), 143);
    struct run_error why = {.status = EXIT_OUTPUT, .text = "the disk is full"};
    s->failure = &why;
    cr_assert_eq(summary_status(s, text), 4);
    cr_assert_str_eq(text, "the disk is full");
    free(s);
}

static struct run_stats running(void)
{
    struct run_stats n = {.accepted = 1000, .pending = 500, .in_flight = 64, .rejected = 2};
    n.outcomes[OUTCOME_DELIVERED] = 450;
    n.outcomes[OUTCOME_FAILED] = 50;
    n.input_bytes = 800;
    n.input_bytes_total = 1000;
    return n;
}

Test(progress, fraction)
{
    struct run_stats n = running();
    cr_assert_float_eq(progress_fraction(&n), 0.4, 1e-9);
    n.input_bytes_total = 0;
    cr_assert_lt(progress_fraction(&n), 0);
    n = (struct run_stats){.input_bytes_total = 10};
    cr_assert_float_eq(progress_fraction(&n), 0, 1e-9);
}

Test(progress, a_bar)
{
    struct run_stats n = running();
    struct progress p = {.mode = PROGRESS_BAR, .width = 120, .rate = 12345.6, .start_ns = 1};
    char line[PROGRESS_LINE_BYTES];
    progress_line(&p, &n, UINT64_C(20000000001), line);
    cr_assert_str_eq(line, "[========>           ]  40%  500 done  12,345/s  64 in flight  "
                           "50 failed  2 rejected  ETA 0:30");
    p.utf8 = p.colour = true;
    progress_line(&p, &n, UINT64_C(20000000001), line);
    cr_assert(strstr(line, "████████░░░░░░░░░░░░  40%") == line, "%s", line);
    cr_assert(strstr(line, "\033[31m50 failed\033[0m") != NULL, "%s", line);
    p.width = 60;
    progress_line(&p, &n, UINT64_C(20000000001), line);
    cr_assert(strstr(line, " 40%  500 done") == line, "%s", line);
}

Test(progress, plain)
{
    struct run_stats n = running();
    struct progress p = {.mode = PROGRESS_PLAIN, .colour = true, .rate = -1, .start_ns = 0};
    char line[PROGRESS_LINE_BYTES];
    n.input_bytes_total = 0; /* a pipe: neither a share nor an end is known */
    progress_line(&p, &n, UINT64_C(65000000000), line);
    cr_assert_str_eq(line, "1:05  500 done  0/s  64 in flight  50 failed  2 rejected");
}
