/* tools/sinker/shard.c - the loop of one thread; see shard.h. */
#include "tools/sinker/shard.h"

#include "core/base/slab.h"
#include "tools/sinker/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 512,
    ACCEPTS_MAX = 256, /* from one listener, before the connections get their turn */
    ACCEPT_AGAIN_MS = 20,
};
#define SLAB_BYTES (1ull << 30) /* for input and output that waits; beyond: connections dropped */
#define NS_PER_MS  1000000u

/* What an epoll event belongs to: a descriptor of a connection, or one of these with an index. */
#define TAG_LISTENER (1ull << 32)
#define TAG_STOP     (1ull << 33)

static bool watch(struct shard *s, int fd, uint32_t events, uint64_t tag)
{
    struct epoll_event ev = {.events = events, .data.u64 = tag};
    return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0;
}

static bool shard_init(struct shard *s)
{
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->in = malloc(SHARD_IN_BYTES);
    s->out = malloc(SHARD_OUT_BYTES);
    s->slab = slab_new(SLAB_BYTES);
    if (s->epoll_fd < 0 || !s->in || !s->out || !s->slab) return false;
    if (!timers_init(&s->timers, s->sink->conns_max)) return false;
    if (!log_buffer_init(&s->log, s->sink->log)) return false;
    for (uint32_t i = 0; i < s->listen_count; i++)
        if (!watch(s, s->listen_fds[i], EPOLLIN | EPOLLET, TAG_LISTENER | i)) return false;
    return watch(s, s->sink->stop_fd, EPOLLIN, TAG_STOP);
}

struct shard *shard_new(struct sink *sink, uint32_t index, const int *listen_fds, uint32_t count)
{
    struct shard *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->sink = sink;
    s->listen_fds = listen_fds;
    s->listen_count = count;
    s->may_hang_accept = present_may_hang_accept(&sink->present);
    TAILQ_INIT(&s->open);
    TAILQ_INIT(&s->ready);
    TAILQ_INIT(&s->closed);
    prng_seed(&s->prng, index);
    if (shard_init(s)) return s;
    shard_free(s);
    return NULL;
}

void shard_free(struct shard *s)
{
    if (!s) return;
    log_buffer_exit(&s->log);
    timers_exit(&s->timers);
    if (s->slab) slab_free(s->slab);
    free(s->in);
    free(s->out);
    if (s->epoll_fd >= 0) close(s->epoll_fd);
    free(s);
}

static void accepted(struct shard *s, int fd, uint32_t listener)
{
    const struct behave *whole = present_whole(&s->sink->present);
    s->stats.connections++;
    if (whole && whole->reset == PHASE_CONNECT) {
        struct linger hard = {.l_onoff = 1, .l_linger = 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(fd);
    } else if ((uint32_t)fd >= s->sink->conns_max) {
        s->stats.dropped++;
        close(fd);
    } else {
        conn_open(s, fd, listener);
    }
}

static void accept_all(struct shard *s, uint32_t listener)
{
    if (s->may_hang_accept && present_hangs_accept(&s->sink->present)) {
        s->accept_again = true; /* until it hangs no more */
        return;
    }
    for (unsigned i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(s->listen_fds[listener], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accepted(s, fd, listener);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO) {
            s->accept_again = true; /* descriptors or memory: the queue stays full, no new edge */
            return;
        }
    }
    s->accept_again = true;
}

static void handle(struct shard *s, const struct epoll_event *ev)
{
    uint64_t tag = ev->data.u64;
    if (tag & TAG_STOP) s->stopping = true;
    else if (tag & TAG_LISTENER) accept_all(s, (uint32_t)tag);
    else conn_event(s, &s->sink->conns[tag], ev->events);
}

static void run_ready(struct shard *s)
{
    /* Those that become ready again meanwhile come after this mark, in the next turn. */
    struct conn *last = TAILQ_LAST(&s->ready, ready_list), *c;
    while (last && (c = TAILQ_FIRST(&s->ready)) != NULL) {
        TAILQ_REMOVE(&s->ready, c, link);
        bool is_last = c == last;
        conn_ready(s, c);
        if (is_last) break;
    }
}

static void run_closed(struct shard *s)
{
    struct conn *c;
    while ((c = TAILQ_FIRST(&s->closed)) != NULL) {
        TAILQ_REMOVE(&s->closed, c, link);
        conn_free(c);
    }
}

static void run_timers(struct shard *s, uint64_t now_ns)
{
    struct timer *t;
    while ((t = timers_due(&s->timers, now_ns)) != NULL)
        conn_timer(s, CONTAINER_OF(t, struct conn, timer));
}

static void run_accepts(struct shard *s)
{
    s->accept_again = false;
    for (uint32_t i = 0; i < s->listen_count; i++) accept_all(s, i);
}

static void flush_log(struct shard *s, uint64_t now_ns)
{
    if (now_ns - s->log_flushed_ns < SHARD_FLUSH_MS / 2 * (uint64_t)NS_PER_MS) return;
    log_buffer_flush(&s->log);
    s->log_flushed_ns = now_ns;
}

/* Milliseconds until there is something to do without an event; -1: nothing. */
static int timeout_ms(const struct shard *s, uint64_t now_ns)
{
    if (!TAILQ_EMPTY(&s->ready)) return 0;
    uint64_t ms = UINT64_MAX;
    uint64_t due_ns = timers_next_ns(&s->timers);
    if (due_ns != UINT64_MAX)
        ms = due_ns <= now_ns ? 0 : (due_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
    if (s->log.bytes && ms > SHARD_FLUSH_MS / 2) ms = SHARD_FLUSH_MS / 2;
    if (s->accept_again && ms > ACCEPT_AGAIN_MS) ms = ACCEPT_AGAIN_MS;
    if (ms == UINT64_MAX) return -1;
    return ms > 60000 ? 60000 : (int)ms;
}

static void close_all(struct shard *s)
{
    struct conn *c;
    while ((c = TAILQ_FIRST(&s->open)) != NULL) conn_close(s, c);
    run_closed(s);
    log_buffer_flush(&s->log);
}

void *shard_main(void *arg)
{
    struct shard *s = arg;
    struct epoll_event events[EVENTS_MAX];
    uint64_t now_ns = clock_mono_ns();
    while (!s->stopping) {
        int n = epoll_wait(s->epoll_fd, events, EVENTS_MAX, timeout_ms(s, now_ns));
        CHECK(n >= 0 || errno == EINTR);
        bool accept_again = s->accept_again;
        for (int i = 0; i < n; i++) handle(s, &events[i]);
        now_ns = clock_mono_ns();
        run_timers(s, now_ns);
        run_ready(s);
        if (accept_again) run_accepts(s);
        run_closed(s);
        flush_log(s, now_ns);
    }
    close_all(s);
    secure_thread_end();
    return NULL;
}
