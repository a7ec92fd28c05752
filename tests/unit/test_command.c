/* SPDX-License-Identifier: MIT
 * wire/command: what is added is what is sent, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/command.h"

static void assert_word(const command *of, int at, const char *expected, size_t length)
{
    assert_true(at < of->argc);
    assert_int_equal(of->length[at], length);
    assert_memory_equal(of->argv[at], expected, length);
}

#define assert_argument(of, at, expected) assert_word((of), (at), (expected), sizeof(expected) - 1)

static void a_command_begins_with_its_verb(void **state)
{
    command ping;

    (void)state;
    memset(&ping, 0xa5, sizeof ping);
    command_begin(&ping, "PING");
    assert_int_equal(ping.argc, 1);
    assert_argument(&ping, 0, "PING");
}

static void an_argument_may_be_any_bytes_or_none(void **state)
{
    command get;

    (void)state;
    command_begin(&get, "GET");
    command_add(&get, "a\0\r\n", 4);
    command_add(&get, "", 0);
    assert_argument(&get, 1, "a\0\r\n");
    assert_argument(&get, 2, "");
    assert_int_equal(get.argc, 3);
}

static void an_argument_is_not_copied(void **state)
{
    const char key[] = "key";
    command get;

    (void)state;
    command_begin(&get, "GET");
    command_add_text(&get, key);
    assert_ptr_equal(get.argv[1], key);
}

static void each_number_keeps_its_own_digits(void **state)
{
    command set;

    (void)state;
    command_begin(&set, "X");
    command_add_number(&set, 0);
    command_add_number(&set, -1);
    command_add_number(&set, INT64_MAX);
    command_add_number(&set, INT64_MIN);
    assert_argument(&set, 1, "0");
    assert_argument(&set, 2, "-1");
    assert_argument(&set, 3, "9223372036854775807");
    assert_argument(&set, 4, "-9223372036854775808");
}

static void beginning_again_forgets_the_first_command(void **state)
{
    command twice;

    (void)state;
    command_begin(&twice, "X");
    for (int i = 0; i < COMMAND_NUMBERS; i++) command_add_number(&twice, i);
    command_begin(&twice, "Y");
    for (int i = 0; i < COMMAND_NUMBERS; i++) command_add_number(&twice, 9);
    assert_int_equal(twice.argc, 1 + COMMAND_NUMBERS);
    assert_argument(&twice, 1, "9");
}

static void a_script_is_called_by_its_digest(void **state)
{
    command run;

    (void)state;
    for (int id = 0; id < SCRIPT_COUNT; id++) {
        command_begin_script(&run, (enum script_id)id, false, "k\0y", 3);
        assert_int_equal(run.argc, 4);
        assert_argument(&run, 0, "EVALSHA");
        assert_word(&run, 1, scripts[id].sha1, 40);
        assert_argument(&run, 2, "1");
        assert_argument(&run, 3, "k\0y");
    }
}

static void a_script_is_sent_by_its_source(void **state)
{
    command run;

    (void)state;
    command_begin_script(&run, SCRIPT_RENEW, true, "key", 3);
    assert_argument(&run, 0, "EVAL");
    assert_word(&run, 1, scripts[SCRIPT_RENEW].source, scripts[SCRIPT_RENEW].source_length);
    assert_argument(&run, 2, "1");
    assert_argument(&run, 3, "key");
}

static void a_script_is_loaded_by_its_source(void **state)
{
    command load;

    (void)state;
    for (int id = 0; id < SCRIPT_COUNT; id++) {
        command_load_script(&load, (enum script_id)id);
        assert_int_equal(load.argc, 3);
        assert_argument(&load, 0, "SCRIPT");
        assert_argument(&load, 1, "LOAD");
        assert_word(&load, 2, scripts[id].source, scripts[id].source_length);
    }
}

static void the_longest_script_call_fits(void **state)
{
    command run;

    (void)state;
    /* acquire: holder, ttl, grace, nonce, waiter */
    command_begin_script(&run, SCRIPT_ACQUIRE, true, "key", 3);
    command_add_text(&run, "holder");
    for (int64_t number = 1; number <= 3; number++) command_add_number(&run, number);
    command_add_text(&run, "waiter");
    assert_int_equal(run.argc, 9);
    assert_argument(&run, 7, "3");
    assert_argument(&run, 8, "waiter");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_begins_with_its_verb),
        cmocka_unit_test(an_argument_may_be_any_bytes_or_none),
        cmocka_unit_test(an_argument_is_not_copied),
        cmocka_unit_test(each_number_keeps_its_own_digits),
        cmocka_unit_test(beginning_again_forgets_the_first_command),
        cmocka_unit_test(a_script_is_called_by_its_digest),
        cmocka_unit_test(a_script_is_sent_by_its_source),
        cmocka_unit_test(a_script_is_loaded_by_its_source),
        cmocka_unit_test(the_longest_script_call_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
