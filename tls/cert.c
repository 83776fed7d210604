/* tls/cert.c - the few fields of X.509 that are needed, walked to in DER; see cert.h.
 *
 *   Certificate    SEQUENCE { tbs, signatureAlgorithm, signature }
 *   tbs            SEQUENCE { [0] version?, serial, signature, issuer, validity, subject, key,
 *                             [1]? [2]? [3] extensions? }
 *   extensions     SEQUENCE OF SEQUENCE { OID, critical BOOLEAN?, OCTET STRING }
 *   subjectAltName SEQUENCE OF [2] dNSName or [7] iPAddress or others
 */
#include "tls/cert.h"

#include "core/base/check.h"

enum {
    DER_BOOLEAN = 0x01,
    DER_OCTETS = 0x04,
    DER_OID = 0x06,
    DER_SEQUENCE = 0x30,
    DER_VERSION = 0xa0,
    DER_EXTENSIONS = 0xa3,
    PSS_HASH = 0xa0,
    SAN_DNS = 0x82,
    SAN_IP = 0x87,
    NAMES_MAX = 10000, /* looked at; a certificate has some thousand at most */
};

/* One element: its tag and what is in it. */
struct der {
    uint8_t tag;
    struct span body, whole;
};

/* Takes the first element off *rest. False: there is none, or it is not DER. */
static bool der_next(struct span *rest, struct der *out)
{
    const uint8_t *p = (const uint8_t *)rest->ptr;
    size_t left = rest->len, head = 2, len;
    if (left < 2 || (p[0] & 0x1f) == 0x1f) return false;
    len = p[1];
    if (len >= 0x80) {
        size_t bytes = len & 0x7f;
        if (bytes == 0 || bytes > 3 || left < 2 + bytes || p[2] == 0) return false;
        len = 0;
        for (size_t i = 0; i < bytes; i++) len = len << 8 | p[2 + i];
        if (len < 0x80) return false;
        head += bytes;
    }
    if (len > left - head) return false;
    *out = (struct der){.tag = p[0],
                        .body = span_of(rest->ptr + head, len),
                        .whole = span_of(rest->ptr, head + len)};
    *rest = span_of(rest->ptr + head + len, left - head - len);
    return true;
}

static bool der_take(struct span *rest, uint8_t tag, struct der *out)
{
    return der_next(rest, out) && out->tag == tag;
}

struct parts {
    struct span algorithm;  /* OID of the signature */
    struct span parameters; /* of the algorithm; may be empty */
    struct span issuer, subject;
    struct span extensions; /* the list's elements; empty: none */
};

static bool parts_of(struct span der, struct parts *out)
{
    struct der cert, tbs, e, algorithm, inner;
    if (!der_take(&der, DER_SEQUENCE, &cert) || der.len != 0) return false;
    if (!der_take(&cert.body, DER_SEQUENCE, &tbs)) return false;
    if (!der_take(&cert.body, DER_SEQUENCE, &algorithm)) return false;
    struct span rest = tbs.body;
    if (!der_next(&rest, &e)) return false;
    if (e.tag == DER_VERSION && !der_next(&rest, &e)) return false; /* now the serial number */
    if (!der_take(&rest, DER_SEQUENCE, &inner)) return false;
    if (!span_eq(inner.body, algorithm.body)) return false; /* RFC 5280 section 4.1.1.2 */
    if (!der_take(&inner.body, DER_OID, &e)) return false;
    out->algorithm = e.body;
    out->parameters = inner.body;
    if (!der_take(&rest, DER_SEQUENCE, &e)) return false;
    out->issuer = e.whole;
    if (!der_take(&rest, DER_SEQUENCE, &e)) return false; /* validity */
    if (!der_take(&rest, DER_SEQUENCE, &e)) return false;
    out->subject = e.whole;
    if (!der_take(&rest, DER_SEQUENCE, &e)) return false; /* key */
    out->extensions = span_of(NULL, 0);
    while (rest.len > 0) {
        if (!der_next(&rest, &e)) return false;
        if (e.tag != DER_EXTENSIONS) continue;
        if (!der_take(&e.body, DER_SEQUENCE, &inner)) return false;
        out->extensions = inner.body;
    }
    return true;
}

/* ---- names -------------------------------------------------------------------------------- */

static struct span without_dot(struct span name)
{
    if (name.len > 0 && name.ptr[name.len - 1] == '.') name.len--;
    return name;
}

static bool name_matches(struct span pattern, struct span host)
{
    pattern = without_dot(pattern);
    if (pattern.len == 0) return false;
    if (memchr(pattern.ptr, '*', pattern.len) == NULL) return span_eq_nocase(pattern, host);
    if (pattern.len < 3 || pattern.ptr[0] != '*' || pattern.ptr[1] != '.') return false;
    struct span tail = span_of(pattern.ptr + 1, pattern.len - 1); /* ".example.com" */
    if (memchr(tail.ptr, '*', tail.len) != NULL) return false;
    if (memchr(tail.ptr + 1, '.', tail.len - 1) == NULL) return false; /* "*.com" */
    const char *dot = memchr(host.ptr, '.', host.len);
    if (dot == NULL || dot == host.ptr) return false;
    return span_eq_nocase(tail, span_of(dot, host.len - (size_t)(dot - host.ptr)));
}

static bool address_matches(struct span octets, const struct addr *ip)
{
    if (ip->sa.sa_family == AF_INET) return span_eq(octets, span_of(&ip->v4.sin_addr, 4));
    return span_eq(octets, span_of(&ip->v6.sin6_addr, 16));
}

static enum tls_fault names_match(struct span names, struct span host, const struct addr *ip)
{
    struct der list, name;
    enum tls_fault found = TLS_FAULT_NAME;
    if (!der_take(&names, DER_SEQUENCE, &list) || names.len != 0) return TLS_FAULT_MALFORMED;
    for (int i = 0; list.body.len > 0; i++) {
        if (i == NAMES_MAX || !der_next(&list.body, &name)) return TLS_FAULT_MALFORMED;
        if (ip != NULL ? name.tag == SAN_IP && address_matches(name.body, ip)
                       : name.tag == SAN_DNS && name_matches(name.body, host))
            found = TLS_FAULT_NONE;
    }
    return found;
}

enum tls_fault tls_cert_is_for(struct span der, struct span host, const struct addr *ip)
{
    static const char alt_name[] = {0x55, 0x1d, 0x11}; /* 2.5.29.17 */
    struct parts c;
    struct der e, field;
    bool seen = false;
    enum tls_fault verdict = TLS_FAULT_NAME;
    host = without_dot(host);
    CHECK(ip != NULL || host.len > 0);
    if (!parts_of(der, &c)) return TLS_FAULT_MALFORMED;
    while (c.extensions.len > 0) {
        if (!der_take(&c.extensions, DER_SEQUENCE, &e)) return TLS_FAULT_MALFORMED;
        if (!der_take(&e.body, DER_OID, &field)) return TLS_FAULT_MALFORMED;
        if (!span_eq(field.body, span_of(alt_name, sizeof alt_name))) continue;
        if (seen) return TLS_FAULT_MALFORMED; /* RFC 5280 section 4.2: once */
        seen = true;
        if (!der_next(&e.body, &field)) return TLS_FAULT_MALFORMED;
        if (field.tag == DER_BOOLEAN && !der_next(&e.body, &field)) return TLS_FAULT_MALFORMED;
        if (field.tag != DER_OCTETS || e.body.len != 0) return TLS_FAULT_MALFORMED;
        verdict = names_match(field.body, host, ip);
    }
    return verdict;
}

/* ---- signatures --------------------------------------------------------------------------- */

static bool is_weak(struct span oid)
{
    static const struct {
        uint8_t len;
        char oid[9];
    } weak[] = {
        {9, {0x2a, (char)0x86, 0x48, (char)0x86, (char)0xf7, 0x0d, 1, 1, 2}}, /* RSA, MD2 */
        {9, {0x2a, (char)0x86, 0x48, (char)0x86, (char)0xf7, 0x0d, 1, 1, 4}}, /* RSA, MD5 */
        {9, {0x2a, (char)0x86, 0x48, (char)0x86, (char)0xf7, 0x0d, 1, 1, 5}}, /* RSA, SHA-1 */
        {7, {0x2a, (char)0x86, 0x48, (char)0xce, 0x3d, 4, 1}},                /* ECDSA, SHA-1 */
        {7, {0x2a, (char)0x86, 0x48, (char)0xce, 0x38, 4, 3}},                /* DSA, SHA-1 */
        {5, {0x2b, 0x0e, 3, 2, 0x1d}},                                        /* RSA, SHA-1, old */
    };
    for (size_t i = 0; i < sizeof weak / sizeof weak[0]; i++)
        if (span_eq(oid, span_of(weak[i].oid, weak[i].len))) return true;
    return false;
}

/* RSASSA-PSS names its hash in [0] of its parameters; SHA-1 if there is none (RFC 4055 3.1). */
static bool is_weak_pss(struct span oid, struct span parameters)
{
    static const char pss[] = {0x2a, (char)0x86, 0x48, (char)0x86, (char)0xf7, 0x0d, 1, 1, 10};
    static const char sha2[] = {0x60, (char)0x86, 0x48, 1, 0x65, 3, 4, 2};
    struct der list, hash;
    if (!span_eq(oid, span_of(pss, sizeof pss))) return false;
    if (!der_take(&parameters, DER_SEQUENCE, &list)) return true;
    if (!der_take(&list.body, PSS_HASH, &hash)) return true;
    if (!der_take(&hash.body, DER_SEQUENCE, &hash) || !der_take(&hash.body, DER_OID, &hash))
        return true;
    return hash.body.len < sizeof sha2 || memcmp(hash.body.ptr, sha2, sizeof sha2) != 0;
}

bool tls_cert_is_self_issued(struct span der)
{
    struct parts c;
    return parts_of(der, &c) && span_eq(c.issuer, c.subject);
}

enum tls_fault tls_cert_signature(struct span der)
{
    struct parts c;
    if (!parts_of(der, &c)) return TLS_FAULT_MALFORMED;
    if (span_eq(c.issuer, c.subject)) return TLS_FAULT_NONE;
    bool weak = is_weak(c.algorithm) || is_weak_pss(c.algorithm, c.parameters);
    return weak ? TLS_FAULT_WEAK_SIGNATURE : TLS_FAULT_NONE;
}
