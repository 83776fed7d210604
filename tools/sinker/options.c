/* tools/sinker/options.c - see options.h. */
#include "tools/sinker/options.h"

#include <getopt.h>
#include <stdio.h>

static const char help_head[] =
    "usage: sinker --listen ADDR:PORT [OPTIONS]\n"
    "\n"
    "A receiver of HTTP/1.1 requests to test and to load a sender of webhooks. It answers 200\n"
    "with a small body, or misbehaves as the request's path or --behave says.\n"
    "\n"
    "  --listen ADDR:PORT   where to listen, numeric; may be given up to 64 times. Port 0 takes a\n"
    "                       free one. Ranges: 127.0.1.1-127.0.1.120:8080 (addresses),\n"
    "                       127.0.0.1:9000-9099 (ports), 127.0.0.0/8:8080 (every loopback address\n"
    "                       on one socket). IPv6: [::1]:8080\n"
    "  --shards N           threads, each with its own listeners (1; at most 64)\n"
    "  --log FILE           empty FILE, then write one NDJSON line for each complete request: id,\n"
    "                       path, attempt (how often that id was seen here), status (0: none\n"
    "                       sent), time, body_bytes, body_hash (XXH3, 64 bits). The id is the\n"
    "                       first of: webhook-id, X-Hookline-Id, Idempotency-Key (without\n"
    "                       quotes), ?id= in the URL. Lines are written within 200 ms\n"
    "  --limit-log FILE     empty FILE, then write one NDJSON line for each window of a /limit:\n"
    "                       listener, limit, key, window, start, over, allowed, refused. The\n"
    "                       summary has the sums with or without it\n"
    "  --tls CERT,KEY       speak TLS 1.2 and 1.3 with this certificate (and its chain) and key,\n"
    "                       both in PEM\n"
    "  --behave BEHAVIOUR   do this to every request, whatever its path\n"
    "  --script FILE        behaviour that changes over time. \"20s flaky/60+status/503\" says\n"
    "                       what every request gets from then on (\"ok\": 200); lines below\n"
    "                       [NAME] say it for paths with /script/NAME. # begins a comment\n"
    "  --time-from WHEN     where the times of --script, /after and /until begin: start, or\n"
    "                       first-request (start)\n"
    "  --help, --version\n"
    "\n"
    "It prints \"listening on ADDR:PORT\" for each --listen, with the real port, once it accepts\n"
    "connections. SIGINT or SIGTERM ends it: log flushed, one summary line on stderr, status 0.\n"
    "\n"
    "Behaviours, as the first parts of a path (http://127.0.0.1:8080/delay/250ms+status/503/a)\n"
    "or in --behave (--behave flaky/30+status/429); '+' combines them:\n"
    "\n";

static const char help_tail[] =
    "\n"
    "Any other path is answered with 200; a behaviour that is misspelt, with 404 and this list.\n"
    "\n"
    "Exit status: 0 ended by a signal; 2 usage; 4 the log could not be written; 5 an address,\n"
    "memory or descriptors could not be had.\n";

static enum options_result print_help(void)
{
    char behaviours[BEHAVE_HELP_BYTES];
    behave_help(behaviours, sizeof behaviours);
    printf("%s%s%s", help_head, behaviours, help_tail);
    return OPTIONS_EXIT;
}

static enum options_result wrong(const char *option, const char *value, const char *why)
{
    fprintf(stderr, "sinker: %s %s: %s (see sinker --help)\n", option, value, why);
    return OPTIONS_ERROR;
}

static enum options_result add_listen(struct options *o, const char *text)
{
    if (o->listen_count == LISTEN_SPECS_MAX)
        return wrong("--listen", text, "this option may be given 64 times; use ranges");
    struct listen_spec *spec = &o->listen[o->listen_count];
    const char *why = listen_parse(text, spec);
    if (why) return wrong("--listen", text, why);
    o->listen_count++;
    uint64_t count = 0;
    for (uint32_t i = 0; i < o->listen_count; i++)
        count += (uint64_t)o->listen[i].ips_count * o->listen[i].ports_count;
    if (count > LISTEN_ADDRS_MAX)
        return wrong("--listen", text, "that makes more than 16384 addresses");
    return OPTIONS_RUN;
}

static enum options_result set_shards(struct options *o, const char *text)
{
    uint32_t v = 0;
    for (const char *p = text; *p; p++) {
        if (*p < '0' || *p > '9' || v > LISTEN_SHARDS_MAX) v = LISTEN_SHARDS_MAX + 1;
        else v = v * 10 + (uint32_t)(*p - '0');
    }
    if (v < 1 || v > LISTEN_SHARDS_MAX) return wrong("--shards", text, "not a number of 1 to 64");
    o->shards_count = v;
    return OPTIONS_RUN;
}

static enum options_result set_behave(struct options *o, const char *text)
{
    struct span part;
    char why[128];
    o->has_behave = true;
    if (behave_parse(BEHAVE_OPTION, span_of(text, strlen(text)), &o->behave, &part) == BEHAVE_DONE)
        return OPTIONS_RUN;
    snprintf(why, sizeof why, "there is no such behaviour: %.*s",
             part.len > 60 ? 60 : (int)part.len, part.ptr);
    return wrong("--behave", text, why);
}

static enum options_result set_script(struct options *o, const char *path)
{
    struct script_wrong w;
    if (o->script) return wrong("--script", path, "this option may be given once");
    o->script = script_read(path, &w);
    if (o->script) return OPTIONS_RUN;
    if (w.line == 0) return wrong("--script", path, w.why);
    fprintf(stderr, "sinker: --script %s:%u:%u: %s (see sinker --help)\n", path, w.line, w.column,
            w.why);
    return OPTIONS_ERROR;
}

static enum options_result set_time_from(struct options *o, const char *text)
{
    o->from_first = strcmp(text, "first-request") == 0;
    if (o->from_first || strcmp(text, "start") == 0) return OPTIONS_RUN;
    return wrong("--time-from", text, "neither start nor first-request");
}

static enum options_result apply(struct options *o, int option, const char *value)
{
    switch (option) {
    case 'l': return add_listen(o, value);
    case 's': return set_shards(o, value);
    case 'o': o->log_path = value; return OPTIONS_RUN;
    case 'm': o->limit_log_path = value; return OPTIONS_RUN;
    case 'T': o->tls = value; return OPTIONS_RUN;
    case 'b': return set_behave(o, value);
    case 'c': return set_script(o, value);
    case 't': return set_time_from(o, value);
    case 'h': return print_help();
    case 'V': printf("sinker %s\n", HOOKLINE_VERSION); return OPTIONS_EXIT;
    default:
        fprintf(stderr, "sinker: see sinker --help\n"); /* getopt has said what is wrong */
        return OPTIONS_ERROR;
    }
}

enum options_result options_parse(int argc, char **argv, struct options *out)
{
    static const struct option longs[] = {{"listen", required_argument, NULL, 'l'},
                                          {"shards", required_argument, NULL, 's'},
                                          {"log", required_argument, NULL, 'o'},
                                          {"behave", required_argument, NULL, 'b'},
                                          {"limit-log", required_argument, NULL, 'm'},
                                          {"script", required_argument, NULL, 'c'},
                                          {"time-from", required_argument, NULL, 't'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'V'},
                                          {"tls", required_argument, NULL, 'T'},
                                          {NULL, 0, NULL, 0}};
    *out = (struct options){.shards_count = 1};
    int option;
    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        enum options_result res = apply(out, option, optarg);
        if (res != OPTIONS_RUN) return res;
    }
    if (optind < argc) return wrong("argument", argv[optind], "only options are understood");
    if (out->has_behave && out->script && script_has_whole(out->script))
        return wrong("--behave", "and --script", "both say what every request gets");
    if (out->listen_count == 0) {
        fprintf(stderr, "sinker: --listen ADDR:PORT is needed, for example --listen "
                        "127.0.0.1:8080 (see sinker --help)\n");
        return OPTIONS_ERROR;
    }
    return OPTIONS_RUN;
}
