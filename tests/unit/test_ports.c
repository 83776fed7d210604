/* tests/unit/test_ports.c - goal: a --ports list means what it says, or is refused at the right
 * place without a trace.
 *
 * Method: tables; every one of the 65,536 bits is compared.
 */
#include "core/net/ports.h"

#include <criterion/criterion.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

Test(ports, lists)
{
    static const struct {
        const char *text;
        struct {
            int first, last;
        } ranges[4];
    } rows[] = {
        {"80", {{80, 80}}},
        {"80,443", {{80, 80}, {443, 443}}},
        {"80,443,8000-8999", {{80, 80}, {443, 443}, {8000, 8999}}},
        {"1-65535", {{1, 65535}}},
        {"65535", {{65535, 65535}}},
        {"1", {{1, 1}}},
        {"7-7", {{7, 7}}},
        {"00080", {{80, 80}}},
        {"10-20,15-30,12", {{10, 30}}},
    };
    static uint8_t map[PORTS_BYTES];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t at = 99;
        memset(map, 0xff, sizeof map);
        const char *wrong = ports_parse(rows[i].text, map, &at);
        cr_assert_null(wrong, "%s: %s", rows[i].text, wrong);
        for (int port = 0; port < 65536; port++) {
            bool want = false;
            for (int k = 0; k < 4; k++)
                want |=
                    port > 0 && port >= rows[i].ranges[k].first && port <= rows[i].ranges[k].last;
            cr_assert_eq(ports_has(map, (uint16_t)port), want, "%s: port %d", rows[i].text, port);
            cr_assert_eq((map[port / 8] & 1u << port % 8) != 0, want); /* as record.c reads it */
        }
    }
}

Test(ports, refused)
{
    static const struct {
        const char *text; /* with a '^', which is taken out, where the trouble is */
        const char *reason;
    } rows[] = {
        {"^", "a port number must stand here"},
        {"^,80", "a port number must stand here"},
        {"80,^", "a port number must stand here"},
        {"80,^,443", "a port number must stand here"},
        {"80-^", "a port number must stand here"},
        {"^-80", "a port number must stand here"},
        {"80,^http", "a port number must stand here"},
        {"80^ ,443", "',' or '-' must stand here"},
        {"80,^ 443", "a port number must stand here"},
        {"1-2^-3", "',' or '-' must stand here"},
        {"80^x", "',' or '-' must stand here"},
        {"^0", "a port is 1 to 65535"},
        {"80,^65536", "a port is 1 to 65535"},
        {"80-^99999999999999999999", "a port is 1 to 65535"},
        {"^0-80", "a port is 1 to 65535"},
        {"22,^90-80", "a range runs from the lower port to the higher"},
    };
    static uint8_t map[PORTS_BYTES], before[PORTS_BYTES];
    memset(before, 0x5a, sizeof before);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[64];
        size_t at = 99, want = strcspn(rows[i].text, "^");
        memcpy(text, rows[i].text, want);
        memcpy(text + want, rows[i].text + want + 1, strlen(rows[i].text) - want);
        memcpy(map, before, sizeof map);
        const char *wrong = ports_parse(text, map, &at);
        cr_assert_not_null(wrong, "\"%s\" accepted", text);
        cr_assert_str_eq(wrong, rows[i].reason, "\"%s\"", text);
        cr_assert_eq(at, want, "\"%s\": at %zu", text, at);
        cr_assert_arr_eq(map, before, sizeof map);
    }
}
