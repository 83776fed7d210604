/* tests/fuzz/fuzz_cert.c - goal: whatever a receiver shows for a certificate is judged and shown
 * without a byte read beyond it, and the two readings agree.
 *
 * Input: DER. Method: its fields must lie within it; what can be taken apart can be judged, and the
 * other way round; a certificate whose alternative names are shown without the host's is not for
 * that host; texts are terminated within their room.
 */
#include "core/base/check.h"
#include "tls/cert.h"
#include "tls/show.h"
#include "tls/x509.h"

#include <arpa/inet.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_within(struct span all, struct span part)
{
    if (part.len == 0) return;
    CHECK(part.ptr >= all.ptr);
    CHECK(part.ptr + part.len <= all.ptr + all.len);
}

static void expect_text(const char *text, size_t room) { CHECK(memchr(text, 0, room) != NULL); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tls_chain chain;
    struct span der = span_of(data, size), host = SPAN_LIT("hook.example"), names;
    struct addr ip = {.v4 = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}};
    struct tls_cert_text text;
    struct x509 c;

    bool taken = x509_of(der, &c);
    bool named = taken && x509_alt_names(&c, &names);
    CHECK((tls_cert_signature(der) == TLS_FAULT_MALFORMED) == !taken);
    enum tls_fault by_name = tls_cert_is_for(der, host, NULL);
    enum tls_fault by_address = tls_cert_is_for(der, host, &ip);
    CHECK(named || (by_name == TLS_FAULT_MALFORMED && by_address == TLS_FAULT_MALFORMED));
    if (taken) {
        expect_within(der, c.issuer);
        expect_within(der, c.subject);
        expect_within(der, c.validity);
        expect_within(der, c.extensions);
        CHECK(tls_cert_is_self_issued(der) == span_eq(c.issuer, c.subject));
    }
    if (tls_cert_show(der, &text)) {
        CHECK(named);
        expect_text(text.subject, sizeof text.subject);
        expect_text(text.issuer, sizeof text.issuer);
        expect_text(text.from, sizeof text.from);
        expect_text(text.until, sizeof text.until);
        expect_text(text.names, sizeof text.names);
        bool cut = strlen(text.names) == sizeof text.names - 1;
        if (by_address == TLS_FAULT_NONE) CHECK(cut || strstr(text.names, "127.0.0.1") != NULL);
    }
    chain.count = chain.shown = 0;
    tls_chain_add(&chain, der);
    tls_chain_add(&chain, der);
    CHECK(chain.shown == 2);
    for (uint32_t i = 0; i < chain.count; i++) CHECK(span_eq(tls_chain_at(&chain, i), der));
    return 0;
}
