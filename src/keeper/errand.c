/* SPDX-License-Identifier: MIT
 * Renewals and undos on the keeper's connection. An errand that got no good answer is sent again:
 * a renewal until the lock's validity ends, an undo until the server has surely forgotten the lock by itself. */
#include "keeper/keeper_internal.h"

#include <string.h>

#include "engine/lease.h"
#include "host/histogram.h"
#include "wire/answer.h"
#include "wire/question.h"

static size_t write_inbox(char out[INBOX_SIZE], const keeper *self, const redlock_lock *lock)
{
    if (lock->inbox_number == 0) return 0;
    char channel[CHANNEL_SIZE];
    identity_channel(channel, self->terms.key_prefix, self->terms.who, lock->inbox_number);
    return inbox_write(out, lock->claim_ms, channel);
}

static int64_t earliest(int64_t a, int64_t b) { return a < b ? a : b; }

static void answered(call *back, const reply *from, int64_t now_us);

enum { USUAL_ANSWERS = 4 };

/* For how long a silent server is borne: a renewal leaves time for another one, on a new connection; but a server that
 * is as slow as it usually is has done nothing wrong, however short the lease. */
static int64_t patience_us(const keeper *self, const redlock_lock *lock, int64_t now_us)
{
    int64_t timeout_us = self->terms.timeout_us;
    if (tenure_wants(&lock->tenure) == TENURE_WANTS_UNDO) return timeout_us;
    int64_t half_us = (atomic_load(&lock->hold.valid_until_us) - now_us) / 2;
    int64_t usual_us = USUAL_ANSWERS * self->lane.command.answer_us;
    return earliest(timeout_us, usual_us > half_us ? usual_us : half_us);
}

static bool submit(keeper *self, redlock_lock *lock, int64_t first_ms, int64_t now_us)
{
    char inbox[INBOX_SIZE];
    bool undoes = tenure_wants(&lock->tenure) == TENURE_WANTS_UNDO;
    question ask = {.script = undoes ? SCRIPT_CANCEL : SCRIPT_RENEW,
                    .key = lock_key(lock),
                    .key_length = lock->key_length,
                    .holder = lock_holder(lock),
                    .holder_length = lock->holder_length,
                    .first_ms = first_ms,
                    .grace_ms = self->terms.grace_ms,
                    .nonce = atomic_fetch_add_explicit(self->terms.nonces, 1, memory_order_relaxed)};
    if (undoes) {
        ask.mode = lock_mode(lock);
        ask.mode_length = lock->mode_length;
        ask.inbox = inbox;
        ask.inbox_length = write_inbox(inbox, self, lock);
        ask.burial_ms = lock_burial_ms(lock, now_us);
    }
    lock->nonce = ask.nonce;
    lock->errand_is_older = false;
    lock->call.answered = answered;
    lock->call.deadline_us = now_us + patience_us(self, lock, now_us);
    lock->errand_is_undo = undoes;
    conn *on = &self->lane.command;
    lock->errand_is_out = loading_submit(&lock->loading, on, &lock->call, &ask, &lock->by_source, now_us);
    lock->tenure.pins += lock->errand_is_out;
    return lock->errand_is_out;
}

void errand_send(keeper *self, redlock_lock *lock, int64_t now_us)
{
    bool renews = tenure_is_held(&lock->tenure);
    int64_t first_ms = renews ? hold_renew(&lock->hold, now_us) : self->terms.linger_ms;
    /* Nothing is sent while an errand is out (its answer plans the next), or past the maximum hold. */
    if (!lock->errand_is_out && !(renews && first_ms <= 0)) {
        bool was_sent = self->lane.command.state != CONN_CLOSED && submit(self, lock, first_ms, now_us);
        if (!was_sent) hold_retry(&lock->hold, self->lane.command.retry_at_us, now_us);
        if (!was_sent && renews) counter_add(&self->terms.stats->renewal_retried, 1);
    }
    keeper_plan(self, lock, now_us);
}

/* Every lock is seen to, in the rounds that follow, also one whose errand is out: its answer may be older. */
static void look_at_clock(keeper *self, const redlock_lock *lock, const answer *read, int64_t now_us)
{
    if (read->kind != ANSWER_CODE || read->server_us == 0) return;
    int64_t step_us = server_clock_read(&self->server_clock, read->server_us, lock->call.sent_us, now_us);
    if (step_us == 0) return;
    self->to_hasten = self->locks;
    self->step_us = step_us;
}

/* What is answered after the lease ended brings nothing back. */
static void renewed(keeper *self, redlock_lock *lock, const standing *held, int64_t now_us)
{
    counter_add(&self->terms.stats->renewed, 1);
    lock->by_source = false;
    if (!lock_told(lock, held, lock->errand_is_older ? 0 : lock->tenure.own_fence)) return;
    if (now_us < atomic_load(&lock->hold.valid_until_us)) hold_renewed(&lock->hold, lock->call.sent_us, held->lease_ms);
}

static void renewal_answered(keeper *self, redlock_lock *lock, const answer *read, int64_t now_us)
{
    standing held;
    if (read->kind == ANSWER_CODE && read->code == RENEW_ABSENT) lock_move(lock, TENURE_ABSENT);
    if (!tenure_is_held(&lock->tenure)) return;
    if (read->kind == ANSWER_CODE && read->code == RENEW_DONE && standing_read(&held, read->value)) {
        renewed(self, lock, &held, now_us);
    } else if (read->kind == ANSWER_UNKNOWN_SCRIPT && !lock->by_source) {
        lock->by_source = true;
        lock->hold.renew_at_us = now_us;
    } else {
        counter_add(&self->terms.stats->renewal_retried, 1);
        hold_retry(&lock->hold, self->lane.command.retry_at_us, now_us);
    }
}

static bool undo_is_over(const redlock_lock *lock, const answer *read, int64_t now_us)
{
    bool is_hopeless = read->kind == ANSWER_WRONG_TYPE || read->kind == ANSWER_ERROR || read->kind == ANSWER_DENIED;
    return read->kind == ANSWER_CODE || is_hopeless || now_us >= lock->until_us;
}

/* Once for each request: if it was done behind the request, it was counted then. */
static void count_undone(keeper *self, const redlock_lock *lock, const answer *read)
{
    bool counts = lock->is_unanswered && !lock->undo_is_behind && read->kind == ANSWER_CODE;
    counter_add(&self->terms.stats->undone, counts);
}

/* With the mutex. */
static void undo_answered(keeper *self, redlock_lock *lock, const answer *read, int64_t now_us)
{
    bool has_more = read->kind == ANSWER_CODE && read->code == CODE_MORE;
    if (!has_more && undo_is_over(lock, read, now_us)) {
        count_undone(self, lock, read);
        lock_move(lock, TENURE_UNDONE);
    } else if (has_more || read->kind == ANSWER_UNKNOWN_SCRIPT) {
        lock->by_source |= !has_more;
        lock->hold.renew_at_us = now_us;
    } else {
        hold_retry(&lock->hold, self->lane.command.retry_at_us, now_us);
    }
}

static void answered(call *back, const reply *from, int64_t now_us)
{
    redlock_lock *lock = (redlock_lock *)back;
    keeper *self = lock->keeper;
    answer read;
    mutex_lock(&self->mutex);
    answer_to(&read, from, lock->nonce);
    look_at_clock(self, lock, &read, now_us);
    lock->errand_is_out = false;
    if (!lock->errand_is_undo) renewal_answered(self, lock, &read, now_us);
    else if (tenure_wants(&lock->tenure) == TENURE_WANTS_UNDO) undo_answered(self, lock, &read, now_us);
    bool is_free = lock_unpin(lock);
    if (!is_free) keeper_plan(self, lock, now_us);
    mutex_unlock(&self->mutex);
    if (is_free) self->terms.free_lock(lock);
}
