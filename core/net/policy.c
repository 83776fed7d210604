/* core/net/policy.c - the egress policy's address part, as tables.
 *
 * Source: IANA's IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and its updates up to
 * RFC 9780, compared in November 2026) and the IPv6 address space: outside 2000::/3 nothing is
 * allocated to anybody. A row without a reason is an exception in a larger block. The first row
 * that matches decides, so exceptions stand before their blocks.
 *
 * IPv4 inside IPv6. A translator or tunnel may carry such a packet to the IPv4 address in it, so
 * both are judged, each on its own, and both must pass: by the registries or by --allow-net. That
 * is, --allow-net 64:ff9b::/96 does not open 64:ff9b::10.0.0.1 as long as 10.0.0.1 itself is not
 * allowed, and --allow-net 10.0.0.0/8 does not open 2002:a00:1:: as long as 2002::/16 is not.
 * For ::ffff:a.b.c.d the outer and the inner address are the same net for --allow-net, as they
 * are the same destination for the kernel. --deny-net refuses when it names either of the two.
 *
 * In the local NAT64 block 64:ff9b:1::/48 nobody but its operator knows where the IPv4 address is:
 * RFC 6052 has a place for each prefix length. All four are judged; but one that reads 0.x.x.x is
 * not that of such an address, unless all do. A prefix that an operator took from his own addresses
 * for NAT64 or 6rd cannot be known: --deny-net is for that.
 *
 * A net with less than 96 bits names IPv6 only: --allow-net ::/0 opens no IPv4 address.
 */
#include "core/net/policy.h"

#include "core/base/check.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

struct rule4 {
    uint32_t prefix; /* host order */
    uint8_t bits;
    const char *reason; /* NULL: globally reachable */
};

#define V4(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

static const struct rule4 rules4[] = {
    {V4(0, 0, 0, 0), 8, "this network 0.0.0.0/8 (RFC 791)"},
    {V4(10, 0, 0, 0), 8, "private 10.0.0.0/8 (RFC 1918)"},
    {V4(100, 64, 0, 0), 10, "carrier-grade NAT 100.64.0.0/10 (RFC 6598)"},
    {V4(127, 0, 0, 0), 8, "loopback 127.0.0.0/8 (RFC 1122)"},
    {V4(169, 254, 0, 0), 16, "link-local 169.254.0.0/16 (RFC 3927)"},
    {V4(172, 16, 0, 0), 12, "private 172.16.0.0/12 (RFC 1918)"},
    {V4(192, 0, 0, 9), 32, NULL},  /* Port Control Protocol anycast, RFC 7723 */
    {V4(192, 0, 0, 10), 32, NULL}, /* TURN anycast, RFC 8155 */
    {V4(192, 0, 0, 0), 24, "protocol assignments 192.0.0.0/24 (RFC 6890)"},
    {V4(192, 0, 2, 0), 24, "documentation 192.0.2.0/24 (RFC 5737)"},
    {V4(192, 88, 99, 0), 24, "6to4 relay anycast 192.88.99.0/24 (RFC 7526)"},
    {V4(192, 168, 0, 0), 16, "private 192.168.0.0/16 (RFC 1918)"},
    {V4(198, 18, 0, 0), 15, "benchmarking 198.18.0.0/15 (RFC 2544)"},
    {V4(198, 51, 100, 0), 24, "documentation 198.51.100.0/24 (RFC 5737)"},
    {V4(203, 0, 113, 0), 24, "documentation 203.0.113.0/24 (RFC 5737)"},
    {V4(224, 0, 0, 0), 4, "multicast 224.0.0.0/4 (RFC 5771)"},
    {V4(255, 255, 255, 255), 32, "limited broadcast 255.255.255.255 (RFC 8190)"},
    {V4(240, 0, 0, 0), 4, "reserved 240.0.0.0/4 (RFC 1112)"},
};

struct rule6 {
    uint16_t group[8]; /* the prefix, as it is written */
    uint8_t bits;
    const char *reason; /* NULL: globally reachable */
};

static const struct rule6 rules6[] = {
    {{0}, 128, "unspecified ::/128 (RFC 4291)"},
    {{0, 0, 0, 0, 0, 0, 0, 1}, 128, "loopback ::1/128 (RFC 4291)"},
    {{0, 0, 0, 0, 0, 0xffff}, 96, "IPv4-mapped ::ffff:0:0/96 (RFC 4291)"},
    {{0}, 96, "IPv4-compatible ::/96 (RFC 4291)"},
    {{0, 0, 0, 0, 0xffff}, 96, "IPv4-translated ::ffff:0:0:0/96 (RFC 2765)"},
    {{0x64, 0xff9b}, 96, NULL}, /* NAT64, RFC 6052: the IPv4 address in it decides */
    {{0x64, 0xff9b, 1}, 48, "local NAT64 64:ff9b:1::/48 (RFC 8215)"},
    {{0x100}, 64, "discard-only 100::/64 (RFC 6666)"},
    {{0x100, 0, 0, 1}, 64, "dummy prefix 100:0:0:1::/64 (RFC 9780)"},
    {{0x2001}, 32, "Teredo 2001::/32 (RFC 4380)"},
    {{0x2001, 1, 0, 0, 0, 0, 0, 1}, 128, NULL}, /* Port Control Protocol anycast, RFC 7723 */
    {{0x2001, 1, 0, 0, 0, 0, 0, 2}, 128, NULL}, /* TURN anycast, RFC 8155 */
    {{0x2001, 1, 0, 0, 0, 0, 0, 3}, 128, NULL}, /* DNS-SD registration anycast, RFC 9665 */
    {{0x2001, 2}, 48, "benchmarking 2001:2::/48 (RFC 5180)"},
    {{0x2001, 3}, 32, NULL},        /* AMT, RFC 7450 */
    {{0x2001, 4, 0x112}, 48, NULL}, /* AS112-v6, RFC 7535 */
    {{0x2001, 0x10}, 28, "ORCHID 2001:10::/28 (RFC 4843)"},
    {{0x2001, 0x20}, 28, NULL}, /* ORCHIDv2, RFC 7343 */
    {{0x2001, 0x30}, 28, NULL}, /* drone identifiers, RFC 9374 */
    {{0x2001}, 23, "protocol assignments 2001::/23 (RFC 2928)"},
    {{0x2001, 0xdb8}, 32, "documentation 2001:db8::/32 (RFC 3849)"},
    {{0x2002}, 16, "6to4 2002::/16 (RFC 3056)"},
    {{0x3fff}, 20, "documentation 3fff::/20 (RFC 9637)"},
    {{0x2000}, 3, NULL}, /* global unicast, RFC 4291 */
    {{0x5f00}, 16, "segment routing 5f00::/16 (RFC 9602)"},
    {{0xfc00}, 7, "unique-local fc00::/7 (RFC 4193)"},
    {{0xfe80}, 10, "link-local fe80::/10 (RFC 4291)"},
    {{0xfec0}, 10, "site-local fec0::/10 (RFC 3879)"},
    {{0xff00}, 8, "multicast ff00::/8 (RFC 4291)"},
    {{0}, 0, "not allocated: outside 2000::/3 (RFC 4291)"},
};

enum { EMBEDDED_MAX = 4 }; /* local NAT64 has four places for it */

static uint32_t group_of(const struct in6_addr *a, int i)
{
    return (uint32_t)a->s6_addr[2 * i] << 8 | a->s6_addr[2 * i + 1];
}

static uint32_t v4_at(const struct in6_addr *a, int first_group)
{
    return group_of(a, first_group) << 16 | group_of(a, first_group + 1);
}

static struct in6_addr mapped(uint32_t v4)
{
    struct in6_addr a = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
    for (int i = 0; i < 4; i++) a.s6_addr[12 + i] = (uint8_t)(v4 >> (24 - 8 * i));
    return a;
}

static bool prefix_equal(const struct in6_addr *a, const struct in6_addr *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a->s6_addr, b->s6_addr, whole) != 0) return false;
    return rest == 0 || (a->s6_addr[whole] ^ b->s6_addr[whole]) >> (8 - rest) == 0;
}

/* NULL: in none of them. */
static const struct net *in_any(const struct net *nets, uint32_t count, const struct in6_addr *a,
                                bool is_v4)
{
    for (uint32_t i = 0; i < count; i++) {
        if (is_v4 && nets[i].bits < 96) continue; /* see the head */
        if (prefix_equal(a, &nets[i].prefix, nets[i].bits)) return &nets[i];
    }
    return NULL;
}

static const char *registry4(uint32_t v4)
{
    for (size_t i = 0; i < sizeof rules4 / sizeof *rules4; i++)
        if ((v4 ^ rules4[i].prefix) >> (32 - rules4[i].bits) == 0) return rules4[i].reason;
    return NULL;
}

static const char *registry6(const struct in6_addr *a)
{
    for (size_t i = 0; i < sizeof rules6 / sizeof *rules6; i++) {
        struct in6_addr prefix;
        for (int g = 0; g < 8; g++) {
            prefix.s6_addr[2 * g] = (uint8_t)(rules6[i].group[g] >> 8);
            prefix.s6_addr[2 * g + 1] = (uint8_t)rules6[i].group[g];
        }
        if (prefix_equal(a, &prefix, rules6[i].bits)) return rules6[i].reason;
    }
    UNREACHABLE(); /* the last row takes everything */
}

static uint32_t v4_from(const struct in6_addr *a, int b0, int b1, int b2, int b3)
{
    const uint8_t *byte = a->s6_addr;
    return V4(byte[b0], byte[b1], byte[b2], byte[b3]);
}

/* Of an address in 64:ff9b:1::/48, by RFC 6052 section 2.2: byte 8 is never part of it. */
static int embedded_local(const struct in6_addr *a, uint32_t out[EMBEDDED_MAX])
{
    const uint32_t places[EMBEDDED_MAX] = {
        v4_at(a, 6),
        v4_from(a, 6, 7, 9, 10),
        v4_from(a, 7, 9, 10, 11),
        v4_from(a, 9, 10, 11, 12),
    };
    int count = 0;
    for (int i = 0; i < EMBEDDED_MAX; i++)
        if (places[i] >> 24 != 0) out[count++] = places[i];
    if (count == 0) out[count++] = places[0];
    return count;
}

/* The IPv4 addresses that a carries, by every scheme that has been deployed. */
static int embedded(const struct in6_addr *a, uint32_t out[EMBEDDED_MAX])
{
    uint32_t g0 = group_of(a, 0), g1 = group_of(a, 1), g2 = group_of(a, 2);
    uint32_t g4 = group_of(a, 4), g5 = group_of(a, 5);
    static const uint8_t zero[10];
    if (memcmp(a->s6_addr, zero, 8) == 0 && (g4 == 0 || (g4 == 0xffff && g5 == 0))) {
        out[0] = v4_at(a, 6);
        if (g4 == 0 && g5 != 0 && g5 != 0xffff) return 0;
        return (g4 | g5) == 0 && out[0] <= 1 ? 0 : 1; /* :: and ::1 carry none */
    }
    bool nat64 = g0 == 0x64 && g1 == 0xff9b;
    if (nat64 && g2 == 1) return embedded_local(a, out);
    if (nat64 && (g2 | group_of(a, 3) | g4 | g5) == 0) {
        out[0] = v4_at(a, 6);
        return 1;
    }
    if (g0 == 0x2002) { /* 6to4 */
        out[0] = v4_at(a, 1);
        return 1;
    }
    if (g0 == 0x2001 && g1 == 0) { /* Teredo: its server, and its client, which is inverted */
        out[0] = v4_at(a, 2);
        out[1] = ~v4_at(a, 6);
        return 2;
    }
    if ((g4 & ~0x0200u) == 0 && g5 == 0x5efe) { /* ISATAP, RFC 5214, under any prefix */
        out[0] = v4_at(a, 6);
        return 1;
    }
    return 0;
}

/* Why an address is refused. */
struct refusal {
    const char *rule;       /* NULL: it is not */
    const struct net *deny; /* of --deny-net; or NULL */
    bool inner;             /* because of v4, which it carries */
    uint32_t v4;
};

static struct refusal denied(const struct net *net)
{
    return (struct refusal){.rule = "--deny-net", .deny = net};
}

static struct refusal judge4(const struct policy *p, uint32_t v4)
{
    struct in6_addr a = mapped(v4);
    const struct net *deny = in_any(p->deny, p->deny_count, &a, true);
    if (deny != NULL) return denied(deny);
    if (in_any(p->allow, p->allow_count, &a, true) != NULL) return (struct refusal){.rule = NULL};
    return (struct refusal){.rule = registry4(v4)};
}

static struct refusal judge6(const struct policy *p, const struct in6_addr *v6)
{
    uint32_t inner[EMBEDDED_MAX];
    int inner_count = embedded(v6, inner);
    const struct net *deny = in_any(p->deny, p->deny_count, v6, false);
    if (deny != NULL) return denied(deny);
    for (int i = 0; i < inner_count; i++) {
        struct refusal r = judge4(p, inner[i]);
        r.inner = true;
        r.v4 = inner[i];
        if (r.rule != NULL) return r;
    }
    if (in_any(p->allow, p->allow_count, v6, false) != NULL) return (struct refusal){.rule = NULL};
    return (struct refusal){.rule = registry6(v6)};
}

static struct refusal judge(const struct policy *p, const struct addr *a)
{
    CHECK(p != NULL);
    CHECK(p->allow_count <= POLICY_NETS_MAX);
    CHECK(p->deny_count <= POLICY_NETS_MAX);
    if (a->sa.sa_family == AF_INET) return judge4(p, ntohl(a->v4.sin_addr.s_addr));
    CHECK(a->sa.sa_family == AF_INET6);
    return judge6(p, &a->v6.sin6_addr);
}

const char *policy_refuses(const struct policy *p, const struct addr *a)
{
    return judge(p, a).rule;
}

/* "10.0.0.0/8", as it was given. */
static void net_text(const struct net *net, char *out, size_t size)
{
    char ip[INET6_ADDRSTRLEN] = "?";
    static const uint8_t before_v4[12] = {[10] = 0xff, [11] = 0xff};
    bool v4 = net->bits >= 96 && memcmp(net->prefix.s6_addr, before_v4, 12) == 0;
    if (v4) inet_ntop(AF_INET, net->prefix.s6_addr + 12, ip, sizeof ip);
    else inet_ntop(AF_INET6, &net->prefix, ip, sizeof ip);
    snprintf(out, size, "%s/%u", ip, v4 ? net->bits - 96u : net->bits);
}

void policy_refusal_text(const struct policy *p, const struct addr *a, char out[POLICY_TEXT_BYTES])
{
    struct refusal r = judge(p, a);
    char ip[INET6_ADDRSTRLEN] = "?", inner[INET_ADDRSTRLEN] = "?", net[INET6_ADDRSTRLEN + 8] = "";
    CHECK(r.rule != NULL);
    CHECK(out != NULL);
    if (a->sa.sa_family == AF_INET) inet_ntop(AF_INET, &a->v4.sin_addr, ip, sizeof ip);
    else inet_ntop(AF_INET6, &a->v6.sin6_addr, ip, sizeof ip);
    struct in_addr v4 = {.s_addr = htonl(r.v4)};
    if (r.inner) inet_ntop(AF_INET, &v4, inner, sizeof inner);
    if (r.deny != NULL) net_text(r.deny, net, sizeof net);
    snprintf(out, POLICY_TEXT_BYTES, "%s%s%s: %s%s%s", ip, r.inner ? ", which carries " : "",
             r.inner ? inner : "", r.rule, r.deny != NULL ? " " : "", net);
}

/* A prefix length: digits only, at most max. */
static bool bits_parse(const char *text, unsigned max, unsigned *out)
{
    unsigned value = 0;
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 3 || text[n] != 0) return false;
    for (size_t i = 0; i < n; i++) value = value * 10 + (unsigned)(text[i] - '0');
    if (value > max) return false;
    *out = value;
    return true;
}

bool net_parse(const char *text, struct net *out)
{
    CHECK(text != NULL);
    CHECK(out != NULL);
    char host[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t n = slash != NULL ? (size_t)(slash - text) : strlen(text);
    if (n >= sizeof host) return false;
    memcpy(host, text, n);
    host[n] = 0;
    struct net net;
    struct in_addr v4;
    unsigned above = 0, bits;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        net.prefix = mapped(ntohl(v4.s_addr));
        above = 96;
    } else if (inet_pton(AF_INET6, host, &net.prefix) != 1) {
        return false;
    }
    bits = 128 - above;
    if (slash != NULL && !bits_parse(slash + 1, 128 - above, &bits)) return false;
    net.bits = (uint8_t)(above + bits);
    for (unsigned i = net.bits; i < 128; i++)
        if ((net.prefix.s6_addr[i / 8] >> (7 - i % 8) & 1) != 0) return false;
    *out = net;
    return true;
}
