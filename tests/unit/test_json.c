/* tests/unit/test_json.c - goal: exactly the texts of RFC 8259 pass, on each of simdjson's kernels,
 * as a text of their own and inside a record's body, whatever follows them in memory.
 *
 * Method: a list of texts in the manner of JSONTestSuite; strings of every length around the
 * kernels' block sizes, and the same with their ends cut off.
 */
#include "core/input/json.h"
#include "core/input/record.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define U           "\"url\":\"http://h/\""

static struct record rec;
static struct reject why;

static struct record_parser *parser(void)
{
    struct record_rules rules = {.record_bytes_max = 4096};
    struct record_parser *p = record_parser_new(&rules);
    cr_assert_not_null(p);
    return p;
}

/* Behind the line the same goes on, so that what reads on finds something that fits. */
static enum record_status parse(struct record_parser *p, const char *line, size_t len)
{
    static char buffer[4096 + RECORD_PADDING];
    memcpy(buffer, line, len);
    for (size_t i = 0; i < RECORD_PADDING; i++) buffer[len + i] = i % 2 != 0 ? '"' : '}';
    return record_parse(p, span_of(buffer, len), &rec, &why);
}

/* Criterion gives every test a process of its own, so each may choose simdjson's kernel anew. */
static bool use_kernel(const char *name)
{
    setenv("SIMDJSON_FORCE_IMPLEMENTATION", name, 1);
    return strcmp(json_backend(), name) == 0;
}

static const struct {
    const char *text;
    bool valid;
} json_rows[] = {
    {"{}", true},
    {"[]", true},
    {"[[]]", true},
    {"0", true},
    {"-0", true},
    {"-0.0e-0", true},
    {"\"\"", true},
    {"\"\\u0000\"", true},
    {"\"\x7f\"", true},
    {"[1,2]", true},
    {" [ ] ", true},
    {"{\"a\":{\"b\":[{}]}}", true},
    {"[1E9,1e+9,1e-9,10.01]", true},
    {"[\"\\\\\"]", true},
    {"[\"\\\"\"]", true},
    {"[true,false,null]", true},
    {"\"\xf4\x8f\xbf\xbf\"", true},
    {"[\"\\ud800\"]", true},
    {"123456789012345678901234567890.123456789e999", true},
    {"", false},
    {" ", false},
    {"[", false},
    {"]", false},
    {"{", false},
    {"}", false},
    {"[1,]", false},
    {"[,1]", false},
    {"[1,,2]", false},
    {"[1 2]", false},
    {"[1:2]", false},
    {"{\"a\"}", false},
    {"{\"a\":}", false},
    {"{\"a\":1,}", false},
    {"{a:1}", false},
    {"{\"a\":1 \"b\":2}", false},
    {"{1:1}", false},
    {"{\"a\":1]", false},
    {"[1}", false},
    {"[01]", false},
    {"[1.]", false},
    {"[.1]", false},
    {"[-]", false},
    {"[+1]", false},
    {"[1e]", false},
    {"[1e+]", false},
    {"[0x1]", false},
    {"[1a]", false},
    {"[--1]", false},
    {"[1.2.3]", false},
    {"[1e2e3]", false},
    {"[- 1]", false},
    {"[NaN]", false},
    {"[Infinity]", false},
    {"[tru]", false},
    {"[truee]", false},
    {"[TRUE]", false},
    {"[nul]", false},
    {"[falsey]", false},
    {"[\"a\"b]", false},
    {"[\"a\" \"b\"]", false},
    {"['a']", false},
    {"[\"\\x00\"]", false},
    {"[\"\\u00\"]", false},
    {"[\"\\u00zz\"]", false},
    {"[\"\\U0000\"]", false},
    {"[\"\t\"]", false},
    {"[\"\x01\"]", false},
    {"[\"\xff\"]", false},
    {"[\"\xe2\x82\"]", false},
    {"[\xff]", false},
    {"[1\f]", false},
    {"[1\v,2]", false},
    {"[1\x1a"
     "2]",
     false},
    {"[1\x0c"
     "2]",
     false},
    {"{\"a\"\x1a"
     "1}",
     false},
    {"[]\xc2\xa0", false},
    {"[1]]", false},
    {"{}}", false},
    {"[][]", false},
    {"{}{}", false},
    {"1 2", false},
    {"\\\"a\"", false},
    {"[\\\"]", false},
    {"/**/[]", false},
    {"[]//", false},
    {"\"", false},
    {"\"\\\"", false},
    {"[\"\\\"]", false},
    {"\xef\xbb\xbf{}", false},
    {"[\xe2\x80\xa8]", false},
};

static void expect_json(void)
{
    struct json *j = json_new(4096);
    struct record_parser *p = parser();
    cr_assert_not_null(j);
    for (size_t i = 0; i < COUNT_OF(json_rows); i++) {
        const char *text = json_rows[i].text;
        size_t len = strlen(text);
        char copy[128], line[256];
        memset(copy, '7', sizeof copy); /* goes on as if it were a number */
        memcpy(copy, text, len);
        cr_assert_eq(json_valid(j, span_of(copy, len)), json_rows[i].valid, "%s: %s",
                     json_backend(), text);
        /* The same as a part of a body. */
        snprintf(line, sizeof line, "{" U ",\"body\":{\"k\":[%s]}}", text);
        bool empty = strspn(text, " ") == len; /* "[ ]" is fine */
        bool as_part = (json_rows[i].valid || empty) != (strcmp(text, "1,2") == 0);
        cr_assert_eq((parse(p, line, strlen(line)) == RECORD_OK), as_part, "%s: %s", json_backend(),
                     line);
    }
    record_parser_free(p);
    json_free(j);
}

/* Every length around the kernels' block sizes, whole and with its end cut off. */
static void expect_lengths(void)
{
    struct record_parser *p = parser();
    char line[512];
    for (int n = 0; n < 300; n++) {
        static const char x[300] = {[0 ... 298] = 'x'};
        int len = snprintf(line, sizeof line, "{" U ",\"body\":{\"k\":\"%.*s\"}}", n, x);
        cr_assert_eq(parse(p, line, (size_t)len), RECORD_OK, "%s, %d", json_backend(), n);
        cr_assert_eq(rec.body.len, (size_t)n + 8);
        for (int cut = 1; cut <= 3; cut++) {
            enum record_status s = parse(p, line, (size_t)(len - cut));
            cr_assert_eq(s, RECORD_REJECT, "%s: %d cut by %d", json_backend(), n, cut);
        }
    }
    record_parser_free(p);
}

Test(json, icelake)
{
    if (!use_kernel("icelake")) return; /* this machine has it not */
    expect_json();
    expect_lengths();
}

Test(json, haswell)
{
    if (!use_kernel("haswell")) return; /* this machine has it not */
    expect_json();
    expect_lengths();
}

Test(json, westmere)
{
    if (!use_kernel("westmere")) return; /* this machine has it not */
    expect_json();
    expect_lengths();
}

Test(json, fallback)
{
    cr_assert(use_kernel("fallback"));
    expect_json();
    expect_lengths();
}
