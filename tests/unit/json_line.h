/* tests/unit/json_line.h - a log line, read back by a strict and simple reader of its own: one flat
 * JSON object without white space and one newline, at its end.
 *
 * Strings must be valid UTF-8 without control characters; numbers and words as RFC 8259 has them;
 * no name twice. What breaks a rule fails the test and shows the line.
 */
#ifndef TESTS_UNIT_JSON_LINE_H
#define TESTS_UNIT_JSON_LINE_H

#include "tests/unit/must.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { JSON_MEMBERS_MAX = 24, JSON_NAME_BYTES = 32, JSON_TEXT_BYTES = 1 << 15 };

struct json_member {
    char name[JSON_NAME_BYTES];
    bool string;
    size_t len;                 /* of text */
    char text[JSON_TEXT_BYTES]; /* unescaped; a number or word as it stands; terminated */
};

struct json_line {
    struct json_member member[JSON_MEMBERS_MAX];
    size_t count;
    const char *at, *begin, *end; /* while it is read */
};

#define JSON_RULE(j, x) \
    MUST(x, "at byte %zu of %.*s", (size_t)((j)->at - (j)->begin), (int)((j)->end - (j)->begin), \
         (j)->begin)

static inline unsigned json_byte(const struct json_line *j)
{
    return j->at < j->end ? (unsigned char)*j->at : 0;
}

static inline void json_expect(struct json_line *j, char c)
{
    JSON_RULE(j, json_byte(j) == (unsigned char)c);
    j->at++;
}

/* One sequence of UTF-8 (Unicode 15, table 3-7), at least two bytes. */
static inline size_t json_utf8(struct json_line *j, char *out)
{
    unsigned lead = json_byte(j);
    size_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    JSON_RULE(j, lead >= 0xc2 && lead <= 0xf4 && (size_t)(j->end - j->at) > n);
    unsigned second = (unsigned char)j->at[1];
    unsigned low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    unsigned high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    JSON_RULE(j, second >= low && second <= high);
    for (size_t i = 2; i < n; i++) JSON_RULE(j, ((unsigned char)j->at[i] & 0xc0) == 0x80);
    memcpy(out, j->at, n);
    j->at += n;
    return n;
}

static inline char json_escape(struct json_line *j)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    j->at++;
    if (json_byte(j) != 'u') {
        const char *known = json_byte(j) != 0 ? strchr(from, (int)json_byte(j)) : NULL;
        JSON_RULE(j, known != NULL);
        j->at++;
        return to[known - from];
    }
    unsigned value = 0;
    j->at++;
    for (int i = 0; i < 4; i++, j->at++) {
        const char *digits = "0123456789abcdef", *d = NULL;
        if (json_byte(j) != 0) d = strchr(digits, (int)(json_byte(j) | 0x20));
        JSON_RULE(j, d != NULL);
        value = value * 16 + (unsigned)(d - digits);
    }
    JSON_RULE(j, value < 0x80); /* nothing else needs it */
    return (char)value;
}

static inline size_t json_string(struct json_line *j, char *out, size_t room)
{
    size_t n = 0;
    json_expect(j, '"');
    while (json_byte(j) != '"') {
        JSON_RULE(j, n + 5 < room && json_byte(j) >= 0x20);
        if (json_byte(j) == '\\') out[n++] = json_escape(j);
        else if (json_byte(j) >= 0x80) n += json_utf8(j, out + n);
        else out[n++] = *j->at++;
    }
    j->at++;
    out[n] = 0;
    return n;
}

static inline void json_digits(struct json_line *j)
{
    JSON_RULE(j, json_byte(j) >= '0' && json_byte(j) <= '9');
    while (json_byte(j) >= '0' && json_byte(j) <= '9') j->at++;
}

static inline void json_number_or_word(struct json_line *j)
{
    static const char *const words[] = {"null", "true", "false"};
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(j->end - j->at) < n || memcmp(j->at, words[i], n) != 0) continue;
        j->at += n;
        return;
    }
    if (json_byte(j) == '-') j->at++;
    if (json_byte(j) == '0') j->at++;
    else json_digits(j);
    if (json_byte(j) != '.') return;
    j->at++;
    json_digits(j);
}

static inline void json_line_read(struct json_line *j, const char *line, size_t len)
{
    j->at = j->begin = line;
    j->end = line + len;
    j->count = 0;
    json_expect(j, '{');
    for (;;) { /* ends with the line */
        struct json_member *m = &j->member[j->count];
        JSON_RULE(j, j->count < JSON_MEMBERS_MAX);
        (void)json_string(j, m->name, sizeof m->name);
        json_expect(j, ':');
        const char *from = j->at;
        m->string = json_byte(j) == '"';
        if (m->string) {
            m->len = json_string(j, m->text, sizeof m->text);
        } else {
            json_number_or_word(j);
            m->len = (size_t)(j->at - from);
            snprintf(m->text, sizeof m->text, "%.*s", (int)m->len, from);
        }
        for (size_t i = 0; i < j->count; i++) JSON_RULE(j, strcmp(j->member[i].name, m->name) != 0);
        j->count++;
        if (json_byte(j) != ',') break;
        j->at++;
    }
    json_expect(j, '}');
    json_expect(j, '\n');
    JSON_RULE(j, j->at == j->end);
}

/* NULL: there is none. */
static inline const struct json_member *json_find(const struct json_line *j, const char *name)
{
    for (size_t i = 0; i < j->count; i++)
        if (strcmp(j->member[i].name, name) == 0) return &j->member[i];
    return NULL;
}

#endif
