/* SPDX-License-Identifier: MIT
 * The scripts at their limits: hostile arguments, foreign keys, a full memory, a replica. What is
 * refused has changed nothing. */
#include "script_stage.h"

/* ---- Arguments ------------------------------------------------------------------------------- */

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define BAD(it) ((it).code == -1 && (it).now_us == 0)
#define ERRS(it) ((it).code == -99 && (it).error[0] != '\0')

static void a_bad_ttl_changes_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "0", "-1", "2592000001", "9223372036854775808", "1.5", "nan", "inf", "1e300", "-0"};
    TRY("1");
    picture before = look();
    for (size_t i = 0; i < COUNT(bad); i++) {
        said it = ASK(ACQUIRE, AS("2"), bad[i], "7000", "17", "x", INBOX("2"));
        assert_true(BAD(it));
        assert_int_equal(it.nonce, 17);
        assert_true(BAD(ASK(RENEW, AS("1"), bad[i], "7000", "20")));
        assert_true(BAD(ASK(UPGRADE, AS("1"), bad[i], "7000", "20", "5")));
        assert_true(BAD(ASK(DOWNGRADE, AS("1"), bad[i], "7000", "20", "5")));
    }
    assert_unchanged(&before);
    assert_int_equal(RELEASE("1").code, 1);
    assert_int_equal(ASK(ACQUIRE, AS("1"), "2592000000", "2592000000", "17").code, 1);
    assert_lives(5184000000);
}

static void what_is_no_number_is_answered_with_an_error(void **state)
{
    (void)state;
    static const char *const bad[] = {"abc", "", "1x"};
    TRY("1");
    JOIN("2");
    picture before = look();
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_true(ERRS(ASK(ACQUIRE, AS("2"), bad[i], "7000", "17")));
        assert_true(ERRS(ASK(ACQUIRE, AS("2"), "60000", "7000", bad[i])));
        assert_true(ERRS(ASK(RENEW, AS("1"), "60000", bad[i], "20")));
        assert_true(ERRS(ASK(RELEASE, AS("1"), "5000", bad[i], "20")));
        assert_true(ERRS(ASK(CANCEL, AS("1"), "5000", bad[i], "20", "x", "")));
        assert_true(ERRS(ASK(UPGRADE, AS("1"), "60000", "7000", "20", bad[i])));
        assert_true(ERRS(ASK(FORCE, "", "5000", "7000", "20", bad[i])));
        assert_true(ERRS(ASK(INSPECT, bad[i], "20")));
    }
    assert_true(ERRS(ASK(ACQUIRE, AS("1"))) && ERRS(ASK(RELEASE, AS("1"))) &&
                ERRS(ASK(RENEW, AS("1"), "60000")));
    assert_true(ERRS(ASK(DOWNGRADE, AS("1"), "60000", "7000", "20")) &&
                ERRS(ASK(FORCE, "", "5000", "7000", "24")));
    assert_unchanged(&before);
}

static void a_bad_grace_or_linger_changes_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {"-1",   "2592000001", "0.5", "nan", " 5",
                                      "0x10", "05",         "5 ",  "1e3"};
    TRY("1");
    JOIN("2");
    picture before = look();
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_true(BAD(ASK(RELEASE, AS("1"), bad[i], "7000", "18")));
        assert_true(BAD(ASK(CANCEL, AS("1"), bad[i], "7000", "19", "x", "")));
        assert_true(BAD(ASK(FORCE, "", bad[i], "7000", "24", "5")));
        if (i >= 4) continue; /* a grace is read as Lua reads numbers */
        assert_true(BAD(ASK(RELEASE, AS("1"), "5000", bad[i], "18")));
        assert_true(BAD(ASK(CANCEL, AS("1"), "5000", bad[i], "19", "x", "")));
        assert_true(BAD(ASK(ACQUIRE, AS("3"), "60000", bad[i], "17")));
        assert_true(BAD(ASK(RENEW, AS("1"), "90000", bad[i], "20")));
        assert_true(BAD(ASK(FORCE, "", "5000", bad[i], "24", "5")));
    }
    assert_unchanged(&before);
}

static void a_bad_holder_changes_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {"f1", "", "x 1 who", "1 inbox:1 x - 1 who", "?a.1"};
    static const char *const bad_to_enter[] = {"- 1",          "-",        "- 1 ",
                                               "- 1 who more", "-  1 who", " - 1 who"};
    TRY("1");
    picture before = look();
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_true(BAD(ASK(ACQUIRE, bad[i], "60000", "7000", "17")));
        assert_true(BAD(ASK(RELEASE, bad[i], "5000", "7000", "18")));
        assert_true(BAD(ASK(CANCEL, bad[i], "5000", "7000", "19", "x", "")));
        assert_true(BAD(ASK(RENEW, bad[i], "60000", "7000", "20")));
        assert_true(BAD(ASK(UPGRADE, bad[i], "60000", "7000", "20", "5")));
    }
    for (size_t i = 0; i < COUNT(bad_to_enter); i++)
        assert_true(BAD(ASK(ACQUIRE, bad_to_enter[i], "60000", "7000", "17")));
    assert_unchanged(&before);
}

static void a_bad_mode_or_inbox_changes_nothing(void **state)
{
    (void)state;
    static const char *const modes[] = {"f",    "y",  "sq", "s/0", "s/",  "s/-1",
                                        "s/3x", "s3", "ss", "x x", "s/03"};
    static const char *const inboxes[] = {
        "x", "0 inbox:2", "2592000001 inbox:2", "02 inbox:2", "2000 ", "2000 a b", "inbox:2"};
    tell("ZADD " KEY " -5700000000000000 f1");
    picture before = look();
    for (size_t i = 0; i < COUNT(modes); i++)
        assert_true(BAD(ASK(ACQUIRE, AS("2"), "60000", "7000", "17", modes[i])));
    for (size_t i = 0; i < COUNT(inboxes); i++)
        assert_true(BAD(ASK(ACQUIRE, AS("2"), "60000", "7000", "17", "x", inboxes[i])));
    assert_true(BAD(ASK(CANCEL, AS("2"), "5000", "7000", "19", "x", "0 inbox:2")));
    assert_true(BAD(ASK(CANCEL, AS("2"), "5000", "7000", "19", "x", "nobody")));
    assert_unchanged(&before);
    assert_int_equal(ASK(ACQUIRE, AS("2"), "60000", "7000", "17", "", "").code,
                     1); /* as if they were left out */
    assert_true(WRITES("2"));
}

static void a_bad_nonce_arrival_fence_or_burial_changes_nothing(void **state)
{
    (void)state;
    TRY("1");
    picture before = look();
    assert_true(ASK(ACQUIRE, AS("2"), "60000", "7000", "nan").code == -1);
    assert_true(ASK(ACQUIRE, AS("2"), "60000", "7000", "1e16").code == -1);
    static const char *const arrivals[] = {"-1", "99999999999999", "4000000000000000",
                                           "1000000000000000.5", "nan"};
    for (size_t i = 0; i < COUNT(arrivals); i++) assert_true(BAD(RETURN_AS("x", "2", arrivals[i])));
    static const char *const fences[] = {"-1", "5000000000000001", "0.5", "nan"};
    for (size_t i = 0; i < COUNT(fences); i++) {
        assert_true(BAD(ASK(ACQUIRE, AS("2"), "60000", "7000", "17", "x", "", "0", fences[i])));
        assert_true(BAD(ASK(RENEW, AS("1"), "60000", "7000", "17", fences[i])));
        assert_true(BAD(ASK(UPGRADE, AS("1"), "60000", "7000", "17", fences[i])));
        assert_true(BAD(ASK(FORCE, "", "5000", "7000", "17", fences[i])));
        assert_true(BAD(ASK(RELEASE, AS("1"), "5000", "7000", "18", "0", fences[i])));
    }
    assert_true(BAD(ASK(RELEASE, AS("1"), "5000", "7000", "18", "2592000001")));
    assert_true(BAD(ASK(CANCEL, AS("1"), "5000", "7000", "18", "x", "", "-1")));
    assert_true(BAD(ASK(INSPECT, "0", "21")) && BAD(ASK(INSPECT, "10001", "21")) &&
                BAD(ASK(INSPECT, "1.5", "21")));
    assert_unchanged(&before);
}

/* ---- Other keys ------------------------------------------------------------------------------ */

static void another_type_is_left_alone(void **state)
{
    (void)state;
    tell("SET " KEY " mine");
    assert_non_null(strstr(TRY("1").error, "WRONGTYPE"));
    assert_non_null(strstr(JOIN_AS("s", "1").error, "WRONGTYPE"));
    assert_non_null(strstr(RELEASE("1").error, "WRONGTYPE"));
    assert_non_null(strstr(CANCEL("1").error, "WRONGTYPE"));
    assert_non_null(strstr(RENEW("1", "60000").error, "WRONGTYPE"));
    assert_non_null(strstr(DOWNGRADE("1", 5).error, "WRONGTYPE"));
    assert_non_null(strstr(UPGRADE("1", 5).error, "WRONGTYPE"));
    assert_non_null(strstr(FORCE(5).error, "WRONGTYPE"));
    assert_non_null(strstr(INSPECT().error, "WRONGTYPE"));
}

#define REFUSED(it) ((it).code == -2 && (it).now_us > 0)

static void a_foreign_set_is_refused_and_left_as_it_is(void **state)
{
    (void)state;
    static const char *const foreign[] = {
        "5, 'bob'",
        "-1, 'bob'",
        "-5e12, 'bob'",
        "1, 'a', 2, 'b', 3, 'c'",
        "10, 'bob', 3e13, 'alice'",
        "9e12, 'alice', 9000000000001, 'xavier'",
        "2e14, 'waiter'",
        "-9e15, 'a', -5.764e15, 'f1'",
        "0, 'f1', -1, 'a'",
        "-1.764e15, 'f', 1.999e12, 'x abc.1 host:1:who'", /* of version 0.1 */
        "-3, 'f', 1.999e12, '- other.1 host:1:who', 5e15, 'w'",
    };
    for (size_t i = 0; i < COUNT(foreign); i++) {
        char source[160];
        snprintf(source, sizeof source,
                 "redis.call('DEL', KEYS[1]) redis.call('ZADD', KEYS[1], %s)", foreign[i]);
        server_order(the_server, "EVAL %s 1 " KEY, source);
        picture before = look();
        assert_true(REFUSED(TRY("1")) && REFUSED(JOIN("1")) && REFUSED(TRY_AS("s", "1")) &&
                    REFUSED(JOIN_AS("s", "1")));
        assert_true(REFUSED(RELEASE("1")));
        assert_true(REFUSED(ASK(RELEASE, AS("1"), "0", "7000", "18", "60000")));
        assert_true(REFUSED(CANCEL("1")) && REFUSED(FORCE(5)) && REFUSED(FORCE(0)) &&
                    REFUSED(INSPECT()));
        assert_int_equal(RENEW("1", "60000").code, 0);
        assert_int_equal(UPGRADE("1", 0).code, 0);
        assert_int_equal(DOWNGRADE("1", 0).code, 0);
        assert_unchanged(&before);
        assert_int_equal(server_number(the_server, "PTTL " KEY), -1);
    }
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static void a_full_memory_refuses_new_locks_and_loses_none(void **state)
{
    (void)state;
    TRY("1");
    JOIN("2");
    JOIN("3");
    picture before = look();
    tell("CONFIG SET maxmemory 1");
    assert_non_null(strstr(JOIN("4").error, "OOM"));
    assert_unchanged(&before);
    assert_int_equal(RENEW("1", "90000").code, 1);
    assert_int_equal(ASK(RENEW, AS("1"), "1000", "7000", "20", text(last_fence() + 5)).code, 1);
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
    END("1");
    tell("CONFIG SET maxmemory 1");
    assert_int_equal(JOIN("2").code, 1);
    assert_int_equal(members(), 2);
}

static void a_full_memory_loses_no_reader_and_no_writer(void **state)
{
    (void)state;
    long long fence = TRY("1").value[0];
    JOIN_AS("s", "2");
    JOIN_AS("s", "3");
    JOIN("4");
    tell("CONFIG SET maxmemory 1");
    assert_non_null(strstr(JOIN_AS("s", "5").error, "OOM"));
    fence = DOWNGRADE("1", fence).value[0];
    assert_true(READS("1") && READS("2") && READS("3"));
    assert_non_null(strstr(TRY_AS("s", "5").error, "OOM"));
    assert_int_equal(RENEW("2", "90000").code, 1);
    RELEASE("1");
    RELEASE("3");
    assert_int_equal(UPGRADE("2", fence).code, 1);
    assert_true(WRITES("2") && WAITS("x", "4"));
    assert_int_equal(RELEASE("2").code, 2);
    assert_int_equal(FORCE(last_fence()).code, 1);
    assert_int_equal(members(), 1);
}

static void an_ordinary_lock_stays_compact(void **state)
{
    (void)state;
    TRY("1");
    redisReply *answer = server_command(the_server, "OBJECT ENCODING " KEY);
    assert_true(strcmp(answer->str, "listpack") == 0 || strcmp(answer->str, "ziplist") == 0);
    freeReplyObject(answer);
}

/* ---- Replicas -------------------------------------------------------------------------------- */

static void a_replica_never_says_that_a_lock_is_lost(void **state)
{
    (void)state;
    long long fence = TRY("1").value[0];
    tell("REPLICAOF 127.0.0.1 1");
    said absent = RENEW("2", "60000"), longer = RENEW("1", "90000"), the_same = RENEW("1", "50000");
    said upgraded = UPGRADE("1", fence), strange = UPGRADE("2", fence),
         downgraded = DOWNGRADE("2", fence);
    said seen = INSPECT();
    tell("REPLICAOF NO ONE");
    assert_non_null(strstr(absent.error, "READONLY"));
    assert_non_null(strstr(longer.error, "READONLY"));
    assert_non_null(strstr(the_same.error, "READONLY"));
    assert_non_null(strstr(upgraded.error, "READONLY"));
    assert_non_null(strstr(strange.error, "READONLY"));
    assert_non_null(strstr(downgraded.error, "READONLY"));
    assert_int_equal(seen.code, 1);
    assert_true(WRITES("1") && last_fence() == fence);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_bad_ttl_changes_nothing),
        TEST(what_is_no_number_is_answered_with_an_error),
        TEST(a_bad_grace_or_linger_changes_nothing),
        TEST(a_bad_holder_changes_nothing),
        TEST(a_bad_mode_or_inbox_changes_nothing),
        TEST(a_bad_nonce_arrival_fence_or_burial_changes_nothing),
        TEST(another_type_is_left_alone),
        TEST(a_foreign_set_is_refused_and_left_as_it_is),
        TEST(a_full_memory_refuses_new_locks_and_loses_none),
        TEST(a_full_memory_still_grants_to_the_queue),
        TEST(a_full_memory_loses_no_reader_and_no_writer),
        TEST(an_ordinary_lock_stays_compact),
        TEST(a_replica_never_says_that_a_lock_is_lost),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
