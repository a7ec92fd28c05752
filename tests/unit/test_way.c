/* SPDX-License-Identifier: MIT
 * The way of a question through a cluster: where each attempt goes, and what goes ahead of it. */
#include "unit/cluster_fixture.h"

#define OK "+OK\r\n"
#define NOSCRIPT "-NOSCRIPT No matching script. Please use EVAL.\r\n"
#define NOPERM "-NOPERM this user has no permissions to run this command\r\n"
#define LOADED "$40\r\n0123456789012345678901234567890123456789\r\n"

enum { CODE = 1, TABLE_EVERY = 250 * 1000 };

/* Static, since the tear-down may still answer it. */
static exchange asks;
static request its;

static void begin_question(void)
{
    const question about = {.script = SCRIPT_RENEW,
                            .key = "{a}",
                            .key_length = 3,
                            .holder = "h",
                            .holder_length = 1,
                            .nonce = 4711};
    asks = (exchange){0};
    request_begin(&its, clock_now_us() + PATIENCE_US, PATIENCE_US, 1);
    exchange_begin(&asks, &its, &about);
    assert_non_null(exchange_enter(&asks, &it.lane));
    assert_int_equal(asks.slot, SLOT);
}

static void advance_at(int64_t now_us)
{
    exchange_advance(&asks, now_us);
    int64_t wake_us = exchange_wake_us(&asks);
    pump(its.state == REQUEST_DONE ? now_us : wake_us);
}

static void advance(void) { advance_at(clock_now_us()); }

/* The attempt leaves; nothing else happens. */
static void send_it(void)
{
    UNTIL(its.state == REQUEST_SENT, advance());
    (void)lane_flush(&it.lane, clock_now_us());
}

static void await_answer(void) { UNTIL(its.state != REQUEST_SENT, pump(NEVER)); }

static void say_code(int peer) { say(peer, "*3\r\n:1\r\n:4711\r\n:1800000000000000\r\n"); }

static void expect_answered(void)
{
    await_answer();
    assert_int_equal(its.state, REQUEST_DONE);
    assert_int_equal(its.status, REDLOCK_OK);
    assert_int_equal(its.code, CODE);
}

/* Asked, with the question for the table ahead. Returns the server's end. */
static int ask_a_stranger(int index)
{
    begin_question();
    exchange_advance(&asks, clock_now_us());
    int peer = accept_at(index);
    send_it();
    expect_heard(peer, "CLUSTER SLOTS, EVALSHA");
    return peer;
}

/* And that server says that it is the owner of all slots. */
static int ask_first(int index)
{
    int peer = ask_a_stranger(index);
    say_table(peer, index);
    return peer;
}

static int answered_once(void)
{
    int peer = ask_first(0);
    say_code(peer);
    expect_answered();
    return peer;
}

static node *owner(void) { return cluster_owner(&it.map, SLOT); }

/* ---- The table ---- */

static void a_table_is_asked_for_ahead_of_the_first_question_and_once(void **state)
{
    (void)state;
    int peer = answered_once();
    begin_question();
    send_it();
    expect_heard(peer, "EVALSHA");
    say_code(peer);
    expect_answered();
}

static void the_table_fills_the_map_and_the_answer_is_that_to_the_question(void **state)
{
    (void)state;
    int peer = ask_first(0);
    assert_null(cluster_owner(&it.map, OTHER_SLOT));
    UNTIL(owner() != NULL, pump(NEVER));
    assert_int_equal(its.state, REQUEST_SENT);
    assert_ptr_equal(owner(), it.at[0].is);
    assert_ptr_equal(cluster_owner(&it.map, OTHER_SLOT), it.at[0].is);
    say_code(peer);
    expect_answered();
}

static void who_must_not_ask_for_it_is_answered_all_the_same(void **state)
{
    (void)state;
    int peer = ask_a_stranger(0);
    say(peer, NOPERM);
    say_code(peer);
    expect_answered();
    assert_ptr_equal(owner(), it.at[0].is); /* as it answered */
    assert_null(cluster_owner(&it.map, OTHER_SLOT));
}

/* One range of 16,384 slots in 3,000 pieces: more elements than any other reply may have. */
static void say_long_table(int peer)
{
    enum { RANGES = 3000 };
    static char text[RANGES * 64];
    size_t used = (size_t)snprintf(text, sizeof text, "*%d\r\n", RANGES);
    for (int i = 0; i < RANGES; i++)
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "*3\r\n:%d\r\n:%d\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n", i, i,
                                 it.at[1].address.port);
    say(peer, text);
}

static void a_long_table_is_borne_and_another_long_reply_is_not(void **state)
{
    (void)state;
    int peer = ask_a_stranger(0);
    say_long_table(peer);
    say_code(peer);
    expect_answered();
    assert_ptr_equal(cluster_owner(&it.map, 2999), it.at[1].is);
    assert_null(cluster_owner(&it.map, 3000));

    begin_question();
    send_it();
    expect_heard(peer, "EVALSHA");
    say(peer, "*9000\r\n");
    await_answer();
    assert_int_equal(its.status, REDLOCK_ERR_PROTOCOL);
}

static void a_table_that_never_came_is_asked_for_anew(void **state)
{
    (void)state;
    int peer = ask_a_stranger(0);
    hang_up(peer);
    await_answer();
    UNTIL(its.state == REQUEST_READY && asks.at == berth_at(1),
          exchange_advance(&asks, clock_now_us()));
    int other = accept_at(1);
    UNTIL(berth_at(1)->command.state == CONN_OPEN, pump(NEVER));
    exchange_advance(&asks, clock_now_us() + TABLE_EVERY);
    (void)lane_flush(&it.lane, clock_now_us());
    expect_heard(other, "CLUSTER SLOTS, EVALSHA");
}

/* ---- Redirects ---- */

static void what_moved_is_asked_for_at_once_where_it_is(void **state)
{
    (void)state;
    int peer = ask_first(0);
    say_redirect(peer, "MOVED", SLOT, 1);
    await_answer();
    assert_int_equal(its.state, REQUEST_READY);
    assert_int_equal(its.failures, 0);
    assert_ptr_equal(owner(), it.at[1].is);
    assert_ptr_equal(cluster_owner(&it.map, OTHER_SLOT), it.at[0].is);
    exchange_advance(&asks, clock_now_us());
    int other = accept_at(1);
    send_it();
    expect_heard(other, "EVALSHA");
    say_code(other);
    expect_answered();
    expect_silence(peer);
}

/* Everything that was to go to the first is asked for there once more; then the map is right. */
static void the_next_question_goes_there_first(void **state)
{
    (void)state;
    what_moved_is_asked_for_at_once_where_it_is(state);
    begin_question();
    send_it();
    expect_heard(it.peer_count - 1, "EVALSHA");
    say_code(it.peer_count - 1);
    expect_answered();
}

/* Asked for at the first, sent on to the second. */
static int ask_elsewhere(int *first)
{
    *first = ask_first(0);
    say_redirect(*first, "ASK", SLOT, 1);
    await_answer();
    assert_int_equal(its.state, REQUEST_READY);
    assert_int_equal(its.failures, 0);
    exchange_advance(&asks, clock_now_us());
    int second = accept_at(1);
    send_it();
    return second;
}

static void what_is_on_the_move_is_asked_for_right_behind_asking(void **state)
{
    int first;
    (void)state;
    int second = ask_elsewhere(&first);
    expect_heard(second, "ASKING, EVALSHA");
    say(second, OK);
    say_code(second);
    expect_answered();
    assert_ptr_equal(owner(), it.at[0].is); /* the map knows nothing of it */
}

static void the_question_after_it_asks_the_owner_and_without_asking(void **state)
{
    int first;
    (void)state;
    int second = ask_elsewhere(&first);
    expect_heard(second, "ASKING, EVALSHA");
    say(second, OK);
    say_code(second);
    expect_answered();
    begin_question();
    send_it();
    expect_heard(first, "EVALSHA");
    say_redirect(first, "MOVED", SLOT, 1);
    await_answer();
    send_it();
    expect_heard(second, "EVALSHA");
    say_code(second);
    expect_answered();
    assert_ptr_equal(owner(), it.at[1].is);
}

/* The answer that a script is unknown has used up the ASKING, and a SCRIPT LOAD would. */
static void where_the_script_is_unknown_asking_goes_between_its_source_and_the_question(
    void **state)
{
    int first;
    (void)state;
    int second = ask_elsewhere(&first);
    expect_heard(second, "ASKING, EVALSHA");
    say(second, OK NOSCRIPT);
    await_answer();
    assert_int_equal(its.state, REQUEST_READY);
    send_it();
    expect_heard(second, "SCRIPT LOAD, ASKING, EVALSHA");
    say(second, LOADED OK);
    say_code(second);
    expect_answered();
    assert_ptr_equal(owner(), it.at[0].is);
}

static void where_no_source_may_be_loaded_asking_goes_before_it(void **state)
{
    int first;
    (void)state;
    int second = ask_elsewhere(&first);
    expect_heard(second, "ASKING, EVALSHA");
    say(second, OK NOSCRIPT);
    await_answer();
    send_it();
    expect_heard(second, "SCRIPT LOAD, ASKING, EVALSHA");
    say(second, NOPERM OK NOSCRIPT);
    await_answer();
    assert_int_equal(its.state, REQUEST_READY);
    send_it();
    expect_heard(second, "ASKING, EVAL");
    say(second, OK);
    say_code(second);
    expect_answered();
}

static void what_may_pass_on_the_way_is_asked_for_where_the_map_says(void **state)
{
    int first;
    (void)state;
    int second = ask_elsewhere(&first);
    expect_heard(second, "ASKING, EVALSHA");
    say(second, OK "-TRYAGAIN Multiple keys request during rehashing of slot\r\n");
    await_answer();
    assert_int_equal(its.failures, 1);
    send_it();
    expect_heard(first, "EVALSHA");
    say_code(first);
    expect_answered();
}

static void nodes_that_contradict_each_other_are_given_time(void **state)
{
    (void)state;
    int peers[] = {ask_first(0), -1};
    for (int hops = 0; hops < 5; hops++) {
        say_redirect(peers[hops % 2], "MOVED", SLOT, (hops + 1) % 2);
        await_answer();
        assert_int_equal(its.failures, 0);
        exchange_advance(&asks, clock_now_us());
        if (peers[1] < 0) peers[1] = accept_at(1);
        send_it();
        expect_heard(peers[(hops + 1) % 2], "EVALSHA");
    }
    say_redirect(peers[1], "MOVED", SLOT, 0);
    await_answer();
    assert_int_equal(its.failures, 1);
    assert_int_equal(its.status, REDLOCK_ERR_UNAVAILABLE);
}

/* ---- Nodes that are away ---- */

static void where_nobody_listens_the_next_attempt_goes_elsewhere(void **state)
{
    endpoint deaf;
    (void)state;
    int fd = bind_at(&deaf);
    assert_true(fd >= 0);
    cluster_owns(&it.map, cluster_node(&it.map, &deaf), SLOT);
    begin_question();
    UNTIL(its.failures > 0, advance());
    assert_int_equal(its.state, REQUEST_BACKOFF);
    UNTIL(asks.at == berth_at(0), advance());
    int peer = accept_at(0);
    send_it();
    assert_int_equal(its.failures, 1);
    expect_heard(peer, "CLUSTER SLOTS, EVALSHA");
    say_table(peer, 0);
    say_code(peer);
    expect_answered();
    assert_ptr_equal(owner(), it.at[0].is);
    close(fd);
}

static void who_hangs_up_is_not_asked_again_before_another_one_was(void **state)
{
    (void)state;
    int peer = answered_once();
    begin_question();
    send_it();
    expect_heard(peer, "EVALSHA");
    hang_up(peer);
    await_answer();
    assert_int_equal(its.failures, 1);
    assert_true(its.is_ambiguous);
    UNTIL(asks.at == berth_at(1), advance());
    int other = accept_at(1);
    send_it();
    expect_heard(other, "EVALSHA");
    say_redirect(other, "MOVED", SLOT, 2);
    await_answer();
    exchange_advance(&asks, clock_now_us());
    int third = accept_at(2);
    send_it();
    expect_heard(third, "EVALSHA");
    say_code(third);
    expect_answered();
    assert_true(its.is_ambiguous);
}

static void a_replica_is_left_for_another_node(void **state)
{
    (void)state;
    int peer = answered_once();
    begin_question();
    send_it();
    expect_heard(peer, "EVALSHA");
    say(peer, "-READONLY You can't write against a read only replica.\r\n");
    await_answer();
    expect_end(peer);
    UNTIL(asks.at == berth_at(1), advance());
    int other = accept_at(1);
    send_it();
    expect_heard(other, "EVALSHA");
    say_code(other);
    expect_answered();
    assert_ptr_equal(owner(), it.at[1].is);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_CLUSTER(a_table_is_asked_for_ahead_of_the_first_question_and_once),
        IN_CLUSTER(the_table_fills_the_map_and_the_answer_is_that_to_the_question),
        IN_CLUSTER(who_must_not_ask_for_it_is_answered_all_the_same),
        IN_CLUSTER(a_long_table_is_borne_and_another_long_reply_is_not),
        IN_CLUSTER(a_table_that_never_came_is_asked_for_anew),
        IN_CLUSTER(what_moved_is_asked_for_at_once_where_it_is),
        IN_CLUSTER(the_next_question_goes_there_first),
        IN_CLUSTER(what_is_on_the_move_is_asked_for_right_behind_asking),
        IN_CLUSTER(the_question_after_it_asks_the_owner_and_without_asking),
        IN_CLUSTER(where_the_script_is_unknown_asking_goes_between_its_source_and_the_question),
        IN_CLUSTER(where_no_source_may_be_loaded_asking_goes_before_it),
        IN_CLUSTER(what_may_pass_on_the_way_is_asked_for_where_the_map_says),
        IN_CLUSTER(nodes_that_contradict_each_other_are_given_time),
        IN_CLUSTER(where_nobody_listens_the_next_attempt_goes_elsewhere),
        IN_CLUSTER(who_hangs_up_is_not_asked_again_before_another_one_was),
        IN_CLUSTER(a_replica_is_left_for_another_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
