/* SPDX-License-Identifier: MIT
 * The keeper: one thread per client, however many locks (or none, see redlock_host). It renews,
 * tells holders that a lock is lost, and undoes in the background what a caller could not wait for.
 * It has one connection of its own, and sleeps until the next instant of its schedule; taking and
 * releasing locks wakes it only when that instant moves forward.
 *
 * A lock's life is its tenure (engine/tenure.h), and lock_move alone moves it. Here it is listed
 * and scheduled while something may be due for it: its renewal and its end while it is held, the
 * news of its loss, its undo.
 *
 * An errand pins the lock, as calls and callbacks do: whoever takes the last pin off a tenure that
 * is over frees the lock.
 *
 * Threads: `mutex` guards the schedule, the list and every lock's fields but those said to be
 * atomic. No callback of the user runs under it. The connection belongs to the keeper's thread
 * alone. */
#ifndef REDLOCK_KEEPER_KEEPER_H
#define REDLOCK_KEEPER_KEEPER_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/hold.h"
#include "engine/server_clock.h"
#include "engine/tenure.h"
#include "host/fork.h"
#include "host/mutex.h"
#include "host/wake.h"
#include "keeper/alarm.h"
#include "keeper/operation.h"
#include "keeper/poller.h"
#include "keeper/schedule.h"
#include "lane/lane.h"
#include "wire/identity.h"

typedef struct keeper keeper;

/* The number of the keeper's own lane; the pool's come after it. */
enum { KEEPER_LANE = 1 };

/* What the keeper asks about a lock: a renewal or an undo, one at a time. With the mutex. */
enum errand_state { ERRAND_NONE, ERRAND_RENEWAL, ERRAND_OLD_RENEWAL, ERRAND_UNDO };
typedef struct errand {
    call call; /* first */
    int64_t nonce;
    loading loading; /* with by_source */
    bool by_source;
    unsigned char state; /* OLD_RENEWAL: it left before a conversion that was carried out since */
} errand;

/* What the user heard of a lock that was lost. With the mutex. */
enum loss { LOSS_NONE, LOSS_UNTOLD, LOSS_BEING_TOLD, LOSS_TOLD };

struct redlock_lock {
    errand errand; /* first */
    timer timer;
    hold hold;
    keeper *keeper;
    redlock_lock *next, **listed_at; /* in the keeper's list, while held or undone; listed_at NULL:
                                        it is not there */
    redlock_lock *same_bucket;       /* in the client's table of holds */
    redlock_lost_fn *on_lost;
    void *on_lost_arg;
    _Atomic uint64_t standing; /* the tenure's own fence and the kind that is believed, for who has
                                  not the mutex */
    uint64_t number;           /* of the hold; its hold id ends in it */
    uint64_t thread; /* that holds it, for re-entry; guarded by the table's mutex, as is ... */
    unsigned depth;  /* ... how often a reentrant hold was entered */
    uint32_t name_hash;
    unsigned inbox_number; /* where its grant is told, 0: it never queued; and with it ... */
    uint32_t claim_ms;     /* ... what an undo needs to name the waiter's member */
    int64_t acquired_us;
    int64_t until_us; /* in LEAVING: the end of the lease that was let go of. Undone: when that is
                         given up */
    int64_t unanswered_us; /* when an acquire of this hold was sent that may still be carried out;
                              0: none */
    tenure tenure;         /* with the mutex, and moved by lock_move alone */
    _Atomic unsigned char state; /* of the tenure, for who has not the mutex */
    unsigned char loss;          /* enum loss */
    bool is_reentrant;
    bool was_handed_over; /* others want this lock */
    bool undo_counts; /* in `undone`: a question about it was never answered, nor undone behind that
                       */
    uint32_t key_length, name_length, holder_length;
    uint16_t owner_length;                /* without its mark; 0: none. It begins the holder ... */
    uint16_t hold_id_length, mode_length; /* ... and this follows */
    char bytes[];                         /* key, name, holder, mode; each with a NUL */
};

static inline const char *lock_key(const redlock_lock *lock) { return lock->bytes; }
static inline const char *lock_name(const redlock_lock *lock)
{
    return lock->bytes + lock->key_length + 1;
}
static inline const char *lock_holder(const redlock_lock *lock)
{
    return lock_name(lock) + lock->name_length + 1;
}
static inline const char *lock_mode(const redlock_lock *lock)
{
    return lock_holder(lock) + lock->holder_length + 1;
}
static inline const char *lock_owner(const redlock_lock *lock) { return lock_holder(lock) + 1; }
static inline const char *lock_hold_id(const redlock_lock *lock)
{
    return lock_owner(lock) + lock->owner_length + 1;
}
static inline enum tenure_state lock_state(const redlock_lock *lock)
{
    return (enum tenure_state)atomic_load_explicit(&lock->state, memory_order_relaxed);
}
/* Undone by the client's close; the user still has the handle. */
static inline bool lock_is_closed(const redlock_lock *lock)
{
    enum tenure_state state = lock_state(lock);
    return state == TENURE_TAKING || state == TENURE_TAKEN;
}
/* Fence and kind are one word, so that nobody sees one of them without the other. */
static inline uint64_t standing_word(uint64_t fence, char kind)
{
    return fence << 1 | (kind == KIND_EXCLUSIVE);
}
static inline uint64_t lock_fence(const redlock_lock *lock)
{
    return atomic_load_explicit(&lock->standing, memory_order_relaxed) >> 1;
}
static inline char lock_kind(const redlock_lock *lock)
{
    bool is_exclusive = atomic_load_explicit(&lock->standing, memory_order_relaxed) & 1;
    return is_exclusive ? KIND_EXCLUSIVE : KIND_SHARED;
}

/* What the keeper takes from its client; all of it outlives the keeper. */
typedef struct keeper_terms {
    const conn_config *config;
    const char *key_prefix;
    const identity *who;
    _Atomic int64_t *nonces;
    int64_t timeout_us;
    int64_t linger_ms, grace_ms;
    redlock_stats *stats;
    void (*free_lock)(redlock_lock *lock); /* called without the mutex */
    void (*close)(
        struct keeper *keeps); /* on the keeper's own thread, after a callback closed the client */
    redlock_host host;
    const fork_guard *fork;
} keeper_terms;

struct keeper {
    mutex mutex;
    pthread_cond_t called_back;
    keeper_terms terms;
    schedule timers;
    size_t lock_count;         /* room in the schedule is kept for so many */
    redlock_lock *locks;       /* those that are held or undone */
    size_t undoing;            /* of them */
    size_t releasing;          /* locks whose release is waited for: closing waits, too */
    server_clock server_clock; /* as the keeper's own answers tell it */
    redlock_lock
        *to_hasten;  /* after a step of it: the next to be renewed sooner, and those behind it */
    int64_t step_us; /* ... of so much */
    redlock_lock *to_take; /* closing: the next to be taken away, and those behind it */
    lane lane;
    operations operations;
    poller poller; /* of a client without a thread */
    wake wake;
    alarm_clock alarm;
    int64_t armed_us; /* the keeper sleeps until then; INT64_MIN: it is awake */
    pthread_t thread;
    _Atomic bool has_thread;
    _Atomic uint64_t turning;     /* the number of the thread that is in a turn; 0: none */
    _Atomic bool close_requested; /* by a callback: closing begins when the turn is over */
    bool is_closing;
    bool is_taking; /* closing began to take locks away */
    bool has_ended; /* nobody turns it any more */
    int64_t closing_until_us;
};

redlock_status keeper_init(keeper *self, const keeper_terms *terms);

/* Room for one more lock, before it is acquired, so that nothing can fail afterwards; needs_thread:
 * it will be renewed or watched. keeper_unreserve gives it back. */
redlock_status keeper_reserve(keeper *self, bool needs_thread);
void keeper_unreserve(keeper *self);

/* The lock is held from now on, with this version: its hold was begun. */
void keeper_adopt(keeper *self, redlock_lock *lock, uint64_t fence, char kind);

/* From now on the loss of a held lock is told; false: it is lost already, and nobody was told. One
 * that the client's close has taken away counts as held. */
bool keeper_watch(keeper *self, redlock_lock *lock, redlock_lost_fn *on_lost);

/* An acquisition came to nothing. is_owed: the server may know of it all the same, and it is undone
 * in the background. The handle is the keeper's. */
void keeper_give_up(keeper *self, redlock_lock *lock, bool is_owed, int64_t now_us);

/* The user lets go of it: from now on it is not held, no renewal and no on_lost starts. One that
 * another thread is in has returned, too, if this waits for it; otherwise before the keeper's next
 * turn. REDLOCK_OK: whoever calls asks for the release, and tells of its end with one of the two
 * below. Otherwise the handle is the keeper's: REDLOCK_LOST, it was not held any more;
 * REDLOCK_ERR_CLOSED, the client's close took it. */
redlock_status keeper_let_go(keeper *self, redlock_lock *lock, bool waits, int64_t now_us);
void keeper_released(keeper *self, redlock_lock *lock);
void keeper_unanswered(keeper *self, redlock_lock *lock,
                       int64_t now_us); /* it is undone in the background */

/* Something else uses the handle for a while: it is not freed before keeper_unuse. */
void keeper_use(keeper *self, redlock_lock *lock);
void keeper_unuse(keeper *self, redlock_lock *lock);

/* An answer to an extension tells how the hold stands. The question left at sent_us, when the
 * tenure's own fence was own_fence: an older answer means that the server has lost data, and the
 * hold lapses. */
void keeper_told(keeper *self, redlock_lock *lock, const standing *held, uint64_t own_fence,
                 int64_t sent_us);

/* What is known of it: among it the fence that a conversion is to be made for. A conversion for a
 * fence is about to be sent: from now on no more is believed than what holds whether it is carried
 * out or not. */
tenure keeper_known(keeper *self, const redlock_lock *lock);
void keeper_doubted(keeper *self, redlock_lock *lock, uint64_t fence);

/* The same as keeper_told for an answer to a conversion to that kind. What is known from then on is
 * returned. */
tenure keeper_told_conversion(keeper *self, redlock_lock *lock, const standing *held,
                              const conversion *asked, int64_t sent_us);

/* The lock was renewed without a bound so far. From now on the maximum hold counts; or, without
 * auto_renew, it is no longer renewed, and lasts for the lease that it has. */
void keeper_bound(keeper *self, redlock_lock *lock, bool auto_renew, int64_t max_hold_ms,
                  int64_t now_us);

/* The server no longer knows the lock. */
void keeper_lost(keeper *self, redlock_lock *lock);

/* For how long, in ms from now, the hold's id is to be refused by the server: as long as an acquire
 * of it may still arrive. 0: none can. */
int64_t lock_burial_ms(const redlock_lock *lock, int64_t now_us);

/* Hands asynchronous operations in, this one and those that `after` leads to, all or none; and
 * cancels one. From any thread. */
redlock_status keeper_submit(keeper *self, operation *first);
void keeper_cancel(keeper *self, uint64_t id);

/* One turn without waiting, on the calling thread (a client without a thread). */
void keeper_process(keeper *self);

/* Until when keeper_process has nothing to do by the clock. */
int64_t keeper_wake_us(keeper *self);

/* Is this the keeper's own thread: a callback? */
bool keeper_is_calling(const keeper *self);

/* Completes every operation, undoes every lock that is still held, until `until_us` at the latest,
 * and ends the thread. The locks stay with their users; undone ones are freed. */
void keeper_close(keeper *self, int64_t until_us);
void keeper_destroy(keeper *self);

#endif
