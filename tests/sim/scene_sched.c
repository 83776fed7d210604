/* tests/sim/scene_sched.c - the part of a scenario that the engine's scheduling is tried with:
 * retries, windows, health, rates, receivers with quotas and outages, and the moment when all is
 * well again.
 */
#include "tests/sim/scene.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MS     UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

enum { LIMITS_BYTES_MAX = 8192 };

/* Between low and high, each power of two as likely as another. */
static uint64_t draw_ns(struct world *w, uint64_t low_ns, uint64_t high_ns)
{
    uint32_t octaves = 0;
    while (low_ns << (octaves + 1) < high_ns) octaves++;
    uint64_t from_ns = low_ns << world_below(w, octaves + 1);
    uint64_t ns = from_ns + prng_below(&w->dice, from_ns);
    return ns < high_ns ? ns : high_ns;
}

static void backoff_draw(struct world *w, struct backoff *b)
{
    b->base_ns = draw_ns(w, 200 * MS, 60 * SECOND);
    b->factor_milli = 1000 + 500 * world_below(w, 7);
    b->cap_ns = b->base_ns * (1 + world_below(w, 60));
}

static void retry_draw(struct world *w, struct retry_rules *r)
{
    r->retries = world_draw(w, 10) ? 0 : 1 + world_below(w, 7);
    r->window_ns = draw_ns(w, 5 * SECOND, 7200 * SECOND);
    r->unreachable_window_ns = draw_ns(w, 5 * SECOND, 28800 * SECOND);
    backoff_draw(w, &r->answered);
    backoff_draw(w, &r->unreachable);
    r->at_most_once = world_draw(w, 12);
}

static void health_draw(struct world *w, struct host_rules *h)
{
    h->min_failures = 2 + world_below(w, 19);
    if (world_draw(w, 20)) h->absolute = 3 + world_below(w, 40);
    h->cooldown_ns = draw_ns(w, 2 * SECOND, 90 * SECOND);
    h->cooldown_max_ns = h->cooldown_ns * (1 + world_below(w, 10));
    h->probes = 1 + world_below(w, 4);
    h->first_limit = 1 + world_below(w, 8);
    h->budget_per_s = 1 + world_below(w, 20);
}

void scene_sched_config(struct scene *s)
{
    struct world *w = s->world;
    struct config *c = &s->config;
    s->heal_ns = w->now_ns;
    s->truth.retry = &c->retry;
    s->truth.timeout_ns = c->timeout_ns;
    s->hints = true;
    if (!s->sched) {
        c->retry.retries = 0;
        c->max_hint_ns = s->fair ? MS : draw_ns(w, MS, 2 * SECOND);
        c->health.min_failures = UINT32_MAX;
        return;
    }
    s->calm = world_draw(w, 60);
    if (s->calm)
        w->knobs = (struct knobs){.read_slow = w->knobs.read_slow,
                                  .write_slow = w->knobs.write_slow,
                                  .read_short = w->knobs.read_short,
                                  .write_short = w->knobs.write_short,
                                  .oversleep = w->knobs.oversleep};
    s->heal_ns = w->now_ns + draw_ns(w, SECOND, 14400 * SECOND);
    retry_draw(w, &c->retry);
    health_draw(w, &c->health);
    c->max_hint_ns = draw_ns(w, SECOND, 3600 * SECOND);
    if (world_draw(w, 20)) c->rate_interval_ns = draw_ns(w, MS, 2 * SECOND);
    if (world_draw(w, 20)) c->host_rate_interval_ns = draw_ns(w, MS, 4 * SECOND);
    c->hosts_max = 1024;
}

static void limits_draw(struct scene *s, const struct scene_host *hosts, uint32_t hosts_count)
{
    static char text[LIMITS_BYTES_MAX];
    struct world *w = s->world;
    size_t len = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < hosts_count; i++) {
        struct net_host *h = net_host(w->net, i);
        if (h->forbidden || world_draw(w, 40)) continue;
        uint32_t per_minute = world_draw(w, 70) ? 20 + world_below(w, 6000) : 0;
        uint32_t connections = world_draw(w, 50) || per_minute == 0 ? 1 + world_below(w, 4) : 0;
        int n = snprintf(text + len, sizeof text - len, "%s:%u", hosts[i].name, hosts[i].port);
        len += (size_t)n;
        if (per_minute > 0) {
            n = snprintf(text + len, sizeof text - len, " rate=%u/m", per_minute);
            len += (size_t)n;
            uint64_t interval_ns = 60 * SECOND / per_minute;
            if (interval_ns > s->host_interval_ns[i]) s->host_interval_ns[i] = interval_ns;
        }
        if (connections > 0) {
            n = snprintf(text + len, sizeof text - len, " connections=%u", connections);
            len += (size_t)n;
            if (connections < h->limit) h->limit = connections;
        }
        text[len++] = '\n';
        CHECK(len + 200 < sizeof text);
    }
    struct limits_error why;
    s->limits = limits_parse((struct span){text, len}, &why);
    RULE(s->limits != NULL, "limits: line %u, %s:\n%s", why.line, why.text, text);
    s->config.limits = s->limits;
}

static void heal(struct world *w, void *obj, uint64_t arg)
{
    MAYBE(arg > 0);
    PROBE("all was well again");
    receivers_heal(w, obj);
}

static void input_changes(struct world *w, void *obj, uint64_t cut)
{
    struct scene *s = obj;
    MAYBE(w->now_ns > 0);
    if (s->input->len == 0 || s->input->pipe) return; /* what a pipe holds nobody changes */
    PROBE("the input changed while the run went on");
    s->input_changed = true;
    size_t from = s->input->len / 2;
    if (cut) s->input->len = from;
    for (size_t i = from; i < s->input->len; i++) /* the lines keep their numbers */
        if (s->input->data[i] != '\n') s->input->data[i] = 'x';
}

/* Nothing waits longer than all waits together, once for each attempt. */
static uint64_t patience_ns(const struct config *c)
{
    const struct retry_rules *r = &c->retry;
    uint64_t wait_ns = r->answered.cap_ns + r->unreachable.cap_ns + 2 * c->max_hint_ns +
                       2 * c->health.cooldown_max_ns + c->timeout_ns;
    return (r->retries + 2) * wait_ns + r->window_ns + r->unreachable_window_ns;
}

void scene_sched_hosts(struct scene *s, const struct scene_host *hosts, uint32_t hosts_count)
{
    struct world *w = s->world;
    for (uint32_t i = 0; i < hosts_count; i++)
        s->host_interval_ns[i] = s->config.host_rate_interval_ns;
    if (!s->sched) return;
    s->truth.script = receiver_script;
    s->truth.script_of = &s->receivers;
    for (uint32_t i = 0; i < hosts_count; i++) {
        receiver_draw(w, &s->receivers, i, s->heal_ns);
        if (s->calm) s->receivers.at[i].scripted = true;
    }
    if (world_draw(w, 25)) limits_draw(s, hosts, hosts_count);
    world_at(w, s->heal_ns, heal, &s->receivers, 0);
    if (world_draw(w, 3)) {
        s->input_changes_ns = w->now_ns + prng_below(&w->dice, s->heal_ns - w->now_ns);
        world_at(w, s->input_changes_ns, input_changes, s, world_draw(w, 50));
    }
    s->virtual_ns_max = s->heal_ns - w->now_ns + patience_ns(&s->config) + 36000 * SECOND;
}

static void backoff_print(const char *name, const struct backoff *b)
{
    printf("  %s: %.3f s, x%.1f, at most %.3f s\n", name, (double)b->base_ns / 1e9,
           b->factor_milli / 1e3, (double)b->cap_ns / 1e9);
}

void scene_sched_print(const struct scene *s)
{
    const struct config *c = &s->config;
    if (!s->sched) return;
    printf("scheduling%s; all is well at %.3f ms, %.0f s after the start\n",
           s->calm ? ", calm" : "", (double)(s->heal_ns % (UINT64_C(1) << 40)) / 1e6,
           (double)(s->heal_ns - s->world->now_ns) / 1e9);
    printf("  %u retries%s in %.0f s, unreachable %.0f s\n", c->retry.retries,
           c->retry.at_most_once ? ", at most once" : "", (double)c->retry.window_ns / 1e9,
           (double)c->retry.unreachable_window_ns / 1e9);
    backoff_print("answered", &c->retry.answered);
    backoff_print("unreachable", &c->retry.unreachable);
    printf("  held at %u failures (absolute %u) for %.3f to %.3f s, %u probes, window from %u\n",
           c->health.min_failures, c->health.absolute, (double)c->health.cooldown_ns / 1e9,
           (double)c->health.cooldown_max_ns / 1e9, c->health.probes, c->health.first_limit);
    printf("  rates: run every %.1f ms, host every %.1f ms; longest hint %.0f s%s\n",
           (double)c->rate_interval_ns / 1e6, (double)c->host_rate_interval_ns / 1e6,
           (double)c->max_hint_ns / 1e9, s->limits != NULL ? "; a limits file" : "");
    receivers_print(s->world, &s->receivers);
}
