/* SPDX-License-Identifier: MIT
 * Waiting past waiters, holders, servers and connections that died or froze. */
#include "live/stage.h"

/* ---- The dead and the frozen ------------------------------------------------------------------*/

static bool has_one_subscriber(void *arg)
{
    redisReply *list = server_command(((stage *)arg)->server, "CLIENT LIST TYPE pubsub");
    const char *first = list->len > 0 ? strchr(list->str, '\n') : NULL;
    bool is_one = first != NULL && strchr(first + 1, '\n') == NULL;
    freeReplyObject(list);
    return is_one;
}

/* Pitfall 17. */
static void a_dead_waiter_is_skipped_at_once(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, "r", NULL);
    pid_t first = actor_start(the, "r", LONG_MS, LONG_MS, false);
    await_waiters(the, "r", 1);
    taker *next = queued(the, the->other, 2, FOR_EVER);
    actor_kill(the, first);
    eventually(has_one_subscriber, the);
    stall from = stall_begin();
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_soon(next, &from);
    taker_release(next);
}

/* Pitfall 18. Its lease is a claim, from the release on; the next in line asks at its end. */
static void a_frozen_waiter_delays_the_next_by_its_claim_at_the_most(void **state)
{
    enum { CLAIM_MS = 300, MARGIN_MS = 100 };
    stage *the = *state;
    redlock_lock *lock = take(the->client, "r", NULL);
    pid_t first = actor_start(the, "r", LONG_MS, CLAIM_MS, false);
    await_waiters(the, "r", 1);
    taker *next =
        queued(the, the->other, 2, REDLOCK_OPTIONS(.wait_ms = LONG_MS, .claim_ms = CLAIM_MS));
    actor_freeze(first);
    stall from = stall_begin();
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_within(next, &from, CLAIM_MS + MARGIN_MS);
    assert_true(next->took_us - from.began_us >
                200000); /* it was given to the frozen one, or nothing was tested */
    taker_release(next);
}

static void a_dead_holder_is_followed_at_the_end_of_its_lease(void **state)
{
    enum { TTL_MS = 500, MARGIN_MS = 100 };
    stage *the = *state;
    pid_t holder = actor_start(the, "r", TTL_MS, TTL_MS, true);
    await_holders(the, "r", 1);
    taker *next = queued(the, the->client, 1, FOR_EVER);
    stall from = stall_begin();
    actor_kill(the, holder);
    expect_within(next, &from, TTL_MS + MARGIN_MS);
    taker_release(next);
}

static int done_of(taker **all, int count)
{
    int done = 0;
    for (int i = 0; i < count; i++) done += taker_is_done(all[i]);
    return done;
}

typedef struct many {
    taker *at[256];
    int done;
} many;

static bool has_one_more(void *arg)
{
    many *self = arg;
    return done_of(self->at, 256) > self->done;
}

/* Releases whatever was granted, until all were. */
static void serve_all(many *self)
{
    for (self->done = 0; self->done < 256; self->done++) {
        eventually(has_one_more, self);
        for (int i = 0; i < 256; i++) {
            if (!taker_is_done(self->at[i]) || self->at[i]->is_joined) continue;
            expect_taker(self->at[i], REDLOCK_OK);
            taker_release(self->at[i]);
        }
    }
}

/* Pitfall 20. */
static void a_long_queue_does_not_delay_the_end_of_a_dead_holder(void **state)
{
    enum { TTL_MS = 500, MARGIN_MS = 100 };
    stage *the = *state;
    many waiters = {.done = 0};
    pid_t holder = actor_start(the, "r", TTL_MS, TTL_MS, true);
    await_holders(the, "r", 1);
    for (int i = 0; i < 256; i++)
        waiters.at[i] = taker_start(the, i % 2 ? the->client : the->other, "r", FOR_EVER);
    await_waiters(the, "r", 256);
    stall from = stall_begin();
    actor_kill(the, holder);
    eventually(has_one_more, &waiters);
    int64_t first_us = INT64_MAX;
    for (int i = 0; i < 256; i++)
        if (taker_is_done(waiters.at[i]) && waiters.at[i]->took_us < first_us)
            first_us = waiters.at[i]->took_us;
    TOOK(&from, first_us - from.began_us, 0, (TTL_MS + MARGIN_MS) * 1000);
    serve_all(&waiters);
    assert_int_equal(stage_waiters(the, "r"), 0);
}

/* ---- Servers and connections ------------------------------------------------------------------*/

static void try_for(redlock_client *client, int64_t wait_ms)
{
    redlock_lock *lock;
    assert_true(redlock_acquire(client, "s", REDLOCK_OPTIONS(.wait_ms = wait_ms), &lock) !=
                REDLOCK_OK);
}

static void extend_in_vain(redlock_lock *lock)
{
    EXPECT(redlock_extend(lock, LONG_MS), REDLOCK_ERR_TIMEOUT);
}

/* Pitfall 26: what is frozen delays nobody for longer than was asked for. */
static void no_call_on_a_frozen_server_returns_late(void **state)
{
    stage *the = *state;
    int64_t timeout_ms = patience_outlasting_ms(150), wait_ms = 2 * timeout_ms;
    redlock_client *hasty =
        stage_open(the, server_uri(the->server),
                   REDLOCK_CLIENT_OPTIONS(.timeout_ms = timeout_ms, LOGGED(the)));
    redlock_lock *given = take(hasty, "given", NULL), *kept = take(hasty, "kept", NULL);
    server_freeze(the->server);
    PUNCTUAL(timeout_ms * 1000, try_for(hasty, 0));
    PUNCTUAL(wait_ms * 1000, try_for(hasty, wait_ms));
    PUNCTUAL(timeout_ms * 1000, extend_in_vain(kept));
    PUNCTUAL(timeout_ms * 1000, EXPECT(redlock_release(given), REDLOCK_ERR_TIMEOUT));
    server_thaw(the->server);
    EXPECT(redlock_release(kept), REDLOCK_OK);
}

static void a_wait_through_a_freeze_ends_at_its_deadline(void **state)
{
    stage *the = *state;
    int64_t wait_ms = patience_outlasting_ms(500);
    redlock_lock *lock = take(the->client, "r", NULL);
    stall from = stall_begin();
    taker *waiter = queued(the, the->other, 1, REDLOCK_OPTIONS(.wait_ms = wait_ms));
    server_freeze(the->server);
    expect_taker(waiter, REDLOCK_TIMED_OUT);
    TOOK(&from, waiter->took_us - from.began_us, wait_ms * 1000, wait_ms * 1000);
    server_thaw(the->server);
    await_waiters(the, "r", 0);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

static bool either_is_done(void *arg)
{
    taker **two = arg;
    return taker_is_done(two[0]) || taker_is_done(two[1]);
}

/* The new server knows neither the holder nor the queue. */
static void waiters_outlive_a_server_that_comes_back_empty(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, "r", NULL);
    taker *one = queued(the, the->other, 1, FOR_EVER), *two = queued(the, the->client, 2, FOR_EVER);
    server_restart(the->server);
    eventually(either_is_done, ((taker *[]){one, two}));
    taker *first = taker_is_done(one) ? one : two, *second = first == one ? two : one;
    expect_taker(first, REDLOCK_OK);
    taker_release(first);
    expect_taker(second, REDLOCK_OK);
    taker_release(second);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
}

/* Pitfall 16: the message that nobody received. */
static void a_killed_subscription_misses_no_release(void **state)
{
    stage *the = *state;
    for (int i = 0; i < 5; i++) {
        redlock_lock *lock = take(the->client, "r", NULL);
        taker *waiter = queued(the, the->other, 1, FOR_EVER);
        stall from = stall_begin();
        assert_int_equal(server_number(the->server, "CLIENT KILL TYPE pubsub"), 1);
        EXPECT(redlock_release(lock), REDLOCK_OK);
        expect_soon(waiter, &from);
        taker_release(waiter);
    }
}

static void a_waiter_whose_connections_were_cut_is_served_by_the_release(void **state)
{
    stage *the = *state;
    redlock_client *through = stage_open_through(the);
    redlock_lock *lock = take(the->client, "r", NULL);
    taker *waiter = queued(the, through, 1, FOR_EVER);
    int connections = proxy_accepted(the->proxy);
    proxy_cut(the->proxy);
    for (patience left = patience_begin(); proxy_accepted(the->proxy) < connections + 2;
         patience_pause())
        assert_false(patience_is_over(&left));
    stall from = stall_begin();
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_soon(waiter, &from);
    taker_release(waiter);
}

static void a_waiter_whose_connections_are_cut_and_refused_is_served_once_it_is_let_in(void **state)
{
    stage *the = *state;
    redlock_client *through = stage_open_through(the);
    redlock_lock *lock = take(the->client, "r", NULL);
    taker *waiter = queued(the, through, 1, FOR_EVER);
    proxy_refuse(the->proxy, true);
    int connections = proxy_accepted(the->proxy);
    proxy_cut(the->proxy);
    for (patience left = patience_begin(); proxy_accepted(the->proxy) < connections + 3;
         patience_pause())
        assert_false(patience_is_over(&left));
    EXPECT(redlock_release(lock), REDLOCK_OK);
    proxy_refuse(the->proxy, false);
    expect_taker(waiter, REDLOCK_OK);
    taker_release(waiter);
}

static bool is_200_ms_later(void *from) { return now_us() - ((stall *)from)->began_us >= 200000; }

/* A grant's lease is counted from the grant, and not from its late reading. */
static void a_grant_that_is_read_late_is_valid_for_less(void **state)
{
    stage *the = *state;
    redlock_client *through = stage_open_through(the);
    redlock_lock *lock = take(the->client, "r", NULL);
    taker *waiter = queued(the, through, 1,
                           REDLOCK_OPTIONS(.wait_ms = LONG_MS, .ttl_ms = 10000, .claim_ms = 10000));
    proxy_hold(the->proxy, true);
    stall from = stall_begin();
    EXPECT(redlock_release(lock), REDLOCK_OK);
    eventually(is_200_ms_later, &from);
    proxy_hold(the->proxy, false);
    expect_taker(waiter, REDLOCK_OK);
    assert_in_range(redlock_remaining_ms(waiter->lock), 1, 10000 - 200);
    taker_release(waiter);
}

static void a_grant_that_is_read_after_its_end_is_no_lock(void **state)
{
    stage *the = *state;
    redlock_client *through = stage_open_through(the);
    redlock_lock *lock = take(the->client, "r", NULL);
    taker *late =
        queued(the, through, 1, REDLOCK_OPTIONS(.wait_ms = LONG_MS, .claim_ms = 2 * brief_ms()));
    taker *next =
        queued(the, the->other, 2, REDLOCK_OPTIONS(.wait_ms = LONG_MS, .claim_ms = 2 * brief_ms()));
    proxy_hold(the->proxy, true);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_taker(next, REDLOCK_OK);
    proxy_hold(the->proxy, false);
    await_waiters(the, "r", 1); /* it has read the grant, seen that it is over, and queued again */
    assert_false(taker_is_done(late));
    assert_true(redlock_is_held(next->lock));
    taker_release(next);
    expect_taker(late, REDLOCK_OK);
    taker_release(late);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(a_dead_waiter_is_skipped_at_once),
        ON_STAGE(a_frozen_waiter_delays_the_next_by_its_claim_at_the_most),
        ON_STAGE(a_dead_holder_is_followed_at_the_end_of_its_lease),
        ON_STAGE(a_long_queue_does_not_delay_the_end_of_a_dead_holder),
        ON_STAGE(no_call_on_a_frozen_server_returns_late),
        ON_STAGE(a_wait_through_a_freeze_ends_at_its_deadline),
        ON_STAGE(waiters_outlive_a_server_that_comes_back_empty),
        ON_STAGE(a_killed_subscription_misses_no_release),
        ON_STAGE(a_waiter_whose_connections_were_cut_is_served_by_the_release),
        ON_STAGE(a_waiter_whose_connections_are_cut_and_refused_is_served_once_it_is_let_in),
        ON_STAGE(a_grant_that_is_read_late_is_valid_for_less),
        ON_STAGE(a_grant_that_is_read_after_its_end_is_no_lock),
    };
    ACTOR_OR_TESTS(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
