/* SPDX-License-Identifier: MIT
 * engine/hold: when a held lock is renewed, for how long, and when it is over. Time is virtual. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/hold.h"
#include "engine/lease.h"

static const int64_t now_us = 1000000000, second_us = 1000000;
enum { TTL_MS = 30000, CLAIM_MS = 2000 };

static hold begun(int64_t lease_ms, bool auto_renew, int64_t max_hold_ms)
{
    hold self;

    hold_begin(&self, TTL_MS, lease_ms, lease_valid_until(now_us, lease_ms), auto_renew,
               max_hold_ms, now_us, 5);
    return self;
}

static int64_t valid_until(const hold *self) { return atomic_load(&self->valid_until_us); }

static void a_lock_without_renewal_rests_until_it_is_over(void **state)
{
    hold self = begun(TTL_MS, false, 0);

    (void)state;
    assert_int_equal(hold_wake_us(&self), valid_until(&self));
    assert_int_equal(hold_slack_us(&self), 0);
    assert_int_equal(hold_due(&self, valid_until(&self) - 1), HOLD_RESTS);
    assert_int_equal(hold_due(&self, valid_until(&self)), HOLD_IS_OVER);
}

static void a_renewal_is_due_at_a_third_of_the_ttl(void **state)
{
    hold self = begun(TTL_MS, true, 0);

    (void)state;
    assert_true(hold_wake_us(&self) <= now_us + 10 * second_us);
    assert_true(hold_wake_us(&self) > now_us + 9 * second_us);
    assert_int_equal(hold_due(&self, hold_wake_us(&self)), HOLD_RENEWS);
    assert_int_equal(hold_due(&self, hold_wake_us(&self) - hold_slack_us(&self) - 1), HOLD_RESTS);
}

static void locks_that_begin_together_are_renewed_apart(void **state)
{
    hold a, b;

    (void)state;
    hold_begin(&a, TTL_MS, TTL_MS, lease_valid_until(now_us, TTL_MS), true, 0, now_us, 5);
    hold_begin(&b, TTL_MS, TTL_MS, lease_valid_until(now_us, TTL_MS), true, 0, now_us, 6);
    assert_true(a.renew_at_us != b.renew_at_us);
}

static void a_renewal_may_leave_a_little_early_to_travel_with_others(void **state)
{
    hold self = begun(TTL_MS, true, 0);

    (void)state;
    assert_int_equal(hold_slack_us(&self), 50000);
    assert_int_equal(hold_due(&self, hold_wake_us(&self) - 50000), HOLD_RENEWS);
    self.ttl_ms = 240;
    assert_int_equal(hold_slack_us(&self), 10000);
}

static void a_renewal_asks_for_the_whole_ttl_once(void **state)
{
    hold self = begun(TTL_MS, true, 0);

    (void)state;
    assert_int_equal(hold_renew(&self, hold_wake_us(&self)), TTL_MS);
    assert_true(self.renew_at_us == NEVER);
    assert_int_equal(hold_wake_us(&self), valid_until(&self));
}

static void an_answered_renewal_moves_everything_to_the_right(void **state)
{
    hold self = begun(TTL_MS, true, 0);
    int64_t sent_us = now_us + 10 * second_us;

    (void)state;
    hold_renew(&self, sent_us);
    hold_renewed(&self, sent_us, TTL_MS);
    assert_int_equal(valid_until(&self), lease_valid_until(sent_us, TTL_MS));
    assert_true(hold_wake_us(&self) > sent_us + 9 * second_us);
    assert_true(hold_wake_us(&self) <= sent_us + 10 * second_us);
}

static void a_renewal_never_moves_validity_back(void **state)
{
    hold self = begun(TTL_MS, true, 0);
    int64_t before_us = valid_until(&self);

    (void)state;
    hold_renewed(&self, now_us + second_us, 20000);
    assert_int_equal(valid_until(&self), before_us);
    hold_extended(&self, now_us + second_us, 5);
    assert_int_equal(valid_until(&self), before_us);
}

static void a_failed_renewal_is_retried_ever_later(void **state)
{
    hold self = begun(TTL_MS, true, 0);
    int64_t longest_us = 0;

    (void)state;
    for (int i = 0; i < 100; i++) {
        hold_renew(&self, now_us);
        hold_retry(&self, 0, now_us);
        int64_t after_us = self.renew_at_us - now_us;

        assert_true(after_us >= 2500);
        if (i < 4) assert_true(after_us < (7500 << i));
        if (after_us > longest_us) longest_us = after_us;
    }
    assert_true(longest_us > second_us);
    assert_true(longest_us < second_us + second_us / 2);
}

static void a_retry_is_not_made_before_its_time(void **state)
{
    hold self = begun(TTL_MS, true, 0);

    (void)state;
    hold_renew(&self, now_us);
    hold_retry(&self, 0, now_us);
    assert_int_equal(hold_due(&self, now_us), HOLD_RESTS);
    assert_int_equal(hold_due(&self, hold_wake_us(&self) - 1), HOLD_RESTS);
    assert_int_equal(hold_due(&self, hold_wake_us(&self)), HOLD_RENEWS);
}

static void a_retry_waits_for_the_connection(void **state)
{
    hold self = begun(TTL_MS, true, 0);

    (void)state;
    hold_renew(&self, now_us);
    hold_retry(&self, now_us + 3 * second_us, now_us);
    assert_int_equal(self.renew_at_us, now_us + 3 * second_us);
}

static void a_short_ttl_is_retried_several_times_before_it_ends(void **state)
{
    hold self;
    int64_t at_us = now_us;
    int tries = 0;

    (void)state;
    hold_begin(&self, 24, 24, lease_valid_until(now_us, 24), true, 0, now_us, 5);
    for (; hold_due(&self, at_us) != HOLD_IS_OVER; at_us = hold_wake_us(&self)) {
        if (hold_due(&self, at_us) != HOLD_RENEWS) continue;
        tries++;
        hold_renew(&self, at_us);
        hold_retry(&self, 0, at_us);
    }
    assert_true(tries >= 4);
    assert_true(tries <= 20);
}

static void an_answer_forgets_the_failures(void **state)
{
    hold self = begun(TTL_MS, true, 0);

    (void)state;
    for (int i = 0; i < 10; i++) hold_retry(&self, 0, now_us);
    hold_renewed(&self, now_us, TTL_MS);
    hold_retry(&self, 0, now_us);
    assert_true(self.renew_at_us < now_us + 7500);
}

static void a_lock_is_over_at_its_validity_whatever_is_retried(void **state)
{
    hold self = begun(TTL_MS, true, 0);

    (void)state;
    hold_retry(&self, valid_until(&self) + second_us, now_us);
    assert_int_equal(hold_wake_us(&self), valid_until(&self));
    assert_int_equal(hold_due(&self, valid_until(&self)), HOLD_IS_OVER);
}

static void a_claim_is_stretched_once_to_what_the_ttl_would_have_given(void **state)
{
    hold self = begun(CLAIM_MS, false, 0);
    int64_t at_us = hold_wake_us(&self);

    (void)state;
    assert_true(at_us < now_us + CLAIM_MS * US_PER_MS / 3 + 1);
    assert_int_equal(hold_renew(&self, at_us), (now_us + TTL_MS * US_PER_MS - at_us) / US_PER_MS);
    hold_renewed(&self, at_us, (now_us + TTL_MS * US_PER_MS - at_us) / US_PER_MS);
    assert_true(self.renew_at_us == NEVER);
    assert_true(valid_until(&self) <= now_us + TTL_MS * US_PER_MS);
    assert_int_equal(hold_wake_us(&self), valid_until(&self));
}

static void a_claim_that_was_read_late_is_renewed_before_it_ends(void **state)
{
    hold self;
    int64_t valid_us = now_us + 300000; /* most of the claim was gone when the message was read */

    (void)state;
    hold_begin(&self, TTL_MS, CLAIM_MS, valid_us, true, 0, now_us, 5);
    assert_true(hold_wake_us(&self) < valid_us);
    assert_int_equal(hold_due(&self, hold_wake_us(&self)), HOLD_RENEWS);
}

static void a_short_extension_does_not_cancel_the_stretching_of_a_claim(void **state)
{
    hold self = begun(CLAIM_MS, false, 0);

    (void)state;
    hold_extended(&self, now_us + 1000, CLAIM_MS);
    assert_true(hold_wake_us(&self) < valid_until(&self));
    assert_int_equal(hold_due(&self, hold_wake_us(&self)), HOLD_RENEWS);
}

static void nothing_is_renewed_past_the_maximum_hold(void **state)
{
    hold self = begun(TTL_MS, true, 60000);
    int64_t end_us = now_us + 60 * second_us, at_us;
    int renewals = 0;

    (void)state;
    while (hold_due(&self, at_us = hold_wake_us(&self)) == HOLD_RENEWS) {
        int64_t asked_ms = hold_renew(&self, at_us);

        assert_true(at_us + asked_ms * US_PER_MS <= end_us);
        if (asked_ms > 0) hold_renewed(&self, at_us, asked_ms);
        assert_true(++renewals < 50);
    }
    assert_int_equal(hold_due(&self, at_us), HOLD_IS_OVER);
    assert_true(at_us > end_us - second_us);
    assert_true(at_us <= end_us);
}

static void a_maximum_hold_may_count_from_a_later_instant(void **state)
{
    hold self = begun(TTL_MS, true, 0);
    int64_t bound_us = now_us + 5 * second_us;

    (void)state;
    hold_bound(&self, 40000, bound_us);
    assert_int_equal(valid_until(&self), lease_valid_until(now_us, TTL_MS));
    assert_int_equal(hold_due(&self, hold_wake_us(&self)), HOLD_RENEWS);
    assert_int_equal(hold_renew(&self, bound_us + 39 * second_us), 1000);
    assert_true(hold_renew(&self, bound_us + 40 * second_us) <= 0);
}

static void past_the_maximum_hold_there_is_nothing_to_ask(void **state)
{
    hold self = begun(TTL_MS, true, 40000);

    (void)state;
    assert_true(hold_renew(&self, now_us + 40 * second_us) <= 0);
    assert_true(hold_renew(&self, now_us + 41 * second_us) <= 0);
}

static void past_the_maximum_hold_only_the_end_is_waited_for(void **state)
{
    hold self = begun(TTL_MS, true, 10000);

    (void)state;
    hold_retry(&self, now_us + 11 * second_us, now_us);
    assert_int_equal(hold_wake_us(&self), valid_until(&self));
}

static void an_extension_moves_the_maximum_hold(void **state)
{
    hold self = begun(TTL_MS, true, 40000);
    int64_t sent_us = now_us + 39 * second_us;

    (void)state;
    hold_extended(&self, sent_us, 90000);
    assert_int_equal(valid_until(&self), lease_valid_until(sent_us, 90000));
    assert_int_equal(hold_renew(&self, sent_us + 10 * second_us), TTL_MS);
    assert_int_equal(hold_renew(&self, sent_us + 80 * second_us), 10000);
}

static void an_extension_of_a_lock_without_renewal_is_the_last(void **state)
{
    hold self = begun(TTL_MS, false, 0);

    (void)state;
    hold_extended(&self, now_us + second_us, 60000);
    assert_true(self.renew_at_us == NEVER);
    assert_int_equal(hold_wake_us(&self), lease_valid_until(now_us + second_us, 60000));
}

static void a_hold_that_is_no_longer_renewed_lasts_as_long_as_its_lease(void **state)
{
    hold self = begun(TTL_MS, true, 0);
    int64_t until_us = valid_until(&self);

    (void)state;
    hold_end_renewal(&self);
    assert_false(self.auto_renew);
    assert_true(self.renew_at_us == NEVER);
    assert_int_equal(valid_until(&self), until_us);
    assert_int_equal(hold_wake_us(&self), until_us);
    assert_int_equal(hold_due(&self, until_us - 1), HOLD_RESTS);
    assert_int_equal(hold_due(&self, until_us), HOLD_IS_OVER);
}

/* The answer of a renewal that was out counts, but brings no further one. */
static void a_renewal_under_way_is_the_last_once_there_are_to_be_none(void **state)
{
    hold self = begun(TTL_MS, true, 0);
    int64_t sent_us = now_us + 10 * second_us;

    (void)state;
    hold_renew(&self, sent_us);
    hold_end_renewal(&self);
    hold_renewed(&self, sent_us, TTL_MS);
    assert_int_equal(valid_until(&self), lease_valid_until(sent_us, TTL_MS));
    assert_true(self.renew_at_us == NEVER);
    assert_int_equal(hold_wake_us(&self), valid_until(&self));
}

static void an_extension_after_the_last_renewal_brings_none_back(void **state)
{
    hold self = begun(TTL_MS, true, 0);

    (void)state;
    hold_end_renewal(&self);
    hold_extended(&self, now_us + 2 * second_us, 2 * TTL_MS);
    assert_int_equal(valid_until(&self), lease_valid_until(now_us + 2 * second_us, 2 * TTL_MS));
    assert_true(self.renew_at_us == NEVER);
}

/* ---- At risk ----*/

static void a_hold_is_at_risk_with_a_third_of_its_lease_left(void **state)
{
    hold self = begun(TTL_MS, true, 0);
    int64_t third_us = TTL_MS * US_PER_MS / 3, left_us = valid_until(&self) - self.risk_at_us;

    (void)state;
    assert_in_range(left_us, third_us - second_us / 2, third_us + second_us / 2);
    assert_false(hold_is_at_risk(&self, self.risk_at_us - 1));
    assert_true(hold_is_at_risk(&self, self.risk_at_us));
    assert_true(hold_is_at_risk(&self, valid_until(&self) - 1));
    assert_false(hold_is_at_risk(&self, valid_until(&self)));
}

static void neither_a_renewal_under_way_nor_a_retry_delays_the_risk(void **state)
{
    hold self = begun(TTL_MS, true, 0);
    int64_t at_us = self.risk_at_us;

    (void)state;
    hold_renew(&self, now_us + 10 * second_us);
    assert_int_equal(self.risk_at_us, at_us);
    hold_retry(&self, at_us + second_us, now_us + 11 * second_us);
    hold_hasten(&self, now_us + 12 * second_us);
    assert_int_equal(self.risk_at_us, at_us);
}

static void an_answered_renewal_ends_the_risk(void **state)
{
    hold self = begun(TTL_MS, true, 0);
    int64_t sent_us = self.risk_at_us + second_us;

    (void)state;
    hold_renewed(&self, sent_us, TTL_MS);
    assert_false(hold_is_at_risk(&self, sent_us + 19 * second_us));
    assert_true(hold_is_at_risk(&self, sent_us + 21 * second_us));
}

static void a_claim_is_at_risk_with_a_third_of_it_left(void **state)
{
    hold self = begun(CLAIM_MS, false, 0);
    int64_t third_us = CLAIM_MS * US_PER_MS / 3;

    (void)state;
    assert_in_range(valid_until(&self) - self.risk_at_us, third_us - 50000, third_us + 50000);
    hold_renewed(&self, now_us + third_us, TTL_MS - CLAIM_MS / 3);
    assert_false(hold_is_at_risk(&self, valid_until(&self) - 1));
}

static void what_is_not_to_be_renewed_is_never_at_risk(void **state)
{
    hold once = begun(TTL_MS, false, 0), bound = begun(TTL_MS, true, TTL_MS);
    hold ended = begun(TTL_MS, true, 0);

    (void)state;
    hold_end_renewal(&ended);
    hold *const all[] = {&once, &bound, &ended};
    for (int i = 0; i < 3; i++) assert_false(hold_is_at_risk(all[i], valid_until(all[i]) - 1));
}

static void a_risk_comes_after_the_first_renewal_whatever_the_ttl(void **state)
{
    (void)state;
    for (int64_t ttl_ms = 1; ttl_ms <= INT64_C(2592000000); ttl_ms = ttl_ms * 2 + 1) {
        hold self;
        hold_begin(&self, ttl_ms, ttl_ms, lease_valid_until(now_us, ttl_ms), true, 0, now_us,
                   (uint32_t)ttl_ms);
        for (int64_t at_us = now_us; at_us < self.renew_at_us; at_us += 1 + ttl_ms * 7)
            assert_false(hold_is_at_risk(&self, at_us));
    }
}

/* Every ttl a caller may give: what is due next lies in the future, and a retry is no loop without
 * time passing. */
static void time_passes_between_any_two_steps(void **state)
{
    (void)state;
    for (int64_t ttl_ms = 1; ttl_ms <= INT64_C(2592000000); ttl_ms = ttl_ms * 2 + 1) {
        hold self;
        int64_t at_us = now_us;

        hold_begin(&self, ttl_ms, ttl_ms, lease_valid_until(now_us, ttl_ms), true, 0, now_us,
                   (uint32_t)ttl_ms);
        for (int i = 0; i < 30 && hold_due(&self, at_us) != HOLD_IS_OVER; i++) {
            if (hold_due(&self, at_us) == HOLD_RENEWS) {
                hold_renew(&self, at_us);
                hold_retry(&self, 0, at_us);
            }
            assert_true(hold_wake_us(&self) > at_us);
            at_us = hold_wake_us(&self);
        }
    }
}

static void a_hold_in_haste_is_renewed_within_a_tenth_of_its_ttl_or_a_second(void **state)
{
    hold self = begun(TTL_MS, true, 0), other = begun(TTL_MS, true, 0);

    (void)state;
    other.jitter = 6;
    hold_hasten(&self, now_us + second_us);
    hold_hasten(&other, now_us + second_us);
    assert_in_range(self.renew_at_us, now_us + second_us, now_us + 2 * second_us);
    assert_true(self.renew_at_us != other.renew_at_us);
    self.ttl_ms = 100;
    hold_hasten(&self, now_us);
    assert_in_range(self.renew_at_us, now_us, now_us + 10000);
}

static void haste_brings_back_no_renewal_and_delays_none(void **state)
{
    hold resting = begun(TTL_MS, false, 0), due = begun(TTL_MS, true, 0);
    const int64_t at_us = due.renew_at_us;

    (void)state;
    hold_hasten(&resting, now_us);
    hold_hasten(&due, at_us);
    assert_true(resting.renew_at_us == NEVER);
    assert_int_equal(due.renew_at_us, at_us);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lock_without_renewal_rests_until_it_is_over),
        cmocka_unit_test(a_renewal_is_due_at_a_third_of_the_ttl),
        cmocka_unit_test(locks_that_begin_together_are_renewed_apart),
        cmocka_unit_test(a_renewal_may_leave_a_little_early_to_travel_with_others),
        cmocka_unit_test(a_renewal_asks_for_the_whole_ttl_once),
        cmocka_unit_test(an_answered_renewal_moves_everything_to_the_right),
        cmocka_unit_test(a_renewal_never_moves_validity_back),
        cmocka_unit_test(a_failed_renewal_is_retried_ever_later),
        cmocka_unit_test(a_retry_is_not_made_before_its_time),
        cmocka_unit_test(a_retry_waits_for_the_connection),
        cmocka_unit_test(a_short_ttl_is_retried_several_times_before_it_ends),
        cmocka_unit_test(an_answer_forgets_the_failures),
        cmocka_unit_test(a_lock_is_over_at_its_validity_whatever_is_retried),
        cmocka_unit_test(a_claim_is_stretched_once_to_what_the_ttl_would_have_given),
        cmocka_unit_test(a_claim_that_was_read_late_is_renewed_before_it_ends),
        cmocka_unit_test(a_short_extension_does_not_cancel_the_stretching_of_a_claim),
        cmocka_unit_test(nothing_is_renewed_past_the_maximum_hold),
        cmocka_unit_test(a_maximum_hold_may_count_from_a_later_instant),
        cmocka_unit_test(past_the_maximum_hold_there_is_nothing_to_ask),
        cmocka_unit_test(past_the_maximum_hold_only_the_end_is_waited_for),
        cmocka_unit_test(an_extension_moves_the_maximum_hold),
        cmocka_unit_test(an_extension_of_a_lock_without_renewal_is_the_last),
        cmocka_unit_test(a_hold_that_is_no_longer_renewed_lasts_as_long_as_its_lease),
        cmocka_unit_test(a_renewal_under_way_is_the_last_once_there_are_to_be_none),
        cmocka_unit_test(an_extension_after_the_last_renewal_brings_none_back),
        cmocka_unit_test(a_hold_in_haste_is_renewed_within_a_tenth_of_its_ttl_or_a_second),
        cmocka_unit_test(haste_brings_back_no_renewal_and_delays_none),
        cmocka_unit_test(a_hold_is_at_risk_with_a_third_of_its_lease_left),
        cmocka_unit_test(neither_a_renewal_under_way_nor_a_retry_delays_the_risk),
        cmocka_unit_test(an_answered_renewal_ends_the_risk),
        cmocka_unit_test(a_claim_is_at_risk_with_a_third_of_it_left),
        cmocka_unit_test(what_is_not_to_be_renewed_is_never_at_risk),
        cmocka_unit_test(a_risk_comes_after_the_first_renewal_whatever_the_ttl),
        cmocka_unit_test(time_passes_between_any_two_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
