/* tools/hookline/trust.c - see trust.h. */
#include "tools/hookline/trust.h"

#include "tls/pool.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    TEXT_BYTES_MAX = 16 * 1024 * 1024, /* of all authorities together; beyond: a usage error */
    FILES_MAX = 10000,                 /* looked at in --ca-path */
    PATH_BYTES_MAX = 4096,
};

/* Where distributions keep their bundle of authorities; the first that is there. */
static const char *const bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt", /* Debian, Arch */
    "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora */
    "/etc/ssl/ca-bundle.pem",             /* openSUSE */
    "/etc/ssl/cert.pem",                  /* Alpine */
};

/* Appends a file. 0 or errno; *text grows, whatever happened. */
static int append(const char *path, char **text, size_t *len)
{
    FILE *file = fopen(path, "re");
    int error = 0;
    if (file == NULL) return errno;
    for (size_t got = 1; got > 0 && error == 0;) {
        if (*len > TEXT_BYTES_MAX) {
            error = EFBIG;
            break;
        }
        char *larger = realloc(*text, *len + 65536 + 1);
        if (larger == NULL) {
            error = ENOMEM;
            break;
        }
        *text = larger;
        errno = 0;
        got = fread(*text + *len, 1, 65536, file);
        if (ferror(file)) error = errno != 0 ? errno : EIO;
        *len += got;
    }
    if (error == 0) (*text)[(*len)++] = '\n'; /* so that two files stay apart */
    fclose(file);
    return error;
}

static int refuse(char *error, const char *what, const char *path, int why)
{
    snprintf(error, OPTION_ERROR_BYTES, "--%s=%.300s: cannot be read: %s", what, path,
             strerror(why));
    return -1;
}

static int read_file(enum option_id id, const char *path, char **text, size_t *len, char *error)
{
    int why = append(path, text, len);
    return why == 0 ? 0 : refuse(error, option_row(id)->name, path, why);
}

/* Every regular file of the folder; what is in it besides certificates does no harm. */
static int read_folder(const char *path, char **text, size_t *len, char *error)
{
    DIR *folder = opendir(path);
    int why = folder == NULL ? errno : 0;
    struct dirent *entry;
    for (int i = 0; why == 0 && i < FILES_MAX && (entry = readdir(folder)) != NULL; i++) {
        char name[PATH_BYTES_MAX];
        struct stat info;
        int n = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (n < 0 || (size_t)n >= sizeof name) why = ENAMETOOLONG;
        else if (stat(name, &info) == 0 && S_ISREG(info.st_mode)) why = append(name, text, len);
    }
    if (folder != NULL) closedir(folder);
    return why == 0 ? 0 : refuse(error, "ca-path", path, why);
}

static int read_trusted(const struct options *o, struct trust *t, char *error)
{
    const char *file = options_text(o, OPT_CA_FILE), *folder = options_text(o, OPT_CA_PATH);
    char **text = &t->trusted;
    size_t *len = &t->trusted_len;
    if (file != NULL && read_file(OPT_CA_FILE, file, text, len, error) != 0) return -1;
    if (folder != NULL && read_folder(folder, text, len, error) != 0) return -1;
    if (file != NULL || folder != NULL) return 0;
    /* None: that is said when an https connection would need it. */
    for (size_t i = 0; i < sizeof bundles / sizeof bundles[0]; i++)
        if (append(bundles[i], text, len) == 0) return 0;
    return 0;
}

static int read_own(const struct options *o, struct trust *t, char *error)
{
    const char *cert = options_text(o, OPT_CLIENT_CERT), *key = options_text(o, OPT_CLIENT_KEY);
    if ((cert == NULL) != (key == NULL)) {
        snprintf(error, OPTION_ERROR_BYTES, "--client-cert and --client-key need each other");
        return -1;
    }
    if (cert == NULL) return 0;
    if (read_file(OPT_CLIENT_CERT, cert, &t->certificate, &t->certificate_len, error) != 0)
        return -1;
    return read_file(OPT_CLIENT_KEY, key, &t->key, &t->key_len, error);
}

/* What was named must work. */
static int try(const struct tls_rules *rules, char *error)
{
    char why[TLS_WHY_BYTES] = "no memory";
    struct tls_pool *pool = tls_pool_new(4 * tls_memory_least() + TEXT_BYTES_MAX);
    struct tls_context *c = pool != NULL ? tls_context_new(rules, pool, NULL, why) : NULL;
    int rc = c != NULL ? 0 : -1;
    if (rc != 0)
        snprintf(error, OPTION_ERROR_BYTES,
                 "%s: see --ca-file, --ca-path, --client-cert and --client-key", why);
    if (c != NULL) tls_context_free(c);
    if (pool != NULL) tls_pool_free(pool);
    return rc;
}

int trust_read(const struct options *o, struct trust *t, struct tls_rules *out,
               char error[OPTION_ERROR_BYTES])
{
    CHECK(t->trusted == NULL && t->key == NULL);
    if (o->command == COMMAND_CHECK) return 0;
    if (read_trusted(o, t, error) != 0 || read_own(o, t, error) != 0) return -1;
    *out = (struct tls_rules){.trusted = span_of(t->trusted, t->trusted_len),
                              .certificate = span_of(t->certificate, t->certificate_len),
                              .key = span_of(t->key, t->key_len),
                              .oldest = (enum tls_version)options_number(o, OPT_TLS_MIN),
                              .insecure = options_number(o, OPT_INSECURE) != 0};
    bool named = options_text(o, OPT_CA_FILE) != NULL || options_text(o, OPT_CA_PATH) != NULL ||
                 options_text(o, OPT_CLIENT_CERT) != NULL;
    return named ? try(out, error) : 0;
}

void trust_free(struct trust *t)
{
    if (t->key != NULL) explicit_bzero(t->key, t->key_len);
    free(t->trusted);
    free(t->certificate);
    free(t->key);
    *t = (struct trust){.trusted = NULL};
}

void trust_warn(const struct tls_rules *rules)
{
    CHECK(rules != NULL);
    if (!rules->insecure) return;
    fputs("hookline: WARNING: --insecure: no receiver's certificate is verified; anyone on the way "
          "can read and change what is sent\n",
          stderr);
}
