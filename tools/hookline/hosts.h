/* tools/hookline/hosts.h - how many records each host of an input has, in bounded memory.
 *
 * A host is a name or address, in lower case, with its port, as in a URL. The table is sized at
 * start (its pages are touched only when used); records of hosts beyond its room are counted
 * together. One thread.
 */
#ifndef TOOLS_HOOKLINE_HOSTS_H
#define TOOLS_HOOKLINE_HOSTS_H

#include "core/http/url.h"

#include <stdint.h>

enum {
    HOSTS_MAX = 1 << 20,           /* beyond: hosts_left_out */
    HOSTS_NAMES_BYTES = 128 << 20, /* of all names; beyond: likewise */
};

struct host_count {
    const char *name;  /* lower case, not terminated; an IPv6 address has its brackets */
    uint32_t name_len; /* 0: a free place */
    uint16_t port;
    uint64_t records;
    const char *refused; /* NULL: records may be sent there; else why not, static text */
};

struct hosts;

struct hosts *hosts_new(void); /* NULL when memory is short */
void hosts_free(struct hosts *h);

/* Counts one record; *fresh says whether the host was not known. NULL when there is no room. */
struct host_count *hosts_count(struct hosts *h, const struct url *url, bool *fresh);

uint64_t hosts_known(const struct hosts *h);
uint64_t hosts_left_out(const struct hosts *h); /* records, not hosts */

/* All hosts, the one with most records first, of which *count are valid. Ends the counting. */
const struct host_count *hosts_sorted(struct hosts *h, uint64_t *count);

#endif
