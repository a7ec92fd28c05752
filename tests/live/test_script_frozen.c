/* SPDX-License-Identifier: MIT
 * Frozen clients on a real server: they still count as subscribers, but do not ask any more. A
 * first waiter that keeps others out has its claim to ask again; the waiters of a client whose
 * lease ran out go to the end of the line. */
#include "script_stage.h"

/* The time that the note gives is over. */
static void end_note(const char *note)
{
    assert_int_equal(
        server_number(the_server, "ZADD " KEY " XX CH %lld %s", -(NOTE_BAND + 1000), note), 1);
}
#define OVERDUE(n) end_note(NOTE(n))
#define NOTED(n) (score_of(NOTE(n)) != 0)

/* ---- A head with a small limit --------------------------------------------------------------- */

static void a_head_at_its_limit_is_noted_when_it_keeps_others_out(void **state)
{
    (void)state;
    TRY_AS("s", "1");
    said head = JOIN_AS("s/1", "2");
    assert_int_equal(head.code, 2);
    assert_in_range(head.value[0], 50000, 60000);
    assert_false(NOTED("2")); /* nobody is behind it */
    said barred = JOIN_AS("s/5", "3");
    assert_int_equal(barred.code, 2);
    assert_int_equal(barred.value[0], 2000); /* its claim */
    assert_true(score_of(NOTE("2")) == -(NOTE_BAND + barred.now_us / 1000 + 2000));
}

static void others_that_ask_do_not_lengthen_the_note(void **state)
{
    (void)state;
    TRY_AS("s", "1");
    JOIN_AS("s/1", "2");
    JOIN_AS("s/5", "3");
    picture before = look();
    assert_in_range(JOIN_AS("s/5", "3").value[0], 1, 2000);
    assert_unchanged(&before);
    assert_in_range(TRY_AS("s/5", "4").value[0], 1, 2000);
    assert_unchanged(&before);
}

static void a_head_that_asks_takes_the_note_away(void **state)
{
    (void)state;
    TRY_AS("s", "1");
    JOIN_AS("s/1", "2");
    JOIN_AS("s/5", "3");
    OVERDUE("2");
    assert_int_equal(JOIN_AS("s/1", "2").code, 2); /* before anybody else did */
    assert_false(NOTED("2"));
    assert_int_equal(JOIN_AS("s/5", "3").code, 2);
    assert_true(WAITS("s/1", "2") && NOTED("2"));
}

static void a_frozen_head_leaves_the_line_and_comes_back_to_its_place(void **state)
{
    (void)state;
    TRY_AS("s", "1");
    long long arrival = JOIN_AS("s/1", "2").value[3];
    JOIN_AS("s/5", "3");
    OVERDUE("2");
    assert_int_equal(JOIN_AS("s/5", "3").code, 1);
    assert_true(READS("3") && !WAITS("s/1", "2") && !NOTED("2"));
    JOIN_AS("s/1", "4");
    said back = RETURN_AS("s/1", "2", text(arrival));
    assert_int_equal(back.code, 2);
    assert_int_equal(back.value[1], 1);
    assert_true(back.value[3] == arrival);
    assert_int_equal(JOIN_AS("s/1", "4").value[1], 2);
}

static void a_release_finds_a_frozen_head_too(void **state)
{
    (void)state;
    TRY_AS("s", "1");
    TRY_AS("s", "4");
    JOIN_AS("s/1", "2");
    JOIN_AS("s/5", "3");
    OVERDUE("2");
    assert_int_equal(CANCEL_AS("s", "9").code, 0);
    assert_true(READS("3") && !WAITS("s/1", "2"));
}

static void a_dead_head_at_its_limit_keeps_nobody_out(void **state)
{
    (void)state;
    TRY_AS("s", "1");
    JOIN_AS("s/1", "2");
    DIES("2");
    assert_int_equal(TRY_AS("s/5", "3").code, 1);
    JOIN_AS("s/1", "4");
    assert_int_equal(JOIN_AS("s/5", "5").code, 2);
    DIES("4");
    assert_int_equal(JOIN_AS("s/5", "5").code, 1);
    assert_false(WAITS("s/1", "2") || WAITS("s/1", "4") || NOTED("4"));
}

static void a_cancelled_head_lets_those_behind_it_in(void **state)
{
    (void)state;
    TRY_AS("s", "1");
    JOIN_AS("s/1", "2");
    JOIN_AS("s/5", "3");
    assert_true(NOTED("2"));
    assert_int_equal(CANCEL_AS("s/1", "2").code, 3);
    assert_true(READS("3") && !NOTED("2"));
    assert_int_equal(members(), 3);
}

static void a_head_that_enters_leaves_no_note(void **state)
{
    (void)state;
    TRY_AS("s", "1");
    JOIN_AS("s/1", "2");
    JOIN_AS("s/1", "3");
    assert_true(NOTED("2"));
    assert_int_equal(RELEASE("1").code, 2);
    assert_true(READS("2") && WAITS("s/1", "3") && !NOTED("2"));
    assert_int_equal(JOIN_AS("s/1", "2").code, 1);
    assert_int_equal(RELEASE("2").code, 2);
    assert_int_equal(members(), 2);
}

static void a_full_memory_notes_all_the_same(void **state)
{
    (void)state;
    TRY_AS("s", "1");
    JOIN_AS("s/1", "2");
    JOIN_AS("s/5", "3");
    tell("ZREM " KEY " " NOTE("2"));
    tell("CONFIG SET maxmemory 1");
    assert_int_equal(FORCE(5).code, 8);
    assert_true(NOTED("2"));
}

/* ---- A writer that bars readers -------------------------------------------------------------- */

static void assert_frozen_writer_leaves(const char *writer_mode, const char *reader_mode)
{
    TRY_AS(reader_mode, "1");
    long long arrival = JOIN_AS(writer_mode, "2").value[3];
    said barred = JOIN_AS(reader_mode, "3");
    assert_int_equal(barred.code, 2);
    assert_int_equal(barred.value[0], 2000);
    assert_in_range(TRY_AS(reader_mode, "4").value[0], 1, 2000);
    assert_true(NOTED("2"));
    OVERDUE("2");
    assert_int_equal(JOIN_AS(reader_mode, "3").code, 1);
    assert_int_equal(members(), 3);
    said back = RETURN_AS(writer_mode, "2", text(arrival));
    assert_int_equal(back.code, 2);
    assert_true(back.value[3] == arrival);
    assert_int_equal(JOIN_AS(reader_mode, "4").code, 2);
}

static void a_frozen_fair_writer_leaves_the_line(void **state)
{
    (void)state;
    assert_frozen_writer_leaves("xf", "sf");
}

static void a_frozen_writer_that_goes_first_leaves_the_line(void **state)
{
    (void)state;
    assert_frozen_writer_leaves("xw", "sw");
}

static void a_writer_that_asks_takes_the_note_away(void **state)
{
    (void)state;
    TRY_AS("sf", "1");
    JOIN_AS("xf", "2");
    JOIN_AS("sf", "3");
    OVERDUE("2");
    assert_int_equal(JOIN_AS("xf", "2").code, 2);
    assert_false(NOTED("2"));
    assert_int_equal(JOIN_AS("sf", "3").code, 2);
    assert_int_equal(RELEASE("1").code, 2);
    assert_true(WRITES("2") && WAITS("sf", "3") && !NOTED("2"));
}

static void behind_a_frozen_writer_the_next_one_has_its_own_time(void **state)
{
    (void)state;
    TRY_AS("sf", "1");
    JOIN_AS("xf", "2");
    JOIN_AS("xf", "4");
    JOIN_AS("sf", "3");
    OVERDUE("2");
    assert_int_equal(JOIN_AS("sf", "3").code, 2);
    assert_true(!WAITS("xf", "2") && WAITS("xf", "4") && NOTED("4"));
    OVERDUE("4");
    assert_int_equal(JOIN_AS("sf", "3").code, 1);
}

static void a_writer_that_bars_nobody_is_not_noted(void **state)
{
    (void)state;
    TRY_AS("s", "1");
    JOIN("2");
    assert_int_equal(JOIN_AS("s", "3").code, 1);
    assert_false(NOTED("2"));
    RELEASE("3");
    assert_int_equal(RELEASE("1").code, 2);
}

/* ---- A lease that ran out -------------------------------------------------------------------- */

#define THREAD(n) "- frozen." n " host:1:frozen"
#define ENTER(mode, n) ASK(ACQUIRE, THREAD(n), "60000", "7000", "17", mode)
#define QUEUE(mode, n) ASK(ACQUIRE, THREAD(n), "60000", "7000", "17", mode, "2000 inbox:all")
#define QUEUED(mode, n) score_of("2000 inbox:all " mode " " THREAD(n))

static void the_waiters_of_a_client_whose_lease_ran_out_go_to_the_end(void **state)
{
    (void)state;
    ENTER("x", "1");
    QUEUE("x", "2");
    QUEUE("x", "3");
    JOIN("4");
    QUEUE("s", "5");
    end_lease(THREAD("1"));
    assert_int_equal(JOIN_AS("x", "4").code, 2); /* a reader waits, and goes first */
    assert_true(score_of(THREAD("5")) != 0);
    end_lease(THREAD("5"));
    assert_int_equal(JOIN_AS("x", "4").code, 1);
    assert_true(QUEUED("x", "2") != 0 && QUEUED("x", "3") != 0);
}

static void readers_of_such_a_client_go_behind_other_readers(void **state)
{
    (void)state;
    ENTER("x", "1");
    QUEUE("s/1", "2");
    JOIN_AS("s/1", "4");
    end_lease(THREAD("1"));
    said it = JOIN_AS("s/1", "4");
    assert_int_equal(it.code, 1);
    assert_true(QUEUED("s/1", "2") >= it.now_us - 1000000);
}

static void a_claim_that_ran_out_costs_others_no_second_one(void **state)
{
    (void)state;
    TRY("1");
    QUEUE("x", "2");
    QUEUE("x", "3");
    JOIN("4");
    assert_int_equal(RELEASE("1").code, 2);
    end_lease(THREAD("2")); /* it was told, and did not answer */
    assert_int_equal(JOIN("4").code, 1);
    assert_true(QUEUED("x", "3") != 0);
}

static void a_release_keeps_the_place_of_the_others_of_its_client(void **state)
{
    (void)state;
    ENTER("x", "1");
    QUEUE("x", "2");
    JOIN("4");
    assert_int_equal(ASK(RELEASE, THREAD("1"), "5000", "7000", "18").code, 2);
    assert_true(score_of(THREAD("2")) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_head_at_its_limit_is_noted_when_it_keeps_others_out),
        TEST(others_that_ask_do_not_lengthen_the_note),
        TEST(a_head_that_asks_takes_the_note_away),
        TEST(a_frozen_head_leaves_the_line_and_comes_back_to_its_place),
        TEST(a_release_finds_a_frozen_head_too),
        TEST(a_dead_head_at_its_limit_keeps_nobody_out),
        TEST(a_cancelled_head_lets_those_behind_it_in),
        TEST(a_head_that_enters_leaves_no_note),
        TEST(a_full_memory_notes_all_the_same),
        TEST(a_frozen_fair_writer_leaves_the_line),
        TEST(a_frozen_writer_that_goes_first_leaves_the_line),
        TEST(a_writer_that_asks_takes_the_note_away),
        TEST(behind_a_frozen_writer_the_next_one_has_its_own_time),
        TEST(a_writer_that_bars_nobody_is_not_noted),
        TEST(the_waiters_of_a_client_whose_lease_ran_out_go_to_the_end),
        TEST(readers_of_such_a_client_go_behind_other_readers),
        TEST(a_claim_that_ran_out_costs_others_no_second_one),
        TEST(a_release_keeps_the_place_of_the_others_of_its_client),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
