/* SPDX-License-Identifier: MIT
 * The doors of the keeper, through which any thread comes in; how it begins and ends. */
#include "keeper/keeper.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "engine/lease.h"
#include "host/clock.h"
#include "host/histogram.h"
#include "host/thread.h"
#include "keeper/keeper_internal.h"

/* What is in the poller leaves it before it is closed: the number may be somebody else's a moment
 * later. */
static void closing(void *self, conn *which, int fd)
{
    poller_forget(&((keeper *)self)->poller, which, fd);
}

redlock_status keeper_init(keeper *self, const keeper_terms *terms)
{
    *self = (keeper){.terms = *terms};
    if (!locks_init(&self->locks, terms->free_lock)) return REDLOCK_ERR_SYSTEM;
    self->locks.lacks_connection = true;
    if (!alarm_open(&self->alarm)) {
        locks_destroy(&self->locks, terms->config->memory);
        return REDLOCK_ERR_SYSTEM;
    }
    pthread_cond_init(&self->called_back, NULL);
    self->watch = (lane_watch){closing, self};
    lane_init(&self->lane, terms->lane_terms, KEEPER_LANE,
              terms->host == REDLOCK_HOST_MANUAL ? &self->watch : NULL);
    lane_listen(&self->lane, &operations_listener, &self->operations);
    self->lane.awaits_message = true;
    operations_init(&self->operations, &(operations_terms){.on = &self->lane,
                                                           .mutex = &self->locks.mutex,
                                                           .memory = terms->config->memory,
                                                           .nonces = terms->nonces,
                                                           .fork = terms->fork});
    self->poller.fd = -1;
    if (terms->host != REDLOCK_HOST_MANUAL) return REDLOCK_OK;
    self->locks.armed_us = NEVER; /* nobody turns it until the first wake-up */
    if (poller_open(&self->poller, self->locks.wake.fd, self->alarm.fd)) return REDLOCK_OK;
    keeper_destroy(self);
    return REDLOCK_ERR_SYSTEM;
}

redlock_status keeper_reserve(keeper *self, bool needs_thread)
{
    mutex_lock(&self->locks.mutex);
    redlock_status status = REDLOCK_OK;
    if (!schedule_reserve(&self->locks.timers, self->terms.config->memory, self->locks.count + 1))
        status = REDLOCK_ERR_MEMORY;
    else if (needs_thread) status = keeper_start(self);
    if (status == REDLOCK_OK) self->locks.count++;
    mutex_unlock(&self->locks.mutex);
    return status;
}

void keeper_unreserve(keeper *self)
{
    assert(!mutex_is_mine(&self->locks.mutex));
    mutex_lock(&self->locks.mutex);
    self->locks.count--;
    mutex_unlock(&self->locks.mutex);
}

void keeper_adopt(keeper *self, redlock_lock *lock, uint64_t fence, char kind)
{
    assert(lock->among == &self->locks);
    mutex_lock(&self->locks.mutex);
    lock_granted(lock, fence, kind);
    if (lock_is_watched(lock)) (void)keeper_start(self);
    if (self->locks.is_closing) lock_take(lock, lock->acquired_us);
    else lock_plan(lock);
    mutex_unlock(&self->locks.mutex);
}

redlock_status keeper_introduce(keeper *self, redlock_lock *lock, redlock_lost_fn *on_lost,
                                redlock_risk_fn *on_risk)
{
    int64_t now_us = clock_now_us();
    mutex_lock(&self->locks.mutex);
    bool is_held = tenure_is_held(&lock->tenure) &&
                   now_us < atomic_load(&lock->hold.valid_until_us);
    if (is_held) {
        lock->on_lost = on_lost;
        lock->on_risk = on_risk;
        lock->is_introduced = true;
        if (lock_is_watched(lock)) (void)keeper_start(self);
        lock_plan(lock);
    }
    mutex_unlock(&self->locks.mutex);
    if (is_held) return REDLOCK_OK;
    return lock_is_closed(lock) ? REDLOCK_ERR_CLOSED : REDLOCK_LOST;
}

void keeper_introduced(keeper *self, redlock_lock *lock)
{
    mutex_lock(&self->locks.mutex);
    lock->is_introduced = false;
    lock_plan(lock);
    mutex_unlock(&self->locks.mutex);
}

/* Where nobody can see to an undo, it is given up. */
static void undo_or_give_up(keeper *self, redlock_lock *lock, int64_t now_us)
{
    assert(mutex_is_mine(&self->locks.mutex));
    bool can_run = !self->has_ended && (self->locks.is_closing || keeper_start(self) == REDLOCK_OK);
    if (can_run) lock_begin_undo(lock, now_us);
    else lock_move(lock, TENURE_UNDONE);
}

/* With the mutex, which is given back: what is wanted of the lock changed. */
static void settle_lock(keeper *self, redlock_lock *lock, enum tenure_state before, int64_t now_us)
{
    assert(mutex_is_mine(&self->locks.mutex));
    if (lock->tenure.state == TENURE_UNDOING && before != TENURE_TAKING)
        undo_or_give_up(self, lock, now_us);
    bool is_free = tenure_is_freeable(&lock->tenure);
    if (!is_free) lock_plan(lock);
    mutex_unlock(&self->locks.mutex);
    if (is_free) self->locks.free_lock(lock);
}

void keeper_give_up(keeper *self, redlock_lock *lock, bool is_owed, int64_t now_us)
{
    mutex_lock(&self->locks.mutex);
    lock_move(lock, is_owed ? TENURE_GIVEN_UP_OWED : TENURE_GIVEN_UP);
    settle_lock(self, lock, TENURE_SOUGHT, now_us);
}

redlock_status keeper_let_go(keeper *self, redlock_lock *lock, bool waits, int64_t now_us)
{
    mutex_lock(&self->locks.mutex);
    /* Inside a callback about it there is nothing to wait for: the lock outlives the callback. */
    waits = waits && !keeper_is_calling(self);
    while (waits && notice_is_running((enum notice)lock->notice))
        mutex_wait(&self->locks.mutex, &self->called_back);
    if (now_us >= atomic_load(&lock->hold.valid_until_us)) lock_move(lock, TENURE_LAPSES);
    lock_note(lock, NOTICE_LET_GO); /* whoever lets go is told by that */
    enum tenure_state before = lock->tenure.state;
    redlock_status status = lock_is_closed(lock) ? REDLOCK_ERR_CLOSED : REDLOCK_LOST;
    lock_move(lock, lock_burial_ms(lock, now_us) > 0 ? TENURE_LET_GO_OWED : TENURE_LET_GO);
    if (lock->tenure.state == TENURE_LEAVING) {
        schedule_remove(&self->locks.timers, &lock->timer);
        mutex_unlock(&self->locks.mutex);
        return REDLOCK_OK;
    }
    settle_lock(self, lock, before,
                now_us); /* the last handle of a closed client takes that with it */
    return status;
}

void keeper_released(keeper *self, redlock_lock *lock)
{
    mutex_lock(&self->locks.mutex);
    lock_move(lock, TENURE_RELEASED);
    settle_lock(self, lock, TENURE_LEAVING, 0);
}

void keeper_unanswered(keeper *self, redlock_lock *lock, int64_t now_us)
{
    mutex_lock(&self->locks.mutex);
    lock_move(lock, TENURE_UNANSWERED);
    settle_lock(self, lock, TENURE_LEAVING, now_us);
}

redlock_status keeper_submit(keeper *self, operation *first)
{
    assert(first != NULL);
    mutex_lock(&self->locks.mutex);
    redlock_status status = self->locks.is_closing ? REDLOCK_ERR_CLOSED : keeper_start(self);
    for (operation *op = first, *next; status == REDLOCK_OK && op != NULL; op = next) {
        next = op->after;
        operations_submit(&self->operations, op);
    }
    if (status == REDLOCK_OK && self->locks.armed_us != AWAKE) locks_wake(&self->locks);
    mutex_unlock(&self->locks.mutex);
    return status;
}

void keeper_cancel(keeper *self, uint64_t id)
{
    assert(id != 0);
    mutex_lock(&self->locks.mutex);
    operations_cancel(&self->operations, id);
    if (self->locks.armed_us != AWAKE) locks_wake(&self->locks);
    mutex_unlock(&self->locks.mutex);
}

void keeper_write_stakes(void *arg, char *out, size_t size, int64_t now_us)
{
    keeper *self = arg;
    stakes found = locks_at_stake(&self->locks);
    *out = '\0';
    if (found.renewed == 0 || found.first_us == NEVER) return;
    int64_t left_us = found.first_us > now_us ? found.first_us - now_us : 0;
    snprintf(out, size, "; %zu renewed lock%s held, the first is lost in %.1f s%s", found.renewed,
             found.renewed == 1 ? "" : "s", (double)(left_us / US_PER_MS) / 1000,
             found.may_be_sooner ? " at the latest" : "");
}

bool keeper_is_calling(const keeper *self)
{
    return atomic_load(&self->turning) == thread_number();
}

/* From here on an undo has nobody to see to it. */
static void end(keeper *self)
{
    mutex_lock(&self->locks.mutex);
    self->has_ended = true;
    mutex_unlock(&self->locks.mutex);
}

/* Without a thread, the one that closes does the rest; the completions run on it. */
static void turn_until_complete(keeper *self)
{
    atomic_store(&self->turning, thread_number());
    while (keeper_turn(self)) continue;
    atomic_store(&self->turning, 0);
}

void keeper_close(keeper *self, int64_t until_us)
{
    mutex_lock(&self->locks.mutex);
    self->locks.is_closing = true;
    self->locks.closing_until_us = until_us;
    locks_wake(&self->locks);
    mutex_unlock(&self->locks.mutex);
    if (atomic_load(&self->has_thread)) pthread_join(self->thread, NULL);
    else turn_until_complete(self);
    if (fork_guard_is_child(self->terms.fork)) return;
    atomic_store(&self->has_thread, false);
    end(self);
    operations_stop_all(&self->operations, true, clock_now_us());
    lane_close(&self->lane, clock_now_us());
    keeper_let_go_of_all(self);
}

void keeper_destroy(keeper *self)
{
    lane_destroy(&self->lane);
    operations_destroy(&self->operations);
    poller_close(&self->poller);
    alarm_close(&self->alarm);
    pthread_cond_destroy(&self->called_back);
    locks_destroy(&self->locks, self->terms.config->memory);
}
