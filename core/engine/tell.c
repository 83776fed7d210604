#include "core/engine/tell.h"

#include "core/base/check.h"
#include "core/base/json_text.h"

#include <string.h>

enum { ANSWER_BYTES_MAX = 2 * LIMIT_ANSWER_KEEP_BYTES, FIXED_BYTES_MAX = 640 + 256 };

static char *put_label(char *out, const char *label)
{
    return span_put(out, span_of(label, strlen(label)));
}

static char *put_quoted(char *out, const char *label)
{
    *out++ = '"';
    out = put_label(out, label);
    *out++ = '"';
    return out;
}

static char *put_stamp(char *out, struct stamp_cache *stamps, uint64_t wall_ns)
{
    *out++ = '"';
    stamp_utc(stamps, out, wall_ns);
    out += STAMP_UTC_BYTES;
    *out++ = '"';
    return out;
}

size_t tell_size_max(const struct telling *t)
{
    size_t answer = t->exchange->answer.body_kept > 0 ? JSON_TEXT_GROWTH * ANSWER_BYTES_MAX : 0;
    return FIXED_BYTES_MAX + t->delivery->log_len + t->delivery->path_len + answer;
}

enum { STATUS_DEFERRED = 598 };

static char *put_status(char *out, const struct exchange *ex)
{
    if (err_class_of(ex->why) == ERR_CLASS_UNREACHABLE)
        return out + stamp_u64(out, ERR_STATUS_UNREACHABLE);
    if (ex->why == ERR_OK || ex->why == ERR_STATUS_FINAL || ex->why == ERR_STATUS_RETRY)
        return out + stamp_u64(out, ex->answer.status);
    return span_put(out, SPAN_LIT("null"));
}

static char *put_error(char *out, const struct telling *t)
{
    const struct exchange *ex = t->exchange;
    if (ex->why == ERR_OK) return span_put(out, SPAN_LIT("null"));
    out = put_quoted(out, err_label(ex->why));
    if (t->detail == NULL) return out;
    out = span_put(out, SPAN_LIT(",\"detail\":"));
    return put_quoted(out, t->detail);
}

/* The answer's first bytes, without this request's secrets. */
static char *put_answer(char *out, const struct telling *t)
{
    const struct exchange *ex = t->exchange;
    char masked[ANSWER_BYTES_MAX];
    const struct delivery *d = t->delivery;
    size_t len = redact_answer(t->redact, span_of(ex->answer.body, ex->answer.body_kept),
                               span_of(delivery_request(d), d->request_len), masked, sizeof masked);
    *out++ = '"';
    out += json_text_write(out, span_of(masked, len));
    *out++ = '"';
    return out;
}

/* Of the last attempt, if that has just ended. */
static char *put_duration(char *out, const struct telling *t)
{
    const struct delivery *d = t->delivery;
    if (d->attempts == 0) return out + stamp_ms(out, 0);
    if (d->attempt_ns == 0) return span_put(out, SPAN_LIT("null"));
    return out + stamp_ms(out, t->exchange->ended_ns - d->attempt_ns);
}

size_t tell_result(const struct telling *t, char *line)
{
    const struct delivery *d = t->delivery;
    const struct exchange *ex = t->exchange;
    char *out = span_put(line, span_of(delivery_log(d), d->log_len));
    out = span_put(out, SPAN_LIT(",\"outcome\":"));
    out = put_quoted(out, outcome_label((enum outcome)d->fate));
    out = span_put(out, SPAN_LIT(",\"status\":"));
    out = put_status(out, ex);
    out = span_put(out, SPAN_LIT(",\"error\":"));
    out = put_error(out, t);
    out = span_put(out, SPAN_LIT(",\"sent\":"));
    out = put_quoted(out, sent_label(d->sent > ex->sent ? (enum sent)d->sent : ex->sent));
    out = span_put(out, SPAN_LIT(",\"attempts\":"));
    out += stamp_u64(out, d->attempts);
    out = span_put(out, SPAN_LIT(",\"first_attempt_at\":"));
    if (d->attempts > 0) out = put_stamp(out, t->stamps, t->since_wall_ns);
    else out = span_put(out, SPAN_LIT("null"));
    out = span_put(out, SPAN_LIT(",\"finished_at\":"));
    out = put_stamp(out, t->stamps, t->ended_wall_ns);
    out = span_put(out, SPAN_LIT(",\"duration_ms\":"));
    out = put_duration(out, t);
    out = span_put(out, SPAN_LIT(",\"total_ms\":"));
    out += stamp_ms(out, d->attempts == 0 ? 0 : ex->ended_ns - d->since_ns);
    if (d->fate != OUTCOME_DELIVERED && ex->answer.body_kept > 0) {
        out = span_put(out, SPAN_LIT(",\"answer\":"));
        out = put_answer(out, t);
    }
    out = span_put(out, SPAN_LIT("}\n"));
    CHECK((size_t)(out - line) <= tell_size_max(t));
    return (size_t)(out - line);
}

size_t tell_event(const struct telling *t, char *line)
{
    const struct delivery *d = t->delivery;
    const struct exchange *ex = t->exchange;
    char *out = span_put(line, span_of(delivery_log(d), d->log_len));
    out = span_put(out, SPAN_LIT(",\"url_path\":\""));
    out = span_put(out, span_of(delivery_log(d) + d->path_at, d->path_len));
    out = span_put(out, SPAN_LIT("\",\"is_terminal\":"));
    bool terminal = d->fate < OUTCOME_COUNT;
    out = span_put(out, terminal ? SPAN_LIT("true") : SPAN_LIT("false"));
    out = span_put(out, SPAN_LIT(",\"retry_count\":"));
    bool ended = d->attempts > 0 && !t->deferred; /* else the number of the one that waits */
    out += stamp_u64(out, ended ? d->attempts - 1u : d->attempts);
    out = span_put(out, SPAN_LIT(",\"http_status_code\":"));
    out = t->deferred ? out + stamp_u64(out, STATUS_DEFERRED) : put_status(out, ex);
    out = span_put(out, SPAN_LIT(",\"error\":"));
    out = t->deferred ? span_put(out, SPAN_LIT("\"host_on_hold\"")) : put_error(out, t);
    out = span_put(out, SPAN_LIT(",\"sent\":"));
    out = put_quoted(out, sent_label(ex->sent));
    out = span_put(out, SPAN_LIT(",\"content_length\":"));
    out += stamp_u64(out, d->body_len);
    out = span_put(out, SPAN_LIT(",\"webhook_duration\":"));
    out = put_duration(out, t);
    out = span_put(out, SPAN_LIT(",\"finished_at\":"));
    out = put_stamp(out, t->stamps, t->ended_wall_ns);
    out = span_put(out, SPAN_LIT(",\"raw_response\":"));
    if (ex->answer.body_kept > 0) out = put_answer(out, t);
    else out = span_put(out, SPAN_LIT("null"));
    out = span_put(out, SPAN_LIT("}\n"));
    CHECK((size_t)(out - line) <= tell_size_max(t));
    return (size_t)(out - line);
}
