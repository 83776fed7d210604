/* tests/sim/truth.h - what is true in this world, whatever the engine says about it.
 *
 * The scenario writes the lines of the input and what must become of each; the receivers write
 * what reached them; the referee compares both with what the engine reported. Nothing here is read
 * by the engine, and nothing in here was computed by it.
 */
#ifndef TESTS_SIM_TRUTH_H
#define TESTS_SIM_TRUTH_H

#include "core/base/err.h"
#include "sched/backoff.h"
#include "tests/sim/net_sim.h"

enum { TRUTH_SENDS_MAX = 24, TRUTH_HEADERS_MAX = 6 };

/* How a receiver answers. weight: of 1000, before the dice turn kinds off; verdicts: how an
 * attempt may end whose answer was read whole. */
/* clang-format off */
#define ANSWER_TABLE(X) \
    X(OK_LENGTH,      300, BIT(ERR_OK), "2xx with a length, kept alive") \
    X(OK_CLOSE,        30, BIT(ERR_OK), "2xx, Connection: close") \
    X(OK_UNTIL_CLOSE,  30, BIT(ERR_OK), "2xx whose body ends with the connection") \
    X(OK_CHUNKED,      60, BIT(ERR_OK), "2xx in chunks") \
    X(OK_INTERIM,      30, BIT(ERR_OK), "1xx answers, then 2xx") \
    X(OK_EMPTY,        40, BIT(ERR_OK), "204") \
    X(OK_LENIENT,      30, BIT(ERR_OK), "2xx in sloppy text") \
    X(OK_HUGE,          2, BIT(ERR_OK), "2xx with a body over 64 KiB") \
    X(OK_IDLE_CLOSE,   60, BIT(ERR_OK), "2xx, then the receiver closes when idle") \
    X(OK_IDLE_408,     15, BIT(ERR_OK), "2xx, then an unasked 408 when idle") \
    X(OK_GARBAGE,      20, BIT(ERR_OK), "2xx, and bytes after it") \
    X(OK_EARLY,        20, BIT(ERR_OK), "2xx before the request is whole") \
    X(REDIRECT,        30, BIT(ERR_STATUS_FINAL), "3xx") \
    X(REFUSE,          50, BIT(ERR_STATUS_FINAL), "4xx but 408, 429") \
    X(RETRY,           80, BIT(ERR_STATUS_RETRY), "408, 429, 5xx") \
    X(BAD,             60, BIT(ERR_BAD_RESPONSE), "an answer that breaks the framing") \
    X(HEAD_HUGE,        2, BIT(ERR_BAD_RESPONSE), "a head over 64 KiB") \
    X(TRUNCATED,       30, BIT(ERR_BAD_RESPONSE), "the connection ends inside the answer") \
    X(SILENT,          20, 0, "no answer") \
    X(STALL,           20, 0, "silence inside the answer") \
    X(CLOSE,           30, BIT(ERR_CLOSED), "end of the connection instead of an answer") \
    X(RESET,           30, BIT(ERR_RESET), "RST instead of an answer") \
    X(RESET_INSIDE,    30, 0, "RST inside the answer")
/* clang-format on */

#define ANSWER_ENUM(name, weight, verdicts, text) ANSWER_##name,
enum answer_kind { ANSWER_TABLE(ANSWER_ENUM) ANSWER_COUNT };
#undef ANSWER_ENUM

struct truth_line;

/* One time that a record's request was sent. */
struct truth_send {
    struct wire *conn;
    struct truth_line *line;
    uint64_t begun_ns; /* the first IO_SEND */
    uint64_t start_ns; /* of the connect that was made for it, else begun_ns */
    uint32_t attempt;  /* of its record, as far as receivers can tell them apart: from 1 */
    bool reused;       /* the connection had carried a request before */
    size_t read_from;  /* wire.out_read when it began */
    uint32_t given;    /* bytes of IO_SENDs */
    size_t act_at;     /* the receiver answers once so many bytes are there; SIZE_MAX: all */
    bool acted;
    size_t moved;       /* bytes that reached the receiver */
    bool request_whole; /* the receiver has framed it */
    bool handler_ran;
    enum answer_kind kind;    /* valid once a byte reached the receiver */
    bool planned;             /* the receiver has begun to answer; below is valid */
    uint16_t status;          /* of the final answer, 0: none */
    size_t from, enough, end; /* of the answer in wire.out; enough: a verdict is due there */
    bool needs_fin;           /* the verdict is due at the end of the connection only */
    bool keeps;               /* the connection may be used again */
    bool arrived_whole;       /* all of it was readable */
    size_t read;              /* bytes that the engine was given since it began */
    bool consumed;            /* it was given enough for a verdict */
    uint64_t consumed_ns;
    bool saw_end;    /* it was told of the end of the connection */
    bool saw_error;  /* it was told of a broken connection */
    bool send_broke; /* its send failed, was cancelled or was short */
    bool scripted;   /* the receiver answered by truth.script */
    bool unsure;     /* it may be one more request of the attempt before, or a new attempt */
};

/* What a host, or the network before it, has seen: a request, or a connect that failed. */
struct truth_try {
    const struct truth_send *send; /* NULL: a connect that failed */
    uint64_t start_ns, end_ns;     /* of that connect */
};

struct truth_log {
    struct truth_try *at; /* owned; in the order of the IO_SENDs and of the connects' ends */
    uint32_t count, room;
};

enum line_kind { LINE_VALID, LINE_REJECT, LINE_BLANK };

struct truth_header {
    char name[40], value[80];
};

struct truth_line {
    enum line_kind kind;
    uint32_t number;    /* in the input, from 1 */
    size_t offset, len; /* in the input, without its '\n' */
    /* LINE_VALID: what must go out. */
    uint32_t host; /* net_host() */
    char id[48];   /* "": none given */
    char url[160];
    char method[8], target[96], authority[80];
    bool port_is_default;
    struct truth_header header[TRUTH_HEADERS_MAX];
    uint32_t headers_count;
    bool has_body;
    const char *body; /* owned by the scenario; terminated */
    uint32_t body_len;
    const char *content_type; /* to be added; NULL: none, or among the headers */
    char authorization[80];   /* to be added; "": none */
    uint32_t key;             /* index of its "key"; 0: none */
    uint64_t not_before_wall_ns, deadline_wall_ns; /* 0: none */
    /* What happened. */
    struct truth_send send[TRUTH_SENDS_MAX];
    uint32_t sends;
    bool ended; /* its line is in the results file */
    /* What was told: read from the results file by the referee. */
    uint32_t results, events, dead_letters, rejects;
    bool delivered;
    enum err error;
    uint64_t status, attempts;
    uint32_t outcome;               /* enum outcome */
    uint64_t first_ns, finished_ns; /* on the world's clock, if wall time never jumped; 0: none */
    uint32_t attempt_events, deferred; /* of events: attempts; waits for a host on hold */
    bool event_terminal;
};

/* How a receiver that follows a script answers; lives in the connection. */
struct truth_reply {
    enum answer_kind kind;
    uint16_t status;
    uint64_t delay_ns; /* before it answers */
    char fields[400];  /* whole header lines */
};

struct truth {
    struct truth_line *line; /* owned by the scenario */
    uint32_t lines_count;
    const char *user_agent;
    bool idempotency_key;
    bool signs; /* requests are signed with SIGN_SIM_SECRET */
    /* Bounds on how long the engine may leave things be; 0: none. */
    uint64_t connect_within_ns; /* a connect in flight */
    uint64_t close_within_ns;   /* from the begin of a connection's last request to its close */
    uint32_t answer_weight[NET_HOSTS_MAX][ANSWER_COUNT]; /* each host's manners */
    /* Receivers that know what they want: true when e is answered as *r says. NULL: none. */
    bool (*script)(struct world *w, const struct truth_send *e, struct truth_reply *r);
    void *script_of;
    /* How often and for how long the engine may try; NULL: once. */
    const struct retry_rules *retry;
    uint64_t timeout_ns;                 /* of one attempt */
    uint64_t dns_timeout_ns;             /* of one question for a name */
    bool no_hints;                       /* answers ask for nothing */
    struct truth_log log[NET_HOSTS_MAX]; /* of each host */
};

/* What was tried at a host, in its order. */
void truth_log_add(struct truth *t, uint32_t host, struct truth_try entry);
void truth_logs_free(struct truth *t);

/* The record whose request this is, from the mark "t/NUMBER" in its target; NULL: none. */
struct truth_line *truth_of_request(struct truth *t, const char *bytes, size_t n);

#endif
