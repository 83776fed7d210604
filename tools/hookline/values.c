/* tools/hookline/values.c - see values.h. */
#include "tools/hookline/values.h"

#include "core/base/check.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct unit {
    const char *name;
    uint64_t worth;
};

/* From the largest: value_duration_text() goes down this list. */
static const struct unit duration_units[] = {
    {"d", UINT64_C(86400000000000)},
    {"h", UINT64_C(3600000000000)},
    {"m", UINT64_C(60000000000)},
    {"s", UINT64_C(1000000000)},
    {"ms", UINT64_C(1000000)},
    {"us", UINT64_C(1000)},
    {"ns", UINT64_C(1)},
};
enum { DURATION_UNITS = sizeof duration_units / sizeof duration_units[0] };

static const char size_letters[] = "KMGT";

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Reads digits from *text and moves it on; false when there are none or they overflow. */
static bool digits(const char **text, uint64_t *out)
{
    const char *at = *text;
    uint64_t n = 0;
    if (!is_digit(*at)) return false;
    for (; is_digit(*at); at++) {
        if (__builtin_mul_overflow(n, UINT64_C(10), &n)) return false;
        if (__builtin_add_overflow(n, (uint64_t)(*at - '0'), &n)) return false;
    }
    *text = at;
    *out = n;
    return true;
}

static const struct unit *duration_unit(const char *text, size_t len)
{
    for (size_t i = 0; i < DURATION_UNITS; i++) {
        const struct unit *u = &duration_units[i];
        if (strlen(u->name) == len && memcmp(u->name, text, len) == 0) return u;
    }
    return NULL;
}

bool value_duration(const char *text, uint64_t *ns)
{
    CHECK(text != NULL);
    CHECK(ns != NULL);
    if (strcmp(text, "0") == 0) {
        *ns = 0;
        return true;
    }
    uint64_t sum = 0;
    do {
        uint64_t n;
        if (!digits(&text, &n)) return false;
        size_t len = 0;
        while (text[len] >= 'a' && text[len] <= 'z') len++;
        const struct unit *u = duration_unit(text, len);
        if (u == NULL) return false;
        if (__builtin_mul_overflow(n, u->worth, &n)) return false;
        if (__builtin_add_overflow(sum, n, &sum)) return false;
        text += len;
    } while (*text != '\0');
    *ns = sum;
    return true;
}

bool value_size(const char *text, uint64_t *bytes)
{
    CHECK(text != NULL);
    CHECK(bytes != NULL);
    uint64_t n;
    if (!digits(&text, &n)) return false;
    if (*text != '\0') {
        char upper = (char)(*text & ~0x20);
        const char *letter = strchr(size_letters, upper);
        if (letter == NULL || *letter == '\0') return false;
        for (long power = letter - size_letters; power >= 0; power--)
            if (__builtin_mul_overflow(n, UINT64_C(1024), &n)) return false;
        text++;
        if (strcmp(text, "iB") == 0) text += 2;
    }
    if (*text != '\0') return false;
    *bytes = n;
    return true;
}

bool value_count(const char *text, uint64_t *count)
{
    CHECK(text != NULL);
    CHECK(count != NULL);
    uint64_t n;
    if (!digits(&text, &n) || *text != '\0') return false;
    *count = n;
    return true;
}

bool value_bool(const char *text, bool *out)
{
    CHECK(text != NULL);
    CHECK(out != NULL);
    static const char *const words[][2] = {
        {"no", "yes"}, {"false", "true"}, {"off", "on"}, {"0", "1"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        for (int truth = 0; truth < 2; truth++) {
            if (strcasecmp(text, words[i][truth]) != 0) continue;
            *out = truth == 1;
            return true;
        }
    }
    return false;
}

/* Digits with at most three decimals, as thousandths. */
static bool thousandths(const char **text, uint64_t *out)
{
    uint64_t whole, part = 0;
    if (!digits(text, &whole) || whole > UINT32_MAX) return false;
    if (**text == '.') {
        const char *first = ++*text;
        if (!digits(text, &part)) return false;
        ptrdiff_t len = *text - first;
        if (len > 3) return false;
        for (; len < 3; len++) part *= 10;
    }
    *out = whole * 1000 + part;
    return true;
}

/* The duration up to `end`. */
static bool duration_part(const char *text, const char *end, uint64_t *ns)
{
    char part[VALUES_TEXT_BYTES];
    size_t len = (size_t)(end - text);
    if (len >= sizeof part) return false;
    memcpy(part, text, len);
    part[len] = '\0';
    return value_duration(part, ns);
}

const char *value_backoff(const char *text, struct backoff *out)
{
    CHECK(text != NULL);
    CHECK(out != NULL);
    static const uint64_t base_min = 1000000, base_max = UINT64_C(86400000000000);
    static const uint64_t cap_max = UINT64_C(7) * 86400000000000;
    uint64_t base_ns, cap_ns, factor;
    const char *comma = strchr(text, ',');
    if (comma == NULL) return "FACTOR is missing";
    if (!duration_part(text, comma, &base_ns) || base_ns < base_min || base_ns > base_max)
        return "BASE is a time from 1ms to 1d";
    text = comma + 1;
    if (!thousandths(&text, &factor) || (*text != ',' && *text != '\0') || factor < 1000 ||
        factor > 100000)
        return "FACTOR is a number from 1 to 100, with at most three decimals";
    if (*text == '\0') return "CAP is missing";
    if (!value_duration(text + 1, &cap_ns) || cap_ns > cap_max) return "CAP is a time up to 7d";
    if (cap_ns < base_ns) return "CAP is less than BASE";
    *out = (struct backoff){.base_ns = base_ns, .cap_ns = cap_ns, .factor_milli = (uint32_t)factor};
    return NULL;
}

const char *value_budget(const char *text, uint32_t *percent, uint32_t *per_s)
{
    CHECK(text != NULL);
    CHECK(percent != NULL);
    CHECK(per_s != NULL);
    uint64_t share, floor;
    if (!digits(&text, &share) || (*text != ',' && *text != '\0') || share > 100)
        return "PCT is a number from 0 to 100";
    if (*text == '\0') return "FLOOR is missing";
    text++;
    /* With nothing but a share of all attempts, retries alone would come to a standstill. */
    if (!digits(&text, &floor) || strcmp(text, "/s") != 0 || floor < 1 || floor > 1000000)
        return "FLOOR is from 1/s to 1000000/s";
    *percent = (uint32_t)share;
    *per_s = (uint32_t)floor;
    return NULL;
}

bool value_server(const char *text, struct addr *out)
{
    CHECK(text != NULL);
    CHECK(out != NULL);
    char host[INET6_ADDRSTRLEN];
    bool brackets = *text == '[';
    const char *from = text + brackets, *end = from + strcspn(from, brackets ? "]" : ":");
    if (brackets && *end != ']') return false;
    if (!brackets && *end == ':' && strchr(end + 1, ':') != NULL) end = from + strlen(from);
    const char *port_text = end + brackets;
    uint64_t port = 53;
    if (*port_text == ':') {
        port_text++;
        if (!digits(&port_text, &port) || port < 1 || port > 65535) return false;
    }
    size_t len = (size_t)(end - from);
    if (*port_text != '\0' || len >= sizeof host) return false;
    memcpy(host, from, len);
    host[len] = '\0';
    struct addr a = {.v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)}};
    if (!brackets && inet_pton(AF_INET, host, &a.v4.sin_addr) == 1) {
        *out = a;
        return true;
    }
    a = (struct addr){.v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)}};
    if (inet_pton(AF_INET6, host, &a.v6.sin6_addr) != 1) return false;
    *out = a;
    return true;
}

char *value_duration_text(uint64_t ns, char *out)
{
    CHECK(out != NULL);
    size_t used = 0;
    if (ns == 0) snprintf(out, VALUES_TEXT_BYTES, "0");
    for (size_t i = 0; i < DURATION_UNITS && ns > 0; i++) {
        const struct unit *u = &duration_units[i];
        uint64_t n = ns / u->worth;
        if (n == 0) continue;
        ns -= n * u->worth;
        int wrote = snprintf(out + used, VALUES_TEXT_BYTES - used, "%" PRIu64 "%s", n, u->name);
        CHECK(wrote > 0 && used + (size_t)wrote < VALUES_TEXT_BYTES);
        used += (size_t)wrote;
    }
    return out;
}

char *value_size_text(uint64_t bytes, char *out)
{
    CHECK(out != NULL);
    char letter[2] = "";
    for (const char *l = size_letters; *l != '\0' && bytes > 0 && bytes % 1024 == 0; l++) {
        bytes /= 1024;
        letter[0] = *l;
    }
    snprintf(out, VALUES_TEXT_BYTES, "%" PRIu64 "%s", bytes, letter);
    return out;
}

char *value_grouped_text(uint64_t n, char *out)
{
    CHECK(out != NULL);
    char plain[24];
    int len = snprintf(plain, sizeof plain, "%" PRIu64, n);
    size_t used = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) out[used++] = ',';
        out[used++] = plain[i];
    }
    out[used] = '\0';
    return out;
}

/* value in the largest step that leaves at least 1, with three significant digits. */
static char *three_digits(double value, double step, const char *const *names, size_t count,
                          char *out)
{
    size_t i = 0;
    while (i + 1 < count && value >= step) {
        value /= step;
        i++;
    }
    int decimals = i == 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
    snprintf(out, VALUES_TEXT_BYTES, "%.*f %s", decimals, value, names[i]);
    return out;
}

char *value_latency_text(uint64_t ns, char *out)
{
    CHECK(out != NULL);
    static const char *const names[] = {"ns", "us", "ms", "s"};
    return three_digits((double)ns, 1000, names, 4, out);
}

char *value_bytes_text(uint64_t bytes, char *out)
{
    CHECK(out != NULL);
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    return three_digits((double)bytes, 1024, names, 5, out);
}

char *value_clock_text(uint64_t ns, char *out)
{
    CHECK(out != NULL);
    uint64_t s = ns / UINT64_C(1000000000);
    if (s >= 3600)
        snprintf(out, VALUES_TEXT_BYTES, "%" PRIu64 ":%02u:%02u", s / 3600, (unsigned)(s / 60 % 60),
                 (unsigned)(s % 60));
    else snprintf(out, VALUES_TEXT_BYTES, "%u:%02u", (unsigned)(s / 60), (unsigned)(s % 60));
    return out;
}
