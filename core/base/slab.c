/* core/base/slab.c - classes, pages and mappings; see slab.h.
 *
 * One mapping holds everything, reserved at once and touched only where it is used:
 *
 *   struct slab | struct page[page_count] | page_count pages of SLAB_PAGE_BYTES
 *
 * The page of an object follows from its address. A page is in one of these states:
 *   new      never used; all pages from `fresh_pages` on
 *   partial  belongs to a class, has room; in the class's list, objects come from its head
 *   full     belongs to a class; in no list
 *   idle     emptied, its memory still there; taken before a new one
 *   cold     emptied, its memory given back to the kernel; taken before a new one
 * Idle pages are made cold only when a large mapping would otherwise bring the memory that is
 * really there above the limit. So resident memory stays within limit_bytes plus this header and
 * table, and pages that come and go cost no system call.
 *
 * Mistakes of the owner stop the process: every page knows its class and count, and a given
 * object carries a mark until it is taken again. Under ASan, bytes not taken are poisoned.
 */
#include "core/base/slab.h"

#include "core/base/check.h"

#include <stdbool.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define SLAB_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_ASAN 1
#endif
#endif
#ifdef SLAB_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(ptr, len)   __asan_poison_memory_region((ptr), (len))
#define UNPOISON(ptr, len) __asan_unpoison_memory_region((ptr), (len))
#define NO_ASAN            __attribute__((no_sanitize_address))
#else
#define POISON(ptr, len)   ((void)(ptr))
#define UNPOISON(ptr, len) ((void)(ptr))
#define NO_ASAN
#endif

/* Inlined, the rare paths would cost the hot ones a dozen saved registers' instructions. */
#define SLOW __attribute__((noinline))

enum {
    CLASS_BYTES_MIN = 56, /* what waits in millions: a timer and four words */
    CLASS_BYTES_MAX = SLAB_PAGE_BYTES / 4,
    CLASS_COUNT = 18,
    OS_PAGE_BYTES = 4096,
    HANDLE_UNIT = 8,
};
_Static_assert(SLAB_LIMIT_BYTES_MAX / HANDLE_UNIT < UINT32_MAX, "every object has a handle");

/* The classes' sizes, and how many objects of each a page holds. */
static const uint16_t class_bytes[CLASS_COUNT] = {56,   64,   96,   128,  192,   256,
                                                  384,  512,  768,  1024, 1536,  2048,
                                                  3072, 4096, 6144, 8192, 12288, 16384};
#define FIT(bytes) (SLAB_PAGE_BYTES / (bytes))
static const uint16_t class_fit[CLASS_COUNT] = {
    FIT(56),   FIT(64),   FIT(96),   FIT(128),  FIT(192),   FIT(256),
    FIT(384),  FIT(512),  FIT(768),  FIT(1024), FIT(1536),  FIT(2048),
    FIT(3072), FIT(4096), FIT(6144), FIT(8192), FIT(12288), FIT(16384)};
#undef FIT

/* A given object, while it waits. */
struct idle_object {
    struct idle_object *next;
    uint64_t mark; /* its own address ^ GIVEN_MARK; 0 when taken */
};
#define GIVEN_MARK UINT64_C(0x6d61726b67697665)

struct page {
    struct page *next, *prev; /* partial: the class's list; idle, cold: next only */
    struct idle_object *given;
    uint16_t fresh; /* objects from here on were never taken since the page came to its class */
    uint16_t used;  /* objects out; 0 exactly when the page belongs to no class */
    uint8_t class;
};

struct slab {
    size_t limit_bytes;
    size_t used_pages;
    size_t large_bytes;
    size_t idle_pages;
    uint32_t page_count, fresh_pages;
    size_t map_bytes; /* the whole mapping, this struct included */
    char *pages;      /* the first page; the rest follow */
    struct page *table;
    struct page *idle, *cold;
    struct page partial[CLASS_COUNT]; /* list heads: only the links are used */
};

_Static_assert(sizeof(struct page) == 32, "two entries of the table in a cache line");
_Static_assert(CLASS_BYTES_MIN >= sizeof(struct idle_object), "a given object holds its link");

static uint32_t class_of(size_t bytes)
{
    if (bytes <= CLASS_BYTES_MIN) return 0;
    size_t last = bytes - 1;
    uint32_t power = 63u - (uint32_t)__builtin_clzll(last); /* 2^power <= last < 2^(power + 1) */
    uint32_t upper_half = (uint32_t)(last >> (power - 1)) & 1;
    return bytes <= 64 ? 1 : (power - 6) * 2 + upper_half + 2;
}

static size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

static char *page_bytes(const struct slab *s, const struct page *p)
{
    return s->pages + (size_t)(p - s->table) * SLAB_PAGE_BYTES;
}

static void partial_append(struct slab *s, struct page *p)
{
    struct page *head = &s->partial[p->class];
    p->next = head;
    p->prev = head->prev;
    head->prev->next = p;
    head->prev = p;
}

static void partial_remove(struct page *p)
{
    CHECK_HOT(p->next->prev == p);
    p->next->prev = p->prev;
    p->prev->next = p->next;
    p->next = p->prev = NULL;
}

struct slab *slab_new(size_t limit_bytes)
{
    if (limit_bytes > SLAB_LIMIT_BYTES_MAX) return NULL;
    size_t page_count = limit_bytes / SLAB_PAGE_BYTES;
    size_t head_bytes = sizeof(struct slab) + page_count * sizeof(struct page);
    head_bytes = round_up(head_bytes, OS_PAGE_BYTES);
    size_t map_bytes = head_bytes + page_count * SLAB_PAGE_BYTES;
    struct slab *s = mmap(NULL, map_bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s == MAP_FAILED) return NULL;
    s->limit_bytes = limit_bytes;
    s->page_count = (uint32_t)page_count;
    s->map_bytes = map_bytes;
    s->pages = (char *)s + head_bytes;
    s->table = (struct page *)(s + 1);
    for (uint32_t i = 0; i < CLASS_COUNT; i++)
        s->partial[i].next = s->partial[i].prev = &s->partial[i];
    return s;
}

void slab_free(struct slab *s)
{
    if (s == NULL) return;
    CHECK(s->used_pages == 0);
    CHECK(s->large_bytes == 0);
    UNPOISON(s->pages, (size_t)s->fresh_pages * SLAB_PAGE_BYTES);
    munmap(s, s->map_bytes);
}

size_t slab_used_bytes(const struct slab *s)
{
    return s->used_pages * SLAB_PAGE_BYTES + s->large_bytes;
}

size_t slab_limit_bytes(const struct slab *s) { return s->limit_bytes; }

uint32_t slab_handle(const struct slab *s, const void *ptr)
{
    size_t offset = (uintptr_t)ptr - (uintptr_t)s->pages;
    CHECK(offset < (size_t)s->fresh_pages * SLAB_PAGE_BYTES);
    CHECK_HOT(offset % HANDLE_UNIT == 0);
    return (uint32_t)(offset / HANDLE_UNIT) + 1;
}

void *slab_at(const struct slab *s, uint32_t handle)
{
    CHECK(handle != 0);
    size_t offset = (size_t)(handle - 1) * HANDLE_UNIT;
    CHECK(offset < (size_t)s->fresh_pages * SLAB_PAGE_BYTES);
    return s->pages + offset;
}

/* Gives a page without objects to a class; NULL at the limit. */
SLOW static struct page *page_take(struct slab *s, uint32_t class)
{
    CHECK(class < CLASS_COUNT);
    if (slab_used_bytes(s) + SLAB_PAGE_BYTES > s->limit_bytes) return NULL;
    struct page *p;
    if (s->idle != NULL) {
        p = s->idle;
        s->idle = p->next;
        s->idle_pages--;
    } else if (s->cold != NULL) {
        p = s->cold;
        s->cold = p->next;
    } else {
        CHECK(s->fresh_pages < s->page_count);
        p = &s->table[s->fresh_pages++];
        POISON(page_bytes(s, p), SLAB_PAGE_BYTES);
    }
    CHECK(p->used == 0);
    p->class = (uint8_t) class;
    p->fresh = 0;
    p->given = NULL;
    partial_append(s, p);
    s->used_pages++;
    return p;
}

/* The last object of the page came back. */
SLOW static void page_give(struct slab *s, struct page *p)
{
    CHECK(p->used == 0);
    CHECK(s->used_pages > 0);
    partial_remove(p);
    p->next = s->idle;
    s->idle = p;
    s->idle_pages++;
    s->used_pages--;
}

/* Gives memory of idle pages back to the kernel until `more` bytes fit below the limit. */
static void idle_trim(struct slab *s, size_t more)
{
    size_t room = s->limit_bytes - slab_used_bytes(s);
    CHECK(more <= room);
    while (s->idle != NULL && s->idle_pages * SLAB_PAGE_BYTES + more > room) {
        struct page *p = s->idle;
        s->idle = p->next;
        s->idle_pages--;
        p->next = s->cold;
        s->cold = p;
        /* Should it fail, the memory just stays: nothing depends on its content. */
        (void)madvise(page_bytes(s, p), SLAB_PAGE_BYTES, MADV_DONTNEED);
    }
}

void slab_limit_lower(struct slab *s, size_t bytes)
{
    size_t used = slab_used_bytes(s);
    if (bytes < used) bytes = used;
    if (bytes >= s->limit_bytes) return;
    idle_trim(s, s->limit_bytes - bytes);
    s->limit_bytes = bytes;
}

SLOW static void *large_take(struct slab *s, size_t bytes)
{
    size_t room = s->limit_bytes - slab_used_bytes(s);
    if (bytes > room) return NULL; /* also keeps the rounding below from wrapping */
    size_t mapped = round_up(bytes, OS_PAGE_BYTES);
    if (mapped > room) return NULL;
    idle_trim(s, mapped);
    void *ptr = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ptr == MAP_FAILED) return NULL;
    POISON((char *)ptr + bytes, mapped - bytes);
    s->large_bytes += mapped;
    return ptr;
}

SLOW static void large_give(struct slab *s, void *ptr, size_t bytes)
{
    size_t mapped = round_up(bytes, OS_PAGE_BYTES);
    CHECK(((uintptr_t)ptr & (OS_PAGE_BYTES - 1)) == 0);
    CHECK(mapped <= s->large_bytes);
    UNPOISON(ptr, mapped);
    /* The kernel may refuse to split a mapping in two when the process has very many: then only
     * the address space stays. */
    if (ODD(munmap(ptr, mapped) != 0)) (void)madvise(ptr, mapped, MADV_DONTNEED);
    s->large_bytes -= mapped;
}

void *slab_take(struct slab *s, size_t bytes)
{
    if (__builtin_expect(bytes > CLASS_BYTES_MAX, 0)) return large_take(s, bytes);
    uint32_t class = class_of(bytes);
    struct page *p = s->partial[class].next;
    if (__builtin_expect(p == &s->partial[class], 0)) {
        p = page_take(s, class);
        if (p == NULL) return NULL;
    }
    struct idle_object *o = p->given;
    if (o != NULL) {
        UNPOISON(o, bytes > sizeof *o ? bytes : sizeof *o);
        CHECK(o->mark == ((uintptr_t)o ^ GIVEN_MARK)); /* else it was written to after its give */
        p->given = o->next;
    } else {
        o = (struct idle_object *)(void *)(page_bytes(s, p) +
                                           (size_t)p->fresh++ * class_bytes[class]);
        UNPOISON(o, bytes > sizeof *o ? bytes : sizeof *o);
    }
    o->mark = 0;
    if (++p->used == class_fit[class]) partial_remove(p);
    return o;
}

void slab_give(struct slab *s, void *ptr, size_t bytes)
{
    CHECK(ptr != NULL);
    if (__builtin_expect(bytes > CLASS_BYTES_MAX, 0)) {
        large_give(s, ptr, bytes);
        return;
    }
    size_t offset = (uintptr_t)ptr - (uintptr_t)s->pages;
    CHECK(offset < (size_t)s->fresh_pages * SLAB_PAGE_BYTES);
    struct page *p = &s->table[offset / SLAB_PAGE_BYTES];
    uint32_t class = class_of(bytes);
    CHECK(p->class == class);
    CHECK(p->used > 0);
    CHECK_HOT(offset % SLAB_PAGE_BYTES % class_bytes[class] == 0);
    struct idle_object *o = ptr;
    UNPOISON(o, sizeof *o);
    CHECK(o->mark != ((uintptr_t)o ^ GIVEN_MARK)); /* else it was given twice */
    o->next = p->given;
    o->mark = (uintptr_t)o ^ GIVEN_MARK;
    p->given = o;
    POISON(o, class_bytes[class]);
    if (p->used-- == class_fit[class]) partial_append(s, p);
    if (p->used == 0) page_give(s, p);
}

/* CHECKs one page of a class and its given objects. */
NO_ASAN static void validate_page(const struct slab *s, const struct page *p)
{
    CHECK(p->class < CLASS_COUNT);
    CHECK(p->used <= class_fit[p->class]);
    CHECK(p->fresh <= class_fit[p->class]);
    size_t given = 0;
    for (const struct idle_object *o = p->given; o != NULL; o = o->next) {
        size_t offset = (size_t)((uintptr_t)o - (uintptr_t)page_bytes(s, p));
        CHECK(offset < SLAB_PAGE_BYTES);
        CHECK(offset % class_bytes[p->class] == 0);
        CHECK(offset / class_bytes[p->class] < p->fresh);
        CHECK(o->mark == ((uintptr_t)o ^ GIVEN_MARK));
        given++;
        CHECK(given <= p->fresh);
    }
    CHECK(given + p->used == p->fresh);
}

/* The length of a list of emptied pages, CHECKed to be such. */
static size_t validate_emptied(const struct slab *s, const struct page *first)
{
    size_t length = 0;
    for (const struct page *p = first; p != NULL; p = p->next) {
        CHECK(p->used == 0);
        length++;
        CHECK(length <= s->fresh_pages);
    }
    return length;
}

/* The length of a class's list, CHECKed: every page in it has both an object out and room. */
static size_t validate_partial(const struct slab *s, uint32_t class)
{
    const struct page *head = &s->partial[class];
    size_t length = 0;
    for (const struct page *p = head->next; p != head; p = p->next) {
        CHECK(p->next->prev == p);
        CHECK(p->class == class);
        CHECK(p->used > 0);
        CHECK(p->used < class_fit[class]);
        length++;
        CHECK(length <= s->used_pages);
    }
    CHECK(head->next->prev == head);
    return length;
}

void slab_validate(const struct slab *s)
{
    CHECK(s->fresh_pages <= s->page_count);
    CHECK(slab_used_bytes(s) + s->idle_pages * SLAB_PAGE_BYTES <= s->limit_bytes);
    size_t used = 0, with_room = 0, partial = 0;
    for (uint32_t i = 0; i < s->fresh_pages; i++) {
        const struct page *p = &s->table[i];
        if (p->used == 0) continue;
        validate_page(s, p);
        used++;
        if (p->used < class_fit[p->class]) with_room++;
    }
    for (uint32_t class = 0; class < CLASS_COUNT; class ++) partial += validate_partial(s, class);
    size_t idle = validate_emptied(s, s->idle);
    CHECK(used == s->used_pages);
    CHECK(with_room == partial);
    CHECK(idle == s->idle_pages);
    CHECK(used + idle + validate_emptied(s, s->cold) == s->fresh_pages);
}
