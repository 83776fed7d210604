/* tests/sim/rules_state.c - goal: a run that is killed and begun anew keeps every promise of one
 * that is not: each record ends once, none is lost, schedules and holds go on, and whoever may have
 * got a webhook twice is on the list.
 *
 * The engine that ships, on a virtual kernel, with a state; the process is killed at times that the
 * seed draws, up to a dozen in one scenario, and what was in flight on its files took effect or
 * not.
 */
#include "tests/sim/json_scan.h"
#include "tests/sim/rules.h"

#include <inttypes.h>
#include <string.h>

static struct play *state_play(uint64_t seed)
{
    struct play *p = play_new(seed);
    p->config.state_path = "d";
    p->config.sync = (enum journal_sync)world_below(p->world, JOURNAL_SYNC_COUNT);
    p->config.inflight_slots = 64;
    p->config.compact_bytes = 256 + world_below(p->world, 4096);
    p->config.dead_letters_path = "letters";
    p->config.block_bytes = 512u << world_below(p->world, 4);
    play_no_health(p);
    return p;
}

static void crashes_draw(struct play *p, uint32_t count, double within)
{
    double at = 0;
    for (uint32_t i = 0; i < count && i < PLAY_CRASHES_MAX; i++) {
        at += within / count * (double)(1 + world_below(p->world, 1000)) / 1000;
        p->crash[i] = at;
    }
}

enum { LINES_MAX = 4096 };

/* How often each line is on the list. */
static uint32_t listed[LINES_MAX];

static void listed_read(struct play *p)
{
    RULE(p->truth.lines_count < LINES_MAX, "too many lines");
    const struct file *f = disk_file(p->world->disk, "d/maybe-delivered.ndjson");
    memset(listed, 0, sizeof listed);
    for (const char *at = f->data, *end = f->data + f->len; f->len > 0 && at < end;) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        RULE(eol != NULL, "the list ends inside a line");
        struct jscan j;
        jscan_read(&j, at, (size_t)(eol - at));
        uint64_t line = jscan_number(&j, "line");
        RULE(line >= 1 && line <= p->truth.lines_count, "line %" PRIu64 " is listed", line);
        RULE(jscan_is(&j, "id", p->truth.line[line - 1].id), "line %" PRIu64 ": another id", line);
        listed[line]++;
        at = eol + 1;
    }
}

/* Delivered is what a receiver's handler saw; more requests than attempts are on the list. */
static void line_check(const struct play *p, uint32_t line)
{
    const struct truth_line *l = play_line(p, line);
    const struct play_told *t = play_told(p, line);
    bool ran = false;
    for (uint32_t i = 0; i < l->sends; i++) ran |= l->send[i].handler_ran;
    if (strcmp(t->outcome, "delivered") == 0)
        RULE(ran, "line %u is told as delivered, and never was", line);
    if (l->sends > t->attempts) {
        RULE(listed[line] > 0,
             "line %u was sent %u times, with %" PRIu64 " attempts, and is not "
             "listed",
             line, l->sends, t->attempts);
        PROBE("a record was sent twice because of a kill");
    }
    RULE(l->sends <= t->attempts + listed[line],
         "line %u was sent %u times, %" PRIu64 " attempts, "
         "listed %u times",
         line, l->sends, t->attempts, listed[line]);
}

static void letters_check(struct play *p)
{
    const struct file *f = disk_file(p->world->disk, "letters");
    uint32_t lines = 0, failed = 0;
    for (size_t i = 0; i < f->len; i++) lines += f->data[i] == '\n';
    for (uint32_t i = 1; i <= p->truth.lines_count; i++)
        failed += strcmp(play_told(p, i)->outcome, "delivered") != 0;
    RULE(lines == failed, "%u dead letters of %u records that failed", lines, failed);
}

static void state_check(struct play *p)
{
    listed_read(p);
    for (uint32_t i = 1; i <= p->truth.lines_count; i++) line_check(p, i);
    letters_check(p);
    RULE(p->stats.accepted == p->truth.lines_count, "%" PRIu64 " accepted of %u", p->stats.accepted,
         p->truth.lines_count);
    if (p->crashes > 0) PROBE("a run was killed and resumed");
}

/* ---- scenarios ----------------------------------------------------------------------------- */

/* Host 1 fails twice before it answers well, host 2 refuses, host 3 is slow. */
static void mixed_answer(struct play *p, const struct truth_send *e, struct truth_reply *r)
{
    r->delay_ns = MILLI * (1 + world_below(p->world, 30));
    if (e->line->host == 1 && e->line->sends <= 2) answer_status(r, 503);
    if (e->line->host == 2) answer_status(r, 404);
    if (e->line->host == 3) r->delay_ns = 200 * MILLI;
}

static void killed_often(uint64_t seed)
{
    struct play *p = state_play(seed);
    p->answer = mixed_answer;
    p->config.retry.answered =
        (struct backoff){.base_ns = 100 * MILLI, .cap_ns = SECOND, .factor_milli = 2000};
    p->config.retry.retries = 20;
    for (int i = 0; i < 4; i++) (void)play_host(p);
    uint32_t records = 40 + world_below(p->world, 400);
    for (uint32_t i = 0; i < records; i++) (void)play_record(p, world_below(p->world, 4), "");
    crashes_draw(p, 1 + world_below(p->world, 12), 4);
    play_run(p, 600);
    state_check(p);
    play_free(p);
}

/* A retry is due after 10 s at least; kills before do not bring it forward. */
static void schedule_is_kept(uint64_t seed)
{
    struct play *p = state_play(seed);
    p->answer = answer_500;
    p->config.retry.answered =
        (struct backoff){.base_ns = 20 * SECOND, .cap_ns = 20 * SECOND, .factor_milli = 1000};
    p->config.retry.retries = 2;
    (void)play_host(p);
    for (int i = 0; i < 10; i++) (void)play_record(p, 0, "");
    crashes_draw(p, 4, 35);
    play_run(p, 200);
    listed_read(p);
    for (uint32_t i = 1; i <= p->truth.lines_count; i++) {
        const struct truth_line *l = play_line(p, i);
        const struct play_told *t = play_told(p, i);
        RULE(strcmp(t->outcome, "exhausted") == 0, "line %u is %s", i, t->outcome);
        for (uint32_t k = 1; k < l->sends; k++) {
            double gap = play_s(p, l->send[k].start_ns) - play_s(p, l->send[k - 1].start_ns);
            /* Whose end nobody knows is sent again at once. */
            bool known = l->send[k - 1].consumed && listed[i] == 0;
            RULE(gap > 9.9 || !known, "line %u: %.3f s between its attempts", i, gap);
        }
        WITHIN(t->total, listed[i] > 0 ? 9.9 : 20, 45, "line %u: from its first attempt on", i);
    }
    state_check(p);
    play_free(p);
}

static void wall_back(struct play *p) { p->world->wall_ns -= 3600 * SECOND; }

/* Wall time is set back by an hour while the run is down: nothing waits for that hour. */
static void clock_set_back(uint64_t seed)
{
    struct play *p = state_play(seed);
    p->answer = answer_500;
    p->config.retry.answered =
        (struct backoff){.base_ns = 20 * SECOND, .cap_ns = 20 * SECOND, .factor_milli = 1000};
    p->config.retry.retries = 1;
    (void)play_host(p);
    for (int i = 0; i < 10; i++) (void)play_record(p, 0, "");
    p->crash[0] = 5 + 0.001 * world_below(p->world, 3000);
    play_at(p, p->crash[0] - 0.001, wall_back);
    play_run(p, 60);
    for (uint32_t i = 1; i <= p->truth.lines_count; i++) {
        const struct truth_line *l = play_line(p, i);
        RULE(l->sends == 2, "line %u was sent %u times", i, l->sends);
        double gap = play_s(p, l->send[1].start_ns) - play_s(p, l->send[0].start_ns);
        WITHIN(gap, 9.9, 30, "line %u: between its attempts", i);
    }
    play_free(p);
}

/* Nothing that may have arrived is sent again. */
static void at_most_once_killed(uint64_t seed)
{
    struct play *p = state_play(seed);
    p->answer = mixed_answer;
    p->config.retry.at_most_once = true;
    for (int i = 0; i < 4; i++) (void)play_host(p);
    for (int i = 0; i < 100; i++) (void)play_record(p, world_below(p->world, 4), "");
    crashes_draw(p, 6, 2);
    play_run(p, 100);
    for (uint32_t i = 1; i <= p->truth.lines_count; i++) {
        const struct truth_line *l = play_line(p, i);
        uint32_t moved = 0;
        for (uint32_t k = 0; k < l->sends; k++) moved += l->send[k].moved > 0;
        RULE(moved <= 1, "line %u reached its receiver %u times", i, moved);
    }
    play_free(p);
}

/* What may be the matter with one of its files; put right when the run has ended because of it. */
static struct file *file_draw(struct play *p)
{
    static const char *const names[] = {"d/journal", "d/journal", "results", "events", "letters"};
    return disk_file(p->world->disk, names[world_below(p->world, 5)]);
}

static void disk_breaks(struct play *p)
{
    struct file *f = file_draw(p);
    switch (world_below(p->world, 3)) {
    case 0: f->write_eio_in = 1 + world_below(p->world, 10); break;
    case 1: f->full_at = f->len + world_below(p->world, 4000); break;
    case 2: f->sync_eio_in = 1 + world_below(p->world, 4); break;
    }
}

static void disk_heals(struct play *p)
{
    static const char *const names[] = {"d/journal", "d/journal.new", "results", "events",
                                        "letters"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct file *f = disk_file(p->world->disk, names[i]);
        f->write_eio_in = f->sync_eio_in = 0;
        f->full_at = UINT64_MAX;
    }
}

static void disk_fails(uint64_t seed)
{
    struct play *p = state_play(seed);
    p->answer = mixed_answer;
    p->failed = disk_heals;
    p->config.sync = world_below(p->world, 2) ? JOURNAL_SYNC_GROUP : JOURNAL_SYNC_ALWAYS;
    p->config.retry.answered =
        (struct backoff){.base_ns = 100 * MILLI, .cap_ns = SECOND, .factor_milli = 2000};
    p->config.retry.retries = 20;
    for (int i = 0; i < 4; i++) (void)play_host(p);
    uint32_t records = 100 + world_below(p->world, 400);
    for (uint32_t i = 0; i < records; i++) (void)play_record(p, world_below(p->world, 4), "");
    for (int i = 1; i <= 6; i++)
        play_at(p, 0.3 * i + 0.001 * world_below(p->world, 300), disk_breaks);
    play_run(p, 600);
    state_check(p);
    play_free(p);
}

/* With --sync always a record waits for the disk and for nothing else. Files take microseconds
 * here, so there is never a pause between two attempts. */
static void always_waits_for_the_disk_only(uint64_t seed)
{
    static const struct truth_send *sends[LINES_MAX];
    struct play *p = state_play(seed);
    p->config.sync = JOURNAL_SYNC_ALWAYS;
    (void)play_host(p);
    for (int i = 0; i < 2000; i++) (void)play_record(p, 0, "");
    play_run(p, 60);
    uint32_t count = play_sends(p, 0, sends, LINES_MAX);
    for (uint32_t i = 1; i < count; i++) {
        double gap = play_s(p, sends[i]->start_ns) - play_s(p, sends[i - 1]->start_ns);
        RULE(gap < 0.01, "%.3f s pass before the %u. attempt", gap, i + 1);
    }
    state_check(p);
    play_free(p);
}

/* The disk fills up: the run ends while there is room for what is under way, so that nothing was
 * sent whose end is not known. */
static void full_disk_is_seen_ahead(uint64_t seed)
{
    struct play *p = state_play(seed);
    p->config.sync = world_below(p->world, 2) ? JOURNAL_SYNC_GROUP : JOURNAL_SYNC_ALWAYS;
    p->failed = disk_heals;
    (void)play_host(p);
    for (int i = 0; i < 4000; i++) (void)play_record(p, 0, "");
    disk_file(p->world->disk, "results")->full_at = 600000 + world_below(p->world, 300000);
    play_run(p, 60);
    RULE(p->failures == 1, "the run ended %u times because of its files", p->failures);
    listed_read(p);
    for (uint32_t i = 1; i <= p->truth.lines_count; i++)
        RULE(listed[i] == 0, "line %u is listed: its end had no room", i);
    state_check(p);
    play_free(p);
}

const struct rule rules_state[] = {{"disk_fails", disk_fails},
                                   {"clock_set_back", clock_set_back},
                                   {"killed_often", killed_often},
                                   {"schedule_is_kept", schedule_is_kept},
                                   {"at_most_once_killed", at_most_once_killed},
                                   {"always_waits_for_the_disk_only",
                                    always_waits_for_the_disk_only},
                                   {"full_disk_is_seen_ahead", full_disk_is_seen_ahead},
                                   {NULL, NULL}};
