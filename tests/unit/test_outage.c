/* SPDX-License-Identifier: MIT
 * topology/outage: a line when nobody was served for three seconds, and one when somebody is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "topology/outage.h"

static const int64_t t0 = 1000000000, second_us = 1000000;

typedef struct heard {
    int lines;
    redlock_level level;
    char last[256];
} heard;

static void hear(void *arg, redlock_level level, const char *line)
{
    heard *self = arg;

    self->lines++;
    self->level = level;
    snprintf(self->last, sizeof self->last, "%s", line);
}

static heard said;
static event_log to_us;

static int begin(void **state)
{
    (void)state;
    said = (heard){0};
    to_us = event_log_from(hear, &said, REDLOCK_LOG_INFO);
    return 0;
}

static void fail_at(outage *self, int64_t now_us)
{
    outage_note_failure(self, &to_us, "host port 6379", "connection refused", now_us);
}

static void an_outage_of_three_seconds_is_told_once(void **state)
{
    outage self = {0};

    (void)state;
    fail_at(&self, t0);
    assert_true(outage_is_on(&self));
    fail_at(&self, t0 + 3 * second_us - 1);
    assert_int_equal(said.lines, 0);
    for (int i = 0; i < 5; i++) fail_at(&self, t0 + (3 + i) * second_us);
    assert_int_equal(said.lines, 1);
    assert_int_equal(said.level, REDLOCK_LOG_WARNING);
    assert_string_equal(said.last, "host port 6379: no service for 3.0 s: connection refused");
}

static void its_end_is_told_if_it_was(void **state)
{
    outage self = {0};

    (void)state;
    fail_at(&self, t0);
    outage_end(&self, &to_us, "host port 6379", t0 + second_us);
    assert_int_equal(said.lines, 0);
    fail_at(&self, t0 + 2 * second_us);
    fail_at(&self, t0 + 5 * second_us);
    outage_end(&self, &to_us, "host port 6379", t0 + 9 * second_us);
    outage_end(&self, &to_us, "host port 6379", t0 + 9 * second_us);
    assert_int_equal(said.lines, 2);
    assert_int_equal(said.level, REDLOCK_LOG_INFO);
    assert_string_equal(said.last, "host port 6379: it serves again, after 7.0 s");
}

static void counts(void *arg, char *out, size_t size, int64_t now_us)
{
    ++*(int *)arg;
    snprintf(out, size, "; so much is at stake, %d s", (int)((now_us - t0) / second_us));
}

static void its_line_says_what_is_at_stake_and_asks_once(void **state)
{
    int asked = 0;
    outage self = {.stakes = counts, .stakes_arg = &asked};

    (void)state;
    for (int i = 0; i < 5; i++) fail_at(&self, t0 + i * second_us);
    assert_int_equal(said.lines, 1);
    assert_int_equal(asked, 1);
    assert_string_equal(said.last, "host port 6379: no service for 3.0 s: connection refused; so "
                                   "much is at stake, 3 s");
}

/* A connection that broke an hour ago, and that nobody needed since, was no outage of an hour. */
static void what_nobody_tried_again_is_forgotten(void **state)
{
    outage self = {0};

    (void)state;
    fail_at(&self, t0);
    fail_at(&self, t0 + 3600 * second_us);
    fail_at(&self, t0 + 3602 * second_us);
    assert_int_equal(said.lines, 0);
    fail_at(&self, t0 + 3603 * second_us);
    assert_string_equal(said.last, "host port 6379: no service for 3.0 s: connection refused");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_outage_of_three_seconds_is_told_once, begin),
        cmocka_unit_test_setup(its_end_is_told_if_it_was, begin),
        cmocka_unit_test_setup(its_line_says_what_is_at_stake_and_asks_once, begin),
        cmocka_unit_test_setup(what_nobody_tried_again_is_forgotten, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
