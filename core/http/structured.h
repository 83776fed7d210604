/* core/http/structured.h - reading structured fields (RFC 9651), strictly as its section 4.2 says.
 *
 * A pull parser: sf_begin(), then sf_next() until SF_END or SF_BAD. `a;x=1, (b c;y);z` gives
 * ITEM a, PARAM x, INNER, ITEM b, ITEM c, PARAM y, INNER_END, PARAM z, END. Pure; no allocation.
 *
 * The caller's part, as the RFC has it: after SF_BAD nothing that was told before counts either;
 * of two parameters, or two dictionary members, with one key the last counts; of several field
 * lines, one that is bad spoils them all.
 */
#ifndef CORE_HTTP_STRUCTURED_H
#define CORE_HTTP_STRUCTURED_H

#include "core/base/check.h"
#include "core/base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum sf_kind { SF_KIND_ITEM, SF_KIND_LIST, SF_KIND_DICTIONARY };

enum sf_type {
    SF_NONE, /* zeroed: no value */
    SF_INTEGER,
    SF_DECIMAL,
    SF_STRING,
    SF_TOKEN,
    SF_BYTES,
    SF_BOOLEAN,
    SF_DATE,
    SF_DISPLAY,
};

struct sf_value {
    uint8_t type;     /* enum sf_type */
    int64_t number;   /* INTEGER, BOOLEAN (0, 1), DATE (seconds since 1970); DECIMAL: thousandths */
    struct span text; /* STRING, TOKEN, BYTES, DISPLAY: between the delimiters, still encoded */
};

enum sf_event {
    SF_BAD,       /* the field is not what its kind demands; told again by every later call */
    SF_END,       /* and so is this */
    SF_ITEM,      /* value; in a dictionary, outside parentheses, key as well */
    SF_INNER,     /* an inner list begins; key as with SF_ITEM */
    SF_INNER_END, /* its parameters follow */
    SF_PARAM,     /* key, value: of the item or inner list before it */
};

struct sf {
    struct span key; /* both lie within the field */
    struct sf_value value;
    bool inner; /* between SF_INNER and SF_INNER_END */
    /* Nobody else's business. */
    uint8_t kind, state;
    const char *p, *end;
};

/* Begins to read a field's value, which must stay; sf_next() gives one part of it after another. */
void sf_begin(struct sf *s, enum sf_kind kind, struct span field);
enum sf_event sf_next(struct sf *s) MUST_USE;

#endif
