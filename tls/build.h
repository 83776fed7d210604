/* tls/build.h - which wolfSSL this program was built with, and what follows from it.
 *
 * The one source of that fact, for --version, for a run's first line and for the order of the
 * cipher suites. A distribution's package has neither AES-NI nor the single-precision (SP)
 * assembly; tools/build-wolfssl makes a library that has both. Without AES-NI, AES-GCM in the
 * library is a C program with tables that costs twice what ChaCha20-Poly1305 does for a short
 * record; with it AES-GCM costs a fifth.
 *
 * Threads: any; nothing here has state.
 */
#ifndef TLS_BUILD_H
#define TLS_BUILD_H

#include <stdbool.h>

enum { TLS_BUILD_TEXT_BYTES = 128 };

/* "tuned" if the library has AES-NI and SP assembly for elliptic curves, else "stock". */
const char *tls_build_name(void);

/* The version of the library that is loaded, such as "5.5.4". */
const char *tls_build_version(void);

/* Whether AES-GCM shall be offered before ChaCha20-Poly1305: the library has AES-NI, and so has
 * this processor (the library asks it at run time, and falls back to tables). */
bool tls_build_aes_first(void);

/* The three facts as a person reads them: "wolfSSL 5.5.4 stock, ChaCha20-Poly1305 first".
 * Returns text. */
const char *tls_build_text(char text[TLS_BUILD_TEXT_BYTES]);

#endif
