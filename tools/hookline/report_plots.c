/* tools/hookline/report_plots.c - see report_plots.h. */
#include "tools/hookline/report_plots.h"

#include "core/base/check.h"
#include "core/base/stamp.h"
#include "tools/hookline/axis.h"
#include "tools/hookline/report.h"
#include "tools/hookline/svg_plot.h"
#include "tools/hookline/values.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define S   UINT64_C(1000000000)
#define MIN (60 * S)
#define DAY (24 * 60 * MIN)

enum { WIDTH = 760, LEFT = 64, LABELS_APART = 10 };

/* The least that can be seen of what is not nothing. */
static const double visible = 1.5;

/* ---- outcomes ------------------------------------------------------------------------------ */

void plot_outcomes(FILE *out, const uint64_t outcomes[OUTCOME_COUNT], uint64_t of)
{
    struct svg_plot p = {.out = out, .width = WIDTH, .height = 28, .right = WIDTH, .bottom = 28};
    CHECK(of > 0);
    uint64_t before = 0;
    svg_begin(&p,
              "The outcomes of all records beside one another; the table below has the numbers");
    for (enum outcome o = 0; o < OUTCOME_COUNT; o++) {
        char text[96], count[VALUES_TEXT_BYTES];
        if (outcomes[o] == 0) continue;
        double width = fmax(visible, WIDTH * (double)outcomes[o] / (double)of);
        double x = fmin(WIDTH * (double)before / (double)of, WIDTH - width);
        snprintf(text, sizeof text, "%s: %s", outcome_label(o),
                 value_grouped_text(outcomes[o], count));
        svg_group(&p, text);
        svg_rect(&p, outcome_label(o), x, 0, width, p.height);
        svg_group_end(&p);
        before += outcomes[o];
    }
    svg_end(&p);
}

/* ---- time ---------------------------------------------------------------------------------- */

enum { TIME_HEIGHT = 260, GAP = 40, COLUMNS_LEAST = 40, DATE_BYTES = 10 };

struct time_plot {
    struct svg_plot p;
    const struct timeline *t;
    double column;             /* width of one */
    double top;                /* value at the top */
    double per;                /* what a count is divided by: seconds of a step, or 1 */
    double label_to;           /* where the last label ends */
    char date[DATE_BYTES + 1]; /* that was written last */
};

/* "2026-11-21T01:02:03.123456Z" cut to what steps of such a length need; returns the time of day
 * in it. */
static const char *clock_of(uint64_t ns, uint64_t step_ns, char out[STAMP_UTC_BYTES + 1])
{
    struct stamp_cache cache = {.second_after = 0};
    stamp_utc(&cache, out, ns);
    out[DATE_BYTES] = 0;
    out[step_ns % MIN == 0 ? 16 : step_ns % S == 0 ? 19 : 23] = 0;
    return out + DATE_BYTES + 1;
}

static uint64_t time_of(const struct time_plot *plot, uint64_t number)
{
    return number * timeline_step_ns(plot->t);
}

/* A tick, with a label if there is room. */
static void time_tick(struct time_plot *plot, double x, uint64_t ns, uint64_t step_ns)
{
    char stamp[STAMP_UTC_BYTES + 1];
    const char *clock = clock_of(ns, step_ns, stamp);
    bool days = step_ns >= DAY, dated = !days && strcmp(stamp, plot->date) != 0;
    double half =
        fmax(svg_text_width(days || dated ? stamp : ""), svg_text_width(days ? "" : clock)) / 2;
    svg_line(&plot->p, "axis", x, plot->p.bottom, x, plot->p.bottom + 5);
    double middle = fmin(x, plot->p.width - half);
    if (middle - half < plot->label_to + LABELS_APART || middle < x - half / 2) return;
    svg_text(&plot->p, SVG_MIDDLE, middle, plot->p.bottom + 18, days ? stamp : clock);
    if (dated) svg_text(&plot->p, SVG_MIDDLE, middle, plot->p.bottom + 33, stamp);
    memcpy(plot->date, stamp, sizeof plot->date);
    plot->label_to = middle + half;
}

/* Ticks at round times; a part that is too short for one has it where it begins. */
static void part_ticks(struct time_plot *plot, double left, uint64_t first, uint64_t columns)
{
    uint64_t step_ns = timeline_step_ns(plot->t);
    double widest = svg_text_width(step_ns >= DAY ? "2026-11-28" : "00:00:00.000") + LABELS_APART;
    uint64_t every = axis_time_step((uint64_t)ceil(widest / plot->column) * step_ns);
    uint64_t from = time_of(plot, first), to = time_of(plot, first + columns);
    uint64_t tick = (from + every - 1) / every * every;
    if (tick > to) time_tick(plot, left, from, step_ns);
    for (; tick <= to; tick += every)
        time_tick(plot, left + (double)(tick - from) / (double)step_ns * plot->column, tick, every);
}

static void time_column(const struct time_plot *plot, double left, const struct timeline_step *s)
{
    char stamp[STAMP_UTC_BYTES + 1], text[200], a[VALUES_TEXT_BYTES], b[VALUES_TEXT_BYTES];
    const struct svg_plot *p = &plot->p;
    const char *clock = clock_of(time_of(plot, s->number), timeline_step_ns(plot->t), stamp);
    double scale = (p->bottom - p->top) / plot->top / plot->per;
    double other = s->other > 0 ? fmax(visible, (double)s->other * scale) : 0;
    double delivered = s->delivered > 0 ? fmax(visible, (double)s->delivered * scale) : 0;
    delivered = fmin(delivered, p->bottom - p->top - other); /* what was made visible counts */
    snprintf(text, sizeof text, "%s %s: %s delivered, %s not", stamp, clock,
             value_grouped_text(s->delivered, a), value_grouped_text(s->other, b));
    svg_group(p, text);
    svg_rect(p, "hover", left, p->top, plot->column, p->bottom - p->top);
    if (delivered > 0)
        svg_rect(p, "delivered", left, p->bottom - other - delivered, plot->column, delivered);
    if (other > 0) svg_rect(p, "failed", left, p->bottom - other, plot->column, other);
    svg_group_end(p);
}

static void time_gap(const struct time_plot *plot, double left, uint64_t steps)
{
    char text[96], length[VALUES_TEXT_BYTES];
    uint64_t ns = steps * timeline_step_ns(plot->t), coarse = ns > DAY ? 60 * MIN : S;
    snprintf(text, sizeof text, "nothing for %s",
             value_duration_text(ns / coarse * coarse, length));
    svg_group(&plot->p, text);
    svg_rect(&plot->p, "gap", left, plot->p.top, GAP, plot->p.bottom - plot->p.top);
    svg_group_end(&plot->p);
}

/* Decides what a column's height means: a rate, unless steps are shorter than a second, or hold
 * too little for one that is worth a number. Returns the highest. */
static double time_scale(struct time_plot *plot)
{
    const struct timeline *t = plot->t;
    uint64_t most = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        uint64_t ended = t->step[i].delivered + t->step[i].other;
        if (ended > most) most = ended;
    }
    double seconds = (double)timeline_step_ns(t) / (double)S;
    plot->per = seconds >= 1 && (double)most >= seconds ? seconds : 1;
    return (double)most / plot->per;
}

static void time_parts(struct time_plot *plot)
{
    const struct timeline *t = plot->t;
    double x = plot->p.left;
    for (uint32_t k = 0; k < t->parts; k++) {
        uint32_t from = t->part[k].first, to = t->part[k].last;
        uint64_t first = t->step[from].number, columns = timeline_part_columns(t, k);
        for (uint32_t i = from; i <= to; i++)
            time_column(plot, x + (double)(t->step[i].number - first) * plot->column, &t->step[i]);
        if (timeline_columns(t) < COLUMNS_LEAST && k + 1 == t->parts)
            columns += COLUMNS_LEAST - timeline_columns(t); /* the axis goes on */
        part_ticks(plot, x, first, columns);
        x += (double)columns * plot->column;
        if (k + 1 == t->parts) break;
        time_gap(plot, x, t->step[to + 1].number - t->step[to].number - 1);
        x += GAP;
    }
}

void plot_time(FILE *out, const struct timeline *t)
{
    CHECK(t->parts > 0);
    struct time_plot plot = {
        .p = {.out = out,
              .width = WIDTH,
              .height = TIME_HEIGHT,
              .left = LEFT,
              .top = 12,
              .right = WIDTH - 8,
              .bottom = TIME_HEIGHT - 42},
        .t = t,
        .label_to = -LABELS_APART,
    };
    char text[160], length[VALUES_TEXT_BYTES];
    double columns = fmax(COLUMNS_LEAST, (double)timeline_columns(t));
    plot.column = (plot.p.right - plot.p.left - GAP * (t->parts - 1)) / columns;
    double most = time_scale(&plot);
    value_duration_text(timeline_step_ns(t), length);
    if (plot.per > 1 || timeline_step_ns(t) == S)
        snprintf(text, sizeof text, "Outcomes a second, in steps of %s", length);
    else snprintf(text, sizeof text, "Outcomes in each %s", length);
    fprintf(out,
            "<p class=\"key\">%s, by time (UTC): <span class=\"delivered\"></span>delivered "
            "<span class=\"failed\"></span>not delivered%s</p>\n",
            text, t->parts > 1 ? " <span class=\"gap\"></span>nothing ended: left out" : "");
    svg_begin(&plot.p, text);
    plot.top = svg_axis_y(&plot.p, most, plot.per > 1 ? 0 : 1);
    time_parts(&plot);
    svg_end(&plot.p);
}

/* ---- latency ------------------------------------------------------------------------------- */

enum { LATENCY_HEIGHT = 310, BARS_MAX = 60, MARK_ROW = 16 };

/* A step of the histogram must not be wider than a bar: 32 of them double a value. */
static uint32_t bars_of(const struct axis_log *a)
{
    double doublings = log2(axis_tick_value(a->high) / axis_tick_value(a->low));
    double bars = fmin(BARS_MAX, floor(doublings * 16));
    return (uint32_t)bars;
}

/* A step's values are even over its (logarithmic) length, as far as anyone knows; a bar gets whole
 * records, and every record is in one. */
static void bars_add(const struct axis_log *a, uint64_t *bar, uint32_t bars, struct hist_step step)
{
    double low = axis_log_at(a, (double)step.low) * bars;
    double high = axis_log_at(a, (double)step.high) * bars;
    uint32_t first = (uint32_t)fmin(low, bars - 1), last = (uint32_t)fmin(high, bars - 1);
    uint64_t given = 0;
    for (uint32_t i = first; i < last; i++) {
        double share = (i + 1.0 - low) / (high - low);
        uint64_t upto = (uint64_t)llround((double)step.count * share);
        bar[i] += upto - given;
        given = upto;
    }
    bar[last] += step.count - given;
}

/* Of a tick: 100 us, 2 ms, 5000 s. */
static char *tick_text(double ns, char out[VALUES_TEXT_BYTES])
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    int unit = 0;
    for (; unit < 3 && ns >= 1000; unit++) ns /= 1000;
    snprintf(out, VALUES_TEXT_BYTES, "%.4g %s", ns, units[unit]);
    return out;
}

/* Of any value; what no run takes, but a file may say, stays short as well. */
static char *took_text(uint64_t ns, char out[VALUES_TEXT_BYTES])
{
    if (ns < 1000000 * S) return value_latency_text(ns, out);
    snprintf(out, VALUES_TEXT_BYTES, "%.3g s", (double)ns / (double)S);
    return out;
}

static double latency_x(const struct svg_plot *p, double at)
{
    return p->left + (p->right - p->left) * at;
}

static void latency_bars(const struct svg_plot *p, const struct axis_log *a, const uint64_t *bar,
                         uint32_t bars)
{
    double most = 0;
    for (uint32_t i = 0; i < bars; i++) most = fmax(most, (double)bar[i]);
    double top = svg_axis_y(p, most, 1);
    for (uint32_t i = 0; i < bars; i++) {
        char text[160], low[VALUES_TEXT_BYTES], high[VALUES_TEXT_BYTES], n[VALUES_TEXT_BYTES];
        if (bar[i] == 0) continue;
        double left = latency_x(p, (double)i / bars), right = latency_x(p, (i + 1.0) / bars);
        double height = fmax(visible, (p->bottom - p->top) * (double)bar[i] / top);
        took_text((uint64_t)axis_log_value(a, (double)i / bars), low);
        took_text((uint64_t)axis_log_value(a, (i + 1.0) / bars), high);
        value_grouped_text(bar[i], n);
        snprintf(text, sizeof text, "%s to %s: about %s", low, high, n);
        svg_group(p, text);
        svg_rect(p, "latency", left + 0.5, p->bottom - height, right - left - 1, height);
        svg_group_end(p);
    }
}

static void latency_ticks(const struct svg_plot *p, const struct axis_log *a)
{
    char text[VALUES_TEXT_BYTES];
    double widest =
        fmax(svg_text_width("500 ms"), svg_text_width(tick_text(axis_tick_value(a->high), text)));
    int32_t stride = axis_log_stride(a, (widest + LABELS_APART) / (p->right - p->left));
    for (int32_t tick = a->low; tick <= a->high; tick++) {
        double x = latency_x(p, axis_log_at(a, axis_tick_value(tick)));
        bool label = tick % stride == 0;
        if (!label && stride > 3 && tick % 3 != 0) continue;
        svg_line(p, "axis", x, p->bottom, x, p->bottom + (label ? 6 : 3));
        if (label)
            svg_text(p, SVG_MIDDLE, x, p->bottom + 20, tick_text(axis_tick_value(tick), text));
    }
}

/* One below the other, each to the right of its line, from the left to the right: no label meets
 * another one, or a line. */
static void latency_marks(const struct svg_plot *p, const struct axis_log *a, const struct hist *h)
{
    for (int i = 0; i <= REPORT_PERCENTS; i++) {
        char text[96], value[VALUES_TEXT_BYTES], name[16] = "max";
        bool max = i == REPORT_PERCENTS;
        uint64_t ns = max ? h->max : hist_percentile(h, report_percents[i]);
        if (!max) snprintf(name, sizeof name, "p%g", report_percents[i]);
        snprintf(text, sizeof text, "%s %s", name, took_text(ns, value));
        double x = latency_x(p, axis_log_at(a, (double)ns)), y = (i + 1) * MARK_ROW;
        svg_line(p, "mark", x, y - SVG_TEXT_SIZE + 2, x, p->bottom);
        svg_text(p, SVG_START, x + 4, y, text);
    }
}

void plot_latency(FILE *out, const struct hist *h)
{
    CHECK(h->count > 0);
    struct svg_plot p = {.out = out,
                         .width = WIDTH,
                         .height = LATENCY_HEIGHT,
                         .left = LEFT,
                         .top = (REPORT_PERCENTS + 1) * MARK_ROW + 10,
                         .right = WIDTH - 132,
                         .bottom = LATENCY_HEIGHT - 28};
    struct axis_log a;
    struct hist_step step;
    uint64_t bar[BARS_MAX] = {0};
    /* Results have microseconds: what took none of them stands at the axis's low end. */
    axis_log_init(&a, fmax(1000, (double)h->min), fmax(1000, (double)h->max));
    uint32_t bars = bars_of(&a);
    for (uint32_t at = 0; hist_next(h, &at, &step);) bars_add(&a, bar, bars, step);
    svg_begin(&p, "Records by the time that their last attempt took, with percentiles");
    latency_bars(&p, &a, bar, bars);
    latency_ticks(&p, &a);
    latency_marks(&p, &a, h);
    svg_end(&p);
}
