/* SPDX-License-Identifier: MIT
 * Fences on a real server: whoever enters a free lock has a new one, whatever the clock; hints and
 * orders. */
#include "script_stage.h"

/* As after a step back of the clock: what was given out is ahead of it. */
static long long a_fence_ahead(void)
{
    long long ahead = clock_us() + 200000000;
    set_fence(ahead);
    return ahead;
}

/* ---- Minting --------------------------------------------------------------------------------- */

static void a_reader_that_enters_a_free_lock_has_a_new_fence(void **state)
{
    (void)state;
    said first = TRY_AS("s", "1");
    assert_true(first.value[0] == first.now_us && last_fence() == first.now_us);
    RELEASE("1");
    said second = TRY_AS("s", "2");
    assert_true(second.value[0] > first.value[0]);
    END("2");
    said third = TRY_AS("s", "3");
    assert_true(third.value[0] > second.value[0] && last_fence() == third.value[0]);
}

static void a_reader_has_a_new_fence_although_the_clock_stepped_back(void **state)
{
    (void)state;
    long long ahead = a_fence_ahead();
    assert_true(TRY_AS("s", "1").value[0] == ahead + 1);
    assert_true(TRY_AS("s", "2").value[0] == ahead + 1); /* beside it */
    RELEASE("1");
    RELEASE("2");
    assert_true(JOIN_AS("s", "3").value[0] == ahead + 2);
    assert_true(last_fence() == ahead + 2);
}

static void each_holder_of_the_only_permit_has_a_fence_of_its_own(void **state)
{
    (void)state;
    long long ahead = a_fence_ahead();
    assert_true(TRY_AS("s/1", "1").value[0] == ahead + 1);
    JOIN_AS("s/1", "2");
    assert_int_equal(RELEASE("1").code, 2);
    assert_true(JOIN_AS("s/1", "2").value[0] == ahead + 2);
    END("2");
    assert_true(TRY_AS("s/1", "3").value[0] == ahead + 3);
}

static void a_batch_has_one_new_fence_although_the_clock_stepped_back(void **state)
{
    (void)state;
    long long ahead = a_fence_ahead();
    TRY("1");
    JOIN_AS("s", "2");
    JOIN_AS("s", "3");
    assert_int_equal(RELEASE("1").code, 2);
    assert_true(JOIN_AS("s", "2").value[0] == ahead + 2);
    assert_true(JOIN_AS("s", "3").value[0] == ahead + 2);
    assert_true(last_fence() == ahead + 2);
}

static void a_conversion_has_a_new_fence_although_the_clock_stepped_back(void **state)
{
    (void)state;
    long long ahead = a_fence_ahead();
    long long fence = TRY("1").value[0];
    assert_true(DOWNGRADE("1", fence).value[0] == ahead + 2);
    assert_true(UPGRADE("1", ahead + 2).value[0] == ahead + 3);
}

/* ---- Hints and orders ------------------------------------------------------------------------ */

#define TRY_ABOVE(mode, n, least)                                                                  \
    ASK(ACQUIRE, AS(n), "60000", "7000", "17", mode, "", "0", text(least))

static void a_new_fence_is_not_below_the_one_that_is_hinted(void **state)
{
    (void)state;
    long long hint = clock_us() + 900000;
    assert_true(TRY_ABOVE("x", "1", hint).value[0] == hint);
    RELEASE("1");
    assert_true(TRY_ABOVE("s", "2", hint).value[0] == hint + 1);
    assert_true(last_fence() == hint + 1);
    assert_true(TRY_ABOVE("s", "3", hint + 50000).value[0] == hint + 1); /* beside it: no new one */
}

static void a_hint_that_is_far_ahead_or_past_is_not_followed(void **state)
{
    (void)state;
    said it = TRY_ABOVE("x", "1", clock_us() + 60000000);
    assert_true(it.value[0] == it.now_us);
    RELEASE("1");
    it = TRY_ABOVE("x", "1", it.now_us - 5);
    assert_true(it.value[0] == it.now_us);
}

static void a_renewal_raises_the_last_fence_as_it_is_told(void **state)
{
    (void)state;
    long long fence = TRY("1").value[0];
    said it = ASK(RENEW, AS("1"), "1000", "7000", "20", text(fence + 3000000000));
    assert_int_equal(it.code, 1);
    assert_true(it.value[0] == fence + 3000000000 && last_fence() == fence + 3000000000);
    it = ASK(RENEW, AS("1"), "1000", "7000", "20", "5");
    assert_true(it.value[0] == fence + 3000000000);
    END("1");
    assert_int_equal(ASK(RENEW, AS("1"), "1000", "7000", "20", text(fence + 4000000000)).code, 0);
    assert_true(last_fence() == fence + 3000000000);
}

static void a_renewal_tells_the_version_of_the_hold(void **state)
{
    (void)state;
    long long fence = TRY_AS("s", "1").value[0];
    said it = RENEW("1", "90000");
    assert_true(it.value[0] == fence && it.value[1] == 2 && it.value[2] == 90000);
    fence = UPGRADE("1", fence).value[0];
    it = RENEW("1", "90000");
    assert_true(it.value[0] == fence && it.value[1] == 1);
    it = JOIN_AS("s", "1"); /* what is asked for does not matter any more */
    assert_true(it.code == 1 && it.value[0] == fence && it.value[1] == 1);
    fence = DOWNGRADE("1", fence).value[0];
    it = JOIN("1");
    assert_true(it.code == 1 && it.value[0] == fence && it.value[1] == 2);
}

/* ---- A server whose TIME answers integers ---------------------------------------------------- */

static said ask_with_integers(enum script_id id, const char *const *arguments)
{
    static char source[32768];
    snprintf(source, sizeof source, "%s%s",
             "local redis = {pcall = redis.pcall, call = function(...)\n"
             "local answer = redis.call(...)\n"
             "if (...) == 'TIME' then return {tonumber(answer[1]), tonumber(answer[2])} end\n"
             "return answer end}\n",
             scripts[id].source);
    return listen_to(ask_raw(source, KEY, arguments));
}
#define ASK_WITH_INTEGERS(id, ...) ask_with_integers(SCRIPT_##id, WORDS(__VA_ARGS__))

static void a_server_whose_time_is_integers_serves_too(void **state)
{
    (void)state;
    said it = ASK_WITH_INTEGERS(ACQUIRE, AS("1"), "60000", "7000", "17");
    assert_true(it.code == 1 && it.value[0] == last_fence() && it.value[0] == it.now_us);
    assert_int_equal(ASK_WITH_INTEGERS(RELEASE, AS("1"), "5000", "7000", "18").code, 1);
    it = ASK_WITH_INTEGERS(ACQUIRE, AS("1"), "60000", "7000", "17");
    assert_true(it.code == 1 && it.value[0] == last_fence());
    assert_int_equal(
        ASK_WITH_INTEGERS(ACQUIRE, AS("2"), "60000", "7000", "17", "x", INBOX("2")).code, 2);
    assert_int_equal(ASK_WITH_INTEGERS(RENEW, AS("1"), "90000", "7000", "18").code, 1);
    it = ASK_WITH_INTEGERS(DOWNGRADE, AS("1"), "60000", "7000", "18", text(last_fence()));
    assert_int_equal(it.code, 1);
    assert_int_equal(
        ASK_WITH_INTEGERS(UPGRADE, AS("1"), "60000", "7000", "18", text(it.value[0])).code, 1);
    assert_int_equal(ASK_WITH_INTEGERS(RELEASE, AS("1"), "5000", "7000", "18").code, 2);
    assert_int_equal(ASK_WITH_INTEGERS(INSPECT, "10", "21").code, 1);
    assert_int_equal(ASK_WITH_INTEGERS(FORCE, "", "5000", "7000", "24", text(last_fence())).code,
                     1);
    assert_int_equal(
        ASK_WITH_INTEGERS(CANCEL, AS("3"), "5000", "7000", "19", "x", "", "60000").code, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reader_that_enters_a_free_lock_has_a_new_fence),
        TEST(a_reader_has_a_new_fence_although_the_clock_stepped_back),
        TEST(each_holder_of_the_only_permit_has_a_fence_of_its_own),
        TEST(a_batch_has_one_new_fence_although_the_clock_stepped_back),
        TEST(a_conversion_has_a_new_fence_although_the_clock_stepped_back),
        TEST(a_new_fence_is_not_below_the_one_that_is_hinted),
        TEST(a_hint_that_is_far_ahead_or_past_is_not_followed),
        TEST(a_renewal_raises_the_last_fence_as_it_is_told),
        TEST(a_renewal_tells_the_version_of_the_hold),
        TEST(a_server_whose_time_is_integers_serves_too),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
