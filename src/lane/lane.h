/* SPDX-License-Identifier: MIT
 * A lane: the connections to one server that one thread pumps at a time. A blocking call borrows
 * one from the client's pool; the keeper has its own.
 *
 * The command connection carries scripts; the inbox hears of grants. It is opened by the first call
 * that has to wait and kept from then on, so that later waits begin with queueing. */
#ifndef REDLOCK_LANE_LANE_H
#define REDLOCK_LANE_LANE_H

#include <poll.h>

#include "lane/inbox.h"

typedef struct lane lane;
struct lane {
    lane *next; /* in the pool */
    conn command;
    inbox inbox;
    unsigned number;
    bool awaits_message;     /* the pump may not wait for the command connection alone ... */
    bool may_sleep_on_inbox; /* ... but once for the inbox alone: a hot lock comes soon */
    bool may_spin;           /* the answer is worth spinning for */
    bool was_contended;      /* the last acquisition here had to queue */
    bool is_late;            /* the command connection was, after the last round */
    int64_t used_us;         /* when it was last given back */
    int cancellation;        /* of the borrowing thread, to be restored */
};

/* Its connections lead to `home`. */
void lane_init(lane *self, const conn_config *config, node *home, unsigned number,
               const char *key_prefix, const identity *who);
void lane_destroy(lane *self);

/* Before use after a long rest: notices connections that the server closed meanwhile. */
void lane_refresh(lane *self, int64_t now_us);

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
