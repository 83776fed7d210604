#include "core/net/trace.h"

#include "core/base/check.h"

#include <string.h>

/* What fits. */
static size_t keep(char *to, size_t used, size_t room, const void *bytes, size_t len)
{
    CHECK(used <= room);
    if (len > room - used) len = room - used;
    if (len > 0) memcpy(to + used, bytes, len);
    return used + len;
}

void trace_connecting(struct trace *t, const struct addr *to, uint64_t now_ns)
{
    if (t == NULL) return;
    for (int phase = TRACE_CONNECTING; phase < TRACE_PHASES; phase++) t->at_ns[phase] = 0;
    t->at_ns[TRACE_CONNECTING] = now_ns;
    t->addr = *to;
    t->answer_len = 0;
    t->answer_bytes = 0;
    t->chain.count = t->chain.shown = 0;
    t->tls[0] = '\0';
}

void trace_request(struct trace *t, const char *bytes, size_t len)
{
    if (t == NULL) return;
    t->request_len = keep(t->request, 0, t->request_room, bytes, len);
    t->request_bytes = len;
}

void trace_answer(struct trace *t, const void *bytes, size_t len, uint64_t now_ns)
{
    if (t == NULL) return;
    if (t->answer_bytes == 0) t->at_ns[TRACE_FIRST_BYTE] = now_ns;
    t->answer_len = keep(t->answer, t->answer_len, t->answer_room, bytes, len);
    t->answer_bytes += len;
}
