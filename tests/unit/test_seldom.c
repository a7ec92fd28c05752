/* SPDX-License-Identifier: MIT
 * host/seldom: once a second, with the number of the others. Time is virtual. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/seldom.h"

static const int64_t t0 = 1000000000, second_us = 1000000;

static void the_first_is_said_and_then_one_in_a_second(void **state)
{
    seldom self = {0};
    char more[SELDOM_MORE_SIZE];

    (void)state;
    assert_true(seldom_may_say(&self, t0, more));
    assert_false(seldom_may_say(&self, t0, more));
    assert_false(seldom_may_say(&self, t0 + second_us - 1, more));
    assert_true(seldom_may_say(&self, t0 + second_us, more));
}

static void the_others_are_counted_once(void **state)
{
    seldom self = {0};
    char more[SELDOM_MORE_SIZE];

    (void)state;
    assert_true(seldom_may_say(&self, t0, more));
    assert_string_equal(more, "");
    for (int i = 0; i < 3; i++) assert_false(seldom_may_say(&self, t0 + i, more));
    assert_true(seldom_may_say(&self, t0 + 2 * second_us, more));
    assert_string_equal(more, " (and 3 more)");
    assert_true(seldom_may_say(&self, t0 + 4 * second_us, more));
    assert_string_equal(more, "");
}

/* A machine that has just been started. */
static void the_first_is_said_however_early(void **state)
{
    seldom self = {0};
    char more[SELDOM_MORE_SIZE];

    (void)state;
    assert_true(seldom_may_say(&self, 5, more));
    assert_false(seldom_may_say(&self, 6, more));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_is_said_and_then_one_in_a_second),
        cmocka_unit_test(the_others_are_counted_once),
        cmocka_unit_test(the_first_is_said_however_early),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
