/* SPDX-License-Identifier: MIT
 * A server that was away, and is back: whoever can still be served is, whatever was tried in vain
 * meanwhile. */
#include "live/modes_stage.h"

enum {
    AWAY_MS = 8000,
    BRIEF_TTL_MS = 600,
    LOCKS = 20,
    RENEWALS = 3,
    LAST_TTL_MS = 3000,
    LAST_MS = 700,
    ROUNDS = 4 /* the old backoff might have been short by chance */
};

/* Something is owed to a server that is away: the keeper tries to connect, ever more seldom. */
static void owe_something(stage *the)
{
    redlock_lock *lock = take(the->client, "owed", EXCLUSIVE());
    server_kill(the->server);
    assert_int_not_equal(redlock_release(lock), REDLOCK_OK);
}

static void locks_that_are_taken_at_its_return_are_kept(void **state)
{
    stage *the = *state;
    redlock_lock *locks[LOCKS];
    const redlock_options *options =
        REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(BRIEF_TTL_MS), .auto_renew = true);
    owe_something(the);
    let_pass_ms(AWAY_MS);
    server_restart(the->server);
    for (int i = 0; i < LOCKS; i++) {
        char each[16];
        snprintf(each, sizeof each, "r%d", i);
        locks[i] = take(the->client, each, options);
    }
    renewals all = {the->client, LOCKS * RENEWALS};
    eventually(renewals_were_made, &all);
    for (int i = 0; i < LOCKS; i++) EXPECT(redlock_release(locks[i]), REDLOCK_OK);
    assert_int_equal(stats_of(the->client).lost, 0);
}

/* Nobody but the keeper connects, and its backoff ends after the lease. */
static void a_lease_that_ends_soon_is_tried_for_more_often(void **state)
{
    stage *the = *state;
    redlock_client *client = stage_open_through(the);
    int64_t scale = patience_outlasting_ms(1);
    int rounds = patience_is_instrumented() ? 1 : ROUNDS;
    for (int i = 0; i < rounds; i++) {
        redlock_lock *lock =
            take(client, "r", REDLOCK_OPTIONS(.ttl_ms = LAST_TTL_MS * scale, .auto_renew = true));
        renewals next = {client, stats_of(client).renewed + 1};
        proxy_refuse(the->proxy, true);
        proxy_cut(the->proxy);
        while (redlock_remaining_ms(lock) > LAST_MS * scale) patience_pause();
        proxy_refuse(the->proxy, false);
        eventually(renewals_were_made, &next);
        EXPECT(redlock_release(lock), REDLOCK_OK);
    }
    assert_int_equal(stats_of(client).lost, 0);
}

/* The client's first connection is the last that the server allows. */
static void who_gets_no_inbox_has_the_lock_once_it_is_free(void **state)
{
    stage *the = *state;
    redlock_lock *lock = take(the->other, "r", EXCLUSIVE());
    EXPECT(attempt(the->client, EXCLUSIVE()), REDLOCK_BUSY);
    server_order(the->server, "CONFIG SET maxclients %lld", stage_connections(the));
    taker *next =
        taker_start(the, the->client, "r", EXCLUSIVE(.wait_ms = LONG_MS, .claim_ms = SOON_MS / 2));
    eventually(has_refused_somebody, the->server);
    stall freed = stall_begin();
    EXPECT(redlock_release(lock), REDLOCK_OK);
    expect_soon(next, &freed);
    taker_release(next);
}

static bool has_two_connections(void *client) { return stats_of(client).connections == 2; }

/* Long before anything is to be renewed; and then others take the last connection of the server. */
static void who_renews_has_a_connection_from_the_first_lock_on(void **state)
{
    stage *the = *state;
    redlock_lock *first =
        take(the->client, "first", REDLOCK_OPTIONS(.ttl_ms = 10 * LONG_MS, .auto_renew = true));
    eventually(has_two_connections, the->client);
    server_order(the->server, "CONFIG SET maxclients %lld", stage_connections(the));
    redlock_lock *lock =
        take(the->client, "r",
             REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(BRIEF_TTL_MS), .auto_renew = true));
    renewals those = {the->client, RENEWALS};
    eventually(renewals_were_made, &those);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    EXPECT(redlock_release(first), REDLOCK_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(locks_that_are_taken_at_its_return_are_kept),
        ON_STAGE(a_lease_that_ends_soon_is_tried_for_more_often),
        ON_STAGE(who_gets_no_inbox_has_the_lock_once_it_is_free),
        ON_STAGE(who_renews_has_a_connection_from_the_first_lock_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
