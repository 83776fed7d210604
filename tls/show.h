/* tls/show.h - a certificate as a person reads it. Pure: DER in, text out. */
#ifndef TLS_SHOW_H
#define TLS_SHOW_H

#include "core/base/span.h"

#include <stdbool.h>

struct tls_cert_text {
    char subject[256], issuer[256]; /* "CN=a.example, O=Somebody"; cut where they are longer */
    char from[24], until[24];       /* "2026-01-31T12:00:00Z" */
    char names[1024];               /* "a.example, *.a.example, 192.0.2.1"; empty: none */
};

/* False: it is no certificate. What stands in it is shown as it is: bytes of whatever kind, but no
 * NUL. */
bool tls_cert_show(struct span der, struct tls_cert_text *out);

#endif
