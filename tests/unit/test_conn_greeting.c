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
        it.blocks.allowed = allowed;
        conn_open(&it.conn, it.now_us);
        assert_closed(REDLOCK_ERR_MEMORY);
        close(accept(it.listener, NULL, NULL));
        codec_reader_free(it.conn.reader);
        it.conn.reader = NULL;
    }
    it.blocks.allowed = -1;
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

static void greet_with_a_token(void)
{
    char name[TOKEN_LENGTH + 1] = {0};
    memset(name, 'n', TOKEN_LENGTH);
    blocks_given_back = blocks_with_a_token = 0;
    it.memory.release = look_and_give_block;
    it.config.client_name = name; /* it makes the queue grow */
    open_and_accept();
    assert_int_equal(it.conn.state, CONN_GREETING);
    assert_true(blocks_given_back >= 2);
    assert_int_equal(count_heard('#'), TOKEN_LENGTH);
    conn_close(&it.conn, REDLOCK_ERR_CONNECT, "cut", it.now_us);
    assert_int_equal(blocks_with_a_token, 0);
}

static void a_token_of_4_kilobytes_is_in_no_memory_that_is_given_back(void **state)
{
    (void)state;
    set_credentials("bob", token_of('#'));
    greet_with_a_token();
}

/* ---- Credentials that are asked for ----------------------------------------------------------*/

/* What the callback does, time after time. */
typedef struct reaction {
    const char *user, *password;
    redlock_status answer;
    bool gives_none;
    const char *words;
} reaction;

#define GIVES(user_, password_)                                                                    \
    {                                                                                              \
        .user = (user_), .password = (password_), .answer = REDLOCK_OK                             \
    }

static struct {
    const reaction *next;
    int asked, refused; /* how often, and how often because of a refusal */
    redlock_status handed_over;
} source;

static redlock_status react(void *arg, bool was_refused, redlock_credentials *to,
                            redlock_detail *why)
{
    assert_ptr_equal(arg, &source);
    assert_true(credentials_are_asked_for());
    const reaction *now = source.next++;
    source.asked++;
    source.refused += was_refused;
    if (!now->gives_none)
        source.handed_over = redlock_credentials_set(to, now->user, now->password);
    if (now->words != NULL) snprintf(why->text, sizeof why->text, "%s", now->words);
    return now->answer;
}

static void ask_for_credentials(const reaction *reactions)
{
    memset(&source, 0, sizeof source);
    source.next = reactions;
    it.config.credentials = (credentials_source){react, &source};
}

static void each_connection_asks_for_credentials_of_its_own(void **state)
{
    static const reaction reactions[] = {GIVES("bob", "first"), GIVES("eve", "second")};
    (void)state;
    set_credentials("static", "unused");
    ask_for_credentials(reactions);
    open_and_accept();
    assert_string_equal(hear(), "*3\r\n$4\r\nAUTH\r\n$3\r\nbob\r\n$5\r\nfirst\r\n");
    answer_with("+OK\r\n");
    assert_int_equal(it.conn.state, CONN_OPEN);
    conn_close(&it.conn, REDLOCK_OK, NULL, it.now_us);
    open_and_accept();
    assert_string_equal(hear(), "*3\r\n$4\r\nAUTH\r\n$3\r\neve\r\n$6\r\nsecond\r\n");
    assert_int_equal(source.asked, 2);
    assert_false(credentials_are_asked_for());
}

static void a_user_that_is_not_handed_over_is_that_of_the_options(void **state)
{
    static const reaction reactions[] = {GIVES(NULL, "token"), GIVES("", "token")};
    (void)state;
    set_credentials("bob", "unused");
    ask_for_credentials(reactions);
    open_and_accept();
    assert_string_equal(hear(), "*3\r\n$4\r\nAUTH\r\n$3\r\nbob\r\n$5\r\ntoken\r\n");
    conn_close(&it.conn, REDLOCK_OK, NULL, it.now_us);
    open_and_accept();
    assert_string_equal(hear(), "*2\r\n$4\r\nAUTH\r\n$5\r\ntoken\r\n");
}

static void neither_user_nor_password_is_no_greeting(void **state)
{
    static const reaction reactions[] = {GIVES(NULL, NULL)};
    (void)state;
    ask_for_credentials(reactions);
    open_and_accept();
    assert_int_equal(it.conn.state, CONN_OPEN);
    assert_string_equal(hear(), "");
    assert_int_equal(source.asked, 1);
}

static void the_latest_of_what_is_handed_over_counts(void **state)
{
    static char token[CREDENTIAL_MOST + 2];
    redlock_credentials to = {.from = &it.memory};
    (void)state;
    memset(token, '#', CREDENTIAL_MOST);
    assert_int_equal(redlock_credentials_set(&to, "bob", token), REDLOCK_OK);
    assert_int_equal(redlock_credentials_set(&to, token, "secret"), REDLOCK_OK);
    assert_string_equal(to.user, token);
    assert_string_equal(to.password, "secret");
    token[CREDENTIAL_MOST] = '#';
    assert_int_equal(redlock_credentials_set(&to, token, "secret"), REDLOCK_ERR_ARGUMENT);
    assert_int_equal(redlock_credentials_set(&to, "bob", token), REDLOCK_ERR_ARGUMENT);
    assert_null(to.user);
    assert_null(to.password);
    assert_int_equal(redlock_credentials_set(NULL, "bob", "secret"), REDLOCK_ERR_ARGUMENT);
}

static void what_the_server_refuses_is_asked_for_once_more(void **state)
{
    static const reaction reactions[] = {GIVES("bob", "expired"), GIVES("bob", "secret")};
    static probe ping;
    (void)state;
    ask_for_credentials(reactions);
    it.config.client_name = "redlock";
    it.server.database = 3;
    open_and_accept();
    hear();
    submit(&ping, "PING");
    answer_with(
        "-WRONGPASS invalid username-password pair\r\n-NOAUTH Authentication required.\r\n");
    assert_string_equal(hear(), "");
    answer_with("-NOAUTH Authentication required.\r\n");
    assert_string_equal(hear(), "*3\r\n$4\r\nAUTH\r\n$3\r\nbob\r\n$6\r\nsecret\r\n"
                                "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$7\r\nredlock\r\n"
                                "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n");
    answer_with("+OK\r\n+OK\r\n+OK\r\n");
    assert_int_equal(it.conn.state, CONN_OPEN);
    assert_string_equal(hear(), "*1\r\n$4\r\nPING\r\n");
    assert_int_equal(source.asked, 2);
    assert_int_equal(source.refused, 1);
}

static void what_is_refused_twice_is_a_denial(void **state)
{
    static const reaction reactions[] = {GIVES("bob", "a"), GIVES("bob", "b"), GIVES("bob", "c")};
    (void)state;
    ask_for_credentials(reactions);
    open_and_accept();
    answer_with("-WRONGPASS no\r\n");
    assert_int_equal(it.conn.state, CONN_GREETING);
    answer_with("-WRONGPASS not that either\r\n");
    assert_closed(REDLOCK_ERR_DENIED);
    assert_string_equal(it.conn.failure_detail.text, "AUTH: WRONGPASS not that either");
    assert_int_equal(source.asked, 2);
    open_and_accept(); /* and the next connection begins anew */
    assert_int_equal(source.asked, 3);
    assert_int_equal(source.refused, 1);
    assert_int_equal(it.conn.state, CONN_GREETING);
}

/* Where nothing is handed over, nothing is sent: also not as the default user. */
static void assert_fails_without_a_word(const reaction *how, redlock_status why, const char *words)
{
    it.conn.retry_at_us = 0;
    ask_for_credentials(how);
    open_and_accept();
    assert_closed(why);
    assert_string_equal(it.conn.failure_detail.text, words);
    assert_string_equal(hear(), "");
    assert_int_equal(source.asked, 1);
    assert_false(credentials_are_asked_for());
}

static void a_callback_that_has_none_is_asked_again_later(void **state)
{
    static const reaction none = {.gives_none = true, .answer = REDLOCK_ERR_CONNECT};
    static const reaction odd = {
        .user = "bob", .password = "secret", .answer = REDLOCK_LOST, .words = "not \x1b[31m now"};
    (void)state;
    assert_fails_without_a_word(&none, REDLOCK_ERR_UNAVAILABLE,
                                "credentials: the callback gave none");
    assert_fails_without_a_word(&odd, REDLOCK_ERR_UNAVAILABLE, "credentials: not \\x1b[31m now");
    assert_true(it.conn.retry_at_us > it.now_us);
}

static void a_callback_that_never_has_any_is_a_denial(void **state)
{
    static const reaction nothing = {.gives_none = true, .answer = REDLOCK_OK};
    static const reaction never = {.gives_none = true, .answer = REDLOCK_ERR_DENIED, .words = "no"};
    static char token[CREDENTIAL_MOST + 2];
    static const reaction too_long = GIVES("bob", token);
    (void)state;
    memset(token, '#', CREDENTIAL_MOST + 1);
    assert_fails_without_a_word(&nothing, REDLOCK_ERR_DENIED,
                                "credentials: the callback gave none");
    assert_fails_without_a_word(&never, REDLOCK_ERR_DENIED, "credentials: no");
    assert_fails_without_a_word(&too_long, REDLOCK_ERR_DENIED,
                                "credentials: the user or the password is too long");
    assert_int_equal(source.handed_over, REDLOCK_ERR_ARGUMENT);
}

static void a_token_that_was_asked_for_is_in_no_memory_that_is_given_back(void **state)
{
    reaction gives = GIVES("bob", token_of('#'));
    (void)state;
    ask_for_credentials(&gives);
    greet_with_a_token();
    assert_true(blocks_given_back >= 4);
}

static void credentials_that_find_no_memory_are_none(void **state)
{
    static const reaction both = GIVES("bob", "secret");
    (void)state;
    assert_true((it.conn.reader = codec_reader_new(&it.memory)) != NULL);
    for (int allowed = 0; allowed < 3; allowed++) {
        it.blocks.allowed = allowed;
        ask_for_credentials(&both);
        open_and_accept();
        assert_closed(REDLOCK_ERR_MEMORY);
        assert_string_equal(hear(), "");
    }
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
        TEST(each_connection_asks_for_credentials_of_its_own),
        TEST(a_user_that_is_not_handed_over_is_that_of_the_options),
        TEST(neither_user_nor_password_is_no_greeting),
        TEST(the_latest_of_what_is_handed_over_counts),
        TEST(what_the_server_refuses_is_asked_for_once_more),
        TEST(what_is_refused_twice_is_a_denial),
        TEST(a_callback_that_has_none_is_asked_again_later),
        TEST(a_callback_that_never_has_any_is_a_denial),
        TEST(a_token_that_was_asked_for_is_in_no_memory_that_is_given_back),
        TEST(credentials_that_find_no_memory_are_none),
        TEST(the_password_is_never_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
