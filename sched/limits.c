/* sched/limits.c - see limits.h: open addressing by name and port, half full at most.
 *
 * The key of a line for all names below a domain begins with the dot that the '*' stands before, as
 * no host does; so one table holds both kinds. Literals are kept in the form that URLs are brought
 * into, and a dot at a name's end is dropped on both sides.
 */
#include "sched/limits.h"

#include "core/base/check.h"
#include "core/base/limits.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LABEL_BYTES_MAX = 63, /* RFC 1035 section 2.3.4 */
    LITERAL_BYTES = INET6_ADDRSTRLEN + 2,
    PLACES_MIN = 8,
};

static const uint64_t interval_min_ns = 100;                          /* 10,000,000/s */
static const uint64_t interval_max_ns = UINT64_C(86400) * 1000000000; /* 1/d */

struct place {
    uint32_t name;     /* where it begins in names */
    uint16_t name_len; /* 0: free */
    uint16_t port;     /* 0: all */
    uint32_t line;
    struct limit limit;
};

struct limits {
    struct place *places; /* owns: mask + 1 */
    char *names;          /* owns: keys, side by side */
    uint64_t mask;
    size_t names_used, names_bytes;
    bool any_domain; /* a line for all names below a domain */
};

/* ---- the table ----------------------------------------------------------------------------- */

static uint64_t hash_of(struct span name, uint16_t port)
{
    uint64_t x = UINT64_C(14695981039346656037) ^ port;
    for (size_t i = 0; i < name.len; i++) x = (x ^ (uint8_t)name.ptr[i]) * UINT64_C(1099511628211);
    return x ^ x >> 32;
}

/* The place of the key, or the free one where it belongs. */
static struct place *place_of(const struct limits *l, struct span name, uint16_t port)
{
    for (uint64_t at = hash_of(name, port);; at++) {
        struct place *p = &l->places[at & l->mask];
        if (p->name_len == 0) return p;
        if (p->port == port && span_eq(span_of(l->names + p->name, p->name_len), name)) return p;
    }
}

/* For lines of a text that may each hold one entry. */
static struct limits *table_new(size_t lines, size_t bytes)
{
    struct limits *l = calloc(1, sizeof *l);
    if (l == NULL) return NULL;
    uint64_t count = PLACES_MIN;
    while (count < 2 * (uint64_t)lines) count *= 2;
    l->mask = count - 1;
    l->names_bytes = bytes + (lines + 1) * LITERAL_BYTES; /* one: of a line with an error */
    l->places = calloc(count, sizeof l->places[0]);
    l->names = malloc(l->names_bytes + 1);
    if (l->places != NULL && l->names != NULL) return l;
    limits_free(l);
    return NULL;
}

void limits_free(struct limits *l)
{
    CHECK(l != NULL);
    free(l->places);
    free(l->names);
    free(l);
}

static bool take_either(const struct limits *l, struct span name, uint16_t port, struct limit *out)
{
    const struct place *p = place_of(l, name, port);
    if (p->name_len == 0) p = place_of(l, name, 0);
    if (p->name_len == 0) return false;
    *out = p->limit;
    return true;
}

struct limit limits_find(const struct limits *l, struct span host, uint16_t port)
{
    CHECK(l != NULL);
    CHECK(host.len > 0);
    CHECK(port > 0);
    struct limit found = {0};
    if (host.ptr[host.len - 1] == '.') host.len--;
    if (host.len == 0 || take_either(l, host, port, &found) || !l->any_domain) return found;
    if (host.ptr[0] == '[') return found;
    for (size_t i = 1; i < host.len; i++)
        if (host.ptr[i] == '.' && take_either(l, span_of(host.ptr + i, host.len - i), port, &found))
            break;
    return found;
}

/* ---- values -------------------------------------------------------------------------------- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* All of text as a number of at most max; false otherwise. */
static bool number_parse(struct span text, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.ptr[i])) return false;
        n = n * 10 + (uint64_t)(text.ptr[i] - '0');
        if (n > max) return false;
    }
    *out = n;
    return text.len > 0;
}

bool rate_parse(struct span text, uint64_t *interval_ns)
{
    CHECK(interval_ns != NULL);
    static const struct {
        char name;
        uint32_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    uint64_t n, per_ns = 0;
    if (text.len < 3 || text.ptr[text.len - 2] != '/') return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (text.ptr[text.len - 1] == units[i].name)
            per_ns = units[i].seconds * UINT64_C(1000000000);
    if (per_ns == 0) return false;
    if (!number_parse(span_of(text.ptr, text.len - 2), per_ns / interval_min_ns, &n)) return false;
    if (n == 0) return false;
    /* Rounded up: never faster than asked. */
    uint64_t interval = per_ns / n + (per_ns % n != 0);
    CHECK(interval >= interval_min_ns);
    CHECK(interval <= interval_max_ns);
    *interval_ns = interval;
    return true;
}

/* ---- the text ------------------------------------------------------------------------------ */

/* One line on its way from left to right. */
struct line {
    const char *start, *at, *end; /* end: after the last byte, without "\n" or "\r\n" */
    struct limits *limits;
    struct limits_error *why;
    uint32_t number; /* from 1 */
};

__attribute__((format(printf, 3, 4))) static bool refuse(struct line *n, const char *at,
                                                         const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(n->why->text, sizeof n->why->text, format, args);
    va_end(args);
    for (char *c = n->why->text; *c != '\0'; c++)
        if (*c < ' ' || *c > '~') *c = '?'; /* of what is quoted */
    n->why->line = n->number;
    n->why->column = (uint32_t)(at - n->start) + 1;
    return false;
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* To what follows; false at the end, or where a comment begins. */
static bool skip_blanks(struct line *n)
{
    while (n->at < n->end && is_blank(*n->at)) n->at++;
    return n->at < n->end && *n->at != '#';
}

static struct span word_take(struct line *n)
{
    const char *first = n->at;
    while (n->at < n->end && !is_blank(*n->at)) n->at++;
    return span_of(first, (size_t)(n->at - first));
}

static bool name_byte(char c)
{
    char lower = (char)(c | 0x20);
    return is_digit(c) || (lower >= 'a' && lower <= 'z') || c == '-' || c == '_';
}

/* As URLs read it: the last label is a number, decimal or hexadecimal. */
static bool ends_in_number(struct span name)
{
    size_t at = name.len;
    while (at > 0 && name.ptr[at - 1] != '.') at--;
    const char *label = name.ptr + at;
    size_t len = name.len - at, digits = 0;
    while (digits < len && is_digit(label[digits])) digits++;
    if (len > 0 && digits == len) return true;
    if (digits != 1 || label[0] != '0' || len < 2 || (label[1] | 0x20) != 'x') return false;
    for (size_t i = 2; i < len; i++) {
        char lower = (char)(label[i] | 0x20);
        if (!is_digit(label[i]) && (lower < 'a' || lower > 'f')) return false;
    }
    return true;
}

/* Whether the labels are sound; name has no dot at its end. */
static bool name_ok(struct line *n, struct span name)
{
    const char *label = name.ptr, *end = name.ptr + name.len;
    if (name.len == 0) return refuse(n, name.ptr, "a host's name must stand here");
    if (name.len > LIMIT_HOST_BYTES)
        return refuse(n, name.ptr, "a host's name has at most %d bytes", LIMIT_HOST_BYTES);
    for (const char *p = name.ptr; p <= end; p++) {
        if (p == end || *p == '.') {
            if (p == label) return refuse(n, p, "an empty label in a host's name");
            if (p - label > LABEL_BYTES_MAX)
                return refuse(n, label, "a label of a host's name has at most %d bytes",
                              LABEL_BYTES_MAX);
            label = p + 1;
        } else if (*p == '*') {
            return refuse(n, p, "\"*\" can only stand first, as in *.example.com");
        } else if ((unsigned char)*p >= 0x80) {
            return refuse(n, p, "a name outside ASCII is written as in URLs, with xn--");
        } else if (!name_byte(*p)) {
            return refuse(n, p, "a byte that no host's name has");
        }
    }
    return true;
}

/* Keeps the key after all others; it counts only when the entry does. */
static struct span key_keep(struct limits *l, struct span name)
{
    CHECK(l->names_bytes - l->names_used >= name.len);
    char *key = l->names + l->names_used;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        key[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    return span_of(key, name.len);
}

static bool name_take(struct line *n, struct span text, struct span *key)
{
    bool domain = text.len > 0 && text.ptr[0] == '*';
    if (domain && (text.len < 2 || text.ptr[1] != '.'))
        return refuse(n, text.ptr,
                      "\"*\" stands for all names below a domain, as in "
                      "*.example.com; --host-rate is for every host");
    struct span name = domain ? span_of(text.ptr + 2, text.len - 2) : text;
    if (name.len > 1 && name.ptr[name.len - 1] == '.') name.len--;
    if (!name_ok(n, name)) return false;
    if (ends_in_number(name)) {
        char ip[INET_ADDRSTRLEN];
        struct in_addr v4;
        bool fits = name.len < sizeof ip && !domain;
        if (fits) memcpy(ip, name.ptr, name.len);
        if (fits) ip[name.len] = '\0';
        if (!fits || inet_pton(AF_INET, ip, &v4) != 1)
            return refuse(n, name.ptr, "an IPv4 address is four numbers, such as 192.0.2.1");
    }
    n->limits->any_domain |= domain;
    *key = key_keep(n->limits, domain ? span_of(name.ptr - 1, name.len + 1) : name);
    return true;
}

static bool literal_take(struct line *n, struct span text, struct span *key)
{
    char ip[INET6_ADDRSTRLEN], out[LITERAL_BYTES];
    struct in6_addr v6;
    size_t len = text.len - 2;
    if (len >= sizeof ip) return refuse(n, text.ptr, "no IPv6 address");
    memcpy(ip, text.ptr + 1, len);
    ip[len] = '\0';
    if (strlen(ip) != len || inet_pton(AF_INET6, ip, &v6) != 1)
        return refuse(n, text.ptr, "no IPv6 address");
    const char *canonical = inet_ntop(AF_INET6, &v6, ip, sizeof ip);
    CHECK(canonical != NULL);
    int wrote = snprintf(out, sizeof out, "[%s]", ip);
    CHECK(wrote > 0 && wrote < (int)sizeof out);
    *key = key_keep(n->limits, span_of(out, (size_t)wrote));
    return true;
}

/* HOST, HOST:PORT, *.DOMAIN, [IPV6] and so on. */
static bool host_take(struct line *n, struct span *key, uint16_t *port)
{
    struct span word = word_take(n);
    const char *end = word.ptr + word.len, *p = word.ptr;
    bool literal = *p == '[', taken;
    if (memmem(p, word.len, "://", 3) != NULL)
        return refuse(n, p, "a host stands here without its scheme");
    while (p < end && *p != (literal ? ']' : ':')) p++;
    if (literal && p == end) return refuse(n, word.ptr, "\"]\" is missing after the IPv6 address");
    p += literal;
    if (!literal && p < end && memchr(p + 1, ':', (size_t)(end - p - 1)) != NULL)
        return refuse(n, word.ptr, "an IPv6 address stands in brackets");
    struct span host = span_of(word.ptr, (size_t)(p - word.ptr));
    taken = literal ? literal_take(n, host, key) : name_take(n, host, key);
    if (!taken) return false;
    uint64_t number = 0;
    if (p < end && *p != ':') return refuse(n, p, "a port or nothing can follow the address");
    if (p < end &&
        (!number_parse(span_of(p + 1, (size_t)(end - p - 1)), UINT16_MAX, &number) || number == 0))
        return refuse(n, p + 1, "a port is a number from 1 to 65535");
    *port = (uint16_t)number;
    return true;
}

/* NAME=VALUE, which sets one of the limit's numbers. */
static bool setting_take(struct line *n, struct limit *limit)
{
    struct span word = word_take(n);
    const char *equals = memchr(word.ptr, '=', word.len);
    size_t name_len = equals == NULL ? word.len : (size_t)(equals - word.ptr);
    struct span name = span_of(word.ptr, name_len);
    bool rate = span_eq(name, SPAN_LIT("rate"));
    if (!rate && !span_eq(name, SPAN_LIT("connections")))
        return refuse(n, word.ptr, "\"%.*s\" is no limit: rate=R or connections=N",
                      name_len > 40 ? 40 : (int)name_len, name.ptr);
    if (equals == NULL)
        return refuse(n, word.ptr + word.len, "\"=\" and a value must follow, without spaces");
    if (rate ? limit->interval_ns != 0 : limit->connections != 0)
        return refuse(n, word.ptr, "%s stands twice on this line", rate ? "rate" : "connections");
    struct span value = span_of(equals + 1, word.len - name_len - 1);
    uint64_t number;
    if (rate) {
        if (!rate_parse(value, &limit->interval_ns))
            return refuse(n, value.ptr,
                          "a rate is from 1/d to 10000000/s, such as 100/s, 5000/m or 20/h");
    } else {
        if (!number_parse(value, LIMITS_CONNECTIONS_MAX, &number) || number == 0)
            return refuse(n, value.ptr, "connections are from 1 to %d", LIMITS_CONNECTIONS_MAX);
        limit->connections = (uint32_t)number;
    }
    return true;
}

static bool line_take(struct line *n)
{
    struct limits *l = n->limits;
    struct limit limit = {0};
    struct span key = {0};
    uint16_t port = 0;
    if (!skip_blanks(n)) return true;
    const char *first = n->at;
    if (!host_take(n, &key, &port)) return false;
    struct place *p = place_of(l, key, port);
    if (p->name_len != 0)
        return refuse(n, first, "the same host stands on line %u already", p->line);
    while (skip_blanks(n))
        if (!setting_take(n, &limit)) return false;
    if (limit.interval_ns == 0 && limit.connections == 0)
        return refuse(n, n->at, "a limit must follow the host: rate=R or connections=N");
    *p = (struct place){.name = (uint32_t)(key.ptr - l->names),
                        .name_len = (uint16_t)key.len,
                        .port = port,
                        .line = n->number,
                        .limit = limit};
    l->names_used += key.len;
    return true;
}

/* Lines that can hold an entry have a '='; the others are blank, comments or errors. */
static size_t lines_count(struct span text)
{
    const char *at = text.ptr, *end = text.ptr + text.len, *found;
    size_t count = 0;
    while (at < end && (found = memchr(at, '=', (size_t)(end - at))) != NULL) {
        count++;
        at = memchr(found, '\n', (size_t)(end - found));
        if (at == NULL) break;
    }
    return count;
}

struct limits *limits_parse(struct span text, struct limits_error *why)
{
    CHECK(why != NULL);
    CHECK(text.ptr != NULL || text.len == 0);
    *why = (struct limits_error){.text = "no memory for so many limits"};
    if (text.len > LIMITS_TEXT_BYTES_MAX) {
        *why = (struct limits_error){1, 1, "longer than limits can be (64 MiB)"};
        return NULL;
    }
    struct limits *l = table_new(lines_count(text), text.len);
    if (l == NULL) return NULL;
    const char *at = text.ptr, *end = text.ptr + text.len;
    for (uint32_t number = 1; at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline == NULL ? end : newline;
        struct line n = {at, at, stop, l, why, number};
        if (stop > at && stop[-1] == '\r') n.end--;
        const char *nul = memchr(at, '\0', (size_t)(stop - at));
        if (nul != NULL ? !refuse(&n, nul, "a NUL byte") : !line_take(&n)) {
            limits_free(l);
            return NULL;
        }
        at = newline == NULL ? end : newline + 1;
    }
    return l;
}
