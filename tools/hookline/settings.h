/* tools/hookline/settings.h - from the user's options to what the engine is told.
 *
 * Owns everything that struct config points to but for the texts, which stay with struct options:
 * free the settings first, the options last. Main thread, start-up only.
 */
#ifndef TOOLS_HOOKLINE_SETTINGS_H
#define TOOLS_HOOKLINE_SETTINGS_H

#include "core/engine/config.h"
#include "core/net/ports.h"
#include "tools/hookline/options.h"
#include "tools/hookline/trust.h"

struct settings {
    struct config config;
    struct policy policy;
    struct resolver *resolver;
    struct limits *limits; /* NULL: none */
    struct signer *signer; /* NULL: nothing is signed */
    uint8_t ports[PORTS_BYTES];
    struct trust trust; /* the texts that config.tls names */
    enum progress_mode progress;
    uint64_t run_time_ns; /* --run-time; 0: off */
};

/* 0, or -1 with one line in error. NULL in *out on failure. */
int settings_new(const struct options *o, struct settings **out, char error[OPTION_ERROR_BYTES])
    __attribute__((warn_unused_result));
void settings_free(struct settings *s);

/* Writes, as comments, the memory that the maxima add up to. */
void settings_print_memory(const struct settings *s, FILE *out);

#endif
