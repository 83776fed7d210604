/* tests/fuzz/fuzz_tls_bytes.c - goal: no bytes that a server may send open a session, let a byte of
 * a request leave, or break the client.
 *
 * Input: the size of the pieces, in a byte (0: all at once), then what the server says. Method: a
 * client that was just begun is fed with it, and its goodbyes are said. Whoever does not hold the
 * keys cannot complete a handshake, so it must never be open. With a first byte of 255 the rest is
 * also a certificate, for the walker of tls/cert.h.
 */
#include "tls/cert.h"
#include "tls/pool.h"
#include "tls/tls.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A certificate of tests/certs/make, whose key is nowhere. */
static const char trusted[] = "-----BEGIN CERTIFICATE-----\n"
                              "MIIBeTCCAR6gAwIBAgICEAEwCgYIKoZIzj0EAwIwIzERMA8GA1UEAwwIdGVzdHMg\n"
                              "Q0ExDjAMBgNVBAoMBXRlc3RzMB4XDTIwMDEwMTAwMDAwMFoXDTQ5MTIzMTAwMDAw\n"
                              "MFowIzERMA8GA1UEAwwIdGVzdHMgQ0ExDjAMBgNVBAoMBXRlc3RzMFkwEwYHKoZI\n"
                              "zj0CAQYIKoZIzj0DAQcDQgAE1opJTuRww2oml/MG1tvqEDgSD0Vr0fqFU2xY9acu\n"
                              "QaYkQEPdY783hBTfhouP//tWNX9jRdCPtNwYrAQIYHP7GqNCMEAwDwYDVR0TAQH/\n"
                              "BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAQYwHQYDVR0OBBYEFLiaaXBJkWxl05fJktRJ\n"
                              "54xX+z7BMAoGCCqGSM49BAMCA0kAMEYCIQDxR/2OtA8xXM6T0Smw77gR5CeAutUg\n"
                              "CMCNSEe0ytwWzAIhAOe4FnRhA57NrYpSGv+g99agncvlLGP5p1PjRYId0q3N\n"
                              "-----END CERTIFICATE-----\n";

enum { POOL_BYTES = 64 << 20 };

static struct tls_pool *pool;
static struct tls_context *context;

static void end(void)
{
    tls_context_free(context);
    tls_pool_free(pool); /* CHECKs that nothing is left in it */
}

static void begin(void)
{
    char why[TLS_WHY_BYTES];
    static const struct tls_rules rules = {.trusted = {trusted, sizeof trusted - 1}};
    pool = tls_pool_new(POOL_BYTES);
    CHECK(pool != NULL);
    context = tls_context_new(&rules, pool, NULL, why);
    CHECK(context != NULL);
    (void)atexit(end);
}

/* All that was fed is used up, or it is over. */
static bool go_on(struct tls_session *s)
{
    enum tls_step step = tls_handshake(s);
    CHECK(step == TLS_AGAIN || step == TLS_ERROR);
    CHECK(!tls_open(s));
    if (step == TLS_ERROR) {
        CHECK(tls_fault_of(s) != TLS_FAULT_NONE);
        CHECK(tls_detail(s)[0] != 0);
    }
    struct span out = tls_out(s);
    CHECK(out.len == 0 || memmem(out.ptr, out.len, "HTTP/1.1", 8) == NULL);
    tls_out_home(s);
    return step == TLS_AGAIN;
}

static void converse(size_t piece, struct span said)
{
    struct tls_peer peer = {.name = SPAN_LIT("hook.example:443"), .host = SPAN_LIT("hook.example")};
    struct tls_session *s = tls_new(context, &peer);
    CHECK(s != NULL);
    bool goes_on = go_on(s);
    CHECK(goes_on);
    while (goes_on && said.len > 0) {
        size_t n = piece == 0 || piece > said.len ? said.len : piece;
        tls_feed(s, said.ptr, n);
        said = span_of(said.ptr + n, said.len - n);
        goes_on = go_on(s);
    }
    tls_close(s);
    tls_free(s);
}

static void certificate(struct span der)
{
    struct addr ip = {.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)}};
    enum tls_fault faults[] = {tls_cert_is_for(der, SPAN_LIT("hook.example"), NULL),
                               tls_cert_is_for(der, SPAN_LIT(""), &ip), tls_cert_signature(der)};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        CHECK(faults[i] == TLS_FAULT_NONE || tls_fault_err(faults[i]) == ERR_TLS_CERTIFICATE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    if (context == NULL) begin();
    struct span said = span_of(data + 1, size - 1);
    if (data[0] == 255) certificate(said);
    converse(data[0] == 255 ? 0 : data[0], said);
    return 0;
}
