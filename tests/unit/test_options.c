/* SPDX-License-Identifier: MIT
 * api/options: callers compiled with an older or a newer header, and callers that forgot the
 * stamp. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/options.h"

typedef struct newer_options {
    redlock_options known;
    int64_t added;
} newer_options;

static redlock_options dirty(void)
{
    redlock_options made;

    memset(&made, 0xa5, sizeof made);
    return made;
}

static void null_is_all_defaults(void **state)
{
    redlock_options out = dirty(), zero;

    (void)state;
    memset(&zero, 0, sizeof zero);
    assert_true(options_copy(&out, sizeof out, NULL));
    assert_memory_equal(&out, &zero, sizeof out);
}

static void what_the_macro_stamped_is_copied(void **state)
{
    redlock_options out = dirty();

    (void)state;
    assert_true(options_copy(&out, sizeof out, REDLOCK_OPTIONS(.ttl_ms = 7, .auto_renew = true)));
    assert_int_equal(out.struct_size, sizeof out);
    assert_int_equal(out.ttl_ms, 7);
    assert_int_equal(out.wait_ms, 0);
    assert_true(out.auto_renew);
    assert_null(out.detail);
}

static void an_older_caller_s_missing_fields_are_zero(void **state)
{
    redlock_options given = dirty(), out = dirty();

    (void)state;
    given.struct_size = offsetof(redlock_options, wait_ms);
    given.ttl_ms = 7;
    assert_true(options_copy(&out, sizeof out, &given));
    assert_int_equal(out.ttl_ms, 7);
    assert_int_equal(out.wait_ms, 0);
    assert_false(out.auto_renew);
    assert_null(out.detail);
}

static void nothing_is_read_beyond_an_older_structure(void **state)
{
    size_t only_a_size = sizeof(size_t); /* the sanitizer sees a read past it */
    redlock_options out = dirty();

    (void)state;
    assert_true(options_copy(&out, sizeof out, &only_a_size));
    assert_int_equal(out.ttl_ms, 0);
}

static void a_newer_caller_s_unused_fields_do_no_harm(void **state)
{
    newer_options given = {.known = {.struct_size = sizeof given, .ttl_ms = 7}};
    struct {
        redlock_options out;
        char after[8];
    } place;

    (void)state;
    memset(&place, 0xa5, sizeof place);
    assert_true(options_copy(&place.out, sizeof place.out, &given));
    assert_int_equal(place.out.ttl_ms, 7);
    assert_memory_equal(place.after, "\xa5\xa5\xa5\xa5\xa5\xa5\xa5\xa5", 8);
}

static void a_newer_caller_s_used_field_is_refused(void **state)
{
    newer_options given = {.known = {.struct_size = sizeof given, .ttl_ms = 7}, .added = INT64_MIN};
    redlock_options out;

    (void)state;
    assert_false(options_copy(&out, sizeof out, &given));
}

static void a_missing_or_absurd_stamp_is_refused(void **state)
{
    static const size_t sizes[] = {0, 1, sizeof(size_t) - 1, 4097, SIZE_MAX};
    redlock_options given = {0}, out;

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        given.struct_size = sizes[i];
        assert_false(options_copy(&out, sizeof out, &given));
    }
}

static void a_page_is_the_largest_stamp(void **state)
{
    static union {
        redlock_options known;
        unsigned char bytes[4096];
    } given;
    redlock_options out;

    (void)state;
    given.known.struct_size = sizeof given;
    assert_true(options_copy(&out, sizeof out, &given));
    given.bytes[4095] = 1;
    assert_false(options_copy(&out, sizeof out, &given));
}

static void words_go_where_the_caller_asked(void **state)
{
    redlock_detail detail = {"before"};

    (void)state;
    detail_write(&detail, "why");
    assert_string_equal(detail.text, "why");
    detail_write(&detail, NULL);
    assert_string_equal(detail.text, "");
    detail_write(NULL, "nobody asked");
}

static void long_words_are_cut_not_spilled(void **state)
{
    char words[1000];
    redlock_detail detail;

    (void)state;
    memset(words, 'w', sizeof words - 1);
    words[sizeof words - 1] = '\0';
    detail_write(&detail, words);
    assert_int_equal(strlen(detail.text), sizeof detail.text - 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_is_all_defaults),
        cmocka_unit_test(what_the_macro_stamped_is_copied),
        cmocka_unit_test(an_older_caller_s_missing_fields_are_zero),
        cmocka_unit_test(nothing_is_read_beyond_an_older_structure),
        cmocka_unit_test(a_newer_caller_s_unused_fields_do_no_harm),
        cmocka_unit_test(a_newer_caller_s_used_field_is_refused),
        cmocka_unit_test(a_missing_or_absurd_stamp_is_refused),
        cmocka_unit_test(a_page_is_the_largest_stamp),
        cmocka_unit_test(words_go_where_the_caller_asked),
        cmocka_unit_test(long_words_are_cut_not_spilled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
