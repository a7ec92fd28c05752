/* SPDX-License-Identifier: MIT
 * Renewals and undos on the keeper's connection. An errand that got no good answer is sent again: a
 * renewal until the lock's validity ends, an undo until the server has surely forgotten the lock by
 * itself. */
#include "keeper/keeper_internal.h"

#include <assert.h>
#include <string.h>

#include "engine/lease.h"
#include "host/histogram.h"
#include "wire/answer.h"
#include "wire/question.h"

static size_t write_inbox(char out[INBOX_SIZE], const keeper *self, const redlock_lock *lock)
{
    if (lock->inbox_number == 0) return 0;
    char channel[CHANNEL_SIZE];
    const lane_terms *terms = self->terms.lane_terms;
    identity_channel(channel, terms->key_prefix, terms->who, lock->inbox_number);
    return inbox_write(out, lock->claim_ms, channel, lock->slot);
}

static void errand_answered(call *back, const reply *from, int64_t now_us);

berth *errand_berth(keeper *self, const redlock_lock *lock)
{
    assert(mutex_is_mine(&self->locks.mutex));
    node *to = route_next(keeper_route(self), &lock->errand.by, lock->slot);
    return lane_berth(&self->lane, to);
}

enum { USUAL_ANSWERS = 4 };

/* For how long a silent server is borne: a renewal leaves time for another one, on a new
 * connection; but a server that is as slow as it usually is has done nothing wrong, however short
 * the lease. */
static int64_t patience_us(const keeper *self, const conn *on, const redlock_lock *lock,
                           int64_t now_us)
{
    assert(mutex_is_mine(&self->locks.mutex));
    int64_t timeout_us = self->terms.timeout_us;
    if (tenure_wants(&lock->tenure) == TENURE_WANTS_UNDO) return timeout_us;
    int64_t half_us = (atomic_load(&lock->hold.valid_until_us) - now_us) / 2;
    int64_t usual_us = USUAL_ANSWERS * on->answer_us;
    return earliest(timeout_us, usual_us > half_us ? usual_us : half_us);
}

/* A hold that was granted, by a question of which no attempt is on its way, has left the line:
 * giving it back undoes all of it, and costs the server less. */
static void ask_undo(question *ask, char inbox_field[INBOX_SIZE], const keeper *self,
                     const redlock_lock *lock, int64_t now_us)
{
    int64_t burial_ms = lock_burial_ms(lock, now_us);
    ask->first_ms = self->terms.linger_ms;
    ask->script = lock->tenure.own_fence != 0 && burial_ms == 0 ? SCRIPT_RELEASE : SCRIPT_CANCEL;
    if (ask->script == SCRIPT_RELEASE) return;
    ask->mode = lock_mode(lock);
    ask->mode_length = lock->mode_length;
    ask->inbox = inbox_field;
    ask->inbox_length = write_inbox(inbox_field, self, lock);
    ask->burial_ms = burial_ms;
}

/* What is remembered of an unknown script is so of one node. */
static void go_to(errand *self, const node *to)
{
    if (self->asked != to->number) self->loading = (loading){0};
    self->asked = to->number;
    self->loading.is_asking = self->by.is_asking;
}

static bool submit_renewal(keeper *self, berth *at, redlock_lock *lock, int64_t ttl_ms,
                           int64_t now_us)
{
    conn *on = &at->command;
    assert(mutex_is_mine(&self->locks.mutex));
    assert(lock->errand.state == ERRAND_NONE);
    errand *out = &lock->errand;
    char inbox_field[INBOX_SIZE];
    bool undoes = tenure_wants(&lock->tenure) == TENURE_WANTS_UNDO;
    question ask = {
        .script = SCRIPT_RENEW,
        .key = lock_key(lock),
        .key_length = lock->key_length,
        .holder = lock_holder(lock),
        .holder_length = lock->holder_length,
        .first_ms = ttl_ms,
        .grace_ms = self->terms.grace_ms,
        .nonce = atomic_fetch_add_explicit(self->terms.nonces, 1, memory_order_relaxed)};
    if (undoes) ask_undo(&ask, inbox_field, self, lock, now_us);
    go_to(out, on->to);
    out->nonce = ask.nonce;
    out->call.answered = errand_answered;
    out->call.deadline_us = now_us + patience_us(self, on, lock, now_us);
    scout_ask(&at->scout, on, keeper_route(self), now_us);
    if (!loading_submit(&out->loading, on, &out->call, &ask, &out->by_source, now_us)) return false;
    out->state = undoes ? ERRAND_UNDO : ERRAND_RENEWAL;
    lock->tenure.pins++;
    return true;
}

/* A connection that backs off is waited for, but for no more than a quarter of what is left of the
 * lease: its server may be back. */
static int64_t not_before_us(keeper *self, const redlock_lock *lock, int64_t now_us)
{
    const berth *at = errand_berth(self, lock);
    if (at == NULL) return lock_hurry_us(lock, now_us);
    if (at->command.state != CONN_CLOSED) return now_us;
    return earliest(conn_retry_us(&at->command), lock_hurry_us(lock, now_us));
}

void errand_send(keeper *self, redlock_lock *lock, int64_t now_us)
{
    assert(mutex_is_mine(&self->locks.mutex));
    bool renews = tenure_is_held(&lock->tenure);
    int64_t ttl_ms = renews ? hold_renew(&lock->hold, now_us) : 0;
    /* Nothing is sent while an errand is out (its answer plans the next), or past the maximum
     * hold. */
    if (lock->errand.state == ERRAND_NONE && !(renews && ttl_ms <= 0)) {
        berth *at = errand_berth(self, lock);
        bool was_sent = at != NULL && at->command.state != CONN_CLOSED &&
                        submit_renewal(self, at, lock, ttl_ms, now_us);
        if (!was_sent && at != NULL && at->command.failures > 0)
            route_failed(keeper_route(self), &lock->errand.by, at->command.to);
        if (!was_sent) hold_retry(&lock->hold, not_before_us(self, lock, now_us), now_us);
        if (!was_sent && renews) counter_add(&self->terms.stats->renewal_retried, 1);
    }
    lock_plan(lock);
}

/* Every lock is seen to, in the rounds that follow, also one whose errand is out: its answer may be
 * older. */
static void look_at_clock(keeper *self, const redlock_lock *lock, const answer *read,
                          int64_t now_us)
{
    assert(mutex_is_mine(&self->locks.mutex));
    if (read->kind != ANSWER_CODE || read->server_us == 0) return;
    int64_t step_us =
        server_clock_read(&self->server_clock, read->server_us, lock->errand.call.sent_us, now_us);
    if (step_us == 0) return;
    self->locks.to_hasten = self->locks.first;
    self->locks.step_us = step_us;
}

/* What is answered after the lease ended brings nothing back. */
static void renewed(keeper *self, redlock_lock *lock, const standing *held, bool is_old,
                    int64_t now_us)
{
    assert(mutex_is_mine(&self->locks.mutex));
    assert(tenure_is_held(&lock->tenure));
    counter_add(&self->terms.stats->renewed, 1);
    if (!lock_learn(lock, held, is_old ? 0 : lock->tenure.own_fence)) return;
    if (now_us < atomic_load(&lock->hold.valid_until_us))
        lock_renewed(lock, lock->errand.call.sent_us, held->lease_ms);
}

/* A renewal is tried for as long as the lease lasts, whatever the server says. */
static void renewal_answered(keeper *self, redlock_lock *lock, const answer *read, bool is_old,
                             int64_t now_us)
{
    assert(mutex_is_mine(&self->locks.mutex));
    standing held;
    enum verdict verdict = request_verdict(read, lock->errand.by_source);
    if (verdict == VERDICT_DONE && read->code == RENEW_ABSENT) lock_move(lock, TENURE_ABSENT);
    if (!tenure_is_held(&lock->tenure)) return;
    if (verdict == VERDICT_DONE && read->code == RENEW_DONE && standing_read(&held, read->value)) {
        renewed(self, lock, &held, is_old, now_us);
    } else if (verdict == VERDICT_BY_SOURCE || verdict == VERDICT_ELSEWHERE) {
        lock->hold.renew_at_us = now_us;
    } else {
        counter_add(&self->terms.stats->renewal_retried, 1);
        hold_retry(&lock->hold, not_before_us(self, lock, now_us), now_us);
    }
    lock->errand.by_source = verdict == VERDICT_BY_SOURCE;
}

/* Once for each request: if it was done behind the request, it was counted then. */
static void end_undo(keeper *self, redlock_lock *lock, enum verdict verdict)
{
    assert(mutex_is_mine(&self->locks.mutex));
    counter_add(&self->terms.stats->undone, lock->undo_counts && verdict == VERDICT_DONE);
    lock_move(lock, TENURE_UNDONE);
}

static void undo_answered(keeper *self, redlock_lock *lock, const answer *read, int64_t now_us)
{
    assert(mutex_is_mine(&self->locks.mutex));
    assert(tenure_wants(&lock->tenure) == TENURE_WANTS_UNDO);
    enum verdict verdict = request_verdict(read, lock->errand.by_source);
    switch (verdict) {
    case VERDICT_DONE:
    case VERDICT_HOPELESS: end_undo(self, lock, verdict); break;
    case VERDICT_MORE:
    case VERDICT_ELSEWHERE:
    case VERDICT_BY_SOURCE: lock->hold.renew_at_us = now_us; break;
    case VERDICT_LATER:
        if (now_us >= lock->until_us) end_undo(self, lock, verdict);
        else hold_retry(&lock->hold, not_before_us(self, lock, now_us), now_us);
        break;
    }
    lock->errand.by_source = verdict == VERDICT_BY_SOURCE;
}

static keeper *keeper_of(const redlock_lock *lock)
{
    return (keeper *)((char *)lock->among - offsetof(keeper, locks));
}

static void errand_answered(call *back, const reply *from, int64_t now_us)
{
    redlock_lock *lock = (redlock_lock *)back;
    keeper *self = keeper_of(lock);
    answer read;
    mutex_lock(&self->locks.mutex);
    answer_to(&read, from, lock->errand.nonce);
    route *by = keeper_route(self);
    route_learn(by, &lock->errand.by, lock->slot, route_numbered(by, lock->errand.asked), &read,
                from);
    look_at_clock(self, lock, &read, now_us);
    enum errand_state state = lock->errand.state;
    lock->errand.state = ERRAND_NONE;
    if (state != ERRAND_UNDO)
        renewal_answered(self, lock, &read, state == ERRAND_OLD_RENEWAL, now_us);
    else if (tenure_wants(&lock->tenure) == TENURE_WANTS_UNDO)
        undo_answered(self, lock, &read, now_us);
    bool is_free = lock_unpin(lock);
    if (!is_free) lock_plan(lock);
    mutex_unlock(&self->locks.mutex);
    if (is_free) self->locks.free_lock(lock);
}
