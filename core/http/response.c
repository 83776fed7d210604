/* core/http/response.c - reading one HTTP/1.1 answer.
 *
 * Two ways through the head. The fast one reads lines where they lie, as long as a line and the
 * first byte of the next one are at hand; nearly every answer arrives whole and takes only this
 * way. Whatever it does not like, it leaves untouched to the slow one, which gathers a line over
 * any number of feeds in r->line and is the only one that says what is wrong with a line. Both
 * hand whole lines to status_line() and field_take(), in the same order, so that every split of
 * the same bytes ends in the same verdict, with the same reason.
 *
 *   STATUS ─► FIELD_START ─► ... ─► (head_end) ─► BODY | BODY_EOF | CHUNK_* | DONE
 *     ▲                                 │
 *     └───────────── 1xx ◄──────────────┘         CHUNK_* ─► trailer: FIELD_* again ─► DONE
 *
 * A field line is looked at only when the first byte after it is known, since a space or a tab
 * there folds the next line onto it (RFC 9112 section 5.2).
 *
 * Where RFC 9112 leaves a choice, the answer that could hide another length is refused. In
 * particular: chunk lines and trailers must end in CRLF (a bare LF is taken in the head only);
 * empty elements in Content-Length and Transfer-Encoding, and codings with parameters; a
 * Transfer-Encoding in HTTP/1.0; a 1xx that announces a body; empty lines before the status line.
 *
 * Limits: core/base/limits.h and INTERIM_MAX. The trailer counts into the head's 64 KiB.
 */
#include "core/http/response.h"

#include "core/base/check.h"
#include "core/http/scan.h"

#include <string.h>

enum { INTERIM_MAX = 16 }; /* 1xx answers before a final one; beyond: bad */

enum state {
    STATUS,      /* in the status line */
    STATUS_CR,   /* after its CR */
    FIELD_START, /* at the first byte of a field line or of the empty line */
    FIELD,       /* in a field line, or in a line folded onto it */
    FIELD_CR,    /* after its CR */
    FIELD_END,   /* after its LF: the next byte says whether a folded line follows */
    HEAD_COUNT,
    INTERIM = HEAD_COUNT, /* the head of a 1xx answer is complete */
    CHUNK_SIZE,           /* at the first digit */
    CHUNK_DIGITS,
    CHUNK_SPACE, /* white space before ';' */
    CHUNK_EXTENSION,
    CHUNK_LF, /* after the CR of a chunk line */
    CHUNK_DATA,
    CHUNK_DATA_CR, /* the CR after the data is due */
    CHUNK_DATA_LF,
    BODY,     /* by Content-Length */
    BODY_EOF, /* up to the end of the connection */
    DONE,
    BAD,
};

enum flag {
    FLAG_LENGTH = BIT(0),  /* Content-Length was seen */
    FLAG_CODED = BIT(1),   /* Transfer-Encoding was seen */
    FLAG_CHUNKED = BIT(2), /* and its last coding so far is chunked */
    FLAG_CLOSE = BIT(3),   /* Connection: close */
    FLAG_KEEP = BIT(4),    /* Connection: keep-alive */
    FLAG_TRAILER = BIT(5), /* the FIELD states read the trailer */
    FLAG_INTERIM = BIT(6), /* the head is that of a 1xx answer */
};

_Static_assert(LIMIT_ANSWER_KEEP_BYTES <= UINT16_MAX, "body_kept counts them");
_Static_assert(LIMIT_ANSWER_LINE_KEEP <= UINT16_MAX, "line_len counts them");
_Static_assert(LIMIT_ANSWER_LINE_KEEP >= 12, "a status line's facts must fit");

/* Returns false so that a check can say: return refuse(r, why). */
static __attribute__((cold)) bool refuse(struct response *r, const char *why)
{
    r->state = BAD;
    r->bad = why;
    return false;
}

static bool is_space(char c) { return c == ' ' || c == '\t'; }

static unsigned digit_of(char c) { return (unsigned)(unsigned char)c - '0'; } /* 10 or more: none */

/* ---- Field values. value is what stands between ':' and the line's end. ---- */

static bool content_length_take(struct response *r, const char *p, const char *end)
{
    for (;; p++) {
        uint64_t length = 0;
        if (p < end && *p == ' ') p++; /* nearly always just one */
        while (p < end && is_space(*p)) p++;
        const char *first = p;
        for (unsigned d; p < end && (d = digit_of(*p)) < 10; p++) {
            if (length >= UINT64_C(1000000000000000000)) {
                return refuse(r, "Content-Length is too large");
            }
            length = length * 10 + d;
        }
        if (p == first) return refuse(r, "Content-Length is not a decimal number");
        while (p < end && is_space(*p)) p++;
        if (p < end && *p != ',') return refuse(r, "Content-Length is not a decimal number");
        if ((r->flags & FLAG_LENGTH) && r->content_length != length) {
            return refuse(r, "Content-Length contradicts itself");
        }
        r->flags |= FLAG_LENGTH;
        r->content_length = length;
        if (p == end) return true;
    }
}

/* Cuts the element that begins at *p off a comma-separated list, without the white space around
 * it, and moves *p behind its comma, or to NULL after the last one. */
static struct span list_next(const char **p, const char *end)
{
    const char *first = *p, *last = first;
    while (last < end && *last != ',') last++;
    *p = last < end ? last + 1 : NULL;
    while (first < last && is_space(*first)) first++;
    while (first < last && is_space(last[-1])) last--;
    return span_of(first, (size_t)(last - first));
}

static bool transfer_encoding_take(struct response *r, const char *p, const char *end)
{
    /* By far the most common. */
    if (!(r->flags & FLAG_CODED) && end - p == 8 && *p == ' ' && scan_is(p + 1, "chunked", 7)) {
        r->flags |= FLAG_CODED | FLAG_CHUNKED;
        return true;
    }
    r->flags |= FLAG_CODED;
    while (p != NULL) {
        struct span coding = list_next(&p, end);
        const char *coding_end = coding.ptr + coding.len;
        if (coding.len == 0 || scan_token(coding.ptr, coding_end) != coding_end) {
            return refuse(r, "Transfer-Encoding is not a list of codings");
        }
        if (r->flags & FLAG_CHUNKED) return refuse(r, "a transfer coding follows chunked");
        if (coding.len == 7 && scan_is(coding.ptr, "chunked", 7)) r->flags |= FLAG_CHUNKED;
    }
    return true;
}

static void connection_option(struct response *r, struct span option)
{
    if (option.len == 10 && scan_is(option.ptr, "keep-alive", 10)) r->flags |= FLAG_KEEP;
    if (option.len == 5 && scan_is(option.ptr, "close", 5)) r->flags |= FLAG_CLOSE;
}

static void connection_take(struct response *r, const char *p, const char *end)
{
    /* By far the most common. */
    if (end - p == 11 && *p == ' ' && scan_is(p + 1, "keep-alive", 10)) {
        r->flags |= FLAG_KEEP;
        return;
    }
    while (p != NULL) connection_option(r, list_next(&p, end));
}

/* What stands in [p, end) without the white space around it. */
static inline struct span trimmed(const char *p, const char *end)
{
    while (p < end && is_space(*p)) p++;
    while (p < end && is_space(end[-1])) end--;
    return span_of(p, (size_t)(end - p));
}

static __attribute__((noinline)) void hint_take(struct response *r, struct span name,
                                                struct span value, bool whole)
{
    if (r->flags & FLAG_INTERIM) return;
    if (whole) {
        hints_field(&r->hints, name, value);
    } else {
        hints_field_cut(&r->hints, name);
    }
}

static inline void date_take(struct response *r, const char *p, const char *end)
{
    /* By far the most common. */
    if (end - p == 30 && *p == ' ' && p[1] > ' ' && p[29] > ' ') {
        hints_date(&r->hints, span_of(p + 1, 29));
    } else {
        hints_date(&r->hints, trimmed(p, end));
    }
}

/* The one place where fields are picked out. [name, colon) are token bytes, [colon + 1, end) the
 * value; whole is false when the value was cut because the line is over LIMIT_ANSWER_LINE_KEEP.
 * Inlined by force: 40 instructions an answer less than what the compiler chooses. */
static inline __attribute__((always_inline)) bool
field_take(struct response *r, const char *name, const char *colon, const char *end, bool whole)
{
    static const char too_long[] = "a framing field is too long";
    size_t len = (size_t)(colon - name);

    switch (*name | 0x20) {
    case 'c':
        if (len == 14 && scan_is(name, "content-length", 14)) {
            return whole ? content_length_take(r, colon + 1, end) : refuse(r, too_long);
        }
        if (len == 10 && scan_is(name, "connection", 10)) {
            if (!whole) return refuse(r, too_long);
            connection_take(r, colon + 1, end);
        }
        return true;
    case 't':
        if (len == 17 && scan_is(name, "transfer-encoding", 17)) {
            return whole ? transfer_encoding_take(r, colon + 1, end) : refuse(r, too_long);
        }
        return true;
    case 'd':
        if (len == 4 && scan_is(name, "date", 4) && whole && !(r->flags & FLAG_INTERIM)) {
            date_take(r, colon + 1, end);
        }
        return true;
    case 'r':
    case 'x':
        if (hints_wants(span_of(name, len))) {
            hint_take(r, span_of(name, len), trimmed(colon + 1, end), whole);
        }
        return true;
    default: return true;
    }
}

/* ---- Lines. ---- */

static const char http_1[7] = "HTTP/1.";

/* len may be less than the line's: what follows the status is any text. */
static bool status_line(struct response *r, const char *line, size_t len)
{
    if (len < 9 || memcmp(line, http_1, sizeof http_1) != 0 || digit_of(line[7]) > 9 ||
        line[8] != ' ') {
        return refuse(r, "the answer does not begin as HTTP/1.x");
    }
    if (len < 12 || (len > 12 && line[12] != ' ')) {
        return refuse(r, "the status is not three digits");
    }
    unsigned hundreds = digit_of(line[9]), tens = digit_of(line[10]), ones = digit_of(line[11]);
    if (hundreds > 9 || tens > 9 || ones > 9) return refuse(r, "the status is not three digits");
    unsigned status = hundreds * 100 + tens * 10 + ones;

    r->minor = (uint8_t)digit_of(line[7]);
    r->state = FIELD_START;
    if (status >= 200 && status <= 599) {
        r->status = (uint16_t)status;
        return true;
    }
    if (status < 100 || status > 599) return refuse(r, "the status is not 100 to 599");
    if (status == 101) return refuse(r, "the answer switches protocols, unasked");
    r->flags |= FLAG_INTERIM;
    return true;
}

/* The line gathered in r->line is a whole field line. */
static bool field_line(struct response *r)
{
    const char *end = r->line + r->line_len, *colon = scan_token(r->line, end);
    bool whole = r->line_bytes == r->line_len;

    if (colon == end) {
        return refuse(r, whole ? "a field line has no colon" : "a field name is too long");
    }
    if (*colon != ':') {
        return refuse(r, is_space(*colon) ? "white space in a field name or before its colon"
                                          : "a field name is no token");
    }
    if (colon == r->line) return refuse(r, "a field has no name");
    r->state = FIELD_START;
    return (r->flags & FLAG_TRAILER) || field_take(r, r->line, colon, end, whole);
}

/* The head's framing fields together (RFC 9112 section 6.3). */
static bool framing_ok(struct response *r)
{
    if (r->flags & FLAG_CODED) {
        if (r->flags & FLAG_LENGTH) {
            return refuse(r, "Transfer-Encoding together with Content-Length");
        }
        if (!(r->flags & FLAG_CHUNKED)) return refuse(r, "the last transfer coding is not chunked");
        if (r->minor == 0) return refuse(r, "Transfer-Encoding in HTTP/1.0");
    }
    if ((r->flags & FLAG_INTERIM) && ((r->flags & FLAG_CODED) || r->content_length > 0)) {
        return refuse(r, "a 1xx answer announces a body");
    }
    return true;
}

/* After the empty line that ends a head or a trailer. */
static void head_end(struct response *r)
{
    if (r->flags & FLAG_TRAILER) {
        r->state = DONE;
        return;
    }
    if ((r->flags & (FLAG_CODED | FLAG_INTERIM)) && !framing_ok(r)) return;
    if (r->flags & FLAG_INTERIM) {
        r->state = INTERIM;
        return;
    }
    r->keep_alive = !(r->flags & FLAG_CLOSE) && (r->minor > 0 || (r->flags & FLAG_KEEP));
    r->line_bytes = 0;
    if (r->status == 204 || r->status == 304) {
        /* No body follows, whatever the head says; but a 204 that announces one comes from a
         * server that may send it all the same, and it would be taken for the next answer. */
        if (r->status == 204 && ((r->flags & FLAG_CODED) || r->content_length > 0)) {
            r->keep_alive = false;
        }
        r->state = DONE;
    } else if (r->flags & FLAG_CHUNKED) {
        r->state = CHUNK_SIZE;
    } else if (r->flags & FLAG_LENGTH) {
        r->chunk_left = r->content_length;
        r->state = r->chunk_left > 0 ? BODY : DONE;
    } else {
        r->keep_alive = false;
        r->state = BODY_EOF;
    }
}

/* Makes ready for the head that follows a 1xx answer, which had no length but 0. A wish to close
 * is the connection's, not the answer's, and stays. */
static void interim_skip(struct response *r)
{
    if (r->interim == INTERIM_MAX) {
        (void)refuse(r, "too many 1xx answers");
        return;
    }
    r->interim++;
    r->flags &= FLAG_CLOSE;
    r->head_bytes = 0;
    r->line_bytes = 0;
    r->line_len = 0;
    r->state = STATUS;
}

/* ---- The slow way through a head. ---- */

/* One line's LF has been read. */
static void line_end(struct response *r)
{
    if (r->state == STATUS || r->state == STATUS_CR) {
        (void)status_line(r, r->line, r->line_len);
    } else if (r->line_bytes == 0) {
        head_end(r);
    } else {
        r->state = FIELD_END;
    }
}

/* Reads on in the current line, up to its CR or LF; returns where it stopped, past at least one
 * byte. */
static const char *line_gather(struct response *r, const char *p, const char *end)
{
    const char *stop = scan_line_end(p, end);
    size_t len = (size_t)(stop - p), room = LIMIT_ANSWER_LINE_KEEP - (size_t)r->line_len;
    size_t keep = len < room ? len : room;

    memcpy(r->line + r->line_len, p, keep);
    r->line_len = (uint16_t)(r->line_len + keep);
    r->line_bytes += (uint32_t)len;
    if (r->state == STATUS) {
        /* Found out early: another protocol may never send a line's end. */
        size_t known = r->line_len < sizeof http_1 ? r->line_len : sizeof http_1;
        if (memcmp(r->line, http_1, known) != 0) {
            (void)refuse(r, "the answer does not begin as HTTP/1.x");
            return stop;
        }
    }
    if (stop == end) return end;
    if (*stop == '\r') {
        r->state = r->state == STATUS ? STATUS_CR : FIELD_CR;
    } else if (*stop == '\0') {
        (void)refuse(r, "NUL in the head");
    } else if (r->flags & FLAG_TRAILER) {
        (void)refuse(r, "a bare LF in the trailer");
    } else {
        line_end(r);
    }
    return stop + 1;
}

/* Takes one step; p < end. Every second step at the latest moves p. */
static const char *head_slow(struct response *r, const char *p, const char *end)
{
    switch ((enum state)r->state) {
    case FIELD_START:
        if (is_space(*p)) {
            (void)refuse(r, "white space before the first field");
            return p + 1;
        }
        r->line_len = 0;
        r->line_bytes = 0;
        r->state = FIELD;
        return line_gather(r, p, end);
    case STATUS:
    case FIELD: return line_gather(r, p, end);
    case STATUS_CR:
    case FIELD_CR:
        if (*p == '\n') {
            line_end(r);
        } else {
            (void)refuse(r, "a bare CR in the head");
        }
        return p + 1;
    case FIELD_END:
        if (is_space(*p)) {
            r->state = FIELD;
        } else {
            (void)field_line(r);
        }
        return p;
    default: UNREACHABLE();
    }
}

/* ---- The fast way. ---- */

/* The end of the line that begins at p, and in *next what follows its CRLF or LF, of which at
 * least one byte is there; or NULL. */
static inline const char *line_next(struct scan *s, const char *p, const char **next)
{
    const char *eol = scan_next(s, p);
    if (eol > s->end - 3) return NULL;
    scan_pass(s);
    if (*eol == '\r' && eol[1] == '\n') {
        scan_pass(s); /* the LF, unless it lies in the next block: then scan_next() skips it */
        *next = eol + 2;
        return eol;
    }
    *next = eol + 1;
    return *eol == '\n' ? eol : NULL;
}

/* Reads from a line's start as many whole lines as are there. The slow way must go on from what
 * it returns, unless that is the end of the head. */
static const char *head_fast(struct response *r, const char *p, const char *end)
{
    if (end - p < 16) return p; /* as scan_name() asks; nor is anything to be gained */
    struct scan s = scan_begin(p, end);
    const char *eol, *next;

    if (r->state == STATUS) {
        if ((eol = line_next(&s, p, &next)) == NULL) return p;
        p = next;
        if (!status_line(r, s.low, (size_t)(eol - s.low))) return p;
    }
    for (unsigned char first = (unsigned char)*p; first > ' '; p = next) {
        if ((eol = line_next(&s, p, &next)) == NULL) return p;
        const char *colon = scan_name(p, end);
        if (*colon != ':' || colon == p || eol - p > LIMIT_ANSWER_LINE_KEEP) return p;
        first = (unsigned char)*next;
        if (first <= ' ' && is_space(*next)) return p;
        if (!field_take(r, p, colon, eol, true)) return next;
    }
    if (end - p < 2 || p[0] != '\r' || p[1] != '\n') return p;
    head_end(r);
    return p + 2;
}

/* Reads a head or a trailer as far as it goes; p < end. */
static const char *head_feed(struct response *r, const char *p, const char *end)
{
    const char *low = p;
    size_t room = LIMIT_ANSWER_HEAD_BYTES - r->head_bytes;
    const char *cap = (size_t)(end - p) > room ? p + room : end;

    if (r->state == STATUS && r->line_bytes == 0 && p < cap) p = head_fast(r, p, cap);
    while (p < cap && r->state < HEAD_COUNT) {
        p = head_slow(r, p, cap);
        if (r->state == FIELD_START && !(r->flags & FLAG_TRAILER) && p < cap) {
            p = head_fast(r, p, cap);
        }
    }
    r->head_bytes += (uint32_t)(p - low);
    if (r->state < HEAD_COUNT && p < end) {
        (void)refuse(r, "the head is over 64 KiB");
    } else if (r->state == INTERIM) {
        interim_skip(r);
    }
    return p;
}

/* ---- Bodies. ---- */

static void body_cut(struct response *r)
{
    r->body_cut = true;
    r->keep_alive = false;
    r->state = DONE;
}

/* Takes up to len bytes of the body, as many as its limit allows; returns how many. */
static size_t body_take(struct response *r, const char *p, size_t len)
{
    size_t room = LIMIT_ANSWER_BODY_BYTES - (size_t)r->body_bytes;
    size_t keep_room = LIMIT_ANSWER_KEEP_BYTES - (size_t)r->body_kept;
    if (len > room) len = room;
    size_t keep = len < keep_room ? len : keep_room;

    memcpy(r->body + r->body_kept, p, keep);
    r->body_kept = (uint16_t)(r->body_kept + keep);
    r->body_bytes += (uint32_t)len;
    return len;
}

/* Takes what is there of the r->chunk_left bytes that are due; next is the state after them. */
static const char *body_counted(struct response *r, const char *p, const char *end, enum state next)
{
    size_t len = (size_t)(end - p);
    if (len > r->chunk_left) len = (size_t)r->chunk_left;
    len = body_take(r, p, len);
    r->chunk_left -= len;
    if (r->chunk_left == 0) {
        r->state = (uint8_t)next;
    } else if (r->body_bytes == LIMIT_ANSWER_BODY_BYTES) {
        body_cut(r);
    }
    return p + len;
}

/* The value of one hexadecimal digit, 16 for any other byte. */
static unsigned hex_of(char c)
{
    unsigned char lower = (unsigned char)c | 0x20;
    if (digit_of(c) < 10) return digit_of(c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10u : 16;
}

/* A chunk line is complete. */
static void chunk_begin(struct response *r)
{
    r->line_bytes = 0;
    if (r->chunk_left == 0) {
        r->flags |= FLAG_TRAILER;
        r->state = FIELD_START;
    } else if (r->body_bytes == LIMIT_ANSWER_BODY_BYTES) {
        body_cut(r);
    } else {
        r->state = CHUNK_DATA;
    }
}

/* One byte of a chunk's size or of what may stand between it and the line's end. */
static void chunk_size_byte(struct response *r, char c)
{
    unsigned digit = hex_of(c);
    if (digit < 16 && (r->state == CHUNK_SIZE || r->state == CHUNK_DIGITS)) {
        if (r->state == CHUNK_SIZE) r->chunk_left = 0;
        if (r->chunk_left >> 59) {
            (void)refuse(r, "a chunk size is too large");
        } else {
            r->chunk_left = r->chunk_left << 4 | digit;
            r->state = CHUNK_DIGITS;
        }
    } else if (r->state == CHUNK_SIZE) {
        (void)refuse(r, "a chunk size is not a hexadecimal number");
    } else if (c == ';') {
        r->state = CHUNK_EXTENSION;
    } else if (is_space(c)) {
        r->state = CHUNK_SPACE;
    } else if (c == '\r' && r->state == CHUNK_DIGITS) {
        r->state = CHUNK_LF;
    } else {
        (void)refuse(r, "a chunk size is not a hexadecimal number");
    }
}

/* Reads a chunk's size and CRLF at once when nothing else is in that line, and the empty trailer
 * after the last one; else returns p. */
static const char *chunk_fast(struct response *r, const char *p, const char *end)
{
    const char *c = p;
    uint64_t size = 0;
    for (unsigned digit; end - c > 2 && c - p < 8 && (digit = hex_of(*c)) < 16; c++) {
        size = size << 4 | digit;
    }
    if (c == p || *c != '\r' || c[1] != '\n') return p;
    c += 2;
    r->chunk_left = size;
    chunk_begin(r);
    if (size == 0 && end - c >= 2 && c[0] == '\r' && c[1] == '\n' &&
        r->head_bytes <= LIMIT_ANSWER_HEAD_BYTES - 2) {
        r->state = DONE; /* an empty trailer */
        c += 2;
    }
    return c;
}

/* Reads a chunk line, or the line end after a chunk's data. */
static const char *chunk_feed(struct response *r, const char *p, const char *end)
{
    if (r->state == CHUNK_DATA_CR && end - p > 2 && p[0] == '\r' && p[1] == '\n') {
        r->state = CHUNK_SIZE;
        p += 2;
    }
    if (r->state == CHUNK_SIZE && end - p > 2) {
        const char *next = chunk_fast(r, p, end);
        if (next != p) return next;
    }
    while (p < end) {
        char c = *p++;
        switch ((enum state)r->state) {
        case CHUNK_SIZE:
        case CHUNK_DIGITS:
        case CHUNK_SPACE: chunk_size_byte(r, c); break;
        case CHUNK_EXTENSION:
            if (c == '\r') {
                r->state = CHUNK_LF;
            } else if (c == '\n' || c == '\0') {
                (void)refuse(r, "a bare LF or NUL in a chunk extension");
            }
            break;
        case CHUNK_LF:
            if (c == '\n') {
                chunk_begin(r);
            } else {
                (void)refuse(r, "a bare CR in a chunk line");
            }
            return p;
        case CHUNK_DATA_CR:
        case CHUNK_DATA_LF:
            if (c != (r->state == CHUNK_DATA_CR ? '\r' : '\n')) {
                (void)refuse(r, "a chunk does not end where its size says");
                return p;
            }
            r->state = r->state == CHUNK_DATA_CR ? CHUNK_DATA_LF : CHUNK_SIZE;
            continue;
        default: UNREACHABLE();
        }
        if (r->state == BAD) return p;
        if (r->state != CHUNK_LF && ++r->line_bytes > LIMIT_CHUNK_LINE_BYTES) {
            (void)refuse(r, "a chunk line is too long");
            return p;
        }
    }
    return p;
}

/* ---- The module's entries. ---- */

void response_init(struct response *r)
{
    memset(r, 0, offsetof(struct response, hints));
    hints_init(&r->hints);
}

static const char *feed_step(struct response *r, const char *p, const char *end)
{
    switch ((enum state)r->state) {
    case CHUNK_DATA: return body_counted(r, p, end, CHUNK_DATA_CR);
    case BODY: return body_counted(r, p, end, DONE);
    case BODY_EOF: {
        const char *stop = p + body_take(r, p, (size_t)(end - p));
        if (stop < end) body_cut(r);
        return stop;
    }
    default: return r->state < HEAD_COUNT ? head_feed(r, p, end) : chunk_feed(r, p, end);
    }
}

enum response_step response_feed(struct response *r, const char *bytes, size_t n, size_t *used)
{
    const char *p = bytes, *end = bytes + n;

    CHECK(r->state < DONE);
    while (p < end && r->state < DONE) p = feed_step(r, p, end);
    *used = (size_t)(p - bytes);
    CHECK_HOT(*used <= n);
    if (r->state < DONE) return RESPONSE_MORE;
    return r->state == DONE ? RESPONSE_DONE : RESPONSE_BAD;
}

enum response_step response_eof(struct response *r)
{
    CHECK(r->state < DONE);
    if (r->state == BODY_EOF) {
        r->state = DONE;
        return RESPONSE_DONE;
    }
    (void)refuse(r, response_begun(r) ? "the connection ended inside the answer"
                                      : "the connection ended before an answer");
    return RESPONSE_BAD;
}

bool response_begun(const struct response *r) { return r->head_bytes > 0 || r->interim > 0; }
