/* tools/hookline/version.h - what --version says. */
#ifndef TOOLS_HOOKLINE_VERSION_H
#define TOOLS_HOOKLINE_VERSION_H

#include <stdio.h>

struct argp_state;

/* argp's hook: this program, the libraries it runs on, its licence. */
void version_print(FILE *out, struct argp_state *state);

#endif
