/* SPDX-License-Identifier: MIT
 * The lanes of a client, lent to one blocking call at a time.
 *
 * There is a bound on them. It is lower for a while where there was no room for a connection: then
 * the lanes at rest give theirs back, too. A lane that rested for a minute is given up. */
#ifndef REDLOCK_LANE_POOL_H
#define REDLOCK_LANE_POOL_H

#include "host/mutex.h"
#include "lane/lane.h"

typedef struct pool {
    mutex mutex;
    pthread_cond_t all_back;
    lane *idle; /* the last one given back first: it is the warmest */
    unsigned made;
    unsigned lent;
    unsigned count;         /* of those that are lent, or idle */
    unsigned bound;         /* until then there may be so many only */
    int64_t bound_until_us; /* 0: as by the terms */
    bool is_closed;
    const lane_terms *terms;
} pool;

void pool_init(pool *self, const lane_terms *terms);

/* A lane for the calling thread, or why there is none: REDLOCK_ERR_UNAVAILABLE, there are as many
 * as there may be; REDLOCK_ERR_CLOSED, REDLOCK_ERR_MEMORY. Until it is back the thread cannot be
 * cancelled. */
redlock_status pool_borrow(pool *self, lane **out, int64_t now_us);
void pool_return(pool *self, lane *back, int64_t now_us);

/* The same for one that found no room for its connection: it is given up. */
void pool_return_crowded(pool *self, lane *back, int64_t now_us);

/* Lends no more, and waits until every lane is back. */
void pool_close(pool *self);
void pool_destroy(pool *self);

#endif
