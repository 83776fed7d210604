/* tls/x509.c - see x509.h. */
#include "tls/x509.h"

bool der_next(struct span *rest, struct der *out)
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

bool der_take(struct span *rest, uint8_t tag, struct der *out)
{
    return der_next(rest, out) && out->tag == tag;
}

bool x509_of(struct span der, struct x509 *out)
{
    struct der cert, tbs, e, algorithm, inner;
    if (!der_take(&der, DER_SEQUENCE, &cert) || der.len != 0) return false;
    if (!der_take(&cert.body, DER_SEQUENCE, &tbs)) return false;
    if (!der_take(&cert.body, DER_SEQUENCE, &algorithm)) return false;
    struct span rest = tbs.body;
    if (!der_next(&rest, &e)) return false;
    if (e.tag == DER_CONTEXT_0 && !der_next(&rest, &e)) return false; /* now the serial number */
    if (!der_take(&rest, DER_SEQUENCE, &inner)) return false;
    if (!span_eq(inner.body, algorithm.body)) return false; /* RFC 5280 section 4.1.1.2 */
    if (!der_take(&inner.body, DER_OID, &e)) return false;
    out->algorithm = e.body;
    out->parameters = inner.body;
    if (!der_take(&rest, DER_SEQUENCE, &e)) return false;
    out->issuer = e.whole;
    if (!der_take(&rest, DER_SEQUENCE, &e)) return false;
    out->validity = e.body;
    if (!der_take(&rest, DER_SEQUENCE, &e)) return false;
    out->subject = e.whole;
    if (!der_take(&rest, DER_SEQUENCE, &e)) return false; /* key */
    out->extensions = span_of(NULL, 0);
    while (rest.len > 0) {
        if (!der_next(&rest, &e)) return false;
        if (e.tag != DER_CONTEXT_3) continue;
        if (!der_take(&e.body, DER_SEQUENCE, &inner)) return false;
        out->extensions = inner.body;
    }
    return true;
}

bool x509_alt_names(const struct x509 *c, struct span *out)
{
    static const char alt_name[] = {0x55, 0x1d, 0x11}; /* 2.5.29.17 */
    struct span extensions = c->extensions, names = span_of(NULL, 0);
    struct der e, field;
    while (extensions.len > 0) {
        if (!der_take(&extensions, DER_SEQUENCE, &e)) return false;
        if (!der_take(&e.body, DER_OID, &field)) return false;
        if (!span_eq(field.body, span_of(alt_name, sizeof alt_name))) continue;
        if (names.ptr != NULL) return false; /* RFC 5280 section 4.2: once */
        if (!der_next(&e.body, &field)) return false;
        if (field.tag == DER_BOOLEAN && !der_next(&e.body, &field)) return false;
        if (field.tag != DER_OCTETS || e.body.len != 0) return false;
        names = field.body;
    }
    *out = names;
    return true;
}
