/* SPDX-License-Identifier: MIT
 * The commands that the keeper sends for locks, and what their answers mean. Private to the keeper. */
#ifndef REDLOCK_KEEPER_ERRAND_H
#define REDLOCK_KEEPER_ERRAND_H

#include "keeper/keeper.h"

/* Sends what is due for the lock: a renewal, or an undo. Called with the mutex. When it cannot be sent now, it is scheduled again. */
void errand_send(keeper *self, redlock_lock *lock, int64_t now_us);

/* Schedules the lock's next instant, or takes it off the schedule. With the mutex. */
void keeper_plan(keeper *self, redlock_lock *lock, int64_t now_us);

/* Takes the lock out of the keeper's list. With the mutex. */
void keeper_unlist(keeper *self, redlock_lock *lock);

/* The undo is over, well or not. With the mutex. True when the lock is now to be freed, without the mutex. */
bool keeper_end_undo(keeper *self, redlock_lock *lock);

#endif
