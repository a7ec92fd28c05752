/* SPDX-License-Identifier: MIT
 * lane/inbox: what is subscribed to, and what becomes of it. */
#include "unit/cluster_fixture.h"

#define CHANNEL "p:inbox:client.7"

enum { NOT_BEFORE_US = 20000 };

static struct heard {
    int changes, grants;
    const inbox *by;
    uint64_t fence;
} heard;

static void hear_change(void *arg) { ((struct heard *)arg)->changes++; }

static void hear_grant(void *arg, const inbox *by, const grant *message, int64_t now_us)
{
    struct heard *self = arg;
    (void)now_us;
    self->grants++;
    self->by = by;
    self->fence = message->fence;
}

static const inbox_listener listener = {.changed = hear_change, .granted = hear_grant};

static int set_up_cluster(void **state)
{
    heard = (struct heard){0};
    if (set_up(state) != 0) return -1;
    lane_listen(&it.lane, &listener, &heard);
    return 0;
}

static int set_up_single(void **state)
{
    int failed = set_up_cluster(state);
    it.route.cluster = NULL;
    return failed;
}

static inbox *box(void) { return &it.lane.home.inbox; }

static subscription *of_slot(int slot)
{
    subscription *self = inbox_subscription(box(), slot);
    assert_non_null(self);
    return self;
}

static const char *channel_of(int slot)
{
    static char channel[SLOT_CHANNEL_SIZE];
    channel_of_slot(channel, CHANNEL, slot);
    return channel;
}

static void expect_subscribing(int peer, int slot)
{
    char words[SLOT_CHANNEL_SIZE + 16];
    snprintf(words, sizeof words, "%s %s", slot == NO_SLOT ? "SUBSCRIBE" : "SSUBSCRIBE",
             channel_of(slot));
    expect_heard(peer, words);
}

static void say_of(int peer, const char *verb, int slot)
{
    char text[SLOT_CHANNEL_SIZE + 64];
    snprintf(text, sizeof text, "*3\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n:1\r\n", strlen(verb), verb,
             strlen(channel_of(slot)), channel_of(slot));
    say(peer, text);
}

static void say_grant(int peer, const char *verb, int slot)
{
    static const char payload[] = "grant 4711 2000 1800000000000000 - hold-1 h:1: {a}";
    char text[SLOT_CHANNEL_SIZE + 128];
    snprintf(text, sizeof text, "*3\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(verb),
             verb, strlen(channel_of(slot)), channel_of(slot), sizeof payload - 1, payload);
    say(peer, text);
}

static void open_now(subscription *self)
{
    subscription_open(self, clock_now_us());
    (void)lane_flush(&it.lane, clock_now_us());
}

static void open_and_pump(subscription *self)
{
    open_now(self);
    pump(NEVER);
}

/* The first one, on a connection of its own. */
static int open_first(subscription *self)
{
    open_now(self);
    int peer = accept_at(0);
    UNTIL(self->state == SUBSCRIPTION_SUBSCRIBING, open_and_pump(self));
    (void)lane_flush(&it.lane, clock_now_us());
    expect_subscribing(peer, self->slot);
    return peer;
}

static void await_state(const subscription *self, enum subscription_state expected)
{
    UNTIL(self->state == expected, pump(NEVER));
}

static void confirm(int peer, const subscription *self)
{
    say_of(peer, self->slot == NO_SLOT ? "subscribe" : "ssubscribe", self->slot);
    await_state(self, SUBSCRIPTION_OPEN);
}

static subscription *one, *other;

/* Two slots: the first is open, the second asked for. */
static int open_one_and_ask_for_other(void)
{
    one = of_slot(SLOT);
    other = of_slot(OTHER_SLOT);
    int peer = open_first(one);
    confirm(peer, one);
    open_now(other);
    expect_subscribing(peer, OTHER_SLOT);
    return peer;
}

/* Both open. */
static int open_two(void)
{
    int peer = open_one_and_ask_for_other();
    confirm(peer, other);
    return peer;
}

static void assert_lost(const subscription *self, unsigned changes, redlock_status why,
                        const char *text)
{
    assert_int_equal(self->state, SUBSCRIPTION_CLOSED);
    assert_int_equal(self->changes, changes);
    assert_int_equal(self->why, why);
    assert_string_equal(self->text.text, text);
}

/* ---- What is subscribed to ---- */

static void on_a_single_server_it_is_the_channel_of_the_lane(void **state)
{
    (void)state;
    subscription *only = of_slot(NO_SLOT);
    int64_t before_us = clock_now_us();
    int peer = open_first(only);
    assert_true(inbox_is_coming(box()));
    assert_int_equal(heard.changes, 0);
    confirm(peer, only);
    assert_false(inbox_is_coming(box()));
    assert_int_equal(only->changes, 1);
    assert_int_equal(heard.changes, 1);
    assert_true(only->asks.sent_us >= before_us);
    say_grant(peer, "message", NO_SLOT);
    UNTIL(heard.grants == 1, pump(NEVER));
    assert_int_equal(heard.fence, 4711);
}

static void in_a_cluster_it_is_a_channel_of_the_slot(void **state)
{
    (void)state;
    subscription *its = of_slot(SLOT);
    int peer = open_first(its);
    assert_int_equal(key_slot(channel_of(SLOT), strlen(channel_of(SLOT))), SLOT);
    confirm(peer, its);
    assert_int_equal(its->changes, 1);
    say_grant(peer, "smessage", SLOT);
    UNTIL(heard.grants == 1, pump(NEVER));
    assert_ptr_equal(heard.by, box());
}

static void several_slots_are_heard_of_on_one_connection(void **state)
{
    (void)state;
    int peer = open_two();
    assert_int_equal(it.peer_count, 1);
    assert_int_equal(one->changes + other->changes, 2);
    say_grant(peer, "smessage", OTHER_SLOT);
    say_grant(peer, "smessage", SLOT);
    UNTIL(heard.grants == 2, pump(NEVER));
    assert_ptr_equal(of_slot(SLOT), one);
    assert_ptr_equal(of_slot(OTHER_SLOT), other);
    assert_ptr_not_equal(one, other);
}

static void without_memory_there_is_no_second_slot(void **state)
{
    (void)state;
    subscription *its = of_slot(SLOT);
    it.blocks.allowed = 0;
    assert_null(inbox_subscription(box(), OTHER_SLOT));
    assert_ptr_equal(inbox_subscription(box(), SLOT), its);
    it.blocks.allowed = -1;
    confirm(open_first(its), its);
}

/* ---- What the server ends ---- */

static void what_the_server_unsubscribes_is_lost_alone_and_taken_up_again(void **state)
{
    (void)state;
    int peer = open_two();
    say_of(peer, "sunsubscribe", OTHER_SLOT);
    await_state(other, SUBSCRIPTION_CLOSED);
    assert_lost(other, 2, REDLOCK_ERR_UNAVAILABLE, "another server has the lock now");
    assert_int_equal(heard.changes, 3);
    assert_int_equal(one->state, SUBSCRIPTION_OPEN);
    assert_int_equal(one->changes, 1);

    assert_true(subscription_wake_us(other) <= clock_now_us());
    open_now(other);
    expect_subscribing(peer, OTHER_SLOT);
    confirm(peer, other);
    assert_int_equal(other->changes, 3);
    assert_int_equal(it.peer_count, 1);
}

static void the_end_of_what_is_coming_or_foreign_is_none_of_ours(void **state)
{
    (void)state;
    int peer = open_two();
    subscription *coming = of_slot(7);
    open_now(coming);
    expect_subscribing(peer, 7);
    say_of(peer, "sunsubscribe", 7);
    say_of(peer, "sunsubscribe", 8);
    say_of(peer, "sunsubscribe", NO_SLOT);
    confirm(peer, coming);
    assert_int_equal(coming->changes, 1);
    assert_int_equal(one->state, SUBSCRIPTION_OPEN);
    assert_int_equal(other->state, SUBSCRIPTION_OPEN);
    assert_int_equal(heard.changes, 3);
}

/* ---- What is refused ---- */

static int64_t refused_us; /* or a little earlier */

/* The second of two slots is refused so. */
static int refuse_other(const char *words)
{
    int peer = open_one_and_ask_for_other();
    refused_us = clock_now_us();
    if (words != NULL) say(peer, words);
    else say_redirect(peer, "MOVED", OTHER_SLOT, 1);
    await_state(other, SUBSCRIPTION_CLOSED);
    return peer;
}

static void assert_tried_again_in_time(int peer)
{
    int64_t again_us = subscription_wake_us(other);
    assert_in_range(again_us, refused_us + NOT_BEFORE_US, clock_now_us() + NOT_BEFORE_US);
    subscription_open(other, again_us - 1);
    assert_int_equal(other->state, SUBSCRIPTION_CLOSED);
    subscription_open(other, again_us);
    (void)lane_flush(&it.lane, clock_now_us());
    expect_subscribing(peer, OTHER_SLOT);
    confirm(peer, other);
}

static void what_moved_is_lost_alone_and_teaches_where_it_is(void **state)
{
    (void)state;
    cluster_owns(&it.map, it.at[0].is, OTHER_SLOT);
    int peer = refuse_other(NULL);
    assert_ptr_equal(cluster_owner(&it.map, OTHER_SLOT), it.at[1].is);
    assert_null(cluster_owner(&it.map, SLOT));
    assert_int_equal(other->why, REDLOCK_ERR_UNAVAILABLE);
    assert_non_null(strstr(other->text.text, "the server refused SSUBSCRIBE: MOVED 3300 "));
    assert_int_equal(other->changes, 1);
    assert_int_equal(one->state, SUBSCRIPTION_OPEN);
    assert_int_equal(one->changes, 1);
    assert_tried_again_in_time(peer);
}

static void what_may_pass_is_lost_alone(void **state)
{
    (void)state;
    int peer = refuse_other("-CLUSTERDOWN Hash slot not served\r\n");
    assert_lost(other, 1, REDLOCK_ERR_UNAVAILABLE,
                "the server refused SSUBSCRIBE: CLUSTERDOWN Hash slot not served");
    assert_int_equal(one->state, SUBSCRIPTION_OPEN);
    assert_tried_again_in_time(peer);
}

static void what_is_refused_for_good_ends_the_connection(void **state)
{
    static const char words[] = "the server refused SSUBSCRIBE: NOPERM no channel for you";
    (void)state;
    expect_end(refuse_other("-NOPERM no channel for you\r\n"));
    assert_lost(other, 1, REDLOCK_ERR_DENIED, words);
    await_state(one, SUBSCRIPTION_CLOSED);
    assert_lost(one, 2, REDLOCK_ERR_DENIED, words);
}

static void on_a_single_server_a_redirect_ends_the_connection(void **state)
{
    (void)state;
    subscription *only = of_slot(NO_SLOT);
    int peer = open_first(only);
    say_redirect(peer, "MOVED", 1, 1);
    await_state(only, SUBSCRIPTION_CLOSED);
    assert_int_equal(only->why, REDLOCK_ERR_SERVER);
    assert_non_null(strstr(only->text.text, "use redis+cluster://"));
    expect_end(peer);
}

/* ---- What ends the connection ---- */

static void its_end_loses_all(void **state)
{
    static const char words[] = "the server closed the connection";
    (void)state;
    int peer = open_two();
    subscription *coming = of_slot(7);
    open_now(coming);
    expect_subscribing(peer, 7);
    hang_up(peer);
    await_state(coming, SUBSCRIPTION_CLOSED);
    await_state(one, SUBSCRIPTION_CLOSED);
    assert_lost(one, 2, REDLOCK_ERR_CONNECT, words);
    assert_lost(other, 2, REDLOCK_ERR_CONNECT, words);
    assert_lost(coming, 1, REDLOCK_ERR_CONNECT, words);
    assert_int_equal(heard.changes, 5);

    UNTIL(one->state == SUBSCRIPTION_SUBSCRIBING, open_and_pump(one));
    (void)lane_flush(&it.lane, clock_now_us());
    int again = accept_at(0);
    expect_subscribing(again, SLOT);
    confirm(again, one);
    assert_int_equal(other->state, SUBSCRIPTION_CLOSED);
}

static void a_slot_that_comes_while_it_connects_is_on_it_too(void **state)
{
    (void)state;
    one = of_slot(SLOT);
    other = of_slot(OTHER_SLOT);
    open_now(one);
    open_now(other);
    int peer = accept_at(0);
    UNTIL(box()->conn.state == CONN_OPEN, pump(NEVER));
    open_now(other);
    open_now(one);
    char words[2 * SLOT_CHANNEL_SIZE];
    size_t used = (size_t)snprintf(words, sizeof words, "SSUBSCRIBE %s", channel_of(OTHER_SLOT));
    snprintf(words + used, sizeof words - used, ", SSUBSCRIBE %s", channel_of(SLOT));
    expect_heard(peer, words);
    confirm(peer, other);
    assert_int_equal(one->state, SUBSCRIPTION_SUBSCRIBING);
    confirm(peer, one);
}

static void where_it_gives_way_all_are_lost(void **state)
{
    static const char words[] = "there is no room for another connection";
    (void)state;
    int peer = open_two();
    inbox_give_way(box(), clock_now_us());
    assert_lost(one, 2, REDLOCK_ERR_UNAVAILABLE, words);
    assert_lost(other, 2, REDLOCK_ERR_UNAVAILABLE, words);
    expect_end(peer);
    inbox_give_way(box(), clock_now_us());
    assert_int_equal(heard.changes, 4);
}

/* ---- Nobody hears it, says the server ---- */

static const char unheard[] = "nobody hears the inbox on the server that has the lock";

static void what_is_not_heard_is_closed_and_what_is_newer_than_the_question_is_not(void **state)
{
    (void)state;
    int peer = open_two();
    subscription_distrust(other, other->asks.sent_us - 1, false, clock_now_us());
    assert_int_equal(other->state, SUBSCRIPTION_OPEN);
    subscription_distrust(other, other->asks.sent_us, false, clock_now_us());
    assert_lost(other, 2, REDLOCK_ERR_UNAVAILABLE, unheard);
    assert_lost(one, 2, REDLOCK_ERR_UNAVAILABLE, unheard);
    expect_end(peer);
}

static void what_is_on_its_way_is_not_distrusted(void **state)
{
    (void)state;
    subscription *its = of_slot(SLOT);
    int peer = open_first(its);
    subscription_distrust(its, NEVER, false, clock_now_us());
    assert_int_equal(its->state, SUBSCRIPTION_SUBSCRIBING);
    confirm(peer, its);
}

static int lines;

static void count_lines(void *arg, redlock_level level, const char *line)
{
    (void)arg;
    assert_int_equal(level, REDLOCK_LOG_WARNING);
    assert_non_null(strstr(line, unheard));
    lines++;
}

static void it_is_logged_once_for_all_and_not_the_first_time(void **state)
{
    static conn_counters counters;
    (void)state;
    it.config.counters = &counters;
    it.log = (event_log){.write = count_lines, .level = REDLOCK_LOG_WARNING};
    lines = 0;
    subscription_distrust(of_slot(SLOT), 0, false, clock_now_us());
    assert_int_equal(lines, 0);
    subscription_distrust(of_slot(SLOT), 0, true, clock_now_us());
    subscription_distrust(of_slot(OTHER_SLOT), 0, true, clock_now_us());
    assert_int_equal(lines, 1);
}

/* ---- Without memory ---- */

/* Otherwise whoever opens the connection again would take the others for open. */
static void without_memory_to_subscribe_all_are_lost_at_once(void **state)
{
    static const char words[] = "out of memory";
    (void)state;
    int peer = open_two();
    enum { MORE = 16 };
    subscription *more[MORE]; /* more than there is room for without taking more */
    for (int i = 0; i < MORE; i++) more[i] = of_slot(i);
    it.blocks.allowed = 0;
    int sent = 0;
    while (sent < MORE && box()->conn.state == CONN_OPEN)
        subscription_open(more[sent++], clock_now_us());
    it.blocks.allowed = -1;
    assert_int_equal(box()->conn.state, CONN_CLOSED);
    for (int i = 0; i < sent; i++) assert_lost(more[i], 1, REDLOCK_ERR_MEMORY, words);
    assert_lost(one, 2, REDLOCK_ERR_MEMORY, words);
    assert_lost(other, 2, REDLOCK_ERR_MEMORY, words);
    expect_end(peer);
}

#define IN_BOX(name) cmocka_unit_test_setup_teardown(name, set_up_cluster, tear_down)
#define ALONE(name) cmocka_unit_test_setup_teardown(name, set_up_single, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE(on_a_single_server_it_is_the_channel_of_the_lane),
        IN_BOX(in_a_cluster_it_is_a_channel_of_the_slot),
        IN_BOX(several_slots_are_heard_of_on_one_connection),
        IN_BOX(without_memory_there_is_no_second_slot),
        IN_BOX(what_the_server_unsubscribes_is_lost_alone_and_taken_up_again),
        IN_BOX(the_end_of_what_is_coming_or_foreign_is_none_of_ours),
        IN_BOX(what_moved_is_lost_alone_and_teaches_where_it_is),
        IN_BOX(what_may_pass_is_lost_alone),
        IN_BOX(what_is_refused_for_good_ends_the_connection),
        ALONE(on_a_single_server_a_redirect_ends_the_connection),
        IN_BOX(its_end_loses_all),
        IN_BOX(a_slot_that_comes_while_it_connects_is_on_it_too),
        IN_BOX(where_it_gives_way_all_are_lost),
        IN_BOX(what_is_not_heard_is_closed_and_what_is_newer_than_the_question_is_not),
        IN_BOX(what_is_on_its_way_is_not_distrusted),
        IN_BOX(it_is_logged_once_for_all_and_not_the_first_time),
        IN_BOX(without_memory_to_subscribe_all_are_lost_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
