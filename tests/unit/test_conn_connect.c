/* SPDX-License-Identifier: MIT
 * net/conn_connect: names, addresses and sockets on the way to OPEN, and when to try again. */
#include "unit/conn_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

enum { PATIENCE_MS = 20000 };

/* ---- TCP servers of this machine, on whatever port is free ----------------------------------- */

static address loopback(int fd)
{
    address at = {.length = sizeof at.storage};
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at.storage, &at.length), 0);
    return at;
}

enum { BRIEFLY_US = 250 * 1000 };

/* A socket that is bound, and listens unless `backlog` is negative. */
static int bind_tcp(int backlog)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    if (backlog >= 0) assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static void aim_at(const char *host, int fd)
{
    address at = loopback(fd);
    it.server.is_unix = false;
    snprintf(it.server.host, sizeof it.server.host, "%s", host);
    it.server.port = ntohs(((struct sockaddr_in *)&at.storage)->sin_port);
}

static void await_descriptor(void)
{
    struct pollfd ready = {.fd = conn_poll_fd(&it.conn), .events = conn_poll_events(&it.conn)};
    assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
    conn_ready(&it.conn, ready.revents, it.now_us);
}

static void pump_while(enum conn_state state)
{
    for (int i = 0; i < 100 && it.conn.state == state; i++) await_descriptor();
}

static int option(int level, int name)
{
    int value = 0;
    socklen_t length = sizeof value;
    assert_int_equal(getsockopt(it.conn.fd, level, name, &value, &length), 0);
    return value;
}

/* The tear-down removes the Unix socket by the name it had. */
static int tear_down_tcp(void **state)
{
    snprintf(it.server.host, sizeof it.server.host, "%s/socket", it.directory);
    return tear_down(state);
}

#define TCP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down_tcp)

/* ---- The way to OPEN ------------------------------------------------------------------------- */

static void a_numeric_address_is_connected_without_a_lookup(void **state)
{
    (void)state;
    int listener = bind_tcp(4);
    aim_at("127.0.0.1", listener);
    conn_open(&it.conn, it.now_us);
    assert_int_equal(it.conn.state, CONN_CONNECTING);
    pump_while(CONN_CONNECTING);
    assert_int_equal(it.conn.state, CONN_OPEN);
    assert_true(option(IPPROTO_TCP, TCP_NODELAY) && option(SOL_SOCKET, SO_KEEPALIVE));
    assert_int_equal(option(IPPROTO_TCP, TCP_KEEPIDLE), 15);
    close(listener);
}

static void a_name_is_resolved_and_its_addresses_are_tried_in_turn(void **state)
{
    (void)state;
    static probe ping;
    int listener = bind_tcp(4);
    aim_at("localhost", listener);
    conn_open(&it.conn, it.now_us);
    assert_int_equal(it.conn.state, CONN_RESOLVING);
    submit(&ping, "PING");
    pump_while(CONN_RESOLVING);
    pump_while(CONN_CONNECTING);
    assert_int_equal(it.conn.state, CONN_OPEN);
    it.peer = accept(listener, NULL, NULL);
    struct pollfd heard = {.fd = it.peer, .events = POLLIN};
    assert_int_equal(poll(&heard, 1, PATIENCE_MS), 1);
    assert_string_equal(hear(), "*1\r\n$4\r\nPING\r\n");
    close(listener);
}

static void a_name_that_does_not_resolve_is_told_apart(void **state)
{
    (void)state;
    it.server.is_unix = false;
    snprintf(it.server.host, sizeof it.server.host, "no such host");
    conn_open(&it.conn, it.now_us);
    pump_while(CONN_RESOLVING);
    assert_closed(REDLOCK_ERR_RESOLVE);
    assert_true(it.conn.failure_detail.text[0] != '\0');
}

static void a_lookup_that_takes_too_long_is_abandoned(void **state)
{
    (void)state;
    static probe ping;
    it.server.is_unix = false;
    snprintf(it.server.host, sizeof it.server.host, "localhost");
    conn_open(&it.conn, it.now_us);
    submit(&ping, "PING");
    conn_tick(&it.conn, START_US + TIMEOUT_US);
    assert_closed(REDLOCK_ERR_RESOLVE);
    assert_true(ping.was_cut);
    assert_null(it.conn.lookup);
}

static void a_port_without_a_listener_refuses(void **state)
{
    (void)state;
    int bound = bind_tcp(-1);
    aim_at("127.0.0.1", bound);
    conn_open(&it.conn, it.now_us);
    pump_while(CONN_CONNECTING);
    assert_closed(REDLOCK_ERR_CONNECT);
    assert_string_equal(it.conn.failure_detail.text, "no connection: Connection refused");
    close(bound);
}

/* The attempt in hand is given a second address behind it. */
static void add_address(int fd)
{
    it.conn.addresses.at[1] = loopback(fd);
    it.conn.addresses.count = 2;
}

static void a_refusal_leads_to_the_next_address(void **state)
{
    (void)state;
    int bound = bind_tcp(-1), listener = bind_tcp(4);
    aim_at("127.0.0.1", bound);
    conn_open(&it.conn, it.now_us);
    add_address(listener);
    pump_while(CONN_CONNECTING);
    assert_int_equal(it.conn.state, CONN_OPEN);
    close(bound);
    close(listener);
}

/* Connecting to three addresses, each of them silent as far as the clock goes. */
static int open_three(void)
{
    int listener = bind_tcp(8);
    aim_at("127.0.0.1", listener);
    conn_open(&it.conn, it.now_us);
    add_address(listener);
    it.conn.addresses.at[2] = it.conn.addresses.at[1];
    it.conn.addresses.count = 3;
    it.conn.address_deadline_us = START_US + BRIEFLY_US; /* it was alone when that was decided */
    return listener;
}

static void await_silence(int index, int64_t until_us)
{
    assert_int_equal(it.conn.address_index, index);
    assert_true(conn_wake_us(&it.conn) == until_us);
    conn_tick(&it.conn, until_us - 1);
    assert_int_equal(it.conn.address_index, index);
    conn_tick(&it.conn, until_us);
}

static void an_address_that_is_silent_is_left_soon(void **state)
{
    (void)state;
    int listener = open_three();
    await_silence(0, START_US + BRIEFLY_US);
    await_silence(1, START_US + 2 * BRIEFLY_US);
    pump_while(CONN_CONNECTING);
    assert_int_equal(it.conn.state, CONN_OPEN);
    close(listener);
}

static void addresses_that_are_all_silent_get_their_share_of_the_time(void **state)
{
    (void)state;
    int listener = open_three();
    int64_t all_us = START_US + 3 * BRIEFLY_US, left_us = START_US + TIMEOUT_US - all_us;
    for (int i = 0; i < 3; i++) await_silence(i, START_US + (i + 1) * BRIEFLY_US);
    await_silence(0, all_us + left_us / 3);
    await_silence(1, all_us + left_us / 3 + (left_us - left_us / 3) / 2);
    pump_while(CONN_CONNECTING);
    assert_int_equal(it.conn.state, CONN_OPEN);
    close(listener);
}

static void the_address_that_leads_there_is_remembered(void **state)
{
    (void)state;
    int listener = open_three();
    await_silence(0, START_US + BRIEFLY_US);
    pump_while(CONN_CONNECTING);
    assert_int_equal(it.conn.state, CONN_OPEN);
    assert_true(it.node.address == address_mark(&it.conn.addresses.at[1]));
    close(listener);
}

static void a_connection_that_is_not_accepted_in_time_fails(void **state)
{
    (void)state;
    int listener = bind_tcp(4);
    aim_at("127.0.0.1", listener);
    conn_open(&it.conn, it.now_us);
    conn_tick(&it.conn, START_US + TIMEOUT_US);
    assert_closed(REDLOCK_ERR_CONNECT);
    close(listener);
}

static void a_socket_that_is_connected_to_itself_is_refused(void **state)
{
    (void)state;
    int listener = bind_tcp(4), mirror = bind_tcp(-1);
    aim_at("127.0.0.1", listener);
    conn_open(&it.conn, it.now_us);
    address itself = loopback(mirror);
    (void)connect(mirror, (struct sockaddr *)&itself.storage, itself.length);
    assert_true(dup2(mirror, it.conn.fd) >= 0);
    pump_while(CONN_CONNECTING);
    assert_closed(REDLOCK_ERR_CONNECT);
    close(mirror);
    close(listener);
}

static void a_missing_unix_socket_is_no_connection(void **state)
{
    (void)state;
    unlink(it.server.host);
    conn_open(&it.conn, it.now_us);
    assert_closed(REDLOCK_ERR_CONNECT);
    assert_string_equal(it.conn.failure_detail.text, "no connection: No such file or directory");
}

static void a_path_too_long_for_a_socket_is_no_connection(void **state)
{
    (void)state;
    memset(it.server.host, 'x', 200);
    it.server.host[200] = '\0';
    conn_open(&it.conn, it.now_us);
    assert_closed(REDLOCK_ERR_CONNECT);
}

static void a_unix_socket_whose_queue_is_full_is_tried_again_later(void **state)
{
    (void)state;
    int crowd[16], count = 0;
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    snprintf(name.sun_path, sizeof name.sun_path, "%s/socket", it.directory);
    do {
        crowd[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    } while (connect(crowd[count++], (struct sockaddr *)&name, sizeof name) == 0 && count < 16);
    conn_open(&it.conn, it.now_us);
    assert_closed(REDLOCK_ERR_CONNECT);
    assert_true(it.conn.retry_at_us >= it.now_us);
    close(accept(it.listener, NULL, NULL));
    conn_open(&it.conn, it.now_us);
    assert_int_equal(it.conn.state, CONN_OPEN);
    while (count > 0) close(crowd[--count]);
}

/* ---- When to try again ----------------------------------------------------------------------- */

static int64_t longest_pause_after(unsigned failures)
{
    int64_t longest = 0;
    for (int i = 0; i < 400; i++) {
        it.conn.failures = failures;
        conn_open(&it.conn, it.now_us);
        assert_int_equal(it.conn.failures, failures + 1);
        int64_t pause = it.conn.retry_at_us - it.now_us;
        assert_true(pause >= 0);
        if (pause > longest) longest = pause;
    }
    return longest;
}

static void failures_back_off_with_jitter_up_to_two_seconds(void **state)
{
    (void)state;
    unlink(it.server.host);
    assert_in_range(longest_pause_after(0), 45000, 50000);
    assert_in_range(longest_pause_after(1), 90000, 100000);
    assert_in_range(longest_pause_after(4), 720000, 800000);
    assert_in_range(longest_pause_after(6), 1800000, 2000000);
    assert_in_range(longest_pause_after(4000000000u), 1800000, 2000000);
}

static void lose_after(const char *answer)
{
    static probe ping;
    open_and_accept();
    submit(&ping, "PING");
    conn_flush(&it.conn, it.now_us);
    answer_with(answer);
    conn_close(&it.conn, REDLOCK_ERR_CONNECT, "cut", it.now_us);
}

static void a_connection_that_served_us_is_opened_again_at_once_but_spread(void **state)
{
    (void)state;
    int64_t shortest = INT64_MAX, longest = 0;
    it.conn.failures = 9;
    for (int i = 0; i < 100; i++) {
        lose_after("+PONG\r\n");
        assert_int_equal(it.conn.failures, 0);
        int64_t pause = it.conn.retry_at_us - it.now_us;
        if (pause < shortest) shortest = pause;
        if (pause > longest) longest = pause;
    }
    assert_in_range(shortest, 0, 1000);
    assert_in_range(longest, 9000, 10000);
}

static void a_backoff_ends_when_another_connection_is_served(void **state)
{
    (void)state;
    it.conn.failures = 9;
    unlink(it.server.host);
    conn_open(&it.conn, it.now_us);
    assert_true(conn_retry_us(&it.conn) == it.conn.retry_at_us);
    it.counters.connections++;
    assert_true(conn_retry_us(&it.conn) == it.conn.retry_at_us);
    it.node.served++;
    assert_true(conn_retry_us(&it.conn) < it.now_us);
    conn_open(&it.conn, it.now_us); /* in vain again */
    assert_true(conn_retry_us(&it.conn) == it.conn.retry_at_us);
}

static void who_is_in_a_hurry_waits_a_little_all_the_same(void **state)
{
    (void)state;
    unlink(it.server.host);
    conn_open(&it.conn, it.now_us);
    assert_false(conn_may_hurry(&it.conn, it.now_us + 19999));
    assert_true(conn_may_hurry(&it.conn, it.now_us + 20000));
}

static void a_server_that_accepts_and_hangs_up_is_backed_off_from(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        open_and_accept();
        conn_close(&it.conn, REDLOCK_ERR_CONNECT, "cut", it.now_us);
        assert_int_equal(it.conn.failures, i + 1);
    }
}

static void a_server_that_answers_with_errors_only_is_backed_off_from(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        lose_after("-NOPERM not for you\r\n");
        assert_int_equal(it.conn.failures, i + 1);
    }
}

static void connections_of_one_client_do_not_share_their_jitter(void **state)
{
    (void)state;
    conn other;
    conn_init(&other, &it.config, &it.node);
    unlink(it.server.host);
    conn_open(&it.conn, it.now_us);
    conn_open(&other, it.now_us);
    assert_true(other.retry_at_us != it.conn.retry_at_us);
    conn_destroy(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TCP_TEST(a_numeric_address_is_connected_without_a_lookup),
        TCP_TEST(a_name_is_resolved_and_its_addresses_are_tried_in_turn),
        TCP_TEST(a_name_that_does_not_resolve_is_told_apart),
        TCP_TEST(a_lookup_that_takes_too_long_is_abandoned),
        TCP_TEST(a_port_without_a_listener_refuses),
        TCP_TEST(a_refusal_leads_to_the_next_address),
        TCP_TEST(an_address_that_is_silent_is_left_soon),
        TCP_TEST(addresses_that_are_all_silent_get_their_share_of_the_time),
        TCP_TEST(the_address_that_leads_there_is_remembered),
        TCP_TEST(a_connection_that_is_not_accepted_in_time_fails),
        TCP_TEST(a_socket_that_is_connected_to_itself_is_refused),
        TCP_TEST(a_missing_unix_socket_is_no_connection),
        TCP_TEST(a_path_too_long_for_a_socket_is_no_connection),
        TCP_TEST(a_unix_socket_whose_queue_is_full_is_tried_again_later),
        TEST(failures_back_off_with_jitter_up_to_two_seconds),
        TEST(a_connection_that_served_us_is_opened_again_at_once_but_spread),
        TEST(a_backoff_ends_when_another_connection_is_served),
        TEST(who_is_in_a_hurry_waits_a_little_all_the_same),
        TEST(a_server_that_accepts_and_hangs_up_is_backed_off_from),
        TEST(a_server_that_answers_with_errors_only_is_backed_off_from),
        TEST(connections_of_one_client_do_not_share_their_jitter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
