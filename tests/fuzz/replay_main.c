/* tests/fuzz/replay_main.c - replays a fuzz target's corpus without libFuzzer.
 *
 *   replay_X FOLDER     every file of the folder, and mutations of each
 *   replay_X FILE...    these files as they are: to look at one crash
 *
 * Every input is given in memory of exactly its size, so that the address sanitizer sees a read
 * beyond it. The mutations are the same in every run: each byte dropped, each byte with a bit
 * flipped, each prefix. A crash names its input: the file, and the mutation if it was one.
 *
 * Limits: a file of more than FILE_BYTES_MAX is an error; beyond MUTATIONS_MAX mutations of one
 * kind in one file, evenly spread positions are taken.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_BYTES_MAX = 4 << 20, MUTATIONS_MAX = 2048, PATH_BYTES = 4096 };

enum mutation { WHOLE, DROPPED, FLIPPED, PREFIX, MUTATION_COUNT };
static const char *const mutation_names[MUTATION_COUNT] = {"as it is", "byte dropped at",
                                                           "bit flipped at", "cut at"};

static struct {
    char path[PATH_BYTES];
    enum mutation mutation;
    size_t at;
    uint64_t runs, files;
} now;

/* Async-signal-safe enough for a process that is about to die: tells which input it was. */
static void tell_input(void)
{
    char line[PATH_BYTES + 128];
    int n = snprintf(line, sizeof line, "replay: died on %s, %s %zu\n", now.path,
                     mutation_names[now.mutation], now.at);
    if (n > 0 && write(2, line, (size_t)n) < 0) return;
}

static void on_crash(int sig)
{
    tell_input();
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    sigaction(sig, &dfl, NULL);
    raise(sig);
}

/* The sanitizers end a process by _exit(); they call this first. */
void __sanitizer_set_death_callback(void (*fn)(void)) __attribute__((weak));

static void run(const uint8_t *bytes, size_t len, enum mutation m, size_t at)
{
    uint8_t *exact = malloc(len ? len : 1);
    if (!exact) {
        fprintf(stderr, "replay: out of memory\n");
        exit(2);
    }
    if (m == DROPPED) {
        memcpy(exact, bytes, at);
        memcpy(exact + at, bytes + at + 1, len - at);
    } else {
        memcpy(exact, bytes, len);
    }
    if (m == FLIPPED) exact[at] ^= (uint8_t)(1u << (at * 5 + len) % 8);
    now.mutation = m;
    now.at = at;
    now.runs++;
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
}

static void run_mutations(const uint8_t *bytes, size_t len)
{
    size_t step = len / MUTATIONS_MAX + 1;
    for (size_t at = 0; at < len; at += step) {
        run(bytes, len - 1, DROPPED, at);
        run(bytes, len, FLIPPED, at);
        run(bytes, at, PREFIX, at);
    }
}

static bool replay_file(const char *path, bool mutate)
{
    snprintf(now.path, sizeof now.path, "%s", path);
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = malloc(FILE_BYTES_MAX + 1);
    if (!f || !bytes) {
        fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
        free(bytes);
        if (f) fclose(f);
        return false;
    }
    size_t len = fread(bytes, 1, FILE_BYTES_MAX + 1, f);
    bool whole = !ferror(f) && len <= FILE_BYTES_MAX;
    fclose(f);
    if (whole) {
        now.files++;
        run(bytes, len, WHOLE, 0);
        if (mutate) run_mutations(bytes, len);
    } else {
        fprintf(stderr, "replay: %s: unreadable or over %d bytes\n", path, FILE_BYTES_MAX);
    }
    free(bytes);
    return whole;
}

static int regular(const struct dirent *e) { return e->d_name[0] != '.'; }

/* In the order of their names, so that two runs print the same. */
static bool replay_folder(const char *folder)
{
    struct dirent **names;
    int n = scandir(folder, &names, regular, alphasort);
    if (n < 0) {
        fprintf(stderr, "replay: %s: %s\n", folder, strerror(errno));
        return false;
    }
    bool good = true;
    for (int i = 0; i < n; i++) {
        char path[PATH_BYTES];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        good &= replay_file(path, true);
        free(names[i]);
    }
    free(names);
    return good;
}

int main(int argc, char **argv)
{
    struct sigaction crash = {.sa_handler = on_crash};
    sigaction(SIGABRT, &crash, NULL);
    sigaction(SIGILL, &crash, NULL);
    if (__sanitizer_set_death_callback) {
        __sanitizer_set_death_callback(tell_input); /* keeps their own SIGSEGV report */
    } else {
        sigaction(SIGSEGV, &crash, NULL);
        sigaction(SIGBUS, &crash, NULL);
    }
    bool good = argc > 1;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode)) good &= replay_folder(argv[i]);
        else good &= replay_file(argv[i], false);
    }
    printf("replay: %llu files, %llu inputs\n", (unsigned long long)now.files,
           (unsigned long long)now.runs);
    return good && now.files > 0 ? 0 : 1;
}
