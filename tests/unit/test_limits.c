/* SPDX-License-Identifier: MIT
 * By when a call is back that asks more than one question. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/limits.h"
#include "engine/lease.h"
#include "engine/request.h"

enum { BEGAN_US = 7000000, TIMEOUT_US = 40000 };

static redlock_client client = {.timeout_us = TIMEOUT_US};

static limits waiting(int64_t wait_ms)
{
    redlock_options o = {.wait_ms = wait_ms};
    return limits_of(&client, &o, BEGAN_US);
}

static void a_call_lasts_for_the_longer_of_its_wait_and_the_timeout(void **state)
{
    (void)state;
    assert_int_equal(waiting(30).wait_until_us, BEGAN_US + 30000);
    assert_int_equal(waiting(30).deadline_us, BEGAN_US + TIMEOUT_US);
    assert_int_equal(waiting(50).deadline_us, BEGAN_US + 50000);
    assert_true(waiting(-1).deadline_us == NEVER);
}

/* From that instant on, so long. */
static int64_t part_us(const limits *of, int64_t now_us)
{
    limits part = limits_to_part(of, &client, now_us);
    assert_int_equal(part.wait_until_us, now_us);
    return part.deadline_us - now_us;
}

static void a_part_has_what_is_left_but_some_time_and_no_more_than_the_timeout(void **state)
{
    (void)state;
    limits within = waiting(50), for_ever = waiting(-1);
    assert_int_equal(part_us(&within, BEGAN_US), TIMEOUT_US);
    assert_int_equal(part_us(&within, BEGAN_US + 30000), 20000);
    assert_int_equal(part_us(&within, BEGAN_US + 49000), PART_WITHIN_US);
    assert_int_equal(part_us(&within, BEGAN_US + 99000), PART_WITHIN_US);
    assert_int_equal(part_us(&for_ever, BEGAN_US + 99000), TIMEOUT_US);
}

static void all_that_is_to_be_told_at_the_end_has_one_end(void **state)
{
    (void)state;
    limits within = waiting(50);
    int64_t first_us = BEGAN_US + 51000;
    assert_int_equal(limits_to_end(&within, &client, first_us).deadline_us,
                     first_us + PART_WITHIN_US);
    assert_int_equal(limits_to_end(&within, &client, first_us + 3000).deadline_us,
                     first_us + PART_WITHIN_US);
    assert_int_equal(limits_to_end(&within, &client, first_us + 9000).deadline_us,
                     first_us + PART_WITHIN_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_lasts_for_the_longer_of_its_wait_and_the_timeout),
        cmocka_unit_test(a_part_has_what_is_left_but_some_time_and_no_more_than_the_timeout),
        cmocka_unit_test(all_that_is_to_be_told_at_the_end_has_one_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
