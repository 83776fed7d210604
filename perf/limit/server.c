/* perf/limit/server.c - `limit-server`: the receiver that every measured sender talks to.
 *
 * One thread, one ring: finds the end of each request (head, then Content-Length bytes; requests
 * may come in any pieces) and answers a 200 of exactly -r bytes. It does no more than that, so
 * that the sender under test is the bottleneck. It knows no chunked requests: no sender that is
 * measured makes them.
 *
 * Prints "listening PORT" once it does (-p 0: a port of the kernel's choice) and ends at SIGINT or
 * SIGTERM.
 */
#include "perf/limit/common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 16384,
    LINE_KEEP = 48, /* of a head's line that came in pieces: a whole Content-Length fits */
    ANSWERS_AT_ONCE = 64,
    ANSWER_BYTES_MAX = 1 << 20,
};

static const char LENGTH_NAME[] = "content-length:";
enum { LENGTH_NAME_BYTES = sizeof LENGTH_NAME - 1 };

enum place { BETWEEN, IN_HEAD, IN_BODY };

struct connection {
    enum place place;   /* in the stream of requests */
    uint32_t line_len;  /* IN_HEAD: of the current line, kept or not */
    uint64_t body_left; /* IN_BODY: to come. IN_HEAD: as announced so far */
    char line[LINE_KEEP];
};

static struct {
    int port, cpu, answer_bytes;
} opt = {.port = 7001, .cpu = -1, .answer_bytes = 100};

static struct ring ring;
static struct connection *connections;
static char *answers; /* ANSWERS_AT_ONCE copies */

enum op { OP_ACCEPT, OP_RECV, OP_SEND, OP_CLOSE, OP_BITS = 2 };

static uint64_t user_data(unsigned connection, enum op op)
{
    return (uint64_t)connection << OP_BITS | op;
}

static void make_answers(void)
{
    static const char *const form = "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%.*s\r\n";
    size_t bytes = (size_t)opt.answer_bytes;
    answers = malloc(ANSWERS_AT_ONCE * bytes + 1);
    if (!answers) die("out of memory");
    int head = 0, body = opt.answer_bytes;
    for (; body >= 0; body--) {
        head = snprintf(answers, bytes + 1, form, body, 0, "");
        if (head + body == opt.answer_bytes) break;
        /* No length fits where the announced length gains a digit: a field fills the gap. */
        head = snprintf(answers, bytes + 1, form, body, 7, "a: bcd\r\n");
        if (head + body == opt.answer_bytes) break;
    }
    if (body < 0) die("-r %d is too short for an answer", opt.answer_bytes);
    memset(answers + head, 'x', (size_t)body);
    for (int i = 1; i < ANSWERS_AT_ONCE; i++) memcpy(answers + (size_t)i * bytes, answers, bytes);
}

/* The Content-Length that a head's line announces, or `before` if it is another line. */
static uint64_t line_length(const char *line, size_t len, uint64_t before)
{
    if (len < LENGTH_NAME_BYTES || strncasecmp(line, LENGTH_NAME, LENGTH_NAME_BYTES) != 0) {
        return before;
    }
    uint64_t n = 0;
    for (size_t i = LENGTH_NAME_BYTES; i < len; i++) {
        if (line[i] >= '0' && line[i] <= '9') n = n * 10 + (uint64_t)(line[i] - '0');
    }
    return n;
}

/* A whole head in one piece, the usual case: its length in bytes, or 0. */
static size_t head_at_once(struct connection *c, const char *bytes, size_t len)
{
    const char *end = memmem(bytes, len, "\r\n\r\n", 4);
    if (!end) return 0;
    const char *line = bytes;
    uint64_t body = 0;
    while (line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end + 2 - line));
        if (!stop) break;
        if ((*line | 0x20) == 'c') body = line_length(line, (size_t)(stop - line), body);
        line = stop + 1;
    }
    c->body_left = body;
    c->place = IN_BODY;
    return (size_t)(end + 4 - bytes);
}

/* One byte of a head that comes in pieces. */
static void head_byte(struct connection *c, char byte)
{
    if (byte == '\r') return;
    if (byte != '\n') {
        if (c->line_len < LINE_KEEP) c->line[c->line_len] = byte;
        c->line_len++;
        return;
    }
    if (c->line_len == 0) c->place = IN_BODY;
    else if (c->line_len <= LINE_KEEP) {
        c->body_left = line_length(c->line, c->line_len, c->body_left);
    }
    c->line_len = 0;
}

/* How many requests end in these bytes. */
static unsigned requests_ended(struct connection *c, const char *bytes, size_t len)
{
    unsigned ended = 0;
    size_t at = 0;
    while (at < len || c->place == IN_BODY) {
        if (c->place == BETWEEN) {
            at += head_at_once(c, bytes + at, len - at);
            if (c->place == BETWEEN) c->place = IN_HEAD;
        } else if (c->place == IN_HEAD) {
            head_byte(c, bytes[at++]);
        } else {
            size_t take = c->body_left < len - at ? (size_t)c->body_left : len - at;
            c->body_left -= take;
            at += take;
            if (c->body_left > 0) break;
            c->place = BETWEEN;
            ended++;
        }
    }
    return ended;
}

static void accept_more(int listener)
{
    struct io_uring_sqe *sqe = ring_sqe(&ring);
    io_uring_prep_multishot_accept_direct(sqe, listener, NULL, NULL, 0);
    io_uring_sqe_set_data64(sqe, user_data(0, OP_ACCEPT));
}

static void close_connection(unsigned connection)
{
    struct io_uring_sqe *sqe = ring_sqe(&ring);
    io_uring_prep_close_direct(sqe, connection);
    io_uring_sqe_set_data64(sqe, user_data(connection, OP_CLOSE));
}

static void accepted(const struct io_uring_cqe *cqe, int listener)
{
    if (cqe->res >= 0) {
        unsigned connection = (unsigned)cqe->res;
        memset(&connections[connection], 0, sizeof connections[connection]);
        ring_recv(&ring, connection, user_data(connection, OP_RECV));
    }
    if (!(cqe->flags & IORING_CQE_F_MORE)) accept_more(listener);
}

static void answer(unsigned connection, unsigned count)
{
    while (count > 0) {
        unsigned now = count < ANSWERS_AT_ONCE ? count : ANSWERS_AT_ONCE;
        ring_send(&ring, connection, answers, now * (unsigned)opt.answer_bytes,
                  user_data(connection, OP_SEND));
        count -= now;
    }
}

static void received(const struct io_uring_cqe *cqe, unsigned connection)
{
    if (cqe->res > 0) {
        const char *bytes = (const char *)ring_buffer(&ring, cqe);
        unsigned ended = requests_ended(&connections[connection], bytes, (size_t)cqe->res);
        ring_return(&ring, cqe);
        answer(connection, ended);
    }
    if (cqe->flags & IORING_CQE_F_MORE) return;
    if (cqe->res > 0 || cqe->res == -ENOBUFS) {
        ring_recv(&ring, connection, user_data(connection, OP_RECV));
    } else {
        close_connection(connection);
    }
}

static void turn(int listener)
{
    ring_turn(&ring);
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;
    io_uring_for_each_cqe(&ring.uring, head, cqe)
    {
        unsigned connection = (unsigned)(cqe->user_data >> OP_BITS);
        switch ((enum op)(cqe->user_data & ((1u << OP_BITS) - 1))) {
        case OP_ACCEPT: accepted(cqe, listener); break;
        case OP_RECV: received(cqe, connection); break;
        case OP_SEND: /* failed: the receive sees the same and closes */
        case OP_CLOSE:
        default: break;
        }
        seen++;
    }
    io_uring_cq_advance(&ring.uring, seen);
}

static int listen_on_loopback(void)
{
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* inherited by accept */
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)opt.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 65535) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0) {
        die("port %d: %s", opt.port, strerror(errno));
    }
    printf("listening %d\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

static void usage(FILE *to)
{
    fprintf(to, "limit-server - answers every HTTP/1.1 request with a 200 of -r bytes\n"
                "  -p PORT  (7001; 0: any)   -C CPU  pin (no)   -r BYTES  each answer (100)\n");
}

static void options(int argc, char **argv)
{
    int o;
    while ((o = getopt(argc, argv, "p:C:r:h")) != -1) {
        switch (o) {
        case 'p': opt.port = (int)number_arg(optarg, "-p", 0, 65535); break;
        case 'C': opt.cpu = (int)number_arg(optarg, "-C", -1, 1023); break;
        case 'r': opt.answer_bytes = (int)number_arg(optarg, "-r", 1, ANSWER_BYTES_MAX); break;
        case 'h': usage(stdout); exit(0);
        default: usage(stderr); exit(2);
        }
    }
    if (optind != argc) die("limit-server takes no arguments besides its options");
}

int main(int argc, char **argv)
{
    options(argc, argv);
    stop_on_signals();
    raise_descriptor_limit();
    pin_to_cpu(opt.cpu);
    make_answers();
    connections = calloc(CONNECTIONS_MAX, sizeof *connections);
    if (!connections) die("out of memory");
    ring_open(&ring, CONNECTIONS_MAX);
    int listener = listen_on_loopback();
    accept_more(listener);
    while (!stopping) turn(listener);
    return 0;
}
