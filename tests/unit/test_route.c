/* SPDX-License-Identifier: MIT
 * Which node is asked, and what an answer teaches about that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "topology/route.h"

/* ---- A single server --------------------------------------------------------------------------*/

static node somewhere;
static route only = {.home = &somewhere};

static void the_only_server_has_every_key(void **state)
{
    way by = {0};
    (void)state;
    assert_ptr_equal(route_home(&only), &somewhere);
    assert_int_equal(route_slot(&only, "{a}", 3), NO_SLOT);
    assert_ptr_equal(route_next(&only, &by, NO_SLOT), &somewhere);
    route_failed(&only, &by, &somewhere);
    assert_ptr_equal(route_next(&only, &by, NO_SLOT), &somewhere);
}

static void assert_learned(enum answer_kind kind, const char *told, const char *expected)
{
    answer from = {.kind = kind};
    way by = {0};
    snprintf(from.text, sizeof from.text, "%s", told);
    route_learn(&only, &by, NO_SLOT, &somewhere, &from, NULL);
    assert_int_equal(from.kind, kind);
    assert_string_equal(from.text, expected);
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
    way by = {0};
    (void)state;
    memset(from.text, 'x', sizeof from.text - 1);
    route_learn(&only, &by, NO_SLOT, &somewhere, &from, NULL);
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
}

/* ---- A cluster --------------------------------------------------------------------------------*/

enum { SLOT = 3999 };

static void *allocate(void *arg, size_t size)
{
    (void)arg;
    return calloc(1, size);
}
static void release(void *arg, void *block)
{
    (void)arg;
    free(block);
}
static const memory from_system = {.allocate = allocate, .release = release};
static const outage none_yet = {0};

typedef struct town {
    cluster map;
    route by;
    node *first, *second;
    way way;
} town;

static node *node_at(town *it, const char *host, uint16_t port)
{
    endpoint server = {.port = port};
    snprintf(server.host, sizeof server.host, "%s", host);
    return cluster_node(&it->map, &server);
}

static int set_up(void **state)
{
    town *it = calloc(1, sizeof *it);
    cluster_init(&it->map, &from_system, &none_yet);
    it->first = node_at(it, "10.0.0.1", 7001);
    it->second = node_at(it, "10.0.0.2", 7002);
    it->by = (route){.home = it->first, .cluster = &it->map};
    *state = it;
    return 0;
}

static int tear_down(void **state)
{
    town *it = *state;
    cluster_destroy(&it->map);
    free(it);
    return 0;
}

static node *next_of(const town *it) { return route_next(&it->by, &it->way, SLOT); }

static enum answer_kind hear(town *it, const node *asked, enum answer_kind kind, const char *text)
{
    answer read = {.kind = kind};
    reply raw = {.kind = REPLY_ERROR, .text = text, .length = strlen(text)};
    route_learn(&it->by, &it->way, SLOT, asked, &read, &raw);
    return read.kind;
}

static void of_an_unknown_slot_the_home_is_asked(void **state)
{
    town *it = *state;
    assert_int_equal(route_slot(&it->by, "{a}", 3), 15495);
    assert_ptr_equal(next_of(it), it->first);
}

static void what_moved_is_asked_for_there_from_then_on(void **state)
{
    town *it = *state;
    const char *text = "MOVED 3999 10.0.0.2:7002";
    assert_int_equal(hear(it, it->first, ANSWER_REDIRECT, text), ANSWER_ELSEWHERE);
    assert_ptr_equal(next_of(it), it->second);
    assert_false(it->way.is_asking);
    it->way = (way){0};
    assert_ptr_equal(next_of(it), it->second);
    assert_ptr_equal(route_next(&it->by, &it->way, SLOT + 1), it->first);
}

static void who_says_only_a_port_means_itself(void **state)
{
    town *it = *state;
    assert_int_equal(hear(it, it->second, ANSWER_REDIRECT, "MOVED 3999 :7009"), ANSWER_ELSEWHERE);
    assert_string_equal(next_of(it)->server->host, "10.0.0.2");
    assert_int_equal(next_of(it)->server->port, 7009);
}

/* ASKING serves for one command; and a script that is not known there used it up. */
static void what_is_asked_for_elsewhere_is_so_once_and_never_on_the_map(void **state)
{
    town *it = *state;
    const char *text = "ASK 3999 10.0.0.2:7002";
    assert_int_equal(hear(it, it->first, ANSWER_REDIRECT, text), ANSWER_ELSEWHERE);
    assert_ptr_equal(next_of(it), it->second);
    assert_true(it->way.is_asking);
    assert_int_equal(hear(it, it->second, ANSWER_UNKNOWN_SCRIPT, ""), ANSWER_UNKNOWN_SCRIPT);
    assert_ptr_equal(next_of(it), it->second);
    assert_true(it->way.is_asking);
    assert_int_equal(hear(it, it->second, ANSWER_CODE, ""), ANSWER_CODE);
    assert_ptr_equal(next_of(it), it->first);
    assert_false(it->way.is_asking);
}

static void redirects_have_an_end(void **state)
{
    town *it = *state;
    const char *there = "MOVED 3999 10.0.0.2:7002", *back = "MOVED 3999 10.0.0.1:7001";
    for (int i = 0; i < 5; i++)
        assert_int_equal(hear(it, next_of(it), ANSWER_REDIRECT, i % 2 ? back : there),
                         ANSWER_ELSEWHERE);
    assert_int_equal(hear(it, next_of(it), ANSWER_REDIRECT, there), ANSWER_TRANSIENT);
    assert_int_equal(it->way.hops, 0);
}

static void a_redirect_that_leads_nowhere_may_pass(void **state)
{
    static const char *const texts[] = {"MOVED 3999 ?:7001", "MOVED 3999 10.0.0.1:0",
                                        "ASK 16384 10.0.0.1:7001", "MOVED"};
    town *it = *state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(hear(it, it->first, ANSWER_REDIRECT, texts[i]), ANSWER_TRANSIENT);
        assert_ptr_equal(next_of(it), it->first);
    }
}

static void who_is_not_answered_asks_another_one(void **state)
{
    town *it = *state;
    cluster_owns(&it->map, it->first, SLOT);
    assert_int_equal(hear(it, it->first, ANSWER_CUT, ""), ANSWER_CUT);
    assert_ptr_equal(next_of(it), it->second);
    route_failed(&it->by, &it->way, it->second);
    assert_ptr_equal(next_of(it), it->first);
    assert_int_equal(hear(it, it->first, ANSWER_MISPLACED, "READONLY"), ANSWER_MISPLACED);
    assert_ptr_equal(next_of(it), it->second);
}

static void who_answers_elsewhere_is_the_owner(void **state)
{
    town *it = *state;
    cluster_owns(&it->map, it->first, SLOT);
    route_failed(&it->by, &it->way, it->first);
    assert_int_equal(hear(it, it->second, ANSWER_CODE, ""), ANSWER_CODE);
    assert_int_equal(it->way.to, 0);
    assert_ptr_equal(next_of(it), it->second);
}

/* A primary that was frozen answers what it was asked before it was replaced. */
static void a_former_owner_that_answers_late_changes_nothing(void **state)
{
    town *it = *state;
    assert_int_equal(hear(it, it->first, ANSWER_CODE, ""), ANSWER_CODE);
    assert_ptr_equal(cluster_owner(&it->map, SLOT), it->first);
    cluster_owns(&it->map, it->second, SLOT);
    assert_int_equal(hear(it, it->first, ANSWER_CODE, ""), ANSWER_CODE);
    assert_ptr_equal(next_of(it), it->second);
}

static void what_may_pass_is_asked_where_the_map_says(void **state)
{
    town *it = *state;
    route_failed(&it->by, &it->way, it->first);
    assert_int_equal(hear(it, it->second, ANSWER_TRANSIENT, "CLUSTERDOWN"), ANSWER_TRANSIENT);
    assert_ptr_equal(next_of(it), it->first);
}

#define IN_TOWN(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_only_server_has_every_key),
        cmocka_unit_test(whoever_is_redirected_hears_what_to_use),
        cmocka_unit_test(a_long_redirect_is_cut_and_closed),
        cmocka_unit_test(other_answers_teach_nothing),
        IN_TOWN(of_an_unknown_slot_the_home_is_asked),
        IN_TOWN(what_moved_is_asked_for_there_from_then_on),
        IN_TOWN(who_says_only_a_port_means_itself),
        IN_TOWN(what_is_asked_for_elsewhere_is_so_once_and_never_on_the_map),
        IN_TOWN(redirects_have_an_end),
        IN_TOWN(a_redirect_that_leads_nowhere_may_pass),
        IN_TOWN(who_is_not_answered_asks_another_one),
        IN_TOWN(who_answers_elsewhere_is_the_owner),
        IN_TOWN(a_former_owner_that_answers_late_changes_nothing),
        IN_TOWN(what_may_pass_is_asked_where_the_map_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
