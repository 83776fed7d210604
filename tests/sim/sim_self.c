/* tests/sim/sim_self.c - goal: the simulated kernel keeps the contract of core/io/io.h, so that
 * what the simulator finds is the engine's fault.
 *
 * Method: a client of a hundred lines, with no engine in it, drives io.h through 2,000 seeds of
 * faults: connect, send, receive, cancel at a random moment, close; files and a pipe, read and
 * written to their end. Every done() must come exactly as often as promised, what is received must
 * be what the receiver sent, nothing may be left. Then three RULEs are broken on purpose, in a
 * child process, and must be noticed.
 */
#include "tests/sim/disk_sim.h"
#include "tests/sim/server_sim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char request[] = "POST /t/1 HTTP/1.1\r\nHost: h\r\nUser-Agent: self\r\n"
                              "Content-Length: 5\r\n\r\nhello";

struct client {
    struct io *io;
    struct io_op out, in;
    struct addr to;
    bool connected, closed, receives;
    uint32_t received, out_dones, in_lasts, submits;
    int32_t connect_res, send_res, last_res;
    char bytes[80000];
};

static void client_close_when_home(struct client *c);

static void closed(struct io_op *op, int32_t res)
{
    struct client *c = CONTAINER_OF(op, struct client, out);
    MAYBE(res < 0);
    c->out_dones++;
    c->closed = true;
}

static void sent(struct io_op *op, int32_t res)
{
    struct client *c = CONTAINER_OF(op, struct client, out);
    CHECK(res != 0 && res <= (int32_t)op->len);
    c->out_dones++;
    c->send_res = res;
    client_close_when_home(c);
}

static void received(struct io_op *op, int32_t res)
{
    struct client *c = CONTAINER_OF(op, struct client, in);
    CHECK(c->in_lasts == 0);
    if (op->more) {
        CHECK(res > 0 && op->in_flight);
        CHECK(c->received + (uint32_t)res <= sizeof c->bytes);
        memcpy(c->bytes + c->received, op->buf, (size_t)res);
        c->received += (uint32_t)res;
        return;
    }
    CHECK(res <= 0 && !op->in_flight);
    c->in_lasts++;
    c->last_res = res;
    client_close_when_home(c);
}

static void connected(struct io_op *op, int32_t res)
{
    struct client *c = CONTAINER_OF(op, struct client, out);
    CHECK(res <= 0);
    c->out_dones++;
    c->connected = res == 0;
    c->connect_res = res;
    if (res == 0) {
        c->in = (struct io_op){.done = received, .kind = IO_RECV};
        io_submit(c->io, &c->in);
        c->receives = true;
        c->out.kind = IO_SEND;
        c->out.done = sent;
        c->out.buf = (void *)(uintptr_t)request;
        c->out.len = sizeof request - 1;
        io_submit(c->io, &c->out);
        c->submits++;
    } else {
        client_close_when_home(c);
    }
}

static void client_close_when_home(struct client *c)
{
    if (c->out.in_flight || c->in.in_flight) return;
    c->out.kind = IO_CLOSE;
    c->out.done = closed;
    io_submit(c->io, &c->out);
    c->submits++;
}

static struct truth *truth_make(struct world *w)
{
    struct truth *t = calloc(1, sizeof *t);
    CHECK(t != NULL);
    t->lines_count = 1;
    t->user_agent = "self";
    struct truth_line *line = t->line = calloc(1, sizeof *t->line);
    CHECK(line != NULL);
    *line = (struct truth_line){.kind = LINE_VALID,
                                .number = 1,
                                .method = "POST",
                                .target = "/t/1",
                                .authority = "h",
                                .has_body = true,
                                .body = "hello",
                                .body_len = 5};
    struct net_host *h = net_host_add(w->net);
    h->addrs_count = 1;
    h->limit = 1;
    h->addr[0].v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(80)};
    h->addr[0].v4.sin_addr.s_addr = htonl(0x0a000001);
    t->answer_weight[0][world_below(w, ANSWER_COUNT)] = 1;
    return t;
}

/* One connection from start to end, cancelled at some moment. */
static uint64_t one_exchange(uint64_t seed, uint64_t *completions)
{
    struct world *w = world_new(seed);
    world_draw_knobs(w);
    w->truth = truth_make(w);
    struct client *c = calloc(1, sizeof *c);
    const char *what;
    CHECK(c != NULL);
    CHECK(io_open(&(struct io_config){1, 16, 64 + world_below(w, 4000)}, &c->io, &what) == 0);
    c->to = net_host(w->net, 0)->addr[0];
    c->out = (struct io_op){.done = connected, .kind = IO_CONNECT, .addr = &c->to};
    io_submit(c->io, &c->out);
    c->submits = 1;
    CHECK(c->out_dones == 0); /* never inside io_submit() */
    uint64_t cancel_ns = w->now_ns + 1000 * (UINT64_C(1) << world_below(w, 25));
    uint32_t turns = 0;
    while (io_in_flight(c->io) > 0) {
        CHECK(turns++ < 100000);
        uint64_t until = w->now_ns < cancel_ns ? cancel_ns : UINT64_MAX;
        (void)io_turn(c->io, until, 1);
        if (w->now_ns >= cancel_ns && c->out.in_flight && c->out.kind != IO_CLOSE)
            io_cancel(c->io, &c->out);
        if (w->now_ns >= cancel_ns && c->in.in_flight) io_cancel(c->io, &c->in);
        until = w->now_ns < cancel_ns ? cancel_ns : UINT64_MAX;
        while (io_in_flight(c->io) > 0 && !io_sim_wakes(c->io, until)) world_advance(w);
    }
    CHECK(c->closed);
    CHECK(c->out_dones == c->submits);
    CHECK(c->in_lasts == (c->receives ? 1 : 0));
    const struct truth_send *e = &w->truth->line[0].send[0];
    if (c->received > 0) CHECK(memcmp(c->bytes, e->conn->out, c->received) == 0);
    if (c->connected) {
        CHECK(e->conn->out_read == c->received);
        CHECK(c->send_res < 0 ? e->moved == 0 : e->moved <= (size_t)c->send_res);
    }
    *completions += w->completions;
    uint64_t trace = w->trace;
    io_close(c->io);
    truth_logs_free(w->truth);
    free(w->truth->line);
    free(w->truth);
    free(c);
    world_free(w);
    return trace;
}

/* ---- files --------------------------------------------------------------------------------- */

struct copier {
    struct io *io;
    struct io_op op;
    int32_t from, to;
    uint64_t offset, written;
    uint32_t have, put;
    bool pipe, over;
    int32_t error;
    char bytes[300];
};

static void copy_step(struct copier *c);

static void copied(struct io_op *op, int32_t res)
{
    struct copier *c = CONTAINER_OF(op, struct copier, op);
    if (res == -EINTR || res == -EAGAIN) {
        io_submit(c->io, op);
        return;
    }
    if (res < 0 || (res == 0 && op->kind == IO_READ)) {
        c->over = true;
        c->error = res;
        return;
    }
    if (op->kind == IO_READ) {
        c->have = (uint32_t)res;
        c->put = 0;
        c->offset += (uint32_t)res;
    } else {
        c->put += (uint32_t)res;
        c->written += (uint32_t)res;
        if (c->put == c->have) c->have = 0;
    }
    copy_step(c);
}

static void copy_step(struct copier *c)
{
    c->op.done = copied;
    c->op.kind = c->have > 0 ? IO_WRITE : IO_READ;
    c->op.fd = c->have > 0 ? c->to : c->from;
    c->op.buf = c->have > 0 ? c->bytes + c->put : c->bytes;
    c->op.len = c->have > 0 ? c->have - c->put : (uint32_t)sizeof c->bytes;
    c->op.offset = c->have > 0 ? IO_OFFSET_NONE : c->pipe ? IO_OFFSET_NONE : c->offset;
    io_submit(c->io, &c->op);
}

static void copy_file(uint64_t seed)
{
    struct world *w = world_new(seed);
    world_draw_knobs(w);
    char text[5000];
    for (uint32_t i = 0; i < sizeof text; i++) text[i] = (char)('a' + i % 23);
    struct file *in = disk_file(w->disk, "input"), *out = disk_file(w->disk, "output");
    disk_fill(in, text, sizeof text);
    struct copier c = {.pipe = world_draw(w, 50)};
    if (c.pipe) disk_pipe(w, in);
    else if (world_draw(w, 20)) in->eio_at = world_below(w, sizeof text);
    else if (world_draw(w, 20)) in->size_said += 100;
    if (world_draw(w, 20)) out->full_at = world_below(w, sizeof text);
    struct io_file_info info;
    const char *what;
    CHECK(io_file_open("input", IO_FILE_READ, &c.from) == 0);
    CHECK(io_file_open("output", IO_FILE_WRITE, &c.to) == 0);
    CHECK(io_file_info(c.from, &info) == 0 && info.regular == !c.pipe);
    CHECK(io_open(&(struct io_config){1, 1, 64}, &c.io, &what) == 0);
    copy_step(&c);
    for (uint32_t turns = 0; !c.over; turns++) {
        CHECK(turns < 100000);
        (void)io_turn(c.io, UINT64_MAX, 1);
        while (!c.over && !io_sim_wakes(c.io, UINT64_MAX)) world_advance(w);
    }
    CHECK(out->len == c.written && memcmp(out->data, text, out->len) == 0);
    if (c.error == 0) CHECK(out->len == sizeof text);
    if (c.error == -EIO) CHECK(out->len == in->eio_at);
    if (c.error == -ENOSPC) CHECK(out->len == out->full_at);
    CHECK(io_file_open("missing", IO_FILE_READ, &c.from) == -ENOENT);
    io_close(c.io);
    io_file_close(c.from);
    io_file_close(c.to);
    world_free(w);
}

/* ---- a broken contract must be noticed ----------------------------------------------------- */

static void break_rule(int which)
{
    struct world *w = world_new(1);
    w->truth = truth_make(w);
    struct client c = {.to = net_host(w->net, 0)->addr[0]};
    const char *what;
    CHECK(io_open(&(struct io_config){2, 1, 64}, &c.io, &what) == 0);
    c.out = (struct io_op){.done = closed, .kind = IO_CONNECT, .addr = &c.to};
    io_submit(c.io, &c.out);
    struct io_op more = {.done = closed, .kind = IO_CONNECT, .addr = &c.to};
    if (which == 0) io_submit(c.io, &c.out); /* twice */
    if (which == 1) io_submit(c.io, &more);  /* the slot is in use */
    if (which == 2) io_close(c.io);          /* in flight */
}

static bool rule_is_noticed(int which)
{
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(freopen("/dev/null", "w", stderr) != NULL);
        break_rule(which);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    enum { SEEDS = 2000, BREAKS = 3 };
    uint64_t completions = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t once = one_exchange(seed, &completions);
        CHECK(once == one_exchange(seed, &completions)); /* the same seed is the same run */
        copy_file(seed);
    }
    for (int i = 0; i < BREAKS; i++) CHECK(rule_is_noticed(i));
    printf("sim_self: %d seeds, %llu completions, %d broken rules noticed\n", SEEDS,
           (unsigned long long)completions, BREAKS);
    return 0;
}
