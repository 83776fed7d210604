/* tests/unit/test_addr.c - goal: an address is printed as people write it, and its length is what
 * the kernel wants.
 *
 * Method: chosen addresses and their texts; round trip of pseudo-random ones through inet_pton().
 */
#include "core/base/addr.h"

#include "core/base/prng.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct addr v4(const char *ip, uint16_t port)
{
    struct addr a = {.v4 = {.sin_family = AF_INET, .sin_port = htons(port)}};
    cr_assert_eq(inet_pton(AF_INET, ip, &a.v4.sin_addr), 1);
    return a;
}

static struct addr v6(const char *ip, uint16_t port)
{
    struct addr a = {.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)}};
    cr_assert_eq(inet_pton(AF_INET6, ip, &a.v6.sin6_addr), 1);
    return a;
}

static void check_text(struct addr a, const char *expected)
{
    char text[ADDR_TEXT_BYTES];
    addr_text(&a, text);
    cr_assert_str_eq(text, expected);
}

Test(addr, texts)
{
    check_text(v4("127.0.0.1", 80), "127.0.0.1:80");
    check_text(v4("255.255.255.255", 65535), "255.255.255.255:65535");
    check_text(v4("0.0.0.0", 0), "0.0.0.0:0");
    check_text(v6("::1", 443), "[::1]:443");
    check_text(v6("2001:db8::a:0:0:1", 8080), "[2001:db8::a:0:0:1]:8080");
    check_text(v6("::ffff:10.0.0.1", 1), "[::ffff:10.0.0.1]:1");
    check_text(v6("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535),
               "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

Test(addr, lengths)
{
    struct addr a = v4("1.2.3.4", 5), b = v6("::1", 5);
    cr_assert_eq(addr_len(&a), sizeof(struct sockaddr_in));
    cr_assert_eq(addr_len(&b), sizeof(struct sockaddr_in6));
}

/* Never longer than promised, and readable back, for any address bytes. */
Test(addr, round_trip)
{
    struct prng dice;
    prng_seed(&dice, 4);
    for (int i = 0; i < 5000; i++) {
        struct addr a = {.v6 = {.sin6_family = AF_INET6, .sin6_port = (uint16_t)prng_u64(&dice)}};
        for (int k = 0; k < 16; k++)
            a.v6.sin6_addr.s6_addr[k] = (uint8_t)(prng_percent(&dice, 50) ? prng_u64(&dice) : 0);
        char text[ADDR_TEXT_BYTES + 1];
        memset(text, '#', sizeof text);
        addr_text(&a, text);
        cr_assert_eq(text[ADDR_TEXT_BYTES], '#');
        char *close = strchr(text, ']');
        cr_assert_not_null(close);
        *close = 0;
        struct in6_addr back;
        cr_assert_eq(inet_pton(AF_INET6, text + 1, &back), 1, "%s", text);
        cr_assert_eq(memcmp(&back, &a.v6.sin6_addr, sizeof back), 0);
        cr_assert_eq(strtoul(close + 2, NULL, 10), ntohs(a.v6.sin6_port));
    }
}
