/* SPDX-License-Identifier: MIT
 * Buried hold ids on a real server: an acquire that was given up is refused, however late it
 * comes. */
#include "script_stage.h"

#define BURY(n, ms) ASK(RELEASE, AS(n), "5000", "7000", "18", ms)
#define CANCEL_AND_BURY(mode, n, ms) ASK(CANCEL, AS(n), "5000", "7000", "19", mode, INBOX(n), ms)

static void a_buried_acquire_is_refused(void **state)
{
    (void)state;
    TRY("1");
    assert_int_equal(BURY("1", "60000").code, 1);
    picture before = look();
    said it = TRY("1");
    assert_int_equal(it.code, 6);
    assert_int_equal(it.nonce, 17);
    assert_int_equal(JOIN("1").code, 6);
    assert_int_equal(JOIN_AS("s", "1").code, 6);
    assert_unchanged(&before);
    assert_int_equal(TRY("2").code, 1);
    assert_int_equal(TRY("1").code, 6); /* while another holds it, too */
    assert_int_equal(JOIN("1").code, 6);
    assert_int_equal(RELEASE("2").code, 1);
    assert_int_equal(TRY("1").code, 6);
}

static void a_buried_reader_is_refused_beside_readers(void **state)
{
    (void)state;
    TRY_AS("s", "1");
    BURY("2", "60000");
    assert_int_equal(TRY_AS("s", "2").code, 6);
    assert_int_equal(TRY_AS("s", "3").code, 1);
}

static void a_cancel_buries_whatever_it_finds(void **state)
{
    (void)state;
    TRY("1");
    JOIN("2");
    assert_int_equal(CANCEL_AND_BURY("x", "2", "60000").code, 3);
    assert_int_equal(CANCEL_AND_BURY("x", "3", "60000").code, 0);
    assert_int_equal(CANCEL_AND_BURY("x", "1", "60000").code, 1);
    assert_int_equal(JOIN("2").code, 6);
    assert_int_equal(JOIN("3").code, 6);
    assert_int_equal(JOIN("1").code, 6);
}

static void a_burial_ends(void **state)
{
    (void)state;
    BURY("1", "60000");
    assert_true(score_of(BURIED("1")) < 0);
    tell("ZADD " KEY " XX -1000 " BURIED("1")); /* as if it had begun long ago */
    assert_int_equal(TRY("1").code, 1);
    assert_int_equal(score_of(BURIED("1")), 0);
}

static void a_longer_burial_stays(void **state)
{
    (void)state;
    BURY("1", "60000");
    long long until = score_of(BURIED("1"));
    BURY("1", "1000");
    assert_true(score_of(BURIED("1")) == until);
    BURY("1", "90000");
    assert_true(score_of(BURIED("1")) < until);
    assert_lives(90000);
}

static void on_an_absent_key_a_burial_makes_one_with_a_fence(void **state)
{
    (void)state;
    said it = BURY("1", "60000");
    assert_int_equal(it.code, 0);
    assert_true(last_fence() == it.now_us);
    assert_int_equal(members(), 2);
    assert_lives(60000);
    assert_int_equal(TRY("1").code, 6);
    said other = TRY("2");
    assert_int_equal(other.code, 1);
    assert_true(other.value[0] > it.now_us);
}

static void without_linger_the_key_stays_for_what_is_buried(void **state)
{
    (void)state;
    TRY("1");
    assert_int_equal(ASK(RELEASE, AS("1"), "0", "7000", "18", "60000").code, 1);
    assert_lives(60000);
    assert_int_equal(ASK(CANCEL, AS("2"), "0", "7000", "19", "x", "").code, 0);
    assert_lives(60000);
    TRY("3");
    assert_int_equal(ASK(RELEASE, AS("3"), "0", "7000", "18").code, 1);
    assert_lives(60000);
    assert_int_equal(TRY("1").code, 6);
}

static void a_short_burial_does_not_shorten_the_linger(void **state)
{
    (void)state;
    TRY("1");
    assert_int_equal(ASK(RELEASE, AS("1"), "50000", "7000", "18", "1000").code, 1);
    assert_lives(50000);
}

static void there_is_room_for_a_thousand_and_the_first_to_end_is_forgotten(void **state)
{
    (void)state;
    TRY("1");
    server_order(the_server, "EVAL %s 1 " KEY " %lld",
                 "for i = 1, 1000 do redis.call('ZADD', KEYS[1], string.format('%.0f', -ARGV[1] - "
                 "i), 'old.' .. i) end",
                 clock_us() / 1000 + 60000);
    assert_int_equal(members(), 1002);
    BURY("2", "90000");
    assert_int_equal(members(), 1002);
    assert_int_equal(score_of("old.1"), 0);
    assert_true(score_of("old.2") < 0 && score_of("old.1000") < 0);
    assert_int_equal(TRY("2").code, 6);
}

static void a_full_memory_buries_all_the_same(void **state)
{
    (void)state;
    tell("CONFIG SET maxmemory 1");
    assert_int_equal(BURY("1", "60000").code, 0);
    assert_int_equal(CANCEL_AND_BURY("x", "2", "60000").code, 0);
    tell("CONFIG SET maxmemory 0");
    assert_int_equal(TRY("1").code, 6);
    assert_int_equal(TRY("2").code, 6);
}

static void a_burial_of_nothing_buries_nothing(void **state)
{
    (void)state;
    assert_int_equal(BURY("1", "0").code, 0);
    assert_int_equal(CANCEL_AND_BURY("x", "1", "0").code, 0);
    assert_int_equal(server_number(the_server, "DBSIZE"), 0);
    assert_int_equal(TRY("1").code, 1);
}

static void inspect_does_not_list_what_is_buried(void **state)
{
    (void)state;
    BURY("1", "60000");
    redisReply *it = ask_raw(scripts[SCRIPT_INSPECT].source, KEY, WORDS("100", "21"));
    assert_int_equal(it->element[4]->integer, 0);
    assert_int_equal(it->element[6]->elements, 0);
    freeReplyObject(it);
}

static void a_late_release_tells_the_fence_that_was_given_out(void **state)
{
    (void)state;
    long long fence = TRY("1").value[0];
    ASK(RELEASE, AS("1"), "5000", "7000", "18", "0", text(fence + 50000000));
    assert_true(last_fence() == fence + 50000000);
    assert_true(TRY("2").value[0] == fence + 50000001);
    ASK(RELEASE, AS("1"), "5000", "7000", "18", "0",
        text(fence + 70000000)); /* no holder any more */
    ASK(RELEASE, AS("2"), "5000", "7000", "18", "0", "5");
    assert_true(last_fence() == fence + 50000001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_buried_acquire_is_refused),
        TEST(a_buried_reader_is_refused_beside_readers),
        TEST(a_cancel_buries_whatever_it_finds),
        TEST(a_burial_ends),
        TEST(a_longer_burial_stays),
        TEST(on_an_absent_key_a_burial_makes_one_with_a_fence),
        TEST(without_linger_the_key_stays_for_what_is_buried),
        TEST(a_short_burial_does_not_shorten_the_linger),
        TEST(there_is_room_for_a_thousand_and_the_first_to_end_is_forgotten),
        TEST(a_full_memory_buries_all_the_same),
        TEST(a_burial_of_nothing_buries_nothing),
        TEST(inspect_does_not_list_what_is_buried),
        TEST(a_late_release_tells_the_fence_that_was_given_out),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
