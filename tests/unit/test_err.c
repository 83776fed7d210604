/* tests/unit/test_err.c - goal: the table of endings is whole and keeps its promises to those who
 * read results: labels are stable and unique, texts are clauses, classes follow the rules.
 *
 * Method: every row is checked for form; the labels and classes are written down here a second
 * time, so that renaming one, which breaks readers of results, is a decision and not a slip.
 */
#include "core/base/err.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

struct row {
    enum err err;
    const char *label;
    enum err_class class;
};

static const struct row expected[] = {
    {ERR_OK, "ok", ERR_CLASS_FINAL},
    {ERR_STATUS_FINAL, "status_final", ERR_CLASS_FINAL},
    {ERR_STATUS_RETRY, "status_retry", ERR_CLASS_ANSWERED},
    {ERR_TIMEOUT, "timeout", ERR_CLASS_ANSWERED},
    {ERR_BAD_RESPONSE, "bad_response", ERR_CLASS_ANSWERED},
    {ERR_DNS_FAILURE, "dns_failure", ERR_CLASS_UNREACHABLE},
    {ERR_DNS_TIMEOUT, "dns_timeout", ERR_CLASS_UNREACHABLE},
    {ERR_CONNECT_REFUSED, "connect_refused", ERR_CLASS_UNREACHABLE},
    {ERR_CONNECT_TIMEOUT, "connect_timeout", ERR_CLASS_UNREACHABLE},
    {ERR_NO_ROUTE, "no_route", ERR_CLASS_UNREACHABLE},
    {ERR_RESET, "connection_reset", ERR_CLASS_UNREACHABLE},
    {ERR_CLOSED, "connection_closed", ERR_CLASS_UNREACHABLE},
    {ERR_TLS_CERTIFICATE, "tls_certificate", ERR_CLASS_FINAL},
    {ERR_TLS_HANDSHAKE, "tls_handshake", ERR_CLASS_UNREACHABLE},
    {ERR_TLS_TIMEOUT, "tls_timeout", ERR_CLASS_UNREACHABLE},
    {ERR_TRUNCATED, "truncated", ERR_CLASS_ANSWERED},
    {ERR_BLOCKED_ADDRESS, "blocked_address", ERR_CLASS_FINAL},
    {ERR_EXPIRED, "expired", ERR_CLASS_FINAL},
    {ERR_NO_RESOURCES, "no_resources", ERR_CLASS_ANSWERED},
    {ERR_STOPPED, "stopped", ERR_CLASS_ANSWERED},
};

Test(err, rows_are_as_published)
{
    cr_assert_eq(sizeof expected / sizeof expected[0], ERR_COUNT, "a new ending: add its row");
    for (int i = 0; i < ERR_COUNT; i++) {
        cr_assert_eq(expected[i].err, (enum err)i, "order of %s", expected[i].label);
        cr_assert_str_eq(err_label(expected[i].err), expected[i].label);
        cr_assert_eq(err_class_of(expected[i].err), expected[i].class, "%s", expected[i].label);
    }
}

Test(err, labels_are_words_and_differ)
{
    for (int i = 0; i < ERR_COUNT; i++) {
        const char *label = err_label((enum err)i);
        cr_assert_gt(strlen(label), 0);
        cr_assert_eq(strspn(label, "abcdefghijklmnopqrstuvwxyz_"), strlen(label), "%s", label);
        for (int k = 0; k < i; k++) cr_assert_str_neq(label, err_label((enum err)k));
    }
}

Test(err, texts_are_clauses)
{
    for (int i = 0; i < ERR_COUNT; i++) {
        const char *text = err_text((enum err)i);
        size_t len = strlen(text);
        cr_assert_gt(len, 10);
        cr_assert_neq(text[len - 1], '.', "%s", text);
        cr_assert_neq(text[len - 1], ' ', "%s", text);
        cr_assert(text[0] >= 'a' && text[0] <= 'z', "%s", text);
    }
}

Test(err, a_row_that_is_not_there, .signal = SIGABRT) { err_label(ERR_COUNT); }
