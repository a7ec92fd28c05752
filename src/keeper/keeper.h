/* SPDX-License-Identifier: MIT
 * The keeper: one thread per client, however many locks (or none, see redlock_host). It renews,
 * tells holders that a lock is lost or at risk, and undoes in the background what a caller could
 * not wait for. It has one connection of its own, and sleeps until the next instant of its
 * schedule; taking and releasing locks wakes it only when that instant moves forward.
 *
 * Threads: the mutex of its locks guards what is not the turning thread's own. No callback of the
 * user runs under it. The connection belongs to the keeper's thread alone. */
#ifndef REDLOCK_KEEPER_KEEPER_H
#define REDLOCK_KEEPER_KEEPER_H

#include "engine/server_clock.h"
#include "host/fork.h"
#include "host/seldom.h"
#include "keeper/alarm.h"
#include "keeper/locks.h"
#include "keeper/operation.h"
#include "keeper/poller.h"
#include "lane/lane.h"

typedef struct keeper keeper;

/* The number of the keeper's own lane; the pool's come after it. */
enum { KEEPER_LANE = 1 };

/* What the keeper takes from its client; all of it outlives the keeper. */
typedef struct keeper_terms {
    const conn_config *config;
    const lane_terms *lane_terms;
    _Atomic int64_t *nonces;
    int64_t timeout_us;
    int64_t linger_ms, grace_ms;
    redlock_stats *stats;
    void (*free_lock)(redlock_lock *lock); /* called without the mutex */
    /* On the keeper's own thread, after a callback closed the client. */
    void (*close)(struct keeper *keeps);
    redlock_host host;
    const fork_guard *fork;
} keeper_terms;

struct keeper {
    lock_list locks; /* their mutex is the keeper's */
    pthread_cond_t called_back;
    keeper_terms terms;
    server_clock server_clock; /* as the keeper's own answers tell it */
    lane lane;
    lane_watch watch; /* of its connections, for the poller */
    operations operations;
    poller poller; /* of a client without a thread */
    alarm_clock alarm;
    pthread_t thread;
    _Atomic bool has_thread;
    _Atomic uint64_t turning;     /* the number of the thread that is in a turn; 0: none */
    _Atomic bool close_requested; /* by a callback: closing begins when the turn is over */
    unsigned moves_seen;          /* of the cluster's slots */
    bool is_taking;               /* closing began to take locks away */
    seldom losses;                /* that nobody is told of */
    bool has_ended;               /* nobody turns it any more */
};

redlock_status keeper_init(keeper *self, const keeper_terms *terms);

/* Room for one more lock, before it is acquired, so that nothing can fail afterwards; needs_thread:
 * it will be renewed or watched. keeper_unreserve gives it back. */
redlock_status keeper_reserve(keeper *self, bool needs_thread);
void keeper_unreserve(keeper *self);

/* The lock is held from now on, with this version: its hold was begun. */
void keeper_adopt(keeper *self, redlock_lock *lock, uint64_t fence, char kind);

/* From now on these are told of the loss of a held lock, and of its risk, but not before
 * keeper_introduced: its user hears of the lock meanwhile. REDLOCK_LOST: it is lost already, and
 * nobody was told. REDLOCK_ERR_CLOSED: the client's close has taken it away. */
redlock_status keeper_introduce(keeper *self, redlock_lock *lock, redlock_lost_fn *on_lost,
                                redlock_risk_fn *on_risk);
void keeper_introduced(keeper *self, redlock_lock *lock);

/* An acquisition came to nothing. is_owed: the server may know of it all the same, and it is undone
 * in the background. The handle is the keeper's. */
void keeper_give_up(keeper *self, redlock_lock *lock, bool is_owed, int64_t now_us);

/* The user lets go of it: from now on it is not held, no renewal and no callback starts. One that
 * another thread is in has returned, too, if this waits for it; otherwise before the keeper's next
 * turn. REDLOCK_OK: whoever calls asks for the release, and tells of its end with one of the two
 * below. Otherwise the handle is the keeper's: REDLOCK_LOST, it was not held any more;
 * REDLOCK_ERR_CLOSED, the client's close took it. */
redlock_status keeper_let_go(keeper *self, redlock_lock *lock, bool waits, int64_t now_us);
void keeper_released(keeper *self, redlock_lock *lock);
void keeper_unanswered(keeper *self, redlock_lock *lock,
                       int64_t now_us); /* it is undone in the background */

/* Hands asynchronous operations in, this one and those that `after` leads to, all or none; and
 * cancels one. From any thread. */
redlock_status keeper_submit(keeper *self, operation *first);
void keeper_cancel(keeper *self, uint64_t id);

/* One turn without waiting, on the calling thread (a client without a thread). */
void keeper_process(keeper *self);

/* Until when keeper_process has nothing to do by the clock. */
int64_t keeper_wake_us(keeper *self);

/* For the line about an outage; `arg` is the keeper. Any thread, without its mutex. */
void keeper_write_stakes(void *arg, char *out, size_t size, int64_t now_us);

/* Is this the keeper's own thread: a callback? */
bool keeper_is_calling(const keeper *self);

/* Completes every operation, undoes every lock that is still held, until `until_us` at the latest,
 * and ends the thread. The locks stay with their users; undone ones are freed. */
void keeper_close(keeper *self, int64_t until_us);
void keeper_destroy(keeper *self);

#endif
