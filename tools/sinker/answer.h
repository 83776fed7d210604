/* tools/sinker/answer.h - which bytes a request is answered with.
 *
 * Everything usual is rendered once at start; only rare combinations (a chosen body size, a HEAD
 * request, a closing answer) are rendered when they are asked for, into the caller's scratch.
 * The plain 200 with its body is 100 bytes long.
 */
#ifndef TOOLS_SINKER_ANSWER_H
#define TOOLS_SINKER_ANSWER_H

#include "tools/sinker/behave.h"
#include "tools/sinker/dialect.h"

enum { ANSWER_SCRATCH_BYTES = 1024 + DIALECT_BYTES_MAX, ANSWER_BYTES_MAX = 72 * 1024 };

struct answers; /* read-only after answers_new(), shared by all threads */

struct answer {
    struct span bytes;   /* lent: from answers, from a table or from the caller's scratch */
    struct span tail;    /* likewise, sent right after bytes; mostly empty */
    uint64_t fill_bytes; /* so many 'x' follow */
    uint16_t status;     /* 0: no status is sent */
    uint8_t after;       /* enum answer_after */
    bool drip;           /* send bytes one at a time */
};

struct answer_ask {
    const struct behave *behave;
    const struct quota_pass *pass; /* what the limit of behave said, if it has one */
    bool failing;                  /* flaky drew this request */
    bool is_head, http10, keep_alive;
    char *scratch; /* ANSWER_SCRATCH_BYTES */
};

struct answers *answers_new(void); /* NULL: no memory */
void answers_free(struct answers *a);

/* The answer to a request that was read completely. */
void answer_choose(const struct answers *a, const struct answer_ask *ask, struct answer *out);
/* 404 with the list of behaviours. */
void answer_unknown(const struct answers *a, const struct answer_ask *ask, struct answer *out);
/* 400 or 431 to what is no proper request; closes. */
void answer_refuse(uint16_t status, const char *why, char *scratch, struct answer *out);

#endif
