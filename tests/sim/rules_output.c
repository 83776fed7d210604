/* tests/sim/rules_output.c - goal: outputs that are slower than the receivers hold up the run, and
 * nothing else: no line is lost, none comes twice.
 */
#include "tests/sim/rules.h"

#include <string.h>

static uint32_t lines_of(struct play *p, const char *name)
{
    const struct file *f = disk_file(p->world->disk, name);
    uint32_t lines = 0;
    for (size_t i = 0; i < f->len; i++) lines += f->data[i] == '\n';
    return lines;
}

static void answer_404(struct play *p, const struct truth_send *e, struct truth_reply *r)
{
    (void)p;
    (void)e;
    answer_status(r, 404);
}

/* A write takes seconds, an answer microseconds: the buffers of results, events and dead letters
 * are full most of the time. */
static void outputs_are_slow(uint64_t seed)
{
    struct play *p = play_new(seed);
    play_no_health(p);
    p->answer = answer_404;
    p->world->knobs.write_slow = 100;
    p->config.dead_letters_path = "letters";
    if (world_below(p->world, 2)) p->config.state_path = "d";
    (void)play_host(p);
    for (int i = 0; i < 3000; i++) (void)play_record(p, 0, "");
    play_run(p, 600);
    RULE(play_outcomes(p, "failed") == 3000, "%u failed", play_outcomes(p, "failed"));
    RULE(lines_of(p, "letters") == 3000, "%u dead letters", lines_of(p, "letters"));
    RULE(lines_of(p, "results") == 3000, "%u results", lines_of(p, "results"));
    RULE(lines_of(p, "events") == 3000, "%u events", lines_of(p, "events"));
    play_free(p);
}

const struct rule rules_output[] = {{"outputs_are_slow", outputs_are_slow}, {NULL, NULL}};
