/* SPDX-License-Identifier: MIT
 * Release: the last entry lets go, and the server is told. */
#include "api/act.h"
#include "host/clock.h"
#include "host/histogram.h"

/* A nested entry ends: those around it go on holding, and may give the lock back at any moment. */
static bool release_is_asked(act *self, question *about)
{
    redlock_lock *lock = self->lock;
    int64_t now_us = clock_now_us();
    self->status = handle_is_valid(lock, now_us) ? REDLOCK_OK : REDLOCK_LOST;
    if (!holds_leave(&self->client->holds, lock)) return false;
    self->status = handle_let_go(self->client, lock, !self->is_submitted, now_us);
    if (self->status != REDLOCK_OK) return false;
    self->may_spin = !lock->was_handed_over;
    *about = handle_question(lock, SCRIPT_RELEASE, self->client->linger_ms);
    about->burial_ms = lock_burial_ms(lock, now_us);
    return true;
}

/* One that finds nothing was taken from us, unless an earlier attempt may have been the one, while
 * the lease that was let go of lasted. */
static bool release_is_judged(act *self, const answer *from)
{
    bool may_be_ours = self->state->is_ambiguous && clock_now_us() < self->lock->until_us;
    self->status = from->code != RELEASE_ABSENT || may_be_ours ? REDLOCK_OK : REDLOCK_LOST;
    return false;
}

/* What was answered at once has let go already, and the handle may be gone. What an answer that
 * says that more are left has done is done, whatever became of those who wait: if its time ran out
 * before all were served, the keeper goes on with them. */
static redlock_status end_release(act *self, redlock_status status)
{
    if (self->asks == NULL) return status;
    redlock_lock *lock = self->lock;
    redlock_client *client = self->client;
    bool is_left_over = self->state->is_partial && status < 0;
    if (self->state->is_partial) status = REDLOCK_OK;
    counter_add(status == REDLOCK_OK ? &client->stats.released : &client->stats.release_failed, 1);
    lock->undo_counts |= request_is_unanswered(self->state);
    if (status >= 0 && !is_left_over) keeper_released(&client->keeper, lock);
    else keeper_unanswered(&client->keeper, lock, clock_now_us());
    return status;
}

const act_kind act_release = {.begin = release_is_asked,
                              .judge = release_is_judged,
                              .end = end_release,
                              .outlasts_close = true};

redlock_status redlock_release(redlock_lock *lock)
{
    if (lock == NULL) return REDLOCK_OK;
    redlock_client *client = client_of(lock);
    redlock_status status = client_enter(client);
    if (status != REDLOCK_OK) return status;
    act self = act_about(&act_release, lock);
    return act_wait(&self, NULL);
}
