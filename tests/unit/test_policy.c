/* tests/unit/test_policy.c - goal: no address that is not globally reachable is connected to
 * unless --allow-net names it, however it is written; and none that is, is refused.
 *
 * Method: a referee written another way: the registries as text, the longest match decides, bits
 * are compared one by one, addresses that carry an IPv4 address are told apart by their bytes. It
 * and the policy must agree at both edges of every block and just outside, with every scheme of
 * embedding around every IPv4 edge, and on pseudo-random addresses. Then tables of addresses as
 * people and attackers write them, and of --allow-net and --deny-net.
 */
#include "core/net/policy.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static const struct policy none;

/* ---- the referee ---- */

struct block {
    const char *net;
    int bits;
    bool global;
};

static const struct block blocks4[] = {
    {"0.0.0.0", 0, true},       {"0.0.0.0", 8, false},       {"10.0.0.0", 8, false},
    {"100.64.0.0", 10, false},  {"127.0.0.0", 8, false},     {"169.254.0.0", 16, false},
    {"172.16.0.0", 12, false},  {"192.0.0.0", 24, false},    {"192.0.0.0", 29, false},
    {"192.0.0.8", 32, false},   {"192.0.0.9", 32, true},     {"192.0.0.10", 32, true},
    {"192.0.0.170", 32, false}, {"192.0.0.171", 32, false},  {"192.0.2.0", 24, false},
    {"192.31.196.0", 24, true}, {"192.52.193.0", 24, true},  {"192.88.99.0", 24, false},
    {"192.88.99.2", 32, false}, {"192.168.0.0", 16, false},  {"192.175.48.0", 24, true},
    {"198.18.0.0", 15, false},  {"198.51.100.0", 24, false}, {"203.0.113.0", 24, false},
    {"224.0.0.0", 4, false},    {"240.0.0.0", 4, false},     {"255.255.255.255", 32, false},
};

static const struct block blocks6[] = {
    {"::", 0, false},           {"2000::", 3, true},          {"::1", 128, false},
    {"::", 128, false},         {"::ffff:0:0", 96, false},    {"64:ff9b::", 96, true},
    {"64:ff9b:1::", 48, false}, {"100::", 64, false},         {"100:0:0:1::", 64, false},
    {"2001::", 23, false},      {"2001::", 32, false},        {"2001:1::1", 128, true},
    {"2001:1::2", 128, true},   {"2001:1::3", 128, true},     {"2001:2::", 48, false},
    {"2001:3::", 32, true},     {"2001:4:112::", 48, true},   {"2001:10::", 28, false},
    {"2001:20::", 28, true},    {"2001:30::", 28, true},      {"2001:db8::", 32, false},
    {"2002::", 16, false},      {"2620:4f:8000::", 48, true}, {"3fff::", 20, false},
    {"5f00::", 16, false},      {"fc00::", 7, false},         {"fe80::", 10, false},
    {"fec0::", 10, false},      {"ff00::", 8, false},
};

static int bit_of(const uint8_t *bytes, int i) { return bytes[i / 8] >> (7 - i % 8) & 1; }

static bool referee_block(const struct block *blocks, size_t n, int family, const uint8_t *ip)
{
    int best = -1;
    bool global = false;
    for (size_t i = 0; i < n; i++) {
        uint8_t net[16];
        cr_assert_eq(inet_pton(family, blocks[i].net, net), 1, "%s", blocks[i].net);
        int same = 0;
        while (same < blocks[i].bits && bit_of(net, same) == bit_of(ip, same)) same++;
        if (same < blocks[i].bits || same <= best) continue;
        best = same;
        global = blocks[i].global;
    }
    return global;
}

static bool referee4(const uint8_t *ip)
{
    return referee_block(blocks4, COUNT_OF(blocks4), AF_INET, ip);
}

static bool referee6(const uint8_t *ip)
{
    char hex[33];
    for (int i = 0; i < 16; i++) snprintf(hex + 2 * i, 3, "%02x", ip[i]);
    bool ok = referee_block(blocks6, COUNT_OF(blocks6), AF_INET6, ip);
    if (strncmp(hex, "0064ff9b0000000000000000", 24) == 0) ok = ok && referee4(ip + 12);
    if (strncmp(hex + 16, "00005efe", 8) == 0) ok = ok && referee4(ip + 12);
    if (strncmp(hex + 16, "02005efe", 8) == 0) ok = ok && referee4(ip + 12);
    return ok; /* the other schemes' blocks are refused as a whole */
}

/* ---- both, side by side ---- */

static struct addr addr_of(int family, const uint8_t *ip)
{
    struct addr a;
    memset(&a, 0, sizeof a);
    a.sa.sa_family = (sa_family_t)family;
    if (family == AF_INET) memcpy(&a.v4.sin_addr, ip, 4);
    else memcpy(&a.v6.sin6_addr, ip, 16);
    return a;
}

static uint64_t compared;

static void compare(int family, const uint8_t *ip)
{
    struct addr a = addr_of(family, ip);
    char text[ADDR_TEXT_BYTES];
    const char *reason = policy_refuses(&none, &a);
    bool want = family == AF_INET ? referee4(ip) : referee6(ip);
    addr_text(&a, text);
    cr_assert_eq(reason == NULL, want, "%s: %s, but the referee says %s", text,
                 reason != NULL ? reason : "passes", want ? "global" : "not global");
    compared++;
}

static void add(uint8_t *bytes, int n, int step)
{
    int carry = step;
    for (int i = n - 1; i >= 0 && carry != 0; i--) {
        int sum = bytes[i] + carry;
        bytes[i] = (uint8_t)sum;
        carry = sum < 0 ? -1 : sum > 255 ? 1 : 0;
    }
}

/* Calls fn with both edges of a block and the addresses beyond them. */
static void edges(int family, const struct block *b, void (*fn)(int family, const uint8_t *ip))
{
    int n = family == AF_INET ? 4 : 16;
    uint8_t first[16], last[16], beyond[16];
    inet_pton(family, b->net, first);
    memcpy(last, first, 16);
    for (int i = b->bits; i < n * 8; i++) last[i / 8] = (uint8_t)(last[i / 8] | 1u << (7 - i % 8));
    fn(family, first);
    fn(family, last);
    memcpy(beyond, first, 16);
    add(beyond, n, -1);
    fn(family, beyond);
    memcpy(beyond, last, 16);
    add(beyond, n, 1);
    fn(family, beyond);
}

static void embed(int family, const uint8_t *v4)
{
    static const char *const outers[] = {"::",
                                         "::ffff:0:0:0",
                                         "::fffe:0:0",
                                         "::1:0:0:0",
                                         "::ffff:0:0",
                                         "64:ff9b::",
                                         "64:ff9b:1::",
                                         "64:ff9b::1:0:0",
                                         "2600::5efe:0:0",
                                         "2600::200:5efe:0:0",
                                         "fe80::5efe:0:0",
                                         "2600::300:5efe:0:0",
                                         "2600::5eff:0:0",
                                         "2001:db8::5efe:0:0",
                                         "64:ff9c::"};
    (void)family;
    for (size_t i = 0; i < COUNT_OF(outers); i++) {
        uint8_t ip[16];
        cr_assert_eq(inet_pton(AF_INET6, outers[i], ip), 1, "%s", outers[i]);
        memcpy(ip + 12, v4, 4);
        compare(AF_INET6, ip);
    }
    uint8_t sixtofour[16] = {0x20, 0x02, v4[0], v4[1], v4[2], v4[3]};
    compare(AF_INET6, sixtofour);
}

Test(policy, agrees_with_the_referee_at_every_edge)
{
    for (size_t i = 0; i < COUNT_OF(blocks4); i++) edges(AF_INET, &blocks4[i], compare);
    for (size_t i = 0; i < COUNT_OF(blocks4); i++) edges(AF_INET, &blocks4[i], embed);
    for (size_t i = 0; i < COUNT_OF(blocks6); i++) edges(AF_INET6, &blocks6[i], compare);
    cr_assert_gt(compared, 1000);
}

Test(policy, agrees_with_the_referee_at_random)
{
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 100000; i++) {
        uint8_t ip[16];
        for (int k = 0; k < 16; k += 8) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            memcpy(ip + k, &x, 8);
        }
        compare(AF_INET, ip);
        if (i % 3 == 0) ip[0] = 0x20, ip[1] = 0x01, ip[2] &= 1;
        if (i % 3 == 1) ip[0] = (uint8_t)(0x20 | (ip[0] & 0x1f));
        compare(AF_INET6, ip);
        embed(AF_INET, ip);
    }
}

/* ---- as they are written ---- */

static struct addr parsed(const char *text)
{
    uint8_t ip[16];
    if (inet_pton(AF_INET, text, ip) == 1) return addr_of(AF_INET, ip);
    cr_assert_eq(inet_pton(AF_INET6, text, ip), 1, "%s", text);
    return addr_of(AF_INET6, ip);
}

Test(policy, reasons)
{
    static const struct {
        const char *ip, *reason; /* how it begins; NULL: passes */
    } rows[] = {
        {"8.8.8.8", NULL},
        {"1.1.1.1", NULL},
        {"172.15.255.255", NULL},
        {"172.32.0.0", NULL},
        {"100.128.0.0", NULL},
        {"192.0.0.9", NULL},
        {"0.0.0.0", "this network"},
        {"127.0.0.1", "loopback"},
        {"127.255.255.255", "loopback"},
        {"10.1.2.3", "private 10."},
        {"172.31.0.1", "private 172."},
        {"192.168.1.1", "private 192."},
        {"100.64.0.1", "carrier-grade"},
        {"169.254.169.254", "link-local"}, /* a cloud's metadata service */
        {"198.19.0.1", "benchmarking"},
        {"224.0.0.1", "multicast"},
        {"250.0.0.1", "reserved"},
        {"255.255.255.255", "limited broadcast"},
        {"2600::1", NULL},
        {"2a00:1450:4001:80b::200e", NULL},
        {"64:ff9b::8.8.8.8", NULL},
        {"::", "unspecified"},
        {"::1", "loopback ::1"},
        {"::127.0.0.1", "loopback 127."},
        {"::8.8.8.8", "IPv4-compatible"},
        {"::ffff:127.0.0.1", "loopback 127."},
        {"::ffff:8.8.8.8", "IPv4-mapped"},
        {"64:ff9b::10.0.0.1", "private 10."},
        {"64:ff9b:1::8.8.8.8", "local NAT64"},
        {"64:ff9b:1::10.0.0.1", "private 10."},
        {"2002:7f00:1::", "loopback 127."},
        {"2002:808:808::", "6to4"},
        {"2001:0:808:808::f7f7:f7f7", "Teredo"},
        {"2001:0:808:808::f5ff:fffe", "private 10."}, /* the client, inverted */
        {"2001:0:a00:1::f7f7:f7f7", "private 10."},   /* the server */
        {"2600::5efe:192.168.0.1", "private 192."},
        {"2600::200:5efe:192.168.0.1", "private 192."},
        {"2600::200:5efe:8.8.8.8", NULL},
        {"fe80::1", "link-local fe80"},
        {"fec0::1", "site-local"},
        {"fd00:ec2::254", "unique-local"},
        {"ff02::1", "multicast ff00"},
        {"2001:db8::1", "documentation"},
        {"3fff:fff::1", "documentation"},
        {"::ffff:0:8.8.8.8", "IPv4-translated"},
        {"::ffff:0:127.0.0.1", "loopback 127."},
        {"4000::1", "not allocated"},
        {"5f00::1", "segment routing"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct addr a = parsed(rows[i].ip);
        const char *reason = policy_refuses(&none, &a);
        if (rows[i].reason == NULL) {
            cr_assert_null(reason, "%s: %s", rows[i].ip, reason);
            continue;
        }
        cr_assert_not_null(reason, "%s passes", rows[i].ip);
        cr_assert_eq(strncmp(reason, rows[i].reason, strlen(rows[i].reason)), 0, "%s: %s",
                     rows[i].ip, reason);
    }
}

/* ---- --allow-net, --deny-net ---- */

static void nets_of(const char *list, struct net *nets, uint32_t *count)
{
    char copy[256], *rest = copy;
    snprintf(copy, sizeof copy, "%s", list);
    for (char *one = strsep(&rest, " "); one != NULL; one = strsep(&rest, " "))
        if (*one != 0) cr_assert(net_parse(one, &nets[(*count)++]), "%s", one);
}

Test(policy, allow_and_deny)
{
    static const struct {
        const char *allow, *deny, *ip;
        bool passes;
    } rows[] = {
        {"127.0.0.0/8", "", "127.0.0.1", true},
        {"127.0.0.0/8", "", "::ffff:127.0.0.1", true}, /* the same destination */
        {"::ffff:127.0.0.0/104", "", "127.0.0.1", true},
        {"127.0.0.0/8", "", "::1", false},
        {"127.0.0.0/8", "", "10.0.0.1", false},
        {"127.0.0.1", "", "127.0.0.1", true},
        {"127.0.0.1", "", "127.0.0.2", false},
        {"::1", "", "::1", true},
        {"fd00::/8", "", "fd12::1", true},
        {"fd00::/8", "", "fc12::1", false},
        {"0.0.0.0/0", "", "10.0.0.1", true},
        {"0.0.0.0/0", "", "::1", false},
        {"::/0", "", "::1", true},
        {"::/0", "", "10.0.0.1", false}, /* names IPv6 only */
        {"::/0", "", "::ffff:10.0.0.1", false},
        {"::/0", "", "64:ff9b::10.0.0.1", false}, /* nor what is carried in it */
        {"::/0", "", "2002:808:808::", true},
        {"64:ff9b::/96", "", "64:ff9b::10.0.0.1", false},
        {"64:ff9b::/96 10.0.0.0/8", "", "64:ff9b::10.0.0.1", true},
        {"10.0.0.0/8", "", "64:ff9b::10.0.0.1", true}, /* NAT64 itself is global */
        {"10.0.0.0/8", "", "2002:a00:1::", false},     /* 6to4 is not */
        {"10.0.0.0/8 2002::/16", "", "2002:a00:1::", true},
        {"64:ff9b:1::/48", "", "64:ff9b:1::8.8.8.8", true},
        {"64:ff9b:1::/48", "", "64:ff9b:1::10.0.0.1", false},
        {"64:ff9b:1::/48", "", "64:ff9b:1:808:8:800::", true},  /* 8.8.8.8 as RFC 6052 puts it */
        {"64:ff9b:1::/48", "", "64:ff9b:1:a00:0:100::", false}, /* 10.0.0.1 behind /48 */
        {"64:ff9b:1::/48", "", "64:ff9b:1:a00:0:100:808:808", false}, /* whatever follows it */
        {"64:ff9b:1::/48", "", "64:ff9b:1:a:0:1::", false},           /* behind /56 */
        {"64:ff9b:1::/48", "", "64:ff9b:1:0:a:0:100:0", false},       /* behind /64 */
        {"64:ff9b:1::/48", "", "64:ff9b:1::", false},
        {"64:ff9b:1::/48 10.0.0.0/8", "", "64:ff9b:1:a00:0:100::", true},
        {"::/0", "", "::ffff:0:10.0.0.1", false}, /* v4-translated */
        {"::/0", "", "::ffff:0:8.8.8.8", true},
        {"", "", "::ffff:0:8.8.8.8", false},
        {"", "8.8.8.0/24", "8.8.8.8", false},
        {"", "8.8.8.0/24", "8.8.9.8", true},
        {"", "8.8.8.0/24", "64:ff9b::8.8.8.8", false},
        {"", "2600::/16", "2600::1", false},
        {"", "::/0", "2600::1", false},
        {"", "::/0", "8.8.8.8", true},
        {"", "0.0.0.0/0", "8.8.8.8", false},
        {"", "0.0.0.0/0", "2600::1", true},
        {"127.0.0.0/8", "127.0.0.1", "127.0.0.1", false}, /* deny wins */
        {"127.0.0.0/8", "127.0.0.1", "127.0.0.2", true},
        {"::/0 0.0.0.0/0", "10.0.0.0/8", "64:ff9b::10.0.0.1", false},
        {"10.0.0.0/8 192.168.0.0/16", "", "192.168.9.9", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct policy p = {0};
        nets_of(rows[i].allow, p.allow, &p.allow_count);
        nets_of(rows[i].deny, p.deny, &p.deny_count);
        struct addr a = parsed(rows[i].ip);
        const char *reason = policy_refuses(&p, &a);
        cr_assert_eq(reason == NULL, rows[i].passes, "allow %s, deny %s: %s: %s", rows[i].allow,
                     rows[i].deny, rows[i].ip, reason != NULL ? reason : "passes");
        if (*rows[i].allow == 0 && *rows[i].deny != 0 && reason != NULL)
            cr_assert_str_eq(reason, "--deny-net");
    }
}

Test(policy, refusal_text)
{
    static const struct {
        const char *deny, *ip, *text;
    } rows[] = {
        {"", "10.1.2.3", "10.1.2.3: private 10.0.0.0/8 (RFC 1918)"},
        {"", "fe80::1", "fe80::1: link-local fe80::/10 (RFC 4291)"},
        {"", "64:ff9b::a00:1",
         "64:ff9b::a00:1, which carries 10.0.0.1: private 10.0.0.0/8 (RFC 1918)"},
        {"", "::ffff:127.0.0.1",
         "::ffff:127.0.0.1, which carries 127.0.0.1: loopback 127.0.0.0/8 (RFC 1122)"},
        {"9.0.0.0/8 8.8.0.0/16", "8.8.4.4", "8.8.4.4: --deny-net 8.8.0.0/16"},
        {"8.8.8.8",
         "2002:808:808::", "2002:808:808::, which carries 8.8.8.8: --deny-net 8.8.8.8/32"},
        {"2600::/16", "2600::1", "2600::1: --deny-net 2600::/16"},
        {"::/0", "2600::1", "2600::1: --deny-net ::/0"},
        {"::ffff:0:0/96", "1.1.1.1", "1.1.1.1: --deny-net 0.0.0.0/0"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct policy p = {0};
        nets_of(rows[i].deny, p.deny, &p.deny_count);
        struct addr a = parsed(rows[i].ip);
        char text[POLICY_TEXT_BYTES];
        policy_refusal_text(&p, &a, text);
        cr_assert_str_eq(text, rows[i].text);
    }
}

Test(policy, net_parse)
{
    static const struct {
        const char *text;
        int bits; /* -1: refused */
    } rows[] = {
        {"10.0.0.0/8", 104},
        {"10.1.2.3", 128},
        {"10.1.2.3/32", 128},
        {"0.0.0.0/0", 96},
        {"::/0", 0},
        {"::1", 128},
        {"::1/128", 128},
        {"fe80::/10", 10},
        {"2001:db8::/32", 32},
        {"10.0.0.1/8", -1},
        {"10.0.0.0/33", -1},
        {"::/129", -1},
        {"::1/127", -1},
        {"fe80::1%lo", -1},
        {"fe80::%lo/10", -1},
        {"10.0.0.0/", -1},
        {"10.0.0.0/-1", -1},
        {"10.0.0.0/+8", -1},
        {"10.0.0.0/8x", -1},
        {"10.0.0.0/8/8", -1},
        {"10.0.0/8", -1},
        {"10/8", -1},
        {"0x0a.0.0.0/8", -1},
        {"010.0.0.0/8", -1},
        {" 10.0.0.0/8", -1},
        {"10.0.0.0 /8", -1},
        {"", -1},
        {"/8", -1},
        {"localhost", -1},
        {"[::1]/128", -1},
        {"10.0.0.0/0008", -1},
        {"10.0.0.0/4294967304", -1},
        {"fd00::/7", -1},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc", -1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct net net = {.bits = 77};
        bool ok = net_parse(rows[i].text, &net);
        cr_assert_eq(ok, rows[i].bits >= 0, "%s", rows[i].text);
        cr_assert_eq(net.bits, ok ? rows[i].bits : 77, "%s: %d", rows[i].text, net.bits);
    }
}
