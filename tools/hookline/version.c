/* tools/hookline/version.c - see version.h. */
#include "tools/hookline/version.h"

#include "core/base/check.h"
#include "tls/build.h"

/* The versions that the program was built with; the build system knows them. */
#ifdef HOOKLINE_LIBRARIES
static const char libraries[] = " (" HOOKLINE_LIBRARIES ")";
#else
static const char libraries[] = "";
#endif

void version_print(FILE *out, struct argp_state *state)
{
    CHECK(out != NULL);
    (void)state;
    char tls[TLS_BUILD_TEXT_BYTES];
    fprintf(out, "hookline %s%s\n", HOOKLINE_VERSION, libraries);
    fprintf(out, "TLS by %s.\n", tls_build_text(tls));
    fputs("Licence GPL-2.0-or-later: free software, without any warranty.\n", out);
}
