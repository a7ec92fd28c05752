/* SPDX-License-Identifier: MIT
 * A replica that has everything is promoted, and its clock is 2 s behind or ahead of its
 * primary's. Fences rise all the same. Leases were counted by the clock of the old primary: they
 * last longer by a clock that is behind, and end sooner by one that is ahead. */
#include "live/succession.h"

#define SEMAPHORE(...) SHARED(.permits = 1, __VA_ARGS__)

enum { BEHIND_MS = -2000, AHEAD_MS = 2000, SHORT_MS = 500, BRIEF_MS = 1500, RENEWED_MS = 9000 };

/* The primary dies when its replica has everything; the clients find the replica in its place. */
static void promote(succession *self)
{
    await_replica(self);
    server_kill(self->primary);
    server_order(self->replica, "REPLICAOF NO ONE");
    move_address(self, self->replica);
}

/* How long the server still keeps its only holder, asked by any client. */
static int64_t lease_there_ms(redlock_client *client)
{
    redlock_inspection *seen;
    EXPECT(redlock_inspect(client, name, strlen(name), &seen, NULL), REDLOCK_OK);
    assert_int_equal(seen->holders, 1);
    int64_t lease_ms = seen->parties[0].lease_ms;
    redlock_inspection_free(seen);
    return lease_ms;
}

/* ---- Who enters a free lock -------------------------------------------------------------------*/

static uint64_t fence_of_a_visit(redlock_client *client, const redlock_options *options)
{
    redlock_lock *lock = take(client, name, options);
    uint64_t fence = redlock_fence(lock);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    return fence;
}

static void expect_rising_fences_over_a_promotion(succession *the, const redlock_options *options)
{
    uint64_t before = fence_of_a_visit(the->stage.client, options);
    promote(the);
    uint64_t after = fence_of_a_visit(the->stage.other, options);
    assert_true(after > before);
    assert_true(fence_of_a_visit(the->stage.client, options) > after);
}

static void a_writer_has_a_higher_fence_after_a_promotion(void **state)
{
    expect_rising_fences_over_a_promotion(*state, EXCLUSIVE());
}

static void a_reader_has_a_higher_fence_after_a_promotion(void **state)
{
    expect_rising_fences_over_a_promotion(*state, SHARED());
}

static void the_next_holder_of_the_only_permit_has_a_higher_fence_after_a_promotion(void **state)
{
    expect_rising_fences_over_a_promotion(*state, SEMAPHORE());
}

/* ---- Who holds it meanwhile -------------------------------------------------------------------*/

static void a_hold_renewed_after_a_promotion_is_believed_no_longer_than_it_lasts(void **state)
{
    succession *the = *state;
    redlock_lock *lock = take(the->stage.client, name, EXCLUSIVE());
    uint64_t before = redlock_fence(lock);
    promote(the);
    EXPECT(redlock_extend(lock, 2 * LONG_MS), REDLOCK_OK);
    int64_t lease_ms = lease_there_ms(the->stage.other);
    assert_in_range(lease_ms, LONG_MS, 2 * LONG_MS);
    assert_in_range(redlock_remaining_ms(lock), 1, lease_ms);
    assert_true(redlock_fence(lock) == before);
    expect_taken(the->stage.other, name);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    assert_true(fence_of_a_visit(the->stage.other, EXCLUSIVE()) > before);
}

static bool has_renewed(void *client) { return stats_of(client).renewed > 0; }

static void a_lock_that_is_renewed_in_the_background_is_not_lost_to_a_promotion(void **state)
{
    succession *the = *state;
    const redlock_options *options = REDLOCK_OPTIONS(.ttl_ms = RENEWED_MS, .auto_renew = true);
    redlock_lock *lock = take(the->stage.client, name, options);
    promote(the);
    eventually(has_renewed, the->stage.client);
    assert_in_range(redlock_remaining_ms(lock), 1, RENEWED_MS);
    expect_taken(the->stage.other, name);
    assert_int_equal(stats_of(the->stage.client).lost, 0);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

static void each_conversion_after_a_promotion_has_a_higher_fence(void **state)
{
    succession *the = *state;
    redlock_lock *lock = take(the->stage.client, name, EXCLUSIVE());
    uint64_t last = redlock_fence(lock);
    promote(the);
    for (int i = 0; i < 4; i++) {
        EXPECT(i % 2 == 0 ? redlock_downgrade(lock) : redlock_upgrade(lock), REDLOCK_OK);
        assert_int_equal(redlock_lock_mode(lock), i % 2 == 0 ? REDLOCK_SHARED : REDLOCK_EXCLUSIVE);
        assert_true(redlock_is_held(lock));
        assert_true(redlock_fence(lock) > last);
        last = redlock_fence(lock);
        EXPECT(attempt(the->stage.other, EXCLUSIVE()), REDLOCK_BUSY);
    }
    EXPECT(redlock_release(lock), REDLOCK_OK);
    assert_true(fence_of_a_visit(the->stage.other, SHARED()) > last);
}

static void who_enters_beside_a_reader_after_a_promotion_has_its_fence(void **state)
{
    succession *the = *state;
    redlock_lock *lock = take(the->stage.client, name, SHARED());
    uint64_t before = redlock_fence(lock);
    promote(the);
    redlock_lock *beside = take(the->stage.other, name, SHARED());
    assert_true(redlock_fence(beside) == before);
    EXPECT(redlock_upgrade(lock), REDLOCK_DEADLOCK);
    assert_int_equal(redlock_lock_mode(lock), REDLOCK_SHARED);
    EXPECT(redlock_release(beside), REDLOCK_OK);
    EXPECT(redlock_upgrade(lock), REDLOCK_OK);
    assert_true(redlock_fence(lock) > before);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

/* The first who waits can be told: the inbox that it queued with is the one that somebody hears. */
static bool first_waiter_is_heard(void *node)
{
    redisReply *inboxes = server_command(node, "PUBSUB CHANNELS");
    redisReply *first = server_command(node, "ZRANGE redlock:{r} 100000000000000 +inf BYSCORE");
    bool is_heard = inboxes->elements == 1 && first->elements == 1 &&
                    strstr(first->element[0]->str, inboxes->element[0]->str) != NULL;
    freeReplyObject(inboxes);
    freeReplyObject(first);
    return is_heard;
}

static void who_waits_over_a_promotion_is_handed_the_lock_with_a_higher_fence(void **state)
{
    succession *the = *state;
    redlock_lock *lock = take(the->stage.client, name, EXCLUSIVE());
    uint64_t before = redlock_fence(lock);
    taker *next = queued(&the->stage, the->stage.other, 1, EXCLUSIVE(PATIENT));
    promote(the);
    eventually(first_waiter_is_heard, the->replica);
    stall freed = stall_begin();
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_soon(next, &freed);
    assert_int_equal(stats_of(the->stage.other).handed_over, 1);
    assert_true(redlock_fence(next->lock) > before);
    taker_release(next);
}

/* ---- Leases by the other clock ----------------------------------------------------------------*/

static void by_a_clock_behind_nobody_enters_while_the_holder_believes(void **state)
{
    succession *the = *state;
    redlock_lock *lock = take(the->stage.client, name, REDLOCK_OPTIONS(.ttl_ms = SHORT_MS));
    promote(the);
    redlock_lock *next = take(the->stage.other, name, EXCLUSIVE(PATIENT));
    assert_false(redlock_is_held(lock));
    assert_true(redlock_fence(next) > redlock_fence(lock));
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    EXPECT(redlock_release(next), REDLOCK_OK);
}

static void by_a_clock_ahead_a_lease_ends_sooner(void **state)
{
    succession *the = *state;
    redlock_lock *lock = take(the->stage.client, name, EXCLUSIVE());
    promote(the);
    assert_in_range(lease_there_ms(the->stage.other), 1, LONG_MS - AHEAD_MS);
    EXPECT(attempt(the->stage.other, EXCLUSIVE()), REDLOCK_BUSY);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

static void a_holder_whose_lease_a_clock_ahead_has_ended_stops_to_believe_when_it_asks(void **state)
{
    succession *the = *state;
    redlock_lock *lock = take(the->stage.client, name, REDLOCK_OPTIONS(.ttl_ms = BRIEF_MS));
    promote(the);
    EXPECT(redlock_extend(lock, LONG_MS), REDLOCK_LOST);
    assert_false(redlock_is_held(lock));
    assert_true(fence_of_a_visit(the->stage.other, EXCLUSIVE()) > redlock_fence(lock));
    EXPECT(redlock_release(lock), REDLOCK_LOST);
}

/* The old holder may believe for as long as it does not ask about its hold; only its fence keeps
 * it out. It has met the new server before it releases: a release that is lost with a connection
 * is taken for done. */
static void who_enters_what_a_clock_ahead_has_freed_has_a_higher_fence_and_keeps_it(void **state)
{
    succession *the = *state;
    redlock_lock *lock = take(the->stage.client, name, REDLOCK_OPTIONS(.ttl_ms = BRIEF_MS));
    promote(the);
    redlock_lock *next = take(the->stage.other, name, EXCLUSIVE());
    assert_true(redlock_fence(next) > redlock_fence(lock));
    assert_in_range(lease_there_ms(the->stage.client), 1, LONG_MS);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    assert_true(redlock_is_held(next));
    EXPECT(redlock_release(next), REDLOCK_OK);
}

static struct CMUnitTest by_clock(const char *title, CMUnitTestFunction test, const int64_t *ms)
{
    void *state = (void *)(uintptr_t)ms;
    return (struct CMUnitTest){title, test, succession_begin, succession_end, state};
}

#define BY_CLOCK(test, clock) by_clock(#test " [" #clock "]", test, &(clock))
#define BY_BOTH(test) BY_CLOCK(test, behind), BY_CLOCK(test, ahead)

int main(void)
{
    static const int64_t behind = BEHIND_MS, ahead = AHEAD_MS;
    const struct CMUnitTest tests[] = {
        BY_BOTH(a_writer_has_a_higher_fence_after_a_promotion),
        BY_BOTH(a_reader_has_a_higher_fence_after_a_promotion),
        BY_BOTH(the_next_holder_of_the_only_permit_has_a_higher_fence_after_a_promotion),
        BY_BOTH(a_hold_renewed_after_a_promotion_is_believed_no_longer_than_it_lasts),
        BY_BOTH(a_lock_that_is_renewed_in_the_background_is_not_lost_to_a_promotion),
        BY_BOTH(each_conversion_after_a_promotion_has_a_higher_fence),
        BY_BOTH(who_enters_beside_a_reader_after_a_promotion_has_its_fence),
        BY_BOTH(who_waits_over_a_promotion_is_handed_the_lock_with_a_higher_fence),
        BY_CLOCK(by_a_clock_behind_nobody_enters_while_the_holder_believes, behind),
        BY_CLOCK(by_a_clock_ahead_a_lease_ends_sooner, ahead),
        BY_CLOCK(a_holder_whose_lease_a_clock_ahead_has_ended_stops_to_believe_when_it_asks, ahead),
        BY_CLOCK(who_enters_what_a_clock_ahead_has_freed_has_a_higher_fence_and_keeps_it, ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
