/* SPDX-License-Identifier: MIT
 * A berth: the two connections that a lane has to one node. The command connection carries
 * scripts; the inbox (RESP2 wants a connection of its own) hears of grants. Neither is made before
 * somebody wants it.
 *
 * Threads: whoever pumps the lane. */
#ifndef REDLOCK_LANE_BERTH_H
#define REDLOCK_LANE_BERTH_H

#include <poll.h>

#include "lane/inbox.h"
#include "lane/scout.h"

enum { BERTH_CONNS = 2 };

typedef struct berth berth;
struct berth {
    berth *next; /* in the lane */
    conn command;
    scout scout; /* on the command connection */
    inbox inbox;
    bool is_late;                /* the command connection was, after the last round */
    unsigned looks[BERTH_CONNS]; /* see berth_has_changed */
};

/* Route and channel outlive it. */
void berth_init(berth *self, const conn_config *config, node *to, route *by, const char *channel);
void berth_destroy(berth *self);

/* Before use after a long rest: notices connections that the server closed meanwhile. */
void berth_refresh(berth *self, int64_t now_us);

/* Sends what is ready. False when a connection broke on the way: what is to be done next, and by
 * when, is to be asked again. */
bool berth_flush(berth *self, int64_t now_us);

/* Is there something to be done without waiting? If not: until when to wait, and for what. */
bool berth_has_pending(const berth *self);
int64_t berth_wake_us(const berth *self);
void berth_poll(const berth *self, struct pollfd out[BERTH_CONNS]);

/* Deals with what poll said, and with what is due. */
void berth_ready(berth *self, const struct pollfd polled[BERTH_CONNS], int64_t now_us);

/* Nobody waits any more for what is under way: the command connection ends, so that an answer never
 * meets a later question, and whoever asked is told before this returns. */
void berth_abandon(berth *self);

/* Both connections end. */
void berth_close(berth *self, int64_t now_us);

/* Did a connection come or go since this was last asked? */
bool berth_has_changed(berth *self);

#endif
