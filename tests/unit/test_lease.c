/* SPDX-License-Identifier: MIT
 * engine/lease: validity ends before the server forgets, whatever the journey took. The server's
 * side is reckoned beside it: its clock reads local time plus an offset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/lease.h"

static const int64_t sent_us = 1000000000, thirty_days_ms = INT64_C(2592000000);

static void drift_is_one_percent_and_two_milliseconds(void **state)
{
    (void)state;
    assert_int_equal(lease_drift_us(0), 2000);
    assert_int_equal(lease_drift_us(99), 2000);
    assert_int_equal(lease_drift_us(1000000), 12000);
    assert_int_equal(lease_drift_us(thirty_days_ms * US_PER_MS), INT64_C(25920002000));
}

static void a_validity_counts_from_before_the_send(void **state)
{
    (void)state;
    assert_int_equal(lease_valid_until(sent_us, 10000), sent_us + 10000000 - 102000);
    assert_int_equal(lease_valid_until(0, 1000), 988000);
}

static void a_lease_shorter_than_its_drift_is_never_valid(void **state)
{
    (void)state;
    assert_true(lease_valid_until(sent_us, 1) < sent_us);
    assert_true(lease_valid_until(sent_us, 2) < sent_us);
    assert_true(lease_valid_until(sent_us, 3) > sent_us);
}

static void the_longest_lease_does_not_overflow(void **state)
{
    static const int64_t lua_most = INT64_C(1) << 53;
    server_instant known = {.sent_us = sent_us, .server_us = 1};

    (void)state;
    assert_true(lease_valid_until(INT64_MAX / 2, thirty_days_ms) > INT64_MAX / 2);
    /* Nor does what a server says that means no good. */
    assert_true(lease_valid_until(sent_us, lua_most) > sent_us);
    assert_true(lease_valid_until(sent_us, -lua_most) < sent_us);
    assert_true(lease_valid_until_granted(known, lua_most, sent_us, lua_most) > sent_us);
}

/* Granted `after_us` after the question was answered, and read `delay_us` after that. */
static int64_t granted(int64_t after_us, int64_t delay_us, int64_t lease_ms)
{
    server_instant known = {.sent_us = sent_us, .server_us = 1800000000000000};

    return lease_valid_until_granted(known, known.server_us + after_us,
                                     sent_us + after_us + delay_us, lease_ms);
}

static void a_grant_counts_from_the_server_s_own_time_of_it(void **state)
{
    (void)state;
    assert_int_equal(granted(500000, 0, 2000), lease_valid_until(sent_us + 500000 - 5000, 2000));
}

static void a_grant_that_is_read_late_is_valid_no_longer_for_it(void **state)
{
    (void)state;
    assert_int_equal(granted(500000, 60000000, 2000), granted(500000, 1000, 2000));
    assert_true(granted(500000, 60000000, 2000) < sent_us + 500000 + 60000000);
}

static void a_grant_never_counts_from_after_its_receipt(void **state)
{
    (void)state;
    /* The server's clock leapt forward by an hour between the answer and the grant. */
    assert_int_equal(granted(INT64_C(3600000000), -INT64_C(3599000000), 2000),
                     lease_valid_until(sent_us + 1000000, 2000));
}

static void a_server_clock_that_stepped_back_ends_validity_early(void **state)
{
    (void)state;
    assert_int_equal(granted(-3000000, 3500000, 2000), lease_valid_until(sent_us - 3000000, 2000));
}

static void validity_ends_before_the_server_forgets(void **state)
{
    static const int64_t spans_us[] = {0, 1, 999, 1000, 50000, 1000000, 30000000};
    static const int64_t leases_ms[] = {1, 3, 100, 2000, 30000, INT64_C(2592000000)};
    enum {
        SPANS = sizeof spans_us / sizeof *spans_us,
        LEASES = sizeof leases_ms / sizeof *leases_ms
    };

    (void)state;
    for (int out = 0; out < SPANS; out++)
        for (int wait = 0; wait < SPANS; wait++)
            for (int delay = 0; delay < SPANS; delay++)
                for (int lease = 0; lease < LEASES; lease++) {
                    /* The question needs `out` to arrive; the grant comes `wait` later, on a clock
                     * 1 in 100 fast. */
                    server_instant known = {.sent_us = sent_us, .server_us = 1800000000000000};
                    int64_t granted_us = sent_us + spans_us[out] + spans_us[wait];
                    int64_t read_us = known.server_us + spans_us[wait] + spans_us[wait] / 100;
                    int64_t until_us = lease_valid_until_granted(
                        known, read_us, granted_us + spans_us[delay], leases_ms[lease]);

                    assert_true(until_us < granted_us + leases_ms[lease] * US_PER_MS);
                }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(drift_is_one_percent_and_two_milliseconds),
        cmocka_unit_test(a_validity_counts_from_before_the_send),
        cmocka_unit_test(a_lease_shorter_than_its_drift_is_never_valid),
        cmocka_unit_test(the_longest_lease_does_not_overflow),
        cmocka_unit_test(a_grant_counts_from_the_server_s_own_time_of_it),
        cmocka_unit_test(a_grant_that_is_read_late_is_valid_no_longer_for_it),
        cmocka_unit_test(a_grant_never_counts_from_after_its_receipt),
        cmocka_unit_test(a_server_clock_that_stepped_back_ends_validity_early),
        cmocka_unit_test(validity_ends_before_the_server_forgets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
