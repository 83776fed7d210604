/* core/base/addr.h - one IPv4 or IPv6 socket address, in the form the kernel takes. */
#ifndef CORE_BASE_ADDR_H
#define CORE_BASE_ADDR_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

struct addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
};

static inline socklen_t addr_len(const struct addr *a)
{
    return a->sa.sa_family == AF_INET ? (socklen_t)sizeof a->v4 : (socklen_t)sizeof a->v6;
}

enum { ADDR_TEXT_BYTES = 64 }; /* "[v6]:port" and its terminator */

/* Writes "1.2.3.4:80" or "[::1]:80" into out, which holds ADDR_TEXT_BYTES. */
void addr_text(const struct addr *a, char *out);

#endif
