/* SPDX-License-Identifier: MIT
 * A longer lease for a hold. */
#include "api/act.h"

#include <assert.h>

#include "api/words.h"
#include "engine/lease.h"

bool extension_is_asked(act *self, question *about)
{
    assert(self->ttl_ms > 0);
    redlock_lock *lock = self->lock;
    self->status = handle_status(lock);
    if (self->status != REDLOCK_OK) return false;
    self->own_fence = lock_fence(lock);
    *about = handle_question(lock, SCRIPT_RENEW, self->ttl_ms);
    return true;
}

static redlock_status extension_outcome(act *self, const answer *from)
{
    standing held;
    redlock_lock *lock = self->lock;
    if (from->code == RENEW_ABSENT) {
        lock_absent(lock);
        return REDLOCK_LOST;
    }
    if (from->code != RENEW_DONE || !standing_read(&held, from->value)) return REDLOCK_ERR_PROTOCOL;
    lock_told(lock, &held, self->own_fence, self->state->sent_us);
    return handle_status(lock);
}

bool extension_is_judged(act *self, const answer *from)
{
    self->status = extension_outcome(self, from);
    return false;
}

const act_kind act_extend = {
    .begin = extension_is_asked, .judge = extension_is_judged, .needs_the_lease = true};

redlock_status redlock_extend(redlock_lock *lock, int64_t ttl_ms)
{
    bool is_ttl = ttl_ms >= 1 && ttl_ms <= LEASE_MOST_MS;
    if (lock != NULL && !is_ttl) return words_of_refusal(REDLOCK_ERR_TTL);
    return act_wait_about_lock(&act_extend, lock, ttl_ms);
}
