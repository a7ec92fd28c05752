/* SPDX-License-Identifier: MIT
 * Release: the last entry lets go, and the server is told. */
#include "api/act.h"
#include "host/clock.h"
#include "host/histogram.h"
#include "wire/text.h"

/* A nested entry ends: those around it go on holding, and may give the lock back at any moment. */
static bool release_is_asked(act *self, question *about)
{
    redlock_lock *lock = self->lock;
    int64_t now_us = clock_now_us();
    self->status = handle_is_valid(lock, now_us) ? REDLOCK_OK : REDLOCK_LOST;
    if (self->status == REDLOCK_LOST) self->loss = lock_why_lost(lock, now_us);
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
    self->loss = self->status == REDLOCK_OK ? REDLOCK_LOSS_NONE : REDLOCK_LOSS_TAKEN;
    return false;
}

/* The server could not be told. (Who closes the client knows.) */
bool release_is_logged(redlock_status status)
{
    return status < 0 && status != REDLOCK_ERR_CLOSED && status != REDLOCK_ERR_FORKED;
}

/* Not ten thousand times. */
static void log_failure(redlock_client *client, const redlock_lock *lock, redlock_status why,
                        const char *words)
{
    char name[128], more[SELDOM_MORE_SIZE];
    bool is_hopeless = status_is_hopeless(why);
    if (!seldom_may_say(&client->failed_releases, clock_now_us(), more)) return;
    text_escape(name, sizeof name, lock_name(lock), lock->name_length);
    log_line(&client->log, REDLOCK_LOG_WARNING, "lock \"%s\": release failed%s: %s%s%s; %s", name,
             more, redlock_strerror(why), words[0] != '\0' ? ": " : "", words,
             is_hopeless ? "it ends with its lease"
                         : "it is tried in the background until the lease ends");
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
    if (release_is_logged(status)) log_failure(client, lock, status, self->words);
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
    return lock == NULL ? REDLOCK_OK : act_wait_about_lock(&act_release, lock, 0);
}
