/* tools/sinker/main.c - the bundled receiver: starts the shards, waits for a signal, sums up.
 *
 * It shares no code with the sender beyond core/base, and does its I/O with epoll instead of
 * io_uring, so that sender and receiver cannot agree on the same mistake.
 *
 * In reading order: main.c, shard.c (the loop), conn.c (a connection), request.c (what comes in),
 * present.c (what is asked for now), behave.c, script.c and oddity.c (what may be asked for),
 * quota.c and dialect.c (limits), answer.c (what goes out), record_log.c, limit_log.c.
 */
#include "tools/sinker/clock.h"
#include "tools/sinker/limit_log.h"
#include "tools/sinker/options.h"
#include "tools/sinker/seen.h"
#include "tools/sinker/shard.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_LOG = 4, EXIT_RESOURCES = 5 };

/* How often the main thread looks whether connections may come about, or writes the limit log. */
enum { PLUG_TURN_MS = 20, LIMIT_LOG_TURN_MS = 500 };

enum { FDS_MAX = 1 << 20 }; /* connections at most; their array is address space only */

struct program {
    struct options options;
    struct sink sink;
    struct listeners listeners;
    struct limit_log limit_log;
    struct shard *shards[LISTEN_SHARDS_MAX];
};

/* Returns how many descriptors there may be. */
static uint32_t raise_descriptors(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0) return 1024;
    r.rlim_cur = r.rlim_max < FDS_MAX ? r.rlim_max : FDS_MAX;
    if (setrlimit(RLIMIT_NOFILE, &r) != 0 && getrlimit(RLIMIT_NOFILE, &r) != 0) return 1024;
    return (uint32_t)r.rlim_cur;
}

static int fail(const char *what)
{
    fprintf(stderr, "sinker: %s: %s\n", what, strerror(errno));
    return EXIT_RESOURCES;
}

static int start_log(struct program *p)
{
    struct options *o = &p->options;
    p->limit_log = (struct limit_log){
        .quotas = p->sink.quotas, .specs = o->listen, .specs_count = o->listen_count};
    if (!limit_log_open(&p->limit_log, o->limit_log_path)) {
        fprintf(stderr, "sinker: cannot write the log %s: %s\n", o->limit_log_path,
                strerror(errno));
        return EXIT_LOG;
    }
    if (!p->options.log_path) return 0;
    p->sink.log = record_log_open(p->options.log_path);
    if (!p->sink.log) {
        fprintf(stderr, "sinker: cannot write the log %s: %s\n", p->options.log_path,
                strerror(errno));
        return EXIT_LOG;
    }
    p->sink.seen = seen_new();
    return p->sink.seen ? 0 : fail("no memory to count ids");
}

static int start_tls(struct program *p)
{
    const char *why;
    if (p->options.tls == NULL) return 0;
    p->sink.secure = secure_context_new(p->options.tls, &why);
    if (p->sink.secure) return 0;
    fprintf(stderr, "sinker: --tls %s: %s (see sinker --help)\n", p->options.tls, why);
    return EXIT_USAGE;
}

static int start_sink(struct program *p)
{
    struct sink *k = &p->sink;
    k->conns_max = raise_descriptors();
    k->present = (struct present){.behave = p->options.has_behave ? &p->options.behave : NULL,
                                  .script = p->options.script,
                                  .from_first = p->options.from_first};
    if (!k->present.from_first) k->present.epoch_ns = clock_mono_ns();
    void *conns = mmap(NULL, k->conns_max * sizeof *k->conns, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (conns == MAP_FAILED) return fail("no address space for connections");
    k->conns = conns;
    k->answers = answers_new();
    if (!k->answers) return fail("no memory for answers");
    k->quotas = quotas_new(p->options.limit_log_path != NULL);
    if (!k->quotas) return fail("no memory for limits");
    k->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (k->stop_fd < 0) return fail("no eventfd");
    int status = start_tls(p);
    return status == 0 ? start_log(p) : status;
}

/* Lets no connection come about while that is so, and lets those that wait come when not. */
static bool plug_turn(struct program *p)
{
    bool hangs = present_hangs_connect(&p->sink.present), is_plugged = p->listeners.plugs != NULL;
    if (hangs && !is_plugged) return listen_plug(&p->listeners);
    if (!hangs && is_plugged) listen_unplug(&p->listeners);
    return true;
}

static int start_listening(struct program *p)
{
    struct options *o = &p->options;
    if (present_may_hang_connect(&p->sink.present)) o->shards_count = 1;
    if (!listen_open(&p->listeners, o->listen, o->listen_count, o->shards_count))
        return EXIT_RESOURCES;
    return plug_turn(p) ? 0 : fail("cannot fill the listeners' queues");
}

static int start_shards(struct program *p)
{
    uint32_t count = p->listeners.count;
    for (uint32_t i = 0; i < p->options.shards_count; i++) {
        p->shards[i] =
            shard_new(&p->sink, i, p->listeners.fds + (size_t)i * p->listeners.count, count);
        if (!p->shards[i]) return fail("cannot set up a shard");
    }
    return 0;
}

static void announce(const struct options *o)
{
    for (uint32_t i = 0; i < o->listen_count; i++) {
        char text[LISTEN_TEXT_BYTES];
        listen_text(&o->listen[i], text);
        printf("listening on %s\n", text);
    }
    fflush(stdout);
}

static void sum_up(const struct program *p)
{
    struct shard_stats sum = {0};
    for (uint32_t i = 0; i < p->options.shards_count; i++) {
        const struct shard_stats *s = &p->shards[i]->stats;
        sum.connections += s->connections;
        sum.requests += s->requests;
        sum.malformed += s->malformed;
        sum.incomplete += s->incomplete;
        sum.dropped += s->dropped;
        for (unsigned k = 0; k < STATUS_SLOTS; k++) sum.status[k] += s->status[k];
    }
    fprintf(stderr, "sinker: %llu requests on %llu connections", (unsigned long long)sum.requests,
            (unsigned long long)sum.connections);
    const char *sep = "; status";
    for (unsigned k = 1; k < STATUS_SLOTS; k++) {
        if (!sum.status[k]) continue;
        fprintf(stderr, "%s %u: %llu", sep, k, (unsigned long long)sum.status[k]);
        sep = ",";
    }
    if (sum.status[0]) fprintf(stderr, "; no status: %llu", (unsigned long long)sum.status[0]);
    if (sum.malformed) fprintf(stderr, "; malformed: %llu", (unsigned long long)sum.malformed);
    if (sum.incomplete) fprintf(stderr, "; incomplete: %llu", (unsigned long long)sum.incomplete);
    if (sum.dropped) fprintf(stderr, "; dropped: %llu", (unsigned long long)sum.dropped);
    fprintf(stderr, "\n");
}

static void stop_shards(struct program *p, uint32_t running)
{
    const uint64_t one = 1;
    CHECK(write(p->sink.stop_fd, &one, sizeof one) == sizeof one);
    for (uint32_t i = 0; i < running; i++) pthread_join(p->shards[i]->thread, NULL);
}

/* Returns when a signal comes. False: it cannot go on, errno says why. */
static bool wait_for_end(struct program *p, const sigset_t *ends)
{
    bool may_plug = present_may_hang_connect(&p->sink.present);
    long ms = may_plug ? PLUG_TURN_MS : LIMIT_LOG_TURN_MS;
    struct timespec turn = {.tv_nsec = ms * 1000000};
    bool is_idle = !may_plug && !p->options.limit_log_path;
    uint64_t written_ns = clock_mono_ns();
    for (;;) {
        int sig = sigtimedwait(ends, NULL, is_idle ? NULL : &turn);
        if (sig > 0) return true;
        if (may_plug && !plug_turn(p)) return false;
        uint64_t now_ns = clock_mono_ns();
        if (now_ns - written_ns < LIMIT_LOG_TURN_MS * 1000000ull) continue;
        limit_log_write(&p->limit_log, false);
        written_ns = now_ns;
    }
}

/* Runs until a signal comes; a second one while the shards are stopping kills as usual. */
static int serve(struct program *p, const sigset_t *ends)
{
    uint32_t running = 0;
    int status = 0;
    for (; running < p->options.shards_count && status == 0; running++) {
        struct shard *s = p->shards[running];
        errno = pthread_create(&s->thread, NULL, shard_main, s);
        if (errno) {
            status = fail("cannot start a thread");
            break;
        }
    }
    if (status == 0) {
        announce(&p->options);
        if (!wait_for_end(p, ends)) status = fail("cannot fill the listeners' queues");
        pthread_sigmask(SIG_UNBLOCK, ends, NULL);
    }
    stop_shards(p, running);
    limit_log_write(&p->limit_log, true);
    if (status != 0) return status;
    sum_up(p);
    limit_log_sum_up(&p->limit_log);
    return 0;
}

static int finish(struct program *p, int status)
{
    for (uint32_t i = 0; i < LISTEN_SHARDS_MAX; i++) shard_free(p->shards[i]);
    listen_close(&p->listeners);
    uint64_t lost = record_log_close(p->sink.log);
    seen_free(p->sink.seen);
    answers_free((struct answers *)p->sink.answers);
    bool limits_written = limit_log_close(&p->limit_log);
    quotas_free(p->sink.quotas);
    secure_context_free(p->sink.secure);
    script_free(p->options.script);
    if (p->sink.stop_fd > 0) close(p->sink.stop_fd);
    if (p->sink.conns) munmap(p->sink.conns, p->sink.conns_max * sizeof *p->sink.conns);
    if (!limits_written) {
        fprintf(stderr, "sinker: cannot write the whole log %s\n", p->options.limit_log_path);
        status = status ? status : EXIT_LOG;
    }
    if (lost == 0) return status;
    fprintf(stderr, "sinker: %llu requests are not in the log\n", (unsigned long long)lost);
    return status ? status : EXIT_LOG;
}

int main(int argc, char **argv)
{
    static struct program p;
    switch (options_parse(argc, argv, &p.options)) {
    case OPTIONS_EXIT: return fflush(stdout) == 0 ? 0 : EXIT_LOG;
    case OPTIONS_ERROR: return EXIT_USAGE;
    case OPTIONS_RUN: break;
    }
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    int status = start_sink(&p);
    if (status == 0) status = start_listening(&p);
    if (status == 0) status = start_shards(&p);
    if (status == 0) status = serve(&p, &ends);
    return finish(&p, status);
}
