/* Goal: a trace keeps what fits and counts all; a second try of an attempt starts afresh. */
#include "core/net/trace.h"

#include <criterion/criterion.h>
#include <string.h>

static char request[4], answer[4];
static struct trace t = {.request = request, .answer = answer, .request_room = 4, .answer_room = 4};

Test(trace, keeps_what_fits)
{
    trace_request(&t, "abc", 3);
    cr_assert(t.request_len == 3 && t.request_bytes == 3);
    trace_request(&t, "ABCDEF", 6);
    cr_assert(t.request_len == 4 && t.request_bytes == 6);
    cr_assert_eq(memcmp(request, "ABCD", 4), 0);

    trace_answer(&t, "123", 3, 7);
    trace_answer(&t, "456", 3, 8);
    trace_answer(&t, "789", 3, 9);
    cr_assert(t.answer_len == 4 && t.answer_bytes == 9);
    cr_assert_eq(memcmp(answer, "1234", 4), 0);
    cr_assert_eq(t.at_ns[TRACE_FIRST_BYTE], 7);
}

Test(trace, a_second_try)
{
    const struct addr one = {.v4 = {.sin_family = AF_INET, .sin_port = 1}};
    const struct addr two = {.v4 = {.sin_family = AF_INET, .sin_port = 2}};
    trace_at(&t, TRACE_BEGUN, 1);
    trace_connecting(&t, &one, 2);
    trace_at(&t, TRACE_CONNECTED, 3);
    trace_answer(&t, "1", 1, 4);
    trace_connecting(&t, &two, 5);
    cr_assert_eq(t.at_ns[TRACE_BEGUN], 1);
    cr_assert_eq(t.at_ns[TRACE_CONNECTING], 5);
    cr_assert_eq(t.at_ns[TRACE_CONNECTED], 0);
    cr_assert_eq(t.at_ns[TRACE_FIRST_BYTE], 0);
    cr_assert_eq(t.addr.v4.sin_port, 2);
    cr_assert(t.answer_len == 0 && t.answer_bytes == 0);
}

/* As a rule there is none. */
Test(trace, none)
{
    const struct addr a = {.v4 = {.sin_family = AF_INET}};
    trace_at(NULL, TRACE_SENT, 1);
    trace_connecting(NULL, &a, 1);
    trace_request(NULL, "a", 1);
    trace_answer(NULL, "a", 1, 1);
}
