/* perf/limit/client.c - `limit`: the most round trips one core can do over loopback TCP.
 *
 * Keeps one request of exactly -q bytes, a valid HTTP/1.1 POST, in flight on each of -c keep-alive
 * connections and counts answers of exactly -r bytes; it looks at no byte of them. What is left
 * is the kernel's TCP and the ring: no HTTP/1.1 sender with one exchange on a connection at a
 * time can be faster on the same machine.
 *
 * After -w milliseconds of warm-up it measures for -d milliseconds and prints one JSON object.
 * Any failure of a connection ends it: a limit measured with losses is none.
 */
#include "perf/limit/common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 20000, MESSAGE_BYTES_MAX = 1 << 20 };

static struct {
    int port, cpu, connections, request_bytes, answer_bytes, warm_ms, measure_ms;
} opt = {.port = 7001,
         .cpu = -1,
         .connections = 64,
         .request_bytes = 400,
         .answer_bytes = 100,
         .warm_ms = 300,
         .measure_ms = 2000};

static struct ring ring;
static uint32_t *answer_left; /* bytes, for each connection; the direct descriptor is the index */
static char *request;         /* opt.request_bytes */

enum op { OP_RECV, OP_SEND, OP_BITS = 1 };

static uint64_t user_data(unsigned connection, enum op op)
{
    return (uint64_t)connection << OP_BITS | op;
}

/* A path that takes up the rest makes every length possible, also across a digit of the
 * Content-Length. */
static void make_request(void)
{
    static const char *const form = "POST /%.*s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                                    "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n";
    size_t room = (size_t)opt.request_bytes + 1;
    request = malloc(room);
    if (!request) die("out of memory");
    for (int body = opt.request_bytes; body >= 0; body--) {
        for (int pad = 4; pad < 6; pad++) {
            int head = snprintf(request, room, form, pad, "hooks", opt.port, body);
            if (head + body != opt.request_bytes) continue;
            memset(request + head, 'x', (size_t)body);
            return;
        }
    }
    die("-q %d is too short for a POST", opt.request_bytes);
}

static void connect_one(unsigned index)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)opt.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        die("connection %u to port %d: %s", index, opt.port, strerror(errno));
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int rc = io_uring_register_files_update(&ring.uring, index, &fd, 1);
    if (rc != 1) die("direct descriptor %u: %s", index, strerror(-rc));
    close(fd);
}

static void send_request(unsigned connection)
{
    answer_left[connection] = (uint32_t)opt.answer_bytes;
    ring_send(&ring, connection, request, (unsigned)opt.request_bytes,
              user_data(connection, OP_SEND));
}

/* Returns how many answers the completion finished: 0 or 1. */
static unsigned received(const struct io_uring_cqe *cqe, unsigned connection)
{
    unsigned finished = 0;
    if (cqe->res > 0) {
        uint32_t got = (uint32_t)cqe->res;
        ring_return(&ring, cqe);
        if (got > answer_left[connection]) die("an answer is longer than -r %d", opt.answer_bytes);
        answer_left[connection] -= got;
        if (answer_left[connection] == 0) {
            finished = 1;
            send_request(connection);
        }
    } else if (cqe->res == 0) {
        die("the receiver closed connection %u", connection);
    } else if (cqe->res != -ENOBUFS) {
        die("receive on connection %u: %s", connection, strerror(-cqe->res));
    }
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        ring_recv(&ring, connection, user_data(connection, OP_RECV));
    }
    return finished;
}

static unsigned turn(void)
{
    ring_turn(&ring);
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0, finished = 0;
    io_uring_for_each_cqe(&ring.uring, head, cqe)
    {
        unsigned connection = (unsigned)(cqe->user_data >> OP_BITS);
        if ((cqe->user_data & 1) == OP_SEND) {
            die("send on connection %u: %s", connection, strerror(-cqe->res));
        }
        finished += received(cqe, connection);
        seen++;
    }
    io_uring_cq_advance(&ring.uring, seen);
    return finished;
}

struct sample {
    uint64_t wall_ns, cpu_ns;
};

static struct sample sample_now(void)
{
    return (struct sample){.wall_ns = wall_now_ns(), .cpu_ns = cpu_now_ns()};
}

static void measure(void)
{
    uint64_t warm_until = wall_now_ns() + (uint64_t)opt.warm_ms * 1000000u;
    while (!stopping && wall_now_ns() < warm_until) turn();
    struct sample from = sample_now();
    uint64_t until = from.wall_ns + (uint64_t)opt.measure_ms * 1000000u;
    uint64_t round_trips = 0, turns = 0;
    while (!stopping && wall_now_ns() < until) {
        round_trips += turn();
        turns++;
    }
    struct sample to = sample_now();
    if (round_trips == 0) die("no answer came");
    double wall_s = (double)(to.wall_ns - from.wall_ns) / 1e9;
    printf("{\"connections\":%d,\"request_bytes\":%d,\"answer_bytes\":%d,\"wall_s\":%.3f,"
           "\"round_trips\":%" PRIu64 ",\"rt_per_s\":%.0f,\"cpu_ns_per_rt\":%.0f,"
           "\"rt_per_turn\":%.2f}\n",
           opt.connections, opt.request_bytes, opt.answer_bytes, wall_s, round_trips,
           (double)round_trips / wall_s, (double)(to.cpu_ns - from.cpu_ns) / (double)round_trips,
           (double)round_trips / (double)turns);
}

static void usage(FILE *to)
{
    fprintf(to, "limit - raw keep-alive round trips against limit-server on the loopback\n"
                "  -p PORT  (7001)   -C CPU  pin (no)     -c N  connections (64)\n"
                "  -q BYTES  each request (400)   -r BYTES  each answer (100)\n"
                "  -w MS  warm-up (300)   -d MS  measured (2000)\n");
}

static void options(int argc, char **argv)
{
    int o;
    while ((o = getopt(argc, argv, "p:C:c:q:r:w:d:h")) != -1) {
        switch (o) {
        case 'p': opt.port = (int)number_arg(optarg, "-p", 1, 65535); break;
        case 'C': opt.cpu = (int)number_arg(optarg, "-C", -1, 1023); break;
        case 'c': opt.connections = (int)number_arg(optarg, "-c", 1, CONNECTIONS_MAX); break;
        case 'q': opt.request_bytes = (int)number_arg(optarg, "-q", 1, MESSAGE_BYTES_MAX); break;
        case 'r': opt.answer_bytes = (int)number_arg(optarg, "-r", 1, MESSAGE_BYTES_MAX); break;
        case 'w': opt.warm_ms = (int)number_arg(optarg, "-w", 0, 3600000); break;
        case 'd': opt.measure_ms = (int)number_arg(optarg, "-d", 1, 3600000); break;
        case 'h': usage(stdout); exit(0);
        default: usage(stderr); exit(2);
        }
    }
    if (optind != argc) die("limit takes no arguments besides its options");
}

int main(int argc, char **argv)
{
    options(argc, argv);
    stop_on_signals();
    raise_descriptor_limit();
    pin_to_cpu(opt.cpu);
    make_request();
    unsigned connections = (unsigned)opt.connections;
    answer_left = calloc(connections, sizeof *answer_left);
    if (!answer_left) die("out of memory");
    ring_open(&ring, connections);
    for (unsigned i = 0; i < connections; i++) connect_one(i);
    for (unsigned i = 0; i < connections; i++) {
        ring_recv(&ring, i, user_data(i, OP_RECV));
        send_request(i);
    }
    measure();
    return 0;
}
