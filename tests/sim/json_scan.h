/* tests/sim/json_scan.h - the referee's own reader of one line of JSON: dumb, and not the engine's.
 *
 * It walks an object's top level byte by byte and finds one key's value as it is written. What is
 * not an object of strings, numbers, words and nested values ends with a broken RULE: only the
 * engine's own output is read.
 */
#ifndef TESTS_SIM_JSON_SCAN_H
#define TESTS_SIM_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jscan_value {
    const char *at; /* of a string: without its quotes, escapes as written */
    size_t len;
    bool string;
};

enum { JSCAN_MEMBERS_MAX = 32 };

struct jscan {
    const char *text; /* lent */
    size_t len;
    uint32_t count;
    struct jscan_value key[JSCAN_MEMBERS_MAX], value[JSCAN_MEMBERS_MAX];
};

/* Reads one line; RULE: it is an object, each of its keys is there once. */
void jscan_read(struct jscan *j, const char *text, size_t len);
/* NULL when the object has no such key. */
const struct jscan_value *jscan_find(const struct jscan *j, const char *key);
bool jscan_is(const struct jscan *j, const char *key, const char *text);
/* The key's whole number; RULE: it is there and is one. */
uint64_t jscan_number(const struct jscan *j, const char *key);
/* Milliseconds with a fraction, in nanoseconds. */
uint64_t jscan_ms(const struct jscan *j, const char *key);
/* "2025-06-15T15:06:40.000001Z" in nanoseconds since 1970. */
uint64_t jscan_time(const struct jscan *j, const char *key);
/* A string value with its escapes undone; returns its length. */
size_t jscan_text(const struct jscan_value *v, char *out, size_t room);

#endif
