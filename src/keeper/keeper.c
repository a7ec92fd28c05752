/* SPDX-License-Identifier: MIT
 * The keeper's thread, its schedule, and the doors through which other threads come in. */
#include "keeper/keeper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "engine/lease.h"
#include "host/clock.h"
#include "host/histogram.h"
#include "keeper/errand.h"

static const int64_t awake = INT64_MIN;

/* An undo is tried for the ttl, or so long if that is longer: a queued waiter has no lease that would end it. */
static const int64_t undo_least_us = 60 * 1000000;

static redlock_lock *lock_of(timer *which)
{
    return (redlock_lock *)((char *)which - offsetof(redlock_lock, timer));
}

static int64_t earliest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

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
    if (lock->previous != NULL) lock->previous->next = lock->next;
    else self->locks = lock->next;
    if (lock->next != NULL) lock->next->previous = lock->previous;
    lock->is_listed = false;
    if (lock->state == LOCK_UNDOING) self->undoing--;
}

static void wake(keeper *self)
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
    if (at_us < self->armed_us) wake(self);
}

/* ---- The thread ---- */

static void tell_lost(keeper *self, redlock_lock *lock)
{
    lock->state = LOCK_LOST;
    atomic_store(&lock->is_lost, true);
    schedule_remove(&self->timers, &lock->timer);
    counter_add(&self->terms.stats->lost, 1);
    if (lock->on_lost == NULL) return;
    lock->is_calling_back = true;
    pthread_mutex_unlock(&self->mutex);
    lock->on_lost(lock->on_lost_arg, lock);
    pthread_mutex_lock(&self->mutex);
    lock->is_calling_back = false;
    pthread_cond_broadcast(&self->called_back);
}

bool keeper_end_undo(keeper *self, redlock_lock *lock)
{
    keeper_unlist(self, lock);
    lock->state = LOCK_RELEASED;
    if (atomic_load(&lock->is_closed)) return false;
    self->lock_count--;
    return true;
}

static void give_up_undo(keeper *self, redlock_lock *lock)
{
    if (!keeper_end_undo(self, lock)) return;
    pthread_mutex_unlock(&self->mutex);
    self->terms.free_lock(lock);
    pthread_mutex_lock(&self->mutex);
}

static void attend(keeper *self, redlock_lock *lock, int64_t now_us)
{
    bool is_hopeless = lock->state == LOCK_UNDOING && !lock->errand_is_out && now_us >= lock->undo_until_us;
    if (is_hopeless)
        give_up_undo(self, lock);
    else if (lock->state == LOCK_HELD && hold_due(&lock->hold, now_us) == HOLD_IS_OVER)
        tell_lost(self, lock);
    else if (lock->state == LOCK_UNDOING || hold_due(&lock->hold, now_us) == HOLD_RENEWS)
        errand_send(self, lock, now_us);
    else
        keeper_plan(self, lock, now_us);
}

static bool is_due(const redlock_lock *lock, int64_t now_us)
{
    int64_t slack_us = lock->state == LOCK_HELD ? hold_slack_us(&lock->hold) : 0;
    bool is_end = lock->timer.at_us >= atomic_load(&lock->hold.valid_until_us);
    return lock->timer.at_us - (is_end ? 0 : slack_us) <= now_us;
}

static redlock_lock *next_due(keeper *self, int64_t now_us)
{
    timer *first = schedule_first(&self->timers);
    return first != NULL && is_due(lock_of(first), now_us) ? lock_of(first) : NULL;
}

/* With the mutex. */
static void attend_all(keeper *self, int64_t now_us)
{
    redlock_lock *due;
    while ((due = next_due(self, now_us)) != NULL) attend(self, due, now_us);
}

static bool has_due(keeper *self, int64_t now_us)
{
    pthread_mutex_lock(&self->mutex);
    bool has = next_due(self, now_us) != NULL;
    pthread_mutex_unlock(&self->mutex);
    return has;
}

static void drain(int fd)
{
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR) continue;
}

static void pump(keeper *self, int64_t until_us)
{
    int64_t now_us = clock_now_us();
    conn_flush(&self->conn, now_us);
    until_us = earliest(until_us, conn_wake_us(&self->conn));
    if (conn_has_pending(&self->conn)) until_us = now_us;
    int64_t left_us = until_us > now_us ? until_us - now_us : 0;
    struct timespec span = {.tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000};
    struct pollfd fds[2] = {{.fd = conn_poll_fd(&self->conn), .events = conn_poll_events(&self->conn)},
                            {.fd = self->wake_fd, .events = POLLIN}};
    if (ppoll(fds, 2, until_us == NEVER ? NULL : &span, NULL) < 0) fds[0].revents = fds[1].revents = 0;
    now_us = clock_now_us();
    if (fds[1].revents != 0) drain(self->wake_fd);
    if (fds[0].revents != 0 || conn_has_pending(&self->conn))
        conn_ready(&self->conn, fds[0].revents, now_us);
    if (now_us >= conn_wake_us(&self->conn)) conn_tick(&self->conn, now_us);
}

/* With the mutex: begins to undo what is still held, once closing began. */
static void undo_the_held(keeper *self, int64_t now_us)
{
    for (redlock_lock *lock = self->locks; lock != NULL; lock = lock->next) {
        if (lock->state != LOCK_HELD) continue;
        lock->state = LOCK_UNDOING;
        atomic_store(&lock->is_closed, true);
        atomic_store(&lock->hold.valid_until_us, 0);
        lock->undo_until_us = self->closing_until_us;
        lock->hold.renew_at_us = now_us;
        self->undoing++;
        keeper_plan(self, lock, now_us);
    }
}

/* One round; false when closing is complete. */
static bool turn(keeper *self)
{
    int64_t now_us = clock_now_us();
    bool may_open = self->conn.state == CONN_CLOSED && now_us >= self->conn.retry_at_us;
    if (may_open && has_due(self, now_us)) conn_open(&self->conn, now_us);
    pthread_mutex_lock(&self->mutex);
    if (self->is_closing) undo_the_held(self, now_us);
    attend_all(self, now_us);
    timer *first = schedule_first(&self->timers);
    int64_t until_us = first != NULL ? first->at_us : NEVER;
    bool is_complete = self->is_closing && (self->undoing == 0 || now_us >= self->closing_until_us);
    if (self->is_closing) until_us = earliest(until_us, self->closing_until_us);
    self->armed_us = until_us;
    pthread_mutex_unlock(&self->mutex);
    if (is_complete) return false;
    pump(self, until_us);
    pthread_mutex_lock(&self->mutex);
    self->armed_us = awake;
    pthread_mutex_unlock(&self->mutex);
    return true;
}

static void *run(void *arg)
{
    while (turn(arg)) continue;
    return NULL;
}

/* The thread blocks every signal: the host's handlers run on the host's threads. */
static redlock_status start_thread(keeper *self)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(&self->thread, NULL, run, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure != 0) return REDLOCK_ERR_SYSTEM;
    atomic_store(&self->has_thread, true);
    return REDLOCK_OK;
}

/* ---- The doors ---- */

redlock_status keeper_init(keeper *self, const keeper_terms *terms)
{
    *self = (keeper){.terms = *terms, .armed_us = awake};
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->wake_fd < 0) return REDLOCK_ERR_SYSTEM;
    pthread_mutex_init(&self->mutex, NULL);
    pthread_cond_init(&self->called_back, NULL);
    conn_init(&self->conn, terms->config);
    return REDLOCK_OK;
}

redlock_status keeper_reserve(keeper *self, bool needs_thread)
{
    pthread_mutex_lock(&self->mutex);
    redlock_status status = REDLOCK_OK;
    if (!schedule_reserve(&self->timers, self->terms.config->memory, self->lock_count + 1))
        status = REDLOCK_ERR_MEMORY;
    else if (needs_thread && !atomic_load(&self->has_thread))
        status = start_thread(self);
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
    if (is_watched(lock) && !atomic_load(&self->has_thread)) start_thread(self);
    keeper_plan(self, lock, lock->acquired_us);
    pthread_mutex_unlock(&self->mutex);
}

void keeper_forget(keeper *self, redlock_lock *lock)
{
    pthread_mutex_lock(&self->mutex);
    while (lock->is_calling_back) pthread_cond_wait(&self->called_back, &self->mutex);
    keeper_unlist(self, lock);
    lock->state = LOCK_RELEASED;
    pthread_mutex_unlock(&self->mutex);
}

void keeper_free(keeper *self, redlock_lock *lock)
{
    pthread_mutex_lock(&self->mutex);
    bool is_out = lock->errand_is_out;
    lock->is_abandoned = true;
    self->lock_count--;
    pthread_mutex_unlock(&self->mutex);
    if (!is_out) self->terms.free_lock(lock);
}

void keeper_undo(keeper *self, redlock_lock *lock, int64_t now_us)
{
    pthread_mutex_lock(&self->mutex);
    bool can_run = !self->is_closing && (atomic_load(&self->has_thread) || start_thread(self) == REDLOCK_OK);
    if (can_run) {
        int64_t span_us = lock->hold.ttl_ms * US_PER_MS;
        lock->state = LOCK_UNDOING;
        lock->undo_until_us = now_us + (span_us > undo_least_us ? span_us : undo_least_us);
        lock->hold.renew_at_us = now_us;
        lock->hold.failures = 0;
        self->undoing++;
        list(self, lock);
        keeper_plan(self, lock, now_us);
        counter_add(&self->terms.stats->undone, 1);
    }
    pthread_mutex_unlock(&self->mutex);
    if (!can_run) keeper_free(self, lock);
}

void keeper_extended(keeper *self, redlock_lock *lock, int64_t sent_us, int64_t lease_ms)
{
    pthread_mutex_lock(&self->mutex);
    if (lock->state == LOCK_HELD) {
        hold_extended(&lock->hold, sent_us, lease_ms);
        keeper_plan(self, lock, sent_us);
    }
    pthread_mutex_unlock(&self->mutex);
}

void keeper_begin_conversion(keeper *self, redlock_lock *lock)
{
    pthread_mutex_lock(&self->mutex);
    lock->is_converting = true;
    pthread_mutex_unlock(&self->mutex);
}

void keeper_end_conversion(keeper *self, redlock_lock *lock, char kind)
{
    pthread_mutex_lock(&self->mutex);
    lock->is_converting = false;
    lock->bytes[lock_holder(lock) - lock->bytes] = kind;
    atomic_store(&lock->kind, kind);
    lock->nonce = -1; /* a renewal under way asked for the holder that it no longer is: its answer is void */
    pthread_mutex_unlock(&self->mutex);
}

void keeper_set_renewal(keeper *self, redlock_lock *lock, bool auto_renew, int64_t now_us)
{
    pthread_mutex_lock(&self->mutex);
    hold_set_renewal(&lock->hold, auto_renew, now_us);
    if (lock->state == LOCK_HELD) keeper_plan(self, lock, now_us);
    pthread_mutex_unlock(&self->mutex);
}

void keeper_lost(keeper *self, redlock_lock *lock)
{
    pthread_mutex_lock(&self->mutex);
    atomic_store(&lock->hold.valid_until_us, 0);
    atomic_store(&lock->is_lost, true);
    lock->is_gone = true;
    if (lock->state == LOCK_HELD) keeper_plan(self, lock, 0);
    pthread_mutex_unlock(&self->mutex);
}

bool keeper_is_calling(const keeper *self)
{
    return atomic_load(&self->has_thread) && pthread_equal(self->thread, pthread_self());
}

/* What could not be undone in time: the server forgets it by itself. Frees what belongs to nobody; the rest is
 * its users' to release. */
static void let_go_of_all(keeper *self)
{
    pthread_mutex_lock(&self->mutex);
    while (self->locks != NULL) {
        redlock_lock *lock = self->locks;
        if (lock->state == LOCK_UNDOING) give_up_undo(self, lock);
        else keeper_unlist(self, lock);
    }
    pthread_mutex_unlock(&self->mutex);
}

void keeper_close(keeper *self, int64_t until_us)
{
    pthread_mutex_lock(&self->mutex);
    self->is_closing = true;
    self->closing_until_us = until_us;
    wake(self);
    pthread_mutex_unlock(&self->mutex);
    if (atomic_load(&self->has_thread)) pthread_join(self->thread, NULL);
    else while (turn(self)) continue;
    atomic_store(&self->has_thread, false);
    conn_close(&self->conn, REDLOCK_OK, NULL, clock_now_us());
    let_go_of_all(self);
}

void keeper_destroy(keeper *self)
{
    conn_destroy(&self->conn);
    schedule_free(&self->timers, self->terms.config->memory);
    close(self->wake_fd);
    pthread_cond_destroy(&self->called_back);
    pthread_mutex_destroy(&self->mutex);
}
