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
    (void)allowed;
    self->state = to;
}

static void finish(acquire *self, redlock_status status)
{
    self->status = status;
    move(self, ACQUIRE_DONE);
}

static void ask(acquire *self)
{
    self->was_ambiguous |= self->asks.is_ambiguous;
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
    bool queues = terms->may_wait && (inbox_is_open || terms->queues_first);
    self->state = !queues ? ACQUIRE_TRYING : inbox_is_open ? ACQUIRE_ASKING : ACQUIRE_SUBSCRIBING;
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

static bool is_sane(int64_t fence, int64_t lease_ms, int64_t server_us)
{
    return fence > 0 && fence <= SERVER_NUMBER_MOST && lease_ms >= 0 && lease_ms <= LEASE_MOST_MS &&
           server_us > 0 && server_us <= SERVER_NUMBER_MOST;
}

static void take_message(acquire *self, const grant *from, int64_t received_us, int64_t now_us)
{
    int64_t lease_ms = from->lease_ms < self->terms.ttl_ms ? from->lease_ms : self->terms.ttl_ms;
    bool has_known = self->known.server_us > 0;
    int64_t until_us = has_known ? lease_valid_until_granted(self->known, from->server_us, received_us, lease_ms)
                                 : lease_valid_until(self->known.sent_us, lease_ms);
    self->was_handed_over = true;
    take(self, from->fence, lease_ms, until_us, now_us);
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
    /* A grant to one that had queued may have come by handover, with a claim for a lease. */
    self->was_handed_over = self->is_queued || self->asks.is_ambiguous;
    int64_t lease_ms = self->asks.value[1];
    if (!is_sane(self->asks.value[0], lease_ms, self->asks.value[2])) {
        finish(self, REDLOCK_ERR_PROTOCOL);
        return;
    }
    if (lease_ms > self->terms.ttl_ms) lease_ms = self->terms.ttl_ms;
    take(self, (uint64_t)self->asks.value[0], lease_ms,
         lease_valid_until(self->asks.sent_us, lease_ms), now_us);
}

static void note_queued(acquire *self, int64_t now_us)
{
    int64_t position = self->asks.value[1];
    if (!is_sane(1, self->asks.value[0], self->asks.value[2]) || position < 0 || position > INT32_MAX) {
        finish(self, REDLOCK_ERR_PROTOCOL);
        return;
    }
    self->known = (server_instant){.sent_us = self->asks.sent_us, .server_us = self->asks.value[2]};
    self->is_queued = true;
    self->at_deadline = REDLOCK_TIMED_OUT;
    self->recheck_us = now_us + recheck_after_us(self->asks.value[0], position, self->terms.claim_ms, &self->jitter);
    if (take_early_grant(self, now_us)) return;
    if (!self->inbox_is_open || self->must_ask_again) {
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
    self->text[0] = '\0'; /* whatever failed before has passed */
    /* A try is never queued, and a question that queues is never just refused: not by our script. */
    bool is_for_another = self->asks.code == (acquire_queues(self) ? ACQUIRE_BUSY : ACQUIRE_QUEUED);
    switch (is_for_another ? CODE_BAD_ARGUMENT : self->asks.code) {
    case ACQUIRE_GRANTED:
        take_answer(self, now_us);
        break;
    case ACQUIRE_QUEUED:
        note_queued(self, now_us);
        break;
    case ACQUIRE_BUSY:
        note_busy(self);
        break;
    case ACQUIRE_DEADLOCK:
        self->is_owed = self->asks.is_ambiguous || self->was_ambiguous || self->is_queued;
        finish(self, REDLOCK_DEADLOCK);
        break;
    case ACQUIRE_FULL:
        self->is_owed = self->asks.is_ambiguous || self->was_ambiguous;
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

/* A re-check that the deadline cut short changes nothing: we had queued, and the wait is over. */
static void end_by_failure(acquire *self)
{
    bool was_cut_short = self->asks.status == REDLOCK_ERR_TIMEOUT && self->at_deadline == REDLOCK_TIMED_OUT;
    if (!was_cut_short) note_failure(self, self->asks.status, self->asks.text);
    finish(self, self->at_deadline);
}

void acquire_asked(acquire *self, int64_t now_us)
{
    if (self->state != ACQUIRE_TRYING && self->state != ACQUIRE_ASKING) return;
    switch (self->asks.state) {
    case REQUEST_READY: /* after NOSCRIPT, too, no answer is on its way that a grant has to wait for */
        (void)take_early_grant(self, now_us);
        break;
    case REQUEST_SENT:
        self->is_owed = true;
        /* Until an answer tells more, a grant may be as old as the first question that queues. */
        if (acquire_queues(self) && self->known.sent_us == 0) self->known.sent_us = self->asks.sent_us;
        break;
    case REQUEST_BACKOFF:
        note_failure(self, self->asks.status, self->asks.text);
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
    bool asks_already = self->state == ACQUIRE_ASKING && self->asks.state == REQUEST_SENT;
    if (self->state != ACQUIRE_SUBSCRIBING && !asks_already) queue_up(self);
}

static bool is_for(const acquire *self, const grant *from)
{
    return from->hold_id_length == self->terms.hold_id_length &&
           memcmp(from->hold_id, self->terms.hold_id, from->hold_id_length) == 0;
}

void acquire_granted(acquire *self, const grant *from, int64_t now_us)
{
    /* What no script of ours says is no grant: the next answer will tell. */
    bool is_ours = is_for(self, from) && from->fence <= (uint64_t)SERVER_NUMBER_MOST &&
                   is_sane((int64_t)from->fence, from->lease_ms, from->server_us);
    if (!is_ours) return;
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
