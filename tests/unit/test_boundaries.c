/* SPDX-License-Identifier: MIT
 * engine and wire at the ends of their ranges: what is counted does not wrap, and the last byte
 * that is fit to print is the last one that is let through. */
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
#include "wire/script.h"

static const int64_t now_us = 1000000000, longest_retry_us = 1500000;

static void a_renewal_that_fails_for_ever_is_retried_for_ever(void **state)
{
    hold self;

    (void)state;
    hold_begin(&self, LEASE_MOST_MS, LEASE_MOST_MS, lease_valid_until(now_us, LEASE_MOST_MS), true,
               0, now_us, 5);
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
    hold_begin(&self, LEASE_MOST_MS, LEASE_MOST_MS, lease_valid_until(now_us, LEASE_MOST_MS), true,
               0, now_us, 5);
    assert_true(hold_wake_us(&self) <= now_us + LEASE_MOST_MS * US_PER_MS / 3);
    assert_true(hold_wake_us(&self) > now_us + LEASE_MOST_MS * US_PER_MS / 4);
}

static void the_owner_and_the_hold_id_of_a_grant_are_of_printable_bytes(void **state)
{
    static const size_t owner_at = 13, hold_id_at = 16;

    (void)state;
    for (int byte = 0; byte <= UINT8_MAX; byte++) {
        char in_owner[] = "grant 1 2 3 @? ii who key", in_hold_id[] = "grant 1 2 3 @o i? who key";
        grant got;
        bool is_printable = byte > ' ' && byte <= '~';

        in_owner[owner_at] = in_hold_id[hold_id_at] = (char)byte;
        assert_int_equal(grant_read(&got, in_owner, sizeof in_owner - 1), is_printable);
        assert_int_equal(grant_read(&got, in_hold_id, sizeof in_hold_id - 1), is_printable);
    }
}

/* The bands do not touch what the clock, a lease or a fence of our time can be, and every score is
 * exact in a double. */
static void the_bands_are_apart_and_exact(void **state)
{
    static const int64_t exact_most = INT64_C(1) << 53, now_ms = INT64_C(1800000000000);
    static const int64_t year_2200_ms = INT64_C(7258118400000);

    (void)state;
    assert_true(year_2200_ms + SPAN_MOST < SHARED_BAND && year_2200_ms + SPAN_MOST < NOTE_BAND);
    assert_true(SHARED_BAND + year_2200_ms + SPAN_MOST < READER_BAND);
    assert_true(now_ms * US_PER_MS > READER_BAND && now_ms * 2 * US_PER_MS < WRITER_BAND);
    assert_true(WRITER_BAND + WRITER_BAND < exact_most && WRITER_BAND + WRITER_BAND <= NUMBER_MOST);
    assert_true(NOTE_BAND + year_2200_ms + SPAN_MOST < FENCE_BAND);
    assert_true(FENCE_BAND + FENCE_MOST < exact_most);
    assert_true(NUMBER_MOST == exact_most - 1);
}

/* The build put the numbers in the place of the names, and joined the fragments. */
static void no_name_of_a_limit_is_left_in_a_script(void **state)
{
    static const char *const marks[] = {"_BAND", "_MOST", "--@", "READER_", "WRITER_", "SHARED_"};

    (void)state;
    for (int id = 0; id < SCRIPT_COUNT; id++)
        for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
            const char *left = strstr(scripts[id].source, marks[i]);

            if (left != NULL) print_error("%s: %.40s\n", scripts[id].name, left);
            assert_null(left);
        }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_renewal_that_fails_for_ever_is_retried_for_ever),
        cmocka_unit_test(a_renewal_of_the_longest_lease_is_due_in_its_first_third),
        cmocka_unit_test(the_owner_and_the_hold_id_of_a_grant_are_of_printable_bytes),
        cmocka_unit_test(the_bands_are_apart_and_exact),
        cmocka_unit_test(no_name_of_a_limit_is_left_in_a_script),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
