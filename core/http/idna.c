/* core/http/idna.c - see idna.h.
 *
 * Processing is UTS 46, non-transitional, as in WHATWG's "domain to ASCII": it maps case, width and
 * compatibility forms (fullwidth digits become digits, the ideographic full stop a dot) and keeps
 * the sharp s. libidn2 then checks each label by IDNA 2008, which is stricter than WHATWG: emoji
 * are refused. Whoever registered such a name can write it in its xn-- form, which is not looked
 * into here: the DNS knows it or does not.
 *
 * libidn2 allocates. Only names outside ASCII come here, and a run of records for one of them comes
 * here once (struct url_room).
 */
#include "core/http/idna.h"

#include "core/base/check.h"

#include <idn2.h>
#include <string.h>

bool idna_to_ascii(struct span name, char out[LIMIT_HOST_BYTES], size_t *out_len)
{
    char text[LIMIT_URL_BYTES + 1], *found = NULL;
    CHECK(out != NULL);
    CHECK(out_len != NULL);
    if (name.len > LIMIT_URL_BYTES || memchr(name.ptr, '\0', name.len) != NULL) return false;
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    if (idn2_to_ascii_8z(text, &found, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
        return false;
    size_t len = strlen(found);
    bool fits = len <= LIMIT_HOST_BYTES;
    if (fits) {
        memcpy(out, found, len);
        *out_len = len;
    }
    idn2_free(found);
    return fits;
}
