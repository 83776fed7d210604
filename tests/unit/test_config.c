/* tests/unit/test_config.c - goal: what the operator does not say is what the command line's help
 * promises, and nothing is left over from the memory's earlier use.
 *
 * Method: the published defaults, written down a second time; filled into memory full of noise.
 */
#include "core/engine/config.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)

static struct config c;

static void fill(void)
{
    memset(&c, 0xa5, sizeof c);
    config_defaults(&c);
}

TestSuite(config, .init = fill);

Test(config, published_defaults)
{
    cr_expect_str_eq(c.input_path, "-");
    cr_expect_eq(c.record_bytes_max, 1u << 20);
    cr_expect_eq(c.block_bytes, 256u << 10);
    cr_expect_eq(c.connections, 4096);
    cr_expect_eq(c.host_connections, 256);
    cr_expect_eq(c.memory_bytes, UINT64_C(256) << 20);
    cr_expect_eq(c.timeout_ns, 90 * SECOND_NS);
    cr_expect_eq(c.connect_timeout_ns, 10 * SECOND_NS);
    cr_expect_eq(c.dns_timeout_ns, 5 * SECOND_NS);
    cr_expect_eq(c.idle_timeout_ns, 60 * SECOND_NS);
    cr_expect_eq(c.shards, 1);
    cr_expect(c.pin);
    cr_expect_str_eq(c.user_agent, "hookline/" HOOKLINE_VERSION);
}

Test(config, everything_else_is_off)
{
    cr_expect_null(c.results_path);
    cr_expect_null(c.dead_letters_path);
    cr_expect_null(c.events_path);
    cr_expect_null(c.rejects_path);
    cr_expect_null(c.key_field);
    cr_expect_null(c.policy);
    cr_expect_null(c.resolver);
    cr_expect_null(c.ports);
    cr_expect_eq(c.rejects_shown_max, 0);
    cr_expect_eq(c.redact_count, 0);
    cr_expect_eq(c.source_ips_count, 0);
    cr_expect_eq(c.run_id, 0);
    cr_expect_not(c.strict);
    cr_expect_not(c.idempotency_key);
    for (size_t i = 0; i < CONFIG_REDACT_MAX; i++) cr_expect_null(c.redact[i]);
}

Test(config, no_config_is_a_mistake, .signal = SIGABRT) { config_defaults(NULL); }
