/* tools/hookline/main.c - the program: finds the command, reads its options, runs it. */
#include "core/base/check.h"
#include "core/engine/run.h"
#include "tools/hookline/commands.h"
#include "tools/hookline/settings.h"
#include "tools/hookline/version.h"

#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static const char overview[] =
    "hookline sends webhooks: one JSON record on each line in, one HTTP request for each out, and "
    "an account of what became of every one.\n"
    "\n"
    "Commands:\n"
    "  send   deliver every record of a file or of standard input\n"
    "  check  read the records, send nothing, say what would be rejected and why\n"
    "  try    send one record now, and show the request, the answer and how long each step took\n"
    "  report sum up a results file, or the state of a run that goes on or was stopped\n"
    "\v"
    "hookline COMMAND --help explains a command and its options.\n"
    "\n"
    "First steps:\n"
    "  echo '{\"url\": \"http://127.0.0.1:8080/hook\", \"body\": {\"hello\": \"world\"}}' |\n"
    "      hookline send --allow-net 127.0.0.0/8 --results -\n";

static error_t no_options(int key, char *arg, struct argp_state *state)
{
    (void)arg;
    (void)state;
    return key == ARGP_KEY_ARG ? 0 : ARGP_ERR_UNKNOWN;
}

/* --help, --usage, --version, or a complaint about another option; ends the process. */
static int global_option(int argc, char **argv)
{
    static const struct argp argp = {
        .parser = no_options, .args_doc = "COMMAND [OPTION...] [FILE|-]", .doc = overview};
    static char name[] = "hookline";
    argv[0] = name; /* without its folder */
    argp_err_exit_status = EXIT_USAGE;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, NULL);
    fputs("hookline: name the command first: hookline send, check, try or report\n", stderr);
    return EXIT_USAGE;
}

static int usage(void)
{
    fputs("usage: hookline send  [OPTION...] [FILE|-]\n"
          "       hookline check [OPTION...] [FILE|-]\n"
          "       hookline try   [OPTION...] URL|FILE|-\n"
          "       hookline report [--json | --html FILE] RESULTS|STATE\n"
          "       hookline --help | --version | COMMAND --help\n",
          stderr);
    return EXIT_USAGE;
}

static int print_config(const struct options *o, const struct settings *s)
{
    options_print(o, stdout);
    if (o->command == COMMAND_SEND) settings_print_memory(s, stdout);
    if (fflush(stdout) == 0 && ferror(stdout) == 0) return 0;
    fputs("hookline: standard output cannot be written\n", stderr);
    return EXIT_OUTPUT;
}

static int run_command(enum command command, int argc, char **argv)
{
    static char name[32];
    char error[OPTION_ERROR_BYTES];
    struct settings *settings;
    snprintf(name, sizeof name, "hookline %s", command_name(command));
    argv[0] = name; /* argp and getopt begin their lines with it */
    struct options *o = options_new(command);
    int status = EXIT_USAGE;
    if (options_read(o, argc, argv, environ, 0) != 0) {
        fprintf(stderr, "%s: %s\n", name, o->error);
    } else if (command == COMMAND_REPORT) {
        status =
            command_report(o->input, options_number(o, OPT_JSON) != 0, options_text(o, OPT_HTML));
    } else if (settings_new(o, &settings, error) != 0) {
        fprintf(stderr, "%s: %s\n", name, error);
    } else {
        if (options_number(o, OPT_PRINT_CONFIG) != 0) status = print_config(o, settings);
        else if (command == COMMAND_SEND) status = command_send(settings);
        else if (command == COMMAND_TRY) status = command_try(settings, o->input);
        else status = command_check(settings);
        settings_free(settings);
    }
    options_free(o);
    return status;
}

int main(int argc, char **argv)
{
    argp_program_version_hook = version_print;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGXFSZ, &ignore, NULL); /* whoever writes learns it from EFBIG, and says so */
    if (argc < 2) return usage();
    if (argv[1][0] == '-') return global_option(argc, argv);
    for (enum command c = 0; c < COMMAND_COUNT; c++)
        if (strcmp(argv[1], command_name(c)) == 0) return run_command(c, argc - 1, argv + 1);
    fprintf(stderr, "hookline: unknown command \"%.100s\": send, check, try and report are known\n",
            argv[1]);
    return EXIT_USAGE;
}
