/* tools/sinker/script.c - see script.h. */
#include "tools/sinker/script.h"

#include "tools/sinker/words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct step {
    uint64_t from_ns;
    struct behave behave;
};

struct part {
    struct span name;      /* lent from text; empty: the lines for every request */
    uint32_t first, count; /* of steps */
};

struct script {
    char text[SCRIPT_BYTES_MAX];
    struct part parts[SCRIPT_PARTS_MAX]; /* the first one is for every request */
    struct step steps[SCRIPT_STEPS_MAX];
    uint32_t parts_count, steps_count;
};

static const struct behave plain; /* 200 */

/* One line and where the reader stands in it. */
struct line {
    const char *start;
    struct span rest;
};

static bool fail(struct script_wrong *w, const struct line *l, const char *why, struct span what)
{
    w->column = (unsigned)(l->rest.ptr - l->start) + 1;
    snprintf(w->why, sizeof w->why, "%s%s%.*s", why, what.len ? ": " : "",
             what.len > 60 ? 60 : (int)what.len, what.len ? what.ptr : "");
    return false;
}

static bool is_blank(char ch) { return ch == ' ' || ch == '\t'; }

static void skip_blanks(struct line *l)
{
    while (l->rest.len && is_blank(l->rest.ptr[0]))
        l->rest = span_of(l->rest.ptr + 1, l->rest.len - 1);
}

static struct span word_at(const struct line *l)
{
    size_t n = 0;
    while (n < l->rest.len && !is_blank(l->rest.ptr[n])) n++;
    return span_of(l->rest.ptr, n);
}

static bool is_name(struct span name)
{
    for (size_t i = 0; i < name.len; i++)
        if (strchr("/+?#%[]", name.ptr[i]) || name.ptr[i] <= ' ' || name.ptr[i] == 127)
            return false;
    return name.len > 0;
}

static const struct part *find(const struct script *s, struct span name)
{
    for (uint32_t i = 1; i < s->parts_count; i++)
        if (span_eq(s->parts[i].name, name)) return &s->parts[i];
    return NULL;
}

/* "[NAME]" */
static bool read_head(struct script *s, struct line *l, struct script_wrong *w)
{
    struct span all = l->rest, name = span_of(all.ptr + 1, all.len < 2 ? 0 : all.len - 2);
    if (all.ptr[all.len - 1] != ']' || !is_name(name))
        return fail(w, l, "a part is written [NAME], and no name has /+?#%[] or a blank", all);
    if (find(s, name)) return fail(w, l, "there is a part of that name already", name);
    if (s->parts_count == SCRIPT_PARTS_MAX) return fail(w, l, "that is the 256th part", name);
    s->parts[s->parts_count++] = (struct part){.name = name, .first = s->steps_count};
    return true;
}

/* "20s flaky/60+status/503" */
static bool read_step(struct script *s, struct line *l, struct script_wrong *w)
{
    struct part *p = &s->parts[s->parts_count - 1];
    struct step *step = &s->steps[s->steps_count];
    struct span time = word_at(l), wrong;
    if (s->steps_count == SCRIPT_STEPS_MAX) return fail(w, l, "that is the 4097th step", time);
    *step = (struct step){0};
    if (!words_duration(time, &step->from_ns))
        return fail(w, l, "a line begins with a time such as 250ms, 1.5s or 2m", time);
    if (p->count && step->from_ns <= s->steps[s->steps_count - 1].from_ns)
        return fail(w, l, "this time is not after that of the line before", time);
    l->rest = span_of(l->rest.ptr + time.len, l->rest.len - time.len);
    skip_blanks(l);
    struct span text = word_at(l);
    if (text.len == 0) return fail(w, l, "there is no behaviour after the time", text);
    enum behave_scope scope = s->parts_count == 1 ? BEHAVE_OPTION : BEHAVE_PART;
    if (!span_eq(text, SPAN_LIT("ok")) &&
        behave_parse(scope, text, &step->behave, &wrong) != BEHAVE_DONE)
        return fail(w, l, "there is no such behaviour here", wrong);
    l->rest = span_of(l->rest.ptr + text.len, l->rest.len - text.len);
    skip_blanks(l);
    if (l->rest.len) return fail(w, l, "there is something behind the behaviour", l->rest);
    s->steps_count++;
    p->count++;
    return true;
}

static bool read_line(struct script *s, struct line *l, struct script_wrong *w)
{
    while (l->rest.len &&
           (is_blank(l->rest.ptr[l->rest.len - 1]) || l->rest.ptr[l->rest.len - 1] == '\r'))
        l->rest.len--;
    skip_blanks(l);
    if (l->rest.len == 0 || l->rest.ptr[0] == '#') return true;
    return l->rest.ptr[0] == '[' ? read_head(s, l, w) : read_step(s, l, w);
}

static bool read_text(struct script *s, size_t len, struct script_wrong *w)
{
    const char *p = s->text, *end = p + len;
    s->parts_count = 1;
    for (w->line = 1; p < end; w->line++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        if (!nl) nl = end;
        struct line l = {p, span_of(p, (size_t)(nl - p))};
        if (!read_line(s, &l, w)) return false;
        p = nl + 1;
    }
    if (s->steps_count) return true;
    *w = (struct script_wrong){.line = 1, .column = 1, .why = "the script has no step"};
    return false;
}

static bool read_file(struct script *s, const char *path, struct script_wrong *w)
{
    FILE *f = fopen(path, "re");
    size_t len = f ? fread(s->text, 1, SCRIPT_BYTES_MAX, f) : 0;
    bool ok = f && !ferror(f);
    if (!ok) snprintf(w->why, sizeof w->why, "%s", strerror(errno));
    if (f) fclose(f);
    if (!ok) return false;
    if (len < SCRIPT_BYTES_MAX) return read_text(s, len, w);
    snprintf(w->why, sizeof w->why, "it is not smaller than 1 MiB");
    return false;
}

struct script *script_read(const char *path, struct script_wrong *wrong)
{
    CHECK(path != NULL);
    *wrong = (struct script_wrong){.why = "no memory"};
    struct script *s = calloc(1, sizeof *s);
    if (s && read_file(s, path, wrong)) return s;
    free(s);
    return NULL;
}

void script_free(struct script *s) { free(s); }

static const struct behave *at(const struct script *s, const struct part *p, uint64_t elapsed_ns)
{
    const struct behave *b = &plain;
    for (uint32_t i = 0; i < p->count && s->steps[p->first + i].from_ns <= elapsed_ns; i++)
        b = &s->steps[p->first + i].behave;
    return b;
}

bool script_has_whole(const struct script *s) { return s->parts[0].count > 0; }

const struct behave *script_whole(const struct script *s, uint64_t elapsed_ns)
{
    CHECK(script_has_whole(s));
    return at(s, &s->parts[0], elapsed_ns);
}

const struct behave *script_part(const struct script *s, struct span name, uint64_t elapsed_ns)
{
    const struct part *p = find(s, name);
    return p ? at(s, p, elapsed_ns) : NULL;
}

bool script_hangs(const struct script *s, enum behave_phase phase)
{
    for (uint32_t i = 0; i < s->parts[0].count; i++)
        if (s->steps[i].behave.hang == phase) return true;
    return false;
}
