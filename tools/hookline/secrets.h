/* tools/hookline/secrets.h - the secrets that webhooks are signed with: from a file, the
 * environment, or both; never from the command line, where every user of the machine sees them.
 *
 * No text of them is kept or printed: errors name the line and what is wrong with it.
 * Main thread, start-up only.
 */
#ifndef TOOLS_HOOKLINE_SECRETS_H
#define TOOLS_HOOKLINE_SECRETS_H

#include "tls/sign.h"
#include "tools/hookline/options.h"

/* Holds secrets, between white space. */
#define SECRETS_VARIABLE "HOOKLINE_SIGN_SECRET"

/* Reads path, one secret on a line (blank lines and those that begin with '#' are none), and then
 * environment, the value of SECRETS_VARIABLE, which is wiped. Either may be NULL; if both are, *out
 * is NULL: nothing is signed. A file that others may read is warned of on stderr. 0, or -1 with one
 * line in error. */
int secrets_read(const char *path, char *environment, struct signer **out,
                 char error[OPTION_ERROR_BYTES]) __attribute__((warn_unused_result));

#endif
