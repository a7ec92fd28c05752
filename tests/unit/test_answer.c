/* SPDX-License-Identifier: MIT
 * wire/answer: replies judged. The error texts are those of real servers: Redis 7.0.15, and what
 * Redis 5 and 6 make of an error inside a script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/answer.h"
#include "wire/identity.h"

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

static void a_script_answers_code_nonce_clock_and_values(void **state)
{
    reply items[] = {integer(2), integer(77), integer(5),        integer(3),
                     integer(4), integer(6),  integer(INT64_MAX)};
    answer out = judged(items, 7);

    (void)state;
    assert_int_equal(out.kind, ANSWER_CODE);
    assert_int_equal(out.code, 2);
    assert_int_equal(out.nonce, 77);
    assert_int_equal(out.server_us, 5);
    assert_int_equal(out.value[0], 3);
    assert_int_equal(out.value[1], 4);
    assert_int_equal(out.value[2], 6);
    assert_true(out.value[3] == INT64_MAX);
    assert_string_equal(out.text, "");
}

static void values_that_are_not_there_are_zero(void **state)
{
    reply items[] = {integer(1), integer(77), integer(9), integer(5)};
    answer out = judged(items, 4);

    (void)state;
    assert_int_equal(out.kind, ANSWER_CODE);
    assert_int_equal(out.value[0], 5);
    for (int i = 1; i < ANSWER_VALUES; i++) assert_int_equal(out.value[i], 0);
}

static void three_integers_are_an_answer(void **state)
{
    reply items[] = {integer(CODE_BAD_ARGUMENT), integer(77), integer(0)};
    answer out = judged(items, 3);

    (void)state;
    assert_int_equal(out.kind, ANSWER_CODE);
    assert_int_equal(out.code, CODE_BAD_ARGUMENT);
    assert_int_equal(out.server_us, 0);
    for (int i = 0; i < ANSWER_VALUES; i++) assert_int_equal(out.value[i], 0);
}

static void what_follows_the_values_is_ignored(void **state)
{
    reply member = text_of(REPLY_STRING, "f1");
    reply list = {.kind = REPLY_ARRAY, .items = &member, .count = 1};
    reply items[] = {integer(1), integer(77), integer(9), integer(5),
                     integer(6), integer(7),  list,       integer(8)};
    answer out = judged(items, 8);

    (void)state;
    assert_int_equal(out.kind, ANSWER_CODE);
    assert_int_equal(out.value[2], 7);
    assert_int_equal(out.value[3], 0);
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
    reply items[] = {integer(1), integer(77), integer(9), text_of(REPLY_STRING, "5"), integer(6)};
    answer out = judged(items, 5);

    (void)state;
    assert_int_equal(out.kind, ANSWER_CODE);
    assert_int_equal(out.value[0], 0);
    assert_int_equal(out.value[1], 0);
}

static void without_code_nonce_and_clock_an_array_is_malformed(void **state)
{
    reply short_of_one[] = {integer(1), integer(77)};
    reply not_one[] = {{.kind = REPLY_NIL}, text_of(REPLY_STRING, "1")};

    (void)state;
    for (size_t count = 0; count <= 2; count++)
        assert_int_equal(judged(short_of_one, count).kind, ANSWER_MALFORMED);
    for (size_t at = 0; at < 3; at++)
        for (size_t i = 0; i < 2; i++) {
            reply items[] = {integer(1), integer(77), integer(9), integer(5)};

            items[at] = not_one[i];
            answer out = judged(items, 4);
            assert_int_equal(out.kind, ANSWER_MALFORMED);
            assert_int_equal(out.code, 0);
            assert_int_equal(out.server_us, 0);
            assert_int_equal(out.value[0], 0);
        }
}

static void what_is_no_array_is_malformed(void **state)
{
    reply wrong[] = {
        {.kind = REPLY_NIL}, integer(1), text_of(REPLY_STRING, "x"), text_of(REPLY_STATUS, "OK")};

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

        if (kind != examples[i].kind)
            print_error("misjudged as %d: %s\n", (int)kind, examples[i].text);
        assert_int_equal(kind, examples[i].kind);
    }
}

#define ASSERT_KINDS(examples) assert_kinds((examples), sizeof(examples) / sizeof *(examples))

static void errors_are_told_by_their_first_word(void **state)
{
    const example examples[] = {
        {ANSWER_UNKNOWN_SCRIPT, "NOSCRIPT No matching script. Please use EVAL."},
        {ANSWER_TRANSIENT, "LOADING Redis is loading the dataset in memory"},
        {ANSWER_TRANSIENT,
         "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."},
        {ANSWER_MISPLACED, "READONLY You can't write against a read only replica."},
        {ANSWER_MISPLACED,
         "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."},
        {ANSWER_MISPLACED,
         "UNBLOCKED force unblock from blocking operation, instance state changed "
         "(master -> replica?)"},
        {ANSWER_TRANSIENT, "CLUSTERDOWN Hash slot not served"},
        {ANSWER_TRANSIENT, "TRYAGAIN Multiple keys request during rehashing of slot"},
        {ANSWER_TRANSIENT, "MISCONF Redis is configured to save RDB snapshots, but it's currently "
                           "unable to persist on disk."},
        {ANSWER_TRANSIENT, "OOM command not allowed when used memory > 'maxmemory'."},
        {ANSWER_TRANSIENT, "NOREPLICAS Not enough good replicas to write."},
        {ANSWER_REDIRECT, "MOVED 3999 127.0.0.1:6381"},
        {ANSWER_REDIRECT, "ASK 3999 127.0.0.1:6381"},
        {ANSWER_DENIED, "NOAUTH Authentication required."},
        {ANSWER_DENIED, "WRONGPASS invalid username-password pair or user is disabled."},
        {ANSWER_DENIED, "NOPERM this user has no permissions to run the 'eval' command"},
        {ANSWER_DENIED,
         "DENIED Redis is running in protected mode because protected mode is enabled"},
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
        {ANSWER_WRONG_TYPE,
         "WRONGTYPE Operation against a key holding the wrong kind of value script: "
         "e25027e4bd4e49e8f8d98add3d07bd774f8a608f, on @user_script:1."},
        {ANSWER_TRANSIENT, "OOM command not allowed when used memory > 'maxmemory'. script: "
                           "e25027e4bd4e49e8f8d98add3d07bd774f8a608f, on @user_script:1."},
        {ANSWER_TRANSIENT, "NOREPLICAS Not enough good replicas to write. script: "
                           "e25027e4bd4e49e8f8d98add3d07bd774f8a608f, on @user_script:1."},
        {ANSWER_MISPLACED, "READONLY You can't write against a read only replica. script: "
                           "e25027e4bd4e49e8f8d98add3d07bd774f8a608f, on @user_script:1."},
        {ANSWER_DENIED,
         "ERR The user executing the script can't publish to the channel mentioned in the command "
         "script: 94f25712043ac9095f6de20828a4d713197bca4a, on @user_script:1."},
        {ANSWER_DENIED, "ERR ACL failure in script: User u has no permissions to run the 'time' "
                        "command script: ab"},
        {ANSWER_DENIED,
         "ERR The user executing the script can't run this command or subcommand script: "
         "e25027e4bd4e49e8f8d98add3d07bd774f8a608f, on @user_script:1."},
    };

    (void)state;
    ASSERT_KINDS(examples);
}

static void redis_6_hides_the_code_of_a_scripts_error_inside(void **state)
{
    const example examples[] = {
        {ANSWER_WRONG_TYPE,
         "ERR Error running script (call to f_e25027e4bd4e49e8f8d98add3d07bd774f8a608f): "
         "@user_script:1: WRONGTYPE Operation against a key holding the wrong kind of value"},
        {ANSWER_TRANSIENT,
         "ERR Error running script (call to f_e25027e4bd4e49e8f8d98add3d07bd774f8a608f): "
         "@user_script:1: @user_script: 1: -OOM command not allowed when used memory > "
         "'maxmemory'."},
        {ANSWER_MISPLACED,
         "ERR Error running script (call to f_e25027e4bd4e49e8f8d98add3d07bd774f8a608f): "
         "@user_script:1: -READONLY You can't write against a read only replica."},
        {ANSWER_TRANSIENT, "ERR something -OOM command not allowed"},
        {ANSWER_DENIED,
         "ERR Error running script (call to f_e25027e4bd4e49e8f8d98add3d07bd774f8a608f): "
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
        {ANSWER_ERROR, "BUSYGROUP Consumer Group name already exists"},
        {ANSWER_ERROR, "BUSYKEY Target key name already exists."},
        {ANSWER_ERROR, "OO"},
        {ANSWER_ERROR, "oom command"},
        {ANSWER_ERROR, "ERR the word OOM in a sentence"},
        {ANSWER_ERROR, "ERR a place: OOMPH"},
        {ANSWER_ERROR, "ERR a script may not redirect: MOVED 1 host:1"},
        {ANSWER_ERROR, "EXECABORT something: OOM command"},
    };

    (void)state;
    ASSERT_KINDS(examples);
}

/* What Redis, Valkey, Envoy, Kvrocks, Upstash and Dragonfly say of what they do not know. */
static void what_is_not_supported_is_told_by_its_words(void **state)
{
    const example examples[] = {
        {ANSWER_UNSUPPORTED, "ERR unknown command 'EVALSHA', with args beginning with: 'a' 'b' "},
        {ANSWER_UNSUPPORTED, "ERR Unknown subcommand or wrong number of arguments for 'LOAD'."},
        {ANSWER_UNSUPPORTED, "ERR wrong number of arguments for 'subscribe' command"},
        {ANSWER_UNSUPPORTED, "ERR Unknown Redis command called from script script: ab, on @x:1."},
        {ANSWER_UNSUPPORTED, "ERR This Redis command is not allowed from script script: ab"},
        {ANSWER_UNSUPPORTED,
         "ERR Error compiling script (new function): user_script:1: '=' expected"},
        {ANSWER_UNSUPPORTED,
         "ERR user_script:1: attempt to perform arithmetic on a table value "
         "script: f1cd7df0c64e5b83fffdfacfe26085fda16f084c, on @user_script:1."},
        {ANSWER_UNSUPPORTED, "CROSSSLOT Keys in request don't hash to the same slot"},
        {ANSWER_UNSUPPORTED, "unsupported command 'subscribe'"},
        {ANSWER_UNSUPPORTED, "invalid request"},
        {ANSWER_UNSUPPORTED, "ERR Command is not available: 'SUBSCRIBE'"},
        {ANSWER_UNSUPPORTED, "ERR SELECT IS NOT ALLOWED in cluster mode"},
    };

    (void)state;
    ASSERT_KINDS(examples);
}

/* twemproxy's and Envoy's words for a server that is away. */
static void what_a_proxy_says_of_its_server_may_pass(void **state)
{
    const example examples[] = {
        {ANSWER_ERROR, "ERR Connection refused"},
        {ANSWER_ERROR, "ERR Connection timed out"},
        {ANSWER_ERROR, "ERR Host is unreachable"},
        {ANSWER_ERROR, "upstream failure"},
        {ANSWER_ERROR, "no upstream host"},
        {ANSWER_ERROR, "ERR max number of clients reached"},
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
    assert_int_equal(answer_error_kind("unknown command", 14), ANSWER_ERROR);
    assert_int_equal(answer_error_kind("unknown command", 15), ANSWER_UNSUPPORTED);
    assert_int_equal(answer_error_kind(NULL, 0), ANSWER_ERROR);
}

/* ---- What is told of a hold ---- */

static void a_standing_is_fence_kind_and_lease(void **state)
{
    const int64_t exclusive[ANSWER_VALUES] = {1800000000000001, 1, 30000},
                  shared[ANSWER_VALUES] = {1, 2, 1, -5};
    standing out;

    (void)state;
    assert_true(standing_read(&out, exclusive));
    assert_true(out.fence == UINT64_C(1800000000000001));
    assert_int_equal(out.kind, KIND_EXCLUSIVE);
    assert_int_equal(out.lease_ms, 30000);
    assert_true(standing_read(&out, shared));
    assert_true(out.fence == 1);
    assert_int_equal(out.kind, KIND_SHARED);
    assert_int_equal(out.lease_ms, 1);
}

static void the_largest_numbers_of_a_standing_are_read(void **state)
{
    const int64_t largest[ANSWER_VALUES] = {FENCE_MOST, 2, SPAN_MOST};
    standing out;

    (void)state;
    assert_true(standing_read(&out, largest));
    assert_true(out.fence == (uint64_t)FENCE_MOST);
    assert_int_equal(out.lease_ms, SPAN_MOST);
}

static void numbers_that_no_script_gives_are_no_standing(void **state)
{
    const int64_t wrong[][ANSWER_VALUES] = {{0, 0, 0},         {0, 1, 5},
                                            {-1, 1, 5},        {FENCE_MOST + 1, 1, 5},
                                            {INT64_MIN, 1, 5}, {INT64_MAX, 1, 5},
                                            {7, 0, 5},         {7, 3, 5},
                                            {7, -1, 5},        {7, 'x', 5},
                                            {7, INT64_MAX, 5}, {7, 1, 0},
                                            {7, 1, -1},        {7, 1, SPAN_MOST + 1},
                                            {7, 1, INT64_MIN}, {7, 1, INT64_MAX}};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        standing out = {.fence = 99, .kind = 'q', .lease_ms = 98};

        assert_false(standing_read(&out, wrong[i]));
        assert_true(out.fence == 99 && out.kind == 'q' &&
                    out.lease_ms == 98); /* the caller's, untouched */
    }
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
    const char payload[] =
        "grant 1700000000000001 2000 1700000000000000 @t%20 AbC-_.1z h:1:n redlock:{a}";
    grant out;

    (void)state;
    assert_true(grant_read(&out, payload, sizeof payload - 1));
    assert_true(out.fence == UINT64_C(1700000000000001));
    assert_int_equal(out.lease_ms, 2000);
    assert_true(out.server_us == INT64_C(1700000000000000));
    assert_ptr_equal(out.holder, strchr(payload, '@'));
    assert_int_equal(out.holder_length, strlen("@t%20 AbC-_.1z h:1:n"));
    assert_ptr_equal(out.hold_id, strstr(payload, "AbC"));
    assert_int_equal(out.hold_id_length, 8);
    assert_ptr_equal(out.key, strstr(payload, "redlock:"));
    assert_int_equal(out.key_length, strlen("redlock:{a}"));
}

/* The key is whatever follows: a name may have any byte in it. */
static void a_key_of_any_bytes_ends_a_grant(void **state)
{
    static const char payload[] = "grant 7 5 3 - id who a b\0c\n\xff ";
    grant out;

    (void)state;
    assert_true(grant_read(&out, payload, sizeof payload - 1));
    assert_int_equal(out.key_length, 8);
    assert_memory_equal(out.key, "a b\0c\n\xff ", 8);
    assert_int_equal(out.holder_length, strlen("- id who"));
}

static const char *const no_grants[] = {
    "",
    "grant",
    "grant ",
    "grant 1",
    "grant 1 2 3",
    "grant 1 2 3 ",
    "grant 1 2 3 -",
    "grant 1 2 3 - id",
    "grant 1 2 3 - id who",
    "grant 1 2 3 - id who ",
    "Grant 1 2 3 - id who key",
    "grants 1 2 3 - id who key",
    " grant 1 2 3 - id who key",
    "grant  1 2 3 - id who key",
    "grant 1  2 3 - id who key",
    "grant 1 2  3 - id who key",
    "grant 1 2 3  - id who key",
    "grant 1 2 3 -  id who key",
    "grant 1 2 3 - id  who key",
    "grant\t1 2 3 - id who key",
    "grant id 1 2 3",
    "grant 0 2 3 - id who key",
    "grant 1 0 3 - id who key",
    "grant 1 2 0 - id who key",
    "grant -1 2 3 - id who key",
    "grant 1 -2 3 - id who key",
    "grant 1 2 -3 - id who key",
    "grant +1 2 3 - id who key",
    "grant 01 2 3 - id who key",
    "grant 1.0 2 3 - id who key",
    "grant 1e3 2 3 - id who key",
    "grant a 2 3 - id who key",
    "grant 1 2 3x - id who key",
    "grant 1 2 3 x id who key",
    "grant 1 2 3 s@a id who key",
    "grant 1 2 3 @\n id who key",
    "grant 1 2 3 - i\nd who key",
    "grant 1 2 3 - i\xc3\xa9 who key",
    "grant 1 2 3 - 0123456789abcdef0123456789abcdef who key",
    "grant 5000000000000001 2 3 - id who key",
    "grant 18446744073709551616 2 3 - id who key",
    "grant 1 2592000001 3 - id who key",
    "grant 1 9223372036854775808 3 - id who key",
    "grant 1 2 9007199254740992 - id who key",
    "grant 1 2 9223372036854775808 - id who key",
};

static void what_is_not_exactly_a_grant_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof no_grants / sizeof *no_grants; i++) {
        if (is_grant(no_grants[i], strlen(no_grants[i])))
            print_error("taken for a grant: %s\n", no_grants[i]);
        assert_false(is_grant(no_grants[i], strlen(no_grants[i])));
    }
}

static void the_largest_numbers_of_a_grant_are_read(void **state)
{
    const char payload[] = "grant 5000000000000000 2592000000 9007199254740991 - "
                           "0123456789abcdef.0123456789abcd who key";

    (void)state;
    assert_true(is_grant(payload, sizeof payload - 1));
}

/* `mark` and as many bytes as are wanted, in the field of a grant that `format` has a %s for. */
static bool is_grant_with(const char *format, const char *mark, int length)
{
    char field[400], payload[500];

    memset(field, 'a', sizeof field);
    memcpy(field, mark, strlen(mark));
    field[length] = '\0';
    snprintf(payload, sizeof payload, format, field);
    return is_grant(payload, strlen(payload));
}

static void each_field_of_a_grant_is_as_long_as_it_may_be_and_no_longer(void **state)
{
    static const struct {
        const char *format, *mark;
        int most;
    } fields[] = {{"grant 1 2 3 %s id who key", "@", OWNER_FIELD_SIZE - 1},
                  {"grant 1 2 3 - %s who key", "", HOLD_ID_SIZE - 1},
                  {"grant 1 2 3 - id %s key", "", WHO_SIZE - 1}};

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_true(is_grant_with(fields[i].format, fields[i].mark, fields[i].most));
        assert_false(is_grant_with(fields[i].format, fields[i].mark, fields[i].most + 1));
    }
}

static void a_nul_is_no_part_of_a_grant_s_fields(void **state)
{
    (void)state;
    assert_false(is_grant("grant 1 2 3\0 - id who key", 25));
    assert_false(is_grant("grant 1 2 3 -\0 id who key", 25));
    assert_false(is_grant("grant 1 2 3 - i\0d who key", 25));
}

static void every_cut_grant_without_its_key_is_refused(void **state)
{
    const char whole[] = "grant 1 2 3 - id who k";

    (void)state;
    for (size_t length = 0; length < sizeof whole - 1; length++)
        assert_false(is_grant(whole, length));
    assert_true(is_grant(whole, sizeof whole - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_script_answers_code_nonce_clock_and_values),
        cmocka_unit_test(values_that_are_not_there_are_zero),
        cmocka_unit_test(three_integers_are_an_answer),
        cmocka_unit_test(what_follows_the_values_is_ignored),
        cmocka_unit_test(more_integers_than_values_are_ignored),
        cmocka_unit_test(values_end_at_what_is_no_integer),
        cmocka_unit_test(without_code_nonce_and_clock_an_array_is_malformed),
        cmocka_unit_test(what_is_no_array_is_malformed),
        cmocka_unit_test(an_error_is_kept_with_its_text_escaped),
        cmocka_unit_test(a_long_error_text_is_cut),
        cmocka_unit_test(errors_are_told_by_their_first_word),
        cmocka_unit_test(redis_7_puts_the_code_of_a_scripts_error_first),
        cmocka_unit_test(redis_6_hides_the_code_of_a_scripts_error_inside),
        cmocka_unit_test(any_other_error_is_just_an_error),
        cmocka_unit_test(what_is_not_supported_is_told_by_its_words),
        cmocka_unit_test(what_a_proxy_says_of_its_server_may_pass),
        cmocka_unit_test(an_error_is_read_no_further_than_its_length),
        cmocka_unit_test(a_standing_is_fence_kind_and_lease),
        cmocka_unit_test(the_largest_numbers_of_a_standing_are_read),
        cmocka_unit_test(numbers_that_no_script_gives_are_no_standing),
        cmocka_unit_test(a_grant_is_read_field_by_field),
        cmocka_unit_test(a_key_of_any_bytes_ends_a_grant),
        cmocka_unit_test(what_is_not_exactly_a_grant_is_refused),
        cmocka_unit_test(the_largest_numbers_of_a_grant_are_read),
        cmocka_unit_test(each_field_of_a_grant_is_as_long_as_it_may_be_and_no_longer),
        cmocka_unit_test(a_nul_is_no_part_of_a_grant_s_fields),
        cmocka_unit_test(every_cut_grant_without_its_key_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
