/* tools/hookline/options_file.c - options from the lines of a --config file.
 *
 *   # a comment, on its own line or after white space
 *   timeout = 30s
 *   allow-net = 127.0.0.0/8 10.0.0.0/8     # repeatable: several items, or several lines
 *   user-agent = "shop #1"                 # quotes keep '#' and spaces; \" and \\ inside them
 *
 * What --print-config prints is such a file. A name that no command has, a bad value, or the same
 * option twice is an error with file, line and column; an option of the other command is read,
 * checked and has no effect, so that one file serves both.
 */
#include "core/base/check.h"
#include "tools/hookline/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* One line on its way from left to right. */
struct line {
    const char *start, *at, *end; /* end: after the last byte, without '\n' or "\r\n" */
    const char *file;
    uint32_t number; /* from 1 */
};

__attribute__((format(printf, 4, 5))) static int refuse(struct options *o, const struct line *l,
                                                        const char *at, const char *format, ...)
{
    char what[300];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(o->error, sizeof o->error, "%.200s:%u:%zu: %s", l->file, l->number,
             (size_t)(at - l->start) + 1, what);
    return -1;
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static void skip_blanks(struct line *l)
{
    while (l->at < l->end && is_blank(*l->at)) l->at++;
}

static bool line_over(const struct line *l) { return l->at == l->end || *l->at == '#'; }

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           (c >= 'A' && c <= 'Z');
}

static int read_name(struct options *o, struct line *l, enum option_id *id)
{
    const char *start = l->at;
    while (l->at < l->end && is_name(*l->at)) l->at++;
    size_t len = (size_t)(l->at - start);
    if (len == 0) return refuse(o, l, start, "expected a line of the form: name = value");
    enum option_id found = option_find(start, len);
    if (found == OPT_COUNT)
        return refuse(o, l, start, "unknown option \"%.*s\"; hookline %s --help lists them",
                      len > 80 ? 80 : (int)len, start, command_name(o->command));
    if (option_row(found)->group == OPTION_GROUP_GENERAL)
        return refuse(o, l, start, "%s cannot stand in a file", option_row(found)->name);
    skip_blanks(l);
    if (l->at == l->end || *l->at != '=') return refuse(o, l, l->at, "expected \"=\"");
    l->at++;
    skip_blanks(l);
    *id = found;
    return 0;
}

static int read_quoted(struct options *o, struct line *l, char *out)
{
    const char *start = l->at++;
    for (; l->at < l->end && *l->at != '"'; l->at++) {
        if (*l->at == '\\') {
            if (l->at + 1 == l->end || (l->at[1] != '"' && l->at[1] != '\\'))
                return refuse(o, l, l->at, "after a backslash in quotes: \\\" or \\\\");
            l->at++;
        }
        *out++ = *l->at;
    }
    if (l->at == l->end) return refuse(o, l, start, "the quote does not end on this line");
    l->at++;
    *out = '\0';
    const char *after = l->at;
    skip_blanks(l);
    if (l->at < l->end && (*l->at != '#' || l->at == after))
        return refuse(o, l, l->at, "only a comment can follow the closing quote");
    return 0;
}

/* Up to a comment or the line's end, without white space at its end. */
static void read_plain(struct line *l, char *out)
{
    const char *start = l->at, *last = l->at;
    for (; l->at < l->end; l->at++) {
        if (*l->at == '#' && l->at > start && is_blank(l->at[-1])) break;
        if (!is_blank(*l->at)) last = l->at + 1;
    }
    memcpy(out, start, (size_t)(last - start));
    out[last - start] = '\0';
}

/* value holds at least the line's length and one more. seen: the line that set each, or 0. */
static int read_line(struct options *o, struct line *l, char *value, uint32_t seen[OPT_COUNT])
{
    skip_blanks(l);
    if (line_over(l)) return 0;
    enum option_id id = OPT_COUNT;
    const char *name_at = l->at;
    if (read_name(o, l, &id) != 0) return -1;
    const char *value_at = l->at;
    if (line_over(l)) return refuse(o, l, value_at, "%s needs a value", option_row(id)->name);
    if (seen[id] != 0 && !option_repeatable(id))
        return refuse(o, l, name_at, "%s was set on line %u already", option_row(id)->name,
                      seen[id]);
    seen[id] = l->number;
    if (*l->at != '"') read_plain(l, value);
    else if (read_quoted(o, l, value) != 0) return -1;
    char where[400];
    snprintf(where, sizeof where, "%.200s:%u:%zu: %s = %.100s", l->file, l->number,
             (size_t)(value_at - l->start) + 1, option_row(id)->name, value);
    if (options_set(o, id, value, OPTION_FROM_FILE, where) != 0) return -1;
    if (o->values[id].source == OPTION_FROM_FILE) o->values[id].line = l->number;
    return 0;
}

int options_read_text(struct options *o, const char *name, const char *text, size_t bytes)
{
    CHECK(o != NULL);
    CHECK(name != NULL);
    CHECK(text != NULL || bytes == 0);
    uint32_t seen[OPT_COUNT] = {0};
    char *value = malloc(bytes + 1);
    if (value == NULL) {
        snprintf(o->error, sizeof o->error, "%.200s: no memory to read it", name);
        return -1;
    }
    int result = 0;
    const char *at = text, *end = text + bytes;
    for (uint32_t number = 1; at < end && result == 0; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline == NULL ? end : newline;
        struct line l = {at, at, stop, name, number};
        if (stop > at && stop[-1] == '\r') l.end--;
        const char *nul = memchr(at, '\0', (size_t)(stop - at));
        result = nul == NULL ? read_line(o, &l, value, seen) : refuse(o, &l, nul, "a NUL byte");
        at = stop + 1;
    }
    free(value);
    return result;
}

int options_read_file(struct options *o, const char *path)
{
    CHECK(o != NULL);
    CHECK(path != NULL);
    FILE *file = fopen(path, "re");
    char *text = malloc(OPTION_FILE_BYTES_MAX + 1);
    int result = -1;
    size_t bytes = 0;
    errno = file == NULL || text == NULL ? errno : 0;
    if (file != NULL && text != NULL) bytes = fread(text, 1, OPTION_FILE_BYTES_MAX + 1, file);
    if (file == NULL || text == NULL || ferror(file) != 0)
        snprintf(o->error, sizeof o->error, "cannot read the options of %.300s: %s", path,
                 strerror(errno));
    else if (bytes > OPTION_FILE_BYTES_MAX)
        snprintf(o->error, sizeof o->error, "%.300s: longer than a file of options can be", path);
    else result = options_read_text(o, path, text, bytes);
    if (file != NULL) fclose(file);
    free(text);
    return result;
}
