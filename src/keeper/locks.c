/* SPDX-License-Identifier: MIT
 * What becomes of a lock, its place in the list, and its next instant. */
#include "keeper/locks.h"

#include <assert.h>

#include "engine/lease.h"
#include "host/clock.h"
#include "host/portion.h"

enum { ATTEMPTS = 4 }; /* at a renewal, on a server that is away, in what is left of a lease */
enum { LOOKED_AT_MOST = PORTION(1000, 2) };

/* An undo is tried for the ttl, or so long if that is longer: a queued waiter has no lease that
 * would end it. */
static const int64_t undo_least_us = 60 * 1000000;

bool locks_init(lock_list *self, void (*free_lock)(redlock_lock *lock))
{
    *self = (lock_list){.armed_us = AWAKE, .free_lock = free_lock};
    if (!wake_open(&self->wake)) return false;
    mutex_init(&self->mutex);
    return true;
}

void locks_destroy(lock_list *self, const memory *from)
{
    schedule_free(&self->timers, from);
    wake_close(&self->wake);
    mutex_destroy(&self->mutex);
}

void locks_wake(lock_list *self)
{
    assert(mutex_is_mine(&self->mutex));
    self->armed_us = AWAKE;
    wake_raise(&self->wake);
}

stakes locks_at_stake(lock_list *self)
{
    mutex_lock(&self->mutex);
    stakes found = {.renewed = self->renewing, .first_us = NEVER};
    const redlock_lock *lock = self->first;
    for (int n = 0; n < LOOKED_AT_MOST && lock != NULL; n++, lock = lock->next)
        if (tenure_is_held(&lock->tenure) && lock->hold.auto_renew)
            found.first_us = earliest(found.first_us, atomic_load(&lock->hold.valid_until_us));
    found.may_be_sooner = lock != NULL;
    mutex_unlock(&self->mutex);
    return found;
}

/* ---- List and schedule ---- */

/* Something is due for it from now on. */
static void lock_enlist(redlock_lock *lock)
{
    lock_list *self = lock->among;
    assert(mutex_is_mine(&self->mutex));
    if (lock->listed_at != NULL) return;
    lock->next = self->first;
    if (lock->next != NULL) lock->next->listed_at = &lock->next;
    lock->listed_at = &self->first;
    self->first = lock;
}

void lock_unlist(redlock_lock *lock)
{
    lock_list *self = lock->among;
    assert(mutex_is_mine(&self->mutex));
    schedule_remove(&self->timers, &lock->timer);
    if (lock->listed_at == NULL) return;
    if (self->to_hasten == lock) self->to_hasten = lock->next;
    if (self->to_take == lock) self->to_take = lock->next;
    *lock->listed_at = lock->next;
    if (lock->next != NULL) lock->next->listed_at = lock->listed_at;
    lock->listed_at = NULL;
}

bool lock_is_watched(const redlock_lock *lock)
{
    return lock->on_lost != NULL || lock->hold.auto_renew || lock->hold.renew_at_us != NEVER;
}

static bool may_warn(const redlock_lock *lock)
{
    return lock->on_risk != NULL && lock->notice == NOTICE_NONE && !lock->is_introduced &&
           tenure_is_held(&lock->tenure);
}

bool lock_tells_loss(const redlock_lock *lock)
{
    assert(mutex_is_mine(&lock->among->mutex));
    return lock->notice == NOTICE_LOST && !lock->is_introduced;
}

bool lock_warns(const redlock_lock *lock, int64_t now_us)
{
    assert(mutex_is_mine(&lock->among->mutex));
    return may_warn(lock) && hold_is_at_risk(&lock->hold, now_us);
}

static int64_t plan_held_us(const redlock_lock *lock)
{
    if (!lock_is_watched(lock) && lock->errand.state == ERRAND_NONE) return NEVER;
    return earliest(hold_wake_us(&lock->hold), may_warn(lock) ? lock->hold.risk_at_us : NEVER);
}

static int64_t plan_us(const redlock_lock *lock)
{
    bool is_out = lock->errand.state != ERRAND_NONE;
    if (lock_tells_loss(lock)) return INT64_MIN;
    switch (tenure_wants(&lock->tenure)) {
    case TENURE_WANTS_UNDO:
        return is_out ? NEVER : earliest(lock->hold.renew_at_us, lock->until_us);
    case TENURE_WANTS_RENEWAL: return plan_held_us(lock);
    default: return NEVER;
    }
}

void lock_plan(redlock_lock *lock)
{
    lock_list *self = lock->among;
    assert(mutex_is_mine(&self->mutex));
    int64_t at_us = plan_us(lock);
    if (at_us == NEVER) schedule_remove(&self->timers, &lock->timer);
    else schedule_set(&self->timers, &lock->timer, at_us);
    if (at_us < self->armed_us) locks_wake(self);
}

/* ---- The tenure ---- */

static void count_state(redlock_lock *lock, enum tenure_state state, size_t by)
{
    lock_list *self = lock->among;
    assert(mutex_is_mine(&self->mutex));
    if (state == TENURE_HELD && lock->hold.auto_renew) self->renewing += by;
    if (state == TENURE_LEAVING) self->releasing += by;
    if (state == TENURE_TAKING || state == TENURE_UNDOING) self->undoing += by;
}

void lock_note(redlock_lock *lock, enum notice_event what)
{
    assert(mutex_is_mine(&lock->among->mutex));
    lock->notice = (unsigned char)notice_after((enum notice)lock->notice, what);
}

static redlock_loss why_ended(const redlock_lock *lock)
{
    return lock->hold.reaches_end ? REDLOCK_LOSS_EXPIRED : REDLOCK_LOSS_NOT_RENEWED;
}

/* Belief ends before anything else does. */
static void leave_held(redlock_lock *lock)
{
    assert(mutex_is_mine(&lock->among->mutex));
    assert(lock->tenure.state != TENURE_HELD);
    lock->until_us = atomic_exchange(&lock->hold.valid_until_us, 0);
    bool is_gone = lock->tenure.state == TENURE_GONE;
    if (!is_gone && lock->tenure.state != TENURE_LAPSED) return;
    lock_note(lock, NOTICE_ENDED);
    if (lock->why_lost != REDLOCK_LOSS_NONE) return;
    lock->why_lost = (unsigned char)(is_gone ? REDLOCK_LOSS_TAKEN : why_ended(lock));
}

static void publish(redlock_lock *lock)
{
    assert(mutex_is_mine(&lock->among->mutex));
    atomic_store(&lock->standing,
                 standing_word(lock->tenure.own_fence, tenure_kind(&lock->tenure)));
}

bool lock_move(redlock_lock *lock, enum tenure_event what)
{
    lock_list *self = lock->among;
    assert(mutex_is_mine(&self->mutex));
    assert(what < TENURE_EVENTS);
    enum tenure_state before = lock->tenure.state;
    if (!tenure_move(&lock->tenure, what)) return false;
    atomic_store(&lock->state, (unsigned char)lock->tenure.state);
    count_state(lock, before, (size_t)-1);
    count_state(lock, lock->tenure.state, 1);
    if (before == TENURE_HELD) leave_held(lock);
    if (lock->tenure.state == TENURE_OVER) {
        lock_unlist(lock);
        self->count--;
    }
    if (before == TENURE_LEAVING && self->releasing == 0 && self->is_closing) locks_wake(self);
    return true;
}

void lock_granted(redlock_lock *lock, uint64_t fence, char kind)
{
    assert(fence > 0);
    lock_move(lock, TENURE_GRANTED);
    tenure_granted(&lock->tenure, fence, kind);
    publish(lock);
    lock_enlist(lock);
    /* It is renewed over a connection that is there before others take the last one. */
    if (lock->hold.auto_renew && lock->among->lacks_connection) locks_wake(lock->among);
}

bool lock_unpin(redlock_lock *lock)
{
    assert(mutex_is_mine(&lock->among->mutex));
    assert(lock->tenure.pins > 0);
    lock->tenure.pins--;
    return tenure_is_freeable(&lock->tenure);
}

int64_t lock_hurry_us(const redlock_lock *lock, int64_t now_us)
{
    assert(mutex_is_mine(&lock->among->mutex));
    if (!tenure_is_held(&lock->tenure)) return NEVER;
    return now_us + (atomic_load(&lock->hold.valid_until_us) - now_us) / ATTEMPTS;
}

void lock_begin_undo(redlock_lock *lock, int64_t now_us)
{
    const lock_list *self = lock->among;
    assert(mutex_is_mine(&self->mutex));
    assert(tenure_wants(&lock->tenure) == TENURE_WANTS_UNDO);
    int64_t span_us = lock->hold.ttl_ms * US_PER_MS;
    lock->until_us = now_us + (span_us > undo_least_us ? span_us : undo_least_us);
    if (lock->unanswered_us > 0) lock->until_us += LATE_MOST_US;
    if (self->is_closing) lock->until_us = self->closing_until_us;
    lock->hold.renew_at_us = now_us;
    lock->hold.failures = 0;
    lock_enlist(lock);
}

void lock_take(redlock_lock *lock, int64_t now_us)
{
    assert(mutex_is_mine(&lock->among->mutex));
    assert(lock->among->is_closing);
    if (!tenure_is_held(&lock->tenure) || !lock_move(lock, TENURE_CLOSED)) return;
    lock_begin_undo(lock, now_us);
    lock_plan(lock);
}

bool lock_learn(redlock_lock *lock, const standing *held, uint64_t own_fence)
{
    assert(mutex_is_mine(&lock->among->mutex));
    assert(tenure_is_held(&lock->tenure));
    bool is_newer = tenure_told(&lock->tenure, held->fence, held->kind, own_fence);
    if (!is_newer) {
        lock->why_lost = REDLOCK_LOSS_FORGOTTEN;
        lock_move(lock, TENURE_LAPSES);
    }
    publish(lock);
    return is_newer;
}

void lock_renewed(redlock_lock *lock, int64_t sent_us, int64_t lease_ms)
{
    assert(mutex_is_mine(&lock->among->mutex));
    assert(tenure_is_held(&lock->tenure));
    hold_renewed(&lock->hold, sent_us, lease_ms);
    lock_note(lock, NOTICE_RENEWED);
}

/* ---- Doors ---- */

void lock_use(redlock_lock *lock)
{
    lock_list *self = lock->among;
    mutex_lock(&self->mutex);
    lock->tenure.pins++;
    mutex_unlock(&self->mutex);
}

void lock_unuse(redlock_lock *lock)
{
    lock_list *self = lock->among;
    mutex_lock(&self->mutex);
    bool ends = lock_unpin(lock);
    mutex_unlock(&self->mutex);
    if (ends) self->free_lock(lock);
}

/* What is answered after the belief ended brings nothing back. */
static void told(redlock_lock *lock, const standing *held, uint64_t own_fence, int64_t sent_us)
{
    assert(mutex_is_mine(&lock->among->mutex));
    bool is_held = tenure_is_held(&lock->tenure) && lock_learn(lock, held, own_fence);
    if (!is_held || clock_now_us() >= atomic_load(&lock->hold.valid_until_us)) return;
    hold_extended(&lock->hold, sent_us, held->lease_ms);
    lock_note(lock, NOTICE_RENEWED);
}

void lock_told(redlock_lock *lock, const standing *held, uint64_t own_fence, int64_t sent_us)
{
    lock_list *self = lock->among;
    mutex_lock(&self->mutex);
    told(lock, held, own_fence, sent_us);
    lock_plan(lock);
    mutex_unlock(&self->mutex);
}

tenure lock_told_conversion(redlock_lock *lock, const standing *held, const conversion *asked,
                            int64_t sent_us)
{
    lock_list *self = lock->among;
    assert(held->fence > 0);
    mutex_lock(&self->mutex);
    told(lock, held, asked->own_fence, sent_us);
    if (held->kind == asked->kind && !tenure_voids(&lock->tenure, asked, held->fence)) {
        tenure_converted(&lock->tenure, held->fence);
        if (lock->errand.state == ERRAND_RENEWAL) lock->errand.state = ERRAND_OLD_RENEWAL;
        publish(lock);
    }
    lock_plan(lock);
    tenure known = lock->tenure;
    mutex_unlock(&self->mutex);
    return known;
}

tenure lock_known(const redlock_lock *lock)
{
    lock_list *self = lock->among;
    mutex_lock(&self->mutex);
    tenure known = lock->tenure;
    mutex_unlock(&self->mutex);
    return known;
}

void lock_doubted(redlock_lock *lock, uint64_t fence)
{
    lock_list *self = lock->among;
    assert(fence > 0);
    mutex_lock(&self->mutex);
    tenure_doubted(&lock->tenure, fence);
    publish(lock);
    mutex_unlock(&self->mutex);
}

void lock_bound(redlock_lock *lock, bool auto_renew, int64_t max_hold_ms, int64_t now_us)
{
    lock_list *self = lock->among;
    mutex_lock(&self->mutex);
    bool was_renewed = lock->tenure.state == TENURE_HELD && lock->hold.auto_renew;
    if (auto_renew) hold_bound(&lock->hold, max_hold_ms, now_us);
    else hold_end_renewal(&lock->hold);
    if (was_renewed && !auto_renew) self->renewing--;
    lock_plan(lock);
    mutex_unlock(&self->mutex);
}

/* Of what nobody watches the end is noticed by whoever asks. */
redlock_loss lock_why_lost(const redlock_lock *lock, int64_t now_us)
{
    lock_list *self = lock->among;
    mutex_lock(&self->mutex);
    bool has_ended = tenure_is_held(&lock->tenure) &&
                     now_us >= atomic_load(&lock->hold.valid_until_us);
    redlock_loss why = has_ended ? why_ended(lock) : (redlock_loss)lock->why_lost;
    mutex_unlock(&self->mutex);
    return why;
}

void lock_absent(redlock_lock *lock)
{
    lock_list *self = lock->among;
    mutex_lock(&self->mutex);
    lock_move(lock, TENURE_ABSENT);
    lock_plan(lock);
    mutex_unlock(&self->mutex);
}

int64_t lock_burial_ms(const redlock_lock *lock, int64_t now_us)
{
    int64_t left_us = lock->unanswered_us + LATE_MOST_US - now_us;
    return lock->unanswered_us > 0 && left_us > 0 ? left_us / US_PER_MS + 1 : 0;
}
