/* core/net/ports.c - see ports.h. Two passes, so that a broken list changes nothing. */
#include "core/net/ports.h"

#include "core/base/check.h"

#include <string.h>

/* One decimal port at *p, moved past it. */
static const char *port_take(const char **p, uint32_t *out)
{
    uint32_t value = 0;
    const char *start = *p;
    for (; **p >= '0' && **p <= '9'; (*p)++)
        if (value <= 65535) value = value * 10 + (uint32_t)(**p - '0');
    if (*p == start) return "a port number must stand here";
    if (value >= 1 && value <= 65535) {
        *out = value;
        return NULL;
    }
    *p = start;
    return "a port is 1 to 65535";
}

/* Walks over the list; sets bits unless map is NULL. */
static const char *list_take(const char *text, uint8_t *map, size_t *at)
{
    const char *p = text, *wrong = NULL;
    for (;; p++) { /* ends with the text */
        uint32_t first = 0, last = 0;
        const char *item = p;
        wrong = port_take(&p, &first);
        last = first;
        if (wrong == NULL && *p == '-') {
            p++;
            wrong = port_take(&p, &last);
        }
        if (wrong == NULL && last < first) {
            wrong = "a range runs from the lower port to the higher";
            p = item;
        }
        if (wrong == NULL && *p != ',' && *p != 0) wrong = "',' or '-' must stand here";
        if (wrong != NULL) break;
        for (uint32_t port = first; map != NULL && port <= last; port++)
            map[port / 8] = (uint8_t)(map[port / 8] | BIT(port % 8));
        if (*p == 0) return NULL;
    }
    *at = (size_t)(p - text);
    return wrong;
}

const char *ports_parse(const char *text, uint8_t map[PORTS_BYTES], size_t *at)
{
    CHECK(text != NULL);
    CHECK(map != NULL);
    const char *wrong = list_take(text, NULL, at);
    if (wrong != NULL) return wrong;
    memset(map, 0, PORTS_BYTES);
    return list_take(text, map, at);
}
