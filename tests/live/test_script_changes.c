/* SPDX-License-Identifier: MIT
 * Holds that change on a real server: downgrade and upgrade, which are made for the fence that they
 * name, and force, which is as well. */
#include "script_stage.h"

/* ---- Downgrade ------------------------------------------------------------------------------- */

static void a_downgrade_lets_waiting_readers_in_at_once(void **state)
{
    (void)state;
    long long fence = TRY("1").value[0];
    long long ends = score_of(AS("1"));
    JOIN_AS("sf", "2");
    JOIN_AS("xf", "3");
    said it = DOWNGRADE("1", fence);
    assert_int_equal(it.code, 1);
    assert_int_equal(it.nonce, 22);
    assert_true(it.value[0] > fence);
    assert_int_equal(it.value[1], 2);
    assert_in_range(it.value[2], 50000, 60000);
    assert_int_equal(score_of(AS("1")), ends + SHARED_BAND);
    assert_true(READS("2") && WAITS("xf", "3"));
    assert_true(last_fence() == it.value[0]);
    assert_true(JOIN_AS("sf", "2").value[0] == it.value[0]);
}

static void a_repeated_downgrade_changes_nothing(void **state)
{
    (void)state;
    long long fence = TRY("1").value[0];
    long long minted = DOWNGRADE("1", fence).value[0];
    picture before = look();
    said it = DOWNGRADE("1", fence);
    assert_int_equal(it.code, 8);
    assert_true(it.value[0] == minted);
    assert_int_equal(it.value[1], 2);
    assert_in_range(it.value[2], 50000, 60000);
    assert_unchanged(&before);
}

static void a_reader_is_downgraded_already_and_has_a_new_fence(void **state)
{
    (void)state;
    long long fence = TRY_AS("s", "1").value[0];
    said it = DOWNGRADE("1", fence);
    assert_int_equal(it.code, 1);
    assert_true(it.value[0] > fence && it.value[0] == last_fence());
    assert_int_equal(it.value[1], 2);
}

static void an_expired_writer_is_not_downgraded(void **state)
{
    (void)state;
    long long fence = TRY("1").value[0];
    END("1");
    picture before = look();
    assert_int_equal(DOWNGRADE("1", fence).code, 0);
    assert_int_equal(DOWNGRADE("2", fence).code, 0);
    assert_unchanged(&before);
}

/* The case that the comparison is there for: cut off, converted back, and then the first one
 * arrives. */
static void a_late_downgrade_does_nothing_after_a_newer_upgrade(void **state)
{
    (void)state;
    long long fence = TRY("1").value[0];
    long long downgraded = DOWNGRADE("1", fence).value[0];
    long long upgraded = UPGRADE("1", downgraded).value[0];
    JOIN_AS("s", "2");
    picture before = look();
    said it = DOWNGRADE("1", fence);
    assert_int_equal(it.code, 8);
    assert_true(it.value[0] == upgraded);
    assert_int_equal(it.value[1], 1);
    assert_int_equal(UPGRADE("1", downgraded).code, 8);
    assert_unchanged(&before);
    assert_true(WRITES("1") && WAITS("s", "2"));
}

/* ---- Upgrade --------------------------------------------------------------------------------- */

static void the_only_reader_is_upgraded(void **state)
{
    (void)state;
    long long fence = TRY_AS("s", "1").value[0];
    TRY_AS("s", "2");
    END("2");
    said it = UPGRADE("1", fence);
    assert_int_equal(it.code, 1);
    assert_int_equal(it.nonce, 23);
    assert_true(it.value[0] > fence && it.value[0] == last_fence());
    assert_int_equal(it.value[1], 1);
    assert_in_range(it.value[2], 59000, 60000);
    assert_true(WRITES("1"));
    assert_int_equal(members(), 2);
    assert_int_equal(TRY_AS("s", "2").code, 0);
}

static void a_late_upgrade_does_nothing_after_a_newer_downgrade(void **state)
{
    (void)state;
    long long fence = TRY_AS("s", "1").value[0];
    long long upgraded = UPGRADE("1", fence).value[0];
    long long downgraded = DOWNGRADE("1", upgraded).value[0];
    picture before = look();
    said it = UPGRADE("1", fence);
    assert_int_equal(it.code, 8);
    assert_true(it.value[0] == downgraded);
    assert_int_equal(it.value[1], 2);
    assert_unchanged(&before);
    assert_true(READS("1"));
}

static void a_writer_is_upgraded_already_and_its_lease_lasts(void **state)
{
    (void)state;
    long long fence = TRY("1").value[0];
    said it = ASK(UPGRADE, AS("1"), "90000", "7000", "23", text(fence));
    assert_int_equal(it.code, 1);
    assert_true(it.value[0] > fence);
    assert_int_equal(it.value[1], 1);
    assert_int_equal(it.value[2], 90000);
    assert_lives(97000);
    it = UPGRADE("1", it.value[0]);
    assert_in_range(it.value[2], 80000, 90000); /* never shortened */
}

static void two_readers_are_not_upgraded_and_have_a_new_fence(void **state)
{
    (void)state;
    long long fence = TRY_AS("s", "1").value[0];
    TRY_AS("s", "2");
    said it = UPGRADE("1", fence);
    assert_int_equal(it.code, 4);
    assert_true(it.value[0] > fence && it.value[0] == last_fence());
    assert_int_equal(it.value[1], 2);
    assert_true(READS("1") && READS("2"));
    assert_int_equal(UPGRADE("2", fence).code, 8);
    RELEASE("2");
    assert_int_equal(UPGRADE("1", fence).code, 8); /* the one that was refused, late */
    assert_true(READS("1"));
    assert_int_equal(UPGRADE("1", it.value[0]).code, 1);
}

static void an_upgrade_goes_before_all_who_wait(void **state)
{
    (void)state;
    long long fence = TRY_AS("s", "1").value[0];
    JOIN_AS("xw", "2");
    assert_int_equal(UPGRADE("1", fence).code, 1);
    assert_true(WRITES("1") && WAITS("xw", "2"));
}

static void who_does_not_hold_is_not_upgraded(void **state)
{
    (void)state;
    long long fence = TRY_AS("s", "1").value[0];
    END("1");
    picture before = look();
    assert_int_equal(UPGRADE("1", fence).code, 0);
    assert_int_equal(UPGRADE("2", fence).code, 0);
    assert_unchanged(&before);
    tell("DEL " KEY);
    assert_int_equal(UPGRADE("1", 0).code, 0);
    assert_int_equal(DOWNGRADE("1", 0).code, 0);
    assert_int_equal(server_number(the_server, "DBSIZE"), 0);
}

/* ---- Force ----------------------------------------------------------------------------------*/

static void force_without_a_fence_only_looks(void **state)
{
    (void)state;
    long long fence = TRY_AS("s", "1").value[0];
    TRY_AS("s", "2");
    JOIN("3");
    picture before = look();
    said it = FORCE(0);
    assert_int_equal(it.code, 8);
    assert_int_equal(it.nonce, 24);
    assert_true(it.value[0] == fence);
    assert_int_equal(it.value[1], 2);
    assert_unchanged(&before);
}

static void force_takes_it_from_everybody(void **state)
{
    (void)state;
    long long fence = TRY_AS("s", "1").value[0];
    TRY_AS("s", "2");
    said it = FORCE(fence);
    assert_int_equal(it.code, 1);
    assert_true(it.value[0] == fence);
    assert_int_equal(it.value[1], 2);
    assert_int_equal(members(), 1);
    assert_lives(5000);
    assert_int_equal(RENEW("1", "60000").code, 0);
    assert_int_equal(RELEASE("2").code, 0);
}

static void force_hands_over_to_who_is_next(void **state)
{
    (void)state;
    long long fence = TRY("1").value[0];
    JOIN("2");
    said it = FORCE(fence);
    assert_int_equal(it.code, 2);
    assert_true(it.value[0] > fence && it.value[0] == last_fence());
    assert_int_equal(it.value[1], 1);
    assert_true(WRITES("2") && !WRITES("1"));
}

static void a_repeated_force_takes_it_from_nobody_else(void **state)
{
    (void)state;
    long long fence = TRY("1").value[0];
    JOIN("2");
    FORCE(fence);
    picture before = look();
    said it = FORCE(fence);
    assert_int_equal(it.code, 8);
    assert_true(it.value[0] > fence);
    assert_int_equal(it.value[1], 1);
    assert_unchanged(&before);
    RELEASE("2");
    fence = TRY("3").value[0];
    FORCE(fence);
    assert_int_equal(TRY_AS("s", "4").code, 1);
    assert_int_equal(FORCE(fence).code, 8);
    assert_true(READS("4"));
}

static void force_without_linger_leaves_nothing_and_tells_the_fence(void **state)
{
    (void)state;
    long long fence = TRY("1").value[0];
    said it = ASK(FORCE, "", "0", "7000", "24", text(fence));
    assert_int_equal(it.code, 1);
    assert_true(it.value[0] == fence);
    assert_int_equal(server_number(the_server, "DBSIZE"), 0);
    it = ASK(FORCE, "", "0", "7000", "24", text(fence));
    assert_int_equal(it.code, 8);
    assert_int_equal(it.value[0], 0);
    assert_int_equal(server_number(the_server, "DBSIZE"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_downgrade_lets_waiting_readers_in_at_once),
        TEST(a_repeated_downgrade_changes_nothing),
        TEST(a_reader_is_downgraded_already_and_has_a_new_fence),
        TEST(an_expired_writer_is_not_downgraded),
        TEST(a_late_downgrade_does_nothing_after_a_newer_upgrade),
        TEST(the_only_reader_is_upgraded),
        TEST(a_late_upgrade_does_nothing_after_a_newer_downgrade),
        TEST(a_writer_is_upgraded_already_and_its_lease_lasts),
        TEST(two_readers_are_not_upgraded_and_have_a_new_fence),
        TEST(an_upgrade_goes_before_all_who_wait),
        TEST(who_does_not_hold_is_not_upgraded),
        TEST(force_without_a_fence_only_looks),
        TEST(force_takes_it_from_everybody),
        TEST(force_hands_over_to_who_is_next),
        TEST(a_repeated_force_takes_it_from_nobody_else),
        TEST(force_without_linger_leaves_nothing_and_tells_the_fence),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
