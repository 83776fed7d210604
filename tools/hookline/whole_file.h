/* tools/hookline/whole_file.h - a file that is written whole or not at all.
 *
 * What is written goes to a new file beside it, which takes its place at the end; so whoever reads
 * it meanwhile, or after a full disk, sees the old one. What is no regular file (a pipe, a device,
 * "-" for standard output) is written as it is. Main thread.
 */
#ifndef TOOLS_HOOKLINE_WHOLE_FILE_H
#define TOOLS_HOOKLINE_WHOLE_FILE_H

#include "core/base/check.h"

#include <limits.h>
#include <stdio.h>

struct whole_file {
    FILE *out;           /* to be written to; owned */
    char path[PATH_MAX]; /* where links are followed already */
    char temp[PATH_MAX]; /* "": it is written in place */
};

/* 0 or -errno; then there is nothing to close. */
int whole_file_open(struct whole_file *w, const char *path) MUST_USE;
/* 0, or -errno of any write so far: then a regular file is as it was. */
int whole_file_close(struct whole_file *w) MUST_USE;

#endif
