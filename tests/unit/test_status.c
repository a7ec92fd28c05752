/* SPDX-License-Identifier: MIT
 * api/status: every status has one value, one name, one sentence, and a sign that tells its
 * kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <redlock/redlock.h>

typedef struct row {
    int value;
    const char *name;
} row;

static const row rows[] = {
#define STATUS_ROW(name, value, text) {(value), "REDLOCK_" #name},
    REDLOCK_STATUSES(STATUS_ROW)
#undef STATUS_ROW
};
enum { ROWS = sizeof rows / sizeof *rows };

static void every_status_has_its_name(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS; i++)
        assert_string_equal(redlock_status_name((redlock_status)rows[i].value), rows[i].name);
}

static void no_two_statuses_share_a_value_or_a_sentence(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < i; j++) {
            assert_int_not_equal(rows[i].value, rows[j].value);
            assert_string_not_equal(redlock_strerror((redlock_status)rows[i].value),
                                    redlock_strerror((redlock_status)rows[j].value));
        }
}

static void every_sentence_says_something(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        const char *text = redlock_strerror((redlock_status)rows[i].value);

        assert_true(strlen(text) >= 4);
        assert_null(strpbrk(text, "\r\n"));
    }
}

static void the_sign_tells_the_kind(void **state)
{
    (void)state;
    assert_int_equal(REDLOCK_OK, 0);
    for (int i = 0; i < ROWS; i++) {
        bool is_failure = strncmp(rows[i].name, "REDLOCK_ERR_", 12) == 0;

        assert_int_equal(rows[i].value < 0, is_failure);
    }
}

static void a_value_of_another_library_is_answered_too(void **state)
{
    (void)state;
    for (int value = -1000; value <= 1000; value++) {
        bool is_known = strcmp(redlock_status_name((redlock_status)value), "REDLOCK_?") != 0;

        assert_int_equal(is_known, strcmp(redlock_strerror((redlock_status)value),
                                          "not a status of this library") != 0);
        assert_int_equal(is_known, value >= REDLOCK_ERR_LAYOUT && value <= REDLOCK_DEADLOCK);
    }
}

static void the_version_is_the_header_s(void **state)
{
    char expected[32];

    (void)state;
    snprintf(expected, sizeof expected, "%d.%d.%d", REDLOCK_VERSION_MAJOR, REDLOCK_VERSION_MINOR,
             REDLOCK_VERSION_PATCH);
    assert_string_equal(redlock_version(), expected);
}

static void every_loss_says_something_of_its_own(void **state)
{
    static const int losses[] = {
#define LOSS_VALUE(name, value, text) (value),
        REDLOCK_LOSSES(LOSS_VALUE)
#undef LOSS_VALUE
    };
    enum { LOSSES = sizeof losses / sizeof *losses };

    (void)state;
    for (int i = 0; i < LOSSES; i++) {
        assert_true(strlen(redlock_loss_text((redlock_loss)losses[i])) >= 10);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(redlock_loss_text((redlock_loss)losses[i]),
                                    redlock_loss_text((redlock_loss)losses[j]));
    }
    assert_non_null(redlock_loss_text((redlock_loss)12345));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_name),
        cmocka_unit_test(no_two_statuses_share_a_value_or_a_sentence),
        cmocka_unit_test(every_sentence_says_something),
        cmocka_unit_test(the_sign_tells_the_kind),
        cmocka_unit_test(a_value_of_another_library_is_answered_too),
        cmocka_unit_test(every_loss_says_something_of_its_own),
        cmocka_unit_test(the_version_is_the_header_s),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
