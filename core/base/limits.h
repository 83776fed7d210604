/* core/base/limits.h - every fixed maximum, why it is that much, and what happens there.
 * Limits that a flag changes are in core/engine/config.h.
 */
#ifndef CORE_BASE_LIMITS_H
#define CORE_BASE_LIMITS_H

enum {
    /* Answers (core/http/response.c). */
    LIMIT_ANSWER_HEAD_BYTES = 64 * 1024, /* beyond: bad_response (delivery.md section 2) */
    LIMIT_ANSWER_BODY_BYTES = 64 * 1024, /* beyond: verdict by status, connection closed */
    LIMIT_ANSWER_KEEP_BYTES = 1024,      /* the first bytes of the body, kept for the log */
    LIMIT_ANSWER_LINE_KEEP = 512,  /* longest framing field line; a longer one: bad_response */
    LIMIT_CHUNK_LINE_BYTES = 1024, /* chunk size with its extensions; beyond: bad_response */

    /* Records (core/input). */
    LIMIT_RECORD_HEADERS = 128,     /* fields in one record; beyond: reject */
    LIMIT_JSON_DEPTH = 256,         /* nesting in one record; beyond: reject */
    LIMIT_URL_BYTES = 8192,         /* as browsers and servers take; beyond: reject */
    LIMIT_ID_BYTES = 256,           /* beyond: reject */
    LIMIT_HOST_BYTES = 255,         /* RFC 1035 section 2.3.4; beyond: reject */
    LIMIT_REJECT_REASON_BYTES = 256, /* text is cut there */
};

#endif
