/* tools/hookline/options.h - what the user asked for: read, checked, and traced to its source.
 *
 * All options are rows of options_table.h. A value comes from the default, a file (--config), the
 * environment (HOOKLINE_NAME) or the command line; the later in this list wins. Every value is
 * checked where it stands, even when another one wins, so that an error is found when it is made.
 *
 * Repeatable options add up within one source and replace those of a lower one. One value may
 * hold several items, between white space or, but for --resolve, commas.
 *
 * Main thread, start-up only. Texts are owned by struct options until options_free().
 */
#ifndef TOOLS_HOOKLINE_OPTIONS_H
#define TOOLS_HOOKLINE_OPTIONS_H

#include "tools/hookline/options_table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define OPTION_ENUM(NAME, name, kind, def, min, max, group, commands, arg, help) OPT_##NAME,
enum option_id { OPTIONS_TABLE(OPTION_ENUM) OPT_COUNT };
#undef OPTION_ENUM

#define OPTION_GROUP_ENUM(NAME, title) OPTION_GROUP_##NAME,
enum option_group { OPTION_GROUPS(OPTION_GROUP_ENUM) OPTION_GROUP_COUNT };
#undef OPTION_GROUP_ENUM

enum option_kind {
    OPTION_FLAG,      /* yes or no; on the command line --name and --no-name */
    OPTION_COUNT,     /* decimal number */
    OPTION_CORES,     /* the same, or "cores": as many CPUs as this process may use */
    OPTION_COUNT_OFF, /* decimal number, or "off": 0 */
    OPTION_SIZE,      /* 64K, 256M */
    OPTION_DURATION,  /* 90s, 250ms */
    OPTION_RATE,      /* 100/s, 5000/m, or "off" */
    OPTION_BACKOFF,   /* BASE,FACTOR,CAP */
    OPTION_BUDGET,    /* PCT,FLOOR/s */
    OPTION_DURATION_OFF, /* the same, or "off": 0 */
    OPTION_SYNC,      /* group always none */
    OPTION_DELIVERY,  /* at-least-once at-most-once */
    OPTION_TLS_MIN,   /* 1.2 1.3 */
    OPTION_TEXT,      /* anything but the empty text */
    OPTION_HEADER,    /* a header's value */
    OPTION_FILE,      /* a path; "-" for standard input or output */
    OPTION_PROGRESS,  /* auto bar plain none */
    OPTION_PORTS,     /* 80,443,8000-8999 */
    OPTION_NAMES,     /* repeatable: header or field names */
    OPTION_NETS,      /* repeatable: CIDR */
    OPTION_ADDRS,     /* repeatable: IP addresses */
    OPTION_SERVERS,   /* repeatable: ADDR or ADDR:PORT */
    OPTION_RESOLVE,   /* repeatable: HOST:PORT:ADDR[,ADDR] */
};

enum option_source {
    OPTION_FROM_DEFAULT,
    OPTION_FROM_FILE,
    OPTION_FROM_ENVIRONMENT,
    OPTION_FROM_COMMAND_LINE,
};

enum command { COMMAND_SEND, COMMAND_CHECK, COMMAND_TRY, COMMAND_REPORT, COMMAND_COUNT };

enum delivery_mode { DELIVERY_AT_LEAST_ONCE, DELIVERY_AT_MOST_ONCE };

enum progress_mode { PROGRESS_AUTO, PROGRESS_BAR, PROGRESS_PLAIN, PROGRESS_NONE };

struct option_row {
    const char *name;
    const char *standard;   /* default text; NULL: none */
    uint64_t min, max;      /* of the number, or of how many items */
    const char *arg, *help; /* arg is NULL for flags */
    enum option_kind kind;
    enum option_group group;
    unsigned commands; /* BIT(enum command) of each that has it */
};

enum {
    OPTION_ITEMS_MAX = 64,               /* no row's max of items is above */
    OPTION_ERROR_BYTES = 640,            /* longer errors are cut */
    OPTION_FILE_BYTES_MAX = 1024 * 1024, /* of --config; beyond: a usage error */
};

struct option_value {
    enum option_source source;
    uint32_t line; /* OPTION_FROM_FILE: in options.file */
    /* FLAG 0 1, COUNT, COUNT_OFF, CORES, SIZE bytes, DURATION ns, RATE ns between two, PROGRESS,
     * DELIVERY, SYNC, TLS_MIN; others 0 */
    uint64_t number;
    char *items[OPTION_ITEMS_MAX]; /* texts, owned; only the first unless repeatable */
    uint32_t items_count;          /* 0: no value */
};

struct options {
    enum command command;
    const char *input; /* FILE of the command line; NULL: none given; lent by argv */
    char *file;        /* path of --config, owned; NULL: none */
    struct option_value values[OPT_COUNT];
    char error[OPTION_ERROR_BYTES]; /* after a failure: one line without newline */
};

const struct option_row *option_row(enum option_id id);
const char *option_group_title(enum option_group group);
const char *command_name(enum command command);
bool option_repeatable(enum option_id id);
/* Writes the variable's name: HOOKLINE_HOST_CONNECTIONS. */
void option_environment_name(enum option_id id, char *out, size_t size);
/* By its long name; OPT_COUNT when there is none. */
enum option_id option_find(const char *name, size_t len);

/* All start with the defaults. Never NULL: without memory the process ends with status 5. */
struct options *options_new(enum command command);
void options_free(struct options *o);

/* Reads everything: command line, then environment ("NAME=value" texts, NULL at the end) and file,
 * and applies the precedence. argv[0] is the name shown in errors. argp_flags: 0 in the product,
 * where --help and errors in an option's name end the process. 0, or -1 with o->error filled. */
int options_read(struct options *o, int argc, char **argv, char *const *environment,
                 unsigned argp_flags) __attribute__((warn_unused_result));

/* A setting as it stands in argv, which its text points into. */
struct option_setting {
    enum option_id id;
    const char *text;
};

/* The first step of options_read(), and the sole one that needs argp: what argv says, in order.
 * settings holds argc entries. */
int options_argp(struct options *o, int argc, char **argv, unsigned argp_flags,
                 struct option_setting *settings, int *count) __attribute__((warn_unused_result));

/* The other steps. where names the place in errors ("FILE:3:1"). */
int options_set(struct options *o, enum option_id id, const char *text, enum option_source source,
                const char *where) __attribute__((warn_unused_result));
int options_read_text(struct options *o, const char *name, const char *text, size_t bytes)
    __attribute__((warn_unused_result));
int options_read_file(struct options *o, const char *path) __attribute__((warn_unused_result));

/* The value, or the first item; NULL when there is none. Flags and numbers have a number. */
const char *options_text(const struct options *o, enum option_id id);
uint64_t options_number(const struct options *o, enum option_id id);

/* Writes all options of the command in the form that --config reads, with sources as comments. */
void options_print(const struct options *o, FILE *out);

#endif
