/* SPDX-License-Identifier: MIT
 * The locks of a client: what each of them is, the list of those that are held or undone, and the
 * schedule of what is due for them.
 *
 * A lock's life is its tenure (engine/tenure.h), and lock_move alone moves it. Here it is listed
 * and scheduled while something may be due for it: its renewal and its end while it is held, the
 * news of its loss, its undo. Who sees to that (the keeper) sleeps until `armed_us`, and is woken
 * when that instant moves forward.
 *
 * An errand pins the lock, as calls and callbacks do: whoever takes the last pin off a tenure that
 * is over frees the lock.
 *
 * Threads: `mutex` guards all of it, and every lock's fields but those said to be atomic. */
#ifndef REDLOCK_KEEPER_LOCKS_H
#define REDLOCK_KEEPER_LOCKS_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/hold.h"
#include "engine/notice.h"
#include "engine/tenure.h"
#include "host/mutex.h"
#include "host/wake.h"
#include "keeper/schedule.h"
#include "lane/loading.h"
#include "topology/route.h"
#include "wire/mode.h"

typedef struct lock_list lock_list;

/* What the keeper asks about a lock: a renewal or an undo, one at a time. With the mutex. */
enum errand_state { ERRAND_NONE, ERRAND_RENEWAL, ERRAND_OLD_RENEWAL, ERRAND_UNDO };
typedef struct errand {
    call call; /* first */
    int64_t nonce;
    loading loading; /* with by_source */
    way by;          /* where the next one goes */
    uint16_t asked;  /* the number of the node that the latest went to */
    bool by_source;
    unsigned char state; /* OLD_RENEWAL: it left before a conversion that was carried out since */
} errand;

struct redlock_lock {
    errand errand; /* first */
    timer timer;
    hold hold;
    lock_list *among;                /* those of its client */
    redlock_lock *next, **listed_at; /* in their list, while held or undone; listed_at NULL:
                                        it is not there */
    redlock_lock *same_bucket;       /* in the client's table of holds */
    redlock_lost_fn *on_lost;
    void *on_lost_arg;
    redlock_risk_fn *on_risk;
    void *on_risk_arg;
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
    unsigned char notice;        /* enum notice; with the mutex, and moved by lock_note alone */
    unsigned char why_lost;      /* redlock_loss; with the mutex */
    bool is_introduced; /* by a completion that has not returned yet: what its user is to be told of
                           it waits for that; with the mutex */
    bool is_reentrant;
    bool was_handed_over; /* others want this lock */
    bool undo_counts; /* in `undone`: a question about it was never answered, nor undone behind that
                       */
    int16_t slot;     /* of the key; NO_SLOT */
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

struct lock_list {
    mutex mutex;
    schedule timers;
    size_t count;            /* room in the schedule is kept for so many */
    redlock_lock *first;     /* of those that are held or undone */
    size_t undoing;          /* of them */
    size_t releasing;        /* locks whose release is waited for: closing waits, too */
    size_t renewing;         /* those that are held and renewed */
    bool lacks_connection;   /* whoever renews them has none */
    redlock_lock *to_hasten; /* after a step of the server's clock: the next to be renewed sooner,
                                and those behind it */
    int64_t step_us;         /* ... of so much */
    redlock_lock *to_take;   /* closing: the next to be taken away, and those behind it */
    wake wake;
    int64_t armed_us; /* whoever sees to them sleeps until then; AWAKE: it does not sleep */
    bool is_closing;
    int64_t closing_until_us;
    void (*free_lock)(redlock_lock *lock); /* called without the mutex */
};

#define AWAKE INT64_MIN

/* False: the system refuses a descriptor. */
bool locks_init(lock_list *self, void (*free_lock)(redlock_lock *lock));
void locks_destroy(lock_list *self, const memory *from);

/* Ends the sleep of whoever sees to them. With the mutex. */
void locks_wake(lock_list *self);

/* What is lost if nobody is served: so many renewed locks, the first of them at this instant, or
 * sooner, if there are so many that not all were looked at. */
typedef struct stakes {
    size_t renewed;
    int64_t first_us; /* NEVER: it is not known */
    bool may_be_sooner;
} stakes;
stakes locks_at_stake(lock_list *self);

/* ---- With the mutex ---- */

/* The one way in which a tenure moves. False: the event means nothing in its state. */
bool lock_move(redlock_lock *lock, enum tenure_event what);

/* The one way in which it moves what its user is told. */
void lock_note(redlock_lock *lock, enum notice_event what);

/* Nothing is due for it any more. */
void lock_unlist(redlock_lock *lock);

/* Schedules the lock's next instant, or takes it off the schedule. */
void lock_plan(redlock_lock *lock);

/* Is anything done about it while it is held? */
bool lock_is_watched(const redlock_lock *lock);

/* Is its user to be told that it is lost, or at risk? */
bool lock_tells_loss(const redlock_lock *lock);
bool lock_warns(const redlock_lock *lock, int64_t now_us);

/* An answer gave it a lease of lease_ms by a question that left at sent_us. */
void lock_renewed(redlock_lock *lock, int64_t sent_us, int64_t lease_ms);

/* It was granted, with this version. */
void lock_granted(redlock_lock *lock, uint64_t fence, char kind);

/* The version that an answer tells. False: it is so old that the hold has lapsed. */
bool lock_learn(redlock_lock *lock, const standing *held, uint64_t own_fence);

/* Until then it can wait for a server that is away: it has time for a few more attempts after that.
 * NEVER: it is not held. */
int64_t lock_hurry_us(const redlock_lock *lock, int64_t now_us);

/* It is undone from now on. */
void lock_begin_undo(redlock_lock *lock, int64_t now_us);

/* The client is closed: what is held is taken away, and undone. */
void lock_take(redlock_lock *lock, int64_t now_us);

/* Takes a pin off. True when the lock is now to be freed, without the mutex. */
bool lock_unpin(redlock_lock *lock);

/* ---- Doors for calls, which take the mutex ---- */

/* Something else uses the handle for a while: it is not freed before lock_unuse. */
void lock_use(redlock_lock *lock);
void lock_unuse(redlock_lock *lock);

/* An answer to an extension tells how the hold stands. The question left at sent_us, when the
 * tenure's own fence was own_fence: an older answer means that the server has lost data, and the
 * hold lapses. */
void lock_told(redlock_lock *lock, const standing *held, uint64_t own_fence, int64_t sent_us);

/* What is known of it: among it the fence that a conversion is to be made for. A conversion for a
 * fence is about to be sent: from now on no more is believed than what holds whether it is carried
 * out or not. */
tenure lock_known(const redlock_lock *lock);
void lock_doubted(redlock_lock *lock, uint64_t fence);

/* The same as lock_told for an answer to a conversion to that kind. What is known from then on is
 * returned. */
tenure lock_told_conversion(redlock_lock *lock, const standing *held, const conversion *asked,
                            int64_t sent_us);

/* The lock was renewed without a bound so far. From now on the maximum hold counts; or, without
 * auto_renew, it is no longer renewed, and lasts for the lease that it has. */
void lock_bound(redlock_lock *lock, bool auto_renew, int64_t max_hold_ms, int64_t now_us);

/* Why it is not held at now_us; REDLOCK_LOSS_NONE: it is, or its client was closed. */
redlock_loss lock_why_lost(const redlock_lock *lock, int64_t now_us);

/* The server no longer knows the lock. */
void lock_absent(redlock_lock *lock);

/* For how long, in ms from now, the hold's id is to be refused by the server: as long as an acquire
 * of it may still arrive. 0: none can. Without the mutex. */
int64_t lock_burial_ms(const redlock_lock *lock, int64_t now_us);

#endif
