/* SPDX-License-Identifier: MIT
 * engine and wire at the ends of their ranges: what is counted does not wrap, and the last byte that is fit to print is
 * the last one that is let through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/hold.h"
#include "engine/lease.h"
#include "wire/answer.h"

static const int64_t now_us = 1000000000, longest_retry_us = 1500000;

static void a_renewal_that_fails_for_ever_is_retried_for_ever(void **state)
{
    hold self;

    (void)state;
    hold_begin(&self, LEASE_MOST_MS, LEASE_MOST_MS, lease_valid_until(now_us, LEASE_MOST_MS), true, 0, now_us, 5);
    for (int failures = 0; failures < 2 * UINT16_MAX; failures++) {
        int64_t at_us = now_us + failures;

        hold_retry(&self, 0, at_us);
        assert_true(self.renew_at_us > at_us && self.renew_at_us <= at_us + longest_retry_us);
        assert_int_equal(hold_slack_us(&self), 0);
        if (failures > 8) assert_true(self.renew_at_us >= at_us + longest_retry_us / 3);
    }
}

static void a_renewal_of_the_longest_lease_is_due_in_its_first_third(void **state)
{
    hold self;

    (void)state;
    hold_begin(&self, LEASE_MOST_MS, LEASE_MOST_MS, lease_valid_until(now_us, LEASE_MOST_MS), true, 0, now_us, 5);
    assert_true(hold_wake_us(&self) <= now_us + LEASE_MOST_MS * US_PER_MS / 3);
    assert_true(hold_wake_us(&self) > now_us + LEASE_MOST_MS * US_PER_MS / 4);
}

static void a_hold_id_is_of_printable_bytes_and_no_others(void **state)
{
    (void)state;
    for (int byte = 0; byte <= UINT8_MAX; byte++) {
        char message[] = "grant i? 1 2 3";
        grant got;
        bool is_printable = byte > ' ' && byte <= '~';

        message[7] = (char)byte;
        assert_int_equal(grant_read(&got, message, sizeof message - 1), is_printable);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_renewal_that_fails_for_ever_is_retried_for_ever),
        cmocka_unit_test(a_renewal_of_the_longest_lease_is_due_in_its_first_third),
        cmocka_unit_test(a_hold_id_is_of_printable_bytes_and_no_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
