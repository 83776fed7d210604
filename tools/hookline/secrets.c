/* tools/hookline/secrets.c - see secrets.h. */
#include "tools/hookline/secrets.h"

#include "core/base/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { SECRETS_BYTES_MAX = 16 * 1024 }; /* of a file; beyond: an error */

/* One secret; where says in errors which. */
static int take(struct signer *s, struct span secret, const char *where, uint32_t line, char *error)
{
    const char *wrong = signer_add(s, secret);
    if (wrong == NULL) return 0;
    if (line > 0) snprintf(error, OPTION_ERROR_BYTES, "%.300s:%u: %s", where, line, wrong);
    else snprintf(error, OPTION_ERROR_BYTES, "%.300s: %s", where, wrong);
    return -1;
}

static int take_lines(struct signer *s, const char *text, size_t len, const char *path, char *error)
{
    static const char white[] = " \t\r";
    const char *end = text + len;
    for (uint32_t line = 1; text < end; line++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *last = newline != NULL ? newline : end, *next = last + (newline != NULL);
        while (text < last && strchr(white, *text) != NULL) text++;
        while (last > text && strchr(white, last[-1]) != NULL) last--;
        struct span secret = span_of(text, (size_t)(last - text));
        if (secret.len > 0 && *text != '#' && take(s, secret, path, line, error) != 0) return -1;
        text = next;
    }
    return 0;
}

/* Who may read it besides its owner. */
static void warn_of_mode(FILE *file, const char *path)
{
    struct stat st;
    if (fstat(fileno(file), &st) != 0 || !S_ISREG(st.st_mode)) return;
    if ((st.st_mode & (S_IRGRP | S_IROTH)) == 0) return;
    fprintf(stderr,
            "hookline: warning: %s holds secrets, and others may read it (mode %04o): "
            "chmod 600 it\n",
            path, (unsigned)st.st_mode & 07777u);
}

static int take_file(struct signer *s, const char *path, char *error)
{
    char text[SECRETS_BYTES_MAX + 1];
    FILE *file = fopen(path, "re");
    errno = file != NULL ? 0 : errno;
    size_t len = 0;
    if (file != NULL) {
        setvbuf(file, NULL, _IONBF, 0); /* no copy is left in a buffer of the library */
        warn_of_mode(file, path);
        len = fread(text, 1, sizeof text, file);
        if (ferror(file) == 0) errno = 0;
        int saved = errno;
        fclose(file);
        errno = saved;
    }
    int rc = -1;
    if (errno != 0)
        snprintf(error, OPTION_ERROR_BYTES, "cannot read the secrets of %.300s: %s", path,
                 strerror(errno));
    else if (len > SECRETS_BYTES_MAX)
        snprintf(error, OPTION_ERROR_BYTES, "%.300s: more than %d bytes are no list of secrets",
                 path, SECRETS_BYTES_MAX);
    else rc = take_lines(s, text, len, path, error);
    explicit_bzero(text, sizeof text);
    if (rc != 0 || signer_count(s) > 0) return rc;
    snprintf(error, OPTION_ERROR_BYTES, "%.300s: holds no secret", path);
    return -1;
}

static int take_environment(struct signer *s, const char *text, char *error)
{
    static const char white[] = " \t\r\n,";
    size_t before = signer_count(s), len;
    for (text += strspn(text, white); (len = strcspn(text, white)) > 0;
         text += len, text += strspn(text, white))
        if (take(s, span_of(text, len), SECRETS_VARIABLE, 0, error) != 0) return -1;
    if (signer_count(s) > before) return 0;
    snprintf(error, OPTION_ERROR_BYTES, SECRETS_VARIABLE " is set, but holds no secret");
    return -1;
}

int secrets_read(const char *path, char *environment, struct signer **out,
                 char error[OPTION_ERROR_BYTES])
{
    CHECK(out != NULL);
    *out = NULL;
    if (path == NULL && environment == NULL) return 0;
    struct signer *s = signer_new();
    int rc = s != NULL ? 0 : -1;
    if (rc != 0) snprintf(error, OPTION_ERROR_BYTES, "no memory for the secrets");
    if (rc == 0 && path != NULL) rc = take_file(s, path, error);
    if (rc == 0 && environment != NULL) rc = take_environment(s, environment, error);
    if (environment != NULL) explicit_bzero(environment, strlen(environment));
    if (rc == 0) *out = s;
    else signer_free(s);
    return rc;
}
