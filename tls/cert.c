/* tls/cert.c - see cert.h. */
#include "tls/cert.h"

#include "core/base/check.h"
#include "tls/x509.h"

enum { NAMES_MAX = 10000 /* looked at; a certificate has some thousand at most */ };

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
        if (ip != NULL ? name.tag == X509_SAN_IP && address_matches(name.body, ip)
                       : name.tag == X509_SAN_DNS && name_matches(name.body, host))
            found = TLS_FAULT_NONE;
    }
    return found;
}

enum tls_fault tls_cert_is_for(struct span der, struct span host, const struct addr *ip)
{
    struct x509 c;
    struct span names;
    host = without_dot(host);
    CHECK(ip != NULL || host.len > 0);
    if (!x509_of(der, &c) || !x509_alt_names(&c, &names)) return TLS_FAULT_MALFORMED;
    return names.ptr == NULL ? TLS_FAULT_NAME : names_match(names, host, ip);
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
    if (!der_take(&list.body, DER_CONTEXT_0, &hash)) return true;
    if (!der_take(&hash.body, DER_SEQUENCE, &hash) || !der_take(&hash.body, DER_OID, &hash))
        return true;
    return hash.body.len < sizeof sha2 || memcmp(hash.body.ptr, sha2, sizeof sha2) != 0;
}

bool tls_cert_is_self_issued(struct span der)
{
    struct x509 c;
    return x509_of(der, &c) && span_eq(c.issuer, c.subject);
}

enum tls_fault tls_cert_signature(struct span der)
{
    struct x509 c;
    if (!x509_of(der, &c)) return TLS_FAULT_MALFORMED;
    if (span_eq(c.issuer, c.subject)) return TLS_FAULT_NONE;
    bool weak = is_weak(c.algorithm) || is_weak_pss(c.algorithm, c.parameters);
    return weak ? TLS_FAULT_WEAK_SIGNATURE : TLS_FAULT_NONE;
}
