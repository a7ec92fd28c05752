/* SPDX-License-Identifier: MIT
 * Changing the mode of a hold, and its thread. */
#include "api/act.h"

#include <assert.h>

static bool has_permits(const redlock_lock *lock)
{
    mode as;
    return !mode_read(&as, lock_mode(lock), lock->mode_length) || as.permits > 0;
}

static char kind_after(enum script_id id)
{
    return id == SCRIPT_UPGRADE ? KIND_EXCLUSIVE : KIND_SHARED;
}

bool conversion_is_asked(act *self, question *about, enum script_id id)
{
    assert(id == SCRIPT_UPGRADE || id == SCRIPT_DOWNGRADE);
    redlock_lock *lock = self->lock;
    self->status = handle_status(lock);
    if (self->status == REDLOCK_OK && has_permits(lock)) self->status = REDLOCK_ERR_ARGUMENT;
    if (self->status != REDLOCK_OK) return false;
    tenure known = lock_known(lock);
    if (tenure_has_kind(&known, kind_after(id))) return false;
    *about = handle_question(lock, id, lock->hold.ttl_ms);
    about->fence = (int64_t)known.version.fence;
    self->own_fence = known.own_fence;
    return true;
}

/* From here on the request may be carried out at any time. */
void conversion_is_sent(act *self)
{
    const question *asked = &self->asks->question;
    if (asked->script == SCRIPT_RENEW) return;
    lock_doubted(self->lock, (uint64_t)asked->fence);
}

/* STALE, and of that kind: an earlier attempt of ours made the conversion. */
static redlock_status conversion_outcome(const act *self, const answer *from, const standing *held,
                                         char kind)
{
    if (from->code == CONVERT_DEADLOCK) return REDLOCK_DEADLOCK;
    bool is_done = from->code == CONVERT_DONE || from->code == CONVERT_STALE;
    return is_done && held->kind == kind ? handle_status(self->lock) : REDLOCK_ERR_PROTOCOL;
}

/* A conversion that was void is asked for the fence that is known. */
static bool asks_again(act *self, const tenure *known)
{
    self->asks->question.fence = (int64_t)known->version.fence;
    self->own_fence = known->own_fence;
    return true;
}

bool conversion_is_judged(act *self, const answer *from)
{
    standing held;
    redlock_lock *lock = self->lock;
    char kind = kind_after(self->asks->question.script);
    if (from->code == CONVERT_ABSENT) lock_absent(lock);
    self->status = from->code == CONVERT_ABSENT ? REDLOCK_LOST : REDLOCK_ERR_PROTOCOL;
    if (from->code == CONVERT_ABSENT || !standing_read(&held, from->value)) return false;
    bool is_stale = from->code == CONVERT_STALE;
    conversion asked = {.own_fence = self->own_fence, .kind = kind, .is_stale = is_stale};
    if (!is_stale && from->code != CONVERT_DONE) {
        lock_told(lock, &held, self->own_fence, self->state->sent_us);
    } else {
        tenure known = lock_told_conversion(lock, &held, &asked, self->state->sent_us);
        if (tenure_voids(&known, &asked, held.fence)) return asks_again(self, &known);
    }
    self->status = conversion_outcome(self, from, &held, kind);
    return false;
}

static bool upgrade_is_asked(act *self, question *about)
{
    return conversion_is_asked(self, about, SCRIPT_UPGRADE);
}

static bool downgrade_is_asked(act *self, question *about)
{
    return conversion_is_asked(self, about, SCRIPT_DOWNGRADE);
}

const act_kind act_upgrade = {.begin = upgrade_is_asked,
                              .judge = conversion_is_judged,
                              .before_sending = conversion_is_sent,
                              .needs_the_lease = true};
const act_kind act_downgrade = {.begin = downgrade_is_asked,
                                .judge = conversion_is_judged,
                                .before_sending = conversion_is_sent,
                                .needs_the_lease = true};

redlock_status redlock_downgrade(redlock_lock *lock)
{
    return act_wait_about_lock(&act_downgrade, lock, 0);
}

redlock_status redlock_upgrade(redlock_lock *lock)
{
    return act_wait_about_lock(&act_upgrade, lock, 0);
}

void redlock_adopt(redlock_lock *lock)
{
    redlock_client *client = lock == NULL ? NULL : client_of(lock);
    if (client != NULL && !fork_guard_is_child(&client->fork)) holds_adopt(&client->holds, lock);
}
