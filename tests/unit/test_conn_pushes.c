/* SPDX-License-Identifier: MIT
 * net/conn: a command that goes ahead of a call, and what a server says that nobody asked for. */
#include "unit/conn_fixture.h"

#define ASKING "*1\r\n$6\r\nASKING\r\n"
#define PING "*1\r\n$4\r\nPING\r\n"

/* ---- A command ahead of a call --------------------------------------------------------------- */

static bool try_to_submit_behind(probe *self, const char *first, const char *verb)
{
    command ahead, cmd;
    command_begin(&ahead, first);
    command_begin(&cmd, verb);
    self->call.answered = remember;
    self->call.deadline_us = it.now_us + TIMEOUT_US;
    return conn_submit_behind(&it.conn, &self->call, &ahead, &cmd, it.now_us);
}

static void submit_behind(probe *self)
{
    assert_true(try_to_submit_behind(self, "ASKING", "PING"));
}

static void both_commands_leave_in_one_write_and_in_order(void **state)
{
    (void)state;
    static probe ping;
    open_and_accept();
    submit_behind(&ping);
    assert_string_equal(hear(), "");
    conn_flush(&it.conn, it.now_us);
    assert_string_equal(hear(), ASKING PING);
    assert_int_equal(it.counters.writes, 1);
    assert_int_equal(it.counters.commands, 2);
}

static void what_is_said_to_the_first_concerns_nobody(void **state)
{
    (void)state;
    static const char *const replies[] = {"+OK\r\n", "-ERR unknown command 'ASKING'\r\n", ":1\r\n",
                                          "*2\r\n:1\r\n:2\r\n", "$-1\r\n"};
    open_and_accept();
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        static probe ping;
        ping = (probe){0};
        submit_behind(&ping);
        answer_with(replies[i]);
        assert_int_equal(ping.answers, 0);
        answer_with("+PONG\r\n");
        assert_int_equal(ping.answers, 1);
        assert_string_equal(ping.text, "PONG");
    }
    assert_int_equal(it.conn.state, CONN_OPEN);
}

static void calls_around_it_have_their_own_answers(void **state)
{
    (void)state;
    static probe before, ping, again, after;
    open_and_accept();
    submit(&before, "BEFORE");
    submit_behind(&ping);
    submit_behind(&again);
    submit(&after, "AFTER");
    conn_flush(&it.conn, it.now_us);
    answer_with(":1\r\n+OK\r\n:2\r\n-ERR no\r\n:3\r\n:4\r\n");
    assert_int_equal(before.integer, 1);
    assert_int_equal(ping.integer, 2);
    assert_int_equal(again.integer, 3);
    assert_int_equal(after.integer, 4);
    assert_int_equal(before.answers + ping.answers + again.answers + after.answers, 4);
}

static void end_by_peer_now(void)
{
    hear();
    close(it.peer);
    it.peer = -1;
    pump();
}

static void a_cut_before_either_answer_tells_the_call_once(void **state)
{
    (void)state;
    static probe none, half;
    open_and_accept();
    submit_behind(&none);
    conn_flush(&it.conn, it.now_us);
    end_by_peer_now();
    assert_closed(REDLOCK_ERR_CONNECT);
    assert_true(none.was_cut);

    open_and_accept();
    submit_behind(&half);
    conn_flush(&it.conn, it.now_us);
    answer_with("+OK\r\n");
    end_by_peer_now();
    assert_closed(REDLOCK_ERR_CONNECT);
    assert_true(half.was_cut);
    assert_int_equal(none.answers, 1);
    assert_int_equal(half.answers, 1);
}

/* As an exchange does, whose call goes by another way next time. */
static void a_call_that_was_cut_has_nothing_ahead_of_it_when_it_is_submitted_alone(void **state)
{
    (void)state;
    static probe ping;
    open_and_accept();
    submit_behind(&ping);
    conn_flush(&it.conn, it.now_us);
    end_by_peer_now();
    open_and_accept();
    submit(&ping, "PING");
    answer_with("+PONG\r\n");
    assert_int_equal(ping.answers, 2);
    assert_string_equal(ping.text, "PONG");
}

static void a_closed_connection_takes_neither(void **state)
{
    (void)state;
    static probe none, ping;
    assert_false(try_to_submit_behind(&none, "ASKING", "PING"));
    assert_int_equal(it.counters.commands, 0);
    open_and_accept();
    submit(&ping, "PING");
    conn_flush(&it.conn, it.now_us);
    assert_string_equal(hear(), PING);
    assert_int_equal(none.answers, 0);
}

static void without_memory_for_the_first_nothing_is_queued(void **state)
{
    (void)state;
    static probe none, ping;
    open_and_accept();
    it.blocks.allowed = 0;
    assert_false(try_to_submit_behind(&none, "ASKING", "PING"));
    it.blocks.allowed = -1;
    assert_int_equal(it.conn.state, CONN_OPEN);
    submit(&ping, "PING");
    conn_flush(&it.conn, it.now_us);
    assert_string_equal(hear(), PING);
    answer_with("+PONG\r\n");
    assert_int_equal(ping.answers, 1);
    assert_int_equal(none.answers, 0);
}

/* ASKING alone would let in the next command, whatever that is. */
static void without_memory_for_the_second_the_first_does_not_leave(void **state)
{
    (void)state;
    static char verb[100000];
    static probe before, none;
    memset(verb, 'x', sizeof verb - 1);
    open_and_accept();
    submit(&before, "BEFORE");
    it.blocks.allowed = 0;
    assert_false(try_to_submit_behind(&none, "ASKING", verb));
    it.blocks.allowed = -1;
    assert_closed(REDLOCK_ERR_MEMORY);
    assert_true(before.was_cut);
    assert_int_equal(before.answers, 1);
    assert_int_equal(none.answers, 0);
    assert_string_equal(hear(), "");
}

/* ---- What nobody asked for ------------------------------------------------------------------- */

#define SMESSAGE(channel, payload)                                                                 \
    "*3\r\n$8\r\nsmessage\r\n$1\r\n" channel "\r\n$1\r\n" payload "\r\n"
#define SUNSUBSCRIBE(channel) "*3\r\n$12\r\nsunsubscribe\r\n$1\r\n" channel "\r\n:0\r\n"
#define SSUBSCRIBED(channel) "*3\r\n$10\r\nssubscribe\r\n$1\r\n" channel "\r\n:1\r\n"

static char pushes[256];

static void keep_push(const char *channel, const char *what)
{
    size_t used = strlen(pushes);
    snprintf(pushes + used, sizeof pushes - used, "%s=%s;", channel, what);
}

static void keep_payload(conn *self, const reply *channel, const reply *payload, int64_t now_us)
{
    (void)now_us;
    assert_ptr_equal(self, &it.conn);
    keep_push(channel->text, payload->text);
}

static void keep_ended(conn *self, const reply *channel, int64_t now_us)
{
    assert_ptr_equal(self, &it.conn);
    assert_true(now_us == it.now_us);
    keep_push(channel->text, "ended");
}

static void open_inbox(void)
{
    pushes[0] = '\0';
    it.conn.on_message = keep_payload;
    it.conn.on_unsubscribed = keep_ended;
    open_and_accept();
}

static void what_a_shard_publishes_is_a_message(void **state)
{
    (void)state;
    open_inbox();
    answer_with(
        SMESSAGE("a", "x") "*3\r\n$7\r\nmessage\r\n$1\r\nb\r\n$1\r\ny\r\n" SMESSAGE("b", "z"));
    assert_string_equal(pushes, "a=x;b=y;b=z;");
}

static void what_the_server_unsubscribes_is_told(void **state)
{
    (void)state;
    open_inbox();
    answer_with(SUNSUBSCRIBE("a") SUNSUBSCRIBE("b"));
    assert_string_equal(pushes, "a=ended;b=ended;");
    assert_int_equal(it.conn.state, CONN_OPEN);
}

static void between_a_call_and_its_answer_it_is_no_answer(void **state)
{
    (void)state;
    static probe first, second;
    open_inbox();
    submit(&first, "SSUBSCRIBE");
    submit(&second, "SSUBSCRIBE");
    conn_flush(&it.conn, it.now_us);
    answer_with(SUNSUBSCRIBE("a") SMESSAGE("b", "x") SSUBSCRIBED("c") SUNSUBSCRIBE("c"));
    assert_int_equal(first.answers, 1);
    assert_int_equal(first.kind, REPLY_ARRAY);
    assert_int_equal(second.answers, 0);
    answer_with("-MOVED 1 10.0.0.1:7001\r\n");
    assert_int_equal(second.answers, 1);
    assert_int_equal(second.kind, REPLY_ERROR);
    assert_string_equal(pushes, "a=ended;b=x;c=ended;");
}

static void on_a_command_connection_it_is_an_answer_as_ever(void **state)
{
    (void)state;
    static const char *const replies[] = {SUNSUBSCRIBE("a"), SMESSAGE("a", "x")};
    open_and_accept();
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        static probe ping;
        ping = (probe){0};
        submit(&ping, "PING");
        answer_with(replies[i]);
        assert_int_equal(ping.answers, 1);
        assert_int_equal(ping.kind, REPLY_ARRAY);
    }
}

static void what_is_not_quite_like_it_is_a_reply_that_nobody_asked_for(void **state)
{
    (void)state;
    static const char *const streams[] = {"*3\r\n$12\r\nsunsubscribe\r\n:1\r\n:0\r\n",
                                          "*3\r\n$12\r\nsunsubscribe\r\n$-1\r\n:0\r\n",
                                          "*2\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n",
                                          "*3\r\n+sunsubscribe\r\n$1\r\na\r\n:0\r\n",
                                          "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n",
                                          "*3\r\n$8\r\nsmessage\r\n$1\r\na\r\n:1\r\n"};
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        open_inbox();
        answer_with(streams[i]);
        assert_closed(REDLOCK_ERR_PROTOCOL);
        assert_string_equal(pushes, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_commands_leave_in_one_write_and_in_order),
        TEST(what_is_said_to_the_first_concerns_nobody),
        TEST(calls_around_it_have_their_own_answers),
        TEST(a_cut_before_either_answer_tells_the_call_once),
        TEST(a_call_that_was_cut_has_nothing_ahead_of_it_when_it_is_submitted_alone),
        TEST(a_closed_connection_takes_neither),
        TEST(without_memory_for_the_first_nothing_is_queued),
        TEST(without_memory_for_the_second_the_first_does_not_leave),
        TEST(what_a_shard_publishes_is_a_message),
        TEST(what_the_server_unsubscribes_is_told),
        TEST(between_a_call_and_its_answer_it_is_no_answer),
        TEST(on_a_command_connection_it_is_an_answer_as_ever),
        TEST(what_is_not_quite_like_it_is_a_reply_that_nobody_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
