/* core/net/policy.h - which addresses hookline may connect to (SSRF protection).
 *
 * Refused unless --allow-net names it: every address that is not globally reachable by the IANA
 * special-purpose registries (RFC 6890), IPv4 and IPv6, with IPv4 embedded in IPv6 (v4-mapped,
 * v4-compatible, v4-translated, 6to4, NAT64, Teredo, ISATAP) decoded and judged as well.
 * --deny-net wins over --allow-net. Pure; immutable after start, so that all shards share one.
 */
#ifndef CORE_NET_POLICY_H
#define CORE_NET_POLICY_H

#include "core/base/addr.h"

#include <stdbool.h>
#include <stdint.h>

struct net {
    struct in6_addr prefix; /* IPv4 as ::ffff:a.b.c.d */
    uint8_t bits;           /* 0..128; an IPv4 /n is 96 + n */
};

enum { POLICY_NETS_MAX = 64 };

struct policy {
    struct net allow[POLICY_NETS_MAX], deny[POLICY_NETS_MAX];
    uint32_t allow_count, deny_count;
};

/* Parses "10.0.0.0/8", "::1/128" or a bare address. False when it is none, or has bits set
 * beyond its prefix length. */
bool net_parse(const char *text, struct net *out);

/* NULL: may be connected to. Otherwise the rule that refuses it, such as "loopback 127.0.0.0/8
 * (RFC 1122)" or "--deny-net": static text. */
const char *policy_refuses(const struct policy *p, const struct addr *a);

enum { POLICY_TEXT_BYTES = 192 };

/* The refusal of a, which must be refused, in one clause: the address, the IPv4 address in it if
 * that is the reason, and the rule; for --deny-net the net. */
void policy_refusal_text(const struct policy *p, const struct addr *a, char out[POLICY_TEXT_BYTES]);

#endif
