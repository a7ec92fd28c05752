/* SPDX-License-Identifier: MIT
 * net/conn: what becomes of bytes when their connection is closed. Over TCP, where a kernel holds
 * them; its peer sees an end of file where everything was delivered, and a reset where something
 * was dropped. */
#include "unit/conn_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>

#define PING "*1\r\n$4\r\nPING\r\n"
#define UNDO "*1\r\n$4\r\nUNDO\r\n"

enum { MUCH = 16 << 20 }; /* more than the buffers of both ends */

static char much[MUCH];

/* ---- A server on TCP ------------------------------------------------------------------------- */

static int set_up_tcp(void **state)
{
    if (set_up(state) != 0) return -1;
    unlink(it.server.host);
    rmdir(it.directory);
    close(it.listener);
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof name;
    it.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(it.listener, (struct sockaddr *)&name, length) != 0 || listen(it.listener, 8) != 0)
        return -1;
    if (getsockname(it.listener, (struct sockaddr *)&name, &length) != 0) return -1;
    it.server.is_unix = false;
    snprintf(it.server.host, sizeof it.server.host, "127.0.0.1");
    it.server.port = ntohs(name.sin_port);
    return 0;
}

#define ON_TCP(name) cmocka_unit_test_setup_teardown(name, set_up_tcp, tear_down)

static void connect_tcp(void)
{
    open_and_accept();
    pump();
    assert_int_equal(it.conn.state, CONN_OPEN);
    assert_int_equal(fcntl(it.peer, F_SETFL, 0), 0); /* its end is waited for */
}

static void ask(probe *self)
{
    submit(self, "PING");
    conn_flush(&it.conn, it.now_us);
}

/* The server's socket is full, and so is ours. */
static void ask_too_much(probe *self)
{
    command cmd;
    command_begin(&cmd, "SET");
    command_add(&cmd, much, sizeof much);
    self->call = (call){.answered = remember, .deadline_us = it.now_us + TIMEOUT_US};
    assert_true(conn_submit(&it.conn, &self->call, &cmd, it.now_us));
    size_t before;
    do {
        before = it.counters.writes;
        conn_flush(&it.conn, it.now_us);
    } while (it.counters.writes != before);
    assert_int_equal(conn_poll_events(&it.conn), POLLIN | POLLOUT);
}

static bool undo(void)
{
    command cmd;
    command_begin(&cmd, "UNDO");
    return conn_close_behind(&it.conn, &cmd, it.now_us);
}

/* How it ends for the server, after all that it got before: 0 for an end of file, or the error. */
static int end_for_the_server(void)
{
    static char got[1 << 16];
    size_t kept = 0;
    for (ssize_t n; (n = recv(it.peer, got, sizeof got, 0)) != 0; kept += (size_t)n) {
        if (n < 0) return errno;
        if (kept + (size_t)n < sizeof it.heard) memcpy(it.heard + kept, got, (size_t)n);
    }
    it.heard[kept < sizeof it.heard ? kept : 0] = '\0';
    return 0;
}

static void assert_told_once(const probe *self)
{
    assert_int_equal(self->answers, 1);
    assert_true(self->was_cut);
}

/* ---- Behind ---------------------------------------------------------------------------------- */

static void an_undo_leaves_behind_what_it_undoes(void **state)
{
    (void)state;
    static probe ping;
    connect_tcp();
    ask(&ping);
    assert_true(undo());
    assert_told_once(&ping);
    assert_closed(REDLOCK_OK);
    assert_int_equal(end_for_the_server(), 0);
    assert_string_equal(it.heard, PING UNDO);
    assert_int_equal(it.counters.commands, 2);
}

static void what_nobody_had_flushed_leaves_before_it(void **state)
{
    (void)state;
    static probe ping;
    connect_tcp();
    submit(&ping, "PING");
    assert_string_equal(hear(), "");
    assert_true(undo());
    assert_told_once(&ping);
    assert_int_equal(end_for_the_server(), 0);
    assert_string_equal(it.heard, PING UNDO);
}

static void an_undo_that_the_socket_does_not_take_is_a_reset(void **state)
{
    (void)state;
    static probe set;
    connect_tcp();
    ask_too_much(&set);
    assert_false(undo());
    assert_told_once(&set);
    assert_closed(REDLOCK_OK);
    assert_int_equal(end_for_the_server(), ECONNRESET);
}

static void an_undo_without_memory_is_a_reset(void **state)
{
    (void)state;
    static probe ping;
    command cmd;
    connect_tcp();
    ask(&ping);
    command_begin(&cmd, "UNDO");
    command_add(&cmd, much, sizeof much);
    it.blocks.allowed = 0;
    assert_false(conn_close_behind(&it.conn, &cmd, it.now_us));
    assert_told_once(&ping);
    assert_int_equal(end_for_the_server(), ECONNRESET);
}

static void an_undo_on_a_broken_connection_tells_once(void **state)
{
    (void)state;
    static probe ping;
    struct linger at_once = {.l_onoff = 1};
    connect_tcp();
    ask(&ping);
    assert_int_equal(setsockopt(it.peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(it.peer);
    it.peer = -1;
    assert_false(undo());
    assert_told_once(&ping);
    assert_closed(REDLOCK_ERR_CONNECT);
}

static void a_closed_connection_takes_no_undo(void **state)
{
    (void)state;
    assert_false(undo());
    assert_closed(REDLOCK_OK);
}

static void a_connection_that_is_not_made_yet_takes_no_undo(void **state)
{
    (void)state;
    static probe ping;
    conn_open(&it.conn, it.now_us);
    assert_int_equal(it.conn.state, CONN_CONNECTING);
    submit(&ping, "PING");
    assert_false(undo());
    assert_told_once(&ping);
    assert_closed(REDLOCK_OK);
}

/* ---- Dropped --------------------------------------------------------------------------------- */

static void a_late_answer_is_a_reset(void **state)
{
    (void)state;
    static probe ping;
    connect_tcp();
    ask(&ping);
    it.now_us += TIMEOUT_US;
    conn_tick(&it.conn, it.now_us);
    assert_told_once(&ping);
    assert_closed(REDLOCK_ERR_TIMEOUT);
    assert_int_equal(end_for_the_server(), ECONNRESET);
}

static void the_owner_that_closes_with_bytes_unsent_resets(void **state)
{
    (void)state;
    static probe set;
    connect_tcp();
    ask_too_much(&set);
    conn_close(&it.conn, REDLOCK_OK, NULL, it.now_us);
    assert_told_once(&set);
    assert_int_equal(end_for_the_server(), ECONNRESET);
}

static void the_owner_that_closes_lets_arrive_what_was_sent(void **state)
{
    (void)state;
    static probe ping;
    connect_tcp();
    ask(&ping);
    conn_close(&it.conn, REDLOCK_OK, NULL, it.now_us);
    assert_told_once(&ping);
    assert_int_equal(end_for_the_server(), 0);
    assert_string_equal(it.heard, PING);
}

static void a_failure_without_calls_in_flight_is_no_reset(void **state)
{
    (void)state;
    static probe ping;
    connect_tcp();
    ask(&ping);
    answer_with(":1\r\n");
    assert_int_equal(ping.integer, 1);
    conn_close(&it.conn, REDLOCK_ERR_SERVER, "it is of no use", it.now_us);
    assert_int_equal(end_for_the_server(), 0);
}

/* A replica says so of every write; what it says behind that is heard, and then it is left. */
static void who_is_the_wrong_one_to_ask_is_left(void **state)
{
    (void)state;
    static probe refused, heard, unheard;
    connect_tcp();
    ask(&refused);
    ask(&heard);
    ask(&unheard);
    answer_with("-READONLY You can't write against a read only replica.\r\n:1\r\n");
    assert_int_equal(refused.answers, 1);
    assert_int_equal(heard.answers, 1);
    assert_int_equal(heard.integer, 1);
    assert_told_once(&unheard);
    assert_closed(REDLOCK_ERR_UNAVAILABLE);
    assert_non_null(strstr(it.conn.failure_detail.text, "READONLY You can't write"));
    assert_int_equal(end_for_the_server(), ECONNRESET);
}

static void what_only_passes_closes_nothing(void **state)
{
    (void)state;
    static probe refused;
    connect_tcp();
    ask(&refused);
    answer_with("-LOADING Redis is loading the dataset in memory\r\n");
    assert_int_equal(refused.answers, 1);
    assert_int_equal(it.conn.state, CONN_OPEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_TCP(an_undo_leaves_behind_what_it_undoes),
        ON_TCP(what_nobody_had_flushed_leaves_before_it),
        ON_TCP(an_undo_that_the_socket_does_not_take_is_a_reset),
        ON_TCP(an_undo_without_memory_is_a_reset),
        ON_TCP(an_undo_on_a_broken_connection_tells_once),
        ON_TCP(a_closed_connection_takes_no_undo),
        ON_TCP(a_connection_that_is_not_made_yet_takes_no_undo),
        ON_TCP(a_late_answer_is_a_reset),
        ON_TCP(the_owner_that_closes_with_bytes_unsent_resets),
        ON_TCP(the_owner_that_closes_lets_arrive_what_was_sent),
        ON_TCP(a_failure_without_calls_in_flight_is_no_reset),
        ON_TCP(who_is_the_wrong_one_to_ask_is_left),
        ON_TCP(what_only_passes_closes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
