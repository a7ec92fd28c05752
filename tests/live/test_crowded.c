/* SPDX-License-Identifier: MIT
 * More threads than connections: a client's own bound, and a server that has no room. Calls that
 * have none of their own are carried by the keeper, and nobody waits for another. */
#include "live/modes_stage.h"

#include "api/client.h"

enum {
    MAX_CLIENTS = 40,
    THREADS = 50,
    FEWEST = 4, /* connections: one blocking call at a time has its own */
    LEASE_MS = 1500,
    REST_US = 61 * 1000000
};

static redlock_client *open_narrow(stage *the)
{
    return stage_open(the, server_uri(the->server),
                      REDLOCK_CLIENT_OPTIONS(.max_connections = FEWEST, LOGGED(the)));
}

static redlock_lock *busy;

/* Somebody waits on the only lane of a client, and goes on doing so. */
static redlock_client *open_occupied(stage *the)
{
    redlock_client *client = open_narrow(the);
    busy = take(the->other, "busy", EXCLUSIVE());
    taker_start(the, client, "busy", FOR_EVER);
    await_waiters(the, "busy", 1);
    return client;
}

static void free_the_occupied(stage *the)
{
    EXPECT(redlock_release(busy), REDLOCK_OK);
    for (taker *each = the->takers; each != NULL; each = each->next) {
        if (strcmp(each->name, "busy") != 0) continue;
        expect_taker(each, REDLOCK_OK);
        taker_release(each);
    }
}

/* ---- More waiters than the server has room for ---- */

static taker *next_served(stage *the)
{
    taker *at = the->takers;
    while (at != NULL && !(taker_is_done(at) && at->lock != NULL)) at = at->next;
    return at;
}

static bool somebody_is_served(void *the) { return next_served(the) != NULL; }

/* So many of those who wait have it, one after the other. */
static void release_in_turn(stage *the, int count)
{
    for (int served = 0; served < count; served++) {
        eventually(somebody_is_served, the);
        taker *next = next_served(the);
        expect_taker(next, REDLOCK_OK);
        taker_release(next);
    }
}

static void start_all(stage *the, redlock_client *client, const char *which, int64_t claim_ms)
{
    const redlock_options *options =
        REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER, .ttl_ms = LONG_MS, .claim_ms = claim_ms);
    for (int i = 0; i < THREADS; i++) taker_start(the, client, which, options);
}

static int stage_begin_full(void **state) { return stage_begin_with(state, "--maxclients 40"); }

static void fifty_threads_are_served_and_a_lock_elsewhere_is_kept(void **state)
{
    stage *the = *state;
    actor_start(the, "kept", (int)patience_outlasting_ms(LEASE_MS), 0, true);
    await_holders(the, "kept", 1);
    redlock_lock *held = take(the->client, "r", EXCLUSIVE());
    start_all(the, the->client, "r", LONG_MS);
    await_waiters(the, "r", THREADS);
    assert_true(stage_connections(the) <= MAX_CLIENTS);
    EXPECT(redlock_release(held), REDLOCK_OK);
    release_in_turn(the, THREADS);
    expect_taken(the->other, "kept");
}

/* The bound is the server's then. Those for whom it has no inbox ask now and then. */
static void a_client_that_wants_more_than_there_is_makes_do(void **state)
{
    stage *the = *state;
    redlock_client *greedy =
        stage_open(the, server_uri(the->server),
                   REDLOCK_CLIENT_OPTIONS(.max_connections = 10000, LOGGED(the)));
    actor_start(the, "kept", (int)patience_outlasting_ms(LEASE_MS), 0, true);
    await_holders(the, "kept", 1);
    redlock_lock *own = take(greedy, "own", REDLOCK_OPTIONS(.auto_renew = true));
    redlock_lock *held = take(greedy, "r", EXCLUSIVE());
    start_all(the, greedy, "r", SOON_MS);
    eventually(has_refused_somebody, the->server);
    EXPECT(redlock_release(held), REDLOCK_OK);
    release_in_turn(the, THREADS);
    EXPECT(redlock_release(own), REDLOCK_OK);
    stage_close(the, greedy);
    expect_taken(the->other, "kept");
}

/* The keeper has its connection, and nobody else gets one. */
static void a_release_without_a_connection_is_carried(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->client, "r", REDLOCK_OPTIONS(.auto_renew = true));
    renewals once = {the->client, 1};
    EXPECT(redlock_extend(lock, LEASE_MS), REDLOCK_OK);
    eventually(renewals_were_made, &once);
    long long most = stage_connections(the);
    server_order(the->server, "CONFIG SET maxclients %lld", most - 1);
    pool *lanes = &the->client->lanes;
    lane_close(lanes->idle, now_us());
    EXPECT(redlock_release(lock), REDLOCK_OK);
    assert_int_equal(stage_holders(the, "r"), 0);
    assert_int_equal(lanes->count, 0);
}

static void ends_somehow(void *arg, redlock_status status, redlock_lock *lock)
{
    (void)arg, (void)status;
    redlock_release_async(lock, NULL, NULL);
}

/* The keeper has both of its connections; there is one for commands here, and no other. Whoever
 * only asks now and then is never in the line. */
static void a_waiter_without_an_inbox_is_carried(void **state)
{
    stage *the = *state;
    redlock_lock *held = take(the->other, "r", EXCLUSIVE());
    EXPECT(redlock_acquire_async(the->client, "r", 1, FOR_EVER, ends_somehow, NULL, NULL),
           REDLOCK_OK);
    await_waiters(the, "r", 1);
    EXPECT(attempt(the->client, EXCLUSIVE()), REDLOCK_BUSY);
    server_order(the->server, "CONFIG SET maxclients %lld", stage_connections(the));
    taker *waits = taker_start(the, the->client, "r", FOR_EVER);
    await_waiters(the, "r", 2);
    EXPECT(redlock_release(held), REDLOCK_OK);
    expect_taker(waits, REDLOCK_OK);
}

/* ---- A client's own bound ---- */

static void a_client_keeps_its_bound(void **state)
{
    stage *the = *state;
    long long before = stage_connections(the);
    redlock_client *client = open_narrow(the);
    redlock_lock *held = take(client, "r", EXCLUSIVE());
    start_all(the, client, "r", LONG_MS);
    await_waiters(the, "r", THREADS);
    assert_true(stage_connections(the) <= before + 1 + FEWEST); /* one is the stage's own */
    EXPECT(redlock_release(held), REDLOCK_OK);
    release_in_turn(the, THREADS);
}

static void every_call_is_carried_as_well(void **state)
{
    stage *the = *state;
    redlock_client *client = open_occupied(the);
    redlock_set *set;
    redlock_inspection *seen;
    size_t removed;
    redlock_lock *lock = take(client, "r", REDLOCK_OPTIONS(.reentrant = true));
    EXPECT(redlock_extend(lock, LONG_MS), REDLOCK_OK);
    assert_ptr_equal(take(client, "r", REDLOCK_OPTIONS(.reentrant = true)), lock);
    EXPECT(redlock_downgrade(lock), REDLOCK_OK);
    EXPECT(redlock_upgrade(lock), REDLOCK_OK);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_taken(the->other, "r");
    EXPECT(redlock_inspect(client, "r", 1, &seen, NULL), REDLOCK_OK);
    redlock_inspection_free(seen);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    static const redlock_name_bytes names[] = {{"a", 1}, {"b", 1}, {"c", 1}};
    EXPECT(redlock_acquire_set(client, names, 3, EXCLUSIVE(), &set), REDLOCK_OK);
    EXPECT(redlock_release_set(set), REDLOCK_OK);
    redlock_lock *gone = take(client, "r", EXCLUSIVE());
    EXPECT(redlock_force_release(client, "r", 1, &removed, NULL), REDLOCK_OK);
    assert_int_equal(removed, 1);
    EXPECT(redlock_release(gone), REDLOCK_LOST);
    free_the_occupied(the);
}

static void a_try_does_not_stand_behind_those_who_wait(void **state)
{
    stage *the = *state;
    redlock_client *client = open_occupied(the);
    start_all(the, client, "busy", LONG_MS);
    await_waiters(the, "busy", THREADS + 1);
    stall began = stall_begin();
    expect_free(client, "r");
    redlock_lock *none;
    EXPECT(redlock_acquire(client, "busy", EXCLUSIVE(), &none), REDLOCK_BUSY);
    ENDED(&began, 0, SOON_MS * 1000);
    EXPECT(redlock_release(busy), REDLOCK_OK);
    release_in_turn(the, THREADS + 1);
}

static void a_wait_that_is_carried_ends_in_its_time(void **state)
{
    stage *the = *state;
    redlock_client *client = open_occupied(the);
    redlock_lock *none;
    PUNCTUAL(brief_ms() * 1000,
             EXPECT(redlock_acquire(client, "busy", REDLOCK_OPTIONS(.wait_ms = brief_ms()), &none),
                    REDLOCK_TIMED_OUT));
    await_waiters(the, "busy", 1);
    free_the_occupied(the);
}

static void a_wait_that_is_carried_can_be_cancelled(void **state)
{
    stage *the = *state;
    redlock_client *client = open_occupied(the);
    redlock_canceller *canceller;
    EXPECT(redlock_canceller_open(&canceller), REDLOCK_OK);
    taker *waits =
        taker_start(the, client, "busy",
                    REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER, .canceller = canceller));
    await_waiters(the, "busy", 2);
    redlock_cancel(canceller);
    expect_taker(waits, REDLOCK_CANCELLED);
    await_waiters(the, "busy", 1);
    redlock_canceller_close(canceller);
    strcpy(waits->name, "over");
    free_the_occupied(the);
}

/* It extends the hold, and the server does not answer. */
static void an_entry_that_is_carried_can_be_cancelled(void **state)
{
    stage *the = *state;
    redlock_client *client = open_occupied(the);
    redlock_canceller *canceller;
    EXPECT(redlock_canceller_open(&canceller), REDLOCK_OK);
    redlock_lock *lock =
        take(client, "r", REDLOCK_OPTIONS(.reentrant = true, .owner = "me", .ttl_ms = LONG_MS / 2));
    server_freeze(the->server);
    taker *enters = taker_start(the, client, "r",
                                REDLOCK_OPTIONS(.reentrant = true, .owner = "me",
                                                .wait_ms = REDLOCK_WAIT_FOREVER, .ttl_ms = LONG_MS,
                                                .canceller = canceller));
    redlock_cancel(canceller);
    expect_taker(enters, REDLOCK_CANCELLED);
    server_thaw(the->server);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    redlock_canceller_close(canceller);
    free_the_occupied(the);
}

static void an_extension_that_is_carried_ends_with_the_lease(void **state)
{
    stage *the = *state;
    redlock_client *client = open_occupied(the);
    redlock_lock *lock = take(client, "r", REDLOCK_OPTIONS(.ttl_ms = brief_ms()));
    server_freeze(the->server);
    int64_t due_us = redlock_remaining_ms(lock) * 1000;
    PUNCTUAL(due_us, EXPECT(redlock_extend(lock, LONG_MS), REDLOCK_LOST));
    server_thaw(the->server);
    EXPECT(redlock_release(lock), REDLOCK_LOST);
    free_the_occupied(the);
}

static void a_close_ends_what_is_carried(void **state)
{
    stage *the = *state;
    redlock_client *client = open_occupied(the);
    taker *waits = taker_start(the, client, "busy", FOR_EVER);
    await_waiters(the, "busy", 2);
    stage_close(the, client);
    expect_taker(waits, REDLOCK_ERR_CLOSED);
    await_waiters(the, "busy", 0);
    EXPECT(redlock_release(busy), REDLOCK_OK);
}

static void a_failure_of_what_is_carried_has_its_words(void **state)
{
    stage *the = *state;
    redlock_client *client = open_occupied(the);
    redlock_detail detail;
    redlock_lock *none;
    server_order(the->server, "SET redlock:{r} 1");
    EXPECT(redlock_acquire(client, "r", REDLOCK_OPTIONS(.detail = &detail), &none),
           REDLOCK_ERR_WRONG_TYPE);
    assert_non_null(strstr(detail.text, "WRONGTYPE"));
    free_the_occupied(the);
}

/* ---- Rest ---- */

static void a_lane_that_rested_for_a_minute_is_given_up(void **state)
{
    stage *the = *state;
    pool *lanes = &the->client->lanes;
    taker *waits = taker_start(the, the->client, "r", FOR_EVER);
    expect_taker(waits, REDLOCK_OK);
    taker *another = taker_start(the, the->client, "r", FOR_EVER);
    await_waiters(the, "r", 1);
    taker_release(waits);
    expect_taker(another, REDLOCK_OK);
    taker_release(another);
    assert_int_equal(lanes->count, 2);
    lanes->idle->next->used_us -= REST_US;
    expect_free(the->client, "other");
    assert_int_equal(lanes->count, 1);
    assert_null(lanes->idle->next);
}

#define ON_FULL_STAGE(name) cmocka_unit_test_setup_teardown(name, stage_begin_full, stage_end)

int main(int argc, char **argv)
{
    ACTOR_OR_TESTS(argc, argv);
    const struct CMUnitTest tests[] = {
        ON_FULL_STAGE(fifty_threads_are_served_and_a_lock_elsewhere_is_kept),
        ON_FULL_STAGE(a_client_that_wants_more_than_there_is_makes_do),
        ON_STAGE(a_release_without_a_connection_is_carried),
        ON_STAGE(a_waiter_without_an_inbox_is_carried),
        ON_STAGE(a_client_keeps_its_bound),
        ON_STAGE(every_call_is_carried_as_well),
        ON_STAGE(a_try_does_not_stand_behind_those_who_wait),
        ON_STAGE(a_wait_that_is_carried_ends_in_its_time),
        ON_STAGE(a_wait_that_is_carried_can_be_cancelled),
        ON_STAGE(an_entry_that_is_carried_can_be_cancelled),
        ON_STAGE(an_extension_that_is_carried_ends_with_the_lease),
        ON_STAGE(a_close_ends_what_is_carried),
        ON_STAGE(a_failure_of_what_is_carried_has_its_words),
        ON_STAGE(a_lane_that_rested_for_a_minute_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
