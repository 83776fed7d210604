/* tests/unit/test_hosts.c - goal: records are counted under their host and port whatever the
 * spelling, sorted by number, and a table that is full counts the rest apart.
 *
 * Method: URLs made by hand; a second table filled beyond HOSTS_MAX.
 */
#include "tools/hookline/hosts.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct url url_of(const char *host, uint16_t port, enum url_host_kind kind)
{
    return (struct url){.host = span_of(host, strlen(host)), .port = port, .host_kind = kind};
}

static struct host_count *count(struct hosts *h, const char *host, uint16_t port, bool *fresh)
{
    struct url u = url_of(host, port, URL_HOST_NAME);
    return hosts_count(h, &u, fresh);
}

Test(hosts, case_is_one_and_ports_are_two)
{
    struct hosts *h = hosts_new();
    bool fresh;
    cr_assert_not_null(count(h, "A.example", 80, &fresh));
    cr_assert(fresh);
    cr_assert_not_null(count(h, "a.EXAMPLE", 80, &fresh));
    cr_assert_not(fresh);
    cr_assert_not_null(count(h, "a.example", 81, &fresh));
    cr_assert(fresh);
    cr_assert_not_null(count(h, "a.exampl", 80, &fresh));
    cr_assert(fresh);
    struct url v6 = url_of("FE80::1", 80, URL_HOST_V6);
    cr_assert_not_null(hosts_count(h, &v6, &fresh));
    cr_assert(fresh);
    cr_assert_eq(hosts_known(h), 4);
    uint64_t n;
    const struct host_count *sorted = hosts_sorted(h, &n);
    static const char *const order[] = {"a.example", "[fe80::1]", "a.exampl", "a.example"};
    cr_assert_eq(n, 4);
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(sorted[i].name_len, strlen(order[i]));
        cr_assert_eq(memcmp(sorted[i].name, order[i], sorted[i].name_len), 0);
    }
    cr_assert_eq(sorted[0].records, 2);
    cr_assert_eq(sorted[3].port, 81);
    hosts_free(h);
}

Test(hosts, every_port_of_one_name)
{
    struct hosts *h = hosts_new();
    bool fresh;
    for (uint32_t port = 1; port <= 65535; port++) {
        cr_assert_not_null(count(h, "a.example", (uint16_t)port, &fresh));
        cr_assert(fresh, "port %u", port);
    }
    cr_assert_eq(hosts_known(h), 65535);
    hosts_free(h);
}

Test(hosts, beyond_its_room)
{
    struct hosts *h = hosts_new();
    bool fresh;
    char name[32];
    for (uint32_t i = 0; i < HOSTS_MAX + 5; i++) {
        snprintf(name, sizeof name, "h%u", i);
        struct host_count *p = count(h, name, 80, &fresh);
        cr_assert_eq(p != NULL, i < HOSTS_MAX);
    }
    cr_assert_eq(hosts_known(h), HOSTS_MAX);
    cr_assert_eq(hosts_left_out(h), 5);
    cr_assert_not_null(count(h, "h7", 80, &fresh));
    cr_assert_not(fresh);
    uint64_t n;
    const struct host_count *sorted = hosts_sorted(h, &n);
    cr_assert_eq(n, HOSTS_MAX);
    cr_assert_eq(sorted[0].records, 2);
    cr_assert_eq(memcmp(sorted[0].name, "h7", 2), 0);
    hosts_free(h);
}
