/* SPDX-License-Identifier: MIT
 * The retry machine of one question. Pure: no clock, no socket. */
#include "engine/request.h"

#include <assert.h>
#include <stdio.h>

#include "engine/lease.h"

enum { REPEAT_FIRST_US = 2000, REPEAT_LAST_US = 200000 };

uint32_t jitter_below(uint32_t *state, uint32_t bound)
{
    uint32_t x = *state ? *state : 0x9e3779b9u;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    *state = x;
    return bound ? x % bound : 0;
}

bool status_is_hopeless(redlock_status status)
{
    switch (status) {
    case REDLOCK_ERR_DENIED:
    case REDLOCK_ERR_TLS:
    case REDLOCK_ERR_SERVER:
    case REDLOCK_ERR_PROTOCOL:
    case REDLOCK_ERR_WRONG_TYPE:
    case REDLOCK_ERR_ARGUMENT:
    case REDLOCK_ERR_MEMORY: return true;
    default: return false;
    }
}

static void move_request(request *self, enum request_state to, int64_t wake_us)
{
    static const bool allowed[4][4] = {
        [REQUEST_READY] = {[REQUEST_SENT] = true, [REQUEST_BACKOFF] = true, [REQUEST_DONE] = true},
        [REQUEST_SENT] = {[REQUEST_READY] = true, [REQUEST_BACKOFF] = true, [REQUEST_DONE] = true},
        [REQUEST_BACKOFF] = {[REQUEST_READY] = true, [REQUEST_DONE] = true},
    };
    assert(allowed[self->state][to]);
    (void)allowed;
    self->state = to;
    self->wake_us = to == REQUEST_DONE            ? NEVER
                    : wake_us < self->deadline_us ? wake_us
                                                  : self->deadline_us;
}

static void finish_request(request *self, redlock_status status)
{
    assert(self->state != REQUEST_DONE);
    self->status = status;
    move_request(self, REQUEST_DONE, NEVER);
}

static void note_request_failure(request *self, redlock_status why, const char *text)
{
    self->status = why;
    snprintf(self->text, sizeof self->text, "%.*s", ANSWER_TEXT - 1, text ? text : "");
}

/* The first retry is immediate: most failures are one lost connection. Then full jitter over a
 * doubling span. */
static int64_t backoff_us(request *self)
{
    unsigned n = self->failures++;
    if (n == 0) return 0;
    uint32_t span = n < 8 ? (uint32_t)REPEAT_FIRST_US << n : (uint32_t)REPEAT_LAST_US;
    if (span > REPEAT_LAST_US) span = REPEAT_LAST_US;
    return REPEAT_FIRST_US + (int64_t)jitter_below(&self->jitter, span);
}

static void retry_later(request *self, redlock_status why, const char *text, int64_t now_us)
{
    assert(why != REDLOCK_OK);
    note_request_failure(self, why, text);
    if (status_is_hopeless(why) || now_us >= self->deadline_us) {
        finish_request(self, why);
        return;
    }
    move_request(self, REQUEST_BACKOFF, now_us + backoff_us(self));
}

void request_begin(request *self, int64_t deadline_us, int64_t timeout_us, uint32_t seed)
{
    assert(timeout_us > 0);
    *self = (request){.state = REQUEST_READY,
                      .deadline_us = deadline_us,
                      .timeout_us = timeout_us,
                      .wake_us = deadline_us,
                      .jitter = seed,
                      .status = REDLOCK_ERR_TIMEOUT};
}

void request_sent(request *self, int64_t now_us)
{
    assert(self->state == REQUEST_READY);
    self->sent_us = now_us;
    move_request(self, REQUEST_SENT, NEVER);
}

int64_t request_attempt_deadline_us(const request *self)
{
    int64_t until_us = self->sent_us + self->timeout_us;
    return until_us < self->deadline_us ? until_us : self->deadline_us;
}

redlock_status request_failure(const answer *from)
{
    switch (from->kind) {
    case ANSWER_CODE: return REDLOCK_OK;
    case ANSWER_UNKNOWN_SCRIPT:
    case ANSWER_TRANSIENT:
    case ANSWER_MISPLACED:
    case ANSWER_ERROR: return REDLOCK_ERR_UNAVAILABLE;
    case ANSWER_DENIED: return REDLOCK_ERR_DENIED;
    case ANSWER_WRONG_TYPE: return REDLOCK_ERR_WRONG_TYPE;
    case ANSWER_MALFORMED: return REDLOCK_ERR_PROTOCOL;
    case ANSWER_CUT: return REDLOCK_ERR_CONNECT;
    case ANSWER_ELSEWHERE: return REDLOCK_ERR_UNAVAILABLE;
    case ANSWER_REDIRECT:
    case ANSWER_UNSUPPORTED: break;
    }
    return REDLOCK_ERR_SERVER;
}

enum verdict request_verdict(const answer *from, bool by_source)
{
    if (from->kind == ANSWER_CODE) return from->code == CODE_MORE ? VERDICT_MORE : VERDICT_DONE;
    if (from->kind == ANSWER_ELSEWHERE) return VERDICT_ELSEWHERE;
    if (from->kind == ANSWER_UNKNOWN_SCRIPT && !by_source) return VERDICT_BY_SOURCE;
    return status_is_hopeless(request_failure(from)) ? VERDICT_HOPELESS : VERDICT_LATER;
}

static void finish_with_code(request *self, const answer *from)
{
    assert(from->kind == ANSWER_CODE);
    assert(from->code != CODE_MORE);
    if (from->code == CODE_BAD_ARGUMENT) {
        finish_request(self, REDLOCK_ERR_ARGUMENT);
        return;
    }
    if (from->code == CODE_FOREIGN) {
        finish_request(self, REDLOCK_ERR_LAYOUT);
        return;
    }
    self->code = from->code;
    self->server_us = from->server_us;
    for (int i = 0; i < ANSWER_VALUES; i++) self->value[i] = from->value[i];
    self->text[0] = '\0';
    finish_request(self, REDLOCK_OK);
}

void request_answered(request *self, const answer *from, int64_t now_us)
{
    assert(self->state == REQUEST_SENT);
    enum verdict verdict = request_verdict(from, self->by_source);
    self->is_partial |= verdict == VERDICT_MORE;
    self->by_source |= verdict == VERDICT_BY_SOURCE;
    bool is_at_once = verdict == VERDICT_MORE || verdict == VERDICT_BY_SOURCE ||
                      verdict == VERDICT_ELSEWHERE;
    if (is_at_once) request_again(self);
    else if (verdict == VERDICT_DONE) finish_with_code(self, from);
    else if (from->kind == ANSWER_CUT) request_cut(self, REDLOCK_ERR_CONNECT, from->text, now_us);
    else retry_later(self, request_failure(from), from->text, now_us);
}

void request_again(request *self) { move_request(self, REQUEST_READY, self->deadline_us); }

void request_cut(request *self, redlock_status why, const char *text, int64_t now_us)
{
    assert(self->state == REQUEST_SENT);
    assert(why != REDLOCK_OK);
    self->is_ambiguous = true;
    self->unanswered_us = self->sent_us;
    retry_later(self, why, text, now_us);
}

void request_refused(request *self, redlock_status why, const char *text, int64_t now_us)
{
    retry_later(self, why, text, now_us);
}

void request_tick(request *self, int64_t now_us)
{
    if (self->state == REQUEST_DONE || self->state == REQUEST_SENT || now_us < self->wake_us)
        return;
    if (now_us >= self->deadline_us) finish_request(self, self->status);
    else if (self->state == REQUEST_BACKOFF) move_request(self, REQUEST_READY, self->deadline_us);
}

bool request_end_patience(request *self, int64_t now_us)
{
    if (self->state != REQUEST_SENT || now_us < self->deadline_us) return false;
    request_cut(self, REDLOCK_ERR_TIMEOUT, "a command was not answered in time", now_us);
    return true;
}

bool request_is_unanswered(const request *self)
{
    bool was_cut = self->is_ambiguous && self->status != REDLOCK_OK;
    return was_cut || self->state == REQUEST_SENT;
}
