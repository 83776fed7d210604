/* tools/sinker/present.c - see present.h. */
#include "tools/sinker/present.h"

#include "core/base/atomic.h"
#include "tools/sinker/clock.h"

static const struct behave plain; /* 200 */

static uint64_t elapsed_ns(const struct present *p)
{
    uint64_t epoch_ns = load_rlx(&p->epoch_ns), now_ns = clock_mono_ns();
    return epoch_ns && now_ns > epoch_ns ? now_ns - epoch_ns : 0;
}

void present_request(struct present *p)
{
    uint64_t none = 0;
    if (!p->from_first || load_rlx(&p->epoch_ns) != 0) return;
    (void)cas_rlx(&p->epoch_ns, &none, clock_mono_ns());
}

/* Whether /after and /until let it be so now. */
static bool is_now(const struct present *p, const struct behave *b)
{
    if (b->after_ns == 0 && b->until_ns == 0) return true;
    uint64_t now_ns = elapsed_ns(p);
    return now_ns >= b->after_ns && (b->until_ns == 0 || now_ns < b->until_ns);
}

const struct behave *present_whole(const struct present *p)
{
    const struct behave *b = p->behave;
    if (!b && p->script && script_has_whole(p->script)) b = script_whole(p->script, elapsed_ns(p));
    return !b || is_now(p, b) ? b : &plain;
}

bool present_path(const struct present *p, struct span path, struct behave *out)
{
    const struct behave *b;
    switch (behave_parse(BEHAVE_PATH, path, out, NULL)) {
    case BEHAVE_UNKNOWN: *out = plain; return false;
    case BEHAVE_PLAIN: *out = plain; return true;
    case BEHAVE_DONE: break;
    }
    if (out->script.len) {
        b = p->script ? script_part(p->script, out->script, elapsed_ns(p)) : NULL;
        *out = b ? *b : plain;
        if (!b) return false;
    }
    if (!is_now(p, out)) *out = plain;
    return true;
}

bool present_may_hang_connect(const struct present *p)
{
    if (p->behave) return p->behave->hang == PHASE_CONNECT;
    return p->script && script_hangs(p->script, PHASE_CONNECT);
}

bool present_may_hang_accept(const struct present *p)
{
    if (p->behave) return p->behave->hang == PHASE_CONNECT || p->behave->hang == PHASE_ACCEPT;
    return p->script &&
           (script_hangs(p->script, PHASE_CONNECT) || script_hangs(p->script, PHASE_ACCEPT));
}

bool present_hangs_connect(const struct present *p)
{
    const struct behave *b = present_whole(p);
    return b && b->hang == PHASE_CONNECT;
}

bool present_hangs_accept(const struct present *p)
{
    const struct behave *b = present_whole(p);
    return b && (b->hang == PHASE_CONNECT || b->hang == PHASE_ACCEPT);
}
