#include "core/net/hosts_file.h"

#include "core/base/check.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

struct host_line {
    uint32_t at, len; /* of the name in the text */
    uint32_t order;   /* among all names of the file */
    uint32_t addr;    /* index */
};

struct hosts_file {
    char *text; /* owned: lower case */
    struct host_line *names;
    struct addr *addrs;
    uint32_t names_count, addrs_count;
};

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* The next word of a line, which ends before a comment; empty: there is none. */
static struct span word_next(const char **at, const char *end)
{
    const char *p = *at;
    while (p < end && is_space(*p)) p++;
    const char *from = p;
    while (p < end && !is_space(*p)) p++;
    *at = p;
    return span_of(from, (size_t)(p - from));
}

static struct span without_last_dot(struct span name)
{
    if (name.len > 1 && name.ptr[name.len - 1] == '.') name.len--;
    return name;
}

static bool addr_read(struct span word, struct addr *out)
{
    char text[INET6_ADDRSTRLEN];
    if (word.len == 0 || word.len >= sizeof text) return false;
    memcpy(text, word.ptr, word.len);
    text[word.len] = 0;
    memset(out, 0, sizeof *out);
    out->v4.sin_family = AF_INET;
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) return true;
    memset(out, 0, sizeof *out);
    out->v6.sin6_family = AF_INET6;
    return inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1;
}

/* Reads one line; without room for what it says (names NULL) only counts it. */
static void line_read(struct hosts_file *h, const char *at, const char *end)
{
    struct addr addr;
    const char *hash = memchr(at, '#', (size_t)(end - at));
    if (hash != NULL) end = hash;
    if (!addr_read(word_next(&at, end), &addr)) return;
    if (h->addrs != NULL) h->addrs[h->addrs_count] = addr;
    for (;;) { /* ends with the line */
        struct span name = without_last_dot(word_next(&at, end));
        if (name.len == 0) break;
        if (h->names != NULL)
            h->names[h->names_count] = (struct host_line){.at = (uint32_t)(name.ptr - h->text),
                                                          .len = (uint32_t)name.len,
                                                          .order = h->names_count,
                                                          .addr = h->addrs_count};
        h->names_count++;
    }
    h->addrs_count++;
}

static void lines_read(struct hosts_file *h, size_t len)
{
    const char *at = h->text, *end = h->text + len;
    h->names_count = h->addrs_count = 0;
    while (at < end) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        if (eol == NULL) eol = end;
        line_read(h, at, eol);
        at = eol < end ? eol + 1 : end;
    }
}

static int compare(struct span a, struct span b)
{
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_name(const void *left, const void *right, void *text)
{
    const struct host_line *a = left, *b = right;
    const char *from = text;
    int order = compare(span_of(from + a->at, a->len), span_of(from + b->at, b->len));
    return order != 0 ? order : (a->order > b->order) - (a->order < b->order);
}

static void to_lower(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] >= 'A' && text[i] <= 'Z') text[i] = (char)(text[i] | 0x20);
}

struct hosts_file *hosts_file_new(struct span text)
{
    CHECK(text.len <= HOSTS_FILE_BYTES_MAX);
    struct hosts_file *h = calloc(1, sizeof *h);
    if (h == NULL) return NULL;
    h->text = malloc(text.len + 1);
    if (h->text != NULL) {
        if (text.len > 0) memcpy(h->text, text.ptr, text.len);
        to_lower(h->text, text.len);
        lines_read(h, text.len); /* counts */
        h->names = calloc(h->names_count + 1, sizeof *h->names);
        h->addrs = calloc(h->addrs_count + 1, sizeof *h->addrs);
    }
    if (h->text == NULL || h->names == NULL || h->addrs == NULL) {
        hosts_file_free(h);
        return NULL;
    }
    lines_read(h, text.len);
    qsort_r(h->names, h->names_count, sizeof *h->names, by_name, h->text);
    return h;
}

void hosts_file_free(struct hosts_file *h)
{
    if (h == NULL) return;
    free(h->text);
    free(h->names);
    free(h->addrs);
    free(h);
}

uint32_t hosts_file_find(const struct hosts_file *h, struct span name, struct addr *out,
                         uint32_t max)
{
    char lower[256];
    name = without_last_dot(name);
    if (name.len == 0 || name.len >= sizeof lower) return 0;
    memcpy(lower, name.ptr, name.len);
    to_lower(lower, name.len);
    name.ptr = lower;
    uint32_t low = 0, high = h->names_count, count = 0;
    while (low < high) { /* the first that is not before it */
        uint32_t middle = low + (high - low) / 2;
        const struct host_line *at = &h->names[middle];
        if (compare(span_of(h->text + at->at, at->len), name) < 0) low = middle + 1;
        else high = middle;
    }
    for (; low < h->names_count && count < max; low++) {
        const struct host_line *at = &h->names[low];
        if (compare(span_of(h->text + at->at, at->len), name) != 0) break;
        out[count++] = h->addrs[at->addr];
    }
    return count;
}
