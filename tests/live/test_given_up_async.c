/* SPDX-License-Identifier: MIT
 * Asynchronous operations that are given up share the keeper's connection with what undoes them:
 * the undo is behind its request there, also when that connection is late in the same instant and
 * closed. */
#include "live/async_stage.h"
#include "live/given_up.h"

static loop *open_late(async_stage *the, int64_t timeout_ms)
{
    loop *on =
        async_open(the, proxy_uri(the->stage->proxy),
                   REDLOCK_CLIENT_OPTIONS(COUNTED_BY(&the->account), .timeout_ms = timeout_ms));
    deed *first = deed_new(on), *end = deed_new(on);
    deed_acquire(first, "warm", NULL);
    COMPLETES(first, REDLOCK_OK);
    deed_release(end, first->lock);
    COMPLETES(end, REDLOCK_OK);
    return on;
}

static void expect_untouched(async_stage *the)
{
    assert_int_equal(stage_holders(the->stage, "r"), 0);
    assert_int_equal(stage_waiters(the->stage, "r"), 0);
    expect_free(the->stage->other, "r");
    assert_int_equal(stage_holders(the->stage, "r"), 0);
}

/* The connection is late when the operation is, and was closed: the undo was repeated on another
 * one, and overtook. */
static void a_try_that_arrives_late_is_held_by_nobody(void **state)
{
    async_stage *the = *state;
    loop *on = open_late(the, hasty_ms());
    crowd before = crowd_now(the->stage);
    int kept = proxy_keep_requests(the->stage->proxy, false);
    deed *late = deed_new(on);
    deed_acquire(late, "r", REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    COMPLETES(late, REDLOCK_ERR_TIMEOUT);
    undone once = {on->client, 1};
    loop_until(on, has_undone, &once);
    assert_true(stats_of(on->client).connections > 1);
    async_close(the);
    proxy_deliver_requests(the->stage->proxy, PROXY_OLDEST_FIRST);
    await_departure(&before, kept);
    expect_untouched(the);
}

/* All on one connection, which nobody closes. */
static void expect_undone_behind(async_stage *the, loop *on, deed *late)
{
    assert_int_equal(stats_of(on->client).undone, 0);
    proxy_deliver_requests(the->stage->proxy, PROXY_OLDEST_FIRST);
    undone once = {on->client, 1};
    loop_until(on, has_undone, &once);
    assert_null(late->lock);
    assert_int_equal(stats_of(on->client).connections_lost, 0);
    expect_untouched(the);
}

static void a_cancelled_wait_that_arrives_late_is_held_by_nobody(void **state)
{
    async_stage *the = *state;
    loop *on = open_late(the, 10000);
    deed *first = deed_new(on), *end = deed_new(on), *late = deed_new(on);
    deed_acquire(first, "r", REDLOCK_OPTIONS(.wait_ms = 20000)); /* the inbox is open from now on */
    COMPLETES(first, REDLOCK_OK);
    deed_release(end, first->lock);
    COMPLETES(end, REDLOCK_OK);
    proxy_keep_requests(the->stage->proxy, false);
    deed_acquire(late, "r", REDLOCK_OPTIONS(.ttl_ms = LONG_MS, .wait_ms = 20000));
    loop_until(on, has_kept, (&(questions_kept){the->stage->proxy, 1}));
    redlock_cancel_async(on->client, late->id);
    COMPLETES(late, REDLOCK_CANCELLED);
    expect_undone_behind(the, on, late);
}

static void a_cancelled_try_that_arrives_late_is_held_by_nobody(void **state)
{
    async_stage *the = *state;
    loop *on = open_late(the, 10000);
    proxy_keep_requests(the->stage->proxy, false);
    deed *late = deed_new(on);
    deed_acquire(late, "r", REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    loop_until(on, has_kept, (&(questions_kept){the->stage->proxy, 1}));
    redlock_cancel_async(on->client, late->id);
    COMPLETES(late, REDLOCK_CANCELLED);
    expect_undone_behind(the, on, late);
}

/* Needs burial: its first attempt arrives after the lock was had by the second, on another
 * connection, and given back. */
static void an_attempt_that_arrives_after_the_release_is_void(void **state)
{
    async_stage *the = *state;
    loop *on = open_late(the, hasty_ms());
    crowd before = crowd_now(the->stage);
    int kept = proxy_keep_requests(the->stage->proxy, false);
    deed *second = deed_new(on), *end = deed_new(on);
    deed_acquire(second, "r", REDLOCK_OPTIONS(.ttl_ms = LONG_MS, .wait_ms = 20000));
    COMPLETES(second, REDLOCK_OK);
    deed_release(end, second->lock);
    COMPLETES(end, REDLOCK_OK);
    async_close(the);
    proxy_deliver_requests(the->stage->proxy, PROXY_OLDEST_FIRST);
    await_departure(&before, kept);
    expect_untouched(the);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_HOST(a_try_that_arrives_late_is_held_by_nobody),
        ON_EVERY_HOST(a_cancelled_wait_that_arrives_late_is_held_by_nobody),
        ON_EVERY_HOST(a_cancelled_try_that_arrives_late_is_held_by_nobody),
        ON_EVERY_HOST(an_attempt_that_arrives_after_the_release_is_void),
    };
    size_t count = sizeof tests / sizeof *tests;
    return _cmocka_run_group_tests("live given up, asynchronous", tests, count, NULL, NULL);
}
