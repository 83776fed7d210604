/* tls/x509.h - the fields of a certificate, walked to in DER.
 *
 *   Certificate    SEQUENCE { tbs, signatureAlgorithm, signature }
 *   tbs            SEQUENCE { [0] version?, serial, signature, issuer, validity, subject, key,
 *                             [1]? [2]? [3] extensions? }
 *   extensions     SEQUENCE OF SEQUENCE { OID, critical BOOLEAN?, OCTET STRING }
 *   subjectAltName SEQUENCE OF [2] dNSName or [7] iPAddress or others
 *
 * Pure; nothing is copied: spans point into the certificate. Private to tls/.
 */
#ifndef TLS_X509_H
#define TLS_X509_H

#include "core/base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    DER_BOOLEAN = 0x01,
    DER_OCTETS = 0x04,
    DER_OID = 0x06,
    DER_TIME_UTC = 0x17,
    DER_TIME_GENERAL = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_CONTEXT_0 = 0xa0,
    DER_CONTEXT_3 = 0xa3,
    X509_SAN_MAIL = 0x81,
    X509_SAN_DNS = 0x82,
    X509_SAN_URI = 0x86,
    X509_SAN_IP = 0x87,
};

/* One element: its tag and what is in it. */
struct der {
    uint8_t tag;
    struct span body, whole;
};

/* Takes the first element off *rest. False: there is none, or it is not DER. */
bool der_next(struct span *rest, struct der *out);
/* Likewise; false as well when it has another tag. */
bool der_take(struct span *rest, uint8_t tag, struct der *out);

struct x509 {
    struct span algorithm;       /* OID of the signature */
    struct span parameters;      /* of the algorithm; may be empty */
    struct span issuer, subject; /* whole elements: a SEQUENCE of SETs */
    struct span validity;        /* two times */
    struct span extensions;      /* the list's elements; empty: none */
};

/* False: it is no certificate. */
bool x509_of(struct span der, struct x509 *out);
/* Its subjectAltName, a SEQUENCE; ptr NULL: it has none. False: it is malformed. */
bool x509_alt_names(const struct x509 *c, struct span *out);

#endif
