/* SPDX-License-Identifier: MIT
 * Waiting: in order, by handover, until a deadline or a cancel. */
#include "live/stage.h"

/* ---- Order and handover -----------------------------------------------------------------------*/

static void waiters_are_served_in_the_order_of_their_arrival(void **state)
{
    enum { WAITERS = 6 };
    stage *the = *state;
    taker *waiters[WAITERS];
    redlock_lock *first = take(the->client, "r", NULL);
    for (int i = 0; i < WAITERS; i++)
        waiters[i] = queued(the, i % 2 ? the->client : the->other, i + 1, FOR_EVER);
    uint64_t fence = redlock_fence(first);
    EXPECT(redlock_release(first), REDLOCK_OK);
    for (int i = 0; i < WAITERS; i++) {
        expect_taker(waiters[i], REDLOCK_OK);
        for (int later = i + 1; later < WAITERS; later++)
            assert_false(taker_is_done(waiters[later]));
        assert_true(redlock_is_held(waiters[i]->lock));
        assert_true(redlock_fence(waiters[i]->lock) > fence);
        fence = redlock_fence(waiters[i]->lock);
        taker_release(waiters[i]);
    }
    assert_int_equal(stats_of(the->client).handed_over + stats_of(the->other).handed_over, WAITERS);
}

static void nobody_overtakes_those_who_wait(void **state)
{
    stage *the = *state;
    redlock_lock *first = take(the->client, "r", NULL);
    taker *waiter = queued(the, the->other, 1, FOR_EVER);
    EXPECT(redlock_release(first), REDLOCK_OK);
    expect_taken(the->client, "r");
    expect_taker(waiter, REDLOCK_OK);
    taker_release(waiter);
}

/* Pitfall 13: the key's fence is ahead of the server's clock, as after that clock stepped back. */
static void a_handed_over_fence_is_above_one_that_the_clock_has_not_reached(void **state)
{
    stage *the = *state;
    redlock_lock *first = take(the->client, "r", NULL);
    uint64_t ahead = redlock_fence(first) + 1000000000;
    taker *waiter = queued(the, the->other, 1, FOR_EVER);
    set_last_fence(the->server, "r", ahead);
    EXPECT(redlock_release(first), REDLOCK_OK);
    expect_taker(waiter, REDLOCK_OK);
    assert_int_equal(redlock_fence(waiter->lock), ahead + 1);
    taker_release(waiter);
}

typedef struct crew {
    redlock_client *client;
    pthread_barrier_t barrier; /* the members, and the test */
    int sections;
    _Atomic int inside, overlaps, failures;
} crew;

static void crew_section(crew *self)
{
    redlock_lock *lock;
    if (redlock_acquire(self->client, "r", FOR_EVER, &lock) != REDLOCK_OK) {
        atomic_fetch_add(&self->failures, 1);
        return;
    }
    if (atomic_fetch_add(&self->inside, 1) != 0) atomic_fetch_add(&self->overlaps, 1);
    atomic_fetch_sub(&self->inside, 1);
    if (redlock_release(lock) != REDLOCK_OK) atomic_fetch_add(&self->failures, 1);
}

static void *crew_run(void *arg)
{
    crew *self = arg;
    crew_section(self); /* opens the inbox */
    pthread_barrier_wait(&self->barrier);
    pthread_barrier_wait(&self->barrier);
    for (int i = 0; i < self->sections; i++) crew_section(self);
    return NULL;
}

/* Pitfalls 15 and 20: no polling, and no herd. */
static void a_hot_lock_costs_two_commands_a_section_however_many_wait(void **state)
{
    enum { MEMBERS = 4, SECTIONS = 50 };
    stage *the = *state;
    pthread_t members[MEMBERS];
    crew self = {.client = the->client, .sections = SECTIONS};
    pthread_barrier_init(&self.barrier, NULL, MEMBERS + 1);
    redlock_lock *first = take(the->other, "r", NULL);
    for (int i = 0; i < MEMBERS; i++) pthread_create(&members[i], NULL, crew_run, &self);
    await_waiters(the, "r", MEMBERS);
    EXPECT(redlock_release(first), REDLOCK_OK);
    pthread_barrier_wait(&self.barrier);
    long long calls = server_calls(the->server, "evalsha");
    redlock_stats before = stats_of(the->client);
    pthread_barrier_wait(&self.barrier);
    for (int i = 0; i < MEMBERS; i++) pthread_join(members[i], NULL);
    redlock_stats after = stats_of(the->client);
    assert_int_equal(atomic_load(&self.failures) + atomic_load(&self.overlaps), 0);
    assert_int_equal(server_calls(the->server, "evalsha") - calls, 2 * MEMBERS * SECTIONS);
    assert_int_equal(after.commands - before.commands, 2 * MEMBERS * SECTIONS);
    assert_int_equal(after.rechecks, 0);
    pthread_barrier_destroy(&self.barrier);
}

static void a_short_section_after_a_handover_never_renews_its_claim(void **state)
{
    stage *the = *state;
    redlock_lock *first = take(the->client, "r", NULL);
    taker *waiter = queued(the, the->other, 1, REDLOCK_OPTIONS(.wait_ms = LONG_MS));
    EXPECT(redlock_release(first), REDLOCK_OK);
    expect_taker(waiter, REDLOCK_OK);
    assert_in_range(redlock_remaining_ms(waiter->lock), 1, 2000);
    taker_release(waiter);
    assert_int_equal(server_number(the->server, "EXISTS redlock:{r}"), 1);
    assert_int_equal(stats_of(the->other).renewed, 0);
}

static bool outlives_its_claim(void *lock) { return redlock_remaining_ms(lock) > 2000; }

static void a_handed_over_lease_grows_to_the_full_ttl(void **state)
{
    stage *the = *state;
    redlock_lock *first = take(the->client, "r", NULL);
    taker *waiter =
        queued(the, the->other, 1, REDLOCK_OPTIONS(.wait_ms = LONG_MS, .claim_ms = 300));
    EXPECT(redlock_release(first), REDLOCK_OK);
    expect_taker(waiter, REDLOCK_OK);
    eventually(outlives_its_claim, waiter->lock);
    assert_in_range(redlock_remaining_ms(waiter->lock), 2001, 30000);
    taker_release(waiter);
}

/* ---- The end of a wait ------------------------------------------------------------------------*/

static void time_out(stage *the, int64_t wait_ms)
{
    redlock_lock *lock;
    EXPECT(redlock_acquire(the->other, "r", REDLOCK_OPTIONS(.wait_ms = wait_ms), &lock),
           REDLOCK_TIMED_OUT);
    assert_null(lock);
}

/* Pitfall 14. */
static void a_wait_ends_at_its_deadline(void **state)
{
    static const int64_t waits_ms[] = {1, 30, 200};
    stage *the = *state;
    redlock_lock *lock = take(the->client, "r", NULL);
    time_out(the, 100); /* its connections are made */
    for (size_t i = 0; i < 3; i++) PUNCTUAL(waits_ms[i] * 1000, time_out(the, waits_ms[i]));
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

/* A client over a link whose round trip takes 20 ms and more, connected, with its inbox open. */
static redlock_client *open_far_away(stage *the)
{
    redlock_client *far = stage_open_through(the);
    redlock_lock *lock = take(the->client, "far", NULL), *none;
    EXPECT(redlock_acquire(far, "far", REDLOCK_OPTIONS(.wait_ms = 100), &none), REDLOCK_TIMED_OUT);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    await_waiters(the, "far", 0);
    proxy_slow(the->proxy, 16384, 20000);
    return far;
}

static void a_free_lock_is_got_by_every_wait_from_0_on_over_a_slow_link(void **state)
{
    stage *the = *state;
    redlock_client *far = open_far_away(the);
    uint64_t cut = stats_of(far).connections_lost;
    uint64_t undone = stats_of(far).undone;
    for (int64_t wait_ms = 0; wait_ms <= 25; wait_ms += wait_ms < 3 ? 1 : 4)
        EXPECT(redlock_release(take(far, "r", REDLOCK_OPTIONS(.wait_ms = wait_ms))), REDLOCK_OK);
    assert_int_equal(stats_of(far).connections_lost, cut);
    assert_int_equal(stats_of(far).undone, undone);
    proxy_slow(the->proxy, 0, 0);
}

static void a_short_wait_for_a_taken_lock_ends_with_the_first_answer(void **state)
{
    stage *the = *state;
    redlock_client *far = open_far_away(the);
    redlock_lock *held = take(the->client, "r", NULL), *none;
    EXPECT(redlock_acquire(far, "r", REDLOCK_OPTIONS(.wait_ms = 1), &none), REDLOCK_TIMED_OUT);
    await_waiters(the, "r", 0);
    proxy_slow(the->proxy, 0, 0);
    EXPECT(redlock_release(held), REDLOCK_OK);
}

/* Pitfall 19. */
static void a_wait_that_timed_out_leaves_nothing_in_the_queue(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, "r", NULL);
    time_out(the, 100);
    await_waiters(the, "r", 0);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_free(the->client, "r");
}

static void a_cancel_ends_the_wait_and_leaves_nothing_in_the_queue(void **state)
{
    stage *the = *state;
    redlock_canceller *canceller;
    EXPECT(redlock_canceller_open(&canceller), REDLOCK_OK);
    redlock_lock *lock = take(the->client, "r", NULL);
    const redlock_options *options =
        REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER, .canceller = canceller);
    taker *one = queued(the, the->other, 1, options), *two = queued(the, the->client, 2, options);
    stall from = stall_begin();
    redlock_cancel(canceller);
    expect_taker(one, REDLOCK_CANCELLED);
    expect_taker(two, REDLOCK_CANCELLED);
    ENDED(&from, 0, SOON_MS * 1000);
    await_waiters(the, "r", 0);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    redlock_canceller_close(canceller);
}

static void a_wait_that_begins_cancelled_sends_nothing(void **state)
{
    stage *the = *state;
    redlock_canceller *canceller;
    redlock_lock *lock;
    EXPECT(redlock_canceller_open(&canceller), REDLOCK_OK);
    const redlock_options *options =
        REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER, .canceller = canceller);
    redlock_cancel(canceller);
    for (int i = 0; i < 2; i++)
        EXPECT(redlock_acquire(the->client, "r", options, &lock), REDLOCK_CANCELLED);
    assert_null(lock);
    assert_int_equal(stats_of(the->client).commands, 0);
    assert_int_equal(stats_of(the->client).cancelled, 2);
    redlock_canceller_reset(canceller);
    EXPECT(redlock_release(take(the->client, "r", options)), REDLOCK_OK);
    redlock_canceller_close(canceller);
}

/* Pitfall 19: granted to one that gave up, without its knowing. */
static void a_grant_to_a_waiter_that_gave_up_is_passed_on(void **state)
{
    stage *the = *state;
    redlock_client *through = stage_open_through(the);
    redlock_canceller *canceller;
    EXPECT(redlock_canceller_open(&canceller), REDLOCK_OK);
    redlock_lock *lock = take(the->client, "r", NULL);
    teach(the, SCRIPT_CANCEL);
    taker *deaf = queued(the, through, 1,
                         REDLOCK_OPTIONS(.wait_ms = LONG_MS, .claim_ms = LONG_MS, .ttl_ms = LONG_MS,
                                         .canceller = canceller));
    taker *next = queued(the, the->other, 2, FOR_EVER);
    proxy_hold(the->proxy, true);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    await_waiters(the, "r", 1);
    assert_false(taker_is_done(deaf));
    stall from = stall_begin();
    redlock_cancel(canceller);
    expect_taker(deaf, REDLOCK_CANCELLED);
    expect_soon(next, &from);
    proxy_hold(the->proxy, false);
    taker_release(next);
    redlock_canceller_close(canceller);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(waiters_are_served_in_the_order_of_their_arrival),
        ON_STAGE(nobody_overtakes_those_who_wait),
        ON_STAGE(a_handed_over_fence_is_above_one_that_the_clock_has_not_reached),
        ON_STAGE(a_hot_lock_costs_two_commands_a_section_however_many_wait),
        ON_STAGE(a_short_section_after_a_handover_never_renews_its_claim),
        ON_STAGE(a_handed_over_lease_grows_to_the_full_ttl),
        ON_STAGE(a_wait_ends_at_its_deadline),
        ON_STAGE(a_free_lock_is_got_by_every_wait_from_0_on_over_a_slow_link),
        ON_STAGE(a_short_wait_for_a_taken_lock_ends_with_the_first_answer),
        ON_STAGE(a_wait_that_timed_out_leaves_nothing_in_the_queue),
        ON_STAGE(a_cancel_ends_the_wait_and_leaves_nothing_in_the_queue),
        ON_STAGE(a_wait_that_begins_cancelled_sends_nothing),
        ON_STAGE(a_grant_to_a_waiter_that_gave_up_is_passed_on),
    };
    ACTOR_OR_TESTS(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
