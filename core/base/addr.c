/* core/base/addr.c - an address as text; see addr.h. */
#include "core/base/addr.h"

#include "core/base/check.h"

#include <arpa/inet.h>
#include <stdio.h>

void addr_text(const struct addr *a, char *out)
{
    CHECK(a != NULL);
    CHECK(out != NULL);
    char ip[INET6_ADDRSTRLEN] = "?";
    if (a->sa.sa_family == AF_INET) {
        inet_ntop(AF_INET, &a->v4.sin_addr, ip, sizeof ip);
        snprintf(out, ADDR_TEXT_BYTES, "%s:%u", ip, ntohs(a->v4.sin_port));
    } else {
        inet_ntop(AF_INET6, &a->v6.sin6_addr, ip, sizeof ip);
        snprintf(out, ADDR_TEXT_BYTES, "[%s]:%u", ip, ntohs(a->v6.sin6_port));
    }
}
