/* tools/hookline/options_table.h - every option of hookline, in one table.
 *
 * A row is all that an option needs to be parsed, checked, read from the environment and from a
 * file, printed and explained; tools/hookline/settings.c then puts its value into struct config.
 *
 *   X(NAME, "name", KIND, DEFAULT, MIN, MAX, GROUP, COMMANDS, "ARG", "help")
 *
 *   NAME     enumerator OPT_NAME; the environment variable is HOOKLINE_NAME
 *   KIND     how a value is read: see enum option_kind in options.h
 *   DEFAULT  text, read as a given one would be; NULL: none
 *   MIN MAX  of COUNT, COUNT_OFF, CORES, SIZE (bytes) and DURATION (ns); of repeatable kinds the
 *            number of items; 0 0 for other kinds
 *   COMMANDS S: send, C: check, T: try, R: report
 *
 * The order is the order of --help and --print-config; a group's rows stand together.
 */
#ifndef TOOLS_HOOKLINE_OPTIONS_TABLE_H
#define TOOLS_HOOKLINE_OPTIONS_TABLE_H

#define OPTION_MS UINT64_C(1000000)
#define OPTION_S  UINT64_C(1000000000)
#define OPTION_H  UINT64_C(3600000000000)
#define OPTION_K  UINT64_C(1024)

#define OPTION_GROUPS(X) \
    X(INPUT, "Input:") \
    X(OUTPUT, "Output:") \
    X(DURABLE, "Durable runs:") \
    X(SPEED, "Speed:") \
    X(ATTEMPTS, "Attempts:") \
    X(HEALTH, "Health of hosts:") \
    X(NETWORK, "Network:") \
    X(TLS, "TLS, for https:") \
    X(SIGNING, "Signing:") \
    X(GENERAL, "General:")

#define OPTIONS_TABLE(X) \
    X(STRICT, "strict", FLAG, "no", 0, 0, INPUT, SC, NULL, \
      "Stop at the first record that is rejected, with exit status 3") \
    X(MAX_RECORD, "max-record", SIZE, "1M", OPTION_K, 256 * OPTION_K * OPTION_K, INPUT, SCT, \
      "SIZE", "Longest line that is taken as a record; a longer one is rejected") \
    X(REJECTS, "rejects", FILE, NULL, 0, 0, INPUT, SC, "FILE", \
      "Write each rejected line here as it came, with its place and the reason") \
    X(KEY_FIELD, "key-field", TEXT, "key", 0, 0, INPUT, SCT, "NAME", \
      "The record's field that says whose quota at the receiver is used") \
    X(RESULTS, "results", FILE, NULL, 0, 0, OUTPUT, S, "FILE", \
      "Write one line of JSON for each record's outcome; - is standard output") \
    X(DEAD_LETTERS, "dead-letters", FILE, NULL, 0, 0, OUTPUT, S, "FILE", \
      "Write the records that were not delivered here as they came: valid input again") \
    X(EVENTS, "events", FILE, NULL, 0, 0, OUTPUT, S, "FILE", \
      "Write one line of JSON for each attempt") \
    X(REDACT, "redact", NAMES, NULL, 1, 32, OUTPUT, ST, "NAME", \
      "Header or JSON field whose value appears in no output (repeatable)") \
    X(PROGRESS, "progress", PROGRESS, "auto", 0, 0, OUTPUT, S, "HOW", \
      "auto, bar, plain or none; auto is a bar on a terminal and plain lines elsewhere") \
    X(STATE, "state", FILE, NULL, 0, 0, DURABLE, S, "DIR", \
      "Keep in this folder what is done and what waits; the same command resumes, after anything") \
    X(SYNC, "sync", SYNC, "group", 0, 0, DURABLE, S, "HOW", \
      "When the state is made safe against power loss: group (every 50 ms or 4,096 records), " \
      "always (each outcome, and that it is about to be sent), none (left to the system)") \
    X(MAX_WAIT, "max-wait", DURATION_OFF, "off", OPTION_MS, 168 * OPTION_H, DURABLE, S, "TIME", \
      "Stop, with exit status 6, when all that is left waits longer than this") \
    X(RUN_TIME, "run-time", DURATION_OFF, "off", OPTION_MS, 8760 * OPTION_H, DURABLE, S, "TIME", \
      "Stop, with exit status 6, after this time") \
    X(SHARDS, "shards", CORES, "cores", 1, 256, SPEED, SC, "N", \
      "Threads, each with its own ring and connections; cores: one for each CPU") \
    X(CONNECTIONS, "connections", COUNT, "4096", 1, 32768, SPEED, SC, "N", \
      "Most connections of one shard") \
    X(HOST_CONNECTIONS, "host-connections", COUNT, "256", 1, 32768, SPEED, SC, "N", \
      "Most connections to one host, over all shards") \
    X(MEMORY, "memory", SIZE, "256M", 16 * OPTION_K * OPTION_K, \
      OPTION_K * OPTION_K * OPTION_K * OPTION_K, SPEED, S, "SIZE", \
      "Most memory for records, requests and answers, over all shards") \
    X(RATE, "rate", RATE, "off", 0, 0, SPEED, SC, "N/UNIT", \
      "Most requests of the whole run, evenly spaced, such as 5000/s, 100000/m or 20/h; off: no " \
      "limit") \
    X(HOST_RATE, "host-rate", RATE, "off", 0, 0, SPEED, SC, "N/UNIT", \
      "The same for each host") \
    X(LIMITS, "limits", FILE, NULL, 0, 0, SPEED, SC, "FILE", \
      "Read limits of single hosts from lines of the form: HOST rate=N/UNIT connections=N") \
    X(DELIVERY, "delivery", DELIVERY, "at-least-once", 0, 0, ATTEMPTS, S, "HOW", \
      "at-least-once, or at-most-once: any answer is final, and tried again is only what was " \
      "surely not sent") \
    X(TIMEOUT, "timeout", DURATION, "90s", OPTION_MS, 24 * OPTION_H, ATTEMPTS, ST, "TIME", \
      "Longest time for one whole attempt") \
    X(DNS_TIMEOUT, "dns-timeout", DURATION, "5s", OPTION_MS, OPTION_H, ATTEMPTS, ST, "TIME", \
      "Longest time to find a name's addresses") \
    X(CONNECT_TIMEOUT, "connect-timeout", DURATION, "10s", OPTION_MS, OPTION_H, ATTEMPTS, ST, \
      "TIME", "Longest time to connect") \
    X(TLS_TIMEOUT, "tls-timeout", DURATION, "10s", OPTION_MS, OPTION_H, ATTEMPTS, ST, "TIME", \
      "Longest time for the TLS handshake after that") \
    X(RETRIES, "retries", COUNT, "5", 0, 100, ATTEMPTS, S, "N", \
      "Most attempts after the first; 0: every failure is final") \
    X(RETRY_WINDOW, "retry-window", DURATION, "30m", OPTION_MS, 168 * OPTION_H, ATTEMPTS, S, \
      "TIME", "No retry begins later than this after the first attempt") \
    X(UNREACHABLE_WINDOW, "unreachable-window", DURATION, "24h", OPTION_MS, 168 * OPTION_H, \
      ATTEMPTS, S, "TIME", "The same for a receiver that could not be reached") \
    X(BACKOFF, "backoff", BACKOFF, "10s,3,15m", 0, 0, ATTEMPTS, S, "BASE,FACTOR,CAP", \
      "Wait BASE before the first retry, then each time FACTOR as long, up to CAP; half of it at " \
      "random") \
    X(UNREACHABLE_BACKOFF, "unreachable-backoff", BACKOFF, "60s,4,6h", 0, 0, ATTEMPTS, S, \
      "BASE,FACTOR,CAP", "The same for a receiver that could not be reached") \
    X(MAX_HINT, "max-hint", DURATION, "1h", OPTION_MS, 168 * OPTION_H, ATTEMPTS, S, "TIME", \
      "Longest wait that a receiver's Retry-After or rate limit fields can ask for") \
    X(RETRY_BUDGET, "retry-budget", BUDGET, "20,10/s", 0, 0, ATTEMPTS, S, "PCT,FLOOR/s", \
      "While more than a tenth of a host's attempts fail, its retries are at most PCT percent of " \
      "its attempts and FLOOR a second beyond that; others wait") \
    X(HEALTH_WINDOW, "health-window", DURATION, "60s", OPTION_S, OPTION_H, HEALTH, S, "TIME", \
      "A host is judged by its attempts within this time") \
    X(HEALTH_RATIO, "health-ratio", COUNT, "50", 1, 100, HEALTH, S, "PCT", \
      "A host is put on hold when more than this share of its attempts failed; 100: never") \
    X(HEALTH_MIN, "health-min", COUNT, "20", 1, 1000000, HEALTH, S, "N", \
      "but not before this many failed") \
    X(COOLDOWN, "cooldown", DURATION, "60s", OPTION_MS, 24 * OPTION_H, HEALTH, S, "TIME", \
      "How long a host on hold gets nothing; half as long again after each failed probe, up to " \
      "10m or this, if it is longer") \
    X(PROBES, "probes", COUNT, "3", 1, 63, HEALTH, S, "N", \
      "Attempts that must succeed after a cooldown before all may follow") \
    X(UNHEALTHY_FAILURES, "unhealthy-failures", COUNT_OFF, "off", 1, 1000000, HEALTH, S, "N", \
      "Put a host on hold also when this many failed within the window, whatever their share") \
    X(ALLOW_NET, "allow-net", NETS, NULL, 1, 64, NETWORK, SCT, "CIDR", \
      "Permit addresses that are refused unless named, such as 127.0.0.0/8 for tests on this " \
      "machine (repeatable)") \
    X(DENY_NET, "deny-net", NETS, NULL, 1, 64, NETWORK, SCT, "CIDR", \
      "Refuse these addresses, whatever --allow-net says (repeatable)") \
    X(PORTS, "ports", PORTS, NULL, 0, 0, NETWORK, SCT, "LIST", \
      "Reject URLs with other ports than these, such as 80,443,8000-8999") \
    X(SOURCE_IP, "source-ip", ADDRS, NULL, 1, 32, NETWORK, ST, "ADDR", \
      "Connect from this address of this machine; several are taken in turn (repeatable)") \
    X(RESOLVE, "resolve", RESOLVE, NULL, 1, 64, NETWORK, SCT, "HOST:PORT:ADDR", \
      "Connect to ADDR when a URL names HOST and PORT (repeatable)") \
    X(DNS_SERVER, "dns-server", SERVERS, NULL, 1, 8, NETWORK, ST, "ADDR[:PORT]", \
      "Ask this server for the addresses of names, in place of those of /etc/resolv.conf " \
      "(repeatable)") \
    X(USER_AGENT, "user-agent", HEADER, "hookline/" HOOKLINE_VERSION, 0, 0, NETWORK, ST, "TEXT", \
      "User-Agent of records that have none of their own") \
    X(CA_FILE, "ca-file", FILE, NULL, 0, 0, TLS, ST, "FILE", \
      "Trust the authorities in this PEM file, and no others; the system's when neither this nor " \
      "--ca-path is given") \
    X(CA_PATH, "ca-path", FILE, NULL, 0, 0, TLS, ST, "DIR", \
      "Trust the authorities in the PEM files of this folder") \
    X(TLS_MIN, "tls-min", TLS_MIN, "1.2", 0, 0, TLS, ST, "VERSION", \
      "Oldest version of TLS to speak, 1.2 or 1.3") \
    X(CLIENT_CERT, "client-cert", FILE, NULL, 0, 0, TLS, ST, "FILE", \
      "Show this certificate, with its chain in PEM, to a receiver that asks for one") \
    X(CLIENT_KEY, "client-key", FILE, NULL, 0, 0, TLS, ST, "FILE", \
      "The key of --client-cert, in PEM") \
    X(INSECURE, "insecure", FLAG, "no", 0, 0, TLS, ST, NULL, \
      "Verify nothing: anyone on the way can read and change what is sent. For tests only") \
    X(IDEMPOTENCY_KEY, "idempotency-key", FLAG, "no", 0, 0, SIGNING, ST, NULL, \
      "Send each record's id as Idempotency-Key, the same on every attempt") \
    X(SIGN_SECRET_FILE, "sign-secret-file", FILE, NULL, 0, 0, SIGNING, ST, "FILE", \
      "Sign every request by Standard Webhooks with the secrets of FILE, one on a line: " \
      "whsec_... (HMAC) or whsk_... (ed25519); HOOKLINE_SIGN_SECRET can hold secrets as well") \
    X(JSON, "json", FLAG, "no", 0, 0, GENERAL, R, NULL, "Report as one JSON object") \
    X(HTML, "html", FILE, NULL, 0, 0, GENERAL, R, "FILE", \
      "Write the report to FILE as one page with plots that needs nothing else; - for standard " \
      "output") \
    X(CONFIG, "config", FILE, NULL, 0, 0, GENERAL, SCT, "FILE", \
      "Read options from lines of the form: name = value") \
    X(PRINT_CONFIG, "print-config", FLAG, "no", 0, 0, GENERAL, SCT, NULL, \
      "Print every effective value and where it came from, and end")

#endif
