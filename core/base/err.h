/* core/base/err.h - every way one attempt can end, in one table.
 *
 * One row gives the enum, the stable label used in results, events and metrics, the class that
 * decides what may follow (delivery.md sections 2 and 3), and the sentence an operator reads. A
 * new row is a new counter and a new test: the simulator fails if no seed ever reached it.
 *
 *   FINAL        the record is done: trying again cannot help
 *   ANSWERED     the receiver was reached; a retry may help, inside the retry window
 *   UNREACHABLE  nothing says that the receiver was reached: code 599, the unreachable window
 */
#ifndef CORE_BASE_ERR_H
#define CORE_BASE_ERR_H

enum err_class { ERR_CLASS_FINAL, ERR_CLASS_ANSWERED, ERR_CLASS_UNREACHABLE };

/* clang-format off */
/*    name             label                class        meaning */
#define ERR_TABLE(X) \
    X(OK,              "ok",                FINAL,       "the receiver answered 2xx") \
    X(STATUS_FINAL,    "status_final",      FINAL,       "the receiver refused: a final status") \
    X(STATUS_RETRY,    "status_retry",      ANSWERED,    "the receiver answered 408, 429 or 5xx") \
    X(TIMEOUT,         "timeout",           ANSWERED,    "no complete answer in the time limit") \
    X(BAD_RESPONSE,    "bad_response",      ANSWERED,    "the answer breaks HTTP/1.1 framing") \
    X(DNS_FAILURE,     "dns_failure",       UNREACHABLE, "the DNS knows no address of the host") \
    X(DNS_TIMEOUT,     "dns_timeout",       UNREACHABLE, "the DNS did not answer in time") \
    X(CONNECT_REFUSED, "connect_refused",   UNREACHABLE, "the receiver refused the connection") \
    X(CONNECT_TIMEOUT, "connect_timeout",   UNREACHABLE, "no connection within the time limit") \
    X(NO_ROUTE,        "no_route",          UNREACHABLE, "network or host cannot be reached") \
    X(RESET,           "connection_reset",  UNREACHABLE, "the connection broke before an answer") \
    X(CLOSED,          "connection_closed", UNREACHABLE, "the receiver closed without an answer") \
    X(TLS_CERTIFICATE, "tls_certificate",   FINAL,       "the receiver's certificate is refused") \
    X(TLS_HANDSHAKE,   "tls_handshake",     UNREACHABLE, "the TLS handshake failed") \
    X(TLS_TIMEOUT,     "tls_timeout",       UNREACHABLE, "no TLS handshake within the time limit") \
    X(TRUNCATED,       "truncated",         ANSWERED,    "no end of the TLS session was said") \
    X(BLOCKED_ADDRESS, "blocked_address",   FINAL,       "the egress policy refuses the address") \
    X(EXPIRED,         "expired",           FINAL,       "its time was over before it was sent") \
    X(NO_RESOURCES,    "no_resources",      ANSWERED,    "this machine ran out of ports or files") \
    X(STOPPED,         "stopped",           ANSWERED,    "the run was stopped during the attempt")
/* clang-format on */

#define ERR_ENUM(name, label, class, text) ERR_##name,
enum err { ERR_TABLE(ERR_ENUM) ERR_COUNT };
#undef ERR_ENUM

enum { ERR_STATUS_UNREACHABLE = 599 }; /* shown as the status of the unreachable class */

const char *err_label(enum err e); /* stable, [a-z_]+ */
const char *err_text(enum err e);  /* one clause in English, no full stop */
enum err_class err_class_of(enum err e);

#endif
