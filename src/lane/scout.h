/* SPDX-License-Identifier: MIT
 * The scout: asks a node for the table of its cluster, when the map wants it. It goes along with a
 * question, on the same connection and ahead of it, so that it costs nobody a round trip, and needs
 * no thread and no connection of its own.
 *
 * Threads: whoever pumps the lane. */
#ifndef REDLOCK_LANE_SCOUT_H
#define REDLOCK_LANE_SCOUT_H

#include "net/conn.h"
#include "topology/route.h"

typedef struct scout {
    call call; /* first: of CLUSTER SLOTS, while it is under way */
    cluster *of;
    conn *on;
} scout;

/* Sends it, if it is its time and the connection is open. The scout stays where it is for as long
 * as the connection does. */
void scout_ask(scout *self, conn *on, const route *by, int64_t now_us);

#endif
