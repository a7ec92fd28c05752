/* SPDX-License-Identifier: MIT
 * The fixtures themselves: a proxy that does not fail on demand would let every fault test pass. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/proxy.h"
#include "support/server.h"
#include "support/stall.h"

typedef struct fixture {
    server *server;
    proxy *proxy;
    redisContext *through; /* a connection through the proxy */
} fixture;

static redisContext *connect_to(const char *uri)
{
    redisContext *made = redisConnectUnix(uri + strlen("unix://"));
    assert_non_null(made);
    assert_int_equal(made->err, 0);
    return made;
}

static int start(void **state)
{
    static fixture the;
    the.server = server_start(NULL);
    the.proxy = proxy_start(the.server);
    the.through = connect_to(proxy_uri(the.proxy));
    *state = &the;
    return 0;
}

static int stop(void **state)
{
    fixture *the = *state;
    if (the->through != NULL) redisFree(the->through);
    the->through = NULL;
    proxy_stop(the->proxy);
    server_stop(the->server);
    return 0;
}

/* 0: no answer, since the connection ended. */
static long long ask(redisContext *connection, const char *text)
{
    redisReply *answer = redisCommand(connection, text);
    long long number = answer != NULL ? answer->integer : 0;
    if (answer != NULL) freeReplyObject(answer);
    return number;
}

static void send_request(redisContext *connection, const char *text)
{
    int done = 0;
    assert_int_equal(redisAppendCommand(connection, text), REDIS_OK);
    while (!done) assert_int_equal(redisBufferWrite(connection, &done), REDIS_OK);
}

static long long receive(redisContext *connection)
{
    void *answer = NULL;
    if (redisGetReply(connection, &answer) != REDIS_OK) return 0;
    long long number = ((redisReply *)answer)->integer;
    freeReplyObject(answer);
    return number;
}

static bool is_readable(const redisContext *connection)
{
    struct pollfd one = {.fd = connection->fd, .events = POLLIN};
    return poll(&one, 1, 0) == 1;
}

static bool has_counted(void *arg)
{
    fixture *the = arg;
    return server_calls(the->server, "incr") == 1;
}

static bool is_unconnected(void *arg) { return proxy_connected(((fixture *)arg)->proxy) == 0; }

static void a_server_begins_empty_and_counts_calls(void **state)
{
    fixture *the = *state;
    assert_int_equal(server_number(the->server, "DBSIZE"), 0);
    assert_int_equal(server_number(the->server, "INCR %s", "n"), 1);
    assert_int_equal(server_calls(the->server, "incr"), 1);
    assert_int_equal(server_calls(the->server, "evalsha"), 0);
}

static void a_restarted_server_is_empty_at_the_same_place(void **state)
{
    fixture *the = *state;
    int pid = server_pid(the->server);
    assert_int_equal(server_number(the->server, "INCR n"), 1);
    server_restart(the->server);
    assert_int_equal(server_number(the->server, "INCR n"), 1);
    assert_int_not_equal(server_pid(the->server), pid);
    assert_int_equal(kill(pid, 0), -1);
}

static void the_fixture_connects_again_when_its_own_connection_is_killed(void **state)
{
    fixture *the = *state;
    server_number(the->server, "CLIENT KILL TYPE normal SKIPME no");
    assert_int_equal(server_number(the->server, "INCR n"), 1);
}

static void a_frozen_server_answers_when_it_is_thawed(void **state)
{
    fixture *the = *state;
    server_freeze(the->server);
    send_request(the->through, "INCR n");
    assert_false(is_readable(the->through));
    server_thaw(the->server);
    assert_int_equal(receive(the->through), 1);
}

static void a_tcp_server_answers_on_its_port(void **state)
{
    (void)state;
    server *self = server_start_tcp("--maxclients 64");
    redisContext *connection = redisConnect("127.0.0.1", server_tcp_port(self));
    assert_non_null(strstr(server_tcp_uri(self), "redis://127.0.0.1:"));
    assert_int_equal(ask(connection, "INCR n"), 1);
    redisFree(connection);
    server_stop(self);
}

static bool can_be_taken(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_taken = bind(fd, (struct sockaddr *)&at, sizeof at) == 0;
    close(fd);
    return is_taken;
}

static void the_ports_of_a_killed_server_stay_its_own(void **state)
{
    (void)state;
    server *self = server_start_tcp("--cluster-enabled yes --cluster-port {bus}");
    int port = server_tcp_port(self), bus = server_bus_port(self);
    server_kill(self);
    assert_false(can_be_taken(port) || can_be_taken(bus));
    server_restart(self);
    redisContext *connection = redisConnect("127.0.0.1", port);
    assert_int_equal(ask(connection, "CLUSTER COUNTKEYSINSLOT 0"), 0);
    assert_int_equal(connection->err, 0);
    redisFree(connection);
    server_stop(self);
    assert_true(can_be_taken(port) && can_be_taken(bus));
}

static void a_stopped_server_leaves_nothing(void **state)
{
    struct stat about;
    char directory[128];
    (void)state;
    server *self = server_start(NULL);
    int pid = server_pid(self);
    strcpy(directory, server_directory(self));
    server_stop(self);
    assert_int_equal(stat(directory, &about), -1);
    assert_int_equal(kill(pid, 0), -1);
}

static long long seconds_of(server *from)
{
    redisReply *answer = server_command(from, "TIME");
    long long seconds = strtoll(answer->element[0]->str, NULL, 10);
    freeReplyObject(answer);
    return seconds;
}

static void a_server_with_a_clock_is_moved_and_stopped(void **state)
{
    (void)state;
    server *self = server_start_with_clock(NULL);
    server_order(self, "SET key value PX 3000000");
    long long before = seconds_of(self);
    server_shift_clock(self, 3600 * 1000);
    assert_in_range(seconds_of(self), before + 3600, before + 3660);
    assert_int_equal(server_number(self, "EXISTS key"), 0);
    server_stop_clock(self, 1000000000000000);
    assert_int_equal(seconds_of(self), 1000000000);
    server_shift_clock(self, -5000);
    assert_int_equal(seconds_of(self), 999999995);
    server_stop(self);
}

static void a_proxy_forwards_both_ways(void **state)
{
    fixture *the = *state;
    redisContext *tcp = redisConnect("127.0.0.1", proxy_tcp_port(the->proxy));
    assert_int_equal(ask(the->through, "INCR n"), 1);
    assert_int_equal(ask(tcp, "INCR n"), 2);
    assert_int_equal(proxy_accepted(the->proxy), 2);
    assert_int_equal(proxy_connected(the->proxy), 2);
    redisFree(tcp);
}

static void a_proxy_forwards_more_than_its_buffer(void **state)
{
    static char large[1 << 20];
    fixture *the = *state;
    memset(large, 'x', sizeof large);
    freeReplyObject(redisCommand(the->through, "SET large %b", large, sizeof large));
    redisReply *answer = redisCommand(the->through, "GET large");
    assert_int_equal(answer->len, sizeof large);
    freeReplyObject(answer);
}

static void a_cut_ends_connections_and_lets_new_ones_in(void **state)
{
    fixture *the = *state;
    assert_int_equal(ask(the->through, "INCR n"), 1);
    proxy_cut(the->proxy);
    assert_true(is_readable(the->through));
    eventually(is_unconnected, the);
    redisContext *next = connect_to(proxy_uri(the->proxy));
    assert_int_equal(ask(next, "INCR n"), 2);
    redisFree(next);
}

static void a_held_reply_comes_late_and_its_request_takes_effect_at_once(void **state)
{
    fixture *the = *state;
    proxy_hold(the->proxy, true);
    send_request(the->through, "INCR n");
    eventually(has_counted, the);
    assert_false(is_readable(the->through));
    proxy_hold(the->proxy, false);
    assert_int_equal(receive(the->through), 1);
}

static void a_dropped_reply_is_lost_after_its_effect(void **state)
{
    fixture *the = *state;
    proxy_drop_replies_once(the->proxy);
    assert_false(proxy_has_dropped(the->proxy));
    assert_int_equal(ask(the->through, "INCR n"), 0);
    assert_true(proxy_has_dropped(the->proxy));
    assert_int_equal(server_number(the->server, "INCR n"), 2);
}

static void only_the_reply_to_the_word_is_dropped(void **state)
{
    fixture *the = *state;
    proxy_drop_reply_to(the->proxy, "second");
    assert_int_equal(ask(the->through, "INCR first"), 1);
    assert_int_equal(ask(the->through, "INCR second"), 0);
    redisContext *next = connect_to(proxy_uri(the->proxy));
    assert_int_equal(ask(next, "INCR second"), 2);
    redisFree(next);
}

static void a_slow_proxy_gives_one_byte_at_a_time(void **state)
{
    char bytes[16];
    fixture *the = *state;
    proxy_slow(the->proxy, 1, 20000);
    send_request(the->through, "ECHO a");
    assert_int_equal(recv(the->through->fd, bytes, sizeof bytes, 0), 1);
    proxy_slow(the->proxy, 0, 0);
}

static void a_refusing_proxy_closes_new_connections_only(void **state)
{
    fixture *the = *state;
    assert_int_equal(ask(the->through, "INCR n"), 1);
    proxy_refuse(the->proxy, true);
    redisContext *next = connect_to(proxy_uri(the->proxy));
    char byte;
    assert_int_equal(recv(next->fd, &byte, 1, 0), 0);
    redisFree(next);
    assert_int_equal(ask(the->through, "INCR n"), 2);
}

static void a_black_hole_answers_nothing_until_it_ends(void **state)
{
    fixture *the = *state;
    proxy_blackhole(the->proxy, true);
    redisContext *next = connect_to(proxy_uri(the->proxy));
    send_request(the->through, "INCR n");
    send_request(next, "INCR n");
    assert_int_equal(server_calls(the->server, "incr"), 0);
    proxy_blackhole(the->proxy, false);
    assert_int_equal(receive(the->through) + receive(next), 1 + 2);
    redisFree(next);
}

static void a_proxy_outlives_its_server(void **state)
{
    fixture *the = *state;
    assert_int_equal(ask(the->through, "INCR n"), 1);
    server_kill(the->server);
    assert_int_equal(ask(the->through, "INCR n"), 0);
    server_restart(the->server);
    redisContext *next = connect_to(proxy_uri(the->proxy));
    assert_int_equal(ask(next, "INCR n"), 1);
    redisFree(next);
}

static bool has_kept_both(void *arg) { return proxy_kept(arg) == 2; }

static void a_proxy_tells_on_how_many_connections_it_keeps_something(void **state)
{
    fixture *the = *state;
    redisContext *next = connect_to(proxy_uri(the->proxy)),
                 *silent = connect_to(proxy_uri(the->proxy));
    proxy_keep_requests(the->proxy, true);
    assert_int_equal(proxy_kept(the->proxy), 0);
    send_request(the->through, "INCR n");
    send_request(next, "INCR n");
    eventually(has_kept_both, the->proxy);
    proxy_deliver_requests(the->proxy, PROXY_OLDEST_FIRST);
    assert_int_equal(receive(the->through) + receive(next), 1 + 2);
    assert_int_equal(proxy_kept(the->proxy), 0);
    redisFree(next);
    redisFree(silent);
}

/* ---- The meter --------------------------------------------------------------------------------*/

enum { DELAY_US = 10000 };

static int64_t us_since(const stall *mark)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 - mark->began_us;
}

typedef struct delay {
    stall mark;
    bool is_allowed;
} delay;

/* A delay that is not the machine's: it stalled for less than half of it. */
static bool is_our_own(void *arg)
{
    delay *self = arg;
    self->mark = stall_begin();
    nanosleep(&(struct timespec){.tv_nsec = 2 * DELAY_US * 1000}, NULL);
    self->is_allowed = stall_allows(&self->mark, us_since(&self->mark), -stall_late_us());
    return stall_us(&self->mark) < DELAY_US;
}

static void a_delay_that_is_not_the_machines_is_not_allowed(void **state)
{
    delay ours;
    (void)state;
    eventually(is_our_own, &ours);
    assert_false(ours.is_allowed);
    assert_true(stall_allows(&ours.mark, stall_late_us() + DELAY_US, DELAY_US));
    assert_true(stall_meter_busy_us() > 0);
}

enum { STOP_US = 2 * DELAY_US };

/* All its threads, and so its meter, stand still until the parent lets it go on. */
static int stand_still(void)
{
    stall mark = stall_begin();
    kill(getpid(), SIGSTOP);
    for (int i = 0; i < 5; i++)
        patience_pause(); /* the meter goes on, and what is over still counts */
    return us_since(&mark) >= STOP_US && stall_us(&mark) >= STOP_US - DELAY_US ? 0 : 1;
}

/* Comes before any other mark: a child of fork() has no meter but the one that it starts. */
static void a_machine_that_stands_still_is_allowed_for(void **state)
{
    int status = 0;
    (void)state;
    pid_t child = fork();
    if (child == 0) _exit(stand_still());
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    nanosleep(&(struct timespec){.tv_nsec = STOP_US * 1000}, NULL);
    kill(child, SIGCONT);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#define WITH_PROXY(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PROXY(a_server_begins_empty_and_counts_calls),
        WITH_PROXY(a_restarted_server_is_empty_at_the_same_place),
        WITH_PROXY(the_fixture_connects_again_when_its_own_connection_is_killed),
        WITH_PROXY(a_frozen_server_answers_when_it_is_thawed),
        cmocka_unit_test(a_tcp_server_answers_on_its_port),
        cmocka_unit_test(the_ports_of_a_killed_server_stay_its_own),
        cmocka_unit_test(a_stopped_server_leaves_nothing),
        cmocka_unit_test(a_server_with_a_clock_is_moved_and_stopped),
        WITH_PROXY(a_proxy_forwards_both_ways),
        WITH_PROXY(a_proxy_forwards_more_than_its_buffer),
        WITH_PROXY(a_cut_ends_connections_and_lets_new_ones_in),
        WITH_PROXY(a_held_reply_comes_late_and_its_request_takes_effect_at_once),
        WITH_PROXY(a_dropped_reply_is_lost_after_its_effect),
        WITH_PROXY(only_the_reply_to_the_word_is_dropped),
        WITH_PROXY(a_slow_proxy_gives_one_byte_at_a_time),
        WITH_PROXY(a_refusing_proxy_closes_new_connections_only),
        WITH_PROXY(a_black_hole_answers_nothing_until_it_ends),
        WITH_PROXY(a_proxy_outlives_its_server),
        WITH_PROXY(a_proxy_tells_on_how_many_connections_it_keeps_something),
        cmocka_unit_test(a_machine_that_stands_still_is_allowed_for),
        cmocka_unit_test(a_delay_that_is_not_the_machines_is_not_allowed),
    };
    signal(SIGPIPE, SIG_IGN); /* hiredis raises it */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
