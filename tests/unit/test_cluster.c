/* SPDX-License-Identifier: MIT
 * topology/cluster: nodes, owners, and when a table is asked for. Time is virtual. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "topology/cluster.h"

enum { THREADS = 8, LAST_SLOT = KEY_SLOTS - 1, EVERY_US = 100000, START_US = 1000000 };

/* Of any thread. */
typedef struct heap {
    _Atomic int live;
    _Atomic int allowed;  /* blocks until it is empty; below 0: never */
    _Atomic int visitors; /* that are on their way: whoever adds a node lets them come */
} heap;

static void *allocate_block(void *arg, size_t size)
{
    heap *self = arg;
    while (atomic_load(&self->visitors) > 0) sched_yield();
    if (atomic_load(&self->allowed) == 0) return NULL;
    atomic_fetch_sub(&self->allowed, 1);
    atomic_fetch_add(&self->live, 1);
    return malloc(size);
}

static void release_block(void *arg, void *block)
{
    atomic_fetch_sub(&((heap *)arg)->live, 1);
    free(block);
}

static heap blocks;
static const memory from = {.allocate = allocate_block, .release = release_block, .arg = &blocks};

static void say_stakes(void *arg, char *out, size_t size, int64_t now_us)
{
    (void)arg, (void)out, (void)size, (void)now_us;
}
static const outage begins = {.stakes = say_stakes, .stakes_arg = &blocks};

static cluster map;

static int set_up(void **state)
{
    (void)state;
    atomic_store(&blocks.live, 0);
    atomic_store(&blocks.allowed, -1);
    memset(&map, 0, sizeof map);
    cluster_init(&map, &from, &begins);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cluster_destroy(&map);
    return atomic_load(&blocks.live) != 0;
}

static node *node_at(const char *host, uint16_t port)
{
    endpoint server = {.port = port, .use_tls = true, .database = 0};
    snprintf(server.host, sizeof server.host, "%s", host);
    return cluster_node(&map, &server);
}

/* ---- Nodes ---- */

static void a_node_is_added_once_and_found_by_its_address(void **state)
{
    (void)state;
    node *third = node_at("10.0.0.10", 7001), *first = node_at("10.0.0.1", 7001),
         *other = node_at("10.0.0.1", 7002);
    assert_non_null(first);
    assert_ptr_not_equal(other, first);
    assert_ptr_not_equal(third, first);
    assert_ptr_equal(node_at("10.0.0.1", 7001), first);
    assert_ptr_equal(node_at("10.0.0.1", 7002), other);
    assert_ptr_equal(node_at("10.0.0.10", 7001), third);
    assert_int_equal(blocks.live, 3);
}

static void a_node_has_a_number_its_address_and_an_outage_of_its_own(void **state)
{
    (void)state;
    node *first = node_at("10.0.0.1", 7001), *second = node_at("fe80::1", 7002);
    assert_int_equal(first->number, 0);
    assert_int_equal(second->number, 1);
    assert_ptr_equal(cluster_numbered(&map, 0), first);
    assert_ptr_equal(cluster_numbered(&map, 1), second);
    assert_string_equal(second->server->host, "fe80::1");
    assert_int_equal(second->server->port, 7002);
    assert_true(second->server->use_tls);
    assert_ptr_equal(second->outage.stakes, say_stakes);
    assert_ptr_equal(second->outage.stakes_arg, &blocks);
    assert_false(outage_is_on(&second->outage));
    assert_int_equal(second->served, 0);
    assert_int_equal(second->loading, 0);
}

static void the_others_come_in_their_turn_and_who_is_alone_is_the_other(void **state)
{
    (void)state;
    node *first = node_at("a", 1);
    assert_ptr_equal(cluster_other(&map, first), first);
    node *second = node_at("b", 1), *third = node_at("c", 1);
    assert_ptr_equal(cluster_other(&map, first), second);
    assert_ptr_equal(cluster_other(&map, second), third);
    assert_ptr_equal(cluster_other(&map, third), first);
}

static void there_is_an_end_of_nodes_and_what_is_there_stays(void **state)
{
    (void)state;
    node *first = node_at("a", 1);
    for (int i = 2; i <= CLUSTER_NODES_MOST; i++) assert_non_null(node_at("a", (uint16_t)i));
    assert_null(node_at("a", CLUSTER_NODES_MOST + 1));
    assert_null(node_at("b", 1));
    assert_ptr_equal(node_at("a", 1), first);
    assert_int_equal(node_at("a", CLUSTER_NODES_MOST)->number, CLUSTER_NODES_MOST - 1);
    assert_int_equal(blocks.live, CLUSTER_NODES_MOST);
}

static void without_memory_there_is_no_node_and_no_gap(void **state)
{
    (void)state;
    node *first = node_at("a", 1);
    atomic_store(&blocks.allowed, 0);
    assert_null(node_at("b", 1));
    assert_ptr_equal(node_at("a", 1), first);
    atomic_store(&blocks.allowed, -1);
    assert_int_equal(node_at("b", 1)->number, 1);
}

/* ---- Threads ---- */

enum { ADDRESSES = 100 };

static pthread_barrier_t all_there;

typedef struct visitor {
    node *found[ADDRESSES];
} visitor;

/* All of them come to the same address at once. */
static void *look_for_all(void *arg)
{
    visitor *self = arg;
    for (unsigned at = 0; at < ADDRESSES; at++) {
        atomic_store(&blocks.visitors, THREADS);
        pthread_barrier_wait(&all_there);
        atomic_fetch_sub(&blocks.visitors, 1);
        self->found[at] = node_at("10.0.0.1", (uint16_t)(7000 + at));
        cluster_owns(&map, self->found[at], at);
        pthread_barrier_wait(&all_there);
    }
    return NULL;
}

static void send_all(visitor all[THREADS])
{
    pthread_t threads[THREADS];
    assert_int_equal(pthread_barrier_init(&all_there, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look_for_all, &all[i]), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&all_there);
}

static void whoever_looks_at_once_finds_one_node_for_one_address(void **state)
{
    static visitor all[THREADS];
    (void)state;
    send_all(all);
    for (unsigned at = 0; at < ADDRESSES; at++) {
        node *only = all[0].found[at];
        assert_int_equal(only->server->port, 7000 + at);
        assert_ptr_equal(cluster_numbered(&map, only->number), only);
        for (int i = 1; i < THREADS; i++) assert_ptr_equal(all[i].found[at], only);
        assert_ptr_equal(cluster_owner(&map, at), only);
    }
    assert_int_equal(map.count, ADDRESSES);
    assert_int_equal(blocks.live, ADDRESSES);
}

/* ---- Owners ---- */

static void a_slot_has_no_owner_until_it_is_told(void **state)
{
    (void)state;
    node *first = node_at("a", 1), *second = node_at("b", 1);
    for (unsigned slot = 0; slot <= LAST_SLOT; slot++) assert_null(cluster_owner(&map, slot));
    cluster_owns(&map, first, 0);
    cluster_owns(&map, second, LAST_SLOT);
    assert_ptr_equal(cluster_owner(&map, 0), first);
    assert_null(cluster_owner(&map, 1));
    assert_null(cluster_owner(&map, LAST_SLOT - 1));
    assert_ptr_equal(cluster_owner(&map, LAST_SLOT), second);
    cluster_owns(&map, second, 0);
    assert_ptr_equal(cluster_owner(&map, 0), second);
}

/* ---- Tables ---- */

enum { RANGES_MOST = 4 };

typedef struct range {
    reply primary[2], items[3];
} range;

static range ranges[RANGES_MOST];
static reply elements[RANGES_MOST];

static reply integer_of(int64_t number)
{
    return (reply){.kind = REPLY_INTEGER, .integer = number};
}

static reply array_of(const reply *items, size_t count)
{
    return (reply){.kind = REPLY_ARRAY, .items = items, .count = count};
}

/* host NULL: nil */
static void fill_range(size_t at, int64_t first, int64_t last, const char *host, int64_t port)
{
    range *self = &ranges[at];
    self->primary[0] = (reply){.kind = REPLY_NIL};
    if (host != NULL)
        self->primary[0] = (reply){.kind = REPLY_STRING, .text = host, .length = strlen(host)};
    self->primary[1] = integer_of(port);
    self->items[0] = integer_of(first);
    self->items[1] = integer_of(last);
    self->items[2] = array_of(self->primary, 2);
    elements[at] = array_of(self->items, 3);
}

static void tell(const node *asked, size_t count)
{
    reply table = array_of(elements, count);
    cluster_told(&map, asked, &table);
}

static bool is_to_be_asked(int64_t now_us) { return cluster_is_to_be_asked(&map, now_us); }

/* It was asked for, and that long ago that the next one may be. */
static node *asked_before(void)
{
    node *asked = node_at("10.0.0.1", 7001);
    assert_true(is_to_be_asked(START_US));
    return asked;
}

static bool is_in_doubt(void) { return is_to_be_asked(START_US + EVERY_US); }

static void a_table_says_who_owns_each_of_its_ranges(void **state)
{
    (void)state;
    node *asked = asked_before();
    fill_range(0, 0, 5460, "10.0.0.1", 7001);
    fill_range(1, 5461, LAST_SLOT - 1, "10.0.0.2", 7002);
    fill_range(2, LAST_SLOT, LAST_SLOT, "node.example", 7003);
    tell(asked, 3);
    assert_int_equal(map.count, 3);
    for (unsigned slot = 0; slot <= LAST_SLOT; slot++) {
        const node *expected = slot < 5461        ? asked
                               : slot < LAST_SLOT ? node_at("10.0.0.2", 7002)
                                                  : node_at("node.example", 7003);
        assert_ptr_equal(cluster_owner(&map, slot), expected);
    }
    assert_true(node_at("10.0.0.2", 7002)->server->use_tls); /* as whoever was asked */
    assert_int_equal(map.count, 3);
    assert_false(is_in_doubt());
}

static void a_hole_in_it_says_nothing(void **state)
{
    (void)state;
    node *asked = asked_before(), *other = node_at("10.0.0.2", 7002);
    for (unsigned slot = 0; slot <= LAST_SLOT; slot += 5000) cluster_owns(&map, asked, slot);
    fill_range(0, 0, 4999, "10.0.0.2", 7002);
    fill_range(1, 10001, LAST_SLOT, "10.0.0.2", 7002);
    tell(asked, 2);
    assert_ptr_equal(cluster_owner(&map, 0), other);
    assert_ptr_equal(cluster_owner(&map, 5000), asked);
    assert_null(cluster_owner(&map, 5001));
    assert_ptr_equal(cluster_owner(&map, 10000), asked);
    assert_ptr_equal(cluster_owner(&map, 15000), other);
    assert_false(is_in_doubt());
}

static void who_names_no_host_means_that_which_was_asked(void **state)
{
    (void)state;
    node *asked = asked_before();
    fill_range(0, 0, 99, "", 7001);
    fill_range(1, 100, 199, NULL, 7009);
    tell(asked, 2);
    assert_ptr_equal(cluster_owner(&map, 0), asked);
    assert_ptr_equal(cluster_owner(&map, 199), node_at("10.0.0.1", 7009));
    assert_int_equal(map.count, 2);
}

static void what_cannot_be_reached_spoils_nothing_else(void **state)
{
    (void)state;
    node *asked = asked_before();
    cluster_owns(&map, asked, 50);
    fill_range(0, 0, 99, "?", 7002);
    fill_range(1, 100, 199, "10.0.0.2", 0);
    fill_range(2, 200, 299, "10.0.0.3", 7003);
    fill_range(3, 300, 399, "10.0.0.4", 65536);
    tell(asked, 4);
    assert_ptr_equal(cluster_owner(&map, 50), asked);
    assert_null(cluster_owner(&map, 51));
    assert_null(cluster_owner(&map, 150));
    assert_ptr_equal(cluster_owner(&map, 250), node_at("10.0.0.3", 7003));
    assert_null(cluster_owner(&map, 399));
    assert_int_equal(map.count, 2);
}

static void without_memory_for_a_node_the_others_are_known(void **state)
{
    (void)state;
    node *asked = asked_before();
    fill_range(0, 0, 99, "10.0.0.2", 7002);
    fill_range(1, 100, 199, "10.0.0.1", 7001);
    atomic_store(&blocks.allowed, 0);
    tell(asked, 2);
    assert_null(cluster_owner(&map, 99));
    assert_ptr_equal(cluster_owner(&map, 100), asked);
}

static void assert_nonsense(const reply *told)
{
    node *asked = node_at("10.0.0.1", 7001);
    cluster_owns(&map, asked, 7);
    cluster_doubt(&map);
    atomic_store(&map.asked_us, 0);
    assert_true(is_to_be_asked(START_US));
    cluster_told(&map, asked, told);
    for (unsigned slot = 0; slot <= LAST_SLOT; slot++)
        assert_ptr_equal(cluster_owner(&map, slot), slot == 7 ? asked : NULL);
    assert_false(is_to_be_asked(START_US + EVERY_US - 1));
    assert_true(is_to_be_asked(START_US + EVERY_US));
    cluster_told(&map, asked, NULL);
}

static void what_is_no_table_changes_nothing_and_is_asked_for_anew(void **state)
{
    const reply nil = {.kind = REPLY_NIL}, number = integer_of(1), empty = array_of(NULL, 0),
                error = {.kind = REPLY_ERROR, .text = "ERR no", .length = 6};
    (void)state;
    assert_nonsense(NULL);
    assert_nonsense(&nil);
    assert_nonsense(&number);
    assert_nonsense(&error);
    assert_nonsense(&empty);
    fill_range(0, 0, 99, "10.0.0.2", 7002);
    elements[1] = integer_of(100);
    const reply partly = array_of(elements, 2);
    assert_nonsense(&partly);
    fill_range(1, 100, KEY_SLOTS, "10.0.0.2", 7002);
    assert_nonsense(&partly);
    assert_int_equal(map.count, 1);
}

/* ---- When it is asked for ---- */

static void whoever_may_not_have_it_asks_once_in_a_minute(void **state)
{
    enum { MINUTE_US = 60 * 1000000 };
    static const char refused[] = "NOPERM this user has no permissions";
    const reply error = {.kind = REPLY_ERROR, .text = refused, .length = sizeof refused - 1};
    (void)state;
    const node *asked = node_at("10.0.0.1", 7001);
    assert_true(is_to_be_asked(START_US));
    cluster_told(&map, asked, &error);
    cluster_doubt(&map);
    assert_false(is_to_be_asked(START_US + MINUTE_US - 1));
    assert_true(is_to_be_asked(START_US + MINUTE_US));
    cluster_told(&map, asked, NULL);
    assert_true(is_to_be_asked(START_US + MINUTE_US + EVERY_US));
}

static void a_table_is_asked_for_first_of_all_and_then_when_in_doubt(void **state)
{
    (void)state;
    node *asked = asked_before();
    fill_range(0, 0, LAST_SLOT, "10.0.0.1", 7001);
    tell(asked, 1);
    assert_false(is_to_be_asked(START_US + 100 * EVERY_US));
    cluster_doubt(&map);
    assert_true(is_to_be_asked(START_US + 100 * EVERY_US));
    tell(asked, 1);
    assert_false(is_to_be_asked(START_US + 200 * EVERY_US));
}

static void however_many_doubt_it_is_not_asked_for_too_often(void **state)
{
    (void)state;
    node *asked = asked_before();
    fill_range(0, 0, LAST_SLOT, "10.0.0.1", 7001);
    tell(asked, 1);
    for (int64_t now_us = START_US; now_us < START_US + EVERY_US; now_us += EVERY_US / 50) {
        cluster_doubt(&map);
        assert_false(is_to_be_asked(now_us));
    }
    assert_true(is_to_be_asked(START_US + EVERY_US));
    tell(asked, 1);
    cluster_doubt(&map);
    assert_false(is_to_be_asked(START_US + 2 * EVERY_US - 1));
    assert_true(is_to_be_asked(START_US + 2 * EVERY_US));
}

static void one_table_is_on_its_way_at_a_time(void **state)
{
    (void)state;
    node *asked = asked_before();
    cluster_doubt(&map);
    assert_false(is_to_be_asked(START_US + 100 * EVERY_US));
    cluster_told(&map, asked, NULL);
    assert_true(is_to_be_asked(START_US + 100 * EVERY_US));
}

/* What is said meanwhile is perhaps not in it. */
static void a_doubt_while_it_is_on_its_way_asks_once_more(void **state)
{
    (void)state;
    node *asked = asked_before();
    fill_range(0, 0, LAST_SLOT, "10.0.0.1", 7001);
    for (int i = 0; i < 3; i++) cluster_doubt(&map);
    tell(asked, 1);
    assert_true(is_to_be_asked(START_US + EVERY_US));
    tell(asked, 1);
    assert_false(is_to_be_asked(START_US + 2 * EVERY_US));
}

#define CLUSTER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLUSTER_TEST(a_node_is_added_once_and_found_by_its_address),
        CLUSTER_TEST(a_node_has_a_number_its_address_and_an_outage_of_its_own),
        CLUSTER_TEST(the_others_come_in_their_turn_and_who_is_alone_is_the_other),
        CLUSTER_TEST(there_is_an_end_of_nodes_and_what_is_there_stays),
        CLUSTER_TEST(without_memory_there_is_no_node_and_no_gap),
        CLUSTER_TEST(whoever_looks_at_once_finds_one_node_for_one_address),
        CLUSTER_TEST(a_slot_has_no_owner_until_it_is_told),
        CLUSTER_TEST(a_table_says_who_owns_each_of_its_ranges),
        CLUSTER_TEST(a_hole_in_it_says_nothing),
        CLUSTER_TEST(who_names_no_host_means_that_which_was_asked),
        CLUSTER_TEST(what_cannot_be_reached_spoils_nothing_else),
        CLUSTER_TEST(without_memory_for_a_node_the_others_are_known),
        CLUSTER_TEST(what_is_no_table_changes_nothing_and_is_asked_for_anew),
        CLUSTER_TEST(whoever_may_not_have_it_asks_once_in_a_minute),
        CLUSTER_TEST(a_table_is_asked_for_first_of_all_and_then_when_in_doubt),
        CLUSTER_TEST(however_many_doubt_it_is_not_asked_for_too_often),
        CLUSTER_TEST(one_table_is_on_its_way_at_a_time),
        CLUSTER_TEST(a_doubt_while_it_is_on_its_way_asks_once_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
