/* SPDX-License-Identifier: MIT
 * An inbox: a connection of its own (RESP2 wants one), on which one channel is subscribed to, and
 * where grants are told.
 *
 *            open               connected              told
 *   CLOSED --------> CONNECTING ---------> SUBSCRIBING ------> OPEN
 *      ^                 |                      |                |
 *      +-----------------+----------------------+----------------+
 *            the connection ended, the subscription was refused, or it is not trusted
 *
 * What comes of it is told to a listener, on the pumping thread. */
#ifndef REDLOCK_LANE_INBOX_H
#define REDLOCK_LANE_INBOX_H

#include "net/conn.h"
#include "wire/answer.h"

typedef struct inbox inbox;

typedef struct inbox_listener {
    void (*opened)(void *arg, int64_t now_us);
    void (*lost)(void *arg, const inbox *which, int64_t now_us); /* it knows why */
    void (*granted)(void *arg, const grant *message, int64_t now_us);
} inbox_listener;

enum inbox_state { INBOX_CLOSED, INBOX_CONNECTING, INBOX_SUBSCRIBING, INBOX_OPEN };

struct inbox {
    enum inbox_state state;
    conn conn;
    call subscription; /* its sent_us: since when the inbox may be counted on */
    const char *channel;
    unsigned changes;    /* how often it opened or was lost; and of the latest loss ... */
    redlock_status why;  /* ... why it was, ... */
    redlock_detail text; /* ... in more words */
    const inbox_listener *listener; /* NULL when nobody waits */
    void *listener_arg;
};

/* The channel outlives it. */
void inbox_init(inbox *self, const conn_config *config, node *to, const char *channel);
void inbox_destroy(inbox *self);

/* Connects and subscribes, as far as that goes without waiting, and tells the listener what came of
 * it. */
void inbox_open(inbox *self, int64_t now_us);

/* Is it on its way to OPEN? */
static inline bool inbox_is_coming(const inbox *self)
{
    return self->state == INBOX_CONNECTING || self->state == INBOX_SUBSCRIBING;
}

/* When inbox_open has something to do again, by the clock. */
int64_t inbox_wake_us(const inbox *self);

/* After the connection was pumped: tells of an inbox that is gone. */
void inbox_notice(inbox *self, int64_t now_us);

/* Its connection ends, so that there is room for another one. */
void inbox_give_way(inbox *self, int64_t now_us);

/* The server said, to a question sent at sent_us, that nobody hears this inbox: unless it was
 * subscribed since, it is closed, and told to be lost. `is_again`: that was no accident, and is
 * logged, once for all inboxes of a client. */
void inbox_distrust(inbox *self, int64_t sent_us, bool is_again, int64_t now_us);

#endif
