/* SPDX-License-Identifier: MIT
 * The machine of one acquisition. Pure: no clock, no socket. */
#include "engine/acquire.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "engine/recheck.h"

static void move_acquire(acquire *self, enum acquire_state to)
{
    static const bool allowed[5][5] = {
        [ACQUIRE_TRYING] =
            {[ACQUIRE_SUBSCRIBING] = true, [ACQUIRE_ASKING] = true, [ACQUIRE_DONE] = true},
        [ACQUIRE_SUBSCRIBING] = {[ACQUIRE_ASKING] = true, [ACQUIRE_DONE] = true},
        [ACQUIRE_ASKING] = {[ACQUIRE_ASKING] = true,
                            [ACQUIRE_SUBSCRIBING] = true,
                            [ACQUIRE_WAITING] = true,
                            [ACQUIRE_DONE] = true},
        [ACQUIRE_WAITING] =
            {[ACQUIRE_SUBSCRIBING] = true, [ACQUIRE_ASKING] = true, [ACQUIRE_DONE] = true},
    };
    assert(allowed[self->state][to]);
    (void)allowed;
    self->state = to;
}

static void finish_acquire(acquire *self, redlock_status status)
{
    assert(self->state != ACQUIRE_DONE);
    self->status = status;
    move_acquire(self, ACQUIRE_DONE);
}

/* Until the server has said anything, this is a try. */
static int64_t end_us(const acquire *self)
{
    return self->was_answered ? self->terms.wait_until_us : self->terms.deadline_us;
}

static void ask(acquire *self)
{
    self->unanswered_us = acquire_unanswered_us(self);
    request_begin(&self->asks, end_us(self), self->terms.timeout_us,
                  jitter_below(&self->jitter, UINT32_MAX));
}

/* When to ask though the inbox is not there: between a half and the whole of the claim. */
static int64_t ask_blindly_us(acquire *self, int64_t now_us)
{
    int64_t half_us = self->terms.claim_ms * US_PER_MS / 2;
    uint32_t spread = half_us < UINT32_MAX ? (uint32_t)half_us : UINT32_MAX;
    return now_us + half_us + (int64_t)jitter_below(&self->jitter, spread);
}

static void queue_up(acquire *self, int64_t now_us)
{
    assert(self->terms.may_wait);
    self->must_ask_again = false;
    move_acquire(self, self->inbox_is_open ? ACQUIRE_ASKING : ACQUIRE_SUBSCRIBING);
    if (self->inbox_is_open) ask(self);
    else self->recheck_us = ask_blindly_us(self, now_us);
}

void acquire_begin(acquire *self, const acquire_terms *terms, bool inbox_is_open, int64_t now_us)
{
    assert(terms->wait_until_us <= terms->deadline_us);
    *self = (acquire){.terms = *terms,
                      .jitter = terms->seed,
                      .inbox_is_open = inbox_is_open,
                      .recheck_us = NEVER,
                      .at_deadline = REDLOCK_ERR_TIMEOUT};
    bool queues = terms->may_wait && (inbox_is_open || terms->queues_first);
    self->state = !queues ? ACQUIRE_TRYING : inbox_is_open ? ACQUIRE_ASKING : ACQUIRE_SUBSCRIBING;
    if (self->state == ACQUIRE_SUBSCRIBING) self->recheck_us = ask_blindly_us(self, now_us);
    ask(self);
}

bool acquire_queues(const acquire *self) { return self->state == ACQUIRE_ASKING; }

bool acquire_wants_inbox(const acquire *self)
{
    return self->state == ACQUIRE_SUBSCRIBING || self->state == ACQUIRE_ASKING ||
           self->state == ACQUIRE_WAITING;
}

int64_t acquire_unanswered_us(const acquire *self)
{
    const request *asks = &self->asks;
    int64_t latest_us = asks->state == REQUEST_SENT ? asks->sent_us : asks->unanswered_us;
    return latest_us > self->unanswered_us ? latest_us : self->unanswered_us;
}

bool acquire_is_waiting(const acquire *self) { return self->state == ACQUIRE_WAITING; }

/* A lease that is over already is no lock: whoever tried has failed, whoever may wait asks again
 * once the server has surely forgotten the old lease. */
static void take_late(acquire *self, int64_t lease_ms, int64_t now_us)
{
    assert(self->state != ACQUIRE_DONE);
    self->is_owed = true;
    if (!self->terms.may_wait) {
        finish_acquire(self, REDLOCK_ERR_TIMEOUT);
        return;
    }
    self->is_queued = false;
    if (self->state == ACQUIRE_TRYING) {
        queue_up(self, now_us);
        return;
    }
    self->recheck_us = now_us + lease_ms * US_PER_MS;
    if (self->state != ACQUIRE_WAITING) move_acquire(self, ACQUIRE_WAITING);
}

static void take_hold(acquire *self, const standing *held, int64_t valid_until_us, int64_t now_us)
{
    assert(held->fence > 0);
    assert(held->lease_ms > 0);
    if (valid_until_us <= now_us) {
        take_late(self, held->lease_ms, now_us);
        return;
    }
    self->held = *held;
    self->valid_until_us = valid_until_us;
    self->is_owed = false;
    finish_acquire(self, REDLOCK_OK);
}

static bool is_instant(int64_t server_us) { return server_us > 0 && server_us <= NUMBER_MOST; }

static void take_message(acquire *self, const grant *from, int64_t received_us, int64_t now_us)
{
    assert(self->terms.may_wait);
    assert(from->lease_ms > 0);
    int64_t lease_ms = from->lease_ms < self->terms.ttl_ms ? from->lease_ms : self->terms.ttl_ms;
    standing held = {.fence = from->fence, .kind = self->terms.kind, .lease_ms = lease_ms};
    bool has_known = self->known.server_us > 0;
    int64_t until_us =
        has_known ? lease_valid_until_granted(self->known, from->server_us, received_us, lease_ms)
                  : lease_valid_until(self->known.sent_us, lease_ms);
    self->was_answered = true; /* by the message of a question that was carried out */
    self->was_handed_over = true;
    take_hold(self, &held, until_us, now_us);
}

/* The grant that overtook the answer, if there was one. */
static bool take_early_grant(acquire *self, int64_t now_us)
{
    if (!self->has_early_grant) return false;
    self->has_early_grant = false;
    take_message(self, &self->early_grant, self->early_grant_us, now_us);
    return true;
}

static void take_answer(acquire *self, int64_t now_us)
{
    assert(self->asks.state == REQUEST_DONE);
    assert(self->asks.code == ACQUIRE_GRANTED);
    /* A grant to one that had queued may have come by handover, with a claim for a lease. */
    self->was_handed_over = self->is_queued || self->asks.is_ambiguous;
    standing held;
    if (!standing_read(&held, self->asks.value) || !is_instant(self->asks.server_us)) {
        finish_acquire(self, REDLOCK_ERR_PROTOCOL);
        return;
    }
    if (held.lease_ms > self->terms.ttl_ms) held.lease_ms = self->terms.ttl_ms;
    take_hold(self, &held, lease_valid_until(self->asks.sent_us, held.lease_ms), now_us);
}

/* Is it what our script answers to one that queued? */
static bool is_place(const request *asked)
{
    const int64_t *value = asked->value;
    return is_instant(asked->server_us) && value[0] >= 0 && value[0] <= LEASE_MOST_MS &&
           value[1] > 0 && value[1] <= INT32_MAX && value[2] >= 0 && value[2] <= LEASE_MOST_MS &&
           value[3] >= READER_BAND && value[3] < WRITER_BAND;
}

static void note_queued(acquire *self, int64_t now_us)
{
    assert(acquire_queues(self));
    int64_t lease_ms = self->asks.value[0], position = self->asks.value[1];
    if (!is_place(&self->asks)) {
        finish_acquire(self, REDLOCK_ERR_PROTOCOL);
        return;
    }
    self->known =
        (server_instant){.sent_us = self->asks.sent_us, .server_us = self->asks.server_us};
    self->arrival_us = self->asks.value[3];
    self->unheard = 0;
    self->is_queued = true;
    self->at_deadline = REDLOCK_TIMED_OUT;
    self->urged = lease_ms == 0 ? self->urged + 1 : 0;
    self->recheck_us = now_us + recheck_pause_us(self->urged) +
                       recheck_after_us(lease_ms, position, self->terms.claim_ms,
                                        self->asks.value[2], &self->jitter);
    if (take_early_grant(self, now_us)) return;
    if (!self->inbox_is_open || self->must_ask_again) {
        queue_up(self, now_us);
    } else {
        move_acquire(self, ACQUIRE_WAITING);
    }
}

static void subscribe_anew(acquire *self, int64_t now_us)
{
    self->distrusts_inbox = true;
    self->inbox_is_open = false;
    queue_up(self, now_us);
}

/* Nobody hears us there: the question comes back once the inbox has been opened anew. */
static void note_unheard(acquire *self, int64_t now_us)
{
    assert(acquire_queues(self));
    self->at_deadline = REDLOCK_TIMED_OUT;
    self->is_queued = false;
    if (take_early_grant(self, now_us)) return;
    if (!self->inbox_is_open) { /* no wonder */
        queue_up(self, now_us);
        return;
    }
    if (++self->unheard == 1) {
        subscribe_anew(self, now_us);
        return;
    }
    self->recheck_us = now_us + self->terms.claim_ms * US_PER_MS;
    move_acquire(self, ACQUIRE_WAITING);
}

static void note_busy(acquire *self, int64_t now_us)
{
    assert(self->state == ACQUIRE_TRYING);
    self->is_owed = acquire_unanswered_us(self) > 0;
    if (!self->terms.may_wait) {
        finish_acquire(self, REDLOCK_BUSY);
        return;
    }
    self->at_deadline = REDLOCK_TIMED_OUT;
    queue_up(self, now_us);
}

static void read_answer(acquire *self, int64_t now_us)
{
    assert(self->asks.state == REQUEST_DONE);
    assert(self->asks.status == REDLOCK_OK);
    self->was_answered = true;
    self->text[0] = '\0'; /* whatever failed before has passed */
    if (self->asks.code != ACQUIRE_QUEUED) self->urged = 0;
    /* A try is never queued, and a question that queues is never just refused: not by our
     * script. */
    bool is_for_another = acquire_queues(self) ? self->asks.code == ACQUIRE_BUSY
                                               : self->asks.code == ACQUIRE_QUEUED ||
                                                     self->asks.code == ACQUIRE_UNHEARD;
    switch (is_for_another ? CODE_BAD_ARGUMENT : self->asks.code) {
    case ACQUIRE_GRANTED: take_answer(self, now_us); break;
    case ACQUIRE_QUEUED: note_queued(self, now_us); break;
    case ACQUIRE_BUSY: note_busy(self, now_us); break;
    case ACQUIRE_UNHEARD: note_unheard(self, now_us); break;
    case ACQUIRE_DEADLOCK:
        self->is_owed = acquire_unanswered_us(self) > 0 || self->is_queued;
        finish_acquire(self, REDLOCK_DEADLOCK);
        break;
    case ACQUIRE_FULL:
        self->is_owed = acquire_unanswered_us(self) > 0;
        finish_acquire(self, REDLOCK_ERR_QUEUE_FULL);
        break;
    default: finish_acquire(self, REDLOCK_ERR_PROTOCOL);
    }
}

static void note_acquire_failure(acquire *self, redlock_status why, const char *text)
{
    self->at_deadline = why;
    snprintf(self->text, sizeof self->text, "%.*s", ANSWER_TEXT - 1, text ? text : "");
}

/* A re-check that the end cut short changes nothing: we had queued, and the wait is over. */
static void end_by_failure(acquire *self)
{
    assert(self->asks.state == REQUEST_DONE);
    assert(self->asks.status != REDLOCK_OK);
    bool was_cut_short = self->asks.status == REDLOCK_ERR_TIMEOUT &&
                         self->at_deadline == REDLOCK_TIMED_OUT;
    if (!was_cut_short) note_acquire_failure(self, self->asks.status, self->asks.text);
    finish_acquire(self, self->at_deadline);
}

void acquire_asked(acquire *self, int64_t now_us)
{
    if (self->state != ACQUIRE_TRYING && self->state != ACQUIRE_ASKING) return;
    switch (self->asks.state) {
    case REQUEST_READY: /* after an unknown script, too, no answer is on its way that a grant has to
                           wait for */
        (void)take_early_grant(self, now_us);
        break;
    case REQUEST_SENT:
        self->is_owed = true;
        /* Until an answer tells more, a grant may be as old as the first question that queues. */
        if (acquire_queues(self) && self->known.sent_us == 0)
            self->known.sent_us = self->asks.sent_us;
        break;
    case REQUEST_BACKOFF:
        note_acquire_failure(self, self->asks.status, self->asks.text);
        (void)take_early_grant(self, now_us);
        break;
    case REQUEST_DONE:
        if (self->asks.status == REDLOCK_OK) {
            read_answer(self, now_us);
        } else if (!take_early_grant(self, now_us)) {
            end_by_failure(self);
        }
    }
}

void acquire_inbox_opened(acquire *self, int64_t now_us)
{
    self->inbox_is_open = true;
    if (self->state == ACQUIRE_SUBSCRIBING) queue_up(self, now_us);
}

void acquire_inbox_lost(acquire *self, redlock_status why, const char *text, int64_t now_us)
{
    self->inbox_is_open = false;
    if (!acquire_wants_inbox(self)) return;
    note_acquire_failure(self, why, text);
    if (status_is_hopeless(why)) {
        finish_acquire(self, why);
        return;
    }
    /* What was published meanwhile is gone: whatever the state, ask once the inbox is open
     * again. */
    self->must_ask_again = true;
    bool asks_already = self->state == ACQUIRE_ASKING && self->asks.state == REQUEST_SENT;
    if (self->state != ACQUIRE_SUBSCRIBING && !asks_already) queue_up(self, now_us);
}

static bool is_for(const acquire *self, const grant *from)
{
    return from->hold_id_length == self->terms.hold_id_length &&
           memcmp(from->hold_id, self->terms.hold_id, from->hold_id_length) == 0;
}

void acquire_granted(acquire *self, const grant *from, int64_t now_us)
{
    if (!is_for(self, from)) return;
    bool has_answer = self->asks.state == REQUEST_SENT || self->asks.state == REQUEST_DONE;
    if (self->state == ACQUIRE_ASKING && has_answer) {
        /* The answer is on its way on the other connection, or was not read yet: let it come first,
         * so that nothing is left in flight, and so that the server's clock and the arrival are
         * known. */
        self->has_early_grant = true;
        self->early_grant = *from;
        self->early_grant.hold_id = self->early_grant.holder = self->early_grant.key =
            NULL; /* they do not live so long */
        self->early_grant_us = now_us;
    } else if (self->state == ACQUIRE_WAITING || self->state == ACQUIRE_ASKING) {
        take_message(self, from, now_us, now_us);
    }
}

void acquire_stop(acquire *self, redlock_status why, int64_t now_us)
{
    assert(why == REDLOCK_CANCELLED || why < 0 || why == REDLOCK_TIMED_OUT);
    (void)now_us;
    if (self->state != ACQUIRE_DONE) finish_acquire(self, why);
}

void acquire_turned_away(acquire *self)
{
    assert(!self->is_queued);
    assert(acquire_unanswered_us(self) == 0);
    self->is_owed = false;
    finish_acquire(self, REDLOCK_ERR_UNAVAILABLE);
}

/* Nobody could tell us, and the lock may be free. Who is queued all the same (not every server
 * knows who hears) asks again once the inbox is open. */
static void ask_blindly(acquire *self)
{
    assert(!self->inbox_is_open);
    self->must_ask_again = true;
    self->recheck_us = NEVER;
    move_acquire(self, ACQUIRE_ASKING);
    ask(self);
}

/* When to ask again without having heard anything; NEVER: its end comes first, or it asks. */
static int64_t asks_again_us(const acquire *self)
{
    bool rests = self->state == ACQUIRE_WAITING || self->state == ACQUIRE_SUBSCRIBING;
    return rests && self->recheck_us < end_us(self) ? self->recheck_us : NEVER;
}

static void ask_again(acquire *self, int64_t now_us)
{
    self->rechecks++;
    if (self->state == ACQUIRE_SUBSCRIBING) ask_blindly(self);
    else if (self->unheard > 0) subscribe_anew(self, now_us);
    else queue_up(self, now_us);
}

void acquire_tick(acquire *self, int64_t now_us)
{
    if (self->state == ACQUIRE_DONE) return;
    if (now_us >= asks_again_us(self) && now_us < end_us(self)) {
        ask_again(self, now_us);
        return;
    }
    bool is_answered_for = self->asks.state == REQUEST_SENT && self->state != ACQUIRE_WAITING &&
                           self->state != ACQUIRE_SUBSCRIBING;
    if (now_us >= end_us(self) && !is_answered_for) finish_acquire(self, self->at_deadline);
}

int64_t acquire_wake_us(const acquire *self)
{
    if (self->state == ACQUIRE_DONE) return NEVER;
    return earliest(asks_again_us(self), end_us(self));
}
