/* SPDX-License-Identifier: MIT
 * Renewal on a server that refuses, forgets or hangs up for a while: nothing of that is the loss of
 * a lock. */
#include <stdio.h>
#include <sys/stat.h>

#include "support/witness.h"

enum { TTL_MS = 900 };

typedef struct fixture {
    server *server;
    redlock_client *client;
    redlock_lock *lock;
    redlock_stats before;
} fixture;

static int start(void **state)
{
    static fixture the;
    the = (fixture){.server = server_start("--enable-debug-command yes")};
    *state = &the;
    redlock_status status = redlock_open(server_uri(the.server),
                                         REDLOCK_CLIENT_OPTIONS(.timeout_ms = 500), &the.client);
    if (status != REDLOCK_OK) return status;
    return redlock_acquire(the.client, "r", REDLOCK_OPTIONS(.ttl_ms = TTL_MS, .auto_renew = true),
                           &the.lock);
}

static int stop(void **state)
{
    fixture *the = *state;
    redlock_status closed = redlock_close(the->client);
    server_stop(the->server);
    return closed;
}

static bool has_renewed(void *arg)
{
    const fixture *the = arg;
    return stats_of(the->client).renewed > the->before.renewed;
}

static bool has_retried(void *arg)
{
    const fixture *the = arg;
    return stats_of(the->client).renewal_retried > the->before.renewal_retried;
}

static void order(fixture *the, const char *command)
{
    redisReply *answer = server_command(the->server, command);
    if (answer->type == REDIS_REPLY_ERROR) fail_msg("%s: %s", command, answer->str);
    freeReplyObject(answer);
}

static void await_one(fixture *the, bool (*is_so)(void *arg))
{
    the->before = stats_of(the->client);
    eventually(is_so, the);
}

static void assert_kept(fixture *the)
{
    await_one(the, has_renewed);
    assert_true(redlock_is_held(the->lock));
    assert_int_equal(server_holders(the->server, "r"), 1);
    assert_int_equal(stats_of(the->client).lost, 0);
    assert_int_equal(redlock_release(the->lock), REDLOCK_OK);
}

/* Pitfall 27: a refusal of this kind is retried until it ends. */
static void rides_out(fixture *the, const char *begin, const char *end, const char *error)
{
    order(the, begin);
    await_one(the, has_retried);
    order(the, end);
    assert_kept(the);
    if (server_errors(the->server, error) == 0) fail_msg("the server never said %s", error);
}

static void a_replica_that_refuses_writes_is_not_a_loss(void **state)
{
    rides_out(*state, "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "READONLY");
}

static void a_replica_without_its_master_is_not_a_loss(void **state)
{
    fixture *the = *state;
    order(the, "CONFIG SET replica-serve-stale-data no");
    rides_out(the, "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "MASTERDOWN");
}

static void too_few_replicas_are_not_a_loss(void **state)
{
    rides_out(*state, "CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0",
              "NOREPLICAS");
}

static bool has_failed_to_save(void *arg)
{
    redisReply *answer = server_command(((fixture *)arg)->server, "INFO persistence");
    bool has_failed = strstr(answer->str, "rdb_last_bgsave_status:err") != NULL;
    freeReplyObject(answer);
    return has_failed;
}

/* A directory is where the dump would go. */
static void a_server_that_cannot_save_is_not_a_loss(void **state)
{
    fixture *the = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/dump.rdb", server_directory(the->server));
    if (mkdir(path, 0700) != 0) fail_msg("mkdir %s", path);
    server_number(the->server, "CONFIG SET save %s", "86400 1000000");
    order(the, "BGSAVE");
    eventually(has_failed_to_save, the);
    await_one(the, has_retried);
    order(the, "CONFIG SET stop-writes-on-bgsave-error no");
    assert_kept(the);
    assert_true(server_errors(the->server, "MISCONF") > 0);
}

/* It may refuse, or serve a script that begins with a harmless write; it must not lose. */
static void a_server_out_of_memory_is_not_a_loss(void **state)
{
    fixture *the = *state;
    order(the, "CONFIG SET maxmemory 1");
    let_pass(the->server, TTL_MS / 2);
    assert_true(redlock_is_held(the->lock));
    order(the, "CONFIG SET maxmemory 0");
    assert_kept(the);
}

static void a_script_that_never_ends_is_not_a_loss(void **state)
{
    fixture *the = *state;
    order(the, "CONFIG SET busy-reply-threshold 10");
    redisContext *busy = redisConnectUnix(server_socket(the->server));
    int is_written = 0;
    redisAppendCommand(busy, "EVAL %s 0", "while true do end");
    while (!is_written) assert_int_equal(redisBufferWrite(busy, &is_written), REDIS_OK);
    await_one(the, has_retried);
    order(the, "SCRIPT KILL");
    assert_kept(the);
    redisFree(busy);
    assert_true(server_errors(the->server, "BUSY") > 0);
}

/* The keys come back with their leases, and some hundred others make it last. */
static void a_server_that_loads_is_not_a_loss(void **state)
{
    fixture *the = *state;
    order(the, "DEBUG POPULATE 200 filler 1000");
    order(the, "CONFIG SET loading-process-events-interval-bytes 1024");
    order(the, "CONFIG SET key-load-delay 2000");
    the->before = stats_of(the->client);
    order(the, "DEBUG RELOAD");
    assert_true(has_retried(the));
    assert_kept(the);
    assert_true(server_errors(the->server, "LOADING") > 0);
}

static void a_server_that_sleeps_for_half_a_lease_is_not_a_loss(void **state)
{
    fixture *the = *state;
    for (int round = 0; round < 3; round++) {
        await_one(the, has_renewed);
        order(the, "DEBUG SLEEP 0.4");
        assert_true(redlock_is_held(the->lock));
    }
    assert_kept(the);
}

/* Pitfall 32 */
static void forgotten_scripts_are_loaded_again(void **state)
{
    fixture *the = *state;
    for (int round = 0; round < 4; round++) {
        order(the, "SCRIPT FLUSH");
        await_one(the, has_renewed);
        assert_true(redlock_is_held(the->lock));
    }
    assert_true(server_errors(the->server, "NOSCRIPT") > 0);
    assert_kept(the);
}

/* Pitfall 24 */
static void killed_connections_are_made_again_before_the_lease_ends(void **state)
{
    fixture *the = *state;
    await_one(the, has_renewed);
    for (int round = 0; round < 4; round++) {
        order(the, "CLIENT KILL TYPE normal");
        await_one(the, has_renewed);
        assert_true(redlock_is_held(the->lock));
    }
    assert_in_range(stats_of(the->client).connections_lost, 4, 20);
    assert_kept(the);
}

#define LIVE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE(a_replica_that_refuses_writes_is_not_a_loss),
        LIVE(a_replica_without_its_master_is_not_a_loss),
        LIVE(too_few_replicas_are_not_a_loss),
        LIVE(a_server_that_cannot_save_is_not_a_loss),
        LIVE(a_server_out_of_memory_is_not_a_loss),
        LIVE(a_script_that_never_ends_is_not_a_loss),
        LIVE(a_server_that_loads_is_not_a_loss),
        LIVE(a_server_that_sleeps_for_half_a_lease_is_not_a_loss),
        LIVE(forgotten_scripts_are_loaded_again),
        LIVE(killed_connections_are_made_again_before_the_lease_ends),
    };
    return cmocka_run_group_tests_name("live renewal errors", tests, NULL, NULL);
}
