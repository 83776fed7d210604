/* tools/sinker/secure.h - TLS for the receiver (--tls): wolfSSL's server on a connection's socket.
 *
 * A session takes the place of recv() and send() on its descriptor and behaves as they do: it makes
 * the handshake on the way, and says EAGAIN while that, or a record, is not complete. It reads no
 * further than the socket has bytes, so that a connection that sees EAGAIN has seen all of them.
 * One context for the process, read-only once it is made; a session belongs to its connection.
 */
#ifndef TOOLS_SINKER_SECURE_H
#define TOOLS_SINKER_SECURE_H

#include <stddef.h>
#include <sys/types.h>

struct secure_context;
struct secure;

/* "CERT,KEY": two PEM files, the first with its chain. NULL: *why says what is wrong. */
struct secure_context *secure_context_new(const char *files, const char **why);
void secure_context_free(struct secure_context *c);

/* The thread ends: what the library has kept for it is given back. */
void secure_thread_end(void);

/* NULL: no memory. */
struct secure *secure_new(struct secure_context *c, int fd);
void secure_free(struct secure *s); /* NULL is fine */

/* As recv() and send() without flags; errno says why it is -1. recv() gives 0 after the peer's
 * goodbye and at the end of the stream. */
ssize_t secure_recv(struct secure *s, void *to, size_t room);
ssize_t secure_send(struct secure *s, const void *from, size_t len);
/* Says goodbye, if the socket takes it now. */
void secure_goodbye(struct secure *s);

#endif
