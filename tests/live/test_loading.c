/* SPDX-License-Identifier: MIT
 * Scripts that the server does not know: loaded where it can be, sent with the question where not.
 * Commands are counted: one if the script is known, and three if it is loaded, EVALSHA, SCRIPT LOAD
 * and EVALSHA. */
#include "live/impostor.h"

enum { PAIR = 2, LOADS_OF_A_PAIR = 2 };

/* A lock that is taken and released; how many commands that took. */
static uint64_t pair_of(redlock_client *client)
{
    uint64_t before = stats_of(client).commands;
    expect_free(client, "r");
    return stats_of(client).commands - before;
}

/* ---- Servers that load ------------------------------------------------------------------ */

static void a_script_is_loaded_and_not_evaluated(void **state)
{
    stage *the = *state;
    assert_int_equal(pair_of(the->client), 2 * PAIR + LOADS_OF_A_PAIR);
    assert_int_equal(pair_of(the->other), PAIR);
    assert_int_equal(server_calls(the->server, "eval"), 0);
}

static void a_server_that_restarts_is_loaded_again(void **state)
{
    stage *the = *state;
    for (int i = 0; i < 3; i++) {
        expect_free(the->client, "r");
        server_restart(the->server);
    }
    expect_free(the->client, "r");
    assert_int_equal(server_calls(the->server, "eval"), 0);
    assert_int_equal(pair_of(the->client), PAIR);
}

static void a_renewal_loads_what_was_forgotten(void **state)
{
    stage *the = *state;
    redlock_lock *lock =
        take(the->client, "r",
             REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(300), .auto_renew = true));
    for (int i = 0; i < 3; i++) {
        renewals two_more = {the->client, stats_of(the->client).renewed + 2};
        server_order(the->server, "SCRIPT FLUSH");
        eventually(renewals_were_made, &two_more);
    }
    assert_true(redlock_is_held(lock));
    EXPECT(redlock_release(lock), REDLOCK_OK);
    assert_int_equal(server_calls(the->server, "eval"), 0);
    assert_int_equal(stats_of(the->client).renewal_retried, 0);
}

/* ---- Servers that refuse ---------------------------------------------------------------- */

static redlock_client *open_worker(stage *the)
{
    server_order(the->server, "ACL SETUSER worker on >secret ~* &* +@all -script");
    return stage_open(the, server_uri(the->server),
                      REDLOCK_CLIENT_OPTIONS(.user = "worker", .password = "secret", LOGGED(the)));
}

/* One refusal, which costs a load and a question; from then on EVAL. */
static void a_user_who_may_not_load_evaluates(void **state)
{
    stage *the = *state;
    redlock_client *worker = open_worker(the);
    expect_free(worker, "warm"); /* the greeting is counted, too */
    for (int i = 0; i < 3; i++) {
        server_order(the->server, "SCRIPT FLUSH");
        assert_int_equal(pair_of(worker), 2 * PAIR);
        assert_int_equal(pair_of(worker), PAIR);
    }
    assert_int_equal(server_calls(the->server, "eval"), 4 * PAIR);
}

/* Of all commands, since the server's start. */
static long long refusals_of(server *from)
{
    long long count = 0;
    redisReply *entries = server_command(from, "ACL LOG");
    for (size_t i = 0; i < entries->elements; i++)
        count += entries->element[i]->element[1]->integer;
    freeReplyObject(entries);
    return count;
}

static void a_refusal_is_tried_once_in_the_life_of_a_client(void **state)
{
    stage *the = *state;
    redlock_client *worker = open_worker(the);
    expect_free(worker, "r");
    redlock_lock *lock = take(
        worker, "r", REDLOCK_OPTIONS(.ttl_ms = patience_outlasting_ms(300), .auto_renew = true));
    server_order(the->server, "SCRIPT FLUSH");
    eventually(renewals_were_made, (&(renewals){worker, 2}));
    taker *beside = taker_start(the, worker, "s", REDLOCK_OPTIONS(.ttl_ms = 5000));
    expect_taker(beside, REDLOCK_OK);
    taker_release(beside);
    EXPECT(redlock_release(lock), REDLOCK_OK);
    assert_int_equal(refusals_of(the->server), 1);
}

/* ---- Peers that close ------------------------------------------------------------------- */

#define GRANT "*6\r\n:1\r\n:{nonce}\r\n:1000000\r\n:77\r\n:1\r\n:5000\r\n"

static void a_peer_that_closes_on_a_load_is_not_asked_to_load_a_third_time(void **state)
{
    stage *the = *state;
    impostor self;
    impostor_start(&self, the, GRANT, "");
    self.loaded = "{close}";
    redlock_client *client = stage_open(the, self.uri, REDLOCK_CLIENT_OPTIONS(.timeout_ms = 5000));
    expect_free(client, "r");
    assert_int_equal(stats_of(client).connections_lost, 2);
    assert_int_equal(pair_of(client), 2 * PAIR);
    assert_int_equal(stats_of(client).connections_lost, 2);
    stage_close(the, client);
    impostor_stop(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(a_script_is_loaded_and_not_evaluated),
        ON_STAGE(a_server_that_restarts_is_loaded_again),
        ON_STAGE(a_renewal_loads_what_was_forgotten),
        ON_STAGE(a_user_who_may_not_load_evaluates),
        ON_STAGE(a_refusal_is_tried_once_in_the_life_of_a_client),
        ON_STAGE(a_peer_that_closes_on_a_load_is_not_asked_to_load_a_third_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
