/* SPDX-License-Identifier: MIT
 * The doors of the keeper, through which any thread comes in; its list of locks and its schedule. */
#include "keeper/keeper.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/lease.h"
#include "host/clock.h"
#include "host/histogram.h"
#include "host/thread.h"
#include "keeper/keeper_internal.h"

static const int64_t awake = INT64_MIN;

/* An undo is tried for the ttl, or so long if that is longer: a queued waiter has no lease that would end it. */
static const int64_t undo_least_us = 60 * 1000000;

static int64_t earliest(int64_t a, int64_t b) { return a < b ? a : b; }

/* ---- List and schedule, with the mutex ---- */

static void list(keeper *self, redlock_lock *lock)
{
    lock->previous = NULL;
    lock->next = self->locks;
    if (self->locks != NULL) self->locks->previous = lock;
    self->locks = lock;
    lock->is_listed = true;
}

void keeper_unlist(keeper *self, redlock_lock *lock)
{
    schedule_remove(&self->timers, &lock->timer);
    if (!lock->is_listed) return;
    if (self->to_hasten == lock) self->to_hasten = lock->next;
    if (lock->previous != NULL) lock->previous->next = lock->next;
    else self->locks = lock->next;
    if (lock->next != NULL) lock->next->previous = lock->previous;
    lock->is_listed = false;
    if (lock->state == LOCK_UNDOING) self->undoing--;
}

void keeper_wake(keeper *self)
{
    uint64_t one = 1;
    self->armed_us = awake;
    while (write(self->wake_fd, &one, sizeof one) < 0 && errno == EINTR) continue;
}

static bool is_watched(const redlock_lock *lock)
{
    return lock->on_lost != NULL || lock->hold.auto_renew || lock->hold.renew_at_us != NEVER;
}

static int64_t plan_us(const redlock_lock *lock)
{
    if (lock->state == LOCK_UNDOING)
        return lock->errand_is_out ? NEVER : earliest(lock->hold.renew_at_us, lock->undo_until_us);
    if (lock->state != LOCK_HELD || !(is_watched(lock) || lock->errand_is_out)) return NEVER;
    return hold_wake_us(&lock->hold);
}

void keeper_plan(keeper *self, redlock_lock *lock, int64_t now_us)
{
    (void)now_us;
    int64_t at_us = plan_us(lock);
    if (at_us == NEVER) schedule_remove(&self->timers, &lock->timer);
    else schedule_set(&self->timers, &lock->timer, at_us);
    if (at_us < self->armed_us) keeper_wake(self);
}

/* ---- The doors ---- */

/* What is in the poller leaves it before it is closed: the number may be somebody else's a moment later. */
static void command_closing(conn *which, int fd)
{
    keeper *self = (keeper *)((char *)which - offsetof(keeper, lane.command));
    poller_forget(&self->poller, fd);
}

static void inbox_closing(conn *which, int fd)
{
    keeper *self = (keeper *)((char *)which - offsetof(keeper, lane.inbox));
    poller_forget(&self->poller, fd);
}

redlock_status keeper_init(keeper *self, const keeper_terms *terms)
{
    *self = (keeper){.terms = *terms, .armed_us = awake};
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->wake_fd < 0) return REDLOCK_ERR_SYSTEM;
    if (!alarm_open(&self->alarm)) {
        close(self->wake_fd);
        return REDLOCK_ERR_SYSTEM;
    }
    pthread_mutex_init(&self->mutex, NULL);
    pthread_cond_init(&self->called_back, NULL);
    lane_init(&self->lane, terms->config, KEEPER_LANE, terms->key_prefix, terms->who);
    self->lane.listener = &operations_listener;
    self->lane.listener_arg = self;
    self->lane.awaits_message = true;
    operations_init(&self->operations);
    self->poller.fd = -1;
    if (terms->host != REDLOCK_HOST_MANUAL) return REDLOCK_OK;
    self->lane.command.on_closing = command_closing;
    self->lane.inbox.on_closing = inbox_closing;
    self->armed_us = NEVER; /* nobody turns it until the first wake-up */
    if (poller_open(&self->poller, self->wake_fd, self->alarm.fd)) return REDLOCK_OK;
    keeper_destroy(self);
    return REDLOCK_ERR_SYSTEM;
}

redlock_status keeper_reserve(keeper *self, bool needs_thread)
{
    pthread_mutex_lock(&self->mutex);
    redlock_status status = REDLOCK_OK;
    if (!schedule_reserve(&self->timers, self->terms.config->memory, self->lock_count + 1)) status = REDLOCK_ERR_MEMORY;
    else if (needs_thread) status = keeper_start(self);
    if (status == REDLOCK_OK) self->lock_count++;
    pthread_mutex_unlock(&self->mutex);
    return status;
}

void keeper_unreserve(keeper *self)
{
    pthread_mutex_lock(&self->mutex);
    self->lock_count--;
    pthread_mutex_unlock(&self->mutex);
}

void keeper_adopt(keeper *self, redlock_lock *lock)
{
    pthread_mutex_lock(&self->mutex);
    lock->state = LOCK_HELD;
    list(self, lock);
    if (is_watched(lock)) (void)keeper_start(self);
    keeper_plan(self, lock, lock->acquired_us);
    pthread_mutex_unlock(&self->mutex);
}

bool keeper_watch(keeper *self, redlock_lock *lock, redlock_lost_fn *on_lost)
{
    int64_t now_us = clock_now_us();
    pthread_mutex_lock(&self->mutex);
    bool is_held = lock->state == LOCK_HELD && now_us < atomic_load(&lock->hold.valid_until_us);
    if (is_held) lock->on_lost = on_lost;
    if (is_held && is_watched(lock)) (void)keeper_start(self);
    if (is_held) keeper_plan(self, lock, now_us);
    bool is_closed = atomic_load(&lock->is_closed);
    pthread_mutex_unlock(&self->mutex);
    return is_held || is_closed;
}

void keeper_forget(keeper *self, redlock_lock *lock)
{
    pthread_mutex_lock(&self->mutex);
    /* Inside on_lost itself there is nothing to wait for: the lock outlives the callback. */
    while (lock->is_calling_back && !keeper_is_calling(self)) pthread_cond_wait(&self->called_back, &self->mutex);
    /* One that the client's close is undoing stays in its hands. */
    if (lock->state != LOCK_UNDOING) {
        keeper_unlist(self, lock);
        lock->state = LOCK_RELEASED;
        lock->is_in_release = true;
        self->releasing++;
    }
    pthread_mutex_unlock(&self->mutex);
}

/* With the mutex: whoever released the lock has freed it, or left it to be undone. */
static void end_release(keeper *self, redlock_lock *lock)
{
    if (!lock->is_in_release) return;
    lock->is_in_release = false;
    if (--self->releasing == 0 && self->is_closing) keeper_wake(self);
}

/* With the mutex: has everyone let go of it? */
static bool is_free(const redlock_lock *lock)
{
    return lock->is_abandoned && !lock->errand_is_out && lock->users == 0 && lock->state != LOCK_UNDOING;
}

void keeper_free(keeper *self, redlock_lock *lock)
{
    pthread_mutex_lock(&self->mutex);
    end_release(self, lock);
    lock->is_abandoned = true;
    self->lock_count--;
    bool ends = is_free(lock);
    pthread_mutex_unlock(&self->mutex);
    if (ends) self->terms.free_lock(lock);
}

void keeper_use(keeper *self, redlock_lock *lock)
{
    pthread_mutex_lock(&self->mutex);
    lock->users++;
    pthread_mutex_unlock(&self->mutex);
}

void keeper_unuse(keeper *self, redlock_lock *lock)
{
    pthread_mutex_lock(&self->mutex);
    lock->users--;
    bool ends = is_free(lock);
    pthread_mutex_unlock(&self->mutex);
    if (ends) self->terms.free_lock(lock);
}

void keeper_undo(keeper *self, redlock_lock *lock, int64_t now_us)
{
    pthread_mutex_lock(&self->mutex);
    bool can_run = !self->has_ended && (self->is_closing || keeper_start(self) == REDLOCK_OK);
    if (can_run) {
        int64_t span_us = lock->hold.ttl_ms * US_PER_MS;
        lock->state = LOCK_UNDOING;
        lock->undo_until_us = now_us + (span_us > undo_least_us ? span_us : undo_least_us);
        if (lock->unanswered_us > 0) lock->undo_until_us += LATE_MOST_US;
        if (self->is_closing) lock->undo_until_us = self->closing_until_us;
        lock->hold.renew_at_us = now_us;
        lock->hold.failures = 0;
        self->undoing++;
        end_release(self, lock);
        list(self, lock);
        keeper_plan(self, lock, now_us);
    }
    pthread_mutex_unlock(&self->mutex);
    if (!can_run) keeper_free(self, lock);
}

redlock_status keeper_submit(keeper *self, operation *op)
{
    pthread_mutex_lock(&self->mutex);
    redlock_status status = self->is_closing ? REDLOCK_ERR_CLOSED : keeper_start(self);
    if (status == REDLOCK_OK) {
        operation_submit(self, op);
        if (self->armed_us != awake) keeper_wake(self);
    }
    pthread_mutex_unlock(&self->mutex);
    return status;
}

void keeper_cancel(keeper *self, uint64_t id)
{
    pthread_mutex_lock(&self->mutex);
    operation_cancel(self, id);
    if (self->armed_us != awake) keeper_wake(self);
    pthread_mutex_unlock(&self->mutex);
}

void lock_told(redlock_lock *lock, const standing *held)
{
    version_told(&lock->version, held->fence, held->kind);
    atomic_store(&lock->kind, version_kind(&lock->version));
}

/* What was answered before the server said that it has no such holder brings nothing back. */
void keeper_told(keeper *self, redlock_lock *lock, const standing *held, int64_t sent_us)
{
    pthread_mutex_lock(&self->mutex);
    if (lock->state == LOCK_HELD && !lock->is_gone) {
        lock_told(lock, held);
        hold_extended(&lock->hold, sent_us, held->lease_ms);
        keeper_plan(self, lock, sent_us);
    }
    pthread_mutex_unlock(&self->mutex);
}

version keeper_known(keeper *self, const redlock_lock *lock)
{
    pthread_mutex_lock(&self->mutex);
    version known = lock->version;
    pthread_mutex_unlock(&self->mutex);
    return known;
}

void keeper_doubted(keeper *self, redlock_lock *lock, uint64_t fence)
{
    pthread_mutex_lock(&self->mutex);
    version_doubted(&lock->version, fence);
    atomic_store(&lock->kind, version_kind(&lock->version));
    pthread_mutex_unlock(&self->mutex);
}

int64_t lock_burial_ms(const redlock_lock *lock, int64_t now_us)
{
    int64_t left_us = lock->unanswered_us + LATE_MOST_US - now_us;
    return lock->unanswered_us > 0 && left_us > 0 ? left_us / US_PER_MS + 1 : 0;
}

void keeper_end_renewal(keeper *self, redlock_lock *lock, int64_t now_us)
{
    pthread_mutex_lock(&self->mutex);
    hold_end_renewal(&lock->hold);
    if (lock->state == LOCK_HELD) keeper_plan(self, lock, now_us);
    pthread_mutex_unlock(&self->mutex);
}

/* With the mutex. */
static void lose(keeper *self, redlock_lock *lock)
{
    atomic_store(&lock->hold.valid_until_us, 0);
    atomic_store(&lock->is_lost, true);
    lock->is_gone = true;
    if (lock->state == LOCK_HELD) keeper_plan(self, lock, 0);
}

void keeper_lost(keeper *self, redlock_lock *lock)
{
    pthread_mutex_lock(&self->mutex);
    lose(self, lock);
    pthread_mutex_unlock(&self->mutex);
}

bool keeper_is_calling(const keeper *self) { return atomic_load(&self->turning) == thread_number(); }

/* From here on an undo has nobody to see to it. */
static void end(keeper *self)
{
    pthread_mutex_lock(&self->mutex);
    self->has_ended = true;
    pthread_mutex_unlock(&self->mutex);
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
    pthread_mutex_lock(&self->mutex);
    self->is_closing = true;
    self->closing_until_us = until_us;
    keeper_wake(self);
    pthread_mutex_unlock(&self->mutex);
    if (atomic_load(&self->has_thread)) pthread_join(self->thread, NULL);
    else turn_until_complete(self);
    atomic_store(&self->has_thread, false);
    end(self);
    operations_stop_all(self, true, clock_now_us());
    conn_close(&self->lane.command, REDLOCK_OK, NULL, clock_now_us());
    conn_close(&self->lane.inbox, REDLOCK_OK, NULL, clock_now_us());
    keeper_let_go_of_all(self);
}

void keeper_destroy(keeper *self)
{
    lane_destroy(&self->lane);
    operations_destroy(&self->operations, self->terms.config->memory);
    poller_close(&self->poller);
    schedule_free(&self->timers, self->terms.config->memory);
    alarm_close(&self->alarm);
    close(self->wake_fd);
    pthread_cond_destroy(&self->called_back);
    pthread_mutex_destroy(&self->mutex);
}
