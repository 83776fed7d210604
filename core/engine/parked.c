#include "core/engine/parked.h"

#include "core/net/exchange.h"

#include <string.h>
#include <xxhash.h>

#define SECOND_NS      UINT64_C(1000000000)
#define BITS_MAX(bits) ((UINT64_C(1) << (bits)) - 1)

_Static_assert(SENT_COUNT <= 4, "sent has two bits");
_Static_assert(ERR_COUNT <= 64, "why has six bits");

uint32_t parked_check(struct span line)
{
    return (uint32_t)XXH3_64bits(line.ptr, line.len) & (uint32_t)BITS_MAX(PARKED_CHECK_BITS);
}

bool parked_fits(const struct parking *p)
{
    return p->offset <= BITS_MAX(PARKED_OFFSET_BITS) && p->line <= BITS_MAX(PARKED_LINE_BITS) &&
           p->attempts <= PARKED_ATTEMPTS_MAX;
}

static uint64_t first_pack(const struct parking *p, uint64_t start_ns)
{
    if (p->first_attempt_ns == 0) return 0;
    uint64_t ago = p->first_attempt_ns > start_ns ? p->first_attempt_ns - start_ns : 0;
    uint64_t units = 1 + ago / PARKED_FIRST_UNIT_NS;
    return units < BITS_MAX(PARKED_FIRST_BITS) ? units : BITS_MAX(PARKED_FIRST_BITS);
}

static uint64_t deadline_pack(const struct parking *p, uint64_t start_ns)
{
    if (p->deadline_ns == UINT64_MAX) return 0;
    uint64_t from_start = p->deadline_ns > start_ns ? p->deadline_ns - start_ns : 0;
    uint64_t seconds = 1 + from_start / SECOND_NS;
    return seconds <= BITS_MAX(PARKED_DEADLINE_BITS) ? seconds : 0;
}

struct parked *parked_make(struct slab *slab, const struct flow *flow, const struct parking *p,
                           uint64_t start_ns)
{
    CHECK(parked_fits(p));
    struct parked *k = slab_take(slab, sizeof *k);
    if (k == NULL) return NULL;
    memset(k, 0, sizeof *k);
    k->flow = slab_handle(slab, flow);
    k->offset = p->offset & BITS_MAX(PARKED_OFFSET_BITS);
    k->line = p->line & BITS_MAX(PARKED_LINE_BITS);
    k->check = p->check & BITS_MAX(PARKED_CHECK_BITS);
    k->sent = p->sent & 3u;
    k->attempts = p->attempts & 255u;
    k->why = p->why & 63u;
    k->told = p->told;
    k->retry = p->retry;
    k->first = first_pack(p, start_ns) & BITS_MAX(PARKED_FIRST_BITS);
    k->deadline = deadline_pack(p, start_ns) & BITS_MAX(PARKED_DEADLINE_BITS);
    return k;
}

void parked_read(const struct parked *k, uint64_t start_ns, struct parking *out)
{
    *out = (struct parking){
        .offset = k->offset,
        .line = k->line,
        .check = (uint32_t)k->check,
        .attempts = (uint32_t)k->attempts,
        .why = (uint8_t)k->why,
        .sent = (uint8_t)k->sent,
        .retry = k->retry,
        .told = k->told,
        .first_attempt_ns = k->first > 0 ? start_ns + (k->first - 1) * PARKED_FIRST_UNIT_NS : 0,
        .deadline_ns = k->deadline > 0 ? start_ns + k->deadline * SECOND_NS : UINT64_MAX,
    };
}

void parked_free(struct slab *slab, struct parked *k)
{
    CHECK(!wheel_armed(&k->timer));
    slab_give(slab, k, sizeof *k);
}

void backlog_add(struct slab *slab, struct parked *k)
{
    struct flow_queue *q = &parked_flow(slab, k)->queue[k->retry ? FLOW_RETRY : FLOW_FIRST];
    uint32_t handle = slab_handle(slab, k);
    k->next = 0;
    k->state = PARKED_BACKLOG;
    if (q->last != 0) ((struct parked *)slab_at(slab, q->last))->next = handle;
    else q->first = handle;
    q->last = handle;
}

void backlog_take(struct slab *slab, struct flow *f, enum flow_kind kind)
{
    struct flow_queue *q = &f->queue[kind];
    struct parked *k = slab_at(slab, q->first);
    q->first = k->next;
    if (q->first == 0) q->last = 0;
    k->next = 0;
}

struct parked *backlog_first(struct slab *slab, struct flow *f, enum flow_kind kind)
{
    struct flow_queue *q = &f->queue[kind];
    while (q->first != 0) {
        struct parked *k = slab_at(slab, q->first);
        if (k->state == PARKED_BACKLOG) return k;
        backlog_take(slab, f, kind);
        if (k->state == PARKED_OVER) {
            k->state = PARKED_LOOSE;
        } else {
            CHECK(k->state == PARKED_GONE);
            parked_free(slab, k);
        }
    }
    return NULL;
}
