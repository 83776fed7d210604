/* core/http/hints.c - from field lines to how fast to go on; see hints.h.
 *
 * First times and counts, then the plain fields, then the structured ones, then what it all means.
 * Nothing here can fail: what makes no sense is counted and leaves no trace.
 */
#include "core/http/hints.h"

#include "core/base/check.h"
#include "core/http/duration.h"
#include "core/http/structured.h"

#define NS_PER_S UINT64_C(1000000000)

/* Years of two digits are read as seen from here: 2026-01-01. Only what lies within days of now
 * matters, and that is read rightly until 2075 at least; another century is past either way. */
#define REFERENCE_S INT64_C(1767225600)

static void ignored(struct hints *h)
{
    if (h->ignored < UINT8_MAX) h->ignored++;
}

static void begin(struct hints *h)
{
    if (h->any) return;
    const size_t kept = offsetof(struct hints, items_count);
    memset((char *)h + kept, 0, sizeof *h - kept);
    h->any = true;
}

/* ---- Counts and times. ---- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Digits, and perhaps a fraction. */
struct decimal {
    uint64_t whole;
    uint32_t billionths;
    uint32_t step; /* the last digit's weight, in billionths */
};

static bool decimal_parse(struct span text, struct decimal *d)
{
    const char *p = text.ptr, *end = p + text.len;
    *d = (struct decimal){0, 0, (uint32_t)NS_PER_S};
    if (text.len == 0 || !is_digit(*p)) return false;
    for (; p < end && is_digit(*p); p++) {
        if (d->whole > (UINT64_MAX - 9) / 10) return false;
        d->whole = d->whole * 10 + (uint64_t)(*p - '0');
    }
    if (p == end) return true;
    if (*p++ != '.' || p == end) return false;
    for (; p < end && is_digit(*p); p++) {
        if (d->step == 1) continue; /* beyond the ninth */
        d->step /= 10;
        d->billionths += d->step * (uint32_t)(*p - '0');
    }
    return p == end;
}

static bool count_parse(struct span text, uint64_t *count)
{
    struct decimal d;
    if (!decimal_parse(text, &d) || d.whole > HINT_COUNT_MAX) return false;
    *count = d.whole;
    return true;
}

static bool above(const struct decimal *d, uint64_t bound)
{
    return d->whole > bound || (d->whole == bound && d->billionths > 0);
}

/* Seconds from now on, or an epoch in seconds or milliseconds, by its size. */
static bool number_time(const struct decimal *d, struct hint_time *t)
{
    bool milliseconds = above(d, UINT64_C(100000000000));
    uint64_t unit = milliseconds ? 1000000 : NS_PER_S;
    if (d->whole >= UINT64_MAX / unit) return false;
    uint64_t fraction = milliseconds ? d->billionths / 1000 : d->billionths;
    uint64_t step = milliseconds ? d->step / 1000 : d->step;
    uint64_t ns = d->whole * unit + fraction;
    if (step == 0) step = 1;
    if (above(d, 1000000000)) {
        *t = (struct hint_time){.epoch_ns = ns, .epoch_step_ns = step};
    } else {
        *t = (struct hint_time){.delta_ns = ns, .delta_step_ns = step};
    }
    return true;
}

/* Past is 0, and what goes beyond 64 bits is late enough at their end. */
static uint64_t epoch_of(int64_t s, uint32_t ns)
{
    if (s < 0) return 0;
    if ((uint64_t)s >= UINT64_MAX / NS_PER_S) return UINT64_MAX;
    return (uint64_t)s * NS_PER_S + ns;
}

static bool time_parse(struct span text, struct hint_time *t)
{
    struct decimal d;
    uint64_t delta, delta_step;
    uint32_t ns = 0, step = (uint32_t)NS_PER_S;
    int64_t s;

    if (decimal_parse(text, &d)) return number_time(&d, t);
    if (duration_parse(text, &delta, &delta_step)) {
        *t = (struct hint_time){.delta_ns = delta, .delta_step_ns = delta_step};
        return true;
    }
    if (!http_date(text, REFERENCE_S, &s) && !http_date_rfc3339(text, &s, &ns, &step)) return false;
    *t = (struct hint_time){.epoch_ns = epoch_of(s, ns), .epoch_step_ns = step};
    return true;
}

/* Keeps the later; false when they are two. */
static bool later(uint64_t *ns, uint64_t *step_ns, uint64_t other_ns, uint64_t other_step_ns)
{
    if (other_step_ns == 0) return true;
    bool agree = *step_ns == 0 || *ns == other_ns;
    if (*step_ns == 0 || other_ns > *ns) {
        *ns = other_ns;
        *step_ns = other_step_ns;
    }
    return agree;
}

/* A span of time and an epoch cannot be compared yet: then both are kept. */
static bool time_merge(struct hint_time *t, const struct hint_time *other)
{
    bool agree = later(&t->delta_ns, &t->delta_step_ns, other->delta_ns, other->delta_step_ns);
    return later(&t->epoch_ns, &t->epoch_step_ns, other->epoch_ns, other->epoch_step_ns) && agree;
}

/* Keeps the smaller; false when they are two. */
static bool count_merge(uint64_t *count, bool *has, uint64_t other)
{
    bool agree = !*has || *count == other;
    if (!*has || other < *count) *count = other;
    *has = true;
    return agree;
}

/* ---- Members of structured fields. ---- */

/* One member of a list, or one of a dictionary, with the parameters that matter here. */
struct member {
    bool inner; /* an inner list, of which nothing is kept */
    struct span key;
    struct sf_value value, r, t, q, w, qu; /* SF_NONE: absent */
};

struct members {
    struct sf sf;
    enum sf_event ahead; /* the event that ended the last member */
};

static void members_begin(struct members *in, enum sf_kind kind, struct span field)
{
    sf_begin(&in->sf, kind, field);
    in->ahead = sf_next(&in->sf);
}

static void param_take(struct member *m, struct span key, const struct sf_value *value)
{
    if (span_eq(key, SPAN_LIT("r"))) m->r = *value;
    if (span_eq(key, SPAN_LIT("t"))) m->t = *value;
    if (span_eq(key, SPAN_LIT("q"))) m->q = *value;
    if (span_eq(key, SPAN_LIT("w"))) m->w = *value;
    if (span_eq(key, SPAN_LIT("qu"))) m->qu = *value;
}

/* False at the end of the field or of what is good of it; in->ahead says which. */
static bool members_next(struct members *in, struct member *m)
{
    if (in->ahead != SF_ITEM && in->ahead != SF_INNER) return false;
    *m = (struct member){.inner = in->ahead == SF_INNER, .key = in->sf.key, .value = in->sf.value};
    for (;;) {
        in->ahead = sf_next(&in->sf);
        if (in->ahead == SF_PARAM) {
            if (!m->inner) param_take(m, in->sf.key, &in->sf.value);
        } else if (in->ahead != SF_INNER_END && !(in->sf.inner && in->ahead == SF_ITEM)) {
            return in->ahead != SF_BAD;
        }
    }
}

static bool is_name(const struct sf_value *v)
{
    return v->type == SF_STRING || v->type == SF_TOKEN;
}

/* FNV-1a of a string or token without its escapes; never 0. */
static uint32_t name_hash(struct span text)
{
    uint32_t hash = 2166136261;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\\') i++; /* well-formed: a byte follows */
        hash = (hash ^ (unsigned char)text.ptr[i]) * 16777619;
    }
    return hash > 0 ? hash : 1;
}

static bool count_of(const struct sf_value *v, uint64_t *count)
{
    if (v->type != SF_INTEGER || v->number < 0) return false;
    *count = (uint64_t)v->number;
    return true;
}

/* Seconds, with or without thousandths. */
static bool span_of_time(const struct sf_value *v, uint64_t *ns, uint32_t *step_ns)
{
    bool decimal = v->type == SF_DECIMAL;
    if ((v->type != SF_INTEGER && !decimal) || v->number < 0) return false;
    uint32_t unit = (uint32_t)NS_PER_S / (decimal ? 1000 : 1);
    if (__builtin_mul_overflow((uint64_t)v->number, (uint64_t)unit, ns)) return false;
    *step_ns = unit;
    return true;
}

/* ---- RateLimit. ---- */

/* Whether a allows less than b. */
static bool item_tighter(const struct hint_item *a, const struct hint_item *b)
{
    if (a->remaining != b->remaining) return a->remaining < b->remaining;
    return a->t_ns > b->t_ns;
}

/* Of two with one name the tighter stays, and so of too many. */
static void item_add(struct hint_item items[HINT_ITEMS_MAX], uint8_t *count,
                     const struct hint_item *item)
{
    struct hint_item *loosest = items;
    for (int i = 0; i < *count; i++) {
        if (items[i].name == item->name) {
            if (item_tighter(item, &items[i])) items[i] = *item;
            return;
        }
        if (item_tighter(loosest, &items[i])) loosest = &items[i];
    }
    if (*count < HINT_ITEMS_MAX) {
        items[(*count)++] = *item;
    } else if (item_tighter(item, loosest)) {
        *loosest = *item;
    }
}

/* Adds the items of one line to a copy that is thrown away when the line breaks the rules. */
static bool items_list(struct hints *h, struct span value)
{
    struct hint_item items[HINT_ITEMS_MAX];
    uint8_t count = h->items_count;
    bool sense = true;
    struct members in;
    struct member m;

    memcpy(items, h->items, sizeof items);
    members_begin(&in, SF_KIND_LIST, value);
    while (members_next(&in, &m)) {
        struct hint_item item = {0};
        if (m.inner || !is_name(&m.value) || !count_of(&m.r, &item.remaining)) {
            sense = false;
            continue;
        }
        item.name = name_hash(m.value.text);
        if (m.t.type != SF_NONE && !span_of_time(&m.t, &item.t_ns, &item.t_step_ns)) sense = false;
        item_add(items, &count, &item);
    }
    if (in.ahead == SF_BAD) return false;
    if (!sense || value.len == 0) ignored(h);
    memcpy(h->items, items, sizeof items);
    h->items_count = count;
    return true;
}

/* limit=100, remaining=50, reset=5: drafts up to 7. */
static bool items_dictionary(struct hints *h, struct span value)
{
    struct hint_item item = {0};
    bool has_remaining = false, sense = true;
    struct members in;
    struct member m;

    members_begin(&in, SF_KIND_DICTIONARY, value);
    while (members_next(&in, &m)) {
        bool good = true;
        if (span_eq(m.key, SPAN_LIT("limit"))) {
            good = item.has_limit = !m.inner && count_of(&m.value, &item.limit);
        } else if (span_eq(m.key, SPAN_LIT("remaining"))) {
            good = has_remaining = !m.inner && count_of(&m.value, &item.remaining);
        } else if (span_eq(m.key, SPAN_LIT("reset"))) {
            item.t_step_ns = 0;
            good = !m.inner && span_of_time(&m.value, &item.t_ns, &item.t_step_ns);
        }
        sense &= good;
    }
    if (in.ahead == SF_BAD) return false;
    if (!sense || !has_remaining) ignored(h);
    if (has_remaining) item_add(h->items, &h->items_count, &item);
    return true;
}

static void ratelimit_take(struct hints *h, struct span value)
{
    if (items_list(h, value) || items_dictionary(h, value)) return;
    h->items_bad = true;
    ignored(h);
}

/* ---- RateLimit-Policy, and policies in *-Limit. ---- */

/* False when the member makes no sense as a policy. */
static bool policy_of(const struct member *m, struct hint_policy *policy)
{
    uint32_t step_ns;
    *policy = (struct hint_policy){.requests = true};
    if (m->inner) return false;
    if (is_name(&m->value)) {
        policy->name = name_hash(m->value.text);
        if (!count_of(&m->q, &policy->q)) return false;
    } else if (!count_of(&m->value, &policy->q)) {
        return false;
    }
    if (m->w.type != SF_NONE && !span_of_time(&m->w, &policy->w_ns, &step_ns)) return false;
    if (policy->w_ns > HINT_WINDOW_MAX) policy->w_ns = HINT_WINDOW_MAX;
    if (m->qu.type != SF_NONE) {
        policy->requests = is_name(&m->qu) && span_eq(m->qu.text, SPAN_LIT("requests"));
    }
    return true;
}

/* False when there is no room. */
static bool policy_add(struct hint_policy policies[HINT_POLICIES_MAX], uint8_t *count,
                       const struct hint_policy *policy)
{
    for (int i = 0; i < *count; i++) {
        const struct hint_policy *p = &policies[i];
        if (p->q == policy->q && p->w_ns == policy->w_ns && p->name == policy->name &&
            p->requests == policy->requests) {
            return true;
        }
    }
    if (*count == HINT_POLICIES_MAX) return false;
    policies[(*count)++] = *policy;
    return true;
}

static void policy_take(struct hints *h, struct span value)
{
    struct hint_policy policies[HINT_POLICIES_MAX], policy;
    uint8_t count = h->policies_count;
    bool sense = value.len > 0;
    struct members in;
    struct member m;

    memcpy(policies, h->policies, sizeof policies);
    members_begin(&in, SF_KIND_LIST, value);
    while (members_next(&in, &m)) {
        sense &= policy_of(&m, &policy) && policy_add(policies, &count, &policy);
    }
    if (in.ahead == SF_BAD) {
        h->policies_bad = true;
        ignored(h);
        return;
    }
    if (!sense) ignored(h);
    memcpy(h->policies, policies, sizeof policies);
    h->policies_count = count;
}

/* ---- The plain fields. ---- */

/* 100, 100;w=60 as the first drafts had it: the limit, then policies. A list that contradicts
 * itself has no effect. */
static bool limit_list(struct hints *h, struct hint_quota *quota, struct span value)
{
    struct hint_policy policies[HINT_POLICIES_MAX], policy;
    uint8_t policies_count = h->policies_count;
    uint64_t limit = 0;
    bool room = true;
    struct members in;
    struct member m;

    memcpy(policies, h->policies, sizeof policies);
    members_begin(&in, SF_KIND_LIST, value);
    for (bool first = true; members_next(&in, &m); first = false) {
        if (!policy_of(&m, &policy) || policy.name != 0) return false;
        if (first) limit = policy.q;
        if (m.w.type != SF_NONE) {
            room &= policy_add(policies, &policies_count, &policy);
        } else if (policy.q != limit) {
            return false;
        }
    }
    if (in.ahead == SF_BAD || value.len == 0) return false;
    memcpy(h->policies, policies, sizeof policies);
    h->policies_count = policies_count;
    return count_merge(&quota->limit, &quota->has_limit, limit) && room;
}

static bool limit_take(struct hints *h, struct hint_quota *quota, struct span value)
{
    uint64_t limit;
    if (!count_parse(value, &limit)) return limit_list(h, quota, value);
    return count_merge(&quota->limit, &quota->has_limit, limit);
}

static bool remaining_take(struct hint_quota *quota, struct span value)
{
    uint64_t remaining;
    return count_parse(value, &remaining) &&
           count_merge(&quota->remaining, &quota->has_remaining, remaining);
}

static bool time_take(struct hint_time *t, struct span value)
{
    struct hint_time told;
    return time_parse(value, &told) && time_merge(t, &told);
}

/* ---- Names. ---- */

enum field {
    FIELD_NONE,
    FIELD_DATE,
    FIELD_RETRY_AFTER,
    FIELD_RATELIMIT,
    FIELD_POLICY,
    FIELD_LIMIT,
    FIELD_REMAINING,
    FIELD_RESET,
};

static const struct {
    struct span name;
    enum field field;
} whole_names[] =
    {
        {SPAN_LIT("date"), FIELD_DATE},
        {SPAN_LIT("retry-after"), FIELD_RETRY_AFTER},
        {SPAN_LIT("ratelimit"), FIELD_RATELIMIT},
        {SPAN_LIT("ratelimit-policy"), FIELD_POLICY},
},
  parts[] = {
      {SPAN_LIT("limit"), FIELD_LIMIT},
      {SPAN_LIT("remaining"), FIELD_REMAINING},
      {SPAN_LIT("reset"), FIELD_RESET},
};

static const struct span prefixes[HINT_FAMILY_COUNT] = {
    [HINT_RATELIMIT] = SPAN_LIT("ratelimit-"),
    [HINT_X_RATELIMIT] = SPAN_LIT("x-ratelimit-"),
    [HINT_X_RATE_LIMIT] = SPAN_LIT("x-rate-limit-"),
};

#define COUNT(table) (sizeof table / sizeof table[0])

static enum field field_of(struct span name, enum hint_family *family)
{
    for (size_t i = 0; i < COUNT(whole_names); i++) {
        if (span_eq_nocase(name, whole_names[i].name)) return whole_names[i].field;
    }
    for (int f = 0; f < HINT_FAMILY_COUNT; f++) {
        size_t len = prefixes[f].len;
        if (name.len <= len || !span_eq_nocase(span_of(name.ptr, len), prefixes[f])) continue;
        *family = (enum hint_family)f;
        for (size_t i = 0; i < COUNT(parts); i++) {
            if (span_eq_nocase(span_of(name.ptr + len, name.len - len), parts[i].name)) {
                return parts[i].field;
            }
        }
    }
    return FIELD_NONE;
}

void hints_field(struct hints *h, struct span name, struct span value)
{
    enum hint_family family = HINT_RATELIMIT;
    enum field field = field_of(name, &family);

    if (field == FIELD_DATE) hints_date(h, value);
    if (field == FIELD_NONE || field == FIELD_DATE) return;
    begin(h);
    struct hint_quota *quota = &h->quotas[family];
    bool sense = true;
    switch (field) {
    case FIELD_RATELIMIT: ratelimit_take(h, value); break;
    case FIELD_POLICY: policy_take(h, value); break;
    case FIELD_RETRY_AFTER: sense = time_take(&h->retry_after, value); break;
    case FIELD_LIMIT: sense = limit_take(h, quota, value); break;
    case FIELD_REMAINING: sense = remaining_take(quota, value); break;
    case FIELD_RESET: sense = time_take(&quota->reset, value); break;
    case FIELD_NONE:
    case FIELD_DATE: UNREACHABLE();
    }
    if (!sense) ignored(h);
}

void hints_field_cut(struct hints *h, struct span name)
{
    enum hint_family family;
    enum field field = field_of(name, &family);
    if (field == FIELD_NONE || field == FIELD_DATE) return;
    begin(h);
    ignored(h);
    if (field == FIELD_RATELIMIT) h->items_bad = true;
    if (field == FIELD_POLICY) h->policies_bad = true;
}

/* ---- What it all means. ---- */

struct clock {
    uint64_t now_ns, step_ns;
    uint64_t max_ns;
};

/* What one source tells. */
struct told {
    bool has_limit, has_remaining, has_reset;
    uint64_t limit, remaining, reset_ns, reset_step_ns, window_ns;
};

static struct clock clock_of(const struct hints *h, uint64_t wall_ns, uint64_t max_ns)
{
    int64_t s;
    if (http_date(span_of(h->date, h->date_len), REFERENCE_S, &s) && s > 0) {
        return (struct clock){epoch_of(s, 0), NS_PER_S, max_ns};
    }
    return (struct clock){wall_ns, 1, max_ns};
}

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* How long until t, the later of both if it was told in two ways; false if in none. */
static bool left_until(const struct hint_time *t, const struct clock *clock, uint64_t *ns,
                       uint64_t *step_ns)
{
    *ns = 0;
    *step_ns = 0;
    (void)later(ns, step_ns, t->delta_ns, t->delta_step_ns);
    if (t->epoch_step_ns > 0) {
        uint64_t left = t->epoch_ns > clock->now_ns ? t->epoch_ns - clock->now_ns : 0;
        (void)later(ns, step_ns, left, larger(t->epoch_step_ns, clock->step_ns));
    }
    if (*ns > clock->max_ns) *ns = clock->max_ns;
    return *step_ns > 0;
}

/* Whether a allows less than b in the long run; one without a window is the last choice. */
static bool policy_tighter(const struct hint_policy *a, const struct hint_policy *b)
{
    if (a->w_ns == 0 || b->w_ns == 0)
        return a->w_ns > b->w_ns || (a->w_ns == b->w_ns && a->q < b->q);
    return (unsigned __int128)a->q * b->w_ns < (unsigned __int128)b->q * a->w_ns;
}

/* The tightest policy that passes, or NULL. name 0: any. limit NULL: any. */
static const struct hint_policy *policy_find(const struct hints *h, uint32_t name,
                                             const uint64_t *limit)
{
    const struct hint_policy *best = NULL;
    for (int i = 0; i < h->policies_count && !h->policies_bad; i++) {
        const struct hint_policy *p = &h->policies[i];
        if (name != 0 ? p->name != name : !p->requests) continue;
        if (limit != NULL && p->q != *limit) continue;
        if (best == NULL || policy_tighter(p, best)) best = p;
    }
    return best;
}

static void told_policy(struct told *told, const struct hint_policy *policy)
{
    if (policy == NULL || !policy->requests) return;
    told->has_limit = true;
    told->limit = policy->q;
    told->window_ns = policy->w_ns;
}

/* What RateLimit tells, with the policy of that name. */
static void told_items(const struct hints *h, const struct clock *clock, struct told *told)
{
    const struct hint_item *best = NULL;
    for (int i = 0; i < h->items_count && !h->items_bad; i++) {
        const struct hint_item *item = &h->items[i];
        const struct hint_policy *policy = item->name ? policy_find(h, item->name, NULL) : NULL;
        if (policy != NULL && !policy->requests) continue; /* a quota of something else */
        if (best == NULL || item_tighter(item, best)) best = item;
    }
    if (best == NULL) return;
    told->has_remaining = true;
    told->remaining = best->remaining;
    told->has_reset = best->t_step_ns > 0;
    told->reset_ns = best->t_ns < clock->max_ns ? best->t_ns : clock->max_ns;
    told->reset_step_ns = best->t_step_ns;
    if (best->name != 0) {
        told_policy(told, policy_find(h, best->name, NULL));
    } else if (best->has_limit) {
        told_policy(told, policy_find(h, 0, &best->limit));
        told->has_limit = true;
        told->limit = best->limit;
    }
}

static void told_quota(const struct hints *h, const struct hint_quota *quota,
                       const struct clock *clock, struct told *told)
{
    told->has_remaining = quota->has_remaining;
    told->remaining = quota->remaining;
    told->has_reset = left_until(&quota->reset, clock, &told->reset_ns, &told->reset_step_ns);
    if (quota->has_limit) {
        told_policy(told, policy_find(h, 0, &quota->limit));
        told->has_limit = true;
        told->limit = quota->limit;
    }
}

/* Takes what out lacks. */
static void fill(struct hint *out, const struct told *from)
{
    if (!out->has_limit && from->has_limit) {
        out->has_limit = true;
        out->limit = from->limit;
        out->window_ns = from->window_ns;
    }
    if (!out->has_remaining && from->has_remaining) {
        out->has_remaining = true;
        out->remaining = from->remaining;
    }
    if (!out->has_reset && from->has_reset) {
        out->has_reset = true;
        out->reset_ns = from->reset_ns;
        out->reset_step_ns = from->reset_step_ns;
    }
}

void hints_resolve(const struct hints *h, uint64_t wall_ns, uint64_t max_ns, struct hint *out)
{
    enum { ITEMS, FAMILIES, POLICIES = FAMILIES + HINT_FAMILY_COUNT, SOURCE_COUNT };
    struct told told[SOURCE_COUNT] = {0};
    uint64_t step_ns;

    *out = (struct hint){0};
    if (!h->any) return;
    struct clock clock = clock_of(h, wall_ns, max_ns);
    told_items(h, &clock, &told[ITEMS]);
    for (int f = 0; f < HINT_FAMILY_COUNT; f++) {
        told_quota(h, &h->quotas[f], &clock, &told[FAMILIES + f]);
    }
    /* With an item, names decide. */
    if (!told[ITEMS].has_remaining) told_policy(&told[POLICIES], policy_find(h, 0, NULL));
    const struct told *best = NULL;
    for (int i = 0; i < SOURCE_COUNT; i++) {
        if (!told[i].has_remaining) continue;
        if (best == NULL || told[i].remaining < best->remaining) best = &told[i];
    }
    if (best != NULL) fill(out, best);
    for (int i = 0; i < SOURCE_COUNT; i++) fill(out, &told[i]);
    out->has_retry_after = left_until(&h->retry_after, &clock, &out->retry_after_ns, &step_ns);
    CHECK_HOT(out->reset_ns <= max_ns);
    CHECK_HOT(out->retry_after_ns <= max_ns);
}
