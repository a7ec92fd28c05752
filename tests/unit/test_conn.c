/* SPDX-License-Identifier: MIT
 * net/conn: every call is answered once, whatever the server and the callbacks do. */
#include "unit/conn_fixture.h"

#include <fcntl.h>

#include "host/clock.h"

#define PING "*1\r\n$4\r\nPING\r\n"

/* ---- Calls and replies ----------------------------------------------------------------------- */

static void without_a_greeting_a_connection_is_open_at_once(void **state)
{
    (void)state;
    open_and_accept();
    assert_int_equal(it.conn.state, CONN_OPEN);
    assert_int_equal(it.counters.connections, 1);
    assert_string_equal(hear(), "");
    assert_true(conn_wake_us(&it.conn) == INT64_MAX);
    assert_true((fcntl(it.conn.fd, F_GETFD) & FD_CLOEXEC) != 0);
}

static void a_command_leaves_and_its_reply_comes_back(void **state)
{
    (void)state;
    static probe ping;
    open_and_accept();
    submit(&ping, "PING");
    assert_string_equal(hear(), "");
    conn_flush(&it.conn, it.now_us);
    assert_string_equal(hear(), PING);
    it.now_us += 5;
    answer_with("+PONG\r\n");
    assert_int_equal(ping.answers, 1);
    assert_string_equal(ping.text, "PONG");
    assert_true(ping.call.sent_us == START_US && ping.answered_us == it.now_us);
    assert_int_equal(it.node.served, 1);
}

static void commands_of_one_round_leave_in_one_write(void **state)
{
    (void)state;
    static probe calls[3];
    open_and_accept();
    for (int i = 0; i < 3; i++) submit(&calls[i], "PING");
    conn_flush(&it.conn, it.now_us);
    assert_int_equal(it.counters.writes, 1);
    assert_int_equal(it.counters.commands, 3);
    assert_string_equal(hear(), PING PING PING);
}

static void replies_belong_to_the_calls_in_order(void **state)
{
    (void)state;
    static probe calls[3];
    open_and_accept();
    for (int i = 0; i < 3; i++) submit(&calls[i], "PING");
    conn_flush(&it.conn, it.now_us);
    answer_with(":1\r\n:2\r\n");
    assert_int_equal(calls[0].integer, 1);
    assert_int_equal(calls[1].integer, 2);
    assert_int_equal(calls[2].answers, 0);
    answer_with("-ERR third\r\n");
    assert_string_equal(calls[2].text, "ERR third");
}

static void replies_that_come_byte_by_byte_lose_nothing(void **state)
{
    (void)state;
    static const char stream[] = "$3\r\nabc\r\n:2\r\n";
    static probe calls[2];
    open_and_accept();
    for (int i = 0; i < 2; i++) submit(&calls[i], "PING");
    for (size_t i = 0; i + 1 < sizeof stream; i++) {
        say_bytes(stream + i, 1);
        pump();
    }
    assert_string_equal(calls[0].text, "abc");
    assert_int_equal(calls[1].integer, 2);
    assert_int_equal(calls[0].answers + calls[1].answers, 2);
}

static void a_queue_that_nobody_flushed_is_polled_for(void **state)
{
    (void)state;
    static probe ping;
    open_and_accept();
    assert_int_equal(conn_poll_events(&it.conn), POLLIN);
    submit(&ping, "PING");
    assert_int_equal(conn_poll_events(&it.conn), POLLIN | POLLOUT);
    pump();
    assert_string_equal(hear(), PING);
    assert_int_equal(conn_poll_events(&it.conn), POLLIN);
}

static void what_the_socket_does_not_take_leaves_later(void **state)
{
    (void)state;
    static char argument[300000], heard[1 << 20];
    memset(argument, 'x', sizeof argument);
    static probe set = {.call = {.answered = remember, .deadline_us = INT64_MAX}};
    command cmd;
    open_and_accept();
    command_begin(&cmd, "SET");
    command_add(&cmd, argument, sizeof argument);
    assert_true(conn_submit(&it.conn, &set.call, &cmd, it.now_us));
    conn_flush(&it.conn, it.now_us);
    assert_int_equal(conn_poll_events(&it.conn), POLLIN | POLLOUT);
    size_t length = 0;
    for (ssize_t n; (n = recv(it.peer, heard + length, sizeof heard - length, MSG_DONTWAIT)) > 0;
         pump()) {
        length += (size_t)n;
    }
    assert_int_equal(length, 13 + 9 + sizeof argument + 2);
    assert_memory_equal(heard + 22, argument, sizeof argument);
    assert_null(it.conn.out.first);
}

/* ---- Ends ------------------------------------------------------------------------------------ */

static void a_cut_within_a_reply_answers_once_that_nothing_is_known(void **state)
{
    (void)state;
    static probe ping;
    open_and_accept();
    submit(&ping, "PING");
    conn_flush(&it.conn, it.now_us);
    say("$10\r\nabc");
    close(it.peer);
    it.peer = -1;
    pump();
    pump();
    assert_closed(REDLOCK_ERR_CONNECT);
    assert_int_equal(ping.answers, 1);
    assert_true(ping.was_cut);
    assert_int_equal(it.counters.connections_lost, 1);
}

static void a_reply_that_came_before_the_cut_counts(void **state)
{
    (void)state;
    static probe calls[2];
    open_and_accept();
    for (int i = 0; i < 2; i++) submit(&calls[i], "PING");
    conn_flush(&it.conn, it.now_us);
    say("+PONG\r\n");
    hear();
    close(it.peer);
    it.peer = -1;
    pump();
    pump();
    assert_closed(REDLOCK_ERR_CONNECT);
    assert_false(calls[0].was_cut);
    assert_true(calls[1].was_cut);
}

static void a_peer_that_is_gone_raises_no_signal(void **state)
{
    (void)state;
    static probe ping;
    open_and_accept();
    close(it.peer);
    it.peer = -1;
    submit(&ping, "PING");
    conn_flush(&it.conn, it.now_us);
    assert_closed(REDLOCK_ERR_CONNECT);
    assert_string_equal(it.conn.failure_detail.text, "the server closed the connection");
    assert_true(ping.was_cut);
}

static void a_late_answer_closes_the_connection(void **state)
{
    (void)state;
    static probe calls[2];
    open_and_accept();
    for (int i = 0; i < 2; i++) submit(&calls[i], "PING");
    assert_true(conn_wake_us(&it.conn) == START_US + TIMEOUT_US);
    conn_tick(&it.conn, START_US + TIMEOUT_US - 1);
    assert_int_equal(it.conn.state, CONN_OPEN);
    conn_tick(&it.conn, START_US + TIMEOUT_US);
    assert_closed(REDLOCK_ERR_TIMEOUT);
    assert_true(calls[0].was_cut && calls[1].was_cut);
    assert_int_equal(calls[0].answers + calls[1].answers, 2);
}

static void a_server_that_answers_others_is_not_silent(void **state)
{
    (void)state;
    static probe calls[2];
    open_and_accept();
    for (int i = 0; i < 2; i++) submit(&calls[i], "PING");
    conn_flush(&it.conn, it.now_us);
    it.now_us = START_US + TIMEOUT_US / 2;
    answer_with("+PONG\r\n");
    conn_tick(&it.conn, START_US + TIMEOUT_US);
    assert_int_equal(it.conn.state, CONN_OPEN);
    assert_true(conn_wake_us(&it.conn) == it.now_us + TIMEOUT_US);
    conn_tick(&it.conn, it.now_us + TIMEOUT_US);
    assert_closed(REDLOCK_ERR_TIMEOUT);
    assert_true(!calls[0].was_cut && calls[1].was_cut);
}

static void the_impatient_call_behind_a_patient_one_is_noticed(void **state)
{
    (void)state;
    static probe patient, impatient;
    open_and_accept();
    submit_for(&patient, "PING", 10 * TIMEOUT_US);
    submit(&impatient, "PING");
    assert_true(conn_wake_us(&it.conn) == START_US + TIMEOUT_US);
    conn_tick(&it.conn, START_US + TIMEOUT_US);
    assert_closed(REDLOCK_ERR_TIMEOUT);
}

static void the_owner_may_close_and_open_again(void **state)
{
    (void)state;
    static probe before, after;
    open_and_accept();
    submit(&before, "OLD");
    answer_with("$100\r\nhalf");
    conn_close(&it.conn, REDLOCK_OK, NULL, it.now_us);
    assert_closed(REDLOCK_OK);
    assert_true(before.was_cut);
    open_and_accept();
    submit(&after, "PING");
    conn_flush(&it.conn, it.now_us);
    assert_string_equal(hear(), PING);
    answer_with("+PONG\r\n");
    assert_string_equal(after.text, "PONG");
    assert_int_equal(it.counters.connections_lost, 0);
}

static void what_had_not_left_does_not_leave_on_the_next_connection(void **state)
{
    (void)state;
    static probe unsent;
    open_and_accept();
    submit(&unsent, "OLD");
    conn_close(&it.conn, REDLOCK_ERR_CONNECT, "cut", it.now_us);
    assert_true(unsent.was_cut);
    open_and_accept();
    conn_flush(&it.conn, it.now_us);
    pump();
    assert_string_equal(hear(), "");
}

static void a_closed_connection_takes_no_command(void **state)
{
    (void)state;
    call none = {0};
    command cmd;
    command_begin(&cmd, "PING");
    assert_false(conn_submit(&it.conn, &none, &cmd, it.now_us));
    conn_flush(&it.conn, it.now_us);
    conn_tick(&it.conn, INT64_MAX);
    conn_ready(&it.conn, POLLIN, it.now_us);
    assert_false(conn_receive_soon(&it.conn, true));
    assert_int_equal(conn_poll_events(&it.conn), 0);
    assert_closed(REDLOCK_OK);
}

static void a_command_without_memory_is_not_queued(void **state)
{
    (void)state;
    call none = {0};
    command cmd;
    open_and_accept();
    command_begin(&cmd, "PING");
    it.blocks.allowed = 0;
    assert_false(conn_submit(&it.conn, &none, &cmd, it.now_us));
    assert_null(it.conn.first);
    assert_int_equal(conn_poll_events(&it.conn), POLLIN);
}

/* ---- What callbacks may do ------------------------------------------------------------------- */

static probe follower;

static void submit_follower(probe *self)
{
    (void)self;
    submit(&follower, "NEXT");
}

static void submit_itself(probe *self)
{
    if (self->answers == 1) submit(self, "AGAIN");
}

static void close_connection(probe *self)
{
    (void)self;
    conn_close(&it.conn, REDLOCK_ERR_CLOSED, NULL, it.now_us);
}

static void close_and_open(probe *self)
{
    close_connection(self);
    self->then = NULL;
    conn_open(&it.conn, it.now_us);
    submit(&follower, "NEXT");
}

static void an_answered_call_may_submit_another(void **state)
{
    (void)state;
    static probe first = {.then = submit_follower};
    follower = (probe){0};
    open_and_accept();
    submit(&first, "PING");
    conn_flush(&it.conn, it.now_us);
    hear();
    answer_with(":1\r\n");
    assert_string_equal(hear(), "*1\r\n$4\r\nNEXT\r\n");
    answer_with(":2\r\n");
    assert_int_equal(first.answers, 1);
    assert_int_equal(follower.integer, 2);
}

static void an_answered_call_may_submit_itself(void **state)
{
    (void)state;
    static probe first = {.then = submit_itself};
    open_and_accept();
    submit(&first, "PING");
    answer_with(":1\r\n");
    answer_with(":2\r\n");
    assert_int_equal(first.answers, 2);
    assert_int_equal(first.integer, 2);
    assert_null(it.conn.first);
}

static void an_answered_call_may_close_the_connection(void **state)
{
    (void)state;
    static probe calls[3] = {{.then = close_connection}};
    open_and_accept();
    for (int i = 0; i < 3; i++) submit(&calls[i], "PING");
    answer_with("+one\r\n+two\r\n+three\r\n");
    assert_closed(REDLOCK_ERR_CLOSED);
    assert_string_equal(calls[0].text, "one");
    for (int i = 0; i < 3; i++) assert_int_equal(calls[i].answers, 1);
    assert_true(calls[1].was_cut && calls[2].was_cut);
}

static void replies_of_the_old_connection_do_not_answer_the_new_one(void **state)
{
    (void)state;
    static probe first = {.then = close_and_open};
    follower = (probe){0};
    open_and_accept();
    submit(&first, "PING");
    answer_with("+a-reply-that-is-still-there-when-the-callback-returns\r\n+stale\r\n");
    assert_int_equal(it.conn.state, CONN_OPEN);
    assert_string_equal(first.text, "a-reply-that-is-still-there-when-the-callback-returns");
    assert_int_equal(follower.answers, 0);
    close(it.peer);
    it.peer = accept4(it.listener, NULL, NULL, SOCK_NONBLOCK);
    answer_with("+fresh\r\n");
    assert_string_equal(follower.text, "fresh");
}

static void a_call_that_was_cut_may_open_the_connection_again(void **state)
{
    (void)state;
    static probe calls[2] = {{.then = close_and_open}};
    follower = (probe){0};
    open_and_accept();
    for (int i = 0; i < 2; i++) submit(&calls[i], "PING");
    conn_tick(&it.conn, START_US + TIMEOUT_US);
    assert_int_equal(it.conn.state, CONN_OPEN);
    assert_int_equal(calls[1].answers, 1);
    assert_ptr_equal(it.conn.first, &follower.call);
    assert_int_equal(follower.answers, 0);
}

/* ---- A great many calls ---------------------------------------------------------------------- */

enum { MANY = 3 * CONN_CUT_AT_ONCE + 1 };
static probe many[MANY];

static void submit_many(void)
{
    memset(many, 0, sizeof many);
    open_and_accept();
    for (int i = 0; i < MANY; i++) submit(&many[i], "PING");
}

static void assert_told_in_order(int told)
{
    for (int i = 0; i < MANY; i++) assert_int_equal(many[i].answers, i < told);
}

static void a_loss_is_told_in_portions(void **state)
{
    (void)state;
    static probe after;
    submit_many();
    conn_tick(&it.conn, START_US + TIMEOUT_US);
    assert_told_in_order(CONN_CUT_AT_ONCE);
    open_and_accept(); /* does not lose the others, nor mix them with its own calls */
    submit(&after, "PING");
    for (int portions = 2; portions <= 4; portions++) {
        assert_true(conn_has_pending(&it.conn));
        conn_ready(&it.conn, 0, it.now_us);
        assert_told_in_order(portions < 4 ? portions * CONN_CUT_AT_ONCE : MANY);
    }
    assert_false(conn_has_pending(&it.conn));
    assert_int_equal(after.answers, 0);
    answer_with("+PONG\r\n");
    assert_string_equal(after.text, "PONG");
}

static void the_owner_that_closes_leaves_nobody_untold(void **state)
{
    (void)state;
    submit_many();
    conn_close(&it.conn, REDLOCK_OK, NULL, it.now_us);
    assert_told_in_order(MANY);
    submit_many();
    conn_close(&it.conn, REDLOCK_ERR_CONNECT, "cut", it.now_us);
    assert_told_in_order(CONN_CUT_AT_ONCE);
    conn_close(&it.conn, REDLOCK_OK, NULL, it.now_us);
    assert_told_in_order(MANY);
}

/* ---- Hostile servers ------------------------------------------------------------------------- */

static void a_reply_that_nobody_asked_for_closes(void **state)
{
    (void)state;
    open_and_accept();
    answer_with("+surprise\r\n");
    assert_closed(REDLOCK_ERR_PROTOCOL);
}

static void a_stream_beyond_the_limits_closes(void **state)
{
    (void)state;
    static const char *const streams[] = {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", "*2147483647\r\n",
                                          "HTTP/1.1 200 OK\r\n", "%1\r\n+a\r\n+b\r\n", "$-7\r\n"};
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        probe ping = {0};
        open_and_accept();
        submit(&ping, "PING");
        answer_with(streams[i]);
        assert_closed(REDLOCK_ERR_PROTOCOL);
        assert_int_equal(ping.answers, 1);
        assert_true(ping.was_cut);
    }
}

static void a_server_without_room_tells_the_first_call_so_and_cuts_the_others(void **state)
{
    (void)state;
    static probe ping, pong;
    open_and_accept();
    submit(&ping, "PING");
    submit(&pong, "PING");
    answer_with("-ERR max number of clients reached\r\n");
    assert_closed(REDLOCK_ERR_UNAVAILABLE);
    assert_string_equal(it.conn.failure_detail.text, "ERR max number of clients reached");
    assert_true(it.conn.is_crowded);
    assert_int_equal(ping.answers, 1);
    assert_false(ping.was_cut);
    assert_int_equal(ping.kind, REPLY_ERROR);
    assert_true(pong.was_cut);
    open_and_accept();
    answer_with("-ERR max number of clients reached\r\n"); /* nobody has asked anything */
    assert_closed(REDLOCK_ERR_UNAVAILABLE);
}

static void what_a_server_said_before_it_hung_up_is_heard(void **state)
{
    (void)state;
    static probe ping;
    open_and_accept();
    say("-ERR max number of clients reached\r\n");
    close(it.peer);
    it.peer = -1;
    submit(&ping, "PING");
    conn_flush(&it.conn, it.now_us);
    assert_closed(REDLOCK_ERR_UNAVAILABLE);
    assert_true(it.conn.is_crowded);
    assert_false(ping.was_cut);
}

static void a_server_that_denies_itself_answers_no_call(void **state)
{
    (void)state;
    static probe ping;
    open_and_accept();
    submit(&ping, "PING");
    answer_with("-DENIED Redis is running in protected mode\r\n");
    assert_closed(REDLOCK_ERR_DENIED);
    assert_false(it.conn.is_crowded);
    assert_true(ping.was_cut);
}

/* ---- Messages -------------------------------------------------------------------------------- */

static char messages[256];

static void keep_message(conn *self, const reply *channel, const reply *payload, int64_t now_us)
{
    (void)now_us;
    assert_ptr_equal(self, &it.conn);
    size_t used = strlen(messages);
    snprintf(messages + used, sizeof messages - used, "%s=%s;", channel->text, payload->text);
}

static void messages_go_to_the_inbox_and_confirmations_to_calls(void **state)
{
    (void)state;
    static probe subscribe;
    messages[0] = '\0';
    it.conn.on_message = keep_message;
    open_and_accept();
    submit(&subscribe, "SUBSCRIBE");
    answer_with(
        "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:1\r\n"
        "*3\r\n$7\r\nmessage\r\n$1\r\nb\r\n$1\r\ny\r\n");
    assert_string_equal(messages, "a=x;b=y;");
    assert_int_equal(subscribe.answers, 1);
    assert_int_equal(subscribe.kind, REPLY_ARRAY);
}

static void what_is_not_quite_a_message_is_none(void **state)
{
    (void)state;
    static const char *const streams[] = {"*3\r\n$7\r\nmessage\r\n:1\r\n$1\r\nx\r\n",
                                          "*2\r\n$7\r\nmessage\r\n$1\r\nx\r\n",
                                          "*3\r\n+message\r\n$1\r\na\r\n$1\r\nx\r\n", "*0\r\n",
                                          "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n*-1\r\n"};
    it.conn.on_message = keep_message;
    messages[0] = '\0';
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        open_and_accept();
        answer_with(streams[i]);
        assert_closed(REDLOCK_ERR_PROTOCOL);
    }
    assert_string_equal(messages, "");
}

/* ---- The short cut --------------------------------------------------------------------------- */

static void the_short_cut_takes_a_reply_without_poll(void **state)
{
    (void)state;
    static probe first = {.then = submit_follower};
    follower = (probe){0};
    open_and_accept();
    submit(&first, "PING");
    assert_false(conn_receive_soon(&it.conn, true));
    conn_flush(&it.conn, it.now_us);
    hear();
    int64_t before_us = clock_now_us();
    say("+PONG\r\n");
    assert_true(conn_receive_soon(&it.conn, true));
    assert_string_equal(first.text, "PONG");
    assert_true(first.answered_us >= before_us);
    assert_string_equal(hear(), "*1\r\n$4\r\nNEXT\r\n");
}

static void the_short_cut_gives_up_soon(void **state)
{
    (void)state;
    open_and_accept();
    assert_false(conn_receive_soon(&it.conn, true));
    assert_int_equal(it.conn.state, CONN_OPEN);
    struct timeval limit;
    socklen_t length = sizeof limit;
    assert_int_equal(getsockopt(it.conn.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &length), 0);
    assert_int_equal(limit.tv_sec, 0);
    assert_in_range(limit.tv_usec, 1, 20000);
}

static void the_short_cut_sees_the_end(void **state)
{
    (void)state;
    static probe ping;
    open_and_accept();
    submit(&ping, "PING");
    conn_flush(&it.conn, it.now_us);
    hear();
    close(it.peer);
    it.peer = -1;
    assert_true(conn_receive_soon(&it.conn, true));
    assert_closed(REDLOCK_ERR_CONNECT);
    assert_true(ping.was_cut);
}

static void polling_never_blocks_though_the_socket_may(void **state)
{
    (void)state;
    static probe ping;
    open_and_accept();
    assert_int_equal(fcntl(it.conn.fd, F_GETFL) & O_NONBLOCK, 0);
    /* If it did block, it would be for ever, and the alarm would end the test. */
    const struct timeval no_limit = {0};
    assert_int_equal(setsockopt(it.conn.fd, SOL_SOCKET, SO_RCVTIMEO, &no_limit, sizeof no_limit),
                     0);
    alarm(10);
    submit(&ping, "PING");
    conn_ready(&it.conn, POLLIN, it.now_us);
    conn_ready(&it.conn, POLLIN, it.now_us);
    alarm(0);
    assert_int_equal(it.conn.state, CONN_OPEN);
    assert_int_equal(ping.answers, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_greeting_a_connection_is_open_at_once),
        TEST(a_command_leaves_and_its_reply_comes_back),
        TEST(commands_of_one_round_leave_in_one_write),
        TEST(replies_belong_to_the_calls_in_order),
        TEST(replies_that_come_byte_by_byte_lose_nothing),
        TEST(a_queue_that_nobody_flushed_is_polled_for),
        TEST(what_the_socket_does_not_take_leaves_later),
        TEST(a_cut_within_a_reply_answers_once_that_nothing_is_known),
        TEST(a_reply_that_came_before_the_cut_counts),
        TEST(a_peer_that_is_gone_raises_no_signal),
        TEST(a_late_answer_closes_the_connection),
        TEST(a_server_that_answers_others_is_not_silent),
        TEST(the_impatient_call_behind_a_patient_one_is_noticed),
        TEST(the_owner_may_close_and_open_again),
        TEST(what_had_not_left_does_not_leave_on_the_next_connection),
        TEST(a_closed_connection_takes_no_command),
        TEST(a_command_without_memory_is_not_queued),
        TEST(an_answered_call_may_submit_another),
        TEST(an_answered_call_may_submit_itself),
        TEST(an_answered_call_may_close_the_connection),
        TEST(replies_of_the_old_connection_do_not_answer_the_new_one),
        TEST(a_call_that_was_cut_may_open_the_connection_again),
        TEST(a_loss_is_told_in_portions),
        TEST(the_owner_that_closes_leaves_nobody_untold),
        TEST(a_reply_that_nobody_asked_for_closes),
        TEST(a_stream_beyond_the_limits_closes),
        TEST(a_server_without_room_tells_the_first_call_so_and_cuts_the_others),
        TEST(what_a_server_said_before_it_hung_up_is_heard),
        TEST(a_server_that_denies_itself_answers_no_call),
        TEST(messages_go_to_the_inbox_and_confirmations_to_calls),
        TEST(what_is_not_quite_a_message_is_none),
        TEST(the_short_cut_takes_a_reply_without_poll),
        TEST(the_short_cut_gives_up_soon),
        TEST(the_short_cut_sees_the_end),
        TEST(polling_never_blocks_though_the_socket_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
