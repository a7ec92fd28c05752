/* SPDX-License-Identifier: MIT
 * Which node is asked, and what an answer teaches about that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "topology/route.h"

static int somewhere;
static route only = {.home = (struct node *)(void *)&somewhere};

static void the_only_server_has_every_key(void **state)
{
    (void)state;
    assert_ptr_equal(route_home(&only), &somewhere);
    assert_ptr_equal(route_node(&only, "{a}", 3), &somewhere);
    assert_ptr_equal(route_node(&only, "{b}", 3), &somewhere);
}

static void assert_learned(enum answer_kind kind, const char *told, const char *expected)
{
    answer from = {.kind = kind};
    snprintf(from.text, sizeof from.text, "%s", told);
    route_learn(&only, &from);
    assert_int_equal(from.kind, kind);
    assert_string_equal(from.text, expected);
    assert_ptr_equal(route_node(&only, "{a}", 3), &somewhere);
}

static void whoever_is_redirected_hears_what_to_use(void **state)
{
    (void)state;
    assert_learned(ANSWER_REDIRECT, "MOVED 3999 10.0.0.1:6381",
                   "this server is part of a cluster: use redis+cluster:// "
                   "(MOVED 3999 10.0.0.1:6381)");
    assert_learned(ANSWER_REDIRECT, "ASK 1 [::1]:1",
                   "this server is part of a cluster: use redis+cluster:// (ASK 1 [::1]:1)");
}

static void a_long_redirect_is_cut_and_closed(void **state)
{
    answer from = {.kind = ANSWER_REDIRECT};
    (void)state;
    memset(from.text, 'x', sizeof from.text - 1);
    route_learn(&only, &from);
    size_t length = strlen(from.text);
    assert_true(length < sizeof from.text);
    assert_int_equal(from.text[length - 1], ')');
}

static void other_answers_teach_nothing(void **state)
{
    (void)state;
    assert_learned(ANSWER_MISPLACED, "READONLY You can't write", "READONLY You can't write");
    assert_learned(ANSWER_TRANSIENT, "CLUSTERDOWN Hash slot not served",
                   "CLUSTERDOWN Hash slot not served");
    assert_learned(ANSWER_CODE, "", "");
    assert_learned(ANSWER_CUT, "", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_only_server_has_every_key),
        cmocka_unit_test(whoever_is_redirected_hears_what_to_use),
        cmocka_unit_test(a_long_redirect_is_cut_and_closed),
        cmocka_unit_test(other_answers_teach_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
