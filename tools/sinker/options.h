/* tools/sinker/options.h - the command line of the receiver. */
#ifndef TOOLS_SINKER_OPTIONS_H
#define TOOLS_SINKER_OPTIONS_H

#include "tools/sinker/behave.h"
#include "tools/sinker/listen.h"
#include "tools/sinker/script.h"

struct options {
    struct listen_spec listen[LISTEN_SPECS_MAX];
    uint32_t listen_count;
    uint32_t shards_count;
    const char *log_path;       /* NULL: no log */
    const char *limit_log_path; /* likewise */
    const char *tls;            /* CERT,KEY; NULL: without TLS */
    struct behave behave;       /* valid if has_behave */
    struct script *script;      /* owned; NULL: none */
    bool has_behave;
    bool from_first; /* --time-from first-request */
};

/* OPTIONS_EXIT: --help or --version was printed. OPTIONS_ERROR: one line was said to stderr. */
enum options_result { OPTIONS_RUN, OPTIONS_EXIT, OPTIONS_ERROR };

/* Reads the whole command line; out is complete only after OPTIONS_RUN. */
MUST_USE enum options_result options_parse(int argc, char **argv, struct options *out);

#endif
