/* SPDX-License-Identifier: MIT
 * A lane with berths at several servers, which are this thread, too: a listening Unix socket each.
 * What they say is there before anybody waits for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/clock.h"
#include "lane/exchange.h"
#include "unit/counted_memory.h"

enum { SERVERS = 3, PATIENCE_US = 2000 * 1000 };

typedef struct place {
    endpoint server;
    node node;
    int listener, peer;
} place;

static struct stage {
    char directory[64];
    place at[SERVERS];
    memory memory;
    event_log log;
    conn_config config;
    route route;
    identity who;
    lane_terms terms;
    lane lane;
    counted_blocks blocks;
} it;

static int listen_at(place *self, int index)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    snprintf(name.sun_path, sizeof name.sun_path, "%s/%d", it.directory, index);
    snprintf(self->server.host, sizeof self->server.host, "%s", name.sun_path);
    self->server.is_unix = true;
    self->node.server = &self->server;
    self->peer = -1;
    self->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(self->listener, (struct sockaddr *)&name, sizeof name) != 0) return -1;
    return listen(self->listener, 8);
}

static int set_up(void **state)
{
    (void)state;
    it = (struct stage){.blocks.allowed = -1};
    snprintf(it.directory, sizeof it.directory, "/tmp/redlock-lane-XXXXXX");
    if (mkdtemp(it.directory) == NULL) return -1;
    for (int i = 0; i < SERVERS; i++)
        if (listen_at(&it.at[i], i) != 0) return -1;
    it.memory = counted_memory(&it.blocks);
    it.log.level = REDLOCK_LOG_SILENT;
    it.config = (conn_config){
        .connect_timeout_us = PATIENCE_US, .memory = &it.memory, .log = &it.log, .jitter_seed = 7};
    it.route.home = &it.at[0].node;
    it.terms =
        (lane_terms){.config = &it.config, .route = &it.route, .key_prefix = "p:", .who = &it.who};
    lane_init(&it.lane, &it.terms, 7, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    lane_close(&it.lane, clock_now_us());
    lane_destroy(&it.lane);
    for (int i = 0; i < SERVERS; i++) {
        if (it.at[i].peer >= 0) close(it.at[i].peer);
        close(it.at[i].listener);
        unlink(it.at[i].server.host);
    }
    rmdir(it.directory);
    return it.blocks.live != 0;
}

static berth *berth_at(int index) { return lane_berth(&it.lane, &it.at[index].node); }

static void accept_at(int index)
{
    it.at[index].peer = accept4(it.at[index].listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(it.at[index].peer >= 0);
}

static void say_at(int index, const char *text)
{
    assert_int_equal(send(it.at[index].peer, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static bool hears(int index, const char *text)
{
    char heard[4096];
    ssize_t length = recv(it.at[index].peer, heard, sizeof heard - 1, MSG_DONTWAIT);
    heard[length > 0 ? length : 0] = '\0';
    return strstr(heard, text) != NULL;
}

/* Static, since the tear-down may still answer them. */
static struct ping {
    call call; /* first */
    int answers, cuts;
    void (*then)(void);
} pings[SERVERS];

static void pong(call *back, const reply *from, int64_t now_us)
{
    struct ping *self = (struct ping *)back;
    (void)now_us;
    self->answers++;
    self->cuts += from == NULL;
    if (self->then != NULL) self->then();
}

static void ping(int index)
{
    berth *at = berth_at(index);
    command cmd;
    command_begin(&cmd, "PING");
    pings[index] =
        (struct ping){.call.answered = pong, .call.deadline_us = clock_now_us() + PATIENCE_US};
    conn_open(&at->command, clock_now_us());
    accept_at(index);
    assert_true(conn_submit(&at->command, &pings[index].call, &cmd, clock_now_us()));
}

static void pump_once(int stop_fd, bool *is_set)
{
    lane_stops stops = {.fd = {-1, stop_fd}};
    lane_pump(&it.lane, clock_now_us() + PATIENCE_US, &stops);
    if (is_set != NULL) *is_set = stops.is_set[1];
}

static void a_node_has_one_berth(void **state)
{
    (void)state;
    berth *home = berth_at(0), *second = berth_at(1), *third = berth_at(2);
    assert_ptr_equal(home, &it.lane.home);
    assert_ptr_not_equal(second, home);
    assert_ptr_not_equal(third, second);
    assert_ptr_equal(berth_at(0), home);
    assert_ptr_equal(berth_at(1), second);
    assert_ptr_equal(berth_at(2), third);
    assert_string_equal(third->inbox.channel, home->inbox.channel);
}

static void without_memory_there_is_no_berth_and_the_lane_is_whole(void **state)
{
    (void)state;
    for (int blocks = 0; blocks < 2; blocks++) {
        it.blocks.allowed = blocks;
        assert_null(berth_at(1));
    }
    it.blocks.allowed = -1;
    ping(1);
    say_at(1, "+PONG\r\n");
    while (pings[1].answers == 0) pump_once(-1, NULL);
    assert_int_equal(pings[1].cuts, 0);
}

static void the_pump_serves_all_servers(void **state)
{
    (void)state;
    for (int i = 0; i < SERVERS; i++) ping(i);
    assert_true(lane_flush(&it.lane, clock_now_us()));
    for (int i = 0; i < SERVERS; i++) assert_true(hears(i, "PING"));
    for (int i = SERVERS; i-- > 0;) say_at(i, "+PONG\r\n");
    for (int i = 0; i < SERVERS; i++)
        while (pings[i].answers == 0) pump_once(-1, NULL);
    assert_true(lane_is_idle(&it.lane));
}

static void a_silent_server_is_given_up_beside_one_that_answers(void **state)
{
    (void)state;
    ping(0);
    ping(1);
    pings[1].call.deadline_us = clock_now_us();
    it.lane.home.next->command.silent_us = pings[1].call.deadline_us;
    say_at(0, "+PONG\r\n");
    while (pings[0].answers == 0 || pings[1].answers == 0) pump_once(-1, NULL);
    assert_int_equal(pings[0].cuts, 0);
    assert_int_equal(pings[1].cuts, 1);
}

static void a_stop_ends_the_wait_for_any_of_them(void **state)
{
    int ends[2];
    bool is_set = false;
    (void)state;
    ping(0);
    ping(2);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "", 1), 1);
    pump_once(ends[0], &is_set);
    assert_true(is_set);
    lane_abandon(&it.lane);
    assert_int_equal(pings[0].cuts + pings[2].cuts, 2);
    close(ends[0]);
    close(ends[1]);
}

static void add_third_berth(void) { assert_non_null(berth_at(2)); }

static void a_berth_that_is_added_within_a_round_costs_nobody_what_was_ready(void **state)
{
    int ends[2];
    bool is_set = false;
    (void)state;
    ping(0);
    ping(1);
    assert_true(lane_flush(&it.lane, clock_now_us()));
    pings[0].then = add_third_berth;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "", 1), 1);
    say_at(0, "+PONG\r\n");
    say_at(1, "+PONG\r\n");
    pump_once(ends[0], &is_set);
    assert_int_equal(it.lane.berths, 3);
    assert_int_equal(pings[0].answers, 1);
    assert_int_equal(pings[1].answers, 1);
    assert_true(is_set);
    close(ends[0]);
    close(ends[1]);
}

static void a_change_of_any_connection_is_seen_once(void **state)
{
    (void)state;
    ping(0);
    ping(1);
    assert_true(lane_has_changed(&it.lane));
    assert_false(lane_has_changed(&it.lane));
    lane_abandon(&it.lane);
    assert_true(lane_has_changed(&it.lane));
    assert_false(lane_has_changed(&it.lane));
}

static void every_attempt_asks_where_the_key_is_now(void **state)
{
    const question about = {.script = SCRIPT_RENEW, .key = "{k}", .key_length = 3};
    static exchange asks;
    static request state_of_it;
    (void)state;
    request_begin(&state_of_it, clock_now_us() + PATIENCE_US, PATIENCE_US, 1);
    asks = (exchange){0};
    exchange_begin(&asks, &state_of_it, &about);
    assert_ptr_equal(exchange_enter(&asks, &it.lane), &it.lane.home);
    exchange_advance(&asks, clock_now_us());
    accept_at(0);
    assert_true(lane_flush(&it.lane, clock_now_us()));
    assert_true(hears(0, "EVALSHA"));

    it.route.home = &it.at[1].node; /* and while it is under way, nothing else is asked */
    assert_ptr_equal(exchange_berth(&asks), &it.lane.home);
    say_at(0, "-LOADING Redis is loading the dataset in memory\r\n");
    while (state_of_it.state == REQUEST_SENT) pump_once(-1, NULL);
    exchange_advance(&asks, clock_now_us());
    accept_at(1);
    assert_true(lane_flush(&it.lane, clock_now_us()));
    assert_true(hears(1, "EVALSHA"));
    assert_ptr_equal(it.lane.at, it.lane.home.next);
    lane_abandon(&it.lane);
}

static void without_memory_for_a_berth_a_request_ends(void **state)
{
    const question about = {.script = SCRIPT_RENEW, .key = "{k}", .key_length = 3};
    exchange asks = {0};
    request state_of_it;
    (void)state;
    request_begin(&state_of_it, clock_now_us() + PATIENCE_US, PATIENCE_US, 1);
    exchange_begin(&asks, &state_of_it, &about);
    assert_ptr_equal(exchange_enter(&asks, &it.lane), &it.lane.home);
    it.route.home = &it.at[1].node;
    it.blocks.allowed = 0;
    exchange_advance(&asks, clock_now_us());
    assert_int_equal(state_of_it.state, REQUEST_DONE);
    assert_int_equal(state_of_it.status, REDLOCK_ERR_MEMORY);
}

#define LANE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LANE_TEST(a_node_has_one_berth),
        LANE_TEST(without_memory_there_is_no_berth_and_the_lane_is_whole),
        LANE_TEST(the_pump_serves_all_servers),
        LANE_TEST(a_silent_server_is_given_up_beside_one_that_answers),
        LANE_TEST(a_stop_ends_the_wait_for_any_of_them),
        LANE_TEST(a_berth_that_is_added_within_a_round_costs_nobody_what_was_ready),
        LANE_TEST(a_change_of_any_connection_is_seen_once),
        LANE_TEST(every_attempt_asks_where_the_key_is_now),
        LANE_TEST(without_memory_for_a_berth_a_request_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
