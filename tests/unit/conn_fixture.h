/* SPDX-License-Identifier: MIT
 * A connection and, in the same thread, the server that it talks to: a listening Unix socket in a
 * directory of its own, and the accepted end. Whatever one end writes is there for the other at
 * once, so that nothing waits. Included by the tests of net/conn alone. */
#ifndef REDLOCK_TESTS_CONN_FIXTURE_H
#define REDLOCK_TESTS_CONN_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/conn.h"
#include "unit/counted_memory.h"

enum { TIMEOUT_US = 2000 * 1000, START_US = 1000 * 1000, HEARD_SIZE = 4096 };

typedef struct fixture {
    char directory[64];
    endpoint server;
    memory memory;
    event_log log;
    conn_counters counters;
    conn_config config;
    node node;
    conn conn;
    int64_t now_us;
    int listener, peer;
    counted_blocks blocks;
    char logged[4096];
    char heard[HEARD_SIZE];
} fixture;

static fixture it;

/* A call that remembers what it was told. Static in the tests, since the tear-down may still answer
 * it. */
typedef struct probe {
    call call;
    int answers;
    bool was_cut;
    enum reply_kind kind;
    int64_t integer;
    char text[64];
    int64_t answered_us;
    void (*then)(struct probe *self);
} probe;

static void remember(call *back, const reply *from, int64_t now_us)
{
    probe *self = (probe *)back;
    self->answers++;
    self->answered_us = now_us;
    self->was_cut = from == NULL;
    if (self->then != NULL) self->then(self);
    if (from == NULL) return;
    self->kind = from->kind;
    self->integer = from->integer;
    if (from->text != NULL) snprintf(self->text, sizeof self->text, "%s", from->text);
}

static void keep_line(void *arg, redlock_level level, const char *line)
{
    (void)arg, (void)level;
    size_t used = strlen(it.logged);
    snprintf(it.logged + used, sizeof it.logged - used, "%s\n", line);
}

static int set_up(void **state)
{
    (void)state;
    it = (fixture){.listener = -1, .peer = -1, .now_us = START_US, .blocks.allowed = -1};
    snprintf(it.directory, sizeof it.directory, "/tmp/redlock-conn-XXXXXX");
    if (mkdtemp(it.directory) == NULL) return -1;
    snprintf(it.server.host, sizeof it.server.host, "%s/socket", it.directory);
    it.server.is_unix = true;

    struct sockaddr_un name = {.sun_family = AF_UNIX};
    snprintf(name.sun_path, sizeof name.sun_path, "%s/socket", it.directory);
    it.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(it.listener, (struct sockaddr *)&name, sizeof name) != 0 ||
        listen(it.listener, 8) != 0)
        return -1;

    it.memory = counted_memory(&it.blocks);
    it.log = (event_log){.write = keep_line, .level = REDLOCK_LOG_DEBUG};
    it.node.server = &it.server;
    it.config = (conn_config){.connect_timeout_us = TIMEOUT_US,
                              .memory = &it.memory,
                              .log = &it.log,
                              .counters = &it.counters,
                              .jitter_seed = 7};
    conn_init(&it.conn, &it.config, &it.node);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    conn_destroy(&it.conn);
    if (it.peer >= 0) close(it.peer);
    if (it.listener >= 0) close(it.listener);
    unlink(it.server.host);
    rmdir(it.directory);
    return it.blocks.live != 0;
}

static void open_and_accept(void)
{
    conn_open(&it.conn, it.now_us);
    if (it.peer >= 0) close(it.peer);
    it.peer = accept4(it.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(it.peer >= 0);
}

static inline void submit_for(probe *self, const char *verb, int64_t patience_us)
{
    command cmd;
    command_begin(&cmd, verb);
    self->call.answered = remember;
    self->call.deadline_us = it.now_us + patience_us;
    assert_true(conn_submit(&it.conn, &self->call, &cmd, it.now_us));
}

static inline void submit(probe *self, const char *verb) { submit_for(self, verb, TIMEOUT_US); }

/* What the server got since it was last asked. */
static inline const char *hear(void)
{
    ssize_t length = recv(it.peer, it.heard, sizeof it.heard - 1, MSG_DONTWAIT);
    it.heard[length > 0 ? length : 0] = '\0';
    return it.heard;
}

static void say_bytes(const char *bytes, size_t length)
{
    assert_int_equal(send(it.peer, bytes, length, MSG_NOSIGNAL), length);
}

static void say(const char *text) { say_bytes(text, strlen(text)); }

/* One round of whoever pumps the connection. */
static void pump(void)
{
    struct pollfd ready = {.fd = conn_poll_fd(&it.conn), .events = conn_poll_events(&it.conn)};
    if (poll(&ready, 1, 0) > 0) conn_ready(&it.conn, ready.revents, it.now_us);
}

static void answer_with(const char *text)
{
    say(text);
    pump();
}

static void assert_closed(redlock_status why)
{
    assert_int_equal(it.conn.state, CONN_CLOSED);
    assert_int_equal(it.conn.failure, why);
    assert_int_equal(it.conn.fd, -1);
    assert_null(it.conn.first);
    assert_true(conn_wake_us(&it.conn) == INT64_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
