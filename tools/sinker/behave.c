/* tools/sinker/behave.c - the table of behaviours and its reader; see behave.h. */
#include "tools/sinker/behave.h"

#include "tools/sinker/dialect.h"
#include "tools/sinker/words.h"

#include <stdio.h>

typedef bool parse_fn(enum behave_scope scope, struct span arg, struct behave *b);

struct row {
    struct span name;
    parse_fn *parse;
    uint8_t args; /* how many words follow the name; parse() gets them with their slashes */
    const char *usage, *help;
};

static bool parse_status(enum behave_scope scope, struct span arg, struct behave *b)
{
    (void)scope;
    uint64_t v;
    struct span rest;
    if (arg.len != 3 || !words_number(arg, 1, &v, &rest) || rest.len || v < 100 || v > 599)
        return false;
    b->status = (uint16_t)v;
    return true;
}

static bool parse_delay(enum behave_scope scope, struct span arg, struct behave *b)
{
    (void)scope;
    return words_duration(arg, &b->delay_ns);
}

static bool parse_limit(enum behave_scope scope, struct span arg, struct behave *b)
{
    (void)scope;
    const char *slash = memchr(arg.ptr, '/', arg.len);
    CHECK(slash != NULL);
    size_t len = (size_t)(slash - arg.ptr);
    uint32_t dialects;
    if (!quota_rule_parse(span_of(arg.ptr, len), &b->limit)) return false;
    if (!dialect_parse(span_of(slash + 1, arg.len - len - 1), &dialects)) return false;
    b->limit.dialects = dialects;
    return b->has_limit = true;
}

static bool parse_limit_status(enum behave_scope scope, struct span arg, struct behave *b)
{
    struct behave other = {0};
    if (!parse_status(scope, arg, &other)) return false;
    b->limit_status = other.status;
    return true;
}

static bool parse_retry_after(enum behave_scope scope, struct span arg, struct behave *b)
{
    (void)scope;
    uint64_t ms;
    struct span rest;
    if (!words_number(arg, 1000, &ms, &rest) || rest.len || ms > UINT32_MAX) return false;
    b->retry_after_ms = (uint32_t)ms;
    return b->has_retry_after = true;
}

static bool parse_skew(enum behave_scope scope, struct span arg, struct behave *b)
{
    (void)scope;
    bool is_slow = arg.len && arg.ptr[0] == '-';
    uint64_t ns;
    if (is_slow) arg = span_of(arg.ptr + 1, arg.len - 1);
    if (!words_duration(arg, &ns)) return false;
    b->skew_ns = is_slow ? -(int64_t)ns : (int64_t)ns;
    return true;
}

static bool parse_after(enum behave_scope scope, struct span arg, struct behave *b)
{
    (void)scope;
    return words_duration(arg, &b->after_ns);
}

static bool parse_until(enum behave_scope scope, struct span arg, struct behave *b)
{
    (void)scope;
    return words_duration(arg, &b->until_ns) && b->until_ns > 0;
}

static bool parse_script(enum behave_scope scope, struct span arg, struct behave *b)
{
    b->script = arg;
    return scope == BEHAVE_PATH && arg.len > 0;
}

static bool parse_body(enum behave_scope scope, struct span arg, struct behave *b)
{
    (void)scope;
    uint64_t v;
    struct span rest;
    if (!words_number(arg, 1, &v, &rest)) return false;
    unsigned shift = 0;
    if (span_eq(rest, SPAN_LIT("K"))) shift = 10;
    else if (span_eq(rest, SPAN_LIT("M"))) shift = 20;
    else if (span_eq(rest, SPAN_LIT("G"))) shift = 30;
    else if (rest.len) return false;
    if (v > BEHAVE_BODY_BYTES_MAX >> shift) return false;
    b->body_bytes = v << shift;
    b->has_body = true;
    return true;
}

static bool parse_flaky(enum behave_scope scope, struct span arg, struct behave *b)
{
    (void)scope;
    uint64_t v;
    struct span rest;
    if (!words_number(arg, BEHAVE_FLAKY_WHOLE / 100, &v, &rest) || rest.len) return false;
    if (v > BEHAVE_FLAKY_WHOLE) return false;
    b->flaky = (uint16_t)v;
    b->has_flaky = true;
    return true;
}

static bool parse_hang(enum behave_scope scope, struct span arg, struct behave *b)
{
    if (span_eq(arg, SPAN_LIT("connect")) && scope == BEHAVE_OPTION) b->hang = PHASE_CONNECT;
    else if (span_eq(arg, SPAN_LIT("accept")) && scope == BEHAVE_OPTION) b->hang = PHASE_ACCEPT;
    else if (span_eq(arg, SPAN_LIT("head"))) b->hang = PHASE_HEAD;
    else if (span_eq(arg, SPAN_LIT("mid-head"))) b->hang = PHASE_MID_HEAD;
    else if (span_eq(arg, SPAN_LIT("body"))) b->hang = PHASE_BODY;
    else return false;
    return true;
}

static bool parse_reset(enum behave_scope scope, struct span arg, struct behave *b)
{
    if (span_eq(arg, SPAN_LIT("after-accept")) && scope == BEHAVE_OPTION) b->reset = PHASE_CONNECT;
    else if (span_eq(arg, SPAN_LIT("head"))) b->reset = PHASE_HEAD;
    else if (span_eq(arg, SPAN_LIT("mid-head"))) b->reset = PHASE_MID_HEAD;
    else if (span_eq(arg, SPAN_LIT("body"))) b->reset = PHASE_BODY;
    else return false;
    return true;
}

static bool parse_bad(enum behave_scope scope, struct span arg, struct behave *b)
{
    (void)scope;
    b->oddity = oddity_find(true, arg);
    return b->oddity != NULL;
}

static bool parse_odd(enum behave_scope scope, struct span arg, struct behave *b)
{
    (void)scope;
    b->oddity = oddity_find(false, arg);
    return b->oddity != NULL;
}

static bool parse_close(enum behave_scope scope, struct span arg, struct behave *b)
{
    (void)scope;
    (void)arg;
    return b->close = true;
}

static bool parse_close_silent(enum behave_scope scope, struct span arg, struct behave *b)
{
    (void)scope;
    (void)arg;
    return b->close_silent = true;
}

/* clang-format off */
static const struct row table[] = {
    {SPAN_LIT("status"), parse_status, 1, "/status/CODE",
     "answer CODE (100 to 599)"},
    {SPAN_LIT("body"), parse_body, 1, "/body/SIZE",
     "answer with a body of SIZE bytes (K, M and G are understood)"},
    {SPAN_LIT("delay"), parse_delay, 1, "/delay/TIME",
     "answer after TIME (250ms, 1.5s, 2m; at most 24h)"},
    {SPAN_LIT("flaky"), parse_flaky, 1, "/flaky/PERCENT",
     "only that share (30, 0.1) gets the status, hang, reset, bad or odd\n"
     "                        that is named with it, or 503; the others get 200"},
    {SPAN_LIT("limit"), parse_limit, 2, "/limit/RATE/DIALECT",
     "answer 429 to what is more than RATE: 100-per-s, 2000-per-10s or\n"
     "                        60-per-m is so many in a window, which begins with the first\n"
     "                        request after the last one ended; 100-per-s-sliding: so many in\n"
     "                        any stretch of that length; 100-per-s-bucket: so many at once,\n"
     "                        and as many flow in evenly in that time. Each listening address,\n"
     "                        RATE/DIALECT and key (the field X-Key or ?key= in the URL, if\n"
     "                        any) has its own. DIALECT is how every answer tells of it; names\n"
     "                        can be joined (x-ratelimit,retry-after):"},
    {SPAN_LIT("limit-status"), parse_limit_status, 1, "/limit-status/CODE",
     "with a limit: refuse with CODE instead of 429"},
    {SPAN_LIT("retry-after"), parse_retry_after, 1, "/retry-after/SECONDS",
     "send Retry-After with every status that is not 2xx (30, 0.5)"},
    {SPAN_LIT("skew"), parse_skew, 1, "/skew/TIME",
     "the clock behind Date and all times in a limit's fields goes wrong\n"
     "                        by TIME, -TIME: it is slow"},
    {SPAN_LIT("after"), parse_after, 1, "/after/TIME",
     "what is named with it holds only from TIME on, counted as --time-from\n"
     "                        says; before it: 200"},
    {SPAN_LIT("until"), parse_until, 1, "/until/TIME",
     "what is named with it holds only until TIME; then: 200"},
    {SPAN_LIT("script"), parse_script, 1, "/script/NAME",
     "what the part [NAME] of the --script says at that moment; stands alone"},
    {SPAN_LIT("hang"), parse_hang, 1, "/hang/head",
     "read the request, never answer; /hang/mid-head: send half the head,\n"
     "                        /hang/body: the head and half the body, then nothing. In --behave\n"
     "                        and --script only: hang/connect: let no connection come about,\n"
     "                        hang/accept: take none up, so that nobody reads the request"},
    {SPAN_LIT("reset"), parse_reset, 1, "/reset/head",
     "read the request, then reset the connection; /reset/mid-head: after\n"
     "                        half the head, /reset/body: after half the body; in --behave and\n"
     "                        --script only: reset/after-accept: at once"},
    {SPAN_LIT("close"), parse_close, 0, "/close",
     "answer with Connection: close, then close"},
    {SPAN_LIT("close-silent"), parse_close_silent, 0, "/close-silent",
     "answer as if the connection stayed open, then close it"},
    {SPAN_LIT("bad"), parse_bad, 1, "/bad/NAME",
     "a malformed answer:"},
    {SPAN_LIT("odd"), parse_odd, 1, "/odd/NAME",
     "a rare but acceptable answer:"},
};
/* clang-format on */

enum { TABLE_COUNT = sizeof table / sizeof table[0] };

/* Takes the bytes up to the next slash, plus or end from *text. */
static struct span word(struct span *text)
{
    size_t n = 0;
    while (n < text->len && text->ptr[n] != '/' && text->ptr[n] != '+') n++;
    struct span w = span_of(text->ptr, n);
    *text = span_of(text->ptr + n, text->len - n);
    return w;
}

static bool skip(struct span *text, char ch)
{
    if (text->len == 0 || text->ptr[0] != ch) return false;
    *text = span_of(text->ptr + 1, text->len - 1);
    return true;
}

static const struct row *find_row(struct span name)
{
    for (unsigned i = 0; i < TABLE_COUNT; i++)
        if (span_eq(table[i].name, name)) return &table[i];
    return NULL;
}

/* The words that a row wants, as one span with the slashes between them. */
static bool take_args(const struct row *row, struct span *text, struct span *arg)
{
    *arg = (struct span){NULL, 0};
    for (unsigned i = 0; i < row->args; i++) {
        if (!skip(text, '/')) return false;
        const char *start = i ? arg->ptr : text->ptr;
        (void)word(text);
        *arg = span_of(start, (size_t)(text->ptr - start));
    }
    return true;
}

/* From the start of a part to its plus, or to the end. */
static struct span part_at(struct span text)
{
    const char *plus = text.len ? memchr(text.ptr, '+', text.len) : NULL;
    return plus ? span_of(text.ptr, (size_t)(plus - text.ptr)) : text;
}

enum behave_result behave_parse(enum behave_scope scope, struct span text, struct behave *out,
                                struct span *wrong)
{
    CHECK(out != NULL);
    struct behave b = {0};
    struct span part, arg;
    enum behave_result res = BEHAVE_PLAIN;
    unsigned parts_count = 0;
    skip(&text, '/');
    do {
        part = text;
        const struct row *row = find_row(word(&text));
        if (!row) break;
        res = BEHAVE_UNKNOWN;
        if (!take_args(row, &text, &arg) || !row->parse(scope, arg, &b)) break;
        res = BEHAVE_DONE;
        if (parts_count++ && b.script.len) res = BEHAVE_UNKNOWN; /* it stands alone */
        if (res != BEHAVE_DONE || !skip(&text, '+')) break;
        res = BEHAVE_UNKNOWN; /* unless a further part follows */
    } while (true);
    if (res == BEHAVE_DONE && scope != BEHAVE_PATH && text.len) {
        part = text;
        res = BEHAVE_UNKNOWN;
    }
    if (wrong) *wrong = part_at(part);
    if (res == BEHAVE_DONE) *out = b;
    return res;
}

static size_t append(char *out, size_t size, size_t at, const char *text, size_t len)
{
    CHECK(at + len < size);
    memcpy(out + at, text, len);
    out[at + len] = 0;
    return at + len;
}

/* The names of one group, broken into lines. */
static size_t append_names(char *out, size_t size, size_t at, bool is_bad)
{
    static const char indent[] = "                       ";
    size_t column = 0;
    const struct oddity *o;
    for (unsigned i = 0; (o = oddity_at(i)) != NULL; i++) {
        if (o->is_bad != is_bad) continue;
        if (column == 0 || column + o->name.len > 90) {
            if (column) at = append(out, size, at, "\n", 1);
            at = append(out, size, at, indent, sizeof indent - 1);
            column = sizeof indent;
        }
        at = append(out, size, at, " ", 1);
        at = append(out, size, at, o->name.ptr, o->name.len);
        column += o->name.len + 1;
    }
    return append(out, size, at, "\n", 1);
}

static size_t append_dialects(char *out, size_t size, size_t at)
{
    for (unsigned i = 0; dialect_name(i); i++) {
        char line[160];
        int n = snprintf(line, sizeof line, "      %-20s %s\n", dialect_name(i), dialect_help(i));
        CHECK(n > 0);
        CHECK((size_t)n < sizeof line);
        at = append(out, size, at, line, (size_t)n);
    }
    return at;
}

size_t behave_help(char *out, size_t size)
{
    size_t at = 0;
    for (unsigned i = 0; i < TABLE_COUNT; i++) {
        char line[1024];
        int n = snprintf(line, sizeof line, "  %-20s  %s\n", table[i].usage, table[i].help);
        CHECK(n > 0);
        CHECK((size_t)n < sizeof line);
        at = append(out, size, at, line, (size_t)n);
        if (table[i].parse == parse_limit) at = append_dialects(out, size, at);
        if (table[i].parse == parse_bad) at = append_names(out, size, at, true);
        if (table[i].parse == parse_odd) at = append_names(out, size, at, false);
    }
    return at;
}
