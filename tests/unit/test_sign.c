/* Goal: webhooks are signed as the Standard Webhooks specification says, under every secret, and
 * nothing that is no secret is taken for one.
 *
 * Method: known answers, those of the specification's own libraries and RFC 4231's and RFC 8032's
 * keys as other programs (Python's hmac, OpenSSL) sign with them; then tables of what is refused.
 */
#include "tls/sign.h"

#include "core/engine/delivery.h"
#include "tests/unit/one_delivery.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define MESSAGE     "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}"
#define HMAC_SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define HMAC_VALUE  "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
#define ED_SECRET   "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk="
#define ED_VALUE \
    "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag=="

#define A64 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static struct signer *signer_of(const char *secret, const char *more)
{
    struct signer *s = signer_new();
    cr_assert_not_null(s);
    const char *wrong = signer_add(s, span_of(secret, strlen(secret)));
    cr_assert_null(wrong, "%s: %s", secret, wrong);
    wrong = more != NULL ? signer_add(s, span_of(more, strlen(more))) : NULL;
    cr_assert_null(wrong, "%s: %s", more, wrong);
    return s;
}

static void expect_value(struct signer *s, const char *message, const char *value)
{
    char out[SIGN_VALUE_BYTES_MAX + 1];
    memset(out, '#', sizeof out);
    cr_assert_eq(signer_value_bytes(s), strlen(value), "%zu", signer_value_bytes(s));
    cr_assert(signer_sign(s, span_of(message, strlen(message)), out));
    cr_assert_eq(memcmp(out, value, strlen(value)), 0, "%.*s is not %s", (int)strlen(value), out,
                 value);
    cr_assert_eq(out[strlen(value)], '#', "it writes beyond its room");
}

Test(sign, known_answers)
{
    struct signer *s = signer_of(HMAC_SECRET, NULL);
    expect_value(s, MESSAGE, HMAC_VALUE);
    expect_value(s, MESSAGE, HMAC_VALUE); /* the key is as it was */
    signer_free(s);
    s = signer_of(ED_SECRET, NULL);
    expect_value(s, MESSAGE, ED_VALUE);
    expect_value(s, MESSAGE, ED_VALUE);
    signer_free(s);
}

/* Every secret signs, in their order. */
Test(sign, rotation)
{
    struct signer *s = signer_of(ED_SECRET, HMAC_SECRET);
    cr_assert_eq(signer_count(s), 2);
    expect_value(s, MESSAGE, ED_VALUE " " HMAC_VALUE);
    signer_free(s);
    s = signer_new();
    for (int i = 0; i < SIGN_KEYS_MAX; i++)
        cr_assert_null(signer_add(s, span_of(ED_SECRET, strlen(ED_SECRET))));
    cr_assert_not_null(signer_add(s, span_of(ED_SECRET, strlen(ED_SECRET))));
    cr_assert_leq(signer_value_bytes(s), SIGN_VALUE_BYTES_MAX);
    signer_free(s);
}

/* An ed25519 secret may have its public key behind it; it must be its own. */
Test(sign, public_key_behind_the_seed)
{
    /* RFC 8032 section 7.1, TEST 2: seed 4ccd08..., public key 3d4017..., message 72. */
    struct signer *s = signer_of("whsk_TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs9QBfD6EOJWpK3Cq"
                                 "dNG368nJgszy7ElozAzVXxKvRmDA==",
                                 NULL);
    expect_value(s, "r",
                 "v1a,kqAJqfDUyrhyDoILX2QlQKKye1QWUD+Ps3YiI+vbadoIWsHkPhWZbkWPNhPQ8R2MOH"
                 "surrQwKu6wDSkWErsMAA==");
    signer_free(s);
    struct signer *none = signer_new();
    static const char other[] = "whsk_TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs9QBfD6EOJWpK3Cq"
                                "dNG368nJgszy7ElozAzVXxKvRmDQ==";
    const char *wrong = signer_add(none, span_of(other, strlen(other)));
    cr_assert(wrong != NULL && strstr(wrong, "public key") != NULL, "%s", wrong);
    cr_assert_eq(signer_count(none), 0);
    signer_free(none);
}

Test(sign, refused)
{
    static const char *const secrets[] = {
        "",
        "whsec_",
        "whsk_",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", /* no mark */
        "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa==", /* 22 bytes */
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa$w",
        "whsec_" A64 "AAAAAAAAAAAAAAAAAAAAAAA=", /* 65 bytes */
        "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", /* 24 bytes */
        "whsk_TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs9QBfD6EOJWpK3CqdNG368nJgszy7ElozAzVXxKvRm",
    };
    struct signer *s = signer_new();
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        const char *wrong = signer_add(s, span_of(secrets[i], strlen(secrets[i])));
        cr_assert_not_null(wrong, "%s is taken", secrets[i]);
        cr_assert_null(strstr(wrong, "AAAA"), "%s", wrong);
        cr_assert_null(strstr(wrong, "MfKQ"), "%s", wrong);
    }
    cr_assert_eq(signer_count(s), 0);
    signer_free(s);
}

/* ---- in a request ------------------------------------------------------------------------- */

static struct maker maker;

static void expect_signed(struct delivery *d, const char *id, const char *stamp, const char *body)
{
    char head[512], message[2048], out[SIGN_VALUE_BYTES_MAX], end[2048];
    struct span request = span_of(delivery_request(d), d->request_len);
    snprintf(head, sizeof head,
             "\r\nwebhook-id: %s\r\nwebhook-timestamp: %s\r\nwebhook-signature: ", id, stamp);
    const char *at = memmem(request.ptr, request.len, head, strlen(head));
    cr_assert_not_null(at, "%.*s", (int)request.len, request.ptr);
    snprintf(message, sizeof message, "%s.%s.%s", id, stamp, body);
    cr_assert(signer_sign(maker.rules.signer, span_of(message, strlen(message)), out));
    int len = snprintf(end, sizeof end, "%.*s\r\n\r\n%s",
                       (int)signer_value_bytes(maker.rules.signer), out, body);
    at += strlen(head);
    cr_assert_eq(request.ptr + request.len - at, len);
    cr_assert_eq(memcmp(at, end, (size_t)len), 0, "%s is not %s", at, end);
}

static void expect_attempts(const char *line, const char *id, const char *body)
{
    struct delivery *d = maker_make(&maker, line, 7, "1.2.3.4:80");
    delivery_sign(d, maker.rules.signer, 1614265330);
    expect_signed(d, id, "1614265330", body);
    delivery_sign(d, maker.rules.signer, 9);
    expect_signed(d, id, "0000000009", body);
    delivery_free(maker.slab, d);
}

/* Each attempt has its own time; all else of the request stays as it was rendered. */
Test(sign, attempts_of_one_delivery)
{
    struct signer *signer = signer_of(HMAC_SECRET, ED_SECRET);
    maker.rules.signer = signer;
    maker.rules.run_id = 0xab;
    expect_attempts("{\"id\":\"a\",\"url\":\"http://1.2.3.4/\",\"body\":{\"test\": 1}}", "a",
                    "{\"test\": 1}");
    expect_attempts("{\"id\":\"b\",\"url\":\"http://1.2.3.4/\",\"method\":\"GET\"}", "b", "");
    expect_attempts("{\"url\":\"http://1.2.3.4/\",\"body\":\"\"}", "00000000000000ab-7", "");

    char id[LIMIT_ID_BYTES + 1], line[LIMIT_ID_BYTES + 100];
    for (size_t len = 1; len <= LIMIT_ID_BYTES; len++) {
        memset(id, 'x', len);
        id[len] = '\0';
        snprintf(line, sizeof line, "{\"id\":\"%s\",\"url\":\"http://1.2.3.4/\",\"body\":\"t\"}",
                 id);
        expect_attempts(line, id, "t");
    }
    maker_end(&maker);
    signer_free(signer);
}
