/* core/net/hosts_file.h - the names of /etc/hosts (hosts(5)).
 *
 * A line is an address and names, which are compared in any case and without a last dot; what
 * follows a # is none of it, and a line whose first word is no address, or one with a zone, is
 * passed over, as the C library does. A name may stand on several lines: its addresses are those of
 * all of them, in their order. Read once, before any shard runs; then immutable and shared by all.
 */
#ifndef CORE_NET_HOSTS_FILE_H
#define CORE_NET_HOSTS_FILE_H

#include "core/base/addr.h"
#include "core/base/span.h"

#include <stdint.h>

enum {
    HOSTS_FILE_BYTES_MAX = 64 * 1024 * 1024, /* lists of a million names exist; beyond: not read */
};

struct hosts_file;

/* Of the file's text, which is copied. NULL when memory is short. */
struct hosts_file *hosts_file_new(struct span text);
void hosts_file_free(struct hosts_file *h);

/* Writes up to max of the name's addresses to out, with port 0; returns how many. */
uint32_t hosts_file_find(const struct hosts_file *h, struct span name, struct addr *out,
                         uint32_t max);

#endif
