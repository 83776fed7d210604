/* tests/unit/one_delivery.h - a delivery made as the engine makes it, from a line of the input. */
#ifndef TESTS_UNIT_ONE_DELIVERY_H
#define TESTS_UNIT_ONE_DELIVERY_H

#include "core/engine/delivery.h"
#include "tests/unit/must.h"

#include <stdlib.h>
#include <string.h>

/* Static storage is zero: everything is made at the first use. */
struct maker {
    struct slab *slab;
    struct record_parser *parser;
    struct delivery_rules rules;
    struct record record; /* of the last line */
    char *line;           /* owns: the last line and its padding; one byte more would be beyond */
    bool never;           /* of the last delivery */
};

static inline void maker_parse(struct maker *m, struct span line)
{
    static const struct record_rules rules = {.record_bytes_max = 1 << 20};
    struct reject why;
    if (m->parser == NULL) m->parser = record_parser_new(&rules);
    free(m->line);
    m->line = malloc(line.len + RECORD_PADDING);
    MUST(m->parser != NULL && m->line != NULL);
    memcpy(m->line, line.ptr, line.len);
    memset(m->line + line.len, '}', RECORD_PADDING);
    enum record_status status =
        record_parse(m->parser, span_of(m->line, line.len), &m->record, &why);
    MUST(status == RECORD_OK, "%u: %s: %.*s", why.column, why.reason, (int)line.len, line.ptr);
}

/* NULL: no memory, see m->never. */
static inline struct delivery *maker_try(struct maker *m, struct span line, uint64_t number,
                                         const char *host)
{
    maker_parse(m, line);
    if (m->slab == NULL) m->slab = slab_new(16 << 20);
    MUST(m->slab != NULL);
    return delivery_make(m->slab, &m->rules, &m->record, span_of(m->line, line.len), number,
                         span_of(host, strlen(host)), &m->never);
}

static inline struct delivery *maker_make(struct maker *m, const char *line, uint64_t number,
                                          const char *host)
{
    struct delivery *d = maker_try(m, span_of(line, strlen(line)), number, host);
    MUST(d != NULL, "%s", line);
    return d;
}

/* Everything must have been given back. */
static inline void maker_end(struct maker *m)
{
    if (m->slab != NULL) slab_free(m->slab);
    if (m->parser != NULL) record_parser_free(m->parser);
    free(m->line);
}

#endif
