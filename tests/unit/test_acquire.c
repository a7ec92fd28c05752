/* SPDX-License-Identifier: MIT
 * engine/acquire, single facts: the first try, and the ends of a wait. What every sequence of
 * events must keep is walked in test_acquire_paths.c and test_acquire_rumours.c. */
#include "acquire_fixture.h"

/* ---- Trying ---- */

static void a_free_lock_is_taken_by_the_first_try(void **state)
{
    acquire self = begun(false, false);

    (void)state;
    assert_false(acquire_queues(&self));
    assert_false(acquire_wants_inbox(&self));
    send(&self, t0);
    told_granted(&self, TTL_MS, t0 + 1000);
    assert_done(&self, REDLOCK_OK, false);
    assert_int_equal(self.held.fence, FENCE);
    assert_int_equal(self.held.kind, KIND_EXCLUSIVE);
    assert_int_equal(self.held.lease_ms, TTL_MS);
    assert_false(self.was_handed_over);
}

static void a_validity_counts_from_before_the_send(void **state)
{
    acquire self = begun(false, false);

    (void)state;
    send(&self, t0);
    told_granted(&self, TTL_MS, t0 + second_us);
    assert_int_equal(self.valid_until_us, lease_valid_until(t0, TTL_MS));
}

static void a_retried_question_counts_from_its_latest_send(void **state)
{
    acquire self = begun(false, false);

    (void)state;
    send(&self, t0);
    cut(&self, t0 + second_us);
    send(&self, t0 + second_us);
    told_granted(&self, 8999, t0 + second_us + 500);
    assert_done(&self, REDLOCK_OK, false);
    assert_int_equal(self.valid_until_us, lease_valid_until(t0 + second_us, 8999));
}

static void a_taken_lock_is_busy_and_nothing_is_owed(void **state)
{
    acquire self = begun(false, false);

    (void)state;
    send(&self, t0);
    told(&self, ACQUIRE_BUSY, 5000, 0, t0 + 1000);
    assert_done(&self, REDLOCK_BUSY, false);
}

static void a_busy_after_a_lost_reply_is_undone_all_the_same(void **state)
{
    acquire self = begun(false, false);

    (void)state;
    send(&self, t0);
    cut(&self, t0 + 1000);
    send(&self, t0 + 2000);
    told(&self, ACQUIRE_BUSY, 5000, 0, t0 + 3000);
    assert_done(&self, REDLOCK_BUSY, true);
}

static void what_was_never_sent_is_not_undone(void **state)
{
    acquire self = begun(false, false);

    (void)state;
    request_refused(&self.asks, REDLOCK_ERR_CONNECT, "refused", t0);
    acquire_asked(&self, t0);
    acquire_tick(&self, deadline_us);
    assert_done(&self, REDLOCK_ERR_CONNECT, false);
    assert_string_equal(self.text, "refused");
}

static void a_lock_obtained_too_late_to_try_is_undone(void **state)
{
    acquire self = begun(false, false);

    (void)state;
    send(&self, t0);
    told_granted(&self, 100, t0 + second_us);
    assert_done(&self, REDLOCK_ERR_TIMEOUT, true);
}

static void a_try_never_queues_whatever_the_server_says(void **state)
{
    (void)state;
    for (int inbox_is_open = 0; inbox_is_open <= 1; inbox_is_open++) {
        acquire self = begun(false, inbox_is_open);

        send(&self, t0);
        told_queued(&self, 5000, 1, t0 + 1000);
        assert_done(&self, REDLOCK_ERR_PROTOCOL, true);
    }
}

/* A try names no inbox that could be deaf. */
static void a_try_is_never_told_that_nobody_hears_it(void **state)
{
    acquire self = begun(true, false);

    (void)state;
    send(&self, t0);
    told(&self, ACQUIRE_UNHEARD, 5000, 0, t0 + 1000);
    assert_done(&self, REDLOCK_ERR_PROTOCOL, true);
}

static void an_unknown_code_is_a_broken_protocol(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, t0);
    told(&self, 99, 1, 1, t0 + 1000);
    assert_done(&self, REDLOCK_ERR_PROTOCOL, true);
}

static void a_wait_for_oneself_is_refused_at_once(void **state)
{
    (void)state;
    for (int may_wait = 0; may_wait <= 1; may_wait++) {
        acquire self = begun(may_wait, true);

        send(&self, t0);
        told(&self, ACQUIRE_DEADLOCK, 0, 0, t0 + 1000);
        assert_done(&self, REDLOCK_DEADLOCK, false);
        assert_string_equal(self.text, "");
    }
}

static void a_deadlock_after_a_lost_reply_is_undone_all_the_same(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, t0);
    cut(&self, t0 + 1000);
    send(&self, t0 + 2000);
    told(&self, ACQUIRE_DEADLOCK, 0, 0, t0 + 3000);
    assert_done(&self, REDLOCK_DEADLOCK, true);
}

/* The owner took the lock elsewhere while we were waiting for it: our place in the queue is still
 * there. */
static void a_waiter_that_learns_of_a_deadlock_leaves_the_queue(void **state)
{
    acquire self = queued();

    (void)state;
    acquire_tick(&self, self.recheck_us);
    send(&self, self.recheck_us);
    told(&self, ACQUIRE_DEADLOCK, 0, 0, self.recheck_us + 1000);
    assert_done(&self, REDLOCK_DEADLOCK, true);
}

static void assert_breaks_the_protocol(int64_t code, int64_t server_us,
                                       const int64_t value[ANSWER_VALUES])
{
    acquire self = begun(true, true);
    answer from = {.kind = ANSWER_CODE, .code = code, .server_us = server_us};

    for (int j = 0; j < ANSWER_VALUES; j++) from.value[j] = value[j];
    send(&self, t0);
    request_answered(&self.asks, &from, t0 + 1000);
    acquire_asked(&self, t0 + 1000);
    assert_done(&self, REDLOCK_ERR_PROTOCOL, true);
}

static void a_number_that_no_script_says_is_a_broken_protocol(void **state)
{
    static const int64_t too_large = (INT64_C(1) << 53) + 1;
    const struct {
        int64_t code, value[ANSWER_VALUES];
    } insane[] = {{ACQUIRE_GRANTED, {0, 1, TTL_MS}},
                  {ACQUIRE_GRANTED, {-1, 1, TTL_MS}},
                  {ACQUIRE_GRANTED, {FENCE_MOST + 1, 1, TTL_MS}},
                  {ACQUIRE_GRANTED, {FENCE, 0, TTL_MS}},
                  {ACQUIRE_GRANTED, {FENCE, 3, TTL_MS}},
                  {ACQUIRE_GRANTED, {FENCE, 1, -1}},
                  {ACQUIRE_GRANTED, {FENCE, 1, 0}},
                  {ACQUIRE_GRANTED, {FENCE, 1, SPAN_MOST + 1}},
                  {ACQUIRE_QUEUED, {-1, 1, CLAIM_MS, arrival_us}},
                  {ACQUIRE_QUEUED, {SPAN_MOST + 1, 1, CLAIM_MS, arrival_us}},
                  {ACQUIRE_QUEUED, {5000, 0, CLAIM_MS, arrival_us}},
                  {ACQUIRE_QUEUED, {5000, -1, CLAIM_MS, arrival_us}},
                  {ACQUIRE_QUEUED, {5000, too_large, CLAIM_MS, arrival_us}},
                  {ACQUIRE_QUEUED, {5000, 1, -1, arrival_us}},
                  {ACQUIRE_QUEUED, {5000, 1, SPAN_MOST + 1, arrival_us}},
                  {ACQUIRE_QUEUED, {5000, 1, CLAIM_MS, 0}},
                  {ACQUIRE_QUEUED, {5000, 1, CLAIM_MS, READER_BAND - 1}},
                  {ACQUIRE_QUEUED, {5000, 1, CLAIM_MS, WRITER_BAND}}};

    (void)state;
    for (size_t i = 0; i < sizeof insane / sizeof *insane; i++)
        assert_breaks_the_protocol(insane[i].code, t0 + offset_us, insane[i].value);
}

static void an_answer_without_the_server_s_clock_is_a_broken_protocol(void **state)
{
    static const int64_t none[] = {0, -1, (INT64_C(1) << 53) + 1};
    const int64_t granted_so[ANSWER_VALUES] = {FENCE, 1, TTL_MS};
    const int64_t queued_so[ANSWER_VALUES] = {5000, 1, CLAIM_MS, arrival_us};

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_breaks_the_protocol(ACQUIRE_GRANTED, none[i], granted_so);
        assert_breaks_the_protocol(ACQUIRE_QUEUED, none[i], queued_so);
    }
}

static void the_ends_of_what_a_script_says_are_believed(void **state)
{
    const int64_t least[ANSWER_VALUES] = {0, 1, 0, READER_BAND};
    const int64_t most[ANSWER_VALUES] = {SPAN_MOST, INT32_MAX, SPAN_MOST, WRITER_BAND - 1};

    (void)state;
    for (int i = 0; i < 2; i++) {
        acquire self = begun(true, true);
        answer from = {.kind = ANSWER_CODE, .code = ACQUIRE_QUEUED};

        for (int j = 0; j < ANSWER_VALUES; j++) from.value[j] = i == 0 ? least[j] : most[j];
        send(&self, t0);
        answered(&self, from, t0 + 1000);
        assert_int_equal(self.state, ACQUIRE_WAITING);
        assert_int_equal(self.arrival_us, i == 0 ? READER_BAND : WRITER_BAND - 1);
    }
}

/* Our hold id is buried once we have given it up: an answer to that is for nobody who still
 * asks. */
static void a_buried_id_is_a_broken_protocol(void **state)
{
    (void)state;
    for (int queues = 0; queues <= 1; queues++) {
        acquire self = begun(queues, queues);

        send(&self, t0);
        told(&self, ACQUIRE_BURIED, 0, 0, t0 + 1000);
        assert_done(&self, REDLOCK_ERR_PROTOCOL, true);
    }
}

static void a_key_of_another_layout_ends_it(void **state)
{
    (void)state;
    for (int queues = 0; queues <= 1; queues++) {
        acquire self = begun(queues, queues);

        send(&self, t0);
        told(&self, CODE_FOREIGN, 0, 0, t0 + 1000);
        assert_done(&self, REDLOCK_ERR_LAYOUT, true);
    }
}

static void when_more_are_to_be_served_it_asks_again_at_once(void **state)
{
    (void)state;
    for (int queues = 0; queues <= 1; queues++) {
        acquire self = begun(queues, queues);
        enum acquire_state before = self.state;

        send(&self, t0);
        told(&self, CODE_MORE, 0, 0, t0 + 1000);
        assert_int_equal(self.state, before);
        assert_int_equal(self.asks.state, REQUEST_READY);
        assert_int_equal(acquire_unanswered_us(&self), 0);
        send(&self, t0 + 2000);
        told_granted(&self, TTL_MS, t0 + 3000);
        assert_done(&self, REDLOCK_OK, false);
        assert_int_equal(self.valid_until_us, lease_valid_until(t0 + 2000, TTL_MS));
    }
}

static void a_hold_has_the_kind_that_the_server_tells(void **state)
{
    acquire self = begun(false, false);

    (void)state;
    send(&self, t0);
    answered(&self,
             (answer){.kind = ANSWER_CODE, .code = ACQUIRE_GRANTED, .value = {FENCE, 2, TTL_MS}},
             t0 + 1000);
    assert_done(&self, REDLOCK_OK, false);
    assert_int_equal(self.held.kind, KIND_SHARED);
}

/* ---- What may still be carried out ---- */

static void a_question_is_unanswered_until_it_is_answered(void **state)
{
    acquire self = begun(false, false);

    (void)state;
    assert_int_equal(acquire_unanswered_us(&self), 0);
    send(&self, t0);
    assert_int_equal(acquire_unanswered_us(&self), t0);
    told_granted(&self, TTL_MS, t0 + 1000);
    assert_int_equal(acquire_unanswered_us(&self), 0);
}

static void a_question_that_was_cut_stays_unanswered(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, t0);
    cut(&self, t0 + 1000);
    assert_int_equal(acquire_unanswered_us(&self), t0);
    send(&self, t0 + 2000);
    assert_int_equal(acquire_unanswered_us(&self), t0 + 2000);
    told_queued(&self, 3600000, 1, t0 + 3000);
    assert_int_equal(acquire_unanswered_us(&self), t0);
    acquire_tick(&self, self.recheck_us); /* another question, that is answered */
    send(&self, self.recheck_us);
    told_granted(&self, CLAIM_MS, self.recheck_us + 1000);
    assert_done(&self, REDLOCK_OK, false);
    assert_int_equal(acquire_unanswered_us(&self), t0);
}

static void the_latest_of_those_that_were_cut_counts(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, t0);
    cut(&self, t0 + 1000);
    send(&self, t0 + 2000);
    told_queued(&self, 50, 1, t0 + 3000);
    int64_t again_us = self.recheck_us;
    acquire_tick(&self, again_us);
    send(&self, again_us);
    cut(&self, again_us + 1000);
    assert_int_equal(acquire_unanswered_us(&self), again_us);
    acquire_stop(&self, REDLOCK_CANCELLED, again_us + 2000);
    assert_int_equal(acquire_unanswered_us(&self), again_us);
}

static void who_stops_under_a_question_leaves_it_unanswered(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, t0);
    acquire_stop(&self, REDLOCK_CANCELLED, t0 + 1000);
    assert_done(&self, REDLOCK_CANCELLED, true);
    assert_int_equal(acquire_unanswered_us(&self), t0);
}

static void a_question_that_was_refused_is_none(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    request_refused(&self.asks, REDLOCK_ERR_CONNECT, "refused", t0);
    acquire_asked(&self, t0);
    assert_int_equal(acquire_unanswered_us(&self), 0);
    send(&self, t0 + 1000);
    refuse(&self, ANSWER_TRANSIENT, t0 + 2000);
    assert_int_equal(acquire_unanswered_us(&self), 0);
}

static void a_busy_try_that_follows_a_cut_one_is_owed_through_the_wait(void **state)
{
    acquire self = begun(true, false);

    (void)state;
    send(&self, t0);
    cut(&self, t0 + 1000);
    send(&self, t0 + 2000);
    told(&self, ACQUIRE_BUSY, 5000, 0, t0 + 3000);
    assert_int_equal(self.state, ACQUIRE_SUBSCRIBING);
    assert_int_equal(acquire_unanswered_us(&self), t0);
    acquire_stop(&self, REDLOCK_CANCELLED, t0 + 4000);
    assert_done(&self, REDLOCK_CANCELLED, true);
    assert_int_equal(acquire_unanswered_us(&self), t0);
}

static void a_lease_longer_than_was_asked_for_is_not_believed(void **state)
{
    acquire self = begun(false, false);

    (void)state;
    send(&self, t0);
    told_granted(&self, 10 * TTL_MS, t0 + 1000);
    assert_int_equal(self.held.lease_ms, TTL_MS);
    assert_int_equal(self.valid_until_us, lease_valid_until(t0, TTL_MS));
}

/* ---- Ends ---- */

static void a_wait_that_ends_in_the_queue_timed_out_and_is_undone(void **state)
{
    acquire self = queued();

    (void)state;
    acquire_tick(&self, deadline_us - 1);
    acquire_tick(&self, deadline_us);
    if (self.state == ACQUIRE_ASKING) acquire_tick(&self, deadline_us);
    assert_done(&self, REDLOCK_TIMED_OUT, true);
}

static void a_wait_reports_the_last_failure(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, t0);
    cut(&self, t0 + 1000);
    send(&self, t0 + 2000);
    refuse(&self, ANSWER_TRANSIENT, t0 + 3000);
    acquire_tick(&self, deadline_us);
    assert_done(&self, REDLOCK_ERR_UNAVAILABLE, true);
    assert_string_equal(self.text, "words");
}

static void a_failure_that_has_passed_leaves_no_words(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, t0);
    cut(&self, t0 + 1000);
    assert_string_equal(self.text, "no answer");
    send(&self, t0 + 2000);
    told(&self, ACQUIRE_FULL, 0, 65536, t0 + 3000);
    assert_int_equal(self.status, REDLOCK_ERR_QUEUE_FULL);
    assert_string_equal(self.text, "");
}

static void a_wait_that_recovered_reports_that_it_timed_out(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, t0);
    cut(&self, t0 + 1000);
    send(&self, t0 + 2000);
    told_queued(&self, 3600000, 1, t0 + 3000);
    self.recheck_us = NEVER;
    acquire_tick(&self, deadline_us);
    assert_done(&self, REDLOCK_TIMED_OUT, true);
}

static void the_deadline_leaves_a_question_in_flight_its_answer(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, deadline_us - 1000);
    acquire_tick(&self, deadline_us);
    assert_int_equal(self.state, ACQUIRE_ASKING);
    assert_int_equal(request_attempt_deadline_us(&self.asks), deadline_us);
    told_granted(&self, TTL_MS, deadline_us);
    assert_done(&self, REDLOCK_OK, false);
}

static void a_cut_at_the_deadline_ends_the_wait(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, deadline_us - 1000);
    cut(&self, deadline_us);
    assert_done(&self, REDLOCK_ERR_TIMEOUT, true);
}

static void a_cancelled_waiter_is_undone(void **state)
{
    acquire self = queued(), unsent = begun(true, true);

    (void)state;
    acquire_stop(&self, REDLOCK_CANCELLED, t0 + 5000);
    assert_done(&self, REDLOCK_CANCELLED, true);
    acquire_stop(&unsent, REDLOCK_ERR_CLOSED, t0);
    assert_done(&unsent, REDLOCK_ERR_CLOSED, false);
}

static void a_cancel_with_a_grant_in_hand_gives_it_back(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, t0);
    granted(&self, t0 + 500, t0 + 900);
    acquire_stop(&self, REDLOCK_CANCELLED, t0 + 950);
    assert_done(&self, REDLOCK_CANCELLED, true);
}

static void what_is_done_stays_done(void **state)
{
    acquire self = queued();

    (void)state;
    granted(&self, t0 + second_us, t0 + second_us);
    acquire_stop(&self, REDLOCK_CANCELLED, t0 + second_us);
    acquire_inbox_lost(&self, REDLOCK_ERR_DENIED, "", t0 + second_us);
    acquire_inbox_opened(&self, t0 + second_us);
    granted(&self, t0 + second_us, t0 + 90 * second_us);
    acquire_tick(&self, deadline_us + 1);
    acquire_asked(&self, deadline_us + 1);
    assert_done(&self, REDLOCK_OK, false);
}

static void an_endless_wait_has_no_deadline(void **state)
{
    acquire_terms terms = waiting;
    acquire self;

    (void)state;
    terms.wait_until_us = terms.deadline_us = NEVER;
    acquire_begin(&self, &terms, true, t0);
    assert_true(acquire_wake_us(&self) == NEVER);
    send(&self, t0);
    assert_int_equal(request_attempt_deadline_us(&self.asks), t0 + terms.timeout_us);
    told_queued(&self, 3600000, 1, t0 + 1000);
    assert_true(acquire_wake_us(&self) <= t0 + 1000 + CLAIM_MS * US_PER_MS);
}

/* ---- A wait that is shorter than a round trip ---- */

static void a_short_wait_takes_a_free_lock_over_the_slowest_link(void **state)
{
    (void)state;
    for (int inbox_is_open = 0; inbox_is_open <= 1; inbox_is_open++) {
        acquire self = begun_briefly(inbox_is_open, false);

        send(&self, t0);
        assert_int_equal(acquire_wake_us(&self), brief_deadline_us);
        assert_int_equal(request_attempt_deadline_us(&self.asks), brief_deadline_us);
        acquire_tick(&self, brief_wait_until_us);
        told_granted(&self, TTL_MS, brief_deadline_us - 1);
        assert_done(&self, REDLOCK_OK, false);
    }
}

static void a_short_wait_for_a_taken_lock_is_over_with_its_first_answer(void **state)
{
    (void)state;
    for (int inbox_is_open = 0; inbox_is_open <= 1; inbox_is_open++) {
        acquire self = begun_briefly(inbox_is_open, false);

        send(&self, t0);
        if (inbox_is_open) told_queued(&self, 5000, 1, t0 + 20000);
        else told(&self, ACQUIRE_BUSY, 5000, 1, t0 + 20000);
        assert_true(acquire_wake_us(&self) <= t0 + 20000);
        acquire_tick(&self, t0 + 20000);
        assert_done(&self, REDLOCK_TIMED_OUT, inbox_is_open);
    }
}

static void a_short_wait_without_a_server_lasts_as_long_as_a_try(void **state)
{
    acquire self = begun_briefly(false, false);

    (void)state;
    request_refused(&self.asks, REDLOCK_ERR_CONNECT, "refused", t0);
    acquire_asked(&self, t0);
    acquire_tick(&self, brief_wait_until_us);
    assert_int_equal(self.state, ACQUIRE_TRYING);
    acquire_tick(&self, brief_deadline_us);
    assert_done(&self, REDLOCK_ERR_CONNECT, false);
}

static void a_failure_is_no_answer_that_ends_a_short_wait(void **state)
{
    acquire self = begun_briefly(true, false);

    (void)state;
    send(&self, t0);
    refuse(&self, ANSWER_TRANSIENT, t0 + 20000);
    acquire_tick(&self, t0 + 20000);
    assert_int_equal(self.state, ACQUIRE_ASKING);
    send(&self, t0 + 20000);
    cut(&self, t0 + 30000);
    acquire_tick(&self, t0 + 30000);
    send(&self, t0 + 40000);
    told_granted(&self, TTL_MS, t0 + 50000);
    assert_done(&self, REDLOCK_OK, false);
}

static void a_short_wait_asks_though_its_inbox_took_longer(void **state)
{
    acquire self = begun_briefly(false, true);

    (void)state;
    acquire_tick(&self, t0 + 60000);
    assert_int_equal(self.state, ACQUIRE_SUBSCRIBING);
    acquire_inbox_opened(&self, t0 + 60000);
    acquire_tick(&self, t0 + 60000);
    send(&self, t0 + 60000);
    assert_int_equal(request_attempt_deadline_us(&self.asks), brief_deadline_us);
    told_granted(&self, TTL_MS, t0 + 80000);
    assert_done(&self, REDLOCK_OK, false);
}

static void a_grant_that_came_too_late_was_an_answer_too(void **state)
{
    acquire self = begun_briefly(true, false);

    (void)state;
    self.terms.deadline_us += 60 * second_us;
    send(&self, t0);
    cut(&self, t0 + 500);
    granted(&self, t0 + 600, t0 + 5 * second_us);
    assert_int_equal(self.state, ACQUIRE_WAITING);
    acquire_tick(&self, t0 + 5 * second_us);
    assert_int_equal(self.state, ACQUIRE_DONE);
    assert_true(self.is_owed);
}

static void the_end_of_the_wait_ends_a_later_question(void **state)
{
    acquire_terms terms = waiting;
    acquire self;

    (void)state;
    terms.deadline_us += 9 * second_us;
    acquire_begin(&self, &terms, true, t0);
    send(&self, t0);
    told_queued(&self, 3600000, 1, t0 + 1000);
    self.recheck_us = terms.wait_until_us - 1000;
    acquire_tick(&self, self.recheck_us);
    send(&self, self.recheck_us);
    assert_int_equal(acquire_wake_us(&self), terms.wait_until_us);
    assert_int_equal(request_attempt_deadline_us(&self.asks), terms.wait_until_us);
    cut(&self, terms.wait_until_us);
    assert_done(&self, REDLOCK_TIMED_OUT, true);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_free_lock_is_taken_by_the_first_try),
    cmocka_unit_test(a_validity_counts_from_before_the_send),
    cmocka_unit_test(a_retried_question_counts_from_its_latest_send),
    cmocka_unit_test(a_taken_lock_is_busy_and_nothing_is_owed),
    cmocka_unit_test(a_busy_after_a_lost_reply_is_undone_all_the_same),
    cmocka_unit_test(what_was_never_sent_is_not_undone),
    cmocka_unit_test(a_lock_obtained_too_late_to_try_is_undone),
    cmocka_unit_test(a_try_never_queues_whatever_the_server_says),
    cmocka_unit_test(a_try_is_never_told_that_nobody_hears_it),
    cmocka_unit_test(an_unknown_code_is_a_broken_protocol),
    cmocka_unit_test(a_wait_for_oneself_is_refused_at_once),
    cmocka_unit_test(a_deadlock_after_a_lost_reply_is_undone_all_the_same),
    cmocka_unit_test(a_waiter_that_learns_of_a_deadlock_leaves_the_queue),
    cmocka_unit_test(a_number_that_no_script_says_is_a_broken_protocol),
    cmocka_unit_test(an_answer_without_the_server_s_clock_is_a_broken_protocol),
    cmocka_unit_test(the_ends_of_what_a_script_says_are_believed),
    cmocka_unit_test(a_buried_id_is_a_broken_protocol),
    cmocka_unit_test(a_key_of_another_layout_ends_it),
    cmocka_unit_test(when_more_are_to_be_served_it_asks_again_at_once),
    cmocka_unit_test(a_hold_has_the_kind_that_the_server_tells),
    cmocka_unit_test(a_question_is_unanswered_until_it_is_answered),
    cmocka_unit_test(a_question_that_was_cut_stays_unanswered),
    cmocka_unit_test(the_latest_of_those_that_were_cut_counts),
    cmocka_unit_test(who_stops_under_a_question_leaves_it_unanswered),
    cmocka_unit_test(a_question_that_was_refused_is_none),
    cmocka_unit_test(a_busy_try_that_follows_a_cut_one_is_owed_through_the_wait),
    cmocka_unit_test(a_lease_longer_than_was_asked_for_is_not_believed),
    cmocka_unit_test(a_wait_that_ends_in_the_queue_timed_out_and_is_undone),
    cmocka_unit_test(a_wait_reports_the_last_failure),
    cmocka_unit_test(a_failure_that_has_passed_leaves_no_words),
    cmocka_unit_test(a_wait_that_recovered_reports_that_it_timed_out),
    cmocka_unit_test(the_deadline_leaves_a_question_in_flight_its_answer),
    cmocka_unit_test(a_cut_at_the_deadline_ends_the_wait),
    cmocka_unit_test(a_cancelled_waiter_is_undone),
    cmocka_unit_test(a_cancel_with_a_grant_in_hand_gives_it_back),
    cmocka_unit_test(what_is_done_stays_done),
    cmocka_unit_test(an_endless_wait_has_no_deadline),
    cmocka_unit_test(a_short_wait_takes_a_free_lock_over_the_slowest_link),
    cmocka_unit_test(a_short_wait_for_a_taken_lock_is_over_with_its_first_answer),
    cmocka_unit_test(a_short_wait_without_a_server_lasts_as_long_as_a_try),
    cmocka_unit_test(a_failure_is_no_answer_that_ends_a_short_wait),
    cmocka_unit_test(a_short_wait_asks_though_its_inbox_took_longer),
    cmocka_unit_test(a_grant_that_came_too_late_was_an_answer_too),
    cmocka_unit_test(the_end_of_the_wait_ends_a_later_question),
};

int main(void) { return cmocka_run_group_tests(tests, NULL, NULL); }
