/* SPDX-License-Identifier: MIT
 * net/conn_greeting: what is said first, and that nothing follows before it was answered. */
#include <malloc.h>

#include "unit/conn_fixture.h"

static void set_credentials(const char *user, const char *password)
{
    it.config.user = user;
    it.config.password = password;
}

static void greet_with_everything(void)
{
    set_credentials("bob", "secret");
    it.config.client_name = "redlock";
    it.server.database = 3;
    open_and_accept();
    assert_int_equal(it.conn.state, CONN_GREETING);
}

static void the_greeting_leaves_in_one_write(void **state)
{
    (void)state;
    greet_with_everything();
    assert_int_equal(it.counters.writes, 1);
    assert_int_equal(it.counters.commands, 3);
    assert_string_equal(hear(), "*3\r\n$4\r\nAUTH\r\n$3\r\nbob\r\n$6\r\nsecret\r\n"
                                "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$7\r\nredlock\r\n"
                                "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n");
}

static void a_password_without_a_user_stands_alone(void **state)
{
    (void)state;
    set_credentials("", "secret");
    open_and_accept();
    assert_string_equal(hear(), "*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n");
}

static void a_user_without_a_password_is_still_that_user(void **state)
{
    (void)state;
    set_credentials("bob", "");
    open_and_accept();
    assert_string_equal(hear(), "*3\r\n$4\r\nAUTH\r\n$3\r\nbob\r\n$0\r\n\r\n");
}

static void calls_wait_for_the_answers_to_the_greeting(void **state)
{
    (void)state;
    static probe ping;
    greet_with_everything();
    hear();
    submit(&ping, "PING");
    conn_flush(&it.conn, it.now_us);
    assert_int_equal(conn_poll_events(&it.conn), POLLIN);
    assert_false(conn_receive_soon(&it.conn, true));
    answer_with("+OK\r\n+OK\r\n");
    assert_string_equal(hear(), "");
    answer_with("+OK\r\n");
    assert_int_equal(it.conn.state, CONN_OPEN);
    assert_string_equal(hear(), "*1\r\n$4\r\nPING\r\n");
    answer_with("+PONG\r\n");
    assert_string_equal(ping.text, "PONG");
    assert_int_equal(it.counters.connections, 1);
}

static void a_refused_password_is_a_denial(void **state)
{
    (void)state;
    static probe ping;
    greet_with_everything();
    submit(&ping, "PING");
    answer_with("-WRONGPASS invalid username-password pair\r\n");
    assert_closed(REDLOCK_ERR_DENIED);
    assert_string_equal(it.conn.failure_detail.text,
                        "AUTH: WRONGPASS invalid username-password pair");
    assert_true(ping.was_cut);
    assert_int_equal(it.counters.connections, 0);
    assert_int_equal(it.counters.connections_lost, 0);
}

static void a_password_that_the_server_did_not_want_is_a_denial(void **state)
{
    (void)state;
    set_credentials("", "secret");
    open_and_accept();
    answer_with("-ERR Client sent AUTH, but no password is set\r\n");
    assert_closed(REDLOCK_ERR_DENIED);
}

static void a_server_that_loads_is_unavailable(void **state)
{
    (void)state;
    greet_with_everything();
    answer_with("+OK\r\n+OK\r\n-LOADING Redis is loading the dataset in memory\r\n");
    assert_closed(REDLOCK_ERR_UNAVAILABLE);
    open_and_accept();
    answer_with("-ERR max number of clients reached\r\n");
    assert_closed(REDLOCK_ERR_UNAVAILABLE);
}

static void a_refused_database_is_told_in_the_servers_words_escaped(void **state)
{
    (void)state;
    greet_with_everything();
    answer_with("+OK\r\n+OK\r\n-ERR DB index \x1b[31m is out of range\r\n");
    assert_closed(REDLOCK_ERR_SERVER);
    assert_string_equal(it.conn.failure_detail.text,
                        "SELECT: ERR DB index \\x1b[31m is out of range");
}

static void a_refused_name_does_not_matter(void **state)
{
    (void)state;
    greet_with_everything();
    answer_with("+OK\r\n-ERR unknown command\r\n+OK\r\n");
    assert_int_equal(it.conn.state, CONN_OPEN);
}

static void an_answer_of_another_kind_is_not_understood(void **state)
{
    (void)state;
    greet_with_everything();
    answer_with(":1\r\n");
    assert_closed(REDLOCK_ERR_PROTOCOL);
}

static void an_answer_too_many_is_not_understood(void **state)
{
    (void)state;
    greet_with_everything();
    answer_with("+OK\r\n+OK\r\n+OK\r\n+OK\r\n");
    assert_closed(REDLOCK_ERR_PROTOCOL);
}

static void a_greeting_without_answer_times_out(void **state)
{
    (void)state;
    greet_with_everything();
    assert_true(conn_wake_us(&it.conn) == START_US + TIMEOUT_US);
    conn_tick(&it.conn, START_US + TIMEOUT_US - 1);
    assert_int_equal(it.conn.state, CONN_GREETING);
    conn_tick(&it.conn, START_US + TIMEOUT_US);
    assert_closed(REDLOCK_ERR_TIMEOUT);
}

static void a_new_connection_is_greeted_anew(void **state)
{
    (void)state;
    greet_with_everything();
    answer_with("+OK\r\n+O");
    conn_close(&it.conn, REDLOCK_ERR_CONNECT, "cut", it.now_us);
    open_and_accept();
    assert_int_equal(it.counters.commands, 6);
    answer_with("+OK\r\n+OK\r\n");
    assert_int_equal(it.conn.state, CONN_GREETING);
    answer_with("+OK\r\n");
    assert_int_equal(it.conn.state, CONN_OPEN);
}

static void a_greeting_that_finds_no_memory_leaves_nothing_behind(void **state)
{
    (void)state;
    char password[461] = {0}; /* AUTH fits the first block of the queue, the name does not */
    memset(password, 'p', sizeof password - 1);
    set_credentials("", password);
    it.config.client_name = "redlock";
    for (int allowed = 0; allowed < 4; allowed++) {
        it.blocks_allowed = allowed;
        conn_open(&it.conn, it.now_us);
        assert_closed(REDLOCK_ERR_MEMORY);
        close(accept(it.listener, NULL, NULL));
        codec_reader_free(it.conn.reader);
        it.conn.reader = NULL;
    }
    it.blocks_allowed = -1;
    open_and_accept();
    assert_int_equal(strlen(hear()), 14 + 6 + 460 + 2 + 42);
}

/* ---- Secrets ---------------------------------------------------------------------------------*/

enum { TOKEN_LENGTH = 4096 };

static int blocks_given_back, blocks_with_a_token;

/* 4 KB of one letter that nothing else consists of. */
static const char *token_of(char letter)
{
    static char token[TOKEN_LENGTH + 1];
    memset(token, letter, TOKEN_LENGTH);
    return token;
}

static void look_and_give_block(void *arg, void *block)
{
    blocks_given_back++;
    blocks_with_a_token += memmem(block, malloc_usable_size(block), "####", 4) != NULL;
    give_block(arg, block);
}

/* It is told a little at a time, since it is longer than what the fixture hears at once. */
static size_t count_heard(char letter)
{
    size_t count = 0;
    for (const char *at = hear(); *at != '\0'; at = hear())
        for (; *at != '\0'; at++) count += *at == letter;
    return count;
}

static void a_token_of_4_kilobytes_is_in_no_memory_that_is_given_back(void **state)
{
    (void)state;
    char name[TOKEN_LENGTH + 1] = {0};
    memset(name, 'n', TOKEN_LENGTH);
    blocks_given_back = blocks_with_a_token = 0;
    it.memory.release = look_and_give_block;
    set_credentials("bob", token_of('#'));
    it.config.client_name = name; /* it makes the queue grow */
    open_and_accept();
    assert_int_equal(it.conn.state, CONN_GREETING);
    assert_true(blocks_given_back >= 2);
    assert_int_equal(count_heard('#'), TOKEN_LENGTH);
    conn_close(&it.conn, REDLOCK_ERR_CONNECT, "cut", it.now_us);
    assert_int_equal(blocks_with_a_token, 0);
}

static void the_password_is_never_logged(void **state)
{
    (void)state;
    greet_with_everything();
    answer_with("-WRONGPASS no\r\n");
    assert_non_null(strstr(it.logged, "greeting, was connecting"));
    assert_non_null(strstr(it.logged, "closed, was greeting: AUTH: WRONGPASS no"));
    assert_null(strstr(it.logged, "secret"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_greeting_leaves_in_one_write),
        TEST(a_password_without_a_user_stands_alone),
        TEST(a_user_without_a_password_is_still_that_user),
        TEST(calls_wait_for_the_answers_to_the_greeting),
        TEST(a_refused_password_is_a_denial),
        TEST(a_password_that_the_server_did_not_want_is_a_denial),
        TEST(a_server_that_loads_is_unavailable),
        TEST(a_refused_database_is_told_in_the_servers_words_escaped),
        TEST(a_refused_name_does_not_matter),
        TEST(an_answer_of_another_kind_is_not_understood),
        TEST(an_answer_too_many_is_not_understood),
        TEST(a_greeting_without_answer_times_out),
        TEST(a_new_connection_is_greeted_anew),
        TEST(a_greeting_that_finds_no_memory_leaves_nothing_behind),
        TEST(a_token_of_4_kilobytes_is_in_no_memory_that_is_given_back),
        TEST(the_password_is_never_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
