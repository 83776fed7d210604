/* tls/sign.c - see sign.h.
 *
 * wolfCrypt's HMAC would hash the padded key anew for each message: two of the about ten blocks of
 * a small webhook. So HMAC is put together here from its SHA-256 (RFC 2104 section 4).
 *
 * Signatures are computed on the stack: nothing is allocated, and no key is written to after
 * signer_add().
 */
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/coding.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include "tls/sign.h"

#include "core/base/check.h"

#include <string.h>
#include <sys/mman.h>

enum {
    HMAC_KEY_BYTES_MIN = 24, /* the specification's limits */
    HMAC_KEY_BYTES_MAX = 64, /* and no more than a block: it is never hashed first */
    SECRET_BYTES_MAX = 128,  /* decoded; what is longer is refused as it stands */
    V1_BYTES = 3 + 44,       /* "v1," and the base64 of 32 bytes */
    V1A_BYTES = 4 + 88,      /* "v1a," and that of 64 */
};
_Static_assert((int)HMAC_KEY_BYTES_MAX <= (int)WC_SHA256_BLOCK_SIZE, "RFC 2104");

enum key_kind { KEY_HMAC, KEY_ED25519 };

struct key {
    enum key_kind kind;
    wc_Sha256 inner, outer; /* KEY_HMAC: behind the padded key */
    ed25519_key ed25519;    /* KEY_ED25519 */
};

struct signer {
    size_t count;
    struct key keys[SIGN_KEYS_MAX];
};

struct signer *signer_new(void)
{
    struct signer *s =
        mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED) return NULL;
    /* Both are wishes: without the first a core dump holds the keys, without the second perhaps
     * the swap, as it may hold whatever else the process knows. */
    (void)madvise(s, sizeof *s, MADV_DONTDUMP);
    (void)mlock(s, sizeof *s);
    return s;
}

void signer_free(struct signer *s)
{
    if (s == NULL) return;
    explicit_bzero(s, sizeof *s);
    munmap(s, sizeof *s);
}

size_t signer_count(const struct signer *s)
{
    CHECK(s != NULL);
    return s->count;
}

/* The hash state behind one block: the key, padded with zeros, each byte XOR pad. */
static bool pad_hash(wc_Sha256 *h, const uint8_t *key, size_t len, uint8_t pad)
{
    uint8_t block[WC_SHA256_BLOCK_SIZE];
    for (size_t i = 0; i < sizeof block; i++) block[i] = (i < len ? key[i] : 0) ^ pad;
    bool ok = wc_InitSha256(h) == 0 && wc_Sha256Update(h, block, sizeof block) == 0;
    explicit_bzero(block, sizeof block);
    return ok;
}

static const char *hmac_make(struct key *k, const uint8_t *secret, size_t len)
{
    if (len < HMAC_KEY_BYTES_MIN || len > HMAC_KEY_BYTES_MAX)
        return "whsec_ must be followed by the base64 of 24 to 64 bytes";
    k->kind = KEY_HMAC;
    bool ok = pad_hash(&k->inner, secret, len, 0x36) && pad_hash(&k->outer, secret, len, 0x5c);
    return ok ? NULL : "wolfSSL cannot compute SHA-256";
}

static const char *ed25519_make(struct key *k, const uint8_t *secret, size_t len)
{
    uint8_t public[ED25519_PUB_KEY_SIZE];
    if (len != ED25519_KEY_SIZE && len != ED25519_KEY_SIZE + ED25519_PUB_KEY_SIZE)
        return "whsk_ must be followed by the base64 of a 32-byte ed25519 seed";
    k->kind = KEY_ED25519;
    if (wc_ed25519_init(&k->ed25519) != 0 ||
        wc_ed25519_import_private_only(secret, ED25519_KEY_SIZE, &k->ed25519) != 0 ||
        wc_ed25519_make_public(&k->ed25519, public, sizeof public) != 0 ||
        wc_ed25519_import_private_key(secret, ED25519_KEY_SIZE, public, sizeof public,
                                      &k->ed25519) != 0)
        return "wolfSSL cannot use this ed25519 key";
    if (len > ED25519_KEY_SIZE && memcmp(secret + ED25519_KEY_SIZE, public, sizeof public) != 0)
        return "the public key behind whsk_ is not that of its seed";
    return NULL;
}

const char *signer_add(struct signer *s, struct span secret)
{
    static const struct span hmac = SPAN_LIT("whsec_"), ed25519 = SPAN_LIT("whsk_");
    uint8_t bytes[SECRET_BYTES_MAX];
    word32 len = sizeof bytes;
    CHECK(s != NULL);
    if (s->count == SIGN_KEYS_MAX) return "at most 8 secrets can be used at once";
    bool is_hmac = secret.len > hmac.len && memcmp(secret.ptr, hmac.ptr, hmac.len) == 0;
    bool is_ed25519 = secret.len > ed25519.len && memcmp(secret.ptr, ed25519.ptr, ed25519.len) == 0;
    if (!is_hmac && !is_ed25519) return "a secret begins with whsec_ (HMAC) or whsk_ (ed25519)";

    size_t mark = is_hmac ? hmac.len : ed25519.len;
    const char *why = "what follows the mark is not base64";
    if (secret.len <= sizeof bytes &&
        Base64_Decode((const byte *)secret.ptr + mark, (word32)(secret.len - mark), bytes, &len) ==
            0) {
        struct key *k = &s->keys[s->count];
        why = is_hmac ? hmac_make(k, bytes, len) : ed25519_make(k, bytes, len);
        if (why == NULL) s->count++;
        else explicit_bzero(k, sizeof *k);
    }
    explicit_bzero(bytes, sizeof bytes);
    return why;
}

size_t signer_value_bytes(const struct signer *s)
{
    CHECK(s != NULL);
    size_t bytes = 0;
    for (size_t i = 0; i < s->count; i++)
        bytes += (i > 0) + (s->keys[i].kind == KEY_HMAC ? (size_t)V1_BYTES : (size_t)V1A_BYTES);
    return bytes;
}

static bool hmac(const struct key *k, struct span message, uint8_t out[WC_SHA256_DIGEST_SIZE])
{
    wc_Sha256 h = k->inner; /* plain structs: what wc_Sha256Copy() does without a lock */
    if (wc_Sha256Update(&h, (const byte *)message.ptr, (word32)message.len) != 0 ||
        wc_Sha256Final(&h, out) != 0)
        return false;
    h = k->outer;
    bool ok = wc_Sha256Update(&h, out, WC_SHA256_DIGEST_SIZE) == 0 && wc_Sha256Final(&h, out) == 0;
    explicit_bzero(&h, sizeof h);
    return ok;
}

/* Some builds keep a hash state in the key and write to it: so each signature has a copy. */
static bool ed25519(const struct key *k, struct span message, uint8_t out[ED25519_SIG_SIZE])
{
    ed25519_key copy = k->ed25519;
    word32 len = ED25519_SIG_SIZE;
    bool ok =
        wc_ed25519_sign_msg((const byte *)message.ptr, (word32)message.len, out, &len, &copy) == 0;
    explicit_bzero(&copy, sizeof copy);
    return ok && len == ED25519_SIG_SIZE;
}

/* Appends "v1,..." or "v1a,..." at to. NULL: the library failed. */
static char *signature_put(const struct key *k, struct span message, char *to)
{
    uint8_t raw[ED25519_SIG_SIZE];
    word32 len = sizeof raw;
    bool ok;
    if (k->kind == KEY_HMAC) {
        ok = hmac(k, message, raw);
        len = WC_SHA256_DIGEST_SIZE;
        to = span_put(to, SPAN_LIT("v1,"));
    } else {
        ok = ed25519(k, message, raw);
        to = span_put(to, SPAN_LIT("v1a,"));
    }
    word32 room = (len + 2) / 3 * 4 + 1; /* some versions end it with a NUL */
    char text[ED25519_SIG_SIZE * 2];
    if (!ok || Base64_Encode_NoNl(raw, len, (byte *)text, &room) != 0) return NULL;
    return span_put(to, span_of(text, (len + 2) / 3 * 4));
}

bool signer_sign(const struct signer *s, struct span message, char *out)
{
    CHECK(s != NULL);
    CHECK(s->count > 0);
    CHECK(message.len <= UINT32_MAX);
    char *to = out;
    for (size_t i = 0; i < s->count; i++) {
        if (i > 0) *to++ = ' ';
        to = signature_put(&s->keys[i], message, to);
        if (to == NULL) return false;
    }
    CHECK((size_t)(to - out) == signer_value_bytes(s));
    return true;
}
