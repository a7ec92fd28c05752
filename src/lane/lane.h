/* SPDX-License-Identifier: MIT
 * A lane: the connections that one thread pumps at a time, two to each node that it has asked. A
 * blocking call borrows one from the client's pool; the keeper has its own.
 *
 *   lane --- berth (home) --- berth --- ...      each: node, command connection, inbox
 *
 * Connections are made when somebody wants them, and kept from then on. An inbox is opened by the
 * first call that has to wait, so that later waits begin with queueing. */
#ifndef REDLOCK_LANE_LANE_H
#define REDLOCK_LANE_LANE_H

#include "lane/berth.h"
#include "topology/route.h"
#include "wire/identity.h"

/* Descriptors that end a wait from outside: readable means stop. -1 for none. */
enum { LANE_STOPS = 2 };
typedef struct lane_stops {
    int fd[LANE_STOPS];
    bool is_set[LANE_STOPS]; /* by lane_pump */
} lane_stops;

/* What all lanes of a client have in common; outlives them. */
typedef struct lane_terms {
    const conn_config *config;
    route *route;
    const char *key_prefix;
    const identity *who;
    unsigned lanes_most; /* of the pool; whoever gets none is carried by another. 0: no bound */
} lane_terms;

/* Whoever waits for the descriptors in another way has to know when one is about to be closed. */
typedef struct lane_watch {
    void (*closing)(void *arg, conn *which, int fd);
    void *arg;
} lane_watch;

typedef struct lane lane;
struct lane {
    lane *next; /* in the pool */
    const lane_terms *terms;
    berth home; /* the first one */
    size_t berths;
    unsigned number;
    char channel[CHANNEL_SIZE];
    const inbox_listener *listener; /* of all inboxes; NULL when nobody waits */
    void *listener_arg;
    const lane_watch *watch; /* of all connections; may be NULL */
    unsigned scouted;        /* the number of the node that is asked next by lane_scout */
    berth *at;               /* the one that the latest question went to */
    bool awaits_message;     /* the pump may not wait for the command connection alone ... */
    bool may_sleep_on_inbox; /* ... but once for the inbox alone: a hot lock comes soon */
    bool may_spin;           /* the answer is worth spinning for */
    bool was_contended;      /* the last acquisition here had to queue */
    int64_t used_us;         /* when it was last given back */
    int cancellation;        /* of the borrowing thread, to be restored */
    struct pollfd *polled;   /* room for what every berth and a stop waits for; `few` at first */
    struct pollfd few[LANE_STOPS + BERTH_CONNS];
};

/* It points into itself, and must not be copied. `watch` outlives it. */
void lane_init(lane *self, const lane_terms *terms, unsigned number, const lane_watch *watch);
void lane_destroy(lane *self);

/* Its berth at a node. It is made if there is none; NULL: no memory. */
berth *lane_berth(lane *self, node *to);

/* Asks a node of the cluster for its table, if that is in doubt: for whoever waits, and asks
 * nobody anything by which the doubt would end. When to look again is returned; NEVER: there is no
 * doubt. */
int64_t lane_scout(lane *self, int64_t now_us);

/* Who hears of its inboxes from now on; NULL: nobody. */
void lane_listen(lane *self, const inbox_listener *listener, void *arg);

/* May the keeper carry what is asked there, where there is no room for a connection? */
static inline bool lane_may_be_relieved(const lane *self) { return self->terms->lanes_most > 0; }

/* Is nothing under way on it? */
bool lane_is_idle(const lane *self);

/* Before use after a long rest: notices connections that the server closed meanwhile. */
void lane_refresh(lane *self, int64_t now_us);

/* Nobody waits any more for what is under way; see berth_abandon. */
void lane_abandon(lane *self);

void lane_close(lane *self, int64_t now_us);

/* Sends what is ready. False when a connection broke on the way. */
bool lane_flush(lane *self, int64_t now_us);

/* Is there something to be done without waiting? If not: until when to wait. */
bool lane_has_pending(const lane *self);
int64_t lane_wake_us(const lane *self);

/* Did a connection come or go since this was last asked? */
bool lane_has_changed(lane *self);

/* Sends what is ready, waits until something happens or `until_us`, and deals with it. */
void lane_pump(lane *self, int64_t until_us, lane_stops *stops);

#endif
