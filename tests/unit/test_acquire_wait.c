/* SPDX-License-Identifier: MIT
 * engine/acquire, single facts: queueing, the grant's message, asking again, and the inbox. */
#include "acquire_fixture.h"

static void who_must_wait_opens_its_inbox_before_it_queues(void **state)
{
    acquire self = begun(true, false);

    (void)state;
    send(&self, t0);
    told(&self, ACQUIRE_BUSY, 5000, 0, t0 + 1000);
    assert_int_equal(self.state, ACQUIRE_SUBSCRIBING);
    assert_true(acquire_wants_inbox(&self));
    assert_false(self.is_owed);
    acquire_inbox_opened(&self, t0 + 2000);
    assert_int_equal(self.state, ACQUIRE_ASKING);
    assert_true(acquire_queues(&self));
    assert_int_equal(self.asks.state, REQUEST_READY);
}

static void an_open_inbox_spares_the_try(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    assert_int_equal(self.state, ACQUIRE_ASKING);
}

static void a_grant_s_message_ends_the_wait(void **state)
{
    acquire self = queued();

    (void)state;
    assert_true(acquire_is_waiting(&self));
    granted(&self, t0 + second_us, t0 + second_us + 500);
    assert_done(&self, REDLOCK_OK, false);
    assert_true(self.was_handed_over);
    assert_int_equal(self.held.fence, FENCE);
    assert_int_equal(self.held.kind, KIND_EXCLUSIVE);
    assert_int_equal(self.held.lease_ms, CLAIM_MS);
    assert_true(self.valid_until_us < t0 + second_us + CLAIM_MS * US_PER_MS);
}

static void a_grant_for_another_is_none_of_ours(void **state)
{
    static const grant others[] = {{.hold_id = "hold-2", .hold_id_length = 6},
                                   {.hold_id = "hold-", .hold_id_length = 5},
                                   {.hold_id = "hold-10", .hold_id_length = 7}};
    acquire self = queued();

    (void)state;
    for (int i = 0; i < 3; i++) {
        grant from = others[i];

        from.fence = FENCE;
        from.lease_ms = CLAIM_MS;
        from.server_us = t0 + offset_us + 2000;
        acquire_granted(&self, &from, t0 + 2000);
        assert_int_equal(self.state, ACQUIRE_WAITING);
    }
}

/* What a message says of nobody's kind is taken for what was asked for. */
static void a_grant_s_message_is_of_the_kind_that_was_asked_for(void **state)
{
    acquire_terms terms = waiting;
    acquire self;

    (void)state;
    terms.kind = KIND_SHARED;
    acquire_begin(&self, &terms, true, t0);
    send(&self, t0);
    told_queued(&self, 3600000, 1, t0 + 1000);
    granted(&self, t0 + second_us, t0 + second_us + 500);
    assert_done(&self, REDLOCK_OK, false);
    assert_int_equal(self.held.kind, KIND_SHARED);
}

static void a_late_grant_is_no_lock(void **state)
{
    acquire self = queued();
    int64_t late_us = t0 + 4 * second_us;

    (void)state;
    granted(&self, t0 + second_us, late_us);
    assert_int_equal(self.state, ACQUIRE_WAITING);
    assert_true(self.is_owed);
    assert_int_equal(acquire_wake_us(&self), late_us + CLAIM_MS * US_PER_MS);
    acquire_tick(&self, acquire_wake_us(&self));
    assert_int_equal(self.state, ACQUIRE_ASKING);
}

static void an_early_grant_waits_for_the_answer(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, t0);
    granted(&self, t0 + 500, t0 + 900);
    assert_int_equal(self.state, ACQUIRE_ASKING);
    told_queued(&self, 0, 1, t0 + 1000);
    assert_done(&self, REDLOCK_OK, false);
    assert_true(self.was_handed_over);
    assert_true(self.valid_until_us <= lease_valid_until(t0 + 900, CLAIM_MS));
}

static void a_grant_by_a_clock_that_leapt_counts_from_its_receipt(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, t0);
    granted(&self, t0 + 3600 * second_us, t0 + 900);
    told_queued(&self, 0, 1, t0 + 1000);
    assert_done(&self, REDLOCK_OK, false);
    assert_int_equal(self.valid_until_us, lease_valid_until(t0 + 900, CLAIM_MS));
}

static void an_early_grant_whose_answer_is_cut_counts_from_the_question(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, t0);
    granted(&self, t0 + 500, t0 + 900);
    cut(&self, t0 + second_us);
    assert_done(&self, REDLOCK_OK, false);
    assert_int_equal(self.valid_until_us, lease_valid_until(t0, CLAIM_MS));
}

static void a_grant_counts_from_the_first_question_that_may_have_queued(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, t0);
    cut(&self, t0 + 1000);
    /* Granted now; then this process sleeps for five seconds, and the message is read only
     * afterwards. */
    send(&self, t0 + 5 * second_us);
    granted(&self, t0 + 2000, t0 + 5 * second_us + 100);
    cut(&self, t0 + 5 * second_us + 200);
    assert_int_not_equal(self.state == ACQUIRE_DONE ? self.status : REDLOCK_BUSY, REDLOCK_OK);
    assert_true(self.is_owed);
}

static void an_answer_granted_to_one_that_queued_is_a_handover(void **state)
{
    acquire self = queued();

    (void)state;
    acquire_tick(&self, self.recheck_us);
    send(&self, self.recheck_us);
    told_granted(&self, CLAIM_MS, self.recheck_us + 500);
    assert_done(&self, REDLOCK_OK, false);
    assert_true(self.was_handed_over);
}

static void a_waiter_asks_again_at_the_end_of_the_lease(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, t0);
    told_queued(&self, 50, 1, t0 + 1000);
    assert_int_equal(acquire_wake_us(&self), t0 + 1000 + 51000);
    acquire_tick(&self, t0 + 51999);
    assert_int_equal(self.state, ACQUIRE_WAITING);
    acquire_tick(&self, t0 + 52000);
    assert_int_equal(self.state, ACQUIRE_ASKING);
    assert_int_equal(self.rechecks, 1);
}

/* Asked again at its recheck, and answered a millisecond later. */
static int64_t asked_again_after_us(acquire *self, int64_t lease_left_ms)
{
    int64_t now_us = self->recheck_us;

    acquire_tick(self, now_us);
    send(self, now_us);
    told_queued(self, lease_left_ms, 500, now_us + 1000);
    return self->recheck_us - now_us - 1000;
}

static void a_waiter_that_is_told_now_asks_at_once_three_times_and_then_slower(void **state)
{
    static const int64_t pauses_us[] = {0,    0,     0,     1000,  2000, 4000,
                                        8000, 16000, 32000, 64000, 64000};
    acquire self = queued();

    (void)state;
    for (int i = 0; i < 11; i++) assert_int_equal(asked_again_after_us(&self, 0), pauses_us[i]);
    assert_true(asked_again_after_us(&self, 5000) > 64000);
    assert_int_equal(asked_again_after_us(&self, 0), 0); /* any other answer begins anew */
}

static void a_lost_inbox_is_opened_again_and_the_question_asked_anew(void **state)
{
    acquire self = queued();

    (void)state;
    acquire_inbox_lost(&self, REDLOCK_ERR_CONNECT, "reset", t0 + 5000);
    assert_int_equal(self.state, ACQUIRE_SUBSCRIBING);
    assert_true(self.is_owed);
    acquire_inbox_opened(&self, t0 + 6000);
    assert_int_equal(self.state, ACQUIRE_ASKING);
}

static void an_inbox_lost_under_a_question_is_not_trusted(void **state)
{
    (void)state;
    for (int reopens = 0; reopens <= 1; reopens++) {
        acquire self = begun(true, true);

        send(&self, t0);
        acquire_inbox_lost(&self, REDLOCK_ERR_CONNECT, "reset", t0 + 100);
        if (reopens) acquire_inbox_opened(&self, t0 + 200);
        told_queued(&self, 5000, 1, t0 + 1000);
        assert_int_equal(self.state, reopens ? ACQUIRE_ASKING : ACQUIRE_SUBSCRIBING);
        assert_false(self.must_ask_again);
    }
}

/* ---- No inbox is to be had ---- */

/* Within a half and the whole of the claim it asks. */
static void expect_a_blind_question(acquire *self, int64_t since_us)
{
    int64_t again_us = acquire_wake_us(self);

    assert_int_equal(self->state, ACQUIRE_SUBSCRIBING);
    assert_in_range(again_us - since_us, CLAIM_MS * US_PER_MS / 2, CLAIM_MS * US_PER_MS);
    acquire_tick(self, again_us - 1);
    assert_int_equal(self->state, ACQUIRE_SUBSCRIBING);
    acquire_tick(self, again_us);
    assert_int_equal(self->state, ACQUIRE_ASKING);
    assert_true(acquire_wants_inbox(self));
    send(self, again_us);
}

static void who_has_no_inbox_asks_once_a_while(void **state)
{
    acquire self = begun(true, false);
    int64_t now_us = t0;

    (void)state;
    send(&self, now_us);
    told(&self, ACQUIRE_BUSY, 5000, 0, now_us);
    for (int i = 0; i < 3; i++) {
        acquire_inbox_lost(&self, REDLOCK_ERR_UNAVAILABLE, "too many clients", now_us);
        expect_a_blind_question(&self, now_us);
        now_us += CLAIM_MS * US_PER_MS;
        if (i < 2) told(&self, ACQUIRE_UNHEARD, 5000, 0, now_us);
    }
    told_granted(&self, TTL_MS, now_us);
    assert_done(&self, REDLOCK_OK, false);
    assert_int_equal(self.rechecks, 3);
    assert_int_equal(self.unheard, 0); /* of an inbox that is not there nobody is to be warned */
}

/* What was published before the inbox was there is lost. */
static void who_has_an_inbox_at_last_asks_again(void **state)
{
    acquire self = begun(true, false);

    (void)state;
    send(&self, t0);
    told(&self, ACQUIRE_BUSY, 5000, 0, t0);
    expect_a_blind_question(&self, t0);
    acquire_inbox_opened(&self, t0 + 3 * second_us);
    told_queued(&self, 5000, 1, t0 + 3 * second_us);
    assert_int_equal(self.state, ACQUIRE_ASKING);
    send(&self, t0 + 3 * second_us);
    told_queued(&self, 5000, 1, t0 + 3 * second_us);
    assert_int_equal(self.state, ACQUIRE_WAITING);
}

/* ---- The place in the line ---- */

static void an_arrival_is_kept_as_it_was_told_last(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    assert_int_equal(self.arrival_us, 0);
    send(&self, t0);
    told_queued(&self, 50, 1, t0 + 1000);
    assert_int_equal(self.arrival_us, arrival_us);
    int64_t again_us = self.recheck_us;
    acquire_tick(&self, again_us);
    send(&self, again_us);
    answer later = {
        .kind = ANSWER_CODE, .code = ACQUIRE_QUEUED, .value = {50, 1, CLAIM_MS, arrival_us + 7}};
    answered(&self, later, again_us + 1000);
    assert_int_equal(self.arrival_us, arrival_us + 7);
}

static void an_arrival_outlives_whatever_happens_to_the_question(void **state)
{
    acquire self = queued();

    (void)state;
    acquire_inbox_lost(&self, REDLOCK_ERR_CONNECT, "reset", t0 + 5000);
    acquire_inbox_opened(&self, t0 + 6000);
    send(&self, t0 + 6000);
    cut(&self, t0 + 7000);
    send(&self, t0 + 8000);
    told(&self, ACQUIRE_UNHEARD, 5000, 0, t0 + 9000);
    assert_int_equal(self.arrival_us, arrival_us);
}

/* ---- Nobody hears us there ---- */

/* Told so `times` times; a millisecond passes for each step. */
static acquire unheard(int times, int64_t *now_us)
{
    acquire self = begun(true, true);

    *now_us = t0;
    for (int i = 0; i < times; i++) {
        if (self.state == ACQUIRE_WAITING) acquire_tick(&self, *now_us = self.recheck_us);
        if (self.state == ACQUIRE_SUBSCRIBING) acquire_inbox_opened(&self, *now_us += 1000);
        self.distrusts_inbox = false; /* as the driver does that has obeyed */
        send(&self, *now_us += 1000);
        told(&self, ACQUIRE_UNHEARD, 5000, 0, *now_us += 1000);
    }
    return self;
}

static void an_inbox_that_nobody_hears_is_opened_anew_at_once(void **state)
{
    int64_t now_us;
    acquire self = unheard(1, &now_us);

    (void)state;
    assert_int_equal(self.state, ACQUIRE_SUBSCRIBING);
    assert_true(self.distrusts_inbox);
    assert_false(self.inbox_is_open);
    assert_false(self.is_queued);
    assert_true(self.is_owed); /* what an earlier question queued may be there */
    acquire_inbox_opened(&self, now_us + 1000);
    assert_int_equal(self.state, ACQUIRE_ASKING);
    assert_int_equal(self.asks.state, REQUEST_READY);
}

static void one_that_is_not_heard_again_waits_for_its_claim(void **state)
{
    (void)state;
    for (int times = 2; times <= 5; times++) {
        int64_t now_us;
        acquire self = unheard(times, &now_us);

        assert_int_equal(self.state, ACQUIRE_WAITING);
        assert_false(self.distrusts_inbox);
        assert_int_equal(self.unheard, times);
        assert_int_equal(acquire_wake_us(&self), now_us + CLAIM_MS * US_PER_MS);
        acquire_tick(&self, acquire_wake_us(&self) - 1);
        assert_int_equal(self.state, ACQUIRE_WAITING);
        acquire_tick(&self, acquire_wake_us(&self));
        assert_int_equal(self.state, ACQUIRE_SUBSCRIBING);
        assert_true(self.distrusts_inbox);
        assert_int_equal(self.rechecks, times - 1);
    }
}

static void one_that_is_heard_again_trusts_its_inbox(void **state)
{
    int64_t now_us;
    acquire self = unheard(2, &now_us);

    (void)state;
    acquire_tick(&self, now_us = self.recheck_us);
    self.distrusts_inbox = false;
    acquire_inbox_opened(&self, now_us);
    send(&self, now_us);
    told_queued(&self, 50, 1, now_us + 1000);
    assert_int_equal(self.state, ACQUIRE_WAITING);
    assert_int_equal(self.unheard, 0);
    acquire_tick(&self, self.recheck_us);
    assert_int_equal(self.state, ACQUIRE_ASKING);
    assert_false(self.distrusts_inbox);
}

static void one_that_is_not_heard_after_it_was_is_opened_anew_at_once(void **state)
{
    acquire self = queued();

    (void)state;
    acquire_tick(&self, self.recheck_us);
    send(&self, self.recheck_us);
    told(&self, ACQUIRE_UNHEARD, 5000, 0, self.recheck_us + 1000);
    assert_int_equal(self.state, ACQUIRE_SUBSCRIBING);
    assert_true(self.distrusts_inbox);
    assert_int_equal(self.unheard, 1);
}

static void a_grant_that_was_heard_all_the_same_is_taken(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, t0);
    granted(&self, t0 + 500, t0 + 900);
    told(&self, ACQUIRE_UNHEARD, 5000, 0, t0 + 1000);
    assert_done(&self, REDLOCK_OK, false);
    assert_true(self.was_handed_over);
}

static void a_grant_ends_the_wait_of_one_that_was_not_heard(void **state)
{
    int64_t now_us;
    acquire self = unheard(2, &now_us);

    (void)state;
    granted(&self, now_us, now_us + 500);
    assert_done(&self, REDLOCK_OK, false);
}

static void one_that_is_never_heard_times_out_and_is_undone(void **state)
{
    (void)state;
    for (int times = 1; times <= 3; times++) {
        int64_t now_us;
        acquire self = unheard(times, &now_us);

        acquire_tick(&self, deadline_us);
        assert_done(&self, REDLOCK_TIMED_OUT, true);
    }
}

/* ---- Ends of the inbox and of the line ---- */

static void an_inbox_that_is_denied_ends_the_wait(void **state)
{
    acquire self = queued();

    (void)state;
    acquire_inbox_lost(&self, REDLOCK_ERR_DENIED, "NOPERM", t0 + 5000);
    assert_done(&self, REDLOCK_ERR_DENIED, true);
    assert_string_equal(self.text, "NOPERM");
}

static void an_inbox_that_nobody_needs_may_be_lost(void **state)
{
    acquire self = begun(true, false);

    (void)state;
    acquire_inbox_lost(&self, REDLOCK_ERR_DENIED, "NOPERM", t0);
    assert_int_equal(self.state, ACQUIRE_TRYING);
}

static void a_full_queue_ends_the_wait(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, t0);
    told(&self, ACQUIRE_FULL, 0, 65536, t0 + 1000);
    assert_done(&self, REDLOCK_ERR_QUEUE_FULL, false);
}

static void a_full_queue_after_a_lost_reply_is_undone(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, t0);
    cut(&self, t0 + 1000);
    send(&self, t0 + 2000);
    told(&self, ACQUIRE_FULL, 0, 65536, t0 + 3000);
    assert_done(&self, REDLOCK_ERR_QUEUE_FULL, true);
}

static void a_queueing_question_is_never_just_busy(void **state)
{
    acquire self = begun(true, true);

    (void)state;
    send(&self, t0);
    told(&self, ACQUIRE_BUSY, 5000, 0, t0 + 1000);
    assert_done(&self, REDLOCK_ERR_PROTOCOL, true);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_must_wait_opens_its_inbox_before_it_queues),
        cmocka_unit_test(an_open_inbox_spares_the_try),
        cmocka_unit_test(a_grant_s_message_ends_the_wait),
        cmocka_unit_test(a_grant_for_another_is_none_of_ours),
        cmocka_unit_test(a_grant_s_message_is_of_the_kind_that_was_asked_for),
        cmocka_unit_test(a_late_grant_is_no_lock),
        cmocka_unit_test(an_early_grant_waits_for_the_answer),
        cmocka_unit_test(a_grant_by_a_clock_that_leapt_counts_from_its_receipt),
        cmocka_unit_test(an_early_grant_whose_answer_is_cut_counts_from_the_question),
        cmocka_unit_test(a_grant_counts_from_the_first_question_that_may_have_queued),
        cmocka_unit_test(an_answer_granted_to_one_that_queued_is_a_handover),
        cmocka_unit_test(a_waiter_asks_again_at_the_end_of_the_lease),
        cmocka_unit_test(a_waiter_that_is_told_now_asks_at_once_three_times_and_then_slower),
        cmocka_unit_test(a_lost_inbox_is_opened_again_and_the_question_asked_anew),
        cmocka_unit_test(an_inbox_lost_under_a_question_is_not_trusted),
        cmocka_unit_test(who_has_no_inbox_asks_once_a_while),
        cmocka_unit_test(who_has_an_inbox_at_last_asks_again),
        cmocka_unit_test(an_arrival_is_kept_as_it_was_told_last),
        cmocka_unit_test(an_arrival_outlives_whatever_happens_to_the_question),
        cmocka_unit_test(an_inbox_that_nobody_hears_is_opened_anew_at_once),
        cmocka_unit_test(one_that_is_not_heard_again_waits_for_its_claim),
        cmocka_unit_test(one_that_is_heard_again_trusts_its_inbox),
        cmocka_unit_test(one_that_is_not_heard_after_it_was_is_opened_anew_at_once),
        cmocka_unit_test(a_grant_that_was_heard_all_the_same_is_taken),
        cmocka_unit_test(a_grant_ends_the_wait_of_one_that_was_not_heard),
        cmocka_unit_test(one_that_is_never_heard_times_out_and_is_undone),
        cmocka_unit_test(an_inbox_that_is_denied_ends_the_wait),
        cmocka_unit_test(an_inbox_that_nobody_needs_may_be_lost),
        cmocka_unit_test(a_full_queue_ends_the_wait),
        cmocka_unit_test(a_full_queue_after_a_lost_reply_is_undone),
        cmocka_unit_test(a_queueing_question_is_never_just_busy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
