/* SPDX-License-Identifier: MIT
 * What the live tests share: a server, a proxy and clients on it, threads and processes that take
 * locks, and a log that is counted. Rule: only the test's own thread asserts; the others leave here
 * what they saw. Included by the tests of the public interface alone. */
#ifndef REDLOCK_TESTS_LIVE_STAGE_H
#define REDLOCK_TESTS_LIVE_STAGE_H

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <redlock/redlock.h>

#include "support/proxy.h"
#include "support/server.h"
#include "support/stall.h"
#include "wire/bands.h"
#include "wire/script.h"

enum { STAGE_CLIENTS = 8, STAGE_ACTORS = 4 };

#define EXPECT(expression, status) assert_string_equal(redlock_status_name(expression), #status)

/* ---- The log ----------------------------------------------------------------------------------*/

typedef struct journal {
    _Atomic int lines;
    pthread_mutex_t mutex;
    char last[1024];
} journal;

static inline void journal_note(void *arg, redlock_level level, const char *line)
{
    journal *self = arg;
    (void)level;
    pthread_mutex_lock(&self->mutex);
    snprintf(self->last, sizeof self->last, "%s", line);
    pthread_mutex_unlock(&self->mutex);
    atomic_fetch_add(&self->lines, 1);
}

/* ---- The stage --------------------------------------------------------------------------------*/

typedef struct taker taker;

typedef struct stage {
    server *server;
    proxy *proxy;
    redlock_client *clients[STAGE_CLIENTS];
    redlock_client *client, *other; /* the first two: straight to the server */
    pid_t actors[STAGE_ACTORS];
    taker *takers;
    journal journal;
} stage;

/* A thread that acquires one lock. It keeps it until taker_release. */
struct taker {
    taker *next;
    redlock_client *client;
    char name[64];
    redlock_options options;
    pthread_t thread;
    bool is_joined;
    _Atomic bool is_done;
    redlock_status status;
    redlock_lock *lock;
    int64_t took_us;
};

static inline int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Closed at the end of the test, unless it is struck out before. */
static inline redlock_client *stage_open(stage *self, const char *uri,
                                         const redlock_client_options *options)
{
    for (int i = 0; i < STAGE_CLIENTS; i++) {
        if (self->clients[i] != NULL) continue;
        EXPECT(redlock_open(uri, options, &self->clients[i]), REDLOCK_OK);
        return self->clients[i];
    }
    fail_msg("the stage is full of clients");
    return NULL;
}

static inline void stage_close(stage *self, redlock_client *client)
{
    for (int i = 0; i < STAGE_CLIENTS; i++)
        if (self->clients[i] == client) self->clients[i] = NULL;
    EXPECT(redlock_close(client), REDLOCK_OK);
}

#define LOGGED(self_) .log = journal_note, .log_arg = &(self_)->journal

/* A client behind the proxy. It greets nobody, so that held replies hold no request. */
static inline redlock_client *stage_open_through(stage *self)
{
    return stage_open(self, proxy_uri(self->proxy), REDLOCK_CLIENT_OPTIONS(LOGGED(self)));
}

static inline int stage_begin_with(void **state, const char *arguments)
{
    static stage the;
    memset(&the, 0, sizeof the);
    *state = &the;
    (void)stall_begin(); /* before threads are counted */
    pthread_mutex_init(&the.journal.mutex, NULL);
    the.server = server_start(arguments);
    the.proxy = proxy_start(the.server);
    the.client = stage_open(&the, server_uri(the.server), REDLOCK_CLIENT_OPTIONS(LOGGED(&the)));
    the.other = stage_open(&the, server_uri(the.server), REDLOCK_CLIENT_OPTIONS(LOGGED(&the)));
    return 0;
}

static inline int stage_begin(void **state) { return stage_begin_with(state, NULL); }

static inline void taker_join(taker *self)
{
    if (!self->is_joined) pthread_join(self->thread, NULL);
    self->is_joined = true;
}

/* After a failed test too: nothing may be left that the next one would meet. */
static inline int stage_end(void **state)
{
    stage *self = *state;
    for (int i = 0; i < STAGE_ACTORS; i++) {
        if (self->actors[i] == 0) continue;
        kill(self->actors[i], SIGKILL);
        waitpid(self->actors[i], NULL, 0);
    }
    for (int i = 0; i < STAGE_CLIENTS; i++) redlock_close(self->clients[i]);
    for (taker *at = self->takers, *next; at != NULL; at = next) {
        next = at->next;
        taker_join(at);
        redlock_release(at->lock);
        free(at);
    }
    proxy_stop(self->proxy);
    server_stop(self->server);
    pthread_mutex_destroy(&self->journal.mutex);
    return 0;
}

#define ON_STAGE(name) cmocka_unit_test_setup_teardown(name, stage_begin, stage_end)

/* ---- What the server has ----------------------------------------------------------------------
 *
 * By ZCOUNT, so that looking counts as no script. `name` needs no escaping. */

static inline long long stage_waiters(stage *self, const char *name)
{
    return server_number(self->server, "ZCOUNT redlock:{%s} 100000000000000 +inf", name);
}

/* Expired ones included, until somebody removes them. */
static inline long long stage_holders(stage *self, const char *name)
{
    return server_number(self->server, "ZCOUNT redlock:{%s} 1 99999999999999", name);
}

/* To the server, the fixture's own among them. */
static inline long long stage_connections(stage *self)
{
    long long count = server_info(self->server, "clients", "connected_clients:");
    assert_true(count > 0);
    return count;
}

static inline bool has_refused_somebody(void *server_of)
{
    long long refused = server_info(server_of, "stats", "rejected_connections:");
    assert_true(refused >= 0);
    return refused > 0;
}

typedef struct call_count {
    server *server;
    long long before;
} call_count;

static inline bool has_served_one_more(void *arg)
{
    const call_count *self = arg;
    return server_calls(self->server, "evalsha") > self->before;
}

typedef struct expected {
    stage *stage;
    const char *name;
    long long count;
} expected;

static inline bool has_waiters(void *arg)
{
    const expected *self = arg;
    return stage_waiters(self->stage, self->name) == self->count;
}

static inline bool has_holders(void *arg)
{
    const expected *self = arg;
    return stage_holders(self->stage, self->name) == self->count;
}

static inline void await_waiters(stage *self, const char *name, long long count)
{
    eventually(has_waiters, (&(expected){self, name, count}));
}

static inline void await_holders(stage *self, const char *name, long long count)
{
    eventually(has_holders, (&(expected){self, name, count}));
}

static inline redlock_stats stats_of(const redlock_client *client)
{
    redlock_stats stats;
    redlock_stats_read(client, &stats, sizeof stats);
    return stats;
}

/* ---- Locks ------------------------------------------------------------------------------------*/

static inline redlock_lock *take(redlock_client *client, const char *name,
                                 const redlock_options *options)
{
    redlock_lock *lock = NULL;
    EXPECT(redlock_acquire(client, name, options, &lock), REDLOCK_OK);
    assert_non_null(lock);
    assert_true(redlock_is_held(lock));
    return lock;
}

static inline void expect_taken(redlock_client *client, const char *name)
{
    redlock_lock *lock = NULL;
    EXPECT(redlock_acquire(client, name, NULL, &lock), REDLOCK_BUSY);
    assert_null(lock);
}

static inline void expect_free(redlock_client *client, const char *name)
{
    EXPECT(redlock_release(take(client, name, NULL)), REDLOCK_OK);
}

static inline bool is_unheld(void *lock) { return !redlock_is_held(lock); }

static inline void *taker_run(void *arg)
{
    taker *self = arg;
    self->status = redlock_acquire(self->client, self->name, &self->options, &self->lock);
    self->took_us = now_us();
    atomic_store(&self->is_done, true);
    return NULL;
}

static inline taker *taker_start(stage *self, redlock_client *client, const char *name,
                                 const redlock_options *options)
{
    taker *made = calloc(1, sizeof *made);
    assert_non_null(made);
    made->client = client;
    made->options = *options;
    snprintf(made->name, sizeof made->name, "%s", name);
    assert_int_equal(pthread_create(&made->thread, NULL, taker_run, made), 0);
    made->next = self->takers;
    self->takers = made;
    return made;
}

static inline bool taker_is_done(void *arg) { return atomic_load(&((taker *)arg)->is_done); }

static inline void expect_taker(taker *self, redlock_status status)
{
    eventually(taker_is_done, self);
    taker_join(self);
    assert_string_equal(redlock_status_name(self->status), redlock_status_name(status));
}

static inline void taker_release(taker *self)
{
    redlock_lock *held = self->lock;
    self->lock = NULL;
    EXPECT(redlock_release(held), REDLOCK_OK);
}

/* So many renewals of a client, all told. */
typedef struct renewals {
    redlock_client *client;
    uint64_t least;
} renewals;

static inline bool renewals_were_made(void *arg)
{
    const renewals *self = arg;
    return stats_of(self->client).renewed >= self->least;
}

/* Is there something to be told in redlock_process? */
static inline bool is_posted(void *client)
{
    struct pollfd look = {.fd = redlock_fd(client), .events = POLLIN};
    return poll(&look, 1, 0) > 0;
}

/* ---- Punctuality ------------------------------------------------------------------------------*/

/* The call is over after so long, and not before. */
#define PUNCTUAL(due_us, call)                                                                     \
    do {                                                                                           \
        stall began_ = stall_begin();                                                              \
        call;                                                                                      \
        ENDED(&began_, (due_us), (due_us));                                                        \
    } while (0)

/* A lease that ends soon, and yet outlasts what a test does between two of its steps. */
static inline int64_t brief_ms(void) { return patience_outlasting_ms(120); }

/* ---- Queues -----------------------------------------------------------------------------------*/

enum { LONG_MS = 60000, SOON_MS = 1000 };

#define FOR_EVER                                                                                   \
    REDLOCK_OPTIONS(.wait_ms = REDLOCK_WAIT_FOREVER, .claim_ms = LONG_MS, .ttl_ms = LONG_MS)

/* It has the lock within so long from then. */
static inline void expect_within(taker *self, const stall *from, int64_t most_ms)
{
    expect_taker(self, REDLOCK_OK);
    TOOK(from, self->took_us - from->began_us, 0, most_ms * 1000);
}

/* Well before any re-check of a waiter with a long claim could have found out. */
static inline void expect_soon(taker *self, const stall *from)
{
    expect_within(self, from, SOON_MS);
}

/* As if that had been given out last. */
static inline void set_last_fence(server *self, const char *name, uint64_t fence)
{
    server_number(self, "ZADD redlock:{%s} -%llu f1", name,
                  (unsigned long long)(fence + FENCE_BAND));
}

/* The server knows the script, so that its first request is carried out, whether its answer arrives
 * or not. */
static inline void teach(stage *self, enum script_id id)
{
    server_order(self->server, "SCRIPT LOAD %s", scripts[id].source);
}

/* A waiter that is surely in the queue, as the one that makes it so long. */
static inline taker *queued(stage *the, redlock_client *client, long long place,
                            const redlock_options *options)
{
    taker *made = taker_start(the, client, "r", options);
    await_waiters(the, "r", place);
    return made;
}

/* ---- Actors: processes that acquire one lock and keep it ---------------------------------------
 *
 * This program once more, by exec, so that nothing of the test's threads is in it:
 *
 *     <program> actor <uri> <name> <ttl ms> <claim ms> <auto renew: 0 or 1>
 */

static char actor_program[4096];

static inline int actor_run(char **argv)
{
    redlock_client *client;
    redlock_lock *lock;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (redlock_open(argv[2], NULL, &client) != REDLOCK_OK) return 2;
    const redlock_options *options =
        REDLOCK_OPTIONS(.ttl_ms = atoll(argv[4]), .claim_ms = atoll(argv[5]),
                        .auto_renew = atoi(argv[6]) != 0, .wait_ms = REDLOCK_WAIT_FOREVER);
    if (redlock_acquire(client, argv[3], options, &lock) != REDLOCK_OK) return 3;
    for (;;) pause();
}

/* The first line of every main: becomes the actor, or remembers how to start one. */
#define ACTOR_OR_TESTS(argc, argv)                                                                 \
    do {                                                                                           \
        if ((argc) > 1 && strcmp((argv)[1], "actor") == 0) return actor_run(argv);                 \
        if (realpath((argv)[0], actor_program) == NULL) return 2;                                  \
    } while (0)

static inline pid_t actor_start(stage *self, const char *name, int ttl_ms, int claim_ms,
                                bool auto_renew)
{
    char ttl[16], claim[16];
    int place = 0;
    while (self->actors[place] != 0) place++;
    assert_true(place < STAGE_ACTORS);
    snprintf(ttl, sizeof ttl, "%d", ttl_ms);
    snprintf(claim, sizeof claim, "%d", claim_ms);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl(actor_program, actor_program, "actor", server_uri(self->server), name, ttl, claim,
              auto_renew ? "1" : "0", (char *)NULL);
        _exit(127);
    }
    self->actors[place] = pid;
    return pid;
}

/* Of a child of the test's own fork. */
static inline void expect_exit(pid_t child, int code)
{
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

static inline void actor_kill(stage *self, pid_t pid)
{
    for (int i = 0; i < STAGE_ACTORS; i++)
        if (self->actors[i] == pid) self->actors[i] = 0;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static inline void actor_freeze(pid_t pid)
{
    int status = 0;
    kill(pid, SIGSTOP);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
}

#endif
