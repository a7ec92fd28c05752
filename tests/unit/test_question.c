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
                      .holder = "- hold who",
                      .holder_length = 10,
                      .first_ms = 30000,
                      .grace_ms = 5000,
                      .nonce = 77,
                      .mode = "sf/3",
                      .mode_length = 4,
                      .inbox = "2000 inbox",
                      .inbox_length = 10};
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
        assert_non_null(
            cmd->argv[FIRST + i]); /* an empty argument, too, is one that a codec may copy from */
        assert_memory_equal(cmd->argv[FIRST + i], expected[i], strlen(expected[i]));
    }
}

static void assert_asks(const question *from, int count, const char *const *expected)
{
    command cmd;

    question_command(&cmd, from, false);
    assert_arguments(&cmd, count, expected);
}

static void acquire_names_mode_inbox_and_arrival(void **state)
{
    const char *const expected[] = {"- hold who", "30000",           "5000", "77", "sf/3",
                                    "2000 inbox", "1800000000000000"};
    question from = about(SCRIPT_ACQUIRE);

    (void)state;
    from.arrival_us = INT64_C(1800000000000000);
    assert_asks(&from, 7, expected);
}

static void acquire_leaves_out_from_the_end_what_says_nothing(void **state)
{
    const char *const expected[] = {"- hold who", "30000", "5000", "77", "sf/3", "2000 inbox"};
    question from = about(SCRIPT_ACQUIRE);

    (void)state;
    assert_asks(&from, 6, expected);
    from.inbox_length = 0;
    assert_asks(&from, 5, expected);
    from.mode = "xw";
    from.mode_length = 2;
    assert_asks(&from, 5, (const char *const[]){"- hold who", "30000", "5000", "77", "xw"});
    from.mode = "x";
    from.mode_length = 1;
    assert_asks(&from, 4, expected);
}

static void a_plain_mode_is_named_all_the_same_when_something_follows(void **state)
{
    question from = about(SCRIPT_ACQUIRE);

    (void)state;
    from.mode = "x";
    from.mode_length = 1;
    assert_asks(&from, 6,
                (const char *const[]){"- hold who", "30000", "5000", "77", "x", "2000 inbox"});
}

static void a_reader_is_never_left_out(void **state)
{
    question from = about(SCRIPT_ACQUIRE);

    (void)state;
    from.inbox_length = 0;
    from.mode = "s";
    from.mode_length = 1;
    assert_asks(&from, 5, (const char *const[]){"- hold who", "30000", "5000", "77", "s"});
}

static void cancel_names_mode_and_inbox_always(void **state)
{
    const char *const expected[] = {"- hold who", "30000", "5000", "77", "sf/3", "2000 inbox"};
    question from = about(SCRIPT_CANCEL);

    (void)state;
    assert_asks(&from, 6, expected);
    from.mode = "x";
    from.mode_length = 1;
    from.inbox = NULL;
    from.inbox_length = 0;
    assert_asks(&from, 6, (const char *const[]){"- hold who", "30000", "5000", "77", "x", ""});
}

static void a_burial_is_asked_for_last_and_only_above_zero(void **state)
{
    const char *const of_cancel[] = {"- hold who", "30000",      "5000",  "77",
                                     "sf/3",       "2000 inbox", "120000"};
    const char *const of_release[] = {"- hold who", "30000", "5000", "77", "120000"};
    question cancel = about(SCRIPT_CANCEL), release = about(SCRIPT_RELEASE);

    (void)state;
    assert_asks(&release, 4, of_release);
    cancel.burial_ms = release.burial_ms = 120000;
    assert_asks(&cancel, 7, of_cancel);
    assert_asks(&release, 5, of_release);
}

static void a_conversion_and_force_name_the_fence_always(void **state)
{
    static const enum script_id ids[] = {SCRIPT_UPGRADE, SCRIPT_DOWNGRADE, SCRIPT_FORCE};
    const char *const expected[] = {"- hold who", "30000", "5000", "77", "1800000000000001"};
    const char *const looking[] = {"- hold who", "30000", "5000", "77", "0"};

    (void)state;
    for (int i = 0; i < 3; i++) {
        question from = about(ids[i]);

        assert_asks(&from, 5, looking);
        from.fence = INT64_C(1800000000000001);
        assert_asks(&from, 5, expected);
    }
}

static void force_names_no_holder(void **state)
{
    question from = about(SCRIPT_FORCE);

    (void)state;
    from.holder = NULL;
    from.holder_length = 0;
    assert_asks(&from, 5, (const char *const[]){"", "30000", "5000", "77", "0"});
}

static void renew_has_nothing_of_its_own(void **state)
{
    question from = about(SCRIPT_RENEW);

    (void)state;
    from.burial_ms = from.fence = from.arrival_us = 5;
    assert_asks(&from, 4, (const char *const[]){"- hold who", "30000", "5000", "77"});
}

static void a_script_is_asked_nothing_of_another_s(void **state)
{
    question acquire = about(SCRIPT_ACQUIRE), cancel = about(SCRIPT_CANCEL),
             release = about(SCRIPT_RELEASE);

    (void)state;
    acquire.burial_ms = acquire.fence = 5;
    cancel.arrival_us = cancel.fence = release.arrival_us = release.fence = 5;
    assert_asks(&acquire, 6,
                (const char *const[]){"- hold who", "30000", "5000", "77", "sf/3", "2000 inbox"});
    assert_asks(&cancel, 6,
                (const char *const[]){"- hold who", "30000", "5000", "77", "sf/3", "2000 inbox"});
    assert_asks(&release, 4, (const char *const[]){"- hold who", "30000", "5000", "77"});
}

static void inspect_says_how_many_and_its_nonce(void **state)
{
    const char *const expected[] = {"1000", "77"};
    question from = {
        .script = SCRIPT_INSPECT, .key = "key", .key_length = 3, .first_ms = 1000, .nonce = 77};
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
    const char *const expected[] = {"- hold who", "9223372036854775807", "-9223372036854775808",
                                    "77"};
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
        cmocka_unit_test(acquire_names_mode_inbox_and_arrival),
        cmocka_unit_test(acquire_leaves_out_from_the_end_what_says_nothing),
        cmocka_unit_test(a_plain_mode_is_named_all_the_same_when_something_follows),
        cmocka_unit_test(a_reader_is_never_left_out),
        cmocka_unit_test(cancel_names_mode_and_inbox_always),
        cmocka_unit_test(a_burial_is_asked_for_last_and_only_above_zero),
        cmocka_unit_test(a_conversion_and_force_name_the_fence_always),
        cmocka_unit_test(force_names_no_holder),
        cmocka_unit_test(renew_has_nothing_of_its_own),
        cmocka_unit_test(a_script_is_asked_nothing_of_another_s),
        cmocka_unit_test(inspect_says_how_many_and_its_nonce),
        cmocka_unit_test(a_script_goes_by_digest_or_by_source),
        cmocka_unit_test(the_largest_numbers_fit),
        cmocka_unit_test(a_key_with_nul_bytes_keeps_its_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
