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
 * Subscriptions end with their connection, all at once, and are never given up alone. Whoever
 * counts on one compares its `changes`. A listener is told that there are some, and of grants, on
 * the pumping thread. */
#ifndef REDLOCK_LANE_INBOX_H
#define REDLOCK_LANE_INBOX_H

#include "net/conn.h"
#include "wire/answer.h"

typedef struct inbox inbox;

typedef struct inbox_listener {
    void (*changed)(void *arg); /* a subscription opened, or was lost; NULL: nobody has to know */
    void (*granted)(void *arg, const grant *message, int64_t now_us);
} inbox_listener;

enum subscription_state {
    SUBSCRIPTION_CLOSED,
    SUBSCRIPTION_CONNECTING,
    SUBSCRIPTION_SUBSCRIBING,
    SUBSCRIPTION_OPEN
};

typedef struct subscription {
    inbox *in;
    enum subscription_state state;
    call asks;           /* its sent_us: since when the inbox may be counted on */
    unsigned changes;    /* how often it opened or was lost; and of the latest loss ... */
    redlock_status why;  /* ... why it was, ... */
    redlock_detail text; /* ... in more words */
} subscription;

struct inbox {
    conn conn;
    const char *channel;
    subscription only;
    const inbox_listener *listener; /* NULL when nobody waits */
    void *listener_arg;
};

/* The channel outlives it. */
void inbox_init(inbox *self, const conn_config *config, node *to, const char *channel);
void inbox_destroy(inbox *self);

/* Is a subscription on its way to OPEN? */
bool inbox_is_coming(const inbox *self);

/* After the connection was pumped: tells of what is gone. */
void inbox_notice(inbox *self, int64_t now_us);

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
