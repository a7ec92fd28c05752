/* SPDX-License-Identifier: MIT
 * What every state of engine/acquire must keep, for tests that walk all sequences of events: each
 * walk is a copy of its world. Included by those tests alone. */
#ifndef REDLOCK_TESTS_ACQUIRE_WALK_H
#define REDLOCK_TESTS_ACQUIRE_WALK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/acquire.h"
#include "engine/lease.h"
#include "wire/mode.h"

enum { TTL_MS = 10000, CLAIM_MS = 2000 };
static const int64_t t0 = 1000000000, brief_us = 1000400000, deadline_us = 1009000000,
                     offset_us = 1800000000000000;

static inline acquire_terms terms_of(bool may_wait, bool waits_briefly)
{
    return (acquire_terms){.hold_id = "hold-1",
                           .hold_id_length = 6,
                           .ttl_ms = TTL_MS,
                           .claim_ms = CLAIM_MS,
                           .wait_until_us = waits_briefly ? brief_us : deadline_us,
                           .deadline_us = deadline_us,
                           .timeout_us = 2000000,
                           .may_wait = may_wait,
                           .kind = KIND_EXCLUSIVE,
                           .seed = 3};
}

static inline bool asks(const acquire *op)
{
    return op->state == ACQUIRE_TRYING || op->state == ACQUIRE_ASKING;
}

static inline bool is_in_flight(const acquire *op)
{
    return asks(op) && op->asks.state == REQUEST_SENT;
}

/* What the driver does before it sends: see drive.c. */
static inline void tick(acquire *op, int64_t now_us)
{
    acquire_tick(op, now_us);
    if (!asks(op)) return;
    request_tick(&op->asks, now_us);
    acquire_asked(op, now_us);
}

static inline void assert_goes_on(const acquire *op, int64_t now_us)
{
    acquire at_wake = *op, at_end = *op;
    int64_t wake_us = acquire_wake_us(op);
    int64_t end_us = op->was_answered ? op->terms.wait_until_us : deadline_us;

    assert_int_equal(acquire_is_waiting(op), op->state == ACQUIRE_WAITING);
    assert_true(wake_us <= end_us);
    if (op->state == ACQUIRE_WAITING) {
        assert_true(wake_us <= now_us + TTL_MS * US_PER_MS);
        acquire_tick(&at_wake, wake_us);
        assert_int_not_equal(at_wake.state, ACQUIRE_WAITING);
    }
    if (is_in_flight(op)) {
        assert_true(request_attempt_deadline_us(&op->asks) <= end_us);
        return;
    }
    tick(&at_end, now_us > end_us ? now_us : end_us);
    assert_int_equal(at_end.state, ACQUIRE_DONE);
    assert_int_not_equal(at_end.status, REDLOCK_OK);
}

static inline void assert_stays_done(const acquire *op)
{
    static const grant late = {
        .hold_id = "hold-1", .hold_id_length = 6, .fence = 1, .lease_ms = 5000, .server_us = 1};
    acquire after = *op;

    acquire_granted(&after, &late, t0);
    acquire_inbox_opened(&after, t0);
    acquire_inbox_lost(&after, REDLOCK_ERR_DENIED, "", t0);
    acquire_asked(&after, t0);
    acquire_stop(&after, REDLOCK_ERR_CLOSED, t0);
    acquire_tick(&after, NEVER);
    assert_int_equal(after.state, ACQUIRE_DONE);
    assert_int_equal(after.status, op->status);
    assert_int_equal(after.is_owed, op->is_owed);
    assert_true(after.held.fence == op->held.fence);
    assert_true(acquire_unanswered_us(&after) == acquire_unanswered_us(op));
    assert_true(acquire_wake_us(op) == NEVER);
}

#endif
