/* tls/cert.h - what this program checks of a certificate itself, beside the library.
 *
 * wolfSSL verifies signatures, dates, constraints and usages. Three things are looked at here,
 * because the library leaves them open: the name, which it takes from the subject's CN when there
 * is no subjectAltName (RFC 9110 section 4.3.4 and RFC 6125 forbid that), a wildcard's reach, and
 * signatures with a hash that is broken. Pure: DER in, verdict out; whatever cannot be read is
 * refused.
 */
#ifndef TLS_CERT_H
#define TLS_CERT_H

#include "core/base/addr.h"
#include "core/base/span.h"
#include "tls/fault.h"

#include <stdbool.h>

/* Whether the certificate is for this host. ip not NULL: the URL names the address itself, and an
 * iPAddress in it must be equal; else host must match a dNSName, by RFC 6125: "*" stands for
 * exactly one whole label, the leftmost, and not above two others. NONE, NAME or MALFORMED. */
enum tls_fault tls_cert_is_for(struct span der, struct span host, const struct addr *ip);

/* Whether it is signed with MD2, MD5 or SHA-1, unless it is a root's (issuer and subject equal),
 * whose signature nobody relies on. NONE, WEAK_SIGNATURE or MALFORMED. */
enum tls_fault tls_cert_signature(struct span der);

/* Whether issuer and subject are equal, as of a root and of a self-signed one. */
bool tls_cert_is_self_issued(struct span der);

#endif
