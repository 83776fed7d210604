/* tests/sim/disk_sim.h - virtual files: what io_file_open() finds in the simulated world.
 *
 * A file is made by the scenario before the run (input, with its faults) or by the engine when it
 * opens a path for writing; the scenario may prepare faults for such a path as well. Contents stay
 * after closing, for the referee. A pipe's bytes arrive piece by piece on the world's clock.
 */
#ifndef TESTS_SIM_DISK_SIM_H
#define TESTS_SIM_DISK_SIM_H

#include "core/io/io.h"
#include "tests/sim/world.h"

struct file {
    char name[32];
    char *data; /* owned */
    size_t len, room;
    bool exists;
    bool pipe;
    uint32_t open_count;
    uint32_t ops; /* in flight: none may be when the descriptor is closed */
    bool sync_running;
    /* Faults. */
    int open_error;     /* errno, or 0 */
    uint64_t size_said; /* what io_file_info() tells: more than len if the file has shrunk since */
    uint64_t eio_at;    /* reading from here on gives EIO; UINT64_MAX: never */
    uint64_t full_at;   /* writing beyond this length gives ENOSPC */
    uint32_t
        write_eio_in;  /* this many writes from now one gives EIO, later ones succeed; 0: none */
    bool failed_write; /* the engine was told of ENOSPC or EIO */
    bool failed_read;  /* the engine was told of EIO, or of an end before size_said */
    bool temp;         /* nameless: made by IO_FILE_TEMP */
    bool rewritten;    /* bytes may be written twice */
    uint32_t sync_eio_in; /* this many syncs from now one gives EIO, later ones succeed; 0: none */
    /* A pipe. */
    size_t arrived, taken; /* of data */
    bool closed;           /* the writer's end */
    world_fire_fn *waiter; /* a reader that waits; NULL: none */
    void *waiter_obj;
    uint64_t waiter_arg;
    /* Called after bytes were added by the engine. */
    void (*written)(struct file *f);
};

enum { DISK_FILES_MAX = 16 };

struct disk *disk_new(struct world *w);
void disk_free(struct disk *d); /* RULE: nothing is open */

/* Finds or makes the name's entry. "-" for reading is "stdin", for writing "stdout"; the files that
 * IO_FILE_TEMP makes are "temp-0", "temp-1" and so on. */
struct file *disk_file(struct disk *d, const char *name);
/* Gives it contents; the bytes are copied. */
void disk_fill(struct file *f, const void *bytes, size_t n);
/* Was the engine told of a write that failed, of any file? */
bool disk_failed_write(const struct disk *d);
bool disk_failed_read(const struct disk *d);
/* The process dies: its descriptors are closed. */
void disk_crash(struct disk *d);
/* Makes it a pipe whose writer starts now. */
void disk_pipe(struct world *w, struct file *f);

/* The operations, at the moment they take effect. Results as for io_done_fn. */
struct file *disk_of_fd(struct disk *d, int32_t fd); /* RULE: it is open */
int32_t disk_read(struct world *w, struct file *f, void *buf, uint32_t len, uint64_t offset);
int32_t disk_write(struct world *w, struct file *f, const void *buf, uint32_t len, uint64_t offset);
int32_t disk_sync(struct file *f);
/* A pipe that has nothing to read, and whose writer lives. */
bool disk_would_wait(const struct file *f);
/* Fires once when that ends. One reader at a time. */
void disk_wait(struct file *f, world_fire_fn *fire, void *obj, uint64_t arg);

#endif
