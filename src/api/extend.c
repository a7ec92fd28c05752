/* SPDX-License-Identifier: MIT
 * A longer lease for a hold. */
#include "api/act.h"

#include <assert.h>

#include "engine/lease.h"
#include "host/clock.h"

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
    if (lock == NULL) return REDLOCK_ERR_ARGUMENT;
    if (ttl_ms < 1 || ttl_ms > LEASE_MOST_MS) return REDLOCK_ERR_TTL;
    redlock_client *client = client_of(lock);
    redlock_status status = client_enter(client);
    if (status != REDLOCK_OK) return status;
    act self = act_about(&act_extend, lock);
    self.ttl_ms = ttl_ms;
    return act_wait(&self, NULL);
}
