/* tls/fault.c - see fault.h. */
#include "tls/fault.h"

#include "core/base/check.h"

#include <wolfssl/options.h>

#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#define TLS_FAULT_ROW(name, err, text) {ERR_##err, text},
static const struct {
    enum err err;
    const char *text;
} rows[TLS_FAULT_COUNT] = {TLS_FAULTS(TLS_FAULT_ROW)};
#undef TLS_FAULT_ROW

enum err tls_fault_err(enum tls_fault f)
{
    CHECK(f < TLS_FAULT_COUNT);
    return rows[f].err;
}

const char *tls_fault_text(enum tls_fault f)
{
    CHECK(f < TLS_FAULT_COUNT);
    return rows[f].text;
}

/* What concerns a certificate; NONE: the code does not. */
static enum tls_fault certificate_fault(int code)
{
    switch (code) {
    case ASN_NO_SIGNER_E:
    case ASN_SIG_CONFIRM_E:
    case NOT_CA_ERROR:
    case NO_PEER_VERIFY:
    case VERIFY_CERT_ERROR: return TLS_FAULT_UNTRUSTED;
    case ASN_SELF_SIGNED_E: return TLS_FAULT_SELF_SIGNED;
    case ASN_AFTER_DATE_E: return TLS_FAULT_EXPIRED;
    case ASN_BEFORE_DATE_E: return TLS_FAULT_NOT_YET;
    case DOMAIN_NAME_MISMATCH:
    case IPADDR_MISMATCH: return TLS_FAULT_NAME;
    case KEYUSE_SIGNATURE_E:
    case KEYUSE_ENCIPHER_E:
    case EXTKEYUSE_AUTH_E: return TLS_FAULT_PURPOSE;
    case RSA_KEY_SIZE_E:
    case ECC_KEY_SIZE_E: return TLS_FAULT_WEAK_KEY;
    case ASN_SIG_HASH_E:
    case ASN_SIG_KEY_E:
    case ASN_SIG_OID_E: return TLS_FAULT_WEAK_SIGNATURE;
    case MAX_CHAIN_ERROR:
    case ASN_NAME_INVALID_E:
    case ASN_PATHLEN_SIZE_E:
    case ASN_PATHLEN_INV_E: return TLS_FAULT_CHAIN;
    case ASN_CRIT_EXT_E:
    case ASN_ALT_NAME_E:
    case PEER_KEY_ERROR: return TLS_FAULT_MALFORMED;
    default:
        return code <= ASN_PARSE_E && code >= ASN_ECC_KEY_E ? TLS_FAULT_MALFORMED : TLS_FAULT_NONE;
    }
}

enum tls_fault tls_fault_of_code(int code, bool handshake_done)
{
    CHECK(code != 0);
    switch (code) {
    case MEMORY_E:
    case MEMORY_ERROR: return TLS_FAULT_MEMORY;
    case OPEN_RAN_E:
    case READ_RAN_E:
    case RNG_FAILURE_E: return TLS_FAULT_INTERNAL;
    case FATAL_ERROR: return handshake_done ? TLS_FAULT_ALERT_LATER : TLS_FAULT_ALERT;
    }
    if (handshake_done) return TLS_FAULT_BROKEN;
    switch (code) {
    case VERSION_ERROR:
    case UNSUPPORTED_PROTO_VERSION: return TLS_FAULT_VERSION;
    case UNSUPPORTED_SUITE:
    case MATCH_SUITE_ERROR:
    case SUITES_ERROR: return TLS_FAULT_SUITE;
    case UNKNOWN_ALPN_PROTOCOL_NAME_E: return TLS_FAULT_ALPN;
    }
    enum tls_fault f = certificate_fault(code);
    return f != TLS_FAULT_NONE ? f : TLS_FAULT_PROTOCOL;
}
