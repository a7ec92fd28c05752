/* SPDX-License-Identifier: MIT
 * wire/mode: what is written, that every mode can be read back, and that nothing else is taken for
 * one; and the field of an owner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/mode.h"

static void assert_written(const mode *from, const char *expected)
{
    char out[MODE_SIZE];

    assert_int_equal(mode_write(out, from), strlen(expected));
    assert_string_equal(out, expected);
}

static void a_plain_mode_is_one_letter(void **state)
{
    (void)state;
    assert_written(&(mode){.kind = KIND_EXCLUSIVE}, "x");
    assert_written(&(mode){.kind = KIND_SHARED}, "s");
}

static void each_part_has_its_mark_and_its_place(void **state)
{
    (void)state;
    assert_written(&(mode){.kind = KIND_EXCLUSIVE, .policy = POLICY_FAIR}, "xf");
    assert_written(&(mode){.kind = KIND_SHARED, .policy = POLICY_WRITERS}, "sw");
    assert_written(&(mode){.kind = KIND_SHARED, .permits = 3}, "s/3");
    assert_written(&(mode){.kind = KIND_SHARED, .policy = POLICY_FAIR, .permits = 3}, "sf/3");
}

static void a_limit_is_written_in_full(void **state)
{
    (void)state;
    assert_written(&(mode){.kind = KIND_SHARED, .permits = 1}, "s/1");
    assert_written(&(mode){.kind = KIND_SHARED, .permits = 10}, "s/10");
    assert_written(&(mode){.kind = KIND_SHARED, .permits = UINT32_MAX}, "s/4294967295");
}

static void the_longest_mode_fits(void **state)
{
    mode from = {.kind = KIND_SHARED, .policy = POLICY_WRITERS, .permits = UINT32_MAX};
    char out[MODE_SIZE];

    (void)state;
    size_t length = mode_write(out, &from);
    assert_int_equal(length, 2 + 1 + 10);
    assert_true(length < MODE_SIZE);
    assert_int_equal(out[length], '\0');
}

/* ---- Owners ---- */

static void assert_owner_written(const char *owner, size_t length, const char *expected)
{
    char out[OWNER_FIELD_SIZE];

    assert_int_equal(owner_write(out, owner, length), strlen(expected));
    assert_string_equal(out, expected);
}

static void nobody_is_a_dash(void **state)
{
    (void)state;
    assert_owner_written("", 0, "-");
    assert_owner_written(NULL, 0, "-");
}

static void an_owner_that_is_not_plain_is_percent_encoded(void **state)
{
    (void)state;
    assert_owner_written("txn-77", 6, "@txn-77");
    assert_owner_written("-", 1, "@-");
    assert_owner_written("a/b@c:~!", 8, "@a/b@c:~!");
    assert_owner_written("a b%\n\x7f\xff", 7, "@a%20b%25%0A%7F%FF");
    assert_owner_written("a\0b", 3, "@a%00b");
}

static void the_longest_owner_fits(void **state)
{
    char owner[MODE_OWNER_MAX], out[OWNER_FIELD_SIZE];

    (void)state;
    memset(owner, '%', sizeof owner);
    assert_int_equal(owner_write(out, owner, sizeof owner), 1 + 3 * MODE_OWNER_MAX);
    assert_int_equal(strlen(out), OWNER_FIELD_SIZE - 1);
}

static void two_owners_never_have_one_field(void **state)
{
    static const char *const owners[] = {"a b", "a%20b", "a_b", "a%b", "a%25b", "A%20b",
                                         "a",   "ab",    " ",   "%20", "",      "-"};
    enum { OWNERS = sizeof owners / sizeof *owners };
    char fields[OWNERS][OWNER_FIELD_SIZE];

    (void)state;
    for (int i = 0; i < OWNERS; i++) {
        owner_write(fields[i], owners[i], strlen(owners[i]));
        for (int j = 0; j < i; j++) assert_string_not_equal(fields[i], fields[j]);
    }
}

/* No byte of an owner is one that ends a field, or that a terminal would obey. */
static void every_byte_of_an_owner_is_written_as_part_of_one_field(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char owner[1] = {(char)byte}, out[OWNER_FIELD_SIZE];
        size_t length = owner_write(out, owner, 1);

        assert_int_equal(out[0], '@');
        assert_int_equal(strlen(out), length);
        for (size_t i = 0; i < length; i++) assert_true(out[i] > ' ' && out[i] <= '~');
    }
}

/* ---- Reading ---- */

/* From a block of its exact size, so that a sanitizer sees a read beyond it. */
static bool reads(mode *out, const char *field, size_t length)
{
    char *exact = malloc(length > 0 ? length : 1);

    assert_non_null(exact);
    if (length > 0) memcpy(exact, field, length);
    bool is_read = mode_read(out, exact, length);
    free(exact);
    return is_read;
}

/* Each mode of a grid: written, and read, it is the same. */
static void every_mode_can_be_read_back(void **state)
{
    static const char kinds[] = {KIND_EXCLUSIVE, KIND_SHARED};
    static const char policies[] = {POLICY_READERS, POLICY_FAIR, POLICY_WRITERS};
    static const uint32_t limits[] = {0, 1, 9, 10, 4294967294, UINT32_MAX};

    (void)state;
    for (unsigned i = 0; i < 2 * 3 * 6; i++) {
        mode from = {.kind = kinds[i % 2], .policy = policies[i / 2 % 3], .permits = limits[i / 6]},
             got;
        char field[MODE_SIZE];

        assert_true(reads(&got, field, mode_write(field, &from)));
        assert_int_equal(got.kind, from.kind);
        assert_int_equal(got.policy, from.policy);
        assert_int_equal(got.permits, from.permits);
    }
}

static void what_is_no_mode_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",     "X",    "S",     "f",      "q",    "xx",   "xs",   "sff",          "sfw",
        "s3",   "s/",   "s/0",   "s/03",   "s/-1", "s/+1", "s/1f", "s/4294967296", "s//3",
        "s/3/", "s/@a", "s@",    "sf@",    "s/3@", "@a",   "/3",   "s 3",          "s/3 ",
        "xf/",  "s/f",  "s/3x@", "s/3,@a", "x@a",  "-"};
    mode got;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(reads(&got, wrong[i], strlen(wrong[i])));
}

/* Every string of up to five of the bytes that mean something: what is read, is what would be
 * written. */
static void every_short_field_is_read_as_one_mode_or_none(void **state)
{
    static const char bytes[] = "xsfw/@03";
    unsigned found = 0;

    (void)state;
    for (unsigned number = 0; number < 8 * 8 * 8 * 8 * 8; number++) {
        char field[5], again[MODE_SIZE];
        unsigned digits = number;
        mode got;

        for (int i = 0; i < 5; i++, digits /= 8) field[i] = bytes[digits % 8];
        for (size_t length = 0; length <= 5; length++) {
            if (!reads(&got, field, length)) continue;
            found++;
            assert_int_equal(mode_write(again, &got), length);
            assert_memory_equal(again, field, length);
        }
    }
    assert_true(found > 1000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_mode_is_one_letter),
        cmocka_unit_test(each_part_has_its_mark_and_its_place),
        cmocka_unit_test(a_limit_is_written_in_full),
        cmocka_unit_test(the_longest_mode_fits),
        cmocka_unit_test(nobody_is_a_dash),
        cmocka_unit_test(an_owner_that_is_not_plain_is_percent_encoded),
        cmocka_unit_test(the_longest_owner_fits),
        cmocka_unit_test(two_owners_never_have_one_field),
        cmocka_unit_test(every_byte_of_an_owner_is_written_as_part_of_one_field),
        cmocka_unit_test(every_mode_can_be_read_back),
        cmocka_unit_test(what_is_no_mode_is_refused),
        cmocka_unit_test(every_short_field_is_read_as_one_mode_or_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
