/* SPDX-License-Identifier: MIT
 * One acquisition and the steps of its conversation with a server, in virtual time; the server's
 * clock is ours plus an offset. Included by the tests of engine/acquire alone. */
#ifndef REDLOCK_TESTS_ACQUIRE_FIXTURE_H
#define REDLOCK_TESTS_ACQUIRE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/acquire.h"
#include "engine/lease.h"
#include "wire/mode.h"

enum { TTL_MS = 10000, CLAIM_MS = 2000, FENCE = 4711 };
static const int64_t t0 = 1000000000, second_us = 1000000, deadline_us = 1060000000,
                     offset_us = 1800000000000000;
static const int64_t arrival_us = 1799999999000001; /* as the server tells it */

static const acquire_terms waiting = {.hold_id = "hold-1",
                                      .hold_id_length = 6,
                                      .ttl_ms = TTL_MS,
                                      .claim_ms = CLAIM_MS,
                                      .wait_until_us = 1060000000,
                                      .deadline_us = 1060000000,
                                      .timeout_us = 2000000,
                                      .may_wait = true,
                                      .kind = KIND_EXCLUSIVE,
                                      .seed = 3};

/* ---- The steps of a conversation ---- */

static inline acquire begun(bool may_wait, bool inbox_is_open)
{
    acquire_terms terms = waiting;
    acquire self;

    terms.may_wait = may_wait;
    acquire_begin(&self, &terms, inbox_is_open, t0);
    return self;
}

/* It waits for a millisecond, and the server has two seconds for its first answer. */
static const int64_t brief_wait_until_us = 1000001000, brief_deadline_us = 1002000000;

static inline acquire begun_briefly(bool inbox_is_open, bool queues_first)
{
    acquire_terms terms = waiting;
    acquire self;

    terms.wait_until_us = brief_wait_until_us;
    terms.deadline_us = brief_deadline_us;
    terms.queues_first = queues_first;
    acquire_begin(&self, &terms, inbox_is_open, t0);
    return self;
}

static inline void send(acquire *self, int64_t now_us)
{
    request_tick(&self->asks, now_us);
    request_sent(&self->asks, now_us);
    acquire_asked(self, now_us);
}

static inline void answered(acquire *self, answer from, int64_t now_us)
{
    from.server_us = now_us + offset_us;
    request_answered(&self->asks, &from, now_us);
    acquire_asked(self, now_us);
}

static inline void told(acquire *self, int64_t code, int64_t first, int64_t second, int64_t now_us)
{
    answered(self, (answer){.kind = ANSWER_CODE, .code = code, .value = {first, second}}, now_us);
}

static inline void told_granted(acquire *self, int64_t lease_ms, int64_t now_us)
{
    answered(self,
             (answer){.kind = ANSWER_CODE, .code = ACQUIRE_GRANTED, .value = {FENCE, 1, lease_ms}},
             now_us);
}

static inline void told_queued(acquire *self, int64_t lease_ms, int64_t position, int64_t now_us)
{
    answered(self,
             (answer){.kind = ANSWER_CODE,
                      .code = ACQUIRE_QUEUED,
                      .value = {lease_ms, position, CLAIM_MS, arrival_us}},
             now_us);
}

static inline void refuse(acquire *self, enum answer_kind kind, int64_t now_us)
{
    answer from = {.kind = kind, .text = "words"};

    request_answered(&self->asks, &from, now_us);
    acquire_asked(self, now_us);
}

static inline void cut(acquire *self, int64_t now_us)
{
    request_cut(&self->asks, REDLOCK_ERR_TIMEOUT, "no answer", now_us);
    acquire_asked(self, now_us);
}

/* A grant that the server made at granted_us of our time. */
static inline grant grant_of(int64_t granted_us)
{
    return (grant){.hold_id = "hold-1",
                   .hold_id_length = 6,
                   .fence = FENCE,
                   .lease_ms = CLAIM_MS,
                   .server_us = granted_us + offset_us};
}

static inline void granted(acquire *self, int64_t granted_us, int64_t now_us)
{
    grant from = grant_of(granted_us);

    acquire_granted(self, &from, now_us);
}

/* Queued at t0, answered a millisecond later. */
static inline acquire queued(void)
{
    acquire self = begun(true, true);

    send(&self, t0);
    told_queued(&self, 3600000, 1, t0 + 1000);
    assert_int_equal(self.state, ACQUIRE_WAITING);
    return self;
}

static inline void assert_done(const acquire *self, redlock_status status, bool is_owed)
{
    assert_int_equal(self->state, ACQUIRE_DONE);
    assert_int_equal(self->status, status);
    assert_int_equal(self->is_owed, is_owed);
    assert_true(acquire_wake_us(self) == NEVER);
    assert_false(acquire_wants_inbox(self));
    assert_false(acquire_is_waiting(self));
}

#endif
