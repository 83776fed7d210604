/* tests/unit/test_options.c - goal: every option is read from each source, the stronger source
 * wins, what is wrong is refused in one line that names it, and what is printed reads back.
 *
 * Method: argv, environment and file texts given directly; argp kept silent and told not to exit.
 */
#include "core/base/check.h"
#include "core/journal/journal.h"
#include "tools/hookline/options.h"

#include <argp.h>
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static char *const no_environment[] = {NULL};

/* argv ends with NULL. */
static int read_argv(struct options *o, char **argv, char *const *environment)
{
    int argc = 0;
    while (argv[argc] != NULL) argc++;
    return options_read(o, argc, argv, environment, ARGP_NO_EXIT | ARGP_SILENT);
}

#define READ(o, environment, ...) \
    read_argv((o), (char *[]){"hookline send", __VA_ARGS__, NULL}, (environment))

static int read_text(struct options *o, const char *text)
{
    return options_read_text(o, "f.conf", text, strlen(text));
}

static bool has(const struct options *o, enum option_id id, uint32_t index, const char *text)
{
    const struct option_value *v = &o->values[id];
    return index < v->items_count && strcmp(v->items[index], text) == 0;
}

Test(options, defaults_are_valid_and_those_of_the_manual)
{
    struct options *o = options_new(COMMAND_SEND);
    cr_assert_eq(options_number(o, OPT_MAX_RECORD), 1 << 20);
    cr_assert_eq(options_number(o, OPT_CONNECTIONS), 4096);
    cr_assert_eq(options_number(o, OPT_HOST_CONNECTIONS), 256);
    cr_assert_eq(options_number(o, OPT_MEMORY), 256 << 20);
    cr_assert_eq(options_number(o, OPT_TIMEOUT), UINT64_C(90000000000));
    cr_assert_eq(options_number(o, OPT_CONNECT_TIMEOUT), UINT64_C(10000000000));
    cr_assert_eq(options_number(o, OPT_DNS_TIMEOUT), UINT64_C(5000000000));
    cr_assert_eq(o->values[OPT_DNS_SERVER].items_count, 0);
    cr_assert_eq(options_number(o, OPT_PROGRESS), PROGRESS_AUTO);
    cr_assert_eq(options_number(o, OPT_STRICT), 0);
    cr_assert_geq(options_number(o, OPT_SHARDS), 1);
    cr_assert_leq(options_number(o, OPT_SHARDS), (uint64_t)sysconf(_SC_NPROCESSORS_CONF));
    cr_assert(has(o, OPT_USER_AGENT, 0, "hookline/" HOOKLINE_VERSION));
    cr_assert_null(options_text(o, OPT_RESULTS));
    cr_assert_null(options_text(o, OPT_LIMITS));
    cr_assert_eq(options_number(o, OPT_RATE), 0);
    cr_assert_eq(options_number(o, OPT_HOST_RATE), 0);
    cr_assert_eq(options_number(o, OPT_DELIVERY), DELIVERY_AT_LEAST_ONCE);
    cr_assert_eq(options_number(o, OPT_RETRIES), 5);
    cr_assert_eq(options_number(o, OPT_RETRY_WINDOW), UINT64_C(1800000000000));
    cr_assert_eq(options_number(o, OPT_UNREACHABLE_WINDOW), UINT64_C(86400000000000));
    cr_assert(has(o, OPT_BACKOFF, 0, "10s,3,15m"));
    cr_assert(has(o, OPT_UNREACHABLE_BACKOFF, 0, "60s,4,6h"));
    cr_assert_eq(options_number(o, OPT_MAX_HINT), UINT64_C(3600000000000));
    cr_assert(has(o, OPT_RETRY_BUDGET, 0, "20,10/s"));
    cr_assert_eq(options_number(o, OPT_HEALTH_WINDOW), UINT64_C(60000000000));
    cr_assert_eq(options_number(o, OPT_HEALTH_RATIO), 50);
    cr_assert_eq(options_number(o, OPT_HEALTH_MIN), 20);
    cr_assert_eq(options_number(o, OPT_COOLDOWN), UINT64_C(60000000000));
    cr_assert_eq(options_number(o, OPT_PROBES), 3);
    cr_assert_eq(options_number(o, OPT_UNHEALTHY_FAILURES), 0);
    cr_assert_null(options_text(o, OPT_STATE));
    cr_assert_eq(options_number(o, OPT_SYNC), JOURNAL_SYNC_GROUP);
    cr_assert_eq(options_number(o, OPT_MAX_WAIT), 0);
    cr_assert_eq(options_number(o, OPT_RUN_TIME), 0);
    cr_assert_eq(options_number(o, OPT_TLS_TIMEOUT), UINT64_C(10000000000));
    cr_assert_eq(options_number(o, OPT_TLS_MIN), 0);
    cr_assert_eq(options_number(o, OPT_INSECURE), 0);
    cr_assert_null(options_text(o, OPT_CA_FILE));
    cr_assert_null(options_text(o, OPT_CLIENT_KEY));
    options_free(o);
}

Test(options, durable_runs_are_read)
{
    struct options *o = options_new(COMMAND_SEND);
    int ok = READ(o, no_environment, "--state=some/folder", "--sync", "always", "--max-wait=10m",
                  "--run-time=1h30m");
    cr_assert_eq(ok, 0, "%s", o->error);
    cr_assert_str_eq(options_text(o, OPT_STATE), "some/folder");
    cr_assert_eq(options_number(o, OPT_SYNC), JOURNAL_SYNC_ALWAYS);
    cr_assert_eq(options_number(o, OPT_MAX_WAIT), UINT64_C(600000000000));
    cr_assert_eq(options_number(o, OPT_RUN_TIME), UINT64_C(5400000000000));
    cr_assert_eq(options_set(o, OPT_SYNC, "none", OPTION_FROM_COMMAND_LINE, "x"), 0);
    cr_assert_eq(options_number(o, OPT_SYNC), JOURNAL_SYNC_NONE);
    cr_assert_neq(options_set(o, OPT_SYNC, "sometimes", OPTION_FROM_COMMAND_LINE, "x"), 0);
    cr_assert_eq(options_set(o, OPT_RUN_TIME, "off", OPTION_FROM_COMMAND_LINE, "x"), 0);
    cr_assert_eq(options_number(o, OPT_RUN_TIME), 0);
    cr_assert_neq(options_set(o, OPT_MAX_WAIT, "0s", OPTION_FROM_COMMAND_LINE, "x"), 0);
    options_free(o);
}

Test(options, tls)
{
    struct options *o = options_new(COMMAND_SEND);
    int ok = READ(o, no_environment, "--tls-min=1.3", "--ca-file", "a.pem", "--ca-path=/b",
                  "--client-cert=c", "--client-key=d", "--insecure", "--tls-timeout=3s");
    cr_assert_eq(ok, 0, "%s", o->error);
    cr_assert_eq(options_number(o, OPT_TLS_MIN), 1);
    cr_assert_eq(options_number(o, OPT_TLS_TIMEOUT), UINT64_C(3000000000));
    cr_assert_eq(options_number(o, OPT_INSECURE), 1);
    cr_assert(has(o, OPT_CA_FILE, 0, "a.pem"));
    cr_assert(has(o, OPT_CA_PATH, 0, "/b"));
    cr_assert(has(o, OPT_CLIENT_CERT, 0, "c"));
    cr_assert(has(o, OPT_CLIENT_KEY, 0, "d"));
    static const char *const bad[] = {"1.1", "1.0", "1.4", "1", "tls1.2", ""};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_assert_neq(options_set(o, OPT_TLS_MIN, bad[i], OPTION_FROM_COMMAND_LINE, "x"), 0, "%s",
                      bad[i]);
    options_free(o);
}

Test(options, rates_modes_and_off)
{
    struct options *o = options_new(COMMAND_SEND);
    int ok = READ(o, no_environment, "--rate=5000/s", "--host-rate", "20/h", "--rate=off",
                  "--delivery=at-most-once", "--unhealthy-failures=3000", "--retries=0");
    cr_assert_eq(ok, 0, "%s", o->error);
    cr_assert_eq(options_number(o, OPT_RATE), 0);
    cr_assert_eq(options_number(o, OPT_HOST_RATE), UINT64_C(180000000000));
    cr_assert_eq(options_number(o, OPT_DELIVERY), DELIVERY_AT_MOST_ONCE);
    cr_assert_eq(options_number(o, OPT_UNHEALTHY_FAILURES), 3000);
    cr_assert_eq(options_number(o, OPT_RETRIES), 0);
    cr_assert_eq(options_set(o, OPT_UNHEALTHY_FAILURES, "off", OPTION_FROM_COMMAND_LINE, "x"), 0);
    cr_assert_eq(options_number(o, OPT_UNHEALTHY_FAILURES), 0);
    options_free(o);
}

Test(options, every_row_is_sound)
{
    for (enum option_id id = 0; id < OPT_COUNT; id++) {
        const struct option_row *row = option_row(id);
        cr_assert_eq(option_find(row->name, strlen(row->name)), id);
        cr_assert_eq(row->arg == NULL, row->kind == OPTION_FLAG, "%s", row->name);
        cr_assert_neq(row->commands, 0, "%s", row->name);
        cr_assert_leq(row->min, row->max, "%s", row->name);
        if (option_repeatable(id)) cr_assert_leq(row->max, OPTION_ITEMS_MAX, "%s", row->name);
        cr_assert_not(row->help[strlen(row->help) - 1] == '.', "%s", row->name);
    }
    cr_assert_eq(option_find("result", 6), OPT_COUNT);
    cr_assert_eq(option_find("resultsx", 8), OPT_COUNT);
}

Test(options, command_line)
{
    struct options *o = options_new(COMMAND_SEND);
    int ok = READ(o, no_environment, "--timeout=30s", "in.ndjson", "--connections", "7", "--strict",
                  "--results=-", "--allow-net=10.0.0.0/8,127.0.0.1", "--allow-net", "::1/128");
    cr_assert_eq(ok, 0, "%s", o->error);
    cr_assert_str_eq(o->input, "in.ndjson");
    cr_assert_eq(options_number(o, OPT_TIMEOUT), UINT64_C(30000000000));
    cr_assert_eq(options_number(o, OPT_CONNECTIONS), 7);
    cr_assert_eq(options_number(o, OPT_STRICT), 1);
    cr_assert(has(o, OPT_RESULTS, 0, "-"));
    cr_assert_eq(o->values[OPT_ALLOW_NET].items_count, 3);
    cr_assert(has(o, OPT_ALLOW_NET, 1, "127.0.0.1"));
    cr_assert(has(o, OPT_ALLOW_NET, 2, "::1/128"));
    cr_assert_eq(o->values[OPT_ALLOW_NET].source, OPTION_FROM_COMMAND_LINE);
    cr_assert_eq(o->values[OPT_MEMORY].source, OPTION_FROM_DEFAULT);
    options_free(o);
}

Test(options, the_last_of_the_command_line_wins_and_no_undoes)
{
    struct options *o = options_new(COMMAND_SEND);
    int ok =
        READ(o, no_environment, "--timeout=1s", "--timeout=2s", "--strict", "--no-strict", "-");
    cr_assert_eq(ok, 0, "%s", o->error);
    cr_assert_eq(options_number(o, OPT_TIMEOUT), UINT64_C(2000000000));
    cr_assert_eq(options_number(o, OPT_STRICT), 0);
    cr_assert_str_eq(o->input, "-");
    options_free(o);
}

Test(options, two_inputs_are_refused)
{
    struct options *o = options_new(COMMAND_SEND);
    cr_assert_eq(READ(o, no_environment, "a", "b"), -1);
    cr_assert(strstr(o->error, "\"b\"") != NULL, "%s", o->error);
    options_free(o);
}

Test(options, what_is_not_offered_is_refused)
{
    static char *const names[] = {"--insecure=maybe", "--x"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct options *o = options_new(COMMAND_SEND);
        cr_assert_eq(READ(o, no_environment, names[i]), -1, "%s", names[i]);
        options_free(o);
    }
    struct options *o = options_new(COMMAND_CHECK);
    cr_assert_eq(READ(o, no_environment, "--results=x"), -1, "check writes no results");
    options_free(o);
}

static char *write_file(const char *text)
{
    static char path[] = "/tmp/test_options_XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

Test(options, command_line_over_environment_over_file_over_default)
{
    char *path = write_file("timeout = 1s\nconnections = 11\nhost-connections = 12\n"
                            "allow-net = 10.0.0.0/8\ndeny-net = 10.1.0.0/16\n");
    char config[80];
    snprintf(config, sizeof config, "HOOKLINE_CONFIG=%s", path);
    char *const environment[] = {"HOOKLINE_TIMEOUT=2s",
                                 "HOOKLINE_CONNECTIONS=21",
                                 "HOOKLINE_ALLOW_NET=127.0.0.0/8 ::1",
                                 "HOOKLINE_STRICT=yes",
                                 config,
                                 NULL};
    struct options *o = options_new(COMMAND_SEND);
    int ok = READ(o, environment, "--timeout=3s");
    unlink(path);
    cr_assert_eq(ok, 0, "%s", o->error);
    cr_assert_eq(options_number(o, OPT_TIMEOUT), UINT64_C(3000000000));
    cr_assert_eq(options_number(o, OPT_CONNECTIONS), 21);
    cr_assert_eq(options_number(o, OPT_HOST_CONNECTIONS), 12);
    cr_assert_eq(options_number(o, OPT_STRICT), 1);
    cr_assert_eq(o->values[OPT_ALLOW_NET].items_count, 2, "a stronger source replaces a weaker");
    cr_assert(has(o, OPT_ALLOW_NET, 0, "127.0.0.0/8"));
    cr_assert(has(o, OPT_DENY_NET, 0, "10.1.0.0/16"));
    cr_assert_eq(o->values[OPT_DENY_NET].source, OPTION_FROM_FILE);
    cr_assert_eq(o->values[OPT_DENY_NET].line, 5);
    cr_assert_eq(o->values[OPT_CONNECTIONS].source, OPTION_FROM_ENVIRONMENT);
    options_free(o);
}

Test(options, the_order_of_reading_does_not_matter)
{
    static const enum option_source weak = OPTION_FROM_FILE, strong = OPTION_FROM_ENVIRONMENT;
    for (int strong_first = 0; strong_first < 2; strong_first++) {
        struct options *o = options_new(COMMAND_SEND);
        enum option_source first = strong_first ? strong : weak;
        enum option_source second = strong_first ? weak : strong;
        cr_assert_eq(options_set(o, OPT_REDACT, first == strong ? "s" : "w", first, "1"), 0);
        cr_assert_eq(options_set(o, OPT_REDACT, second == strong ? "s" : "w", second, "2"), 0);
        cr_assert_eq(o->values[OPT_REDACT].items_count, 1);
        cr_assert(has(o, OPT_REDACT, 0, "s"));
        cr_assert_eq(o->values[OPT_REDACT].source, strong);
        options_free(o);
    }
}

Test(options, a_value_is_checked_even_when_another_wins)
{
    char *const environment[] = {"HOOKLINE_TIMEOUT=soon", NULL};
    struct options *o = options_new(COMMAND_SEND);
    cr_assert_eq(READ(o, environment, "--timeout=3s"), -1);
    cr_assert(strstr(o->error, "HOOKLINE_TIMEOUT=soon: must be a time") == o->error, "%s",
              o->error);
    options_free(o);
}

Test(options, bad_values_name_option_value_and_what_is_accepted)
{
    static const struct {
        char *argument;
        const char *accepted;
    } rows[] = {
        {"--timeout=abc", "a time from 1ms to 1d"},
        {"--timeout=0", "a time from 1ms to 1d"},
        {"--timeout=25h", "a time from 1ms to 1d"},
        {"--connections=0", "a number from 1 to 32768"},
        {"--connections=-1", "a number from 1 to 32768"},
        {"--connections=32769", "a number from 1 to 32768"},
        {"--shards=none", "a number from 1 to 256, or cores"},
        {"--memory=lots", "a size from"},
        {"--max-record=1", "a size from 1K"},
        {"--progress=loud", "auto, bar, plain or none"},
        {"--results=", "a path"},
        {"--user-agent=a\nb", "a text without control characters"},
        {"--ports=80,0", "ports and ranges"},
        {"--allow-net=10.0.0.1/8", "a network without bits beyond its prefix"},
        {"--deny-net=host", "a network"},
        {"--deny-net=,", "a network"},
        {"--source-ip=300.0.0.1", "an IPv4 or IPv6 address"},
        {"--resolve=a:b:c", "HOST:PORT:ADDR"},
        {"--dns-server=ns.example", "ADDR or ADDR:PORT"},
        {"--dns-server=127.0.0.1:0", "ADDR or ADDR:PORT"},
        {"--dns-timeout=0", "a time from 1ms to 1h"},
        {"--redact=a b:c", "a header or field name"},
        {"--rate=0/s", "a rate from 1/d to 10000000/s"},
        {"--rate=5", "a rate from 1/d to 10000000/s"},
        {"--rate=10000001/s", "a rate from 1/d to 10000000/s"},
        {"--host-rate=", "a rate from 1/d to 10000000/s"},
        {"--host-rate=OFF", "or off"},
        {"--limits=", "a path"},
        {"--delivery=once", "at-least-once or at-most-once"},
        {"--retries=101", "a number from 0 to 100"},
        {"--retries=-1", "a number from 0 to 100"},
        {"--retry-window=0", "a time from 1ms to 7d"},
        {"--unreachable-window=8d", "a time from 1ms to 7d"},
        {"--backoff=10s", "BASE,FACTOR,CAP, such as 10s,1.5,15m: FACTOR is missing"},
        {"--backoff=10s,0.5,1m", "FACTOR is a number from 1 to 100"},
        {"--backoff=10s,3,5s", "CAP is less than BASE"},
        {"--unreachable-backoff=0,3,5s", "BASE is a time from 1ms to 1d"},
        {"--max-hint=0", "a time from 1ms to 7d"},
        {"--retry-budget=101,1/s", "PCT is a number from 0 to 100"},
        {"--retry-budget=20,0/s", "FLOOR is from 1/s to 1000000/s"},
        {"--health-window=999ms", "a time from 1s to 1h"},
        {"--health-ratio=0", "a number from 1 to 100"},
        {"--health-ratio=50%", "a number from 1 to 100"},
        {"--health-min=0", "a number from 1 to 1000000"},
        {"--cooldown=0", "a time from 1ms to 1d"},
        {"--probes=0", "a number from 1 to 63"},
        {"--unhealthy-failures=0", "a number from 1 to 1000000, or off"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct options *o = options_new(COMMAND_SEND);
        cr_assert_eq(READ(o, no_environment, rows[i].argument), -1, "%s", rows[i].argument);
        size_t name_len = strcspn(rows[i].argument, "=\n");
        cr_assert_eq(strncmp(o->error, rows[i].argument, name_len), 0, "%s", o->error);
        cr_assert(strstr(o->error, rows[i].accepted) != NULL, "%s", o->error);
        cr_assert_null(strchr(o->error, '\n'), "%s", o->error);
        options_free(o);
    }
}

Test(options, too_many_items_are_refused)
{
    struct options *o = options_new(COMMAND_SEND);
    for (int i = 0; i < 32; i++)
        cr_assert_eq(options_set(o, OPT_REDACT, "x", OPTION_FROM_COMMAND_LINE, "--redact"), 0);
    cr_assert_eq(options_set(o, OPT_REDACT, "x", OPTION_FROM_COMMAND_LINE, "--redact"), -1);
    cr_assert(strstr(o->error, "at most 32") != NULL, "%s", o->error);
    options_free(o);
}

Test(options, a_file_with_comments_quotes_and_line_ends)
{
    struct options *o = options_new(COMMAND_SEND);
    int ok = read_text(o, "# all of it\n\n  \t \r\n"
                          "timeout=30s\n"
                          "  connections\t =  9   # few\r\n"
                          "user-agent = \"a \\\"b\\\" \\\\ #1 \"  # quoted\n"
                          "results = a#b.ndjson\n"
                          "strict = on\n"
                          "redact = one two, three\n"
                          "redact = four # and more\n"
                          "resolve = a.example:80:127.0.0.1,127.0.0.2");
    cr_assert_eq(ok, 0, "%s", o->error);
    cr_assert_eq(options_number(o, OPT_TIMEOUT), UINT64_C(30000000000));
    cr_assert_eq(options_number(o, OPT_CONNECTIONS), 9);
    cr_assert(has(o, OPT_USER_AGENT, 0, "a \"b\" \\ #1 "), "%s", options_text(o, OPT_USER_AGENT));
    cr_assert(has(o, OPT_RESULTS, 0, "a#b.ndjson"));
    cr_assert_eq(options_number(o, OPT_STRICT), 1);
    cr_assert_eq(o->values[OPT_REDACT].items_count, 4);
    cr_assert(has(o, OPT_REDACT, 3, "four"));
    cr_assert(has(o, OPT_RESOLVE, 0, "a.example:80:127.0.0.1,127.0.0.2"));
    cr_assert_eq(o->values[OPT_REDACT].line, 10);
    options_free(o);
}

Test(options, an_error_in_a_file_has_line_and_column)
{
    static const struct {
        const char *text, *start, *what;
    } rows[] = {
        {"timeout = 1s\nretrys = 5\n", "f.conf:2:1: ", "unknown option \"retrys\""},
        {"Timeout = 1s\n", "f.conf:1:1: ", "unknown option"},
        {"  timeout = soon", "f.conf:1:13: ", "timeout = soon: must be a time"},
        {"timeout 1s\n", "f.conf:1:9: ", "expected \"=\""},
        {"strict\n", "f.conf:1:7: ", "expected \"=\""},
        {"timeout =  # none\n", "f.conf:1:12: ", "needs a value"},
        {"= 5\n", "f.conf:1:1: ", "name = value"},
        {"--timeout = 1s\n", "f.conf:1:1: ", "unknown option"},
        {"timeout = 1s\n\ntimeout = 2s\n", "f.conf:3:1: ", "set on line 1"},
        {"user-agent = \"a\n", "f.conf:1:14: ", "quote does not end"},
        {"user-agent = \"a\\n\"\n", "f.conf:1:16: ", "backslash"},
        {"user-agent = \"a\" b\n", "f.conf:1:18: ", "comment"},
        {"config = other\n", "f.conf:1:1: ", "cannot stand in a file"},
        {"print-config = yes\n", "f.conf:1:1: ", "cannot stand in a file"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct options *o = options_new(COMMAND_SEND);
        cr_assert_eq(read_text(o, rows[i].text), -1, "%s", rows[i].text);
        cr_assert(strstr(o->error, rows[i].start) == o->error, "%s", o->error);
        cr_assert(strstr(o->error, rows[i].what) != NULL, "%s", o->error);
        options_free(o);
    }
    struct options *o = options_new(COMMAND_SEND);
    cr_assert_eq(options_read_text(o, "f.conf", "strict = yes\nti\0me", 18), -1);
    cr_assert(strstr(o->error, "f.conf:2:3: a NUL byte") == o->error, "%s", o->error);
    options_free(o);
}

Test(options, a_file_serves_both_commands)
{
    struct options *o = options_new(COMMAND_CHECK);
    cr_assert_eq(read_text(o, "results = x\nmax-record = 2K\n"), 0, "%s", o->error);
    cr_assert_eq(options_number(o, OPT_MAX_RECORD), 2048);
    options_free(o);
}

Test(options, a_file_that_cannot_be_read)
{
    struct options *o = options_new(COMMAND_SEND);
    cr_assert_eq(READ(o, no_environment, "--config=/nonexistent/x"), -1);
    cr_assert(strstr(o->error, "/nonexistent/x") != NULL, "%s", o->error);
    cr_assert_eq(READ(o, no_environment, "--config=/"), -1);
    cr_assert(strstr(o->error, "directory") != NULL, "%s", o->error);
    options_free(o);
}

static char *print(const struct options *o, size_t *bytes)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, bytes);
    options_print(o, out);
    fclose(out);
    return text;
}

Test(options, what_is_printed_reads_back_and_names_its_source)
{
    char *const environment[] = {"HOOKLINE_USER_AGENT=a \"b\" \\ #1 ", NULL};
    struct options *o = options_new(COMMAND_SEND), *again = options_new(COMMAND_SEND);
    int ok = READ(o, environment, "--timeout=1h30m", "--allow-net=10.0.0.0/8", "--allow-net=::1",
                  "--results=a#b", "--strict", "--print-config", "--rate=7/m",
                  "--backoff=1s,1.5,1m", "--delivery=at-most-once", "--unhealthy-failures=9");
    cr_assert_eq(ok, 0, "%s", o->error);
    size_t bytes;
    char *text = print(o, &bytes);
    cr_assert(strstr(text, "environment HOOKLINE_USER_AGENT") != NULL, "%s", text);
    cr_assert(strstr(text, "command line") != NULL, "%s", text);
    cr_assert_eq(options_read_text(again, "printed", text, bytes), 0, "%s", again->error);
    for (enum option_id id = 0; id < OPT_COUNT; id++) {
        if (option_row(id)->group == OPTION_GROUP_GENERAL) continue;
        const struct option_value *a = &o->values[id], *b = &again->values[id];
        cr_assert_eq(a->number, b->number, "%s", option_row(id)->name);
        cr_assert_eq(a->items_count, b->items_count, "%s", option_row(id)->name);
        for (uint32_t i = 0; i < a->items_count && option_row(id)->kind != OPTION_CORES; i++)
            cr_assert_str_eq(a->items[i], b->items[i]);
    }
    free(text);
    options_free(o);
    options_free(again);
}
