/* SPDX-License-Identifier: MIT
 * The floors: the least that anybody could send, on raw blocking hiredis. A lock here is SET key
 * token NX PX ttl, its release a compare-and-delete by EVALSHA, its wake-up a PUBLISH to a blocked
 * subscriber. */
#ifndef REDLOCK_BENCHMARK_FLOORS_H
#define REDLOCK_BENCHMARK_FLOORS_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

/* One way to the server. */
typedef struct route {
    const char *name;   /* "tcp" or "unix" */
    const char *uri;    /* for redlock_open */
    const char *socket; /* NULL: TCP to 127.0.0.1 and ... */
    int port;           /* ... this port */
} route;

/* A blocking connection, or NULL and a complaint. redisFree gives it back. */
redisContext *floor_connect(const route *by);

/* One naive lock, with a connection of its own. */
typedef struct naive_lock {
    redisContext *link;
    char key[32];
    char sha1[48];
} naive_lock;

/* False, and a complaint, when the server does not do its part. */
bool naive_open(naive_lock *self, const route *by, const char *key);
bool naive_acquire(naive_lock *self);
bool naive_release(naive_lock *self);
void naive_close(naive_lock *self);

/* Pairs per second in a slice of this length; 0 after a failure. */
double naive_pairs_per_second(naive_lock *self, int64_t slice_ns);

bool floor_subscribe(redisContext *link, const char *channel);
/* Blocks until the next message came. */
bool floor_await_message(redisContext *link);
/* Returns when the server answered, as redlock_release does; false unless somebody received it. */
bool floor_publish(redisContext *link, const char *channel, const char *payload);

/* How many commands clients sent for locks (scripts and subscriptions) since the server started;
 * those that run inside scripts are not among them. Negative after a failure. */
int64_t floor_commands_sent(redisContext *link);

/* What scripts cost the server since it started, as it counts itself. False after a failure. */
typedef struct floor_scripts {
    int64_t calls;
    int64_t spent_us;
} floor_scripts;

bool floor_scripts_run(redisContext *link, floor_scripts *out);

#endif
