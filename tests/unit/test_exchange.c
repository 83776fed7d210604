/* tests/unit/test_exchange.c - goal: every status that an answer can have ends as delivery.md
 * section 2 says, and what is shown of `sent` stays what readers of results know.
 *
 * Method: all 500 statuses, judged a second time from a list of the exceptional ones; the labels
 * written down a second time; what no caller may pass stops the process.
 */
#include "core/net/exchange.h"

#include <criterion/criterion.h>
#include <signal.h>

/* The class of the status decides, but for two. */
static enum err expected_of(unsigned status)
{
    static const enum err class[6] = {[1] = ERR_STATUS_FINAL,
                                      [2] = ERR_OK,
                                      [3] = ERR_STATUS_FINAL,
                                      [4] = ERR_STATUS_FINAL,
                                      [5] = ERR_STATUS_RETRY};
    static const uint16_t exceptions[] = {408, 429};
    for (size_t i = 0; i < sizeof exceptions / sizeof exceptions[0]; i++)
        if (status == exceptions[i]) return ERR_STATUS_RETRY;
    return class[status / 100];
}

Test(exchange, every_status)
{
    unsigned ok = 0, retry = 0, final = 0;
    for (unsigned status = 100; status <= 599; status++) {
        enum err e = exchange_err_of_status((uint16_t)status);
        cr_expect_eq(e, expected_of(status), "%u is %s", status, err_label(e));
        ok += e == ERR_OK;
        retry += e == ERR_STATUS_RETRY;
        final += e == ERR_STATUS_FINAL;
    }
    cr_expect_eq(ok, 100);
    cr_expect_eq(retry, 100 + 2);
    cr_expect_eq(final, 300 - 2);
}

Test(exchange, borders)
{
    cr_expect_eq(exchange_err_of_status(199), ERR_STATUS_FINAL);
    cr_expect_eq(exchange_err_of_status(200), ERR_OK);
    cr_expect_eq(exchange_err_of_status(299), ERR_OK);
    cr_expect_eq(exchange_err_of_status(300), ERR_STATUS_FINAL);
    cr_expect_eq(exchange_err_of_status(410), ERR_STATUS_FINAL);
    cr_expect_eq(exchange_err_of_status(499), ERR_STATUS_FINAL);
    cr_expect_eq(exchange_err_of_status(500), ERR_STATUS_RETRY);
    cr_expect_eq(exchange_err_of_status(599), ERR_STATUS_RETRY);
}

Test(exchange, status_below, .signal = SIGABRT) { (void)exchange_err_of_status(99); }
Test(exchange, status_none, .signal = SIGABRT) { (void)exchange_err_of_status(0); }
Test(exchange, status_above, .signal = SIGABRT) { (void)exchange_err_of_status(600); }

Test(exchange, sent_labels)
{
    cr_expect_eq(SENT_COUNT, 3);
    cr_expect_str_eq(sent_label(SENT_NO), "no");
    cr_expect_str_eq(sent_label(SENT_MAYBE), "maybe");
    cr_expect_str_eq(sent_label(SENT_YES), "yes");
    /* What an earlier sending made uncertain stays uncertain: the larger one is kept. */
    cr_expect(SENT_NO < SENT_MAYBE && SENT_MAYBE < SENT_YES);
}

Test(exchange, sent_label_of_none, .signal = SIGABRT) { (void)sent_label(SENT_COUNT); }
