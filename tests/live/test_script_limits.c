/* SPDX-License-Identifier: MIT
 * The scripts at their limits: hostile arguments, foreign keys, a full memory, a refused message,
 * queues of the dead. What is refused has changed nothing. */
#include "script_stage.h"

/* ---- Arguments and types -----------------------------------------------------------------------*/

static const char *const bad_ttls[] = {"0", "-1",    "2592000001", "9223372036854775808", "1.5", "nan", "inf", "abc",
                                       "",  "1e300", "-0"};

static void a_bad_ttl_changes_nothing(void **state)
{
    (void)state;
    TRY("1");
    picture before = look();
    for (size_t i = 0; i < sizeof bad_ttls / sizeof *bad_ttls; i++) {
        said it = ASK(ACQUIRE, HOLDER("2"), bad_ttls[i], "7000", "17", WAITER("2"));
        assert_int_equal(it.code, -1);
        assert_int_equal(it.nonce, 17);
        assert_int_equal(ASK(RENEW, HOLDER("1"), bad_ttls[i], "7000", "20").code, -1);
    }
    assert_unchanged(&before);
    assert_int_equal(RELEASE("1").code, 1);
    assert_int_equal(ASK(ACQUIRE, HOLDER("1"), "2592000000", "2592000000", "17").code, 1);
    assert_lives(5184000000);
}

static void a_bad_grace_or_linger_changes_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {"-1", "2592000001", "0.5", "nan", "abc", "", " 5", "0x10", "05"};
    TRY("1");
    JOIN("2");
    picture before = look();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(ASK(RELEASE, HOLDER("1"), bad[i], "7000", "18").code, -1);
        assert_int_equal(ASK(CANCEL, HOLDER("1"), bad[i], "7000", "19", "").code, -1);
        if (i >= 6) continue; /* a grace is read as Lua reads numbers */
        assert_int_equal(ASK(RELEASE, HOLDER("1"), "5000", bad[i], "18").code, -1);
        assert_int_equal(ASK(CANCEL, HOLDER("1"), "5000", bad[i], "19", "").code, -1);
        assert_int_equal(ASK(ACQUIRE, HOLDER("3"), "60000", bad[i], "17", "").code, -1);
        assert_int_equal(ASK(RENEW, HOLDER("1"), "90000", bad[i], "20").code, -1);
    }
    assert_unchanged(&before);
}

static void a_bad_member_nonce_or_count_changes_nothing(void **state)
{
    (void)state;
    static const char *const bad_waiters[] = {"x",
                                              "0 inbox:2 " HOLDER("2"),
                                              "2592000001 inbox:2 " HOLDER("2"),
                                              "2000 inbox:2 " HOLDER("3"),
                                              "2000 " HOLDER("2"),
                                              HOLDER("1"),
                                              "f"};
    TRY("1");
    picture before = look();
    for (size_t i = 0; i < sizeof bad_waiters / sizeof *bad_waiters; i++) {
        assert_int_equal(ASK(ACQUIRE, HOLDER("2"), "60000", "7000", "17", bad_waiters[i]).code, -1);
        assert_int_equal(ASK(CANCEL, HOLDER("2"), "5000", "7000", "19", bad_waiters[i]).code, -1);
    }
    assert_int_equal(ASK(ACQUIRE, "f", "60000", "7000", "17").code, -1);
    assert_int_equal(ASK(ACQUIRE, HOLDER("1"), "60000", "7000", "nan").code, -1);
    assert_int_equal(ASK(ACQUIRE, HOLDER("1")).code, -1);
    assert_int_equal(ASK(RELEASE, "f", "5000", "7000", "18").code, -1);
    assert_int_equal(ASK(RELEASE, HOLDER("1")).code, -1);
    assert_int_equal(ASK(RENEW, "f", "60000", "7000", "20").code, -1);
    assert_int_equal(ASK(INSPECT, "0", "21").code, -1);
    assert_int_equal(ASK(INSPECT, "-1", "21").code, -1);
    assert_unchanged(&before);
}

static void another_type_is_left_alone(void **state)
{
    (void)state;
    tell("SET " KEY " mine");
    assert_non_null(strstr(TRY("1").error, "WRONGTYPE"));
    assert_non_null(strstr(RELEASE("1").error, "WRONGTYPE"));
    assert_non_null(strstr(CANCEL("1").error, "WRONGTYPE"));
    assert_non_null(strstr(RENEW("1", "60000").error, "WRONGTYPE"));
    assert_non_null(strstr(ASK(INSPECT, "10", "21").error, "WRONGTYPE"));
    tell("DEL " KEY);
    tell("ZADD " KEY " 10 alice 20 bob");
    picture before = look();
    assert_non_null(strstr(JOIN("1").error, "WRONGTYPE"));
    assert_unchanged(&before);
}

static void a_full_memory_refuses_new_locks_and_loses_none(void **state)
{
    (void)state;
    TRY("1");
    SUBSCRIBE("2");
    JOIN("2");
    JOIN("3");
    picture before = look();
    tell("CONFIG SET maxmemory 1");
    assert_non_null(strstr(JOIN("4").error, "OOM"));
    assert_unchanged(&before);
    assert_int_equal(RENEW("1", "90000").code, 1);
    assert_int_equal(CANCEL("3").code, 3);
    assert_int_equal(RELEASE("1").code, 2);
    assert_int_equal(JOIN("2").code, 1);
    assert_int_equal(RELEASE("2").code, 1);
    assert_non_null(strstr(TRY("5").error, "OOM"));
    assert_int_equal(members(), 1);
}

static void a_full_memory_still_grants_to_the_queue(void **state)
{
    (void)state;
    TRY("1");
    JOIN("2");
    EXPIRE("1");
    tell("CONFIG SET maxmemory 1");
    assert_int_equal(JOIN("2").code, 1);
    assert_int_equal(members(), 2);
}

static void an_ordinary_lock_stays_compact(void **state)
{
    (void)state;
    TRY("1");
    redisReply *answer = server_command(the_server, "OBJECT ENCODING " KEY);
    assert_true(strcmp(answer->str, "listpack") == 0 || strcmp(answer->str, "ziplist") == 0);
    freeReplyObject(answer);
}

/* ---- Queues ------------------------------------------------------------------------------------*/

static void a_refused_message_leaves_the_waiter_its_place(void **state)
{
    (void)state;
    TRY("1");
    JOIN("2");
    tell("ACL SETUSER mute on nopass ~* +@all -publish");
    redisContext *mute = redisConnectUnix(server_socket(the_server));
    freeReplyObject(redisCommand(mute, "AUTH mute any"));
    said it = listen_to(eval(mute, SCRIPT_RELEASE, (const char *[]){HOLDER("1"), "5000", "7000", "18", NULL}));
    redisFree(mute);
    tell("ACL DELUSER mute");
    assert_non_null(strstr(it.error, "NOPERM"));
    assert_int_equal(members(), 2);
    assert_int_equal(JOIN("2").code, 1);
}

static void a_full_queue_refuses(void **state)
{
    (void)state;
    TRY("1");
    add_dead_waiters(65536);
    said it = JOIN("2");
    assert_int_equal(it.code, 3);
    assert_int_equal(it.value[1], 65536);
    assert_int_equal(members(), 65538);
}

static void two_thousand_dead_waiters_are_dropped_in_steps(void **state)
{
    (void)state;
    TRY("1");
    SUBSCRIBE("2");
    add_dead_waiters(2000);
    JOIN("2");
    assert_int_equal(RELEASE("1").code, 1);
    assert_int_equal(members(), 1002);
    assert_lives(67000); /* for those that are left */
    said it = TRY("3");
    assert_int_equal(it.code, 0);
    assert_int_equal(it.value[0], 0); /* ask again at once */
    assert_int_equal(members(), 2);
    assert_int_equal(TRY("3").value[0], 2000);
    assert_int_equal(JOIN("2").code, 1);
}

static void a_queue_of_the_dead_leaves_the_lock_free(void **state)
{
    (void)state;
    TRY("1");
    add_dead_waiters(10);
    tell("ZADD " KEY " 100000000000000 rubbish");
    assert_int_equal(RELEASE("1").code, 1);
    assert_int_equal(members(), 1);
    assert_lives(5000);
}

/* ---- Modes -------------------------------------------------------------------------------------*/

static void a_bad_mode_or_argument_changes_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {"",          "f",        "y 1 who",    "sq 1 who",
                                      "s/0 1 who", "s/ 1 who", "s/-1 1 who", "s/3x 1 who",
                                      "s@ 1 who",  "s3 1 who", "ss 1 who",   "1 inbox:1 x 1 who"};
    TRY_AS("x", "1");
    TRY_AS("s", "1");
    picture before = look();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(ASK(ACQUIRE, bad[i], "60000", "7000", "17", "").code, -1);
        if (i >= 3) continue; /* what is not a mode was never let in */
        assert_int_equal(ASK(DOWNGRADE, bad[i], "0", "7000", "22", AS("s", "1")).code, -1);
        assert_int_equal(ASK(UPGRADE, bad[i], "60000", "7000", "23", AS("x", "1")).code, -1);
    }
    assert_int_equal(ASK(DOWNGRADE, AS("x", "1"), "0", "-1", "22", AS("s", "1")).code, -1);
    assert_int_equal(ASK(DOWNGRADE, AS("x", "1"), "0", "7000", "22", AS("x", "1")).code, -1);
    assert_int_equal(ASK(DOWNGRADE, AS("x", "1"), "0", "7000", "nan", AS("s", "1")).code, -1);
    assert_int_equal(ASK(UPGRADE, AS("s", "1"), "0", "7000", "23", AS("x", "1")).code, -1);
    assert_int_equal(ASK(UPGRADE, AS("s", "1"), "60000", "7000", "23").code, -1);
    assert_int_equal(ASK(FORCE, "", "05", "7000", "24").code, -1);
    assert_int_equal(ASK(FORCE, "", "5000", "", "24").code, -1);
    assert_int_equal(ASK(FORCE, "", "5000", "7000").code, -1);
    assert_int_equal(ASK(FORCE, "").code, -1);
    assert_int_equal(ASK(DOWNGRADE, "").code, -1);
    assert_int_equal(ASK(UPGRADE, "").code, -1);
    assert_unchanged(&before);
}

static void a_full_memory_loses_no_reader_and_no_writer(void **state)
{
    (void)state;
    for (int i = 2; i <= 5; i++) freeReplyObject(redisCommand(inbox, "SUBSCRIBE inbox:%d", i));
    TRY_AS("x", "1");
    JOIN_AS("s", "2");
    JOIN_AS("s", "3");
    JOIN_AS("x", "4");
    tell("CONFIG SET maxmemory 1");
    assert_non_null(strstr(JOIN_AS("s", "5").error, "OOM"));
    assert_int_equal(DOWNGRADE("1").code, 1);
    assert_true(HOLDS("s", "1") && HOLDS("s", "2") && HOLDS("s", "3"));
    assert_non_null(strstr(TRY_AS("s", "5").error, "OOM"));
    assert_int_equal(RENEW_AS("s", "2", "90000").code, 1);
    RELEASE_AS("s", "1");
    RELEASE_AS("s", "3");
    assert_int_equal(UPGRADE("2").code, 1);
    assert_true(HOLDS("x", "2") && WAITS("x", "4"));
    assert_int_equal(RELEASE_AS("x", "2").code, 2);
    assert_int_equal(FORCE().code, 1);
    assert_int_equal(members(), 1);
}

static void other_keys_are_left_alone(void **state)
{
    (void)state;
    tell("SET " KEY " mine");
    assert_non_null(strstr(TRY_AS("s", "1").error, "WRONGTYPE"));
    assert_non_null(strstr(DOWNGRADE("1").error, "WRONGTYPE"));
    assert_non_null(strstr(UPGRADE("1").error, "WRONGTYPE"));
    assert_non_null(strstr(FORCE().error, "WRONGTYPE"));
    tell("DEL " KEY);
    tell("ZADD " KEY " 10 alice 20 bob");
    picture before = look();
    assert_non_null(strstr(JOIN_AS("s", "1").error, "WRONGTYPE"));
    assert_int_equal(RELEASE_AS("s", "1").code, 0);
    assert_int_equal(DOWNGRADE("1").code, 0);
    assert_int_equal(UPGRADE("1").code, 0);
    assert_unchanged(&before);
    tell("DEL " KEY);
    tell("ZADD " KEY " 10 bob 30000000000000 alice");
    before = look();
    assert_non_null(strstr(TRY_AS("s", "1").error, "WRONGTYPE"));
    assert_unchanged(&before);
    tell("ZADD " KEY " 10000000000000 alice 10000000000001 xavier");
    before = look();
    assert_non_null(strstr(JOIN("1").error, "WRONGTYPE"));
    assert_unchanged(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_bad_ttl_changes_nothing),
        TEST(a_bad_grace_or_linger_changes_nothing),
        TEST(a_bad_member_nonce_or_count_changes_nothing),
        TEST(another_type_is_left_alone),
        TEST(a_full_memory_refuses_new_locks_and_loses_none),
        TEST(a_full_memory_still_grants_to_the_queue),
        TEST(an_ordinary_lock_stays_compact),
        TEST(a_refused_message_leaves_the_waiter_its_place),
        TEST(a_full_queue_refuses),
        TEST(two_thousand_dead_waiters_are_dropped_in_steps),
        TEST(a_queue_of_the_dead_leaves_the_lock_free),
        TEST(a_bad_mode_or_argument_changes_nothing),
        TEST(a_full_memory_loses_no_reader_and_no_writer),
        TEST(other_keys_are_left_alone),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
