/* tests/unit/test_resolver.c - goal: literals, localhost and --resolve give exactly their
 * addresses, and every other name is left to the DNS.
 *
 * Method: tables of URLs with the addresses they must give, with and without overrides; every
 * wrong --resolve is refused with its clause and changes nothing.
 */
#include "core/net/resolver.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

struct row {
    const char *url, *addrs; /* space between them */
};

static void expect(const struct resolver *r, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct url url;
        size_t at;
        struct addr out[RESOLVER_ADDRS_MAX];
        char got[RESOLVER_ADDRS_MAX * ADDR_TEXT_BYTES] = "", one[ADDR_TEXT_BYTES];
        enum url_error e = url_parse(span_of(rows[i].url, strlen(rows[i].url)), &url, &at);
        cr_assert_eq(e, URL_OK, "%s: %s", rows[i].url, url_error_text(e));
        uint32_t count = resolver_find(r, &url, out);
        size_t used = 0;
        for (uint32_t k = 0; k < count; k++) {
            addr_text(&out[k], one);
            used += (size_t)snprintf(got + used, sizeof got - used, "%s%s", k > 0 ? " " : "", one);
        }
        cr_assert_str_eq(got, rows[i].addrs, "%s: \"%s\"", rows[i].url, got);
    }
}

static const struct row plain[] = {
    {"http://1.2.3.4/", "1.2.3.4:80"},
    {"https://1.2.3.4/", "1.2.3.4:443"},
    {"http://1.2.3.4:8080/", "1.2.3.4:8080"},
    {"http://[2001:db8::1]:8080/", "[2001:db8::1]:8080"},
    {"http://[::ffff:1.2.3.4]/", "[::ffff:1.2.3.4]:80"},
    {"http://localhost/", "127.0.0.1:80 [::1]:80"},
    {"http://LocalHost:81/", "127.0.0.1:81 [::1]:81"},
    {"http://a.b.localhost/", "127.0.0.1:80 [::1]:80"},
    {"http://x.LOCALHOST:9/", "127.0.0.1:9 [::1]:9"},
    {"http://notlocalhost/", ""},
    {"http://localhost.example/", ""},
    {"http://ocalhost/", ""},
    {"http://example.com/", ""},
};

Test(resolver, literals_and_localhost)
{
    struct resolver *r = resolver_new();
    cr_assert_not_null(r);
    expect(r, plain, COUNT_OF(plain));
    resolver_free(r);
    resolver_free(NULL);
}

Test(resolver, overrides)
{
    static const char *const adds[] = {
        "example.com:80:127.0.0.1",
        "EXAMPLE.com:443:127.0.0.2,[::1],::2,10.0.0.1",
        "localhost:99:10.9.9.9",
        "1.2.3.4:80:5.6.7.8",
        "[2001:db8::1]:80:[2001:db8::2]",
        "twice.test:80:1.1.1.1",
        "twice.test:80:2.2.2.2,3.3.3.3",
        ("b\xc3\xbc"
         "cher.test:80:4.4.4.4"),
        "0x7f.2:80:5.5.5.5",
    };
    static const struct row rows[] = {
        {"http://example.com/", "127.0.0.1:80"},
        {"http://Example.COM:80/", "127.0.0.1:80"},
        {"https://example.com/", "127.0.0.2:443 [::1]:443 [::2]:443 10.0.0.1:443"},
        {"http://example.com:443/", "127.0.0.2:443 [::1]:443 [::2]:443 10.0.0.1:443"},
        {"http://example.com:81/", ""},
        {"http://a.example.com/", ""},
        {"http://localhost:99/", "10.9.9.9:99"},
        {"http://localhost:98/", "127.0.0.1:98 [::1]:98"},
        {"http://1.2.3.4/", "5.6.7.8:80"},
        {"http://1.2.3.4:81/", "1.2.3.4:81"},
        {"http://[2001:DB8:0:0::1]/", "[2001:db8::2]:80"},
        {"http://twice.test/", "2.2.2.2:80 3.3.3.3:80"},
        {"http://XN--bcher-kva.test/", "4.4.4.4:80"},
        {"http://127.0.0.2/", "5.5.5.5:80"},
    };
    struct resolver *r = resolver_new();
    cr_assert_not_null(r);
    for (size_t i = 0; i < COUNT_OF(adds); i++) {
        const char *wrong = resolver_add(r, adds[i]);
        cr_assert_null(wrong, "%s: %s", adds[i], wrong);
    }
    expect(r, rows, COUNT_OF(rows));
    resolver_free(r);
}

Test(resolver, wrong_overrides)
{
    static char long_host[400];
    memset(long_host, 'a', sizeof long_host - 1);
    memcpy(long_host + 300, ":80:1.1.1.1", 12);
    static const struct {
        const char *text, *reason;
    } rows[] = {
        {"", "not of the form HOST:PORT:ADDR"},
        {"example.com", "not of the form HOST:PORT:ADDR"},
        {"example.com:80", "not of the form HOST:PORT:ADDR"},
        {"example.com:http:1.1.1.1", "not of the form HOST:PORT:ADDR"},
        {"::1:80:1.1.1.1", "PORT is not 1 to 65535"},
        {"example.com::1.1.1.1", "PORT is not 1 to 65535"},
        {"example.com:0:1.1.1.1", "PORT is not 1 to 65535"},
        {"example.com:65536:1.1.1.1", "PORT is not 1 to 65535"},
        {"example.com:999999:1.1.1.1", "PORT is not 1 to 65535"},
        {":80:1.1.1.1", "HOST is not a host name"},
        {"a b:80:1.1.1.1", "HOST is not a host name"},
        {"*:80:1.1.1.1", "HOST is not a host name"},
        {"u@h:80:1.1.1.1", "HOST is not a host name"},
        {"h/p:80:1.1.1.1", "HOST is not a host name"},
        {"h?q:80:1.1.1.1", "HOST is not a host name"},
        {"h#f:80:1.1.1.1", "HOST is not a host name"},
        {"[::1:80:1.1.1.1", "HOST has no closing bracket"},
        {"[::1]80:1.1.1.1", "not of the form HOST:PORT:ADDR"},
        {"[zz]:80:1.1.1.1", "HOST is not a host name"},
        {"1.2.3.256:80:1.1.1.1", "HOST is not a host name"},
        {"h\\p:80:1.1.1.1", "HOST is not a host name"},
        {"a\tb:80:1.1.1.1", "HOST is not a host name"},
        {"example.com:80:", "ADDR is not an IP address"},
        {"example.com:80:1.1.1.1,", "ADDR is not an IP address"},
        {"example.com:80:,1.1.1.1", "ADDR is not an IP address"},
        {"example.com:80:1.1.1", "ADDR is not an IP address"},
        {"example.com:80:other.example", "ADDR is not an IP address"},
        {"example.com:80:[1.1.1.1]", "ADDR is not an IP address"},
        {"example.com:80:[::1", "ADDR is not an IP address"},
        {"example.com:80:fe80::1%lo", "ADDR is not an IP address"},
        {"example.com:80:1.1.1.1 ", "ADDR is not an IP address"},
        {"example.com:80:1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5",
         "more than 4 addresses for one host"},
        {long_host, "HOST is longer than any host name"},
    };
    struct resolver *r = resolver_new();
    cr_assert_not_null(r);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *wrong = resolver_add(r, rows[i].text);
        cr_assert_not_null(wrong, "%s accepted", rows[i].text);
        cr_assert_str_eq(wrong, rows[i].reason, "%s: %s", rows[i].text, wrong);
    }
    expect(r, plain, COUNT_OF(plain));
    resolver_free(r);
}
