/* SPDX-License-Identifier: MIT
 * wire/slots: the answers of redis-server 7.0.15 to CLUSTER SLOTS, and everything that a server
 * could say instead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "wire/slots.h"

enum { NODE_ITEMS = 4, ELEMENT_ITEMS = 4 };

/* One element as a server says it: a range, its primary, and one replica. */
typedef struct element {
    reply metadata[2];
    reply primary[NODE_ITEMS], replica[NODE_ITEMS];
    reply items[ELEMENT_ITEMS];
} element;

static const reply nil = {.kind = REPLY_NIL};

static reply integer(int64_t number) { return (reply){.kind = REPLY_INTEGER, .integer = number}; }

static reply string(const char *text)
{
    return (reply){.kind = REPLY_STRING, .text = text, .length = strlen(text)};
}

static reply array(const reply *items, size_t count)
{
    return (reply){.kind = REPLY_ARRAY, .items = items, .count = count};
}

static reply fill(element *of, int64_t first, int64_t last, reply endpoint, int64_t port)
{
    of->metadata[0] = string("hostname");
    of->metadata[1] = string("elsewhere");
    of->primary[0] = endpoint;
    of->primary[1] = integer(port);
    of->primary[2] = string("e22be59418601a781dc2008a56adb358d2007a22");
    of->primary[3] = array(of->metadata, 2);
    of->replica[0] = string("10.0.0.9");
    of->replica[1] = integer(9999);
    of->replica[2] = string("ebcd57205c9acad0bb6e46fbec139804c0f4a1b5");
    of->replica[3] = array(NULL, 0);
    of->items[0] = integer(first);
    of->items[1] = integer(last);
    of->items[2] = array(of->primary, NODE_ITEMS);
    of->items[3] = array(of->replica, NODE_ITEMS);
    return array(of->items, ELEMENT_ITEMS);
}

static bool read_at(slot_range *out, const reply *table, size_t at)
{
    memset(out, 0xa5, sizeof *out);
    return slots_read(out, table, at);
}

/* The only element of a table. */
static slot_range range_of(reply only)
{
    slot_range out;
    reply table = array(&only, 1);

    assert_true(read_at(&out, &table, 0));
    assert_true(slots_is_table(&table));
    return out;
}

static void assert_useless_at(const reply *table, size_t at)
{
    static const slot_range nothing;
    slot_range out;

    assert_false(read_at(&out, table, at));
    assert_memory_equal(&out, &nothing, sizeof out);
}

static void assert_useless(reply only, bool is_table)
{
    reply table = array(&only, 1);

    assert_useless_at(&table, 0);
    assert_int_equal(slots_is_table(&table), is_table);
}

static void a_range_has_its_slots_and_its_primary(void **state)
{
    element of;
    slot_range out = range_of(fill(&of, 5461, 10922, string("127.0.0.1"), 7971));

    (void)state;
    assert_int_equal(out.first, 5461);
    assert_int_equal(out.last, 10922);
    assert_string_equal(out.host, "127.0.0.1");
    assert_int_equal(out.port, 7971);
}

static void replicas_and_what_newer_servers_add_need_not_be_there(void **state)
{
    element of;
    reply only = fill(&of, 1, 2, string("h"), 7);

    (void)state;
    only.count = 3;
    of.items[2].count = 2;
    slot_range out = range_of(only);
    assert_int_equal(out.last, 2);
    assert_string_equal(out.host, "h");
    assert_int_equal(out.port, 7);
}

static void every_range_is_read_at_its_place(void **state)
{
    element of[3];
    reply items[] = {fill(&of[0], 0, 5460, string("a"), 1),
                     fill(&of[1], 5461, 5461, string("b"), 2),
                     fill(&of[2], 5462, 16383, string("c"), 3)};
    reply table = array(items, 3);

    (void)state;
    for (size_t at = 0; at < 3; at++) {
        slot_range out;

        assert_true(read_at(&out, &table, at));
        assert_int_equal(out.first, (int)of[at].items[0].integer);
        assert_int_equal(out.last, (int)of[at].items[1].integer);
        assert_string_equal(out.host, of[at].primary[0].text);
        assert_int_equal(out.port, (int)at + 1);
    }
}

static void there_is_nothing_beyond_the_end(void **state)
{
    element of[2];
    reply items[] = {fill(&of[0], 0, 1, string("a"), 1), fill(&of[1], 2, 3, string("b"), 2)};
    reply table = array(items, 1);

    (void)state;
    assert_useless_at(&table, 1);
    assert_useless_at(&table, SIZE_MAX);
    table.count = 0;
    assert_useless_at(&table, 0);
}

static void no_endpoint_is_whoever_was_asked(void **state)
{
    element of;
    slot_range out = range_of(fill(&of, 0, 16382, nil, 7971));

    (void)state;
    assert_string_equal(out.host, "");
    assert_int_equal(out.port, 7971);
    assert_string_equal(range_of(fill(&of, 0, 16382, string(""), 7971)).host, "");
}

static void an_endpoint_is_read_as_that_of_a_redirect(void **state)
{
    element of;
    const char *wrong[] = {"?", "a b", "h:1\n", "[]", "[::1", "h,name", "h@1", "\xff"};

    (void)state;
    assert_string_equal(range_of(fill(&of, 1, 1, string("::1"), 1)).host, "::1");
    assert_string_equal(range_of(fill(&of, 1, 1, string("[fe80::1%e0]"), 1)).host, "fe80::1%e0");
    assert_string_equal(range_of(fill(&of, 1, 1, string("a-1.b_C"), 1)).host, "a-1.b_C");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_useless(fill(&of, 1, 1, string(wrong[i]), 1), true);
}

static void an_endpoint_has_the_length_that_it_is_told_to_have(void **state)
{
    element of;
    char name[300];

    (void)state;
    memset(name, 'h', sizeof name);
    reply endpoint = {.kind = REPLY_STRING, .text = name, .length = 255};
    assert_int_equal(strlen(range_of(fill(&of, 1, 1, endpoint, 1)).host), 255);
    endpoint.length = 256;
    assert_useless(fill(&of, 1, 1, endpoint, 1), true);
    endpoint.length = 2;
    name[1] = '\0';
    assert_useless(fill(&of, 1, 1, endpoint, 1), true);
}

static void a_range_is_within_the_slots_and_not_reversed(void **state)
{
    element of;
    const int64_t wrong[][2] = {{-1, 5},
                                {0, -1},
                                {2, 1},
                                {0, 16384},
                                {16384, 16384},
                                {65536, 65537},
                                {0, 65536},
                                {INT64_MIN, INT64_MAX},
                                {INT64_MAX, 1},
                                {1, INT64_MAX},
                                {-65536, 1},
                                {1, INT64_MIN},
                                {INT64_C(-4294967295), 5},
                                {1, INT64_C(-4294967291)},
                                {1, INT64_C(4294967301)}};

    (void)state;
    assert_int_equal(range_of(fill(&of, 0, 0, nil, 1)).last, 0);
    assert_int_equal(range_of(fill(&of, 16383, 16383, nil, 1)).first, 16383);
    assert_int_equal(range_of(fill(&of, 0, 16383, nil, 1)).last, 16383);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_useless(fill(&of, wrong[i][0], wrong[i][1], nil, 1), false);
}

static void a_port_is_from_1_to_65535(void **state)
{
    element of;
    const int64_t wrong[] = {
        0, -1, 65536, 65537, INT64_MIN, INT64_MAX, INT64_C(-4294967295), INT64_C(4294967297)};

    (void)state;
    assert_int_equal(range_of(fill(&of, 1, 1, nil, 1)).port, 1);
    assert_int_equal(range_of(fill(&of, 1, 1, nil, 65535)).port, 65535);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_useless(fill(&of, 1, 1, nil, wrong[i]), true);
}

static void each_thing_is_of_its_kind(void **state)
{
    reply status = string("1"), error = string("1");
    element of;

    (void)state;
    status.kind = REPLY_STATUS;
    error.kind = REPLY_ERROR;
    const reply kinds[] = {nil, integer(1), string("1"), status, error, array(NULL, 0)};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        enum reply_kind kind = kinds[i].kind;
        reply *places[] = {&of.items[0], &of.items[1], &of.items[2], &of.primary[0],
                           &of.primary[1]};

        for (size_t at = 0; at < 5; at++) {
            reply only = fill(&of, 1, 1, string("1"), 1);
            bool is_same = at == 3 ? kind == REPLY_STRING || kind == REPLY_NIL
                                   : kind == REPLY_INTEGER && at != 2;

            *places[at] = kinds[i];
            if (is_same) range_of(only);
            else assert_useless(only, at >= 2);
        }
        assert_useless(kinds[i], false);
    }
}

static void what_is_cut_short_is_of_no_use(void **state)
{
    element of;
    reply only = fill(&of, 1, 1, nil, 1);

    (void)state;
    for (size_t count = 0; count < 3; count++) {
        only.count = count;
        assert_useless(only, count >= 2);
    }
    only.count = 3;
    for (size_t count = 0; count < 2; count++) {
        of.items[2].count = count;
        assert_useless(only, true);
    }
}

/* A kind counts, and not what else is in a reply. */
static void what_is_no_array_has_no_elements(void **state)
{
    element of;
    reply only = fill(&of, 1, 1, nil, 1), table = array(&only, 1);

    (void)state;
    for (int kind = REPLY_NIL; kind < REPLY_ARRAY; kind++) {
        table.kind = (enum reply_kind)kind;
        assert_useless_at(&table, 0);
        assert_false(slots_is_table(&table));
        only.kind = (enum reply_kind)kind;
        assert_useless(only, false);
        only.kind = REPLY_ARRAY;
        of.items[2].kind = (enum reply_kind)kind;
        assert_useless(only, true);
        of.items[2].kind = REPLY_ARRAY;
    }
}

static void an_empty_table_is_none(void **state)
{
    reply table = array(NULL, 0);

    (void)state;
    assert_false(slots_is_table(&table));
}

static void a_table_may_have_holes_and_name_whom_nobody_can_reach(void **state)
{
    element of[3];
    reply items[] = {fill(&of[0], 9, 9, string("a"), 1), fill(&of[1], 100, 200, string("?"), 2),
                     fill(&of[2], 1, 2, string("c"), 0)};
    reply table = array(items, 3);
    slot_range out;

    (void)state;
    assert_true(slots_is_table(&table));
    assert_true(read_at(&out, &table, 0));
    assert_useless_at(&table, 1);
    assert_useless_at(&table, 2);
}

static void a_table_is_none_for_one_element_that_is_no_range(void **state)
{
    (void)state;
    for (size_t bad = 0; bad < 3; bad++) {
        element of[3];
        reply items[] = {fill(&of[0], 0, 1, nil, 1), fill(&of[1], 2, 3, nil, 1),
                         fill(&of[2], 4, 5, nil, 1)};
        reply table = array(items, 3);

        items[bad] = string("x");
        assert_false(slots_is_table(&table));
        for (size_t at = 0; at < 3; at++) {
            slot_range out;

            assert_int_equal(read_at(&out, &table, at), at != bad);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_has_its_slots_and_its_primary),
        cmocka_unit_test(replicas_and_what_newer_servers_add_need_not_be_there),
        cmocka_unit_test(every_range_is_read_at_its_place),
        cmocka_unit_test(there_is_nothing_beyond_the_end),
        cmocka_unit_test(no_endpoint_is_whoever_was_asked),
        cmocka_unit_test(an_endpoint_is_read_as_that_of_a_redirect),
        cmocka_unit_test(an_endpoint_has_the_length_that_it_is_told_to_have),
        cmocka_unit_test(a_range_is_within_the_slots_and_not_reversed),
        cmocka_unit_test(a_port_is_from_1_to_65535),
        cmocka_unit_test(each_thing_is_of_its_kind),
        cmocka_unit_test(what_is_cut_short_is_of_no_use),
        cmocka_unit_test(what_is_no_array_has_no_elements),
        cmocka_unit_test(an_empty_table_is_none),
        cmocka_unit_test(a_table_may_have_holes_and_name_whom_nobody_can_reach),
        cmocka_unit_test(a_table_is_none_for_one_element_that_is_no_range),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
