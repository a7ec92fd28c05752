/* SPDX-License-Identifier: MIT
 * The holds of one owner ("@me") on a real server: it enters beside itself, and never waits for
 * itself. */
#include "script_stage.h"

static void an_owner_enters_beside_itself(void **state)
{
    (void)state;
    long long fence = TRY_OWNED("x", "@me", "1").value[0];
    assert_int_equal(JOIN("3").code, 2);
    said it = TRY_OWNED("x", "@me", "2");
    assert_int_equal(it.code, 1);
    assert_true(it.value[0] == fence);
    assert_int_equal(it.value[1], 1);
    assert_int_equal(it.value[2], 60000);
    assert_int_equal(TRY_OWNED("x", "@you", "4").code, 0);
    assert_int_equal(TRY_OWNED("x", "@m", "4").code, 0);
    assert_int_equal(TRY("5").value[1], 1);
    assert_int_equal(ASK(RELEASE, OWNED("@me", "1"), "5000", "7000", "18").code, 1);
    assert_true(WAITS("x", "3"));
    assert_int_equal(ASK(RELEASE, OWNED("@me", "2"), "5000", "7000", "18").code, 2);
    assert_true(WRITES("3"));
}

static void an_owner_does_not_wait_for_itself(void **state)
{
    (void)state;
    TRY_OWNED("x", "@me", "1");
    picture before = look();
    said it = JOIN_OWNED("s", "@me", "2");
    assert_int_equal(it.code, 4);
    assert_int_equal(it.nonce, 17);
    assert_unchanged(&before);
    assert_int_equal(JOIN_OWNED("s", "@you", "3").code, 2);
    DIES("3");
    ASK(RELEASE, OWNED("@me", "1"), "5000", "7000", "18");
    TRY_OWNED("s", "@me", "1");
    assert_int_equal(JOIN_OWNED("x", "@me", "2").code, 4);
    assert_int_equal(JOIN_OWNED("x", "@you", "4").code, 2);
}

/* It queued before its other thread entered in the other mode. */
static void an_owner_that_would_wait_for_itself_leaves_the_line(void **state)
{
    (void)state;
    TRY_AS("s", "1");
    assert_int_equal(JOIN_OWNED("x", "@me", "2").code, 2);
    assert_int_equal(TRY_OWNED("s", "@me", "3").code, 1);
    long long before = members();
    assert_int_equal(JOIN_OWNED("x", "@me", "2").code, 4);
    assert_int_equal(members(), before - 1);
}

static void an_owner_reads_again_although_a_writer_waits(void **state)
{
    (void)state;
    TRY_OWNED("sf", "@me", "1");
    JOIN_AS("xf", "2");
    assert_int_equal(JOIN_AS("sf", "3").code, 2);
    assert_int_equal(JOIN_OWNED("sf", "@me", "4").code, 1);
}

static void an_owner_reads_again_beyond_the_limit(void **state)
{
    (void)state;
    TRY_OWNED("s/1", "@me", "1");
    assert_int_equal(TRY_AS("s/1", "2").code, 0);
    assert_int_equal(TRY_OWNED("s/1", "@me", "3").code, 1);
}

static void two_waiters_of_one_owner_enter_together(void **state)
{
    (void)state;
    TRY("1");
    JOIN_OWNED("x", "@me", "2");
    JOIN("3");
    JOIN_OWNED("x", "@me", "4");
    assert_int_equal(RELEASE("1").code, 2);
    assert_true(score_of(OWNED("@me", "2")) > 0 && score_of(OWNED("@me", "4")) > 0);
    assert_true(WAITS("x", "3"));
    said first = JOIN_OWNED("x", "@me", "2");
    said second = JOIN_OWNED("x", "@me", "4");
    assert_true(first.code == 1 && second.code == 1 && first.value[0] == second.value[0]);
}

static void readers_of_one_owner_enter_together_beyond_the_limit(void **state)
{
    (void)state;
    TRY("1");
    JOIN_OWNED("s/1", "@me", "2");
    JOIN_AS("s/1", "3");
    JOIN_OWNED("s/1", "@me", "4");
    assert_int_equal(RELEASE("1").code, 2);
    assert_true(score_of(OWNED("@me", "2")) > 0 && score_of(OWNED("@me", "4")) > 0);
    assert_true(WAITS("s/1", "3"));
}

static void a_dead_waiter_of_the_owner_stays_outside(void **state)
{
    (void)state;
    TRY("1");
    JOIN_OWNED("x", "@me", "2");
    JOIN_OWNED("x", "@me", "4");
    DIES("4");
    assert_int_equal(RELEASE("1").code, 2);
    assert_true(score_of(OWNED("@me", "2")) > 0 && score_of(OWNED("@me", "4")) == 0);
    assert_int_equal(members(), 2);
}

static void a_downgrade_beside_itself_is_refused_and_has_a_new_fence(void **state)
{
    (void)state;
    long long fence = TRY_OWNED("x", "@me", "1").value[0];
    TRY_OWNED("x", "@me", "2");
    said it = ASK(DOWNGRADE, OWNED("@me", "1"), "60000", "7000", "22", text(fence));
    assert_int_equal(it.code, 4);
    assert_true(it.value[0] > fence && it.value[0] == last_fence());
    assert_int_equal(it.value[1], 1);
    assert_int_equal(ASK(DOWNGRADE, OWNED("@me", "1"), "60000", "7000", "22", text(fence)).code, 8);
    assert_true(score_of(OWNED("@me", "1")) < SHARED_BAND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_owner_enters_beside_itself),
        TEST(an_owner_does_not_wait_for_itself),
        TEST(an_owner_that_would_wait_for_itself_leaves_the_line),
        TEST(an_owner_reads_again_although_a_writer_waits),
        TEST(an_owner_reads_again_beyond_the_limit),
        TEST(two_waiters_of_one_owner_enter_together),
        TEST(readers_of_one_owner_enter_together_beyond_the_limit),
        TEST(a_dead_waiter_of_the_owner_stays_outside),
        TEST(a_downgrade_beside_itself_is_refused_and_has_a_new_fence),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
