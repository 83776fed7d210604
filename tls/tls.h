/* tls/tls.h - TLS for a client, on buffers in memory: no descriptor, no waiting.
 *
 *   tls_context   what all connections of one shard share: trust, suites, our certificate, memory
 *   tls_session   one connection
 *
 *        ciphertext from the peer              ciphertext for the peer
 *   tls_feed() ──► tls_handshake() / tls_read() ──► tls_out() ... tls_out_home()
 *                        ▲      │
 *               tls_write()     plain bytes
 *
 * What is refused and why is in tls/fault.h. Nothing is written before the handshake is complete
 * and everything about it was checked: chain, dates, usage (wolfSSL), name and signature hashes
 * (tls/cert.h), version, suite and protocol against what was offered. Each of those checks must
 * have said yes for a session to open; a step that was not reached, or that failed for want of
 * memory, is a no. A context of which any part could not be set up does not exist.
 *
 * Ownership: ciphertext given to tls_feed() is lent until the next call returned TLS_AGAIN.
 * tls_out() lends the bytes to be sent to the caller until tls_out_home(); meanwhile others gather.
 * Memory comes from the shard's pool (tls/pool.h).
 *
 * Thread: the context's, for it and its sessions; struct tls_tickets is shared.
 */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include "core/base/addr.h"
#include "core/base/check.h"
#include "core/base/span.h"
#include "tls/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_pool;
struct tls_tickets;
struct tls_context;
struct tls_session;
struct tls_chain;

enum tls_version { TLS_1_2, TLS_1_3 };

enum {
    TLS_PIECE_BYTES = 16384, /* of plain bytes taken by one tls_write(): a record's most */
    TLS_WHY_BYTES = 256,
};

/* Spans are read when a context is made, and lent until then. */
struct tls_rules {
    struct span trusted;     /* PEM: the authorities that are trusted */
    struct span certificate; /* PEM: our own and its chain; empty: none */
    struct span key;         /* PEM: its key */
    enum tls_version oldest;
    bool insecure; /* nothing of the peer's certificate is verified */
};

/* NULL: see why, one clause of at most TLS_WHY_BYTES. pool is used as long as the context lives;
 * tickets may be NULL: nothing is resumed. */
struct tls_context *tls_context_new(const struct tls_rules *rules, struct tls_pool *pool,
                                    struct tls_tickets *tickets, char *why);
/* Its sessions must be gone. */
void tls_context_free(struct tls_context *c);

/* Whether there is memory for one more session and its handshake, when the pool may have
 * limit_bytes of its limit now, and `connections` have one already or will. */
bool tls_has_room(struct tls_context *c, size_t limit_bytes, uint32_t connections);
/* The least pool with which a context and one handshake work. */
size_t tls_memory_least(void);
/* Whom a session is with; the spans are lent as long as it lives. */
struct tls_peer {
    struct span name;        /* "host:port": under which its tickets are kept */
    struct span host;        /* for SNI and the certificate's dNSName */
    struct addr ip;          /* AF_UNSPEC, or the URL names this address: iPAddress, and no SNI */
    struct tls_chain *chain; /* NULL; else the certificates that it shows are kept here (show.h) */
};

struct tls_numbers {
    uint64_t handshakes, resumed; /* complete ones */
    uint64_t tickets;             /* kept */
};
/* Since the context was made. */
const struct tls_numbers *tls_numbers(const struct tls_context *c);

enum tls_step {
    TLS_DONE,   /* as asked */
    TLS_AGAIN,  /* more ciphertext is needed; all that was fed is used up */
    TLS_CLOSED, /* tls_read(): the peer's close_notify came; all before it was read */
    TLS_ERROR,  /* see tls_fault_of(); only tls_out() and tls_free() make sense now */
};

/* NULL: no memory. */
struct tls_session *tls_new(struct tls_context *c, const struct tls_peer *peer);
void tls_free(struct tls_session *s);

/* Ciphertext that came; what was fed before must be used up. */
void tls_feed(struct tls_session *s, const void *bytes, size_t len);
/* Goes on with the handshake; the first call begins it. */
enum tls_step tls_handshake(struct tls_session *s) MUST_USE;
/* Decrypts up to `room` bytes. TLS_DONE: *got of them, at least one. */
enum tls_step tls_read(struct tls_session *s, void *out, size_t room, size_t *got) MUST_USE;
/* Encrypts the first *taken bytes, at most TLS_PIECE_BYTES. Only when the handshake is complete. */
enum tls_step tls_write(struct tls_session *s, const void *bytes, size_t len,
                        size_t *taken) MUST_USE;
/* Says goodbye, unless something is broken. Nothing can be written after it. */
void tls_close(struct tls_session *s);

/* What is to be sent now, empty: nothing. Nothing may be lent already. */
struct span tls_out(struct tls_session *s);
/* What tls_out() lent has come home. */
void tls_out_home(struct tls_session *s);

bool tls_open(const struct tls_session *s); /* the handshake is complete and all was checked */
bool tls_resumed(const struct tls_session *s);
bool tls_peer_closed(const struct tls_session *s); /* its close_notify came */
enum tls_fault tls_fault_of(const struct tls_session *s);
/* What an operator should read: the fault's clause, or which alert the peer sent. Static. */
const char *tls_detail(const struct tls_session *s);
/* The suite and version, "TLSv1.3 TLS13-AES128-GCM-SHA256"; once open. Valid as long as s. */
void tls_describe(const struct tls_session *s, char *out, size_t room);

#endif
