/* tools/hookline/options.c - values of options: checked, kept with their source, printed.
 *
 * See options.h. How they are read from argv is in options_argp.c, from --config in
 * options_file.c.
 */
#include "tools/hookline/options.h"

#include "core/base/check.h"
#include "core/http/request.h"
#include "core/net/policy.h"
#include "core/net/ports.h"
#include "core/net/resolver.h"
#include "sched/limits.h"
#include "tools/hookline/values.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define COMMANDS_S  BIT(COMMAND_SEND)
#define COMMANDS_C  BIT(COMMAND_CHECK)
#define COMMANDS_R  BIT(COMMAND_REPORT)
#define COMMANDS_SC  (COMMANDS_S | COMMANDS_C)
#define COMMANDS_ST  (COMMANDS_S | BIT(COMMAND_TRY))
#define COMMANDS_SCT (COMMANDS_SC | BIT(COMMAND_TRY))

#define OPTION_ROW(NAME, name, kind, def, min, max, group, commands, arg, help) \
    {name, def, min, max, arg, help, OPTION_##kind, OPTION_GROUP_##group, COMMANDS_##commands},
static const struct option_row rows[OPT_COUNT] = {OPTIONS_TABLE(OPTION_ROW)};

#define OPTION_GROUP_TITLE(NAME, title) title,
static const char *const group_titles[OPTION_GROUP_COUNT] = {OPTION_GROUPS(OPTION_GROUP_TITLE)};

static const char *const progress_names[] = {"auto", "bar", "plain", "none", NULL};
static const char *const sync_names[] = {"group", "always", "none", NULL}; /* enum journal_sync */
static const char *const tls_version_names[] = {"1.2", "1.3", NULL}; /* enum tls_version */
static const char *const delivery_names[] = {"at-least-once", "at-most-once", NULL};

const struct option_row *option_row(enum option_id id)
{
    CHECK(id < OPT_COUNT);
    return &rows[id];
}

const char *option_group_title(enum option_group group)
{
    CHECK(group < OPTION_GROUP_COUNT);
    return group_titles[group];
}

const char *command_name(enum command command)
{
    CHECK(command < COMMAND_COUNT);
    static const char *const names[COMMAND_COUNT] = {"send", "check", "try", "report"};
    return names[command];
}

bool option_repeatable(enum option_id id) { return option_row(id)->kind >= OPTION_NAMES; }

enum option_id option_find(const char *name, size_t len)
{
    CHECK(name != NULL);
    enum option_id id = 0;
    for (; id < OPT_COUNT; id++)
        if (strlen(rows[id].name) == len && memcmp(rows[id].name, name, len) == 0) break;
    return id;
}

void option_environment_name(enum option_id id, char *out, size_t size)
{
    int len = snprintf(out, size, "HOOKLINE_%s", option_row(id)->name);
    CHECK(len > 0 && (size_t)len < size);
    for (char *c = out; *c != '\0'; c++) *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

static uint64_t cores(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int count = CPU_COUNT(&set);
    return count < 1 ? 1 : (uint64_t)count;
}

/* Which of the names, which end with NULL. */
static bool name_parse(const char *text, const char *const *names, uint64_t *index)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *index = i;
        return true;
    }
    return false;
}

static bool in_range(const struct option_row *row, uint64_t number)
{
    return number >= row->min && number <= row->max;
}

/* "off" where it is possible, as 0. */
static bool off_parse(const char *text, uint64_t *number)
{
    if (strcmp(text, "off") != 0) return false;
    *number = 0;
    return true;
}

static bool addr_parse(const char *text)
{
    struct in6_addr into;
    return inet_pton(AF_INET, text, &into) == 1 || inet_pton(AF_INET6, text, &into) == 1;
}

/* NULL, or what resolver_add() says is wrong. */
static const char *resolve_refused(const char *text)
{
    struct resolver *r = resolver_new();
    if (r == NULL) return "no memory to check it";
    const char *why = resolver_add(r, text);
    resolver_free(r);
    return why;
}

/* NULL, or what is wrong with a value that has parts. */
static const char *parts_refused(enum option_kind kind, const char *text)
{
    struct backoff backoff;
    uint32_t percent, floor;
    switch (kind) {
    case OPTION_BACKOFF: return value_backoff(text, &backoff);
    case OPTION_BUDGET: return value_budget(text, &percent, &floor);
    case OPTION_RESOLVE: return resolve_refused(text);
    default: return NULL;
    }
}

/* Reads one value or item as its row says. Numbers go to *number, which texts leave alone. */
static bool item_ok(const struct option_row *row, const char *text, uint64_t *number)
{
    uint8_t ports[PORTS_BYTES];
    size_t at;
    struct net net;
    struct addr server;
    bool truth;
    switch (row->kind) {
    case OPTION_FLAG:
        if (!value_bool(text, &truth)) return false;
        *number = truth;
        return true;
    case OPTION_CORES:
        if (strcmp(text, "cores") == 0) {
            *number = cores() < row->max ? cores() : row->max;
            return true;
        }
        return value_count(text, number) && in_range(row, *number);
    case OPTION_COUNT: return value_count(text, number) && in_range(row, *number);
    case OPTION_COUNT_OFF:
        return off_parse(text, number) || (value_count(text, number) && in_range(row, *number));
    case OPTION_SIZE: return value_size(text, number) && in_range(row, *number);
    case OPTION_DURATION: return value_duration(text, number) && in_range(row, *number);
    case OPTION_RATE:
        return off_parse(text, number) || rate_parse(span_of(text, strlen(text)), number);
    case OPTION_BACKOFF:
    case OPTION_BUDGET:
    case OPTION_RESOLVE: return parts_refused(row->kind, text) == NULL;
    case OPTION_DURATION_OFF:
        return off_parse(text, number) || (value_duration(text, number) && in_range(row, *number));
    case OPTION_SYNC: return name_parse(text, sync_names, number);
    case OPTION_DELIVERY: return name_parse(text, delivery_names, number);
    case OPTION_TLS_MIN: return name_parse(text, tls_version_names, number);
    case OPTION_PROGRESS: return name_parse(text, progress_names, number);
    case OPTION_TEXT:
    case OPTION_FILE: return text[0] != '\0' && strpbrk(text, "\r\n") == NULL;
    case OPTION_HEADER: return text[0] != '\0' && header_value_ok(span_of(text, strlen(text)));
    case OPTION_PORTS: return ports_parse(text, ports, &at) == NULL;
    case OPTION_NAMES: return header_name_ok(span_of(text, strlen(text)));
    case OPTION_NETS: return net_parse(text, &net);
    case OPTION_ADDRS: return addr_parse(text);
    case OPTION_SERVERS: return value_server(text, &server);
    }
    UNREACHABLE();
}

/* Writes what a row accepts, to follow "must be". */
static void accepted_text(const struct option_row *row, char *out, size_t size)
{
    char low[VALUES_TEXT_BYTES], high[VALUES_TEXT_BYTES];
    switch (row->kind) {
    case OPTION_FLAG: snprintf(out, size, "yes or no"); return;
    case OPTION_COUNT:
    case OPTION_COUNT_OFF:
    case OPTION_CORES:
        snprintf(out, size, "a number from %" PRIu64 " to %" PRIu64 "%s", row->min, row->max,
                 row->kind == OPTION_CORES       ? ", or cores"
                 : row->kind == OPTION_COUNT_OFF ? ", or off"
                                                 : "");
        return;
    case OPTION_SIZE:
        snprintf(out, size, "a size from %s to %s, such as 64K or 256M",
                 value_size_text(row->min, low), value_size_text(row->max, high));
        return;
    case OPTION_DURATION:
    case OPTION_DURATION_OFF:
        snprintf(out, size, "a time from %s to %s, such as 250ms, 90s or 1h30m%s",
                 value_duration_text(row->min, low), value_duration_text(row->max, high),
                 row->kind == OPTION_DURATION_OFF ? ", or off" : "");
        return;
    case OPTION_RATE:
        snprintf(out, size,
                 "a rate from 1/d to 10000000/s, such as 5000/s, 100000/m or 20/h, or "
                 "off");
        return;
    case OPTION_BACKOFF: snprintf(out, size, "BASE,FACTOR,CAP, such as 10s,1.5,15m"); return;
    case OPTION_BUDGET: snprintf(out, size, "PCT,FLOOR/s, such as 20,10/s"); return;
    case OPTION_SYNC: snprintf(out, size, "group, always or none"); return;
    case OPTION_DELIVERY: snprintf(out, size, "at-least-once or at-most-once"); return;
    case OPTION_TEXT: snprintf(out, size, "a text of one line"); return;
    case OPTION_HEADER: snprintf(out, size, "a text without control characters"); return;
    case OPTION_FILE: snprintf(out, size, "a path"); return;
    case OPTION_TLS_MIN: snprintf(out, size, "1.2 or 1.3"); return;
    case OPTION_PROGRESS: snprintf(out, size, "auto, bar, plain or none"); return;
    case OPTION_PORTS: snprintf(out, size, "ports and ranges, such as 80,443,8000-8999"); return;
    case OPTION_NAMES: snprintf(out, size, "a header or field name"); return;
    case OPTION_NETS:
        snprintf(out, size,
                 "an address or a network without bits beyond its prefix, such as "
                 "10.0.0.0/8 or fd00::/8");
        return;
    case OPTION_ADDRS: snprintf(out, size, "an IPv4 or IPv6 address"); return;
    case OPTION_SERVERS:
        snprintf(out, size, "ADDR or ADDR:PORT, such as 9.9.9.9, 127.0.0.1:5353 or [::1]:53");
        return;
    case OPTION_RESOLVE:
        snprintf(out, size, "HOST:PORT:ADDR, such as api.example:80:127.0.0.1");
        return;
    }
    UNREACHABLE();
}

/* One line for a person: control characters in what the user wrote become '?'. */
static void make_printable(char *text)
{
    for (; *text != '\0'; text++)
        if (iscntrl((unsigned char)*text)) *text = '?';
}

static int refuse_value(struct options *o, const struct option_row *row, const char *item,
                        const char *where)
{
    char accepted[160];
    accepted_text(row, accepted, sizeof accepted);
    const char *clause = parts_refused(row->kind, item);
    const char *colon = clause == NULL ? "" : ": ";
    if (clause == NULL) clause = "";
    if (row->kind >= OPTION_NAMES)
        snprintf(o->error, sizeof o->error, "%.300s: \"%.100s\" must be %s%s%s", where, item,
                 accepted, colon, clause);
    else
        snprintf(o->error, sizeof o->error, "%.300s: must be %s%s%s", where, accepted, colon,
                 clause);
    make_printable(o->error);
    return -1;
}

static void value_clear(struct option_value *v)
{
    for (uint32_t i = 0; i < v->items_count; i++) {
        free(v->items[i]);
        v->items[i] = NULL;
    }
    v->items_count = 0;
}

static char *text_copy(const char *text, size_t len)
{
    char *copy = strndup(text, len);
    if (copy == NULL) {
        fputs("hookline: no memory to read the options\n", stderr);
        exit(5);
    }
    return copy;
}

/* Takes the item, which it owns afterwards. */
static int keep_item(struct options *o, enum option_id id, char *item, uint64_t number,
                     enum option_source source, const char *where)
{
    struct option_value *v = &o->values[id];
    if (source < v->source) {
        free(item);
        return 0;
    }
    if (source > v->source || !option_repeatable(id)) value_clear(v);
    v->source = source;
    if (v->items_count == OPTION_ITEMS_MAX ||
        (option_repeatable(id) && v->items_count == option_row(id)->max)) {
        snprintf(o->error, sizeof o->error, "%.300s: at most %" PRIu64 " of --%s are possible",
                 where, option_row(id)->max, option_row(id)->name);
        make_printable(o->error);
        free(item);
        return -1;
    }
    v->number = number;
    v->items[v->items_count++] = item;
    return 0;
}

static int set_item(struct options *o, enum option_id id, const char *text, size_t len,
                    enum option_source source, const char *where)
{
    const struct option_row *row = option_row(id);
    uint64_t number = 0;
    char *item = text_copy(text, len);
    if (!item_ok(row, item, &number)) {
        int refused = refuse_value(o, row, item, where);
        free(item);
        return refused;
    }
    return keep_item(o, id, item, number, source, where);
}

int options_set(struct options *o, enum option_id id, const char *text, enum option_source source,
                const char *where)
{
    CHECK(o != NULL);
    CHECK(text != NULL);
    CHECK(where != NULL);
    if (!option_repeatable(id)) return set_item(o, id, text, strlen(text), source, where);
    const char *between = option_row(id)->kind == OPTION_RESOLVE ? " \t" : " \t,";
    bool any = false;
    for (;;) {
        text += strspn(text, between);
        size_t len = strcspn(text, between);
        if (len == 0) break;
        any = true;
        if (set_item(o, id, text, len, source, where) != 0) return -1;
        text += len;
    }
    if (!any) return refuse_value(o, option_row(id), "", where);
    return 0;
}

struct options *options_new(enum command command)
{
    CHECK(command < COMMAND_COUNT);
    struct options *o = calloc(1, sizeof *o);
    if (o == NULL) {
        fputs("hookline: no memory to read the options\n", stderr);
        exit(5);
    }
    o->command = command;
    for (enum option_id id = 0; id < OPT_COUNT; id++) {
        const char *standard = option_row(id)->standard;
        if (standard == NULL) continue;
        int ok = options_set(o, id, standard, OPTION_FROM_DEFAULT, option_row(id)->name);
        CHECK(ok == 0);
    }
    return o;
}

void options_free(struct options *o)
{
    CHECK(o != NULL);
    for (enum option_id id = 0; id < OPT_COUNT; id++) value_clear(&o->values[id]);
    free(o->file);
    free(o);
}

const char *options_text(const struct options *o, enum option_id id)
{
    CHECK(id < OPT_COUNT);
    return o->values[id].items_count == 0 ? NULL : o->values[id].items[0];
}

uint64_t options_number(const struct options *o, enum option_id id)
{
    CHECK(id < OPT_COUNT);
    CHECK(o->values[id].items_count > 0);
    return o->values[id].number;
}

/* ---- printing ------------------------------------------------------------------------------ */

static void source_text(const struct options *o, enum option_id id, char *out, size_t size)
{
    const struct option_value *v = &o->values[id];
    char name[64];
    switch (v->source) {
    case OPTION_FROM_DEFAULT: snprintf(out, size, "default"); return;
    case OPTION_FROM_FILE: snprintf(out, size, "file %.200s:%u", o->file, v->line); return;
    case OPTION_FROM_ENVIRONMENT:
        option_environment_name(id, name, sizeof name);
        snprintf(out, size, "environment %s", name);
        return;
    case OPTION_FROM_COMMAND_LINE: snprintf(out, size, "command line"); return;
    }
    UNREACHABLE();
}

/* The value as options_file.c reads it: in quotes where it would be misread without. */
static void print_quoted(const char *text, char *out, size_t size)
{
    size_t len = strlen(text);
    bool plain = strpbrk(text, "#\"\\") == NULL && !isspace((unsigned char)text[0]) &&
                 !isspace((unsigned char)text[len - 1]);
    if (plain) {
        snprintf(out, size, "%s", text);
        return;
    }
    size_t used = 0;
    out[used++] = '"';
    for (; *text != '\0' && used + 4 < size; text++) {
        if (*text == '"' || *text == '\\') out[used++] = '\\';
        out[used++] = *text;
    }
    out[used++] = '"';
    out[used] = '\0';
}

static void print_option(const struct options *o, enum option_id id, FILE *out)
{
    const struct option_row *row = option_row(id);
    const struct option_value *v = &o->values[id];
    char from[256], line[5000], value[4800];
    source_text(o, id, from, sizeof from);
    if (v->items_count == 0) {
        fprintf(out, "# %s is not set\n", row->name);
        return;
    }
    /* What chooses the file, and what asks for this print, cannot stand in a file. */
    const char *comment = row->group == OPTION_GROUP_GENERAL ? "# " : "";
    for (uint32_t i = 0; i < v->items_count; i++) {
        if (row->kind == OPTION_CORES) snprintf(value, sizeof value, "%" PRIu64, v->number);
        else print_quoted(v->items[i], value, sizeof value);
        snprintf(line, sizeof line, "%s%s = %s", comment, row->name, value);
        fprintf(out, "%-40s # %s\n", line, from);
    }
}

void options_print(const struct options *o, FILE *out)
{
    CHECK(o != NULL);
    CHECK(out != NULL);
    fprintf(out, "# hookline %s: every effective value of \"hookline %s\" and where it came from\n",
            HOOKLINE_VERSION, command_name(o->command));
    int group = -1;
    for (enum option_id id = 0; id < OPT_COUNT; id++) {
        const struct option_row *row = option_row(id);
        if ((row->commands & BIT(o->command)) == 0) continue;
        if ((int)row->group != group) fprintf(out, "\n# %s\n", option_group_title(row->group));
        group = (int)row->group;
        print_option(o, id, out);
    }
}
