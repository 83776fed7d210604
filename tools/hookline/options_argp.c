/* tools/hookline/options_argp.c - the command line through argp, made from the options' table.
 *
 * argp sees one entry for each row that the command has and a hidden --no-NAME for each flag. It
 * only collects; options_read() then applies the sources from the weakest to the strongest.
 */
#include "core/base/check.h"
#include "tools/hookline/options.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_OPTION = 0x1000,  /* + id */
    KEY_NO_FLAG = 0x2000, /* + id */
    KEY_ENTRIES = 2 * OPT_COUNT + OPTION_GROUP_COUNT + 1,
    KEY_HELP_BYTES = 320,
};

static const char *const usage_of[COMMAND_COUNT] = {"[FILE|-]", "[FILE|-]", "URL|FILE|-",
                                                    "RESULTS|STATE"};

/* Before and, from \v, after the options. */
static const char *const text_of[COMMAND_COUNT] = {
    [COMMAND_SEND] =
        "Deliver every webhook of FILE, or of standard input: one JSON object on each line.\v"
        "Examples:\n"
        "  hookline send hooks.ndjson --results results.ndjson\n"
        "  hookline send hooks.ndjson --dead-letters again.ndjson\n"
        "  hookline send hooks.ndjson --results results.ndjson --state run1   (again: resumes)\n"
        "  generate | hookline send --results - | jq .outcome\n"
        "  hookline send tests.ndjson --allow-net 127.0.0.0/8\n"
        "\n"
        "A record is {\"url\": ..., \"method\": POST (default), GET, PUT or DELETE, "
        "\"headers\": {}, \"body\": {} or \"text\", \"id\": ...}; the README has all of it.\n"
        "\n"
        "TIME is such as 90s, 10m or 250ms; SIZE such as 64K or 256M. Each option can also be set "
        "by an environment variable (HOOKLINE_HOST_CONNECTIONS=64) or by a line of a --config FILE "
        "(host-connections = 64); the command line wins over the environment, that over the file. "
        "--no-NAME undoes --NAME for options without a value.\n"
        "\n"
        "Addresses that are not globally reachable (loopback, private, link-local ...) are refused "
        "unless --allow-net names them.\n"
        "\n"
        "SIGINT or SIGTERM: take in nothing more, let attempts in flight finish, report. A second "
        "one stops now and still reports.\n"
        "\n"
        "Exit status:\n"
        "  0  every accepted record was delivered\n"
        "  1  some were not\n"
        "  2  usage\n"
        "  3  the input could not be read, or a record was rejected under --strict\n"
        "  4  an output, or the state, could not be written\n"
        "  5  resources: descriptors, memory, io_uring not permitted\n"
        "  6  stopped by --max-wait or --run-time with records still waiting\n"
        "  130, 143  stopped by SIGINT, SIGTERM",
    [COMMAND_CHECK] =
        "Read all of FILE, or of standard input, as send would, and send nothing: print what would "
        "be rejected and why, the hosts and how many records each has, and an estimate of time and "
        "connections.\v"
        "Example:\n"
        "  hookline check hooks.ndjson --rejects rejects.ndjson\n"
        "\n"
        "SIZE is such as 64K or 256M. Each option can also be set by an environment variable "
        "(HOOKLINE_MAX_RECORD=64K) or by a line of a --config FILE (max-record = 64K); the command "
        "line wins over the environment, that over the file.\n"
        "\n"
        "Exit status:\n"
        "  0  no record was rejected\n"
        "  2  usage\n"
        "  3  some were, or the input could not be read\n"
        "  4  the account or the rejects could not be written\n"
        "  5  memory",
    [COMMAND_REPORT] =
        "Sum up a results file, or a state folder and the results file that belongs to it: "
        "outcomes, errors, times, hosts; what waits, what may have been delivered. Both are only "
        "read, and may belong to a run that goes on.\v"
        "Examples:\n"
        "  hookline report results.ndjson\n"
        "  hookline report --json state | jq .state.waiting\n"
        "  hookline report --html report.html state\n"
        "\n"
        "Exit status: 0, 2 usage, 3 it could not be read, 4 the report could not be written",
    [COMMAND_TRY] =
        "Send one webhook now, and show what happens: the request as it goes out, the answer as it "
        "comes back, how long each step took, and what hookline send would make of it. It is sent "
        "once: nothing is tried again.\v"
        "What is sent is the first record of FILE or of standard input; or, for a URL, a POST "
        "without a body.\n"
        "\n"
        "Examples:\n"
        "  hookline try http://127.0.0.1:8080/hook --allow-net 127.0.0.0/8\n"
        "  hookline try again.ndjson\n"
        "  echo '{\"url\": \"https://hooks.example/\", \"method\": \"GET\"}' | hookline try -\n"
        "\n"
        "Reading it: lines after > were sent, lines after < came back. Authorization, cookies, "
        "signatures and whatever --redact names are masked. Then:\n"
        "  DNS             until an address to connect to was known\n"
        "  connect         the TCP connection; long: a long way, or a lost packet\n"
        "  TLS             the handshake; its version, its cipher suite and the\n"
        "                  receiver's certificates stand above the times\n"
        "  send            until the kernel had all of the request\n"
        "  first byte      the time that the receiver took\n"
        "  rest of answer  until the answer was complete\n"
        "Where it fails, the step it failed in says so. A record's not_before is not waited for.\n"
        "\n"
        "Exit status:\n"
        "  0  delivered: the receiver answered 2xx\n"
        "  1  not delivered\n"
        "  2  usage\n"
        "  3  the record could not be read, or was rejected\n"
        "  4  standard output could not be written\n"
        "  5  resources: descriptors, memory, io_uring not permitted",
};

struct parse {
    struct options *o;
    struct option_setting *settings;
    int count, max;
    bool failed;
};

static void parse_setting(struct parse *p, enum option_id id, const char *text)
{
    CHECK(id < OPT_COUNT);
    CHECK(p->count < p->max);
    p->settings[p->count++] = (struct option_setting){id, text};
}

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
    struct parse *p = state->input;
    if (key >= KEY_NO_FLAG && key < KEY_NO_FLAG + OPT_COUNT) {
        parse_setting(p, (enum option_id)(key - KEY_NO_FLAG), "no");
        return 0;
    }
    if (key >= KEY_OPTION && key < KEY_OPTION + OPT_COUNT) {
        parse_setting(p, (enum option_id)(key - KEY_OPTION), arg == NULL ? "yes" : arg);
        return 0;
    }
    if (key != ARGP_KEY_ARG) return ARGP_ERR_UNKNOWN;
    if (p->o->input == NULL) {
        p->o->input = arg;
    } else if (!p->failed) {
        p->failed = true;
        snprintf(p->o->error, sizeof p->o->error,
                 "\"%.100s\": one FILE can be read, and \"%.100s\" is named already", arg,
                 p->o->input);
    }
    return 0;
}

/* What argp prints about an option, with its default. */
static char *help_text(const struct option_row *row, char *out)
{
    if (row->standard == NULL || row->kind == OPTION_FLAG)
        snprintf(out, KEY_HELP_BYTES, "%s", row->help);
    else snprintf(out, KEY_HELP_BYTES, "%s (default %s)", row->help, row->standard);
    return out;
}

/* argp's array for one command; texts are built into help. */
static void fill_entries(enum command command, struct argp_option *entries,
                         char help[OPT_COUNT][KEY_HELP_BYTES], char no[OPT_COUNT][40])
{
    int group = -1;
    for (enum option_id id = 0; id < OPT_COUNT; id++) {
        const struct option_row *row = option_row(id);
        if ((row->commands & BIT(command)) == 0) continue;
        /* argp puts its own --help, --usage and --version into group -1. */
        int argp_group = row->group == OPTION_GROUP_GENERAL ? -1 : (int)row->group + 1;
        if ((int)row->group != group) {
            *entries++ =
                (struct argp_option){.doc = option_group_title(row->group), .group = argp_group};
            group = (int)row->group;
        }
        *entries++ = (struct argp_option){.name = row->name,
                                          .key = KEY_OPTION + (int)id,
                                          .arg = row->arg,
                                          .doc = help_text(row, help[id]),
                                          .group = argp_group};
        if (row->kind != OPTION_FLAG) continue;
        snprintf(no[id], sizeof no[id], "no-%s", row->name);
        *entries++ = (struct argp_option){.name = no[id],
                                          .key = KEY_NO_FLAG + (int)id,
                                          .flags = OPTION_HIDDEN,
                                          .group = argp_group};
    }
}

int options_argp(struct options *o, int argc, char **argv, unsigned argp_flags,
                 struct option_setting *settings, int *count)
{
    CHECK(o != NULL);
    CHECK(argc > 0);
    static char help[OPT_COUNT][KEY_HELP_BYTES], no[OPT_COUNT][40];
    struct argp_option entries[KEY_ENTRIES] = {0};
    fill_entries(o->command, entries, help, no);
    struct argp argp = {.options = entries,
                        .parser = parse_one,
                        .args_doc = usage_of[o->command],
                        .doc = text_of[o->command]};
    struct parse p = {.o = o, .settings = settings, .max = argc};
    argp_err_exit_status = 2;
    if (argp_parse(&argp, argc, argv, argp_flags, NULL, &p) != 0) {
        snprintf(o->error, sizeof o->error, "unknown option, or an option without its value");
        return -1;
    }
    *count = p.count;
    return p.failed ? -1 : 0;
}

/* The value of NAME in "NAME=value" texts, or NULL. */
static const char *environment_find(char *const *environment, const char *name)
{
    size_t len = strlen(name);
    for (; *environment != NULL; environment++)
        if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
            return *environment + len + 1;
    return NULL;
}

static int read_environment(struct options *o, char *const *environment)
{
    for (enum option_id id = 0; id < OPT_COUNT; id++) {
        char name[64], where[400];
        if ((option_row(id)->commands & BIT(o->command)) == 0) continue;
        option_environment_name(id, name, sizeof name);
        const char *text = environment_find(environment, name);
        if (text == NULL) continue;
        snprintf(where, sizeof where, "%s=%.200s", name, text);
        if (options_set(o, id, text, OPTION_FROM_ENVIRONMENT, where) != 0) return -1;
    }
    return 0;
}

static int read_command_line(struct options *o, const struct option_setting *settings, int count)
{
    for (int i = 0; i < count; i++) {
        char where[400];
        const struct option_row *row = option_row(settings[i].id);
        if (row->arg == NULL) snprintf(where, sizeof where, "--%s", row->name);
        else snprintf(where, sizeof where, "--%s=%.200s", row->name, settings[i].text);
        if (options_set(o, settings[i].id, settings[i].text, OPTION_FROM_COMMAND_LINE, where) != 0)
            return -1;
    }
    return 0;
}

static int read_all(struct options *o, char *const *environment,
                    const struct option_setting *settings, int count)
{
    /* The strongest source names the file, which is the weakest: so it is read last, and
     * options_set() keeps what is stronger. */
    if (read_command_line(o, settings, count) != 0) return -1;
    if (read_environment(o, environment) != 0) return -1;
    const char *path = options_text(o, OPT_CONFIG);
    if (path == NULL) return 0;
    free(o->file);
    o->file = strdup(path);
    if (o->file == NULL) {
        snprintf(o->error, sizeof o->error, "no memory to read the options");
        return -1;
    }
    return options_read_file(o, o->file);
}

int options_read(struct options *o, int argc, char **argv, char *const *environment,
                 unsigned argp_flags)
{
    CHECK(o != NULL);
    CHECK(argc > 0);
    CHECK(environment != NULL);
    struct option_setting *settings = calloc((size_t)argc, sizeof *settings);
    if (settings == NULL) {
        snprintf(o->error, sizeof o->error, "no memory to read the options");
        return -1;
    }
    int count = 0;
    int result = options_argp(o, argc, argv, argp_flags, settings, &count);
    if (result == 0) result = read_all(o, environment, settings, count);
    free(settings);
    return result;
}
