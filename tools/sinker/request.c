/* tools/sinker/request.c - see request.h. The head is scanned line by line with memchr(), which
 * is several times faster than a search for the empty line followed by a second pass.
 */
#include "tools/sinker/request.h"

/* RFC 9110 section 5.6.2: what a method or a field name may be made of. */
static const char tchar[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
    ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
    ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['a' ... 'z'] = 1, ['A' ... 'Z'] = 1,
};

static bool is_token(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!tchar[(unsigned char)s.ptr[i]]) return false;
    return s.len > 0;
}

static enum request_result bad(struct request *r, const char *why)
{
    r->why = why;
    return REQUEST_BAD;
}

static bool decimal(struct span s, size_t digits_max, uint64_t *value)
{
    if (s.len == 0 || s.len > digits_max) return false;
    uint64_t v = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') return false;
        v = v * 10 + (uint64_t)(s.ptr[i] - '0');
    }
    *value = v;
    return true;
}

/* ?...&NAME=VALUE&...: the value, or an empty span. name ends in '='. */
static struct span query_value(struct span query, struct span name)
{
    const char *p = query.ptr, *end = query.ptr + query.len;
    while (p < end) {
        const char *amp = memchr(p, '&', (size_t)(end - p));
        if (!amp) amp = end;
        if ((size_t)(amp - p) > name.len && memcmp(p, name.ptr, name.len) == 0)
            return span_of(p + name.len, (size_t)(amp - p) - name.len);
        p = amp + 1;
    }
    return span_of(NULL, 0);
}

/* Origin form, absolute form (as proxies are asked) or "*". */
static bool split_target(struct span target, struct request *r)
{
    const char *p = target.ptr, *end = target.ptr + target.len;
    if (target.len > 7 && span_eq_nocase(span_of(p, 7), SPAN_LIT("http://"))) {
        p = memchr(p + 7, '/', target.len - 7);
        if (!p) p = end;
    } else if (target.len == 0 || (*p != '/' && !(target.len == 1 && *p == '*'))) {
        return false;
    }
    const char *mark = memchr(p, '?', (size_t)(end - p));
    r->path = span_of(p, (size_t)((mark ? mark : end) - p));
    r->query = mark ? span_of(mark + 1, (size_t)(end - mark) - 1) : span_of(end, 0);
    return true;
}

static enum request_result request_line(struct span line, struct request *r)
{
    const char *end = line.ptr + line.len;
    const char *sp = memchr(line.ptr, ' ', line.len);
    if (!sp) return bad(r, "the request line has no target");
    struct span method = span_of(line.ptr, (size_t)(sp - line.ptr));
    if (!is_token(method)) return bad(r, "the method is not a token");
    const char *target = sp + 1;
    sp = memchr(target, ' ', (size_t)(end - target));
    if (!sp) return bad(r, "the request line has no version");
    struct span version = span_of(sp + 1, (size_t)(end - sp) - 1);
    if (span_eq(version, SPAN_LIT("HTTP/1.0"))) r->http10 = true;
    else if (!span_eq(version, SPAN_LIT("HTTP/1.1"))) return bad(r, "the version is not HTTP/1.x");
    if (!split_target(span_of(target, (size_t)(sp - target)), r))
        return bad(r, "the request target is neither a path nor a URL");
    r->is_head = span_eq(method, SPAN_LIT("HEAD"));
    return REQUEST_DONE;
}

static void connection_options(struct span value, struct request *r)
{
    const char *p = value.ptr, *end = value.ptr + value.len;
    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        if (!comma) comma = end;
        const char *stop = comma;
        while (p < stop && *p == ' ') p++;
        while (stop > p && stop[-1] == ' ') stop--;
        struct span option = span_of(p, (size_t)(stop - p));
        if (span_eq_nocase(option, SPAN_LIT("close"))) r->close = true;
        if (span_eq_nocase(option, SPAN_LIT("keep-alive"))) r->keep_alive = true;
        p = comma + 1;
    }
}

static void offer_id(struct request *r, enum request_id_source source, struct span id)
{
    if (source >= r->id_source || id.len == 0) return;
    r->id_source = source;
    r->id = id;
}

static struct span unquoted(struct span s)
{
    if (s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"')
        return span_of(s.ptr + 1, s.len - 2);
    return s;
}

/* The fields that matter all differ in length, but for two pairs, so the length picks one. */
static enum request_result field(struct span name, struct span value, struct request *r)
{
    uint64_t n;
    switch (name.len) {
    case 4:
        if (span_eq_nocase(name, SPAN_LIT("host"))) r->hosts_count++;
        break;
    case 5:
        if (span_eq_nocase(name, SPAN_LIT("x-key"))) r->key = value;
        break;
    case 6:
        if (span_eq_nocase(name, SPAN_LIT("expect")))
            r->expect_continue = span_eq_nocase(value, SPAN_LIT("100-continue"));
        break;
    case 10:
        if (span_eq_nocase(name, SPAN_LIT("webhook-id"))) offer_id(r, REQUEST_ID_WEBHOOK, value);
        else if (span_eq_nocase(name, SPAN_LIT("connection"))) connection_options(value, r);
        break;
    case 13:
        if (span_eq_nocase(name, SPAN_LIT("x-hookline-id")))
            offer_id(r, REQUEST_ID_HOOKLINE, value);
        break;
    case 14:
        if (!span_eq_nocase(name, SPAN_LIT("content-length"))) break;
        if (r->has_length) return bad(r, "Content-Length comes twice");
        if (!decimal(value, 18, &r->content_length)) return bad(r, "Content-Length is no number");
        r->has_length = true;
        break;
    case 15: /* The draft standard quotes this one. */
        if (span_eq_nocase(name, SPAN_LIT("idempotency-key")))
            offer_id(r, REQUEST_ID_IDEMPOTENCY, unquoted(value));
        break;
    case 17:
        if (!span_eq_nocase(name, SPAN_LIT("transfer-encoding"))) break;
        if (r->chunked || !span_eq_nocase(value, SPAN_LIT("chunked")))
            return bad(r, "Transfer-Encoding is not just chunked");
        r->chunked = true;
        break;
    case 18:
        if (span_eq_nocase(name, SPAN_LIT("x-hookline-attempt")) && decimal(value, 9, &n))
            r->sender_attempt = (uint32_t)n;
        break;
    }
    return REQUEST_DONE;
}

static enum request_result field_line(struct span line, struct request *r)
{
    const char *colon = memchr(line.ptr, ':', line.len);
    if (!colon) return bad(r, "a field line has no colon");
    struct span name = span_of(line.ptr, (size_t)(colon - line.ptr));
    if (!is_token(name)) return bad(r, "a field name is not a token");
    const char *p = colon + 1, *end = line.ptr + line.len;
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t')) end--;
    return field(name, span_of(p, (size_t)(end - p)), r);
}

/* What can only be judged once the whole head is there. */
static enum request_result whole_head(const char *buf, struct request *r)
{
    if (memchr(buf, 0, r->head_bytes)) return bad(r, "NUL in the head");
    if (r->hosts_count != 1 && !(r->http10 && r->hosts_count == 0))
        return bad(r, "there is not exactly one Host");
    if (r->chunked && r->has_length) return bad(r, "Content-Length and Transfer-Encoding");
    if (r->chunked && r->http10) return bad(r, "chunked in HTTP/1.0");
    offer_id(r, REQUEST_ID_QUERY, query_value(r->query, SPAN_LIT("id=")));
    if (r->key.len == 0) r->key = query_value(r->query, SPAN_LIT("key="));
    return REQUEST_DONE;
}

enum request_result request_parse(const char *buf, size_t len, struct request *r)
{
    CHECK(buf != NULL);
    CHECK(r != NULL);
    *r = (struct request){.id_source = REQUEST_ID_NONE};
    const char *p = buf, *end = buf + len;
    for (bool first = true;; first = false) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        if (!nl) return REQUEST_MORE;
        if (nl == p || nl[-1] != '\r') return bad(r, "a line does not end in CR LF");
        struct span line = span_of(p, (size_t)(nl - p) - 1);
        p = nl + 1;
        if (line.len == 0) break;
        if (memchr(line.ptr, '\r', line.len)) return bad(r, "a bare CR in the head");
        enum request_result res = first ? request_line(line, r) : field_line(line, r);
        if (res != REQUEST_DONE) return res;
    }
    if (!r->path.ptr) return bad(r, "an empty line before the request");
    r->head_bytes = (size_t)(p - buf);
    return whole_head(buf, r);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

size_t request_id_decode(struct span id, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < id.len; i++) {
        if (id.ptr[i] == '%' && i + 2 < id.len && hex(id.ptr[i + 1]) >= 0 &&
            hex(id.ptr[i + 2]) >= 0) {
            out[n++] = (char)(hex(id.ptr[i + 1]) << 4 | hex(id.ptr[i + 2]));
            i += 2;
        } else {
            out[n++] = id.ptr[i];
        }
    }
    return n;
}

enum chunks_state {
    CHUNK_SIZE, /* the start of a body, so it must be 0 */
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER_FIRST, /* at the first byte of a trailer line or of the last, empty line */
    CHUNK_TRAILER,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF
};

/* In the middle of "SIZE [; extension] CR": one byte. */
static bool chunk_size_byte(struct chunks *c, char ch)
{
    if (++c->line_bytes > CHUNK_LINE_BYTES) return false;
    if (ch == '\r') {
        c->state = CHUNK_SIZE_LF;
        return c->digits > 0;
    }
    if (c->state == CHUNK_EXTENSION) return ch != '\n';
    if (ch == ';' || ch == ' ') {
        c->state = CHUNK_EXTENSION;
        return c->digits > 0;
    }
    if (hex(ch) < 0 || c->digits >= 15) return false;
    c->left = c->left << 4 | (uint64_t)hex(ch);
    c->digits++;
    return true;
}

static bool chunk_size_end(struct chunks *c, char ch)
{
    if (ch != '\n') return false;
    c->state = c->left > 0 ? CHUNK_DATA : CHUNK_TRAILER_FIRST;
    c->line_bytes = 0;
    c->digits = 0;
    return true;
}

static bool trailer_byte(struct chunks *c, char ch)
{
    if (++c->line_bytes > CHUNK_LINE_BYTES) return false;
    if (ch == '\r') c->state = c->state == CHUNK_TRAILER_FIRST ? CHUNK_END_LF : CHUNK_TRAILER_LF;
    else c->state = CHUNK_TRAILER;
    return ch != '\n';
}

/* One byte of framing. Returns false when it may not stand there. */
static bool framing_byte(struct chunks *c, char ch)
{
    switch ((enum chunks_state)c->state) {
    case CHUNK_SIZE:
    case CHUNK_EXTENSION: return chunk_size_byte(c, ch);
    case CHUNK_SIZE_LF: return chunk_size_end(c, ch);
    case CHUNK_DATA_CR: c->state = CHUNK_DATA_LF; return ch == '\r';
    case CHUNK_DATA_LF: c->state = CHUNK_SIZE; return ch == '\n';
    case CHUNK_TRAILER_FIRST:
    case CHUNK_TRAILER: return trailer_byte(c, ch);
    case CHUNK_TRAILER_LF:
        c->state = CHUNK_TRAILER_FIRST;
        c->line_bytes = 0;
        return ch == '\n';
    case CHUNK_DATA:
    case CHUNK_END_LF: break;
    }
    UNREACHABLE();
}

enum chunks_result chunks_feed(struct chunks *c, const char *buf, size_t len, size_t *used,
                               struct span *data)
{
    CHECK(c != NULL);
    CHECK(buf != NULL);
    for (size_t i = 0; i < len; i++) {
        if (c->state == CHUNK_DATA) {
            size_t n = c->left < len - i ? (size_t)c->left : len - i;
            *data = span_of(buf + i, n);
            *used = i + n;
            c->left -= n;
            if (c->left == 0) c->state = CHUNK_DATA_CR;
            return CHUNKS_DATA;
        }
        if (c->state == CHUNK_END_LF) {
            *used = i + 1;
            return buf[i] == '\n' ? CHUNKS_DONE : CHUNKS_BAD;
        }
        if (!framing_byte(c, buf[i])) return CHUNKS_BAD;
    }
    *used = len;
    return CHUNKS_MORE;
}
