/* SPDX-License-Identifier: MIT
 * wire/text and wire/decimal: what is shown of foreign bytes, and which spellings are numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "wire/decimal.h"
#include "wire/text.h"

static void printable_ascii_is_not_changed(void **state)
{
    char out[200];
    char all[96] = "";
    size_t length = 0;

    (void)state;
    for (char byte = ' '; byte <= '~'; byte++) {
        if (byte != '\\') all[length++] = byte;
    }
    assert_string_equal(text_escape(out, sizeof out, all, length), all);
}

static void everything_else_becomes_its_hex(void **state)
{
    char out[100];

    (void)state;
    assert_string_equal(text_escape(out, sizeof out, "\0\n\x1b\x7f\\\xc3\xa9\xff", 8),
                        "\\x00\\x0a\\x1b\\x7f\\x5c\\xc3\\xa9\\xff");
}

static void two_texts_never_look_the_same(void **state)
{
    char plain[20], raw[20];

    (void)state;
    text_escape(plain, sizeof plain, "\\x0a", 4);
    text_escape(raw, sizeof raw, "\n", 1);
    assert_string_not_equal(plain, raw);
}

static void a_text_is_cut_before_an_escape_that_does_not_fit(void **state)
{
    char out[7];

    (void)state;
    assert_string_equal(text_escape(out, sizeof out, "ab\ncd", 5), "ab\\x0a");
    assert_string_equal(text_escape(out, sizeof out, "abc\ncd", 6), "abc");
}

static void the_end_is_always_a_nul_within_bounds(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 16; size++) {
        char out[20];

        memset(out, 'Z', sizeof out);
        text_escape(out, size, "\n\n\n\n\n\n", 6);
        assert_int_equal(strlen(out), (size - 1) / 4 * 4);
        for (size_t i = size; i < sizeof out; i++) assert_int_equal(out[i], 'Z');
    }
}

static void no_room_means_no_write(void **state)
{
    char out[1] = {'Z'};

    (void)state;
    assert_ptr_equal(text_escape(out, 0, "abc", 3), out);
    assert_int_equal(out[0], 'Z');
}

static void nothing_is_an_empty_text(void **state)
{
    char out[4];

    (void)state;
    assert_string_equal(text_escape(out, sizeof out, NULL, 0), "");
}

static bool reads_as(const char *digits, uint64_t max, uint64_t expected)
{
    uint64_t number = 0;

    return decimal_read(&number, digits, strlen(digits), max) && number == expected;
}

static bool is_refused(const char *digits, uint64_t max)
{
    uint64_t number;

    return !decimal_read(&number, digits, strlen(digits), max);
}

static void a_number_is_read_up_to_its_maximum(void **state)
{
    (void)state;
    assert_true(reads_as("0", 0, 0));
    assert_true(reads_as("65535", 65535, 65535));
    assert_true(reads_as("9223372036854775807", INT64_MAX, INT64_MAX));
    assert_true(reads_as("18446744073709551615", UINT64_MAX, UINT64_MAX));
    assert_true(is_refused("1", 0));
    assert_true(is_refused("65536", 65535));
    assert_true(is_refused("9223372036854775808", INT64_MAX));
    assert_true(is_refused("18446744073709551616", UINT64_MAX));
    assert_true(is_refused("99999999999999999999999", UINT64_MAX));
}

static void small_maxima_hold_exactly(void **state)
{
    (void)state;
    for (uint64_t max = 0; max <= 120; max++) {
        for (uint64_t number = 0; number <= 1300; number++) {
            char digits[24];

            snprintf(digits, sizeof digits, "%d", (int)number);
            assert_int_equal(is_refused(digits, max), number > max);
        }
    }
}

static void only_the_plain_spelling_is_a_number(void **state)
{
    const char *wrong[] = {"",    " 1",  "1 ", "+1", "-1", "01", "00",  "1.0",
                           "1e3", "0x1", "1a", "a",  "/",  ":",  "\xb2"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_true(is_refused(wrong[i], UINT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printable_ascii_is_not_changed),
        cmocka_unit_test(everything_else_becomes_its_hex),
        cmocka_unit_test(two_texts_never_look_the_same),
        cmocka_unit_test(a_text_is_cut_before_an_escape_that_does_not_fit),
        cmocka_unit_test(the_end_is_always_a_nul_within_bounds),
        cmocka_unit_test(no_room_means_no_write),
        cmocka_unit_test(nothing_is_an_empty_text),
        cmocka_unit_test(a_number_is_read_up_to_its_maximum),
        cmocka_unit_test(small_maxima_hold_exactly),
        cmocka_unit_test(only_the_plain_spelling_is_a_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
