/* SPDX-License-Identifier: MIT
 * A lane in a cluster whose servers are this thread, too: a listening socket each, on ports of
 * their own of 127.0.0.1, for a map knows addresses alone. What they say is sent before anybody
 * waits for it. Included by the tests of what a lane does in a cluster. */
#ifndef REDLOCK_TESTS_CLUSTER_FIXTURE_H
#define REDLOCK_TESTS_CLUSTER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/clock.h"
#include "lane/drive.h"
#include "unit/counted_memory.h"

enum { SERVERS = 3, CONNS_MOST = 8, PATIENCE_US = 10 * 1000 * 1000, ROUND_US = 20 * 1000 };
enum { SLOT = 15495, OTHER_SLOT = 3300 }; /* of the keys {a} and {b} */

typedef struct server {
    endpoint address;
    node *is;
    int listener;
} server;

static struct stage {
    server at[SERVERS];
    int peers[CONNS_MOST]; /* the servers' ends of connections, as they came */
    int peer_count;
    memory memory;
    event_log log;
    outage begins;
    conn_config config;
    cluster map;
    route route;
    identity who;
    lane_terms terms;
    lane lane;
    counted_blocks blocks;
} it;

/* ---- The stage ---- */

/* A socket at a free port, where nobody listens. */
static inline int bind_at(endpoint *out)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(fd, (struct sockaddr *)&name, sizeof name) != 0 ||
        getsockname(fd, (struct sockaddr *)&name, &length) != 0)
        return -1;
    *out = (endpoint){.host = "127.0.0.1", .port = ntohs(name.sin_port)};
    return fd;
}

static void begin_lane(route by)
{
    it.route = by;
    it.terms =
        (lane_terms){.config = &it.config, .route = &it.route, .key_prefix = "p:", .who = &it.who};
    lane_init(&it.lane, &it.terms, 7, NULL);
}

static int set_up(void **state)
{
    (void)state;
    memset(&it, 0, sizeof it);
    it.blocks.allowed = -1;
    it.memory = counted_memory(&it.blocks);
    it.log.level = REDLOCK_LOG_SILENT;
    it.config = (conn_config){
        .connect_timeout_us = PATIENCE_US, .memory = &it.memory, .log = &it.log, .jitter_seed = 7};
    snprintf(it.who.id, sizeof it.who.id, "client");
    cluster_init(&it.map, &it.memory, &it.begins);
    for (int i = 0; i < SERVERS; i++) {
        it.at[i].listener = bind_at(&it.at[i].address);
        if (it.at[i].listener < 0 || listen(it.at[i].listener, 8) != 0) return -1;
        it.at[i].is = cluster_node(&it.map, &it.at[i].address);
    }
    begin_lane((route){.home = it.at[0].is, .cluster = &it.map});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    lane_close(&it.lane, clock_now_us());
    lane_destroy(&it.lane);
    cluster_destroy(&it.map);
    for (int i = 0; i < it.peer_count; i++)
        if (it.peers[i] >= 0) close(it.peers[i]);
    for (int i = 0; i < SERVERS; i++) close(it.at[i].listener);
    return it.blocks.live != 0;
}

static inline berth *berth_at(int index) { return lane_berth(&it.lane, it.at[index].is); }

/* ---- The servers' side: a peer is a number among it.peers ---- */

static inline void await_readable(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, PATIENCE_US / 1000), 1);
}

/* The next connection to that server. */
static inline int accept_at(int index)
{
    await_readable(it.at[index].listener);
    assert_true(it.peer_count < CONNS_MOST);
    int fd = accept4(it.at[index].listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(fd >= 0);
    it.peers[it.peer_count] = fd;
    return it.peer_count++;
}

static inline void hang_up(int peer)
{
    close(it.peers[peer]);
    it.peers[peer] = -1;
}

/* One command as it came: false when it is not whole. Its words go to `out`. */
static inline bool read_command(const char **at, const char *end, char words[2][400])
{
    char *next;
    const char *from = *at;
    if (from == end || *from != '*') return false;
    long count = strtol(from + 1, &next, 10);
    from = next + 2;
    words[1][0] = '\0';
    for (long i = 0; i < count; i++) {
        if (from >= end || *from != '$') return false;
        long length = strtol(from + 1, &next, 10);
        from = next + 2;
        if (end - from < length + 2) return false;
        if (i < 2) snprintf(words[i], 400, "%.*s", (int)length, from);
        from += length + 2;
    }
    *at = from;
    return true;
}

/* The commands by name, and of those that have several forms the next word, too. */
static inline void name_commands(char *out, size_t size, const char *at, const char *end)
{
    char words[2][400];
    size_t used = 0;
    out[0] = '\0';
    while (read_command(&at, end, words)) {
        bool has_form = strcmp(words[0], "CLUSTER") == 0 || strcmp(words[0], "SCRIPT") == 0 ||
                        strstr(words[0], "SUBSCRIBE") != NULL;
        used += (size_t)snprintf(out + used, size - used, "%s%s%s%s", used > 0 ? ", " : "",
                                 words[0], has_form ? " " : "", has_form ? words[1] : "");
        assert_true(used < size);
    }
}

/* Waits until as much was sent there; it has to be these commands, and nothing else. */
static inline void expect_heard(int peer, const char *commands)
{
    static char bytes[1 << 17];
    char told[2000];
    size_t length = 0;
    do {
        await_readable(it.peers[peer]);
        ssize_t got = recv(it.peers[peer], bytes + length, sizeof bytes - 1 - length, 0);
        assert_true(got > 0);
        length += (size_t)got;
        bytes[length] = '\0';
        name_commands(told, sizeof told, bytes, bytes + length);
    } while (strlen(told) < strlen(commands));
    assert_string_equal(told, commands);
}

/* Nothing was sent there, nor did it end. */
static inline void expect_silence(int peer)
{
    char byte;
    assert_int_equal(recv(it.peers[peer], &byte, 1, MSG_DONTWAIT), -1);
}

/* The other end went. */
static inline void expect_end(int peer)
{
    char byte;
    await_readable(it.peers[peer]);
    assert_true(recv(it.peers[peer], &byte, 1, MSG_DONTWAIT) <= 0);
}

static inline void pump(int64_t until_us)
{
    lane_stops none = {.fd = {-1, -1}};
    int64_t soon_us = clock_now_us() + ROUND_US;
    lane_pump(&it.lane, until_us < soon_us ? until_us : soon_us, &none);
}

static inline void say(int peer, const char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        ssize_t sent = send(it.peers[peer], text, left, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) { /* it is more than fits */
            pump(0);
            continue;
        }
        text += sent;
        left -= (size_t)sent;
    }
}

static inline void say_redirect(int peer, const char *verb, int slot, int to)
{
    char text[100];
    snprintf(text, sizeof text, "-%s %d 127.0.0.1:%u\r\n", verb, slot, it.at[to].address.port);
    say(peer, text);
}

/* The table of a cluster in which one server has everything. */
static inline void say_table(int peer, int owner)
{
    char text[200];
    snprintf(text, sizeof text, "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n",
             it.at[owner].address.port);
    say(peer, text);
}

/* What has to become true in a few rounds. */
#define UNTIL(is_so, round)                                                                        \
    do {                                                                                           \
        for (int64_t end_us = clock_now_us() + PATIENCE_US; !(is_so); round)                       \
            assert_true(clock_now_us() < end_us);                                                  \
    } while (0)

#define IN_CLUSTER(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
