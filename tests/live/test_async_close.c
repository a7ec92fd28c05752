/* SPDX-License-Identifier: MIT
 * Closing a client with operations under way, from outside and from inside of a completion. */
#include "live/async_stage.h"

/* ---- Closing ----------------------------------------------------------------------------------*/

static void close_it(deed *self)
{
    redlock_client *client = self->on->client;
    self->status = redlock_close(client) == REDLOCK_OK ? self->status : REDLOCK_ERR_SYSTEM;
}

static bool has_so_many_descriptors(void *arg) { return open_descriptors() == *(int *)arg; }

/* At once: nothing else is to happen that would wake anybody. */
static void a_completion_closes_the_client(void **state)
{
    async_stage *the = *state;
    redlock_lock *busy = take(the->stage->other, "busy", NULL);
    assert_int_equal(stage_waiters(the->stage, "busy"), 0);
    int descriptors = open_descriptors();
    loop *on = async_open_plain(the);
    deeds waiters = deeds_new(on, 10);
    deed *closer = deed_new(on);
    for (size_t i = 0; i < waiters.count; i++) deed_acquire(&waiters.first[i], "busy", FOR_EVER);
    loop_until(on, has_waiters, (&(expected){the->stage, "busy", 10}));
    stall from = stall_begin();
    closer->then = close_it;
    deed_acquire(closer, "r", NULL);
    loop_until(on, deed_is_done, closer);
    loop_await_close(on);
    loop_until(on, deeds_are_done, &waiters);
    eventually(has_holders, (&(expected){the->stage, "r", 0}));
    ENDED(&from, 0, 5000 * 1000);
    for (size_t i = 0; i < waiters.count; i++)
        assert_int_equal(waiters.first[i].status, REDLOCK_ERR_CLOSED);
    EXPECT(redlock_release_async(closer->lock, NULL, NULL), REDLOCK_ERR_CLOSED);
    eventually(is_all_given_back, &the->account);
    eventually(has_waiters, (&(expected){the->stage, "busy", 0}));
    EXPECT(redlock_release(busy), REDLOCK_OK);
    expect_free(the->stage->other, "r");
    eventually(has_so_many_descriptors, &descriptors);
}

static void a_close_completes_what_is_pending(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deeds waiters = deeds_new(on, 100);
    redlock_lock *busy = take(the->stage->other, "r", NULL);
    for (size_t i = 0; i < waiters.count; i++) deed_acquire(&waiters.first[i], "r", FOR_EVER);
    loop_until(on, has_waiters, (&(expected){the->stage, "r", 100}));
    async_close(the);
    for (size_t i = 0; i < waiters.count; i++) {
        assert_int_equal(waiters.first[i].completions, 1);
        EXPECT(waiters.first[i].status, REDLOCK_ERR_CLOSED);
    }
    eventually(has_waiters, (&(expected){the->stage, "r", 0}));
    EXPECT(redlock_release(busy), REDLOCK_OK);
}

/* Not even begun: nothing was sent, and it is complete all the same. */
static void a_close_completes_what_has_not_begun(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *never = deed_new(on);
    for (int i = 0; i < 20; i++) {
        deed *one = deed_new(on);
        deed_acquire(one, "r", NULL);
        if (i == 0) never = one;
    }
    async_close(the);
    assert_int_equal(never->completions, 1);
    if (on->host == REDLOCK_HOST_MANUAL) EXPECT(never->status, REDLOCK_ERR_CLOSED);
    if (never->status == REDLOCK_OK) EXPECT(redlock_release(never->lock), REDLOCK_ERR_CLOSED);
    for (size_t i = 0; i < kept_count; i++)
        if (kept_deeds[i] != never && kept_deeds[i]->status == REDLOCK_OK &&
            kept_deeds[i]->lock != NULL)
            redlock_release(kept_deeds[i]->lock);
    expect_free(the->stage->other, "r");
}

/* Well within the timeout, and handed to the next. */
static void a_release_that_is_pending_at_the_close_reaches_the_server(void **state)
{
    enum { LOCKS = 50 };
    async_stage *the = *state;
    loop *on = async_open(the, server_uri(the->stage->server),
                          REDLOCK_CLIENT_OPTIONS(.timeout_ms = 20000));
    deeds held = deeds_new(on, LOCKS), given = deeds_new(on, LOCKS);
    char name[16];
    for (size_t i = 0; i < LOCKS; i++) {
        snprintf(name, sizeof name, "r%zu", i);
        deed_acquire(&held.first[i], name, REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    }
    deeds_expect(&held, REDLOCK_OK);
    taker *next = taker_start(the->stage, the->stage->other, "r7", FOR_EVER);
    await_waiters(the->stage, "r7", 1);
    stall from = stall_begin();
    for (size_t i = 0; i < LOCKS; i++) deed_release(&given.first[i], held.first[i].lock);
    async_close(the);
    ENDED(&from, 0, 10000 * 1000);
    for (size_t i = 0; i < LOCKS; i++) assert_int_equal(given.first[i].completions, 1);
    for (size_t i = 0; i < LOCKS; i++) EXPECT(given.first[i].status, REDLOCK_OK);
    expect_taker(next, REDLOCK_OK);
    taker_release(next);
    for (size_t i = 0; i < LOCKS; i++) {
        snprintf(name, sizeof name, "r%zu", i);
        assert_int_equal(stage_holders(the->stage, name), 0);
    }
}

static void a_close_of_a_frozen_server_takes_the_timeout_and_completes_all(void **state)
{
    async_stage *the = *state;
    int64_t timeout_ms = patience_outlasting_ms(300);
    loop *on = async_open(the, server_uri(the->stage->server),
                          REDLOCK_CLIENT_OPTIONS(.timeout_ms = timeout_ms));
    deed *held = deed_new(on), *given = deed_new(on), *asks = deed_new(on);
    deed_acquire(held, "r", NULL);
    COMPLETES(held, REDLOCK_OK);
    server_freeze(the->stage->server);
    deed_release(given, held->lock);
    deed_acquire(asks, "s", NULL);
    loop_for(on, 50);
    stall from = stall_begin();
    async_close(the);
    ENDED(&from, 0, timeout_ms * 1000);
    server_thaw(the->stage->server);
    assert_int_equal(given->completions, 1);
    assert_true(given->status < 0);
    assert_int_equal(asks->completions, 1);
    EXPECT(asks->status, REDLOCK_ERR_CLOSED);
}

/* By the time that a loop of its own hears of it, it is not held any more. */
static void a_grant_that_nobody_was_told_of_is_taken_back_by_the_close(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    deed *asks = deed_new(on);
    deed_acquire(asks, "r", NULL);
    struct pollfd told = {.fd = redlock_fd(on->client), .events = POLLIN};
    assert_int_equal(poll(&told, 1, LONG_MS), 1);
    assert_int_equal(stage_holders(the->stage, "r"), 1);
    assert_int_equal(asks->completions, 0);
    async_close(the);
    assert_int_equal(asks->completions, 1);
    EXPECT(asks->status, REDLOCK_ERR_CLOSED);
    assert_null(asks->lock);
    expect_free(the->stage->other, "r");
    eventually(is_all_given_back, &the->account);
}

static void release_the_other(deed *self) { (void)redlock_release_async(self->arg, NULL, NULL); }

/* It is refused then, but nobody else has the lock in hand any more. */
static void what_a_completion_releases_during_the_close_is_released(void **state)
{
    async_stage *the = *state;
    loop *on = async_open_plain(the);
    redlock_lock *busy = take(the->stage->other, "busy", NULL);
    deed *held = deed_new(on), *waiter = deed_new(on);
    deed_acquire(held, "r", REDLOCK_OPTIONS(.ttl_ms = LONG_MS));
    COMPLETES(held, REDLOCK_OK);
    waiter->then = release_the_other;
    waiter->arg = held->lock;
    deed_acquire(waiter, "busy", FOR_EVER);
    loop_until(on, has_waiters, (&(expected){the->stage, "busy", 1}));
    async_close(the);
    EXPECT(waiter->status, REDLOCK_ERR_CLOSED);
    assert_int_equal(stage_holders(the->stage, "r"), 0);
    assert_true(is_all_given_back(&the->account));
    EXPECT(redlock_release(busy), REDLOCK_OK);
}

static int64_t process_busy_us(void)
{
    struct timespec busy;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &busy);
    return (int64_t)busy.tv_sec * 1000000 + busy.tv_nsec / 1000;
}

static void freeze_and_close(deed *self)
{
    server_freeze(self->arg);
    close_it(self);
}

/* The lock that it has to release keeps it waiting for the timeout. */
static void a_close_inside_waits_asleep_for_a_frozen_server(void **state)
{
    enum { TIMEOUT_MS = 1000 };
    async_stage *the = *state;
    loop *on =
        async_open(the, server_uri(the->stage->server),
                   REDLOCK_CLIENT_OPTIONS(.timeout_ms = TIMEOUT_MS, COUNTED_BY(&the->account)));
    deed *closer = deed_new(on);
    closer->then = freeze_and_close;
    closer->arg = the->stage->server;
    deed_acquire(closer, "r", NULL);
    int64_t from_us = process_busy_us();
    loop_until(on, deed_is_done, closer);
    loop_await_close(on);
    if (on->host == REDLOCK_HOST_KEEPER) loop_for(on, TIMEOUT_MS);
    assert_in_range(process_busy_us() - from_us, 0, TIMEOUT_MS * 1000 / 2);
    server_thaw(the->stage->server);
    EXPECT(closer->status, REDLOCK_OK);
    EXPECT(redlock_release(closer->lock), REDLOCK_ERR_CLOSED);
    eventually(is_all_given_back, &the->account);
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        ON_EVERY_HOST(a_completion_closes_the_client),
        ON_EVERY_HOST(a_close_completes_what_is_pending),
        ON_EVERY_HOST(a_close_completes_what_has_not_begun),
        ON_EVERY_HOST(a_release_that_is_pending_at_the_close_reaches_the_server),
        ON_EVERY_HOST(a_close_of_a_frozen_server_takes_the_timeout_and_completes_all),
        ON_HOST(a_grant_that_nobody_was_told_of_is_taken_back_by_the_close, delivered),
        ON_EVERY_HOST(what_a_completion_releases_during_the_close_is_released),
        ON_EVERY_HOST(a_close_inside_waits_asleep_for_a_frozen_server),
    };
    /* clang-format on */
    return cmocka_run_group_tests_name("live async close", tests, NULL, NULL);
}
