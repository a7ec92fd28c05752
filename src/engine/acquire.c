/* SPDX-License-Identifier: MIT
 * The machine of one acquisition. Pure: no clock, no socket. */
#include "engine/acquire.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "engine/recheck.h"

static void move(acquire *self, enum acquire_state to)
{
    static const bool allowed[5][5] = {
        [ACQUIRE_TRYING] = {[ACQUIRE_SUBSCRIBING] = true, [ACQUIRE_ASKING] = true, [ACQUIRE_DONE] = true},
        [ACQUIRE_SUBSCRIBING] = {[ACQUIRE_ASKING] = true, [ACQUIRE_DONE] = true},
        [ACQUIRE_ASKING] = {[ACQUIRE_ASKING] = true,
                            [ACQUIRE_SUBSCRIBING] = true,
                            [ACQUIRE_WAITING] = true,
                            [ACQUIRE_DONE] = true},
        [ACQUIRE_WAITING] = {[ACQUIRE_SUBSCRIBING] = true, [ACQUIRE_ASKING] = true, [ACQUIRE_DONE] = true},
    };
    assert(allowed[self->state][to]);
    self->state = to;
}

static void finish(acquire *self, redlock_status status)
{
    self->status = status;
    move(self, ACQUIRE_DONE);
}

static void ask(acquire *self)
{
    request_begin(&self->asks, self->terms.deadline_us, self->terms.timeout_us,
                  jitter_below(&self->jitter, UINT32_MAX));
}

static void queue_up(acquire *self)
{
    self->must_ask_again = false;
    move(self, self->inbox_is_open ? ACQUIRE_ASKING : ACQUIRE_SUBSCRIBING);
    if (self->inbox_is_open) ask(self);
}

void acquire_begin(acquire *self, const acquire_terms *terms, bool inbox_is_open, int64_t now_us)
{
    (void)now_us;
    *self = (acquire){.terms = *terms,
                      .jitter = terms->seed,
                      .inbox_is_open = inbox_is_open,
                      .recheck_us = NEVER,
                      .at_deadline = REDLOCK_ERR_TIMEOUT};
    self->state = terms->may_wait && inbox_is_open ? ACQUIRE_ASKING : ACQUIRE_TRYING;
    ask(self);
}

bool acquire_queues(const acquire *self)
{
    return self->state == ACQUIRE_ASKING;
}

bool acquire_wants_inbox(const acquire *self)
{
    return self->state == ACQUIRE_SUBSCRIBING || self->state == ACQUIRE_ASKING ||
           self->state == ACQUIRE_WAITING;
}

bool acquire_is_waiting(const acquire *self)
{
    return self->state == ACQUIRE_WAITING;
}

/* A lease that is over already is no lock: whoever tried has failed, whoever may wait asks again once
 * the server has surely forgotten the old lease. */
static void take_late(acquire *self, int64_t lease_ms, int64_t now_us)
{
    self->is_owed = true;
    if (!self->terms.may_wait) {
        finish(self, REDLOCK_ERR_TIMEOUT);
        return;
    }
    self->is_queued = false;
    if (self->state == ACQUIRE_TRYING) {
        queue_up(self);
        return;
    }
    self->recheck_us = now_us + lease_ms * US_PER_MS;
    if (self->state != ACQUIRE_WAITING) move(self, ACQUIRE_WAITING);
}

static void take(acquire *self, uint64_t fence, int64_t lease_ms, int64_t valid_until_us, int64_t now_us)
{
    if (valid_until_us <= now_us) {
        take_late(self, lease_ms, now_us);
        return;
    }
    self->fence = fence;
    self->lease_ms = lease_ms;
    self->valid_until_us = valid_until_us;
    self->is_owed = false;
    finish(self, REDLOCK_OK);
}

static void take_message(acquire *self, const grant *from, int64_t received_us, int64_t now_us)
{
    bool has_known = self->known.server_us > 0;
    int64_t until_us = has_known ? lease_valid_until_granted(self->known, from->server_us, received_us,
                                                             from->lease_ms)
                                 : lease_valid_until(self->asks.sent_us, from->lease_ms);
    self->was_handed_over = true;
    take(self, from->fence, from->lease_ms, until_us, now_us);
}

static void take_answer(acquire *self, int64_t now_us)
{
    /* A grant to one that had queued may have come by handover, with a claim for a lease. */
    self->was_handed_over = self->is_queued || self->asks.is_ambiguous;
    int64_t lease_ms = self->asks.value[1];
    take(self, (uint64_t)self->asks.value[0], lease_ms,
         lease_valid_until(self->asks.sent_us, lease_ms), now_us);
}

static void note_queued(acquire *self, int64_t now_us)
{
    self->known = (server_instant){.sent_us = self->asks.sent_us, .server_us = self->asks.value[2]};
    self->is_queued = true;
    self->at_deadline = REDLOCK_TIMED_OUT;
    self->recheck_us = now_us + recheck_after_us(self->asks.value[0], self->asks.value[1],
                                                 self->terms.claim_ms, &self->jitter);
    if (self->has_early_grant) {
        self->has_early_grant = false;
        take_message(self, &self->early_grant, self->early_grant_us, now_us);
    } else if (!self->inbox_is_open || self->must_ask_again) {
        queue_up(self);
    } else {
        move(self, ACQUIRE_WAITING);
    }
}

static void note_busy(acquire *self)
{
    self->is_owed = self->asks.is_ambiguous;
    if (!self->terms.may_wait) {
        finish(self, REDLOCK_BUSY);
        return;
    }
    self->at_deadline = REDLOCK_TIMED_OUT;
    queue_up(self);
}

static void read_answer(acquire *self, int64_t now_us)
{
    switch (self->asks.code) {
    case ACQUIRE_GRANTED:
        take_answer(self, now_us);
        break;
    case ACQUIRE_QUEUED:
        note_queued(self, now_us);
        break;
    case ACQUIRE_BUSY:
        note_busy(self);
        break;
    case ACQUIRE_FULL:
        self->is_owed = self->asks.is_ambiguous;
        finish(self, REDLOCK_ERR_QUEUE_FULL);
        break;
    default:
        finish(self, REDLOCK_ERR_PROTOCOL);
    }
}

static void note_failure(acquire *self, redlock_status why, const char *text)
{
    self->at_deadline = why;
    snprintf(self->text, sizeof self->text, "%s", text ? text : "");
}

void acquire_asked(acquire *self, int64_t now_us)
{
    if (self->state != ACQUIRE_TRYING && self->state != ACQUIRE_ASKING) return;
    switch (self->asks.state) {
    case REQUEST_READY:
        break;
    case REQUEST_SENT:
        self->is_owed = true;
        break;
    case REQUEST_BACKOFF:
        note_failure(self, self->asks.status, self->asks.text);
        if (self->has_early_grant) {
            self->has_early_grant = false;
            take_message(self, &self->early_grant, self->early_grant_us, now_us);
        }
        break;
    case REQUEST_DONE:
        if (self->asks.status == REDLOCK_OK) {
            read_answer(self, now_us);
        } else {
            note_failure(self, self->asks.status, self->asks.text);
            finish(self, self->asks.status);
        }
    }
}

void acquire_inbox_opened(acquire *self, int64_t now_us)
{
    (void)now_us;
    self->inbox_is_open = true;
    if (self->state == ACQUIRE_SUBSCRIBING) queue_up(self);
}

void acquire_inbox_lost(acquire *self, redlock_status why, const char *text, int64_t now_us)
{
    (void)now_us;
    self->inbox_is_open = false;
    if (!acquire_wants_inbox(self)) return;
    note_failure(self, why, text);
    if (status_is_hopeless(why)) {
        finish(self, why);
        return;
    }
    /* What was published meanwhile is gone: whatever the state, ask once the inbox is open again. */
    self->must_ask_again = true;
    if (self->state == ACQUIRE_WAITING) queue_up(self);
}

static bool is_for(const acquire *self, const grant *from)
{
    return from->hold_id_length == self->terms.hold_id_length &&
           memcmp(from->hold_id, self->terms.hold_id, from->hold_id_length) == 0;
}

void acquire_granted(acquire *self, const grant *from, int64_t now_us)
{
    if (!is_for(self, from)) return;
    if (self->state == ACQUIRE_ASKING && self->asks.state == REQUEST_SENT) {
        /* The answer is on its way on the other connection: let it come first, so that nothing is
         * left in flight, and so that the server's clock is known. */
        self->has_early_grant = true;
        self->early_grant = *from;
        self->early_grant.hold_id = NULL; /* the message does not live so long */
        self->early_grant_us = now_us;
    } else if (self->state == ACQUIRE_WAITING || self->state == ACQUIRE_ASKING) {
        take_message(self, from, now_us, now_us);
    }
}

void acquire_stop(acquire *self, redlock_status why, int64_t now_us)
{
    (void)now_us;
    if (self->state != ACQUIRE_DONE) finish(self, why);
}

void acquire_tick(acquire *self, int64_t now_us)
{
    if (self->state == ACQUIRE_DONE) return;
    if (self->state == ACQUIRE_WAITING && now_us >= self->recheck_us && now_us < self->terms.deadline_us) {
        self->rechecks++;
        queue_up(self);
        return;
    }
    bool is_answered_for = self->asks.state == REQUEST_SENT && self->state != ACQUIRE_WAITING &&
                           self->state != ACQUIRE_SUBSCRIBING;
    if (now_us >= self->terms.deadline_us && !is_answered_for) finish(self, self->at_deadline);
}

int64_t acquire_wake_us(const acquire *self)
{
    if (self->state == ACQUIRE_DONE) return NEVER;
    if (self->state == ACQUIRE_WAITING && self->recheck_us < self->terms.deadline_us) return self->recheck_us;
    return self->terms.deadline_us;
}
