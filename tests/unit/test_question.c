/* SPDX-License-Identifier: MIT
 * wire/question: each script's arguments, in the order of docs/protocol.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/question.h"

enum { FIRST = 4 }; /* after EVALSHA, digest, "1" and the key */

static question about(enum script_id id)
{
    return (question){.script = id,
                      .key = "key",
                      .key_length = 3,
                      .holder = "x hold who",
                      .holder_length = 10,
                      .first_ms = 30000,
                      .grace_ms = 5000,
                      .nonce = 77,
                      .waiter = "2000 inbox x hold who",
                      .waiter_length = 21};
}

static void assert_arguments(const command *cmd, int count, const char *const *expected)
{
    assert_int_equal(cmd->argc, FIRST + count);
    assert_int_equal(cmd->length[2], 1);
    assert_memory_equal(cmd->argv[2], "1", 1);
    assert_int_equal(cmd->length[3], 3);
    assert_memory_equal(cmd->argv[3], "key", 3);
    for (int i = 0; i < count; i++) {
        assert_int_equal(cmd->length[FIRST + i], strlen(expected[i]));
        assert_non_null(cmd->argv[FIRST + i]); /* an empty argument, too, is one that a codec may copy from */
        assert_memory_equal(cmd->argv[FIRST + i], expected[i], strlen(expected[i]));
    }
}

static void acquire_and_cancel_name_the_waiter_last(void **state)
{
    static const enum script_id ids[] = {SCRIPT_ACQUIRE, SCRIPT_CANCEL};
    const char *const expected[] = {"x hold who", "30000", "5000", "77", "2000 inbox x hold who"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        question from = about(ids[i]);
        command cmd;

        question_command(&cmd, &from, false);
        assert_arguments(&cmd, 5, expected);
    }
}

static void without_a_waiter_the_last_argument_is_empty(void **state)
{
    const char *const expected[] = {"x hold who", "30000", "5000", "77", ""};
    question from = about(SCRIPT_ACQUIRE);
    command cmd;

    (void)state;
    from.waiter_length = 0;
    question_command(&cmd, &from, false);
    assert_arguments(&cmd, 5, expected);
    from.waiter = NULL;
    question_command(&cmd, &from, false);
    assert_arguments(&cmd, 5, expected);
}

static void a_conversion_names_last_what_the_holder_becomes(void **state)
{
    static const enum script_id ids[] = {SCRIPT_UPGRADE, SCRIPT_DOWNGRADE};
    const char *const expected[] = {"x hold who", "30000", "5000", "77", "s hold who"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        question from = about(ids[i]);
        command cmd;

        from.waiter = "s hold who";
        from.waiter_length = 10;
        question_command(&cmd, &from, false);
        assert_arguments(&cmd, 5, expected);
    }
}

static void release_renew_and_force_have_no_waiter(void **state)
{
    static const enum script_id ids[] = {SCRIPT_RELEASE, SCRIPT_RENEW, SCRIPT_FORCE};
    const char *const expected[] = {"x hold who", "30000", "5000", "77"};

    (void)state;
    for (int i = 0; i < 3; i++) {
        question from = about(ids[i]);
        command cmd;

        question_command(&cmd, &from, false);
        assert_arguments(&cmd, 4, expected);
    }
}

static void inspect_says_how_many_and_its_nonce(void **state)
{
    const char *const expected[] = {"1000", "77"};
    question from = {.script = SCRIPT_INSPECT, .key = "key", .key_length = 3, .first_ms = 1000, .nonce = 77};
    command cmd;

    (void)state;
    question_command(&cmd, &from, false);
    assert_arguments(&cmd, 2, expected);
}

static void a_script_goes_by_digest_or_by_source(void **state)
{
    (void)state;
    for (int id = 0; id < SCRIPT_COUNT; id++) {
        question from = about((enum script_id)id);
        command cmd;

        question_command(&cmd, &from, false);
        assert_string_equal(cmd.argv[0], "EVALSHA");
        assert_int_equal(cmd.length[1], 40);
        assert_memory_equal(cmd.argv[1], scripts[id].sha1, 40);
        question_command(&cmd, &from, true);
        assert_string_equal(cmd.argv[0], "EVAL");
        assert_ptr_equal(cmd.argv[1], scripts[id].source);
        assert_int_equal(cmd.length[1], scripts[id].source_length);
    }
}

static void the_largest_numbers_fit(void **state)
{
    const char *const expected[] = {"x hold who", "9223372036854775807", "-9223372036854775808", "77"};
    question from = about(SCRIPT_RENEW);
    command cmd;

    (void)state;
    from.first_ms = INT64_MAX;
    from.grace_ms = INT64_MIN;
    question_command(&cmd, &from, true);
    assert_arguments(&cmd, 4, expected);
}

static void a_key_with_nul_bytes_keeps_its_length(void **state)
{
    question from = about(SCRIPT_RENEW);
    command cmd;

    (void)state;
    from.key = "a\0b\0";
    from.key_length = 4;
    question_command(&cmd, &from, false);
    assert_int_equal(cmd.length[3], 4);
    assert_memory_equal(cmd.argv[3], "a\0b\0", 4);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(acquire_and_cancel_name_the_waiter_last),
        cmocka_unit_test(without_a_waiter_the_last_argument_is_empty),
        cmocka_unit_test(a_conversion_names_last_what_the_holder_becomes),
        cmocka_unit_test(release_renew_and_force_have_no_waiter),
        cmocka_unit_test(inspect_says_how_many_and_its_nonce),
        cmocka_unit_test(a_script_goes_by_digest_or_by_source),
        cmocka_unit_test(the_largest_numbers_fit),
        cmocka_unit_test(a_key_with_nul_bytes_keeps_its_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
