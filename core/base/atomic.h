/* core/base/atomic.h - the only ways this program touches memory shared between threads.
 *
 * Each shared field's header comment names its writer, its readers and which of these it uses.
 * Anything stronger or rarer (compare-exchange) is spelled out where it stands, with the reason.
 */
#ifndef CORE_BASE_ATOMIC_H
#define CORE_BASE_ATOMIC_H

/* Runs before each of them; a test that tries every interleaving defines it, and includes the
 * source file under test behind that. */
#ifndef ATOMIC_STEP
#define ATOMIC_STEP() ((void)0)
#endif

/* Reads what a store_rel() published, and everything written before it. */
#define load_acq(ptr) (ATOMIC_STEP(), __atomic_load_n((ptr), __ATOMIC_ACQUIRE))
/* Publishes *ptr and everything written before it. */
#define store_rel(ptr, value) (ATOMIC_STEP(), __atomic_store_n((ptr), (value), __ATOMIC_RELEASE))
/* A counter: no order with anything else. Returns the value before. */
#define add_rlx(ptr, value) (ATOMIC_STEP(), __atomic_fetch_add((ptr), (value), __ATOMIC_RELAXED))
/* A counter with a single writer, read by others: no locked instruction. */
#define load_rlx(ptr)         (ATOMIC_STEP(), __atomic_load_n((ptr), __ATOMIC_RELAXED))
#define store_rlx(ptr, value) (ATOMIC_STEP(), __atomic_store_n((ptr), (value), __ATOMIC_RELAXED))

/* If *ptr is still *old, makes it value and is true; else reads it into *old. One word that is a
 * whole fact by itself needs no order; one that publishes or takes over other memory needs it. */
#define cas_rlx(ptr, old, value) \
    (ATOMIC_STEP(), __atomic_compare_exchange_n((ptr), (old), (value), false, __ATOMIC_RELAXED, \
                                                __ATOMIC_RELAXED))
#define cas_acq_rel(ptr, old, value) \
    (ATOMIC_STEP(), __atomic_compare_exchange_n((ptr), (old), (value), false, __ATOMIC_ACQ_REL, \
                                                __ATOMIC_ACQUIRE))

/* Gives back what others may then take over: after all that was done with it. The value before. */
#define sub_rel(ptr, value) (ATOMIC_STEP(), __atomic_fetch_sub((ptr), (value), __ATOMIC_RELEASE))

/* In one order for all threads: for two that each write one word and then read the other's, so that
 * at least one of them sees the other. */
#define load_seq(ptr) (ATOMIC_STEP(), __atomic_load_n((ptr), __ATOMIC_SEQ_CST))
#define cas_seq(ptr, old, value) \
    (ATOMIC_STEP(), __atomic_compare_exchange_n((ptr), (old), (value), false, __ATOMIC_SEQ_CST, \
                                                __ATOMIC_SEQ_CST))

#endif
