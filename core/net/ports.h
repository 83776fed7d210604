/* core/net/ports.h - a set of TCP ports, as --ports gives it. Pure. */
#ifndef CORE_NET_PORTS_H
#define CORE_NET_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PORTS_BYTES = 65536 / 8 }; /* one bit for each port, the lowest bit of a byte first */

/* Reads "80,443,8000-8999" into map. NULL on success; else a static clause that says what is
 * wrong, *at the offset where, and map is untouched. Port 0 is none. */
const char *ports_parse(const char *text, uint8_t map[PORTS_BYTES], size_t *at)
    __attribute__((warn_unused_result));

static inline bool ports_has(const uint8_t map[PORTS_BYTES], uint16_t port)
{
    return (map[port / 8] >> (port % 8) & 1) != 0;
}

#endif
