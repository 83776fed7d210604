/* core/http/url.h - an absolute http or https URL, taken apart.
 *
 * Two steps. url_parse() takes apart, without copying, what is already in normal form: every byte
 * that must be percent-encoded is, the path has no dot segments, an IPv4 host is four decimal
 * numbers, a name is ASCII. url_read() takes any URL: it tries url_parse(), and where that refuses,
 * rewrites the URL as WHATWG's parser serialises it, and parses the result. So there is one grammar
 * that decides what is sent and to whom, and most URLs are never copied.
 *
 * What WHATWG reads and this refuses, since other parsers are known to see another host or another
 * request in it: control characters, tabs and line ends among them, anywhere (WHATWG drops or
 * encodes them); backslashes before the query (a slash to WHATWG, a part of the userinfo to
 * others); more than one '@' before the path; a missing or shortened "://"; broken
 * percent-encoding in the userinfo; port 0.
 */
#ifndef CORE_HTTP_URL_H
#define CORE_HTTP_URL_H

#include "core/base/limits.h"
#include "core/base/span.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

enum url_scheme { URL_HTTP, URL_HTTPS };
enum url_host_kind { URL_HOST_NAME, URL_HOST_V4, URL_HOST_V6 };

enum url_error {
    URL_OK,
    URL_EMPTY,
    URL_TOO_LONG,
    URL_SCHEME, /* not http or https, or no "://" */
    URL_NO_HOST,
    URL_HOST_BAD,     /* a byte that no host name has, an empty label, a label over 63 bytes */
    URL_HOST_NUMERIC, /* a number that is no IPv4 address; to url_parse(), none in normal form */
    URL_HOST_V6_BAD,
    URL_ZONE,         /* an IPv6 zone identifier */
    URL_IDN,          /* a host name outside ASCII; to url_read(), one that IDNA refuses */
    URL_PORT,         /* empty is fine; otherwise 1..65535 */
    URL_SPACE,        /* a control character; a space where url_read() cannot encode it */
    URL_BACKSLASH,    /* before the query: some parsers take it for a slash */
    URL_NON_ASCII,    /* not told by url_read(), nor are the next two: outside ASCII */
    URL_ENCODE,       /* a byte that must be percent-encoded */
    URL_DOTS,         /* a dot segment in the path */
    URL_USERINFO_BAD, /* a broken percent-encoding in it, a control character encoded, or a byte
                         that must be encoded */
    URL_ERROR_COUNT
};

struct url {
    enum url_scheme scheme;
    enum url_host_kind host_kind;
    uint16_t port;     /* the scheme's own when absent */
    bool port_default; /* port is the scheme's own */
    bool has_userinfo;
    struct span userinfo; /* as written, without '@'; still percent-encoded */
    struct span host;     /* as written, in any case, without brackets */
    struct span path;     /* from '/' up to '?'; may be empty, which means "/" */
    struct span query;    /* after '?', without it; see has_query */
    bool has_query;
    struct in_addr v4;  /* URL_HOST_V4, network order */
    struct in6_addr v6; /* URL_HOST_V6 */
};

/* Takes a URL in normal form apart; the spans of *out point into text. On an error *out is
 * untouched and *at is the offset of the first offending byte. A fragment is dropped. */
enum url_error url_parse(struct span text, struct url *out, size_t *at)
    __attribute__((warn_unused_result));

/* Where url_read() writes what it rewrites. Begins as zeros. */
struct url_room {
    /* No byte of a URL becomes more than three, but for a host, whose length is limited. */
    char bytes[3 * LIMIT_URL_BYTES + 3 * LIMIT_HOST_BYTES];
    /* The last name that went through IDNA, and what became of it: records come in runs. */
    uint16_t name_len, ascii_len;
    char name[LIMIT_HOST_BYTES], ascii[LIMIT_HOST_BYTES];
};

/* Takes any URL apart, as the head says; the spans of *out point into text or into *room. On an
 * error *out is untouched and *at is the offset in text of the first offending byte, or of the part
 * that is wrong as a whole. */
enum url_error url_read(struct span text, struct url_room *room, struct url *out, size_t *at)
    __attribute__((warn_unused_result));
/* One clause in English for a reject's reason. */
const char *url_error_text(enum url_error e);

/* Writes the userinfo percent-decoded ("user:password") to out, which holds at least its length;
 * returns the bytes written. */
size_t url_userinfo_decode(struct span userinfo, char *out);

#endif
