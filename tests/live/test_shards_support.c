/* SPDX-License-Identifier: MIT
 * The cluster fixture itself: a slot that did not move, or a primary that was not replaced, would
 * let every test of a cluster pass. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/shards.h"
#include "support/stall.h"

enum { SLOTS = 16384, SLOTS_STEP = 127, PRIMARIES = 3, KEYS = 250, DETECTION_S = 5 };

typedef struct takeover {
    shards *cluster;
    int former, heir;
    unsigned slot;
} takeover;

static int start(void **state)
{
    *state = shards_start(PRIMARIES, 1, NULL);
    return 0;
}

/* Its servers are soon tired of waiting for each other. */
static int start_impatient(void **state)
{
    *state = shards_start(PRIMARIES, 1, "--cluster-node-timeout 500");
    return 0;
}

static int stop(void **state)
{
    shards_stop(*state);
    return 0;
}

static unsigned slot_of(shards *the, const char *key)
{
    return (unsigned)server_number(shards_server(the, 0), "CLUSTER KEYSLOT %s", key);
}

static int owner_of(shards *the, const char *key) { return shards_owner(the, slot_of(the, key)); }

/* The text of the answer, an error's too. */
static void expect_text(shards *the, int index, const char *command, const char *text)
{
    redisReply *answer = server_command(shards_server(the, index), command);
    assert_non_null(answer->str);
    assert_string_equal(answer->str, text);
    freeReplyObject(answer);
}

static void expect_elsewhere(shards *the, int index, const char *kind, const char *key, int there)
{
    char command[64], text[64];
    snprintf(command, sizeof command, "GET %s", key);
    snprintf(text, sizeof text, "%s %u 127.0.0.1:%d", kind, slot_of(the, key),
             server_tcp_port(shards_server(the, there)));
    expect_text(the, index, command, text);
}

static int another_primary(int than) { return (than + 1) % PRIMARIES; }
static int replica_of(int primary) { return PRIMARIES + primary; }

/* ---- In the beginning -------------------------------------------------------------------------*/

static void every_slot_has_an_owner(void **state)
{
    shards *the = *state;
    assert_int_equal(shards_size(the), 2 * PRIMARIES);
    for (int i = 0; i < shards_size(the); i++) {
        assert_true(server_says(shards_server(the, i), "CLUSTER INFO", "cluster_slots_ok:16384"));
        assert_true(server_says(shards_server(the, i), "CLUSTER INFO", "cluster_known_nodes:6"));
        assert_int_equal(shards_is_primary(the, i), i < PRIMARIES);
    }
    for (unsigned slot = 0; slot < SLOTS; slot += SLOTS_STEP)
        assert_int_equal(shards_owner(the, slot), ((slot + 1) * PRIMARIES - 1) / SLOTS);
    assert_int_equal(shards_owner(the, SLOTS - 1), PRIMARIES - 1);
}

static void every_primary_has_a_replica_that_is_linked(void **state)
{
    shards *the = *state;
    for (int primary = 0; primary < PRIMARIES; primary++) {
        redisReply *role = server_command(shards_server(the, replica_of(primary)), "ROLE");
        assert_string_equal(role->element[0]->str, "slave");
        assert_int_equal(role->element[2]->integer, server_tcp_port(shards_server(the, primary)));
        assert_string_equal(role->element[3]->str, "connected");
        freeReplyObject(role);
    }
}

static void a_cluster_may_be_one_server(void **state)
{
    char uri[64];
    (void)state;
    shards *the = shards_start(1, 0, NULL);
    snprintf(uri, sizeof uri, "redis+cluster://127.0.0.1:%d",
             server_tcp_port(shards_server(the, 0)));
    assert_string_equal(shards_uri(the), uri);
    assert_int_equal(shards_size(the), 1);
    assert_int_equal(shards_owner(the, 0), 0);
    assert_int_equal(shards_owner(the, SLOTS - 1), 0);
    expect_text(the, 0, "SET key value", "OK");
    shards_stop(the);
}

static void the_uri_names_every_primary(void **state)
{
    shards *the = *state;
    char uri[128];
    snprintf(uri, sizeof uri, "redis+cluster://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d",
             server_tcp_port(shards_server(the, 0)), server_tcp_port(shards_server(the, 1)),
             server_tcp_port(shards_server(the, 2)));
    assert_string_equal(shards_uri(the), uri);
}

static void a_key_is_at_its_owner_and_the_others_say_so(void **state)
{
    shards *the = *state;
    int owner = owner_of(the, "key");
    expect_text(the, owner, "SET key value", "OK");
    for (int i = 0; i < shards_size(the); i++) {
        if (i != owner) expect_elsewhere(the, i, "MOVED", "key", owner);
    }
    expect_text(the, owner, "GET key", "value");
}

/* ---- Moving -----------------------------------------------------------------------------------*/

static void on_the_way_what_is_missing_is_asked_for_at_the_destination(void **state)
{
    shards *the = *state;
    int source = owner_of(the, "{slot}"), to = another_primary(source);
    expect_text(the, source, "SET {slot}here value", "OK");
    shards_begin_move(the, slot_of(the, "{slot}"), to);
    expect_text(the, source, "GET {slot}here", "value");
    expect_elsewhere(the, source, "ASK", "{slot}missing", to);
    expect_elsewhere(the, to, "MOVED", "{slot}missing", source);
    assert_int_equal(owner_of(the, "{slot}"), source);

    shards_move_keys(the, slot_of(the, "{slot}"));
    expect_elsewhere(the, source, "ASK", "{slot}here", to);
    expect_elsewhere(the, to, "MOVED", "{slot}here", source);
    assert_int_equal(owner_of(the, "{slot}"), source);

    shards_end_move(the, slot_of(the, "{slot}"));
    expect_text(the, to, "GET {slot}here", "value");
    expect_elsewhere(the, source, "MOVED", "{slot}here", to);
    expect_elsewhere(the, another_primary(to), "MOVED", "{slot}here", to);
    assert_int_equal(owner_of(the, "{slot}"), to);
}

static void a_slot_moves_with_all_its_keys_and_alone(void **state)
{
    shards *the = *state;
    unsigned slot = slot_of(the, "{slot}");
    int source = shards_owner(the, slot), to = another_primary(source);
    for (int i = 0; i < KEYS; i++)
        server_order(shards_server(the, source), "SET {slot}%d %d", i, i);
    shards_move(the, slot, to);
    assert_int_equal(server_number(shards_server(the, to), "CLUSTER COUNTKEYSINSLOT %u", slot),
                     KEYS);
    assert_int_equal(server_number(shards_server(the, source), "DBSIZE"), 0);
    assert_int_equal(shards_owner(the, slot - 1), source);
    assert_int_equal(shards_owner(the, slot), to);
    assert_int_equal(shards_owner(the, slot + 1), source);
    shards_move(the, slot, source);
    assert_int_equal(shards_owner(the, slot), source);
    expect_text(the, source, "GET {slot}7", "7");
}

/* ---- Being replaced ---------------------------------------------------------------------------*/

static bool has_taken_over(void *arg)
{
    const takeover *self = arg;
    return shards_is_primary(self->cluster, self->heir) &&
           shards_owner(self->cluster, self->slot) == self->heir;
}

static bool has_become_a_replica(void *arg)
{
    const takeover *self = arg;
    return !shards_is_primary(self->cluster, self->former) &&
           server_says(shards_server(self->cluster, self->former), "INFO replication",
                       "master_link_status:up");
}

static takeover takeover_of(shards *the, const char *key)
{
    unsigned slot = slot_of(the, key);
    int owner = shards_owner(the, slot);
    return (takeover){the, owner, replica_of(owner), slot};
}

static void hand_over(takeover *self)
{
    int before = self->former;
    shards_fail_over(self->cluster, self->heir);
    self->former = self->heir;
    self->heir = before;
}

static void a_replica_takes_over_hands_back_and_takes_over(void **state)
{
    shards *the = *state;
    takeover it = takeover_of(the, "key");
    expect_text(the, it.former, "SET key value", "OK");
    for (int i = 0; i < 3; i++) {
        hand_over(&it);
        assert_int_equal(shards_owner(the, it.slot), it.former);
        assert_true(shards_is_primary(the, it.former));
        assert_false(shards_is_primary(the, it.heir));
        expect_text(the, it.former, "GET key", "value");
        expect_elsewhere(the, it.heir, "MOVED", "key", it.former);
    }
}

static void expect_taken_over_in_time(takeover *it)
{
    stall mark = stall_begin();
    assert_int_equal(shards_owner(it->cluster, it->slot), -1);
    assert_false(shards_is_primary(it->cluster, it->former));
    eventually(has_taken_over, it);
    ENDED(&mark, 0, DETECTION_S * 1000000);
}

/* It has the larger number, and claims the slot still when it is back. */
static void the_replica_of_a_killed_primary_takes_over(void **state)
{
    shards *the = *state;
    takeover it = takeover_of(the, "key");
    hand_over(&it);
    server_kill(shards_server(the, it.former));
    expect_taken_over_in_time(&it);

    server_restart(shards_server(the, it.former));
    assert_int_equal(shards_owner(the, it.slot), it.heir);
    eventually(has_become_a_replica, &it);
    expect_elsewhere(the, it.former, "MOVED", "key", it.heir);
}

static void the_replica_of_a_frozen_primary_takes_over(void **state)
{
    shards *the = *state;
    takeover it = takeover_of(the, "key");
    server_freeze(shards_server(the, it.former));
    expect_taken_over_in_time(&it);

    server_thaw(shards_server(the, it.former));
    assert_int_equal(shards_owner(the, it.slot), it.heir);
    eventually(has_become_a_replica, &it);
    assert_int_equal(shards_owner(the, it.slot), it.heir);
}

#define WITH_CLUSTER(name) cmocka_unit_test_setup_teardown(name, start, stop)
#define IMPATIENT(name) cmocka_unit_test_setup_teardown(name, start_impatient, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CLUSTER(every_slot_has_an_owner),
        WITH_CLUSTER(every_primary_has_a_replica_that_is_linked),
        WITH_CLUSTER(the_uri_names_every_primary),
        cmocka_unit_test(a_cluster_may_be_one_server),
        WITH_CLUSTER(a_key_is_at_its_owner_and_the_others_say_so),
        WITH_CLUSTER(on_the_way_what_is_missing_is_asked_for_at_the_destination),
        WITH_CLUSTER(a_slot_moves_with_all_its_keys_and_alone),
        IMPATIENT(a_replica_takes_over_hands_back_and_takes_over),
        IMPATIENT(the_replica_of_a_killed_primary_takes_over),
        IMPATIENT(the_replica_of_a_frozen_primary_takes_over),
    };
    signal(SIGPIPE, SIG_IGN); /* hiredis raises it */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
