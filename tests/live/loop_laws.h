/* SPDX-License-Identifier: MIT
 * What holds in every event loop, for a client without a thread (MANUAL) and for one whose
 * completions are delivered (DELIVER). Rule: nothing here knows which loop it is. Included once by
 * each test_loop_<name>.c. */
#ifndef REDLOCK_TESTS_LIVE_LOOP_LAWS_H
#define REDLOCK_TESTS_LIVE_LOOP_LAWS_H

#include "live/loop_leaving.h"

enum { MANY = 2000 };

/* ---- Locks ------------------------------------------------------------------------------------*/

static void a_lock_is_acquired_and_released_from_the_loop(void **state)
{
    looped *the = *state;
    redlock_lock *held = take_in_loop(the->client, "r", NULL);
    expect_taken(the->stage->other, "r");
    release_in_loop(held, REDLOCK_OK);
    expect_free(the->stage->other, "r");
}

static void a_lock_that_is_taken_is_busy(void **state)
{
    looped *the = *state;
    outcome seen = {0};
    redlock_lock *held = take(the->stage->other, "r", NULL);
    (void)ask(the->client, "r", NULL, &seen);
    (void)loop_until(has_come, &seen);
    expect_outcome(&seen, REDLOCK_BUSY);
    EXPECT(redlock_release(held), REDLOCK_OK);
}

static void a_release_in_the_loop_serves_a_waiter_elsewhere(void **state)
{
    looped *the = *state;
    redlock_lock *held = take_in_loop(the->client, "r", NULL);
    taker *next = queued(the->stage, the->stage->other, 1, FOR_EVER);
    stall from = stall_begin();
    release_in_loop(held, REDLOCK_OK);
    expect_soon(next, &from);
}

static void a_waiter_in_the_loop_is_served_by_a_release_elsewhere(void **state)
{
    looped *the = *state;
    outcome seen = {0};
    redlock_lock *held = take(the->stage->other, "r", NULL);
    (void)ask(the->client, "r", FOR_EVER, &seen);
    (void)loop_until(has_waiters, (&(expected){the->stage, "r", 1}));
    EXPECT(redlock_release(held), REDLOCK_OK);
    stall from = stall_begin();
    (void)loop_until(has_come, &seen);
    ENDED(&from, 0, SOON_MS * 1000);
    expect_outcome(&seen, REDLOCK_OK);
    release_in_loop(seen.lock, REDLOCK_OK);
}

/* One thread, and neither blocks the other. */
static void two_clients_of_one_loop_hand_a_lock_over(void **state)
{
    looped *the = *state;
    outcome seen = {0};
    attachment *beside;
    redlock_client *second = open_for_loop(the->stage);
    EXPECT(library.attach(second, &beside), REDLOCK_OK);
    redlock_lock *held = take_in_loop(the->client, "r", NULL);
    (void)ask(second, "r", FOR_EVER, &seen);
    (void)loop_until(has_waiters, (&(expected){the->stage, "r", 1}));
    release_in_loop(held, REDLOCK_OK);
    (void)loop_until(has_come, &seen);
    expect_outcome(&seen, REDLOCK_OK);
    release_in_loop(seen.lock, REDLOCK_OK);
    library.detach(beside);
    library.free(beside);
}

static void a_cancelled_wait_leaves_the_queue(void **state)
{
    looped *the = *state;
    outcome seen = {0};
    redlock_lock *held = take(the->stage->other, "r", NULL);
    redlock_operation id = ask(the->client, "r", FOR_EVER, &seen);
    (void)loop_until(has_waiters, (&(expected){the->stage, "r", 1}));
    redlock_cancel_async(the->client, id);
    (void)loop_until(has_come, &seen);
    expect_outcome(&seen, REDLOCK_CANCELLED);
    (void)loop_until(has_waiters, (&(expected){the->stage, "r", 0}));
    EXPECT(redlock_release(held), REDLOCK_OK);
}

typedef struct crowd {
    int come, good;
    redlock_lock *locks[MANY];
} crowd;

static void one_more_acquired(void *arg, redlock_status status, redlock_lock *lock)
{
    crowd *self = arg;
    if (status == REDLOCK_OK) self->locks[self->good++] = lock;
    self->come++;
}

static void one_more_done(void *arg, redlock_status status)
{
    crowd *self = arg;
    self->good += status == REDLOCK_OK;
    self->come++;
}

static bool have_all_come(void *arg) { return ((crowd *)arg)->come >= MANY; }

typedef struct rash {
    redlock_client *client;
    redlock_status acquired, processed;
} rash;

static void block_inside(void *arg)
{
    rash *self = arg;
    redlock_lock *none;
    self->acquired = redlock_acquire(self->client, "s", NULL, &none);
    self->processed = redlock_process(self->client);
}

static void a_completion_that_would_block_the_loop_is_refused(void **state)
{
    looped *the = *state;
    rash inside = {.client = the->client};
    outcome seen = {.then = block_inside, .then_arg = &inside};
    (void)ask(the->client, "r", NULL, &seen);
    (void)loop_until(has_come, &seen);
    EXPECT(inside.acquired, REDLOCK_ERR_IN_CALLBACK);
    EXPECT(inside.processed, REDLOCK_ERR_IN_CALLBACK);
    release_in_loop(seen.lock, REDLOCK_OK);
}

static void many_operations_in_flight_complete_once_each(void **state)
{
    static crowd all;
    looped *the = *state;
    all = (crowd){0};
    for (int i = 0; i < MANY; i++) {
        char name[16];
        size_t length = (size_t)snprintf(name, sizeof name, "m%d", i);
        EXPECT(
            redlock_acquire_async(the->client, name, length, NULL, one_more_acquired, &all, NULL),
            REDLOCK_OK);
    }
    (void)loop_until(have_all_come, &all);
    assert_int_equal(all.good, MANY);
    all.come = all.good = 0;
    for (int i = 0; i < MANY; i++)
        EXPECT(redlock_release_async(all.locks[i], one_more_done, &all), REDLOCK_OK);
    (void)loop_until(have_all_come, &all);
    loop_some_ticks();
    assert_int_equal(all.come, MANY);
    assert_int_equal(all.good, MANY);
}

/* ---- Leases -----------------------------------------------------------------------------------*/

typedef struct long_hold {
    redlock_lock *lock;
    int64_t end_us;
    bool was_lost;
} long_hold;

static bool has_been_held(void *arg)
{
    long_hold *self = arg;
    self->was_lost |= !redlock_is_held(self->lock);
    return now_us() >= self->end_us;
}

static void a_hold_is_renewed_beyond_its_lease_while_the_loop_ticks(void **state)
{
    looped *the = *state;
    redlock_lock *held =
        take_in_loop(the->client, "r", REDLOCK_OPTIONS(.ttl_ms = 900, .auto_renew = true));
    long_hold hold = {.lock = held, .end_us = now_us() + 1500000};
    int ticks = loop_until(has_been_held, &hold);
    assert_in_range(ticks, 4, 1500);
    assert_false(hold.was_lost);
    assert_in_range(stats_of(the->client).renewed, 2, 1500);
    expect_taken(the->stage->other, "r");
    release_in_loop(held, REDLOCK_OK);
}

/* on_lost, which DELIVER runs on the client's own thread. */
typedef struct loss {
    redlock_lock *lock;
    _Atomic int times;
} loss;

static void told(void *arg, redlock_lock *lock)
{
    loss *self = arg;
    self->lock = lock;
    atomic_fetch_add(&self->times, 1);
}

static bool was_told(void *arg) { return atomic_load(&((loss *)arg)->times) > 0; }

static redlock_lock *take_and_listen(looped *the, int64_t ttl_ms, loss *heard)
{
    return take_in_loop(the->client, "r",
                        REDLOCK_OPTIONS(.ttl_ms = ttl_ms, .auto_renew = true, .on_lost = told,
                                        .on_lost_arg = heard));
}

static void a_lock_that_was_taken_away_is_told(void **state)
{
    looped *the = *state;
    loss heard = {0};
    redlock_lock *held = take_and_listen(the, 600, &heard);
    EXPECT(redlock_force_release(the->stage->other, "r", 1, NULL, NULL), REDLOCK_OK);
    (void)loop_until(was_told, &heard);
    assert_ptr_equal(heard.lock, held);
    assert_false(redlock_is_held(held));
    release_in_loop(held, REDLOCK_LOST);
    loop_some_ticks();
    assert_int_equal(atomic_load(&heard.times), 1);
}

static void a_silent_server_stops_neither_the_loop_nor_the_news_of_a_loss(void **state)
{
    looped *the = *state;
    loss heard = {0};
    redlock_lock *held = take_and_listen(the, 600, &heard);
    server_freeze(the->stage->server);
    stall from = stall_begin();
    int ticks = loop_until(was_told, &heard);
    ENDED(&from, 0, 600000);
    server_thaw(the->stage->server);
    assert_in_range(ticks, 4, 10000);
    release_in_loop(held, REDLOCK_LOST);
}

static bool has_nothing_to_say(void *client)
{
    return poll(&(struct pollfd){.fd = redlock_fd(client), .events = POLLIN}, 1, 0) == 0;
}

/* Or the loop would spin. */
static void an_idle_client_lets_the_loop_sleep(void **state)
{
    looped *the = *state;
    redlock_lock *held =
        take_in_loop(the->client, "r", REDLOCK_OPTIONS(.ttl_ms = LONG_MS, .auto_renew = true));
    (void)loop_until(has_nothing_to_say, the->client);
    loop_some_ticks();
    assert_true(has_nothing_to_say(the->client));
    release_in_loop(held, REDLOCK_OK);
}

/* ---- All --------------------------------------------------------------------------------------*/

static int run_loop_laws(const char *manual_name, const char *deliver_name)
{
    const struct CMUnitTest tests[] = {
        IN_LOOP(a_lock_is_acquired_and_released_from_the_loop),
        IN_LOOP(a_lock_that_is_taken_is_busy),
        IN_LOOP(a_release_in_the_loop_serves_a_waiter_elsewhere),
        IN_LOOP(a_waiter_in_the_loop_is_served_by_a_release_elsewhere),
        IN_LOOP(two_clients_of_one_loop_hand_a_lock_over),
        IN_LOOP(a_cancelled_wait_leaves_the_queue),
        IN_LOOP(a_completion_that_would_block_the_loop_is_refused),
        IN_LOOP(many_operations_in_flight_complete_once_each),
        IN_LOOP(a_hold_is_renewed_beyond_its_lease_while_the_loop_ticks),
        IN_LOOP(a_lock_that_was_taken_away_is_told),
        IN_LOOP(a_silent_server_stops_neither_the_loop_nor_the_news_of_a_loss),
        IN_LOOP(an_idle_client_lets_the_loop_sleep),
        IN_LOOP(what_another_thread_submits_completes_in_the_loop),
        IN_LOOP(in_a_child_of_fork_the_client_leaves_the_loop),
        IN_LOOP(a_client_with_a_thread_of_its_own_is_refused),
        IN_LOOP(a_client_closed_inside_a_completion_leaves_the_loop_by_itself),
        IN_LOOP(a_completion_may_detach_and_free_the_storage),
        IN_LOOP(a_completion_may_detach_free_the_storage_and_close),
        IN_LOOP(a_client_that_was_detached_twice_is_closed_with_what_it_holds),
    };
    host = REDLOCK_HOST_MANUAL;
    int failed = cmocka_run_group_tests_name(manual_name, tests, NULL, NULL);
    host = REDLOCK_HOST_DELIVER;
    return failed + cmocka_run_group_tests_name(deliver_name, tests, NULL, NULL);
}

#endif
