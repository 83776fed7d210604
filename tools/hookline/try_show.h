/* tools/hookline/try_show.h - what `hookline try` prints of one attempt. */
#ifndef TOOLS_HOOKLINE_TRY_SHOW_H
#define TOOLS_HOOKLINE_TRY_SHOW_H

#include "core/engine/config.h"
#include "core/engine/redact.h"
#include "core/net/trace.h"

#include <stdio.h>

/* The request with its secrets masked, its lines after '>'; the answer likewise, after '<'. */
void try_show_request(const struct trace *t, const struct redact *r, FILE *out);
void try_show_answer(const struct trace *t, const struct redact *r, FILE *out);
/* Of a TLS connection: its version and suite, and the certificates that the receiver showed. */
void try_show_tls(const struct trace *t, FILE *out);
/* How long each phase took, and in which it ended. */
void try_show_times(const struct trace *t, FILE *out);
/* What became of it, in words, and what hookline send would do. */
void try_show_verdict(const struct trace *t, const struct retry_rules *rules, FILE *out);

#endif
