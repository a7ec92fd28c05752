/* SPDX-License-Identifier: MIT
 * Servers that lie: whatever is answered is a status, no crash, and never a lock that outlives its
 * ttl. */
#include "live/impostor.h"

/* Whatever is answered is answered long before PATIENT_MS, on any machine; what is not, or not
 * well, takes HASTY_MS. */
enum { PATIENT_MS = 20000, HASTY_MS = 150 };

#define N "{nonce}"
#define NOW ":1800000000000000\r\n"
#define GRANTED "*6\r\n:1\r\n:" N "\r\n" NOW ":77\r\n:1\r\n:30000\r\n"

typedef struct lie {
    const char *answer;
    redlock_status status;
} lie;

/* How an acquire ended. */
typedef struct ending {
    redlock_status status;
    bool was_held;
    int64_t remaining_ms;
    bool was_asking; /* a question may have been under way */
} ending;

static ending ask_for(impostor *self, stage *the, int64_t timeout_ms,
                      const redlock_options *options)
{
    redlock_lock *lock = NULL;
    redlock_client *client =
        stage_open(the, self->uri, REDLOCK_CLIENT_OPTIONS(.timeout_ms = timeout_ms, LOGGED(the)));
    stall began = stall_begin();
    ending end = {.status = redlock_acquire(client, "r", options, &lock)};
    end.was_asking = stall_allows(&began, now_us() - atomic_load(&self->asked_us), 0);
    end.was_held = lock != NULL && redlock_is_held(lock);
    end.remaining_ms = redlock_remaining_ms(lock);
    impostor_repent(self);
    redlock_release(lock);
    stage_close(the, client);
    impostor_stop(self);
    assert_int_equal(end.was_held, end.status == REDLOCK_OK);
    return end;
}

static redlock_status ask_impostor(stage *the, const char *answer, const char *subscribed,
                                   int64_t wait_ms)
{
    impostor self;
    impostor_start(&self, the, answer, subscribed);
    return ask_for(&self, the, PATIENT_MS, REDLOCK_OPTIONS(.wait_ms = wait_ms)).status;
}

/* What is tried again until the deadline may be under way then, and nobody knows what becomes of
 * it. */
static bool is_seen(const lie *told, const ending *end, int64_t timeout_ms)
{
    bool may_be_late = timeout_ms == HASTY_MS && end->was_asking;
    return end->status == told->status || (may_be_late && end->status == REDLOCK_ERR_TIMEOUT);
}

static void expect_lies_seen(stage *the, const lie *lies, size_t count, int64_t timeout_ms,
                             int64_t wait_ms)
{
    for (size_t i = 0; i < count; i++) {
        impostor self;
        impostor_start(&self, the, lies[i].answer, "-ERR no\r\n");
        ending end = ask_for(&self, the, timeout_ms, REDLOCK_OPTIONS(.wait_ms = wait_ms));
        if (!is_seen(&lies[i], &end, timeout_ms))
            fail_msg("%.60s: %s, not %s", lies[i].answer, redlock_status_name(end.status),
                     redlock_status_name(lies[i].status));
    }
}

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* Or all the tests below might pass for another reason. */
static void an_impostor_that_says_what_a_server_says_is_believed(void **state)
{
    assert_int_equal(ask_impostor(*state, GRANTED, "", 0), REDLOCK_OK);
    assert_int_equal(ask_impostor(*state, "*5\r\n:0\r\n:" N "\r\n" NOW ":30000\r\n:1\r\n", "", 0),
                     REDLOCK_BUSY);
}

/* Pitfall 43. */
static void an_answer_of_the_wrong_shape_is_a_protocol_error(void **state)
{
    static const lie lies[] = {
        {"+OK\r\n", REDLOCK_ERR_PROTOCOL},
        {":1\r\n", REDLOCK_ERR_PROTOCOL},
        {"$-1\r\n", REDLOCK_ERR_PROTOCOL},
        {"*-1\r\n", REDLOCK_ERR_PROTOCOL},
        {"*0\r\n", REDLOCK_ERR_PROTOCOL},
        {"$5\r\nhello\r\n", REDLOCK_ERR_PROTOCOL},
        {"*6\r\n$1\r\n1\r\n:" N "\r\n" NOW ":77\r\n:1\r\n:30000\r\n", REDLOCK_ERR_PROTOCOL},
        {"*6\r\n:1\r\n:" N "\r\n$1\r\n1\r\n:77\r\n:1\r\n:30000\r\n", REDLOCK_ERR_PROTOCOL},
        {"*1\r\n" GRANTED, REDLOCK_ERR_PROTOCOL},
        {"*6\r\n:77\r\n:" N "\r\n" NOW ":77\r\n:1\r\n:30000\r\n", REDLOCK_ERR_PROTOCOL},
        {"*6\r\n:1\r\n:5" N "\r\n" NOW ":77\r\n:1\r\n:30000\r\n", REDLOCK_ERR_PROTOCOL},
        {"*6\r\n:1\r\n:-" N "\r\n" NOW ":77\r\n:1\r\n:30000\r\n", REDLOCK_ERR_PROTOCOL},
        {"*6\r\n:1\r\n:" N "\r\n" NOW ":77\r\n:3\r\n:30000\r\n", REDLOCK_ERR_PROTOCOL},
        {"*6\r\n:1\r\n:" N "\r\n:0\r\n:77\r\n:1\r\n:30000\r\n", REDLOCK_ERR_PROTOCOL},
        {"*5\r\n:1\r\n:" N "\r\n:77\r\n:30000\r\n:1800000000000000\r\n",
         REDLOCK_ERR_PROTOCOL}, /* of 0.1 */
        {"*3\r\n:6\r\n:" N "\r\n" NOW, REDLOCK_ERR_PROTOCOL},
        {"*3\r\n:-1\r\n:" N "\r\n:0\r\n", REDLOCK_ERR_ARGUMENT},
        {"*3\r\n:-2\r\n:" N "\r\n" NOW, REDLOCK_ERR_LAYOUT},
    };
    expect_lies_seen(*state, lies, COUNT_OF(lies), PATIENT_MS, 0);
    expect_lies_seen(*state, lies, COUNT_OF(lies), PATIENT_MS, PATIENT_MS);
}

/* Pitfall 43. */
static void an_answer_that_is_no_protocol_at_all_is_a_protocol_error(void **state)
{
    static char nested[4 * 4000 + 1];
    for (int i = 0; i < 4000; i++) memcpy(nested + 4 * i, "*1\r\n", 4);
    const lie lies[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", REDLOCK_ERR_PROTOCOL},
        {"*1000000000\r\n", REDLOCK_ERR_PROTOCOL},
        {"*9223372036854775807\r\n", REDLOCK_ERR_PROTOCOL},
        {"*-5\r\n", REDLOCK_ERR_PROTOCOL},
        {"$-7\r\n", REDLOCK_ERR_PROTOCOL},
        {"*6\r\n:1\r\n:" N "\r\n" NOW ":99999999999999999999999\r\n:1\r\n:30000\r\n",
         REDLOCK_ERR_PROTOCOL},
        {">2\r\n+a\r\n+b\r\n", REDLOCK_ERR_PROTOCOL},
        {nested, REDLOCK_ERR_PROTOCOL},
    };
    expect_lies_seen(*state, lies, COUNT_OF(lies), PATIENT_MS, 0);
    expect_lies_seen(*state, lies, COUNT_OF(lies), PATIENT_MS, PATIENT_MS);
}

/* Pitfall 27. */
static void an_error_is_told_by_its_kind(void **state)
{
    static const lie lies[] = {
        {"-ERR unknown command 'EVALSHA'\r\n", REDLOCK_ERR_SERVER},
        {"-MOVED 1 127.0.0.1:1\r\n", REDLOCK_ERR_SERVER},
        {"-NOPERM no\r\n", REDLOCK_ERR_DENIED},
        {"-NOAUTH Authentication required.\r\n", REDLOCK_ERR_DENIED},
        {"-WRONGTYPE no\r\n", REDLOCK_ERR_WRONG_TYPE},
    };
    expect_lies_seen(*state, lies, COUNT_OF(lies), PATIENT_MS, 0);
    expect_lies_seen(*state, lies, COUNT_OF(lies), PATIENT_MS, PATIENT_MS);
}

static void whoever_is_redirected_hears_what_to_use(void **state)
{
    static const char *const redirects[] = {"-MOVED 1 127.0.0.1:1\r\n", "-ASK 1 127.0.0.1:1\r\n"};
    for (size_t i = 0; i < COUNT_OF(redirects); i++) {
        impostor self;
        redlock_detail detail;
        impostor_start(&self, *state, redirects[i], "-ERR no\r\n");
        redlock_status status =
            ask_for(&self, *state, PATIENT_MS, REDLOCK_OPTIONS(.detail = &detail)).status;
        assert_int_equal(status, REDLOCK_ERR_SERVER);
        assert_non_null(strstr(detail.text, "use redis+cluster://"));
    }
}

/* Pitfall 27. */
static void an_error_that_may_pass_is_tried_again_and_told_by_its_kind(void **state)
{
    static const lie lies[] = {
        {"-LOADING no\r\n", REDLOCK_ERR_UNAVAILABLE},
        {"-ERR Connection refused\r\n", REDLOCK_ERR_UNAVAILABLE},
        {"-\r\n", REDLOCK_ERR_UNAVAILABLE},
        {"-OOM no\r\n", REDLOCK_ERR_UNAVAILABLE},
        {"-READONLY no\r\n", REDLOCK_ERR_UNAVAILABLE},
        {"-MISCONF no\r\n", REDLOCK_ERR_UNAVAILABLE},
        {"-NOSCRIPT no\r\n", REDLOCK_ERR_UNAVAILABLE},
        {"{close}", REDLOCK_ERR_CONNECT},
        {"*5\r\n:1\r\n:" N "{close}", REDLOCK_ERR_CONNECT},
    };
    expect_lies_seen(*state, lies, COUNT_OF(lies), HASTY_MS, 0);
    expect_lies_seen(*state, lies, COUNT_OF(lies), HASTY_MS, 2 * HASTY_MS);
}

static void silence_is_a_timeout(void **state)
{
    static const lie lies[] = {{"", REDLOCK_ERR_TIMEOUT},
                               {"*5\r\n:1\r\n:" N "\r\n", REDLOCK_ERR_TIMEOUT},
                               {"$9223372036854775807\r\n", REDLOCK_ERR_TIMEOUT}};
    expect_lies_seen(*state, lies, COUNT_OF(lies), HASTY_MS, 0);
    expect_lies_seen(*state, lies, COUNT_OF(lies), HASTY_MS, 100);
}

/* A lease that nobody asked for is not a longer one for us. */
static void numbers_out_of_all_proportion_make_no_lock_that_outlives_its_ttl(void **state)
{
#define GRANTED_SO(numbers) "*6\r\n:1\r\n:" N "\r\n" numbers
    static const char *const answers[] = {GRANTED_SO(NOW ":77\r\n:1\r\n:9223372036854775807\r\n"),
                                          GRANTED_SO(NOW ":77\r\n:1\r\n:-9223372036854775808\r\n"),
                                          GRANTED_SO(NOW ":77\r\n:1\r\n:2592000000\r\n"),
                                          GRANTED_SO(NOW ":-1\r\n:1\r\n:0\r\n"),
                                          GRANTED_SO(":-1\r\n:77\r\n:1\r\n:2592000000\r\n"),
                                          "*3\r\n:1\r\n:" N "\r\n" NOW,
                                          "*2\r\n:1\r\n:" N "\r\n"};
#undef GRANTED_SO
    stage *the = *state;
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        impostor self;
        impostor_start(&self, the, answers[i], "");
        ending end = ask_for(&self, the, PATIENT_MS, REDLOCK_OPTIONS(.ttl_ms = 5000));
        if (end.remaining_ms < 0 || end.remaining_ms > 5000)
            fail_msg("answer %zu: %lld ms left", i, (long long)end.remaining_ms);
    }
}

#define SUBSCRIBED "*3\r\n$9\r\nsubscribe\r\n{channel}:1\r\n"
#define PLACE(code, now, lease, position, ahead, arrival)                                          \
    "*7\r\n:" code "\r\n:" N "\r\n:" now "\r\n:" lease "\r\n:" position "\r\n:" ahead              \
    "\r\n:" arrival "\r\n"
#define BUSY_OR_QUEUED PLACE("{code}", "1000", "30000", "1", "30000", "1800000000000000")
#define MESSAGE "*3\r\n$7\r\nmessage\r\n{channel}"

static void a_message_that_is_no_grant_is_ignored(void **state)
{
    static const char *const after[] = {
        SUBSCRIBED,
        SUBSCRIBED MESSAGE "$5\r\ngrant\r\n",
        SUBSCRIBED MESSAGE "$0\r\n\r\n",
        SUBSCRIBED MESSAGE "$47\r\ngrant 99 30000 5 - somebody.1 h:1:n redlock:{r}\r\n",
        SUBSCRIBED MESSAGE "$39\r\ngrant 99 30000 999 -  h:1:n redlock:{r}\r\n",
        SUBSCRIBED MESSAGE "$27\r\ngrant somebody.1 99 30000 5\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(after); i++) {
        redlock_status st = ask_impostor(*state, BUSY_OR_QUEUED, after[i], 150);
        if (st != REDLOCK_TIMED_OUT) fail_msg("%s: %s", after[i], redlock_status_name(st));
    }
}

static redlock_status wait_for_grant(stage *the, const char *grantee, int64_t wait_ms)
{
    impostor self;
    impostor_start(&self, the, BUSY_OR_QUEUED, SUBSCRIBED);
    self.grant = "5 30000 1000";
    self.grantee = grantee;
    return ask_for(&self, the, PATIENT_MS, REDLOCK_OPTIONS(.wait_ms = wait_ms)).status;
}

static void a_grant_for_somebody_else_is_left_to_them(void **state)
{
    EXPECT(wait_for_grant(*state, NULL, PATIENT_MS), REDLOCK_OK);
    EXPECT(wait_for_grant(*state, "- somebody.1 h:1:n", 300), REDLOCK_TIMED_OUT);
}

/* The queue's answer comes first, or the hold id would not be known. */
static void a_grant_out_of_all_proportion_makes_no_lock_that_outlives_its_ttl(void **state)
{
    static const char *const numbers[] = {
        "5 9223372036854775807 1", "5 2592000000 9223372036854775807", "5 2592000000 1",
        "5000000000000001 30000 1000", "18446744073709551615 30000 1000"};
    stage *the = *state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        impostor self;
        impostor_start(&self, the, BUSY_OR_QUEUED, SUBSCRIBED);
        self.grant = numbers[i];
        ending end =
            ask_for(&self, the, PATIENT_MS, REDLOCK_OPTIONS(.ttl_ms = 5000, .wait_ms = 300));
        if (end.remaining_ms < 0 || end.remaining_ms > 5000)
            fail_msg("%s: %lld ms left", numbers[i], (long long)end.remaining_ms);
    }
}

static void queue_answers_out_of_all_proportion_are_survived(void **state)
{
    static const char *const answers[] = {
        PLACE("{code}", "9223372036854775807", "30000", "1", "30000", "1800000000000000"),
        PLACE("{code}", "-9223372036854775808", "30000", "1", "30000", "1800000000000000"),
        PLACE("{code}", "1800000000000000", "9223372036854775807", "1", "30000",
              "1800000000000000"),
        PLACE("{code}", "1800000000000000", "-9223372036854775808", "1", "30000",
              "1800000000000000"),
        PLACE("{code}", "1800000000000000", "30000", "9223372036854775807", "30000",
              "1800000000000000"),
        PLACE("{code}", "1800000000000000", "30000", "-9223372036854775808", "30000",
              "1800000000000000"),
        PLACE("{code}", "1800000000000000", "30000", "1", "9223372036854775807",
              "1800000000000000"),
        PLACE("{code}", "1800000000000000", "30000", "1", "-9223372036854775808",
              "1800000000000000"),
        PLACE("{code}", "1800000000000000", "30000", "1", "30000", "9223372036854775807"),
        PLACE("{code}", "1800000000000000", "30000", "1", "30000", "-9223372036854775808"),
        "*3\r\n:{code}\r\n:" N "\r\n" NOW,
        "*2\r\n:{code}\r\n:" N "\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        redlock_status st = ask_impostor(*state, answers[i], SUBSCRIBED, 150);
        if (st != REDLOCK_TIMED_OUT && st != REDLOCK_ERR_PROTOCOL)
            fail_msg("%s: %s", answers[i], redlock_status_name(st));
    }
}

static void a_full_queue_is_a_status(void **state)
{
    redlock_status st =
        ask_impostor(*state, "*5\r\n:3\r\n:" N "\r\n" NOW ":0\r\n:65536\r\n", SUBSCRIBED, 5000);
    EXPECT(st, REDLOCK_ERR_QUEUE_FULL);
}

static void an_inbox_that_is_never_heard_is_waited_for_to_the_end(void **state)
{
    redlock_status st =
        ask_impostor(*state, "*4\r\n:{unheard}\r\n:" N "\r\n" NOW ":30000\r\n", SUBSCRIBED, 300);
    EXPECT(st, REDLOCK_TIMED_OUT);
}

/* Asking alone would serve, but no patience helps: whoever waits is to hear of it. */
static void a_server_without_subscribe_ends_a_wait_in_its_words(void **state)
{
    impostor self;
    redlock_detail detail;
    impostor_start(&self, *state, BUSY_OR_QUEUED, "-ERR unknown command 'SUBSCRIBE'\r\n");
    redlock_status st = ask_for(&self, *state, PATIENT_MS,
                                REDLOCK_OPTIONS(.wait_ms = PATIENT_MS, .detail = &detail))
                            .status;
    EXPECT(st, REDLOCK_ERR_SERVER);
    assert_string_equal(detail.text,
                        "the server refused SUBSCRIBE: ERR unknown command 'SUBSCRIBE'");
}

static void a_server_that_always_has_more_to_do_delays_nobody_beyond_the_deadline(void **state)
{
    static const lie lies[] = {{"*3\r\n:7\r\n:" N "\r\n" NOW, REDLOCK_ERR_TIMEOUT}};
    expect_lies_seen(*state, lies, COUNT_OF(lies), HASTY_MS, 0);
    expect_lies_seen(*state, lies, COUNT_OF(lies), HASTY_MS, 200);
}

static void a_subscription_that_is_answered_wrongly_is_a_status(void **state)
{
    static const lie lies[] = {
        {"-NOPERM no\r\n", REDLOCK_ERR_DENIED},
        {"HTTP/1.1 400\r\n", REDLOCK_ERR_PROTOCOL},
        {"*1000000000\r\n", REDLOCK_ERR_PROTOCOL},
        {"", REDLOCK_TIMED_OUT},
    };
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        int64_t wait_ms = lies[i].status == REDLOCK_TIMED_OUT ? 150 : PATIENT_MS;
        redlock_status st = ask_impostor(*state, "*5\r\n:0\r\n:" N "\r\n" NOW ":30000\r\n:1\r\n",
                                         lies[i].answer, wait_ms);
        if (st != lies[i].status) fail_msg("%s: %s", lies[i].answer, redlock_status_name(st));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(an_impostor_that_says_what_a_server_says_is_believed),
        ON_STAGE(an_answer_of_the_wrong_shape_is_a_protocol_error),
        ON_STAGE(an_answer_that_is_no_protocol_at_all_is_a_protocol_error),
        ON_STAGE(an_error_is_told_by_its_kind),
        ON_STAGE(whoever_is_redirected_hears_what_to_use),
        ON_STAGE(an_error_that_may_pass_is_tried_again_and_told_by_its_kind),
        ON_STAGE(silence_is_a_timeout),
        ON_STAGE(numbers_out_of_all_proportion_make_no_lock_that_outlives_its_ttl),
        ON_STAGE(a_message_that_is_no_grant_is_ignored),
        ON_STAGE(a_grant_for_somebody_else_is_left_to_them),
        ON_STAGE(queue_answers_out_of_all_proportion_are_survived),
        ON_STAGE(a_full_queue_is_a_status),
        ON_STAGE(an_inbox_that_is_never_heard_is_waited_for_to_the_end),
        ON_STAGE(a_server_without_subscribe_ends_a_wait_in_its_words),
        ON_STAGE(a_server_that_always_has_more_to_do_delays_nobody_beyond_the_deadline),
        ON_STAGE(a_grant_out_of_all_proportion_makes_no_lock_that_outlives_its_ttl),
        ON_STAGE(a_subscription_that_is_answered_wrongly_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
