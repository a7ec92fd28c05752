/* SPDX-License-Identifier: MIT
 * The doors of the keeper, through which any thread comes in; its list of locks and its
 * schedule. */
#include "keeper/keeper.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "engine/lease.h"
#include "host/clock.h"
#include "host/histogram.h"
#include "host/thread.h"
#include "keeper/keeper_internal.h"

static const int64_t awake = INT64_MIN;

/* An undo is tried for the ttl, or so long if that is longer: a queued waiter has no lease that
 * would end it. */
static const int64_t undo_least_us = 60 * 1000000;

/* ---- List and schedule, with the mutex ---- */

static void list(keeper *self, redlock_lock *lock)
{
    assert(mutex_is_mine(&self->mutex));
    if (lock->listed_at != NULL) return;
    lock->next = self->locks;
    if (lock->next != NULL) lock->next->listed_at = &lock->next;
    lock->listed_at = &self->locks;
    self->locks = lock;
}

void keeper_unlist(keeper *self, redlock_lock *lock)
{
    assert(mutex_is_mine(&self->mutex));
    schedule_remove(&self->timers, &lock->timer);
    if (lock->listed_at == NULL) return;
    if (self->to_hasten == lock) self->to_hasten = lock->next;
    if (self->to_take == lock) self->to_take = lock->next;
    *lock->listed_at = lock->next;
    if (lock->next != NULL) lock->next->listed_at = lock->listed_at;
    lock->listed_at = NULL;
}

void keeper_wake(keeper *self)
{
    assert(mutex_is_mine(&self->mutex));
    self->armed_us = awake;
    wake_raise(&self->wake);
}

static bool is_watched(const redlock_lock *lock)
{
    return lock->on_lost != NULL || lock->hold.auto_renew || lock->hold.renew_at_us != NEVER;
}

static int64_t plan_us(const redlock_lock *lock)
{
    bool is_out = lock->errand.state != ERRAND_NONE;
    if (lock->loss == LOSS_UNTOLD) return INT64_MIN;
    switch (tenure_wants(&lock->tenure)) {
    case TENURE_WANTS_UNDO:
        return is_out ? NEVER : earliest(lock->hold.renew_at_us, lock->until_us);
    case TENURE_WANTS_RENEWAL:
        return is_watched(lock) || is_out ? hold_wake_us(&lock->hold) : NEVER;
    default: return NEVER;
    }
}

void keeper_plan(keeper *self, redlock_lock *lock)
{
    assert(mutex_is_mine(&self->mutex));
    assert(lock->keeper == self);
    int64_t at_us = plan_us(lock);
    if (at_us == NEVER) schedule_remove(&self->timers, &lock->timer);
    else schedule_set(&self->timers, &lock->timer, at_us);
    if (at_us < self->armed_us) keeper_wake(self);
}

/* ---- The tenure, with the mutex ---- */

static void count_state(keeper *self, enum tenure_state state, size_t by)
{
    assert(mutex_is_mine(&self->mutex));
    if (state == TENURE_LEAVING) self->releasing += by;
    if (state == TENURE_TAKING || state == TENURE_UNDOING) self->undoing += by;
}

/* Belief ends before anything else does. */
static void leave_held(redlock_lock *lock)
{
    assert(mutex_is_mine(&lock->keeper->mutex));
    assert(lock->tenure.state != TENURE_HELD);
    lock->until_us = atomic_exchange(&lock->hold.valid_until_us, 0);
    bool is_lost = lock->tenure.state == TENURE_LAPSED || lock->tenure.state == TENURE_GONE;
    if (is_lost) lock->loss = LOSS_UNTOLD;
}

static void publish(redlock_lock *lock)
{
    assert(mutex_is_mine(&lock->keeper->mutex));
    atomic_store(&lock->standing,
                 standing_word(lock->tenure.own_fence, tenure_kind(&lock->tenure)));
}

bool lock_move(redlock_lock *lock, enum tenure_event what)
{
    assert(mutex_is_mine(&lock->keeper->mutex));
    assert(what < TENURE_EVENTS);
    keeper *self = lock->keeper;
    enum tenure_state before = lock->tenure.state;
    if (!tenure_move(&lock->tenure, what)) return false;
    atomic_store(&lock->state, (unsigned char)lock->tenure.state);
    count_state(self, before, (size_t)-1);
    count_state(self, lock->tenure.state, 1);
    if (before == TENURE_HELD) leave_held(lock);
    if (lock->tenure.state == TENURE_OVER) {
        keeper_unlist(self, lock);
        self->lock_count--;
    }
    if (before == TENURE_LEAVING && self->releasing == 0 && self->is_closing) keeper_wake(self);
    return true;
}

bool lock_unpin(redlock_lock *lock)
{
    assert(mutex_is_mine(&lock->keeper->mutex));
    assert(lock->tenure.pins > 0);
    lock->tenure.pins--;
    return tenure_is_freeable(&lock->tenure);
}

/* An undo is wanted from now on. */
static void begin_undo(keeper *self, redlock_lock *lock, int64_t now_us)
{
    assert(mutex_is_mine(&self->mutex));
    assert(tenure_wants(&lock->tenure) == TENURE_WANTS_UNDO);
    int64_t span_us = lock->hold.ttl_ms * US_PER_MS;
    lock->until_us = now_us + (span_us > undo_least_us ? span_us : undo_least_us);
    if (lock->unanswered_us > 0) lock->until_us += LATE_MOST_US;
    if (self->is_closing) lock->until_us = self->closing_until_us;
    lock->hold.renew_at_us = now_us;
    lock->hold.failures = 0;
    list(self, lock);
}

void keeper_take(keeper *self, redlock_lock *lock, int64_t now_us)
{
    assert(mutex_is_mine(&self->mutex));
    assert(self->is_closing);
    if (!tenure_is_held(&lock->tenure) || !lock_move(lock, TENURE_CLOSED)) return;
    begin_undo(self, lock, now_us);
    keeper_plan(self, lock);
}

/* ---- The doors ---- */

/* What is in the poller leaves it before it is closed: the number may be somebody else's a moment
 * later. */
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
    if (!wake_open(&self->wake)) return REDLOCK_ERR_SYSTEM;
    if (!alarm_open(&self->alarm)) {
        wake_close(&self->wake);
        return REDLOCK_ERR_SYSTEM;
    }
    mutex_init(&self->mutex);
    pthread_cond_init(&self->called_back, NULL);
    lane_init(&self->lane, terms->config, KEEPER_LANE, terms->key_prefix, terms->who);
    self->lane.listener = &operations_listener;
    self->lane.listener_arg = &self->operations;
    self->lane.awaits_message = true;
    operations_init(&self->operations, &(operations_terms){.on = &self->lane,
                                                           .mutex = &self->mutex,
                                                           .memory = terms->config->memory,
                                                           .nonces = terms->nonces,
                                                           .fork = terms->fork});
    self->poller.fd = -1;
    if (terms->host != REDLOCK_HOST_MANUAL) return REDLOCK_OK;
    self->lane.command.on_closing = command_closing;
    self->lane.inbox.on_closing = inbox_closing;
    self->armed_us = NEVER; /* nobody turns it until the first wake-up */
    if (poller_open(&self->poller, self->wake.fd, self->alarm.fd)) return REDLOCK_OK;
    keeper_destroy(self);
    return REDLOCK_ERR_SYSTEM;
}

redlock_status keeper_reserve(keeper *self, bool needs_thread)
{
    mutex_lock(&self->mutex);
    redlock_status status = REDLOCK_OK;
    if (!schedule_reserve(&self->timers, self->terms.config->memory, self->lock_count + 1))
        status = REDLOCK_ERR_MEMORY;
    else if (needs_thread) status = keeper_start(self);
    if (status == REDLOCK_OK) self->lock_count++;
    mutex_unlock(&self->mutex);
    return status;
}

void keeper_unreserve(keeper *self)
{
    assert(!mutex_is_mine(&self->mutex));
    mutex_lock(&self->mutex);
    self->lock_count--;
    mutex_unlock(&self->mutex);
}

void keeper_adopt(keeper *self, redlock_lock *lock, uint64_t fence, char kind)
{
    assert(lock->keeper == self);
    assert(fence > 0);
    mutex_lock(&self->mutex);
    lock_move(lock, TENURE_GRANTED);
    tenure_granted(&lock->tenure, fence, kind);
    publish(lock);
    list(self, lock);
    if (is_watched(lock)) (void)keeper_start(self);
    if (self->is_closing) keeper_take(self, lock, lock->acquired_us);
    else keeper_plan(self, lock);
    mutex_unlock(&self->mutex);
}

bool keeper_watch(keeper *self, redlock_lock *lock, redlock_lost_fn *on_lost)
{
    int64_t now_us = clock_now_us();
    mutex_lock(&self->mutex);
    bool is_held = tenure_is_held(&lock->tenure) &&
                   now_us < atomic_load(&lock->hold.valid_until_us);
    if (is_held) lock->on_lost = on_lost;
    if (is_held && is_watched(lock)) (void)keeper_start(self);
    if (is_held) keeper_plan(self, lock);
    mutex_unlock(&self->mutex);
    return is_held || lock_is_closed(lock);
}

/* Where nobody can see to an undo, it is given up. */
static void undo_or_give_up(keeper *self, redlock_lock *lock, int64_t now_us)
{
    assert(mutex_is_mine(&self->mutex));
    bool can_run = !self->has_ended && (self->is_closing || keeper_start(self) == REDLOCK_OK);
    if (can_run) begin_undo(self, lock, now_us);
    else lock_move(lock, TENURE_UNDONE);
}

/* With the mutex, which is given back: what is wanted of the lock changed. */
static void settle(keeper *self, redlock_lock *lock, enum tenure_state before, int64_t now_us)
{
    assert(mutex_is_mine(&self->mutex));
    if (lock->tenure.state == TENURE_UNDOING && before != TENURE_TAKING)
        undo_or_give_up(self, lock, now_us);
    bool is_free = tenure_is_freeable(&lock->tenure);
    if (!is_free) keeper_plan(self, lock);
    mutex_unlock(&self->mutex);
    if (is_free) self->terms.free_lock(lock);
}

void keeper_give_up(keeper *self, redlock_lock *lock, bool is_owed, int64_t now_us)
{
    mutex_lock(&self->mutex);
    lock_move(lock, is_owed ? TENURE_GIVEN_UP_OWED : TENURE_GIVEN_UP);
    settle(self, lock, TENURE_SOUGHT, now_us);
}

redlock_status keeper_let_go(keeper *self, redlock_lock *lock, bool waits, int64_t now_us)
{
    mutex_lock(&self->mutex);
    /* Inside on_lost itself there is nothing to wait for: the lock outlives the callback. */
    waits = waits && !keeper_is_calling(self);
    while (waits && lock->loss == LOSS_BEING_TOLD) mutex_wait(&self->mutex, &self->called_back);
    if (now_us >= atomic_load(&lock->hold.valid_until_us)) lock_move(lock, TENURE_LAPSES);
    if (lock->loss == LOSS_UNTOLD) lock->loss = LOSS_NONE; /* whoever lets go is told by that */
    enum tenure_state before = lock->tenure.state;
    redlock_status status = lock_is_closed(lock) ? REDLOCK_ERR_CLOSED : REDLOCK_LOST;
    lock_move(lock, lock_burial_ms(lock, now_us) > 0 ? TENURE_LET_GO_OWED : TENURE_LET_GO);
    if (lock->tenure.state == TENURE_LEAVING) {
        schedule_remove(&self->timers, &lock->timer);
        mutex_unlock(&self->mutex);
        return REDLOCK_OK;
    }
    settle(self, lock, before, now_us); /* the last handle of a closed client takes that with it */
    return status;
}

void keeper_released(keeper *self, redlock_lock *lock)
{
    mutex_lock(&self->mutex);
    lock_move(lock, TENURE_RELEASED);
    settle(self, lock, TENURE_LEAVING, 0);
}

void keeper_unanswered(keeper *self, redlock_lock *lock, int64_t now_us)
{
    mutex_lock(&self->mutex);
    lock_move(lock, TENURE_UNANSWERED);
    settle(self, lock, TENURE_LEAVING, now_us);
}

void keeper_use(keeper *self, redlock_lock *lock)
{
    assert(lock->keeper == self);
    mutex_lock(&self->mutex);
    lock->tenure.pins++;
    mutex_unlock(&self->mutex);
}

void keeper_unuse(keeper *self, redlock_lock *lock)
{
    assert(lock->keeper == self);
    mutex_lock(&self->mutex);
    bool ends = lock_unpin(lock);
    mutex_unlock(&self->mutex);
    if (ends) self->terms.free_lock(lock);
}

redlock_status keeper_submit(keeper *self, operation *first)
{
    assert(first != NULL);
    mutex_lock(&self->mutex);
    redlock_status status = self->is_closing ? REDLOCK_ERR_CLOSED : keeper_start(self);
    for (operation *op = first, *next; status == REDLOCK_OK && op != NULL; op = next) {
        next = op->after;
        operations_submit(&self->operations, op);
    }
    if (status == REDLOCK_OK && self->armed_us != awake) keeper_wake(self);
    mutex_unlock(&self->mutex);
    return status;
}

void keeper_cancel(keeper *self, uint64_t id)
{
    assert(id != 0);
    mutex_lock(&self->mutex);
    operations_cancel(&self->operations, id);
    if (self->armed_us != awake) keeper_wake(self);
    mutex_unlock(&self->mutex);
}

bool lock_told(redlock_lock *lock, const standing *held, uint64_t own_fence)
{
    assert(mutex_is_mine(&lock->keeper->mutex));
    assert(tenure_is_held(&lock->tenure));
    bool is_newer = tenure_told(&lock->tenure, held->fence, held->kind, own_fence);
    if (!is_newer) lock_move(lock, TENURE_LAPSES);
    publish(lock);
    return is_newer;
}

/* With the mutex. What is answered after the belief ended brings nothing back. */
static void told(redlock_lock *lock, const standing *held, uint64_t own_fence, int64_t sent_us)
{
    assert(mutex_is_mine(&lock->keeper->mutex));
    bool is_held = tenure_is_held(&lock->tenure) && lock_told(lock, held, own_fence);
    if (is_held && clock_now_us() < atomic_load(&lock->hold.valid_until_us))
        hold_extended(&lock->hold, sent_us, held->lease_ms);
}

void keeper_told(keeper *self, redlock_lock *lock, const standing *held, uint64_t own_fence,
                 int64_t sent_us)
{
    mutex_lock(&self->mutex);
    told(lock, held, own_fence, sent_us);
    keeper_plan(self, lock);
    mutex_unlock(&self->mutex);
}

tenure keeper_told_conversion(keeper *self, redlock_lock *lock, const standing *held,
                              const conversion *asked, int64_t sent_us)
{
    assert(held->fence > 0);
    mutex_lock(&self->mutex);
    told(lock, held, asked->own_fence, sent_us);
    if (held->kind == asked->kind && !tenure_voids(&lock->tenure, asked, held->fence)) {
        tenure_converted(&lock->tenure, held->fence);
        if (lock->errand.state == ERRAND_RENEWAL) lock->errand.state = ERRAND_OLD_RENEWAL;
        publish(lock);
    }
    keeper_plan(self, lock);
    tenure known = lock->tenure;
    mutex_unlock(&self->mutex);
    return known;
}

tenure keeper_known(keeper *self, const redlock_lock *lock)
{
    mutex_lock(&self->mutex);
    tenure known = lock->tenure;
    mutex_unlock(&self->mutex);
    return known;
}

void keeper_doubted(keeper *self, redlock_lock *lock, uint64_t fence)
{
    assert(fence > 0);
    mutex_lock(&self->mutex);
    tenure_doubted(&lock->tenure, fence);
    publish(lock);
    mutex_unlock(&self->mutex);
}

int64_t lock_burial_ms(const redlock_lock *lock, int64_t now_us)
{
    int64_t left_us = lock->unanswered_us + LATE_MOST_US - now_us;
    return lock->unanswered_us > 0 && left_us > 0 ? left_us / US_PER_MS + 1 : 0;
}

void keeper_bound(keeper *self, redlock_lock *lock, bool auto_renew, int64_t max_hold_ms,
                  int64_t now_us)
{
    mutex_lock(&self->mutex);
    if (auto_renew) hold_bound(&lock->hold, max_hold_ms, now_us);
    else hold_end_renewal(&lock->hold);
    keeper_plan(self, lock);
    mutex_unlock(&self->mutex);
}

void keeper_lost(keeper *self, redlock_lock *lock)
{
    mutex_lock(&self->mutex);
    lock_move(lock, TENURE_ABSENT);
    keeper_plan(self, lock);
    mutex_unlock(&self->mutex);
}

bool keeper_is_calling(const keeper *self)
{
    return atomic_load(&self->turning) == thread_number();
}

/* From here on an undo has nobody to see to it. */
static void end(keeper *self)
{
    mutex_lock(&self->mutex);
    self->has_ended = true;
    mutex_unlock(&self->mutex);
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
    mutex_lock(&self->mutex);
    self->is_closing = true;
    self->closing_until_us = until_us;
    keeper_wake(self);
    mutex_unlock(&self->mutex);
    if (atomic_load(&self->has_thread)) pthread_join(self->thread, NULL);
    else turn_until_complete(self);
    if (fork_guard_is_child(self->terms.fork)) return;
    atomic_store(&self->has_thread, false);
    end(self);
    operations_stop_all(&self->operations, true, clock_now_us());
    conn_close(&self->lane.command, REDLOCK_OK, NULL, clock_now_us());
    conn_close(&self->lane.inbox, REDLOCK_OK, NULL, clock_now_us());
    keeper_let_go_of_all(self);
}

void keeper_destroy(keeper *self)
{
    lane_destroy(&self->lane);
    operations_destroy(&self->operations);
    poller_close(&self->poller);
    schedule_free(&self->timers, self->terms.config->memory);
    alarm_close(&self->alarm);
    wake_close(&self->wake);
    pthread_cond_destroy(&self->called_back);
    mutex_destroy(&self->mutex);
}
