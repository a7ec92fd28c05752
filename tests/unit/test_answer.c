/* SPDX-License-Identifier: MIT
 * wire/answer: replies judged. The error texts are those of real servers: Redis 7.0.15, and what Redis 5 and 6 make
 * of an error inside a script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/answer.h"

static reply integer(int64_t number) { return (reply){.kind = REPLY_INTEGER, .integer = number}; }

static reply text_of(enum reply_kind kind, const char *text)
{
    return (reply){.kind = kind, .text = text, .length = strlen(text)};
}

static answer judged(const reply *items, size_t count)
{
    answer out;
    reply array = {.kind = REPLY_ARRAY, .items = items, .count = count};

    memset(&out, 0xa5, sizeof out);
    answer_read(&out, &array);
    return out;
}

static void a_script_answers_code_nonce_and_values(void **state)
{
    reply items[] = {integer(2), integer(77), integer(3), integer(4), integer(INT64_MAX)};
    answer out = judged(items, 5);

    (void)state;
    assert_int_equal(out.kind, ANSWER_CODE);
    assert_int_equal(out.code, 2);
    assert_int_equal(out.nonce, 77);
    assert_int_equal(out.value[0], 3);
    assert_int_equal(out.value[1], 4);
    assert_true(out.value[2] == INT64_MAX);
    assert_string_equal(out.text, "");
}

static void values_that_are_not_there_are_zero(void **state)
{
    reply items[] = {integer(1), integer(77), integer(5)};
    answer out = judged(items, 3);

    (void)state;
    assert_int_equal(out.kind, ANSWER_CODE);
    assert_int_equal(out.value[0], 5);
    assert_int_equal(out.value[1], 0);
    assert_int_equal(out.value[2], 0);
}

static void what_follows_the_values_is_ignored(void **state)
{
    reply member = text_of(REPLY_STRING, "f");
    reply list = {.kind = REPLY_ARRAY, .items = &member, .count = 1};
    reply items[] = {integer(1), integer(77), integer(5), integer(6), integer(7), list, integer(9)};
    answer out = judged(items, 7);

    (void)state;
    assert_int_equal(out.kind, ANSWER_CODE);
    assert_int_equal(out.value[2], 7);
}

static void more_integers_than_values_are_ignored(void **state)
{
    reply items[40];

    (void)state;
    for (size_t i = 0; i < 40; i++) items[i] = integer(INT64_C(0x4141414141414141));
    assert_string_equal(judged(items, 40).text, "");
}

static void values_end_at_what_is_no_integer(void **state)
{
    reply items[] = {integer(1), integer(77), text_of(REPLY_STRING, "5"), integer(6)};
    answer out = judged(items, 4);

    (void)state;
    assert_int_equal(out.kind, ANSWER_CODE);
    assert_int_equal(out.value[0], 0);
    assert_int_equal(out.value[1], 0);
}

static void without_code_and_nonce_an_array_is_malformed(void **state)
{
    reply code_only[] = {integer(1)};
    reply text_code[] = {text_of(REPLY_STRING, "1"), integer(77)};
    reply nil_nonce[] = {integer(1), {.kind = REPLY_NIL}};

    (void)state;
    assert_int_equal(judged(NULL, 0).kind, ANSWER_MALFORMED);
    assert_int_equal(judged(code_only, 1).kind, ANSWER_MALFORMED);
    assert_int_equal(judged(text_code, 2).kind, ANSWER_MALFORMED);
    assert_int_equal(judged(nil_nonce, 2).kind, ANSWER_MALFORMED);
    assert_int_equal(judged(nil_nonce, 2).code, 0);
}

static void what_is_no_array_is_malformed(void **state)
{
    reply wrong[] = {{.kind = REPLY_NIL}, integer(1), text_of(REPLY_STRING, "x"), text_of(REPLY_STATUS, "OK")};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        answer out;

        answer_read(&out, &wrong[i]);
        assert_int_equal(out.kind, ANSWER_MALFORMED);
    }
}

static answer judged_error(const char *text)
{
    reply error = text_of(REPLY_ERROR, text);
    answer out;

    memset(&out, 0xa5, sizeof out);
    answer_read(&out, &error);
    return out;
}

static void an_error_is_kept_with_its_text_escaped(void **state)
{
    answer out = judged_error("MOVED 3999 127.0.0.1:6381\n");

    (void)state;
    assert_int_equal(out.kind, ANSWER_REDIRECT);
    assert_string_equal(out.text, "MOVED 3999 127.0.0.1:6381\\x0a");
    assert_int_equal(out.code, 0);
}

static void a_long_error_text_is_cut(void **state)
{
    char text[1000] = "ERR ";

    (void)state;
    memset(text + 4, 'e', sizeof text - 5);
    assert_int_equal(strlen(judged_error(text).text), ANSWER_TEXT - 1);
}

typedef struct example {
    enum answer_kind kind;
    const char *text;
} example;

static void assert_kinds(const example *examples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum answer_kind kind = answer_error_kind(examples[i].text, strlen(examples[i].text));

        if (kind != examples[i].kind) print_error("misjudged as %d: %s\n", (int)kind, examples[i].text);
        assert_int_equal(kind, examples[i].kind);
    }
}

#define ASSERT_KINDS(examples) assert_kinds((examples), sizeof(examples) / sizeof *(examples))

static void errors_are_told_by_their_first_word(void **state)
{
    const example examples[] = {
        {ANSWER_NOSCRIPT, "NOSCRIPT No matching script. Please use EVAL."},
        {ANSWER_TRANSIENT, "LOADING Redis is loading the dataset in memory"},
        {ANSWER_TRANSIENT, "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."},
        {ANSWER_TRANSIENT, "READONLY You can't write against a read only replica."},
        {ANSWER_TRANSIENT, "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."},
        {ANSWER_TRANSIENT, "CLUSTERDOWN Hash slot not served"},
        {ANSWER_TRANSIENT, "TRYAGAIN Multiple keys request during rehashing of slot"},
        {ANSWER_TRANSIENT,
         "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist on disk."},
        {ANSWER_TRANSIENT, "OOM command not allowed when used memory > 'maxmemory'."},
        {ANSWER_TRANSIENT, "NOREPLICAS Not enough good replicas to write."},
        {ANSWER_REDIRECT, "MOVED 3999 127.0.0.1:6381"},
        {ANSWER_REDIRECT, "ASK 3999 127.0.0.1:6381"},
        {ANSWER_DENIED, "NOAUTH Authentication required."},
        {ANSWER_DENIED, "WRONGPASS invalid username-password pair or user is disabled."},
        {ANSWER_DENIED, "NOPERM this user has no permissions to run the 'eval' command"},
        {ANSWER_DENIED, "DENIED Redis is running in protected mode because protected mode is enabled"},
        {ANSWER_DENIED, "ERR invalid password"},
        {ANSWER_WRONG_TYPE, "WRONGTYPE Operation against a key holding the wrong kind of value"},
        {ANSWER_TRANSIENT, "LOADING"},
    };

    (void)state;
    ASSERT_KINDS(examples);
}

static void redis_7_puts_the_code_of_a_scripts_error_first(void **state)
{
    const example examples[] = {
        {ANSWER_WRONG_TYPE, "WRONGTYPE Operation against a key holding the wrong kind of value script: "
                            "e25027e4bd4e49e8f8d98add3d07bd774f8a608f, on @user_script:1."},
        {ANSWER_TRANSIENT, "OOM command not allowed when used memory > 'maxmemory'. script: "
                           "e25027e4bd4e49e8f8d98add3d07bd774f8a608f, on @user_script:1."},
        {ANSWER_TRANSIENT, "NOREPLICAS Not enough good replicas to write. script: "
                           "e25027e4bd4e49e8f8d98add3d07bd774f8a608f, on @user_script:1."},
        {ANSWER_TRANSIENT, "READONLY You can't write against a read only replica. script: "
                           "e25027e4bd4e49e8f8d98add3d07bd774f8a608f, on @user_script:1."},
        {ANSWER_DENIED, "ERR The user executing the script can't publish to the channel mentioned in the command "
                        "script: 94f25712043ac9095f6de20828a4d713197bca4a, on @user_script:1."},
        {ANSWER_DENIED, "ERR The user executing the script can't run this command or subcommand script: "
                        "e25027e4bd4e49e8f8d98add3d07bd774f8a608f, on @user_script:1."},
    };

    (void)state;
    ASSERT_KINDS(examples);
}

static void redis_6_hides_the_code_of_a_scripts_error_inside(void **state)
{
    const example examples[] = {
        {ANSWER_WRONG_TYPE, "ERR Error running script (call to f_e25027e4bd4e49e8f8d98add3d07bd774f8a608f): "
                            "@user_script:1: WRONGTYPE Operation against a key holding the wrong kind of value"},
        {ANSWER_TRANSIENT, "ERR Error running script (call to f_e25027e4bd4e49e8f8d98add3d07bd774f8a608f): "
                           "@user_script:1: @user_script: 1: -OOM command not allowed when used memory > 'maxmemory'."},
        {ANSWER_TRANSIENT, "ERR Error running script (call to f_e25027e4bd4e49e8f8d98add3d07bd774f8a608f): "
                           "@user_script:1: -READONLY You can't write against a read only replica."},
        {ANSWER_TRANSIENT, "ERR something -OOM command not allowed"},
        {ANSWER_DENIED, "ERR Error running script (call to f_e25027e4bd4e49e8f8d98add3d07bd774f8a608f): "
                        "@user_script:1: @user_script: 1: The user executing the script can't run this command"},
    };

    (void)state;
    ASSERT_KINDS(examples);
}

static void any_other_error_is_just_an_error(void **state)
{
    const example examples[] = {
        {ANSWER_ERROR, ""},
        {ANSWER_ERROR, "ERR"},
        {ANSWER_ERROR, "ERR "},
        {ANSWER_ERROR, "ERR DB index is out of range"},
        {ANSWER_ERROR, "ERR user_script:1: attempt to perform arithmetic on a table value script: "
                       "f1cd7df0c64e5b83fffdfacfe26085fda16f084c, on @user_script:1."},
        {ANSWER_ERROR, "CROSSSLOT Keys in request don't hash to the same slot"},
        {ANSWER_ERROR, "BUSYGROUP Consumer Group name already exists"},
        {ANSWER_ERROR, "BUSYKEY Target key name already exists."},
        {ANSWER_ERROR, "OO"},
        {ANSWER_ERROR, "oom command not allowed"},
        {ANSWER_ERROR, "ERR the word OOM in a sentence"},
        {ANSWER_ERROR, "ERR a place: OOMPH"},
        {ANSWER_ERROR, "ERR a script may not redirect: MOVED 1 host:1"},
        {ANSWER_ERROR, "EXECABORT something: OOM command"},
    };

    (void)state;
    ASSERT_KINDS(examples);
}

static void an_error_is_read_no_further_than_its_length(void **state)
{
    (void)state;
    assert_int_equal(answer_error_kind("OOM command", 2), ANSWER_ERROR);
    assert_int_equal(answer_error_kind("LOADINGX", 7), ANSWER_TRANSIENT);
    assert_int_equal(answer_error_kind("ERR x: OOM", 9), ANSWER_ERROR);
    assert_int_equal(answer_error_kind("ERR x: OOM", 10), ANSWER_TRANSIENT);
    assert_int_equal(answer_error_kind(NULL, 0), ANSWER_ERROR);
}

/* ---- Grants ---- */

/* Read from a block of its exact size, so that a sanitizer sees a read beyond it. */
static bool is_grant(const char *payload, size_t length)
{
    grant out;
    char *exact = malloc(length > 0 ? length : 1);

    assert_non_null(exact);
    if (length > 0) memcpy(exact, payload, length);
    bool done = grant_read(&out, exact, length);
    free(exact);
    return done;
}

static void a_grant_is_read_field_by_field(void **state)
{
    const char payload[] = "grant AbC-_.1z 1700000000000001 2000 1700000000000000";
    grant out;

    (void)state;
    assert_true(grant_read(&out, payload, sizeof payload - 1));
    assert_ptr_equal(out.hold_id, payload + 6);
    assert_int_equal(out.hold_id_length, 8);
    assert_true(out.fence == UINT64_C(1700000000000001));
    assert_int_equal(out.lease_ms, 2000);
    assert_true(out.server_us == INT64_C(1700000000000000));
}

static void what_is_not_exactly_a_grant_is_refused(void **state)
{
    const char *wrong[] = {
        "",
        "grant",
        "grant ",
        "grant id",
        "grant id 1",
        "grant id 1 2",
        "grant id 1 2 ",
        "grant id 1 2 3 ",
        "grant id 1 2 3 4",
        "grant id 1 2 3x",
        "Grant id 1 2 3",
        "grants id 1 2 3",
        " grant id 1 2 3",
        "grant  1 2 3",
        "grant id  1 2 3",
        "grant id 1  2 3",
        "grant id 1 2  3",
        "grant\tid 1 2 3",
        "grant id 0 2 3",
        "grant id 1 0 3",
        "grant id -1 2 3",
        "grant id 1 -2 3",
        "grant id 1 2 -3",
        "grant id +1 2 3",
        "grant id 01 2 3",
        "grant id 1.0 2 3",
        "grant id 1e3 2 3",
        "grant id a 2 3",
        "grant i\nd 1 2 3",
        "grant i\xc3\xa9 1 2 3",
        "grant 0123456789abcdef0123456789abcdef 1 2 3",
        "grant id 18446744073709551616 2 3",
        "grant id 1 9223372036854775808 3",
        "grant id 1 2 9223372036854775808",
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (is_grant(wrong[i], strlen(wrong[i]))) print_error("taken for a grant: %s\n", wrong[i]);
        assert_false(is_grant(wrong[i], strlen(wrong[i])));
    }
}

static void the_largest_numbers_of_a_grant_are_read(void **state)
{
    const char payload[] =
        "grant 0123456789abcdef.0123456789abcd 18446744073709551615 9223372036854775807 9223372036854775807";

    (void)state;
    assert_true(is_grant(payload, sizeof payload - 1));
}

static void a_nul_is_no_part_of_a_grant(void **state)
{
    (void)state;
    assert_false(is_grant("grant id 1 2 3\0", 15));
    assert_false(is_grant("grant i\0d 1 2 3", 15));
}

static void every_cut_grant_without_its_last_number_is_refused(void **state)
{
    const char whole[] = "grant id 1 2 3";

    (void)state;
    for (size_t length = 0; length < sizeof whole - 1; length++) assert_false(is_grant(whole, length));
    assert_true(is_grant(whole, sizeof whole - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_script_answers_code_nonce_and_values),
        cmocka_unit_test(values_that_are_not_there_are_zero),
        cmocka_unit_test(what_follows_the_values_is_ignored),
        cmocka_unit_test(more_integers_than_values_are_ignored),
        cmocka_unit_test(values_end_at_what_is_no_integer),
        cmocka_unit_test(without_code_and_nonce_an_array_is_malformed),
        cmocka_unit_test(what_is_no_array_is_malformed),
        cmocka_unit_test(an_error_is_kept_with_its_text_escaped),
        cmocka_unit_test(a_long_error_text_is_cut),
        cmocka_unit_test(errors_are_told_by_their_first_word),
        cmocka_unit_test(redis_7_puts_the_code_of_a_scripts_error_first),
        cmocka_unit_test(redis_6_hides_the_code_of_a_scripts_error_inside),
        cmocka_unit_test(any_other_error_is_just_an_error),
        cmocka_unit_test(an_error_is_read_no_further_than_its_length),
        cmocka_unit_test(a_grant_is_read_field_by_field),
        cmocka_unit_test(what_is_not_exactly_a_grant_is_refused),
        cmocka_unit_test(the_largest_numbers_of_a_grant_are_read),
        cmocka_unit_test(a_nul_is_no_part_of_a_grant),
        cmocka_unit_test(every_cut_grant_without_its_last_number_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
