/* SPDX-License-Identifier: MIT
 * Closing a client that holds many locks, against what it takes to release as many asynchronously.
 * Both give all of them back, which the server is asked for. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "stopwatch.h"

enum { TTL_MS = 600000, TIMEOUT_MS = 20000 };

typedef struct fleet {
    redlock_client *client;
    redlock_lock **locks;
    int size, taken, left; /* left: operations that are under way */
    bool has_failed;
} fleet;

static void taken(void *arg, redlock_status status, redlock_lock *lock)
{
    fleet *self = arg;
    self->left--;
    if (!is_ok(status, "acquire of a lock to be closed")) self->has_failed = true;
    else self->locks[self->taken++] = lock;
}

static void released(void *arg, redlock_status status)
{
    fleet *self = arg;
    self->left--;
    if (!is_ok(status, "asynchronous release")) self->has_failed = true;
}

static bool run(fleet *self)
{
    struct pollfd look = {.fd = redlock_fd(self->client), .events = POLLIN};
    while (self->left > 0 && !self->has_failed)
        if (poll(&look, 1, 10000) != 1 || !is_ok(redlock_process(self->client), "process"))
            return false;
    return !self->has_failed;
}

static bool take_all(fleet *self)
{
    self->taken = 0;
    self->left = self->size;
    for (int i = 0; i < self->size; i++) {
        char name[32];
        snprintf(name, sizeof name, "closing:%d", i);
        const redlock_options *options = REDLOCK_OPTIONS(.ttl_ms = TTL_MS);
        if (!is_ok(
                redlock_acquire_async(self->client, name, strlen(name), options, taken, self, NULL),
                "submission"))
            return false;
    }
    return run(self);
}

static bool release_all(fleet *self)
{
    self->left = self->size;
    for (int i = 0; i < self->size; i++)
        if (!is_ok(redlock_release_async(self->locks[i], released, self),
                   "submission of a release"))
            return false;
    return run(self);
}

/* How many locks are held: each other key has a linger, and no holder. Negative after a failure. */
static long long held_on(const route *by)
{
    static const char count[] =
        "local n = 0 for _, key in ipairs(redis.call('KEYS', '*closing:*')) do "
        "n = n + redis.call('ZCOUNT', key, 1, 99999999999999) end return n";
    redisContext *link = floor_connect(by);
    redisReply *said = link == NULL ? NULL : redisCommand(link, "EVAL %s 0", count);
    const long long held = said != NULL && said->type == REDIS_REPLY_INTEGER ? said->integer : -1;
    freeReplyObject(said);
    redisFree(link);
    return held;
}

static bool measure(const benchmark *bench, fleet *self)
{
    if (!take_all(self)) return false;
    const int64_t began = now_ns();
    if (!release_all(self)) return false;
    const int64_t released_ns = now_ns() - began;
    if (!take_all(self)) return false;
    const int64_t closing = now_ns();
    redlock_client *closed = self->client;
    self->client = NULL;
    if (!is_ok(redlock_close(closed), "close")) return false;
    const int64_t closed_ns = now_ns() - closing;
    const long long left = held_on(&bench->local);
    for (int i = 0; i < self->taken; i++) (void)redlock_release(self->locks[i]); /* the handles */
    char what[32];
    snprintf(what, sizeof what, "close with %d locks", self->size);
    report_row(bench->report, what, "s", (double)released_ns / 1e9, (double)closed_ns / 1e9,
               (double)closed_ns / (double)released_ns, "%lld left on the server", left);
    report_figure(bench->report, FIGURE_close_vs_release, (double)closed_ns / (double)released_ns);
    report_figure(bench->report, FIGURE_close_left, (double)left);
    return true;
}

bool measure_closing(const benchmark *self, int size)
{
    fleet all = {.size = size, .locks = calloc((size_t)size, sizeof *all.locks)};
    if (all.locks == NULL) return false;
    const redlock_client_options *options =
        REDLOCK_CLIENT_OPTIONS(.host = REDLOCK_HOST_MANUAL, .timeout_ms = TIMEOUT_MS);
    const bool is_measured = is_ok(redlock_open(self->local.uri, options, &all.client), "open") &&
                             measure(self, &all);
    (void)redlock_close(all.client);
    free(all.locks);
    return is_measured;
}
