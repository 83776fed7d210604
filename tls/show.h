/* tls/show.h - what a peer showed: its certificates, kept as they came, and as a person reads them.
 * Pure: DER in, text out. */
#ifndef TLS_SHOW_H
#define TLS_SHOW_H

#include "core/base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum { TLS_CHAIN_MAX = 10, TLS_CHAIN_BYTES = 64 * 1024 };

/* Its own first. What does not fit is left out. Begins as zeros. */
struct tls_chain {
    uint32_t count;              /* kept */
    uint32_t shown;              /* by the peer */
    uint32_t end[TLS_CHAIN_MAX]; /* in der */
    char der[TLS_CHAIN_BYTES];
};

/* The next of those that the peer showed. */
void tls_chain_add(struct tls_chain *c, struct span der);
/* One that was kept. */
struct span tls_chain_at(const struct tls_chain *c, uint32_t index);

struct tls_cert_text {
    char subject[256], issuer[256]; /* "CN=a.example, O=Somebody"; cut where they are longer */
    char from[24], until[24];       /* "2026-01-31T12:00:00Z" */
    char names[1024];               /* "a.example, *.a.example, 192.0.2.1"; empty: none */
};

/* False: it is no certificate. What stands in it is shown as it is: bytes of whatever kind, but no
 * NUL. */
bool tls_cert_show(struct span der, struct tls_cert_text *out);

#endif
