/* core/input/record.h - one line of NDJSON into one webhook, or into a reject with its reason.
 *
 * The format is delivery.md section 1. Everything a record can be wrong in is found here, before
 * it is accepted, so that what is accepted can be sent. The JSON itself is read by simdjson,
 * behind core/input/json.cc.
 *
 * Threads: a parser belongs to one shard. A record's spans point into the line or into the
 * parser's own memory and are valid until the next record_parse() on that parser.
 */
#ifndef CORE_INPUT_RECORD_H
#define CORE_INPUT_RECORD_H

#include "core/base/limits.h"
#include "core/base/span.h"
#include "core/http/request.h"
#include "core/http/url.h"

#include <stdbool.h>
#include <stdint.h>

struct record {
    struct span id;       /* unescaped; len 0: none given */
    struct span url_text; /* unescaped, as given */
    struct url url;       /* its spans point into url_text, or into the parser */
    enum request_method method;
    struct header headers[LIMIT_RECORD_HEADERS];
    uint32_t headers_count;
    uint32_t header_kinds; /* BIT(enum header_kind) of each */
    bool has_body;
    struct span body;         /* object form: the bytes as they stand; text form: unescaped */
    struct span content_type; /* the inferred one, when has_body and no header gives it */
    struct span key;          /* unescaped; len 0: none */
    uint64_t not_before_ns;   /* since 1970, UTC; 0: none */
    uint64_t deadline_ns;     /* since 1970, UTC; 0: none */
};

struct reject {
    uint32_t column;                        /* bytes into the line, from 1, where the trouble is */
    char reason[LIMIT_REJECT_REASON_BYTES]; /* one clause, no newline, printable, no secret */
};

struct record_rules {
    uint32_t record_bytes_max; /* --max-record; longer lines are rejects */
    const char *key_field;     /* --key-field; NULL: "key" */
    const uint8_t *ports;      /* --ports: a bit for each of 65536; NULL: all */
};

enum record_status {
    RECORD_OK,
    RECORD_REJECT,
    RECORD_BLANK, /* only white space: neither accepted nor rejected */
};

struct record_parser;

/* False when a --key-field is empty, too long, or the name of another field. Start-up only. */
bool record_key_field_ok(const char *name);

/* NULL when memory is short. rules->key_field must be ok; it and ports are borrowed. */
struct record_parser *record_parser_new(const struct record_rules *rules);
void record_parser_free(struct record_parser *p);

enum { RECORD_PADDING = 64 }; /* readable bytes that must follow a line's end in its buffer */

/* On RECORD_OK *out is valid, on RECORD_REJECT *why; what the other holds is undefined.
 * line is without its '\n' (a '\r' before it is white space). RECORD_PADDING bytes after it must
 * be readable; their values do not matter. */
enum record_status record_parse(struct record_parser *p, struct span line, struct record *out,
                                struct reject *why) __attribute__((warn_unused_result));

#endif
