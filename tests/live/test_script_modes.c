/* SPDX-License-Identifier: MIT
 * The two modes on a real server: who shares, who waits and who is next. A mode is spelt out where
 * somebody asks: "s" reads, "x" writes; then come policy and limit. */
#include "script_stage.h"

/* ---- Leases of readers ----------------------------------------------------------------------- */

static void readers_enter_beside_readers(void **state)
{
    (void)state;
    said first = TRY_AS("s", "1");
    said second = TRY_AS("s", "2");
    assert_int_equal(first.code, 1);
    assert_int_equal(second.code, 1);
    assert_int_equal(second.nonce, 17);
    assert_int_equal(second.value[0], first.value[0]); /* one fence for all who read at once */
    assert_int_equal(second.value[1], 2);
    assert_int_equal(second.value[2], 60000);
    assert_int_equal(score_of(AS("2")), second.now_us / 1000 + 60000 + SHARED_BAND);
    picture before = look();
    assert_int_equal(JOIN_AS("s", "2").value[0], first.value[0]);
    assert_unchanged(&before);
    assert_int_equal(TRY_AS("x", "3").code, 0);
    assert_unchanged(&before);
}

static void a_writer_waits_for_every_reader(void **state)
{
    (void)state;
    long long fence = TRY_AS("s", "1").value[0];
    TRY_AS("s", "2");
    tell("PEXPIRE " KEY " 5000");
    said it = JOIN_AS("x", "3");
    assert_lives(67000);
    assert_int_equal(it.code, 2);
    assert_int_equal(it.value[1], 1);
    assert_int_equal(RELEASE("1").code, 1);
    assert_false(WRITES("3"));
    assert_int_equal(RELEASE("2").code, 2);
    assert_true(WRITES("3"));
    assert_true(JOIN_AS("x", "3").value[0] > fence);
    assert_int_equal(TRY_AS("s", "4").code, 0);
}

static void a_short_reader_does_not_shorten_a_long_one(void **state)
{
    (void)state;
    assert_int_equal(ASK(ACQUIRE, AS("1"), "10000", "0", "17", "s").code, 1);
    long long ends = score_of(AS("1"));
    assert_int_equal(ASK(ACQUIRE, AS("2"), "1000", "0", "17", "s").code, 1);
    assert_int_equal(score_of(AS("1")), ends);
    assert_lives(10000);
    END("2");
    said it = TRY_AS("x", "3");
    assert_int_equal(it.code, 0);
    assert_in_range(it.value[0], 5000, 10000);
    assert_int_equal(RENEW("1", "20000").code, 1);
    assert_int_equal(score_of(AS("2")), 0);
}

static void an_expired_reader_is_not_kept_alive_by_others(void **state)
{
    (void)state;
    TRY_AS("s", "1");
    TRY_AS("s", "2");
    END("1");
    assert_int_equal(TRY_AS("s", "3").code, 1);
    assert_int_equal(RENEW("2", "90000").code, 1);
    assert_int_equal(RENEW("1", "90000").code, 0);
    assert_int_equal(JOIN_AS("x", "4").code, 2);
    END("2");
    assert_int_equal(RELEASE("3").code, 2);
    assert_true(WRITES("4"));
    assert_int_equal(members(), 2);
}

static void a_late_release_throws_nobody_out(void **state)
{
    (void)state;
    TRY_AS("s", "1");
    END("1");
    TRY_AS("s", "2");
    long long ends = score_of(AS("2"));
    RELEASE("1");
    assert_int_equal(RELEASE("1").code, 0);
    assert_int_equal(RELEASE("3").code, 0);
    assert_int_equal(score_of(AS("2")), ends);
    assert_int_equal(TRY_AS("x", "4").code, 0);
}

static void a_lock_whose_readers_all_expired_is_free(void **state)
{
    (void)state;
    long long fence = TRY_AS("s", "1").value[0];
    TRY_AS("s", "2");
    END("1");
    END("2");
    said it = TRY_AS("x", "3");
    assert_int_equal(it.code, 1);
    assert_true(it.value[0] > fence);
    assert_int_equal(members(), 2);
}

static void the_key_lives_as_long_as_its_longest_lease(void **state)
{
    (void)state;
    ASK(ACQUIRE, AS("1"), "90000", "7000", "17", "s");
    ASK(ACQUIRE, AS("2"), "1000", "7000", "17", "s");
    assert_lives(97000);
    ASK(ACQUIRE, AS("3"), "120000", "7000", "17", "s");
    assert_lives(127000);
    RELEASE("3");
    RELEASE("2");
    assert_lives(127000);
    assert_int_equal(ASK(RELEASE, AS("1"), "0", "7000", "18").code, 1);
    assert_int_equal(server_number(the_server, "DBSIZE"), 0);
}

/* ---- Who is next ----------------------------------------------------------------------------- */

static void readers_overtake_writers_by_default(void **state)
{
    (void)state;
    TRY_AS("s", "1");
    JOIN_AS("x", "2");
    assert_int_equal(TRY_AS("s", "3").code, 1);
    RELEASE("1");
    assert_true(WAITS("x", "2"));
    assert_int_equal(RELEASE("3").code, 2);
    JOIN_AS("x", "4");
    JOIN_AS("s", "5");
    assert_int_equal(RELEASE("2").code, 2);
    assert_true(READS("5"));
    assert_true(WAITS("x", "4"));
}

static void fair_phases_alternate(void **state)
{
    (void)state;
    TRY_AS("sf", "1");
    JOIN_AS("xf", "2");
    assert_int_equal(TRY_AS("sf", "3").code, 0); /* a writer waits, so new readers do */
    JOIN_AS("sf", "3");
    JOIN_AS("sf", "4");
    JOIN_AS("xf", "5");
    assert_int_equal(RELEASE("1").code, 2); /* after readers the writer */
    assert_true(WRITES("2") && WAITS("sf", "3"));
    assert_int_equal(RELEASE("2").code, 2); /* after the writer all readers that wait */
    assert_true(READS("3") && READS("4") && WAITS("xf", "5"));
    JOIN_AS("sf", "6");
    RELEASE("3");
    assert_true(WAITS("sf", "6")); /* not of this batch */
    RELEASE("4");
    assert_true(WRITES("5") && WAITS("sf", "6"));
    RELEASE("5");
    assert_true(READS("6"));
}

static void after_readers_that_expired_comes_the_writer(void **state)
{
    (void)state;
    TRY_AS("sf", "1");
    JOIN_AS("xf", "2");
    JOIN_AS("xf", "3");
    JOIN_AS("sf", "4");
    DIES("2");
    END("1");
    assert_int_equal(JOIN_AS("sf", "4").code, 2);
    assert_true(WRITES("3") && WAITS("sf", "4"));
}

static void after_a_reader_the_writer_goes_first_although_another_reader_came_before_it(
    void **state)
{
    (void)state;
    TRY_AS("sf/1", "1");
    JOIN_AS("sf/1", "2");
    JOIN_AS("xf", "3");
    assert_int_equal(RELEASE("1").code, 2);
    assert_true(WRITES("3") && WAITS("sf/1", "2"));
    JOIN_AS("xf", "4");
    assert_int_equal(RELEASE("3").code, 2); /* and after a writer who came first */
    assert_true(READS("2") && WAITS("xf", "4"));
}

static void writers_go_first_if_they_ask_for_it(void **state)
{
    (void)state;
    TRY_AS("xw", "1");
    JOIN_AS("sw", "2");
    JOIN_AS("xw", "3");
    JOIN_AS("xw", "4");
    assert_int_equal(RELEASE("1").code, 2);
    assert_true(WRITES("3") && WAITS("sw", "2"));
    RELEASE("3");
    assert_true(WRITES("4") && WAITS("sw", "2"));
    RELEASE("4");
    assert_true(READS("2"));
}

/* The fence that the next message of the inbox tells. */
static long long told_fence(void)
{
    long long fence = 0;
    redisReply *message = next_message();
    assert_int_equal(sscanf(message->element[2]->str, "grant %lld ", &fence), 1);
    freeReplyObject(message);
    return fence;
}

static void a_batch_leaves_its_dead_behind(void **state)
{
    (void)state;
    TRY_AS("x", "1");
    JOIN_AS("s", "2");
    JOIN_AS("s", "3");
    JOIN_AS("s", "4");
    JOIN_AS("x", "5");
    DIES("3");
    tell("PEXPIRE " KEY " 3000");
    assert_int_equal(RELEASE("1").code, 2);
    assert_lives(9000); /* the claim and the grace */
    assert_true(READS("2") && READS("4") && WAITS("x", "5"));
    assert_int_equal(members(), 4);
    long long fence = JOIN_AS("s", "2").value[0];
    assert_true(fence == last_fence());
    assert_true(told_fence() == fence && told_fence() == fence);
}

static void one_release_admits_hundreds(void **state)
{
    (void)state;
    TRY_AS("x", "1");
    add_waiters(250, "inbox:all", "s");
    assert_int_equal(RELEASE("1").code, 2);
    assert_int_equal(members(), 251);
    assert_int_equal(server_number(the_server, "ZCOUNT " KEY " 20000000000000 99999999999999"),
                     250);
}

static void a_reader_that_asks_brings_its_batch(void **state)
{
    (void)state;
    TRY_AS("x", "1");
    JOIN_AS("s", "2");
    JOIN_AS("s", "3");
    JOIN_AS("s", "4");
    END("1");
    tell("PEXPIRE " KEY " 5000");
    said it = JOIN_AS("s", "3");
    assert_lives(67000);
    assert_int_equal(it.code, 1);
    assert_int_equal(it.value[2], 60000);
    assert_true(READS("2") && READS("4"));
    assert_int_equal(members(), 4);
}

static void a_cancelled_writer_lets_the_readers_behind_it_in(void **state)
{
    (void)state;
    TRY_AS("sf", "1");
    JOIN_AS("xf", "2");
    JOIN_AS("sf", "3");
    assert_true(WAITS("sf", "3"));
    assert_int_equal(CANCEL_AS("xf", "2").code, 3);
    assert_true(READS("3"));
    assert_int_equal(CANCEL_AS("xf", "2").code, 0);
}

static void a_dead_writer_bars_no_reader(void **state)
{
    (void)state;
    TRY_AS("sf", "1");
    JOIN_AS("xf", "2");
    JOIN_AS("xf", "3");
    JOIN_AS("xf", "4");
    DIES("2");
    DIES("3");
    assert_int_equal(JOIN_AS("sf", "5").code, 2);
    assert_true(WAITS("xf", "4") && !WAITS("xf", "2") && !WAITS("xf", "3"));
    assert_int_equal(CANCEL_AS("xf", "4").code, 3);
    assert_true(READS("5"));
}

/* ---- Permits --------------------------------------------------------------------------------- */

static void the_fourth_of_three_waits(void **state)
{
    (void)state;
    TRY_AS("s/3", "1");
    TRY_AS("s/3", "2");
    assert_int_equal(TRY_AS("s/3", "3").code, 1);
    assert_int_equal(TRY_AS("s/3", "4").code, 0);
    assert_int_equal(JOIN_AS("s/3", "4").code, 2);
    assert_int_equal(JOIN_AS("s/3", "5").code, 2);
    assert_int_equal(RELEASE("2").code, 2); /* one permit, one waiter */
    assert_true(READS("4") && WAITS("s/3", "5"));
    assert_int_equal(RELEASE("4").code, 2);
    assert_true(READS("5"));
}

static void an_expired_permit_is_free(void **state)
{
    (void)state;
    TRY_AS("s/2", "1");
    TRY_AS("s/2", "2");
    JOIN_AS("s/2", "3");
    END("1");
    assert_int_equal(JOIN_AS("s/2", "3").code, 1);
    assert_int_equal(TRY_AS("s/2", "4").code, 0);
    assert_int_equal(members(), 3);
}

static void who_needs_a_permit_is_told_when_the_first_one_ends(void **state)
{
    (void)state;
    TRY_AS("s/2", "1");
    ASK(ACQUIRE, AS("2"), "10000", "7000", "17", "s/2");
    assert_in_range(JOIN_AS("s/2", "3").value[0], 5000, 10000);
    assert_in_range(JOIN_AS("x", "4").value[0], 50000, 60000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(readers_enter_beside_readers),
        TEST(a_writer_waits_for_every_reader),
        TEST(a_short_reader_does_not_shorten_a_long_one),
        TEST(an_expired_reader_is_not_kept_alive_by_others),
        TEST(a_late_release_throws_nobody_out),
        TEST(a_lock_whose_readers_all_expired_is_free),
        TEST(the_key_lives_as_long_as_its_longest_lease),
        TEST(readers_overtake_writers_by_default),
        TEST(fair_phases_alternate),
        TEST(after_readers_that_expired_comes_the_writer),
        TEST(after_a_reader_the_writer_goes_first_although_another_reader_came_before_it),
        TEST(writers_go_first_if_they_ask_for_it),
        TEST(a_batch_leaves_its_dead_behind),
        TEST(one_release_admits_hundreds),
        TEST(a_reader_that_asks_brings_its_batch),
        TEST(a_cancelled_writer_lets_the_readers_behind_it_in),
        TEST(a_dead_writer_bars_no_reader),
        TEST(the_fourth_of_three_waits),
        TEST(an_expired_permit_is_free),
        TEST(who_needs_a_permit_is_told_when_the_first_one_ends),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
