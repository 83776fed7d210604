/* tools/hookline/hosts.c - see hosts.h: open addressing, half full at most, names side by side. */
#include "tools/hookline/hosts.h"

#include "core/base/check.h"
#include "core/base/limits.h"

#include <stdlib.h>
#include <string.h>

enum { HOSTS_PLACES = 2 * HOSTS_MAX };

struct hosts {
    struct host_count *places; /* owns: HOSTS_PLACES */
    char *names;               /* owns: HOSTS_NAMES_BYTES */
    size_t names_used;
    uint64_t known, left_out;
};

struct hosts *hosts_new(void)
{
    struct hosts *h = calloc(1, sizeof *h);
    if (h == NULL) return NULL;
    h->places = calloc(HOSTS_PLACES, sizeof h->places[0]);
    h->names = malloc(HOSTS_NAMES_BYTES);
    if (h->places == NULL || h->names == NULL) {
        hosts_free(h);
        return NULL;
    }
    return h;
}

void hosts_free(struct hosts *h)
{
    CHECK(h != NULL);
    free(h->places);
    free(h->names);
    free(h);
}

/* FNV-1a: names are short, and the parser costs far more. */
static uint64_t hash(const char *name, uint32_t len, uint16_t port)
{
    uint64_t x = UINT64_C(14695981039346656037) ^ port;
    for (uint32_t i = 0; i < len; i++) x = (x ^ (uint8_t)name[i]) * UINT64_C(1099511628211);
    return x ^ x >> 32;
}

static uint32_t lower_name(const struct url *url, char out[LIMIT_HOST_BYTES + 2])
{
    CHECK(url->host.len > 0);
    CHECK(url->host.len <= LIMIT_HOST_BYTES);
    uint32_t len = 0;
    if (url->host_kind == URL_HOST_V6) out[len++] = '[';
    for (size_t i = 0; i < url->host.len; i++) {
        char c = url->host.ptr[i];
        out[len++] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    if (url->host_kind == URL_HOST_V6) out[len++] = ']';
    return len;
}

/* The host's place, or the free one where it belongs. */
static struct host_count *find(struct hosts *h, const char *name, uint32_t len, uint16_t port)
{
    uint64_t at = hash(name, len, port) % HOSTS_PLACES;
    for (;; at = (at + 1) % HOSTS_PLACES) {
        struct host_count *p = &h->places[at];
        if (p->name_len == 0) return p;
        if (p->name_len == len && p->port == port && memcmp(p->name, name, len) == 0) return p;
    }
}

struct host_count *hosts_count(struct hosts *h, const struct url *url, bool *fresh)
{
    CHECK(h != NULL);
    CHECK(url != NULL);
    char name[LIMIT_HOST_BYTES + 2];
    uint32_t len = lower_name(url, name);
    struct host_count *p = find(h, name, len, url->port);
    *fresh = p->name_len == 0;
    if (*fresh) {
        if (h->known == HOSTS_MAX || HOSTS_NAMES_BYTES - h->names_used < len) {
            h->left_out++;
            return NULL;
        }
        memcpy(h->names + h->names_used, name, len);
        *p = (struct host_count){
            .name = h->names + h->names_used, .name_len = len, .port = url->port};
        h->names_used += len;
        h->known++;
    }
    p->records++;
    return p;
}

uint64_t hosts_known(const struct hosts *h)
{
    CHECK(h != NULL);
    return h->known;
}

uint64_t hosts_left_out(const struct hosts *h)
{
    CHECK(h != NULL);
    return h->left_out;
}

/* Most records first; then by name and port, so that the same input prints the same. */
static int compare(const void *left, const void *right)
{
    const struct host_count *a = left, *b = right;
    if (a->records != b->records) return a->records > b->records ? -1 : 1;
    uint32_t len = a->name_len < b->name_len ? a->name_len : b->name_len;
    int order = memcmp(a->name, b->name, len);
    if (order != 0) return order;
    if (a->name_len != b->name_len) return a->name_len < b->name_len ? -1 : 1;
    return (int)a->port - (int)b->port;
}

const struct host_count *hosts_sorted(struct hosts *h, uint64_t *count)
{
    CHECK(h != NULL);
    CHECK(count != NULL);
    uint64_t used = 0;
    for (uint64_t i = 0; i < HOSTS_PLACES && used < h->known; i++)
        if (h->places[i].name_len != 0) h->places[used++] = h->places[i];
    CHECK(used == h->known);
    qsort(h->places, used, sizeof h->places[0], compare);
    *count = used;
    return h->places;
}
