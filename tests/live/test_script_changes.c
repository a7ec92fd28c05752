/* SPDX-License-Identifier: MIT
 * Holds that change on a real server: downgrade, upgrade, force, and the holds of one owner ("@me") beside
 * each other. */
#include "script_stage.h"

/* ---- Changing the mode -------------------------------------------------------------------------*/

static void a_downgrade_lets_waiting_readers_in_at_once(void **state)
{
    (void)state;
    long long fence = TRY_AS("x", "1").value[0];
    long long ends = score_of(AS("x", "1"));
    SUBSCRIBE("2");
    JOIN_AS("sf", "2");
    JOIN_AS("xf", "3");
    said it = DOWNGRADE("1");
    assert_int_equal(it.code, 1);
    assert_int_equal(it.nonce, 22);
    assert_in_range(it.value[0], 50000, 60000);
    assert_int_equal(score_of(AS("s", "1")), ends + 20000000000000);
    assert_true(HOLDS("sf", "2") && WAITS("xf", "3") && !HOLDS("x", "1"));
    assert_true(score_of("f") == -fence);
    picture before = look();
    assert_int_equal(DOWNGRADE("1").code, 1);
    assert_unchanged(&before);
    assert_int_equal(RELEASE_AS("s", "1").code, 1);
    assert_int_equal(DOWNGRADE("1").code, 0);
}

static void an_expired_writer_is_not_downgraded(void **state)
{
    (void)state;
    TRY_AS("x", "1");
    EXPIRE("1");
    picture before = look();
    assert_int_equal(DOWNGRADE("1").code, 0);
    assert_int_equal(DOWNGRADE("2").code, 0);
    assert_unchanged(&before);
}

static void the_only_reader_is_upgraded(void **state)
{
    (void)state;
    long long fence = TRY_AS("s", "1").value[0];
    TRY_AS("s", "2");
    end_reading(AS("s", "2"));
    said it = UPGRADE("1");
    assert_int_equal(it.code, 1);
    assert_int_equal(it.nonce, 23);
    assert_true(it.value[0] > fence);
    assert_in_range(it.value[1], 59000, 60000);
    assert_true(HOLDS("x", "1") && !HOLDS("s", "1"));
    assert_int_equal(members(), 2);
    picture before = look();
    assert_true(UPGRADE("1").value[0] == it.value[0]);
    assert_unchanged(&before);
    assert_int_equal(TRY_AS("s", "2").code, 0);
}

static void two_readers_are_not_upgraded(void **state)
{
    (void)state;
    TRY_AS("s", "1");
    TRY_AS("s", "2");
    picture before = look();
    assert_int_equal(UPGRADE("1").code, 4);
    assert_int_equal(UPGRADE("2").code, 4);
    assert_int_equal(UPGRADE("3").code, 0);
    assert_unchanged(&before);
    RELEASE_AS("s", "2");
    assert_int_equal(UPGRADE("1").code, 1);
}

/* ---- Owners ------------------------------------------------------------------------------------*/

static void an_owner_enters_beside_itself(void **state)
{
    (void)state;
    long long fence = TRY_AS("x@me", "1").value[0];
    SUBSCRIBE("3");
    assert_int_equal(JOIN_AS("x", "3").code, 2);
    said it = TRY_AS("x@me", "2");
    assert_int_equal(it.code, 1);
    assert_true(it.value[0] == fence);
    assert_int_equal(TRY_AS("x@you", "4").code, 0);
    assert_int_equal(TRY_AS("x", "5").code, 0);
    assert_int_equal(TRY_AS("x", "5").value[1], 1);
    assert_int_equal(RELEASE_AS("x@me", "1").code, 1);
    assert_true(WAITS("x", "3"));
    assert_int_equal(JOIN_AS("x", "3").value[1], 1);
    assert_int_equal(RELEASE_AS("x@me", "2").code, 2);
    assert_true(HOLDS("x", "3"));
}

static void an_owner_does_not_wait_for_itself(void **state)
{
    (void)state;
    TRY_AS("x@me", "1");
    picture before = look();
    said it = JOIN_AS("s@me", "2");
    assert_int_equal(it.code, 4);
    assert_int_equal(it.nonce, 17);
    assert_unchanged(&before);
    assert_int_equal(JOIN_AS("s@you", "3").code, 2);
    RELEASE_AS("x@me", "1");
    TRY_AS("s@me", "1");
    assert_int_equal(JOIN_AS("x@me", "2").code, 4);
    assert_int_equal(JOIN_AS("x@you", "4").code, 2);
}

static void an_owner_reads_again_although_a_writer_waits(void **state)
{
    (void)state;
    TRY_AS("sf@me", "1");
    SUBSCRIBE("2");
    JOIN_AS("xf", "2");
    assert_int_equal(JOIN_AS("sf", "3").code, 2);
    assert_int_equal(JOIN_AS("sf@me", "4").code, 1);
}

static void a_downgrade_beside_itself_is_refused(void **state)
{
    (void)state;
    TRY_AS("x@me", "1");
    TRY_AS("x@me", "2");
    picture before = look();
    assert_int_equal(ASK(DOWNGRADE, AS("x@me", "1"), "0", "7000", "22", AS("s@me", "1")).code, 4);
    assert_unchanged(&before);
}

/* ---- Force ----------------------------------------------------------------------------------*/

static void force_takes_it_from_everybody(void **state)
{
    (void)state;
    TRY_AS("s", "1");
    TRY_AS("s", "2");
    said it = FORCE();
    assert_int_equal(it.code, 1);
    assert_int_equal(it.nonce, 24);
    assert_int_equal(it.value[0], 2);
    assert_int_equal(members(), 1);
    assert_lives(5000);
    assert_int_equal(RENEW_AS("s", "1", "60000").code, 0);
    TRY_AS("x", "3");
    SUBSCRIBE("4");
    JOIN_AS("x", "4");
    it = FORCE();
    assert_int_equal(it.code, 2);
    assert_int_equal(it.value[0], 1);
    assert_true(HOLDS("x", "4") && !HOLDS("x", "3"));
    assert_int_equal(RELEASE_AS("x", "4").code, 1);
    assert_int_equal(ASK(FORCE, "", "0", "7000", "24").code, 1);
    assert_int_equal(server_number(the_server, "DBSIZE"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_downgrade_lets_waiting_readers_in_at_once),
        TEST(an_expired_writer_is_not_downgraded),
        TEST(the_only_reader_is_upgraded),
        TEST(two_readers_are_not_upgraded),
        TEST(an_owner_enters_beside_itself),
        TEST(an_owner_does_not_wait_for_itself),
        TEST(an_owner_reads_again_although_a_writer_waits),
        TEST(a_downgrade_beside_itself_is_refused),
        TEST(force_takes_it_from_everybody),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
