/* tools/sinker/oddity.h - answers that are malformed (/bad/NAME) or legal but rare (/odd/NAME).
 *
 * One row for each rule of framing that a sender must hold to. A row gives the bytes of the whole
 * answer and what happens to the connection afterwards. Unless a row needs the end of the
 * connection to mean what it says, the connection stays open: the sender has to judge by the
 * bytes alone.
 */
#ifndef TOOLS_SINKER_ODDITY_H
#define TOOLS_SINKER_ODDITY_H

#include "core/base/span.h"

#include <stdint.h>

enum oddity_special {
    ODDITY_BYTES,    /* send the row's bytes */
    ODDITY_BIG_HEAD, /* send a head that is over 64 KiB */
    ODDITY_EARLY,    /* send the usual answer as soon as the request's head is there */
    ODDITY_DRIP      /* send the usual answer one byte at a time */
};

/* What becomes of the connection when the answer is out. */
enum answer_after {
    AFTER_NEXT,  /* read the next request */
    AFTER_CLOSE, /* close */
    AFTER_DRAIN, /* end our side, discard input for a while, close */
    AFTER_RESET, /* close with a reset */
    AFTER_HANG   /* stay silent until the peer closes */
};

struct oddity {
    struct span name;
    struct span bytes; /* empty but for ODDITY_BYTES */
    bool is_bad;       /* /bad/NAME, else /odd/NAME */
    uint16_t status;   /* as logged; 0: the bytes hold none */
    uint8_t special;   /* enum oddity_special */
    uint8_t after;     /* enum answer_after */
};

/* NULL when there is no such row. */
const struct oddity *oddity_find(bool is_bad, struct span name);

/* Row by row for the help text; NULL after the last. */
const struct oddity *oddity_at(unsigned index);

#endif
