/* SPDX-License-Identifier: MIT
 * What the tests of acquires that were given up share: a table of ways to give up, and what is
 * watched of the server. */
#ifndef REDLOCK_TESTS_LIVE_GIVEN_UP_H
#define REDLOCK_TESTS_LIVE_GIVEN_UP_H

#include <sys/ioctl.h>
#include <linux/sockios.h>

#include "live/stage.h"

/* AT_THE_SECOND: it is cut, asked for once more, and cancelled then. */
enum ending { BY_DEADLINE, BY_CANCEL, BY_CLOSE, BY_CUT, AT_THE_SECOND };

typedef struct row {
    const char *name;
    int64_t wait_ms, timeout_ms; /* timeout_ms: longer if instrumented; 0: hasty_ms() */
    bool on_tcp;
    bool queues;    /* its question queues: the lane is subscribed, and somebody else holds the lock
                       meanwhile */
    bool keeps_all; /* new connections, too, are kept by the proxy */
    enum ending end;
    enum proxy_order order;
    redlock_status status;
} row;

static row the_copy;
static const row *const the_row = &the_copy;

static inline int64_t hasty_ms(void) { return patience_outlasting_ms(300); }

static inline int begin_row(void **state)
{
    the_copy = *(const row *)*state;
    the_copy.timeout_ms = the_copy.timeout_ms == 0 ? hasty_ms()
                                                   : patience_outlasting_ms(the_copy.timeout_ms);
    return stage_begin(state);
}

static inline void list_row(struct CMUnitTest *tests, size_t *count, const char *what,
                            CMUnitTestFunction run, const row *how)
{
    static char names[64][96];
    char *name = names[*count];
    snprintf(name, sizeof names[0], "%s: %s", what, how->name);
    tests[(*count)++] =
        (struct CMUnitTest){name, run, begin_row, stage_end, (void *)(uintptr_t)how};
}

/* ---- Questions that have left ---------------------------------------------------------------- */

typedef struct questions_kept {
    proxy *proxy;
    int count;
} questions_kept;

static inline bool has_kept(void *arg)
{
    const questions_kept *self = arg;
    return proxy_kept(self->proxy) >= self->count;
}

/* On so many connections. */
static inline void await_kept(stage *the, int count)
{
    eventually(has_kept, (&(questions_kept){the->proxy, count}));
}

typedef struct written {
    redlock_client *client;
    uint64_t writes;
} written;

static inline bool has_written(void *arg)
{
    const written *self = arg;
    return stats_of(self->client).writes > self->writes;
}

static inline written written_now(redlock_client *client)
{
    return (written){client, stats_of(client).writes};
}

/* ---- The server's clients -------------------------------------------------------------------- */

typedef struct crowd {
    stage *stage;
    long long connections;
    long long questions; /* scripts that were called by source so far */
} crowd;

static inline long long count_connections(stage *the)
{
    long long count = 0;
    redisReply *list = server_command(the->server, "CLIENT LIST");
    for (const char *at = list->str; (at = strchr(at, '\n')) != NULL; at++) count++;
    freeReplyObject(list);
    return count;
}

static inline crowd crowd_now(stage *the)
{
    return (crowd){the, count_connections(the), server_calls(the->server, "evalsha")};
}

static inline bool has_departed(void *arg)
{
    const crowd *self = arg;
    /* A slow machine may lose another one that was on its way out when they were counted. */
    return count_connections(self->stage) <= self->connections;
}

/* So many connections are gone: the server frees one after it has carried out what came on it. */
static inline void await_departure(const crowd *before, int gone)
{
    crowd self = *before;
    self.connections -= gone;
    eventually(has_departed, &self);
}

static inline bool has_asked_twice(void *arg)
{
    const crowd *self = arg;
    return server_calls(self->stage->server, "evalsha") > self->questions + 1;
}

/* The keeper's, which finds the script unknown, and asks again behind it. */
static inline void await_cancel(const crowd *before)
{
    crowd self = *before;
    eventually(has_asked_twice, &self);
}

typedef struct undone {
    redlock_client *client;
    uint64_t count;
} undone;

static inline bool has_undone(void *arg)
{
    const undone *self = arg;
    return stats_of(self->client).undone == self->count;
}

static inline void await_undone(redlock_client *client, uint64_t count)
{
    eventually(has_undone, (&(undone){client, count}));
}

/* ---- Silence --------------------------------------------------------------------------------- */

static redisContext *business;

/* Has the server read all that was sent? */
static inline bool is_read(void *arg)
{
    int unread = 0;
    return ioctl(((redisContext *)arg)->fd, SIOCOUTQ, &unread) == 0 && unread == 0;
}

/* From when it has read the command, for longer than a client needs to give up. */
static inline void keep_busy(stage *the)
{
    int is_written = 0;
    business = redisConnectUnix(server_socket(the->server));
    const char *rounds = patience_is_instrumented() ? "800000000" : "240000000";
    redisAppendCommand(business, "EVAL %s 0 %s", "for i = 1, tonumber(ARGV[1]) do end return 1",
                       rounds);
    while (!is_written) assert_int_equal(redisBufferWrite(business, &is_written), REDIS_OK);
    eventually(is_read, business);
}

static inline void end_of_business(stage *the)
{
    void *answer = NULL;
    (void)the;
    assert_int_equal(redisGetReply(business, &answer), REDIS_OK);
    freeReplyObject(answer);
    redisFree(business);
}

static inline void freeze(stage *the) { server_freeze(the->server); }
static inline void thaw(stage *the) { server_thaw(the->server); }

/* Of an asynchronous call. */
typedef struct notes {
    _Atomic bool is_over;
    redlock_status status;
} notes;

static inline void note_end(void *arg, redlock_status status)
{
    notes *self = arg;
    self->status = status;
    atomic_store(&self->is_over, true);
}

static inline void note_acquired(void *arg, redlock_status status, redlock_lock *lock)
{
    (void)lock;
    note_end(arg, status);
}

static inline bool is_over(void *arg) { return atomic_load(&((notes *)arg)->is_over); }

/* On the keeper's connection; what went before on it has been answered when this is over. */
static inline void extend(redlock_lock *lock, notes *end)
{
    *end = (notes){.is_over = false};
    EXPECT(redlock_extend_async(lock, LONG_MS, note_end, end), REDLOCK_OK);
}

#endif
