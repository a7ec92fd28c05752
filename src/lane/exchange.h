/* SPDX-License-Identifier: MIT
 * One request of the engine on one lane: sends it to the node that the route names, when it is
 * ready and the connection open, and tells it, and the route, what came back. */
#ifndef REDLOCK_LANE_EXCHANGE_H
#define REDLOCK_LANE_EXCHANGE_H

#include "engine/request.h"
#include "lane/lane.h"
#include "lane/loading.h"

typedef struct exchange exchange;
struct exchange {
    call call; /* first: the connection gives it back */
    request *request;
    lane *in;               /* see exchange_enter; and from then on ... */
    int slot;               /* ... that of the question's key, ... */
    way by;                 /* ... and where its next attempt goes */
    berth *at;              /* where the latest attempt was to go; NULL: there was none */
    subscription *heard_at; /* where its grant would be told; see drive_catch_up. NULL: it was not
                               looked for yet */
    unsigned heard;         /* so many of its changes */
    int64_t look_us;        /* when to look at the map again, while nothing is heard */
    question question;
    /* Sees a good reply before the request does, for what an answer cannot carry; may be NULL. */
    void (*on_reply)(exchange *self, const reply *from);
    /* About to be sent; may be NULL. */
    void (*before_sending)(exchange *self);
    /* Sees a good answer before the request does, and may ask something else at once (true); may be
     * NULL. */
    bool (*asks_again)(exchange *self, const answer *from);
    void *about; /* for these three */
    /* Something came back, and the request moved; may be NULL. May not end the exchange. */
    void (*on_moved)(exchange *self);
    void *owner;
    loading loading;
    bool shares_connection; /* with other operations: it is closed when the server is late, not when
                               the caller is */
    bool was_asking;        /* the latest attempt went with ASKING */
    bool awaits_connection; /* it was on its way to OPEN when we last looked */
    redlock_histogram *round_trip; /* may be NULL; counted with relaxed atomics */
};

/* The request was begun by its owner. The question's bytes outlive the exchange. */
void exchange_begin(exchange *self, request *asks, const question *about);

/* It is asked on that lane, before it is advanced. Returns the berth where the first attempt goes
 * as things are; NULL: no memory. */
berth *exchange_enter(exchange *self, lane *in);

/* The berth where the next attempt goes, or where the one under way went; NULL: no memory. */
berth *exchange_berth(exchange *self);

/* Moves the request as far as it goes without waiting: ticks, opens the connection, submits. */
void exchange_advance(exchange *self, int64_t now_us);

/* When exchange_advance has something to do again, by the clock. */
int64_t exchange_wake_us(const exchange *self);

/* There is no room for the connection that it needs, nothing that was asked may be carried out, and
 * another may carry it. */
bool exchange_is_turned_away(const exchange *self);

/* Is the call in the hands of the connection? Then the exchange must stay where it is. */
bool exchange_is_in_flight(const exchange *self);

#endif
