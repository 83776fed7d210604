/* tests/sim/crash_journal.c - goal: what was known to be on disk is found again after any crash,
 * and nothing is found that was not said; output files and journal tell the same story, a line for
 * each ending, never two and never half a one; and an attempt that was under way is listed.
 *
 * Method: the shards' logbooks, output buffers, the journal's writer and its recovery, as they
 * ship, on a disk that crashes (crash_disk.c). A seed draws what records do, when operations
 * complete, which of them fail, and when the process or the machine dies; several times in a row.
 *
 *   crash_journal [--crashes N] [--from SEED]     default: 100,000
 *   crash_journal SEED [--trace]
 */
#include "core/engine/logbook.h"
#include "core/journal/recover.h"
#include "tests/sim/crash_disk.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    RECORDS = 96,
    SHARDS_MAX = 3,
    SLOTS = 48,
    CRASHES = 6, /* of one seed */
    STEPS_MAX = 160,
    BUFFER = 2048,
    LINE_STEP = 64, /* bytes of the input for each record */
};

static uint64_t seed_now;
static bool traced;

__attribute__((format(printf, 1, 2))) static void trace(const char *format, ...)
{
    if (!traced) return;
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

_Noreturn __attribute__((format(printf, 1, 2))) static void rule_broken(const char *format, ...)
{
    va_list args;
    fprintf(stderr, "crash_journal: seed %" PRIu64 ": ", seed_now);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}
#define RULE(cond, ...) \
    do { \
        if (!(cond)) rule_broken(__VA_ARGS__); \
    } while (0)

/* What is true of a record. */
struct rec {
    int ending;        /* said, -1: none */
    uint32_t attempts; /* begun */
    uint32_t ended;    /* of them, those whose end was said */
    uint32_t sure;     /* ended attempts that are known to be on disk */
    bool done_sure;    /* so is its ending */
    uint32_t slot;     /* of the attempt under way; 0: none */
    int shard;
    uint64_t mark; /* --sync always: of the batch that says it may begin */
    bool marked;
};

/* Something that was said and waits to be on disk. */
struct said {
    uint32_t line, attempts;
    bool done;
    int shard;
    uint64_t batch;
};

static struct {
    struct prng dice;
    struct rec rec[RECORDS + 1];
    struct said said[4096];
    uint32_t said_count;
    struct journal journal;
    struct inflight inflight;
    struct outfile file[JOURNAL_FILES];
    struct outbuf buf[SHARDS_MAX][JOURNAL_FILES];
    struct logbook book[SHARDS_MAX];
    int long_line[SHARDS_MAX]; /* record whose line is being written in pieces; 0: none */
    uint32_t shards;
    enum journal_sync sync;
    bool power; /* since it was written, the machine has crashed */
    bool alive;
} t;

static struct {
    uint64_t crashes, kills, powers, recovered, listed, compacted, failed, unopened, cut, again;
} seen;

static const char *const names[JOURNAL_FILES] = {"d/results", "d/events", "d/rejects", NULL};

static uint32_t below(uint32_t n) { return (uint32_t)prng_below(&t.dice, n); }
static bool draw(uint32_t percent) { return prng_percent(&t.dice, percent); }

/* ---- a life ------------------------------------------------------------------------------- */

static void life_close(void)
{
    for (uint32_t i = 0; t.alive && i < t.shards; i++) {
        logbook_close(&t.book[i]);
        for (int k = 0; k < JOURNAL_FILES; k++) {
            t.buf[i][k].op.in_flight = false; /* it died with us */
            outbuf_close(&t.buf[i][k]);
        }
    }
    if (t.alive) journal_state_close(&t.journal.live);
    t.alive = false;
}

static bool life_open(struct journal_state *s)
{
    uint8_t boot[IO_BOOT_ID_BYTES];
    uint64_t length[JOURNAL_FILES];
    for (int i = 0; i < JOURNAL_FILES; i++) length[i] = s->file[i].length;
    io_boot_id(boot);
    s->run_id = 7;
    for (int i = 0; i < JOURNAL_FILES; i++) t.file[i] = (struct outfile){.fd = -1};
    for (int i = 0; i < JOURNAL_FILES && names[i] != NULL; i++)
        if (outfile_continue(&t.file[i], names[i], length[i]) < 0 ||
            journal_renew(t.file[i].fd, s->file[i].unsure, length[i]) < 0)
            return false;
    int32_t fd[JOURNAL_FILES];
    for (int i = 0; i < JOURNAL_FILES; i++) fd[i] = t.file[i].fd;
    if (journal_open(&t.journal, "d", t.sync, s, boot, fd) < 0) return false;
    t.journal.compact_at = t.journal.length + 100 + below(1000);
    t.journal.compact_bytes = 256;
    if (inflight_open(&t.inflight, "d/in-flight", SHARDS_MAX * SLOTS, boot) < 0) {
        journal_close(&t.journal);
        return false;
    }
    t.alive = true;
    for (int i = 0; i < JOURNAL_FILES && names[i] != NULL; i++) {
        uint32_t len = 0;
        (void)crash_file(names[i], &len);
        RULE(len == length[i], "%s has %u bytes, %" PRIu64 " count", names[i], len, length[i]);
    }
    for (uint32_t i = 0; i < t.shards; i++) {
        struct outbuf *outputs[JOURNAL_FILES];
        for (int k = 0; k < JOURNAL_FILES; k++) {
            outputs[k] = &t.buf[i][k];
            bool ok = outbuf_open(outputs[k], &t.file[k], crash_io(), BUFFER);
            CHECK(ok);
        }
        bool ok = logbook_open(&t.book[i], &t.journal, crash_io(), outputs,
                               t.inflight.slot + i * SLOTS, SLOTS);
        CHECK(ok);
        t.long_line[i] = 0;
    }
    return true;
}

/* ---- what records do ---------------------------------------------------------------------- */

static void note(uint32_t shard, uint32_t line, uint32_t attempts, bool done)
{
    CHECK(t.said_count < sizeof t.said / sizeof *t.said);
    t.said[t.said_count++] = (struct said){.line = line,
                                           .attempts = attempts,
                                           .done = done,
                                           .shard = (int)shard,
                                           .batch = t.book[shard].batch};
}

/* What is on disk by now. */
static void sure(void)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < t.said_count; i++) {
        struct said *s = &t.said[i];
        struct rec *r = &t.rec[s->line];
        if (!logbook_durable(&t.book[s->shard], s->batch)) {
            t.said[kept++] = *s;
            continue;
        }
        if (s->done) r->done_sure = true;
        if (s->attempts > r->sure) r->sure = s->attempts;
    }
    t.said_count = kept;
}

static bool put_line(struct outbuf *b, const char *text, size_t n)
{
    if (!outbuf_fits(b, n)) return false;
    memcpy(outbuf_at(b), text, n);
    outbuf_add(b, (uint32_t)n);
    return true;
}

static struct journal_entry entry_of(uint32_t line)
{
    return (struct journal_entry){.line = line,
                                  .offset = (uint64_t)line * LINE_STEP,
                                  .attempts = t.rec[line].attempts,
                                  .first_us = 1000 + line,
                                  .due_us = 5000 + line,
                                  .why = (uint8_t)(line % 7)};
}

static void record_begin(uint32_t shard, uint32_t line)
{
    struct rec *r = &t.rec[line];
    struct logbook *b = &t.book[shard];
    struct journal_entry e = entry_of(line);
    e.kind = JOURNAL_BEGUN;
    e.attempts = r->attempts + 1;
    if (t.sync == JOURNAL_SYNC_ALWAYS && !r->marked) {
        if (!logbook_fits(b)) return;
        logbook_add(b, &e, 0);
        r->mark = b->batch;
        r->marked = true;
        r->shard = (int)shard;
        return;
    }
    if (t.sync == JOURNAL_SYNC_ALWAYS && (r->shard != (int)shard || !logbook_durable(b, r->mark)))
        return;
    if (t.sync == JOURNAL_SYNC_GROUP && !journal_leased(&t.journal, e.offset)) {
        t.journal.lease_wish = e.offset + 4 * LINE_STEP;
        return;
    }
    uint32_t slot = logbook_slot_take(b);
    if (slot == 0) return;
    inflight_set(&b->slot[slot], e.offset, e.first_us, line, e.attempts);
    r->slot = slot;
    r->shard = (int)shard;
    r->attempts++;
    r->marked = false;
    trace("shard %u: line %u attempt %u begins", shard, line, r->attempts);
}

static void record_end(uint32_t line)
{
    struct rec *r = &t.rec[line];
    uint32_t shard = (uint32_t)r->shard;
    struct logbook *b = &t.book[shard];
    struct journal_entry e = entry_of(line);
    char text[64];
    if (!logbook_fits(b)) return;
    if (draw(30)) {
        size_t n = (size_t)snprintf(text, sizeof text, "E%u %u\n", line, r->attempts);
        if (!put_line(&t.buf[shard][1], text, n)) return;
        e.kind = JOURNAL_WAITING;
    } else {
        e.kind = JOURNAL_DONE;
        e.ending = (uint8_t)below(JOURNAL_ABORTED);
        size_t n = (size_t)snprintf(text, sizeof text, "R%u %u\n", line, e.ending);
        if (!put_line(&t.buf[shard][0], text, n)) return;
        r->ending = e.ending;
    }
    logbook_add(b, &e, r->slot);
    r->slot = 0;
    r->ended = r->attempts;
    note(shard, line, r->attempts, e.kind == JOURNAL_DONE);
    trace("shard %u: line %u attempt %u ends: %s", shard, line, r->attempts,
          e.kind == JOURNAL_DONE ? "done" : "waits");
}

/* A reject too long for a buffer: in pieces, done with its last one. */
static void long_line(uint32_t shard)
{
    struct outbuf *b = &t.buf[shard][2];
    char text[200];
    uint32_t line = (uint32_t)t.long_line[shard];
    if (line == 0) {
        line = 1 + below(RECORDS);
        for (uint32_t i = 0; i < t.shards; i++)
            if (t.long_line[i] != 0) return;
        struct rec *r = &t.rec[line];
        if (r->ending >= 0 || r->attempts > 0 || r->marked) return;
        size_t n = (size_t)snprintf(text, sizeof text, "L%u ", line);
        if (!put_line(b, text, n)) return;
        outbuf_hold(b, true);
        t.long_line[shard] = (int)line;
        return;
    }
    memset(text, 'x', sizeof text);
    if (!draw(30)) {
        (void)put_line(b, text, 1 + below(sizeof text));
        return;
    }
    if (!logbook_fits(&t.book[shard]) || !put_line(b, "\n", 1)) return;
    outbuf_hold(b, false);
    struct journal_entry e = entry_of(line);
    e.kind = JOURNAL_DONE;
    e.ending = JOURNAL_REJECTED;
    logbook_add(&t.book[shard], &e, 0);
    t.rec[line].ending = JOURNAL_REJECTED;
    t.long_line[shard] = 0;
    note(shard, line, 0, true);
}

static bool is_long(uint32_t line)
{
    for (uint32_t i = 0; i < t.shards; i++)
        if (t.long_line[i] == (int)line) return true;
    return false;
}

static void step(void)
{
    uint32_t line = 1 + below(RECORDS), shard = below(t.shards);
    struct rec *r = &t.rec[line];
    uint64_t epoch = t.journal.epoch;
    switch (below(8)) {
    case 0:
    case 1:
    case 2:
        if (r->slot != 0) record_end(line);
        else if (r->ending < 0 && !is_long(line)) record_begin(line % t.shards, line);
        break;
    case 3: long_line(shard); break;
    case 4: crash_clock(below(60) * UINT64_C(1000000)); break;
    default:
        (void)logbook_tend(&t.book[shard], draw(20));
        crash_pump(crash_io());
        break;
    }
    seen.compacted += t.journal.epoch != epoch;
    sure();
}

/* ---- after a crash ------------------------------------------------------------------------ */

static void results_check(const struct journal_state *s)
{
    uint32_t len = 0, count[RECORDS + 1] = {0};
    const uint8_t *text = crash_file(names[0], &len);
    RULE(len >= s->file[0].length, "results have %u bytes of %" PRIu64, len, s->file[0].length);
    const char *at = (const char *)text, *end = at + s->file[0].length;
    while (at < end) {
        unsigned line = 0, ending = 0;
        const char *nl = memchr(at, '\n', (size_t)(end - at));
        RULE(nl != NULL, "half a result");
        RULE(sscanf(at, "R%u %u\n", &line, &ending) == 2 && line >= 1 && line <= RECORDS,
             "no result: %.*s", (int)(nl - at), at);
        RULE(lineset_has(&s->done, line), "a result for line %u, which is not done", line);
        RULE((int)ending == t.rec[line].ending, "line %u ended otherwise", line);
        RULE(++count[line] == 1, "line %u has two results", line);
        at = nl + 1;
    }
    for (uint32_t i = 1; i <= RECORDS; i++)
        if (lineset_has(&s->done, i) && t.rec[i].ending != JOURNAL_REJECTED)
            RULE(count[i] == 1, "line %u is done, and has no result", i);
}

/* Events, of attempts that are followed by another, or rejects. */
static void others_check(const struct journal_state *s, int file)
{
    static uint8_t count[RECORDS + 1][256];
    uint32_t len = 0;
    memset(count, 0, sizeof count);
    const char *at = (const char *)crash_file(names[file], &len);
    RULE(len >= s->file[file].length, "%s has %u bytes of %" PRIu64, names[file], len,
         s->file[file].length);
    for (const char *end = at + s->file[file].length; at < end;) {
        unsigned line = 0, attempt = 0;
        const char *nl = memchr(at, '\n', (size_t)(end - at));
        RULE(nl != NULL, "half a line in %s", names[file]);
        bool whole = file == 1 ? sscanf(at, "E%u %u\n", &line, &attempt) == 2
                               : sscanf(at, "L%u ", &line) == 1;
        RULE(whole && line >= 1 && line <= RECORDS, "no line of %s: %.20s", names[file], at);
        RULE(file == 1 || lineset_has(&s->done, line), "a reject that is not done");
        RULE(++count[line][attempt & 255] == 1, "line %u is in %s twice", line, names[file]);
        at = nl + 1;
    }
    for (uint32_t i = 1; i <= RECORDS && file == 2; i++)
        if (lineset_has(&s->done, i) && t.rec[i].ending == JOURNAL_REJECTED)
            RULE(count[i][0] == 1, "line %u is a reject, and is not among them", i);
}

static void record_check(struct journal_state *s, uint32_t line)
{
    struct rec *r = &t.rec[line];
    bool done = lineset_has(&s->done, line);
    const struct journal_waiting *w = journal_state_find(s, line);
    RULE(!done || r->ending >= 0, "line %u is done, and never ended", line);
    RULE(!done || w == NULL, "line %u is done, and waits", line);
    bool all = !t.power || t.sync != JOURNAL_SYNC_NONE; /* what is on disk survives */
    RULE(done || !r->done_sure || !all, "line %u was known to be done, and is lost", line);
    if (w != NULL) {
        RULE(w->attempts <= r->attempts + (r->marked ? 1 : 0), "line %u: attempt %u was never made",
             line, w->attempts);
        RULE(w->maybe || w->attempts <= r->ended, "line %u: the end of attempt %u was never said",
             line, w->attempts);
        RULE(w->offset == (uint64_t)line * LINE_STEP, "line %u is elsewhere", line);
    }
    uint32_t known = done ? r->attempts : w != NULL ? (uint32_t)w->attempts - w->maybe : 0;
    RULE(known >= r->sure || !all, "line %u: attempt %u was known to have ended", line, r->sure);
    if (done || r->attempts == 0) return;
    bool exact = !t.power || t.sync == JOURNAL_SYNC_ALWAYS;
    uint64_t offset = (uint64_t)line * LINE_STEP;
    if (exact)
        RULE(w != NULL && w->attempts >= r->attempts, "line %u: attempt %u is not listed", line,
             r->attempts);
    else if (t.sync == JOURNAL_SYNC_GROUP)
        RULE(w != NULL || offset < s->lease, "line %u was begun beyond the lease", line);
    seen.listed += w != NULL && w->maybe;
}

/* From here on, what was recovered is what is true. */
static void record_adopt(struct journal_state *s, uint32_t line)
{
    struct rec *r = &t.rec[line];
    const struct journal_waiting *w = journal_state_find(s, line);
    bool done = lineset_has(&s->done, line);
    seen.cut += !done && r->ending >= 0;
    if (!done) r->ending = -1;
    if (!done) r->ended = w != NULL ? (uint32_t)w->attempts - w->maybe : 0;
    if (!done) r->attempts = w != NULL ? w->attempts : 0;
    r->slot = 0;
    r->marked = false;
}

/* A journal that was opened is on the disk, with all that it begins with. */
static void record_sure(uint32_t line)
{
    struct rec *r = &t.rec[line];
    r->done_sure = r->ending >= 0;
    r->sure = r->ended;
}

/* Opens what is there, judges it, and begins a new life; false: the disk failed again. */
static bool recover(void)
{
    struct journal_state s;
    struct journal_reading reading = {.check_lines = true};
    int32_t fd = -1;
    uint8_t boot[IO_BOOT_ID_BYTES];
    bool ok = journal_state_open(&s, RECORDS + 1, true);
    CHECK(ok);
    int rc = io_file_open("d/journal", IO_FILE_READ, &fd);
    if (rc == 0) {
        for (int i = 0; i < JOURNAL_FILES; i++) reading.output_fd[i] = -1;
        for (int i = 0; i < JOURNAL_FILES && names[i] != NULL; i++)
            (void)!io_file_open(names[i], IO_FILE_READ, &reading.output_fd[i]);
        reading.fd = fd;
        io_boot_id(reading.boot_id);
        rc = journal_recover(&reading, &s);
        RULE(rc == 0, "the journal cannot be read: %s", strerror(-rc));
        io_boot_id(boot);
        rc = inflight_recover("d/in-flight", &s, boot);
        CHECK(rc == 0);
        results_check(&s);
        others_check(&s, 1);
        others_check(&s, 2);
        io_file_close(fd);
        for (int i = 0; i < JOURNAL_FILES; i++)
            if (reading.output_fd[i] >= 0) io_file_close(reading.output_fd[i]);
        seen.recovered++;
    } else {
        for (uint32_t i = 1; i <= RECORDS; i++)
            RULE(t.rec[i].attempts == 0, "line %u was sent, and there is no journal", i);
    }
    for (uint32_t i = 1; i <= RECORDS; i++) record_check(&s, i);
    struct rec before[RECORDS + 1];
    memcpy(before, t.rec, sizeof before);
    for (uint32_t i = 1; i <= RECORDS; i++) record_adopt(&s, i);
    t.said_count = 0;
    bool opened = life_open(&s);
    if (!opened) memcpy(t.rec, before, sizeof before); /* it may all be found otherwise again */
    for (uint32_t i = 1; i <= RECORDS && opened; i++) record_sure(i);
    journal_state_close(&s);
    return opened;
}

/* ---- seeds -------------------------------------------------------------------------------- */

static struct crash_faults faults_draw(void)
{
    struct crash_faults f = {0};
    if (draw(30)) f.write_error = 1 + below(3);
    if (draw(40)) f.write_short = below(50);
    if (draw(40)) f.sync_error = 1 + below(10);
    if (draw(30)) f.again = below(30);
    if (draw(20)) f.full_at = 2048 + below(16384);
    return f;
}

static void die(void)
{
    bool power = draw(50);
    seen.crashes++;
    seen.kills += !power;
    seen.powers += power;
    trace("---- %s", power ? "the power goes" : "the process dies");
    if (t.alive) seen.failed += journal_failed(&t.journal) != 0;
    t.power = power || (t.power && !t.alive);
    if (power) crash_power_goes();
    else crash_process_dies();
    life_close();
}

static void run_seed(uint64_t seed)
{
    seed_now = seed;
    prng_seed(&t.dice, seed);
    memset(t.rec, 0, sizeof t.rec);
    for (uint32_t i = 1; i <= RECORDS; i++) t.rec[i].ending = -1;
    t.said_count = 0;
    t.sync = draw(60) ? JOURNAL_SYNC_GROUP : draw(60) ? JOURNAL_SYNC_ALWAYS : JOURNAL_SYNC_NONE;
    t.shards = 1 + below(SHARDS_MAX);
    trace("sync %d, %u shards", t.sync, t.shards);
    struct crash_faults faults = faults_draw();
    /* Without syncs nothing is promised of a disk that loses what it was given. */
    if (t.sync == JOURNAL_SYNC_NONE) faults.sync_error = 0;
    crash_disk_new(&t.dice, &faults);
    for (int crash = 0; crash < CRASHES; crash++) {
        if (draw(70)) crash_disk_heal(); /* opening on a good disk; faults come back below */
        if (!recover()) {
            seen.unopened++;
            die();
            continue;
        }
        crash_disk_faults(&faults);
        for (uint32_t n = below(STEPS_MAX); n > 0; n--) step();
        die();
    }
    crash_disk_heal();
    RULE(recover(), "a good disk does not do");
    life_close();
    crash_process_dies();
}

static int print_seen(double seconds)
{
    printf("%" PRIu64 " crashes in %.2f s: %" PRIu64 " of the process, %" PRIu64
           " of the machine\n%" PRIu64 " recoveries, %" PRIu64 " endings cut off, %" PRIu64
           " attempts listed as maybe delivered, %" PRIu64 " compactions\n%" PRIu64
           " runs ended by their disk, %" PRIu64 " could not be opened, %" PRIu64 " errors told\n",
           seen.crashes, seconds, seen.kills, seen.powers, seen.recovered, seen.cut, seen.listed,
           seen.compacted, seen.failed, seen.unopened, crash_errors_told);
    bool all = seen.cut > 0 && seen.listed > 0 && seen.compacted > 0 && seen.failed > 0 &&
               seen.unopened > 0;
    if (!all) printf("FAILED: something that must be met never was\n");
    return all ? 0 : 1;
}

static void on_abort(int number)
{
    MAYBE(number > 0);
    char text[64];
    int n = snprintf(text, sizeof text, "crash_journal: seed %" PRIu64 "\n", seed_now);
    if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0) _exit(2);
    _exit(1);
}

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    uint64_t crashes = 100000, from = 1, one = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) traced = true;
        else if (i + 1 < argc && strcmp(argv[i], "--crashes") == 0)
            crashes = strtoull(argv[++i], NULL, 0);
        else if (i + 1 < argc && strcmp(argv[i], "--from") == 0)
            from = strtoull(argv[++i], NULL, 0);
        else one = strtoull(argv[i], NULL, 0);
    }
    struct sigaction a = {.sa_handler = on_abort, .sa_flags = (int)SA_RESETHAND};
    (void)sigaction(SIGABRT, &a, NULL);
    (void)sigaction(SIGSEGV, &a, NULL);
    if (one != 0) {
        run_seed(one);
        return 0;
    }
    double start_s = seconds();
    for (uint64_t seed = from; seen.crashes < crashes; seed++) run_seed(seed);
    return print_seen(seconds() - start_s);
}
