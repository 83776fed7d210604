/* tls/build.c - see build.h. */
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "tls/build.h"

#include "core/base/check.h"

#include <stdio.h>

#ifdef WOLFSSL_AESNI
enum { LIBRARY_AESNI = 1 };
#else
enum { LIBRARY_AESNI = 0 };
#endif

#if defined(WOLFSSL_HAVE_SP_ECC) && defined(WOLFSSL_SP_ASM)
enum { LIBRARY_SP = 1 };
#else
enum { LIBRARY_SP = 0 };
#endif

const char *tls_build_name(void)
{
    return LIBRARY_AESNI && LIBRARY_SP ? "tuned" : "stock";
}

const char *tls_build_version(void)
{
    return wolfSSL_lib_version();
}

bool tls_build_aes_first(void)
{
#ifdef __x86_64__
    return LIBRARY_AESNI && __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#else
    return false;
#endif
}

const char *tls_build_text(char text[TLS_BUILD_TEXT_BYTES])
{
    CHECK(text != NULL);
    int wrote = snprintf(text, TLS_BUILD_TEXT_BYTES, "wolfSSL %s %s, %s first",
                         tls_build_version(), tls_build_name(),
                         tls_build_aes_first() ? "AES-GCM" : "ChaCha20-Poly1305");
    CHECK(wrote > 0 && wrote < TLS_BUILD_TEXT_BYTES);
    return text;
}
