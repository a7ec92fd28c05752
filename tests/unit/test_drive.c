/* SPDX-License-Identifier: MIT
 * lane/drive: an acquisition in a cluster hears of its grant where the lock is. */
#include "unit/cluster_fixture.h"

#include "wire/mode.h"

#define CHANNEL "p:inbox:client.7"

enum { INBOX_LENGTH = 22, FENCE = 4711 };

/* Static, since the tear-down may still answer it. */
static acquire op;
static exchange asks;
static _Atomic int64_t nonces;
static int grants; /* messages that came, whether they counted or not */

static void hear_grant(void *arg, const inbox *by, const grant *message, int64_t now_us)
{
    (void)arg;
    grants++;
    drive_granted(&op, &asks, by, message, now_us);
}

static const inbox_listener listener = {.granted = hear_grant};

static void begin_acquire(void)
{
    static const question about = {.script = SCRIPT_ACQUIRE,
                                   .key = "{a}",
                                   .key_length = 3,
                                   .holder = "- hold-1 h:1:",
                                   .holder_length = 13,
                                   .mode = "x",
                                   .mode_length = 1,
                                   .inbox = "2000 " CHANNEL "{x}",
                                   .inbox_length = INBOX_LENGTH};
    int64_t now_us = clock_now_us(), until_us = now_us + PATIENCE_US;
    const acquire_terms terms = {.hold_id = "hold-1",
                                 .hold_id_length = 6,
                                 .ttl_ms = 60000,
                                 .claim_ms = 60000,
                                 .wait_until_us = until_us,
                                 .deadline_us = until_us,
                                 .timeout_us = PATIENCE_US,
                                 .may_wait = true,
                                 .queues_first = true,
                                 .kind = KIND_EXCLUSIVE,
                                 .seed = 3};
    asks = (exchange){0};
    grants = 0;
    lane_listen(&it.lane, &listener, NULL);
    exchange_begin(&asks, &op.asks, &about);
    assert_non_null(exchange_enter(&asks, &it.lane));
    drive_begin(&op, &asks, &terms, now_us);
}

static void advance(void)
{
    drive_advance(&op, &asks, INBOX_LENGTH, &nonces, clock_now_us());
    if (op.state == ACQUIRE_DONE || drive_can_go_on(&op, &asks)) return;
    pump(drive_wake_us(&op, &asks));
    acquire_asked(&op, clock_now_us());
}

#define UNTIL_STATE(expected) UNTIL(op.state == (expected), advance())

static void confirm_slot(int peer)
{
    char channel[SLOT_CHANNEL_SIZE], text[SLOT_CHANNEL_SIZE + 64];
    size_t length = channel_of_slot(channel, CHANNEL, SLOT);
    snprintf(text, sizeof text, "SSUBSCRIBE %s", channel);
    expect_heard(peer, text);
    snprintf(text, sizeof text, "*3\r\n$10\r\nssubscribe\r\n$%zu\r\n%s\r\n:1\r\n", length, channel);
    say(peer, text);
}

static void say_answer(int peer, const char *values, int count)
{
    char text[200];
    snprintf(text, sizeof text, "*%d\r\n%s", count + 3, values);
    char *nonce = strchr(text, '#');
    char rest[150];
    snprintf(rest, sizeof rest, "%s", nonce + 1);
    snprintf(nonce, sizeof text - (size_t)(nonce - text), "%lld%s", (long long)asks.question.nonce,
             rest);
    say(peer, text);
}

static void say_queued(int peer)
{
    say_answer(peer,
               ":2\r\n:#\r\n:1800000000000000\r\n:60000\r\n:1\r\n:60000\r\n:1799999999000001\r\n",
               4);
}

static void say_granted(int peer)
{
    say_answer(peer, ":1\r\n:#\r\n:1800000000000000\r\n:4711\r\n:1\r\n:60000\r\n", 3);
}

static void say_message(int peer)
{
    static const char payload[] = "grant 4711 60000 1800000000000000 - hold-1 h:1: {a}";
    char channel[SLOT_CHANNEL_SIZE], text[SLOT_CHANNEL_SIZE + 128];
    size_t length = channel_of_slot(channel, CHANNEL, SLOT);
    snprintf(text, sizeof text, "*3\r\n$8\r\nsmessage\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", length,
             channel, sizeof payload - 1, payload);
    say(peer, text);
}

/* Subscribed there, and then asked: the lane's ends of that. */
typedef struct ends {
    int inbox, commands;
} ends;

static ends queue_at(int index)
{
    ends self;
    UNTIL(asks.heard_at != NULL && asks.heard_at->state != SUBSCRIPTION_CLOSED &&
              asks.heard_at->in == &berth_at(index)->inbox,
          advance());
    self.inbox = accept_at(index);
    UNTIL(asks.heard_at->state == SUBSCRIPTION_SUBSCRIBING, advance());
    (void)lane_flush(&it.lane, clock_now_us());
    confirm_slot(self.inbox);
    UNTIL_STATE(ACQUIRE_ASKING);
    drive_advance(&op, &asks, INBOX_LENGTH, &nonces, clock_now_us());
    self.commands = accept_at(index);
    UNTIL(op.asks.state == REQUEST_SENT, advance());
    (void)lane_flush(&it.lane, clock_now_us());
    return self;
}

static ends ask_first(void)
{
    cluster_owns(&it.map, it.at[0].is, SLOT);
    begin_acquire();
    ends first = queue_at(0);
    expect_heard(first.commands, "CLUSTER SLOTS, EVALSHA");
    say_table(first.commands, 0);
    return first;
}

static ends queue_at_first(void)
{
    ends first = ask_first();
    say_queued(first.commands);
    UNTIL_STATE(ACQUIRE_WAITING);
    return first;
}

static void a_grant_that_the_owner_tells_is_the_lock(void **state)
{
    (void)state;
    ends first = queue_at_first();
    say_message(first.inbox);
    UNTIL_STATE(ACQUIRE_DONE);
    assert_int_equal(op.status, REDLOCK_OK);
    assert_int_equal(op.held.fence, FENCE);
    assert_true(op.was_handed_over);
}

/* A node that wakes up grants what is no more its own, and another node has granted since. */
static void a_grant_of_whoever_was_the_owner_is_none(void **state)
{
    (void)state;
    ends first = queue_at_first();
    cluster_owns(&it.map, it.at[1].is, SLOT);
    say_message(first.inbox);
    UNTIL(grants == 1, pump(NEVER));
    assert_int_not_equal(op.state, ACQUIRE_DONE);
    assert_false(op.has_early_grant);

    ends second = queue_at(1);
    expect_heard(second.commands, "EVALSHA");
    say_granted(second.commands);
    UNTIL_STATE(ACQUIRE_DONE);
    assert_int_equal(op.status, REDLOCK_OK);
    expect_silence(first.commands);
}

/* Its answer is MOVED, and sends it elsewhere. */
static ends begin_redirected(void)
{
    ends first = ask_first();
    say_redirect(first.commands, "MOVED", SLOT, 1);
    UNTIL(op.asks.state != REQUEST_SENT, pump(NEVER));
    return first;
}

static void nor_is_one_that_comes_right_behind_its_redirect(void **state)
{
    (void)state;
    ends first = begin_redirected();
    say_message(first.inbox);
    UNTIL(grants == 1, pump(NEVER));
    assert_int_not_equal(op.state, ACQUIRE_DONE);
    assert_false(op.has_early_grant);
}

/* It waits at the second, and hears both. */
static void nor_is_one_that_comes_once_it_waits_elsewhere(void **state)
{
    (void)state;
    ends first = begin_redirected();
    ends second = queue_at(1);
    expect_heard(second.commands, "EVALSHA");
    say_queued(second.commands);
    UNTIL_STATE(ACQUIRE_WAITING);
    say_message(first.inbox);
    UNTIL(grants == 1, pump(NEVER));
    assert_int_equal(op.state, ACQUIRE_WAITING);
    say_message(second.inbox);
    UNTIL_STATE(ACQUIRE_DONE);
    assert_int_equal(op.status, REDLOCK_OK);
    assert_int_equal(grants, 2);
}

static void another_owner_is_asked_also_where_it_is_heard_already(void **state)
{
    (void)state;
    subscription *there = inbox_subscription(&berth_at(1)->inbox, SLOT);
    subscription_open(there, clock_now_us());
    int messages = accept_at(1);
    UNTIL(there->in->conn.state == CONN_OPEN, pump(NEVER));
    subscription_open(there, clock_now_us());
    (void)lane_flush(&it.lane, clock_now_us());
    confirm_slot(messages);
    UNTIL(there->state == SUBSCRIPTION_OPEN, pump(NEVER));

    (void)queue_at_first();
    assert_int_equal(asks.heard_at->changes, there->changes);
    cluster_owns(&it.map, it.at[1].is, SLOT);
    drive_advance(&op, &asks, INBOX_LENGTH, &nonces, clock_now_us());
    int commands = accept_at(1);
    UNTIL(op.asks.state == REQUEST_SENT, advance());
    (void)lane_flush(&it.lane, clock_now_us());
    expect_heard(commands, "EVALSHA");
    say_granted(commands);
    UNTIL_STATE(ACQUIRE_DONE);
    assert_int_equal(op.status, REDLOCK_OK);
}

/* Whatever was published since is gone. */
static void what_the_server_unsubscribes_is_asked_about_again(void **state)
{
    (void)state;
    ends first = queue_at_first();
    char channel[SLOT_CHANNEL_SIZE], text[SLOT_CHANNEL_SIZE + 64];
    size_t length = channel_of_slot(channel, CHANNEL, SLOT);
    snprintf(text, sizeof text, "*3\r\n$12\r\nsunsubscribe\r\n$%zu\r\n%s\r\n:0\r\n", length,
             channel);
    say(first.inbox, text);
    UNTIL_STATE(ACQUIRE_SUBSCRIBING);
    UNTIL(asks.heard_at->state == SUBSCRIPTION_SUBSCRIBING, advance());
    (void)lane_flush(&it.lane, clock_now_us());
    confirm_slot(first.inbox);
    UNTIL(op.asks.state == REQUEST_SENT, advance());
    (void)lane_flush(&it.lane, clock_now_us());
    expect_heard(first.commands, "EVALSHA");
    say_granted(first.commands);
    UNTIL_STATE(ACQUIRE_DONE);
    assert_int_equal(op.status, REDLOCK_OK);
}

/* ---- Nobody hears it, says the server ---- */

static void say_unheard(int peer) { say_answer(peer, ":5\r\n:#\r\n:1800000000000000\r\n", 0); }

/* Subscribed anew, and asked again at once. */
static void whom_nobody_hears_opens_its_inbox_anew(void **state)
{
    (void)state;
    ends first = ask_first();
    say_unheard(first.commands);
    UNTIL(asks.heard_at->changes == 2, advance());
    expect_end(first.inbox);
    UNTIL(asks.heard_at->state == SUBSCRIPTION_SUBSCRIBING, advance());
    (void)lane_flush(&it.lane, clock_now_us());
    confirm_slot(accept_at(0));
    UNTIL(op.asks.state == REQUEST_SENT, advance());
    (void)lane_flush(&it.lane, clock_now_us());
    expect_heard(first.commands, "EVALSHA");
    say_queued(first.commands);
    UNTIL_STATE(ACQUIRE_WAITING);
}

/* ---- A slot on the move ---- */

static void await_sent(void)
{
    UNTIL(op.asks.state == REQUEST_SENT, advance());
    (void)lane_flush(&it.lane, clock_now_us());
}

static void say_ask(int peer)
{
    say_redirect(peer, "ASK", SLOT, 1);
    UNTIL(op.asks.state != REQUEST_SENT, pump(NEVER));
}

/* The first node sends it on to the second, with its question. */
static int follow_ask(int first)
{
    say_ask(first);
    drive_advance(&op, &asks, INBOX_LENGTH, &nonces, clock_now_us());
    int second = accept_at(1);
    await_sent();
    expect_heard(second, "ASKING, EVALSHA");
    say(second, "+OK\r\n");
    return second;
}

static void a_free_lock_on_the_move_is_there_at_once(void **state)
{
    (void)state;
    ends first = ask_first();
    say_granted(follow_ask(first.commands));
    UNTIL_STATE(ACQUIRE_DONE);
    assert_int_equal(op.status, REDLOCK_OK);
    expect_silence(first.inbox);
}

/* That nobody hears it where it was asked for says nothing of where it is heard. */
static void a_taken_one_is_waited_for_where_it_comes_from(void **state)
{
    (void)state;
    ends first = ask_first();
    int second = follow_ask(first.commands);
    say_unheard(second);
    UNTIL(op.asks.state != REQUEST_SENT, pump(NEVER));
    await_sent();
    expect_heard(first.commands, "EVALSHA");
    say_ask(first.commands);
    await_sent();
    expect_heard(second, "ASKING, EVALSHA");
    say(second, "+OK\r\n");
    say_unheard(second);
    UNTIL_STATE(ACQUIRE_WAITING);
    assert_int_equal(asks.heard_at->changes, 1);
    assert_ptr_equal(asks.heard_at->in, &berth_at(0)->inbox);
    expect_silence(first.inbox);
    say_message(first.inbox);
    UNTIL_STATE(ACQUIRE_DONE);
    assert_int_equal(op.status, REDLOCK_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_CLUSTER(a_grant_that_the_owner_tells_is_the_lock),
        IN_CLUSTER(a_grant_of_whoever_was_the_owner_is_none),
        IN_CLUSTER(nor_is_one_that_comes_right_behind_its_redirect),
        IN_CLUSTER(nor_is_one_that_comes_once_it_waits_elsewhere),
        IN_CLUSTER(another_owner_is_asked_also_where_it_is_heard_already),
        IN_CLUSTER(what_the_server_unsubscribes_is_asked_about_again),
        IN_CLUSTER(whom_nobody_hears_opens_its_inbox_anew),
        IN_CLUSTER(a_free_lock_on_the_move_is_there_at_once),
        IN_CLUSTER(a_taken_one_is_waited_for_where_it_comes_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
