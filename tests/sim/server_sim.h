/* tests/sim/server_sim.h - virtual receivers: they read requests with their own dumb parser, check
 * each against the record it was made from, run their handler, and answer as the dice say.
 *
 * Called by net_sim.c when something happens on a connection.
 */
#ifndef TESTS_SIM_SERVER_SIM_H
#define TESTS_SIM_SERVER_SIM_H

#include "tests/sim/truth.h"

void server_opened(struct world *w, struct wire *c);
/* The engine has asked for these bytes to be sent: none has left yet. */
void server_request(struct world *w, struct wire *c, const void *bytes, size_t n);
/* Bytes reach the receiver. */
void server_bytes(struct world *w, struct wire *c, const void *bytes, size_t n);
void server_send_done(struct world *w, struct wire *c, int32_t res);
/* More of the answer is readable; the engine was given more of it; its receive has ended. */
void server_arrived(struct world *w, struct wire *c);
void server_read(struct world *w, struct wire *c);
void server_recv_done(struct world *w, struct wire *c, int32_t res);
/* The connection is dead, or the engine has closed it. */
void server_lost(struct world *w, struct wire *c);

/* RULE: the request (head and body, framed) is what the record asks for. */
void request_check(const struct truth *t, const struct truth_line *line, const char *bytes,
                   size_t head_len, size_t body_len);
/* RULE: it is signed, over these bytes, at the time of an attempt that was under way. */
void signature_check(const struct world *w, const struct truth_send *e, const char *bytes,
                     size_t head_len, size_t body_len);

/* Writes an answer of e->kind to conn.out and fills e's status, from, enough, end, needs_fin and
 * keeps. */
void answer_write(struct world *w, struct wire *c, struct truth_send *e);

extern uint64_t answer_counts[ANSWER_COUNT]; /* across seeds */
extern const char *const answer_names[ANSWER_COUNT];
/* BIT(enum err) for each ending that such an answer, read whole, may come to. */
uint32_t answer_verdicts(enum answer_kind kind);

#endif
