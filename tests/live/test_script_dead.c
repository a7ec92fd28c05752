/* SPDX-License-Identifier: MIT
 * The dead and the many on a real server: nobody is told before the server said that somebody
 * listens; a call that cannot serve all says so. */
#include "script_stage.h"

/* Calls that a request took until it was answered with another code than 7; that answer. */
static int ask_until_done(said *last, enum script_id id, const char *const *arguments)
{
    int calls = 0;
    do {
        *last = ask(id, arguments);
        calls++;
    } while (last->code == 7 && calls < 100);
    return calls;
}
#define ASK_UNTIL_DONE(last, id, ...) ask_until_done(last, SCRIPT_##id, WORDS(__VA_ARGS__))
#define WAITING "ZCOUNT " KEY " 100000000000000 +inf"
#define READING "ZCOUNT " KEY " 20000000000000 99999999999999"

/* ---- Asking before telling ------------------------------------------------------------------- */

static void who_listens_to_everything_keeps_no_dead_waiter_alive(void **state)
{
    (void)state;
    redisContext *monitor = redisConnectUnix(server_socket(the_server));
    freeReplyObject(redisCommand(monitor, "PSUBSCRIBE *"));
    TRY("1");
    JOIN("2");
    JOIN("3");
    DIES("2");
    long long published = server_calls(the_server, "publish");
    assert_int_equal(RELEASE("1").code, 2);
    assert_true(WRITES("3") && !WAITS("x", "2"));
    assert_int_equal(server_calls(the_server, "publish"), published + 1);
    assert_int_equal(JOIN("2").code, 5);
    redisFree(monitor);
}

static void a_dead_waiter_is_never_told(void **state)
{
    (void)state;
    TRY("1");
    ADD_DEAD(300);
    add_waiters(300, "inbox:gone%d", "s");
    long long published = server_calls(the_server, "publish");
    assert_int_equal(RELEASE("1").code, 1);
    assert_int_equal(server_calls(the_server, "publish"), published);
    assert_int_equal(members(), 1);
    assert_lives(5000);
}

static void where_the_server_does_not_say_who_listens_the_message_tells(void **state)
{
    (void)state;
    TRY("1");
    JOIN("2");
    JOIN("3");
    DIES("2");
    long long published = server_calls(the_server, "publish");
    said it = ASK_RESTRICTED("-pubsub", RELEASE, AS("1"), "5000", "7000", "18");
    assert_int_equal(it.code, 2);
    assert_true(WRITES("3") && !WAITS("x", "2"));
    assert_int_equal(server_calls(the_server, "publish"), published + 2);
}

static void a_refused_message_leaves_the_waiter_its_place(void **state)
{
    (void)state;
    TRY("1");
    JOIN("2");
    said it = ASK_RESTRICTED("-publish", RELEASE, AS("1"), "5000", "7000", "18");
    assert_non_null(strstr(it.error, "NOPERM"));
    assert_int_equal(members(), 2);
    assert_true(WAITS("x", "2"));
    assert_int_equal(JOIN("2").code, 1);
}

static void a_queue_of_the_dead_leaves_the_lock_free(void **state)
{
    (void)state;
    TRY("1");
    ADD_DEAD(10);
    tell("ZADD " KEY " 100000000000000 rubbish");
    assert_int_equal(RELEASE("1").code, 1);
    assert_int_equal(members(), 1);
    assert_lives(5000);
}

/* ---- More than one call serves --------------------------------------------------------------- */

static void a_repeated_release_lets_all_readers_in(void **state)
{
    (void)state;
    said it;
    TRY("1");
    add_waiters(2500, "inbox:all", "s");
    assert_int_equal(RELEASE("1").code, 7);
    assert_in_range(server_number(the_server, READING), 1000, 1100);
    assert_in_range(ASK_UNTIL_DONE(&it, RELEASE, AS("1"), "5000", "7000", "18"), 1, 2);
    assert_int_equal(it.code, 0);
    assert_int_equal(server_number(the_server, READING), 2500);
    assert_int_equal(server_number(the_server, WAITING), 0);
}

static void a_repeated_downgrade_lets_all_readers_in(void **state)
{
    (void)state;
    long long fence = TRY("1").value[0];
    said it;
    JOIN_AS("xw", "2");
    add_waiters(2500, "inbox:all", "sw");
    said first = DOWNGRADE("1", fence);
    assert_int_equal(first.code, 7);
    assert_true(first.value[0] > fence && first.value[1] == 2 && first.value[2] > 50000);
    assert_in_range(ASK_UNTIL_DONE(&it, DOWNGRADE, AS("1"), "60000", "7000", "22", text(fence)), 1,
                    2);
    assert_int_equal(it.code, 8);
    assert_true(it.value[0] == first.value[0] && it.value[1] == 2);
    assert_int_equal(server_number(the_server, READING), 2501);
    assert_true(WAITS("xw", "2"));
}

static void a_repeated_force_lets_all_readers_in(void **state)
{
    (void)state;
    long long fence = TRY("1").value[0];
    said it;
    add_waiters(2500, "inbox:all", "s");
    said first = FORCE(fence);
    assert_int_equal(first.code, 7);
    assert_int_equal(first.value[1], 1);
    assert_in_range(ASK_UNTIL_DONE(&it, FORCE, "", "5000", "7000", "24", text(fence)), 1, 2);
    assert_int_equal(it.code, 8);
    assert_int_equal(server_number(the_server, READING), 2500);
}

static void a_repeated_acquire_gets_past_six_thousand_dead(void **state)
{
    (void)state;
    said it;
    TRY("1");
    ADD_DEAD(6000);
    END("1");
    assert_in_range(ASK_UNTIL_DONE(&it, ACQUIRE, AS("2"), "60000", "7000", "17", "x", INBOX("2")),
                    6, 7);
    assert_int_equal(it.code, 1);
    assert_int_equal(members(), 2);
}

static void a_repeated_try_gets_past_six_thousand_dead(void **state)
{
    (void)state;
    said it;
    TRY("1");
    ADD_DEAD(3000);
    add_waiters(3000, "inbox:gone%d", "s");
    END("1");
    assert_int_equal(TRY("2").code, 7);
    assert_in_range(server_number(the_server, WAITING), 4900, 5000);
    assert_in_range(ASK_UNTIL_DONE(&it, ACQUIRE, AS("2"), "60000", "7000", "17", "x"), 5, 7);
    assert_int_equal(it.code, 1);
    assert_int_equal(members(), 2);
}

static void a_repeated_release_gets_past_the_dead_to_who_lives(void **state)
{
    (void)state;
    said it;
    TRY("1");
    ADD_DEAD(2500);
    JOIN("2");
    assert_int_equal(RELEASE("1").code, 7);
    assert_lives(67000); /* for those that are left */
    ASK_UNTIL_DONE(&it, RELEASE, AS("1"), "5000", "7000", "18");
    assert_true(WRITES("2"));
    assert_int_equal(members(), 2);
}

static void a_repeated_release_lets_the_key_of_the_dead_go(void **state)
{
    (void)state;
    said it;
    TRY("1");
    ADD_DEAD(1500);
    assert_in_range(ASK_UNTIL_DONE(&it, RELEASE, AS("1"), "0", "7000", "18"), 2, 3);
    assert_int_equal(server_number(the_server, "DBSIZE"), 0);
}

static void a_repeated_cancel_lets_all_readers_in(void **state)
{
    (void)state;
    said it;
    TRY_AS("sw", "1");
    JOIN_AS("xw", "2");
    add_waiters(2500, "inbox:all", "sw");
    assert_int_equal(CANCEL_AS("xw", "2").code, 7);
    assert_in_range(ASK_UNTIL_DONE(&it, CANCEL, AS("2"), "5000", "7000", "19", "xw", INBOX("2")), 1,
                    2);
    assert_int_equal(it.code, 0);
    assert_int_equal(server_number(the_server, READING), 2501);
}

/* ---- The longest line ------------------------------------------------------------------------ */

static void a_full_queue_refuses_and_changes_nothing(void **state)
{
    (void)state;
    TRY("1");
    add_waiters(65536, "inbox:all", "x");
    said it = JOIN("2");
    assert_int_equal(it.code, 3);
    assert_int_equal(it.value[0], 0);
    assert_int_equal(it.value[1], 65536);
    assert_int_equal(members(), 65538);
    assert_int_equal(TRY("2").code, 0);
    END("1");
    assert_int_equal(TRY("2").code, 0); /* the first of them has it now */
    assert_int_equal(server_number(the_server, WAITING), 65535);
}

static void a_full_queue_of_the_dead_lets_the_living_in(void **state)
{
    (void)state;
    TRY("1");
    ADD_DEAD(65536);
    said it = JOIN("2");
    assert_int_equal(it.code, 2);
    assert_in_range(it.value[1], 64000, 65000);
    assert_in_range(JOIN_AS("s", "3").value[1], 1, 1);
    assert_true(WAITS("x", "2") && WAITS("s", "3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_listens_to_everything_keeps_no_dead_waiter_alive),
        TEST(a_dead_waiter_is_never_told),
        TEST(where_the_server_does_not_say_who_listens_the_message_tells),
        TEST(a_refused_message_leaves_the_waiter_its_place),
        TEST(a_queue_of_the_dead_leaves_the_lock_free),
        TEST(a_repeated_release_lets_all_readers_in),
        TEST(a_repeated_downgrade_lets_all_readers_in),
        TEST(a_repeated_force_lets_all_readers_in),
        TEST(a_repeated_acquire_gets_past_six_thousand_dead),
        TEST(a_repeated_try_gets_past_six_thousand_dead),
        TEST(a_repeated_release_gets_past_the_dead_to_who_lives),
        TEST(a_repeated_release_lets_the_key_of_the_dead_go),
        TEST(a_repeated_cancel_lets_all_readers_in),
        TEST(a_full_queue_refuses_and_changes_nothing),
        TEST(a_full_queue_of_the_dead_lets_the_living_in),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
