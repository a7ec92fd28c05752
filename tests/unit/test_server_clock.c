/* SPDX-License-Identifier: MIT
 * engine/server_clock: what two answers prove of the server's clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/server_clock.h"

enum { JOURNEY_US = 100, SECOND_US = 1000000 };
static const int64_t ahead_us = INT64_C(1700000000) * SECOND_US;

/* An answer that was on its way for the usual time, and was written in the middle of that. */
static int64_t read_at(server_clock *self, int64_t sent_us, int64_t set_by_us)
{
    int64_t server_us = ahead_us + sent_us + JOURNEY_US / 2 + set_by_us;

    return server_clock_read(self, server_us, sent_us, sent_us + JOURNEY_US);
}

static void the_first_answer_proves_nothing(void **state)
{
    server_clock self = {0};

    (void)state;
    assert_int_equal(read_at(&self, 5, 0), 0);
    assert_true(self.is_known);
}

static void a_clock_that_goes_on_takes_no_step(void **state)
{
    server_clock self = {0};

    (void)state;
    for (int64_t at_us = 0; at_us < 100 * SECOND_US; at_us += SECOND_US / 7)
        assert_int_equal(read_at(&self, at_us, 0), 0);
}

static void a_step_is_told_to_within_the_two_journeys(void **state)
{
    static const int64_t steps_us[] = {-10 * SECOND_US, -50000, 50000, SECOND_US};

    (void)state;
    for (size_t i = 0; i < sizeof steps_us / sizeof *steps_us; i++) {
        server_clock self = {0};
        const int64_t size_us = steps_us[i] < 0 ? -steps_us[i] : steps_us[i];

        read_at(&self, 0, 0);
        const int64_t told_us = read_at(&self, JOURNEY_US, steps_us[i]);
        assert_in_range(told_us, size_us - JOURNEY_US, size_us);
    }
}

static void a_step_is_told_once(void **state)
{
    server_clock self = {0};

    (void)state;
    read_at(&self, 0, 0);
    assert_true(read_at(&self, SECOND_US, SECOND_US) > 0);
    assert_int_equal(read_at(&self, 2 * SECOND_US, SECOND_US), 0);
}

static void a_slow_answer_proves_no_step(void **state)
{
    server_clock self = {0};

    (void)state;
    read_at(&self, 0, 0);
    assert_int_equal(server_clock_read(&self, ahead_us + SECOND_US, SECOND_US, 3 * SECOND_US), 0);
    assert_int_equal(
        server_clock_read(&self, ahead_us + 6 * SECOND_US, 4 * SECOND_US, 6 * SECOND_US), 0);
}

/* What a slow one leaves open, the answers before it have settled. */
static void a_step_behind_a_slow_answer_is_seen(void **state)
{
    server_clock self = {0};

    (void)state;
    read_at(&self, 0, 0);
    server_clock_read(&self, ahead_us + 2 * SECOND_US, SECOND_US, 3 * SECOND_US);
    assert_true(read_at(&self, 4 * SECOND_US, SECOND_US / 2) > SECOND_US / 4);
}

static void what_is_no_time_is_passed_over(void **state)
{
    static const int64_t none[] = {INT64_MIN, -1, 0, INT64_MAX};
    server_clock self = {0};

    (void)state;
    read_at(&self, 0, 0);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(server_clock_read(&self, none[i], SECOND_US, SECOND_US + JOURNEY_US), 0);
    assert_int_equal(read_at(&self, 2 * SECOND_US, 0), 0);
}

static void clocks_that_run_apart_by_a_thousandth_take_no_step(void **state)
{
    server_clock self = {0};

    (void)state;
    for (int64_t at_us = 0; at_us < 1000 * SECOND_US; at_us += 10 * SECOND_US)
        assert_int_equal(read_at(&self, at_us, at_us / 1000), 0);
}

static void a_step_matters_above_50_ms_and_a_tenth_of_the_ttl(void **state)
{
    (void)state;
    assert_false(server_clock_step_matters(50000, 100));
    assert_true(server_clock_step_matters(50001, 100));
    assert_false(server_clock_step_matters(3 * SECOND_US, 30000));
    assert_true(server_clock_step_matters(3 * SECOND_US + 1, 30000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_answer_proves_nothing),
        cmocka_unit_test(a_clock_that_goes_on_takes_no_step),
        cmocka_unit_test(a_step_is_told_to_within_the_two_journeys),
        cmocka_unit_test(a_step_is_told_once),
        cmocka_unit_test(a_slow_answer_proves_no_step),
        cmocka_unit_test(a_step_behind_a_slow_answer_is_seen),
        cmocka_unit_test(what_is_no_time_is_passed_over),
        cmocka_unit_test(clocks_that_run_apart_by_a_thousandth_take_no_step),
        cmocka_unit_test(a_step_matters_above_50_ms_and_a_tenth_of_the_ttl),
    };
    return cmocka_run_group_tests_name("server_clock", tests, NULL, NULL);
}
