#include "core/net/exchange.h"

#include "core/base/check.h"

const char *sent_label(enum sent s)
{
    static const char *const labels[SENT_COUNT] = {"no", "maybe", "yes"};
    CHECK(s < SENT_COUNT);
    return labels[s];
}

enum err exchange_err_of_status(uint16_t status)
{
    CHECK(status >= 100 && status <= 599);
    if (status >= 200 && status < 300) return ERR_OK;
    if (status == 408 || status == 429 || status >= 500) return ERR_STATUS_RETRY;
    return ERR_STATUS_FINAL;
}
