/* tests/unit/test_tls_negative.c - goal: no request leaves towards a peer that is not proved to be
 * the host that the URL names, and the fault says what is wrong with it.
 *
 * Method: for each way to be wrong a server that is wrong in that way and in no other, over TLS 1.2
 * and 1.3; the client then asks to write. The server keeps what it decrypts: it must be nothing.
 * Next to each stands a server that is right, so that a client that refuses everything fails too.
 */
#include "tests/unit/tls_pair.h"

typedef WOLFSSL_METHOD *method_fn(void);

static method_fn *method_of(int version)
{
    return version == 12 ? wolfTLSv1_2_server_method : wolfTLSv1_3_server_method;
}

static void expect_accepted(struct pair_setup how, int version)
{
    char heard[16];
    enum tls_step last;
    how.server_method = method_of(version);
    struct pair *p = pair_new(&how);
    enum tls_step step = pair_shake(p);
    cr_assert_eq(step, TLS_DONE, "%s, TLS 1.%d: %s", how.cert, version - 10, tls_detail(p->client));
    cr_assert(tls_open(p->client));
    client_say(p, "REQUEST", 7);
    cr_assert_eq(p->got_len, 7);
    cr_assert_arr_eq(p->got, "REQUEST", 7);
    cr_assert_eq(wolfSSL_write(p->server, "ANSWER", 6), 6);
    cr_assert_eq(client_hear(p, heard, sizeof heard, &last), 6);
    cr_assert_arr_eq(heard, "ANSWER", 6);
    cr_assert_eq(last, TLS_AGAIN);
    pair_free(p);
}

static void expect_refused(struct pair_setup how, int version, enum tls_fault fault)
{
    how.server_method = method_of(version);
    struct pair *p = pair_new(&how);
    enum tls_step step = pair_shake(p);
    cr_assert_eq(step, TLS_ERROR, "%s, TLS 1.%d: not refused", how.cert, version - 10);
    cr_assert_not(tls_open(p->client));
    cr_assert_eq(tls_fault_of(p->client), fault, "%s, TLS 1.%d: \"%s\"", how.cert, version - 10,
                 tls_detail(p->client));
    cr_assert_eq(tls_fault_err(fault), ERR_TLS_CERTIFICATE);
    cr_assert_eq(p->got_len, 0);
    cr_assert_not(p->server_open, "%s: the server's handshake is complete", how.cert);
    pair_free(p);
}

Test(tls_negative, the_right_ones_are_accepted)
{
    static const char *const certs[] = {"good", "good-rsa", "no-cn", "no-eku", "chain"};
    for (int version = 12; version <= 13; version++) {
        for (size_t i = 0; i < sizeof certs / sizeof certs[0]; i++)
            expect_accepted((struct pair_setup){.cert = certs[i]}, version);
        expect_accepted((struct pair_setup){.host = "HOOK.Example"}, version);
        expect_accepted((struct pair_setup){.host = "hook.example."}, version);
        expect_accepted((struct pair_setup){.host = "any.wild.example"}, version);
        expect_accepted((struct pair_setup){.ip = "127.0.0.1"}, version);
        expect_accepted((struct pair_setup){.ip = "::1"}, version);
        expect_accepted((struct pair_setup){.client_cert = "client", .server_asks = true}, version);
    }
}

Test(tls_negative, each_wrong_certificate_is_refused)
{
    static const struct {
        const char *cert;
        enum tls_fault fault;
    } cases[] = {
        {"unrelated", TLS_FAULT_UNTRUSTED},    {"self-signed", TLS_FAULT_SELF_SIGNED},
        {"expired", TLS_FAULT_EXPIRED},        {"not-yet", TLS_FAULT_NOT_YET},
        {"wrong-name", TLS_FAULT_NAME},        {"cn-only", TLS_FAULT_NAME},
        {"wildcard", TLS_FAULT_NAME},          {"eku-client", TLS_FAULT_PURPOSE},
        {"by-not-ca", TLS_FAULT_UNTRUSTED},    {"chain-missing", TLS_FAULT_UNTRUSTED},
        {"rsa-1024", TLS_FAULT_WEAK_KEY},      {"sha1", TLS_FAULT_WEAK_SIGNATURE},
        {"by-sha1", TLS_FAULT_WEAK_SIGNATURE}, {"by-expired", TLS_FAULT_EXPIRED},
        {"by-narrow", TLS_FAULT_CHAIN},
    };
    for (int version = 12; version <= 13; version++)
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
            expect_refused((struct pair_setup){.cert = cases[i].cert}, version, cases[i].fault);
}

Test(tls_negative, each_wrong_name_is_refused)
{
    static const struct pair_setup cases[] = {
        {.cert = "good", .host = "hook.example.com"},
        {.cert = "good", .host = "xhook.example"},
        {.cert = "good", .host = "example"},
        {.cert = "good", .host = "wild.example"},
        {.cert = "good", .host = "a.b.wild.example"}, /* a wildcard over two labels */
        {.cert = "wildcard", .host = "hook.com"},
        {.cert = "wildcard", .host = "a.b.hook.example"},
        {.cert = "good", .ip = "127.0.0.2"},
        {.cert = "good", .ip = "::2"},
        {.cert = "wrong-name", .ip = "127.0.0.1"},
        {.cert = "ip-as-name", .ip = "127.0.0.1"}, /* a dNSName is no address */
        {.cert = "cn-only", .ip = "127.0.0.1"},
    };
    for (int version = 12; version <= 13; version++)
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
            expect_refused(cases[i], version, TLS_FAULT_NAME);
}

Test(tls_negative, what_is_trusted_is_what_was_named)
{
    for (int version = 12; version <= 13; version++) {
        expect_refused((struct pair_setup){.cert = "good", .trusted = "other-ca"}, version,
                       TLS_FAULT_UNTRUSTED);
        expect_accepted((struct pair_setup){.cert = "unrelated", .trusted = "other-ca"}, version);
        /* A leaf that is in the list of authorities is no authority for the next one. */
        expect_refused((struct pair_setup){.cert = "unrelated", .trusted = "good"}, version,
                       TLS_FAULT_UNTRUSTED);
    }
}

Test(tls_negative, insecure_takes_them_all)
{
    static const char *const certs[] = {
        "unrelated", "self-signed", "expired", "wrong-name", "rsa-1024", "sha1",
#ifdef OPENSSL_EXTRA /* otherwise the library refuses this one all the same, which is no harm */
        "eku-client",
#endif
    };
    for (int version = 12; version <= 13; version++)
        for (size_t i = 0; i < sizeof certs / sizeof certs[0]; i++)
            expect_accepted((struct pair_setup){.cert = certs[i], .insecure = true}, version);
}

/* ---- versions, suites, protocols ---------------------------------------------------------- */

/* The fault's detail names one of the two: who notices first depends on the library's options. */
static void expect_no_agreement(struct pair_setup how, const char *detail, const char *or)
{
    struct pair *p = pair_new(&how);
    cr_assert_eq(pair_shake(p), TLS_ERROR);
    cr_assert_not(tls_open(p->client));
    cr_assert_eq(tls_fault_err(tls_fault_of(p->client)), ERR_TLS_HANDSHAKE);
    const char *said = tls_detail(p->client);
    cr_assert(strstr(said, detail) != NULL || strstr(said, or) != NULL, "\"%s\"", said);
    cr_assert_eq(p->got_len, 0);
    pair_free(p);
}

Test(tls_negative, the_oldest_version_is_kept)
{
    struct pair_setup how = {.oldest = TLS_1_3, .server_method = wolfTLSv1_2_server_method};
    expect_no_agreement(how, "", "");
    expect_accepted((struct pair_setup){.oldest = TLS_1_3}, 13);
#ifndef NO_OLD_TLS
    how = (struct pair_setup){.server_method = wolfTLSv1_1_server_method};
    expect_no_agreement(how, "alert", "version is too old");
#endif
}

Test(tls_negative, suites_that_were_not_offered)
{
#ifdef HAVE_NULL_CIPHER
    expect_no_agreement((struct pair_setup){.cert = "good-rsa",
                                            .server_method = wolfTLSv1_2_server_method,
                                            .server_suites = "NULL-SHA256:ECDHE-ECDSA-NULL-SHA"},
                        "handshake_failure", "not offered");
#endif
    expect_no_agreement((struct pair_setup){.cert = "good-rsa",
                                            .server_method = wolfTLSv1_2_server_method,
                                            .server_suites = "AES128-SHA:AES128-GCM-SHA256:"
                                                             "DHE-RSA-AES128-GCM-SHA256"},
                        "handshake_failure", "not offered");
}

Test(tls_negative, a_server_that_speaks_something_else)
{
    expect_no_agreement((struct pair_setup){.server_alpn = "h2"}, "no_application_protocol",
                        "no_application_protocol");
    struct pair *p = pair_new(&(struct pair_setup){.server_alpn = "http/1.1"});
    cr_assert_eq(pair_shake(p), TLS_DONE);
    pair_free(p);
}

/* A ServerHello that no server of ours would write, in TLS 1.2's form. */
static enum tls_fault hello_fault(uint8_t minor, uint16_t suite, const char *alpn)
{
    struct pair *p = pair_new(&(struct pair_setup){.cert = "good"});
    uint8_t hello[256] = {0x16, 3, 3, 0, 0, 2, 0, 0, 0, 3, minor};
    size_t len = 11 + 32; /* the random is zero */
    hello[len++] = 0;     /* no session id */
    hello[len++] = (uint8_t)(suite >> 8);
    hello[len++] = (uint8_t)suite;
    hello[len++] = 0; /* no compression */
    if (alpn != NULL) {
        uint8_t n = (uint8_t)strlen(alpn);
        const uint8_t head[] = {0, (uint8_t)(n + 7), 0, 16, 0, (uint8_t)(n + 3),
                                0, (uint8_t)(n + 1), n};
        memcpy(hello + len, head, sizeof head);
        memcpy(hello + len + sizeof head, alpn, n);
        len += sizeof head + n;
    }
    hello[4] = (uint8_t)(len - 5);
    hello[8] = (uint8_t)(len - 9);
    cr_assert_eq(tls_handshake(p->client), TLS_AGAIN);
    client_flush(p);
    tls_feed(p->client, hello, len);
    enum tls_step step = tls_handshake(p->client);
    enum tls_fault fault = step == TLS_ERROR ? tls_fault_of(p->client) : TLS_FAULT_NONE;
    cr_assert_not(tls_open(p->client));
    pair_free(p);
    return fault;
}

Test(tls_negative, a_server_hello_that_goes_beyond_the_offer)
{
    cr_assert_eq(hello_fault(3, 0xc02b, NULL), TLS_FAULT_NONE); /* so far so good */
    cr_assert_eq(hello_fault(3, 0xc02b, "http/1.1"), TLS_FAULT_NONE);
    cr_assert_eq(tls_fault_err(hello_fault(2, 0xc02b, NULL)), ERR_TLS_HANDSHAKE);
    cr_assert_eq(tls_fault_err(hello_fault(1, 0xc02b, NULL)), ERR_TLS_HANDSHAKE);
    cr_assert_eq(tls_fault_err(hello_fault(3, 0xc02b, "h2")), ERR_TLS_HANDSHAKE);
    static const uint16_t bad[] = {0x0000, 0x0001, 0x002f, 0x003b, 0x0034, 0x006c,
                                   0xc018, 0xc006, 0xc010, 0xc013, 0x0005, 0x1304};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        enum tls_fault fault = hello_fault(3, bad[i], NULL);
        cr_assert_neq(fault, TLS_FAULT_NONE, "suite %04x", bad[i]);
        cr_assert_eq(tls_fault_err(fault), ERR_TLS_HANDSHAKE, "suite %04x", bad[i]);
    }
}

Test(tls_negative, a_server_that_does_not_speak_tls)
{
    static const char *const texts[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-x\r\n",
                                        "\0\0"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct pair *p = pair_new(&(struct pair_setup){.cert = "good"});
        cr_assert_eq(tls_handshake(p->client), TLS_AGAIN);
        client_flush(p);
        char bytes[64] = {0};
        memcpy(bytes, texts[i], strlen(texts[i]));
        tls_feed(p->client, bytes, sizeof bytes);
        cr_assert_eq(tls_handshake(p->client), TLS_ERROR);
        cr_assert_eq(tls_fault_err(tls_fault_of(p->client)), ERR_TLS_HANDSHAKE);
        pair_free(p);
    }
}
