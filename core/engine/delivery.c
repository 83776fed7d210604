#include "core/engine/delivery.h"

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/base/stamp.h"
#include "tls/sign.h"

#include <string.h>

_Static_assert(DELIVERY_ID_BYTES >= 17 + STAMP_U64_BYTES_MAX, "a derived id fits");

struct span delivery_id(const struct record *r, uint64_t run_id, uint64_t line,
                        char derived[DELIVERY_ID_BYTES])
{
    if (r->id.len > 0) return r->id;
    for (int i = 0; i < 16; i++) derived[i] = "0123456789abcdef"[(run_id >> (60 - 4 * i)) & 15];
    derived[16] = '-';
    return span_of(derived, 17 + stamp_u64(derived + 17, line));
}

/* An upper bound, cheap to know; what is not used is not touched. */
static size_t log_size_max(const struct record *r, const struct redact *redact, struct span id,
                           struct span host)
{
    size_t query = r->url.query.len;
    if (redact->count > 0) query = redact_query_size_max(query);
    return sizeof "{\"id\":\"\",\"line\":,\"url\":\"https://[]:65535/?\",\"host\":\"\"" +
           STAMP_U64_BYTES_MAX + json_text_size(id) + 2 * host.len + r->url.host.len +
           JSON_TEXT_GROWTH * r->url.path.len + JSON_TEXT_GROWTH * query;
}

/* The URL without userinfo and fragment. */
static char *put_url(char *out, const struct url *u, const struct redact *redact, const char *log,
                     struct delivery *d)
{
    out = span_put(out, u->scheme == URL_HTTPS ? SPAN_LIT("https://") : SPAN_LIT("http://"));
    bool v6 = u->host_kind == URL_HOST_V6;
    if (v6) *out++ = '[';
    out = span_put(out, u->host);
    if (v6) *out++ = ']';
    if (!u->port_default) {
        *out++ = ':';
        out += stamp_u64(out, u->port);
    }
    d->path_at = (uint32_t)(out - log);
    if (u->path.len == 0) *out++ = '/';
    out += json_text_write(out, u->path);
    d->path_len = (uint32_t)(out - log) - d->path_at;
    if (!u->has_query) return out;
    *out++ = '?';
    if (redact->count == 0) return out + json_text_write(out, u->query);
    /* Masked at the far end of its room, then escaped from there to its place. */
    size_t room = redact_query_size_max(u->query.len);
    char *far = out + (JSON_TEXT_GROWTH - 1) * room;
    size_t len = redact_query(redact, u->query, far);
    memmove(far + room - len, far, len);
    return out + json_text_write(out, span_of(far + room - len, len));
}

static void put_log(struct delivery *d, const struct record *r, const struct redact *redact,
                    struct span id, uint64_t line, struct span host)
{
    char *log = d->bytes, *out = log;
    out = span_put(out, SPAN_LIT("{\"id\":\""));
    out += json_text_write(out, id);
    out = span_put(out, SPAN_LIT("\",\"line\":"));
    out += stamp_u64(out, line);
    out = span_put(out, SPAN_LIT(",\"url\":\""));
    out = put_url(out, &r->url, redact, log, d);
    out = span_put(out, SPAN_LIT("\",\"host\":\""));
    out = span_put(out, host);
    *out++ = '"';
    d->log_len = (uint32_t)(out - log);
}

struct delivery *delivery_make(struct slab *slab, const struct delivery_rules *rules,
                               const struct record *record, struct span raw, uint64_t line,
                               struct span host, bool *never)
{
    char derived[DELIVERY_ID_BYTES];
    struct span id = delivery_id(record, rules->run_id, line, derived);
    struct request q = {
        .method = record->method,
        .url = &record->url,
        .headers = record->headers,
        .headers_count = record->headers_count,
        .kinds_seen = record->header_kinds,
        .has_body = record->has_body,
        .body = record->body,
        .content_type = record->content_type,
        .user_agent = rules->user_agent,
        .idempotency_key = rules->idempotency_key ? id : (struct span){"", 0},
        .webhook_id = id,
        .signature_bytes = rules->signer != NULL ? signer_value_bytes(rules->signer) : 0,
    };
    size_t request_len = request_size(&q), raw_len = rules->keep_raw ? raw.len : 0;
    size_t bytes = sizeof(struct delivery) + log_size_max(record, &rules->redact, id, host) +
                   request_len + raw_len;
    /* Twice: the slab rounds up, and the largest record must leave room for others. */
    *never = 2 * bytes > slab_limit_bytes(slab);
    struct delivery *d = *never ? NULL : slab_take(slab, bytes);
    if (d == NULL) return NULL;
    memset(d, 0, sizeof *d);
    d->block_bytes = (uint32_t)bytes;
    put_log(d, record, &rules->redact, id, line, host);
    d->request_len = (uint32_t)request_render(&q, d->bytes + d->log_len);
    CHECK(d->request_len == request_len);
    d->raw_len = (uint32_t)raw_len;
    d->id_len = rules->signer != NULL ? (uint16_t)id.len : 0;
    if (raw_len > 0) memcpy(d->bytes + d->log_len + d->request_len, raw.ptr, raw_len);
    d->body_len = record->has_body ? (uint32_t)record->body.len : 0;
    CHECK(sizeof *d + d->log_len + d->request_len + d->raw_len <= bytes);
    return d;
}

/* Signed is "ID.TIMESTAMP.BODY". The body stands behind the head, which is longer than what must
 * stand before it: so it is written there for as long as it takes, and no body is ever copied. */
void delivery_sign(struct delivery *d, const struct signer *signer, uint64_t wall_s)
{
    char kept[LIMIT_ID_BYTES + 2 + SIGN_STAMP_BYTES];
    char signatures[SIGN_VALUE_BYTES_MAX];
    size_t before = d->id_len + 2u + SIGN_STAMP_BYTES, bytes = signer_value_bytes(signer);
    CHECK(d->id_len > 0);
    CHECK(before <= sizeof kept);
    CHECK(wall_s < UINT64_C(10000000000));
    struct request_signed p =
        request_signed_parts(d->bytes + d->log_len, d->request_len, d->body_len, d->id_len, bytes);
    char *message = p.body - before, stamp[SIGN_STAMP_BYTES];
    for (int i = SIGN_STAMP_BYTES - 1; i >= 0; i--, wall_s /= 10)
        stamp[i] = (char)('0' + wall_s % 10);
    memcpy(p.stamp, stamp, sizeof stamp);

    memcpy(kept, message, before);
    memmove(message, p.id, d->id_len); /* the signature's room ends before it, or is in kept */
    message[d->id_len] = '.';
    memcpy(message + d->id_len + 1, stamp, sizeof stamp);
    p.body[-1] = '.';
    bool ok = signer_sign(signer, span_of(message, before + d->body_len), signatures);
    memcpy(message, kept, before);
    CHECK(ok); /* SHA-256 and ed25519 of bytes in memory: nothing that could fail */
    memcpy(p.signature, signatures, bytes);
}

void delivery_free(struct slab *slab, struct delivery *d)
{
    CHECK(d != NULL);
    slab_give(slab, d, d->block_bytes);
}
