/* SPDX-License-Identifier: MIT
 * An inbox: a connection of its own (RESP2 wants one), where grants are told. And a subscription:
 * one channel on it, that somebody hears.
 *
 *            open               connected              told
 *   CLOSED --------> CONNECTING ---------> SUBSCRIBING ------> OPEN
 *      ^                 |                      |                |
 *      +-----------------+----------------------+----------------+
 *            the connection ended, the subscription was refused, or it is not trusted
 *
 * On a single server an inbox has one subscription, to the channel of its lane. In a cluster it has
 * one for each slot that was waited for there, to a channel of the shard. Such a one ends when the
 * slot moves: the server says so (sunsubscribe), and it is taken up again, wherever the slot is
 * then. We never unsubscribe, so that this is never the answer to something of ours.
 *
 * Whoever counts on a subscription compares its `changes`. A listener is told that there are some,
 * and of grants, on the pumping thread. */
#ifndef REDLOCK_LANE_INBOX_H
#define REDLOCK_LANE_INBOX_H

#include "net/conn.h"
#include "topology/route.h"
#include "wire/answer.h"

typedef struct inbox inbox;

typedef struct inbox_listener {
    void (*changed)(void *arg); /* a subscription opened, or was lost; NULL: nobody has to know */
    void (*granted)(void *arg, const inbox *by, const grant *message, int64_t now_us);
} inbox_listener;

enum subscription_state {
    SUBSCRIPTION_CLOSED,
    SUBSCRIPTION_CONNECTING,
    SUBSCRIPTION_SUBSCRIBING,
    SUBSCRIPTION_OPEN
};

typedef struct subscription subscription;
struct subscription {
    subscription *next; /* of the same inbox */
    inbox *in;
    int slot; /* of its channel; NO_SLOT: none */
    enum subscription_state state;
    int64_t not_before_us; /* it was refused by itself, and is not asked for again until then */
    call asks;             /* its sent_us: since when the inbox may be counted on */
    unsigned changes;      /* how often it opened or was lost; and of the latest loss ... */
    redlock_status why;    /* ... why it was, ... */
    redlock_detail text;   /* ... in more words */
};

struct inbox {
    conn conn;
    route *route;
    const char *channel;            /* of the lane; that of a slot begins so */
    subscription first;             /* mostly the only one */
    const inbox_listener *listener; /* NULL when nobody waits */
    void *listener_arg;
};

/* Route and channel outlive it. */
void inbox_init(inbox *self, const conn_config *config, node *to, route *by, const char *channel);
void inbox_destroy(inbox *self);

/* The subscription to the channel of that slot, NO_SLOT for none; NULL: no memory. */
subscription *inbox_subscription(inbox *self, int slot);

/* Is a subscription on its way to OPEN? */
bool inbox_is_coming(const inbox *self);

/* After the connection was pumped: tells of what is gone. */
void inbox_notice(inbox *self);

/* Its connection ends, so that there is room for another one. */
void inbox_give_way(inbox *self, int64_t now_us);

/* Connects and subscribes, as far as that goes without waiting. */
void subscription_open(subscription *self, int64_t now_us);

/* When subscription_open has something to do again, by the clock. */
int64_t subscription_wake_us(const subscription *self);

/* The server said, to a question sent at sent_us, that nobody hears it: unless it was subscribed
 * since, its inbox is closed, and it is lost. `is_again`: that was no accident, and is logged, once
 * for all inboxes of a client. */
void subscription_distrust(subscription *self, int64_t sent_us, bool is_again, int64_t now_us);

#endif
