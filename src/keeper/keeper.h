/* SPDX-License-Identifier: MIT
 * The keeper: one thread per client, however many locks (or none, see redlock_host). It renews, tells holders that a
 * lock is lost, and undoes in the background what a caller could not wait for. It has one connection of its own, and
 * sleeps until the next instant of its schedule; taking and releasing locks wakes it only when that instant moves
 * forward.
 *
 * A lock's life here:
 *
 *              keeper_adopt                on_lost, at valid_until
 *   (acquire) --------------> HELD ------------------------------------> LOST
 *                              |                                          |
 *                              | keeper_forget (release)                  | keeper_forget
 *                              v                                          v
 *                           RELEASED <------------------------------------+
 *                              |
 *                              | keeper_undo: the server could not be told
 *                              v
 *                           UNDOING ----- answered, or undo_until_us -----> freed
 *
 * An errand is a command that the keeper sends for a lock, at most one at a time: a renewal, or an undo.
 * A lock whose user lets go while its errand is out is freed by the answer.
 *
 * Threads: `mutex` guards the schedule, the list and every lock's fields but those said to be atomic. No callback of
 * the user runs under it. The connection belongs to the keeper's thread alone. */
#ifndef REDLOCK_KEEPER_KEEPER_H
#define REDLOCK_KEEPER_KEEPER_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/hold.h"
#include "engine/server_clock.h"
#include "engine/version.h"
#include "keeper/alarm.h"
#include "keeper/operation.h"
#include "keeper/poller.h"
#include "keeper/schedule.h"
#include "lane/lane.h"
#include "wire/identity.h"

typedef struct keeper keeper;

/* The number of the keeper's own lane; the pool's come after it. */
enum { KEEPER_LANE = 1 };

enum lock_state { LOCK_HELD, LOCK_LOST, LOCK_RELEASED, LOCK_UNDOING };

struct redlock_lock {
    call call; /* first: of the errand */
    timer timer;
    hold hold;
    keeper *keeper;
    redlock_lock *previous, *next; /* in the keeper's list, while held or undone */
    redlock_lock *same_bucket;     /* in the client's table of holds */
    redlock_lost_fn *on_lost;
    void *on_lost_arg;
    _Atomic uint64_t fence;
    uint64_t number; /* of the hold; its hold id ends in it */
    uint64_t name_hash;
    uint64_t thread; /* that holds it, for re-entry; guarded by the table's mutex, as is ... */
    unsigned depth;  /* ... how often a reentrant hold was entered */
    int64_t acquired_us;
    int64_t claim_ms; /* with inbox_number: what an undo needs to name the waiter's member */
    int64_t undo_until_us;
    int64_t unanswered_us; /* when an acquire of this hold was sent that may still be carried out; 0: none */
    version version;       /* what the server told of it; with the mutex */
    int64_t nonce;         /* of the errand under way */
    enum lock_state state;
    _Atomic char kind; /* that is believed: see engine/version.h */
    _Atomic bool is_lost;
    _Atomic bool is_closed; /* undone by the client's close; the user still has the handle */
    bool is_reentrant;
    bool is_listed;
    bool is_calling_back; /* on_lost is running */
    bool is_abandoned;    /* the user let go while the errand was out: its answer frees the lock */
    bool is_in_release;   /* forgotten, and not yet freed or to be undone */
    bool errand_is_out;   /* the connection has `call` */
    bool errand_is_undo;
    bool by_source;
    loading loading;       /* with by_source */
    bool was_handed_over;  /* others want this lock */
    bool is_gone;          /* the server itself said that the holder is not there */
    bool is_unanswered;    /* a question about it never was answered: undoing it counts as such ... */
    bool undo_is_behind;   /* ... and did already, when it was sent behind that question */
    unsigned users;        /* extensions under way, which the handle outlives */
    unsigned inbox_number; /* 0: it never queued */
    uint32_t key_length, name_length, holder_length;
    uint16_t owner_length;                /* without its mark; 0: none. It begins the holder ... */
    uint16_t hold_id_length, mode_length; /* ... and this follows */
    char bytes[];                         /* key, name, holder, mode; each with a NUL */
};

static inline const char *lock_key(const redlock_lock *lock) { return lock->bytes; }
static inline const char *lock_name(const redlock_lock *lock) { return lock->bytes + lock->key_length + 1; }
static inline const char *lock_holder(const redlock_lock *lock) { return lock_name(lock) + lock->name_length + 1; }
static inline const char *lock_mode(const redlock_lock *lock) { return lock_holder(lock) + lock->holder_length + 1; }
static inline const char *lock_owner(const redlock_lock *lock) { return lock_holder(lock) + 1; }
static inline const char *lock_hold_id(const redlock_lock *lock) { return lock_owner(lock) + lock->owner_length + 1; }
static inline char lock_kind(const redlock_lock *lock)
{
    return atomic_load_explicit(&lock->kind, memory_order_relaxed);
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
    void (*close)(struct keeper *keeps);   /* on the keeper's own thread, after a callback closed the client */
    redlock_host host;
} keeper_terms;

struct keeper {
    pthread_mutex_t mutex;
    pthread_cond_t called_back;
    keeper_terms terms;
    schedule timers;
    size_t lock_count;         /* room in the schedule is kept for so many */
    redlock_lock *locks;       /* those that are held or undone */
    size_t undoing;            /* of them */
    size_t releasing;          /* locks that are in the hands of a thread that releases them: closing waits for it */
    server_clock server_clock; /* as the keeper's own answers tell it */
    redlock_lock *to_hasten;   /* after a step of it: the next to be renewed sooner, and those behind it */
    int64_t step_us;           /* ... of so much */
    lane lane;
    operations operations;
    poller poller; /* of a client without a thread */
    int wake_fd;
    alarm_clock alarm;
    int64_t armed_us; /* the keeper sleeps until then; INT64_MIN: it is awake */
    pthread_t thread;
    _Atomic bool has_thread;
    _Atomic uint64_t turning;     /* the number of the thread that is in a turn; 0: none */
    _Atomic bool close_requested; /* by a callback: closing begins when the turn is over */
    bool is_closing;
    bool has_ended; /* nobody turns it any more */
    int64_t closing_until_us;
};

redlock_status keeper_init(keeper *self, const keeper_terms *terms);

/* Room for one more lock, before it is acquired, so that nothing can fail afterwards; needs_thread: it will
 * be renewed or watched. keeper_unreserve gives it back. */
redlock_status keeper_reserve(keeper *self, bool needs_thread);
void keeper_unreserve(keeper *self);

/* The lock is held from now on: its hold was begun. */
void keeper_adopt(keeper *self, redlock_lock *lock);

/* From now on the loss of a held lock is told; false: it is lost already, and nobody was told. One that the client's
 * close has taken away counts as held. */
bool keeper_watch(keeper *self, redlock_lock *lock, redlock_lost_fn *on_lost);

/* The user gives it up: no renewal starts and no on_lost runs after this returns. The errand may still be out. */
void keeper_forget(keeper *self, redlock_lock *lock);

/* Frees a forgotten lock, or leaves that to its errand. */
void keeper_free(keeper *self, redlock_lock *lock);

/* Something else uses the handle for a while: it is not freed before keeper_unuse. */
void keeper_use(keeper *self, redlock_lock *lock);
void keeper_unuse(keeper *self, redlock_lock *lock);

/* Takes over a forgotten lock, or one whose acquisition is owed, and undoes it on the server. */
void keeper_undo(keeper *self, redlock_lock *lock, int64_t now_us);

/* An answer to an extension or a conversion, sent at sent_us, tells how the hold stands. */
void keeper_told(keeper *self, redlock_lock *lock, const standing *held, int64_t sent_us);

/* The version that is known of it: the fence that a conversion is to be made for. A conversion for a fence is about to
 * be sent: from now on no more is believed than what holds whether it is carried out or not. */
version keeper_known(keeper *self, const redlock_lock *lock);
void keeper_doubted(keeper *self, redlock_lock *lock, uint64_t fence);

/* From now on the lock is no longer renewed: it lasts for the lease that it has. */
void keeper_end_renewal(keeper *self, redlock_lock *lock, int64_t now_us);

/* The server no longer knows the lock. */
void keeper_lost(keeper *self, redlock_lock *lock);

/* For how long, in ms from now, the hold's id is to be refused by the server: as long as an acquire of it may still
 * arrive. 0: none can. */
int64_t lock_burial_ms(const redlock_lock *lock, int64_t now_us);

/* Hands an asynchronous operation in, and cancels one, from any thread. */
redlock_status keeper_submit(keeper *self, operation *op);
void keeper_cancel(keeper *self, uint64_t id);

/* One turn without waiting, on the calling thread (a client without a thread). */
void keeper_process(keeper *self);

/* Until when keeper_process has nothing to do by the clock. */
int64_t keeper_wake_us(keeper *self);

/* Is this the keeper's own thread: a callback? */
bool keeper_is_calling(const keeper *self);

/* Completes every operation, undoes every lock that is still held, until `until_us` at the latest, and ends the thread.
 * The locks stay with their users; undone ones are freed. */
void keeper_close(keeper *self, int64_t until_us);
void keeper_destroy(keeper *self);

#endif
