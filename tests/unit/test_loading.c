/* SPDX-License-Identifier: MIT
 * What is sent to a server that does not know a script. For each command that it got stands
 *
 *     D    EVALSHA, the digest        L    SCRIPT LOAD        S    EVAL, the source
 */
#include "unit/conn_fixture.h"

#include "lane/loading.h"

#define OK "+OK\r\n"
#define LOADED "$40\r\n0123456789012345678901234567890123456789\r\n"
#define NOSCRIPT "-NOSCRIPT No matching script. Please use EVAL.\r\n"
#define NOPERM "-NOPERM this user has no permissions to run the 'script|load' command\r\n"
#define BUSY_NOW "-LOADING Redis is loading the dataset in memory\r\n"

enum { ASKERS = 400 };

/* Whoever asks, as the engine does. Static, since the tear-down may still answer it. */
typedef struct asker {
    call call; /* first */
    loading loading;
    bool by_source;
    int answers, cuts, successes;
} asker;

static asker askers[ASKERS];

static int begin(void **state)
{
    memset(askers, 0, sizeof askers);
    return set_up(state);
}

#define LOADING_TEST(name) cmocka_unit_test_setup_teardown(name, begin, tear_down)

static void hear_answer(call *back, const reply *from, int64_t now_us)
{
    asker *self = (asker *)back;
    (void)now_us;
    self->answers++;
    bool is_unknown = from != NULL && from->kind == REPLY_ERROR &&
                      strncmp(from->text, "NOSCRIPT", 8) == 0;
    if (is_unknown) self->by_source = true;
    else if (from == NULL) self->cuts++;
    else self->successes += from->kind == REPLY_STATUS;
}

static bool try_to_ask(asker *self, enum script_id id)
{
    const question about = {
        .script = id, .key = "k", .key_length = 1, .holder = "h", .holder_length = 1};
    self->call.answered = hear_answer;
    self->call.deadline_us = it.now_us + TIMEOUT_US;
    return loading_submit(&self->loading, &it.conn, &self->call, &about, &self->by_source,
                          it.now_us);
}

static void ask(asker *self, enum script_id id) { assert_true(try_to_ask(self, id)); }

/* ---- The server's end ------------------------------------------------------------------- */

static const char *after_line(const char *at) { return strstr(at, "\r\n") + 2; }

/* One command; returns what is behind it. */
static const char *read_letter(const char *at, char *letter)
{
    long count = strtol(at + 1, NULL, 10);
    at = after_line(at);
    for (long i = 0; i < count; i++) {
        long length = strtol(at + 1, NULL, 10);
        at = after_line(at);
        if (i == 0) *letter = strncmp(at, "SCRIPT", 6) == 0 ? 'L' : length == 7 ? 'D' : 'S';
        at += length + 2;
    }
    return at;
}

/* Everything that was sent since it was last asked. */
static const char *heard(void)
{
    static char bytes[1 << 20], letters[2 * ASKERS];
    size_t length = 0, count = 0;
    conn_flush(&it.conn, it.now_us);
    for (ssize_t got;
         (got = recv(it.peer, bytes + length, sizeof bytes - 1 - length, MSG_DONTWAIT)) > 0;) {
        length += (size_t)got;
        conn_flush(&it.conn, it.now_us);
    }
    bytes[length] = '\0';
    for (const char *at = bytes; *at != '\0'; count++) at = read_letter(at, &letters[count]);
    letters[count] = '\0';
    return letters;
}

static void expect_heard(const char *letters) { assert_string_equal(heard(), letters); }

/* Asked by its digest, which the server does not know. */
static void ask_in_vain(asker *self, enum script_id id)
{
    ask(self, id);
    expect_heard("D");
    answer_with(NOSCRIPT);
    assert_true(self->by_source);
}

static void end_by_server(void)
{
    close(it.peer);
    it.peer = -1;
    pump();
    assert_int_equal(it.conn.state, CONN_CLOSED);
}

/* Is SCRIPT LOAD still tried, on a new connection? */
static void expect_next(const char *letters)
{
    askers[0] = (asker){0};
    open_and_accept();
    ask_in_vain(&askers[0], SCRIPT_ACQUIRE);
    ask(&askers[0], SCRIPT_ACQUIRE);
    expect_heard(letters);
}

/* A connection that ends while SCRIPT LOAD is unanswered. */
static void be_cut_at_a_load(void)
{
    expect_next("LD");
    end_by_server();
}

/* Four were in flight when the server said that it does not know the script, and ask again. */
static void four_ask_behind_one_load(void)
{
    open_and_accept();
    for (int i = 0; i < 4; i++) ask(&askers[i], SCRIPT_ACQUIRE);
    expect_heard("DDDD");
    answer_with(NOSCRIPT NOSCRIPT NOSCRIPT NOSCRIPT);
    for (int i = 0; i < 4; i++) ask(&askers[i], SCRIPT_ACQUIRE);
    expect_heard("LDDDD");
}

/* ---- Loading ---------------------------------------------------------------------------- */

static void a_known_script_is_asked_for_by_its_digest_alone(void **state)
{
    (void)state;
    open_and_accept();
    ask(&askers[0], SCRIPT_RENEW);
    expect_heard("D");
    answer_with(OK);
    ask(&askers[0], SCRIPT_RENEW);
    expect_heard("D");
}

static void an_unknown_script_is_loaded_in_one_write_with_its_question(void **state)
{
    (void)state;
    open_and_accept();
    ask_in_vain(&askers[0], SCRIPT_ACQUIRE);
    uint64_t commands = it.counters.commands, writes = it.counters.writes;
    ask(&askers[0], SCRIPT_ACQUIRE);
    assert_false(askers[0].by_source);
    expect_heard("LD");
    assert_int_equal(it.counters.commands - commands, 2);
    assert_int_equal(it.counters.writes - writes, 1);
}

static void the_answer_to_a_load_is_no_callers(void **state)
{
    (void)state;
    expect_next("LD");
    answer_with(LOADED);
    assert_int_equal(askers[0].answers, 1);
    answer_with(OK);
    assert_int_equal(askers[0].successes, 1);
    assert_int_equal(askers[0].answers, 2);
    assert_null(it.conn.first);
}

static void of_all_who_are_in_flight_one_loads(void **state)
{
    static char due[ASKERS + 2];
    (void)state;
    open_and_accept();
    for (int i = 0; i < ASKERS; i++) ask(&askers[i], SCRIPT_ACQUIRE);
    heard();
    for (int i = 0; i < ASKERS; i++) answer_with(NOSCRIPT);
    for (int i = 0; i < ASKERS; i++) ask(&askers[i], SCRIPT_ACQUIRE);
    memset(due, 'D', ASKERS + 1);
    due[0] = 'L';
    expect_heard(due);
    answer_with(LOADED);
    for (int i = 0; i < ASKERS; i++) answer_with(OK);
    for (int i = 0; i < ASKERS; i++) assert_int_equal(askers[i].successes, 1);
}

/* When the answer to the load is long here. */
static void whoever_comes_back_late_needs_no_load_of_its_own(void **state)
{
    (void)state;
    open_and_accept();
    for (int i = 0; i < 2; i++) ask(&askers[i], SCRIPT_ACQUIRE);
    expect_heard("DD");
    answer_with(NOSCRIPT NOSCRIPT);
    ask(&askers[0], SCRIPT_ACQUIRE);
    expect_heard("LD");
    answer_with(LOADED OK);
    ask(&askers[1], SCRIPT_ACQUIRE);
    expect_heard("D");
}

static void each_script_is_loaded_by_itself(void **state)
{
    (void)state;
    open_and_accept();
    for (int i = 0; i < 2; i++) ask(&askers[i], i == 0 ? SCRIPT_ACQUIRE : SCRIPT_RENEW);
    expect_heard("DD");
    answer_with(NOSCRIPT NOSCRIPT);
    for (int i = 0; i < 2; i++) ask(&askers[i], i == 0 ? SCRIPT_ACQUIRE : SCRIPT_RENEW);
    expect_heard("LDLD");
    answer_with(LOADED OK LOADED OK);
    for (int i = 0; i < 2; i++) assert_int_equal(askers[i].successes, 1);
}

static void a_script_that_is_forgotten_again_is_loaded_again(void **state)
{
    (void)state;
    open_and_accept();
    for (int i = 0; i < 3; i++) {
        ask_in_vain(&askers[0], SCRIPT_ACQUIRE);
        ask(&askers[0], SCRIPT_ACQUIRE);
        expect_heard("LD");
        answer_with(LOADED OK);
    }
    assert_int_equal(askers[0].successes, 3);
}

/* Forgotten between the load and those behind it: one more load, not one each. */
static void two_losses_in_flight_are_two_loads(void **state)
{
    (void)state;
    four_ask_behind_one_load();
    answer_with(LOADED OK NOSCRIPT NOSCRIPT NOSCRIPT);
    for (int i = 1; i < 4; i++) ask(&askers[i], SCRIPT_ACQUIRE);
    expect_heard("LDDD");
}

/* Servers behind one address that share no scripts. */
static void a_load_of_no_use_is_followed_by_the_source(void **state)
{
    (void)state;
    expect_next("LD");
    answer_with(LOADED NOSCRIPT);
    ask(&askers[0], SCRIPT_ACQUIRE);
    assert_true(askers[0].by_source);
    expect_heard("S");
}

static void nobody_asks_behind_others_for_ever(void **state)
{
    (void)state;
    four_ask_behind_one_load();
    answer_with(LOADED NOSCRIPT NOSCRIPT NOSCRIPT NOSCRIPT);
    for (int i = 0; i < 4; i++) ask(&askers[i], SCRIPT_ACQUIRE);
    expect_heard("SDDD");
    answer_with(OK NOSCRIPT NOSCRIPT NOSCRIPT);
    for (int i = 1; i < 4; i++) ask(&askers[i], SCRIPT_ACQUIRE);
    expect_heard("SSS");
}

/* ---- Refusals --------------------------------------------------------------------------- */

static void a_refused_load_is_not_tried_again(void **state)
{
    (void)state;
    expect_next("LD");
    answer_with(NOPERM NOSCRIPT);
    ask(&askers[0], SCRIPT_ACQUIRE);
    expect_heard("S");
    answer_with(OK);
    ask_in_vain(&askers[1], SCRIPT_RENEW);
    ask(&askers[1], SCRIPT_RENEW);
    expect_heard("S");
    assert_non_null(strstr(it.logged, "SCRIPT LOAD is refused, scripts go by EVAL: NOPERM"));
}

static void a_refusal_is_remembered_by_all_connections(void **state)
{
    (void)state;
    expect_next("LD");
    answer_with("-ERR unknown command 'SCRIPT'\r\n" NOSCRIPT);
    conn_destroy(&it.conn);
    conn_init(&it.conn, &it.config, &it.node);
    expect_next("S");
}

static void of_all_who_are_in_flight_one_sends_the_source_of_a_refused_load(void **state)
{
    (void)state;
    four_ask_behind_one_load();
    answer_with(NOPERM NOSCRIPT NOSCRIPT NOSCRIPT NOSCRIPT);
    for (int i = 0; i < 4; i++) ask(&askers[i], SCRIPT_ACQUIRE);
    expect_heard("SDDD");
    answer_with(OK OK OK OK);
    for (int i = 0; i < 4; i++) assert_int_equal(askers[i].successes, 1);
}

static void an_error_that_passes_is_no_refusal(void **state)
{
    (void)state;
    expect_next("LD");
    answer_with(BUSY_NOW BUSY_NOW);
    ask_in_vain(&askers[1], SCRIPT_ACQUIRE);
    ask(&askers[1], SCRIPT_ACQUIRE);
    expect_heard("LD");
}

/* ---- Connections that end --------------------------------------------------------------- */

static void a_second_connection_that_ends_at_a_load_is_a_refusal(void **state)
{
    (void)state;
    be_cut_at_a_load();
    assert_int_equal(askers[0].cuts, 1);
    be_cut_at_a_load();
    expect_next("S");
}

static void a_server_that_answered_a_load_does_not_refuse_by_its_end(void **state)
{
    (void)state;
    be_cut_at_a_load();
    expect_next("LD");
    answer_with(LOADED OK);
    end_by_server();
    for (int i = 0; i < 3; i++) be_cut_at_a_load();
    expect_next("LD");
}

static void a_connection_that_its_owner_closes_refuses_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        expect_next("LD");
        conn_close(&it.conn, REDLOCK_OK, NULL, it.now_us);
        assert_int_equal(askers[0].cuts, 1);
    }
}

/* They were sent before anything was known. */
static void loads_that_end_together_count_once(void **state)
{
    (void)state;
    open_and_accept();
    for (int i = 0; i < 2; i++) ask_in_vain(&askers[i], i == 0 ? SCRIPT_ACQUIRE : SCRIPT_RENEW);
    for (int i = 0; i < 2; i++) ask(&askers[i], i == 0 ? SCRIPT_ACQUIRE : SCRIPT_RENEW);
    expect_heard("LDLD");
    end_by_server();
    expect_next("LD");
}

static void a_load_is_as_late_as_its_question(void **state)
{
    (void)state;
    expect_next("LD");
    assert_true(conn_wake_us(&it.conn) == askers[0].call.deadline_us);
    it.now_us += TIMEOUT_US;
    conn_tick(&it.conn, it.now_us);
    assert_closed(REDLOCK_ERR_TIMEOUT);
    assert_int_equal(askers[0].cuts, 1);
}

static void be_late_at_a_load(void)
{
    expect_next("LD");
    it.now_us += TIMEOUT_US;
    conn_tick(&it.conn, it.now_us);
    assert_closed(REDLOCK_ERR_TIMEOUT);
}

static void silence_is_an_end_like_others(void **state)
{
    (void)state;
    be_late_at_a_load();
    be_late_at_a_load();
    expect_next("S");
}

/* The loss is told in portions, and the load is not among the first: its call is not free yet. */
static void a_load_whose_end_is_not_told_yet_is_replaced_by_the_source(void **state)
{
    (void)state;
    open_and_accept();
    for (int i = 0; i < ASKERS; i++) ask(&askers[i], SCRIPT_ACQUIRE);
    heard();
    answer_with(NOSCRIPT NOSCRIPT);
    ask(&askers[0], SCRIPT_ACQUIRE);
    expect_heard("LD");
    end_by_server();
    assert_int_equal(askers[0].cuts, 0);
    open_and_accept();
    ask(&askers[1], SCRIPT_ACQUIRE);
    expect_heard("S");
    conn_close(&it.conn, REDLOCK_OK, NULL, it.now_us);
    for (int i = 0; i < ASKERS; i++) assert_int_equal(askers[i].cuts, 1);
}

static void a_source_of_the_connection_before_is_not_on_its_way(void **state)
{
    (void)state;
    open_and_accept();
    for (int i = 0; i < 2; i++) ask(&askers[i], SCRIPT_ACQUIRE);
    expect_heard("DD");
    answer_with(NOSCRIPT NOSCRIPT);
    ask(&askers[0], SCRIPT_ACQUIRE);
    expect_heard("LD");
    end_by_server();
    open_and_accept();
    ask(&askers[1], SCRIPT_ACQUIRE);
    expect_heard("LD");
}

static void without_memory_nothing_is_queued(void **state)
{
    (void)state;
    open_and_accept();
    ask_in_vain(&askers[0], SCRIPT_ACQUIRE);
    it.blocks.allowed = 0;
    assert_false(try_to_ask(&askers[0], SCRIPT_ACQUIRE));
    assert_null(it.conn.first);
    expect_heard("");
    it.blocks.allowed = -1;
    ask(&askers[1], SCRIPT_ACQUIRE);
    expect_heard("D");
    answer_with(OK);
    assert_int_equal(askers[1].successes, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOADING_TEST(a_known_script_is_asked_for_by_its_digest_alone),
        LOADING_TEST(an_unknown_script_is_loaded_in_one_write_with_its_question),
        LOADING_TEST(the_answer_to_a_load_is_no_callers),
        LOADING_TEST(of_all_who_are_in_flight_one_loads),
        LOADING_TEST(whoever_comes_back_late_needs_no_load_of_its_own),
        LOADING_TEST(each_script_is_loaded_by_itself),
        LOADING_TEST(a_script_that_is_forgotten_again_is_loaded_again),
        LOADING_TEST(two_losses_in_flight_are_two_loads),
        LOADING_TEST(a_load_of_no_use_is_followed_by_the_source),
        LOADING_TEST(nobody_asks_behind_others_for_ever),
        LOADING_TEST(a_refused_load_is_not_tried_again),
        LOADING_TEST(a_refusal_is_remembered_by_all_connections),
        LOADING_TEST(of_all_who_are_in_flight_one_sends_the_source_of_a_refused_load),
        LOADING_TEST(an_error_that_passes_is_no_refusal),
        LOADING_TEST(a_second_connection_that_ends_at_a_load_is_a_refusal),
        LOADING_TEST(a_server_that_answered_a_load_does_not_refuse_by_its_end),
        LOADING_TEST(a_connection_that_its_owner_closes_refuses_nothing),
        LOADING_TEST(loads_that_end_together_count_once),
        LOADING_TEST(a_load_is_as_late_as_its_question),
        LOADING_TEST(silence_is_an_end_like_others),
        LOADING_TEST(a_load_whose_end_is_not_told_yet_is_replaced_by_the_source),
        LOADING_TEST(a_source_of_the_connection_before_is_not_on_its_way),
        LOADING_TEST(without_memory_nothing_is_queued),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
