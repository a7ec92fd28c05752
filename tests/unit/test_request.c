/* SPDX-License-Identifier: MIT
 * engine/request, single facts. Time is virtual. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/request.h"

static const int64_t begin_us = 1000000, deadline_us = 3000000, timeout_us = 1200000;

static request begun(void)
{
    request self;

    request_begin(&self, deadline_us, timeout_us, 1);
    return self;
}

static request sent_at(int64_t now_us)
{
    request self = begun();

    request_sent(&self, now_us);
    return self;
}

static answer plain(enum answer_kind kind, int64_t code)
{
    return (answer){
        .kind = kind, .code = code, .server_us = 44, .value = {11, 22, 33, 55}, .text = "words"};
}

static void give(request *self, enum answer_kind kind, int64_t code, int64_t now_us)
{
    answer from = plain(kind, code);

    request_answered(self, &from, now_us);
}

static void an_answered_question_is_done_with_its_integers(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    give(&self, ANSWER_CODE, 2, begin_us + 500);
    assert_int_equal(self.state, REQUEST_DONE);
    assert_int_equal(self.status, REDLOCK_OK);
    assert_int_equal(self.code, 2);
    assert_int_equal(self.value[0], 11);
    assert_int_equal(self.value[2], 33);
    assert_int_equal(self.value[3], 55);
    assert_int_equal(self.server_us, 44);
    assert_string_equal(self.text, "");
    assert_int_equal(self.sent_us, begin_us);
    assert_int_equal(self.unanswered_us, 0);
    assert_false(self.is_ambiguous);
    assert_false(self.is_partial);
}

static void a_refused_argument_is_our_error(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    give(&self, ANSWER_CODE, CODE_BAD_ARGUMENT, begin_us);
    assert_int_equal(self.state, REQUEST_DONE);
    assert_int_equal(self.status, REDLOCK_ERR_ARGUMENT);
}

static void a_key_of_another_layout_is_no_answer(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    give(&self, ANSWER_CODE, CODE_FOREIGN, begin_us);
    assert_int_equal(self.state, REQUEST_DONE);
    assert_int_equal(self.status, REDLOCK_ERR_LAYOUT);
    assert_int_equal(self.code, 0);
    assert_int_equal(self.value[0], 0);
}

/* ---- More are left ---- */

static void when_more_are_left_it_is_asked_again_at_once(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    give(&self, ANSWER_CODE, CODE_MORE, begin_us + 500);
    assert_int_equal(self.state, REQUEST_READY);
    assert_true(self.is_partial);
    assert_int_equal(self.failures, 0);
    assert_false(self.is_ambiguous);
    assert_int_equal(self.unanswered_us, 0);
    request_sent(&self, begin_us + 600);
    assert_int_equal(request_attempt_deadline_us(&self), begin_us + 600 + timeout_us);
    give(&self, ANSWER_CODE, 2, begin_us + 700);
    assert_int_equal(self.status, REDLOCK_OK);
    assert_int_equal(self.code, 2);
    assert_true(self.is_partial);
}

static void however_often_more_are_left_only_the_deadline_ends_it(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    for (int i = 1; i <= 1000; i++) {
        give(&self, ANSWER_CODE, CODE_MORE, begin_us + i);
        assert_int_equal(self.state, REQUEST_READY);
        request_sent(&self, begin_us + i);
    }
    give(&self, ANSWER_CODE, CODE_MORE, deadline_us);
    request_tick(&self, deadline_us);
    assert_int_equal(self.state, REQUEST_DONE);
    assert_int_equal(self.status, REDLOCK_ERR_TIMEOUT);
    assert_true(self.is_partial);
}

static void what_fails_after_a_part_was_done_says_both(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    give(&self, ANSWER_CODE, CODE_MORE, begin_us + 500);
    request_sent(&self, begin_us + 600);
    give(&self, ANSWER_DENIED, 0, begin_us + 700);
    assert_int_equal(self.status, REDLOCK_ERR_DENIED);
    assert_true(self.is_partial);
}

static void a_part_is_only_what_a_script_answered(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    give(&self, ANSWER_MALFORMED, CODE_MORE, begin_us);
    assert_int_equal(self.status, REDLOCK_ERR_PROTOCOL);
    assert_false(self.is_partial);
}

/* ---- Something else is to be asked ---- */

static void an_answered_question_can_be_followed_by_another(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    request_again(&self);
    assert_int_equal(self.state, REQUEST_READY);
    assert_int_equal(self.wake_us, deadline_us);
    assert_false(self.is_ambiguous);
    assert_false(self.is_partial);
    request_sent(&self, begin_us + 600);
    assert_int_equal(self.sent_us, begin_us + 600);
    give(&self, ANSWER_CODE, 1, begin_us + 700);
    assert_int_equal(self.status, REDLOCK_OK);
}

static void what_was_cut_before_stays_unanswered_whatever_is_asked_next(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    request_cut(&self, REDLOCK_ERR_CONNECT, NULL, begin_us + 1);
    request_tick(&self, self.wake_us);
    request_sent(&self, begin_us + 2);
    request_again(&self);
    assert_true(self.is_ambiguous);
    assert_int_equal(self.unanswered_us, begin_us);
}

/* ---- Another server is to be asked ---- */

static void a_redirect_that_is_followed_is_no_failure_and_takes_no_time(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    give(&self, ANSWER_ELSEWHERE, 0, begin_us + 500);
    assert_int_equal(self.state, REQUEST_READY);
    assert_int_equal(self.wake_us, deadline_us);
    assert_int_equal(self.failures, 0);
    assert_int_equal(self.status, REDLOCK_ERR_TIMEOUT);
    assert_false(self.is_ambiguous);
    assert_false(self.is_partial);
    assert_false(self.by_source);
    request_sent(&self, begin_us + 600);
    give(&self, ANSWER_CODE, 1, begin_us + 700);
    assert_int_equal(self.status, REDLOCK_OK);
}

static void a_redirect_says_nothing_of_what_was_cut_before(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    request_cut(&self, REDLOCK_ERR_CONNECT, NULL, begin_us + 1);
    request_tick(&self, self.wake_us);
    request_sent(&self, begin_us + 2);
    give(&self, ANSWER_ELSEWHERE, 0, begin_us + 3);
    assert_int_equal(self.state, REQUEST_READY);
    assert_true(self.is_ambiguous);
    assert_int_equal(self.unanswered_us, begin_us);
    assert_int_equal(self.failures, 1);
}

static void the_deadline_ends_redirects(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    give(&self, ANSWER_ELSEWHERE, 0, deadline_us);
    request_tick(&self, deadline_us);
    assert_int_equal(self.state, REQUEST_DONE);
    assert_int_equal(self.status, REDLOCK_ERR_TIMEOUT);
}

static void whatever_was_asked_another_server_is_another_server(void **state)
{
    answer from = plain(ANSWER_ELSEWHERE, CODE_MORE);

    (void)state;
    assert_int_equal(request_verdict(&from, false), VERDICT_ELSEWHERE);
    assert_int_equal(request_verdict(&from, true), VERDICT_ELSEWHERE);
    assert_int_equal(request_failure(&from), REDLOCK_ERR_UNAVAILABLE);
}

/* ---- Attempts that come to nothing ---- */

static void an_unknown_script_is_sent_by_source_at_once(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    give(&self, ANSWER_UNKNOWN_SCRIPT, 0, begin_us + 500);
    assert_int_equal(self.state, REQUEST_READY);
    assert_true(self.by_source);
    assert_int_equal(self.failures, 0);
    assert_false(self.is_ambiguous);
}

static void a_source_that_is_unknown_too_is_tried_again_later(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    give(&self, ANSWER_UNKNOWN_SCRIPT, 0, begin_us);
    request_sent(&self, begin_us);
    give(&self, ANSWER_UNKNOWN_SCRIPT, 0, begin_us);
    assert_int_equal(self.state, REQUEST_BACKOFF);
    assert_int_equal(self.status, REDLOCK_ERR_UNAVAILABLE);
}

static void no_reply_means_unknown_never_no(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    request_cut(&self, REDLOCK_ERR_TIMEOUT, "no answer", begin_us + 1);
    assert_int_equal(self.state, REQUEST_BACKOFF);
    assert_true(self.is_ambiguous);
    request_tick(&self, self.wake_us);
    request_sent(&self, begin_us + 2);
    give(&self, ANSWER_CODE, 0, begin_us + 3);
    assert_int_equal(self.status, REDLOCK_OK);
    assert_true(self.is_ambiguous);
}

static void a_cut_answer_is_a_cut(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    give(&self, ANSWER_CUT, 0, begin_us);
    assert_true(self.is_ambiguous);
    assert_int_equal(self.status, REDLOCK_ERR_CONNECT);
    assert_string_equal(self.text, "words");
}

static void the_latest_attempt_that_was_cut_is_remembered(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    request_cut(&self, REDLOCK_ERR_TIMEOUT, NULL, begin_us + 1);
    assert_int_equal(self.unanswered_us, begin_us);
    request_tick(&self, self.wake_us);
    request_sent(&self, begin_us + 500);
    assert_int_equal(self.unanswered_us, begin_us);
    give(&self, ANSWER_CUT, 0, begin_us + 600);
    assert_int_equal(self.unanswered_us, begin_us + 500);
    request_tick(&self, self.wake_us);
    request_sent(&self, begin_us + 90000);
    give(&self, ANSWER_CODE, 1, begin_us + 90001);
    assert_int_equal(self.unanswered_us, begin_us + 500);
}

static void a_transient_error_is_retried_and_not_ambiguous(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    give(&self, ANSWER_TRANSIENT, 0, begin_us);
    assert_int_equal(self.state, REQUEST_BACKOFF);
    assert_int_equal(self.status, REDLOCK_ERR_UNAVAILABLE);
    assert_false(self.is_ambiguous);
}

static void a_hopeless_answer_ends_at_once(void **state)
{
    static const struct {
        enum answer_kind kind;
        redlock_status status;
    } hopeless[] = {{ANSWER_DENIED, REDLOCK_ERR_DENIED},
                    {ANSWER_WRONG_TYPE, REDLOCK_ERR_WRONG_TYPE},
                    {ANSWER_MALFORMED, REDLOCK_ERR_PROTOCOL},
                    {ANSWER_UNSUPPORTED, REDLOCK_ERR_SERVER},
                    {ANSWER_REDIRECT, REDLOCK_ERR_SERVER}};

    (void)state;
    for (size_t i = 0; i < sizeof hopeless / sizeof *hopeless; i++) {
        request self = sent_at(begin_us);

        give(&self, hopeless[i].kind, 0, begin_us);
        assert_int_equal(self.state, REQUEST_DONE);
        assert_int_equal(self.status, hopeless[i].status);
        assert_string_equal(self.text, "words");
    }
}

static void the_first_retry_is_immediate_and_later_ones_are_spread(void **state)
{
    request self = begun();
    int64_t longest_us = 0;

    (void)state;
    self.deadline_us = NEVER;
    request_refused(&self, REDLOCK_ERR_CONNECT, NULL, begin_us);
    assert_int_equal(self.wake_us, begin_us);
    for (int i = 0; i < 200; i++) {
        int64_t now_us = self.wake_us;

        request_tick(&self, now_us);
        request_refused(&self, REDLOCK_ERR_CONNECT, NULL, now_us);
        assert_true(self.wake_us - now_us >= 2000);
        if (i < 3) assert_true(self.wake_us - now_us < 2000 + (4000 << i));
        if (self.wake_us - now_us > longest_us) longest_us = self.wake_us - now_us;
    }
    assert_true(longest_us > 100000);
    assert_true(longest_us <= 202000);
}

static void two_seeds_back_off_apart(void **state)
{
    request a, b;

    (void)state;
    request_begin(&a, NEVER, timeout_us, 1);
    request_begin(&b, NEVER, timeout_us, 2);
    a.failures = b.failures = 7;
    request_refused(&a, REDLOCK_ERR_CONNECT, NULL, begin_us);
    request_refused(&b, REDLOCK_ERR_CONNECT, NULL, begin_us);
    assert_true(a.wake_us != b.wake_us);
}

static void an_attempt_ends_by_its_timeout_or_by_the_deadline(void **state)
{
    request early = sent_at(begin_us), late = sent_at(deadline_us - 5);

    (void)state;
    assert_int_equal(request_attempt_deadline_us(&early), begin_us + timeout_us);
    assert_int_equal(request_attempt_deadline_us(&late), deadline_us);
}

static void the_deadline_reports_the_last_failure(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    request_cut(&self, REDLOCK_ERR_CONNECT, "reset", begin_us);
    request_tick(&self, self.wake_us);
    request_sent(&self, begin_us);
    give(&self, ANSWER_TRANSIENT, 0, begin_us);
    request_tick(&self, deadline_us);
    assert_int_equal(self.state, REQUEST_DONE);
    assert_int_equal(self.status, REDLOCK_ERR_UNAVAILABLE);
    assert_string_equal(self.text, "words");
}

static void what_fails_at_the_deadline_is_not_tried_again(void **state)
{
    request cut = sent_at(deadline_us - 10), refused = begun();

    (void)state;
    request_cut(&cut, REDLOCK_ERR_TIMEOUT, NULL, deadline_us);
    assert_int_equal(cut.state, REQUEST_DONE);
    assert_int_equal(cut.status, REDLOCK_ERR_TIMEOUT);
    request_refused(&refused, REDLOCK_ERR_CONNECT, NULL, deadline_us);
    assert_int_equal(refused.state, REQUEST_DONE);
}

static void a_second_attempt_has_its_own_time_and_leaves_no_old_words(void **state)
{
    request self = sent_at(begin_us);

    (void)state;
    request_cut(&self, REDLOCK_ERR_TIMEOUT, "no answer", begin_us + 500);
    request_tick(&self, begin_us + 500);
    request_sent(&self, begin_us + 700);
    assert_int_equal(self.sent_us, begin_us + 700);
    assert_int_equal(request_attempt_deadline_us(&self), begin_us + 700 + timeout_us);
    give(&self, ANSWER_CODE, 1, begin_us + 900);
    assert_string_equal(self.text, "");
}

static void a_question_that_was_never_sent_times_out(void **state)
{
    request self = begun();

    (void)state;
    request_tick(&self, deadline_us - 1);
    assert_int_equal(self.state, REQUEST_READY);
    request_tick(&self, deadline_us);
    assert_int_equal(self.state, REQUEST_DONE);
    assert_int_equal(self.status, REDLOCK_ERR_TIMEOUT);
}

static void long_words_are_cut(void **state)
{
    request self = begun();
    char words[3 * ANSWER_TEXT];

    (void)state;
    memset(words, 'w', sizeof words - 1);
    words[sizeof words - 1] = '\0';
    request_refused(&self, REDLOCK_ERR_CONNECT, words, begin_us);
    assert_int_equal(strlen(self.text), ANSWER_TEXT - 1);
}

static void only_what_cannot_pass_is_hopeless(void **state)
{
    (void)state;
    assert_false(status_is_hopeless(REDLOCK_ERR_CONNECT));
    assert_false(status_is_hopeless(REDLOCK_ERR_TIMEOUT));
    assert_false(status_is_hopeless(REDLOCK_ERR_RESOLVE));
    assert_false(status_is_hopeless(REDLOCK_ERR_UNAVAILABLE));
    assert_true(status_is_hopeless(REDLOCK_ERR_DENIED));
    assert_true(status_is_hopeless(REDLOCK_ERR_WRONG_TYPE));
    assert_true(status_is_hopeless(REDLOCK_ERR_PROTOCOL));
    assert_true(status_is_hopeless(REDLOCK_ERR_TLS));
}

static void jitter_stays_below_its_bound_and_takes_any_seed(void **state)
{
    uint32_t seeds[] = {0, 1, UINT32_MAX};

    (void)state;
    for (int i = 0; i < 3; i++) {
        uint32_t seed = seeds[i];

        assert_int_equal(jitter_below(&seed, 0), 0);
        assert_int_equal(jitter_below(&seed, 1), 0);
        for (int j = 0; j < 1000; j++) assert_true(jitter_below(&seed, 10) < 10);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answered_question_is_done_with_its_integers),
        cmocka_unit_test(a_refused_argument_is_our_error),
        cmocka_unit_test(a_key_of_another_layout_is_no_answer),
        cmocka_unit_test(when_more_are_left_it_is_asked_again_at_once),
        cmocka_unit_test(however_often_more_are_left_only_the_deadline_ends_it),
        cmocka_unit_test(what_fails_after_a_part_was_done_says_both),
        cmocka_unit_test(a_part_is_only_what_a_script_answered),
        cmocka_unit_test(an_answered_question_can_be_followed_by_another),
        cmocka_unit_test(what_was_cut_before_stays_unanswered_whatever_is_asked_next),
        cmocka_unit_test(a_redirect_that_is_followed_is_no_failure_and_takes_no_time),
        cmocka_unit_test(a_redirect_says_nothing_of_what_was_cut_before),
        cmocka_unit_test(the_deadline_ends_redirects),
        cmocka_unit_test(whatever_was_asked_another_server_is_another_server),
        cmocka_unit_test(an_unknown_script_is_sent_by_source_at_once),
        cmocka_unit_test(a_source_that_is_unknown_too_is_tried_again_later),
        cmocka_unit_test(no_reply_means_unknown_never_no),
        cmocka_unit_test(a_cut_answer_is_a_cut),
        cmocka_unit_test(the_latest_attempt_that_was_cut_is_remembered),
        cmocka_unit_test(a_transient_error_is_retried_and_not_ambiguous),
        cmocka_unit_test(a_hopeless_answer_ends_at_once),
        cmocka_unit_test(the_first_retry_is_immediate_and_later_ones_are_spread),
        cmocka_unit_test(two_seeds_back_off_apart),
        cmocka_unit_test(an_attempt_ends_by_its_timeout_or_by_the_deadline),
        cmocka_unit_test(the_deadline_reports_the_last_failure),
        cmocka_unit_test(what_fails_at_the_deadline_is_not_tried_again),
        cmocka_unit_test(a_second_attempt_has_its_own_time_and_leaves_no_old_words),
        cmocka_unit_test(a_question_that_was_never_sent_times_out),
        cmocka_unit_test(long_words_are_cut),
        cmocka_unit_test(only_what_cannot_pass_is_hopeless),
        cmocka_unit_test(jitter_stays_below_its_bound_and_takes_any_seed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
