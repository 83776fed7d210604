/* tests/fuzz/fuzz_limits.c - goal: whatever a file of limits holds, it is refused at a place that
 * it has, or each of its lines is found again by the host that it names.
 *
 * Input: the text. Method: a refused one must be sound up to the line before the one named, and
 * wrong as soon as that line is added. An accepted one is read a second time here, in the plainest
 * way: by words. No host that the lines do not name may find anything.
 */
#include "core/base/check.h"
#include "core/base/limits.h"
#include "sched/limits.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 3, HOST_ROOM = LIMIT_HOST_BYTES + 16 };

/* A label that is put before a domain, to ask for a name below it. */
#define LABEL "zq9"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool blank(char c) { return c == ' ' || c == '\t'; }

/* Lower case, canonical; "*.x" becomes LABEL ".x". Returns the port, 0: all. */
static uint16_t read_host(struct span word, char host[HOST_ROOM])
{
    struct in6_addr v6;
    const char *end = word.ptr + word.len, *p;
    char ip[INET6_ADDRSTRLEN];
    if (word.ptr[0] == '[') {
        p = memchr(word.ptr, ']', word.len);
        CHECK(p != NULL);
        snprintf(ip, sizeof ip, "%.*s", (int)(p - word.ptr - 1), word.ptr + 1);
        CHECK(inet_pton(AF_INET6, ip, &v6) == 1);
        CHECK(inet_ntop(AF_INET6, &v6, ip, sizeof ip) != NULL);
        snprintf(host, HOST_ROOM, "[%s]", ip);
        p++;
    } else {
        bool domain = word.ptr[0] == '*';
        p = memchr(word.ptr, ':', word.len);
        if (p == NULL) p = end;
        CHECK(p - word.ptr <= LIMIT_HOST_BYTES + 3);
        int len = snprintf(host, HOST_ROOM, "%s%.*s", domain ? LABEL : "",
                           (int)(p - word.ptr) - domain, word.ptr + domain);
        for (int i = 0; i < len; i++) host[i] = (char)tolower((unsigned char)host[i]);
    }
    return p == end ? 0 : (uint16_t)strtoul(p + 1, NULL, 10);
}

/* The line's words up to a comment. */
static size_t split(struct span line, struct span words[WORDS_MAX])
{
    size_t count = 0, at = 0;
    for (;;) {
        while (at < line.len && blank(line.ptr[at])) at++;
        if (at == line.len || line.ptr[at] == '#') return count;
        size_t first = at;
        while (at < line.len && !blank(line.ptr[at])) at++;
        CHECK(count < WORDS_MAX);
        words[count++] = span_of(line.ptr + first, at - first);
    }
}

static void expect_line(const struct limits *l, struct span line)
{
    struct span words[WORDS_MAX];
    struct limit want = {0};
    char host[HOST_ROOM];
    size_t count = split(line, words);
    if (count == 0) return;
    CHECK(count >= 2);
    for (size_t i = 1; i < count; i++) {
        struct span w = words[i];
        char number[24] = "";
        if (w.ptr[0] == 'r') {
            CHECK(w.len > 5 && memcmp(w.ptr, "rate=", 5) == 0);
            CHECK(rate_parse(span_of(w.ptr + 5, w.len - 5), &want.interval_ns));
        } else {
            CHECK(w.len > 12 && memcmp(w.ptr, "connections=", 12) == 0);
            for (size_t k = 12; k < w.len; k++) CHECK(isdigit((unsigned char)w.ptr[k]));
            while (w.len > 13 && w.ptr[12] == '0') w.ptr++, w.len--;
            snprintf(number, sizeof number, "%.*s", (int)(w.len - 12), w.ptr + 12);
            want.connections = (uint32_t)strtoul(number, NULL, 10);
            CHECK(want.connections >= 1 && want.connections <= LIMITS_CONNECTIONS_MAX);
        }
    }
    uint16_t port = read_host(words[0], host);
    struct limit got = limits_find(l, span_of(host, strlen(host)), port == 0 ? 47 : port);
    CHECK(got.interval_ns == want.interval_ns);
    CHECK(got.connections == want.connections);
}

/* All lines, unless one may name the label or the port that is used for asking. */
static void expect_lines(const struct limits *l, struct span text)
{
    if (memmem(text.ptr, text.len, "47", 2) != NULL) return;
    for (const char *c = text.ptr; c + 3 <= text.ptr + text.len; c++)
        if (strncasecmp(c, LABEL, 3) == 0) return;
    const char *at = text.ptr, *end = at + text.len;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline == NULL ? end : newline;
        size_t len = (size_t)(stop - at);
        if (len > 0 && at[len - 1] == '\r') len--;
        expect_line(l, span_of(at, len));
        at = newline == NULL ? end : newline + 1;
    }
}

/* Where the line begins; the text's end when it has fewer. */
static size_t line_at(struct span text, uint32_t line)
{
    size_t at = 0;
    for (uint32_t number = 1; number < line; number++) {
        const char *newline = memchr(text.ptr + at, '\n', text.len - at);
        if (newline == NULL) return text.len;
        at = (size_t)(newline - text.ptr) + 1;
    }
    return at;
}

static void expect_place(struct span text, const struct limits_error *why)
{
    struct limits_error again;
    CHECK(why->line >= 1);
    size_t from = line_at(text, why->line), to = line_at(text, why->line + 1);
    CHECK(from < text.len);
    CHECK(why->column >= 1);
    CHECK(why->column <= to - from + 1);
    struct limits *before = limits_parse(span_of(text.ptr, from), &again);
    CHECK(before != NULL);
    limits_free(before);
    CHECK(limits_parse(span_of(text.ptr, to), &again) == NULL);
    CHECK(again.line == why->line);
    CHECK(again.column == why->column);
    CHECK(strcmp(again.text, why->text) == 0);
    CHECK(why->text[0] != '\0');
    for (const char *c = why->text; *c != '\0'; c++) CHECK(*c >= ' ' && *c <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of(data, size);
    struct limits_error why;
    struct limits *l = limits_parse(text, &why);
    if (l == NULL) {
        expect_place(text, &why);
        return 0;
    }
    expect_lines(l, text);
    struct limit none = limits_find(l, SPAN_LIT(LABEL ".nowhere"), 46);
    bool named = false;
    for (const char *c = text.ptr; c + 4 <= text.ptr + text.len; c++)
        named |= strncasecmp(c, "here", 4) == 0;
    CHECK(named || (none.interval_ns == 0 && none.connections == 0));
    limits_free(l);
    return 0;
}
