/* Goal: a certificate is shown as it is, and what is none is refused.
 *
 * Method: openssl makes certificates with known contents; then each prefix of one, and one with
 * each byte changed, must be shown or refused without a byte read beyond it.
 */
#include "tls/show.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char der[8192];
static size_t der_len;

/* Makes a certificate in der[] by openssl req -x509. */
static void make(const char *subject, const char *more)
{
    char command[2048], folder[] = "/tmp/hookline-show-XXXXXX", path[64];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(command, sizeof command,
             "cd %s && openssl req -x509 -utf8 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
             "-keyout key -subj '%s' -days 3650 %s -outform DER -out der 2>said || cat said",
             folder, subject, more);
    cr_assert_eq(system(command), 0);
    snprintf(path, sizeof path, "%s/der", folder);
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", command);
    der_len = fread(der, 1, sizeof der, f);
    fclose(f);
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert_eq(system(command), 0);
}

static struct tls_cert_text shown(void)
{
    struct tls_cert_text t;
    cr_assert(tls_cert_show(span_of(der, der_len), &t));
    return t;
}

Test(tls_show, contents)
{
    make("/C=DE/O=Some Body/CN=a.example",
         "-addext 'subjectAltName=DNS:a.example,DNS:*.a.example,IP:192.0.2.1,IP:2001:db8::1,"
         "URI:https://a.example/'");
    struct tls_cert_text t = shown();
    cr_assert_str_eq(t.subject, "C=DE, O=Some Body, CN=a.example");
    cr_assert_str_eq(t.issuer, t.subject);
    cr_assert_str_eq(t.names, "a.example, *.a.example, 192.0.2.1, 2001:db8::1, https://a.example/");
    cr_assert(strlen(t.from) == 20 && strlen(t.until) == 20, "%s %s", t.from, t.until);
    cr_assert(memcmp(t.from, "20", 2) == 0 && t.from[10] == 'T' && t.from[19] == 'Z', "%s", t.from);
    cr_assert(strcmp(t.from, t.until) < 0, "%s %s", t.from, t.until);
}

Test(tls_show, no_names)
{
    make("/CN=b\xc3\xbc"
         "cher",
         "");
    struct tls_cert_text t = shown();
    cr_assert_str_eq(t.subject, "CN=b\xc3\xbc"
                                "cher");
    cr_assert_str_eq(t.names, "");
}

/* Cut, never written beyond. */
Test(tls_show, long_ones)
{
    char more[900];
    int n = snprintf(more, sizeof more, "-addext 'subjectAltName=");
    for (int i = 0; i < 30; i++)
        n += snprintf(more + n, sizeof more - n, "DNS:name-%02d.a.example%c", i,
                      i < 29 ? ',' : '\'');
    make("/OU=0123456789012345678901234567890123456789012345678901234567890123"
         "/OU=0123456789012345678901234567890123456789012345678901234567890123"
         "/OU=0123456789012345678901234567890123456789012345678901234567890123"
         "/OU=0123456789012345678901234567890123456789012345678901234567890123/CN=x",
         more);
    struct tls_cert_text t = shown();
    cr_assert_eq(strlen(t.subject), sizeof t.subject - 1);
    cr_assert_eq(strncmp(t.subject, "OU=0123", 7), 0);
    cr_assert(strstr(t.names, "name-29.a.example") != NULL, "%s", t.names);
}

Test(tls_show, what_is_none)
{
    make("/CN=a", "-addext 'subjectAltName=DNS:a.example'");
    struct tls_cert_text t;
    for (size_t len = 0; len < der_len; len++) {
        char *exact = malloc(len + 1);
        memcpy(exact, der, len);
        cr_assert_not(tls_cert_show(span_of(exact, len), &t), "%zu of %zu bytes", len, der_len);
        free(exact);
    }
    for (size_t at = 0; at < der_len; at++) {
        char *exact = malloc(der_len);
        memcpy(exact, der, der_len);
        exact[at] ^= 0x41;
        (void)!tls_cert_show(span_of(exact, der_len), &t);
        cr_assert_lt(strnlen(t.subject, sizeof t.subject), sizeof t.subject);
        free(exact);
    }
}
