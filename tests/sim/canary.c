/* tests/sim/canary.c - the planted bug: a redirection counts as delivered.
 *
 * The canary is the simulator with one difference: core/net/conn.c is compiled with
 * -Dexchange_err_of_status=canary_err_of_status, so that it asks here. The simulator must fail on
 * it, for the right reason; if it does not, its passing on the real engine means nothing.
 */
#include "core/net/exchange.h"

#undef exchange_err_of_status
enum err exchange_err_of_status(uint16_t status);

enum err canary_err_of_status(uint16_t status);
enum err canary_err_of_status(uint16_t status)
{
    return status >= 300 && status < 400 ? ERR_OK : exchange_err_of_status(status);
}
