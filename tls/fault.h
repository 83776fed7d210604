/* tls/fault.h - everything that can be wrong with a TLS session, in one table.
 *
 * A row gives the attempt's ending (core/base/err.h) and the clause that results and events show
 * as its detail: an operator must see from it what to repair, and on which side.
 */
#ifndef TLS_FAULT_H
#define TLS_FAULT_H

#include "core/base/err.h"

#include <stdbool.h>

/* clang-format off */
/*    name            ending           clause */
#define TLS_FAULTS(X) \
    X(NONE,           OK,              "") \
    X(UNTRUSTED,      TLS_CERTIFICATE, "the certificate is not signed by a trusted authority") \
    X(SELF_SIGNED,    TLS_CERTIFICATE, "the certificate is self-signed") \
    X(EXPIRED,        TLS_CERTIFICATE, "a certificate has expired") \
    X(NOT_YET,        TLS_CERTIFICATE, "a certificate is not valid yet") \
    X(NAME,           TLS_CERTIFICATE, "the certificate is not for this host") \
    X(PURPOSE,        TLS_CERTIFICATE, "the certificate is not for servers") \
    X(WEAK_KEY,       TLS_CERTIFICATE, "a certificate's key is too short") \
    X(WEAK_SIGNATURE, TLS_CERTIFICATE, "a certificate is signed with MD5 or SHA-1") \
    X(CHAIN,          TLS_CERTIFICATE, "the chain of certificates breaks its own constraints") \
    X(MALFORMED,      TLS_CERTIFICATE, "the certificate cannot be read") \
    X(ALERT,          TLS_HANDSHAKE,   "the receiver ended the handshake with an alert") \
    X(VERSION,        TLS_HANDSHAKE,   "the receiver's TLS version is too old") \
    X(SUITE,          TLS_HANDSHAKE,   "the receiver chose a cipher suite that was not offered") \
    X(ALPN,           TLS_HANDSHAKE,   "the receiver chose a protocol that was not offered") \
    X(PROTOCOL,       TLS_HANDSHAKE,   "the receiver does not speak TLS, or breaks its rules") \
    X(CLOSED,         TLS_HANDSHAKE,   "the receiver closed the connection during the handshake") \
    X(STALE,          RESET,           "the receiver did not resume its own session") \
    X(BROKEN,         RESET,           "a TLS record cannot be authenticated") \
    X(ALERT_LATER,    RESET,           "the receiver ended the session with an alert") \
    X(MEMORY,         NO_RESOURCES,    "the memory for TLS is used up") \
    X(INTERNAL,       NO_RESOURCES,    "the TLS library failed")
/* clang-format on */

#define TLS_FAULT_ENUM(name, err, text) TLS_FAULT_##name,
enum tls_fault { TLS_FAULTS(TLS_FAULT_ENUM) TLS_FAULT_COUNT };
#undef TLS_FAULT_ENUM

enum err tls_fault_err(enum tls_fault f);
const char *tls_fault_text(enum tls_fault f); /* static; no full stop */

/* What wolfSSL's error code (negative) says, whether or not the handshake was complete. */
enum tls_fault tls_fault_of_code(int code, bool handshake_done);

#endif
