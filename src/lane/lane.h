/* SPDX-License-Identifier: MIT
 * A lane: the connections to one server that one thread pumps at a time. A blocking call borrows
 * one from the client's pool; the keeper has its own.
 *
 * The command connection carries scripts; the inbox is the subscription (RESP2 needs a connection
 * of its own for it), opened by the first call that has to wait and kept from then on, so that
 * later waits begin with queueing. */
#ifndef REDLOCK_LANE_LANE_H
#define REDLOCK_LANE_LANE_H

#include <poll.h>

#include "engine/acquire.h"
#include "lane/exchange.h"
#include "wire/identity.h"

/* Who is told of the inbox's events; on the pumping thread. */
typedef struct lane_listener {
    void (*opened)(void *arg, int64_t now_us);
    void (*lost)(void *arg, redlock_status why, const char *text, int64_t now_us);
    void (*granted)(void *arg, const grant *message, int64_t now_us);
} lane_listener;

typedef struct lane lane;
struct lane {
    lane *next; /* in the pool */
    conn command;
    conn inbox;
    bool inbox_is_subscribed;
    bool inbox_awaits_connection;
    call subscription;
    bool subscription_is_in_flight; /* its sent_us: since when the inbox may be counted on */
    unsigned number;
    char channel[CHANNEL_SIZE];
    size_t channel_length;
    const lane_listener *listener; /* NULL when nobody waits */
    void *listener_arg;
    bool awaits_message;     /* the pump may not wait for the command connection alone ... */
    bool may_sleep_on_inbox; /* ... but once for the inbox alone: a hot lock comes soon */
    bool was_contended;      /* the last acquisition here had to queue */
    bool is_late;            /* the command connection was, after the last round */
    int64_t used_us;         /* when it was last given back */
};

void lane_init(lane *self, const conn_config *config, unsigned number, const char *key_prefix,
               const identity *who);
void lane_destroy(lane *self);

/* Before use after a long rest: notices connections that the server closed meanwhile. */
void lane_refresh(lane *self, int64_t now_us);

/* Opens the inbox and subscribes, as far as that goes without waiting, and tells the listener what
 * came of it. */
void lane_open_inbox(lane *self, int64_t now_us);

/* The server said, to a question sent at sent_us, that nobody hears this inbox: unless it was
 * subscribed since, it is closed, and told to be lost. `is_again`: that was no accident, and is
 * logged, once for all lanes. */
void lane_distrust_inbox(lane *self, int64_t sent_us, bool is_again, int64_t now_us);

/* When lane_open_inbox has something to do again, by the clock. */
int64_t lane_inbox_wake_us(const lane *self);

/* After the connections were pumped: tells of an inbox that is gone. */
void lane_notice_inbox_loss(lane *self, int64_t now_us);

/* Descriptors that end a wait from outside: readable means stop. -1 for none. */
enum { LANE_STOPS = 2 };
typedef struct lane_stops {
    int fd[LANE_STOPS];
    bool is_set[LANE_STOPS]; /* by lane_pump */
} lane_stops;

/* Nobody waits any more for what is under way: the connection ends, so that an answer never meets a
 * later question, and whoever asked is told before this returns. */
void lane_abandon(lane *self);

/* Sends what is ready, waits until something happens or `until_us`, and deals with it. */
void lane_pump(lane *self, int64_t until_us, lane_stops *stops);

#endif
