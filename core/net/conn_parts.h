/* core/net/conn_parts.h - what conn.c and conn_tls.c have of each other. Private to core/net. */
#ifndef CORE_NET_CONN_PARTS_H
#define CORE_NET_CONN_PARTS_H

#include "core/net/conn.h"

/* conn.c */
/* The only place that writes c->state; CHECKs that the step is legal. */
void conn_goto(struct conn *c, enum conn_state to);
void conn_deadline_set(struct conn *c, uint64_t due_ns);
/* From a completion: it is over. why is the exchange's end, if it has one. */
void conn_end(struct conn *c, enum err why);
/* The next step of CLOSING. */
void conn_closing_step(struct conn *c);
/* The send did not take everything: the receive side may still tell why, for a short time. */
void conn_send_failed(struct conn *c);
/* The answer is complete; clean: and nothing came after it. May begin another exchange. */
void conn_answered(struct conn *c, bool clean);
/* Nothing more will arrive (res 0), or the connection broke (an error). */
void conn_recv_ended(struct conn *c, int32_t res);

/* conn_tls.c */
/* Connected, and its peer must prove who it is: begins the handshake. */
void conn_tls_begin(struct conn *c, const struct tls_peer *peer);
/* The connection is CONN_BUSY: encrypts and sends what it can of the request. */
void conn_tls_send(struct conn *c);
/* A piece of ciphertext, or the end. */
void conn_tls_recv(struct conn *c, const char *bytes, int32_t res);
/* Last words before the close: true when something is being sent, false when there is nothing to
 * say; then the session is gone. */
bool conn_tls_goodbye(struct conn *c);

#endif
