/* tests/unit/test_hints.c - goal: every field and every format of a hint is read as meant; nonsense
 * is counted and has no effect; the answer's own Date is the clock.
 *
 * Method: a table of heads, each with what they come to, written out by render() below:
 *   R retry-after, L limit, N remaining, T reset/step, W window (seconds), ! fields ignored
 * Our own clock stands at WALL, and no hint is longer than an hour.
 */
#include "core/http/hints.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COUNT(table) (sizeof table / sizeof table[0])
#define NS           UINT64_C(1000000000)
#define WALL         (1795255200 * NS) /* 2026-11-21T10:00:00Z */
#define HOUR         (3600 * NS)

struct row {
    const char *head; /* field lines */
    const char *want;
};

/* The receiver's clock is far from ours. */
#define DATE "Date: Tue, 14 Nov 2023 22:13:20 GMT\n" /* 1700000000 */

static const struct row plain[] = {
    {"", ""},
    {"Server: x\nContent-Length: 5\n", ""},
    {DATE, ""},

    /* Retry-After: delta seconds and dates. */
    {"Retry-After: 30\n", "R30"},
    {"retry-after: 30\n", "R30"},
    {"RETRY-AFTER: 0\n", "R0"},
    {"Retry-After: 0.5\n", "R0.5"},
    {"Retry-After: 1.0000000019\n", "R1.000000001"},
    {"Retry-After: 0007\n", "R7"},
    {"Retry-After: 3600\n", "R3600"},
    {"Retry-After: 3601\n", "R3600"},
    {"Retry-After: 999999999\n", "R3600"},
    {"Retry-After: Sat, 21 Nov 2026 10:00:30 GMT\n", "R30"},
    {"Retry-After: Saturday, 21-Nov-26 10:00:30 GMT\n", "R30"},
    {"Retry-After: Sat Nov 21 10:00:30 2026\n", "R30"},
    {"Retry-After: Sat, 21 Nov 2026 09:59:59 GMT\n", "R0"},
    {"Retry-After: Thu, 01 Jan 1970 00:00:00 GMT\n", "R0"},
    {"Retry-After: Sun, 06 Nov 1960 08:49:37 GMT\n", "R0"},
    {"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\n", "R3600"},
    {"Retry-After: 1m30s\n", "R90"},

    /* The three spellings, in any case. */
    {"X-Rate-Limit-Limit: 100\nX-Rate-Limit-Remaining: 50\nX-Rate-Limit-Reset: 5\n",
     "L100 N50 T5/1"},
    {"X-RateLimit-Limit: 100\nX-RateLimit-Remaining: 50\nX-RateLimit-Reset: 5\n", "L100 N50 T5/1"},
    {"RateLimit-Limit: 100\nRateLimit-Remaining: 50\nRateLimit-Reset: 5\n", "L100 N50 T5/1"},
    {"x-ratelimit-limit: 100\nX-RATELIMIT-REMAINING: 0\nX-Ratelimit-Reset: 0\n", "L100 N0 T0/1"},
    {"X-RateLimit-Remaining: 599.0\n", "N599"},
    {"X-RateLimit-Remaining: 0.9\n", "N0"},
    {"X-RateLimit-Limit: 999999999999999\n", "L999999999999999"},

    /* Names that are none of them. */
    {"X-RateLimit-Used: 5\nX-RateLimit-: 5\nX-RateLimit: 5\nX-RateLimit-Resets: 5\n", ""},
    {"X-RateLimit-Limit-Requests: 5\nXX-RateLimit-Limit: 5\nX_RateLimit_Limit: 5\n", ""},
    {"Retry-After-Ms: 5\nRateLimits: 5\nRateLimit-: 5\nRetry_After: 5\nX-Rate-Limit: 5\n", ""},

    /* Resets in every format. */
    {"X-RateLimit-Reset: 2.5\n", "T2.5/0.1"},
    {"X-RateLimit-Reset: 0.020\n", "T0.02/0.001"},
    {"X-RateLimit-Reset: 1000000000\n", "T3600/1"},
    {"X-RateLimit-Reset: 1000000000.1\n", "T0/0.1"},
    {"X-RateLimit-Reset: 1795255205\n", "T5/1"},
    {"X-RateLimit-Reset: 1795255205.250\n", "T5.25/0.001"},
    {"X-RateLimit-Reset: 1795255205250\n", "T5.25/0.001"},
    {"X-RateLimit-Reset: 1795255205250.5\n", "T5.2505/0.0001"},
    {"X-RateLimit-Reset: 1795255205250.123456789\n", "T5.250123456/1e-09"},
    {"X-RateLimit-Reset: 1795255200\n", "T0/1"},
    {"X-RateLimit-Reset: 1700000000\n", "T0/1"},
    {"X-RateLimit-Reset: 1700000000000\n", "T0/0.001"},
    {"X-RateLimit-Reset: 100000000001\n", "T0/0.001"},
    {"X-RateLimit-Reset: 9000000000\n", "T3600/1"},
    {"X-RateLimit-Reset: 1m30s\n", "T90/1"},
    {"X-RateLimit-Reset: 20ms\n", "T0.02/0.001"},
    {"X-RateLimit-Reset: 6m0s\n", "T360/1"},
    {"X-RateLimit-Reset: 2h\n", "T3600/1"},
    {"X-RateLimit-Reset: PT1M30S\n", "T90/1"},
    {"X-RateLimit-Reset: Sat, 21 Nov 2026 10:00:30 GMT\n", "T30/1"},
    {"X-RateLimit-Reset: 2026-11-21T10:00:30Z\n", "T30/1"},
    {"X-RateLimit-Reset: 2026-11-21T11:00:30.5+01:00\n", "T30.5/0.1"},
    {"X-RateLimit-Reset: 2026-01-01T00:00:00Z\n", "T0/1"},
    {"X-RateLimit-Reset: 1960-01-01T00:00:00Z\n", "T0/1"},

    /* The answer's Date is the clock of what is an epoch, and of nothing else. */
    {DATE "X-RateLimit-Reset: 1700000005\n", "T5/1"},
    {"X-RateLimit-Reset: 1700000005\n" DATE, "T5/1"},
    {DATE "X-RateLimit-Reset: 1700000005.25\n", "T5.25/1"},
    {DATE "X-RateLimit-Reset: 1700000005250\n", "T5.25/1"},
    {DATE "X-RateLimit-Reset: 1699999999\n", "T0/1"},
    {DATE "X-RateLimit-Reset: 1795255205\n", "T3600/1"},
    {DATE "X-RateLimit-Reset: 2023-11-14T22:13:25.5Z\n", "T5.5/1"},
    {DATE "X-RateLimit-Reset: 20ms\n", "T0.02/0.001"},
    {DATE "X-RateLimit-Reset: 5\n", "T5/1"},
    {DATE "Retry-After: Tue, 14 Nov 2023 22:13:50 GMT\n", "R30"},
    {DATE "Retry-After: 7\n", "R7"},
    {DATE "Date: Tue, 14 Nov 2023 22:13:19 GMT\nX-RateLimit-Reset: 1700000005\n", "T5/1"},
    {"Date: Tuesday, 14-Nov-23 22:13:20 GMT\nX-RateLimit-Reset: 1700000005\n", "T5/1"},
    {"Date: Tue Nov 14 22:13:20 2023\nX-RateLimit-Reset: 1700000005\n", "T5/1"},
    {"Date: \nX-RateLimit-Reset: 1795255205\n", "T5/1"},
    {"Date: now\nX-RateLimit-Reset: 1795255205\n", "T5/1"},
    {"Date: Thu, 01 Jan 1970 00:00:00 GMT\nX-RateLimit-Reset: 1795255205\n", "T5/1"},
    {"Date: Wednesday, 14-Nov-2023 22:13:20 GMT and more\nX-RateLimit-Reset: 1795255205\n", "T5/1"},

    /* Several at once. */
    {DATE "Retry-After: 7\nX-RateLimit-Limit: 10\nX-RateLimit-Remaining: 0\n"
          "X-RateLimit-Reset: 1700000030\n",
     "R7 L10 N0 T30/1"},
    {"X-RateLimit-Limit: 10\nX-RateLimit-Remaining: 4\nX-RateLimit-Reset: 1795255230\n"
     "RateLimit-Limit: 10\nRateLimit-Remaining: 4\nRateLimit-Reset: 29\n",
     "L10 N4 T29/1"},
    {"X-RateLimit-Limit: 10\nX-RateLimit-Remaining: 3\nX-RateLimit-Reset: 11\n"
     "RateLimit-Limit: 99\nRateLimit-Remaining: 4\nRateLimit-Reset: 29\n",
     "L10 N3 T11/1"},
    {"X-RateLimit-Remaining: 3\nRateLimit-Limit: 99\nRateLimit-Reset: 29\n", "L99 N3 T29/1"},
    {"X-Rate-Limit-Reset: 3\nX-RateLimit-Reset: 4\n", "T4/1"},
};

static const struct row nonsense[] = {
    {"Retry-After: \n", "!1"},
    {"Retry-After: -1\n", "!1"},
    {"Retry-After: +1\n", "!1"},
    {"Retry-After: -0\n", "!1"},
    {"Retry-After: NaN\n", "!1"},
    {"Retry-After: nan\n", "!1"},
    {"Retry-After: inf\n", "!1"},
    {"Retry-After: Infinity\n", "!1"},
    {"Retry-After: 0x10\n", "!1"},
    {"Retry-After: 1e3\n", "!1"},
    {"Retry-After: 1.\n", "!1"},
    {"Retry-After: .5\n", "!1"},
    {"Retry-After: 1,5\n", "!1"},
    {"Retry-After: 5, 5\n", "!1"},
    {"Retry-After: 5;x\n", "!1"},
    {"Retry-After: 1 0\n", "!1"},
    {"Retry-After: \"5\"\n", "!1"},
    {"Retry-After: soon\n", "!1"},
    {"Retry-After: 18446744073709551615\n", "!1"},
    {"Retry-After: 18446744073709551616\n", "!1"},
    {"Retry-After: 18446744073709\n", "!1"},
    {"Retry-After: 18446744074\n", "!1"},
    {"Retry-After: 18446744072\n", "R3600"},
    {"Retry-After: 18446744073708\n", "R3600"},
    {"Retry-After: 99999999999999999999999999999999999999999999999999\n", "!1"},
    {"Retry-After: Tue, 32 Nov 2023 22:13:20 GMT\n", "!1"},
    {"Retry-After: 2026-11-21\n", "!1"},
    {"X-RateLimit-Limit: \nX-RateLimit-Remaining: \nX-RateLimit-Reset: \n", "!3"},
    {"X-RateLimit-Limit: -1\nX-RateLimit-Remaining: -1\nX-RateLimit-Reset: -1\n", "!3"},
    {"X-RateLimit-Limit: 1e9\nX-RateLimit-Remaining: 0x0\nX-RateLimit-Reset: 0x5\n", "!3"},
    {"X-RateLimit-Limit: 1000000000000000\nX-RateLimit-Remaining: 18446744073709551616\n", "!2"},
    {"X-RateLimit-Remaining: 1m30s\n", "!1"},
    {"X-RateLimit-Remaining: 5, 5\nX-RateLimit-Reset: 5, 5\n", "!2"},
    {"X-RateLimit-Remaining: 5;w=60\n", "!1"},
    {"X-RateLimit-Limit: unlimited\nX-RateLimit-Remaining: 7\n", "N7 !1"},

    /* Repetitions. */
    {"Retry-After: 5\nRetry-After: 5\n", "R5"},
    {"Retry-After: 5\nRetry-After: 5.0\nretry-after: 5s\n", "R5"},
    {"Retry-After: 5\nRetry-After: 7\n", "R7 !1"},
    {"Retry-After: 7\nRetry-After: 5\n", "R7 !1"},
    {"Retry-After: 7\nRetry-After: x\n", "R7 !1"},
    {DATE "Retry-After: 7\nRetry-After: Tue, 14 Nov 2023 22:13:25 GMT\n", "R7"},
    {DATE "Retry-After: 7\nRetry-After: Tue, 14 Nov 2023 22:13:29 GMT\n", "R9"},
    {"X-RateLimit-Remaining: 5\nX-RateLimit-Remaining: 5\n", "N5"},
    {"X-RateLimit-Remaining: 5\nX-RateLimit-Remaining: 3\n", "N3 !1"},
    {"X-RateLimit-Remaining: 3\nX-RateLimit-Remaining: 5\n", "N3 !1"},
    {"X-RateLimit-Reset: 5\nX-RateLimit-Reset: 3\n", "T5/1 !1"},
    {"X-RateLimit-Reset: 1795255205\nX-RateLimit-Reset: 1795255209\n", "T9/1 !1"},
    {"X-RateLimit-Limit: 50\nX-RateLimit-Limit: 30\nX-RateLimit-Limit: 40\n", "L30 !2"},
};

static const struct row structured[] = {
    {"RateLimit: \"default\";r=50;t=30\n", "N50 T30/1"},
    {"ratelimit: default;r=50;t=30\n", "N50 T30/1"},
    {"RateLimit: \"default\"; r=50; t=30; pk=:cHJk:\n", "N50 T30/1"},
    {"RateLimit: \"default\";r=50\n", "N50"},
    {"RateLimit: \"default\";r=0;t=0.250\n", "N0 T0.25/0.001"},
    {"RateLimit: \"default\";r=50;t=30;r=40\n", "N40 T30/1"},
    {"RateLimit: \"default\";r=50;t=9999999\n", "N50 T3600/1"},
    {"RateLimit: \"default\";r=50;t=1795255205\n", "N50 T3600/1"},

    /* The tightest item: the smallest r, then the longest t. */
    {"RateLimit: \"a\";r=50;t=30, \"b\";r=5;t=7\n", "N5 T7/1"},
    {"RateLimit: \"a\";r=5;t=30, \"b\";r=50;t=7\n", "N5 T30/1"},
    {"RateLimit: \"a\";r=5;t=30, \"b\";r=5;t=70, \"c\";r=5\n", "N5 T70/1"},
    {"RateLimit: \"a\";r=50;t=30\nRateLimit: \"b\";r=5;t=7\n", "N5 T7/1"},
    {"RateLimit: \"a\";r=50;t=30, \"a\";r=5;t=7, \"a\";r=9\n", "N5 T7/1"},
    {"RateLimit: b;r=9;t=9, a;r=1, a;r=2, a;r=3, a;r=4\n"
     "RateLimit-Policy: a;q=9;qu=\"bytes\"\n",
     "N9 T9/1"},
    {"RateLimit: a;r=9;t=1,b;r=8;t=2,c;r=7;t=3,d;r=6;t=4,e;r=5;t=5,f;r=9\n", "N5 T5/1"},
    {"RateLimit: a;r=9;t=1,b;r=8;t=2,c;r=7;t=3,d;r=6;t=4,e;r=5;t=5,f;r=9\n"
     "RateLimit-Policy: e;q=1;qu=\"content-bytes\"\n",
     "N6 T4/1"},

    /* Policies, by name. */
    {"RateLimit-Policy: \"default\";q=100;w=60\n", "L100 W60"},
    {"RateLimit-Policy: \"default\";q=100\n", "L100"},
    {"RateLimit-Policy: \"default\";q=100;w=0.5\n", "L100 W0.5"},
    {"RateLimit-Policy: \"default\";q=100;w=7200\n", "L100 W7200"},
    {"RateLimit-Policy: \"default\";q=100;w=18446744073\n", "L100 W4.61168602e+09"},
    {"RateLimit: \"default\";r=50;t=30\nRateLimit-Policy: \"default\";q=100;w=60\n",
     "L100 N50 T30/1 W60"},
    {"RateLimit-Policy: \"default\";q=100;w=60\nRateLimit: default;r=50;t=30\n",
     "L100 N50 T30/1 W60"},
    {"RateLimit-Policy: \"a\";q=100;w=60, \"b\";q=1000;w=3600\nRateLimit: \"a\";r=5;t=3\n",
     "L100 N5 T3/1 W60"},
    {"RateLimit-Policy: \"a\";q=100;w=60\nRateLimit-Policy: \"b\";q=1000;w=3600\n"
     "RateLimit: \"a\";r=50;t=3,\"b\";r=5;t=700\n",
     "L1000 N5 T700/1 W3600"},
    {"RateLimit-Policy: \"a\";q=100;w=60\nRateLimit: \"b\";r=5;t=3\n", "N5 T3/1"},
    {"RateLimit-Policy: \"x\\\"y\";q=100;w=60\nRateLimit: \"x\\\"y\";r=5;t=3\n",
     "L100 N5 T3/1 W60"},
    {"RateLimit-Policy: \"a\";q=10;w=1, \"b\";q=1000;w=3600, \"c\";q=1\n", "L1000 W3600"},
    {"RateLimit-Policy: \"a\";q=10;w=1,\"a\";q=10;w=1,a;q=10;w=1,b;q=2,c;q=3,d;q=4\n", "L10 W1"},
    {"RateLimit-Policy: a;q=1,b;q=2,c;q=3,d;q=4,e;q=5\n", "L1 !1"},

    /* A quota of something other than requests says nothing about their pace. */
    {"RateLimit: \"a\";r=5;t=3,\"b\";r=50;t=4\n"
     "RateLimit-Policy: \"a\";q=100;w=60;qu=\"content-bytes\", \"b\";q=70;w=9;qu=\"requests\"\n",
     "L70 N50 T4/1 W9"},
    {"RateLimit: \"a\";r=5;t=3\nRateLimit-Policy: \"a\";q=100;w=60;qu=\"content-bytes\"\n", ""},
    {"RateLimit-Policy: \"a\";q=100;w=60;qu=\"content-bytes\"\n", ""},
    {"RateLimit-Policy: \"a\";q=100;w=60;qu=5\n", ""},

    /* With the plain fields: what fits together stays together. */
    {"RateLimit: \"a\";r=5;t=3\nX-RateLimit-Remaining: 5\nX-RateLimit-Reset: 60\n", "N5 T3/1"},
    {"X-RateLimit-Limit: 9\nX-RateLimit-Remaining: 5\nX-RateLimit-Reset: 60\n"
     "RateLimit: \"a\";r=6;t=3\n",
     "L9 N5 T60/1"},
    {"RateLimit: \"a\";r=5\nX-RateLimit-Reset: 60\n", "N5 T60/1"},
    {"RateLimit-Remaining: 5\nRateLimit-Reset: 6\nRateLimit-Policy: 100;w=60\n",
     "L100 N5 T6/1 W60"},

    /* The drafts up to 7. */
    {"RateLimit-Limit: 100, 100;w=60\nRateLimit-Remaining: 5\n", "L100 N5 W60"},
    {"RateLimit-Limit: 10, 10;w=1, 1000;w=3600\n", "L10 W1"},
    {"X-RateLimit-Limit: 10, 10;w=60;name=\"foo\"\n", "L10 W60"},
    {"X-RateLimit-Limit: 10;w=60\n", "L10 W60"},
    {"X-RateLimit-Limit: 10, 10\n", "L10"},
    {"X-RateLimit-Limit: 10, 10;w=1\nRateLimit-Limit: 10, 10;w=1\n", "L10 W1"},
    {"RateLimit-Limit: 100\nRateLimit-Policy: 10;w=1, 100;w=60\n", "L100 W60"},
    {"RateLimit-Policy: 10;w=1, 100;w=60\n", "L100 W60"},
    {"RateLimit: limit=100, remaining=50, reset=5\n", "L100 N50 T5/1"},
    {"RateLimit: limit=100, remaining=50, reset=5\nRateLimit-Policy: 100;w=60\n",
     "L100 N50 T5/1 W60"},
    {"RateLimit: remaining=50\n", "N50"},
    {"RateLimit: limit=100, remaining=50;x, reset=5, y=(1 2);z\n", "L100 N50 T5/1"},

    /* Nonsense in them. */
    {"RateLimit: \n", "!1"},
    {"RateLimit: 50\n", "!1"},
    {"RateLimit: \"default\"\n", "!1"},
    {"RateLimit: \"default\";r=-1;t=30\n", "!1"},
    {"RateLimit: \"default\";r=1.5;t=30\n", "!1"},
    {"RateLimit: \"default\";r;t=30\n", "!1"},
    {"RateLimit: \"default\";r=\"5\";t=30\n", "!1"},
    {"RateLimit: \"default\";r=5;t=-30\n", "N5 !1"},
    {"RateLimit: \"default\";r=5;t=999999999999999\n", "N5 !1"},
    {"RateLimit: \"default\";r=5;t=@30\n", "N5 !1"},
    {"RateLimit: \"default\";r=1000000000000000;t=30\n", "!1"},
    {"RateLimit: \"a\", \"b\";r=5;t=3\n", "N5 T3/1 !1"},
    {"RateLimit: (\"a\";r=1;t=9);r=1;t=9, \"b\";r=5;t=3\n", "N5 T3/1 !1"},
    {"RateLimit: limit=100, reset=5\n", "!1"},
    {"RateLimit: limit=100, remaining=-50, reset=5\n", "!1"},
    {"RateLimit: limit=x, remaining=50, reset=?1\n", "N50 !1"},
    {"RateLimit: limit=(5), remaining=50, reset=(1)\n", "N50 !1"},
    {"RateLimit-Policy: \n", "!1"},
    {"RateLimit-Policy: \"a\";w=60\n", "!1"},
    {"RateLimit-Policy: \"a\";q=-5;w=60\n", "!1"},
    {"RateLimit-Policy: \"a\";q=5;w=-60\n", "!1"},
    {"RateLimit-Policy: \"a\";q=5;w=99999999999\n", "!1"},
    {"RateLimit-Policy: ?1, (5;w=6);w=7, \"a\";q=5;w=6\n", "L5 W6 !1"},
    {"X-RateLimit-Limit: 10, 20\n", "!1"},
    {"X-RateLimit-Limit: 10, \"a\";q=10;w=1\n", "!1"},
    {"X-RateLimit-Limit: 10, 10;w=-1\n", "!1"},
    {"X-RateLimit-Limit: 10,\n", "!1"},
    {"X-RateLimit-Limit: 10, (10)\n", "!1"},
    {"X-RateLimit-Limit: 10, 10;w=1, 10;w=2, 10;w=3, 10;w=4, 10;w=5\n", "L10 W4 !1"},
    {"X-RateLimit-Limit: 20\nX-RateLimit-Limit: 10, 10;w=1\n", "L10 W1 !1"},

    /* One line that breaks the rules spoils the field, and no other. */
    {"RateLimit: \"a\";r=5;t=3,\n", "!1"},
    {"RateLimit: \"a\";r=5;t=3, \"b\n", "!1"},
    {"RateLimit: \"a\";r=5;t=3\nRateLimit: \"b\n", "!1"},
    {"RateLimit: \"b\nRateLimit: \"a\";r=5;t=3\nX-RateLimit-Reset: 4\n", "T4/1 !1"},
    {"RateLimit: limit=1, remaining=5, reset=3,\n", "!1"},
    {"RateLimit-Policy: \"a\";q=5\nRateLimit-Policy: \"a\n", "!1"},
    {"RateLimit-Policy: \"a\nRateLimit-Policy: \"a\";q=5\nRateLimit: \"a\";r=5;t=3\n",
     "N5 T3/1 !1"},
};

/* ---- Reading a head. ---- */

static struct hint read_head(struct hints *h, const char *head)
{
    struct hint hint;
    memset(h, 0xa5, sizeof *h); /* hints_init() must not need zeroes */
    hints_init(h);
    for (const char *line = head; *line != '\0';) {
        const char *colon = strchr(line, ':'), *end = strchr(line, '\n');
        cr_assert(colon != NULL && end != NULL && colon + 1 < end && colon[1] == ' ', "%s", head);
        /* Of its very size, so that the address sanitizer sees a read beyond it. */
        char *name = strndup(line, (size_t)(colon - line));
        size_t len = (size_t)(end - (colon + 2));
        char *value = malloc(len);
        memcpy(value, colon + 2, len);
        struct span span = span_of(name, strlen(name));
        struct hints before = *h;
        hints_field(h, span, span_of(value, len));
        cr_assert(hints_wants(span) || memcmp(&before, h, sizeof before) == 0, "%s", name);
        free(name);
        free(value);
        line = end + 1;
    }
    memset(&hint, 0x5a, sizeof hint);
    hints_resolve(h, WALL, HOUR, &hint);
    return hint;
}

static void put(char *text, size_t size, const char *format, double a, double b)
{
    size_t len = strlen(text);
    if (len > 0) {
        cr_assert(len + 1 < size);
        text[len++] = ' ';
    }
    cr_assert(snprintf(text + len, size - len, format, a, b) < (int)(size - len));
}

static double seconds(uint64_t ns) { return (double)ns / 1e9; }

static void render(char *text, size_t size, const struct hints *h, const struct hint *t)
{
    *text = '\0';
    if (t->has_retry_after) put(text, size, "R%.10g", seconds(t->retry_after_ns), 0);
    if (t->has_limit) put(text, size, "L%.15g", (double)t->limit, 0);
    if (t->has_remaining) put(text, size, "N%.15g", (double)t->remaining, 0);
    if (t->has_reset) {
        put(text, size, "T%.10g/%.9g", seconds(t->reset_ns), seconds(t->reset_step_ns));
    }
    if (t->window_ns > 0) put(text, size, "W%.9g", seconds(t->window_ns), 0);
    if (h->ignored > 0) put(text, size, "!%g", h->ignored, 0);
}

static void expect_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct hints h;
        char text[256];
        struct hint hint = read_head(&h, rows[i].head);
        render(text, sizeof text, &h, &hint);
        cr_expect_str_eq(text, rows[i].want, "%s: %s, want %s", rows[i].head, text, rows[i].want);
        if (rows[i].want[0] != '\0') cr_expect(h.any, "%s", rows[i].head);
    }
}

Test(hints, plain) { expect_rows(plain, COUNT(plain)); }
Test(hints, nonsense) { expect_rows(nonsense, COUNT(nonsense)); }
Test(hints, structured) { expect_rows(structured, COUNT(structured)); }

/* All fields but one in each of the many fields of an ordinary answer are let pass unread. */
Test(hints, wanted)
{
    static const char *const wanted[] = {"Date",
                                         "date",
                                         "Retry-After",
                                         "RateLimit",
                                         "RateLimit-Policy",
                                         "RateLimit-Limit",
                                         "RATELIMIT-REMAINING",
                                         "ratelimit-reset",
                                         "X-RateLimit-Limit",
                                         "x-ratelimit-remaining",
                                         "X-RateLimit-Reset",
                                         "X-Rate-Limit-Limit",
                                         "X-Rate-Limit-Remaining",
                                         "x-rate-limit-reset"};
    static const char *const others[] = {"X",
                                         "R",
                                         "Server",
                                         "Content-Type",
                                         "Content-Length",
                                         "Connection",
                                         "X-Request-Id",
                                         "X-Powered-By",
                                         "X-Content-Type-Options",
                                         "Referrer-Policy",
                                         "Retry-Afterx",
                                         "Dat",
                                         "Data",
                                         "Dates",
                                         "Rate"};
    for (size_t i = 0; i < COUNT(wanted); i++) {
        cr_expect(hints_wants(span_of(wanted[i], strlen(wanted[i]))), "%s", wanted[i]);
    }
    for (size_t i = 0; i < COUNT(others); i++) {
        cr_expect_not(hints_wants(span_of(others[i], strlen(others[i]))), "%s", others[i]);
    }
}

/* A Date alone is no hint: nothing more of the struct is touched. */
Test(hints, any)
{
    struct hints h;
    (void)read_head(&h, DATE "Server: x\n");
    cr_expect_not(h.any);
    (void)read_head(&h, "Retry-After: x\n");
    cr_expect(h.any);
    struct hints zeroed = {0};
    struct hint hint;
    hints_resolve(&zeroed, WALL, HOUR, &hint);
    cr_expect_not(hint.has_retry_after || hint.has_limit || hint.has_remaining || hint.has_reset);
    hints_field(&zeroed, SPAN_LIT("Retry-After"), SPAN_LIT("4"));
    hints_resolve(&zeroed, WALL, HOUR, &hint);
    cr_expect(hint.has_retry_after && hint.retry_after_ns == 4 * NS);
}

Test(hints, ignored_stays_at_255)
{
    struct hints h = {0};
    for (int i = 1; i <= 300; i++) {
        hints_field(&h, SPAN_LIT("Retry-After"), SPAN_LIT("x"));
        cr_assert(h.ignored == (i < 255 ? i : 255));
    }
}

Test(hints, cut)
{
    struct hints h = {0};
    struct hint hint;
    hints_field_cut(&h, SPAN_LIT("Date"));
    hints_field_cut(&h, SPAN_LIT("Server"));
    cr_expect_not(h.any);
    hints_field(&h, SPAN_LIT("RateLimit"), SPAN_LIT("a;r=5;t=3"));
    hints_field(&h, SPAN_LIT("RateLimit-Policy"), SPAN_LIT("a;q=7;w=3"));
    hints_field(&h, SPAN_LIT("X-RateLimit-Remaining"), SPAN_LIT("9"));
    hints_field_cut(&h, SPAN_LIT("X-RateLimit-Remaining"));
    hints_resolve(&h, WALL, HOUR, &hint);
    cr_expect(hint.remaining == 5 && hint.limit == 7);
    hints_field_cut(&h, SPAN_LIT("ratelimit"));
    hints_resolve(&h, WALL, HOUR, &hint);
    cr_expect(hint.remaining == 9 && hint.limit == 7 && !hint.has_reset);
    hints_field_cut(&h, SPAN_LIT("RateLimit-Policy"));
    hints_resolve(&h, WALL, HOUR, &hint);
    cr_expect(hint.remaining == 9 && !hint.has_limit);
    cr_expect(h.ignored == 3);
}

/* The longest wait is the caller's to say, and nothing overflows on the way there. */
Test(hints, at_most)
{
    static const uint64_t most[] = {0, 1, 5 * NS, UINT64_MAX};
    static const char head[] = "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\n"
                               "X-RateLimit-Reset: 18446744073708\n";
    struct hints h;
    struct hint hint = read_head(&h, head);
    for (size_t i = 0; i < COUNT(most); i++) {
        hints_resolve(&h, 0, most[i], &hint);
        cr_expect(hint.has_retry_after && hint.retry_after_ns == most[i]);
        uint64_t reset = UINT64_C(18446744073708000000);
        cr_expect(hint.has_reset && hint.reset_ns == (reset < most[i] ? reset : most[i]));
        hints_resolve(&h, UINT64_MAX, most[i], &hint);
        cr_expect(hint.retry_after_ns == 0 && hint.reset_ns == 0);
    }
}
