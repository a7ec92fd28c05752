/* SPDX-License-Identifier: MIT
 * What goes between a client and its server: its price, its losses, and what can be seen of it. */
#include "live/stage.h"

/* ---- Price ------------------------------------------------------------------------------------*/

static void an_uncontended_pair_is_two_commands_and_two_writes(void **state)
{
    enum { PAIRS = 10 };
    stage *the = *state;
    expect_free(the->client, "r");
    redlock_stats before = stats_of(the->client);
    long long calls = server_calls(the->server, "evalsha");
    for (int i = 0; i < PAIRS; i++) expect_free(the->client, "r");
    redlock_stats after = stats_of(the->client);
    assert_int_equal(after.commands - before.commands, 2 * PAIRS);
    assert_int_equal(after.writes - before.writes, 2 * PAIRS);
    assert_int_equal(after.round_trip.count - before.round_trip.count, 2 * PAIRS);
    assert_int_equal(after.connections, 1);
    assert_int_equal(server_calls(the->server, "evalsha") - calls, 2 * PAIRS);
}

/* Pitfall 32. */
static void a_script_that_the_server_forgot_is_sent_again(void **state)
{
    stage *the = *state;
    expect_free(the->client, "r");
    freeReplyObject(server_command(the->server, "SCRIPT FLUSH"));
    redlock_stats before = stats_of(the->client);
    expect_free(the->client, "r");
    assert_int_equal(stats_of(the->client).commands - before.commands, 6);
    assert_int_equal(stats_of(the->client).writes - before.writes, 4);
    expect_free(the->client, "r");
    assert_int_equal(stats_of(the->client).commands - before.commands, 8);
    assert_int_equal(server_calls(the->server, "eval"), 0);
}

static void a_script_that_was_forgotten_while_the_lock_was_held_is_no_loss(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, "r", NULL);
    freeReplyObject(server_command(the->server, "SCRIPT FLUSH"));
    EXPECT(redlock_extend(lock, 60000), REDLOCK_OK);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

/* ---- Lost replies -----------------------------------------------------------------------------*/

/* Pitfall 10. */
static void an_acquire_whose_reply_was_lost_is_granted_once(void **state)
{
    stage *the = *state;
    redlock_client *through = stage_open_through(the);
    redlock_inspection *seen;
    expect_free(through, "warm");
    proxy_drop_reply_to(the->proxy, "{r}");
    redlock_lock *lock = take(through, "r", NULL);
    assert_true(proxy_has_dropped(the->proxy));
    EXPECT(redlock_inspect(the->other, "r", 1, &seen, NULL), REDLOCK_OK);
    assert_int_equal(seen->holders, 1);
    assert_int_equal(seen->fence, redlock_fence(lock));
    redlock_inspection_free(seen);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    assert_int_equal(stats_of(through).connections_lost, 1);
    expect_free(the->other, "r");
}

/* Pitfall 11. */
static void a_release_whose_reply_was_lost_is_done_and_not_lost(void **state)
{
    stage *the = *state;
    redlock_client *through = stage_open_through(the);
    expect_free(through, "warm");
    redlock_lock *lock = take(through, "r", NULL);
    proxy_drop_reply_to(the->proxy, "{r}");
    EXPECT(redlock_release(lock), REDLOCK_OK);
    assert_true(proxy_has_dropped(the->proxy));
    expect_free(the->other, "r");
}

/* Its second try finds the next owner there, and leaves it alone. */
static void a_release_whose_reply_was_lost_never_frees_the_next_owners_lock(void **state)
{
    stage *the = *state;
    redlock_client *through = stage_open_through(the);
    expect_free(through, "warm");
    redlock_lock *lock = take(through, "r", NULL);
    taker *next =
        taker_start(the, the->other, "r", REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER));
    await_waiters(the, "r", 1);
    proxy_drop_reply_to(the->proxy, "{r}");
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_taker(next, REDLOCK_OK);
    expect_taken(the->client, "r");
    taker_release(next);
}

static void an_extension_whose_reply_was_lost_is_done(void **state)
{
    stage *the = *state;
    redlock_client *through = stage_open_through(the);
    redlock_lock *lock = take(through, "r", REDLOCK_OPTIONS(.ttl_ms = 10000));
    EXPECT(redlock_extend(lock, 20000), REDLOCK_OK);
    proxy_drop_reply_to(the->proxy, "{r}");
    EXPECT(redlock_extend(lock, 60000), REDLOCK_OK);
    assert_true(proxy_has_dropped(the->proxy));
    assert_in_range(redlock_remaining_ms(lock), 50000, 60000);
    EXPECT(redlock_release(lock), REDLOCK_OK);
}

/* ---- Looking ----------------------------------------------------------------------------------*/

static void an_inspection_shows_who_holds_and_who_waits(void **state)
{
    stage *the = *state;
    redlock_client *named =
        stage_open(the, server_uri(the->server), REDLOCK_CLIENT_OPTIONS(.name = "billing"));
    redlock_inspection *seen;
    redlock_lock *lock = take(named, "r", NULL);
    taker *next =
        taker_start(the, the->other, "r", REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER));
    await_waiters(the, "r", 1);
    EXPECT(redlock_inspect(the->client, "r", 1, &seen, NULL), REDLOCK_OK);
    assert_int_equal(seen->holders, 1);
    assert_int_equal(seen->waiters, 1);
    assert_int_equal(seen->party_count, 2);
    assert_int_equal(seen->fence, redlock_fence(lock));
    assert_true(seen->parties[0].is_holder);
    assert_non_null(strstr(seen->parties[0].who, ":billing"));
    assert_false(seen->parties[1].is_holder);
    assert_in_range(seen->parties[1].waited_ms, 0, 30000);
    assert_string_not_equal(seen->parties[0].hold_id, seen->parties[1].hold_id);
    redlock_inspection_free(seen);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_taker(next, REDLOCK_OK);
    taker_release(next);
}

static void an_inspection_of_a_lock_that_never_was_is_empty(void **state)
{
    stage *the = *state;
    redlock_inspection *seen;
    EXPECT(redlock_inspect(the->client, "never", 5, &seen, NULL), REDLOCK_OK);
    assert_int_equal(seen->fence + seen->holders + seen->waiters + seen->party_count, 0);
    redlock_inspection_free(seen);
    assert_int_equal(server_number(the->server, "EXISTS redlock:{never}"), 0);
}

static void an_expired_holder_is_not_shown(void **state)
{
    stage *the = *state;
    redlock_inspection *seen;
    redlock_lock *lock = take(the->client, "r", REDLOCK_OPTIONS(.ttl_ms = brief_ms()));
    for (size_t holders = 1; holders > 0;) {
        EXPECT(redlock_inspect(the->other, "r", 1, &seen, NULL), REDLOCK_OK);
        holders = seen->holders;
        assert_int_equal(seen->party_count, holders);
        redlock_inspection_free(seen);
    }
    EXPECT(redlock_release(lock), REDLOCK_LOST);
}

static void the_statistics_count_every_outcome_once(void **state)
{
    stage *the = *state;
    redlock_lock *none;
    redlock_lock *lock = take(the->client, "r", NULL);
    expect_taken(the->client, "r");
    redlock_lock *strange = take(the->other, "t", NULL);
    EXPECT(redlock_acquire(the->client, "t", REDLOCK_OPTIONS(.wait_ms = 10), &none),
           REDLOCK_TIMED_OUT);
    EXPECT(redlock_release(strange), REDLOCK_OK);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    lock = take(the->client, "s", NULL);
    server_number(the->server, "DEL redlock:{s}");
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    redlock_stats seen = stats_of(the->client);
    assert_int_equal(seen.acquired, 2);
    assert_int_equal(seen.busy, 1);
    assert_int_equal(seen.timed_out, 1);
    assert_int_equal(seen.released, 1);
    assert_int_equal(seen.release_failed, 1);
    assert_int_equal(seen.wait.count, 2);
    assert_int_equal(seen.hold.count, 2);
    assert_int_equal(seen.handed_over + seen.cancelled + seen.failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(an_uncontended_pair_is_two_commands_and_two_writes),
        ON_STAGE(a_script_that_the_server_forgot_is_sent_again),
        ON_STAGE(a_script_that_was_forgotten_while_the_lock_was_held_is_no_loss),
        ON_STAGE(an_acquire_whose_reply_was_lost_is_granted_once),
        ON_STAGE(a_release_whose_reply_was_lost_is_done_and_not_lost),
        ON_STAGE(a_release_whose_reply_was_lost_never_frees_the_next_owners_lock),
        ON_STAGE(an_extension_whose_reply_was_lost_is_done),
        ON_STAGE(an_inspection_shows_who_holds_and_who_waits),
        ON_STAGE(an_inspection_of_a_lock_that_never_was_is_empty),
        ON_STAGE(an_expired_holder_is_not_shown),
        ON_STAGE(the_statistics_count_every_outcome_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
