/* tests/sim/scene_lines.c - the input: records and what must go out for each, rejects, blanks.
 *
 * Each record's request carries the mark t/LINE in its target, so that a receiver knows which it
 * is without trusting anything else in it.
 */
#include "tests/sim/scene.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_LINE_BYTES = 300 * 1024, BODIES_BYTES_MAX = 4 * 1024 * 1024 };

struct text {
    char *at;
    size_t room, len;
};

static void __attribute__((format(printf, 2, 3))) put(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->at + t->len, t->room - t->len, format, args);
    va_end(args);
    CHECK(n >= 0 && (size_t)n < t->room - t->len);
    t->len += (size_t)n;
}

static void put_byte(struct text *t, char c)
{
    CHECK(t->len + 1 < t->room);
    t->at[t->len++] = c;
    t->at[t->len] = 0;
}

/* As a JSON string, each byte escaped in one of the ways there are. */
static void put_string(struct world *w, struct text *t, const char *bytes, size_t n)
{
    bool fancy = world_draw(w, 20);
    put_byte(t, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c == '"' || c == '\\') put(t, "\\%c", c);
        else if (c == '\n') put(t, "\\n");
        else if (c == '\t') put(t, "\\t");
        else if (c < 32 || (fancy && c < 127 && world_draw(w, 10))) put(t, "\\u%04x", c);
        else if (c == '/' && fancy) put(t, "\\/");
        else put_byte(t, (char)c);
    }
    put_byte(t, '"');
}

static void space(struct world *w, struct text *t, bool spaced)
{
    while (spaced && world_draw(w, 40)) put_byte(t, world_draw(w, 80) ? ' ' : '\t');
}

static void put_pair(struct world *w, struct text *t, const char *name, const char *value)
{
    put_string(w, t, name, strlen(name));
    put(t, ":");
    put_string(w, t, value, strlen(value));
}

/* ---- one record ---------------------------------------------------------------------------- */

static void draw_url(struct world *w, struct truth_line *l, const struct scene_host *h)
{
    static const char *const tails[] = {"",       "/", "/a%20b", "?x=1&y=%7B", "/a;b=c?q=/a/b",
                                        "/~x:@!$"};
    static const struct {
        const char *userinfo, *authorization;
    } users[] = {
        {"u:p", "Basic dTpw"}, {"user:pa%3Ass", "Basic dXNlcjpwYTpzcw=="}, {"u:", "Basic dTo="}};
    char tail[32] = "", name[48];
    memcpy(name, h->name, sizeof name);
    if (world_draw(w, 10))
        for (char *p = name; *p; p++)
            if (*p >= 'a' && *p <= 'z' && *name != '[') *p = (char)(*p - 32);
    snprintf(tail, sizeof tail, "%s", tails[world_below(w, sizeof tails / sizeof *tails)]);
    bool only_query = world_draw(w, 8);
    if (only_query) snprintf(l->target, sizeof l->target, "/?t/%u", l->number);
    else snprintf(l->target, sizeof l->target, "/t/%u%s", l->number, tail);
    l->port_is_default = h->port_is_default;
    if (h->port_is_default) snprintf(l->authority, sizeof l->authority, "%s", name);
    else snprintf(l->authority, sizeof l->authority, "%s:%u", name, h->port);
    const char *userinfo = "";
    if (world_draw(w, 8)) {
        uint32_t k = world_below(w, sizeof users / sizeof *users);
        userinfo = users[k].userinfo;
        snprintf(l->authorization, sizeof l->authorization, "%s", users[k].authorization);
    }
    /* One draw for each statement: compilers do not agree on the order of arguments. */
    const char *scheme = world_draw(w, 10) ? "HTTP" : "http";
    const char *fragment = world_draw(w, 8) ? "#part" : "";
    struct text url = {l->url, sizeof l->url, 0};
    put(&url, "%s://%s%s%s%s%s", scheme, userinfo, *userinfo ? "@" : "", l->authority,
        l->target + (only_query ? 1 : 0), fragment);
}

static void draw_headers(struct world *w, struct truth_line *l)
{
    static const struct truth_header pool[] = {
        {"X-One", "1"},
        {"x-two", "two words, and a comma"},
        {"X-Empty", ""},
        {"X-Text", "gr\xC3\xBC\xC3\x9F \"quoted\" \\ back"},
        {"Accept", "*/*"},
        {"Authorization", "Bearer secret-token"},
        {"content-type", "application/vnd.own+json"},
        {"User-Agent", "own/2"},
        {"HOST", "virtual.example"},
        {"Cookie", "a=b; c=d"},
    };
    enum { POOL = sizeof pool / sizeof *pool };
    uint32_t used = 0;
    while (l->headers_count < TRUTH_HEADERS_MAX && world_draw(w, 45)) {
        uint32_t k = world_below(w, POOL);
        if (used & BIT(k)) continue;
        used |= BIT(k);
        l->header[l->headers_count++] = pool[k];
        if (strcmp(pool[k].name, "Authorization") == 0) l->authorization[0] = 0;
        if (strcmp(pool[k].name, "content-type") == 0) l->content_type = NULL;
    }
}

/* Fills the body and its inferred type; returns whether it stands in the record as an object. */
static bool draw_body(struct world *w, struct truth_line *l, struct text *bodies, bool crowd)
{
    static const struct {
        const char *text, *type;
    } strings[] = {
        {"hello", "text/plain; charset=utf-8"},
        {"", "text/plain; charset=utf-8"},
        {"line one\nline two\t\"x\" \\ gr\xC3\xBC\xC3\x9F", "text/plain; charset=utf-8"},
        {"{\"broken\":", "text/plain; charset=utf-8"},
        {"{\"a\":[1,2,{\"b\":null}]}", "application/json"},
        {"[1,2]", "application/json"},
        {"123", "application/json"},
        {"true", "application/json"},
        {"a=1&b=2", "text/plain; charset=utf-8"},
    };
    static const char *const objects[] = {
        "{}",
        "{ }",
        "{\"a\":1}",
        "{\"text\":\"a\\u0041\\n\\\"}{\",\"n\":-1.50e+3,\"deep\":[[],{\"x\":{}}]}",
        "{ \"a\" : [ 1 , 2 ] ,\t\"b\" : null }",
    };
    l->has_body = true;
    l->body = bodies->at + bodies->len;
    bool object = world_draw(w, 55);
    if (object && world_draw(w, 40)) {
        put(bodies, "%s", objects[world_below(w, sizeof objects / sizeof *objects)]);
    } else if (object) {
        uint32_t pad = world_below(w, 600);
        if (crowd && world_draw(w, 15)) pad = world_below(w, 30000);
        put(bodies, "{\"n\":%u,\"pad\":\"", l->number);
        for (; pad > 0; pad--) put_byte(bodies, (char)('a' + pad % 26));
        put(bodies, "\"}");
    } else {
        uint32_t k = world_below(w, sizeof strings / sizeof *strings);
        put(bodies, "%s", strings[k].text);
        l->content_type = strings[k].type;
    }
    if (object) l->content_type = "application/json";
    l->body_len = (uint32_t)(bodies->at + bodies->len - l->body);
    bodies->len++; /* keeps its terminator */
    return object;
}

/* A time in the record, in one of the forms there are; returns it as it stands there. */
static uint64_t put_time(struct world *w, struct text *t, const char *name, uint64_t wall_ns)
{
    uint64_t s = wall_ns / 1000000000;
    if (world_draw(w, 50)) {
        put(t, "\"%s\":%llu", name, (unsigned long long)s);
        return s * 1000000000;
    }
    char date[48];
    http_date_write(date, sizeof date, s); /* "Sun, 06 Nov 1994 08:49:37 GMT" */
    static const char *const months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char month[4] = {date[8], date[9], date[10], 0};
    uint32_t number = (uint32_t)(strstr(months, month) - months) / 3 + 1;
    uint32_t ms = (uint32_t)(wall_ns / 1000000 % 1000);
    put(t, "\"%s\":\"%.4s-%02u-%.2sT%.8s.%03uZ\"", name, date + 12, number, date + 5, date + 17,
        ms);
    return s * 1000000000 + ms * UINT64_C(1000000);
}

/* Key, not_before and deadline. */
static void put_sched_fields(struct scene *s, struct text *t, struct truth_line *l)
{
    struct world *w = s->world;
    uint64_t wall_ns = w->wall_ns + w->now_ns, span_ns = s->heal_ns - w->now_ns;
    if (world_draw(w, 40)) {
        l->key = 1 + world_below(w, RECEIVER_KEYS - 1);
        put(t, ",\"key\":\"key %u\"", l->key);
    }
    if (world_draw(w, 8)) {
        put(t, ",");
        l->not_before_wall_ns =
            put_time(w, t, "not_before", wall_ns + prng_below(&w->dice, span_ns));
    }
    if (world_draw(w, 8)) {
        put(t, ",");
        uint64_t at_ns = wall_ns + prng_below(&w->dice, 2 * span_ns);
        l->deadline_wall_ns = put_time(w, t, "deadline", at_ns - (world_draw(w, 10) ? span_ns : 0));
    }
}

/* Fields that change nothing, but that a key of its own is not held with the others. */
static void put_idle_field(struct world *w, struct text *t, struct truth_line *l)
{
    static const char *const fields[] = {
        "\"key\":\"tenant\"",
        "\"not_before\":1000",
        "\"not_before\":\"2020-01-01T00:00:00Z\"",
        "\"deadline\":7000000000",
        "\"deadline\":\"2199-12-31T23:59:59.5+01:00\"",
    };
    uint32_t which = world_below(w, sizeof fields / sizeof *fields);
    if (which == 0) l->key = RECEIVER_KEYS;
    put(t, "%s", fields[which]);
}

static void put_field(struct world *w, struct text *t, struct truth_line *l, uint32_t which,
                      bool object)
{
    if (which == 0) put_pair(w, t, "url", l->url);
    if (which == 1) put_pair(w, t, "id", l->id);
    if (which == 2) put_pair(w, t, world_draw(w, 20) ? "request_method" : "method", l->method);
    if (which == 3) {
        put(t, world_draw(w, 20) ? "\"request_headers\":{" : "\"headers\":{");
        for (uint32_t i = 0; i < l->headers_count; i++) {
            if (i > 0) put(t, ",");
            put_pair(w, t, l->header[i].name, l->header[i].value);
        }
        put(t, "}");
    }
    if (which == 5) put_idle_field(w, t, l);
    if (which != 4) return;
    put(t, "\"body\":");
    if (object) put(t, "%s", l->body);
    else put_string(w, t, l->body, l->body_len);
}

static void draw_record(struct scene *s, struct truth_line *l, const struct scene_host *hosts,
                        uint32_t hosts_count, struct text *t, struct text *bodies)
{
    static const char *const methods[] = {"POST", "POST", "POST", "GET", "PUT", "DELETE"};
    struct world *w = s->world;
    l->kind = LINE_VALID;
    s->valid++;
    l->host = world_below(w, hosts_count);
    draw_url(w, l, &hosts[l->host]);
    snprintf(l->method, sizeof l->method, "%s", methods[world_below(w, 6)]);
    bool object = false;
    if (l->method[0] != 'G' && world_draw(w, l->method[0] == 'D' ? 20 : 90))
        object = draw_body(w, l, bodies, s->crowd);
    draw_headers(w, l);
    if (world_draw(w, 85)) snprintf(l->id, sizeof l->id, "id-%u-%u", l->number, l->host);
    uint32_t order[] = {0, 1, 2, 3, 4, 5}, put_count = 0;
    enum { FIELDS = sizeof order / sizeof *order };
    for (uint32_t i = FIELDS; i > 1; i--) {
        uint32_t k = world_below(w, i), swap = order[k];
        order[k] = order[i - 1];
        order[i - 1] = swap;
    }
    bool spaced = world_draw(w, 10);
    put(t, "{");
    for (uint32_t i = 0; i < FIELDS; i++) {
        bool absent = (order[i] == 1 && l->id[0] == 0) ||
                      (order[i] == 3 && l->headers_count == 0) || (order[i] == 4 && !l->has_body) ||
                      (order[i] == 5 && (s->sched || world_draw(w, 95))) ||
                      (order[i] == 2 && strcmp(l->method, "POST") == 0 && world_draw(w, 60));
        if (absent) continue;
        if (put_count++ > 0) put(t, ",");
        space(w, t, spaced);
        put_field(w, t, l, order[i], object);
        space(w, t, spaced);
    }
    if (s->sched) put_sched_fields(s, t, l);
    put(t, "}");
}

/* ---- what is no record --------------------------------------------------------------------- */

#define REJECT_LEN(s) \
    { \
        s, sizeof(s) - 1 \
    }
static const struct {
    const char *text;
    size_t len;
} rejects[] = {
    REJECT_LEN("nonsense"),
    REJECT_LEN("{\"url\":\"http://10.0.0.1/\""),
    REJECT_LEN("[{\"url\":\"http://10.0.0.1/\"}]"),
    REJECT_LEN("\"http://10.0.0.1/\""),
    REJECT_LEN("{}"),
    REJECT_LEN("{\"id\":\"x\"}"),
    REJECT_LEN("{\"url\":5}"),
    REJECT_LEN("{\"url\":\"ftp://10.0.0.1/\"}"),
    REJECT_LEN("{\"url\":\"http:///path\"}"),
    REJECT_LEN("{\"url\":\"http://10.0.0.1:0/\"}"),
    REJECT_LEN("{\"url\":\"http://10.0.0.1:70000/\"}"),
    REJECT_LEN("{\"url\":\"http://10.0.0.1/a\\tb\"}"),
    REJECT_LEN("{\"url\":\"http://[fe80::1%25eth0]/\"}"),
    REJECT_LEN("{\"url\":\"http://10.0.0.1/\",\"method\":\"PATCH\"}"),
    REJECT_LEN("{\"url\":\"http://10.0.0.1/\",\"method\":\"GET\",\"body\":{}}"),
    REJECT_LEN("{\"url\":\"http://10.0.0.1/\",\"body\":[1]}"),
    REJECT_LEN("{\"url\":\"http://10.0.0.1/\",\"boddy\":{}}"),
    REJECT_LEN("{\"url\":\"http://10.0.0.1/\",\"url\":\"http://10.0.0.2/\"}"),
    REJECT_LEN("{\"url\":\"http://10.0.0.1/\",\"headers\":{\"A\":\"b\\r\\nC: d\"}}"),
    REJECT_LEN("{\"url\":\"http://10.0.0.1/\",\"headers\":{\"Content-Length\":\"5\"}}"),
    REJECT_LEN("{\"url\":\"http://10.0.0.1/\",\"headers\":{\"a b\":\"5\"}}"),
    REJECT_LEN("{\"url\":\"http://10.0.0.1/\"} {}"),
    REJECT_LEN("{\"url\":\"http://10.0.0.1/\",}"),
    REJECT_LEN("{\"url\":\"http://10.0.0.1/\",\"id\":\"\xFF\xFE\"}"),
    REJECT_LEN("{\"url\":\"http://10.0.0.1/\",\"id\":\"a\0b\"}"),
    REJECT_LEN("{\"url\":\"http://10.0.0.1/\",\"method\":5}"),
    REJECT_LEN("\0\0\0"),
};

static void draw_reject(struct scene *s, struct truth_line *l, struct text *t)
{
    struct world *w = s->world;
    l->kind = LINE_REJECT;
    s->rejected++;
    if (world_draw(w, 10)) { /* too long */
        put(t, "{\"url\":\"http://10.0.0.1/\",\"body\":\"");
        uint32_t n = s->config.record_bytes_max;
        n += world_draw(w, 50) ? 1 : world_below(w, 9000);
        if (world_draw(w, 4) && t->room - t->len > 2 * LONG_LINE_BYTES) {
            n += world_below(w, LONG_LINE_BYTES);
            PROBE("a line that no buffer holds");
        }
        for (; n > 0; n--) put_byte(t, 'x');
        put(t, "\"}");
        PROBE("a line over the limit");
        return;
    }
    uint32_t k = world_below(w, sizeof rejects / sizeof *rejects);
    for (size_t i = 0; i < rejects[k].len; i++) put_byte(t, rejects[k].text[i]);
}

void scene_lines(struct scene *s, const struct scene_host *hosts, uint32_t hosts_count, char *text,
                 size_t room, size_t *len)
{
    static const char *const blanks[] = {"", "", "   ", "\t"};
    struct world *w = s->world;
    struct truth *truth = &s->truth;
    static char bodies_mem[BODIES_BYTES_MAX];
    struct text t = {text, room, 0}, bodies = {bodies_mem, sizeof bodies_mem, 0};
    uint32_t lines = world_draw(w, 4) ? world_below(w, 2) : 4 + world_below(w, 44);
    if (s->crowd) lines = 300 + world_below(w, 400);
    truth->line = calloc(lines + 1, sizeof *truth->line);
    CHECK(truth->line != NULL);
    bool odd = world_draw(w, 50);
    bool all_crlf = world_draw(w, 10);
    text[0] = 0;
    for (uint32_t i = 0; i < lines; i++) {
        struct truth_line *l = &truth->line[truth->lines_count++];
        *l = (struct truth_line){.number = truth->lines_count, .offset = t.len};
        if (odd && world_draw(w, 15)) {
            draw_reject(s, l, &t);
        } else if (odd && world_draw(w, 10)) {
            l->kind = LINE_BLANK;
            s->blank++;
            put(&t, "%s", blanks[world_below(w, 4)]);
        } else {
            draw_record(s, l, hosts, hosts_count, &t, &bodies);
        }
        if (all_crlf || (odd && world_draw(w, 5))) put_byte(&t, '\r');
        l->len = t.len - l->offset;
        if (i + 1 < lines || !world_draw(w, 30)) put_byte(&t, '\n');
    }
    *len = t.len;
}
