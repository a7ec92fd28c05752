/* SPDX-License-Identifier: MIT
 * keeper/alarm: readable from its instant on, whoever set it how late, and set anew no more often
 * than it has to be. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/timerfd.h>

#include <cmocka.h>

#include "host/clock.h"
#include "keeper/alarm.h"

enum { LONG_US = 60 * 1000000, SOON_US = 20000, PATIENCE_MS = 10000 };

static alarm_clock opened(void)
{
    alarm_clock made;
    assert_true(alarm_open(&made));
    return made;
}

static bool is_readable_within(const alarm_clock *self, int ms)
{
    struct pollfd look = {.fd = self->fd, .events = POLLIN};
    return poll(&look, 1, ms) == 1;
}

static bool is_readable(const alarm_clock *self) { return is_readable_within(self, 0); }

static bool is_armed(const alarm_clock *self)
{
    struct itimerspec left;
    assert_int_equal(timerfd_gettime(self->fd, &left), 0);
    return left.it_value.tv_sec != 0 || left.it_value.tv_nsec != 0;
}

static void it_is_silent_until_it_is_set(void **state)
{
    (void)state;
    alarm_clock self = opened();
    assert_false(is_readable(&self));
    assert_false(is_armed(&self));
    alarm_close(&self);
}

/* Its thread was preempted between the look at the clock and its sleep. */
static void an_instant_that_has_passed_is_readable_at_once(void **state)
{
    (void)state;
    static const int64_t passed_us[] = {INT64_MIN, -1, 0, 1};
    for (size_t i = 0; i < sizeof passed_us / sizeof *passed_us; i++) {
        alarm_clock self = opened();
        alarm_set(&self, passed_us[i]);
        assert_true(is_readable(&self));
        alarm_close(&self);
    }
    alarm_clock self = opened();
    alarm_set(&self, clock_now_us());
    assert_true(is_readable(&self));
    alarm_close(&self);
}

static void an_instant_to_come_is_awaited(void **state)
{
    (void)state;
    alarm_clock self = opened();
    int64_t at_us = clock_now_us() + SOON_US;
    alarm_set(&self, at_us);
    assert_true(is_readable_within(&self, PATIENCE_MS));
    assert_true(clock_now_us() >= at_us);
    alarm_close(&self);
}

static void setting_it_anew_takes_back_that_it_was_readable(void **state)
{
    (void)state;
    alarm_clock self = opened();
    alarm_set(&self, 1);
    alarm_set(&self, clock_now_us() + LONG_US);
    assert_false(is_readable(&self));
    assert_true(is_armed(&self));
    alarm_set(&self, 1);
    alarm_set(&self, INT64_MAX);
    assert_false(is_readable(&self));
    assert_false(is_armed(&self));
    alarm_close(&self);
}

static void advancing_keeps_an_earlier_instant_that_is_to_come(void **state)
{
    (void)state;
    alarm_clock self = opened();
    int64_t now_us = clock_now_us(), early_us = now_us + LONG_US;
    alarm_advance(&self, early_us, now_us);
    alarm_advance(&self, early_us + 1, now_us);
    assert_int_equal(self.at_us, early_us);
    alarm_advance(&self, INT64_MAX, now_us);
    assert_int_equal(self.at_us, early_us);
    alarm_advance(&self, early_us - 1, now_us);
    assert_int_equal(self.at_us, early_us - 1);
    alarm_close(&self);
}

/* Otherwise whoever polls it would never sleep again. */
static void advancing_replaces_an_instant_that_has_passed(void **state)
{
    (void)state;
    alarm_clock self = opened();
    alarm_set(&self, 1);
    alarm_advance(&self, INT64_MAX, clock_now_us());
    assert_false(is_readable(&self));
    alarm_set(&self, 1);
    alarm_advance(&self, clock_now_us() + LONG_US, clock_now_us());
    assert_false(is_readable(&self));
    assert_true(is_armed(&self));
    alarm_close(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_silent_until_it_is_set),
        cmocka_unit_test(an_instant_that_has_passed_is_readable_at_once),
        cmocka_unit_test(an_instant_to_come_is_awaited),
        cmocka_unit_test(setting_it_anew_takes_back_that_it_was_readable),
        cmocka_unit_test(advancing_keeps_an_earlier_instant_that_is_to_come),
        cmocka_unit_test(advancing_replaces_an_instant_that_has_passed),
    };
    return cmocka_run_group_tests_name("alarm", tests, NULL, NULL);
}
