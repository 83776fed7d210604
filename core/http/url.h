/* core/http/url.h - an absolute http or https URL, taken apart without copying.
 *
 * Grammar: RFC 3986 section 3 for the schemes of RFC 9110 section 4.2; where WHATWG's parser is
 * more lenient than is safe for a sender (white space, backslashes, numeric hosts such as
 * 0x7f.1 or 2130706433, zone identifiers) this one refuses and says so. Pure: no allocation.
 */
#ifndef CORE_HTTP_URL_H
#define CORE_HTTP_URL_H

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
    URL_SCHEME,       /* not http or https, or no "://" */
    URL_NO_HOST,
    URL_HOST_BAD,     /* a byte that no host name has, an empty label, a label over 63 bytes */
    URL_HOST_NUMERIC, /* a number where a dotted-decimal IPv4 address must stand */
    URL_HOST_V6_BAD,
    URL_ZONE,         /* an IPv6 zone identifier */
    URL_IDN,          /* a host name outside ASCII */
    URL_PORT,         /* empty is fine; otherwise 1..65535 */
    URL_SPACE,        /* white space or a control character anywhere */
    URL_BACKSLASH,    /* before the query: some parsers take it for a slash */
    URL_NON_ASCII,    /* userinfo, path or query must be percent-encoded */
    URL_USERINFO_BAD, /* a broken percent-encoding in it, a control character encoded, or a byte
                         that must be encoded */
    URL_ERROR_COUNT
};

struct url {
    enum url_scheme scheme;
    enum url_host_kind host_kind;
    uint16_t port;        /* the scheme's own when absent */
    bool port_default;    /* port is the scheme's own */
    bool has_userinfo;
    struct span userinfo; /* as written, without '@'; still percent-encoded */
    struct span host;     /* as written, in any case, without brackets */
    struct span path;     /* from '/' up to '?'; may be empty, which means "/" */
    struct span query;    /* after '?', without it; see has_query */
    bool has_query;
    struct in_addr v4;    /* URL_HOST_V4, network order */
    struct in6_addr v6;   /* URL_HOST_V6 */
};

/* Takes text apart; the spans of *out point into it. On an error *out is untouched and *at is the
 * offset of the first offending byte. A fragment is dropped. */
enum url_error url_parse(struct span text, struct url *out, size_t *at)
    __attribute__((warn_unused_result));
/* One clause in English for a reject's reason. */
const char *url_error_text(enum url_error e);

/* Writes the userinfo percent-decoded ("user:password") to out, which holds at least its length;
 * returns the bytes written. */
size_t url_userinfo_decode(struct span userinfo, char *out);

#endif
