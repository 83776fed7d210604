#include "core/net/places.h"

#include "core/base/check.h"

#include <string.h>

bool addr_same(const struct addr *a, const struct addr *b)
{
    if (a->sa.sa_family != b->sa.sa_family) return false;
    if (a->sa.sa_family == AF_INET)
        return a->v4.sin_port == b->v4.sin_port && a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    return a->v6.sin6_port == b->v6.sin6_port &&
           memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof a->v6.sin6_addr) == 0;
}

/* ---- making ------------------------------------------------------------------------------- */

void places_interleave(struct addr *addrs, uint32_t count)
{
    struct addr sorted[PLACES_MAX];
    CHECK(count <= PLACES_MAX);
    uint32_t next[2] = {0, 0}, n = 0;
    const sa_family_t family[2] = {AF_INET6, AF_INET};
    for (int turn = 0; n < count; turn ^= 1) {
        uint32_t *i = &next[turn];
        while (*i < count && addrs[*i].sa.sa_family != family[turn]) ++*i;
        if (*i < count) sorted[n++] = addrs[(*i)++];
    }
    memcpy(addrs, sorted, count * sizeof *addrs);
}

static struct place *find(struct places *p, const struct addr *a)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (addr_same(&p->at[i].addr, a)) return &p->at[i];
    return NULL;
}

void places_make(struct places *p, const struct addr *addrs, uint32_t count,
                 const struct places *before)
{
    CHECK(count > 0 && count <= PLACES_MAX);
    CHECK(p != before);
    p->count = 0;
    p->room = count;
    for (uint32_t i = 0; i < count; i++) {
        if (find(p, &addrs[i]) != NULL) continue; /* named twice */
        struct place *to = &p->at[p->count++], *known = NULL;
        if (before != NULL) known = find((struct places *)(uintptr_t)before, &addrs[i]);
        *to = known != NULL ? *known : (struct place){.addr = addrs[i]};
    }
}

/* ---- choosing ----------------------------------------------------------------------------- */

static uint64_t memory_ns(const struct place *at)
{
    uint64_t ns = PLACE_FAILED_NS;
    for (uint32_t i = 1; i < at->fails && ns < PLACE_FAILED_MAX_NS; i++) ns *= 2;
    return ns < PLACE_FAILED_MAX_NS ? ns : PLACE_FAILED_MAX_NS;
}

/* Less is better. */
static uint64_t rank(const struct place *at, uint64_t now_ns)
{
    bool failed = at->failed_ns != 0 && at->failed_ns + memory_ns(at) > now_ns;
    if (failed) return at->failed_ns;
    return at->proven || at->trying == 0 ? 0 : 1;
}

static bool is_among(const struct addr *a, const struct addr *const *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (addr_same(list[i], a)) return true;
    return false;
}

struct place *places_pick(struct places *p, uint64_t now_ns, const struct addr *const *except,
                          uint32_t except_count)
{
    struct place *best = NULL;
    uint64_t best_rank = UINT64_MAX;
    for (uint32_t i = 0; i < p->count; i++) {
        uint64_t r = rank(&p->at[i], now_ns);
        if (r >= best_rank || is_among(&p->at[i].addr, except, except_count)) continue;
        best = &p->at[i];
        best_rank = r;
    }
    return best;
}

bool places_left(const struct places *p, uint64_t since_ns, const struct addr *const *except,
                 uint32_t except_count)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (p->at[i].failed_ns < since_ns && !is_among(&p->at[i].addr, except, except_count))
            return true;
    return false;
}

/* ---- learning ----------------------------------------------------------------------------- */

static void fail(struct place *at, uint64_t now_ns)
{
    CHECK(now_ns > 0);
    at->failed_ns = now_ns;
    at->proven = false;
    if (at->fails < UINT8_MAX) at->fails++;
}

void places_trying(struct places *p, const struct addr *a)
{
    struct place *at = find(p, a);
    if (at != NULL) at->trying++;
}

/* NULL: it came with an answer that was replaced since, or has come back in another one. */
static struct place *tried(struct places *p, const struct addr *a)
{
    struct place *at = find(p, a);
    if (at != NULL && at->trying > 0) at->trying--;
    return at;
}

void places_connected(struct places *p, const struct addr *a)
{
    struct place *at = tried(p, a);
    if (at == NULL) return;
    at->failed_ns = 0;
    at->fails = 0;
    at->proven = true;
}

void places_failed(struct places *p, const struct addr *a, uint64_t now_ns)
{
    struct place *at = tried(p, a);
    if (at != NULL) fail(at, now_ns);
}

void places_given_up(struct places *p, const struct addr *a) { (void)tried(p, a); }

void places_blame(struct places *p, const struct addr *a, uint64_t now_ns)
{
    struct place *at = find(p, a);
    if (at != NULL) fail(at, now_ns);
}
