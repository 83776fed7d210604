/* core/engine/redact.c - masks secrets in what receivers say and in URLs.
 *
 * An answer is read once from first byte to last. At each byte two questions are asked: does a
 * secret of the request begin here, and does a named member or pair begin here whose value is to
 * be hidden? Everything that any of the answers covers is masked, so that secrets that overlap
 * leave no rest. When in doubt where a value ends, more is masked rather than less.
 *
 * Receivers rarely echo byte for byte: "/" comes back as "\/" or "\u002f", a query decoded, a
 * body as a string in JSON with all its quotation marks escaped. Secrets and names are therefore
 * compared both as they are and unescaped (JSON's escapes of ASCII, percent-encoding), and a
 * quotation mark may have any number of backslashes. Not undone: HTML's entities, escaped bytes
 * above 127, anything that is hashed, compressed or encoded anew.
 *
 * Secrets are spans into the request, or into a scratch for those that had to be decoded. When
 * either is full the whole excerpt is masked: no answer is worth more than a secret.
 *
 * Pure, any thread; about 34 KiB of stack.
 */
#include "core/engine/redact.h"

#include "core/base/check.h"
#include "core/base/limits.h"

enum {
    SECRET_BYTES_MIN = 4, /* shorter ones are in every text */
    SECRETS_MAX = 512,
    /* A query decoded in two ways, and a userinfo; see read_query() and add_basic(). */
    SCRATCH_BYTES = 3 * LIMIT_URL_BYTES + 1,
};

struct secrets {
    struct span items[SECRETS_MAX];
    uint32_t count;
    bool full; /* one did not fit: nothing can be shown */
    size_t scratch_used;
    char scratch[SCRATCH_BYTES];
};

/* ---- Bytes. ---- */

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c; }

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static bool is_space(char c) { return is_blank(c) || c == '\r' || c == '\n'; }

/* Of a name as it stands before '=': what is next to it on the left must be something else. */
static bool is_name_byte(char c)
{
    char l = lower(c);
    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static int hex_value(char c)
{
    char l = lower(c);
    if (c >= '0' && c <= '9') return c - '0';
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

static int hex_pair(const char *p)
{
    int high = hex_value(p[0]), low = hex_value(p[1]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

static const char *find(const char *p, const char *end, char c)
{
    const char *at = p < end ? memchr(p, c, (size_t)(end - p)) : NULL;
    return at ? at : end;
}

static bool contains(struct span text, struct span word)
{
    for (size_t i = 0; i + word.len <= text.len; i++) {
        if (span_eq_nocase(span_of(text.ptr + i, word.len), word)) return true;
    }
    return false;
}

static struct span trim(struct span s)
{
    while (s.len > 0 && is_space(s.ptr[0])) s = span_of(s.ptr + 1, s.len - 1);
    while (s.len > 0 && is_space(s.ptr[s.len - 1])) s.len--;
    return s;
}

/* The byte that stands at p, unescaped if it is escaped; returns how many bytes it takes. */
static size_t unescape(const char *p, const char *end, char *byte)
{
    static const char escaped[] = "\"\\/'bfnrt", meant[] = "\"\\/'\b\f\n\r\t";
    size_t left = (size_t)(end - p);
    int value;
    *byte = *p;
    if (*p == '%' && left >= 3 && (value = hex_pair(p + 1)) >= 0) {
        *byte = (char)value;
        return 3;
    }
    if (*p != '\\' || left < 2) return 1;
    if (p[1] == 'u') {
        if (left < 6 || p[2] != '0' || p[3] != '0') return 1;
        value = hex_pair(p + 4);
        if (value < 0 || value > 0x7f) return 1;
        *byte = (char)value;
        return 6;
    }
    const char *at = memchr(escaped, p[1], sizeof escaped - 1);
    if (at == NULL) return 1;
    *byte = meant[at - escaped];
    return 2;
}

/* Whether the text ends at end inside an escape that begins at p. */
static bool cut_escape(const char *p, const char *end)
{
    size_t left = (size_t)(end - p);
    if (*p == '%') return left < 3;
    return *p == '\\' && (left == 1 || (left < 6 && p[1] == 'u'));
}

/* ---- Names. ---- */

/* What follows the name at p, or NULL when it is not there. */
static const char *after_name(const char *p, const char *end, const char *name)
{
    if (*name == '\0') return NULL;
    for (; *name != '\0'; name++) {
        char byte;
        if (p == end) return NULL;
        size_t took = unescape(p, end, &byte);
        if (lower(byte) != lower(*name)) {
            if (lower(*p) != lower(*name)) return NULL;
            took = 1;
        }
        p += took;
    }
    return p;
}

static bool is_named(const struct redact *r, struct span name)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (span_eq_nocase(name, span_of(r->names[i], strlen(r->names[i])))) return true;
    }
    return false;
}

/* ---- A query. ---- */

/* The value of the first named parameter of [p, end), which holds no '&', or NULL. Some servers
 * part parameters at ';' too: one is found behind it, but does not end there, since for most
 * servers the rest is still its value. */
static const char *query_value(const struct redact *r, const char *p, const char *end)
{
    while (p < end) {
        for (uint32_t i = 0; i < r->count; i++) {
            const char *after = after_name(p, end, r->names[i]);
            if (after != NULL && after < end && *after == '=') return after + 1;
        }
        p = find(p, end, ';');
        if (p < end) p++;
    }
    return NULL;
}

/* The shortest part that is masked has a name, '=' and a byte; a '&' parts it from the next. */
size_t redact_query_size_max(size_t query_len)
{
    return query_len + (query_len + 1) / 4 * (sizeof REDACT_MASK - 2);
}

static char *put(char *to, const char *p, const char *end)
{
    if (p < end) memcpy(to, p, (size_t)(end - p));
    return to + (end - p);
}

size_t redact_query(const struct redact *r, struct span query, char *out)
{
    CHECK(r->count == 0 || r->names != NULL);
    CHECK(out != NULL || query.len == 0);
    if (query.len == 0) return 0;

    const char *p = query.ptr, *end = p + query.len;
    char *to = out;
    while (p < end) {
        const char *part_end = find(p, end, '&');
        const char *value = query_value(r, p, part_end);
        if (value != NULL && value < part_end) {
            to = put(to, p, value);
            memcpy(to, REDACT_MASK, sizeof REDACT_MASK - 1);
            to += sizeof REDACT_MASK - 1;
        } else {
            to = put(to, p, part_end);
        }
        if (part_end < end) *to++ = *part_end++;
        p = part_end;
    }
    CHECK((size_t)(to - out) <= redact_query_size_max(query.len));
    return (size_t)(to - out);
}

/* ---- The secrets of a request. ---- */

static void add(struct secrets *s, struct span secret)
{
    if (secret.len < SECRET_BYTES_MIN) return;
    if (s->count > 0 && span_eq(s->items[s->count - 1], secret)) return;
    if (s->count == SECRETS_MAX) {
        s->full = true;
        return;
    }
    s->items[s->count++] = secret;
}

/* Room for `bytes` decoded ones, or NULL. What is written there stays. */
static char *scratch_take(struct secrets *s, size_t bytes)
{
    if (bytes > sizeof s->scratch - s->scratch_used) {
        s->full = true;
        return NULL;
    }
    char *room = s->scratch + s->scratch_used;
    s->scratch_used += bytes;
    return room;
}

/* What is between the quotation marks, if it has any. */
static void add_unquoted(struct secrets *s, struct span value)
{
    value = trim(value);
    bool quoted = value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"';
    add(s, quoted ? span_of(value.ptr + 1, value.len - 2) : value);
}

/* The elements of a list that is parted at any of `partings`: of name=value the value, and, when
 * `whole` is set, each element as it stands. */
static void add_elements(struct secrets *s, struct span list, const char *partings, bool whole)
{
    const char *p = list.ptr, *end = p + list.len;
    while (p < end) {
        const char *stop = p;
        while (stop < end && strchr(partings, *stop) == NULL) stop++;
        struct span element = trim(span_of(p, (size_t)(stop - p)));
        const char *value = find(element.ptr, element.ptr + element.len, '=');
        size_t name_len = (size_t)(value - element.ptr);
        if (whole) add_unquoted(s, element);
        if (name_len < element.len) {
            add_unquoted(s, span_of(value + 1, element.len - name_len - 1));
        }
        p = stop + (stop < end);
    }
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+' || c == '-') return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

/* RFC 7617: base64 of user:password. A receiver that answers "no user bob" tells the decoded one;
 * API keys are often sent as the user's name, so that both halves count. */
static void add_basic(struct secrets *s, struct span base64)
{
    uint32_t bits = 0, bits_count = 0;
    while (base64.len > 0 && base64.ptr[base64.len - 1] == '=') base64.len--;
    char *out = scratch_take(s, base64.len / 4 * 3 + base64.len % 4);
    if (out == NULL) return;

    size_t len = 0;
    for (size_t i = 0; i < base64.len; i++) {
        int value = base64_value(base64.ptr[i]);
        if (value < 0) return;
        bits = bits << 6 | (uint32_t)value;
        bits_count += 6;
        if (bits_count < 8) continue;
        bits_count -= 8;
        out[len++] = (char)(bits >> bits_count & 0xff);
    }
    const char *colon = find(out, out + len, ':');
    size_t user_len = (size_t)(colon - out);
    add(s, span_of(out, len));
    add(s, span_of(out, user_len));
    if (user_len < len) add(s, span_of(colon + 1, len - user_len - 1));
}

/* "Bearer abc", "Digest a=b, c=d", or any header that was named. */
static void add_credentials(struct secrets *s, struct span value)
{
    const char *end = value.ptr + value.len, *p = value.ptr;
    add(s, value);
    add_unquoted(s, value);
    while (p < end && !is_blank(*p)) p++;
    struct span scheme = span_of(value.ptr, (size_t)(p - value.ptr));
    struct span rest = trim(span_of(p, (size_t)(end - p)));
    if (rest.len == 0) return;
    add(s, rest);
    add_elements(s, rest, ",", false);
    if (span_eq_nocase(scheme, SPAN_LIT("Basic"))) add_basic(s, rest);
}

static bool is_signature(struct span name)
{
    return contains(name, SPAN_LIT("signature")) || contains(name, SPAN_LIT("hmac"));
}

static bool is_credentials(const struct redact *r, struct span name)
{
    return span_eq_nocase(name, SPAN_LIT("Authorization")) ||
           span_eq_nocase(name, SPAN_LIT("Proxy-Authorization")) || is_named(r, name);
}

bool redact_hides(const struct redact *r, struct span name)
{
    return span_eq_nocase(name, SPAN_LIT("Cookie")) || is_signature(name) ||
           is_credentials(r, name);
}

static void read_field(struct secrets *s, const struct redact *r, struct span name,
                       struct span value)
{
    if (span_eq_nocase(name, SPAN_LIT("Cookie"))) {
        add(s, value);
        add_elements(s, value, ";", false);
    } else if (is_signature(name)) {
        add(s, value);
        add_elements(s, value, ",; \t", true);
    } else if (is_credentials(r, name)) {
        add_credentials(s, value);
    }
}

/* Percent-decoded, with '+' left or, as forms have it, for a space. */
static void add_decoded(struct secrets *s, struct span value, bool plus_is_space)
{
    char *out = scratch_take(s, value.len);
    size_t len = 0;
    if (out == NULL) return;
    for (const char *p = value.ptr, *end = p + value.len; p < end;) {
        int byte = *p == '%' && end - p >= 3 ? hex_pair(p + 1) : -1;
        out[len] = byte >= 0 ? (char)byte : *p;
        if (plus_is_space && *p == '+') out[len] = ' ';
        len++;
        p += byte >= 0 ? 3 : 1;
    }
    add(s, span_of(out, len));
}

/* The values of named parameters: an answer may tell them without their names. */
static void read_query(struct secrets *s, const struct redact *r, struct span line)
{
    const char *end = line.ptr + line.len, *p = find(line.ptr, end, '?');
    while (end > p && end[-1] != ' ') end--; /* " HTTP/1.1" */
    if (end > p) end--;
    while (p < end) {
        const char *part_end = find(++p, end, '&');
        const char *value = query_value(r, p, part_end);
        if (value != NULL) {
            struct span raw = span_of(value, (size_t)(part_end - value));
            bool encoded = memchr(value, '%', raw.len) != NULL;
            bool plus = memchr(value, '+', raw.len) != NULL;
            add(s, raw);
            if (encoded) add_decoded(s, raw, false);
            if (plus) add_decoded(s, raw, true);
        }
        p = part_end;
    }
}

static void read_head(struct secrets *s, const struct redact *r, struct span request)
{
    if (request.len == 0) return;
    const char *p = request.ptr, *end = p + request.len;
    for (bool first = true; p < end; first = false) {
        const char *line_end = find(p, end, '\n');
        struct span line = span_of(p, (size_t)(line_end - p));
        if (line.len > 0 && line.ptr[line.len - 1] == '\r') line.len--;
        if (line.len == 0) return;
        const char *colon = find(line.ptr, line.ptr + line.len, ':');
        size_t name_len = (size_t)(colon - line.ptr);
        if (first) {
            read_query(s, r, line);
        } else if (name_len < line.len) {
            read_field(s, r, span_of(line.ptr, name_len),
                       trim(span_of(colon + 1, line.len - name_len - 1)));
        }
        p = line_end + (line_end < end);
    }
}

/* ---- Where they occur. ---- */

/* How many bytes from p on tell the secret, or all that the excerpt still shows of it. */
static size_t secret_match(struct span secret, const char *p, const char *end)
{
    const char *at = p;
    size_t told = 0, left = (size_t)(end - p);
    size_t plain = secret.len < left ? secret.len : left;
    if (*p != secret.ptr[0] && *p != '\\' && *p != '%') return 0;
    if (plain >= SECRET_BYTES_MIN && memcmp(p, secret.ptr, plain) == 0) return plain;

    for (; told < secret.len && at < end; told++) {
        char byte;
        size_t took = unescape(at, end, &byte);
        if (byte != secret.ptr[told]) {
            if (cut_escape(at, end)) {
                at = end;
                break;
            }
            if (*at != secret.ptr[told]) return 0;
            took = 1;
        }
        at += took;
    }
    return told >= SECRET_BYTES_MIN ? (size_t)(at - p) : 0;
}

static size_t secrets_match(const struct secrets *s, const char *p, const char *end)
{
    size_t most = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        size_t len = secret_match(s->items[i], p, end);
        if (len > most) most = len;
    }
    return most;
}

/* ---- Values of named members and pairs. ---- */

/* A quotation mark as it stands in the text. In JSON inside a string of JSON it has backslashes:
 * one at the first level, three at the second, or it is written \u0022. */
struct quote {
    size_t backslashes, len;
    char mark;
    bool hex;
};

static const struct span hex_quote = {"u0022", 5};

static bool is_hex_quote(const char *p, const char *end)
{
    return (size_t)(end - p) >= hex_quote.len && memcmp(p, hex_quote.ptr, hex_quote.len) == 0;
}

static bool quote_at(const char *p, const char *end, struct quote *q)
{
    const char *mark = p;
    while (mark < end && *mark == '\\') mark++;
    size_t backslashes = (size_t)(mark - p);
    if (mark < end && (*mark == '"' || *mark == '\'')) {
        *q = (struct quote){backslashes, backslashes + 1, *mark, false};
        return true;
    }
    if (backslashes == 0 || !is_hex_quote(mark, end)) return false;
    *q = (struct quote){backslashes, backslashes + hex_quote.len, '"', true};
    return true;
}

/* Where the string ends that q opened before p; *after is what follows its closing mark. At a
 * level whose marks have k backslashes, a backslash of the text takes 2 * (k + 1) of them: what
 * is left when those are taken away closes the string unless it is more than k. */
static const char *string_end(const char *p, const char *end, const struct quote *q,
                              const char **after)
{
    size_t run = 0;
    for (; p < end; p++) {
        if (*p == '\\') {
            run++;
            continue;
        }
        bool hex = q->hex && run > 0 && is_hex_quote(p, end);
        if ((hex || *p == q->mark) && run % (2 * (q->backslashes + 1)) <= q->backslashes) {
            *after = p + (hex ? hex_quote.len : 1);
            return p - (run < q->backslashes ? run : q->backslashes);
        }
        run = 0;
    }
    *after = end;
    return end;
}

/* What follows the object or the list that begins at p. */
static const char *nested_end(const char *p, const char *end)
{
    size_t depth = 0;
    while (p < end) {
        struct quote q;
        if (quote_at(p, end, &q)) {
            string_end(p + q.len, end, &q, &p);
            continue;
        }
        depth += *p == '{' || *p == '[';
        depth -= *p == '}' || *p == ']';
        p++;
        if (depth == 0) return p;
    }
    return end;
}

/* A number, a word, or the value of an unquoted pair. The latter ends at fewer bytes, because
 * some are left unencoded in URLs. */
static const char *word_end(const char *p, const char *end, bool member)
{
    const char *stops = member ? ",}]\"'&<>" : "\"&<>";
    while (p < end && (unsigned char)*p > ' ' && strchr(stops, *p) == NULL) p++;
    return p;
}

/* Whether a name may begin at p: what is before it, escaped or not, is no part of a name. */
static bool name_begins(const char *text, const char *p)
{
    static const size_t lengths[] = {2, 3, 6};
    char byte;
    if (p == text || !is_name_byte(p[-1])) return true;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t len = lengths[i];
        if ((size_t)(p - text) < len) return false;
        if (unescape(p - len, p, &byte) == len && !is_name_byte(byte)) return true;
    }
    return false;
}

/* What follows ':', '=' or "=>" and the white space around it, or NULL. Without quotation marks
 * only '=' makes a name of a word. */
static const char *after_parting(const char *p, const char *end, bool quoted)
{
    char byte;
    while (p < end && (quoted ? is_space(*p) : is_blank(*p))) p++;
    if (p == end) return NULL;
    size_t took = unescape(p, end, &byte);
    if (byte != '=' && !(quoted && byte == ':')) return NULL;
    p += took;
    if (byte == '=' && p < end && *p == '>') p++;
    while (p < end && (quoted ? is_space(*p) : is_blank(*p))) p++;
    return p;
}

/* Whether a named member or pair begins at p; then its value is [*from, *to). */
static bool value_at(const struct redact *r, const char *text, const char *p, const char *end,
                     const char **from, const char **to)
{
    struct quote q = {0}, value_quote;
    bool quoted = quote_at(p, end, &q);
    const char *value = NULL, *after;
    if (!quoted && !name_begins(text, p)) return false;

    for (uint32_t i = 0; i < r->count && value == NULL; i++) {
        after = after_name(p + q.len, end, r->names[i]);
        if (after == NULL) continue;
        if (quoted) {
            if ((size_t)(end - after) < q.len || memcmp(after, p, q.len) != 0) continue;
            after += q.len;
        }
        value = after_parting(after, end, quoted);
    }
    if (value == NULL || value == end) return false;

    *from = value;
    if (quote_at(value, end, &value_quote)) {
        *from = value + value_quote.len;
        *to = string_end(*from, end, &value_quote, &after);
    } else if (*value == '{' || *value == '[') {
        *to = nested_end(value, end);
    } else {
        *to = word_end(value, end, quoted);
    }
    return *from < *to;
}

/* ---- An answer. ---- */

struct sink {
    char *out;
    size_t len, cap;
    bool masking; /* the last thing written stands for bytes that are hidden */
};

static void sink_mask(struct sink *s)
{
    size_t len = sizeof REDACT_MASK - 1, left = s->cap - s->len;
    if (s->masking) return;
    if (len > left) len = left;
    if (len > 0) memcpy(s->out + s->len, REDACT_MASK, len);
    s->len += len;
    s->masking = true;
}

static void sink_byte(struct sink *s, char byte)
{
    CHECK_HOT(s->len < s->cap);
    s->masking = false;
    s->out[s->len++] = byte;
}

size_t redact_answer(const struct redact *r, struct span answer, struct span request, char *out,
                     size_t cap)
{
    struct sink sink = {out, 0, cap, false};
    struct secrets secrets;
    CHECK(r->count == 0 || r->names != NULL);
    CHECK(out != NULL || cap == 0);
    if (answer.len == 0) return 0;

    secrets.count = 0;
    secrets.full = false;
    secrets.scratch_used = 0;
    read_head(&secrets, r, request);
    if (secrets.full) {
        sink_mask(&sink);
        return sink.len;
    }
    const char *text = answer.ptr, *end = text + answer.len;
    const char *hidden_to = text;        /* what is before it is hidden */
    const char *from = NULL, *to = text; /* the last value; from is NULL once it was reached */
    for (const char *p = text; p < end && sink.len < cap; p++) {
        const char *told_to = p + secrets_match(&secrets, p, end);
        const char *value, *value_end;
        /* What looks like a name within a value is none; within a secret it may be one. */
        bool in_value = from == NULL && p < to;
        if (r->count > 0 && !in_value && value_at(r, text, p, end, &value, &value_end)) {
            from = from == NULL || value < from ? value : from;
            to = value_end > to ? value_end : to;
        }
        if (from != NULL && p >= from) {
            if (to > hidden_to) hidden_to = to;
            from = NULL;
        }
        if (told_to > hidden_to) hidden_to = told_to;
        if (p < hidden_to) sink_mask(&sink);
        else sink_byte(&sink, *p);
    }
    CHECK(sink.len <= cap);
    return sink.len;
}
