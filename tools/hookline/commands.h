/* tools/hookline/commands.h - the subcommands. Each returns the exit status. Main thread. */
#ifndef TOOLS_HOOKLINE_COMMANDS_H
#define TOOLS_HOOKLINE_COMMANDS_H

#include <stdbool.h>

struct settings;

/* Delivers every record and sums up; see send.c. */
int command_send(const struct settings *settings);
/* Sums up a results file or a state folder; html: the file for a page, or NULL; see report.c. */
int command_report(const char *what, bool json, const char *html);
/* Reads every record and sends nothing; see check.c. */
int command_check(const struct settings *settings);
/* Sends one record and shows all of it: `what` is a URL, a file, "-", or NULL; see try.c. */
int command_try(const struct settings *settings, const char *what);

#endif
