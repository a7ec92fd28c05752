/* SPDX-License-Identifier: MIT
 * What the keeper's files share: keeper.c has the doors for other threads, turn.c what happens
 * inside, errand.c the commands for locks, operation.c the asynchronous operations. */
#ifndef REDLOCK_KEEPER_KEEPER_INTERNAL_H
#define REDLOCK_KEEPER_KEEPER_INTERNAL_H

#include "keeper/keeper.h"

/* Sends what is due for the lock: a renewal, or an undo. Called with the mutex. When it cannot be
 * sent now, it is scheduled again. */
void errand_send(keeper *self, redlock_lock *lock, int64_t now_us);

/* Schedules the lock's next instant, or takes it off the schedule. With the mutex. */
void keeper_plan(keeper *self, redlock_lock *lock);

/* The client is closed: what is held is taken away, and undone. With the mutex. */
void keeper_take(keeper *self, redlock_lock *lock, int64_t now_us);

/* Takes the lock out of the keeper's list. With the mutex. */
void keeper_unlist(keeper *self, redlock_lock *lock);

/* The one way in which a tenure moves. With the mutex. False: the event means nothing in its
 * state. */
bool lock_move(redlock_lock *lock, enum tenure_event what);

/* Takes a pin off. With the mutex. True when the lock is now to be freed, without the mutex. */
bool lock_unpin(redlock_lock *lock);

/* The version that an answer tells, with the mutex. False: it is so old that the hold has
 * lapsed. */
bool lock_told(redlock_lock *lock, const standing *held, uint64_t own_fence);

/* Ends the sleep of whoever turns. With the mutex. */
void keeper_wake(keeper *self);

/* One round: what is due, then the sockets, waited for until something is due. False when closing
 * is complete. */
bool keeper_turn(keeper *self);

/* Starts the thread, if the client is to have one. With the mutex. */
redlock_status keeper_start(keeper *self);

/* What could not be undone in time belongs to nobody any more. */
void keeper_let_go_of_all(keeper *self);

#endif
