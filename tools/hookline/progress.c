/* tools/hookline/progress.c - see progress.h. */
#include "tools/hookline/progress.h"

#include "core/base/check.h"
#include "tools/hookline/values.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)

static const uint64_t draw_ns = 200 * UINT64_C(1000000); /* a bar, five times a second */
static const uint64_t plain_ns = 5 * NS_PER_S;
static const double smooth_s = 2.0; /* the rate forgets what is older than about this */

enum { BAR_CELLS = 20 };

uint64_t progress_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static bool terminal_is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value == NULL || value[0] == '\0') continue; /* the first that is set decides */
        return strcasestr(value, "utf-8") != NULL || strcasestr(value, "utf8") != NULL;
    }
    return false;
}

static void measure(struct progress *p)
{
    struct winsize size;
    p->width = 80;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) p->width = size.ws_col;
    if (p->width > PROGRESS_WIDTH_MAX) p->width = PROGRESS_WIDTH_MAX;
}

void progress_init(struct progress *p, enum progress_mode wanted, uint64_t now_ns)
{
    CHECK(p != NULL);
    const char *term = getenv("TERM");
    const char *no_color = getenv("NO_COLOR");
    bool terminal = isatty(STDERR_FILENO) == 1;
    bool redraws = terminal && term != NULL && strcmp(term, "dumb") != 0;
    *p = (struct progress){.mode = wanted, .start_ns = now_ns, .last_ns = now_ns, .rate = -1};
    if (wanted == PROGRESS_AUTO) p->mode = redraws ? PROGRESS_BAR : PROGRESS_PLAIN;
    p->colour = redraws && (no_color == NULL || no_color[0] == '\0');
    p->utf8 = terminal_is_utf8();
    p->next_ns = now_ns + (p->mode == PROGRESS_BAR ? draw_ns : plain_ns);
    measure(p);
}

static uint64_t done_of(const struct run_stats *s)
{
    uint64_t done = 0;
    for (int i = 0; i < OUTCOME_COUNT; i++) done += s->outcomes[i];
    return done;
}

/* Everything that ended, but not well. */
static uint64_t failures_of(const struct run_stats *s)
{
    return done_of(s) - s->outcomes[OUTCOME_DELIVERED];
}

double progress_fraction(const struct run_stats *s)
{
    CHECK(s != NULL);
    if (s->input_bytes_total == 0) return -1;
    double read = (double)s->input_bytes / (double)s->input_bytes_total;
    /* What was read is ahead of what has ended by the records that still wait. */
    double ended = s->accepted == 0 ? 1 : (double)done_of(s) / (double)s->accepted;
    double fraction = read * ended;
    return fraction > 1 ? 1 : fraction < 0 ? 0 : fraction;
}

/* Appends to a line and never beyond its end. */
__attribute__((format(printf, 3, 4))) static void add(char *out, size_t *used, const char *format,
                                                      ...)
{
    va_list args;
    va_start(args, format);
    int wrote = vsnprintf(out + *used, PROGRESS_LINE_BYTES - *used, format, args);
    va_end(args);
    if (wrote > 0) *used += (size_t)wrote;
    if (*used >= PROGRESS_LINE_BYTES) *used = PROGRESS_LINE_BYTES - 1;
}

static void add_bar(const struct progress *p, double fraction, char *out, size_t *used)
{
    int full = (int)(fraction * BAR_CELLS);
    add(out, used, "%s", p->utf8 ? "" : "[");
    for (int i = 0; i < BAR_CELLS; i++) {
        if (p->utf8) add(out, used, "%s", i < full ? "█" : "░");
        else add(out, used, "%s", i < full ? "=" : i == full ? ">" : " ");
    }
    add(out, used, "%s %3d%%  ", p->utf8 ? "" : "]", (int)(fraction * 100));
}

static void add_eta(const struct progress *p, double fraction, uint64_t now_ns, char *out,
                    size_t *used)
{
    char text[VALUES_TEXT_BYTES];
    uint64_t elapsed_ns = now_ns - p->start_ns;
    if (fraction <= 0.001 || elapsed_ns < NS_PER_S / 2) return;
    double left_ns = (double)elapsed_ns * (1 - fraction) / fraction;
    if (left_ns > 1e15) return; /* over eleven days: not worth the guess */
    add(out, used, "  ETA %s", value_clock_text((uint64_t)left_ns + NS_PER_S / 2, text));
}

void progress_line(const struct progress *p, const struct run_stats *s, uint64_t now_ns, char *out)
{
    CHECK(p != NULL);
    CHECK(s != NULL);
    CHECK(now_ns >= p->start_ns);
    char text[VALUES_TEXT_BYTES];
    size_t used = 0;
    out[0] = '\0';
    double fraction = progress_fraction(s);
    bool bar = p->mode == PROGRESS_BAR;
    if (!bar) add(out, &used, "%s  ", value_clock_text(now_ns - p->start_ns, text));
    if (fraction >= 0 && bar && p->width >= 100) add_bar(p, fraction, out, &used);
    else if (fraction >= 0) add(out, &used, "%3d%%  ", (int)(fraction * 100));
    add(out, &used, "%s done  ", value_grouped_text(done_of(s), text));
    add(out, &used, "%s/s  ", value_grouped_text(p->rate < 0 ? 0 : (uint64_t)p->rate, text));
    add(out, &used, "%s in flight  ", value_grouped_text(s->in_flight, text));
    if (s->waiting > 0) add(out, &used, "%s waiting  ", value_grouped_text(s->waiting, text));
    bool red = bar && p->colour && failures_of(s) > 0;
    add(out, &used, "%s%s failed%s", red ? "\033[31m" : "",
        value_grouped_text(failures_of(s), text), red ? "\033[0m" : "");
    if (s->rejected > 0) add(out, &used, "  %s rejected", value_grouped_text(s->rejected, text));
    if (fraction >= 0) add_eta(p, fraction, now_ns, out, &used);
}

/* An exponential mean over the last seconds, so that the eye can read it. */
static void update_rate(struct progress *p, uint64_t done, uint64_t now_ns)
{
    double passed_s = (double)(now_ns - p->last_ns) / (double)NS_PER_S;
    if (passed_s <= 0) return;
    double rate = (double)(done - p->last_done) / passed_s;
    double weight = passed_s / (passed_s + smooth_s);
    p->rate = p->rate < 0 ? rate : p->rate + (rate - p->rate) * weight;
    p->last_ns = now_ns;
    p->last_done = done;
}

void progress_update(struct progress *p, const struct run_stats *stats, uint64_t now_ns)
{
    CHECK(p != NULL);
    CHECK(p->mode != PROGRESS_AUTO);
    if (p->mode == PROGRESS_NONE || now_ns < p->next_ns) return;
    char line[PROGRESS_LINE_BYTES];
    uint64_t done = done_of(stats);
    if (done >= p->last_done) update_rate(p, done, now_ns);
    if (p->mode == PROGRESS_BAR) measure(p);
    progress_line(p, stats, now_ns, line);
    if (p->mode == PROGRESS_BAR) {
        /* The cursor rests on an empty line above the bar, where a reject's reason may be
         * printed by another thread. Line wrap is off: a narrow terminal shows less of it. */
        fprintf(stderr, "\r\033[K\n\033[K\033[?7l%s\033[?7h\033[A\r", line);
        p->drawn = true;
        p->next_ns = now_ns + draw_ns;
    } else {
        fprintf(stderr, "hookline: %s\n", line);
        p->next_ns = now_ns + plain_ns;
    }
    fflush(stderr);
}

void progress_clear(struct progress *p)
{
    CHECK(p != NULL);
    if (!p->drawn) return;
    fputs("\r\033[K\n\033[K\033[A\r", stderr);
    fflush(stderr);
    p->drawn = false;
}
