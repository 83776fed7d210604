/* tests/unit/test_tls_build.c - goal: what is said about the library is what the library does.
 *
 * Method: the name is compared with options.h, which the library's own configure wrote, and with
 * the clock: AES-128-GCM through AES-NI is many times as fast as through tables, on any machine.
 */
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>

#include "tls/build.h"

#include <criterion/criterion.h>
#include <string.h>
#include <time.h>

Test(tls_build, the_name_follows_from_the_options)
{
#if defined(WOLFSSL_AESNI) && defined(WOLFSSL_HAVE_SP_ECC)
    cr_assert_str_eq(tls_build_name(), "tuned");
#else
    cr_assert_str_eq(tls_build_name(), "stock");
    cr_assert_not(tls_build_aes_first());
#endif
}

Test(tls_build, headers_and_library_are_one_version)
{
    cr_assert_str_eq(tls_build_version(), LIBWOLFSSL_VERSION_STRING);
}

Test(tls_build, the_text_says_all_three)
{
    char text[TLS_BUILD_TEXT_BYTES], wanted[TLS_BUILD_TEXT_BYTES];
    snprintf(wanted, sizeof wanted, "wolfSSL %s %s, %s first", LIBWOLFSSL_VERSION_STRING,
             tls_build_name(), tls_build_aes_first() ? "AES-GCM" : "ChaCha20-Poly1305");
    cr_assert_str_eq(tls_build_text(text), wanted);
}

enum { RECORD_BYTES = 4096, RECORDS = 200, ROUNDS = 7 };

static uint8_t record[RECORD_BYTES], sealed[RECORD_BYTES], tag[16];
static const uint8_t key[32], nonce[12];

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void seal_aes(void)
{
    Aes aes;
    cr_assert_eq(wc_AesInit(&aes, NULL, INVALID_DEVID), 0);
    cr_assert_eq(wc_AesGcmSetKey(&aes, key, 16), 0);
    for (int i = 0; i < RECORDS; i++)
        cr_assert_eq(wc_AesGcmEncrypt(&aes, sealed, record, RECORD_BYTES, nonce, sizeof nonce, tag,
                                      sizeof tag, NULL, 0),
                     0);
    wc_AesFree(&aes);
}

static void seal_chacha(void)
{
    for (int i = 0; i < RECORDS; i++)
        cr_assert_eq(wc_ChaCha20Poly1305_Encrypt(key, nonce, NULL, 0, record, RECORD_BYTES, sealed,
                                                 tag),
                     0);
}

/* The best of some rounds: what else the machine does can only add to it. */
static double best_s(void (*seal)(void))
{
    double best = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        double began = cpu_s();
        seal();
        double took = cpu_s() - began;
        if (took < best) best = took;
    }
    return best;
}

Test(tls_build, the_suite_that_comes_first_is_the_faster_one)
{
    double aes_s = best_s(seal_aes), chacha_s = best_s(seal_chacha);
    if (tls_build_aes_first()) cr_assert_lt(aes_s, chacha_s);
    else cr_assert_lt(chacha_s, aes_s);
}
