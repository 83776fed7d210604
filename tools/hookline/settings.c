/* tools/hookline/settings.c - see settings.h. Options were checked when they were read: what can
 * still fail here is memory, and what one option says about another. */
#include "tools/hookline/settings.h"

#include "core/base/check.h"
#include "core/base/prng.h"
#include "core/input/record.h"
#include "core/net/hosts_file.h"
#include "tools/hookline/secrets.h"
#include "tools/hookline/values.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)OPTION_ITEMS_MAX >= (int)POLICY_NETS_MAX, "every net has a place");
_Static_assert((int)OPTION_ITEMS_MAX >= (int)CONFIG_REDACT_MAX, "every name has a place");
_Static_assert((int)OPTION_ITEMS_MAX >= (int)CONFIG_SOURCE_IPS_MAX, "every address has a place");

static void set_nets(const struct option_value *v, struct net *nets, uint32_t *count)
{
    CHECK(v->items_count <= POLICY_NETS_MAX);
    for (uint32_t i = 0; i < v->items_count; i++) {
        bool ok = net_parse(v->items[i], &nets[i]);
        CHECK(ok);
    }
    *count = v->items_count;
}

static void set_source_ips(const struct option_value *v, struct config *c)
{
    CHECK(v->items_count <= CONFIG_SOURCE_IPS_MAX);
    for (uint32_t i = 0; i < v->items_count; i++) {
        struct addr *a = &c->source_ips[i];
        *a = (struct addr){.v4 = {.sin_family = AF_INET}};
        if (inet_pton(AF_INET, v->items[i], &a->v4.sin_addr) == 1) continue;
        *a = (struct addr){.v6 = {.sin6_family = AF_INET6}};
        int ok = inet_pton(AF_INET6, v->items[i], &a->v6.sin6_addr);
        CHECK(ok == 1);
    }
    c->source_ips_count = v->items_count;
}

static void set_servers(const struct option_value *v, struct config *c)
{
    CHECK(v->items_count <= CONFIG_DNS_SERVERS_MAX);
    for (uint32_t i = 0; i < v->items_count; i++) {
        bool ok = value_server(v->items[i], &c->dns_servers[i]);
        CHECK(ok);
    }
    c->dns_servers_count = v->items_count;
}

#define HOSTS_PATH "/etc/hosts"

/* A file that cannot be read is none, as for the C library; one that is too long is said. */
static int set_hosts(struct resolver *r, char *error)
{
    FILE *f = fopen(HOSTS_PATH, "re");
    if (f == NULL) return 0;
    size_t room = 65536, len = 0, n;
    char *text = malloc(room);
    while (text != NULL && (n = fread(text + len, 1, room - len, f)) > 0) {
        len += n;
        if (len < room) continue;
        room *= 2;
        char *grown = room <= 2 * (size_t)HOSTS_FILE_BYTES_MAX ? realloc(text, room) : NULL;
        if (grown == NULL) free(text);
        text = grown;
    }
    (void)fclose(f);
    bool ok = text != NULL && len <= HOSTS_FILE_BYTES_MAX && resolver_hosts(r, span_of(text, len));
    free(text);
    if (!ok) snprintf(error, OPTION_ERROR_BYTES, HOSTS_PATH ": too long, or memory is short");
    return ok ? 0 : -1;
}

static int set_network(const struct options *o, struct settings *s, char *error)
{
    set_nets(&o->values[OPT_ALLOW_NET], s->policy.allow, &s->policy.allow_count);
    set_nets(&o->values[OPT_DENY_NET], s->policy.deny, &s->policy.deny_count);
    s->config.policy = &s->policy;
    s->resolver = resolver_new();
    if (s->resolver == NULL) {
        snprintf(error, OPTION_ERROR_BYTES, "no memory for the resolver");
        return -1;
    }
    const struct option_value *v = &o->values[OPT_RESOLVE];
    for (uint32_t i = 0; i < v->items_count; i++) {
        const char *why = resolver_add(s->resolver, v->items[i]);
        if (why == NULL) continue;
        snprintf(error, OPTION_ERROR_BYTES, "--resolve=%.200s: %s", v->items[i], why);
        return -1;
    }
    if (set_hosts(s->resolver, error) != 0) return -1;
    s->config.resolver = s->resolver;
    const char *ports = options_text(o, OPT_PORTS);
    if (ports != NULL) {
        size_t at;
        const char *wrong = ports_parse(ports, s->ports, &at);
        CHECK(wrong == NULL);
        s->config.ports = s->ports;
    }
    set_source_ips(&o->values[OPT_SOURCE_IP], &s->config);
    set_servers(&o->values[OPT_DNS_SERVER], &s->config);
    return 0;
}

enum {
    SETTINGS_REJECTS_SHOWN = 20, /* reasons on standard error; hookline check has them all */
    SETTINGS_HOLDS_SHOWN = 50,   /* hosts that are put on hold, or open again */
};

static void set_config(const struct options *o, struct config *c)
{
    c->rejects_shown_max = SETTINGS_REJECTS_SHOWN;
    c->refused_shown_max = SETTINGS_REJECTS_SHOWN;
    c->holds_shown_max = SETTINGS_HOLDS_SHOWN;
    c->input_path = o->input == NULL ? "-" : o->input;
    c->strict = options_number(o, OPT_STRICT) != 0;
    c->record_bytes_max = (uint32_t)options_number(o, OPT_MAX_RECORD);
    c->key_field = options_text(o, OPT_KEY_FIELD);
    c->results_path = options_text(o, OPT_RESULTS);
    c->dead_letters_path = options_text(o, OPT_DEAD_LETTERS);
    c->events_path = options_text(o, OPT_EVENTS);
    c->rejects_path = options_text(o, OPT_REJECTS);
    const struct option_value *redact = &o->values[OPT_REDACT];
    CHECK(redact->items_count <= CONFIG_REDACT_MAX);
    for (uint32_t i = 0; i < redact->items_count; i++) c->redact[i] = redact->items[i];
    c->redact_count = redact->items_count;
    c->state_path = options_text(o, OPT_STATE);
    c->sync = (enum journal_sync)options_number(o, OPT_SYNC);
    c->max_wait_ns = options_number(o, OPT_MAX_WAIT);
    c->shards = (uint32_t)options_number(o, OPT_SHARDS);
    c->connections = (uint32_t)options_number(o, OPT_CONNECTIONS);
    c->host_connections = (uint32_t)options_number(o, OPT_HOST_CONNECTIONS);
    c->memory_bytes = options_number(o, OPT_MEMORY);
    c->timeout_ns = options_number(o, OPT_TIMEOUT);
    c->connect_timeout_ns = options_number(o, OPT_CONNECT_TIMEOUT);
    c->dns_timeout_ns = options_number(o, OPT_DNS_TIMEOUT);
    c->tls_timeout_ns = options_number(o, OPT_TLS_TIMEOUT);
    c->user_agent = options_text(o, OPT_USER_AGENT);
    c->idempotency_key = options_number(o, OPT_IDEMPOTENCY_KEY) != 0;
}

static void set_backoff(const struct options *o, enum option_id id, struct backoff *out)
{
    const char *wrong = value_backoff(options_text(o, id), out);
    CHECK(wrong == NULL);
}

static void set_pace(const struct options *o, struct config *c)
{
    struct retry_rules *r = &c->retry;
    c->rate_interval_ns = options_number(o, OPT_RATE);
    c->host_rate_interval_ns = options_number(o, OPT_HOST_RATE);
    c->max_hint_ns = options_number(o, OPT_MAX_HINT);
    r->retries = (uint32_t)options_number(o, OPT_RETRIES);
    r->window_ns = options_number(o, OPT_RETRY_WINDOW);
    r->unreachable_window_ns = options_number(o, OPT_UNREACHABLE_WINDOW);
    set_backoff(o, OPT_BACKOFF, &r->answered);
    set_backoff(o, OPT_UNREACHABLE_BACKOFF, &r->unreachable);
    r->at_most_once = options_number(o, OPT_DELIVERY) == DELIVERY_AT_MOST_ONCE;
}

static void set_health(const struct options *o, struct host_rules *h)
{
    const char *wrong =
        value_budget(options_text(o, OPT_RETRY_BUDGET), &h->budget_pct, &h->budget_per_s);
    CHECK(wrong == NULL);
    h->window_ns = options_number(o, OPT_HEALTH_WINDOW);
    h->ratio_pct = (uint32_t)options_number(o, OPT_HEALTH_RATIO);
    h->min_failures = (uint32_t)options_number(o, OPT_HEALTH_MIN);
    h->absolute = (uint32_t)options_number(o, OPT_UNHEALTHY_FAILURES);
    h->cooldown_ns = options_number(o, OPT_COOLDOWN);
    if (h->cooldown_max_ns < h->cooldown_ns) h->cooldown_max_ns = h->cooldown_ns;
    h->probes = (uint32_t)options_number(o, OPT_PROBES);
}

/* All of a file that may be a pipe, up to LIMITS_TEXT_BYTES_MAX + 1. NULL: errno says why. */
static char *text_read(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) return NULL;
    char *text = NULL;
    size_t used = 0, room = 0;
    errno = 0;
    do {
        size_t more = room == 0 ? 64 * 1024 : 2 * room;
        if (more > LIMITS_TEXT_BYTES_MAX + 1) more = LIMITS_TEXT_BYTES_MAX + 1;
        char *larger = realloc(text, more);
        if (larger == NULL) break;
        text = larger;
        room = more;
        used += fread(text + used, 1, room - used, file);
    } while (used == room && room <= LIMITS_TEXT_BYTES_MAX);
    int error = errno;
    bool whole = ferror(file) == 0 && (used < room || room > LIMITS_TEXT_BYTES_MAX);
    fclose(file);
    if (!whole) {
        free(text);
        text = NULL;
    }
    errno = error;
    *bytes = used;
    return text;
}

static int set_limits(const struct options *o, struct settings *s, char *error)
{
    const char *path = options_text(o, OPT_LIMITS);
    struct limits_error why;
    size_t bytes;
    if (path == NULL) return 0;
    char *text = text_read(path, &bytes);
    if (text == NULL) {
        snprintf(error, OPTION_ERROR_BYTES, "cannot read the limits of %.300s: %s", path,
                 strerror(errno));
        return -1;
    }
    s->limits = limits_parse(span_of(text, bytes), &why);
    free(text);
    s->config.limits = s->limits;
    if (s->limits != NULL) return 0;
    if (why.line == 0) snprintf(error, OPTION_ERROR_BYTES, "%.300s: %s", path, why.text);
    else
        snprintf(error, OPTION_ERROR_BYTES, "%.300s:%u:%u: %s", path, why.line, why.column,
                 why.text);
    return -1;
}

static int set_signer(const struct options *o, struct settings *s, char *error)
{
    if (o->command == COMMAND_CHECK) return 0;
    if (secrets_read(options_text(o, OPT_SIGN_SECRET_FILE), getenv(SECRETS_VARIABLE), &s->signer,
                     error) != 0)
        return -1;
    s->config.signer = s->signer;
    return 0;
}

/* Two outputs into one place would overwrite each other. */
static int check_outputs(const struct config *c, char *error)
{
    const struct {
        const char *name, *path;
    } outputs[] = {
        {"results", c->results_path},
        {"dead-letters", c->dead_letters_path},
        {"events", c->events_path},
        {"rejects", c->rejects_path},
    };
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < i; j++) {
            if (outputs[i].path == NULL || outputs[j].path == NULL) continue;
            if (strcmp(outputs[i].path, outputs[j].path) != 0) continue;
            if (strcmp(outputs[i].path, "/dev/null") == 0) continue;
            snprintf(error, OPTION_ERROR_BYTES, "--%s and --%s both name \"%.200s\": choose two",
                     outputs[j].name, outputs[i].name, outputs[i].path);
            return -1;
        }
    }
    return 0;
}

static int check_key_field(const struct config *c, char *error)
{
    if (c->key_field == NULL || record_key_field_ok(c->key_field)) return 0;
    snprintf(error, OPTION_ERROR_BYTES,
             "--key-field=%.200s: must be a name of at most %d bytes that no other field has",
             c->key_field, LIMIT_ID_BYTES);
    return -1;
}

int settings_new(const struct options *o, struct settings **out, char error[OPTION_ERROR_BYTES])
{
    CHECK(o != NULL);
    CHECK(out != NULL);
    struct prng dice;
    struct settings *s = calloc(1, sizeof *s);
    if (s == NULL || !prng_seed_from_os(&dice)) {
        snprintf(error, OPTION_ERROR_BYTES, "no memory or no entropy to start with");
        free(s);
        return -1;
    }
    config_defaults(&s->config);
    set_config(o, &s->config);
    set_pace(o, &s->config);
    set_health(o, &s->config.health);
    s->config.run_id = prng_u64(&dice);
    s->run_time_ns = options_number(o, OPT_RUN_TIME);
    s->progress = (enum progress_mode)options_number(o, OPT_PROGRESS);
    if (set_network(o, s, error) != 0 || check_outputs(&s->config, error) != 0 ||
        check_key_field(&s->config, error) != 0 || set_limits(o, s, error) != 0 ||
        set_signer(o, s, error) != 0 ||
        trust_read(o, &s->trust, &s->config.tls, error) != 0) {
        settings_free(s);
        return -1;
    }
    *out = s;
    return 0;
}

void settings_free(struct settings *s)
{
    CHECK(s != NULL);
    if (s->resolver != NULL) resolver_free(s->resolver);
    if (s->limits != NULL) limits_free(s->limits);
    signer_free(s->signer);
    trust_free(&s->trust);
    free(s);
}

void settings_print_memory(const struct settings *s, FILE *out)
{
    CHECK(s != NULL);
    CHECK(out != NULL);
    char memory[VALUES_TEXT_BYTES], connections[VALUES_TEXT_BYTES];
    const struct config *c = &s->config;
    fprintf(out,
            "\n# Memory: at most %s for records, requests and answers of %u shards and their %s\n"
            "# connections; when it is used up the input waits.\n",
            value_size_text(c->memory_bytes, memory), c->shards,
            value_grouped_text((uint64_t)c->shards * c->connections, connections));
}
