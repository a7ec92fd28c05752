/* SPDX-License-Identifier: MIT
 * The scripts on a real server: every answer, each twice, and what the key holds afterwards. */
#include "script_stage.h"

/* ---- acquire ----------------------------------------------------------------------------------*/

static void every_digest_is_the_server_s(void **state)
{
    (void)state;
    for (int i = 0; i < SCRIPT_COUNT; i++) {
        redisReply *answer = server_command(the_server, "SCRIPT LOAD %b", scripts[i].source,
                                            scripts[i].source_length);
        assert_string_equal(answer->str, scripts[i].sha1);
        freeReplyObject(answer);
    }
}

static void a_free_lock_is_granted(void **state)
{
    (void)state;
    said it = TRY("1");
    assert_int_equal(it.code, 1);
    assert_int_equal(it.nonce, 17);
    assert_int_equal(it.value[0], it.now_us); /* the fence is the time */
    assert_int_equal(it.value[1], 1);
    assert_int_equal(it.value[2], 60000);
    assert_int_equal(last_fence(), it.value[0]);
    assert_int_equal(score_of(AS("1")), it.now_us / 1000 + 60000);
    assert_int_equal(members(), 2);
    assert_lives(67000);
}

static void a_repeated_acquire_has_the_same_fence(void **state)
{
    (void)state;
    said first = TRY("1");
    picture before = look();
    said again = JOIN("1");
    assert_int_equal(again.code, 1);
    assert_int_equal(again.value[0], first.value[0]);
    assert_in_range(again.value[2], 50000, 60000);
    assert_unchanged(&before);
}

static void a_held_lock_is_refused(void **state)
{
    (void)state;
    TRY("1");
    JOIN("2");
    picture before = look();
    said it = TRY("3");
    assert_int_equal(it.code, 0);
    assert_in_range(it.value[0], 50000, 60000);
    assert_int_equal(it.value[1], 1);
    assert_unchanged(&before);
}

static void a_repeated_join_keeps_its_place(void **state)
{
    (void)state;
    TRY("1");
    assert_int_equal(JOIN("2").value[1], 1);
    assert_int_equal(JOIN("3").value[1], 2);
    picture before = look();
    said again = JOIN("2");
    assert_int_equal(again.code, 2);
    assert_in_range(again.value[0], 50000, 60000);
    assert_int_equal(again.value[1], 1);
    assert_int_equal(JOIN("3").value[1], 2);
    assert_unchanged(&before);
}

static void a_try_does_not_overtake_a_live_waiter(void **state)
{
    (void)state;
    TRY("1");
    JOIN("2");
    END("1");
    said it = TRY("3");
    assert_int_equal(it.code, 0);
    assert_int_equal(it.value[0], 2000); /* the claim of the new holder */
    assert_int_equal(it.value[1], 0);
    assert_true(WRITES("2"));
    assert_int_equal(members(), 2);
}

static void an_expired_holder_is_replaced(void **state)
{
    (void)state;
    said old = TRY("1");
    END("1");
    said it = TRY("2");
    assert_int_equal(it.code, 1);
    assert_true(it.value[0] > old.value[0]);
    assert_int_equal(members(), 2);
    assert_int_equal(RENEW("1", "60000").code, 0);
}

static void the_first_waiter_that_asks_is_granted_by_the_answer(void **state)
{
    (void)state;
    TRY("1");
    JOIN("2");
    JOIN("3");
    END("1");
    long long published = server_calls(the_server, "publish");
    said it = JOIN("2");
    assert_int_equal(it.code, 1);
    assert_int_equal(it.value[2], 60000);
    assert_int_equal(server_calls(the_server, "publish"), published);
    assert_int_equal(members(), 3); /* the fence, the holder, the other waiter */
}

/* In the first tenth of a second the microseconds have fewer than six digits, and TIME gives no
 * zeros. */
static void a_fence_is_kept_to_the_last_digit(void **state)
{
    (void)state;
    freeReplyObject(
        server_command(the_server, "EVAL %s 0", "repeat until #redis.call('TIME')[2] <= 5"));
    for (int i = 0; i < 20; i++) {
        long long fence = TRY("1").value[0];
        assert_true(fence == last_fence());
        ASK(RELEASE, AS("1"), "0", "7000", "18");
    }
}

static void a_fence_rises_although_the_clock_does_not(void **state)
{
    (void)state;
    set_fence(4000000000000000);
    said it = TRY("1");
    assert_true(it.value[0] == 4000000000000001);
    assert_true(last_fence() == 4000000000000001);
    RELEASE("1");
    assert_true(TRY("2").value[0] == 4000000000000002);
    assert_true(TRY("2").value[0] == 4000000000000002);
    JOIN("3");
    assert_int_equal(RELEASE("2").code, 2);
    assert_true(JOIN("3").value[0] == 4000000000000003);
}

static void a_fence_rises_over_a_lost_key_and_a_restart(void **state)
{
    (void)state;
    long long first = TRY("1").value[0];
    tell("DEL " KEY);
    long long second = TRY("2").value[0];
    server_restart(the_server);
    long long third = TRY("3").value[0];
    assert_true(first < second && second < third);
    redisFree(inbox);
    assert_int_equal(listen_anew(), 0);
}

/* ---- release and handover ---------------------------------------------------------------------*/

static void a_released_key_lingers(void **state)
{
    (void)state;
    TRY("1");
    said it = RELEASE("1");
    assert_int_equal(it.code, 1);
    assert_int_equal(it.nonce, 18);
    assert_int_equal(members(), 1);
    assert_lives(5000);
    assert_int_equal(RELEASE("1").code, 0);
}

static void without_linger_nothing_is_left(void **state)
{
    (void)state;
    TRY("1");
    assert_int_equal(ASK(RELEASE, AS("1"), "0", "7000", "18").code, 1);
    assert_int_equal(server_number(the_server, "DBSIZE"), 0);
    assert_int_equal(RELEASE("1").code, 0);
    assert_int_equal(CANCEL("1").code, 0);
    assert_int_equal(RENEW("1", "60000").code, 0);
    assert_int_equal(server_number(the_server, "DBSIZE"), 0);
}

static void a_stranger_releases_nothing(void **state)
{
    (void)state;
    TRY("1");
    JOIN("3");
    picture before = look();
    assert_int_equal(RELEASE("2").code, 0);
    assert_int_equal(CANCEL("2").code, 0);
    assert_unchanged(&before);
    assert_lives(67000);
}

static void an_expired_holder_hands_over_too(void **state)
{
    (void)state;
    TRY("1");
    JOIN("2");
    END("1");
    assert_int_equal(RELEASE("1").code, 2);
    assert_int_equal(JOIN("2").code, 1);
}

static void a_release_hands_over_and_says_so(void **state)
{
    (void)state;
    char expected[160];
    TRY("1");
    JOIN("2");
    said it = RELEASE("1");
    assert_int_equal(it.code, 2);
    long long fence = it.now_us; /* the clock did not step back */
    redisReply *message = next_message();
    snprintf(expected, sizeof expected, "grant %lld 2000 %lld " AS("2") " " KEY, fence, it.now_us);
    assert_string_equal(message->element[2]->str, expected);
    freeReplyObject(message);
    assert_true(last_fence() == fence);
    assert_int_equal(score_of(AS("2")), it.now_us / 1000 + 2000);
    assert_int_equal(members(), 2);
    assert_lives(67000); /* never brought forward */
    assert_int_equal(RELEASE("1").code, 0);
    assert_int_equal(JOIN("2").value[0], fence);
}

static void a_handover_lets_the_key_outlive_the_claim(void **state)
{
    (void)state;
    TRY("1");
    JOIN("2");
    JOIN("3");
    tell("PEXPIRE " KEY " 5000");
    assert_int_equal(RELEASE("1").code, 2);
    assert_int_equal(members(), 3);
    assert_lives(18000); /* twice the claim and the grace */
}

/* ---- cancel -----------------------------------------------------------------------------------*/

static void a_cancelled_waiter_leaves_the_queue(void **state)
{
    (void)state;
    TRY("1");
    JOIN("2");
    JOIN("3");
    said it = CANCEL("2");
    assert_int_equal(it.code, 3);
    assert_int_equal(it.nonce, 19);
    assert_int_equal(CANCEL("2").code, 0);
    assert_int_equal(JOIN("3").value[1], 1);
}

static void a_cancel_after_the_grant_releases(void **state)
{
    (void)state;
    JOIN("1");
    assert_int_equal(CANCEL("1").code, 1);
    assert_lives(5000);
    TRY("1");
    JOIN("2");
    assert_int_equal(ASK(CANCEL, AS("1"), "5000", "7000", "19", "x", "").code, 2);
    assert_int_equal(CANCEL("1").code, 0);
    assert_int_equal(JOIN("2").code, 1);
}

/* ---- renew and inspect ------------------------------------------------------------------------*/

static void a_lease_is_made_longer_but_never_shorter(void **state)
{
    (void)state;
    long long fence = TRY("1").value[0];
    said it = RENEW("1", "90000");
    assert_int_equal(it.code, 1);
    assert_int_equal(it.nonce, 20);
    assert_true(it.value[0] == fence);
    assert_int_equal(it.value[1], 1);
    assert_int_equal(it.value[2], 90000);
    assert_lives(97000);
    picture before = look();
    it = RENEW("1", "1000");
    assert_int_equal(it.code, 1);
    assert_in_range(it.value[2], 80000, 90000);
    assert_unchanged(&before);
}

static void an_expired_lease_never_comes_back(void **state)
{
    (void)state;
    TRY("1");
    JOIN("2");
    END("1");
    picture before = look();
    assert_int_equal(RENEW("1", "60000").code, 0);
    assert_int_equal(RENEW("2", "60000").code, 0); /* a waiter is no holder */
    assert_unchanged(&before);
}

static void inspect_shows_who_holds_and_who_waits(void **state)
{
    (void)state;
    long long fence = TRY("1").value[0];
    JOIN("2");
    ASK(RELEASE, AS("3"), "5000", "7000", "18", "60000"); /* buries it */
    redisReply *it = ask_raw(scripts[SCRIPT_INSPECT].source, KEY, WORDS("100", "21"));
    assert_int_equal(it->elements, 7);
    assert_int_equal(it->element[0]->integer, 1);
    assert_int_equal(it->element[1]->integer, 21);
    assert_true(it->element[3]->integer == fence);
    assert_int_equal(it->element[4]->integer, 1);
    assert_int_equal(it->element[5]->integer, 1);
    const redisReply *list = it->element[6];
    assert_int_equal(list->elements, 4);
    assert_string_equal(list->element[0]->str, AS("1"));
    assert_true(list->element[1]->integer == score_of(AS("1")));
    assert_string_equal(list->element[2]->str, WAITER("x", "2"));
    assert_true(list->element[3]->integer == score_of(WAITER("x", "2")));
    freeReplyObject(it);
}

static void inspect_counts_live_holders_only(void **state)
{
    (void)state;
    TRY_AS("s", "1");
    TRY_AS("s", "2");
    JOIN("3");
    END("1");
    said it = ASK(INSPECT, "1", "21");
    assert_int_equal(it.code, 1);
    assert_int_equal(it.value[1], 1);
    assert_int_equal(it.value[2], 1);
    tell("DEL " KEY);
    it = INSPECT();
    assert_int_equal(it.code, 1);
    assert_int_equal(it.value[0] + it.value[1] + it.value[2], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_digest_is_the_server_s),
        TEST(a_free_lock_is_granted),
        TEST(a_repeated_acquire_has_the_same_fence),
        TEST(a_held_lock_is_refused),
        TEST(a_repeated_join_keeps_its_place),
        TEST(a_try_does_not_overtake_a_live_waiter),
        TEST(an_expired_holder_is_replaced),
        TEST(the_first_waiter_that_asks_is_granted_by_the_answer),
        TEST(a_fence_is_kept_to_the_last_digit),
        TEST(a_fence_rises_although_the_clock_does_not),
        TEST(a_fence_rises_over_a_lost_key_and_a_restart),
        TEST(a_released_key_lingers),
        TEST(without_linger_nothing_is_left),
        TEST(a_stranger_releases_nothing),
        TEST(an_expired_holder_hands_over_too),
        TEST(a_release_hands_over_and_says_so),
        TEST(a_handover_lets_the_key_outlive_the_claim),
        TEST(a_cancelled_waiter_leaves_the_queue),
        TEST(a_cancel_after_the_grant_releases),
        TEST(a_lease_is_made_longer_but_never_shorter),
        TEST(an_expired_lease_never_comes_back),
        TEST(inspect_shows_who_holds_and_who_waits),
        TEST(inspect_counts_live_holders_only),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
