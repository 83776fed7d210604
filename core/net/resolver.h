/* core/net/resolver.h - host and port to addresses, without the DNS.
 *
 * Answers IP literals, "localhost" and names below it (RFC 6761 section 6.3: loopback, IPv4
 * first), the names of /etc/hosts, and the overrides of --resolve, which win over everything.
 * Immutable after start; shared by all shards.
 */
#ifndef CORE_NET_RESOLVER_H
#define CORE_NET_RESOLVER_H

#include "core/base/addr.h"
#include "core/base/span.h"
#include "core/http/url.h"

#include <stdbool.h>
#include <stdint.h>

enum { RESOLVER_ADDRS_MAX = 4 }; /* for one host: more are not tried */

struct resolver;

struct resolver *resolver_new(void); /* NULL when memory is short */
void resolver_free(struct resolver *r);

/* Adds one --resolve HOST:PORT:ADDR[,ADDR...] (curl's form; ADDR may stand in brackets). NULL on
 * success, else a static clause that says what is wrong. Start-up only. */
const char *resolver_add(struct resolver *r, const char *text) __attribute__((warn_unused_result));

/* Takes the text of /etc/hosts, which is copied; once, at start-up. False when memory is short. */
bool resolver_hosts(struct resolver *r, struct span text) __attribute__((warn_unused_result));

/* Writes the addresses of url's host, with its port, to out; returns their number, 0 when the
 * name needs the DNS. */
uint32_t resolver_find(const struct resolver *r, const struct url *url,
                       struct addr out[RESOLVER_ADDRS_MAX]);

#endif
