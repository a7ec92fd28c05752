/* SPDX-License-Identifier: MIT
 * What the keeper's files share: keeper.c has the doors for other threads, turn.c what happens
 * inside, errand.c the commands for locks. */
#ifndef REDLOCK_KEEPER_KEEPER_INTERNAL_H
#define REDLOCK_KEEPER_KEEPER_INTERNAL_H

#include "keeper/keeper.h"

static inline route *keeper_route(const keeper *self) { return self->terms.lane_terms->route; }

/* Where the errands of the lock go; NULL: no memory. Called with the mutex. */
berth *errand_berth(keeper *self, const redlock_lock *lock);

/* Sends what is due for the lock: a renewal, or an undo. Called with the mutex. When it cannot be
 * sent now, it is scheduled again. */
void errand_send(keeper *self, redlock_lock *lock, int64_t now_us);

/* One round: what is due, then the sockets, waited for until something is due. False when closing
 * is complete. */
bool keeper_turn(keeper *self);

/* Starts the thread, if the client is to have one. With the mutex. */
redlock_status keeper_start(keeper *self);

/* What could not be undone in time belongs to nobody any more. */
void keeper_let_go_of_all(keeper *self);

#endif
