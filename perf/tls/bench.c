/* perf/tls/bench.c - what TLS costs a client: its own CPU, in memory, without a socket.
 *
 *   tls-bench [ROUNDS]     a table; each figure is the median over the rounds (default 9)
 *
 * The server's time does not count: the thread's CPU clock is read around what the client does. A
 * handshake is a whole connection: made, shaken, one byte and the tickets read, the session kept,
 * freed; chain, dates and name are verified unless it resumes. The clients take turns, round by
 * round, so that a slow minute of the machine hits them all.
 */
#include "perf/tls/end.h"

#include "tls/build.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    HANDSHAKES = 60,  /* of one round */
    RECORDS = 2000,   /* of one round */
    WRITE_BYTES = 400, /* a request */
    READ_BYTES = 100,  /* an answer */
    IDLE = 500,        /* connections, for the heap */
    ROUNDS_MAX = 99,
    CLIENTS = 3,
    TURNS_MAX = 16, /* flights of one handshake */
};

static const struct client *const clients[CLIENTS] = {&client_openssl, &client_wolfssl,
                                                      &client_hookline};
static struct pipe up, down;
static uint64_t client_ns; /* what the client has used since it was set to 0 */

_Noreturn void bench_stop(const char *what)
{
    fprintf(stderr, "tls-bench: %s\n", what);
    exit(1);
}

void pipe_put(struct pipe *p, const void *bytes, size_t len)
{
    if (len > PIPE_BYTES - p->to) bench_stop("a pipe is full");
    memcpy(p->buf + p->to, bytes, len);
    p->to += len;
}

size_t pipe_get(struct pipe *p, void *out, size_t room)
{
    size_t len = p->to - p->from < room ? p->to - p->from : room;
    memcpy(out, p->buf + p->from, len);
    p->from += len;
    if (p->from == p->to) p->from = p->to = 0;
    return len;
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Counts what it surrounds as the client's. */
#define CLIENT(statement) \
    do { \
        uint64_t began_ns_ = cpu_ns(); \
        statement; \
        client_ns += cpu_ns() - began_ns_; \
    } while (0)

/* A connection whose both ends stand. */
struct link {
    void *client;
    struct served *server;
};

static void link_free(const struct client *k, struct link *l)
{
    CLIENT(k->conn_free(l->client));
    served_free(l->server);
}

/* Shakes hands, lets the server say one byte, and reads it and the tickets before it. */
static struct link link_new(const struct client *k, void *context, struct server *server,
                            bool resumes)
{
    struct link l;
    enum step ours, theirs = STEP_AGAIN;
    uint8_t byte = 'x';
    up.from = up.to = down.from = down.to = 0;
    CLIENT(l.client = k->conn_new(context, &down, &up, resumes));
    l.server = served_new(server, &up, &down);
    for (int turn = 0;; turn++) {
        if (turn == TURNS_MAX) bench_stop("a handshake does not end");
        CLIENT(ours = k->handshake(l.client));
        if (theirs != STEP_DONE) theirs = served_handshake(l.server);
        if (ours == STEP_DONE && theirs == STEP_DONE) break;
    }
    served_write(l.server, &byte, 1);
    size_t got;
    CLIENT(got = k->read(l.client, &byte, 1));
    if (got != 1) bench_stop("a byte was lost");
    bool resumed = k->is_resumed(l.client);
    if (resumed != resumes) bench_stop(resumed ? "resumed unasked" : "a ticket was not taken");
    return l;
}

/* ---- the measurements: each gives one figure of one round ---------------------------------- */

struct bench {
    const struct client *k;
    struct server *server;
    void *context;
};

/* CPU ns of a full connection. */
static double full(const struct bench *b)
{
    client_ns = 0;
    for (int i = 0; i < HANDSHAKES; i++) {
        struct link l = link_new(b->k, b->context, b->server, false);
        link_free(b->k, &l);
    }
    return (double)client_ns / HANDSHAKES;
}

/* CPU ns of a resumed one, each with the ticket of the one before. */
static double resumed(const struct bench *b)
{
    struct link l = link_new(b->k, b->context, b->server, false);
    b->k->session_keep(l.client);
    link_free(b->k, &l);
    client_ns = 0;
    for (int i = 0; i < HANDSHAKES; i++) {
        l = link_new(b->k, b->context, b->server, true);
        CLIENT(b->k->session_keep(l.client));
        link_free(b->k, &l);
    }
    return (double)client_ns / HANDSHAKES;
}

static double write_record(const struct bench *b)
{
    uint8_t bytes[WRITE_BYTES] = "", got[WRITE_BYTES];
    struct link l = link_new(b->k, b->context, b->server, false);
    client_ns = 0;
    CLIENT(for (int i = 0; i < RECORDS; i++) b->k->write(l.client, bytes, sizeof bytes));
    double each = (double)client_ns / RECORDS;
    for (int i = 0; i < RECORDS; i++)
        if (served_read(l.server, got, sizeof got) != sizeof got || got[0] != bytes[0])
            bench_stop("a record did not arrive");
    link_free(b->k, &l);
    return each;
}

static double read_record(const struct bench *b)
{
    uint8_t bytes[READ_BYTES] = "", got[READ_BYTES];
    size_t read = 0;
    struct link l = link_new(b->k, b->context, b->server, false);
    for (int i = 0; i < RECORDS; i++) served_write(l.server, bytes, sizeof bytes);
    client_ns = 0;
    CLIENT(for (int i = 0; i < RECORDS; i++) read += b->k->read(l.client, got, sizeof got));
    if (read != (size_t)RECORDS * READ_BYTES) bench_stop("a record did not arrive");
    link_free(b->k, &l);
    return (double)client_ns / RECORDS;
}

static size_t heap_bytes(const struct bench *b)
{
    if (b->k->held_bytes != NULL) return b->k->held_bytes(b->context);
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* Bytes of one idle connection after a request and an answer: those that come back when the
 * clients are freed and the server's ends still stand. */
static double idle_heap(const struct bench *b)
{
    static struct link links[IDLE];
    uint8_t bytes[WRITE_BYTES] = "", got[WRITE_BYTES];
    size_t before = heap_bytes(b);
    for (int i = 0; i < IDLE; i++) {
        links[i] = link_new(b->k, b->context, b->server, false);
        b->k->write(links[i].client, bytes, WRITE_BYTES);
        if (served_read(links[i].server, got, WRITE_BYTES) != WRITE_BYTES) bench_stop("lost");
        served_write(links[i].server, bytes, READ_BYTES);
        if (b->k->read(links[i].client, got, READ_BYTES) != READ_BYTES) bench_stop("lost");
        if (b->k->read(links[i].client, got, READ_BYTES) != 0) bench_stop("more than was sent");
    }
    size_t all = heap_bytes(b) - before;
    for (int i = 0; i < IDLE; i++) b->k->conn_free(links[i].client);
    size_t server = heap_bytes(b) - before;
    for (int i = 0; i < IDLE; i++) served_free(links[i].server);
    return (double)(all - server) / IDLE;
}

/* ---- rows --------------------------------------------------------------------------------- */

#define AES13 "TLS_AES_128_GCM_SHA256"
#define CHACHA13 "TLS_CHACHA20_POLY1305_SHA256"
#define AES12 "ECDHE-ECDSA-AES128-GCM-SHA256"
#define AES12_RSA "ECDHE-RSA-AES128-GCM-SHA256"

static const struct row {
    const char *what, *unit;
    struct setup setup;
    double (*measure)(const struct bench *b);
    double scale;
} rows[] = {
    {"full handshake, TLS 1.3, ECDSA P-256", "us", {AES13, false, false}, full, 1e-3},
    {"full handshake, TLS 1.3, RSA-2048", "us", {AES13, false, true}, full, 1e-3},
    {"full handshake, TLS 1.2, ECDSA P-256", "us", {AES12, true, false}, full, 1e-3},
    {"full handshake, TLS 1.2, RSA-2048", "us", {AES12_RSA, true, true}, full, 1e-3},
    {"resumed, TLS 1.3", "us", {AES13, false, false}, resumed, 1e-3},
    {"resumed, TLS 1.2", "us", {AES12, true, false}, resumed, 1e-3},
    {"write 400 B, AES-128-GCM", "ns", {AES13, false, false}, write_record, 1},
    {"write 400 B, ChaCha20-Poly1305", "ns", {CHACHA13, false, false}, write_record, 1},
    {"read 100 B, AES-128-GCM", "ns", {AES13, false, false}, read_record, 1},
    {"read 100 B, ChaCha20-Poly1305", "ns", {CHACHA13, false, false}, read_record, 1},
    {"memory of an idle connection", "bytes", {AES13, false, false}, idle_heap, 1},
};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, ascending);
    return values[count / 2];
}

static void measure_row(const struct row *r, int rounds, const struct credentials *credentials)
{
    static double values[CLIENTS][ROUNDS_MAX];
    double medians[CLIENTS];
    for (int round = -1; round < rounds; round++) { /* the first is for caches and tables */
        for (int i = 0; i < CLIENTS; i++) {
            struct bench b = {.k = clients[i],
                              .server = server_new(&r->setup, credentials),
                              .context = clients[i]->context_new(&r->setup, credentials)};
            double value = r->measure(&b) * r->scale;
            if (round >= 0) values[i][round] = value;
            b.k->context_free(b.context);
            server_free(b.server);
        }
    }
    for (int i = 0; i < CLIENTS; i++) medians[i] = median(values[i], rounds);
    printf("| %s, %s | %.0f | %.0f | %.0f | %.2f | %.2f |\n", r->what, r->unit, medians[0],
           medians[1], medians[2], medians[0] / medians[1], medians[0] / medians[2]);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char *end = NULL, text[TLS_BUILD_TEXT_BYTES];
    long rounds = argc == 2 ? strtol(argv[1], &end, 10) : 9;
    if (argc > 2 || (end != NULL && *end != '\0') || rounds < 1 || rounds > ROUNDS_MAX)
        bench_stop("usage: tls-bench [ROUNDS], 1 to 99");
    static struct credentials ecdsa, rsa;
    credentials_make(&ecdsa, false);
    credentials_make(&rsa, true);
    up.buf = malloc(PIPE_BYTES);
    down.buf = malloc(PIPE_BYTES);
    if (up.buf == NULL || down.buf == NULL) bench_stop("no memory");
    fprintf(stderr, "%s; client's CPU, median of %ld rounds\n", tls_build_text(text), rounds);
    printf("| |");
    for (int i = 0; i < CLIENTS; i++) printf(" %s %s |", clients[i]->name, clients[i]->version());
    printf(" wolfSSL over OpenSSL | hookline over OpenSSL |\n|---|---:|---:|---:|---:|---:|\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        measure_row(&rows[i], (int)rounds, rows[i].setup.rsa ? &rsa : &ecdsa);
    free(up.buf);
    free(down.buf);
    return 0;
}
