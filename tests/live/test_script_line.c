/* SPDX-License-Identifier: MIT
 * The line on a real server: arrivals, places, who is not queued, and what the message says. */
#include "script_stage.h"

/* ---- Arrivals -------------------------------------------------------------------------------- */

static void a_queued_waiter_is_told_its_arrival(void **state)
{
    (void)state;
    TRY("1");
    said it = JOIN("2");
    assert_true(it.value[3] == it.now_us);
    assert_true(score_of(WAITER("x", "2")) == it.value[3] + WRITER_BAND);
    assert_true(JOIN("2").value[3] == it.value[3]);
    said reader = JOIN_AS("s", "3");
    assert_true(reader.value[3] == reader.now_us && score_of(WAITER("s", "3")) == reader.now_us);
}

static void an_arrival_keeps_the_place_that_the_server_forgot(void **state)
{
    (void)state;
    TRY("1");
    long long arrival = JOIN("2").value[3];
    tell("FLUSHALL");
    TRY("4");
    JOIN("3");
    said it = RETURN_AS("x", "2", text(arrival));
    assert_int_equal(it.code, 2);
    assert_int_equal(it.value[1], 1);
    assert_true(it.value[3] == arrival);
    assert_int_equal(JOIN("3").value[1], 2);
    assert_int_equal(RELEASE("4").code, 2);
    assert_true(WRITES("2"));
}

static void an_arrival_is_never_ahead_of_the_clock(void **state)
{
    (void)state;
    TRY("1");
    said it = RETURN_AS("x", "2", text(clock_us() + 60000000));
    assert_true(it.value[3] == it.now_us);
    assert_true(score_of(WAITER("x", "2")) == it.now_us + WRITER_BAND);
}

static void in_the_line_an_arrival_changes_nothing(void **state)
{
    (void)state;
    TRY("1");
    long long arrival = JOIN("2").value[3];
    picture before = look();
    assert_true(RETURN_AS("x", "2", text(arrival - 1000000)).value[3] == arrival);
    assert_true(RETURN_AS("x", "2", text(arrival + 1)).value[3] == arrival);
    assert_unchanged(&before);
}

static void a_place_ahead_of_the_clock_comes_down_to_it(void **state)
{
    (void)state;
    TRY("1");
    JOIN("2");
    server_order(the_server, "ZADD " KEY " XX %lld %s", clock_us() + 60000000 + WRITER_BAND,
                 WAITER("x", "2"));
    said it = JOIN("2");
    assert_true(it.value[3] == it.now_us && score_of(WAITER("x", "2")) == it.now_us + WRITER_BAND);
    RELEASE("1"); /* and where readers hold it */
    RELEASE("2");
    TRY_AS("s", "1");
    JOIN("2");
    server_order(the_server, "ZADD " KEY " XX %lld %s", clock_us() + 60000000 + WRITER_BAND,
                 WAITER("x", "2"));
    it = JOIN("2");
    assert_true(it.value[3] == it.now_us && score_of(WAITER("x", "2")) == it.now_us + WRITER_BAND);
}

static void the_first_that_waits_has_the_time_as_its_score(void **state)
{
    (void)state;
    TRY("1");
    said reader = JOIN_AS("s", "2");
    assert_true(reader.value[3] == reader.now_us && score_of(WAITER("s", "2")) == reader.now_us);
    CANCEL_AS("s", "2");
    said writer = JOIN("2");
    assert_true(score_of(WAITER("x", "2")) == writer.now_us + WRITER_BAND);
    CANCEL("2");
    writer = RETURN_AS("x", "2", "100000000000000");
    assert_true(writer.value[3] == READER_BAND &&
                score_of(WAITER("x", "2")) == READER_BAND + WRITER_BAND);
}

/* ---- Places ---------------------------------------------------------------------------------- */

#define JOIN_WITH(claim, mode, n)                                                                  \
    ASK(ACQUIRE, AS(n), "60000", "7000", "17", mode, claim " inbox:" n)

static void a_waiter_is_told_its_position_and_the_claim_ahead(void **state)
{
    (void)state;
    TRY("1");
    said first = JOIN_WITH("300", "x", "2");
    assert_true(first.value[1] == 1 && first.value[2] == 0);
    said second = JOIN_WITH("400", "x", "3");
    assert_true(second.value[1] == 2 && second.value[2] == 300);
    said third = JOIN("4");
    assert_true(third.value[1] == 3 && third.value[2] == 400);
    second = JOIN_WITH("400", "x", "3");
    assert_true(second.value[1] == 2 && second.value[2] == 300);
}

static void those_who_wait_for_the_other_kind_do_not_count(void **state)
{
    (void)state;
    TRY("1");
    JOIN_AS("s", "2");
    JOIN("3");
    said reader = JOIN_WITH("300", "s", "4"), writer = JOIN("5");
    assert_true(reader.value[1] == 2 && reader.value[2] == 2000);
    assert_true(writer.value[1] == 2 && writer.value[2] == 2000);
    assert_true(JOIN_AS("s", "2").value[2] == 0 && JOIN("3").value[2] == 0);
}

static void positions_are_told_where_readers_hold_it_too(void **state)
{
    (void)state;
    TRY_AS("s", "1");
    JOIN_WITH("300", "x", "2");
    said it = JOIN("3");
    assert_int_equal(it.code, 2);
    assert_true(it.value[1] == 2 && it.value[2] == 300 && it.value[3] == it.now_us);
}

static void a_try_is_served_last_whatever_its_arrival(void **state)
{
    (void)state;
    TRY("1");
    JOIN("2");
    END("1");
    assert_int_equal(ASK(ACQUIRE, AS("3"), "60000", "7000", "17", "x", "", "100000000000000").code,
                     0);
    assert_true(WRITES("2"));
}

/* ---- Who is not queued ----------------------------------------------------------------------- */

static void who_cannot_be_told_is_not_queued(void **state)
{
    (void)state;
    DIES("2");
    TRY("1");
    picture before = look();
    said it = JOIN("2");
    assert_int_equal(it.code, 5);
    assert_int_equal(it.nonce, 17);
    assert_in_range(it.value[0], 50000, 60000);
    assert_unchanged(&before);
    RELEASE("1");
    TRY_AS("s", "1");
    before = look();
    assert_int_equal(JOIN("2").code, 5);
    assert_unchanged(&before);
}

static void who_cannot_be_told_is_granted_by_the_answer_all_the_same(void **state)
{
    (void)state;
    DIES("2");
    TRY("1");
    END("1");
    assert_int_equal(JOIN("2").code, 1);
}

static void who_can_be_told_no_more_leaves_the_line(void **state)
{
    (void)state;
    TRY("1");
    JOIN("2");
    DIES("2");
    assert_int_equal(JOIN("2").code, 5);
    assert_false(WAITS("x", "2"));
}

static void where_the_server_does_not_say_who_listens_all_are_queued(void **state)
{
    (void)state;
    TRY("1");
    said it = ASK_RESTRICTED("-pubsub", ACQUIRE, AS("2"), "60000", "7000", "17", "x",
                             "2000 inbox:nobody");
    assert_int_equal(it.code, 2);
    RELEASE("1");
    TRY_AS("s", "3");
    it = ASK_RESTRICTED("-pubsub", ACQUIRE, AS("4"), "60000", "7000", "17", "x",
                        "2000 inbox:nobody");
    assert_int_equal(it.code, 2);
}

/* ---- The message ----------------------------------------------------------------------------- */

static void assert_told(const char *key, const char *mode, const char *owner)
{
    char holder[64], expected[160], ending[96];
    snprintf(holder, sizeof holder, "%s me.7 web-17:4242:worker", owner);
    assert_int_equal(listen_to(ask_raw(scripts[SCRIPT_ACQUIRE].source, key,
                                       WORDS(AS("1"), "60000", "7000", "17")))
                         .code,
                     1);
    assert_int_equal(listen_to(ask_raw(scripts[SCRIPT_ACQUIRE].source, key,
                                       WORDS(holder, "60000", "7000", "17", mode, "1500 inbox:2")))
                         .code,
                     2);
    said it = listen_to(
        ask_raw(scripts[SCRIPT_RELEASE].source, key, WORDS(AS("1"), "5000", "7000", "18")));
    assert_int_equal(it.code, 2);
    snprintf(expected, sizeof expected, "grant %lld 1500 %lld ", it.now_us, it.now_us);
    snprintf(ending, sizeof ending, "%s %s", holder, key);
    strncat(expected, ending, sizeof expected - strlen(expected) - 1);
    redisReply *message = next_message();
    assert_string_equal(message->element[2]->str, expected);
    freeReplyObject(message);
}

static void the_message_names_the_holder_and_the_key(void **state)
{
    (void)state;
    assert_told(KEY, "x", "-");
}

static void a_key_may_have_spaces(void **state)
{
    (void)state;
    assert_told("redlock:{a job of  mine }", "x", "-");
    assert_told("redlock:{a reader of mine}", "s", "-");
}

static void the_message_names_the_owner(void **state)
{
    (void)state;
    assert_told("redlock:{mine}", "x", "@me");
}

/* A channel with a hash tag. */
static void the_inbox_of_a_shard_is_asked_and_told_as_such(void **state)
{
    (void)state;
    TRY("1");
    assert_int_equal(ASK(ACQUIRE, AS("2"), "60000", "7000", "17", "x", "2000 inbox:{job}").code, 5);
    redisContext *shard = redisConnectUnix(server_socket(the_server));
    freeReplyObject(redisCommand(shard, "SSUBSCRIBE inbox:{job}"));
    assert_int_equal(ASK(ACQUIRE, AS("2"), "60000", "7000", "17", "x", "2000 inbox:{job}").code, 2);
    assert_int_equal(RELEASE("1").code, 2);
    void *reply = NULL;
    assert_int_equal(redisGetReply(shard, &reply), REDIS_OK);
    redisReply *message = reply;
    assert_string_equal(message->element[0]->str, "smessage");
    assert_non_null(strstr(message->element[2]->str, AS("2") " " KEY));
    freeReplyObject(message);
    redisFree(shard);
    assert_true(WRITES("2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_queued_waiter_is_told_its_arrival),
        TEST(an_arrival_keeps_the_place_that_the_server_forgot),
        TEST(an_arrival_is_never_ahead_of_the_clock),
        TEST(in_the_line_an_arrival_changes_nothing),
        TEST(a_place_ahead_of_the_clock_comes_down_to_it),
        TEST(the_first_that_waits_has_the_time_as_its_score),
        TEST(a_waiter_is_told_its_position_and_the_claim_ahead),
        TEST(those_who_wait_for_the_other_kind_do_not_count),
        TEST(positions_are_told_where_readers_hold_it_too),
        TEST(a_try_is_served_last_whatever_its_arrival),
        TEST(who_cannot_be_told_is_not_queued),
        TEST(who_cannot_be_told_is_granted_by_the_answer_all_the_same),
        TEST(who_can_be_told_no_more_leaves_the_line),
        TEST(where_the_server_does_not_say_who_listens_all_are_queued),
        TEST(the_message_names_the_holder_and_the_key),
        TEST(a_key_may_have_spaces),
        TEST(the_message_names_the_owner),
        TEST(the_inbox_of_a_shard_is_asked_and_told_as_such),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
