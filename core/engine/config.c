#include "core/engine/config.h"

#include "core/base/check.h"
#include "core/journal/writer.h"

#include <string.h>

void config_defaults(struct config *c)
{
    CHECK(c != NULL);
    memset(c, 0, sizeof *c);
    c->input_path = "-";
    c->record_bytes_max = 1024 * 1024;
    c->spool_folder = "/var/tmp";
    c->inflight_slots = 65536;
    c->compact_bytes = JOURNAL_COMPACT_BYTES;
    c->block_bytes = 256 * 1024;
    c->shards = 1;
    c->pin = true;
    c->connections = 4096;
    c->host_connections = 256;
    c->memory_bytes = 256 * 1024 * 1024;
    c->hosts_max = 1024 * 1024;
    c->max_hint_ns = UINT64_C(3600000000000);
    retry_rules_defaults(&c->retry);
    host_rules_defaults(&c->health);
    c->timeout_ns = UINT64_C(90000000000);
    c->connect_timeout_ns = UINT64_C(10000000000);
    c->tls_timeout_ns = UINT64_C(10000000000);
    c->idle_timeout_ns = UINT64_C(60000000000);
    c->dns_timeout_ns = UINT64_C(5000000000);
    c->turn_wait_ns = UINT64_C(50000000);
    c->user_agent = "hookline/" HOOKLINE_VERSION;
}
