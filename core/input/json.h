/* core/input/json.h - finds and checks the JSON of one line, without building a tree.
 *
 * Two steps. json_scan() (json.cc) is simdjson's stage 1: it checks UTF-8, the ends of strings and
 * control characters in them, and writes down where every token begins. json_walk.c then follows
 * the grammar (RFC 8259) from token to token. simdjson's own second steps do not fit here:
 * on-demand's raw_json() steps over a value without looking into it, so that a broken body would
 * be sent. Instructions for a record of 397 bytes (icelake kernel, 3.0.1, single-stepped): stage 1
 * 690, then 760 for the walk of the body; simdjson's tree 3,320, an on-demand visit to every
 * value 4,870.
 *
 * Memory: the token index, 4 bytes for each byte of the longest line, is reserved at start and
 * touched as far as lines need it. A json belongs to one thread.
 */
#ifndef CORE_INPUT_JSON_H
#define CORE_INPUT_JSON_H

#include "core/base/limits.h"
#include "core/base/span.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct json;

/* Reads texts of at most text_bytes_max bytes. NULL when memory is short. */
struct json *json_new(uint32_t text_bytes_max);
void json_free(struct json *j);

/* The instruction set that simdjson chose for this machine: "icelake", "haswell", ... */
const char *json_backend(void);

/* A place in a text that was scanned. Tokens are offsets: of each of { } [ ] : , and of the first
 * byte of each string, number and literal. One past the last token stands the last once more: no
 * grammar takes any token but an opening or a closing bracket twice, and at those the walk looks
 * whether it has come to the end. So it need not look at every token, and reads no byte beyond
 * the text. */
struct json_walk {
    const char *text;      /* borrowed */
    uint32_t len;          /* bytes */
    const uint32_t *token; /* the next one to read */
    const uint32_t *end;   /* one past the last token */
    uint32_t escape;       /* offset of the first backslash not yet read; UINT32_MAX: none */
    /* After a failure. */
    const char *why; /* a static clause */
    uint32_t why_at; /* offset */
};

enum { JSON_PADDING = 8 }; /* readable bytes after a text; their values do not matter */

/* False: not JSON, and w->why says in what. The walk is valid until the next scan. At least one
 * token is found: a text of white space only fails. */
bool json_scan(struct json *j, struct span text, struct json_walk *w)
    __attribute__((warn_unused_result));

/* json.cc's half of json_scan(): true when tokens were found. False: not JSON. */
bool json_index(struct json *j, const char *text, uint32_t len, const uint32_t **tokens,
                uint32_t *count) __attribute__((warn_unused_result));

/* Steps over one value, whatever it is, checking all of it; nested containers count from depth
 * (0: the value is the text's root). */
bool json_skip(struct json_walk *w, uint32_t depth) __attribute__((warn_unused_result));

/* Writes raw without its escapes to out, which holds raw.len bytes, and the bytes written to
 * *out_len. False: an escape is broken or stands for no character (a lone surrogate); *bad is its
 * offset in raw. */
bool json_unescape(struct span raw, char *out, size_t *out_len, size_t *bad)
    __attribute__((warn_unused_result));

/* Steps over one number and gives its bytes. */
bool json_number(struct json_walk *w, struct span *raw) __attribute__((warn_unused_result));

/* Records a failure at the next token; returns false. */
bool json_fail(struct json_walk *w, const char *why);

/* True when text is one JSON text (RFC 8259) no deeper than LIMIT_JSON_DEPTH. */
bool json_valid(struct json *j, struct span text);

/* The first byte of the next token; past the end the last token's once more. */
static inline char json_next(const struct json_walk *w) { return w->text[*w->token]; }

static inline bool json_at_end(const struct json_walk *w) { return w->token >= w->end; }

static inline bool json_is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* Checks the escapes of the string that is the next token, and moves w->escape past them. */
bool json_string_escapes(struct json_walk *w) __attribute__((warn_unused_result));

/* Steps over one string, which the next token must be (json_next(w) == '"'), and gives what
 * stands between its quotes. *escaped: it holds backslashes, each of them part of an escape.
 * Inline: it is the commonest step outside a body. */
static inline __attribute__((warn_unused_result)) bool json_string(struct json_walk *w,
                                                                   struct span *raw, bool *escaped)
{
    if (w->token + 1 >= w->end) {
        w->token = w->end;
        return json_fail(w, "");
    }
    uint32_t from = w->token[0] + 1, to = w->token[1] - 1;
    while (w->text[to] != '"') to--; /* white space between the quote and the next token */
    raw->ptr = w->text + from;
    raw->len = to - from;
    *escaped = to > w->escape;
    if (*escaped && !json_string_escapes(w)) return false;
    w->token++;
    return true;
}

#ifdef __cplusplus
}
#endif

#endif
